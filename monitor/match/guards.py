"""Guard rails: what an admin should hear before a topic is saved.

`examine` looks at the query alone; `guard` also at what it did on the archive. A guard that `blocks` stops the save
until it is forced with a note; the others are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from monitor.errors import Problem
from monitor.match.backtest import slot
from monitor.match.engine import Engine
from monitor.match.implication import Wider, branches, excluded, implies, normalised
from monitor.match.matcher import read_topic
from monitor.match.reading import Reading
from monitor.model import And, Article, Not, Or, Query, Term, Topic

DAYS = 90  # of archive that a topic is tried on before it is saved
TOO_COMMON = 0.2  # of the archive
TOO_MUCH = 5  # times the earlier volume
SAME = 0.9  # Jaccard similarity of two topics' results
MIN_ARCHIVE = 100  # articles; less says nothing
MIN_MATCHES = 10
MAX_TRIES = 200  # wider queries that one alternative is held against
MAX_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """`start` and `end` point into the topic's query where the trouble has a place."""

    code: str
    message: str
    hint: str = ""
    blocks: bool = True
    start: int = 0
    end: int = 0

    @property
    def problem(self) -> Problem:
        return Problem(code=self.code, message=self.message, hint=self.hint, start=self.start, end=self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleText:
    """A text that a topic must match, or must not."""

    must_match: bool
    title: str
    body: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """How the topic did on the last days of the archive: `articles` stored then, of which the `old` form matched so
    many and the `new` one so many. `old` is None for a topic that was not there.
    """

    articles: int
    new: int
    old: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another topic of the same scope: its query as `normalised` gives it, how many articles it matched in those days,
    and how many of them the examined one matches too.
    """

    slug: str
    query: str
    matched: int = 0
    shared: int = 0


def guard(
    topic: Topic,
    *,
    volume: Volume,
    shares: Mapping[str, float] | None = None,
    neighbours: Iterable[Neighbour] = (),
    examples: Iterable[ExampleText] = (),
) -> tuple[Guard, ...]:
    """Everything that speaks against `topic`, blocking ones first. `shares`: of each of `deciding_terms`, in which part
    of the archive it is found. Raises QueryError.
    """
    query, _ = read_topic(topic)
    found = [
        *broken_examples(topic, examples),
        *examine(topic),
        *_volume(volume),
        *(_common(query, shares or {}) if query is not None else ()),
        *_same(topic, query, volume, neighbours),
    ]
    return tuple(sorted(found, key=lambda one: not one.blocks))


# --- examples -------------------------------------------------------------------------------------------------


def broken_examples(topic: Topic, examples: Iterable[ExampleText]) -> list[Guard]:
    """Those that the topic does not treat as it must. Scopes (sources, languages) do not count: a text has none."""
    engine = Engine()
    made = slot(_unscoped(topic), engine)
    broken = []
    for example in examples:
        article = Article(url="", canonical_url="", key="", title=example.title, body=example.body)
        reading = Reading(article)
        engine.read(reading)
        if made.holds(reading) is not example.must_match:
            verb = "is not matched, but must be" if example.must_match else "is matched, but must not be"
            note = f" ({example.note})" if example.note else ""
            broken.append(
                Guard(code="example", message=f'the example "{_short(example.title or example.body)}" {verb}{note}')
            )
    return broken


def _unscoped(topic: Topic) -> Topic:
    return Topic(slug=topic.slug, name=topic.name, query=topic.query, weights=topic.weights, threshold=topic.threshold)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else words[:57].rsplit(" ", 1)[0] + " …"


# --- the query alone ------------------------------------------------------------------------------------------


def examine(topic: Topic) -> list[Guard]:
    """Branches that can never match, and alternatives that can never add anything."""
    query, weighted = read_topic(topic)
    found = []
    if query is not None:
        found = [*_unreachable(query), *_redundant(query)]
    if weighted and topic.threshold > round(sum(weight for _, weight in weighted if weight > 0), 9):
        message = f"all weights together do not reach the threshold of {topic.threshold:g}"
        found.append(Guard(code="unreachable", message=message, hint="lower it, or raise a weight"))
    return found


def _unreachable(query: Query) -> list[Guard]:
    found: list[Guard] = []
    for node in _ands(query):
        unwanted = Wider(excluded(node))
        wanted = [part for part in node.parts if not isinstance(part, Not)]
        for branch in branches(wanted):
            against = _first_implied(branch, unwanted)
            if against is None:
                continue
            whole = len(wanted) == 1 and branch is wanted[0]
            what = "nothing can match" if whole else f"{branch} can never match"
            message = f"{what}, for NOT {against} takes it out again"
            hint = "remove one of the two"
            found.append(Guard(code="unreachable", message=message, hint=hint, start=branch.start, end=branch.end))
            if len(found) == MAX_SHOWN or whole:
                break
    return found[:MAX_SHOWN]


def _redundant(query: Query) -> list[Guard]:
    """Alternatives that another one of the same OR already covers: told, for they do no harm."""
    found: list[Guard] = []
    for node in _ors(query):
        wider = Wider(node.parts)
        places = {id(part): place for place, part in enumerate(node.parts)}
        for part in node.parts:
            other = _first_implied(part, wider)
            if other is None or len(found) == MAX_SHOWN:
                continue
            if implies(other, part) and places[id(part)] < places[id(other)]:
                continue  # of two that say the same, the later one is told
            message = f"{part} adds nothing: {other} already finds it"
            found.append(Guard(code="redundant", message=message, blocks=False, start=part.start, end=part.end))
    return found


def _first_implied(query: Query, wider: Wider) -> Query | None:
    likely = (other for other in wider.of(query) if other is not query)
    return next((other for other in islice(likely, MAX_TRIES) if implies(query, other)), None)


def _ands(query: Query) -> Iterable[And]:
    if isinstance(query, And):
        yield query
    for part in _parts(query):
        yield from _ands(part)


def _ors(query: Query) -> Iterable[Or]:
    if isinstance(query, Or):
        yield query
    for part in _parts(query):
        yield from _ors(part)


def _parts(query: Query) -> Sequence[Query]:
    if isinstance(query, And | Or):
        return query.parts
    return (query.part,) if isinstance(query, Not) else ()


# --- what it did on the archive -------------------------------------------------------------------------------


def _volume(volume: Volume) -> list[Guard]:
    if volume.articles < MIN_ARCHIVE:
        return []
    if not volume.new:
        message = f"it matches none of the {volume.articles} articles of the last {DAYS} days"
        return [
            Guard(code="matches-nothing", message=message, hint="`monitor topics suggest` may know the words in use")
        ]
    if volume.old and volume.new >= MIN_MATCHES and volume.new > TOO_MUCH * volume.old:
        times = f"{volume.new / volume.old:.0f} times as many as before ({volume.old})"
        message = f"it matches {volume.new} articles of the last {DAYS} days, {times}"
        return [Guard(code="volume", message=message, hint="look at what each term brings on its own")]
    return []


def deciding_terms(query: Query) -> tuple[Term, ...]:
    """Terms that can bring or keep out an article by themselves: alternatives at the top, and exclusions."""
    if isinstance(query, Term):
        return (query,)
    if isinstance(query, Or):
        return tuple(term for part in query.parts for term in deciding_terms(part))
    if isinstance(query, And):
        wanted = [part for part in query.parts if not isinstance(part, Not)]
        unwanted = [part.part for part in query.parts if isinstance(part, Not)]
        return tuple(
            term for part in ([*wanted, *unwanted] if len(wanted) == 1 else unwanted) for term in deciding_terms(part)
        )
    return ()


def _common(query: Query, shares: Mapping[str, float]) -> list[Guard]:
    found = []
    for term in dict.fromkeys(deciding_terms(query)):
        share = shares.get(str(term), 0.0)
        if share > TOO_COMMON:
            message = f"{term} is in {share:.0%} of the archive"
            hint = "look for a phrase, or add AND with what makes it yours"
            found.append(Guard(code="common-term", message=message, hint=hint, start=term.start, end=term.end))
    return found


def _same(topic: Topic, query: Query | None, volume: Volume, neighbours: Iterable[Neighbour]) -> list[Guard]:
    own = normalised(query) if query is not None and not topic.weights else ""
    found = []
    for other in neighbours:
        if own and other.query == own:
            found.append(Guard(code="identical", message=f"it asks the same as the topic {other.slug}"))
            continue
        likeness = jaccard(volume.new, other.matched, other.shared)
        if min(volume.new, other.matched) >= MIN_MATCHES and likeness >= SAME:
            message = (
                f"it finds what the topic {other.slug} finds: {other.shared} articles of the last {DAYS} days in common"
            )
            found.append(Guard(code="identical", message=message, hint=f"change {other.slug} instead"))
    return found[:MAX_SHOWN]


def jaccard(one: int, other: int, shared: int) -> float:
    """|A and B| of |A or B|, from the three sizes."""
    union = one + other - shared
    return shared / union if union > 0 else 0.0
