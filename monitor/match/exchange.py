"""Topics as YAML and CSV, and back: a file is read into a report of what it would change, with the place of each error.

What is dumped loads to the same topics. A topic is known by its slug, so loading twice changes nothing the second time.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

import yaml

from monitor.errors import Problem, QueryError
from monitor.match.query import parenthesised, parse_query
from monitor.match.tables import Cell, TableError, read_csv, read_yaml
from monitor.model import Topic, WeightedTerm

Kind = Literal["yaml", "csv"]
COLUMNS = ("slug", "name", "query", "weights", "threshold", "sources", "languages", "active")
MAX_TOPICS = 20_000
_SLUG = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_TRUE, _FALSE = frozenset({"true", "yes", "1", "on"}), frozenset({"false", "no", "0", "off"})


def is_slug(text: str) -> bool:
    """Small letters and digits, hyphens, dots or underscores between them, 64 at most."""
    return len(text) <= 64 and _SLUG.fullmatch(text) is not None


class Outcome(StrEnum):
    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one entry of a file would do. `topic` is the topic as it would then be (None for an error), `differences`
    names each changed field with its old and new value; `line` and `column`, from 1, are where the entry stands, or
    the error in it.
    """

    outcome: Outcome
    slug: str
    topic: Topic | None = None
    differences: tuple[tuple[str, str, str], ...] = ()
    line: int = 0
    column: int = 0
    message: str = ""


# --- out ------------------------------------------------------------------------------------------------------


def dump_yaml(topics: Iterable[Topic]) -> str:
    entries = [_entry(topic) for topic in topics]
    return yaml.dump({"topics": entries}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A query of several lines as it looks, not folded into quotes."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _written)


def _entry(topic: Topic) -> dict[str, object]:
    """What a topic says; defaults are left out."""
    entry: dict[str, object] = {"slug": topic.slug, "name": topic.name}
    if topic.query:
        entry["query"] = topic.query
    if topic.weights:
        entry["weights"] = [{"term": weighted.term, "weight": weighted.weight} for weighted in topic.weights]
        entry["threshold"] = topic.threshold
    if topic.sources:
        entry["sources"] = list(topic.sources)
    if topic.languages:
        entry["languages"] = list(topic.languages)
    if not topic.active:
        entry["active"] = False
    return entry


def dump_csv(topics: Iterable[Topic]) -> str:
    """RFC 4180 with a header. A cell that a spreadsheet would run as a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for topic in topics:
        weights = json.dumps([[one.term, one.weight] for one in topic.weights], ensure_ascii=False)
        row = (
            topic.slug, topic.name, topic.query, weights if topic.weights else "",
            f"{topic.threshold!r}" if topic.weights else "", " ".join(topic.sources), " ".join(topic.languages),
            "yes" if topic.active else "no",
        )  # fmt: skip
        writer.writerow([guarded(cell) for cell in row])
    return out.getvalue()


# A cell that begins so is run as a formula by one spreadsheet or another (CWE-1236).
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def guarded(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


# --- in -------------------------------------------------------------------------------------------------------


def load(text: str, kind: Kind, existing: Iterable[Topic] = ()) -> list[Change]:
    """A dry run: one Change for each entry of the file, in its order, or a single error where it cannot be read at all.

    An entry that leaves a field out leaves it as it is. `pubmed` instead of `query` takes a PubMed search string.
    """
    known = {topic.slug: topic for topic in existing}
    try:
        entries = read_yaml(text, MAX_TOPICS) if kind == "yaml" else read_csv(text, MAX_TOPICS, unguarded)
    except TableError as error:
        return [Change(outcome=Outcome.ERROR, slug="", line=error.line, column=error.column, message=error.reason)]
    seen: dict[str, int] = {}
    changes = []
    for entry in entries:
        change = _change(entry, known, seen)
        changes.append(change)
        if change.slug:
            seen.setdefault(change.slug, change.line)
    return changes


def _change(entry: Mapping[str, Cell], known: Mapping[str, Topic], seen: Mapping[str, int]) -> Change:
    first = entry.get("slug") or min(entry.values(), key=lambda cell: (cell.line, cell.column))
    slug = first.value if "slug" in entry and isinstance(first.value, str) else ""
    try:
        topic = _topic(entry, known.get(slug), seen)
    except TableError as error:
        return Change(outcome=Outcome.ERROR, slug=slug, line=error.line, column=error.column, message=error.reason)
    before = known.get(slug)
    line, column = first.line, first.column
    if before is None:
        return Change(outcome=Outcome.NEW, slug=slug, topic=topic, line=line, column=column)
    differences = tuple(_differences(before, topic))
    outcome = Outcome.CHANGED if differences else Outcome.SAME
    after = topic if differences else before
    return Change(outcome=outcome, slug=slug, topic=after, differences=differences, line=line, column=column)


def _topic(entry: Mapping[str, Cell], before: Topic | None, seen: Mapping[str, int]) -> Topic:
    for name, cell in entry.items():
        if name not in (*COLUMNS, "pubmed"):
            raise cell.error(f'unknown field "{name}"; there are {", ".join(COLUMNS)}', key=True)
    slug = _slug(entry, seen)
    topic = before or Topic(slug=slug, name=slug, query="")
    if "query" in entry and "pubmed" in entry and _text(entry["pubmed"]):
        raise entry["pubmed"].error("give query or pubmed, not both", key=True)
    given: dict[str, Any] = {}
    if "query" in entry or "pubmed" in entry:
        given["query"] = _query(entry)
    for name, (read, may_be_blank) in _READERS.items():
        if name in entry and (may_be_blank or entry[name].value not in ("", None)):
            given[name] = read(entry[name])
    topic = replace(topic, **given)
    if not topic.weights:
        topic = replace(topic, threshold=0.0)
    if not topic.query and not topic.weights:
        cell = entry.get("query") or entry.get("pubmed") or entry["slug"]
        raise cell.error(f"{slug} looks for nothing: it has neither query nor weights")
    return topic


def _slug(entry: Mapping[str, Cell], seen: Mapping[str, int]) -> str:
    if "slug" not in entry:
        first = min(entry.values(), key=lambda cell: (cell.line, cell.column))
        raise TableError(first.line, first.column, "an entry without slug")
    cell = entry["slug"]
    slug = _text(cell).strip()
    if not is_slug(slug):
        raise cell.error(f'"{slug[:64]}" is no slug: small letters, digits and hyphens, 64 at most')
    if slug in seen:
        raise cell.error(f"{slug} stands in line {seen[slug]} already")
    return slug


def _query(entry: Mapping[str, Cell]) -> str:
    cell = entry["pubmed"] if "pubmed" in entry and _text(entry["pubmed"]) else entry.get("query") or entry["pubmed"]
    text = _text(cell).strip()
    if not text:
        return ""
    try:
        if cell is entry.get("pubmed"):
            return parenthesised(text)
        parse_query(text)
    except QueryError as error:
        raise _query_error(cell, error.problems[0]) from error
    return text


def _query_error(cell: Cell, problem: Problem) -> TableError:
    stripped = len(_text(cell)) - len(_text(cell).lstrip())
    line, column = cell.place(problem.start + stripped)
    hint = f"; {problem.hint}" if problem.hint else ""
    return TableError(line, column, f"{problem.message}{hint}")


def _weights(cell: Cell) -> tuple[WeightedTerm, ...]:
    """A list of {term, weight}, or in a table cell JSON pairs: [["opioid tolerance", 2], ["police", -3]]."""
    value = cell.value
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise cell.error(f'weights are JSON pairs such as [["opioid tolerance", 2]]: {error}') from error
    if not value:
        return ()
    if not isinstance(value, list):
        raise cell.error("weights are a list of term and weight")
    weights = []
    for one in value:
        pair = (one.get("term"), one.get("weight")) if isinstance(one, dict) else one
        if not isinstance(pair, Sequence) or len(pair) != 2 or not isinstance(pair[0], str):
            raise cell.error("each of weights has a term and a weight")
        try:
            weight = float(pair[1])
            parse_query(pair[0])
        except QueryError as error:
            raise cell.error(f'the weighted term "{pair[0][:60]}": {error}') from error
        except (TypeError, ValueError) as error:
            raise cell.error(f'the weight of "{pair[0][:60]}" is no number') from error
        if not math.isfinite(weight):
            raise cell.error(f'the weight of "{pair[0][:60]}" is no number')
        weights.append(WeightedTerm(term=pair[0], weight=weight))
    return tuple(weights)


def _text(cell: Cell) -> str:
    if cell.value is None:
        return ""
    if isinstance(cell.value, list | dict):
        raise cell.error("a text should stand here")
    return str(cell.value)


def _number(cell: Cell) -> float:
    try:
        number = float(_text(cell))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise cell.error(f'"{_text(cell)[:60]}" is no number')
    return number


def _words(cell: Cell) -> tuple[str, ...]:
    value = cell.value
    if isinstance(value, list):
        if not all(isinstance(one, str) for one in value):
            raise cell.error("a list of words should stand here")
        return tuple(value)
    return tuple(_text(cell).replace(",", " ").split())


def _yes(cell: Cell) -> bool:
    text = _text(cell).strip().lower()
    if text not in _TRUE | _FALSE:
        raise cell.error(f'"{text[:60]}" is neither yes nor no')
    return text in _TRUE


def _name(cell: Cell) -> str:
    return " ".join(_text(cell).split())


# How each field is read, and whether a blank says "none" (else it says nothing).
_READERS: Mapping[str, tuple[Callable[[Cell], object], bool]] = {
    "name": (_name, False),
    "weights": (_weights, True),
    "threshold": (_number, False),
    "sources": (_words, True),
    "languages": (_words, True),
    "active": (_yes, False),
}


def _differences(before: Topic, after: Topic) -> Iterable[tuple[str, str, str]]:
    for name in ("name", "query", "weights", "threshold", "sources", "languages", "active"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new and not (name == "query" and _reads_same(old, new)):
            yield name, _shown(old), _shown(new)


def _reads_same(old: str, new: str) -> bool:
    """Blanks and line ends apart, or understood alike."""
    if old.split() == new.split():
        return True
    try:
        return bool(old and new) and parse_query(old) == parse_query(new)
    except QueryError:
        return False


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{one.term} {one.weight:+g}" if isinstance(one, WeightedTerm) else str(one) for one in value)
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


__all__ = ["COLUMNS", "Change", "Outcome", "dump_csv", "dump_yaml", "guarded", "is_slug", "load", "unguarded"]
