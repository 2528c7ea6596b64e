"""How an archive's size tells, for bench/scale.py: the same work on 10,000, 100,000 and a million articles.

A thousand articles arrive a day, of 300 words out of 20,000 (the n-th 1/n as common as the first), so a week is the
same in an archive of any size. "semaglutide" stands in every tenth, "tirzepatide" in every hundredth, which is what
the reader's topic matches. They are stored by the program's own functions; their matches are given, for what matching
costs does not depend on what is stored ("match": the first run's topics, to compare). The last thirty days' stories are
told as the program tells them; what is older takes its body from a pool and is a story of its own, ten times as fast.
Each figure is the least of seven, in milliseconds: the machine is seldom alone.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import sqlalchemy as sa  # noqa: E402
from digest_samples import LETTERHEAD, LINKS  # noqa: E402

import storage as store  # noqa: E402
from monitor import app  # noqa: E402
from monitor.match import Matcher  # noqa: E402
from monitor.match.index import index_query  # noqa: E402
from monitor.match.query import parse_query  # noqa: E402
from monitor.model import Article, Cadence, Entry, IndexQuery, Match, Source, Subscriber, Subscription, Topic  # noqa: E402
from monitor.pipeline.publish import Publisher  # noqa: E402
from monitor.pipeline.tuning import Tuning  # noqa: E402
from monitor.text import index_text  # noqa: E402
from storage import Saved  # noqa: E402
from storage import tables as t  # noqa: E402
from storage.engine import insert_many  # noqa: E402

VOCABULARY = 20_000
A_DAY = 1_000
BATCH = 500
TOLD = 30  # days
TIMES = 7
COMMON, RARE = "semaglutide", "tirzepatide"  # in every tenth, in every hundredth
COLUMNS = (
    "unseen 50",
    "match 50",
    "save 50",
    "stories 50",
    "digest",
    "preview",
    "search 1 %",
    "search 10 %",
    "ranked",
    "last day's",
)


def words() -> tuple[list[str], list[float]]:
    """Invented words of two to four syllables, and how far down the common ones reach."""
    syllables = [a + b for a in "bdfghklmnprstvz" for b in "aeiou"]
    rng = random.Random(3)
    made: dict[str, None] = {}
    while len(made) < VOCABULARY:
        made["".join(rng.choices(syllables, k=rng.randint(2, 4)))] = None
    return list(made), list(itertools.accumulate(1 / (n + 1) for n in range(VOCABULARY)))


@dataclass
class Press:
    """Where new articles come from, without end; each is its own story."""

    number: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(2))
    vocabulary: tuple[list[str], list[float]] = field(default_factory=words)
    pool: list[tuple[str, str]] = field(default_factory=list)

    def text(self, count: int) -> str:
        names, weights = self.vocabulary
        return " ".join(self.rng.choices(names, cum_weights=weights, k=count))

    def articles(self, count: int, topic: Topic) -> list[Saved]:
        return [self._article(topic, self.text(260)) for _ in range(count)]

    def quick_articles(self, count: int, topic: Topic) -> list[Saved]:
        """With one of a few thousand bodies."""
        if not self.pool:
            bodies = [self.text(260) for _ in range(5_000)]
            self.pool = [(body, index_text(body)) for body in bodies]
        made = []
        for body, folded in self.rng.choices(self.pool, k=count):
            one = self._article(topic, body)
            tail = index_text(one.article.body[len(body) :])
            made.append(replace(one, words=(index_text(one.article.title), f"{folded} {tail}".strip())))
        return made

    def _article(self, topic: Topic, body: str) -> Saved:
        self.number += 1
        number = self.number
        matches: tuple[Match, ...] = ()
        if number % 10 == 0:
            body += f" {COMMON}"
        if number % 100 == 50:
            body += f" {RARE}"
            matches = (Match(topic_id=topic.id, revision_id=topic.revision_id, score=1.0),)
        url, title = f"https://archive.example/{number}", f"{self.text(8).capitalize()} {number}"
        article = Article(url=url, canonical_url=url, key=url, title=title, summary=self.text(30), body=body)
        return Saved(entry=Entry(url=url, title=title, guid=url), article=article, matches=matches)


class Grown:
    """One archive that grows, and what is asked of it."""

    def __init__(self, storage: store.Storage) -> None:
        self.storage = storage
        self.press = Press()
        self.now = datetime(2020, 1, 6, tzinfo=UTC)
        self.publisher = Publisher(
            storage=storage,
            letterhead=LETTERHEAD,
            links=LINKS,
            now=lambda: self.now,
            horizon=timedelta(days=90),
        )
        self.tuning = Tuning(storage=storage, now=lambda: self.now)
        self.matcher = Matcher()

    async def begin(self) -> None:
        _, topics = app.first_run(app.settings())
        for number, topic in enumerate(topics):
            self.matcher.add(replace(topic, id=number))
        source = Source(slug="s", name="s", url="https://s.example/", interval=timedelta(hours=1))
        self.source = await self.storage.sources.add(source)
        topic = Topic(slug="rare", name="Rare", query=RARE)
        self.topic = await self.storage.topics.add(topic, author="bench", note="", now=self.now)

    async def grow(self, size: int) -> None:
        while (missing := size - self.press.number - TOLD * A_DAY) > 0:
            await self._fill(min(BATCH, missing))
        while (missing := size - self.press.number) > 0:
            count = min(BATCH, missing)
            await self.storage.articles.save(None, self.press.articles(count, self.topic), self.now)
            await self.storage.stories.settle(self.now)
            before, self.now = self.now, self.now + timedelta(days=count / A_DAY)
            if before.date() != self.now.date():
                await self.storage.stories.prune(self.now)
        await self.storage.tidy()

    async def _fill(self, count: int) -> None:
        await self.storage.articles.save(None, self.press.quick_articles(count, self.topic), self.now)

        def tell(db: sa.Connection) -> None:
            due = list(db.scalars(sa.select(t.story_due.c.article_id)))
            own = {"step": "new", "share": 0.0, "shingles": 0, "joined_at": self.now}
            insert_many(db, t.story_member, [{"article_id": one, "story_id": one, **own} for one in due])
            db.execute(t.story_due.delete())

        await self.storage._database.write(tell)
        self.now += timedelta(days=count / A_DAY)

    async def measure(self) -> list[float]:
        tried: list[list[float]] = [[] for _ in COLUMNS]
        for _ in range(TIMES):
            for place, milliseconds in enumerate([one async for one in self._round()]):
                tried[place].append(milliseconds)
        return [min(times) for times in tried]

    async def _round(self) -> AsyncIterator[float]:
        storage, new = self.storage, self.press.articles(50, self.topic)
        yield await timed(lambda: storage.sources.unseen(self.source.id, [one.entry for one in new]))
        yield await timed(lambda: self._match(new))
        yield await timed(lambda: storage.articles.save(None, new, self.now))
        yield await timed(lambda: storage.stories.settle(self.now))
        self.now += timedelta(days=50 / A_DAY)
        await self.publisher.plan_due()  # the readers' before
        await self._a_reader()
        yield await timed(self._digest)
        yield await timed(lambda: self.tuning.backtest("rare", f"{RARE} OR {COMMON}", 30))
        yield await timed(lambda: storage.articles.search(query(RARE), limit=50))
        yield await timed(lambda: storage.articles.search(query(COMMON), limit=50))
        yield await timed(lambda: storage.articles.search(query(COMMON), limit=50, ranked=True))
        since = self.now - timedelta(days=1)
        yield await timed(lambda: storage.articles.search(query(COMMON), since=since, limit=50))

    async def _match(self, new: list[Saved]) -> None:
        for one in new:
            self.matcher.match(one.article)

    async def _a_reader(self) -> None:
        """Whose weekly digest is due: some seventy articles of the week."""
        reader = await self.storage.readers.add_subscriber(
            Subscriber(email=f"r{self.press.number}@example.org"), self.now
        )
        wanted = Subscription(
            subscriber_id=reader.id, topic_ids=(self.topic.id,), cadence=Cadence.WEEKLY, next_digest_at=self.now
        )
        await self.storage.readers.add_subscription(wanted)

    async def _digest(self) -> None:
        assert await self.publisher.plan_due() == 1


def query(word: str) -> IndexQuery:
    found = index_query(parse_query(word))
    assert found is not None
    return found


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return 1000 * (time.perf_counter() - start)


async def grow(url: str, sizes: list[int]) -> None:
    print(f"\narchive, {url.partition(':')[0]}: milliseconds, the least of {TIMES}")
    print(f"{'articles':>9} " + " ".join(f"{name:>11}" for name in COLUMNS) + f" {'MB':>7} {'fill s':>7}")
    store.migrate(url)
    async with store.Storage.open(url) as storage:
        archive = Grown(storage)
        await archive.begin()
        for size in sizes:
            start = time.perf_counter()
            await archive.grow(size)
            filled = time.perf_counter() - start
            figures = await archive.measure()
            megabytes = Path(url.partition(":///")[2]).stat().st_size / 1e6 if url.startswith("sqlite") else 0.0
            cells = " ".join(f"{figure:11.1f}" for figure in figures)
            print(f"{size:9} {cells} {megabytes:7.0f} {filled:7.0f}", flush=True)
