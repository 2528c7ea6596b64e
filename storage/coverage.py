"""What stands behind a digest's silence or plenty."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from monitor.model import Coverage, Unchecked
from storage import tables as t

_s = t.source.c
_p = t.poll.c
_a = t.article.c
_m = t.match.c
_e = t.entry.c
_j = t.story_member.c.article_id == _a.id
_follows = t.story_member.c.story_id != _a.id  # it joined another's story
_SUCCESS = ("ok", "unchanged")
_SILENCE = timedelta(days=1)  # without a success before the end, or twice the interval where that is longer


def coverage(db: sa.Connection, start: datetime, end: datetime) -> Coverage:
    checked, unchecked = _sources(db, start, end)
    return Coverage(
        sources_checked=checked,
        unchecked=tuple(unchecked),
        articles_seen=_count(db, sa.select(_a.id).where(_a.stored_at >= start, _a.stored_at < end)),
        articles_matched=_count(
            db, sa.select(_m.article_id).where(_m.stored_at >= start, _m.stored_at < end).distinct()
        ),
        merged=_count(db, sa.select(_e.id).where(_e.known, _e.seen_at >= start, _e.seen_at < end))
        + _count(
            db, sa.select(_a.id).join(t.story_member, _j).where(_follows, _a.stored_at >= start, _a.stored_at < end)
        ),
    )


def _sources(db: sa.Connection, start: datetime, end: datetime) -> tuple[int, list[Unchecked]]:
    visits = (
        sa.select(_p.source_id, sa.func.max(_p.at).label("last"))
        .where(_p.outcome.in_(_SUCCESS), _p.at >= start, _p.at < end)
        .group_by(_p.source_id)
        .subquery()
    )
    query = (
        sa.select(_s.name, _s.interval_seconds, _s.last_success_at, _s.last_error, visits.c.last)
        .outerjoin(visits, visits.c.source_id == _s.id)
        .where(_s.active)
        .order_by(_s.name, _s.id)
    )
    checked, unchecked = 0, []
    for row in db.execute(query):
        silence = max(_SILENCE, 2 * timedelta(seconds=row.interval_seconds))
        if row.last is not None and row.last >= end - silence:
            checked += 1
        else:
            before = row.last_success_at if row.last_success_at and row.last_success_at < end else None
            since = row.last or before
            silent = "not read yet" if row.last_success_at is None else "not read in that time"
            unchecked.append(Unchecked(name=row.name, since=since, reason=row.last_error or silent))
    return checked, unchecked


def _count(db: sa.Connection, query: sa.Select[tuple[int]]) -> int:
    return db.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
