"""Waiting times, freshness, validators and challenge pages, from headers that may hold anything."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from monitor.fetch.answer import is_challenge, max_age, retry_after, sendable, status_reason, validators

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = 86_400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0), ("0", 0.0), ("1.5", 1.5), ("  30 ", 30.0), ("86400", DAY), ("86401", DAY), ("9" * 5_000, DAY),
        ("9" * 20_000, None), ("1e9", None), ("nan", None), ("inf", None), ("-1", None), ("-" + "9" * 5_000, None),
        ("", None),
        ("soon", None), ("0x10", None), ("١٢", None), ("1_000", None), ("+5", None),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60.0), ("Tue, 24 Nov 2026 12:01:00 -0000", 60.0),
        ("24 Nov 2026 13:01:00 +0100", 60.0),
        ("Tue, 24 Nov 2020 12:01:00 GMT", 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        ("Fri, 31 Dec 9999 23:59:59 -2359", DAY),
        ("Mon, 99 Foo 2026 12:01:00 GMT", None), ("Tue, 24 Nov 99999 12:01:00 GMT", None),
        ("Mon, 01 Jan 0000 00:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 12:01:00 +9999999999", None),
    ],
)  # fmt: skip
def test_retry_after_is_sensible_or_nothing(value: str, seconds: float | None) -> None:
    assert retry_after(httpx.Headers({"Retry-After": value.encode()}), NOW) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("max-age=600", 600), ("public, MAX-AGE = 60", 60), ('max-age="5"', 5), ("s-maxage=9", None),
        ("max-age=-1", None),
        ("max-age=" + "9" * 20, 30 * 86_400), ("max-age=" + "9" * 5_000, 30 * 86_400), ("no-store", None),
        ("max-age=", None),
    ],
)  # fmt: skip
def test_max_age_is_bounded(value: str, seconds: int | None) -> None:
    assert max_age(httpx.Headers({"Cache-Control": value})) == seconds


@pytest.mark.parametrize(
    ("etag", "kept"),
    [
        (b'"abc"', '"abc"'), (b'W/"abc"', 'W/"abc"'), ('"é"'.encode(), '"é"'), ('"é"'.encode("latin-1"), ""),
        (b'"' + b"x" * 1_000_000 + b'"', ""), (b'"a\x7fb"', ""), (b"", ""),
    ],
    ids=["strong", "weak", "utf-8", "latin-1", "1 MB", "control", "none"],
)  # fmt: skip
def test_only_validators_that_can_be_sent_back_are_kept(etag: bytes, kept: str) -> None:
    assert validators(httpx.Headers([(b"ETag", etag)]), "hash").etag == kept


def test_a_stored_validator_cannot_smuggle_a_header() -> None:
    assert sendable('"a"\r\nX: y') == ""


@pytest.mark.parametrize(
    "status", [100, 204, 206, 300, 304, 400, 401, 403, 404, 410, 418, 429, 451, 500, 503, 521, 599, 999]
)
def test_every_status_has_a_sentence(status: int) -> None:
    reason = status_reason(status, httpx.Headers())

    assert reason.startswith(f"HTTP {status}: ")
    assert len(reason) > 20


CHALLENGES = [
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>",
    b"<html><body><script>window._cf_chl_opt={cvId:'3'}</script>" + b" " * 20_000 + b"</body></html>",
    b"<html><body class='cf-chl-widget-x'></body></html>",
    b"<html><h1>Checking your connection</h1></html>",
    b"<html><title>x</title><p>Enable JavaScript and cookies to continue</p></html>",
]
CONTENT = [
    b"",
    b"<rss><channel><title>News</title></channel></rss>",
    b'{"title": "Just a moment..."}',
    b"<html><title>Why Cloudflare says so</title><p>" + b"text " * 4_000 + b"Checking your connection</p></html>",
    b"<html><title>News</title><script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script></html>",
    b"<html>" + b" " * 70_000 + b"_cf_chl_opt</html>",
]


@pytest.mark.parametrize("body", CHALLENGES)
def test_a_challenge_page_is_seen(body: bytes) -> None:
    assert is_challenge(body)


@pytest.mark.parametrize("body", CONTENT)
def test_content_is_not_taken_for_a_challenge(body: bytes) -> None:
    assert not is_challenge(body)
