"""Sources: which, when next, who is at it, and what came of each visit."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from monitor.model import Entry, Poll, Source, Topic, Validators
from storage.engine import Repository, reads, writes


class Sources(Repository):
    @writes
    def add(self, db: sa.Connection, source: Source) -> Source:
        """Store a new source. Without `next_poll_at` it is due at once. Raises StorageError if its slug is taken."""
        raise NotImplementedError

    @reads
    def get(self, db: sa.Connection, slug: str) -> Source:
        """Raises NotFound, naming the nearest slugs."""
        raise NotImplementedError

    @reads
    def list(self, db: sa.Connection, active: bool | None = None) -> builtins.list[Source]:
        """By slug; only the active or the inactive ones if asked."""
        raise NotImplementedError

    @writes
    def update(self, db: sa.Connection, source: Source) -> Source:
        """Store what an admin may set: name, url, kind, pages, active, interval, weight. A new url forgets the validators.

        Raises NotFound.
        """
        raise NotImplementedError

    @writes
    def set_active(self, db: sa.Connection, slug: str, active: bool) -> Source:
        """An activated source is due at once, its failures forgotten. Raises NotFound."""
        raise NotImplementedError

    @writes
    def claim_due(self, db: sa.Connection, now: datetime, limit: int, lease: timedelta) -> builtins.list[Source]:
        """Take up to `limit` active sources that are due and held by nobody, longest due first.

        Each comes with a new epoch: whoever held it before can no longer change it.
        """
        raise NotImplementedError

    @writes
    def claim(self, db: sa.Connection, slug: str, now: datetime, lease: timedelta) -> Source | None:
        """Take one source, due or not; None while another holds it. Raises NotFound."""
        raise NotImplementedError

    @writes
    def renew(self, db: sa.Connection, source_id: int, epoch: int, lease_until: datetime) -> bool:
        """Keep a claim for longer. False: it is lost, stop."""
        raise NotImplementedError

    @writes
    def release(self, db: sa.Connection, source_id: int, epoch: int) -> bool:
        """Give a claim back undone; the source is still due."""
        raise NotImplementedError

    @writes
    def finish(
        self,
        db: sa.Connection,
        source: Source,
        poll: Poll,
        *,
        next_poll_at: datetime,
        validators: Validators | None = None,
        moves: int | None = None,
        new_url: str | None = None,
    ) -> bool:
        """Record a visit and end the claim; False, and nothing changed, if the claim was lost.

        Outcome "ok" or "unchanged" ends the row of failures, any other lengthens it. None leaves a value as it is.
        """
        raise NotImplementedError

    @reads
    def polls(self, db: sa.Connection, source_id: int, since: datetime) -> builtins.list[Poll]:
        """Visits since then, newest first."""
        raise NotImplementedError

    @writes
    def prune_polls(self, db: sa.Connection, before: datetime) -> int:
        """Forget visits before then; how many."""
        raise NotImplementedError

    @reads
    def unseen(self, db: sa.Connection, source_id: int, entries: Sequence[Entry]) -> builtins.list[Entry]:
        """The entries that this source has not brought before, each once, in their order.

        Seen is what comes with an address known here (however its text or guid changed), or with a known guid under an
        unchanged title. A guid alone proves nothing: feeds exist that give all their entries the same one.
        """
        raise NotImplementedError

    @writes
    def import_first_run(
        self, db: sa.Connection, sources: Sequence[Source], topics: Sequence[Topic], now: datetime
    ) -> bool:
        """Store the sources and topics of a new installation; False, and nothing changed, if that was done before."""
        raise NotImplementedError
