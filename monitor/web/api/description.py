"""The OpenAPI 3.1 description: what is served, by which scope and role, and what may go wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from monitor import __version__
from monitor.web import auth
from monitor.web.api.kit import make_router
from monitor.web.problems import MEDIA_TYPE

TEXT = """\
Everything that the pages do, for programs. Send `Authorization: Bearer mnm_…`; a token is made under your name in the
pages, or by POST /account/tokens. Each call names the scope that its token needs; none may more than its user's role.

Lists come in pages: pass `next` as `cursor`. Errors are problems (RFC 9457). To change a topic, send back its ETag in
If-Match. A POST that may have arrived can be sent again: what it would make twice is 409, with the first one's address.
"""
METHODS = ("get", "put", "post", "patch", "delete")


def router_of(*parts: APIRouter) -> APIRouter:
    """A router whose only call describes those parts."""
    router = make_router("description")
    known: list[dict[str, Any]] = []

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        if not known:
            known.append(describe(parts))
        return JSONResponse(known[0])

    return router


def describe(parts: Iterable[APIRouter]) -> dict[str, Any]:
    routes = [route for part in parts for route in part.routes]
    schema = get_openapi(title="Medical News Monitor", version=__version__, description=TEXT, routes=routes)
    token = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, mnm_…, with the scopes that a call names.",
    }
    schema["components"]["securitySchemes"] = {"token": token}
    for path, operations in schema["paths"].items():
        for method in METHODS:
            if method in operations:
                _complete(operations[method], path, method.upper())
    schema["components"]["schemas"].pop("HTTPValidationError", None)
    schema["components"]["schemas"].pop("ValidationError", None)
    return schema


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    scope, role = auth.scope_of(path, method), auth.needed(path, method)
    operation["security"] = [{"token": [scope]}]
    told = f"Scope `{scope}`, role {role.value}."
    operation["description"] = f"{operation['description']}\n\n{told}" if operation.get("description") else told
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
