"""A saved search of PubMed against a server that answers as E-utilities do."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from index_servers import Answer, FakePubMed, IndexServer, as_json
from source_rooms import ACCESS, NOW, Room, room_of

from monitor.model import Source, SourceKind
from monitor.parse.asking import Access

RESULTS = {date(2026, 11, 1 + n): list(range(1000 + n * 50, 1050 + n * 50)) for n in range(20)}


def a_search(server: IndexServer, **changes: object) -> Source:
    values: dict[str, object] = {"slug": "s", "name": "S", "url": server.url("/entrez/"), "pages": False}
    values |= {"kind": SourceKind.PUBMED, "options": (("query", "opioid tolerance"),)}
    return Source(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def pubmed() -> FakePubMed:
    return FakePubMed(dict(RESULTS))


@pytest.fixture
async def server(pubmed: FakePubMed) -> AsyncIterator[IndexServer]:
    async with IndexServer(pubmed.answer).running() as running:
        yield running


@pytest.fixture
def url(sqlite_template: Path, tmp_path: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "monitor.db")
    return f"sqlite:///{tmp_path / 'monitor.db'}"


@pytest.fixture
async def room(url: str, server: IndexServer) -> AsyncIterator[Room]:
    async with room_of(url, server.place) as opened:
        await opened.add(a_search(server))
        yield opened


async def stored(room: Room) -> list[str]:
    return sorted(article.pmid for article in await room.storage.articles.recent(limit=5_000))


async def test_the_next_visit_asks_only_for_what_is_new(room: Room, server: IndexServer, pubmed: FakePubMed) -> None:
    await room.poll()
    room.later(days=1)
    pubmed.days[date(2026, 11, 25)] = [9001, 9002]
    server.asked.clear()

    poll = await room.poll()

    assert (poll.entries, poll.new) == (2, 2)
    assert server.asked[0].query["mindate"] == "2026/11/22"  # the watermark less two days


async def test_a_search_that_stays_broken_keeps_what_came_and_its_watermark(room: Room, pubmed: FakePubMed) -> None:
    pubmed.troubles = {n: (503, {}, b"") for n in range(3, 20)}

    poll = await room.poll()

    source = await room.source()
    assert (poll.outcome, poll.new) == ("FetchStatus", 400)
    assert "503" in poll.detail
    assert len(await stored(room)) == 400
    assert (source.since, source.failures) == (None, 1)
    assert source.next_poll_at is not None
    assert source.next_poll_at < NOW + timedelta(minutes=20)  # a quarter of its hour


async def test_what_pubmed_knows_of_a_paper_is_stored_with_it(room: Room, pubmed: FakePubMed) -> None:
    pubmed.days.clear()
    pubmed.days[date(2026, 11, 20)] = [77]

    await room.poll()

    (article,) = await room.storage.articles.recent()
    assert (article.key, article.pmid, article.journal) == ("doi:10.5555/inv.77", "77", "Journal of invented medicine")
    assert article.summary == "Nothing was measured."


@pytest.mark.parametrize("trouble", [(500, {}, b""), (414, {}, b""), as_json({"esearchresult": {"ERROR": "api_key"}})])
async def test_the_key_reaches_the_server_and_nobody_else(
    url: str, server: IndexServer, pubmed: FakePubMed, trouble: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pubmed.search_troubles = dict.fromkeys(range(1, 20), trouble)
    async with room_of(url, server.place, access=Access(pubmed_key="SECRET99", pubmed_per_second=9999)) as room:
        await room.add(a_search(server))

        poll = await room.poll()

        source = await room.source()
    assert server.asked[0].query["api_key"] == "SECRET99"
    assert "SECRET99" not in f"{poll}{source}{caplog.text}"


async def test_a_key_in_a_sources_own_address_is_not_shown(room: Room, server: IndexServer) -> None:
    await room.add(Source(slug="keyed", name="K", url=server.url("/feed?api_key=SECRET99&x=1")))

    poll = await room.poll("keyed")

    assert poll.outcome == "FetchStatus"
    assert "SECRET99" not in f"{poll}{await room.notices()}"


async def test_three_requests_a_second_and_no_more(url: str, server: IndexServer) -> None:
    started = asyncio.get_running_loop().time()
    async with room_of(url, server.place, access=Access(chunk=500)) as room:
        await room.add(a_search(server))

        await room.poll()

    assert len(server.asked) == 3
    assert asyncio.get_running_loop().time() - started >= 2 / 3


async def test_a_long_query_is_sent_as_a_form(room: Room, server: IndexServer) -> None:
    words = " OR ".join(f"word{number}" for number in range(500))
    await room.add(a_search(server, slug="long", options=(("query", words),)))

    poll = await room.poll("long")

    assert poll.outcome == "ok"
    assert server.asked[0].form["term"] == words
    assert ACCESS.contact == server.asked[0].query["email"]
