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
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

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


class _Source(str):
    """A text that notes, when it is encoded, where characters that are not ASCII stand, and what became of each."""

    __slots__ = ("runs",)

    runs: list[tuple[int, list[str]]]


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101  (the codec calls it for nothing else)
    source = error.object
    assert isinstance(source, _Source)  # noqa: S101
    start, end = error.start, error.end
    forms = list(map(_characters.__getitem__, source[start:end]))
    source.runs.append((start, forms))
    return "".join(forms), end


codecs.register_error("monitor-fold", _replace)

# A gap is as long as what it replaces: places in the original need only know where characters and barriers changed the
# length. Each pattern begins with its one fixed character, which lets the search run at the speed of memchr.
_POSSESSIVE = re.compile(rb"'(?<=[A-Za-z0-9]')[sS](?![A-Za-z0-9])")
_BEFORE_NEXT = rb"(?=[\"')\]]{0,3}[ \t\r\n\f\v]+[\"'(\[]{0,2}(?:[A-Z0-9]|[a-z]{1,2}[A-Z]))"
_FULL_STOP = re.compile(
    rb"\." + _BEFORE_NEXT + rb"(?<!\b[A-Za-z]\.)"  # E. coli, J. Smith
    rb"(?<!\b(?:Dr|Mr|Ms|St|vs|No)\.)(?<!\b(?:Mrs|Fig)\.)(?<!\bProf\.)(?<!\bapprox\.)"
)
_ENDS = (
    (b".", _FULL_STOP),
    (b"!", re.compile(rb"!" + _BEFORE_NEXT)),
    (b"?", re.compile(rb"\?" + _BEFORE_NEXT)),
    (b"\n", re.compile(rb"\n(?=[ \t\r\f\v]*\n)")),  # last: the others look across line ends
)
_BLOCK = 48  # words
_STRETCH = 512  # characters; usually they hold a block
_BARRIER_GROWTH = 2  # " \x01 " in place of one character
_KEEP = bytes(b if (b < 128 and chr(b).isalnum()) or b == 1 else 32 for b in range(256))
_LOWER = _KEEP.lower()


class Folded:
    """One text, folded. `tokens` are its words in order, with BARRIER where a sentence or paragraph ends."""

    __slots__ = ("_bytes", "_cased", "_places", "_plain", "_runs", "_starts", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self._bytes, self._runs = _ascii(text)
        self._plain = self._bytes.translate(_LOWER).decode("ascii")
        self.tokens, self._starts = _split(self._plain)
        self._cased: list[str] | None = None
        self._places: _Places | None = None

    @property
    def cased(self) -> list[str]:
        """As `tokens`, one for one, with upper case kept."""
        if self._cased is None:
            self._cased = self._bytes.translate(_KEEP).decode("ascii").split()
        return self._cased

    def is_cased(self, index: int, words: Sequence[str]) -> bool:
        """`words` stand at `index` in the same case. Looks at them alone, where `cased` makes a list of the text."""
        for token, word in enumerate(words, index):
            start = self._start(token)
            if self._bytes[start : start + len(self.tokens[token])] != word.encode():
                return False
        return True

    def place(self, index: int) -> tuple[int, int]:
        """Start and end in `text` of the token numbered `index`, with the marks that belong to its last letter."""
        if self._places is None:
            self._places = _Places(self.text, self._plain, self._runs)
        return self._places.original(self._start(index), self.tokens[index])

    def _start(self, index: int) -> int:
        """Where the token begins in the folded text, which is as long as its ASCII bytes."""
        block, number = divmod(index, _BLOCK)
        start, end = self._starts[block], self._starts[block + 1]
        return end - len(self._plain[start:end].split(None, number)[number])


def _ascii(text: str) -> tuple[bytes, list[tuple[int, list[str]]]]:
    """ASCII bytes with " \\x01 " for each character that ends a sentence or a paragraph; and what was not ASCII."""
    source = _Source(text)
    source.runs = []
    data = source.encode("ascii", "monitor-fold")
    if b"\x01" in data:
        data = data.replace(b"\x01", b" ")
    if b"'" in data:
        data = _POSSESSIVE.sub(b"  ", data)
    for sign, end in _ENDS:
        if sign in data:
            data = end.sub(b" \x01 ", data)
    return data, source.runs


def _split(plain: str) -> tuple[list[str], list[int]]:
    """The words of `plain`, and where each _BLOCK of them begins, and the end: no word then has to be sought from afar.

    That is told by how much of a stretch is left behind a block, which is nearly as fast as one split of the whole.
    """
    words: list[str] = []
    starts = [0]
    size, at, stretch = len(plain), 0, _STRETCH
    while at < size:
        pieces = plain[at : at + stretch].split(None, _BLOCK)
        if len(pieces) > _BLOCK:
            at = min(at + stretch, size) - len(pieces.pop())
        elif at + stretch < size:
            stretch *= 2  # long words, or many spaces
            continue
        else:
            at = size
        words += pieces
        starts.append(at)
        stretch = _STRETCH
    return words, starts


def tokens(text: str) -> list[str]:
    """The folded words of `text` in order, with BARRIER where a sentence or paragraph ends."""
    return Folded(text).tokens


def words_of(text: str) -> list[str]:
    """The tokens of a short text such as a term, without barriers."""
    if text.isascii() and text.replace(" ", "").isalpha():
        return text.lower().split()  # what folding does to letters and spaces
    return [token for token in tokens(text) if token != BARRIER]


class _Places:
    """Where folded text stood in the original. Made only for texts in which something was found."""

    def __init__(self, text: str, plain: str, runs: list[tuple[int, list[str]]]) -> None:
        self.text = text
        self.behind_barriers = list(accumulate(len(part) + 1 for part in plain.split(BARRIER)))
        self.begins: list[int] = []  # of each form of a character that is not ASCII
        self.ends = [0]  # of each form, after a first one that is not there
        self.shifts = [0]  # how much behind each form is to be added
        self.origins: list[int] = []
        shift = 0
        for start, forms in runs:
            for origin, form in enumerate(forms, start):
                self.begins.append(origin - shift)
                self.origins.append(origin)
                self.ends.append(origin - shift + len(form))
                shift += 1 - len(form)
                self.shifts.append(shift)

    def original(self, start: int, token: str) -> tuple[int, int]:
        """Start and end in the original of a token that begins at `start` in the folded text."""
        start -= _BARRIER_GROWTH * bisect_right(self.behind_barriers, start)
        if token == BARRIER:
            start -= 1
        end = start + len(token)
        change = bisect_right(self.begins, start)
        if start >= self.ends[change] and (change == len(self.begins) or end <= self.begins[change]):
            first, last = start + self.shifts[change], end + self.shifts[change]  # ASCII throughout
        else:
            first, last = self._origin(start), self._origin(end - 1) + 1
        while last < len(self.text) and not self.text[last].isascii() and not _characters[self.text[last]]:
            last += 1
        return first, last

    def _origin(self, position: int) -> int:
        """The place in the original of one ASCII byte."""
        change = bisect_right(self.begins, position)
        return self.origins[change - 1] if position < self.ends[change] else position + self.shifts[change]


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
    return index_words(tokens(text))


def index_words(folded: Sequence[str]) -> str:
    """`index_text` of a text that is folded already, from its tokens."""
    return " ".join([index_token(token) for token in folded if token != BARRIER])
