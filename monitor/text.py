"""Text as medicine writes it, folded to plain tokens. Queries, articles and the archive's index all pass through here.

Folding keeps ASCII letters and digits, drops accents and soft hyphens, spells each Greek letter as a word of its own
(TNFα is `tnf alpha`, µ is `mu`), opens ligatures, drops a possessive 's, and turns all else into gaps. Sentence and
paragraph ends become a token of their own, BARRIER, which no phrase can cross. A letter of another script becomes
a fixed code of letters; where a script writes no spaces (Chinese, Japanese, Thai) each character is a token.

Anything stored in folded form depends on FOLD_VERSION: raise it with every change of these rules and refold.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import accumulate, compress

FOLD_VERSION = 1
BARRIER = "\x01"
MAX_INDEX_TOKEN = 64

_ASCII_ONLY = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ı": "i", "ħ": "h", "Ħ": "H", "ŋ": "n", "Ŋ": "N",
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "ʼ": "'", "′": "'", "＇": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"', "…": ". ", "。": " . ", "\u2029": "\n\n",
    "ª": " ", "º": " ",
}  # fmt: skip
_SUPERSCRIPTS = frozenset("⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPTS = frozenset("₀₁₂₃₄₅₆₇₈₉")
_NO_SPACES = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3040, 0x30FF),
    (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip
_IGNORED = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_NONASCII = re.compile(r"[^\x00-\x7f]")


class _Characters(dict[str, str]):
    """Each non-ASCII character's ASCII form, worked out once. The case of Latin letters survives, for exact terms."""

    def __missing__(self, character: str) -> str:
        form = self[character] = _ascii_form(character)
        return form


def _ascii_form(character: str) -> str:
    if character in _ASCII_ONLY:
        return _ASCII_ONLY[character]
    if unicodedata.combining(character) or _IGNORED.match(character):
        return ""
    category = unicodedata.category(character)
    plain = unicodedata.normalize("NFKD", character)
    if category == "No":
        return plain if character in _SUBSCRIPTS else f" {plain}" if character in _SUPERSCRIPTS else _numbers(plain)
    if category[0] in "PSZC" and category != "Co":  # ™ is a gap, although it decomposes to letters
        return " "
    return "".join(map(_letter, plain))


def _numbers(plain: str) -> str:
    return f" {''.join(c if c.isascii() else ' ' for c in plain)} "


def _letter(character: str) -> str:
    """One letter of a decomposed character."""
    if character.isascii():
        return character
    if character in _ASCII_ONLY:
        return _ASCII_ONLY[character]
    if unicodedata.combining(character):
        return ""
    code = ord(character)
    if 0x370 <= code <= 0x3FF:
        name = unicodedata.name(character.casefold()[0], "").replace("LAMDA", "LAMBDA").split()
        return f" {name[3].lower()} " if name[:3] == ["GREEK", "SMALL", "LETTER"] and len(name) == 4 else " "
    if unicodedata.category(character)[0] not in "LNM":
        return " "
    coded = "".join("q" + "".join(chr(97 + int(digit, 16)) for digit in f"{ord(c):04x}") for c in character.casefold())
    return f" {coded} " if any(low <= code <= high for low, high in _NO_SPACES) else coded


_characters = _Characters()


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101  (the codec calls it for nothing else)
    return "".join(map(_characters.__getitem__, error.object[error.start : error.end])), error.end


codecs.register_error("monitor-fold", _replace)

# A gap is as long as what it replaces: places in the original need only know where characters and barriers changed the
# length. Each pattern begins with its one fixed character, which lets the search run at the speed of memchr.
_POSSESSIVE = re.compile(rb"'(?<=[A-Za-z0-9]')[sS](?![A-Za-z0-9])")
_BEFORE_NEXT = rb"(?=[\"')\]]{0,3}[ \t\r\n\f\v]+[\"'(\[]{0,2}(?:[A-Z0-9]|[a-z]{1,2}[A-Z]))"
_FULL_STOP = re.compile(
    rb"\." + _BEFORE_NEXT + rb"(?<!\b[A-Za-z]\.)"  # E. coli, J. Smith
    rb"(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bSt\.)(?<!\bProf\.)(?<!\bvs\.)(?<!\bNo\.)(?<!\bFig\.)(?<!\bapprox\.)"
)
_ENDS = (
    (b".", _FULL_STOP),
    (b"!", re.compile(rb"!" + _BEFORE_NEXT)),
    (b"?", re.compile(rb"\?" + _BEFORE_NEXT)),
    (b"\n", re.compile(rb"\n(?=[ \t\r\f\v]*\n)")),  # last: the others look across line ends
)
_BARRIER_BYTE = re.compile(rb"\x01")
_BLOCK = 32
_STRETCH = 64  # characters looked at together: most hold nothing but ASCII
_BARRIER_GROWTH = 2  # " \x01 " in place of one character
_KEEP = bytes(b if (b < 128 and chr(b).isalnum()) or b == 1 else 32 for b in range(256))
_LOWER = _KEEP.lower()


class Folded:
    """One text, folded. `tokens` are its words in order, with BARRIER where a sentence or paragraph ends."""

    __slots__ = ("_bytes", "_cased", "_parts", "_places", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self._bytes = _ascii(text)
        self._cased: list[str] | None = None
        self._places: _Places | None = None
        self._parts = self._bytes.translate(_LOWER).decode("ascii").split(" ")
        self.tokens = list(filter(None, self._parts))

    @property
    def cased(self) -> list[str]:
        """As `tokens`, one for one, with upper case kept."""
        if self._cased is None:
            self._cased = self._bytes.translate(_KEEP).decode("ascii").split()
        return self._cased

    def place(self, index: int) -> tuple[int, int]:
        """Start and end in `text` of the token numbered `index`, with the marks that belong to its last letter."""
        if self._places is None:
            self._places = _Places(self.text, self._parts, self._bytes)
        return self._places[index]


def _ascii(text: str) -> bytes:
    """ASCII bytes with " \\x01 " in place of each character that ends a sentence or a paragraph."""
    data = text.encode("ascii", "monitor-fold")
    if b"\x01" in data:
        data = data.replace(b"\x01", b" ")
    if b"'" in data:
        data = _POSSESSIVE.sub(b"  ", data)
    for sign, end in _ENDS:
        if sign in data:
            data = end.sub(b" \x01 ", data)
    return data


def tokens(text: str) -> list[str]:
    """The folded words of `text` in order, with BARRIER where a sentence or paragraph ends."""
    return Folded(text).tokens


def words_of(text: str) -> list[str]:
    """The tokens of a short text such as a term, without barriers."""
    if text.isascii() and text.replace(" ", "").isalpha():
        return text.lower().split()  # what folding does to letters and spaces
    return [token for token in tokens(text) if token != BARRIER]


class _Places:
    """Where each token stands in the original. Made only for texts in which something was found.

    `parts` are the tokens with "" for each further space between two. The start of every 32nd is worked out at once.
    """

    def __init__(self, text: str, parts: list[str], data: bytes) -> None:
        self.text = text
        self.parts = parts
        self.numbers = list(compress(range(len(parts)), parts))
        blocks = (len(" ".join(parts[i : i + _BLOCK])) + 1 for i in range(0, len(parts), _BLOCK))
        self.blocks = list(accumulate(blocks, initial=0))
        self.barriers = [found.start() for found in _BARRIER_BYTE.finditer(data)]
        self.begins, self.origins = _changes(text)

    def __getitem__(self, index: int) -> tuple[int, int]:
        number = self.numbers[index]
        block = number // _BLOCK
        start = self.blocks[block]
        if number % _BLOCK:
            start += len(" ".join(self.parts[block * _BLOCK : number])) + 1
        length = len(self.parts[number])
        start -= _BARRIER_GROWTH * bisect_left(self.barriers, start)
        if self.parts[number] == BARRIER:
            start -= 1
        if not self.begins:
            return start, start + length
        first, last = self._origin(start), self._origin(start + length - 1) + 1
        while last < len(self.text) and not self.text[last].isascii() and not _characters[self.text[last]]:
            last += 1
        return first, last

    def _origin(self, position: int) -> int:
        """The place in the original of one ASCII byte."""
        change = bisect_right(self.begins, position) - 1
        if change < 0:
            return position
        origin, length = self.origins[change]
        beyond = position - self.begins[change]
        return origin if beyond < length else origin + 1 + beyond - length


def _changes(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Where each non-ASCII character's form begins among the ASCII bytes; its own place, and its form's length."""
    begins: list[int] = []
    origins: list[tuple[int, int]] = []
    shift = 0
    for start in range(0, 0 if text.isascii() else len(text), _STRETCH):
        if text[start : start + _STRETCH].isascii():
            continue
        for found in _NONASCII.finditer(text, start, start + _STRETCH):
            length = len(_characters[found[0]])
            begins.append(found.start() + shift)
            origins.append((found.start(), length))
            shift += length - 1
    return begins, origins


# --- plurals --------------------------------------------------------------------------------------------------
# Plurals only: a real stemmer merges severe and several. One rule applies, the first that fits; `forms` undoes them.

_IRREGULAR = {
    "children": "child", "women": "woman", "men": "man", "mice": "mouse", "feet": "foot", "teeth": "tooth",
    "bacteria": "bacterium", "criteria": "criterion", "phenomena": "phenomenon", "mitochondria": "mitochondrion",
    "ganglia": "ganglion", "septa": "septum", "ova": "ovum", "sera": "serum", "atria": "atrium", "diverticula":
    "diverticulum", "spectra": "spectrum", "hila": "hilum", "sputa": "sputum", "crania": "cranium",
    "nuclei": "nucleus", "fungi": "fungus", "stimuli": "stimulus", "bacilli": "bacillus", "cocci": "coccus",
    "streptococci": "streptococcus", "staphylococci": "staphylococcus", "enterococci": "enterococcus",
    "pneumococci": "pneumococcus", "meningococci": "meningococcus", "gonococci": "gonococcus",
    "thrombi": "thrombus", "emboli": "embolus", "foci": "focus", "loci": "locus", "villi": "villus",
    "alveoli": "alveolus", "bronchi": "bronchus", "calculi": "calculus", "radii": "radius", "uteri": "uterus",
    "sulci": "sulcus", "gyri": "gyrus", "humeri": "humerus", "lactobacilli": "lactobacillus", "syllabi": "syllabus",
    "foramina": "foramen", "lumina": "lumen", "appendices": "appendix", "indices": "index", "cervices": "cervix",
    "matrices": "matrix", "vertices": "vertex", "cortices": "cortex", "apices": "apex", "helices": "helix",
    "thoraces": "thorax", "pharynges": "pharynx", "larynges": "larynx", "phalanges": "phalanx", "testes": "testis",
    "genera": "genus", "corpora": "corpus", "femora": "femur", "viscera": "viscus", "irides": "iris",
    "calves": "calf", "halves": "half", "shoes": "shoe", "penes": "penis", "pelves": "pelvis",
}  # fmt: skip
_IRREGULAR |= {f"{acronym}s": acronym for acronym in (  # not of the kind of pelvis
    "ssri", "snri", "ppi", "uti", "sti", "mri", "tki", "ici", "hai", "ssi", "tbi", "sci", "bci", "maoi", "acei", "arni",
    "nrti", "nnrti", "cdi", "pci", "pi", "ai",
)}  # fmt: skip
_UNCHANGED = frozenset({
    "news", "series", "species", "diabetes", "herpes", "rabies", "scabies", "caries", "facies", "measles", "mumps",
    "lens", "pancreas", "atlas", "bias", "alias", "canvas", "chaos", "biceps", "triceps", "quadriceps", "forceps",
    "tabes", "these", "those", "whose", "else", "does", "perhaps", "always", "because",
})  # fmt: skip
_SUFFIXES = (
    ("itides", "itis"), ("omata", "oma"), ("ies", "y"), ("sses", "ss"), ("ses", "s"), ("sis", "s"), ("xes", "x"),
    ("ches", "ch"), ("shes", "sh"), ("oes", "o"), ("ae", "a"), ("ss", "ss"), ("us", "us"), ("is", "is"), ("s", ""),
    ("se", "s"), ("xe", "x"), ("che", "ch"), ("she", "sh"),
)  # fmt: skip


def stem(token: str) -> str:
    """`token` without its plural ending, so that both numbers of a noun meet; words of three letters stay whole."""
    if len(token) <= 3 or token in _UNCHANGED:
        return token
    if token in _IRREGULAR:
        return _IRREGULAR[token]
    if token[-1] not in "sae":  # no rule ends otherwise
        return token
    for suffix, singular in _SUFFIXES:
        if token.endswith(suffix) and len(token) - len(suffix) >= 2:
            return token[: -len(suffix)] + singular
    return token


_IRREGULAR = {plural: stem(singular) for plural, singular in _IRREGULAR.items()}  # mice meets mouse at mous
_PLURALS: dict[str, list[str]] = {}
for _plural, _singular in _IRREGULAR.items():
    _PLURALS.setdefault(_singular, []).append(_plural)
_ENDINGS: dict[str, list[str]] = {}
for _suffix, _ending in _SUFFIXES:
    _ENDINGS.setdefault(_ending, []).append(_suffix)
_LONGEST_ENDING = max(map(len, _ENDINGS))


def forms(stemmed: str) -> list[str]:
    """Every token that `stem` turns into `stemmed` (and some that it does not)."""
    found = [stemmed, *_PLURALS.get(stemmed, ())]
    for length in range(min(_LONGEST_ENDING, len(stemmed)) + 1):
        cut = len(stemmed) - length
        found += [stemmed[:cut] + suffix for suffix in _ENDINGS.get(stemmed[cut:], ())]
    return found


_TAILS = {suffix[cut:] for suffix, _ in _SUFFIXES for cut in range(1, len(suffix) + 1)}


def stems_beyond(prefix: str) -> set[str]:
    """The stems of tokens that begin with `prefix` but whose stem does not: `diagnosi*` also means `diagnos`."""
    stems = {stem(prefix + tail) for tail in _TAILS}
    stems.update(singular for plural, singular in _IRREGULAR.items() if plural.startswith(prefix))
    return {found for found in stems if not found.startswith(prefix)}


# --- the archive's index --------------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 16)
def index_token(token: str) -> str:
    return stem(token)[:MAX_INDEX_TOKEN]


def index_text(text: str) -> str:
    """`text` for a full-text index without rules of its own: stems of ASCII letters and digits, a space between each.

    With an IndexQuery over it the index finds at least what the engine finds.
    """
    return " ".join(index_token(token) for token in tokens(text) if token != BARRIER)
