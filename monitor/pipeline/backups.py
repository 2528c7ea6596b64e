"""Copies of the database, made when they are due by whichever process leads, and checked before they count."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from monitor.errors import StorageError
from monitor.model import Level
from monitor.pipeline.lane import kept
from storage import Storage
from storage.backup import dated

log = logging.getLogger(__name__)
T = TypeVar("T")

LEASE = timedelta(minutes=3)
AGAIN = timedelta(hours=1)  # after one that failed: the disk may have room by then
LATE = 2  # times the interval, from when on an admin is told that the last good one is too old


@dataclass(slots=True, kw_only=True)
class Backups:
    """`every` is zero where none is wished. One that fails is a notice, and is tried again in an hour."""

    storage: Storage
    url: str
    directory: Path
    every: timedelta
    keep: int
    now: Callable[[], datetime]
    holder: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    _not_before: datetime | None = None
    _failed: bool = True  # a notice may be open, from before a restart, too

    async def due(self) -> bool:
        """Make one if it is time; whether one was made."""
        if not await self._is_time():
            return False
        if await self.storage.leases.acquire("backup", self.holder, self.now(), LEASE) is None:
            return False
        try:
            async with kept(self._renew, LEASE):
                return await self._is_time() and await self._make()  # another may have made one until just now
        finally:
            await self.storage.leases.release("backup", self.holder)

    async def _is_time(self) -> bool:
        now = self.now()
        if not self.every or (self._not_before and now < self._not_before):
            return False
        last = (await self.storage.upkeep.gauges()).backed_up_at
        if last is None or now - last >= self.every:
            return True
        await self._over()
        return False

    async def _make(self) -> bool:
        now = self.now()
        try:
            done, gone = await aside(lambda: dated(self.url, self.directory, now=now, keep=self.keep))
        except (StorageError, OSError) as error:
            self._not_before, self._failed = self.now() + AGAIN, True
            text = f"No backup could be made: {error}. It is tried again in an hour; `monitor backup` tries it at once."
            await self.storage.notices.raise_once("backup", "failed", Level.ERROR, text, self.now())
            log.error("backup failed reason=%s", error)
            return False
        log.info("backed up rows=%d bytes=%d deleted=%d path=%s", done.rows, done.size, len(gone), done.path)
        await self._over()
        return True

    async def _over(self) -> None:
        if self._failed:
            self._failed = False
            await self.storage.notices.close("backup", "failed", self.now())

    async def _renew(self) -> bool:
        return await self.storage.leases.acquire("backup", self.holder, self.now(), LEASE) is not None


async def aside(work: Callable[[], T]) -> T:
    """`work` in a thread that dies with the process: asyncio.to_thread would be waited for, and a program that is told
    to stop has half a minute, while a copy of everything may take many.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if ended.done():
            return  # nobody waits any more
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(result)  # type: ignore[arg-type]  # None is what such a work returns

    def run() -> None:
        result, trouble = None, None
        try:
            result = work()
        except BaseException as error:  # whatever it is, it belongs to who waits
            trouble = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, trouble)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await ended
