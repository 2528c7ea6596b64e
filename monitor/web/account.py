"""One's own password, sessions and tokens; and, for admins, the users."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from monitor.errors import MonitorError, NotFound
from monitor.model import Role, User
from monitor.pipeline.users import SCOPES, LoginRefused, as_role
from monitor.web import sessions
from monitor.web.pages import go, opened_of, user_of, view

router = APIRouter(default_response_class=Response)


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
        await opened_of(request).monitor.users.change_password(user, old, new, address=sessions.address_of(request))
    except MonitorError as error:
        text = "The old password is not right." if isinstance(error, LoginRefused) and not error.wait else str(error)
        return await _account(request, status=422, error=text)
    return sessions.drop(request, go("/login?done=password"))


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
        _, token = await opened_of(request).monitor.users.add_token(
            user_of(request),
            str(form.get("name", "")),
            [str(scope) for scope in form.getlist("scopes")],
            min(3650, int(days)) if days.isascii() and days.isdecimal() and len(days) < 6 else 0,
        )
    except MonitorError as error:
        return await _account(request, status=422, error=str(error))
    return await _account(request, fresh=token)


@router.post("/account/tokens/{number}/remove")
async def remove_token(request: Request, number: int) -> Response:
    if not await opened_of(request).monitor.storage.users.remove_token(user_of(request).id, number):
        raise NotFound("there is no such token of yours")
    return go("/account?done=removed")


# --- users ----------------------------------------------------------------------------------------------------


async def _users(request: Request, *, status: int = 200, error: str = "", link: str = "") -> Response:
    users = await opened_of(request).monitor.storage.users.list()
    return view(request, "users.html", status=status, users=users, roles=list(Role), error=error, link=link)


def setup_link(request: Request, token: str) -> str:
    """Where the user sets their password with it."""
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
        _, token = await opened_of(request).monitor.users.add(email, name, wanted)
    except MonitorError as error:
        return await _users(request, status=422, error=str(error))
    return await _users(request, link=setup_link(request, token))


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
        await monitor.storage.users.change(as_role(before, role, active=active == "yes"))
    except NotFound:
        raise
    except MonitorError as error:
        return await _users(request, status=422, error=str(error))
    return go("/users?done=saved")


@router.post("/users/{number}/link")
async def new_link(request: Request, number: int) -> Response:
    """A link that lets a user choose a new password. The old one works until it is used."""
    monitor = opened_of(request).monitor
    user = await monitor.users.by_id(number)
    token = await monitor.users.setup_link(user)
    return await _users(request, link=setup_link(request, token))
