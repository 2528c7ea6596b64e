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
        name = unicodedata.name(character.casefold()[0], "").split()
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

# The gap is as long as what it replaces: offsets need only know where characters and barriers changed the length.
_POSSESSIVE = re.compile(rb"(?<=[A-Za-z0-9])'[sS](?![A-Za-z0-9])")
_SENTENCE_END = re.compile(
    rb"[.!?\n](?:(?<=\n)(?=[ \t\r\f\v]*\n)"
    rb"|(?<!\n)(?=[\"')\]]{0,3}[ \t\r\n\f\v]+[\"'(\[]{0,2}(?:[A-Z0-9]|[a-z]{1,2}[A-Z])))"
    rb"(?<!\b[A-Za-z]\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bSt\.)(?<!\bvs\.)(?<!\bNo\.)(?<!\bFig\.)"
    rb"(?<!\bProf\.)(?<!\bapprox\.)"
)
_KEEP = bytes(b if (b < 128 and chr(b).isalnum()) or b == 1 else 32 for b in range(256))
_LOWER = _KEEP.lower()


def _ascii(text: str) -> bytes:
    """ASCII bytes with " \\x01 " in place of each character that ends a sentence or a paragraph."""
    data = text.encode("ascii", "monitor-fold")
    if b"\x01" in data:
        data = data.replace(b"\x01", b" ")
    if b"'" in data:
        data = _POSSESSIVE.sub(b"  ", data)
    return _SENTENCE_END.sub(b" \x01 ", data)


def tokens(text: str) -> list[str]:
    """The folded words of `text` in order, with BARRIER where a sentence or paragraph ends."""
    return _ascii(text).translate(_LOWER).decode("ascii").split()


def cased_tokens(text: str) -> list[str]:
    """As `tokens`, one for one, with upper case kept."""
    return _ascii(text).translate(_KEEP).decode("ascii").split()


def token_offsets(text: str) -> list[tuple[int, int]]:
    """For each of `tokens(text)` its start and end in `text`; marks that belong to its last letter are included."""
    position, barriers = 0, 0
    places: list[tuple[int, int]] = []
    edits, shifts = _edits(text)
    for part in _ascii(text).translate(_LOWER).split(b" "):
        if part:
            if part == b"\x01":
                start = position - 2 * barriers - 1
                barriers += 1
                end = start + 1
            else:
                start = position - 2 * barriers
                end = start + len(part)
            places.append((start, end) if not edits else _original(text, start, end, edits, shifts))
        position += len(part) + 1
    return places


def _edits(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Where in the ASCII form each non-ASCII character begins, with its own place in `text` and its new length."""
    if text.isascii():
        return [], []
    begins: list[int] = []
    origins: list[tuple[int, int]] = []
    shift = 0
    for found in _NONASCII.finditer(text):
        length = len(_characters[found[0]])
        begins.append(found.start() + shift)
        origins.append((found.start(), length))
        shift += length - 1
    return begins, origins


def _original(text: str, start: int, end: int, begins: list[int], origins: list[tuple[int, int]]) -> tuple[int, int]:
    first = _place(start, begins, origins)
    last = _place(end - 1, begins, origins) + 1
    while last < len(text) and not text[last].isascii() and not _characters[text[last]]:
        last += 1
    return first, last


def _place(position: int, begins: list[int], origins: list[tuple[int, int]]) -> int:
    edit = bisect_right(begins, position) - 1
    if edit < 0:
        return position
    origin, length = origins[edit]
    beyond = position - begins[edit]
    return origin if beyond < length else origin + 1 + beyond - length


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
_PLURALS: dict[str, list[str]] = {}
for _plural, _singular in _IRREGULAR.items():
    _PLURALS.setdefault(_singular, []).append(_plural)


def stem(token: str) -> str:
    """`token` without its plural ending, so that both numbers of a noun meet; words of three letters stay whole."""
    if len(token) <= 3 or token in _UNCHANGED:
        return token
    if token in _IRREGULAR:
        return _IRREGULAR[token]
    for suffix, singular in _SUFFIXES:
        if token.endswith(suffix) and len(token) - len(suffix) >= 2:
            return token[: -len(suffix)] + singular
    return token


def forms(stemmed: str) -> set[str]:
    """Every token that `stem` turns into `stemmed` (and some that it does not)."""
    found = {stemmed, *_PLURALS.get(stemmed, ())}
    for suffix, singular in _SUFFIXES:
        if stemmed.endswith(singular):
            found.add(stemmed[: len(stemmed) - len(singular)] + suffix)
    return found


_TAILS = {suffix[cut:] for suffix, _ in _SUFFIXES for cut in range(1, len(suffix) + 1)}


def stems_beyond(prefix: str) -> set[str]:
    """The stems of tokens that begin with `prefix` but whose stem does not: `diagnosi*` also means `diagnos`."""
    stems = {stem(prefix + tail) for tail in _TAILS}
    stems.update(singular for plural, singular in _IRREGULAR.items() if plural.startswith(prefix))
    return {found for found in stems if not found.startswith(prefix)}


# --- the archive's index --------------------------------------------------------------------------------------


def index_token(token: str) -> str:
    return stem(token)[:MAX_INDEX_TOKEN]


def index_text(text: str) -> str:
    """`text` for a full-text index without rules of its own: stems of ASCII letters and digits, a space between each.

    With an IndexQuery over it the index finds at least what the engine finds.
    """
    return " ".join(index_token(token) for token in tokens(text) if token != BARRIER)
