"""A page's text block by block, and the part of the page that holds the article: by structure, no site's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

from lxml import etree

from monitor.parse.plain import clean, join_paragraphs

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_PROSE = 25  # characters: what is shorter is a name, a date, a button
_SENTENCE, _LONGEST_LEAD = 50, 600  # characters
_SHARE = 0.7  # of the prose that a part must hold to be the article without its siblings
_SAME_KIND = 0.12  # as much prose beside it in siblings of its kind: the article is cut into sections
_BLOCKS = frozenset(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
     "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "li", "main", "nav", "ol", "p", "pre",
     "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", *HEADINGS)
)  # fmt: skip
_LEADS = frozenset(("p", "div", "section", "header", "h2", "h3"))
_NO_PARTS = frozenset(("p", "pre", "blockquote", "ul", "ol", "dl", "li", "table", "tbody", "tr", "td"))
_IN_LISTS = frozenset(("li", "dt", "dd", "tr", "td", "th", "caption"))
_LAYOUT = ("table", "h1", "h2", "h3", "h4", "ul", "ol")  # a table's row that holds these lays out the page
_ENDS = (".", "!", "?", "…", "”", '"')


@dataclass(frozen=True, slots=True)
class Block:
    """A run of text. `element` is the innermost block around it, `linked` counts its characters inside of links."""

    element: etree._Element
    text: str
    linked: int

    @property
    def is_heading(self) -> bool:
        return self.element.tag in HEADINGS

    @property
    def is_linked(self) -> bool:
        return self.linked * 2 > len(self.text)

    @property
    def is_prose(self) -> bool:
        return len(self.text) >= _PROSE and not self.is_linked and not self.is_heading


def blocks(tree: etree._Element) -> list[Block]:
    """The text of a tree in its order, each piece once; a table's row is one block. Linear."""
    walk = _Walk(tree)
    for event, element in etree.iterwalk(tree, events=("start", "end"), tag="*"):
        if event == "start":
            walk.enter(element)
        else:
            walk.leave(element)
    return walk.found


def main_part(tree: etree._Element, found: Sequence[Block]) -> etree._Element:
    """The innermost element that holds nearly all prose: from the top, into the child that has most of it.

    Not into one of several siblings of the same kind (an article may be cut into sections), nor away from an abstract,
    which is short but says most. The top is what the page
    itself calls its main part, or its article, where at least half of the prose stands there.
    """
    prose = _prose_in(tree, found)
    part = _marked(tree, prose)
    while True:
        heaviest = max((child for child in part if child in prose), key=prose.__getitem__, default=None)
        if heaviest is None or heaviest.tag in _NO_PARTS or prose[heaviest] < _SHARE * prose[part]:
            return part
        beside = [child for child in part if child is not heaviest and child in prose]
        alike = sum(prose[child] for child in beside if _kind(child) == _kind(heaviest))
        if alike > _SAME_KIND * prose[heaviest] or any(map(_holds_abstract, beside)):
            return part
        part = heaviest


def _prose_in(tree: etree._Element, found: Sequence[Block]) -> dict[etree._Element, int]:
    """Characters of prose in each element that holds any. Linear, however deep it stands."""
    prose: dict[etree._Element, int] = {}
    for block in found:
        if block.is_prose:
            prose[block.element] = prose.get(block.element, 0) + len(block.text)
    for element in reversed(list(tree.iter("*"))):  # each after all that it holds
        parent = element.getparent()
        if parent is not None and element in prose:
            prose[parent] = prose.get(parent, 0) + prose[element]
    return prose


def _marked(tree: etree._Element, prose: dict[etree._Element, int]) -> etree._Element:
    marked = tree
    for path in ("descendant::*[self::main or @role='main']", "descendant::article"):
        for element in cast("list[etree._Element]", marked.xpath(path)):
            if prose.get(element, 0) * 2 >= prose.get(tree, 1):
                marked = element
                break
    return marked


def _holds_abstract(element: etree._Element) -> bool:
    return any("abstract" in f"{at.get('id')} {at.get('class')}".lower() for at in element.iter("*"))


def reading(found: Sequence[Block], part: etree._Element) -> str:
    """What stands in a part of the page: headings that something follows, paragraphs, list items and tables' rows.

    The page's first h1 is not among them: it is the title, or the site's name.
    """
    inside = set(part.iter())
    headline = next((block.element for block in found if block.element.tag == "h1"), None)
    lines: list[str] = []
    waiting: list[Block] = []  # headings without text so far
    for block in found:
        if block.element not in inside:
            continue
        if block.is_heading:
            waiting = [above for above in waiting if str(above.element.tag) < str(block.element.tag)]
            waiting.append(block)
        elif _is_kept(block):
            lines += [heading.text for heading in waiting if heading.element is not headline]
            lines.append(block.text)
            waiting = []
    return join_paragraphs(lines)


def standfirst(found: Sequence[Block], part: etree._Element) -> str:
    """The first paragraph between the headline and the part that begins below it, if it is no line of names."""
    inside = set(part.iter())
    below_headline = False
    for block in found:
        if block.element in inside:
            break
        if block.element.tag == "h1":
            below_headline = True
        elif below_headline and len(block.text) >= _SENTENCE and block.element.tag in _LEADS and not block.is_linked:
            return "" if len(block.text) > _LONGEST_LEAD or _names_people(block.text) else block.text
    return ""


def _names_people(line: str) -> bool:
    """More than a third of its words begin with a capital letter."""
    words = line.split()
    return 3 * sum(word[0].isupper() for word in words) > len(words)


def _is_kept(block: Block) -> bool:
    if block.is_linked or block.element.tag == "figcaption":
        return False
    return len(block.text) >= _PROSE or block.element.tag in _IN_LISTS or block.text.endswith(_ENDS)


def _kind(element: etree._Element) -> tuple[str, str]:
    return str(element.tag), (element.get("class") or " ").split(" ")[0]


class _Walk:
    """The state of one walk: what is open, and the text since the last border of a block."""

    def __init__(self, tree: etree._Element) -> None:
        self.found: list[Block] = []
        self._tree = tree
        self._open: list[etree._Element] = [tree]
        self._pieces: list[str] = []
        self._links = self._linked = 0
        self._row: etree._Element | None = None  # the table's row that is being read as one block

    def enter(self, element: etree._Element) -> None:
        if element.tag == "a":
            self._links += 1
        elif element.tag == "br":
            self._line_break(element)
        elif element.tag in _BLOCKS and self._row is not None:
            self._pieces.append(" | " if element.tag in ("td", "th") else " ")
        elif element.tag in _BLOCKS:
            self._finish()
            self._open.append(element)
            self._row = element if element.tag == "tr" and not _lays_out(element) else None
        self._add(element.text)

    def leave(self, element: etree._Element) -> None:
        if element.tag == "a":
            self._links -= 1
        if self._row is element:
            self._row = None
        if element.tag in _BLOCKS and self._row is None:
            self._finish()
            self._open.pop()
        if element is not self._tree:
            self._add(element.tail)

    def _line_break(self, element: etree._Element) -> None:
        """Two in a row part paragraphs, as in <p>."""
        after = element.getnext()
        if after is not None and after.tag == "br" and not (element.tail or "").strip() and self._row is None:
            self._finish()
        self._pieces.append(" ")

    def _add(self, text: str | None) -> None:
        if text:
            self._pieces.append(text)
            self._linked += len(text.strip()) if self._links else 0

    def _finish(self) -> None:
        if not self._pieces:
            return
        if text := clean("".join(self._pieces)).strip(" |"):
            self.found.append(Block(self._open[-1], text, self._linked))
        self._pieces.clear()
        self._linked = 0


def _lays_out(row: etree._Element) -> bool:
    """Old pages stand in tables: such a row's cells are parts of the page, not values."""
    more_paragraphs = next(islice(row.iter("p"), 2 * len(row), None), None)
    return more_paragraphs is not None or next(row.iter(*_LAYOUT), None) is not None
