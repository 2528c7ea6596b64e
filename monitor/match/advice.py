"""Suggested terms put to the test: what each would really change on the archive, and among what is labelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from monitor.match.backtest import either, index_topic, slot
from monitor.match.engine import Engine
from monitor.match.matcher import Slot
from monitor.match.measure import verdicts
from monitor.match.query import parse_query
from monitor.match.reading import Reading
from monitor.match.suggest import Suggestion
from monitor.model import And, Article, IndexQuery, Label, Not, Or, Query, Topic, Verdict, WeightedTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A term to add, or (`excludes`) to keep out, and the exact effect: how many articles `topic`, which is the topic
    with it, gains and loses, and how many of them are labelled so.
    """

    suggestion: Suggestion
    excludes: bool
    topic: Topic
    gained: int = 0
    gained_relevant: int = 0
    gained_rejected: int = 0
    lost: int = 0
    lost_relevant: int = 0
    lost_rejected: int = 0

    @property
    def effect(self) -> str:
        """For people: "+12 articles, 9 labelled relevant"."""
        count, relevant, rejected = (
            (self.lost, self.lost_relevant, self.lost_rejected)
            if self.excludes
            else (self.gained, self.gained_relevant, self.gained_rejected)
        )
        parts = [f"{'-' if self.excludes else '+'}{count} article{'' if count == 1 else 's'}"]
        if relevant or (self.excludes and rejected):
            parts.append(f"{relevant} labelled relevant")
        if rejected:
            parts.append(f"{rejected} labelled not relevant")
        return ", ".join(parts)


class Trial:
    """Every suggestion against the topic as it is, in one pass over any superset of what they match."""

    def __init__(
        self, topic: Topic, add: Iterable[Suggestion], exclude: Iterable[Suggestion], labels: Iterable[Label] = ()
    ) -> None:
        """Raises QueryError if the topic's own query is wrong."""
        self._engine = Engine()
        self._old = slot(topic, self._engine)
        self._advice = [
            *(Advice(suggestion=one, excludes=False, topic=with_term(topic, one.query_form)) for one in add),
            *(Advice(suggestion=one, excludes=True, topic=without_term(topic, one.query_form)) for one in exclude),
        ]
        self._new: list[Slot] = [slot(advice.topic, self._engine) for advice in self._advice]
        self._verdicts = verdicts(labels)
        self._gained: list[list[int]] = [[] for _ in self._advice]
        self._lost: list[list[int]] = [[] for _ in self._advice]
        self.candidates: IndexQuery | None = either(
            index_topic(one) for one in (topic, *(advice.topic for advice in self._advice))
        )

    def add(self, articles: Iterable[Article]) -> None:
        for article in articles:
            reading = Reading(article)
            self._engine.read(reading)
            old = self._old.holds(reading)
            for number, made in enumerate(self._new):
                new = made.holds(reading)
                if new is not old:
                    (self._gained if new else self._lost)[number].append(article.id)

    def result(self) -> list[Advice]:
        """In the order given, without those that change nothing."""
        found = []
        for advice, gained, lost in zip(self._advice, self._gained, self._lost, strict=True):
            if gained or lost:
                found.append(
                    replace(
                        advice,
                        gained=len(gained),
                        gained_relevant=self._count(gained, Verdict.RELEVANT),
                        gained_rejected=self._count(gained, Verdict.NOT_RELEVANT),
                        lost=len(lost),
                        lost_relevant=self._count(lost, Verdict.RELEVANT),
                        lost_rejected=self._count(lost, Verdict.NOT_RELEVANT),
                    )
                )
        return found

    def _count(self, article_ids: Sequence[int], verdict: Verdict) -> int:
        return sum(self._verdicts.get(article_id) is verdict for article_id in article_ids)


def with_term(topic: Topic, form: str) -> Topic:
    """`topic` with one more alternative; its exclusions still hold. One of weights alone gets a term that suffices."""
    if not topic.query:
        return _weighing(topic, form, max(topic.threshold, 1.0))
    query, term = parse_query(topic.query), parse_query(form)
    unwanted: tuple[Query, ...] = ()
    if isinstance(query, And):
        unwanted = tuple(part for part in query.parts if isinstance(part, Not))
        wanted = tuple(part for part in query.parts if not isinstance(part, Not))
        query = wanted[0] if len(wanted) == 1 else And(parts=wanted)
    alternatives = query.parts if isinstance(query, Or) else (query,)
    wider: Query = Or(parts=(*alternatives, term))
    return replace(topic, query=str(And(parts=(wider, *unwanted)) if unwanted else wider))


def without_term(topic: Topic, form: str) -> Topic:
    """`topic` with one more exclusion; one of weights alone gets a weight that outweighs the rest."""
    if not topic.query:
        return _weighing(topic, form, -sum(weighted.weight for weighted in topic.weights if weighted.weight > 0))
    query, term = parse_query(topic.query), parse_query(form)
    parts = query.parts if isinstance(query, And) else (query,)
    return replace(topic, query=str(And(parts=(*parts, Not(part=term)))))


def _weighing(topic: Topic, form: str, weight: float) -> Topic:
    return replace(topic, weights=(*topic.weights, WeightedTerm(term=form, weight=weight)))
