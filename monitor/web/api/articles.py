"""The archive: found, read, explained, exported."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field

from monitor.errors import NotFound
from monitor.match.explain import Explanation
from monitor.model import Article, Match, TextFrom, Verdict
from monitor.web.api.kit import BUSY, Cursor, Limit, Number, Out, Page, few, make_router, page_of, read_cursor
from monitor.web.archive import EXPLAINED, EXPORTED, WRITERS, Wanted, citations, explanations, find
from monitor.web.pages import opened_of

router = make_router("articles")

Text = Annotated[str, Query(max_length=20_000, description="In the topics' own language: docs/query-language.md.")]
Name = Annotated[str, Query(max_length=100)]
Day = Annotated[date | None, Query(description="Stored on that day or later (since), that day or earlier (until).")]
Style = Annotated[Literal["ris", "bib", "json"], Query(description="RIS, BibTeX or CSL-JSON.")]
FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {media: {} for _, media in WRITERS.values()}, "description": "A file."}
}


class ArticleOut(Out):
    """`doi` of a news story names the paper that it reports."""

    id: int
    url: str
    canonical_url: str
    title: str
    published: datetime | None
    authors: list[str]
    summary: str
    byline: str
    category: str
    doi: str
    pmid: str
    journal: str
    provider: str
    publisher: str
    citation: str
    copyright: str
    language: str
    mesh: list[str]
    publication_types: list[str]
    trial_ids: list[str]
    open_access_url: str
    text_from: TextFrom
    source_slug: str
    stored_at: datetime | None


class WholeArticleOut(ArticleOut):
    body: str
    story: int | None = Field(description="Its number at /stories; null: it waits for its story.")
    matches: list[Match] = Field(description="Of every topic, with the places in title, body or summary.")


class ReasonOut(Out):
    topic: str
    matched: bool = Field(description="When it was stored, or matched anew.")
    explanation: Explanation = Field(description="Of the topic as it is now.")


class ReasonsOut(Out):
    items: list[ReasonOut]
    unexplained: int = Field(description="Further topics that were not asked.")


class SaidOut(Out):
    topic_id: int
    by: str
    verdict: Verdict
    reason: str


class SaidsOut(Out):
    items: list[SaidOut]


def _wanted(q: str, source: str, topic: str, label: Verdict | None, since: date | None, until: date | None) -> Wanted:
    return Wanted(
        q=q, source=source, topic=topic, label=label or "", since=since.isoformat() if since else "",
        until=until.isoformat() if until else "",
    )  # fmt: skip


@router.get("/articles", response_model=Page[ArticleOut], responses=BUSY, dependencies=[few])
async def articles(
    request: Request,
    response: Response,
    q: Text = "",
    source: Name = "",
    topic: Name = "",
    label: Verdict | None = None,
    since: Day = None,
    until: Day = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Page[Article]:
    """Newest first, without their text. A page may hold fewer than `limit`, and there is a next one all the same."""
    at = read_cursor(cursor, int)
    wanted = _wanted(q, source, topic, label, since, until)
    found = await find(opened_of(request), replace(wanted, before=at[0] if at else None), limit)
    return page_of(request, response, found.articles, (found.next_before,) if found.next_before else None)


@router.get("/articles/export", response_class=PlainTextResponse, responses={**FILES, **BUSY}, dependencies=[few])
async def export(
    request: Request,
    style: Style = "ris",
    q: Text = "",
    source: Name = "",
    topic: Name = "",
    label: Verdict | None = None,
    since: Day = None,
    until: Day = None,
) -> Response:
    """What is found, newest first, as a file for a reference manager; 500 at most."""
    found = await find(opened_of(request), _wanted(q, source, topic, label, since, until), EXPORTED)
    return citations(found.articles, style, "articles")


@router.get("/articles/{number}", response_model=WholeArticleOut)
async def article(request: Request, number: Number) -> WholeArticleOut:
    storage = opened_of(request).monitor.storage
    found = await storage.articles.get(number)
    told = ArticleOut.model_validate(found).model_dump()
    matches = (await storage.browse.matches_of([number])).get(number, [])
    try:
        story = await storage.stories.of(number)
    except NotFound:  # it was stored a moment ago
        story = None
    return WholeArticleOut(**told, body=found.body, story=story, matches=matches)


@router.get("/articles/{number}/export", response_class=PlainTextResponse, responses=FILES)
async def export_one(request: Request, number: Number, style: Style = "ris") -> Response:
    found = await opened_of(request).monitor.storage.articles.get(number)
    return citations([found], style, f"article-{found.id}")


@router.get("/articles/{number}/reasons", response_model=ReasonsOut, responses=BUSY, dependencies=[few])
async def reasons(request: Request, number: Number) -> ReasonsOut:
    """Why each topic that is on does or does not match it, those that took it first."""
    storage = opened_of(request).monitor.storage
    found = await storage.articles.get(number)
    stored = {one.topic_id for one in (await storage.browse.matches_of([number])).get(number, [])}
    topics = sorted(await storage.topics.list(active=True), key=lambda one: (one.id not in stored, one.name.lower()))
    told = await asyncio.to_thread(explanations, topics[:EXPLAINED], found)
    items = [
        ReasonOut(topic=one.slug, matched=one.id in stored, explanation=told[one.id])
        for one in topics
        if one.id in told
    ]
    return ReasonsOut(items=items, unexplained=max(0, len(topics) - EXPLAINED))


@router.get("/articles/{number}/labels", response_model=SaidsOut)
async def labels(request: Request, number: Number) -> SaidsOut:
    """What was said of this article, for each topic."""
    storage = opened_of(request).monitor.storage
    said = await storage.browse.labels_of((await storage.articles.get(number)).id)
    return SaidsOut(items=[SaidOut(topic_id=t, by=by, verdict=verdict, reason=why) for t, by, verdict, why in said])
