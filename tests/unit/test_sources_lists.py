"""Finding feeds on a page, OPML in and out, sitemaps' titles, trial numbers, the catalogue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config import load_sources
from monitor.errors import ConfigError, FetchError, ParseError, without_keys
from monitor.identity import trial_ids
from monitor.model import Source, SourceKind
from monitor.parse.discover import find_feeds, find_sitemaps
from monitor.parse.harvesters import wrong_options
from monitor.parse.opml import read_opml, write_opml
from monitor.parse.sitemap import title_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
URL = "https://news.example.org/health/"


def test_the_feeds_that_a_page_names_come_first_and_comments_last() -> None:
    html = b"""<html><head><title>N</title>
    <link rel="alternate" type="application/rss+xml" title="Comments" href="/comments/feed/">
    <link rel="alternate" type="application/rss+xml;charset=utf-8" title=" All  news " href="/feed/">
    <link rel="Alternate" type="application/feed+json" href="//cdn.example.org/feed.json">
    <link rel="alternate" hreflang="de" href="/de/"><link rel="stylesheet" type="application/rss+xml" href="/no">
    <link rel="alternate" type="application/rss+xml" href="javascript:alert(1)">
    </head><body><a href="cancer/rss.xml">Cancer</a><a href="/feedback/">Feedback</a>
    <a href="/feed/">again</a></body>"""

    found = [(feed.url, feed.title) for feed in find_feeds(html, url=URL)]

    assert found == [
        ("https://news.example.org/feed/", "All news"),
        ("https://cdn.example.org/feed.json", ""),
        ("https://news.example.org/health/cancer/rss.xml", "Cancer"),
        ("https://news.example.org/comments/feed/", "Comments"),
    ]


@pytest.mark.parametrize("body", [b"", b"%PDF-1.7", b"plain words", b"\x00\xff" * 50])
def test_what_is_no_page_has_no_feeds(body: bytes) -> None:
    assert find_feeds(body, url=URL) == ()


def test_sitemaps_are_listed_outside_of_robots_groups_news_first() -> None:
    robots = (
        b"User-agent: *\nDisallow: /x\nsitemap: /sitemap.xml\n# Sitemap: /no.xml\nSitemap: https://a.org/news.xml\n"
    )

    assert find_sitemaps(robots, url=URL) == ("https://a.org/news.xml", "https://news.example.org/sitemap.xml")


def test_opml_is_read_through_all_its_folders_and_each_address_once() -> None:
    opml = b"""<?xml version="1.0" encoding="ISO-8859-1"?><opml version="1.1"><head><title>x</title></head><body>
    <outline text="Medicine"><outline text="Itch"><outline type="rss" text="\xc4rzte" XMLURL="https://a.example.org/feed"/>
    <outline title="Twin" xmlUrl="http://www.a.example.org/feed/"/></outline></outline>
    <outline text="no address"/><outline text="bad" xmlUrl="file:///etc/passwd"/>
    <outline xmlUrl="https://b.example.org/?a=1&amp;b=2"/></body></opml>"""

    found = [(o.name, o.url, o.folder) for o in read_opml(opml, url="x.opml")]

    assert found == [
        ("\xc4rzte", "https://a.example.org/feed", ("Medicine", "Itch")),
        ("https://b.example.org/?a=1&b=2", "https://b.example.org/?a=1&b=2", ()),
    ]


def test_opml_with_entities_reads_no_file() -> None:
    opml = b"""<!DOCTYPE opml [<!ENTITY x SYSTEM "file:///etc/passwd">]><opml><body>
    <outline text="&x;" xmlUrl="https://a.example.org/"/></body></opml>"""

    try:
        names = [outline.name for outline in read_opml(opml, url="x.opml")]
    except ParseError:
        names = []

    assert not any("root:" in name for name in names)


@pytest.mark.parametrize("body", [b"", b"<rss/>", b"<opml><body>", b"[]"])
def test_what_is_no_opml_says_so(body: bytes) -> None:
    with pytest.raises(ParseError):
        read_opml(body, url="x.opml")


def test_what_is_exported_comes_back_the_same() -> None:
    sources = [
        Source(slug="a", name="A & <B>", url="https://a.example.org/?x=1&y=2"),
        Source(
            slug="p", name="P", url="https://eutils.example.org/", kind=SourceKind.PUBMED,
            options=(("query", '"itch"[tiab] AND pain & <more>'),),
        ),
        Source(
            slug="q", name="Q", url="https://eutils.example.org/", kind=SourceKind.PUBMED, options=(("query", "other"),)
        ),
    ]  # fmt: skip

    found = read_opml(write_opml(sources, title="T", now=NOW), url="x.opml")

    assert [(o.name, o.url, o.kind, o.options) for o in found] == [(s.name, s.url, s.kind, s.options) for s in sources]


def test_opml_keeps_what_is_off_off_and_how_each_source_is_read() -> None:
    off = Source(slug="a", name="A", url=URL, active=False, pages=False, interval=timedelta(hours=6), weight=1.5)
    on = Source(slug="b", name="B", url="https://b.example.org/feed")

    found = read_opml(write_opml([off, on], title="T", now=NOW), url="x.opml")

    assert [(o.active, o.pages, o.minutes, o.weight) for o in found] == [
        (False, False, 360, 1.5),
        (True, True, 60, 1.0),
    ]


@pytest.mark.parametrize("value", ["", "x", "-1", "9" * 400, "1e999", "nan", "²"])
def test_nonsense_about_a_source_in_opml_is_as_if_it_were_not_said(value: str) -> None:
    said = " ".join(f'm:{name}="{value}"' for name in ("active", "pages", "minutes", "weight"))
    text = f'<opml xmlns:m="urn:medical-news-monitor"><body><outline xmlUrl="{URL}" {said}/></body></opml>'

    (found,) = read_opml(text.encode(), url="x.opml")

    assert (found.active, found.pages, found.minutes, found.weight) == (True, None, 0, 1.0)


@pytest.mark.parametrize(
    ("url", "title"),
    [
        ("https://x.org/news/2026-03-new-itch-finding.html", "2026 03 new itch finding …"),
        ("https://x.org/a/The_itch%20study/", "The itch study …"),
        ("https://x.org/", "https://x.org/ …"),
    ],
)
def test_a_sitemaps_address_gives_a_title_that_yields_to_the_pages(url: str, title: str) -> None:
    assert title_of(url) == title


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("NCT01234567, nct 01234567 and (ISRCTN12345678).", ("NCT01234567", "ISRCTN12345678")),
        ("EudraCT 2020-001234-12; phone 2020-001234-123", ("2020-001234-12",)),
        ("NCT0123456 NCT012345678 XNCT01234567", ()),
    ],
)
def test_trial_numbers_are_found_in_text(text: str, found: tuple[str, ...]) -> None:
    assert trial_ids(text) == found


def test_no_error_shows_a_key() -> None:
    error = FetchError("https://x.org/?api_key=SECRET&a=1", "redirected to https://y.org/?x=1&API-KEY=SECRET: no")

    assert "SECRET" not in f"{error}{error.url}{error.reason}{error!r}"
    assert without_keys("https://x.org/?token=S#part") == "https://x.org/?token=…#part"
    assert without_keys("https://x.org/?monkey=5") == "https://x.org/?monkey=5"


# --- the catalogue --------------------------------------------------------------------------------------------


def test_every_source_of_the_catalogue_names_its_confidence_and_doubtful_ones_are_off() -> None:
    sources = load_sources()

    assert {source.confidence for source in sources} == {"high", "medium", "low"}
    assert [source.slug for source in sources if source.confidence == "low" and source.active] == []
    assert set(SourceKind) - {source.kind for source in sources} == {SourceKind.SITEMAP}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ('kind = "pubmed"', "needs the option 'query'"),
        ('kind = "pubmed"\noptions = { querry = "x" }', "no option 'querry'; its options are: date"),
        ('kind = "page"\noptions = { item = "li" }', "url is needed"),
        ('url = "https://x.org/"\nconfidence = "sure"', "confidence"),
    ],
)
def test_a_wrong_source_names_its_fault(tmp_path: Path, entry: str, reason: str) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(f'[[source]]\nslug = "s"\nname = "S"\n{entry}\n')

    with pytest.raises(ConfigError, match=reason):
        load_sources(path)


def test_each_kind_knows_its_options() -> None:
    assert all(wrong_options(kind, {"nonsense": "x"}) for kind in SourceKind)
    assert wrong_options(SourceKind.CROSSREF, {"issn": "1234-5678"}) == ""
