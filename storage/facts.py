"""What the database says about itself: a name and a value, in the words of whoever asks."""

from __future__ import annotations

import sqlalchemy as sa

from storage import tables as t
from storage.engine import insert_into

BACKED_UP = "backed_up_at"  # when `monitor backup` last ended well

_f = t.fact.c


def get(db: sa.Connection, name: str) -> str:
    """Empty where it was never set."""
    return db.scalar(sa.select(_f.value).where(_f.name == name)) or ""


def put(db: sa.Connection, name: str, value: str) -> None:
    insert = insert_into(db, t.fact).values({"name": name, "value": value})
    db.execute(insert.on_conflict_do_update(index_elements=[_f.name], set_={"value": value}))
