"""What stands around an article on every site: navigation, dialogs, readers' comments, boxes and empty phrases."""

from __future__ import annotations

import re
from typing import cast

from lxml import etree
from lxml.html import HtmlElement

from monitor.parse.blocks import HEADINGS
from monitor.parse.page import inner_text, pruned
from monitor.parse.plain import join_paragraphs

_MAX_BOXES, _MAX_LEVELS = 30, 8
_LONG = 120  # characters: more than a line of furniture, and no heading
_BOX_SHARE, _WORKS_SHARE = 4, 2  # a box holds at most a quarter of the page's text, a list of references a half
_MANY_WORKS = 6  # a paper's list of references; a shorter one may name the paper that a press release reports
_ARTICLES = ("main", "article", "h1")
_TAGS = frozenset(("nav", "footer", "button", "dialog", "menu", "label", "legend"))
_ROLES = frozenset(("navigation", "contentinfo", "banner", "dialog", "alertdialog", "search", "menu", "complementary"))
_NAMES = ("omment", "disqus", "respond")  # in what holds readers' comments; which of them do, _COMMENTS says
_CANDIDATES = etree.XPath(
    f"descendant::*[self::aside or {' or '.join(f'self::{tag}' for tag in sorted(_TAGS))} or @role or "
    + " or ".join(f"contains(@id, '{name}') or contains(@class, '{name}')" for name in _NAMES)
    + "]"
)
_COMMENTS = re.compile(
    r"(?:(?:post|article|entry|user|reader|page|js|block)[-_]?)?comments?"
    r"(?:[-_]?(?:list|listing|area|section|threads?|container|wrap|wrapper|block|box|form|body|tree|stream|feed))?$"
    r"|disqus_thread$|respond$",
    re.IGNORECASE,
)
_KINDS = r"(?:articles?|stor(?:y|ies)|posts?|news|content|topics?|read(?:ing|s)|links|videos?|blogs?|coverage|pages)"
_BOX = re.compile(
    rf"(?:related|recommended|recent|latest|popular|trending|featured|similar|more)(?: \w+)? {_KINDS}$"
    r"|(?:related|recommended(?: for you)?|most (?:popular|read|viewed)|trending)$"
    r"|more (?:from\b|(?:on|in|like) this\b).{1,40}$|you (?:may|might|will) also (?:like|enjoy|be interested).{0,20}$"
    r"|(?:read|explore|see|up|keep) (?:more|next|reading)$|explore (?:further|more .{1,40})$"
    r"|about the (?:authors?|reviewers?|writers?)$|featured in this article$|follow us.{0,40}$"
    r"|(?:[\w-]+ ){0,3}(?:newsletters?|sign[ -]?up)$|(?:subscribe|sign[ -]?up) (?:to|for) (?:our|the|free)\b.{0,60}$"
    r"|stay (?:connected|informed|up[ -]to[ -]date|in the know).{0,60}$|get (?:the|our) latest.{0,60}$"
    r"|(?:leave|post) (?:a|your) (?:reply|comment)$|comments$|\d+ comments?$|was this \w+ (?:helpful|useful)$",
    re.IGNORECASE,
)
_WORKS = re.compile(
    r"(?:\d+\.? )?(?:references?|bibliography|literature|works cited|(?:literature|references) cited)"
    r"(?: and notes| list)?$",
    re.IGNORECASE,
)
_LINE = re.compile(
    r"(?:advertis(?:ement|ing)|sponsored content|log ?in|sign in|subscribe(?: now| today)?|share(?: this.*)?"
    r"|register|print|email|save|comments|read more|(?:related|recommended)(?: articles| stories| for you)?"
    r"|skip to .*|back to top|cookie settings|alternate versions|most popular|follow us.*|contact us"
    r"|all rights reserved\.?)\W*$"
    r"|sign[ -]?up (?:for|to)\b|subscribe to\b|(?:join|get) our newsletter\b|this article is exclusive to\b"
    r"|already (?:a subscriber|a member|have an account)|(?:©|\(c\)|copyright) ?(?:19|20)\d\d\b",
    re.IGNORECASE,
)


def without_furniture(tree: etree._Element, *, comments: bool = False) -> etree._Element:
    """A copy of the tree without what is no article by its element, role or heading; with readers' comments on demand.

    Never without what holds the article: where a tag was left open, all that follows stands in it.
    """
    kept = pruned(tree, ())
    for element in cast("list[etree._Element]", _CANDIDATES(kept)):
        parent = element.getparent()
        if element.tag == "button" and parent is not None and parent.tag in HEADINGS:
            element.tag = "span"  # a question that unfolds its answer
        elif element.tag in _TAGS or element.get("role") in _ROLES or _is_box_of_links(element):
            drop(element, unless=_ARTICLES)
        elif not comments and _holds_comments(element):
            drop(element, unless=("main", "h1"))
    _drop_boxes(kept)
    return kept


def without_lines(text: str) -> str:
    """Paragraphs without those that stand between them on every site and say nothing, and each long one once.

    What is there twice is there for wide and for narrow screens.
    """
    kept: list[str] = []
    seen: set[str] = set()
    for line in text.split("\n\n"):
        if len(line) <= _LONG and not _LINE.match(line.strip("-•* |")):
            kept.append(line)
        elif len(line) > _LONG and line not in seen:
            kept.append(line)
            seen.add(line)
    return join_paragraphs(kept)


def drop(element: etree._Element, unless: tuple[str, ...] = ()) -> None:
    if element.getparent() is not None and not (unless and _holds(element, unless)):
        try:
            cast("HtmlElement", element).drop_tree()  # keeps the text behind it
        except ValueError:  # control characters in that text: lxml reads them but will not write them
            element.clear(keep_tail=True)  # type: ignore[call-arg]  # which the stubs do not know
            element.tag = "span"


def _holds(element: etree._Element, tags: tuple[str, ...]) -> bool:
    return next(element.iter(*tags), None) is not None


def _is_box_of_links(element: etree._Element) -> bool:
    """A third of its text in links: no box of text."""
    if element.tag != "aside" or next(element.iterancestors("aside"), None) is not None:
        return False
    return 3 * sum(len(inner_text(link)) for link in element.iter("a")) >= len(inner_text(element))


def _holds_comments(element: etree._Element) -> bool:
    names = f"{element.get('id') or ''} {element.get('class') or ''}".split()
    return any(_COMMENTS.match(name) for name in names[:20])


def _drop_boxes(tree: etree._Element) -> None:
    """What stands under "Related articles", "About the author", "Newsletter" …, with the heading.

    That is the element which begins with the heading; or, where paragraphs of the article stand beside it, what
    follows to their end. Never a large part of the page.
    """
    size = len(inner_text(tree))
    headings = [(element, inner_text(element).rstrip(":?!. …")) for element in tree.iter(*HEADINGS[1:])]
    boxes = [(element, size // _BOX_SHARE, 0) for element, line in headings if _BOX.match(line)]
    boxes += [(element, size // _WORKS_SHARE, _MANY_WORKS) for element, line in headings if _WORKS.match(line)]
    for heading, most, items in reversed(boxes[-_MAX_BOXES:]):
        box = _box_of(heading, most)
        parts = [box] if box is not heading else [heading, *heading.itersiblings()]
        is_last = box is not heading or not any(_holds(element, HEADINGS) for element in parts[1:])
        is_long = sum(1 for element in parts for _ in element.iter("li", "p")) >= items
        if is_last and is_long and sum(len(inner_text(element)) for element in parts) <= most:
            for element in parts:
                drop(element)


def _box_of(heading: etree._Element, most: int) -> etree._Element:
    """The outermost element that begins with this heading and is no large part of the page; else the heading."""
    box = heading
    for _ in range(_MAX_LEVELS):
        above = box.getparent()
        if above is None or above.getparent() is None or _begins_before(above, box) or _holds(above, _ARTICLES):
            break
        if len(inner_text(above)) > most:
            break
        box = above
    return box


def _begins_before(above: etree._Element, box: etree._Element) -> bool:
    """Is there text in an element before this child?"""
    before = (f"{inner_text(other)}{other.tail or ''}" for other in box.itersiblings(preceding=True))
    return bool((above.text or "").strip()) or any(text.strip() for text in before)
