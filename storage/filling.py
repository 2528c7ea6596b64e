"""Filling an empty database with the rows of another: for a restore, and for a move to PostgreSQL.

The schema is always made by our own migrations; what comes from outside is rows and nothing else. Foreign keys are
taken off while rows come in by table, and put back, which checks every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import command

from monitor.errors import StorageError
from storage import tables as t
from storage.migrate import config, revisions

INDEX = "article_fts"
VERSION = "alembic_version"
OURS = frozenset(t.metadata.tables) | {INDEX, VERSION}


def present(db: sa.Connection) -> set[str]:
    """Which of our tables are there."""
    return set(OURS.intersection(sa.inspect(db).get_table_names()))


@contextmanager
def filling(db: sa.Connection, revision: str) -> Iterator[None]:
    """PostgreSQL without our tables: make them as of `revision`, without a row; let the body fill them; then check."""
    if revision not in revisions()[1]:
        raise StorageError(f"schema {revision!r} is not one that this program knows: it was made by a newer version")
    command.upgrade(config(db), revision)
    keys = db.execute(
        sa.text(
            "select conname, conrelid::regclass::text as owner, pg_get_constraintdef(oid) as body from pg_constraint"
            " where contype = 'f' and connamespace = current_schema()::regnamespace"
        )
    ).all()
    for key in keys:
        db.exec_driver_sql(f'alter table {key.owner} drop constraint "{key.conname}"')
    for table in sorted(present(db) - {VERSION}):
        db.execute(sa.table(table).delete())  # what migrations put there
    yield
    for key in keys:
        db.exec_driver_sql(f'alter table {key.owner} add constraint "{key.conname}" {key.body}')
    _set_sequences(db)


def wipe(db: sa.Connection) -> None:
    """Drop our tables, and nothing else."""
    for table in sorted(present(db)):
        db.exec_driver_sql(f'drop table "{table}" cascade')


def counts(db: sa.Connection) -> dict[str, int]:
    """Rows by table, of the tables that are there; the index is derived and not counted."""
    names = sorted(present(db) - {INDEX, VERSION})
    return {name: db.scalar(sa.text(f'select count(*) from "{name}"')) or 0 for name in names}  # noqa: S608


def _set_sequences(db: sa.Connection) -> None:
    """The next number is one more than the highest that came in."""
    for table in sorted(present(db) - {VERSION, INDEX}):
        sequence = db.scalar(
            sa.text(
                "select pg_get_serial_sequence(quote_ident(:name), 'id') from information_schema.columns where"
                " table_schema = current_schema() and table_name = :name and column_name = 'id'"
            ),
            {"name": table},
        )
        if sequence:
            highest = db.scalar(sa.text(f'select max(id) from "{table}"'))  # noqa: S608
            if highest:
                db.execute(sa.text("select setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest})
