"""Text cut at its spans, for whoever shows it."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.model import Span


def highlight(text: str, spans: Iterable[Span]) -> list[tuple[str, bool]]:
    """`text` in pieces, True for those within a span; joined they are `text` again. Give it one field's spans."""
    pieces: list[tuple[str, bool]] = []
    at = 0
    for start, end in _merged(spans, len(text)):
        if start > at:
            pieces.append((text[at:start], False))
        pieces.append((text[start:end], True))
        at = end
    if at < len(text):
        pieces.append((text[at:], False))
    return pieces


def _merged(spans: Iterable[Span], length: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted((max(0, span.start), min(span.end, length)) for span in spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
