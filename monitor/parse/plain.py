"""Markup to plain text, in linear time whatever it holds; what comes out can go into any database and any mail.

Not a sanitizer: what looks like a tag in the *result* is text ("p < 0.05"), and whoever shows it escapes it.
"""

from __future__ import annotations

import html
import re

MAX_TEXT = 256 * 1024  # characters of one article's text; the rest is cut
MAX_LINE = 2_000  # of a title, a name, a category

_INLINE = frozenset(
    [
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "mark",
        "nobr",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
    ]
)
# The common tags are taken out at the regex engine's speed; no backtracking: what is between < and > is read once.
_COMMON_INLINE = re.compile(
    r"</?(?:a|abbr|b|cite|code|em|font|i|q|small|span|strong|sub|sup|u)(?:\s[^<>]*+)?+>", re.IGNORECASE
)
_COMMON_BLOCK = re.compile(
    r"</?(?:blockquote|div|figure|figcaption|h[1-6]|hr|li|ol|p|pre|tr|ul)(?:\s[^<>]*+)?+>", re.IGNORECASE
)
_DROPPED = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "object"})
_TAG_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9:-]*)")
_LEFTOVER = re.compile(r"</?(?:i|b|em|strong|sub|sup|span|p|br|u|div|a)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9A-Fa-f]{8,};?")
# NUL and C0 (PostgreSQL refuses NUL), C1, lone surrogates (UTF-8 refuses them), non-characters.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_PARAGRAPH = "\x1d"


def clean(text: str) -> str:
    """One line: no control characters, single blanks."""
    if not text.isprintable():
        text = _UNPRINTABLE.sub(" ", text)
    elif "  " not in text:
        return text.strip(" ")  # the blank is the only space that is printable
    return " ".join(text.split())


def plain_line(markup: str, limit: int = MAX_TEXT) -> str:
    """The text of an HTML fragment as one line."""
    if "<" not in markup and "&" not in markup:
        return clean(markup[:limit])
    return clean(_unescaped(_without_tags(markup[: 4 * limit])).replace(_PARAGRAPH, " "))[:limit].rstrip()


def plain_paragraphs(markup: str, limit: int = MAX_TEXT) -> str:
    """The text of an HTML fragment, a blank line between its paragraphs."""
    if "<" not in markup and "&" not in markup:
        return join_paragraphs(re.split(r"\n\s*\n", markup[:limit]), limit)
    return join_paragraphs(_unescaped(_without_tags(markup[: 4 * limit])).split(_PARAGRAPH), limit)


def join_paragraphs(paragraphs: list[str], limit: int = MAX_TEXT) -> str:
    """Paragraphs cleaned, empty ones dropped, a blank line between them, cut at `limit` characters."""
    return "\n\n".join(line for line in map(clean, paragraphs) if line)[:limit].rstrip()


def unescape(text: str) -> str:
    """`html.unescape` that survives character references of thousands of digits (int() refuses those)."""
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text


def _unescaped(text: str) -> str:
    """Entities to characters; tags that only now appear (escaped twice) go where they are common ones."""
    text = unescape(text)
    return _LEFTOVER.sub("", text) if "<" in text else text


def _without_tags(markup: str) -> str:
    """Text between tags; block tags leave a paragraph mark, comments and scripts nothing. One pass, no backtracking."""
    markup = _COMMON_BLOCK.sub(_PARAGRAPH, _COMMON_INLINE.sub("", markup))
    if "<" not in markup:
        return markup
    first, *pieces = markup.split("<")
    out = [first]
    in_tag = in_comment = False
    skipped = ""  # the element whose content is being left out
    for piece in pieces:
        if in_comment:
            ended, _, rest = piece.partition("-->")
            in_comment = len(ended) == len(piece)
            out.append(rest)
            continue
        if in_tag:  # an attribute's value held a "<"
            _, closed, rest = piece.partition(">")
            in_tag = not closed
            out.append("" if skipped else rest)
            continue
        name = _TAG_NAME.match(piece)
        if piece.startswith("!--"):
            ended, closed, rest = piece[3:].partition("-->")
            in_comment = not closed
        elif name or piece[:1] in ("!", "?"):
            _, closed, rest = piece.partition(">")
            in_tag = not closed
        else:
            out.append("" if skipped else f"<{piece}")
            continue
        tag = name.group(1).lower() if name else ""
        if skipped:
            if not (piece.startswith("/") and tag == skipped):
                continue
            skipped = ""
        elif tag in _DROPPED and not piece.startswith("/") and not piece.partition(">")[0].endswith("/"):
            skipped = tag
            continue
        if tag and tag.rpartition(":")[2] not in _INLINE:
            out.append(_PARAGRAPH if tag not in ("br", "td", "th", "img") else " ")
        out.append(rest)
    return "".join(out)
