"""`monitor doctor`: each thing that can be wrong is found wrong, and found well when it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP
from running import Clock, prepare
from storage_samples import a_delivery

from monitor import app as composition
from monitor.app import Opened
from monitor.cli.doctor import Check, examine, examine_place
from monitor.model import Level, Poll, Source, Subscriber
from storage import SchemaState, exclusive, schema_state

FEED = b'<rss version="2.0"><channel><title>x</title></channel></rss>'


class Publisher:
    """A local site; `ahead` is how far its clock is off, `robots` what its robots.txt says."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.robots = b"User-agent: *\nAllow: /\n"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.robots if self.path == "/robots.txt" else FEED
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(datetime.now(UTC) + outer.ahead, usegmt=True)

            def log_message(self, *args: object) -> None:
                """Tests are quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    site = Publisher()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.02,))
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


@pytest.fixture
async def relay_port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Sink()), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def opened(directory: Path, publisher: Publisher, **overrides: object) -> AsyncIterator[Opened]:
    prepare(directory)
    values: dict[str, object] = {
        "data_dir": directory,
        "storage__url": "",
        "fetch__contact": "ops@example.org",
        "fetch__allow": (publisher.place,),
        "smtp__security": "none",
        **overrides,
    }
    source = Source(slug="news", name="News", url=f"http://{publisher.place}/feed")
    settings = composition.settings(**values)
    async with composition.open_monitor(settings, now=Clock(datetime.now(UTC)), first_sources=[source]) as whole:
        storage, now = whole.monitor.storage, whole.monitor.now()
        claimed = await storage.sources.claim("news", now, timedelta(seconds=30))
        assert claimed
        poll = Poll(source_id=claimed.id, at=now, outcome="ok")
        await storage.sources.finish(claimed, poll, next_poll_at=now)
        yield whole


def wrong(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.text for check in checks if not check.well}


async def test_where_all_is_well_nothing_is_wrong(tmp_path: Path, publisher: Publisher, relay_port: int) -> None:
    async with opened(tmp_path, publisher, smtp__host="127.0.0.1", smtp__port=relay_port) as whole:
        checks = [*examine_place(whole.settings), *await examine(whole)]

    assert wrong(checks) == {}
    assert {check.name for check in checks} >= {
        "data directory", "migrations", "database", "full-text index", "contact", "mail", "DNS", "robots", "network",
        "clock of 127.0.0.1", "last success", "sources", "outbox", "backup", "alerts",
    }  # fmt: skip
    assert next(check.text for check in checks if check.name == "mail").endswith("greets us (none)")


async def test_what_is_wrong_outside_is_named(tmp_path: Path, publisher: Publisher) -> None:
    publisher.ahead = timedelta(minutes=10)
    publisher.robots = b"User-agent: *\nDisallow: /\n"
    async with opened(tmp_path, publisher, smtp__host="mx.invalid", smtp__port=25) as whole:
        no_entry = wrong(await examine(whole))
    publisher.robots = b""
    async with opened(tmp_path, publisher, smtp__host="127.0.0.1", smtp__port=1) as whole:
        no_relay = wrong(await examine(whole))

    assert no_entry.keys() == {"DNS", "mail", "robots"}
    assert "mx.invalid" in no_entry["DNS"]
    assert no_relay.keys() == {"mail", "clock of 127.0.0.1"}
    assert no_relay["clock of 127.0.0.1"].startswith(("ours is 600 s behind", "ours is 599 s behind", "ours is 601 s"))


async def test_a_relay_that_says_nothing_is_not_waited_for(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.deliver.smtp.PROBE", 0.2)

    asked = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked.wait()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with opened(tmp_path, publisher, smtp__host="127.0.0.1", smtp__port=port) as whole:
        found = wrong(await examine(whole))
    asked.set()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.05)

    assert "no greeting within 0.2 seconds" in found["mail"]


async def test_what_is_wrong_inside_is_named(tmp_path: Path, publisher: Publisher) -> None:
    async with opened(tmp_path, publisher, fetch__contact="", smtp__host="") as whole:
        storage = whole.monitor.storage
        whole.monitor.now.advance(days=3)  # type: ignore[attr-defined]
        await storage.outbox.hold_all("restored", whole.monitor.now())
        await storage.notices.raise_once("relay", "down", Level.ERROR, "It is down.", whole.monitor.now())
        await storage.notices.raise_once("source:x", "slow", Level.WARNING, "It is slow.", whole.monitor.now())

        checks = await examine(whole, offline=True)

    assert wrong(checks).keys() == {"contact", "last success", "sources", "backup", "outbox held", "relay"}
    assert "source:x" in {check.name for check in checks}
    assert "DNS" not in {check.name for check in checks}


async def test_a_new_installation_is_not_called_ill_before_it_could_read_anything(tmp_path: Path) -> None:
    prepare(tmp_path)
    clock = Clock(datetime.now(UTC))
    settings = composition.settings(data_dir=tmp_path, storage__url="", fetch__contact="ops@example.org", smtp__host="")
    source = Source(slug="news", name="News", url="https://news.example.org/feed")
    async with composition.open_monitor(settings, now=clock, first_sources=[source]) as whole:
        fresh = await examine(whole, offline=True)
        clock.advance(days=3)
        later = wrong(await examine(whole, offline=True))

    said = next(check.text for check in fresh if check.name == "last success")
    assert wrong(fresh) == {}
    assert said == "a source was last read: never; no `monitor run` is up: nothing is read or mailed"
    assert later.keys() == {"last success", "sources", "backup"}
    assert "`monitor backup` makes one, or says what is in the way" in later["backup"]
    assert later["sources"] == "1 of 1 not read for long: news; `monitor sources list` says why of each"


async def test_mail_that_waits_for_hours_is_wrong_and_mail_that_waits_for_minutes_is_not(
    tmp_path: Path, publisher: Publisher
) -> None:
    async with opened(tmp_path, publisher, smtp__host="") as whole:
        storage, now = whole.monitor.storage, whole.monitor.now
        reader = await storage.readers.add_subscriber(Subscriber(email="ada@example.org"), now())
        await storage.outbox.enqueue_mail(a_delivery(None, reader, "letter", queued_at=now()))
        soon = wrong(await examine(whole, offline=True))
        now.advance(hours=3)  # type: ignore[attr-defined]
        late = wrong(await examine(whole, offline=True))

    assert "outbox" not in soon
    assert late["outbox"].startswith("1 queued; one has waited since ")


async def test_beside_a_running_program_the_index_is_only_counted(tmp_path: Path, publisher: Publisher) -> None:
    """The full check holds up every writer for as long as it takes."""
    async with opened(tmp_path, publisher, smtp__host="") as whole:
        with exclusive(f"sqlite:///{tmp_path}/monitor.db"):
            beside = await examine(whole, offline=True)
        alone = await examine(whole, offline=True)

    said = [{check.name: check.text for check in checks} for checks in (beside, alone)]
    assert [one["full-text index"] for one in said] == ["has every article", "whole"]
    assert said[0]["last success"].endswith("; `monitor run` is up")


def test_a_database_is_examined_before_anything_touches_it(tmp_path: Path) -> None:
    settings = composition.settings(data_dir=tmp_path / "data", storage__url="")
    absent = wrong(examine_place(settings))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "monitor.db").write_bytes(b"this is no database at all" * 50)
    damaged = wrong(examine_place(settings))
    (tmp_path / "data" / "monitor.db").unlink()
    fresh = wrong(examine_place(settings))

    assert absent.keys() == {"data directory"}
    assert "damaged" in damaged["database"]
    assert fresh == {}
    assert schema_state(f"sqlite:///{tmp_path}/data/monitor.db") is SchemaState.EMPTY
    assert not (tmp_path / "data" / "monitor.db").exists()
