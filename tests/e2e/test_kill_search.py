"""A saved search of PubMed by the real command, whose process is killed in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from index_servers import RATE_LIMITED, Answer, Asked, FakePubMed, IndexServer, article_set, as_json, as_xml, record

from monitor.model import Source, SourceKind
from storage import Storage, migrate

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date()  # the command goes by the real clock
RESULTS = {TODAY - timedelta(days=day): list(range(1000 + day * 100, 1100 + day * 100)) for day in range(10)}


async def command(environment: Mapping[str, str], *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitor", *words, cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL
    )


async def stored(data_dir: Path) -> tuple[list[str], Source]:
    async with Storage.open(f"sqlite:///{data_dir / 'monitor.db'}") as storage:
        articles = await storage.articles.recent(limit=5_000)
        return sorted(article.pmid for article in articles), await storage.sources.get("search")


@pytest.mark.timeout(240)
async def test_a_thousand_results_arrive_complete_through_limits_a_broken_chunk_and_a_kill(tmp_path: Path) -> None:
    cut = as_xml(article_set("".join(record(pmid) for pmid in range(1, 200)))[:40_000])
    pubmed = FakePubMed(dict(RESULTS))
    pubmed.search_troubles = {1: as_json({"esearchresult": {"ERROR": "Search Backend failed"}}), 2: RATE_LIMITED}
    pubmed.troubles = {1: RATE_LIMITED, 2: RATE_LIMITED, 4: cut, 5: (502, {}, b"<html>Bad Gateway</html>")}
    pubmed.troubles[6] = as_xml("<?xml version='1.0'?><eFetchResult><ERROR>Cannot get UIDs</ERROR></eFetchResult>")
    fourth_chunk = asyncio.Event()

    def answer(asked: Asked) -> Answer:
        if asked.said.get("retstart") == "600":
            fourth_chunk.set()
        return pubmed.answer(asked)

    async with IndexServer(answer).running() as server:
        migrate(f"sqlite:///{tmp_path / 'monitor.db'}")
        async with Storage.open(f"sqlite:///{tmp_path / 'monitor.db'}") as storage:
            options = (("query", "opioid tolerance"),)
            source = Source(
                slug="search", name="S", url=server.url("/"), kind=SourceKind.PUBMED, options=options, pages=False
            )
            await storage.sources.add(source)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")} | {
            "MONITOR_DATA_DIR": str(tmp_path),
            "MONITOR_FETCH__ALLOW": server.place,
            "MONITOR_FETCH__HOST_DELAY": "0",
            "MONITOR_POLL__FIRST_WAIT": "0.01",
            "MONITOR_RUN__LEASE_SECONDS": "5",
            "MONITOR_SCHOLARLY__PUBMED_PER_SECOND": "50",
        }
        first = await command(environment, "poll", "search")
        await fourth_chunk.wait()
        first.send_signal(signal.SIGKILL)
        killed = await first.wait()
        half, after_the_kill = await stored(tmp_path)

        status = 1
        while status == 1:  # the dead process holds its claim for five seconds more
            status = await (await command(environment, "poll", "search")).wait()
        whole, done = await stored(tmp_path)

    assert killed == -signal.SIGKILL
    assert len(half) == 600
    assert after_the_kill.since is None  # or the other 400 were lost
    assert pubmed.troubles == {}  # each came
    assert status == 0
    assert whole == sorted(str(pmid) for pmids in RESULTS.values() for pmid in pmids)
    assert done.since is not None
