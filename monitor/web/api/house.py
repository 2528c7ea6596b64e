"""How the place is doing: the funnel, what an admin should know, and who changed what."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query, Request, Response

from monitor.errors import NotFound
from monitor.model import DeliveryState, Level, Notice
from monitor.web.api.kit import Cursor, Limit, Number, Out, Page, after, cut, make_router, read_cursor
from monitor.web.pages import opened_of
from storage import AuditEntry, Funnel

router = make_router("overview")

_GRAVITY = list(reversed(Level))


class NoticeOut(Out):
    id: int
    subject: str
    code: str
    level: Level
    text: str
    raised_at: datetime


class OverviewOut(Out):
    funnel: Funnel
    before: Funnel
    notices: list[NoticeOut]
    outbox: dict[DeliveryState, int]
    silent: list[str]


class AuditOut(Out):
    id: int
    who: str
    what: str
    before: str
    after: str
    at: datetime


@router.get("/overview", response_model=OverviewOut)
async def overview(request: Request, days: Annotated[int, Query(ge=1, le=366)] = 7) -> OverviewOut:
    """What went through in these days and in as many before them, what an admin should know, the outbox by state, and
    the beats of this process that did not go well lately.
    """
    monitor = opened_of(request).monitor
    storage, now, span = monitor.storage, monitor.now(), timedelta(days=days)
    return OverviewOut(
        funnel=await storage.browse.funnel(now - span, now),
        before=await storage.browse.funnel(now - 2 * span, now - span),
        notices=[NoticeOut.model_validate(one) for one in await storage.notices.open()],
        outbox=await storage.outbox.counts(),
        silent=request.app.state.silent(),
    )


@router.get("/notices", response_model=Page[NoticeOut])
async def notices(request: Request, response: Response, cursor: Cursor = "", limit: Limit = 50) -> Page[Notice]:
    """What an admin should know: worst first, then oldest."""
    found = sorted(await opened_of(request).monitor.storage.notices.open(), key=_place)
    return cut(request, response, after(found, read_cursor(cursor, int, datetime, int), _place), limit, _place)


def _place(notice: Notice) -> tuple[int, datetime, int]:
    return (_GRAVITY.index(notice.level), notice.raised_at, notice.id)


@router.delete("/notices/{number}", status_code=204, response_class=Response)
async def close_notice(request: Request, number: Number) -> Response:
    """Seen: it comes back if it happens again."""
    monitor = opened_of(request).monitor
    if not await monitor.storage.notices.dismiss(number, monitor.now()):
        raise NotFound(f"no open notice has the number {number}")
    return Response(status_code=204)


@router.get("/audit", response_model=Page[AuditOut])
async def audit(request: Request, response: Response, cursor: Cursor = "", limit: Limit = 50) -> Page[AuditEntry]:
    """Every change, newest first: who, what, before, after."""
    at = read_cursor(cursor, int)
    found = await opened_of(request).monitor.storage.audit.recent(limit + 1, before_id=at[0] if at else None)
    return cut(request, response, found, limit, lambda one: (one.id,))
