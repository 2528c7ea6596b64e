"""A query made ready to be asked of many articles: the same tree, with its terms replaced by the engine's needles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from monitor.match.engine import Engine, Needle
from monitor.match.particulars import particular_holds
from monitor.match.reading import MASK, SHIFT, Finds, Reading
from monitor.match.vocabulary import TEXT_FIELDS
from monitor.model import And, AtLeast, Near, Not, Or, Query, Term

Hits = Sequence[int]


class Plan(Protocol):
    def holds(self, reading: Reading) -> bool: ...

    def hits(self, reading: Reading) -> Hits:
        """Places in the text where it holds."""

    def tell(self, reading: Reading, found: Finds) -> float:
        """Its score, where it holds; adds to `found` each place that makes it hold, some perhaps twice."""

    def cover(self) -> list[Needle] | None:
        """Needles of which one at least is found wherever this holds; None where it may hold without any."""

    def needles(self) -> Iterator[Needle]: ...


class Anywhere:
    """A term in title or text."""

    __slots__ = ("needle",)

    def __init__(self, needle: Needle) -> None:
        self.needle = needle

    def holds(self, reading: Reading) -> bool:
        return self.needle in reading.hits

    def hits(self, reading: Reading) -> Hits:
        return reading.hits.get(self.needle, ())

    def tell(self, reading: Reading, found: Finds) -> float:
        weight, finds = reading.told.get(self.needle) or reading.tell(self.needle)
        found += finds
        return weight

    def cover(self) -> list[Needle] | None:
        return [self.needle]

    def needles(self) -> Iterator[Needle]:
        yield self.needle


class InField(Anywhere):
    """A term in the title alone, or in the text alone."""

    __slots__ = ("in_title",)

    def __init__(self, needle: Needle, *, in_title: bool) -> None:
        super().__init__(needle)
        self.in_title = in_title

    def holds(self, reading: Reading) -> bool:
        return bool(self.hits(reading))

    def hits(self, reading: Reading) -> Hits:
        limit = reading.title_end << SHIFT
        return [hit for hit in reading.hits.get(self.needle, ()) if (hit < limit) is self.in_title]

    def tell(self, reading: Reading, found: Finds) -> float:
        hits = self.hits(reading)
        found += [(hit, self.needle.text) for hit in hits]
        return reading.weigh(self.needle, hits)


class Particular:
    """A term about the article itself: who wrote it, where it appeared."""

    __slots__ = ("term",)

    def __init__(self, term: Term) -> None:
        self.term = term

    def holds(self, reading: Reading) -> bool:
        return particular_holds(self.term, reading.article)

    def hits(self, reading: Reading) -> Hits:
        return ()

    def tell(self, reading: Reading, found: Finds) -> float:
        return 0.0

    def cover(self) -> list[Needle] | None:
        return None

    def needles(self) -> Iterator[Needle]:
        yield from ()


class Any:
    """One part or more. `plain` are the needles of its terms without a field, all looked for at once."""

    __slots__ = ("others", "plain", "plain_set")

    def __init__(self, parts: Sequence[Plan]) -> None:
        self.plain = tuple(part.needle for part in parts if type(part) is Anywhere)
        self.others = tuple(part for part in parts if type(part) is not Anywhere)
        self.plain_set = frozenset(self.plain) if len(self.plain) > 8 else None

    def holds(self, reading: Reading) -> bool:
        if not reading.hits.keys().isdisjoint(self.plain_set or self.plain):
            return True
        return any(part.holds(reading) for part in self.others) if self.others else False

    def hits(self, reading: Reading) -> Hits:
        found = [hit for needle in self.plain for hit in reading.hits.get(needle, ())]
        return found + [hit for part in self.others for hit in part.hits(reading)]

    def tell(self, reading: Reading, found: Finds) -> float:
        """The best part and three tenths of the rest: a long list of synonyms must not win by its length."""
        scores = []
        for needle in self._found(reading.hits):
            weight, finds = reading.told.get(needle) or reading.tell(needle)
            scores.append(weight)
            found += finds
        if self.others:
            scores += [part.tell(reading, found) for part in self.others if part.holds(reading)]
        if len(scores) == 1:
            return scores[0]
        best = max(scores, default=0.0)
        return best + 0.3 * (sum(scores) - best)

    def _found(self, hits: Mapping[Needle, Hits]) -> Iterable[Needle]:
        if self.plain_set is not None:
            return self.plain_set.intersection(hits)
        return [needle for needle in self.plain if needle in hits]

    def cover(self) -> list[Needle] | None:
        covers = [part.cover() for part in self.others]
        if None in covers:
            return None
        return [*self.plain, *(needle for cover in covers for needle in cover or ())]

    def needles(self) -> Iterator[Needle]:
        yield from self.plain
        for part in self.others:
            yield from part.needles()


class All:
    """Every wanted part and none of the unwanted."""

    __slots__ = ("unwanted", "wanted")

    def __init__(self, wanted: Sequence[Plan], unwanted: Sequence[Plan]) -> None:
        self.wanted = tuple(wanted)
        self.unwanted = tuple(unwanted)

    def holds(self, reading: Reading) -> bool:
        for part in self.wanted:
            if not part.holds(reading):
                return False
        return not any(part.holds(reading) for part in self.unwanted) if self.unwanted else True

    def hits(self, reading: Reading) -> Hits:
        return ()

    def tell(self, reading: Reading, found: Finds) -> float:
        score = 0.0
        for part in self.wanted:
            score += part.tell(reading, found)
        return score

    def cover(self) -> list[Needle] | None:
        """That of the part which is found most rarely, by the archive's counts or else by its size."""
        covers = [cover for part in self.wanted if (cover := part.cover()) is not None]
        return min(covers, key=lambda cover: sum(1 / (0.05 + needle.idf) for needle in cover), default=None)

    def needles(self) -> Iterator[Needle]:
        for part in (*self.wanted, *self.unwanted):
            yield from part.needles()


class Close:
    """A chain of parts, each with at most `distance` words between it and the next, in either order, in one field."""

    __slots__ = ("distance", "parts")

    def __init__(self, parts: Sequence[Plan], distance: int) -> None:
        self.parts = tuple(parts)
        self.distance = distance

    def holds(self, reading: Reading) -> bool:
        return bool(self._chains(reading)[-1])

    def _chains(self, reading: Reading) -> list[list[int]]:
        """For each part its hits that end a chain from the first part."""
        reached = [sorted(self.parts[0].hits(reading))]
        for part in self.parts[1:]:
            reached.append(
                self._near(sorted(part.hits(reading)), reached[-1], reading.title_end) if reached[-1] else []
            )
        return reached

    def _near(self, hits: list[int], others: list[int], title_end: int) -> list[int]:
        """Those of `hits` that have one of `others` close by; both are sorted, and each is passed once or so."""
        near = []
        longest = max(hit & MASK for hit in others)
        low = 0
        for hit in hits:
            first, end = hit >> SHIFT, (hit >> SHIFT) + (hit & MASK)
            while low < len(others) and (others[low] >> SHIFT) + longest + self.distance < first:
                low += 1
            for i in range(low, len(others)):
                other, other_end = others[i] >> SHIFT, (others[i] >> SHIFT) + (others[i] & MASK)
                if other - end > self.distance:
                    break
                apart = other - end if other >= end else first - other_end
                if 0 <= apart <= self.distance and (first < title_end) is (other < title_end):
                    near.append(hit)
                    break
        return near

    def hits(self, reading: Reading) -> Hits:
        return ()

    def tell(self, reading: Reading, found: Finds) -> float:
        """Only the hits that are links of a whole chain are found."""
        reached = self._chains(reading)
        linked = reached[-1]
        score = 0.0
        for index in range(len(self.parts) - 1, -1, -1):
            if index < len(self.parts) - 1:
                linked = self._near(reached[index], linked, reading.title_end) if linked else []
            kept = set(linked)
            finds: Finds = []
            score += self.parts[index].tell(reading, finds)
            found += [find for find in finds if find[0] in kept]
        return score

    def cover(self) -> list[Needle] | None:
        return All(self.parts, ()).cover()

    def needles(self) -> Iterator[Needle]:
        for part in self.parts:
            yield from part.needles()


class Repeated:
    """Its part begins at `count` different places or more."""

    __slots__ = ("count", "part")

    def __init__(self, part: Plan, count: int) -> None:
        self.part = part
        self.count = count

    def holds(self, reading: Reading) -> bool:
        hits = self.part.hits(reading)
        return len(hits) >= self.count and len({hit >> SHIFT for hit in hits}) >= self.count

    def hits(self, reading: Reading) -> Hits:
        return ()

    def tell(self, reading: Reading, found: Finds) -> float:
        return self.part.tell(reading, found)

    def cover(self) -> list[Needle] | None:
        return self.part.cover()

    def needles(self) -> Iterator[Needle]:
        yield from self.part.needles()


def open_part(plan: Plan) -> Plan | None:
    """What is left to ask where a needle of the plan's cover is found; None where that is all it takes."""
    if _is_alternatives(plan):
        return None
    if type(plan) is All:
        cover = plan.cover()
        proven = next((part for part in plan.wanted if _is_alternatives(part) and part.cover() == cover), None)
        left = [part for part in plan.wanted if part is not proven]
        return All(left, plan.unwanted) if left or plan.unwanted else None
    return plan


def rests_on_cover(plan: Plan) -> bool:
    """No needle but those of its cover adds to its score or is shown."""
    if type(plan) is All:
        return len(plan.wanted) == 1 and _is_alternatives(plan.wanted[0])
    return _is_alternatives(plan)


def _is_alternatives(plan: Plan) -> bool:
    """Any needle of its cover makes it hold."""
    return type(plan) is Anywhere or (type(plan) is Any and not plan.others)


def plan(query: Query, engine: Engine) -> Plan:
    """Takes a use of every needle; give them back with `engine.release` for each of `needles()`."""
    if isinstance(query, Term):
        if query.field not in TEXT_FIELDS:
            return Particular(query)
        needle = engine.acquire(query)
        return InField(needle, in_title=query.field == "title") if query.field else Anywhere(needle)
    if isinstance(query, Or):
        return Any([plan(part, engine) for part in dict.fromkeys(query.parts)])
    if isinstance(query, Near):
        return Close([plan(part, engine) for part in query.parts], query.distance)
    if isinstance(query, AtLeast):
        return Repeated(plan(query.part, engine), query.count)
    assert isinstance(query, And)  # noqa: S101  (the parser makes no other node here)
    wanted = [plan(part, engine) for part in query.parts if not isinstance(part, Not)]
    return All(wanted, [plan(part.part, engine) for part in query.parts if isinstance(part, Not)])
