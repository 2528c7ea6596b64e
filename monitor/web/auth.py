"""Who may do what: one table of rules, asked before any route is.

Whatever is not in PUBLIC needs a session (or, under /api/, a token), so a new route is closed until somebody opens it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse

from monitor.digest import Purpose
from monitor.model import Role, User
from monitor.web import sessions
from monitor.web.pages import go, is_htmx, opened_of, page, view
from monitor.web.problems import problem
from storage.audit import acting

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
API = "/api/v1"
PUBLIC = (
    "/healthz", "/readyz", "/metrics", "/login", "/login/oidc", "/login/oidc/callback", "/signup",
    "/static/", "/setup/",
    *(f"/{purpose}/" for purpose in Purpose),
)  # fmt: skip
# The first that fits counts: (beginning of the path, role to read, role to change). The same for pages and API.
RULES = (
    ("/account", Role.VIEWER, Role.VIEWER),
    ("/logout", Role.VIEWER, Role.VIEWER),
    ("/openapi.json", Role.VIEWER, Role.ADMIN),
    ("/sources", Role.VIEWER, Role.ADMIN),
    ("/stories", Role.VIEWER, Role.ADMIN),
    ("/readers", Role.ADMIN, Role.ADMIN),
    ("/people", Role.ADMIN, Role.ADMIN),
    ("/outbox", Role.ADMIN, Role.ADMIN),
    ("/issues", Role.ADMIN, Role.ADMIN),
    ("/bounces", Role.ADMIN, Role.ADMIN),
    ("/users", Role.ADMIN, Role.ADMIN),
    ("/audit", Role.ADMIN, Role.ADMIN),
    ("/notices", Role.VIEWER, Role.ADMIN),
    ("", Role.VIEWER, Role.EDITOR),
)

# Calls of the API that are covered by another noun's scope, and POSTs that store nothing: they read.
COVERED = {
    "notices": "overview",
    "synonyms": "topics",
    "vocabularies": "topics",
    "corrections": "stories",
    "bounces": "outbox",
}
READS = re.compile(
    r"/topics/(check|[^/]+/(try|why|words))|/sources/preview|/readers/[^/]+/subscriptions/[^/]+/preview|/people/export"
)

Handler = Callable[[Request], Awaitable[Response]]


def is_public(path: str) -> bool:
    return any(path.startswith(one) if one.endswith("/") else path == one for one in PUBLIC)


def needed(path: str, method: str) -> Role:
    """The role that a request needs."""
    inside = path.removeprefix(API)
    for beginning, read, change in RULES:
        if not beginning or inside == beginning or inside.startswith(beginning + "/"):
            return read if method in SAFE else change
    raise AssertionError("the last rule fits everything")


def scope_of(path: str, method: str) -> str:
    """The scope that a token needs for this call."""
    inside = path.removeprefix(API)
    noun = inside.strip("/").partition("/")[0] or "overview"
    reads = method in SAFE or (method == "POST" and READS.fullmatch(inside))
    return f"{COVERED.get(noun, noun)}:{'read' if reads else 'write'}"


async def admit(request: Request, call_next: Handler) -> Response:
    """Let the request in, or answer it here."""
    path, method = request.url.path, request.method
    if is_public(path):
        return await call_next(request)
    is_api = path == API or path.startswith(API + "/")
    users = opened_of(request).monitor.users
    header = request.headers.get("authorization", "")
    scopes: tuple[str, ...] | None = None
    user: User | None = None
    if is_api and header:
        kind, _, token = header.partition(" ")
        held = await users.of_token(token.strip()) if kind.lower() == "bearer" else None
        user, scopes = (held[0], held[1].scopes) if held else (None, ())
    elif found := await users.of_session(sessions.cookie(request)):
        user, request.state.session = found
    if user is None:
        return _unknown(request, is_api=is_api)
    request.state.user, request.state.scopes = user, scopes
    if not user.role.covers(needed(path, method)):
        return _refused(request, f"This needs the role {needed(path, method).value}.", is_api=is_api)
    if scopes is not None and path != f"{API}/openapi.json" and scope_of(path, method) not in scopes:
        return _refused(request, f"This token lacks the scope {scope_of(path, method)}.", is_api=is_api)
    with acting(user.email, opened_of(request).monitor.now):
        return await call_next(request)


def _unknown(request: Request, *, is_api: bool) -> Response:
    if is_api:
        answer = problem(request, 401, "Log in, or send a token: Authorization: Bearer …")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    if is_htmx(request):
        return PlainTextResponse("Log in again.\n", status_code=401, headers={"HX-Redirect": "/login"})
    if request.method in SAFE:
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return go("/login" if where == "/" else f"/login?next={quote(where, safe='/')}")
    return page(
        "message.html", status=401, title="Not logged in", text="Your session has ended. Log in, then try again."
    )


def _refused(request: Request, text: str, *, is_api: bool) -> Response:
    if is_api:
        return problem(request, 403, text)
    return view(request, "message.html", status=403, layout="house.html", title="Not for you", text=text)
