"""One SMTP session: opening it, and sending one message through it, knowing at each step what the server can have got.

aiosmtplib speaks the protocol; DATA is done here, because only the writer of the final dot knows whether it was sent.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, cast

import aiosmtplib

from monitor.deliver.replies import Class, classify, enhanced_status, printable
from monitor.errors import DeliveryError, DeliveryInDoubt, DeliveryRefused, RelayUnreachable, RelayUnusable
from monitor.model import Message

Security = Literal["none", "starttls", "tls"]
TokenSource = Callable[[], "str | Awaitable[str]"]

REUSE_TIMEOUT = 10.0  # seconds for the first answer of a connection that was idle: it may be dead without a sign
CHUNK = 65536
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u00a1-\ud7ff\uf900-\U000e01ef]+")
_DOMAIN = re.compile(r"[A-Za-z0-9.\-]+|\[[A-Za-z0-9.:]+\]")


class Step(StrEnum):
    """How far a message got."""

    CONNECT = "connect"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    TEXT = "text"
    ANSWER = "after the final dot"


@dataclass(slots=True)
class Progress:
    """Where one message stands; outlives the connection, so that a deadline knows what it interrupted."""

    step: Step = Step.CONNECT

    def failure(self, reason: str) -> DeliveryError:
        """The error for a break at this step: before the final dot nothing was accepted, after it nobody knows."""
        if self.step is Step.CONNECT:
            return RelayUnreachable(reason)
        if self.step is Step.ANSWER:
            return DeliveryInDoubt(f"{self.step}: {reason}")
        return DeliveryError(f"{self.step}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Where the mail server is and how it wants to be talked to. `timeout` is in seconds, for one message."""

    host: str
    port: int
    security: Security
    username: str
    password: str
    oauth_token: TokenSource | None
    timeout: float
    local_hostname: str
    tls_context: ssl.SSLContext | None


class Connection:
    """An open session, used by one sender at a time."""

    def __init__(self, smtp: aiosmtplib.SMTP, opened_at: float) -> None:
        self._smtp = smtp
        self._needs_reset = False
        self.transactions = 0
        self.used_at = opened_at

    @property
    def alive(self) -> bool:
        """False once the server was seen to close. A silent death shows at the next command only."""
        return self._smtp.is_connected

    async def ready(self) -> bool:
        """Ready for a next message; clears what a refused one left behind."""
        if self.alive and self._needs_reset:
            try:
                await self._smtp.rset(timeout=REUSE_TIMEOUT)
                self._needs_reset = False
            except (aiosmtplib.SMTPException, OSError):
                self.close()
        return self.alive

    async def send(self, message: Message, data: bytes, progress: Progress) -> str:
        """One mail transaction; returns the final answer. Moves `progress` before each command that it sends."""
        options = _mail_options(self._smtp, message, data)
        sender, recipient = _path(message.sender, "sender"), _path(message.recipient, "recipient")
        progress.step = Step.MAIL
        patience = REUSE_TIMEOUT if self.transactions else None
        self.transactions += 1
        self._require(await self._command(progress, f"MAIL FROM:{sender}{options}", patience), progress)
        self._needs_reset = True
        progress.step = Step.RCPT
        self._require(await self._command(progress, f"RCPT TO:{recipient}"), progress)
        progress.step = Step.DATA
        self._require(await self._command(progress, "DATA"), progress, digit=3)
        progress.step = Step.TEXT
        reply = await self._text(data, progress)
        if progress.step is Step.TEXT:  # answered before the end: whatever it says, it has not the whole message
            self.close()
            raise _refusal(reply, progress)
        self._require(reply, progress)
        self._needs_reset = False
        return printable(f"{reply.code} {reply.message}")

    async def quit(self) -> None:
        """Say good-bye, for at most a few seconds."""
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(5):
                await self._smtp.quit()
        self.close()

    def close(self) -> None:
        self._smtp.close()

    async def _command(self, progress: Progress, line: str, patience: float | None = None) -> aiosmtplib.SMTPResponse:
        self._require_silence(progress)
        try:
            return await self._smtp.execute_command(line.encode(), timeout=patience)
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            raise progress.failure(_why(error)) from error

    def _require(self, reply: aiosmtplib.SMTPResponse, progress: Progress, digit: int = 2) -> None:
        if reply.code // 100 == digit:
            return
        if not 400 <= reply.code < 600:
            self.close()  # out of step, or no SMTP at all
        raise _refusal(reply, progress)

    def _require_silence(self, progress: Progress) -> None:
        """A second reply in the packet of the last one would be taken for the answer to what we send next."""
        if getattr(self._smtp.protocol, "_buffer", b""):
            self.close()
            raise progress.failure("the server answered before it was asked")

    async def _text(self, data: bytes, progress: Progress) -> aiosmtplib.SMTPResponse:
        """Send the text, and its final dot only after the rest has left: until then nothing can have been accepted."""
        protocol = self._smtp.protocol
        if protocol is None or protocol.transport is None:
            raise progress.failure("connection lost")
        self._require_silence(progress)
        transport = cast(asyncio.WriteTransport, protocol.transport)
        answer = asyncio.create_task(protocol.read_response())
        try:
            for chunk in _dot_stuffed(data):
                if not answer.done():
                    protocol.write(chunk)
                    await _written(transport, answer)
            await asyncio.sleep(0)  # a refusal or an end that has arrived is seen before the dot goes
            if not answer.done():
                protocol.write(b".\r\n")  # raises where the connection is gone: then the dot is not sent
                progress.step = Step.ANSWER
            return await answer
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            raise progress.failure(_why(error)) from error
        finally:
            if not answer.done():  # the deadline, or a cancelled sender: the session cannot be used again
                answer.cancel()
                self.close()
            elif not answer.cancelled():
                answer.exception()


# --- opening --------------------------------------------------------------------------------------------------


async def open_connection(relay: Relay, now: float) -> Connection:
    """Connect, greet, encrypt and log in. Raises RelayUnreachable (may pass) or RelayUnusable (an admin must act)."""
    smtp = aiosmtplib.SMTP(
        hostname=relay.host,
        port=relay.port,
        local_hostname=relay.local_hostname,
        timeout=relay.timeout,
        use_tls=relay.security == "tls",
        start_tls=False,
        tls_context=relay.tls_context,
    )
    try:
        await smtp.connect()
        await _greet(smtp)
        if relay.security == "starttls":
            if not smtp.supports_extension("starttls"):
                raise RelayUnusable(f"{relay.host}:{relay.port} offers no STARTTLS, which smtp.security asks for")
            await smtp.starttls()
            await _greet(smtp)
        await _log_in(smtp, relay)
    except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:
        smtp.close()
        raise _opening_error(error, relay) from error
    except BaseException:  # cancelled, or a token source that failed: leave no socket behind
        smtp.close()
        raise
    return Connection(smtp, now)


async def _greet(smtp: aiosmtplib.SMTP) -> None:
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if not 500 <= error.code < 600 or not smtp.is_connected:
            raise
        await smtp.helo()


async def _log_in(smtp: aiosmtplib.SMTP, relay: Relay) -> None:
    if relay.oauth_token is not None:
        if "xoauth2" not in smtp.server_auth_methods:
            raise RelayUnusable(f"{relay.host}:{relay.port} offers no XOAUTH2 login")
        token = relay.oauth_token()
        await smtp.auth_xoauth2(relay.username, await token if inspect.isawaitable(token) else token)
    elif relay.username:
        await smtp.login(relay.username, relay.password)


def _opening_error(error: Exception, relay: Relay) -> DeliveryError:
    where = f"{relay.host}:{relay.port}"
    code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None
    if code is not None:
        text = printable(str(error.args[1]))
        kind = RelayUnusable if 500 <= code < 600 else RelayUnreachable
        said = f"{code} {text}" if 200 <= code < 600 else text
        return kind(f"{where}: {said}", code=code if 200 <= code < 600 else None, status=enhanced_status(text))
    if any(isinstance(link, ssl.SSLError) for link in (error, error.__cause__)):
        return RelayUnusable(f"{where}: TLS failed: {printable(str(error))}")
    if isinstance(error, OSError):  # aiosmtplib's lost connections and timeouts are OSErrors too
        return RelayUnreachable(f"{where}: {_why(error)}")
    return RelayUnusable(f"{where}: {_why(error)}")  # no login offered, a host name that cannot be one


# --- the envelope and the text --------------------------------------------------------------------------------


def _mail_options(smtp: aiosmtplib.SMTP, message: Message, data: bytes) -> str:
    """ESMTP parameters for MAIL. Refuses here what this server has said that it cannot take."""
    options = ""
    if smtp.supports_extension("size"):
        limit = smtp.esmtp_extensions["size"].strip()
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:18]) < len(data):
            raise DeliveryRefused(f"{len(data)} bytes; the server takes {limit[:18]} at most", code=552, status="5.3.4")
        options += f" SIZE={len(data)}"
    if not data.isascii():
        if not smtp.supports_extension("8bitmime"):
            raise DeliveryRefused("the message has 8-bit text, the server no 8BITMIME", code=554, status="5.6.3")
        options += " BODY=8BITMIME"
    if not (_path(message.sender, "sender") + _path(message.recipient, "recipient")).isascii():
        if not smtp.supports_extension("smtputf8"):
            raise DeliveryRefused(
                f"{printable(message.recipient)}: the address needs SMTPUTF8, which the server does not offer",
                code=553,
                status="5.6.7",
            )
        options += " SMTPUTF8"
    return options


def _path(address: str, whose: str) -> str:
    """An address as an SMTP path. A domain outside ASCII becomes its A-labels, so only local parts need SMTPUTF8."""
    if not address and whose == "sender":
        return "<>"
    local, at, domain = address.rpartition("@")
    with suppress(UnicodeError):
        domain = domain if domain.isascii() else domain.encode("idna").decode()
    if not at or not local.isprintable() or not _LOCAL_PART.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        status = "5.1.3" if whose == "recipient" else "5.1.7"
        raise DeliveryRefused(f"{printable(address)!r} is no {whose} address", code=553, status=status)
    return f"<{local}@{domain}>"


def checked(data: bytes) -> bytes:
    """The message, if it can be sent as it is. A bare CR or LF could end it early or smuggle a second one in."""
    pairs = data.count(b"\r\n")
    if data.count(b"\n") != pairs or data.count(b"\r") != pairs:
        raise DeliveryRefused("the message has line ends other than CRLF", code=554, status="5.6.0")
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _dot_stuffed(data: bytes) -> Iterator[bytes]:
    """RFC 5321, 4.5.2: a dot at the start of a line is doubled."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    for start in range(0, len(stuffed), CHUNK):
        yield stuffed[start : start + CHUNK]


async def _written(transport: asyncio.WriteTransport, answer: asyncio.Task[aiosmtplib.SMTPResponse]) -> None:
    """Wait until what was written has left this process, or the server has spoken."""
    pause = 0.001
    while transport.get_write_buffer_size() and not answer.done():
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)


# --- answers --------------------------------------------------------------------------------------------------


def _refusal(reply: aiosmtplib.SMTPResponse, progress: Progress) -> DeliveryError:
    text = printable(reply.message)
    status = enhanced_status(text)
    if not 400 <= reply.code < 600:
        return progress.failure(f"not an answer to expect: {reply.code} {text}")
    reason = f"{progress.step}: {reply.code} {text}"
    kind = classify(reply.code, status)
    if kind is Class.RETRY:
        early = reply.code == 421 and progress.step is Step.MAIL
        return (RelayUnreachable if early else DeliveryError)(reason, code=reply.code, status=status)
    # A sender that is refused is refused for every message: that is not this recipient's fault.
    if kind is Class.RELAY or (progress.step is Step.MAIL and kind is not Class.TOO_BIG):
        return RelayUnusable(reason, code=reply.code, status=status)
    return DeliveryRefused(reason, code=reply.code, status=status)


def _why(error: Exception) -> str:
    return printable(str(error)) or type(error).__name__
