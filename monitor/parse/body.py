"""An article's text out of a page of any site: trafilatura, within bounds, and a plain linear reading beyond them."""

from __future__ import annotations

import re

from lxml import etree

from monitor.parse.page import Page, is_heavy, pruned
from monitor.parse.plain import MAX_TEXT, clean, join_paragraphs

SHORT = 250  # characters: less than this is a teaser or a failure
_BLOCKS = frozenset({"p", "li", "h2", "h3", "h4", "blockquote", "pre", "td", "dd"})
_LINES = re.compile(r"\n+")


def page_text(page: Page) -> str:
    """The article's text, paragraphs separated by a blank line; empty where there is none. At most 256 K characters."""
    if is_heavy(page.pruned):
        return simple_text(page.pruned)
    text = _trafilatura(page.pruned, fast=True)
    if len(text) < SHORT:
        text = max(text, _trafilatura(page.pruned, fast=False), key=len)
    return text


def simple_text(tree: etree._Element) -> str:
    """The paragraphs with more words than links in the part of the page that holds most of them. One linear pass."""
    scores: dict[etree._Element, int] = {}
    paragraphs: list[tuple[etree._Element | None, str]] = []
    for element in pruned(tree, ("nav", "footer", "aside", "form")).iter("p", "h2", "h3", "li", "blockquote", "pre"):
        line = clean("".join(element.itertext()))[:MAX_TEXT]
        linked = sum(len("".join(link.itertext())) for link in element.iter("a"))
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
        text = extract(
            tree,
            fast=fast,
            include_comments=False,
            include_tables=True,
            include_images=False,
            with_metadata=False,
            deduplicate=False,
        )
    except Exception:  # third-party heuristics on a stranger's page: whatever they trip over, the plain reading remains
        return simple_text(tree)
    return join_paragraphs(_LINES.split(text)) if text else ""
