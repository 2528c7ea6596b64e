"""`monitor sources …` as an admin types it, against a local site."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from index_servers import Answer, Asked, FakePubMed, IndexServer, as_xml
from typer.testing import CliRunner, Result

from monitor.cli.main import app

FEED = (
    "<rss version='2.0'><channel><title>{0}</title><item><title>One</title><link>https://x.example.org/1</link></item>"
)
FEED += "</channel></rss>"
HOME = b"""<html><head><title>Home</title><link rel="alternate" type="application/rss+xml" title="All" href="/all.xml">
</head><body><div class="item"><h2>A release</h2><a href="/r/1">more</a></div></body></html>"""

Command = Callable[..., Result]


class Site:
    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {
            "/": (200, {"Content-Type": "text/html"}, HOME),
            "/all.xml": as_xml(FEED.format("All")),
        }
        self.pubmed = FakePubMed({})

    def answer(self, asked: Asked) -> Answer:
        if asked.path.endswith(".fcgi"):
            return self.pubmed.answer(asked)
        return self.pages.get(asked.path, (404, {}, b""))


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def server(site: Site) -> Iterator[IndexServer]:
    """In a thread of its own, for a command runs its own event loop."""
    running = IndexServer(site.answer)
    ready, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running.running():
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(10)
    yield running
    loop.call_soon_threadsafe(done.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def command(server: IndexServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("MONITOR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MONITOR_FETCH__ALLOW", server.place)
    monkeypatch.setenv("MONITOR_FETCH__HOST_DELAY", "0")

    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["sources", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


def listed(command: Command, slug: str) -> dict[str, object]:
    sources = json.loads(command("list", "--json").stdout)["sources"]
    return next(source for source in sources if source["slug"] == slug)


def test_a_sites_address_finds_its_feed(command: Command, server: IndexServer) -> None:
    command("add", server.url("/"))

    assert listed(command, "all")["url"] == server.url("/all.xml")


def test_of_several_feeds_an_admin_chooses(command: Command, server: IndexServer, site: Site) -> None:
    more = HOME.replace(b"</head>", b'<link rel="alternate" type="application/atom+xml" href="/more.xml"></head>')
    site.pages["/"] = 200, {}, more
    site.pages["/more.xml"] = as_xml(FEED.format("More"))

    found = command("find", server.url("/"))
    refused = command("add", server.url("/"), code=1)

    assert server.url("/all.xml") in found.stdout
    assert server.url("/more.xml") in found.stdout
    assert "several feeds" in f"{refused.output}{refused.exception}"


def test_a_feed_in_a_usual_place_is_found_without_any_link(command: Command, server: IndexServer, site: Site) -> None:
    site.pages["/"] = 200, {}, b"<html><title>x</title><body>Nothing here.</body></html>"
    site.pages["/rss.xml"] = as_xml(FEED.format("Usual"))

    assert server.url("/rss.xml") in command("find", server.url("/")).stdout


def test_without_any_feed_the_sitemaps_of_robots_are_found(command: Command, server: IndexServer, site: Site) -> None:
    site.pages["/"] = 200, {}, b"<html><title>x</title><body>Nothing here.</body></html>"
    site.pages["/robots.txt"] = 200, {}, b"Sitemap: /news-sitemap.xml"
    site.pages["/news-sitemap.xml"] = as_xml(
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>{server.url("/a")}</loc></url></urlset>'
    )

    found = json.loads(command("find", server.url("/"), "--json").stdout)["candidates"]

    assert [(one["kind"], one["url"], one["entries"]) for one in found] == [
        ("sitemap", server.url("/news-sitemap.xml"), 1)
    ]


def test_selectors_are_tried_before_they_are_stored(command: Command, server: IndexServer) -> None:
    shown = command("test", server.url("/"), "--item", "div.item")
    command("add", server.url("/"), "--item", "div.item", "--slug", "press")

    assert "A release" in shown.stdout
    assert server.url("/r/1") in shown.stdout
    press = listed(command, "press")
    assert (press["kind"], press["options"]) == ("page", [["item", "div.item"]])


def test_a_saved_search_needs_its_query(command: Command, server: IndexServer) -> None:
    refused = command("add", server.url("/"), "--kind", "pubmed", code=1)
    command("add", server.url("/"), "--kind", "pubmed", "-o", "query=itch AND x=1", "--slug", "pm")
    command("set", "pm", "-o", "query=pain", "--minutes", "30")

    assert "needs the option 'query'" in f"{refused.output}{refused.exception}"
    found = listed(command, "pm")
    assert (found["options"], found["interval"], found["pages"]) == ([["query", "pain"]], 1800.0, False)


def test_opml_goes_out_and_comes_in_again(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sources.opml"
    command("export", str(file))

    again = command("import", str(file))
    more = file.read_text().replace("</body>", '<outline text="JAMA" xmlUrl="https://new.example.org/f"/></body>')
    file.write_text(more)
    added = command("import", str(file))

    assert "0 sources added" in again.stdout
    assert "1 sources added" in added.stdout
    assert listed(command, "jama-2")["url"] == "https://new.example.org/f"
