"""Sync SQL behind an async front.

Each question to the database is one sync method whose first argument is the connection of its transaction; `reads` and
`writes` turn it into a coroutine that the event loop can wait for. A transaction is one such call, so none can be held
across an await. On SQLite all writes go through one thread and one connection (one writer is what SQLite has), reads
through four; on PostgreSQL each through a pool.

A PostgreSQL that restarts is waited for: a transaction whose connection was lost before its COMMIT has changed nothing
and runs again. Whether a lost COMMIT was carried out nobody knows: that is a StorageError, and callers are made so that
asking again is harmless.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import QueuePool

from monitor.errors import NotFound, StorageDown, StorageError

P = ParamSpec("P")
T = TypeVar("T")

READERS = 4
POSTGRES_CONNECTIONS = 5
LOCK_SECONDS = 30
TRIES = 3  # of a transaction that lost a deadlock or a serialization race: it changed nothing, so it can run again
_WAITS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # seconds before each new try after the connection was lost; the first finds
# out whether only this connection was old. A database that is away for longer fails at once until it is back.
_RACES = {"40P01", "40001"}
_TOO_LARGE = "22003"
CLEAN = {"clean": True}  # of a statement whose texts are clean already
_OPTIONS = {"preserve_rowcount": True}  # of inserts, too: they say whether ON CONFLICT left something out


class Database:
    """Engines and threads for one URL. Connects at the first question, not before."""

    def __init__(self, url: str) -> None:
        self.url = checked_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.writer, self.reader = _engines(self.url)
        self._write_threads = ThreadPoolExecutor(1 if self.is_sqlite else POSTGRES_CONNECTIONS, "db-write")
        self._read_threads = ThreadPoolExecutor(READERS, "db-read")

    async def read(self, question: Callable[[sa.Connection], T]) -> T:
        """Answer from one snapshot (SQLite), or from what is committed at each statement (PostgreSQL)."""
        return await _in(self._read_threads, lambda: _run(self.reader, question))

    async def write(self, change: Callable[[sa.Connection], T]) -> T:
        """Run `change` in one transaction: all of it is durable when this returns, or nothing happened."""
        return await _in(self._write_threads, lambda: _run(self.writer, change))

    async def tidy(self) -> None:
        """SQLite: cut the write-ahead log, refresh the planner's figures."""
        await _in(self._write_threads, lambda: _tidy(self.writer))

    async def close(self) -> None:
        """Let running transactions end, then close every connection."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._write_threads.shutdown()
        self._read_threads.shutdown()
        self.reader.dispose()
        self.writer.dispose()


class Repository:
    """What may be asked about one noun."""

    def __init__(self, database: Database) -> None:
        self._database = database


R = TypeVar("R", bound=Repository)


def reads(
    question: Callable[Concatenate[R, sa.Connection, P], T],
) -> Callable[Concatenate[R, P], Coroutine[Any, Any, T]]:
    """Make a coroutine method of a sync one that only reads."""

    async def ask(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._database.read(lambda db: question(self, db, *args, **kwargs))

    functools.update_wrapper(ask, question)
    return ask


def writes(
    change: Callable[Concatenate[R, sa.Connection, P], T],
) -> Callable[Concatenate[R, P], Coroutine[Any, Any, T]]:
    """Make a coroutine method of a sync one that is one writing transaction."""

    async def ask(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._database.write(lambda db: change(self, db, *args, **kwargs))

    functools.update_wrapper(ask, change)
    return ask


def checked_url(url: str) -> sa.URL:
    """The URL with its driver named. Raises StorageError with what would be right."""
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError as error:
        raise StorageError(f"not a database URL: {_shown(url)}; {_EXAMPLES}") from error
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StorageError(f"no such database: {backend}; {_EXAMPLES}")
    if not parsed.database or parsed.database == ":memory:":
        raise StorageError(f"the SQLite database needs a file; {_EXAMPLES}")
    return parsed.set(drivername="sqlite+pysqlite")


_EXAMPLES = "use sqlite:////data/monitor.db (four slashes for an absolute path) or postgresql://user:password@host/name"


def sqlite_path(url: sa.URL) -> Path:
    return Path(url.database or "")


def check_directory(url: sa.URL) -> None:
    """Raise StorageError, in words that say what to do, when the SQLite file cannot be made or written."""
    path = sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise StorageError(
            f"cannot write the database {path}: {error.strerror}. Make {path.parent} writable for the user that runs"
            " monitor (in a container: mount a volume there and give it to that user)"
        ) from error


def _shown(url: str) -> str:
    """Without what stands between the scheme and the host: it may be a password."""
    return url.rpartition("@")[2] if "@" in url else url


def _engines(url: sa.URL) -> tuple[sa.Engine, sa.Engine]:
    """The engines for writing and for reading."""
    if url.get_backend_name() != "sqlite":
        # a statement of READ COMMITTED sees what is committed by then, in a transaction or not: reading needs none
        return _postgres(url, POSTGRES_CONNECTIONS, "READ COMMITTED"), _postgres(url, READERS, "AUTOCOMMIT")
    reader = _sqlite(url, "BEGIN", size=READERS, pragmas=("query_only=on",))
    return _sqlite(url, "BEGIN IMMEDIATE", size=1, pragmas=()), reader


def _postgres(url: sa.URL, size: int, isolation: Literal["READ COMMITTED", "AUTOCOMMIT"]) -> sa.Engine:
    engine = sa.create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        connect_args={"connect_timeout": 10},
        isolation_level=isolation,
        execution_options=_OPTIONS,
    )
    event.listen(engine, "before_cursor_execute", _clean_parameters, retval=True)
    return engine


def _sqlite(url: sa.URL, begin: str, *, size: int, pragmas: tuple[str, ...]) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False},
        execution_options=_OPTIONS,
    )

    event.listen(engine, "before_cursor_execute", _clean_parameters, retval=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver's own comes too late, and deferred
        # synchronous=full: a digest that says "accepted" must still say so after a power cut, or it is sent twice
        for pragma in (
            "page_size=8192",
            "journal_mode=wal",
            "synchronous=full",
            "foreign_keys=on",
            f"busy_timeout={LOCK_SECONDS * 1000}",
            "cache_size=-65536",
            "temp_store=memory",
            "journal_size_limit=67108864",
            *pragmas,
        ):
            connection.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _clean_parameters(
    _db: object, _cursor: object, statement: str, parameters: Any, context: sa.ExecutionContext, executemany: bool
) -> tuple[str, Any]:
    """Whatever way a text comes in, it is one that both databases can keep."""
    if context.execution_options.get("clean"):
        return statement, parameters
    return statement, [_cleaned(row) for row in parameters] if executemany else _cleaned(parameters)


def _cleaned(row: Any) -> Any:
    if isinstance(row, dict):
        return {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}
    return tuple([clean(value) if isinstance(value, str) else value for value in row])


def clean(text: str) -> str:
    """Without NUL and lone surrogates: no database keeps them, and feeds hold both."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    if not text.isascii():
        text = text.encode("utf-8", "ignore").decode("utf-8")
    return text


async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """In one of `threads`, with the caller's context: it tells who acts (storage.audit)."""
    return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)


def _run(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
    waits = iter(_WAITS)
    lost, races = False, 0
    while True:
        committing = False
        try:
            with engine.begin() as db:
                answer = work(db)
                committing = True
            return answer
        except exc.DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state in _RACES and (races := races + 1) < TRIES:
                continue
            lost = lost or error.connection_invalidated
            if lost and not committing and (wait := next(waits, None)) is not None:
                time.sleep(wait)
                continue
            if state == _TOO_LARGE:
                raise NotFound("nothing has so large a number") from error
            kind = StorageError if isinstance(error, exc.IntegrityError | exc.DataError) else StorageDown
            raise kind(explain(error, engine.url)) from error
        except OverflowError as error:  # SQLite's way to say the same
            raise NotFound("nothing has so large a number") from error


def _tidy(engine: sa.Engine) -> None:
    raw = engine.raw_connection()  # not in a transaction: a checkpoint cannot run in one
    try:
        for pragma in ("optimize", "wal_checkpoint(truncate)"):
            raw.cursor().execute(f"pragma {pragma}")
    except sqlite3.Error as error:
        raise StorageError(f"database {sqlite_path(engine.url)}: {error}") from error
    finally:
        raw.close()


def explain(error: exc.DBAPIError, url: sa.URL) -> str:
    """What an admin can do about a failure of the database itself."""
    reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    place = sqlite_path(url) if url.get_backend_name() == "sqlite" else f"{url.host or 'local socket'}/{url.database}"
    for sign, advice in _ADVICE:
        if sign in reason:
            return f"database {place}: {reason}; {advice}"
    return f"database {place}: {reason}"


_ADVICE = (
    ("unable to open database file", "check that its directory exists and is writable"),
    ("readonly database", "check that the file and its directory are writable"),
    ("database is locked", "another program holds it: stop it, or use PostgreSQL for more than one process"),
    ("disk is full", "free some space; nothing was lost, the change was undone"),
    ("malformed", "the file is damaged: restore a backup"),
    ("not a database", "the file is damaged, or is not a database at all"),
    ("no such table", "run `monitor migrate`"),
    ("does not exist", "check the name, then run `monitor migrate`"),
    ("password authentication failed", "check user and password in MONITOR_STORAGE__URL"),
    ("connection", "check that PostgreSQL runs there and can be reached"),
)


def insert_into(db: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT, in this database's words.

    Never give one statement two rows of the same key (PostgreSQL refuses), and give rows in the order of their keys
    (two workers that lock the same rows in different orders deadlock).
    """
    insert = postgresql.insert(table) if db.dialect.name == "postgresql" else sqlite.insert(table)
    return insert.inline()  # without fetching the new id, which nobody needs


def insert_many(db: sa.Connection, table: sa.Table, values: Sequence[dict[str, Any]]) -> int:
    """INSERT ... ON CONFLICT DO NOTHING of many rows with the same columns, their texts clean; how many went in.

    Past SQLAlchemy's own machinery, which for each row costs more than the insert itself.
    """
    if not values:
        return 0
    statement, processors = _bulk_insert(db.dialect, table, tuple(values[0]))
    columns = [_processed([row[name] for row in values], processor) for name, processor in processors]
    return db.exec_driver_sql(statement, list(zip(*columns, strict=True)), execution_options=CLEAN).rowcount


@functools.lru_cache(maxsize=64)
def _bulk_insert(
    dialect: sa.Dialect, table: sa.Table, names: tuple[str, ...]
) -> tuple[str, list[tuple[str, Callable[[Any], Any] | None]]]:
    quote = dialect.identifier_preparer.quote
    place = "?" if dialect.name == "sqlite" else "%s"
    columns = ", ".join(quote(name) for name in names)
    places = ", ".join([place] * len(names))
    statement = f"insert into {quote(table.name)} ({columns}) values ({places}) on conflict do nothing"  # noqa: S608
    processors: list[tuple[str, Callable[[Any], Any] | None]] = [
        (name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in names
    ]
    return statement, processors


def _processed(column: list[Any], processor: Callable[[Any], Any] | None) -> list[Any]:
    """Each different value once: most rows of a batch have the same times."""
    if processor is None:
        return column
    known = {value: processor(value) for value in set(column)}
    return [known[value] for value in column]


def changed(result: sa.CursorResult[Any]) -> bool:
    return result.rowcount > 0


def chunks(items: Sequence[T], size: int = 1_000) -> Iterator[Sequence[T]]:
    """Pieces that fit into one IN (...)."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
