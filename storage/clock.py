"""One clock for many machines: the database's, carried on by a clock that nobody can set."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from storage.engine import Repository, reads


def steady() -> float:
    """Seconds that neither a step of the system's clock nor a machine asleep disturbs."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SharedClock(Repository):
    """PostgreSQL's time. Call `look` now and then; between two looks the time runs on by `steady`.

    Leases and due times are compared between machines: by their own clocks, one that is an hour fast would take away
    what others hold, and send their mails a second time.
    """

    _zero = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._zero + timedelta(seconds=steady())

    async def look(self) -> None:
        """Ask the database. Raises StorageError; the time runs on as before."""
        before = steady()
        there = await self._ask()
        half_way = (before + steady()) / 2
        self._zero = there - timedelta(seconds=half_way)

    @reads
    def _ask(self, db: sa.Connection) -> datetime:
        there: datetime = db.scalars(sa.select(sa.func.clock_timestamp())).one()
        return there.astimezone(UTC)
