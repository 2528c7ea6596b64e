"""Readers and what they subscribe to: invited, changed, paused, ended; one person's data out, or gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import AfterValidator, Field

from monitor import schedule
from monitor.errors import ConfigError, NotFound
from monitor.model import Cadence, EmptyRule, Subscriber, SubscriberState, Subscription
from monitor.pipeline.readers import check_address, own
from monitor.pipeline.trial import send_trial
from monitor.web.api.kit import (
    BUSY,
    CHANGING,
    Cursor,
    Limit,
    Number,
    Out,
    Page,
    Sent,
    cut,
    few,
    made,
    make_router,
    read_cursor,
    taken,
)
from monitor.web.pages import opened_of, user_of
from monitor.web.problems import wrong_field

router = make_router("readers")


def _zone(name: str) -> str:
    try:
        return str(schedule.timezone(name))
    except ConfigError as error:
        raise ValueError(str(error)) from error


Topics = Annotated[
    list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=1_000, description="Slugs.")
]
Weekday = Annotated[int, Field(ge=0, le=6, description="0 is Monday.")]
Monthday = Annotated[int, Field(ge=1, le=31)]
At = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="On the reader's clock: 07:00.")]
Zone = Annotated[str, AfterValidator(_zone), Field(max_length=64, description="Europe/Berlin")]
MaxItems = Annotated[int, Field(ge=5, le=200)]
Address = Annotated[str, Field(min_length=3, max_length=320)]


class SubscriptionIn(Sent):
    topics: Topics
    cadence: Cadence = Cadence.WEEKLY
    weekday: Weekday = 0
    monthday: Monthday = 1
    at: At = "07:00"
    timezone: Zone = "UTC"
    empty: EmptyRule = EmptyRule.SKIP
    max_items: MaxItems = 60
    near_misses: bool = False
    repeat: bool = False
    safety_at_once: bool = False


class SubscriptionChangeIn(Sent):
    """What is left out stays as it is."""

    topics: Topics | None = None
    cadence: Cadence | None = None
    weekday: Weekday | None = None
    monthday: Monthday | None = None
    at: At | None = None
    timezone: Zone | None = None
    empty: EmptyRule | None = None
    max_items: MaxItems | None = None
    near_misses: bool | None = None
    repeat: bool | None = None
    safety_at_once: bool | None = None
    paused_until: date | None = Field(
        None, description="The first local day on which digests come again; null ends a pause."
    )
    active: bool | None = Field(None, description="true takes up again what was ended.")


class ReaderIn(Sent):
    email: Address
    name: str = Field("", max_length=200)
    invite: bool = Field(True, description="They get a mail and must confirm. false: you have their consent.")
    subscription: SubscriptionIn


class ReaderChangeIn(Sent):
    name: str | None = Field(None, max_length=200)
    state: SubscriberState | None = Field(
        None, description="unsubscribed: no more mail; active: for one who is suspended. All else is the reader's own."
    )
    revoke_links: bool = Field(False, description="Every link mailed to them before is dead.")


class PersonIn(Sent):
    address: Address


class SubscriptionOut(Out):
    id: int
    topics: list[str]
    cadence: Cadence
    weekday: int
    monthday: int
    at: At
    timezone: str
    empty: EmptyRule
    max_items: int
    near_misses: bool
    repeat: bool
    safety_at_once: bool
    active: bool
    paused_until: date | None
    next_digest_at: datetime | None


class ReaderOut(Out):
    id: int
    email: str
    name: str
    state: SubscriberState
    state_reason: str
    created_at: datetime | None
    subscriptions: list[SubscriptionOut]


class SubscriptionsOut(Out):
    items: list[SubscriptionOut]


class PreviewOut(Out):
    subject: str
    html: str
    articles: list[int] = Field(description="Numbers of the listed articles, in order.")


class TrialOut(Out):
    sent_to: str
    subject: str


class PersonOut(Out):
    person: dict[str, Any]


# --- between --------------------------------------------------------------------------------------------------


async def _slugs(request: Request) -> dict[int, str]:
    return {one.id: one.slug for one in await opened_of(request).monitor.storage.topics.list()}


async def _topics(request: Request, wanted: list[str]) -> tuple[int, ...]:
    """Their numbers. Raises 422 that names the one that is not there, or is off."""
    known = {one.slug: one.id for one in await opened_of(request).monitor.storage.topics.list(active=True)}
    if unknown := [slug for slug in wanted if slug not in known]:
        raise wrong_field("body", "topics", f"no active topic {unknown[0]!r}")
    return tuple(known[slug] for slug in dict.fromkeys(wanted))


def _subscription(one: Subscription, slugs: dict[int, str]) -> SubscriptionOut:
    values = {name: getattr(one, name) for name in SubscriptionOut.model_fields if name not in {"topics", "at"}}
    return SubscriptionOut(**values, at=f"{one.at:%H:%M}", topics=[slugs.get(number, "?") for number in one.topic_ids])


async def _reader(request: Request, one: Subscriber) -> ReaderOut:
    subscriptions = await opened_of(request).monitor.storage.readers.subscriptions(one.id)
    return _told(one, subscriptions, await _slugs(request))


def _told(one: Subscriber, subscriptions: list[Subscription], slugs: dict[int, str]) -> ReaderOut:
    values = {name: getattr(one, name) for name in ReaderOut.model_fields if name != "subscriptions"}
    return ReaderOut(**values, subscriptions=[_subscription(each, slugs) for each in subscriptions])


async def _wanted(request: Request, sent: SubscriptionIn) -> Subscription:
    values = sent.model_dump(exclude={"topics", "at"})
    topic_ids = await _topics(request, sent.topics)
    return Subscription(subscriber_id=0, topic_ids=topic_ids, at=time.fromisoformat(sent.at), **values)


async def _of(request: Request, number: int, subscription: int) -> tuple[Subscriber, Subscription]:
    readers = opened_of(request).monitor.storage.readers
    reader = await readers.get_by_id(number)
    return reader, own(subscription, await readers.subscriptions(number))


# --- readers --------------------------------------------------------------------------------------------------


@router.get("/readers", response_model=Page[ReaderOut])
async def readers(
    request: Request, response: Response, state: SubscriberState | None = None, cursor: Cursor = "", limit: Limit = 50
) -> Page[ReaderOut]:
    """By address, each with what they subscribe to."""
    at = read_cursor(cursor, str)
    found = await opened_of(request).monitor.storage.readers.page(at[0] if at else "", state, limit + 1)
    slugs = await _slugs(request)
    rows = [_told(one, subscriptions, slugs) for one, subscriptions in found]
    return cut(request, response, rows, limit, lambda one: (one.email,))


@router.post("/readers", response_model=ReaderOut, status_code=201, responses=CHANGING)
async def add_reader(request: Request, response: Response, sent: ReaderIn) -> ReaderOut:
    """Invite a reader, or add one. 409 with their address here where there is one."""
    monitor = opened_of(request).monitor
    email = check_address(sent.email)
    try:
        known = await monitor.storage.readers.get(email)
    except NotFound:
        state = SubscriberState.INVITED if sent.invite else SubscriberState.ACTIVE
        wanted = await _wanted(request, sent.subscription)
        reader, _ = await monitor.readers.add(Subscriber(email=email, name=sent.name.strip(), state=state), wanted)
        made(response, f"/readers/{reader.id}")
        return await _reader(request, reader)
    raise taken(f"{email} is a reader already", f"/readers/{known.id}")


@router.get("/readers/{number}", response_model=ReaderOut)
async def reader(request: Request, number: Number) -> ReaderOut:
    return await _reader(request, await opened_of(request).monitor.storage.readers.get_by_id(number))


@router.patch("/readers/{number}", response_model=ReaderOut, responses=CHANGING)
async def change_reader(request: Request, number: Number, sent: ReaderChangeIn) -> ReaderOut:
    monitor = opened_of(request).monitor
    found = await monitor.storage.readers.get_by_id(number)
    if sent.name is not None and sent.name.strip() != found.name:
        found = await monitor.storage.readers.update(replace(found, name=sent.name.strip()))
    if sent.state is not None:
        found = await monitor.readers.put_state(found, sent.state)
    if sent.revoke_links:
        found = await monitor.readers.revoke_links(found)
    return await _reader(request, found)


# --- subscriptions --------------------------------------------------------------------------------------------


@router.get("/readers/{number}/subscriptions", response_model=SubscriptionsOut)
async def subscriptions(request: Request, number: Number) -> SubscriptionsOut:
    found = await opened_of(request).monitor.storage.readers.get_by_id(number)
    return SubscriptionsOut(items=(await _reader(request, found)).subscriptions)


@router.post("/readers/{number}/subscriptions", response_model=SubscriptionOut, status_code=201, responses=CHANGING)
async def add_subscription(
    request: Request, response: Response, number: Number, sent: SubscriptionIn
) -> SubscriptionOut:
    """One more for this reader. 409 with its address where there is the same already."""
    monitor = opened_of(request).monitor
    found = await monitor.storage.readers.get_by_id(number)
    wanted = await _wanted(request, sent)
    if twin := await monitor.readers.twin(found, wanted):
        raise taken("there is the same subscription already", f"/readers/{number}/subscriptions/{twin.id}")
    _, added = await monitor.readers.add(found, wanted)
    made(response, f"/readers/{number}/subscriptions/{added.id}")
    return _subscription(added, await _slugs(request))


@router.get("/readers/{number}/subscriptions/{subscription}", response_model=SubscriptionOut)
async def subscription(request: Request, number: Number, subscription: Number) -> SubscriptionOut:
    _, found = await _of(request, number, subscription)
    return _subscription(found, await _slugs(request))


@router.patch("/readers/{number}/subscriptions/{subscription}", response_model=SubscriptionOut, responses=CHANGING)
async def change_subscription(
    request: Request, number: Number, subscription: Number, sent: SubscriptionChangeIn
) -> SubscriptionOut:
    """Change what is named; its next digest moves with it."""
    _, before = await _of(request, number, subscription)
    named = sent.model_dump(exclude_unset=True, exclude={"topics", "at"})
    values = {name: value for name, value in named.items() if value is not None or name == "paused_until"}
    if sent.at is not None:
        values["at"] = time.fromisoformat(sent.at)
    changed = replace(before, **values)
    if sent.topics is not None:
        changed = replace(changed, topic_ids=await _topics(request, sent.topics))
    stored = await opened_of(request).monitor.readers.change(changed)
    return _subscription(stored, await _slugs(request))


@router.delete("/readers/{number}/subscriptions/{subscription}", status_code=204, response_class=Response)
async def end_subscription(request: Request, number: Number, subscription: Number) -> Response:
    """No more of it. With the last one the reader is unsubscribed."""
    found, one = await _of(request, number, subscription)
    await opened_of(request).monitor.readers.unsubscribe(found, one.id, via="admin")
    return Response(status_code=204)


@router.post(
    "/readers/{number}/subscriptions/{subscription}/preview", response_model=PreviewOut, responses={**CHANGING, **BUSY},
    dependencies=[few],
)  # fmt: skip
async def preview(request: Request, number: Number, subscription: Number) -> PreviewOut:
    """The digest as it would go out now. Nothing is sent, nothing recorded."""
    found, one = await _of(request, number, subscription)
    digest, message = await opened_of(request).monitor.publisher.preview(found, one)
    return PreviewOut(subject=message.subject, html=message.html, articles=[item.article.id for item in digest.items])


@router.post(
    "/readers/{number}/subscriptions/{subscription}/test", response_model=TrialOut, responses={**CHANGING, **BUSY},
    dependencies=[few],
)  # fmt: skip
async def test(request: Request, number: Number, subscription: Number) -> TrialOut:
    """Send what this reader would get now to you, marked [TEST]. Asked twice, it comes twice."""
    monitor = opened_of(request).monitor
    found, one = await _of(request, number, subscription)
    sent = await send_trial(monitor.publisher, monitor.sender, found, one, user_of(request))
    return TrialOut(sent_to=user_of(request).email, subject=sent.subject)


# --- one person's data ----------------------------------------------------------------------------------------


@router.post("/people/export", response_model=PersonOut, responses=CHANGING)
async def export(request: Request, sent: PersonIn) -> PersonOut:
    """Everything that is stored about a person, as a reader, a user, or both. By POST: addresses stand in no log."""
    return PersonOut(person=await opened_of(request).monitor.storage.people.export(sent.address))


@router.post("/people/erase", status_code=204, response_class=Response, responses=CHANGING)
async def erase(request: Request, sent: PersonIn) -> Response:
    """Delete a person with all that was sent to them and said by them. A hash of the address stays: it is not mailed
    again. Asked twice, the second is 404.
    """
    monitor = opened_of(request).monitor
    await monitor.storage.people.erase(sent.address, monitor.now())
    return Response(status_code=204)
