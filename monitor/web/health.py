"""Is it alive (/healthz), can it work (/readyz), and how is it going (/metrics)?

/metrics tells which sources and topics there are, so it is never open to the world: on the web server it wants the
token, and without one there is none. A port of its own (metrics.port) serves all three to the machine itself, and to
others only with the token. "Only from loopback" on the web server would be no protection: behind a reverse proxy on the
same machine every request comes from there.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import shutil
import time
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from monitor import __version__
from monitor.app import Opened
from monitor.errors import ConfigError, MonitorError
from monitor.meter import CONTENT_TYPE, Histogram, Labels, Metric, exposition, gauge
from monitor.model import Level
from monitor.web.server import serve
from storage import Gauges, SchemaState

log = logging.getLogger(__name__)

BUDGET = 1.0  # seconds that a probe may take
Silent = Callable[[], list[str]]


def add_health(app: FastAPI, opened: Opened, silent: Silent) -> None:
    """/healthz and /readyz, for whoever asks; /metrics for who has the token."""
    _add_probes(app, opened, silent)
    token = opened.settings.metrics.token.get_secret_value()
    if token:
        _add_metrics(app, opened, token)


def make_health_app(opened: Opened, silent: Silent = list) -> FastAPI:
    """Only that, for a process without pages (a scheduler, a worker)."""
    app = _bare()
    add_health(app, opened, silent)
    return app


def make_metrics_app(opened: Opened, silent: Silent = list) -> FastAPI:
    """The same for a port of its own. Raises ConfigError when that would be open to others without a token."""
    chosen = opened.settings.metrics
    token = chosen.token.get_secret_value()
    if not token and not _is_loopback(chosen.host):
        raise ConfigError(f"metrics.host = {chosen.host!r} is not only this machine: set MONITOR_METRICS__TOKEN_FILE")
    app = _bare()
    _add_probes(app, opened, silent)
    _add_metrics(app, opened, token)
    return app


async def serve_metrics(opened: Opened, silent: Silent = list) -> None:
    """Serve the port of its own until cancelled; without one, wait. For every kind of process."""
    chosen = opened.settings.metrics
    if not chosen.port:
        await asyncio.Event().wait()
    await serve(make_metrics_app(opened, silent), chosen.host, chosen.port)


def _bare() -> FastAPI:
    return FastAPI(title="Medical News Monitor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)


def _add_probes(app: FastAPI, opened: Opened, silent: Silent) -> None:
    ready = Readiness(opened)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """Alive: the process answers, and every beat went well not long ago. Asks no database."""
        names = silent()
        body = {"status": "silent: " + ", ".join(names) if names else "ok", "version": __version__}
        return JSONResponse(body, status_code=503 if names else 200)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Ready: the database answers within a second, and its schema is this program's."""
        body = await ready.look()
        return JSONResponse(body, status_code=200 if body["status"] == "ok" else 503)


class Readiness:
    """One look at a time: a probe that comes every second must not fill the pool with questions that hang."""

    def __init__(self, opened: Opened) -> None:
        self._upkeep = opened.monitor.storage.upkeep
        self._asking: asyncio.Task[SchemaState] | None = None

    async def look(self) -> dict[str, object]:
        started = time.monotonic()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._upkeep.schema())
        done, _ = await asyncio.wait({self._asking}, timeout=BUDGET)
        database, migrations = "ok", ""
        if not done:
            database = f"no answer within {BUDGET:g} s"
        elif error := self._asking.exception():
            if not isinstance(error, MonitorError):
                raise error
            log.warning("not ready reason=%s", error)  # names the host: not for whoever asks
            database = "does not answer"
        else:
            migrations = self._asking.result().value
        ready = database == "ok" and migrations == SchemaState.CURRENT
        return {
            "status": "ok" if ready else "not ready",
            "database": database,
            "migrations": migrations,
            "seconds": round(time.monotonic() - started, 3),
            "version": __version__,
        }


def _add_metrics(app: FastAPI, opened: Opened, token: str) -> None:
    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Everything counted in this process, and how the database stands."""
        if token and not _may(request, token):
            return PlainTextResponse("A bearer token is needed.\n", 401, headers={"WWW-Authenticate": "Bearer"})
        return Response(await figures(opened), media_type=CONTENT_TYPE)


def _may(request: Request, token: str) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def figures(opened: Opened) -> str:
    """The exposition. Without an answer of the database, what this process counted is told all the same."""
    monitor = opened.monitor
    found: list[Metric | Histogram] = []
    try:
        async with asyncio.timeout(2 * BUDGET):
            found = _stored(await monitor.storage.upkeep.gauges())
    except (MonitorError, TimeoutError) as error:
        log.warning("metrics without the database reason=%s", error)
    free = shutil.disk_usage(opened.settings.data_dir).free
    return exposition(
        [
            gauge("monitor_build_info", "Always 1; the version is a label.", {(__version__,): 1}, ("version",)),
            gauge("monitor_database_up", "1 when the database answered this scrape.", 1 if found else 0),
            gauge("monitor_data_free_bytes", "Free space of the data directory.", free),
            *monitor.meter.families(),
            *found,
        ]
    )


def _stored(gauges: Gauges) -> list[Metric | Histogram]:
    """Of the whole installation: every process of it says the same."""
    successes: dict[Labels, float] = {(slug,): at.timestamp() for slug, at in gauges.last_success if at}
    notices: dict[Labels, float] = {(level.value,): gauges.notices[level] for level in Level}
    newest, backed_up, since = gauges.newest_success, gauges.backed_up_at, gauges.waiting_since
    return [
        gauge(
            "monitor_source_last_success_timestamp_seconds",
            "When a source was last read; the thousand that were read longest ago.",
            successes,
            ("source",),
        ),
        gauge(
            "monitor_last_success_timestamp_seconds",
            "When any source was last read; 0: never.",
            newest.timestamp() if newest else 0,
        ),
        gauge("monitor_sources", "Active sources.", gauges.sources),
        gauge("monitor_smtp_queue_messages", "Messages that wait to be sent.", gauges.waiting),
        gauge(
            "monitor_smtp_queue_oldest_timestamp_seconds",
            "When the message that waits longest was queued; 0: none waits.",
            since.timestamp() if since else 0,
        ),
        gauge("monitor_outbox_held_messages", "Messages that wait for an admin.", gauges.held + gauges.in_doubt),
        gauge("monitor_notices_open", "What an admin should know.", notices, ("level",)),
        gauge(
            "monitor_backup_last_success_timestamp_seconds",
            "When `monitor backup` last ended well; 0: never.",
            backed_up.timestamp() if backed_up else 0,
        ),
    ]
