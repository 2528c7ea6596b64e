"""Planning digests on the real storage: near misses, topics that change under the feet of the matcher, housekeeping."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from running import prepare

from monitor import app as composition
from monitor.app import Opened
from monitor.model import (
    Article,
    Correction,
    CorrectionKind,
    DeliveryState,
    EmptyRule,
    Entry,
    Level,
    Subscriber,
    SubscriberState,
    Subscription,
    Topic,
    WeightedTerm,
)
from storage import Saved

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def opened(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    for name in [name for name in os.environ if name.startswith("MONITOR_")]:
        monkeypatch.delenv(name)
    settings = composition.settings(data_dir=tmp_path / "data")
    prepare(tmp_path / "data")
    async with composition.open_monitor(settings, now=clock, first_sources=[]) as opened:
        yield opened


async def store(opened: Opened, clock: Clock, number: int, title: str, doi: str = "") -> None:
    """One article by hand, matched as the pipeline does."""
    monitor = opened.monitor
    await monitor.sync_topics()
    url = f"https://example.org/{number}"
    article = Article(url=url, canonical_url=url, key=f"example.org/{number}", title=title, summary=title, doi=doi)
    matches = tuple(monitor.matcher.match(article))
    saved = Saved(entry=Entry(url=url, title=title), article=article, matches=matches)
    await monitor.storage.articles.save(None, [saved], clock.now)


async def reader(opened: Opened, topic: Topic, **wish: object) -> Subscription:
    wanted = replace(Subscription(subscriber_id=0, topic_ids=(topic.id,)), **wish)  # type: ignore[arg-type]
    _, subscription = await opened.monitor.readers.add(Subscriber(email="ada@example.org"), wanted)
    return subscription


async def test_a_reader_who_asks_sees_what_nearly_reached_a_threshold(opened: Opened, clock: Clock) -> None:
    weights = (WeightedTerm(term="morphine", weight=3), WeightedTerm(term="rats", weight=1))
    topic = await opened.monitor.storage.topics.add(
        Topic(slug="weighted", name="Weighted", query="", weights=weights, threshold=4), "admin", "", NOW
    )
    await reader(opened, topic, near_misses=True, empty=EmptyRule.ALWAYS)
    for number, title in enumerate(["Morphine in rats", "Morphine in man", "Rats in the attic"]):
        await store(opened, clock, number, title)
    clock.now += timedelta(days=8)

    (who, what), *_ = await opened.monitor.storage.readers.due(clock.now, 10)
    digest, _ = await opened.monitor.publisher.preview(who, what)

    assert [item.article.title for item in digest.items] == ["Morphine in rats"]
    assert [item.article.title for item in digest.near_misses] == ["Morphine in man"]


async def test_a_topic_saved_or_switched_off_by_another_process_counts_from_the_next_article_on(
    opened: Opened, clock: Clock
) -> None:
    topics = opened.monitor.storage.topics
    topic = await topics.get("mtor")
    await store(opened, clock, 1, "mTOR one")
    await topics.save(replace(topic, query="rapamycin"), "admin", "", NOW, topic.revision)
    await store(opened, clock, 2, "mTOR two")
    await store(opened, clock, 3, "Rapamycin three")
    await topics.set_active("mtor", False)
    await store(opened, clock, 4, "Rapamycin four")

    found = await topics.matches(topic.id)

    assert sorted(one.article.title for one in found) == ["Rapamycin three", "mTOR one"]


async def test_a_topic_whose_stored_query_is_broken_fails_alone_and_is_noticed(opened: Opened, clock: Clock) -> None:
    topics = opened.monitor.storage.topics
    topic = await topics.get("mtor")
    await topics.save(replace(topic, query="(mTOR OR"), "admin", "", NOW, topic.revision)

    await store(opened, clock, 1, "CRISPR and mTOR")

    assert len(await topics.matches((await topics.get("gene-editing")).id)) == 1
    notices = await opened.monitor.storage.notices.open()
    assert [(notice.subject, notice.code) for notice in notices] == [("topic:mtor", "broken-query")]


async def test_a_query_that_was_mended_is_matched_and_its_notice_closed(opened: Opened, clock: Clock) -> None:
    topics = opened.monitor.storage.topics
    topic = await topics.get("mtor")
    broken = await topics.save(replace(topic, query="(mTOR OR"), "admin", "", NOW, topic.revision)
    await store(opened, clock, 1, "mTOR one")
    await topics.save(replace(topic, query="mTOR"), "admin", "", NOW, broken.revision)

    await store(opened, clock, 2, "mTOR two")

    assert await opened.monitor.storage.notices.open() == []
    assert [one.article.title for one in await topics.matches(topic.id)] == ["mTOR two"]


async def test_many_topics_are_loaded_with_the_collector_at_rest_and_set_apart(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting: list[bool] = []
    monkeypatch.setattr("monitor.pipeline.monitor.MANY_TOPICS", 2)
    add = opened.monitor.matcher.add
    monkeypatch.setattr(opened.monitor.matcher, "add", lambda topic: (resting.append(not gc.isenabled()), add(topic)))
    try:
        await asyncio.gather(opened.monitor.sync_topics(), opened.monitor.sync_topics())

        assert resting
        assert all(resting)
        assert len(resting) == len(opened.monitor.matcher)
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


async def test_silent_periods_end_with_a_sign_of_life(opened: Opened, clock: Clock) -> None:
    topic = await opened.monitor.storage.topics.get("mtor")
    await reader(opened, topic)
    subjects = []

    for _ in range(6):
        clock.now += timedelta(days=7)
        await opened.monitor.plan_digests()
        subjects.append(len(await opened.monitor.storage.outbox.list()))

    assert subjects == [0, 0, 0, 1, 1, 1]


async def test_housekeeping_cancels_what_a_reader_no_longer_wants(opened: Opened, clock: Clock) -> None:
    topic = await opened.monitor.storage.topics.get("mtor")
    await store(opened, clock, 1, "mTOR one")
    await reader(opened, topic)
    clock.now += timedelta(days=8)
    await opened.monitor.plan_digests()
    gone = await opened.monitor.storage.readers.get("ada@example.org")
    await opened.monitor.storage.readers.update(replace(gone, state=SubscriberState.UNSUBSCRIBED))

    await opened.monitor.housekeep()

    assert [one.state for one in await opened.monitor.storage.outbox.list()] == [DeliveryState.CANCELLED]


async def test_a_notice_ends_when_an_admin_has_decided_or_dismissed_it(opened: Opened, clock: Clock) -> None:
    topic = await opened.monitor.storage.topics.get("mtor")
    await store(opened, clock, 1, "mTOR one")
    await reader(opened, topic)
    clock.now += timedelta(days=8)
    await opened.monitor.plan_digests()
    storage = opened.monitor.storage
    (delivery,) = await storage.outbox.list()
    for subject in (f"delivery:{delivery.id}", "relay"):
        await storage.notices.raise_once(subject, "given-up", Level.ERROR, "no", clock.now)

    await storage.outbox.cancel(delivery.id, clock.now)
    (left,) = await storage.notices.open()
    dismissed = await storage.notices.dismiss(left.id, clock.now)

    assert (left.subject, dismissed) == ("relay", True)
    assert await storage.notices.open() == []
    assert not await storage.notices.dismiss(left.id, clock.now)


async def test_a_paper_that_is_known_to_be_retracted_says_so_when_it_is_first_mailed(
    opened: Opened, clock: Clock
) -> None:
    topic = await opened.monitor.storage.topics.get("mtor")
    await reader(opened, topic)
    notice = Correction(
        kind=CorrectionKind.RETRACTION, doi="10.5555/x", reason="Image duplication", source="retraction-watch"
    )
    await opened.monitor.storage.corrections.add([notice], clock.now)
    await store(opened, clock, 1, "mTOR one", doi="10.5555/X")
    await store(opened, clock, 2, "mTOR two", doi="10.5555/y")
    clock.now += timedelta(days=8)

    (who, what), *_ = await opened.monitor.storage.readers.due(clock.now, 10)
    digest, message = await opened.monitor.publisher.preview(who, what)

    badges = {item.article.title: [badge.text for badge in item.badges] for item in digest.items}
    assert badges["mTOR one"][0] == "Retracted"
    assert "Retracted" not in badges["mTOR two"]
    assert "Image duplication" in message.html


async def test_without_web_pages_what_the_mail_cannot_list_is_not_counted_as_sent(opened: Opened, clock: Clock) -> None:
    topic = await opened.monitor.storage.topics.get("mtor")
    subscription = await reader(opened, topic, max_items=200)
    for number in range(200):
        await store(opened, clock, number, f"mTOR {number} " + f"word{number} " * 60)
    clock.now += timedelta(days=8)
    await opened.monitor.plan_digests()
    (first,) = await opened.monitor.storage.outbox.list()
    sent = await opened.monitor.storage.outbox.digest(first.id)

    clock.now += timedelta(days=7)
    await opened.monitor.plan_digests()
    second = (await opened.monitor.storage.outbox.digests(subscription.subscriber_id))[0]

    assert 10 < len(sent.article_ids) < 200
    assert len(second.article_ids) > 10
    assert not set(sent.article_ids) & set(second.article_ids)
    for article in await opened.monitor.storage.articles.get_many(sent.article_ids):
        assert article.url in sent.delivery.message.html
