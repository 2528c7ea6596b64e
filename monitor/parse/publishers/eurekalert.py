"""EurekAlert!: press releases. Journal and DOI stand in a box; the media contact is personal, so it stays out."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup, Tag

from monitor.identity import find_doi
from monitor.parse.dates import parse_date
from monitor.parse.page import Extract, Page
from monitor.parse.plain import clean, join_paragraphs

HOSTS = frozenset({"eurekalert.org"})

_BLOCKS = ("p", "h2", "h3", "h4", "li", "blockquote")
_FURNITURE = "figure, .img-wrapper, .credit, .well, .contact, .media-contact, .thumbnail, .multimedia"
_LINES = ("disclaimer: aaas and eurekalert", "media contact", "keywords")
_COLON = re.compile(r"\s*:?\s*$")


def recognises(page: Page) -> bool:
    return (
        page.first("//*[contains(@class, 'release_date')]") is not None
        and page.first("//h1[contains(@class, 'page_title')]") is not None
    )


def extract(page: Page) -> Extract:
    soup = page.soup_of(page.tree)
    box = _box(soup)
    return Extract(
        title=_line(soup.select_one("h1.page_title")),
        published=parse_date(_line(soup.select_one(".release_date time") or soup.select_one(".release_date"))),
        authors=(),
        category=_line(soup.select_one(".release_type") or soup.select_one(".kicker")),
        doi=find_doi(box.get("doi", "")),
        journal=box.get("journal", ""),
        provider=_line(soup.select_one("p.meta_institute")),
        body=_body(soup),  # last: it takes out of the soup what is no text
    )


def _line(tag: Tag | None) -> str:
    return clean(tag.get_text()) if tag else ""


def _box(soup: BeautifulSoup) -> dict[str, str]:
    """The side box's values by label, whether it is a list of terms, headings with paragraphs, or bold labels."""
    values: dict[str, str] = {}
    for well in soup.select("div.well"):
        for label in well.find_all(("dt", "h3", "h4", "h5", "strong", "b", "label")):
            name = _COLON.sub("", _line(label)).lower()
            value = label.find_next_sibling(("dd", "p", "div", "a", "span"))
            text = _line(value) if value else _line(label.parent).removeprefix(_line(label)).lstrip(": ")
            link = value.get("href") if value is not None and value.name == "a" else None
            if name and name not in values and len(name) < 40:
                values[name] = text or str(link or "")
    return values


def _body(soup: BeautifulSoup) -> str:
    entry = soup.select_one("div.entry")
    if entry is None:
        return ""
    for tag in entry.select(_FURNITURE):
        tag.decompose()
    lines = [clean(block.get_text()) for block in entry.find_all(_BLOCKS) if not block.find_parent(_BLOCKS)]
    return join_paragraphs([line for line in lines if not line.lower().startswith(_LINES)])
