"""What a harvester asks and brings. A harvester is a generator without any IO.

It yields a `Request` and is sent what `Request.read` made of the answer (in the sandbox); it yields a `Feed` and goes
on when that is stored; it returns a `Harvested`. Whoever drives it (monitor.pipeline.harvest) fetches, waits and tries
again; an answer that stays unreadable is thrown into it as a ParseError, to be handled or not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from monitor.errors import ParseError
from monitor.model import Feed, Source

JSON = "application/json"
XML = "application/xml, text/xml;q=0.9"
PUBMED_PER_SECOND = (3.0, 10.0)  # without and with a key
MOST_PAGES = 1_000  # of one visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. `read(body, url=…, **arguments)` makes a value of the answer; it must be importable by name.

    `form` makes it a POST. `keys` are added to the address on the wire, and shown nowhere. `delay` is in seconds
    between two requests to this server, where its owner allows more or less than the usual. `large`: the answer may be
    a big file. `conditional`: nothing has to be done if it has not changed since the source's last visit. `robots`:
    ask the site's robots.txt first.
    """

    url: str
    read: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    accept: str = JSON
    form: tuple[tuple[str, str], ...] = ()
    keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    delay: float | None = None
    large: bool = False
    conditional: bool = False
    robots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvested:
    """The end of a visit: everything up to `since` is stored. `remarks` are for an admin.

    `conditional`: the first answer was all there is, so that the next visit may ask whether it has changed.
    """

    since: datetime | None = None
    remarks: tuple[str, ...] = ()
    conditional: bool = False


Harvest = Generator[Request | Feed, Any, Harvested]
Step = Generator[Request | Feed, Any, None]  # a part of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list. `records` counts what it held, read or not; `found` (0: not said) what the whole list holds.
    `following` is the place of the next page, empty on the last one.
    """

    feed: Feed
    records: int
    found: int = 0
    following: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who we are to the indexes, and how much we ask of them."""

    contact: str = ""  # a mail address, or empty
    pubmed_key: str = field(default="", repr=False)
    pubmed_per_second: float = 0  # 0: as many as PubMed allows
    openalex_key: str = field(default="", repr=False)
    first_days: int = 30
    chunk: int = 200
    max_results: int = 20_000
    max_sitemaps: int = 20

    @property
    def pubmed_delay(self) -> float:
        """Seconds between two requests, a tenth more than the least, for their clock is not ours."""
        return 1.1 / (self.pubmed_per_second or PUBMED_PER_SECOND[bool(self.pubmed_key)])

    @property
    def pubmed_keys(self) -> tuple[tuple[str, str], ...]:
        named = (("tool", "MedicalNewsMonitor"), ("email", self.contact), ("api_key", self.pubmed_key))
        return tuple((name, value) for name, value in named if value)

    @property
    def mailto(self) -> tuple[tuple[str, str], ...]:
        return (("mailto", self.contact),) if self.contact else ()


def start_of(source: Source, access: Access, now: datetime, overlap: timedelta) -> datetime:
    """From when to ask: the watermark less what may have come late; on a first visit some days back."""
    first = now - timedelta(days=access.first_days)
    return first if source.since is None else source.since - overlap


def paged(source: Source, access: Access, start: datetime, ask: Callable[[str, int], Request], first: str = "") -> Step:
    """A list page by page: `ask(place, seen)` makes the request of the page at a place, after `seen` records.

    Raises ParseError, before anything is taken, for a list that is longer than an admin can have meant.
    """
    place, seen = first, 0
    for _ in range(MOST_PAGES):
        page: Page = yield ask(place, seen)
        check_breadth(source, page.found, access, start)
        seen += page.records
        if page.feed.entries or page.feed.corrections:
            yield page.feed
        if not (page.records and page.following) or 0 < page.found <= seen:
            return
        place = page.following


def needed(source: Source, name: str) -> str:
    """An option that the source cannot do without. Raises ParseError."""
    value = source.option(name).strip()
    if not value:
        raise ParseError(source.url, f"a source of kind {source.kind} needs the option {name!r} (docs/sources.md)")
    return value


def overlap_of(source: Source, days: int) -> timedelta:
    """How far before the watermark is asked again; the option overlap_days overrules the kind's own."""
    given = source.option("overlap_days").strip()
    return timedelta(days=min(int(given), 3_650) if given.isdecimal() and len(given) < 6 else days)


def check_breadth(source: Source, found: int, access: Access, start: datetime) -> None:
    """Raises ParseError for a search that finds more than an admin can have meant."""
    if found > access.max_results:
        reason = (
            f"the search finds {found:,} records since {start:%Y-%m-%d}: narrow its query, or raise"
            f" scholarly.max_results (now {access.max_results:,})"
        )
        raise ParseError(source.url, reason)


def address(base: str, path: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
    """An address below an API's base."""
    query = urlencode([(name, value) for name, value in parameters if value])
    place = f"{base.rstrip('/')}/{path}" if path else base
    return f"{place}{'&' if '?' in place else '?'}{query}" if query else place


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
