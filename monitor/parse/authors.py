"""Names as feeds and pages give them: one element an author, all in one, or with an address around them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from monitor.parse.plain import MAX_LINE, plain_line

MAX_AUTHORS = 200
_MAIL_NAME = re.compile(r"[^\s@()]{1,200}@[^\s@()]{1,200}\s*\(([^()]{1,200})\)$")
_NAME_MAIL = re.compile(r"\s*<?\s*\(?[^\s@<>()]{1,200}@[^\s@<>()]{1,200}\)?>?\s*$")
_INITIALS = re.compile(r"(?:[A-Z]\.?[\s-]?){1,5}$")
_BY = re.compile(r"^(?:by|von|par|por)\s*:?\s+", re.IGNORECASE)
_DEGREES = frozenset(
    [
        "md",
        "phd",
        "rn",
        "rd",
        "mph",
        "mba",
        "msc",
        "bsc",
        "ba",
        "bs",
        "ms",
        "ma",
        "do",
        "dds",
        "dvm",
        "dacvb",
        "facep",
        "facc",
        "facs",
        "pharmd",
        "np",
        "pa",
        "pa-c",
        "ldn",
        "lcsw",
        "jr",
        "sr",
        "ii",
        "iii",
    ]
)


def author_names(values: Iterable[str]) -> tuple[str, ...]:
    """Each author once, in order, as printed but without mail addresses and a leading "by"; at most 200."""
    names: list[str] = []
    seen: set[str] = set()
    for value in values:
        for name in _split(_name(value)):
            if name and name.lower() not in seen and len(names) < MAX_AUTHORS:
                seen.add(name.lower())
                names.append(name[:200])
    return tuple(names)


def _name(value: str) -> str:
    name = plain_line(value, MAX_LINE * 10)
    if "@" in name:
        inside = _MAIL_NAME.match(name)
        name = inside.group(1) if inside else _NAME_MAIL.sub("", name)
    return _BY.sub("", name).strip(" ,;")


def _split(names: str) -> list[str]:
    """Several authors in one: "Doe, J., Roe, R." (HighWire), "Doe, Jane; Roe, Rob", "Jane Doe, Rob Roe and X Y"."""
    if ";" in names:
        return [name.strip(" ,") for name in names.split(";")]
    parts = [part.strip() for part in names.replace(" and ", ", ").replace(" & ", ", ").split(",")]
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return parts
    surnames, initials = parts[::2], parts[1::2]
    if len(parts) % 2 == 0 and all(_INITIALS.match(part) for part in initials):
        return [f"{surname}, {initial}" for surname, initial in zip(surnames, initials, strict=True)]
    with_degrees: list[str] = []
    for part in parts:
        if with_degrees and part.lower().replace(".", "") in _DEGREES:
            with_degrees[-1] += f", {part}"
        else:
            with_degrees.append(part)
    if all(" " in part and len(part) < 80 for part in with_degrees):
        return with_degrees
    return [names]
