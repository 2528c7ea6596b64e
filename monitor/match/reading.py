"""One article, read: its folded words, what the engine found in them, and where that stands in the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monitor.match.terms import TIGHT
from monitor.model import Article, Field, Span
from monitor.text import BARRIER, cased_tokens, token_offsets, tokens

if TYPE_CHECKING:
    from monitor.match.engine import Needle

# A hit is one number: the place of its first word, and in the last six bits how many words it has.
SHIFT = 6
MASK = (1 << SHIFT) - 1

_LEAD = 60
_K1, _B, _MEAN_WORDS = 1.2, 0.75, 400.0


class Reading:
    """Title and text as one row of tokens with a barrier between. `title_end` is the first place behind the title."""

    __slots__ = ("_cased", "_offsets", "_spans", "_weights", "article", "hits", "text", "title_end", "tokens", "where")

    def __init__(self, article: Article) -> None:
        self.article = article
        self.where = Field.BODY if article.body else Field.SUMMARY
        self.text = article.body or article.summary
        title = tokens(article.title)
        self.title_end = len(title)
        self.tokens = [*title, BARRIER, *tokens(self.text)]
        self.hits: dict[Needle, list[int]] = {}
        self._cased: list[str] | None = None
        self._offsets: tuple[list[tuple[int, int]], list[tuple[int, int]]] | None = None
        self._spans: dict[tuple[Needle, int], Span] = {}
        self._weights: dict[Needle, float] = {}

    def is_cased(self, place: int, words: tuple[str, ...]) -> bool:
        if self._cased is None:
            self._cased = [*cased_tokens(self.article.title), BARRIER, *cased_tokens(self.text)]
        return self._cased[place : place + len(words)] == list(words)

    def is_tight(self, place: int) -> bool:
        """Only nothing, a space or a hyphen stands behind the word at `place`."""
        field, _, end = self._place(place)
        _, start, _ = self._place(place + 1)
        text = self.article.title if field is Field.TITLE else self.text
        return TIGHT.fullmatch(text, end, max(start, end)) is not None

    def _place(self, place: int) -> tuple[Field, int, int]:
        if self._offsets is None:
            self._offsets = token_offsets(self.article.title), token_offsets(self.text)
        if place < self.title_end:
            return Field.TITLE, *self._offsets[0][place]
        return self.where, *self._offsets[1][place - self.title_end - 1]

    def span(self, needle: Needle, hit: int) -> Span:
        found = self._spans.get((needle, hit))
        if found is None:
            first = hit >> SHIFT
            field, start, end = self._place(first)
            if hit & MASK > 1:
                _, _, end = self._place(first + (hit & MASK) - 1)
            found = self._spans[needle, hit] = Span(field, start, end, needle.text)
        return found

    def weight(self, needle: Needle) -> float:
        """BM25F of one term wherever it stands."""
        found = self._weights.get(needle)
        if found is None:
            found = self._weights[needle] = self.weigh(needle, self.hits.get(needle, ()))
        return found

    def weigh(self, needle: Needle, hits: Sequence[int]) -> float:
        """The lead counts three times, the title five times; a term's second mention adds less than its first."""
        frequency = 0
        title = self.title_end << SHIFT
        lead = (self.title_end + 1 + _LEAD) << SHIFT
        for hit in hits:
            frequency += 5 if hit < title else 3 if hit < lead else 1
        norm = _K1 * (1 - _B + _B * len(self.tokens) / _MEAN_WORDS)
        return needle.idf * frequency * (_K1 + 1) / (frequency + norm)
