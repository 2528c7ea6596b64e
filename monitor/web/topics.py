"""Topics: the list, a new one, and what is done to one beside its query: examples, history, copies, switches."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from monitor.errors import MonitorError
from monitor.match.exchange import is_slug
from monitor.model import Topic
from monitor.web.bench import bench_page
from monitor.web.drafts import draft_of
from monitor.web.pages import go, opened_of, user_of, view
from monitor.web.pasted import MAX_PASTED, article_of
from monitor.web.rematch import rematch_soon
from monitor.web.shapes import bars, weekly, word_diff

log = logging.getLogger(__name__)
router = APIRouter(prefix="/topics", default_response_class=Response)


@router.get("")
async def topics_page(request: Request) -> Response:
    opened = opened_of(request)
    storage, now = opened.monitor.storage, opened.monitor.now()
    topics = await storage.topics.list()
    weeks = await storage.readers.weekly_history([topic.id for topic in topics], now)
    unfinished = {one.topic_id for one in await storage.topics.unfinished_rematches()}
    rows = [
        (topic, weeks[topic.id], bars(weeks[topic.id], weekly(weeks[topic.id]), width=120, height=24))
        for topic in topics
    ]
    return view(request, "topics.html", rows=rows, unfinished=unfinished)


@router.get("/new")
async def new_topic(request: Request, query: str = "") -> Response:
    return view(request, "topic_new.html", slug="", name="", query=query[:20_000], error="")


@router.post("")
async def add_topic(
    request: Request,
    slug: Annotated[str, Form(max_length=100)] = "",
    name: Annotated[str, Form(max_length=200)] = "",
    query: Annotated[str, Form(max_length=25_000)] = "",
) -> Response:
    """Store a new topic that parses; the bench then shows what it finds, before anybody reads of it."""
    monitor = opened_of(request).monitor
    slug = slug.strip().lower()
    topic = Topic(slug=slug, name=name.strip() or slug.replace("-", " ").capitalize(), query=query.strip())
    try:
        if any(one.slug == slug for one in await monitor.storage.topics.list()):
            raise MonitorError(f"there is a topic {slug!r} already")
        saved = await monitor.tuning.save(topic, user_of(request).email, "new", force=False)
    except MonitorError as error:
        return view(request, "topic_new.html", status=422, slug=slug, name=name, query=query, error=str(error))
    return go(f"/topics/{saved.slug}?done=added")


# --- examples -------------------------------------------------------------------------------------------------


@router.post("/{slug}/examples")
async def add_example(
    request: Request,
    slug: str,
    what: Annotated[str, Form(max_length=MAX_PASTED)] = "",
    must_match: Annotated[str, Form(max_length=5)] = "yes",
    note: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    opened = opened_of(request)
    saved = await opened.monitor.storage.topics.get(slug)
    try:
        article = await article_of(opened, what)
    except MonitorError as error:
        draft = draft_of(saved)
        return await bench_page(request, saved, draft, status=422, example=what, example_error=str(error))
    tuning = opened.monitor.tuning
    await tuning.add_example(saved, article, must_match=must_match == "yes", note=note)
    return go(f"/topics/{slug}?done=added#examples")


@router.post("/{slug}/examples/{number}/remove")
async def remove_example(request: Request, slug: str, number: int) -> Response:
    tuning = opened_of(request).monitor.tuning
    mine = await tuning.example(slug, number)
    await tuning.storage.topics.remove_example(mine.id)
    return go(f"/topics/{slug}?done=removed#examples")


# --- history, copies, switches --------------------------------------------------------------------------------


@router.get("/{slug}/history")
async def history(request: Request, slug: str) -> Response:
    monitor = opened_of(request).monitor
    revisions = await monitor.storage.topics.history(slug)
    measures = {one.revision: one for one in await monitor.tuning.measure(slug)}
    older = [*revisions[1:], None]
    rows = [
        (one, word_diff(before.topic.query if before else "", one.topic.query), measures.get(one.number))
        for one, before in zip(revisions, older, strict=True)
    ]
    return view(request, "history.html", topic=revisions[0].topic, rows=rows)


@router.post("/{slug}/restore")
async def restore(request: Request, slug: str, number: Annotated[int, Form(ge=1)]) -> Response:
    monitor = opened_of(request).monitor
    await monitor.tuning.restore(slug, number, user_of(request).email)
    return go(f"/topics/{slug}?done=restored")


@router.post("/{slug}/clone")
async def clone(request: Request, slug: str, new_slug: Annotated[str, Form(max_length=64)]) -> Response:
    monitor = opened_of(request).monitor
    if not is_slug(new_slug):
        raise MonitorError("a short name is made of small letters, digits and hyphens")
    copy = await monitor.tuning.clone(slug, new_slug, user_of(request).email)
    return go(f"/topics/{copy.slug}?done=added")


@router.post("/{slug}/active")
async def switch(request: Request, slug: str, on: Annotated[str, Form(max_length=5)] = "") -> Response:
    topics = opened_of(request).monitor.storage.topics
    after = await topics.set_active(slug, on == "yes")
    return go(f"/topics/{slug}?done={_state(after)}")


def _state(topic: Topic) -> str:
    return "on" if topic.active else "off"


@router.post("/{slug}/rematch")
async def rematch(request: Request, slug: str) -> Response:
    """Apply the saved query to the whole archive, in the background; it goes on where it was interrupted."""
    await opened_of(request).monitor.storage.topics.get(slug)
    rematch_soon(request, slug)
    return go(f"/topics/{slug}?done=rematching")
