"""Stories as they are kept, the ledger by story, and notices about what was sent. On SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from storage_samples import DAY, LEASE, NOW, a_delivery, a_match, a_reader, a_source, a_topic, found_for, saved

from monitor.digest import compose
from monitor.errors import NotFound, StorageError
from monitor.model import (
    Correction,
    CorrectionKind,
    Coverage,
    Digest,
    Period,
    Source,
    Subscriber,
    Subscription,
    Topic,
)
from storage import Saved, Storage

WEEK = Period(key="2026-W48", start=NOW - 7 * DAY, end=NOW)
NEXT = Period(key="2026-W49", start=NOW, end=NOW + 7 * DAY)
HORIZON = 90 * DAY
RELEASE = " ".join(
    f"Word{n} opens sentence {n} of a long release about mTOR in cell {n * n} of ward {n % 7}." for n in range(30)
)


async def put(
    storage: Storage, topic: Topic, *items: Saved, at: object = NOW - DAY, source: Source | None = None
) -> None:
    matched = [replace(one, matches=(a_match(topic, score=3.0),)) for one in items]
    await storage.articles.save(source, matched, at)  # type: ignore[arg-type]
    await storage.stories.settle(at)  # type: ignore[arg-type]


def paper(number: int = 1, doi: str = "10.5555/a.1", **changes: object) -> Saved:
    return saved(number, doi=doi, key=f"doi:{doi}", journal="Journal of Tests", **changes)


def news(number: int = 2, doi: str = "10.5555/a.1", **changes: object) -> Saved:
    return saved(number, doi=doi, key=f"news.example.org/{number}", **changes)


async def story_of(storage: Storage, which: str) -> int:
    article = await storage.articles.find(which)
    assert article is not None
    return await storage.stories.of(article.id)


async def issue(
    storage: Storage, reader: Subscriber, subscription: Subscription, topic: Topic, period: Period
) -> Digest:
    """Compose and enqueue, as the pipeline does."""
    digest = compose(
        reader,
        subscription,
        [topic],
        await found_for(storage, subscription, period, period.end, HORIZON),
        period=period,
        coverage=Coverage(sources_checked=1, unchecked=(), articles_seen=1, articles_matched=1),
        last_news={},
        history={},
        next_at=None,
        now=period.end,
        safety=await storage.corrections.untold(reader.id),
    )
    enqueued = await storage.outbox.enqueue(
        a_delivery(subscription, reader, period.key),
        [item.article.id for item in digest.items],
        expected_next_at=(await storage.readers.subscription(subscription.id)).next_digest_at,
        next_at=period.end,
        updates=[item.article.id for item in digest.items if item.update],
        papers=[item.article.id for item in digest.items if item.shows_paper],
        safety=[item.correction.id for item in digest.safety],
    )
    assert enqueued is not None
    return digest


@pytest.fixture
async def topic(storage: Storage) -> Topic:
    return await storage.topics.add(a_topic(), "ada", "first", NOW - 60 * DAY)


# --- telling stories ------------------------------------------------------------------------------------------


async def test_a_paper_and_its_news_are_one_story_whichever_came_first(storage: Storage, topic: Topic) -> None:
    await put(storage, topic, news(1), news(5, doi="10.5555/b"))
    await put(storage, topic, paper(2), paper(6, doi="10.5555/b"))

    first = await storage.articles.find("10.5555/a.1")

    assert first is not None
    members = await storage.stories.members(await storage.stories.of(first.id))
    assert [one.step for one in members] == ["first", "name"]
    assert len(await storage.stories.recent()) == 2


async def test_a_syndicated_text_joins_across_transactions_and_an_unlike_one_does_not(
    storage: Storage, topic: Topic
) -> None:
    await put(storage, topic, saved(1, body=RELEASE, title="A release of some length is out today"))
    await put(
        storage, topic, saved(2, body=RELEASE[: len(RELEASE) // 2], title="Another headline for the same release")
    )
    await put(storage, topic, saved(3, body=RELEASE.replace("of", "from").replace("in", "at")[::-1], title="Reversed"))

    grown = await storage.stories.recent()

    assert [count for _, count, _ in grown] == [2]
    (_, second) = await storage.stories.members(grown[0][0])
    assert second.step == "text"
    assert second.share >= 0.9


async def test_text_is_compared_with_that_of_two_weeks_only(storage: Storage, topic: Topic) -> None:
    await put(storage, topic, saved(1, body=RELEASE), at=NOW - 20 * DAY)
    await put(storage, topic, saved(2, body=RELEASE), at=NOW)

    assert await storage.stories.recent() == []
    assert await storage.stories.prune(NOW) > 0
    assert await storage.stories.prune(NOW) == 0


async def test_an_article_without_a_story_waits_and_is_in_no_digest(storage: Storage, topic: Topic) -> None:
    _, subscription = await a_reader(storage, (topic.id,))
    await storage.articles.save(None, [replace(news(), matches=(a_match(topic),))], NOW - DAY)

    before = await storage.readers.found(subscription, WEEK, NOW, HORIZON)
    waiting = await storage.stories.waiting()
    after = await found_for(storage, subscription, WEEK, NOW, HORIZON)

    assert (before, waiting, len(after)) == ([], 1, 1)
    assert after[0].article.story_id == after[0].article.id


async def test_a_page_read_later_brings_an_article_to_its_story(storage: Storage, topic: Topic) -> None:
    await put(storage, topic, saved(1, body=RELEASE))
    await put(storage, topic, saved(2, page_due_at=NOW))
    assert await storage.stories.recent() == []
    (task,) = await storage.articles.claim_due_pages(NOW, 10, LEASE)

    await storage.articles.page_saved(task, replace(task.article, body=RELEASE), [], NOW)
    await storage.stories.settle(NOW)

    assert [count for _, count, _ in await storage.stories.recent()] == [2]


async def test_many_processes_found_one_story(storage: Storage, topic: Topic) -> None:
    items = [replace(news(number), matches=(a_match(topic),)) for number in range(1, 31)]
    await asyncio.gather(*(storage.articles.save(None, [one], NOW) for one in items))

    await asyncio.gather(*(storage.stories.settle(NOW) for _ in range(4)))

    assert [count for _, count, _ in await storage.stories.recent()] == [30]


async def test_what_an_admin_splits_stays_split(storage: Storage, topic: Topic) -> None:
    await put(storage, topic, saved(1, body=RELEASE), saved(2, body=RELEASE), saved(3, body=RELEASE, page_due_at=NOW))
    ((story, _, _),) = await storage.stories.recent()
    first, second, third = (one.article.id for one in await storage.stories.members(story))

    apart = await storage.stories.split(third, NOW)
    (task,) = await storage.articles.claim_due_pages(NOW, 10, LEASE)
    await storage.articles.page_saved(task, replace(task.article, body=RELEASE), [], NOW)
    await storage.stories.settle(NOW)

    assert apart == third
    assert [await storage.stories.of(one) for one in (first, second, third)] == [story, story, third]


async def test_the_first_article_of_a_story_can_be_split_off_too(storage: Storage, topic: Topic) -> None:
    await put(storage, topic, saved(1, body=RELEASE), saved(2, body=RELEASE), saved(3, body=RELEASE))
    ((story, _, _),) = await storage.stories.recent()
    first, second, third = (one.article.id for one in await storage.stories.members(story))

    await storage.stories.split(first, NOW)

    assert [await storage.stories.of(one) for one in (first, second, third)] == [first, second, second]
    with pytest.raises(StorageError, match="alone"):
        await storage.stories.split(first, NOW)


async def test_a_merge_by_hand_undoes_a_split(storage: Storage, topic: Topic) -> None:
    await put(storage, topic, saved(1, body=RELEASE), saved(2, body=RELEASE))
    ((story, _, _),) = await storage.stories.recent()
    apart = await storage.stories.split((await storage.stories.members(story))[1].article.id, NOW)

    assert await storage.stories.merge(apart, story, NOW) == story
    assert len(await storage.stories.members(story)) == 2
    with pytest.raises(NotFound):
        await storage.stories.merge(story, apart, NOW)


# --- one card, once -------------------------------------------------------------------------------------------


async def test_a_story_is_one_card_and_counts_as_merged(storage: Storage, topic: Topic) -> None:
    reader, subscription = await a_reader(storage, (topic.id,))
    one, other = [await storage.sources.add(a_source(slug)) for slug in ("stat", "reuters")]
    await put(storage, topic, paper(1))
    await put(storage, topic, news(2), source=one)
    await put(storage, topic, news(3), source=other)

    digest = await issue(storage, reader, subscription, topic, WEEK)

    (item,) = digest.items
    assert item.article.key == "doi:10.5555/a.1"  # of equals the paper
    assert item.also_covered == ("Stat", "Reuters")
    assert item.shows_paper
    assert (await storage.readers.coverage(NOW - 7 * DAY, NOW)).merged == 2


async def test_an_article_of_a_story_that_was_sent_is_not_new(storage: Storage, topic: Topic) -> None:
    reader, subscription = await a_reader(storage, (topic.id,))
    await put(storage, topic, paper(1))
    await issue(storage, reader, subscription, topic, WEEK)

    await put(storage, topic, news(2), at=NOW + DAY)

    assert (await issue(storage, reader, subscription, topic, NEXT)).items == ()


async def test_news_before_its_paper_comes_again_once_as_an_update(storage: Storage, topic: Topic) -> None:
    reader, subscription = await a_reader(storage, (topic.id,))
    await put(storage, topic, news(2))
    first = await issue(storage, reader, subscription, topic, WEEK)
    await put(storage, topic, paper(1), at=NOW + DAY)

    second = await issue(storage, reader, subscription, topic, NEXT)
    third = await issue(
        storage, reader, subscription, topic, Period(key="2026-W50", start=NEXT.end, end=NOW + 14 * DAY)
    )

    assert [item.update for item in first.items] == [""]
    assert [item.update for item in second.items] == ["Update: now published in Journal of Tests"]
    assert third.items == ()


async def test_a_failed_digest_gives_news_and_update_back(storage: Storage, topic: Topic) -> None:
    reader, subscription = await a_reader(storage, (topic.id,))
    await put(storage, topic, paper(1))
    await issue(storage, reader, subscription, topic, WEEK)

    (delivery,) = await storage.outbox.list()
    await storage.outbox.cancel(delivery.id, NOW)

    assert len(await found_for(storage, subscription, NEXT, NEXT.end, HORIZON)) == 1


async def test_a_merge_carries_what_a_reader_was_sent(storage: Storage, topic: Topic) -> None:
    reader, subscription = await a_reader(storage, (topic.id,))
    await put(storage, topic, news(2, doi=""), news(3, doi=""))
    first = await issue(storage, reader, subscription, topic, WEEK)
    assert len(first.items) == 2

    kept = await storage.stories.merge(*(item.article.story_id for item in first.items), NOW)
    await put(storage, topic, news(4, doi="", canonical_url=first.items[0].article.canonical_url), at=NOW + DAY)

    assert len(await storage.stories.members(kept)) == 3
    assert await found_for(storage, subscription, NEXT, NEXT.end, HORIZON) == []


async def test_who_was_sent_an_article_that_is_split_off_is_not_sent_it_again(storage: Storage, topic: Topic) -> None:
    reader, subscription = await a_reader(storage, (topic.id,))
    await put(storage, topic, paper(1), news(2))
    digest = await issue(storage, reader, subscription, topic, WEEK)
    story = digest.items[0].article.story_id
    other = next(
        one.article.id for one in await storage.stories.members(story) if one.article.id != digest.items[0].article.id
    )

    await storage.stories.split(other, NOW)

    found = await found_for(storage, subscription, NEXT, NEXT.end, HORIZON)
    assert [one.article.id for one in found] == [other]  # was only named as "also covered by": now it is its own


# --- notices --------------------------------------------------------------------------------------------------

RETRACTION = Correction(
    kind=CorrectionKind.RETRACTION, doi="10.5555/a.1", notice_doi="10.5555/a.1.ret", source="crossref"
)


async def test_a_notice_is_kept_once_whoever_tells_it(storage: Storage, topic: Topic) -> None:
    await put(storage, topic, paper(1, pmid="77"))
    by_pmid = Correction(kind=CorrectionKind.RETRACTION, pmid="77", reason="Data.", source="pubmed")

    assert await storage.corrections.add([RETRACTION, RETRACTION], NOW) == 1
    assert await storage.corrections.add([by_pmid], NOW) == 0

    (known,) = await storage.corrections.list()
    assert (known.notice_doi, known.reason) == ("10.5555/a.1.ret", "Data.")


async def test_a_retraction_reaches_once_who_was_sent_the_paper_or_its_news(storage: Storage, topic: Topic) -> None:
    ada, hers = await a_reader(storage, (topic.id,))
    ben, _ = await a_reader(storage, (topic.id,), email="ben@example.org")
    await put(storage, topic, news(2))  # only the news was sent; the paper itself came later, to nobody
    await issue(storage, ada, hers, topic, WEEK)
    await storage.corrections.add([RETRACTION], NOW)

    untold = await storage.corrections.untold(ada.id)
    digest = await issue(storage, ada, hers, topic, NEXT)

    assert [one.correction.kind for one in untold] == [CorrectionKind.RETRACTION]
    assert untold[0].article.key == "news.example.org/2"
    assert untold[0].sent_at == NOW
    assert len(digest.safety) == 1
    assert digest.items == ()
    assert await storage.corrections.untold(ada.id) == []
    assert await storage.corrections.untold(ben.id) == []


async def test_an_expression_of_concern_and_then_a_retraction_are_two_notices(storage: Storage, topic: Topic) -> None:
    ada, hers = await a_reader(storage, (topic.id,))
    await put(storage, topic, paper(1))
    await issue(storage, ada, hers, topic, WEEK)
    await storage.corrections.add([replace(RETRACTION, kind=CorrectionKind.EXPRESSION_OF_CONCERN)], NOW)
    first = await issue(storage, ada, hers, topic, NEXT)

    await storage.corrections.add([RETRACTION], NOW + DAY)

    assert [one.correction.kind for one in first.safety] == [CorrectionKind.EXPRESSION_OF_CONCERN]
    assert [one.correction.kind for one in await storage.corrections.untold(ada.id)] == [CorrectionKind.RETRACTION]


async def test_a_notice_in_a_digest_that_never_went_out_is_told_again(storage: Storage, topic: Topic) -> None:
    ada, hers = await a_reader(storage, (topic.id,))
    await put(storage, topic, paper(1))
    await issue(storage, ada, hers, topic, WEEK)
    await storage.corrections.add([RETRACTION], NOW)
    await issue(storage, ada, hers, topic, NEXT)

    newest = (await storage.outbox.list())[0]
    await storage.outbox.cancel(newest.id, NOW)

    assert len(await storage.corrections.untold(ada.id)) == 1


async def test_a_notice_in_a_feed_is_taken_up_as_it_is_stored(storage: Storage, topic: Topic) -> None:
    title = "Nocturnal gabapentin prevents hyperalgesia after surgery"
    await put(storage, topic, paper(1, title=title))

    await put(storage, topic, paper(2, doi="10.5555/a.1.ret", title=f"Retraction: {title}", summary="No data."))

    (known,) = await storage.corrections.list()
    assert (known.doi, known.kind, known.notice_doi) == ("10.5555/a.1", CorrectionKind.RETRACTION, "10.5555/a.1.ret")


async def test_only_who_wishes_it_is_warned_at_once(storage: Storage, topic: Topic) -> None:
    ada, hers = await a_reader(storage, (topic.id,), safety_at_once=True)
    ben, his = await a_reader(storage, (topic.id,), email="ben@example.org")
    await put(storage, topic, paper(1))
    for reader, subscription in ((ada, hers), (ben, his)):
        await issue(storage, reader, subscription, topic, WEEK)
    assert await storage.corrections.due_at_once() == []

    await storage.corrections.add([RETRACTION], NOW)

    assert [(who.id, what.id) for who, what in await storage.corrections.due_at_once()] == [(ada.id, hers.id)]


async def test_each_mailed_paper_is_asked_about_in_turn(storage: Storage, topic: Topic) -> None:
    ada, hers = await a_reader(storage, (topic.id,))
    await put(storage, topic, paper(1), paper(2, doi="10.5555/b"), saved(3))
    await issue(storage, ada, hers, topic, WEEK)
    await put(storage, topic, paper(4, doi="10.5555/unsent"), at=NOW + DAY)

    first = await storage.corrections.to_watch("crossref", NOW, 7 * DAY, 10)
    await storage.corrections.watched("crossref", first[:1], NOW)

    assert sorted(first) == ["10.5555/a.1", "10.5555/b"]
    assert await storage.corrections.to_watch("crossref", NOW + DAY, 7 * DAY, 10) == first[1:]
    assert await storage.corrections.to_watch("crossref", NOW + 7 * DAY, 7 * DAY, 10) == [first[1], first[0]]
