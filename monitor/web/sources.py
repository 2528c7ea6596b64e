"""Sources: how each one does, day by day, and the switches for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from monitor.app import Opened
from monitor.errors import MonitorError
from monitor.model import Feed, Source, SourceKind
from monitor.parse.opml import read_opml, write_opml
from monitor.pipeline.discover import Candidate
from monitor.pipeline.ingest import explain
from monitor.web.pages import audit, go, opened_of, view
from monitor.web.shapes import bars
from storage import SourceDay

router = APIRouter(prefix="/sources", default_response_class=Response)

DAYS = 14
OPML_LIMIT = 900_000


async def grid(opened: Opened) -> list[tuple[Source, list[SourceDay | None]]]:
    """Every source with its last days, oldest first; None: a day without a visit."""
    storage = opened.monitor.storage
    days = await storage.browse.source_days(opened.monitor.now() + timedelta(seconds=1), DAYS)
    by_place = {(one.source_id, one.back): one for one in days}
    sources = await storage.sources.list()
    sources.sort(key=lambda one: (not one.active, -min(one.failures, 1), one.name.lower()))
    return [(one, [by_place.get((one.id, back)) for back in reversed(range(DAYS))]) for one in sources]


@router.get("")
async def sources_page(request: Request) -> Response:
    return await _page(request)


async def _page(
    request: Request,
    *,
    status: int = 200,
    error: str = "",
    url: str = "",
    feed: Feed | None = None,
    kind: SourceKind = SourceKind.FEED,
    candidates: Sequence[Candidate] = (),
    imported: tuple[str, ...] = (),
) -> Response:
    now = opened_of(request).monitor.now()
    labels = [f"{now - timedelta(days=back):%-d %b}" for back in reversed(range(DAYS))]
    return view(
        request,
        "sources.html",
        status=status,
        rows=await grid(opened_of(request)),
        labels=labels,
        error=error,
        url=url,
        feed=feed,
        kind=kind,
        candidates=candidates,
        imported=imported,
    )


@router.post("/preview")
async def preview(request: Request, url: Annotated[str, Form(max_length=2_000)]) -> Response:
    """What the address holds now: of a site's, the feeds and sitemaps that it names. Stores nothing."""
    monitor = opened_of(request).monitor
    try:
        look = await monitor.sources.look(Source(slug="", name="", url=url.strip()))
    except MonitorError as error:
        return await _page(request, status=422, error=f"{url}: {explain(error)}", url=url)
    if look.feed is not None:
        return await _page(request, url=look.source.url, kind=look.source.kind, feed=look.feed)
    if look.candidates:
        return await _page(request, url=url, candidates=look.candidates)
    text = f"{url} is no feed, names none, and its site lists no sitemap"
    return await _page(request, status=422, error=text, url=url)


@router.post("")
async def add(
    request: Request,
    url: Annotated[str, Form(max_length=2_000)],
    name: Annotated[str, Form(max_length=200)] = "",
    slug: Annotated[str, Form(max_length=64)] = "",
    minutes: Annotated[int, Form(ge=1, le=40_000)] = 60,
    pages: Annotated[str, Form(max_length=5)] = "",
    kind: Annotated[SourceKind, Form()] = SourceKind.FEED,
) -> Response:
    """Read the address once, so that only what can be read is added."""
    monitor = opened_of(request).monitor
    try:
        if kind not in {SourceKind.FEED, SourceKind.SITEMAP}:
            raise MonitorError("this kind of source needs options: `monitor sources add --kind …`")
        draft = Source(
            slug=slug.strip(),
            name=name.strip(),
            url=url.strip(),
            kind=kind,
            pages=pages == "yes",
            interval=timedelta(minutes=minutes),
        )
        added, _ = await monitor.sources.add(draft)
    except MonitorError as error:
        return await _page(request, status=422, error=explain(error), url=url)
    await audit(request, f"added the source {added.slug}", "", added.url)
    return go(f"/sources/{added.slug}?done=added")


@router.get("/opml")
async def opml(request: Request) -> Response:
    monitor = opened_of(request).monitor
    sources = await monitor.storage.sources.list()
    data = write_opml(sources, title="Medical News Monitor", now=monitor.now())
    headers = {"Content-Disposition": 'attachment; filename="sources.opml"'}
    return Response(data, media_type="text/x-opml", headers=headers)


@router.post("/opml")
async def import_opml(request: Request) -> Response:
    """Add every source of a list that is not here yet, switched off: each is looked at before it is polled."""
    monitor = opened_of(request).monitor
    async with request.form(max_files=1, max_fields=5) as form:
        given = form.get("file")
        if given is None or isinstance(given, str):
            body = str(given or "").encode()
        else:
            body = await given.read(OPML_LIMIT)
    try:
        outlines = await monitor.ingest.sandbox.run(read_opml, body, url="OPML")
    except MonitorError as error:
        return await _page(request, status=422, error=explain(error))
    added = [one.slug for one in await monitor.sources.take(outlines, active=False)]
    await audit(request, f"imported {len(added)} of {len(outlines)} sources", "", ", ".join(added))
    return await _page(request, imported=tuple(added))


@router.get("/{slug}")
async def source_page(request: Request, slug: str) -> Response:
    monitor = opened_of(request).monitor
    source = await monitor.storage.sources.get(slug)
    polls = await monitor.storage.sources.polls(source.id, monitor.now() - timedelta(days=DAYS))
    recent = list(reversed(polls[:60]))
    new = [one.new for one in recent]
    chart = bars(
        new, f"New articles of the last {len(new)} visits, oldest first: {', '.join(map(str, new))}", width=480
    )
    return view(request, "source.html", source=source, polls=polls[:50], chart=chart if new else "")


@router.post("/{slug}/poll")
async def poll(request: Request, slug: str) -> Response:
    """Visit it now, and say what came of it on its page."""
    visit = await opened_of(request).monitor.refresh(slug)
    await audit(request, f"polled the source {slug}", "", visit.outcome if visit else "busy")
    return go(f"/sources/{slug}?done={'polled' if visit else 'busy'}")


@router.post("/{slug}/active")
async def switch(request: Request, slug: str, on: Annotated[str, Form(max_length=5)] = "") -> Response:
    sources = opened_of(request).monitor.storage.sources
    before = await sources.get(slug)
    await sources.set_active(slug, on == "yes")
    states = {True: "on", False: "off"}
    await audit(request, f"switched the source {slug}", states[before.active], states[on == "yes"])
    return go(f"/sources/{slug}?done={states[on == 'yes']}")


@router.post("/{slug}")
async def change(
    request: Request,
    slug: str,
    name: Annotated[str, Form(max_length=200)],
    url: Annotated[str, Form(max_length=2_000)],
    minutes: Annotated[int, Form(ge=1, le=40_000)],
    weight: Annotated[float, Form(ge=0.5, le=2)] = 1.0,
    pages: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    monitor = opened_of(request).monitor
    before = await monitor.storage.sources.get(slug)
    wanted = replace(
        before, name=name.strip() or before.name, url=url.strip(), interval=timedelta(minutes=minutes), weight=weight,
        pages=pages == "yes",
    )  # fmt: skip
    after = await monitor.sources.change(wanted)
    await audit(request, f"changed the source {slug}", _told(before), _told(after))
    return go(f"/sources/{slug}?done=saved")


def _told(source: Source) -> str:
    return f"{source.name} · {source.url} · every {source.interval} · weight {source.weight:g} · pages {source.pages}"


__all__ = ["grid", "router"]
