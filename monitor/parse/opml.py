"""OPML, the usual form of a list of feeds: read with all its nesting, written so that others read it.

What is no feed (a saved search, a list page) carries its kind and options in attributes of our own namespace, and each
source whether it is on, how often it is read, and its weight.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from lxml import etree

from monitor.errors import ParseError
from monitor.identity import url_key
from monitor.model import Source, SourceKind
from monitor.parse.charset import decode
from monitor.parse.entry import resolved
from monitor.parse.plain import MAX_LINE, clean

MAX_OUTLINES = 10_000
OURS = "urn:medical-news-monitor"
_DECIMAL = re.compile(r"\d{1,3}(?:\.\d{1,6})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One source of the list. `folder` names the outlines around it, outermost first."""

    url: str
    name: str
    folder: tuple[str, ...] = ()
    kind: SourceKind = SourceKind.FEED
    options: tuple[tuple[str, str], ...] = ()
    active: bool = True
    pages: bool | None = None
    minutes: int = 0  # 0: not said
    weight: float = 1.0


def read_opml(body: bytes, *, url: str) -> tuple[Outline, ...]:
    """Every outline with an address, each address once. No DTD, no entity, no network. Raises ParseError."""
    text = decode(body).lstrip("\ufeff \t\r\n")
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True,
        recover=False,
    )  # fmt: skip
    data = (text.partition("?>")[2].lstrip() if text.startswith("<?xml") else text).encode("utf-8", "replace")
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ParseError(url, f"not well formed XML: {error.msg}") from error
    if not isinstance(root.tag, str) or root.tag.lower() != "opml":
        raise ParseError(url, f"an XML document <{root.tag}> where an OPML list was expected")
    found: dict[tuple[str, object], Outline] = {}
    for element in root.iter("outline", "Outline"):
        outline = _outline(element, url)
        if outline is not None and len(found) < MAX_OUTLINES:
            found.setdefault((url_key(outline.url), outline.options), outline)
    return tuple(found.values())


def _outline(element: etree._Element, base: str) -> Outline | None:
    said = {str(name).lower(): str(value) for name, value in element.attrib.items()}
    place = resolved(said.get("xmlurl", ""), base)
    if not place:
        return None
    around = [_name(parent) for parent in element.iterancestors("outline", "Outline")]
    kind = said.get(f"{{{OURS}}}kind", SourceKind.FEED)
    return Outline(
        url=place,
        name=_name(element) or place,
        folder=tuple(name for name in reversed(around) if name),
        kind=SourceKind(kind) if kind in set(SourceKind) else SourceKind.FEED,
        options=_options(said.get(f"{{{OURS}}}options", "")),
        active=said.get(f"{{{OURS}}}active") != "no",
        pages={"yes": True, "no": False}.get(said.get(f"{{{OURS}}}pages", "")),
        minutes=_minutes(said.get(f"{{{OURS}}}minutes", "")),
        weight=_weight(said.get(f"{{{OURS}}}weight", "")),
    )


def _minutes(text: str) -> int:
    return min(int(text), 525_600) if text.isascii() and text.isdigit() and len(text) < 8 else 0


def _weight(text: str) -> float:
    return min(max(float(text), 0.1), 10.0) if _DECIMAL.fullmatch(text) else 1.0


def _name(element: etree._Element) -> str:
    said = {str(name).lower(): str(value) for name, value in element.attrib.items()}
    return clean(said.get("title") or said.get("text") or "")[:MAX_LINE]


def _options(text: str) -> tuple[tuple[str, str], ...]:
    try:
        options = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return ()
    return tuple((str(k), v) for k, v in options.items() if isinstance(v, str)) if isinstance(options, dict) else ()


def _ours(source: Source) -> dict[str, str]:
    """What other readers know nothing of, so that a list comes back as it went."""
    return {
        **({} if source.active else {"active": "no"}),
        "pages": "yes" if source.pages else "no",
        "minutes": str(round(source.interval.total_seconds() / 60)),
        **({} if source.weight == 1 else {"weight": f"{source.weight:g}"}),
    }


def write_opml(sources: Iterable[Source], *, title: str, now: datetime) -> bytes:
    """An OPML 2.0 document."""
    root = etree.Element("opml", {"version": "2.0"}, nsmap={"monitor": OURS})
    head = etree.SubElement(root, "head")
    etree.SubElement(head, "title").text = title
    etree.SubElement(head, "dateCreated").text = format_datetime(now)
    body = etree.SubElement(root, "body")
    for source in sources:
        outline = etree.SubElement(body, "outline", {"type": "rss", "text": source.name, "title": source.name})
        outline.set("xmlUrl", source.url)
        if source.kind is not SourceKind.FEED:
            outline.set("type", "link")
            outline.set(f"{{{OURS}}}kind", source.kind.value)
        for name, value in _ours(source).items():
            outline.set(f"{{{OURS}}}{name}", value)
        if source.options:
            outline.set(f"{{{OURS}}}options", json.dumps(dict(source.options), ensure_ascii=False))
    return etree.tostring(root, encoding="utf-8", xml_declaration=True, pretty_print=True)
