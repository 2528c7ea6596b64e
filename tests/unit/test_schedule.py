"""When things are next due: no period missed, none twice, whatever the clocks do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import schedule
from monitor.errors import ConfigError
from monitor.model import Cadence, Source, Subscription

ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Europe/London",
    "Australia/Sydney",
    "Australia/Lord_Howe",  # moves by half an hour
    "Africa/Cairo",  # moves at midnight
    "Asia/Beirut",
    "America/Santiago",
    "America/Nuuk",  # moves at 23:00: the gap ends on the next day
    "Asia/Kathmandu",
    "Pacific/Chatham",
)
TIMES = (time(0, 0), time(0, 30), time(1, 30), time(2, 0), time(2, 30), time(7, 0), time(23, 0), time(23, 30))
START = datetime(2025, 12, 30, tzinfo=UTC)
END = datetime(2028, 1, 3, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def subscribe(cadence: Cadence, **values: object) -> Subscription:
    return replace(Subscription(subscriber_id=1, topic_ids=(1,), cadence=cadence), **values)  # type: ignore[arg-type]


def all_due(subscription: Subscription, start: datetime, end: datetime) -> list[datetime]:
    found = []
    due = schedule.next_digest(subscription, start)
    while due is not None and due < end:
        found.append(due)
        due = schedule.next_digest(subscription, due)
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_digest_comes_once_for_each_day_in_every_zone(zone: str) -> None:
    for wall in TIMES:
        subscription = subscribe(Cadence.DAILY, at=wall, timezone=zone)

        keys = [schedule.period(subscription, due, None).key for due in all_due(subscription, START, END)]

        days = [date(2026, 1, 1) + timedelta(days=n) for n in range(730)]
        counts = Counter(keys)
        assert [day for day in days if counts[day.isoformat()] != 1] == [], wall
        assert max(counts.values()) == 1


@pytest.mark.parametrize("zone", ZONES)
def test_a_weekly_digest_comes_once_for_each_week_in_every_zone(zone: str) -> None:
    weeks = sorted(
        {f"{y:04}-W{w:02}" for n in range(721) for y, w, _ in [(date(2026, 1, 5) + timedelta(n)).isocalendar()]}
    )
    for wall in (time(0, 0), time(2, 30), time(23, 30)):
        for weekday in (0, 5, 6):
            subscription = subscribe(Cadence.WEEKLY, at=wall, weekday=weekday, timezone=zone)

            counts = Counter(schedule.period(subscription, d, None).key for d in all_due(subscription, START, END))

            assert [week for week in weeks if counts[week] != 1] == [], (wall, weekday)


@pytest.mark.parametrize("zone", ["America/Santiago", "America/Nuuk", "Europe/Berlin"])
def test_a_monthly_digest_on_the_31st_comes_on_each_months_last_day(zone: str) -> None:
    subscription = subscribe(Cadence.MONTHLY, monthday=31, at=time(23, 30), timezone=zone)

    dues = all_due(subscription, at("2026-01-02"), at("2028-01-02"))

    keys = [schedule.period(subscription, due, None).key for due in dues]
    assert keys == [f"{year}-{month:02}" for year in (2026, 2027) for month in range(1, 13)]
    assert dues[1].astimezone(ZoneInfo(zone)).date() == date(2026, 2, 28)


@pytest.mark.parametrize(
    ("zone", "wall", "after", "due"),
    [
        pytest.param("America/New_York", time(2, 30), "2026-03-08T00:00", "2026-03-08T07:30", id="gap moves forward"),
        pytest.param("America/New_York", time(1, 30), "2026-11-01T04:00", "2026-11-01T05:30", id="fold, first time"),
        pytest.param("America/New_York", time(1, 30), "2026-11-01T05:30", "2026-11-02T06:30", id="fold, not again"),
        pytest.param("Europe/Berlin", time(2, 30), "2026-10-25T00:30", "2026-10-26T01:30", id="Berlin fold, once"),
        pytest.param("Africa/Cairo", time(0, 0), "2026-04-23T12:00", "2026-04-23T22:00", id="Cairo has no midnight"),
        pytest.param("America/Santiago", time(0, 30), "2026-09-05T12:00", "2026-09-06T04:30", id="Santiago neither"),
        pytest.param("Australia/Lord_Howe", time(2, 15), "2026-10-03T12:00", "2026-10-03T15:45", id="half-hour gap"),
        pytest.param("America/Nuuk", time(23, 30), "2026-03-28T12:00", "2026-03-29T01:30", id="gap over midnight"),
    ],
)
def test_a_wall_clock_time_that_is_missing_or_double_happens_once(zone: str, wall: time, after: str, due: str) -> None:
    assert schedule.next_local(at(after), wall, ZoneInfo(zone)) == at(due)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin"])
def test_monday_midnight_is_never_two_weeks_away(zone: str) -> None:
    tz = ZoneInfo(zone)
    moment, gaps = schedule.next_local(START, time(0), tz, frozenset({0})), set()

    while moment < END:
        following = schedule.next_local(moment, time(0), tz, frozenset({0}))
        gaps.add((following.astimezone(tz).date() - moment.astimezone(tz).date()).days)
        moment = following

    assert gaps == {7}


@settings(max_examples=150, deadline=None)
@given(
    after=st.timedeltas(timedelta(0), timedelta(days=730)).map(lambda passed: START + passed),
    wall=st.times(),
    zone=st.sampled_from(ZONES),
)
def test_the_next_time_is_later_and_within_two_days(after: datetime, wall: time, zone: str) -> None:
    due = schedule.next_local(after, wall, ZoneInfo(zone))

    assert after < due <= after + timedelta(hours=49)
    assert schedule.next_local(due - timedelta(microseconds=1), wall, ZoneInfo(zone)) == due


def test_a_weekday_that_does_not_exist_is_an_error_not_an_endless_search() -> None:
    with pytest.raises(ValueError, match="no such weekday"):
        schedule.next_local(START, time(7), ZoneInfo("UTC"), frozenset({9}))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("../../etc/passwd", "Europe/Berlin"),
        ("America", "use an IANA name"),
        ("localtime", "use an IANA name"),
        ("UTC+2", "use an IANA name"),  # Etc/GMT+2 would be four hours off
        ("", "use an IANA name"),
        ("\ud800", "use an IANA name"),
        ("a\0b", "use an IANA name"),
    ],
)
def test_a_wrong_time_zone_names_the_nearest_right_one(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schedule.timezone(name)

    assert hint in str(caught.value)
    assert "Etc/" not in str(caught.value)


def test_a_right_time_zone_is_returned() -> None:
    assert schedule.timezone("Asia/Kathmandu") == ZoneInfo("Asia/Kathmandu")


# --- what a digest covers -------------------------------------------------------------------------------------


def test_periods_follow_one_another_without_hole_or_overlap() -> None:
    subscription = subscribe(Cadence.DAILY, at=time(2, 30), timezone="Europe/Berlin")
    end, periods = None, []

    for due in all_due(subscription, at("2026-03-20"), at("2026-04-05")):
        periods.append(schedule.period(subscription, due, end))
        end = periods[-1].end

    assert all(one.end == two.start for one, two in pairwise(periods))


@pytest.mark.parametrize(
    ("cadence", "key", "start"),
    [
        (Cadence.DAILY, "2026-11-23", "2026-11-22T07:00"),
        (Cadence.WEEKLY, "2026-W48", "2026-11-16T07:00"),
        (Cadence.AT_ONCE, "2026-11-23T07:00", "2026-11-23T06:45"),
    ],
)
def test_a_first_digest_looks_back_one_period(cadence: Cadence, key: str, start: str) -> None:
    period = schedule.period(subscribe(cadence), at("2026-11-23T07:00"), None)

    assert (period.key, period.start, period.end) == (key, at(start), at("2026-11-23T07:00"))


def test_a_first_monthly_digest_looks_back_one_month() -> None:
    period = schedule.period(subscribe(Cadence.MONTHLY, monthday=31), at("2026-02-28T07:00"), None)

    assert (period.key, period.start) == ("2026-02", at("2026-01-31T07:00"))


def test_a_period_never_ends_before_it_starts_when_the_clock_was_set_back() -> None:
    due = at("2026-11-23T07:00")

    period = schedule.period(subscribe(Cadence.DAILY), due, due + timedelta(hours=2))

    assert period.start == period.end == due


def test_the_week_key_is_the_iso_week_at_the_turn_of_the_year() -> None:
    subscription = subscribe(Cadence.WEEKLY, weekday=4)

    assert schedule.period(subscription, at("2027-01-01T07:00"), None).key == "2026-W53"


def test_quarter_hours_have_their_own_keys_in_the_hour_that_comes_twice() -> None:
    for zone in ("Europe/Berlin", "Australia/Lord_Howe"):
        subscription = subscribe(Cadence.AT_ONCE, timezone=zone)
        dues = [at("2026-01-01") + timedelta(minutes=15 * n) for n in range(4 * 24 * 366)]

        keys = {schedule.period(subscription, due, due).key for due in dues}

        assert len(keys) == len(dues), zone


def test_the_next_at_once_digest_is_at_the_next_quarter_hour() -> None:
    subscription = subscribe(Cadence.AT_ONCE, timezone="Asia/Kathmandu")

    assert schedule.next_digest(subscription, at("2026-11-23T07:01")) == at("2026-11-23T07:15")
    assert schedule.next_digest(subscription, at("2026-11-23T07:15")) == at("2026-11-23T07:30")


@pytest.mark.parametrize("cadence", list(Cadence))
def test_nothing_is_due_while_a_reader_pauses(cadence: Cadence) -> None:
    zone = ZoneInfo("America/New_York")
    subscription = subscribe(cadence, timezone=str(zone), at=time(0), monthday=1, paused_until=date(2026, 12, 1))

    due = schedule.next_digest(subscription, at("2026-11-03"))

    assert due is not None
    assert due.astimezone(zone).date() == (date(2026, 12, 7) if cadence is Cadence.WEEKLY else date(2026, 12, 1))
    assert due.astimezone(zone).time() == time(0)


def test_an_old_pause_changes_nothing() -> None:
    subscription = subscribe(Cadence.DAILY, paused_until=date(2020, 1, 1))

    assert schedule.next_digest(subscription, at("2026-11-23T07:00")) == at("2026-11-24T07:00")


def test_an_inactive_subscription_is_never_due() -> None:
    assert schedule.next_digest(subscribe(Cadence.DAILY, active=False), START) is None


@pytest.mark.parametrize(
    ("cadence", "planned", "due", "following"),
    [
        (Cadence.DAILY, "2026-11-19T07:00", "2026-11-23T07:00", "2026-11-24T07:00"),
        (Cadence.WEEKLY, "2026-11-02T07:00", "2026-11-23T07:00", "2026-11-30T07:00"),
        (Cadence.MONTHLY, "2026-09-01T07:00", "2026-11-01T07:00", "2026-12-01T07:00"),
        (Cadence.AT_ONCE, "2026-11-23T01:00", "2026-11-23T12:00", "2026-11-23T12:15"),
    ],
)
def test_after_a_downtime_one_digest_covers_what_was_missed(
    cadence: Cadence, planned: str, due: str, following: str
) -> None:
    subscription = subscribe(cadence, next_digest_at=at(planned))

    due_at, next_at = schedule.catch_up(subscription, at("2026-11-23T12:03"))

    assert (due_at, next_at) == (at(due), at(following))


def test_on_time_the_due_time_is_the_planned_one() -> None:
    planned = at("2026-11-23T07:00")
    subscription = subscribe(Cadence.DAILY, next_digest_at=planned)

    assert schedule.catch_up(subscription, planned)[0] == planned


def test_a_subscription_that_is_not_due_has_nothing_to_catch_up() -> None:
    with pytest.raises(ValueError, match="not due"):
        schedule.catch_up(subscribe(Cadence.DAILY, next_digest_at=at("2026-11-23T07:00")), at("2026-11-23T06:59"))


@settings(max_examples=60, deadline=None)
@given(
    cadence=st.sampled_from([Cadence.DAILY, Cadence.WEEKLY, Cadence.MONTHLY, Cadence.AT_ONCE]),
    zone=st.sampled_from(ZONES),
    wall=st.sampled_from(TIMES),
    naps=st.lists(st.integers(1, 60 * 24 * 40), min_size=5, max_size=25),
)
def test_however_long_the_worker_sleeps_no_window_is_made_twice_or_left_out(
    cadence: Cadence, zone: str, wall: time, naps: list[int]
) -> None:
    subscription = subscribe(cadence, timezone=zone, at=wall)
    subscription = replace(subscription, next_digest_at=schedule.next_digest(subscription, START))
    now, end, keys = START, None, []

    for nap in naps:
        now += timedelta(minutes=nap)
        if subscription.next_digest_at is None or subscription.next_digest_at > now:
            continue
        due_at, next_at = schedule.catch_up(subscription, now)
        window = schedule.period(subscription, due_at, end)
        assert end is None or window.start == end
        assert due_at <= now < (next_at or now)
        end = window.end
        keys.append(window.key)
        subscription = replace(subscription, next_digest_at=next_at)

    assert len(keys) == len(set(keys))


# --- polling --------------------------------------------------------------------------------------------------

SOURCE = Source(slug="s", name="S", url="https://example.org/feed", interval=timedelta(hours=1))
NOW = at("2026-11-23T12:00")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("failures", "wait"),
    [(0, HOUR), (1, HOUR / 4), (2, HOUR / 2), (3, HOUR), (7, 16 * HOUR), (8, DAY), (1000, DAY), (10**9, DAY)],
)
def test_a_first_failure_is_retried_soon_and_the_wait_doubles_up_to_a_day(failures: int, wait: timedelta) -> None:
    assert schedule.next_poll(SOURCE, NOW, failures=failures) == NOW + wait


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ({"retry_after": 7200.0}, 2 * HOUR),
        ({"retry_after": 60.0}, HOUR),
        ({"retry_after": 1e30}, DAY),
        ({"retry_after": float("inf")}, DAY),
        ({"retry_after": float("nan")}, HOUR),
        ({"retry_after": -5.0}, HOUR),
        ({"max_age": 10800}, 3 * HOUR),
        ({"max_age": 31_536_000}, DAY),
        ({"ttl": timedelta(hours=2)}, 2 * HOUR),
        ({"ttl": timedelta(days=900)}, DAY),
        ({"ttl": timedelta(minutes=-5)}, HOUR),
    ],
)
def test_a_publisher_may_ask_for_more_time_but_no_more_than_a_day(asked: dict[str, float], wait: timedelta) -> None:
    assert schedule.next_poll(SOURCE, NOW, **asked) == NOW + wait  # type: ignore[arg-type]


def test_jitter_spreads_polls_but_never_below_retry_after() -> None:
    early, late = schedule.next_poll(SOURCE, NOW, jitter=0.0), schedule.next_poll(SOURCE, NOW, jitter=0.999)

    assert early == NOW + timedelta(minutes=54)
    assert NOW + timedelta(minutes=65) < late <= NOW + timedelta(minutes=66)
    assert schedule.next_poll(SOURCE, NOW, jitter=0.0, retry_after=3600) == NOW + HOUR


def test_an_admin_may_poll_less_than_once_a_day() -> None:
    weekly = replace(SOURCE, interval=timedelta(days=7))

    assert schedule.next_poll(weekly, NOW) == NOW + timedelta(days=7)
    assert schedule.next_poll(weekly, NOW, failures=5) == NOW + timedelta(days=7)


def test_an_articles_page_is_tried_five_times_over_twelve_hours() -> None:
    now, tries = NOW, 1

    while (due := schedule.next_page_try(tries, now)) is not None:
        now, tries = due, tries + 1

    assert tries == 5
    assert now - NOW == 12 * HOUR


def test_a_page_waits_for_retry_after() -> None:
    assert schedule.next_page_try(1, NOW, 7200.0) == NOW + 2 * HOUR
    assert schedule.next_page_try(1, NOW, float("inf")) == NOW + DAY
    assert schedule.next_page_try(1, NOW, float("nan")) == NOW + timedelta(minutes=10)
    assert schedule.next_page_try(1, NOW, -1e30) == NOW + timedelta(minutes=10)


# --- sending --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cadence", list(Cadence))
def test_a_message_is_tried_until_its_limit_and_once_more_at_it(cadence: Cadence) -> None:
    limit = schedule.give_up_after(cadence)
    now, waits = NOW, []

    while (due := schedule.next_send(len(waits) + 1, NOW, now, give_up_after=limit)) is not None:
        waits.append(due - now)
        now = due

    assert waits[:6] == [timedelta(minutes=5), timedelta(minutes=15), HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR]
    assert now == NOW + limit


def test_a_message_does_not_age_while_the_relay_is_unreachable() -> None:
    later = NOW + timedelta(days=30)

    due = schedule.next_send(0, None, later, give_up_after=DAY)

    assert due == later + timedelta(minutes=5)


# --- a pace that is learned -----------------------------------------------------------------------------------

PACING = schedule.Pacing()
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("ages", "gap"),
    [
        ([0, 1, 2, 3, 4], HOUR),
        ([0, 1, 2, 3, 1000], HOUR),  # one old entry changes nothing
        ([-500, 0, 2, 4], 2 * HOUR),  # nor one dated in the future
        ([5, 5, 5], None),
        ([1, 2], None),
        ([], None),
    ],
)
def test_the_usual_gap_is_the_median_of_what_lies_in_the_past(ages: list[int], gap: timedelta | None) -> None:
    moments = [NOW - age * HOUR + 7 * MINUTE - HOUR / 2 for age in ages]

    assert schedule.usual_gap([*moments, None], NOW) == gap


def test_a_feed_that_dates_by_the_day_has_the_gap_of_its_count() -> None:
    midnight = NOW.replace(hour=0, minute=0)
    days = [midnight - n * DAY for n in range(3) for _ in range(8)]

    assert schedule.usual_gap(days, NOW) == 2 * DAY / 23


@pytest.mark.parametrize(
    ("gap", "pace"),
    [(MINUTE, 15 * MINUTE), (40 * MINUTE, 40 * MINUTE), (DAY, 6 * HOUR), (None, None)],
)
def test_the_first_pace_is_the_gap_within_bounds(gap: timedelta | None, pace: timedelta | None) -> None:
    assert schedule.learned_pace(SOURCE, gap, missed=False, pacing=PACING) == pace


def test_a_pace_shrinks_at_once_and_grows_by_a_quarter() -> None:
    known = replace(SOURCE, pace=HOUR)

    assert schedule.learned_pace(known, 20 * MINUTE, missed=False, pacing=PACING) == 20 * MINUTE
    assert schedule.learned_pace(known, DAY, missed=False, pacing=PACING) == 75 * MINUTE
    assert schedule.learned_pace(known, DAY, missed=True, pacing=PACING) == 30 * MINUTE
    assert schedule.learned_pace(replace(known, pace=20 * MINUTE), DAY, missed=True, pacing=PACING) == 15 * MINUTE


def test_an_admins_interval_outside_of_the_bounds_is_kept() -> None:
    weekly, quick = replace(SOURCE, interval=7 * DAY), replace(SOURCE, interval=5 * MINUTE)

    assert schedule.learned_pace(weekly, MINUTE, missed=False, pacing=PACING) is None
    assert schedule.learned_pace(quick, MINUTE, missed=False, pacing=PACING) == 5 * MINUTE
    assert schedule.learned_pace(SOURCE, MINUTE, missed=True, pacing=schedule.Pacing(adapt=False)) is None


def test_a_learned_pace_takes_the_intervals_place() -> None:
    assert schedule.next_poll(replace(SOURCE, pace=20 * MINUTE), NOW) == NOW + 20 * MINUTE
    assert schedule.next_poll(replace(SOURCE, pace=20 * MINUTE), NOW, failures=1) == NOW + 5 * MINUTE


@pytest.mark.parametrize(
    ("entries", "unseen", "before", "missed"),
    [(30, 30, NOW, True), (30, 29, NOW, False), (4, 4, NOW, False), (30, 30, None, False), (0, 0, NOW, False)],
)
def test_a_window_is_missed_when_nothing_known_is_left(
    entries: int, unseen: int, before: datetime | None, missed: bool
) -> None:
    assert schedule.has_missed(replace(SOURCE, last_new_at=before), entries, unseen, PACING) is missed
