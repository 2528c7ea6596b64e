"""`monitor retractions`: notices about papers, and the Retraction Watch list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, progress, run
from monitor.console import note, say, say_json, table, when

app = typer.Typer(no_args_is_help=True, help="Retractions, expressions of concern and corrections (docs/stories.md).")


@app.command("import")
def import_list(
    file: Annotated[Path, typer.Argument(help="The Retraction Watch CSV.", exists=True, dir_okay=False)],
) -> None:
    """Take in a Retraction Watch CSV; what is known already stays."""

    async def body(opened: Opened) -> None:
        if opened.monitor.safety is None:
            note("nothing watches retractions here")
            return
        async with progress("reading"):
            new = await opened.monitor.safety.import_list(file)
        say(f"{new:,} new notices, {await opened.monitor.storage.corrections.count():,} in all")

    run(body)


@app.command("list")
def list_notices(limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50, as_json: Json = False) -> None:
    """Notices about papers that are in the archive, newest first."""

    async def body(opened: Opened) -> None:
        found = await opened.monitor.storage.corrections.list(limit)
        if as_json:
            say_json(notices=found)
            return
        table(
            ["noticed", "kind", "paper", "told by", "title"],
            [(when(n.noticed_at), n.kind, n.doi or f"PMID {n.pmid}", n.source, n.title) for n in found],
        )

    run(body)
