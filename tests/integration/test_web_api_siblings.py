"""Whatever the pages can change, a program can: every form's address is paired with a call here, or says why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from web_site import Site, open_site

from monitor.digest import Purpose
from monitor.web.api import PARTS
from monitor.web.api.description import describe

BROWSER = "a browser's own business: programs have tokens"
READER = "only its reader may say so, by the link in their mail"

# A page's POST -> the call that does the same
SIBLINGS = {
    "/notices/close": "DELETE /notices/{number}",
    "/topics": "POST /topics",
    "/topics/{slug}/try": "POST /topics/{slug}/try",
    "/topics/{slug}/save": "PUT /topics/{slug}",
    "/topics/{slug}/label": "POST /topics/{slug}/labels",
    "/topics/{slug}/why": "POST /topics/{slug}/why",
    "/topics/{slug}/words": "POST /topics/{slug}/words",
    "/topics/{slug}/examples": "POST /topics/{slug}/examples",
    "/topics/{slug}/examples/{number}/remove": "DELETE /topics/{slug}/examples/{number}",
    "/topics/{slug}/restore": "POST /topics/{slug}/restore",
    "/topics/{slug}/clone": "POST /topics/{slug}/clone",
    "/topics/{slug}/active": "PATCH /topics/{slug}",
    "/topics/{slug}/rematch": "POST /topics/{slug}/rematch",
    "/sources": "POST /sources",
    "/sources/preview": "POST /sources/preview",
    "/sources/opml": "POST /sources/opml",
    "/sources/{slug}": "PATCH /sources/{slug}",
    "/sources/{slug}/active": "PATCH /sources/{slug}",
    "/sources/{slug}/poll": "POST /sources/{slug}/poll",
    "/readers": "POST /readers",
    "/readers/{number}/state": "PATCH /readers/{number}",
    "/readers/{number}/test": "POST /readers/{number}/subscriptions/{subscription}/test",
    "/readers/{number}/preview/{subscription}": "POST /readers/{number}/subscriptions/{subscription}/preview",
    "/readers/{number}/subscriptions": "POST /readers/{number}/subscriptions",
    "/readers/{number}/subscriptions/{subscription}": "PATCH /readers/{number}/subscriptions/{subscription}",
    "/readers/{number}/subscriptions/{subscription}/{action}": "DELETE /readers/{number}/subscriptions/{subscription}",
    "/outbox/release": "POST /outbox/release",
    "/outbox/{number}/{action}": "POST /outbox/{number}/{action}",
    "/users": "POST /users",
    "/users/{number}": "PATCH /users/{number}",
    "/users/{number}/link": "POST /users/{number}/link",
    "/account/tokens": "POST /account/tokens",
    "/account/tokens/{number}/remove": "DELETE /account/tokens/{number}",
    "/account/sessions/{key}/end": "DELETE /account/sessions/{key}",
    "/signup": "POST /readers",
    f"/{Purpose.UNSUBSCRIBE}/{{token}}": "DELETE /readers/{number}/subscriptions/{subscription}",
    f"/{Purpose.PAUSE}/{{token}}": "PATCH /readers/{number}/subscriptions/{subscription}",
    f"/{Purpose.PREFERENCES}/{{token}}": "PATCH /readers/{number}/subscriptions/{subscription}",
    f"/{Purpose.FEEDBACK}/{{token}}": "POST /topics/{slug}/labels",
}
ALONE = {
    "/login": BROWSER,
    "/logout": BROWSER,
    "/setup/{token}": BROWSER,
    "/account/password": "who holds a token must not be able to take the account over",
    f"/{Purpose.CONFIRM}/{{token}}": READER,
    f"/{Purpose.PREFERENCES}/{{token}}/address": READER,
    f"/{Purpose.ADDRESS}/{{token}}": READER,
}
# A page's GET that is more than a page -> the call that does the same
DOWNLOADS = {
    "/articles/export": "GET /articles/export",
    "/articles/{number}/export": "GET /articles/{number}/export",
    "/sources/opml": "GET /sources/opml",
    "/outbox/{number}/view": "GET /issues/{number}/html",
    "/topics/{slug}/history": "GET /topics/{slug}/history",
    "/audit": "GET /audit",
}


def pages(site: Site) -> Iterator[tuple[str, str]]:
    """(method, path) of every route that is not the API's."""

    def walk(found: list[Any]) -> Iterator[tuple[str, str]]:
        for route in found:
            inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
            if inner:
                yield from walk(list(inner))
            elif getattr(route, "methods", None) and not route.path.startswith("/api/"):
                yield from ((method, route.path) for method in route.methods)

    return walk(list(site.app.routes))  # type: ignore[attr-defined]


def calls() -> set[str]:
    schema = describe(part.router for part in PARTS)
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, operations in schema["paths"].items()
        for method in operations
    }


async def test_whatever_a_page_can_change_a_program_can(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        forms = {path for method, path in pages(site) if method not in {"GET", "HEAD"}}

    assert len(forms) > 35
    assert forms - SIBLINGS.keys() - ALONE.keys() == set(), "give the new form a call of the API, or a reason here"
    assert (SIBLINGS.keys() | ALONE.keys()) - forms == set(), "this form is gone"
    assert not SIBLINGS.keys() & ALONE.keys()


def test_the_calls_that_are_named_are_there() -> None:
    assert set(SIBLINGS.values()) | set(DOWNLOADS.values()) <= calls()


async def test_what_pages_give_away_as_files_programs_get(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        shown = {path for method, path in pages(site) if method == "GET"}

    assert DOWNLOADS.keys() <= shown
