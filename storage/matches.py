"""A topic's matches: how they are replaced, counted and brought up to a new revision."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence, Set
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from monitor.errors import StorageError
from monitor.model import Found, Match, SourceKind, Topic
from storage import rows
from storage import tables as t
from storage.audit import record
from storage.engine import Repository, changed, chunks, insert_into, insert_many, reads, writes
from storage.values import Rematch

_m = t.match.c
_a = t.article.c
_r = t.rematch.c
_LISTS = {SourceKind.FEED.value, SourceKind.PAGE.value}  # that show what they have; an index is asked from a day on
_WEEK = timedelta(days=7)


class Matches(Repository):
    @reads
    def matches(
        self,
        db: sa.Connection,
        topic_id: int,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[Found]:
        """Articles stored in that time that the topic matched, newest first, each with this topic's match."""
        wanted = [_m.topic_id == topic_id]
        wanted += [_m.stored_at >= since] if since is not None else []
        wanted += [_m.stored_at < until] if until is not None else []
        query = t.match.select().where(*wanted).order_by(_m.stored_at.desc(), _m.article_id.desc()).limit(limit)
        return found(db, [rows.to_match(row) for row in db.execute(query)])

    @reads
    def weekly_counts(self, db: sa.Connection, topic_id: int, before: datetime, weeks: int = 8) -> tuple[int, ...]:
        """Matches among the articles stored in each of the weeks before, oldest first."""
        return weekly(db, [topic_id], before, weeks)[topic_id]

    @writes
    def rematch_start(self, db: sa.Connection, topic: Topic, now: datetime) -> Rematch:
        """Begin to apply the topic's current revision to the archive, or go on with it where it stopped."""
        known = db.execute(t.rematch.select().where(_r.topic_id == topic.id)).first()
        if known is not None and known.revision_id == topic.revision_id and known.after_id < known.upto_id:
            return _to_rematch(known)
        values = {
            "topic_id": topic.id,
            "revision_id": topic.revision_id,
            "after_id": 0,
            "upto_id": db.scalar(sa.select(sa.func.max(_a.id))) or 0,
            "matched": 0,
            "started_at": now,
        }
        anew = insert_into(db, t.rematch).values(values)
        db.execute(anew.on_conflict_do_update(index_elements=[_r.topic_id], set_=values))
        record(db, f"matches the archive anew for the topic {topic.slug}")
        return _to_rematch(db.execute(t.rematch.select().where(_r.topic_id == topic.id)).one())

    @writes
    def rematch_batch(
        self, db: sa.Connection, rematch: Rematch, through_id: int, matches: Sequence[Match], now: datetime
    ) -> Rematch:
        """Make `matches` the only ones of the topic among articles with after_id < id <= through_id; move the cursor.

        New ones are marked as found by a rematch: digests leave them out, for they are old news. Removed ones stay if
        they were delivered. Raises StorageError when another process moved the cursor, or a newer revision started.
        """
        here = sa.and_(
            _r.topic_id == rematch.topic_id, _r.revision_id == rematch.revision_id, _r.after_id == rematch.after_id
        )
        step = {"after_id": through_id, "matched": _r.matched + len(matches)}
        if not changed(db.execute(t.rematch.update().where(here).values(step))):
            raise StorageError("this rematch goes on elsewhere, or was started anew: nothing was changed")
        span = sa.and_(_m.topic_id == rematch.topic_id, _m.article_id > rematch.after_id, _m.article_id <= through_id)
        replace(db, span, matches, now=now, old_news=True)
        return _to_rematch(db.execute(t.rematch.select().where(_r.topic_id == rematch.topic_id)).one())

    @reads
    def unfinished_rematches(self, db: sa.Connection) -> list[Rematch]:
        """What a restart should go on with."""
        query = t.rematch.select().where(_r.after_id < _r.upto_id).order_by(_r.topic_id)
        return [_to_rematch(row) for row in db.execute(query)]


def replace(
    db: sa.Connection, span: sa.ColumnElement[bool], matches: Sequence[Match], *, now: datetime, old_news: bool
) -> None:
    """Make `matches` the only ones within `span`. What holds still keeps its time; what was delivered stays."""
    ledger = t.ledger.c
    delivered = sa.exists().where(ledger.article_id == _m.article_id)
    keep = {(match.topic_id, match.article_id) for match in matches}
    known = db.execute(sa.select(_m.topic_id, _m.article_id, delivered.label("delivered")).where(span)).all()
    gone = [row for row in known if (row.topic_id, row.article_id) not in keep and not row.delivered]
    for row in gone:
        db.execute(t.match.delete().where(_m.topic_id == row.topic_id, _m.article_id == row.article_id))
    put(db, matches, now=now, old_news=old_news)


def put(db: sa.Connection, matches: Sequence[Match], *, now: datetime, old_news: bool, new: bool = False) -> None:
    """Insert matches of stored articles; a match that is there already gets revision, score and spans only. `new` says
    that all the articles are stored in this very transaction, at `now`.
    """
    if not matches:
        return
    stored_at = {match.article_id: now for match in matches} if new else _stored_at(db, matches)
    values = [
        rows.of_match(
            match,
            match.article_id,
            matched_at=now,
            stored_at=stored_at[match.article_id],
            old_news=old_news,
        )
        for match in unique(matches)
        if match.article_id in stored_at  # pruned meanwhile
    ]
    if new:
        insert_many(db, t.match, values)
    elif values:
        db.execute(_upsert(db.dialect.name), values)


@functools.cache
def _upsert(dialect: str) -> sa.Insert:
    """Made once: that costs more than it does."""
    insert = postgresql.insert(t.match) if dialect == "postgresql" else sqlite.insert(t.match)
    fresh = {name: insert.excluded[name] for name in ("revision_id", "score", "spans")}
    return insert.inline().on_conflict_do_update(index_elements=[_m.topic_id, _m.article_id], set_=fresh)


def _stored_at(db: sa.Connection, matches: Sequence[Match]) -> dict[int, datetime]:
    stored_at: dict[int, datetime] = {}
    for some in chunks(sorted({match.article_id for match in matches})):
        query = sa.select(_a.id, _a.stored_at).where(_a.id.in_(some))
        stored_at.update((row.id, row.stored_at) for row in db.execute(query))
    return stored_at


def unique(matches: Sequence[Match]) -> list[Match]:
    """One for each (topic, article), in that order."""
    return [match for _, match in sorted({(match.topic_id, match.article_id): match for match in matches}.items())]


def of_stories(db: sa.Connection, matches: Sequence[Match], known: Set[int], until: datetime) -> list[Found]:
    """As `found`, each with its story and all who covered that before `until`; `known`: articles of stories sent."""
    some = found(db, matches)
    member = t.story_member.c
    names: dict[int, list[str]] = {}
    story_of: dict[int, int] = {}
    for ids in chunks([one.article.id for one in some]):
        story_of.update(
            db.execute(sa.select(member.article_id, member.story_id).where(member.article_id.in_(ids))).all()
        )
    for stories in chunks(sorted(set(story_of.values()))):
        query = (
            sa.select(member.story_id, t.source.c.name)
            .join(t.article, _a.id == member.article_id)
            .join(t.source, t.source.c.id == _a.source_id)
            .where(member.story_id.in_(stories), _a.stored_at < until)
            .order_by(member.story_id, member.article_id)
        )
        for story, name in db.execute(query):
            names.setdefault(story, []).append(name)
    return [
        dataclasses.replace(
            one,
            article=dataclasses.replace(one.article, story_id=story_of.get(one.article.id, 0)),
            covered_by=tuple(dict.fromkeys(names.get(story_of.get(one.article.id, 0), ()))),
            known=one.article.id in known,
        )
        for one in some
    ]


def found(db: sa.Connection, matches: Sequence[Match]) -> list[Found]:
    """The matches with their articles, in the order in which the articles first appear."""
    by_article: dict[int, list[Match]] = {}
    for match in matches:
        by_article.setdefault(match.article_id, []).append(match)
    articles: dict[int, Found] = {}
    s = t.source.c
    columns = [
        *t.article.c,
        s.slug.label("source_slug"),
        s.name.label("source_name"),
        s.weight.label("source_weight"),
        s.kind.label("source_kind"),
        s.first_success_at,
    ]
    for some in chunks(list(by_article)):
        joined = t.article.outerjoin(t.source, s.id == _a.source_id)
        for row in db.execute(sa.select(*columns).select_from(joined).where(_a.id.in_(some))):
            articles[row.id] = Found(
                article=rows.to_article(row),
                matches=tuple(by_article[row.id]),
                source_name=row.source_name or "",
                source_weight=row.source_weight or 1.0,
                first_visit=row.source_kind in _LISTS
                and (row.first_success_at is None or row.stored_at <= row.first_success_at),
            )
    return [articles[number] for number in by_article if number in articles]


def weekly(db: sa.Connection, topic_ids: Sequence[int], before: datetime, weeks: int) -> dict[int, tuple[int, ...]]:
    start = before - weeks * _WEEK
    ends = [start + (number + 1) * _WEEK for number in range(weeks)]
    week = sa.case(*((_m.stored_at < end, number) for number, end in enumerate(ends)), else_=weeks)
    query = (
        sa.select(_m.topic_id, week.label("week"), sa.func.count().label("number"))
        .where(_m.topic_id.in_(topic_ids), _m.stored_at >= start, _m.stored_at < before)
        .group_by(_m.topic_id, week)
    )
    counts = {topic_id: [0] * weeks for topic_id in topic_ids}
    for row in db.execute(query):
        counts[row.topic_id][row.week] = row.number
    return {topic_id: tuple(numbers) for topic_id, numbers in counts.items()}


def _to_rematch(row: rows.Row) -> Rematch:
    return Rematch(
        topic_id=row.topic_id,
        revision_id=row.revision_id,
        after_id=row.after_id,
        upto_id=row.upto_id,
        matched=row.matched,
    )
