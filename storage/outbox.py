"""The outbox: each message frozen before its first try, its state committed before and after every step.

queued -> sending -> accepted | deferred (sending again) | failed | in_doubt; held waits for an admin. Whoever claims a
message gets an epoch; only the newest epoch may settle it.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from monitor.errors import NotFound, StorageError
from monitor.model import Delivery, DeliveryState, Level, SubscriberState, Subscription
from storage import ledger, rows
from storage import tables as t
from storage.audit import record
from storage.engine import Repository, changed, insert_into, reads, writes
from storage.notices import close_about, raise_once
from storage.values import SentDigest

_d = t.delivery.c
_n = t.subscription.c
_i = t.digest_item.c
_BODIES = ("data", "compact", "html")
_HELD = "outbox_held"
_RESENDS = 1  # automatic ones: a message that is in doubt twice waits for a human

QUEUED, SENDING, ACCEPTED, DEFERRED, FAILED, IN_DOUBT, HELD, CANCELLED = (
    state.value
    for state in (
        DeliveryState.QUEUED,
        DeliveryState.SENDING,
        DeliveryState.ACCEPTED,
        DeliveryState.DEFERRED,
        DeliveryState.FAILED,
        DeliveryState.IN_DOUBT,
        DeliveryState.HELD,
        DeliveryState.CANCELLED,
    )
)
_WAITING = (QUEUED, DEFERRED)


class Outbox(Repository):
    # --- in ---------------------------------------------------------------------------------------------------

    @writes
    def enqueue(
        self,
        db: sa.Connection,
        delivery: Delivery,
        article_ids: Sequence[int],
        *,
        expected_next_at: datetime | None,
        next_at: datetime | None,
        silent_periods: int = 0,
        updates: Collection[int] = (),
        papers: Collection[int] = (),
        safety: Sequence[int] = (),
    ) -> Delivery | None:
        """Freeze a digest, enter its stories into the reader's ledger and move the subscription on: one transaction.

        Of `article_ids`, each standing for its story, `updates` come as updates of what was sent before; after `papers`
        the reader knows the published paper. `safety` are the corrections that the digest tells.

        None when there was nothing to enqueue, look again: the subscription's due time is no longer `expected_next_at`,
        or one of the stories was sent to this reader meanwhile (nothing is changed), or the period has its digest
        already (the subscription only moves on). While deliveries are held (`hold_all`), a new one is held too.
        """
        try:
            with db.begin_nested():
                step = {"next_digest_at": next_at, "silent_periods": silent_periods}
                _move_on(db, delivery.subscription_id, expected_next_at, step)
                number = _insert(db, delivery)
                if number is None:
                    return None
                ledger.enter_items(db, number, delivery, ledger.kinds_of(article_ids, updates, papers))
                ledger.enter_safety(db, number, delivery, safety)
                record(db, f"sent a digest to {delivery.message.recipient} before its day")
                return _get(db, number)
        except ledger.OvertakenError:
            return None

    @writes
    def skip(
        self,
        db: sa.Connection,
        subscription: Subscription,
        *,
        expected_next_at: datetime | None,
        next_at: datetime | None,
        silent_periods: int,
    ) -> bool:
        """Move a subscription on without a digest. False if another process did."""
        try:
            step = {"next_digest_at": next_at, "silent_periods": silent_periods}
            _move_on(db, subscription.id, expected_next_at, step)
        except ledger.OvertakenError:
            return False
        return True

    @writes
    def enqueue_mail(self, db: sa.Connection, delivery: Delivery) -> Delivery:
        """Queue a message that is no digest (a confirmation). One with a known Message-ID is returned as stored."""
        values = _of_delivery(delivery)
        db.execute(insert_into(db, t.delivery).values(values).on_conflict_do_nothing(index_elements=[_d.message_id]))
        return _get(db, delivery.message.message_id)

    # --- out --------------------------------------------------------------------------------------------------

    @writes
    def claim_due(self, db: sa.Connection, now: datetime, limit: int, lease: timedelta) -> builtins.list[Delivery]:
        """Take up to `limit` messages to send, longest waiting first: state sending, one more attempt, a new epoch.

        This is durable before the first byte goes to the relay. Digests of readers who left meanwhile are passed over.
        """
        due = sa.and_(_d.state.in_(_WAITING), sa.or_(_d.not_before.is_(None), _d.not_before <= now), _wanted())
        order = (sa.func.coalesce(_d.not_before, _d.queued_at), _d.id)
        query = sa.select(_d.id).where(due).order_by(*order).limit(limit)
        ids = db.scalars(query.with_for_update(skip_locked=True, of=t.delivery)).all()
        if not ids:
            return []
        step = {
            "state": SENDING,
            "attempts": _d.attempts + 1,
            "epoch": _d.epoch + 1,
            "lease_until": now + lease,
            "first_tried_at": sa.func.coalesce(_d.first_tried_at, sa.literal(now, _d.first_tried_at.type)),
        }
        db.execute(t.delivery.update().where(_d.id.in_(ids)).values(step))
        claimed = {row.id: rows.to_delivery(row) for row in db.execute(t.delivery.select().where(_d.id.in_(ids)))}
        return [claimed[number] for number in ids]

    @writes
    def renew(self, db: sa.Connection, delivery: Delivery, lease_until: datetime) -> bool:
        """Keep a claim for longer. False: it is lost, do not send."""
        return changed(
            db.execute(t.delivery.update().where(_last_claim(delivery, SENDING)).values(lease_until=lease_until))
        )

    @writes
    def accepted(self, db: sa.Connection, delivery: Delivery, now: datetime) -> bool:
        """The relay took it. Counts even after the lease ran out, as long as nobody else claimed it: then a second copy
        need not be sent. This and the ways to settle below say the same when they are asked again.
        """
        return _settle(db, _last_claim(delivery, SENDING, IN_DOUBT, QUEUED, ACCEPTED), ACCEPTED, "", now)

    @writes
    def deferred(
        self,
        db: sa.Connection,
        delivery: Delivery,
        reason: str,
        not_before: datetime,
        now: datetime,
        *,
        counts: bool = True,
    ) -> bool:
        """Certainly not accepted; try again then. `counts` is False when the relay could not be reached or refused us:
        that was no attempt of the message's own, and does not age it.
        """
        step: rows.Values = {
            "state": DEFERRED,
            "lease_until": None,
            "last_error": reason,
            "not_before": max(not_before, now),
        }
        if not counts:
            step["attempts"] = _d.attempts - 1
            step["first_tried_at"] = sa.case((_d.attempts <= 1, sa.null()), else_=_d.first_tried_at)
        return changed(db.execute(t.delivery.update().where(_last_claim(delivery, SENDING)).values(step)))

    @writes
    def failed(self, db: sa.Connection, delivery: Delivery, reason: str, now: datetime) -> bool:
        """Given up. Its articles leave the reader's ledger, so that the next digest may bring them."""
        if not _settle(db, _last_claim(delivery, SENDING, FAILED), FAILED, reason, now):
            return False
        ledger.give_back(db, [delivery.id])
        return True

    @writes
    def in_doubt(self, db: sa.Connection, delivery: Delivery, reason: str, now: datetime) -> bool:
        """Sent, but the answer was lost. `recover` decides what follows."""
        return _settle(db, _last_claim(delivery, SENDING, IN_DOUBT), IN_DOUBT, reason, now)

    @writes
    def bounced(
        self, db: sa.Connection, delivery_id: int, kind: str, status: str, diagnostic: str, now: datetime
    ) -> bool:
        """Record that a delivery came back; False if the same kind of bounce was recorded for it before."""
        row = {"delivery_id": delivery_id, "kind": kind, "at": now, "status": status, "diagnostic": diagnostic}
        added = db.execute(insert_into(db, t.bounce).values(row).on_conflict_do_nothing())
        return changed(added)

    @reads
    def bounces(self, db: sa.Connection, subscriber_id: int) -> builtins.list[tuple[int, datetime, str | None]]:
        """A reader's settled deliveries, oldest first: number, when, and each kind of bounce (None: it stayed)."""
        b = t.bounce.c
        found = (
            sa.select(_d.id, sa.func.coalesce(b.at, _d.settled_at), b.kind)
            .select_from(t.delivery.outerjoin(t.bounce))
            .where(_d.subscriber_id == subscriber_id, _d.settled_at.is_not(None))
            .order_by(_d.id)
        )
        return [(number, at, kind) for number, at, kind in db.execute(found)]

    @writes
    def recover(
        self, db: sa.Connection, now: datetime, *, resend: bool = True, notice: str = ""
    ) -> builtins.list[Delivery]:
        """Put in doubt what was being sent when its lease ran out; with `resend` queue each doubtful message once more,
        with the same Message-ID. Returns those whose state changed, as they are now. `notice` is what an admin reads of
        each, in the same transaction: none is sent again unseen.
        """
        lost = db.scalars(
            sa.select(_d.id).where(_d.state == SENDING, _d.lease_until <= now).with_for_update(skip_locked=True)
        ).all()
        doubt = "the program stopped while it was being sent: it may have arrived"
        _settle(db, _d.id.in_(lost), IN_DOUBT, doubt, now)
        again: Sequence[int] = ()
        if resend:
            doubtful = sa.select(_d.id).where(_d.state == IN_DOUBT, _d.resends < _RESENDS)
            again = db.scalars(doubtful.with_for_update(skip_locked=True)).all()
            step = {"state": QUEUED, "resends": _d.resends + 1, "not_before": None, "settled_at": None}
            db.execute(t.delivery.update().where(_d.id.in_(again)).values(step))
        if notice:
            for number in sorted({*lost, *again}):
                raise_once(db, f"delivery:{number}", "in-doubt", Level.WARNING, notice, now)
        return _list(db, _d.id.in_({*lost, *again}), limit=None)

    # --- looked at and decided by an admin --------------------------------------------------------------------

    @reads
    def list(
        self,
        db: sa.Connection,
        states: Sequence[DeliveryState] = (),
        limit: int = 100,
        *,
        before_id: int | None = None,
        subscriber_id: int | None = None,
        digests: bool = False,
    ) -> builtins.list[Delivery]:
        """Newest first, below `before_id`, in these states (none: all); without the messages' bodies. `digests`: no
        letters.
        """
        wanted: builtins.list[sa.ColumnElement[bool]] = []
        wanted += [_d.state.in_([state.value for state in states])] if states else []
        wanted += [_d.id < before_id] if before_id is not None else []
        wanted += [_d.subscriber_id == subscriber_id] if subscriber_id is not None else []
        wanted += [_d.subscription_id.is_not(None)] if digests else []
        return _list(db, sa.and_(sa.true(), *wanted), limit)

    @reads
    def get(self, db: sa.Connection, which: int | str) -> Delivery:
        """By id or Message-ID. Raises NotFound."""
        return _get(db, which)

    @writes
    def retry(self, db: sa.Connection, delivery_id: int, now: datetime) -> Delivery:
        """Queue a deferred, failed, doubtful or held message again, at once. Raises StorageError in any other state, or
        when a later digest has brought its articles meanwhile.
        """
        before = _locked(db, delivery_id)
        if before.state not in _RETRIED:
            raise StorageError(f"delivery {delivery_id} is {before.state.value}: only one that waits can be sent again")
        if before.state is DeliveryState.FAILED:
            ledger.enter_again(db, before)
        step = {"state": QUEUED, "not_before": now, "attempts": 0, "first_tried_at": None, "settled_at": None}
        db.execute(t.delivery.update().where(_d.id == delivery_id).values(step))
        close_about(db, f"delivery:{delivery_id}", now)  # an admin has seen and decided
        record(db, f"retry of delivery {delivery_id}", before.state.value, QUEUED)
        return _get(db, delivery_id)

    @writes
    def release(self, db: sa.Connection, now: datetime, delivery_ids: Sequence[int] = ()) -> int:
        """Let held messages go; how many. None named: all, and new ones are no longer held."""
        if not delivery_ids:
            db.execute(t.fact.delete().where(t.fact.c.name == _HELD))
        these = _d.id.in_(delivery_ids) if delivery_ids else sa.true()
        step = {"state": QUEUED, "not_before": now, "settled_at": None}
        released = db.execute(t.delivery.update().where(_d.state == HELD, these).values(step)).rowcount
        which = f"delivery {', '.join(map(str, delivery_ids))}" if delivery_ids else "all held messages"
        record(db, f"release of {which}", "", f"{released} released")
        return released

    @writes
    def cancel(self, db: sa.Connection, delivery_id: int, now: datetime) -> Delivery:
        """Never send it; its articles leave the ledger. Raises StorageError if it is being sent, or was accepted."""
        before = _locked(db, delivery_id)
        if before.state in (DeliveryState.SENDING, DeliveryState.ACCEPTED):
            raise StorageError(f"delivery {delivery_id} is {before.state.value}: too late to cancel it")
        _settle(db, _d.id == delivery_id, CANCELLED, "cancelled", now)
        ledger.give_back(db, [delivery_id])
        close_about(db, f"delivery:{delivery_id}", now)
        record(db, f"cancel of delivery {delivery_id}", before.state.value, CANCELLED)
        return _get(db, delivery_id)

    @writes
    def cancel_unwanted(self, db: sa.Connection, now: datetime) -> int:
        """Cancel waiting digests whose reader or subscription is no longer active; how many."""
        ids = db.scalars(sa.select(_d.id).where(_d.state.in_((*_WAITING, HELD)), sa.not_(_wanted()))).all()
        _settle(db, _d.id.in_(ids), CANCELLED, "the reader no longer wants it", now)
        ledger.give_back(db, ids)
        return len(ids)

    @writes
    def hold_all(self, db: sa.Connection, reason: str, now: datetime) -> int:
        """After a restore: all that may have been sent since the backup waits for an admin, and so does every new
        digest until `release`; how many wait.
        """
        return hold_all(db, reason)

    @reads
    def held_because(self, db: sa.Connection) -> str:
        """Why new digests are held; empty when they are not."""
        return _held_because(db)

    @reads
    def counts(self, db: sa.Connection) -> dict[DeliveryState, int]:
        """Of every state, zeros included."""
        counted = sa.select(_d.state, sa.func.count().label("number")).group_by(_d.state)
        known = {row.state: row.number for row in db.execute(counted)}
        return {state: known.get(state.value, 0) for state in DeliveryState}

    @reads
    def digests(self, db: sa.Connection, subscriber_id: int, limit: int = 50) -> builtins.list[SentDigest]:
        """A reader's digests, newest first; without the messages' bodies."""
        theirs = _list(db, sa.and_(_d.subscriber_id == subscriber_id, _d.subscription_id.is_not(None)), limit)
        return [_with_items(db, delivery) for delivery in theirs]

    @reads
    def digest(self, db: sa.Connection, delivery_id: int) -> SentDigest:
        """With its message. Raises NotFound."""
        return _with_items(db, _get(db, delivery_id))


_RETRIED = (DeliveryState.DEFERRED, DeliveryState.FAILED, DeliveryState.IN_DOUBT, DeliveryState.HELD)


def hold_all(db: sa.Connection, reason: str) -> int:
    """Within the transaction that restores: there is no moment at which what was restored may be sent."""
    values = {"name": _HELD, "value": reason}
    insert = insert_into(db, t.fact).values(values)
    db.execute(insert.on_conflict_do_update(index_elements=[t.fact.c.name], set_=values))
    open_states = _d.state.in_((*_WAITING, SENDING, IN_DOUBT))
    step = {"state": HELD, "last_error": reason, "lease_until": None, "epoch": _d.epoch + 1, "settled_at": None}
    return db.execute(t.delivery.update().where(open_states).values(step)).rowcount


# --- steps ----------------------------------------------------------------------------------------------------


def _move_on(
    db: sa.Connection, subscription_id: int | None, expected_next_at: datetime | None, step: rows.Values
) -> None:
    same = sa.and_(_n.id == subscription_id, _n.next_digest_at.is_not_distinct_from(expected_next_at))
    if not changed(db.execute(t.subscription.update().where(same).values(step))):
        raise ledger.OvertakenError


def _insert(db: sa.Connection, delivery: Delivery) -> int | None:
    """Its id, or None if the period has a digest."""
    held = _held_because(db)
    values = _of_delivery(delivery)
    values |= {"state": HELD, "last_error": held} if held else {}
    insert = insert_into(db, t.delivery).values(values).on_conflict_do_nothing()
    number: int | None = db.scalar(insert.returning(_d.id))
    return number


def _last_claim(delivery: Delivery, *states: str) -> sa.ColumnElement[bool]:
    """Nobody claimed it after its holder, and it is in one of these."""
    return sa.and_(_d.id == delivery.id, _d.epoch == delivery.epoch, _d.epoch > 0, _d.state.in_(states))


def _settle(db: sa.Connection, which: sa.ColumnElement[bool], state: str, reason: str, now: datetime) -> bool:
    step = {"state": state, "last_error": reason, "settled_at": now, "lease_until": None}
    return changed(db.execute(t.delivery.update().where(which).values(step)))


def _wanted() -> sa.ColumnElement[bool]:
    """A digest only while its reader and subscription are active; other mail always."""
    u = t.subscriber.c
    active = sa.exists().where(
        _n.id == _d.subscription_id, _n.active, u.id == _d.subscriber_id, u.state == SubscriberState.ACTIVE.value
    )
    return sa.or_(_d.subscription_id.is_(None), active)


def _held_because(db: sa.Connection) -> str:
    return db.scalar(sa.select(t.fact.c.value).where(t.fact.c.name == _HELD)) or ""


# --- rows -----------------------------------------------------------------------------------------------------


def _of_delivery(delivery: Delivery) -> rows.Values:
    message = delivery.message
    return {
        "subscription_id": delivery.subscription_id,
        "subscriber_id": delivery.subscriber_id,
        "period_key": delivery.period_key,
        "message_id": message.message_id,
        "sender": message.sender,
        "recipient": message.recipient,
        "subject": message.subject,
        "data": message.data,
        "compact": message.compact,
        "html": message.html,
        "state": QUEUED,
        "attempts": 0,
        "resends": 0,
        "not_before": delivery.not_before,
        "epoch": 0,
        "last_error": "",
        "queued_at": delivery.queued_at,
    }


def _get(db: sa.Connection, which: int | str) -> Delivery:
    wanted = _d.id == which if isinstance(which, int) else _d.message_id == which
    row = db.execute(t.delivery.select().where(wanted)).first()
    if row is None:
        raise NotFound(f"no delivery {which}")
    return rows.to_delivery(row)


def _locked(db: sa.Connection, delivery_id: int) -> Delivery:
    db.execute(sa.select(_d.id).where(_d.id == delivery_id).with_for_update())
    return _get(db, delivery_id)


def _list(db: sa.Connection, wanted: sa.ColumnElement[bool], limit: int | None) -> list[Delivery]:
    columns = [column for column in t.delivery.c if column.name not in _BODIES]
    query = sa.select(*columns).where(wanted).order_by(_d.id.desc()).limit(limit)
    return [rows.to_delivery(row) for row in db.execute(query)]


def _items(db: sa.Connection, delivery_id: int) -> list[int]:
    query = sa.select(_i.article_id).where(_i.delivery_id == delivery_id).order_by(_i.number)
    return list(db.scalars(query))


def _with_items(db: sa.Connection, delivery: Delivery) -> SentDigest:
    return SentDigest(delivery=delivery, article_ids=tuple(_items(db, delivery.id)))
