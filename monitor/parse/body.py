"""An article's text out of a page of any site: its main part by structure, read by trafilatura within bounds."""

from __future__ import annotations

import copy
import re
from collections import Counter

import lxml.html
from lxml import etree

from monitor.parse.blocks import blocks, main_part, reading, standfirst
from monitor.parse.furniture import drop, without_furniture, without_lines
from monitor.parse.page import Page, is_heavy
from monitor.parse.plain import join_paragraphs

SHORT = 250  # characters: less than this is a teaser or a failure
_LOSS = 0.08  # of the plain reading's words: what lacks more lost a table, a list, sections
_LINES = re.compile(r"\n+")
_WORDS = re.compile(r"\w+")


def page_text(page: Page) -> str:
    """The article's text, paragraphs separated by a blank line; empty where there is none. At most 256 K characters.

    What is there for readers without script, and in templates, counts where nothing else is there.
    """
    text = _text(page.pruned)
    if len(text) < SHORT and page.unscripted is not None:
        unscripted = _text(page.unscripted)
        text = unscripted if len(unscripted) >= SHORT else text
    return text


def _text(tree: etree._Element) -> str:
    """trafilatura knows more furniture, but loses what it does not know: where that is much, the plain reading."""
    kept = without_furniture(tree)
    found = blocks(kept)
    part = main_part(kept, found)
    plain = without_lines(reading(found, part))
    if part is kept and len(thread := _discussion(tree)) > 2 * len(plain):
        return thread
    lead = standfirst(found, part)
    if (headline := next(kept.iter("h1"), None)) is not None:
        drop(headline)
    best = "" if is_heavy(part) else without_lines(_trafilatura(part))
    text = plain if _lost(plain, best) > _LOSS else best
    return f"{lead}\n\n{text}" if lead and text and lead not in text else text


def _lost(plain: str, text: str) -> float:
    """The share of the plain reading's words that a text lacks."""
    words = Counter(_WORDS.findall(plain))
    return (words - Counter(_WORDS.findall(text))).total() / (words.total() or 1)


def _discussion(tree: etree._Element) -> str:
    """The readers' comments, where they are one part of a page that has no other: a forum's thread."""
    kept = without_furniture(tree, comments=True)
    found = blocks(kept)
    part = main_part(kept, found)
    return "" if part is kept else without_lines(reading(found, part))


def _trafilatura(part: etree._Element) -> str:
    from trafilatura import extract  # a tenth of a second, which no other command should pay

    try:
        text = extract(_as_article(part), fast=True, include_comments=False, with_metadata=False)
    except Exception:  # third-party heuristics on a stranger's page: whatever they trip over, the plain reading remains
        return ""
    return join_paragraphs(_LINES.split(text)) if text else ""


def _as_article(part: etree._Element) -> etree._Element:
    """A page of this part alone, so that it is taken whole, whatever its element and its classes are called."""
    content = copy.deepcopy(part)
    content.tail = None
    content.tag = "div" if content.tag == "body" else content.tag
    for aside in content.iter("aside"):
        aside.tag = "div"  # among the paragraphs it is one of the article's boxes; those of links are gone by now
    page: etree._Element = lxml.html.Element("html")
    etree.SubElement(etree.SubElement(page, "body"), "article").append(content)
    return page
