"""What marks an entry as one that its source has shown before."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from monitor.identity import url_key
from monitor.model import Entry
from storage import tables as t
from storage.engine import chunks

_e = t.entry.c
_KNOWN_KEYS = sa.select(_e.key_hash).where(
    _e.source_id == bindparam("source"), _e.key_hash.in_(bindparam("some", expanding=True))
)
_KNOWN_GUIDS = sa.select(_e.guid_hash, _e.title_hash).where(
    _e.source_id == bindparam("source"), _e.guid_hash.in_(bindparam("some", expanding=True))
)


class Mark(NamedTuple):
    """Hashes of 16 bytes. `key`: of the address, without one of the guid, without both of title and day."""

    key: bytes
    guid: bytes | None  # only where a title stands beside it
    title: bytes


def mark_of(entry: Entry) -> Mark:
    title = " ".join(entry.title.casefold().split())
    if entry.url:
        key = "u" + url_key(entry.url)
    elif entry.guid:
        key = "g" + entry.guid
    else:
        key = f"t{entry.published.date() if entry.published else ''}|{title}"
    return Mark(_hash(key), _hash(entry.guid) if entry.guid and title else None, _hash(title))


def unseen(db: sa.Connection, source_id: int, entries: Sequence[Entry]) -> list[Entry]:
    marks = [mark_of(entry) for entry in entries]
    keys = _known_keys(db, source_id, marks)
    guids = _known_guids(db, source_id, [mark for mark in marks if mark.key not in keys])
    new: list[Entry] = []
    for entry, mark in zip(entries, marks, strict=True):
        if mark.key in keys or (mark.guid, mark.title) in guids:
            continue
        new.append(entry)
        keys.add(mark.key)
        if mark.guid is not None:
            guids.add((mark.guid, mark.title))
    return new


def _known_keys(db: sa.Connection, source_id: int, marks: Sequence[Mark]) -> set[bytes]:
    known: set[bytes] = set()
    for some in chunks([mark.key for mark in marks]):
        known.update(db.scalars(_KNOWN_KEYS, {"source": source_id, "some": some}))
    return known


def _known_guids(db: sa.Connection, source_id: int, marks: Sequence[Mark]) -> set[tuple[bytes, bytes]]:
    known: set[tuple[bytes, bytes]] = set()
    for some in chunks([mark.guid for mark in marks if mark.guid is not None]):
        known.update(map(tuple, db.execute(_KNOWN_GUIDS, {"source": source_id, "some": some})))
    return known


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
