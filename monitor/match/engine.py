"""Finds the terms of every topic in one pass over an article's words.

Each distinct word is looked up once and remembered with its symbols (its stem, itself, its beginnings). A term of one
word hangs on its symbol. A phrase hangs on its rarest word and is only looked at where the rarer of that word's
neighbours stands beside it. Symbols and terms are counted: the last topic that lets one go frees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log
from typing import TYPE_CHECKING

from monitor.match.reading import SHIFT, Reading
from monitor.match.terms import Pattern, Word, patterns
from monitor.match.vocabulary import STOP_WORDS
from monitor.model import Term
from monitor.text import forms, stem

if TYPE_CHECKING:
    from monitor.match.matcher import Slot

_MAX_REMEMBERED = 200_000
_LONGEST_REMEMBERED = 64


class Symbol:
    """One thing that a word of a text can be: a stem, an exact word, or a beginning."""

    __slots__ = ("exact", "left", "needles", "right", "uses", "word")

    def __init__(self, word: Word) -> None:
        self.word = word
        self.uses = 0
        self.needles: tuple[Needle, ...] = ()
        self.exact: tuple[Phrase, ...] = ()
        self.left: dict[Symbol, tuple[Phrase, ...]] | None = None
        self.right: dict[Symbol, tuple[Phrase, ...]] | None = None


class Phrase:
    """Symbols in a row. `beside` is the place of the neighbour it is looked up by; `rest` holds all other words."""

    __slots__ = ("anchor", "beside", "cased", "needle", "rest", "symbols", "tight")

    def __init__(self, needle: Needle, symbols: tuple[Symbol, ...], pattern: Pattern, anchor: int, beside: int) -> None:
        self.needle = needle
        self.symbols = symbols
        self.tight = pattern.tight
        self.cased = pattern.cased
        self.anchor = anchor
        self.beside = beside
        self.rest = tuple((i - anchor, s) for i, s in enumerate(symbols) if i not in (anchor, beside))


class Needle:
    """A term, shared by all topics that write it so. `topics` are those to look at where it is found."""

    __slots__ = ("idf", "key", "phrases", "single", "text", "topics", "uses")

    def __init__(self, key: Key, idf: float) -> None:
        self.key = key
        self.text = key[0]
        self.idf = idf
        self.uses = 0
        self.single: tuple[Symbol, ...] = ()
        self.phrases: tuple[Phrase, ...] = ()
        self.topics: list[Slot] = []


Key = tuple[str, bool, bool]
Symbols = tuple[Symbol, ...] | None


class _Words(dict[str, Symbols]):
    """Each distinct word's symbols, worked out when it is first met."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.by_head: dict[str, list[str]] = {}

    def __missing__(self, token: str) -> Symbols:
        found = self.engine.symbols_of(token)
        if len(token) <= _LONGEST_REMEMBERED:
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
                self.by_head.clear()
            self[token] = found
            self.by_head.setdefault(token[:3], []).append(token)
        return found

    def forget(self, word: Word) -> None:
        """What is remembered of the words that `word` concerns."""
        kind, text = word
        concerned: Iterable[str] = (text,)
        if kind == "stem":
            concerned = forms(text)
        elif kind == "prefix":
            concerned = [token for token in self.by_head.get(text[:3], ()) if token.startswith(text)]
        for token in concerned:
            if token in self:
                del self[token]
                self.by_head[token[:3]].remove(token)


class Engine:
    """`df` maps index tokens to the number of archive articles that hold them, of `documents` in all."""

    def __init__(self, df: Mapping[str, int] | None = None, documents: int = 0) -> None:
        self._df = df or {}
        self._documents = documents
        self._symbols: dict[Word, Symbol] = {}
        self._needles: dict[Key, Needle] = {}
        self._prefix_lengths: dict[int, int] = {}
        self._words = _Words(self)

    def __len__(self) -> int:
        return len(self._needles)

    # --- terms come and go ------------------------------------------------------------------------------------

    def acquire(self, term: Term) -> Needle:
        key = (term.text, term.prefix, term.exact)
        needle = self._needles.get(key)
        if needle is None:
            found = patterns(term)
            needle = self._needles[key] = Needle(key, self._idf(found[0].words))
            for pattern in found:
                self._hang(needle, pattern)
        needle.uses += 1
        return needle

    def release(self, needle: Needle) -> None:
        needle.uses -= 1
        if needle.uses:
            return
        del self._needles[needle.key]
        for symbol in needle.single:
            symbol.needles = tuple(other for other in symbol.needles if other is not needle)
            self._release_symbol(symbol)
        for phrase in needle.phrases:
            self._take_down(phrase)

    def _hang(self, needle: Needle, pattern: Pattern) -> None:
        symbols = tuple(map(self._acquire_symbol, pattern.words))
        if len(symbols) == 1 and not pattern.cased:
            symbols[0].needles += (needle,)
            needle.single += symbols
            return
        order = [self._commonness(word) for word in pattern.words]
        anchor = order.index(min(order))
        sides = [i for i in (anchor - 1, anchor + 1) if 0 <= i < len(order)]
        beside = min(sides, key=order.__getitem__, default=anchor)
        phrase = Phrase(needle, symbols, pattern, anchor, beside)
        needle.phrases += (phrase,)
        symbol = symbols[anchor]
        if beside == anchor:
            symbol.exact += (phrase,)
            return
        if beside < anchor:
            table = symbol.left = symbol.left or {}
        else:
            table = symbol.right = symbol.right or {}
        table[symbols[beside]] = (*table.get(symbols[beside], ()), phrase)

    def _take_down(self, phrase: Phrase) -> None:
        symbol = phrase.symbols[phrase.anchor]
        symbol.exact = tuple(other for other in symbol.exact if other is not phrase)
        neighbour = phrase.symbols[phrase.beside]
        for table in (symbol.left, symbol.right):
            if table and neighbour in table:
                table[neighbour] = tuple(other for other in table[neighbour] if other is not phrase)
                if not table[neighbour]:
                    del table[neighbour]
        symbol.left, symbol.right = symbol.left or None, symbol.right or None
        for used in phrase.symbols:
            self._release_symbol(used)

    def _acquire_symbol(self, word: Word) -> Symbol:
        symbol = self._symbols.get(word)
        if symbol is None:
            symbol = self._symbols[word] = Symbol(word)
            if word[0] == "prefix":
                self._prefix_lengths[len(word[1])] = self._prefix_lengths.get(len(word[1]), 0) + 1
            self._words.forget(word)
        symbol.uses += 1
        return symbol

    def _release_symbol(self, symbol: Symbol) -> None:
        symbol.uses -= 1
        if symbol.uses:
            return
        del self._symbols[symbol.word]
        kind, text = symbol.word
        if kind == "prefix":
            self._prefix_lengths[len(text)] -= 1
            if not self._prefix_lengths[len(text)]:
                del self._prefix_lengths[len(text)]
        self._words.forget(symbol.word)

    def _commonness(self, word: Word) -> float:
        """The rarest word of a phrase carries it: by the archive's counts, or else by a guess from its looks."""
        kind, text = word
        if kind == "prefix":
            return float("inf")
        if self._df:
            return self._df.get(stem(text) if kind == "word" else text, 0)
        return 1000 if text in STOP_WORDS else 100 / len(text)

    def _idf(self, words: tuple[Word, ...]) -> float:
        if not self._df or not self._documents:
            return 1.0
        common = min(self._commonness(word) for word in words)
        seen = min(common, self._documents / 50)
        return log(1 + (self._documents - seen + 0.5) / (seen + 0.5))

    # --- one article ------------------------------------------------------------------------------------------

    def symbols_of(self, token: str) -> Symbols:
        known = self._symbols
        found = [known.get(("stem", stem(token))), known.get(("word", token))]
        found += [known.get(("prefix", token[:length])) for length in self._prefix_lengths if length <= len(token)]
        return tuple(symbol for symbol in found if symbol is not None) or None

    def read(self, reading: Reading) -> None:
        """Fill `reading.hits`: every place of every term, overlapping ones too."""
        hits = reading.hits
        words: list[Symbols] = list(map(self._words.__getitem__, reading.tokens))
        words.append(None)  # both the place behind the last word and, as words[-1], the one before the first
        for place, symbols in enumerate(words):
            if not symbols:
                continue
            for symbol in symbols:
                for needle in symbol.needles:
                    if needle in hits:
                        hits[needle].append(place << SHIFT | 1)
                    else:
                        hits[needle] = [place << SHIFT | 1]
                for phrase in symbol.exact:
                    _check(phrase, place, words, reading)
                for table, beside in ((symbol.right, words[place + 1]), (symbol.left, words[place - 1])):
                    if table and beside:
                        for neighbour in beside:
                            for phrase in table.get(neighbour, ()):
                                _check(phrase, place, words, reading)


def _check(phrase: Phrase, place: int, words: list[Symbols], reading: Reading) -> None:
    first = place - phrase.anchor
    length = len(phrase.symbols)
    if first < 0 or first + length >= len(words):
        return
    for offset, symbol in phrase.rest:
        if symbol not in (words[place + offset] or ()):
            return
    if phrase.cased and not reading.is_cased(first, phrase.cased):
        return
    if phrase.tight and not all(reading.is_tight(first + i) for i in phrase.tight):
        return
    reading.hits.setdefault(phrase.needle, []).append(first << SHIFT | length)
