"""Runs of the real program that may be killed at any moment, each in a fresh process that costs next to nothing.

    with Killable() as program:
        run = program.start("ingest", data_dir=..., now=..., origin=..., feeds=[...])
        run.reach("pages")              # it has begun to read pages
        run.kill()                      # SIGKILL, now
        assert program.start("ingest", ...).finish() == 0

A server process imports everything and opens nothing: no database, socket, thread or event loop. It forks for each run,
so a run is a process as `monitor run` would be, without the second of imports. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LONGEST_RUN = 60.0


class Killable:
    """The test's end: start runs, hear which stage they have reached, kill them."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            cwd=Path(__file__).parents[1],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.hear()  # ready
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(20)
        self._reader.join(20)
        self._server.stdout.close()

    def start(self, what: str, **arguments: Any) -> Run:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"what": what, "arguments": arguments}, default=str) + "\n")
        line = self.hear()
        self.pids.append(line["pid"])
        return Run(self, line["pid"])

    def hear(self, seconds: float = LONGEST_RUN) -> dict[str, Any]:
        line = self._lines.get(timeout=seconds)
        if line.get("gone"):
            raise RuntimeError("the server of runs has ended; what it said is on stderr")
        return line

    def orphans(self) -> list[int]:
        """Parsers' children of any run that are still there."""
        return [pid for pid in _processes() if (owner := _parsers_owner(pid)) is not None and owner in self.pids]

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            self._lines.put(json.loads(line))
        self._lines.put({"gone": True})


class Run:
    """One run. `stages`: which were reached, and when."""

    def __init__(self, program: Killable, pid: int) -> None:
        self.pid = pid
        self.stages: dict[str, float] = {"open": time.monotonic()}
        self.status: int | None = None
        self._program = program

    def reach(self, stage: str) -> bool:
        """Wait until it begins `stage`; False when it ends before."""
        while stage not in self.stages and self.status is None:
            self._hear()
        return stage in self.stages and self.status is None

    def kill(self) -> float:
        """When. It may have ended of itself just before; then its status says so."""
        at = time.time()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.finish()
        return at

    def finish(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        while self.status is None:
            self._hear()
        return self.status

    def _hear(self) -> None:
        line = self._program.hear()
        assert line["pid"] == self.pid
        if "status" in line:
            self.status = line["status"]
        else:
            self.stages[line["stage"]] = time.monotonic()


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _parsers_owner(pid: int) -> int | None:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    _, serves, rest = command.partition(b"monitor.sandbox import serve; serve(")
    return int(rest.split(b",")[0]) if serves else None


# --- the server's end -----------------------------------------------------------------------------------------


def _say(**values: Any) -> None:
    os.write(1, (json.dumps(values) + "\n").encode())


def _stage(name: str) -> None:
    _say(pid=os.getpid(), stage=name)


async def ingest(
    data_dir: str, now: str, origin: str, feeds: list[list[str]], readers: list[list[str]], reads: bool = True
) -> None:
    """Poll, read pages, plan and send to a Maildir, at one moment."""
    from datetime import timedelta

    from monitor.app import open_monitor, settings
    from monitor.model import Source

    chosen = settings(
        data_dir=Path(data_dir), fetch__allow=(origin,), fetch__host_delay=0.0, parse__workers=1, storage__url=""
    )
    sources = [
        Source(slug=slug, name=slug, url=url, pages=reads, interval=timedelta(minutes=30)) for slug, url in feeds
    ]
    moment = datetime.fromisoformat(now)
    async with open_monitor(chosen, now=lambda: moment, first_sources=sources) as opened:
        await _add_readers(opened.monitor, readers)
        for name, work in (
            ("poll", opened.monitor.poll_due),
            ("pages", opened.monitor.read_pages_due),
            ("plan", opened.monitor.plan_digests),
            ("send", opened.monitor.send_due),
        ):
            _stage(name)
            await work()
        _stage("close")


async def _add_readers(monitor: Any, readers: list[list[str]]) -> None:
    from monitor.errors import NotFound
    from monitor.model import Cadence, Subscriber, Subscription

    topics = {topic.slug: topic.id for topic in await monitor.storage.topics.list()}
    for email, cadence, slugs in readers:
        try:
            if await monitor.storage.readers.subscriptions((await monitor.storage.readers.get(email)).id):
                continue
        except NotFound:
            pass
        wanted = tuple(topics[slug] for slug in slugs.split(","))
        subscription = Subscription(subscriber_id=0, topic_ids=wanted, cadence=Cadence(cadence))
        await monitor.readers.add(Subscriber(email=email), subscription)


async def send(data_dir: str, now: str, url: str, port: int, resend: bool = True) -> None:
    """Plan what is due and send it by SMTP, at one moment."""
    from monitor.app import open_monitor, settings

    chosen = settings(
        data_dir=Path(data_dir),
        storage__url=url,
        smtp__host="127.0.0.1",
        smtp__port=port,
        smtp__security="none",
        smtp__messages_per_minute=0.0,
        mail__in_doubt="resend" if resend else "hold",
    )
    moment = datetime.fromisoformat(now)
    async with open_monitor(chosen, now=lambda: moment) as opened:
        for name, work in (("plan", opened.monitor.plan_digests), ("send", opened.monitor.send_due)):
            _stage(name)
            await work()
        _stage("close")


RUNS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"ingest": ingest, "send": send}


def _serve() -> None:
    import aiosmtplib  # noqa: F401
    import httpx_aiohttp  # noqa: F401
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.sqlite  # noqa: F401

    import monitor.app  # noqa: F401

    assert threading.active_count() == 1
    _say(stage="ready")
    for line in sys.stdin:
        call = json.loads(line)
        pid = os.fork()
        if not pid:
            os.close(0)
            os.open(os.devnull, os.O_RDONLY)
            code = 0
            try:
                _say(pid=os.getpid())
                asyncio.run(RUNS[call["what"]](**call["arguments"]))
            except BaseException:
                traceback.print_exc()
                code = 1
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        _say(pid=pid, status=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    _serve()
