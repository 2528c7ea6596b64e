"""What two texts have in common, however they were edited: a sample of their word 3-grams."""

from __future__ import annotations

from binascii import crc32
from typing import Final

from monitor.text import BARRIER, tokens

SAMPLED: Final = 4  # one 3-gram of so many is kept: about 90 of an article
MAX_CHARS: Final = 30_000  # of a longer text the beginning says what it is
_MASK: Final = SAMPLED - 1
_SHIFT: Final = SAMPLED.bit_length() - 1


def shingles(text: str) -> frozenset[int]:
    """The crc32 of each 3-gram whose lowest two bits are 0, without these: non-negative numbers of 30 bits.

    Which ones are kept depends on their words alone, so two texts keep the same ones of what they share.
    """
    words = _words(text[:MAX_CHARS])
    grams = map(b" ".join, zip(words, words[1:], words[2:], strict=False))
    return frozenset([number >> _SHIFT for number in map(crc32, grams) if not number & _MASK])


def _words(text: str) -> list[bytes]:
    """Lower-case words without accents or apostrophes; of another script as monitor.text folds it."""
    plain = text.lower().encode("ascii", "ignore")
    if len(plain) * 2 < len(text):
        return [word.encode("ascii", "ignore") for word in tokens(text) if word != BARRIER]
    return plain.translate(_GAPS, b"'").split()


_GAPS = bytes(byte if chr(byte).isalnum() and byte < 128 else 32 for byte in range(256))
