"""Vocabularies: MeSH descriptors (XML, NLM's desc20xx.xml) and OBO files (HPO, MONDO, ChEBI) to Concepts.

Readers stream: memory does not grow with the file. A broken file raises ParseError with the line where it breaks; what
came before it has then been yielded, so store a vocabulary in one transaction.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import IO

from lxml import etree

from monitor.errors import ParseError
from monitor.match.vocabulary import COMMON_WORDS
from monitor.model import Concept
from monitor.text import BARRIER, stem, tokens

MAX_TERM = 200  # characters; chemical names beyond it never stand in news
MAX_TERMS = 500  # of one concept
MAX_LINE = 100_000
SCOPES = ("EXACT", "NARROW", "BROAD", "RELATED")
_WORDS = re.compile(r"\w{4,}")
_MESH_SCOPES = {"NRW": "NARROW", "BRD": "BROAD", "REL": "RELATED"}


def read_vocabulary(file: IO[bytes], name: str, *, scopes: Iterable[str] = ("EXACT",)) -> Iterator[Concept]:
    """Concepts of a MeSH or OBO file, told apart by its first bytes. `name` is for messages."""
    head = file.read(4096)
    file.seek(0)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return read_mesh(file, name, scopes=scopes)
    if b"format-version:" in head or b"[Term]" in head:
        return read_obo(file, name, scopes=scopes)
    raise ParseError(name, "neither MeSH descriptor XML (<DescriptorRecordSet>) nor OBO (format-version:)")


def _known(scopes: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(scopes)
    if strange := wanted - set(SCOPES):
        raise ValueError(f"unknown scopes {sorted(strange)}; there are {', '.join(SCOPES)}")
    return wanted


# --- MeSH -----------------------------------------------------------------------------------------------------


def read_mesh(file: IO[bytes], name: str, *, scopes: Iterable[str] = ("EXACT",)) -> Iterator[Concept]:
    """One Concept for each descriptor, with the terms of its preferred concept, which mean the same.

    A descriptor's narrower, broader and related concepts are no synonyms; `scopes` may ask for them. The year is that
    in the file's name (desc2026.xml), or 0.
    """
    wanted = _known(scopes)
    parser = etree.iterparse(file, events=("start", "end"), load_dtd=False, no_network=True, resolve_entities=False)
    root = None
    year = _year(name)
    line = 1
    try:
        for event, element in parser:
            line = element.sourceline or line
            if root is None:
                root = element
                if element.tag != "DescriptorRecordSet":
                    raise ParseError(name, f"line {line}: <{element.tag}> where <DescriptorRecordSet> should be")
            if event == "end" and element.tag == "DescriptorRecord":
                yield _descriptor(element, name, year, wanted)
                root.clear(keep_tail=False)
    except etree.XMLSyntaxError as error:
        raise ParseError(name, f"line {error.lineno or line}: {error.msg}") from error
    if root is None:
        raise ParseError(name, "line 1: the file is empty")


def _descriptor(record: etree._Element, name: str, year: int, wanted: frozenset[str]) -> Concept:
    code = record.findtext("DescriptorUI") or ""
    heading = (record.findtext("DescriptorName/String") or "").strip()
    if not code or not heading:
        raise ParseError(name, f"line {record.sourceline}: a DescriptorRecord without DescriptorUI or DescriptorName")
    terms = [heading]
    for concept in record.iterfind("ConceptList/Concept"):
        if _scope(concept) in wanted:
            terms += [term.findtext("String") or "" for term in concept.iterfind("TermList/Term")]
    return Concept(source="mesh", year=year, code=code, name=heading, terms=_clean(terms))


def _scope(concept: etree._Element) -> str:
    """How a descriptor's concept stands to what the descriptor means."""
    if concept.get("PreferredConceptYN") == "Y":
        return "EXACT"
    relation = concept.find("ConceptRelationList/ConceptRelation")
    return _MESH_SCOPES.get((relation.get("RelationName") if relation is not None else None) or "REL", "RELATED")


def _year(name: str) -> int:
    found = re.search(r"(?<!\d)(20\d\d)(?!\d)", name.rsplit("/", 1)[-1])
    return int(found[1]) if found else 0


# --- OBO ------------------------------------------------------------------------------------------------------

_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*([A-Z]*)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": " ", "t": " ", "W": " "}


def read_obo(file: IO[bytes], name: str, *, scopes: Iterable[str] = ("EXACT",)) -> Iterator[Concept]:
    """One Concept for each [Term] of the file's own prefix that is not obsolete, with synonyms of the given scopes.

    Abbreviations are kept: what is ambiguous is told by `expand`. The vocabulary's name and year come from the header
    (`ontology:`, `data-version:`); a term without id or name, or a synonym without quotes, is a ParseError.
    """
    wanted = _known(scopes)
    header: dict[str, str] = {"date": str(_year(name) or "")}
    stanza = _Stanza(header=True)
    for number, line in _lines(file, name):
        if line.startswith("["):
            if concept := stanza.concept(header, name):
                yield concept
            if not line.endswith("]"):
                raise ParseError(name, f"line {number}: {line[:40]!r} is no stanza, ] is missing")
            stanza = _Stanza(line=number, is_term=line == "[Term]")
            continue
        key, colon, value = line.partition(":")
        if not colon:
            raise ParseError(name, f"line {number}: {line[:40]!r} is no tag: value pair")
        if stanza.header:
            header[key] = value.strip()
        elif stanza.is_term:
            stanza.take(key, value.strip(), wanted, name, number)
    if stanza.header and "format-version" not in header:
        raise ParseError(name, "line 1: no format-version: and no [Term], this is no OBO file")
    if concept := stanza.concept(header, name):
        yield concept


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Numbered lines that say something."""
    number = 0
    while data := file.readline(MAX_LINE + 1):
        number += 1
        if len(data) > MAX_LINE:
            raise ParseError(name, f"line {number}: longer than {MAX_LINE} bytes")
        try:
            line = data.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise ParseError(name, f"line {number}: not UTF-8 ({error.reason} at byte {error.start + 1})") from error
        if line and not line.startswith("!"):
            yield number, line


class _Stanza:
    def __init__(self, *, header: bool = False, line: int = 0, is_term: bool = False) -> None:
        self.header = header
        self.line = line
        self.is_term = is_term
        self.code = ""
        self.name = ""
        self.synonyms: list[str] = []
        self.obsolete = False

    def take(self, key: str, value: str, wanted: frozenset[str], file: str, number: int) -> None:
        if key == "id":
            self.code = value.split(" ", 1)[0]
        elif key == "name":
            self.name = _unescaped(value.partition(" !")[0])
        elif key == "is_obsolete":
            self.obsolete = value.lower().startswith("true")
        elif key == "synonym":
            found = _SYNONYM.match(value)
            if not found:
                raise ParseError(file, f"line {number}: a synonym without its quotation marks")
            if (found[2] or "RELATED") in wanted:
                self.synonyms.append(_unescaped(found[1]))

    def concept(self, header: dict[str, str], file: str) -> Concept | None:
        if not self.is_term or self.obsolete:
            return None
        if not self.code or not self.name:
            raise ParseError(file, f"line {self.line}: a [Term] without {'name' if self.code else 'id'}")
        prefix = self.code.partition(":")[0].lower()
        ontology = header.get("ontology", "").rsplit("/", 1)[-1].removesuffix(".obo").lower()
        if ontology and prefix != ontology and prefix in _BORROWED:
            return None
        year = _year(header.get("data-version", "")) or _year(header["date"])
        return Concept(source=ontology or prefix, year=year, code=self.code, name=self.name, terms=self.terms())

    def terms(self) -> tuple[str, ...]:
        return _clean([self.name, *self.synonyms])


# What such files carry along of other vocabularies, to hang their own terms on.
_BORROWED = frozenset({
    "bfo", "bspo", "cl", "cob", "chebi", "ecto", "envo", "go", "hgnc", "hp", "hsapdv", "iao", "mf", "mondo", "mpath",
    "nbo", "ncbitaxon", "obi", "omo", "pato", "pr", "ro", "so", "uberon",
})  # fmt: skip


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), text)


# --- terms ----------------------------------------------------------------------------------------------------


def _clean(terms: Iterable[str]) -> tuple[str, ...]:
    """Each printed form once, in order, without what no article would hold."""
    seen = dict.fromkeys(" ".join(term.split()) for term in terms)
    return tuple(term for term in seen if 0 < len(term) <= MAX_TERM)[:MAX_TERMS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """A concept as query text. `query` is an OR-group without parentheses; `ambiguous` are terms that it leaves out
    because they also mean something else, `dropped` is how many terms stood beyond the cap.
    """

    query: str
    terms: tuple[str, ...]
    ambiguous: tuple[str, ...] = ()
    dropped: int = 0


def expansion(concept: Concept, *, limit: int = 60, ambiguous: bool = False) -> Expansion:
    """The concept's terms as a query: natural order, each once however it is written, short and everyday ones left out.

    `ambiguous=True` takes those in as well, exact in case. The name itself always stays.
    """
    kept: dict[tuple[str, ...], str] = {}
    doubtful: dict[tuple[str, ...], str] = {}
    for number, term in enumerate((concept.name, *concept.terms)):
        natural = " ".join(_SIGNS.sub(" ", natural_order(term)).split())
        key = _key(natural)
        if not key or key in kept or key in doubtful:
            continue
        if number and is_ambiguous(natural):
            doubtful[key] = natural
        else:
            kept[key] = natural
    forms = [_written(term) for term in kept.values()]
    if ambiguous:
        forms += [f'="{term}"' for term in doubtful.values()]
    return Expansion(
        query=" OR ".join(forms[:limit]),
        terms=tuple(forms[:limit]),
        ambiguous=() if ambiguous else tuple(doubtful.values()),
        dropped=max(0, len(forms) - limit),
    )


def expand(concept: Concept) -> str:
    """The concept as the text of an OR-group, e.g. `"mechanistic target of rapamycin" OR mTOR OR MTORC1`."""
    return expansion(concept).query


def natural_order(term: str) -> str:
    """An inverted heading turned round: "Diabetes Mellitus, Type 2" is "Type 2 Diabetes Mellitus".

    Only where what follows the comma qualifies what stands before it: a list ("Wounds, Cuts, and Burns"), a chemical
    locant ("1,2-Dipalmitoyl…") and a trailing "and …" stay as they are.
    """
    parts = term.split(", ")
    if not 1 < len(parts) <= 4 or any(not part or _LISTED.match(part) for part in parts[1:]):
        return term
    return " ".join((*reversed(parts[1:]), parts[0]))


_SIGNS = re.compile('["“”„‟«»*]')  # that mean something within a query's quotation marks
_LISTED = re.compile(r"(?:and|or)\b|&", re.IGNORECASE)


def is_ambiguous(term: str) -> bool:
    """Two letters or fewer, an everyday word, or capitals that are one when written small."""
    words = [token for token in tokens(term) if token != BARRIER]
    if len(words) != 1:
        return False
    word = words[0]
    return len(word) <= 2 or word in COMMON_WORDS or (len(word) <= 3 and not term.isupper()) or word.isdecimal()


def _key(term: str) -> tuple[str, ...]:
    """Forms with one key match the same text: IL-6, IL 6 and IL6; tumour and tumours."""
    joined = "".join(word for word in tokens(term) if word != BARRIER)
    if len(joined) <= 8 and any(map(str.isdigit, joined)):
        return (joined,)
    return tuple(stem(word) for word in tokens(term) if word != BARRIER)


def _written(term: str) -> str:
    """As a query's term: bare where one plain word says it, else quoted."""
    plain = re.fullmatch(r"[A-Za-z0-9]+", term) and term.lower() not in ("and", "or", "not", "near", "adj", "atleast")
    return term if plain else f'"{term}"'


# --- the built-in set -----------------------------------------------------------------------------------------


def builtin_concepts() -> tuple[Concept, ...]:
    """A handful of concepts written by hand (concepts.toml), for a start without any import."""
    text = resources.files("monitor.match").joinpath("concepts.toml").read_text("utf-8")
    return tuple(
        Concept(
            source="builtin",
            year=entry["year"],
            code=entry["code"],
            name=entry["name"],
            terms=_clean([entry["name"], *entry["terms"]]),
        )
        for entry in tomllib.loads(text)["concept"]
    )


def near_concepts(text: str, most: int = 5) -> list[str]:
    """Names of built-in concepts that share a word of four letters or more with `text`, for who meant one of them."""
    words = set(_WORDS.findall(text.lower()))
    named = {one.name for one in builtin_concepts() if words & set(_WORDS.findall(" ".join(one.terms).lower()))}
    return sorted(named)[:most]


def find_concepts(text: str, concepts: Iterable[Concept]) -> list[Concept]:
    """Those that have `text` as one of their terms, however it is written."""
    wanted = _key(natural_order(text))
    return [
        concept
        for concept in concepts
        if wanted and any(_key(natural_order(term)) == wanted for term in (concept.name, *concept.terms))
    ]
