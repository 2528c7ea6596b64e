"""What nearly all feeds write is read on a shorter way: it must say what the long way says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import identity
from monitor.parse import dates

NUMBERS = st.integers(0, 99).map("{:02}".format)
ZONES = st.sampled_from(
    ["GMT", "Z", "EST", "BST", "pm", "AM", "A", "XYZ", "+0000", "-0530", "+1500", "+9999", "+02:00", "-00:30", "MESZ"]
)
MONTHS = st.sampled_from(["Jan", "Feb", "may", "JUN", "Sep", "Okt", "Dez", "Foo", "ago"])
YEARS = st.sampled_from(["0001", "1899", "1900", "2024", "2026", "2050", "2051", "9999"])
RFC_822 = st.builds("{}{} {} {} {}:{}:{} {}".format, st.sampled_from(["", "Mon, ", "Foo, "]), NUMBERS, MONTHS, YEARS,
                    NUMBERS, NUMBERS, NUMBERS, ZONES)  # fmt: skip
RFC_3339 = st.builds("{}-{}-{}T{}:{}:{}{}{}".format, YEARS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS,
                     st.sampled_from(["", ".5", ".123456789"]), ZONES)  # fmt: skip


@given(text=RFC_822 | RFC_3339)
def test_usual_dates_mean_what_the_long_way_makes_of_them(text: str) -> None:
    usual = dates._usual(text)

    assert usual is None or usual == dates._any_other(text)
    assert dates.parse_date(text) == dates._any_other(text)


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 01 Jun 2026 10:00:00 GMT",
        "1 Jun 2026 12:00:00 +0200",
        "2026-06-01T10:00:00Z",
        "2026-06-01T05:00:00.5-05:00",
    ],
)
def test_usual_dates_take_the_short_way(text: str) -> None:
    moment = dates._usual(text)

    assert moment is not None
    assert moment.isoformat() == "2026-06-01T10:00:00+00:00"


PARTS = "a B www. m. . - _ :80 :443 :8080 :0 :65536 :59999 / // /../ /./ ? # & = utm_source=x %41 %e4 ä [ ] @ user:pw@"
PIECES = st.lists(
    st.sampled_from([*PARTS.split(), ";x", "{", '"', "\\", "index.html", "amp", "10.1000/x", "b=2", "a=1", " ", "\t"]),
    max_size=8,
)


@given(scheme=st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "//"]), pieces=PIECES)
def test_plain_addresses_are_split_as_the_library_splits_them(scheme: str, pieces: list[str]) -> None:
    url = scheme + "example.org" + "".join(pieces)
    found = identity._split.__wrapped__(url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "_PLAIN_URL", re.compile(r"(?!)"))
        assert identity._split.__wrapped__(url) == found


@pytest.mark.parametrize(
    "url", ["https://www.example.org/news/2026/06/a-b_c.html", "http://example.org:8080/a?b=1&c=%2F#d"]
)
def test_plain_addresses_take_the_short_way(url: str) -> None:
    assert identity._PLAIN_URL.fullmatch(url)
