"""Log lines: no secrets, no people's addresses, nothing obeyed that came from outside."""

from __future__ import annotations

import json
import logging

import pytest

from monitor.digest import Links
from monitor.logs import JsonLines, Lines, redact
from monitor.model import Subscriber, Subscription

READER = Subscriber(id=7, email="ada.lovelace@example.org")


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("monitor", logging.INFO, __file__, 1, "%s", (text,), None)


def test_an_address_keeps_one_letter_and_its_domain() -> None:
    assert redact("bounce for ada.lovelace@example.org now") == "bounce for a***@example.org now"


def test_a_url_loses_its_query_which_may_hold_a_key() -> None:
    assert redact("GET https://api.example/x?api_key=s3cret&term=a failed") == "GET https://api.example/x?… failed"


def test_every_kind_of_signed_link_loses_its_token() -> None:
    links = Links("https://news.example", "secret")
    urls = [links.unsubscribe(READER, Subscription(id=3, subscriber_id=7, topic_ids=(1,))), links.preferences(READER)]
    urls += [
        links.feed(READER),
        links.cite(5),
        links.web_view(READER, Subscription(id=3, subscriber_id=7, topic_ids=(1,)), "2026-W48"),
    ]

    for url in urls:
        shown = redact(f"opened {url} twice")

        assert shown.endswith("/… twice"), shown


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\u2028b", "a\rb"])
def test_a_line_from_outside_stays_one_line_without_colours(text: str) -> None:
    plain = Lines().format(record(text))
    parsed = json.loads(JsonLines().format(record(text)))

    assert len(plain.splitlines()) == 1
    assert "\x1b" not in plain
    assert parsed["event"] == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("connect postgresql://ada:s3cret@db.example/news failed", "connect postgresql://…@db.example/news failed"),
        ("smtp://ada:p@ss@mx.example", "smtp://…@mx.example"),
        ("sent Authorization: Bearer abcdefgh.ijkl-mnop", "sent Authorization: Bearer …"),
        ("GET https://news.example/a@b read", "GET https://news.example/a***@b read"),
    ],
)
def test_logins_and_keys_in_addresses_and_headers_are_gone(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_the_first_admins_link_stays_whole_for_the_log_is_where_it_is_told() -> None:
    told = "become the first admin at https://news.example/setup/abcdefghijklmnopqrst123 (works once)"

    assert redact(told) == told


def test_the_data_of_a_line_are_fields_of_their_own() -> None:
    line = logging.LogRecord(
        "monitor", logging.INFO, __file__, 1, "refreshed source=%s new=%d seconds=%.2f by=%s at=%s",
        ("news", 3, 0.5, "ada.lovelace@example.org", None), None,
    )  # fmt: skip

    parsed = json.loads(JsonLines().format(line))

    assert {key: parsed[key] for key in ("event", "source", "new", "seconds", "by", "at")} == {
        "event": "refreshed", "source": "news", "new": 3, "seconds": 0.5, "by": "a***@example.org", "at": None,
    }  # fmt: skip
    assert parsed["level"] == "info"


@pytest.mark.parametrize(
    ("text", "arguments", "event"),
    [
        ("100%% of source=%s", ("x",), "100% of source=x"),
        ("%s failed item=%s", ("poll", 7), "poll failed item=7"),
        ("level=%s", ("high",), "level=high"),
    ],
)
def test_a_line_that_is_written_otherwise_stays_whole(text: str, arguments: tuple[object, ...], event: str) -> None:
    line = logging.LogRecord("monitor", logging.INFO, __file__, 1, text, arguments, None)

    parsed = json.loads(JsonLines().format(line))

    assert parsed["event"] == event
    assert parsed["level"] == "info"  # no field takes the place of ours
