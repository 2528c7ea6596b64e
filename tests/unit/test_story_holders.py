"""Which stories hold a piece of text, and when it tells nothing any more."""

from __future__ import annotations

from monitor.story.holders import Holders

TEXT = frozenset({1, 2, 3, 4})
NONE_MERGED: dict[int, int] = {}


def test_what_a_third_story_holds_too_is_furniture() -> None:
    holders = Holders()
    for story in (10, 20, 30):
        holders.put(frozenset({1}), story, NONE_MERGED)
    holders.put(frozenset({2, 3}), 10, NONE_MERGED)

    assert holders.shared(TEXT, NONE_MERGED) == ({10: 2}, 1)


def test_a_story_brings_only_what_it_did_not_hold() -> None:
    holders = Holders()
    first = holders.put(TEXT, 10, NONE_MERGED)

    again, other = holders.put(TEXT | {5}, 10, NONE_MERGED), holders.put(frozenset({4}), 20, NONE_MERGED)

    assert (set(first), again, other) == (TEXT, [5], [4])


def test_two_stories_that_became_one_hold_what_both_held_once() -> None:
    holders = Holders()
    holders.put(frozenset({1, 2}), 10, NONE_MERGED)
    holders.put(frozenset({2, 3}), 20, NONE_MERGED)
    merged = {20: 10}

    assert holders.shared(TEXT, merged) == ({10: 3}, 0)
    assert holders.put(frozenset({2, 3}), 10, merged) == []


def test_what_is_loaded_twice_is_held_once_and_what_is_forgotten_is_new() -> None:
    holders = Holders()
    for story in (10, 10, 20, 20):
        holders.add(1, story)
    assert holders.shared(TEXT, NONE_MERGED) == ({10: 1, 20: 1}, 0)

    holders.forget([1])

    assert holders.shared(TEXT, NONE_MERGED) == ({}, 0)
    assert holders.put(frozenset({1}), 30, NONE_MERGED) == [1]
