"""Sources and papers through the whole program, as it is put together: settings in, stored articles out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from index_servers import Answer, Asked, FakePubMed, IndexServer, as_json
from pgtemp import TempPostgres
from running import prepare
from source_rooms import NOW

import storage as store
from monitor import app as composition
from monitor.app import Opened
from monitor.model import Source, SourceKind
from storage import Storage
from storage.engine import checked_url
from storage.migrate import config


@asynccontextmanager
async def opened(tmp_path: Path, server: IndexServer, **overrides: object) -> AsyncIterator[Opened]:
    settings = composition.settings(
        data_dir=tmp_path / "data",
        storage__url="",
        fetch__allow=(server.place,),
        fetch__host_delay=0.0,
        fetch__contact="mailto:admin@example.org",
        scholarly__pubmed_per_second=100.0,
        scholarly__pubmed_url=server.url("/pubmed/"),
        scholarly__crossref_url=server.url("/crossref/"),
        scholarly__unpaywall_url=server.url("/unpaywall/"),
        poll__first_wait=0.001,
        **overrides,
    )
    source = Source(
        slug="s",
        name="S",
        url=server.url("/pubmed/"),
        kind=SourceKind.PUBMED,
        pages=False,
        options=(("query", "itch"),),
    )
    prepare(tmp_path / "data")
    async with composition.open_monitor(settings, now=lambda: NOW, first_sources=[source]) as whole:
        yield whole


def answering(pubmed: FakePubMed) -> IndexServer:
    def answer(asked: Asked) -> Answer:
        if "/pubmed/" in asked.path and "WebEnv" not in asked.query and "id" in asked.query:
            return as_json({}, 500)
        if "/pubmed/" in asked.path and "usehistory" not in asked.said and "esearch" in asked.path:
            return as_json({"esearchresult": {"count": "0", "idlist": []}})
        if "/pubmed/" in asked.path:
            return pubmed.answer(asked)
        if "/unpaywall/" in asked.path:
            doi = asked.path.removeprefix("/unpaywall/")
            free = {"url_for_landing_page": "https://oa.example.org/x"}
            return as_json({"doi": doi, "is_oa": True, "best_oa_location": free})
        return 404, {}, b"Resource not found."

    return IndexServer(answer)


async def test_a_saved_search_is_read_and_its_papers_completed(tmp_path: Path) -> None:
    pubmed = FakePubMed({date(2026, 11, 20): [1, 2]})
    async with answering(pubmed).running() as server, opened(tmp_path, server) as whole:
        await whole.monitor.poll_due()
        await whole.monitor.storage.papers.waiting()

        done = await whole.monitor.enrich_due()

        waiting = await whole.monitor.storage.papers.waiting()
    assert done == 2
    assert waiting == 2  # PubMed failed for both: tried again later
    assert {asked.query.get("email") for asked in server.asked if "unpaywall" in asked.path} == {"admin@example.org"}


async def test_switched_off_nothing_is_looked_up(tmp_path: Path) -> None:
    pubmed = FakePubMed({date(2026, 11, 20): [1, 2]})
    async with answering(pubmed).running() as server, opened(tmp_path, server, scholarly__enrich=False) as whole:
        await whole.monitor.poll_due()
        asked = len(server.asked)

        assert await whole.monitor.enrich_due() == 0
        assert len(server.asked) == asked


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_sources_and_articles_of_before_go_on_as_they_were(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    if kind == "postgresql":
        server: TempPostgres = request.getfixturevalue("postgres")
        url = server.create(f"old_{os.urandom(4).hex()}")
    engine = sa.create_engine(checked_url(url), poolclass=sa.NullPool)
    with engine.begin() as db:
        command.upgrade(config(db), "0001")
        tables = sa.MetaData()
        tables.reflect(db)
        for name, more in (
            ("source", {"slug": "s", "kind": "feed"}),
            ("article", {"key": "k", "doi_key": "10.5555/x"}),
        ):
            table = tables.tables[name]
            db.execute(table.insert().values({**{c.name: _any(c) for c in table.columns}, **more}))

    store.migrate(url)

    async with Storage.open(url) as storage:
        source = await storage.sources.get("s")
        (task,) = await storage.papers.claim_due(NOW + timedelta(days=1), 10, timedelta(seconds=30))
    assert (source.options, source.confidence, source.since, source.pace) == ((), "", None, None)
    assert (task.article.mesh, task.article.open_access_url) == ((), "")


def _any(column: sa.Column[object]) -> object:
    values = {
        bool: True,
        int: 1,
        float: 1.0,
        str: "[]" if column.name == "authors" else "feed",
        datetime: NOW,
        bytes: b"x",
    }
    return values[column.type.python_type]
