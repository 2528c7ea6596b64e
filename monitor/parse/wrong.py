"""What was served in place of a feed or an article, in words for an admin."""

from __future__ import annotations

import re

from monitor.parse.plain import plain_line

_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_ROOT = re.compile(r"<([A-Za-z][\w:.-]{0,60})")
_CLOUDFLARE = ("cf-chl", "_cf_chl_opt", "cf-browser-verification", "cf_challenge", "cf-error-details")
_CHALLENGE = (
    *_CLOUDFLARE, "px-captcha", "_incapsula_resource", "captcha-delivery.com", "g-recaptcha", "h-captcha", "ddos-guard",
    "sgcaptcha", "awswafcookiedomainlist",
)  # fmt: skip
_CHALLENGE_TITLES = (
    "just a moment", "attention required", "checking your browser", "checking your connection", "please wait",
    "access denied",
    "are you a robot", "are you a human", "verify you are human", "human verification", "robot check", "security check",
    "ddos protection", "request rejected", "pardon our interruption", "client challenge", "un momento",
)  # fmt: skip
_LOGIN_TITLES = (
    "log in",
    "login",
    "sign in",
    "signin",
    "anmelden",
    "connexion",
    "institutional login",
    "authentication",
)
_CONSENT_TITLES = ("before you continue", "bevor sie fortfahren", "avant de continuer", "cookie consent",
                   "your privacy choices",
                   "we value your privacy", "privacy settings")  # fmt: skip
_KNOWN_ROOTS = {
    "urlset": "a sitemap",
    "sitemapindex": "a sitemap index",
    "opml": "a list of feeds (OPML)",
    "Error": "an error message",
}
_SHORT = 1_500  # characters: such pages say little, articles about them say more


def why_no_feed(text: str) -> str:
    """Why this text is no feed, as the end of the sentence "<address>: …"."""
    head = text[:65_536]
    lowered = head.lower()
    if page := blocking_page(lowered, _title(head), ""):
        return f"{page} where a feed was expected"
    if text.startswith("%PDF"):
        return "a PDF file where a feed was expected"
    if "<" not in head:
        return "neither XML nor JSON, so no feed"
    root = next((name for name in _ROOT.findall(head) if name.lower() != "xml"), "").rpartition(":")[2]
    if root in _KNOWN_ROOTS:
        return f"{_KNOWN_ROOTS[root]} where a feed was expected"
    if root in ("rss", "feed", "RDF", "channel"):
        return "a feed that is cut off or broken at its beginning"
    if "<html" in lowered or "<!doctype html" in lowered or "<body" in lowered:
        title = _title(head)
        return "an HTML page where a feed was expected" + (f" (title: {title})" if title else "")
    return f"an XML document <{root}> where a feed was expected" if root else "neither XML nor JSON, so no feed"


def blocking_page(lowered: str, title: str, visible: str) -> str:
    """What stands in the article's place: a challenge, a login or a consent page; empty if it is none.

    `lowered` is the page's beginning in lower case, `visible` its readable text. The marks also occur on good pages
    (Cloudflare adds its script everywhere), so they count on short pages only.
    """
    if len(visible) > _SHORT:
        return ""
    name = title.lower()
    if any(mark in lowered for mark in _CLOUDFLARE) or ("cloudflare" in lowered and name.startswith(_CHALLENGE_TITLES)):
        return "a Cloudflare challenge page"
    if name.startswith(_CHALLENGE_TITLES) or (len(visible) < 300 and any(mark in lowered for mark in _CHALLENGE)):
        return "a challenge page for browsers"
    if name.startswith(_LOGIN_TITLES) or (len(visible) < 300 and 'type="password"' in lowered):
        return "a login page"
    if name.startswith(_CONSENT_TITLES):
        return "a consent page"
    return ""


def _title(head: str) -> str:
    found = _TITLE.search(head)
    return plain_line(found.group(1), 120) if found else ""
