"""A source's way in: fetch | parse | unseen | match | save, and each article's page after it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitor import schedule
from monitor.errors import FetchError, FetchRefused, FetchStatus, MonitorError, ParseError
from monitor.fetch import Fetcher
from monitor.match import Matcher
from monitor.meter import Meter
from monitor.model import Article, Entry, Feed, Fetched, Match, Poll, Source, SourceKind, Validators
from monitor.parse import article_from_entry, parse_article, parse_feed
from monitor.parse.asking import Access
from monitor.parse.harvesters import HARVESTERS, WINDOWS
from monitor.pipeline.harvest import Driver, Patience
from monitor.pipeline.health import Health
from monitor.pipeline.lane import kept
from monitor.sandbox import Sandbox
from monitor.schedule import Pacing
from monitor.spans import OFF, Spans
from storage import Learned, PageTask, Saved, Storage

log = logging.getLogger(__name__)

MOVES_BEFORE_NEW_ADDRESS = 3  # permanent redirects in a row until we believe them


@dataclass(slots=True)
class Visit:
    """What one visit to a source has brought so far. `head` is the answer that its validators and address come from."""

    head: Fetched | None = None
    unchanged: bool = False
    entries: int = 0
    unseen: int = 0
    new: int = 0
    appeared: list[datetime | None] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    ttl: timedelta | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """Sources in, stored and matched articles out. Every failure is recorded where an admin sees it."""

    storage: Storage
    fetcher: Fetcher
    sandbox: Sandbox
    matcher: Matcher
    now: Callable[[], datetime]
    lease: timedelta
    max_entries: int = 1000
    access: Access = field(default_factory=Access)
    pacing: Pacing = field(default_factory=Pacing)
    patience: Patience = field(default_factory=Patience)
    meter: Meter = field(default_factory=Meter)
    spans: Spans = OFF

    async def refresh(self, source: Source) -> Poll:
        """One visit to a claimed source. Raises nothing: what went wrong is the poll's outcome."""
        with self.spans.span("visit", source=source.slug) as span:
            poll = await self._visit(source)
            span.tell(outcome=poll.outcome, entries=poll.entries, new=poll.new)
            return poll

    async def _visit(self, source: Source) -> Poll:
        started = time.monotonic()
        visit = Visit()
        async with kept(
            lambda: self.storage.sources.renew(source.id, source.epoch, self.now() + self.lease), self.lease
        ):
            try:
                await (self._read_feed if source.kind is SourceKind.FEED else self._harvest)(source, visit)
            except Exception as error:  # the boundary: one source's trouble, whatever it is, stays its own
                return await self._failed(source, error, visit, time.monotonic() - started)
        return await self._succeeded(source, visit, time.monotonic() - started)

    async def _read_feed(self, source: Source, visit: Visit) -> None:
        visit.head = await self.fetcher.get(source.url, validators=source.validators)
        visit.unchanged = visit.head.unchanged
        if not visit.unchanged:
            feed = await self._parse(visit.head)
            visit.ttl = feed.ttl
            await self._take(source, feed, visit)

    async def _harvest(self, source: Source, visit: Visit) -> None:
        """Ask an index or a site page by page; each page is stored before the next is asked for, the watermark last."""
        driver = Driver(self.fetcher, self.sandbox, self.patience)
        harvest = HARVESTERS[source.kind](source, self.access, self.now())

        async def store(feed: Feed) -> None:
            await self._take(source, feed, visit)

        done = await driver.run(source, harvest, store)
        visit.unchanged = done is None
        if done is not None:
            visit.since = done.since
            visit.remarks += done.remarks
        if done is None or done.conditional:
            visit.head = driver.first

    async def _take(self, source: Source, feed: Feed, visit: Visit) -> None:
        unseen = await self.storage.sources.unseen(source.id, feed.entries)
        visit.new += await self._save(source, feed, unseen)
        if feed.corrections:  # also of papers that are known, and of some that are not
            await self.storage.corrections.add(feed.corrections, self.now())
        visit.entries += len(feed.entries)
        visit.unseen += len(unseen)
        visit.appeared += [entry.published or entry.updated for entry in feed.entries]
        visit.remarks += _remarks(feed)

    async def look_at(self, source: Source) -> Feed:
        """What a visit to this source would find now, all of it, storing nothing. Raises FetchError or ParseError."""
        if source.kind is SourceKind.FEED:
            return (await self.look(source.url))[1]
        found: list[Feed] = []

        async def keep(feed: Feed) -> None:
            found.append(feed)

        await Driver(self.fetcher, self.sandbox, self.patience).run(
            replace(source, validators=Validators()), HARVESTERS[source.kind](source, self.access, self.now()), keep
        )
        entries = tuple(entry for feed in found for entry in feed.entries)
        return Feed(title=found[0].title if found else "", entries=entries, url=source.url)

    async def look(self, url: str) -> tuple[Fetched, Feed]:
        """Fetch and parse a feed without storing anything. Raises FetchError or ParseError."""
        fetched = await self.fetcher.get(url)
        return fetched, await self._parse(fetched)

    async def look_at_page(self, url: str) -> Article:
        """Fetch and parse one article page without storing anything. Raises FetchError or ParseError."""
        page = await self.fetcher.get(url, robots=True)
        return await self.sandbox.run(parse_article, page.body, url=page.final_url, content_type=page.content_type)

    async def read_page(self, task: PageTask) -> None:
        """Replace what the feed said of an article by what its page says. Raises nothing; failures are tried again."""
        with self.spans.span("page", source=task.article.source_slug):
            await self._read_page(task)

    async def _read_page(self, task: PageTask) -> None:
        async with kept(lambda: self.storage.articles.renew_page(task, self.now() + self.lease), self.lease):
            try:
                page = await self.fetcher.get(task.url, robots=True)
                article = await self.sandbox.run(
                    parse_article, page.body, url=page.final_url, content_type=page.content_type, entry=task.entry
                )
            except Exception as error:  # the boundary: the article stays, with what its feed said
                await self._page_failed(task, error)
                return
        article = replace(
            article,
            id=task.article.id,
            key=task.article.key,
            source_id=task.article.source_id,
            source_slug=task.article.source_slug,
        )
        article, matches = self._with_what_the_feed_said(article, task.article)
        if await self.storage.articles.page_saved(task, article, matches, self.now()):
            log.info("read page article=%d matches=%d", article.id, len(matches))

    def _with_what_the_feed_said(self, article: Article, before: Article) -> tuple[Article, list[Match]]:
        """The article and its matches. Where the page says less than the feed did (a paywall, a stub), the feed's words
        come first in its text: no topic loses an article because somebody closed its page.
        """
        matches = self._match(article)
        found = {match.topic_id for match in matches}
        told = {match.topic_id for match in self.matcher.match(before)}
        self.meter.matched(found - told)
        if told <= found:
            return article, matches
        fuller = replace(article, body=f"{before.body or before.summary}\n\n{article.body}")
        more = self.matcher.match(fuller)
        return (fuller, more) if len(more) > len(matches) else (article, matches)

    def _match(self, article: Article) -> list[Match]:
        with self.meter.match_seconds.timed():
            return self.matcher.match(article)

    async def _parse(self, fetched: Fetched) -> Feed:
        return await self.sandbox.run(
            parse_feed, fetched.body, url=fetched.final_url, content_type=fetched.content_type, limit=self.max_entries
        )

    async def _save(self, source: Source, feed: Feed, entries: list[Entry]) -> int:
        if not entries:
            return 0
        now = self.now()
        with self.spans.span("match", articles=len(entries)) as span:
            saved = [self._saved(source, feed, entry, now) for entry in entries]
            found = [match.topic_id for one in saved for match in one.matches]
            span.tell(matches=len(found), topics=len(set(found)))
        counts = await self.storage.articles.save(source, saved, now)
        self.meter.stored.add(source.slug, by=counts.new)
        self.meter.duplicates.add(by=counts.known)
        self.meter.matched(found)
        return counts.new

    def _saved(self, source: Source, feed: Feed, entry: Entry, now: datetime) -> Saved:
        article = article_from_entry(entry, feed=feed, source=source)
        with self.meter.match_seconds.timed():
            reading = self.matcher.read(article)
            matches = tuple(self.matcher.match_read(reading))
        page_due_at = now if source.pages and article.url else None
        return Saved(
            entry=entry, article=article, matches=matches, page_due_at=page_due_at, words=reading.index_words()
        )

    async def _succeeded(self, source: Source, visit: Visit, seconds: float) -> Poll:
        now = self.now()
        poll = Poll(
            source_id=source.id,
            at=now,
            outcome="unchanged" if visit.unchanged else "ok",
            entries=visit.entries,
            new=visit.new,
            seconds=seconds,
            detail="; ".join(visit.remarks)[:2_000],
        )
        moving = source.kind in WINDOWS  # its list moves on: what is not read in time is gone
        missed = moving and schedule.has_missed(source, visit.entries, visit.unseen, self.pacing)
        gap = schedule.usual_gap(visit.appeared, now) or source.gap
        pace = schedule.learned_pace(source, gap, missed=missed, pacing=self.pacing) if moving else None
        head = visit.head
        next_poll_at = schedule.next_poll(
            source,
            now,
            max_age=head.max_age if head and not missed else None,
            ttl=None if missed else visit.ttl,
            pace=pace,
            jitter=random.random(),  # noqa: S311
        )
        moves = source.moves + 1 if head and head.moved_to else 0
        moved = head.moved_to if head and moves >= MOVES_BEFORE_NEW_ADDRESS else None
        # validators and watermark come last: were they stored before the entries, a crash between would lose those
        done = await self.storage.sources.finish(
            source,
            poll,
            next_poll_at=next_poll_at,
            validators=head.validators if head else None,
            moves=moves,
            new_url=moved,
            learned=Learned(brought=visit.unseen > 0, since=visit.since, gap=gap, pace=pace),
            over=self._health.over(new=visit.unseen, missed=missed),
        )
        await self._health.went_well(
            source, now, closed=done.closed, new=visit.unseen, missed=missed, pace=pace, moved_to=moved or ""
        )
        self.meter.visited(source.slug, poll.outcome, seconds)
        log.info("refreshed source=%s entries=%d new=%d seconds=%.2f", source.slug, visit.entries, visit.new, seconds)
        return poll

    async def _failed(self, source: Source, error: Exception, visit: Visit, seconds: float) -> Poll:
        now = self.now()
        detail = explain(error)
        if not isinstance(error, MonitorError):
            log.exception("unexpected failure source=%s", source.slug, exc_info=error)
        poll = Poll(
            source_id=source.id,
            at=now,
            outcome=type(error).__name__,
            entries=visit.entries,
            new=visit.new,
            seconds=seconds,
            detail=detail,
        )
        failures = source.failures + 1
        next_poll_at = schedule.next_poll(
            source,
            now,
            failures=failures,
            retry_after=_retry_after(error),
            jitter=random.random(),  # noqa: S311
        )
        next_poll_at = self._health.wait_after(error, next_poll_at, now)
        await self.storage.sources.finish(source, poll, next_poll_at=next_poll_at)
        self.meter.visited(source.slug, poll.outcome, seconds)
        log.warning("failed source=%s failures=%d next=%s reason=%s", source.slug, failures, next_poll_at, detail)
        await self._health.failed(source, error, detail, failures, now)
        return poll

    @property
    def _health(self) -> Health:
        return Health(storage=self.storage, pacing=self.pacing)

    async def _page_failed(self, task: PageTask, error: Exception) -> None:
        now = self.now()
        if not isinstance(error, MonitorError):
            log.exception("unexpected failure page=%s", task.article.url, exc_info=error)
        hopeless = isinstance(error, FetchRefused | ParseError) or _is_client_error(error)
        next_try = None if hopeless else schedule.next_page_try(task.attempts, now, _retry_after(error))
        await self.storage.articles.page_failed(task, explain(error), next_try)
        log.warning("failed page article=%d next=%s reason=%s", task.article.id, next_try, explain(error))


def explain(error: BaseException) -> str:
    """What an admin reads beside the source's name: our own errors say it, anything else is named by its class."""
    if isinstance(error, FetchError | ParseError):
        return error.reason
    return str(error) if isinstance(error, MonitorError) else f"unexpected {type(error).__name__}: {error}"


def _retry_after(error: Exception) -> float | None:
    return error.retry_after if isinstance(error, FetchStatus) else None


def _is_client_error(error: Exception) -> bool:
    """The server says that asking again is no use (404, 410, 451 …); 403, 408, 425 and 429 may pass."""
    return (
        isinstance(error, FetchStatus) and 400 <= error.status < 500 and error.status not in {400, 403, 408, 425, 429}
    )


def _remarks(feed: Feed) -> list[str]:
    return [
        *([f"{feed.dropped} entries beyond the limit were left out"] if feed.dropped else []),
        *([f"repaired: {feed.repaired}"] if feed.repaired else []),
    ]


__all__ = ["Ingest", "explain"]
