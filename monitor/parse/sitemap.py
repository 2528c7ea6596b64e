"""Sitemaps: a list of addresses with dates, an index of such lists, and the news extension with titles. gz or not."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
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
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_ENDING = re.compile(r"\.(?:html?|php|aspx?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which addresses of a sitemap: dated at or after `since`, holding one of the words `match`; `undated` ones too."""

    since: datetime | None = None
    match: tuple[str, ...] = ()
    undated: bool = True


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitemap:
    """One file: of an index the `parts` (address and when it changed), else the `entries` that were wanted.

    `undated` addresses were left out for that reason, `dropped` ones are beyond the standard's limit.
    """

    entries: tuple[Entry, ...] = ()
    parts: tuple[tuple[str, datetime | None], ...] = ()
    undated: int = 0
    dropped: int = 0


def harvest_sitemap(source: Source, access: Access, now: datetime) -> Harvest:
    """What is dated since the last complete visit. Options: `match` (words, one of which an address must hold), and
    `undated` ("yes": take addresses without any date, too, all of them at the first visit).
    """
    start = start_of(source, access, now, overlap_of(source, LATE_DAYS))
    wanted = Wanted(
        since=start,
        match=tuple(source.option("match").split()),
        undated=source.option("undated").strip().lower() == "yes",
    )
    remarks: list[str] = []
    root: Sitemap = yield _request(source.url, wanted, conditional=True)
    yield from _feeds(source.url, root, remarks)
    parts = _fresh(source.url, root.parts, start)
    if len(parts) > access.max_sitemaps:
        remarks.append(f"{len(parts) - access.max_sitemaps} of {len(parts)} parts of the index were left out")
    for place in parts[: access.max_sitemaps]:
        try:
            part: Sitemap = yield _request(place, wanted)
        except ParseError as error:
            remarks.append(f"{place}: {error.reason}")
            continue
        yield from _feeds(place, part, remarks)
    return Harvested(since=now, remarks=tuple(remarks), conditional=not root.parts)


def _request(url: str, wanted: Wanted, *, conditional: bool = False) -> Request:
    return Request(
        url=url,
        read=read_sitemap,
        arguments={"wanted": wanted},
        accept=f"{XML}, */*;q=0.5",
        large=True,
        conditional=conditional,
        robots=True,
    )


def _feeds(url: str, sitemap: Sitemap, remarks: list[str]) -> Iterator[Feed]:
    if sitemap.undated:
        remarks.append(f"{sitemap.undated} addresses without a date were left out (option undated)")
    if sitemap.dropped:
        remarks.append(f"{sitemap.dropped} addresses beyond the limit were left out")
    for begin in range(0, len(sitemap.entries), AT_ONCE):
        yield Feed(title="", entries=sitemap.entries[begin : begin + AT_ONCE], url=url)


def _fresh(root: str, parts: tuple[tuple[str, datetime | None], ...], start: datetime) -> list[str]:
    """Parts of this site that may hold something new: news first, then those that changed last."""
    fresh = [(url, at) for url, at in parts if same_site(url, root) and (at is None or at >= start)]
    fresh.sort(
        key=lambda part: ("news" not in urlsplit(part[0]).path.lower(), -(part[1].timestamp() if part[1] else 0))
    )
    return [url for url, _ in fresh]


def read_sitemap(body: bytes, *, url: str, wanted: Wanted = EVERYTHING) -> Sitemap:
    """Raises ParseError. Links are not followed here, and none is taken on trust.

    What is not wanted costs next to nothing: a site may list fifty thousand addresses, of which ten are new.
    """
    text = decode(_unpacked(body, url)).lstrip("\ufeff \t\r\n")
    parser = etree.XMLPullParser(
        ("end",), tag=("{*}url", "{*}sitemap"), encoding="utf-8", resolve_entities=False, load_dtd=False,
        no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, collect_ids=False,
    )  # fmt: skip
    entries: list[Entry] = []
    parts: list[tuple[str, datetime | None]] = []
    seen = undated = 0
    data = (text.partition("?>")[2] if text.startswith("<?xml") else text).encode("utf-8", "replace")
    try:
        for start in range(0, len(data), 65_536):
            parser.feed(data[start : start + 65_536])
            for _, event in parser.read_events():
                element = cast("etree._Element", event)
                seen += 1
                if seen <= MAX_ADDRESSES:
                    said = _said(element)
                    dated = said.get("publication_date") or said.get("lastmod", "")
                    if element.tag.endswith("sitemap"):
                        if place := resolved(said.get("loc", ""), url):
                            parts.append((place, parse_date(dated)))
                    elif not dated and not wanted.undated:
                        undated += 1
                    elif _is_wanted(said.get("loc", ""), dated, wanted) and (entry := _entry(said, url)):
                        entries.append(entry)
                element.clear()
                while (before := element.getprevious()) is not None:
                    element.getparent().remove(before)  # type: ignore[union-attr]  # it has a sibling
        root = parser.close()
    except etree.XMLSyntaxError as error:
        raise ParseError(url, f"not well formed XML: {error.msg}" if "<url" in text[:2000] else _wrong(text)) from error
    if etree.QName(root).localname not in ("urlset", "sitemapindex"):
        raise ParseError(url, _wrong(text))
    dropped = max(seen - MAX_ADDRESSES, 0)
    return Sitemap(entries=tuple(entries), parts=tuple(parts), undated=undated, dropped=dropped)


def _is_wanted(place: str, dated: str, wanted: Wanted) -> bool:
    if wanted.match and not any(word in place for word in wanted.match):
        return False
    if not dated or wanted.since is None:
        return True
    if _DAY.match(dated) and dated[:10] < f"{wanted.since - timedelta(days=1):%Y-%m-%d}":  # whatever its zone
        return False
    at = parse_date(dated)
    return wanted.undated if at is None else at >= wanted.since


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


def _entry(said: dict[str, str], base: str) -> Entry | None:
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
