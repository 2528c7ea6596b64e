"""What every part of the API shares: parameters, pages by cursor, errors, and how much one may ask at once."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from monitor.web.pages import user_of
from monitor.web.problems import MEDIA_TYPE, Refused, wrong_field

T = TypeVar("T")
Key = tuple[int | str | datetime, ...]

PREFIX = "/api/v1"
MOST = 200  # items of one page
AT_ONCE = 4  # calls of one user that search the archive or ask other servers
LARGEST = 2**31 - 1  # of a number in an address
SLUG = r"^[a-z0-9][a-z0-9._-]*$"

Slug = Annotated[str, Path(max_length=64, pattern=SLUG)]
Number = Annotated[int, Path(ge=1, le=LARGEST)]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Items of one page, at most.")]
Cursor = Annotated[str, Query(max_length=1_000, description="Where the page begins: `next` of the page before it.")]
# What takes no JSON, by the end of its path: the types that are taken.
RAW = {
    "/sources/opml": ("text/x-opml", "application/xml", "text/xml"),
    "/topics/import": ("application/yaml", "text/yaml", "text/csv"),
    "/bounces": ("message/rfc822",),
}


class Sent(BaseModel):
    """What a program sends: a member that is not known is an error, not a surprise."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Out(BaseModel):
    """What a program gets. Times are RFC 3339 in UTC, durations seconds."""

    model_config = ConfigDict(from_attributes=True, ser_json_timedelta="float")


class Page(Out, Generic[T]):
    items: list[T]
    next: str | None = Field(description="The next page's `cursor`; null: this is the last.")


class WrongField(BaseModel):
    place: str = Field(alias="in")
    field: str
    detail: str


class Problem(BaseModel):
    """RFC 9457. `errors` names fields, `problems` places in a query, `existing` the address of what is in the way."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[WrongField] | None = None
    problems: list[dict[str, Any]] | None = None
    existing: str | None = None


def _told(status: int, text: str) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "description": text, "content": {MEDIA_TYPE: {}}}}


ALWAYS = {
    **_told(401, "No token, or one that is not good."),
    **_told(403, "The role or a scope is missing."),
    **_told(404, "Nothing is stored under that name."),
    **_told(422, "A field or query is wrong; `errors` names the field, `problems` the place in the query."),
    **_told(500, "A mistake of the program."),
    **_told(503, "The database or the mail relay does not answer; `Retry-After` says when to ask again."),
}
CHANGING = {
    **_told(400, "The body cannot be read."),
    **_told(409, "Something is in the way: `existing` is its address."),
    **_told(411, "A body needs a Content-Length."),
    **_told(413, "The body is too large."),
    **_told(415, "The body is of a type that is not taken here."),
}
BUSY = _told(429, "Too many such calls at once; `Retry-After` says when to ask again.")
GUARDED = {**_told(412, "It was changed meanwhile."), **_told(428, "If-Match is missing.")}


async def _takes(request: Request) -> None:
    """415 for a body of another type than this call reads."""
    if request.headers.get("content-length", "0") == "0":
        return
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = RAW.get(request.url.path.removeprefix(PREFIX))
    if raw is None and given != "application/json" and not given.endswith("+json"):
        raise Refused(415, "Send JSON: Content-Type: application/json", headers={"Accept": "application/json"})
    if raw is not None and given not in raw:
        raise Refused(415, f"Send one of {', '.join(raw)}", headers={"Accept": ", ".join(raw)})


def make_router(tag: str) -> APIRouter:
    return APIRouter(
        prefix=PREFIX, tags=[tag], default_response_class=JSONResponse, responses=ALWAYS, dependencies=[Depends(_takes)]
    )


async def _few(request: Request) -> AsyncIterator[None]:
    """Of what is costly a user may ask AT_ONCE things at the same time; then 429."""
    running: dict[int, int] = request.app.state.asking
    who = user_of(request).id
    if running.get(who, 0) >= AT_ONCE:
        text = f"{AT_ONCE} such calls of yours are running: wait for one of them"
        raise Refused(429, text, headers={"Retry-After": "1"})
    running[who] = running.get(who, 0) + 1
    try:
        yield
    finally:
        running[who] -= 1
        if not running[who]:
            del running[who]


few = Depends(_few)


# --- pages ----------------------------------------------------------------------------------------------------


def cut(request: Request, response: Response, found: Sequence[T], limit: int, key: Callable[[T], Key]) -> Page[T]:
    """Up to `limit` of what was found (one more than that tells that there is a next page), and where that begins.

    `key` orders the list, so what is added or gone meanwhile moves nothing else from page to page.
    """
    shown = found[:limit]
    return page_of(request, response, shown, key(shown[-1]) if len(found) > limit else None)


def page_of(request: Request, response: Response, shown: Sequence[T], last: Key | None) -> Page[T]:
    """`last`: the key after which the next page begins; None: there is none. Its address is in Link too (RFC 8288)."""
    following = _encode(last) if last is not None else None
    if following:
        address = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
    return Page[Any].model_construct(items=list(shown), next=following)


def after(items: Iterable[T], cursor: Key | None, key: Callable[[T], Key]) -> list[T]:
    """What comes after the cursor, of a list that is in the order of `key`."""
    return [one for one in items if cursor is None or key(one) > cursor]


def _encode(key: Key) -> str:
    plain = [part.isoformat() if isinstance(part, datetime) else part for part in key]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type[int | str | datetime]) -> Any:
    """The key in a cursor, its parts of these kinds; None for the first page. Raises 422."""
    if not cursor:
        return None
    try:
        plain = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(plain, list) or len(plain) != len(kinds):
            raise ValueError
        return tuple(_part(value, kind) for value, kind in zip(plain, kinds, strict=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise wrong_field("query", "cursor", "this is no `next` of a page of this list") from error


def _part(value: object, kind: type[int | str | datetime]) -> int | str | datetime:
    if kind is datetime:
        at = datetime.fromisoformat(str(value))
        if at.tzinfo is None:
            raise ValueError
        return at
    if type(value) is not kind or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise ValueError
    return value


# --- answers --------------------------------------------------------------------------------------------------


def taken(detail: str, existing: str) -> Refused:
    """409: what a POST would make is there already, perhaps because the first try did arrive."""
    return Refused(409, detail, existing=PREFIX + existing, headers={"Location": PREFIX + existing})


def made(response: Response, address: str) -> None:
    response.status_code = 201
    response.headers["Location"] = PREFIX + address
