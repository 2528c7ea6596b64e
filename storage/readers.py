"""Readers: subscribers, what they subscribe to, and what their next digest may hold."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from monitor.model import Coverage, Found, Period, Subscriber, SubscriberState, Subscription
from storage.engine import Repository, reads, writes


class Readers(Repository):
    @writes
    def add_subscriber(self, db: sa.Connection, subscriber: Subscriber, now: datetime) -> Subscriber:
        """Raises StorageError if the address (in any case) has a subscriber already."""
        raise NotImplementedError

    @reads
    def get(self, db: sa.Connection, email: str) -> Subscriber:
        """By address, in any case. Raises NotFound."""
        raise NotImplementedError

    @reads
    def get_by_id(self, db: sa.Connection, subscriber_id: int) -> Subscriber:
        """Raises NotFound."""
        raise NotImplementedError

    @reads
    def list(self, db: sa.Connection, state: SubscriberState | None = None) -> builtins.list[Subscriber]:
        """By address."""
        raise NotImplementedError

    @writes
    def update(self, db: sa.Connection, subscriber: Subscriber) -> Subscriber:
        """Store address, name, state and token epoch. Raises NotFound, or StorageError if the address is another's."""
        raise NotImplementedError

    @writes
    def erase(self, db: sa.Connection, subscriber_id: int, now: datetime) -> None:
        """Delete the person with everything sent to them; a hash of the address stays, so that nobody signs it up again."""
        raise NotImplementedError

    @writes
    def suppress(self, db: sa.Connection, email: str, reason: str, now: datetime) -> None:
        """Never mail this address; only its hash is kept."""
        raise NotImplementedError

    @writes
    def unsuppress(self, db: sa.Connection, email: str) -> bool:
        raise NotImplementedError

    @reads
    def suppressed(self, db: sa.Connection, email: str) -> str | None:
        """Why this address must not be mailed, or None."""
        raise NotImplementedError

    @writes
    def add_subscription(self, db: sa.Connection, subscription: Subscription) -> Subscription:
        raise NotImplementedError

    @reads
    def subscription(self, db: sa.Connection, subscription_id: int) -> Subscription:
        """Raises NotFound."""
        raise NotImplementedError

    @reads
    def subscriptions(self, db: sa.Connection, subscriber_id: int) -> builtins.list[Subscription]:
        raise NotImplementedError

    @writes
    def update_subscription(self, db: sa.Connection, subscription: Subscription) -> Subscription:
        """Store all of it, due time included. Raises NotFound."""
        raise NotImplementedError

    @reads
    def due(self, db: sa.Connection, now: datetime, limit: int) -> builtins.list[tuple[Subscriber, Subscription]]:
        """Active subscriptions of active subscribers whose time has come and that are not paused, longest due first."""
        raise NotImplementedError

    @reads
    def found(
        self, db: sa.Connection, subscription: Subscription, period: Period, now: datetime, horizon: timedelta
    ) -> builtins.list[Found]:
        """What this subscription may bring: articles stored and matched before the period's end, within `horizon`
        of `now`, not sent to this subscriber before, not found by a rematch. A first digest looks back one period.
        By article id, each with all its matches for these topics.
        """
        raise NotImplementedError

    @reads
    def coverage(self, db: sa.Connection, start: datetime, end: datetime) -> Coverage:
        """What was read between the two, and what could not be."""
        raise NotImplementedError

    @reads
    def last_news(self, db: sa.Connection, topic_ids: Sequence[int]) -> dict[int, datetime]:
        """When each topic last had a new article; topics that never had one are left out."""
        raise NotImplementedError

    @reads
    def weekly_history(
        self, db: sa.Connection, topic_ids: Sequence[int], before: datetime, weeks: int = 8
    ) -> dict[int, tuple[int, ...]]:
        """Matches of each topic in each of the weeks before, oldest first."""
        raise NotImplementedError
