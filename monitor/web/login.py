"""Coming in by password, going out, and the links that set a password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from monitor.errors import MonitorError, NotFound
from monitor.pipeline.users import LoginRefused
from monitor.web import sessions
from monitor.web.pages import go, opened_of, page

router = APIRouter(default_response_class=Response)


def login_page(request: Request, *, status: int = 200, error: str = "", email: str = "", to: str = "") -> Response:
    done = "You are logged out." if request.query_params.get("done") == "out" else ""
    if request.query_params.get("done") == "password":
        done = "Your password is changed. Log in with the new one."
    plain = request.url.scheme == "http" and not sessions.on_this_machine(request)
    secured = opened_of(request).links.base_url.startswith("https://")
    sign_on = opened_of(request).sign_on
    return page(
        "login.html",
        status=status,
        error=error,
        email=email,
        to=sessions.local(to),
        done=done,
        unsafe=plain and not secured,
        sign_on=sign_on.label if sign_on else "",
        passwords=not (sign_on and sign_on.only),
    )


@router.get("/login")
async def login_form(request: Request, next: str = "/") -> Response:  # noqa: A002 (the word that everybody uses)
    return login_page(request, to=next)


@router.post("/login")
async def login(
    request: Request,
    email: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002
) -> Response:
    opened = opened_of(request)
    if opened.sign_on and opened.sign_on.only:
        return login_page(request, status=403, error="Nobody logs in by password here.", to=next)
    try:
        user = await opened.monitor.users.log_in(email, password, address=sessions.address_of(request))
    except LoginRefused as error:
        answer = login_page(request, status=429 if error.wait else 401, error=str(error), email=email, to=next)
        if error.wait:
            answer.headers["Retry-After"] = str(int(error.wait) + 1)
        return answer
    return await sessions.enter(request, user, next)


@router.post("/logout")
async def logout(request: Request) -> Response:
    session = getattr(request.state, "session", None)
    if session is not None:
        await opened_of(request).monitor.storage.users.end_session(session.user_id, session.key)
    return sessions.drop(request, go("/login?done=out"))


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
    return await sessions.enter(request, user, "/")
