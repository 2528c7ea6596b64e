"""The client against a real server that misbehaves: complete, bounded, in time, polite, and nothing but FetchError."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import hostile_http as hostile
from hostile_http import HostileHttp

from monitor.errors import FetchError, FetchRefused, FetchStatus, FetchTimeout, FetchTooLarge
from monitor.fetch import Fetcher, Limits
from monitor.fetch.guard import AddressError, Gate
from monitor.fetch.polite import MAX_SERVERS, Servers
from monitor.model import Validators

AGENT = "MedicalNewsMonitor/1.0 (+mailto:ops@example.org)"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SMALL = Limits(wire=200_000, unpacked=1_000_000)


@pytest.fixture
async def server() -> AsyncIterator[HostileHttp]:
    async with HostileHttp().running() as server:
        yield server


@pytest.fixture
async def other() -> AsyncIterator[HostileHttp]:
    async with HostileHttp().running() as server:
        yield server


Make = Callable[..., Fetcher]


@pytest.fixture
async def make(server: HostileHttp, other: HostileHttp) -> AsyncIterator[Make]:
    made: list[Fetcher] = []

    def fetcher(**changes: object) -> Fetcher:
        options: dict[str, object] = {
            "allow": {server.place, other.place}, "host_delay": 0, "timeout": 5, "limits": SMALL, **changes
        }  # fmt: skip
        made.append(Fetcher(user_agent=AGENT, **options))  # type: ignore[arg-type]
        return made[-1]

    yield fetcher
    for one in made:
        await one.aclose()


@pytest.fixture
def fetcher(make: Make) -> Fetcher:
    return make()


# --- what comes back ------------------------------------------------------------------------------------------


async def test_a_whole_answer_comes_back_with_what_the_server_said_of_it(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/feed"] = hostile.ok(
        b"<rss/>",
        ETag='"1"',
        Last_Modified="Tue, 24 Nov 2026 10:00:00 GMT",
        Content_Type="text/xml",
        Cache_Control="max-age=60",
    )

    fetched = await fetcher.get(server.url("/feed#top"))

    assert (fetched.status, fetched.body, fetched.content_type, fetched.max_age) == (200, b"<rss/>", "text/xml", 60)
    assert fetched.url == server.url("/feed#top")
    assert fetched.final_url == server.url("/feed")
    assert fetched.validators == Validators(
        etag='"1"', last_modified="Tue, 24 Nov 2026 10:00:00 GMT", body_hash=hashlib.sha256(b"<rss/>").hexdigest()
    )
    assert not fetched.unchanged
    assert not fetched.moved_to


async def test_we_say_who_we_are_and_ask_only_for_what_we_can_unpack(server: HostileHttp, make: Make) -> None:
    place = f"good.example:{server.port}"
    fetcher = make(allow={place}, lookup=lambda host, port: ["127.0.0.1"])
    server.pages["/"] = hostile.ok(Set_Cookie="a=b")

    await fetcher.get(f"http://{place}/")
    await fetcher.get(f"http://{place}/")

    for request in server.requests:
        assert request.headers["user-agent"] == AGENT
        assert request.headers["accept-encoding"] == "gzip, deflate"
        assert request.headers["host"] == place
        assert "cookie" not in request.headers


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(b"text")), ("deflate", zlib.compress(b"text")), ("deflate", zlib.compress(b"text")[2:-4])],
    ids=["gzip", "zlib", "raw deflate"],
)
async def test_packed_answers_are_unpacked(server: HostileHttp, fetcher: Fetcher, coding: str, packed: bytes) -> None:
    server.pages["/"] = hostile.ok(packed, Content_Encoding=coding)

    assert (await fetcher.get(server.url())).body == b"text"


async def test_not_modified_keeps_the_validators(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/"] = hostile.conditional(b"<rss/>", '"ä"')
    first = await fetcher.get(server.url())

    second = await fetcher.get(server.url(), validators=first.validators)

    assert (second.status, second.body, second.unchanged) == (304, b"", True)
    assert second.validators == first.validators


async def test_a_server_without_validators_is_compared_by_its_body(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/"] = hostile.ok(b"<rss/>")
    first = await fetcher.get(server.url())

    second = await fetcher.get(server.url(), validators=first.validators)
    server.pages["/"] = hostile.ok(b"<rss />")
    third = await fetcher.get(server.url(), validators=second.validators)

    assert (second.status, second.body, second.unchanged) == (200, b"", True)
    assert (third.body, third.unchanged) == (b"<rss />", False)


async def test_a_latin_1_validator_is_left_out(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/"] = hostile.ok(b"<rss/>", ETag='"\udce9"')
    first = await fetcher.get(server.url())

    await fetcher.get(server.url(), validators=first.validators)

    assert first.validators.etag == ""
    assert "if-none-match" not in server.requests[1].headers


async def test_hostile_stored_validators_are_not_sent(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/"] = hostile.ok()

    await fetcher.get(server.url(), validators=Validators(etag="a\r\nX-Evil: 1", last_modified="x" * 2_000))

    assert {"if-none-match", "if-modified-since", "x-evil"}.isdisjoint(server.requests[0].headers)


# --- redirects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "moved"),
    [([301], True), ([308], True), ([301, 308], True), ([302], False), ([301, 302], False), ([307, 301], False)],
)
async def test_only_permanent_redirects_give_a_new_address(
    server: HostileHttp, other: HostileHttp, fetcher: Fetcher, codes: list[int], moved: bool
) -> None:
    for number, code in enumerate(codes):
        server.pages[f"/{number}"] = hostile.redirect(f"/{number + 1}", code)
    server.pages[f"/{len(codes)}"] = hostile.redirect(other.url("/end"), codes[-1])
    other.pages["/end"] = hostile.ok(b"end")

    fetched = await fetcher.get(server.url("/0"))

    assert (fetched.body, fetched.final_url) == (b"end", other.url("/end"))
    assert fetched.moved_to == (other.url("/end") if moved else "")


async def test_a_redirect_loop_ends(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/a"] = hostile.redirect("/b", 301)
    server.pages["/b"] = hostile.redirect("/a", 301)

    with pytest.raises(FetchRefused, match="more than 5 redirects"):
        await fetcher.get(server.url("/a"))

    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/", "http://localhost/", "file:///etc/passwd",
        "http://user:pass@example.org/", "//0x7f000001/", "http://[::1]/", "http://2130706433/", "gopher://x/",
        "http://[::1",
        "http://example.org:99999/",  "http://a..b/", "javascript:alert(1)", "http:///", "http://127。0。0。1/",
        "\\\\127.0.0.1\\x", "http://" + "a" * 10_000 + "/",
    ],
)  # fmt: skip
async def test_a_redirect_to_a_forbidden_address_is_refused(
    server: HostileHttp, fetcher: Fetcher, location: str
) -> None:
    server.pages["/"] = hostile.redirect(location)

    with pytest.raises(FetchRefused, match="redirected to ") as refused:
        await fetcher.get(server.url())

    assert refused.value.url == server.url()
    assert str(refused.value).isprintable()
    assert len(server.requests) == 1


async def test_a_listed_server_does_not_open_its_other_ports(
    server: HostileHttp, other: HostileHttp, make: Make
) -> None:
    server.pages["/"] = hostile.redirect(other.url())
    fetcher = make(allow={server.place})

    with pytest.raises(FetchRefused, match=other.place):
        await fetcher.get(server.url())

    assert other.connections == 0


async def test_the_body_of_a_redirect_is_never_read(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/"] = hostile.forever(
        b"HTTP/1.1 302 X\r\nLocation: /end\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"
    )
    server.pages["/end"] = hostile.ok(b"end")
    started = time.monotonic()

    fetched = await fetcher.get(server.url())

    assert fetched.body == b"end"
    assert time.monotonic() - started < 2


async def test_a_failure_after_a_redirect_tells_the_way(
    server: HostileHttp, other: HostileHttp, fetcher: Fetcher
) -> None:
    server.pages["/"] = hostile.redirect(other.url("/gone"))
    other.pages["/gone"] = hostile.status(410)

    with pytest.raises(FetchStatus) as failure:
        await fetcher.get(server.url())

    assert failure.value.url == server.url()
    assert failure.value.status == 410
    assert other.url("/gone") in failure.value.reason


# --- statuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [201, 204, 205, 206, 300, 301, 304, 400, 401, 403, 404, 410, 418, 429, 451, 500, 503, 522, 599]
)
async def test_every_other_status_is_an_error_with_its_number(server: HostileHttp, fetcher: Fetcher, code: int) -> None:
    server.pages["/"] = hostile.status(code, b"")

    with pytest.raises(FetchStatus, match=f"HTTP {code}: ") as failure:
        await fetcher.get(server.url())

    assert failure.value.status == code


@pytest.mark.parametrize(
    "page",
    [
        hostile.ok(b"<html><title>Just a moment...</title></html>", Content_Type="text/html"),
        hostile.ok(gzip.compress(b"<html><script>_cf_chl_opt</script></html>"), Content_Encoding="gzip"),
        hostile.ok(b"<rss/>", cf_mitigated="challenge"),
        hostile.status(403, b"", cf_mitigated="challenge"),
    ],
)
async def test_a_challenge_page_is_not_content(server: HostileHttp, fetcher: Fetcher, page: hostile.Page) -> None:
    server.pages["/"] = page

    with pytest.raises(FetchStatus, match="challenge page"):
        await fetcher.get(server.url())


async def test_a_server_that_asks_for_rest_gets_it(server: HostileHttp, other: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/busy"] = hostile.status(503, b"", Retry_After="999999999")
    server.pages["/"] = other.pages["/"] = hostile.ok()

    with pytest.raises(FetchStatus) as busy:
        await fetcher.get(server.url("/busy"))
    with pytest.raises(FetchStatus, match="not asked") as resting:
        await fetcher.get(server.url("/"))
    await fetcher.get(other.url("/"))

    assert busy.value.retry_after == 86_400
    assert resting.value.retry_after == pytest.approx(86_400, abs=5)
    assert [request.path for request in server.requests] == ["/busy"]


async def test_a_short_rest_is_waited_out(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/busy"] = hostile.status(429, b"", Retry_After="0.3")
    server.pages["/"] = hostile.ok()
    with pytest.raises(FetchStatus):
        await fetcher.get(server.url("/busy"))

    await fetcher.get(server.url("/"))

    assert server.requests[1].at - server.requests[0].at >= 0.29


# --- hostile answers ------------------------------------------------------------------------------------------


BROKEN: dict[str, tuple[hostile.Page, type[FetchError], str]] = {
    "gzip in the middle": (
        hostile.ok(gzip.compress(b"x" * 999)[:-9], Content_Encoding="gzip"),
        FetchError,
        "stops in the middle",
    ),
    "no gzip at all": (hostile.ok(b"<rss/>", Content_Encoding="gzip"), FetchError, "not valid gzip"),
    "brotli, unasked": (hostile.ok(b"\x0b\x02\x80rss\x03", Content_Encoding="br"), FetchError, "did not ask for"),
    "zstd, unasked": (hostile.ok(b"\x28\xb5\x2f\xfd", Content_Encoding="zstd"), FetchError, "did not ask for"),
    "gzip twice": (hostile.ok(b"x", Content_Encoding="gzip, gzip"), FetchError, "did not ask for"),
    "bomb": (hostile.ok(hostile.gzip_bomb(20), Content_Encoding="gzip"), FetchTooLarge, "unpacked"),
    "length too large": (hostile.raw(HEAD + b"Content-Length: 200001\r\n\r\n"), FetchTooLarge, "announced"),
    "length beyond numbers": (hostile.raw(HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n"), FetchError, ""),
    "length negative": (hostile.raw(HEAD + b"Content-Length: -5\r\n\r\n12345"), FetchError, ""),
    "two lengths": (hostile.raw(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), FetchError, ""),
    "shorter than its length": (
        hostile.raw(HEAD + b"Content-Length: 99\r\n\r\n123", close=True),
        FetchError,
        "stopped in the middle",
    ),
    "last chunk missing": (hostile.raw(CHUNKED + b"3\r\nabc\r\n", close=True), FetchError, "stopped in the middle"),
    "bad chunk size": (hostile.raw(CHUNKED + b"zz\r\nabc\r\n"), FetchError, ""),
    "reset in the body": (hostile.then_reset(HEAD + b"Content-Length: 99\r\n\r\n123"), FetchError, ""),
    "reset at once": (hostile.then_reset(b""), FetchError, ""),
    "closed at once": (hostile.raw(b"", close=True), FetchError, "closed the connection"),
    "endless body": (hostile.forever(HEAD + b"\r\n", b"x" * 10_000), FetchTooLarge, "more than 200,000 bytes"),
    "endless chunks": (hostile.forever(CHUNKED, b"3e8\r\n" + b"x" * 1_000 + b"\r\n"), FetchTooLarge, "200,000"),
    "endless headers": (hostile.forever(HEAD, b"X-A: b\r\n"), FetchTooLarge, "too many headers"),
    "endless header": (hostile.forever(HEAD + b"X-A: ", b"b" * 1_000), FetchTooLarge, "header"),
    "endless status line": (hostile.forever(b"HTTP/1.1 200 ", b"O" * 1_000), FetchError, ""),
    "huge ETag": (hostile.ok(b"x", ETag='"' + "e" * 1_000_000 + '"'), FetchTooLarge, "header"),
    "not HTTP": (hostile.raw(b"SSH-2.0-OpenSSH_9.2\r\n", close=True), FetchError, ""),
    "HTTP/0.9": (hostile.raw(b"<html>hello</html>", close=True), FetchError, ""),
    "NUL in a header": (hostile.raw(HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n"), FetchError, ""),
    "status 99999": (hostile.raw(b"HTTP/1.1 99999 X\r\nContent-Length: 0\r\n\r\n"), FetchError, ""),
    "status -1": (hostile.raw(b"HTTP/1.1 -1 X\r\nContent-Length: 0\r\n\r\n"), FetchError, ""),
    "switches protocols": (hostile.raw(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), FetchError, ""),
}


@pytest.mark.parametrize(("page", "kind", "reason"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_an_error_that_says_why(
    server: HostileHttp, fetcher: Fetcher, page: hostile.Page, kind: type[FetchError], reason: str
) -> None:
    server.pages["/"] = page
    server.pages["/fine"] = hostile.ok(b"fine")

    with pytest.raises(kind) as failure:
        await fetcher.get(server.url())

    assert reason in failure.value.reason
    assert len(failure.value.reason) < 500
    assert failure.value.__cause__ is not None or isinstance(failure.value, FetchTooLarge | FetchStatus)
    assert (await fetcher.get(server.url("/fine"))).body == b"fine"


SLOW = {
    "silent": hostile.then_silent(b""),
    "silent after the headers": hostile.then_silent(HEAD + b"Content-Length: 9\r\n\r\n"),
    "silent in the body": hostile.then_silent(HEAD + b"Content-Length: 9\r\n\r\n1234"),
    "drips its headers": hostile.forever(HEAD, b"X", pause=0.05),
    "drips its body": hostile.forever(HEAD + b"\r\n", b"x", pause=0.05),
    "says 103 for ever": hostile.forever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", pause=0.001),
    "says 103 as fast as it can": hostile.forever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
    "redirects slowly": hostile.slowly(hostile.redirect("/"), 0.2),
}


@pytest.mark.parametrize("page", SLOW.values(), ids=SLOW)
async def test_the_deadline_holds_for_the_whole_answer(server: HostileHttp, make: Make, page: hostile.Page) -> None:
    server.pages["/"] = page
    fetcher = make(timeout=0.4)
    started = time.monotonic()

    with pytest.raises(FetchTimeout, match="no complete answer within"):
        await fetcher.get(server.url())

    assert time.monotonic() - started < 2


ODD = [
    "", "x", "http://", "http://[", "http://\ud800/", "http://a..b/", "http://" + "a" * 64 + ".org/", "http://\u2024/",
    "http://xn--a/", "http://example.org:٨٠/", "http://%00/", "\x00", "http://①/", "http://[::1%25lo]/",
    "https://256.1.1.1/", "http://-/",
]  # fmt: skip


@pytest.mark.parametrize("url", ODD)
async def test_any_address_ends_in_a_fetch_error(make: Make, url: str) -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise UnicodeError("label empty or too long")

    with pytest.raises(FetchError):
        await make(lookup=nowhere).get(url)


async def test_a_bomb_costs_little_memory(server: HostileHttp) -> None:
    server.pages["/"] = hostile.ok(hostile.gzip_bomb(300), Content_Encoding="gzip")
    program = f"""
import asyncio, resource, json
from monitor.errors import FetchTooLarge
from monitor.fetch import Fetcher
async def main():
    async with Fetcher(user_agent="x", allow={{"{server.place}"}}, host_delay=0) as fetcher:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            await fetcher.get("{server.url()}")
        except FetchTooLarge:
            print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
asyncio.run(main())
"""

    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )

    assert json.loads(child.stdout) < 60_000  # kilobytes; 20 MB are allowed, 300 would have come out


# --- DNS ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["10.0.0.1", "8.8.8.8"],
        ["::1"],
        ["2606:4700::1", "fe80::1%lo"],
        ["::ffff:127.0.0.1"],
    ],
)
async def test_a_name_with_any_address_that_is_not_public_is_refused(
    server: HostileHttp, make: Make, answers: list[str]
) -> None:
    fetcher = make(lookup=lambda host, port: answers)

    with pytest.raises(FetchRefused, match=r"rebind\.example stands for .*MONITOR_FETCH__ALLOW"):
        await fetcher.get("http://rebind.example/")

    assert server.connections == 0


async def test_a_listed_address_does_not_list_the_names_that_point_to_it(server: HostileHttp, make: Make) -> None:
    fetcher = make(allow={server.place, f"good.example:{server.port}"}, lookup=lambda host, port: ["127.0.0.1"])
    server.pages["/"] = hostile.ok()

    await fetcher.get(f"http://good.example:{server.port}/")
    with pytest.raises(FetchRefused):
        await fetcher.get(f"http://evil.example:{server.port}/")
    with pytest.raises(FetchRefused):
        await make(allow={"127.0.0.1:80"}, lookup=lambda host, port: ["127.0.0.1"]).get("http://evil.example/")

    assert len(server.requests) == 1


async def test_the_address_connected_to_is_the_one_that_was_checked(server: HostileHttp, make: Make) -> None:
    """DNS rebinding: a second look-up would give another answer, so there is none."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    with pytest.raises(FetchRefused, match=r"192\.0\.2\.1"):
        await make(lookup=rebinding).get("http://rebind.example/")

    assert asked == ["rebind.example"]


async def test_no_socket_is_opened_to_an_address_the_resolver_did_not_see(make: Make) -> None:
    gate = Gate({"127.0.0.1:8000"})
    try:
        gate.socket((2, 1, 6, "", ("127.0.0.1", 8000))).close()
        for place in (("127.0.0.1", 8001), ("10.0.0.1", 80), ("8.8.8.8", 22), ("169.254.169.254", 80)):
            with pytest.raises(AddressError):
                gate.socket((2, 1, 6, "", place))
    finally:
        await gate.close()


@pytest.mark.parametrize(
    "error", [UnicodeError("label too long"), OSError("no"), ValueError("odd"), RuntimeError("bug")]
)
async def test_a_resolver_that_fails_is_a_fetch_error(make: Make, error: Exception) -> None:
    def failing(host: str, port: int) -> list[str]:
        raise error

    with pytest.raises(FetchError):
        await make(lookup=failing).get("http://example.org/")


async def test_a_hanging_resolver_holds_up_nobody_else(
    server: HostileHttp, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.fetch.guard.LOOKUP_SECONDS", 0.8)
    server.pages["/"] = hostile.ok()

    def hanging(host: str, port: int) -> list[str]:
        time.sleep(1 if host == "tarpit.example" else 0)
        return ["127.0.0.1"]

    fetcher = make(lookup=hanging, allow={server.place, f"good.example:{server.port}"})
    stuck = asyncio.create_task(fetcher.get("http://tarpit.example/"))
    await asyncio.sleep(0.05)
    started = time.monotonic()

    await fetcher.get(f"http://good.example:{server.port}/")

    assert time.monotonic() - started < 0.7
    with pytest.raises(FetchError, match="could not be resolved within"):
        await stuck


# --- politeness -----------------------------------------------------------------------------------------------


async def test_one_request_at_a_time_with_a_pause_between_two(server: HostileHttp, make: Make) -> None:
    server.pages["/"] = hostile.slowly(hostile.ok(), 0.05)
    fetcher = make(host_delay=0.15)

    await asyncio.gather(*(fetcher.get(server.url()) for _ in range(4)))

    starts = [request.at for request in server.requests]
    assert server.open_most == 1
    assert starts[3] - starts[0] >= 3 * 0.15 - 0.04


async def test_a_slow_server_holds_no_slot_while_it_waits_for_its_turn(
    server: HostileHttp, other: HostileHttp, make: Make
) -> None:
    server.pages["/"] = hostile.then_silent(b"")
    other.pages["/"] = hostile.ok(b"quick")
    fetcher = make(in_flight=2)
    slow = [asyncio.create_task(fetcher.get(server.url())) for _ in range(3)]
    await asyncio.sleep(0.05)

    bodies = [(await fetcher.get(other.url())).body for _ in range(3)]

    assert bodies == [b"quick"] * 3
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_no_more_requests_than_slots_are_under_way(make: Make) -> None:
    async with (
        HostileHttp({"/": hostile.slowly(hostile.ok(), 0.1)}).running() as a,
        HostileHttp(a.pages).running() as b,
    ):
        fetcher = make(in_flight=1, allow={a.place, b.place})

        await asyncio.gather(fetcher.get(a.url()), fetcher.get(b.url()))

    assert abs(a.requests[0].at - b.requests[0].at) >= 0.09


async def test_a_cancelled_request_gives_its_turn_back(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/silent"] = hostile.then_silent(b"")
    server.pages["/"] = hostile.ok()
    stuck = asyncio.create_task(fetcher.get(server.url("/silent")))
    waiting = asyncio.create_task(fetcher.get(server.url("/")))
    await asyncio.sleep(0.1)

    stuck.cancel()

    assert (await waiting).status == 200
    with pytest.raises(asyncio.CancelledError):
        await stuck


async def test_connections_are_kept_for_the_next_request(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/"] = hostile.ok()

    for _ in range(5):
        await fetcher.get(server.url())

    assert server.connections == 1


def test_memory_of_servers_is_bounded() -> None:
    servers = Servers(1.0, 16)
    for number in range(3 * MAX_SERVERS):
        servers.rest(f"{number}.example", 60.0, 429, "busy")

    assert len(servers) <= MAX_SERVERS


# --- robots.txt -----------------------------------------------------------------------------------------------

ROBOTS = b"""User-agent: *
Disallow: /

User-agent: MedicalNewsMonitor
Allow: /news/
Disallow: /news/*/print$
Disallow: /private
Crawl-delay: 0.3
"""


async def test_robots_txt_is_respected_for_pages_and_read_once(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/robots.txt"] = hostile.ok(ROBOTS)
    for path in ("/news/1", "/news/1/print", "/private/2"):
        server.pages[path] = hostile.ok(b"page")

    await fetcher.get(server.url("/news/1"), robots=True)
    for path in ("/news/1/print", "/private/2"):
        with pytest.raises(FetchRefused, match=r"robots\.txt"):
            await fetcher.get(server.url(path), robots=True)
    await fetcher.get(server.url("/private/2"))

    assert [request.path for request in server.requests] == ["/robots.txt", "/news/1", "/private/2"]


async def test_many_pages_wait_for_one_reading_of_robots_txt(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/robots.txt"] = hostile.slowly(hostile.ok(b"User-agent: *\nDisallow: /x"), 0.1)
    server.pages["/"] = hostile.ok()

    await asyncio.gather(*(fetcher.get(server.url(), robots=True) for _ in range(5)))

    assert [request.path for request in server.requests].count("/robots.txt") == 1


async def test_a_crawl_delay_is_kept(server: HostileHttp, fetcher: Fetcher) -> None:
    server.pages["/robots.txt"] = hostile.ok(ROBOTS)
    server.pages["/news/1"] = hostile.ok()

    for _ in range(3):
        await fetcher.get(server.url("/news/1"), robots=True)

    starts = [request.at for request in server.requests]
    assert starts[2] - starts[1] >= 0.29
    assert starts[3] - starts[2] >= 0.29


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
async def test_without_a_robots_txt_everything_is_allowed(server: HostileHttp, fetcher: Fetcher, code: int) -> None:
    server.pages["/robots.txt"] = hostile.status(code)
    server.pages["/"] = hostile.ok(b"page")

    assert (await fetcher.get(server.url(), robots=True)).body == b"page"


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (hostile.status(500), FetchStatus),
        (hostile.status(503), FetchStatus),
        (hostile.raw(b"", close=True), FetchError),
    ],
)
async def test_an_unreadable_robots_txt_forbids_for_a_while(
    server: HostileHttp, fetcher: Fetcher, page: hostile.Page, kind: type[FetchError]
) -> None:
    server.pages["/robots.txt"] = page
    server.pages["/"] = hostile.ok()

    for _ in range(2):
        with pytest.raises(kind, match=r"robots\.txt could not be read"):
            await fetcher.get(server.url(), robots=True)

    assert {request.path for request in server.requests} == {"/robots.txt"}


async def test_an_unreadable_robots_txt_is_asked_again_soon(
    server: HostileHttp, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.fetch.robots.RETRY", 0.0)
    server.pages["/robots.txt"] = hostile.status(500)
    server.pages["/"] = hostile.ok(b"page")
    with pytest.raises(FetchStatus):
        await fetcher.get(server.url(), robots=True)
    server.pages["/robots.txt"] = hostile.status(404)

    assert (await fetcher.get(server.url(), robots=True)).body == b"page"


async def test_robots_txt_of_the_page_behind_a_redirect_counts_too(
    server: HostileHttp, other: HostileHttp, fetcher: Fetcher
) -> None:
    server.pages["/"] = hostile.redirect(other.url("/private"))
    other.pages["/robots.txt"] = hostile.ok(ROBOTS)
    other.pages["/private"] = hostile.ok()

    with pytest.raises(FetchRefused, match=r"robots\.txt"):
        await fetcher.get(server.url(), robots=True)


# --- bulk files -----------------------------------------------------------------------------------------------


async def test_a_bulk_file_is_streamed_to_disk(server: HostileHttp, fetcher: Fetcher, tmp_path: Path) -> None:
    body = b"line of a large file\n" * 100_000
    server.pages["/"] = hostile.ok(gzip.compress(body), Content_Encoding="gzip", ETag='"1"')

    fetched = await fetcher.download(server.url(), tmp_path / "file.csv")

    assert (tmp_path / "file.csv").read_bytes() == body
    assert (fetched.body, fetched.validators.etag) == (b"", '"1"')
    assert [path.name for path in tmp_path.iterdir()] == ["file.csv"]


async def test_an_incomplete_bulk_file_leaves_the_old_one(
    server: HostileHttp, fetcher: Fetcher, tmp_path: Path
) -> None:
    (tmp_path / "file.csv").write_text("old")
    server.pages["/"] = hostile.raw(HEAD + b"Content-Length: 99\r\n\r\n123", close=True)

    with pytest.raises(FetchError):
        await fetcher.download(server.url(), tmp_path / "file.csv")

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file.csv", "old")]


async def test_an_unchanged_bulk_file_is_left_alone(server: HostileHttp, fetcher: Fetcher, tmp_path: Path) -> None:
    server.pages["/"] = hostile.conditional(b"new", '"1"')
    first = await fetcher.download(server.url(), tmp_path / "file.csv")
    (tmp_path / "file.csv").write_text("mine")

    second = await fetcher.download(server.url(), tmp_path / "file.csv", validators=first.validators)

    assert second.unchanged
    assert (tmp_path / "file.csv").read_text() == "mine"


async def test_a_disk_that_cannot_be_written_is_a_fetch_error(
    server: HostileHttp, fetcher: Fetcher, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="cannot be written: No such file"):
        await fetcher.download(server.url(), tmp_path / "missing" / "file.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_full_disk_is_not_blamed_on_the_server(server: HostileHttp, fetcher: Fetcher, tmp_path: Path) -> None:
    server.pages["/"] = hostile.ok(bytes(3_000_000))
    (tmp_path / "file.csv.part").symlink_to("/dev/full")

    with pytest.raises(FetchError, match="cannot be written: No space left"):
        await fetcher.download(server.url(), tmp_path / "file.csv")

    assert not (tmp_path / "file.csv").exists()
