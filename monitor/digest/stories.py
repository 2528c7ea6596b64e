"""One card a story: which of its articles stands for it, who else covered it, and what makes it an update."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from monitor.model import Found, Match
from monitor.story.evidence import Stage, stage


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryCard:
    found: Found
    also_covered: tuple[str, ...] = ()
    update: str = ""
    shows_paper: bool = False


def one_each(found: Sequence[Found], topics: Collection[int]) -> list[StoryCard]:
    """One card for each story, in the order in which they first appear; articles without a story have one each.

    The card has the best match of each topic that any of the story's articles had, so that no topic loses it; the spans
    of another article's match are left out, for they point into that one's text.
    """
    groups: dict[object, list[Found]] = {}
    for one in found:
        if any(match.topic_id in topics for match in one.matches):
            groups.setdefault(one.article.story_id or one.article.key, []).append(one)
    return [card for group in groups.values() if (card := _card(group, topics)) is not None]


def _card(group: Sequence[Found], topics: Collection[int]) -> StoryCard | None:
    stages = {one.article.key: stage(one.article) for one in group}
    known = any(one.known for one in group)
    candidates = [one for one in group if stages[one.article.key] is Stage.PAPER] if known else list(group)
    if not candidates:
        return None
    best = min(
        candidates, key=lambda one: (-_score(one, topics), -stages[one.article.key], one.article.id, one.article.key)
    )
    names = dict.fromkeys(name for one in group for name in (*one.covered_by, one.source_name) if name)
    names.pop(best.source_name, None)
    return StoryCard(
        found=replace(best, matches=_matches(best, group, topics)),
        also_covered=tuple(names),
        update=_update(best) if known else "",
        shows_paper=Stage.PAPER in stages.values(),
    )


def _score(one: Found, topics: Collection[int]) -> float:
    return max(match.score for match in one.matches if match.topic_id in topics)


def _matches(best: Found, group: Sequence[Found], topics: Collection[int]) -> tuple[Match, ...]:
    own = {match.topic_id: match for match in best.matches}
    others: dict[int, Match] = {}
    for one in group:
        for match in one.matches:
            before = others.get(match.topic_id)
            if match.topic_id in topics and match.topic_id not in own and (not before or match.score > before.score):
                others[match.topic_id] = replace(match, article_id=best.article.id, spans=())
    return (*best.matches, *(others[topic_id] for topic_id in sorted(others)))


def _update(best: Found) -> str:
    journal = best.article.journal or best.source_name
    return f"Update: now published in {journal}" if journal else "Update: now published"
