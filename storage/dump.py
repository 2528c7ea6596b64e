"""PostgreSQL's own dump and its way back, without running what stands in it.

A dump is a program: its archive holds SQL that pg_restore would run with our rights. So pg_restore only writes it out,
as text, and here that text is read: rows for our tables are taken, everything else but comments and settings is
refused. The schema comes from our migrations, and all of it is one transaction.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
import sqlalchemy as sa
from alembic import command
from psycopg import conninfo, sql

from monitor.errors import AlreadyRunning, StorageError
from storage import search
from storage.engine import checked_url
from storage.filling import INDEX, OURS, VERSION, counts, filling, wipe
from storage.migrate import ADVISORY_LOCK, config, connected
from storage.outbox import hold_all
from storage.upkeep import index_problem

LONGEST_LINE = 256_000_000  # bytes of one row as text: a message with its bodies has a few million
_COPY = re.compile(rb'COPY (?:public\.)?"?(\w+)"? \(([\w", ]+)\) FROM stdin;\n')
_HARMLESS = re.compile(
    rb"(--.*"
    rb"|SET \w+ = [^;]*;"
    rb"|SELECT pg_catalog\.set_config\('search_path', '', false\);"
    rb"|SELECT pg_catalog\.setval\('(?:public\.)?\w+', \d+, (?:true|false)\);"  # we set our sequences ourselves
    rb"|\\(?:un)?restrict \w+"
    rb"|)\n"
)
_END = b"\\.\n"
Take = Callable[[str, list[str], Iterator[bytes]], None]


@dataclass(frozen=True, slots=True)
class Tools:
    """Where pg_dump and pg_restore are."""

    dump: str
    restore: str

    @classmethod
    def find(cls, directory: str) -> Tools:
        """Raises StorageError that says where to get them."""
        found = {name: shutil.which(name, path=directory or None) for name in ("pg_dump", "pg_restore")}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            where = directory or "the PATH"
            raise StorageError(
                f"{' and '.join(missing)} not found in {where}: install PostgreSQL's client programs (in Debian"
                " postgresql-client), or set MONITOR_STORAGE__POSTGRES_BIN"
            )
        return cls(dump=str(found["pg_dump"]), restore=str(found["pg_restore"]))


def write(url: sa.URL, target: Path, tools: Tools) -> None:
    """A dump in PostgreSQL's custom format, of one moment. The password is in no argument list."""
    place, environment = _connection(url)
    arguments = ("--format=custom", "--compress=1", "--no-owner", "--no-privileges", "--schema=public")
    _run([tools.dump, *arguments, f"--file={target}", f"--dbname={place}"], environment)


def check(url: sa.URL, path: Path, tools: Tools, *, quick: bool) -> tuple[int, tuple[str, ...]]:
    """Read the whole dump; unless `quick`, restore it into a scratch database, where this role may make one."""
    rows = 0

    def count(table: str, _columns: list[str], lines: Iterator[bytes]) -> None:
        nonlocal rows
        number = sum(1 for _ in lines)
        rows += number if table not in (INDEX, VERSION) else 0

    _read(path, tools, count)
    if quick:
        return rows, ("read completely",)
    with _scratch(url) as scratch:
        if scratch is None:
            return rows, ("read completely", "not restored for a trial: this role may not create databases")
        with connected(scratch) as db:
            restored = _fill(db, path, tools)
            if problem := index_problem(db):
                raise StorageError(f"the trial restore is not whole: {problem}")
    if restored != rows:
        raise StorageError(f"the trial restore has {restored} rows, the dump {rows}")
    return rows, ("read completely", "restored into a scratch database", "foreign keys", "full-text index")


def restore(url: sa.URL, path: Path, tools: Tools, *, reason: str) -> tuple[int, int]:
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
        rows = _fill(db, path, tools)
        command.upgrade(config(db), "head")
        search.refold(db)
        return rows, hold_all(db, reason)


def _fill(db: sa.Connection, path: Path, tools: Tools) -> int:
    """Into a database without our tables; the number of rows."""
    with filling(db, _revision(path, tools)):
        raw = db.connection.driver_connection
        if not isinstance(raw, psycopg.Connection):
            raise AssertionError("psycopg is the driver")

        def copy(table: str, columns: list[str], lines: Iterator[bytes]) -> None:
            if table == VERSION:  # the schema is as our migrations made it
                for _ in lines:
                    pass
                return
            into = sql.SQL("copy {} ({}) from stdin").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            with raw.cursor() as cursor, cursor.copy(into) as rows:
                for line in lines:
                    rows.write(line)

        try:
            _read(path, tools, copy)
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
            raise StorageError(f"{path} holds rows that do not fit: {error}") from error
    return sum(counts(db).values())


def _revision(path: Path, tools: Tools) -> str:
    found: list[str] = []

    def keep(table: str, _columns: list[str], lines: Iterator[bytes]) -> None:
        if table == VERSION:
            found.extend(line.decode("ascii", "replace").strip() for line in lines)

    _read(path, tools, keep, f"--table={VERSION}")
    if len(found) != 1 or not re.fullmatch(r"\w{1,32}", found[0]):
        raise StorageError(f"{path} does not say which schema it has: it is not a backup of this program")
    return found[0]


def _read(path: Path, tools: Tools, take: Take, *more: str) -> None:
    """Hand the rows of each table to `take`. Raises StorageError at the first line that is neither row nor harmless."""
    arguments = [tools.restore, "--data-only", "--no-owner", *more, "--file=-", str(path.absolute())]
    with (
        tempfile.TemporaryFile() as complaints,  # not a pipe: nobody reads it while the rows come
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=complaints) as process,  # noqa: S603
    ):
        if process.stdout is None:
            raise AssertionError("it is a pipe")
        try:
            for line in _lines(process.stdout, path):
                if header := _COPY.fullmatch(line):
                    table = header[1].decode()
                    columns = [name.strip(' "') for name in header[2].decode().split(",")]
                    if table not in OURS:
                        raise StorageError(f"{path} holds the table {table}, which is none of ours")
                    rows = _rows(process.stdout, path)
                    take(table, columns, rows)
                    for _ in rows:  # what was not taken
                        pass
                elif not _HARMLESS.fullmatch(line):
                    shown = line[:80].decode("utf-8", "replace").strip()
                    raise StorageError(f"{path} holds more than rows, and is not restored: {shown!r}")
        except BaseException:
            process.kill()
            raise
        process.wait()
        complaints.seek(0)
        complaint = complaints.read(10_000).decode("utf-8", "replace").strip()
    if process.returncode:
        raise StorageError(f"{path} cannot be read: {complaint.splitlines()[0] if complaint else 'pg_restore failed'}")


def _lines(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    while line := stream.readline(LONGEST_LINE):
        if not line.endswith(b"\n"):
            raise StorageError(f"{path} has a line that is too long, or ends too early")
        yield line


def _rows(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    for line in _lines(stream, path):
        if line == _END:
            return
        yield line
    raise StorageError(f"{path} ends in the middle of a table")


@contextmanager
def _scratch(url: sa.URL) -> Iterator[sa.URL | None]:
    """An empty database on the same server, gone afterwards; None where we may not make one."""
    name = f"monitor_check_{secrets.token_hex(6)}"
    place, environment = _connection(url)
    password = environment.get("PGPASSWORD", "")
    with psycopg.connect(place, password=password or None, autocommit=True) as server:
        try:
            server.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            yield None
            return
        try:
            yield checked_url(url.render_as_string(hide_password=False)).set(database=name)
        finally:
            server.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _connection(url: sa.URL) -> tuple[str, dict[str, str]]:
    """libpq's words for it without the password, and an environment that has it."""
    parts = conninfo.conninfo_to_dict(url.set(drivername="postgresql").render_as_string(hide_password=False))
    password = str(parts.pop("password", None) or "")
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    return conninfo.make_conninfo("", **parts), environment


def _run(command_line: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command_line, env=environment, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        complaint = done.stderr.decode("utf-8", "replace").strip()
        hint = (
            "; the client programs must be at least as new as the server: set MONITOR_STORAGE__POSTGRES_BIN"
            if "version mismatch" in complaint
            else ""
        )
        raise StorageError(
            f"{Path(command_line[0]).name}: {complaint.splitlines()[-1] if complaint else 'failed'}{hint}"
        )
