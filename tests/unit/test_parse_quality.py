"""The quality gate: how well saved pages are read, against pinned scores that may rise but not sink.

    python tests/unit/test_parse_quality.py          pin better scores
    python tests/unit/test_parse_quality.py --lower  pin worse ones, too: say why in the commit

Pages of known publishers stand in tests/data/parse/pages (docs/how-to-add-a-publisher.md), others in generic/, each
beside the values that it should give.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import ParseError
from monitor.model import Article
from monitor.parse import parse_article

DATA = Path(__file__).parents[1] / "data" / "parse"
PAGES = {path.stem: path for folder in ("pages", "generic") for path in (DATA / folder).glob("*.json")}
PINNED = DATA / "scores.json"
FIELDS = ("title", "authors", "published", "doi", "journal", "provider", "citation", "copyright", "language")
NAMES = sorted(PAGES)
_WORD = re.compile(r"\w+")


def scores(name: str) -> dict[str, float]:
    """1 for each field that is right; for the text the F1 of its 4-word pieces, and the share of furniture kept out."""
    wanted = json.loads(PAGES[name].read_text(encoding="utf-8"))
    try:
        article = parse_article(PAGES[name].with_suffix(".html").read_bytes(), url=wanted["url"])
    except ParseError:
        return dict.fromkeys((*FIELDS, "text"), 0.0)
    found = {field: float(_said(article, field) == wanted[field]) for field in FIELDS if field in wanted}
    found["text"] = round(_f1(_pieces(article.body), _pieces("\n\n".join(wanted["paragraphs"]))), 4)
    return found


def _said(article: Article, field: str) -> Any:
    value = getattr(article, field)
    if field == "published":
        return value.date().isoformat() if value else ""
    return list(value) if isinstance(value, tuple) else value


def _pieces(text: str) -> Counter[str]:
    words = _WORD.findall(text.casefold())
    return Counter(" ".join(words[at : at + 4]) for at in range(max(1, len(words) - 3)))


def _f1(found: Counter[str], wanted: Counter[str]) -> float:
    shared = sum((found & wanted).values())
    return 2 * shared / (sum(found.values()) + sum(wanted.values())) if shared else 0.0


def pin(pinned: dict[str, dict[str, float]], *, lower: bool) -> dict[str, dict[str, float]]:
    """The scores of now. Raises SystemExit where one would sink without `lower`."""
    now = {name: scores(name) for name in NAMES}
    sunk = [
        f"{name}: {field} {before} -> {now.get(name, {}).get(field, 0.0)}"
        for name, fields in pinned.items()
        for field, before in fields.items()
        if now.get(name, {}).get(field, 0.0) < before
    ]
    if sunk and not lower:
        raise SystemExit("these would sink; --lower pins them all the same:\n  " + "\n  ".join(sunk))
    return now


@pytest.mark.parametrize("name", NAMES)
def test_no_page_is_read_worse_than_before(name: str) -> None:
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))[name]

    now = scores(name)

    assert {field: (score, now.get(field, 0.0)) for field, score in pinned.items() if now.get(field, 0.0) < score} == {}


def test_each_saved_page_has_its_pinned_scores() -> None:
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))

    assert sorted(pinned) == NAMES
    assert all(set(fields) == set(scores(name)) for name, fields in pinned.items())


def test_a_score_sinks_only_under_the_flag() -> None:
    too_good = {NAMES[0]: {"text": 1.1}}

    with pytest.raises(SystemExit, match="would sink"):
        pin(too_good, lower=False)

    assert pin(too_good, lower=True)[NAMES[0]]["text"] <= 1.0


def test_losing_a_paragraph_or_keeping_furniture_costs_score() -> None:
    text = "One two three four five six seven eight nine ten eleven twelve."

    assert _f1(_pieces(text), _pieces(text)) == 1.0
    assert _f1(_pieces(text[: len(text) // 2]), _pieces(text)) < 0.8
    assert _f1(_pieces(f"{text} Share this story with friends and sign up for more."), _pieces(text)) < 0.8


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--lower", action="store_true")
    before = json.loads(PINNED.read_text(encoding="utf-8")) if PINNED.exists() else {}
    PINNED.write_text(json.dumps(pin(before, lower=options.parse_args().lower), indent=1) + "\n", encoding="utf-8")
