"""`monitor subscribers`: who reads, what, and when."""

from __future__ import annotations

from datetime import time
from typing import Annotated

import typer

from monitor import schedule
from monitor.app import Opened
from monitor.cli.context import Json, run
from monitor.console import say, say_json, table, when
from monitor.errors import MonitorError
from monitor.model import Cadence, EmptyRule, Subscriber, SubscriberState, Subscription

app = typer.Typer(no_args_is_help=True, help="Readers and their subscriptions.")

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@app.command()
def add(
    email: str,
    topics: Annotated[str, typer.Option("--topics", help="Slugs with commas between; `all` for every topic.")],
    name: Annotated[str, typer.Option(help="How the reader is addressed.")] = "",
    cadence: Annotated[Cadence, typer.Option(help="How often.")] = Cadence.WEEKLY,
    weekday: Annotated[str, typer.Option(help="Day of a weekly digest.")] = "monday",
    at: Annotated[str, typer.Option(help="Hour and minute on the reader's clock.")] = "07:00",
    timezone: Annotated[str, typer.Option(help="The reader's time zone, e.g. Europe/Berlin.")] = "UTC",
    empty: Annotated[EmptyRule, typer.Option(help="What to do in a period without news.")] = EmptyRule.SKIP,
    safety_at_once: Annotated[bool, typer.Option(help="Retractions of what was sent come at once.")] = False,
    invite: Annotated[bool, typer.Option(help="Ask for confirmation by mail first.")] = False,
) -> None:
    """Add a reader with one subscription, or one more subscription to a reader who is there."""

    async def body(opened: Opened) -> None:
        storage, now = opened.monitor.storage, opened.monitor.now()
        chosen = await storage.topics.list(active=True)
        if topics != "all":
            chosen = [await storage.topics.get(slug.strip()) for slug in topics.split(",") if slug.strip()]
        wanted = Subscription(
            subscriber_id=0,
            topic_ids=tuple(topic.id for topic in chosen),
            cadence=cadence,
            weekday=_weekday(weekday),
            at=_time(at),
            timezone=str(schedule.timezone(timezone)),
            empty=empty,
            safety_at_once=safety_at_once,
        )
        state = SubscriberState.INVITED if invite else SubscriberState.ACTIVE
        subscriber, subscription = await opened.monitor.readers.add(
            Subscriber(email=email, name=name, state=state, created_at=now), wanted
        )
        say(
            f"{subscriber.email}: {cadence.value} on {len(chosen)} topics,"
            f" next digest {when(subscription.next_digest_at)} UTC"
        )

    run(body)


@app.command("list")
def list_subscribers(as_json: Json = False) -> None:
    """Every reader with their subscriptions."""

    async def body(opened: Opened) -> None:
        storage = opened.monitor.storage
        slugs = {topic.id: topic.slug for topic in await storage.topics.list()}
        rows = []
        for subscriber in await storage.readers.list():
            for subscription in await storage.readers.subscriptions(subscriber.id):
                rows.append((subscriber, subscription))
        if as_json:
            say_json(subscriptions=[{"subscriber": who, "subscription": what} for who, what in rows])
            return
        table(
            ["subscription", "reader", "state", "cadence", "next digest (UTC)", "topics"],
            [
                (
                    what.id,
                    who.email,
                    who.state,
                    what.cadence,
                    when(what.next_digest_at),
                    ", ".join(slugs.get(t, "?") for t in what.topic_ids),
                )
                for who, what in rows
            ],
        )

    run(body)


def _weekday(text: str) -> int:
    matches = [number for number, day in enumerate(WEEKDAYS) if day.startswith(text.strip().lower()) and text.strip()]
    if len(matches) != 1:
        raise MonitorError(f"{text!r} is not a weekday: write one of {', '.join(WEEKDAYS)}")
    return matches[0]


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise MonitorError(f"{text!r} is not a time of day: write it like 07:30") from error
