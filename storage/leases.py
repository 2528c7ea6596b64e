"""Who leads: a row with an end and an epoch. Not needed for correctness (claims are), it saves double work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from storage import tables as t
from storage.engine import Repository, changed, insert_into, writes

_l = t.lease.c


class Leases(Repository):
    @writes
    def acquire(self, db: sa.Connection, name: str, holder: str, now: datetime, ttl: timedelta) -> int | None:
        """Take or renew; the epoch, which rises at each change of holder. None: another holds it."""
        insert = insert_into(db, t.lease).values(name=name, holder=holder, epoch=1, expires_at=now + ttl)
        new = insert.excluded
        mine = _l.holder == new.holder
        take = insert.on_conflict_do_update(
            index_elements=[_l.name],
            set_={
                "epoch": _l.epoch + sa.case((mine, 0), else_=1),
                "holder": new.holder,
                "expires_at": new.expires_at,
            },
            where=sa.or_(mine, _l.expires_at <= now),
        )
        epoch: int | None = db.scalar(take.returning(_l.epoch))
        return epoch

    @writes
    def shorten(self, db: sa.Connection, name: str, ends_at: datetime) -> None:
        """Let it end then, if it would have ended later."""
        db.execute(t.lease.update().where(_l.name == name, _l.expires_at > ends_at).values(expires_at=ends_at))

    @writes
    def release(self, db: sa.Connection, name: str, holder: str) -> bool:
        """Let the next one take it at once; the epoch goes on from here. False if another holds it."""
        free = {"holder": "", "expires_at": datetime.min.replace(tzinfo=UTC)}
        return changed(db.execute(t.lease.update().where(_l.name == name, _l.holder == holder).values(free)))
