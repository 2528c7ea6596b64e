"""Sources: claims, fences, what was seen. On SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from storage_samples import DAY, LEASE, MINUTE, NOW, a_poll, a_source, a_topic, an_entry, saved

from monitor.errors import NotFound, StorageError
from monitor.model import Level, Source, SourceKind, Validators
from storage import Storage


async def test_a_source_comes_back_as_it_was_stored(storage: Storage) -> None:
    source = a_source(pages=False, weight=1.5, interval=timedelta(minutes=20), kind=SourceKind.FEED)

    stored = await storage.sources.add(source)

    assert stored.id > 0
    assert replace(stored, id=0) == source
    assert await storage.sources.get("news") == stored


async def test_a_slug_is_taken_once(storage: Storage) -> None:
    await storage.sources.add(a_source())

    with pytest.raises(StorageError, match="already"):
        await storage.sources.add(a_source())


async def test_an_unknown_slug_names_the_nearest(storage: Storage) -> None:
    await storage.sources.add(a_source("medical-xpress"))

    with pytest.raises(NotFound, match="did you mean medical-xpress"):
        await storage.sources.get("medical-expres")


async def test_listed_by_slug_and_by_activity(storage: Storage) -> None:
    for slug in ("b", "a", "c"):
        await storage.sources.add(a_source(slug, active=slug != "c"))

    assert [source.slug for source in await storage.sources.list()] == ["a", "b", "c"]
    assert [source.slug for source in await storage.sources.list(active=False)] == ["c"]


async def test_due_sources_are_claimed_longest_due_first_with_a_new_epoch(storage: Storage) -> None:
    await storage.sources.add(a_source("late", next_poll_at=NOW - DAY))
    await storage.sources.add(a_source("later", next_poll_at=NOW + MINUTE))
    await storage.sources.add(a_source("new"))
    await storage.sources.add(a_source("off", active=False))

    claimed = await storage.sources.claim_due(NOW, 10, LEASE)

    assert [(source.slug, source.epoch) for source in claimed] == [("new", 1), ("late", 1)]
    assert await storage.sources.claim_due(NOW, 10, LEASE) == []


async def test_two_processes_never_claim_the_same_source(storage: Storage, storage_url: str) -> None:
    for number in range(40):
        await storage.sources.add(a_source(f"s{number}"))

    async with Storage.open(storage_url) as other:
        batches = await asyncio.gather(*(one.sources.claim_due(NOW, 5, LEASE) for one in (storage, other) * 6))

    slugs = [source.slug for batch in batches for source in batch]
    assert len(slugs) == len(set(slugs))
    remaining = await storage.sources.claim_due(NOW, 100, LEASE)  # SKIP LOCKED may leave some for the next look
    assert len(slugs) + len(remaining) == 40


async def test_a_visit_that_goes_well_closes_the_notices_that_are_over_and_one_of_a_lost_claim_none(
    storage: Storage,
) -> None:
    await storage.sources.add(a_source())
    for code in ("stale", "failing", "moved"):
        await storage.notices.raise_once("source:news", code, Level.WARNING, "It is so.", NOW)
    (stale,) = await storage.sources.claim_due(NOW, 1, LEASE)
    (fresh,) = await storage.sources.claim_due(NOW + LEASE, 1, LEASE)
    over = ("failing", "gone", "stale")

    lost = await storage.sources.finish(stale, a_poll(stale), next_poll_at=NOW + DAY, over=over)
    still_open = {notice.code for notice in await storage.notices.open()}
    done = await storage.sources.finish(fresh, a_poll(fresh), next_poll_at=NOW + DAY, over=over)

    assert (lost.held, lost.closed, still_open) == (False, (), {"stale", "failing", "moved"})
    assert (done.held, done.closed) == (True, ("failing", "stale"))
    assert [notice.code for notice in await storage.notices.open()] == ["moved"]


async def test_a_claim_that_ran_out_is_taken_over_and_its_old_holder_changes_nothing(storage: Storage) -> None:
    await storage.sources.add(a_source())
    (stale,) = await storage.sources.claim_due(NOW, 1, LEASE)
    (fresh,) = await storage.sources.claim_due(NOW + LEASE, 1, LEASE)

    renewed = await storage.sources.renew(stale.id, stale.epoch, NOW + DAY)
    finished = await storage.sources.finish(stale, a_poll(stale), next_poll_at=NOW + DAY)
    with pytest.raises(StorageError, match="taken over"):
        await storage.articles.save(stale, [saved()], NOW)

    assert (renewed, finished.held) == (False, False)
    assert await storage.articles.count() == 0
    assert await storage.sources.polls(stale.id, NOW - DAY) == []
    assert await storage.sources.finish(fresh, a_poll(fresh), next_poll_at=NOW + DAY)


async def test_a_slow_holder_that_nobody_replaced_may_finish(storage: Storage) -> None:
    await storage.sources.add(a_source())
    (holder,) = await storage.sources.claim_due(NOW, 1, LEASE)

    assert await storage.sources.finish(holder, a_poll(holder, NOW + DAY), next_poll_at=NOW + 2 * DAY)
    assert not await storage.sources.finish(holder, a_poll(holder, NOW + DAY), next_poll_at=NOW + 3 * DAY)


async def test_a_renewed_claim_is_not_taken_over(storage: Storage) -> None:
    await storage.sources.add(a_source())
    (holder,) = await storage.sources.claim_due(NOW, 1, LEASE)

    assert await storage.sources.renew(holder.id, holder.epoch, NOW + 3 * LEASE)
    assert await storage.sources.claim("news", NOW + 2 * LEASE, LEASE) is None


async def test_a_released_claim_is_free_and_still_due(storage: Storage) -> None:
    await storage.sources.add(a_source())
    (holder,) = await storage.sources.claim_due(NOW, 1, LEASE)

    assert await storage.sources.release(holder.id, holder.epoch)
    assert len(await storage.sources.claim_due(NOW, 1, LEASE)) == 1


async def test_one_source_can_be_claimed_before_it_is_due(storage: Storage) -> None:
    await storage.sources.add(a_source(next_poll_at=NOW + DAY))

    claimed = await storage.sources.claim("news", NOW, LEASE)

    assert claimed is not None
    assert claimed.epoch == 1
    with pytest.raises(NotFound):
        await storage.sources.claim("gnus", NOW, LEASE)


async def _visit(storage: Storage, outcome: str, detail: str = "", **changes: object) -> Source:
    claimed = await storage.sources.claim("news", NOW, LEASE)
    assert claimed is not None
    poll = a_poll(claimed, outcome=outcome, detail=detail)
    assert await storage.sources.finish(claimed, poll, next_poll_at=NOW + DAY, **changes)  # type: ignore[arg-type]
    return await storage.sources.get("news")


async def test_failures_in_a_row_are_counted_until_a_success(storage: Storage) -> None:
    await storage.sources.add(a_source())

    await _visit(storage, "FetchTimeout", "no answer within 30 s")
    failing = await _visit(storage, "FetchStatus", "503")
    well = await _visit(storage, "unchanged")

    assert (failing.failures, failing.last_error, failing.last_success_at) == (2, "503", None)
    assert (well.failures, well.last_error, well.last_success_at, well.next_poll_at) == (0, "", NOW, NOW + DAY)
    assert [poll.outcome for poll in await storage.sources.polls(well.id, NOW)] == [
        "unchanged", "FetchStatus", "FetchTimeout",
    ]  # fmt: skip


async def test_validators_moves_and_address_are_kept_unless_given(storage: Storage) -> None:
    await storage.sources.add(a_source())
    validators = Validators(etag='"a"', last_modified="Mon", body_hash="h")

    await _visit(storage, "ok", validators=validators, moves=2)
    kept = await _visit(storage, "FetchTimeout")
    moved = await _visit(storage, "ok", new_url="https://moved.example.org/feed")

    assert (kept.validators, kept.moves) == (validators, 2)
    assert (moved.url, moved.moves) == ("https://moved.example.org/feed", 0)


async def test_a_new_address_forgets_the_old_servers_words_and_voids_a_visit_on_its_way(storage: Storage) -> None:
    await storage.sources.add(a_source())
    await _visit(storage, "ok", validators=Validators(etag='"old"'))
    on_its_way = await storage.sources.claim("news", NOW, LEASE)
    assert on_its_way is not None

    changed = await storage.sources.update(replace(on_its_way, url="https://other.example.org/", name="Other"))

    assert (changed.name, changed.validators, changed.next_poll_at) == ("Other", Validators(), None)
    assert not await storage.sources.finish(on_its_way, a_poll(on_its_way), next_poll_at=NOW)


async def test_an_activated_source_is_due_at_once(storage: Storage) -> None:
    await storage.sources.add(a_source())
    await _visit(storage, "FetchStatus", "410")
    off = await storage.sources.set_active("news", False)

    on = await storage.sources.set_active("news", True)

    assert not off.active
    assert (on.active, on.failures, on.next_poll_at) == (True, 0, None)


async def test_polls_are_pruned(storage: Storage) -> None:
    await storage.sources.add(a_source())
    source = await _visit(storage, "ok")

    assert await storage.sources.prune_polls(NOW) == 0
    assert await storage.sources.prune_polls(NOW + MINUTE) == 1
    assert await storage.sources.polls(source.id, NOW - DAY) == []


# --- what was seen --------------------------------------------------------------------------------------------


async def _with_seen(storage: Storage, *numbers: int) -> Source:
    source = await storage.sources.add(a_source())
    await storage.articles.save(source, [saved(number) for number in numbers], NOW)
    return source


async def test_only_new_entries_are_unseen_in_their_order(storage: Storage) -> None:
    source = await _with_seen(storage, 1, 3)

    new = await storage.sources.unseen(source.id, [an_entry(4), an_entry(3), an_entry(2), an_entry(1), an_entry(4)])

    assert new == [an_entry(4), an_entry(2)]


@pytest.mark.parametrize(
    "again",
    [
        an_entry(1, title="Corrected: story number 1", summary="Other words"),
        an_entry(1, guid="random-4711"),
        an_entry(1, url="http://www.news.example.org/1?utm_source=rss"),
        an_entry(1, url="https://news.example.org/2026/moved-1"),
    ],
    ids=["text changed", "guid changed", "tracking link", "moved, same guid and title"],
)
async def test_a_changed_entry_is_not_new(storage: Storage, again: object) -> None:
    source = await _with_seen(storage, 1)

    assert await storage.sources.unseen(source.id, [again]) == []  # type: ignore[list-item]


async def test_entries_that_share_one_guid_are_all_new(storage: Storage) -> None:
    source = await _with_seen(storage, 1)
    entries = [an_entry(number, guid="guid-1") for number in range(2, 52)]

    assert len(await storage.sources.unseen(source.id, entries)) == 50


async def test_entries_without_address_are_told_apart_by_guid_or_title(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    entries = [
        an_entry(1, url=""),
        an_entry(2, url=""),
        an_entry(3, url="", guid=""),
        an_entry(4, url="", guid=""),
        an_entry(3, url="", guid="", summary="again"),
    ]

    assert await storage.sources.unseen(source.id, entries) == entries[:4]


async def test_what_one_source_saw_is_new_to_another(storage: Storage) -> None:
    await _with_seen(storage, 1)
    other = await storage.sources.add(a_source("other"))

    assert await storage.sources.unseen(other.id, [an_entry(1)]) == [an_entry(1)]


async def test_a_guid_of_a_megabyte_is_remembered(storage: Storage) -> None:
    source = await storage.sources.add(a_source())
    huge = an_entry(1, url="", guid="g" * 1_000_000)
    await storage.articles.save(source, [replace(saved(), entry=huge)], NOW)

    assert await storage.sources.unseen(source.id, [huge]) == []


async def test_the_first_run_is_imported_once(storage: Storage) -> None:
    first = await storage.sources.import_first_run([a_source()], [a_topic()], NOW)
    second = await storage.sources.import_first_run([a_source("other")], [], NOW)

    assert (first, second) == (True, False)
    assert [source.slug for source in await storage.sources.list()] == ["news"]
    assert [topic.slug for topic in await storage.topics.list()] == ["mtor"]
