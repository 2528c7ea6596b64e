"""`monitor digest`: what would go out, and sending it now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, run
from monitor.console import note, say, say_json, table
from monitor.errors import NotFound
from monitor.model import Digest, Subscriber, Subscription

app = typer.Typer(no_args_is_help=True, help="Digests: look at one before it goes, or send it now.")

Which = Annotated[str, typer.Argument(help="A subscription's number, or a reader's address for their first one.")]


@app.command()
def preview(
    which: Which,
    html: Annotated[Path | None, typer.Option(help="Write the HTML part here.")] = None,
    eml: Annotated[Path | None, typer.Option(help="Write the whole message here.")] = None,
    as_json: Json = False,
) -> None:
    """The digest as it would go out now. Nothing is stored or sent."""

    async def body(opened: Opened) -> None:
        subscriber, subscription = await _find(opened, which)
        digest, message = await opened.monitor.publisher.preview(subscriber, subscription)
        if html:
            html.write_text(message.html, encoding="utf-8")
        if eml:
            eml.write_bytes(message.data)
        if as_json:
            say_json(subject=message.subject, digest=digest)
        else:
            _show(digest, message.subject)

    run(body)


@app.command()
def send(
    which: Which,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be sent.")] = False,
) -> None:
    """Send what is new now, before its day. What is sent does not come again in the planned digest."""

    async def body(opened: Opened) -> None:
        monitor = opened.monitor
        subscriber, subscription = await _find(opened, which)
        if dry_run:
            digest, message = await monitor.publisher.preview(subscriber, subscription)
            _show(digest, message.subject)
            return
        delivery = await monitor.publisher.send_now(subscriber, subscription)
        if delivery is None:
            note("nothing is new, or another process sends it just now")
            raise typer.Exit(1)
        await monitor.send_due()
        settled = await monitor.storage.outbox.get(delivery.id)
        say(f"{settled.state}: {settled.message.subject} to {settled.message.recipient}")
        if settled.last_error:
            note(settled.last_error)

    run(body)


async def _find(opened: Opened, which: str) -> tuple[Subscriber, Subscription]:
    readers = opened.monitor.storage.readers
    if which.isdecimal():
        subscription = await readers.subscription(int(which))
        return await readers.get_by_id(subscription.subscriber_id), subscription
    subscriber = await readers.get(which)
    subscriptions = await readers.subscriptions(subscriber.id)
    if not subscriptions:
        raise NotFound(f"{which} has no subscription; see `monitor subscribers add`")
    return subscriber, subscriptions[0]


def _show(digest: Digest, subject: str) -> None:
    say(subject)
    for section in digest.sections:
        say(f"\n{section.topic.name}: {len(section.items)} of {section.total}")
        table(
            ["", "title", "source", "why"],
            [(i.number, i.article.title, i.source_name, "; ".join(i.reasons)) for i in section.items],
        )
    covered = digest.coverage
    say(
        f"\nchecked {covered.sources_checked} sources; {covered.articles_seen} articles seen, "
        f"{covered.articles_matched} matched"
    )
    for missing in covered.unchecked:
        say(f"not checked: {missing.name} ({missing.reason})")
