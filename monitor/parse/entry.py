"""One `item` or `entry` element to an Entry, and what stands above all entries to the feed's own values."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urljoin

from lxml import etree

from monitor.identity import doi_in_url, find_doi, host_of
from monitor.model import Entry
from monitor.parse.authors import author_names
from monitor.parse.dates import parse_date
from monitor.parse.plain import MAX_LINE, clean, plain_line, plain_paragraphs, unescape
from monitor.parse.tags import short_tag

MAX_CATEGORIES = 50
MAX_GUID = 500
MAX_URL = 4_000
MAX_SUMMARY = 65_536
_MAX_VALUES = 500  # of one name in one entry

# Where each value may stand, the best place first. Names as in `short_tag`.
_TITLE = ("title", "atom:title", "dc:title")
_PUBLISHED = (
    "pubdate", "atom:published", "atom:issued", "dc:date", "dcterms:issued", "prism:publicationdate", "dcterms:created",
    "atom:created", "prism:coverdate",
)  # fmt: skip
_UPDATED = ("atom:updated", "atom:modified", "dcterms:modified", "lastbuilddate", "updated")
_CONTENT = ("content:encoded", "atom:content", "html:body", "content")
_SUMMARY = (
    "atom:summary",
    "description",
    "dcterms:abstract",
    "dc:description",
    "itunes:summary",
    "media:description",
    "summary",
)
_AUTHORS = ("dc:creator", "atom:author", "author", "itunes:author")
_CATEGORIES = ("category", "atom:category", "dc:subject", "prism:keyword")
_IDENTIFIERS = ("prism:doi", "dc:identifier", "dcterms:identifier", "other:doi", "doi")
_GUID = ("guid", "atom:id")
_LINKS = ("feedburner:origlink", "atom:link", "link")
_OTHERS = ("dc:language", "prism:publicationname", "dc:source")
_WANTED = frozenset(
    (
        *_TITLE,
        *_PUBLISHED,
        *_UPDATED,
        *_CONTENT,
        *_SUMMARY,
        *_AUTHORS,
        *_CATEGORIES,
        *_IDENTIFIERS,
        *_GUID,
        *_LINKS,
        *_OTHERS,
    )
)
_OWN_DOI = re.compile(r"(?:doi:\s*|info:doi/|https?://(?:dx\.)?doi\.org/)?\s*10\.\d{4,9}/", re.IGNORECASE)
_PMID = re.compile(r"(?:pmid:\s*|info:pmid/|https?://(?:www\.)?pubmed\.ncbi\.nlm\.nih\.gov/)(\d{1,9})\b", re.IGNORECASE)
_WITH_HOST = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::[1-5]?[0-9]{1,4})?(?:[/?#]|$)")
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ABOUT = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"

Values = dict[str, list[etree._Element]]


@dataclass(slots=True)
class FeedHead:
    """What the feed says of itself and, by that, of each entry that does not say otherwise."""

    url: str
    title: str = ""
    language: str = ""
    journal: str = ""
    authors: tuple[str, ...] = ()
    ttl: timedelta | None = None


def read_entry(item: etree._Element, head: FeedHead) -> Entry | None:
    """The entry, or None where there is nothing to show or to find it by."""
    values = gathered(item)
    title = _first_line(values, _TITLE, MAX_LINE)
    guid = _first_line(values, _GUID, 10_000_000)
    url = _link(item, values, head.url, guid)
    summary = _first_line(values, _SUMMARY, MAX_SUMMARY)
    content = _first_paragraphs(values, _CONTENT)
    if not (title or summary or content):
        return None
    ids = [clean(raw_text(element)) for name in _IDENTIFIERS for element in values.get(name, ())]
    source = _first_line(values, ("dc:source",), MAX_LINE)
    doi = _doi(ids, source, guid, url)
    pmid = next((found.group(1) for value in (*ids, url) if (found := _PMID.match(value))), "")
    journal = _first_line(values, ("prism:publicationname",), MAX_LINE) or head.journal
    if not journal and (doi or pmid) and not _OWN_DOI.match(source) and "://" not in source:
        journal = source.partition(", Published online")[0]  # Nature's way; PubMed has the bare name there
    return Entry(
        url=url,
        title=title,
        guid=bounded_guid(guid),
        published=_first_date(values, _PUBLISHED),
        updated=_first_date(values, _UPDATED),
        authors=_authors(values) or head.authors,
        summary=summary,
        content=content,
        doi=doi,
        pmid=pmid,
        journal=journal,
        categories=_categories(values),
        language=language_code(_first_line(values, ("dc:language",), 40) or item.get(_XML_LANG, "")) or head.language,
    )


def gathered(parent: etree._Element) -> Values:
    """The children that we read, by their short names."""
    values: Values = {}
    for child in parent:
        name = short_tag(child.tag)
        if name in _WANTED:
            found = values.setdefault(name, [])
            if len(found) < _MAX_VALUES:
                found.append(child)
    return values


def raw_text(element: etree._Element) -> str:
    """An element's text; where it holds elements (markup that was not escaped), these as markup."""
    if not len(element):
        return _decoded(element)
    inner = [etree.tostring(child, encoding="unicode") for child in element]
    return (element.text or "").replace("&", "&amp;").replace("<", "&lt;") + "".join(inner)


def text_line(element: etree._Element, limit: int = MAX_LINE) -> str:
    """An element's text as one line, markup gone. Atom's `type="text"` is no markup, so only its entities are read."""
    text = element.text or ""
    if len(text) <= limit and "<" not in text and "&" not in text and not (len(element) or element.keys()):
        return clean(text)  # as nearly all are: there is nothing to read in it
    if element.get("type", "html") in ("text", "text/plain") and not len(element):
        return clean(unescape(element.text or ""))[:limit]
    return plain_line(raw_text(element), limit)


def resolved(link: str, base: str) -> str:
    """An absolute http(s) address, or empty."""
    link = "".join(link.split())
    if not link.lower().startswith(("http://", "https://")):
        try:
            link = urljoin(base, link)
        except ValueError:
            return ""
        if not link.lower().startswith(("http://", "https://")):
            return ""
    return link if len(link) <= MAX_URL and (_WITH_HOST.match(link) or host_of(link)) else ""


def bounded_guid(guid: str) -> str:
    """An id that a database can index: one longer than 500 characters ends in its hash."""
    if len(guid) <= MAX_GUID:
        return guid
    return guid[: MAX_GUID - 66] + "#" + sha256(guid.encode("utf-8", "replace")).hexdigest()


def language_code(tag: str) -> str:
    """The primary language of a tag such as `en-us` (RFC 5646), in lower case; empty where it is none."""
    code = tag.strip().replace("_", "-").partition("-")[0].lower()
    return code if code.isascii() and code.isalpha() and 2 <= len(code) <= 3 else ""


def _decoded(element: etree._Element) -> str:
    text = element.text or ""
    if element.get("mode") == "base64":  # Atom 0.3
        try:
            return base64.b64decode(text, validate=False).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return text
    return text


def _first_line(values: Values, names: tuple[str, ...], limit: int) -> str:
    for name in names:
        for element in values.get(name, ()):
            if line := text_line(element, limit):
                return line
    return ""


def _first_paragraphs(values: Values, names: tuple[str, ...]) -> str:
    for name in names:
        for element in values.get(name, ()):
            if text := plain_paragraphs(raw_text(element)):
                return text
    return ""


def _first_date(values: Values, names: tuple[str, ...]) -> datetime | None:
    for name in names:
        for element in values.get(name, ()):
            if moment := parse_date(element.text or ""):
                return moment
    return None


def _link(item: etree._Element, values: Values, feed_url: str, guid: str) -> str:
    """Where the article is: FeedBurner's original, the alternate link, else an id that is an address."""
    for link in filter(None, _link_candidates(item, values, guid)):
        absolute = link[:8].lower().startswith(("http://", "https://"))
        if url := resolved(link, feed_url if absolute else _base(item, feed_url)):
            return url
    return ""


def _base(item: etree._Element, feed_url: str) -> str:
    """The address that relative links count from: xml:base, itself counted from the feed's address."""
    try:
        base = urljoin(feed_url, item.base or "")
    except ValueError:
        return feed_url
    return base if base.lower().startswith(("http://", "https://")) else feed_url


def _link_candidates(item: etree._Element, values: Values, guid: str) -> Iterator[str]:
    for element in values.get("feedburner:origlink", ()):
        yield clean(element.text or "")
    alternates = [
        element for element in (*values.get("link", ()), *values.get("atom:link", ()))
        if element.get("rel", "alternate") == "alternate"
    ]  # fmt: skip
    if len(alternates) > 1:
        alternates.sort(key=lambda element: "html" not in element.get("type", "html"))
    for element in alternates:
        yield clean(element.get("href") or element.text or "")
    guids = values.get("guid", ())
    if not (guids and guids[0].get("isPermaLink", "true").strip().lower() == "false"):
        yield guid if guid.lower().startswith(("http://", "https://")) else ""
    about = item.get(_ABOUT, "")
    yield about if about.lower().startswith(("http://", "https://")) else ""


def _doi(ids: list[str], source: str, guid: str, url: str) -> str:
    """The entry's own DOI. Never one out of its text: a news item links to other people's papers."""
    for value in (*ids, guid[:MAX_GUID]):
        if _OWN_DOI.match(value) and (doi := find_doi(value)):
            return doi
    _, named, behind = source.partition("doi:")
    return (find_doi(behind) if named else "") or doi_in_url(url)


def _authors(values: Values) -> tuple[str, ...]:
    for name in _AUTHORS:
        raw = [_author(element) for element in values.get(name, ())]
        if names := author_names(raw):
            return names
    return ()


def _author(element: etree._Element) -> str:
    for child in element:
        if short_tag(child.tag) in ("atom:name", "name"):
            return raw_text(child)
    if any(short_tag(child.tag) in ("atom:email", "atom:uri", "email") for child in element):
        return ""
    return raw_text(element)


def _categories(values: Values) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in _CATEGORIES:
        for element in values.get(name, ()):
            label = clean(element.get("label") or element.get("term") or "") or text_line(element, 200)
            if label and len(found) < MAX_CATEGORIES:
                found[label[:200]] = None
    return tuple(found)
