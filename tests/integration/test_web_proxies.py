"""Who asks, behind a proxy: on a real server, by what the request says of itself."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import httpx
import pytest
from fastapi import FastAPI, Request

from config import load
from monitor.errors import ConfigError
from monitor.web import serve

SAID = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}


async def asked_through(proxies: tuple[str, ...]) -> list[str]:
    app = FastAPI()

    @app.get("/")
    async def who(request: Request) -> list[str]:
        return [request.client.host if request.client else "", request.url.scheme]

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = asyncio.ensure_future(serve(app, "127.0.0.1", port, proxies))
    try:
        async with httpx.AsyncClient() as client:
            for _ in range(500):
                with suppress(httpx.ConnectError):
                    answer: list[str] = (await client.get(f"http://127.0.0.1:{port}/", headers=SAID)).json()
                    return answer
                await asyncio.sleep(0.02)
        raise AssertionError("the server did not come up")
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


async def test_what_a_stranger_says_of_who_asks_is_not_believed() -> None:
    assert await asked_through(()) == ["127.0.0.1", "http"]
    assert await asked_through(("10.0.0.0/8",)) == ["127.0.0.1", "http"]


async def test_a_proxy_that_is_named_says_who_asks_and_how() -> None:
    who = await asked_through(("127.0.0.0/8",))

    assert who == ["198.51.100.7", "https"]  # the last that the proxy saw; the first could be the asker's invention


def test_a_proxy_must_be_an_address_or_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_WEB__PROXIES", "10.0.0.5, *")

    with pytest.raises(ConfigError, match=r"web\.proxies"):
        load()
