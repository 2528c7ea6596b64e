"""The single mails of a subscription's life: confirm, invite, change of address, a test of delivery.

They answer what one person just did, so they carry no List-Unsubscribe. A GET of their links changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitor.digest import mime
from monitor.digest.excerpt import tidy
from monitor.digest.letterhead import Letterhead
from monitor.digest.links import Links
from monitor.digest.templates import HTML, TEXT
from monitor.model import Message, Notice, Subscriber


def confirmation(subscriber: Subscriber, letterhead: Letterhead, links: Links, *, now: datetime) -> Message:
    """The second half of double opt-in: nothing more is sent to this address until its owner confirms."""
    return _letter(
        "confirm",
        subscriber.email,
        subscriber.name,
        letterhead,
        links,
        now=now,
        subject=f"Please confirm: {letterhead.sender_name}",
        heading="Please confirm your address",
        paragraphs=(
            f"Somebody, most likely you, asked {letterhead.sender_name} to send its digest to {subscriber.email}.",
            "The link opens a page with one button. It is good for 48 hours.",
        ),
        button=("Confirm", links.confirm(subscriber, now)),
        closing="If it was not you, do nothing: without your confirmation no further mail comes.",
    )


def invitation(
    subscriber: Subscriber,
    letterhead: Letterhead,
    links: Links,
    *,
    now: datetime,
    invited_by: str,
    topics: Sequence[str] = (),
) -> Message:
    """From an admin to a colleague, who decides: it is a question, not a subscription."""
    about = f" It would bring you: {', '.join(tidy(name, 60) for name in topics[:10])}." if topics else ""
    return _letter(
        "invite",
        subscriber.email,
        subscriber.name,
        letterhead,
        links,
        now=now,
        subject=f"{tidy(invited_by, 60)} invites you to {letterhead.sender_name}",
        heading=f"An invitation to {letterhead.sender_name}",
        paragraphs=(
            f"{tidy(invited_by, 80)} suggests that you read a digest of medical news and papers, by mail.{about}",
            "The link opens a page with one button. It is good for 48 hours.",
        ),
        button=("Accept", links.confirm(subscriber, now)),
        closing="If you do nothing, no further mail comes.",
    )


def address_change(
    subscriber: Subscriber, new_email: str, letterhead: Letterhead, links: Links, *, now: datetime
) -> Message:
    """To the new address, which must prove that it is read; until then digests go to the old one."""
    return _letter(
        "address",
        new_email,
        subscriber.name,
        letterhead,
        links,
        now=now,
        subject=f"Please confirm your new address: {letterhead.sender_name}",
        heading="Please confirm your new address",
        paragraphs=(
            f"You asked {letterhead.sender_name} to send its digests to {new_email} from now on.",
            "The link opens a page with one button. It is good for 48 hours; until then the old address stays.",
        ),
        button=("Use this address", links.change_address(subscriber, new_email, now)),
        closing="If it was not you, do nothing.",
    )


def delivery_test(recipient: str, letterhead: Letterhead, links: Links, *, now: datetime) -> Message:
    """A marked message that shows whether mail arrives, and what the receiving side says of its signatures.

    It carries the List headers of a digest, so that the arrived copy shows whether the signature covers them; they
    unsubscribe nobody.
    """
    places = ([f"<{links.base_url}/u/test>"] if links.web else []) + [
        f"<mailto:{letterhead.reply_to or letterhead.sender}?subject=test>"
    ]
    return _letter(
        "test",
        recipient,
        "",
        letterhead,
        links,
        now=now,
        subject=f"[TEST] {letterhead.sender_name}: does mail arrive?",
        heading="This is a test of delivery",
        paragraphs=(
            "If you read this, mail from this server arrives.",
            "Look at its source: Authentication-Results should say pass for SPF, DKIM and DMARC, and the DKIM "
            "signature's h= should name list-unsubscribe and list-unsubscribe-post.",
        ),
        button=None,
        closing="It was sent by an administrator and is not recorded as a digest.",
        more=[
            ("List-Unsubscribe", ", ".join(places)),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ],
    )


def alert(
    recipient: str,
    opened: Sequence[Notice],
    over: Sequence[Notice],
    letterhead: Letterhead,
    links: Links,
    *,
    now: datetime,
) -> Message:
    """To those who run the place: errors that began, and errors of before that are over."""
    first = tidy((opened or over)[0].text, 80)
    number = len(opened) or len(over)
    what = f"{number} {'error' if number == 1 else 'errors'}" + ("" if opened else " over")
    listed = [(notice, "since") for notice in opened[:ALERTS_LISTED]]
    listed += [(notice, "over since") for notice in over[: ALERTS_LISTED - len(listed)]]
    paragraphs = [
        f"{notice.subject} ({said} {(notice.closed_at or notice.raised_at):%Y-%m-%d %H:%M} UTC): {notice.text}"
        for notice, said in listed
    ]
    if left := len(opened) + len(over) - len(listed):
        paragraphs.append(f"And {left} more: `monitor notices` lists them all.")
    return _letter(
        "alert",
        recipient,
        "",
        letterhead,
        links,
        now=now,
        subject=f"[alert] {what}: {first}",
        heading=what.capitalize(),
        paragraphs=paragraphs,
        button=("Open the overview", links.base_url) if links.base_url else None,
        closing="Each error is told once, and once more when it is over. The setting run.admin says to whom.",
    )


ALERTS_LISTED = 20


def _letter(
    what: str,
    to: str,
    to_name: str,
    letterhead: Letterhead,
    links: Links,
    *,
    now: datetime,
    subject: str,
    heading: str,
    paragraphs: Sequence[str],
    button: tuple[str, str] | None,
    closing: str,
    more: mime.Headers = (),
) -> Message:
    name = f"{what}.{int(now.timestamp())}"
    message_id = f"<{name}.{links.seal(f'{name}.{to}')}@{letterhead.list_domain}>"
    values = {
        "subject": mime.header_text(subject),
        "name": tidy(letterhead.sender_name, 80),
        "heading": tidy(heading, 120),
        "paragraphs": [tidy(paragraph, 600) for paragraph in paragraphs],
        "button": {"text": button[0], "url": button[1]} if button else None,
        "closing": closing,
        "imprint": letterhead.imprint,
    }
    html = HTML.get_template("letter.html").render(values)
    text = TEXT.get_template("letter.txt").render(values)
    headers = [
        *mime.letter_headers(letterhead, to, to_name, subject),
        ("Date", mime.date_header(now)),
        ("Message-ID", message_id),
        *more,
    ]
    return Message(
        message_id=message_id,
        sender=letterhead.envelope_sender,
        recipient=to,
        subject=str(values["subject"]),
        data=mime.build(headers, (text, html), boundary_from=message_id)[0],
        html=html,
    )
