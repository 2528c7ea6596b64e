"""The tuning bench on a real archive: answers equal a scan, saves are guarded, a rematch survives a crash."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from storage_samples import DAY, NOW, a_source, saved

from monitor.errors import NotFound, QueryError, StorageError, TopicRefused
from monitor.match import Matcher
from monitor.match.backtest import compare
from monitor.match.exchange import dump_yaml, load
from monitor.match.synonyms import builtin_concepts
from monitor.model import Article, Label, Topic, Verdict, WeightedTerm
from monitor.pipeline import tuning
from monitor.pipeline.tuning import Tuning
from storage import Example, Storage

WORDS = ["opioid", "opioids", "tolerance", "pain", "police", "IL-6", "semaglutide", "obesity", "mice", "trial", "heart"]
FILLER = [f"{a}{b}" for a in ("ba", "ko", "mi", "tu", "re") for b in ("dan", "fer", "gol", "hum", "nek", "pil", "sor")]


def a_text(rng: random.Random, *extra: str) -> str:
    words = [*rng.choices(FILLER, k=20), *rng.choices(WORDS, k=rng.randrange(4)), *extra]
    rng.shuffle(words)
    return " ".join(words) + "."


async def fill(storage: Storage, count: int, **more: int) -> None:
    """`count` articles, a dozen every ten hours up to now; each word stands in every so manieth."""
    rng = random.Random(7)
    source = await storage.sources.add(a_source())
    for first in range(1, count + 1, 12):
        found = []
        for number in range(first, min(first + 12, count + 1)):
            text = a_text(rng, *(word for word, every in more.items() if number % every == 0))
            found.append(saved(number, title=f"News {number}", body=text, summary="", source_slug="news"))
        await storage.articles.save(source, found, NOW - timedelta(hours=10 * (1 + (count - first) // 12)))


@pytest.fixture(scope="module")
def archive(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with 120 articles, to copy."""
    path = tmp_path_factory.mktemp("archive") / "monitor.db"
    shutil.copy(sqlite_template, path)

    async def made() -> None:
        async with Storage.open(f"sqlite:///{path}") as opened:
            await fill(opened, 120, zebra=6, lion=30, wegovy=10)
            await opened.tidy()

    asyncio.run(made())
    return path


@pytest.fixture
async def storage(archive: Path, tmp_path: Path) -> AsyncIterator[Storage]:
    shutil.copy(archive, tmp_path / "monitor.db")
    async with Storage.open(f"sqlite:///{tmp_path / 'monitor.db'}") as opened:
        yield opened


@pytest.fixture
def filled(storage: Storage) -> Tuning:
    return Tuning(storage=storage, now=lambda: NOW)


@pytest.fixture
async def empty(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Tuning]:
    shutil.copy(sqlite_template, tmp_path / "empty.db")
    async with Storage.open(f"sqlite:///{tmp_path / 'empty.db'}") as opened:
        yield Tuning(storage=opened, now=lambda: NOW)


def topic(query: str = "zebra", **more: object) -> Topic:
    return Topic(**({"slug": "animals", "name": "Animals", "query": query} | more))  # type: ignore[arg-type]


async def everything(storage: Storage) -> list[Article]:
    found: list[Article] = []
    while batch := await storage.articles.candidates(None, after_id=found[-1].id if found else 0, limit=50):
        found += batch
    return found


async def numbered(storage: Storage) -> dict[int, int]:
    """The id of each article by the number in its title."""
    return {int(one.title.split()[-1]): one.id for one in await everything(storage)}


async def label(storage: Storage, one: Topic, article_id: int, verdict: Verdict, by: str = "ada") -> None:
    given = Label(topic_id=one.id, article_id=article_id, verdict=verdict, by=by, labelled_at=NOW)
    await storage.topics.label(given)


# --- trying ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("zebra", "zebra OR lion"),
        ("opioid", "(opioid* NEAR/6 pain) OR IL6 NOT police"),
        ("source:news", "title:news AND mouse"),
        ('"no such words"', "ATLEAST/2 opioid OR wegovy"),
    ],
)
async def test_backtest_equals_a_scan_of_the_whole_archive(filled, storage, old, new, monkeypatch):
    monkeypatch.setattr(tuning, "BATCH", 7)
    before = await storage.topics.add(topic(old), "ada", "", NOW)

    backtest = await filled.backtest("animals", new, days=None)

    assert backtest == compare(before, replace(before, query=new), await everything(storage))
    assert backtest.new_count


async def test_backtest_looks_only_at_the_days_asked_for(filled, storage):
    await storage.topics.add(topic("zebra"), "ada", "", NOW)

    one_day = await filled.backtest("animals", "zebra OR lion", days=1)

    recent = [one for one in await everything(storage) if one.stored_at and one.stored_at >= NOW - DAY]
    assert one_day == compare(topic("zebra"), topic("zebra OR lion"), recent)
    assert 0 < one_day.new_count < (await filled.backtest("animals", "zebra OR lion", days=None)).new_count


async def test_backtest_of_a_topic_not_stored_yet_gains_all(filled):
    backtest = await filled.backtest("new-one", topic("lion"))

    assert (len(backtest.gained), backtest.lost) == (4, ())


async def test_wrong_query_is_told_and_a_wrong_stored_one_does_not_stand_in_the_way(filled, storage):
    await storage.topics.add(topic("(zebra"), "ada", "", NOW)

    with pytest.raises(QueryError):
        await filled.backtest("animals", "(lion")
    assert len((await filled.backtest("animals", "lion")).gained) == 4


async def test_search_finds_the_newest_that_match(filled, storage):
    matcher = Matcher()
    matcher.add(topic("zebra NOT police"))
    wanted = [one.id for one in reversed(await everything(storage)) if matcher.match(one)]

    found = await filled.search(topic("zebra NOT police"), limit=5)

    assert [one.id for one in found] == wanted[:5]
    assert [one.id for one in await filled.search(topic("zebra NOT police"), limit=1_000)] == wanted
    assert await filled.search(topic("zebra"), since=NOW + DAY) == []


async def test_why_names_what_is_missing(filled, storage):
    await storage.topics.add(topic("lion OR zebra"), "ada", "", NOW)
    miss = Article(url="", canonical_url="", key="", title="A horse")

    explanation = await filled.why("animals", miss)

    assert not explanation.held
    assert "zebra" in explanation.nearest[0]
    assert await filled.match("animals", miss) is None
    assert await filled.match("animals", replace(miss, body="A lion")) is not None


# --- saving ---------------------------------------------------------------------------------------------------


async def test_save_adds_then_revises(filled, storage):
    first = await filled.save(topic("zebra"), "ada", "begin")
    second = await filled.save(replace(first, query="zebra OR lion"), "bob", "more")

    assert (first.revision, second.revision, second.query) == (1, 2, "zebra OR lion")
    assert [(r.number, r.author, r.note) for r in await storage.topics.history("animals")] == [
        (2, "bob", "more"),
        (1, "ada", "begin"),
    ]


async def test_save_on_top_of_somebody_elses_revision_is_refused(filled):
    first = await filled.save(topic("zebra"), "ada")
    await filled.save(replace(first, query="zebra OR lion"), "bob")

    with pytest.raises(StorageError, match="revision 2"):
        await filled.save(replace(first, query="zebra OR wegovy"), "ada")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("unicorn", "matches-nothing"),
        ("zebra NOT zebras", "unreachable"),
        ("news", "common-term"),
        ("zebra OR lion OR wegovy OR mouse OR opioid OR pain OR IL6", "volume"),
    ],
)
async def test_guard_rail_stops_a_save_until_it_is_forced_with_a_note(filled, storage, query, code):
    if code == "volume":
        await filled.save(topic("lion"), "ada")
    before = await storage.topics.list()

    with pytest.raises(TopicRefused) as refused:
        await filled.save(topic(query), "ada", "a note alone does not do")
    with pytest.raises(TopicRefused) as without_note:
        await filled.save(topic(query), "ada", " ", force=True)

    assert code in {problem.code for problem in refused.value.problems}
    assert without_note.value.problems[-1].code == "no-note"
    assert await storage.topics.list() == before
    assert (await filled.save(topic(query), "ada", "I know", force=True)).query == query


async def test_topic_that_does_what_another_does_is_refused(filled):
    await filled.save(topic("zebra"), "ada")

    with pytest.raises(TopicRefused, match="same as the topic animals"):
        await filled.save(topic("zebras", slug="stripes", name="Stripes"), "ada")


async def test_topic_that_finds_what_another_found_is_refused(filled, storage):
    await filled.save(topic("zebra"), "ada")
    await filled.rematch("animals")

    with pytest.raises(TopicRefused, match="finds what the topic animals finds"):
        await filled.save(topic("zebra OR unicorn", slug="stripes", name="Stripes"), "ada")


async def test_young_archive_stops_nobody(empty):
    await fill(empty.storage, 5)

    assert (await empty.save(topic("unicorn"), "ada")).revision == 1


async def test_broken_example_stops_a_save_and_an_import(filled, storage):
    stored = await filled.save(topic("zebra OR lion"), "ada")
    await storage.topics.add_example(Example(topic_id=stored.id, must_match=True, title="A lion sleeps"))
    changed = replace(stored, query="zebra OR wegovy")

    with pytest.raises(TopicRefused, match="A lion sleeps"):
        await filled.save(changed, "ada")
    with pytest.raises(TopicRefused, match="A lion sleeps"):
        await filled.apply(load(dump_yaml([changed]), "yaml", [stored]), "ada", "import")
    assert (await storage.topics.get("animals")).revision == 1


@pytest.mark.parametrize("slug", ["Big", "a/b", "", "a b", "../x"])
async def test_strange_slug_is_refused(empty, slug):
    with pytest.raises(TopicRefused, match="slug"):
        await empty.save(topic(slug=slug), "ada", "x", force=True)


async def test_restore_brings_an_old_revision_back_as_the_newest(filled, storage):
    first = await filled.save(topic("zebra", sources=("news",)), "ada")
    await filled.save(replace(first, query="lion", sources=()), "ada")
    await storage.topics.set_active("animals", False)

    restored = await filled.restore("animals", 1, "bob")

    assert (restored.query, restored.sources, restored.revision, restored.active) == ("zebra", ("news",), 3, False)
    assert (await storage.topics.history("animals"))[0].note == "restores revision 1"
    with pytest.raises(NotFound):
        await filled.restore("animals", 9, "bob")


async def test_clone_begins_as_its_original_with_its_examples(filled, storage):
    stored = await filled.save(topic("zebra"), "ada")
    await storage.topics.add_example(Example(topic_id=stored.id, must_match=True, title="A zebra"))

    copy = await filled.clone("animals", "more-animals", "bob")

    assert (copy.slug, copy.query, copy.revision) == ("more-animals", "zebra", 1)
    assert copy.id != stored.id
    assert [one.title for one in await storage.topics.examples(copy.id)] == ["A zebra"]
    with pytest.raises(StorageError):
        await filled.clone("animals", "more-animals", "bob")


async def test_import_stores_what_its_dry_run_said_and_nothing_the_second_time(filled, storage):
    await filled.save(topic("zebra"), "ada")
    weights = (WeightedTerm(term="lion", weight=2),)
    wanted = [topic("zebra OR lion", active=False), topic("", slug="cats", name="Cats", weights=weights, threshold=1)]
    text = dump_yaml(wanted)

    await filled.apply(load(text, "yaml", await storage.topics.list()), "ada", "import")

    now = await storage.topics.list()
    assert [(one.slug, one.revision, one.active) for one in now] == [("animals", 2, False), ("cats", 1, True)]
    assert {change.outcome.value for change in load(text, "yaml", now)} == {"same"}


async def test_import_with_an_error_stores_nothing(filled, storage):
    text = "- slug: good\n  query: zebra\n- slug: bad\n  query: (zebra\n"

    with pytest.raises(TopicRefused, match="line 4"):
        await filled.apply(load(text, "yaml"), "ada", "import")
    assert await storage.topics.list() == []


# --- rematching -----------------------------------------------------------------------------------------------


async def matched_ids(storage: Storage, one: Topic) -> list[int]:
    return sorted(found.article.id for found in await storage.topics.matches(one.id, limit=1_000))


async def test_rematch_makes_the_stored_matches_those_of_a_scan(filled, storage):
    first = await filled.save(topic("zebra"), "ada")
    await filled.rematch("animals", batch=7)
    one = await filled.save(replace(first, query="lion OR (zebra NOT police)"), "ada")
    matcher = Matcher()
    matcher.add(one)

    done = await filled.rematch("animals", batch=7)

    wanted = [article.id for article in await everything(storage) if matcher.match(article)]
    assert await matched_ids(storage, one) == wanted
    assert (done.matched, done.done) == (len(wanted), True)


async def test_interrupted_rematch_goes_on_where_it_stopped(filled, storage):
    one = await filled.save(topic("zebra"), "ada")
    steps: list[int] = []

    def crash(state: object) -> None:
        steps.append(state.after_id)  # type: ignore[attr-defined]
        if len(steps) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await filled.rematch("animals", batch=5, progress=crash)
    partly = await matched_ids(storage, one)
    resumed: list[int] = []
    await filled.rematch("animals", batch=5, progress=lambda state: resumed.append(state.after_id))

    assert 0 < len(partly) < 20
    assert resumed[0] > steps[-1]
    ids = await numbered(storage)
    assert await matched_ids(storage, one) == sorted(ids[number] for number in range(6, 121, 6))


async def test_rematch_gives_way_to_a_newer_revision(filled, storage):
    first = await filled.save(topic("zebra"), "ada")
    newer = await filled.save(replace(first, query="lion"), "ada")
    stale = await storage.topics.rematch_start(first, NOW)
    await storage.topics.rematch_start(newer, NOW)

    with pytest.raises(StorageError):
        await storage.topics.rematch_batch(stale, 50, [], NOW)


async def test_articles_that_come_in_during_a_rematch_are_left_to_the_matcher(filled, storage):
    one = await filled.save(topic("zebra"), "ada")
    source = await storage.sources.get("news")
    late = [saved(500 + n, title="A zebra", body="") for n in range(3)]

    state = await storage.topics.rematch_start(one, NOW)
    await storage.articles.save(source, late, NOW)
    await filled.rematch("animals", batch=10)

    assert max(await matched_ids(storage, one)) <= state.upto_id


# --- judging --------------------------------------------------------------------------------------------------


async def test_measure_compares_revisions_on_the_same_labels(filled, storage):
    first = await filled.save(topic("zebra OR wegovy"), "ada")
    second = await filled.save(replace(first, query="zebra"), "ada")
    ids = await numbered(storage)
    for number in (6, 12, 18):
        await label(storage, second, ids[number], Verdict.RELEVANT)
    for number in (120, 10, 1):
        await label(storage, second, ids[number], Verdict.NOT_RELEVANT)

    newest, oldest = await filled.measure("animals")

    assert (newest.revision, newest.precision.part, newest.precision.whole) == (2, 3, 4)
    assert (oldest.revision, oldest.precision.whole, oldest.recall.whole) == (1, 5, 3)


async def test_suggestions_come_with_the_effect_they_really_have(empty):
    bench, storage = empty, empty.storage
    rng = random.Random(3)
    source = await storage.sources.add(a_source())
    kinds = [("semaglutide", "wegovy"), ("semaglutide", "lawsuit"), ("wegovy",), ()]
    found = []
    for number in range(1, 161):
        words = () if number % 4 == 2 and number % 12 != 2 else kinds[number % 4]
        body = " ".join([*rng.choices(FILLER, k=25), *words])
        found.append(saved(number, title=f"Item {number}", body=body, summary=""))
    await storage.articles.save(source, found, NOW - DAY)
    one = await bench.save(topic("semaglutide"), "ada", "x", force=True)
    ids = await numbered(storage)
    for number in range(4, 60, 4):
        await label(storage, one, ids[number], Verdict.RELEVANT)
    for number in range(1, 60, 4):
        await label(storage, one, ids[number], Verdict.NOT_RELEVANT)
    await label(storage, one, ids[2], Verdict.RELEVANT, "bob")

    advice = await bench.suggestions("animals")

    by_term = {(item.suggestion.term, item.excludes): item for item in advice}
    add, exclude = by_term["wegovy", False], by_term["lawsuit", True]
    gained = (await bench.backtest("animals", add.topic.query)).gained
    lost = (await bench.backtest("animals", exclude.topic.query)).lost
    assert (add.gained, add.gained_relevant) == (len(gained), 1)
    assert (exclude.lost, exclude.lost_rejected, exclude.lost_relevant) == (len(lost), 15, 0)
    assert "labelled not relevant" in exclude.effect


async def test_suggestions_work_without_any_label(filled):
    await filled.save(topic("lion"), "ada")

    assert isinstance(await filled.suggestions("animals"), list)


async def test_unknown_topic_is_not_found(empty):
    for question in (empty.why("nobody", Article(url="", canonical_url="", key="", title="")), empty.measure("nobody")):
        with pytest.raises(NotFound):
            await question


async def test_imported_vocabulary_is_looked_up_by_any_of_its_terms(storage):
    concepts = [replace(one, source="mesh") for one in builtin_concepts()]

    assert await storage.concepts.replace("mesh", 2026, iter(concepts)) == len(concepts)

    (found,) = await storage.concepts.lookup("glucagon like peptide-1")
    assert (found.code, found.year) == ("glp-1", 2026)
