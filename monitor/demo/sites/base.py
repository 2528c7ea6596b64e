"""What a site is: something that answers a path at a time."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from html import escape
from importlib import resources
from string import Template
from typing import Protocol
from zoneinfo import ZoneInfo

from monitor.demo.content import SampleArticle

FEED_LENGTH = 30
NEW_YORK = ZoneInfo("America/New_York")
HTML = "text/html; charset=utf-8"
_PIXEL = b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")  # a transparent GIF


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`pace` is the pause before each byte, in seconds. `breaks_off`: promise twice the bytes, then hang up."""

    status: int = 200
    content_type: str = HTML
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    last_modified: datetime | None = None  # set: the answer has validators and may become a 304
    pace: float = 0.0
    breaks_off: bool = False


class Site(Protocol):
    """`feeds` maps a name to the path of each feed it has; the first is the one to subscribe to."""

    slug: str
    name: str

    @property
    def feeds(self) -> Mapping[str, str]: ...

    def answer(self, path: str, now: datetime) -> Answer: ...


class NewsSite:
    """A site of articles: each is listed in the feed and has a page from the moment it appears."""

    slug: str
    name: str
    feed_path: str
    feed_type = "application/rss+xml; charset=utf-8"

    def __init__(self, origin: str, articles: Sequence[SampleArticle]) -> None:
        self.origin = origin
        self.articles = tuple(article for article in articles if article.site == self.slug)
        self._by_path = {self.path(article): article for article in self.articles}

    @property
    def feeds(self) -> Mapping[str, str]:
        return {"all": self.feed_path}

    def answer(self, path: str, now: datetime) -> Answer:
        if path == self.feed_path:
            return self._feed_answer(now)
        if path == "/":
            return Answer(body=self._front_page(now).encode())
        if path.startswith("/private/"):
            return Answer(body=b"<!DOCTYPE html><title>Private</title><p>robots.txt asks you not to read this.</p>")
        if path.startswith("/csz/"):
            return Answer(content_type="image/gif", body=_PIXEL)
        article = self._by_path.get(path)
        if article is None or article.page == "missing" or article.appears_at > now:
            return not_found()
        return Answer(body=self.page(article, now).encode())

    def path(self, article: SampleArticle) -> str:
        raise NotImplementedError

    def feed(self, articles: Sequence[tuple[SampleArticle, bool]]) -> str:
        """The feed of these articles, newest first; True marks one that is listed again."""
        raise NotImplementedError

    def page(self, article: SampleArticle, now: datetime) -> str:
        raise NotImplementedError

    def out(self, now: datetime) -> list[SampleArticle]:
        """The articles that have appeared, oldest first."""
        return [article for article in self.articles if article.appears_at <= now]

    def url(self, article: SampleArticle) -> str:
        return self.origin + self.path(article)

    def _feed_answer(self, now: datetime) -> Answer:
        listed = [(article.appears_at, article, False) for article in self.out(now)]
        listed += [(a.again_at, a, True) for a in self.out(now) if a.again_at is not None and a.again_at <= now]
        listed.sort(key=lambda row: row[0], reverse=True)
        newest = listed[:FEED_LENGTH]
        body = self.feed([(article, again) for _, article, again in newest])
        changed_at = newest[0][0] if newest else now
        return Answer(content_type=self.feed_type, body=body.encode(), last_modified=changed_at)

    def _front_page(self, now: datetime) -> str:
        items = "".join(
            f'<li><a href="{self.path(article)}">{article.heading}</a></li>' for article in reversed(self.out(now))
        )
        return (
            f"<!DOCTYPE html><html lang=en><head><title>{self.name}</title>"
            f'<link rel="alternate" type="application/rss+xml" href="{self.feed_path}"></head>'
            f"<body><h1>{self.name}</h1><p>A sample site: everything on it is invented.</p>"
            f"<ul>{items}</ul></body></html>"
        )


def not_found() -> Answer:
    return Answer(status=404, body=b"<!DOCTYPE html><title>Not found</title><h1>404 Page not found</h1>")


def template(name: str) -> Template:
    """A template of this folder, with $placeholders for text that is already escaped."""
    return Template((resources.files("monitor.demo.sites") / name).read_text(encoding="utf-8"))


def xml(text: str) -> str:
    """Escape as the real feeds do, apostrophes included (&#039;)."""
    return escape(text, quote=False).replace('"', "&quot;").replace("'", "&#039;")


def new_york_date(moment: datetime) -> str:
    """An RSS date with the zone's name, e.g. `Sun, 29 Mar 2026 15:30:02 EDT`."""
    local = moment.astimezone(NEW_YORK)
    return f"{format_datetime(local)[:-5]}{local.tzname()}"


def long_date(moment: datetime) -> str:
    """`January 2, 2014` in New York."""
    local = moment.astimezone(NEW_YORK)
    return f"{local:%B} {local.day}, {local.year}"
