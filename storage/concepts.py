"""Concepts: the synonyms that vocabularies (MeSH, HPO, MONDO, CHEBI) give for one meaning."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from monitor.text import index_text
from storage import rows
from storage import tables as t
from storage.audit import record
from storage.engine import Repository, chunks, reads, writes
from storage.values import Concept

_c = t.concept.c
_k = t.concept_term.c
_FOLDED = 500  # characters to look a term up by: an index row is bounded


class Concepts(Repository):
    @writes
    def replace(self, db: sa.Connection, source: str, year: int, concepts: Iterable[Concept]) -> int:
        """Make these the concepts of that vocabulary and year; how many. Other years stay. One of each code."""
        old = sa.select(_c.id).where(_c.source == source, _c.year == year)
        db.execute(t.concept_term.delete().where(_k.concept_id.in_(old)))
        db.execute(t.concept.delete().where(_c.source == source, _c.year == year))
        by_code = {concept.code: concept for concept in concepts}
        for some in chunks(sorted(by_code)):
            values = [{"source": source, "year": year, "code": code, "name": by_code[code].name} for code in some]
            db.execute(t.concept.insert(), values)
        ids = {row.code: row.id for row in db.execute(sa.select(_c.code, _c.id).where(_c.id.in_(old)))}
        for some in chunks(sorted(by_code)):
            terms = [term for code in some for term in _terms(ids[code], by_code[code])]
            db.execute(t.concept_term.insert(), terms)
        record(db, f"imported the vocabulary {source} {year}", "", f"{len(by_code)} concepts")
        return len(by_code)

    @reads
    def lookup(self, db: sa.Connection, text: str) -> list[Concept]:
        """Concepts that have `text` (folded) as a term, from each vocabulary's newest year. By vocabulary and code."""
        newest = sa.select(_c.source, sa.func.max(_c.year).label("year")).group_by(_c.source).subquery()
        ids = sa.select(_k.concept_id).where(_k.folded == _folded(text))
        query = (
            sa.select(t.concept, _k.term)
            .join(t.concept_term, _k.concept_id == _c.id)
            .join(newest, sa.and_(newest.c.source == _c.source, newest.c.year == _c.year))
            .where(_c.id.in_(ids))
            .order_by(_c.source, _c.code, _k.number)
        )
        found: dict[int, list[rows.Row]] = {}
        for row in db.execute(query):
            found.setdefault(row.id, []).append(row)
        return [_to_concept(terms) for terms in found.values()]

    @reads
    def vocabularies(self, db: sa.Connection) -> list[tuple[str, int, int]]:
        """(source, year, number of concepts) of what is imported."""
        query = sa.select(_c.source, _c.year, sa.func.count()).group_by(_c.source, _c.year).order_by(_c.source, _c.year)
        return [(source, year, number) for source, year, number in db.execute(query)]


def _terms(concept_id: int, concept: Concept) -> list[rows.Values]:
    """Its name first, each term once."""
    terms = dict.fromkeys((concept.name, *concept.terms))
    return [
        {"concept_id": concept_id, "number": number, "term": term, "folded": _folded(term)}
        for number, term in enumerate(terms)
    ]


def _to_concept(found: list[rows.Row]) -> Concept:
    row = found[0]
    return Concept(
        source=row.source, year=row.year, code=row.code, name=row.name, terms=tuple(one.term for one in found)
    )


def _folded(text: str) -> str:
    return index_text(text)[:_FOLDED]
