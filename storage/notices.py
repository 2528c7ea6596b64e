"""What an admin should see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import bindparam

from monitor.model import Level, Notice
from storage import rows
from storage import tables as t
from storage.audit import record
from storage.engine import Repository, changed, insert_into, reads, writes

_n = t.notice.c
_CLOSE = (
    t.notice.update()
    .where(_n.subject == bindparam("about"), _n.code.in_(bindparam("codes", expanding=True)), _n.closed_at.is_(None))
    .values(closed_at=bindparam("now"))
    .returning(_n.code)
)
_SEVERITY = {Level.ERROR: 0, Level.WARNING: 1, Level.INFO: 2}


class Notices(Repository):
    @writes
    def raise_once(self, db: sa.Connection, subject: str, code: str, level: Level, text: str, now: datetime) -> bool:
        """True if this is news; an open notice of the same subject and code only gets the new level and text."""
        return raise_once(db, subject, code, level, text, now)

    @writes
    def close(self, db: sa.Connection, subject: str, code: str, now: datetime, *, seen: bool = False) -> bool:
        """False if none was open. `seen`: it is not over, but an admin has read it."""
        this = sa.and_(_n.subject == subject, _n.code == code, _n.closed_at.is_(None))
        if not changed(db.execute(t.notice.update().where(this).values(closed_at=now))):
            return False
        if seen:
            record(db, f"closed the notice {code} on {subject}")
        return True

    @writes
    def dismiss(self, db: sa.Connection, notice_id: int, now: datetime) -> bool:
        """An admin has seen it. False if it was not open; it opens again when it happens again."""
        open_one = sa.and_(_n.id == notice_id, _n.closed_at.is_(None))
        row = db.execute(sa.select(_n.subject, _n.code).where(open_one)).first()
        if row is None or not changed(db.execute(t.notice.update().where(open_one).values(closed_at=now))):
            return False
        record(db, f"closed the notice {row.code} on {row.subject}")
        return True

    @reads
    def open(self, db: sa.Connection) -> list[Notice]:
        """Worst first, then oldest."""
        query = t.notice.select().where(_n.closed_at.is_(None)).order_by(_n.raised_at, _n.id)
        notices = [_to_notice(row) for row in db.execute(query)]
        return sorted(notices, key=lambda notice: _SEVERITY[notice.level])

    @reads
    def recent(self, db: sa.Connection, limit: int = 50) -> list[Notice]:
        """Open or closed, newest first."""
        query = t.notice.select().order_by(_n.raised_at.desc(), _n.id.desc()).limit(limit)
        return [_to_notice(row) for row in db.execute(query)]


def raise_once(db: sa.Connection, subject: str, code: str, level: Level, text: str, now: datetime) -> bool:
    """Within a transaction that changes what the notice is about: neither is there without the other."""
    told = {"level": level.value, "text": text}
    this = sa.and_(_n.subject == subject, _n.code == code, _n.closed_at.is_(None))
    if changed(db.execute(t.notice.update().where(this).values(told))):
        return False
    new = {"subject": subject, "code": code, **told, "raised_at": now}
    return changed(db.execute(insert_into(db, t.notice).values(new).on_conflict_do_nothing()))


def close_all(db: sa.Connection, subject: str, codes: Sequence[str], now: datetime) -> tuple[str, ...]:
    """Close the open ones of these, likewise; their codes, in the order asked for."""
    if not codes:
        return ()
    closed = set(db.scalars(_CLOSE, {"about": subject, "codes": codes, "now": now}))
    return tuple(code for code in codes if code in closed)


def _to_notice(row: rows.Row) -> Notice:
    return Notice(
        id=row.id,
        subject=row.subject,
        code=row.code,
        level=Level(row.level),
        text=row.text,
        raised_at=row.raised_at,
        closed_at=row.closed_at,
    )


def close_about(db: sa.Connection, subject: str, now: datetime) -> None:
    """Close whatever is open about a subject, within the caller's transaction."""
    db.execute(t.notice.update().where(_n.subject == subject, _n.closed_at.is_(None)).values(closed_at=now))
