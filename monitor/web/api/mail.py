"""What was sent and what waits: issues, the outbox, and mail that came back."""

from __future__ import annotations

from datetime import datetime
from email import message_from_bytes, policy
from typing import Annotated, Literal

from fastapi import Path, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import Field

from monitor.errors import NotFound
from monitor.model import Delivery, DeliveryState
from monitor.web.api.articles import FILES, ArticleOut, Style
from monitor.web.api.kit import (
    CHANGING,
    LARGEST,
    RAW,
    Cursor,
    Limit,
    Number,
    Out,
    Page,
    cut,
    make_router,
    read_cursor,
)
from monitor.web.archive import citations
from monitor.web.pages import opened_of
from monitor.web.people import MAIL_CSP

router = make_router("mail")

Whose = Annotated[int | None, Query(ge=1, le=LARGEST, description="Only of this reader.")]


class DeliveryOut(Out):
    id: int
    reader: int
    subscription: int | None = Field(description="null: a letter, no digest.")
    period: str
    state: DeliveryState
    attempts: int
    resends: int
    not_before: datetime | None
    last_error: str
    queued_at: datetime
    settled_at: datetime | None
    message_id: str
    to: str
    subject: str


class OutboxOut(Page[DeliveryOut]):
    counts: dict[DeliveryState, int]
    held: str = Field(description="Why new digests wait for an admin; empty: they do not.")


class IssueOut(DeliveryOut):
    articles: list[ArticleOut] = Field(description="In their order.")


class ReleasedOut(Out):
    released: int


class BounceOut(Out):
    delivery: int
    to: str
    kind: str
    at: datetime
    status: str
    diagnostic: str


class TakenOut(Out):
    done: str = Field(description="In words.")


def _told(one: Delivery) -> DeliveryOut:
    return DeliveryOut(
        id=one.id,
        reader=one.subscriber_id,
        subscription=one.subscription_id,
        period=one.period_key,
        state=one.state,
        attempts=one.attempts,
        resends=one.resends,
        not_before=one.not_before,
        last_error=one.last_error,
        queued_at=one.queued_at,
        settled_at=one.settled_at,
        message_id=one.message.message_id,
        to=one.message.recipient,
        subject=one.message.subject,
    )


# --- outbox ---------------------------------------------------------------------------------------------------


@router.get("/outbox", response_model=OutboxOut)
async def outbox(
    request: Request,
    response: Response,
    state: DeliveryState | None = None,
    reader: Whose = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> OutboxOut:
    """Every message, newest first: to whom, for which period, in what state, and why."""
    box, at = opened_of(request).monitor.storage.outbox, read_cursor(cursor, int)
    found = await box.list((state,) if state else (), limit + 1, before_id=at[0] if at else None, subscriber_id=reader)
    page = cut(request, response, [_told(one) for one in found], limit, lambda one: (one.id,))
    return OutboxOut(items=page.items, next=page.next, counts=await box.counts(), held=await box.held_because())


@router.post("/outbox/release", response_model=ReleasedOut, responses=CHANGING)
async def release_all(request: Request) -> ReleasedOut:
    """Let every held message go; new ones are no longer held."""
    monitor = opened_of(request).monitor
    return ReleasedOut(released=await monitor.storage.outbox.release(monitor.now()))


@router.get("/outbox/{number}", response_model=DeliveryOut)
async def delivery(request: Request, number: Number) -> DeliveryOut:
    return _told(await opened_of(request).monitor.storage.outbox.get(number))


@router.post("/outbox/{number}/{action}", response_model=DeliveryOut, responses=CHANGING)
async def act(
    request: Request, number: Number, action: Annotated[Literal["retry", "release", "cancel"], Path()]
) -> DeliveryOut:
    """retry: once more, under its old Message-ID; release: let one that is held go; cancel: never send it. 409 in a
    state where that cannot be.
    """
    monitor = opened_of(request).monitor
    box, now = monitor.storage.outbox, monitor.now()
    await box.get(number)
    if action == "retry":
        await box.retry(number, now)
    elif action == "cancel":
        await box.cancel(number, now)
    else:
        await box.release(now, [number])
    return _told(await box.get(number))


# --- issues ---------------------------------------------------------------------------------------------------


async def _issue(request: Request, number: int) -> tuple[Delivery, tuple[int, ...]]:
    sent = await opened_of(request).monitor.storage.outbox.digest(number)
    if sent.delivery.subscription_id is None:
        raise NotFound(f"message {number} is a letter, no digest")
    return sent.delivery, sent.article_ids


@router.get("/issues", response_model=Page[DeliveryOut])
async def issues(
    request: Request, response: Response, reader: Whose = None, cursor: Cursor = "", limit: Limit = 50
) -> Page[DeliveryOut]:
    """Every digest as it was enqueued, newest first."""
    at = read_cursor(cursor, int)
    found = await opened_of(request).monitor.storage.outbox.list(
        limit=limit + 1, before_id=at[0] if at else None, subscriber_id=reader, digests=True
    )
    return cut(request, response, [_told(one) for one in found], limit, lambda one: (one.id,))


@router.get("/issues/{number}", response_model=IssueOut)
async def issue(request: Request, number: Number) -> IssueOut:
    """With its articles in their order."""
    found, ids = await _issue(request, number)
    articles = await opened_of(request).monitor.storage.articles.get_many(ids)
    return IssueOut(**_told(found).model_dump(), articles=[ArticleOut.model_validate(one) for one in articles])


@router.get("/issues/{number}/html", response_class=HTMLResponse)
async def issue_html(request: Request, number: Number) -> Response:
    """Exactly what was mailed, as its reader sees it."""
    found, _ = await _issue(request, number)
    if not found.message.html:
        raise NotFound(f"the text of issue {number} is not kept any more")
    return Response(found.message.html, media_type="text/html", headers={"Content-Security-Policy": MAIL_CSP})


@router.get("/issues/{number}/text", response_class=PlainTextResponse)
async def issue_text(request: Request, number: Number) -> Response:
    """Its text part, exactly as it was mailed."""
    found, _ = await _issue(request, number)
    part = message_from_bytes(found.message.data, policy=policy.default).get_body(("plain",))
    if part is None or not found.message.data:
        raise NotFound(f"the text of issue {number} is not kept any more")
    return PlainTextResponse(part.get_content())


@router.get("/issues/{number}/export", response_class=PlainTextResponse, responses=FILES)
async def issue_export(request: Request, number: Number, style: Style = "ris") -> Response:
    """Its articles as a file for a reference manager."""
    found, ids = await _issue(request, number)
    return citations(await opened_of(request).monitor.storage.articles.get_many(ids), style, f"issue-{found.id}")


# --- bounces --------------------------------------------------------------------------------------------------


@router.get("/bounces", response_model=Page[BounceOut])
async def bounces(request: Request, response: Response, cursor: Cursor = "", limit: Limit = 50) -> Page[BounceOut]:
    """Mail that came back, newest first."""
    at = read_cursor(cursor, datetime, int, str)
    found = await opened_of(request).monitor.storage.browse.bounced(limit + 1, at)
    rows = [
        BounceOut(delivery=number, to=to, kind=kind, at=when, status=status, diagnostic=said)
        for number, to, kind, when, status, said in found
    ]
    return cut(request, response, rows, limit, lambda one: (one.at, one.delivery, one.kind))


@router.post(
    "/bounces",
    response_model=TakenOut,
    responses=CHANGING,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": {"type": "string"}} for kind in RAW["/bounces"]},
        }
    },
)
async def take_bounce(request: Request) -> TakenOut:
    """Act on one returned mail, as it came. The same mail twice changes nothing more."""
    return TakenOut(done=await opened_of(request).monitor.bounces.take(await request.body()))
