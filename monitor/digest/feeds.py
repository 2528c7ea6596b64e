"""Articles -> an Atom feed (RFC 4287), for a topic or a reader."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from monitor.digest.cards import doi_address, web_address
from monitor.digest.excerpt import tidy
from monitor.model import Article

NAMESPACE = "http://www.w3.org/2005/Atom"
MAX_ENTRIES = 200
MAX_AUTHORS = 20
GENERATOR = "Medical News Monitor"


def atom_feed(
    title: str, self_url: str, articles: Sequence[Article], *, updated: datetime, page_url: str = "", subtitle: str = ""
) -> bytes:
    """An Atom document of the first 200 `articles`, in their order. The same values give the same bytes.

    `self_url` is the feed's own address and its id, `page_url` the page that shows the same to people; `updated` is
    used where no article says when it was stored or published. Text is escaped, never markup.
    """
    shown = articles[:MAX_ENTRIES]
    root = Element("feed", xmlns=NAMESPACE)
    _text(root, "title", tidy(title, 300) or GENERATOR)
    if subtitle:
        _text(root, "subtitle", tidy(subtitle, 500))
    _text(root, "id", self_url)
    _text(root, "updated", _stamp(max((_changed(article, updated) for article in shown), default=updated)))
    SubElement(root, "link", rel="self", type="application/atom+xml", href=self_url)
    if page_url:
        SubElement(root, "link", rel="alternate", type="text/html", href=page_url)
    SubElement(SubElement(root, "author"), "name").text = GENERATOR  # RFC 4287 asks for one where an entry has none
    _text(root, "generator", GENERATOR)
    for article in shown:
        _entry(SubElement(root, "entry"), article, updated)
    document = str(tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{document}\n'.encode()


def _entry(entry: Element, article: Article, updated: datetime) -> None:
    address = web_address(article.canonical_url) or web_address(article.url)
    _text(entry, "title", tidy(article.title, 500) or "(untitled)")
    _text(entry, "id", f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, article.key.encode('utf-8', 'replace').decode())}")
    _text(entry, "updated", _stamp(_changed(article, updated)))
    if article.published:
        _text(entry, "published", _stamp(article.published))
    if address:
        SubElement(entry, "link", rel="alternate", href=address)
    if doi := doi_address(article.doi):
        SubElement(entry, "link", rel="related", href=doi, title="DOI")
    for name in filter(None, (tidy(author, 120) for author in article.authors[:MAX_AUTHORS])):
        SubElement(SubElement(entry, "author"), "name").text = name
    if summary := tidy(article.summary or article.body, 600):
        _text(entry, "summary", summary)
    elif not address:
        _text(entry, "content", tidy(article.title, 500))  # without a link to follow, an entry must have content


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text


def _changed(article: Article, updated: datetime) -> datetime:
    return article.stored_at or article.published or updated


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
