"""A reader's way out, first half: due subscription | compose | render | enqueue, each period once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitor import schedule
from monitor.digest import Letterhead, Links, News, TopicFeedback, compose, learn, listed, render
from monitor.errors import MonitorError
from monitor.meter import Meter
from monitor.model import (
    Delivery,
    Digest,
    EmptyRule,
    Found,
    Label,
    Level,
    Message,
    Period,
    Subscriber,
    Subscription,
    Topic,
)
from monitor.pipeline.archive import near_misses
from monitor.pipeline.ingest import explain
from monitor.spans import OFF, Spans
from storage import Storage

log = logging.getLogger(__name__)

BATCH = 500  # subscriptions looked at in one go
SILENT_PERIODS_BEFORE_SIGN_OF_LIFE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Due subscriptions in, frozen messages in the outbox out: one for each (subscription, period)."""

    storage: Storage
    letterhead: Letterhead
    links: Links
    now: Callable[[], datetime]
    horizon: timedelta
    news: News = field(default_factory=News)
    meter: Meter = field(default_factory=Meter)
    spans: Spans = OFF

    async def plan_due(self) -> int:
        """Enqueue every digest that is due; the number enqueued. One reader's trouble is noted and delays no other."""
        enqueued = 0
        for subscriber, subscription in await self.storage.readers.due(self.now(), BATCH):
            subject = f"subscription:{subscription.id}"
            try:
                topics = len(subscription.topic_ids)
                with (
                    self.meter.render_seconds.timed(),
                    self.spans.span("digest", subscription=subscription.id, topics=topics) as span,
                ):
                    is_new = await self._plan(subscriber, subscription)
                    span.tell(enqueued=is_new)
                enqueued += is_new
            except Exception as error:  # the boundary: one reader's trouble stays their own; it is due until it is well
                log.exception("digest failed subscription=%d", subscription.id)
                text = f"The digest of {subscriber.email} could not be made: {explain(error)}. It is tried again."
                await self.storage.notices.raise_once(subject, "no-digest", Level.ERROR, text, self.now())
            else:
                await self.storage.notices.close(subject, "no-digest", self.now())
        return enqueued

    async def warn_due(self) -> int:
        """Enqueue notices about what was sent for the readers who want them at once; the number of messages.

        Their planned digest stays as it is. What does not wish it at once stands in the next digest's safety box.
        """
        enqueued = 0
        await self.storage.stories.settle(self.now())
        for subscriber, subscription in await self.storage.corrections.due_at_once():
            now = self.now()
            period = Period(key=f"safety-{now:%Y-%m-%dT%H:%M:%S}Z", start=now - timedelta(days=1), end=now)
            digest = compose(
                subscriber,
                replace(subscription, topic_ids=()),
                (),
                (),
                period=period,
                coverage=await self.storage.readers.coverage(period.start, period.end),
                last_news={},
                history={},
                next_at=subscription.next_digest_at,
                now=now,
                safety=await self.storage.corrections.untold(subscriber.id),
            )
            if digest.safety:
                sent = await self._enqueue(digest, subscription.next_digest_at, subscription.silent_periods)
                enqueued += sent is not None
        return enqueued

    async def send_now(self, subscriber: Subscriber, subscription: Subscription) -> Delivery | None:
        """Enqueue the digest of the period that is not over yet; its planned date stays for what comes after.

        None when there is nothing new, or another process was first.
        """
        now = self.now()
        start = schedule.previous_due(subscription, subscription.next_digest_at or now)
        period = Period(key=f"{now:%Y-%m-%dT%H:%M:%S}Z", start=min(start, now), end=now)
        digest = await self.compose(subscriber, subscription, period, subscription.next_digest_at)
        if not (digest.items or digest.safety):
            return None
        return await self._enqueue(digest, subscription.next_digest_at, 0)

    async def preview(self, subscriber: Subscriber, subscription: Subscription) -> tuple[Digest, Message]:
        """The digest that would go out now, with all that is new since the last one. Stores nothing."""
        now = self.now()
        next_at = subscription.next_digest_at
        period = schedule.period(subscription, now, schedule.previous_due(subscription, min(next_at or now, now)))
        digest = await self.compose(subscriber, subscription, period, next_at)
        return digest, self.render(digest)

    async def compose(
        self, subscriber: Subscriber, subscription: Subscription, period: Period, next_at: datetime | None
    ) -> Digest:
        """What this reader was not sent yet, ranked and in order."""
        now = self.now()
        await self.storage.stories.settle(now)
        readers = self.storage.readers
        topics = await self.storage.topics.get_many(subscription.topic_ids)
        found = await readers.found(subscription, period, now, self.horizon)
        news = [one for one in found if one in self.news]
        old = [one for one in found if one not in self.news and _came_in(one, period)]
        coverage = replace(await readers.coverage(period.start, period.end), old=len(old))
        labels = [label for topic in topics for label in await self.storage.topics.labels(topic.id)]
        return compose(
            subscriber,
            subscription,
            topics,
            news,
            period=period,
            coverage=coverage,
            last_news=await readers.last_news(subscription.topic_ids),
            history=await readers.weekly_history(subscription.topic_ids, period.start),
            labels=labels,
            feedback=await self._feedback(topics, labels),
            corrected=await self.storage.corrections.about([one.article for one in news]),
            near=await self._near(topics, period) if subscription.near_misses else (),
            next_at=next_at,
            now=now,
            safety=await self.storage.corrections.untold(subscriber.id),
        )

    async def _near(self, topics: Sequence[Topic], period: Period) -> list[Found]:
        return [one for one in await near_misses(self.storage, topics, period) if one in self.news]

    async def _feedback(self, topics: Sequence[Topic], labels: Sequence[Label]) -> dict[int, TopicFeedback]:
        """What readers' judgements teach about each topic, once there are enough of them."""
        learnt: dict[int, TopicFeedback] = {}
        for topic in topics:
            own = [label for label in labels if label.topic_id == topic.id]
            verdicts = {label.article_id: label.verdict for label in reversed(own)}  # the newest counts
            if not verdicts:
                continue
            articles = await self.storage.articles.get_many(sorted(verdicts))
            if feedback := learn([(article, verdicts[article.id]) for article in articles]):
                learnt[topic.id] = feedback
        return learnt

    def render(self, digest: Digest) -> Message:
        return render(digest, self.letterhead, self.links)

    async def _plan(self, subscriber: Subscriber, subscription: Subscription) -> bool:
        now = self.now()
        planned = subscription.next_digest_at
        if planned is None:
            raise MonitorError("a due subscription has a due time")
        due_at, next_at = schedule.catch_up(subscription, now)
        period = schedule.period(subscription, due_at, schedule.previous_due(subscription, planned))
        digest = await self.compose(subscriber, subscription, period, next_at)
        news = bool(digest.items or digest.safety)
        silent = 0 if news else subscription.silent_periods + 1
        if not news and not _sends_empty(subscription, silent):
            await self.storage.outbox.skip(
                subscription, expected_next_at=planned, next_at=next_at, silent_periods=silent
            )
            log.info("nothing new subscription=%d period=%s", subscription.id, period.key)
            return False
        sign_of_life = not news and subscription.empty is EmptyRule.SKIP
        return await self._enqueue(digest, planned, 0 if sign_of_life else silent) is not None

    async def _enqueue(self, digest: Digest, planned: datetime | None, silent: int) -> Delivery | None:
        with self.spans.span("render", items=len(digest.items), safety=len(digest.safety)):
            return await self._enqueued(digest, planned, silent)

    async def _enqueued(self, digest: Digest, planned: datetime | None, silent: int) -> Delivery | None:
        digest = listed(digest, self.letterhead, self.links)
        delivery = Delivery(
            subscription_id=digest.subscription.id,
            subscriber_id=digest.subscriber.id,
            period_key=digest.period.key,
            message=self.render(digest),
            queued_at=self.now(),
        )
        enqueued = await self.storage.outbox.enqueue(
            delivery,
            [item.article.id for item in digest.items],
            expected_next_at=planned,
            next_at=digest.next_at,
            silent_periods=silent,
            updates=[item.article.id for item in digest.items if item.update],
            papers=[item.article.id for item in digest.items if item.shows_paper],
            safety=[item.correction.id for item in digest.safety],
        )
        if enqueued:
            log.info("enqueued delivery=%d period=%s items=%d", enqueued.id, digest.period.key, len(digest.items))
        return enqueued


def _came_in(found: Found, period: Period) -> bool:
    stored_at = found.article.stored_at
    return stored_at is not None and period.start <= stored_at < period.end


def _sends_empty(subscription: Subscription, silent: int) -> bool:
    if subscription.empty is EmptyRule.SKIP:
        return silent >= SILENT_PERIODS_BEFORE_SIGN_OF_LIFE
    return subscription.empty is EmptyRule.ALWAYS
