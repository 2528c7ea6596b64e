"""What a reader sees of a match: clean text, a snippet around the best hits, and the reason in words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from monitor.model import Article, Field, Match, Span

SNIPPET_CHARS = 300  # some 40 to 45 words of English
LEAD_CHARS = 140  # how far a sentence may begin before the first hit
MAX_SPANS = 400  # an article that repeats its term a thousand times is judged by its first spans
MAX_TERMS = 4  # named for each field; the rest is "+3"

Snippet = tuple[tuple[str, bool], ...]  # (text, is_hit): never markup

_DROP = frozenset({"Cc", "Cs", "Co", "Cn"})
_BLANK = frozenset({"Zl", "Zp", "Zs"})
_BREAKS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]?\s|\n")


def tidy(text: str, limit: int = 0) -> str:
    """Text from outside as one safe line: no controls, no lone surrogates, no text-direction overrides, single blanks.

    What is longer than `limit` is cut at a word and ends in "…".
    """
    if limit:
        text = text[: limit * 4]  # before the walk over its characters; blanks may still collapse
    if not text.isprintable():
        text = "".join(map(_safe, text))
    text = " ".join(text.split())
    if limit and len(text) > limit:
        text = text[: limit - 1]
        head, blank, _ = text.rpartition(" ")
        text = (head if blank and len(head) > limit // 2 else text).rstrip(" ,;:–-") + "…"
    return text


def _safe(char: str) -> str:
    if char in _BREAKS:
        return " "
    category = unicodedata.category(char)
    if category in _BLANK:
        return " "
    return "" if category in _DROP or char in _BIDI else char


def snippet(article: Article, match: Match) -> Snippet:
    """Some 40 words of the body around the place where most different terms stand together, cut at sentences or words.

    Without a hit in the body: the summary, or the body's beginning.
    """
    spans = _spans(article.body, match.spans, Field.BODY)
    if not spans:
        return _pieces(article.summary or article.body, (), 0, SNIPPET_CHARS)
    start = _sentence_start(article.body, _densest(spans).start)
    return _pieces(article.body, spans, start, start + SNIPPET_CHARS)


def _spans(text: str, spans: Iterable[Span], field: Field) -> list[Span]:
    """The spans of one field that really lie in its text, in order, none inside another.

    A topic that asks for "opioid tolerance" and for opioid NEAR tolerance finds the same words three times.
    """
    inside = (span for span in spans if span.field is field and 0 <= span.start < span.end <= len(text))
    outer: list[Span] = []
    for span in sorted(inside, key=lambda span: (span.start, -span.end))[:MAX_SPANS]:
        if not outer or span.start >= outer[-1].end:
            outer.append(span)
    return outer


def _densest(spans: Sequence[Span]) -> Span:
    """The span that opens the window with the most different terms, then the most hits, then the earliest."""
    best, best_worth, end = spans[0], (0, 0), 0
    for first, span in enumerate(spans):
        end = max(end, first)
        while end < len(spans) and spans[end].end <= span.start + SNIPPET_CHARS - LEAD_CHARS // 2:
            end += 1
        window = spans[first:end]
        worth = (len({hit.term for hit in window}), len(window))
        if worth > best_worth:
            best, best_worth = span, worth
    return best


def _sentence_start(text: str, hit: int) -> int:
    """Where the sentence of `hit` begins, or a word not far before it where the sentence is long."""
    low = max(0, hit - LEAD_CHARS)
    ends = [found.end() for found in _SENTENCE_END.finditer(text, low, hit)]
    if ends:
        return ends[-1]
    if low == 0:
        return 0
    blank = text.find(" ", low, hit)
    return blank + 1 if blank >= 0 else low


def _sentence_stop(text: str, start: int, stop: int) -> int:
    """The last sentence end in the second half of the window, else the last blank, else the limit itself."""
    if stop >= len(text):
        return len(text)
    ends = [found.start() + 1 for found in _SENTENCE_END.finditer(text, start + (stop - start) // 2, stop)]
    if ends:
        return ends[-1]
    blank = text.rfind(" ", start + 1, stop)
    return blank if blank > 0 else stop


def _pieces(text: str, spans: Sequence[Span], start: int, stop: int) -> Snippet:
    stop = _sentence_stop(text, start, stop)
    pieces: list[tuple[str, bool]] = []
    at = start
    for span in spans:
        if span.end > stop:
            break
        if span.start < at:  # before the window
            continue
        pieces.append((text[at : span.start], False))
        pieces.append((text[span.start : span.end], True))
        at = span.end
    pieces.append((text[at:stop], False))
    if start and text[start - 1] == " " and text[start - 2 : start - 1] not in {".", "!", "?", '"', "”", ")"}:
        pieces.insert(0, ("… ", False))
    if stop < len(text) and text[stop - 1 : stop] not in {".", "!", "?"} and text[stop : stop + 1] != "\n":
        pieces.append((" …", False))
    return _clean(pieces)


def _clean(pieces: Iterable[tuple[str, bool]]) -> Snippet:
    """Each piece tidied, with the blanks between pieces kept single and none at either end."""
    kept: list[tuple[str, bool]] = []
    blank = True  # no blank at the very beginning
    for text, is_hit in pieces:
        line = tidy(text)
        if text[:1].isspace() and not blank:
            line = " " + line
        if text[-1:].isspace() and line.strip():
            line += " "
        if line:
            kept.append((line, is_hit))
            blank = line.endswith(" ")
    if kept and kept[-1][0].endswith(" "):
        kept[-1] = (kept[-1][0].rstrip(), kept[-1][1])
    return tuple(piece for piece in kept if piece[0])


@lru_cache(maxsize=2048)
def reasons(article: Article, match: Match) -> tuple[str, ...]:
    """Why this matched, in the article's own words: ("*mTOR* in title", "*opioid tolerance* in text").

    Terms stand between asterisks. A term that stands in the title is not named again for the text.
    """
    said: set[str] = set()
    lines = []
    for field, text, place in ((Field.TITLE, article.title, "title"), (Field.BODY, article.body, "text")):
        found = []
        for span in _spans(text, match.spans, field):
            words = tidy(text[span.start : span.end].replace("*", ""), 60)
            known = {words.casefold(), span.term.casefold()} if span.term else {words.casefold()}
            if words and not known & said:
                said |= known
                found.append(f"*{words}*")
        if found:
            more = f" (+{len(found) - MAX_TERMS})" if len(found) > MAX_TERMS else ""
            lines.append(", ".join(found[:MAX_TERMS]) + f"{more} in {place}")
    return tuple(lines)
