"""Topics: read, made, changed on top of what was read, restored, copied, matched anew; in and out as files."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Header, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import Field

from monitor.errors import NotFound, Problem, StorageDown, StorageError, TopicRefused
from monitor.match.exchange import Change, Kind, Outcome, dump_csv, dump_yaml, load
from monitor.match.measure import Measure
from monitor.model import Revision, Topic, WeightedTerm
from monitor.web.api.kit import (
    BUSY,
    CHANGING,
    GUARDED,
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
from monitor.web.pages import opened_of, user_of
from monitor.web.problems import Refused, wrong_field
from monitor.web.rematch import rematch_soon
from storage import Rematch

router = make_router("topics")

Etags = Annotated[str | None, Header(max_length=200, description="The ETag of what you read; * for whatever there is.")]
Known = Annotated[str | None, Header(max_length=200, description="ETag of what you know; * for any.")]
KINDS: dict[str, Kind] = {"application/yaml": "yaml", "text/yaml": "yaml", "text/csv": "csv"}


class WeightIn(Sent):
    term: str = Field(min_length=1, max_length=1_000)
    weight: float = Field(ge=-1_000, le=1_000)


class TopicIn(Sent):
    """A topic's whole content: what is left out is empty."""

    name: str = Field(min_length=1, max_length=200)
    query: str = Field("", max_length=20_000, description="See docs/query-language.md; may be empty with weights.")
    weights: list[WeightIn] = Field(default_factory=list, max_length=500)
    threshold: float = Field(0, ge=-10_000, le=10_000, description="Sum of weights from which it matches.")
    sources: list[Annotated[str, Field(max_length=64)]] = Field(default_factory=list, max_length=200)
    languages: list[Annotated[str, Field(max_length=35)]] = Field(default_factory=list, max_length=50)
    note: str = Field("", max_length=1_000, description="Why: kept with the revision.")
    force: bool = Field(False, description="Save although a guard rail speaks against it; needs a note.")

    def topic(self, before: Topic) -> Topic:
        return replace(
            before,
            name=self.name,
            query=self.query.strip(),
            weights=tuple(WeightedTerm(term=one.term, weight=one.weight) for one in self.weights),
            threshold=self.threshold,
            sources=tuple(self.sources),
            languages=tuple(self.languages),
        )


class NewTopicIn(TopicIn):
    slug: str = Field(min_length=1, max_length=64, pattern=SLUG)


class ChangedTopicIn(TopicIn):
    revision: int = Field(
        0, ge=0, le=2**31 - 1, description="In place of If-Match: the revision that this was made from."
    )


class SwitchIn(Sent):
    active: bool


class RestoreIn(Sent):
    revision: int = Field(ge=1, le=2**31 - 1)


class CloneIn(Sent):
    slug: str = Field(min_length=1, max_length=64, pattern=SLUG)
    name: str = Field("", max_length=200)


class TopicOut(Out):
    id: int
    slug: str
    name: str
    query: str
    weights: list[WeightedTerm]
    threshold: float
    sources: list[str]
    languages: list[str]
    revision: int
    active: bool


class RevisionOut(Out):
    number: int
    author: str
    note: str
    created_at: datetime
    topic: TopicOut
    measure: Measure | None = Field(None, description="On what is labelled today.")


class RematchOut(Out):
    """`after_id` of `upto_id`: articles up to there are matched anew."""

    running: bool
    after_id: int = 0
    upto_id: int = 0
    matched: int = 0


class ChangeOut(Out):
    outcome: Outcome
    slug: str
    differences: list[tuple[str, str, str]] = Field(description="Field, before, after.")
    line: int
    column: int
    message: str


class ImportOut(Out):
    stored: bool
    changes: list[ChangeOut]


def etag(topic: Topic) -> str:
    return f'"{topic.revision}-{"on" if topic.active else "off"}"'


def _fits(tags: str, topic: Topic) -> bool:
    return tags.strip() == "*" or etag(topic) in {tag.strip() for tag in tags.split(",")}


def guarded(before: Topic, if_match: str | None, revision: int = 0) -> int:
    """The revision that a change is made on top of. Raises 412 where that is no longer the newest, 428 without any."""
    if if_match is not None:
        if not _fits(if_match, before):
            text = f"the topic {before.slug} is at {etag(before)} now: read it, and change that"
            raise Refused(412, text, headers={"ETag": etag(before)})
        return before.revision
    if not revision:
        raise Refused(
            428, "say what you change: If-Match with the ETag that GET gave you", headers={"ETag": etag(before)}
        )
    return revision


# --- reading --------------------------------------------------------------------------------------------------


@router.get("/topics", response_model=Page[TopicOut])
async def topics(
    request: Request, response: Response, active: bool | None = None, cursor: Cursor = "", limit: Limit = 50
) -> Page[Topic]:
    """By slug."""
    found = await opened_of(request).monitor.storage.topics.list(active=active)
    return cut(request, response, after(found, read_cursor(cursor, str), _slug), limit, _slug)


def _slug(topic: Topic) -> tuple[str]:
    return (topic.slug,)


@router.get(
    "/topics/export",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/csv": {}, "application/yaml": {}}}},
)
async def export(request: Request, style: Literal["yaml", "csv"] = "yaml") -> Response:
    """All topics in the form that /topics/import reads."""
    found = await opened_of(request).monitor.storage.topics.list()
    if style == "csv":
        return PlainTextResponse(dump_csv(found), media_type="text/csv")
    return PlainTextResponse(dump_yaml(found), media_type="application/yaml")


@router.get("/topics/{slug}", response_model=TopicOut, responses={304: {"description": "As you have it."}})
async def topic(
    request: Request,
    response: Response,
    slug: Slug,
    if_none_match: Known = None,
) -> Topic | Response:
    """Its ETag is what If-Match wants when you change it."""
    found = await opened_of(request).monitor.storage.topics.get(slug)
    if if_none_match is not None and _fits(if_none_match.replace("W/", ""), found):
        return Response(status_code=304, headers={"ETag": etag(found)})
    response.headers["ETag"] = etag(found)
    return found


@router.get("/topics/{slug}/history", response_model=Page[RevisionOut])
async def history(
    request: Request, response: Response, slug: Slug, cursor: Cursor = "", limit: Limit = 50
) -> Page[RevisionOut]:
    """Newest first, each with what was found relevant of it."""
    monitor = opened_of(request).monitor
    revisions = await monitor.storage.topics.history(slug)
    measures = {one.revision: one for one in await monitor.tuning.measure(slug)}
    rows = [_revision(one, measures.get(one.number)) for one in revisions]

    def key(one: RevisionOut) -> tuple[int]:
        return (-one.number,)

    return cut(request, response, after(rows, read_cursor(cursor, int), key), limit, key)


def _revision(one: Revision, measure: Measure | None) -> RevisionOut:
    told = RevisionOut.model_validate(one)
    return told.model_copy(update={"measure": measure})


# --- changing -------------------------------------------------------------------------------------------------


@router.post("/topics", response_model=TopicOut, status_code=201, responses=CHANGING)
async def add_topic(request: Request, response: Response, sent: NewTopicIn) -> Topic:
    """A new topic. Guard rails refuse (422) unless forced with a note. 409 with its address where there is one."""
    monitor = opened_of(request).monitor
    await _free(request, sent.slug)
    wanted = sent.topic(Topic(slug=sent.slug, name=sent.name, query=""))
    saved = await monitor.tuning.save(wanted, user_of(request).email, sent.note or "new", force=sent.force)
    made(response, f"/topics/{saved.slug}")
    response.headers["ETag"] = etag(saved)
    return saved


async def _free(request: Request, slug: str) -> None:
    if await _stored(request, slug) is not None:
        raise taken(f"there is a topic {slug!r} already", f"/topics/{slug}")


async def _stored(request: Request, slug: str) -> Topic | None:
    try:
        return await opened_of(request).monitor.storage.topics.get(slug)
    except NotFound:
        return None


@router.put(
    "/topics/{slug}",
    response_model=TopicOut,
    responses={**CHANGING, **GUARDED, 201: {"model": TopicOut, "description": "Made."}},
)
async def put_topic(
    request: Request,
    response: Response,
    slug: Slug,
    sent: ChangedTopicIn,
    if_match: Etags = None,
    if_none_match: Known = None,
) -> Topic:
    """Make it so: a new revision on top of the one that you read, or a new topic. Guard rails refuse (422) unless
    forced with a note.
    """
    before = await _stored(request, slug)
    if before is None and if_match is not None:
        raise Refused(412, f"there is no topic {slug!r} to change")
    if before is not None and if_none_match is not None and _fits(if_none_match, before):
        raise Refused(412, f"there is a topic {slug!r} already", headers={"ETag": etag(before)})
    on_top_of = guarded(before, if_match, sent.revision) if before is not None else 0
    wanted = replace(sent.topic(before or Topic(slug=slug, name=sent.name, query="")), revision=on_top_of)
    saved = await _saved(request, wanted, sent, precondition=if_match is not None)
    if before is None:
        made(response, f"/topics/{slug}")
    response.headers["ETag"] = etag(saved)
    return saved


async def _saved(request: Request, wanted: Topic, sent: TopicIn, *, precondition: bool) -> Topic:
    tuning = opened_of(request).monitor.tuning
    try:
        return await tuning.save(wanted, user_of(request).email, sent.note, force=sent.force)
    except (NotFound, StorageDown):
        raise
    except StorageError as error:
        if precondition:  # somebody saved between our look and our save
            raise Refused(412, str(error)) from error
        raise


@router.patch("/topics/{slug}", response_model=TopicOut, responses=CHANGING)
async def switch_topic(request: Request, response: Response, slug: Slug, sent: SwitchIn) -> Topic:
    """On or off; not a revision."""
    saved = await opened_of(request).monitor.storage.topics.set_active(slug, sent.active)
    response.headers["ETag"] = etag(saved)
    return saved


@router.post("/topics/{slug}/restore", response_model=TopicOut, responses={**CHANGING, **GUARDED})
async def restore(request: Request, response: Response, slug: Slug, sent: RestoreIn, if_match: Etags = None) -> Topic:
    """Save an earlier revision once more, as the newest."""
    monitor = opened_of(request).monitor
    guarded(await monitor.storage.topics.get(slug), if_match)
    saved = await monitor.tuning.restore(slug, sent.revision, user_of(request).email)
    response.headers["ETag"] = etag(saved)
    return saved


@router.post("/topics/{slug}/clone", response_model=TopicOut, status_code=201, responses=CHANGING)
async def clone(request: Request, response: Response, slug: Slug, sent: CloneIn) -> Topic:
    """A new topic that begins as this one, with its examples."""
    await _free(request, sent.slug)
    copy = await opened_of(request).monitor.tuning.clone(slug, sent.slug, user_of(request).email, sent.name)
    made(response, f"/topics/{copy.slug}")
    response.headers["ETag"] = etag(copy)
    return copy


@router.post("/topics/{slug}/rematch", response_model=RematchOut, status_code=202, responses=CHANGING)
async def rematch(request: Request, slug: Slug) -> RematchOut:
    """Apply the saved query to the whole archive, in the background. Asked again while it runs, it goes on."""
    found = await opened_of(request).monitor.storage.topics.get(slug)
    rematch_soon(request, slug)
    return _told(await _unfinished(request, found), running=True)


@router.get("/topics/{slug}/rematch", response_model=RematchOut)
async def rematch_state(request: Request, slug: Slug) -> RematchOut:
    found = await _unfinished(request, await opened_of(request).monitor.storage.topics.get(slug))
    return _told(found, running=found is not None)


async def _unfinished(request: Request, topic: Topic) -> Rematch | None:
    unfinished = await opened_of(request).monitor.storage.topics.unfinished_rematches()
    return next((one for one in unfinished if one.topic_id == topic.id), None)


def _told(one: Rematch | None, *, running: bool) -> RematchOut:
    if one is None:
        return RematchOut(running=running)
    return RematchOut(running=running, after_id=one.after_id, upto_id=one.upto_id, matched=one.matched)


# --- files ----------------------------------------------------------------------------------------------------


@router.post(
    "/topics/import",
    response_model=ImportOut,
    responses={**CHANGING, **BUSY},
    dependencies=[few],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string"}} for kind in KINDS},
        }
    },
)
async def import_topics(
    request: Request, dry_run: Annotated[bool, Query(description="Only say what would change.")] = False
) -> ImportOut:
    """Add and change topics by their slugs. With an error anywhere in it nothing is stored (422, with each line)."""
    tuning = opened_of(request).monitor.tuning
    try:
        text = (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong_field("body", "", f"not UTF-8 (byte {error.start + 1})") from error
    kind = KINDS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower(), "yaml")
    changes = load(text, kind, await tuning.storage.topics.list())
    if wrong := [one for one in changes if one.outcome is Outcome.ERROR]:
        raise TopicRefused("the file", [_place(one) for one in wrong])
    if not dry_run:
        await tuning.apply(changes, user_of(request).email, "import")
    return ImportOut(stored=not dry_run, changes=[ChangeOut.model_validate(one) for one in changes])


def _place(one: Change) -> Problem:
    return Problem(code="import", message=f"line {one.line}, column {one.column}: {one.message}")
