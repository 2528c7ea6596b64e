"""The query language: text to tree. docs/query-language.md shows it; this is its grammar.

    query = group
    group = unit { "OR" unit } | unit { ["AND"] unit }, each with { "NOT" unit } behind
    unit  = near | "ATLEAST/" n near
    near  = atom { "NEAR/" n atom }                      atoms here are terms or ORs of terms
    atom  = [ FIELD ":" ] ( TERM | "(" group ")" ) [ "[" TAG "]" ]

NOT belongs to its whole group. AND and OR side by side need parentheses. One pass finds every problem: after each it
goes on with what was probably meant.
"""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches

from monitor.errors import Problem, QueryError
from monitor.match.lexer import Kind, Lexeme, lexemes
from monitor.match.made import make_term
from monitor.match.readings import Joined, joined_parts, left_to_right, quoted_run, readings
from monitor.match.vocabulary import (
    COMMON_WORDS,
    FIELDS,
    HEADING_TAGS,
    LANGUAGES,
    SHOWN_FIELDS,
    STOP_WORDS,
    TAGS,
    TEXT_FIELDS,
    UNSUPPORTED_TAGS,
)
from monitor.model import And, AtLeast, Near, Not, Or, Query, Term
from monitor.text import words_of

MAX_LENGTH = 20_000
MAX_TERMS = 5_000
MAX_DEPTH = 50
MIN_PREFIX = 3
MAX_WORDS = 40
MAX_PROBLEMS = 100  # more help nobody

WARNINGS = frozenset(
    {"comma", "exact-case", "stop-words", "short-prefix-warning", "heading-as-text", "duplicate-term", "odd-doi"}
)


def parse_query(text: str) -> Query:
    """Raises QueryError with every problem at once."""
    query, problems = check_query(text)
    if query is None:
        raise QueryError(text, [problem for problem in problems if problem.code not in WARNINGS])
    return query


def check_query(text: str) -> tuple[Query | None, tuple[Problem, ...]]:
    """The tree, or None where `text` is wrong, with errors and warnings (codes in WARNINGS) in text order."""
    parser = _Parser(text)
    query = parser.query()
    problems = tuple(sorted(parser.problems, key=lambda problem: (problem.start, problem.end)))
    wrong = any(problem.code not in WARNINGS for problem in problems)
    return (None if wrong else query), problems


def parenthesised(text: str) -> str:
    """`text` as PubMed reads it, strictly from left to right, with parentheses that say so.

    Raises QueryError where more than parentheses is missing.
    """
    parser = _Parser(text, left_to_right=True)
    query = parser.query()
    errors = [problem for problem in parser.problems if problem.code not in WARNINGS]
    if query is None or errors:
        raise QueryError(text, sorted(errors, key=lambda problem: problem.start))
    return str(query)


_JOINTS = (Kind.AND, Kind.OR, Kind.NOT)  # few enough to be told by identity


class _TooMuch(Exception):
    """A cap was reached: the problem is noted, the rest is not read."""


class _Parser:
    def __init__(self, text: str, *, left_to_right: bool = False) -> None:
        self.text = text
        self.left_to_right = left_to_right
        self.problems: list[Problem] = []
        self.errors = 0
        self.terms = 0
        self.at = 0
        self.lexemes: list[Lexeme] = []

    def query(self) -> Query | None:
        if len(self.text) > MAX_LENGTH:
            message = f"the query is longer than {MAX_LENGTH} characters"
            self.problem("too-long", message, "split it into several topics", MAX_LENGTH, len(self.text))
            return None
        self.lexemes, found = lexemes(self.text)
        self.problems += found
        if len(self.lexemes) == 1:
            self.problem("empty", "the query is empty", "write at least one term", 0, len(self.text))
            return None
        try:
            query = self.group(0)
            while self.peek().kind is not Kind.END:  # only a stray ")" ends a group early
                self.problem("unopened-parenthesis", "this ) closes nothing", "remove it, or add (", *self.take())
                query = self.group(0) or query if self.peek().kind is not Kind.END else query
        except _TooMuch:
            return None
        if query is not None and not self.problems and not _positive(query):
            self.problem("only-not", "a query cannot consist of exclusions only", "add what you look for", 0, 1)
        return query

    # --- reading ----------------------------------------------------------------------------------------------

    def peek(self) -> Lexeme:
        return self.lexemes[self.at]

    def take(self) -> tuple[int, int]:
        lexeme = self.lexemes[self.at]
        self.at += 1
        return lexeme.start, lexeme.end

    def problem(self, code: str, message: str, hint: str, start: int, end: int) -> None:
        self.problems.append(Problem(code=code, message=message, hint=hint, start=start, end=max(end, start)))
        self.errors += code not in WARNINGS
        if self.errors >= MAX_PROBLEMS:
            raise _TooMuch

    # --- groups -----------------------------------------------------------------------------------------------

    def group(self, depth: int) -> Query | None:
        if depth > MAX_DEPTH:
            message = f"parentheses are nested more than {MAX_DEPTH} deep"
            self.problem("too-deep", message, "split the query into several topics", self.peek().start, self.peek().end)
            raise _TooMuch
        joined: Joined = []
        while self.peek().kind not in (Kind.END, Kind.CLOSE):
            operator = self.operator(first=not joined)
            told = len(self.problems)
            unit = self.unit(depth)
            if unit is not None:
                joined.append((operator, unit))
            elif operator.kind is not Kind.END and len(self.problems) == told:
                message = f"{operator.text} needs a term on its right"
                self.problem("missing-term", message, "add one, or remove it", operator.start, operator.end)
        return self.build(joined) if joined else None

    def operator(self, *, first: bool) -> Lexeme:
        """What joins the next unit to those before; of kind END where nothing is written."""
        lexeme = self.lexemes[self.at]
        found = Lexeme(Kind.END, "", lexeme.start, lexeme.start)
        while lexeme.kind in _JOINTS:
            self.at += 1
            if lexeme.kind is Kind.NOT and found.kind is Kind.OR:
                message = "OR NOT would match almost every article"
                self.problem("or-not", message, "put NOT behind the whole group", found.start, lexeme.end)
            elif lexeme.kind is Kind.NOT and found.kind is Kind.NOT:
                self.problem("not-not", "NOT NOT says nothing", "remove both", found.start, lexeme.end)
            elif lexeme.kind is not Kind.NOT and (found.kind is not Kind.END or first):
                message = f"{lexeme.text} needs a term on its left"
                self.problem("missing-term", message, "add one, or remove it", lexeme.start, lexeme.end)
            found = lexeme
            lexeme = self.lexemes[self.at]
        return found

    def build(self, joined: Joined) -> Query | None:
        if self.left_to_right:
            return left_to_right(joined)
        wanted = [(operator, unit) for operator, unit in joined if operator.kind is not Kind.NOT]
        unwanted = [unit for operator, unit in joined if operator.kind is Kind.NOT]
        if not wanted:
            start = joined[0][0].start
            message = "a query or a group cannot consist of exclusions only"
            self.problem("only-not", message, "add what you look for before NOT", start, joined[-1][1].end)
            return None
        self.check_joints(joined)
        self.check_duplicates([unit for _, unit in joined])
        alternatives = any(operator.kind is Kind.OR for operator, _ in wanted[1:])
        core = joined_parts(Or if alternatives else And, [unit for _, unit in wanted])
        if not unwanted:
            return core
        return joined_parts(And, [core, *(Not(part=part, start=part.start, end=part.end) for part in unwanted)])

    def check_duplicates(self, units: list[Query]) -> None:
        seen: set[tuple[str, str, bool, bool]] = set()
        for unit in units:
            if isinstance(unit, Term):
                key = (unit.field, unit.text.lower(), unit.prefix, unit.exact)
                if key in seen:
                    self.problem("duplicate-term", f"{unit} stands here twice", "remove one", unit.start, unit.end)
                seen.add(key)

    def check_joints(self, joined: Joined) -> None:
        """AND and OR in one group, or a joint behind a NOT that could belong to either side."""
        first: Kind | None = None
        excluded = False
        for operator, unit in joined[1:]:
            kind = Kind.AND if operator.kind is Kind.END else operator.kind
            if excluded and operator.kind is Kind.END:
                message = "it is not clear whether NOT covers this too"
                hint = f"write {quoted_run(joined)}, or AND before {unit}"
                self.problem("ambiguous-not", message, hint, unit.start, unit.end)
                return
            if kind is Kind.NOT:
                excluded = True
                continue
            if (first is not None and kind is not first) or (excluded and kind is Kind.OR):
                at = operator if operator.kind is not Kind.END else Lexeme(Kind.END, "", unit.start, unit.end)
                message = "AND and OR are mixed without parentheses"
                if excluded and kind is Kind.OR and first in (None, Kind.OR):
                    message = "OR behind NOT needs parentheses"
                self.problem("mixed-operators", message, readings(joined), at.start, at.end)
                return
            first = kind

    # --- units ------------------------------------------------------------------------------------------------

    def unit(self, depth: int) -> Query | None:
        if self.peek().kind is not Kind.ATLEAST:
            return self.near(depth)
        lexeme = self.peek()
        self.take()
        part = self.near(depth)
        if part is None:
            message = f"{lexeme.text} needs a term on its right"
            self.problem("missing-term", message, "add one, or remove it", lexeme.start, lexeme.end)
            return None
        if not _is_terms(part):
            message = "ATLEAST counts a term or an OR-group of terms in the text"
            hint = f"write {Kind.ATLEAST}/{lexeme.number} (a OR b)"
            self.problem("needs-terms", message, hint, part.start, part.end)
            return part
        return AtLeast(part=part, count=lexeme.number, start=lexeme.start, end=part.end)

    def near(self, depth: int) -> Query | None:
        part = self.atom(depth)
        if self.peek().kind is not Kind.NEAR:
            return part
        parts: list[Query] = []
        distances: list[Lexeme] = []
        while True:
            if part is not None:
                parts.append(part)
            if self.peek().kind is not Kind.NEAR:
                break
            if part is None:
                self.problem(
                    "missing-term", "NEAR needs a term on its left", "add one", self.peek().start, self.peek().end
                )
            distances.append(self.peek())
            self.take()
            part = self.atom(depth)
        if distances and part is None:
            last = distances[-1]
            self.problem("missing-term", "NEAR needs a term on its right", "add one", last.start, last.end)
        if not distances or len(parts) < 2:
            return parts[0] if parts else None
        for part in parts:
            if not _is_terms(part):
                message = "NEAR joins terms or OR-groups of terms in the text"
                self.problem("needs-terms", message, "use AND here", part.start, part.end)
        if len({lexeme.number for lexeme in distances}) > 1:
            message = "one chain of NEAR has one distance"
            self.problem("mixed-distances", message, "join two pairs with AND", distances[1].start, distances[1].end)
        return Near(parts=tuple(parts), distance=distances[0].number, start=parts[0].start, end=parts[-1].end)

    def atom(self, depth: int) -> Query | None:
        lexeme = self.peek()
        start = lexeme.start
        if lexeme.kind is Kind.TERM and self.lexemes[self.at + 1].kind is not Kind.TAG:  # as nearly all are
            self.at += 1
            return self.term(lexeme, None, start)
        field: str | None = None
        while self.peek().kind is Kind.FIELD:
            field = self.field_name(self.peek())
            self.take()
        found: Query | None = None
        if self.peek().kind is Kind.OPEN:
            found = self.parentheses(depth)
        elif self.peek().kind is Kind.TERM:
            found = self.term(self.peek(), field, start)
            self.take()
        elif self.peek().kind is Kind.TAG:
            self.problem("tag-alone", "a tag belongs behind a term", "write term[ti]", *self.take())
            return None
        elif field is not None:
            self.problem("missing-term", "a field needs a term", "write it behind the colon", start, self.peek().start)
        while self.peek().kind is Kind.TAG and found is not None:
            found = self.tagged(found, self.peek())
            self.take()
        if found is None:
            return None
        if field is not None and not (isinstance(found, Term) and found.field == field):
            found = self.with_field(found, field)
        end = self.lexemes[self.at - 1].end
        return found if (found.start, found.end) == (start, end) else replace(found, start=start, end=end)

    def parentheses(self, depth: int) -> Query | None:
        start, end = self.take()
        found = self.group(depth + 1)
        if self.peek().kind is Kind.CLOSE:
            _, end = self.take()
        else:
            self.problem("unclosed-parenthesis", "this ( is never closed", "add )", start, start + 1)
            end = self.peek().start
        if found is None:
            if not any(start <= problem.start < end for problem in self.problems):
                self.problem("empty-group", "nothing stands between these parentheses", "remove them", start, end)
            return None
        return replace(found, start=start, end=end)

    # --- fields and tags --------------------------------------------------------------------------------------

    def field_name(self, lexeme: Lexeme) -> str:
        name = lexeme.text.lower()
        if name in FIELDS:
            return FIELDS[name]
        close = get_close_matches(name, FIELDS, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]}: ?" if close else f"fields are {', '.join(SHOWN_FIELDS)}; or put it in quotes"
        self.problem("unknown-field", f'unknown field "{lexeme.text}:"', hint, lexeme.start, lexeme.end)
        return ""

    def tagged(self, found: Query, lexeme: Lexeme) -> Query:
        name, _, distance = lexeme.text.lower().partition(":~")
        name = " ".join(name.split())
        if name in TAGS:
            if TAGS[name]:
                found = self.with_field(found, TAGS[name])
        elif name in HEADING_TAGS:
            message = f"[{lexeme.text}] asks for an indexer's heading; here its words are looked for in the text"
            self.problem("heading-as-text", message, "leave the tag out", lexeme.start, lexeme.end)
        elif name in UNSUPPORTED_TAGS:
            message = f"[{lexeme.text}] is not known of articles here"
            self.problem("unsupported-tag", message, "leave this term out", lexeme.start, lexeme.end)
        else:
            close = get_close_matches(name, TAGS, n=1, cutoff=0.6)
            hint = f"did you mean [{close[0]}] ?" if close else "known tags are [ti], [tiab], [ab], [au], [ta], [la]"
            self.problem("unknown-tag", f'unknown tag "[{lexeme.text}]"', hint, lexeme.start, lexeme.end)
        return self.proximity(found, distance, lexeme) if distance else found

    def proximity(self, found: Query, distance: str, lexeme: Lexeme) -> Query:
        """PubMed's "a b"[ti:~5]: its words with at most 5 words between, in either order."""
        words = [word for word in found.text.split() if words_of(word)] if isinstance(found, Term) else []
        if len(words) < 2 or not distance.isascii() or not distance.isdigit() or not isinstance(found, Term):
            hint = 'write "word word"[tiab:~5]'
            self.problem("bad-proximity", "this proximity cannot be read", hint, lexeme.start, lexeme.end)
            return found
        parts = tuple(replace(found, text=word) for word in words)
        return Near(parts=parts, distance=max(1, min(int(distance[:4]), 100)), start=found.start, end=lexeme.end)

    def with_field(self, found: Query, field: str) -> Query:
        if isinstance(found, Term):
            if found.field and found.field != field:
                message = f"{found.field}: stands inside {field}:"
                self.problem("field-in-field", message, "give each term one field", found.start, found.end)
            if field not in TEXT_FIELDS and found.exact:
                return replace(found, field=field, exact=False)
            return (
                self.particular(replace(found, field=field))
                if field not in TEXT_FIELDS
                else replace(found, field=field)
            )
        if isinstance(found, And | Or | Near):
            if isinstance(found, Near) and field not in TEXT_FIELDS:
                message = "NEAR looks in the text"
                self.problem("needs-terms", message, f"use AND within {field}:", found.start, found.end)
            return replace(found, parts=tuple(self.with_field(part, field) for part in found.parts))
        if isinstance(found, Not | AtLeast):
            return replace(found, part=self.with_field(found.part, field))
        return found

    # --- terms ------------------------------------------------------------------------------------------------

    def term(self, lexeme: Lexeme, field: str | None, start: int) -> Query | None:
        self.terms += 1
        if self.terms > MAX_TERMS:
            message = f"the query has more than {MAX_TERMS} terms"
            self.problem("too-many-terms", message, "split it into several topics", lexeme.start, lexeme.end)
            raise _TooMuch
        term = make_term(start, lexeme.end, lexeme.text, field or "", lexeme.prefix, lexeme.exact)
        if field and field not in TEXT_FIELDS:
            return self.particular(replace(term, exact=False))
        return self.checked(term, lexeme)

    def checked(self, term: Term, lexeme: Lexeme) -> Term | None:
        start, end = lexeme.start, lexeme.end
        words = words_of(term.text)
        if "*" in term.text or ("?" in term.text and not lexeme.quoted):
            self.problem("wildcard", "only a * at the end of a word works", "write the beginning and *", start, end)
            return None
        if not words:
            self.problem("empty-term", "this holds no letter or digit to look for", "remove it", start, end)
            return None
        if not lexeme.quoted and not lexeme.exact and term.text in ("and", "or", "not"):
            hint = f'write {term.text.upper()} to join terms, or "{term.text}" to look for the word'
            self.problem("lowercase-operator", f"is {term.text} an operator or a word?", hint, start, end)
            return None
        if len(words) > MAX_WORDS:
            self.problem("long-phrase", f"a phrase has {MAX_WORDS} words at most", "shorten it", start, end)
            return None
        if term.prefix and len(words[-1]) < MIN_PREFIX:
            message = f"a word before * needs {MIN_PREFIX} letters or more"
            self.problem("short-prefix", message, "write more of the word", start, end)
            return None
        if term.prefix and len(words) == 1 and len(words[0]) == MIN_PREFIX:
            message = f"{term} begins a great many words"
            self.problem("short-prefix-warning", message, "write more of the word", start, end)
        if STOP_WORDS.issuperset(words) and not term.exact and not term.text.isupper():
            self.problem("stop-words", f"{term} is in almost every article", "look for something rarer", start, end)
        if term.text.isupper() and not term.exact and not term.prefix and _acronym(term.text):
            hint = f"write {term.text.lower()} to find the everyday word"
            self.problem("exact-case", f"{term.text} is looked for in capitals only", hint, start, end)
            return replace(term, exact=True)
        return term

    def particular(self, term: Term) -> Term:
        """A term that an article's particulars answer: source, author, journal, provider, doi, language."""
        text = term.text.strip()
        if term.field == "lang":
            text = LANGUAGES.get(text.lower(), text.lower())
            if not re.fullmatch(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*", text):
                hint = "write a code such as lang:en"
                self.problem("bad-language", f"{term.text} is not a language code", hint, term.start, term.end)
        elif term.field == "doi":
            text = re.sub(r"(?i)^(?:https?://(?:dx\.)?doi\.org/|doi:\s*)", "", text).lower()
            if not text.startswith("10."):
                self.problem("odd-doi", "a DOI begins with 10.", "check it", term.start, term.end)
        if not text or not words_of(text):
            self.problem("empty-term", "this holds no letter or digit to look for", "remove it", term.start, term.end)
        return replace(term, text=text)


def _acronym(text: str) -> bool:
    return 2 <= len(text) <= 6 and text.isascii() and text.isalpha() and text.lower() in COMMON_WORDS


def _positive(query: Query) -> bool:
    return not isinstance(query, Not)


def _is_terms(query: Query) -> bool:
    if isinstance(query, Or):
        return all(isinstance(part, Term) and part.field in TEXT_FIELDS for part in query.parts)
    return isinstance(query, Term) and query.field in TEXT_FIELDS
