"""How long an admin waits for a backtest: candidates from the archive's index, against a scan of every article.

    python bench/backtest.py [--articles 20000] [--preview 5000]

The archive is a real SQLite file in a temporary directory, filled with the generated articles of bench/match.py, one
each few minutes. Each row is one change of a query; both ways run on the same archive in the same run, and must give
the same answer. Times are CPU time of this process, all threads, the least of several rounds; the scan's articles are
in memory already.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from match import World  # bench/match.py

from monitor.match.backtest import Backtest, compare
from monitor.model import Article, Entry, Topic
from monitor.pipeline.tuning import Tuning
from storage import Saved, Storage, migrate

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
MINUTES = 8  # between two articles: 20,000 are 111 days
PLANTED = {"semaglutide": 0.012, "opioid tolerance": 0.004, "tirzepatide": 0.006, "veterinary": 0.03}
CHANGES = [
    ("a rare term", '"opioid tolerance"', '"opioid tolerance" OR "morphine tolerance"'),
    ("one more synonym", "semaglutide", "semaglutide OR tirzepatide"),
    ("an exclusion", "semaglutide OR tirzepatide", "(semaglutide OR tirzepatide) NOT veterinary"),
    ("NEAR and a prefix", "semaglutide", "semaglut* OR (opioid NEAR/5 tolerance)"),
    ("forty terms", "semaglutide", "semaglutide OR " + " OR ".join(f"drugname{n}" for n in range(40))),
]


async def fill(storage: Storage, count: int) -> list[Article]:
    world = World(2_000, 0)
    rng = random.Random(5)
    batch: list[Saved] = []
    for number in range(count):
        made = world.articles[number % len(world.articles)]
        words = made.body.split(" ")
        for term, share in PLANTED.items():
            if rng.random() < share:
                words.insert(rng.randrange(len(words)), term)
        url = f"https://news.example.org/{number}"
        article = replace(made, id=0, url=url, canonical_url=url, key=url, body=" ".join(words))
        batch.append(Saved(entry=Entry(url=url, title=made.title, guid=url), article=article))
        if len(batch) == 50 or number == count - 1:
            await storage.articles.save(None, batch, NOW - timedelta(minutes=MINUTES * (count - number)))
            batch = []
    await storage.tidy()
    everything: list[Article] = []
    while found := await storage.articles.candidates(
        None, after_id=everything[-1].id if everything else 0, limit=2_000
    ):
        everything += found
    return everything


async def backtest(bench: Tuning, query: str, days: int | None, rounds: int) -> tuple[float, Backtest]:
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        found = await bench.backtest("bench", query, days)
        best = min(best, time.process_time() - started)
    return best, found


def scan(old: Topic, new: Topic, articles: list[Article]) -> tuple[float, Backtest]:
    started = time.process_time()
    found = compare(old, new, articles)
    return time.process_time() - started, found


async def run(count: int, preview: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'bench.db'}"
        migrate(url)
        async with Storage.open(url) as storage:
            started = time.process_time()
            everything = await fill(storage, count)
            print(f"{count} articles stored and indexed in {time.process_time() - started:.0f} s\n")
            bench = Tuning(storage=storage, now=lambda: NOW)
            topic = await storage.topics.add(Topic(slug="bench", name="Bench", query="bench"), "bench", "", NOW)
            heads = f"{'index, s':>9} {'scan, s':>8} {'ratio':>6} {'preview, ms':>12}"
            print(f"{'change':20} {'before':>7} {'after':>6} {heads}")
            for name, old, new in CHANGES:
                topic = await storage.topics.save(replace(topic, query=old), "bench", "", NOW, topic.revision)
                by_index, found = await backtest(bench, new, None, 3)
                by_scan, wanted = scan(topic, replace(topic, query=new), everything)
                if found != wanted:
                    raise SystemExit(f"{name}: the index and the scan disagree")
                days = max(1, preview * MINUTES // 1_440)
                live, _ = await backtest(bench, new, days, 5)
                counts = f"{found.old_count:7} {found.new_count:6}"
                times = f"{by_index:9.3f} {by_scan:8.2f} {by_scan / by_index:5.0f}x {live * 1000:12.0f}"
                print(f"{name:20} {counts} {times}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=20_000)
    parser.add_argument("--preview", type=int, default=5_000, help="newest articles that a live preview looks at")
    given = parser.parse_args()
    asyncio.run(run(given.articles, given.preview))


if __name__ == "__main__":
    main()
