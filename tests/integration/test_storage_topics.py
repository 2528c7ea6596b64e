"""Topics, revisions, examples, labels, matches, rematches and concepts. On SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from storage_samples import DAY, NOW, a_delivery, a_match, a_reader, a_source, a_topic, found_for, saved, three_articles

from monitor.errors import NotFound, StorageError
from monitor.model import Label, Period, Topic, Verdict, WeightedTerm
from storage import Concept, Example, Storage


async def _stored(storage: Storage, slug: str = "mtor") -> Topic:
    return await storage.topics.add(a_topic(slug), "ada", "first", NOW)


async def test_a_topic_comes_back_as_it_was_stored(storage: Storage) -> None:
    topic = a_topic(
        query="",
        weights=(WeightedTerm(term='"opioid tolerance"', weight=2.0), WeightedTerm(term="policing", weight=-1.5)),
        threshold=1.5,
        sources=("news",),
        languages=("en", "de"),
    )

    stored = await storage.topics.add(topic, "ada", "why", NOW)

    assert replace(stored, id=0, revision_id=0, revision=0) == topic
    assert stored.revision == 1
    assert await storage.topics.get("mtor") == stored
    with pytest.raises(StorageError, match="already"):
        await storage.topics.add(topic, "ada", "again", NOW)


async def test_an_unknown_topic_names_the_nearest(storage: Storage) -> None:
    await _stored(storage, "opioid-tolerance")

    with pytest.raises(NotFound, match="did you mean opioid-tolerance"):
        await storage.topics.get("opoid-tolerance")


async def test_every_saved_change_is_a_revision_and_none_is_overwritten(storage: Storage) -> None:
    first = await _stored(storage)

    second = await storage.topics.save(replace(first, query="mTOR OR mTORC1", name="New"), "bob", "wider", NOW + DAY, 1)
    history = await storage.topics.history("mtor")

    assert (second.id, second.revision, second.query) == (first.id, 2, "mTOR OR mTORC1")
    assert second.revision_id != first.revision_id
    assert [(one.number, one.author, one.note, one.created_at) for one in history] == [
        (2, "bob", "wider", NOW + DAY),
        (1, "ada", "first", NOW),
    ]
    assert history[1].topic == first


async def test_of_two_who_save_at_once_one_is_told(storage: Storage) -> None:
    topic = await _stored(storage)

    saves = (storage.topics.save(replace(topic, query=f"q{n}"), f"u{n}", "", NOW, 1) for n in range(4))
    results = await asyncio.gather(*saves, return_exceptions=True)

    assert sum(isinstance(result, Topic) for result in results) == 1
    assert sum(isinstance(result, StorageError) and "meanwhile" in str(result) for result in results) == 3
    assert len(await storage.topics.history("mtor")) == 2


async def test_topics_are_listed_by_slug_and_activity(storage: Storage) -> None:
    topics = [await _stored(storage, slug) for slug in ("b", "a")]
    await storage.topics.set_active("a", False)

    assert [topic.slug for topic in await storage.topics.list()] == ["a", "b"]
    assert [topic.slug for topic in await storage.topics.list(active=True)] == ["b"]
    assert [topic.slug for topic in await storage.topics.get_many([topics[1].id, 999, topics[0].id])] == ["a", "b"]
    assert (await storage.topics.get("a")).revision == 1


async def test_examples_are_kept_in_order(storage: Storage) -> None:
    topic = await _stored(storage)
    one = await storage.topics.add_example(
        Example(topic_id=topic.id, must_match=True, title="mTOR", body="x", note="n")
    )
    two = await storage.topics.add_example(Example(topic_id=topic.id, must_match=False, title="motor"))

    assert await storage.topics.examples(topic.id) == [one, two]
    assert await storage.topics.remove_example(one.id)
    assert not await storage.topics.remove_example(one.id)
    assert await storage.topics.examples(topic.id) == [two]


async def test_a_later_judgement_replaces_the_same_persons_earlier_one(storage: Storage) -> None:
    topic = await _stored(storage)
    (article_id, *_) = await three_articles(storage, topic)
    first = Label(topic_id=topic.id, article_id=article_id, verdict=Verdict.RELEVANT, by="ada", labelled_at=NOW)
    second = replace(first, verdict=Verdict.NOT_RELEVANT, reason="duplicate", labelled_at=NOW + DAY)
    other = replace(first, by="bob")

    for label in (first, other, second):
        await storage.topics.label(label)

    assert await storage.topics.labels(topic.id) == [second, other]
    assert await storage.topics.unlabel(topic.id, article_id, "ada")
    assert not await storage.topics.unlabel(topic.id, article_id, "ada")
    assert await storage.topics.labels(topic.id) == [other]


async def test_matches_come_newest_first_with_article_and_source(storage: Storage) -> None:
    topic, other = await _stored(storage), await _stored(storage, "other")
    source = await storage.sources.add(a_source(weight=1.5))
    for number in range(1, 4):
        matches = (a_match(topic), a_match(other))
        await storage.articles.save(source, [saved(number, matches=matches)], NOW + number * DAY)

    found = await storage.topics.matches(topic.id, since=NOW + 2 * DAY, until=NOW + 9 * DAY, limit=2)

    assert [one.article.url[-1] for one in found] == ["3", "2"]
    assert (found[0].source_name, found[0].source_weight) == ("News", 1.5)
    (match,) = found[0].matches
    assert match == replace(a_match(topic, found[0].article.id), matched_at=NOW + 3 * DAY)


async def test_weeks_are_counted_by_when_articles_were_stored(storage: Storage) -> None:
    topic = await _stored(storage)
    for number, days in enumerate((0, 1, 6.9, 7, 20, 60)):
        await storage.articles.save(None, [saved(number, matches=(a_match(topic),))], NOW - days * DAY)

    assert await storage.topics.weekly_counts(topic.id, NOW, weeks=4) == (
        0,
        1,
        0,
        3,
    )  # a week holds its start, not its end


# --- rematch --------------------------------------------------------------------------------------------------


async def test_a_rematch_replaces_matches_and_goes_on_where_it_stopped(storage: Storage) -> None:
    topic = await _stored(storage)
    _, two, three = await three_articles(storage, topic)
    changed = await storage.topics.save(topic, "ada", "changed", NOW, 1)

    start = await storage.topics.rematch_start(changed, NOW)
    half = await storage.topics.rematch_batch(start, two, [a_match(changed, two, score=5)], NOW)
    again = await storage.topics.rematch_start(changed, NOW)
    assert again == half
    assert await storage.topics.unfinished_rematches() == [half]
    done = await storage.topics.rematch_batch(again, again.upto_id, [], NOW)

    assert (start.done, half.done, done.done, done.matched) == (False, False, True, 1)
    assert (half.after_id, half.upto_id) == (two, three)
    assert await storage.topics.unfinished_rematches() == []
    (found,) = await storage.topics.matches(topic.id)
    assert found.article.id == two
    assert (found.matches[0].revision_id, found.matches[0].score) == (changed.revision_id, 5)
    assert found.matches[0].matched_at == NOW - DAY  # it held before, and holds still


async def test_what_a_rematch_finds_is_old_news_and_what_was_news_stays_news(storage: Storage) -> None:
    topic, wide = await _stored(storage), await _stored(storage, "wide")
    one, two, three = await three_articles(storage, topic)
    _, subscription = await a_reader(storage, (wide.id, topic.id))
    for subject in (topic, wide):
        start = await storage.topics.rematch_start(subject, NOW)
        matches = [a_match(subject, number) for number in (one, two, three)]
        await storage.topics.rematch_batch(start, start.upto_id, matches, NOW - DAY)

    period = Period(key="2026-W48", start=NOW - 7 * DAY, end=NOW)
    found = await found_for(storage, subscription, period, NOW, 30 * DAY)

    assert [[match.topic_id for match in one.matches] for one in found] == [[topic.id]] * 3
    assert len(await storage.topics.matches(wide.id)) == 3


async def test_a_rematch_keeps_matches_that_were_delivered(storage: Storage) -> None:
    topic = await _stored(storage)
    _, two, _ = await three_articles(storage, topic)
    subscriber, subscription = await a_reader(storage, (topic.id,))
    await storage.outbox.enqueue(a_delivery(subscription, subscriber), [two], expected_next_at=NOW, next_at=NOW + DAY)

    start = await storage.topics.rematch_start(topic, NOW)
    await storage.topics.rematch_batch(start, start.upto_id, [], NOW)

    assert [found.article.id for found in await storage.topics.matches(topic.id)] == [two]


async def test_of_two_rematches_one_stops(storage: Storage) -> None:
    topic = await _stored(storage)
    one, *_ = await three_articles(storage, topic)
    start = await storage.topics.rematch_start(topic, NOW)
    await storage.topics.rematch_batch(start, one, [], NOW)

    with pytest.raises(StorageError, match="nothing was changed"):
        await storage.topics.rematch_batch(start, one, [a_match(topic, one)], NOW)

    newer = await storage.topics.save(topic, "ada", "", NOW, 1)
    anew = await storage.topics.rematch_start(newer, NOW)
    assert (anew.after_id, anew.revision_id) == (0, newer.revision_id)


async def test_an_empty_archive_is_rematched_at_once(storage: Storage) -> None:
    assert (await storage.topics.rematch_start(await _stored(storage), NOW)).done


# --- concepts -------------------------------------------------------------------------------------------------


def _mtor(year: int, *terms: str) -> Concept:
    return Concept(source="mesh", year=year, code="D058570", name="TOR Serine-Threonine Kinases", terms=terms)


async def test_a_concept_is_found_by_any_of_its_terms_however_written(storage: Storage) -> None:
    concept = _mtor(2026, "mTOR", "Mechanistic Target of Rapamycin", "mTOR")
    other = Concept(source="hpo", year=2026, code="HP:1", name="Seizure", terms=())
    await storage.concepts.replace("mesh", 2026, [concept])
    await storage.concepts.replace("hpo", 2026, [other])

    found = await storage.concepts.lookup("mechanistic target-of RAPAMYCIN")

    assert found == [
        replace(concept, terms=("TOR Serine-Threonine Kinases", "mTOR", "Mechanistic Target of Rapamycin"))
    ]
    assert [one.code for one in await storage.concepts.lookup("seizures")] == ["HP:1"]
    assert await storage.concepts.lookup("…") == []
    assert await storage.concepts.vocabularies() == [("hpo", 2026, 1), ("mesh", 2026, 1)]


async def test_an_import_replaces_its_year_and_the_newest_year_counts(storage: Storage) -> None:
    await storage.concepts.replace("mesh", 2025, [_mtor(2025, "FRAP1")])
    await storage.concepts.replace("mesh", 2026, [_mtor(2026, "wrong")])

    assert await storage.concepts.replace("mesh", 2026, [_mtor(2026, "mTOR")]) == 1

    assert await storage.concepts.lookup("FRAP1") == []
    assert await storage.concepts.lookup("wrong") == []
    assert [one.year for one in await storage.concepts.lookup("mTOR")] == [2026]
    assert await storage.concepts.vocabularies() == [("mesh", 2025, 1), ("mesh", 2026, 1)]


async def test_an_empty_vocabulary_may_be_imported(storage: Storage) -> None:
    assert await storage.concepts.replace("mesh", 2026, []) == 0
