"""Readers: subscribers, what they subscribe to, and what their next digest may hold."""

from __future__ import annotations

import builtins
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import cast
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from monitor.errors import NotFound, StorageError
from monitor.model import (
    Cadence,
    Coverage,
    DeliveryState,
    Found,
    Period,
    Subscriber,
    SubscriberState,
    Subscription,
)
from storage import matches, rows
from storage import tables as t
from storage.audit import differences, record
from storage.coverage import coverage
from storage.engine import Repository, changed, insert_into, reads, writes

_u = t.subscriber.c
_n = t.subscription.c
_m = t.match.c
_y = t.story_member.c
_EARLIEST_ZONE = timedelta(hours=14)  # where it is tomorrow first
_PERIODS = {
    Cadence.AT_ONCE: timedelta(days=1),
    Cadence.DAILY: timedelta(days=1),
    Cadence.WEEKLY: timedelta(days=7),
    Cadence.MONTHLY: timedelta(days=31),
}


class Readers(Repository):
    @writes
    def add_subscriber(self, db: sa.Connection, subscriber: Subscriber, now: datetime) -> Subscriber:
        """Raises StorageError if the address (in any case) has a subscriber already."""
        return _add(db, subscriber, now)

    @writes
    def enrol(
        self, db: sa.Connection, subscriber: Subscriber, subscription: Subscription, now: datetime
    ) -> tuple[Subscriber, Subscription]:
        """The reader of that address, new if there is none, with one more subscription: both or neither.

        Asked for again, as when the first answer got lost, the same subscription is not there twice: a reader who has
        one with the very same wishes keeps it.
        """
        this = _u.email_key == email_key(subscriber.email)
        known = db.execute(t.subscriber.select().where(this).with_for_update()).first()
        reader = rows.to_subscriber(known) if known is not None else _add(db, subscriber, now)
        if (same := _same_wishes(db, replace(subscription, subscriber_id=reader.id))) is not None:
            return reader, same
        added = _subscribe(db, replace(subscription, subscriber_id=reader.id))
        what = f"added the reader {reader.email}" if known is None else f"added a subscription of {reader.email}"
        record(db, what, "", "\n".join(f"{name}: {value}" for name, value in _told(db, added).items()))
        return reader, added

    @reads
    def get(self, db: sa.Connection, email: str) -> Subscriber:
        """By address, in any case. Raises NotFound."""
        return _by_email(db, email)

    @reads
    def get_by_id(self, db: sa.Connection, subscriber_id: int) -> Subscriber:
        """Raises NotFound."""
        return _by_id(db, subscriber_id)

    @reads
    def list(self, db: sa.Connection, state: SubscriberState | None = None) -> builtins.list[Subscriber]:
        """By address."""
        wanted = sa.true() if state is None else _u.state == state.value
        return [
            rows.to_subscriber(row) for row in db.execute(t.subscriber.select().where(wanted).order_by(_u.email_key))
        ]

    @reads
    def page(
        self, db: sa.Connection, after: str = "", state: SubscriberState | None = None, limit: int = 50
    ) -> builtins.list[tuple[Subscriber, builtins.list[Subscription]]]:
        """By address, those after `after`, each with what they subscribe to."""
        wanted = sa.and_(_u.email_key > email_key(after), sa.true() if state is None else _u.state == state.value)
        people = db.execute(t.subscriber.select().where(wanted).order_by(_u.email_key).limit(limit)).all()
        theirs: dict[int, builtins.list[Subscription]] = {row.id: [] for row in people}
        for row in db.execute(t.subscription.select().where(_n.subscriber_id.in_(theirs)).order_by(_n.id)):
            theirs[row.subscriber_id].append(rows.to_subscription(row))
        return [(rows.to_subscriber(row), theirs[row.id]) for row in people]

    @writes
    def update(self, db: sa.Connection, subscriber: Subscriber) -> Subscriber:
        """Store address, name, state and token epoch. Raises NotFound, or StorageError if the address is another's."""
        before = _by_id(db, subscriber.id)
        twin = db.scalar(sa.select(_u.id).where(_u.email_key == email_key(subscriber.email), _u.id != subscriber.id))
        if twin is not None:
            raise StorageError(f"{subscriber.email} has a subscriber already")
        db.execute(t.subscriber.update().where(_u.id == subscriber.id).values(_of_subscriber(subscriber)))
        after = _by_id(db, subscriber.id)
        states = ({"address": one.email, "name": one.name, "state": one.state.value} for one in (before, after))
        what = "" if before.token_epoch == after.token_epoch else ": links of before are dead"
        record(db, f"changed the reader {before.email}{what}", *differences(*states))
        return after

    @writes
    def erase(self, db: sa.Connection, subscriber_id: int, now: datetime) -> None:
        """Delete the person with all that was sent to them and said by them. A hash of the address stays, so that
        nobody signs it up again. Raises NotFound.
        """
        subscriber = _by_id(db, subscriber_id)
        names = (subscriber.email, email_key(subscriber.email), f"reader:{subscriber_id}")
        db.execute(t.label.delete().where(t.label.c.by.in_(names)))
        erase_reader(db, subscriber_id, subscriber.email, now)

    @writes
    def suppress(self, db: sa.Connection, email: str, reason: str, now: datetime) -> None:
        """Never mail this address; only its hash is kept."""
        _suppress(db, email, reason, now)
        record(db, "forbade mail to an address", "", reason)

    @writes
    def unsuppress(self, db: sa.Connection, email: str) -> bool:
        """False if it was not suppressed."""
        return changed(db.execute(t.suppression.delete().where(t.suppression.c.email_hash == email_hash(email))))

    @reads
    def suppressed(self, db: sa.Connection, email: str) -> str | None:
        """Why this address must not be mailed, or None."""
        known = sa.select(t.suppression.c.reason).where(t.suppression.c.email_hash == email_hash(email))
        reason: str | None = db.scalar(known)
        return reason

    @writes
    def add_subscription(self, db: sa.Connection, subscription: Subscription) -> Subscription:
        """Its first digest looks back one period before `next_digest_at`."""
        return _subscribe(db, subscription)

    @reads
    def subscription(self, db: sa.Connection, subscription_id: int) -> Subscription:
        """Raises NotFound."""
        return _subscription(db, subscription_id)

    @reads
    def subscriptions(self, db: sa.Connection, subscriber_id: int) -> builtins.list[Subscription]:
        """In the order in which they were made."""
        query = t.subscription.select().where(_n.subscriber_id == subscriber_id).order_by(_n.id)
        return [rows.to_subscription(row) for row in db.execute(query)]

    @writes
    def update_subscription(self, db: sa.Connection, subscription: Subscription) -> Subscription:
        """Store all of it, due time included. Raises NotFound."""
        before = _told(db, _subscription(db, subscription.id))
        first = sa.literal(_covers_from(subscription), _n.covers_from.type)
        values = {**rows.of_subscription(subscription), "covers_from": sa.func.coalesce(_n.covers_from, first)}
        db.execute(t.subscription.update().where(_n.id == subscription.id).values(values))
        after = _subscription(db, subscription.id)
        whose = _by_id(db, after.subscriber_id).email
        record(db, f"changed subscription {after.id} of {whose}", *differences(before, _told(db, after)))
        return after

    @reads
    def due(self, db: sa.Connection, now: datetime, limit: int) -> builtins.list[tuple[Subscriber, Subscription]]:
        """Active subscriptions of active subscribers whose time has come and that are not paused, longest due first."""
        latest_today = (now + _EARLIEST_ZONE).date()
        query = (
            t.subscription.select()
            .join(t.subscriber, _u.id == _n.subscriber_id)
            .where(
                _n.active,
                _u.state == SubscriberState.ACTIVE.value,
                _n.next_digest_at <= now,
                sa.or_(_n.paused_until.is_(None), _n.paused_until <= latest_today),
            )
            .order_by(_n.next_digest_at, _n.id)
        )
        awake = (one for one in map(rows.to_subscription, db.execute(query)) if not _is_paused(one, now))
        due = builtins.list(islice(awake, limit))
        theirs = _u.id.in_({one.subscriber_id for one in due})
        subscribers = {row.id: rows.to_subscriber(row) for row in db.execute(t.subscriber.select().where(theirs))}
        return [(subscribers[one.subscriber_id], one) for one in due]

    @reads
    def found(
        self, db: sa.Connection, subscription: Subscription, period: Period, now: datetime, horizon: timedelta
    ) -> builtins.list[Found]:
        """What this subscription may bring: articles stored and matched before the period's end, within `horizon`
        of `now`, of stories not sent to this subscriber before, not found by a rematch. A first digest looks back one
        period. By article id, each with all its matches for these topics.

        Also (`known`) articles of stories that were sent before, while the reader was not shown the published paper:
        `compose` makes an update of one that is it. An article whose story is not told yet waits.
        """
        covers_from = db.scalar(sa.select(_n.covers_from).where(_n.id == subscription.id)) or period.start
        known = _entered(subscription, "new")
        query = (
            sa.select(*t.match.c, known.label("known"))
            .join(t.story_member, _y.article_id == _m.article_id)
            .where(
                _m.topic_id.in_(subscription.topic_ids),
                _m.stored_at >= max(now - horizon, covers_from),
                _m.stored_at < period.end,
                _m.matched_at < period.end,
                sa.not_(_m.old_news),
                sa.not_(sa.exists().where(t.story_due.c.article_id == _m.article_id)),
                sa.not_(_sent(subscription)),
            )
            .order_by(_m.article_id, _m.topic_id)
        )
        found = db.execute(query).all()
        before = {row.article_id for row in found if row.known and not subscription.repeat}
        return matches.of_stories(db, [rows.to_match(cast(rows.Row, row)) for row in found], before, period.end)

    @reads
    def coverage(self, db: sa.Connection, start: datetime, end: datetime) -> Coverage:
        """What was read between the two, and what could not be: no success in that time, or none in its last day."""
        return coverage(db, start, end)

    @reads
    def last_news(self, db: sa.Connection, topic_ids: Sequence[int]) -> dict[int, datetime]:
        """When each topic last had a new article; topics that never had one are left out."""
        # one step down the index for each topic: grouping would walk all that it ever matched
        newest = sa.select(sa.func.max(_m.stored_at)).where(_m.topic_id == t.topic.c.id).scalar_subquery()
        query = sa.select(t.topic.c.id, newest.label("last")).where(t.topic.c.id.in_(topic_ids))
        return {row.id: row.last for row in db.execute(query) if row.last is not None}

    @reads
    def weekly_history(
        self, db: sa.Connection, topic_ids: Sequence[int], before: datetime, weeks: int = 8
    ) -> dict[int, tuple[int, ...]]:
        """Matches of each topic in each of the weeks before, oldest first."""
        return matches.weekly(db, topic_ids, before, weeks)


def email_key(email: str) -> str:
    """The address to compare by: no mail system in use tells upper from lower case."""
    return unicodedata.normalize("NFKC", email.strip()).casefold()


def _sent(subscription: Subscription) -> sa.ColumnElement[bool]:
    """Has this reader, or, if they want repeats, this subscription, nothing more to learn of the match's story?

    Of a story that was sent, its published paper is still worth an update, and only that.
    """
    if not subscription.repeat:
        a = t.article.c
        paper = sa.exists().where(a.id == _m.article_id, a.doi_key.is_not(None) | (a.pmid != ""))
        return sa.and_(_entered(subscription, "new"), sa.or_(_entered(subscription, "update"), sa.not_(paper)))
    item, delivery, member = t.digest_item.c, t.delivery.c, t.story_member.alias("sent_member").c
    gone = (DeliveryState.FAILED.value, DeliveryState.CANCELLED.value)
    return sa.exists().where(
        member.story_id == _y.story_id,
        item.article_id == member.article_id,
        item.delivery_id == delivery.id,
        delivery.subscription_id == subscription.id,
        delivery.state.not_in(gone),
    )


def _entered(subscription: Subscription, kind: str) -> sa.ColumnElement[bool]:
    """Does the reader's ledger hold the match's story as this?"""
    ledger = t.ledger.c
    return sa.exists().where(
        ledger.subscriber_id == subscription.subscriber_id, ledger.story_id == _y.story_id, ledger.kind == kind
    )


def _covers_from(subscription: Subscription) -> datetime | None:
    first = subscription.next_digest_at
    return first - _PERIODS[subscription.cadence] if first is not None else None


def _is_paused(subscription: Subscription, now: datetime) -> bool:
    """`paused_until` is a day in the reader's zone: the first on which digests come again."""
    until = subscription.paused_until
    return until is not None and now.astimezone(ZoneInfo(subscription.timezone)).date() < until


def _of_subscriber(subscriber: Subscriber) -> rows.Values:
    key = email_key(subscriber.email)
    if not key or len(key) > 320:
        raise StorageError(f"not an address: {subscriber.email[:80]!r}")
    return {
        "email": subscriber.email.strip(),
        "email_key": key,
        "name": subscriber.name,
        "state": subscriber.state.value,
        "state_reason": subscriber.state_reason,
        "token_epoch": subscriber.token_epoch,
    }


def _add(db: sa.Connection, subscriber: Subscriber, now: datetime) -> Subscriber:
    values = {**_of_subscriber(subscriber), "created_at": now}
    if not changed(db.execute(insert_into(db, t.subscriber).values(values).on_conflict_do_nothing())):
        raise StorageError(f"{subscriber.email} has a subscriber already")
    return _by_email(db, subscriber.email)


def _subscribe(db: sa.Connection, subscription: Subscription) -> Subscription:
    values = {**rows.of_subscription(subscription), "covers_from": _covers_from(subscription)}
    number = db.scalar(t.subscription.insert().values(values).returning(_n.id))
    return _subscription(db, number or 0)


def _same_wishes(db: sa.Connection, wanted: Subscription) -> Subscription | None:
    for row in db.execute(t.subscription.select().where(_n.subscriber_id == wanted.subscriber_id).order_by(_n.id)):
        one = rows.to_subscription(row)
        if _wishes(one) == _wishes(wanted):
            return one
    return None


def _wishes(subscription: Subscription) -> Subscription:
    topics = tuple(sorted(subscription.topic_ids))
    return replace(subscription, id=0, topic_ids=topics, next_digest_at=None, silent_periods=0)


def _told(db: sa.Connection, subscription: Subscription) -> dict[str, object]:
    """What somebody chooses of a subscription, for the audit."""
    slugs = db.scalars(sa.select(t.topic.c.slug).where(t.topic.c.id.in_(subscription.topic_ids)).order_by("slug"))
    return {"topics": ", ".join(slugs), **{name: getattr(subscription, name) for name in _CHOSEN}}


_CHOSEN = ("cadence", "weekday", "at", "timezone", "empty", "paused_until", "active", "safety_at_once")


def _by_email(db: sa.Connection, email: str) -> Subscriber:
    row = db.execute(t.subscriber.select().where(_u.email_key == email_key(email))).first()
    if row is None:
        raise rows.not_found("subscriber", email, db.scalars(sa.select(_u.email)))
    return rows.to_subscriber(row)


def _by_id(db: sa.Connection, subscriber_id: int) -> Subscriber:
    row = db.execute(t.subscriber.select().where(_u.id == subscriber_id)).first()
    if row is None:
        raise NotFound(f"no subscriber {subscriber_id}")
    return rows.to_subscriber(row)


def _subscription(db: sa.Connection, subscription_id: int) -> Subscription:
    row = db.execute(t.subscription.select().where(_n.id == subscription_id)).first()
    if row is None:
        raise NotFound(f"no subscription {subscription_id}")
    return rows.to_subscription(row)


def erase_reader(db: sa.Connection, subscriber_id: int | None, email: str, now: datetime) -> None:
    """Within a transaction: the person is gone, the hash of the address stays."""
    db.execute(t.subscriber.delete().where(_u.id == subscriber_id))
    _suppress(db, email, "erased", now)


def _suppress(db: sa.Connection, email: str, reason: str, now: datetime) -> None:
    values = {"email_hash": email_hash(email), "reason": reason, "since": now}
    insert = insert_into(db, t.suppression).values(values)
    db.execute(insert.on_conflict_do_update(index_elements=[t.suppression.c.email_hash], set_={"reason": reason}))


def email_hash(email: str) -> bytes:
    return sha256(email_key(email).encode("utf-8", "replace")).digest()
