"""How the command line speaks: data on stdout, the rest on stderr, `--json` for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitor.errors import QueryError

SCHEMA_VERSION = 1

WIDE = 160  # columns where stdout is no terminal: a file or a pipe has room

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False)


def plain(value: object) -> Any:
    """A model value as JSON can say it: dataclasses as objects, times as RFC 3339, durations as seconds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    return value


def say_json(**data: object) -> None:
    """One object, stable keys, with a schema version."""
    json.dump(
        {"schema_version": SCHEMA_VERSION, **{key: plain(value) for key, value in data.items()}}, sys.stdout, indent=2
    )
    sys.stdout.write("\n")


def say(text: str) -> None:
    out.print(escape(text))


def note(text: str) -> None:
    err.print(escape(text))


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A table whose cells are text from anywhere: markup in them is shown, not obeyed."""
    grid = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for header in headers:
        grid.add_column(header, overflow="fold")
    for row in rows:
        grid.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    out.print(grid)


def when(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M") if at else "never"


def show_query_error(error: QueryError) -> None:
    """Each problem with its column, the query line and a caret line below it."""
    for problem in error.problems:
        err.print(f"[red]{escape(problem.message)}[/red] (column {problem.start + 1})")
        err.print("  " + escape(error.text.replace("\n", " ")))
        err.print("  " + " " * problem.start + "^" * max(1, problem.end - problem.start))
        if problem.hint:
            err.print("  hint: " + escape(problem.hint))
