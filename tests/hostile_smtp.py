"""A mail server that does what it is told, however bad: refuses, cuts, drips, falls silent, never ends.

    async with HostileSmtp() as server:
        server.script["RCPT"] = "450 4.2.0 later"            # to everybody
        server.for_recipient["bad@example.org"] = {"RCPT": "550 5.1.1 who?"}

Stages: "banner", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "text" (before the text is read), "dot"
(after it), "RSET", "NOOP", "QUIT". An action is a reply's text, one of the functions below, or a list of them, of which
each is used once and the last one for ever; None is the ordinary answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stored:
    """One message that the server took: `raw` as it came over the wire, `data` with the dots unstuffed."""

    sender: str
    recipient: str
    data: bytes
    raw: bytes
    connection: int


class GoneError(Exception):
    """The session is over."""


@dataclass(slots=True)
class Session:
    server: HostileSmtp
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    sender: str = ""
    mail_line: str = ""
    recipients: list[str] = field(default_factory=list)
    raw: bytes = b""

    async def say(self, text: str) -> None:
        self.writer.write(text.encode("utf-8", "surrogateescape") + b"\r\n")
        await self.writer.drain()

    def store(self) -> None:
        data = self.raw.replace(b"\r\n..", b"\r\n.")
        data = data[1:] if data.startswith(b"..") else data
        for recipient in self.recipients:
            self.server.stored.append(Stored(self.sender, recipient, data, self.raw, self.number))


async def cut(session: Session) -> None:
    """Reset the connection."""
    session.writer.transport.abort()
    raise GoneError


async def hang_up(session: Session) -> None:
    """Close the connection in order."""
    session.writer.close()
    raise GoneError


async def silent(session: Session) -> None:
    """Say nothing, until the client goes."""
    while await session.reader.read(65536):
        pass
    raise GoneError


async def endless(session: Session) -> None:
    """A reply of continuation lines without end, slowly enough that a cap on bytes does not catch it soon."""
    while True:
        await session.say("250-and another thing")
        await asyncio.sleep(0.01)


async def drip(session: Session) -> None:
    """One byte every 50 ms: never silent, never done."""
    while True:
        session.writer.write(b"2")
        await session.writer.drain()
        await asyncio.sleep(0.05)


async def junk(session: Session) -> None:
    session.writer.write(b"\x00\xff\xfe\x1b[2J<html>HTTP/1.1 400 Bad Request\r\n\r\n")
    await session.writer.drain()


async def store_and_cut(session: Session) -> None:
    """The message is accepted; the answer is lost."""
    session.store()
    await cut(session)


async def store_and_stay_silent(session: Session) -> None:
    session.store()
    await silent(session)


def after(seconds: float, reply: str) -> Callable[[Session], Awaitable[None]]:
    async def act(session: Session) -> None:
        await asyncio.sleep(seconds)
        await session.say(reply)

    return act


def cut_after(count: int) -> Callable[[Session], Awaitable[None]]:
    """Read some bytes of the text, then reset."""

    async def act(session: Session) -> None:
        with suppress(asyncio.IncompleteReadError):
            await session.reader.readexactly(count)
        await cut(session)

    return act


class HostileSmtp:
    """`extensions` are the lines of the EHLO answer; `tls` is for STARTTLS, or from the start with `wrapped`.

    `credentials`: any of these strings in an AUTH line makes a login good.
    """

    def __init__(
        self,
        *,
        extensions: tuple[str, ...] = ("SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES"),
        tls: ssl.SSLContext | None = None,
        wrapped: bool = False,
        credentials: tuple[str, ...] = (),
    ) -> None:
        self.extensions = extensions
        self.tls = tls
        self.wrapped = wrapped
        self.credentials = credentials
        self.script: dict[str, Any] = {}
        self.for_recipient: dict[str, dict[str, Any]] = {}
        self.stored: list[Stored] = []
        self.commands: list[str] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self._sessions: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> HostileSmtp:
        context = self.tls if self.wrapped else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context, limit=2**20)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop_all()
        for task in list(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def drop_all(self) -> None:
        """Reset every open connection, as a restart of the server would."""
        for writer in list(self._writers):
            writer.transport.abort()

    def recipients(self) -> list[str]:
        return [stored.recipient for stored in self.stored]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self._writers.add(writer)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        session = Session(self, reader, writer, self.connections)
        try:
            await self._act(session, "banner", "220 hostile.test ESMTP")
            while line := await reader.readline():
                await self._command(session, line.decode("utf-8", "surrogateescape").strip())
        except (GoneError, ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # cancelled by __aexit__ alone
        finally:
            self.open -= 1
            self._sessions.discard(task)
            self._writers.discard(writer)
            writer.close()

    def _action(self, session: Session, stage: str) -> Any:
        for recipient in session.recipients[-1:]:
            scripts = self.for_recipient.get(recipient, {})
            if stage in scripts:
                return _next(scripts, stage)
        return _next(self.script, stage) if stage in self.script else None

    async def _act(self, session: Session, stage: str, ordinary: str) -> bool:
        """Whether the server went on as usual."""
        action = self._action(session, stage)
        if action is None:
            if ordinary:
                await session.say(ordinary)
            return True
        if callable(action):
            await action(session)
            return False
        await session.say(action)
        return action[:1] in "23"

    async def _command(self, session: Session, line: str) -> None:
        self.commands.append(line)
        verb = line.split(" ")[0].split(":")[0].upper()
        if verb in ("EHLO", "HELO"):
            offered = [*self.extensions] if verb == "EHLO" else []
            lines = ["hostile.test", *offered]
            await self._act(
                session, verb, "\r\n".join(f"250{'-' if x < len(lines) - 1 else ' '}{t}" for x, t in enumerate(lines))
            )
        elif verb == "STARTTLS":
            if await self._act(session, verb, "220 go ahead") and self.tls is not None:
                await session.writer.start_tls(self.tls)
        elif verb == "AUTH":
            known = any(secret in line for secret in self.credentials)
            await self._act(session, verb, "235 2.7.0 welcome" if known else "535 5.7.8 wrong")
        elif verb == "MAIL":
            session.recipients.clear()
            session.mail_line = line
            session.sender = line.partition("<")[2].partition(">")[0]
            await self._act(session, verb, "250 2.1.0 ok")
        elif verb == "RCPT":
            session.recipients.append(line.partition("<")[2].partition(">")[0])
            if not await self._act(session, verb, "250 2.1.5 ok"):
                session.recipients.pop()
        elif verb == "DATA":
            if await self._act(session, verb, "354 go on"):
                await self._read_text(session)
        elif verb == "QUIT":
            await self._act(session, verb, "221 2.0.0 bye")
            raise GoneError
        elif verb == "RSET":
            session.recipients.clear()
            await self._act(session, verb, "250 2.0.0 ok")
        else:
            await self._act(session, verb, "502 5.5.1 what?")

    async def _read_text(self, session: Session) -> None:
        await self._act(session, "text", "")
        lines = []
        while (line := await session.reader.readline()) != b".\r\n":
            if not line:
                raise GoneError
            lines.append(line)
        session.raw = b"".join(lines)
        action = self._action(session, "dot")
        if callable(action):
            await action(session)
        elif action is None or action.startswith("2"):
            session.store()
            await session.say(action or f"250 2.0.0 ok: queued as {len(self.stored)}")
        else:
            await session.say(action)
        session.recipients.clear()


def _next(scripts: dict[str, Any], stage: str) -> Any:
    action = scripts[stage]
    if isinstance(action, list):
        return action.pop(0) if len(action) > 1 else action[0]
    return action
