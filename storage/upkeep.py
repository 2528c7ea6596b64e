"""What keeps the house: where the schema stands, what waits, whether the index is whole, and who was told of what."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import exc

from monitor.model import DeliveryState, Level, Notice
from storage import facts, rows, search
from storage import tables as t
from storage.audit import record
from storage.engine import Repository, reads, writes
from storage.migrate import SchemaState, state_of

_d = t.delivery.c
_n = t.notice.c
_f = t.fact.c
_s = t.source.c
_TOLD = "alerted:"  # the fact "alerted:17" says that admins know of notice 17
_WAITING = (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.DEFERRED)
SOURCES_SHOWN = 1_000  # in metrics: those read longest ago, for they are what an alert is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """How things stand now. `last_success`: slug and time of each active source, the longest ago first."""

    waiting: int
    waiting_since: datetime | None
    held: int
    in_doubt: int
    notices: dict[Level, int]
    sources: int
    last_success: tuple[tuple[str, datetime | None], ...]
    newest_success: datetime | None
    backed_up_at: datetime | None
    began_at: datetime | None = None  # the first run


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Errors that admins were not told of yet, and those they were told of that are over."""

    opened: tuple[Notice, ...]
    over: tuple[Notice, ...]


class Upkeep(Repository):
    @reads
    def schema(self, db: sa.Connection) -> SchemaState:
        """Is this database what this program expects?"""
        return state_of(db)

    @reads
    def gauges(self, db: sa.Connection) -> Gauges:
        states = {state.value: number for state, number in _counted(db).items()}
        notices = sa.select(_n.level, sa.func.count().label("n")).where(_n.closed_at.is_(None)).group_by(_n.level)
        open_ones = {Level(row.level): row.n for row in db.execute(notices)}
        newest = sa.select(sa.func.count().label("n"), sa.func.max(_s.last_success_at).label("at")).where(_s.active)
        sources = db.execute(newest).one()
        read = sa.select(_s.slug, _s.last_success_at).where(_s.active).order_by(_s.last_success_at, _s.id)
        since = sa.select(sa.func.min(_d.queued_at)).where(_d.state.in_([state.value for state in _WAITING]))
        return Gauges(
            waiting=sum(states[state.value] for state in _WAITING),
            waiting_since=db.scalar(since),
            held=states[DeliveryState.HELD.value],
            in_doubt=states[DeliveryState.IN_DOUBT.value],
            notices={level: open_ones.get(level, 0) for level in Level},
            sources=sources.n,
            last_success=tuple((slug, at) for slug, at in db.execute(read.limit(SOURCES_SHOWN))),
            newest_success=sources.at,
            backed_up_at=_time(facts.get(db, facts.BACKED_UP)),
            began_at=_time(facts.get(db, "first_run")),
        )

    @reads
    def clock(self, db: sa.Connection) -> datetime | None:
        """The database server's clock; None where the database is a file on this machine."""
        if db.dialect.name == "sqlite":
            return None
        found: datetime | None = db.scalar(sa.text("select clock_timestamp()"))
        return found

    @reads
    def fact(self, db: sa.Connection, name: str) -> str:
        """Empty where it was never set."""
        return facts.get(db, name)

    @writes
    def set_fact(self, db: sa.Connection, name: str, value: str) -> None:
        facts.put(db, name, value)

    @writes
    def index_problem(self, db: sa.Connection) -> str:
        """What is wrong with the full-text index; empty when it is whole. Reads all of it, and on SQLite lets nobody
        write meanwhile: beside a running program ask `index_gap`.
        """
        return index_problem(db)

    @reads
    def index_gap(self, db: sa.Connection) -> str:
        """Whether the index has as many articles as there are; empty when it has."""
        return index_gap(db)

    @writes
    def rebuild_index(self, db: sa.Connection) -> None:
        """Make the full-text index anew from the articles, in one transaction."""
        search.rebuild(db)
        record(db, "made the full-text index anew")

    # --- what admins were told --------------------------------------------------------------------------------

    @reads
    def news(self, db: sa.Connection, limit: int = 200) -> News:
        """What an alert should say next: oldest first, `limit` of each."""
        tried = _f.name == sa.literal(_TOLD) + sa.cast(_n.id, sa.String)
        unseen = sa.and_(
            _n.closed_at.is_(None), _n.level == Level.ERROR.value, ~sa.exists().where(tried, _f.value != "")
        )
        past = sa.and_(_n.closed_at.is_not(None), sa.exists().where(tried))
        opened, over = (
            tuple(_to_notice(row) for row in db.execute(t.notice.select().where(which).order_by(_n.id).limit(limit)))
            for which in (unseen, past)
        )
        return News(opened=opened, over=over)

    @writes
    def told(self, db: sa.Connection, news: News, now: datetime) -> None:
        """Admins know of these now."""
        _remember(db, news.opened, now.isoformat())
        db.execute(t.fact.delete().where(_f.name.in_([f"{_TOLD}{notice.id}" for notice in news.over])))

    @writes
    def untold(self, db: sa.Connection, news: News) -> None:
        """Nobody could be reached: should one of these be over before the next try, it is told all the same."""
        _remember(db, news.opened, "")

    # --- retention --------------------------------------------------------------------------------------------

    @writes
    def forget_bodies(self, db: sa.Connection, before: datetime, limit: int = 1_000) -> int:
        """Drop the text of messages settled before then, `limit` at a time; how many. That they were sent, when, to
        whom and with which articles stays.
        """
        kept = (DeliveryState.ACCEPTED.value, DeliveryState.FAILED.value, DeliveryState.CANCELLED.value)
        old = sa.select(_d.id).where(_d.state.in_(kept), _d.settled_at < before, sa.func.length(_d.data) > 0)
        ids = db.scalars(old.order_by(_d.id).limit(limit)).all()
        db.execute(t.delivery.update().where(_d.id.in_(ids)).values(data=b"", compact=b"", html=""))
        return len(ids)

    @writes
    def forget_notices(self, db: sa.Connection, before: datetime) -> int:
        """Delete notices that were over before then; how many."""
        return db.execute(t.notice.delete().where(_n.closed_at < before)).rowcount


def index_problem(db: sa.Connection) -> str:
    """Within a transaction, also on a copy that no program uses yet."""
    if db.dialect.name == "sqlite":
        try:
            db.exec_driver_sql("insert into article_fts(article_fts) values ('integrity-check')")
        except (exc.DatabaseError, sqlite3.DatabaseError) as error:
            return f"the full-text index is damaged ({getattr(error, 'orig', error)})"
    return index_gap(db)


def index_gap(db: sa.Connection) -> str:
    table = "article_fts_docsize" if db.dialect.name == "sqlite" else "article_fts"
    indexed = db.scalar(sa.select(sa.func.count()).select_from(sa.table(table)))
    articles = db.scalar(sa.select(sa.func.count()).select_from(t.article))
    return "" if indexed == articles else f"the full-text index holds {indexed} of {articles} articles"


def _counted(db: sa.Connection) -> dict[DeliveryState, int]:
    """Of the states that wait for something: the index has them, the millions that were accepted are not counted."""
    states = (*_WAITING, DeliveryState.HELD, DeliveryState.IN_DOUBT)
    query = sa.select(_d.state, sa.func.count().label("n")).where(_d.state.in_([state.value for state in states]))
    known = {row.state: row.n for row in db.execute(query.group_by(_d.state))}
    return {state: known.get(state.value, 0) for state in states}


def _remember(db: sa.Connection, notices: Sequence[Notice], value: str) -> None:
    for notice in notices:
        facts.put(db, f"{_TOLD}{notice.id}", value)


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


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


__all__ = ["Gauges", "News", "Upkeep", "index_problem"]
