"""The outbox: each message frozen before its first try, its state committed before and after every step.

queued -> sending -> accepted | deferred (sending again) | failed | in_doubt; held waits for an admin. Whoever claims a
message gets an epoch; only the newest epoch may settle it.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from monitor.model import Delivery, DeliveryState, Subscription
from storage.engine import Repository, reads, writes
from storage.values import SentDigest


class Outbox(Repository):
    @writes
    def enqueue(
        self,
        db: sa.Connection,
        delivery: Delivery,
        article_ids: Sequence[int],
        *,
        expected_next_at: datetime | None,
        next_at: datetime | None,
        silent_periods: int = 0,
    ) -> Delivery | None:
        """Freeze a digest, enter its articles into the reader's ledger and move the subscription on: one transaction.

        None, and nothing changed, when another process was first: the subscription's due time is no longer
        `expected_next_at`, the period has its digest, or one of the articles was sent to this reader meanwhile. Look again.
        """
        raise NotImplementedError

    @writes
    def skip(
        self,
        db: sa.Connection,
        subscription: Subscription,
        *,
        expected_next_at: datetime | None,
        next_at: datetime | None,
        silent_periods: int,
    ) -> bool:
        """Move a subscription on without a digest. False if another process did."""
        raise NotImplementedError

    @writes
    def enqueue_mail(self, db: sa.Connection, delivery: Delivery) -> Delivery:
        """Queue a message that is no digest (a confirmation). One with a known Message-ID is returned as it is stored."""
        raise NotImplementedError

    @writes
    def claim_due(self, db: sa.Connection, now: datetime, limit: int, lease: timedelta) -> builtins.list[Delivery]:
        """Take up to `limit` messages to send, longest waiting first: state sending, one more attempt, a new epoch.

        This is durable before the first byte goes to the relay.
        """
        raise NotImplementedError

    @writes
    def renew(self, db: sa.Connection, delivery: Delivery, lease_until: datetime) -> bool:
        """Keep a claim for longer. False: it is lost, do not send."""
        raise NotImplementedError

    @writes
    def accepted(self, db: sa.Connection, delivery: Delivery, now: datetime) -> bool:
        """The relay took it. Counts even after the lease ran out, as long as nobody else claimed it."""
        raise NotImplementedError

    @writes
    def deferred(
        self,
        db: sa.Connection,
        delivery: Delivery,
        reason: str,
        not_before: datetime,
        now: datetime,
        *,
        counts: bool = True,
    ) -> bool:
        """Certainly not accepted; try again then. `counts` is False when the relay could not be reached or refused us:
        that is no attempt of the message's own, and does not age it.
        """
        raise NotImplementedError

    @writes
    def failed(self, db: sa.Connection, delivery: Delivery, reason: str, now: datetime) -> bool:
        """Given up. Its articles leave the reader's ledger, so that the next digest may bring them."""
        raise NotImplementedError

    @writes
    def in_doubt(self, db: sa.Connection, delivery: Delivery, reason: str, now: datetime) -> bool:
        """Sent, but the answer was lost. `recover` decides what follows."""
        raise NotImplementedError

    @writes
    def recover(self, db: sa.Connection, now: datetime, *, resend: bool = True) -> builtins.list[Delivery]:
        """Put in doubt what was being sent when its lease ran out; with `resend` queue each doubtful message once more,
        with the same Message-ID. Returns those whose state changed.
        """
        raise NotImplementedError

    @reads
    def list(
        self, db: sa.Connection, states: Sequence[DeliveryState] = (), limit: int = 100
    ) -> builtins.list[Delivery]:
        """Newest first, in these states (none: all)."""
        raise NotImplementedError

    @reads
    def get(self, db: sa.Connection, which: int | str) -> Delivery:
        """By id or Message-ID. Raises NotFound."""
        raise NotImplementedError

    @writes
    def retry(self, db: sa.Connection, delivery_id: int, now: datetime) -> Delivery:
        """Queue a deferred, failed, doubtful or held message again, at once. Raises StorageError in any other state, or
        when a later digest has brought its articles meanwhile.
        """
        raise NotImplementedError

    @writes
    def release(self, db: sa.Connection, now: datetime, delivery_ids: Sequence[int] = ()) -> int:
        """Let held messages go (none named: all); how many."""
        raise NotImplementedError

    @writes
    def cancel(self, db: sa.Connection, delivery_id: int, now: datetime) -> Delivery:
        """Never send it; its articles leave the ledger. Raises StorageError if it is being sent, or was accepted."""
        raise NotImplementedError

    @writes
    def hold_all(self, db: sa.Connection, reason: str, now: datetime) -> int:
        """After a restore: everything that might have been sent since the backup waits for an admin; how many."""
        raise NotImplementedError

    @reads
    def counts(self, db: sa.Connection) -> dict[DeliveryState, int]:
        """Of every state, zeros included."""
        raise NotImplementedError

    @reads
    def digests(self, db: sa.Connection, subscriber_id: int, limit: int = 50) -> builtins.list[SentDigest]:
        """A reader's digests, newest first."""
        raise NotImplementedError

    @reads
    def digest(self, db: sa.Connection, delivery_id: int) -> SentDigest:
        """Raises NotFound."""
        raise NotImplementedError
