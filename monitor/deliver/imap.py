"""The mailbox that bounces arrive in, read over IMAP (RFC 3501)."""

from __future__ import annotations

import asyncio
import imaplib
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from monitor.deliver.bounces import LONGEST_MAIL
from monitor.deliver.replies import printable
from monitor.errors import MonitorError, RelayUnreachable, RelayUnusable

log = logging.getLogger(__name__)

_UIDS = re.compile(rb"[0-9]{1,10}")


class ImapPoller:
    """Hands each unread mail to a handler, and marks it read only after the handler returned.

    So a crash means a mail is seen again, never that it is missed. Always TLS. `timeout` is in seconds for each
    command; `batch` mails are read at a time, oldest first.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int = 993,
        username: str,
        password: str,
        folder: str = "INBOX",
        timeout: float = 30.0,
        batch: int = 100,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._where = f"{host}:{port}"
        self._address = (host, port)
        self._login = (username, password)
        self._folder = folder
        self._timeout = timeout
        self._batch = batch
        self._tls = tls_context or ssl.create_default_context()

    async def poll(self, handle: Callable[[bytes], Awaitable[None]]) -> int:
        """How many mails were handled. One whose handler fails with a MonitorError stays unread and holds up no other.

        Raises RelayUnreachable where the server does not answer, RelayUnusable where it refuses the login or folder,
        or its certificate cannot be trusted.
        """
        client = await self._run(self._open)
        try:
            handled = 0
            for uid in await self._run(self._unread, client):
                raw = await self._run(self._fetch, client, uid)
                try:
                    await handle(raw)
                except MonitorError as error:
                    log.warning("bounce not handled uid=%s error=%s", uid, error)
                    continue
                await self._run(client.uid, "STORE", uid, "+FLAGS.SILENT", r"(\Seen)")
                handled += 1
            with suppress(RelayUnreachable):
                await self._run(client.logout)
            return handled
        finally:
            with suppress(OSError):
                client.shutdown()  # also wakes a thread that still waits for the server

    async def _run(self, command: Callable[..., Any], *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout * 2):  # the socket's own time-out is for each read
                return await asyncio.to_thread(command, *arguments)
        except (OSError, TimeoutError, imaplib.IMAP4.error) as error:
            kind = RelayUnusable if isinstance(error, ssl.SSLCertVerificationError) else RelayUnreachable
            raise kind(f"{self._where}: {printable(str(error)) or type(error).__name__}") from error

    def _open(self) -> imaplib.IMAP4_SSL:
        host, port = self._address
        client = imaplib.IMAP4_SSL(host, port, ssl_context=self._tls, timeout=self._timeout)
        try:
            client.login(*self._login)
            status, answer = client.select('"' + self._folder.replace("\\", "\\\\").replace('"', '\\"') + '"')
            if status != "OK":
                raise RelayUnusable(f"{self._where}: folder {self._folder!r}: {printable(str(answer[0]))}")
        except imaplib.IMAP4.abort:
            client.shutdown()
            raise
        except (imaplib.IMAP4.error, UnicodeError) as error:
            client.shutdown()
            raise RelayUnusable(f"{self._where}: login refused: {printable(str(error))}") from None
        except BaseException:
            client.shutdown()
            raise
        return client

    def _unread(self, client: imaplib.IMAP4_SSL) -> list[str]:
        _, found = client.uid("SEARCH", "UNSEEN")
        uids = _UIDS.findall(found[0] or b"") if found else []
        return [uid.decode() for uid in uids[: self._batch]]

    def _fetch(self, client: imaplib.IMAP4_SSL, uid: str) -> bytes:
        """The mail, or its beginning: what it is about stands there. PEEK leaves it unread."""
        _, answer = client.uid("FETCH", uid, f"(BODY.PEEK[]<0.{LONGEST_MAIL}>)")
        return next((item[1] for item in answer if isinstance(item, tuple) and isinstance(item[1], bytes)), b"")
