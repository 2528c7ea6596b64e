"""`monitor topics examples`: texts that a topic must match, or must not."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, run
from monitor.cli.tuning import Note, article_of
from monitor.console import note, say, say_json, table

app = typer.Typer(no_args_is_help=True, help="Texts that a topic must match, or must not.")


@app.command("list")
def list_examples(slug: str, as_json: Json = False) -> None:
    """A topic's examples, and whether they hold now."""

    async def body(opened: Opened) -> None:
        topic = await opened.monitor.storage.topics.get(slug)
        found = await opened.monitor.storage.topics.examples(topic.id)
        if as_json:
            say_json(examples=found)
            return
        rows = [(e.id, "must match" if e.must_match else "must not match", e.title, e.note) for e in found]
        table(["id", "", "title", "note"], rows)

    run(body)


@app.command("add")
def add_example(
    slug: str,
    which: Annotated[str, typer.Argument(help="A file, an address, a number from `articles search`, or a DOI.")],
    must_match: Annotated[bool, typer.Option("--match/--no-match", help="Must the topic match it, or must it not?")],
    message: Note = "",
) -> None:
    """Keep an article's text as an example that every later revision is checked against."""

    async def body(opened: Opened) -> None:
        topic = await opened.monitor.storage.topics.get(slug)
        article = await article_of(opened, which)
        added = await opened.monitor.tuning.add_example(topic, article, must_match=must_match, note=message)
        if bool(await opened.monitor.tuning.match(slug, article)) is not must_match:
            note("the topic as it is does not do that yet: saving the next revision will be refused until it does")
        say(f"added example {added.id}")

    run(body)


@app.command("remove")
def remove_example(number: Annotated[int, typer.Argument(help="As `list` numbers it.")]) -> None:
    """Forget an example."""

    async def body(opened: Opened) -> int:
        removed = await opened.monitor.storage.topics.remove_example(number)
        say(f"removed example {number}" if removed else f"there is no example {number}")
        return 0 if removed else 1

    raise typer.Exit(run(body))
