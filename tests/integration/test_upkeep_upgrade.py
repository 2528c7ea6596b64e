"""Databases that earlier programs really left (tests/data/upgrade/make.py) come up to date, and nothing is lost.

Each was made by two weeks of the demo under the program of then, with messages left in every state. A new migration is
held to all of them by being there; one that means to change what is stored names it in MEANT.
"""

from __future__ import annotations

import lzma
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pgtemp import TempPostgres
from running import Clock, prepare, running
from storage_samples import LEASE, word

import storage as store
from monitor.model import DeliveryState
from storage import SchemaState, Storage, backup
from storage.engine import checked_url

FILES = Path(__file__).parents[1] / "data" / "upgrade"
THEN = datetime(2026, 6, 14, 13, 0, tzinfo=UTC)
KEYS = {"alembic_version", "fact"}  # what they say of the schema changes with it
MEANT = {
    "ledger": "since 0003 it is by story, not by article",
}
ALWAYS = {"schema-0001.db.xz", "schema-0001.sql.xz", "schema-0004.db.xz"}  # the others in make nightly
KINDS = [
    pytest.param(
        path,
        id=path.name.removesuffix(".xz"),
        marks=[
            *([pytest.mark.postgres] if ".sql" in path.name else []),
            *([] if path.name in ALWAYS else [pytest.mark.slow]),
        ],
    )
    for path in sorted(FILES.glob("schema-*.xz"))
]

Rows = dict[str, dict[Any, dict[str, Any]]]


@pytest.fixture(params=KINDS)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database as the program of then left it."""
    path: Path = request.param
    data = lzma.decompress(path.read_bytes())
    if ".db" in path.name:
        (tmp_path / "then.db").write_bytes(data)
        yield f"sqlite:///{tmp_path / 'then.db'}"
        return
    server: TempPostgres = request.getfixturevalue("postgres")
    name = f"then_{os.urandom(4).hex()}"
    url = server.create(name)
    load(server, url, data)
    yield url
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute(f"drop database {name} with (force)")


def load(server: TempPostgres, url: str, dump: bytes) -> None:
    """With psql, as its admin would have; without the lines that only the newest PostgreSQL knows."""
    text = re.sub(rb"(?m)^(SET transaction_timeout|\\(un)?restrict|CREATE SCHEMA|COMMENT ON SCHEMA).*\n", b"", dump)
    done = subprocess.run(
        [server._bin / "psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", url], input=text, capture_output=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr.decode()


def everything(url: str) -> Rows:
    """Each table's rows by primary key, as they lie there."""
    engine = sa.create_engine(checked_url(url), poolclass=sa.NullPool)
    found: Rows = {}
    with engine.connect() as db:
        inspector = sa.inspect(db)
        for table in inspector.get_table_names():
            if table.startswith("article_fts") or table in KEYS:
                continue
            keys = inspector.get_pk_constraint(table)["constrained_columns"]
            rows = db.execute(sa.text(f'select * from "{table}"')).mappings()
            found[table] = {tuple(str(row[key]) for key in keys): dict(row) for row in rows}
    engine.dispose()
    return found


def test_no_row_and_no_value_is_lost(left: str) -> None:
    before = everything(left)
    assert sum(map(len, before.values())) > 500

    assert store.migrate(left)

    after = everything(left)
    lost = []
    for table in before.keys() - MEANT.keys():
        for key, row in before[table].items():
            now = after.get(table, {}).get(key)
            if now is None:
                lost.append(f"{table} {key}")
                continue
            lost += [f"{table} {key} {name}: {row[name]!r}, now {now[name]!r}"
                     for name in row if row[name] != now.get(name)]  # fmt: skip
    assert lost == []
    assert store.schema_state(left) is SchemaState.CURRENT
    assert not store.migrate(left)
    if not left.startswith("sqlite"):  # on SQLite a backup compares the schema, to the letter
        upgraded = shape(left)
        with psycopg.connect(left, autocommit=True) as db:
            db.execute("drop schema public cascade; create schema public")
        store.migrate(left)
        assert upgraded == shape(left)


def shape(url: str) -> set[tuple[Any, ...]]:
    """Columns, indexes and keys: an upgraded installation must not be a kind of its own. How an index is stored is."""
    with psycopg.connect(url) as db:
        columns = db.execute(
            "select table_name, column_name, data_type, is_nullable from information_schema.columns"
            " where table_schema = 'public'"
        ).fetchall()
        indexes = db.execute(
            "select tablename, indexname, split_part(indexdef, ' WITH (', 1) from pg_indexes"
            " where schemaname = 'public'"
        )
        keys = db.execute("select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
                          " where connamespace = 'public'::regnamespace and contype <> 'n'")  # fmt: skip
        return {*columns, *indexes.fetchall(), *keys.fetchall()}


async def test_messages_of_each_state_go_on_where_they_were(left: str) -> None:
    store.migrate(left)

    async with Storage.open(left) as storage:
        by_subject = {one.message.subject: one for one in await storage.outbox.list(limit=100)}
        states = {subject[5:]: one.state.value for subject, one in by_subject.items() if subject.startswith("left ")}
        await storage.outbox.recover(THEN, resend=True, notice="")
        claimed = await storage.outbox.claim_due(THEN, 10, LEASE)

    assert states == {state: state for state in ("accepted", "queued", "sending", "deferred", "failed", "in_doubt")}
    assert {one.message.subject for one in claimed} == {"left queued", "left sending", "left in_doubt"}
    assert all(b"Body \\ with 'quotes'\tand a tab." in one.message.data for one in claimed)
    assert by_subject["left accepted"].state is DeliveryState.ACCEPTED


async def test_the_program_goes_on_with_it(left: str, tmp_path: Path) -> None:
    """Sources are due, the next digest holds nothing that was sent, search finds what was stored."""
    clock = Clock(THEN)
    sqlite = left.startswith("sqlite")
    if sqlite:
        (tmp_path / "then.db").replace(tmp_path / "monitor.db")
    prepare(tmp_path)
    async with running(tmp_path, clock, storage__url="" if sqlite else left, scholarly__enrich=False) as monitor:
        storage = monitor.storage
        readers = await storage.readers.list()
        sent = {
            (reader.id, article)
            for reader in readers
            for issue in await storage.outbox.digests(reader.id)
            for article in issue.article_ids
        }
        for reader in readers:
            for subscription in await storage.readers.subscriptions(reader.id):
                digest, message = await monitor.publisher.preview(reader, subscription)
                assert message.data
                assert not {(reader.id, item.article.id) for item in digest.items} & sent
        await monitor.sync_topics()
        due = await storage.sources.claim_due(clock.advance(days=8), 50, LEASE)
        hits = await storage.articles.hits(word("mtor"))
        problem = await storage.upkeep.index_problem()

    assert len(sent) > 20
    assert len(due) > 5
    assert hits
    assert problem == ""


def test_a_backup_of_then_is_restored_by_the_program_of_now(left: str, postgres: TempPostgres, tmp_path: Path) -> None:
    before = everything(left)
    sqlite = left.startswith("sqlite")
    path, new = tmp_path / "then.backup", f"sqlite:///{tmp_path / 'new.db'}"
    if not sqlite:
        new = postgres.create(f"again_{os.urandom(4).hex()}")

    made = backup.backup(left, path, now=THEN)
    done = backup.restore(new, path, reason="restored", now=THEN)

    after = everything(new)
    assert made.rows == done.rows >= sum(map(len, before.values()))
    assert {table: len(before[table]) for table in before.keys() - MEANT.keys()}.items() <= {
        table: len(rows) for table, rows in after.items()
    }.items()
    assert store.schema_state(new) is SchemaState.CURRENT


def test_files_of_the_first_schema_are_kept() -> None:
    assert {path.name for path in FILES.glob("*.xz")} >= ALWAYS
