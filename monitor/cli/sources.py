"""`monitor sources`: the places that are asked again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, progress, run
from monitor.console import note, say, say_json, table, when
from monitor.errors import ConfigError
from monitor.model import Feed, Source, SourceKind
from monitor.parse.opml import read_opml, write_opml
from monitor.pipeline.sources import placed, reads_pages

app = typer.Typer(no_args_is_help=True, help="Feeds, saved searches and other places to fetch from.")

Kind = Annotated[SourceKind, typer.Option(help="What it is; docs/sources.md explains each.")]
Options = Annotated[list[str], typer.Option("--option", "-o", help="NAME=VALUE, as its kind needs; may be repeated.")]
Item = Annotated[str, typer.Option(help="List page: CSS selector of each article's box.")]
Link = Annotated[str, typer.Option(help="List page: its link, within the box. Empty: the first.")]
Title = Annotated[str, typer.Option(help="List page: its title, within the box. Empty: the heading, or the link.")]
Date = Annotated[str, typer.Option(help="List page: its date, within the box. Empty: <time>.")]
Summary = Annotated[str, typer.Option(help="List page: its teaser, within the box.")]


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
                s.kind,
                "on" if s.active else "off",
                s.confidence,
                _span(s.pace or s.interval),
                when(s.last_success_at),
                when(s.next_poll_at),
                s.failures or "",
                s.last_error,
            )
            for s in sources
        ]
        headers = ["source", "kind", "", "confidence", "every", "last success", "next poll", "failures", "last error"]
        table(headers, rows)

    run(body)


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Address of a feed, a site, or a page. Empty: the index's own.")] = "",
    kind: Kind = SourceKind.FEED,
    option: Options = [],  # noqa: B006 - Typer's own way to say "may be repeated"
    item: Item = "",
    link: Link = "",
    title: Title = "",
    date: Date = "",
    summary: Summary = "",
    slug: Annotated[str, typer.Option(help="Short name; made from the title if left out.")] = "",
    name: Annotated[str, typer.Option(help="Name on pages; the feed's title if left out.")] = "",
    pages: Annotated[bool | None, typer.Option(help="Fetch each article's page for its full text.")] = None,
    minutes: Annotated[int, typer.Option(min=1, help="Minutes between two polls.")] = 60,
) -> None:
    """Look at it once, show what it holds, and add it. For a site's address its feeds are found."""
    kind, options = _chosen(kind, option, item=item, link=link, title=title, date=date, summary=summary)
    draft = Source(
        slug=slug,
        name=name,
        url=url,
        kind=kind,
        options=options,
        pages=reads_pages(kind) if pages is None else pages,
        interval=timedelta(minutes=minutes),
    )

    async def body(opened: Opened) -> None:
        async with progress("looking"):
            added, feed = await opened.monitor.sources.add(draft)
        say(f"added {added.slug}: {added.name} ({added.kind}), {len(feed.entries)} entries now")

    run(body)


@app.command()
def find(url: Annotated[str, typer.Argument(help="Address of a site.")], as_json: Json = False) -> None:
    """Which feeds (or sitemaps) has this site? Each is tried; nothing is stored."""

    async def body(opened: Opened) -> None:
        async with progress("looking"):
            found = await opened.monitor.discovery.find(url)
        if as_json:
            say_json(candidates=found)
            return
        table(["kind", "entries", "title", "address"], [(c.kind, c.entries, c.title, c.url) for c in found])
        if not found:
            note("no feed and no sitemap; a list page can be read by selectors: monitor sources test URL --item …")

    run(body)


@app.command()
def test(
    which: Annotated[str, typer.Argument(help="A source's slug, or any address.")] = "",
    kind: Kind = SourceKind.FEED,
    option: Options = [],  # noqa: B006 - Typer's own way to say "may be repeated"
    item: Item = "",
    link: Link = "",
    title: Title = "",
    date: Date = "",
    summary: Summary = "",
    as_json: Json = False,
) -> None:
    """Fetch and parse without storing anything: what would a poll find?"""
    kind, options = _chosen(kind, option, item=item, link=link, title=title, date=date, summary=summary)

    async def body(opened: Opened) -> None:
        if which and "://" not in which:
            source = await opened.monitor.storage.sources.get(which)
        else:
            source = placed(Source(slug="new", name="new", url=which, kind=kind, options=options))
        async with progress("looking"):
            feed = await opened.monitor.ingest.look_at(source)
        if as_json:
            say_json(url=source.url, feed=feed)
            return
        _show(source, feed)

    run(body)


@app.command("set")
def change(
    slug: str,
    name: Annotated[str | None, typer.Option(help="Name on pages.")] = None,
    url: Annotated[str | None, typer.Option(help="New address.")] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="Minutes between two polls; learned from anew.")] = None,
    pages: Annotated[bool | None, typer.Option(help="Fetch each article's page for its full text.")] = None,
    weight: Annotated[
        float | None, typer.Option(min=0.1, max=10, help="Its articles' rank is multiplied by it.")
    ] = None,
    option: Options = [],  # noqa: B006 - Typer's own way to say "may be repeated"
) -> None:
    """Change a source. With other options it is read anew from the beginning."""

    async def body(opened: Opened) -> None:
        before = await opened.monitor.storage.sources.get(slug)
        options = {**dict(before.options), **_pairs(option)}
        after = replace(
            before,
            name=name or before.name,
            url=url or before.url,
            interval=timedelta(minutes=minutes) if minutes else before.interval,
            pages=before.pages if pages is None else pages,
            weight=before.weight if weight is None else weight,
            options=tuple((key, value) for key, value in options.items() if value),
        )
        await opened.monitor.sources.change(after)
        say(f"changed {slug}")

    run(body)


@app.command("import")
def import_opml(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An OPML file.")]) -> None:
    """Add every source of an OPML file that is not there yet."""

    async def body(opened: Opened) -> None:
        outlines = read_opml(file.read_bytes(), url=str(file))
        added = await opened.monitor.sources.take(outlines, active=True)
        say(f"{len(added)} sources added, {len(outlines) - len(added)} were known")

    run(body)


@app.command("export")
def export_opml(
    file: Annotated[Path | None, typer.Argument(help="Where to write it. Empty: standard output.")] = None,
) -> None:
    """Every source as OPML, which other readers understand."""

    async def body(opened: Opened) -> None:
        sources = await opened.monitor.storage.sources.list()
        document = write_opml(sources, title="Medical News Monitor", now=opened.monitor.now())
        if file is None:
            typer.echo(document, nl=False)
        else:
            file.write_bytes(document)
            note(f"{len(sources)} sources written to {file}")

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


def _chosen(kind: SourceKind, option: list[str], **selectors: str) -> tuple[SourceKind, tuple[tuple[str, str], ...]]:
    """Kind and options as meant: with --item it is a list page. Raises ConfigError."""
    options = _pairs(option) | {name: value for name, value in selectors.items() if value}
    kind = SourceKind.PAGE if options.get("item") and kind is SourceKind.FEED else kind
    return kind, tuple(options.items())


def _pairs(option: list[str]) -> dict[str, str]:
    pairs = [part.partition("=") for part in option]
    wrong = next((name for name, equals, _ in pairs if not equals), "")
    if wrong:
        raise ConfigError(f"--option {wrong}: write NAME=VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _show(source: Source, feed: Feed) -> None:
    say(f"{feed.title or '(no title)'}: {len(feed.entries)} entries from {source.url}")
    if feed.repaired:
        note(f"not well formed: {feed.repaired}")
    table(
        ["published", "title", "doi", "address"],
        [(when(e.published), e.title, e.doi, e.url) for e in feed.entries[:20]],
    )


def _span(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return (
        f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h" if minutes < 2880 else f"{minutes / 1440:.0f} d"
    )
