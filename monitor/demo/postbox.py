"""A mail server on loopback that keeps what it gets: in memory, and as .eml files in a directory."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Awaitable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from monitor.console import say
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from asyncio import AbstractServer

_UNSAFE = re.compile(r"[^A-Za-z0-9.@_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One accepted message: its envelope, its bytes after DATA (CRLF, dots unstuffed), and where they were saved."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    path: Path

    def parsed(self) -> EmailMessage:
        return message_from_bytes(self.data, policy=policy.default)


class Postbox:
    """Accepts all mail on `port` (0: a free one) until closed; `messages` holds it in order of arrival."""

    def __init__(self, directory: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self.directory = Path(directory)
        self.host = host
        self.port = port
        self.messages: list[Received] = []
        self.refused: list[str] = []  # recipients of the messages that fail_next() turned away
        self._failures: list[str] = []
        self._arrived = threading.Condition()
        self._controller: Any = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._controller = _controller(self, self.host, self.port)
        self._controller.start()
        self.port = self._controller.port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    def fail_next(self, count: int, reply: str) -> None:
        """Answer the next `count` messages with this reply (such as "451 4.3.0 Try later") instead of keeping them."""
        with self._arrived:
            self._failures += [reply] * count

    def wait_for(self, count: int, timeout: float = 10.0) -> bool:
        """Wait until `count` messages have arrived in all; False when `timeout` seconds pass first."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.messages) >= count, timeout)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's hook
        recipients = tuple(str(recipient) for recipient in envelope.rcpt_tos)
        with self._arrived:
            if self._failures:
                self.refused += recipients
                return self._failures.pop(0)
            name = f"{len(self.messages) + 1:04d}-{_UNSAFE.sub('_', recipients[0])[:80]}.eml"
            path = self.directory / name
            path.write_bytes(envelope.content)
            self.messages.append(
                Received(sender=envelope.mail_from or "", recipients=recipients, data=envelope.content, path=path)
            )
            self._arrived.notify_all()
        return "250 2.0.0 Kept"


def _controller(box: Postbox, host: str, port: int) -> Any:
    """An aiosmtpd controller on a port that the system chose, already bound: no other program can take it meanwhile."""
    try:
        from aiosmtpd.controller import Controller
    except ModuleNotFoundError as error:
        raise ConfigError(
            'the sample mail server needs aiosmtpd: install it with pip install "medical-news-monitor[demo]"'
        ) from error

    class _Bound(Controller):
        def _create_server(self) -> Awaitable[AbstractServer]:
            created: Awaitable[AbstractServer] = self.loop.create_server(self._factory_invoker, sock=listener)
            return created

    listener = socket.create_server((host, port))
    return _Bound(box, hostname=host, port=listener.getsockname()[1], enable_SMTPUTF8=True, ident="Sample postbox")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.")] = 2525,
    directory: Annotated[Path, typer.Option(help="Where each mail is kept as a file.")] = Path("mail"),
) -> None:
    """Take all mail and keep it, until SIGTERM or Ctrl-C; one line on stdout for each."""
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    with Postbox(directory, host, port) as box:
        say(f"a mail server that keeps everything: {host}:{box.port}, {directory}")
        seen = 0
        while not stop.wait(0.5):
            for mail in box.messages[seen:]:
                say(f"{mail.path.name} {mail.parsed()['message-id']} {mail.parsed()['subject']}")
                seen += 1


if __name__ == "__main__":
    typer.run(serve)
