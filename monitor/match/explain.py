"""Why a topic matches an article, or what is missing: the query's tree with what held, and the nearest change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.match.engine import Engine
from monitor.match.matcher import read_topic, weight_of
from monitor.match.particulars import language_holds
from monitor.match.plan import Plan, plan
from monitor.match.reading import SHIFT, Finds, Reading
from monitor.match.vocabulary import TEXT_FIELDS
from monitor.model import And, Article, AtLeast, Near, Not, Or, Query, Span, Term, Topic

_SHOWN = 5  # alternatives of one OR that are named
_CHANGES = 3  # nearest changes that are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One node of a query, asked of one article. `spans` are what made it hold, in the text's order."""

    text: str
    held: bool
    spans: tuple[Span, ...] = ()
    children: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightReason:
    """One weighted term; its weight counts where it held."""

    text: str
    weight: float
    held: bool
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`nearest` holds the smallest changes that would turn a miss into a match, best first, as sentences; `changes` is
    the number of changes in the first. `outside` says why the topic does not look at this article at all.
    """

    held: bool
    query: Reason | None = None
    weights: tuple[WeightReason, ...] = ()
    total: float = 0.0
    threshold: float = 0.0
    outside: tuple[str, ...] = ()
    nearest: tuple[str, ...] = ()
    changes: int = 0


def explain(topic: Topic, article: Article) -> Explanation:
    """Raises QueryError where the topic's query is wrong."""
    query, weighted = read_topic(topic)
    asked = _Asked(query, weighted, article)
    reason = asked.reason(query) if query is not None else None
    weights = tuple(
        WeightReason(text=str(term), weight=weight, held=asked.holds(term), spans=asked.spans(term))
        for term, weight in weighted
    )
    total = weight_of((weight.weight, weight.held) for weight in weights)
    outside = _outside(topic, article)
    enough = not weights or total >= topic.threshold
    held = not outside and enough and (reason is None or reason.held)
    ways = [] if held else _ways(query, reason, weights, topic.threshold - total if not enough else 0.0, asked)
    return Explanation(
        held=held, query=reason, weights=weights, total=total, threshold=topic.threshold if weights else 0.0,
        outside=outside, nearest=tuple(_sentence(way) for way in ways[:_CHANGES]),
        changes=len(ways[0]) if ways else 0,
    )  # fmt: skip


class _Asked:
    """One article read for one query, so that each node can be asked by itself."""

    def __init__(self, query: Query | None, weighted: Sequence[tuple[Query, float]], article: Article) -> None:
        self.engine = Engine()
        self.plans: dict[int, Plan] = {}
        for root in ([query] if query is not None else []) + [term for term, _ in weighted]:
            self._prepare(root)
        self.reading = Reading(article)
        self.engine.read(self.reading)

    def _prepare(self, query: Query) -> None:
        part = query.part if isinstance(query, Not) else query
        self.plans[id(query)] = plan(part, self.engine)
        for child in _children(query):
            self._prepare(child)

    def plan(self, query: Query) -> Plan:
        return self.plans[id(query)]

    def holds(self, query: Query) -> bool:
        return self.plan(query).holds(self.reading)

    def spans(self, query: Query) -> tuple[Span, ...]:
        if not self.holds(query):
            return ()
        found: Finds = []
        self.plan(query).tell(self.reading, found)
        return self.reading.spans(found)

    def reason(self, query: Query) -> Reason:
        """An exclusion is held where what it excludes is absent; its spans show what it found."""
        held = self.holds(query) is not isinstance(query, Not)
        children = tuple(self.reason(child) for child in _children(query))
        return Reason(text=str(query), held=held, spans=self.spans(query), children=children)

    def places(self, query: Query) -> int:
        return len({hit >> SHIFT for hit in self.plan(query).hits(self.reading)})


def _children(query: Query) -> tuple[Query, ...]:
    if isinstance(query, And | Or | Near):
        return query.parts
    return (query.part,) if isinstance(query, Not | AtLeast) else ()


def _outside(topic: Topic, article: Article) -> tuple[str, ...]:
    found = []
    if topic.sources and article.source_slug not in topic.sources:
        found.append(f"its source {article.source_slug or '(none)'} is not one of {', '.join(topic.sources)}")
    if not language_holds(topic.languages, article):
        found.append(f"its language {article.language} is not one of {', '.join(topic.languages)}")
    return tuple(found)


# --- the nearest miss -----------------------------------------------------------------------------------------
# A way is a list of changes; each reads on after "would match if …" or, for an exclusion, "would match without …".

_Way = list[str]


def _ways(
    query: Query | None, reason: Reason | None, weights: Sequence[WeightReason], lacking: float, asked: _Asked
) -> list[_Way]:
    ways: list[_Way] = [[]]
    if query is not None and reason is not None and not reason.held:
        ways = _repairs(query, asked)
    if lacking > 0:
        ways = [way + change for way in ways for change in _heavier(weights, lacking)]
    return sorted((way for way in ways if way), key=len)


def _heavier(weights: Sequence[WeightReason], lacking: float) -> list[_Way]:
    """Single terms that would make up for what is lacking, else just the sum."""
    added = [w for w in weights if not w.held and w.weight >= lacking]
    dropped = [w for w in weights if w.held and -w.weight >= lacking]
    ways = [[f"{_code(w.text)} ({w.weight:+g}) were added"] for w in sorted(added, key=lambda w: w.weight)]
    ways += [[f"without {_code(w.text)} ({w.weight:+g})"] for w in dropped]
    return ways or [[f"its weights summed to {lacking:g} more"]]


def _repairs(query: Query, asked: _Asked) -> list[_Way]:
    """The shortest ways to make a node hold that does not."""
    if isinstance(query, Or):
        return _one_of(query, asked)
    if isinstance(query, And):
        way: _Way = []
        for part in query.parts:
            if isinstance(part, Not):
                way += [f"without NOT {_code(str(part).removeprefix('NOT '))}"] if asked.holds(part) else []
            elif not asked.holds(part):
                way += _repairs(part, asked)[0]
        return [way]
    if isinstance(query, Near):
        absent = [part for part in query.parts if not asked.holds(part)]
        if absent:
            return [[change for part in absent for change in _repairs(part, asked)[0]]]
        return [[f"{' and '.join(_code(str(part)) for part in query.parts)} stood within {query.distance} words"]]
    if isinstance(query, AtLeast):
        return [[f"{_code(str(query.part))} were found {query.count} times, not {asked.places(query.part)}"]]
    return [[_addition(query)]] if isinstance(query, Term) else [[f"{query} held"]]


def _one_of(query: Or, asked: _Asked) -> list[_Way]:
    fields = {part.field for part in query.parts if isinstance(part, Term)}
    if all(isinstance(part, Term) for part in query.parts) and fields == {""}:
        shown = [_code(str(part)) for part in query.parts[:_SHOWN]]
        more = f" (or {len(query.parts) - _SHOWN} more)" if len(query.parts) > _SHOWN else ""
        return [[f"one of {', '.join(shown)}{more} were added"]]
    return sorted((way for part in query.parts for way in _repairs(part, asked)), key=len)


def _addition(term: Term) -> str:
    if term.field in ("title", "body"):
        plain = Term(text=term.text, prefix=term.prefix, exact=term.exact)
        return f"{_code(str(plain))} were in its {'title' if term.field == 'title' else 'text'}"
    if term.field not in TEXT_FIELDS:
        return f"its {'language' if term.field == 'lang' else term.field} were {_code(term.text)}"
    return f"{_code(str(term))} were added"


def _sentence(way: _Way) -> str:
    additions = [change for change in way if not change.startswith("without ")]
    exclusions = [change.removeprefix("without ") for change in way if change.startswith("without ")]
    ends = [f"if {' and '.join(additions)}"] if additions else []
    ends += [f"without {' and '.join(exclusions)}"] if exclusions else []
    return f"would match {' and '.join(ends)}"


def _code(text: str) -> str:
    return f"`{text}`"
