"""Europe PMC, Crossref, medRxiv and ClinicalTrials.gov against servers that answer as they do, errors included."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from index_servers import Answer, Asked, IndexServer, as_json, as_xml
from source_rooms import NOW, Room, room_of

from monitor.model import Article, Source, SourceKind
from monitor.parse.asking import Access


@asynccontextmanager
async def visited(
    tmp_path: Path, template: Path, kind: SourceKind, answer: Callable[[Asked], Answer], **options: str
) -> AsyncIterator[tuple[Room, IndexServer]]:
    """A room with one source "s" of this kind, whose index is a local server; small pages, so there are several."""
    shutil.copy(template, tmp_path / "monitor.db")
    async with IndexServer(answer).running() as server:
        access = Access(contact="admin@example.org", chunk=2)
        async with room_of(f"sqlite:///{tmp_path / 'monitor.db'}", server.place, access=access) as room:
            source = Source(slug="s", name="S", url=server.url("/api/"), kind=kind, options=tuple(options.items()))
            await room.add(replace(source, pages=False))
            yield room, server


async def stored(room: Room) -> dict[str, Article]:
    return {article.key: article for article in await room.storage.articles.recent(limit=1_000)}


# --- Europe PMC -----------------------------------------------------------------------------------------------


def a_result(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "source": "MED",
        "pmid": str(number),
        "doi": f"https://doi.org/10.5555/EPMC.{number}",
        "title": f"Invented <i>finding</i> {number}.",
        "authorString": "Doe J, Roe R.",
        "journalInfo": {"journal": {"title": "Journal of Invention"}},
        "pubTypeList": {"pubType": ["review", "Journal Article"]},
        "meshHeadingList": {"meshHeading": [{"majorTopic_YN": "N", "descriptorName": "Pruritus"}]},
        "abstractText": "<h4>Background</h4>Itch &lt; pain. NCT00000001.",
        "firstPublicationDate": "2026-11-20",
        "isOpenAccess": "Y",
        "fullTextUrlList": {
            "fullTextUrl": [
                {"availabilityCode": "S", "documentStyle": "doi", "url": "https://doi.org/10.5555/x"},
                {"availabilityCode": "OA", "documentStyle": "pdf", "url": "https://europepmc.org/x.pdf"},
                {"availabilityCode": "OA", "documentStyle": "html", "url": "https://europepmc.org/x"},
            ]
        },
        "language": "eng",
        **more,
    }


def europe_pmc(asked: Asked) -> Answer:
    pages = {"*": ([1, 2], "AoE1"), "AoE1": ([3, 4], "AoE2"), "AoE2": ([5], "AoE2")}
    numbers, following = pages[asked.query["cursorMark"]]
    return as_json(
        {
            "version": "6.9",
            "hitCount": 5,
            "nextCursorMark": following,
            "nextPageUrl": "http://169.254.169.254/latest",  # never followed
            "resultList": {"result": [a_result(number) for number in numbers]},
        }
    )


async def test_europe_pmc_is_read_page_by_page_to_its_last_cursor(tmp_path: Path, sqlite_template: Path) -> None:
    async with visited(tmp_path, sqlite_template, SourceKind.EUROPEPMC, europe_pmc, query="itch") as (room, server):
        poll = await room.poll()

        articles = await stored(room)
        source = await room.source()
    assert (poll.outcome, poll.new, source.since) == ("ok", 5, NOW)
    assert [asked.query["cursorMark"] for asked in server.asked] == ["*", "AoE1", "AoE2"]
    assert server.asked[0].query["query"] == "(itch) AND (FIRST_IDATE:[2026-10-25 TO 2026-11-25])"
    article = articles["doi:10.5555/epmc.3"]
    assert (article.title, article.authors) == ("Invented finding 3", ("Doe J", "Roe R"))
    assert (article.mesh, article.publication_types) == (("Pruritus",), ("review", "Journal Article"))
    assert article.summary == "Background\n\nItch < pain. NCT00000001."
    assert (article.open_access_url, article.trial_ids) == ("https://europepmc.org/x", ("NCT00000001",))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (as_json({"errCode": 404, "errMsg": "Invalid query"}), "Invalid query"),
        (as_json({"hitCount": 7, "resultList": {"result": []}}), "no record came, though the search finds 7"),
        (as_xml("<html><title>Down</title></html>"), "Down"),
    ],
)
async def test_an_error_of_europe_pmc_moves_no_watermark(
    tmp_path: Path, sqlite_template: Path, answer: Answer, reason: str
) -> None:
    async with visited(tmp_path, sqlite_template, SourceKind.EUROPEPMC, lambda _: answer, query="itch") as (room, _):
        poll = await room.poll()

        source = await room.source()
    assert (poll.outcome, source.since) == ("ParseError", None)
    assert reason in poll.detail


# --- Crossref -------------------------------------------------------------------------------------------------

WORK = {
    "DOI": "10.5555/JIM70001",
    "title": ["Invented <i>enzyme</i> blocks itch"],
    "author": [{"given": "Jane", "family": "Doe", "sequence": "first"}, {"name": "The Itch Group"}],
    "container-title": ["Journal of Invented Medicine"],
    "issued": {"date-parts": [[2027, 2]]},
    "published-online": {"date-parts": [[2026, 11, 19]]},
    "created": {"date-parts": [[2026, 11, 20]], "date-time": "2026-11-20T00:00:00Z"},
    "type": "journal-article",
    "abstract": "<jats:title>Abstract</jats:title><jats:p>Itch was <jats:italic>blocked</jats:italic>.</jats:p>",
    "clinical-trial-number": [{"clinical-trial-number": "isrctn12345678", "registry": "10.18810/isrctn"}],
}
POLITE = {"x_rate_limit_limit": "10", "x_rate_limit_interval": "1s", "x_concurrency_limit": "3", "x_api_pool": "polite"}


def crossref(asked: Asked) -> Answer:
    if "0000-0000" in asked.path:
        return 404, {"Content-Type": "text/plain"}, b"Resource not found."
    first = asked.query["cursor"] == "*"
    items = [WORK, {"DOI": "10.5555/b", "title": ["B"], "issued": {"date-parts": [[None]]}}] if first else [
        {"DOI": "10.5555/c", "title": ["C"], "issued": {"date-parts": [[2026]]}},
        {"DOI": "10.5555/no-title", "title": []},
    ]  # fmt: skip
    message = {"total-results": 4, "items": items, "next-cursor": "same"}
    return as_json({"status": "ok", "message-type": "work-list", "message": message}, **POLITE)


async def test_a_journal_is_read_by_its_issn(tmp_path: Path, sqlite_template: Path) -> None:
    async with visited(tmp_path, sqlite_template, SourceKind.CROSSREF, crossref, issn="1234-5678") as (room, server):
        poll = await room.poll()

        articles = await stored(room)
    assert (poll.outcome, poll.new) == ("ok", 3)
    first = server.asked[0]
    assert (first.path, first.query["mailto"]) == ("/api/journals/1234-5678/works", "admin@example.org")
    assert first.query["filter"] == "from-created-date:2026-10-25,type:journal-article"
    article = articles["doi:10.5555/jim70001"]
    assert (article.doi, article.title) == ("10.5555/JIM70001", "Invented enzyme blocks itch")
    assert article.authors == ("Jane Doe", "The Itch Group")
    assert (article.summary, article.trial_ids) == ("Itch was blocked.", ("ISRCTN12345678",))
    assert article.published is not None
    assert article.published.date().isoformat() == "2026-11-19"
    assert articles["doi:10.5555/b"].published is None
    assert articles["doi:10.5555/c"].published is None  # a year alone is no date


async def test_crossrefs_pace_is_what_its_headers_say(tmp_path: Path, sqlite_template: Path) -> None:
    slow = {**POLITE, "x_rate_limit_limit": "2"}

    def answer(asked: Asked) -> Answer:
        return as_json({"status": "ok", "message": {"total-results": 4, "items": [WORK], "next-cursor": "c"}}, **slow)

    async with visited(tmp_path, sqlite_template, SourceKind.CROSSREF, answer, issn="1234-5678") as (room, server):
        started = asyncio.get_running_loop().time()
        await room.poll()
        seconds = asyncio.get_running_loop().time() - started

    assert len(server.asked) == 4
    assert 1.5 <= seconds < 4  # four requests, half a second between two; the usual delay in this test is none


async def test_an_unknown_journal_is_a_failure_in_words(tmp_path: Path, sqlite_template: Path) -> None:
    async with visited(tmp_path, sqlite_template, SourceKind.CROSSREF, crossref, issn="0000-0000") as (room, _):
        poll = await room.poll()

    assert (poll.outcome, poll.detail) == ("FetchStatus", "HTTP 404: nothing is found at this address")


async def test_a_source_without_what_it_needs_says_what(tmp_path: Path, sqlite_template: Path) -> None:
    async with visited(tmp_path, sqlite_template, SourceKind.CROSSREF, crossref) as (room, server):
        poll = await room.poll()

    assert "needs the option 'issn' or 'query'" in poll.detail
    assert server.asked == []


# --- medRxiv, bioRxiv -----------------------------------------------------------------------------------------


def a_preprint(doi: str, version: object = 1, **more: Any) -> dict[str, Any]:
    return {
        "doi": doi,
        "title": f"Preprint {doi} v{version}",
        "authors": "Doe, J.; Roe, R. S.; van der Invented, X.",
        "date": "2026-11-22",
        "version": version,
        "category": "Oncology",
        "abstract": "Cells were counted.",
        "published": "NA",
        "server": "medrxiv",
        **more,
    }


def preprints(asked: Asked) -> Answer:
    cursor = int(asked.path.split("/")[-2])
    pages: dict[int, list[dict[str, Any]]] = {
        0: [a_preprint("10.64898/2026.11.01.1", "1"), a_preprint("10.64898/2026.11.01.1", "2")],
        2: [a_preprint("10.1101/2026.11.02.2"), a_preprint("10.64898/x3", category="neurology")],
    }
    page = pages.get(cursor, [])
    message = {"status": "ok", "cursor": cursor if cursor else "0", "count": len(page), "total": "4"}
    return as_json({"messages": [message], "collection": page})


async def test_preprints_come_once_whatever_their_version_and_prefix(tmp_path: Path, sqlite_template: Path) -> None:
    async with visited(tmp_path, sqlite_template, SourceKind.MEDRXIV, preprints) as (room, server):
        poll = await room.poll()

        articles = await stored(room)
    assert (poll.outcome, poll.new) == ("ok", 3)
    assert [asked.path for asked in server.asked] == [
        "/api/details/medrxiv/2026-10-25/2026-11-25/0/json",
        "/api/details/medrxiv/2026-10-25/2026-11-25/2/json",
    ]
    article = articles["doi:10.64898/2026.11.01.1"]
    assert article.title.endswith("v2")
    assert article.authors == ("Doe, J.", "Roe, R. S.", "van der Invented, X.")
    assert (article.publication_types, article.journal) == (("Preprint",), "medRxiv")


async def test_preprints_of_chosen_categories_only(tmp_path: Path, sqlite_template: Path) -> None:
    source = SourceKind.MEDRXIV
    async with visited(tmp_path, sqlite_template, source, preprints, category="Neurology; pain medicine") as (room, _):
        poll = await room.poll()

    assert poll.new == 1


async def test_days_without_preprints_are_no_failure(tmp_path: Path, sqlite_template: Path) -> None:
    nothing = as_json({"messages": [{"status": "no posts found"}], "collection": []})
    async with visited(tmp_path, sqlite_template, SourceKind.MEDRXIV, lambda _: nothing, server="biorxiv") as (room, s):
        poll = await room.poll()

    assert (poll.outcome, poll.new) == ("ok", 0)
    assert "/biorxiv/" in s.asked[0].path


# --- ClinicalTrials.gov ---------------------------------------------------------------------------------------


def trials(asked: Asked) -> Answer:
    number, following = (1, "tok2") if "pageToken" not in asked.query else (2, None)
    study = {
        "protocolSection": {
            "identificationModule": {
                "nctId": f"NCT0000000{number}",
                "briefTitle": f"A trial of invented drug {number}",
                "secondaryIdInfos": [{"id": "2020-001234-12", "type": "EUDRACT_NUMBER"}],
            },
            "statusModule": {"overallStatus": "NOT_YET_RECRUITING", "studyFirstPostDateStruct": {"date": "2026-11-20"}},
            "sponsorCollaboratorsModule": {"leadSponsor": {"name": "Invented University"}},
            "descriptionModule": {"briefSummary": "Does it help?"},
            "conditionsModule": {"conditions": ["Chronic Pain"], "keywords": ["opioid tolerance"]},
            "designModule": {"phases": ["PHASE2"]},
            "armsInterventionsModule": {"interventions": [{"type": "DRUG", "name": "Inventumab"}]},
        }
    }
    answer = {"studies": [study], "nextPageToken": following} if following else {"studies": [study]}
    return as_json({**answer, "totalCount": 2} if number == 1 else answer)


async def test_a_search_of_trials_follows_its_page_tokens(tmp_path: Path, sqlite_template: Path) -> None:
    async with visited(tmp_path, sqlite_template, SourceKind.TRIALS, trials, condition="chronic pain") as (
        room,
        server,
    ):
        poll = await room.poll()

        articles = await stored(room)
    assert (poll.outcome, poll.new) == ("ok", 2)
    assert server.asked[0].query["filter.advanced"] == "AREA[StudyFirstPostDate]RANGE[2026-10-25,MAX]"
    article = articles["clinicaltrials.gov/study/NCT00000002"]
    assert article.trial_ids == ("NCT00000002", "2020-001234-12")
    assert "Interventions: Inventumab" in article.body
    assert "Phase: phase 2" in article.body
    assert article.authors == ("Invented University",)
