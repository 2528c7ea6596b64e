"""Small valid values for tests of what is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.identity import article_key
from monitor.model import (
    Article,
    Delivery,
    Entry,
    Field,
    Found,
    IndexQuery,
    Match,
    Message,
    Poll,
    Source,
    Span,
    Subscriber,
    Subscription,
    Topic,
)
from storage import Saved, Storage

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LEASE = timedelta(seconds=30)


def a_source(slug: str = "news", **changes: object) -> Source:
    values: dict[str, object] = {"slug": slug, "name": slug.title(), "url": f"https://{slug}.example.org/feed"}
    return Source(**(values | changes))  # type: ignore[arg-type]


def an_entry(number: int = 1, **changes: object) -> Entry:
    values: dict[str, object] = {
        "url": f"https://news.example.org/{number}",
        "title": f"Story number {number}",
        "guid": f"guid-{number}",
        "summary": f"What story {number} says.",
        "published": NOW - DAY,
        "authors": ("Ada Lovelace",),
    }
    return Entry(**(values | changes))  # type: ignore[arg-type]


def saved(
    number: int = 1, *, matches: tuple[Match, ...] = (), page_due_at: datetime | None = None, **changes: object
) -> Saved:
    entry = an_entry(number)
    values: dict[str, object] = {
        "url": entry.url,
        "canonical_url": entry.url,
        "title": entry.title,
        "summary": entry.summary,
        "published": entry.published,
        "authors": entry.authors,
    }
    values |= changes
    if "key" not in values:
        values["key"] = article_key(
            url=str(values["url"]), guid="", doi=str(values.get("doi", "")), title="", provider="", published=None
        )
    return Saved(entry=entry, article=Article(**values), matches=matches, page_due_at=page_due_at)  # type: ignore[arg-type]


def a_topic(slug: str = "mtor", query: str = "mTOR", **changes: object) -> Topic:
    return Topic(**({"slug": slug, "name": slug.upper(), "query": query} | changes))  # type: ignore[arg-type]


def a_match(topic: Topic, article_id: int = 0, score: float = 1.0) -> Match:
    span = Span(Field.TITLE, 0, 5, "Story")
    return Match(topic_id=topic.id, revision_id=topic.revision_id, article_id=article_id, score=score, spans=(span,))


def a_poll(source: Source, at: datetime = NOW, outcome: str = "ok", **changes: object) -> Poll:
    return Poll(**({"source_id": source.id, "at": at, "outcome": outcome} | changes))  # type: ignore[arg-type]


def a_delivery(
    subscription: Subscription | None, subscriber: Subscriber, period_key: str = "2026-W48", **changes: object
) -> Delivery:
    number = subscription.id if subscription else 0
    message = Message(
        message_id=f"<{period_key}.{number}.{subscriber.id}@example.org>",
        sender="digest@example.org",
        recipient=subscriber.email,
        subject="3 new",
        data=b"Subject: 3 new\r\n\r\nHello\r\n",
        html="<p>Hello",
    )
    values: dict[str, object] = {
        "subscription_id": subscription.id if subscription else None,
        "subscriber_id": subscriber.id,
        "period_key": period_key,
        "message": message,
        "queued_at": NOW,
    }
    return Delivery(**(values | changes))  # type: ignore[arg-type]


def word(token: str) -> IndexQuery:
    return IndexQuery(op="phrase", tokens=(token,))


async def a_reader(
    storage: Storage, topics: tuple[int, ...], email: str = "ada@example.org", **changes: object
) -> tuple[Subscriber, Subscription]:
    subscriber = await storage.readers.add_subscriber(Subscriber(email=email), NOW - 30 * DAY)
    values: dict[str, object] = {"subscriber_id": subscriber.id, "topic_ids": topics, "next_digest_at": NOW}
    subscription = await storage.readers.add_subscription(Subscription(**(values | changes)))  # type: ignore[arg-type]
    return subscriber, subscription


async def three_articles(storage: Storage, topic: Topic, at: datetime = NOW - DAY) -> list[int]:
    """Three matched articles from a source; their ids."""
    await storage.articles.save(None, [saved(number, matches=(a_match(topic),)) for number in (1, 2, 3)], at)
    await storage.stories.settle(at)
    return [article.id for article in await storage.articles.candidates(None)]


async def found_for(storage: Storage, subscription: Subscription, *rest: Any) -> list[Found]:
    """What a digest may hold, once every article's story is told."""
    await storage.stories.settle(NOW)
    return await storage.readers.found(subscription, *rest)
