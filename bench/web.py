"""How long the pages take at 100,000 articles: CPU time of the server for each, the least of several rounds.

    python bench/web.py [--articles 100000] [--minutes 4] [--data DIRECTORY]

The archive is a real SQLite file with the generated articles of bench/match.py, one each few minutes (at 4, a month is
10,800). Requests go through the whole application (session, rules, templates), without a network. `--data` keeps the
archive for the next run. The aims: a preview of 30 days within 150 ms, every other page within 50 ms, and the first
page with all that it needs within 120 KB.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from match import World  # bench/match.py

from monitor import app as composition
from monitor.app import Opened
from monitor.model import Entry, Role, Source, Topic, User
from monitor.web import make_app
from storage import Saved

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
PLANTED = {"semaglutide": 0.012, "opioid tolerance": 0.004, "tirzepatide": 0.006, "veterinary": 0.03}
PAGES = (
    "/", "/topics", "/topics/glp1", "/topics/glp1/history", "/articles", "/articles?q=semaglutide",
    '/articles?q="opioid tolerance"', "/articles?topic=glp1", "/articles/500", "/sources", "/readers", "/outbox",
    "/audit", "/api/v1/articles?q=semaglutide",
)  # fmt: skip
PREVIEWS = (
    ("one more synonym", "semaglutide OR tirzepatide"),
    ("an exclusion", "semaglutide NOT veterinary"),
    ("a rare term", '"opioid tolerance"'),
)


async def fill(opened: Opened, count: int, minutes: int) -> None:
    monitor = opened.monitor
    for topic in await monitor.storage.topics.list():
        await monitor.storage.topics.set_active(topic.slug, False)
    await monitor.storage.topics.add(Topic(slug="glp1", name="GLP-1", query="semaglutide"), "bench", "", NOW)
    await monitor.sync_topics()
    source = (await monitor.storage.sources.list())[0]
    world, rng = World(2_000, 0), random.Random(5)
    batch: list[Saved] = []
    for number in range(count):
        made = world.articles[number % len(world.articles)]
        words = made.body.split(" ")
        for term, share in PLANTED.items():
            if rng.random() < share:
                words.insert(rng.randrange(len(words)), term)
        url = f"https://news.example.org/{number}"
        article = replace(
            made, id=0, url=url, canonical_url=url, key=url, body=" ".join(words), source_slug=source.slug
        )
        matches = tuple(monitor.matcher.match(article)) if "semaglutide" in words else ()
        batch.append(Saved(entry=Entry(url=url, title=made.title, guid=url), article=article, matches=matches))
        if len(batch) == 500 or number == count - 1:
            at = NOW - timedelta(minutes=minutes * (count - number))
            await monitor.storage.articles.save(source, batch, at)
            batch = []
    await monitor.storage.tidy()


async def timed(ask: Callable[[], Awaitable[httpx.Response]], rounds: int = 5) -> tuple[float, float, httpx.Response]:
    """(CPU, wall) in milliseconds, the least of several, and the last answer."""
    cpu, wall = [], []
    for _ in range(rounds):
        began, began_wall = time.process_time(), time.perf_counter()
        answer = await ask()
        cpu.append(time.process_time() - began)
        wall.append(time.perf_counter() - began_wall)
    return min(cpu) * 1000, min(wall) * 1000, answer


async def run(directory: Path, count: int, minutes: int) -> None:
    settings = composition.settings(
        data_dir=directory, storage__url="", smtp__host="", web__base_url="https://x.example.org"
    )
    source = Source(slug="sample", name="Sample", url="https://sample.example.org/feed")
    async with composition.open_monitor(settings, now=lambda: NOW, first_sources=[source]) as opened:
        storage = opened.monitor.storage
        if await storage.articles.count() < count:
            began = time.perf_counter()
            await fill(opened, count, minutes)
            print(f"filled with {count} articles in {time.perf_counter() - began:.0f} s")
        users = await storage.users.list()
        user = users[0] if users else await storage.users.add(User(email="a@example.org", role=Role.ADMIN), NOW)
        token = await opened.monitor.users.open_session(user, address="", agent="bench")
        transport = httpx.ASGITransport(app=make_app(opened))
        headers = {"Cookie": f"__Host-sid={token}", "Sec-Fetch-Site": "same-origin"}
        async with httpx.AsyncClient(transport=transport, base_url="https://x.example.org", headers=headers) as client:
            print(f"{'':34} {'CPU ms':>8} {'wall ms':>8} {'status':>7} {'KB':>7}")
            for path in PAGES:
                await row(path, lambda path=path: client.get(path))  # type: ignore[misc]
            for name, query in PREVIEWS:
                data = {"query": query, "days": "30"}
                await row(
                    f"preview, 30 days: {name}",
                    lambda data=data: client.post("/topics/glp1/try", data=data, headers={"HX-Request": "true"}),  # type: ignore[misc]
                )
            size = await first_page(client, "/topics/glp1")
            print(f"the first page with its styles, scripts and preview: {size / 1000:.1f} KB")


async def first_page(client: httpx.AsyncClient, path: str) -> int:
    """Bytes on the wire of a page, its styles and scripts, and its preview, for a browser that has none of them yet."""
    page = await client.get(path)
    answers = [page, await client.post(f"{path}/try", data={}, headers={"HX-Request": "true"})]
    answers += [await client.get(address) for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)]
    assert len(answers) == 6
    return sum(answer.num_bytes_downloaded for answer in answers)


async def row(name: str, ask: Callable[[], Awaitable[httpx.Response]]) -> None:
    cpu, wall, answer = await timed(ask)
    print(f"{name:34} {cpu:8.1f} {wall:8.1f} {answer.status_code:7} {len(answer.content) / 1000:7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--minutes", type=int, default=4)
    parser.add_argument("--data", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(chosen.data or Path(directory), chosen.articles, chosen.minutes))


if __name__ == "__main__":
    main()
