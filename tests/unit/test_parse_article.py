# ruff: noqa: E501 (documents are easier to judge in one piece)
"""Pages of any site: which place of a value wins, whose text is taken, and what is no article."""

from __future__ import annotations

import pickle
import time
from datetime import UTC, datetime

import pytest

from monitor.errors import ParseError
from monitor.model import Article, Entry, Feed, TextFrom
from monitor.parse import article_from_entry, parse_article

URL = "https://www.example.org/news/2026/invented-trial-of-naps"
PARAGRAPHS = [
    f"Paragraph {n} of an invented article says that naps of {n} minutes helped the volunteers to remember more words."
    for n in range(8)
]
TEXT = "".join(f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS)


def page(
    head: str = "",
    body: str = f"<main><article><h1>Invented trial of naps</h1>{TEXT}</article></main>",
    html: str = "<html>",
) -> bytes:
    return f"<!DOCTYPE html>{html}<head>{head}</head><body>{body}</body></html>".encode()


def read(head: str = "", *, url: str = URL, entry: Entry | None = None) -> Article:
    return parse_article(page(head), url=url, entry=entry)


def meta(**values: str) -> str:
    return "".join(
        f'<meta name="{name.replace("__", ".").replace("___", ":")}" content="{value}">'
        for name, value in values.items()
    )


def ld(json: str) -> str:
    return f'<script type="application/ld+json">{json}</script>'


def test_a_page_without_any_metadata_gives_title_and_text() -> None:
    article = read()

    assert article.title == "Invented trial of naps"
    assert [paragraph for paragraph in PARAGRAPHS if paragraph in article.body] == PARAGRAPHS
    assert (article.text_from, article.publisher, article.url) == (TextFrom.PAGE, "example.org", URL)


def test_the_feeds_date_wins_over_the_pages() -> None:
    entry = Entry(url=URL, title="From the feed", published=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))

    article = read(meta(citation_publication_date="2025/12/30"), entry=entry)

    assert article.published == entry.published
    assert article.title == "From the feed"


def test_a_title_that_the_feed_cut_is_completed_by_the_page() -> None:
    assert read(entry=Entry(url=URL, title="Invented trial …")).title == "Invented trial of naps"


@pytest.mark.parametrize(
    ("head", "day"),
    [
        (
            ld('{"@type": "NewsArticle", "headline": "x", "datePublished": "2026-05-01"}')
            + meta(citation_date="2026/06/01"),
            1,
        ),
        (
            ld(
                '{"@graph": [{"@type": "WebSite", "name": "x"}, {"@type": ["NewsArticle"], "headline": "x", "datePublished": "2026-05-02"}]}'
            ),
            2,
        ),
        (ld('[{"mainEntity": {"@type": "ScholarlyArticle", "headline": "x", "datePublished": "2026-05-03"}}]'), 3),
        (
            ld(
                '\n//<![CDATA[\n{"@type": "NewsArticle", "headline": "a\nb", "datePublished": "Sun, 05/04/2026 - 11:38"}\n//]]>'
            ),
            4,
        ),
        (meta(citation_publication_date="2026 May 5"), 5),
        (meta(DC__Date="2026-05-06"), 6),
        ('<meta property="article:published_time" content="2026-05-07T08:00:00Z">', 7),
        ('<meta name="article:published_time" content="Fri, 05/08/2026 - 11:38">', 8),
        (ld("{broken") + meta(citation_online_date="2026/05/09"), 9),
    ],
)
def test_the_date_is_found_in_every_kind_of_metadata(head: str, day: int) -> None:
    published = read(head).published

    assert published is not None
    assert (published.year, published.month, published.day) == (2026, 5, day)


def test_dates_of_a_reference_list_are_not_the_articles() -> None:
    body = f'<main><article><h1>A</h1>{TEXT}<ol><li><time datetime="1999-01-01" itemprop="datePublished">1999</time></li></ol></article></main>'

    article = parse_article(page(body=body), url=URL)

    assert article.published is None or article.published.year != 1999


@pytest.mark.parametrize(
    "head",
    [
        meta(citation_doi="10.5555/own"),
        meta(prism__doi="doi:10.5555/own"),
        meta(DOI="10.5555/own"),
        meta(dc__identifier="doi:10.5555/own"),
        '<meta name="DC.Identifier" scheme="doi" content="10.5555/own">',
        meta(dc__Identifier="publisher-id-7")
        + ld('{"@type": "ScholarlyArticle", "headline": "x", "sameAs": "https://doi.org/10.5555/own"}'),
    ],
)
def test_the_pages_own_doi_makes_its_key(head: str) -> None:
    article = read(head)

    assert (article.doi, article.key) == ("10.5555/own", "doi:10.5555/own")


def test_the_address_may_carry_the_doi_where_the_page_has_none() -> None:
    assert read(url="https://www.acpjournals.example/doi/10.5555/M25-1").key == "doi:10.5555/m25-1"


def test_a_doi_in_the_text_is_neither_the_articles_nor_its_key() -> None:
    body = f'<main><article><h1>A</h1><p>See <a href="https://doi.org/10.5555/other">doi:10.5555/other</a>.</p>{TEXT}</article></main>'

    article = parse_article(page(body=body), url=URL)

    assert (article.doi, article.key) == ("", "example.org/news/2026/invented-trial-of-naps")


def test_a_journal_page_gives_authors_journal_and_pmid() -> None:
    article = read(
        meta(citation_title="T of <i>p53</i>", citation_journal_title="J Inv", citation_pmid="123")
        + meta(citation_author="Doe, Jane")
        + meta(citation_author="Roe, Rob")
    )

    assert (article.authors, article.journal, article.pmid) == (("Doe, Jane", "Roe, Rob"), "J Inv", "123")
    assert article.title == "T of p53"


def test_the_sites_name_is_no_part_of_the_title() -> None:
    head = '<meta property="og:title" content="A trial | with bars | Example News"><meta property="og:site_name" content="Example News">'

    assert parse_article(page(head, f"<main>{TEXT}</main>"), url=URL).title == "A trial | with bars"


@pytest.mark.parametrize(
    ("canonical", "shown"),
    [
        ("https://www.example.org/news/2026/nap-trial", "https://www.example.org/news/2026/nap-trial"),
        ("/news/2026/nap-trial?utm_source=x", "https://www.example.org/news/2026/nap-trial"),
        ("https://evil.example/news/2026/nap-trial", URL),
        ("https://www.example.org/", URL),
        ("https://www.example.org/news/2026", URL),
        ("https://www.example.org/article", URL),
        ("javascript:alert(1)", URL),
    ],
)
def test_a_canonical_link_counts_only_where_it_can_be_this_article(canonical: str, shown: str) -> None:
    assert read(f'<link rel="Canonical" href="{canonical}">').canonical_url == shown


def test_two_articles_whose_canonical_links_forget_their_ids_stay_two() -> None:
    head = '<link rel="canonical" href="https://example.org/article.php">'

    assert (
        read(head, url="https://example.org/article.php?id=1").key
        != read(head, url="https://example.org/article.php?id=2").key
    )


def test_the_feeds_text_is_taken_where_the_page_has_less() -> None:
    content = "\n\n".join(PARAGRAPHS)
    entry = Entry(url=URL, title="T", summary="Short.", content=content)

    article = parse_article(page(body="<main><p>Subscribe to read this.</p></main>"), url=URL, entry=entry)

    assert (article.body, article.text_from) == (content, TextFrom.FEED)


def test_a_summary_stands_in_for_a_page_of_scripts() -> None:
    entry = Entry(url=URL, title="T", summary="The summary of an invented trial.")

    article = parse_article(page(body="<div id=app></div><script>render()</script>"), url=URL, entry=entry)

    assert (article.body, article.text_from) == ("The summary of an invented trial.", TextFrom.FEED)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"%PDF-1.7", "a PDF file where an HTML page was expected"),
        (b"just text", "no HTML page"),
        (page(body="<div id=app></div><script>render()</script>"), "no text on the page, and none in its feed"),
        (
            page("<title>Just a moment...</title>", '<div id="cf-chl-x">Checking your connection</div>'),
            "a Cloudflare challenge page",
        ),
        (
            page("<title>Access Denied</title>", "<h1>Access Denied</h1>You don't have permission."),
            "a challenge page for browsers",
        ),
        (page("<title>Sign in - Journal</title>", '<form><input type="password"></form>'), "a login page"),
        (page("<title>Before you continue to Example</title>", "We use cookies and data to"), "a consent page"),
    ],
)
def test_what_is_no_article_is_named(body: bytes, reason: str) -> None:
    with pytest.raises(ParseError) as raised:
        parse_article(body, url=URL)

    assert raised.value.reason == reason


def test_a_challenge_page_is_refused_even_where_the_feed_has_text() -> None:
    body = page("<title>Just a moment...</title>", '<div class="cf-browser-verification">Please wait</div>')

    with pytest.raises(ParseError, match="Cloudflare"):
        parse_article(body, url=URL, entry=Entry(url=URL, title="T", summary="Text. " * 100))


def test_an_article_about_challenges_is_an_article() -> None:
    body = f"<main><article><h1>Access denied: how Cloudflare's cf-chl pages lock out readers</h1>{TEXT * 3}</article></main>"

    assert "Paragraph 7" in parse_article(page("<title>Access denied: how</title>", body), url=URL).body


def test_furniture_between_paragraphs_goes_and_short_medical_lines_stay() -> None:
    lines = ["Advertisement", "Recommended dose is 5 mg", "Share this article", "Sign up for our newsletter", "Results"]
    body = f"<main><article><h1>A</h1>{TEXT}{''.join(f'<p>{line}</p><p>{PARAGRAPHS[0]} {line.upper()}</p>' for line in lines)}</article></main>"

    kept = parse_article(page(body=body), url=URL).body.split("\n\n")

    assert [line for line in lines if line in kept] == ["Recommended dose is 5 mg", "Results"]


def test_the_language_is_the_primary_one() -> None:
    assert parse_article(page(html='<html lang="de-AT">'), url=URL).language == "de"


def test_bytes_in_another_charset_are_read() -> None:
    body = page(body=f"<main><h1>Café naïve Übung</h1>{TEXT}</main>").decode().encode("cp1252")

    assert parse_article(body, url=URL, content_type="text/html; charset=utf-8").title == "Café naïve Übung"


def test_a_teaser_is_an_article_of_what_the_feed_said() -> None:
    entry = Entry(
        url="https://www.example.org/a?utm_source=rss", title="T", guid="g", summary="Summary.", doi="10.5555/X", categories=("Cardiology",),
        published=datetime(2026, 1, 2, tzinfo=UTC), authors=("Doe, J.",), journal="J", pmid="7",
    )  # fmt: skip

    article = article_from_entry(entry, feed=Feed(title="Example News", entries=(), language="en"))

    assert article == Article(
        url="https://www.example.org/a?utm_source=rss", canonical_url="https://www.example.org/a", key="doi:10.5555/x", title="T",
        published=datetime(2026, 1, 2, tzinfo=UTC), authors=("Doe, J.",), summary="Summary.", body="Summary.", category="Cardiology",
        doi="10.5555/X", pmid="7", journal="J", provider="Example News", publisher="example.org", language="en",
    )  # fmt: skip


def test_a_teaser_and_its_page_have_one_key() -> None:
    entry = Entry(url=URL + "?utm_source=rss", title="Invented trial of naps", summary="s")

    assert article_from_entry(entry).key == read(entry=entry).key


def test_an_untitled_entry_is_named_by_its_beginning() -> None:
    title = article_from_entry(Entry(url="", title="", content="word " * 100)).title

    assert title.endswith("word …")
    assert len(title) <= 122


def test_ten_thousand_teasers_take_well_under_a_second() -> None:
    entries = [
        Entry(url=f"https://example.org/news/{n}?utm_source=x", title=f"T {n}", summary="Some words. " * 30)
        for n in range(10_000)
    ]
    before = time.process_time()

    for entry in entries:
        article_from_entry(entry)

    assert time.process_time() - before < 1.5


def test_results_travel_between_processes() -> None:
    article = read()

    assert pickle.loads(pickle.dumps(article)) == article
