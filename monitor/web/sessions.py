"""The cookie that is the session, and where a login leads."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

from fastapi import Request, Response

from monitor.model import User
from monitor.pipeline.users import LONGEST
from monitor.web.pages import go, opened_of


def on_this_machine(request: Request) -> bool:
    """Plain http to a loopback address: nothing on the way can listen, and a Secure cookie would not be kept."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    return request.url.scheme == "http" and host in {"127.0.0.1", "localhost", "::1"}


def cookie_name(request: Request, name: str = "sid") -> str:
    return name if on_this_machine(request) else f"__Host-{name}"


def cookie(request: Request, name: str = "sid") -> str:
    """What the browser brings; empty when it brings none."""
    return request.cookies.get(cookie_name(request, name), "")


def keep(request: Request, response: Response, value: str, name: str = "sid", age: timedelta = LONGEST) -> Response:
    response.set_cookie(
        cookie_name(request, name), value, max_age=int(age.total_seconds()), path="/", httponly=True, samesite="lax",
        secure=not on_this_machine(request),
    )  # fmt: skip
    return response


def drop(request: Request, response: Response, name: str = "sid") -> Response:
    secure = not on_this_machine(request)
    response.delete_cookie(cookie_name(request, name), path="/", secure=secure, httponly=True, samesite="lax")
    return response


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def agent_of(request: Request) -> str:
    return request.headers.get("user-agent", "")


async def enter(request: Request, user: User, to: str) -> Response:
    """A new session, whatever the browser came with, and on to `to`."""
    token = await opened_of(request).monitor.users.open_session(
        user, address=address_of(request), agent=agent_of(request), replaced=cookie(request)
    )
    return keep(request, go(local(to)), token)


def local(path: str) -> str:
    """Where to go after login: a path of ours, never another site."""
    return path if re.fullmatch(r"/(?![/\\])[\w./?=&%+~:,@-]*", path, re.ASCII) else "/"
