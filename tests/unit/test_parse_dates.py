"""Every spelling of a date that was seen in a feed or a page."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.parse.dates import parse_date

EARLIEST, LATEST = datetime.fromisoformat("1900-01-02"), datetime.fromisoformat("2050-12-30")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sun, 29 Mar 2026 15:30:02 EDT", utc(2026, 3, 29, 19, 30, 2)),
        ("Fri, 02 Jan 2026 12:00:01 EST", utc(2026, 1, 2, 17, 0, 1)),
        ("Wed, 05 Nov 2025 13:52:10  EST", utc(2025, 11, 5, 18, 52, 10)),
        ("Mon, 01 Jun 2026 10:00:00 BST", utc(2026, 6, 1, 9)),
        ("Mon, 01 Jun 2026 10:00:00 CEST", utc(2026, 6, 1, 8)),
        ("Mon, 01 Jun 2026 10:00 +0530", utc(2026, 6, 1, 4, 30)),
        ("Mon, 01 Jun 2026 10:00:00 GMT+2", utc(2026, 6, 1, 8)),
        ("1 Jun 26 10:00:00 Z", utc(2026, 6, 1, 10)),
        ("Sat, 07 Sep 02 00:00:01 GMT", utc(2002, 9, 7, 0, 0, 1)),
        ("Mon, 01 June 2026 10:00:00 +0000", utc(2026, 6, 1, 10)),
        ("Tue Nov 10 12:00:00 EST 2026", utc(2026, 11, 10, 17)),
        ("Tue Nov 10 12:00:00 2026", utc(2026, 11, 10, 12)),
        ("2026-03-25T00:45:24-07:00", utc(2026, 3, 25, 7, 45, 24)),
        ("2026-10-01T22:30:02Z", utc(2026, 10, 1, 22, 30, 2)),
        ("2026-10-01T22:30:02.123456Z", utc(2026, 10, 1, 22, 30, 2)),
        ("2014-07-16T00:00:00-0400", utc(2014, 7, 16, 4)),
        ("2026-05-06 07:08:09", utc(2026, 5, 6, 7, 8, 9)),
        ("2024-05-22", utc(2024, 5, 22)),
        ("20240522", utc(2024, 5, 22)),
        ("2017/01", utc(2017, 1, 1)),
        ("2017/01/30", utc(2017, 1, 30)),
        ("2023 Jan 7", utc(2023, 1, 7)),
        ("2014 Jan-Feb", utc(2014, 1, 1)),
        ("2014, January 2", utc(2014, 1, 2)),
        ("Thu, 09/25/2025 - 11:38", utc(2025, 9, 25, 11, 38)),
        ("25/09/2025", utc(2025, 9, 25)),
        ("10/11/2026 3:05 PM", utc(2026, 10, 11, 15, 5)),
        ("Nov 10, 2026", utc(2026, 11, 10)),
        ("  January 2,\n 2014 ", utc(2014, 1, 2)),
        ("October 22nd, 2019 at 9:30 am", utc(2019, 10, 22, 9, 30)),
        ("05-Mar-2026", utc(2026, 3, 5)),
        ("March 2026", utc(2026, 3, 1)),
        ("mardi 12 janvier 2026", utc(2026, 1, 12)),
        ("1er août 2025", utc(2025, 8, 1)),
        ("12. Januar 2026", utc(2026, 1, 12)),
        ("Di, 3 Mär 2026 10:00:00 MEZ", utc(2026, 3, 3, 9)),
        ("25.11.2026", utc(2026, 11, 25)),
        ("Mon, 1 Jun 2026 10:00:60 GMT", utc(2026, 6, 1, 10, 0, 59)),
        ("2026-06-01T24:00:00Z", utc(2026, 6, 2)),
        ("2026-06-01T10:00:00+99:99", utc(2026, 6, 1, 10)),
        ("٢٠٢٦-٠١-٠٢", utc(2026, 1, 2)),
    ],
)
def test_a_date_is_read_as_it_was_meant(text: str, moment: datetime) -> None:
    assert parse_date(text) == moment


@pytest.mark.parametrize(
    "text",
    ["", "soon", "3 hours ago", "2026", "0001-01-01T00:00:00Z", "Mon, 01 Jan 0001 00:00:00 GMT", "2099-01-01",
     "9999-12-31T23:59:59-23:59", "1899-12-31", "2026-02-30", "2026-13-01", "2026-00-10", "32 Jan 2026",
     "2026-06-01T25:61:00", "10 Brumaire 2026", "9" * 5000],
)  # fmt: skip
def test_what_is_no_date_of_an_article_is_none(text: str) -> None:
    assert parse_date(text) is None


def test_the_standard_library_would_not_do() -> None:
    assert parsedate_to_datetime("Mon, 01 Jun 2026 10:00:00 BST").tzinfo is None
    with pytest.raises(ValueError):
        parsedate_to_datetime("2024-05-22")


@given(st.datetimes(EARLIEST, LATEST), st.integers(-14 * 60, 14 * 60))
def test_any_moment_survives_iso_and_rfc_822(moment: datetime, minutes: int) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    local = moment + timedelta(minutes=minutes)
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"

    assert parse_date(f"{local:%Y-%m-%dT%H:%M:%S}{offset}") == moment or not 1900 <= local.year <= 2050
    assert parse_date(f"{local:%d %b %Y %H:%M:%S} {offset}") == moment or not 1900 <= local.year <= 2050


@given(st.text(max_size=120) | st.from_regex(r"\d{1,4}[-/. ]\w{1,9}[-/. ]\d{1,4}T?\d{0,2}:\d{0,2}.{0,9}"))
def test_no_text_raises(text: str) -> None:
    moment = parse_date(text)

    assert moment is None or (moment.tzinfo is UTC and 1899 <= moment.year <= 2051)


@pytest.mark.parametrize("text", [" " * 1_000_000, "1 " * 500_000, "Jan " * 300_000, "2026-01-01T" + "1:" * 500_000])
def test_a_long_text_is_not_read_to_its_end(text: str) -> None:
    before = time.process_time()

    parse_date(text)

    assert time.process_time() - before < 0.2
