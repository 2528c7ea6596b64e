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
    r"(?:advertis(?:ement|ing)|sponsored content|log ?in|sign in|subscribe(?: now| today)?|share(?: this.*)?"
    r"|register|print|email|save|comments?|read more|(?:related|recommended)(?: articles| stories| for you)?"
    r"|skip to .*|back to top|cookie settings|alternate versions|most popular|follow us.*|contact us"
    r"|all rights reserved\.?)\W*$"
    r"|sign[ -]?up (?:for|to)\b|subscribe to\b|(?:join|get) our newsletter\b|this article is exclusive to\b"
    r"|already a subscriber|(?:©|\(c\)|copyright) ?(?:19|20)\d\d\b",
    re.IGNORECASE,
)


def page_text(page: Page) -> str:
    """The article's text, paragraphs separated by a blank line; empty where there is none. At most 256 K characters.

    trafilatura fast; where that finds little against a plain reading of the paragraphs, trafilatura full; then the
    plain reading itself, unless it is so much longer that it holds the readers' comments too.
    """
    plain = simple_text(page.pruned)
    if is_heavy(page.pruned):
        return _without_furniture(plain)
    best = _trafilatura(page.pruned, fast=True)
    if _too_little(best, plain):
        best = max(best, _trafilatura(page.pruned, fast=False), key=len)
    if _too_little(best, plain) and (len(best) < 4 * SHORT or len(plain) < 5 * len(best)):
        best = max(best, plain, key=len)
    return _without_furniture(best)


def _too_little(text: str, plain: str) -> bool:
    return len(text) < SHORT or len(text) * 10 < len(plain) * 6


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


def _trafilatura(tree: etree._Element, *, fast: bool) -> str:
    from trafilatura import extract  # a tenth of a second, which no other command should pay

    try:
        text = extract(tree, fast=fast, include_comments=False, with_metadata=False)
    except Exception:  # third-party heuristics on a stranger's page: whatever they trip over, the plain reading remains
        return simple_text(tree)
    return join_paragraphs(_LINES.split(text)) if text else ""
