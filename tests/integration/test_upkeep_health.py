"""/healthz, /readyz and /metrics, asked over HTTP; and a heartbeat that counts its beats."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from running import Clock, prepare, running

from monitor import app as composition
from monitor.app import Opened
from monitor.errors import ConfigError, StorageError
from monitor.model import Level
from monitor.web.health import BUDGET, make_health_app, make_metrics_app, serve_metrics
from monitor.worker import Heartbeat

TOKEN = "a-long-random-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def opened(directory: Path, **overrides: object) -> AsyncIterator[Opened]:
    prepare(directory)
    settings = composition.settings(data_dir=directory, storage__url="", smtp__host="", **overrides)
    async with composition.open_monitor(settings, now=Clock(), first_sources=[]) as whole:
        yield whole


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1")


async def test_ready_says_how_database_and_schema_stand(tmp_path: Path) -> None:
    async with opened(tmp_path) as whole, client(make_health_app(whole)) as web:
        well = await web.get("/readyz")
        with closing(sqlite3.connect(tmp_path / "monitor.db")) as db:
            db.execute("update alembic_version set version_num = '0001'")
            db.commit()
        behind = await web.get("/readyz")
        with closing(sqlite3.connect(tmp_path / "monitor.db")) as db:
            db.execute("update alembic_version set version_num = '9999'")
            db.commit()
        ahead = await web.get("/readyz")

    assert (well.status_code, well.json()["status"], well.json()["migrations"]) == (200, "ok", "current")
    assert (behind.status_code, behind.json()["migrations"]) == (503, "old")
    assert (ahead.status_code, ahead.json()["migrations"]) == (503, "newer")


async def test_ready_answers_within_its_budget_and_asks_a_hanging_database_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as whole, client(make_health_app(whole)) as web:
        asked: list[float] = []
        hanging = asyncio.Event()

        async def hang() -> object:
            asked.append(time.monotonic())
            await hanging.wait()
            raise StorageError("10.0.0.5/monitor: gave up")

        monkeypatch.setattr(whole.monitor.storage.upkeep, "schema", hang)
        started = time.monotonic()

        answers = await asyncio.gather(*(web.get("/readyz") for _ in range(5)))

        assert time.monotonic() - started < 2 * BUDGET
        assert {answer.status_code for answer in answers} == {503}
        assert len(asked) == 1
        hanging.set()
        await asyncio.sleep(0)
        broken = await web.get("/readyz")

    assert broken.json()["database"] == "does not answer"
    assert "10.0.0.5" not in broken.text


async def test_health_names_the_beats_that_are_silent_and_asks_no_database(tmp_path: Path) -> None:
    async with opened(tmp_path) as whole, client(make_health_app(whole, lambda: ["poll"])) as web:
        answer = await web.get("/healthz")

    assert (answer.status_code, answer.json()["status"]) == (503, "silent: poll")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": "Bearer \u00e9"}, 401),
        (BEARER, 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
    ],
)
async def test_figures_are_for_who_has_the_token(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    sent = {name: value.encode("utf-8") for name, value in headers.items()}
    async with opened(tmp_path, metrics__token=TOKEN) as whole, client(make_health_app(whole)) as web:
        answer = await web.get("/metrics", headers=sent)  # type: ignore[arg-type]

    assert answer.status_code == status
    assert ("monitor_build_info" in answer.text) == (status == 200)


async def test_without_a_token_the_web_server_has_no_figures_not_even_for_loopback(tmp_path: Path) -> None:
    """A reverse proxy on the same machine makes all the world loopback."""
    async with opened(tmp_path) as whole, client(make_health_app(whole)) as web:
        assert (await web.get("/metrics")).status_code == 404
        assert (await web.get("/metrics", headers={"Authorization": "Bearer "})).status_code == 404


async def test_the_whole_web_server_keeps_the_same_rule(tmp_path: Path) -> None:
    from monitor.web import make_app

    async with opened(tmp_path / "a") as whole, client(make_app(whole)) as web:
        without = await web.get("/metrics")
    async with opened(tmp_path / "b", metrics__token=TOKEN) as whole, client(make_app(whole)) as web:
        refused, given = await web.get("/metrics"), await web.get("/metrics", headers=BEARER)
        ready = await web.get("/readyz")

    assert without.status_code in {303, 401, 404}
    assert "monitor_build_info" not in without.text
    assert (refused.status_code, given.status_code, ready.status_code) == (401, 200, 200)


@pytest.mark.parametrize(
    ("host", "token", "allowed"),
    [("127.0.0.1", "", True), ("::1", "", True), ("localhost", "", True), ("0.0.0.0", "", False), ("web", "", False),
     ("10.0.0.5", "", False), ("0.0.0.0", TOKEN, True)],
)  # fmt: skip
async def test_a_port_of_its_own_is_open_to_others_only_with_a_token(
    tmp_path: Path, host: str, token: str, allowed: bool
) -> None:
    async with opened(tmp_path, metrics__host=host, metrics__token=token, metrics__port=1) as whole:
        if not allowed:
            with pytest.raises(ConfigError, match="MONITOR_METRICS__TOKEN_FILE"):
                make_metrics_app(whole)
            return
        async with client(make_metrics_app(whole)) as web:
            assert (await web.get("/metrics", headers=BEARER)).status_code == 200
            assert (await web.get("/metrics")).status_code == (401 if token else 200)


async def test_the_port_of_its_own_serves(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with opened(tmp_path, metrics__port=port) as whole:
        server = asyncio.create_task(serve_metrics(whole))
        async with httpx.AsyncClient() as web:
            for _ in range(100):
                try:
                    answer = await web.get(f"http://127.0.0.1:{port}/metrics")
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.02)
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_figures_tell_what_the_database_knows_and_what_happened_here(tmp_path: Path) -> None:
    async with opened(tmp_path, metrics__token=TOKEN) as whole, client(make_health_app(whole)) as web:
        monitor = whole.monitor
        await monitor.storage.notices.raise_once("x", "y", Level.ERROR, "z", monitor.now())
        monitor.meter.beat("poll", monitor.now())
        monitor.meter.beat("digests", None)

        text = (await web.get("/metrics", headers=BEARER)).text

    assert 'monitor_notices_open{level="error"} 1' in text
    assert 'monitor_job_runs_total{job="digests",outcome="failed"} 1' in text
    assert f'monitor_job_last_success_timestamp_seconds{{job="poll"}} {int(monitor.now().timestamp())}' in text
    assert "monitor_database_up 1" in text


async def test_without_the_database_the_figures_of_the_process_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, metrics__token=TOKEN) as whole, client(make_health_app(whole)) as web:

        async def fail() -> object:
            raise StorageError("gone")

        monkeypatch.setattr(whole.monitor.storage.upkeep, "gauges", fail)

        answer = await web.get("/metrics", headers=BEARER)

    assert answer.status_code == 200
    assert "monitor_database_up 0" in answer.text
    assert "monitor_articles_duplicate_total 0" in answer.text


async def test_the_heart_counts_its_beats_and_watches(tmp_path: Path) -> None:
    from monitor.pipeline.dispatch import InProcess

    async with opened(tmp_path, run__tick_seconds=0.05) as whole:
        monitor = whole.monitor
        heart = Heartbeat(monitor, InProcess(monitor))
        heart.start()
        for _ in range(200):
            if ("alerts", "ok") in monitor.meter.jobs.values and ("poll", "ok") in monitor.meter.jobs.values:
                break
            await asyncio.sleep(0.02)
        await heart.stop(5)

    assert monitor.meter.jobs.values["alerts", "ok"] >= 1
    assert monitor.meter.jobs.values["poll", "ok"] >= 1


async def test_a_visit_its_articles_matches_and_mails_are_counted(tmp_path: Path) -> None:
    from storage_samples import a_delivery

    from monitor.model import Source, Subscriber

    item = "<item><title>{}</title><link>https://news.example.org/{}</link></item>"
    titles = ["Rapamycin inhibits mTOR", "A headline about the weather"]
    body = "<rss version='2.0'><channel>{}</channel></rss>".format(
        "".join(item.format(title, number) for number, title in enumerate(titles))
    ).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    source = Source(slug="news", name="News", url=f"http://{place}/feed", pages=False)
    twin = Source(slug="twin", name="Twin", url=f"http://{place}/feed?2", pages=False)
    down = Source(slug="down", name="Down", url="http://127.0.0.1:1/feed", pages=False)
    clock = Clock()
    overrides: dict[str, object] = {"fetch__allow": (place, "127.0.0.1:1"), "fetch__host_delay": 0.0, "smtp__host": ""}
    async with running(tmp_path, clock, sources=[source, down], **overrides) as monitor:
        await monitor.poll_due()
        await monitor.storage.sources.add(twin)
        await monitor.poll_due()
        reader = await monitor.storage.readers.add_subscriber(Subscriber(email="ada@example.org"), clock())
        await monitor.storage.outbox.enqueue_mail(a_delivery(None, reader, "letter", queued_at=clock()))
        await monitor.send_due()
        meter = monitor.meter
        server.close()
        await server.wait_closed()

    assert meter.fetches.values["news", "ok"] == 1
    assert sum(value for (slug, _), value in meter.fetches.values.items() if slug == "down") == 1
    assert meter.stored.values == {("news",): 2, ("twin",): 0}
    assert meter.duplicates.values[()] == 2
    assert meter.matches.values["mtor",] >= 1
    assert meter.messages.values["accepted",] == 1
    assert sum(meter.fetch_seconds.counts) == 3
    assert sum(meter.match_seconds.counts) >= 4
