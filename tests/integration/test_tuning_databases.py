"""What the bench asks of a database, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

from storage_samples import DAY, NOW, saved
from test_tuning_bench import everything, matched_ids, topic

from monitor.match import Matcher
from monitor.match.backtest import compare
from monitor.pipeline.tuning import Tuning

TEXTS = [
    "A zebra runs", "zebras of IL 6", "a lion; no more", "TNFα in Sjögren’s mice", "police, police", "no animal",
]  # fmt: skip


async def test_backtest_and_rematch_equal_a_scan(storage):
    bench = Tuning(storage=storage, now=lambda: NOW)
    many = [saved(n, title=f"News {n}", body=TEXTS[n % len(TEXTS)]) for n in range(60)]
    await storage.articles.save(None, many, NOW - DAY)
    old = await bench.save(topic("zebra OR police"), "ada")
    new = '(zebra OR (lion NOT police) OR "tnf alpha" OR (sjogren NEAR/2 mouse)) NOT IL6'

    backtest = await bench.backtest("animals", new)
    one = await bench.save(replace(old, query=new), "ada", "", force=True) if backtest else old
    await bench.rematch("animals", batch=7)

    matcher = Matcher()
    matcher.add(one)
    there = await everything(storage)
    assert backtest == compare(old, replace(old, query=new), there)
    assert await matched_ids(storage, one) == [article.id for article in there if matcher.match(article)]
    assert len(backtest.gained) == 20
