"""The whole program against servers that answer as the indexes do: what becomes of a study after it was mailed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from index_servers import Answer, Asked, FakePubMed, IndexServer, as_json, record
from running import prepare
from source_rooms import SameProcess
from storage_samples import NOW, a_topic, saved

from monitor import app as composition
from monitor.app import Opened
from monitor.model import Article, Cadence, Message, Source, SourceKind, Subscriber, Subscription
from monitor.parse.scholarly import crossref, medrxiv
from monitor.story.labels import badges

PREPRINT, PAPER = "10.1101/2026.11.02.123456", "10.5555/jim.77"
TITLE = "Spinal kinase activation contributes to morphine tolerance in rats"
AUTHORS = [{"given": "Ji-Tian", "family": "Xu"}, {"given": "Yuan-Xiang", "family": "Tao"}]


@dataclass
class World:
    """All indexes, and a newspaper, on one server."""

    pubmed: FakePubMed = field(default_factory=lambda: FakePubMed({}))
    works: dict[str, dict[str, Any]] = field(default_factory=dict)  # Crossref's, by DOI
    published: str = "NA"  # what the preprint server says of the preprint
    feed: str = ""
    pages: dict[str, str] = field(default_factory=dict)
    down: bool = False
    server: IndexServer = field(init=False)

    def answer(self, asked: Asked) -> Answer:
        _, place, *rest = asked.path.split("/", 2)
        path = rest[0] if rest else ""
        if self.down:
            return 503, {}, b""
        if place == "pubmed":
            return self.pubmed.answer(asked)
        if place == "crossref":
            return self._crossref(path, asked.query)
        if place == "rxiv":
            return self._rxiv(path)
        if place == "feed":
            channel = f"<rss version='2.0'><channel><title>The Paper</title>{self.feed}</channel></rss>"
            return 200, {"Content-Type": "application/rss+xml"}, channel.encode()
        page = self.pages.get(asked.path, "")
        return (200 if page else 404), {"Content-Type": "text/html"}, page.encode()

    def _crossref(self, path: str, query: dict[str, str]) -> Answer:
        if path.startswith("works/"):
            work = self.works.get(path.removeprefix("works/").lower())
            return as_json({"status": "ok", "message": work}) if work else (404, {}, b"Resource not found.")
        wanted = [part.removeprefix("doi:") for part in query.get("filter", "").split(",")]
        found = [work for doi, work in self.works.items() if doi in wanted or "query.bibliographic" in query]
        return as_json({"status": "ok", "message": {"items": found, "total-results": len(found)}})

    def _rxiv(self, path: str) -> Answer:
        preprint = {
            "doi": PREPRINT, "title": TITLE, "authors": "Xu, J.-T.; Tao, Y.-X.", "date": "2026-11-21", "version": "1",
            "type": "new results", "category": "pain medicine", "abstract": "We made rats tolerant of morphine.",
            "published": self.published, "server": "medRxiv",
        }  # fmt: skip
        if "/biorxiv/" in f"/{path}":
            return as_json({"messages": [{"status": "no posts found"}], "collection": []})
        return as_json({"messages": [{"status": "ok", "total": 1}], "collection": [preprint]})

    def asked(self, place: str) -> list[Asked]:
        return [asked for asked in self.server.asked if asked.path.startswith(f"/{place}/")]


@dataclass
class House:
    opened: Opened
    world: World
    time: list[datetime]

    async def later(self, **span: float) -> None:
        """Time goes by; then everything that is due is done."""
        self.time[0] += timedelta(**span)
        await self.opened.monitor.run_due()

    async def mails(self) -> list[Message]:
        outbox = self.opened.monitor.storage.outbox
        return [(await outbox.get(one.id)).message for one in reversed(await outbox.list())]

    async def article(self, which: str) -> Article:
        article = await self.opened.monitor.storage.articles.find(which)
        assert article is not None
        return article

    async def story(self, which: str) -> list[str]:
        stories = self.opened.monitor.storage.stories
        members = await stories.members(await stories.of((await self.article(which)).id))
        return [member.article.key for member in members]


@asynccontextmanager
async def house_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    world: World,
    *sources: Source,
    query: str = "morphine",
    **wish: Any,
) -> AsyncIterator[House]:
    """The program with these sources, one topic and one daily reader."""
    for name in [name for name in os.environ if name.startswith("MONITOR_")]:
        monkeypatch.delenv(name)
    for index in (crossref, medrxiv):
        monkeypatch.setattr(index, "DELAY", 0.0)  # nobody is pressed here
    monkeypatch.setattr("monitor.app.parts.Sandbox", Here)
    time = [NOW]
    async with IndexServer(world.answer).running() as server:
        world.server = server
        settings = composition.settings(
            data_dir=tmp_path / "data",
            fetch__allow=(server.place,),
            fetch__host_delay=0.0,
            fetch__contact="admin@example.org",
            poll__first_wait=0.001,
            poll__tries=2,
            scholarly__pubmed_url=server.url("/pubmed/"),
            scholarly__pubmed_per_second=100,
            scholarly__crossref_url=server.url("/crossref/"),
            scholarly__preprints_url=server.url("/rxiv/"),
            scholarly__unpaywall_url="",
        )
        prepare(tmp_path / "data")
        async with composition.open_monitor(settings, now=lambda: time[0], first_sources=[]) as opened:
            storage = opened.monitor.storage
            topic = await storage.topics.add(a_topic("morphine", query), "ada", "first", NOW)
            for source in sources:
                url = source.url and server.url(source.url)
                await storage.sources.add(Source(**{**_values(source), "url": url}))
            wanted = Subscription(subscriber_id=0, topic_ids=(topic.id,), cadence=Cadence.DAILY, **wish)
            await opened.monitor.readers.add(Subscriber(email="ada@example.org"), wanted)
            yield House(opened, world, time)


class Here(SameProcess):
    def __init__(self, **_: object) -> None:
        """Whatever its size: no child is needed for answers that we wrote."""

    def close(self) -> None:
        pass


def _values(source: Source) -> dict[str, Any]:
    return {name: getattr(source, name) for name in ("slug", "name", "kind", "pages", "options", "interval")}


SEARCH = Source(
    slug="search", name="PubMed", url="/pubmed/", kind=SourceKind.PUBMED, pages=False, options=(("query", "morphine"),)
)
MEDRXIV = Source(slug="medrxiv", name="medRxiv", url="/rxiv/", kind=SourceKind.MEDRXIV, pages=False)
FEED = Source(slug="paper", name="The Paper", url="/feed/", interval=timedelta(hours=1))


def told(reference: str, pmid: int) -> str:
    one = (
        f'<CommentsCorrections RefType="{reference}"><RefSource>J</RefSource><PMID>{pmid}</PMID></CommentsCorrections>'
    )
    return f"<CommentsCorrectionsList>{one}</CommentsCorrectionsList>"


def types(*names: str) -> str:
    inner = "".join(f'<PublicationType UI="D1">{name}</PublicationType>' for name in names)
    return f"<PublicationTypeList>{inner}</PublicationTypeList>"


# --- notices that an index tells in passing -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notice", "word"),
    [("RetractionOf", "retraction"), ("ErratumFor", "correction"), ("ExpressionOfConcernFor", "expression of concern")],
)
async def test_a_notice_that_a_search_brings_reaches_who_was_sent_the_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notice: str, word: str
) -> None:
    world = World(FakePubMed({date(2026, 11, 22): [77]}, papers={77: record(77, "Morphine helps.", doi="")}))
    async with house_of(tmp_path, monkeypatch, world, SEARCH) as house:
        await house.later()
        await house.later(days=1)
        (first,) = await house.mails()

        world.pubmed.days[date(2026, 11, 25)] = [88]  # a title that says nothing, and no type
        world.pubmed.papers[88] = record(88, "A note by the editors.", more=told(notice, 77), doi="")
        await house.later(days=2)
        await house.later(days=1)

        later = (await house.mails())[1:]
        assert "Morphine helps" in first.html
        assert [mail.subject.startswith(f"1 {word}") for mail in later] == [True]
        assert "Morphine helps" in later[0].html


async def test_a_paper_without_a_doi_is_watched_at_pubmed_and_its_reader_warned_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(FakePubMed({date(2026, 11, 22): [77]}, papers={77: record(77, "Morphine helps.", doi="")}))
    async with house_of(tmp_path, monkeypatch, world, SEARCH, safety_at_once=True) as house:
        await house.later()
        await house.later(days=1)
        world.pubmed.days.clear()  # the search does not bring it again
        world.pubmed.papers[77] = record(77, "Morphine helps.", more=told("RetractionIn", 99), doi="")

        await house.later(days=8)  # asked about once a week
        await house.opened.monitor.plan_digests()

        mails = await house.mails()
        assert [mail.subject[:12] for mail in mails[1:]] == ["1 retraction"]
        assert "pubmed.ncbi.nlm.nih.gov/99/" in mails[1].html


async def test_a_retraction_met_while_a_paper_is_looked_up_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(FakePubMed({}, by_words={PAPER: [77]}))
    world.pubmed.papers[77] = record(77, TITLE, more=told("RetractionIn", 99), doi=PAPER)
    async with house_of(tmp_path, monkeypatch, world) as house:
        await house.opened.monitor.storage.articles.save(None, [saved(1, doi=PAPER, key=f"doi:{PAPER}")], NOW)

        await house.later()

        (notice,) = await house.opened.monitor.storage.corrections.list()
        assert (notice.doi, notice.source) == (PAPER, "pubmed")


# --- preprints ------------------------------------------------------------------------------------------------


def work(**more: Any) -> dict[str, Any]:
    return {
        "DOI": PAPER.upper(), "title": [TITLE], "author": AUTHORS, "type": "journal-article",
        "container-title": ["Journal of Invented Medicine"], "published": {"date-parts": [[2027, 1, 5]]},
        "created": {"date-parts": [[2027, 1, 5]]}, **more,
    }  # fmt: skip


@pytest.mark.parametrize("teller", ["the preprint server", "Crossref"])
async def test_a_preprint_that_was_mailed_comes_again_as_an_update_when_it_is_published_months_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teller: str
) -> None:
    world = World()
    async with house_of(tmp_path, monkeypatch, world, MEDRXIV) as house:
        await house.later()
        await house.later(days=1)
        (first,) = await house.mails()
        await house.later(days=40)
        quiet = len(await house.mails())

        world.works[PAPER] = work()
        if teller == "Crossref":
            relation = {"is-preprint-of": [{"id-type": "doi", "id": PAPER, "asserted-by": "subject"}]}
            world.works[PREPRINT] = {"DOI": PREPRINT, "title": [TITLE], "relation": relation}
        else:
            world.published = PAPER
        await house.later(days=15)
        await house.later(days=1)
        await house.later(days=30)

        mails = await house.mails()
        assert "Preprint" in first.html
        assert [mail.subject for mail in mails[1:]].count(mails[-1].subject) == len(mails) - quiet
        news = [mail for mail in mails[1:] if TITLE in mail.html]
        assert len(news) == 1
        assert "Update: now published in Journal of Invented Medicine" in news[0].html
        assert await house.story(PAPER) == [f"doi:{PREPRINT}", f"doi:{PAPER}"]


async def test_a_paper_that_no_index_knows_yet_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    async with house_of(tmp_path, monkeypatch, world, MEDRXIV) as house:
        await house.later()
        await house.later(days=1)
        world.published = PAPER
        await house.later(days=15)
        alone = await house.story(PREPRINT)

        world.works[PAPER] = work()
        await house.later(days=15)
        await house.later(minutes=1)

        assert alone == [f"doi:{PREPRINT}"]
        assert await house.story(PREPRINT) == [f"doi:{PREPRINT}", f"doi:{PAPER}"]


async def test_a_preprint_is_not_asked_about_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    async with house_of(tmp_path, monkeypatch, world, MEDRXIV) as house:
        await house.later()
        await house.later(days=1)
        await house.opened.monitor.storage.sources.set_active("medrxiv", False)
        await house.later(days=800)
        world.server.asked.clear()

        await house.later(days=20)

        assert world.asked("rxiv") == []


async def test_a_preprint_that_comes_after_its_paper_joins_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(published=PAPER)
    async with house_of(tmp_path, monkeypatch, world, MEDRXIV) as house:
        await house.opened.monitor.storage.articles.save(
            None, [saved(1, doi=PAPER, key=f"doi:{PAPER}", title="Another title altogether")], NOW
        )

        await house.later()

        assert await house.story(PREPRINT) == [f"doi:{PAPER}", f"doi:{PREPRINT}"]


# --- news without a DOI ---------------------------------------------------------------------------------------

STORY = "A study of morphine in rats shows why it stops to help, and what may be done about it. " * 8


def an_item(number: int, url: str, at: str = "Sun, 22 Nov 2026 06:00:00 GMT") -> str:
    return (
        f"<item><title>Morphine works longer, says study {number}</title><link>{url}</link><guid>{number}</guid>"
        f"<pubDate>{at}</pubDate><description>A study of morphine.</description></item>"
    )


def a_page(number: int, source: str) -> str:
    title = f"Morphine works longer, says study {number}"
    return f"<html><title>{title}</title><article><h1>{title}</h1><p>{STORY}</p><p>{source}</p></article></html>"


SOURCE = f"More information: Xu J-T and Tao Y-X. {TITLE}. Journal of Invented Medicine (2026)."


async def test_news_that_names_a_paper_by_its_title_joins_it_and_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {"published": {"date-parts": [[2026, 11, 20]]}, "created": {"date-parts": [[2026, 11, 20]]}}
    world = World(works={PAPER: work(**published)})
    async with house_of(tmp_path, monkeypatch, world, FEED) as house:
        for number in range(3):  # three papers print one release: it is asked for once
            world.pages[f"/story/{number}"] = a_page(number, SOURCE)
            world.feed += an_item(number, world.server.url(f"/story/{number}"))
        await house.later()
        before = len(await house.mails())

        await house.later(minutes=2)
        await house.later(minutes=2)

        article = await house.article(world.server.url("/story/1"))
        searches = [asked for asked in world.asked("crossref") if "query.bibliographic" in asked.query]
        assert before == 0
        assert article.doi == PAPER.upper()
        assert [badge.quote for badge in badges(article) if badge.text == "Paper found by its title"] == [
            f"Crossref has “{TITLE}” (Journal of Invented Medicine, 2026-11-20): its title stands here; the journal"
            " Journal of Invented Medicine is named; its authors Xu, Tao are named"
        ]
        assert 1 <= len(searches) <= 2  # two are looked up at a time
        assert "More information" in searches[0].query["query.bibliographic"]


async def test_an_editorial_of_that_title_is_let_go_when_pubmed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {"published": {"date-parts": [[2026, 11, 20]]}, "created": {"date-parts": [[2026, 11, 20]]}}
    world = World(FakePubMed({}, by_words={PAPER: [77]}), works={PAPER: work(**published)})
    world.pubmed.papers[77] = record(77, TITLE, doi=PAPER, types=types("Editorial", "Comment"))
    async with house_of(tmp_path, monkeypatch, world, FEED) as house:
        world.pages["/story/1"] = a_page(1, SOURCE)
        world.feed = an_item(1, world.server.url("/story/1"))

        await house.later()
        await house.later(minutes=2)

        assert (await house.article(world.server.url("/story/1"))).doi == ""


async def test_no_digest_waits_for_an_index_that_does_not_answer_and_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {"published": {"date-parts": [[2026, 11, 20]]}, "created": {"date-parts": [[2026, 11, 20]]}}
    world = World(works={PAPER: work(**published)})
    async with house_of(tmp_path, monkeypatch, world, FEED) as house:
        world.pages["/story/1"] = a_page(1, SOURCE)
        world.feed = an_item(1, world.server.url("/story/1"))
        await house.later()
        world.down = True
        await house.later(days=1)
        mailed = len(await house.mails())

        world.down = False
        await house.later(hours=2)
        await house.later(hours=12)

        assert mailed == 1
        assert (await house.article(world.server.url("/story/1"))).doi == PAPER.upper()


async def test_a_paper_that_was_wrongly_found_is_split_off_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {"published": {"date-parts": [[2026, 11, 20]]}, "created": {"date-parts": [[2026, 11, 20]]}}
    world = World(works={PAPER: work(**published)})
    async with house_of(tmp_path, monkeypatch, world, FEED) as house:
        storage = house.opened.monitor.storage
        await storage.articles.save(None, [saved(1, doi=PAPER, key=f"doi:{PAPER}")], NOW)
        world.pages["/story/1"] = a_page(1, SOURCE)
        world.feed = an_item(1, world.server.url("/story/1"))
        await house.later()
        await house.later(minutes=2)
        await house.later(minutes=2)
        news = await house.article(world.server.url("/story/1"))
        together = await house.story(PAPER)

        await storage.stories.split(news.id, NOW)
        await house.later(days=30)

        assert len(together) == 2
        after = await house.article(world.server.url("/story/1"))
        assert (after.doi, after.mesh, "Paper found by its title" in str(badges(after))) == ("", (), False)
        assert len(await house.story(PAPER)) == 1


# --- MeSH terms that come late ----------------------------------------------------------------------------------


async def test_terms_that_come_after_months_still_come_and_all_papers_share_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pmids = list(range(100, 108))
    world = World(FakePubMed({date(2026, 11, 22): pmids}))
    async with house_of(tmp_path, monkeypatch, world, SEARCH, query="invented") as house:
        await house.later()
        await house.opened.monitor.storage.sources.set_active("search", False)
        for days in (6, 11, 21):  # none has any yet
            await house.later(days=days)
        world.server.asked.clear()

        mesh = "<MeshHeadingList><MeshHeading><DescriptorName>Rats</DescriptorName></MeshHeading></MeshHeadingList>"
        for pmid in pmids:
            world.pubmed.papers[pmid] = record(
                pmid, more=mesh, types=types("Journal Article", "Randomized Controlled Trial")
            )
        await house.later(days=41)
        await house.later(minutes=1)

        article = await house.article(f"10.5555/inv.{pmids[-1]}")
        assert (article.mesh, article.publication_types) == (
            ("Rats",),
            ("Journal Article", "Randomized Controlled Trial"),
        )
        looked = [asked for asked in world.asked("pubmed") if asked.said.get("id", "").count(",") > 5]
        assert 1 <= len(looked) <= 3  # two are looked up at a time; and the weekly watch over what was mailed
        assert await house.opened.monitor.storage.papers.waiting() == 0
        assert {badge.text for badge in badges(article)} >= {"In rats", "Randomised trial"}


# --- what is no news --------------------------------------------------------------------------------------------


async def test_a_new_feed_brings_what_is_recent_and_not_its_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    async with house_of(tmp_path, monkeypatch, world, FEED) as house:
        dates = ("Sun, 22 Nov 2026", "Sun, 15 Nov 2026", "Mon, 12 Oct 2026", "Tue, 21 Nov 2023")
        world.feed = "".join(
            an_item(number, world.server.url(f"/story/{number}"), f"{day} 06:00:00 GMT")
            for number, day in enumerate(dates)
        )
        await house.later()
        await house.later(days=1)
        (first,) = await house.mails()

        late = ((10, "Mon, 12 Oct 2026"), (11, "Tue, 21 Nov 2023"))  # it lists two more: one late, one of old
        world.feed += "".join(
            an_item(number, world.server.url(f"/story/{number}"), f"{day} 06:00:00 GMT") for number, day in late
        )
        await house.later(hours=12)
        await house.later(days=1)

        second = (await house.mails())[-1]
        assert [f"says study {number}" in first.html for number in range(4)] == [True, True, False, False]
        assert "2 too old to be news" in first.html
        assert [f"says study {number}" in second.html for number in (10, 11)] == [True, False]
        assert len(await house.opened.monitor.storage.articles.recent()) == 6  # kept, and found by a search


async def test_a_paper_that_its_index_got_late_is_news_even_at_a_first_visit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue = "<Year>2026</Year><Month>Jul</Month><Day>1</Day>"
    world = World(FakePubMed({date(2026, 11, 22): [77]}, papers={77: record(77, "Morphine helps.", pubdate=issue)}))
    async with house_of(tmp_path, monkeypatch, world, SEARCH) as house:
        await house.later()
        await house.later(days=1)

        (mail,) = await house.mails()
        assert "Morphine helps" in mail.html
