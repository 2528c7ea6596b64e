"""What a mail server's answer means, and when to stop sending."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.deliver import Breaker, Class, classify
from monitor.deliver.replies import enhanced_status, printable


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (250, "2.0.0", Class.OK),
        (None, "", Class.RETRY),
        (421, "4.3.2", Class.RETRY),
        (450, "", Class.RETRY),
        (452, "4.2.2", Class.RETRY),
        (454, "4.7.0", Class.RETRY),
        (550, "5.1.1", Class.HARD_BOUNCE),
        (550, "5.1.10", Class.HARD_BOUNCE),
        (551, "5.1.6", Class.HARD_BOUNCE),
        (553, "5.1.3", Class.HARD_BOUNCE),
        (554, "5.1.2", Class.HARD_BOUNCE),
        (556, "5.1.10", Class.HARD_BOUNCE),
        (550, "5.2.1", Class.HARD_BOUNCE),
        (550, "5.1.8", Class.POLICY),
        (553, "5.1.7", Class.POLICY),
        (550, "", Class.SOFT_BOUNCE),
        (550, "5.0.0", Class.SOFT_BOUNCE),
        (552, "5.2.2", Class.SOFT_BOUNCE),
        (550, "4.4.7", Class.SOFT_BOUNCE),
        (552, "", Class.TOO_BIG),
        (552, "5.3.4", Class.TOO_BIG),
        (554, "5.3.4", Class.TOO_BIG),
        (550, "5.2.3", Class.TOO_BIG),
        (550, "5.7.515", Class.POLICY),
        (550, "5.7.1", Class.POLICY),
        (550, "5.4.1", Class.POLICY),
        (554, "5.5.1", Class.POLICY),
        (554, "", Class.POLICY),
        (503, "", Class.POLICY),
        (553, "5.6.7", Class.POLICY),
        (530, "5.7.0", Class.RELAY),
        (534, "5.7.9", Class.RELAY),
        (535, "5.7.8", Class.RELAY),
    ],
)
def test_a_reply_has_one_class(code: int | None, status: str, kind: Class) -> None:
    assert classify(code, status) is kind


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("5.1.1 no such user", "5.1.1"),
        ("mx.example says\n5.7.515 access denied", "5.7.515"),
        ("no status 5.1.1 in the middle", ""),
        ("192.5.1.1 is listed", ""),
        ("5.1.1.1 is an address", "5.1.1"),
        ("3.1.1 is no status", ""),
        ("", ""),
    ],
)
def test_the_enhanced_status_stands_at_the_start_of_a_line(text: str, status: str) -> None:
    assert enhanced_status(text) == status


def test_a_strangers_text_is_made_harmless() -> None:
    assert printable("a\r\nb\x1b[31m\u202e\ud800\u2028c" + "x" * 9000).startswith("a b [31m c")
    assert len(printable("y" * 9000)) == 500


# --- the breaker ----------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_ten_failures_in_a_row_stop_the_run_until_the_cool_down() -> None:
    breaker = Breaker(cool_down=HOUR)

    for _ in range(9):
        breaker.failure(NOW)
    assert breaker.closed(NOW)
    breaker.failure(NOW)

    assert not breaker.closed(NOW + HOUR - timedelta(seconds=1))
    assert breaker.closed(NOW + HOUR)
    assert "10 messages in a row" in breaker.reason


def test_after_the_cool_down_one_more_failure_stops_it_again_and_a_success_frees_it() -> None:
    breaker = Breaker(cool_down=HOUR)
    for _ in range(10):
        breaker.failure(NOW)

    breaker.failure(NOW + HOUR)
    assert not breaker.closed(NOW + HOUR)
    breaker.success()
    breaker.failure(NOW + 2 * HOUR)

    assert breaker.closed(NOW + 2 * HOUR)


@pytest.mark.parametrize(
    ("hard", "good", "closed"), [(4, 16, True), (5, 15, False), (4, 10, True), (9, 30, False), (1, 100, True)]
)
def test_more_than_a_fifth_of_dead_mailboxes_stops_the_run_once_twenty_were_tried(
    hard: int, good: int, closed: bool
) -> None:
    breaker = Breaker()

    for _ in range(good):
        breaker.success()
    for _ in range(hard):
        breaker.failure(NOW, hard=True)
    breaker.success()  # one that was already on its way

    assert breaker.closed(NOW) is closed


def test_soft_failures_do_not_count_as_dead_mailboxes() -> None:
    breaker = Breaker()

    for _ in range(50):
        breaker.failure(NOW)
        breaker.success()

    assert breaker.closed(NOW)


def test_a_new_run_counts_anew() -> None:
    breaker = Breaker()
    for _ in range(6):
        breaker.success()
        breaker.failure(NOW, hard=True)
    breaker.new_run()

    for _ in range(19):
        breaker.success()
    breaker.failure(NOW, hard=True)

    assert breaker.closed(NOW)


def test_a_relay_that_is_down_is_looked_at_ever_more_rarely_until_it_is_back() -> None:
    breaker, now, pauses = Breaker(), NOW, []

    for _ in range(7):
        breaker.trip(now)
        assert breaker.open_until is not None
        pauses.append((breaker.open_until - now) // timedelta(minutes=1))
        now = breaker.open_until
    breaker.success()
    breaker.trip(now)

    assert pauses == [1, 2, 4, 8, 15, 15, 15]
    assert breaker.open_until == now + timedelta(minutes=1)


def test_many_messages_that_meet_the_same_dead_relay_are_one_report() -> None:
    breaker = Breaker()

    for second in range(20):
        breaker.trip(NOW + timedelta(seconds=second))

    assert breaker.open_until == NOW + timedelta(minutes=1)


def test_an_admin_may_close_it_at_once() -> None:
    breaker = Breaker()
    for _ in range(10):
        breaker.failure(NOW)

    breaker.reset()
    breaker.failure(NOW)

    assert breaker.closed(NOW)
    assert breaker.reason == ""
