"""PostgreSQL is stopped at once inside what people do by hand and what is done on the side; whoever got an error does
it once more. In the end every table holds as many rows as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from crashes import Crashes, Point
from pgtemp import TempPostgres
from psycopg import sql
from storage_samples import a_delivery, a_match, a_source, a_topic, saved
from test_database_dies import WORK

import storage as store
from monitor.errors import NotFound, StorageError
from monitor.model import (
    ApiToken,
    Cadence,
    Correction,
    CorrectionKind,
    Label,
    Level,
    Role,
    Session,
    Subscriber,
    Subscription,
    User,
    Verdict,
    Visitor,
)
from monitor.pipeline.tuning import Tuning
from storage import Storage
from storage.engine import Repository
from storage.upkeep import News

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
AT_ONCE = timedelta(0)
BACK = 20.0  # seconds in which the server is there again
Action = Callable[[Storage], Awaitable[object]]


async def fill(storage: Storage) -> None:
    """A topic with matches, a source, a reader with a digest that waits, two stories."""
    topic = await storage.topics.add(a_topic(), author="ada", note="", now=NOW)
    source = await storage.sources.add(a_source())
    old = NOW - timedelta(days=9)
    matches = (a_match(topic),)
    await storage.articles.save(source, [saved(n, matches=matches) for n in range(1, 4)], old)
    await storage.articles.save(source, [saved(4, page_due_at=old), saved(5, matches=matches, doi="10.1234/five")], old)
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


# What is taken here may be taken again at once, so that it can be begun anew.


async def polls(storage: Storage) -> None:
    for source in await storage.sources.claim_due(NOW, 1, AT_ONCE):
        await storage.sources.renew(source.id, source.epoch, NOW)
        await storage.sources.release(source.id, source.epoch)
    if source := await storage.sources.claim("news", NOW, AT_ONCE):
        await storage.sources.release(source.id, source.epoch)


async def pages(storage: Storage) -> None:
    for task in await storage.articles.claim_due_pages(NOW, 1, AT_ONCE):
        await storage.articles.renew_page(task, NOW)
        await storage.articles.release_page(task)
    for task in await storage.articles.claim_due_pages(NOW, 1, AT_ONCE):
        await storage.articles.page_failed(task, "It is gone.", None)


async def papers(storage: Storage) -> None:
    for task in await storage.papers.claim_due(NOW, 1, AT_ONCE):
        await storage.papers.renew(task, NOW)
        await storage.papers.failed(task, "No index knows it.", None)
    await storage.papers.remember_search("what is asked", [], NOW)


async def sending(storage: Storage) -> None:
    for mail in await storage.outbox.claim_due(NOW, 1, AT_ONCE):
        await storage.outbox.renew(mail, NOW)


async def leading(storage: Storage) -> None:
    await storage.leases.acquire("y", "me", NOW, timedelta(minutes=1))
    await storage.leases.shorten("y", NOW)
    await storage.leases.release("y", "me")


async def enrol(storage: Storage) -> None:
    wanted = Subscription(subscriber_id=0, topic_ids=(1,), cadence=Cadence.WEEKLY, next_digest_at=NOW)
    await storage.readers.enrol(Subscriber(email="carl@example.org"), wanted, NOW)


async def wishes(storage: Storage) -> None:
    wanted = await storage.readers.subscription(1)
    await storage.readers.update_subscription(replace(wanted, max_items=7))


async def another_url(storage: Storage) -> None:
    source = await storage.sources.get("news")
    await storage.sources.update(replace(source, name="The news"))


async def another_try(storage: Storage) -> None:
    for mail in await storage.outbox.claim_due(NOW, 1, AT_ONCE):
        await storage.outbox.failed(mail, "No such mailbox.", NOW)
    await storage.outbox.retry(1, NOW)


async def told(storage: Storage) -> None:
    news = News(opened=tuple(await storage.notices.open()), over=())
    await storage.upkeep.told(news, NOW)
    await storage.upkeep.untold(news)


async def welcome(storage: Storage) -> None:
    visitor = Visitor(issuer="https://id.example.org", subject="1", email="eve@example.org", role_when_new=Role.EDITOR)
    await storage.users.welcome(visitor, NOW)


async def session(storage: Storage) -> None:
    end = NOW + timedelta(hours=1)
    begun = Session(key="", user_id=1, created_at=NOW, seen_at=NOW, expires_at=end)
    await storage.users.open_session("secret", begun, replaced="secret")
    for one in await storage.users.sessions(1, NOW):
        await storage.users.touch_session(one, NOW + timedelta(minutes=1))
        await storage.users.end_session(1, one.key)


async def token(storage: Storage) -> None:
    if not await storage.users.tokens(1):
        new = ApiToken(user_id=1, name="script", scopes=("topics:read",), created_at=NOW)
        await storage.users.add_token("secret", new)
    for one in await storage.users.tokens(1):
        await storage.users.touch_token(one, NOW)
        await storage.users.remove_token(1, one.id)


async def link_used(storage: Storage) -> None:
    try:
        await storage.users.link("token", NOW)
    except NotFound:
        await storage.users.add_link("token", 1, NOW + timedelta(hours=1))
    await storage.users.use_link("token", "hash", NOW)


ACTIONS: dict[str, Action] = {
    "another try": another_try,
    "notices told": told,
    "a visitor": welcome,
    "a session": session,
    "a token": token,
    "a link used": link_used,
    "a vocabulary": lambda s: s.concepts.replace("mesh", 2026, []),
    "a letter": lambda s: s.outbox.enqueue_mail(a_delivery(None, Subscriber(id=1, email="ada@example.org"), "letter")),
    "the same study": lambda s: s.papers.same_study("10.1234/one", "10.1234/two"),
    "another name for a reader": lambda s: s.readers.update(Subscriber(id=1, email="ada@example.org", name="Ada")),
    "another name for a user": lambda s: s.users.change(
        User(id=1, email="root@example.org", name="Root", role=Role.ADMIN)
    ),
    "a first run": lambda s: s.sources.import_first_run([], [], NOW),
    "a look at the index": lambda s: s.upkeep.index_problem(),
    "polls": polls,
    "pages": pages,
    "papers": papers,
    "sending": sending,
    "leading": leading,
    "a reader with wishes": enrol,
    "other wishes": wishes,
    "another name for a source": another_url,
    "a topic switched off": lambda s: s.topics.set_active("mtor", False),
    "a label taken back": lambda s: s.topics.unlabel(1, 1, "ada"),
    "a block taken back": lambda s: s.readers.unsuppress("eve@example.org"),
    "a reader erased": lambda s: s.readers.erase(1, NOW),
    "a notice seen": lambda s: s.notices.dismiss(1, NOW),
    "places watched": lambda s: s.corrections.watched("crossref", ["10.1234/x"], NOW),
    "released mail": lambda s: s.outbox.release(NOW),
    "a password": lambda s: s.users.set_password(1, "hash"),
    "a link": lambda s: s.users.add_link("token", 1, NOW + timedelta(hours=1)),
    "a right password": lambda s: s.users.forgive("root@example.org", "127.0.0.1"),
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
        assert expected != before or name not in COUNTED
        for kind in kinds:
            url = clone(server, template)
            crashes.arm(kind, point)
            await do(url, ACTIONS[name], crashes)
            assert crashes.disarm()
            assert counts(url) == expected, f"{name}: {kind} {point}"


# of these the number of rows tells whether they were done
COUNTED = {
    "a topic",
    "a revision",
    "a label",
    "a source",
    "a reader",
    "a reader's end",
    "a block",
    "corrections",
    "upkeep",
}
COUNTED |= {"a fact", "a user", "a login", "a lease", "leading", "a reader with wishes"}
COUNTED |= {"places watched", "a link"}


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


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_every_kind_of_write_is_stopped_in_by_one_of_the_sweeps(server: TempPostgres, template: str) -> None:
    repositories = [Repository]
    for one in repositories:
        repositories += one.__subclasses__()
    kinds = {
        f"{one.__name__}.{name}"
        for one in repositories
        for name in re.findall(r"@writes\n    def (\w+)", inspect.getsource(one))
    }
    with Crashes(server) as crashes:
        for action in ACTIONS.values():
            await do(clone(server, template), action, crashes)
        assert sorted(kinds - crashes.seen.keys() - set(WORK)) == sorted(NOWHERE)


# Done again they are there twice, or no more what they were: the person sees the error, and what is there.
NOWHERE = {"Readers.add_subscription", "Stories.split", "Topics.add_example", "Topics.remove_example"}
