"""From a site's address to its feeds: what its page names, where they usually are, and what robots.txt lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.errors import ParseError
from monitor.parse.charset import decode
from monitor.parse.entry import resolved
from monitor.parse.page import inner_text, read_page
from monitor.parse.plain import MAX_LINE, clean

MAX_FOUND = 30
COMMON_PATHS = ("feed/", "rss.xml", "feed.xml", "atom.xml", "rss", "rss-feed/", "index.xml", "feed.json")
_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json", "application/rdf+xml")
_FEED_LINK = re.compile(
    r"(?:[/.](?:rss|atom)(?:\.xml)?/?$|/feed/?$|\.rss$|/feeds?/[^/]+\.xml$|/feed\.json$|showFeed\?)", re.IGNORECASE
)
_COMMENTS = re.compile(r"/comments?/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FeedLink:
    url: str
    title: str = ""


def find_feeds(html: bytes, *, url: str) -> tuple[FeedLink, ...]:
    """The feeds that a page names: its <link rel=alternate> first, then links that look like feeds; each once.

    Feeds of comments come last. Empty for what is no page. Raises nothing.
    """
    try:
        page = read_page(html, url=url)
    except ParseError:
        return ()
    base = resolved(next((b.get("href") or "" for b in page.tree.iter("base")), ""), url) or url
    found: dict[str, FeedLink] = {}
    for link in page.tree.iter("link"):
        rel = (link.get("rel") or "").lower().split()
        kind = (link.get("type") or "").partition(";")[0].strip().lower()
        if "alternate" in rel and kind in _TYPES and (place := resolved(link.get("href") or "", base)):
            found.setdefault(place, FeedLink(place, clean(link.get("title") or "")[:MAX_LINE]))
    for anchor in page.tree.iter("a"):
        href = anchor.get("href") or ""
        if _FEED_LINK.search(href[-300:]) and (place := resolved(href, base)):
            found.setdefault(place, FeedLink(place, inner_text(anchor)[:MAX_LINE]))
    feeds = sorted(found.values(), key=lambda feed: bool(_COMMENTS.search(feed.url)))
    return tuple(feeds[:MAX_FOUND])


def usual_places(url: str) -> tuple[str, ...]:
    """Where a site without any link to a feed may have one."""
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}/"
    return tuple(root + path for path in COMMON_PATHS)


def find_sitemaps(robots: bytes, *, url: str) -> tuple[str, ...]:
    """The Sitemap lines of a robots.txt (they stand outside of its groups), news first."""
    found: dict[str, None] = {}
    for line in decode(robots[:500_000]).splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "sitemap" and (place := resolved(value.strip(), url)):
            found[place] = None
    return tuple(sorted(found, key=lambda place: "news" not in urlsplit(place).path.lower()))[:MAX_FOUND]
