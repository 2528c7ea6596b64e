"""Three hundred digests, and a program that is killed again and again while it plans and sends them."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from killable import Killable
from smtp_sink import SmtpSink, Taken

import storage as store
from monitor.model import Article, Cadence, DeliveryState, Entry, Match, Subscriber, Subscription, Topic
from storage import Saved

DUE = datetime(2026, 6, 8, 7, 0, tzinfo=UTC)
STEP = timedelta(minutes=1)  # between two runs: the lease of whoever was killed has run out
READERS = 300
ARTICLES = 6
WINDOW = 2.0  # seconds from the server's acceptance to our commit, on a busy machine


@dataclass
class Killed:
    at: list[float] = field(default_factory=list)
    stages: Counter[str] = field(default_factory=Counter)


async def fill(url: str) -> None:
    """Readers of two topics, each with a digest that is due, and articles for them."""
    stored_at = DUE - timedelta(hours=2)
    async with store.Storage.open(url) as storage:
        await storage.sources.import_first_run([], [], DUE)
        topics = [
            await storage.topics.add(Topic(slug=slug, name=slug, query=slug), author="test", note="", now=stored_at)
            for slug in ("alpha", "beta")
        ]
        found = []
        for number in range(ARTICLES):
            address, topic = f"https://news.example/{number}", topics[number % 2]
            title = f"marker-{number} of the sample press"
            article = Article(url=address, canonical_url=address, key=address, title=title, summary="A teaser.")
            match = Match(topic_id=topic.id, revision_id=topic.revision_id)
            found.append(Saved(entry=Entry(url=address, title=title), article=article, matches=(match,)))
        await storage.articles.save(None, found, stored_at)
        ids = tuple(topic.id for topic in topics)
        for number in range(READERS):
            reader = await storage.readers.add_subscriber(Subscriber(email=f"r{number}@example.org"), stored_at)
            wanted = Subscription(
                subscriber_id=reader.id, topic_ids=ids, cadence=Cadence.WEEKLY, max_items=4, next_digest_at=DUE
            )
            await storage.readers.add_subscription(wanted)


def send_killed(
    program: Killable, sink: SmtpSink, url: str, data_dir: Path, kills: int, seed: int
) -> tuple[Killed, datetime]:
    """Runs that plan and send, each killed at a random moment of the time that such a run has left."""
    rng = random.Random(seed)
    now, done = DUE, Killed()
    for _ in range(kills * 2):
        if len(done.at) >= kills:
            break
        now += STEP
        run = program.start("send", data_dir=data_dir, now=now, url=url, port=sink.port)
        if run.reach(rng.choice(("plan", "send", "send"))):
            time.sleep(rng.expovariate(1 / 0.08))  # some while the first is on its way, some after dozens
            at = run.kill()
            if run.status == -9:
                done.at.append(at)
                done.stages[list(run.stages)[-1]] += 1
        assert run.finish() in (0, -9)
        if run.status == 0:
            break
    return done, now


async def check(url: str, taken: list[Taken], killed: Killed) -> Counter[int]:
    """0 lost, second copies only where a kill explains them, no article in two different mails; resends, counted."""
    by_id: defaultdict[str, list[Taken]] = defaultdict(list)
    for one in taken:
        by_id[one.message_id].append(one)
    async with store.Storage.open(url) as storage:
        deliveries = await storage.outbox.list(limit=10_000)
        assert len(deliveries) == READERS
        assert {delivery.state for delivery in deliveries} == {DeliveryState.ACCEPTED}
        assert by_id.keys() == {delivery.message.message_id for delivery in deliveries}
        noticed = {notice.subject for notice in await storage.notices.recent(10_000)}
    for delivery in deliveries:
        copies = by_id[delivery.message.message_id]
        assert {copy.recipient for copy in copies} == {delivery.message.recipient}
        assert len({copy.text for copy in copies}) == 1
        for first in copies[:-1]:
            assert any(first.at <= at <= first.at + WINDOW for at in killed.at), "a second copy that no kill explains"
        if len(copies) > 1:
            assert f"delivery:{delivery.id}" in noticed
    articles: Counter[tuple[str, str]] = Counter()
    for copies in by_id.values():
        for number in range(ARTICLES):
            articles[copies[0].recipient, f"marker-{number}"] += f"marker-{number} " in copies[0].text
    assert max(articles.values()) == 1
    return Counter(len(copies) for copies in by_id.values())


async def decide(url: str, now: datetime) -> int:
    """An admin sends again what was killed twice, and so waits in doubt; how many."""
    async with store.Storage.open(url) as storage:
        waiting = await storage.outbox.list([DeliveryState.IN_DOUBT], limit=10_000)
        for delivery in waiting:
            assert delivery.resends == 1
            await storage.outbox.retry(delivery.id, now)
        return len(waiting)


def prove(program: Killable, sink: SmtpSink, url: str, data_dir: Path, kills: int, seed: int) -> Killed:
    asyncio.run(fill(url))
    killed, now = send_killed(program, sink, url, data_dir, kills, seed)
    for _ in range(2):
        now += STEP
        assert program.start("send", data_dir=data_dir, now=now, url=url, port=sink.port).finish() == 0
        waited = asyncio.run(decide(url, now))
    assert waited == 0
    copies = asyncio.run(check(url, sink.taken(), killed))
    print(f"KILL_SEED={seed}; killed in {dict(killed.stages)}; copies of a message: {dict(copies)}")
    return killed


@pytest.mark.timeout(300)
def test_three_hundred_digests_survive_thirty_kills(storage_url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("KILL_SEED", random.randrange(10**6)))

    with Killable() as program, SmtpSink(tmp_path) as sink:
        killed = prove(program, sink, storage_url, tmp_path, 30, seed)

    assert len(killed.at) >= 15


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_three_hundred_digests_survive_two_hundred_kills_in_ten_lives(
    storage_url: str, tmp_path: Path, part: int
) -> None:
    seed = int(os.environ.get("KILL_SEED", random.randrange(10**6)))

    with Killable() as program, SmtpSink(tmp_path) as sink:
        killed = prove(program, sink, storage_url, tmp_path, 30, seed + part)

    assert len(killed.at) >= 15
