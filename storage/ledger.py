"""What each reader was sent: the stories of a digest, the corrections it told. What is entered here is sent once.

These are steps of the outbox's transactions: a digest and its entries are there together, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from monitor.errors import StorageError
from monitor.model import Delivery
from storage import rows
from storage import tables as t
from storage.engine import changed, chunks, insert_into

_n = t.subscription.c
_i = t.digest_item.c
_NEW, _UPDATE = "new", "update"


class OvertakenError(Exception):
    """Another process was first; the savepoint undoes what was done."""


def kinds_of(article_ids: Sequence[int], updates: Collection[int], papers: Collection[int]) -> dict[int, str]:
    """What each article of a digest is entered as."""
    return {one: _kinds(one in updates, one in papers) for one in article_ids}


def _kinds(update: bool, paper: bool) -> str:
    return _UPDATE if update else f"{_NEW},{_UPDATE}" if paper else _NEW


def enter_items(db: sa.Connection, number: int, delivery: Delivery, kinds: Mapping[int, str]) -> None:
    if not kinds:
        return
    items = [
        {"delivery_id": number, "number": place, "article_id": one, "kinds": kinds[one]}
        for place, one in enumerate(kinds, 1)
    ]
    db.execute(t.digest_item.insert(), items)
    repeat = db.scalar(sa.select(_n.repeat).where(_n.id == delivery.subscription_id))
    if not _enter(db, number, delivery.subscriber_id, kinds) and not repeat:
        raise OvertakenError


def enter_safety(db: sa.Connection, number: int, delivery: Delivery, corrections: Sequence[int]) -> None:
    for place, one in enumerate(dict.fromkeys(corrections), 1):
        db.execute(t.safety_item.insert().values(delivery_id=number, number=place, correction_id=one))
        told = {"subscriber_id": delivery.subscriber_id, "correction_id": one, "delivery_id": number}
        if not changed(db.execute(insert_into(db, t.told).values(told).on_conflict_do_nothing())):
            raise OvertakenError


def _enter(db: sa.Connection, number: int, subscriber_id: int, kinds: Mapping[int, str]) -> bool:
    """Each article's story into the ledger; False if one stood there already as what it comes as now."""
    member = t.story_member.c
    story_of: dict[int, int] = {}
    for some in chunks(sorted(kinds)):
        story_of.update(
            db.execute(sa.select(member.article_id, member.story_id).where(member.article_id.in_(some))).all()
        )
    rows_of: dict[str, dict[int, rows.Values]] = {_NEW: {}, _UPDATE: {}}
    entered = 0
    for one, names in kinds.items():
        story = story_of.get(one, one)
        row = {"subscriber_id": subscriber_id, "story_id": story, "article_id": one, "delivery_id": number}
        for place, kind in enumerate(names.split(",")):
            entered += 0 if place or story in rows_of[kind] else 1
            rows_of[kind].setdefault(story, {**row, "kind": kind})
    wanted = [row for some in rows_of.values() for _, row in sorted(some.items())]
    leading = [row for row in wanted if kinds[row["article_id"]].split(",")[0] == row["kind"]]
    done = db.execute(insert_into(db, t.ledger).on_conflict_do_nothing(), leading).rowcount
    following = [row for row in wanted if row not in leading]
    if following:
        db.execute(insert_into(db, t.ledger).on_conflict_do_nothing(), following)
    return done == entered == len(kinds)


def enter_again(db: sa.Connection, delivery: Delivery) -> None:
    """Once more, after a failure took the stories out. Raises StorageError if a later digest has brought them."""
    query = sa.select(_i.article_id, _i.kinds).where(_i.delivery_id == delivery.id).order_by(_i.number)
    kinds = {row.article_id: row.kinds for row in db.execute(query)}
    repeat = db.scalar(sa.select(_n.repeat).where(_n.id == delivery.subscription_id))
    if kinds and not _enter(db, delivery.id, delivery.subscriber_id, kinds) and not repeat:
        raise StorageError(f"a later digest has brought articles of delivery {delivery.id}: it is not sent again")
    s = t.safety_item.c
    for one in db.scalars(sa.select(s.correction_id).where(s.delivery_id == delivery.id).order_by(s.number)).all():
        told = {"subscriber_id": delivery.subscriber_id, "correction_id": one, "delivery_id": delivery.id}
        db.execute(insert_into(db, t.told).values(told).on_conflict_do_nothing())


def give_back(db: sa.Connection, delivery_ids: Sequence[int]) -> None:
    """These were not sent: the next digest may bring what they held."""
    db.execute(t.ledger.delete().where(t.ledger.c.delivery_id.in_(delivery_ids)))
    db.execute(t.told.delete().where(t.told.c.delivery_id.in_(delivery_ids)))
