"""From a site's address to what can be watched there, each tried before it is offered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.errors import FetchError, ParseError
from monitor.fetch import Fetcher
from monitor.model import Feed, Fetched, SourceKind
from monitor.parse import parse_feed
from monitor.parse.discover import find_feeds, find_sitemaps, usual_places
from monitor.parse.sitemap import read_sitemap
from monitor.sandbox import Sandbox

MOST_TRIED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that can be watched: its address works, and holds so many entries."""

    url: str
    kind: SourceKind = SourceKind.FEED
    title: str = ""
    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Finds feeds, and without any the sitemaps."""

    fetcher: Fetcher
    sandbox: Sandbox

    async def find(self, url: str) -> list[Candidate]:
        """The address itself if it is a feed; else the feeds its page names; else those in the usual places; else the
        sitemaps that robots.txt lists. Raises FetchError when the address itself cannot be read.
        """
        fetched = await self.fetcher.get(url)
        try:
            return [_candidate(fetched.moved_to or url, await self._parse(fetched))]
        except ParseError:
            named = await self.sandbox.run(find_feeds, fetched.body, url=fetched.final_url)
        found = await self._working([(link.url, link.title) for link in named])
        if not found:
            found = await self._working([(place, "") for place in usual_places(fetched.final_url)])
        return found or await self._sitemaps(fetched.final_url)

    async def _working(self, links: list[tuple[str, str]]) -> list[Candidate]:
        """Those that are feeds. Two addresses of one feed are one."""
        found: dict[str, Candidate] = {}
        for url, title in links[:MOST_TRIED]:
            try:
                fetched = await self.fetcher.get(url)
                feed = await self._parse(fetched)
            except (FetchError, ParseError):
                continue
            found.setdefault(fetched.validators.body_hash, _candidate(fetched.moved_to or url, feed, title))
        return list(found.values())

    async def _sitemaps(self, url: str) -> list[Candidate]:
        parts = urlsplit(url)
        root = f"{parts.scheme}://{parts.netloc}"
        try:
            robots = await self.fetcher.get(f"{root}/robots.txt", accept="text/plain")
            places = await self.sandbox.run(find_sitemaps, robots.body, url=robots.final_url)
        except (FetchError, ParseError):
            return []
        found = []
        for place in places[:MOST_TRIED]:
            try:
                fetched = await self.fetcher.get(place, robots=True)
                sitemap = await self.sandbox.run(read_sitemap, fetched.body, url=fetched.final_url)
            except (FetchError, ParseError):
                continue
            entries = len(sitemap.entries) or len(sitemap.parts)
            found.append(Candidate(url=place, kind=SourceKind.SITEMAP, title=parts.netloc, entries=entries))
        return found

    async def _parse(self, fetched: Fetched) -> Feed:
        return await self.sandbox.run(
            parse_feed, fetched.body, url=fetched.final_url, content_type=fetched.content_type
        )


def _candidate(url: str, feed: Feed, title: str = "") -> Candidate:
    return Candidate(url=url, title=feed.title or title, entries=len(feed.entries))


def slugify(title: str) -> str:
    """A source's short name, of letters, digits and hyphens: "Science Daily: Health" is science-daily-health."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:64].strip("-") or "source"
