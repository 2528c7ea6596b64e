"""Science X: Medical Xpress, Phys.org, Tech Xplore. The template of 2019 to 2024 and its changes of 2023 to 2026.

Its pages leave paragraphs open and close others twice, repeat DOIs in captions, and carry editors' notes, a summary in
a box and staff biographies: none of these is the article.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from bs4 import BeautifulSoup, Tag

from monitor.identity import find_doi
from monitor.parse.authors import author_names
from monitor.parse.dates import parse_date
from monitor.parse.page import Extract, Page, inner_text
from monitor.parse.plain import clean, join_paragraphs

HOSTS = frozenset({"medicalxpress.com", "phys.org", "techxplore.com"})

_BLOCKS = ("p", "h2", "h3", "h4", "ul", "ol", "blockquote", "pre", "table")
_FURNITURE = (
    ".article-gallery, .article-img, figure, figcaption, .article-banner, .ads, .article-main__explore"
    ", .article-main__more, .article-main__note, .d-print-block, .d-print-none, .article__info"
    ", .article__info-fc, .article-byline, h1, .text-medium.my-4"
)
# Boxes that are known by their heading only. A heading that is none of these ends the box.
_BOXES = (
    "editors' notes", "the gist", "key concepts", "who's behind this story", "publication details", "more information",
    "journal information", "explore further",
)  # fmt: skip
_LINES = (
    "this article has been reviewed according to science x", "editors have highlighted the following", "© ", "(c) ",
    "citation:",
    "this document is subject to copyright", "provided by", "explore further", "add as preferred source",
)  # fmt: skip
_NOTE_LINES = frozenset(
    {"fact-checked", "peer-reviewed publication", "trusted source", "proofread", "written by researcher(s)", "preprint"}
)
_LABEL = re.compile(r"(?:more information|publication details)\s*:?", re.IGNORECASE)
_CITATION = re.compile(r"^\s*citation\s*:?\s*", re.IGNORECASE)
_SITES = re.compile(r"\s*,\s*(medical xpress|phys\.org|tech xplore|science x)\s*$", re.IGNORECASE)


def recognises(page: Page) -> bool:
    return (
        "article-main" in page.text
        and page.first("//article[contains(@class, 'news-article')]//*[contains(@class, 'article-main')]") is not None
    )


def extract(page: Page) -> Extract:
    article = page.first("//article[contains(@class, 'news-article')]")
    if article is None:
        return Extract()
    soup = page.soup_of(article)
    byline = _line(soup.select_one("p.article-byline"))
    authors, site = _authors(soup, byline)
    provider = _provider(soup)
    more = _more(soup)
    values = Extract(
        title=_line(soup.select_one("h1")),
        published=parse_date(_date_line(soup)),
        authors=authors,
        byline=byline,
        category=_category(page),
        doi=_doi(soup, more),
        journal=_journal(soup, more),
        provider=provider or site,
        citation=_CITATION.sub("", _line(soup.select_one(".d-print-block .mb-4") or soup.select_one(".d-print-block"))),
        copyright=_copyright(soup),
    )
    return replace(values, body=_body(soup))  # last: it takes out of the soup what is no text


def _line(tag: Tag | None) -> str:
    return clean(tag.get_text()) if tag else ""


def _date_line(soup: BeautifulSoup) -> str:
    """ "October 22, 2019" without the badge ("report", "feature") that may follow; else the archive's day."""
    line = soup.select_one(".article__info p.text-uppercase.text-low") or soup.select_one(".article__info p")
    text = "".join(line.find_all(string=True, recursive=False)) if line else ""
    if clean(text):
        return text
    link = soup.select_one('a[href*="/archive/"]')
    day = re.search(r"/archive/(\d{1,2})-(\d{1,2})-(\d{4})", str(link.get("href")) if link else "")
    return f"{day[3]}-{day[2]}-{day[1]}" if day else ""


def _authors(soup: BeautifulSoup, byline: str) -> tuple[tuple[str, ...], str]:
    """The people of "by NAME, Phys.org", and that site; of "by PROVIDER" nobody, whatever the JSON-LD says."""
    names = _SITES.sub("", byline)
    if names == byline or soup.select_one("a.article-byline__link"):
        return (), ""
    site = _SITES.search(byline)
    return author_names([names]), site.group(1) if site else ""


def _provider(soup: BeautifulSoup) -> str:
    for link in soup.select('a[href*="/partners/"]'):
        if name := _line(link):
            return name
    return _line(soup.select_one("a.article-byline__link"))


def _category(page: Page) -> str:
    """The last place of the first trail; a second trail would begin with "Home" again."""
    names = [inner_text(item) for item in page.all("//ol[contains(@class, 'breadcrumb')]//li")]
    trail: list[str] = []
    for name in filter(None, names):
        if name == "Home" and trail:
            break
        if name != "Home":
            trail.append(name)
    return trail[-1] if trail else ""


def _more(soup: BeautifulSoup) -> Tag | None:
    """The box about the paper: by its class, else by its label."""
    if box := soup.select_one(".article-main__more"):
        return box
    for label in soup.find_all(("strong", "b", "h5", "h6", "h4", "h3", "p")):
        if _LABEL.fullmatch(clean(label.get_text())):
            return label.parent
    return None


def _doi(soup: BeautifulSoup, more: Tag | None) -> str:
    """The paper's DOI from its box; a caption's ("Credit: Journal (2026). DOI: …") may be another paper's."""
    if more:
        link = more.select_one("a[data-doi]")
        for text in (_line(link), str(link.get("href")) if link else "", more.get_text(" ")):
            if doi := find_doi(text):
                return doi
        for other in more.select('a[href*="doi.org/"]'):
            if doi := find_doi(str(other.get("href"))):
                return doi
    marked = next((link for link in soup.select("a[data-doi]") if not link.find_parent(("figure", "figcaption"))), None)
    return find_doi(_line(marked)) or (find_doi(str(marked.get("href"))) if marked else "")


def _journal(soup: BeautifulSoup, more: Tag | None) -> str:
    """As the reference prints it: in italics, or alone before the DOI ("J Clin Invest. DOI: …"); else by its link."""
    if more:
        for italic in more.find_all(("i", "em")):
            behind = str(italic.next_sibling or "")
            if re.match(r"\s*\(\d{4}\)", behind):
                return _line(italic)
        before = _LABEL.sub("", clean(more.get_text(" ")), count=1).partition("DOI:")[0].strip()
        if before.endswith(".") and 0 < len(before) < 60 and not re.search(r"[,()\"“”?]|\. [A-Z]\w+ \w+ \w+", before):
            return before.rstrip(". ")
    return _line(soup.select_one('a[href*="/journals/"] cite') or soup.select_one('a[href*="/journals/"]'))


def _copyright(soup: BeautifulSoup) -> str:
    box = soup.select_one(".d-print-block .border")
    if box:
        return _line(box)
    for block in soup.select(".d-print-block div, .d-print-block p"):
        if (line := _line(block)).startswith("This document is subject to copyright"):
            return line
    return _line(soup.select_one("p.article-main__note"))


def _body(soup: BeautifulSoup) -> str:
    main = soup.select_one(".article-main")
    if main is None:
        return ""
    for tag in main.select(_FURNITURE):
        tag.decompose()
    return join_paragraphs(list(_paragraphs(main)))


def _paragraphs(main: Tag) -> Iterator[str]:
    """Blocks in the page's order, list items one by one, without boxes: what stands between two headings."""
    in_box = False
    for block in main.find_all(_BLOCKS):
        if block.find_parent(_BLOCKS):
            continue
        line = clean(block.get_text(" " if block.name in ("ul", "ol", "table") else ""))
        lowered = line.lower().replace("’", "'")
        heading = block.name in ("h2", "h3", "h4") or (
            len(line) < 40 and block.find(("strong", "b", "summary")) is not None
        )
        if heading or lowered.rstrip(":?") in _BOXES:
            in_box = lowered.startswith(_BOXES)
        if in_box or not line or lowered.startswith(_LINES) or lowered in _NOTE_LINES or _in_box(block, main):
            continue
        items = block.find_all("li") if block.name in ("ul", "ol") else []
        yield from (clean(item.get_text()) for item in items) if items else (line,)


def _in_box(block: Tag, main: Tag) -> bool:
    """Is it in a container of its own that begins with a box's heading ("The GIST", "Who's behind this story?")?"""
    for parent in block.parents:
        if parent is main:
            return False
        first = parent.find(("h2", "h3", "h4", "h5", "h6", "strong", "summary", "p", "button"))
        if first and clean(first.get_text()).lower().replace("’", "'").startswith(_BOXES):
            return True
    return False
