"""A copy of everything, checked before it counts, and the way back.

SQLite: `VACUUM INTO` (one read transaction, no pause for the writer), checked on the copy. PostgreSQL: storage.dump. A
backup that comes back is foreign input like any other: its schema must be ours to the letter, or it is refused.

A process that is killed in the middle leaves a draft with a name of its own, never half a backup; the next one of the
same directory deletes it.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from alembic import command

from monitor.errors import AlreadyRunning, StorageError
from storage import dump, facts
from storage.audit import record
from storage.engine import checked_url, sqlite_path
from storage.filling import INDEX, VERSION
from storage.migrate import config, connected, exclusive, migrate, revisions
from storage.outbox import hold_all
from storage.upkeep import index_problem

SQLITE_MAGIC, PG_DUMP_MAGIC = b"SQLite format 3\x00", b"PGDMP"
_NAME = r"monitor-\d{8}T\d{6}\.\d{3}Z\.(?:db|rows\.gz)"
_OWN_NAME = re.compile(_NAME)
_DRAFT_NAME = re.compile(rf"\.{_NAME}\.\w+(?:-wal|-shm|-journal|\.migrating|\.lock)?")
_DRAFT_SECONDS = 86_400  # a draft that nobody wrote to for so long has lost its writer
_SPARE = 200_000_000  # bytes that a copy leaves free: the program itself must go on writing
_INTERNAL = frozenset({"sqlite_sequence", "sqlite_stat1", "sqlite_stat4"})
_WAIT = 2.0  # seconds for another program to let go of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What was written, and what `checks` it passed."""

    path: Path
    size: int
    rows: int
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """`held` messages wait for an admin; `aside` is where the database of before is (SQLite), if there was one."""

    rows: int
    held: int
    aside: Path | None


def backup_name(url: str, now: datetime) -> str:
    """Names sort by time."""
    ending = "db" if _is_sqlite(url) else "rows.gz"
    return f"monitor-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z.{ending}"


def backup(url: str, target: Path, *, now: datetime, quick: bool = False) -> Backup:
    """Write a copy to `target`, which must not exist; it appears only when every check went well, and then the database
    itself says when it was last copied.

    `quick` leaves out PostgreSQL's trial restore into a scratch database. Raises StorageError.
    """
    if target.exists():
        raise StorageError(f"{target} is there already; a backup never overwrites anything")
    parsed = checked_url(url)
    checks: tuple[str, ...] = ("schema", "integrity", "foreign keys", "full-text index")
    with _draft(target) as draft:
        if _is_sqlite(url):
            _copy_sqlite(sqlite_path(parsed), draft)
            rows = _check_sqlite(draft)
        else:
            dump.write(parsed, draft)
            rows, checks = dump.check(parsed, draft, quick=quick)
        size = draft.stat().st_size
        _settle(draft, target)
    with connected(parsed) as db:
        facts.put(db, facts.BACKED_UP, now.isoformat())
        record(db, "made a backup", "", target.name)
    return Backup(path=target, size=size, rows=rows, checks=checks)


def dated(url: str, directory: Path, *, now: datetime, keep: int, quick: bool = False) -> tuple[Backup, list[Path]]:
    """A backup named by its time, and what was deleted after it: all but the newest `keep`. Raises StorageError."""
    _forget_drafts(directory)
    done = backup(url, directory / backup_name(url, now), now=now, quick=quick)
    return done, prune(directory, keep)


def prune(directory: Path, keep: int) -> list[Path]:
    """Delete all but the newest `keep` backups with names as we give them; those deleted."""
    own = sorted(path for path in directory.iterdir() if _OWN_NAME.fullmatch(path.name) and path.is_file())
    old = own[:-keep]
    for path in old:
        path.unlink()
    return old


def _forget_drafts(directory: Path) -> None:
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        if _DRAFT_NAME.fullmatch(path.name) and time.time() - path.stat().st_mtime > _DRAFT_SECONDS:
            path.unlink(missing_ok=True)


def restore(url: str, source: Path, *, reason: str, now: datetime) -> Restored:
    """Put a backup in the place of the database, brought to this program's schema, with every message held.

    All of it is ready before the database is touched, and one rename or one transaction changes it. Raises
    StorageError, with nothing changed, when a process uses the database or the backup is not one of ours.
    """
    kind = _kind(source)
    if kind != ("sqlite" if _is_sqlite(url) else "postgresql"):
        raise StorageError(
            f"{source} is a backup of {kind}, but the database is another: restore it there, then `monitor move`"
        )
    if _is_sqlite(url):
        return _restore_sqlite(url, source, reason, now)
    rows, held = dump.restore(checked_url(url), source, reason=reason)
    return Restored(rows=rows, held=held, aside=None)


def _kind(source: Path) -> str:
    try:
        with source.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise StorageError(f"{source} cannot be read: {error.strerror}") from error
    if head == SQLITE_MAGIC:
        return "sqlite"
    if head.startswith(dump.MAGIC):
        return "postgresql"
    if head.startswith(PG_DUMP_MAGIC):
        raise StorageError(f"{source} was made by pg_dump, not by `monitor backup`: bring it back with pg_restore")
    raise StorageError(f"{source} is not a backup of this program")


def _is_sqlite(url: str) -> bool:
    return checked_url(url).get_backend_name() == "sqlite"


# --- files ----------------------------------------------------------------------------------------------------


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """An empty file beside the target that only we may read; gone if the body fails."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600
    except OSError as error:
        raise StorageError(f"cannot write to {target.parent}: {error.strerror}") from error
    os.close(number)
    draft = Path(name)
    try:
        yield draft
    finally:
        for ending in ("", "-wal", "-shm", "-journal", ".migrating", ".lock"):
            draft.with_name(draft.name + ending).unlink(missing_ok=True)


def _settle(draft: Path, target: Path) -> None:
    """Durable under its name: a power cut leaves the old state or the new one."""
    _sync(draft)
    draft.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


# --- SQLite ---------------------------------------------------------------------------------------------------


def _copy_sqlite(database: Path, draft: Path) -> None:
    if not database.exists():
        raise StorageError(f"there is no database {database}")
    needed, free = database.stat().st_size + _SPARE, shutil.disk_usage(draft.parent).free
    if free < needed:
        raise StorageError(f"{draft.parent} has no room for a copy: {free / 1e6:.0f} of {needed / 1e6:.0f} MB are free")
    try:
        with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as db:
            db.execute("vacuum into ?", (str(draft),))  # an empty file is allowed; another is refused by SQLite
    except sqlite3.Error as error:
        raise StorageError(f"{database} cannot be copied: {error}") from error


def _check_sqlite(path: Path) -> int:
    """The number of rows of a copy that is whole and has our schema. Raises StorageError."""
    try:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as db:
            db.execute("pragma trusted_schema = off")  # its schema is not believed before it was compared
            db.execute("pragma cell_size_check = on")
            _check_schema(path, db)
            problems = [row[0] for row in db.execute("pragma integrity_check(3)")]
            if problems != ["ok"]:
                raise StorageError(f"{path} is damaged: {'; '.join(map(str, problems))[:300]}")
            if row := db.execute("pragma foreign_key_check").fetchone():
                raise StorageError(f"{path} has rows that point nowhere, in {row[0]}")
            tables = [name for (kind, name), _ in _schema(db).items() if kind == "table"]
            rows = sum(db.execute(f'select count(*) from "{name}"').fetchone()[0] for name in tables if _counts(name))  # noqa: S608
        with connected(checked_url(f"sqlite:///{path}")) as checked:
            if problem := index_problem(checked):
                raise StorageError(f"{path}: {problem}")
        _one_file(path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StorageError(f"{path} is damaged, or not a database of ours: {error}") from error
    return int(rows)


def _counts(name: str) -> bool:
    return not name.startswith((INDEX, VERSION))


def _check_schema(path: Path, db: sqlite3.Connection) -> None:
    """Tables, indexes, triggers and views as our migrations make them for its revision: no more, no less, no other."""
    found = _schema(db)
    if ("table", VERSION) not in found:
        raise StorageError(f"{path} is not a database of this program")
    versions = [str(row[0]) for row in db.execute(f"select version_num from {VERSION} limit 2")]  # noqa: S608
    if len(versions) != 1 or versions[0] not in revisions()[1]:
        raise StorageError(f"{path} has the schema {versions or 'of nothing'}: it was made by a newer version")
    expected = _expected(versions[0])
    strange = sorted(name for (_, name) in found.keys() ^ expected.keys())
    strange += sorted(key[1] for key in found.keys() & expected.keys() if found[key] != expected[key])
    if strange:
        raise StorageError(f"{path} does not have our schema, and is not restored: {', '.join(strange[:5])}")


def _schema(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = db.execute("select type, name, sql from sqlite_master").fetchall()
    return {
        (str(kind), str(name)): " ".join(str(sql or "").split())
        for kind, name, sql in rows
        if not (kind == "table" and name in _INTERNAL) and not (kind == "index" and sql is None)
    }


@lru_cache(maxsize=4)
def _expected(revision: str) -> dict[tuple[str, str], str]:
    """Made by the migrations themselves, with the SQLite at hand."""
    with tempfile.TemporaryDirectory(prefix="monitor-schema-") as directory:
        path = Path(directory) / "empty.db"
        with connected(checked_url(f"sqlite:///{path}")) as db:
            command.upgrade(config(db), revision)
        with closing(sqlite3.connect(path)) as plain:
            return _schema(plain)


def _restore_sqlite(url: str, source: Path, reason: str, now: datetime) -> Restored:
    database = sqlite_path(checked_url(url))
    with exclusive(url), _draft(database) as draft:
        _copy_file(source, draft)  # checked and used is our copy: what happens to the file meanwhile is no matter
        rows = _check_sqlite(draft)
        ready = f"sqlite:///{draft}"
        migrate(ready)
        with connected(checked_url(ready)) as db:
            held = hold_all(db, reason)
            record(db, "restored a backup", "", source.name)
        _one_file(draft)
        with _nobody_in(database) as is_whole:
            aside = _set_aside(database, now, is_whole=is_whole)
            _settle(draft, database)
    return Restored(rows=rows, held=held, aside=aside)


def _copy_file(source: Path, draft: Path) -> None:
    needed = source.stat().st_size
    if shutil.disk_usage(draft.parent).free < 2 * needed:
        raise StorageError(f"{draft.parent} has no room for the backup ({2 * needed / 1e6:.0f} MB are needed)")
    try:
        with source.open("rb") as old, draft.open("wb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
    except OSError as error:
        raise StorageError(f"{source} cannot be copied: {error.strerror}") from error


def _one_file(path: Path) -> None:
    """No write-ahead log beside it: what is renamed must be the whole."""
    with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        db.execute("pragma journal_mode = delete")


@contextmanager
def _nobody_in(database: Path) -> Iterator[bool]:
    """Hold the file of before against everybody, its log written back; False when it is too damaged for that.

    An exclusive lock of SQLite's own: unlike ours, which only `monitor run` takes, every open connection stands in its
    way.
    """
    if _is_new(database):
        yield False
        return
    with closing(sqlite3.connect(database, timeout=_WAIT, isolation_level=None)) as db:
        try:
            db.execute("pragma locking_mode = exclusive")
            db.execute("begin exclusive")
            db.execute("commit")
            db.execute("pragma wal_checkpoint(truncate)")
            db.execute("pragma journal_mode = delete")
            is_whole = True
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise AlreadyRunning(f"a program uses {database}: stop it, then restore") from error
            is_whole = False
        except sqlite3.DatabaseError:
            is_whole = False  # what is restored because it is damaged need not be whole
        yield is_whole


def _is_new(database: Path) -> bool:
    """Nothing there, or an empty file, as our lock makes it."""
    return not database.exists() or not database.stat().st_size


def _set_aside(database: Path, now: datetime, *, is_whole: bool) -> Path | None:
    """Keep what was there: a second name for it, so that at no moment there is no database."""
    if _is_new(database):
        return None
    aside = database.with_name(f"{database.name}.before-{now:%Y%m%dT%H%M%SZ}")
    with suppress(FileExistsError):
        os.link(database, aside)
    for ending in ("-wal", "-shm"):
        log = database.with_name(database.name + ending)
        if log.exists():  # never beside another database than its own
            log.unlink() if is_whole or ending == "-shm" else log.rename(aside.with_name(aside.name + ending))
    return aside


__all__ = ["Backup", "Restored", "backup", "backup_name", "dated", "prune", "restore"]
