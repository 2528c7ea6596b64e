"""Which query finds everything that another finds, as far as their words alone tell.

Errs to the careful side: False where it is not certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from monitor.match.terms import Pattern, Word, patterns
from monitor.match.vocabulary import TEXT_FIELDS
from monitor.model import And, AtLeast, Near, Not, Or, Query, Term
from monitor.text import forms, stem

_patterns = lru_cache(maxsize=8192)(patterns)


def implies(narrow: Query, wide: Query) -> bool:
    """Does every article that `narrow` matches match `wide` too?"""
    if narrow == wide:
        return True
    if isinstance(narrow, Or):
        return all(implies(part, wide) for part in narrow.parts)
    if isinstance(wide, And):
        return not any(isinstance(part, Not) for part in wide.parts) and all(
            implies(narrow, part) for part in wide.parts
        )
    if isinstance(wide, Or) and any(implies(narrow, part) for part in wide.parts):
        return True
    if isinstance(narrow, Near) and isinstance(wide, Near) and narrow.parts == wide.parts:
        return narrow.distance <= wide.distance
    if isinstance(narrow, And | Near):
        return any(implies(part, wide) for part in narrow.parts if not isinstance(part, Not))
    if isinstance(narrow, AtLeast):
        if isinstance(wide, AtLeast) and narrow.part == wide.part:
            return narrow.count >= wide.count
        return implies(narrow.part, wide)
    return isinstance(narrow, Term) and isinstance(wide, Term) and _term_implies(narrow, wide)


def _term_implies(narrow: Term, wide: Term) -> bool:
    if narrow.field not in TEXT_FIELDS or wide.field not in TEXT_FIELDS:
        return False
    if wide.field and narrow.field != wide.field:
        return False
    targets = _patterns(wide)
    return all(any(_stands_in(target, pattern) for target in targets) for pattern in _patterns(narrow))


def _stands_in(part: Pattern, whole: Pattern) -> bool:
    return any(_stands_at(start, part, whole) for start in range(len(whole.words) - len(part.words) + 1))


def _stands_at(start: int, part: Pattern, whole: Pattern) -> bool:
    """Does whatever `whole` matches hold `part` from its word number `start` on?"""
    length = len(part.words)
    row = whole.words[start : start + length]
    if not all(_word_implies(narrow, wide) for narrow, wide in zip(row, part.words, strict=True)):
        return False
    if not {place + start for place in part.tight} <= set(whole.tight):
        return False
    return not part.cased or part.cased == whole.cased[start : start + length]


def _word_implies(narrow: Word, wide: Word) -> bool:
    (kind, text), (wide_kind, wanted) = narrow, wide
    if narrow == wide:
        return True
    if wide_kind == "stem":
        return kind == "word" and stem(text) == wanted
    if wide_kind == "word" or not text.startswith(wanted):
        return False
    return kind != "stem" or all(form.startswith(wanted) for form in forms(text))


class Wider:
    """Queries to be found by what implies them, without asking each: terms hang on their words."""

    def __init__(self, queries: Iterable[Query]) -> None:
        self._by_words: dict[Query | _Words, list[Query]] = {}
        self._others: list[Query] = []
        for query in queries:
            self._put(query)

    def of(self, narrow: Query) -> Iterator[Query]:
        """Those that `narrow` may imply, each perhaps more than once: ask `implies`."""
        yield from self._others
        for term in _terms(narrow):
            yield from self._by_words.get(term, ())
            if term.field in TEXT_FIELDS:
                for key in {key for pattern in _patterns(term) for key in _wider_words(pattern)}:
                    yield from self._by_words.get(key, ())

    def _put(self, query: Query) -> None:
        if not isinstance(query, Term):
            self._others.append(query)
        elif query.field not in TEXT_FIELDS:
            self._by_words.setdefault(query, []).append(query)
        else:
            for key in {_key(pattern) for pattern in _patterns(query)}:
                self._by_words.setdefault(key, []).append(query)


_Words = tuple[str, ...]


def _key(pattern: Pattern) -> _Words:
    kind, last = pattern.words[-1]
    before = tuple(stem(text) for _, text in pattern.words[:-1])
    return (*before, f"{last}*" if kind == "prefix" else stem(last))


def _wider_words(pattern: Pattern) -> Iterator[_Words]:
    """The keys of every pattern that may stand in this one."""
    texts = [text for _, text in pattern.words]
    stems = [stem(text) for text in texts]
    for start in range(len(texts)):
        for last in range(start, len(texts)):
            before = tuple(stems[start:last])
            yield (*before, stems[last])
            for length in range(1, len(texts[last]) + 1):
                yield (*before, f"{texts[last][:length]}*")


def _terms(query: Query) -> Iterator[Term]:
    """Terms of which one at least must be found; of alternatives the first one's are enough to look by."""
    if isinstance(query, Term):
        yield query
    elif isinstance(query, Or):
        yield from _terms(query.parts[0])
    elif isinstance(query, And | Near):
        for part in query.parts:
            yield from _terms(part)
    elif isinstance(query, AtLeast):
        yield from _terms(query.part)


def branches(parts: Iterable[Query]) -> Iterator[Query]:
    """What can bring an article: `parts` of an And, and the alternatives within them."""
    for part in parts:
        yield part
        if isinstance(part, Or):
            yield from branches(part.parts)


def excluded(query: And) -> list[Query]:
    """What an And's exclusions take out; each alternative of `NOT (a OR b)` by itself."""
    found: list[Query] = []
    for part in query.parts:
        if isinstance(part, Not):
            found += part.part.parts if isinstance(part.part, Or) else (part.part,)
    return found


def normalised(query: Query) -> str:
    """Equal for queries that differ only in order, repetition, case or plural."""
    if isinstance(query, Term):
        return str(query) if query.field not in TEXT_FIELDS else f"{query.field}:{_normal_term(query)}"
    if isinstance(query, And | Or):
        joint = " AND " if isinstance(query, And) else " OR "
        parts = sorted({normalised(part) for part in query.parts})
        return parts[0] if len(parts) == 1 else f"({joint.join(parts)})"
    if isinstance(query, Near):
        parts = [normalised(part) for part in query.parts]
        return f"({f' NEAR/{query.distance} '.join(min(parts, parts[::-1]))})"
    if isinstance(query, AtLeast):
        return f"ATLEAST/{query.count} {normalised(query.part)}"
    return f"NOT {normalised(query.part)}" if isinstance(query, Not) else str(query)


def _normal_term(term: Term) -> str:
    if term.exact:
        return str(replace(term, field=""))
    written = (" ".join(f"{kind}={text}" for kind, text in pattern.words) for pattern in _patterns(term))
    return f'"{"|".join(sorted(set(written)))}"'
