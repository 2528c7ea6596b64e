"""The two health checks, alone: what a scheduler or a worker answers."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from monitor import __version__
from monitor.app import Opened
from monitor.errors import MonitorError

log = logging.getLogger(__name__)


def make_health_app(opened: Opened, silent: Callable[[], list[str]] = list) -> FastAPI:
    app = FastAPI(title="Medical News Monitor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    add_health(app, opened, silent)
    return app


def add_health(app: FastAPI, opened: Opened, silent: Callable[[], list[str]]) -> None:
    monitor = opened.monitor

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """Alive: the process answers, and every beat went well not long ago. Asks no database."""
        names = silent()
        body = {"status": "silent: " + ", ".join(names) if names else "ok", "version": __version__}
        return JSONResponse(body, status_code=503 if names else 200)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Ready: the database answers."""
        try:
            await monitor.storage.ping()
        except MonitorError as error:
            log.warning("not ready reason=%s", error)
            return JSONResponse({"status": "the database does not answer"}, status_code=503)
        return JSONResponse({"status": "ok"})
