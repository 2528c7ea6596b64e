"""Readers and their mail: who gets what, what was sent, what came back, and what may be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from monitor.errors import MonitorError, NotFound
from monitor.model import DeliveryState, Subscriber, SubscriberState, Subscription
from monitor.pipeline.readers import own
from monitor.pipeline.trial import send_trial
from monitor.web.pages import go, opened_of, user_of, view
from monitor.web.wishes import MAX_FIELDS, WEEKDAYS, Wishes

router = APIRouter(default_response_class=Response)

PER_PAGE = 100
BLANK = Subscription(subscriber_id=0, topic_ids=())
# what mail needs are styles on its cells; scripts stay forbidden, and the sandbox has no origin
MAIL_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; frame-ancestors 'self'; "
    "sandbox allow-popups allow-top-navigation-by-user-activation"
)


# --- readers --------------------------------------------------------------------------------------------------


@router.get("/readers")
async def readers_page(request: Request) -> Response:
    return await _readers(request)


async def _readers(
    request: Request, *, status: int = 200, error: str = "", said: dict[str, str] | None = None,
    wishes: Wishes | None = None,
) -> Response:  # fmt: skip
    storage = opened_of(request).monitor.storage
    after = request.query_params.get("after", "")[:320]
    rows = await storage.readers.page(after, limit=PER_PAGE + 1)
    topics = await storage.topics.list()
    return view(
        request,
        "readers.html",
        status=status,
        rows=rows[:PER_PAGE],
        following=rows[PER_PAGE - 1][0].email if len(rows) > PER_PAGE else "",
        after=after,
        topics=[one for one in topics if one.active],
        names={one.id: one.name for one in topics},
        weekdays=WEEKDAYS,
        error=error,
        said=said or {"email": "", "name": "", "invite": "yes"},
        wishes=wishes or Wishes.of(BLANK),
        bounced=await storage.browse.bounced(),
    )


@router.post("/readers")
async def add_reader(request: Request) -> Response:
    """Add a reader, or invite one: who is invited gets a mail and must confirm."""
    monitor = opened_of(request).monitor
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    said = {name: str(form.get(name, ""))[:320] for name in ("email", "name", "invite")}
    state = SubscriberState.INVITED if said["invite"] == "yes" else SubscriberState.ACTIVE
    wishes = Wishes.sent(form, BLANK)
    try:
        wanted = wishes.subscription(BLANK, await monitor.storage.topics.list(active=True))
        reader, _ = await monitor.readers.add(
            Subscriber(email=said["email"], name=said["name"].strip()[:200], state=state), wanted
        )
    except MonitorError as error:
        return await _readers(request, status=422, error=str(error), said=said, wishes=wishes)
    return go(f"/readers/{reader.id}?done={'invited' if state is SubscriberState.INVITED else 'added'}")


@router.get("/readers/{number}")
async def reader_page(request: Request, number: int) -> Response:
    return await show_reader(request, number)


async def show_reader(
    request: Request, number: int, *, status: int = 200, error: str = "", wishes: Mapping[int, Wishes] | None = None
) -> Response:
    """`wishes`: what was sent for a subscription (0: a new one) and could not be stored."""
    storage = opened_of(request).monitor.storage
    reader = await storage.readers.get_by_id(number)
    subscriptions = await storage.readers.subscriptions(number)
    topics = await storage.topics.list(active=True)
    refused = wishes or {}
    return view(
        request,
        "reader.html",
        status=status,
        reader=reader,
        subscriptions=[(one, refused.get(one.id) or Wishes.of(one, topics)) for one in subscriptions],
        refused=set(refused),
        blank=refused.get(0) or Wishes.of(BLANK),
        topics=topics,
        names=await opened_of(request).monitor.readers.topics_of(subscriptions),
        weekdays=WEEKDAYS,
        error=error,
        deliveries=[one.delivery for one in await storage.outbox.digests(number, limit=50)],
        bounces=[one for one in await storage.outbox.bounces(number) if one[2]],
    )


@router.post("/readers/{number}/state")
async def change_state(request: Request, number: int, to: Annotated[str, Form(max_length=20)]) -> Response:
    """Let a reader who bounced have mail again, or end it all for one who asks by phone."""
    monitor = opened_of(request).monitor
    before = await monitor.storage.readers.get_by_id(number)
    if to == "revoked":
        await monitor.readers.revoke_links(before)
    else:
        await monitor.readers.put_state(before, to)
    return go(f"/readers/{number}?done=saved")


@router.post("/readers/{number}/test")
async def send_test(request: Request, number: int, subscription: Annotated[int, Form()]) -> Response:
    """Send what this reader would get now to whoever asks, marked [TEST]. Nothing is recorded; its links are dead."""
    monitor, user = opened_of(request).monitor, user_of(request)
    reader = await monitor.storage.readers.get_by_id(number)
    wanted = own(subscription, await monitor.storage.readers.subscriptions(number))
    await send_trial(monitor.publisher, monitor.sender, reader, wanted, user)
    return go(f"/readers/{number}?done=sent")


@router.post("/readers/{number}/preview/{subscription}")
async def preview(request: Request, number: int, subscription: int) -> Response:
    """The digest as it would go out now. No GET: composing brings stories up to date, and a GET changes nothing."""
    monitor = opened_of(request).monitor
    reader = await monitor.storage.readers.get_by_id(number)
    wanted = own(subscription, await monitor.storage.readers.subscriptions(number))
    _, message = await monitor.publisher.preview(reader, wanted)
    return Response(message.html, media_type="text/html", headers={"Content-Security-Policy": MAIL_CSP})


# --- outbox ---------------------------------------------------------------------------------------------------


@router.get("/outbox")
async def outbox_page(request: Request, state: str = "") -> Response:
    outbox = opened_of(request).monitor.storage.outbox
    states = (DeliveryState(state),) if state in set(DeliveryState) else ()
    return view(
        request,
        "outbox.html",
        deliveries=await outbox.list(states, PER_PAGE),
        counts=await outbox.counts(),
        held=await outbox.held_because(),
        state=state if states else "",
    )


@router.post("/outbox/release")
async def release_all(request: Request) -> Response:
    monitor = opened_of(request).monitor
    await monitor.storage.outbox.release(monitor.now())
    return go("/outbox?done=released")


@router.get("/outbox/{number}")
async def delivery_page(request: Request, number: int) -> Response:
    storage = opened_of(request).monitor.storage
    sent = await storage.outbox.digest(number)
    return view(
        request, "delivery.html", delivery=sent.delivery, articles=await storage.articles.get_many(sent.article_ids),
        size=len(sent.delivery.message.data), names=await storage.browse.source_names(),
    )  # fmt: skip


@router.get("/outbox/{number}/view")
async def delivery_view(request: Request, number: int) -> Response:
    """Exactly what was mailed, as its reader sees it."""
    delivery = await opened_of(request).monitor.storage.outbox.get(number)
    if not delivery.message.html:
        raise NotFound("this message has no web view")
    return Response(delivery.message.html, media_type="text/html", headers={"Content-Security-Policy": MAIL_CSP})


@router.post("/outbox/{number}/{action}")
async def act(request: Request, number: int, action: str) -> Response:
    """retry, release or cancel."""
    monitor = opened_of(request).monitor
    outbox, now = monitor.storage.outbox, monitor.now()
    if action == "retry":
        await outbox.retry(number, now)
    elif action == "release":
        await outbox.release(now, [number])
    elif action == "cancel":
        await outbox.cancel(number, now)
    else:
        raise NotFound(f"there is no {action[:40]!r}")
    done = {"retry": "retried", "release": "released", "cancel": "cancelled"}[action]
    return go(f"/outbox/{number}?done={done}")
