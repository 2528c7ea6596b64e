"""Sources: how each one does, day by day, and the switches for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from monitor.app import Opened
from monitor.errors import MonitorError
from monitor.model import Source
from monitor.web.kinds import BY_KIND, Wanted
from monitor.web.pages import go, opened_of, view
from monitor.web.shapes import bars
from storage import SourceDay

router = APIRouter(prefix="/sources", default_response_class=Response)

DAYS = 14
CHARTED = 60
LISTED = 50


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
    opened = opened_of(request)
    days = [opened.monitor.now() - timedelta(days=back) for back in reversed(range(DAYS))]
    return view(request, "sources.html", rows=await grid(opened), days=days)


@router.get("/{slug}")
async def source_page(request: Request, slug: str) -> Response:
    return await _page(request, await opened_of(request).monitor.storage.sources.get(slug))


async def _page(
    request: Request, source: Source, *, status: int = 200, error: str = "", wanted: Wanted | None = None
) -> Response:
    """`wanted`: what was sent and could not be stored."""
    monitor = opened_of(request).monitor
    polls = await monitor.storage.sources.polls(source.id, monitor.now() - timedelta(days=DAYS))
    new = [one.new for one in reversed(polls[:CHARTED])]
    text = f"New articles of the last {len(new)} polls, oldest first: {', '.join(map(str, new))}"
    return view(
        request,
        "source.html",
        status=status,
        source=source,
        polls=polls[:LISTED],
        chart=bars(new, text, width=min(480, 24 * len(new))) if any(new) else "",
        kind=BY_KIND[source.kind],
        wanted=wanted or Wanted.of(source),
        error=error,
    )


@router.post("/{slug}/poll")
async def poll(request: Request, slug: str) -> Response:
    """Visit it now, and say what came of it on its page."""
    visit = await opened_of(request).monitor.refresh(slug)
    return go(f"/sources/{slug}?done={'polled' if visit else 'busy'}")


@router.post("/{slug}/active")
async def switch(request: Request, slug: str, on: Annotated[str, Form(max_length=5)] = "") -> Response:
    sources = opened_of(request).monitor.storage.sources
    await sources.set_active(slug, on == "yes")
    states = {True: "on", False: "off"}
    return go(f"/sources/{slug}?done={states[on == 'yes']}")


@router.post("/{slug}")
async def change(request: Request, slug: str) -> Response:
    """Its name, address, options and pace. With other options it is read anew from the beginning."""
    monitor = opened_of(request).monitor
    before = await monitor.storage.sources.get(slug)
    form = await request.form(max_files=0, max_fields=50)
    wanted = Wanted.sent(form, Wanted.of(before))
    try:
        await monitor.sources.change(replace(wanted.source(before), slug=before.slug, kind=before.kind))
    except MonitorError as error:
        return await _page(request, before, status=422, error=str(error), wanted=wanted)
    return go(f"/sources/{slug}?done=saved")
