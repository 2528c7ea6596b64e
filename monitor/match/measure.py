"""How good a topic's filter is, by what people said of its articles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from monitor.match.matcher import Matcher
from monitor.model import Article, Label, Topic, Verdict

CONFIDENCE = 1.959964  # standard normal deviate of 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`part` of `whole`, and between which bounds the true share lies with 95 % confidence (Wilson's interval)."""

    part: int
    whole: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """None of nothing."""
        return self.part / self.whole if self.whole else None


def wilson(part: int, whole: int, z: float = CONFIDENCE) -> Share:
    """Wilson's score interval (1927): holds for small numbers and for shares near 0 and 1. Of nothing it is 0 to 1."""
    if not 0 <= part <= whole:
        raise ValueError(f"{part} of {whole}")
    if not whole:
        return Share(part=0, whole=0, low=0.0, high=1.0)
    share = part / whole
    centre = share + z * z / (2 * whole)
    margin = z * sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    low = 0.0 if part == 0 else max(0.0, (centre - margin) / scale)
    high = 1.0 if part == whole else min(1.0, (centre + margin) / scale)
    return Share(part=part, whole=whole, low=low, high=high)


def precision(said: Iterable[Verdict | None]) -> Share | None:
    """Of what a topic finds, by the verdicts on it; None says nothing, and of none at all nothing is known."""
    known = [one for one in said if one is not None]
    return wilson(sum(one is Verdict.RELEVANT for one in known), len(known)) if known else None


def verdicts(labels: Iterable[Label]) -> dict[int, Verdict]:
    """One verdict for each article: what most people said; of a draw, what was said last."""
    said: dict[int, list[Label]] = defaultdict(list)
    for label in labels:
        said[label.article_id].append(label)
    return {article_id: _verdict(given) for article_id, given in said.items()}


def _verdict(given: Sequence[Label]) -> Verdict:
    relevant = sum(label.verdict is Verdict.RELEVANT for label in given)
    if relevant * 2 == len(given):
        return max(given, key=lambda label: label.labelled_at).verdict
    return Verdict.RELEVANT if relevant * 2 > len(given) else Verdict.NOT_RELEVANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One revision against the labelled articles. `precision`: of those it matches, how many are relevant; `recall`: of
    the relevant ones, how many it matches (only labelled ones are known: what nobody saw is in neither).
    """

    revision: int
    query: str
    precision: Share
    recall: Share

    @property
    def read_per_hit(self) -> float | None:
        """How many articles are read for one that is relevant; None where none was."""
        return self.precision.whole / self.precision.part if self.precision.part else None


def measure(topic: Topic, labelled: Iterable[tuple[Article, Verdict]]) -> Measure:
    """`topic` as it stands, on articles whose verdict is known. Raises QueryError if its query is wrong."""
    matcher = Matcher()
    matcher.add(topic)
    hits = relevant = found = 0
    for article, verdict in labelled:
        matches = bool(matcher.match(article))
        hits += matches
        relevant += verdict is Verdict.RELEVANT
        found += matches and verdict is Verdict.RELEVANT
    return Measure(
        revision=topic.revision, query=topic.query, precision=wilson(found, hits), recall=wilson(found, relevant)
    )
