"""Notices, audit, leases, migrations, locks, bad databases: what keeps the house. On SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pgtemp import TempPostgres
from storage_samples import DAY, LEASE, MINUTE, NOW, a_source, saved, word

import storage as store
from monitor.errors import StorageError
from monitor.model import Level
from storage import SchemaState, Storage, tables
from storage.audit import acting
from storage.engine import checked_url
from storage.migrate import config

# --- notices, audit, leases -----------------------------------------------------------------------------------


async def test_a_notice_is_raised_once_until_it_is_closed(storage: Storage) -> None:
    notices = storage.notices
    first = await notices.raise_once("source:news", "dead", Level.WARNING, "3 times", NOW)
    again = await notices.raise_once("source:news", "dead", Level.ERROR, "4 times", NOW + MINUTE)
    other = await notices.raise_once("relay", "dead", Level.INFO, "x", NOW)
    (open_one, _) = await notices.open()
    closed = [await notices.close("source:news", "dead", NOW + DAY) for _ in range(2)]
    anew = await notices.raise_once("source:news", "dead", Level.WARNING, "again", NOW + 2 * DAY)

    assert (first, again, other, anew) == (True, False, True, True)
    assert (open_one.text, open_one.level, open_one.raised_at) == ("4 times", Level.ERROR, NOW)
    assert closed == [True, False]
    assert [notice.subject for notice in await notices.open()] == ["source:news", "relay"]  # worst first
    assert [(notice.text, notice.closed_at) for notice in await notices.recent(2)] == [
        ("again", None),
        ("x", None),
    ]


async def test_two_processes_raise_a_notice_once(storage: Storage, storage_url: str) -> None:
    async with Storage.open(storage_url) as other:
        raised = await asyncio.gather(
            *(one.notices.raise_once("relay", "down", Level.ERROR, "x", NOW) for one in (storage, other) * 4)
        )

    assert sum(raised) == 1
    assert len(await storage.notices.open()) == 1


async def test_the_audit_keeps_what_was_before_and_after(storage: Storage) -> None:
    with acting("ada", lambda: NOW):
        await storage.audit.note("topic:mtor", "mTOR", "mTOR OR mTORC1")
        with acting("bob", lambda: NOW):
            await storage.audit.note("source:news", "", "added")
    await storage.audit.note("the program's own doing")

    newest, oldest = await storage.audit.recent()

    assert (newest.who, oldest.who, oldest.before, oldest.after, oldest.at) == (
        "bob", "ada", "mTOR", "mTOR OR mTORC1", NOW,
    )  # fmt: skip


async def test_one_leads_until_its_lease_ends_and_the_epoch_tells(storage: Storage) -> None:
    leases = storage.leases

    assert await leases.acquire("clock", "a", NOW, LEASE) == 1
    assert await leases.acquire("clock", "b", NOW, LEASE) is None
    assert await leases.acquire("clock", "a", NOW + LEASE / 2, LEASE) == 1  # renewed
    assert await leases.acquire("clock", "b", NOW + LEASE, LEASE) is None
    assert await leases.acquire("clock", "b", NOW + 2 * LEASE, LEASE) == 2  # taken over
    assert await leases.acquire("clock", "a", NOW + 2 * LEASE, LEASE) is None
    assert not await leases.release("clock", "a")
    assert await leases.release("clock", "b")
    assert await leases.acquire("clock", "a", NOW, LEASE) == 3


# --- writing and reading at once ------------------------------------------------------------------------------


async def test_reads_and_writes_side_by_side_lose_nothing(storage: Storage) -> None:
    async def write(number: int) -> None:
        await storage.articles.save(None, [saved(number)], NOW)

    await asyncio.gather(*(write(number) for number in range(60)), *(storage.articles.count() for _ in range(60)))

    assert await storage.articles.count() == 60
    assert await storage.articles.hits(word("story")) == 60


async def test_tidying_and_pinging_do_no_harm(storage: Storage) -> None:
    await storage.articles.save(None, [saved(1)], NOW)

    await storage.tidy()
    await storage.ping()

    assert await storage.articles.count() == 1


async def test_a_cancelled_caller_leaves_a_whole_transaction(storage: Storage) -> None:
    task = asyncio.create_task(storage.articles.save(None, [saved(number) for number in range(50)], NOW))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await storage.articles.count() in (0, 50)
    assert await storage.articles.save(None, [saved(51)], NOW)


# --- migrations -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fresh.db'}"
    url: str = request.getfixturevalue("fresh_postgres")
    return url


@pytest.fixture
def fresh_postgres(postgres: TempPostgres) -> str:
    return postgres.create(f"fresh_{os.urandom(4).hex()}")


def _engine(url: str) -> sa.Engine:
    return sa.create_engine(checked_url(url), poolclass=sa.NullPool)


def test_an_empty_database_is_brought_up_to_date_once(fresh_url: str) -> None:
    before = store.schema_state(fresh_url)

    migrated = [store.migrate(fresh_url), store.migrate(fresh_url)]

    assert before is SchemaState.EMPTY
    assert migrated == [True, False]
    assert store.schema_state(fresh_url) is SchemaState.CURRENT


def test_the_migrations_make_exactly_the_tables_that_the_program_knows(fresh_url: str) -> None:
    store.migrate(fresh_url)

    with _engine(fresh_url).connect() as db:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _: kind != "table" or not name.startswith("article_fts"),
        }
        difference = compare_metadata(MigrationContext.configure(db, opts=options), tables.metadata)

    assert difference == []


def test_rows_of_the_first_schema_survive_every_migration(fresh_url: str) -> None:
    """A row in each table, written by the columns that the first schema had."""
    with _engine(fresh_url).begin() as db:
        command.upgrade(config(db), "0001")
        known = sa.MetaData()
        known.reflect(db)
        own = [table for table in known.sorted_tables if not table.name.startswith(("article_fts", "alembic"))]
        for table in own:
            db.execute(table.insert().values({column.name: _any_value(column) for column in table.columns}))
        db.execute(known.tables["fact"].insert().values(name="fold_version", value="0"))

    store.migrate(fresh_url)

    with _engine(fresh_url).connect() as db:
        counts = {table.name: db.scalar(sa.select(sa.func.count()).select_from(table)) for table in own}
        found = db.scalar(sa.text("select count(*) from article_fts"))
    assert counts == {table.name: 2 if table.name == "fact" else 1 for table in own}
    assert found == 1


def _any_value(column: sa.Column[object]) -> object:
    kinds = {bool: True, int: 1, float: 1.0, str: "[]", bytes: b"x", date: NOW.date(), datetime: NOW}
    return kinds[column.type.python_type]


def test_many_processes_migrate_once(fresh_url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(lambda _: store.migrate(fresh_url), range(6)))

    assert sorted(results) == [False] * 5 + [True]


def test_migrating_does_not_depend_on_where_it_is_started(tmp_path: Path) -> None:
    program = f"import storage; print(storage.migrate('sqlite:///{tmp_path}/x.db'))"
    root = Path(store.__file__).parent.parent

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )

    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_a_database_of_a_newer_program_is_not_touched(fresh_url: str) -> None:
    store.migrate(fresh_url)
    with _engine(fresh_url).begin() as db:
        db.execute(sa.text("update alembic_version set version_num = '9999'"))

    assert store.schema_state(fresh_url) is SchemaState.NEWER
    for use in (store.migrate, Storage.open):
        with pytest.raises(StorageError, match="newer version of this program"):
            use(fresh_url)


def test_an_unmigrated_database_says_what_to_do(fresh_url: str) -> None:
    with pytest.raises(StorageError, match="empty: run `monitor migrate`"):
        Storage.open(fresh_url)


async def test_the_index_is_made_anew_when_the_folding_has_changed(storage: Storage, storage_url: str) -> None:
    await storage.articles.save(None, [saved(1, title="aspirin"), saved(2)], NOW)
    with _engine(storage_url).begin() as db:
        db.execute(sa.text("update fact set value = '0' where name = 'fold_version'"))
        db.execute(sa.text("delete from article_fts" if db.dialect.name != "sqlite" else
                           "insert into article_fts(article_fts) values ('delete-all')"))  # fmt: skip
    assert await storage.articles.hits(word("aspirin")) == 0

    assert store.migrate(storage_url)
    assert not store.migrate(storage_url)

    assert await storage.articles.hits(word("aspirin")) == 1
    assert await storage.articles.hits(word("story")) == 2


async def test_sqlite_keeps_its_promises(tmp_path: Path) -> None:
    """Durable commits, readers beside the writer, foreign keys, large pages: each is a pragma that can be lost."""
    url = f"sqlite:///{tmp_path}/x.db"
    store.migrate(url)
    async with Storage.open(url) as storage:
        pragmas = {
            name: (
                await storage._database.write(lambda db, name=name: db.exec_driver_sql(f"pragma {name}").scalar()),
                await storage._database.read(lambda db, name=name: db.exec_driver_sql(f"pragma {name}").scalar()),
            )
            for name in ("journal_mode", "synchronous", "foreign_keys", "page_size", "query_only")
        }

    assert pragmas == {
        "journal_mode": ("wal", "wal"),
        "synchronous": (2, 2),
        "foreign_keys": (1, 1),
        "page_size": (8192, 8192),
        "query_only": (0, 1),
    }


# --- one process, bad databases -------------------------------------------------------------------------------


def _hold(url: str, started: threading.Event) -> None:
    with store.exclusive(url):
        started.set()
        threading.Event().wait(60)


def test_a_second_process_on_the_same_file_is_told_who_holds_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    other = context.Process(target=_hold, args=(url, started))
    other.start()
    assert started.wait(30)

    with pytest.raises(StorageError, match=f"already running, pid {other.pid}"), store.exclusive(url):
        pass
    other.kill()
    other.join(10)

    with store.exclusive(url):  # a killed holder holds nothing
        pass


def test_postgres_may_be_used_by_several_processes() -> None:
    with store.exclusive("postgresql://h/d"), store.exclusive("postgresql://h/d"):
        pass


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://host/name", "no such database: mysql"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("//user:secret@host", "not a database URL: host"),
    ],
)
def test_a_url_that_cannot_be_one_says_what_would_be_right(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=f"{message}.*sqlite:////data/monitor.db") as caught:
        Storage(url)

    assert "secret" not in str(caught.value)


def test_plain_postgresql_urls_name_our_driver() -> None:
    for scheme in ("postgresql", "postgres", "postgresql+psycopg2"):
        assert checked_url(f"{scheme}://u:p@h/d").drivername == "postgresql+psycopg"


def test_an_unwritable_directory_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    with pytest.raises(StorageError, match=r"cannot write the database .*Make .* writable"):
        store.migrate(f"sqlite:///{tmp_path}/file/x.db")


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this is not a database at all" * 100)

    with pytest.raises(StorageError, match="not a database"):
        store.migrate(f"sqlite:///{tmp_path}/x.db")


def test_an_unreachable_server_says_so_without_the_password() -> None:
    with pytest.raises(StorageError, match="check that PostgreSQL runs there") as caught:
        store.migrate("postgresql://u:secret@127.0.0.1:1/d")

    assert "secret" not in str(caught.value)


async def test_a_full_disk_undoes_the_change_and_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    store.migrate(url)
    async with Storage.open(url) as storage:
        await storage._database.write(lambda db: db.exec_driver_sql("pragma max_page_count = 150").scalar())

        with pytest.raises(StorageError, match="nothing was lost"):
            await storage.articles.save(None, [saved(n, body="x" * 50_000) for n in range(40)], NOW)

        assert await storage.articles.count() == 0


@pytest.mark.postgres
async def test_a_connection_that_the_server_ended_is_made_anew(fresh_postgres: str) -> None:
    storage_url = fresh_postgres
    store.migrate(storage_url)
    async with Storage.open(storage_url) as storage:
        await storage.sources.add(a_source())
        with _engine(storage_url).connect() as db:
            db.execute(sa.text("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                               " and datname = current_database()"))  # fmt: skip

        assert [source.slug for source in await storage.sources.list()] == ["news"]


def test_the_copy_of_a_database_opens_anywhere(tmp_path: Path) -> None:
    """No absolute path, no second file: what `VACUUM INTO` writes is the whole of it."""
    store.migrate(f"sqlite:///{tmp_path}/x.db")
    with sqlite3.connect(tmp_path / "x.db") as db:
        db.execute(f"vacuum into '{tmp_path / 'copy.db'}'")
    db.close()

    assert store.schema_state(f"sqlite:///{tmp_path}/copy.db") is SchemaState.CURRENT
