"""Papers looked up in the indexes: what is filled, what is left alone, and that trouble never spreads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from index_servers import Answer, Asked, IndexServer, article_set, as_json, as_xml, record
from source_rooms import ACCESS, LEASE, NOW, QUICK, SameProcess
from storage_samples import saved

from monitor.fetch import Fetcher
from monitor.match import Matcher
from monitor.model import Article, IndexQuery, Topic
from monitor.parse.asking import Access
from monitor.pipeline.enrich import Enrichment, Places
from storage import Storage

DOI = "10.5555/JIM70001"
PMID = "24292706"
WORK = {
    "DOI": DOI,
    "title": ["Enzyme blocks itch"],
    "author": [{"given": "Jane", "family": "Doe"}],
    "type": "journal-article",
    "container-title": ["J Inv Med"],
    "abstract": "<jats:p>From Crossref.</jats:p>",
}


MESH = "<MeshHeadingList><MeshHeading><DescriptorName>Pruritus</DescriptorName></MeshHeading></MeshHeadingList>"


@dataclass
class Indexes:
    """All four indexes on one server; each answer may be replaced."""

    pubmed_ids: list[str] = field(default_factory=lambda: [PMID])
    pubmed: Answer | None = None
    crossref: Answer = field(default_factory=lambda: as_json({"status": "ok", "message": WORK}))
    unpaywall: Answer = field(
        default_factory=lambda: as_json(
            {
                "doi": DOI.lower(),
                "is_oa": True,
                "best_oa_location": {
                    "url": "https://oa.example.org/x.pdf",
                    "url_for_landing_page": "https://oa.example.org/x",
                },
            }
        )
    )
    mesh: str = (
        "<MeshHeadingList><MeshHeading><DescriptorName>Pruritus</DescriptorName></MeshHeading></MeshHeadingList>"
    )

    def answer(self, asked: Asked) -> Answer:
        if "esearch" in asked.path:
            ids = self.pubmed_ids
            result = {"count": str(len(ids)), "idlist": ids}
            return as_json({"esearchresult": result})
        if "efetch" in asked.path:
            types = "<PublicationTypeList><PublicationType>Clinical Trial</PublicationType></PublicationTypeList>"
            abstract = "<AbstractText>Itch stopped in NCT00000007.</AbstractText>"
            authors = "<AuthorList><Author><LastName>Xu</LastName><ForeName>Ji</ForeName></Author></AuthorList>"
            xml = record(
                int(PMID), "Enzyme blocks itch.", abstract, self.mesh, doi=DOI.lower(), types=types, authors=authors
            )
            return self.pubmed or as_xml(article_set(xml))
        if "/crossref/" in asked.path:
            return self.crossref
        return self.unpaywall


@dataclass
class Desk:
    storage: Storage
    enrichment: Enrichment
    server: IndexServer
    time: list[datetime]

    async def store(self, **article: Any) -> Article:
        await self.storage.articles.save(None, [saved(1, **article)], NOW)
        return (await self.storage.articles.recent())[0]

    async def work(self) -> int:
        tasks = await self.enrichment.claim(10)
        for task in tasks:
            await self.enrichment.complete(task)
        return len(tasks)

    async def article(self) -> Article:
        return (await self.storage.articles.recent())[0]

    def asked(self) -> list[str]:
        return [asked.path.strip("/").split("/")[0] for asked in self.server.asked]


@asynccontextmanager
async def desk_of(storage: Storage, indexes: Indexes, access: Access = ACCESS) -> AsyncIterator[Desk]:
    time = [NOW]
    async with (
        IndexServer(indexes.answer).running() as server,
        Fetcher(user_agent="Test/1", allow=frozenset({server.place}), host_delay=0.0, timeout=5) as fetcher,
    ):
        places = Places(
            pubmed=server.url("/pubmed/"),
            crossref=server.url("/crossref/"),
            unpaywall=server.url("/unpaywall/"),
            openalex=server.url("/openalex/"),
        )
        matcher = Matcher()
        enrichment = Enrichment(
            storage=storage, fetcher=fetcher, sandbox=SameProcess(), matcher=matcher, now=lambda: time[0],  # type: ignore[arg-type]
            lease=LEASE, access=access, places=places, patience=QUICK,
        )  # fmt: skip
        yield Desk(storage, enrichment, server, time)


PAPER = {"key": f"doi:{DOI.lower()}", "doi": DOI, "summary": "", "authors": (), "published": None, "journal": ""}
STORY = {"key": "news.example.org/1", "doi": DOI, "summary": "A team says so.", "authors": ("News Writer",)}


async def test_a_paper_is_completed_by_what_the_indexes_know(storage: Storage) -> None:
    async with desk_of(storage, Indexes()) as desk:
        await desk.store(**PAPER)

        done = await desk.work()

        article = await desk.article()
        assert done == 1
        assert (article.pmid, article.authors, article.journal) == (PMID, ("Ji Xu",), "Journal of invented medicine")
        assert article.summary == "Itch stopped in NCT00000007."
        assert (article.mesh, article.publication_types) == (("Pruritus",), ("Clinical Trial",))
        assert article.trial_ids == ("NCT00000007",)
        assert article.open_access_url == "https://oa.example.org/x"
        assert await desk.work() == 0
        assert await storage.papers.waiting() == 0


async def test_a_news_story_keeps_its_own_words_and_author(storage: Storage) -> None:
    async with desk_of(storage, Indexes()) as desk:
        before = await desk.store(**STORY)

        await desk.work()

        article = await desk.article()
        assert (article.summary, article.authors, article.published) == (
            before.summary,
            before.authors,
            before.published,
        )
        assert (article.pmid, article.mesh, article.open_access_url) == (
            PMID,
            ("Pruritus",),
            "https://oa.example.org/x",
        )


async def test_ten_stories_on_one_paper_ask_once(storage: Storage) -> None:
    async with desk_of(storage, Indexes()) as desk:
        await storage.articles.save(None, [saved(n, doi=DOI, key=f"news.example.org/{n}") for n in range(10)], NOW)

        await desk.work()

        assert sorted(desk.asked()) == ["crossref", "pubmed", "pubmed", "unpaywall"]
        assert {article.pmid for article in await storage.articles.recent()} == {PMID}


async def test_an_abstract_that_came_later_is_matched_and_found(storage: Storage) -> None:
    itch = Topic(slug="itch", name="Itch", query="itch AND stopped")
    topic = await storage.topics.add(itch, author="t", note="", now=NOW)
    async with desk_of(storage, Indexes()) as desk:
        desk.enrichment.matcher.add(topic)
        article = await desk.store(**PAPER)

        await desk.work()

        found = await storage.articles.search(IndexQuery(op="all", tokens=("stopped",)))
        assert [hit.id for hit in found] == [article.id]
        assert await storage.readers.last_news([topic.id]) == {topic.id: NOW}


async def test_what_one_index_said_is_kept_when_another_is_down(storage: Storage) -> None:
    indexes = Indexes(crossref=(503, {}, b""))
    async with desk_of(storage, indexes) as desk:
        await desk.store(**PAPER)
        await desk.work()
        first = await desk.article()
        indexes.crossref = as_json({"status": "ok", "message": WORK})
        desk.server.asked.clear()

        desk.time[0] += timedelta(minutes=11)
        await desk.work()

        assert first.mesh == ()  # nothing is half filled
        assert (await desk.article()).mesh == ("Pruritus",)
        assert desk.asked() == ["crossref"]


@pytest.mark.parametrize("status", [404, 422])
async def test_a_paper_that_no_index_knows_is_no_trouble(storage: Storage, status: int) -> None:
    unknown = (status, {"Content-Type": "text/plain"}, b"Resource not found.")
    async with desk_of(storage, Indexes(pubmed_ids=[], crossref=unknown, unpaywall=unknown)) as desk:
        before = await desk.store(**STORY)

        await desk.work()

        assert await desk.article() == before
        assert await storage.papers.known(DOI, "", NOW - timedelta(days=1)) is not None


async def test_a_record_of_another_paper_is_not_believed(storage: Storage) -> None:
    other = as_json({"status": "ok", "message": {**WORK, "DOI": "10.5555/other"}})
    wrong = as_json(
        {"doi": "10.5555/other", "is_oa": True, "best_oa_location": {"url": "https://oa.example.org/other"}}
    )
    indexes = Indexes(pubmed=as_xml(article_set(record(1, doi="10.5555/other"))), crossref=other, unpaywall=wrong)
    async with desk_of(storage, indexes) as desk:
        await desk.store(**PAPER)

        await desk.work()

        article = await desk.article()
        assert (article.pmid, article.authors, article.open_access_url) == ("", (), "")


async def test_a_paper_that_pubmed_has_not_indexed_yet_is_looked_up_again(storage: Storage) -> None:
    indexes = Indexes(mesh="")
    async with desk_of(storage, indexes) as desk:
        await desk.store(**PAPER)
        await desk.work()
        indexes.mesh = MESH
        desk.time[0] += timedelta(days=4)
        early = await desk.work()
        desk.time[0] += timedelta(days=2)

        late = await desk.work()

        assert (early, late) == (0, 1)
        assert (await desk.article()).mesh == ("Pruritus",)
        assert await storage.papers.waiting() == 0


async def test_a_page_that_was_read_meanwhile_keeps_its_words(storage: Storage) -> None:
    async with desk_of(storage, Indexes()) as desk:
        await storage.articles.save(None, [saved(1, page_due_at=NOW, **PAPER)], NOW)
        (task,) = await desk.enrichment.claim(1)
        (page,) = await storage.articles.claim_due_pages(NOW, 1, LEASE)
        read = replace(await desk.article(), body="The page's text.", authors=("P",))
        await storage.articles.page_saved(page, read, [], NOW)

        await desk.enrichment.complete(task)

        article = await desk.article()
        assert (article.body, article.authors, article.pmid) == ("The page's text.", ("P",), PMID)


async def test_a_doi_found_on_the_page_is_looked_up(storage: Storage) -> None:
    async with desk_of(storage, Indexes()) as desk:
        await storage.articles.save(None, [saved(1, page_due_at=NOW)], NOW)
        before = await storage.papers.waiting()
        (page,) = await storage.articles.claim_due_pages(NOW, 1, LEASE)
        read = await desk.article()
        await storage.articles.page_saved(page, replace(read, doi=DOI), [], NOW)

        assert (before, await storage.papers.waiting()) == (0, 1)


async def test_without_a_mail_address_unpaywall_is_not_asked(storage: Storage) -> None:
    async with desk_of(storage, Indexes(), Access(pubmed_per_second=10_000)) as desk:
        await desk.store(**PAPER)

        await desk.work()

        assert "unpaywall" not in desk.asked()


async def test_trial_numbers_are_read_from_the_text_too(storage: Storage) -> None:
    async with desk_of(storage, Indexes(pubmed_ids=[])) as desk:
        await desk.store(**{**STORY, "body": "See ISRCTN12345678 and EudraCT 2020-001234-12."})

        await desk.work()

        assert (await desk.article()).trial_ids == ("ISRCTN12345678", "2020-001234-12")


async def test_what_is_no_longer_fresh_is_forgotten(storage: Storage) -> None:
    async with desk_of(storage, Indexes()) as desk:
        await desk.store(**PAPER)
        await desk.work()
        early = await desk.enrichment.tidy()

        desk.time[0] += timedelta(days=31)

        assert (early, await desk.enrichment.tidy()) == (0, 2)  # by its DOI, and by its PMID
        assert await storage.papers.known(DOI, PMID, NOW - timedelta(days=99)) is None


async def test_a_preprint_that_its_server_described_is_not_looked_up(storage: Storage) -> None:
    async with desk_of(storage, Indexes()) as desk:
        await desk.store(**PAPER, publication_types=("Preprint",), open_access_url="https://www.medrxiv.org/x")

        await desk.work()

        assert desk.asked() == []
        assert await storage.papers.waiting() == 0


async def test_a_record_of_pubmed_asks_for_what_pubmed_does_not_know_and_later_for_its_terms(storage: Storage) -> None:
    known = {"authors": ("A",), "journal": "J", "summary": "S.", "pmid": PMID, "publication_types": ("Review",)}
    async with desk_of(storage, Indexes()) as desk:
        await desk.store(**{**PAPER, **known})
        await desk.work()
        first = desk.asked()

        desk.time[0] += timedelta(days=6)
        await desk.work()

        assert first == ["unpaywall"]
        assert (await desk.article()).mesh == ("Pruritus",)
