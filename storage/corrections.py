"""Notices about papers: each paper and kind once, told once to each reader who was sent the paper."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from monitor.identity import normal_doi
from monitor.model import (
    Article,
    Correction,
    CorrectionKind,
    DeliveryState,
    SafetyItem,
    Subscriber,
    SubscriberState,
    Subscription,
)
from storage import rows
from storage import tables as t
from storage.engine import Repository, chunks, clean, insert_into, insert_many, reads, writes

_c = t.correction.c
_a = t.article.c
_g = t.ledger.c
_d = t.delivery.c
_m = t.story_member.c
GRAVITY = (
    CorrectionKind.RETRACTION,
    CorrectionKind.WITHDRAWAL,
    CorrectionKind.REMOVAL,
    CorrectionKind.PARTIAL_RETRACTION,
    CorrectionKind.EXPRESSION_OF_CONCERN,
    CorrectionKind.CORRECTION,
    CorrectionKind.REINSTATEMENT,
)
RXIV_PREFIXES = ("10.1101", "10.64898")  # of bioRxiv and medRxiv, whose interface tells what became of a preprint
_GONE = (DeliveryState.FAILED.value, DeliveryState.CANCELLED.value)


class Corrections(Repository):
    @writes
    def add(self, db: sa.Connection, corrections: Sequence[Correction], now: datetime) -> int:
        """Those not known yet, by (paper, kind); how many. What a known one lacks is filled in."""
        return put(db, corrections, now)

    @reads
    def list(self, db: sa.Connection, limit: int = 100, before_id: int | None = None) -> builtins.list[Correction]:
        """The newest notices about papers that are in the archive, below `before_id`."""
        older = _c.id < before_id if before_id is not None else sa.true()
        stored = sa.exists().where(_a.doi_key == _c.doi)
        stored_pmid = sa.and_(_c.pmid != "", sa.exists().where(_a.pmid == _c.pmid))
        query = t.correction.select().where(older, sa.or_(stored, stored_pmid)).order_by(_c.id.desc()).limit(limit)
        return [to_correction(row) for row in db.execute(query)]

    @reads
    def count(self, db: sa.Connection) -> int:
        return db.scalar(sa.select(sa.func.count()).select_from(t.correction)) or 0

    @reads
    def told(self, db: sa.Connection) -> int:
        """How many notices were told, counted for each reader."""
        return db.scalar(sa.select(sa.func.count()).select_from(t.told)) or 0

    @reads
    def untold(self, db: sa.Connection, subscriber_id: int) -> builtins.list[SafetyItem]:
        """Notices about what this reader was sent that they were not told, oldest first, with what was sent."""
        return _untold(db, subscriber_id)

    @reads
    def about(self, db: sa.Connection, articles: Sequence[Article]) -> dict[int, Correction]:
        """The gravest notice about each article's paper, by article id: what a reader must know who never saw it."""
        names = {
            (normal_doi(article.doi), article.pmid): article for article in articles if article.doi or article.pmid
        }
        known: dict[str, Correction] = {}
        for column, wanted in ((_c.doi, {doi for doi, _ in names}), (_c.pmid, {pmid for _, pmid in names})):
            for some in chunks(sorted(wanted - {""})):
                for row in db.execute(t.correction.select().where(column.in_(some))):
                    one, name = to_correction(row), str(getattr(row, column.name))
                    known[name] = min(one, known.get(name, one), key=lambda notice: GRAVITY.index(notice.kind))
        return {
            article.id: notice
            for article in articles
            if (notice := known.get(normal_doi(article.doi)) or known.get(article.pmid)) is not None
        }

    @reads
    def due_at_once(self, db: sa.Connection) -> builtins.list[tuple[Subscriber, Subscription]]:
        """Who wants notices at once and has one waiting; of several subscriptions the oldest."""
        u, n = t.subscriber.c, t.subscription.c
        wishing = sa.select(n.subscriber_id).where(n.safety_at_once, n.active)
        if db.scalar(wishing.limit(1)) is None:
            return []
        waiting = _waiting(_g.subscriber_id.in_(wishing)).subquery()
        query = (
            t.subscription.select()
            .join(t.subscriber, u.id == n.subscriber_id)
            .where(
                n.safety_at_once,
                n.active,
                u.state == SubscriberState.ACTIVE.value,
                n.subscriber_id.in_(sa.select(waiting.c.subscriber_id)),
            )
            .order_by(n.id)
        )
        found: dict[int, Subscription] = {}
        for row in db.execute(query):
            found.setdefault(row.subscriber_id, rows.to_subscription(row))
        readers = t.subscriber.select().where(u.id.in_(builtins.list(found)))
        return [(rows.to_subscriber(row), found[row.id]) for row in db.execute(readers.order_by(u.id))]

    @reads
    def to_watch(
        self, db: sa.Connection, place: str, now: datetime, every: timedelta, limit: int
    ) -> builtins.list[str]:
        """DOIs (for "pubmed" PMIDs) of what was mailed, or stands in a story that was, that `place` was not asked about
        within `every`: never asked first, then longest ago.
        """
        name = _a.pmid if place == "pubmed" else _a.doi_key
        return _to_watch(db, place, name, _in_mailed_story(), now - every, limit)

    @reads
    def preprints_to_watch(
        self, db: sa.Connection, now: datetime, *, mailed_after: datetime, every: timedelta, limit: int
    ) -> builtins.list[str]:
        """DOIs of preprints mailed after then whose paper is not known yet, and was not asked for within `every`."""
        likely = sa.or_(*(_a.doi_key.like(f"{prefix}/%") for prefix in RXIV_PREFIXES))
        wanted = sa.and_(likely, _a.versions == "[]", _in_mailed_story(mailed_after))
        return _to_watch(db, "preprints", _a.doi_key, wanted, now - every, limit)

    @writes
    def watched(self, db: sa.Connection, place: str, names: Sequence[str], now: datetime) -> None:
        """They were asked about."""
        values = [{"place": place, "name": name, "checked_at": now} for name in sorted(set(names))]
        if values:
            insert = insert_into(db, t.watched)
            new = {"checked_at": insert.excluded.checked_at}
            db.execute(insert.on_conflict_do_update(index_elements=["place", "name"], set_=new), values)


def _in_mailed_story(after: datetime | None = None) -> sa.ColumnElement[bool]:
    mailed = sa.select(_g.story_id)
    if after is not None:
        mailed = mailed.join(t.delivery, _d.id == _g.delivery_id).where(_d.queued_at >= after)
    return sa.exists().where(_m.article_id == _a.id, _m.story_id.in_(mailed))


def _to_watch(
    db: sa.Connection,
    place: str,
    name: sa.ColumnElement[Any],
    wanted: sa.ColumnElement[bool],
    before: datetime,
    limit: int,
) -> list[str]:
    w = t.watched.c
    named = sa.select(name.label("name")).where(name.is_not(None), name != "", wanted).distinct().subquery()
    query = (
        sa.select(named.c.name)
        .outerjoin(t.watched, sa.and_(w.place == place, w.name == named.c.name))
        .where(sa.or_(w.name.is_(None), w.checked_at <= before))
        .order_by(w.checked_at.is_not(None), w.checked_at, named.c.name)
        .limit(limit)
    )
    return [str(one) for one in db.scalars(query)]


def put(db: sa.Connection, corrections: Iterable[Correction], now: datetime) -> int:
    wanted: dict[tuple[str, str], rows.Values] = {}
    given = list(corrections)
    dois = _dois_of(db, [one.pmid for one in given if one.pmid and not one.doi])
    for one in given:
        doi = one.doi or dois.get(one.pmid, "")
        target = f"doi:{doi}" if doi else f"pmid:{one.pmid}"
        wanted.setdefault((target, one.kind.value), _of_correction(one, target, doi, now))
    values = [wanted[key] for key in sorted(wanted)]
    new = 0
    for some in chunks(values, 500):
        inserted = insert_many(db, t.correction, some)
        new += inserted
        if inserted < len(some):
            _fill(db, some)
    return new


def _fill(db: sa.Connection, values: Sequence[rows.Values]) -> None:
    """A notice that is known gets what another teller knows of it."""
    for value in values:
        here = sa.and_(_c.target == value["target"], _c.kind == value["kind"])
        for name in ("pmid", "notice_doi", "notice_url", "title", "reason"):
            if value[name]:
                db.execute(t.correction.update().where(here, _c[name] == "").values({name: value[name]}))


def _dois_of(db: sa.Connection, pmids: Sequence[str]) -> dict[str, str]:
    """The DOI of a paper that is named by its PMID alone, where the archive knows it: or it would be told twice."""
    found: dict[str, str] = {}
    for some in chunks(sorted(set(pmids))):
        query = sa.select(_a.pmid, _a.doi_key).where(_a.pmid.in_(some), _a.doi_key.is_not(None))
        found.update((row.pmid, row.doi_key) for row in db.execute(query))
    return found


def _waiting(whose: sa.ColumnElement[bool]) -> sa.CompoundSelect[tuple[int, int, int, int]]:
    """(subscriber, correction, article as sent, delivery) of all that is still to be told: the paper was sent itself,
    or stands in a story that was.
    """
    member = t.story_member.alias("of_paper")
    told = sa.exists().where(t.told.c.subscriber_id == _g.subscriber_id, t.told.c.correction_id == _c.id)
    parts = []
    for same in (_a.doi_key == _c.doi, sa.and_(_c.pmid != "", _a.pmid == _c.pmid)):
        query = (
            sa.select(_g.subscriber_id, _c.id.label("correction_id"), _g.article_id, _g.delivery_id)
            .select_from(t.correction)
            .join(t.article, same)
            .join(member, member.c.article_id == _a.id)
            .join(t.ledger, _g.story_id == member.c.story_id)
            .join(t.delivery, _d.id == _g.delivery_id)
            .where(_g.kind == "new", whose, _d.state.not_in(_GONE), sa.not_(told))
        )
        parts.append(query)
    return sa.union(*parts)


def _untold(db: sa.Connection, subscriber_id: int) -> list[SafetyItem]:
    waiting = _waiting(_g.subscriber_id == subscriber_id).subquery()
    query = sa.select(waiting).order_by(waiting.c.correction_id)
    found = {row.correction_id: row for row in db.execute(query)}
    if not found:
        return []
    notices = {row.id: to_correction(row) for row in db.execute(t.correction.select().where(_c.id.in_(list(found))))}
    columns = [*t.article.c, t.source.c.slug.label("source_slug")]
    joined = t.article.outerjoin(t.source, t.source.c.id == _a.source_id)
    sent = {row.article_id for row in found.values()}
    articles = {
        row.id: rows.to_article(row)
        for row in db.execute(sa.select(*columns).select_from(joined).where(_a.id.in_(sent)))
    }
    deliveries = {row.delivery_id for row in found.values()}
    times = {row.id: row.queued_at for row in db.execute(sa.select(_d.id, _d.queued_at).where(_d.id.in_(deliveries)))}
    return [
        SafetyItem(correction=notices[number], article=articles[row.article_id], sent_at=times.get(row.delivery_id))
        for number, row in found.items()
    ]


def to_correction(row: rows.Row) -> Correction:
    return Correction(
        id=row.id,
        kind=CorrectionKind(row.kind),
        doi=row.doi,
        pmid=row.pmid,
        notice_doi=row.notice_doi,
        notice_url=row.notice_url,
        title=row.title,
        reason=row.reason,
        source=row.source,
        noticed_at=row.noticed_at,
    )


def _of_correction(one: Correction, target: str, doi: str, now: datetime) -> rows.Values:
    return {
        "target": clean(target),
        "kind": one.kind.value,
        "doi": clean(doi),
        "pmid": clean(one.pmid),
        "notice_doi": clean(one.notice_doi),
        "notice_url": clean(one.notice_url),
        "title": clean(one.title),
        "reason": clean(one.reason),
        "source": one.source,
        "noticed_at": one.noticed_at or now,
    }
