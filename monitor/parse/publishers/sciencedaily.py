"""ScienceDaily: releases of universities, with the journal's reference at the end."""

from __future__ import annotations

from bs4 import BeautifulSoup, Tag

from monitor.identity import find_doi
from monitor.parse.dates import parse_date
from monitor.parse.page import Extract, Page, inner_text
from monitor.parse.plain import clean, join_paragraphs

HOSTS = frozenset({"sciencedaily.com"})

_BLOCKS = ("p", "h2", "h3", "h4", "li", "blockquote")
_FURNITURE = "#journal_references, #citations, #related_releases, #related_topics, #story_source, .ad, .well, figure"
_LINES = (
    "story source:",
    "materials provided by",
    "journal reference",
    "cite this page",
    "note: content may be edited",
)


def recognises(page: Page) -> bool:
    return (
        "story_text" in page.text
        and page.first("//*[@id='story_text']") is not None
        and page.first("//dd[@id='date_posted']") is not None
    )


def extract(page: Page) -> Extract:
    soup = page.soup_of(page.tree)
    reference = soup.select_one("#journal_references li") or soup.select_one("#journal_references")
    return Extract(
        title=_line(soup.select_one("h1#headline")),
        published=parse_date(_line(soup.select_one("dd#date_posted"))),
        authors=(),
        summary=_line(soup.select_one("dd#abstract")),
        category=_category(page),
        doi=_doi(reference),
        journal=_line(reference.select_one("em")) if reference else "",
        provider=_line(soup.select_one("dd#source")),
        citation=_line(soup.select_one("#citation_mla")),
        body=_body(soup),  # last: it takes out of the soup what is no text
    )


def _line(tag: Tag | None) -> str:
    return clean(tag.get_text()) if tag else ""


def _doi(reference: Tag | None) -> str:
    if reference is None:
        return ""
    link = reference.select_one('a[href*="doi.org/"]')
    return find_doi(reference.get_text(" ")) or (find_doi(str(link.get("href"))) if link else "")


def _category(page: Page) -> str:
    trail = page.all("//*[contains(@class, 'breadcrumb')]//li")
    return inner_text(trail[-1]) if trail else ""


def _body(soup: BeautifulSoup) -> str:
    """The lead and the text; where one lies inside of the other, once."""
    lead = _line(soup.select_one("p#first"))
    text = soup.select_one("#story_text #text") or soup.select_one("div#text") or soup.select_one("#story_text")
    if text is None:
        return lead
    for tag in text.select(_FURNITURE):
        tag.decompose()
    lines = [clean(block.get_text()) for block in text.find_all(_BLOCKS) if not block.find_parent(_BLOCKS)]
    lines = [line for line in lines if not line.lower().startswith(_LINES)]
    return join_paragraphs(lines if lead in lines else [lead, *lines])
