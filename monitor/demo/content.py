"""The sample articles: who wrote what, when it comes out, and how its page misbehaves.

All studies, people and institutions in `articles/*.toml` are invented, but for the facts of one real paper of 2014.
Times in the files count from the newsroom's start, so that the news is always fresh.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from importlib import resources
from typing import Any, Literal

_ITALIC = re.compile(r"\*([^*\n]{1,80})\*")
_TAG = re.compile(r"\[([^\]\n]{1,60})\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleArticle:
    """`appears_at` is when its site begins to list it, `published` the date it bears (the same, but for old news).

    `body` holds blocks: paragraphs, "## " headings and "- " lists, with *italics* and [tagged words] inside.
    `page` says how its address answers: "full", "stub" (a paywall instead of the text) or "missing" (404).
    `topics` are the slugs of config/topics.toml that a careful reader would file it under: the truth to test against.
    `again_at`: from then on the feed lists it a second time, under a tracking parameter and a new guid.
    """

    site: str
    slug: str
    number: int
    title: str
    published: datetime
    appears_at: datetime
    summary: str
    body: tuple[str, ...]
    title_html: str = ""  # where the title holds markup
    authors: tuple[str, ...] = ()
    provider: str = ""
    more: str = ""
    doi: str = ""
    journal: str = ""
    trail: tuple[str, ...] = ()
    second_trail: tuple[str, ...] = ()
    badge: str = ""
    figure: str = ""
    page: Literal["full", "stub", "missing"] = "full"
    cited_url: str = ""
    topics: tuple[str, ...] = ()
    again_at: datetime | None = None

    @property
    def heading(self) -> str:
        """The title as HTML."""
        return self.title_html or escape(self.title, quote=False)


def load(start: datetime) -> tuple[SampleArticle, ...]:
    """Every sample article, in the order in which they appear."""
    folder = resources.files("monitor.demo") / "articles"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    articles = [article for file in files for article in _read(file.read_text(encoding="utf-8"), start)]
    return tuple(sorted(articles, key=lambda article: (article.appears_at, article.slug)))


def _read(text: str, start: datetime) -> Iterator[SampleArticle]:
    document = tomllib.loads(text)
    for row in document["article"]:
        yield _article(document["site"], row, start)


def _article(site: str, row: dict[str, Any], start: datetime) -> SampleArticle:
    fields = dict(row)
    appears_at = _moment(fields.pop("appears"), start)
    published = fields.pop("published", appears_at)
    again = fields.pop("again", "")
    return SampleArticle(
        site=site,
        published=published,
        appears_at=appears_at,
        body=tuple(block.strip() for block in fields.pop("body").split("\n\n") if block.strip()),
        authors=tuple(fields.pop("authors", ())),
        topics=tuple(fields.pop("topics", ())),
        trail=tuple(fields.pop("trail", ())),
        second_trail=tuple(fields.pop("second_trail", ())),
        more=fields.pop("more", "").replace("{year}", str(published.year)),
        again_at=_moment(again, start) if again else None,
        **fields,
    )


def _moment(text: str, start: datetime) -> datetime:
    """`"3 09:30"` is half past nine on the fourth day; day 0 is the start."""
    day, clock = text.split()
    hours, minutes = clock.split(":")
    return start + timedelta(days=int(day), hours=int(hours), minutes=int(minutes))


def blocks(article: SampleArticle, *, tag_url: str = "") -> list[str]:
    """The body as HTML blocks; [tagged words] become links to `tag_url` plus the words, or plain words without it."""
    return [_block(block, tag_url) for block in article.body]


def _block(block: str, tag_url: str) -> str:
    if block.startswith("## "):
        return f"<h2>{inline(block[3:], tag_url)}</h2>"
    if block.startswith("- "):
        items = "".join(f"<li>{inline(line[2:], tag_url)}</li>" for line in block.split("\n"))
        return f"<ul>{items}</ul>"
    return f"<p>{inline(' '.join(block.split()), tag_url)}</p>"


def inline(text: str, tag_url: str = "") -> str:
    """Escaped text with *italics* and [tagged words] turned into markup."""

    def link(found: re.Match[str]) -> str:
        words = found[1]
        if not tag_url:
            return words
        return f'<a href="{tag_url}{words.lower().replace(" ", "+")}/" rel="tag" class="textTag">{words}</a>'

    return _TAG.sub(link, _ITALIC.sub(r"<i>\1</i>", escape(text, quote=False)))
