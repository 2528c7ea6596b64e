"""A source's way in: fetch | parse | unseen | match | save, and each article's page after it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor import schedule
from monitor.errors import FetchError, FetchRefused, FetchStatus, MonitorError, ParseError
from monitor.fetch import Fetcher
from monitor.match import Matcher
from monitor.model import Article, Entry, Feed, Fetched, Level, Match, Poll, Source
from monitor.parse import article_from_entry, parse_article, parse_feed
from monitor.pipeline.lane import kept
from monitor.sandbox import Sandbox
from storage import PageTask, Saved, Storage

log = logging.getLogger(__name__)

MOVES_BEFORE_NEW_ADDRESS = 3  # permanent redirects in a row until we believe them
FAILURES_BEFORE_NOTICE = 3
GONE = 410


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

    async def refresh(self, source: Source) -> Poll:
        """One visit to a claimed source. Raises nothing: what went wrong is the poll's outcome."""
        started = time.monotonic()
        async with kept(
            lambda: self.storage.sources.renew(source.id, source.epoch, self.now() + self.lease), self.lease
        ):
            try:
                fetched = await self.fetcher.get(source.url, validators=source.validators)
                feed = None if fetched.unchanged else await self._parse(fetched)
                new = await self._save(source, feed) if feed else 0
            except Exception as error:  # the boundary: one source's trouble, whatever it is, stays its own
                return await self._failed(source, error, time.monotonic() - started)
        return await self._succeeded(source, fetched, feed, new, time.monotonic() - started)

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
        matches = self.matcher.match(article)
        found = {match.topic_id for match in matches}
        if all(match.topic_id in found for match in self.matcher.match(before)):
            return article, matches
        fuller = replace(article, body=f"{before.body or before.summary}\n\n{article.body}")
        more = self.matcher.match(fuller)
        return (fuller, more) if len(more) > len(matches) else (article, matches)

    async def _parse(self, fetched: Fetched) -> Feed:
        return await self.sandbox.run(
            parse_feed, fetched.body, url=fetched.final_url, content_type=fetched.content_type, limit=self.max_entries
        )

    async def _save(self, source: Source, feed: Feed) -> int:
        entries = await self.storage.sources.unseen(source.id, feed.entries)
        if not entries:
            return 0
        now = self.now()
        saved = [self._saved(source, feed, entry, now) for entry in entries]
        counts = await self.storage.articles.save(source, saved, now)
        return counts.new

    def _saved(self, source: Source, feed: Feed, entry: Entry, now: datetime) -> Saved:
        article = replace(article_from_entry(entry, feed=feed), source_id=source.id, source_slug=source.slug)
        page_due_at = now if source.pages and article.url else None
        return Saved(entry=entry, article=article, matches=tuple(self.matcher.match(article)), page_due_at=page_due_at)

    async def _succeeded(self, source: Source, fetched: Fetched, feed: Feed | None, new: int, seconds: float) -> Poll:
        now = self.now()
        entries = len(feed.entries) if feed else 0
        poll = Poll(
            source_id=source.id,
            at=now,
            outcome="ok" if feed else "unchanged",
            entries=entries,
            new=new,
            seconds=seconds,
            detail=_remarks(feed),
        )
        next_poll_at = schedule.next_poll(
            source,
            now,
            failures=0,
            max_age=fetched.max_age,
            ttl=feed.ttl if feed else None,
            jitter=random.random(),  # noqa: S311
        )
        moves = source.moves + 1 if fetched.moved_to else 0
        moved = fetched.moved_to if moves >= MOVES_BEFORE_NEW_ADDRESS else None
        # the validators come last: were they stored before the entries, a crash between would lose those
        await self.storage.sources.finish(
            source, poll, next_poll_at=next_poll_at, validators=fetched.validators, moves=moves, new_url=moved
        )
        subject = f"source:{source.slug}"
        await self.storage.notices.close(subject, "failing", now)
        if moved:
            text = f"{source.name} has moved for good from {source.url} to {moved}; the new address is now used."
            await self.storage.notices.raise_once(subject, "moved", Level.INFO, text, now)
        log.info("refreshed source=%s entries=%d new=%d seconds=%.2f", source.slug, entries, new, seconds)
        return poll

    async def _failed(self, source: Source, error: Exception, seconds: float) -> Poll:
        now = self.now()
        detail = explain(error)
        if not isinstance(error, MonitorError):
            log.exception("unexpected failure source=%s", source.slug, exc_info=error)
        poll = Poll(source_id=source.id, at=now, outcome=type(error).__name__, seconds=seconds, detail=detail)
        failures = source.failures + 1
        next_poll_at = schedule.next_poll(
            source,
            now,
            failures=failures,
            retry_after=_retry_after(error),
            jitter=random.random(),  # noqa: S311
        )
        await self.storage.sources.finish(source, poll, next_poll_at=next_poll_at)
        log.warning("failed source=%s failures=%d next=%s reason=%s", source.slug, failures, next_poll_at, detail)
        await self._tell(source, error, detail, failures, now)
        return poll

    async def _tell(self, source: Source, error: Exception, detail: str, failures: int, now: datetime) -> None:
        subject = f"source:{source.slug}"
        if isinstance(error, FetchStatus) and error.status == GONE:
            await self.storage.sources.set_active(source.slug, False)
            text = f"{source.name} says that it is gone for good (410) and is no longer polled. It was at {source.url}."
            await self.storage.notices.raise_once(subject, "gone", Level.ERROR, text, now)
        elif failures >= FAILURES_BEFORE_NOTICE or isinstance(error, FetchRefused):
            text = f"{source.name} could not be read {failures} times in a row: {detail}"
            await self.storage.notices.raise_once(subject, "failing", Level.WARNING, text, now)

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


def _remarks(feed: Feed | None) -> str:
    if feed is None:
        return ""
    remarks: Sequence[str] = [
        *([f"{feed.dropped} entries beyond the limit were left out"] if feed.dropped else []),
        *([f"repaired: {feed.repaired}"] if feed.repaired else []),
    ]
    return "; ".join(remarks)


__all__ = ["Ingest", "explain"]
