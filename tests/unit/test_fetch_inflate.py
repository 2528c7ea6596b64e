"""Unpacking: complete or an error, and never more at once than a step."""

from __future__ import annotations

import gzip
import zlib

import pytest

from monitor.fetch.inflate import STEP, InflateError, Inflater

TEXT = b"opioid tolerance in mice " * 4_000


def unpacked(coding: str, data: bytes, chunk: int = 1 << 14) -> bytes:
    inflater = Inflater(coding)
    pieces = [piece for i in range(0, len(data), chunk) for piece in inflater.feed(data[i : i + chunk])]
    inflater.finish()
    return b"".join(pieces)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("", TEXT), ("identity", TEXT), ("gzip", gzip.compress(TEXT)), ("x-gzip", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)), ("deflate", raw_deflate(TEXT)),
        ("gzip", gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])), ("gzip", gzip.compress(TEXT) + bytes(512)),
    ],
    ids=["none", "identity", "gzip", "x-gzip", "deflate", "deflate without header", "two members", "padding"],
)  # fmt: skip
def test_what_was_packed_comes_out(coding: str, data: bytes, chunk: int) -> None:
    assert unpacked(coding, data, chunk) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", ""])
def test_an_empty_answer_is_empty(coding: str) -> None:
    assert unpacked(coding, b"") == b""


@pytest.mark.parametrize("cut", [1, 5, 12, -1, -8, -20])
def test_a_truncated_gzip_is_an_error(cut: int) -> None:
    with pytest.raises(InflateError, match="stops in the middle"):
        unpacked("gzip", gzip.compress(TEXT)[:cut])


@pytest.mark.parametrize("data", [zlib.compress(TEXT)[:-5], raw_deflate(TEXT)[:-5], b"x"])
def test_a_truncated_deflate_is_an_error(data: bytes) -> None:
    with pytest.raises(InflateError, match="stops in the middle"):
        unpacked("deflate", data)


def test_what_is_not_gzip_is_an_error() -> None:
    with pytest.raises(InflateError, match="not valid gzip"):
        unpacked("gzip", b"<rss/>" * 100)


def test_a_wrong_checksum_is_an_error() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1

    with pytest.raises(InflateError):
        unpacked("gzip", bytes(packed))


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "gzip;q=1", "x" * 5_000])
def test_other_codings_are_refused(coding: str) -> None:
    with pytest.raises(InflateError, match="did not ask for"):
        Inflater(coding)


def test_a_bomb_comes_out_in_steps() -> None:
    inflater = Inflater("gzip")
    bomb = gzip.compress(bytes(50_000_000))

    sizes = [len(piece) for piece in inflater.feed(bomb)]

    assert sum(sizes) == 50_000_000
    assert max(sizes) <= STEP


def test_a_stream_of_many_tiny_members_is_refused() -> None:
    with pytest.raises(InflateError, match="gzip streams"):
        unpacked("gzip", gzip.compress(b"") * 5_000)
