"""Europe PMC's search: pages by cursor, everything about a paper in one record."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from monitor.errors import ParseError
from monitor.identity import normal_doi, trial_ids
from monitor.model import Entry, Feed, Source
from monitor.parse.asking import (
    Access,
    Harvest,
    Harvested,
    Request,
    address,
    check_breadth,
    dig,
    each,
    list_at,
    needed,
    number_at,
    overlap_of,
    read_json,
    start_of,
    text_at,
)
from monitor.parse.authors import author_names
from monitor.parse.dates import parse_date
from monitor.parse.entry import MAX_SUMMARY, language_code, resolved
from monitor.parse.plain import MAX_LINE, clean, plain_line, plain_paragraphs

BASE = "https://www.ebi.ac.uk/europepmc/webservices/rest/"
LATE_DAYS = 30  # it dates by publication, and indexes some papers weeks after it
MOST_PAGES = 1_000
DELAY = 0.2  # it asks for no more than about ten a second
_OPEN = ("OA", "F")  # availability codes: open access, free
_LANGUAGES = {"eng": "en", "ger": "de", "fre": "fr", "spa": "es", "ita": "it", "por": "pt"}


def harvest_europepmc(source: Source, access: Access, now: datetime) -> Harvest:
    """What a search (option `query`) finds that appeared since the last complete visit."""
    start = start_of(source, access, now, overlap_of(source, LATE_DAYS))
    last = now + timedelta(days=1)
    span = f"{source.option('date', 'FIRST_PDATE')}:[{start:%Y-%m-%d} TO {last:%Y-%m-%d}]"
    query = f"({needed(source, 'query')}) AND ({span})"
    cursor, seen = "*", 0
    for _ in range(MOST_PAGES):
        asked = (
            ("query", query),
            ("format", "json"),
            ("resultType", "core"),
            ("pageSize", str(min(access.chunk, 1000))),
            ("cursorMark", cursor),
        )
        page: tuple[Feed, int, str] = yield Request(
            url=address(source.url or BASE, "search", asked),
            read=read_page,
            arguments={"begun": seen > 0},
            delay=DELAY,
        )
        feed, found, following = page
        check_breadth(source, found, access, start)
        seen += len(feed.entries)
        if feed.entries:
            yield feed
        if not feed.entries or following in ("", cursor):  # the last page names itself as the next
            break
        cursor = following
    return Harvested(since=now)


def read_page(body: bytes, *, url: str, begun: bool = False) -> tuple[Feed, int, str]:
    """The records, how many the search finds, and the cursor of the next page. Raises ParseError."""
    answer = read_json(body, url=url)
    if not isinstance(dig(answer, "resultList", "result"), list):
        said = text_at(answer, "errMsg") or text_at(answer, "errorMessage")
        raise ParseError(url, f"Europe PMC says: {clean(said)[:200]}" if said else "not the answer of a search")
    found = number_at(answer, "hitCount")
    records = list_at(answer, "resultList", "result")
    if found and not records and not begun:
        raise ParseError(url, f"no record came, though the search finds {found:,}")
    entries = tuple(entry for record in records if (entry := read_record(record)))
    return Feed(title="Europe PMC", entries=entries, url=url), found, text_at(answer, "nextCursorMark")


def read_record(record: Any) -> Entry | None:
    """One result of type core (or lite); None without an id."""
    place, number = clean(text_at(record, "source")), clean(text_at(record, "id"))
    title = plain_line(text_at(record, "title"), MAX_LINE)
    if not (place.isalnum() and number.isascii() and number.replace("-", "").isalnum() and title):
        return None
    abstract = plain_paragraphs(text_at(record, "abstractText"), MAX_SUMMARY)
    pmid = clean(text_at(record, "pmid"))
    named = [text_at(author, "fullName") for author in list_at(record, "authorList", "author")]
    mesh = (text_at(heading, "descriptorName") for heading in list_at(record, "meshHeadingList", "meshHeading"))
    types = [kind for kind in list_at(record, "pubTypeList", "pubType") if isinstance(kind, str)]
    types = types or text_at(record, "pubType").split(";")
    language = text_at(record, "language")
    return Entry(
        url=f"https://europepmc.org/article/{place}/{number}",
        guid=f"pmid:{pmid}" if pmid.isdecimal() else f"europepmc:{place}/{number}",
        title=title[:-1] if title.endswith(".") and not title.endswith("..") else title,
        published=parse_date(text_at(record, "firstPublicationDate")),
        authors=each(named) or author_names([text_at(record, "authorString").rstrip(".")]),
        summary=abstract,
        doi=normal_doi(text_at(record, "doi")),
        pmid=pmid if pmid.isdecimal() else "",
        journal=clean(text_at(record, "journalInfo", "journal", "title") or text_at(record, "journalTitle")),
        categories=each((k for k in list_at(record, "keywordList", "keyword") if isinstance(k, str)), 50),
        language=_LANGUAGES.get(language, language_code(language)),
        mesh=each(mesh),
        publication_types=each(types),
        trial_ids=trial_ids(abstract),
        open_access_url=_open(record),
    )


def _open(record: Any) -> str:
    """A free full text: as a page rather than as a file."""
    links = [
        link for link in list_at(record, "fullTextUrlList", "fullTextUrl") if text_at(link, "availabilityCode") in _OPEN
    ]
    links.sort(key=lambda link: text_at(link, "documentStyle") != "html")
    for link in links:
        if url := resolved(text_at(link, "url"), "https://europepmc.org/"):
            return url
    pmcid = clean(text_at(record, "pmcid"))
    free = text_at(record, "isOpenAccess") == "Y" and pmcid.startswith("PMC") and pmcid[3:].isdecimal()
    return f"https://pmc.ncbi.nlm.nih.gov/articles/{pmcid}/" if free else ""
