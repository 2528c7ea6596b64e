"""Mail that comes back: whom it is about, how bad it is, and what follows for the reader.

Everything in such a mail is hostile: anybody can write one. Only an address that carries our HMAC names a delivery.
"""

from __future__ import annotations

import email
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import Message as Mail
from email.policy import compat32
from enum import StrEnum

from monitor.deliver.replies import Class, classify, enhanced_status, printable

LONGEST_MAIL = 512 * 1024
SOFT_ISSUES = 3
SOFT_DAYS = timedelta(days=14)

_REPORTS = frozenset({"message/delivery-status", "message/global-delivery-status"})
_VERP = re.compile(r"\+([0-9]{1,18})\.([0-9a-f]{16})@([a-z0-9.\-]{1,253})")
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,300}@[!-;=?A-~]{1,255}>")
_ADDRESS = re.compile(r"[^\s<>;,:\"]{1,64}@[^\s<>;,:\"]{1,255}")
_REPLY = re.compile(r"\b([45][0-9]{2})[ \-](?:#?([45]\.[0-9]{1,3}\.[0-9]{1,3})\b)?")
_QMAIL = re.compile(r"(?m)^<([^<>\s]{1,320})>:[ \t]*\r?\n")


class BounceKind(StrEnum):
    HARD = "hard"  # the mailbox does not exist
    SOFT = "soft"  # the mailbox did not take this one: full, or nobody says why
    POLICY = "policy"  # refused for our or the policy's sake: nothing is wrong with the reader
    COMPLAINT = "complaint"  # the reader called it spam (RFC 5965)
    AUTO_REPLY = "auto-reply"  # out of office and the like
    DELAY = "delay"  # still being tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """One returned mail, read. `delivery_id` only where our own HMAC vouches for it.

    `message_id` is what the mail claims to be about (with angle brackets); trust it as far as you trust whoever may
    know that id. `diagnostic` is a stranger's text on one line.
    """

    kind: BounceKind
    recipient: str = ""
    status: str = ""
    delivery_id: int | None = None
    message_id: str = ""
    diagnostic: str = ""


# --- the address that mail comes back to ----------------------------------------------------------------------


def bounce_address(base: str, delivery_id: int, secret: bytes) -> str:
    """The envelope sender for one delivery (VERP): bounces+123.0a1b2c3d4e5f6071@news.example.org.

    Lower case throughout, since some servers return it so. It is no part of the message's bytes: it can be made when
    the delivery has its number.
    """
    local, _, domain = base.rpartition("@")
    return f"{local}+{delivery_id}.{_seal(delivery_id, secret)}@{domain.lower()}"


def _seal(delivery_id: int, secret: bytes) -> str:
    return hmac.new(secret, b"bounce:%d" % delivery_id, hashlib.sha256).hexdigest()[:16]


def _authentic_delivery(texts: Iterable[str], secret: bytes, domain: str) -> int | None:
    for text in texts:
        for found in _VERP.finditer(text[:4000].lower()):
            delivery_id = int(found[1])
            ours = hmac.compare_digest(found[2], _seal(delivery_id, secret)) and str(delivery_id) == found[1]
            if ours and found[3] == domain.lower():
                return delivery_id
    return None


# --- reading --------------------------------------------------------------------------------------------------


def read_bounce(raw: bytes, secret: bytes, domain: str) -> Bounce | None:
    """What a returned mail says; None for mail that is no bounce, complaint or automatic reply. Never raises.

    Understands RFC 3464 (and 6533) reports, RFC 5965 complaints, qmail's and Exim's own forms.
    """
    try:
        mail = email.message_from_bytes(raw[:LONGEST_MAIL], policy=compat32)
        parts = list(mail.walk())
        kinds = {part.get_content_type() for part in parts}
        if "message/feedback-report" in kinds:
            return _complaint(mail, parts, secret, domain)
        if kinds & _REPORTS:
            return _report(mail, parts, secret, domain)
        return _qmail(mail, secret, domain) or _plain(mail, parts, secret, domain) or _auto_reply(mail, secret, domain)
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError):
        return (
            None  # what the standard parser throws at mail made to break it; there is nothing to learn from such mail
        )


def _complaint(mail: Mail, parts: list[Mail], secret: bytes, domain: str) -> Bounce | None:
    for part in parts:
        if part.get_content_type() != "message/feedback-report":
            continue
        fields = next(_groups(part), None)
        if fields is None or _value(fields, "Feedback-Type").lower() not in (
            "abuse",
            "fraud",
            "opt-out",
            "opt-out-list",
        ):
            return None  # "not-spam", authentication reports: nobody complained
        original = _original(parts)
        claimed = [_value(fields, "Original-Mail-From"), _value(original, "Return-Path"), *_addressed_to(mail)]
        return Bounce(
            kind=BounceKind.COMPLAINT,
            recipient=_address(_value(fields, "Original-Rcpt-To")),
            delivery_id=_authentic_delivery(claimed, secret, domain),
            message_id=_message_id(original),
            diagnostic=printable(_value(fields, "Feedback-Type") + " " + _value(fields, "User-Agent")),
        )
    return None


def _report(mail: Mail, parts: list[Mail], secret: bytes, domain: str) -> Bounce | None:
    for part in parts:
        if part.get_content_type() not in _REPORTS:
            continue
        groups = [group for group in _groups(part) if _value(group, "Action")]
        failed = [group for group in groups if _value(group, "Action").lower() == "failed"]
        delayed = [group for group in groups if _value(group, "Action").lower() == "delayed"]
        if not failed and not delayed:
            return None  # "delivered", "relayed", "expanded"
        fields = (failed or delayed)[0]
        diagnostic = _value(fields, "Diagnostic-Code")
        kind, status = _judge_reply(diagnostic, _value(fields, "Status"))
        return _bounce(
            mail,
            _original(parts),
            kind=kind if failed else BounceKind.DELAY,
            recipient=_value(fields, "Original-Recipient") or _value(fields, "Final-Recipient"),
            status=status,
            diagnostic=diagnostic.partition(";")[2] or diagnostic,
            delivery_id=_authentic_delivery(_addressed_to(mail), secret, domain),
        )
    return None


def _qmail(mail: Mail, secret: bytes, domain: str) -> Bounce | None:
    """QSBMF: a plain text that begins "Hi. This is the", then `<address>:` and the reason, then the message."""
    text = _text(mail)
    if not text.lstrip().startswith("Hi. This is the"):
        return None
    notice, _, copy = text.partition("\n--- ")
    found = _QMAIL.search(notice)
    if not found:
        return None
    reason = notice[found.end() : found.end() + 2000].split("\n\n")[0]
    kind, status = _judge_reply(reason, enhanced_status(reason) or _hash_status(reason))
    return _bounce(
        mail,
        email.message_from_string(copy.partition("\n\n")[2], policy=compat32),
        kind=kind,
        recipient=found[1],
        status=status,
        diagnostic=reason,
        delivery_id=_authentic_delivery(_addressed_to(mail), secret, domain),
    )


def _plain(mail: Mail, parts: list[Mail], secret: bytes, domain: str) -> Bounce | None:
    """Words only, as from Exim: believed where the failed address is named, or the mail came to our sealed address."""
    delivery_id = _authentic_delivery(_addressed_to(mail), secret, domain)
    recipient = _value(mail, "X-Failed-Recipients")
    from_daemon = "mailer-daemon" in _value(mail, "From").lower() or "postmaster" in _value(mail, "From").lower()
    if not recipient and not (from_daemon and delivery_id is not None):
        return None
    text = next((_text(part) for part in parts if part.get_content_type() == "text/plain"), "")
    notice, _, copy = text.partition("\n------")
    said = _REPLY.search(notice[:20000])
    if not said and not recipient:
        return None
    reason = notice[said.start() : said.start() + 500].split("\n\n")[0] if said else ""
    kind, status = _judge_reply(reason, "")
    returned = _original(parts) or email.message_from_string(copy.partition("\n\n")[2], policy=compat32)
    return _bounce(
        mail, returned, kind=kind, recipient=recipient, status=status, diagnostic=reason, delivery_id=delivery_id
    )


def _auto_reply(mail: Mail, secret: bytes, domain: str) -> Bounce | None:
    submitted = _value(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    marks = ("X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress")
    quiet = _value(mail, "Precedence").lower() in ("auto_reply", "junk")
    if submitted in ("", "no") and not quiet and not any(_value(mail, mark) for mark in marks):
        return None
    return Bounce(
        kind=BounceKind.AUTO_REPLY,
        recipient=_address(_value(mail, "From")),
        delivery_id=_authentic_delivery(_addressed_to(mail), secret, domain),
        message_id=_first_id(_value(mail, "In-Reply-To")),
        diagnostic=printable(_value(mail, "Subject"), 200),
    )


def _bounce(
    mail: Mail,
    original: Mail,
    *,
    kind: BounceKind,
    recipient: str,
    status: str,
    diagnostic: str,
    delivery_id: int | None,
) -> Bounce:
    return Bounce(
        kind=kind,
        recipient=_address(recipient),
        status=status,
        delivery_id=delivery_id,
        message_id=_message_id(original) or _first_id(_value(mail, "In-Reply-To") or _value(mail, "References")),
        diagnostic=printable(diagnostic),
    )


def _judge_reply(diagnostic: str, status: str) -> tuple[BounceKind, str]:
    """The kind of failure. The server's own words say more than a report's general status such as 5.0.0."""
    said = _REPLY.search(diagnostic[:2000])
    code = int(said[1]) if said else None
    status = enhanced_status(status)
    if said and said[2] and (not status or status.endswith(".0.0")):
        status = said[2]
    if code is None or (code < 500 and status.startswith("5")):
        code = 550 if status.startswith("5") or not status else 450
    kinds = {Class.HARD_BOUNCE: BounceKind.HARD, Class.RETRY: BounceKind.SOFT, Class.SOFT_BOUNCE: BounceKind.SOFT}
    return kinds.get(classify(code, status), BounceKind.POLICY), status


def _hash_status(text: str) -> str:
    """qmail writes "(#5.1.1)" at the end of its reason."""
    found = re.search(r"#([245]\.\d{1,3}\.\d{1,3})\b", text[:2000])
    return found[1] if found else ""


# --- pieces of mail -------------------------------------------------------------------------------------------


def _children(part: Mail) -> list[Mail]:
    payload = part.get_payload()
    return [item for item in payload if isinstance(item, Mail)] if isinstance(payload, list) else []


def _groups(part: Mail) -> Iterator[Mail]:
    """The groups of fields of a report: one about the message, then one about each recipient."""
    for item in (part, *_children(part)):
        if item is not part:
            yield item
        rest = item.get_payload()
        for text in rest.replace("\r\n", "\n").split("\n\n")[:50] if isinstance(rest, str) else []:
            yield email.message_from_string(text.lstrip("\n"), policy=compat32)


def _original(parts: Sequence[Mail]) -> Mail:
    """The returned message, or its header; without fields where none came back."""
    for part in parts:
        kind = part.get_content_type()
        if kind in ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"):
            if children := _children(part):
                return children[0]
            return email.message_from_string(_text(part).lstrip(), policy=compat32)
    return Mail(policy=compat32)


def _text(part: Mail) -> str:
    payload = part.get_payload(decode=True)
    return payload.decode("utf-8", "replace").replace("\r\n", "\n") if isinstance(payload, bytes) else ""


def _value(mail: Mail, name: str) -> str:
    return " ".join(str(mail.get(name, ""))[:4000].split())


def _addressed_to(mail: Mail) -> list[str]:
    names = ("Delivered-To", "X-Original-To", "Envelope-To", "To")
    return [str(value) for name in names for value in mail.get_all(name, [])[:20]]


def _address(text: str) -> str:
    """`rfc822; <ann@example.org>` is ann@example.org."""
    found = _ADDRESS.search(text[:1000])
    return printable(found[0]).strip("()") if found else ""


def _message_id(mail: Mail) -> str:
    return _first_id(_value(mail, "Message-ID"))


def _first_id(text: str) -> str:
    found = _MESSAGE_ID.search(text[:2000])
    return found[0] if found else ""


# --- what follows ---------------------------------------------------------------------------------------------


class Judgement(StrEnum):
    """What becomes of a reader."""

    IGNORE = "ignore"
    SUSPEND = "suspend"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one delivery: the kind of bounce that came back, or None where the message stayed."""

    delivery_id: int
    at: datetime
    kind: BounceKind | None = None


def judge(history: Sequence[Outcome]) -> Judgement:
    """What follows from a reader's deliveries since they were last made active, oldest first.

    A complaint unsubscribes. One hard bounce suspends, and so do soft bounces of 3 issues in a row over 14 days or
    more. Refusals for policy, delays and automatic replies never count against a reader, nor do they break a row.
    """
    kinds = {outcome.kind for outcome in history}
    if BounceKind.COMPLAINT in kinds:
        return Judgement.UNSUBSCRIBE
    if BounceKind.HARD in kinds:
        return Judgement.SUSPEND
    row: dict[int, datetime] = {}
    for outcome in history:
        if outcome.kind is BounceKind.SOFT:
            row.setdefault(outcome.delivery_id, outcome.at)
        elif outcome.kind is None:
            row.clear()
    times = list(row.values())
    long_enough = len(times) >= SOFT_ISSUES and times[-1] - times[0] >= SOFT_DAYS
    return Judgement.SUSPEND if long_enough else Judgement.IGNORE
