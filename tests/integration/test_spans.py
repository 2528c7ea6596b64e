"""Traces: what a real OpenTelemetry SDK sends to a collector about visits and mail, and what it must never send."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pgtemp import TempPostgres
from publisher import Publisher
from pydantic import SecretStr
from running import Clock, running
from storage_samples import a_delivery

import storage as store
from monitor import app as composition
from monitor.app import Role
from monitor.errors import ConfigError
from monitor.model import Source, Subscriber, Subscription
from monitor.spans import OFF, ToCollector, read_headers

READER = "ada.lovelace@example.org"
SECRET = "s3cret-key"


class Span:
    def __init__(self, raw: Any) -> None:
        self.name, self.id, self.parent, self.trace = raw.name, raw.span_id, raw.parent_span_id, raw.trace_id
        self.facts = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in raw.attributes}
        self.failed, self.events = raw.status.message if raw.status.code == 2 else "", list(raw.events)


class Collector(ThreadingHTTPServer):
    """Understands OTLP over HTTP; `silent`: takes the call and never answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.raw = b""
        self.silent = threading.Event()
        self.end = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def above(self, span: Span) -> str:
        return next((one.name for one in self.spans if one.id == span.parent), "")


class _Take(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        if server.silent.is_set():
            server.end.wait(60)
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.raw += body
        server.headers.append({**dict(self.headers), "path": self.path})
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            server.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            server.spans += [Span(raw) for scope in resource.scope_spans for raw in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        getattr(server, "end", threading.Event()).set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with serving(Collector()) as server:
        yield server


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with serving(Publisher()) as server:
        server.pause = 0.0
        yield server


def feed(publisher: Publisher, path: str = "/feed") -> Source:
    return Source(slug="news", name="News", url=f"http://{publisher.origin}{path}?api_key={SECRET}", pages=False)


async def test_a_visit_and_a_message_are_told_step_by_step(
    collector: Collector, publisher: Publisher, tmp_path: Path
) -> None:
    clock = Clock()
    over = {"otel__url": collector.url, "otel__headers": "authorization=Bearer abc, x-team=lab", "smtp__host": ""}
    async with running(
        tmp_path, clock, sources=[feed(publisher)], fetch__allow=(publisher.origin,), scholarly__enrich=False, **over
    ) as monitor:
        reader = await monitor.storage.readers.add_subscriber(Subscriber(email=READER), clock())
        topics = tuple(topic.id for topic in await monitor.storage.topics.list())
        await monitor.storage.readers.add_subscription(
            Subscription(subscriber_id=reader.id, topic_ids=topics, next_digest_at=clock())
        )
        await monitor.storage.outbox.enqueue_mail(a_delivery(None, reader, "letter", queued_at=clock()))
        await monitor.run_due()

    tree = {(span.name, collector.above(span)) for span in collector.spans}
    assert tree >= {
        ("visit", ""),
        ("fetch", "visit"),
        ("parse", "visit"),
        ("match", "visit"),
        ("digest", ""),
        ("send", ""),
    }
    (visit,), (match,), (parse,) = (collector.named(name) for name in ("visit", "match", "parse"))
    assert visit.facts == {"source": "news", "outcome": "ok", "entries": 1, "new": 1}
    assert match.facts == {"articles": 1, "matches": 0, "topics": 0}
    assert parse.facts == {"what": "parse_feed"}
    assert collector.named("fetch")[0].facts == {"host": publisher.origin, "status": 200, "unchanged": False}
    assert collector.named("digest")[0].facts["topics"] == len(topics)
    assert len({span.trace for span in collector.spans if span.name in {"visit", "fetch", "parse", "match"}}) == 1
    assert collector.services == {"medical-news-monitor"}
    assert collector.headers[0]["path"] == "/v1/traces"
    assert (collector.headers[0]["authorization"], collector.headers[0]["x-team"]) == ("Bearer abc", "lab")


async def test_no_address_no_key_and_no_text_of_an_error_leaves(
    collector: Collector, publisher: Publisher, tmp_path: Path
) -> None:
    """An error quotes its URL, key and all, and a refused mail its reader: of both only the class is told."""
    clock, dead = Clock(), Source(slug="dead", name="Dead", url=f"http://127.0.0.1:9/{READER}?key={SECRET}")
    async with running(
        tmp_path, clock, sources=[feed(publisher), dead], fetch__allow=(publisher.origin, "127.0.0.1:9"),
        scholarly__enrich=False, otel__url=collector.url, smtp__host="127.0.0.1", smtp__port=9,
    ) as monitor:  # fmt: skip
        reader = await monitor.storage.readers.add_subscriber(Subscriber(email=READER), clock())
        await monitor.storage.outbox.enqueue_mail(a_delivery(None, reader, "letter", queued_at=clock()))
        await monitor.run_due()

    assert collector.named("send")[0].failed == "RelayUnreachable"
    assert {span.failed for span in collector.named("fetch")} == {"", "FetchError"}
    assert {span.facts["outcome"] for span in collector.named("visit")} == {"ok", "FetchError"}
    assert not any(span.events for span in collector.spans)
    for word in (SECRET, READER, "ada", "api_key"):
        assert word.encode() not in collector.raw, word


@pytest.mark.postgres
async def test_a_trace_goes_on_from_the_leader_to_the_worker(
    collector: Collector, publisher: Publisher, postgres: TempPostgres, tmp_path: Path
) -> None:
    url = postgres.create(f"spans_{os.urandom(3).hex()}")
    store.migrate(url)
    settings = composition.settings(
        data_dir=tmp_path, storage__url=url, run__engine="procrastinate", secret_key=SecretStr("k" * 40),
        otel__url=collector.url, fetch__allow=(publisher.origin,), fetch__host_delay=0.0, scholarly__enrich=False,
        backup__every_hours=0,
    )  # fmt: skip
    async with composition.open_monitor(settings, first_sources=[feed(publisher)]) as opened:
        dispatcher = opened.dispatcher(Role.ALL)
        beats = {beat.name: beat.work for beat in dispatcher.beats()}
        await beats["lead"]()
        await beats["crew"]()
        async with asyncio.timeout(30):
            while not publisher.visits or (await opened.monitor.storage.jobs.load()).doing:
                await beats["feed"]()
                await asyncio.sleep(0.05)
        assert await beats["feed"]() == 0
        await dispatcher.drain(5)

    (visit,), (job,) = collector.named("visit"), [one for one in collector.named("job") if one.facts["kind"] == "visit"]
    assert (collector.above(visit), collector.above(job)) == ("job", "feed")
    assert job.facts == {"kind": "visit", "host": publisher.origin, "done": 1}
    assert [span.facts["jobs"] for span in collector.named("feed")] == [1]  # looks that found nothing are not told


def test_a_share_of_none_sends_nothing_and_what_was_begun_elsewhere_is_followed(collector: Collector) -> None:
    begun = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    spans = ToCollector(collector.url, version="1", share=0.0)
    with spans.span("visit"):
        pass
    with spans.span("job", parent=begun), spans.span("visit"):
        here = spans.here()
    spans.close()

    assert {span.name for span in collector.spans} == {"job", "visit"}
    assert {span.trace.hex() for span in collector.spans} == {begun[3:35]} == {here[3:35]}


def test_a_collector_that_hangs_or_is_gone_holds_up_nothing_for_long(collector: Collector) -> None:
    collector.silent.set()
    started = time.monotonic()  # not a measurement: it must end by itself, within what a container has for its end
    for url in (collector.url, "http://127.0.0.1:9"):
        spans = ToCollector(url, version="1")
        with spans.span("visit"):
            pass
        spans.close()

    assert time.monotonic() - started < 45


def test_without_a_collector_nothing_is_imported_and_spans_go_nowhere() -> None:
    program = "import sys, monitor.app; print(sorted(n for n in sys.modules if n.startswith('opentelemetry')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    with OFF.span("visit", parent="x", source="news") as span:
        span.tell(new=3)
        span.drop()
    assert OFF.here() == ""
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector", "http://"])
def test_an_address_that_cannot_be_one_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigError, match="no http or https address"):
        ToCollector(url, version="1")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ConfigError, match=r"medical-news-monitor\[otel\]"):
        ToCollector("http://collector:4318", version="1")


def test_headers_are_pairs() -> None:
    assert read_headers("a=b, c = d=e\nf=") == {"a": "b", "c": "d=e", "f": ""}
    with pytest.raises(ConfigError):
        read_headers("authorization")
