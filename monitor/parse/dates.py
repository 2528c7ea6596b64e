"""Times as feeds and pages write them, in one function.

RFC 822 with its American and European zone names, ISO 8601, and what else is in use: `Nov 10, 2026`, `2023 Jan 7`,
`2017/01`, `Thu, 09/25/2025 - 11:38`, `12. Januar 2026`, `mardi 12 janvier 2026`, `05-Mar-2026`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache

# Outside of these years it is a placeholder (0001) or a mistake (9999). The caller, who knows the time, may narrow it.
EARLIEST_YEAR = 1900
LATEST_YEAR = 2050

_MONTH_NAMES = (
    "january jan janvier janv januar jaenner janner enero ene gennaio gen janeiro",
    "february feb fevrier fevr fev februar febr febrero febbraio fevereiro",
    "march mar mars marz maerz mrz marzo marco",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio maio",
    "june jun juin juni junio giugno junho",
    "july jul juillet juil juli julio luglio julho",
    "august aug aout agosto ago",
    "september sep sept septembre septiembre settembre setembro",
    "october oct octobre oktober okt octubre ottobre outubro",
    "november nov novembre noviembre novembro",
    "december dec decembre dezember dez diciembre dicembre dezembro",
)
_MONTHS = {name: number for number, names in enumerate(_MONTH_NAMES, 1) for name in names.split()}
# Minutes east of Greenwich. BST is Britain's, IST India's: the senses of the feeds seen.
_ZONES = {
    **dict.fromkeys(("z", "ut", "utc", "gmt", "wet"), 0),
    "edt": -240,
    "est": -300,
    "cdt": -300,
    "cst": -360,
    "mdt": -360,
    "mst": -420,
    "pdt": -420,
    "pst": -480,
    "ast": -240,
    "adt": -180,
    "akst": -540,
    "akdt": -480,
    "hst": -600,
    "bst": 60,
    "cet": 60,
    "west": 60,
    "mez": 60,
    "cest": 120,
    "mesz": 120,
    "eet": 120,
    "eest": 180,
    "msk": 180,
    "ist": 330,
    "sgt": 480,
    "hkt": 480,
    "jst": 540,
    "kst": 540,
    "aest": 600,
    "aedt": 660,
    "nzst": 720,
    "nzdt": 780,
}
_CLOCK = (
    r"(?:(?:[T,\s]|\s-|\sat|\sum|\sà)\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d{1,9})?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\b)?\s*(?:\(?(?P<zone>(?:GMT|UTC)?[+-]\d{1,2}(?::?\d{2})?|[A-Za-z]{1,5})\b)?)?"
)
_WEEKDAY = r"(?:[^\W\d]{2,12}\.?,?\s+)?"
_PATTERNS = tuple(
    re.compile(pattern + _CLOCK)
    for pattern in (
        r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?!\d)",
        r"(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})(?!\d)",
        r"(?P<year>(?:19|20)\d{2})(?P<month>[01]\d)(?P<day>[0-3]\d)(?!\d)",
        r"(?P<year>(?:19|20)\d{2})[-/.](?P<month>\d{1,2})$",
        _WEEKDAY
        + r"(?P<day>\d{1,2})(?:er|st|nd|rd|th)?[.\s-]{1,3}(?:of\s|de\s)?(?P<name>[^\W\d]{3,12})"
        + r"\.?[\s,-]{1,3}(?:de\s)?(?P<year>\d{4}|\d{2})(?!\d)",
        _WEEKDAY + r"(?P<name>[^\W\d]{3,12})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})(?!\d)",
        r"(?P<year>\d{4}),?\s+(?P<name>[^\W\d]{3,12})\.?(?:\s+(?P<day>\d{1,2})(?!\d))?",
        _WEEKDAY + r"(?P<name>[^\W\d]{3,12})\.?,?\s+(?P<year>\d{4})(?!\d)",
        _WEEKDAY + r"(?P<us>)(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})(?!\d)",
        r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})(?!\d)",
    )
)
# What nearly every feed uses, RFC 822 and RFC 3339: read at a tenth of the price, with the same result.
_RFC_822 = re.compile(
    r"(?:[A-Za-z]{3}, )?(\d{1,2}) ([A-Za-z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d) ([A-Za-z]{1,5}|[+-]\d{4})$"
)
_RFC_3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:?\d\d)$")
# "Tue Nov 10 12:00:00 EST 2026": the year stands behind the clock, so it is moved before it is read.
_ASCTIME = re.compile(r"([^\W\d]{3}\s+[^\W\d]{3}\s+\d{1,2})\s+([\d:]{5,8})(?:\s+([A-Z+\-\d]{1,6}))?\s+(\d{4})$")


def parse_date(text: str) -> datetime | None:
    """The instant that `text` names, in UTC, or None where it names none between 1900 and 2050. Never raises.

    A date without a time is its midnight, one without a zone is read as UTC, a month is its first day; a year alone is
    no date (it would make this week's paper look like last January's).
    """
    text = " ".join(text[:100].split())
    return _usual(text) or _any_other(text)


def _usual(text: str) -> datetime | None:
    """The instant in one of the two usual forms; None leaves it, and what is odd about these, to `_any_other`."""
    if found := _RFC_822.match(text):
        day, name, year, hour, minute, second, zone = found.groups()
        month = _MONTHS.get(name.lower(), 0)
    elif found := _RFC_3339.match(text):
        year, number, day, hour, minute, second, zone = found.groups()
        month = int(number)
    else:
        return None
    east = _zone(zone)
    if east is None or not EARLIEST_YEAR <= int(year) <= LATEST_YEAR:
        return None
    try:
        moment = datetime(int(year), month, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    return moment - east if east else moment


@lru_cache(maxsize=256)
def _zone(zone: str) -> timedelta | None:
    """None for a word that is no zone we know: it may be half of the day (PM)."""
    return timedelta(minutes=_offset(zone)) if zone[0] in "+-" or zone.lower() in _ZONES else None


def _any_other(text: str) -> datetime | None:
    if moved := _ASCTIME.match(text):
        text = f"{moved[1]}, {moved[4]} {moved[2]} {moved[3] or ''}"
    for pattern in _PATTERNS:
        found = pattern.match(text)
        if found and (moment := _moment(found.groupdict())):
            return moment
    return None


def _moment(parts: dict[str, str | None]) -> datetime | None:
    month = _MONTHS.get(_plain(parts["name"] or "")) if "name" in parts else int(parts["month"] or 0)
    day = int(parts["day"] or 1) if "day" in parts else 1
    if month is None:
        return None
    if "us" in parts and month > 12 >= day:  # 25/09/2025 where 09/25/2025 is usual
        month, day = day, month
    year = int(parts["year"] or 0)
    if len(parts["year"] or "") == 2:
        year += 2000 if year < 70 else 1900
    if not EARLIEST_YEAR <= year <= LATEST_YEAR:
        return None
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    if half := parts["half"]:
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    try:
        moment = datetime(year, month, day, hour % 24, minute, min(second, 59), tzinfo=UTC)  # a leap second is a :59
    except ValueError:  # 30 February, 25:61
        return None
    if hour == 24:
        moment += timedelta(days=1)
    return moment - timedelta(minutes=_offset(parts["zone"] or ""))


def _offset(zone: str) -> int:
    """Minutes east of Greenwich; an unknown or impossible zone counts as UTC."""
    zone = zone.lower()
    if zone in _ZONES:
        return _ZONES[zone]
    digits = zone.removeprefix("gmt").removeprefix("utc").replace(":", "")
    if digits[:1] not in ("+", "-"):
        return 0
    number = digits[1:] if len(digits) > 3 else f"{digits[1:]}00"  # "GMT+2"
    minutes = int(number[:-2]) * 60 + int(number[-2:])
    if minutes > 14 * 60:
        return 0
    return -minutes if digits[0] == "-" else minutes


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.lower())
    return "".join(char for char in decomposed if not unicodedata.combining(char))
