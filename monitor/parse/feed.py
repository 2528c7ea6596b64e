"""Bytes to a Feed: RSS 0.9x to 2.0, RSS 1.0 (RDF), Atom 0.3 and 1.0 here; JSON Feed in json_feed.py.

Strict XML -> linear repair -> strict XML -> feedparser. One pass of libxml2's push parser, each entry thrown away once
read: memory stays flat, and of a feed cut in the middle the complete entries remain. No DTD, no entity, no network.
"""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from lxml import etree

from monitor.errors import ParseError
from monitor.model import Entry, Feed
from monitor.parse.authors import author_names
from monitor.parse.charset import decode
from monitor.parse.entry import FeedHead, gathered, language_code, raw_text, read_entry, text_line
from monitor.parse.json_feed import read_json_feed
from monitor.parse.repair import repaired_xml
from monitor.parse.tags import short_tag
from monitor.parse.wrong import why_no_feed

_CHUNK = 65_536
_ROOTS = ("rss", "rdf:rdf", "atom:feed", "feed", "channel")
_PARENTS = (*_ROOTS, "items")
_PERIODS = {"hourly": 1, "daily": 24, "weekly": 168, "monthly": 720, "yearly": 8_760}  # hours


def parse_feed(body: bytes, *, url: str, content_type: str = "", limit: int = 1000) -> Feed:
    """The feed in `body`, at most `limit` entries of it (`dropped` counts the rest); links are resolved against `url`.

    What is not well formed is mended where that is safe, and `Feed.repaired` says so. Raises ParseError with a reason
    for an admin, and nothing else. Work is linear in the bytes, except in feedparser: run it where it can be stopped.
    """
    if not body.strip(b"\x00 \t\r\n"):
        raise ParseError(url, "empty")
    text = decode(body, content_type).lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "["):
        return read_json_feed(text, url=url, limit=limit)
    try:
        return _Reading(url, limit).of(text)
    except etree.XMLSyntaxError:
        return _parse_broken(text, url, limit)


def _parse_broken(text: str, url: str, limit: int) -> Feed:
    mended = repaired_xml(text)
    if not mended:
        raise ParseError(url, why_no_feed(text))
    reading = _Reading(url, limit)
    try:
        return reading.of(mended, "not well formed; mended")
    except etree.XMLSyntaxError as error:
        if reading.cut_off and reading.entries:
            return reading.feed(
                f"cut off in the middle, after {len(reading.entries) + reading.dropped} complete entries"
            )
        if reading.cut_off:
            raise ParseError(url, "cut off in the middle, before the end of its first entry") from error
        from monitor.parse.fallback import read_with_feedparser  # slow to import, rarely needed

        return read_with_feedparser(mended, url=url, limit=limit, reason=error.msg or "")


class _Reading:
    """One reading of one feed. After an XMLSyntaxError it still holds the entries that were complete before it."""

    def __init__(self, url: str, limit: int) -> None:
        self.url = url
        self.limit = limit
        self.entries: list[Entry] = []
        self.seen = 0
        self.dropped = 0
        self.cut_off = False
        self.head: FeedHead | None = None

    def of(self, text: str, repaired: str = "") -> Feed:
        """Raises XMLSyntaxError for what is not well formed, ParseError for XML that is no feed."""
        parser = etree.XMLPullParser(
            ("end",), tag=("{*}item", "{*}entry"), encoding="utf-8", resolve_entities=False, load_dtd=False,
            no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, collect_ids=False,
        )  # fmt: skip
        data = text.encode("utf-8", "replace")
        for start in range(0, len(data), _CHUNK):
            try:
                parser.feed(data[start : start + _CHUNK])
            finally:
                for _, item in parser.read_events():
                    self._take(cast("etree._Element", item))
        try:
            root = parser.close()
        except etree.XMLSyntaxError:
            self.cut_off = True
            raise
        if short_tag(root.tag) not in _ROOTS:
            raise ParseError(self.url, why_no_feed(text))
        self.head = read_head(root, self.url)
        return self.feed(repaired)

    def feed(self, repaired: str = "") -> Feed:
        head = self.head or FeedHead(url=self.url)
        return Feed(
            title=head.title, entries=tuple(self.entries), url=self.url, language=head.language, ttl=head.ttl,
            dropped=self.dropped, repaired=repaired,
        )  # fmt: skip

    def _take(self, item: etree._Element) -> None:
        parent = item.getparent()
        if parent is None or short_tag(parent.tag) not in _PARENTS:
            return
        self.seen += 1
        if self.seen > self.limit:
            self.dropped += 1
        else:
            if self.head is None:
                self.head = read_head(item.getroottree().getroot(), self.url)
            if entry := read_entry(item, self.head):
                self.entries.append(entry)
        item.clear()
        parent.remove(item)


def read_head(root: etree._Element, url: str) -> FeedHead:
    """The feed's own title, language, journal, authors and pace."""
    channel = next((child for child in root if short_tag(child.tag) in ("channel", "atom:channel")), root)
    head = FeedHead(url=url)
    for child in channel:
        name = short_tag(child.tag)
        if name in ("title", "atom:title") and not head.title:
            head.title = text_line(child)
        elif name in ("language", "dc:language") and not head.language:
            head.language = language_code(child.text or "")
        elif name == "prism:publicationname" and not head.journal:
            head.journal = text_line(child)
    if short_tag(root.tag) == "atom:feed":
        names = [raw_text(name) for author in gathered(root).get("atom:author", ()) for name in author.iter("{*}name")]
        head.authors = author_names(names)
    head.language = head.language or language_code(root.get("{http://www.w3.org/XML/1998/namespace}lang", ""))
    head.ttl = _pace(channel)
    return head


def _pace(channel: etree._Element) -> timedelta | None:
    """How long the feed asks us to wait: RSS 2.0's `ttl` in minutes, or RSS 1.0's period divided by its frequency."""
    said = {short_tag(child.tag): (child.text or "").strip().lower() for child in channel}
    if minutes := _small_number(said.get("ttl", "")):
        return timedelta(minutes=minutes)
    if hours := _PERIODS.get(said.get("sy:updateperiod", "")):
        return timedelta(hours=hours) / (_small_number(said.get("sy:updatefrequency", "")) or 1)
    return None


def _small_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
