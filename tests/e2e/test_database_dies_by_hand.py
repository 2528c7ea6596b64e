"""PostgreSQL is stopped at once inside what people do by hand and what is done on the side; whoever got an error does
it once more. In the end every table holds as many rows as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from crashes import Crashes, Point
from pgtemp import TempPostgres
from psycopg import sql
from storage_samples import a_delivery, a_match, a_source, a_topic, saved

import storage as store
from monitor.errors import StorageError
from monitor.model import (
    Cadence,
    Correction,
    CorrectionKind,
    Label,
    Level,
    Role,
    Subscriber,
    Subscription,
    User,
    Verdict,
)
from monitor.pipeline.tuning import Tuning
from storage import Storage

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
BACK = 20.0  # seconds in which the server is there again
Action = Callable[[Storage], Awaitable[object]]


async def fill(storage: Storage) -> None:
    """A topic with matches, a source, a reader with a digest that waits, two stories."""
    topic = await storage.topics.add(a_topic(), author="ada", note="", now=NOW)
    source = await storage.sources.add(a_source())
    old = NOW - timedelta(days=9)
    await storage.articles.save(source, [saved(n, matches=(a_match(topic),)) for n in range(1, 4)], old)
    await storage.stories.settle(old)
    reader = await storage.readers.add_subscriber(Subscriber(email="ada@example.org"), NOW)
    wanted = Subscription(subscriber_id=reader.id, topic_ids=(topic.id,), cadence=Cadence.WEEKLY, next_digest_at=NOW)
    subscription = await storage.readers.add_subscription(wanted)
    mail = a_delivery(subscription, reader)
    await storage.outbox.enqueue(mail, [1], expected_next_at=NOW, next_at=NOW + timedelta(days=7))
    await storage.users.add(User(email="root@example.org", role=Role.ADMIN), NOW)
    await storage.notices.raise_once("source:news", "stale", Level.WARNING, "Old.", old)


async def save_revision(storage: Storage) -> None:
    topic = await storage.topics.get("mtor")
    if topic.query != "mTOR OR rapamycin":  # who looks again sees what is saved
        changed = a_topic(query="mTOR OR rapamycin", revision=1)
        await storage.topics.save(changed, author="ada", note="", now=NOW, expected_revision=1)


async def rematch(storage: Storage) -> None:
    await Tuning(storage=storage, now=lambda: NOW).rematch("mtor")


async def upkeep(storage: Storage) -> None:
    await storage.outbox.cancel_unwanted(NOW)
    await storage.sources.prune_polls(NOW)
    await storage.upkeep.forget_notices(NOW)
    await storage.upkeep.forget_bodies(NOW)
    await storage.stories.prune(NOW)
    await storage.papers.prune(NOW)
    await storage.articles.prune(NOW - timedelta(days=1))


async def label(storage: Storage) -> None:
    one = Label(topic_id=1, article_id=1, verdict=Verdict.RELEVANT, by="ada", reason="", labelled_at=NOW)
    await storage.topics.label(one)


async def corrections(storage: Storage) -> None:
    one = Correction(kind=CorrectionKind.RETRACTION, doi="10.1234/x", source="crossref", noticed_at=NOW)
    await storage.corrections.add([one], NOW)


ACTIONS: dict[str, Action] = {
    "a topic": lambda s: s.topics.add(a_topic("sirtuin"), author="ada", note="", now=NOW),
    "a revision": save_revision,
    "a rematch": rematch,
    "a label": label,
    "a source": lambda s: s.sources.add(a_source("other")),
    "a source switched off": lambda s: s.sources.set_active("news", False),
    "a reader": lambda s: s.readers.add_subscriber(Subscriber(email="bob@example.org"), NOW),
    "a reader's end": lambda s: s.people.erase("ada@example.org", NOW),
    "a block": lambda s: s.readers.suppress("eve@example.org", "asked", NOW),
    "a cancelled digest": lambda s: s.outbox.cancel(1, NOW),
    "held mail": lambda s: s.outbox.hold_all("restored", NOW),
    "merged stories": lambda s: s.stories.merge(1, 2, NOW),
    "corrections": corrections,
    "upkeep": upkeep,
    "an index made anew": lambda s: s.upkeep.rebuild_index(),
    "a fact": lambda s: s.upkeep.set_fact("name", "value"),
    "a user": lambda s: s.users.add(User(email="new@example.org", role=Role.EDITOR), NOW),
    "a login": lambda s: s.users.attempt("root@example.org", "127.0.0.1", NOW),
    "a lease": lambda s: s.leases.acquire("x", "me", NOW, timedelta(minutes=1)),
}
QUICK = (("a revision", Point.ANSWER), ("corrections", Point.COMMIT), ("upkeep", Point.INSIDE))


@pytest.fixture(scope="module")
def template(server: TempPostgres) -> str:
    url = server.create("template")
    store.migrate(url)

    async def made() -> None:
        async with Storage.open(url) as storage:
            await fill(storage)

    asyncio.run(made())
    return "template"


def clone(server: TempPostgres, template: str) -> str:
    name = f"c{uuid.uuid4().hex}"
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute(sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template)))
    return server.url(name)


def counts(url: str) -> dict[str, int]:
    with psycopg.connect(url) as db:
        tables = [name for (name,) in db.execute("select tablename from pg_tables where schemaname = 'public'")]
        found = {}
        for table in tables:
            row = db.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table))).fetchone()
            found[table] = int(row[0]) if row else 0
    return found


async def do(url: str, action: Action, crashes: Crashes) -> int:
    """Until it went well, or is said to be done already; the number of errors."""
    errors = 0
    async with Storage.open(url) as storage:
        restarting = asyncio.create_task(restart(crashes))
        try:
            while True:
                try:
                    await action(storage)
                    return errors
                except StorageError:
                    errors += 1
                    if errors > 1 and await answers(storage):
                        return errors  # "there is one already", "it is too late": it was done the first time
                    end = time.monotonic() + BACK
                    while not await answers(storage):
                        assert time.monotonic() < end
                        await asyncio.sleep(0.1)
        finally:
            restarting.cancel()


async def answers(storage: Storage) -> bool:
    with contextlib.suppress(StorageError):
        await storage.ping()
        return True
    return False


async def restart(crashes: Crashes) -> None:
    while True:
        crashes.start_again()
        await asyncio.sleep(0.05)


async def prove(server: TempPostgres, template: str, name: str, point: Point) -> None:
    """With a stop in each kind of transaction that the action has."""
    whole = clone(server, template)
    with Crashes(server) as crashes:
        before = counts(whole)
        await do(whole, ACTIONS[name], crashes)
        expected, kinds = counts(whole), sorted(crashes.seen)
        assert kinds
        assert expected != before or name in UNCOUNTED
        for kind in kinds:
            url = clone(server, template)
            crashes.arm(kind, point)
            await do(url, ACTIONS[name], crashes)
            assert crashes.disarm()
            assert counts(url) == expected, f"{name}: {kind} {point}"


UNCOUNTED = {"a source switched off", "a rematch", "a cancelled digest", "an index made anew", "merged stories"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "point"), QUICK, ids=lambda value: str(value))
async def test_what_is_done_by_hand_is_done_once(server: TempPostgres, template: str, name: str, point: Point) -> None:
    await prove(server, template, name, point)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize("name", ACTIONS)
async def test_all_that_is_done_by_hand_is_done_once(
    server: TempPostgres, template: str, name: str, point: Point
) -> None:
    await prove(server, template, name, point)
