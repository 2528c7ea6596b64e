"""Headers and two texts -> the bytes of a message, checked.

The standard library's header writer is not safe here: it turns a long List-Unsubscribe into encoded words, doubles
blanks around encoded words, and before 3.12.4 it let `=?UTF-8?Q?=0A?=` in a title begin a header of its own
(CVE-2024-6923). So words are cleaned first, each kind of header has its own few lines of folding, and the finished
block is read back by the standard library's parser and compared before it may leave.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from monitor.digest.excerpt import tidy
from monitor.digest.letterhead import Letterhead
from monitor.errors import MailError

SUBJECT_CHARS = 180
MAX_LINE = 998  # octets without CRLF, RFC 5322 section 2.1.1
FOLD_AT = 76  # columns, RFC 2047 section 2
ENCODED_WORD_BYTES = 45  # of text in one encoded word: base64 makes 60 of them, with its frame 72
FIRST_WORD_BYTES = 33  # it shares its line with the name of the header

Headers = Sequence[tuple[str, "str | Address"]]

_CHANNEL = "channel:"
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")  # atoms and blanks: needs no quotes


def header_text(text: str, limit: int = SUBJECT_CHARS) -> str:
    """Outside words made fit for a header: one clean line that no parser takes for an encoded word."""
    return tidy(tidy(text, limit).replace("=?", "= ?"), limit)


def address(name: str, email: str) -> Address:
    """`name` <`email`>; raises MailError where `email` cannot stand in a header.

    A channel ("channel:lab") is no mailbox, but its message has a To header like any other (RFC 2606, .invalid).
    """
    if email.startswith(_CHANNEL):
        email = f"{email.removeprefix(_CHANNEL)}@channel.invalid"
    local, at, domain = email.strip().rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode("ascii")
        if at and local.isascii() and local.isprintable() and len(local) <= 64 and _DOMAIN.fullmatch(ascii_domain):
            return Address(header_text(name, 80), local, ascii_domain)
    except ValueError as error:
        raise MailError(f"{email!r} is not a mail address: {error}") from error
    raise MailError(f"{email!r} is not a mail address")


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


def build(headers: Headers, *versions: tuple[str, str], boundary_from: str) -> list[bytes]:
    """For each version (text, html) a multipart/alternative message under the same headers, plain text first.

    Both parts are quoted-printable, lines end in CRLF, and the same values give the same bytes. Raises MailError if the
    header block does not read back as it was meant.
    """
    boundary = "=_" + hashlib.sha256(boundary_from.encode()).hexdigest()[:24]  # "=_" never occurs in quoted-printable
    content_type = ("Content-Type", f'multipart/alternative; boundary="{boundary}"')
    block = header_block([*headers, ("MIME-Version", "1.0"), content_type])
    end = f"--{boundary}--\r\n".encode("ascii")
    return [
        b"".join((block, b"\r\n", _part(boundary, "plain", text), _part(boundary, "html", html), end))
        for text, html in versions
    ]


def _part(boundary: str, subtype: str, content: str) -> bytes:
    head = (
        f"--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode("ascii") + quoted_printable(content) + b"\r\n"


def quoted_printable(content: str) -> bytes:
    """RFC 2045 quoted-printable in one call, far faster than the stdlib's own way. Lines of 76 at most, CRLF.

    The call learns from the first line end which kind to write; the one added here is taken off again.
    """
    if "\r" in content:
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    lines = content.replace("\n", "\r\n") + "\r\n"
    return binascii.b2a_qp(lines.encode("utf-8"), istext=True)[:-2]


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
        return f"{name}: {_mailbox(value)}\r\n"
    if name == "Subject":
        return f"{name}: {_words(value, len(name) + 2)}\r\n"
    # addresses and tokens are never encoded; what is short stays on one line, for many a reader expects that of Date
    folded = value if len(name) + 2 + len(value) <= FOLD_AT else value.replace(", ", ",\r\n ")
    return f"{name}: {folded}\r\n"


def _mailbox(value: Address) -> str:
    if _PLAIN_NAME.fullmatch(value.display_name):
        return f"{value.display_name} <{value.addr_spec}>".strip() if value.display_name else value.addr_spec
    if value.display_name.isascii():
        quoted = value.display_name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"\r\n <{value.addr_spec}>'
    return f"{_encoded(value.display_name)}\r\n <{value.addr_spec}>"


def _words(text: str, column: int) -> str:
    """`text` folded at blanks; from its first word with a non-ASCII character on as encoded words (RFC 2047)."""
    lines = [""]
    words = text.split(" ")
    for index, word in enumerate(words):
        if not word.isascii():
            lines.append(_encoded(" ".join(words[index:])))
            break
        if column + len(lines[-1]) + len(word) + 1 > FOLD_AT and lines[-1]:
            lines.append(word)
            column = 1
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return "\r\n ".join(line for line in lines if line)


def _encoded(text: str) -> str:
    """Base64 encoded words of at most 75 characters, none of which cuts a character in two."""
    chunks: list[bytes] = []
    chunk = b""
    for char in text:
        data = char.encode()
        if len(chunk) + len(data) > (ENCODED_WORD_BYTES if chunks else FIRST_WORD_BYTES):
            chunks.append(chunk)
            chunk = b""
        chunk += data
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(one).decode('ascii')}?=" for one in [*chunks, chunk])


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
            same = _mailbox_read(unfolded) == (meant.display_name, meant.addr_spec)
        elif name == "Subject":
            same = _decoded(unfolded) == meant
        else:
            same = unfolded == meant
        if not same:
            raise MailError(f"{name} does not read back as it was meant: {unfolded!r}")


@lru_cache(maxsize=64)
def _mailbox_read(text: str) -> tuple[str, str]:
    shown, addr_spec = parseaddr(text)
    return _decoded(shown), addr_spec


def _decoded(text: str) -> str:
    return str(make_header(decode_header(text)))


def date_header(moment: datetime) -> str:
    return format_datetime(moment)
