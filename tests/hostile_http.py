"""A web server that misbehaves on purpose, on raw streams: what it sends is exactly what its pages say."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Page = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    at: float


@dataclass
class HostileHttp:
    """Serves `pages` (path to page) on 127.0.0.1 and notes every request, and how many were open at once."""

    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    open_now: int = 0
    open_most: int = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"http://{self.place}{path}"

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileHttp]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 20, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await self._answer(await reader.readuntil(b"\r\n\r\n"), writer)
        writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("utf-8", "surrogateescape").rstrip().split("\r\n")
        path = first.split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        request = Request(path, headers, time.monotonic())
        self.requests.append(request)
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            await self.pages.get(path, status(404))(request, writer)
            await writer.drain()
        finally:
            self.open_now -= 1


# --- pages ----------------------------------------------------------------------------------------------------


def raw(data: bytes, *, close: bool = False) -> Page:
    async def page(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            await writer.drain()
            writer.close()

    return page


def ok(body: bytes = b"<rss/>", **headers: str) -> Page:
    """200 with its length; header names are written with _ for -."""
    return status(200, body, **headers)


def status(code: int, body: bytes = b"", **headers: str) -> Page:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return raw(
        f"HTTP/1.1 {code} X\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body
    )


def redirect(location: str, code: int = 302, body: bytes = b"") -> Page:
    return status(code, body, Location=location)


def conditional(body: bytes, etag: str) -> Page:
    async def page(request: Request, writer: asyncio.StreamWriter) -> None:
        known = request.headers.get("if-none-match") == etag
        await (status(304, ETag=etag) if known else ok(body, ETag=etag))(request, writer)

    return page


def forever(start: bytes, piece: bytes, pause: float = 0.0) -> Page:
    """`start`, then `piece` again and again, until the client leaves."""

    async def page(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return page


def then_silent(start: bytes) -> Page:
    async def page(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await asyncio.sleep(60)

    return page


def then_reset(start: bytes) -> Page:
    """`start`, then a TCP reset."""

    async def page(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return page


def slowly(page: Page, seconds: float) -> Page:
    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await page(request, writer)

    return slow


def gzip_bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    zeros = bytes(1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)
