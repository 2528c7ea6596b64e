"""What a mail server's answer means for us and for the reader (RFC 5321, 4.2; RFC 3463)."""

from __future__ import annotations

import re
from enum import StrEnum

LONGEST_REASON = 500

_STATUS = re.compile(r"(?m)^\s*([245]\.\d{1,3}\.\d{1,3})\b")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")

_RELAY_CODES = frozenset({530, 534, 535, 538})
_OUR_ADDRESS = frozenset({"5.1.7", "5.1.8"})  # about the sender, though in the group of addresses
_TOO_BIG = frozenset({"5.3.4", "5.2.3"})


class Class(StrEnum):
    """What to do about a reply."""

    OK = "ok"
    RETRY = "retry"  # put off: the same again, later
    HARD_BOUNCE = "hard_bounce"  # final: there is no such mailbox
    SOFT_BOUNCE = (
        "soft_bounce"  # final for this message; something is wrong with the mailbox (full), or nobody says what
    )
    TOO_BIG = "too_big"  # final for this form: send the compact one, once
    POLICY = "policy"  # final: refused for our or the policy's sake; tell an admin, never suppress the reader
    RELAY = "relay"  # the relay refuses us: stop the run


def classify(code: int | None, status: str = "") -> Class:
    """The class of an SMTP reply code and its enhanced status; a `code` of None is a connection that broke."""
    if code is None or 400 <= code < 500:
        return Class.RETRY
    if 200 <= code < 300:
        return Class.OK
    if code in _RELAY_CODES:
        return Class.RELAY
    if status in _TOO_BIG or (code == 552 and status != "5.2.2"):
        return Class.TOO_BIG
    if status.startswith("4."):  # "550 4.4.7 expired": final, but for a reason that might have passed
        return Class.SOFT_BOUNCE
    group = status.rpartition(".")[0]
    if group == "5.1":
        return Class.POLICY if status in _OUR_ADDRESS else Class.HARD_BOUNCE
    if status == "5.2.1":
        return Class.HARD_BOUNCE
    if group == "5.2" or (code in (550, 551, 553) and group in ("", "5.0")):
        return Class.SOFT_BOUNCE
    return Class.POLICY


def enhanced_status(text: str) -> str:
    """The RFC 3463 status at the start of a reply's text or of one of its lines, as "5.1.1"; "" where there is none."""
    found = _STATUS.search(text[:2000])
    return found[1] if found else ""


def printable(text: str, longest: int = LONGEST_REASON) -> str:
    """A stranger's text on one line of bounded length, without control characters: fit for logs, notices and pages."""
    return " ".join(_UNPRINTABLE.sub(" ", text[: longest * 4]).split())[:longest]
