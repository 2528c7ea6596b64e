"""Dates, counts and names as a reader reads them: English whatever the machine's locale, in the reader's own zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from monitor.digest.excerpt import tidy
from monitor.model import Coverage, DigestSection, Period, Unchecked

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONG_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_BARS = "▁▂▃▄▅▆▇█"
NAME_CHARS = 60
MAX_UNCHECKED = 8
MIN_FOR_CHANGE = 5  # a rise from one article to three is no news


def day(moment: datetime | date) -> str:
    """2 Jan 2014"""
    if isinstance(moment, datetime):
        moment = moment.astimezone(UTC).date()
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def moment_in(moment: datetime, timezone: str) -> str:
    """Monday, 29 March 2027, 07:00 (Europe/Berlin): what the reader's own clock will show, summer time included."""
    local = moment.astimezone(ZoneInfo(timezone))
    date_words = f"{_DAYS[local.weekday()]}, {local.day} {_LONG_MONTHS[local.month - 1]} {local.year}"
    return f"{date_words}, {local:%H:%M} ({timezone})"


def days_covered(period: Period, timezone: str) -> str:
    """17–23 Nov 2026. The days on which a digest's news came, so that two neighbours share no day.

    A period that begins at 07:00 on the 16th is headed from the 17th: the 16th was the last day of the issue before.
    """
    zone = ZoneInfo(timezone)
    begin = period.start.astimezone(zone)
    last = (period.end - timedelta(seconds=1)).astimezone(zone).date()
    first = begin.date() if begin.time() == time(0) else begin.date() + timedelta(days=1)
    return _span(min(first, last), last)


def _span(first: date, last: date) -> str:
    if first == last:
        return day(last)
    if first.year != last.year:
        return f"{day(first)} – {day(last)}"
    if first.month != last.month:
        return f"{first.day} {_MONTHS[first.month - 1]} – {day(last)}"
    return f"{first.day}–{day(last)}"


def count(number: int, one: str, many: str = "") -> str:
    """1 topic, 2 topics, 1,204 articles"""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str], shown: int) -> str:
    """A, B and 3 more"""
    if len(names) <= shown:
        return ", ".join(names)
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"


def headline(sections: Sequence[DigestSection]) -> str:
    """opioid tolerance, mTOR (+3 topics): the two topics with most news by name, the rest by number."""
    busy = sorted((section for section in sections if section.total), key=lambda section: -section.total)
    names = ", ".join(tidy(section.topic.name, NAME_CHARS) for section in busy[:2])
    return names + (f" (+{count(len(busy) - 2, 'topic')})" if len(busy) > 2 else "")


def sparkline(history: Sequence[int]) -> str:
    """▂▁▄█: each week's count against the highest."""
    top = max(history, default=0)
    return "".join(_BARS[round(max(number, 0) * (len(_BARS) - 1) / top)] for number in history) if top else ""


def change(matched: int, history: Sequence[int]) -> str:
    """▲ 2.1× or ▼ 0.4× against the median of the weeks before; nothing where the numbers are too small to say."""
    usual = median(history) if history else 0
    if max(matched, usual) < MIN_FOR_CHANGE or usual < 1:
        return ""
    ratio = matched / usual
    return f"▲ {ratio:.1f}×" if ratio >= 1.5 else f"▼ {ratio:.1f}×" if ratio <= 0.67 else ""


def coverage_line(coverage: Coverage, now: datetime) -> str:
    """Checked 42 sources; not checked: X for 3 days (why); 812 articles seen, 31 matched"""
    parts = [f"Checked {count(coverage.sources_checked, 'source')}"]
    if coverage.unchecked:
        parts.append("not checked: " + listed([_unchecked(one, now) for one in coverage.unchecked], MAX_UNCHECKED))
    seen = f"{count(coverage.articles_seen, 'article')} seen, {coverage.articles_matched:,} matched"
    seen += f", {coverage.merged:,} merged" if coverage.merged else ""
    parts.append(seen + (f", {coverage.old:,} too old to be news" if coverage.old else ""))
    return "; ".join(parts) + "."


def _unchecked(source: Unchecked, now: datetime) -> str:
    reason = f" ({tidy(source.reason, 80)})" if source.reason else ""
    return f"{tidy(source.name, NAME_CHARS)}{_for_how_long(source.since, now)}{reason}"


def _for_how_long(since: datetime | None, now: datetime) -> str:
    if since is None:
        return ", not once"
    hours = max(1, round((now - since).total_seconds() / 3600))
    return f" for {count(hours, 'hour')}" if hours < 36 else f" for {count(round(hours / 24), 'day')}"
