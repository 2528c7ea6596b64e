"""PostgreSQL is stopped at once (`-m immediate`) inside each kind of transaction of a working engine, and started
again: nothing is lost, nothing is stored or sent twice, and the process goes on by itself.

One process leads and works, so that every kind is met in it. A round makes everything due, stops the server at one
transaction, and ends when all that was due is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from crashes import Crashes, Point
from pgtemp import TempPostgres
from pydantic import SecretStr
from running import prose
from smtp_sink import SmtpSink

import storage as store
from monitor import app
from monitor.app import Role
from monitor.model import Article, Cadence, Entry, Match, Source, Subscriber, Subscription, Topic
from monitor.worker import Heartbeat
from storage import Saved, jobs

pytestmark = pytest.mark.postgres
LEASE = 5  # seconds
RECOVERED = 40 - (20 - LEASE)  # seconds that recovery may take with this lease, if it may take 40 with the default
FEEDS = ("plain", "pages", "broken")
READERS = ("ok-a", "ok-b", "ok-c", "ok-d", "none", "refused", "later", "lost")
PARTS = 4

# What a round goes through; SELDOM only now and then, so a sweep may not meet it.
WORK = (
    "Articles.save",
    "Jobs.feed",
    "Leases.acquire",
    "Notices.close",
    "Notices.raise_once",
    "Outbox.accepted",
    "Outbox.bounced",
    "Outbox.claim_due",
    "Outbox.deferred",
    "Outbox.enqueue",
    "Outbox.failed",
    "Outbox.in_doubt",
    "Outbox.recover",
    "Outbox.skip",
    "Pages.claim_due_pages",
    "Pages.page_saved",
    "Papers.claim_due",
    "Papers.enriched",
    "Papers.remember",
    "Sources.claim_due",
    "Sources.finish",
    "Stories.settle_batch",
    "queue.fetch_job",
    "queue.finish_job",
    "queue.select_stalled_jobs_by_heartbeat",
    "queue.update_heartbeat",
)
SELDOM = {
    "Articles.prune",
    "Leases.release",
    "Leases.shorten",
    "Outbox.cancel_unwanted",
    "Outbox.renew",
    "Pages.page_failed",
    "Pages.release_page",
    "Pages.renew_page",
    "Papers.failed",
    "Papers.prune",
    "Papers.renew",
    "Readers.update",
    "Sources.prune_polls",
    "Sources.release",
    "Sources.renew",
    "Stories.prune",
    "Upkeep.forget_bodies",
    "Upkeep.forget_notices",
    "Upkeep.set_fact",
    "queue.list_jobs_to_abort",
    "queue.prune_stalled_workers",
    "queue.register_worker",
    "queue.retry_job",
    "queue.unregister_worker",
}
# What the queue does when a worker begins and ends.
COMING_AND_GOING = ("queue.prune_stalled_workers", "queue.register_worker", "queue.unregister_worker")
QUICK = (
    ("Outbox.accepted", Point.ANSWER),
    ("Sources.finish", Point.COMMIT),
    ("queue.fetch_job", Point.ANSWER),
)


def stops() -> list[tuple[str, Point]]:
    """Every kind at every point; the queue's own statements commit by themselves."""
    return [
        (kind, point) for kind in WORK for point in Point if not (kind.startswith("queue.") and point is Point.INSIDE)
    ]


class Newsroom:
    """Feeds that bring one article more in each round, their pages, one feed that always fails; an index that knows
    nothing.
    """

    def __init__(self) -> None:
        self.round = 0
        self.origin = ""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Newsroom]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.origin = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                status, kind, body = self._page(head.split(b" ", 2)[1].decode())
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
                )
                await writer.drain()
        writer.close()

    def _page(self, path: str) -> tuple[str, str, bytes]:
        _, place, *rest = path.split("/")
        if place == "feed" and rest[0] != "broken":
            items = "".join(self._item(rest[0], number) for number in range(self.round + 1))
            rss = f'<rss version="2.0" xmlns:prism="{PRISM}"><channel><title>F</title>{items}</channel></rss>'
            return "200 OK", "application/rss+xml", rss.encode()
        if place == "page":
            html = f"<html><head><title>{_title(*rest)}</title></head><body><article><h1>{_title(*rest)}</h1>"
            paragraphs = "".join(f"<p>{prose(f'{path}{n}', 40)}</p>" for n in range(6))
            return "200 OK", "text/html", f"{html}{paragraphs}</article></body></html>".encode()
        return ("500 Broken" if place == "feed" else "404 Unknown"), "text/plain", b"no"

    def _item(self, feed: str, number: int) -> str:
        return (
            f"<item><title>{_title(feed, str(number))}</title><link>http://{self.origin}/page/{feed}/{number}</link>"
            f"<prism:doi>10.1234/{feed}.{number}</prism:doi>"
            f"<description>{prose(f'{feed}{number}', 20)}</description></item>"
        )


PRISM = "http://prismstandard.org/namespaces/basic/2.0/"


def _title(feed: str, number: str) -> str:
    return f"Sample {prose(f'title {feed} {number}', 6)}"


class Life:
    """One engine at work on one server, through as many rounds as one likes."""

    def __init__(self, url: str, crashes: Crashes, sink: SmtpSink, newsroom: Newsroom) -> None:
        self.url, self.crashes, self.sink, self.newsroom = url, crashes, sink, newsroom

    async def prepare(self, rounds: int) -> None:
        """Feeds, and readers for each round, none of them due yet."""
        now = datetime.now(UTC)
        async with store.Storage.open(self.url) as storage:
            await storage.sources.import_first_run([], [], now)
            for slug in FEEDS:
                address = f"http://{self.newsroom.origin}/feed/{slug}"
                source = Source(slug=slug, name=slug, url=address, pages=slug == "pages", interval=timedelta(hours=6))
                await storage.sources.add(source)
            topics = [
                await storage.topics.add(Topic(slug=query, name=query, query=query), author="test", note="", now=now)
                for query in ("sample", "nothing")
            ]
            address = "https://old.example/1"
            article = Article(url=address, canonical_url=address, key=address, title="A sample", summary="Of it.")
            match = Match(topic_id=topics[0].id, revision_id=topics[0].revision_id)
            old = Saved(entry=Entry(url=address, title="A sample"), article=article, matches=(match,))
            await storage.articles.save(None, [old], now - timedelta(hours=3))  # what each digest brings
            for number in range(1, rounds + 1):
                for name in READERS:
                    reader = await storage.readers.add_subscriber(Subscriber(email=f"{name}-{number}@example.org"), now)
                    wanted = Subscription(
                        subscriber_id=reader.id,
                        topic_ids=(topics[name == "none"].id,),
                        cadence=Cadence.WEEKLY,
                        next_digest_at=now,
                    )
                    await storage.readers.add_subscription(wanted)
        with psycopg.connect(self.url) as db:
            db.execute("update source set next_poll_at = now() + interval '1 day'")
            db.execute("update subscription set next_digest_at = null")

    async def round(self, kind: str, point: Point) -> float:
        """Seconds from the stop until all is done."""
        self.newsroom.round += 1
        number = self.newsroom.round
        self.crashes.seen.clear()
        self.crashes.arm(kind, point)
        started = time.monotonic()
        stopped = None
        while not self._make_due(number):  # it may be down by now
            stopped = time.monotonic() if self.crashes.start_again() else stopped
            await asyncio.sleep(0.1)
        while undone := self._undone(number):
            if self.crashes.start_again():
                stopped = time.monotonic()
            assert time.monotonic() - (stopped or started) < 60, f"{kind} {point}: {undone}"
            await asyncio.sleep(0.1)
        assert self.crashes.disarm(), f"no {kind} in this round"
        unknown = self.crashes.seen.keys() - set(WORK) - SELDOM
        assert not unknown, f"kinds of transactions that no sweep stops in: {unknown}"
        return time.monotonic() - (stopped or started)

    def _make_due(self, number: int) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2) as db:
            db.execute("update source set next_poll_at = null")
            db.execute(DUE, {"these": f"%-{number}@example.org"})
            db.commit()
            return True
        return False

    def _undone(self, number: int) -> str:
        """What is still to be done, in words; empty if it is nothing."""
        try:
            with psycopg.connect(self.url, autocommit=True, connect_timeout=2) as db:
                for what, query in UNDONE.items():
                    count, *more = db.execute(query, {"these": f"%-{number}@example.org"}).fetchone() or (1,)
                    if count:
                        return f"{count} {what} {more}"
                stored = db.execute("select count(*) from article").fetchone() or (0,)
                return "" if stored[0] == 2 * (number + 1) + 1 else f"{stored[0]} articles"
        except psycopg.Error as error:
            return str(error)

    def check(self) -> None:
        """Nothing lost, nothing twice, over all rounds."""
        rounds = self.newsroom.round
        copies = Counter(taken.recipient.partition("@")[0] for taken in self.sink.taken())
        wanted: Counter[str] = Counter()
        for number in range(1, rounds + 1):
            wanted |= {f"{name}-{number}": 1 for name in READERS if name.startswith("ok")} | {f"lost-{number}": 2}
        assert copies == wanted
        with psycopg.connect(self.url) as db:
            twice = db.execute("select key from article group by key having count(*) > 1").fetchall()
            entries = db.execute("select count(*), count(distinct article_id) from entry").fetchone()
            states = dict(db.execute(STATES).fetchall())
            bounces = db.execute("select count(*) from bounce").fetchone()
            stories = db.execute("select count(*) from story_member").fetchone()
        assert twice == []
        assert entries == (2 * (rounds + 1), 2 * (rounds + 1))
        assert stories == (2 * (rounds + 1) + 1,)
        assert states == {"ok": 4 * rounds, "lost": rounds, "refused": -rounds, "later": 0}
        assert bounces == (rounds,)


DUE = """
    update subscription set next_digest_at = now() - interval '1 second'
     where subscriber_id in (select id from subscriber where email like %(these)s)
"""
MINE = "subscription join subscriber on subscriber.id = subscription.subscriber_id where email like %(these)s"
UNDONE = {
    "sources": "select count(*) from source where next_poll_at is null or lease_until is not null",
    "pages": "select count(*) from page where due_at <= now()",
    "papers": "select count(*) from enrichment where due_at <= now()",
    "stories": "select count(*) from story_due",
    "digests": f"select count(*) from {MINE} and next_digest_at < now()",
    "messages": "select count(*), string_agg(recipient || ' ' || state || ' ' || last_error, ', ')"
    " from delivery where state in ('queued', 'sending', 'in_doubt')",
    "jobs": "select count(*), string_agg(format('%%s %%s by %%s tries %%s', status, lock, worker_id, attempts), ', '),"
    " (select string_agg(format('%%s %%s', id, last_heartbeat), ', ') from engine.procrastinate_workers)"
    " from engine.procrastinate_jobs",
}
STATES = """
    select split_part(recipient, '-', 1), sum(case state when 'accepted' then 1 when 'failed' then -1 else 0 end)::int
      from delivery group by 1
"""


@contextlib.asynccontextmanager
async def life(server: TempPostgres, directory: Path, name: str, rounds: int) -> AsyncIterator[Life]:
    url = server.create(f"{name}_{uuid.uuid4().hex}")
    store.migrate(url)
    jobs.install(url)
    with SmtpSink(directory) as sink:
        async with Newsroom().open() as newsroom:
            with Crashes(server) as crashes:
                one = Life(url, crashes, sink, newsroom)
                await one.prepare(rounds)
                async with engine(url, directory, newsroom.origin, sink.port):
                    yield one


@contextlib.asynccontextmanager
async def engine(url: str, directory: Path, origin: str, port: int) -> AsyncIterator[Heartbeat]:
    chosen: dict[str, Any] = {
        "data_dir": directory,
        "storage__url": url,
        "secret_key": SecretStr("a key of the test"),
        "run__engine": "procrastinate",
        "run__tick_seconds": 0.5,
        "run__lease_seconds": LEASE,
        "run__drain_seconds": 5,
        "fetch__allow": (origin,),
        "fetch__host_delay": 0.0,
        "parse__workers": 1,
        "poll__tries": 1,
        "scholarly__pubmed_url": "",
        "scholarly__crossref_url": f"http://{origin}/index",
        "scholarly__unpaywall_url": "",
        "smtp__host": "127.0.0.1",
        "smtp__port": port,
        "smtp__security": "none",
        "smtp__messages_per_minute": 0.0,
    }
    async with app.open_monitor(app.settings(**chosen)) as opened:
        heart = Heartbeat(opened.monitor, opened.dispatcher(Role.ALL))
        heart.start()
        try:
            yield heart
        finally:
            await heart.stop(5)


async def prove(server: TempPostgres, directory: Path, name: str, stops: Sequence[tuple[str, Point]]) -> None:
    took: dict[str, float] = {}
    async with life(server, directory, name, len(stops)) as one:
        for kind, point in stops:
            took[f"{kind} {point}"] = await one.round(kind, point)
            print(f"{took[f'{kind} {point}']:6.1f} s  {kind} {point}", flush=True)
        one.check()
    assert max(took.values()) <= RECOVERED


@pytest.mark.timeout(240)
async def test_a_server_stopped_inside_a_transaction_loses_nothing_and_doubles_nothing(
    server: TempPostgres, tmp_path: Path
) -> None:
    await prove(server, tmp_path, "quick", QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_server_stopped_inside_every_kind_of_transaction_loses_nothing_and_doubles_nothing(
    server: TempPostgres, tmp_path: Path, part: int
) -> None:
    await prove(server, tmp_path, f"part{part}", stops()[part::PARTS])


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_server_stopped_while_a_worker_comes_or_goes_loses_nothing_and_doubles_nothing(
    server: TempPostgres, tmp_path: Path
) -> None:
    async with life(server, tmp_path, "coming", 1) as one:
        for kind, point in [(kind, point) for kind in COMING_AND_GOING for point in (Point.COMMIT, Point.ANSWER)]:
            restarting = asyncio.create_task(_restart(one.crashes))
            async with engine(one.url, tmp_path, one.newsroom.origin, one.sink.port):
                one.crashes.arm(kind, point)  # its worker begins with our next pause
                await asyncio.sleep(3)
            restarting.cancel()
            one.crashes.start_again()
            await asyncio.sleep(2)
            assert not one.crashes.armed, f"no {kind}"
            print(f"{kind} {point}", flush=True)

        await one.round("Sources.finish", Point.COMMIT)
        one.check()


async def _restart(crashes: Crashes) -> None:
    while True:
        crashes.start_again()
        await asyncio.sleep(0.1)
