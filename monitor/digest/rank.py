"""In which order a reader sees what a topic found, and what readers' judgements change about it.

rank = match score x source weight x recency, and from 20 judgements on blended with what readers said of the words.
The number is for sorting only; it is never shown.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from monitor.model import Article, Cadence, Found, Match, Verdict

HALF_LIFE = timedelta(days=3)
OLDEST = 0.1  # recency of what an index brought weeks late: last, but still in sight
ENOUGH_LABELS = 20
PRIOR_LABELS = 50  # with n labels, feedback weighs n / (n + 50)
LEAD_WORDS = 80  # of the body, beside title and summary: what a judgement is about
_WORD = re.compile(r"[^\W\d_][\w-]{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFeedback:
    """What readers' judgements say about a topic's words: log-odds of a word under relevant against not relevant."""

    labels: int
    odds: Mapping[str, float]

    @property
    def weight(self) -> float:
        return self.labels / (self.labels + PRIOR_LABELS)

    def judge(self, article: Article) -> tuple[float, tuple[str, ...]]:
        """How likely a reader would call it relevant (0 to 1), and up to three words that speak most for it."""
        known = {word: self.odds[word] for word in words_of(article) if word in self.odds}
        total = sum(known.values())
        likely = 1 / (1 + math.exp(-max(-30.0, min(30.0, total / math.sqrt(1 + len(known))))))
        spoke = sorted((word for word in known if known[word] > 0.5), key=lambda word: (-known[word], word))
        return likely, tuple(spoke[:3])


def learn(judged: Sequence[tuple[Article, Verdict]]) -> TopicFeedback | None:
    """Learn from one topic's judgements, the latest of each article; None below 20, or while all of them agree.

    Smoothed log-odds of the words in title, summary and lead (Rocchio's idea in naive Bayes' clothes): few labels
    move little, and the words that moved a card can be named.
    """
    counts = {verdict: Counter[str]() for verdict in Verdict}
    sizes = Counter(verdict for _, verdict in judged)
    if len(judged) < ENOUGH_LABELS or len(sizes) < 2:
        return None
    for article, verdict in judged:
        counts[verdict].update(words_of(article))
    yes, no = sizes[Verdict.RELEVANT], sizes[Verdict.NOT_RELEVANT]
    odds = {}
    for word in counts[Verdict.RELEVANT].keys() | counts[Verdict.NOT_RELEVANT].keys():
        for_it, against = counts[Verdict.RELEVANT][word], counts[Verdict.NOT_RELEVANT][word]
        if for_it + against >= 2:
            odds[word] = math.log((for_it + 1) / (yes + 2)) - math.log((against + 1) / (no + 2))
    return TopicFeedback(labels=len(judged), odds=odds)


@lru_cache(maxsize=1024)
def words_of(article: Article) -> frozenset[str]:
    """The different words that a reader judged by."""
    lead = " ".join(article.body[: LEAD_WORDS * 12].split()[:LEAD_WORDS])
    return frozenset(_WORD.findall(f"{article.title} {article.summary[:2000]} {lead}".casefold()))


def recency(article: Article, cadence: Cadence, end: datetime) -> float:
    """1 for what appeared at the period's end, half for each three days before. In a daily digest always 1."""
    if cadence in {Cadence.DAILY, Cadence.AT_ONCE}:
        return 1.0
    age = max(timedelta(0), end - appeared(article, end))
    return max(OLDEST, math.pow(0.5, age / HALF_LIFE))


def appeared(article: Article, end: datetime) -> datetime:
    """When it was published, or else stored; what claims the future counts as now."""
    return min(article.published or article.stored_at or end, end)


def base(found: Found, match: Match, cadence: Cadence, end: datetime) -> float:
    """Match score x source weight x recency."""
    return max(match.score, 0.0) * found.source_weight * recency(found.article, cadence, end)


def best_first(
    candidates: Iterable[tuple[Found, Match]],
    cadence: Cadence,
    end: datetime,
    *,
    feedback: TopicFeedback | None = None,
    unwanted: Collection[int] = (),
) -> list[tuple[Found, Match]]:
    """One topic's articles, best first. Equals stand newest first, then by their key: the order never wavers.

    `unwanted` are the ids of articles already judged not relevant: they stand behind all others.
    """
    scored = [(base(found, match, cadence, end), found, match) for found, match in candidates]
    if feedback is not None:
        top = max((score for score, _, _ in scored), default=0.0) or 1.0
        weight = feedback.weight
        scored = [
            ((1 - weight) * score / top + weight * feedback.judge(found.article)[0], found, match)
            for score, found, match in scored
        ]
    scored.sort(
        key=lambda one: (
            one[1].article.id in unwanted,
            -one[0],
            -appeared(one[1].article, end).timestamp(),
            one[1].article.key,
        )
    )
    return [(found, match) for _, found, match in scored]


def shares(sizes: Sequence[int], budget: int) -> list[int]:
    """How many of each topic fit into `budget`, dealt round robin so that the first topic cannot starve the last."""
    given = [0] * len(sizes)
    open_topics = [index for index, size in enumerate(sizes) if size]
    while budget > 0 and open_topics:
        for index in open_topics[:budget]:
            given[index] += 1
        budget -= min(budget, len(open_topics))
        open_topics = [index for index in open_topics if given[index] < sizes[index]]
    return given
