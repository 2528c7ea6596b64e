"""`monitor sources`: the places that are asked again and again."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, progress, run
from monitor.console import note, say, say_json, table, when
from monitor.model import Source

app = typer.Typer(no_args_is_help=True, help="Feeds and other places to fetch from.")


@app.command("list")
def list_sources(as_json: Json = False) -> None:
    """Every source: when it was last read, when it is next due, and what is wrong with it."""

    async def body(opened: Opened) -> None:
        sources = await opened.monitor.storage.sources.list()
        if as_json:
            say_json(sources=sources)
            return
        rows = [
            (
                s.slug,
                "on" if s.active else "off",
                when(s.last_success_at),
                when(s.next_poll_at),
                s.failures or "",
                s.last_error,
            )
            for s in sources
        ]
        table(["source", "", "last success", "next poll", "failures", "last error"], rows)

    run(body)


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Address of the feed.")],
    slug: Annotated[str, typer.Option(help="Short name; made from the feed's title if left out.")] = "",
    name: Annotated[str, typer.Option(help="Name on pages; the feed's title if left out.")] = "",
    pages: Annotated[bool, typer.Option(help="Fetch each article's page for its full text.")] = True,
    minutes: Annotated[int, typer.Option(min=1, help="Minutes between two polls.")] = 60,
) -> None:
    """Fetch the feed once, show what it holds, and add it."""

    async def body(opened: Opened) -> None:
        async with progress("fetching"):
            fetched, feed = await opened.monitor.ingest.look(url)
        title = name or feed.title or fetched.final_url
        source = Source(
            slug=slug or slugify(title),
            name=title,
            url=fetched.moved_to or url,
            pages=pages,
            interval=timedelta(minutes=minutes),
        )
        added = await opened.monitor.storage.sources.add(source)
        say(f"added {added.slug}: {added.name}, {len(feed.entries)} entries now")

    run(body)


@app.command()
def test(which: Annotated[str, typer.Argument(help="A source's slug, or any address.")], as_json: Json = False) -> None:
    """Fetch and parse without storing anything: what would a poll find?"""

    async def body(opened: Opened) -> None:
        url = which if "://" in which else (await opened.monitor.storage.sources.get(which)).url
        async with progress("fetching"):
            fetched, feed = await opened.monitor.ingest.look(url)
        if as_json:
            say_json(url=fetched.final_url, feed=feed)
            return
        say(f"{feed.title or '(no title)'}: {len(feed.entries)} entries from {fetched.final_url}")
        if fetched.moved_to:
            note(f"moved for good to {fetched.moved_to}")
        if feed.repaired:
            note(f"not well formed: {feed.repaired}")
        table(["published", "title", "doi"], [(when(e.published), e.title, e.doi) for e in feed.entries[:20]])

    run(body)


@app.command()
def disable(slug: str) -> None:
    """Stop polling a source; its articles stay."""
    _switch(slug, on=False)


@app.command()
def enable(slug: str) -> None:
    """Poll a source again."""
    _switch(slug, on=True)


def _switch(slug: str, *, on: bool) -> None:
    async def body(opened: Opened) -> None:
        await opened.monitor.storage.sources.set_active(slug, on)
        say(f"{slug} is {'on' if on else 'off'}")

    run(body)


def slugify(title: str) -> str:
    """A short name of letters, digits and hyphens: "Science Daily: Health" is science-daily-health."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:64] or "source"
