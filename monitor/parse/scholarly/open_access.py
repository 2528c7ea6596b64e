"""Where a paper can be read freely: Unpaywall, and OpenAlex for those who have its key."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from monitor.errors import ParseError
from monitor.identity import normal_doi
from monitor.parse.answers import dig, each, list_at, read_json, text_at
from monitor.parse.asking import Access, Request, address
from monitor.parse.entry import resolved
from monitor.parse.plain import clean

UNPAYWALL = "https://api.unpaywall.org/v2/"
OPENALEX = "https://api.openalex.org/"
DELAY = 0.2  # Unpaywall: 100,000 a day; OpenAlex: 100 a second, and single works are free
_SELECT = "doi,ids,open_access,best_oa_location,primary_location,authorships,type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """`url` is empty for a paper that is not free. The others are what else was said."""

    url: str = ""
    pmid: str = ""
    journal: str = ""
    authors: tuple[str, ...] = ()


def unpaywall_request(doi: str, access: Access, base: str = UNPAYWALL) -> Request:
    keys = (("email", access.contact),)
    return Request(
        url=address(base, quote(doi, safe="/")), read=read_unpaywall, arguments={"doi": doi}, keys=keys, delay=DELAY
    )


def openalex_request(doi: str, access: Access, base: str = OPENALEX) -> Request:
    """A single work, which costs nothing."""
    url = address(base, f"works/doi:{quote(doi, safe='/')}", (("select", _SELECT),))
    keys = (("api_key", access.openalex_key),) if access.openalex_key else ()
    return Request(url=url, read=read_openalex, arguments={"doi": doi}, keys=keys, delay=DELAY)


def read_unpaywall(body: bytes, *, url: str, doi: str) -> Open:
    """Raises ParseError for the answer to another question."""
    answer = read_json(body, url=url)
    if normal_doi(text_at(answer, "doi")) != normal_doi(doi):
        raise ParseError(url, clean(text_at(answer, "message"))[:200] or "not the answer for this DOI")
    best = dig(answer, "best_oa_location")
    free = answer.get("is_oa") is True
    place = text_at(best, "url_for_landing_page") or text_at(best, "url") or text_at(best, "url_for_pdf")
    return Open(url=resolved(place, "") if free else "", journal=clean(text_at(answer, "journal_name"))[:300])


def read_openalex(body: bytes, *, url: str, doi: str) -> Open:
    """Raises ParseError for the answer to another question."""
    answer = read_json(body, url=url)
    if normal_doi(text_at(answer, "doi")) != normal_doi(doi):
        raise ParseError(url, "not the answer for this DOI")
    free = dig(answer, "open_access", "is_oa") is True
    place = text_at(answer, "best_oa_location", "landing_page_url") or text_at(answer, "open_access", "oa_url")
    return Open(
        url=resolved(place, "") if free else "",
        pmid=next(iter(part for part in text_at(answer, "ids", "pmid").split("/")[-1:] if part.isdecimal()), ""),
        journal=clean(text_at(answer, "primary_location", "source", "display_name"))[:300],
        authors=each(text_at(person, "author", "display_name") for person in list_at(answer, "authorships")),
    )
