"""From the SQLite file to PostgreSQL: every row, or nothing."""

from __future__ import annotations

import sqlalchemy as sa

from monitor.errors import StorageError
from storage import search
from storage import tables as t
from storage.audit import record
from storage.engine import checked_url, sqlite_path
from storage.filling import counts, filling, present
from storage.migrate import ADVISORY_LOCK, SchemaState, connected, exclusive, revisions, schema_state
from storage.outbox import hold_all

_BATCH = 1_000


def move(source_url: str, target_url: str) -> dict[str, int]:
    """Copy all of an SQLite database into an empty PostgreSQL one, in one transaction; the rows of each table.

    Afterwards the old file mails no more (its outbox is held), should somebody start it again by mistake. Raises
    StorageError when somebody uses the file, the target is not empty, or the counts differ; then nothing was changed.
    """
    source, target = checked_url(source_url), checked_url(target_url)
    if source.get_backend_name() != "sqlite" or target.get_backend_name() == "sqlite":
        raise StorageError("rows are moved from SQLite to PostgreSQL: name it with --to postgresql://user@host/name")
    if schema_state(source_url) is not SchemaState.CURRENT:
        raise StorageError(f"{sqlite_path(source)} is not of this version of the program: run `monitor migrate` first")
    with exclusive(source_url), connected(source) as old:  # nobody writes to it meanwhile
        with connected(target) as new:
            moved = _copy(old, new)
            record(new, "moved everything here from SQLite")
        hold_all(old, "all was moved to PostgreSQL: set MONITOR_STORAGE__URL")
    return moved


def _copy(old: sa.Connection, new: sa.Connection) -> dict[str, int]:
    new.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
    if there := present(new):
        raise StorageError(f"the target is not empty: it has {', '.join(sorted(there)[:5])} …; make a new database")
    (head,) = revisions()[0]
    with filling(new, head):
        for table in t.metadata.sorted_tables:
            _copy_table(old, new, table)
    search.rebuild(new)
    before, after = counts(old), counts(new)
    if before != after:
        wrong = {name: (before.get(name), after.get(name)) for name in before if before[name] != after.get(name)}
        raise StorageError(f"not every row arrived, so nothing was moved: {wrong}")
    return after


def _copy_table(old: sa.Connection, new: sa.Connection, table: sa.Table) -> None:
    found = old.execution_options(yield_per=_BATCH).execute(table.select())
    for rows in found.mappings().partitions():
        new.execute(table.insert(), [dict(row) for row in rows])
