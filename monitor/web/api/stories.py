"""Stories: which articles are about one study, and putting that right; and notices about papers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Request, Response
from pydantic import Field

from monitor.model import Correction, CorrectionKind
from monitor.web.api.articles import ArticleOut
from monitor.web.api.kit import CHANGING, LARGEST, Cursor, Limit, Number, Out, Page, Sent, cut, make_router, read_cursor
from monitor.web.pages import opened_of

router = make_router("stories")

Id = Annotated[int, Field(ge=1, le=LARGEST)]


class SplitIn(Sent):
    article: Id


class MergeIn(Sent):
    story: Id
    other: Id


class BriefStoryOut(Out):
    story: int
    articles: int
    grew_at: datetime
    title: str = Field(description="Of its first article.")


class MemberOut(Out):
    article: ArticleOut
    source_name: str
    step: str = Field(description="Why it is there: first, name, title, text, cited, split or merged.")
    share: float


class StoryOut(Out):
    story: int
    members: list[MemberOut]


class CorrectionOut(Out):
    id: int
    kind: CorrectionKind
    doi: str
    pmid: str
    notice_doi: str
    notice_url: str
    title: str
    reason: str
    source: str
    noticed_at: datetime | None


@router.get("/stories", response_model=Page[BriefStoryOut])
async def stories(request: Request, response: Response, cursor: Cursor = "", limit: Limit = 50) -> Page[BriefStoryOut]:
    """Of several articles, the one that grew last first."""
    storage = opened_of(request).monitor.storage
    found = await storage.stories.recent(limit + 1, read_cursor(cursor, datetime, int))
    titles = {one.id: one.title for one in await storage.articles.get_many([number for number, _, _ in found])}
    rows = [BriefStoryOut(story=n, articles=count, grew_at=at, title=titles.get(n, "")) for n, count, at in found]
    return cut(request, response, rows, limit, lambda one: (one.grew_at, one.story))


@router.get("/stories/{number}", response_model=StoryOut)
async def story(request: Request, number: Number) -> StoryOut:
    """In order of arrival. An article's `story` is its number here."""
    members = await opened_of(request).monitor.storage.stories.members(number)
    return StoryOut(story=number, members=[MemberOut.model_validate(one) for one in members])


@router.post("/stories/split", response_model=StoryOut, responses=CHANGING)
async def split(request: Request, sent: SplitIn) -> StoryOut:
    """Take an article out of its story, for good. Answers with the story that it is in now."""
    return await story(request, await opened_of(request).monitor.split_story(sent.article))


@router.post("/stories/merge", response_model=StoryOut, responses=CHANGING)
async def merge(request: Request, sent: MergeIn) -> StoryOut:
    """Make one story of two."""
    return await story(request, await opened_of(request).monitor.merge_stories(sent.story, sent.other))


@router.get("/corrections", response_model=Page[CorrectionOut])
async def corrections(request: Request, response: Response, cursor: Cursor = "", limit: Limit = 50) -> Page[Correction]:
    """Retractions and other notices about papers that are in the archive, newest first."""
    at = read_cursor(cursor, int)
    found = await opened_of(request).monitor.storage.corrections.list(limit + 1, before_id=at[0] if at else None)
    return cut(request, response, found, limit, lambda one: (one.id,))
