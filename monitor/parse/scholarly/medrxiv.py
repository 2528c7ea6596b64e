"""medRxiv and bioRxiv: all preprints of some days, a hundred a page; there is no search, topics do that.

Their numbers may be strings, and each version of a preprint is a record of its own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from monitor.errors import ParseError
from monitor.identity import find_doi, normal_doi, trial_ids
from monitor.model import Entry, Feed, Source
from monitor.parse.answers import dig, each, list_at, number_at, read_json, text_at
from monitor.parse.asking import Access, Harvest, Harvested, Page, Request, address, overlap_of, paged, start_of
from monitor.parse.authors import author_names
from monitor.parse.dates import parse_date
from monitor.parse.entry import MAX_SUMMARY
from monitor.parse.plain import MAX_LINE, clean, plain_line, plain_paragraphs

BASE = "https://api.biorxiv.org/"
SERVERS = {"medrxiv": "medRxiv", "biorxiv": "bioRxiv"}
LATE_DAYS = 3
DELAY = 1.0  # no limit is told
NOTHING = "no posts found"


def harvest_medrxiv(source: Source, access: Access, now: datetime) -> Harvest:
    """What was posted on `server` since the last complete visit; with `category` ("oncology; neurology") only these."""
    server = source.option("server", "medrxiv").strip().lower()
    if server not in SERVERS:
        raise ParseError(source.url, f"the option server is medrxiv or biorxiv, not {server[:40]!r}")
    start = start_of(source, access, now, overlap_of(source, LATE_DAYS))
    wanted = frozenset(name for part in source.option("category").split(";") if (name := clean(part).casefold()))
    last = now + timedelta(days=1)

    def ask(_: str, cursor: int) -> Request:
        path = f"details/{server}/{start:%Y-%m-%d}/{last:%Y-%m-%d}/{cursor}/json"
        arguments = {"server": server, "categories": wanted, "cursor": cursor}
        return Request(url=address(source.url or BASE, path), read=read_page, arguments=arguments, delay=DELAY)

    yield from paged(source, access, start, ask)
    return Harvested(since=now)


def preprint_request(doi: str, server: str, base: str = BASE) -> Request:
    """All versions of one preprint, with the DOI of the paper that it became."""
    path = f"details/{server}/{quote(doi, safe='/')}/na/json"
    return Request(url=address(base, path), read=read_published, arguments={"doi": doi}, delay=DELAY)


def read_published(body: bytes, *, url: str, doi: str) -> tuple[str, ...] | None:
    """The paper's DOI that this preprint became, or nothing; None: the server does not know it. Raises ParseError."""
    answer = read_json(body, url=url)
    status = clean(text_at(answer, "messages", 0, "status")).casefold()
    if not status:
        raise ParseError(url, "not an answer of its API")
    records = [one for one in list_at(answer, "collection") if normal_doi(text_at(one, "doi")) == normal_doi(doi)]
    if not records:
        return None
    return tuple(dict.fromkeys(paper for record in records for paper in _published(record)))


def read_page(body: bytes, *, url: str, server: str, categories: frozenset[str] = frozenset(), cursor: int = 0) -> Page:
    """The preprints from the `cursor`-th on, the newest version of each. Raises ParseError."""
    answer = read_json(body, url=url)
    message = dig(answer, "messages", 0)
    status = clean(text_at(message, "status")).casefold()
    records = list_at(answer, "collection")
    if status.startswith(NOTHING) or (status == "ok" and not records and not number_at(message, "total")):
        return Page(feed=Feed(title=SERVERS[server], entries=(), url=url), records=0)
    if status != "ok":
        raise ParseError(url, f"{SERVERS[server]} says: {status[:200]}" if status else "not an answer of its API")
    total = number_at(message, "total")
    if not records and cursor < total:
        raise ParseError(url, f"no record came, though there are {total:,}")
    newest: dict[str, tuple[int, Entry]] = {}
    for record in records:
        entry = _entry(record, server)
        if entry is None or (categories and not categories & {name.casefold() for name in entry.categories}):
            continue
        version = number_at(record, "version")
        if entry.doi not in newest or version > newest[entry.doi][0]:
            newest[entry.doi] = version, entry
    entries = tuple(entry for _, entry in newest.values())
    feed = Feed(title=SERVERS[server], entries=entries, url=url, language="en")
    after = cursor + len(records)
    return Page(feed=feed, records=len(records), following=str(after) if after < total else "")


def _entry(record: Any, server: str) -> Entry | None:
    doi = find_doi(text_at(record, "doi"))
    title = plain_line(text_at(record, "title"), MAX_LINE)
    if not doi or not title:
        return None
    version = number_at(record, "version") or 1
    place = f"https://www.{server}.org/content/{quote(doi, safe='/._-()')}v{version}"
    abstract = plain_paragraphs(text_at(record, "abstract"), MAX_SUMMARY)
    return Entry(
        url=place,
        guid=f"{doi.lower()}v{version}",
        title=title,
        published=parse_date(text_at(record, "date")),
        authors=author_names([text_at(record, "authors").strip(" ;") + ";"]),
        summary=abstract,
        doi=doi,
        journal=SERVERS[server],
        categories=each([text_at(record, "category")]),
        language="en",
        publication_types=("Preprint",),
        trial_ids=trial_ids(abstract),
        open_access_url=f"{place}.full",
        versions=_published(record),
    )


def _published(record: Any) -> tuple[str, ...]:
    """`published` is "NA" until the server has found the paper that a preprint became, then its DOI."""
    paper = normal_doi(text_at(record, "published"))
    return (paper,) if paper and paper != normal_doi(text_at(record, "doi")) else ()
