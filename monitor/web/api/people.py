"""Who may come in: oneself with one's tokens and sessions; and, for admins, the users."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import Request, Response
from pydantic import Field

from monitor.errors import NotFound
from monitor.model import ApiToken, Role, Session, User
from monitor.pipeline.readers import check_address
from monitor.pipeline.users import SCOPES
from monitor.web.account import setup_link
from monitor.web.api.kit import (
    CHANGING,
    Cursor,
    Limit,
    Number,
    Out,
    Page,
    Sent,
    after,
    cut,
    made,
    make_router,
    read_cursor,
    taken,
)
from monitor.web.pages import opened_of, user_of
from monitor.web.problems import wrong_field

router = make_router("users")


class TokenIn(Sent):
    name: str = Field(min_length=1, max_length=100, description="One of yours by that name: 409.")
    scopes: list[Annotated[str, Field(max_length=40)]] = Field(
        min_length=1,
        max_length=len(SCOPES),
        description=f"Among {', '.join(SCOPES)}; a token gives no more than it has.",
    )
    days: int = Field(365, ge=0, le=3_650, description="Until it ends; 0: when it is revoked.")


class UserIn(Sent):
    email: str = Field(min_length=3, max_length=320)
    name: str = Field("", max_length=200)
    role: Role = Role.VIEWER


class UserChangeIn(Sent):
    """What is left out stays as it is."""

    name: str | None = Field(None, max_length=200)
    role: Role | None = None
    active: bool | None = Field(None, description="false ends every session and token of theirs.")


class UserOut(Out):
    id: int
    email: str
    name: str
    role: Role
    active: bool
    has_password: bool
    created_at: datetime | None


class NewUserOut(UserOut):
    link: str = Field(description="Sets their password; shown once, works once, within a day.")


class LinkOut(Out):
    link: str


class TokenOut(Out):
    id: int
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Within five minutes.")


class NewTokenOut(TokenOut):
    token: str = Field(description="Shown once: only its hash is kept.")


class SessionOut(Out):
    key: str = Field(description="Names it without opening it.")
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    agent: str
    address: str


class AccountOut(UserOut):
    scopes: list[str] | None = Field(description="Of the token; null: a browser's session.")


# --- oneself --------------------------------------------------------------------------------------------------


@router.get("/account", response_model=AccountOut)
async def account(request: Request) -> AccountOut:
    """Who you are here, and what your token may."""
    scopes: tuple[str, ...] | None = request.state.scopes
    told = UserOut.model_validate(user_of(request)).model_dump()
    return AccountOut(**told, scopes=None if scopes is None else list(scopes))


@router.get("/account/tokens", response_model=Page[TokenOut])
async def tokens(request: Request, response: Response, cursor: Cursor = "", limit: Limit = 50) -> Page[ApiToken]:
    """Yours, in the order in which they were made."""
    found = await opened_of(request).monitor.storage.users.tokens(user_of(request).id)
    return cut(request, response, after(found, read_cursor(cursor, int), _id), limit, _id)


def _id(one: ApiToken | User) -> tuple[int]:
    return (one.id,)


@router.post("/account/tokens", response_model=NewTokenOut, status_code=201, responses=CHANGING)
async def add_token(request: Request, response: Response, sent: TokenIn) -> NewTokenOut:
    """A token of yours. Its text is in this answer and nowhere else."""
    users, user = opened_of(request).monitor.users, user_of(request)
    held: tuple[str, ...] | None = request.state.scopes
    if unknown := [one for one in sent.scopes if one not in SCOPES]:
        raise wrong_field("body", "scopes", f"there is no scope {unknown[0]!r}")
    if held is not None and (more := [one for one in sent.scopes if one not in held]):
        raise wrong_field("body", "scopes", f"your token lacks {more[0]} itself")
    if twin := next((one for one in await users.storage.users.tokens(user.id) if one.name == sent.name), None):
        raise taken(f"you have a token {sent.name!r} already: revoke it, or choose another name",
                    f"/account/tokens/{twin.id}")  # fmt: skip
    stored, token = await users.add_token(user, sent.name, sent.scopes, sent.days)
    made(response, f"/account/tokens/{stored.id}")
    return NewTokenOut(**TokenOut.model_validate(stored).model_dump(), token=token)


@router.delete("/account/tokens/{number}", status_code=204, response_class=Response)
async def remove_token(request: Request, number: Number) -> Response:
    """Revoke a token of yours; at once."""
    return await _revoke(request, user_of(request).id, number)


async def _revoke(request: Request, user_id: int, number: int) -> Response:
    if not await opened_of(request).monitor.storage.users.remove_token(user_id, number):
        raise NotFound(f"there is no such token: {number}")
    return Response(status_code=204)


class SessionsOut(Out):
    items: list[SessionOut]


@router.get("/account/sessions", response_model=SessionsOut)
async def sessions(request: Request) -> SessionsOut:
    """Browsers in which you are logged in, newest use first."""
    monitor = opened_of(request).monitor
    found: list[Session] = await monitor.storage.users.sessions(user_of(request).id, monitor.now())
    return SessionsOut(items=[SessionOut.model_validate(one) for one in found])


@router.delete("/account/sessions/{key}", status_code=204, response_class=Response)
async def end_session(request: Request, key: str) -> Response:
    if not await opened_of(request).monitor.storage.users.end_session(user_of(request).id, key):
        raise NotFound("there is no such session of yours")
    return Response(status_code=204)


# --- users ----------------------------------------------------------------------------------------------------


@router.get("/users", response_model=Page[UserOut])
async def users(request: Request, response: Response, cursor: Cursor = "", limit: Limit = 50) -> Page[User]:
    """In the order in which they came."""
    found = sorted(await opened_of(request).monitor.storage.users.list(), key=_id)
    return cut(request, response, after(found, read_cursor(cursor, int), _id), limit, _id)


@router.post("/users", response_model=NewUserOut, status_code=201, responses=CHANGING)
async def add_user(request: Request, response: Response, sent: UserIn) -> NewUserOut:
    """Somebody more, with the link that sets their password. 409 with their address here where they are a user."""
    monitor = opened_of(request).monitor
    email = check_address(sent.email)
    try:
        known = await monitor.storage.users.get(email)
    except NotFound:
        user, token = await monitor.users.add(email, sent.name, sent.role)
        made(response, f"/users/{user.id}")
        return NewUserOut(**UserOut.model_validate(user).model_dump(), link=setup_link(request, token))
    raise taken(f"{email} is a user already", f"/users/{known.id}")


@router.get("/users/{number}", response_model=UserOut)
async def user(request: Request, number: Number) -> User:
    return await opened_of(request).monitor.users.by_id(number)


@router.patch("/users/{number}", response_model=UserOut, responses=CHANGING)
async def change_user(request: Request, number: Number, sent: UserChangeIn) -> User:
    """409 when nobody would be left who is an active admin."""
    monitor = opened_of(request).monitor
    before = await monitor.users.by_id(number)
    wanted = replace(
        before,
        name=before.name if sent.name is None else sent.name.strip(),
        role=sent.role or before.role,
        active=before.active if sent.active is None else sent.active,
    )
    return await monitor.storage.users.change(wanted) if wanted != before else before


@router.post("/users/{number}/link", response_model=LinkOut, responses=CHANGING)
async def new_link(request: Request, number: Number) -> LinkOut:
    """A link that lets them choose a new password. The old one works until it is used."""
    users = opened_of(request).monitor.users
    return LinkOut(link=setup_link(request, await users.setup_link(await users.by_id(number))))


@router.get("/users/{number}/tokens", response_model=Page[TokenOut])
async def tokens_of(
    request: Request, response: Response, number: Number, cursor: Cursor = "", limit: Limit = 50
) -> Page[ApiToken]:
    """What programs of theirs hold."""
    users = opened_of(request).monitor.users
    found = await users.storage.users.tokens((await users.by_id(number)).id)
    return cut(request, response, after(found, read_cursor(cursor, int), _id), limit, _id)


@router.delete("/users/{number}/tokens/{token}", status_code=204, response_class=Response)
async def remove_token_of(request: Request, number: Number, token: Number) -> Response:
    """Revoke it; at once."""
    return await _revoke(request, number, token)
