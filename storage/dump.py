"""Every row of ours in PostgreSQL as one compressed text, and the way back.

Its own format rather than pg_dump's: no client program must be installed, or be as new as the server, and there is
nothing in it but rows. `psql` would take it, too: COPY … FROM stdin, the rows, `\\.`. One that comes back is foreign: a
line that is none of these is refused. The schema comes from our migrations, and a restore is one transaction.
"""

from __future__ import annotations

import gzip
import re
import secrets
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic import command
from psycopg import sql

from monitor.errors import AlreadyRunning, StorageError
from storage import search
from storage.audit import record
from storage.engine import checked_url
from storage.filling import INDEX, OURS, VERSION, counts, filling, wipe
from storage.migrate import ADVISORY_LOCK, config, connected
from storage.outbox import hold_all
from storage.upkeep import index_problem

MAGIC = b"\x1f\x8b"  # gzip
LONGEST_LINE = 256_000_000  # bytes of one row as text: a message with its bodies has a few million
_HEAD = b"-- Medical News Monitor: rows of PostgreSQL, format 1\n"
_SCHEMA = re.compile(rb"-- schema (\w{1,32})\n")
_COPY = re.compile(rb"COPY (\w{1,63}) \(([\w, ]{1,4000})\) FROM stdin;\n")
_FOOT = re.compile(rb"-- end (\d{1,15})\n")
_ROWS_END = b"\\.\n"
_ONE_CHECK = 0x636865636B  # "check"
# Values are written and read alike, whatever the server's and the role's own settings are.
_PLAIN = """set client_encoding to 'UTF8'; set datestyle to 'ISO, YMD'; set intervalstyle to 'postgres';
set bytea_output to 'hex'; set extra_float_digits to 3; set standard_conforming_strings to on;
set statement_timeout to 0; set lock_timeout to 0; set idle_in_transaction_session_timeout to 0"""

Take = Callable[[str, list[str], Iterator[bytes]], None]
Raw = psycopg.Connection[Any]


def write(url: sa.URL, target: Path) -> None:
    """All rows as of one moment. No lock that stops a reader or writer; a migration waits until it is done."""
    try:
        with gzip.open(target, "wb", compresslevel=1) as file, _raw(url) as db:
            # our lock until every table's own is held: no migration may fall between the two
            db.execute("select pg_advisory_lock_shared(%s)", [ADVISORY_LOCK])
            db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            db.read_only = True
            with db.transaction():
                columns = _columns(db)
                names = sql.SQL(", ").join(map(sql.Identifier, columns))
                db.execute(sql.SQL("lock table {} in access share mode").format(names))
                db.execute("select pg_advisory_unlock_shared(%s)", [ADVISORY_LOCK])
                _write_all(db, columns, file)
    except psycopg.Error as error:
        raise StorageError(f"{url.render_as_string(hide_password=True)} cannot be copied: {error}") from error
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error


def _write_all(db: Raw, columns: dict[str, list[str]], file: gzip.GzipFile) -> None:
    revision = db.execute(sql.SQL("select version_num from {}").format(sql.Identifier(VERSION))).fetchone()
    if revision is None:
        raise StorageError("the database does not say which schema it has")
    file.write(_HEAD + f"-- schema {revision[0]}\n".encode())
    rows = 0
    for table, own in columns.items():
        file.write(f"COPY {table} ({', '.join(own)}) FROM stdin;\n".encode())
        out = sql.SQL("copy {} ({}) to stdout").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, own))
        )
        with db.cursor() as cursor, cursor.copy(out) as copy:
            for block in copy:
                rows += bytes(block).count(b"\n")  # one within a value is written as \n
                file.write(block)
        file.write(_ROWS_END)
    file.write(f"-- end {rows}\n".encode())


def _columns(db: Raw) -> dict[str, list[str]]:
    """Of each of our tables that is there."""
    found = db.execute(
        "select table_name, array_agg(column_name::text order by ordinal_position) from information_schema.columns"
        " where table_schema = current_schema() and table_name = any(%s) and is_generated = 'NEVER'"
        " group by table_name order by table_name",
        [sorted(OURS - {VERSION})],
    ).fetchall()
    if not found:
        raise StorageError("the database has none of our tables: there is nothing to copy")
    return dict(found)


def check(url: sa.URL, path: Path, *, quick: bool) -> tuple[int, tuple[str, ...]]:
    """Read the whole dump; unless `quick`, restore it into a scratch database, where this role may make one."""
    rows = 0

    def count(table: str, _columns: list[str], lines: Iterator[bytes]) -> None:
        nonlocal rows
        number = sum(1 for _ in lines)
        rows += number if table != INDEX else 0

    _read(path, count)
    if quick:
        return rows, ("read completely",)
    with _scratch(url) as scratch:
        if scratch is None:
            return rows, ("read completely", "not restored for a trial: this role may not create databases")
        with connected(scratch) as db:
            restored = _fill(db, path)
            if problem := index_problem(db):
                raise StorageError(f"the trial restore is not whole: {problem}")
    if restored != rows:
        raise StorageError(f"the trial restore has {restored} rows, the dump {rows}")
    return rows, ("read completely", "restored into a scratch database", "foreign keys", "full-text index")


def restore(url: sa.URL, path: Path, *, reason: str) -> tuple[int, int]:
    """Replace all of ours in one transaction; rows restored, and messages held. Nobody else may be connected."""
    with connected(url) as db:
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        others = db.scalar(
            sa.text(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
        )
        if others:
            raise AlreadyRunning(f"{others} connections use {url.database}: stop every `monitor`, then restore")
        wipe(db)
        rows = _fill(db, path)
        command.upgrade(config(db), "head")
        search.refold(db)
        record(db, "restored a backup", "", path.name)
        return rows, hold_all(db, reason)


def _fill(db: sa.Connection, path: Path) -> int:
    """Into a database without our tables; the number of rows."""
    with _opened(path) as file:
        revision = _revision(file, path)
    with filling(db, revision):
        raw = db.connection.driver_connection
        if not isinstance(raw, psycopg.Connection):
            raise AssertionError("psycopg is the driver")
        raw.execute(_PLAIN)

        def copy(table: str, columns: list[str], lines: Iterator[bytes]) -> None:
            into = sql.SQL("copy {} ({}) from stdin").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            with raw.cursor() as cursor, cursor.copy(into) as rows:
                for line in lines:
                    rows.write(line)

        try:
            _read(path, copy)
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
            raise StorageError(f"{path} holds rows that do not fit: {error}") from error
        except psycopg.Error as error:
            raise StorageError(f"{path} could not be brought in: {error}") from error
    return sum(counts(db).values())


def _read(path: Path, take: Take) -> None:
    """Hand the rows of each table to `take`. Raises StorageError at the first line that is not as `write` writes it."""
    rows = 0

    def counted(lines: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal rows
        for line in lines:
            rows += 1
            yield line

    with _opened(path) as file:
        _revision(file, path)
        for line in _lines(file, path):
            if header := _COPY.fullmatch(line):
                table, columns = header[1].decode(), header[2].decode().split(", ")
                if table not in OURS - {VERSION}:
                    raise StorageError(f"{path} holds the table {table}, which is none of ours")
                take(table, columns, counted(_rows(file, path)))
            elif foot := _FOOT.fullmatch(line):
                if int(foot[1]) != rows or file.read(1):
                    raise StorageError(f"{path} does not hold the {int(foot[1])} rows that it says")
                return
            else:
                shown = line[:80].decode("utf-8", "replace").strip()
                raise StorageError(f"{path} holds more than rows, and is not restored: {shown!r}")
    raise StorageError(f"{path} ends too early")


@contextmanager
def _opened(path: Path) -> Iterator[gzip.GzipFile]:
    try:
        with gzip.open(path, "rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(f"{path} is damaged, or cannot be read: {error}") from error


def _revision(file: gzip.GzipFile, path: Path) -> str:
    """Reads the first two lines."""
    head, schema = file.readline(200), _SCHEMA.fullmatch(file.readline(200))
    if head != _HEAD or schema is None:
        raise StorageError(f"{path} is not a backup of this program")
    return schema[1].decode()


def _lines(stream: gzip.GzipFile, path: Path) -> Iterator[bytes]:
    while line := stream.readline(LONGEST_LINE):
        if not line.endswith(b"\n"):
            raise StorageError(f"{path} has a line that is too long, or ends too early")
        yield line


def _rows(stream: gzip.GzipFile, path: Path) -> Iterator[bytes]:
    for line in _lines(stream, path):
        if line == _ROWS_END:
            return
        yield line
    raise StorageError(f"{path} ends in the middle of a table")


@contextmanager
def _scratch(url: sa.URL) -> Iterator[sa.URL | None]:
    """An empty database on the same server, gone afterwards; None where we may not make one.

    One at a time: so one that is there before has lost its owner (a kill in the middle of a check), and goes, too.
    """
    try:
        with _scratch_on(url) as scratch:
            yield scratch
    except psycopg.Error as error:
        raise StorageError(f"the trial restore was cut off: {error}") from error


@contextmanager
def _scratch_on(url: sa.URL) -> Iterator[sa.URL | None]:
    ours = f"{(url.database or '')[:40]}_check_"
    name = ours + secrets.token_hex(6)
    with _raw(url) as server:
        server.execute("select pg_advisory_lock(%s)", [_ONE_CHECK])
        try:
            server.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            yield None
            return
        try:
            query = "select datname from pg_database where starts_with(datname, %s) and datname <> %s"
            for (old,) in server.execute(query, [ours, name]).fetchall():
                _drop(server, old)
            yield checked_url(url.render_as_string(hide_password=False)).set(database=name)
        finally:
            _drop(server, name)


def _drop(server: Raw, name: str) -> None:
    server.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _raw(url: sa.URL) -> Raw:
    """A connection of its own, without a transaction."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        db = psycopg.connect(plain, autocommit=True, connect_timeout=10)
        db.execute(_PLAIN)
    except psycopg.Error as error:
        raise StorageError(f"{url.render_as_string(hide_password=True)}: {error}") from error
    return db
