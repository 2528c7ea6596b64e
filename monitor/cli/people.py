"""`monitor people`: one person's data, out or gone."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import run
from monitor.console import note, say, say_json

app = typer.Typer(no_args_is_help=True, help="One person's data, as a reader, a user, or both.")


@app.command()
def export(address: str) -> None:
    """Everything that is stored about a person, as one JSON object."""

    async def body(opened: Opened) -> None:
        say_json(person=await opened.monitor.storage.people.export(address))

    run(body)


@app.command()
def erase(address: str, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a person with all that was sent to them and said by them. A hash of the address stays: it is not mailed
    again, whoever signs it up.
    """
    if not yes:
        typer.confirm(f"Erase {address}, for good?", abort=True)

    async def body(opened: Opened) -> None:
        await opened.monitor.storage.people.erase(address, opened.monitor.now())
        say("erased")
        note("backups of before, and mail in a Maildir, hold the person still: erase again after a restore")

    run(body)
