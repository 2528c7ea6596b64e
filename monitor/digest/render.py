"""Digest -> Message: HTML within a byte budget, its plain-text twin, a compact form, and every header of a digest.

The frame is rendered once for each reader with a slot for each section; the cards, made once for all readers
(monitor.digest.cards), are dealt into the slots until the budget is spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from email.headerregistry import Address
from itertools import zip_longest

from monitor.digest import mime
from monitor.digest.cards import Card, card
from monitor.digest.frame import NEAR, Frame, frame_of, slot, unsubscribe_mail
from monitor.digest.letterhead import Letterhead
from monitor.digest.links import Links
from monitor.model import Digest, DigestItem, DigestSection, Message, Verdict

# Gmail clips at about 102 KB of decoded HTML, and what it hides is the way to unsubscribe.
FULL_CARDS_UNTIL = 70_000
ROWS_UNTIL = 90_000
MORE_ROW = 130  # bytes of "and 12 more in the web view"
COMPACT_UNTIL = 40_000
MAX_SECTIONS = 40


Cards = Mapping[int, tuple[Card, str, str]]  # number -> the card, and this reader's two feedback addresses


def render(digest: Digest, letterhead: Letterhead, links: Links) -> Message:
    """Finish `digest` for sending. Equal digests give equal bytes; the Message-ID is made of (subscription, period).

    `Message.html` is the web view and holds every card in full; `data` holds what fits into 90 KB of HTML;
    `compact` holds titles only. Raises MailError where the recipient or a header cannot be written safely.
    """
    return build(digest, pages_of(digest, letterhead, links), letterhead, links)


def listed(digest: Digest, letterhead: Letterhead, links: Links) -> Digest:
    """`digest` as its mail can list it: without a web view, what does not fit must wait for the next one, unsent."""
    if links.web:
        return digest
    frame = frame_of(digest, letterhead, links, MAX_SECTIONS)
    forms = _within_budget(digest, frame, _cards(digest, links), FULL_CARDS_UNTIL, ROWS_UNTIL)
    if all(item.number in forms for item in digest.items):
        return digest
    sections = (
        replace(section, items=tuple(item for item in section.items if item.number in forms))
        for section in digest.sections
    )
    return replace(digest, sections=tuple(sections))


@dataclass(frozen=True, slots=True)
class Pages:
    """A digest as (text, HTML) in two sizes, and as the web view."""

    subject: str
    mail: tuple[str, str]
    compact: tuple[str, str]
    web_view: str


def pages_of(digest: Digest, letterhead: Letterhead, links: Links) -> Pages:
    """The words and markup of a digest, before they become a message."""
    cards = _cards(digest, links)
    frame = frame_of(digest, letterhead, links, MAX_SECTIONS)
    forms = _within_budget(digest, frame, cards, FULL_CARDS_UNTIL, ROWS_UNTIL)
    small = _within_budget(digest, frame, cards, 0, COMPACT_UNTIL)
    mail = _dealt(digest, frame, cards, forms, links.web)
    compact = _dealt(digest, frame, cards, small, links.web)
    web_view = mail[1]
    if not all(forms.get(item.number) for item in digest.items):
        whole = frame_of(digest, letterhead, links, None)
        _, web_view = _dealt(digest, whole, cards, dict.fromkeys(cards, True), links.web)
    return Pages(subject=frame.subject, mail=mail, compact=compact, web_view=web_view)


def build(digest: Digest, pages: Pages, letterhead: Letterhead, links: Links) -> Message:
    """The pages under a digest's headers, ready to send."""
    headers = digest_headers(digest, letterhead, links, pages.subject)
    message_id = digest_id(digest, letterhead, links)
    data, compact = mime.build(headers, pages.mail, pages.compact, boundary_from=message_id)
    return Message(
        message_id=message_id,
        sender=letterhead.envelope_sender,
        recipient=digest.subscriber.email,
        subject=pages.subject,
        data=data,
        compact=compact,
        html=pages.web_view,
    )


# --- the cards ------------------------------------------------------------------------------------------------


def _cards(digest: Digest, links: Links) -> Cards:
    """For each number its card and this reader's two feedback addresses."""
    made = {}
    for item in digest.items:
        relevant = not_relevant = ""
        if links.web and item.article.id:
            about = (digest.subscriber, item.match.topic_id, item.article.id)
            relevant = links.feedback(*about, Verdict.RELEVANT)
            not_relevant = links.feedback(*about, Verdict.NOT_RELEVANT)
        made[item.number] = (card(item, links), relevant, not_relevant)
    return made


def _by_rank(sections: Sequence[DigestSection]) -> Iterator[DigestItem]:
    """The first of each section, then the second of each, and so on: no topic starves another of space."""
    for round_ in zip_longest(*(section.items for section in sections)):
        yield from (item for item in round_ if item is not None)


def _within_budget(digest: Digest, frame: Frame, cards: Cards, full_until: int, rows_until: int) -> dict[int, bool]:
    """For each number that fits: True for its full card, False for its row. What is missing did not fit."""
    sections = digest.sections[:MAX_SECTIONS]
    used = frame.size + MORE_ROW * len(sections)
    forms: dict[int, bool] = {}
    for item in _by_rank(sections):
        one, relevant, not_relevant = cards[item.number]
        full = one.full.size + len(relevant) + len(not_relevant)
        if used + full <= full_until:
            forms[item.number] = True
            used += full
            continue
        full_until = 0  # no full card after the first row
        if used + one.compact.size > rows_until:
            break
        forms[item.number] = False
        used += one.compact.size
    return forms


def _dealt(digest: Digest, frame: Frame, cards: Cards, forms: Mapping[int, bool], web: bool) -> tuple[str, str]:
    """(text, HTML) of the frame with the cards in their chosen forms in its slots, and what was left out counted."""
    in_html, in_text = {}, {}
    for index, section in enumerate(digest.sections):
        pairs = [
            cards[item.number][0].form(full=forms[item.number]).filled(item.number, *cards[item.number][1:])
            for item in section.items
            if item.number in forms
        ]
        left_out = len(section.items) - len(pairs)
        more = f"and {left_out} more " + ("in the web view" if web else "not listed here") if left_out else ""
        row = f'<tr><td></td><td class="m" style="padding:10px 0">{more}</td></tr>\n' if more else ""
        in_html[slot(index)] = "".join(pair[0] for pair in pairs) + row
        in_text[slot(index)] = "\n\n".join([pair[1] for pair in pairs] + ([f"    {more}"] if more else []))
    near = [form.filled(0, "", "") for form in frame.near]
    in_html[NEAR] = "".join(pair[0] for pair in near)
    in_text[NEAR] = "\n\n".join(pair[1] for pair in near)
    html, text = frame.filled(in_html, in_text)
    return text, html


# --- the headers ----------------------------------------------------------------------------------------------


def digest_id(digest: Digest, letterhead: Letterhead, links: Links) -> str:
    """One Message-ID for each (subscription, period), so that a second copy can be known for one; RFC 5322 has no colon
    in it, and a relay may drop what it cannot read.
    """
    name = f"{digest.period.key.replace(':', '')}.{digest.subscription.id}"
    return f"<{name}.{links.seal(name)}@{letterhead.list_domain}>"


def digest_headers(digest: Digest, letterhead: Letterhead, links: Links, subject: str) -> mime.Headers:
    """Everything a digest must carry: RFC 5322, 2369, 2919, 3834, 8058, and what bulk mailers are asked for."""
    cadence = digest.subscription.cadence.value.replace("_", "-")
    slugs = [section.topic.slug for section in digest.sections if section.total and section.topic.slug.isascii()]
    headers: list[tuple[str, str | Address]] = [
        *mime.letter_headers(letterhead, digest.subscriber.email, digest.subscriber.name, subject),
        ("Date", mime.date_header(digest.composed_at)),
        ("Message-ID", digest_id(digest, letterhead, links)),
        ("List-Id", f"<{cadence}.{letterhead.list_domain}>"),
        ("List-Unsubscribe", _list_unsubscribe(digest, letterhead, links)),
    ]
    if links.base_url.startswith("https://"):
        headers.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    headers += [
        ("Precedence", "bulk"),
        ("Feedback-ID", f"{cadence}:{digest.period.key.lower().replace('-', '')}:digest:monitor"),
    ]
    if slugs:
        headers.append(("X-Monitor-Topics", ", ".join(slugs[:20])))
    return headers


def _list_unsubscribe(digest: Digest, letterhead: Letterhead, links: Links) -> str:
    by_mail = f"<{unsubscribe_mail(digest, letterhead, links)}>"
    if not links.web:
        return by_mail
    return f"<{links.unsubscribe(digest.subscriber, digest.subscription)}>, {by_mail}"
