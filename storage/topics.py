"""Topics and their revisions, examples and labels."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from monitor.errors import StorageError
from monitor.model import Label, Revision, Topic, Verdict
from storage import rows
from storage import tables as t
from storage.audit import differences, record
from storage.engine import changed, insert_into, reads, writes
from storage.matches import Matches
from storage.values import Example

_t = t.topic.c
_v = t.revision.c
_l = t.label.c
_x = t.example.c


class Topics(Matches):
    @writes
    def add(self, db: sa.Connection, topic: Topic, author: str, note: str, now: datetime) -> Topic:
        """Store a new topic as its revision 1. Raises StorageError if its slug is taken."""
        added = insert(db, topic, author, note, now)
        record(db, f"added the topic {added.slug}", "", added.query)
        return added

    @writes
    def save(
        self, db: sa.Connection, topic: Topic, author: str, note: str, now: datetime, expected_revision: int
    ) -> Topic:
        """Store a new revision. Raises StorageError when somebody else saved one after `expected_revision`."""
        before = _get(db, topic.slug)
        same = sa.and_(_t.id == before.id, _t.revision == expected_revision)
        if not changed(db.execute(t.topic.update().where(same).values(revision=expected_revision + 1))):
            raise StorageError(
                f"topic {topic.slug!r} is at revision {before.revision}, not {expected_revision}:"
                " somebody saved it meanwhile. Look at their change, then save yours again"
            )
        _add_revision(db, topic, before.id, expected_revision + 1, author, note, now)
        after = _get(db, topic.slug)
        record(db, f"saved the topic {after.slug}, revision {after.revision}", *_changes(before, after))
        return after

    @reads
    def list(self, db: sa.Connection, active: bool | None = None) -> builtins.list[Topic]:
        """By slug; only the active or the inactive ones if asked."""
        wanted = sa.true() if active is None else _t.active == active
        return [rows.to_topic(row) for row in db.execute(_current().where(wanted).order_by(_t.slug))]

    @reads
    def stamp(self, db: sa.Connection) -> tuple[int, ...]:
        """Changes whenever an active topic is added, changed, switched on or off; cheap, however many there are."""
        newest = sa.select(sa.func.coalesce(sa.func.max(t.revision.c.id), 0)).scalar_subquery()
        active = sa.select(newest, sa.func.count(), sa.func.coalesce(sa.func.sum(_t.id), 0)).where(_t.active)
        return tuple(int(value) for value in db.execute(active).one())

    @reads
    def get(self, db: sa.Connection, slug: str) -> Topic:
        """Raises NotFound, naming the nearest slugs."""
        return _get(db, slug)

    @reads
    def get_many(self, db: sa.Connection, topic_ids: Sequence[int]) -> builtins.list[Topic]:
        """In the order asked for; unknown ones are left out."""
        known = {row.topic_id: rows.to_topic(row) for row in db.execute(_current().where(_t.id.in_(topic_ids)))}
        return [known[number] for number in topic_ids if number in known]

    @reads
    def history(self, db: sa.Connection, slug: str) -> builtins.list[Revision]:
        """All revisions, newest first. Raises NotFound."""
        topic = _get(db, slug)
        return [
            Revision(
                id=row.revision_id,
                topic=rows.to_topic(row),
                number=row.number,
                author=row.author,
                note=row.note,
                created_at=row.created_at,
            )
            for row in db.execute(_revisions().where(_t.id == topic.id).order_by(_v.number.desc()))
        ]

    @writes
    def set_active(self, db: sa.Connection, slug: str, active: bool) -> Topic:
        """Not a revision: the query stays. Raises NotFound."""
        topic = _get(db, slug)
        db.execute(t.topic.update().where(_t.id == topic.id).values(active=active))
        record(db, f"switched the topic {slug}", "on" if topic.active else "off", "on" if active else "off")
        return _get(db, slug)

    # --- examples ---------------------------------------------------------------------------------------------

    @writes
    def add_example(self, db: sa.Connection, example: Example) -> Example:
        values = {name: getattr(example, name) for name in _EXAMPLE_FIELDS}
        number = db.scalar(t.example.insert().values(values).returning(_x.id))
        slug = db.scalar(sa.select(_t.slug).where(_t.id == example.topic_id))
        record(db, f"added example {number} to {slug}", "", _kind(example.must_match, example.title))
        return _to_example(db.execute(t.example.select().where(_x.id == number)).one())

    @reads
    def examples(self, db: sa.Connection, topic_id: int) -> builtins.list[Example]:
        """In the order in which they were added."""
        query = t.example.select().where(_x.topic_id == topic_id).order_by(_x.id)
        return [_to_example(row) for row in db.execute(query)]

    @writes
    def remove_example(self, db: sa.Connection, example_id: int) -> bool:
        """False if there was none."""
        slug = sa.select(_t.slug).where(_t.id == _x.topic_id).scalar_subquery()
        row = db.execute(sa.select(_x.must_match, _x.title, slug.label("slug")).where(_x.id == example_id)).first()
        if row is None or not changed(db.execute(t.example.delete().where(_x.id == example_id))):
            return False
        record(db, f"removed example {example_id} of {row.slug}", _kind(row.must_match, row.title))
        return True

    # --- labels -----------------------------------------------------------------------------------------------

    @writes
    def label(self, db: sa.Connection, label: Label) -> None:
        """Store a judgement; a later one by the same person on the same article replaces it."""
        values = {
            "topic_id": label.topic_id,
            "article_id": label.article_id,
            "by": label.by,
            "verdict": label.verdict.value,
            "reason": label.reason,
            "labelled_at": label.labelled_at,
        }
        key = [_l.topic_id, _l.article_id, _l.by]
        before = _verdict(db, label.topic_id, label.article_id, label.by)
        db.execute(insert_into(db, t.label).values(values).on_conflict_do_update(index_elements=key, set_=values))
        _record_label(db, label.topic_id, label.article_id, before, label.verdict.value)

    @writes
    def unlabel(self, db: sa.Connection, topic_id: int, article_id: int, by: str) -> bool:
        """Undo a judgement; False if there was none."""
        before = _verdict(db, topic_id, article_id, by)
        this = sa.and_(_l.topic_id == topic_id, _l.article_id == article_id, _l.by == by)
        if not changed(db.execute(t.label.delete().where(this))):
            return False
        _record_label(db, topic_id, article_id, before, "")
        return True

    @reads
    def labels(self, db: sa.Connection, topic_id: int) -> builtins.list[Label]:
        """Newest first."""
        query = t.label.select().where(_l.topic_id == topic_id).order_by(_l.labelled_at.desc(), _l.article_id.desc())
        return [
            Label(
                topic_id=row.topic_id,
                article_id=row.article_id,
                verdict=Verdict(row.verdict),
                by=row.by,
                reason=row.reason,
                labelled_at=row.labelled_at,
            )
            for row in db.execute(query)
        ]


def insert(db: sa.Connection, topic: Topic, author: str, note: str, now: datetime) -> Topic:
    """A new topic with its revision 1."""
    values = {"slug": topic.slug, "revision": 1, "active": topic.active}
    if not changed(db.execute(insert_into(db, t.topic).values(values).on_conflict_do_nothing())):
        raise StorageError(f"there is a topic {topic.slug!r} already: choose another slug")
    number = db.scalar(sa.select(_t.id).where(_t.slug == topic.slug))
    _add_revision(db, topic, number, 1, author, note, now)
    return _get(db, topic.slug)


def _add_revision(
    db: sa.Connection, topic: Topic, topic_id: int | None, number: int, author: str, note: str, now: datetime
) -> None:
    values = {"topic_id": topic_id, "number": number, "author": author, "note": note, "created_at": now}
    db.execute(t.revision.insert().values(**values, **rows.of_topic(topic)))


def _revisions() -> sa.Select[tuple[object, ...]]:
    joined = t.topic.join(t.revision, _v.topic_id == _t.id)
    mine = (_t.slug, _t.active)
    theirs = [column for column in t.revision.c if column.name != "id"]
    return sa.select(*mine, *theirs, _v.id.label("revision_id")).select_from(joined)


def _current() -> sa.Select[tuple[object, ...]]:
    return _revisions().where(_v.number == _t.revision)


def _get(db: sa.Connection, slug: str) -> Topic:
    row = db.execute(_current().where(_t.slug == slug)).first()
    if row is None:
        raise rows.not_found("topic", slug, db.scalars(sa.select(_t.slug)))
    return rows.to_topic(row)


def _changes(before: Topic, after: Topic) -> tuple[str, str]:
    told = differences(rows.of_topic(before), rows.of_topic(after))
    only = f"query: {before.query}", f"query: {after.query}"
    return (before.query, after.query) if told == only else told


def _kind(must_match: bool, title: str) -> str:
    return f"{'must match' if must_match else 'must not match'}: {title}"


def _verdict(db: sa.Connection, topic_id: int, article_id: int, by: str) -> str:
    this = sa.and_(_l.topic_id == topic_id, _l.article_id == article_id, _l.by == by)
    return db.scalar(sa.select(_l.verdict).where(this)) or ""


def _record_label(db: sa.Connection, topic_id: int, article_id: int, before: str, after: str) -> None:
    slug = db.scalar(sa.select(_t.slug).where(_t.id == topic_id))
    record(db, f"labelled article {article_id} for {slug}", before, after)


_EXAMPLE_FIELDS = ("topic_id", "must_match", "title", "body", "note")


def _to_example(row: rows.Row) -> Example:
    return Example(id=row.id, **{name: getattr(row, name) for name in _EXAMPLE_FIELDS})
