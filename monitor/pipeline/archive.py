"""What guard rails must know of the archive: how common a topic's terms are, and who else finds the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from monitor.errors import QueryError
from monitor.match.backtest import index_topic
from monitor.match.guards import DAYS, MIN_ARCHIVE, MIN_MATCHES, SAME, TOO_COMMON, Neighbour, deciding_terms
from monitor.match.implication import normalised
from monitor.match.index import index_query
from monitor.match.matcher import Matcher, read_topic
from monitor.model import Article, Found, Period, Topic
from storage import Storage

NEAR = 0.7  # of a threshold: from there on an article is a near miss
SAMPLE = 500  # newest articles that terms are first counted on
COMPARED = 200  # newest matches that other topics are tried on
WEEKS = (DAYS + 6) // 7


async def near_misses(storage: Storage, topics: Sequence[Topic], period: Period) -> list[Found]:
    """Articles of a period that weighted topics nearly matched: by at least NEAR of their threshold, but not by it."""
    weighted = [topic for topic in topics if topic.weights and topic.threshold > 0]
    found = []
    for topic in weighted:
        relaxed = replace(topic, threshold=topic.threshold * NEAR)
        after = 0
        while True:
            batch = await storage.articles.candidates(
                index_topic(relaxed), since=period.start, until=period.end, after_id=after, limit=SAMPLE
            )
            if not batch:
                break
            after = batch[-1].id
            found += await asyncio.to_thread(_between, relaxed, topic, batch)
    return found


def _between(relaxed: Topic, strict: Topic, articles: Iterable[Article]) -> list[Found]:
    lower, upper = Matcher(), Matcher()
    lower.add(relaxed)
    upper.add(strict)
    return [
        Found(article=article, matches=tuple(matches), source_name=article.source_slug)
        for article in articles
        if (matches := lower.match(article)) and not upper.match(article)
    ]


async def common_terms(storage: Storage, topic: Topic) -> dict[str, float]:
    """In which share of the archive those of the topic's deciding terms are that look common in a sample of it."""
    query, _ = read_topic(topic)
    total = await storage.articles.count()
    if query is None or total < MIN_ARCHIVE:
        return {}
    terms = list(dict.fromkeys(deciding_terms(query)))
    sample = await storage.articles.recent(SAMPLE)
    seen = await asyncio.to_thread(_shares, [str(term) for term in terms], sample)
    shares = {}
    for term, share in zip(terms, seen, strict=True):
        if share >= TOO_COMMON / 2:
            index = index_query(term)
            shares[str(term)] = await storage.articles.hits(index) / total if index is not None else share
    return shares


def _shares(queries: Sequence[str], sample: Sequence[Article]) -> list[float]:
    matcher = Matcher()
    for number, query in enumerate(queries):
        matcher.add(Topic(id=number, slug="", name="", query=query))
    counts = [0] * len(queries)
    for article in sample:
        for match in matcher.match(article):
            counts[match.topic_id] += 1
    return [count / len(sample) for count in counts]


async def neighbours(storage: Storage, topic: Topic, hit_ids: Sequence[int], now: datetime) -> list[Neighbour]:
    """Other active topics that ask the same, or find nearly everything that `topic` found (`hit_ids`, newest first)."""
    others = [other for other in await storage.topics.list(active=True) if other.slug != topic.slug]
    compared = list(hit_ids[:COMPARED]) if len(hit_ids) >= MIN_MATCHES else []
    articles = await storage.articles.get_many(compared)
    found = []
    for other, query, shared in await asyncio.to_thread(_likeness, topic, others, articles):
        matched = sum(await storage.topics.weekly_counts(other.id, now, WEEKS)) if shared else 0
        found.append(
            Neighbour(slug=other.slug, query=query, matched=matched, shared=min(round(shared * len(hit_ids)), matched))
        )
    return found


def _likeness(topic: Topic, others: Iterable[Topic], articles: Sequence[Article]) -> list[tuple[Topic, str, float]]:
    """Topics worth a closer look: their query in normal form, and the share of `articles` that they match."""
    own, _ = read_topic(topic)
    wanted = normalised(own) if own is not None and not topic.weights else None
    matcher = Matcher()
    same: dict[int, str] = {}
    known: dict[int, Topic] = {}
    for other in others:
        try:
            query, _ = read_topic(other)
            if articles:
                matcher.add(replace(other, active=True))
        except QueryError:
            continue  # noticed where topics are loaded
        known[other.id] = other
        scope = (other.sources, other.languages, other.weights)
        if wanted and query is not None and scope == (topic.sources, topic.languages, ()):
            normal = normalised(query)
            if normal == wanted:
                same[other.id] = normal
    counts: dict[int, int] = {}
    for article in articles:
        for match in matcher.match(article):
            counts[match.topic_id] = counts.get(match.topic_id, 0) + 1
    return [
        (other, same.get(number, ""), counts.get(number, 0) / len(articles) if articles else 0.0)
        for number, other in known.items()
        if number in same or (articles and counts.get(number, 0) >= SAME * len(articles))
    ]
