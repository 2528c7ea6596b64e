"""Returned mail: who it is about, how bad it is, and that nobody can forge it."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.deliver.bounces import (
    BounceKind,
    Judgement,
    Outcome,
    bounce_address,
    judge,
    read_bounce,
)

SECRET = b"a secret of thirty-two bytes or so"
DOMAIN = "news.example.org"
BASE = f"bounces@{DOMAIN}"
VERP = bounce_address(BASE, 42, SECRET)
ORIGINAL = "<2026-W48.000123.h4sh@news.example.org>"


def dsn(
    groups: str,
    *,
    to: str = VERP,
    returned: str = f"Message-ID: {ORIGINAL}\nTo: ann@uni.example\nSubject: 3 new\n",
    returned_type: str = "text/rfc822-headers",
    report_type: str = "message/delivery-status",
    newline: str = "\r\n",
) -> bytes:
    text = f"""\
Return-Path: <>
From: Mail Delivery Subsystem <mailer-daemon@mx.uni.example>
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message could not be delivered.

--b
Content-Type: {report_type}

Reporting-MTA: dns; mx.uni.example
Arrival-Date: Mon, 23 Nov 2026 07:00:00 +0000

{groups}
--b
Content-Type: {returned_type}

{returned}
--b--
"""
    return text.replace("\n", newline).encode()


POSTFIX = """\
Final-Recipient: rfc822; ann@uni.example
Original-Recipient: rfc822;ann@uni.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.uni.example
Diagnostic-Code: smtp; 550 5.1.1 <ann@uni.example>: Recipient address
    rejected: User unknown in local recipient table
"""


def test_a_report_names_recipient_status_delivery_and_message() -> None:
    bounce = read_bounce(dsn(POSTFIX), SECRET, DOMAIN)

    assert bounce is not None
    assert bounce.kind is BounceKind.HARD
    assert bounce.recipient == "ann@uni.example"
    assert bounce.status == "5.1.1"
    assert bounce.delivery_id == 42
    assert bounce.message_id == ORIGINAL
    assert bounce.diagnostic == (
        "550 5.1.1 <ann@uni.example>: Recipient address rejected: User unknown in local recipient table"
    )


@pytest.mark.parametrize(
    ("name", "groups", "kind", "status"),
    [
        ("postfix", POSTFIX, BounceKind.HARD, "5.1.1"),
        (
            "exchange online, no mailbox",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 5.1.10\nDiagnostic-Code: "
            "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found by SMTP address lookup\n",
            BounceKind.HARD,
            "5.1.10",
        ),
        (
            "exchange, policy",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 5.7.515\nDiagnostic-Code: "
            "smtp;550 5.7.515 Access denied, sending domain does not meet the required authentication level\n",
            BounceKind.POLICY,
            "5.7.515",
        ),
        (
            "exchange, queue expired",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 4.4.7\n"
            "Diagnostic-Code: smtp;550 4.4.7 QUEUE.Expired; message expired\n",
            BounceKind.SOFT,
            "4.4.7",
        ),
        (
            "google, continued line in the code",
            "Final-Recipient: rfc822; ann@gmail.example\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: "
            "smtp; 550-5.1.1 The email account that you tried to reach does not exist.\n",
            BounceKind.HARD,
            "5.1.1",
        ),
        (
            "mailbox full, permanent",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 5.2.2\n"
            "Diagnostic-Code: smtp; 552 5.2.2 full\n",
            BounceKind.SOFT,
            "5.2.2",
        ),
        (
            "timed out after days",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 4.4.1\nDiagnostic-Code: smtp; connect to "
            "mx.uni.example[192.0.2.1]:25: Connection timed out\n",
            BounceKind.SOFT,
            "4.4.1",
        ),
        (
            "general status only",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 5.0.0\n",
            BounceKind.SOFT,
            "5.0.0",
        ),
        (
            "too big is not the reader's fault",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 5.3.4\n",
            BounceKind.POLICY,
            "5.3.4",
        ),
        (
            "our sender address is not the reader's fault",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 5.1.8\n"
            "Diagnostic-Code: smtp; 550 5.1.8 bad sender\n",
            BounceKind.POLICY,
            "5.1.8",
        ),
        (
            "sendmail, local program",
            "Final-Recipient: RFC822; ann@uni.example\nX-Actual-Recipient: x-unix; |procmail\nAction: failed\n"
            "Status: 5.2.1 (mailbox disabled)\nDiagnostic-Code: x-unix; 77\n",
            BounceKind.HARD,
            "5.2.1",
        ),
        (
            "a number that is no reply code",
            "Final-Recipient: rfc822;ann@uni.example\nAction: failed\nStatus: 5.1.1\n"
            "Diagnostic-Code: x-local; tried 250 times at port 25 for 550 seconds\n",
            BounceKind.HARD,
            "5.1.1",
        ),
        (
            "still being tried",
            "Final-Recipient: rfc822;ann@uni.example\nAction: delayed\nStatus: 4.4.1\n"
            "Will-Retry-Until: Fri, 27 Nov 2026\n",
            BounceKind.DELAY,
            "4.4.1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value and "\n" not in value else "",
)
@pytest.mark.parametrize("newline", ["\r\n", "\n"], ids=["crlf", "lf"])
def test_reports_of_many_servers_are_judged_alike(
    name: str, groups: str, kind: BounceKind, status: str, newline: str
) -> None:
    bounce = read_bounce(dsn(groups, newline=newline), SECRET, DOMAIN)

    assert bounce is not None, name
    assert (bounce.kind, bounce.status) == (kind, status)
    assert bounce.recipient.startswith("ann@")
    assert bounce.delivery_id == 42


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_a_report_of_success_is_no_bounce(action: str) -> None:
    raw = dsn(f"Final-Recipient: rfc822;ann@uni.example\nAction: {action}\nStatus: 2.0.0\n")

    assert read_bounce(raw, SECRET, DOMAIN) is None


def test_among_several_recipients_the_failed_one_counts() -> None:
    groups = "Final-Recipient: rfc822;bob@uni.example\nAction: delivered\nStatus: 2.0.0\n\n" + POSTFIX

    bounce = read_bounce(dsn(groups), SECRET, DOMAIN)

    assert bounce is not None
    assert (bounce.kind, bounce.recipient) == (BounceKind.HARD, "ann@uni.example")


def test_a_report_with_addresses_outside_ascii_is_read() -> None:
    groups = "Final-Recipient: utf-8; zoë@uni.example\nAction: failed\nStatus: 5.1.1\n"

    bounce = read_bounce(dsn(groups, report_type="message/global-delivery-status"), SECRET, DOMAIN)

    assert bounce is not None
    assert bounce.kind is BounceKind.HARD
    assert bounce.recipient.endswith("@uni.example")


def test_the_whole_returned_message_gives_its_id_too() -> None:
    returned = f"Message-ID: {ORIGINAL}\nTo: ann@uni.example\n\nThe body says Message-ID: <other@example.org>\n"

    bounce = read_bounce(dsn(POSTFIX, returned=returned, returned_type="message/rfc822"), SECRET, DOMAIN)

    assert bounce is not None
    assert bounce.message_id == ORIGINAL


def test_where_the_relay_changed_our_sender_the_message_id_still_tells() -> None:
    bounce = read_bounce(dsn(POSTFIX, to="digest@news.example.org"), SECRET, DOMAIN)

    assert bounce is not None
    assert (bounce.delivery_id, bounce.message_id) == (None, ORIGINAL)


def test_qmails_own_form_is_read() -> None:
    raw = f"""\
Return-Path: <>
From: MAILER-DAEMON@mail.lab.example
To: {VERP}
Subject: failure notice

Hi. This is the qmail-send program at mail.lab.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ann@lab.example>:
192.0.2.7 does not like recipient.
Remote host said: 550 no mailbox here by that name. (#5.1.1)
Giving up on 192.0.2.7.

--- Below this line is a copy of the message.

Return-Path: <{VERP}>
Message-ID: {ORIGINAL}
To: ann@lab.example

text
""".encode()

    bounce = read_bounce(raw, SECRET, DOMAIN)

    assert bounce is not None
    assert (bounce.kind, bounce.status, bounce.recipient) == (BounceKind.HARD, "5.1.1", "ann@lab.example")
    assert (bounce.delivery_id, bounce.message_id) == (42, ORIGINAL)


def test_exims_own_form_is_read() -> None:
    raw = f"""\
From: Mail Delivery System <Mailer-Daemon@host.example>
To: {VERP}
X-Failed-Recipients: ann@lab.example
Auto-Submitted: auto-replied
Subject: Mail delivery failed: returning message to sender

A message that you sent could not be delivered to one or more of its recipients.

  ann@lab.example
    host mx.lab.example [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<ann@lab.example>:
    550 5.1.1 mailbox unknown

------ This is a copy of the message, including all the headers. ------

Message-ID: {ORIGINAL}
To: ann@lab.example

text
""".encode()

    bounce = read_bounce(raw, SECRET, DOMAIN)

    assert bounce is not None
    assert (bounce.kind, bounce.status, bounce.recipient) == (BounceKind.HARD, "5.1.1", "ann@lab.example")
    assert (bounce.delivery_id, bounce.message_id) == (42, ORIGINAL)


@pytest.mark.parametrize(("to", "kind"), [(VERP, BounceKind.HARD), ("bounces@news.example.org", None)])
def test_words_of_a_mailer_daemon_are_believed_only_at_our_sealed_address(to: str, kind: BounceKind | None) -> None:
    raw = f"From: postmaster@old.example\nTo: {to}\nSubject: sorry\n\n550 5.1.1 no such person\n".encode()

    bounce = read_bounce(raw, SECRET, DOMAIN)

    assert (bounce.kind if bounce else None) == kind


def arf(feedback: str, mail_from: str = VERP) -> bytes:
    return f"""\
From: <fbl@provider.example>
To: abuse@news.example.org
Subject: FW: 3 new
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: {feedback}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <{mail_from}>
Original-Rcpt-To: <ann@provider.example>

--b
Content-Type: message/rfc822

From: digest@news.example.org
To: ann@provider.example
Message-ID: {ORIGINAL}

text
--b--
""".encode()


def test_a_complaint_is_read() -> None:
    bounce = read_bounce(arf("abuse"), SECRET, DOMAIN)

    assert bounce is not None
    assert bounce.kind is BounceKind.COMPLAINT
    assert (bounce.recipient, bounce.delivery_id, bounce.message_id) == ("ann@provider.example", 42, ORIGINAL)


@pytest.mark.parametrize("feedback", ["not-spam", "auth-failure", "virus", ""])
def test_other_feedback_is_no_complaint(feedback: str) -> None:
    assert read_bounce(arf(feedback), SECRET, DOMAIN) is None


@pytest.mark.parametrize(
    "header",
    ["Auto-Submitted: auto-replied", "X-Autoreply: yes", "Precedence: auto_reply", "X-Auto-Response-Suppress: All"],
)
def test_an_out_of_office_note_is_no_bounce_of_the_reader(header: str) -> None:
    raw = f"From: Ann <ann@uni.example>\nTo: {VERP}\nSubject: Away\n{header}\nIn-Reply-To: {ORIGINAL}\n\nBack in May\n"

    bounce = read_bounce(raw.encode(), SECRET, DOMAIN)

    assert bounce is not None
    assert (bounce.kind, bounce.recipient) == (BounceKind.AUTO_REPLY, "ann@uni.example")
    assert (bounce.delivery_id, bounce.message_id) == (42, ORIGINAL)


def test_a_letter_from_a_person_is_nothing_to_us() -> None:
    raw = b"From: Ann <ann@uni.example>\nTo: digest@news.example.org\nSubject: 550 5.1.1\n\nHello, 550 5.1.1\n"

    assert read_bounce(raw, SECRET, DOMAIN) is None


# --- forgery --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to",
    [
        "bounces+42.0123456789abcdef@news.example.org",
        "bounces+43" + VERP[VERP.index(".") :],
        "bounces+042" + VERP[VERP.index(".") :],
        "bounces+٤٢" + VERP[VERP.index(".") :],
        VERP.replace(DOMAIN, "evil.example"),
        VERP.replace(DOMAIN, "news.example.org.evil.example"),
        bounce_address(BASE, 42, b"another secret"),
        VERP[:-20] + "@" + DOMAIN,
        "bounces+42.@news.example.org",
    ],
)
def test_a_forged_address_never_names_a_delivery(to: str) -> None:
    for raw in (dsn(POSTFIX, to=to), arf("abuse", to)):
        bounce = read_bounce(raw, SECRET, DOMAIN)

        assert bounce is not None
        assert bounce.delivery_id is None


@settings(max_examples=200)
@given(delivery_id=st.integers(1, 10**12), secret=st.binary(min_size=16, max_size=40))
def test_an_address_leads_back_to_its_delivery_whatever_the_case_it_comes_back_in(
    delivery_id: int, secret: bytes
) -> None:
    address = bounce_address("Bounces@News.Example.org", delivery_id, secret)

    for to in (address, address.upper(), f'"Bounces" <{address}>'):
        bounce = read_bounce(dsn(POSTFIX, to=to), secret, DOMAIN)
        assert bounce is not None
        assert bounce.delivery_id == delivery_id
    assert len(address.partition("@")[0]) <= 64


# --- hostile mail ---------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=2000))
def test_no_bytes_raise(raw: bytes) -> None:
    read_bounce(raw, SECRET, DOMAIN)


def test_no_damaged_report_raises_and_what_is_read_can_be_stored() -> None:
    dice = random.Random(7)
    good = dsn(POSTFIX, returned_type="message/rfc822")

    for _ in range(600):
        raw = bytearray(good)
        for _ in range(dice.randint(1, 12)):
            place = dice.randrange(len(raw))
            if dice.random() < 0.5:
                raw[place] = dice.randrange(256)
            else:
                del raw[place : place + dice.randint(1, 40)]
        bounce = read_bounce(bytes(raw), SECRET, DOMAIN)
        if bounce is not None:
            for value in (bounce.recipient, bounce.status, bounce.message_id, bounce.diagnostic):
                value.encode()
                assert "\0" not in value
                assert "\n" not in value


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: message/rfc822\n\n" * 15000,
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(9000)),
        b"To: " + b"+1.0123456789abcdef" * 27000,
        b"X-Failed-Recipients: a@b.c\n\n" + b"550 " * 130000,
        b"Hi: x\n\nHi. This is the\n\n" + b"<a@b>:" * 80000,
        dsn("Action: failed\nDiagnostic-Code: smtp; " + "5" * 400_000),
        dsn("Action: failed\nFinal-Recipient: " + "a" * 400_000),
        dsn("Action: delivered\n\n" * 20000),
        b"A: =?utf-8?q?" * 40000,
    ],
    ids=[
        "nested mails",
        "nested parts",
        "addresses",
        "codes",
        "qmail",
        "digits",
        "recipient",
        "groups",
        "encoded words",
    ],
)
def test_mail_made_to_be_slow_is_read_in_time(raw: bytes) -> None:
    begun = time.process_time()

    read_bounce(raw, SECRET, DOMAIN)

    assert time.process_time() - begun < 10.0  # what grows with the square takes minutes


# --- what follows ---------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
SIGNS = {
    ".": None,
    "h": BounceKind.HARD,
    "s": BounceKind.SOFT,
    "p": BounceKind.POLICY,
    "c": BounceKind.COMPLAINT,
    "a": BounceKind.AUTO_REPLY,
    "d": BounceKind.DELAY,
}


def weekly(signs: str, days: int = 7) -> list[Outcome]:
    return [Outcome(delivery_id=n, at=NOW + timedelta(days=days * n), kind=SIGNS[sign]) for n, sign in enumerate(signs)]


@pytest.mark.parametrize(
    ("signs", "days", "judgement"),
    [
        ("", 7, Judgement.IGNORE),
        ("..", 7, Judgement.IGNORE),
        ("..h", 7, Judgement.SUSPEND),
        ("..c", 7, Judgement.UNSUBSCRIBE),
        ("hc", 7, Judgement.UNSUBSCRIBE),
        ("sss", 7, Judgement.SUSPEND),
        ("ss", 30, Judgement.IGNORE),
        ("sss", 1, Judgement.IGNORE),  # a mailbox that was full for two days
        ("s" * 14, 1, Judgement.IGNORE),
        ("s" * 15, 1, Judgement.SUSPEND),
        ("ss.ss", 7, Judgement.IGNORE),
        ("ss.sss", 7, Judgement.SUSPEND),
        ("spsds", 7, Judgement.SUSPEND),
        ("p" * 50, 7, Judgement.IGNORE),
        ("a" * 50, 7, Judgement.IGNORE),
        ("d" * 50, 7, Judgement.IGNORE),
    ],
)
def test_what_follows_for_the_reader(signs: str, days: int, judgement: Judgement) -> None:
    assert judge(weekly(signs, days)) is judgement


def test_many_bounces_of_one_issue_count_once() -> None:
    history = [Outcome(delivery_id=1, at=NOW + timedelta(days=8 * n), kind=BounceKind.SOFT) for n in range(5)]

    assert judge(history) is Judgement.IGNORE


@given(signs=st.text(alphabet=".pad", max_size=60))
def test_a_policys_refusal_never_suppresses_a_reader(signs: str) -> None:
    assert judge(weekly(signs)) is Judgement.IGNORE
