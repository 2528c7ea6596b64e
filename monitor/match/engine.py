"""Finds the terms of every topic in one pass over an article's words.

Each distinct word is looked up once and remembered with its symbols (its stem, itself, its beginnings). A term of one
word hangs on its symbol. A phrase hangs on its rarest word and is only looked at where the rarer of that word's
neighbours stands beside it. Symbols and terms are counted: the last topic that lets one go frees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import compress
from math import log
from typing import TYPE_CHECKING

from monitor.match.reading import SHIFT, Reading
from monitor.match.terms import Pattern, Word, patterns
from monitor.match.vocabulary import STOP_WORDS
from monitor.model import Term
from monitor.text import forms, stem

if TYPE_CHECKING:
    from monitor.match.matcher import Slot

HEAD = 3  # letters by which remembered words are found again
_MAX_LETTERS = 2_000_000  # of all words remembered; some 200,000 words


class Symbol:
    """One thing that a word of a text can be: a stem, an exact word, or a beginning."""

    __slots__ = ("common", "exact", "left", "needles", "right", "uses", "word")

    @property
    def carries(self) -> bool:
        return bool(self.needles or self.exact or self.left or self.right)

    def __init__(self, word: Word, common: float) -> None:
        self.word = word
        self.common = common
        self.uses = 0
        self.needles: tuple[Needle, ...] = ()
        self.exact: tuple[Phrase, ...] = ()
        self.left: Beside | None = None
        self.right: Beside | None = None


Symbols = tuple[Symbol, ...]


class Beside(dict[Symbol, tuple["Phrase", ...]]):
    """Phrases by the neighbour of the word that carries them. `heads` are the neighbours' first letters, which folding
    and stemming keep: a glance at them saves most words beside from being looked up.
    """

    __slots__ = ("heads",)

    def __init__(self) -> None:
        super().__init__()
        self.heads = ""

    def put(self, neighbour: Symbol, phrase: Phrase) -> None:
        self[neighbour] = (*self.get(neighbour, ()), phrase)
        if neighbour.word[1][0] not in self.heads:
            self.heads += neighbour.word[1][0]


class Phrase:
    """Symbols in a row. `beside` is the place of the neighbour it is looked up by."""

    __slots__ = ("anchor", "beside", "cased", "needle", "symbols", "tight")

    def __init__(self, needle: Needle, symbols: Symbols, pattern: Pattern, anchor: int, beside: int) -> None:
        self.needle = needle
        self.symbols = symbols
        self.tight = pattern.tight
        self.cased = pattern.cased
        self.anchor = anchor
        self.beside = beside


class Needle:
    """A term, shared by all topics that write it so. `topics` are those to look at where it is found."""

    __slots__ = ("idf", "key", "phrases", "single", "text", "topics", "uses")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.text = key[0]
        self.idf = 1.0
        self.uses = 0
        self.single: tuple[Symbol, ...] = ()
        self.phrases: tuple[Phrase, ...] = ()
        self.topics: tuple[Slot, ...] = ()


Key = tuple[str, bool, bool]


class _Words(dict[str, Symbols]):
    """The symbols of each distinct word met so far; in `carrying` only those of them on which a term hangs."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.carrying = _Carrying(self)
        self.letters = 0
        self.by_head: dict[str, list[str]] = {}

    def __missing__(self, token: str) -> Symbols:
        found = self.engine.symbols_of(token)
        self[token] = found
        self.letters += len(token)
        self.by_head.setdefault(token[:HEAD], []).append(token)
        self.carrying[token] = tuple(symbol for symbol in found if symbol.carries)
        return found

    def carriers(self, tokens: list[str]) -> list[Symbols]:
        """For each of `tokens` its symbols on which a term hangs."""
        if self.letters > _MAX_LETTERS:
            self.forget_all()
        return list(map(self.carrying.__getitem__, tokens))

    def forget(self, word: Word) -> None:
        """What is remembered of the words that `word` concerns."""
        if not self:
            return
        kind, text = word
        concerned: Iterable[str] = (text,)
        if kind == "stem":
            concerned = forms(text)
        elif kind == "prefix":
            concerned = [token for token in self._headed(text) if token.startswith(text)]
        for token in concerned:
            if token in self:
                del self[token]
                del self.carrying[token]
                self.by_head[token[:HEAD]].remove(token)

    def _headed(self, text: str) -> Iterable[str]:
        """Words that may begin with `text`. Of IL6* the beginning 6* is shorter than the heads."""
        if len(text) >= HEAD:
            return self.by_head.get(text[:HEAD], ())
        return [token for head, tokens in self.by_head.items() if head.startswith(text) for token in tokens]

    def forget_all(self) -> None:
        self.clear()
        self.carrying.clear()
        self.by_head.clear()
        self.letters = 0


class _Carrying(dict[str, Symbols]):
    def __init__(self, words: _Words) -> None:
        super().__init__()
        self.words = words

    def __missing__(self, token: str) -> Symbols:
        self.words.__missing__(token)
        return self[token]


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
            needle = self._needles[key] = Needle(key)
            common = [self._hang(needle, pattern) for pattern in patterns(term)]
            needle.idf = self._idf(common[0])
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
        needle.phrases = ()  # no circle is left for a collector

    def _hang(self, needle: Needle, pattern: Pattern) -> float:
        """Also tells how common the rarest of its words is, which carries it."""
        symbols = tuple(map(self._acquire_symbol, pattern.words))
        if len(symbols) == 1 and not pattern.cased:
            self._carry(symbols[0])
            symbols[0].needles += (needle,)
            needle.single += symbols
            return symbols[0].common
        order = [symbol.common for symbol in symbols]
        common = min(order)
        anchor = order.index(common)
        beside = anchor - 1 if anchor else min(1, len(order) - 1)
        if 0 < anchor < len(order) - 1 and order[anchor + 1] < order[anchor - 1]:
            beside = anchor + 1
        phrase = Phrase(needle, symbols, pattern, anchor, beside)
        needle.phrases += (phrase,)
        symbol = symbols[anchor]
        self._carry(symbol)
        if beside == anchor:
            symbol.exact += (phrase,)
            return common
        if beside < anchor:
            table = symbol.left = symbol.left or Beside()
        else:
            table = symbol.right = symbol.right or Beside()
        table.put(symbols[beside], phrase)
        return common

    def _carry(self, symbol: Symbol) -> None:
        if not symbol.carries:
            self._words.forget(symbol.word)

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
            symbol = self._symbols[word] = Symbol(word, self._commonness(word))
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

    def _idf(self, common: float) -> float:
        if not self._df or not self._documents:
            return 1.0
        seen = min(common, self._documents / 50)
        return log(1 + (self._documents - seen + 0.5) / (seen + 0.5))

    # --- one article ------------------------------------------------------------------------------------------

    def symbols_of(self, token: str) -> Symbols:
        known = self._symbols
        found = [known.get(("stem", stem(token))), known.get(("word", token))]
        found += [known.get(("prefix", token[:length])) for length in self._prefix_lengths if length <= len(token)]
        return tuple(symbol for symbol in found if symbol is not None)

    def read(self, reading: Reading) -> None:
        """Fill `reading.hits`: every place of every term, overlapping ones too."""
        hits, tokens = reading.hits, reading.tokens
        words = self._words
        carriers = words.carriers(tokens)
        last = len(tokens) - 1
        for place in compress(range(len(tokens)), carriers):
            for symbol in carriers[place]:
                for needle in symbol.needles:
                    if needle in hits:
                        hits[needle].append(place << SHIFT | 1)
                    else:
                        hits[needle] = [place << SHIFT | 1]
                for phrase in symbol.exact:
                    self._check(phrase, place, reading)
                if symbol.right is not None and place < last and tokens[place + 1][0] in symbol.right.heads:
                    for neighbour in words[tokens[place + 1]]:
                        for phrase in symbol.right.get(neighbour, ()):
                            self._check(phrase, place, reading)
                if symbol.left is not None and place and tokens[place - 1][0] in symbol.left.heads:
                    for neighbour in words[tokens[place - 1]]:
                        for phrase in symbol.left.get(neighbour, ()):
                            self._check(phrase, place, reading)

    def _check(self, phrase: Phrase, place: int, reading: Reading) -> None:
        """The anchor and its neighbour stand there: note a hit if the rest does too."""
        first = place - phrase.anchor
        length = len(phrase.symbols)
        tokens = reading.tokens
        if first < 0 or first + length > len(tokens):
            return
        for token, symbol in zip(tokens[first : first + length], phrase.symbols, strict=True):
            if symbol not in self._words[token]:
                return
        if phrase.cased and not reading.is_cased(first, phrase.cased):
            return
        if phrase.tight and not all(reading.is_tight(first + i) for i in phrase.tight):
            return
        reading.hits.setdefault(phrase.needle, []).append(first << SHIFT | length)
