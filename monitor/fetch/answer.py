"""What the head of an answer says: validators, waiting times, and in an admin's words what went wrong."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from monitor.model import Validators

MAX_RETRY_AFTER = 24 * 3600.0
MAX_PACE = 60.0  # seconds between two requests, whatever a header says
MAX_AGE = 30 * 24 * 3600
MAX_VALIDATOR = 1_000
CHALLENGE_MAX_BYTES = 64 * 1024
NOTICE_MAX_BYTES = 16 * 1024

_PRINTABLE = re.compile(r"[\x20-\x7e\xa0-\U0010ffff]*")
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s{0,3}=\s{0,3}\"?([0-9]{1,20})", re.IGNORECASE)
_INTERVAL = re.compile(r"([0-9]{1,6})\s{0,3}(ms|s|m)?")
_CHALLENGE_CODE = re.compile(
    rb"_cf_chl_opt|cf-chl-|cf_chl_|cf-browser-verification|id=\"challenge-form\"|/_Incapsula_Resource"
)
_CHALLENGE_WORDS = re.compile(
    rb"<title>\s{0,9}(?:Just a moment\.\.\.|Attention Required! \| Cloudflare|DDoS-Guard|Access Denied)"
    rb"|Checking your connection|Checking your browser before|Checking if the site connection is secure"
    rb"|Enable JavaScript and cookies to continue",
    re.IGNORECASE,
)

CHALLENGE = "an anti-robot challenge page came instead of the content (blocked?)"
REASONS = {
    204: "an empty answer",
    205: "an empty answer",
    206: "only a part of the content, which we did not ask for",
    304: '"not modified", though we had not asked',
    400: "the server refused the request; some sites answer so to programs (blocked?)",
    401: "a login is needed (blocked?)",
    402: "payment is needed",
    403: "access is forbidden; some sites answer so to programs (blocked?)",
    404: "nothing is found at this address",
    405: "the server refused the request (blocked?)",
    406: "the server refused the request (blocked?)",
    407: "a proxy wants a login",
    410: "gone for good",
    429: "too many requests: the server asks us to slow down",
    451: "withheld for legal reasons",
    500: "the server failed",
    502: "the server's gateway failed",
    503: "the server is overloaded or down",
    504: "the server's gateway timed out",
    520: "the server behind Cloudflare failed",
    521: "the server behind Cloudflare is down",
    522: "the server behind Cloudflare does not answer",
    523: "the server behind Cloudflare cannot be reached",
    524: "the server behind Cloudflare timed out",
    525: "TLS fails between Cloudflare and the server",
    526: "the server behind Cloudflare has a bad certificate",
}


def status_reason(status: int, headers: httpx.Headers) -> str:
    """A sentence on a status that brought no content."""
    if is_challenge_by_header(headers):
        return f"HTTP {status}: {CHALLENGE}"
    reason = REASONS.get(status)
    if reason is None:
        kinds = {
            2: "an unusual success",
            3: "an unusable redirect",
            4: "the server refused the request",
            5: "the server failed",
        }
        reason = kinds.get(status // 100, "an unknown status")
    return f"HTTP {status}: {reason}"


_FEED = re.compile(rb"<(?:rss|feed|rdf:RDF)[\s>]")  # what begins like this is no page


def is_challenge_by_header(headers: httpx.Headers) -> bool:
    """Whether Cloudflare itself says that its answer is a challenge."""
    mitigated: str = headers.get("cf-mitigated", "")
    return mitigated.lower() == "challenge"


def is_challenge(body: bytes) -> bool:
    """Whether a 200 hides a page that tests for robots. Small HTML pages only: an article may quote its words."""
    if len(body) > CHALLENGE_MAX_BYTES or b"<" not in body[:200] or _FEED.search(body[:500]):
        return False
    if _CHALLENGE_CODE.search(body):
        return True
    return len(body) <= NOTICE_MAX_BYTES and _CHALLENGE_WORDS.search(body) is not None


def retry_after(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds to wait (RFC 9110, section 10.2.3), 0 to 24 hours; None where none, or nothing sensible, is named."""
    text = headers.get("retry-after", "").strip()
    if not text or len(text) > 10_000:
        return None
    if _SECONDS.fullmatch(text):
        seconds = float(text)  # never raises here; 5,000 digits are infinite
    else:
        try:
            date = parsedate_to_datetime(text[:100])
            seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, OverflowError, TypeError, IndexError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def max_age(headers: httpx.Headers) -> int | None:
    """Seconds the answer stays fresh (Cache-Control: max-age), at most 30 days; None where nothing is said."""
    found = _MAX_AGE.search(headers.get("cache-control", "")[:2_000])
    return min(int(found[1]), MAX_AGE) if found else None


def date(headers: httpx.Headers) -> datetime | None:
    """The server's clock (RFC 9110, Date); None where it says nothing sensible."""
    try:
        at = parsedate_to_datetime(headers.get("date", "")[:64])
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def pace(headers: httpx.Headers) -> float | None:
    """Seconds between two requests that a server allows by x-rate-limit-limit and x-rate-limit-interval (Crossref's
    way: "10" in "1s"); None where it says nothing sensible.
    """
    limit = headers.get("x-rate-limit-limit", "").strip()
    interval = _INTERVAL.fullmatch(headers.get("x-rate-limit-interval", "").strip())
    if interval is None or not (limit.isascii() and limit.isdigit() and 0 < len(limit) < 7 and int(limit)):
        return None
    seconds = int(interval[1]) * {"ms": 0.001, "m": 60.0}.get(interval[2] or "s", 1.0)
    return min(seconds / int(limit), MAX_PACE) if seconds else None


def validators(headers: httpx.Headers, body_hash: str) -> Validators:
    """What to send back next time. Overlong or undecodable ones are left out: the body's hash then stands alone."""
    return Validators(
        etag=_validator(headers, b"etag"), last_modified=_validator(headers, b"last-modified"), body_hash=body_hash
    )


def _validator(headers: httpx.Headers, name: bytes) -> str:
    value = next((value for key, value in headers.raw if key.lower() == name), b"")
    try:
        return sendable(value.decode("utf-8"))
    except UnicodeDecodeError:  # latin-1: it could not be sent back byte for byte
        return ""


def sendable(validator: str) -> str:
    """The validator if it can stand in a header, else ""."""
    return validator if len(validator) <= MAX_VALIDATOR and _PRINTABLE.fullmatch(validator) else ""
