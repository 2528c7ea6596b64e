"""A query boiled down for a full-text index: it may find too much, never too little; the engine decides."""

from __future__ import annotations

from monitor.match.terms import Pattern, patterns
from monitor.match.vocabulary import TEXT_FIELDS
from monitor.model import And, AtLeast, IndexQuery, Near, Not, Or, Query, Term
from monitor.text import MAX_INDEX_TOKEN, index_token, stems_beyond


def index_query(query: Query) -> IndexQuery | None:
    """None where the index cannot narrow: source:bmj alone may match any article."""
    if isinstance(query, Term):
        return _term(query)
    if isinstance(query, AtLeast):
        return index_query(query.part)
    if isinstance(query, And | Near):
        wanted = [part for part in query.parts if not isinstance(part, Not)]
        return _all([found for part in wanted if (found := index_query(part)) is not None])
    if isinstance(query, Or):
        choices = [index_query(part) for part in query.parts]
        return _any([part for part in choices if part is not None]) if None not in choices else None
    return None


def _term(term: Term) -> IndexQuery | None:
    if term.field not in TEXT_FIELDS:
        return None
    return _any([found for pattern in patterns(term) for found in _pattern(pattern)])


def _pattern(pattern: Pattern) -> list[IndexQuery]:
    before = tuple(index_token(text) if kind == "word" else text[:MAX_INDEX_TOKEN] for kind, text in pattern.words[:-1])
    kind, last = pattern.words[-1]
    if kind != "prefix":
        return [
            IndexQuery(op="phrase", tokens=(*before, index_token(last) if kind == "word" else last[:MAX_INDEX_TOKEN]))
        ]
    others = [
        IndexQuery(op="phrase", tokens=(*before, other[:MAX_INDEX_TOKEN])) for other in sorted(stems_beyond(last))
    ]
    return [IndexQuery(op="prefix", tokens=(*before, last[:MAX_INDEX_TOKEN])), *others]


def _all(parts: list[IndexQuery]) -> IndexQuery | None:
    return parts[0] if len(parts) == 1 else IndexQuery(op="all", parts=tuple(parts)) if parts else None


def _any(parts: list[IndexQuery]) -> IndexQuery | None:
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else IndexQuery(op="any", parts=tuple(parts)) if parts else None
