"""What stands in the topic bench's form, and what trying it shows. Nothing here is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.datastructures import FormData

from monitor.app import Opened
from monitor.errors import MonitorError, Problem, QueryError
from monitor.match import WARNINGS, check_query
from monitor.match.backtest import Backtest
from monitor.match.measure import Share, precision
from monitor.model import Topic, WeightedTerm
from monitor.web.shapes import caret_line

MONTH = 30  # days


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The form as it was sent: what does not make sense stays to be corrected."""

    name: str = ""
    query: str = ""
    weights: str = ""
    threshold: str = "0"
    sources: str = ""
    languages: str = ""
    days: int = MONTH
    note: str = ""
    revision: int = 0

    def topic(self, saved: Topic) -> Topic:
        """Raises MonitorError that names the field."""
        try:
            threshold = float(self.threshold or 0)
        except ValueError as error:
            raise MonitorError(f"threshold: {self.threshold[:40]!r} is no number") from error
        return replace(
            saved,
            name=self.name.strip()[:200] or saved.name,
            query=self.query.strip(),
            weights=_weights(self.weights),
            threshold=threshold,
            sources=_words(self.sources),
            languages=_words(self.languages),
            revision=self.revision or saved.revision,
        )


def draft_of(topic: Topic, days: int = MONTH) -> Draft:
    return Draft(
        name=topic.name,
        query=topic.query,
        weights="\n".join(f"{one.term} = {one.weight:g}" for one in topic.weights),
        threshold=f"{topic.threshold:g}",
        sources=", ".join(topic.sources),
        languages=", ".join(topic.languages),
        days=days,
        revision=topic.revision,
    )


def read_draft(form: FormData, saved: Topic) -> Draft:
    """The form as it was sent; what it leaves out is as saved. `take`: a query that somebody chose from an offer."""

    def text(name: str, otherwise: str = "", most: int = 1_000) -> str:
        return str(form.get(name, otherwise))[:most]

    days, revision = text("days", str(MONTH)), text("revision", "0")
    kept = draft_of(saved)
    query = text("take", most=25_000) or text("query", kept.query, 25_000)
    return Draft(
        name=text("name", kept.name),
        query=query.replace("\r\n", "\n"),  # as the browser counts its columns
        weights=text("weights", kept.weights, 20_000),
        threshold=text("threshold", kept.threshold),
        sources=text("sources", kept.sources),
        languages=text("languages", kept.languages),
        days=int(days) if days in {"0", "30", "90", "365"} else MONTH,
        note=text("note"),
        revision=int(revision) if revision.isascii() and revision.isdecimal() and len(revision) < 10 else 0,
    )


def _weights(text: str) -> tuple[WeightedTerm, ...]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        term, equals, weight = line.rpartition("=")
        try:
            found.append(WeightedTerm(term=term.strip(), weight=float(weight if equals else "")))
        except ValueError as error:
            raise MonitorError(f"weights, line {number}: write it like  opioid tolerance = 2") from error
    return tuple(found)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A problem with its place shown. `found` false: only a warning."""

    problem: Problem
    line: str
    carets: str
    blocks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A draft, tried. Without a `backtest` it could not be."""

    understood: str = ""
    mistakes: tuple[Mistake, ...] = ()
    backtest: Backtest | None = None
    precision: Share | None = None

    @property
    def change(self) -> str:
        """For the button: (+12 −3)."""
        if self.backtest is None:
            return ""
        return f"(+{len(self.backtest.gained)} −{len(self.backtest.lost)})"


async def try_draft(opened: Opened, saved: Topic, draft: Draft) -> Preview:
    """Read the draft's query and run it on the archive. Nothing is stored."""
    query, problems = check_query(draft.query) if draft.query.strip() else (None, ())
    mistakes = tuple(_mistake(draft.query, one, blocks=one.code not in WARNINGS) for one in problems)
    understood = str(query) if query is not None else ""
    if any(one.blocks for one in mistakes):
        return Preview(mistakes=mistakes)
    try:
        topic = draft.topic(saved)
        backtest = await opened.monitor.tuning.backtest(saved.slug, topic, draft.days or None)
    except QueryError as error:  # in a weighted term
        wrong = tuple(_mistake(error.text, one, blocks=True) for one in error.problems)
        return Preview(understood=understood, mistakes=(*mistakes, *wrong))
    except MonitorError as error:
        wrong = (_mistake("", Problem(code="field", message=str(error)), blocks=True),)
        return Preview(understood=understood, mistakes=(*mistakes, *wrong))
    found = precision(hit.verdict for hit in (*backtest.gained, *backtest.unchanged))
    return Preview(understood=understood, mistakes=mistakes, backtest=backtest, precision=found)


def _mistake(text: str, one: Problem, *, blocks: bool) -> Mistake:
    line, carets = caret_line(text, one.start, one.end) if text else ("", "")
    return Mistake(problem=one, line=line, carets=carets, blocks=blocks)
