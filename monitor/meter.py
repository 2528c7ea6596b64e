"""What is counted while the program runs, and how Prometheus wants to read it (text format 0.0.4).

Names and units stand here and nowhere else; the dashboard and the alert rules in ops/ use no others (a test compares).
No label holds an article, an address or a URL, and no metric more than LABEL_SETS of them: what is beyond counts as
"other", so a thousandth source costs the monitoring no more than it can bear.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

LABEL_SETS = 1_000
OTHER = "other"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Labels = tuple[str, ...]
BEGIN_AT_ZERO = {
    "messages": ("accepted", "deferred", "failed", "in_doubt"),
    "bounces": ("hard", "soft", "policy", "complaint"),
    "unsubscribes": ("link", "admin", "complaint"),
}


@dataclass(slots=True)
class Metric:
    """One family. `kind` is "counter" or "gauge"; a counter without labels begins at 0."""

    name: str
    kind: str
    help: str
    labels: Labels = ()
    values: dict[Labels, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind == "counter" and not self.labels:
            self.values[()] = 0.0

    def add(self, *labels: str, by: float = 1.0) -> None:
        key = _bounded(self.values, labels)
        self.values[key] = self.values.get(key, 0.0) + by

    def set(self, value: float, *labels: str) -> None:
        self.values[_bounded(self.values, labels)] = value

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.kind, self.help)
        for labels, value in self.values.items():
            yield f"{self.name}{_written(self.labels, labels)} {_number(value)}"


@dataclass(slots=True)
class Histogram:
    """Seconds, in buckets whose upper bounds are given."""

    name: str
    help: str
    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    @contextmanager
    def timed(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - started)

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, "histogram", self.help)
        seen = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            yield f"{self.name}_bucket{_written(('le',), (_number(bound),))} {seen}"
        yield f"{self.name}_sum {_number(self.total)}"
        yield f"{self.name}_count {seen}"


class Meter:
    """The counters of one process. Used from its event loop alone, so nothing is locked."""

    def __init__(self) -> None:
        self.fetches = Metric(
            "monitor_fetch_requests_total", "counter", "Visits to sources by outcome.", ("source", "outcome")
        )
        self.fetch_seconds = Histogram(
            "monitor_fetch_duration_seconds", "One visit to a source, all of it.", (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)
        )
        self.stored = Metric("monitor_articles_stored_total", "counter", "New articles.", ("source",))
        self.duplicates = Metric(
            "monitor_articles_duplicate_total", "counter", "Entries whose article was there already."
        )
        self.matches = Metric("monitor_matches_total", "counter", "Matches found in what was read.", ("topic",))
        self.topics: dict[int, str] = {}  # slugs, for the label
        self.match_seconds = Histogram(
            "monitor_match_duration_seconds", "One article against every topic.", (0.0005, 0.001, 0.005, 0.02, 0.1, 0.5)
        )
        self.jobs = Metric("monitor_job_runs_total", "counter", "Beats of the heartbeat.", ("job", "outcome"))
        self.job_success = Metric(
            "monitor_job_last_success_timestamp_seconds",
            "gauge",
            "When a beat last went well; until then, when it began.",
            ("job",),
        )
        self.messages = Metric(
            "monitor_digest_messages_total", "counter", "Messages by what became of them.", ("outcome",)
        )
        self.render_seconds = Histogram(
            "monitor_digest_render_duration_seconds", "One digest, composed and rendered.", (0.01, 0.05, 0.2, 1, 5)
        )
        self.bounces = Metric("monitor_bounces_total", "counter", "Mail that came back.", ("class",))
        self.unsubscribes = Metric("monitor_unsubscribes_total", "counter", "Readers who left.", ("via",))
        for metric, values in BEGIN_AT_ZERO.items():  # a rate needs a beginning: the first failure is one, too
            for value in values:
                getattr(self, metric).add(value, by=0.0)

    def begin(self, job: str, at: datetime) -> None:
        """A beat is there, and its silence counts from now: one that never goes well is silent, too."""
        self.jobs.add(job, "failed", by=0.0)
        self.job_success.set(at.timestamp(), job)

    def beat(self, job: str, well_at: datetime | None) -> None:
        """A beat ended: well, then; or (None) not."""
        self.jobs.add(job, "ok" if well_at else "failed")
        if well_at:
            self.job_success.set(well_at.timestamp(), job)

    def visited(self, source: str, outcome: str, seconds: float) -> None:
        self.fetches.add(source, outcome)
        self.fetch_seconds.observe(seconds)

    def matched(self, topic_ids: Iterable[int]) -> None:
        for topic_id in topic_ids:
            self.matches.add(self.topics.get(topic_id, OTHER))

    def families(self) -> list[Metric | Histogram]:
        return [value for value in vars(self).values() if isinstance(value, Metric | Histogram)]


def exposition(families: Iterable[Metric | Histogram]) -> str:
    """All of it as Prometheus reads it."""
    return "".join(f"{line}\n" for family in families for line in family.lines())


def gauge(name: str, text: str, values: Mapping[Labels, float] | float, labels: Labels = ()) -> Metric:
    """A figure that is looked up when it is asked for."""
    known: dict[Labels, float] = {(): values} if isinstance(values, float | int) else dict(values)
    return Metric(name, "gauge", text, labels, known)


def _bounded(values: Mapping[Labels, float], labels: Labels) -> Labels:
    return labels if labels in values or len(values) < LABEL_SETS else (OTHER,) * len(labels)


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _written(names: Labels, values: Labels) -> str:
    pairs = [f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
