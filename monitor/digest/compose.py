"""Matches of a period -> one subscriber's digest: one card a story, in its best topic, best first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime

from monitor.digest import rank, stories
from monitor.digest.excerpt import reasons
from monitor.model import (
    Badge,
    Correction,
    CorrectionKind,
    Coverage,
    Digest,
    DigestItem,
    DigestSection,
    Found,
    Label,
    Match,
    Period,
    SafetyItem,
    Subscriber,
    Subscription,
    Topic,
    Verdict,
)
from monitor.story.labels import RETRACTED, badges

MAX_NEAR_MISSES = 10
WARNINGS = {
    CorrectionKind.RETRACTION: RETRACTED,
    CorrectionKind.PARTIAL_RETRACTION: "Retracted in part",
    CorrectionKind.WITHDRAWAL: "Withdrawn",
    CorrectionKind.REMOVAL: "Removed",
    CorrectionKind.EXPRESSION_OF_CONCERN: "Expression of concern",
    CorrectionKind.CORRECTION: "Corrected",
    CorrectionKind.REINSTATEMENT: "Reinstated",
}


def compose(
    subscriber: Subscriber,
    subscription: Subscription,
    topics: Sequence[Topic],
    found: Sequence[Found],
    *,
    period: Period,
    coverage: Coverage,
    last_news: Mapping[int, datetime],
    history: Mapping[int, tuple[int, ...]],
    next_at: datetime | None,
    now: datetime,
    labels: Sequence[Label] = (),
    feedback: Mapping[int, rank.TopicFeedback] | None = None,
    near: Sequence[Found] = (),
    safety: Sequence[SafetyItem] = (),
    corrected: Mapping[int, Correction] | None = None,
) -> Digest:
    """Choose, rank and number what a reader gets for `period`; the same values give the same digest.

    Of a story's articles the one that scores highest stands for it (a paper before its news, of equals); one that was
    sent before comes again only as an update, with its published paper. `safety` are notices about what was sent.
    Sections stand in the subscription's order of topics. An article matched by several of them has one card, in the
    topic where it scores highest. `max_items` are dealt round robin over the topics; each section's `total` counts its
    articles listed or not. A topic whose articles all stand elsewhere is a section of none, not a quiet one. An article
    that somebody has already called not relevant for its topic (`labels`) stands last there; `feedback` is what `learn`
    made of a topic's earlier judgements. `near` are articles just below a threshold, shown only to a subscription that
    asks for `near_misses`. `corrected` are notices known of articles found, by id: their cards say so first.
    """
    mine = _in_order(subscription, topics)
    feedback, corrected = feedback or {}, corrected or {}
    cards = stories.one_each(found, {topic.id for topic in mine})
    groups, matched = _by_best_topic(mine, [card.found for card in cards])
    told = {card.found.article.key: card for card in cards}
    unwanted = _not_relevant(labels)
    ranked = {
        topic.id: rank.best_first(
            groups[topic.id],
            subscription.cadence,
            period.end,
            feedback=feedback.get(topic.id),
            unwanted=unwanted.get(topic.id, frozenset()),
        )
        for topic in mine
    }
    counts = rank.shares([len(ranked[topic.id]) for topic in mine], subscription.max_items)
    names = {topic.id: topic.name for topic in mine}
    numbers = itertools.count(1)
    sections = [
        DigestSection(
            topic=topic,
            items=tuple(
                _item(
                    next(numbers),
                    one,
                    match,
                    names,
                    feedback.get(topic.id),
                    told[one.article.key],
                    corrected.get(one.article.id),
                )
                for one, match in ranked[topic.id][:count]
            ),
            total=len(ranked[topic.id]),
            history=history.get(topic.id, ()),
        )
        for topic, count in zip(mine, counts, strict=True)
        if topic.id in matched
    ]
    return Digest(
        subscriber=subscriber,
        subscription=subscription,
        period=period,
        sections=tuple(sections),
        quiet=tuple((topic, last_news.get(topic.id)) for topic in mine if topic.id not in matched),
        safety=tuple(safety),
        near_misses=_near_misses(subscription, mine, near, names, period) if subscription.near_misses else (),
        coverage=coverage,
        next_at=next_at,
        composed_at=now,
    )


def _in_order(subscription: Subscription, topics: Sequence[Topic]) -> list[Topic]:
    """The subscription's topics in the reader's order; one that no longer exists is left out."""
    known = {topic.id: topic for topic in topics}
    return [known[topic_id] for topic_id in dict.fromkeys(subscription.topic_ids) if topic_id in known]


def _by_best_topic(
    topics: Sequence[Topic], found: Sequence[Found]
) -> tuple[dict[int, list[tuple[Found, Match]]], set[int]]:
    """Each article under the topic where it scores highest (the reader's first of equals), and all topics matched."""
    place = {topic.id: index for index, topic in enumerate(topics)}
    groups: dict[int, list[tuple[Found, Match]]] = {topic.id: [] for topic in topics}
    matched: set[int] = set()
    seen: set[str] = set()
    for one in found:
        mine = [match for match in one.matches if match.topic_id in place]
        if not mine or one.article.key in seen:
            continue
        seen.add(one.article.key)
        matched.update(match.topic_id for match in mine)
        best = min(mine, key=lambda match: (-match.score, place[match.topic_id]))
        groups[best.topic_id].append((one, best))
    return groups, matched


def _not_relevant(labels: Sequence[Label]) -> dict[int, set[int]]:
    """For each topic the articles whose latest judgement says "not relevant"."""
    latest: dict[tuple[int, int], Label] = {}
    for label in sorted(labels, key=lambda label: label.labelled_at):
        latest[label.topic_id, label.article_id] = label
    unwanted: dict[int, set[int]] = {}
    for (topic_id, article_id), label in latest.items():
        if label.verdict is Verdict.NOT_RELEVANT:
            unwanted.setdefault(topic_id, set()).add(article_id)
    return unwanted


def _item(
    number: int,
    found: Found,
    match: Match,
    names: Mapping[int, str],
    feedback: rank.TopicFeedback | None = None,
    card: stories.StoryCard | None = None,
    corrected: Correction | None = None,
) -> DigestItem:
    why = reasons(found.article, match)
    if feedback is not None:
        likely, words = feedback.judge(found.article)
        if words and likely > 0.5:
            why += ("like articles marked relevant: " + ", ".join(f"*{word}*" for word in words),)
    others = {one.topic_id for one in found.matches} - {match.topic_id}
    return DigestItem(
        number=number,
        article=found.article,
        match=match,
        reasons=why,
        also_in=tuple(name for topic_id, name in names.items() if topic_id in others) if others else (),
        badges=(
            *_warning(corrected),
            *(one for one in badges(found.article) if not (corrected and one.text == RETRACTED)),
        ),
        source_name=found.source_name,
        also_covered=card.also_covered if card else (),
        update=card.update if card else "",
        shows_paper=card.shows_paper if card else False,
    )


def _warning(correction: Correction | None) -> tuple[Badge, ...]:
    if correction is None:
        return ()
    told = correction.reason or correction.title or correction.notice_doi or correction.notice_url
    return (Badge(text=WARNINGS[correction.kind], quote=told or WARNINGS[correction.kind], by=correction.source),)


def _near_misses(
    subscription: Subscription, topics: Sequence[Topic], near: Sequence[Found], names: Mapping[int, str], period: Period
) -> tuple[DigestItem, ...]:
    groups, _ = _by_best_topic(topics, near)
    together = [pair for topic in topics for pair in groups[topic.id]]
    best = rank.best_first(together, subscription.cadence, period.end)[:MAX_NEAR_MISSES]
    return tuple(_item(0, one, match, names) for one, match in best)
