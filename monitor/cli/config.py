"""`monitor config`: what is set, and is it right?"""

from __future__ import annotations

import typer

from monitor import app as composition
from monitor.cli import context
from monitor.cli.context import Json
from monitor.console import say, say_json

app = typer.Typer(no_args_is_help=True, help="Settings.")


@app.command()
def check() -> None:
    """Read file and environment; exit 4 with the reason when something is wrong, also in the first-run topics."""
    settings = composition.settings(context.config_file)
    sources, topics = composition.first_run(settings)
    say(f"settings are right; {len(sources)} sources and {len(topics)} topics for a first run")


@app.command()
def show(as_json: Json = False) -> None:
    """Every setting in force, secrets as "(set)"."""
    shown = composition.settings(context.config_file).redacted()
    if as_json:
        say_json(settings=shown)
        return
    for key, value in shown.items():
        if not isinstance(value, dict):
            say(f"{key} = {value!r}")
    for section, values in shown.items():
        if isinstance(values, dict):
            say(f"\n[{section}]")
            for key, value in values.items():
                say(f"{key} = {value!r}")
