"""Sources of every kind: looked at, added, changed, polled; how each does; OPML."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Request, Response
from pydantic import Field

from monitor.model import Entry, Poll, Source, SourceKind
from monitor.parse.opml import read_opml, write_opml
from monitor.pipeline.discover import Candidate
from monitor.pipeline.sources import KnownSource, reads_pages
from monitor.web.api.kit import (
    BUSY,
    CHANGING,
    RAW,
    SLUG,
    Cursor,
    Limit,
    Out,
    Page,
    Sent,
    Slug,
    after,
    cut,
    few,
    made,
    make_router,
    read_cursor,
    taken,
)
from monitor.web.pages import opened_of
from monitor.web.sources import DAYS, grid

router = make_router("sources")

PREVIEWED = 50  # entries of a look
Options = Annotated[
    dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=20_000)]],
    Field(max_length=20, description="What its kind needs: docs/sources.md."),
]
Address = Annotated[str, Field(max_length=2_000)]
Minutes = Annotated[int, Field(ge=1, le=40_000, description="Between two polls, to begin with.")]
Weight = Annotated[float, Field(ge=0.1, le=10, description="Its articles' rank is multiplied by it.")]


class PlaceIn(Sent):
    url: Address = Field("", description="Of a feed, a site or a page; empty: the index's own.")
    kind: SourceKind = SourceKind.FEED
    options: Options = Field(default_factory=dict)

    def draft(self) -> Source:
        options = tuple(self.options.items())
        return Source(slug="", name="", url=self.url, kind=self.kind, options=options, pages=reads_pages(self.kind))


class SourceIn(PlaceIn):
    slug: str = Field("", max_length=64, pattern=r"^$|" + SLUG, description="Made from the name if left out.")
    name: str = Field("", max_length=200, description="The feed's title if left out.")
    minutes: Minutes = 60
    pages: bool | None = Field(None, description="Fetch each article's page for its full text.")
    weight: Weight = 1.0


class SourceChangeIn(Sent):
    """What is left out stays as it is."""

    name: str | None = Field(None, min_length=1, max_length=200)
    url: Address | None = None
    options: Options | None = Field(
        None, description="All of them. Others than before: it is read anew from the beginning."
    )
    minutes: Minutes | None = None
    pages: bool | None = None
    weight: Weight | None = None
    active: bool | None = None


class SourceOut(Out):
    slug: str
    name: str
    url: str
    kind: SourceKind
    options: dict[str, str]
    pages: bool
    active: bool
    interval: timedelta
    pace: timedelta | None = Field(description="The interval that was learned.")
    gap: timedelta | None = Field(description="The usual time between two of its articles.")
    weight: float
    confidence: str
    next_poll_at: datetime | None
    last_success_at: datetime | None
    last_new_at: datetime | None
    failures: int
    last_error: str


class LookOut(Out):
    """`found` false: the address is no source itself, but names the `candidates`."""

    found: bool
    url: str
    kind: SourceKind
    name: str
    entries: list[Entry]
    total: int
    repaired: str
    candidates: list[Candidate]


class PollOut(Out):
    poll: Poll | None = Field(description="null: another process is at it.")


class DayOut(Out):
    back: int = Field(description="Days before today.")
    well: int
    failed: int
    new: int


class HealthOut(Out):
    source: str
    active: bool
    failures: int
    last_error: str
    last_success_at: datetime | None
    next_poll_at: datetime | None
    days: list[DayOut | None] = Field(description="Oldest first; null: a day without a visit.")


class ImportedOut(Out):
    added: list[str] = Field(description="Slugs, all switched off: each is looked at before it is polled.")
    known: int


def _told(source: Source) -> SourceOut:
    values = {name: getattr(source, name) for name in SourceOut.model_fields}
    return SourceOut.model_validate({**values, "options": dict(source.options)})


def _by_slug(source: Source) -> tuple[str]:
    return (source.slug,)


@router.get("/sources", response_model=Page[SourceOut])
async def sources(
    request: Request, response: Response, active: bool | None = None, cursor: Cursor = "", limit: Limit = 50
) -> Page[SourceOut]:
    """By slug."""
    found = await opened_of(request).monitor.storage.sources.list(active=active)
    rows = [_told(one) for one in after(found, read_cursor(cursor, str), _by_slug)[: limit + 1]]
    return cut(request, response, rows, limit, lambda one: (one.slug,))


@router.post("/sources", response_model=SourceOut, status_code=201, responses={**CHANGING, **BUSY}, dependencies=[few])
async def add_source(request: Request, response: Response, sent: SourceIn) -> SourceOut:
    """Look at it, then add it. 409 with its address where it is there already."""
    draft = replace(
        sent.draft(),
        slug=sent.slug,
        name=sent.name.strip(),
        interval=timedelta(minutes=sent.minutes),
        weight=sent.weight,
    )
    draft = draft if sent.pages is None else replace(draft, pages=sent.pages)
    try:
        added, _ = await opened_of(request).monitor.sources.add(draft)
    except KnownSource as known:
        raise taken(str(known), f"/sources/{known.slug}") from known
    made(response, f"/sources/{added.slug}")
    return _told(added)


@router.post("/sources/preview", response_model=LookOut, responses={**CHANGING, **BUSY}, dependencies=[few])
async def preview(request: Request, sent: PlaceIn) -> LookOut:
    """What an address holds now: its entries, or the feeds and sitemaps that a site names. Stores nothing."""
    look = await opened_of(request).monitor.sources.look(sent.draft())
    entries = look.feed.entries if look.feed else ()
    return LookOut(
        found=look.feed is not None,
        url=look.source.url,
        kind=look.source.kind,
        name=look.source.name,
        entries=list(entries[:PREVIEWED]),
        total=len(entries),
        repaired=look.feed.repaired if look.feed else "",
        candidates=list(look.candidates),
    )


@router.get("/sources/health", response_model=Page[HealthOut])
async def health(request: Request, response: Response, cursor: Cursor = "", limit: Limit = 50) -> Page[HealthOut]:
    """Every source with its last two weeks, day by day."""
    rows = [
        HealthOut(
            source=one.slug,
            active=one.active,
            failures=one.failures,
            last_error=one.last_error,
            last_success_at=one.last_success_at,
            next_poll_at=one.next_poll_at,
            days=[DayOut.model_validate(day) if day else None for day in days],
        )
        for one, days in await grid(opened_of(request))
    ]
    rows.sort(key=_source)
    return cut(request, response, after(rows, read_cursor(cursor, str), _source), limit, _source)


def _source(row: HealthOut) -> tuple[str]:
    return (row.source,)


@router.get("/sources/opml", response_class=Response, responses={200: {"content": {"text/x-opml": {}}}})
async def opml(request: Request) -> Response:
    """Every source, in the form that other readers read."""
    monitor = opened_of(request).monitor
    data = write_opml(await monitor.storage.sources.list(), title="Medical News Monitor", now=monitor.now())
    return Response(data, media_type="text/x-opml")


@router.post(
    "/sources/opml",
    response_model=ImportedOut,
    responses={**CHANGING, **BUSY},
    dependencies=[few],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string"}} for kind in RAW["/sources/opml"]},
        }
    },
)
async def import_opml(request: Request) -> ImportedOut:
    """Add every source of the list that is not there yet, switched off."""
    monitor = opened_of(request).monitor
    outlines = await monitor.ingest.sandbox.run(read_opml, await request.body(), url="OPML")
    added = await monitor.sources.take(outlines, active=False)
    return ImportedOut(added=[one.slug for one in added], known=len(outlines) - len(added))


@router.get("/sources/{slug}", response_model=SourceOut)
async def source(request: Request, slug: Slug) -> SourceOut:
    return _told(await opened_of(request).monitor.storage.sources.get(slug))


@router.patch("/sources/{slug}", response_model=SourceOut, responses=CHANGING)
async def change_source(request: Request, slug: Slug, sent: SourceChangeIn) -> SourceOut:
    """Change what is named. Switched on, it is due at once and its failures are forgotten."""
    monitor = opened_of(request).monitor
    before = await monitor.storage.sources.get(slug)
    wanted = replace(
        before,
        name=sent.name or before.name,
        url=before.url if sent.url is None else sent.url,
        options=before.options if sent.options is None else tuple(sent.options.items()),
        interval=before.interval if sent.minutes is None else timedelta(minutes=sent.minutes),
        pages=before.pages if sent.pages is None else sent.pages,
        weight=before.weight if sent.weight is None else sent.weight,
    )
    if wanted != before:
        before = await monitor.sources.change(wanted)
    if sent.active is not None:
        await monitor.storage.sources.set_active(slug, sent.active)
    return _told(await monitor.storage.sources.get(slug))


@router.post("/sources/{slug}/poll", response_model=PollOut, responses={**CHANGING, **BUSY}, dependencies=[few])
async def poll(request: Request, slug: Slug) -> PollOut:
    """Visit it now."""
    return PollOut(poll=await opened_of(request).monitor.refresh(slug))


@router.get("/sources/{slug}/polls", response_model=Page[Poll])
async def polls(request: Request, response: Response, slug: Slug, cursor: Cursor = "", limit: Limit = 50) -> Page[Poll]:
    """Its visits of the last two weeks, newest first."""
    monitor = opened_of(request).monitor
    found = await monitor.storage.sources.get(slug)
    visits = await monitor.storage.sources.polls(found.id, monitor.now() - timedelta(days=DAYS))
    at = read_cursor(cursor, datetime)
    older = sorted((one for one in visits if at is None or one.at < at[0]), key=lambda one: one.at, reverse=True)
    return cut(request, response, older, limit, lambda one: (one.at,))
