"""Certificates are checked, against the name that was asked for and not the address it stands for."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import hostile_http as hostile
from hostile_http import HostileHttp

from monitor.errors import FetchError
from monitor.fetch import Fetcher

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for good.example, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
         "-days", "2", "-subj", "/CN=good.example", "-addext", "subjectAltName=DNS:good.example"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


@pytest.fixture
async def server(certificate: Path) -> AsyncIterator[HostileHttp]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with HostileHttp({"/": hostile.ok(b"secret news")}).running(context) as server:
        yield server


@pytest.fixture
async def fetcher(server: HostileHttp) -> AsyncIterator[Fetcher]:
    names = {f"{name}:{server.port}" for name in ("good.example", "bad.example")}
    async with Fetcher(user_agent="Test/1", allow=names, lookup=lambda host, port: ["127.0.0.1"]) as fetcher:
        yield fetcher


def trust(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    monkeypatch.setattr("monitor.fetch.client._tls", lambda: ssl.create_default_context(cafile=str(certificate)))


async def test_a_trusted_certificate_for_the_name_is_accepted(
    server: HostileHttp, fetcher: Fetcher, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, certificate)

    assert (await fetcher.get(f"https://good.example:{server.port}/")).body == b"secret news"


async def test_a_certificate_for_another_name_is_refused(
    server: HostileHttp, fetcher: Fetcher, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, certificate)

    with pytest.raises(FetchError, match=r"certificate is not valid: Hostname mismatch"):
        await fetcher.get(f"https://bad.example:{server.port}/")

    assert server.requests == []


async def test_a_certificate_nobody_vouches_for_is_refused(server: HostileHttp, fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="certificate is not valid: self"):
        await fetcher.get(f"https://good.example:{server.port}/")

    assert server.requests == []


async def test_a_server_without_tls_is_an_error_that_says_so() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 This is a plain server\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async with server, Fetcher(user_agent="Test/1", allow={place}) as fetcher:
        with pytest.raises(FetchError, match="TLS failed"):
            await fetcher.get(f"https://{place}/")
