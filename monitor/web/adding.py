"""Adding sources: each kind with its own fields, looked at before it is stored; and whole lists as OPML."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from monitor.errors import MonitorError
from monitor.model import Source, SourceKind
from monitor.parse.harvesters import BASES
from monitor.parse.opml import read_opml, write_opml
from monitor.pipeline.ingest import explain
from monitor.pipeline.sources import Look
from monitor.web.kinds import BY_KIND, KINDS, Wanted
from monitor.web.pages import go, opened_of, view

router = APIRouter(prefix="/sources", default_response_class=Response)

OPML_LIMIT = 900_000
LISTED = 10  # entries of a preview


def _page(
    request: Request,
    wanted: Wanted,
    *,
    status: int = 200,
    error: str = "",
    look: Look | None = None,
    imported: tuple[str, ...] | None = None,
) -> Response:
    return view(
        request, "source_new.html", status=status, wanted=wanted, kind=BY_KIND[wanted.kind], kinds=KINDS, error=error,
        look=look, listed=LISTED, imported=imported,
    )  # fmt: skip


@router.get("/new")
async def new_source(request: Request, kind: str = "") -> Response:
    return _page(request, Wanted.blank(_kind(kind)))


def _kind(text: str) -> SourceKind:
    return SourceKind(text) if text in set(SourceKind) else SourceKind.FEED


async def _sent(request: Request) -> Wanted:
    form = await request.form(max_files=0, max_fields=50)
    return Wanted.sent(form, Wanted.blank(_kind(str(form.get("kind", "")))))


@router.post("/preview")
async def preview(request: Request) -> Response:
    """What is there now: entries, or of a site's address the feeds and sitemaps that it names. Stores nothing."""
    wanted = await _sent(request)
    try:
        look = await opened_of(request).monitor.sources.look(wanted.source(Source(slug="", name="", url="")))
    except MonitorError as error:
        return _page(request, wanted, status=422, error=explain(error))
    if look.feed is None:
        found = "" if look.candidates else f"{wanted.url} is no feed, names none, and its site lists no sitemap."
        return _page(request, wanted, status=200 if look.candidates else 422, error=found, look=look)
    seen = Wanted.of(look.source)
    return _page(request, seen if wanted.name else _named(seen), look=look)


def _named(found: Wanted) -> Wanted:
    """What is asked of an index makes a better name than the index's own."""
    if found.kind not in BASES or not found.options:
        return found
    asked = next(iter(found.options.values()))
    return replace(found, name=f"{BY_KIND[found.kind].name}: {asked}"[:80])


@router.post("")
async def add(request: Request) -> Response:
    """Looked at once more, so that only what can be read is added."""
    wanted = await _sent(request)
    try:
        added, _ = await opened_of(request).monitor.sources.add(wanted.source(Source(slug="", name="", url="")))
    except MonitorError as error:
        return _page(request, wanted, status=422, error=explain(error))
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
    blank = Wanted.blank(SourceKind.FEED)
    try:
        outlines = await monitor.ingest.sandbox.run(read_opml, body, url="OPML")
    except MonitorError as error:
        return _page(request, blank, status=422, error=explain(error))
    added = [one.slug for one in await monitor.sources.take(outlines, active=False)]
    return _page(request, blank, imported=tuple(added))
