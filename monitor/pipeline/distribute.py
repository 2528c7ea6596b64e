"""The distributed engine: a leader fills the queue, any number of workers empty it with the functions of one process.

Neither is trusted. A leader's jobs are enqueued in one transaction with the proof that it still leads; a worker claims
each source, page and message as `monitor run` does. Two leaders, or a job that runs twice, cost a look at the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from monitor.errors import StorageError
from monitor.model import Level, Source
from monitor.pipeline.dispatch import SELDOM, Beat, common
from monitor.pipeline.lane import kept
from monitor.pipeline.monitor import Monitor
from storage import Storage
from storage.clock import steady
from storage.jobs import PAPERS, SEND, VISIT, Leadership, Queue

log = logging.getLogger(__name__)
T = TypeVar("T")

SCHEDULER = "scheduler"
VISIT_SECONDS = 60.0  # of one server's visit: then others have their turn, and what is left makes a new job
SOURCES_IN_HAND = 8
FEED_SECONDS = 30.0  # of one beat: it must end well now and then, however much is due
QUICK = 1.0  # seconds between two looks of the leader at what is due and at what dead workers left
LEAST_LEAD = timedelta(seconds=5)
REFILL = 0.5  # seconds until the leader looks again while there is work
FAILED_KEPT_HOURS = 7 * 24


class Leader:
    """Leads as long as its lease is renewed. A process that was frozen finds by its own clock that the time is over."""

    def __init__(self, storage: Storage, monitor: Monitor, *, ttl: timedelta, name: str = SCHEDULER) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._storage, self._monitor, self._ttl, self._name = storage, monitor, ttl, name
        self._epoch: int | None = None
        self._until = 0.0

    @property
    def every(self) -> float:
        """Seconds between two calls of `lead`."""
        return self._ttl.total_seconds() / 3

    async def lead(self) -> bool:
        """Take the lead if it is free, or keep it."""
        asked = steady()
        before = self._epoch
        self._epoch = await self._storage.leases.acquire(self._name, self.holder, self._monitor.now(), self._ttl)
        self._until = asked + self._ttl.total_seconds()
        if self._epoch != before:
            log.info("leads=%s epoch=%s", self._epoch is not None, self._epoch)
        return self._epoch is not None

    def leadership(self) -> Leadership | None:
        if self._epoch is None or steady() >= self._until:
            return None
        return Leadership(name=self._name, holder=self.holder, epoch=self._epoch)

    def lose(self) -> None:
        """Another leads: the database said so."""
        self._epoch = None

    async def resign(self) -> None:
        """Let another lead at once."""
        self._epoch = None
        with contextlib.suppress(StorageError):  # the lease ends by itself
            await self._storage.leases.release(self._name, self.holder)


class Work:
    """What workers do, by the kind of job. Each ends soon after `stop`, with nothing half done."""

    def __init__(self, monitor: Monitor, *, batch: int) -> None:
        self._monitor = monitor
        self._batch = batch
        self._open = True
        self.cut_off = 0  # jobs that were still at it when the time to drain was over

    @property
    def kinds(self) -> Mapping[str, Callable[[str, str], Awaitable[object]]]:
        return {kind: self._counted(kind, work) for kind, work in self._kinds.items()}

    @property
    def _kinds(self) -> Mapping[str, Callable[[str], Awaitable[int]]]:
        return {VISIT: self.visit, SEND: self.send, PAPERS: self.papers}

    def stop(self) -> None:
        self._open = False

    async def visit(self, server: str) -> int:
        """One server's due sources, then its due pages, one after the other; how many."""
        monitor = self._monitor
        end = time.monotonic() + VISIT_SECONDS
        await monitor.sync_topics()
        visited = 0
        while self._goes_on(end):
            sources = await monitor.storage.sources.claim_due(
                monitor.now(), SOURCES_IN_HAND, monitor.rules.lease, server=server
            )
            visited += await self._visit_each(sources, end)
            if len(sources) < SOURCES_IN_HAND:
                break
        while self._goes_on(end):
            tasks = await monitor.storage.articles.claim_due_pages(monitor.now(), 1, monitor.rules.lease, server=server)
            if not tasks:
                break
            await monitor.read_page(tasks[0])
            visited += 1
        return visited

    async def send(self, _key: str) -> int:
        """What waits in the outbox, some messages side by side, batch after batch; how many were tried."""
        return await self._batches(self._monitor.sender.claim, self._monitor.sender.deliver)

    async def papers(self, _key: str) -> int:
        """Papers to look up, some side by side; how many."""
        enrichment = self._monitor.enrichment
        return await self._batches(enrichment.claim, enrichment.complete) if enrichment else 0

    async def _visit_each(self, sources: Sequence[Source], end: float) -> int:
        """Visit in turn; those whose turn has not come are kept meanwhile, or given back when there is no time left."""
        monitor = self._monitor
        waiting = list(sources)

        async def renew() -> bool:
            until = monitor.now() + monitor.rules.lease
            for source in list(waiting):
                await monitor.storage.sources.renew(source.id, source.epoch, until)
            return bool(waiting)

        visited = 0
        try:
            async with kept(renew, monitor.rules.lease):
                while waiting and self._goes_on(end):
                    await monitor.visit(waiting.pop(0))
                    visited += 1
        finally:
            for source in waiting:
                await asyncio.shield(monitor.storage.sources.release(source.id, source.epoch))
        return visited

    async def _batches(
        self, claim: Callable[[int], Awaitable[Sequence[T]]], work: Callable[[T], Awaitable[object]]
    ) -> int:
        end = time.monotonic() + VISIT_SECONDS
        done = 0
        while self._goes_on(end):
            claimed = await claim(self._batch)
            ends = await asyncio.gather(*(work(item) for item in claimed), return_exceptions=True)
            done += len(claimed)
            if troubles := [end for end in ends if isinstance(end, BaseException)]:
                raise troubles[0]  # only once all have ended: one that is cut off in the middle of a send is in doubt
            if len(claimed) < self._batch:
                break
        return done

    def _counted(self, kind: str, work: Callable[[str], Awaitable[int]]) -> Callable[[str, str], Awaitable[object]]:
        async def counted(key: str, trace: str = "") -> object:
            try:
                with self._monitor.spans.span("job", parent=trace, kind=kind, host=key) as span:
                    done = await work(key)
                    span.tell(done=done)
                    return done
            except asyncio.CancelledError:
                self.cut_off += 1
                raise

        return counted

    def _goes_on(self, end: float) -> bool:
        return self._open and time.monotonic() < end


class Distributed:
    """A dispatcher's two halves, together or in processes of their own: `leads` fills the queue, `works` empties it."""

    def __init__(self, monitor: Monitor, queue: Queue, *, leads: bool, works: bool, concurrency: int) -> None:
        rules = monitor.rules
        self._monitor, self._queue = monitor, queue
        self._leads, self._works, self._concurrency = leads, works, concurrency
        # shorter than the leases of what is in work: nothing is done twice when it is taken over without need
        self._leader = Leader(monitor.storage, monitor, ttl=max(rules.lease / 2, LEAST_LEAD))
        self.work = Work(monitor, batch=rules.messages_at_once)
        self._crew: asyncio.Task[None] | None = None
        self._open = True

    def beats(self) -> list[Beat]:
        tick = self._monitor.rules.tick
        beats = []
        if self._leads:
            beats += [
                Beat(name="lead", work=self._lead, seconds=min(tick, self._leader.every)),
                Beat(name="feed", work=self.feed, seconds=min(tick, QUICK)),
                Beat(name="rescue", work=self._led(self.rescue), seconds=min(tick, QUICK)),
                Beat(name="forget", work=self._led(self._forget), seconds=SELDOM),
                *(Beat(name=b.name, work=self._led(b.work), seconds=b.seconds) for b in common(self._monitor)),
            ]
        if self._works:
            beats.append(Beat(name="crew", work=self._keep_crew, seconds=tick))
        return beats

    async def drain(self, seconds: float) -> int:
        self._open = False
        self.work.stop()
        await self._leader.resign()
        if self._crew is not None:
            self._crew.cancel()  # which waits for the jobs in hand (Rules.drain), then cuts them off
            await asyncio.wait({self._crew}, timeout=seconds + 2)
        return self.work.cut_off

    async def feed(self) -> int:
        """Enqueue what is due until all of it is in work; how many jobs. Nothing unless we lead."""
        fed = 0
        end = time.monotonic() + FEED_SECONDS
        while self._open and time.monotonic() < end and (leadership := self._leader.leadership()):
            made = await self._feed_once(leadership)
            if made is None:
                log.warning("lead lost epoch=%d", leadership.epoch)
                self._leader.lose()
            if not made:
                break
            fed += made
            await asyncio.sleep(REFILL)
        return fed

    async def _feed_once(self, leadership: Leadership) -> int | None:
        spans = self._monitor.spans
        with spans.span("feed") as span:
            made = await self._monitor.storage.jobs.feed(
                leadership,
                self._monitor.now(),
                concurrency=self._concurrency,
                batch=self._monitor.rules.messages_at_once,
                papers=self._monitor.enrichment is not None,
                trace=spans.here(),
            )
            span.tell(jobs=made or 0)
            if not made:
                span.drop()  # some seconds later it looks again
            return made

    async def rescue(self) -> None:
        """Hand on what dead workers left, in the queue and in the outbox."""
        await self._monitor.recover()
        for job in await self._queue.rescue():
            text = (
                f"The job {job.kind} {job.key} ended with its worker again and again; it is tried again in an hour. "
                "Look at the workers' logs and memory."
            )
            subject = f"job:{job.kind}:{job.key}"
            await self._monitor.storage.notices.raise_once(subject, "given-up", Level.ERROR, text, self._monitor.now())

    async def _forget(self) -> None:
        await self._queue.prune(FAILED_KEPT_HOURS)

    async def _lead(self) -> None:
        if self._open:
            await self._leader.lead()

    def _led(self, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        async def only_as_leader() -> None:
            if self._open and self._leader.leadership():
                await work()

        return only_as_leader

    async def _keep_crew(self) -> None:
        if not self._open:
            return
        if self._crew is None or self._crew.done():
            drain = self._monitor.rules.drain
            crew = self._queue.work(self.work.kinds, concurrency=self._concurrency, drain=drain)
            self._crew = asyncio.create_task(crew, name="crew")
        await self._monitor.storage.ping()
