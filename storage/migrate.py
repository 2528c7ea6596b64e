"""One schema on both databases: who may migrate, and where a database stands."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, exc
from sqlalchemy.pool import NullPool

from monitor.errors import AlreadyRunning, StorageError
from storage import search
from storage.engine import check_directory, checked_url, explain, sqlite_path

_SCRIPTS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x6D6F6E69746F72  # "monitor"


class SchemaState(StrEnum):
    EMPTY = "empty"  # no tables yet
    OLD = "old"  # `migrate` brings it up to date
    CURRENT = "current"
    NEWER = "newer"  # made by a newer program: this one must not touch it


def schema_state(url: str) -> SchemaState:
    """Raises StorageError when the database cannot be reached. Makes no file that is not there."""
    parsed = checked_url(url)
    if parsed.get_backend_name() == "sqlite" and not sqlite_path(parsed).exists():
        return SchemaState.EMPTY
    with connected(parsed) as db:
        return state_of(db)


def migrate(url: str) -> bool:
    """Bring the schema up to date; True if there was anything to do. One process does it, others wait for it.

    All steps are one transaction. Raises StorageError for an unwritable directory, a database that cannot be reached,
    or one made by a newer program.
    """
    parsed = checked_url(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    if is_sqlite:
        check_directory(parsed)
    with _flock(_beside(parsed, ".migrating")) if is_sqlite else nullcontext(), connected(parsed) as db:
        if not is_sqlite:
            db.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        state = state_of(db)
        if state is SchemaState.NEWER:
            raise StorageError(newer(url))
        if state is not SchemaState.CURRENT:
            command.upgrade(config(db), "head")
            if is_sqlite and db.exec_driver_sql("pragma foreign_key_check").first():
                raise StorageError("the migration left rows that point nowhere; nothing was changed, please report it")
        refolded = search.refold(db)
        return refolded or state is not SchemaState.CURRENT


def newer(url: str) -> str:
    """The sentence for a database that this program must not touch."""
    place = checked_url(url).render_as_string(hide_password=True)
    return f"{place} was made by a newer version of this program: install that version, or restore an older backup"


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Hold an SQLite file for this process alone; nothing to do on PostgreSQL, where several may run.

    Raises AlreadyRunning with the other's pid. The lock ends with the process, however it ends.
    """
    parsed = checked_url(url)
    if parsed.get_backend_name() != "sqlite":
        yield
        return
    check_directory(parsed)
    path = _beside(parsed, ".lock")
    with path.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise AlreadyRunning(
                f"already running, pid {lock.read().strip() or 'unknown'}: another process uses {sqlite_path(parsed)}."
                " Stop it, or use PostgreSQL for more than one process"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def config(db: sa.Connection) -> Config:
    """Alembic's settings, without a file: the migrations stand in this package."""
    settings = Config()
    settings.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = db
    return settings


def state_of(db: sa.Connection) -> SchemaState:
    """Where the database of this connection stands."""
    heads = MigrationContext.configure(db).get_current_heads()
    if not heads:
        return SchemaState.EMPTY
    newest, known = revisions()
    if set(heads) == newest:
        return SchemaState.CURRENT
    return SchemaState.OLD if set(heads) <= known else SchemaState.NEWER


@lru_cache(maxsize=1)
def revisions() -> tuple[frozenset[str], frozenset[str]]:
    """This program's newest revisions, and all; reading them compiles every script."""
    script = ScriptDirectory(str(_SCRIPTS))
    return frozenset(script.get_heads()), frozenset(step.revision for step in script.walk_revisions())


@contextmanager
def connected(url: sa.URL) -> Iterator[sa.Connection]:
    """A connection of its own in one transaction, on SQLite with transactional DDL and without foreign keys, which
    batch migrations (drop and rename) would break.
    """
    engine = sa.create_engine(url, poolclass=NullPool)
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", lambda db: db.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as db:
            yield db
    except exc.DBAPIError as error:
        raise StorageError(explain(error, url)) from error
    finally:
        engine.dispose()


def _prepare(connection: object, _record: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]
    for pragma in ("page_size=8192", "journal_mode=wal", "synchronous=full", "foreign_keys=off", "busy_timeout=30000"):
        connection.execute(f"pragma {pragma}")  # type: ignore[attr-defined]


def _beside(url: sa.URL, ending: str) -> Path:
    path = sqlite_path(url)
    return path.with_name(path.name + ending)


@contextmanager
def _flock(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
