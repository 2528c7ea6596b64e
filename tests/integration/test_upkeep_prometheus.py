"""ops/ in a real Prometheus: its rules load and sound when they should, and every figure that is asked for is there."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from publisher import Publisher
from running import prepare
from test_spans import serving

from monitor import app as composition
from monitor.model import Source, Subscriber, Subscription, Topic
from monitor.pipeline.dispatch import InProcess
from monitor.web import serve
from monitor.web.health import make_metrics_app
from monitor.worker import Heartbeat

OPS = Path(__file__).parents[2] / "ops"
TOKEN = "a-long-random-token"
RULES = [
    rule for group in yaml.safe_load((OPS / "prometheus-rules.yml").read_text())["groups"] for rule in group["rules"]
]
PANELS = json.loads((OPS / "grafana-dashboard.json").read_text())["panels"]

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="prometheus and promtool are not installed"
)


@needs_prometheus
@pytest.mark.parametrize(
    "words",
    [("check", "rules", "prometheus-rules.yml"), ("test", "rules", "prometheus-rules.test.yml")],
    ids=["check", "test"],
)
def test_promtool_is_content_with_the_rules_and_their_tests(words: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *words], cwd=OPS, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", [rule["alert"] for rule in RULES])
def test_each_alert_is_tried_with_what_makes_it_sound_and_what_does_not(alert: str) -> None:
    tests = yaml.safe_load((OPS / "prometheus-rules.test.yml").read_text())["tests"]
    tried = [one for test in tests for one in test["alert_rule_test"] if one["alertname"] == alert]

    assert any(one.get("exp_alerts") for one in tried)
    assert any(not one.get("exp_alerts") for one in tried)


def expressions() -> Iterator[tuple[str, str]]:
    """Each, with what it is for. A rule's comparison answers 0 or 1 here, where it otherwise answers nothing."""
    for rule in RULES:
        yield rule["alert"], re.sub(r"(==|>|<)(?= )", r"\1 bool", rule["expr"])
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


@contextmanager
def prometheus(directory: Path, target: str) -> Iterator[str]:
    """Its address. It scrapes that target, as docs/operations.md says, only more often."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    (directory / "token").write_text(TOKEN)
    scrape = {
        "job_name": "monitor",
        "authorization": {"credentials_file": str(directory / "token")},
        "static_configs": [{"targets": [target]}],
    }
    every = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
    wanted = {"global": every, "scrape_configs": [scrape], "rule_files": [str(OPS / "prometheus-rules.yml")]}
    (directory / "prometheus.yml").write_text(yaml.safe_dump(wanted))
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb",
             f"--web.listen-address={place}"], stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield f"http://{place}"
        finally:
            process.terminate()
            process.wait(20)


def ask(place: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{place}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.load(answer)["data"]


@asynccontextmanager
async def working(directory: Path, publisher: Publisher) -> AsyncIterator[str]:
    """A program at work, with one source, one reader and a mail that was sent; where its figures are."""
    prepare(directory)
    settings = composition.settings(
        data_dir=directory, storage__url="", fetch__allow=(publisher.origin,), fetch__host_delay=0.0, smtp__host="",
        scholarly__enrich=False, run__tick_seconds=0.5, metrics__token=TOKEN,
    )  # fmt: skip
    source = Source(slug="news", name="News", url=f"http://{publisher.origin}/feed", pages=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with composition.open_monitor(settings, first_sources=[source]) as opened:
        storage, now = opened.monitor.storage, datetime.now(UTC)
        reader = await storage.readers.add_subscriber(Subscriber(email="ada@example.org"), now)
        await storage.topics.add(Topic(slug="news", name="News", query="news"), author="a", note="", now=now)
        topics = tuple(topic.id for topic in await storage.topics.list())
        wanted = Subscription(subscriber_id=reader.id, topic_ids=topics, next_digest_at=now)
        await storage.readers.add_subscription(wanted)
        heart = Heartbeat(opened.monitor, InProcess(opened.monitor))
        heart.start()
        web = asyncio.create_task(serve(make_metrics_app(opened, heart.silent), "127.0.0.1", port))
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await heart.stop(5)
            web.cancel()
            await asyncio.gather(web, return_exceptions=True)


@needs_prometheus
async def test_every_expression_of_rules_and_dashboard_finds_its_series(tmp_path: Path) -> None:
    with serving(Publisher()) as publisher:
        async with working(tmp_path / "data", publisher) as target:
            with prometheus(tmp_path, target) as place:
                without, end = dict(expressions()), time.monotonic() + 60
                while without and time.monotonic() < end:
                    await asyncio.sleep(0.5)
                    without = await asyncio.to_thread(unanswered, place)
                rules = ask(place, "rules")["groups"][0]["rules"]

    assert without == {}
    assert {rule["health"] for rule in rules} == {"ok"}
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in RULES}


def unanswered(place: str) -> dict[str, str]:
    try:
        return {what: query for what, query in expressions() if not ask(place, "query", query=query)["result"]}
    except OSError:
        return dict(expressions())  # it is just starting
