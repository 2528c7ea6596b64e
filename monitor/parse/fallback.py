"""The last resort for feeds that cannot be mended: feedparser, which reads anything, slowly.

Only behind bounds, because some of its work is quadratic (200,000 attributes take it over 40 s), and never with its
sanitizer or its own idea of addresses. Of repeated `dc:identifier` it keeps the last, so DOIs may be missing here.
"""

from __future__ import annotations

import io
from typing import Any

import feedparser

from monitor.errors import ParseError
from monitor.identity import doi_in_url, find_doi
from monitor.model import Entry, Feed
from monitor.parse.authors import author_names
from monitor.parse.dates import parse_date
from monitor.parse.entry import MAX_CATEGORIES, bounded_guid, language_code, resolved
from monitor.parse.plain import MAX_LINE, clean, plain_line, plain_paragraphs

_MAX_BYTES = 2_000_000
_MAX_TAGS = 50_000
_MAX_ATTRIBUTES = 500  # in one tag


def read_with_feedparser(text: str, *, url: str, limit: int, reason: str) -> Feed:
    """Raises ParseError, naming the XML's first fault (`reason`), if feedparser finds no entry either."""
    fault = f"broken XML ({reason[:120]})"
    if len(text) > _MAX_BYTES or text.count("<") > _MAX_TAGS or max(map(_equals, text.split("<"))) > _MAX_ATTRIBUTES:
        raise ParseError(url, f"{fault}, and too large or too strange to mend")
    try:
        parsed = feedparser.parse(  # a stream: of a string it would ask whether it is an address or a file
            io.BytesIO(text.encode("utf-8", "replace")),
            response_headers={"content-type": "application/xml; charset=utf-8"},
            sanitize_html=False,
            resolve_relative_uris=False,
        )
    except Exception as error:  # it promises never to raise, and does: AssertionError, RecursionError, ValueError …
        raise ParseError(url, fault) from error
    head = parsed.get("feed", {})
    language = language_code(_string(head, "language"))
    entries = [_entry(item, url, language) for item in parsed.entries[:limit]]
    entries = [entry for entry in entries if entry.title or entry.summary or entry.content]
    if not entries:
        raise ParseError(url, f"{fault}, and no entries in it")
    return Feed(
        title=plain_line(_string(head, "title"), MAX_LINE),
        entries=tuple(entries),
        url=url,
        language=language,
        dropped=max(0, len(parsed.entries) - limit),
        repaired=f"{fault}; read by a forgiving reader",
    )


def _entry(item: Any, base: str, language: str) -> Entry:
    guid = clean(_string(item, "id"))
    url = resolved(_string(item, "link"), base) if item.get("link") else ""
    doi = _string(item, "prism_doi") or _string(item, "dc_identifier")
    contents = item.get("content") or []
    authors = [_string(author, "name") for author in item.get("authors", []) if author]
    return Entry(
        url=url,
        title=plain_line(_string(item, "title"), MAX_LINE),
        guid=bounded_guid(guid),
        published=parse_date(_string(item, "published")),
        updated=parse_date(_string(item, "updated")),
        authors=author_names(authors),
        summary=plain_line(_string(item, "summary"), 65_536),
        content=plain_paragraphs(_string(contents[0], "value") if contents else ""),
        doi=find_doi(doi) or doi_in_url(url),
        journal=plain_line(_string(item, "prism_publicationname"), MAX_LINE),
        categories=tuple(
            clean(_string(tag, "term"))[:200] for tag in item.get("tags", [])[:MAX_CATEGORIES] if tag.get("term")
        ),
        language=language_code(_string(item, "language")) or language,
    )


def _string(item: Any, name: str) -> str:
    value = dict.get(item, name)  # its own get() answers "published" for "updated", with a warning
    return value if isinstance(value, str) else ""


def _equals(tag: str) -> int:
    return tag.count("=")
