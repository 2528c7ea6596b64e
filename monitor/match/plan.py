"""A query made ready to be asked of many articles: the same tree, with its terms replaced by the engine's needles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    def score(self, reading: Reading) -> float: ...

    def collect(self, reading: Reading, found: Finds) -> None:
        """Put into `found` each place that makes it hold."""

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

    def score(self, reading: Reading) -> float:
        return reading.weight(self.needle)

    def collect(self, reading: Reading, found: Finds) -> None:
        if self.needle in reading.hits:
            found.update(reading.finds(self.needle))

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

    def score(self, reading: Reading) -> float:
        return reading.weigh(self.needle, self.hits(reading))

    def collect(self, reading: Reading, found: Finds) -> None:
        if hits := set(self.hits(reading)):
            found.update({find: None for find in reading.finds(self.needle) if find[0] in hits})


class Particular:
    """A term about the article itself: who wrote it, where it appeared."""

    __slots__ = ("term",)

    def __init__(self, term: Term) -> None:
        self.term = term

    def holds(self, reading: Reading) -> bool:
        return particular_holds(self.term, reading.article)

    def hits(self, reading: Reading) -> Hits:
        return ()

    def score(self, reading: Reading) -> float:
        return 0.0

    def collect(self, reading: Reading, found: Finds) -> None:
        return

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
        hits = reading.hits
        if self.plain_set is not None:
            if not hits.keys().isdisjoint(self.plain_set):
                return True
        else:
            for needle in self.plain:
                if needle in hits:
                    return True
        return any(part.holds(reading) for part in self.others)

    def hits(self, reading: Reading) -> Hits:
        found = [hit for needle in self.plain for hit in reading.hits.get(needle, ())]
        return found + [hit for part in self.others for hit in part.hits(reading)]

    def score(self, reading: Reading) -> float:
        """The best part and three tenths of the rest: a long list of synonyms must not win by its length."""
        scores = [reading.weight(needle) for needle in self.plain if needle in reading.hits]
        if self.others:
            scores += [part.score(reading) for part in self.others if part.holds(reading)]
        if len(scores) == 1:
            return scores[0]
        best = max(scores, default=0.0)
        return best + 0.3 * (sum(scores) - best)

    def collect(self, reading: Reading, found: Finds) -> None:
        for needle in self.plain:
            if needle in reading.hits:
                found.update(reading.finds(needle))
        for part in self.others:
            if part.holds(reading):
                part.collect(reading, found)

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

    def score(self, reading: Reading) -> float:
        return sum(part.score(reading) for part in self.wanted)

    def collect(self, reading: Reading, found: Finds) -> None:
        for part in self.wanted:
            part.collect(reading, found)

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

    def score(self, reading: Reading) -> float:
        return sum(part.score(reading) for part in self.parts)

    def collect(self, reading: Reading, found: Finds) -> None:
        """Only the hits that are links of a whole chain."""
        reached = self._chains(reading)
        linked = reached[-1]
        for index in range(len(self.parts) - 1, -1, -1):
            if index < len(self.parts) - 1:
                linked = self._near(reached[index], linked, reading.title_end) if linked else []
            kept = set(linked)
            finds: Finds = {}
            self.parts[index].collect(reading, finds)
            found.update({find: None for find in finds if find[0] in kept})

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

    def score(self, reading: Reading) -> float:
        return self.part.score(reading)

    def collect(self, reading: Reading, found: Finds) -> None:
        self.part.collect(reading, found)

    def cover(self) -> list[Needle] | None:
        return self.part.cover()

    def needles(self) -> Iterator[Needle]:
        yield from self.part.needles()


def plan(query: Query, engine: Engine) -> Plan:
    """Takes a use of every needle; give them back with `engine.release` for each of `needles()`."""
    if isinstance(query, Term):
        if query.field not in TEXT_FIELDS:
            return Particular(query)
        needle = engine.acquire(query)
        return InField(needle, in_title=query.field == "title") if query.field else Anywhere(needle)
    if isinstance(query, Or):
        return Any([plan(part, engine) for part in query.parts])
    if isinstance(query, Near):
        return Close([plan(part, engine) for part in query.parts], query.distance)
    if isinstance(query, AtLeast):
        return Repeated(plan(query.part, engine), query.count)
    assert isinstance(query, And)  # noqa: S101  (the parser makes no other node here)
    wanted = [plan(part, engine) for part in query.parts if not isinstance(part, Not)]
    return All(wanted, [plan(part.part, engine) for part in query.parts if isinstance(part, Not)])
