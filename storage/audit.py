"""Who changed what: one line for each change, in the transaction that makes it: neither is there without the other.

An entrance says who acts (`with acting("ada@example.org", now):`); whatever is changed inside is written down with that
name. What the program does by itself has no actor, and no line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from storage import tables as t
from storage.engine import Repository, reads
from storage.values import AuditEntry

LONGEST_WHAT, LONGEST_STATE = 500, 4_000


@dataclass(frozen=True, slots=True)
class _Actor:
    who: str
    now: Callable[[], datetime]


_actor: ContextVar[_Actor | None] = ContextVar("actor", default=None)


@contextmanager
def acting(who: str, now: Callable[[], datetime]) -> Iterator[None]:
    """Whoever changes something inside is `who`: an address, or "cli:ada"."""
    before = _actor.set(_Actor(who, now))
    try:
        yield
    finally:
        _actor.reset(before)


def record(db: sa.Connection, what: str, before: object = "", after: object = "") -> None:
    """Within the transaction that makes the change: who made it, how it was before and after; never a secret."""
    actor = _actor.get()
    if actor is None:
        return
    values = {
        "who": actor.who,
        "what": what[:LONGEST_WHAT],
        "before": str(before)[:LONGEST_STATE],
        "after": str(after)[:LONGEST_STATE],
        "at": actor.now(),
    }
    db.execute(t.audit.insert().values(values))


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, str]:
    """What changed, as it was and as it is, a line for each name."""
    names = [name for name, value in after.items() if before.get(name) != value]
    told = ("\n".join(f"{name}: {side[name]}" for name in names if name in side) for side in (before, after))
    return next(told), next(told)


class Audit(Repository):
    async def note(self, what: str, before: object = "", after: object = "") -> None:
        """A line for what is not one transaction, such as a poll; none where the program acts by itself."""
        if _actor.get() is not None:
            await self._database.write(lambda db: record(db, what, before, after))

    @reads
    def recent(self, db: sa.Connection, limit: int = 50, before_id: int | None = None) -> list[AuditEntry]:
        """Newest first, below `before_id`."""
        older = t.audit.c.id < before_id if before_id is not None else sa.true()
        query = t.audit.select().where(older).order_by(t.audit.c.id.desc()).limit(limit)
        return [AuditEntry(**row._mapping) for row in db.execute(query)]
