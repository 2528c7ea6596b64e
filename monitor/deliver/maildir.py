"""Mail kept in a Maildir: what happens until a relay is set."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from pathlib import Path

from monitor.errors import RelayUnreachable
from monitor.model import Message


class MaildirMailer:
    """Writes each message into `path`/new (https://cr.yp.to/proto/maildir.html), complete on disk or not at all.

    The file's name comes from the Message-ID, so sending a message again after a crash makes no second file.
    Line ends become LF, as mail readers expect on disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, message: Message) -> str:
        """Returns where the file stands. Raises RelayUnreachable when the disk does not take it."""
        try:
            return str(await asyncio.to_thread(self._write, message))
        except OSError as error:
            raise RelayUnreachable(f"{self._path}: {error.strerror or error}") from error

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _write(self, message: Message) -> Path:
        for part in ("tmp", "new", "cur"):
            (self._path / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        name = hashlib.sha256(message.message_id.encode()).hexdigest()[:32] + ".monitor"
        if read := next((self._path / "cur").glob(name + "*"), None):  # a mail reader moves what it showed to cur/
            return read
        target = self._path / "new" / name
        draft = self._path / "tmp" / f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            with draft.open("xb") as file:
                file.write(message.data.replace(b"\r\n", b"\n"))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(target.parent)
        return target


def _sync_directory(path: Path) -> None:
    """A new name is safe only once its directory is on disk too."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
