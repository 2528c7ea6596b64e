"""The few functions that every entrance calls: the web button, the REST call, the command and the heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from monitor.deliver.imap import ImapPoller
from monitor.errors import DeliveryError, QueryError
from monitor.match import Matcher
from monitor.meter import Meter
from monitor.model import Level, Poll, Source, Topic
from monitor.pipeline.alerts import Alerts
from monitor.pipeline.backups import Backups
from monitor.pipeline.bounces import Bounces
from monitor.pipeline.discover import Discovery
from monitor.pipeline.enrich import Enrichment
from monitor.pipeline.ingest import Ingest
from monitor.pipeline.lane import Lane
from monitor.pipeline.publish import Publisher
from monitor.pipeline.readers import Readers
from monitor.pipeline.safety import Safety
from monitor.pipeline.send import Sender
from monitor.pipeline.sources import Sources
from monitor.pipeline.tuning import Tuning
from monitor.pipeline.users import Users
from monitor.spans import OFF, Spans
from storage import EnrichTask, PageTask, Storage

log = logging.getLogger(__name__)

BODIES_AT_ONCE = 1_000  # texts of old messages that one transaction drops
TOPICS_AT_ONCE = 100  # made ready before others have their turn
MANY_TOPICS = 1_000
BROKEN_QUERY = "broken-query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an operator decides about the heartbeat. Times in seconds where not a timedelta."""

    tick: float
    drain: float
    lease: timedelta
    resend_in_doubt: bool
    retention_days: int
    bodies_days: int = 400
    polls_days: int = 400  # for the health grid and a year's comparison
    sources_at_once: int
    pages_at_once: int
    messages_at_once: int
    papers_at_once: int = 2


class Monitor:
    """The whole program behind a handful of verbs. Each is safe to call from any number of processes at once."""

    def __init__(
        self,
        *,
        storage: Storage,
        ingest: Ingest,
        publisher: Publisher,
        sender: Sender,
        readers: Readers,
        tuning: Tuning,
        users: Users,
        bounces: Bounces,
        mailbox: ImapPoller | None,
        enrichment: Enrichment | None = None,
        safety: Safety | None = None,
        matcher: Matcher,
        now: Callable[[], datetime],
        rules: Rules,
        alerts: Alerts | None = None,
        backups: Backups | None = None,
        meter: Meter | None = None,
        spans: Spans = OFF,
    ) -> None:
        self.spans = spans
        self.storage = storage
        self.ingest = ingest
        self.publisher = publisher
        self.sender = sender
        self.readers = readers
        self.tuning = tuning
        self.users = users
        self.bounces = bounces
        self._mailbox = mailbox
        self.enrichment = enrichment
        self.safety = safety
        self.discovery = Discovery(fetcher=ingest.fetcher, sandbox=ingest.sandbox)
        self.sources = Sources(storage=storage, discovery=self.discovery, ingest=ingest)
        self.matcher = matcher
        self.now = now
        self.rules = rules
        self.alerts = alerts
        self.backups = backups
        self._backs_up = False
        self.meter = meter or Meter()
        self._revisions: dict[int, int] = {}  # topic id -> revision id that the matcher holds
        self._topics_stamp: tuple[int, ...] = ()
        self._syncing = asyncio.Lock()
        self._bodies_looked_at: date | None = None
        self._sources = Lane("poll", self._claim_sources, self.visit, rules.sources_at_once)
        self._pages = Lane("page", self._claim_pages, self.read_page, rules.pages_at_once)
        self._papers: Lane[EnrichTask] | None = (
            Lane("enrich", self._claim_papers, enrichment.complete, rules.papers_at_once) if enrichment else None
        )
        self._messages = Lane("send", sender.claim, sender.deliver, rules.messages_at_once)

    async def poll_due(self) -> int:
        """Visit every source that is due; the number visited."""
        return await self._sources.run()

    async def read_pages_due(self) -> int:
        """Read every article page that is due; the number read."""
        return await self._pages.run()

    async def enrich_due(self) -> int:
        """Look up every paper that is due, where that is wished; the number looked up."""
        return await self._papers.run() if self._papers else 0

    async def plan_digests(self) -> int:
        """Freeze every digest that is due into the outbox, and warnings wanted at once; the number enqueued."""
        return await self.publisher.plan_due() + await self.publisher.warn_due()

    async def tell_stories(self) -> int:
        """Give each new article its story, so that digests need not wait for it; the number of articles."""
        return await self.storage.stories.settle(self.now())

    async def split_story(self, article_id: int) -> int:
        """Take an article out of its story, for good; the number of the story that it is in now. Raises NotFound, or
        StorageError when it is alone.
        """
        await self.tell_stories()
        return await self.storage.stories.split(article_id, self.now())

    async def merge_stories(self, story: int, other: int) -> int:
        """Make one story of two; its number. Raises NotFound, or StorageError when they are one."""
        await self.tell_stories()
        return await self.storage.stories.merge(story, other, self.now())

    async def watch_papers(self) -> int:
        """Ask for notices about what was mailed, where that is wished and due; the number of new ones."""
        return await self.safety.watch_due() if self.safety else 0

    async def send_due(self) -> int:
        """Send what is due in the outbox; the number tried."""
        await self.recover()
        return await self._messages.run()

    async def read_bounces(self) -> int:
        """Read what came back to the bounce mailbox, where one is set; the number of mails read."""
        if self._mailbox is None:
            return 0

        async def take(raw: bytes) -> None:
            await self.bounces.take(raw)

        try:
            handled = await self._mailbox.poll(take)
        except DeliveryError as error:
            text = f"The bounce mailbox cannot be read: {error.reason}"
            await self.storage.notices.raise_once("mailbox", "unreadable", Level.WARNING, text, self.now())
            return 0
        await self.storage.notices.close("mailbox", "unreadable", self.now())
        return handled

    async def run_due(self) -> None:
        """Everything that is due now, once: sources, their pages, digests, mail, and last what no digest waits for."""
        await self.poll_due()
        await self.read_pages_due()
        await self.tell_stories()
        await self.plan_digests()
        await self.send_due()
        await self.enrich_due()
        await self.watch_papers()

    async def refresh(self, slug: str) -> Poll | None:
        """Visit one source now, due or not. None when another process is at it. Raises NotFound."""
        await self.sync_topics()
        source = await self.storage.sources.claim(slug, self.now(), self.rules.lease)
        visit = await self.ingest.refresh(source) if source else None
        await self.storage.audit.note(f"polled the source {slug}", "", visit.outcome if visit else "busy")
        return visit

    async def visit(self, source: Source) -> Poll:
        """Visit a claimed source. Cut off by a drain, it gives its claim back, and nobody need wait for it."""
        try:
            return await self.ingest.refresh(source)
        except asyncio.CancelledError:
            await asyncio.shield(self.storage.sources.release(source.id, source.epoch))
            raise

    async def read_page(self, task: PageTask) -> None:
        """Read a claimed page, likewise."""
        try:
            await self.ingest.read_page(task)
        except asyncio.CancelledError:
            await asyncio.shield(self.storage.articles.release_page(task))
            raise

    async def recover(self) -> None:
        """Take up again what a crashed process left in the middle of a send."""
        resend = self.rules.resend_in_doubt
        text = (
            "A message may have been sent without our hearing the answer. "
            + ("It is sent once more under the same Message-ID." if resend else "It waits for your decision.")
            + " See `monitor outbox list`."
        )
        await self.storage.outbox.recover(self.now(), resend=resend, notice=text)

    async def housekeep(self) -> None:
        """Retention, and what keeps the database small and quick."""
        await self.storage.outbox.cancel_unwanted(self.now())
        polls_before = self.now() - timedelta(days=self.rules.polls_days)
        await self.storage.sources.prune_polls(polls_before)
        await self.storage.upkeep.forget_notices(polls_before)
        await self._forget_bodies()
        await self.storage.stories.prune(self.now())
        if self.enrichment:
            await self.enrichment.tidy()
        await self.storage.tidy()
        if self.rules.retention_days:
            before = self.now() - timedelta(days=self.rules.retention_days)
            deleted = await self.storage.articles.prune(before)
            log.info("housekeeping deleted=%d", deleted)

    async def back_up_due(self) -> bool:
        """Make a checked copy of everything, where that is wished and due; whether one was made."""
        self._backs_up = True
        try:
            return await self.backups.due() if self.backups else False
        finally:
            self._backs_up = False

    async def _forget_bodies(self) -> None:
        """Once a day: it looks at every message there is."""
        today = self.now().date()
        if not self.rules.bodies_days or self._bodies_looked_at == today:
            return
        before = self.now() - timedelta(days=self.rules.bodies_days)
        while await self.storage.upkeep.forget_bodies(before, BODIES_AT_ONCE) == BODIES_AT_ONCE:
            pass
        self._bodies_looked_at = today

    async def watch(self, silent: Sequence[str] = ()) -> int:
        """Look at the whole, and tell admins of errors; the number told. `silent`: beats that do not go well."""
        return await self.alerts.look(silent) if self.alerts else 0

    async def sync_topics(self) -> None:
        """Bring the matcher in line with the stored topics. A topic that does not parse fails alone, and is noticed."""
        async with self._syncing:
            stamp = await self.storage.topics.stamp()
            if stamp == self._topics_stamp:
                return
            wanted = {topic.id: topic for topic in await self.storage.topics.list(active=True)}
            self.meter.topics = {topic.id: topic.slug for topic in wanted.values()}
            for topic_id in self._revisions.keys() - wanted.keys():
                self.matcher.remove(topic_id)
                del self._revisions[topic_id]
            changed = [topic for topic in wanted.values() if self._revisions.get(topic.id) != topic.revision_id]
            with _much_that_stays() if len(changed) >= MANY_TOPICS else contextlib.nullcontext():
                await self._load(changed)
            self._topics_stamp = stamp

    async def _load(self, topics: Sequence[Topic]) -> None:
        told = {notice.subject for notice in await self.storage.notices.open() if notice.code == BROKEN_QUERY}
        for number, topic in enumerate(topics, 1):
            subject = f"topic:{topic.slug}"
            try:
                self.matcher.add(topic)
            except QueryError as error:
                self.matcher.remove(topic.id)
                text = f"The topic {topic.name} is not matched, for its query is wrong: {error}"
                await self.storage.notices.raise_once(subject, BROKEN_QUERY, Level.ERROR, text, self.now())
            else:
                if subject in told:
                    await self.storage.notices.close(subject, BROKEN_QUERY, self.now())
            self._revisions[topic.id] = topic.revision_id
            if number % TOPICS_AT_ONCE == 0:
                await asyncio.sleep(0)  # ten thousand take seconds; leases and pages do not wait for them

    async def drain(self, seconds: float) -> int:
        """Claim nothing more, finish what runs within `seconds`; the number of items cut off."""
        lanes = [lane for lane in (self._sources, self._pages, self._messages, self._papers) if lane]
        return sum(await asyncio.gather(*(lane.drain(seconds) for lane in lanes)))

    async def _claim_sources(self, limit: int) -> list[Source]:
        sources = await self.storage.sources.claim_due(self.now(), limit, self.rules.lease)
        if sources:
            await self.sync_topics()
        return sources

    async def _claim_pages(self, limit: int) -> list[PageTask]:
        tasks = await self.storage.articles.claim_due_pages(self.now(), limit, self.rules.lease)
        if tasks:
            await self.sync_topics()
        return tasks

    def at_work(self) -> set[str]:
        """The beats whose lane is busy and goes on: a first search of a thousand papers may take many minutes."""
        papers = self._papers is not None and self._papers.at_work
        lanes = {"poll": self._sources.at_work, "pages": self._pages.at_work, "outbox": self._messages.at_work}
        return {name for name, busy in {**lanes, "papers": papers, "backup": self._backs_up}.items() if busy}

    async def _claim_papers(self, limit: int) -> list[EnrichTask]:
        tasks = await self.enrichment.claim(limit) if self.enrichment else []
        if tasks:
            await self.sync_topics()
        return tasks


@contextlib.contextmanager
def _much_that_stays() -> Iterator[None]:
    """Ten thousand topics are two million objects, and none of them is rubbish: looking through them again and again
    while they are made is a third of the work. Afterwards they are set apart from what later collections look through.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
