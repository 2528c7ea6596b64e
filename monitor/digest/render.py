"""Digest -> Message: HTML within a byte budget, its plain-text twin, a compact form, and every header of a digest.

The frame is rendered once for each reader with a slot for each section; the cards, made once for all readers
(monitor.digest.cards), are dealt into the slots until the budget is spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from itertools import zip_longest
from urllib.parse import quote

from monitor.digest import mime, wording
from monitor.digest.cards import Card, Form, card, filled
from monitor.digest.excerpt import tidy
from monitor.digest.letterhead import Letterhead
from monitor.digest.links import Links
from monitor.digest.templates import HTML, TEXT
from monitor.model import Cadence, Digest, DigestItem, DigestSection, Message, Verdict

# Gmail clips at about 102 KB of decoded HTML, and what it hides is the way to unsubscribe.
FULL_CARDS_UNTIL = 70_000
ROWS_UNTIL = 90_000
MORE_ROW = 130  # bytes of "and 12 more in the web view"
COMPACT_UNTIL = 40_000
MAX_SECTIONS = 40
MAX_TOPIC_ROWS = 25
MAX_QUIET = 12
FILLER = "\u2007\u034f" * 40  # keeps a mail client from filling its preview with the first words of the page
SLOT, NEAR_SLOT = "\x00S{}\x00", "\x00near\x00"
_CADENCES = {Cadence.AT_ONCE: "News", Cadence.DAILY: "Daily", Cadence.WEEKLY: "Weekly", Cadence.MONTHLY: "Monthly"}


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stands around the cards, with slots in their places."""

    html: str
    text: str
    subject: str
    near: tuple[Form, ...]


Cards = Mapping[int, tuple[Card, str, str]]  # number -> the card, and this reader's two feedback addresses


def render(digest: Digest, letterhead: Letterhead, links: Links) -> Message:
    """Finish `digest` for sending. Equal digests give equal bytes; the Message-ID is made of (subscription, period).

    `Message.html` is the web view and holds every card in full; `data` holds what fits into 90 KB of HTML;
    `compact` holds titles only. Raises MailError where the recipient or a header cannot be written safely.
    """
    cards = _cards(digest, links)
    frame = _frame(digest, letterhead, links, MAX_SECTIONS)
    forms = _within_budget(digest, frame, cards, FULL_CARDS_UNTIL, ROWS_UNTIL)
    small = _within_budget(digest, frame, cards, 0, COMPACT_UNTIL)
    html, text = _dealt(digest, frame, cards, forms, links.web)
    small_html, small_text = _dealt(digest, frame, cards, small, links.web)
    whole = html
    if not all(forms.get(item.number) for item in digest.items):
        everything = dict.fromkeys(cards, True)
        whole, _ = _dealt(digest, _frame(digest, letterhead, links, None), cards, everything, links.web)

    headers = digest_headers(digest, letterhead, links, frame.subject)
    message_id = digest_id(digest, letterhead, links)
    return Message(
        message_id=message_id,
        sender=letterhead.envelope_sender,
        recipient=digest.subscriber.email,
        subject=frame.subject,
        data=mime.build(headers, text, html, boundary_from=message_id),
        compact=mime.build(headers, small_text, small_html, boundary_from=message_id),
        html=whole,
    )


# --- the frame ------------------------------------------------------------------------------------------------


def _frame(digest: Digest, letterhead: Letterhead, links: Links, max_sections: int | None) -> _Frame:
    days = wording.days_covered(digest.period, digest.subscription.timezone)
    new = sum(section.total for section in digest.sections)
    with_news = [section for section in digest.sections if section.total]
    subject = mime.header_text(_subject(digest, new, days))
    headline = f"{new:,} new in {wording.count(len(with_news), 'topic')}" if new else "No news"
    best = digest.items[0].article.title if digest.items else ""
    elsewhere = _elsewhere(digest)
    values: dict[str, object] = {
        "subject": subject,
        "preheader": f"{headline}. Top: {tidy(best, 120)}" if best else f"{headline}, {days}",
        "filler": FILLER,
        "name": tidy(letterhead.sender_name, 80),
        "headline": headline,
        "cadence": _CADENCES[digest.subscription.cadence],
        "days": days,
        "view": links.web_view(digest.subscriber, digest.subscription, digest.period.key) if links.web else "",
        "contents": [_contents_row(index, section, elsewhere) for index, section in enumerate(digest.sections)][
            :MAX_TOPIC_ROWS
        ],
        "sparklines": any(wording.sparkline(section.history) for section in digest.sections),
        "more_topics": wording.count(len(digest.sections) - MAX_TOPIC_ROWS, "more topic")
        if len(digest.sections) > MAX_TOPIC_ROWS
        else "",
        "sections": [
            {
                "anchor": index,
                "name": tidy(section.topic.name, wording.NAME_CHARS),
                "note": _note(section),
                "slot": SLOT.format(index),
            }
            for index, section in enumerate(digest.sections[:max_sections])
            if section.items
        ],
        "near_slot": NEAR_SLOT if digest.near_misses else "",
        "coverage": wording.coverage_line(digest.coverage, digest.composed_at),
        "quiet": _quiet(digest),
        "next": wording.moment_in(digest.next_at, digest.subscription.timezone) if digest.next_at else "",
        "why": _why(digest),
        "feedback_note": "“Relevant” and “Not relevant” teach the filter; nothing else here is tracked."
        if links.web and digest.items
        else "",
        "links": _footer_links(digest, letterhead, links),
        "imprint": letterhead.imprint,
    }
    return _Frame(
        html=HTML.get_template("digest.html").render(values),
        text=TEXT.get_template("digest.txt").render(values),
        subject=subject,
        near=tuple(card(item, links).compact for item in digest.near_misses),
    )


def _subject(digest: Digest, new: int, days: str) -> str:
    if new:
        return f"{new:,} new: {wording.headline(digest.sections)}, {days}"
    names = [tidy(topic.name, wording.NAME_CHARS) for topic, _ in digest.quiet]
    about = ", ".join(names[:2]) + (f" (+{wording.count(len(names) - 2, 'topic')})" if len(names) > 2 else "")
    return f"[No news] {about}, {days}" if about else f"[No news] {days}"


def _elsewhere(digest: Digest) -> dict[str, int]:
    """For each topic's name, how many cards stand below other topics but matched it too."""
    counts: dict[str, int] = {}
    for item in digest.items:
        for name in item.also_in:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _contents_row(index: int, section: DigestSection, elsewhere: dict[str, int]) -> dict[str, object]:
    name = tidy(section.topic.name, wording.NAME_CHARS)
    change = wording.change(section)
    sparkline = wording.sparkline(section.history)
    also = elsewhere.get(section.topic.name, 0)
    return {
        "anchor": index,
        "name": name,
        "listed": bool(section.items),
        "total": f"{section.total:,}",
        "elsewhere": also,
        "change": change,
        "sparkline": sparkline,
        "label": f"{section.total:>5,}  {name}" + (f" ({also} more under other topics)" if also else ""),
    }


def _note(section: DigestSection) -> str:
    shown = len(section.items)
    if shown < section.total:
        return f"{shown:,} of {section.total:,} shown, best match first"
    return f"{section.total:,} new" + (", best match first" if section.total > 1 else "")


def _quiet(digest: Digest) -> str:
    if not digest.quiet:
        return ""
    names = [
        tidy(topic.name, wording.NAME_CHARS) + (f" (last: {wording.day(last)})" if last else "")
        for topic, last in digest.quiet
    ]
    return f"No news: {wording.listed(names, MAX_QUIET)}."


def _why(digest: Digest) -> str:
    names = [section.topic.name for section in digest.sections] + [topic.name for topic, _ in digest.quiet]
    topics = wording.listed([tidy(name, wording.NAME_CHARS) for name in names], 5)
    often = {
        Cadence.AT_ONCE: "as soon as there is news",
        Cadence.DAILY: "every day",
        Cadence.WEEKLY: "every week",
        Cadence.MONTHLY: "every month",
    }[digest.subscription.cadence]
    return f"You get this {often} because {digest.subscriber.email} subscribes to {topics or 'this digest'}."


def _footer_links(digest: Digest, letterhead: Letterhead, links: Links) -> list[dict[str, str]]:
    if not links.web:
        return [{"text": "Unsubscribe by mail", "url": _unsubscribe_mail(digest, letterhead, links)}]
    subscriber, subscription = digest.subscriber, digest.subscription
    return [
        {"text": "View in browser", "url": links.web_view(subscriber, subscription, digest.period.key)},
        {"text": "Preferences", "url": links.preferences(subscriber)},
        {"text": "Pause", "url": links.pause(subscriber, subscription)},
        {"text": "Unsubscribe", "url": links.unsubscribe(subscriber, subscription)},
    ]


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


def _within_budget(digest: Digest, frame: _Frame, cards: Cards, full_until: int, rows_until: int) -> dict[int, bool]:
    """For each number that fits: True for its full card, False for its row. What is missing did not fit."""
    sections = digest.sections[:MAX_SECTIONS]
    used = len(frame.html.encode()) + sum(form.size for form in frame.near) + MORE_ROW * len(sections)
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


def _dealt(digest: Digest, frame: _Frame, cards: Cards, forms: Mapping[int, bool], web: bool) -> tuple[str, str]:
    """(HTML, text) of the frame with the cards in their chosen forms in its slots, and what was left out counted."""
    html, text = frame.html, frame.text
    for index, section in enumerate(digest.sections):
        slot = SLOT.format(index)
        before, found, after = html.partition(slot)
        if not found:
            continue
        pairs = [
            filled(cards[item.number][0].form(full=forms[item.number]), item.number, *cards[item.number][1:])
            for item in section.items
            if item.number in forms
        ]
        left_out = len(section.items) - len(pairs)
        more = f"and {left_out} more " + ("in the web view" if web else "not listed here") if left_out else ""
        more_row = f'<tr><td></td><td class="m" style="padding:10px 0">{more}</td></tr>\n' if more else ""
        html = f"{before}{''.join(pair[0] for pair in pairs)}{more_row}{after}"
        blocks = [pair[1].strip("\n") for pair in pairs] + ([f"    {more}"] if more else [])
        text = text.replace(slot, "\n\n".join(blocks), 1)
    html = html.replace(NEAR_SLOT, "".join(form.html for form in frame.near), 1)
    text = text.replace(NEAR_SLOT, "\n\n".join(form.text.strip("\n") for form in frame.near), 1)
    return html, text


# --- the headers ----------------------------------------------------------------------------------------------


def digest_id(digest: Digest, letterhead: Letterhead, links: Links) -> str:
    """One Message-ID for each (subscription, period), so that a second copy can be known for one."""
    name = f"{digest.period.key}.{digest.subscription.id}"
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
    by_mail = f"<{_unsubscribe_mail(digest, letterhead, links)}>"
    if not links.web:
        return by_mail
    return f"<{links.unsubscribe(digest.subscriber, digest.subscription)}>, {by_mail}"


def _unsubscribe_mail(digest: Digest, letterhead: Letterhead, links: Links) -> str:
    """To the mailbox that the program reads, else the one that a person reads; the token says who and what."""
    to = letterhead.bounce_address or letterhead.reply_to or letterhead.sender
    token = links.unsubscribe_token(digest.subscriber, digest.subscription)
    return f"mailto:{quote(to, safe='@+.-_')}?subject=unsubscribe%20{token}"
