# ruff: noqa: E501 (documents are easier to judge in one piece)
"""What is meant to hurt: expansion, depth, floods, quadratic shapes, lies. Each ends in time, or as a ParseError."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import ParseError
from monitor.model import Article, Feed
from monitor.parse import parse_article, parse_feed

DATA = Path(__file__).parents[1] / "data" / "parse"
URL = "https://example.org/x"
SECONDS = 12.0  # of CPU, 3 on an idle machine; the naive way needs from twenty seconds to hours

RSS = b"<rss><channel><title>T</title>%s</channel></rss>"
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><rss><channel><item><title>&j;</title><description>%s</description></item></channel></rss>"
)
FEEDS: dict[str, bytes] = {
    "billion laughs": LAUGHS % b"x",
    "billion laughs in an attribute": LAUGHS.replace(b"<item>", b'<item a="&j;">') % b"x",
    "quadratic blow-up": b'<!DOCTYPE r [<!ENTITY a "%s">]><rss><channel><item><title>%s</title></item></channel></rss>' % (b"A" * 50_000, b"&a;" * 50_000),
    "an entity that loops": b'<!DOCTYPE r [<!ENTITY a "&b;"><!ENTITY b "&a;">]><rss><channel><item><title>&a;</title></item></channel></rss>',
    "external entity": b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss><channel><item><title>A&x;</title></item></channel></rss>',
    "parameter entity": b'<!DOCTYPE r [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><rss><channel><item><title>A</title></item></channel></rss>',
    "external DTD": b'<!DOCTYPE rss SYSTEM "file:///etc/passwd"><rss><channel><item><title>A</title></item></channel></rss>',
    "xinclude": RSS % b'<item><title>A<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/></title></item>',
    "stylesheet": b'<?xml version="1.0"?><?xml-stylesheet href="file:///etc/passwd"?>' + RSS % b"<item><title>A</title></item>",
    "200,000 attributes": RSS % (b"<item %s/>" % b" ".join(b'a%d="x"' % n for n in range(200_000))),
    "50,000 namespaces": RSS % b"".join(b'<a xmlns:n%d="u%d"/>' % (n, n) for n in range(50_000)),
    "200,000 levels": RSS % (b"<a>" * 200_000),
    "200,000 levels, closed": RSS % (b"<a>" * 200_000 + b"</a>" * 200_000),
    "100,000 empty items": RSS % (b"<item/>" * 100_000),
    "items in items": b"<rss><channel>" + b"<item><title>A</title>" * 150 + b"</item>" * 150 + b"</channel></rss>",
    "5 MB of <": b"<" * 5_000_000,
    "an open root and 1 MB of <": b"<rss>" + b"<" * 1_000_000,
    "an open root and open tags": b"<rss>" + b"<a " * 1_000_000,
    "comments that never end": b"<rss>" + b"<!--" * 1_000_000,
    "CDATA that never ends": b"<rss><channel><item><title>" + b"<![CDATA[" * 200_000,
    "a token of 8 MB": RSS % (b"<item><title>" + b"x" * 8_000_000 + b"</title></item>"),
    "an attribute of 8 MB": RSS % (b'<item a="' + b"x" * 8_000_000 + b'"/>'),
    "1 MB of ampersands": RSS % (b"<item><title>" + b"&" * 1_000_000 + b"</title></item>"),
    "a reference of 6,000 digits": RSS % (b"<item><title>A</title><description><![CDATA[&#" + b"1" * 6_000 + b";]]></description></item>"),
    "100,000 categories": RSS % (b"<item><title>A</title>" + b"<category>c</category>" * 100_000 + b"</item>"),
    "open tags in a description": RSS % (b"<item><title>A</title><description><![CDATA[" + b"<a " * 800_000 + b"]]></description></item>"),
    "comments in a description": RSS % (b"<item><title>A</title><description><![CDATA[" + b"<!--" * 800_000 + b"]]></description></item>"),
    "two roots": RSS % b"<item><title>A</title></item>" * 2,
    "undeclared prefixes": RSS % b"".join(b"<p%d:a/>" % n for n in range(50_000)),
    "deep JSON": b"[" * 1_000_000,
    "deep JSON items": b'{"items":' + b"[" * 1_000_000,
    "a JSON number of 5,000 digits": b'{"items": [{"id": ' + b"9" * 5_000 + b"}]}",
    "JSON of the wrong types": json.dumps({"title": [], "items": [None, 1, [], {"id": {}, "url": [1], "title": 3, "tags": "x", "authors": {"name": 1}}]}).encode(),
    "zeros": b"\x00" * 100_000,
    "UTF-7": b'<?xml version="1.0" encoding="utf-7"?>+ADw-rss+AD4-',
    "punycode": b'<?xml version="1.0" encoding="punycode"?><rss><channel><item><title>\xff</title></item></channel></rss>',
    "UTF-16, half": "<rss><channel>".encode("utf-16")[:-1],
}  # fmt: skip
HTML = b"<html><head><title>T</title></head><body>%s</body></html>"
SENTENCES = b" ".join(b"Sentence %d of an invented article about sleep." % number for number in range(60))
PAGES: dict[str, bytes] = {
    "100,000 levels": HTML % (b"<div>" * 100_000 + SENTENCES),
    "open inline tags": HTML % (b"<b>" * 50_000 + SENTENCES),
    "open tables": HTML % (b"<table>" * 20_000 + SENTENCES),
    "paragraphs and italics": HTML % (b"<p><i>" * 50_000 + SENTENCES),
    "200,000 attributes": HTML % (b"<p %s>" % b" ".join(b"a%d=x" % n for n in range(200_000)) + SENTENCES),
    "200,000 attributes without values": HTML % (b"<p %s>" % b" ".join(b"a%d" % n for n in range(200_000)) + SENTENCES),
    "200,000 attributes behind a quoted >": HTML % (b'<p title=">" %s>' % b" ".join(b"a%d='>'" % n for n in range(200_000)) + SENTENCES),
    "comments that never end": HTML % (b"<!--" * 400_000),
    "open tags": HTML % (b"<a " * 400_000),
    "<![<": HTML % (b"<![<" * 200_000),
    "1 MB of <": b"<" * 1_000_000,
    "100,000 paragraphs": HTML % (b"<p>x" * 100_000),
    "30,000 links": HTML % (b"<li><a href='/x'>An invented link of some length</a></li>" * 30_000),
    "one line of 2 MB": HTML % (b"<p>" + b"word " * 400_000),
    "20,000 meta": b"<html><head>" + b'<meta name="citation_author" content="A. B">' * 20_000 + b"</head><body><p>" + SENTENCES,
    "deep JSON-LD": HTML % (b'<script type="application/ld+json">' + b"[" * 200_000 + b"]" * 200_000 + b"</script><p>" + SENTENCES),
    "wide JSON-LD": HTML % (b'<script type="application/ld+json">[' + b"{}," * 200_000 + b"{}]</script><p>" + SENTENCES),
    "a number of 5,000 digits in JSON-LD": HTML % (b'<script type="application/ld+json">{"a":' + b"9" * 5_000 + b"}</script><p>" + SENTENCES),
    "a reference of 6,000 digits": HTML % (b"<p>&#" + b"1" * 6_000 + b";" + SENTENCES),
    "titles that never end": HTML % (b"<title>" * 100_000),
    "Science X, 6,000 paragraphs": b"<main><article class=news-article><div class=article-main>" + b"<p>An invented paragraph." * 6_000,
    "zeros": b"<p>\x00" * 1_000 + SENTENCES,
    "wrong charset": b'<meta charset="utf-16"><p>' + SENTENCES,
    "a codec that is no charset": b'<meta charset="zip"><p>\xff' + SENTENCES,
    "PDF": b"%PDF-1.4\n",
    "empty": b"",
}  # fmt: skip


def read_feed(body: bytes) -> Feed:
    return parse_feed(body, url=URL)


def read_page(body: bytes) -> Article:
    return parse_article(body, url=URL)


def outcome(read: Callable[[bytes], Feed | Article], body: bytes) -> Feed | Article | ParseError:
    """Anything but a value or a ParseError fails the test that asks."""
    try:
        return read(body)
    except ParseError as error:
        return error


@pytest.mark.parametrize("name", FEEDS)
def test_a_hostile_feed_ends_in_time_and_leaks_nothing(name: str) -> None:
    before = time.process_time()

    said = repr(outcome(read_feed, FEEDS[name]))

    assert time.process_time() - before < SECONDS
    assert "root:" not in said
    assert len(said) < 2_000_000


@pytest.mark.parametrize("name", PAGES)
def test_a_hostile_page_ends_in_time(name: str) -> None:
    before = time.process_time()

    said = outcome(read_page, PAGES[name])

    assert time.process_time() - before < SECONDS
    assert isinstance(said, ParseError) or len(said.body) <= 256 * 1024


@pytest.mark.parametrize("name", ["external DTD", "xinclude", "stylesheet", "two roots", "punycode"])
def test_the_harmless_part_of_a_hostile_feed_is_read(name: str) -> None:
    assert len(read_feed(FEEDS[name]).entries) >= 1


@pytest.mark.parametrize(
    "name", ["200,000 attributes", "200,000 attributes behind a quoted >", "deep JSON-LD", "zeros", "wrong charset"]
)
def test_the_article_of_a_hostile_page_is_read(name: str) -> None:
    assert "Sentence 59 of an invented article" in read_page(PAGES[name]).body


VALID_FEEDS = [path.read_bytes() for path in sorted((DATA / "feeds").iterdir())]
VALID_PAGES = [path.read_bytes() for path in sorted((DATA / "pages").glob("*.html"))]
SPLINTERS = st.sampled_from(
    [b"<", b">", b"&", b"&#0;", b"<![CDATA[", b"]]>", b"<!--", b"-->", b'"', b"'", b"\x00", b"\xff", b"\xed\xa0\x80", b"</item>", b"<item>", b"</p>",
     b"<?xml?>", b"<!DOCTYPE x [", b"&#xD800;", b"http://[::1", b"9999-12-31T23:59:59-23:59", b"</article>", b"<script>", b"\x85", b"\xe2\x80\xa8"]
) | st.binary(max_size=8)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """A good document with pieces cut out, doubled and put in."""
    body = draw(st.sampled_from(whole))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.sampled_from([0, 0, 1, 10, 200, len(body)])))
        body = body[:start] + draw(SPLINTERS) + draw(st.sampled_from([b"", body[start:end]])) + body[end:]
    return body


@settings(max_examples=100, deadline=None)
@given(damaged(VALID_FEEDS))
def test_no_damage_to_a_feed_raises_anything_but_a_parse_error(body: bytes) -> None:
    said = outcome(read_feed, body)

    repr(said).encode("utf-8")  # no lone surrogate gets through to database or mail
    if isinstance(said, Feed):
        assert all("\x00" not in f"{entry.title}{entry.summary}{entry.content}" for entry in said.entries)
        assert all(entry.url == "" or entry.url.startswith(("http://", "https://")) for entry in said.entries)


@settings(max_examples=40, deadline=None)
@given(damaged(VALID_PAGES))
def test_no_damage_to_a_page_raises_anything_but_a_parse_error(body: bytes) -> None:
    said = outcome(read_page, body)

    if isinstance(said, Article):
        assert said.body
        f"{said.title}{said.body}{said.citation}{said.authors}".encode()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_parse_error(body: bytes) -> None:
    outcome(read_feed, body)
    outcome(read_page, body)
