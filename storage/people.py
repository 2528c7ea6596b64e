"""One person's data: all of it out, or all of it gone. A person is an address: a reader, a user, or both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from monitor.errors import NotFound, StorageError
from monitor.model import Role
from storage import rows
from storage import tables as t
from storage.audit import record
from storage.engine import Repository, reads, writes
from storage.readers import email_hash, email_key, erase_reader

ERASED = "(erased)"
_PRIVATE = frozenset({"password_hash", "token_hash", "email_key", "token_epoch"})  # keys, not data about the person
_BODIES = frozenset({"data", "compact", "html"})  # the mails are in the person's own mailbox

Facts = dict[str, Any]


class People(Repository):
    @reads
    def export(self, db: sa.Connection, email: str) -> Facts:
        """Everything that names this person, as plain values. Raises NotFound when nothing does."""
        reader, user = _reader(db, email), _user(db, email)
        reason = db.scalar(sa.select(t.suppression.c.reason).where(t.suppression.c.email_hash == email_hash(email)))
        if reader is None and user is None and reason is None:
            raise NotFound(f"nothing is stored about {email}")
        return {
            "address": email,
            "suppressed": reason,
            "reader": _facts(reader) if reader is not None else None,
            "subscriptions": _subscriptions(db, reader.id) if reader is not None else [],
            "messages": _messages(db, reader.id) if reader is not None else [],
            "judgements": _judgements(db, _names(email, reader)),
            "user": _facts(user) if user is not None else None,
            "identities": _of_user(db, t.identity, user),
            "sessions": _of_user(db, t.session, user),
            "api_tokens": _of_user(db, t.api_token, user),
            "actions": _listed(db, t.audit.select().where(t.audit.c.who.in_(_names(email, reader)))),
        }

    @writes
    def erase(self, db: sa.Connection, email: str, now: datetime) -> None:
        """Delete the reader with all that was sent and said, and the user; take the address out of audit and notices.
        A hash of it stays, so that nobody signs it up again. Raises NotFound, or StorageError for the last admin.
        """
        reader, user = _reader(db, email), _user(db, email)
        if reader is None and user is None:
            raise NotFound(f"nobody is stored as {email}")
        names = _names(email, reader)
        if user is not None:
            _erase_user(db, user)
        db.execute(t.label.delete().where(t.label.c.by.in_(names)))
        erase_reader(db, reader.id if reader is not None else None, email, now)
        db.execute(t.audit.update().where(t.audit.c.who.in_(names)).values(who=ERASED))
        for written in names[:-1] if reader is not None else names:
            _blot(db, t.audit, ("what", "before", "after"), written)
            _blot(db, t.notice, ("subject", "text"), written)
        record(db, "erased a person")


def _reader(db: sa.Connection, email: str) -> rows.Row | None:
    return db.execute(t.subscriber.select().where(t.subscriber.c.email_key == email_key(email))).first()


def _user(db: sa.Connection, email: str) -> rows.Row | None:
    return db.execute(t.user.select().where(t.user.c.email_key == email_key(email))).first()


def _names(email: str, reader: rows.Row | None) -> list[str]:
    """How a person is named in labels and audit: the address in each of its forms, and the reader's number last."""
    forms = [email.strip(), email_key(email), *([reader.email] if reader is not None else [])]
    number = [f"reader:{reader.id}"] if reader is not None else []
    return [*dict.fromkeys(forms), *number]


def _facts(row: rows.Row) -> Facts:
    return {name: value for name, value in row._mapping.items() if name not in _PRIVATE | _BODIES}


def _listed(db: sa.Connection, query: sa.Select[Any]) -> list[Facts]:
    return [_facts(row) for row in db.execute(query)]


def _of_user(db: sa.Connection, table: sa.Table, user: rows.Row | None) -> list[Facts]:
    return _listed(db, table.select().where(table.c.user_id == user.id)) if user is not None else []


def _subscriptions(db: sa.Connection, reader_id: int) -> list[Facts]:
    slugs = {row.id: row.slug for row in db.execute(sa.select(t.topic.c.id, t.topic.c.slug))}
    found = db.execute(t.subscription.select().where(t.subscription.c.subscriber_id == reader_id))
    return [
        {**_facts(row), "topics": [slugs.get(number, "?") for number in rows.to_subscription(row).topic_ids]}
        for row in found
    ]


def _messages(db: sa.Connection, reader_id: int) -> list[Facts]:
    d, i, a = t.delivery.c, t.digest_item.c, t.article.c
    columns = [column for column in t.delivery.c if column.name not in _BODIES]
    sent = [_facts(row) for row in db.execute(sa.select(*columns).where(d.subscriber_id == reader_id).order_by(d.id))]
    items: dict[int, list[Facts]] = {}
    listed = (
        sa.select(i.delivery_id, a.title, a.url)
        .select_from(t.digest_item.join(t.delivery).join(t.article))
        .where(d.subscriber_id == reader_id)
        .order_by(i.delivery_id, i.number)
    )
    for row in db.execute(listed):
        items.setdefault(row.delivery_id, []).append({"title": row.title, "url": row.url})
    return [{**message, "articles": items.get(message["id"], [])} for message in sent]


def _judgements(db: sa.Connection, names: Sequence[str]) -> list[Facts]:
    label, article, topic = t.label.c, t.article.c, t.topic.c
    query = (
        sa.select(topic.slug.label("topic"), article.title, label.verdict, label.reason, label.labelled_at)
        .select_from(t.label.join(t.topic).join(t.article))
        .where(label.by.in_(names))
        .order_by(label.labelled_at)
    )
    return _listed(db, query)


def _erase_user(db: sa.Connection, user: rows.Row) -> None:
    u = t.user.c
    db.execute(t.user.delete().where(u.id == user.id))
    admins = sa.select(sa.func.count()).select_from(t.user).where(u.role == Role.ADMIN.value, u.active)
    if user.role == Role.ADMIN.value and not db.scalar(admins):
        raise StorageError("this is the last active admin: make another one first (`monitor users`)")


def _blot(db: sa.Connection, table: sa.Table, columns: Sequence[str], written: str) -> None:
    for name in columns:
        column = table.c[name]
        clean = {name: sa.func.replace(column, written, ERASED)}
        db.execute(table.update().where(column.contains(written, autoescape=True)).values(clean))
