"""Words that might make a draft better, each as the whole query with it: one click takes it."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.app import Opened
from monitor.errors import QueryError
from monitor.match import check_query
from monitor.match.guards import DAYS
from monitor.match.synonyms import builtin_concepts, expansion, find_concepts
from monitor.model import And, Concept, Or, Query, Term, Topic

LOOKED_UP = 8  # terms whose synonyms are looked up
OFFERED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One click: `query` is the whole query with it."""

    text: str
    note: str
    query: str


async def synonyms(opened: Opened, text: str) -> list[Offer]:
    """Other names of the terms of the query `text`, by the vocabularies; none for a query that is wrong."""
    query, _ = check_query(text) if text.strip() else (None, ())
    if query is None:
        return []
    offers: list[Offer] = []
    builtin = builtin_concepts()
    for term in _terms(query)[:LOOKED_UP]:
        concepts: list[Concept] = await opened.monitor.storage.concepts.lookup(term.text)
        for concept in (*concepts, *find_concepts(term.text, builtin)):
            made = expansion(concept, limit=20)
            wider = f"({made.query})"
            changed = text[: term.start] + wider + text[term.end :]
            sound, _ = check_query(changed)
            if len(made.terms) > 1 and sound is not None and sound != query:
                note = f"{concept.name} ({concept.source} {concept.year})"
                offers.append(Offer(text=f"{term.text} → {made.query}", note=note, query=changed))
    return offers[: 2 * OFFERED]


def _terms(query: Query) -> list[Term]:
    """Positive terms that stand by themselves, in order."""
    if isinstance(query, Term):
        return [query] if not query.field and not query.prefix else []
    if isinstance(query, And | Or):
        return [term for part in query.parts for term in _terms(part)]
    return []


async def advice(opened: Opened, draft: Topic) -> list[Offer]:
    """Terms that set the draft's articles apart, each with its effect; none for a draft that is wrong."""
    try:
        found = await opened.monitor.tuning.suggestions(draft.slug, DAYS, OFFERED, draft)
    except QueryError:
        return []
    return [
        Offer(
            text=f"{'NOT' if one.excludes else 'OR'} {one.suggestion.query_form}",
            note=one.effect,
            query=one.topic.query,
        )
        for one in found
        if not one.topic.weights
    ]
