"""One article under one topic -> its four forms (full and compact, HTML and text), made once for all readers.

What differs between readers (its number, the two feedback addresses) is a slot between NUL characters, which no outside
text can hold after `tidy`; `Form.filled` puts the reader's own in.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from monitor.digest.excerpt import Snippet, snippet, tidy
from monitor.digest.links import Links
from monitor.digest.templates import HTML, TEXT
from monitor.digest.wording import day
from monitor.model import Article, DigestItem

NUMBER, RELEVANT, NOT_RELEVANT = "\x00N\x00", "\x00R\x00", "\x00X\x00"
TITLE_CHARS = 300
AUTHORS = 3
COVERED = 2
MAX_URL = 1000
COLUMNS = 72
INDENT = "    "
_SLOT = re.compile("\x00([NRX])\x00")
_DOI = re.compile(r"10\.\d{4,9}/\S{1,200}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_EMPHASIS = re.compile(r"\*([^*]+)\*")


@dataclass(frozen=True, slots=True)
class Form:
    """One card in one size, as patterns with %(N)s, %(R)s and %(X)s in the places of what differs between readers."""

    html: str
    text: str
    size: int  # bytes of the HTML before it is filled

    def filled(self, number: int, relevant: str, not_relevant: str) -> tuple[str, str]:
        """(HTML, text) with this reader's number and feedback addresses."""
        html = self.html % {"N": number, "R": relevant, "X": not_relevant}  # our own addresses need no escape
        return html, self.text % {"N": f"{number:>2}.", "R": relevant, "X": not_relevant}


@dataclass(frozen=True, slots=True)
class Card:
    full: Form
    compact: Form

    def form(self, *, full: bool) -> Form:
        return self.full if full else self.compact


_memory: dict[tuple[object, ...], Card] = {}
MAX_REMEMBERED = 1024


def card(item: DigestItem, links: Links) -> Card:
    """The card of `item`, from memory where another reader had the same.

    A match's spans are not part of the key: its article and its topic's revision decide them.
    """
    key = (
        item.article,
        item.match.topic_id,
        item.match.revision_id,
        item.reasons,
        item.also_in,
        item.badges,
        item.source_name,
        item.also_covered,
        item.update,
        item.number > 0,
        links,
    )
    known = _memory.get(key)
    if known is None:
        if len(_memory) >= MAX_REMEMBERED:
            _memory.clear()
        known = _memory[key] = _made(item, links)
    return known


def _made(item: DigestItem, links: Links) -> Card:
    values = values_of(item, links)
    return Card(full=_form("card", values), compact=_form("row", values))


def values_of(item: DigestItem, links: Links) -> dict[str, object]:
    """What the templates of a card are given, all of it clean; what differs between readers as slots."""
    article = item.article
    web = links.web and article.id > 0
    numbered = item.number > 0
    return {
        "number": NUMBER if numbered else "",
        "title": tidy(article.title, TITLE_CHARS) or "(untitled)",
        "url": web_address(article.canonical_url) or web_address(article.url),
        "badges": [(tidy(badge.text, 40), tidy(badge.quote, 240)) for badge in item.badges],
        "update": tidy(item.update, 160),
        "also_covered": _covered(item.also_covered),
        "places": _places(article, item.source_name),
        "language": _foreign(article.language),
        "date": day(article.published) if article.published else "",
        "authors": authors_line(article.authors),
        "snippet": snippet(article, item.match),
        "reasons": [emphasis(reason) for reason in item.reasons],
        "also_in": [tidy(name, 80) for name in item.also_in],
        "citation": tidy(article.citation, 400),
        "doi": doi_address(article.doi),
        "pubmed": f"https://pubmed.ncbi.nlm.nih.gov/{article.pmid}/" if article.pmid.isdecimal() else "",
        "free": _free_text(article),
        "cite": links.cite(article.id) if web else "",
        "relevant": RELEVANT if web and numbered else "",
        "not_relevant": NOT_RELEVANT if web and numbered else "",
    }


def _form(name: str, values: dict[str, object]) -> Form:
    html = HTML.get_template(f"{name}.html").render(values)
    text = TEXT.get_template(f"{name}.txt").render(values).strip("\n")
    return Form(html=_pattern(html), text=_pattern(text), size=len(html.encode()))


def _pattern(text: str) -> str:
    return _SLOT.sub(r"%(\1)s", text.replace("%", "%%"))


def web_address(url: str) -> str:
    """`url` if a reader may safely follow it: http or https, a host, no credentials, of bearable length. Else ""."""
    url = url.strip()
    if len(url) > MAX_URL or not url.isprintable() or any(char in url for char in ' "<>\\'):
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return ""
    return url if parts.scheme in {"http", "https"} and host and "@" not in parts.netloc else ""


def doi_address(doi: str) -> str:
    """https://doi.org/… for a DOI in its printed form; "" for what is none."""
    found = _DOI.fullmatch(doi.strip())
    return f"https://doi.org/{quote(found[0], safe='/:;()._-')}" if found else ""


def _free_text(article: Article) -> str:
    """Where the paper can be read freely, unless that is what the card's title leads to anyway."""
    place = web_address(article.open_access_url)
    return "" if place in {web_address(article.canonical_url), web_address(article.url)} else place


def authors_line(authors: tuple[str, ...]) -> str:
    names = [name for name in (tidy(author, 60) for author in authors[: AUTHORS + 1]) if name]
    return ", ".join(names[:AUTHORS]) + (" et al." if len(authors) > AUTHORS else "")


def emphasis(reason: str) -> Snippet:
    """`*term* in title` as (text, is_term) pairs."""
    parts = _EMPHASIS.split(tidy(reason, 400))
    return tuple((part, bool(index % 2)) for index, part in enumerate(parts) if part)


def _foreign(language: str) -> str:
    """The language to read a card in, where it is not the English of the digest around it (BCP 47)."""
    return language if _LANGUAGE.fullmatch(language) and not language.lower().startswith("en") else ""


def _covered(names: tuple[str, ...]) -> str:
    """STAT, Reuters (+2)"""
    shown = [tidy(name, 60) for name in names[:COVERED]]
    return ", ".join(shown) + (f" (+{len(names) - COVERED})" if len(names) > COVERED else "")


def _places(article: Article, source_name: str) -> list[str]:
    """Where it was read, then the journal or institution it comes from, each once."""
    names = [tidy(name, 80) for name in (source_name, article.journal or article.provider or article.publisher)]
    return list({name.casefold(): name for name in names if name}.values())


def wrapped(text: str, indent: str = INDENT, first: str | None = None) -> str:
    """`text` in lines of 72 columns; long words (addresses) are left whole."""
    return textwrap.fill(
        text,
        COLUMNS,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def plain(pieces: Snippet) -> str:
    return "".join(text for text, _ in pieces)


TEXT.filters.update(wrapped=wrapped, plain=plain)
