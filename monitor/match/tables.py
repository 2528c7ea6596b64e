"""YAML and CSV read with the place of every value, so that an error names its line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MAX_CHARACTERS = 20_000_000
MAX_CELL = 100_000
MAX_CELLS = 100  # of one row
MAX_DEPTH = 6

# libyaml where it is there: ten times as fast, and as safe.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TableError(Exception):
    """Something in a file is wrong, at a line and column counted from 1."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.line = line
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value with its place. `literal` says that its characters stand in the file one for one, each of its lines
    beginning at `indent`; where they do not, the place of any of them is that of the value.
    """

    value: Any
    line: int
    column: int
    key_line: int = 0
    key_column: int = 0
    literal: bool = False
    indent: int = 0

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a character of the value."""
        if not self.literal or not isinstance(self.value, str):
            return self.line, self.column
        before = self.value[:offset]
        lines = before.count("\n")
        if not lines:
            return self.line, self.column + offset
        return self.line + lines, self.indent + offset - before.rindex("\n")

    def error(self, reason: str, *, key: bool = False) -> TableError:
        line, column = (self.key_line, self.key_column) if key and self.key_line else (self.line, self.column)
        return TableError(line, column, reason)


_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

# --- YAML -----------------------------------------------------------------------------------------------------


def read_yaml(text: str, most: int) -> list[dict[str, Cell]]:
    """The entries of `topics:` (or of a bare list). Raises TableError."""
    _capped(text)
    try:
        _check_shape(text)
        root = yaml.compose(text, Loader=_Loader)
        entries = _entries(root, most)
        lines = _LINE_END.split(text)
        return [_mapping(entry, lines) for entry in entries]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise TableError(line, column, f"not YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TableError(
            line, error.position - text.rfind("\n", 0, error.position), f"not YAML: {error.reason}"
        ) from error


def _check_shape(text: str) -> None:
    """No aliases (they can blow up), no deep nesting: both are told before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _at(event, "aliases (*name) are not read")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _at(event, "nested too deep for a list of topics")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1


def _entries(root: Any, most: int) -> list[Any]:
    if root is None:
        return []
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value != "topics":
                raise _at(key, "the file has one field, topics")
            root = value
        if isinstance(root, yaml.ScalarNode) and root.value in ("", "~", "null"):
            return []
    if not isinstance(root, yaml.SequenceNode):
        raise _at(root, "a list of topics should stand here")
    if len(root.value) > most:
        raise _at(root.value[most], f"more than {most} topics")
    return list(root.value)


def _mapping(node: Any, lines: list[str]) -> dict[str, Cell]:
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise _at(node, "a topic with slug, name and query should stand here")
    found: dict[str, Cell] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _at(key, "a field's name should stand here")
        if key.value in found:
            raise _at(key, f"{key.value[:60]} is given twice")
        found[key.value] = _cell(key, value, lines)
    return found


def _cell(key: Any, node: Any, lines: list[str]) -> Cell:
    line, column = node.start_mark.line, node.start_mark.column
    literal, indent = False, 0
    value = _plain(node)
    if isinstance(node, yaml.ScalarNode) and isinstance(value, str):
        if node.style == "|":
            body = next((number for number in range(line + 1, len(lines)) if lines[number].strip()), line + 1)
            indent = len(lines[body]) - len(lines[body].lstrip(" ")) if body < len(lines) else 0
            line, column, literal = line + 1, indent, True
        else:
            begin = column + (1 if node.style in ("'", '"') else 0)
            literal = lines[line][begin : begin + len(value)] == value if line < len(lines) else False
            column = begin if literal else column
    return Cell(
        value=value,
        line=line + 1,
        column=column + 1,
        key_line=key.start_mark.line + 1,
        key_column=key.start_mark.column + 1,
        literal=literal,
        indent=indent,
    )


def _plain(node: Any) -> Any:
    """Texts as they are written: a query such as `no` or `1e3` is no boolean and no number here."""
    if isinstance(node, yaml.ScalarNode):
        if node.tag == "tag:yaml.org,2002:null":
            return None
        if len(node.value) > MAX_CELL:
            raise _at(node, f"longer than {MAX_CELL} characters")
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(part) for part in node.value]
    return {str(_plain(key)): _plain(value) for key, value in node.value}


def _at(node: Any, reason: str) -> TableError:
    return TableError(node.start_mark.line + 1, node.start_mark.column + 1, reason)


# --- CSV ------------------------------------------------------------------------------------------------------


def read_csv(text: str, most: int, clean: Callable[[str], str]) -> list[dict[str, Cell]]:
    """The rows under a header, by its names; `clean` undoes what a cell was guarded with. Raises TableError."""
    _capped(text)
    text = text.removeprefix("\ufeff")
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = _rows(text, delimiter)
    header = next(rows, None)
    if header is None:
        return []
    names = [cell.value.strip().lower() for cell in header]
    for cell, name in zip(header, names, strict=True):
        if names.count(name) > 1:
            raise cell.error(f'the column "{name}" stands twice')
    if "slug" not in names:
        raise header[0].error("the first row names the columns, and one of them is slug")
    found: list[dict[str, Cell]] = []
    for row in rows:
        if len(row) == 1 and not row[0].value.strip():
            continue
        if len(row) > len(names):
            raise row[len(names)].error(f"more cells than the {len(names)} columns")
        if len(found) == most:
            raise row[0].error(f"more than {most} topics")
        found.append({name: _cleaned(cell, clean) for name, cell in zip(names, row, strict=False)})
    return found


def _cleaned(cell: Cell, clean: Callable[[str], str]) -> Cell:
    value = clean(cell.value)
    return Cell(
        value=value,
        line=cell.line,
        column=cell.column + len(cell.value) - len(value),
        literal=cell.literal,
        indent=cell.indent,
    )


def _rows(text: str, delimiter: str) -> Iterator[list[Cell]]:
    """RFC 4180, one pass; quoted cells may hold line ends."""
    bare_end = re.compile(rf"[{delimiter}\r\n]")
    at, line, line_start = 0, 1, 0
    row: list[Cell] = []
    size = len(text)
    while at < size:
        column = at - line_start + 1
        if text[at] == '"':
            value, end = _quoted(text, at, line, column)
            cell = Cell(value=value, line=line, column=column + 1, literal='"' not in value)
            if newlines := text.count("\n", at, end):
                line += newlines
                line_start = text.rindex("\n", at, end) + 1
        else:
            found = bare_end.search(text, at)
            end = found.start() if found else size
            cell = Cell(value=text[at:end], line=line, column=column, literal=True)
        if len(cell.value) > MAX_CELL:
            raise cell.error(f"a cell of more than {MAX_CELL} characters")
        row.append(cell)
        if len(row) > MAX_CELLS:
            raise cell.error(f"more than {MAX_CELLS} cells in a row")
        if end < size and text[end] == delimiter:
            at = end + 1
            if at < size and text[at] not in "\r\n":
                continue
            row.append(Cell(value="", line=line, column=at - line_start + 1, literal=True))
            end = at
        elif end < size and text[end] not in "\r\n":
            raise TableError(line, end - line_start + 1, "text behind a closing quotation mark")
        yield row
        row = []
        at = end + (2 if text.startswith("\r\n", end) else 1)
        line += 1
        line_start = at


def _quoted(text: str, start: int, line: int, column: int) -> tuple[str, int]:
    """The value of a quoted cell, and where it ends."""
    at = start + 1
    parts = []
    while True:
        close = text.find('"', at)
        if close < 0:
            raise TableError(line, column, "this quotation mark is never closed")
        parts.append(text[at:close])
        if not text.startswith('"', close + 1):
            return "".join(parts), close + 1
        parts.append('"')
        at = close + 2


def _capped(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise TableError(1, 1, f"more than {MAX_CHARACTERS} characters")
