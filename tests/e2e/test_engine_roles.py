"""Schedulers and workers as real processes on one PostgreSQL: frozen, killed, with a wrong clock. No double poll, no
double digest, and nothing forgotten.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from publisher import Publisher
from roles import Role, Roles, until
from smtp_sink import SmtpSink

import storage as store
from monitor.model import Article, Cadence, Entry, Match, Source, Subscriber, Subscription, Topic
from storage import Saved

pytestmark = pytest.mark.postgres
FEEDS = 12
READERS = 8
LEASE = 5  # seconds


@pytest.fixture
def url(engine_url: str) -> str:
    return engine_url


async def fill(url: str, origin: str, *, readers: int = READERS) -> None:
    """Feeds that are due, and readers whose digest is due, with an article each."""
    now = datetime.now(UTC)
    async with store.Storage.open(url) as storage:
        await storage.sources.import_first_run([], [], now)
        for number in range(FEEDS):
            slug = f"f{number}"
            address = f"http://{origin}/{slug}"
            await storage.sources.add(
                Source(slug=slug, name=slug, url=address, pages=False, interval=timedelta(hours=6))
            )
        topic = await storage.topics.add(Topic(slug="t", name="t", query="sample"), author="test", note="", now=now)
        address = "https://old.example/1"
        article = Article(url=address, canonical_url=address, key=address, title="A sample", summary="Of the press.")
        match = Match(topic_id=topic.id, revision_id=topic.revision_id)
        found = Saved(entry=Entry(url=address, title="A sample"), article=article, matches=(match,))
        await storage.articles.save(None, [found], now - timedelta(hours=3))
        for number in range(readers):
            reader = await storage.readers.add_subscriber(Subscriber(email=f"r{number}@example.org"), now)
            wanted = Subscription(
                subscriber_id=reader.id,
                topic_ids=(topic.id,),
                cadence=Cadence.WEEKLY,
                next_digest_at=now - timedelta(minutes=1),
            )
            await storage.readers.add_subscription(wanted)


def ask(url: str, query: str) -> int:
    with psycopg.connect(url, autocommit=True) as db:
        row = db.execute(query).fetchone()
    return int(row[0]) if row else 0


def accepted(url: str) -> int:
    return ask(url, "select count(*) from delivery where state = 'accepted'")


def settings(url: str, origin: str, port: int, directory: Path) -> dict[str, object]:
    return {
        "MONITOR_RUN__ENGINE": "procrastinate",
        "MONITOR_STORAGE__URL": url,
        "MONITOR_SECRET_KEY": "a key of all the processes",
        "MONITOR_RUN__TICK_SECONDS": 0.5,
        "MONITOR_RUN__LEASE_SECONDS": LEASE,
        "MONITOR_FETCH__ALLOW": origin,
        "MONITOR_FETCH__HOST_DELAY": 0,
        "MONITOR_PARSE__WORKERS": 1,
        "MONITOR_SCHOLARLY__ENRICH": "false",
        "MONITOR_SMTP__HOST": "127.0.0.1",
        "MONITOR_SMTP__PORT": port,
        "MONITOR_SMTP__SECURITY": "none",
        "MONITOR_SMTP__MESSAGES_PER_MINUTE": 0,
    }


def leading(url: str, schedulers: list[Role]) -> Role | None:
    with psycopg.connect(url, autocommit=True) as db:
        row = db.execute("select holder from lease where name = 'scheduler'").fetchone()
    return next((one for one in schedulers if row and f":{one.pid}:" in row[0]), None)


def due_again(url: str) -> None:
    """Every feed and every digest once more."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("update source set next_poll_at = now() - interval '1 second'")


def doubled(sink: SmtpSink) -> list[str]:
    return [one for one, times in Counter(taken.recipient for taken in sink.taken()).items() if times > 1]


@pytest.mark.timeout(120)
def test_a_frozen_leader_is_replaced_and_does_no_harm_when_it_wakes(
    url: str, publisher: Publisher, tmp_path: Path
) -> None:
    asyncio.run(fill(url, publisher.origin))
    with SmtpSink(tmp_path) as sink, Roles(tmp_path) as roles:
        common = settings(url, publisher.origin, sink.port, tmp_path)
        schedulers = [roles.start("scheduler", **common) for _ in range(2)]
        workers = [roles.start("worker", **common) for _ in range(2)]
        until(lambda: accepted(url) == READERS and len(publisher.visits) == FEEDS, 40, "the first round")
        first = leading(url, schedulers)
        assert first is not None
        first.send(signal.SIGSTOP)
        until(lambda: leading(url, schedulers) not in (None, first), LEASE + 15, "the takeover")
        due_again(url)
        until(lambda: min(publisher.visits.values()) == 2, 20, "the second round, led by the other")

        first.send(signal.SIGCONT)
        until(lambda: "leads=False" in first.text(), 15, "the old leader learning it")
        until(lambda: ask(url, "select count(*) from engine.procrastinate_jobs where status = 'todo'") == 0, 10)

        ends = [*schedulers, *workers]
        for role in ends:
            role.send(signal.SIGTERM)
        assert [role.wait(30) for role in ends] == [0, 0, 0, 0]

        assert set(publisher.visits.values()) == {2}
        assert doubled(sink) == []
        assert len(sink.taken()) == READERS


@pytest.mark.timeout(120)
def test_a_scheduler_whose_clock_is_set_an_hour_forward_sends_nothing_twice(
    url: str, publisher: Publisher, tmp_path: Path
) -> None:
    asyncio.run(fill(url, publisher.origin))
    with SmtpSink(tmp_path, pause=2.5) as sink, Roles(tmp_path) as roles:  # messages are long on their way
        common = settings(url, publisher.origin, sink.port, tmp_path)
        roles.start("worker", **common)
        roles.start("scheduler", step=3600, after=1.0, **common)
        until(lambda: accepted(url) == READERS and len(publisher.visits) == FEEDS, 60, "the work")

        copies, visits = doubled(sink), set(publisher.visits.values())
        notices = ask(url, "select count(*) from notice where code = 'in-doubt'")

    assert copies == []
    assert visits == {1}
    assert notices == 0


@pytest.mark.timeout(120)
def test_a_killed_workers_jobs_are_another_workers_soon(url: str, publisher: Publisher, tmp_path: Path) -> None:
    asyncio.run(fill(url, publisher.origin, readers=0))
    publisher.pause = 1.0
    with SmtpSink(tmp_path) as sink, Roles(tmp_path) as roles:
        common = settings(url, publisher.origin, sink.port, tmp_path)
        roles.start("scheduler", **common)
        victim = roles.start("worker", **common)
        until(lambda: len(publisher.visits) >= 2, 30, "a visit under way")

        victim.send(signal.SIGKILL)
        publisher.pause = 0.02
        roles.start("worker", **common)

        until(lambda: len(publisher.visits) == FEEDS, 40, "the rest of the round")
        until(lambda: ask(url, "select count(*) from engine.procrastinate_jobs") == 0, 20, "an empty queue")
        assert ask(url, "select count(*) from poll") == FEEDS
        assert sum(publisher.visits.values()) <= FEEDS + 1  # the one that died with its answer


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("killed", ["worker in a visit", "worker in a send", "leading scheduler"])
def test_what_a_killed_process_had_in_hand_goes_on_within_25_seconds(
    url: str, publisher: Publisher, tmp_path: Path, killed: str
) -> None:
    """With the settings that come with the program; the machine must not be so busy that nothing else would go on."""
    asyncio.run(fill(url, publisher.origin, readers=READERS if "send" in killed else 0))
    publisher.pause = 1.0
    with SmtpSink(tmp_path, pause=1.0 if "send" in killed else 0.004) as sink, Roles(tmp_path) as roles:
        common = settings(url, publisher.origin, sink.port, tmp_path)
        del common["MONITOR_RUN__TICK_SECONDS"], common["MONITOR_RUN__LEASE_SECONDS"]
        schedulers = [roles.start("scheduler", **common) for _ in range(2)]
        victim = roles.start("worker", **common)
        if "scheduler" in killed:
            until(lambda: len(publisher.visits) == FEEDS, 60, "the first round")
            until(lambda: ask(url, "select count(*) from engine.procrastinate_jobs") == 0, 20, "an empty queue")
            victim = leading(url, schedulers) or victim
        else:
            until(lambda: bool(sink.taken() if "send" in killed else publisher.visits), 60, "the work under way")

        seen = sum(publisher.visits.values())
        victim.send(signal.SIGKILL)
        start = time.monotonic()
        publisher.pause = 0.02
        if "scheduler" in killed:
            due_again(url)
        else:
            roles.start("worker", **common)
        if "send" in killed:
            until(lambda: accepted(url) == READERS, 60, "the mail")
        else:
            until(lambda: sum(publisher.visits.values()) > seen + 1, 60, "the next visits")
        seconds = time.monotonic() - start

    print(f"{killed}: {seconds:.1f} s")
    assert seconds <= 25
