"""A page that lists articles, read by CSS selectors that an admin chose: for sites without a feed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import soupsieve
from bs4 import BeautifulSoup, Tag
from lxml import etree

from monitor.errors import NothingSelected, ParseError
from monitor.model import Entry, Feed, Source
from monitor.parse.asking import Access, Harvest, Harvested, Request, needed
from monitor.parse.dates import parse_date
from monitor.parse.entry import MAX_SUMMARY, resolved
from monitor.parse.page import is_heavy, read_page
from monitor.parse.plain import MAX_LINE, clean

MAX_ELEMENTS = 20_000
MAX_ITEMS = 500
HTML = "text/html, application/xhtml+xml"
_AGO = re.compile(r"(\d{1,3}|an?)\s+(min(?:ute)?|hour|day|week)s?\s+ago", re.IGNORECASE)
_SPANS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selectors:
    """`item` finds each article's box, the others are looked up within it ("": its first link, its heading or text)."""

    item: str
    link: str = ""
    title: str = ""
    date: str = ""
    summary: str = ""


def selectors_of(source: Source) -> Selectors:
    """From the source's options. Raises ParseError without `item`."""
    return Selectors(
        item=needed(source, "item"),
        link=source.option("link"),
        title=source.option("title"),
        date=source.option("date"),
        summary=source.option("summary"),
    )


def harvest_page(source: Source, access: Access, now: datetime) -> Harvest:
    """What a page lists at this moment."""
    feed: Feed = yield Request(
        url=source.url,
        read=read_listing,
        arguments={"selectors": selectors_of(source), "now": now},
        accept=HTML,
        conditional=True,
        robots=True,
    )
    yield feed
    return Harvested(conditional=True)


def read_listing(body: bytes, *, url: str, selectors: Selectors, now: datetime) -> Feed:
    """The articles that the selectors find. Raises NothingSelected for none, ParseError for a wrong selector."""
    page = read_page(body, url=url)
    if is_heavy(page.pruned, MAX_ELEMENTS):
        raise ParseError(url, f"the page has more than {MAX_ELEMENTS:,} elements")
    soup = BeautifulSoup(etree.tostring(page.pruned, encoding="unicode", method="html"), "lxml")
    items = _select(soup, selectors.item, url, MAX_ITEMS)
    if not items:
        raise NothingSelected(url, f"nothing on the page matches {selectors.item!r}: was the page rebuilt?")
    found = {entry.url: entry for item in items if (entry := _entry(item, selectors, page.url, now))}
    if not found:
        looked_for = selectors.link or "a[href]"
        raise NothingSelected(url, f"{len(items)} items match {selectors.item!r}, but none holds a link {looked_for!r}")
    return Feed(title=clean(page.text_of("//title"))[:MAX_LINE], entries=tuple(found.values()), url=url)


def _entry(item: Tag, selectors: Selectors, base: str, now: datetime) -> Entry | None:
    link = item if item.name == "a" and not selectors.link else _one(item, selectors.link or "a[href]", base)
    url = resolved(str(link.get("href") or ""), base) if link is not None else ""
    if link is None or not url:
        return None
    titled = _one(item, selectors.title, base) if selectors.title else None
    heading = _one(item, "h1, h2, h3, h4, h5", base) if titled is None else titled
    title = _line(heading) or _line(link) or clean(str(link.get("title") or ""))
    dated = _one(item, selectors.date or "time", base)
    summary = _line(_one(item, selectors.summary, base)) if selectors.summary else ""
    if not title:
        return None
    return Entry(url=url, title=title[:MAX_LINE], published=_date(dated, now), summary=summary[:MAX_SUMMARY])


def _date(element: Tag | None, now: datetime) -> datetime | None:
    if element is None:
        return None
    said = _line(element)[:200]
    if exact := parse_date(str(element.get("datetime") or "")) or parse_date(said):
        return exact
    if ago := _AGO.search(said):
        number = int(ago[1]) if ago[1].isdigit() else 1
        return now - number * _SPANS[ago[2][0].lower()]
    return None


def _one(item: Tag, selector: str, url: str) -> Tag | None:
    return next(iter(_select(item, selector, url, 1)), None) if selector else None


def _select(within: Tag, selector: str, url: str, limit: int) -> list[Tag]:
    try:
        return list(soupsieve.select(selector, within, limit=limit))
    except (soupsieve.SelectorSyntaxError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else "not CSS"
        raise ParseError(url, f"the selector {selector!r} is wrong: {reason[:200]}") from error


def _line(element: Tag | None) -> str:
    return "" if element is None else clean(element.get_text(" ")[:20_000])
