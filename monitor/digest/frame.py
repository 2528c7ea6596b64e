"""What stands around a digest's cards: head, topic table, section heads, coverage, footer; with slots for the cards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from monitor.digest import mime, safety, wording
from monitor.digest.cards import Form, card
from monitor.digest.excerpt import tidy
from monitor.digest.letterhead import Letterhead
from monitor.digest.links import Links
from monitor.digest.templates import HTML, TEXT
from monitor.model import Cadence, Digest, DigestSection

MAX_TOPIC_ROWS = 25
MAX_QUIET = 12
FILLER = "\u2007\u034f" * 40  # keeps a mail client from filling its preview with the first words of the page
_CADENCES = {Cadence.AT_ONCE: "News", Cadence.DAILY: "Daily", Cadence.WEEKLY: "Weekly", Cadence.MONTHLY: "Monthly"}
NEAR = "near"
_SLOT = re.compile("\x00(\\w+)\x00")  # no outside text holds a NUL after `tidy`


@dataclass(frozen=True, slots=True)
class Frame:
    """HTML and text, each cut at its slots: text, slot's name, text, slot's name, ... text."""

    subject: str
    html: tuple[str, ...]
    text: tuple[str, ...]
    near: tuple[Form, ...]
    size: int  # bytes of HTML around the cards

    def filled(self, html: Mapping[str, str], text: Mapping[str, str]) -> tuple[str, str]:
        """(HTML, text) with the slots replaced by name."""
        return _joined(self.html, html), _joined(self.text, text)


def slot(index: int) -> str:
    """The name of the slot of the section at `index`."""
    return f"S{index}"


def _joined(parts: tuple[str, ...], slots: Mapping[str, str]) -> str:
    return "".join(slots[part] if index % 2 else part for index, part in enumerate(parts))


def frame_of(digest: Digest, letterhead: Letterhead, links: Links, max_sections: int | None) -> Frame:
    """The frame of `digest` with the heads of its first `max_sections` sections (None: of all)."""
    days = wording.days_covered(digest.period, digest.subscription.timezone)
    new = sum(section.total for section in digest.sections)
    with_news = [section for section in digest.sections if section.total]
    subject = mime.header_text(_subject(digest, new, days))
    headline = f"{new:,} new in {wording.count(len(with_news), 'topic')}" if new else "No news"
    warned = safety.summary(digest.safety)
    headline = f"{warned}. {headline}" if warned else headline
    best = digest.items[0].article.title if digest.items else ""
    elsewhere = _elsewhere(digest)
    weekly = digest.subscription.cadence is Cadence.WEEKLY
    values: dict[str, object] = {
        "subject": subject,
        "preheader": f"{headline}. Top: {tidy(best, 120)}" if best else f"{headline}, {days}",
        "filler": FILLER,
        "name": tidy(letterhead.sender_name, 80),
        "headline": headline,
        "cadence": _CADENCES[digest.subscription.cadence],
        "days": days,
        "view": links.web_view(digest.subscriber, digest.subscription, digest.period.key) if links.web else "",
        "contents": [_contents_row(index, section, elsewhere, weekly) for index, section in enumerate(digest.sections)][
            :MAX_TOPIC_ROWS
        ],
        "safety": safety.notes(digest.safety, digest.subscription.timezone),
        "sparklines": any(wording.sparkline(section.history) for section in digest.sections),
        "more_topics": wording.count(len(digest.sections) - MAX_TOPIC_ROWS, "more topic")
        if len(digest.sections) > MAX_TOPIC_ROWS
        else "",
        "sections": [
            {
                "anchor": index,
                "name": tidy(section.topic.name, wording.NAME_CHARS),
                "note": _note(section),
                "slot": f"\x00{slot(index)}\x00",
            }
            for index, section in enumerate(digest.sections[:max_sections])
            if section.items
        ],
        "near_slot": f"\x00{NEAR}\x00" if digest.near_misses else "",
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
    html = HTML.get_template("digest.html").render(values)
    near = tuple(card(item, links).compact for item in digest.near_misses)
    return Frame(
        subject=subject,
        html=tuple(_SLOT.split(html)),
        text=tuple(_SLOT.split(TEXT.get_template("digest.txt").render(values))),
        near=near,
        size=len(html.encode()) + sum(form.size for form in near),
    )


def _subject(digest: Digest, new: int, days: str) -> str:
    warned = safety.summary(digest.safety)
    if new:
        return f"{f'{warned}; ' if warned else ''}{new:,} new: {wording.headline(digest.sections)}, {days}"
    if warned:
        return f"{warned} of what you were sent, {days}"
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


def _contents_row(index: int, section: DigestSection, elsewhere: dict[str, int], weekly: bool) -> dict[str, object]:
    """One line of the topic table. The history counts weeks, so only a weekly digest is compared with it."""
    name = tidy(section.topic.name, wording.NAME_CHARS)
    sparkline = wording.sparkline(section.history)
    also = elsewhere.get(section.topic.name, 0)
    change = wording.change(section.total + also, section.history) if weekly else ""
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
        return [{"text": "Unsubscribe by mail", "url": unsubscribe_mail(digest, letterhead, links)}]
    subscriber, subscription = digest.subscriber, digest.subscription
    return [
        {"text": "View in browser", "url": links.web_view(subscriber, subscription, digest.period.key)},
        {"text": "Preferences", "url": links.preferences(subscriber)},
        {"text": "Pause", "url": links.pause(subscriber, subscription)},
        {"text": "Unsubscribe", "url": links.unsubscribe(subscriber, subscription)},
    ]


def unsubscribe_mail(digest: Digest, letterhead: Letterhead, links: Links) -> str:
    """To the mailbox that a person reads; the token says who and what."""
    to = letterhead.reply_to or letterhead.sender
    token = links.unsubscribe_token(digest.subscriber, digest.subscription)
    return f"mailto:{quote(to, safe='@+.-_')}?subject=unsubscribe%20{token}"
