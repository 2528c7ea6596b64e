"""A lane: claim what is due, work on it side by side, never more than `width` at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Generic, TypeVar

from monitor.errors import StorageError

log = logging.getLogger(__name__)
T = TypeVar("T")

SIGN_OF_LIFE = 30.0  # seconds
REFILL = 1.0  # seconds between two looks for more work while something slow is still running


class Lane(Generic[T]):
    """One kind of due work. A slow item occupies its own place only: the free places are filled again and again."""

    def __init__(
        self, name: str, claim: Callable[[int], Awaitable[list[T]]], work: Callable[[T], Awaitable[object]], width: int
    ) -> None:
        self.name = name
        self._claim = claim
        self._work = work
        self._width = width
        self._running: set[asyncio.Task[object]] = set()
        self._open = True
        self._turned_at: float | None = None

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def at_work(self) -> bool:
        """Whether it goes on: something runs, and the lane has looked after it a moment ago."""
        return bool(self._running) and self._turned_at is not None and time.monotonic() - self._turned_at < SIGN_OF_LIFE

    async def run(self) -> int:
        """Work until nothing is due and nothing runs; the number of items done. One caller at a time."""
        done = 0
        while True:
            done += await self._fill()
            self._turned_at = time.monotonic()
            if not self._running:
                return done
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED, timeout=REFILL)

    async def drain(self, seconds: float) -> int:
        """Claim nothing more, give what runs `seconds` to finish, then cancel it; the number cancelled."""
        self._open = False
        if not self._running:
            return 0
        _, late = await asyncio.wait(self._running, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return len(late)

    async def _fill(self) -> int:
        free = self._width - len(self._running)
        claimed = await self._claim(free) if self._open and free > 0 else []
        for item in claimed:
            task: asyncio.Task[object] = asyncio.create_task(self._one(item))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(claimed)

    async def _one(self, item: T) -> None:
        # The boundary: whatever one item does, the lane goes on. Work records its own failures; this is for our bugs.
        try:
            await self._work(item)
        except Exception:
            log.exception("%s failed item=%s", self.name, _name(item))  # not the item: it may hold a whole message


def _name(item: object) -> object:
    return getattr(item, "slug", None) or getattr(item, "id", None) or getattr(item, "url", type(item).__name__)


@contextlib.asynccontextmanager
async def kept(renew: Callable[[], Awaitable[bool]], lease: timedelta) -> AsyncIterator[None]:
    """Renew a lease at each quarter of its length while the body runs. A lost lease is not fatal: settling is fenced.
    Neither is a database that is away for a moment: there is time for two more tries.
    """

    async def beat() -> None:
        while await asyncio.sleep(lease.total_seconds() / 4, result=True):
            try:
                if not await renew():
                    return
            except StorageError as error:
                log.warning("lease not renewed yet reason=%s", error)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
