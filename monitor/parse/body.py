"""An article's text out of a page of any site: trafilatura, within bounds, and a plain linear reading beyond them."""

from __future__ import annotations

import re
from itertools import islice

from lxml import etree

from monitor.parse.page import MAX_ELEMENTS, Page, inner_text, is_heavy, pruned
from monitor.parse.plain import MAX_TEXT, join_paragraphs

SHORT = 250  # characters: less than this is a teaser or a failure
_BLOCKS = frozenset({"p", "li", "h2", "h3", "h4", "blockquote", "pre", "td", "dd"})
_LINES = re.compile(r"\n+")
_FURNITURE = re.compile(
    r"(?:advertisement|advertising|sponsored content|log ?in|sign in|register|subscribe(?: now| today)?|share(?: this.*)?|print|email"
    r"|save|comments?|read more|related(?: articles| stories| content)?|recommended.*|skip to .*|back to top|cookie settings"
    r"|alternate versions|most popular|trending(?: now)?|follow us.*|contact us|all rights reserved\.?)\W*$"
    r"|sign[ -]?up (?:for|to)\b|subscribe to\b|join our newsletter\b|get our newsletter\b|this article is exclusive to\b|already a subscriber"
    r"|(?:©|\(c\)|copyright) ?(?:19|20)\d\d\b",
    re.IGNORECASE,
)


def page_text(page: Page) -> str:
    """The article's text, paragraphs separated by a blank line; empty where there is none. At most 256 K characters.

    Fast first; where it found little against a plain reading of the paragraphs, the slower ways that lose less.
    """
    plain = simple_text(page.pruned)
    if is_heavy(page.pruned):
        return _without_furniture(plain)
    best = _trafilatura(page.pruned, fast=True)
    if _too_little(best, plain):
        best = _longer(best, _trafilatura(page.pruned), plain)
    if _too_little(best, plain):
        best = _longer(best, _trafilatura(page.pruned, favor_recall=True), plain)
    return _without_furniture(plain if len(best) < SHORT < len(plain) else best)


def _too_little(text: str, plain: str) -> bool:
    return len(text) < SHORT or len(text) * 10 < len(plain) * 6


def _longer(text: str, other: str, plain: str) -> str:
    """The longer one, unless that is longer than all paragraphs together: then it has swallowed the page."""
    return other if len(text) < len(other) <= max(len(plain) * 13 // 10, SHORT * 2) else text


def _without_furniture(text: str) -> str:
    """Lines that stand between paragraphs on every site and say nothing."""
    kept = [line for line in text.split("\n\n") if len(line) > 120 or not _FURNITURE.match(line.strip("-•* |"))]
    return join_paragraphs(kept)


def simple_text(tree: etree._Element) -> str:
    """The paragraphs with more words than links in the part of the page that holds most of them. One linear pass."""
    scores: dict[etree._Element, int] = {}
    paragraphs: list[tuple[etree._Element | None, str]] = []
    blocks = pruned(tree, ("nav", "footer", "aside", "form")).iter("p", "h2", "h3", "li", "blockquote", "pre")
    for element in islice(blocks, MAX_ELEMENTS):
        line = inner_text(element)[:MAX_TEXT]
        linked = sum(len(inner_text(link)) for link in element.iter("a"))
        if len(line) < 25 or linked * 2 > len(line) or any(child.tag in _BLOCKS for child in element):
            continue
        parent = element.getparent()
        if parent is not None:
            scores[parent] = scores.get(parent, 0) + len(line)
        paragraphs.append((parent, line))
    enough = max(scores.values(), default=0) / 5
    return join_paragraphs([line for parent, line in paragraphs if parent is None or scores[parent] >= enough])


def _trafilatura(tree: etree._Element, *, fast: bool = False, favor_recall: bool = False) -> str:
    from trafilatura import extract  # a tenth of a second, which no other command should pay

    try:
        text = extract(tree, fast=fast, favor_recall=favor_recall, include_comments=False, with_metadata=False)
    except Exception:  # third-party heuristics on a stranger's page: whatever they trip over, the plain reading remains
        return simple_text(tree)
    return join_paragraphs(_LINES.split(text)) if text else ""
