"""A query's text, cut into lexemes with their columns. Knows nothing of how they combine."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from monitor.errors import Problem


class Kind(StrEnum):
    OPEN = "("
    CLOSE = ")"
    AND = "AND"
    OR = "OR"
    NOT = "NOT"
    NEAR = "NEAR"
    ATLEAST = "ATLEAST"
    FIELD = "field"
    TAG = "tag"
    TERM = "term"
    END = "end"


class Lexeme(NamedTuple):
    """`text` is a term without its quotes, a field or tag without colon and brackets; `number` the n of NEAR/n."""

    kind: Kind
    text: str
    start: int
    end: int
    number: int = 0
    quoted: bool = False
    prefix: bool = False
    exact: bool = False


_QUOTES = '"“”„‟«»'
_LEXEME = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<and>&&)
    | (?P<or>\|\|?)
    | (?P<not>[!\-−–](?=[^\s\-]))
    | (?P<tag>\[(?P<tagname>[^\[\]]*)(?P<tagend>\]?))
    | (?P<field>(?P<fieldname>[A-Za-z]+):(?!//))
    | (?P<phrase>(?P<exact>=?)[{_QUOTES}](?P<inner>[^{_QUOTES}]*)(?P<closed>[{_QUOTES}]?)(?P<star>\*?))
    | (?P<word>[^\s()\[\]{_QUOTES}|]+)
    | (?P<stray>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SIGNS = {"open": Kind.OPEN, "close": Kind.CLOSE, "and": Kind.AND, "or": Kind.OR, "not": Kind.NOT}
_WORD_OPERATORS = {"AND": Kind.AND, "OR": Kind.OR, "NOT": Kind.NOT}
_COUNTED = re.compile(r"(NEAR|ATLEAST|ADJ|ATLEST)(?:(/)(\d{1,9})|/?(\d{0,9}))")
_MOST = {Kind.NEAR: 100, Kind.ATLEAST: 1000}


def lexemes(text: str) -> tuple[list[Lexeme], list[Problem]]:
    """Every lexeme of `text`, closed by one END, and what could not be read."""
    found: list[Lexeme] = []
    problems: list[Problem] = []
    for match in _LEXEME.finditer(text):
        kind = match.lastgroup or ""
        if kind == "space":
            continue
        start, end = match.span()
        if kind == "word":
            found.append(_word(match, problems))
        elif kind == "phrase":
            found.append(_phrase(match, problems))
        elif kind in _SIGNS:
            found.append(Lexeme(_SIGNS[kind], match[0], start, end))
        elif kind == "field":
            found.append(Lexeme(Kind.FIELD, match["fieldname"], start, start + len(match["fieldname"]) + 1))
        elif kind == "tag":
            if not match["tagend"]:
                problems.append(_problem("unclosed-bracket", "this [ is never closed", "add ]", start, start + 1))
            _join_tagged_words(found)
            found.append(Lexeme(Kind.TAG, match["tagname"].strip(), start, end))
        elif kind == "stray":
            problems.append(_problem("stray-character", f"{match[0]!r} means nothing here", "remove it", start, end))
    found.append(Lexeme(Kind.END, "", len(text), len(text)))
    return found, problems


def _join_tagged_words(found: list[Lexeme]) -> None:
    """PubMed's Smith J[au] and opioid tolerance[ti]: a tag covers all the bare words before it, as one phrase."""
    first = len(found)
    while first and found[first - 1].kind is Kind.TERM and not found[first - 1].quoted:
        first -= 1
    words = found[first:]
    if len(words) > 1 and not any(word.exact or word.prefix for word in words):
        text = " ".join(word.text for word in words)
        found[first:] = [Lexeme(Kind.TERM, text, words[0].start, words[-1].end, quoted=True)]


def _phrase(match: re.Match[str], problems: list[Problem]) -> Lexeme:
    start, end = match.span()
    exact, inner, closed, star = match.group("exact", "inner", "closed", "star")
    if not closed:
        column = start + len(exact)
        hint = 'add " where the phrase ends'
        problems.append(_problem("unclosed-quote", "this quotation mark is never closed", hint, column, column + 1))
    inner = " ".join(inner.split())
    prefix = bool(star) or inner.endswith("*")
    inner = inner[:-1].rstrip() if inner.endswith("*") else inner
    return Lexeme(Kind.TERM, inner, start, end, quoted=True, prefix=prefix, exact=bool(exact))


def _word(match: re.Match[str], problems: list[Problem]) -> Lexeme:
    word, (start, end) = match["word"], match.span()
    if word in _WORD_OPERATORS:
        return Lexeme(_WORD_OPERATORS[word], word, start, end)
    if counted := _COUNTED.fullmatch(word):
        return _operator(counted, start, end, problems)
    exact = word.startswith("=") and len(word) > 1
    body = word[1:] if exact else word
    stripped = body.rstrip(",;.")
    if stripped != body and body[len(stripped)] in ",;":
        message = "a comma joins nothing: terms side by side must all be found"
        problems.append(_problem("comma", message, "write OR between alternatives", end - 1, end))
    prefix = stripped.endswith("*")
    return Lexeme(Kind.TERM, stripped[:-1] if prefix else stripped, start, end, prefix=prefix, exact=exact)


def _operator(counted: re.Match[str], start: int, end: int, problems: list[Problem]) -> Lexeme:
    kind = Kind.ATLEAST if counted[1].startswith("ATL") else Kind.NEAR
    default = "3" if kind is Kind.ATLEAST else "5"
    number = int(counted[3] or counted[4] or default)
    if counted[1] != kind.value or not counted[3]:
        hint = f"write {kind.value}/{number}, or put the word in quotes"
        problems.append(_problem("bad-operator", f"{counted[0]} is not an operator", hint, start, end))
    elif not 1 <= number <= _MOST[kind]:
        message = f"{kind.value} takes a number from 1 to {_MOST[kind]}"
        problems.append(_problem("bad-number", message, f"write {kind.value}/{default}", start, end))
    return Lexeme(kind, counted[0], start, end, number=max(1, min(number, _MOST[kind])))


def _problem(code: str, message: str, hint: str, start: int, end: int) -> Problem:
    return Problem(code=code, message=message, hint=hint, start=start, end=end)
