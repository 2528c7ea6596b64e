"""Which stories hold which piece of text. What many hold is furniture: "About us", a disclaimer, a set phrase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

MOST_HOLDERS = 2  # what more stories than this hold is furniture
_FURNITURE = ()  # in place of its holders, whom nobody needs to know


class Holders:
    """The stories that hold each shingle. `part_of` names for a story that is gone the one it is part of now; here it
    keeps its old number.
    """

    __slots__ = ("_holders",)

    def __init__(self) -> None:
        self._holders: dict[int, tuple[int, ...]] = {}

    def add(self, shingle: int, story: int) -> None:
        """Note what is known to be held; saying it twice does no harm."""
        holders = self._holders.get(shingle)
        if holders is None:
            self._holders[shingle] = (story,)
        elif holders and story not in holders:
            self._holders[shingle] = (*holders, story) if len(holders) < MOST_HOLDERS else _FURNITURE

    def stories(self) -> set[int]:
        """Those that hold what is not furniture."""
        return {story for holders in set(self._holders.values()) for story in holders}

    def shared(self, shingles: frozenset[int], part_of: Mapping[int, int]) -> tuple[Counter[int], int]:
        """How many of these each story holds, and how many of them are furniture, which does not count."""
        found = Counter(map(self._holders.get, shingles))
        furniture = found.pop(_FURNITURE, 0)
        counts: Counter[int] = Counter()
        for holders, number in found.items():
            if holders:
                for story in {_now(holder, part_of) for holder in holders}:
                    counts[story] += number
        return counts, furniture

    def put(self, shingles: frozenset[int], story: int, part_of: Mapping[int, int]) -> list[int]:
        """Let `story` hold these; those that it did not hold yet, without what was furniture already."""
        holders = self._holders
        alone = (story,)
        new = []
        for shingle in shingles:
            before = holders.get(shingle)
            if before is None:
                holders[shingle] = alone
                new.append(shingle)
            elif before and story not in before and story not in {_now(holder, part_of) for holder in before}:
                self.add(shingle, story)
                new.append(shingle)
        return new

    def forget(self, shingles: Iterable[int]) -> None:
        for shingle in shingles:
            self._holders.pop(shingle, None)


def _now(story: int, part_of: Mapping[int, int]) -> int:
    while story in part_of:
        story = part_of[story]
    return story
