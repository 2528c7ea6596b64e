"""`monitor articles`: the archive."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, run
from monitor.console import say, say_json, table, when
from monitor.digest import to_bibtex, to_csl_json, to_ris
from monitor.errors import MonitorError, NotFound
from monitor.match import parse_query
from monitor.model import Article, Topic
from monitor.story.labels import badges

app = typer.Typer(no_args_is_help=True, help="Everything that was ever stored.")

WRITERS = {"ris": to_ris, "bibtex": to_bibtex, "csl-json": to_csl_json}
Export = Annotated[str, typer.Option(help="Print citations instead: ris, bibtex or csl-json.")]


def _export(articles: Sequence[Article], style: str) -> None:
    if style not in WRITERS:
        raise MonitorError(f"{style!r} is no citation format: write one of {', '.join(WRITERS)}")
    sys.stdout.write(WRITERS[style](articles))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="In the language of topics (docs/query-language.md).")],
    days: Annotated[int, typer.Option(min=0, help="Stored within this many days; 0 for ever.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    export: Export = "",
    as_json: Json = False,
) -> None:
    """Articles that a query matches, newest first."""

    async def body(opened: Opened) -> None:
        parsed = parse_query(query)
        since = opened.monitor.now() - timedelta(days=days) if days else None
        found = await opened.monitor.tuning.search(
            Topic(slug="search", name="search", query=str(parsed)), since=since, limit=limit
        )
        if export:
            _export(found, export)
            return
        if as_json:
            say_json(query=str(parsed), articles=found)
            return
        table(
            ["id", "published", "source", "title"], [(a.id, when(a.published), a.source_slug, a.title) for a in found]
        )

    run(body)


_SHOWN = (
    "title", "published", "authors", "byline", "journal", "doi", "pmid", "versions", "publication_types", "mesh",
    "trial_ids", "open_access_url", "provider", "category", "canonical_url", "citation", "copyright",
)  # fmt: skip


@app.command()
def show(
    which: Annotated[str, typer.Argument(help="A number from `search`, an address, or a DOI.")],
    export: Export = "",
    as_json: Json = False,
) -> None:
    """One article with all its fields, and its labels with the words that say so."""

    async def body(opened: Opened) -> None:
        articles = opened.monitor.storage.articles
        article = await (articles.get(int(which)) if which.isdecimal() else articles.find(which))
        if article is None:
            raise NotFound(f"no article is stored under {which!r}")
        if export:
            _export([article], export)
            return
        if as_json:
            say_json(article=article)
            return
        for name in _SHOWN:
            if value := getattr(article, name):
                say(f"{name:17} {', '.join(value) if isinstance(value, tuple) else value}")
        for badge in badges(article):
            say(f"{'label':17} {badge.text}: “{badge.quote}” ({badge.by})")
        say("\n" + (article.body or article.summary))

    run(body)
