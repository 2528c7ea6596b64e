"""Mends XML that is nearly well formed. Every step is one linear pass; nothing is guessed about its structure."""

from __future__ import annotations

import re
from html.entities import html5

from monitor.parse.tags import KNOWN_PREFIXES

_ROOT = re.compile(r"<(rss|feed|rdf:RDF|RDF|channel|atom:feed)(?=[\s>/])", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_AMPERSAND = re.compile(r"&(?:#([0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});|([A-Za-z][A-Za-z0-9]{0,31});)?")
_BARE_LESS = re.compile(r"<(?![A-Za-z_/!?])")
_PREFIX = re.compile(r"</?([A-Za-z_][\w.-]{0,60}):")
_ATTRIBUTE_PREFIX = re.compile(r"\s([A-Za-z_][\w.-]{0,60}):[A-Za-z_][\w.-]{0,60}\s?=")
_DECLARED = re.compile(r"xmlns:([A-Za-z_][\w.-]{0,60})\s?=")
_XML_OWN = frozenset({"amp", "lt", "gt", "quot", "apos"})
_MAX_PREFIXES = 100


def repaired_xml(text: str) -> str:
    """The feed without what is before and after it, its entities and prefixes resolvable; empty if there is no feed.

    Entities and a DTD that a document declares for itself are dropped with everything before the root.
    """
    root = _ROOT.search(text)
    if root is None:
        return ""
    text = _CONTROLS.sub("", text[root.start() : _end(text, root.group(1))])
    text = "".join(_outside_cdata(text))
    return _with_prefixes(text, root.group(1))


def _end(text: str, root: str) -> int:
    closing = f"</{root}"
    start = text.rfind(closing)
    end = text.find(">", start) if start >= 0 else -1
    return end + 1 if end >= 0 else len(text)


def _outside_cdata(text: str) -> list[str]:
    first, *sections = text.split("<![CDATA[")
    pieces = [_mended(first)]
    for section in sections:
        inside, closed, behind = section.partition("]]>")
        pieces += ["<![CDATA[", inside, closed, _mended(behind)]
    return pieces


def _mended(text: str) -> str:
    return _BARE_LESS.sub("&lt;", _AMPERSAND.sub(_reference, text))


def _reference(found: re.Match[str]) -> str:
    number, name = found.groups()
    if number:
        code = int(number[1:], 16) if number[0] in "xX" else int(number)
        legal = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
        return found.group() if legal else ""
    if name:
        if name in _XML_OWN:
            return found.group()
        return html5.get(f"{name};") or f"&amp;{name};"
    return "&amp;"


def _with_prefixes(text: str, root: str) -> str:
    """Declare at the root every prefix that is used and never declared."""
    used = dict.fromkeys(_PREFIX.findall(text)) | dict.fromkeys(_ATTRIBUTE_PREFIX.findall(text))
    missing = used.keys() - {"xml", "xmlns", *_DECLARED.findall(text)}
    start = text.find(root) + len(root)
    spaces = "".join(
        f' xmlns:{name}="{KNOWN_PREFIXES.get(name.lower(), f"urn:{name}")}"' for name in sorted(missing)[:_MAX_PREFIXES]
    )
    return text[:start] + spaces + text[start:]
