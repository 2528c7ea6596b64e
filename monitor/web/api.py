"""The same for programs: JSON under /api/v1, with tokens that have scopes, pages, and problems per RFC 9457.

`Authorization: Bearer mnm_…`; the table of rules in auth.py holds here as it does for pages.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from monitor import __version__
from monitor.console import plain
from monitor.errors import NotFound, QueryError, TopicRefused
from monitor.match import WARNINGS, check_query
from monitor.model import Article, Delivery, DeliveryState, Label, Topic, Verdict, WeightedTerm
from monitor.web.archive import Wanted, find
from monitor.web.pages import audit, opened_of, user_of
from monitor.web.pasted import MAX_PASTED, article_of
from monitor.web.problems import problem

Slug = Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=200)]


class Problem(BaseModel):
    type: str
    title: str
    status: int
    detail: str
    instance: str


_PROBLEM = {"content": {"application/problem+json": {}}, "model": Problem}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {**_PROBLEM, "description": text}
    for status, text in {
        400: "It makes no sense",
        401: "No or no good token",
        403: "The role or a scope is missing",
        404: "Nothing is stored under that name",
        409: "Somebody was first",
        422: "A field or query is wrong",
    }.items()
}
router = APIRouter(prefix="/api/v1", default_response_class=JSONResponse, responses=ERRORS)


class Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WeightIn(Sent):
    term: str = Field(max_length=1_000)
    weight: float = Field(ge=-1_000, le=1_000)


class TopicIn(Sent):
    """A topic's whole content. `revision`: the one it was made from; 409 if another was saved meanwhile."""

    name: str = Field(min_length=1, max_length=200)
    query: str = Field("", max_length=20_000)
    weights: list[WeightIn] = Field(default_factory=list, max_length=500)
    threshold: float = Field(0, ge=-10_000, le=10_000)
    sources: list[str] = Field(default_factory=list, max_length=200)
    languages: list[str] = Field(default_factory=list, max_length=50)
    note: str = Field("", max_length=1_000)
    force: bool = False
    revision: int = Field(0, ge=0, le=2**31 - 1)


class QueryIn(Sent):
    query: str = Field(max_length=20_000)
    days: int = Field(30, ge=0, le=3_650, description="0: the whole archive.")


class WhyIn(Sent):
    what: str = Field(min_length=1, max_length=MAX_PASTED, description="An address, a DOI, a number or a text.")


class LabelIn(Sent):
    article: int = Field(ge=1, le=2**31 - 1)
    verdict: Verdict | None = Field(description="null takes the label back.")
    reason: str = Field("", max_length=200)


class SwitchIn(Sent):
    active: bool


def _json(**values: object) -> JSONResponse:
    return JSONResponse({name: plain(value) for name, value in values.items()})


def _wrong(request: Request, error: QueryError | TopicRefused) -> JSONResponse:
    return problem(request, 422, str(error), problems=[plain(asdict(one)) for one in error.problems])


# --- overview -------------------------------------------------------------------------------------------------


@router.get("/overview")
async def overview(request: Request) -> Response:
    """What went through in the last seven days, and what an admin should know."""
    from monitor.web.overview import WEEK

    monitor = opened_of(request).monitor
    storage, now = monitor.storage, monitor.now()
    return _json(
        funnel=await storage.browse.funnel(now - WEEK, now),
        notices=await storage.notices.open(),
        outbox={state.value: number for state, number in (await storage.outbox.counts()).items()},
    )


@router.get("/audit")
async def audit_log(request: Request, limit: Limit = 100) -> Response:
    return _json(items=await opened_of(request).monitor.storage.audit.recent(limit))


# --- topics ---------------------------------------------------------------------------------------------------


@router.get("/topics")
async def topics(request: Request) -> Response:
    return _json(items=await opened_of(request).monitor.storage.topics.list())


@router.post("/topics/check")
async def check(request: Request, sent: QueryIn) -> Response:
    """Read a query without storing anything: how it was understood, and every problem with its place."""
    query, problems = check_query(sent.query)
    errors = [one for one in problems if one.code not in WARNINGS]
    warnings = [one for one in problems if one.code in WARNINGS]
    return _json(understood=str(query) if query is not None else None, errors=errors, warnings=warnings)


@router.get("/topics/{slug}")
async def topic(request: Request, slug: Slug) -> Response:
    return _json(topic=await opened_of(request).monitor.storage.topics.get(slug))


@router.put("/topics/{slug}")
async def put_topic(request: Request, slug: Slug, sent: TopicIn) -> Response:
    """Make it so: a new topic, or a new revision of one. Guard rails refuse (422) unless forced with a note."""
    monitor = opened_of(request).monitor
    try:
        before: Topic | None = await monitor.storage.topics.get(slug)
    except NotFound:
        before = None
    wanted = replace(
        before or Topic(slug=slug, name=sent.name, query=""),
        name=sent.name,
        query=sent.query,
        weights=tuple(WeightedTerm(term=one.term, weight=one.weight) for one in sent.weights),
        threshold=sent.threshold,
        sources=tuple(sent.sources),
        languages=tuple(sent.languages),
        revision=sent.revision or (before.revision if before else 0),
    )
    try:
        saved = await monitor.tuning.save(wanted, user_of(request).email, sent.note, force=sent.force)
    except (QueryError, TopicRefused) as error:
        return _wrong(request, error)
    await audit(
        request, f"saved the topic {slug}, revision {saved.revision}", before.query if before else "", saved.query
    )
    return _json(topic=saved)


@router.patch("/topics/{slug}")
async def switch_topic(request: Request, slug: Slug, sent: SwitchIn) -> Response:
    saved = await opened_of(request).monitor.storage.topics.set_active(slug, sent.active)
    await audit(request, f"switched the topic {slug}", "", "on" if sent.active else "off")
    return _json(topic=saved)


@router.get("/topics/{slug}/history")
async def history(request: Request, slug: Slug) -> Response:
    monitor = opened_of(request).monitor
    return _json(items=await monitor.storage.topics.history(slug), measures=await monitor.tuning.measure(slug))


@router.post("/topics/{slug}/try")
async def try_query(request: Request, slug: Slug, sent: QueryIn, limit: Limit = 50) -> Response:
    """What this query would gain and lose against the saved one. Nothing is stored."""
    try:
        found = await opened_of(request).monitor.tuning.backtest(slug, sent.query, sent.days or None)
    except QueryError as error:
        return _wrong(request, error)
    return _json(
        gained_total=len(found.gained),
        lost_total=len(found.lost),
        unchanged_total=len(found.unchanged),
        gained=found.gained[:limit],
        lost=found.lost[:limit],
        unchanged=found.unchanged[:limit],
        weeks=found.weeks,
        terms=found.terms,
    )


@router.post("/topics/{slug}/why")
async def why(request: Request, slug: Slug, sent: WhyIn) -> Response:
    opened = opened_of(request)
    await opened.monitor.storage.topics.get(slug)
    article = await article_of(opened, sent.what)
    try:
        return _json(title=article.title, explanation=await opened.monitor.tuning.why(slug, article))
    except QueryError as error:
        return _wrong(request, error)


@router.post("/topics/{slug}/labels")
async def label(request: Request, slug: Slug, sent: LabelIn) -> Response:
    monitor, by = opened_of(request).monitor, user_of(request).email
    found = await monitor.storage.topics.get(slug)
    article = await monitor.storage.articles.get(sent.article)
    if sent.verdict is None:
        await monitor.storage.topics.unlabel(found.id, article.id, by)
    else:
        judged = Label(
            topic_id=found.id, article_id=article.id, verdict=sent.verdict, by=by, reason=sent.reason,
            labelled_at=monitor.now(),
        )  # fmt: skip
        await monitor.storage.topics.label(judged)
    await audit(request, f"labelled article {article.id} for {slug}", "", sent.verdict or "none")
    return _json(article=article.id, verdict=sent.verdict)


# --- articles -------------------------------------------------------------------------------------------------


@router.get("/articles")
async def articles(
    request: Request,
    q: Annotated[str, Query(max_length=20_000)] = "",
    source: Annotated[str, Query(max_length=100)] = "",
    topic: Annotated[str, Query(max_length=64)] = "",
    label: Verdict | None = None,
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    limit: Limit = 50,
) -> Response:
    """Newest first, without their text. `next_before` is the next page's `before`; null: this is the last."""
    wanted = Wanted(q=q, source=source, topic=topic, label=label or "", since=since, until=until, before=before)
    try:
        found = await find(opened_of(request), wanted, limit)
    except QueryError as error:
        return _wrong(request, error)
    return _json(items=[_brief(one) for one in found.articles], next_before=found.next_before)


def _brief(article: Article) -> dict[str, object]:
    return {name: value for name, value in asdict(article).items() if name != "body"}


@router.get("/articles/{number}")
async def article(request: Request, number: Number) -> Response:
    """With its text, and every topic's match with the places in it."""
    storage = opened_of(request).monitor.storage
    found = await storage.articles.get(number)
    return _json(article=found, matches=(await storage.browse.matches_of([number])).get(number, []))


# --- sources --------------------------------------------------------------------------------------------------


@router.get("/sources")
async def sources(request: Request) -> Response:
    return _json(items=await opened_of(request).monitor.storage.sources.list())


@router.get("/sources/{slug}")
async def source(request: Request, slug: Slug) -> Response:
    return _json(source=await opened_of(request).monitor.storage.sources.get(slug))


@router.patch("/sources/{slug}")
async def switch_source(request: Request, slug: Slug, sent: SwitchIn) -> Response:
    storage = opened_of(request).monitor.storage
    await storage.sources.set_active(slug, sent.active)
    await audit(request, f"switched the source {slug}", "", "on" if sent.active else "off")
    return _json(source=await storage.sources.get(slug))


@router.post("/sources/{slug}/poll")
async def poll(request: Request, slug: Slug) -> Response:
    """Visit it now. `poll` is null when another process is at it."""
    visit = await opened_of(request).monitor.refresh(slug)
    await audit(request, f"polled the source {slug}", "", visit.outcome if visit else "busy")
    return _json(poll=visit)


# --- readers and their mail -----------------------------------------------------------------------------------


@router.get("/readers")
async def readers(request: Request) -> Response:
    storage = opened_of(request).monitor.storage
    people = await storage.readers.list()
    return _json(
        items=[{"reader": one, "subscriptions": await storage.readers.subscriptions(one.id)} for one in people]
    )


@router.get("/outbox")
async def outbox(request: Request, state: DeliveryState | None = None, limit: Limit = 100) -> Response:
    found = await opened_of(request).monitor.storage.outbox.list((state,) if state else (), limit)
    return _json(items=[_delivery(one) for one in found])


@router.get("/outbox/{number}")
async def delivery(request: Request, number: Number) -> Response:
    sent = await opened_of(request).monitor.storage.outbox.digest(number)
    return _json(delivery=_delivery(sent.delivery), articles=sent.article_ids)


@router.post("/outbox/{number}/{action}")
async def act(
    request: Request, number: Number, action: Annotated[str, Path(pattern="^(retry|release|cancel)$")]
) -> Response:
    monitor = opened_of(request).monitor
    outbox, now = monitor.storage.outbox, monitor.now()
    before = await outbox.get(number)
    if action == "retry":
        await outbox.retry(number, now)
    elif action == "cancel":
        await outbox.cancel(number, now)
    else:
        await outbox.release(now, [number])
    after = await outbox.get(number)
    await audit(request, f"{action} of delivery {number}", before.state.value, after.state.value)
    return _json(delivery=_delivery(after))


def _delivery(one: Delivery) -> dict[str, object]:
    keys = (
        "id", "subscription_id", "subscriber_id", "period_key", "state", "attempts", "resends", "not_before",
        "last_error", "queued_at", "settled_at",
    )  # fmt: skip
    message = {"message_id": one.message.message_id, "to": one.message.recipient, "subject": one.message.subject}
    return {**{key: getattr(one, key) for key in keys}, **message}


# --- the description ------------------------------------------------------------------------------------------


@router.get("/openapi.json", include_in_schema=False)
async def description(request: Request) -> Response:
    """OpenAPI 3.1 of what is above."""
    schema = get_openapi(title="Medical News Monitor", version=__version__, routes=router.routes)
    schema["components"].setdefault("securitySchemes", {})["token"] = {"type": "http", "scheme": "bearer"}
    schema["security"] = [{"token": []}]
    return JSONResponse(schema)
