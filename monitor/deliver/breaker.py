"""When to stop sending, so that a fault of ours does not become a thousand refusals."""

from __future__ import annotations

from datetime import datetime, timedelta

FAILURES_IN_A_ROW = 10
HARD_SHARE = 0.2
HARD_SAMPLE = 20
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)


class Breaker:
    """Opens after 10 failures in a row, or when over 20 % of at least 20 messages of a run bounced hard.

    Open, it lets nothing through until the cool-down is over or an admin resets it; then one more failure opens it
    again. A relay that cannot be used at all trips it for a minute, and longer each time, up to a quarter of an hour.
    `reason` says in words why it is open. The time is always an argument.
    """

    def __init__(self, cool_down: timedelta = timedelta(hours=1)) -> None:
        self._cool_down = cool_down
        self._in_a_row = self._tried = self._hard = self._trips = 0
        self._dead_mailboxes = False
        self.open_until: datetime | None = None
        self.reason = ""

    def closed(self, now: datetime) -> bool:
        """Whether messages may be sent."""
        return self.open_until is None or now >= self.open_until

    def success(self) -> None:
        """One message was accepted. Ends a pause for failures in a row, but not one for dead mailboxes."""
        self._tried += 1
        self._in_a_row = self._trips = 0
        if not self._dead_mailboxes:
            self.open_until, self.reason = None, ""

    def failure(self, now: datetime, *, hard: bool = False) -> None:
        """One message failed; `hard` when its mailbox does not exist."""
        self._tried += 1
        self._in_a_row += 1
        self._hard += hard
        if self._in_a_row >= FAILURES_IN_A_ROW:
            self._open(now, self._cool_down, f"{self._in_a_row} messages in a row failed")
        elif self._tried >= HARD_SAMPLE and self._hard > HARD_SHARE * self._tried:
            self._open(now, self._cool_down, f"{self._hard} of {self._tried} messages found no mailbox")
            self._dead_mailboxes = True

    def trip(self, now: datetime) -> None:
        """The relay itself cannot be used: pause. Further reports of the same pause do not lengthen it."""
        if not self.closed(now):
            return
        pause = min(FIRST_PAUSE * 2 ** min(self._trips, 10), LONGEST_PAUSE)
        self._trips += 1
        self._open(now, pause, "the mail server cannot be used")

    def new_run(self) -> None:
        """Count the share of hard bounces anew."""
        self._tried = self._hard = 0

    def reset(self) -> None:
        """Closed, with nothing remembered: an admin's decision."""
        self._in_a_row = self._tried = self._hard = self._trips = 0
        self._dead_mailboxes = False
        self.open_until, self.reason = None, ""

    def _open(self, now: datetime, pause: timedelta, reason: str) -> None:
        self.open_until, self.reason = now + pause, reason
        self._dead_mailboxes = False
        self.new_run()
