"""ClinicalTrials.gov, version 2 of its API: studies that a search finds, by the day they were posted.

Its documentation (clinicaltrials.gov/data-api/about-api) names no limit and its answers carry none in their headers;
fifty requests a minute is what others report from being refused, and its robots.txt asks for a second between two.
DELAY keeps below both, and a 429 is waited for as that of any index.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from monitor.errors import ParseError
from monitor.identity import trial_ids
from monitor.model import Entry, Feed, Source
from monitor.parse.answers import dig, each, list_at, number_at, read_json, text_at
from monitor.parse.asking import Access, Harvest, Harvested, Page, Request, address, overlap_of, paged, start_of
from monitor.parse.dates import parse_date
from monitor.parse.entry import MAX_SUMMARY
from monitor.parse.plain import MAX_LINE, MAX_TEXT, clean, join_paragraphs, plain_line, plain_paragraphs

BASE = "https://clinicaltrials.gov/api/v2/"
LATE_DAYS = 3
DELAY = 1.2
_DATES = ("StudyFirstPostDate", "LastUpdatePostDate", "ResultsFirstPostDate")


def harvest_trials(source: Source, access: Access, now: datetime) -> Harvest:
    """What a search (options `query` and `condition`) finds that was posted since the last complete visit.

    The option `date` chooses what counts as new: StudyFirstPostDate, LastUpdatePostDate or ResultsFirstPostDate.
    """
    start = start_of(source, access, now, overlap_of(source, LATE_DAYS))
    field = source.option("date", _DATES[0])
    query, condition = source.option("query").strip(), source.option("condition").strip()
    if field not in _DATES:
        raise ParseError(source.url, f"the option date is one of {', '.join(_DATES)}")
    if not (query or condition):
        raise ParseError(
            source.url, "a source of kind trials needs the option 'query' or 'condition' (docs/sources.md)"
        )

    def ask(token: str, _: int) -> Request:
        asked = (
            ("query.term", query),
            ("query.cond", condition),
            ("filter.advanced", f"AREA[{field}]RANGE[{start:%Y-%m-%d},MAX]"),
            ("format", "json"),
            ("countTotal", "true"),
            ("pageSize", str(min(access.chunk, 1000))),
            ("pageToken", token),
        )
        url = address(source.url or BASE, "studies", asked)
        return Request(url=url, read=read_page, arguments={"token": token}, delay=DELAY)

    yield from paged(source, access, start, ask)
    return Harvested(since=now)


def read_page(body: bytes, *, url: str, token: str = "") -> Page:
    """The studies; how many the search finds stands on its first page alone. Raises ParseError."""
    answer = read_json(body, url=url)
    if not isinstance(dig(answer, "studies"), list):
        raise ParseError(url, "not an answer of ClinicalTrials.gov")
    studies = list_at(answer, "studies")
    entries = tuple(entry for study in studies if (entry := _entry(study)))
    feed = Feed(title="ClinicalTrials.gov", entries=entries, url=url, language="en")
    following = text_at(answer, "nextPageToken")
    return Page(
        feed=feed,
        records=len(studies),
        found=number_at(answer, "totalCount"),
        following="" if following == token else following,
    )


def _entry(study: Any) -> Entry | None:
    protocol = dig(study, "protocolSection")
    numbers = trial_ids(text_at(protocol, "identificationModule", "nctId"))
    title = plain_line(text_at(protocol, "identificationModule", "briefTitle"), MAX_LINE)
    if not numbers or not title:
        return None
    status = dig(protocol, "statusModule")
    secondary = " ".join(text_at(info, "id") for info in list_at(protocol, "identificationModule", "secondaryIdInfos"))
    sponsor = clean(text_at(protocol, "sponsorCollaboratorsModule", "leadSponsor", "name"))
    conditions = each((c for c in list_at(protocol, "conditionsModule", "conditions") if isinstance(c, str)), 50)
    return Entry(
        url=f"https://clinicaltrials.gov/study/{numbers[0]}",
        guid=numbers[0],
        title=title,
        published=parse_date(text_at(status, "studyFirstPostDateStruct", "date")),
        updated=parse_date(text_at(status, "lastUpdatePostDateStruct", "date")),
        authors=(sponsor,) if sponsor else (),
        summary=plain_paragraphs(text_at(protocol, "descriptionModule", "briefSummary"), MAX_SUMMARY),
        content=_text(protocol, conditions),
        categories=conditions,
        language="en",
        publication_types=("Clinical Trial Registration",),
        trial_ids=each((*numbers, *trial_ids(secondary))),
    )


def _text(protocol: Any, conditions: tuple[str, ...]) -> str:
    """What topics match on: the description, then conditions, interventions, phase and state in one line each."""
    interventions = each(text_at(i, "name") for i in list_at(protocol, "armsInterventionsModule", "interventions"))
    keywords = each(k for k in list_at(protocol, "conditionsModule", "keywords") if isinstance(k, str))
    phases = each(p for p in list_at(protocol, "designModule", "phases") if isinstance(p, str))
    lines = (
        ("Conditions", "; ".join(conditions)),
        ("Interventions", "; ".join(interventions)),
        ("Keywords", "; ".join(keywords)),
        ("Phase", ", ".join(phase.replace("PHASE", "phase ").lower() for phase in phases)),
        ("Status", text_at(protocol, "statusModule", "overallStatus").replace("_", " ").lower()),
    )
    told = [
        plain_paragraphs(text_at(protocol, "descriptionModule", name))
        for name in ("briefSummary", "detailedDescription")
    ]
    return "\n\n".join((*filter(None, told), join_paragraphs([f"{name}: {value}" for name, value in lines if value])))[
        :MAX_TEXT
    ]
