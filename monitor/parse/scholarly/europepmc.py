"""Europe PMC's search: pages by cursor, everything about a paper in one record.

Which field is the day of arrival: its own list of search fields (europepmc.org/RestfulWebService, `fields`) holds
FIRST_PDATE, the day of first publication, and FIRST_IDATE, the day it first indexed the record (`firstIndexDate` in an
answer of type core). Papers come to it days to weeks after publication, so only FIRST_IDATE loses none to a moving
watermark.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from monitor.errors import ParseError
from monitor.identity import normal_doi, trial_ids
from monitor.model import Correction, Entry, Feed, Source
from monitor.parse.answers import dig, each, list_at, number_at, read_json, text_at
from monitor.parse.asking import Access, Harvest, Harvested, Page, Request, address, needed, overlap_of, paged, start_of
from monitor.parse.authors import author_names
from monitor.parse.dates import parse_date
from monitor.parse.entry import MAX_SUMMARY, language_code, resolved
from monitor.parse.plain import MAX_LINE, clean, plain_line, plain_paragraphs
from monitor.story.corrections import from_pubmed

BASE = "https://www.ebi.ac.uk/europepmc/webservices/rest/"
LATE_DAYS = 2  # by the day that it first indexed a record, and by its own clock
DELAY = 0.2  # it asks for no more than about ten a second
_OPEN = ("OA", "F")  # availability codes: open access, free
_LANGUAGES = {"eng": "en", "ger": "de", "fre": "fr", "spa": "es", "ita": "it", "por": "pt"}


def harvest_europepmc(source: Source, access: Access, now: datetime) -> Harvest:
    """What a search (option `query`) finds that was first indexed since the last complete visit.

    With the option `date` = FIRST_PDATE (day of publication) give `overlap_days`, for some papers come weeks late.
    """
    start = start_of(source, access, now, overlap_of(source, LATE_DAYS))
    last = now + timedelta(days=1)
    span = f"{source.option('date', 'FIRST_IDATE')}:[{start:%Y-%m-%d} TO {last:%Y-%m-%d}]"
    query = f"({needed(source, 'query')}) AND ({span})"

    def ask(cursor: str, seen: int) -> Request:
        asked = (
            ("query", query),
            ("format", "json"),
            ("resultType", "core"),
            ("pageSize", str(min(access.chunk, 1000))),
            ("cursorMark", cursor),
        )
        url = address(source.url or BASE, "search", asked)
        return Request(url=url, read=read_page, arguments={"cursor": cursor, "begun": seen > 0}, delay=DELAY)

    yield from paged(source, access, start, ask, first="*")
    return Harvested(since=now)


def read_page(body: bytes, *, url: str, cursor: str = "", begun: bool = False) -> Page:
    """The records at this cursor, with the notices that they name. Raises ParseError."""
    answer = read_json(body, url=url)
    if not isinstance(dig(answer, "resultList", "result"), list):
        said = text_at(answer, "errMsg") or text_at(answer, "errorMessage")
        raise ParseError(url, f"Europe PMC says: {clean(said)[:200]}" if said else "not the answer of a search")
    found = number_at(answer, "hitCount")
    records = list_at(answer, "resultList", "result")
    if found and not records and not begun:
        raise ParseError(url, f"no record came, though the search finds {found:,}")
    entries = tuple(entry for record in records if (entry := read_record(record)))
    told = tuple(one for record in records for one in _corrections(record))
    following = text_at(answer, "nextCursorMark")
    return Page(
        feed=Feed(title="Europe PMC", entries=entries, url=url, corrections=told),
        records=len(records),
        following="" if following == cursor else following,  # the last page names itself as the next
        found=found,
    )


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
        published=_published(record),
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


def _published(record: Any) -> datetime | None:
    """An issue's day may lie months ahead: then the day on which Europe PMC had it."""
    days = [parse_date(text_at(record, name)) for name in ("firstPublicationDate", "firstIndexDate")]
    return min((day for day in days if day), default=None)


def _corrections(record: Any) -> tuple[Correction, ...]:
    """Europe PMC writes PubMed's "RetractionIn" as "Retraction in"."""
    pmid, doi = text_at(record, "pmid"), normal_doi(text_at(record, "doi"))
    references = [
        ("".join(word.capitalize() for word in text_at(one, "type").split()), _pmid(one))
        for one in list_at(record, "commentCorrectionList", "commentCorrection")
    ]
    types = [kind for kind in list_at(record, "pubTypeList", "pubType") if isinstance(kind, str)]
    return from_pubmed(pmid if pmid.isdecimal() else "", doi, types, references)


def _pmid(reference: Any) -> str:
    number = text_at(reference, "id") if text_at(reference, "source") == "MED" else ""
    return number if number.isdecimal() else ""


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
