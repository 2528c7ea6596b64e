"""The web application: security headers, errors as pages, and the routers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from monitor import __version__
from monitor.app import Opened
from monitor.errors import LinkError, MonitorError, NotFound, StorageDown, StorageError
from monitor.web import (
    account,
    adding,
    api,
    archive,
    auth,
    bench,
    login,
    oidc,
    overview,
    people,
    readers,
    sources,
    subscriptions,
    topics,
)
from monitor.web.health import add_health
from monitor.web.pages import STATIC, Assets, page, view
from monitor.web.problems import Refused, problem, problem_of, problem_of_fields

log = logging.getLogger(__name__)

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
BODY_LIMIT = 1_000_000
TITLES = {404: "Not found", 409: "Somebody was first", 500: "Something broke", 503: "Not just now"}
ROUTERS = (
    login, oidc, account, overview, topics, bench, archive, adding, sources, people, subscriptions, readers, api,
)  # fmt: skip


def make_app(opened: Opened, silent: Callable[[], list[str]] = list) -> FastAPI:
    """The application for one open Monitor; `silent` names the beats of this process that did not go well lately."""
    app = FastAPI(title="Medical News Monitor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False  # RFC 8058: a one-click POST must not be redirected
    app.state.opened = opened
    app.state.silent = silent
    app.state.tasks = set()
    app.state.asking = {}
    app.middleware("http")(_guard(opened))
    app.mount("/static", GZipMiddleware(Assets(directory=STATIC)), name="static")  # pages hold secrets: not they
    for part in ROUTERS:
        app.router.routes.extend(part.router.routes)  # as they are: to include them would make each of them anew
    add_health(app, opened, silent)
    app.add_exception_handler(MonitorError, _our_error)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _wrong_form)
    app.add_exception_handler(HTTPException, _http_error)
    return app


def _guard(opened: Opened) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Refuse what another site's page sends (Fetch Metadata, else Origin), cap bodies, add the security headers."""
    public = urlsplit(opened.links.base_url).netloc

    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        changes = request.method not in auth.SAFE
        if changes and not readers.is_one_click(request) and _is_foreign(request, public):
            response = _turned_away(request, 403, "This was sent from another site.")
        elif changes and "transfer-encoding" in request.headers:
            response = _turned_away(request, 411, "Say how long it is.")
        elif not request.headers.get("content-length", "0").isdecimal() or (
            int(request.headers.get("content-length", "0")) > BODY_LIMIT
        ):
            response = _turned_away(request, 413, f"Too large: {BODY_LIMIT:,} bytes are taken.")
        else:
            response = await _answered(request, call_next)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guard


async def _answered(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        return await auth.admit(request, call_next)
    except MonitorError as error:  # at the gate itself: the database does not answer
        return await _our_error(request, error)
    except Exception:  # a mistake of ours: the visitor gets a page or a problem, the log all the rest
        log.exception("request failed method=%s path=%s", request.method, request.url.path)
        return _answer(request, 500, "This is a mistake of the program. Its log says more.")


def _turned_away(request: Request, status: int, text: str) -> Response:
    return problem(request, status, text) if _is_api(request) else PlainTextResponse(f"{text}\n", status_code=status)


def _is_foreign(request: Request, public: str) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    own = {request.headers.get("host", ""), public} - {""}
    return origin is not None and urlsplit(origin).netloc not in own


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(auth.API + "/")


def _answer(request: Request, status: int, text: str, title: str = "") -> Response:
    """To a program a problem, to a person a page."""
    if _is_api(request):
        return problem(request, status, text)
    title = title or TITLES.get(status, "This did not work")
    if hasattr(request.state, "user"):
        return view(request, "message.html", status=status, layout="house.html", title=title, text=text)
    return page("message.html", status=status, title=title, text=text)


async def _our_error(request: Request, error: Exception) -> Response:
    if _is_api(request) and isinstance(error, MonitorError):
        return problem_of(request, error)
    if isinstance(error, LinkError):
        return _answer(request, 404, f"{str(error)[:1].upper()}{str(error)[1:]}.", "This link does not work")
    status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, StorageError) else 400
    return _answer(request, 503 if isinstance(error, StorageDown) else status, str(error))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - for the type checker
    return problem(request, error.status, error.detail, headers=error.headers, **error.more)


async def _wrong_form(request: Request, error: Exception) -> Response:
    """A field is missing, too long or no number; the text names it and repeats nothing of what was sent."""
    wrong = error.errors() if isinstance(error, RequestValidationError) else []
    if _is_api(request):
        return problem_of_fields(request, wrong)
    text = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in wrong[:10])
    return _answer(request, 422, text or "a field is wrong")


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = {404: "There is nothing here.", 405: "This cannot be done here."}.get(status, "This cannot be done.")
    answer = _answer(request, status, text)
    if isinstance(error, HTTPException):
        answer.headers.update(error.headers or {})
    if status == 405 and _is_api(request):
        answer.headers["Allow"] = ", ".join(api.allowed(request.url.path))
    return answer
