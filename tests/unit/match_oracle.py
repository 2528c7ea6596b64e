"""The matching rules again, written plainly and slowly: no index, no memory, one character after the other.

Shares with the program only the table of plurals (monitor.text.stem) and the query's tree.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

from monitor.model import And, Article, AtLeast, IndexQuery, Near, Not, Or, Query, Term
from monitor.text import stem

GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "κ": "kappa", "λ": "lambda", "μ": "mu"}
SPECIAL = {"ß": "ss", "ø": "o", "æ": "ae", "ł": "l", "’": "'", "“": '"', "”": '"'}
ABBREVIATIONS = {"Dr", "Mr", "Ms", "Mrs", "St", "vs", "No", "Fig", "Prof", "approx"}
HYPHEN = re.compile(r"[-‐‑‒–—\u00ad]*")
HYPHEN_OR_SPACE = re.compile(r"[-‐‑‒–—\u00ad\s]*")


@dataclass
class Word:
    token: str  # "" for the end of a sentence or paragraph
    cased: str
    start: int
    end: int


def plain(character: str) -> str:
    if character.isascii():
        return character
    if character == "µ" or character.lower() in GREEK:
        return f" {GREEK['μ' if character == 'µ' else character.lower()]} "
    if character in SPECIAL:
        return SPECIAL[character]
    if character == "\u00ad" or unicodedata.combining(character):
        return ""
    if character in "²³":
        return {"²": " 2", "³": " 3"}[character]
    if unicodedata.category(character)[0] in "PSZ":
        return " "
    return "".join(c for c in unicodedata.normalize("NFKD", character) if c.isascii())


def read(text: str) -> list[Word]:
    letters = [(c, i) for i, character in enumerate(text) for c in plain(character)]
    flat = "".join(c for c, _ in letters)
    ends = [i for i in range(len(flat)) if ends_sentence(flat, i)]
    words: list[Word] = []
    i = 0
    while i < len(flat):
        if i in ends:
            words.append(Word("", "", letters[i][1], letters[i][1] + 1))
            i += 1
        elif is_possessive(flat, i):
            i += 2
        elif flat[i].isascii() and flat[i].isalnum():
            j = i
            while j < len(flat) and flat[j].isalnum():
                j += 1
            end = letters[j - 1][1] + 1
            while end < len(text) and plain(text[end]) == "":
                end += 1
            words.append(Word(flat[i:j].lower(), flat[i:j], letters[i][1], end))
            i = j
        else:
            i += 1
    return words


def is_possessive(flat: str, i: int) -> bool:
    if flat[i] != "'" or i == 0 or not flat[i - 1].isalnum() or flat[i + 1 : i + 2] not in ("s", "S"):
        return False
    return not flat[i + 2 : i + 3].isalnum()


def ends_sentence(flat: str, i: int) -> bool:
    if flat[i] == "\n":
        j = i + 1
        while j < len(flat) and flat[j] in " \t\r\f\v":
            j += 1
        return j < len(flat) and flat[j] == "\n"
    if flat[i] not in ".!?":
        return False
    if flat[i] == ".":
        before = re.search(r"[A-Za-z0-9_]*\Z", re.sub(r"(?<=[A-Za-z0-9])'[sS]\Z", "  ", flat[:i]))[0]
        if before in ABBREVIATIONS or (len(before) == 1 and before.isalpha()):
            return False
    j = i + 1
    while j < len(flat) and flat[j] in "\"')]" and j - i <= 3:
        j += 1
    space = j
    while j < len(flat) and flat[j] in " \t\r\n\f\v":
        j += 1
    if j == space:
        return False
    opened = j
    while j < len(flat) and flat[j] in "\"'([" and j - opened < 2:
        j += 1
    return re.match(r"[A-Z0-9]|[a-z]{1,2}[A-Z]", flat[j:]) is not None


def ways(term: Term) -> list[list[tuple[str, bool]]]:
    """Each way to write the term: its words, and whether the gap behind each must be tight."""
    words = [word for word in read(term.text) if word.token]
    texts = [word.token for word in words]
    gaps = [term.text[a.end : b.start] for a, b in pairwise(words)]
    tight = [
        (a[-1].isdigit() != b[0].isdigit()) and HYPHEN_OR_SPACE.fullmatch(gap) is not None
        for a, b, gap in zip(texts, texts[1:], gaps, strict=False)
    ] + [False]
    if term.exact:
        return [[(text, False) for text in texts]]
    found = [list(zip(texts, tight, strict=True))]
    apart: list[tuple[str, bool]] = []
    for text, closed in zip(texts, tight, strict=True):
        pieces = re.findall("[a-z]+|[0-9]+", text)
        apart += [(piece, True) for piece in pieces[:-1]] + [(pieces[-1], closed)]
    found.append(apart)
    for rule in ("digits", "hyphens"):
        joined = [(texts[0], tight[0])]
        for i, gap in enumerate(gaps):
            hyphen = HYPHEN.fullmatch(gap) is not None
            digits = texts[i][-1].isalpha() and texts[i + 1][0].isdigit()
            short = len(texts[i]) <= 5 and HYPHEN_OR_SPACE.fullmatch(gap) is not None
            if (hyphen and rule == "hyphens") or (digits and (hyphen or short) and rule == "digits"):
                joined[-1] = (joined[-1][0] + texts[i + 1], tight[i + 1])
            else:
                joined.append((texts[i + 1], tight[i + 1]))
        found.append(joined)
    return found


def one_word(wanted: str, written: str, word: Word, term: Term, *, last: bool) -> bool:
    if not word.token:
        return False
    if term.exact:
        return word.cased == written
    if term.prefix and last:
        return word.token.startswith(wanted)
    if 2 <= len(written) <= 6 and written.isupper() and stem(wanted) != wanted:
        return word.token == wanted
    return stem(word.token) == stem(wanted)


def find(term: Term, text: str) -> set[tuple[int, int, int, int]]:
    """Each place of the term: first and last word's number, start and end in `text`."""
    words = read(text)
    written = [word.cased for word in read(term.text) if word.token]
    found = set()
    for number, way in enumerate(ways(term)):
        for first in range(len(words) - len(way) + 1):
            row = words[first : first + len(way)]
            shown = written if number == 0 else [wanted for wanted, _ in way]
            if all(
                one_word(wanted, shown[i], word, term, last=i == len(way) - 1)
                and (not tight or HYPHEN_OR_SPACE.fullmatch(text[word.end : row[i + 1].start]) is not None)
                for i, (word, (wanted, tight)) in enumerate(zip(row, way, strict=True))
            ):
                found.add((first, first + len(way) - 1, row[0].start, row[-1].end))
    return found


def places(query: Query, article: Article) -> set[tuple[str, int, int]]:
    """(field, first word, last word) of each hit of a term or an OR of terms."""
    if isinstance(query, Or):
        return set().union(*(places(part, article) for part in query.parts))
    assert isinstance(query, Term)
    found = set()
    for field, text in (("title", article.title), ("body", article.body)):
        if query.field in ("", field):
            found |= {(field, first, last) for first, last, _, _ in find(query, text)}
    return found


def holds(query: Query, article: Article) -> bool:
    if isinstance(query, And):
        return all(holds(part, article) for part in query.parts)
    if isinstance(query, Or):
        return any(holds(part, article) for part in query.parts)
    if isinstance(query, Not):
        return not holds(query.part, article)
    if isinstance(query, AtLeast):
        return len({(field, first) for field, first, _ in places(query.part, article)}) >= query.count
    if isinstance(query, Near):
        return chain(query, article)
    return bool(places(query, article))


def chain(query: Near, article: Article) -> bool:
    ends = places(query.parts[0], article)
    for part in query.parts[1:]:
        ends = {hit for hit in places(part, article) if any(close(hit, other, query.distance) for other in ends)}
    return bool(ends)


def close(one: tuple[str, int, int], other: tuple[str, int, int], distance: int) -> bool:
    if one[0] != other[0]:
        return False
    first, second = sorted((one, other), key=lambda hit: hit[1])
    return 0 <= second[1] - first[2] - 1 <= distance


def index_holds(query: IndexQuery, tokens: list[str]) -> bool:
    if query.op == "all":
        return all(index_holds(part, tokens) for part in query.parts)
    if query.op == "any":
        return any(index_holds(part, tokens) for part in query.parts)
    wanted = list(query.tokens)
    for start in range(len(tokens) - len(wanted) + 1):
        row = tokens[start : start + len(wanted)]
        if row == wanted or (query.op == "prefix" and row[:-1] == wanted[:-1] and row[-1].startswith(wanted[-1])):
            return True
    return False
