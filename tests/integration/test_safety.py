"""Watching what was mailed: Crossref and the Retraction Watch list on a local server, and warnings in mail."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from index_servers import Answer, Asked, IndexServer
from running import prepare
from source_rooms import SameProcess
from storage_samples import DAY, NOW, a_delivery, a_match, a_reader, a_topic, saved

from monitor import app as composition
from monitor.app import Opened
from monitor.errors import ParseError
from monitor.fetch import Fetcher
from monitor.model import Correction, CorrectionKind, Delivery, Subscriber, Subscription
from monitor.parse.asking import Access
from monitor.pipeline.harvest import Patience
from monitor.pipeline.safety import Safety
from storage import Storage

LIST = (
    "Record ID,Title,Reason,RetractionDate,RetractionDOI,OriginalPaperDOI,OriginalPaperPubMedID,RetractionNature\n"
    "1,A study,+Data;,6/14/2026 0:00,10.5555/n.1,10.5555/p.1,0,Retraction\n"
    "2,Another,,6/14/2026 0:00,,10.5555/elsewhere,0,Retraction\n"
)


@dataclass
class Room:
    safety: Safety
    server: IndexServer
    status: list[int]
    time: list[datetime]


def crossref(asked: Asked) -> list[dict[str, object]]:
    """Knows each paper that is asked for; the first was retracted."""
    dois = [part.removeprefix("doi:") for part in asked.query["filter"].split(",")]
    update = {"DOI": "10.5555/n.1", "type": "retraction", "source": "retraction-watch"}
    return [
        {"DOI": doi.upper(), "title": [doi], **({"updated-by": [update]} if doi == "10.5555/p.1" else {})}
        for doi in dois
    ]


@pytest.fixture
async def room(storage: Storage, tmp_path: Path) -> AsyncIterator[Room]:
    status, time = [200], [NOW]

    def answer(asked: Asked) -> Answer:
        if status[0] != 200:
            return status[0], {}, b"Resource not found."
        if asked.path.startswith("/list"):
            return 200, {"Content-Type": "text/csv"}, LIST.encode()
        return 200, {"Content-Type": "application/json"}, json.dumps({"message": {"items": crossref(asked)}}).encode()

    async with (
        IndexServer(answer).running() as server,
        Fetcher(user_agent="Test/1", allow=frozenset({server.place}), host_delay=0.0, timeout=5) as fetcher,
    ):
        safety = Safety(
            storage=storage,
            fetcher=fetcher,
            sandbox=SameProcess(),  # type: ignore[arg-type]
            now=lambda: time[0],
            directory=tmp_path,
            access=Access(contact="ops@example.org"),
            crossref_url=server.url("/crossref/"),
            list_url=server.url("/list.csv"),
            patience=Patience(tries=1, first_wait=0.0),
        )
        yield Room(safety, server, status, time)


async def mail(storage: Storage, papers: int) -> Subscriber:
    """Papers p.1, p.2 … were sent to a reader."""
    topic = await storage.topics.add(a_topic(), "ada", "first", NOW - 60 * DAY)
    reader, subscription = await a_reader(storage, (topic.id,))
    some = [
        saved(number, doi=f"10.5555/p.{number}", key=f"doi:10.5555/p.{number}", matches=(a_match(topic),))
        for number in range(1, papers + 1)
    ]
    await storage.articles.save(None, some, NOW - DAY)
    await storage.stories.settle(NOW)
    ids = [article.id for article in await storage.articles.candidates(None)]
    await storage.outbox.enqueue(a_delivery(subscription, reader), ids, expected_next_at=NOW, next_at=NOW + 7 * DAY)
    return reader


async def test_each_mailed_paper_is_asked_about_many_at_once_and_politely(storage: Storage, room: Room) -> None:
    reader = await mail(storage, 45)

    new = await room.safety.ask_crossref()

    assert new == 1
    assert [one.correction.notice_doi for one in await storage.corrections.untold(reader.id)] == ["10.5555/n.1"]
    assert len(room.server.asked) == 3
    assert all(asked.query["mailto"] == "ops@example.org" for asked in room.server.asked)
    assert await room.safety.ask_crossref() == 0
    assert len(room.server.asked) == 3  # all were asked about this week


async def test_a_round_is_done_by_one_process_and_the_list_once_a_week(storage: Storage, room: Room) -> None:
    await mail(storage, 2)

    first = await room.safety.watch_due()
    second = await room.safety.watch_due()
    room.time[0] += timedelta(days=7, minutes=1)
    await room.safety.watch_due()

    assert (first, second) == (2, 0)  # the list's other paper is new, too: it may be mailed yet
    assert [asked.path for asked in room.server.asked].count("/list.csv") == 2


async def test_an_index_that_fails_is_noticed_and_asked_again_within_the_hour(storage: Storage, room: Room) -> None:
    await mail(storage, 1)
    room.status[0] = 500
    await room.safety.watch_due()
    noticed = {notice.code for notice in await storage.notices.open()}

    room.status[0] = 200
    room.time[0] += timedelta(minutes=61)
    await room.safety.watch_due()

    assert noticed == {"crossref", "retraction-watch"}
    assert await storage.notices.open() == []
    assert await storage.corrections.count() == 2


async def test_a_file_that_is_not_the_list_is_refused(room: Room, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("name,email\na,b\n")

    with pytest.raises(ParseError, match="OriginalPaperDOI"):
        await room.safety.import_list(tmp_path / "other.csv")


async def test_a_list_of_many_rows_is_taken_in_at_once_and_twice_changes_nothing(room: Room, tmp_path: Path) -> None:
    rows = "".join(f"{n},T,,6/14/2026 0:00,,10.5555/many.{n},0,Retraction\n" for n in range(6_000))
    path = tmp_path / "many.csv"
    path.write_text(LIST.partition("\n")[0] + "\n" + rows)

    assert await room.safety.import_list(path) == 6_000
    assert await room.safety.import_list(path) == 0


# --- in mail --------------------------------------------------------------------------------------------------


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Opened, list[datetime]]]:
    for name in [name for name in os.environ if name.startswith("MONITOR_")]:
        monkeypatch.delenv(name)
    time = [NOW]
    settings = composition.settings(data_dir=tmp_path / "data", scholarly__enrich=False)
    prepare(tmp_path / "data")
    async with composition.open_monitor(settings, now=lambda: time[0], first_sources=[]) as monitor:
        yield monitor, time


async def warned(opened: Opened, time: list[datetime], **wish: object) -> tuple[list[Delivery], Subscription]:
    """A reader was sent a paper, which is retracted the next day."""
    storage = opened.monitor.storage
    topic = await storage.topics.add(a_topic("retracted-paper"), "ada", "first", NOW - 60 * DAY)
    wanted = replace(Subscription(subscriber_id=0, topic_ids=(topic.id,)), **wish)  # type: ignore[arg-type]
    _, subscription = await opened.monitor.readers.add(Subscriber(email="ada@example.org"), wanted)
    one = saved(1, title="mTOR in mice", doi="10.5555/p.1", key="doi:10.5555/p.1", matches=(a_match(topic),))
    await storage.articles.save(None, [one], NOW)
    assert subscription.next_digest_at is not None
    time[0] = subscription.next_digest_at
    assert await opened.monitor.plan_digests() == 1
    time[0] += DAY
    notice = Correction(kind=CorrectionKind.RETRACTION, doi="10.5555/p.1", notice_doi="10.5555/n.1", source="crossref")
    await storage.corrections.add([notice], time[0])
    await opened.monitor.plan_digests()
    return await storage.outbox.list(), await storage.readers.subscription(subscription.id)


async def test_a_reader_who_wishes_it_is_warned_at_once_and_only_once(opened: tuple[Opened, list[datetime]]) -> None:
    monitor, time = opened
    deliveries, subscription = await warned(monitor, time, safety_at_once=True)
    planned = subscription.next_digest_at
    await monitor.monitor.plan_digests()

    whole = await monitor.monitor.storage.outbox.get(deliveries[0].id)
    letter = message_from_bytes(whole.message.data, policy=policy.default)
    text = letter.get_body(("plain",))

    assert len(await monitor.monitor.storage.outbox.list()) == 2
    assert str(letter["Subject"]).startswith("1 retraction of what you were sent")
    assert text is not None
    assert "Retracted: mTOR in mice" in text.get_content()
    assert planned == time[0] - DAY + timedelta(days=7)  # the planned digest stays where it was


async def test_without_the_wish_it_comes_with_the_next_digest_although_that_has_no_other_news(
    opened: tuple[Opened, list[datetime]],
) -> None:
    monitor, time = opened
    deliveries, subscription = await warned(monitor, time)
    assert len(deliveries) == 1
    assert subscription.next_digest_at is not None

    time[0] = subscription.next_digest_at
    await monitor.monitor.plan_digests()

    newest = await monitor.monitor.storage.outbox.get((await monitor.monitor.storage.outbox.list())[0].id)
    assert newest.message.subject.startswith("1 retraction of what you were sent")
    assert "Safety: notices about what you were sent" in newest.message.html
    assert "Retracted:</b>" in newest.message.html  # in words, not by colour only
