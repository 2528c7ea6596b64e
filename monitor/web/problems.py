"""What programs read when something goes wrong: application/problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Request
from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


def problem(request: Request, status: int, detail: str, **more: object) -> JSONResponse:
    """One problem: its kind is its status, `detail` says what this one is about."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        **more,
    }
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE)
