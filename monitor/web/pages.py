"""One way to make a page: a template, autoescaped, with a status."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response
from starlette.types import Scope

from monitor.app import Opened
from monitor.match import highlight
from monitor.model import Role, Span, User

HERE = Path(__file__).parent
STATIC = HERE / "static"

# What a page says after a form was taken and the browser sent on: /topics?done=restored
DONE = {
    "saved": "Saved.",
    "added": "Added.",
    "removed": "Removed.",
    "restored": "Restored as a new revision.",
    "labelled": "Noted.",
    "on": "Switched on.",
    "off": "Switched off.",
    "polled": "Polled.",
    "busy": "Another process is at it just now.",
    "rematching": "The archive is being matched anew; reload to see how far it is.",
    "retried": "Queued again.",
    "released": "Released.",
    "cancelled": "Cancelled.",
    "invited": "Invited.",
    "sent": "Sent.",
    "password": "Your password is changed; every other session has ended. Log in again.",
    "ended": "Ended.",
    "out": "You are logged out.",
}


def asset(name: str) -> str:
    """Address of a static file that changes with its content, so that browsers may keep it for ever."""
    if name not in _hashes:
        _hashes[name] = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={_hashes[name]}"


_hashes: dict[str, str] = {}


class Assets(StaticFiles):
    """Static files; one that is asked for by its hash never changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code in (200, 304) and scope.get("query_string", b"").startswith(b"v="):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def marked(text: str, spans: Iterable[Span]) -> Markup:
    """`text` with its spans in <mark>; all of it escaped."""
    pieces = [Markup("<mark>%s</mark>") % piece if hit else escape(piece) for piece, hit in highlight(text, spans)]
    return Markup("").join(pieces)


def when(at: datetime | None, otherwise: str = "never") -> Markup:
    if at is None:
        return escape(otherwise)
    at = at.astimezone(UTC)
    return Markup('<time datetime="%s">%s</time>') % (at.isoformat(timespec="seconds"), f"{at:%-d %b %Y, %H:%M}")


def soon(at: datetime | None, now: datetime) -> Markup:
    """A time to come, as people say it: in 12 min, in 5 h, in 3 d; the exact one in its title."""
    if at is None or at <= now:
        return escape("now")
    exact = f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
    return Markup('<time datetime="%s" title="%s">in %s</time>') % (
        at.isoformat(timespec="seconds"), exact, span(at - now),
    )  # fmt: skip


def span(of: timedelta) -> str:
    minutes = max(1, round(of.total_seconds() / 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 2_880 else f"{round(minutes / 1_440)} days"


def day(at: datetime | date | None) -> str:
    return f"{at:%-d %b %Y}" if at else ""


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


_pages = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.globals["asset"] = asset
_pages.globals["Role"] = Role
_pages.filters |= {"marked": marked, "when": when, "soon": soon, "span": span, "day": day, "percent": percent}


def page(template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """A page for somebody who need not be logged in."""
    return HTMLResponse(_pages.get_template(template).render(**values), status_code=status)


def view(request: Request, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """A page inside the house, with its navigation; or a fragment of one."""
    done = DONE.get(request.query_params.get("done", ""), "")
    body = _pages.get_template(template).render(user=user_of(request), path=request.url.path, done=done, **values)
    return HTMLResponse(body, status_code=status, headers={"Vary": "HX-Request"})


def user_of(request: Request) -> User:
    user: User = request.state.user
    return user


def opened_of(request: Request) -> Opened:
    opened: Opened = request.app.state.opened
    return opened


def is_htmx(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


def go(url: str) -> RedirectResponse:
    """POST, then GET: reloading the page that follows sends nothing twice."""
    return RedirectResponse(url, status_code=303)
