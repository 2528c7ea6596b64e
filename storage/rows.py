"""Rows to values and back."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from typing import Any, cast

import sqlalchemy as sa

from monitor import identity
from monitor.errors import NotFound
from monitor.model import (
    Article,
    Cadence,
    Delivery,
    DeliveryState,
    EmptyRule,
    Entry,
    Field,
    Match,
    Message,
    Source,
    SourceKind,
    Span,
    Subscriber,
    SubscriberState,
    Subscription,
    TextFrom,
    Topic,
    Validators,
    WeightedTerm,
)
from storage.engine import clean

_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes a new encoder for each call

Row = sa.Row[Any]
Values = dict[str, Any]


def packed(texts: Iterable[str]) -> str:
    return _encode([clean(text) for text in texts]) if texts else "[]"


def unpacked(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text != "[]" else ()


def not_found(noun: str, name: str, names: Iterable[str]) -> NotFound:
    """Says what is nearest to what was asked for."""
    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return NotFound(f"no {noun} {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))


# --- sources --------------------------------------------------------------------------------------------------


def to_source(row: Row) -> Source:
    return Source(
        id=row.id,
        slug=row.slug,
        name=row.name,
        url=row.url,
        kind=SourceKind(row.kind),
        pages=row.pages,
        active=row.active,
        interval=timedelta(seconds=row.interval_seconds),
        weight=row.weight,
        options=tuple(json.loads(row.options).items()),
        confidence=row.confidence,
        since=row.since,
        gap=_span(row.gap_seconds),
        pace=_span(row.pace_seconds),
        last_new_at=row.last_new_at,
        first_success_at=row.first_success_at,
        validators=Validators(etag=row.etag, last_modified=row.last_modified, body_hash=row.body_hash),
        next_poll_at=row.next_poll_at,
        failures=row.failures,
        last_success_at=row.last_success_at,
        last_error=row.last_error,
        moves=row.moves,
        epoch=row.epoch,
    )


def of_source(source: Source) -> Values:
    """What an admin sets."""
    return {
        "slug": source.slug,
        "name": source.name,
        "url": source.url,
        "kind": source.kind.value,
        "pages": source.pages,
        "active": source.active,
        "interval_seconds": round(source.interval.total_seconds()),
        "weight": source.weight,
        "options": _encode({clean(name): clean(value) for name, value in source.options}),
        "confidence": source.confidence,
    }


def _span(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def seconds_of(span: timedelta | None) -> int | None:
    return None if span is None else round(span.total_seconds())


def of_validators(validators: Validators) -> Values:
    return {
        "etag": validators.etag,
        "last_modified": validators.last_modified,
        "body_hash": validators.body_hash,
    }


# --- articles -------------------------------------------------------------------------------------------------


def to_article(row: Row) -> Article:
    return Article(
        id=row.id,
        url=row.url,
        canonical_url=row.canonical_url,
        key=row.key,
        title=row.title,
        published=row.published_at,
        authors=unpacked(row.authors),
        summary=row.summary,
        body=row.body,
        byline=row.byline,
        category=row.category,
        doi=row.doi,
        pmid=row.pmid,
        journal=row.journal,
        provider=row.provider,
        publisher=row.publisher,
        citation=row.citation,
        copyright=row.copyright,
        language=row.language,
        mesh=unpacked(row.mesh),
        publication_types=unpacked(row.publication_types),
        trial_ids=unpacked(row.trial_ids),
        open_access_url=row.open_access_url,
        versions=unpacked(row.versions),
        doi_evidence=row.doi_evidence,
        text_from=TextFrom(row.text_from),
        source_id=row.source_id or 0,
        source_slug=row.source_slug or "",
        stored_at=row.stored_at,
        story_id=cast(Mapping[str, Any], row._mapping).get("story_id") or 0,
    )


def of_article(article: Article) -> Values:
    """All but id, source and time of storing."""
    return {
        "url": clean(article.url),
        "canonical_url": clean(article.canonical_url),
        "key": clean(article.key),
        "doi_key": (identity.normal_doi(article.doi) or None) if article.doi else None,
        "published_at": article.published,
        "text_from": article.text_from.value,
        "language": clean(article.language),
        "title": clean(article.title),
        "authors": packed(article.authors),
        "byline": clean(article.byline),
        "category": clean(article.category),
        "doi": clean(article.doi),
        "pmid": clean(article.pmid),
        "journal": clean(article.journal),
        "provider": clean(article.provider),
        "publisher": clean(article.publisher),
        "citation": clean(article.citation),
        "copyright": clean(article.copyright),
        "summary": clean(article.summary),
        "body": clean(article.body),
        "mesh": packed(article.mesh),
        "publication_types": packed(article.publication_types),
        "trial_ids": packed(article.trial_ids),
        "open_access_url": clean(article.open_access_url),
        "versions": packed(article.versions),
        "doi_evidence": clean(article.doi_evidence),
    }


_ENTRY_TIMES = ("published", "updated")
_ENTRY_TUPLES = ("authors", "categories", "mesh", "publication_types", "trial_ids", "versions")


def to_entry(text: str) -> Entry:
    values: dict[str, Any] = json.loads(text)
    for name in _ENTRY_TIMES:
        values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
    for name in _ENTRY_TUPLES:
        values[name] = tuple(values.get(name, ()))
    return Entry(**values)


def of_entry(entry: Entry) -> str:
    """As JSON, without what is empty."""
    values = {
        "url": clean(entry.url),
        "title": clean(entry.title),
        "guid": clean(entry.guid),
        "published": entry.published.isoformat() if entry.published else "",
        "updated": entry.updated.isoformat() if entry.updated else "",
        "authors": [clean(name) for name in entry.authors],
        "summary": clean(entry.summary),
        "content": clean(entry.content),
        "doi": clean(entry.doi),
        "pmid": clean(entry.pmid),
        "journal": clean(entry.journal),
        "categories": [clean(name) for name in entry.categories],
        "language": clean(entry.language),
        "mesh": [clean(name) for name in entry.mesh],
        "publication_types": [clean(name) for name in entry.publication_types],
        "trial_ids": [clean(name) for name in entry.trial_ids],
        "open_access_url": clean(entry.open_access_url),
        "versions": [clean(doi) for doi in entry.versions],
    }
    return _encode({name: value for name, value in values.items() if value or name in ("url", "title")})


# --- topics and matches ---------------------------------------------------------------------------------------


def to_topic(row: Row) -> Topic:
    """From a row of topic joined to one of its revisions (`revision_id`, `number` and its columns)."""
    return Topic(
        id=row.topic_id,
        slug=row.slug,
        name=row.name,
        query=row.query,
        weights=tuple(WeightedTerm(term=term, weight=weight) for term, weight in json.loads(row.weights)),
        threshold=row.threshold,
        sources=unpacked(row.sources),
        languages=unpacked(row.languages),
        revision_id=row.revision_id,
        revision=row.number,
        active=row.active,
    )


def of_topic(topic: Topic) -> Values:
    """What a revision keeps."""
    weights = [[clean(weighted.term), weighted.weight] for weighted in topic.weights]
    return {
        "name": topic.name,
        "query": topic.query,
        "weights": _encode(weights),
        "threshold": topic.threshold,
        "sources": packed(topic.sources),
        "languages": packed(topic.languages),
    }


_SPAN_FIELDS = {field.value[0]: field for field in Field}  # t, b, s


def to_match(row: Row) -> Match:
    spans = json.loads(row.spans)
    return Match(
        topic_id=row.topic_id,
        revision_id=row.revision_id,
        article_id=row.article_id,
        score=row.score,
        spans=tuple(Span(_SPAN_FIELDS[field], start, end, term) for field, start, end, term in spans),
        matched_at=row.matched_at,
    )


def of_match(match: Match, article_id: int, *, matched_at: datetime, stored_at: datetime, old_news: bool) -> Values:
    spans = [[span.field.value[0], span.start, span.end, clean(span.term)] for span in match.spans]
    return {
        "topic_id": match.topic_id,
        "article_id": article_id,
        "revision_id": match.revision_id,
        "score": match.score,
        "spans": _encode(spans),
        "matched_at": matched_at,
        "stored_at": stored_at,
        "old_news": old_news,
    }


# --- readers and their mail -----------------------------------------------------------------------------------


def to_subscriber(row: Row) -> Subscriber:
    return Subscriber(
        id=row.id,
        email=row.email,
        name=row.name,
        state=SubscriberState(row.state),
        state_reason=row.state_reason,
        token_epoch=row.token_epoch,
        created_at=row.created_at,
    )


def to_subscription(row: Row) -> Subscription:
    return Subscription(
        id=row.id,
        subscriber_id=row.subscriber_id,
        topic_ids=tuple(json.loads(row.topic_ids)),
        cadence=Cadence(row.cadence),
        weekday=row.weekday,
        monthday=row.monthday,
        at=time.fromisoformat(row.at),
        timezone=row.timezone,
        empty=EmptyRule(row.empty),
        max_items=row.max_items,
        near_misses=row.near_misses,
        repeat=row.repeat,
        safety_at_once=row.safety_at_once,
        active=row.active,
        paused_until=row.paused_until,
        next_digest_at=row.next_digest_at,
        silent_periods=row.silent_periods,
    )


def of_subscription(subscription: Subscription) -> Values:
    return {
        "subscriber_id": subscription.subscriber_id,
        "topic_ids": json.dumps(subscription.topic_ids),
        "cadence": subscription.cadence.value,
        "weekday": subscription.weekday,
        "monthday": subscription.monthday,
        "at": subscription.at.isoformat(),
        "timezone": subscription.timezone,
        "empty": subscription.empty.value,
        "max_items": subscription.max_items,
        "near_misses": subscription.near_misses,
        "repeat": subscription.repeat,
        "safety_at_once": subscription.safety_at_once,
        "active": subscription.active,
        "paused_until": subscription.paused_until,
        "next_digest_at": subscription.next_digest_at,
        "silent_periods": subscription.silent_periods,
    }


def to_delivery(row: Row) -> Delivery:
    """`data`, `compact` and `html` are empty where the row was read without them."""
    columns = cast(Mapping[str, Any], row._mapping)
    return Delivery(
        id=row.id,
        subscription_id=row.subscription_id,
        subscriber_id=row.subscriber_id,
        period_key=row.period_key,
        message=Message(
            message_id=row.message_id,
            sender=row.sender,
            recipient=row.recipient,
            subject=row.subject,
            data=bytes(columns.get("data", b"")),
            compact=bytes(columns.get("compact", b"")),
            html=columns.get("html", ""),
        ),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        resends=row.resends,
        first_tried_at=row.first_tried_at,
        not_before=row.not_before,
        lease_until=row.lease_until,
        epoch=row.epoch,
        last_error=row.last_error,
        queued_at=row.queued_at,
        settled_at=row.settled_at,
    )
