"""A mail server that does all it can, against the whole program: nothing lost, nobody delayed by another's trouble."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import hostile_smtp as hostile
import pytest
from hostile_smtp import HostileSmtp
from running import Clock, running
from test_bad_input import free_port

from monitor.model import Delivery, DeliveryState, Message, Subscriber, SubscriberState, Subscription
from monitor.pipeline import Monitor

BAD = "bad@example.org"
GOOD = tuple(f"good{number}@example.org" for number in range(5))
HEAD = b"From: d@example.org\r\nTo: %s\r\nSubject: 3 new\r\nMessage-ID: %s\r\n\r\n"


@pytest.fixture
async def relay() -> AsyncIterator[HostileSmtp]:
    async with HostileSmtp(credentials=("AHVzZXIAcmlnaHQ=",)) as server:  # user, right
        yield server


async def queue(monitor: Monitor, *recipients: str, lines: int = 20) -> dict[str, int]:
    """A digest for each; their ids."""
    now, ids = monitor.now(), {}
    for recipient in recipients:
        reader = await monitor.storage.readers.add_subscriber(Subscriber(email=recipient), now)
        [topic, *_] = await monitor.storage.topics.list()
        subscription = await monitor.storage.readers.add_subscription(
            Subscription(subscriber_id=reader.id, topic_ids=(topic.id,), next_digest_at=now)
        )
        message_id = f"<2026-W23.{reader.id}@example.org>"
        head = HEAD % (recipient.encode(), message_id.encode())
        message = Message(
            message_id=message_id,
            sender="d@example.org",
            recipient=recipient,
            subject="3 new",
            data=head + b"The whole digest.\r\n" * lines,
            compact=head + b"The short one.\r\n",
        )
        delivery = Delivery(
            subscription_id=subscription.id,
            subscriber_id=reader.id,
            period_key="2026-W23",
            message=message,
            queued_at=now,
        )
        added = await monitor.storage.outbox.enqueue(
            delivery, [], expected_next_at=now, next_at=now + timedelta(days=7)
        )
        assert added is not None
        ids[recipient] = added.id
    return ids


async def state_of(monitor: Monitor, number: int) -> Delivery:
    return await monitor.storage.outbox.get(number)


def smtp(relay: HostileSmtp, **more: object) -> dict[str, object]:
    return {"smtp__host": "127.0.0.1", "smtp__port": relay.port, "smtp__timeout": 2.0, **more}


async def codes(monitor: Monitor) -> set[tuple[str, str]]:
    return {(notice.subject, notice.code) for notice in await monitor.storage.notices.open()}


def named(value: object) -> str | None:
    """The same name in every process: a function's address is not."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:60] if isinstance(value, dict) else None


@pytest.mark.parametrize(
    ("script", "state", "reader"),
    [
        ({"RCPT": "421 4.7.0 too many connections"}, "deferred", "active"),
        ({"RCPT": "450 4.2.0 greylisted"}, "deferred", "active"),
        ({"RCPT": "452 4.3.1 no space"}, "deferred", "active"),
        ({"RCPT": "550 5.1.1 no such user"}, "failed", "suspended"),
        ({"dot": "550 5.7.515 not authenticated"}, "failed", "active"),
        ({"RCPT": "550 5.7.1 blocked"}, "failed", "active"),
        ({"dot": "552 5.2.2 mailbox full"}, "failed", "active"),
        ({"dot": hostile.cut}, "in_doubt", "active"),
        ({"dot": hostile.store_and_cut}, "in_doubt", "active"),
        ({"dot": hostile.store_and_stay_silent}, "in_doubt", "active"),
        ({"dot": hostile.endless}, "in_doubt", "active"),
        ({"RCPT": hostile.drip}, "deferred", "active"),
        ({"RCPT": hostile.junk}, "deferred", "active"),
    ],
    ids=named,
)
async def test_one_bad_recipient_delays_no_other_and_is_judged_by_the_answer(
    relay: HostileSmtp, tmp_path: Path, script: dict[str, Any], state: str, reader: str
) -> None:
    relay.for_recipient[BAD] = script
    async with running(tmp_path, Clock(), **smtp(relay)) as monitor:
        ids = await queue(monitor, BAD, *GOOD)

        await monitor.send_due()

        assert {relay.recipients().count(good) for good in GOOD} == {1}
        for good in GOOD:
            assert (await state_of(monitor, ids[good])).state is DeliveryState.ACCEPTED
        bad = await state_of(monitor, ids[BAD])
        assert bad.state.value == state, bad.last_error
        assert bad.last_error
        assert (await monitor.storage.readers.get(BAD)).state.value == reader
        told = {subject for subject, _ in await codes(monitor)}
        if "5.1.1" in str(script):
            assert f"reader:{bad.subscriber_id}" in told
        if "5.7." in str(script):
            assert "domain:example.org" in told
        if state == "deferred":
            assert bad.not_before is not None
            assert bad.not_before > monitor.now()


@pytest.mark.parametrize("script", [{"RCPT": "450 4.2.0 later"}, {"text": hostile.cut_after(100_000)}])
async def test_what_was_put_off_is_sent_once_as_soon_as_it_may(
    relay: HostileSmtp, tmp_path: Path, script: dict[str, Any]
) -> None:
    clock = Clock()
    relay.for_recipient[BAD] = script
    async with running(tmp_path, clock, **smtp(relay, smtp__timeout=30.0)) as monitor:
        ids = await queue(monitor, BAD, lines=500_000)  # more than the sockets between us can hold
        await monitor.send_due()
        await monitor.send_due()  # not yet
        relay.for_recipient.clear()
        clock.advance(hours=1)
        await monitor.send_due()

        sent = await state_of(monitor, ids[BAD])
        assert (sent.state, sent.attempts) == (DeliveryState.ACCEPTED, 2)
        assert relay.recipients() == [BAD]


async def test_a_reader_whom_nobody_accepts_for_two_days_is_given_up_and_told(
    relay: HostileSmtp, tmp_path: Path
) -> None:
    clock = Clock()
    relay.for_recipient[BAD] = {"RCPT": "450 4.2.0 later"}
    async with running(tmp_path, clock, **smtp(relay)) as monitor:
        ids = await queue(monitor, BAD)
        for _ in range(30):
            await monitor.send_due()
            clock.advance(hours=3)

        given_up = await state_of(monitor, ids[BAD])
        assert given_up.state is DeliveryState.FAILED
        assert 5 <= given_up.attempts <= 12
        assert (f"delivery:{given_up.id}", "given-up") in await codes(monitor)
        assert (await monitor.storage.readers.get(BAD)).state is SubscriberState.ACTIVE


@pytest.mark.parametrize("end", [hostile.store_and_cut, hostile.store_and_stay_silent])
async def test_a_lost_answer_means_one_more_copy_with_the_same_id_and_a_word_to_the_admin(
    relay: HostileSmtp, tmp_path: Path, end: Any
) -> None:
    clock = Clock()
    relay.script["dot"] = [end, None]
    async with running(tmp_path, clock, **smtp(relay)) as monitor:
        ids = await queue(monitor, BAD)
        for _ in range(4):
            await monitor.send_due()
            clock.advance(hours=1)

        sent = await state_of(monitor, ids[BAD])
        assert (sent.state, sent.resends) == (DeliveryState.ACCEPTED, 1)
        assert (f"delivery:{sent.id}", "in-doubt") in await codes(monitor)
        first, second = relay.stored
        assert first.data == second.data
        assert sent.message.message_id.encode() in first.data


async def test_with_hold_a_lost_answer_waits_for_the_admin(relay: HostileSmtp, tmp_path: Path) -> None:
    clock = Clock()
    relay.script["dot"] = [hostile.store_and_cut, None]
    async with running(tmp_path, clock, **smtp(relay, mail__in_doubt="hold")) as monitor:
        ids = await queue(monitor, BAD)
        for _ in range(4):
            await monitor.send_due()
            clock.advance(hours=1)

        waiting = await state_of(monitor, ids[BAD])
        assert (waiting.state, waiting.resends) == (DeliveryState.IN_DOUBT, 0)
        assert relay.recipients() == [BAD]
        await monitor.storage.outbox.retry(waiting.id, clock())
        await monitor.send_due()
        assert (await state_of(monitor, waiting.id)).state is DeliveryState.ACCEPTED


async def test_what_is_always_in_doubt_is_not_sent_for_ever(relay: HostileSmtp, tmp_path: Path) -> None:
    clock = Clock()
    relay.script["dot"] = hostile.store_and_cut
    async with running(tmp_path, clock, **smtp(relay)) as monitor:
        ids = await queue(monitor, BAD)
        for _ in range(10):
            await monitor.send_due()
            clock.advance(hours=1)

        assert relay.recipients() == [BAD, BAD]
        assert (await state_of(monitor, ids[BAD])).state is DeliveryState.IN_DOUBT


async def test_a_message_that_is_too_big_goes_out_once_more_in_its_compact_form(
    relay: HostileSmtp, tmp_path: Path
) -> None:
    relay.script["dot"] = ["552 5.3.4 message too big", None]
    async with running(tmp_path, Clock(), **smtp(relay)) as monitor:
        ids = await queue(monitor, BAD)

        await monitor.send_due()

        assert (await state_of(monitor, ids[BAD])).state is DeliveryState.ACCEPTED
        [stored] = relay.stored
        assert b"The short one." in stored.data


async def test_a_message_whose_compact_form_is_too_big_as_well_fails_after_two_tries(
    relay: HostileSmtp, tmp_path: Path
) -> None:
    clock = Clock()
    relay.script["dot"] = "552 5.3.4 message too big"
    async with running(tmp_path, clock, **smtp(relay)) as monitor:
        ids = await queue(monitor, BAD)
        for _ in range(3):
            await monitor.send_due()
            clock.advance(hours=1)

        assert (await state_of(monitor, ids[BAD])).state is DeliveryState.FAILED
        assert sum(command.startswith("DATA") for command in relay.commands) == 2
        assert (await monitor.storage.readers.get(BAD)).state is SubscriberState.ACTIVE


@pytest.mark.parametrize(
    ("script", "login"),
    [
        ({"banner": hostile.cut}, {}),
        ({"banner": "421 4.3.2 shutting down"}, {}),
        ({"EHLO": hostile.endless}, {}),
        ({"EHLO": hostile.drip}, {}),
        ({"EHLO": hostile.silent}, {}),
        ({"AUTH": "535 5.7.8 wrong"}, {"smtp__username": "user", "smtp__password": "right"}),
        ({"MAIL": "421 4.3.2 shutting down"}, {}),
    ],
    ids=named,
)
async def test_while_the_relay_itself_fails_nobody_s_message_ages_and_all_go_out_once_it_is_well(
    relay: HostileSmtp, tmp_path: Path, script: dict[str, Any], login: dict[str, object]
) -> None:
    clock = Clock()
    relay.extensions = (*relay.extensions, "AUTH PLAIN") if login else relay.extensions
    relay.script |= script
    async with running(tmp_path, clock, **smtp(relay, smtp__timeout=1.0, **login)) as monitor:
        ids = await queue(monitor, *GOOD)
        await monitor.send_due()
        clock.advance(minutes=20)
        await monitor.send_due()

        assert relay.stored == []
        for number in ids.values():
            waiting = await state_of(monitor, number)
            assert (waiting.state, waiting.attempts) == (DeliveryState.DEFERRED, 0)
        assert ("relay", "down") in await codes(monitor)

        relay.script.clear()
        clock.advance(days=3)  # much longer than any message is tried
        await monitor.send_due()
        clock.advance(hours=1)
        await monitor.send_due()

        assert sorted(relay.recipients()) == sorted(GOOD)
        assert await codes(monitor) == set()


async def test_with_no_server_at_all_nothing_is_lost_and_all_is_sent_when_it_is_back(tmp_path: Path) -> None:
    clock, port = Clock(), free_port()
    async with running(tmp_path, clock, smtp__host="127.0.0.1", smtp__port=port) as monitor:
        ids = await queue(monitor, *GOOD)
        for _ in range(5):
            await monitor.send_due()
            clock.advance(hours=6)
        counts = await monitor.storage.outbox.counts()

        assert counts[DeliveryState.DEFERRED] == len(ids)
        assert ("relay", "down") in await codes(monitor)

    async with HostileSmtp() as relay, running(tmp_path, clock, **smtp(relay)) as monitor:
        await monitor.send_due()

        assert sorted(relay.recipients()) == sorted(GOOD)
        assert await codes(monitor) == set()  # the notice is from before the restart, and ends all the same


async def test_dead_mailboxes_by_the_dozen_stop_the_run_before_all_readers_are_suspended(
    relay: HostileSmtp, tmp_path: Path
) -> None:
    many = [f"r{number}@example.org" for number in range(60)]
    relay.script["RCPT"] = "550 5.1.1 no such user"
    async with running(tmp_path, Clock(), **smtp(relay, smtp__connections=1)) as monitor:
        await queue(monitor, *many)

        await monitor.send_due()

        suspended = await monitor.storage.readers.list(SubscriberState.SUSPENDED)
        assert len(suspended) <= 20
        assert ("relay", "paused") in await codes(monitor)
        waiting = await monitor.storage.outbox.counts()
        assert waiting[DeliveryState.QUEUED] + waiting[DeliveryState.DEFERRED] == 60 - len(suspended)
