"""All topics against one article, in one pass. Lucene Monitor's shape: only topics that could match are asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from monitor.errors import Problem, QueryError
from monitor.match.engine import Engine, Needle
from monitor.match.made import make_match
from monitor.match.particulars import language_holds
from monitor.match.plan import Plan, open_part, plan, rests_on_cover
from monitor.match.query import parse_query
from monitor.match.reading import Finds, Reading
from monitor.model import Article, Match, Query, Topic

_topic_id = attrgetter("topic_id")


class Slot:
    """A topic made ready. `sure`: where a needle of its cover is found it holds, without being asked. `plain`: what is
    found of its cover is all that makes it hold.
    """

    __slots__ = (
        "cover", "languages", "open", "plain", "plan", "revision_id", "scoped", "sources", "sure", "threshold",
        "topic_id", "weights",
    )  # fmt: skip

    def __init__(self, topic: Topic, root: Plan | None, weights: tuple[tuple[Plan, float], ...]) -> None:
        self.topic_id = topic.id
        self.revision_id = topic.revision_id
        self.sources = frozenset(topic.sources)
        self.languages = topic.languages
        self.plan = root
        self.weights = weights
        self.threshold = topic.threshold
        self.cover = self._cover()
        self.scoped = bool(self.sources or self.languages or weights)
        self.open = open_part(root) if root is not None and root.cover() is not None else root
        self.sure = not self.scoped and self.open is None
        self.plain = not weights and root is not None and rests_on_cover(root)

    def _cover(self) -> tuple[Needle, ...] | None:
        found = self.plan.cover() if self.plan is not None else None
        if found is None and self.weights and self.threshold > 0:
            found = []
            for part, weight in self.weights:
                if weight > 0:
                    cover = part.cover()
                    if cover is None:
                        return None
                    found += cover
        return tuple(dict.fromkeys(found)) if found is not None else None

    def holds(self, reading: Reading) -> bool:
        if self.plan is not None and not self.plan.holds(reading):
            return False
        return not self.scoped or self._in_scope(reading)

    def holds_if_covered(self, reading: Reading) -> bool:
        """As `holds`, to be asked only where a needle of the cover is found, or of a topic that has none."""
        if self.open is not None and not self.open.holds(reading):
            return False
        return not self.scoped or self._in_scope(reading)

    def _in_scope(self, reading: Reading) -> bool:
        if self.sources and reading.article.source_slug not in self.sources:
            return False
        if self.languages and not language_holds(self.languages, reading.article):
            return False
        return not self.weights or self.weighed(reading) >= self.threshold

    def weighed(self, reading: Reading) -> float:
        return weight_of((weight, part.holds(reading)) for part, weight in self.weights)

    def parts(self) -> list[Plan]:
        return [*([self.plan] if self.plan is not None else []), *(part for part, _ in self.weights)]

    def match(self, reading: Reading, covered: Sequence[Needle] = ()) -> Match:
        """`covered` are the needles of its cover that were found, if that is known: most matches rest on one."""
        if len(covered) == 1 and self.plain:
            score, spans = reading.alone(covered[0])
            return make_match(self.topic_id, self.revision_id, reading.article.id, round(score, 6), spans)
        found: Finds = []
        score = self.plan.tell(reading, found) if self.plan is not None else 0.0
        for part, weight in self.weights:
            if weight > 0 and part.holds(reading):
                score += weight * part.tell(reading, found)
        spans = reading.spans(found)
        return make_match(self.topic_id, self.revision_id, reading.article.id, round(score, 6), spans)


class Matcher:
    """Holds topics and tells which of them match an article.

    `df` maps index tokens (monitor.text) to the number of archive articles that hold them, of `documents` in all: it
    makes matching faster and scores fairer, and changes no answer.
    """

    def __init__(self, df: Mapping[str, int] | None = None, documents: int = 0) -> None:
        self._engine = Engine(df, documents)
        self._slots: dict[int, Slot] = {}
        self._always: dict[int, Slot] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def topics(self) -> int:
        return len(self._slots)

    @property
    def terms(self) -> int:
        """Distinct terms now looked for."""
        return len(self._engine)

    def add(self, topic: Topic) -> None:
        """Add the topic, or replace the one with its id. Raises QueryError, and then nothing has changed."""
        query, weighted = read_topic(topic)
        engine = self._engine
        root = plan(query, engine) if query is not None else None
        slot = Slot(topic, root, tuple((plan(part, engine), weight) for part, weight in weighted))
        self.remove(topic.id)
        self._slots[topic.id] = slot
        if slot.cover is None:
            self._always[topic.id] = slot
        else:
            for needle in slot.cover:
                needle.topics += (slot,)

    def remove(self, topic_id: int) -> None:
        """Forget a topic; one that is not held is no error."""
        slot = self._slots.pop(topic_id, None)
        if slot is None:
            return
        self._always.pop(topic_id, None)
        for needle in slot.cover or ():
            needle.topics = tuple(other for other in needle.topics if other is not slot)
        for part in slot.parts():
            for needle in part.needles():
                self._engine.release(needle)

    def match(self, article: Article) -> list[Match]:
        """The matches of `article`, in the order of topic ids; spans count code points of the original."""
        return self.match_read(self.read(article))

    def match_read(self, reading: Reading) -> list[Match]:
        """The matches of an article that was read already."""
        asked: dict[Slot, list[Needle]] = {slot: [] for slot in self._always.values()}
        for needle in reading.hits:
            for slot in needle.topics:
                if slot in asked:
                    asked[slot].append(needle)
                else:
                    asked[slot] = [needle]
        found = [slot for slot in asked if slot.sure or slot.holds_if_covered(reading)]
        found.sort(key=_topic_id)
        return [slot.match(reading, asked[slot]) for slot in found]

    def read(self, article: Article) -> Reading:
        """`article` with every place of every term."""
        reading = Reading(article)
        self._engine.read(reading)
        return reading


def weight_of(terms: Iterable[tuple[float, bool]]) -> float:
    """The sum of the weights of the terms found, free of the dust of binary fractions."""
    return round(sum(weight for weight, held in terms if held), 9)


def read_topic(topic: Topic) -> tuple[Query | None, list[tuple[Query, float]]]:
    """A topic's query and weighted terms, parsed. Raises QueryError."""
    if not topic.query.strip() and not topic.weights:
        hint = "write a query or weighted terms"
        raise QueryError(topic.query, [Problem(code="empty", message="the topic looks for nothing", hint=hint)])
    query = parse_query(topic.query) if topic.query.strip() else None
    return query, [(parse_query(weighted.term), weighted.weight) for weighted in topic.weights]
