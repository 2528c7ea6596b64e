"""Small pictures and texts that pages are made of: a trend as SVG, a difference word by word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

MAX_WORDS = 4_000  # of two texts that are compared; beyond, they are shown whole
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


def bars(values: Sequence[int], label: str, *, old: Sequence[int] = (), width: int = 220, height: int = 44) -> Markup:
    """A bar for each value, oldest first; `old` as an outline behind each. Its text says the numbers."""
    top = max((*values, *old), default=0) or 1
    step = width / max(1, len(values))

    def bar(number: int, value: int, looks: Markup) -> Markup:
        high = max(0.8, (height - 2) * value / top)
        place = (number * step + step * 0.12, height - 1 - high, step * 0.76, high)
        return Markup('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" %s/>') % (*place, looks)

    outline = Markup('fill="none" stroke="currentColor" stroke-opacity=".7" stroke-dasharray="2 2"')
    filled = Markup('fill="currentColor" fill-opacity=".35"') if old else Markup('fill="currentColor"')
    bodies = [bar(number, value, outline) for number, value in enumerate(old)]
    bodies += [bar(number, value, filled) for number, value in enumerate(values)]
    svg = Markup('<svg class="bars" role="img" aria-label="%s" viewBox="0 0 %d %d" width="%d" height="%d">%s</svg>')
    return svg % (label, width, height, width, height, Markup("").join(bodies))


def weekly(weeks: Sequence[int]) -> str:
    """What a trend of matches a week says to somebody who does not see it."""
    return f"Matches in the last {len(weeks)} weeks, oldest first: {', '.join(map(str, weeks))}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a text compared with another: `kind` is "same", "added" or "removed"."""

    kind: str
    text: str


def word_diff(old: str, new: str) -> list[Piece]:
    """What became of `old`, word by word."""
    before, after = _WORD.findall(old), _WORD.findall(new)
    if len(before) + len(after) > MAX_WORDS:
        return [Piece("removed", old), Piece("added", new)] if old != new else [Piece("same", new)]
    pieces = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(after[k:m])))
            continue
        if j > i:
            pieces.append(Piece("removed", "".join(before[i:j])))
        if m > k:
            pieces.append(Piece("added", "".join(after[k:m])))
    return pieces


def caret_line(text: str, start: int, end: int) -> tuple[str, str]:
    """The line of `text` that holds `start`, and a line of carets under its place."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", start)
    line = text[first : last if last >= 0 else len(text)]
    left = max(0, start - first - 60)
    shown = ("…" if left else "") + line[left : left + 140]
    at = start - first - left + (1 if left else 0)
    return shown, " " * at + "^" * max(1, min(end - start, len(shown) - at))
