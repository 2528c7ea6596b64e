"""Bad input through the whole program: a clear error, the right exit code, and nothing lost."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hostile_http import HostileHttp, ok, status
from running import Clock, in_thread, prepare, running

from monitor import cli
from monitor.model import Article, Level, Notice, Poll, Source, TextFrom

FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>{name}</title>{items}</channel></rss>"""
ITEM = """<item><title>{title}</title><link>http://{place}/{slug}</link><guid>{slug}</guid>
<description>{teaser}</description></item>"""
PAGE = "<!doctype html><title>{0}</title><article><h1>{0}</h1>" + "<p>It goes on about mTOR. {1}</p></article>"


def feed(place: str, *slugs: str, teaser: str = "A teaser about mTOR.") -> bytes:
    items = "".join(ITEM.format(title=f"Story {slug}", place=place, slug=slug, teaser=teaser) for slug in slugs)
    return FEED.format(name="Sample", items=items).encode()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# --- sources --------------------------------------------------------------------------------------------------


@dataclass
class Visited:
    """What one round over a good source and every broken one left behind."""

    polls: dict[str, Poll]
    sources: dict[str, Source]
    notices: dict[tuple[str, str], Notice]
    articles: dict[str, Article]
    clock: Clock


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Visited:
    return asyncio.run(_visit(tmp_path_factory.mktemp("bad-input")))


async def _visit(directory: Path) -> Visited:
    web, busy = HostileHttp(), HostileHttp()  # a host that says 429 is left alone, with all its feeds
    clock = Clock()
    dead = f"127.0.0.1:{free_port()}"
    async with web.running(), busy.running():
        place = web.place
        busy.pages["/429.xml"] = status(429, Retry_After="7200")
        whole = feed(place, "one", "two", "three")
        web.pages |= {
            "/good.xml": ok(feed(place, "good", "empty-page", "no-page", teaser="A teaser about mTOR.")),
            "/404.xml": status(404),
            "/410.xml": status(410),
            "/500.xml": status(500),
            "/html.xml": ok(b"<!doctype html><title>Hello</title><p>Please choose a region.", Content_Type="text/html"),
            "/cut.xml": ok(whole[: whole.rfind(b"<description>") + 20]),
            "/empty.xml": ok(b""),
            "/good": ok(PAGE.format("Story good", "So it does. " * 60).encode(), Content_Type="text/html"),
            "/empty-page": ok(b"<!doctype html><title>x</title><body></body>", Content_Type="text/html"),
            "/no-page": status(404),
        }
        names = ("good", "404", "410", "500", "html", "cut", "empty")
        addresses = {name: web.url(f"/{name}.xml") for name in names} | {"429": busy.url("/429.xml")}
        addresses |= {"dead-host": f"http://{dead}/feed", "no-host": "http://no-such-host.invalid/feed"}
        addresses |= {"inside": "http://169.254.169.254/latest/meta-data", "file": "file:///etc/passwd"}
        sources = [Source(slug=slug, name=slug, url=url) for slug, url in addresses.items()]
        async with running(
            directory, clock, sources=sources, fetch__allow=(place, busy.place, dead), fetch__timeout=10
        ) as monitor:
            await monitor.run_due()
            storage = monitor.storage
            stored = {source.slug: source for source in await storage.sources.list()}
            return Visited(
                polls={
                    slug: (await storage.sources.polls(source.id, clock.time))[0] for slug, source in stored.items()
                },
                sources=stored,
                notices={(n.subject, n.code): n for n in await storage.notices.open()},
                articles={article.title: article for article in await storage.articles.recent()},
                clock=clock,
            )


@pytest.mark.parametrize(
    ("slug", "outcome", "words"),
    [
        ("dead-host", "FetchError", "no connection"),
        ("no-host", "FetchError", "no-such-host.invalid"),
        ("404", "FetchStatus", "HTTP 404"),
        ("410", "FetchStatus", "HTTP 410"),
        ("429", "FetchStatus", "HTTP 429"),
        ("500", "FetchStatus", "HTTP 500"),
        ("html", "ParseError", "HTML"),
        ("empty", "ParseError", "empty"),
        ("inside", "FetchRefused", "169.254.169.254"),
        ("file", "FetchRefused", "http://"),
    ],
)
def test_a_source_that_cannot_be_read_says_why_and_when_it_is_tried_again(
    visited: Visited, slug: str, outcome: str, words: str
) -> None:
    poll, source = visited.polls[slug], visited.sources[slug]

    assert (poll.outcome, poll.new) == (outcome, 0)
    assert words in poll.detail
    assert "Traceback" not in poll.detail
    assert source.last_error == poll.detail
    assert source.failures == 1
    assert source.next_poll_at is not None
    assert source.next_poll_at > visited.clock.time


def test_a_broken_source_delays_no_other(visited: Visited) -> None:
    assert (visited.polls["good"].outcome, visited.polls["good"].new) == ("ok", 3)


def test_a_feed_that_is_gone_is_asked_once_a_week_and_the_admin_is_told(visited: Visited) -> None:
    due = visited.sources["410"].next_poll_at

    assert due is not None
    assert due >= visited.clock.time + timedelta(days=6)
    assert visited.notices["source:410", "gone"].level is Level.ERROR


def test_a_server_that_asks_for_patience_gets_it(visited: Visited) -> None:
    due = visited.sources["429"].next_poll_at

    assert due is not None
    assert due >= visited.clock.time + timedelta(seconds=7200)


def test_a_refused_address_is_a_notice_at_once(visited: Visited) -> None:
    assert ("source:inside", "refused") in visited.notices
    assert ("source:file", "refused") in visited.notices


def test_of_a_feed_that_is_cut_every_whole_entry_is_kept_and_the_cut_is_told(visited: Visited) -> None:
    poll = visited.polls["cut"]

    assert poll.outcome == "ok"
    assert poll.new == 2
    assert "cut off" in poll.detail
    assert {"Story one", "Story two"} <= visited.articles.keys()


@pytest.mark.parametrize("title", ["Story empty-page", "Story no-page"])
def test_an_article_whose_page_has_no_text_stays_with_what_its_feed_said(visited: Visited, title: str) -> None:
    article = visited.articles[title]

    assert article.text_from is TextFrom.FEED
    assert article.body == "A teaser about mTOR."


async def test_a_page_that_says_less_than_its_feed_costs_no_topic_its_article(tmp_path: Path) -> None:
    web, clock = HostileHttp(), Clock()
    wall = b"<!doctype html><title>Story</title><article><h1>Story</h1><p>" + b"Members only, please log in. " * 40
    async with web.running():
        web.pages |= {
            "/feed.xml": ok(feed(web.place, "paywall")),
            "/paywall": ok(wall, Content_Type="text/html"),
        }
        source = Source(slug="s", name="S", url=web.url("/feed.xml"))
        async with running(tmp_path, clock, sources=[source], fetch__allow=(web.place,)) as monitor:
            await monitor.poll_due()
            await monitor.read_pages_due()

            topic = await monitor.storage.topics.get("mtor")
            found = await monitor.storage.topics.matches(topic.id)
            [span, *_] = found[0].matches[0].spans
            assert found[0].article.body[span.start : span.end] == "mTOR"


async def test_a_feed_that_recovers_loses_nothing_and_its_notice_ends(tmp_path: Path) -> None:
    web, clock = HostileHttp(), Clock()
    async with web.running():
        web.pages["/feed.xml"] = status(500)
        source = Source(slug="s", name="S", url=web.url("/feed.xml"), pages=False)
        async with running(tmp_path, clock, sources=[source], fetch__allow=(web.place,)) as monitor:
            for _ in range(4):
                await monitor.poll_due()
                clock.advance(days=1, hours=3)
            assert [notice.code for notice in await monitor.storage.notices.open()] == ["failing"]
            web.pages["/feed.xml"] = ok(feed(web.place, "one", "two"))
            await monitor.poll_due()

            assert await monitor.storage.articles.count() == 2
            assert [notice.code for notice in await monitor.storage.notices.open()] == ["recovered"]


# --- the command line -----------------------------------------------------------------------------------------


class Shell:
    """`monitor …` in this process: its exit code and what it said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        for name in os.environ:
            if name.upper().startswith("MONITOR_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("MONITOR_DATA_DIR", str(directory))
        monkeypatch.setenv("COLUMNS", "200")

    def set(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(name, value)

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["monitor", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path / "data")


@pytest.fixture
def web() -> Iterator[HostileHttp]:
    server = HostileHttp()
    with in_thread(server.running()):
        yield server


@pytest.fixture
def ready(tmp_path: Path) -> None:
    """An installation that is there already."""
    prepare(tmp_path / "data")


@pytest.mark.usefixtures("ready")
def test_an_unknown_topic_is_named_with_the_nearest_one(shell: Shell) -> None:
    code, _, said = shell("topics", "show", "opioid-tolerence")

    assert code == 1
    assert "opioid-tolerence" in said
    assert "opioid-tolerance" in said.replace("opioid-tolerence", "")


@pytest.mark.usefixtures("ready")
def test_a_reader_of_an_unknown_topic_is_not_added(shell: Shell) -> None:
    code, _, said = shell("subscribers", "add", "ada@example.org", "--topics", "mtor,mtorr")
    _, listed, _ = shell("subscribers", "list", "--json")

    assert code == 1
    assert "mtorr" in said
    assert "ada@example.org" not in listed


@pytest.mark.usefixtures("ready")
def test_a_broken_query_is_shown_with_its_column_and_not_stored(shell: Shell) -> None:
    code, _, said = shell("topics", "add", "broken", '(mTOR OR "opioid tolerance')
    unknown, _, _ = shell("topics", "show", "broken")

    assert code == 1
    assert "column" in said
    assert "^" in said
    assert '(mTOR OR "opioid tolerance' in said
    assert unknown == 1


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("zone", "near"), [("Europe/Berln", "Europe/Berlin"), ("berlin", "Europe/Berlin"), ("../etc/passwd", "IANA")]
)
def test_a_wrong_time_zone_is_refused_with_the_nearest_one(shell: Shell, zone: str, near: str) -> None:
    code, _, said = shell("subscribers", "add", "ada@example.org", "--topics", "mtor", "--timezone", zone)
    _, listed, _ = shell("subscribers", "list", "--json")

    assert code in (1, 4)
    assert near in said
    assert "ada@example.org" not in listed


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("address", ["ada", "a b@example.org", "ada@example.org\nBcc: x@example.org", "a@b@c.org"])
def test_a_wrong_address_is_refused(shell: Shell, address: str) -> None:
    code, _, said = shell("subscribers", "add", address, "--topics", "mtor")
    _, listed, _ = shell("subscribers", "list", "--json")

    assert code == 1
    assert "not a mail address" in said
    assert '"subscriptions": []' in listed


def test_a_data_directory_that_cannot_be_made_is_a_matter_of_configuration(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    shell.set("MONITOR_DATA_DIR", str(tmp_path / "file" / "data"))

    code, _, said = shell("sources", "list")

    assert code == cli.CONFIGURATION
    assert str(tmp_path / "file") in said.replace("\n", "")
    assert "MONITOR_DATA_DIR" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_without_the_right_to_write_is_a_matter_of_configuration(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)

    code, _, said = shell("sources", "list")

    assert code == cli.CONFIGURATION
    assert "not writable" in said


def test_a_database_file_that_is_none_is_said_and_left_alone(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "monitor.db").write_bytes(b"not a database, but somebody's notes\n" * 100)

    code, _, said = shell("sources", "list")

    assert code == 1
    assert "not a database" in said
    assert (tmp_path / "data" / "monitor.db").read_bytes().startswith(b"not a database, but")


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("page", "words"),
    [
        (status(404), "404"),
        (status(500), "500"),
        (ok(b"<!doctype html><title>Welcome</title><p>Please choose.", Content_Type="text/html"), "HTML"),
    ],
    ids=["404", "500", "html"],
)
def test_a_source_that_cannot_be_read_is_not_added(shell: Shell, web: HostileHttp, page: object, words: str) -> None:
    web.pages["/feed.xml"] = page  # type: ignore[assignment]
    shell.set("MONITOR_FETCH__ALLOW", web.place)

    code, _, said = shell("sources", "add", web.url("/feed.xml"), "--slug", "sample")
    _, listed, _ = shell("sources", "list", "--json")

    assert code == 1
    assert words in said
    assert '"sample"' not in listed


@pytest.mark.usefixtures("ready")
def test_a_dead_host_is_not_added(shell: Shell) -> None:
    dead = f"127.0.0.1:{free_port()}"
    shell.set("MONITOR_FETCH__ALLOW", dead)

    code, _, said = shell("sources", "add", f"http://{dead}/feed.xml")

    assert code == 1
    assert "no connection" in said


@pytest.mark.usefixtures("ready")
def test_a_poll_that_fails_says_so_in_its_exit_code(shell: Shell, web: HostileHttp) -> None:
    shell.set("MONITOR_FETCH__ALLOW", web.place)
    web.pages["/feed.xml"] = ok(feed(web.place, "one"))
    assert shell("sources", "add", web.url("/feed.xml"), "--slug", "sample", "--no-pages")[0] == 0
    web.pages["/feed.xml"] = status(500)

    code, said, _ = shell("poll", "sample")

    assert code == 1
    assert "500" in said
    web.pages["/feed.xml"] = ok(feed(web.place, "one"))
    assert shell("poll", "sample")[0] == 0
