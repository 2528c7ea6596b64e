"""Readers: who they are, what is due, what their digest may hold. On SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from storage_samples import (
    DAY,
    LEASE,
    MINUTE,
    NOW,
    a_delivery,
    a_match,
    a_poll,
    a_reader,
    a_source,
    a_topic,
    found_for,
    saved,
    three_articles,
)

from monitor.errors import NotFound, StorageError
from monitor.model import (
    Cadence,
    Coverage,
    EmptyRule,
    Label,
    Period,
    Subscriber,
    SubscriberState,
    Subscription,
    Topic,
    Unchecked,
    Verdict,
)
from storage import Storage

WEEK = Period(key="2026-W48", start=NOW - 7 * DAY, end=NOW)
HORIZON = 30 * DAY


async def _topic(storage: Storage, slug: str = "mtor") -> Topic:
    return await storage.topics.add(a_topic(slug), "a", "", NOW)


async def test_a_subscriber_comes_back_as_stored_and_the_address_in_any_case_is_one(storage: Storage) -> None:
    ada = Subscriber(email="Ada@Example.org", name="Ada", state=SubscriberState.PENDING, state_reason="signed up")

    stored = await storage.readers.add_subscriber(ada, NOW)

    assert replace(stored, id=0) == replace(ada, created_at=NOW)
    assert await storage.readers.get(" ada@example.ORG ") == stored
    assert await storage.readers.get_by_id(stored.id) == stored
    with pytest.raises(StorageError, match="already"):
        await storage.readers.add_subscriber(replace(ada, email="ADA@example.org"), NOW)
    with pytest.raises(NotFound, match=r"did you mean Ada@Example\.org"):
        await storage.readers.get("Ada@Example.com")


async def test_a_subscriber_is_changed(storage: Storage) -> None:
    ada = await storage.readers.add_subscriber(Subscriber(email="ada@example.org"), NOW)
    bob = await storage.readers.add_subscriber(Subscriber(email="bob@example.org"), NOW)
    moved = replace(ada, email="ada@new.org", state=SubscriberState.SUSPENDED, state_reason="bounced", token_epoch=2)

    assert await storage.readers.update(moved) == moved
    assert await storage.readers.list() == [moved, bob]
    assert await storage.readers.list(SubscriberState.ACTIVE) == [bob]
    with pytest.raises(StorageError, match="already"):
        await storage.readers.update(replace(moved, email="BOB@example.org"))
    with pytest.raises(NotFound):
        await storage.readers.update(replace(moved, id=999))


@pytest.mark.parametrize("email", ["", "  ", "a" * 400 + "@example.org"])
async def test_what_cannot_be_an_address_is_refused(storage: Storage, email: str) -> None:
    with pytest.raises(StorageError, match="not an address"):
        await storage.readers.add_subscriber(Subscriber(email=email), NOW)


async def test_suppression_keeps_only_a_hash(storage: Storage) -> None:
    await storage.readers.suppress("Ada@example.org", "bounced", NOW)
    await storage.readers.suppress("ada@example.org", "complained", NOW)

    assert await storage.readers.suppressed("ADA@EXAMPLE.ORG") == "complained"
    assert await storage.readers.suppressed("bob@example.org") is None
    assert await storage.readers.unsuppress("ada@example.org")
    assert not await storage.readers.unsuppress("ada@example.org")
    assert await storage.readers.suppressed("ada@example.org") is None


async def test_an_erased_reader_leaves_nothing_but_a_hash(storage: Storage) -> None:
    topic = await _topic(storage)
    ids = await three_articles(storage, topic)
    subscriber, subscription = await a_reader(storage, (topic.id,))
    await storage.outbox.enqueue(a_delivery(subscription, subscriber), ids, expected_next_at=NOW, next_at=NOW + DAY)
    for by in (subscriber.email, f"reader:{subscriber.id}"):
        label = Label(topic_id=topic.id, article_id=ids[0], verdict=Verdict.RELEVANT, by=by, labelled_at=NOW)
        await storage.topics.label(label)

    await storage.readers.erase(subscriber.id, NOW)

    with pytest.raises(NotFound):
        await storage.readers.get(subscriber.email)
    assert await storage.readers.subscriptions(subscriber.id) == []
    assert await storage.outbox.list() == []
    assert await storage.topics.labels(topic.id) == []
    assert await storage.readers.suppressed(subscriber.email) == "erased"
    assert await storage.articles.prune(NOW + DAY) == 3


async def test_a_subscription_comes_back_as_it_was_stored(storage: Storage) -> None:
    ada = await storage.readers.add_subscriber(Subscriber(email="ada@example.org"), NOW)
    subscription = Subscription(
        subscriber_id=ada.id,
        topic_ids=(3, 1),
        cadence=Cadence.MONTHLY,
        weekday=2,
        monthday=31,
        at=time(6, 30),
        timezone="Asia/Kathmandu",
        empty=EmptyRule.ALWAYS,
        max_items=9,
        near_misses=True,
        repeat=True,
        active=False,
        paused_until=date(2026, 12, 24),
        next_digest_at=NOW,
        silent_periods=3,
    )

    stored = await storage.readers.add_subscription(subscription)
    changed = await storage.readers.update_subscription(replace(stored, topic_ids=(1,), next_digest_at=None))

    assert replace(stored, id=0) == subscription
    assert (changed.topic_ids, changed.next_digest_at) == ((1,), None)
    assert await storage.readers.subscription(stored.id) == changed
    assert await storage.readers.subscriptions(ada.id) == [changed]
    with pytest.raises(NotFound):
        await storage.readers.update_subscription(replace(stored, id=999))


# --- due ------------------------------------------------------------------------------------------------------


async def test_due_are_active_ones_of_active_readers_longest_due_first(storage: Storage) -> None:
    for email, at in (("late@x.org", NOW), ("later@x.org", NOW + MINUTE), ("latest@x.org", NOW - DAY)):
        await a_reader(storage, (1,), email, next_digest_at=at)
    await a_reader(storage, (1,), "off@x.org", active=False)
    await a_reader(storage, (1,), "never@x.org", next_digest_at=None)
    gone, _ = await a_reader(storage, (1,), "gone@x.org")
    await storage.readers.update(replace(gone, state=SubscriberState.SUSPENDED))

    due = await storage.readers.due(NOW, 10)

    assert [(subscriber.email, one.subscriber_id == subscriber.id) for subscriber, one in due] == [
        ("latest@x.org", True),
        ("late@x.org", True),
    ]
    assert len(await storage.readers.due(NOW, 1)) == 1


@pytest.mark.parametrize(
    ("zone", "until", "is_due"),
    [
        ("UTC", date(2026, 11, 23), True),
        ("UTC", date(2026, 11, 24), False),
        ("Pacific/Auckland", date(2026, 11, 24), True),  # it is tomorrow there
        ("America/Los_Angeles", date(2026, 11, 23), False),  # it is still yesterday there
    ],
)
async def test_a_pause_ends_with_the_readers_day(storage: Storage, zone: str, until: date, is_due: bool) -> None:
    now = datetime(2026, 11, 23, 20 if "Auck" in zone else 7, 0, tzinfo=UTC)
    await a_reader(storage, (1,), next_digest_at=NOW, paused_until=until, timezone=zone)

    assert bool(await storage.readers.due(now, 10)) is is_due


async def test_paused_subscriptions_take_no_place_from_others(storage: Storage) -> None:
    for number in range(5):
        await a_reader(storage, (1,), f"p{number}@x.org", next_digest_at=NOW - DAY, paused_until=date(2026, 11, 24))
    await a_reader(storage, (1,), "ada@x.org")

    assert [subscriber.email for subscriber, _ in await storage.readers.due(NOW, 3)] == ["ada@x.org"]


# --- what a digest may hold -----------------------------------------------------------------------------------


async def test_found_holds_matched_articles_before_the_end_with_all_their_matches(storage: Storage) -> None:
    one, two, other = [await _topic(storage, slug) for slug in ("one", "two", "other")]
    both = (a_match(one), a_match(two), a_match(other))
    await storage.articles.save(
        None, [saved(1, matches=both), saved(2, matches=(a_match(other),)), saved(3)], NOW - DAY
    )
    await storage.articles.save(None, [saved(4, matches=(a_match(one),))], NOW)  # at the end: the next period's
    _, subscription = await a_reader(storage, (two.id, one.id))

    found = await found_for(storage, subscription, WEEK, NOW, HORIZON)

    assert [one.article.url[-1] for one in found] == ["1"]
    assert [match.topic_id for match in found[0].matches] == [one.id, two.id]


async def test_a_first_digest_looks_back_one_period_and_later_ones_forget_nothing(storage: Storage) -> None:
    topic = await _topic(storage)
    for number, days in enumerate((1, 6, 8), 1):
        await storage.articles.save(None, [saved(number, matches=(a_match(topic),))], NOW - days * DAY)
    subscriber, subscription = await a_reader(storage, (topic.id,))
    first = await found_for(storage, subscription, WEEK, NOW, HORIZON)
    sent = [one.article.id for one in first if one.article.url[-1] == "1"]  # the other one is left out, say
    await storage.outbox.enqueue(
        a_delivery(subscription, subscriber), sent, expected_next_at=NOW, next_at=NOW + 7 * DAY
    )

    next_week = Period(key="2026-W49", start=NOW, end=NOW + 7 * DAY)
    second = await found_for(storage, subscription, next_week, NOW + 7 * DAY, HORIZON)

    assert [one.article.url[-1] for one in first] == ["1", "2"]
    assert [one.article.url[-1] for one in second] == ["2"]
    assert await found_for(storage, subscription, next_week, NOW + 7 * DAY, 10 * DAY) == []  # beyond the horizon


async def test_an_article_matched_after_the_cut_off_waits_for_the_next_digest(storage: Storage) -> None:
    topic = await _topic(storage)
    await storage.articles.save(None, [saved(1, page_due_at=NOW - DAY)], NOW - DAY)
    (task,) = await storage.articles.claim_due_pages(NOW, 1, LEASE)
    await storage.articles.page_saved(task, replace(task.article, body="mTOR"), [a_match(topic)], NOW + MINUTE)
    _, subscription = await a_reader(storage, (topic.id,))

    next_week = Period(key="2026-W49", start=NOW, end=NOW + 7 * DAY)

    assert await found_for(storage, subscription, WEEK, NOW, HORIZON) == []
    assert len(await found_for(storage, subscription, next_week, NOW + 7 * DAY, HORIZON)) == 1


async def test_the_weekly_digest_leaves_out_what_the_daily_brought_unless_repeats_are_wanted(storage: Storage) -> None:
    topic = await _topic(storage)
    ids = await three_articles(storage, topic)
    subscriber, daily = await a_reader(storage, (topic.id,), cadence=Cadence.DAILY)
    weekly = await storage.readers.add_subscription(replace(daily, id=0, cadence=Cadence.WEEKLY))
    delivery = a_delivery(daily, subscriber, "2026-11-23")
    assert await storage.outbox.enqueue(delivery, ids[:2], expected_next_at=NOW, next_at=NOW + DAY)

    plain = await found_for(storage, weekly, WEEK, NOW, HORIZON)
    repeating = await storage.readers.update_subscription(replace(weekly, repeat=True))
    repeated = await found_for(storage, repeating, WEEK, NOW, HORIZON)
    everything = [one.article.id for one in repeated]
    again = a_delivery(repeating, subscriber)
    assert await storage.outbox.enqueue(again, everything, expected_next_at=NOW, next_at=NOW + 7 * DAY)

    assert [one.article.id for one in plain] == ids[2:]
    assert everything == ids
    assert await found_for(storage, repeating, WEEK, NOW, HORIZON) == []


async def test_topics_last_news_and_weeks(storage: Storage) -> None:
    busy, quiet = await _topic(storage, "busy"), await _topic(storage, "quiet")
    for number, days in enumerate((1, 2, 9)):
        await storage.articles.save(None, [saved(number, matches=(a_match(busy),))], NOW - days * DAY)

    assert await storage.readers.last_news([busy.id, quiet.id]) == {busy.id: NOW - DAY}
    assert await storage.readers.weekly_history([busy.id, quiet.id], NOW, weeks=3) == {
        busy.id: (0, 1, 2),
        quiet.id: (0, 0, 0),
    }


async def test_coverage_tells_what_was_read_and_what_was_not(storage: Storage) -> None:
    topic = await _topic(storage)
    for slug in ("good", "broken", "stale", "new"):
        await storage.sources.add(a_source(slug))
    await storage.sources.add(a_source("off", active=False))

    async def visit(slug: str, at: datetime, outcome: str = "ok", detail: str = "") -> None:
        source = await storage.sources.claim(slug, at, LEASE)
        assert source is not None
        poll = a_poll(source, at, outcome, detail=detail)
        await storage.sources.finish(source, poll, next_poll_at=at + timedelta(hours=1))

    await visit("good", NOW - timedelta(hours=1), "unchanged")
    await visit("good", NOW + DAY)  # after the period
    await visit("broken", NOW - 9 * DAY)
    await visit("broken", NOW - DAY, "FetchStatus", "503")
    await visit("stale", NOW - 3 * DAY)
    await visit("stale", NOW - 2 * DAY, "FetchTimeout", "no answer")
    good = await storage.sources.get("good")
    batch = [saved(1, matches=(a_match(topic),)), saved(2)]
    await storage.articles.save(replace(good, epoch=0), batch, NOW - DAY)
    await storage.articles.save(replace(await storage.sources.get("new"), epoch=0), [saved(2)], NOW - DAY)

    covered = await storage.readers.coverage(NOW - 7 * DAY, NOW)

    assert covered == Coverage(
        sources_checked=1,
        unchecked=(
            Unchecked(name="Broken", since=NOW - 9 * DAY, reason="503"),
            Unchecked(name="New", since=None, reason="not read yet"),
            Unchecked(name="Stale", since=NOW - 3 * DAY, reason="no answer"),
        ),
        articles_seen=2,
        articles_matched=1,
        merged=1,
    )


async def test_who_is_enrolled_twice_for_the_same_is_mailed_once(storage: Storage) -> None:
    topic = await _topic(storage)
    reader = Subscriber(email="ada@example.org")
    weekly = Subscription(subscriber_id=0, topic_ids=(topic.id,), cadence=Cadence.WEEKLY, next_digest_at=NOW)
    _, first = await storage.readers.enrol(reader, weekly, NOW)

    _, again = await storage.readers.enrol(reader, replace(weekly, next_digest_at=NOW + DAY), NOW)
    _, daily = await storage.readers.enrol(reader, replace(weekly, cadence=Cadence.DAILY), NOW)

    assert again == first
    assert [one.id for one in await storage.readers.subscriptions(first.subscriber_id)] == [first.id, daily.id]
