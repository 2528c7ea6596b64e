"""Single sign-on in the browser: away to the identity provider, and back with its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from monitor.errors import NotFound
from monitor.pipeline.users import TIME_TO_LOG_IN, SignOnRefused
from monitor.web import sessions
from monitor.web.login import login_page
from monitor.web.pages import go, opened_of

if TYPE_CHECKING:
    from monitor.pipeline.sign_on import SignOn

router = APIRouter(default_response_class=Response)

BEGUN = "sign-on"  # the cookie of a login on its way


def _sign_on(request: Request) -> SignOn:
    chosen = opened_of(request).sign_on
    if chosen is None:
        raise NotFound("there is no single sign-on here")
    return chosen


@router.get("/login/oidc")
async def away(request: Request, next: str = "/") -> Response:  # noqa: A002 (the word that everybody uses)
    to = sessions.local(next)
    try:
        address, begun = await _sign_on(request).start(to)
    except SignOnRefused as error:
        return login_page(request, status=502, error=str(error), to=to)
    return sessions.keep(request, go(address), begun, BEGUN, TIME_TO_LOG_IN)


@router.get("/login/oidc/callback")
async def back(request: Request) -> Response:
    """The provider's answer counts once, and only beside the cookie of the login that asked for it."""
    given = request.query_params.multi_items()
    answer = dict(given)
    try:
        if len(answer) != len(given):
            raise SignOnRefused("The identity provider's answer says things twice.")
        user, to = await _sign_on(request).finish(answer, sessions.cookie(request, BEGUN))
    except SignOnRefused as error:
        return sessions.drop(request, login_page(request, status=401, error=str(error)), BEGUN)
    return sessions.drop(request, await sessions.enter(request, user, to), BEGUN)
