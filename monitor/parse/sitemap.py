"""Sitemaps: a list of addresses with dates, an index of such lists, and the news extension with titles. gz or not."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from urllib.parse import unquote, urlsplit

from lxml import etree

from monitor.errors import ParseError
from monitor.identity import same_site
from monitor.model import Entry, Feed, Source
from monitor.parse.asking import XML, Access, Harvest, Harvested, Request, overlap_of, start_of
from monitor.parse.charset import decode
from monitor.parse.dates import parse_date
from monitor.parse.entry import language_code, resolved
from monitor.parse.plain import MAX_LINE, clean
from monitor.parse.wrong import why_no_feed

LATE_DAYS = 2  # a news sitemap lists two days
MAX_BYTES = 60_000_000  # the standard's 50 MB, and a little
MAX_ADDRESSES = 50_000  # the standard's, of one file
AT_ONCE = 500
_GZIP = b"\x1f\x8b"
_WORDS = re.compile(r"[^\W\d_]{2,}|\d+")
_ENDING = re.compile(r"\.(?:html?|php|aspx?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sitemap:
    """One file: of an index the `parts` (address and when it changed), else the `entries`."""

    entries: tuple[Entry, ...] = ()
    parts: tuple[tuple[str, datetime | None], ...] = ()
    dropped: int = 0


def harvest_sitemap(source: Source, access: Access, now: datetime) -> Harvest:
    """What is dated since the last complete visit. Options: `match` (words, one of which an address must hold), and
    `undated` ("yes": take addresses without any date, too, all of them at the first visit).
    """
    start = start_of(source, access, now, overlap_of(source, LATE_DAYS))
    match = tuple(source.option("match").split())
    undated = source.option("undated").strip().lower() == "yes"
    remarks: list[str] = []
    root: Sitemap = yield _request(source.url, conditional=True)
    yield from _entries(source.url, root, start, match, undated, remarks)
    parts = _fresh(source.url, root.parts, start)
    if len(parts) > access.max_sitemaps:
        remarks.append(f"{len(parts) - access.max_sitemaps} of {len(parts)} parts of the index were left out")
    for place in parts[: access.max_sitemaps]:
        try:
            part: Sitemap = yield _request(place)
        except ParseError as error:
            remarks.append(f"{place}: {error.reason}")
            continue
        yield from _entries(place, part, start, match, undated, remarks)
    return Harvested(since=now, remarks=tuple(remarks), conditional=not root.parts)


def _request(url: str, *, conditional: bool = False) -> Request:
    return Request(
        url=url, read=read_sitemap, accept=f"{XML}, */*;q=0.5", large=True, conditional=conditional, robots=True
    )


def _fresh(root: str, parts: tuple[tuple[str, datetime | None], ...], start: datetime) -> list[str]:
    """Parts of this site that may hold something new: news first, then those that changed last."""
    fresh = [(url, at) for url, at in parts if same_site(url, root) and (at is None or at >= start)]
    fresh.sort(
        key=lambda part: ("news" not in urlsplit(part[0]).path.lower(), -(part[1].timestamp() if part[1] else 0))
    )
    return [url for url, _ in fresh]


def _entries(
    url: str, sitemap: Sitemap, start: datetime, match: tuple[str, ...], undated: bool, remarks: list[str]
) -> Harvest:
    ours = [entry for entry in sitemap.entries if not match or any(word in entry.url for word in match)]
    dated = [entry for entry in ours if (at := entry.published or entry.updated) and at >= start]
    nameless = [entry for entry in ours if not (entry.published or entry.updated)]
    if nameless and not undated:
        remarks.append(f"{len(nameless)} addresses without a date were left out (option undated)")
    if sitemap.dropped:
        remarks.append(f"{sitemap.dropped} addresses beyond the limit were left out")
    wanted = dated + (nameless if undated else [])
    for begin in range(0, len(wanted), AT_ONCE):
        yield Feed(title="", entries=tuple(wanted[begin : begin + AT_ONCE]), url=url)
    return Harvested()


def read_sitemap(body: bytes, *, url: str) -> Sitemap:
    """Raises ParseError. Links are not followed here, and none is taken on trust."""
    text = decode(_unpacked(body, url)).lstrip("\ufeff \t\r\n")
    parser = etree.XMLPullParser(
        ("end",), tag=("{*}url", "{*}sitemap"), encoding="utf-8", resolve_entities=False, load_dtd=False,
        no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, collect_ids=False,
    )  # fmt: skip
    entries: list[Entry] = []
    parts: list[tuple[str, datetime | None]] = []
    dropped = 0
    data = (text.partition("?>")[2] if text.startswith("<?xml") else text).encode("utf-8", "replace")
    try:
        for start in range(0, len(data), 65_536):
            parser.feed(data[start : start + 65_536])
            for _, event in parser.read_events():
                element = cast("etree._Element", event)
                if len(entries) + len(parts) >= MAX_ADDRESSES:
                    dropped += 1
                elif element.tag.endswith("sitemap"):
                    if place := resolved(_said(element).get("loc", ""), url):
                        parts.append((place, parse_date(_said(element).get("lastmod", ""))))
                elif entry := _entry(element, url):
                    entries.append(entry)
                element.clear()
                while (before := element.getprevious()) is not None:
                    element.getparent().remove(before)  # type: ignore[union-attr]  # it has a sibling
        root = parser.close()
    except etree.XMLSyntaxError as error:
        raise ParseError(url, f"not well formed XML: {error.msg}" if "<url" in text[:2000] else _wrong(text)) from error
    if etree.QName(root).localname not in ("urlset", "sitemapindex"):
        raise ParseError(url, _wrong(text))
    return Sitemap(tuple(entries), tuple(parts), dropped)


def _wrong(text: str) -> str:
    return why_no_feed(text).replace("a feed was", "a sitemap was").replace("so no feed", "so no sitemap")


def _unpacked(body: bytes, url: str) -> bytes:
    if not body.startswith(_GZIP):
        return body
    stream = zlib.decompressobj(31)
    try:
        data = stream.decompress(body, MAX_BYTES)
    except zlib.error as error:
        raise ParseError(url, f"not valid gzip: {error}") from error
    if not stream.eof:
        reason = (
            f"more than {MAX_BYTES:,} bytes once unpacked" if stream.unconsumed_tail else "the gzip stops in the middle"
        )
        raise ParseError(url, reason)
    return data


def _entry(element: etree._Element, base: str) -> Entry | None:
    said = _said(element)
    url = resolved(said.get("loc", ""), base)
    if not url or not same_site(url, base):  # a sitemap speaks for its own site only
        return None
    return Entry(
        url=url,
        title=said.get("title", "")[:MAX_LINE] or title_of(url),
        published=parse_date(said.get("publication_date", "")),
        updated=parse_date(said.get("lastmod", "")),
        language=language_code(said.get("language", "")),
        categories=tuple(word for part in said.get("keywords", "").split(",") if (word := clean(part)[:200]))[:50],
    )


def _said(element: etree._Element) -> dict[str, str]:
    """The texts below an element by their local names; an image's title is none of the page's."""
    said: dict[str, str] = {}
    todo = list(element)
    while todo:
        child = todo.pop(0)
        name = str(child.tag).rpartition("}")
        if len(child):
            if "news" in name[0] or name[2] in ("news", "publication"):
                todo += list(child)
        elif name[2] and "image" not in name[0] and "video" not in name[0]:
            said.setdefault(name[2], clean(child.text or ""))
    return said


def title_of(url: str) -> str:
    """A title to show until the page was read, made of the address; it ends in "…" and so yields to the page's."""
    last = next((part for part in reversed(urlsplit(url).path.split("/")) if part), "")
    words = _WORDS.findall(unquote(_ENDING.sub("", last)))
    line = " ".join(words)[:120].capitalize()
    return f"{line or url[:120]} …"
