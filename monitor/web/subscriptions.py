"""An admin changes what a reader subscribes to."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from monitor.errors import MonitorError, NotFound
from monitor.model import Subscription
from monitor.pipeline.readers import own
from monitor.web.pages import go, opened_of
from monitor.web.people import show_reader
from monitor.web.wishes import MAX_FIELDS, Wishes

router = APIRouter(prefix="/readers", default_response_class=Response)


@router.post("/{number}/subscriptions")
async def add(request: Request, number: int) -> Response:
    """One more for this reader."""
    monitor = opened_of(request).monitor
    reader = await monitor.storage.readers.get_by_id(number)
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    blank = Subscription(subscriber_id=number, topic_ids=())
    wishes = Wishes.sent(form, blank)
    try:
        wanted = wishes.subscription(blank, await monitor.storage.topics.list(active=True))
        if await monitor.readers.twin(reader, wanted):
            raise MonitorError("there is the same subscription already")
        await monitor.readers.add(reader, wanted)
    except MonitorError as error:
        return await show_reader(request, number, status=422, error=str(error), wishes={0: wishes})
    return go(f"/readers/{number}?done=added")


@router.post("/{number}/subscriptions/{subscription}")
async def change(request: Request, number: int, subscription: int) -> Response:
    """Its next digest moves with it."""
    monitor = opened_of(request).monitor
    before = own(subscription, await monitor.storage.readers.subscriptions(number))
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    wishes = Wishes.sent(form, before)
    try:
        topics = await monitor.storage.topics.list(active=True)
        await monitor.readers.change(wishes.subscription(before, topics))
    except MonitorError as error:
        return await show_reader(request, number, status=422, error=str(error), wishes={subscription: wishes})
    return go(f"/readers/{number}?done=saved")


@router.post("/{number}/subscriptions/{subscription}/{action}")
async def switch(request: Request, number: int, subscription: int, action: str) -> Response:
    """end or resume. With the last one ended, the reader is unsubscribed."""
    monitor = opened_of(request).monitor
    reader = await monitor.storage.readers.get_by_id(number)
    one = own(subscription, await monitor.storage.readers.subscriptions(number))
    if action == "end":
        await monitor.readers.unsubscribe(reader, one.id, via="admin")
    elif action == "resume":
        await monitor.readers.change(replace(one, active=True))
    else:
        raise NotFound("a subscription can be ended and resumed")
    return go(f"/readers/{number}?done=saved")
