"""Who leads: a row with an end and an epoch. Not needed for correctness (claims are), it saves double work."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from storage.engine import Repository, writes


class Leases(Repository):
    @writes
    def acquire(self, db: sa.Connection, name: str, holder: str, now: datetime, ttl: timedelta) -> int | None:
        """Take or renew; the epoch, which rises at each change of holder. None: another holds it."""
        raise NotImplementedError

    @writes
    def release(self, db: sa.Connection, name: str, holder: str) -> bool:
        """False if another holds it."""
        raise NotImplementedError
