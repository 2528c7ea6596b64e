"""An admin's bench: try a changed topic on the archive, save it behind guard rails, apply it to what is stored.

archive's index -> candidates -> the engine decides -> Backtest, Guards, Advice. The engine works in a thread, on one
batch of articles at a time, so that the rest of the program goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.errors import NotFound, Problem, QueryError, TopicRefused
from monitor.match.advice import Advice, Trial
from monitor.match.backtest import Backtest, Comparison, candidates, index_topic
from monitor.match.exchange import Change, Outcome, is_slug
from monitor.match.explain import Explanation, explain
from monitor.match.guards import DAYS, ExampleText, Guard, Volume, broken_examples, guard
from monitor.match.matcher import Matcher, read_topic
from monitor.match.measure import Measure, measure, verdicts
from monitor.match.suggest import article_text, suggest
from monitor.match.synonyms import builtin_concepts, find_concepts, near_concepts
from monitor.model import Article, Concept, IndexQuery, Label, Match, Revision, Topic, Verdict
from monitor.pipeline.archive import common_terms, neighbours
from storage import Example, Rematch, Storage

BATCH = 500
FEW_LABELS = 5  # with fewer relevant labels, what the topic matches stands for what is relevant
MAX_WANTED, MAX_OTHERS = 500, 2_000  # articles that suggestions are counted on
MAX_REVISIONS = 20  # that are measured
FIRST_LOOK = 4  # times the articles asked for, to find that many that match

Progress = Callable[[Rematch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Every question names its topic by slug and raises NotFound, or QueryError for a query that is wrong."""

    storage: Storage
    now: Callable[[], datetime]

    # --- looking ----------------------------------------------------------------------------------------------

    async def search(self, topic: Topic, since: datetime | None = None, limit: int = 50) -> list[Article]:
        """Articles that `topic` (stored or not) matches, newest first."""
        matcher = _matcher(topic)
        index = index_topic(topic)
        asked = limit * FIRST_LOOK
        while True:
            articles = await self.storage.articles.search(index, since=since, limit=asked)
            found = await asyncio.to_thread(lambda some: [one for one in some if matcher.match(one)], articles)
            if len(found) >= limit or len(articles) < asked:
                return found[:limit]
            asked *= 4

    async def why(self, slug: str, article: Article, draft: Topic | None = None) -> Explanation:
        """Of the stored topic, or of a `draft` of it."""
        return explain(draft or await self.storage.topics.get(slug), article)

    async def match(self, slug: str, article: Article) -> Match | None:
        """The topic's match of one article, stored or not."""
        return next(iter(_matcher(await self.storage.topics.get(slug)).match(article)), None)

    async def backtest(self, slug: str, new: Topic | str, days: int | None = DAYS) -> Backtest:
        """The stored topic against `new` (a whole topic, or only its query) on what was stored in the last `days`.

        `days` None is the whole archive. Equals a scan of every article. A topic not stored yet has nothing to lose;
        neither has one whose stored query is wrong.
        """
        old = await self._stored(slug)
        if isinstance(new, str):
            new = replace(old or Topic(slug=slug, name=slug, query=""), query=new)
        labels = await self.storage.topics.labels(old.id) if old is not None else []
        return await self._compare(old if old is not None and _is_sound(old) else None, new, labels, days)

    async def suggestions(
        self, slug: str, days: int | None = DAYS, limit: int = 10, draft: Topic | None = None
    ) -> list[Advice]:
        """Terms to add to the stored topic, or to a `draft` of it, and to exclude; with their exact effect on the last
        `days`.
        """
        topic = draft or await self.storage.topics.get(slug)
        labels = await self.storage.topics.labels(topic.id)
        relevant, rejected = _sides(labels)
        accepted = await self._accepted(topic, relevant, rejected, days)
        against = await self.storage.articles.get_many(rejected[:MAX_WANTED])
        recent = await self.storage.articles.recent(MAX_OTHERS)

        def advise() -> Trial:
            query, _ = read_topic(topic)
            known = {article.id for article in accepted}
            matcher = _matcher(topic)
            others = [one for one in recent if one.id not in known and not matcher.match(one)]
            add = suggest(_texts(accepted), _texts(others), query, limit=limit)
            exclude = suggest(_texts(against), _texts(accepted), query, limit=limit)
            return Trial(topic, add, exclude, labels)

        trial = await asyncio.to_thread(advise)
        async for batch in self._candidates(trial.candidates, days):
            await asyncio.to_thread(trial.add, batch)
        return trial.result()

    async def measure(self, slug: str) -> list[Measure]:
        """The newest revisions, each on all articles that are labelled today; newest first."""
        topic = await self.storage.topics.get(slug)
        judged = verdicts(await self.storage.topics.labels(topic.id))
        articles = await self.storage.articles.get_many(sorted(judged))
        labelled = [(article, judged[article.id]) for article in articles]
        history = await self.storage.topics.history(slug)
        sound = [revision.topic for revision in history[:MAX_REVISIONS] if _is_sound(revision.topic)]
        return await asyncio.to_thread(lambda: [measure(one, labelled) for one in sound])

    async def concepts(self, term: str, vocabulary: str = "") -> list[Concept]:
        """Concepts with that term: of the built-in set, and imported ones. Raises NotFound, naming what is near."""
        found = [*find_concepts(term, builtin_concepts()), *await self.storage.concepts.lookup(term)]
        found = [one for one in found if not vocabulary or one.source == vocabulary.lower()]
        if not found:
            known = ", ".join(near_concepts(term))
            raise NotFound(f"no concept is called {term}" + (f"; there are {known}" if known else ""))
        return found

    async def vocabularies(self) -> list[tuple[str, int, int]]:
        """(source, year, concepts) of the built-in set and of what is imported."""
        builtin = builtin_concepts()
        return [
            ("builtin", max(one.year for one in builtin), len(builtin)),
            *await self.storage.concepts.vocabularies(),
        ]

    # --- changing ---------------------------------------------------------------------------------------------

    async def check(self, topic: Topic) -> tuple[Guard, ...]:
        """What speaks against saving `topic`, blocking guards first; nothing is stored. Raises QueryError."""
        old = await self._stored(topic.slug)
        labels = await self.storage.topics.labels(old.id) if old is not None else []
        earlier = old if old is not None and _is_sound(old) else None
        backtest = await self._compare(earlier, topic, labels, DAYS)
        since = self.now() - timedelta(days=DAYS)
        volume = Volume(
            articles=await self.storage.articles.hits(None, since=since),
            new=backtest.new_count,
            old=backtest.old_count if earlier is not None else None,
        )
        hit_ids = [hit.article_id for hit in (*backtest.gained, *backtest.unchanged)]
        return guard(
            topic,
            volume=volume,
            shares=await common_terms(self.storage, topic),
            neighbours=await neighbours(self.storage, topic, hit_ids, self.now()),
            examples=await self._examples(old),
        )

    async def save(self, topic: Topic, author: str, note: str = "", *, force: bool = False) -> Topic:
        """Store `topic` as a new revision, or as a new topic.

        Raises TopicRefused where a guard blocks, unless it is forced, which takes a note that says why. A `topic` that
        carries a revision is saved only on top of that one: StorageError if somebody saved another meanwhile.
        """
        blocking = [one.problem for one in await self.check(topic) if one.blocks]
        if blocking and not force:
            raise TopicRefused(topic.slug, blocking)
        if blocking and not note.strip():
            message = "forcing it needs a note that says why"
            raise TopicRefused(topic.slug, [*blocking, Problem(code="no-note", message=message)])
        return await self._put(topic, author, note)

    async def restore(self, slug: str, number: int, author: str) -> Topic:
        """Save revision `number` once more, as the newest. It has been in use, so no guard looks at it again."""
        revision = await self._revision(slug, number)
        current = await self.storage.topics.get(slug)
        again = replace(revision.topic, active=current.active, revision=current.revision)
        return await self._put(again, author, f"restores revision {number}")

    async def judge(self, slug: str, article_id: int, verdict: Verdict | None, by: str, reason: str = "") -> bool:
        """Keep `by`'s judgement of a stored article; None takes it back. False: there was none to take back."""
        topic = await self.storage.topics.get(slug)
        article = await self.storage.articles.get(article_id)
        if verdict is None:
            return await self.storage.topics.unlabel(topic.id, article.id, by)
        said = Label(
            topic_id=topic.id, article_id=article.id, verdict=verdict, by=by, reason=reason, labelled_at=self.now()
        )
        await self.storage.topics.label(said)
        return True

    async def add_example(self, topic: Topic, article: Article, *, must_match: bool, note: str = "") -> Example:
        """Keep an article's text; every later revision of the topic is checked against it."""
        text = article.body or article.summary
        example = Example(topic_id=topic.id, must_match=must_match, title=article.title[:1_000], body=text, note=note)
        return await self.storage.topics.add_example(example)

    async def example_of(self, topic: Topic, article: Article) -> Example | None:
        """The topic's example with this very text, if it is kept already."""
        text = (article.title[:1_000], article.body or article.summary)
        kept = await self.storage.topics.examples(topic.id)
        return next((one for one in kept if (one.title, one.body) == text), None)

    async def example(self, slug: str, number: int) -> Example:
        """Raises NotFound where the topic has no example of that number."""
        topic = await self.storage.topics.get(slug)
        for one in await self.storage.topics.examples(topic.id):
            if one.id == number:
                return one
        raise NotFound(f"{slug} has no example {number}")

    async def clone(self, slug: str, new_slug: str, author: str, name: str = "") -> Topic:
        """A new topic that begins as this one, with its examples. Raises StorageError if `new_slug` is taken."""
        topic = await self.storage.topics.get(slug)
        copy = replace(topic, id=0, slug=new_slug, name=name or f"{topic.name} (copy)", revision=0, revision_id=0)
        added = await self.storage.topics.add(copy, author, f"copy of {slug}, revision {topic.revision}", self.now())
        for example in await self.storage.topics.examples(topic.id):
            await self.storage.topics.add_example(replace(example, id=0, topic_id=added.id))
        return added

    async def apply(self, changes: Iterable[Change], author: str, note: str) -> list[Topic]:
        """Store what an import would change. Nothing is stored if one of `changes` is an error or breaks an example."""
        wanted = list(changes)
        for change in wanted:
            if change.outcome is Outcome.ERROR:
                place = Problem(code="import", message=f"line {change.line}, column {change.column}: {change.message}")
                raise TopicRefused(change.slug or "the file", [place])
        topics = [one.topic for one in wanted if one.topic and one.outcome in (Outcome.NEW, Outcome.CHANGED)]
        for topic in topics:
            broken = broken_examples(topic, await self._examples(topic if topic.id else None))
            if broken:
                raise TopicRefused(topic.slug, [one.problem for one in broken])
        return [await self._put(topic, author, note) for topic in topics]

    async def rematch(self, slug: str, batch: int = BATCH, progress: Progress | None = None) -> Rematch:
        """Apply the topic's current revision to the whole archive, or go on where that was interrupted.

        Digests leave out what it finds: it is old news. Raises StorageError when a newer revision, or another process,
        takes over.
        """
        topic = await self.storage.topics.get(slug)
        matcher = _matcher(topic)
        index = index_topic(topic)
        state = await self.storage.topics.rematch_start(topic, self.now())
        while not state.done:
            found = await self.storage.articles.candidates(index, after_id=state.after_id, limit=batch)
            through = min(found[-1].id, state.upto_id) if len(found) == batch else state.upto_id
            within = [article for article in found if article.id <= through]
            matches = await asyncio.to_thread(_matches, matcher, within)
            state = await self.storage.topics.rematch_batch(state, through, matches, self.now())
            if progress is not None:
                progress(state)
        return state

    # --- between ----------------------------------------------------------------------------------------------

    async def _compare(self, old: Topic | None, new: Topic, labels: Sequence[Label], days: int | None) -> Backtest:
        comparison = Comparison(old, new, labels)
        async for batch in self._candidates(candidates(old, new), days):
            await asyncio.to_thread(comparison.add, batch)
        return comparison.result()

    async def _candidates(self, query: IndexQuery | None, days: int | None) -> AsyncIterator[list[Article]]:
        since = self.now() - timedelta(days=days) if days is not None else None
        after = 0
        while batch := await self.storage.articles.candidates(query, since=since, after_id=after, limit=BATCH):
            yield batch
            after = batch[-1].id

    async def _accepted(
        self, topic: Topic, relevant: Sequence[int], rejected: Sequence[int], days: int | None
    ) -> list[Article]:
        """What is labelled relevant; while that is too little, what the topic matches and nobody rejected."""
        if len(relevant) >= FEW_LABELS:
            return await self.storage.articles.get_many(relevant[:MAX_WANTED])
        since = self.now() - timedelta(days=days) if days is not None else None
        unwanted = set(rejected)
        labelled = await self.storage.articles.get_many(relevant)
        found = await self.search(topic, since=since, limit=MAX_WANTED)
        by_id = {article.id: article for article in (*labelled, *found) if article.id not in unwanted}
        return list(by_id.values())

    async def _stored(self, slug: str) -> Topic | None:
        try:
            return await self.storage.topics.get(slug)
        except NotFound:
            return None

    async def _examples(self, topic: Topic | None) -> list[ExampleText]:
        stored = await self.storage.topics.examples(topic.id) if topic is not None else []
        return [ExampleText(must_match=one.must_match, title=one.title, body=one.body, note=one.note) for one in stored]

    async def _revision(self, slug: str, number: int) -> Revision:
        for revision in await self.storage.topics.history(slug):
            if revision.number == number:
                return revision
        raise NotFound(f"topic {slug!r} has no revision {number}")

    async def _put(self, topic: Topic, author: str, note: str) -> Topic:
        current = await self._stored(topic.slug)
        if current is None:
            if not is_slug(topic.slug):
                message = "a slug is made of small letters, digits and hyphens, 64 at most"
                raise TopicRefused(topic.slug[:64], [Problem(code="bad-slug", message=message)])
            return await self.storage.topics.add(topic, author, note, self.now())
        expected = topic.revision or current.revision
        saved = await self.storage.topics.save(topic, author, note, self.now(), expected)
        if saved.active is not topic.active:
            saved = await self.storage.topics.set_active(topic.slug, topic.active)
        return saved


def _matcher(topic: Topic) -> Matcher:
    matcher = Matcher()
    matcher.add(topic)
    return matcher


def _matches(matcher: Matcher, articles: Iterable[Article]) -> list[Match]:
    return [match for article in articles for match in matcher.match(article)]


def _is_sound(topic: Topic) -> bool:
    try:
        read_topic(topic)
    except QueryError:
        return False
    return True


def _sides(labels: Iterable[Label]) -> tuple[list[int], list[int]]:
    """Ids of the articles labelled relevant, and of those labelled not relevant."""
    judged = verdicts(labels)
    relevant = [number for number, verdict in judged.items() if verdict is Verdict.RELEVANT]
    return relevant, [number for number, verdict in judged.items() if verdict is Verdict.NOT_RELEVANT]


def _texts(articles: Iterable[Article]) -> list[str]:
    return [article_text(article) for article in articles]
