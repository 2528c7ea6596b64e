"""When things are next due. Pure: the time comes in, a time goes out.

Wall-clock rules (PEP 495): a time inside a spring gap moves forward by the gap, a time inside an autumn fold happens
once, the first time. So no day or week is left out and none is done twice.
"""

from __future__ import annotations

import calendar
import difflib
import itertools
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from monitor.errors import ConfigError
from monitor.model import Cadence, Period, Source, Subscription

AT_ONCE_GRID = timedelta(minutes=15)
LONGEST_WAIT = timedelta(hours=24)
FIRST_RETRY = 4  # a first failure is retried after this part of the interval
LONGEST_DELIVERY = timedelta(hours=48)
JITTER = 0.1
PAGE_WAITS = (timedelta(minutes=10), timedelta(minutes=50), timedelta(hours=3), timedelta(hours=8))
SEND_WAITS = (
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
)

_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_HOST_DEPENDENT = frozenset({"localtime", "Factory", "posixrules"})  # these mean something else on each machine


# --- time zones and the wall clock ----------------------------------------------------------------------------


def timezone(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises ConfigError that names the nearest right ones."""
    try:
        if name in _HOST_DEPENDENT:
            raise ValueError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # not found; "../x" or not text; "America" is a directory
        near = _nearest_zones(name)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; use an IANA name such as Europe/Berlin"
        raise ConfigError(f"no time zone is called {name[:60]!r}{hint}") from error


def next_local(after: datetime, at: time, tz: ZoneInfo, weekdays: frozenset[int] | None = None) -> datetime:
    """The first instant after `after` at which the clock in `tz` shows `at` (on one of `weekdays`; Monday is 0)."""
    day = after.astimezone(tz).date() - _DAY
    for _ in range(15):
        if weekdays is None or day.weekday() in weekdays:
            due = _instant(day, at, tz)
            if due > after:
                return due
        day += _DAY
    raise ValueError(f"no such weekday: {sorted(weekdays or ())}")


def _instant(day: date, at: time, tz: ZoneInfo) -> datetime:
    return datetime.combine(day, at.replace(tzinfo=None, fold=0), tzinfo=tz).astimezone(UTC)


@lru_cache(maxsize=1)
def _zone_names() -> dict[str, str]:
    """Names to propose. Not Etc/GMT+2: its sign is the opposite of what its reader expects."""
    names = (
        n for n in available_timezones() if "/" in n and not n.startswith(("Etc/", "posix/", "right/", "SystemV/"))
    )
    return {name.casefold(): name for name in sorted(names)} | {"utc": "UTC"}


def _nearest_zones(name: str) -> list[str]:
    names = _zone_names()
    wanted = name[:60].strip().casefold().replace(" ", "_")
    if wanted in names:
        return [names[wanted]]
    if cities := [names[key] for key in names if key.rpartition("/")[2] == wanted]:
        return cities[:3]
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.75)
    return [names[key] for key in close if key != "utc"]  # UTC is not near to "UTC+2"


# --- digests --------------------------------------------------------------------------------------------------


def next_digest(subscription: Subscription, after: datetime) -> datetime | None:
    """When the first digest after `after` is due; None for a subscription that is not active.

    `at_once` digests are due on the quarter-hours, and skipped when nothing was found. Nothing is due before the
    reader's local date `paused_until`.
    """
    if not subscription.active:
        return None
    tz = timezone(subscription.timezone)
    paused_until = subscription.paused_until
    if subscription.cadence is Cadence.AT_ONCE:
        if paused_until is not None:
            after = max(after, _instant(paused_until, time(0), tz) - _INSTANT)
        return _grid_before(after + AT_ONCE_GRID)
    first = after.astimezone(tz).date() - _DAY
    days = _days_from(subscription, max(first, paused_until) if paused_until else first)
    return next(due for due in (_instant(day, subscription.at, tz) for day in days) if due > after)


def period(subscription: Subscription, due_at: datetime, previous_end: datetime | None) -> Period:
    """What the digest due at `due_at` covers: from the end of the one before, or for a first one, one period back.

    The key is the day, ISO week, month or quarter-hour in the reader's zone for which the digest was planned. That is
    not always the local date of `due_at`: 23:30 inside a gap is half past midnight of the next day.
    """
    start = previous_end if previous_end is not None else previous_due(subscription, due_at)
    return Period(key=_period_key(subscription, due_at), start=min(start, due_at), end=due_at)


def catch_up(subscription: Subscription, now: datetime) -> tuple[datetime, datetime | None]:
    """For a subscription that is due: the due time of the one digest to make now, and when the next is due.

    After a downtime that is the latest due time missed: one digest covers everything, and no period has two.
    Raises ValueError where nothing is due. Set `next_digest_at` anew whenever a subscription changes.
    """
    planned = subscription.next_digest_at
    if planned is None or planned > now:
        raise ValueError(f"subscription {subscription.id} is not due")
    latest = previous_due(subscription, now + _INSTANT)
    return max(planned, latest), next_digest(subscription, now)


def _days_from(subscription: Subscription, first: date) -> Iterator[date]:
    """The local dates for which digests are planned, from `first` on, without end."""
    if subscription.cadence is Cadence.MONTHLY:
        year, month = first.year, first.month
        while True:
            day = date(year, month, min(subscription.monthday, calendar.monthrange(year, month)[1]))
            if day >= first:
                yield day
            year, month = (year + month // 12, month % 12 + 1)
    step = _DAY
    if subscription.cadence is Cadence.WEEKLY:
        first += timedelta(days=(subscription.weekday - first.weekday()) % 7)
        step = timedelta(days=7)
    while True:
        yield first
        first += step


def previous_due(subscription: Subscription, before: datetime) -> datetime:
    """The last planned time before `before`, paused or not: where the period that ends there began."""
    if subscription.cadence is Cadence.AT_ONCE:
        return _grid_before(before - _INSTANT)
    tz = timezone(subscription.timezone)
    longest = {Cadence.DAILY: 3, Cadence.WEEKLY: 9, Cadence.MONTHLY: 33}[subscription.cadence]
    previous = before
    for day in _days_from(subscription, before.astimezone(tz).date() - timedelta(days=longest)):
        due = _instant(day, subscription.at, tz)
        if due >= before:
            break
        previous = due
    return previous


def _grid_before(moment: datetime) -> datetime:
    """The quarter-hour at or before `moment`. All zones' offsets are multiples of it, so any wall clock shows one."""
    moment = moment.astimezone(UTC)
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


def _period_key(subscription: Subscription, due_at: datetime) -> str:
    tz = timezone(subscription.timezone)
    local = due_at.astimezone(tz)
    if subscription.cadence is Cadence.AT_ONCE:
        key = local.strftime("%Y-%m-%dT%H:%M")
        return key + local.strftime("%z") if local.fold else key  # the hour that comes twice needs two names
    day = local.date()
    if _instant(day - _DAY, subscription.at, tz) == due_at and _instant(day, subscription.at, tz) != due_at:
        day -= _DAY
    if subscription.cadence is Cadence.WEEKLY:
        year, week, _ = day.isocalendar()
        return f"{year:04}-W{week:02}"
    return f"{day:%Y-%m}" if subscription.cadence is Cadence.MONTHLY else f"{day:%Y-%m-%d}"


# --- polling and retries --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How polling adapts. `adapt` false: every source keeps its own interval.

    `least` and `most` bound what is learned. `full_feed` entries without one known among them are a missed window.
    A source is stale that brought nothing new for `stale_after`, and for `stale_gaps` times its usual gap. One that
    says that it is gone (410) is asked again after `gone`.
    """

    adapt: bool = True
    least: timedelta = timedelta(minutes=15)
    most: timedelta = timedelta(hours=6)
    full_feed: int = 5
    stale_after: timedelta = timedelta(days=14)
    stale_gaps: float = 10
    gone: timedelta = timedelta(days=7)


GROWTH = 1.25  # of a learned interval, from one poll to the next: it shrinks at once and grows slowly


def usual_gap(appeared: Iterable[datetime | None], now: datetime) -> timedelta | None:
    """The median time between two entries, of those that lie in the past; None where that says nothing.

    A feed that dates by the day has gaps of nothing and of days: then it is the span over the number of entries.
    """
    dated = [moment for moment in appeared if moment is not None and moment <= now]
    moments = sorted(set(dated))
    if len(moments) < 3:
        return None
    if all(moment == moment.replace(hour=0, minute=0, second=0, microsecond=0) for moment in moments):
        return (moments[-1] - moments[0]) / max(len(dated) - 1, 1)
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(moments)]
    return timedelta(seconds=statistics.median(gaps))


def learned_pace(source: Source, gap: timedelta | None, *, missed: bool, pacing: Pacing) -> timedelta | None:
    """The interval to poll a moving list at: its usual gap, within bounds. None: nothing is known yet.

    `missed`: its last window was gone before we came. Then it is half of what it was, whatever the gap says.
    An interval that an admin set outside of the bounds is his wish: a longer one is kept, a shorter one is the least.
    """
    if not pacing.adapt or source.interval > pacing.most:
        return None
    least = min(pacing.least, source.interval)
    before = source.pace or source.interval
    if missed:
        return max(before / 2, least)
    if gap is None:
        return min(before * GROWTH, source.interval) if source.pace else None
    target = min(max(gap, least), pacing.most)
    return min(target, before * GROWTH) if source.pace else target


def has_missed(source: Source, entries: int, unseen: int, pacing: Pacing) -> bool:
    """Nothing in common with the last visit: a full list of which not one entry is known, though we came before."""
    return source.last_new_at is not None and unseen == entries >= pacing.full_feed


def is_stale(source: Source, now: datetime, pacing: Pacing) -> bool:
    """It answers, but brought nothing new for much longer than usual."""
    if source.last_new_at is None:
        return False
    usual = (source.gap or timedelta()).total_seconds() * pacing.stale_gaps
    return (now - source.last_new_at).total_seconds() > max(pacing.stale_after.total_seconds(), usual)


def next_poll(
    source: Source,
    now: datetime,
    *,
    failures: int = 0,
    retry_after: float | None = None,
    max_age: float | None = None,
    ttl: timedelta | None = None,
    pace: timedelta | None = None,
    jitter: float = 0.5,
) -> datetime:
    """Poll again after the source's interval, or after the `pace` that was learned.

    A first failure is retried after a quarter of it (a machine that starts before its network must not wait for hours),
    each further one in a row after twice as long, at most a day; the first success brings the interval back.
    The publisher may ask for more time (Retry-After, Cache-Control max-age in seconds, the feed's ttl), also at most a
    day. `jitter`, from 0 up to 1, spreads the wait by ±10 %, but never below Retry-After.
    """
    interval = (pace or source.pace or source.interval).total_seconds()
    longest = max(LONGEST_WAIT.total_seconds(), source.interval.total_seconds())
    if failures > 0:
        wait = interval / FIRST_RETRY * 2 ** min(failures - 1, 20)
    else:
        wait = max(interval, _seconds(max_age), _seconds(ttl.total_seconds() if ttl else None))
    wait = min(wait, longest) * (1 - JITTER + 2 * JITTER * jitter)
    return now + timedelta(seconds=min(max(wait, _seconds(retry_after)), longest))


def next_page_try(attempts: int, now: datetime, retry_after: float | None = None) -> datetime | None:
    """When to ask for an article's page again after `attempts` failures; None after the fifth, about 12 hours on."""
    if attempts > len(PAGE_WAITS):
        return None
    wait = PAGE_WAITS[max(attempts, 1) - 1]
    return now + max(wait, timedelta(seconds=_seconds(retry_after)))


def give_up_after(cadence: Cadence) -> timedelta:
    """How long a digest is worth trying: until about the next one is due, two days at most."""
    return timedelta(hours=24) if cadence in (Cadence.AT_ONCE, Cadence.DAILY) else LONGEST_DELIVERY


def next_send(
    attempts: int, first_tried_at: datetime | None, now: datetime, *, give_up_after: timedelta = LONGEST_DELIVERY
) -> datetime | None:
    """When to try a message again after `attempts` that the server put off; None to give up.

    The last try is at the limit. Only tries that reached a server count: while the relay is unreachable, `attempts`
    and `first_tried_at` stay as they are (None before the first answer), so a message does not age.
    """
    due = now + SEND_WAITS[min(max(attempts, 1), len(SEND_WAITS)) - 1]
    if first_tried_at is None:
        return due
    limit = first_tried_at + give_up_after
    return min(due, limit) if now < limit else None


def _seconds(value: float | None) -> float:
    """A wait that a publisher asked for, made safe: "nan", negative and absurdly long ones come too."""
    return min(value, LONGEST_WAIT.total_seconds()) if value is not None and value > 0 else 0.0
