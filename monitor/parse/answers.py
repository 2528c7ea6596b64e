"""What stands in an API's JSON, whatever else may stand there: values of the wanted kind, or empty ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from monitor.errors import ParseError
from monitor.parse.charset import decode
from monitor.parse.plain import clean
from monitor.parse.wrong import why_no_feed


def read_json(body: bytes, *, url: str) -> dict[str, Any]:
    """The object that an API answered. Raises ParseError."""
    text = decode(body).strip("\ufeff \t\r\n\x00")
    if text[:1] == "<":
        raise ParseError(url, why_no_feed(text).replace("a feed was", "JSON was"))
    try:
        document = json.loads(text, strict=False)
    except RecursionError as error:
        raise ParseError(url, "JSON nested too deeply") from error
    except ValueError as error:
        said = f": {clean(text[:120])}" if text and text[0] not in "{[" else ""
        raise ParseError(url, f"broken JSON, or cut off in the middle{said}") from error
    if not isinstance(document, dict):
        raise ParseError(url, "JSON, but not the object that was expected")
    return document


def dig(value: Any, *path: str | int) -> Any:
    """What stands at a path into nested JSON; None where something on the way is missing or of another kind."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def text_at(value: Any, *path: str | int) -> str:
    """The text (or number) there; empty for anything else."""
    found = dig(value, *path)
    if isinstance(found, str):
        return found
    return str(found) if isinstance(found, int | float) and not isinstance(found, bool) else ""


def list_at(value: Any, *path: str | int) -> list[Any]:
    """The list there; empty for anything else."""
    found = dig(value, *path)
    return found if isinstance(found, list) else []


def number_at(value: Any, *path: str | int) -> int:
    """The number there, which may be written as a string; 0 for anything else."""
    text = text_at(value, *path).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def each(values: Iterable[str], most: int = 200) -> tuple[str, ...]:
    """Clean texts, each once, in their order."""
    return tuple(dict.fromkeys(line[:300] for value in values if (line := clean(value))))[:most]
