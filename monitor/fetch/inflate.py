"""Unpacking an answer in bounded steps, to its very end.

The usual clients unpack a whole chunk at once (64 KB of gzip become 67 MB) and take a truncated stream for complete.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

STEP = 256 * 1024
MAX_MEMBERS = 1_000
GZIP_MAGIC = b"\x1f\x8b"
IDENTITY = ("", "identity")
GZIP = ("gzip", "x-gzip")
CODINGS = (*IDENTITY, *GZIP, "deflate")


class InflateError(ValueError):
    """The bytes are not what their Content-Encoding says, or stop in the middle."""


class Inflater:
    """Undoes one Content-Encoding (RFC 9110, section 8.4.1): none, gzip, or deflate with or without its zlib header."""

    def __init__(self, coding: str) -> None:
        if coding not in CODINGS:
            raise InflateError(f"packed as {coding[:40]!r}, which we did not ask for")
        self._coding = coding
        self._stream: zlib._Decompress | None = zlib.decompressobj(31) if coding in GZIP else None
        self._start = b""
        self._members = 1
        self._received = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to, in pieces of at most `STEP` bytes. Raises InflateError."""
        self._received = self._received or bool(data)
        if self._coding in IDENTITY:
            if data:
                yield data
            return
        if self._stream is None:
            self._start += data
            if len(self._start) < 2:
                return
            data, self._start = self._start, b""
            self._stream = zlib.decompressobj(15 if _has_zlib_header(data) else -15)
        yield from self._unpack(self._stream, data)

    def _unpack(self, stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        while data:
            if stream.eof:
                data, self._start = self._start + data, b""
                if len(data) < len(GZIP_MAGIC):
                    self._start = data
                    return
                if self._coding not in GZIP or not data.startswith(GZIP_MAGIC):
                    return  # padding after the end, as gzip itself ignores it
                stream = self._stream = self._next_member()
            try:
                piece = stream.decompress(data, STEP)
            except zlib.error as error:
                raise InflateError(f"not valid {self._coding}: {error}") from error
            if piece:
                yield piece
            data = stream.unused_data if stream.eof else stream.unconsumed_tail

    def _next_member(self) -> zlib._Decompress:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise InflateError(f"more than {MAX_MEMBERS} gzip streams in one answer")
        return zlib.decompressobj(31)

    def finish(self) -> None:
        """To be called after the last byte. Raises InflateError if the stream has not come to its end."""
        if self._coding in IDENTITY or not self._received:
            return
        if self._stream is None or not self._stream.eof:
            raise InflateError(f"the {self._coding} stream stops in the middle")


def _has_zlib_header(data: bytes) -> bool:
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
