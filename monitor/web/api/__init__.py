"""The same for programs: JSON under /api/v1, with tokens that have scopes, pages by cursor, problems per RFC 9457.

`Authorization: Bearer mnm_…`; the table of rules in auth.py holds here as it does for pages. One file a noun;
docs/api.md is its user's page. Nothing is decided here: each call is one of monitor.pipeline's, as the pages' are.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.routing import APIRoute

from monitor.web.api import articles, description, house, mail, people, readers, sources, stories, topics, tuning

PARTS = (house, topics, tuning, articles, stories, sources, readers, mail, people)

router = APIRouter()
for _part in PARTS:
    router.include_router(_part.router)
router.include_router(description.router_of(*(_part.router for _part in PARTS)))


def allowed(path: str) -> list[str]:
    """Every method that this address knows, for Allow (RFC 9110, section 10.2.1)."""
    routes = [route for part in PARTS for route in part.router.routes if isinstance(route, APIRoute)]
    return sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})


__all__ = ["PARTS", "allowed", "router"]
