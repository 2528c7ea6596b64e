"""Backup, restore and move: everything arrives, nothing foreign does, and no mail leaves before an admin says so."""

from __future__ import annotations

import asyncio
import gzip
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pgtemp import TempPostgres
from storage_samples import DAY, LEASE, NOW, a_delivery, a_match, a_source, a_topic, saved, word

import storage as store
from monitor.errors import AlreadyRunning, StorageError
from monitor.model import DeliveryState, Level, Subscriber, Subscription
from storage import Storage, backup, dump, tables
from storage.engine import checked_url
from storage.migrate import revisions
from storage.moving import move

REASON = "restored"


@pytest.fixture
def file_url(tmp_path: Path, sqlite_template: Path) -> str:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "monitor.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def server_url(postgres: TempPostgres) -> Iterator[str]:
    """A database of its own: a restore wants to be alone in it."""
    name = f"upkeep_{os.urandom(4).hex()}"
    yield postgres.create(name)
    with psycopg.connect(postgres.url(), autocommit=True) as db:
        db.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def untouched_url(postgres: TempPostgres) -> str:
    """One for all that must leave it as it is."""
    url = postgres.create(f"untouched_{os.urandom(4).hex()}")
    store.migrate(url)
    return url


async def fill(url: str) -> None:
    """Something in most tables, texts of every kind among it."""
    async with Storage.open(url) as storage:
        source = await storage.sources.add(a_source())
        topic = await storage.topics.add(a_topic(), author="ada", note="", now=NOW)
        odd = "Tab\there, back\\slash, quote\" and ' and \\N, line\nbreak, Ångström 𝛂 ✓"
        await storage.articles.save(
            None, [saved(1, title=odd, matches=(a_match(topic),)), *(saved(n) for n in range(2, 8))], NOW
        )
        reader = await storage.readers.add_subscriber(Subscriber(email="ada@example.org"), NOW)
        subscription = await storage.readers.add_subscription(
            Subscription(subscriber_id=reader.id, topic_ids=(topic.id,), next_digest_at=NOW)
        )
        await storage.outbox.enqueue(a_delivery(subscription, reader), [1], expected_next_at=NOW, next_at=NOW + 7 * DAY)
        await storage.notices.raise_once("relay", "down", Level.ERROR, odd, NOW)
        assert source.id


def contents(url: str) -> dict[str, list[Any]]:
    """Every row of every table, as Python sees it."""
    engine = sa.create_engine(checked_url(url), poolclass=sa.NullPool)
    with engine.connect() as db:
        return {
            table.name: sorted((tuple(row) for row in db.execute(table.select())), key=repr)
            for table in tables.metadata.sorted_tables
        }


# --- there and back -------------------------------------------------------------------------------------------


async def test_a_backup_made_while_somebody_writes_restores_to_a_working_state(file_url: str, tmp_path: Path) -> None:
    await fill(file_url)
    stop = threading.Event()

    def write() -> None:
        async def on_and_on() -> None:
            async with Storage.open(file_url) as storage:
                number = 100
                while not stop.is_set():
                    await storage.articles.save(None, [saved(number)], NOW)
                    number += 1

        asyncio.run(on_and_on())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = await asyncio.to_thread(backup.backup, file_url, tmp_path / "copy.db", now=NOW)
    finally:
        stop.set()
        writer.join()
    restored = await asyncio.to_thread(backup.restore, file_url, tmp_path / "copy.db", reason=REASON, now=NOW)

    assert made.rows == restored.rows
    assert restored.held == 1
    async with Storage.open(file_url) as storage:
        count = await storage.articles.count()
        assert count >= 7
        assert await storage.articles.hits(word("story")) == count
        await storage.articles.save(None, [saved(9_999)], NOW)
        assert await storage.articles.count() == count + 1


async def test_after_a_restore_nothing_is_sent_until_an_admin_releases_it(file_url: str, tmp_path: Path) -> None:
    await fill(file_url)
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)
    async with Storage.open(file_url) as storage:  # the digest goes out after the backup: the backup does not know
        (claimed,) = await storage.outbox.claim_due(NOW, 10, LEASE)
        await storage.outbox.accepted(claimed, NOW)

    backup.restore(file_url, tmp_path / "copy.db", reason=REASON, now=NOW)

    async with Storage.open(file_url) as storage:
        assert await storage.outbox.claim_due(NOW + DAY, 10, LEASE) == []
        assert await storage.outbox.held_because() == REASON
        assert [d.state for d in await storage.outbox.list()] == [DeliveryState.HELD]
        assert await storage.outbox.release(NOW + DAY) == 1
        assert len(await storage.outbox.claim_due(NOW + DAY, 10, LEASE)) == 1


async def test_the_database_of_before_is_kept_and_opens(file_url: str, tmp_path: Path) -> None:
    backup.backup(file_url, tmp_path / "empty.db", now=NOW)
    await fill(file_url)

    done = backup.restore(file_url, tmp_path / "empty.db", reason=REASON, now=NOW)

    assert done.aside is not None
    async with Storage.open(file_url) as now, Storage.open(f"sqlite:///{done.aside}") as before:
        assert (await now.articles.count(), await before.articles.count()) == (0, 7)


async def test_a_backup_of_an_older_schema_is_brought_up_to_date(tmp_path: Path, file_url: str) -> None:
    from alembic import command

    from storage.migrate import config, connected

    old = tmp_path / "old.db"
    with connected(checked_url(f"sqlite:///{old}")) as db:
        command.upgrade(config(db), "0001")

    backup.restore(file_url, old, reason=REASON, now=NOW)

    assert store.schema_state(file_url) is store.SchemaState.CURRENT


@pytest.mark.postgres
async def test_a_dump_restores_every_row_and_leaves_no_scratch_database(
    server_url: str, tmp_path: Path, postgres: TempPostgres
) -> None:
    store.migrate(server_url)
    await fill(server_url)
    before = contents(server_url)
    made = backup.backup(server_url, tmp_path / "copy.rows.gz", now=NOW)
    async with Storage.open(server_url) as storage:
        await storage.articles.save(None, [saved(50)], NOW)

    restored = backup.restore(server_url, tmp_path / "copy.rows.gz", reason=REASON, now=NOW)

    after = contents(server_url)
    assert "restored into a scratch database" in made.checks
    assert made.rows == restored.rows == sum(len(rows) for rows in before.values())
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"delivery", "fact"}  # what is held is
    async with Storage.open(server_url) as storage:
        assert await storage.articles.hits(word("story")) == 7
        assert (await storage.articles.save(None, [saved(50)], NOW)).new == 1  # sequences go on behind the rows
    engine = sa.create_engine(checked_url(postgres.url()), poolclass=sa.NullPool)
    with engine.connect() as db:
        names = set(db.scalars(sa.text("select datname from pg_database")))
    assert not [name for name in names if name.startswith(f"{checked_url(server_url).database}_check_")]


@pytest.mark.postgres
async def test_a_role_that_may_make_no_database_still_gets_a_checked_dump(
    postgres: TempPostgres, server_url: str, tmp_path: Path
) -> None:
    role = f"plain_{os.urandom(3).hex()}"
    engine = sa.create_engine(checked_url(server_url), poolclass=sa.NullPool)
    with engine.begin() as db:
        db.execute(sa.text(f"create role {role} login"))
        db.execute(sa.text(f"grant create, usage on schema public to {role}"))
    theirs = server_url.replace("postgres@", f"{role}@")
    store.migrate(theirs)

    made = backup.backup(theirs, tmp_path / "copy.rows.gz", now=NOW)

    assert made.checks[0] == "read completely"
    assert "may not create databases" in made.checks[1]


async def test_a_crash_at_the_last_step_leaves_the_database_of_before(
    file_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.backup(file_url, tmp_path / "empty.db", now=NOW)
    await fill(file_url)
    before = contents(file_url)

    def crash(_draft: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_settle", crash)
    with pytest.raises(KeyboardInterrupt):
        backup.restore(file_url, tmp_path / "empty.db", reason=REASON, now=NOW)

    assert contents(file_url) == before


@pytest.mark.parametrize("damage", ["header", "middle"])
async def test_a_damaged_database_is_replaced_and_kept(file_url: str, tmp_path: Path, damage: str) -> None:
    await fill(file_url)
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)
    path = Path(file_url.removeprefix("sqlite:///"))
    data = bytearray(path.read_bytes())
    start = 0 if damage == "header" else len(data) // 2
    data[start : start + 9_000] = b"\xff" * 9_000
    path.write_bytes(data)

    done = backup.restore(file_url, tmp_path / "copy.db", reason=REASON, now=NOW)

    assert done.aside is not None
    assert done.aside.read_bytes()[start : start + 9_000] == b"\xff" * 9_000
    async with Storage.open(file_url) as storage:
        assert await storage.articles.count() == 7


async def test_a_machine_that_had_nothing_gets_all(tmp_path: Path, file_url: str) -> None:
    await fill(file_url)
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)
    (tmp_path / "new").mkdir()

    done = backup.restore(f"sqlite:///{tmp_path}/new/monitor.db", tmp_path / "copy.db", reason=REASON, now=NOW)

    assert done.aside is None
    async with Storage.open(f"sqlite:///{tmp_path}/new/monitor.db") as storage:
        assert await storage.articles.count() == 7


# --- refused --------------------------------------------------------------------------------------------------


async def test_nothing_is_restored_over_a_running_instance(file_url: str, tmp_path: Path) -> None:
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)

    with store.exclusive(file_url), pytest.raises(StorageError, match="already running"):
        backup.restore(file_url, tmp_path / "copy.db", reason=REASON, now=NOW)


async def test_nothing_is_restored_while_any_program_has_the_file_open(file_url: str, tmp_path: Path) -> None:
    """A command such as `monitor poll` takes no lock of ours; SQLite's own lock shows it."""
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)
    async with Storage.open(file_url) as storage:
        await storage.articles.save(None, [saved(1)], NOW)

        with pytest.raises(AlreadyRunning, match="a program uses"):
            await asyncio.to_thread(backup.restore, file_url, tmp_path / "copy.db", reason=REASON, now=NOW)

        assert await storage.articles.count() == 1
    assert sorted(path.name for path in (tmp_path / "data").glob(".*")) == []


@pytest.mark.postgres
async def test_nothing_is_restored_while_somebody_is_connected(server_url: str, tmp_path: Path) -> None:
    store.migrate(server_url)
    backup.backup(server_url, tmp_path / "copy.rows.gz", quick=True, now=NOW)
    async with Storage.open(server_url) as storage:
        await storage.ping()

        with pytest.raises(AlreadyRunning, match="stop every"):
            await asyncio.to_thread(backup.restore, server_url, tmp_path / "copy.rows.gz", reason=REASON, now=NOW)


HOSTILE_SQL = {
    "a trigger": "create trigger t after insert on delivery begin delete from subscriber; end",
    "a view": "create view v as select * from subscriber",
    "a table": "create table extra(x)",
    "an index": "create index i on article(title)",
    "a column": "alter table article add column x text",
    "a table gone": "drop table audit",
    "a view for a table": "drop table audit; create view audit as select 1 as id",
    "a newer version": "update alembic_version set version_num = '9999'",
    "two versions": "insert into alembic_version values ('0001')",
    "no version": "delete from alembic_version",
}


@pytest.mark.parametrize("statement", HOSTILE_SQL.values(), ids=HOSTILE_SQL)
def test_a_file_with_another_schema_is_refused_and_nothing_changes(
    file_url: str, tmp_path: Path, statement: str
) -> None:
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        db.executescript(statement)
    before = contents(file_url)

    with pytest.raises(StorageError):
        backup.restore(file_url, tmp_path / "copy.db", reason=REASON, now=NOW)

    assert contents(file_url) == before
    assert [path.name for path in (tmp_path / "data").iterdir() if ".before" in path.name] == []


def test_a_damaged_file_is_refused(file_url: str, tmp_path: Path) -> None:
    asyncio.run(fill(file_url))
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)
    data = bytearray((tmp_path / "copy.db").read_bytes())
    data[200_000:320_000] = os.urandom(120_000)
    (tmp_path / "copy.db").write_bytes(data)

    with pytest.raises(StorageError, match=r"damaged|schema"):
        backup.restore(file_url, tmp_path / "copy.db", reason=REASON, now=NOW)


def test_rows_that_point_nowhere_are_refused(file_url: str, tmp_path: Path) -> None:
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        db.execute("insert into page values (77, 'u', '{}', null, 0, 0, null, '')")
        db.commit()

    with pytest.raises(StorageError, match="point nowhere, in page"):
        backup.restore(file_url, tmp_path / "copy.db", reason=REASON, now=NOW)


def test_an_index_that_lacks_articles_is_refused(file_url: str, tmp_path: Path) -> None:
    asyncio.run(fill(file_url))
    backup.backup(file_url, tmp_path / "copy.db", now=NOW)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        db.execute("insert into article_fts(article_fts) values ('delete-all')")
        db.commit()

    with pytest.raises(StorageError, match="holds 0 of 7 articles"):
        backup.restore(file_url, tmp_path / "copy.db", reason=REASON, now=NOW)


@pytest.mark.parametrize("content", [b"", b"not a backup", b"SQLite format 3\x00", b"PGDMP"])
def test_a_file_that_is_no_backup_is_refused(file_url: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(StorageError):
        backup.restore(file_url, tmp_path / "x", reason=REASON, now=NOW)


def a_dump(path: Path, lines: str, *, rows: int, schema: str = "", foot: bool = True) -> Path:
    """As `monitor backup` writes one on PostgreSQL, but for `lines`."""
    head = f"-- Medical News Monitor: rows of PostgreSQL, format 1\n-- schema {schema or next(iter(revisions()[0]))}\n"
    path.write_bytes(gzip.compress((head + lines + (f"-- end {rows}\n" if foot else "")).encode()))
    return path


LEASE_ROW = "COPY lease (name, holder, epoch, expires_at) FROM stdin;\na\\tb\tc\t1\t2026-01-01 00:00:00+00\n\\.\n"
MORE = "more than rows"
HOSTILE_DUMPS = {
    "a program": ("COPY audit (who) FROM PROGRAM 'touch /tmp/owned';\n", 0, MORE),
    "a second statement": ("COPY audit (who) FROM stdin; drop table article;\n", 0, MORE),
    "a function": ("SELECT pg_read_file('/etc/passwd');\n", 0, MORE),
    "a file": ("\\i /etc/passwd\n", 0, MORE),
    "a shell": ("\\! touch /tmp/owned\n", 0, MORE),
    "another table": ("COPY pg_authid (rolname) FROM stdin;\nx\n\\.\n", 1, "none of ours"),
    "another schema": ("COPY pg_catalog.pg_authid (rolname) FROM stdin;\nx\n\\.\n", 1, MORE),
    "a schema's version": ("COPY alembic_version (version_num) FROM stdin;\n0001\n\\.\n", 1, "none of ours"),
    "a setting": ("SET search_path = evil;\n", 0, MORE),
    "an end too early": ("COPY audit (who) FROM stdin;\nx\n", 1, "in the middle"),
    "an unknown column": ("COPY audit (nonsense) FROM stdin;\nx\n\\.\n", 1, "do not fit"),
    "rows that do not fit": ("COPY lease (epoch) FROM stdin;\nno number\n\\.\n", 1, "do not fit"),
    "rows that point nowhere": (
        "COPY setup_link (token_hash, user_id, expires_at) FROM stdin;\n\\\\x00\t7\t2026-01-01 00:00:00+00\n\\.\n",
        1,
        "foreign key",
    ),
    "a table that lost rows": (LEASE_ROW, 2, "does not hold the 2 rows"),
    "more after its end": (LEASE_ROW + "-- end 1\nSELECT 1;\n", 1, "does not hold the 1 rows"),
}


@pytest.mark.postgres
@pytest.mark.parametrize(("lines", "rows", "reason"), HOSTILE_DUMPS.values(), ids=HOSTILE_DUMPS)
def test_a_dump_that_holds_more_than_our_rows_is_refused_and_nothing_changes(
    untouched_url: str, tmp_path: Path, lines: str, rows: int, reason: str
) -> None:
    path = a_dump(tmp_path / "x.rows.gz", lines, rows=rows)
    before = contents(untouched_url)

    with pytest.raises(StorageError, match=reason):
        backup.restore(untouched_url, path, reason=REASON, now=NOW)

    assert contents(untouched_url) == before
    assert not Path("/tmp/owned").exists()


@pytest.mark.postgres
@pytest.mark.parametrize("damage", ["no end", "cut", "a byte", "a newer version", "another gzip"])
def test_a_damaged_or_newer_dump_is_refused_and_nothing_changes(
    untouched_url: str, tmp_path: Path, damage: str
) -> None:
    schema = "9999" if damage == "a newer version" else ""
    path = a_dump(tmp_path / "x.rows.gz", LEASE_ROW, rows=1, schema=schema, foot=damage != "no end")
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[:-20],
            "a byte": whole[:-40] + bytes([whole[-40] ^ 255]) + whole[-39:],
            "another gzip": gzip.compress(b"hello\n"),
        }.get(damage, whole)
    )

    with pytest.raises(StorageError):
        backup.restore(untouched_url, path, reason=REASON, now=NOW)

    assert contents(untouched_url)["lease"] == []


@pytest.mark.postgres
def test_a_dump_with_nothing_but_rows_is_taken(server_url: str, tmp_path: Path) -> None:
    """So what is refused above is refused for its one line."""
    path = a_dump(tmp_path / "x.rows.gz", LEASE_ROW, rows=1)

    backup.restore(server_url, path, reason=REASON, now=NOW)

    assert [row[0] for row in contents(server_url)["lease"]] == ["a\tb"]


@pytest.mark.postgres
async def test_a_role_with_settings_of_its_own_still_makes_a_dump_that_restores(
    postgres: TempPostgres, server_url: str, tmp_path: Path
) -> None:
    """Dates as dd/mm/yyyy, bytes escaped, Latin-1: a text made by them would say something else when it is read."""
    store.migrate(server_url)
    await fill(server_url)
    before = contents(server_url)
    with psycopg.connect(server_url, autocommit=True) as db:
        for setting in ("datestyle = 'SQL, DMY'", "bytea_output = 'escape'", "client_encoding = 'LATIN1'",
                        "timezone = 'Asia/Kathmandu'"):  # fmt: skip
            db.execute(f"alter database {checked_url(server_url).database} set {setting}")

    backup.backup(server_url, tmp_path / "copy.rows.gz", now=NOW)
    with psycopg.connect(postgres.url(), autocommit=True) as db:
        name = checked_url(server_url).database
        db.execute(f"alter database {name} reset all")
    backup.restore(server_url, tmp_path / "copy.rows.gz", reason=REASON, now=NOW)

    after = contents(server_url)
    assert {name for name in before if before[name] != after[name]} == {"delivery", "fact"}


@pytest.mark.postgres
def test_what_a_killed_check_left_goes_with_the_next(postgres: TempPostgres, server_url: str, tmp_path: Path) -> None:
    store.migrate(server_url)
    name = checked_url(server_url).database
    postgres.create(f"{name}_check_dead")
    postgres.create(f"{name}_checked")  # somebody else's

    backup.backup(server_url, tmp_path / "copy.rows.gz", now=NOW)

    with psycopg.connect(postgres.url(), autocommit=True) as db:
        found = db.execute("select datname from pg_database where starts_with(datname, %s)", [name]).fetchall()
        db.execute(f"drop database {name}_checked")
    assert {one for (one,) in found} == {name, f"{name}_checked"}


@pytest.mark.postgres
def test_a_server_that_goes_away_in_the_middle_is_an_error_of_ours_and_leaves_no_file(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.migrate(server_url)

    def cut(db: sa.Connection) -> str:
        db.exec_driver_sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where pid <> pg_backend_pid() and starts_with(datname, 'upkeep') and backend_type = 'client backend'"
        )
        return ""

    monkeypatch.setattr(dump, "index_problem", cut)

    with pytest.raises(StorageError, match="cut off"):
        backup.backup(server_url, tmp_path / "out" / "copy.rows.gz", now=NOW)

    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.postgres
def test_a_dump_of_pg_dump_is_named_as_such(untouched_url: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"PGDMP\x01\x0e")

    with pytest.raises(StorageError, match="made by pg_dump"):
        backup.restore(untouched_url, tmp_path / "x", reason=REASON, now=NOW)


# --- files ----------------------------------------------------------------------------------------------------


def test_a_backup_overwrites_nothing_and_is_ours_alone(file_url: str, tmp_path: Path) -> None:
    path = backup.backup(file_url, tmp_path / "copy.db", now=NOW).path

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for target in (path, Path(file_url.removeprefix("sqlite:///"))):
        with pytest.raises(StorageError, match="never overwrites"):
            backup.backup(file_url, target, now=NOW)


def test_a_backup_that_fails_a_check_leaves_no_file(file_url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(file_url.removeprefix("sqlite:///"))) as db:
        db.execute("insert into page values (77, 'u', '{}', null, 0, 0, null, '')")
        db.commit()

    with pytest.raises(StorageError, match="point nowhere"):
        backup.backup(file_url, tmp_path / "out" / "copy.db", now=NOW)

    assert list((tmp_path / "out").iterdir()) == []


def test_only_our_own_old_backups_are_deleted(tmp_path: Path) -> None:
    names = [backup.backup_name("sqlite:///x.db", NOW + timedelta(days=day)) for day in range(5)]
    for name in (*names, "monitor-mine.db", "notes.txt"):
        (tmp_path / name).touch()

    gone = backup.prune(tmp_path, 2)

    assert [path.name for path in gone] == names[:3]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[3:], "monitor-mine.db", "notes.txt"])


def test_what_a_killed_backup_left_goes_when_nobody_has_written_to_it_for_a_day(file_url: str, tmp_path: Path) -> None:
    name = backup.backup_name(file_url, NOW)
    old, fresh, foreign = (tmp_path / one for one in (f".{name}.x1y_z", f".{name}.x2y_z-wal", ".monitor-mine.x"))
    for path in (old, fresh, foreign):
        path.touch()
    for path in (old, foreign):
        os.utime(path, (0, 0))

    done, _ = backup.dated(file_url, tmp_path, now=NOW, keep=3)

    assert sorted(tmp_path.glob(".*")) == sorted([fresh, foreign])
    assert done.path.exists()


def test_a_copy_that_would_fill_the_disk_is_not_begun(
    file_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_SPARE", 10**18)

    with pytest.raises(StorageError, match="no room"):
        backup.backup(file_url, tmp_path / "out" / "copy.db", now=NOW)

    assert list((tmp_path / "out").iterdir()) == []


async def test_the_database_says_when_it_was_last_copied(file_url: str, tmp_path: Path) -> None:
    async with Storage.open(file_url) as storage:
        before = (await storage.upkeep.gauges()).backed_up_at
        await asyncio.to_thread(backup.backup, file_url, tmp_path / "copy.db", now=NOW)

        assert (before, (await storage.upkeep.gauges()).backed_up_at) == (None, NOW)


def test_an_older_schema_is_copied_before_its_upgrade(tmp_path: Path) -> None:
    from alembic import command

    from storage.migrate import config, connected

    url = f"sqlite:///{tmp_path / 'old.db'}"
    with connected(checked_url(url)) as db:
        command.upgrade(config(db), "0001")

    backup.backup(url, tmp_path / "copy.db", now=NOW)

    assert store.schema_state(url) is store.SchemaState.OLD


# --- moving ---------------------------------------------------------------------------------------------------


@pytest.mark.postgres
async def test_moving_brings_every_row_and_the_old_file_mails_no_more(file_url: str, server_url: str) -> None:
    await fill(file_url)
    before = contents(file_url)

    moved = move(file_url, server_url)

    assert contents(server_url) == before
    assert moved == {name: len(rows) for name, rows in before.items()}
    async with Storage.open(server_url) as new, Storage.open(file_url) as old:
        assert await new.articles.hits(word("story")) == 7
        assert (await new.articles.save(None, [saved(60)], NOW)).new == 1
        assert len(await new.outbox.claim_due(NOW + DAY, 10, LEASE)) == 1
        assert await old.outbox.claim_due(NOW + DAY, 10, LEASE) == []


@pytest.mark.postgres
async def test_moving_into_what_is_not_empty_or_from_what_is_in_use_changes_nothing(
    file_url: str, server_url: str
) -> None:
    with store.exclusive(file_url), pytest.raises(StorageError, match="already running"):
        move(file_url, server_url)
    assert store.schema_state(server_url) is store.SchemaState.EMPTY
    store.migrate(server_url)
    before = contents(server_url)

    with pytest.raises(StorageError, match="not empty"):
        move(file_url, server_url)

    assert contents(server_url) == before
    async with Storage.open(file_url) as old:
        assert await old.outbox.held_because() == ""


def test_only_from_sqlite_to_postgresql(file_url: str) -> None:
    with pytest.raises(StorageError, match="from SQLite to PostgreSQL"):
        move(file_url, file_url)
