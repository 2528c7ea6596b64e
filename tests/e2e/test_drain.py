"""SIGTERM, as a container engine sends it: what is in hand is finished, no more is begun, leases are given back."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from publisher import Publisher
from roles import Roles, until
from running import prepare
from smtp_sink import SmtpSink
from test_engine_roles import FEEDS, READERS, fill, settings

import storage as store
from monitor.model import DeliveryState

IN_ONE = ("MONITOR_RUN__ENGINE", "MONITOR_SECRET_KEY", "MONITOR_STORAGE__URL")


async def states(url: str) -> Counter[DeliveryState]:
    async with store.Storage.open(url) as storage:
        return Counter(delivery.state for delivery in await storage.outbox.list(limit=100))


@pytest.mark.parametrize("distributed", [False, pytest.param(True, marks=pytest.mark.postgres)])
@pytest.mark.timeout(120)
def test_the_message_being_sent_is_finished_and_no_other_begun(
    distributed: bool, request: pytest.FixtureRequest, publisher: Publisher, tmp_path: Path
) -> None:
    prepare(tmp_path)
    url = request.getfixturevalue("engine_url") if distributed else f"sqlite:///{tmp_path / 'monitor.db'}"
    asyncio.run(fill(url, publisher.origin))
    with SmtpSink(tmp_path, pause=3.0) as sink, Roles(tmp_path) as roles:
        values = settings(url, publisher.origin, sink.port, tmp_path) | {"MONITOR_SMTP__CONNECTIONS": 2}
        if not distributed:
            values = {name: value for name, value in values.items() if name not in IN_ONE}
        role = roles.start("run", **values)
        until(lambda: (tmp_path / "taken.jsonl").exists() and len(sink.taken()) >= 1, 40, "a message on its way")
        began = time.monotonic()

        role.send(signal.SIGTERM)

        assert role.wait(30) == 0
        seconds = time.monotonic() - began
        taken = sink.taken()
        assert asyncio.run(states(url)) == {
            DeliveryState.ACCEPTED: len(taken),
            DeliveryState.QUEUED: READERS - len(taken),
        }
        assert 0 < len(taken) < READERS
        assert len({one.message_id for one in taken}) == len(taken)
        assert seconds < 15


@pytest.mark.timeout(120)
def test_a_visit_that_takes_too_long_is_cut_off_and_its_source_is_free_at_once(
    publisher: Publisher, tmp_path: Path
) -> None:
    prepare(tmp_path)
    url = f"sqlite:///{tmp_path / 'monitor.db'}"
    asyncio.run(fill(url, publisher.origin, readers=0))
    publisher.pause = 20.0
    with SmtpSink(tmp_path) as sink, Roles(tmp_path) as roles:
        values = settings(url, publisher.origin, sink.port, tmp_path) | {"MONITOR_RUN__DRAIN_SECONDS": 1}
        role = roles.start("run", **{name: value for name, value in values.items() if name not in IN_ONE})
        until(lambda: bool(publisher.visits), 40, "a visit")

        role.send(signal.SIGTERM)

        assert role.wait(15) == 0

    async def free() -> int:
        async with store.Storage.open(url) as storage:
            return len(await storage.sources.claim_due(datetime.now(UTC), 100, timedelta(seconds=5)))

    assert asyncio.run(free()) == FEEDS
