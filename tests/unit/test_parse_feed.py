# ruff: noqa: E501 (documents are easier to judge in one piece)
"""Feeds of every kind and in every state to Entries; each flaw here was seen in a real feed."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feedparser
import pytest

from monitor.errors import ParseError
from monitor.model import Entry, Feed
from monitor.parse import parse_feed

FEEDS = Path(__file__).parents[1] / "data" / "parse" / "feeds"
URL = "https://example.org/feeds/all.xml"
NAMESPACES = (
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/"'
    ' xmlns:media="http://search.yahoo.com/mrss/" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"'
    ' xmlns:prism="http://prismstandard.org/namespaces/basic/2.1/" xmlns:atom="http://www.w3.org/2005/Atom"'
)


def rss(items: str, channel: str = "<title>T</title>") -> bytes:
    return f'<?xml version="1.0"?><rss version="2.0" {NAMESPACES}><channel>{channel}{items}</channel></rss>'.encode()


def atom(entries: str, head: str = "<title>T</title>") -> bytes:
    return f'<feed xmlns="http://www.w3.org/2005/Atom">{head}{entries}</feed>'.encode()


def read(body: bytes, **options: str) -> Feed:
    return parse_feed(body, url=URL, **options)


def only(body: bytes) -> Entry:
    (entry,) = read(body).entries
    return entry


def item(inside: str) -> Entry:
    return only(rss(f"<item><title>A</title>{inside}</item>"))


# --- formats --------------------------------------------------------------------------------------------------


def test_a_science_x_feed_is_read_whole() -> None:
    feed = read((FEEDS / "science_x.rss").read_bytes())

    assert feed.title == "Medical Xpress - latest medical and health news stories"
    assert (feed.language, feed.repaired, feed.dropped) == ("en", "", 0)
    assert feed.entries[0] == Entry(
        url="https://medicalxpress.com/news/2026-03-invented-links-naps-memory.html",
        title="Invented sleep study links naps & memory in adults",
        guid="news600000001",
        published=datetime(2026, 3, 29, 19, 30, 2, tzinfo=UTC),
        summary="A made-up team reports that short naps changed recall in volunteers' tests.",
        language="en",
    )
    assert feed.entries[1].categories == ("Medical research",)
    assert feed.entries[1].published == datetime(2026, 1, 2, 17, 0, 1, tzinfo=UTC)


def test_a_highwire_feed_keeps_doi_authors_date_and_journal() -> None:
    body = (FEEDS / "highwire.rdf").read_bytes()

    feed = read(body)
    (entry,) = feed.entries

    assert entry.title == "Invented note"
    assert entry.url == "http://journal.example/cgi/content/short/1/2/3?rss=1"
    assert entry.doi == "10.5555/INV.1.2.3"
    assert entry.authors == ("Doe, J.", "Roe, R. Q.", "van der Berg, A.-M.")
    assert entry.published == datetime(2026, 3, 25, 7, 45, 24, tzinfo=UTC)
    assert entry.journal == "Invented Journal"
    assert "Made-up in vivo data at p < 0.05." in entry.summary
    assert feed.ttl == timedelta(hours=12)


def test_feedparser_loses_what_we_keep_of_a_highwire_feed() -> None:
    naive = feedparser.parse(io.BytesIO((FEEDS / "highwire.rdf").read_bytes())).entries[0]

    assert naive.dc_identifier == "hwp:master-id:inv;inv.1.2.3"  # the second identifier hides the DOI
    assert "published" not in naive
    assert naive.authors == [{"name": "Doe, J., Roe, R. Q., van der Berg, A.-M."}]


def test_a_nature_feed_is_read() -> None:
    body = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
      xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/"
      xmlns:prism="http://prismstandard.org/namespaces/basic/2.0/"><channel rdf:about="x"><title>Invented Medicine</title></channel>
      <item rdf:about="https://www.nature.example/articles/s1"><title>A trial</title><link>https://www.nature.example/articles/s1</link>
      <content:encoded><![CDATA[<p>Invented Medicine, Published online: 12 May 2026; <a href="https://doi.org/10.5555/s1">doi:10.5555/s1</a></p>Abstract.]]></content:encoded>
      <dc:creator>A. One</dc:creator><dc:creator>B. Two</dc:creator><dc:identifier>doi:10.5555/s1</dc:identifier><dc:date>2026-05-12</dc:date>
      <dc:source>Invented Medicine, Published online: 2026-05-12; | doi:10.5555/s1</dc:source><prism:doi>10.5555/S1</prism:doi></item></rdf:RDF>"""

    entry = only(body)

    assert (entry.doi, entry.journal, entry.authors) == ("10.5555/S1", "Invented Medicine", ("A. One", "B. Two"))
    assert entry.published == datetime(2026, 5, 12, tzinfo=UTC)


def test_a_pubmed_feed_gives_pmid_doi_and_journal() -> None:
    entry = item(
        "<link>https://pubmed.ncbi.nlm.nih.gov/41000001/?utm_source=x</link><dc:identifier>pmid:41000001</dc:identifier>"
        "<dc:identifier>doi:10.5555/pm.1</dc:identifier><dc:source>Invented Lancet</dc:source>"
    )

    assert (entry.pmid, entry.doi, entry.journal) == ("41000001", "10.5555/pm.1", "Invented Lancet")


@pytest.mark.parametrize(
    "inside",
    [
        "<dc:identifier>doi: 10.5555/x</dc:identifier>",
        "<dc:identifier>10.5555/x</dc:identifier>",
        "<dc:identifier>info:doi/10.5555/x</dc:identifier><dc:identifier>hwp:resource-id:x</dc:identifier>",
        "<dc:identifier>hwp:resource-id:x</dc:identifier><dc:identifier>https://doi.org/10.5555/x</dc:identifier>",
        "<prism:doi>10.5555/x</prism:doi>",
        '<p:doi xmlns:p="http://prismstandard.org/namespaces/1.2/basic/">doi:10.5555/x</p:doi>',
        '<p:doi xmlns:p="http://prismstandard.org/namespaces/basic/3.0/">10.5555/x</p:doi>',
        '<guid isPermaLink="false">10.5555/x</guid>',
        "<link>https://pub.example/doi/full/10.5555/x?af=R</link>",
    ],
)
def test_an_entrys_own_doi_is_found_wherever_feeds_put_it(inside: str) -> None:
    assert item(inside).doi == "10.5555/x"


def test_a_doi_in_the_text_is_somebody_elses() -> None:
    entry = item('<description>&lt;a href="https://doi.org/10.5555/other"&gt;doi:10.5555/other&lt;/a&gt;</description>')

    assert entry.doi == ""


def test_atom_links_are_chosen_by_their_relation() -> None:
    entry = only(
        atom(
            '<entry><title>A</title><id>tag:x</id><link rel="self" href="/self"/><link rel="enclosure" href="/a.mp3"/>'
            '<link rel="alternate" type="application/pdf" href="/a.pdf"/><link rel="alternate" type="text/html" href="/a"/>'
            "<updated>2026-01-02T03:04:05+01:00</updated><author><name>Jane Doe</name><email>j@x.org</email></author>"
            '<category term="c" label="Cardiology"/></entry>'
        )
    )

    assert entry.url == "https://example.org/a"
    assert (entry.published, entry.updated) == (None, datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC))
    assert (entry.authors, entry.categories, entry.guid) == (("Jane Doe",), ("Cardiology",), "tag:x")


def test_xhtml_html_and_text_become_plain_text() -> None:
    feed = read(
        atom(
            '<entry><title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">Role of <i>BRCA1</i></div></title><id>1</id></entry>'
            '<entry><title type="html">Role of &lt;i>BRCA1&lt;/i></title><id>2</id></entry>'
            '<entry><title type="text">if a &lt;b and c> d</title><id>3</id></entry>'
            '<entry><title>T</title><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>One.</p><p>Two.</p></div></content><id>4</id></entry>'
        )
    )

    assert [entry.title for entry in feed.entries] == ["Role of BRCA1", "Role of BRCA1", "if a <b and c> d", "T"]
    assert feed.entries[3].content == "One.\n\nTwo."


def test_xml_base_and_the_feeds_address_resolve_links() -> None:
    body = b"""<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://other.example/blog/"><title>T</title>
      <entry><title>A</title><link href="a.html"/></entry><entry xml:base="sub/"><title>B</title><link href="b.html"/></entry></feed>"""

    assert [entry.url for entry in read(body).entries] == [
        "https://other.example/blog/a.html",
        "https://other.example/blog/sub/b.html",
    ]
    assert item("<link>/a?b=1&amp;c=2</link>").url == "https://example.org/a?b=1&c=2"


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "http://[::1", "ftp://example.org/x"]
)
def test_a_link_that_is_no_web_address_is_none(link: str) -> None:
    assert item(f"<link>{link}</link>").url == ""


def test_atom_0_3_with_base64_is_read() -> None:
    body = b"""<feed version="0.3" xmlns="http://purl.org/atom/ns#"><title>T</title><entry><title>A</title><link rel="alternate" href="http://x.org/a"/>
      <issued>2004-05-06T07:08:09Z</issued><content type="text/html" mode="base64">PHA+SGVsbG88L3A+</content></entry></feed>"""

    entry = only(body)

    assert (entry.content, entry.published) == ("Hello", datetime(2004, 5, 6, 7, 8, 9, tzinfo=UTC))


def test_rss_0_91_with_netscapes_doctype_and_entities_is_read() -> None:
    body = b"""<?xml version="1.0"?><!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd">
      <rss version="0.91"><channel><title>T</title><item><title>Caf&eacute; study</title><link>http://x.org/1</link></item></channel></rss>"""

    assert only(body).title == "Café study"


def test_json_feed_is_read() -> None:
    body = b"""{"version": "https://jsonfeed.org/version/1.1", "title": "T", "language": "de-DE", "items": [
      {"id": "1", "url": "/a", "title": "A \\ud800 &amp; B", "content_html": "<p>One.</p><p>Two.</p>", "date_published": "2026-01-02T03:04:05Z",
       "authors": [{"name": "Jane Doe"}], "tags": ["x", 3]}, "junk", {"id": 2, "content_text": "Only text", "author": {"name": "Old Way"}}]}"""

    feed = read(body)

    assert feed.title == "T"
    assert feed.entries[0] == Entry(
        url="https://example.org/a", title="A & B", guid="1", published=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        authors=("Jane Doe",), content="One.\n\nTwo.", categories=("x",), language="de",
    )  # fmt: skip
    assert (feed.entries[1].guid, feed.entries[1].content, feed.entries[1].authors) == ("2", "Only text", ("Old Way",))


# --- flaws of single values -----------------------------------------------------------------------------------


def test_a_medscape_item_has_no_id_and_an_image_with_a_title_of_its_own() -> None:
    entry = only(
        rss(
            "<item><image><title>Not this</title><link>https://x.org/image</link></image><media:title>Nor this</media:title>"
            "<title>Virtual care</title><link>https://www.medscape.com/viewarticle/1?src=rss</link>"
            "<pubDate>Wed, 05 Nov 2025 13:52:10  EST</pubDate></item>"
        )
    )

    assert (entry.title, entry.guid) == ("Virtual care", "")
    assert entry.url == "https://www.medscape.com/viewarticle/1?src=rss"
    assert entry.published == datetime(2025, 11, 5, 18, 52, 10, tzinfo=UTC)


def test_unescaped_markup_in_a_title_stays_as_text() -> None:
    assert (
        only(rss("<item><title>Role of <i>BRCA1</i> in H<sub>2</sub>O</title></item>")).title == "Role of BRCA1 in H2O"
    )


def test_text_escaped_twice_is_unescaped_twice() -> None:
    assert (
        only(rss("<item><title>AT&amp;amp;T &amp;lt;i&amp;gt;in vivo&amp;lt;/i&amp;gt;</title></item>")).title
        == "AT&T in vivo"
    )


def test_scripts_and_comments_are_no_text() -> None:
    assert (
        item(
            "<description><![CDATA[a<script>if(1<2){evil()}</script><!-- <p>hidden --><style>p{}</style>b]]></description>"
        ).summary
        == "a b"
    )


def test_whole_content_keeps_its_paragraphs() -> None:
    entry = item(
        "<description>Short.</description><content:encoded><![CDATA[<p>One.</p>\n<p>Two <b>bold</b>.</p>]]></content:encoded>"
    )

    assert (entry.summary, entry.content) == ("Short.", "One.\n\nTwo bold.")


@pytest.mark.parametrize(
    ("inside", "authors"),
    [
        ("<author>jane@x.org (Jane Doe)</author>", ("Jane Doe",)),
        ("<author>Jane Doe &lt;jane@x.org&gt;</author>", ("Jane Doe",)),
        ("<dc:creator>Kaur, M., Shukla, A.</dc:creator>", ("Kaur, M.", "Shukla, A.")),
        ("<dc:creator>Doe, J.</dc:creator>", ("Doe, J.",)),
        ("<dc:creator>Doe, Jane; Roe, Rob</dc:creator>", ("Doe, Jane", "Roe, Rob")),
        ("<dc:creator>Jane Doe, Rob Roe and Max Moe</dc:creator>", ("Jane Doe", "Rob Roe", "Max Moe")),
        ("<dc:creator>Jane Doe, MD, PhD</dc:creator>", ("Jane Doe, MD, PhD",)),
        ("<dc:creator>By Jane Doe</dc:creator>", ("Jane Doe",)),
        (
            "<dc:creator>A. One</dc:creator><dc:creator>A. One</dc:creator><dc:creator>B. Two</dc:creator>",
            ("A. One", "B. Two"),
        ),
        ("<itunes:author>The Show</itunes:author>", ("The Show",)),
        ("<author>jane@x.org</author>", ()),
    ],
)
def test_authors_are_told_apart(inside: str, authors: tuple[str, ...]) -> None:
    assert item(inside).authors == authors


def test_an_id_is_an_address_unless_it_says_no() -> None:
    assert item("<guid>https://example.org/a</guid>").url == "https://example.org/a"
    assert item('<guid isPermaLink="false">https://example.org/a</guid>').url == ""


def test_feedburners_original_link_is_preferred() -> None:
    entry = only(
        b'<rss xmlns:feedburner="http://rssnamespace.org/feedburner/ext/1.0"><channel><item><title>A</title><link>http://feeds.example/~r/1</link>'
        b"<feedburner:origLink>https://example.org/a</feedburner:origLink></item></channel></rss>"
    )

    assert entry.url == "https://example.org/a"


def test_a_placeholder_date_gives_way_to_a_good_one() -> None:
    entry = item("<pubDate>Mon, 01 Jan 0001 00:00:00 GMT</pubDate><dc:date>2026-05-06</dc:date>")

    assert entry.published == datetime(2026, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("channel", "ttl"),
    [("<ttl>60</ttl>", timedelta(hours=1)), ("<ttl> 90 </ttl>", timedelta(minutes=90)), ("<ttl>0</ttl>", None), ("<ttl>soon</ttl>", None),
     (f"<ttl>{'9' * 5000}</ttl>", None), ("<ttl>-5</ttl>", None)],
)  # fmt: skip
def test_the_pace_a_feed_asks_for(channel: str, ttl: timedelta | None) -> None:
    assert read(rss("", channel)).ttl == ttl


def test_an_empty_feed_is_a_feed() -> None:
    assert read(rss("")).entries == ()


def test_what_has_no_text_at_all_is_no_entry() -> None:
    assert read(rss("<item/><item><link>https://x.org/</link></item><item><title> </title></item>")).entries == ()


def test_entries_beyond_the_limit_are_counted() -> None:
    feed = parse_feed(rss("<item><title>A</title></item>" * 30), url=URL, limit=10)

    assert (len(feed.entries), feed.dropped) == (10, 20)


def test_no_value_grows_beyond_its_bound() -> None:
    entry = item(
        f"<guid>{'g' * 1_000_000}</guid><author>{'n' * 100_000}</author>"
        + "".join(f"<category>{n}</category>" for n in range(10_000))
    )

    assert len(entry.guid) == 500 - 66 + 65
    assert len(entry.authors[0]) == 200
    assert len(entry.categories) == 50


def test_control_characters_and_nul_do_not_get_through() -> None:
    entry = only(rss("<item><title>A\x00\x1b[31m&#x1;B</title></item>"))

    assert entry.title.isprintable()


# --- bytes that are not well formed ---------------------------------------------------------------------------


def test_a_feed_cut_in_the_middle_gives_its_complete_entries() -> None:
    whole = rss(
        "".join(f"<item><title>Title {number}</title><link>https://x.org/{number}</link></item>" for number in range(9))
    )

    feed = read(whole[: whole.index(b"Title 6")])

    assert [entry.title for entry in feed.entries] == [f"Title {number}" for number in range(6)]
    assert feed.repaired == "cut off in the middle, after 6 complete entries"
    assert feed.title == "T"


@pytest.mark.parametrize(
    "change",
    [
        (b"&amp;", b"&"),
        (b"&amp;", b"&nbsp;&amp;"),
        (b"<?xml", b"Warning: mysql_connect() <b>failed</b>\n<?xml"),
        (b"</rss>", b"</rss>\n<!-- served in 0.1 s --><script>track()</script>"),
        (b"</rss>", b"</rss></rss>"),
        (b'xmlns:dc="http://purl.org/dc/elements/1.1/"', b""),
        (b"naps", b"naps p < 0.05"),
        (b"naps", b"naps \x0b\x08"),
        (b"naps", b"naps &#x0; &#31;"),
    ],
)
def test_a_flaw_is_mended_without_loss(change: tuple[bytes, bytes]) -> None:
    body = rss(
        "<item><title>Sleep &amp; naps</title><dc:creator>Jane Doe</dc:creator><link>https://x.org/1</link></item>"
    )

    feed = read(body.replace(*change))

    assert feed.repaired
    assert feed.entries[0].title.startswith("Sleep &")
    assert feed.entries[0].authors == ("Jane Doe",)
    assert feed.entries[0].url == "https://x.org/1"


def test_blank_lines_before_the_declaration_are_no_flaw() -> None:
    assert only(b"\n\n" + rss("<item><title>A</title></item>")).title == "A"


def test_cdata_is_not_mended() -> None:
    body = rss("<item><title>AT&T</title><description><![CDATA[a &amp; <b>b</b> & c]]></description></item>")

    assert only(body).summary == "a & b & c"


def test_tags_in_the_wrong_order_are_left_to_a_forgiving_reader() -> None:
    feed = read(
        rss("<item><title>A</title><description><b><i>wrong</b></i></description><link>https://x.org/1</link></item>")
    )

    assert feed.entries[0].title == "A"
    assert "forgiving" in feed.repaired


@pytest.mark.parametrize(
    ("text", "encoded", "content_type"),
    [
        ('<?xml version="1.0" encoding="iso-8859-1"?>', "utf-8", ""),
        ('<?xml version="1.0" encoding="utf-16"?>', "utf-8", ""),
        ('<?xml version="1.0" encoding="utf-8"?>', "cp1252", ""),
        ('<?xml version="1.0"?>', "cp1252", "text/xml; charset=utf-8"),
        ('<?xml version="1.0" encoding="windows-1252"?>', "cp1252", "text/xml; charset=zip"),
        ('<?xml version="1.0" encoding="utf-8"?>', "utf-16", ""),
        ('<?xml version="1.0" encoding="utf-8"?>', "utf-8-sig", "text/xml; charset=iso-8859-1"),
        ('<?xml version="1.0" encoding="no-such-thing"?>', "utf-8", ""),
    ],
)
def test_charsets_that_lie_do_no_harm(text: str, encoded: str, content_type: str) -> None:
    body = f"{text}<rss><channel><item><title>Café “naïve” Ü</title></item></channel></rss>".encode(encoded)

    (entry,) = read(body, content_type=content_type).entries

    assert entry.title == "Café “naïve” Ü"


@pytest.mark.parametrize(
    ("charset", "title"),
    [
        ("koi8-r", "Новости"),
        ("shift_jis", "医学"),
        ("gb2312", "医学新闻报道"),
        ("iso-2022-jp", "医学"),
        ("euc-kr", "의학"),
    ],
)
def test_older_charsets_are_read_where_they_are_declared(charset: str, title: str) -> None:
    body = f'<?xml version="1.0" encoding="{charset}"?><rss><channel><item><title>{title}</title></item></channel></rss>'.encode(
        charset
    )

    assert only(body).title == title


# --- what is no feed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \r\n\x00", "empty"),
        (b"<!DOCTYPE html><html><head><title>Page  not\nfound</title></head><body>x</body></html>", "an HTML page where a feed was expected (title: Page not found)"),
        (b'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>X</title></head><body/></html>', "an HTML page where a feed was expected (title: X)"),
        (b"<html><title>Just a moment...</title><script>window._cf_chl_opt={}</script></html>", "a Cloudflare challenge page where a feed was expected"),
        (b"<html><title>Sign in</title></html>", "a login page where a feed was expected"),
        (b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url/></urlset>', "a sitemap where a feed was expected"),
        (b'<opml version="2.0"><body><outline text="x"/></body></opml>', "a list of feeds (OPML) where a feed was expected"),
        (b'<?xml version="1.0"?><svg/>', "an XML document <svg> where a feed was expected"),
        (b"%PDF-1.7 <<", "a PDF file where a feed was expected"),
        (b"plain text", "neither XML nor JSON, so no feed"),
        (b'{"error": "quota"}', "JSON, but no JSON Feed (it has no items)"),
        (b"[1]", "JSON, but no JSON Feed (it has no items)"),
        (b"<rss><channel><title>T</title><item><title>A", "cut off in the middle, before the end of its first entry"),
    ],
)  # fmt: skip
def test_an_admin_reads_what_was_served_instead_of_a_feed(body: bytes, reason: str) -> None:
    with pytest.raises(ParseError) as raised:
        read(body)

    assert raised.value.reason == reason
    assert raised.value.url == URL


def test_json_cut_in_the_middle_says_so() -> None:
    with pytest.raises(ParseError, match="cut off in the middle"):
        read(b'{"version": "https://jsonfeed.org/version/1", "items": [{"id": "1"')
