"""The first page: what ran, what failed, what is due; and the log of every change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from monitor.model import DeliveryState, Role, Subscriber, SubscriberState
from monitor.web.pages import go, opened_of, user_of, view

router = APIRouter(default_response_class=Response)

WEEK = timedelta(days=7)
PER_PAGE = 200
WAITING = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.DEFERRED)
TROUBLE = (DeliveryState.FAILED, DeliveryState.IN_DOUBT, DeliveryState.HELD)


@router.get("/")
async def overview(request: Request) -> Response:
    opened = opened_of(request)
    storage, now = opened.monitor.storage, opened.monitor.now()
    sources = await storage.sources.list(active=True)
    due = sorted((one for one in sources if one.next_poll_at), key=lambda one: one.next_poll_at or now)
    topics = await storage.topics.list(active=True)
    weeks = await storage.readers.weekly_history([one.id for one in topics], now, weeks=2)
    counts = await storage.outbox.counts()
    busiest = sorted(topics, key=lambda one: (-weeks[one.id][1], one.name))
    return view(
        request,
        "overview.html",
        now=now,
        funnel=await storage.browse.funnel(now - WEEK, now),
        before=await storage.browse.funnel(now - 2 * WEEK, now - WEEK),
        notices=await storage.notices.open(),
        failing=[one for one in sources if one.failures],
        sources=sources,
        due=due[:6],
        accepted=counts[DeliveryState.ACCEPTED],
        waiting=sum(counts[state] for state in WAITING),
        trouble=sum(counts[state] for state in TROUBLE),
        silent=request.app.state.silent(),
        digests=await _next_digests(request) if user_of(request).role is Role.ADMIN else [],
        topics=[(one, *weeks[one.id]) for one in busiest[:8]],
    )


async def _next_digests(request: Request) -> list[tuple[Subscriber, datetime]]:
    storage = opened_of(request).monitor.storage
    planned = [
        (reader, subscription.next_digest_at)
        for reader, subscriptions in await storage.readers.page(state=SubscriberState.ACTIVE, limit=500)
        for subscription in subscriptions
        if subscription.active and subscription.next_digest_at
    ]
    return sorted(planned, key=lambda one: one[1])[:6]


@router.post("/notices/close")
async def close_notice(
    request: Request, subject: Annotated[str, Form(max_length=500)], code: Annotated[str, Form(max_length=100)]
) -> Response:
    """Seen: it comes back if it happens again."""
    monitor = opened_of(request).monitor
    await monitor.storage.notices.close(subject, code, monitor.now(), seen=True)
    return go("/")


@router.get("/audit")
async def audit_page(request: Request) -> Response:
    entries = await opened_of(request).monitor.storage.audit.recent(PER_PAGE)
    return view(request, "audit.html", entries=entries)
