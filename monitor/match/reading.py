"""One article, read: its folded words, what the engine found in them, and where that stands in the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monitor.match.made import make_span
from monitor.match.terms import TIGHT
from monitor.model import Article, Field, Span
from monitor.text import BARRIER, Folded, index_words

if TYPE_CHECKING:
    from monitor.match.engine import Needle

# A hit is one number: the place of its first word, and in the last six bits how many words it has.
SHIFT = 6
MASK = (1 << SHIFT) - 1

MAX_SPANS = 100  # of one match; a word that fills a page need not be kept a thousand times

# A hit with the term that made it; sorted, they stand as in the text.
Find = tuple[int, str]
Finds = list[Find]

# Of one term: its score wherever it stands, and its places.
Told = tuple[float, Finds]

_LEAD = 60
_K1, _B, _MEAN_WORDS = 1.2, 0.75, 400.0


class Reading:
    """Title and text as one row of tokens with a barrier between. `title_end` is the first place behind the title."""

    __slots__ = (
        "_alone", "_spans", "_tight", "article", "body", "hits", "title", "title_end", "tokens", "told", "where",
    )  # fmt: skip

    def __init__(self, article: Article) -> None:
        self.article = article
        self.where = Field.BODY if article.body else Field.SUMMARY
        self.title, self.body = Folded(article.title), Folded(article.body or article.summary)
        self.title_end = len(self.title.tokens)
        self.tokens = [*self.title.tokens, BARRIER, *self.body.tokens]
        self.hits: dict[Needle, list[int]] = {}
        self.told: dict[Needle, Told] = {}
        self._alone: dict[Needle, tuple[float, tuple[Span, ...]]] = {}
        self._spans: dict[Find, Span] = {}
        self._tight: dict[int, bool] = {}

    def index_words(self) -> tuple[str, str]:
        """Title and text as `monitor.text.index_text` gives them."""
        return index_words(self.title.tokens), index_words(self.body.tokens)

    def is_cased(self, place: int, words: tuple[str, ...]) -> bool:
        """`words` stand there, in the same case; a phrase never spans title and text."""
        folded, first = self._folded(place)
        return folded.is_cased(first, words)

    def is_tight(self, place: int) -> bool:
        """Only nothing, a space or a hyphen stands behind the word at `place`."""
        tight = self._tight.get(place)
        if tight is None:
            folded, first = self._folded(place)
            end, start = folded.place(first)[1], folded.place(first + 1)[0]
            tight = self._tight[place] = TIGHT.fullmatch(folded.text, end, max(start, end)) is not None
        return tight

    def _folded(self, place: int) -> tuple[Folded, int]:
        return (self.title, place) if place < self.title_end else (self.body, place - self.title_end - 1)

    def spans(self, finds: Finds) -> tuple[Span, ...]:
        """Each of `finds` once, in the order of the text, the title first; at most MAX_SPANS."""
        if len(finds) > 1:
            finds = sorted(set(finds))[:MAX_SPANS]
        known = self._spans
        return tuple([known.get(find) or self._span(find) for find in finds])

    def _span(self, find: Find) -> Span:
        hit, term = find
        folded, first = self._folded(hit >> SHIFT)
        start, end = folded.place(first)
        if hit & MASK > 1:
            end = folded.place(first + (hit & MASK) - 1)[1]
        field = Field.TITLE if folded is self.title else self.where
        span = self._spans[find] = make_span(field, start, end, term)
        return span

    def tell(self, needle: Needle) -> Told:
        """To be asked for a term that is not in `told` yet."""
        hits = self.hits.get(needle, ())
        told = self.told[needle] = self.weigh(needle, hits), [(hit, needle.text) for hit in hits]
        return told

    def alone(self, needle: Needle) -> tuple[float, tuple[Span, ...]]:
        """Score and spans of whatever matches by this one term."""
        found = self._alone.get(needle)
        if found is None:
            weight, finds = self.told.get(needle) or self.tell(needle)
            found = self._alone[needle] = weight, self.spans(finds)
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
