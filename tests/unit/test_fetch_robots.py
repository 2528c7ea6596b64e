"""robots.txt as it is written in the world: rules for us, rules for others, and files made to hurt."""

from __future__ import annotations

import time

import pytest

from monitor.errors import FetchStatus
from monitor.fetch.guard import check_url
from monitor.fetch.robots import MAX_BYTES, MAX_ORIGINS, Robots, parse_robots

AGENT = "MedicalNewsMonitor"


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/x", True),
        ("User-agent: *\nDisallow: /x", "/x/y", False),
        ("user-agent: *\ndisallow: /x\nallow: /x/y", "/x/y", True),
        ("User-agent: *\nDisallow:", "/x", True),
        ("User-agent: Googlebot\nDisallow: /", "/x", True),
        ("User-agent: Googlebot\nUser-agent: *\nDisallow: /x", "/x", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: medicalnewsmonitor\nDisallow: /y", "/x", True),
        ("User-agent: MedicalNewsMonitor # us\nDisallow: /x", "/x", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/a.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/a.pdf.html", True),
        ("\ufeffUser-agent: *\r\nDisallow: /x\r\n", "/x", False),
        ("User-agent *\nDisallow /x", "/x", False),
        ("User-agent: a\nDisallow: /\nUser-agent: b\nDisallow: /\nUser-agent: *\nDisallow: /z", "/x", True),
        ("<html><title>Not found</title></html>", "/x", True),
    ],
)
def test_rules_apply_to_us(text: str, path: str, allowed: bool) -> None:
    rules = parse_robots(text.encode(), AGENT)

    assert rules.can_fetch(f"https://example.org{path}", AGENT) is allowed


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"User-agent: a{number}\n" for number in range(20_000)) + "Disallow: /x\n" * 20_000,
        "".join(f"User-agent a{number}\nuseragent:b{number}\n" for number in range(10_000)) + "Disallow: /x\n" * 20_000,
        "User-agent: *\nDisallow: /" + "*a" * 200_000,
        "User-agent: *\nDisallow: /" + "$" * 400_000,
        "User-agent: *\n" + "Disallow: /*a*a*a*a*b$\n" * 20_000,
        "User-agent: *\n" + "Crawl-delay: 9\n" * 30_000,
        "\x00" * 500_000,
        ":" * 500_000,
        "User-agent: *\n" * 40_000,
    ],
    ids=[
        "many robots",
        "many robots, odd spelling",
        "stars",
        "dollars",
        "wildcards",
        "delays",
        "NUL",
        "colons",
        "stuttering",
    ],
)
def test_a_file_made_to_hurt_takes_no_time(text: str) -> None:
    started = time.process_time()

    rules = parse_robots(text.encode(), AGENT)
    rules.can_fetch("https://example.org/" + "a" * 2_000, AGENT)

    assert time.process_time() - started < 3


def test_only_the_first_half_megabyte_is_read() -> None:
    rules = parse_robots(b"User-agent: *\n" + b"#" * MAX_BYTES + b"\nDisallow: /", AGENT)

    assert rules.can_fetch("https://example.org/x", AGENT)


@pytest.mark.parametrize(
    ("delay", "seconds"), [("5", 5.0), ("1e9", 30.0), ("nan", 0.0), ("-3", 0.0), ("9" * 5_000, 0.0), ("soon", 0.0)]
)
async def test_a_crawl_delay_is_bounded(delay: str, seconds: float) -> None:
    async def read(url: str) -> bytes:
        return f"User-agent: *\nCrawl-delay: {delay}".encode()

    assert await Robots(AGENT, read).check(check_url("https://example.org/")) == seconds


async def test_an_old_copy_serves_while_the_file_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.fetch.robots.FRESH", 0.0)
    answers: list[bytes | None] = [b"User-agent: *\nDisallow: /private", None, None]

    async def read(url: str) -> bytes:
        answer = answers.pop(0)
        if answer is None:
            raise FetchStatus(url, 503, "busy")
        return answer

    robots = Robots(AGENT, read)

    await robots.check(check_url("https://example.org/"))
    await robots.check(check_url("https://example.org/"))

    assert len(answers) == 1


async def test_memory_of_origins_is_bounded() -> None:
    async def read(url: str) -> bytes:
        return b""

    robots = Robots(AGENT, read)
    for number in range(MAX_ORIGINS + 100):
        await robots.check(check_url(f"https://{number}.example/"))

    assert len(robots) == MAX_ORIGINS
