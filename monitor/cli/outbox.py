"""`monitor outbox`: every message and its state."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, run
from monitor.console import say, say_json, table, when
from monitor.model import DeliveryState

app = typer.Typer(no_args_is_help=True, help="Messages on their way.")


@app.command("list")
def list_deliveries(
    state: Annotated[list[DeliveryState] | None, typer.Option(help="Only these states.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: Json = False,
) -> None:
    """The newest messages: to whom, for which period, in what state, and why."""

    async def body(opened: Opened) -> None:
        found = await opened.monitor.storage.outbox.list(states=tuple(state or ()), limit=limit)
        if as_json:
            keys = ("id", "period_key", "state", "attempts", "not_before", "last_error", "queued_at", "settled_at")
            say_json(
                deliveries=[
                    {
                        **{key: getattr(d, key) for key in keys},
                        "recipient": d.message.recipient,
                        "message_id": d.message.message_id,
                    }
                    for d in found
                ]
            )
            return
        rows = [
            (
                d.id,
                d.message.recipient,
                d.period_key,
                d.state,
                d.attempts,
                when(d.settled_at or d.not_before or d.queued_at),
                d.last_error,
            )
            for d in found
        ]
        table(["id", "reader", "period", "state", "tries", "at", "reason"], rows)

    run(body)


@app.command()
def retry(delivery: int) -> None:
    """Send a failed, deferred or doubtful message once more, under its old Message-ID."""

    async def body(opened: Opened) -> None:
        await opened.monitor.storage.outbox.retry(delivery, opened.monitor.now())
        say(f"{delivery} is queued again")

    run(body)


@app.command()
def release(
    delivery: Annotated[int | None, typer.Argument(help="One message; without it all that are held.")] = None,
) -> None:
    """Let messages go that wait for an admin (after a restore, or in doubt)."""

    async def body(opened: Opened) -> None:
        released = await opened.monitor.storage.outbox.release(opened.monitor.now(), [delivery] if delivery else [])
        say(f"{released} released")

    run(body)


@app.command()
def cancel(delivery: int) -> None:
    """Never send a message; its articles may come in a later digest."""

    async def body(opened: Opened) -> None:
        await opened.monitor.storage.outbox.cancel(delivery, opened.monitor.now())
        say(f"{delivery} is cancelled")

    run(body)
