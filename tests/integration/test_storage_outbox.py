"""The outbox: once for each period, fenced, recovered, never twice to one reader. On SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from storage_samples import DAY, LEASE, MINUTE, NOW, a_delivery, a_reader, a_topic, three_articles

from monitor.errors import NotFound, StorageError
from monitor.model import Delivery, DeliveryState, Subscriber, SubscriberState, Subscription
from storage import Storage

NEXT = NOW + 7 * DAY


class Desk:
    """A reader with three articles to bring."""

    def __init__(self, storage: Storage, subscriber: Subscriber, subscription: Subscription, ids: list[int]) -> None:
        self.outbox = storage.outbox
        self.readers = storage.readers
        self.subscriber = subscriber
        self.subscription = subscription
        self.ids = ids

    async def enqueue(self, period_key: str = "2026-W48", ids: list[int] | None = None) -> Delivery:
        subscription = await self.readers.subscription(self.subscription.id)
        delivery = await self.outbox.enqueue(
            a_delivery(subscription, self.subscriber, period_key),
            self.ids if ids is None else ids,
            expected_next_at=subscription.next_digest_at,
            next_at=NEXT,
        )
        assert delivery is not None
        return delivery

    async def claim(self) -> Delivery:
        await self.enqueue()
        (claimed,) = await self.outbox.claim_due(NOW, 10, LEASE)
        return claimed

    async def state(self) -> DeliveryState:
        (delivery,) = await self.outbox.list()
        return delivery.state


@pytest.fixture
async def desk(storage: Storage) -> Desk:
    topic = await storage.topics.add(a_topic(), "a", "", NOW)
    ids = await three_articles(storage, topic)
    return Desk(storage, *(await a_reader(storage, (topic.id,))), ids)


# --- in -------------------------------------------------------------------------------------------------------


async def test_a_digest_is_frozen_and_its_subscription_moves_on(desk: Desk, storage: Storage) -> None:
    wanted = a_delivery(desk.subscription, desk.subscriber)

    stored = await desk.outbox.enqueue(wanted, desk.ids[::-1], expected_next_at=NOW, next_at=NEXT, silent_periods=0)

    assert stored is not None
    assert replace(stored, id=0) == wanted
    assert await desk.outbox.get(stored.id) == stored
    assert await desk.outbox.get(wanted.message.message_id) == stored
    assert (await desk.outbox.digest(stored.id)).article_ids == tuple(desk.ids[::-1])
    assert (await desk.readers.subscription(desk.subscription.id)).next_digest_at == NEXT
    assert await storage.readers.due(NOW, 10) == []


async def test_of_many_planners_one_enqueues(desk: Desk, storage_url: str) -> None:
    async with Storage.open(storage_url) as other:
        plans = [
            outbox.enqueue(a_delivery(desk.subscription, desk.subscriber), desk.ids, expected_next_at=NOW, next_at=NEXT)
            for outbox in (desk.outbox, other.outbox) * 4
        ]
        results = await asyncio.gather(*plans)

    assert sum(result is not None for result in results) == 1
    assert len(await desk.outbox.list()) == 1


async def test_a_digest_that_would_repeat_an_article_is_not_enqueued_and_nothing_changes(desk: Desk) -> None:
    """Two subscriptions of one reader, planned at the same moment from what neither had sent."""
    daily = await desk.readers.add_subscription(replace(desk.subscription, id=0))
    await desk.enqueue(ids=desk.ids[:1])

    late = await desk.outbox.enqueue(
        a_delivery(daily, desk.subscriber, "2026-11-23"), desk.ids, expected_next_at=NOW, next_at=NEXT
    )

    assert late is None
    assert (await desk.readers.subscription(daily.id)).next_digest_at == NOW
    assert len(await desk.outbox.list()) == 1


async def test_a_period_that_has_its_digest_gets_no_second_and_the_subscription_moves_on(desk: Desk) -> None:
    await desk.enqueue(ids=desk.ids[:1])
    await desk.readers.update_subscription(desk.subscription)  # an admin sets it back

    again = await desk.outbox.enqueue(
        a_delivery(desk.subscription, desk.subscriber), desk.ids[1:], expected_next_at=NOW, next_at=NEXT
    )

    assert again is None
    assert len(await desk.outbox.list()) == 1
    assert (await desk.readers.subscription(desk.subscription.id)).next_digest_at == NEXT


async def test_a_failure_in_the_middle_leaves_nothing(desk: Desk) -> None:
    with pytest.raises(StorageError):
        await desk.outbox.enqueue(
            a_delivery(desk.subscription, desk.subscriber),
            [*desk.ids, 999_999],
            expected_next_at=NOW,
            next_at=NEXT,
        )

    assert await desk.outbox.list() == []
    assert (await desk.readers.subscription(desk.subscription.id)).next_digest_at == NOW
    await desk.enqueue()  # the ledger is free


async def test_an_empty_period_is_skipped_once(desk: Desk) -> None:
    skips = [
        await desk.outbox.skip(desk.subscription, expected_next_at=NOW, next_at=NEXT, silent_periods=1)
        for _ in range(2)
    ]

    moved = await desk.readers.subscription(desk.subscription.id)
    assert skips == [True, False]
    assert (moved.next_digest_at, moved.silent_periods) == (NEXT, 1)


async def test_a_confirmation_is_queued_once(desk: Desk) -> None:
    mail = a_delivery(None, desk.subscriber, "confirm")

    stored = await desk.outbox.enqueue_mail(mail)

    assert await desk.outbox.enqueue_mail(mail) == stored
    assert stored.subscription_id is None
    assert len(await desk.outbox.list()) == 1
    assert await desk.outbox.digests(desk.subscriber.id) == []


# --- out ------------------------------------------------------------------------------------------------------


async def test_a_claim_says_sending_before_anything_is_sent(desk: Desk) -> None:
    claimed = await desk.claim()

    assert (claimed.state, claimed.attempts, claimed.epoch) == (DeliveryState.SENDING, 1, 1)
    assert (claimed.first_tried_at, claimed.lease_until) == (NOW, NOW + LEASE)
    assert claimed.message == a_delivery(desk.subscription, desk.subscriber).message
    assert await desk.outbox.get(claimed.id) == claimed
    assert await desk.outbox.claim_due(NOW, 10, LEASE) == []


async def test_two_processes_never_send_the_same_message(desk: Desk, storage_url: str) -> None:
    for number in range(30):
        await desk.outbox.enqueue_mail(a_delivery(None, desk.subscriber, f"mail-{number}"))

    async with Storage.open(storage_url) as other:
        claims = [outbox.claim_due(NOW, 4, LEASE) for outbox in (desk.outbox, other.outbox) * 6]
        batches = await asyncio.gather(*claims)

    ids = [delivery.id for batch in batches for delivery in batch]
    assert len(ids) == len(set(ids))
    assert len(ids) + len(await desk.outbox.claim_due(NOW, 99, LEASE)) == 30


async def test_the_longest_waiting_is_sent_first(desk: Desk) -> None:
    for key, minutes in (("b", 2), ("a", 1), ("c", 3)):
        mail = a_delivery(None, desk.subscriber, key, queued_at=NOW + minutes * MINUTE)
        await desk.outbox.enqueue_mail(mail)

    claimed = await desk.outbox.claim_due(NOW + DAY, 2, LEASE)

    assert [delivery.period_key for delivery in claimed] == ["a", "b"]


async def test_an_accepted_message_is_settled(desk: Desk) -> None:
    claimed = await desk.claim()

    assert await desk.outbox.accepted(claimed, NOW + MINUTE)

    settled = await desk.outbox.get(claimed.id)
    assert (settled.state, settled.settled_at, settled.lease_until) == (DeliveryState.ACCEPTED, NOW + MINUTE, None)
    assert await desk.outbox.accepted(claimed, NOW + MINUTE)  # asked again, for the answer to the commit was lost
    assert await desk.outbox.recover(NOW + DAY) == []


async def test_a_deferred_message_is_tried_again_then(desk: Desk) -> None:
    claimed = await desk.claim()

    assert await desk.outbox.deferred(claimed, "451 try later", NOW + MINUTE, NOW)

    assert await desk.outbox.claim_due(NOW, 10, LEASE) == []
    (again,) = await desk.outbox.claim_due(NOW + MINUTE, 10, LEASE)
    assert (again.attempts, again.first_tried_at, again.last_error, again.epoch) == (2, NOW, "451 try later", 2)


async def test_an_unreachable_relay_never_ages_a_message(desk: Desk) -> None:
    await desk.enqueue()
    for day in range(5):
        (claimed,) = await desk.outbox.claim_due(NOW + day * DAY, 10, LEASE)
        await desk.outbox.deferred(claimed, "connection refused", NOW, NOW + day * DAY, counts=False)

    waiting = await desk.outbox.get(claimed.id)
    (fresh,) = await desk.outbox.claim_due(NOW + 5 * DAY, 10, LEASE)

    assert (waiting.attempts, waiting.first_tried_at) == (0, None)
    assert (fresh.attempts, fresh.first_tried_at) == (1, NOW + 5 * DAY)


async def test_a_failed_digest_gives_its_articles_back(desk: Desk) -> None:
    claimed = await desk.claim()

    assert await desk.outbox.failed(claimed, "550 no such user", NOW)
    await desk.enqueue("2026-W49")

    (next_digest, failed) = await desk.outbox.digests(desk.subscriber.id)
    assert failed.article_ids == next_digest.article_ids == tuple(desk.ids)
    assert failed.delivery.state is DeliveryState.FAILED


async def test_whoever_lost_the_claim_settles_nothing(desk: Desk) -> None:
    stale = await desk.claim()
    await desk.outbox.recover(NOW + LEASE)
    (fresh,) = await desk.outbox.claim_due(NOW + LEASE, 10, LEASE)

    settled = [
        await desk.outbox.renew(stale, NOW + DAY),
        await desk.outbox.accepted(stale, NOW),
        await desk.outbox.deferred(stale, "", NOW, NOW),
        await desk.outbox.failed(stale, "", NOW),
        await desk.outbox.in_doubt(stale, "", NOW),
    ]

    assert settled == [False] * 5
    assert await desk.outbox.get(fresh.id) == fresh
    assert await desk.outbox.renew(fresh, NOW + DAY)


# --- doubt ----------------------------------------------------------------------------------------------------


async def test_what_was_being_sent_when_the_program_died_is_sent_once_more_with_the_same_id(desk: Desk) -> None:
    first = await desk.claim()
    assert await desk.outbox.recover(NOW + LEASE - timedelta(seconds=1)) == []

    (recovered,) = await desk.outbox.recover(NOW + LEASE)
    (second,) = await desk.outbox.claim_due(NOW + LEASE, 10, LEASE)
    (doubtful,) = await desk.outbox.recover(NOW + 3 * LEASE)

    assert (recovered.state, recovered.resends) == (DeliveryState.QUEUED, 1)
    assert "may have arrived" in recovered.last_error
    assert second.message.message_id == first.message.message_id
    assert (doubtful.state, doubtful.resends) == (DeliveryState.IN_DOUBT, 1)  # a second copy is never automatic
    assert await desk.outbox.recover(NOW + DAY) == []


async def test_with_the_other_policy_doubt_waits_for_an_admin(desk: Desk) -> None:
    claimed = await desk.claim()
    assert await desk.outbox.in_doubt(claimed, "the answer to DATA was lost", NOW)

    assert await desk.outbox.recover(NOW + DAY, resend=False) == []
    assert await desk.outbox.claim_due(NOW + DAY, 10, LEASE) == []
    assert await desk.state() is DeliveryState.IN_DOUBT
    assert (await desk.outbox.retry(claimed.id, NOW)).state is DeliveryState.QUEUED


async def test_a_frozen_sender_that_wakes_up_with_an_acceptance_spares_the_second_copy(desk: Desk) -> None:
    claimed = await desk.claim()
    await desk.outbox.recover(NOW + LEASE)

    assert await desk.outbox.accepted(claimed, NOW + LEASE)

    assert await desk.outbox.claim_due(NOW + DAY, 10, LEASE) == []
    assert await desk.state() is DeliveryState.ACCEPTED


# --- an admin's decisions -------------------------------------------------------------------------------------


async def test_a_failed_digest_may_be_sent_again_unless_a_later_one_has_its_articles(desk: Desk) -> None:
    claimed = await desk.claim()
    await desk.outbox.failed(claimed, "550", NOW)

    again = await desk.outbox.retry(claimed.id, NOW + MINUTE)
    (sent,) = await desk.outbox.claim_due(NOW + MINUTE, 10, LEASE)
    await desk.outbox.failed(sent, "550", NOW)
    await desk.enqueue("2026-W49")

    assert (again.state, again.attempts, again.first_tried_at) == (DeliveryState.QUEUED, 0, None)
    with pytest.raises(StorageError, match="a later digest"):
        await desk.outbox.retry(claimed.id, NOW)
    assert (await desk.outbox.get(claimed.id)).state is DeliveryState.FAILED


async def test_what_is_under_way_or_done_is_neither_retried_nor_cancelled(desk: Desk) -> None:
    claimed = await desk.claim()
    for settle in (None, desk.outbox.accepted):
        if settle is not None:
            await settle(claimed, NOW)
        with pytest.raises(StorageError):
            await desk.outbox.retry(claimed.id, NOW)
        with pytest.raises(StorageError, match="too late"):
            await desk.outbox.cancel(claimed.id, NOW)
    with pytest.raises(NotFound):
        await desk.outbox.cancel(999, NOW)


async def test_a_cancelled_digest_gives_its_articles_back(desk: Desk) -> None:
    delivery = await desk.enqueue()

    cancelled = await desk.outbox.cancel(delivery.id, NOW)

    assert (cancelled.state, cancelled.settled_at) == (DeliveryState.CANCELLED, NOW)
    assert await desk.outbox.claim_due(NOW, 10, LEASE) == []
    await desk.enqueue("2026-W49")


async def test_after_a_restore_everything_waits_until_it_is_released(desk: Desk) -> None:
    sending = await desk.claim()

    assert await desk.outbox.hold_all("restored from a backup", NOW) == 1
    new = await desk.enqueue("2026-W49", ids=[])

    assert new.state is DeliveryState.HELD
    assert await desk.outbox.held_because() == "restored from a backup"
    assert not await desk.outbox.accepted(sending, NOW)
    assert await desk.outbox.claim_due(NOW + DAY, 10, LEASE) == []
    assert await desk.outbox.release(NOW, [new.id]) == 1
    assert await desk.outbox.held_because()
    assert await desk.outbox.release(NOW) == 1
    assert await desk.outbox.held_because() == ""
    assert len(await desk.outbox.claim_due(NOW, 10, LEASE)) == 2


async def test_digests_of_readers_who_left_are_not_sent_and_can_be_cancelled(desk: Desk) -> None:
    await desk.enqueue()
    await desk.outbox.enqueue_mail(a_delivery(None, desk.subscriber, "goodbye"))
    await desk.readers.update(replace(desk.subscriber, state=SubscriberState.UNSUBSCRIBED))

    sent = await desk.outbox.claim_due(NOW, 10, LEASE)

    assert [delivery.period_key for delivery in sent] == ["goodbye"]
    assert await desk.outbox.cancel_unwanted(NOW) == 1
    assert (await desk.outbox.counts())[DeliveryState.CANCELLED] == 1


async def test_listed_newest_first_by_state_and_counted(desk: Desk) -> None:
    digest = await desk.claim()
    mail = await desk.outbox.enqueue_mail(a_delivery(None, desk.subscriber, "confirm"))

    everything = await desk.outbox.list()
    sending = await desk.outbox.list([DeliveryState.SENDING], limit=5)
    counts = await desk.outbox.counts()

    assert [delivery.id for delivery in everything] == [mail.id, digest.id]
    assert [delivery.id for delivery in sending] == [digest.id]
    assert sending[0].message.data == b""  # a list carries no bodies
    assert {state: number for state, number in counts.items() if number} == {
        DeliveryState.SENDING: 1,
        DeliveryState.QUEUED: 1,
    }
    assert set(counts) == set(DeliveryState)
