"""An article's page, read once: the tree, its metadata, and on demand a small BeautifulSoup for an adapter."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any, cast

import lxml.html
from bs4 import BeautifulSoup
from lxml import etree

from monitor.errors import ParseError
from monitor.identity import host_of
from monitor.parse.charset import decode
from monitor.parse.plain import clean, unescape

MAX_PAGE = 4_000_000  # characters of markup; the rest is cut
MAX_ELEMENTS = 15_000  # in what heavy tools are given
MAX_SOUP = 5_000  # elements in a BeautifulSoup
_MAX_ATTRIBUTES = 1_000  # in one tag; libxml2 takes quadratic time over them (200,000: more than a minute)
_MAX_VALUES = 500  # of one name

_SCRIPT = r"<script\b[^>]*+>(?:(?!</script)[\s\S])*+"
_ATTRIBUTE = r"""[^\s/>=][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"?+|'[^']*+'?+|[^\s>"'][^\s>]*+)?+)?+"""
_TAG = re.compile(rf"<[A-Za-z][^\s/>]*+(?:[\s/=]++|{_ATTRIBUTE})*+")
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_CDATA = re.compile(r"^\s*(?://|/\*)?\s*<!\[CDATA\[(?:\s*\*/)?|(?://|/\*)?\s*\]\]>(?:\s*\*/)?\s*$|^\s*<!--|-->\s*$")

_NO_TEXT = ("script", "style", "svg", "noscript", "template", "iframe", "object", "embed", "canvas", "map", "video",
            "audio", "input", "select", "textarea", "link", "meta")  # fmt: skip
_WITHOUT_SCRIPT = ("noscript", "template")
_FURNITURE = ("nav", "footer", "aside", "dialog", "menu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """What an adapter found on its publisher's page; what it leaves empty, the page's metadata fills.

    `body` is text, paragraphs separated by a blank line, without furniture. `doi` names the paper that is reported.
    """

    title: str = ""
    published: datetime | None = None
    authors: tuple[str, ...] | None = None  # () says: nobody is named, whatever the metadata claims
    byline: str = ""
    summary: str = ""
    body: str = ""
    category: str = ""
    doi: str = ""
    journal: str = ""
    provider: str = ""
    citation: str = ""
    copyright: str = ""


class Page:
    """`tree` as libxml2 mended it, `json_ld` every object in its JSON-LD, nested ones too, `meta` by small name."""

    def __init__(self, url: str, tree: etree._Element, text: str) -> None:
        self.url = url
        self.host = host_of(url)
        self.tree = tree
        self.text = text

    @cached_property
    def json_ld(self) -> tuple[dict[str, Any], ...]:
        return tuple(_json_ld(self.tree))

    @cached_property
    def meta(self) -> dict[str, list[str]]:
        return _meta(self.tree)

    @cached_property
    def soup(self) -> BeautifulSoup:
        """The page's `main` (or `article`, or `body`) without scripts, navigation, sidebars and forms' controls.

        Always the lxml builder: html.parser loses the print block of Science X pages (unclosed and stray tags).
        """
        return self.soup_of(self._main())

    @cached_property
    def pruned(self) -> etree._Element:
        """A copy of the page's `body` without what holds no text: what the general extraction is given."""
        return pruned(self._body(), _NO_TEXT)

    @cached_property
    def unscripted(self) -> etree._Element | None:
        """`pruned` as a reader without script has it, and with templates filled in; None where that is no other."""
        if next(self._body().iter(*_WITHOUT_SCRIPT), None) is None:
            return None
        kept = pruned(self._body(), tuple(tag for tag in _NO_TEXT if tag not in _WITHOUT_SCRIPT))
        etree.strip_tags(kept, *_WITHOUT_SCRIPT)
        return kept

    def soup_of(self, element: etree._Element) -> BeautifulSoup:
        """A BeautifulSoup of one element, pruned like `soup`. Raises ValueError for more than 5,000 elements."""
        kept = pruned(element, _NO_TEXT + _FURNITURE)
        if is_heavy(kept, MAX_SOUP):
            raise ValueError(f"more than {MAX_SOUP} elements")  # a selector costs about 15 µs for each
        return BeautifulSoup(etree.tostring(kept, encoding="unicode", method="html"), "lxml")

    def first(self, path: str) -> etree._Element | None:
        """The first element that an XPath expression finds."""
        return next(iter(self.all(path)), None)

    def all(self, path: str) -> list[etree._Element]:
        """The elements that an XPath expression finds."""
        return cast("list[etree._Element]", self.tree.xpath(path))

    def text_of(self, path: str) -> str:
        """The text of the first element that an XPath expression finds, as one line."""
        element = self.first(path)
        return "" if element is None else inner_text(element)

    def _body(self) -> etree._Element:
        body = self.tree.find("body")
        return self.tree if body is None else body

    def _main(self) -> etree._Element:
        paths = ("//main", "//*[@role='main']", "//article", "//body")
        return next((element for path in paths if (element := self.first(path)) is not None), self.tree)


def read_page(body: bytes, *, url: str, content_type: str = "") -> Page:
    """Raises ParseError for what is no HTML."""
    if not body.strip(b"\x00 \t\r\n"):
        raise ParseError(url, "empty")
    if body[:5] == b"%PDF-":
        raise ParseError(url, "a PDF file where an HTML page was expected")
    text = decode(body, content_type)[:MAX_PAGE].replace("\x00", "")
    if "<" not in text:
        raise ParseError(url, "no HTML page")
    text = _without_attribute_floods(text)
    parser = lxml.html.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=False, collect_ids=False
    )
    try:
        tree = lxml.html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError, AssertionError) as error:  # lxml asserts on documents without any element
        raise ParseError(url, "no readable HTML page") from error
    return Page(url, tree, text)


def inner_text(element: etree._Element) -> str:
    """All text in an element as one line."""
    return clean("".join(cast("Iterator[str]", element.itertext())))


def pruned(element: etree._Element, tags: tuple[str, ...]) -> etree._Element:
    """A copy of an element without the elements of these names; the text behind them stays."""
    kept = copy.deepcopy(element)
    kept.tail = None
    etree.strip_elements(kept, *tags, with_tail=False)
    return kept


def is_heavy(tree: etree._Element, limit: int = MAX_ELEMENTS) -> bool:
    """More elements than tools may be given whose time is not linear."""
    return next(islice(tree.iter(), limit, None), None) is not None


def _without_attribute_floods(text: str) -> str:
    """Tags with more attributes than any page needs, without them."""

    def bounded(found: re.Match[str]) -> str:
        tag = found.group()
        if len(tag) < 10_000 or len(_ATTRIBUTES.findall(tag)) <= _MAX_ATTRIBUTES:
            return tag
        return tag.split(None, 1)[0]

    return _TAG.sub(bounded, text)


def _json_ld(tree: etree._Element) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = []
    for script in tree.iter("script"):
        if "ld+json" not in (script.get("type") or "").lower():
            continue
        try:
            document = json.loads(_CDATA.sub("", script.text or ""), strict=False)
        except (ValueError, RecursionError):
            continue
        objects += _objects(document)
    return objects[:_MAX_VALUES]


def _objects(document: Any) -> list[dict[str, Any]]:
    """Every object in document order, outer before inner; without recursion, for depth is the page's choice."""
    found: list[dict[str, Any]] = []
    todo = [document]
    while todo and len(found) < _MAX_VALUES:
        value = todo.pop()
        if isinstance(value, dict):
            found.append(value)
            todo += reversed(list(value.values()))
        elif isinstance(value, list):
            todo += reversed(value)
    return found


def _meta(tree: etree._Element) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for element in tree.iter("meta"):
        name = element.get("property") or element.get("name") or element.get("itemprop") or ""
        content = clean(unescape(element.get("content") or ""))
        if name and content:
            found = values.setdefault(name.strip().lower(), [])
            if len(found) < _MAX_VALUES:
                found.append(content)
    return values
