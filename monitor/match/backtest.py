"""What a changed topic would change: the old and the new form of it on the same articles, term by term.

The engine decides on every article given, so any superset of the articles that either form matches (`candidates` names
one for the archive's index) gives the same answer as all articles would.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from monitor.match.effects import Effects, TermEffect
from monitor.match.engine import Engine
from monitor.match.index import index_query
from monitor.match.matcher import Slot, read_topic
from monitor.match.measure import verdicts
from monitor.match.plan import plan
from monitor.match.reading import Reading
from monitor.model import Article, Field, IndexQuery, Label, Span, Topic, Verdict

HIGHLIGHTED = 100
BEFORE, AROUND = 80, 240  # characters of an excerpt before its first highlight, and in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An article of a backtest, light enough to hold thousands. `verdict` is what people said of it, if anybody did.

    The newest HIGHLIGHTED of each kind, and all that are labelled, have a score, the `spans` of their title and an
    `excerpt`, the text around the first highlight, with `excerpt_spans` counting within it. The others have none.
    """

    article_id: int
    title: str
    url: str
    source_slug: str = ""
    published: datetime | None = None
    stored_at: datetime | None = None
    score: float = 0.0
    spans: tuple[Span, ...] = ()
    excerpt: str = ""
    excerpt_spans: tuple[Span, ...] = ()
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """Matches among the articles stored in one ISO week ("2026-W48", UTC), by the old form and by the new."""

    week: str
    old: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Newest first. `unchanged` match under both forms and show the new one's highlights; `terms` belong to the new."""

    gained: tuple[Hit, ...] = ()
    lost: tuple[Hit, ...] = ()
    unchanged: tuple[Hit, ...] = ()
    weeks: tuple[Week, ...] = ()
    terms: tuple[TermEffect, ...] = ()

    @property
    def old_count(self) -> int:
        return len(self.lost) + len(self.unchanged)

    @property
    def new_count(self) -> int:
        return len(self.gained) + len(self.unchanged)

    @property
    def lost_relevant(self) -> tuple[Hit, ...]:
        """What must not get lost: labelled relevant, and no longer matched."""
        return tuple(hit for hit in self.lost if hit.verdict is Verdict.RELEVANT)

    @property
    def lost_labelled(self) -> tuple[Hit, ...]:
        return tuple(hit for hit in self.lost if hit.verdict is not None)


class Comparison:
    """A backtest in the making: `add` articles in any number of batches, each article once, then ask for `result`."""

    def __init__(self, old: Topic | None, new: Topic, labels: Iterable[Label] = ()) -> None:
        """Raises QueryError if a query of either is wrong."""
        self._engine = Engine()
        self._old = slot(old, self._engine) if old is not None else None
        self._new = slot(new, self._engine)
        self._effects = Effects(new, self._engine)
        self._verdicts = verdicts(labels)
        self._kinds: dict[str, _Kind] = {"gained": _Kind(), "lost": _Kind(), "unchanged": _Kind()}
        self._weeks: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self.seen = 0

    def add(self, articles: Iterable[Article]) -> None:
        for article in articles:
            self.seen += 1
            reading = Reading(article)
            self._engine.read(reading)
            new = self._new.holds(reading)
            old = self._old is not None and self._old.holds(reading)
            self._effects.count(reading, holds=new)
            if not (old or new):
                continue
            made = self._new if new or self._old is None else self._old
            kind = self._kinds["unchanged" if old and new else "gained" if new else "lost"]
            kind.put(_hit(article, self._verdicts.get(article.id)), reading, made)
            week = _week(article)
            self._weeks[0][week] += old
            self._weeks[1][week] += new

    def result(self) -> Backtest:
        hits = {name: kind.newest_first() for name, kind in self._kinds.items()}
        old, new = self._weeks
        weeks = tuple(Week(week=week, old=old[week], new=new[week]) for week in sorted(old.keys() | new.keys()))
        return Backtest(**hits, weeks=weeks, terms=self._effects.result())


class _Kind:
    """Gained, lost or unchanged hits. What will be shown is kept as it was read; highlighting every hit would double
    the time.
    """

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.labelled: list[tuple[Hit, Reading, Slot]] = []
        self.newest: list[tuple[datetime, int, Hit, Reading, Slot]] = []

    def put(self, hit: Hit, reading: Reading, made: Slot) -> None:
        self.hits.append(hit)
        if hit.verdict is not None:
            self.labelled.append((hit, reading, made))
            return
        kept = (hit.stored_at or _NEVER, hit.article_id, hit, reading, made)
        if len(self.newest) < HIGHLIGHTED:
            heapq.heappush(self.newest, kept)
        elif kept[:2] > self.newest[0][:2]:
            heapq.heapreplace(self.newest, kept)

    def newest_first(self) -> tuple[Hit, ...]:
        shown = [*self.labelled, *(kept[2:] for kept in self.newest)]
        highlighted = {hit.article_id: _highlighted(hit, reading, made) for hit, reading, made in shown}
        hits = [highlighted.get(hit.article_id, hit) for hit in self.hits]
        return tuple(sorted(hits, key=lambda hit: (hit.stored_at or _NEVER, hit.article_id), reverse=True))


def compare(old: Topic | None, new: Topic, articles: Iterable[Article], labels: Iterable[Label] = ()) -> Backtest:
    """`old` (None for a topic that is not there yet) against `new` on `articles`. Raises QueryError."""
    comparison = Comparison(old, new, labels)
    comparison.add(articles)
    return comparison.result()


def slot(topic: Topic, engine: Engine) -> Slot:
    """`topic` made ready to be asked, active or not. Raises QueryError."""
    query, weighted = read_topic(topic)
    root = plan(query, engine) if query is not None else None
    return Slot(topic, root, tuple((plan(part, engine), weight) for part, weight in weighted))


_NEVER = datetime.min.replace(tzinfo=UTC)

# --- what the archive's index is asked ------------------------------------------------------------------------


def index_topic(topic: Topic) -> IndexQuery | None:
    """At least every article that `topic` matches; None where the index cannot narrow. Raises QueryError."""
    query, weighted = read_topic(topic)
    found = index_query(query) if query is not None else None
    if found is not None or not weighted or topic.threshold <= 0:
        return found
    return either(index_query(part) for part, weight in weighted if weight > 0)


def candidates(old: Topic | None, new: Topic) -> IndexQuery | None:
    """At least every article that either form matches."""
    return either(index_topic(topic) for topic in (old, new) if topic is not None)


def either(queries: Iterable[IndexQuery | None]) -> IndexQuery | None:
    """What any of them finds; None (everything) if one of them is, or there is none."""
    found: list[IndexQuery] = []
    for query in queries:
        if query is None:
            return None
        found += query.parts if query.op == "any" else (query,)
    found = list(dict.fromkeys(found))
    if len(found) < 2:
        return found[0] if found else None
    return IndexQuery(op="any", parts=tuple(found))


# --- values ---------------------------------------------------------------------------------------------------


def _hit(article: Article, verdict: Verdict | None) -> Hit:
    return Hit(
        article_id=article.id,
        title=article.title,
        url=article.canonical_url or article.url,
        source_slug=article.source_slug,
        published=article.published,
        stored_at=article.stored_at,
        verdict=verdict,
    )


def _highlighted(hit: Hit, reading: Reading, made: Slot) -> Hit:
    match = made.match(reading)
    inside = [span for span in match.spans if span.field is not Field.TITLE]
    excerpt, moved = excerpt_of(reading.article.body or reading.article.summary, inside)
    return replace(
        hit,
        score=match.score,
        spans=tuple(span for span in match.spans if span.field is Field.TITLE),
        excerpt=excerpt,
        excerpt_spans=moved,
    )


def excerpt_of(text: str, spans: Iterable[Span]) -> tuple[str, tuple[Span, ...]]:
    """The text around the first of `spans`, cut at words, and the spans within it."""
    ordered = sorted(spans, key=lambda span: (span.start, span.end))
    start = max(0, ordered[0].start - BEFORE) if ordered else 0
    if start and (blank := text.find(" ", start, ordered[0].start)) >= 0:
        start = blank + 1
    end = min(len(text), start + AROUND)
    if ordered:
        end = min(len(text), max(end, ordered[0].end))
    if end < len(text) and (blank := text.rfind(" ", max(start, ordered[0].end if ordered else 0), end)) > 0:
        end = blank
    moved = tuple(
        Span(span.field, span.start - start, span.end - start, span.term)
        for span in ordered
        if start <= span.start and span.end <= end
    )
    return text[start:end], moved


def _week(article: Article) -> str:
    at = article.stored_at or article.published
    if at is None:
        return ""
    year, week, _ = at.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02}"


__all__ = [
    "Backtest",
    "Comparison",
    "Hit",
    "TermEffect",
    "Week",
    "candidates",
    "compare",
    "either",
    "excerpt_of",
    "index_topic",
    "slot",
]
