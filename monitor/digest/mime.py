"""Headers and two texts -> the bytes of a message, checked.

The standard library alone is not safe here: it rewrites a long List-Unsubscribe as encoded words, and before 3.12.4 it
let `=?UTF-8?Q?=0A?=` in a title begin a header of its own (CVE-2024-6923). So words are cleaned first, addresses in
headers are never encoded, and the finished header block is parsed back and compared before it may leave.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Sequence
from datetime import datetime
from email.header import decode_header, make_header
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import EmailPolicy, Policy, compat32
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from monitor.digest.excerpt import tidy
from monitor.digest.letterhead import Letterhead
from monitor.errors import MailError

SUBJECT_CHARS = 180
MAX_LINE = 998  # octets without CRLF, RFC 5322 section 2.1.1

Headers = Sequence[tuple[str, "str | Address"]]


class _Verbatim(UnstructuredHeader, BaseHeader):
    """A header of addresses and tokens: never an encoded word, folded only between the members of a list."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: " + ("," + policy.linesep + " ").join(str(self).split(", ")) + policy.linesep


VERBATIM = (
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-help",
    "list-archive",
    "list-owner",
    "message-id",
    "references",
    "in-reply-to",
    "feedback-id",
    "auto-submitted",
    "precedence",
    "x-auto-response-suppress",
    "x-monitor-topics",
    "content-language",
)


def _policy() -> EmailPolicy[EmailMessage]:
    registry = HeaderRegistry()
    for name in VERBATIM:
        registry.map_to_type(name, _Verbatim)
    return EmailPolicy(linesep="\r\n", header_factory=registry)


POLICY = _policy()


def header_text(text: str, limit: int = SUBJECT_CHARS) -> str:
    """Outside words made fit for a header: one clean line that no parser takes for an encoded word."""
    return tidy(tidy(text, limit).replace("=?", "= ?"), limit)


def address(name: str, email: str) -> Address:
    """`name` <`email`>; raises MailError where `email` cannot stand in a header."""
    local, at, domain = email.strip().rpartition("@")
    if not (local and at and domain):
        raise MailError(f"{email!r} is not a mail address")
    try:
        return Address(header_text(name, 80), local, domain.encode("idna").decode("ascii"))
    except (ValueError, UnicodeError) as error:
        raise MailError(f"{email!r} is not a mail address: {error}") from error


def letter_headers(letterhead: Letterhead, to: str, to_name: str, subject: str) -> list[tuple[str, str | Address]]:
    """What every mail of ours begins with, digest or letter: who, to whom, what, and that no machine need answer."""
    headers: list[tuple[str, str | Address]] = [
        ("From", address(letterhead.sender_name, letterhead.sender)),
        ("To", address(to_name, to)),
    ]
    if letterhead.reply_to:
        headers.append(("Reply-To", address(letterhead.sender_name, letterhead.reply_to)))
    return [
        *headers,
        ("Subject", header_text(subject)),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("Content-Language", "en"),
    ]


def build(headers: Headers, text: str, html: str, *, boundary_from: str) -> bytes:
    """A multipart/alternative message, plain text first, both parts quoted-printable, CRLF throughout.

    The same values give the same bytes. Raises MailError if the header block does not read back as it was meant.
    """
    boundary = "=_" + hashlib.sha256(boundary_from.encode()).hexdigest()[:24]  # "=_" never occurs in quoted-printable
    content_type = ("Content-Type", f'multipart/alternative; boundary="{boundary}"')
    block = header_block([*headers, ("MIME-Version", "1.0"), content_type])
    return b"".join(
        (
            block,
            b"\r\n",
            _part(boundary, "plain", text),
            _part(boundary, "html", html),
            f"--{boundary}--\r\n".encode("ascii"),
        )
    )


def _part(boundary: str, subtype: str, content: str) -> bytes:
    head = (
        f"--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode("ascii") + quoted_printable(content) + b"\r\n"


def quoted_printable(content: str) -> bytes:
    """RFC 2045 quoted-printable in one call, far faster than the stdlib's own way. Lines of 76 at most, CRLF."""
    lines = content.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    return binascii.b2a_qp(lines.encode("utf-8"), istext=True)


def header_block(headers: Headers) -> bytes:
    """The folded headers, each line ending in CRLF, read back and compared."""
    block = "".join(_fold(name, value) for name, value in headers)
    try:
        data = block.encode("ascii")
    except UnicodeEncodeError as error:
        raise MailError(f"a header would need 8-bit characters: {error}") from error
    _compare(headers, data)
    return data


def _fold(name: str, value: str | Address) -> str:
    if isinstance(value, Address):
        return _folded(name, value.display_name, value.username, value.domain)
    return _folded(name, value)


@lru_cache(maxsize=512)
def _folded(name: str, value: str, *mailbox: str) -> str:
    """One folded header, from memory where the message before had the same. Of an address the three parts."""
    try:
        message = EmailMessage(policy=POLICY)
        message[name] = Address(value, *mailbox) if mailbox else value
        return str(POLICY.fold(name, message[name]))
    except (ValueError, IndexError, AttributeError, TypeError) as error:  # what 3.11's header code throws on bad input
        raise MailError(f"{name}: {error}") from error


def _compare(headers: Headers, data: bytes) -> None:
    """Raise MailError unless a parser finds exactly the headers that were meant, and nothing of a body."""
    parsed = BytesHeaderParser(policy=compat32).parsebytes(data + b"\r\n")
    if [name for name, _ in headers] != parsed.keys() or parsed.get_payload() or parsed.defects:
        raise MailError(f"the header block does not read back: {parsed.keys()}")
    if any(len(line) > MAX_LINE for line in data.split(b"\r\n")) or data.count(b"\n") != data.count(b"\r\n"):
        raise MailError("a header line is too long or broken")
    for (name, meant), read in zip(headers, parsed.values(), strict=True):
        unfolded = read.replace("\r\n", "")
        if isinstance(meant, Address):
            same = parseaddr(unfolded)[1] == meant.addr_spec
        elif name == "Subject":
            same = str(make_header(decode_header(unfolded))) == meant
        else:
            same = unfolded == meant
        if not same:
            raise MailError(f"{name} does not read back as it was meant: {unfolded!r}")


def date_header(moment: datetime) -> str:
    return format_datetime(moment)
