"""`monitor stories`: which articles are about one study, and putting that right by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, run
from monitor.console import say, say_json, table, when
from monitor.errors import NotFound

app = typer.Typer(no_args_is_help=True, help="One study, one card: what was merged, and why (docs/stories.md).")

WHY = {
    "first": "first of its story",
    "name": "same address, DOI or PMID",
    "title": "same title within a week",
    "text": "same text",
    "cited": "names the paper and its journal or authors",
    "split": "split off by an admin",
    "merged": "merged by an admin",
}


@app.command("list")
def list_stories(limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50, as_json: Json = False) -> None:
    """Stories of several articles, the one that grew last first."""

    async def body(opened: Opened) -> None:
        storage = opened.monitor.storage
        await opened.monitor.tell_stories()
        found = await storage.stories.recent(limit)
        firsts = {article.id: article.title for article in await storage.articles.get_many([n for n, _, _ in found])}
        if as_json:
            say_json(stories=[{"story": n, "articles": count, "grew_at": at} for n, count, at in found])
            return
        table(["story", "articles", "grew", "first title"], [(n, c, when(at), firsts.get(n, "")) for n, c, at in found])

    run(body)


@app.command()
def show(
    which: Annotated[str, typer.Argument(help="A story's or an article's number, an address, or a DOI.")],
    as_json: Json = False,
) -> None:
    """All articles of a story, and why each is in it."""

    async def body(opened: Opened) -> None:
        storage = opened.monitor.storage
        await opened.monitor.tell_stories()
        article = await storage.articles.find(which)
        if article is None:
            raise NotFound(f"no article is stored under {which!r}")
        story = await storage.stories.of(article.id)
        members = await storage.stories.members(story)
        if as_json:
            say_json(story=story, members=members)
            return
        say(f"story {story}")
        table(
            ["article", "stored", "source", "why", "title"],
            [
                (
                    one.article.id,
                    when(one.article.stored_at),
                    one.source_name,
                    WHY.get(one.step, one.step) + (f" ({one.share:.0%})" if one.step == "text" else ""),
                    one.article.title,
                )
                for one in members
            ],
        )

    run(body)


@app.command()
def split(article: Annotated[int, typer.Argument(help="The article that is about something else.")]) -> None:
    """Take an article out of its story, for good: it never joins those articles again."""

    async def body(opened: Opened) -> None:
        monitor = opened.monitor
        await monitor.tell_stories()
        story = await monitor.split_story(article)
        say(f"article {article} is in story {story} now, and stays apart from what it was with")

    run(body)


@app.command()
def merge(
    story: Annotated[int, typer.Argument(help="A story's number.")],
    other: Annotated[int, typer.Argument(help="The number of the one that is about the same study.")],
) -> None:
    """Make one story of two."""

    async def body(opened: Opened) -> None:
        monitor = opened.monitor
        kept = await monitor.merge_stories(story, other)
        say(f"both are story {kept} now")

    run(body)
