"""What an admin changes of a reader's subscriptions, and what the audit then tells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import httpx
import pytest
from web_site import Site, open_site

from monitor.model import Cadence, EmptyRule, Role, Subscriber, SubscriberState, Subscription, Topic

FORM = {
    "topics": ["pain", "hearts"], "cadence": "monthly", "weekday": "4", "monthday": "12", "at": "18:30",
    "timezone": "America/New_York", "empty": "always", "max_items": "25", "near_misses": "yes", "safety_at_once": "yes",
    "paused_until": "2026-12-01",
}  # fmt: skip


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        hearts = Topic(slug="hearts", name="Hearts", query="statin")
        await opened.opened.monitor.tuning.save(hearts, "first", "for tests", force=True)
        yield opened


@pytest.fixture
async def admin(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with await site.logged_in(Role.ADMIN) as client:
        yield client


async def theirs(site: Site) -> tuple[Subscriber, list[Subscription]]:
    readers = site.opened.monitor.storage.readers
    reader = await readers.get("reader@example.org")
    return reader, await readers.subscriptions(reader.id)


async def test_an_admin_changes_topics_days_and_format_and_the_audit_tells_it(
    site: Site, admin: httpx.AsyncClient
) -> None:
    reader, (before,) = await theirs(site)

    answer = await admin.post(f"/readers/{reader.id}/subscriptions/{before.id}", data=FORM)

    _, (after,) = await theirs(site)
    topics = {topic.slug: topic.id for topic in await site.opened.monitor.storage.topics.list()}
    assert answer.status_code == 303
    assert set(after.topic_ids) == {topics["pain"], topics["hearts"]}
    assert (after.cadence, after.monthday, after.at) == (Cadence.MONTHLY, 12, time(18, 30))
    assert (after.timezone, after.empty, after.max_items) == ("America/New_York", EmptyRule.ALWAYS, 25)
    assert (after.near_misses, after.repeat, after.safety_at_once) == (True, False, True)
    assert after.paused_until == date(2026, 12, 1)
    assert after.next_digest_at == datetime(2026, 12, 12, 23, 30, tzinfo=UTC)
    entry = (await site.opened.monitor.storage.audit.recent())[0]
    assert entry.who == "admin@example.org"
    assert "reader@example.org" in entry.what
    assert "monthly" in entry.after
    assert "weekly" in entry.before


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("topics", [], "choose at least one topic"),
        ("timezone", "Europe/Berlim", "did you mean Europe/Berlin"),
        ("cadence", "hourly", "hourly"),
        ("max_items", "1000", "from 5 to 200"),
        ("at", "25:00", "write it like 07:00"),
        ("paused_until", "tomorrow", "write it like 2026-12-24"),
    ],
)
async def test_a_wrong_field_is_named_and_what_was_typed_stays(
    site: Site, admin: httpx.AsyncClient, field: str, value: object, told: str
) -> None:
    reader, before = await theirs(site)

    answer = await admin.post(f"/readers/{reader.id}/subscriptions/{before[0].id}", data={**FORM, field: value})

    assert answer.status_code == 422
    assert told in answer.text
    assert '<option value="monthly" selected>' in answer.text or field == "cadence"
    assert (await theirs(site))[1] == before


async def test_one_more_subscription_is_added_but_not_the_same_twice(site: Site, admin: httpx.AsyncClient) -> None:
    reader, _ = await theirs(site)

    added = await admin.post(f"/readers/{reader.id}/subscriptions", data=FORM)
    twice = await admin.post(f"/readers/{reader.id}/subscriptions", data=FORM)
    page = await admin.get(f"/readers/{reader.id}")

    assert (added.status_code, twice.status_code) == (303, 422)
    assert "the same subscription" in twice.text
    assert len((await theirs(site))[1]) == 2
    assert "Monthly, day 12 18:30 America/New_York" in page.text


async def test_a_subscription_is_ended_and_resumed_and_the_last_one_ends_the_reader(
    site: Site, admin: httpx.AsyncClient
) -> None:
    reader, (first,) = await theirs(site)
    await admin.post(f"/readers/{reader.id}/subscriptions", data=FORM)
    place = f"/readers/{reader.id}/subscriptions/{first.id}"
    states = []
    for action in ("end", "resume"):
        answer = await admin.post(f"{place}/{action}")
        assert answer.status_code == 303
        one = await site.opened.monitor.storage.readers.subscription(first.id)
        states.append((one.active, one.next_digest_at is not None))
    wrong = await admin.post(f"{place}/delete")
    for one in (await theirs(site))[1]:
        await admin.post(f"/readers/{reader.id}/subscriptions/{one.id}/end")

    assert states == [(False, False), (True, True)]
    assert wrong.status_code == 404
    assert (await theirs(site))[0].state is SubscriberState.UNSUBSCRIBED


async def test_another_readers_subscription_is_not_changed_through_this_one(
    site: Site, admin: httpx.AsyncClient
) -> None:
    reader, (before,) = await theirs(site)
    other, _ = await site.opened.monitor.readers.add(
        Subscriber(email="other@example.org"), Subscription(subscriber_id=0, topic_ids=before.topic_ids)
    )

    for place in (f"subscriptions/{before.id}", f"subscriptions/{before.id}/end"):
        assert (await admin.post(f"/readers/{other.id}/{place}", data=FORM)).status_code == 404
    assert (await theirs(site)) == (reader, [before])


async def test_an_editor_does_not_reach_subscriptions(site: Site) -> None:
    reader, (before,) = await theirs(site)
    async with await site.logged_in(Role.EDITOR) as editor:
        answer = await editor.post(f"/readers/{reader.id}/subscriptions/{before.id}", data=FORM)

    assert answer.status_code == 403
    assert (await theirs(site))[1] == [before]
