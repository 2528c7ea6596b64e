"""`monitor bounces`: returned mail."""

from __future__ import annotations

import mailbox
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import run
from monitor.console import say

app = typer.Typer(no_args_is_help=True, help="Mail that came back.")


@app.callback()
def bounces() -> None:
    """Mail that came back."""


@app.command("import")
def import_bounces(
    file: Annotated[str, typer.Argument(help="A mail, an mbox (.mbox), or - for one mail on standard input.")],
) -> None:
    """Read returned mail, for example from the relay: `bounce: "|monitor bounces import -"`."""

    async def body(opened: Opened) -> None:
        for raw in _mails(file):
            say(await opened.monitor.bounces.take(raw))

    run(body)


def _mails(file: str) -> list[bytes]:
    if file == "-":
        return [sys.stdin.buffer.read()]
    if file.endswith(".mbox"):
        return [mail.as_bytes() for mail in mailbox.mbox(file, create=False)]
    return [Path(file).read_bytes()]
