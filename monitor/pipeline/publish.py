"""A reader's way out, first half: due subscription | compose | render | enqueue, each period once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from monitor import schedule
from monitor.digest import Letterhead, Links, compose, render
from monitor.model import Delivery, Digest, EmptyRule, Found, Level, Message, Period, Subscriber, Subscription
from monitor.pipeline.ingest import explain
from storage import Storage

log = logging.getLogger(__name__)

BATCH = 100  # subscriptions looked at in one go
SILENT_PERIODS_BEFORE_SIGN_OF_LIFE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Due subscriptions in, frozen messages in the outbox out: one for each (subscription, period), whatever crashes."""

    storage: Storage
    letterhead: Letterhead
    links: Links
    now: Callable[[], datetime]
    horizon_days: int

    async def plan_due(self) -> int:
        """Enqueue every digest that is due; the number enqueued. One reader's trouble is noted and delays no other."""
        enqueued = 0
        while due := await self.storage.readers.due(self.now(), BATCH):
            progress = 0
            for subscriber, subscription in due:
                planned = await self._plan_one(subscriber, subscription)
                enqueued += planned is not None
                progress += 1 if planned is not None or planned is None else 0
            if len(due) < BATCH:
                break
        return enqueued

    async def compose(self, subscriber: Subscriber, subscription: Subscription, now: datetime) -> Digest:
        """The digest that would be sent if it were due now. Stores nothing."""
        due_at, next_at = schedule.catch_up(subscription, now)
        return await self._compose(subscriber, subscription, self._period(subscription, due_at), next_at, now)

    def render(self, digest: Digest) -> Message:
        return render(digest, self.letterhead, self.links)
