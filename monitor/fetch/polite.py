"""One request at a time for a server, a pause between two, and rest for a server that asks for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from monitor.errors import FetchStatus

MAX_SERVERS = 4_096
SHORT_REST = 5.0  # seconds: such a rest is waited out, a longer one is reported


class Server:
    """What we remember of one server while it is asked, paused or at rest. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.users = 0
        self.delay = 0.0  # what its robots.txt asks for
        self.allowed: float | None = None  # what its API's rules or headers say, in place of our usual delay
        self.started_at = 0.0
        self.next_at = 0.0
        self.rests_until = 0.0
        self.rests_for = (0, "")  # status and reason

    @property
    def free_at(self) -> float:
        return max(self.next_at, self.rests_until)


class Servers:
    """Turns at servers. Memory is bounded: of servers nobody waits for, those that are free soonest are forgotten."""

    def __init__(self, delay: float, in_flight: int) -> None:
        self._delay = delay
        self._slots = asyncio.Semaphore(in_flight)
        self._servers: dict[str, Server] = {}

    def __len__(self) -> int:
        return len(self._servers)

    @asynccontextmanager
    async def turn(self, name: str, url: str) -> AsyncIterator[None]:
        """Hold the server's turn and one of the slots. A slot is taken last, so that nobody holds one while waiting.

        Raises FetchStatus at once while the server wants to be left alone.
        """
        server = self._server(name)
        server.users += 1
        try:
            async with server.turn:
                await self._wait(server, url)
                async with self._slots:
                    usual = self._delay if server.allowed is None else server.allowed
                    server.started_at = time.monotonic()
                    server.next_at = server.started_at + max(usual, server.delay)
                    yield
        finally:
            server.users -= 1

    async def _wait(self, server: Server, url: str) -> None:
        rest = server.rests_until - time.monotonic()
        if rest > SHORT_REST:
            status, reason = server.rests_for
            raise FetchStatus(
                url, status, f"not asked: {rest:.0f} s are left of the wait the server wants ({reason})", rest
            )
        pause = server.free_at - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)

    def rest(self, name: str, seconds: float, status: int, reason: str) -> None:
        """Leave a server alone for so long."""
        server = self._server(name)
        server.rests_until = max(server.rests_until, time.monotonic() + seconds)
        server.rests_for = (status, reason)

    def slow_down(self, name: str, delay: float) -> None:
        """Keep `delay` seconds between two requests (a crawl-delay)."""
        self._server(name).delay = delay

    def allow(self, name: str, delay: float) -> None:
        """Keep `delay` seconds between two requests, and not our usual delay: the server's own rules say so."""
        server = self._server(name)
        server.allowed = delay
        if server.next_at:
            server.next_at = server.started_at + max(delay, server.delay)

    def allow_at_first(self, name: str, delay: float) -> None:
        """The same, until the server's headers tell more."""
        if self._server(name).allowed is None:
            self.allow(name, delay)

    def _server(self, name: str) -> Server:
        server = self._servers.get(name)
        if server is None:
            if len(self._servers) >= MAX_SERVERS:
                self._forget()
            server = self._servers[name] = Server()
        return server

    def _forget(self) -> None:
        idle = sorted((server.free_at, name) for name, server in self._servers.items() if not server.users)
        for _, name in idle[: MAX_SERVERS // 4]:
            del self._servers[name]
