"""Which addresses, DOIs and titles are the same, and which are not."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.identity import (
    article_key,
    canonical_url,
    doi_in_url,
    find_doi,
    host_of,
    normal_doi,
    normal_title,
    same_site,
    url_key,
)

SAME = [
    ("http://example.org/a", "https://example.org/a"),
    ("https://EXAMPLE.org/a", "https://example.org/a"),
    ("https://www.example.org/a", "https://example.org/a"),
    ("https://m.example.org/a", "https://example.org/a"),
    ("https://amp.example.org/a", "https://www.example.org/a"),
    ("https://example.org:443/a", "https://example.org/a"),
    ("https://example.org", "https://example.org/"),
    ("https://example.org/a/", "https://example.org/a"),
    ("https://example.org/news/index.html", "https://example.org/news/"),
    ("https://example.org/a#comments", "https://example.org/a"),
    ("https://example.org/a?utm_source=rss&utm_medium=feed", "https://example.org/a"),
    ("https://example.org/a?fbclid=IwAR0&id=3", "https://example.org/a?id=3"),
    ("https://example.org/a?mc_cid=1&mc_eid=2", "https://example.org/a"),
    ("https://www.bbc.com/news/health-1?at_medium=RSS&at_campaign=KARANGA", "https://www.bbc.com/news/health-1"),
    ("https://pnas.org/doi/10.1073/p.1?af=R", "https://pnas.org/doi/10.1073/p.1"),
    ("https://example.org/a?b=2&a=1", "https://example.org/a?a=1&b=2"),
    ("https://example.org/%7Ejane/a", "https://example.org/~jane/a"),
    ("https://example.org/a%2fb", "https://example.org/a%2Fb"),
    ("https://example.org/x/../a", "https://example.org/a"),
    ("https://example.org/a/amp/", "https://example.org/a"),
    ("https://example.org/a?q=one%20two", "https://example.org/a?q=one+two"),
    ("https://medicalxpress.com/news/2026-10-a-b.amp", "https://medicalxpress.com/news/2026-10-a-b.html"),
    ("https://lofi.phys.org/news/2026-10-a-b.html", "https://phys.org/news/2026-10-a-b.html"),
    ("https://www.medscape.com/viewarticle/1?src=rss", "https://www.medscape.com/viewarticle/1"),
    ("https://www.thelancet.com/journals/x/fulltext?rss=yes", "https://www.thelancet.com/journals/x/fulltext"),
    ("https://user:secret@example.org/a", "https://example.org/a"),
    ("  https://example.org/a\n", "https://example.org/a"),
]
DIFFERENT = [
    ("https://example.org/?p=12", "https://example.org/?p=13"),
    ("https://example.org/a?q=%2B", "https://example.org/a?q=+"),
    ("https://example.org/a?source=12", "https://example.org/a?source=13"),
    ("https://example.org/a?ref=1", "https://example.org/a?ref=2"),
    ("https://example.org/A", "https://example.org/a"),
    ("https://example.org:8080/a", "https://example.org/a"),
    ("https://blog.example.org/a", "https://example.org/a"),
    ("https://example.org/a%2Fb", "https://example.org/a/b"),
    ("https://example.org/a.html", "https://example.org/a.htm"),
    ("https://example.org/index.php?id=1", "https://example.org/index.php?id=2"),
    ("https://medscape.org/a?src=1", "https://medscape.org/a?src=2"),
    ("https://example.org/(SICI)1<1::A>3.0.CO;2-2", "https://example.org/(SICI)1<1::B>3.0.CO;2-2"),
    ("https://m.io/a", "https://io/a"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert url_key(one) == url_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_articles_are_never_merged_by_their_addresses(one: str, other: str) -> None:
    assert url_key(one) != url_key(other)


def test_the_address_to_show_keeps_what_a_server_may_need() -> None:
    given_url = "https://WWW.Example.org:443/a/../b/index.html?utm_source=x&b=2&a=1#part"

    assert canonical_url(given_url) == "https://www.example.org/b/index.html?b=2&a=1"


@pytest.mark.parametrize(
    "url", ["", "http://[::1", "http://a:99999999/", "mailto:a@b", "javascript:alert(1)", "http://℀.com/", "//x"]
)
def test_what_is_no_web_address_comes_back_as_it_is(url: str) -> None:
    assert canonical_url(url) == url


@given(st.text(max_size=200) | st.from_regex(r"https?://[^/]{0,20}/.{0,100}"))
def test_any_text_has_a_canonical_form_that_is_its_own(url: str) -> None:
    once = canonical_url(url)

    assert canonical_url(once) == once
    assert url_key(once) == url_key(url)
    assert len(url_key(url).encode()) <= 1_000


def test_a_key_of_a_megabyte_fits_an_index_and_still_tells_two_apart() -> None:
    long = "https://example.org/" + "é" * 500_000

    assert len(url_key(long).encode()) <= 1_000
    assert url_key(long) != url_key(long + "x")


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("J Clin Invest. DOI: 10.1172/JCI70236", "10.1172/JCI70236"),
        ("see (10.1016/S1473-3099(26)00001-1).", "10.1016/S1473-3099(26)00001-1"),
        ("doi:10.5555/12345678, and more", "10.5555/12345678"),
        ("https://doi.org/10.1371/journal.pmed.1003583;", "10.1371/journal.pmed.1003583"),
        ("info:doi/10.1136/bmj.m1", "10.1136/bmj.m1"),
        ("doi: 10.3390/s24010001", "10.3390/s24010001"),
        (
            "10.1002/(SICI)1097-0258(19980815/30)17:15/16<1661::AID-SIM968>3.0.CO;2-2.",
            "10.1002/(SICI)1097-0258(19980815/30)17:15/16<1661::AID-SIM968>3.0.CO;2-2",
        ),
        ("10.64898/2026.03.01.123456v2", "10.64898/2026.03.01.123456v2"),
        ("no doi: 10.12/x or 210.1234/y", ""),
        ("version 10.2024/", ""),
        ("", ""),
    ],
)
def test_a_doi_is_found_as_it_is_printed(text: str, doi: str) -> None:
    assert find_doi(text) == doi


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.1172/JCI70236", "10.1172/jci70236"),
        ("https://doi.org/10.1172/JCI70236", "doi:10.1172/jci70236"),
        ("http://dx.doi.org/10.1172%2FJCI70236", "10.1172/jci70236"),
        ("10.1101/2023.12.16.571984v1", "10.1101/2023.12.16.571984"),
        ("10.1101/2023.12.16.571984v1", "10.1101/2023.12.16.571984v3"),
        ("10.64898/2026.03.01.123456v2", "10.64898/2026.03.01.123456"),
    ],
)
def test_two_spellings_of_one_doi_compare_equal(one: str, other: str) -> None:
    assert normal_doi(one) == normal_doi(other) != ""


def test_a_version_is_cut_from_preprints_only() -> None:
    assert normal_doi("10.5555/model.v2") == "10.5555/model.v2"
    assert normal_doi("10.5555/abcv2") == "10.5555/abcv2"


@pytest.mark.parametrize(
    ("url", "doi"),
    [
        ("https://www.biorxiv.org/content/10.1101/2023.12.16.571984v1?rss=1", "10.1101/2023.12.16.571984"),
        ("https://www.medrxiv.org/content/10.64898/2026.03.01.26300001v2.full", "10.64898/2026.03.01.26300001"),
        ("https://onlinelibrary.wiley.com/doi/full/10.1111/abc.12345?af=R", "10.1111/abc.12345"),
        ("https://link.springer.com/article/10.1007/s00125-026-1/fulltext.html", "10.1007/s00125-026-1"),
        (
            "https://journals.plos.org/plosmedicine/article?id=10.1371/journal.pmed.1003583",
            "10.1371/journal.pmed.1003583",
        ),
        ("https://doi.org/10.1016%2Fj.cell.2026.01.001", "10.1016/j.cell.2026.01.001"),
        ("https://medicalxpress.com/news/2026-10-a-b.html", ""),
        ("https://example.org/10.10/x", ""),
    ],
)
def test_an_address_may_carry_its_articles_doi(url: str, doi: str) -> None:
    assert doi_in_url(url) == doi


@pytest.mark.parametrize("text", ["10.1234/" * 200_000, "10.1234/" + "(" * 1_000_000, "10." * 500_000, "<1:" * 300_000])
def test_looking_for_a_doi_takes_linear_time(text: str) -> None:
    before = time.perf_counter()

    find_doi(text)
    normal_doi(text)

    assert time.perf_counter() - before < 2


def key(**values: object) -> str:
    defaults = {"url": "", "guid": "", "doi": "", "title": "", "provider": "", "published": None}
    return article_key(**(defaults | values))  # type: ignore[arg-type]


def test_an_article_is_known_by_its_doi_before_its_address() -> None:
    assert (
        key(url="https://a.org/1", doi="10.1172/JCI70236")
        == "doi:10.1172/jci70236"
        == key(url="https://b.org/2", doi="doi:10.1172/jci70236")
    )


def test_versions_of_one_preprint_are_one_article() -> None:
    assert key(doi="10.1101/2023.12.16.571984v1") == key(doi="10.1101/2023.12.16.571984v2")


def test_an_article_without_doi_is_known_by_its_address() -> None:
    assert key(url="https://www.example.org/a?utm_source=x", guid="1") == key(url="http://example.org/a", guid="2")


def test_an_id_holds_within_its_provider_only() -> None:
    assert key(guid="1", provider="A") != key(guid="1", provider="B")


def test_without_any_address_title_provider_and_day_tell_articles_apart() -> None:
    day = datetime(2026, 11, 24, 8, tzinfo=UTC)

    assert key(title="Über  Naps!", provider="A", published=day) == key(
        title="uber naps", provider="a", published=day.replace(hour=20)
    )
    assert key(title="Naps", provider="A", published=day) != key(
        title="Naps", provider="A", published=day.replace(day=25)
    )
    assert key(title="Naps", provider="A", published=day) != key(title="Naps", provider="B", published=day)


def test_titles_compare_without_case_accents_and_punctuation() -> None:
    assert normal_title("  Café-au-lait: \u201cNF1\u201d\u00a0?") == normal_title("cafe au lait NF1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://www.bbc.co.uk/a", "https://news.bbc.co.uk/b", True),
        ("https://a.co.uk/", "https://b.co.uk/", False),
        ("https://a.example.org/", "https://example.org/", True),
        ("https://example.org/", "https://example.com/", False),
        ("http://127.0.0.1/", "http://128.0.0.1/", False),
        ("", "", False),
    ],
)
def test_sites_are_told_apart_by_their_domain(one: str, other: str, same: bool) -> None:
    assert same_site(one, other) is same


def test_a_host_is_named_without_its_variants() -> None:
    assert host_of("https://www.Example.org:8080/x") == "example.org:8080"
    assert host_of("nonsense") == ""
