"""What an API may be asked in ways that a site is not: by form, with a key, at a pace of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from index_servers import Answer, Asked, IndexServer

from monitor.errors import FetchRefused, FetchStatus
from monitor.fetch import Fetcher

KEY = (("api_key", "SECRET"),)
OK: Answer = (200, {}, b"{}")


class Api:
    def __init__(self) -> None:
        self.next: list[Answer] = []

    def answer(self, _: Asked) -> Answer:
        return self.next.pop(0) if self.next else OK


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def server(api: Api) -> AsyncIterator[IndexServer]:
    async with IndexServer(api.answer).running() as running:
        yield running


@pytest.fixture
async def other(api: Api) -> AsyncIterator[IndexServer]:
    async with IndexServer(lambda _: OK).running() as running:
        yield running


@pytest.fixture
async def fetcher(server: IndexServer, other: IndexServer) -> AsyncIterator[Fetcher]:
    allowed = frozenset({server.place, other.place})
    async with Fetcher(user_agent="Test/1", allow=allowed, host_delay=0.4, timeout=5) as opened:
        yield opened


async def seconds_of(fetcher: Fetcher, url: str, times: int, **more: float) -> float:
    started = asyncio.get_running_loop().time()
    for _ in range(times):
        await fetcher.get(url, **more)  # type: ignore[arg-type]
    return asyncio.get_running_loop().time() - started


async def test_a_form_is_posted(fetcher: Fetcher, server: IndexServer) -> None:
    await fetcher.get(server.url("/search"), form=(("term", "a & b = é"), ("db", "pubmed")), keys=KEY)

    (asked,) = server.asked
    assert asked.form == {"term": "a & b = é", "db": "pubmed"}
    assert asked.query == {"api_key": "SECRET"}
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_form_is_not_sent_on_to_another_address(fetcher: Fetcher, server: IndexServer, api: Api) -> None:
    api.next = [(302, {"Location": "/elsewhere"}, b"")]

    with pytest.raises(FetchRefused, match="a form is not sent on"):
        await fetcher.get(server.url("/search"), form=(("a", "b"),))
    assert len(server.asked) == 1


async def test_a_key_goes_to_its_server_alone_and_into_no_result(
    fetcher: Fetcher, server: IndexServer, other: IndexServer, api: Api
) -> None:
    api.next = [(302, {"Location": other.url("/landed")}, b"")]

    fetched = await fetcher.get(server.url("/x?a=1"), keys=KEY)

    assert server.asked[0].query == {"a": "1", "api_key": "SECRET"}
    assert other.asked[0].query == {}
    assert "SECRET" not in repr(fetched)


async def test_an_authorization_goes_to_its_server_alone(
    fetcher: Fetcher, server: IndexServer, other: IndexServer, api: Api
) -> None:
    api.next = [(302, {"Location": other.url("/landed")}, b"")]

    await fetcher.get(server.url("/x"), authorization="Bearer SECRET")

    assert server.asked[0].headers["authorization"] == "Bearer SECRET"
    assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize("answer", [(500, {}, b""), (302, {"Location": "http://10.0.0.1/?api_key=SECRET"}, b"")])
async def test_a_key_stands_in_no_error(fetcher: Fetcher, server: IndexServer, api: Api, answer: Answer) -> None:
    api.next = [answer]

    with pytest.raises((FetchStatus, FetchRefused)) as caught:
        await fetcher.get(server.url("/x"), keys=KEY)
    assert "SECRET" not in f"{caught.value}{caught.value!r}{caught.value.__cause__}"


async def test_an_api_that_allows_more_is_not_asked_at_a_sites_pace(fetcher: Fetcher, server: IndexServer) -> None:
    assert await seconds_of(fetcher, server.url("/x"), 4, delay=0.05) < 0.4


async def test_a_pace_is_learned_from_the_headers_and_kept(fetcher: Fetcher, server: IndexServer, api: Api) -> None:
    slower = {"X-Rate-Limit-Limit": "5", "X-Rate-Limit-Interval": "1s"}
    api.next = [(200, slower, b"{}")]

    assert 0.6 <= await seconds_of(fetcher, server.url("/x"), 4, delay=0.01) < 1.2


@pytest.mark.parametrize(
    ("limit", "interval"),
    [("0", "1s"), ("-5", "1s"), ("1e9", "1s"), ("5", "soon"), ("5", "0s"), ("9" * 99, "1s"), ("5", "")],
)
async def test_a_pace_that_makes_no_sense_changes_nothing(
    fetcher: Fetcher, server: IndexServer, api: Api, limit: str, interval: str
) -> None:
    api.next = [(200, {"X-Rate-Limit-Limit": limit, "X-Rate-Limit-Interval": interval}, b"{}")]

    assert await seconds_of(fetcher, server.url("/x"), 3, delay=0.05) < 0.5


async def test_a_hostile_pace_does_not_stop_us_for_long(fetcher: Fetcher, server: IndexServer, api: Api) -> None:
    api.next = [(200, {"X-Rate-Limit-Limit": "1", "X-Rate-Limit-Interval": "999999m"}, b"{}")]
    await fetcher.get(server.url("/x"), delay=0.01)

    assert fetcher._servers._server(server.place).allowed == 60.0


async def test_too_many_without_a_time_is_a_short_rest_where_seconds_count(
    fetcher: Fetcher, server: IndexServer, api: Api
) -> None:
    api.next = [(429, {}, b'{"error":"API rate limit exceeded"}')]
    with pytest.raises(FetchStatus, match="429"):
        await fetcher.get(server.url("/x"), delay=0.01)

    assert 2 < await seconds_of(fetcher, server.url("/x"), 1, delay=0.01) < 5
