"""Crossref's REST API: a journal's new papers by its ISSN, and single works by DOI.

Its limits are in the headers of each answer, and the fetcher keeps them. An unknown journal or DOI is a 404 in plain
text.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from monitor.errors import ParseError
from monitor.identity import find_doi, normal_doi, trial_ids
from monitor.model import Entry, Feed, Source
from monitor.parse.answers import dig, each, list_at, number_at, read_json, text_at
from monitor.parse.asking import Access, Harvest, Harvested, Page, Request, address, overlap_of, paged, start_of
from monitor.parse.entry import MAX_SUMMARY, language_code
from monitor.parse.plain import MAX_LINE, clean, plain_line, plain_paragraphs
from monitor.story.corrections import from_crossref

BASE = "https://api.crossref.org/"
LATE_DAYS = 2
DELAY = 0.25  # until its headers tell (without a mail address: 5 a second)
_SELECT = (
    "DOI,title,subtitle,author,container-title,issued,published,published-online,published-print,created,type,abstract,"
    "clinical-trial-number,subject,language,relation,update-to"
)
MOST_VERSIONS = 10
BEST = 5  # of a search for one paper
_INLINE = re.compile(
    r"</?jats:(?:italic|bold|sub|sup|sc|monospace|underline|ext-link|xref|styled-content)(?:\s[^<>]*+)?>"
)
_DATES = ("published-online", "published", "published-print", "issued")
# Crossref's types that are the same thing as a PubMed publication type, in PubMed's words.
_TYPES = {"journal-article": "Journal Article", "posted-content": "Preprint"}


def harvest_crossref(source: Source, access: Access, now: datetime) -> Harvest:
    """What was registered since the last complete visit: of a journal (option `issn`), or by a search (`query`)."""
    start = start_of(source, access, now, overlap_of(source, LATE_DAYS))
    issn, query = source.option("issn").strip(), source.option("query").strip()
    if not (issn or query):
        raise ParseError(source.url, "a source of kind crossref needs the option 'issn' or 'query' (docs/sources.md)")
    filters = f"from-created-date:{start:%Y-%m-%d},type:{source.option('type', 'journal-article')}"
    path = f"journals/{quote(issn, safe='')}/works" if issn else "works"

    def ask(cursor: str, _: int) -> Request:  # the same cursor may come again and mean the next page
        asked = (
            ("query.bibliographic", query),
            ("filter", filters),
            ("select", _SELECT),
            ("rows", str(min(access.chunk, 1000))),
            ("cursor", cursor),
        )
        return Request(url=address(source.url or BASE, path, asked), read=read_list, keys=access.mailto, delay=DELAY)

    yield from paged(source, access, start, ask, first="*")
    return Harvested(since=now)


def work_request(doi: str, access: Access, base: str = BASE) -> Request:
    """One work by its DOI, whose slashes and brackets are escaped."""
    return Request(url=address(base, f"works/{quote(doi, safe='')}"), read=read_work, keys=access.mailto, delay=DELAY)


def search_request(words: str, access: Access, base: str = BASE) -> Request:
    """The works that a line of words (a citation, a title) fits best."""
    asked = (("query.bibliographic", words), ("rows", str(BEST)), ("select", _SELECT))
    return Request(url=address(base, "works", asked), read=read_list, keys=access.mailto, delay=DELAY)


def read_list(body: bytes, *, url: str) -> Page:
    """The works, and the notices among them with what they are about. Raises ParseError."""
    message = _message(body, url)
    items = list_at(message, "items")
    entries = tuple(entry for item in items if (entry := entry_of(item)))
    told = tuple(one for item in items if isinstance(item, dict) for one in from_crossref(item))
    feed = Feed(title="Crossref", entries=entries, url=url, corrections=told)
    found = number_at(message, "total-results")
    return Page(feed=feed, records=len(items), found=found, following=text_at(message, "next-cursor"))


def read_work(body: bytes, *, url: str) -> Entry | None:
    """One work. Raises ParseError."""
    return entry_of(_message(body, url))


def _message(body: bytes, url: str) -> Any:
    answer = read_json(body, url=url)
    message = dig(answer, "message")
    if text_at(answer, "status") != "ok" or not isinstance(message, dict):
        said = text_at(message, 0, "message") if isinstance(message, list) else ""
        raise ParseError(url, f"Crossref says: {clean(said)[:200]}" if said else "not an answer of Crossref")
    return message


def entry_of(work: Any) -> Entry | None:
    """None without a DOI or a title."""
    doi = find_doi(text_at(work, "DOI"))
    title = plain_line(text_at(work, "title", 0), MAX_LINE)
    if not doi or not title:
        return None
    abstract = _abstract(text_at(work, "abstract"))
    numbers = " ".join(text_at(trial, "clinical-trial-number") for trial in list_at(work, "clinical-trial-number"))
    return Entry(
        url=f"https://doi.org/{quote(doi, safe='/:;()._-')}",
        guid=f"doi:{doi.lower()}",
        title=title,
        published=_published(work),
        authors=each(_name(author) for author in list_at(work, "author")),
        summary=abstract,
        doi=doi,
        journal=plain_line(text_at(work, "container-title", 0), MAX_LINE),
        categories=each((s for s in list_at(work, "subject") if isinstance(s, str)), 50),
        language=language_code(text_at(work, "language")),
        publication_types=each([_TYPES.get(text_at(work, "type"), "")]),
        trial_ids=each((*trial_ids(numbers.upper()), *trial_ids(abstract))),
        versions=each(one for pair in published_of(work) for one in pair if one != normal_doi(doi)),
    )


def published_of(work: Any) -> tuple[tuple[str, str], ...]:
    """(preprint, paper) DOIs as publishers assert them: most on the preprint's record alone."""
    own = normal_doi(text_at(work, "DOI"))
    found = [(own, paper) for paper in _related(work, "is-preprint-of")]
    found += [(preprint, own) for preprint in _related(work, "has-preprint")]
    return tuple(pair for pair in found if own and pair[0] != pair[1])


def _related(work: Any, relation: str) -> list[str]:
    others = [one for one in list_at(work, "relation", relation) if text_at(one, "id-type").casefold() == "doi"]
    return [doi for one in others[:MOST_VERSIONS] if (doi := normal_doi(text_at(one, "id")))]


def _abstract(jats: str) -> str:
    """JATS markup; its first heading is often the word "Abstract" alone."""
    inline = _INLINE.sub("", jats[: 4 * MAX_SUMMARY].replace("<jats:title>Abstract</jats:title>", ""))
    text = plain_paragraphs(inline, MAX_SUMMARY)
    return text.removeprefix("Abstract\n\n")


def _name(author: Any) -> str:
    parts = (text_at(author, "given"), text_at(author, "family"), text_at(author, "suffix"))
    return " ".join(part for part in parts if part) or text_at(author, "name")


def _published(work: Any) -> datetime | None:
    """The first date that names a month, but no later than Crossref knew the work: an issue may lie months ahead."""
    created = _date(dig(work, "created"))
    appeared = next((day for name in _DATES if (day := _date(dig(work, name)))), None)
    return min(appeared, created) if appeared and created else appeared or created


def _date(value: Any) -> datetime | None:
    """`date-parts` may be a year alone (then it is no date), or [[null]]."""
    parts = [number_at(value, "date-parts", 0, position) for position in range(3)]
    if not (1900 <= parts[0] <= 2100 and parts[1]):
        return None
    try:
        return datetime(parts[0], parts[1], parts[2] or 1, tzinfo=UTC)
    except ValueError:
        return None
