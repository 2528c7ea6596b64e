"""A term of a query as patterns of folded words: every way in which medicine writes it down."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

from monitor.model import Term
from monitor.text import BARRIER, Folded, stem

MAX_WORDS = 60  # of one pattern: its length has six bits in a hit

WordKind = Literal["stem", "word", "prefix"]
Word = tuple[WordKind, str]

_HYPHENS = "\\-\u00ad\u200b\u2010-\u2015\u2212_"
TIGHT = re.compile(rf"[\s{_HYPHENS}]*")
_JOINED = re.compile(rf"[{_HYPHENS}]*")
_SIMPLE = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)*")  # most terms: nothing to fold but case, nothing to vary
_PIECES = re.compile(r"[a-z]+|[0-9]+")


class Pattern(NamedTuple):
    """Words that must follow each other. Behind those numbered in `tight` only nothing, a space or a hyphen may stand:
    "IL-6" is not in "IL, 6 patients". `cased` holds the words as written where case counts, else nothing.
    """

    words: tuple[Word, ...]
    tight: tuple[int, ...] = ()
    cased: tuple[str, ...] = ()


def patterns(term: Term) -> tuple[Pattern, ...]:
    """At most four: as written, letters and digits apart (IL 6), joined (IL6), hyphens closed (antiinflammatory)."""
    if _SIMPLE.fullmatch(term.text) and not term.exact:
        written = term.text.split(" ")
        words = list(map(_plain_word, written))
        if term.prefix:
            words[-1] = ("prefix", written[-1].lower())
        return (Pattern(tuple(words)),)
    folded, gaps, cased = _pieces(term.text)
    if term.exact:
        return (Pattern(tuple(("word", token) for token in folded), (), tuple(cased)),)
    last = len(folded) - 1
    words = [
        _word(token, written, prefix=term.prefix and i == last)
        for i, (token, written) in enumerate(zip(folded, cased, strict=True))
    ]
    found = [_pattern(words, [_is_tight(folded, gaps, i) for i in range(last)])]
    for texts, tight in (_apart(folded, gaps), _digits_joined(folded, gaps), _hyphens_closed(folded, gaps)):
        if texts != folded and len(texts) <= MAX_WORDS:
            end = len(texts) - 1
            variant = [_word(text, text, prefix=term.prefix and i == end) for i, text in enumerate(texts)]
            found.append(_pattern(variant, tight))
    return tuple(dict.fromkeys(found))


def _pieces(text: str) -> tuple[list[str], list[str], list[str]]:
    """The words of `text`, what stands between each and the next, and the words with their case."""
    folded = Folded(text)
    kept = [i for i, token in enumerate(folded.tokens) if token != BARRIER]
    gaps = [text[folded.place(a)[1] : folded.place(b)[0]] for a, b in pairwise(kept)]
    return [folded.tokens[i] for i in kept], gaps, [folded.cased[i] for i in kept]


@lru_cache(maxsize=1 << 15)
def _plain_word(written: str) -> Word:
    return _word(written.lower(), written, prefix=False)


def _word(token: str, written: str, *, prefix: bool) -> Word:
    if prefix:
        return "prefix", token
    stemmed = stem(token)
    if stemmed != token and written.isupper() and len(written) <= 6:
        return "word", token  # AIDS is no plural
    return "stem", stemmed


def _pattern(words: list[Word], tight: list[bool]) -> Pattern:
    return Pattern(tuple(words), tuple(i for i, closed in enumerate(tight) if closed))


def _meets_digit(left: str, right: str) -> bool:
    return left[-1].isdigit() != right[0].isdigit()


def _is_tight(words: list[str], gaps: list[str], i: int) -> bool:
    return _meets_digit(words[i], words[i + 1]) and TIGHT.fullmatch(gaps[i]) is not None


def _apart(words: list[str], gaps: list[str]) -> tuple[list[str], list[bool]]:
    texts: list[str] = []
    tight: list[bool] = []
    for i, word in enumerate(words):
        if i:
            tight.append(_is_tight(words, gaps, i - 1))
        pieces = _PIECES.findall(word)
        texts += pieces
        tight += [True] * (len(pieces) - 1)
    return texts, tight


def _digits_joined(words: list[str], gaps: list[str]) -> tuple[list[str], list[bool]]:
    """IL 6 and IL-6 as il6; only letters before digits, and no long word across a space."""

    def joins(i: int) -> bool:
        letters = words[i][-1].isalpha() and words[i + 1][0].isdigit()
        return letters and (
            _JOINED.fullmatch(gaps[i]) is not None or (len(words[i]) <= 5 and _is_tight(words, gaps, i))
        )

    return _join(words, gaps, [joins(i) for i in range(len(gaps))])


def _hyphens_closed(words: list[str], gaps: list[str]) -> tuple[list[str], list[bool]]:
    return _join(words, gaps, [_JOINED.fullmatch(gap) is not None for gap in gaps])


def _join(words: list[str], gaps: list[str], joined: list[bool]) -> tuple[list[str], list[bool]]:
    texts = words[:1]
    tight: list[bool] = []
    for i, joins in enumerate(joined):
        if joins:
            texts[-1] += words[i + 1]
        else:
            texts.append(words[i + 1])
            tight.append(_is_tight(words, gaps, i))
    return texts, tight
