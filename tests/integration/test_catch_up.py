"""Time and company: a program that slept for weeks, a clock that jumps, two instances, one that was frozen."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import hostile_smtp as hostile
import pytest
from hostile_http import HostileHttp, Request, ok
from hostile_smtp import HostileSmtp, Session
from running import Clock, prose, running
from test_bad_input import PAGE, feed
from test_hostile_relay import queue, smtp

from monitor.model import Cadence, DeliveryState, Source, Subscriber, SubscriberState, Subscription
from monitor.pipeline import Monitor

SLUGS = [f"story-{number}" for number in range(6)]


@asynccontextmanager
async def newsroom(feeds: int = 1) -> AsyncIterator[tuple[HostileHttp, list[Source]]]:
    web = HostileHttp()
    async with web.running():
        for number in range(feeds):
            slugs = [f"{number}-{slug}" for slug in SLUGS]
            web.pages[f"/{number}.xml"] = ok(feed(web.place, *slugs))
            for slug in slugs:
                page = PAGE.format(f"Story {slug}", prose(slug, 150))
                web.pages[f"/{slug}"] = ok(page.encode(), Content_Type="text/html")
        yield web, [Source(slug=f"s{n}", name=f"S{n}", url=web.url(f"/{n}.xml")) for n in range(feeds)]


async def add_readers(monitor: Monitor) -> None:
    topic = await monitor.storage.topics.get("mtor")
    for cadence in Cadence:
        wanted = Subscription(subscriber_id=0, topic_ids=(topic.id,), cadence=cadence)
        await monitor.readers.add(Subscriber(email=f"{cadence.value}@example.org"), wanted)


async def digests(monitor: Monitor) -> Counter[str]:
    return Counter(delivery.message.recipient for delivery in await monitor.storage.outbox.list(limit=1000))


async def polls(monitor: Monitor, clock: Clock) -> int:
    [source] = await monitor.storage.sources.list()
    return len(await monitor.storage.sources.polls(source.id, clock.time - timedelta(days=365)))


async def check_each_article_once(monitor: Monitor) -> None:
    for reader in await monitor.storage.readers.list():
        sent = [item for digest in await monitor.storage.outbox.digests(reader.id) for item in digest.article_ids]
        assert sorted(sent) == sorted(set(sent)), reader.email


@pytest.mark.parametrize("asleep", [timedelta(hours=5), timedelta(days=2), timedelta(weeks=5)], ids=str)
async def test_after_downtime_each_due_thing_is_done_once(tmp_path: Path, asleep: timedelta) -> None:
    clock = Clock()
    async with newsroom() as (web, sources):
        async with running(tmp_path, clock, sources=sources, fetch__allow=(web.place,)) as monitor:
            await add_readers(monitor)
            await monitor.run_due()
            assert await polls(monitor, clock) == 1

        clock.time += asleep
        async with running(tmp_path, clock, fetch__allow=(web.place,)) as monitor:
            for _ in range(3):
                await monitor.run_due()

            assert await polls(monitor, clock) == 2
            periods = Counter((d.subscription_id, d.period_key) for d in await monitor.storage.outbox.list(limit=1000))
            assert set(periods.values()) == {1}
            got = await digests(monitor)
            assert got["at_once@example.org"] == 1
            assert got["daily@example.org"] == (1 if asleep >= timedelta(days=1) else 0)
            assert got["weekly@example.org"] == (1 if asleep >= timedelta(weeks=1) else 0)
            assert got["monthly@example.org"] == (1 if asleep >= timedelta(weeks=5) else 0)
            for reader in await monitor.storage.readers.list():
                [subscription] = await monitor.storage.readers.subscriptions(reader.id)
                assert subscription.next_digest_at is not None
                assert subscription.next_digest_at > clock.time
                [*sent] = await monitor.storage.outbox.digests(reader.id)
                if sent:
                    assert len(sent[0].article_ids) == len(SLUGS)
            await check_each_article_once(monitor)


async def test_a_clock_that_is_set_back_does_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        newsroom() as (web, sources),
        running(tmp_path, clock, sources=sources, fetch__allow=(web.place,)) as monitor,
    ):
        await add_readers(monitor)
        await monitor.run_due()
        clock.advance(days=8)
        await monitor.run_due()
        before, polled = await digests(monitor), await polls(monitor, clock)

        clock.advance(hours=-30)
        await monitor.run_due()
        assert (await digests(monitor), await polls(monitor, clock)) == (before, polled)

        web.pages["/0.xml"] = ok(feed(web.place, *[f"0-{slug}" for slug in SLUGS], "0-later"))
        clock.advance(hours=30, days=8)
        await monitor.run_due()
        clock.advance(days=8)
        await monitor.run_due()
        after = await digests(monitor)
        assert after["weekly@example.org"] == before["weekly@example.org"] + 1
        assert after["daily@example.org"] == before["daily@example.org"] + 1
        await check_each_article_once(monitor)


async def test_two_instances_poll_read_and_send_everything_once(storage_url: str, tmp_path: Path) -> None:
    clock = Clock()
    async with newsroom(feeds=8) as (web, sources), HostileSmtp() as relay:
        values = {"fetch__allow": (web.place,), "storage__url": storage_url, "poll__batch": 3, **smtp(relay)}
        async with running(tmp_path / "a", clock, sources=sources, **values) as one:
            await add_readers(one)
            async with running(tmp_path / "b", clock, **values) as other:
                for _ in range(3):
                    await asyncio.gather(one.run_due(), other.run_due())
                    clock.advance(days=8)
                    web.pages = {path: page for path, page in web.pages.items() if not path.endswith(".xml")}

                asked = Counter(request.path for request in web.requests if not request.path.endswith(("xml", "txt")))
                assert set(asked.values()) == {1}
                assert len(asked) == 8 * len(SLUGS)
                for source in await one.storage.sources.list():
                    visits = await one.storage.sources.polls(source.id, clock.time - timedelta(days=365))
                    assert len(visits) == 3
                assert await one.storage.articles.count() == 8 * len(SLUGS)
                deliveries = await one.storage.outbox.list(limit=1000)
                assert len(deliveries) == len(Cadence) - 1  # no month is over
                assert Counter(relay.recipients()) == Counter(d.message.recipient for d in deliveries)
                await check_each_article_once(one)


async def test_two_instances_that_plan_the_same_digests_at_once_send_each_once(
    storage_url: str, tmp_path: Path
) -> None:
    clock = Clock()
    async with newsroom() as (web, sources), HostileSmtp() as relay:
        values = {"fetch__allow": (web.place,), "storage__url": storage_url, **smtp(relay)}
        async with (
            running(tmp_path / "a", clock, sources=sources, **values) as one,
            running(tmp_path / "b", clock, **values) as other,
        ):
            topic = await one.storage.topics.get("mtor")
            for number in range(20):
                wanted = Subscription(subscriber_id=0, topic_ids=(topic.id,), cadence=Cadence.DAILY)
                await one.readers.add(Subscriber(email=f"r{number}@example.org"), wanted)
            await one.poll_due()
            clock.advance(days=1)

            planned = await asyncio.gather(*(each.plan_digests() for each in (one, other) * 3))
            await asyncio.gather(*(each.send_due() for each in (one, other) * 2))

            assert sum(planned) == 20
            assert Counter(relay.recipients()) == Counter(f"r{number}@example.org" for number in range(20))
            assert await one.storage.notices.open() == []


class Gate:
    """A web page, or a mail server's answer, that comes when it is let through."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def page(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.reached.set()
        await self.open.wait()
        await ok(self.body)(request, writer)

    body = b""

    async def answer(self, session: Session) -> None:
        session.store()
        self.reached.set()
        await self.open.wait()
        await session.say(self.reply)

    reply = "250 2.0.0 ok"


async def test_a_poll_that_outlived_its_lease_changes_nothing_any_more(storage_url: str, tmp_path: Path) -> None:
    clock, gate = Clock(), Gate()
    async with newsroom() as (web, sources):
        values = {"fetch__allow": (web.place,), "storage__url": storage_url}
        whole, web.pages["/0.xml"] = web.pages["/0.xml"], gate.page
        gate.body = feed(web.place, "stale")
        async with (
            running(tmp_path / "a", clock, sources=sources, **values) as frozen,
            running(tmp_path / "b", clock, **values) as other,
        ):
            poll = asyncio.create_task(frozen.poll_due())
            await gate.reached.wait()
            clock.advance(minutes=10)  # its lease ran out while it was frozen
            web.pages["/0.xml"] = whole
            await other.poll_due()
            gate.open.set()
            await poll

            titles = {article.title for article in await other.storage.articles.recent()}
            assert titles == {f"Story 0-{slug}" for slug in SLUGS}
            [source] = await other.storage.sources.list()
            [visit] = await other.storage.sources.polls(source.id, clock.time - timedelta(days=1))
            assert (visit.outcome, visit.new) == ("ok", len(SLUGS))
            assert (source.failures, source.last_error) == (0, "")
            assert await other.storage.notices.open() == []


async def test_an_answer_that_comes_after_another_took_over_settles_nothing(storage_url: str, tmp_path: Path) -> None:
    clock, gate = Clock(), Gate()
    gate.reply = "554 5.7.1 too late"
    async with HostileSmtp() as relay:
        values = {"storage__url": storage_url, **smtp(relay, smtp__timeout=20.0)}
        relay.script["dot"] = [gate.answer, None]
        async with (
            running(tmp_path / "a", clock, **values) as frozen,
            running(tmp_path / "b", clock, **values) as other,
        ):
            [number] = (await queue(frozen, "ann@example.org")).values()
            send = asyncio.create_task(frozen.send_due())
            await gate.reached.wait()
            clock.advance(minutes=10)
            await other.send_due()
            gate.open.set()
            await send

            settled = await other.storage.outbox.get(number)
            assert (settled.state, settled.resends) == (DeliveryState.ACCEPTED, 1)
            assert len(relay.stored) == 2  # the second copy, with the same id
            assert (await other.storage.readers.get("ann@example.org")).state is SubscriberState.ACTIVE
            assert {notice.code for notice in await other.storage.notices.open()} == {"in-doubt"}


async def test_an_acceptance_that_comes_late_but_before_the_second_copy_makes_that_needless(
    storage_url: str, tmp_path: Path
) -> None:
    clock, gate = Clock(), Gate()
    async with HostileSmtp() as relay:
        values = {"storage__url": storage_url, **smtp(relay, smtp__timeout=20.0)}
        relay.script["dot"] = [gate.answer, None]
        async with (
            running(tmp_path / "a", clock, **values) as slow,
            running(tmp_path / "b", clock, **values) as other,
        ):
            [number] = (await queue(slow, "ann@example.org")).values()
            send = asyncio.create_task(slow.send_due())
            await gate.reached.wait()
            clock.advance(minutes=10)
            await other.recover()
            gate.open.set()
            await send
            await other.send_due()

            assert (await other.storage.outbox.get(number)).state is DeliveryState.ACCEPTED
            assert len(relay.stored) == 1


async def test_a_save_without_the_claim_is_refused_as_a_whole(storage_url: str, tmp_path: Path) -> None:
    clock = Clock()
    async with newsroom() as (web, sources):
        values = {"fetch__allow": (web.place,), "storage__url": storage_url}
        async with running(tmp_path, clock, sources=sources, **values) as monitor:
            [old] = await monitor.storage.sources.claim_due(clock.time, 1, timedelta(seconds=30))
            clock.advance(minutes=1)
            [_] = await monitor.storage.sources.claim_due(clock.time, 1, timedelta(seconds=30))

            visit = await monitor.ingest.refresh(old)

            assert (visit.outcome, visit.new) == ("StorageError", 0)
            assert "claim on source s0 was lost" in visit.detail
            assert await monitor.storage.articles.count() == 0
            [source] = await monitor.storage.sources.list()
            assert (source.failures, source.last_error) == (0, "")
            assert await monitor.storage.sources.polls(source.id, clock.time - timedelta(days=1)) == []


async def test_a_relay_that_hangs_holds_up_no_other_instance(tmp_path: Path) -> None:
    clock = Clock()
    async with HostileSmtp() as relay:
        relay.for_recipient["ann@example.org"] = {"RCPT": hostile.silent}
        async with (
            running(tmp_path, clock, **smtp(relay)) as one,
            running(tmp_path, clock, **smtp(relay)) as other,
        ):
            await queue(one, "ann@example.org", "ben@example.org")
            await asyncio.gather(one.send_due(), other.send_due())

            assert relay.recipients() == ["ben@example.org"]
