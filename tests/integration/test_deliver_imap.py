"""Bounces out of a mailbox: each is handled before it is marked read, and none holds up another."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from deliver_tls import make_certificate

from monitor.deliver.imap import ImapPoller
from monitor.errors import RelayUnreachable, RelayUnusable, StorageError


class TinyImap:
    """Enough of RFC 3501 for one mailbox over TLS. `silent_on` names a command that is never answered."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.tls = tls
        self.mails: dict[int, bytes] = {}
        self.seen: set[int] = set()
        self.log: list[str] = []
        self.silent_on = ""
        self.password = "secret"
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> TinyImap:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            writer.write(b"* OK ready\r\n")
            while line := (await reader.readline()).decode().strip():
                tag, _, command = line.partition(" ")
                self.log.append(command)
                if self.silent_on and command.startswith(self.silent_on):
                    await reader.read()
                    return
                writer.write(self._answer(tag, command))
                await writer.drain()
                if command == "LOGOUT":
                    return
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def _answer(self, tag: str, command: str) -> bytes:
        ok = f"{tag} OK done\r\n".encode()
        if command == "CAPABILITY":
            return b"* CAPABILITY IMAP4REV1\r\n" + ok
        if command.startswith("LOGIN"):
            return ok if f'"{self.password}"' in command else f"{tag} NO wrong\r\n".encode()
        if command.startswith("SELECT"):
            return (b"* 1 EXISTS\r\n" + ok) if '"INBOX"' in command else f"{tag} NO no such folder\r\n".encode()
        if command.startswith("UID SEARCH"):
            unseen = " ".join(str(uid) for uid in self.mails if uid not in self.seen)
            return f"* SEARCH {unseen}\r\n".encode() + ok
        if found := re.match(r"UID FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", command):
            body = self.mails[int(found[1])][: int(found[2])]
            return b"* 1 FETCH (UID %s BODY[]<0> {%d}\r\n%s)\r\n" % (found[1].encode(), len(body), body) + ok
        if found := re.match(r"UID STORE (\d+) \+FLAGS\.SILENT \(\\Seen\)", command):
            self.seen.add(int(found[1]))
        return ok


@pytest.fixture(scope="session")
def certificate_for_imap(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("imap"))


@pytest.fixture
async def server(certificate_for_imap: tuple[Path, Path]) -> AsyncIterator[TinyImap]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate_for_imap)
    async with TinyImap(context) as running:
        running.mails = {uid: b"Subject: %d\r\n\r\nbody\r\n" % uid for uid in (3, 5, 9)}
        yield running


@pytest.fixture
def poller(server: TinyImap, certificate_for_imap: tuple[Path, Path]) -> Any:
    def make(**values: Any) -> ImapPoller:
        trust = ssl.create_default_context(cafile=certificate_for_imap[0])
        defaults = {
            "host": "127.0.0.1",
            "port": server.port,
            "username": "u",
            "password": "secret",
            "tls_context": trust,
        }
        return ImapPoller(**{**defaults, **values})

    return make


async def test_each_unread_mail_is_handed_over_once(server: TinyImap, poller: Any) -> None:
    seen: list[bytes] = []

    async def handle(raw: bytes) -> None:
        seen.append(raw)

    counts = [await poller().poll(handle), await poller().poll(handle)]

    assert counts == [3, 0]
    assert seen == list(server.mails.values())
    assert server.seen == {3, 5, 9}


async def test_a_mail_is_marked_read_only_after_it_was_handled(server: TinyImap, poller: Any) -> None:
    async def handle(raw: bytes) -> None:
        assert server.seen == set() if raw.startswith(b"Subject: 3") else 3 in server.seen
        if raw.startswith(b"Subject: 5"):
            raise KeyboardInterrupt  # the process dies here

    with pytest.raises(KeyboardInterrupt):
        await poller().poll(handle)

    assert server.seen == {3}


async def test_a_mail_that_cannot_be_handled_stays_unread_and_holds_up_no_other(server: TinyImap, poller: Any) -> None:
    async def handle(raw: bytes) -> None:
        if raw.startswith(b"Subject: 5"):
            raise StorageError("locked")

    assert await poller().poll(handle) == 2
    assert server.seen == {3, 9}


async def test_only_the_beginning_of_a_huge_mail_is_read(server: TinyImap, poller: Any) -> None:
    server.mails = {1: b"x" * 2_000_000}
    sizes: list[int] = []

    async def handle(raw: bytes) -> None:
        sizes.append(len(raw))

    await poller().poll(handle)

    assert sizes == [512 * 1024]


async def test_a_batch_is_limited(server: TinyImap, poller: Any) -> None:
    async def handle(raw: bytes) -> None:
        pass

    assert await poller(batch=2).poll(handle) == 2
    assert server.seen == {3, 5}


async def nothing(raw: bytes) -> None:
    raise AssertionError("no mail was expected")


async def test_a_refused_login_names_the_server_and_not_the_password(poller: Any) -> None:
    with pytest.raises(RelayUnusable) as caught:
        await poller(password="hunter2").poll(nothing)

    assert "login refused" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_missing_folder_is_named(poller: Any) -> None:
    with pytest.raises(RelayUnusable, match="Bounces"):
        await poller(folder='Bounces "x"').poll(nothing)


async def test_a_certificate_that_nobody_vouches_for_is_refused(server: TinyImap, poller: Any) -> None:
    with pytest.raises(RelayUnusable, match="CERTIFICATE_VERIFY_FAILED"):
        await poller(tls_context=ssl.create_default_context()).poll(nothing)

    assert server.log == []


@pytest.mark.parametrize("command", ["LOGIN", "UID SEARCH", "UID FETCH"])
async def test_a_server_that_falls_silent_is_left_in_time(server: TinyImap, poller: Any, command: str) -> None:
    server.silent_on = command
    begun = time.monotonic()

    with pytest.raises(RelayUnreachable):
        await poller(timeout=0.3).poll(nothing)

    assert time.monotonic() - begun < 2


async def test_no_server_at_all_is_unreachable(server: TinyImap, poller: Any) -> None:
    reader = poller()
    server._server.close()

    with pytest.raises(RelayUnreachable):
        await reader.poll(nothing)
