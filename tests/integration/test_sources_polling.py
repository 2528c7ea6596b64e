"""Feeds, sitemaps and list pages visited again and again: the pace that is learned, and what an admin is told."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from index_servers import Answer, Asked, IndexServer, as_json, as_xml
from source_rooms import NOW, Room, room_of

from monitor.model import Source, SourceKind

HOUR = timedelta(hours=1)


class Site:
    """A site whose pages are set by the test; what is asked for again may be answered with 304."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}

    def answer(self, asked: Asked) -> Answer:
        status, headers, body = self.pages.get(asked.path, (404, {}, b""))
        if "ETag" in headers and asked.headers.get("if-none-match") == headers["ETag"]:
            return 304, headers, b""
        return status, headers, body


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def server(site: Site) -> AsyncIterator[IndexServer]:
    async with IndexServer(site.answer).running() as running:
        yield running


@pytest.fixture
async def room(sqlite_template: Path, tmp_path: Path, server: IndexServer) -> AsyncIterator[Room]:
    shutil.copy(sqlite_template, tmp_path / "monitor.db")
    async with room_of(f"sqlite:///{tmp_path / 'monitor.db'}", server.place) as opened:
        yield opened


def a_feed(numbers: range, newest: datetime, gap: timedelta, head: str = "") -> Answer:
    """Entries of these numbers; the last is the newest."""
    items = "".join(
        f"<item><title>Story {n}</title><link>https://news.example.org/{n}</link><description>Text.</description>"
        f"<pubDate>{format_datetime(newest - (numbers[-1] - n) * gap)}</pubDate></item>"
        for n in reversed(numbers)
    )
    return as_xml(f"<rss version='2.0'><channel><title>News</title>{head}{items}</channel></rss>")


async def a_source(room: Room, server: IndexServer, **changes: object) -> Source:
    source = Source(slug="s", name="The Source", url=server.url("/feed"), pages=False, interval=2 * HOUR)
    return await room.add(replace(source, **changes))  # type: ignore[arg-type]


async def wait_of(room: Room) -> timedelta:
    source = await room.source()
    assert source.next_poll_at is not None
    return source.next_poll_at - room.time[0]


def about(span: timedelta) -> tuple[timedelta, timedelta]:
    return span * 0.9, span * 1.1


async def test_a_busy_feed_is_read_as_often_as_it_moves(room: Room, server: IndexServer, site: Site) -> None:
    site.pages["/feed"] = a_feed(range(20), NOW, timedelta(minutes=30))
    await a_source(room, server)

    await room.poll()

    low, high = about(timedelta(minutes=30))
    assert low <= await wait_of(room) <= high


async def test_a_quiet_feed_is_left_alone_for_longer_and_an_unchanged_one_keeps_its_pace(
    room: Room, server: IndexServer, site: Site
) -> None:
    status, headers, body = a_feed(range(10), NOW, timedelta(days=3))
    site.pages["/feed"] = status, {**headers, "ETag": '"1"'}, body
    await a_source(room, server)

    await room.poll()
    first = await wait_of(room)
    room.later(hours=6)
    poll = await room.poll()

    low, high = about(6 * HOUR)
    assert low <= first <= high
    assert poll.outcome == "unchanged"
    assert low <= await wait_of(room) <= high


async def test_a_missed_window_is_told_and_halves_the_pace(room: Room, server: IndexServer, site: Site) -> None:
    site.pages["/feed"] = a_feed(range(10), NOW, HOUR)
    await a_source(room, server)
    await room.poll()

    later = room.later(hours=12)
    site.pages["/feed"] = a_feed(range(50, 60), later, HOUR)
    await room.poll()
    told = await room.notices()
    pace = (await room.source()).pace

    site.pages["/feed"] = a_feed(range(51, 61), room.later(hours=1), HOUR)
    await room.poll()

    assert "articles may have come and gone" in told["missed-window"]
    assert "every 30 minutes" in told["missed-window"]
    assert pace == timedelta(minutes=30)
    assert "missed-window" not in await room.notices()
    assert (await room.source()).pace == timedelta(minutes=37.5)  # it grows slowly


async def test_a_first_visit_has_missed_nothing(room: Room, server: IndexServer, site: Site) -> None:
    site.pages["/feed"] = a_feed(range(10), NOW, HOUR)
    await a_source(room, server)

    await room.poll()

    assert await room.notices() == {}


async def test_a_feed_may_ask_for_more_time_but_not_when_it_runs_away(
    room: Room, server: IndexServer, site: Site
) -> None:
    site.pages["/feed"] = a_feed(range(10), NOW, HOUR, head="<ttl>720</ttl>")
    await a_source(room, server)
    await room.poll()
    patient = await wait_of(room)

    site.pages["/feed"] = a_feed(range(50, 60), room.later(hours=12), HOUR, head="<ttl>720</ttl>")
    await room.poll()

    assert patient >= 10 * HOUR
    assert await wait_of(room) <= HOUR


async def test_a_source_that_starts_before_its_network_is_asked_again_soon(room: Room, server: IndexServer) -> None:
    await a_source(room, server, url="http://127.0.0.1:1/feed")

    await room.poll()

    low, high = about(timedelta(minutes=30))
    assert low <= await wait_of(room) <= high


async def test_what_is_gone_is_asked_once_a_week_and_comes_back_by_itself(
    room: Room, server: IndexServer, site: Site
) -> None:
    site.pages["/feed"] = 410, {}, b""
    await a_source(room, server)

    await room.poll()
    gone, wait, source = await room.notices(), await wait_of(room), await room.source()
    room.later(days=7)
    site.pages["/feed"] = a_feed(range(3), NOW, HOUR)
    due = await room.storage.sources.claim_due(room.time[0], 1, HOUR)
    await room.ingest.refresh(due[0])

    assert "gone for good" in gone["gone"]
    assert (wait, source.active) == (timedelta(days=7), True)
    assert (await room.source()).failures == 0
    assert "is read again (gone no more); it brought 3 new" in (await room.notices())["recovered"]
    assert "gone" not in await room.notices()


async def test_a_stale_source_is_reported_once_and_once_more_when_it_recovers(
    room: Room, server: IndexServer, site: Site
) -> None:
    site.pages["/feed"] = a_feed(range(10), NOW, HOUR)
    await a_source(room, server)
    await room.poll()
    room.later(days=13)
    await room.poll()
    early = await room.notices()
    room.later(days=2)
    await room.poll()
    await room.poll()
    stale = [notice.code for notice in await room.storage.notices.recent()]

    site.pages["/feed"] = a_feed(range(5, 12), room.later(hours=1), HOUR)
    await room.poll()

    assert "stale" not in early
    assert stale == ["stale"]
    assert list(await room.notices()) == ["recovered"]


async def test_a_quarterly_is_not_stale_after_two_weeks(room: Room, server: IndexServer, site: Site) -> None:
    site.pages["/feed"] = a_feed(range(10), NOW, timedelta(days=30))
    await a_source(room, server)
    await room.poll()

    room.later(days=60)
    await room.poll()

    assert await room.notices() == {}


async def test_a_page_for_robots_in_a_feeds_place_is_recognised(room: Room, server: IndexServer, site: Site) -> None:
    page = b"<!doctype html><title>Just a moment...</title><script>window._cf_chl_opt={}</script>"
    site.pages["/feed"] = 200, {"Content-Type": "text/html"}, page
    await a_source(room, server)

    for _ in range(3):
        poll = await room.poll()

    assert "blocked?" in poll.detail
    assert "blocked?" in (await room.notices())["failing"]


# --- list pages -----------------------------------------------------------------------------------------------

LIST = """<html><head><title>Press room</title></head><body><ul class="news">
<li class="item"><h3>First <em>release</em></h3><a href="/r/1">more</a><time datetime="2026-11-23">x</time>
<p>One.</p></li>
<li class="item"><h3>Second release</h3><a href="r/2?utm_source=x">more</a><span class="when">3 hours ago</span></li>
<li class="item"><h3>No link</h3></li>
</ul><aside><a href="/r/99">Sidebar</a></aside></body></html>"""


async def a_page(room: Room, server: IndexServer, **options: str) -> Source:
    chosen = {"item": "ul.news > li.item", **options}
    return await a_source(room, server, url=server.url("/press/"), kind=SourceKind.PAGE, options=tuple(chosen.items()))


async def test_a_list_page_is_read_by_its_selectors(room: Room, server: IndexServer, site: Site) -> None:
    site.pages["/press/"] = 200, {"Content-Type": "text/html", "ETag": '"a"'}, LIST.encode()
    await a_page(room, server, date="time, .when", summary="p")

    first, second = await room.poll(), await room.poll()

    articles = {article.title: article for article in await room.storage.articles.recent()}
    assert (first.new, second.outcome) == (2, "unchanged")
    assert set(articles) == {"First release", "Second release"}
    assert articles["First release"].url == server.url("/r/1")
    assert articles["First release"].summary == "One."
    assert articles["Second release"].url == server.url("/press/r/2?utm_source=x")
    assert articles["Second release"].published == NOW - 3 * HOUR


async def test_selectors_that_find_nothing_are_reported_once_and_once_more_when_they_do(
    room: Room, server: IndexServer, site: Site
) -> None:
    site.pages["/press/"] = 200, {}, LIST.replace("item", "teaser").encode()
    await a_page(room, server)
    await room.poll()
    poll = await room.poll()
    broken = await room.notices()

    site.pages["/press/"] = 200, {}, LIST.encode()
    await room.poll()

    assert poll.outcome == "NothingSelected"
    assert list(broken) == ["selectors"]
    assert "was the page rebuilt?" in broken["selectors"]
    assert list(await room.notices()) == ["recovered"]


async def test_a_selector_that_is_no_css_says_so(room: Room, server: IndexServer, site: Site) -> None:
    site.pages["/press/"] = 200, {}, LIST.encode()
    await a_page(room, server, item="li[[")

    poll = await room.poll()

    assert "the selector 'li[[' is wrong" in poll.detail


async def test_a_list_page_that_robots_txt_forbids_is_not_read(room: Room, server: IndexServer, site: Site) -> None:
    site.pages["/robots.txt"] = 200, {}, b"User-agent: *\nDisallow: /press/"
    site.pages["/press/"] = 200, {}, LIST.encode()
    await a_page(room, server)

    poll = await room.poll()

    assert poll.outcome == "FetchRefused"
    assert "robots.txt" in (await room.notices())["refused"]


# --- sitemaps -------------------------------------------------------------------------------------------------

NEWS = """<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
 xmlns:news="http://www.google.com/schemas/sitemap-news/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
<url><loc>{0}/news/1</loc><image:image><image:loc>x</image:loc><image:title>A picture</image:title></image:image>
<news:news><news:publication><news:name>The Source</news:name><news:language>en</news:language></news:publication>
<news:publication_date>2026-11-24T08:00:00Z</news:publication_date><news:title>Itch &amp; pain</news:title></news:news>
</url>
<url><loc>https://elsewhere.example.net/x</loc><news:news><news:title>Not ours</news:title>
<news:publication_date>2026-11-24</news:publication_date></news:news></url></urlset>"""
OLD = """<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>{0}/2026/new-itch-finding.html</loc>
<lastmod>2026-11-20</lastmod></url><url><loc>{0}/2019/old.html</loc><lastmod>2019-01-01</lastmod></url>
<url><loc>{0}/undated.html</loc></url></urlset>"""


def an_index(server: IndexServer) -> bytes:
    parts = [("old-2019.xml", "2019-12-31"), ("main.xml.gz", "2026-11-23"), ("news.xml", "")]
    return (
        '<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        + "".join(
            f"<sitemap><loc>{server.url(f'/{name}')}</loc><lastmod>{at}</lastmod></sitemap>" for name, at in parts
        )
        + "<sitemap><loc>http://10.0.0.1/inside.xml</loc></sitemap></sitemapindex>"
    ).encode()


async def test_an_index_leads_to_what_is_new_in_its_parts_packed_or_not(
    room: Room, server: IndexServer, site: Site
) -> None:
    home = server.url("")
    site.pages["/sitemap.xml"] = 200, {"Content-Type": "application/xml"}, an_index(server)
    site.pages["/news.xml"] = as_xml(NEWS.format(home))
    packed = gzip.compress(OLD.format(home).encode())
    site.pages["/main.xml.gz"] = 200, {"Content-Type": "application/x-gzip"}, packed
    await a_source(room, server, url=server.url("/sitemap.xml"), kind=SourceKind.SITEMAP)

    poll = await room.poll()

    articles = {article.title: article for article in await room.storage.articles.recent()}
    asked = [asked.path for asked in server.asked if asked.path != "/robots.txt"]
    assert asked == ["/sitemap.xml", "/news.xml", "/main.xml.gz"]
    assert set(articles) == {"Itch & pain", "New itch finding …"}
    assert articles["Itch & pain"].language == "en"
    assert "1 addresses without a date were left out" in poll.detail
    assert (await room.source()).since == NOW


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (as_xml("<rss version='2.0'><channel/></rss>"), "a feed that is cut off|sitemap"),
        (as_json({}), "so no sitemap"),
        ((200, {}, gzip.compress(OLD.encode())[:60]), "gzip stops in the middle"),
        (as_xml(OLD[:-30]), "not well formed"),
    ],
)
async def test_what_is_no_sitemap_is_a_failure_in_words(
    room: Room, server: IndexServer, site: Site, answer: Answer, reason: str
) -> None:
    site.pages["/sitemap.xml"] = answer
    await a_source(room, server, url=server.url("/sitemap.xml"), kind=SourceKind.SITEMAP)

    poll = await room.poll()

    assert poll.outcome == "ParseError"
    assert any(part in poll.detail for part in reason.split("|")), poll.detail


async def test_an_unchanged_sitemap_is_not_read_again(room: Room, server: IndexServer, site: Site) -> None:
    status, headers, body = as_xml(NEWS.format(server.url("")))
    site.pages["/sitemap.xml"] = status, {**headers, "ETag": '"n"'}, body
    await a_source(room, server, url=server.url("/sitemap.xml"), kind=SourceKind.SITEMAP)

    first, second = await room.poll(), await room.poll()

    assert (first.new, second.outcome) == (1, "unchanged")


async def test_a_source_whose_articles_another_brought_first_is_not_stale(
    room: Room, server: IndexServer, site: Site
) -> None:
    await a_source(room, server)
    await a_source(room, server, slug="other")
    for day in range(0, 18, 3):
        site.pages["/feed"] = a_feed(range(day, day + 10), room.time[0], timedelta(days=1))
        await room.poll("other")
        poll = await room.poll()
        room.later(days=3)

    assert poll.new == 0
    assert await room.notices() == {}
