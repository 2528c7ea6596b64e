"""Sample Bulletin: a site whose every feed is broken in its own way, and a slow one that nobody should wait for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from monitor.demo.content import SampleArticle, blocks
from monitor.demo.sites.base import Answer, NewsSite, not_found, xml

_XML = "application/rss+xml; charset=utf-8"
_PLAIN = {
    "/missing.xml": Answer(status=404, body=b"<h1>Not Found</h1>"),
    "/gone.xml": Answer(status=410, body=b"<h1>Gone</h1><p>We no longer offer feeds.</p>"),
    "/error.xml": Answer(status=500, body=b"<h1>Internal Server Error</h1>"),
    "/html.xml": Answer(
        body=b"<!DOCTYPE html><html><head><title>Checking your connection</title></head>"
        b"<body><h1>Checking your connection</h1><p>Please enable scripts.</p></body></html>"
    ),
}


class Bulletin(NewsSite):
    """`feeds["cut"]` ends in the middle of an entry, `feeds["dropped"]` in the middle of the answer."""

    slug = "bulletin"
    name = "Sample Bulletin"
    feed_path = "/whole.xml"

    @property
    def feeds(self) -> Mapping[str, str]:
        broken = ("cut", "dropped", "html", "missing", "gone", "error")
        return {name: f"/{name}.xml" for name in broken}

    def answer(self, path: str, now: datetime) -> Answer:
        if path in _PLAIN:
            return _PLAIN[path]
        if path in ("/cut.xml", "/dropped.xml"):
            whole = self.feed([(article, False) for article in reversed(self.out(now))]).encode()
            cut = whole[: whole.rfind(b"<description>") + 60]
            return Answer(content_type=_XML, body=cut, breaks_off=path == "/dropped.xml")
        return super().answer(path, now)

    def path(self, article: SampleArticle) -> str:
        return f"/bulletin/{article.slug}"

    def feed(self, articles: Sequence[tuple[SampleArticle, bool]]) -> str:
        items = "\n".join(
            f"<item><title>{xml(article.title)}</title><link>{self.url(article)}</link>"
            f"<guid>{self.url(article)}</guid><pubDate>{article.published:%Y-%m-%dT%H:%M:%SZ}</pubDate>"
            f"<description>{xml(article.summary)}</description></item>"
            for article, _ in articles
        )
        return (
            f'<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0"><channel><title>{self.name}</title>'
            f"<link>{self.origin}/</link><description>Notes from invented hospitals</description>\n"
            f"{items}</channel></rss>"
        )

    def page(self, article: SampleArticle, now: datetime) -> str:
        title = escape(article.title)
        return (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f'<link rel="canonical" href="{self.url(article)}"><meta property="og:title" content="{title}">'
            f'<meta property="article:published_time" content="{article.published.isoformat()}">'
            f'<meta name="description" content="{escape(article.summary)}"></head>'
            f"<body><article><h1>{article.heading}</h1>{''.join(blocks(article))}</article></body></html>"
        )


class Busy:
    """A server of its own that always asks to be left alone for two minutes: all of it, not one address."""

    slug = "busy"
    name = "Sample Busy Post"

    def __init__(self, origin: str) -> None:
        self.origin = origin

    @property
    def feeds(self) -> Mapping[str, str]:
        return {"all": "/feed.xml"}

    def answer(self, path: str, now: datetime) -> Answer:
        return Answer(status=429, body=b"<h1>Too Many Requests</h1>", headers={"Retry-After": "120"})


class Slow:
    """One small, valid feed that arrives byte by byte, `pace` seconds each."""

    slug = "slow"
    name = "Sample Slow Herald"

    def __init__(self, origin: str, pace: float) -> None:
        self.origin = origin
        self._pace = pace

    @property
    def feeds(self) -> Mapping[str, str]:
        return {"all": "/feed.xml"}

    def answer(self, path: str, now: datetime) -> Answer:
        if path != "/feed.xml":
            return not_found()
        body = (
            f'<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0"><channel><title>{self.name}</title>'
            f"<link>{self.origin}/</link><description>Worth the wait, some say</description>"
            f"<item><title>Snail mail trial still recruiting</title><link>{self.origin}/snail</link></item>"
            "</channel></rss>"
        )
        return Answer(content_type=_XML, body=body.encode(), pace=self._pace)
