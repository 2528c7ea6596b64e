"""CPU milliseconds a request: our guarded fetcher against the clients it might have been. One run, ratios to compare.

    python -m bench.fetch [requests]

A server in a process of its own answers with 10 KB on a few loopback ports; the client's CPU time alone is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import aiohttp
import httpx

from monitor.fetch import Fetcher

PORTS = 20
IN_FLIGHT = 16
BODY = b"x" * 10_000
ANSWER = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Type: text/xml\r\nContent-Length: 10000\r\n\r\n' + BODY


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
            await writer.drain()
    writer.close()


def serve(ports: Connection) -> None:
    async def main() -> None:
        servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range(PORTS)]
        ports.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.sleep(3600)

    asyncio.run(main())


async def cost(get: Callable[[str], Awaitable[object]], urls: list[str]) -> float:
    """CPU milliseconds for one of `urls`, the better of two rounds, after a warm-up."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(url: str) -> None:
        async with slots:
            await get(url)

    await asyncio.gather(*map(one, urls[:100]))
    best = float("inf")
    for _ in range(2):
        started = time.process_time()
        await asyncio.gather(*map(one, urls))
        best = min(best, (time.process_time() - started) / len(urls) * 1000)
    return best


async def main(count: int) -> None:
    theirs, ours = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(ours,), daemon=True)
    server.start()
    ports = theirs.recv()
    urls = [f"http://127.0.0.1:{ports[number % PORTS]}/{number}" for number in range(count)]
    allow = {f"127.0.0.1:{port}" for port in ports}
    costs: dict[str, float] = {}

    async with Fetcher(user_agent="Bench/1.0", allow=allow, in_flight=IN_FLIGHT, host_delay=0) as fetcher:
        costs["monitor.fetch"] = await cost(fetcher.get, urls)
    async with httpx.AsyncClient(trust_env=False) as client:
        costs["httpx.AsyncClient"] = await cost(client.get, urls)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def get(url: str) -> bytes:
            async with session.get(url) as response:
                return await response.read()

        costs["aiohttp"] = await cost(get, urls)
    server.terminate()

    for name, milliseconds in costs.items():
        print(f"{name:20} {milliseconds:6.2f} ms a request  {milliseconds / costs['monitor.fetch']:5.2f} x ours")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 1500))
