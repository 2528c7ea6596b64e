"""Values made by the thousand. A frozen dataclass takes longer to set its fields than a match takes to be found."""

from __future__ import annotations

from dataclasses import fields

from monitor.model import Field, Match, Span, Term

_new = object.__new__
_span_field, _span_start, _span_end, _span_term = (getattr(Span, field.name).__set__ for field in fields(Span))
_topic, _revision, _article, _score, _spans, _at = (getattr(Match, field.name).__set__ for field in fields(Match))
_term_start, _term_end, _term_text, _term_in, _term_prefix, _term_exact = (
    getattr(Term, field.name).__set__ for field in fields(Term)
)


def make_span(field: Field, start: int, end: int, term: str) -> Span:
    """As Span(...), with its slots filled directly."""
    made = _new(Span)
    _span_field(made, field)
    _span_start(made, start)
    _span_end(made, end)
    _span_term(made, term)
    return made


def make_match(topic_id: int, revision_id: int, article_id: int, score: float, spans: tuple[Span, ...]) -> Match:
    """As Match(...), with its slots filled directly."""
    made = _new(Match)
    _topic(made, topic_id)
    _revision(made, revision_id)
    _article(made, article_id)
    _score(made, score)
    _spans(made, spans)
    _at(made, None)
    return made


def make_term(start: int, end: int, text: str, field: str, prefix: bool, exact: bool) -> Term:
    """As Term(...), with its slots filled directly."""
    made = _new(Term)
    _term_start(made, start)
    _term_end(made, end)
    _term_text(made, text)
    _term_in(made, field)
    _term_prefix(made, prefix)
    _term_exact(made, exact)
    return made
