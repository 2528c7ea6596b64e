"""What each term of a topic does: the matches that only it brings, and those that it keeps out.

A term's effect is the topic's answer without it, wherever it stands: in alternatives, in NEAR and ATLEAST, as an
exclusion. Only terms found in an article can change its answer, so few are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from monitor.match.engine import Engine, Needle
from monitor.match.matcher import read_topic
from monitor.match.particulars import language_holds
from monitor.match.plan import Plan, plan
from monitor.match.reading import Reading
from monitor.model import And, AtLeast, Near, Not, Or, Query, Term, Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class TermEffect:
    """`found`: articles that hold the term and match, or would match if nothing were excluded. `alone`: those that
    match by it only. `removed`: those that match without it and not with it. `excludes`: it stands behind NOT, or
    weighs against.
    """

    term: str
    found: int = 0
    alone: int = 0
    removed: int = 0
    excludes: bool = False


class _Atom:
    """A term, NEAR or ATLEAST of the query: true or not by itself. `variants`: what is left of it without a term."""

    __slots__ = ("plan", "query", "variants")

    def __init__(self, query: Query, engine: Engine) -> None:
        self.query = query
        self.plan = plan(query, engine)
        self.variants: dict[int, Plan | None] = {}


class _Term:
    __slots__ = ("alone", "atom", "excludes", "found", "inside", "plan", "query", "removed", "weight")

    def __init__(self, query: Query, made: Plan, *, excludes: bool) -> None:
        self.query = query
        self.plan = made
        self.excludes = excludes
        self.atom: int | None = None  # the atom that it is
        self.inside: list[int] = []  # the atoms that it is in
        self.weight = 0.0
        self.found = self.alone = self.removed = 0


T = TypeVar("T")


class _ByNeedle(Generic[T]):
    """Looks only at what could hold, by what was found in the article."""

    def __init__(self, plans: Iterable[tuple[T, Plan]]) -> None:
        self._asked: dict[Needle, list[tuple[T, Plan]]] = {}
        self._always: list[tuple[T, Plan]] = []
        for what, made in plans:
            needles = set(made.needles())
            for needle in needles:
                self._asked.setdefault(needle, []).append((what, made))
            if not needles:
                self._always.append((what, made))

    def of(self, reading: Reading) -> list[T]:
        asked = dict(self._always)
        for needle in reading.hits:
            asked.update(self._asked.get(needle, ()))
        return [what for what, made in asked.items() if made.holds(reading)]


class Effects:
    """Counts over articles that are read with the same engine."""

    def __init__(self, topic: Topic, engine: Engine) -> None:
        """Raises QueryError."""
        self._engine = engine
        self._topic = topic
        query, weighted = read_topic(topic)
        self._atoms: list[_Atom] = []
        self._terms: list[_Term] = []
        self._numbers: dict[Query, int] = {}
        self._by_term: dict[tuple[Query, bool], _Term] = {}
        self._tree = self._grow(query, excludes=False) if query is not None else None
        self._weighted = [self._weigh(part, weight) for part, weight in weighted]
        self._excluding = {
            number
            for term in self._terms
            if term.excludes
            for number in (term.atom, *term.inside)
            if number is not None
        }
        self._found_by = _ByNeedle((term, term.plan) for term in self._terms)
        self._true_by = _ByNeedle((number, atom.plan) for number, atom in enumerate(self._atoms))

    def count(self, reading: Reading, *, holds: bool) -> None:
        """Take in one article, of which the topic's answer is known."""
        if not holds and not self._in_scope(reading):
            return
        found = [term for term in self._found_by.of(reading) if holds or term.excludes]
        if not found:
            return
        true = set(self._true_by.of(reading))
        weights = [term.weight for term in self._weighted if term.plan.holds(reading)]
        if not holds and not self._allowed(true, weights):
            return
        weight = sum(weights)
        for term in found:
            term.found += 1
            without = self._without(term, true, weight, reading)
            term.alone += holds and not without
            term.removed += without and not holds

    def result(self) -> tuple[TermEffect, ...]:
        """In the order of the query, exclusions and weights where they stand."""
        return tuple(
            TermEffect(
                term=str(term.query), found=term.found, alone=term.alone, removed=term.removed, excludes=term.excludes
            )
            for term in self._terms
        )

    def _allowed(self, true: set[int], weights: list[float]) -> bool:
        """Would the topic match if nothing were excluded?"""
        if self._tree is not None and not _is_true(self._tree, true - self._excluding):
            return False
        return not self._weighted or round(sum(w for w in weights if w > 0), 9) >= self._topic.threshold

    def _in_scope(self, reading: Reading) -> bool:
        topic = self._topic
        if topic.sources and reading.article.source_slug not in topic.sources:
            return False
        return not topic.languages or language_holds(topic.languages, reading.article)

    def _without(self, term: _Term, true: set[int], weight: float, reading: Reading) -> bool:
        """Would the topic match if the term were not in it?"""
        left = true - {term.atom} if term.atom is not None else set(true)
        for number in term.inside:
            if number in left and not self._variant_holds(number, term, reading):
                left.discard(number)
        if self._tree is not None and not _is_true(self._tree, left):
            return False
        return not self._weighted or round(weight - term.weight, 9) >= self._topic.threshold

    def _variant_holds(self, number: int, term: _Term, reading: Reading) -> bool:
        atom = self._atoms[number]
        key = id(term)
        if key not in atom.variants:
            rest = _pruned(atom.query, term.query)
            atom.variants[key] = plan(rest, self._engine) if rest is not None else None
        variant = atom.variants[key]
        return variant is not None and variant.holds(reading)

    # --- building ---------------------------------------------------------------------------------------------

    def _grow(self, query: Query, *, excludes: bool) -> _Tree:
        if isinstance(query, And):
            parts = [self._grow(part, excludes=excludes) for part in query.parts if not isinstance(part, Not)]
            unwanted = [self._grow(part.part, excludes=not excludes) for part in query.parts if isinstance(part, Not)]
            return _Tree(parts=parts, unwanted=unwanted, every=True)
        if isinstance(query, Or):
            return _Tree(parts=[self._grow(part, excludes=excludes) for part in query.parts])
        number = self._numbers.get(query)
        if number is None:
            number = self._numbers[query] = len(self._atoms)
            self._atoms.append(_Atom(query, self._engine))
        for term in _terms(query):
            known = self._term(term, self._atoms[number], excludes=excludes)
            if term is query:
                known.atom = number
            elif number not in known.inside:
                known.inside.append(number)
        return _Tree(atoms={number})

    def _term(self, query: Term, atom: _Atom, *, excludes: bool) -> _Term:
        known = self._by_term.get((query, excludes))
        if known is None:
            made = atom.plan if query is atom.query else plan(query, self._engine)
            known = self._by_term[query, excludes] = _Term(query, made, excludes=excludes)
            self._terms.append(known)
        return known

    def _weigh(self, query: Query, weight: float) -> _Term:
        term = _Term(query, plan(query, self._engine), excludes=weight < 0)
        term.weight = weight
        self._terms.append(term)
        return term


class _Tree:
    """The query over numbered atoms. `atoms` are alternatives told by number, so that long lists are one look."""

    __slots__ = ("atoms", "every", "parts", "unwanted")

    def __init__(
        self,
        *,
        atoms: Iterable[int] = (),
        parts: Iterable[_Tree] = (),
        unwanted: Iterable[_Tree] = (),
        every: bool = False,
    ) -> None:
        self.every = every
        self.unwanted = list(unwanted)
        self.parts: list[_Tree] = []
        alternatives = set(atoms)
        for part in parts:
            if every or part.every or part.parts:
                self.parts.append(part)
            else:
                alternatives |= part.atoms
        self.atoms: frozenset[int] = frozenset(alternatives)


def _is_true(tree: _Tree, true: set[int]) -> bool:
    if tree.every:
        return all(_is_true(part, true) for part in tree.parts) and not any(
            _is_true(part, true) for part in tree.unwanted
        )
    return not tree.atoms.isdisjoint(true) or any(_is_true(part, true) for part in tree.parts)


def _terms(query: Query) -> Iterator[Term]:
    if isinstance(query, Term):
        yield query
    elif isinstance(query, Near | Or):
        for part in query.parts:
            yield from _terms(part)
    elif isinstance(query, AtLeast):
        yield from _terms(query.part)


def _pruned(query: Query, gone: Query) -> Query | None:
    """NEAR, ATLEAST or an OR within them without a term; None where nothing is left that could hold."""
    if isinstance(query, AtLeast):
        part = _pruned(query.part, gone)
        return replace(query, part=part) if part is not None else None
    if isinstance(query, Or):
        left = tuple(part for part in query.parts if part != gone)
        return (replace(query, parts=left) if len(left) > 1 else left[0]) if left else None
    if isinstance(query, Near):
        parts = [_pruned(part, gone) for part in query.parts]
        kept = tuple(part for part in parts if part is not None)
        return replace(query, parts=kept) if len(kept) == len(parts) else None
    return None if query == gone else query
