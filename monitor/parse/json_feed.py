"""JSON Feed 1.0 and 1.1 (jsonfeed.org)."""

from __future__ import annotations

import json
from typing import Any

from monitor.errors import ParseError
from monitor.identity import doi_in_url, find_doi
from monitor.model import Entry, Feed
from monitor.parse.authors import author_names
from monitor.parse.dates import parse_date
from monitor.parse.entry import MAX_CATEGORIES, bounded_guid, language_code, resolved
from monitor.parse.plain import MAX_LINE, clean, plain_line, plain_paragraphs


def read_json_feed(text: str, *, url: str, limit: int) -> Feed:
    """Raises ParseError for what is no JSON, or no feed."""
    try:
        document = json.loads(text, strict=False)  # line breaks inside of strings do occur
    except RecursionError as error:
        raise ParseError(url, "JSON nested too deeply") from error
    except ValueError as error:  # also a number of thousands of digits
        raise ParseError(url, f"broken JSON, or cut off in the middle: {str(error)[:120]}") from error
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise ParseError(url, "JSON, but no JSON Feed (it has no items)")
    language = language_code(_string(document, "language"))
    authors = _authors(document)
    items = [item for item in document["items"] if isinstance(item, dict)]
    entries = (_entry(item, url, language, authors) for item in items[:limit])
    return Feed(
        title=plain_line(_string(document, "title"), MAX_LINE),
        entries=tuple(entry for entry in entries if entry.title or entry.summary or entry.content),
        url=url,
        language=language,
        dropped=max(0, len(items) - limit),
    )


def _entry(item: dict[str, Any], base: str, language: str, authors: tuple[str, ...]) -> Entry:
    guid = clean(_string(item, "id"))
    links = [_string(item, "url"), _string(item, "external_url")]
    if guid.lower().startswith(("http://", "https://")):
        links.append(guid)
    url = next((found for link in links if link and (found := resolved(link, base))), "")
    tags = item.get("tags")
    return Entry(
        url=url,
        title=plain_line(_string(item, "title"), MAX_LINE),
        guid=bounded_guid(guid),
        published=parse_date(_string(item, "date_published")),
        updated=parse_date(_string(item, "date_modified")),
        authors=_authors(item) or authors,
        summary=plain_line(_string(item, "summary"), 65_536),
        content=plain_paragraphs(_string(item, "content_html") or _string(item, "content_text")),
        doi=find_doi(guid) if guid.lower().startswith(("10.", "doi:", "https://doi.org/")) else doi_in_url(url),
        categories=tuple(clean(tag)[:200] for tag in tags[:MAX_CATEGORIES] if isinstance(tag, str))
        if isinstance(tags, list)
        else (),
        language=language_code(_string(item, "language")) or language,
    )


def _string(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) and name == "id" else ""


def _authors(item: dict[str, Any]) -> tuple[str, ...]:
    several, one = item.get("authors"), item.get("author")
    people = several if isinstance(several, list) else [one]
    return author_names(_string(person, "name") for person in people if isinstance(person, dict))
