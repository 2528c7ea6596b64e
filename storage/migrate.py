"""One schema on both databases: who may migrate, and where a database stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum


class SchemaState(StrEnum):
    EMPTY = "empty"  # no tables yet
    OLD = "old"  # `migrate` brings it up to date
    CURRENT = "current"
    NEWER = "newer"  # made by a newer program: this one must not touch it


def schema_state(url: str) -> SchemaState:
    """Raises StorageError when the database cannot be reached."""
    raise NotImplementedError


def migrate(url: str) -> bool:
    """Bring the schema up to date; True if there was anything to do. One process does it, others wait for it.

    Each step is one transaction. Raises StorageError for an unwritable directory, a database that cannot be reached, or
    one made by a newer program.
    """
    raise NotImplementedError


@contextmanager
def exclusive(url: str) -> Iterator[None]:
    """Hold an SQLite file for this process alone; nothing to do on PostgreSQL, where several may run.

    Raises StorageError "already running" with the other's pid. The lock ends with the process, however it ends.
    """
    raise NotImplementedError
    yield
