"""Sources: which, when next, who is at it, and what came of each visit."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import bindparam

from monitor.errors import StorageError, without_keys
from monitor.model import Entry, Poll, Source, Topic, Validators
from storage import entries as marks
from storage import notices, rows, topics
from storage import tables as t
from storage.audit import differences, record
from storage.engine import Repository, changed, insert_into, reads, writes

_s = t.source.c
_SUCCESS = ("ok", "unchanged")
_FIRST_RUN = "first_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a visit taught about a source; None leaves a value as it is.

    `brought`: it showed something that it had not shown before, new article or not (two sources may bring the same).
    """

    brought: bool = False
    since: datetime | None = None
    gap: timedelta | None = None
    pace: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a visit was settled; false where the claim was lost. `closed`: the codes of the notices that are over."""

    held: bool
    closed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.held


class Sources(Repository):
    @writes
    def add(self, db: sa.Connection, source: Source) -> Source:
        """Store a new source. Without `next_poll_at` it is due at once. Raises StorageError if its slug is taken."""
        added = _add(db, source)
        record(db, f"added the source {added.slug}", "", without_keys(added.url))
        return added

    @reads
    def get(self, db: sa.Connection, slug: str) -> Source:
        """Raises NotFound, naming the nearest slugs."""
        return _get(db, slug)

    @reads
    def list(self, db: sa.Connection, active: bool | None = None) -> builtins.list[Source]:
        """By slug; only the active or the inactive ones if asked."""
        wanted = sa.true() if active is None else _s.active == active
        return [rows.to_source(row) for row in db.execute(t.source.select().where(wanted).order_by(_s.slug))]

    @writes
    def update(self, db: sa.Connection, source: Source) -> Source:
        """Store what an admin may set: name, url, kind, pages, active, interval, weight, options, confidence. A new url
        forgets what the old one's server told us, other options or another kind also how far we had read. An interval
        that was changed counts at once, and is learned from anew. Raises NotFound.
        """
        before = _get(db, source.slug)
        values = rows.of_source(source)
        if source.interval != before.interval:
            values["pace_seconds"] = None
        if (source.kind, dict(source.options)) != (before.kind, dict(before.options)):
            values |= {**rows.of_validators(Validators()), "since": None, "next_poll_at": None}
        if source.url != before.url:  # a visit to the old address must not settle the new one: its claim is lost
            values |= {**rows.of_validators(Validators()), "moves": 0, "next_poll_at": None}
            values |= {"epoch": _s.epoch + 1, "lease_until": None}
        db.execute(t.source.update().where(_s.id == before.id).values(**values))
        after = _get(db, source.slug)
        record(db, f"changed the source {after.slug}", *differences(_told(before), _told(after)))
        return after

    @writes
    def set_active(self, db: sa.Connection, slug: str, active: bool) -> Source:
        """An activated source is due at once, its failures forgotten. Raises NotFound."""
        before = _get(db, slug)
        anew = {"next_poll_at": None, "failures": 0, "last_error": ""} if active and not before.active else {}
        db.execute(t.source.update().where(_s.id == before.id).values(active=active, **anew))
        record(db, f"switched the source {slug}", "on" if before.active else "off", "on" if active else "off")
        return _get(db, slug)

    @writes
    def claim_due(
        self, db: sa.Connection, now: datetime, limit: int, lease: timedelta, server: str | None = None
    ) -> builtins.list[Source]:
        """Take up to `limit` active sources that are due and held by nobody, longest due first.

        Each comes with a new epoch: whoever held it before can no longer change it. `server`: only those of one server
        (PostgreSQL).
        """
        due = sa.and_(_s.active, sa.or_(_s.next_poll_at.is_(None), _s.next_poll_at <= now), _free(now))
        if server is not None:
            due = sa.and_(due, sa.func.coalesce(sa.func.engine.server(_s.url), _s.kind) == server)
        order = (_s.next_poll_at.asc().nulls_first(), _s.id)
        ids = db.scalars(sa.select(_s.id).where(due).order_by(*order).limit(limit).with_for_update(skip_locked=True))
        return _claim(db, ids.all(), now + lease)

    @writes
    def claim(self, db: sa.Connection, slug: str, now: datetime, lease: timedelta) -> Source | None:
        """Take one source, due or not; None while another holds it. Raises NotFound."""
        known = _get(db, slug)
        ids = db.scalars(sa.select(_s.id).where(_s.id == known.id, _free(now)).with_for_update(skip_locked=True))
        claimed = _claim(db, ids.all(), now + lease)
        return claimed[0] if claimed else None

    @writes
    def renew(self, db: sa.Connection, source_id: int, epoch: int, lease_until: datetime) -> bool:
        """Keep a claim for longer. False: it is lost, stop."""
        return changed(db.execute(t.source.update().where(_held(source_id, epoch)).values(lease_until=lease_until)))

    @writes
    def release(self, db: sa.Connection, source_id: int, epoch: int) -> bool:
        """Give a claim back undone; the source is still due."""
        return changed(db.execute(t.source.update().where(_held(source_id, epoch)).values(lease_until=None)))

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
        learned: Learned | None = None,
        over: Sequence[str] = (),
    ) -> Finished:
        """Record a visit and end the claim; false, and nothing changed, if the claim was lost.

        Outcome "ok" or "unchanged" ends the row of failures, any other lengthens it. None leaves a value as it is.
        `over`: codes of notices about the source that no longer hold.
        """
        values: rows.Values = {"next_poll_at": next_poll_at, "lease_until": None}
        went_well = poll.outcome in _SUCCESS
        if went_well:
            values |= {"failures": 0, "last_success_at": poll.at, "last_error": ""}
            values["first_success_at"] = source.first_success_at or poll.at
        else:
            values["last_error"] = poll.detail or poll.outcome
        if validators is not None:
            values |= rows.of_validators(validators)
        if moves is not None:
            values["moves"] = moves
        if new_url is not None:
            values |= {"url": new_url, "moves": 0}
        if poll.new or (learned is not None and learned.brought):
            values["last_new_at"] = poll.at
        if learned is not None:
            told = {"since": learned.since, "gap_seconds": rows.seconds_of(learned.gap)}
            told["pace_seconds"] = rows.seconds_of(learned.pace)
            values |= {name: value for name, value in told.items() if value is not None}
        mine = {"of": source.id, "by": source.epoch}
        if not changed(db.execute(_settle(tuple(values), failed=not went_well), {**values, **mine})):
            return Finished(held=False)
        db.execute(t.poll.insert(), {**_of_poll(poll), "source_id": source.id})
        return Finished(held=True, closed=notices.close_all(db, f"source:{source.slug}", over, poll.at))

    @reads
    def polls(self, db: sa.Connection, source_id: int, since: datetime) -> builtins.list[Poll]:
        """Visits since then, newest first."""
        p = t.poll.c
        visits = t.poll.select().where(p.source_id == source_id, p.at >= since).order_by(p.at.desc(), p.id.desc())
        return [_to_poll(row) for row in db.execute(visits)]

    @writes
    def prune_polls(self, db: sa.Connection, before: datetime) -> int:
        """Forget visits before then; how many."""
        return db.execute(t.poll.delete().where(t.poll.c.at < before)).rowcount

    @reads
    def unseen(self, db: sa.Connection, source_id: int, entries: Sequence[Entry]) -> builtins.list[Entry]:
        """The entries that this source has not brought before, each once, in their order.

        Seen is what comes with an address known here (however its text or guid changed), or with a known guid under an
        unchanged title. A guid alone proves nothing: feeds exist that give all their entries the same one.
        """
        return marks.unseen(db, source_id, entries)

    @writes
    def import_first_run(
        self, db: sa.Connection, sources: Sequence[Source], first_topics: Sequence[Topic], now: datetime
    ) -> bool:
        """Store the sources and topics of a new installation; False, and nothing changed, if that was done before."""
        fact = {"name": _FIRST_RUN, "value": now.isoformat()}
        if not changed(db.execute(insert_into(db, t.fact).values(fact).on_conflict_do_nothing())):
            return False
        for source in sources:
            _add(db, source)
        for topic in first_topics:
            topics.insert(db, topic, author="first run", note="", now=now)
        return True


def lock(db: sa.Connection, source: Source) -> bool:
    """Keep others from taking the source over until the transaction ends; False: one has done so already."""
    return db.execute(_LOCK, {"of": source.id, "by": source.epoch}).first() is not None


@functools.cache
def _settle(names: tuple[str, ...], *, failed: bool) -> sa.Update:
    """Made once for each set of columns: that costs more than it does."""
    values: rows.Values = {name: bindparam(name) for name in names}
    return t.source.update().where(_HELD).values({**values, **({"failures": _s.failures + 1} if failed else {})})


def _held(source_id: int | sa.BindParameter[int], epoch: int | sa.BindParameter[int]) -> sa.ColumnElement[bool]:
    """Still this holder's, whether its lease ran out or not: what counts is that no other took over."""
    return sa.and_(_s.id == source_id, _s.epoch == epoch, _s.lease_until.is_not(None))


_HELD = _held(bindparam("of"), bindparam("by"))
_LOCK = sa.select(_s.id).where(_HELD).with_for_update()


def _free(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(_s.lease_until.is_(None), _s.lease_until <= now)


def _claim(db: sa.Connection, ids: Sequence[int], lease_until: datetime) -> list[Source]:
    if not ids:
        return []
    step = t.source.update().where(_s.id.in_(ids)).values(epoch=_s.epoch + 1, lease_until=lease_until)
    claimed = {row.id: rows.to_source(row) for row in db.execute(step.returning(*t.source.c))}
    return [claimed[number] for number in ids]


def _get(db: sa.Connection, slug: str) -> Source:
    row = db.execute(t.source.select().where(_s.slug == slug)).first()
    if row is None:
        raise rows.not_found("source", slug, db.scalars(sa.select(_s.slug)))
    return rows.to_source(row)


def _add(db: sa.Connection, source: Source) -> Source:
    values = {
        **rows.of_source(source),
        **rows.of_validators(source.validators),
        "next_poll_at": source.next_poll_at,
        "since": source.since,
        "failures": 0,
        "last_error": "",
        "moves": 0,
        "epoch": 0,
    }
    if not changed(db.execute(insert_into(db, t.source).values(values).on_conflict_do_nothing())):
        raise StorageError(f"there is a source {source.slug!r} already: choose another slug")
    return _get(db, source.slug)


def _told(source: Source) -> dict[str, object]:
    """What an admin sets, for the audit: keys that stand in an address or in options are not shown."""
    options = without_keys("?" + "&".join(f"{name}={value}" for name, value in source.options))
    shown = {"url": without_keys(source.url), "options": options.removeprefix("?"), "every": source.interval}
    return {**{name: getattr(source, name) for name in _TOLD}, **shown}


_TOLD = ("name", "kind", "pages", "active", "weight", "confidence")


def _of_poll(poll: Poll) -> rows.Values:
    return {field: getattr(poll, field) for field in _POLL_FIELDS}


def _to_poll(row: rows.Row) -> Poll:
    return Poll(**{field: getattr(row, field) for field in _POLL_FIELDS})


_POLL_FIELDS = ("source_id", "at", "outcome", "entries", "new", "seconds", "detail")
