"""Words that tell one heap of articles from another: what a topic might add, or exclude.

Dunning's G² (1993) on document frequencies finds them; lift and support thresholds drop what is only common. What a
suggestion would change is not guessed here: the caller tries it on the archive (monitor.match.backtest).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log

from monitor.match.vocabulary import STOP_WORDS, TEXT_FIELDS
from monitor.model import And, Article, AtLeast, Near, Not, Or, Query, Term
from monitor.text import BARRIER, stem, tokens

MIN_G2 = 10.83  # chi-square of one degree of freedom at 0.1 %: thousands of terms are looked at
MIN_LIFT = 3.0
MIN_SUPPORT = 3
MAX_WORDS = 20_000  # of one article

Gram = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """`support` articles of those wanted hold `term`, `lift` times as large a share as of the others."""

    term: str
    query_form: str
    g2: float
    lift: float
    support: int
    background: int = 0


def article_text(article: Article) -> str:
    """What suggestions read of an article; the blank line is a barrier between title and text."""
    return f"{article.title}\n\n{article.body or article.summary}"


def suggest(
    wanted: Sequence[str],
    others: Iterable[str],
    query: Query | None = None,
    *,
    limit: int = 20,
    min_support: int = MIN_SUPPORT,
    min_lift: float = MIN_LIFT,
) -> list[Suggestion]:
    """Words and pairs of words over-represented in `wanted` against `others`, the most telling first.

    Plurals count with their singular. Left out: pairs that begin or end with a stop word, numbers, parts of what
    `query` already asks for and what contains it, and what the same articles already showed under a better term.
    """
    holders, printed = _grams(wanted)
    known = _known(query)
    holders = {
        gram: documents
        for gram, documents in holders.items()
        if len(documents) >= min_support and not _is_known(gram, known)
    }
    background, size = _background(others, holders)
    found: list[tuple[Suggestion, Gram]] = []
    for gram, documents in holders.items():
        score, lift = contrast(len(documents), len(wanted), background[gram], size)
        if score >= MIN_G2 and lift >= min_lift:
            term = " ".join(word.most_common(1)[0][0] for word in printed[gram])
            form = f'"{term}"' if " " in term else term
            suggestion = Suggestion(
                term=term, query_form=form, g2=score, lift=lift, support=len(documents), background=background[gram]
            )
            found.append((suggestion, gram))
    found.sort(key=lambda pair: (-pair[0].g2, -len(pair[1]), pair[0].term))
    return _distinct(found, holders, limit, min_support)


def contrast(part: int, whole: int, other_part: int, other_whole: int) -> tuple[float, float]:
    """Dunning's G² of a 2×2 table, and the lift of the first share over the second (smoothed by half a document)."""
    total = whole + other_whole
    both = part + other_part
    if not whole or not other_whole or not part:
        return 0.0, 0.0
    cells = (
        (part, whole * both / total),
        (whole - part, whole * (total - both) / total),
        (other_part, other_whole * both / total),
        (other_whole - other_part, other_whole * (total - both) / total),
    )
    score = 2 * sum(seen * log(seen / expected) for seen, expected in cells if seen and expected)
    lift = (part / whole) / ((other_part + 0.5) / (other_whole + 0.5))
    return (score if part * other_whole > other_part * whole else 0.0), lift


# --- counting -------------------------------------------------------------------------------------------------


def _grams(texts: Sequence[str]) -> tuple[dict[Gram, set[int]], dict[Gram, list[Counter[str]]]]:
    """Which texts hold each gram (of stems), and how its words are written there."""
    holders: dict[Gram, set[int]] = {}
    printed: dict[Gram, list[Counter[str]]] = {}
    for number, text in enumerate(texts):
        seen: dict[Gram, Gram] = {}
        for gram, words in _of(text):
            seen.setdefault(gram, words)
        for gram, words in seen.items():
            holders.setdefault(gram, set()).add(number)
            for counter, word in zip(printed.setdefault(gram, [Counter() for _ in words]), words, strict=True):
                counter[word] += 1
    return holders, printed


def _of(text: str) -> Iterator[tuple[Gram, Gram]]:
    """Each telling gram of a text, as stems and as it is written."""
    words = tokens(text)[:MAX_WORDS]
    stems = [stem(word) for word in words]
    telling = [_is_telling(word) for word in words]
    for place, word in enumerate(words):
        if not telling[place]:
            continue
        if len(word) > 2:
            yield (stems[place],), (word,)
        if place + 1 < len(words) and telling[place + 1]:
            yield (stems[place], stems[place + 1]), (word, words[place + 1])


def _is_telling(word: str) -> bool:
    return word != BARRIER and word not in STOP_WORDS and not word.isdecimal()


def _background(texts: Iterable[str], wanted: dict[Gram, set[int]]) -> tuple[Counter[Gram], int]:
    """In how many of `texts` each wanted gram stands, and how many there are."""
    single = {gram[0] for gram in wanted if len(gram) == 1}
    first = {gram[0] for gram in wanted if len(gram) == 2}
    counts: Counter[Gram] = Counter()
    stems: dict[str, str] = {}
    size = 0
    for text in texts:
        size += 1
        row = []
        for word in tokens(text)[:MAX_WORDS]:
            found = stems.get(word)
            if found is None:
                found = stems[word] = stem(word)
            row.append(found)
        counts.update((word,) for word in single.intersection(row))
        counts.update(pair for pair in set(pairwise(row)) if pair[0] in first and pair in wanted)
    return counts, size


# --- dropping -------------------------------------------------------------------------------------------------


def _known(query: Query | None) -> list[Gram]:
    """The words of each term of `query`, as stems."""
    if query is None:
        return []
    if isinstance(query, Term):
        if query.field not in TEXT_FIELDS:
            return []
        return [tuple(stem(word) for word in tokens(query.text) if word != BARRIER)]
    if isinstance(query, And | Or | Near):
        return [gram for part in query.parts for gram in _known(part)]
    return _known(query.part) if isinstance(query, Not | AtLeast) else []


def _is_known(gram: Gram, known: list[Gram]) -> bool:
    return any(_contains(term, gram) or _contains(gram, term) for term in known)


def _contains(whole: Gram, part: Gram) -> bool:
    length = len(part)
    return bool(part) and any(whole[at : at + length] == part for at in range(len(whole) - length + 1))


def _distinct(
    found: list[tuple[Suggestion, Gram]], holders: dict[Gram, set[int]], limit: int, min_support: int
) -> list[Suggestion]:
    """A term that shares a word with a better one stays only if it finds enough articles which that one does not."""
    kept: list[tuple[Suggestion, Gram]] = []
    for suggestion, gram in found:
        fresh = all(
            not set(gram) & set(other) or len(holders[gram] - holders[other]) >= min_support for _, other in kept
        )
        if fresh:
            kept.append((suggestion, gram))
        if len(kept) == limit:
            break
    return [replace(suggestion, g2=round(suggestion.g2, 3), lift=round(suggestion.lift, 3)) for suggestion, _ in kept]
