"""A mail server in a process of its own that takes everything and writes each message down before it says so.

    with SmtpSink(directory) as sink:
        sink.port
        sink.taken()    # [Taken(at, message_id, recipient), ...], in order of acceptance

"refused-…" has no mailbox here, "later-…" is asked to come again, and "lost-…"'s first message is taken without a word.
Between taking a message and saying "250" it waits `pause` seconds: the window in which a sender that dies cannot know.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Taken:
    at: float
    message_id: str
    recipient: str
    text: str


class SmtpSink:
    def __init__(self, directory: Path, pause: float = 0.004) -> None:
        self._log = directory / "taken.jsonl"
        self._pause = pause

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._log), str(self._pause)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def taken(self) -> list[Taken]:
        return [Taken(**json.loads(line)) for line in self._log.read_text(encoding="utf-8").splitlines()]


_ANSWERS = {"refused": "550 5.1.1 no such mailbox", "later": "451 4.3.0 come again"}
_lost: set[str] = set()


async def _session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    recipient = ""

    async def say(text: str) -> None:
        writer.write(text.encode() + b"\r\n")
        await writer.drain()

    await say("220 sink.test ESMTP")
    while line := await reader.readline():
        words = line.decode().strip()
        match words.partition(" ")[0].upper():
            case "EHLO":
                await say("250 sink.test")
            case "RCPT":
                recipient = words.partition("<")[2].partition(">")[0]
                await say(_ANSWERS.get(recipient.partition("-")[0], "250 ok"))
            case "DATA":
                await say("354 go on")
                data = await reader.readuntil(b"\r\n.\r\n")
                _take(data.decode("utf-8", "replace"), recipient)
                await asyncio.sleep(PAUSE)
                if recipient.startswith("lost-") and recipient not in _lost:
                    _lost.add(recipient)
                    break
                await say("250 taken")
            case "QUIT":
                await say("221 bye")
                break
            case _:
                await say("250 ok")
    writer.close()


def _take(text: str, recipient: str) -> None:
    head = text.partition("\r\n\r\n")[0]
    [message_id] = [line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("message-id:")]
    record = {"at": time.time(), "message_id": message_id, "recipient": recipient, "text": text}
    LOG.write(json.dumps(record) + "\n")
    LOG.flush()


async def _serve() -> None:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _session(reader, writer)
        except (OSError, EOFError):
            writer.close()  # the client was killed

    server = await asyncio.start_server(session, "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    LOG = Path(sys.argv[1]).open("a", encoding="utf-8")  # noqa: SIM115 - open as long as the process lives
    PAUSE = float(sys.argv[2])
    asyncio.run(_serve())
