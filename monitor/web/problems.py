"""What programs read when something goes wrong: application/problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import JSONResponse

from monitor.errors import (
    DeliveryError,
    LinkError,
    MonitorError,
    NotFound,
    QueryError,
    StorageDown,
    StorageError,
    TopicRefused,
)
from monitor.pipeline.users import LoginRefused

MEDIA_TYPE = "application/problem+json"
AGAIN = {"Retry-After": "5"}  # seconds, where a database or a relay does not answer


class Refused(Exception):
    """A program's call is answered with this status. `more` are members of the problem beside the usual five."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more


def wrong_field(place: str, field: str, detail: str) -> Refused:
    """422 that names the field. `place`: body, query, path or header."""
    return Refused(422, f"{field}: {detail}", errors=[{"in": place, "field": field, "detail": detail}])


def problem(
    request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> JSONResponse:
    """One problem: its kind is its status, `detail` says what this one is about."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        **more,
    }
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def problem_of(request: Request, error: MonitorError) -> JSONResponse:
    """What of our own errors a program is told. What was sent in vain (a wrong query, an address that cannot be read)
    is 422: the same call will fail again.
    """
    status, headers, more = 422, dict[str, str](), dict[str, object]()
    match error:
        case NotFound() | LinkError():
            status = 404
        case StorageDown() | DeliveryError():
            status, headers = 503, AGAIN
        case StorageError():
            status = 409
        case QueryError() | TopicRefused():
            more["problems"] = [asdict(one) for one in error.problems]
        case LoginRefused() if error.wait:
            status, headers = 429, {"Retry-After": str(int(error.wait) + 1)}
    return problem(request, status, str(error), headers=headers, **more)


def problem_of_fields(request: Request, errors: Sequence[Mapping[str, object]]) -> JSONResponse:
    """What pydantic says of a call's fields, without what was sent."""
    found = []
    for one in errors[:20]:
        loc = one["loc"]
        place, *names = loc if isinstance(loc, tuple) else (str(loc),)
        found.append({"in": str(place), "field": ".".join(map(str, names)), "detail": str(one["msg"])})
    text = "; ".join(f"{one['field'] or one['in']}: {one['detail']}" for one in found[:10])
    return problem(request, 422, text or "a field is wrong", errors=found)
