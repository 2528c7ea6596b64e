"""Headers that say what was meant, and bodies that come back as they went."""

from __future__ import annotations

import quopri
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import cast

import pytest
from digest_samples import LETTERHEAD, LINKS, READER
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.digest import letters, mime
from monitor.digest.excerpt import tidy
from monitor.errors import MailError
from monitor.model import Message

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


def subject_of(data: bytes) -> str:
    return str(make_header(decode_header(message_from_bytes(data)["Subject"].replace("\r\n", ""))))


def test_the_standard_library_still_does_what_we_avoid():
    """If this fails one day, the reason for our own header lines is gone."""
    message = EmailMessage(policy=SMTP)
    message["List-Unsubscribe"] = "<https://news.example.org/u/" + "a" * 90 + ">"

    assert b"=?" in message.as_bytes()


@pytest.mark.parametrize(
    "subject",
    [
        "24 new: opioid tolerance, mTOR (+3 topics), 17–23 Nov 2026",
        "9 new: Opioid tolerance, GLP-1 and obesity (+2 topics), 29 Dec 2026 – 4 Jan 2027",
        "中文" * 40,
        "emoji 👩‍⚕️ " * 12,
        "ASCII words only, but so many of them that the line has to be folded somewhere near its middle, and again",
        "x" * 180,
        "é " * 90,
        "β-blockers",
    ],
)
def test_a_subject_reads_back_exactly_and_its_lines_are_short(subject):
    subject = mime.header_text(subject)

    data = mime.header_block([("Subject", subject)])

    assert subject_of(data) == subject
    assert all(len(line) <= 76 or len(line.split()) <= 2 for line in data.split(b"\r\n"))
    assert data.isascii()


@given(ANY_TEXT)
@settings(max_examples=150, deadline=None)
def test_any_outside_words_make_one_sound_header(text):
    subject = mime.header_text(text) or "x"

    data = mime.header_block([("Subject", subject), ("To", mime.address(text, "a@example.org"))])

    parsed = message_from_bytes(data + b"\r\n")
    assert parsed.keys() == ["Subject", "To"]
    assert subject_of(data) == subject


@pytest.mark.parametrize(
    "value",
    [
        "one\r\nBcc: x@example.net",
        "one\nX: y",
        "one\rtwo",
        "trailing\n",
        "naïve",
        "=?UTF-8?Q?=0A?=Bcc: x@example.net\n",
    ],
)
def test_a_header_that_would_not_read_back_is_refused(value):
    with pytest.raises(MailError):
        mime.header_block([("X-Monitor-Topics", value), ("Subject", "fine")])


def test_a_subject_that_was_not_cleaned_is_refused_not_sent():
    for value in ("A =?UTF-8?Q?=0A?=Bcc: x@example.net", "two\r\nBcc: x@example.net", "x\n"):
        with pytest.raises(MailError):
            mime.header_block([("Subject", value)])


def test_encoded_words_in_titles_are_broken_up():
    assert mime.header_text("A =?UTF-8?Q?=0A?=Bcc: x@y") == "A = ?UTF-8?Q?=0A?=Bcc: x@y"
    assert len(mime.header_text("word " * 100)) <= mime.SUBJECT_CHARS


@pytest.mark.parametrize(
    "content",
    [
        "",
        "plain\n",
        "no newline at the end",
        "trailing blank \nand tab\t\n",
        ".\n..\n.dot\nFrom here\n",
        "=20 = == =\n=?x?=\n",
        "é" * 500,
        "𝔘" * 300,
        "long " * 400,
        "x" * 5000,
        "a\n\n\nb\n",
        "tab\tand form feed\f\n",
    ],
)
def test_quoted_printable_comes_back_as_the_standard_library_reads_it(content):
    assert_round_trip(content)


@given(ANY_TEXT)
@settings(max_examples=150, deadline=None)
def test_quoted_printable_comes_back_for_any_text(content):
    assert_round_trip(content)


def assert_round_trip(content: str) -> None:
    encoded = mime.quoted_printable(content)
    lines = encoded.split(b"\r\n")

    assert encoded.isascii()
    assert max(map(len, lines)) <= 76
    assert not [line for line in lines if line.endswith((b" ", b"\t")) or b"\n" in line or b"\r" in line]
    expected = content.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode()
    assert quopri.decodestring(encoded) == expected


def test_a_boundary_never_occurs_in_a_body():
    evil = "--=_" + "0" * 24 + "--\n" + "--=_\n" * 50

    (data,) = mime.build([("Subject", "x")], (evil, f"<p>{evil}</p>"), boundary_from="x")

    message = cast(EmailMessage, message_from_bytes(data, policy=default))
    assert len(list(message.iter_parts())) == 2
    assert [part.get_content().replace("\r\n", "\n").strip() for part in message.iter_parts()] == [
        evil.strip(),
        f"<p>{evil}</p>",
    ]


# --- letters -------------------------------------------------------------------------------------------------------

LETTERS = {
    "confirmation": lambda: letters.confirmation(READER, LETTERHEAD, LINKS, now=NOW),
    "invitation": lambda: letters.invitation(
        READER, LETTERHEAD, LINKS, now=NOW, invited_by="Prof. Björk <script>", topics=("mTOR", "Long COVID")
    ),
    "address change": lambda: letters.address_change(READER, "new@example.org", LETTERHEAD, LINKS, now=NOW),
    "delivery test": lambda: letters.delivery_test("ops@example.org", LETTERHEAD, LINKS, now=NOW),
}


@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS.keys())
def test_a_letter_is_transactional(letter):
    message: Message = letter()
    parsed = cast(EmailMessage, message_from_bytes(message.data, policy=default))

    assert parsed["Auto-Submitted"] == "auto-generated"
    of_a_list = [name for name in parsed if name.startswith(("List-", "Precedence", "Feedback-ID"))]
    is_test = str(parsed["Subject"]).startswith("[TEST]")  # shows whether a signature covers them
    assert of_a_list == (["List-Unsubscribe", "List-Unsubscribe-Post"] if is_test else [])
    assert parsed["To"].addresses[0].addr_spec == message.recipient
    assert str(parsed["Message-ID"]) == message.message_id
    assert [part.defects for part in parsed.walk()] == [[], [], []]
    assert "<script>" not in message.html
    assert letter() == message


@pytest.mark.parametrize("name", ["confirmation", "invitation", "address change"])
def test_a_letter_with_a_question_has_its_link_in_both_parts(name):
    parsed = cast(EmailMessage, message_from_bytes(LETTERS[name]().data, policy=default))
    html, text = (str(parsed.get_body((kind,)).get_content()) for kind in ("html", "plain"))  # type: ignore[union-attr]

    (link,) = {line for line in text.splitlines() if line.startswith("https://news.example.org/")}
    assert f'href="{link}"' in html


def test_the_address_change_goes_to_the_new_address():
    assert letters.address_change(READER, "new@example.org", LETTERHEAD, LINKS, now=NOW).recipient == "new@example.org"


def test_tidy_is_what_stands_between_titles_and_headers():
    assert tidy("a\r\nb") == "a b"


def test_a_channel_has_a_to_header_that_no_mail_can_reach() -> None:
    assert str(mime.address("", "channel:lab")) == "lab@channel.invalid"
