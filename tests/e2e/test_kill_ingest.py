"""`kill -9` between any two steps of the whole path: nothing lost, nothing stored twice, no digest twice."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
from killable import Killable
from running import prose

import storage as store
from monitor.model import DeliveryState, TextFrom

START = datetime(2026, 6, 1, 5, 50, tzinfo=UTC)
STEP = timedelta(hours=4)  # between two runs: every lease has run out, every source is due again
STAGES = ("open", "poll", "pages", "plan", "send", "close")
FEEDS = 5
MOST = 20  # entries of one feed
WORDS = ("mTOR signalling", "opioid tolerance", "gene editing", "bird migration")
READERS = [
    ["ann@example.org", "at_once", "mtor,opioid-tolerance,gene-editing"],
    ["ben@example.org", "daily", "mtor"],
    ["cho@example.org", "weekly", "mtor,opioid-tolerance"],
]


class Press:
    """Five feeds that grow, each entry with a page. The third feed names the second's articles again."""

    def __init__(self) -> None:
        self.out = [3] * FEEDS  # entries that each feed lists now
        press = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                kind, body = press.answer(self.path)
                tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
                known = bool(body) and self.headers.get("If-None-Match") == tag
                self.send_response(304 if known else 200 if body else 404)
                self.send_header("ETag", tag)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", "0" if known else str(len(body)))
                self.end_headers()
                self.wfile.write(b"" if known else body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that was killed leaves in the middle of a word."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def feeds(self) -> list[list[str]]:
        return [[f"feed-{feed}", f"http://{self.origin}/feed/{feed}"] for feed in range(FEEDS)]

    def url(self, feed: int, number: int) -> str:
        return f"http://{self.origin}/story/{1 if feed == 2 else feed}/{number}"

    def urls(self) -> set[str]:
        return {self.url(feed, number) for feed in range(FEEDS) for number in range(self.out[feed])}

    def grow(self, rng: random.Random) -> None:
        """At every second look or so some feeds have one or two more."""
        if rng.random() < 0.5:
            for feed in range(FEEDS):
                self.out[feed] = min(MOST, self.out[feed] + rng.randrange(3))

    def answer(self, path: str) -> tuple[str, bytes]:
        _, kind, *rest = path.split("/")
        if kind == "feed":
            feed = int(rest[0])
            items = "".join(
                f"<item><title>{self.title(feed, number)}</title><link>{self.url(feed, number)}</link>"
                f"<guid>{feed}-{number}</guid><description>A short teaser of story {number}.</description></item>"
                for number in reversed(range(self.out[feed]))
            )
            channel = f"<channel><title>Feed {feed}</title>{items}</channel>"
            return "application/rss+xml", f"<rss version='2.0'>{channel}</rss>".encode()
        if kind == "story":
            feed, number = int(rest[0]), int(rest[1])
            title = self.title(feed, number)
            words = f"A long paragraph about {self.word(feed, number)} in the words of a press office. "
            body = f"<p>{words}{prose(path, 150)}</p>"
            page = f"<!doctype html><title>{title}</title><article><h1>{title}</h1>{body}</article>"
            return "text/html; charset=utf-8", page.encode()
        return "text/plain", b""

    def word(self, feed: int, number: int) -> str:
        return WORDS[(feed + number) % len(WORDS)]

    def title(self, feed: int, number: int) -> str:
        place = f"{1 if feed == 2 else feed}-{number}"
        return f"Story {place}: {prose(place, 8)}"


@pytest.fixture
def press() -> Iterator[Press]:
    running = Press()
    yield running
    running.close()


@dataclass
class Killed:
    """What the killing did, for the report."""

    kills: Counter[str]
    seed: int


def kill_often(program: Killable, press: Press, data_dir: Path, kills: int, seed: int) -> tuple[Killed, datetime]:
    """Runs of the program, each killed a random moment after it has reached a random stage."""
    rng = random.Random(seed)
    now, done = START, Killed(Counter(), seed)
    lasted = dict.fromkeys(STAGES, 0.05)
    for _ in range(kills * 2):
        if done.kills.total() >= kills:
            break
        now += STEP
        press.grow(rng)
        run = program.start(
            "ingest", data_dir=data_dir, now=now, origin=press.origin, feeds=press.feeds, readers=READERS
        )
        stage = rng.choice(STAGES)
        if run.reach(stage):
            time.sleep(rng.uniform(0, lasted[stage]))
            run.kill()
        if run.finish() == -9:
            done.kills[list(run.stages)[-1]] += 1
        assert run.status in (0, -9)
        times = list(run.stages.items())
        for (name, began), (_, ended) in pairwise(times):
            lasted[name] = lasted[name] * 0.7 + (ended - began) * 0.3
    return done, now


def finish(program: Killable, press: Press, data_dir: Path, now: datetime) -> None:
    """To the end, undisturbed: what is due now, and a week later what was due in between."""
    for wait in (STEP, STEP, timedelta(days=8), timedelta(days=8)):
        now += wait
        run = program.start(
            "ingest", data_dir=data_dir, now=now, origin=press.origin, feeds=press.feeds, readers=READERS
        )
        assert run.finish() == 0
        asyncio.run(decide(data_dir, now))


async def decide(data_dir: Path, now: datetime) -> None:
    """What an admin does: a message that was killed twice while it was being sent is listed, and waits for a word."""
    async with store.Storage.open(f"sqlite:///{data_dir / 'monitor.db'}") as storage:
        told = {notice.subject for notice in await storage.notices.open()}
        for delivery in await storage.outbox.list([DeliveryState.IN_DOUBT], limit=10_000):
            assert delivery.resends == 1
            assert f"delivery:{delivery.id}" in told
            await storage.outbox.retry(delivery.id, now)


def check_all(press: Press, data_dir: Path) -> None:
    """P1 and P2, read from the database and the mailbox."""
    asyncio.run(_check(press, data_dir))


async def _check(press: Press, data_dir: Path) -> None:
    database = data_dir / "monitor.db"
    with sqlite3.connect(database) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        entries = Counter(db.execute("select source_id, article_id from entry").fetchall())
        per_source = Counter(source_id for source_id, _ in entries)
        pages_open = db.execute("select count(*) from page").fetchone()[0]
        indexed = db.execute("select count(*) from article_fts").fetchone()[0]
    async with store.Storage.open(f"sqlite:///{database}") as storage:
        sources = {source.slug: source.id for source in await storage.sources.list()}
        articles = await storage.articles.recent(limit=10_000)
        # every entry of every feed once, every article once, every page read
        assert {slug: per_source[number] for slug, number in sources.items()} == {
            f"feed-{feed}": press.out[feed] for feed in range(FEEDS)
        }
        assert set(entries.values()) == {1}
        assert Counter(article.url for article in articles) == Counter(press.urls())
        assert pages_open == 0
        assert {article.text_from for article in articles} == {TextFrom.PAGE}
        assert indexed == len(articles)

        deliveries = await storage.outbox.list(limit=10_000)
        assert {delivery.state for delivery in deliveries} == {DeliveryState.ACCEPTED}
        periods = Counter((delivery.subscription_id, delivery.period_key) for delivery in deliveries)
        assert set(periods.values()) == {1}
        topic_ids = {topic.id for topic in await storage.topics.list()}
        assert len(topic_ids) == 7
        for reader in await storage.readers.list():
            [subscription] = await storage.readers.subscriptions(reader.id)
            sent: Counter[int] = Counter()
            for digest in await storage.outbox.digests(reader.id, limit=10_000):
                sent.update(digest.article_ids)
            wanted = {
                found.article.id
                for topic_id in subscription.topic_ids
                for found in await storage.topics.matches(topic_id, limit=10_000)
            }
            assert len(wanted) > 10
            assert sent == Counter(wanted), reader.email
        mailbox = Counter(
            line
            for path in (data_dir / "maildir" / "new").iterdir()
            for line in path.read_text(encoding="utf-8").split("\n")
            if line.startswith("Message-ID:")
        )
        assert mailbox == Counter(f"Message-ID: {delivery.message.message_id}" for delivery in deliveries)


def check_no_orphans(program: Killable) -> None:
    end = time.monotonic() + 10
    while program.orphans() and time.monotonic() < end:
        time.sleep(0.05)
    assert program.orphans() == []


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_when_the_program_is_killed_at_fifty_random_moments(
    press: Press, tmp_path: Path
) -> None:
    seed = int(os.environ.get("KILL_SEED", random.randrange(10**6)))

    with Killable() as program:
        done, now = kill_often(program, press, tmp_path / "data", kills=50, seed=seed)
        finish(program, press, tmp_path / "data", now)

        print(f"KILL_SEED={seed}; killed in {dict(done.kills)}")
        assert done.kills.total() >= 50
        assert len(done.kills) >= 4  # the moments were spread over the path
        check_all(press, tmp_path / "data")
        check_no_orphans(program)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_or_doubled_in_five_hundred_kills(press: Press, tmp_path: Path) -> None:
    seed = int(os.environ.get("KILL_SEED", random.randrange(10**6)))

    with Killable() as program:
        for part in range(10):  # ten lives, for a life's feeds are full after some fifty runs
            press.out = [3] * FEEDS
            data_dir = tmp_path / f"data-{part}"
            done, now = kill_often(program, press, data_dir, kills=50, seed=seed + part)
            finish(program, press, data_dir, now)
            print(f"KILL_SEED={seed + part}; killed in {dict(done.kills)}")
            check_all(press, data_dir)
        check_no_orphans(program)


@pytest.mark.slow
@pytest.mark.strace
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_nothing_is_lost_or_doubled_when_the_nth_write_to_the_disk_kills_the_program(
    press: Press, tmp_path: Path, call: str
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    data_dir = tmp_path / "data"
    rng = random.Random(1)
    now = START
    for nth in range(1, 400, 3):
        now += STEP
        press.grow(rng)
        status = _under_strace(f"{call}:signal=KILL:when={nth}", press, data_dir, now)
        if status == 0:  # it made fewer calls than that: every one was tried
            break
        assert status in (-9, 137)
    else:
        pytest.fail(f"400 {call} were not enough for one run")

    with Killable() as program:
        finish(program, press, data_dir, now)
        check_all(press, data_dir)


def _under_strace(inject: str, press: Press, data_dir: Path, now: datetime) -> int:
    arguments = {
        "data_dir": str(data_dir),
        "now": now.isoformat(),
        "origin": press.origin,
        "feeds": press.feeds,
        "readers": READERS,
    }
    code = f"import asyncio, killable; asyncio.run(killable.ingest(**{arguments!r}))"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={inject}", sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=root, stdout=subprocess.DEVNULL, timeout=300).returncode
