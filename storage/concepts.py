"""Concepts: the synonyms that vocabularies (MeSH, HPO, MONDO, CHEBI) give for one meaning."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from storage.engine import Repository, reads, writes
from storage.values import Concept


class Concepts(Repository):
    @writes
    def replace(self, db: sa.Connection, source: str, year: int, concepts: Iterable[Concept]) -> int:
        """Make these the concepts of that vocabulary and year; how many. Other years stay."""
        raise NotImplementedError

    @reads
    def lookup(self, db: sa.Connection, text: str) -> list[Concept]:
        """Concepts that have `text` (folded) as a term, from each vocabulary's newest year."""
        raise NotImplementedError

    @reads
    def vocabularies(self, db: sa.Connection) -> list[tuple[str, int, int]]:
        """(source, year, number of concepts) of what is imported."""
        raise NotImplementedError
