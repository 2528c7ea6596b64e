"""robots.txt (RFC 9309): may this page be asked for, and how often."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from protego import Protego

from monitor.errors import FetchError, FetchRefused, FetchStatus
from monitor.fetch.guard import Target

FRESH = 24 * 3600.0
RETRY = 600.0
STALE = 30 * 24 * 3600.0  # an old copy serves while the file cannot be read (RFC 9309, section 2.3.1.4)
MAX_BYTES = 500 * 1024
MAX_CRAWL_DELAY = 30.0
MAX_ORIGINS = 512

_USER_AGENT = re.compile(r"\s{0,9}user[- ]?agent(?:\s{0,9}:|\s)", re.IGNORECASE)


@dataclass(slots=True)
class Copy:
    """What one origin's file said. `rules` None: no file, everything is allowed."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    rules: Protego | None = None
    read_at: float | None = None
    ask_at: float = 0.0
    error: FetchError | None = None


class Robots:
    """Rules of many origins, each read once a day, by `read`: the guarded way to fetch (address to text)."""

    def __init__(self, agent: str, read: Callable[[str], Awaitable[bytes]]) -> None:
        self._agent = agent
        self._read = read
        self._copies: OrderedDict[str, Copy] = OrderedDict()

    def __len__(self) -> int:
        return len(self._copies)

    async def check(self, target: Target) -> float:
        """Seconds to keep between two requests (0: no wish). Raises FetchRefused where the page is not for robots.

        A file that cannot be read forbids everything for now: FetchError (or FetchStatus), asked again in ten minutes.
        """
        copy = await self._copy(target.origin)
        if copy.error is not None:
            raise _unreadable(target.url, copy.error)
        if copy.rules is None:
            return 0.0
        if not copy.rules.can_fetch(target.url, self._agent):
            raise FetchRefused(target.url, "the site's robots.txt asks robots not to read this page")
        return min(copy.rules.crawl_delay(self._agent) or 0.0, MAX_CRAWL_DELAY)

    async def _copy(self, origin: str) -> Copy:
        copy = self._copies.setdefault(origin, Copy())
        self._copies.move_to_end(origin)
        while len(self._copies) > MAX_ORIGINS:
            self._copies.popitem(last=False)
        async with copy.lock:  # many pages of one site wait for one reading
            if time.monotonic() >= copy.ask_at:
                await self._refresh(copy, origin)
        return copy

    async def _refresh(self, copy: Copy, origin: str) -> None:
        try:
            copy.rules = parse_robots(await self._read(f"{origin}/robots.txt"), self._agent)
        except FetchError as error:
            if not (isinstance(error, FetchStatus) and 400 <= error.status < 500 and error.status != 429):
                old = copy.read_at is not None and time.monotonic() - copy.read_at < STALE
                copy.error = None if old else error
                copy.ask_at = time.monotonic() + RETRY
                return
            copy.rules = None  # no such file: everything is allowed
        copy.error = None
        copy.read_at = time.monotonic()
        copy.ask_at = copy.read_at + FRESH


def parse_robots(body: bytes, agent: str) -> Protego:
    """The rules for `agent`. Other robots' names are dropped first: protego copies each rule to each name above it."""
    ours = agent.lower()
    lines: list[str] = []
    for line in body[:MAX_BYTES].decode("utf-8-sig", "replace").splitlines():
        if named := _USER_AGENT.match(line):
            name = line[named.end() :].partition("#")[0].strip().lower()
            line = f"User-agent: {name if name in ('*', ours) else 'somebody-else'}"
            if lines and lines[-1] == line:
                continue
        lines.append(line)
    return Protego.parse("\n".join(lines))


def _unreadable(url: str, error: FetchError) -> FetchError:
    reason = f"the site's robots.txt could not be read, so its pages are left alone for now ({error.reason})"
    if isinstance(error, FetchStatus):
        return FetchStatus(url, error.status, reason, error.retry_after)
    return FetchError(url, reason)
