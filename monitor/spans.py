"""Traces: what one visit or message did, step by step, for an OpenTelemetry collector. Off unless one is named.

    with spans.span("visit", source=source.slug) as span:
        …                                   what is called in here makes spans below this one
        span.tell(entries=20, new=3)

Facts are counts, slugs, host names, outcomes and classes of errors. Never an address, a URL (its query may hold a key)
or the text of an error (which quotes both): so an exception that passes through marks its span by its class alone.

The exporter opens its connection itself (by `requests`, in a thread of its own), past monitor.fetch's guard: that is
for addresses from outside, and this one is an operator's, who may well mean an internal host. So it is with the relay.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from monitor.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan

SERVICE = "medical-news-monitor"
SEND_SECONDS = 5  # for one batch: a collector that hangs must not hold up the program's end
LONGEST = 200  # characters of a fact

Fact = str | bool | int | float


class Span:
    """One step. This one is told to nobody."""

    def tell(self, **facts: Fact) -> None:
        """Add what is known only now."""

    def drop(self) -> None:
        """Nothing happened: it is not worth a line."""


class Spans:
    """Makes spans that go nowhere, at the cost of a call."""

    _NOTHING = Span()

    @contextmanager
    def span(self, name: str, *, parent: str = "", **facts: Fact) -> Iterator[Span]:
        """A step, as long as the body runs; below the one that is open here, or below `parent` (a W3C traceparent)."""
        yield self._NOTHING

    def here(self) -> str:
        """The open span as a traceparent, to be handed to another process; empty where there is none."""
        return ""

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""


OFF = Spans()


class _Told(Span):
    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        self.wanted = True

    def tell(self, **facts: Fact) -> None:
        self._span.set_attributes(_short(facts))

    def drop(self) -> None:
        self.wanted = False


class ToCollector(Spans):
    """Sends them by OTLP over HTTP, in batches, from a thread. `share` (0 to 1) of what begins here is traced; what
    began elsewhere is if it was there. Raises ConfigError without the extra `otel`, and for a URL that cannot be one.
    """

    def __init__(self, url: str, *, version: str, headers: Mapping[str, str] | None = None, share: float = 1.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(f"otel.url = {url!r} is no http or https address")
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise ConfigError('otel.url needs OpenTelemetry: pip install "medical-news-monitor[otel]"') from error
        here = {
            "service.name": SERVICE,
            "service.version": version,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
        endpoint = url if parts.path.rstrip("/").endswith("/v1/traces") else url.rstrip("/") + "/v1/traces"
        exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers or {}), timeout=SEND_SECONDS)
        self._provider = TracerProvider(
            resource=Resource.create(here), sampler=ParentBasedTraceIdRatio(share), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE, version)
        self._trace, self._propagator = trace, TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, *, parent: str = "", **facts: Fact) -> Iterator[Span]:
        context = self._propagator.extract({"traceparent": parent}) if parent else None
        span = self._tracer.start_span(name, context, attributes=_short(facts))
        told = _Told(span)
        try:
            with self._trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
                yield told
        except BaseException as error:
            span.set_status(self._trace.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            if told.wanted:
                span.end()

    def here(self) -> str:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent", "")

    def close(self) -> None:
        self._provider.shutdown()


def read_headers(text: str) -> dict[str, str]:
    """NAME=VALUE with commas or line ends between. Raises ConfigError."""
    pairs = [part.strip() for line in text.splitlines() for part in line.split(",") if part.strip()]
    split = [pair.partition("=") for pair in pairs]
    if any(not name.strip() or not equals for name, equals, _ in split):
        raise ConfigError("otel.headers: each is NAME=VALUE")
    return {name.strip(): value.strip() for name, _, value in split}


def _short(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {name: fact[:LONGEST] if isinstance(fact, str) else fact for name, fact in facts.items()}
