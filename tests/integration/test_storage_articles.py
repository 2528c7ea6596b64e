"""Articles and their pages: stored once, replaced by their page, found by words. On SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from storage_samples import (
    DAY,
    LEASE,
    MINUTE,
    NOW,
    a_delivery,
    a_match,
    a_reader,
    a_source,
    a_topic,
    an_entry,
    saved,
    three_articles,
    word,
)

from monitor.errors import NotFound, StorageError
from monitor.match.reading import Reading
from monitor.model import Field, IndexQuery, Label, Match, Span, TextFrom, Verdict
from monitor.text import index_text
from storage import Counts, PageTask, Saved, Storage

KEY = "news.example.org/1"


async def test_an_article_comes_back_as_it_was_stored(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    one = saved(
        1,
        body="First.\n\nSecond with µ and 中文.",
        byline="by A",
        category="Neuro",
        doi="10.1172/JCI70236",
        pmid="1",
        journal="J Clin Invest",
        provider="JCI",
        publisher="ASCI",
        citation="(2014)",
        copyright="©",
        language="en",
        authors=("Ada Lovelace", "Žofie"),
    )

    await storage.articles.save(source, [one], NOW)
    stored = (await storage.articles.recent())[0]

    assert stored == replace(one.article, id=stored.id, source_id=source.id, source_slug="news", stored_at=NOW)
    assert await storage.articles.get(stored.id) == stored


async def test_an_article_that_several_entries_name_is_stored_once(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    other = await storage.sources.add(a_source("other"))
    twin = replace(saved(1), entry=an_entry(9))

    first = await storage.articles.save(source, [saved(1), twin, saved(2)], NOW)
    again = await storage.articles.save(other, [saved(2), saved(3)], NOW)

    assert (first, again) == (Counts(new=2, known=0), Counts(new=1, known=1))
    assert await storage.articles.count() == 3
    assert await storage.sources.unseen(source.id, [an_entry(9)]) == []
    assert await storage.sources.unseen(other.id, [an_entry(2)]) == []


async def test_saving_twice_changes_nothing(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    topic = await storage.topics.add(a_topic(), "a", "", NOW)
    batch = [saved(number, matches=(a_match(topic),), page_due_at=NOW) for number in range(50)]

    first = await storage.articles.save(source, batch, NOW)
    again = await storage.articles.save(source, batch, NOW + DAY)

    assert (first, again) == (Counts(new=50), Counts(known=50))
    assert len(await storage.topics.matches(topic.id)) == 50


async def test_two_processes_that_save_the_same_articles_store_each_once(storage: Storage, storage_url: str) -> None:
    one = await storage.sources.add(a_source("one"))
    two = await storage.sources.add(a_source("two"))
    batches = [[saved(number) for number in range(start, start + 40)] for start in (0, 20, 10, 30)]

    async with Storage.open(storage_url) as other:
        saves = [
            storage.articles.save(one, batches[0], NOW),
            other.articles.save(two, batches[1][::-1], NOW),
            storage.articles.save(one, batches[2], NOW),
            other.articles.save(two, batches[3][::-1], NOW),
        ]
        counts = await asyncio.gather(*saves)

    assert await storage.articles.count() == 70
    assert sum(count.new for count in counts) == 70
    assert await storage.articles.hits(word("story")) == 70


async def test_blank_fields_are_filled_and_nothing_else_changes(storage: Storage) -> None:
    topic = await storage.topics.add(a_topic(), "a", "", NOW)
    await storage.articles.save(None, [saved(1, journal="JCI", matches=(a_match(topic, score=1),), key=KEY)], NOW)
    richer = saved(1, title="New", summary="Other", journal="Nature", doi="10.1234/x", language="en", key=KEY)

    await storage.articles.save(None, [replace(richer, matches=(a_match(topic, score=9),))], NOW)
    article = (await storage.articles.recent())[0]
    (found,) = await storage.topics.matches(topic.id)

    assert (article.title, article.summary, article.journal) == ("Story number 1", "What story 1 says.", "JCI")
    assert (article.doi, article.language) == ("10.1234/x", "en")
    assert found.matches[0].score == 1
    assert await storage.articles.find("doi:10.1234/X") == article


async def test_an_article_without_text_takes_text_and_matches_of_the_next_entry(storage: Storage) -> None:
    topic = await storage.topics.add(a_topic(), "a", "", NOW)
    await storage.articles.save(None, [saved(1, summary="", title="")], NOW)

    await storage.articles.save(None, [saved(1, summary="Rapamycin again", matches=(a_match(topic),))], NOW)

    assert len(await storage.topics.matches(topic.id)) == 1
    assert [article.title for article in await storage.articles.search(word("rapamycin"))] == ["Story number 1"]


async def test_nul_and_lone_surrogates_are_dropped_and_the_index_stays_right(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    hostile = "a\x00b \ud800 c\udfff \U0001f9ea"
    one = saved(1, title=hostile, body=f"{hostile} aspirin", authors=(hostile,), journal=hostile, key=hostile)
    one = replace(one, entry=an_entry(1, title=hostile, guid=hostile, authors=(hostile,)), page_due_at=NOW)

    counts = [await storage.articles.save(source, [one], NOW) for _ in range(2)]
    (task,) = await storage.articles.claim_due_pages(NOW, 1, LEASE)
    await storage.articles.page_saved(task, replace(one.article, body="ibuprofen"), [], NOW)

    article = (await storage.articles.recent())[0]
    assert counts == [Counts(new=1), Counts(known=1)]
    assert (article.title, article.journal, article.authors) == ("ab  c \U0001f9ea",) * 2 + (("ab  c \U0001f9ea",),)
    assert task.entry.title == "ab  c \U0001f9ea"
    assert await storage.articles.hits(word("aspirin")) == 0
    assert await storage.articles.hits(word("ibuprofen")) == 1


@pytest.mark.parametrize(("title", "word_in_index"), [("as\x00pirin", "aspirin"), ("Aspirins", "aspirin")])
async def test_words_that_come_with_an_article_are_those_of_its_stored_text(
    storage: Storage, title: str, word_in_index: str
) -> None:
    source = await storage.sources.add(a_source())
    one = saved(1, title=title, summary="", body="Ibuprofen.")
    one = replace(one, words=Reading(one.article).index_words())

    await storage.articles.save(source, [one], NOW)
    found = await storage.articles.hits(word(word_in_index)), await storage.articles.hits(word("ibuprofen"))
    await storage.articles.prune(NOW + DAY)

    assert found == (1, 1)
    assert await storage.articles.hits(word(word_in_index)) == 0


# --- pages ----------------------------------------------------------------------------------------------------


async def _a_task(storage: Storage, *matches: Match) -> PageTask:
    await storage.articles.save(None, [saved(1, matches=matches, page_due_at=NOW)], NOW)
    (task,) = await storage.articles.claim_due_pages(NOW, 10, LEASE)
    return task


async def test_a_due_page_is_claimed_with_what_its_feed_said(storage: Storage) -> None:
    await storage.articles.save(None, [saved(1, page_due_at=NOW), saved(2, page_due_at=NOW + MINUTE), saved(3)], NOW)

    (task,) = await storage.articles.claim_due_pages(NOW, 10, LEASE)

    assert (task.entry, task.url, task.attempts) == (an_entry(1), an_entry(1).url, 1)
    assert task.article.title == an_entry(1).title
    assert await storage.articles.claim_due_pages(NOW, 10, LEASE) == []


async def test_a_page_replaces_text_index_and_matches(storage: Storage) -> None:
    topics = [await storage.topics.add(a_topic(slug), "a", "", NOW) for slug in ("kept", "gone", "new")]
    kept, gone, new = topics
    task = await _a_task(storage, a_match(kept), a_match(gone))
    page = replace(task.article, body="Aspirin helps.", summary="", doi="10.1/x", text_from=TextFrom.PAGE)
    span = Span(Field.BODY, 0, 7, "aspirin")

    assert await storage.articles.page_saved(
        task, page, [replace(a_match(kept), spans=(span,), score=3), a_match(new)], NOW + MINUTE
    )

    article = await storage.articles.get(task.article.id)
    assert (article.body, article.doi, article.text_from) == ("Aspirin helps.", "10.1/x", TextFrom.PAGE)
    assert article.summary == an_entry(1).summary  # what the page leaves blank stays
    found = [await storage.topics.matches(topic.id) for topic in topics]
    assert [len(one) for one in found] == [1, 0, 1]
    assert (found[0][0].matches[0].spans, found[0][0].matches[0].matched_at) == ((span,), NOW)
    assert found[2][0].matches[0].matched_at == NOW + MINUTE
    assert await storage.articles.hits(word("aspirin")) == 1
    assert await storage.articles.hits(word("say")) == 0  # the feed's words are gone from the index
    assert await storage.articles.claim_due_pages(NOW + DAY, 10, LEASE) == []


async def test_a_match_that_was_delivered_stays_though_its_page_does_not_match(storage: Storage) -> None:
    topic = await storage.topics.add(a_topic(), "a", "", NOW)
    task = await _a_task(storage, a_match(topic))
    subscriber, subscription = await a_reader(storage, (topic.id,))
    delivery = a_delivery(subscription, subscriber)
    await storage.outbox.enqueue(delivery, [task.article.id], expected_next_at=NOW, next_at=NOW + DAY)

    await storage.articles.page_saved(task, replace(task.article, body="Nothing"), [], NOW)

    assert len(await storage.topics.matches(topic.id)) == 1


async def test_a_failed_page_is_tried_again_or_given_up(storage: Storage) -> None:
    task = await _a_task(storage)

    assert await storage.articles.page_failed(task, "503", NOW + DAY)
    assert await storage.articles.claim_due_pages(NOW, 10, LEASE) == []
    (again,) = await storage.articles.claim_due_pages(NOW + DAY, 10, LEASE)
    assert again.attempts == 2
    assert await storage.articles.page_failed(again, "404", None)
    assert await storage.articles.claim_due_pages(NOW + 99 * DAY, 10, LEASE) == []


async def test_a_page_whose_lease_ran_out_goes_to_another_and_the_first_changes_nothing(storage: Storage) -> None:
    stale = await _a_task(storage)
    (fresh,) = await storage.articles.claim_due_pages(NOW + LEASE, 10, LEASE)

    assert not await storage.articles.renew_page(stale, NOW + DAY)
    assert not await storage.articles.page_saved(stale, replace(stale.article, body="stale"), [], NOW)
    assert not await storage.articles.page_failed(stale, "late", None)
    assert (await storage.articles.get(stale.article.id)).body == ""
    assert await storage.articles.renew_page(fresh, NOW + DAY)
    assert await storage.articles.page_saved(fresh, replace(fresh.article, body="fresh"), [], NOW)


# --- finding --------------------------------------------------------------------------------------------------


async def test_found_by_id_key_address_and_doi(storage: Storage) -> None:
    await storage.articles.save(None, [saved(1, doi="10.1172/JCI70236", key="news.example.org/1")], NOW)
    article = (await storage.articles.recent())[0]

    names = (
        str(article.id),
        article.key,
        "http://www.news.example.org/1?utm_source=x",
        "https://doi.org/10.1172/jci70236",
        "10.1172/JCI70236",
    )

    assert [await storage.articles.find(name) for name in names] == [article] * 5
    assert await storage.articles.find("https://example.org/none") is None
    assert await storage.articles.find("\ud800\x00") is None
    with pytest.raises(NotFound):
        await storage.articles.get(article.id + 1)


@pytest.mark.parametrize("number", [-1, 2**31, 2**63, 10**30])
async def test_a_number_that_no_article_can_have_is_not_found(storage: Storage, number: int) -> None:
    with pytest.raises(NotFound):
        await storage.articles.get(number)
    assert await storage.articles.find(str(number)) is None


async def test_known_articles_come_in_the_order_asked_for(storage: Storage) -> None:
    topic = await storage.topics.add(a_topic(), "a", "", NOW)
    one, two, three = await three_articles(storage, topic)

    many = await storage.articles.get_many([three, one, three + 99, two])

    assert [article.id for article in many] == [three, one, two]


async def _archive(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    texts = [
        "Opioid tolerance and mTOR",
        "Tolerance to opioid drugs",
        "Sirolimus inhibits mTORC1",
        "Nothing of the kind",
        'Quoted "opioid" OR NOT tolerance*',
    ]
    for number, text in enumerate(texts, 1):
        await storage.articles.save(source, [saved(number, title=text, summary="")], NOW + number * DAY)


def _phrase(text: str) -> IndexQuery:
    return IndexQuery(op="phrase", tokens=tuple(index_text(text).split()))


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (_phrase("opioid"), [1, 2, 5]),
        (_phrase("opioid tolerance"), [1]),
        (_phrase("OR NOT"), [5]),
        (IndexQuery(op="prefix", tokens=("mtor",)), [1, 3]),
        (IndexQuery(op="prefix", tokens=("inhibit", "mt")), [3]),
        (IndexQuery(op="any", parts=(_phrase("mtor"), _phrase("sirolimus"))), [1, 3]),
        (IndexQuery(op="all", parts=(_phrase("opioid"), _phrase("tolerance"))), [1, 2, 5]),
        (IndexQuery(op="all", parts=(_phrase("drugs"), IndexQuery(op="any", tokens=("x", "opioid")))), [2]),
        (_phrase("absent"), []),
        (None, [1, 2, 3, 4, 5]),
    ],
)
async def test_search_finds_what_the_query_says(storage: Storage, query: IndexQuery | None, numbers: list[int]) -> None:
    await _archive(storage)

    newest = await storage.articles.search(query)
    ranked = await storage.articles.search(query, ranked=True)
    candidates = await storage.articles.candidates(query)

    assert [int(article.url.rpartition("/")[2]) for article in newest] == numbers[::-1]
    assert {article.id for article in ranked} == {article.id for article in newest}
    assert [int(article.url.rpartition("/")[2]) for article in candidates] == numbers
    assert await storage.articles.hits(query) == len(numbers)


async def test_search_keeps_to_time_source_and_limit(storage: Storage) -> None:
    await _archive(storage)
    await storage.articles.save(None, [saved(9, title="opioid by hand")], NOW)
    query = _phrase("opioid")

    async def found(**limits: object) -> list[str]:
        return [article.url[-1] for article in await storage.articles.search(query, **limits)]  # type: ignore[arg-type]

    assert await found(since=NOW + 2 * DAY) == ["5", "2"]
    assert await found(until=NOW + 2 * DAY) == ["9", "1"]
    assert await found(source="news", limit=2) == ["5", "2"]
    assert await found(source="absent") == []
    assert await storage.articles.hits(query, since=NOW + 2 * DAY, until=NOW + 3 * DAY) == 1


async def test_a_hit_in_the_title_ranks_before_one_in_the_text(storage: Storage) -> None:
    filler = "word " * 30
    await storage.articles.save(
        None,
        [saved(1, title="On aspirin", body=filler), saved(2, title="On drugs", body=f"{filler} aspirin {filler}")],
        NOW,
    )

    best = await storage.articles.search(word("aspirin"), ranked=True)

    assert [article.url[-1] for article in best] == ["1", "2"]


async def test_candidates_come_in_batches_that_miss_none(storage: Storage) -> None:
    await storage.articles.save(None, [saved(number) for number in range(25)], NOW)
    seen: list[int] = []

    while batch := await storage.articles.candidates(word("story"), after_id=seen[-1] if seen else 0, limit=10):
        seen += [article.id for article in batch]

    assert len(seen) == 25
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("token", ["a b", 'a"', "a*", "", "ü", "a' | 'b", "a:*"])
async def test_a_token_that_is_none_is_refused(storage: Storage, token: str) -> None:
    with pytest.raises(StorageError, match="not an index token"):
        await storage.articles.search(word(token))


async def test_an_empty_index_query_is_refused(storage: Storage) -> None:
    with pytest.raises(StorageError, match="without words"):
        await storage.articles.search(IndexQuery(op="any"))


async def test_phrases_are_found_in_texts_beyond_what_an_index_can_place(storage: Storage) -> None:
    """tsvector knows positions up to 16,383 and 255 of one word: candidates must still hold every match."""
    long = " ".join(f"filler{number}" for number in range(17_000)) + " opioid tolerance"
    dull = "tolerance " * 300 + "opioid tolerance"
    await storage.articles.save(None, [saved(1, body=long), saved(2, body=dull), saved(3, body="tolerance")], NOW)

    found = await storage.articles.candidates(_phrase("opioid tolerance"))

    assert [article.url[-1] for article in found] == ["1", "2"]


async def test_a_text_of_megabytes_is_stored_and_indexed_as_far_as_possible(storage: Storage) -> None:
    book = " ".join(f"w{number}x" for number in range(300_000))

    await storage.articles.save(None, [saved(1, body=book)], NOW)

    assert await storage.articles.hits(word("w77x")) == 1
    assert (await storage.articles.recent())[0].body == book


async def test_pruning_spares_what_was_mailed_or_labelled_and_brings_nothing_back(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    topic = await storage.topics.add(a_topic(), "a", "", NOW)
    batch = [saved(number, matches=(a_match(topic),)) for number in range(1, 5)]
    await storage.articles.save(source, batch, NOW)
    await storage.articles.save(source, [saved(5)], NOW + DAY)
    mailed, labelled, *_ = [article.id for article in await storage.articles.candidates(None)]
    subscriber, subscription = await a_reader(storage, (topic.id,))
    delivery = a_delivery(subscription, subscriber)
    await storage.outbox.enqueue(delivery, [mailed], expected_next_at=NOW, next_at=NOW + DAY)
    await storage.topics.label(
        Label(topic_id=topic.id, article_id=labelled, verdict=Verdict.RELEVANT, by="a", labelled_at=NOW)
    )

    assert await storage.articles.prune(NOW + DAY) == 2

    assert [article.url[-1] for article in await storage.articles.recent()] == ["5", "2", "1"]
    assert await storage.articles.hits(word("story")) == 3
    assert await storage.sources.unseen(source.id, [an_entry(3)]) == []


async def test_ids_rise_with_arrival(storage: Storage) -> None:
    for number in (5, 1, 3):
        await storage.articles.save(None, [saved(number)], NOW)

    assert [article.url[-1] for article in await storage.articles.candidates(None)] == ["5", "1", "3"]


async def test_nothing_is_stored_of_a_batch_that_fails(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    broken = Match(topic_id=99_999, revision_id=99_999)

    with pytest.raises(StorageError):
        await storage.articles.save(source, [saved(1), saved(2, matches=(broken,))], NOW)

    assert await storage.articles.count() == 0
    assert await storage.articles.hits(word("story")) == 0
    assert await storage.sources.unseen(source.id, [an_entry(1)]) == [an_entry(1)]


async def test_saving_nothing_is_nothing(storage: Storage) -> None:
    empty: list[Saved] = []

    assert await storage.articles.save(None, empty, NOW) == Counts()
