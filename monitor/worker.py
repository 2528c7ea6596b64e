"""The heartbeat: APScheduler says "now", the database says what is due.

APScheduler is only the clock. Due times, leases and attempts are columns, so a process that was down for hours finds
everything still due, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from monitor.pipeline import Monitor
from monitor.pipeline.dispatch import Beat, Dispatcher, InProcess

log = logging.getLogger(__name__)

LONGEST_SILENCE = 120  # seconds that a beat may take without its ending well
WATCH = 60.0  # seconds between two looks at the whole


class Heartbeat:
    """Calls the due-functions of one Monitor again and again.

    `silent` names those that have not gone well for longer than they may, and are not at work either.
    """

    def __init__(self, monitor: Monitor, dispatcher: Dispatcher) -> None:
        self._well: dict[str, datetime] = {}  # when each last went well
        self._limits: dict[str, timedelta] = {}
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._monitor = monitor
        self._dispatcher = dispatcher
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        watch = Beat(name="alerts", work=self._watch, seconds=max(monitor.rules.tick, WATCH))
        for beat in (*dispatcher.beats(), watch):
            name, seconds = beat.name, beat.seconds
            self._well[name] = monitor.now()
            monitor.meter.begin(name, self._well[name])
            self._limits[name] = timedelta(seconds=LONGEST_SILENCE + 3 * seconds)
            trigger = IntervalTrigger(seconds=seconds, timezone=UTC, jitter=min(1.0, seconds / 5))
            # the clock must never wait for the work: each beat only starts it, unless the last one is still at it
            self._scheduler.add_job(
                self._start, trigger, args=(name, beat.work), id=name, next_run_time=datetime.now(UTC)
            )

    def silent(self) -> list[str]:
        now, at_work = self._monitor.now(), self._monitor.at_work()
        late = [name for name, limit in self._limits.items() if now - self._well[name] > limit]
        return [name for name in late if name not in at_work]

    def start(self) -> None:
        self._scheduler.start()

    async def stop(self, seconds: float) -> None:
        """Start nothing more; give what runs `seconds` to finish; what is cut off is taken up again by its lease."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        late = await self._dispatcher.drain(seconds)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        log.info("stopped late=%d", late)

    async def _watch(self) -> None:
        await self._monitor.watch(self.silent())

    async def _start(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        if name in self._busy:
            return
        self._busy.add(name)
        task = asyncio.create_task(self._guard(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
            self._well[name] = self._monitor.now()
            self._monitor.meter.beat(name, self._well[name])
        except Exception:  # a beat that fails must not stop the heart; /healthz shows that it no longer goes well
            log.exception("beat failed job=%s", name)
            self._monitor.meter.beat(name, None)
        finally:
            self._busy.discard(name)


@contextlib.asynccontextmanager
async def until_signalled() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets; the second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, on_signal)
    try:
        yield stop
    finally:
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sign)


async def run(
    monitor: Monitor, serve: Callable[[Heartbeat], Awaitable[object]], dispatcher: Dispatcher | None = None
) -> None:
    """Beat and serve until SIGTERM, then drain. Without a `dispatcher` this process does all the work."""
    heart = Heartbeat(monitor, dispatcher or InProcess(monitor))
    async with until_signalled() as stop:
        heart.start()
        server = asyncio.ensure_future(serve(heart))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if server.done():
                server.result()  # a server that cannot listen ends the program with its reason
        finally:
            stopping.cancel()
            await heart.stop(monitor.rules.drain)
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)
