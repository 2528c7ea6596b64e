"""Who may do what: one table of rules, asked before any route is; and the pages for logging in.

Whatever is not in PUBLIC needs a session (or, under /api/, a token), so a new route is closed until somebody opens it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import PlainTextResponse

from monitor.digest import Purpose
from monitor.errors import MonitorError, NotFound
from monitor.model import Role, User
from monitor.pipeline.users import LONGEST, SCOPES, LoginRefused, as_role
from monitor.web.pages import asset, audit, go, is_htmx, opened_of, page, user_of, view
from monitor.web.problems import problem

router = APIRouter(default_response_class=Response)

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
API = "/api/v1"
PUBLIC = (
    "/healthz", "/readyz", "/metrics", "/login", "/signup",
    "/static/", "/setup/",
    *(f"/{purpose}/" for purpose in Purpose),
)  # fmt: skip
# The first that fits counts: (beginning of the path, role to read, role to change). The same for pages and API.
RULES = (
    ("/account", Role.VIEWER, Role.VIEWER),
    ("/logout", Role.VIEWER, Role.VIEWER),
    ("/openapi.json", Role.VIEWER, Role.ADMIN),
    ("/sources", Role.VIEWER, Role.ADMIN),
    ("/readers", Role.ADMIN, Role.ADMIN),
    ("/outbox", Role.ADMIN, Role.ADMIN),
    ("/users", Role.ADMIN, Role.ADMIN),
    ("/audit", Role.ADMIN, Role.ADMIN),
    ("/notices", Role.VIEWER, Role.ADMIN),
    ("", Role.VIEWER, Role.EDITOR),
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
    noun = path.removeprefix(API).strip("/").partition("/")[0]
    return f"{noun or 'overview'}:{'read' if method in SAFE else 'write'}"


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
    elif found := await users.of_session(request.cookies.get(cookie_name(request), "")):
        user, request.state.session = found
    if user is None:
        return _unknown(request, is_api=is_api)
    request.state.user = user
    if not user.role.covers(needed(path, method)):
        return _refused(request, f"This needs the role {needed(path, method).value}.", is_api=is_api)
    if scopes is not None and path != f"{API}/openapi.json" and scope_of(path, method) not in scopes:
        return _refused(request, f"This token lacks the scope {scope_of(path, method)}.", is_api=is_api)
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
    return page("message.html", status=403, title="Not for you", text=text)


# --- the cookie -----------------------------------------------------------------------------------------------


def _on_this_machine(request: Request) -> bool:
    """Plain http to a loopback address: nothing on the way can listen, and a Secure cookie would not be kept."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    return request.url.scheme == "http" and host in {"127.0.0.1", "localhost", "::1"}


def cookie_name(request: Request) -> str:
    return "sid" if _on_this_machine(request) else "__Host-sid"


def _keep(request: Request, response: Response, token: str) -> Response:
    response.set_cookie(
        cookie_name(request), token, max_age=int(LONGEST.total_seconds()), path="/", httponly=True, samesite="lax",
        secure=not _on_this_machine(request),
    )  # fmt: skip
    return response


def _drop(request: Request, response: Response) -> Response:
    response.delete_cookie(cookie_name(request), path="/", secure=not _on_this_machine(request), httponly=True)
    return response


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def local(path: str) -> str:
    """Where to go after login: a path of ours, never another site."""
    return path if re.fullmatch(r"/(?![/\\])[\w./?=&%+~:,@-]*", path, re.ASCII) else "/"


# --- coming in ------------------------------------------------------------------------------------------------


def _login_page(request: Request, *, status: int = 200, error: str = "", email: str = "", to: str = "") -> Response:
    done = "You are logged out." if request.query_params.get("done") == "out" else ""
    if request.query_params.get("done") == "password":
        done = "Your password is changed. Log in with the new one."
    plain = request.url.scheme == "http" and not _on_this_machine(request)
    secured = opened_of(request).links.base_url.startswith("https://")
    return page(
        "login.html", status=status, error=error, email=email, to=local(to), done=done, unsafe=plain and not secured
    )


@router.get("/login")
async def login_form(request: Request, next: str = "/") -> Response:  # noqa: A002 (the word that everybody uses)
    return _login_page(request, to=next)


@router.post("/login")
async def login(
    request: Request,
    email: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002
) -> Response:
    users = opened_of(request).monitor.users
    agent = request.headers.get("user-agent", "")
    old = request.cookies.get(cookie_name(request), "")
    try:
        token = await users.log_in(email, password, address=_address(request), agent=agent, replaced=old)
    except LoginRefused as error:
        answer = _login_page(request, status=429 if error.wait else 401, error=str(error), email=email, to=next)
        if error.wait:
            answer.headers["Retry-After"] = str(int(error.wait) + 1)
        return answer
    return _keep(request, go(local(next)), token)


@router.post("/logout")
async def logout(request: Request) -> Response:
    session = getattr(request.state, "session", None)
    if session is not None:
        await opened_of(request).monitor.storage.users.end_session(session.user_id, session.key)
    return _drop(request, go("/login?done=out"))


@router.get("/setup/{token}")
async def setup_form(request: Request, token: str) -> Response:
    monitor = opened_of(request).monitor
    owner = await monitor.storage.users.link(token, monitor.now())
    return page("setup.html", owner=owner, error="", email="", name="")


@router.post("/setup/{token}")
async def setup(
    request: Request,
    token: str,
    password: Annotated[str, Form(max_length=1000)] = "",
    email: Annotated[str, Form(max_length=320)] = "",
    name: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    monitor = opened_of(request).monitor
    owner = await monitor.storage.users.link(token, monitor.now())
    try:
        user = await monitor.users.use_link(token, password, email=email, name=name)
    except NotFound:
        raise
    except MonitorError as error:
        return page("setup.html", status=422, owner=owner, error=str(error), email=email, name=name)
    what = "set their password" if owner else "became the first admin"
    await monitor.storage.audit.append(user.email, what, "", "", monitor.now())
    fresh = await monitor.users.open_session(
        user,
        address=_address(request),
        agent=request.headers.get("user-agent", ""),
        replaced=request.cookies.get(cookie_name(request), ""),
    )
    return _keep(request, go("/"), fresh)


# --- one's own account ----------------------------------------------------------------------------------------


async def _account(request: Request, *, status: int = 200, error: str = "", fresh: str = "") -> Response:
    user, monitor = user_of(request), opened_of(request).monitor
    return view(
        request,
        "account.html",
        status=status,
        sessions=await monitor.storage.users.sessions(user.id, monitor.now()),
        current=request.state.session.key,
        tokens=await monitor.storage.users.tokens(user.id),
        scopes=SCOPES,
        error=error,
        fresh=fresh,
    )


@router.get("/account")
async def account(request: Request) -> Response:
    return await _account(request)


@router.post("/account/password")
async def change_password(
    request: Request,
    old: Annotated[str, Form(max_length=1000)] = "",
    new: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    user = user_of(request)
    try:
        await opened_of(request).monitor.users.change_password(user, old, new, address=_address(request))
    except MonitorError as error:
        text = "The old password is not right." if isinstance(error, LoginRefused) and not error.wait else str(error)
        return await _account(request, status=422, error=text)
    await audit(request, "changed their password")
    return _drop(request, go("/login?done=password"))


@router.post("/account/sessions/{key}/end")
async def end_session(request: Request, key: str) -> Response:
    if not await opened_of(request).monitor.storage.users.end_session(user_of(request).id, key):
        raise NotFound("there is no such session of yours")
    return go("/account?done=ended")


@router.post("/account/tokens")
async def add_token(request: Request) -> Response:
    """Shown once, in the answer itself: only its hash is kept."""
    form = await request.form(max_files=0, max_fields=50)
    days = str(form.get("days", "0"))
    try:
        made, token = await opened_of(request).monitor.users.add_token(
            user_of(request),
            str(form.get("name", "")),
            [str(scope) for scope in form.getlist("scopes")],
            min(3650, int(days)) if days.isascii() and days.isdecimal() and len(days) < 6 else 0,
        )
    except MonitorError as error:
        return await _account(request, status=422, error=str(error))
    await audit(request, f"made the API token {made.name}", "", ", ".join(made.scopes))
    return await _account(request, fresh=token)


@router.post("/account/tokens/{number}/remove")
async def remove_token(request: Request, number: int) -> Response:
    if not await opened_of(request).monitor.storage.users.remove_token(user_of(request).id, number):
        raise NotFound("there is no such token of yours")
    await audit(request, f"revoked API token {number}")
    return go("/account?done=removed")


# --- users ----------------------------------------------------------------------------------------------------


async def _users(request: Request, *, status: int = 200, error: str = "", link: str = "") -> Response:
    users = await opened_of(request).monitor.storage.users.list()
    return view(request, "users.html", status=status, users=users, roles=list(Role), error=error, link=link)


def _link(request: Request, token: str) -> str:
    base = opened_of(request).links.base_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
    return f"{base.rstrip('/')}/setup/{token}"


@router.get("/users")
async def users_page(request: Request) -> Response:
    return await _users(request)


@router.post("/users")
async def add_user(
    request: Request,
    email: Annotated[str, Form(max_length=320)],
    name: Annotated[str, Form(max_length=200)] = "",
    role: Annotated[str, Form(max_length=20)] = "viewer",
) -> Response:
    try:
        wanted = as_role(User(email=email), role, active=True).role
        user, token = await opened_of(request).monitor.users.add(email, name, wanted)
    except MonitorError as error:
        return await _users(request, status=422, error=str(error))
    await audit(request, f"added the user {user.email}", "", user.role.value)
    return await _users(request, link=_link(request, token))


@router.post("/users/{number}")
async def change_user(
    request: Request,
    number: int,
    role: Annotated[str, Form(max_length=20)],
    active: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    monitor = opened_of(request).monitor
    before = await monitor.users.by_id(number)
    try:
        after = await monitor.storage.users.change(as_role(before, role, active=active == "yes"))
    except NotFound:
        raise
    except MonitorError as error:
        return await _users(request, status=422, error=str(error))
    states = [f"{one.role.value}, {'on' if one.active else 'off'}" for one in (before, after)]
    await audit(request, f"changed the user {after.email}", *states)
    return go("/users?done=saved")


@router.post("/users/{number}/link")
async def new_link(request: Request, number: int) -> Response:
    """A link that lets a user choose a new password. The old one works until it is used."""
    monitor = opened_of(request).monitor
    user = await monitor.users.by_id(number)
    token = await monitor.users.setup_link(user)
    await audit(request, f"made a password link for {user.email}")
    return await _users(request, link=_link(request, token))


__all__ = ["API", "PUBLIC", "RULES", "admit", "asset", "is_public", "needed", "router", "scope_of"]
