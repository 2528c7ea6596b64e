"""The web application: security headers, errors as pages, and the routers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from monitor import __version__
from monitor.app import Opened
from monitor.errors import LinkError, MonitorError, NotFound
from monitor.web import readers
from monitor.web.pages import page

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # links in mail are keys: no other site may learn them
    "Cross-Origin-Opener-Policy": "same-origin",
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_LIMIT = 1_000_000


def make_app(opened: Opened, silent: Callable[[], list[str]] = list) -> FastAPI:
    """The application for one open Monitor; `silent` names the beats of this process that did not go well lately."""
    app = FastAPI(title="Medical News Monitor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False  # RFC 8058: a one-click POST must not be redirected
    app.state.opened = opened
    app.middleware("http")(_guard(opened))
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.include_router(readers.router)
    _add_health(app, opened, silent)
    app.add_exception_handler(MonitorError, _our_error)
    return app


def _guard(opened: Opened) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Refuse what another site's page sends (Fetch Metadata, else Origin), cap bodies, add the security headers."""
    public = urlsplit(opened.links.base_url).netloc

    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.method not in SAFE_METHODS and not readers.is_one_click(request) and _is_foreign(request, public):
            response: Response = PlainTextResponse("This form was sent from another site.\n", status_code=403)
        elif not request.headers.get("content-length", "0").isdecimal() or (
            int(request.headers.get("content-length", "0")) > BODY_LIMIT
        ):
            response = PlainTextResponse("Too large.\n", status_code=413)
        else:
            response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guard


def _is_foreign(request: Request, public: str) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc not in {request.headers.get("host", ""), public}


async def _our_error(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NotFound | LinkError) else 400
    return page("message.html", status=status, title="This did not work", text=str(error))


def _add_health(app: FastAPI, opened: Opened, silent: Callable[[], list[str]]) -> None:
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
