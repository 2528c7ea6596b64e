"""The program's own processes by role, each a real one that gets real signals, without the seconds of imports.

    with Roles(directory) as roles:
        worker = roles.start("worker", MONITOR_STORAGE__URL=url, ...)
        worker.send(signal.SIGSTOP)

A process imports everything and opens nothing; it forks for each role. A role may have a wall clock of its own that is
set `step` seconds forward some `after` its start: then whatever it decides by that clock goes wrong.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]


class Roles:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._started: list[Role] = []
        self._ended: dict[int, int] = {}

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._lines.get(timeout=120)["ready"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for role in self._started:
            if role.running:
                role.send(signal.SIGCONT)
                role.send(signal.SIGKILL)
                role.wait(10)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(20)
        self._reader.join(20)
        self._server.stdout.close()
        for role in self._started if error is not None else []:
            print(f"--- {role.log.name}\n{role.text()}")

    def start(self, role: str, *, step: float = 0.0, after: float = 0.0, **settings: object) -> Role:
        number = len(self._started)
        values = {
            "MONITOR_DATA_DIR": self._directory,
            "MONITOR_WEB__PORT": 0,
            "MONITOR_RUN__LOG_FORMAT": "text",
            "MONITOR_BACKUP__EVERY_HOURS": 0,
            **settings,
        }
        order = {
            "role": role,
            "step": step,
            "after": after,
            "log": str(self._directory / f"{number}-{role}.log"),
            "settings": {name: str(value) for name, value in values.items()},
        }
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        started = Role(self, role, self._lines.get(timeout=60)["pid"], Path(order["log"]))
        self._started.append(started)
        return started

    def ended(self, pid: int) -> int | None:
        return self._ended.get(pid)

    def _read(self) -> None:
        assert self._server.stdout is not None
        for text in self._server.stdout:
            line = json.loads(text)
            if "status" in line:
                self._ended[line["pid"]] = line["status"]
            else:
                self._lines.put(line)


class Role:
    def __init__(self, roles: Roles, name: str, pid: int, log: Path) -> None:
        self._roles = roles
        self.name, self.pid, self.log = name, pid, log

    @property
    def running(self) -> bool:
        return self._roles.ended(self.pid) is None

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def says(self, words: str) -> bool:
        assert self.running, self.text()
        return words in self.text()

    def send(self, sign: signal.Signals) -> None:
        os.kill(self.pid, sign)

    def wait(self, seconds: float) -> int:
        """Its exit code, or minus the signal that ended it."""
        until(lambda: not self.running, seconds, self.name)
        status = self._roles.ended(self.pid)
        assert status is not None
        return status


def until(true: Callable[[], bool], seconds: float, what: object = "it") -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


# --- the server's end -----------------------------------------------------------------------------------------


def _say(**values: Any) -> None:
    os.write(1, (json.dumps(values) + "\n").encode())


def _serve() -> None:
    import aiosmtplib
    import httpx_aiohttp
    import procrastinate
    import psycopg
    import sqlalchemy.dialects.postgresql
    import sqlalchemy.dialects.sqlite

    import monitor.cli.main
    import monitor.web
    import monitor.worker

    del aiosmtplib, httpx_aiohttp, procrastinate, psycopg, sqlalchemy, monitor
    assert threading.active_count() == 1
    signal.signal(signal.SIGCHLD, _reap)
    _say(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        # no child may end before its birth was told
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _become(order)
        _say(pid=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _reap(*_: object) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say(pid=pid, status=os.waitstatus_to_exitcode(status))


def _become(order: dict[str, Any]) -> None:
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(here, there)
    os.environ.update(order["settings"])
    sys.argv = ["monitor", order["role"]]
    code = 1
    try:
        if order["step"]:
            _step_clock(order["after"], order["step"])
        from monitor.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _step_clock(after: float, seconds: float) -> None:
    from datetime import datetime, timedelta

    import monitor.app.opening

    at, step = time.monotonic() + after, timedelta(seconds=seconds)

    class Wall(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + (step if time.monotonic() > at else timedelta())

    monitor.app.opening.datetime = Wall  # type: ignore[misc]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _serve()
