"""Who does the due work: this process itself, or workers elsewhere (monitor.pipeline.distribute)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from monitor.pipeline.monitor import Monitor

SELDOM = 600.0  # seconds: housekeeping
BACKUP = 60.0  # seconds between two looks whether one is due: a leader's first look may come before it leads
MAILBOX = 300.0  # seconds between two looks into the bounce mailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One thing that the heartbeat calls again and again."""

    name: str
    work: Callable[[], Awaitable[object]]
    seconds: float


class Dispatcher(Protocol):
    """Gets due work done. The heartbeat calls its beats; `drain` ends well what is in hand."""

    def beats(self) -> list[Beat]: ...

    async def drain(self, seconds: float) -> int:
        """Begin nothing more, finish what runs within `seconds`; the number of items cut off."""
        ...


class InProcess:
    """Everything here, in lanes side by side."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def beats(self) -> list[Beat]:
        monitor = self._monitor
        tick = monitor.rules.tick
        return [
            Beat(name="poll", work=monitor.poll_due, seconds=tick),
            Beat(name="pages", work=monitor.read_pages_due, seconds=tick),
            Beat(name="papers", work=monitor.enrich_due, seconds=tick),
            Beat(name="outbox", work=monitor.send_due, seconds=tick),
            *common(monitor),
        ]

    async def drain(self, seconds: float) -> int:
        return await self._monitor.drain(seconds)


class Idle:
    """Nothing: a process that only answers on the web. Its one beat tells whether the database is there."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def beats(self) -> list[Beat]:
        return [Beat(name="database", work=self._monitor.storage.ping, seconds=self._monitor.rules.tick)]

    async def drain(self, seconds: float) -> int:
        await asyncio.sleep(0)
        return 0


def common(monitor: Monitor) -> list[Beat]:
    """What is little work in all, and needs one process only."""
    tick = monitor.rules.tick
    return [
        Beat(name="digests", work=monitor.plan_digests, seconds=tick),
        Beat(name="stories", work=monitor.tell_stories, seconds=tick),
        Beat(name="safety", work=monitor.watch_papers, seconds=max(tick, SELDOM)),
        Beat(name="bounces", work=monitor.read_bounces, seconds=max(tick, MAILBOX)),
        Beat(name="housekeeping", work=monitor.housekeep, seconds=max(tick, SELDOM)),
        Beat(name="backup", work=monitor.back_up_due, seconds=max(tick, BACKUP)),
    ]
