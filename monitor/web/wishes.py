"""What a reader subscribes to: one form, for the reader's own page and for the admin who helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from typing import Self, TypeVar

from starlette.datastructures import FormData

from monitor import schedule
from monitor.errors import ConfigError, MonitorError
from monitor.model import Cadence, EmptyRule, Subscription, Topic

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SWITCHES = ("near_misses", "repeat", "safety_at_once")
MAX_FIELDS = 1_500  # a box for each topic

Choice = TypeVar("Choice", Cadence, EmptyRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """A subscription as its form holds it: text, that may be wrong."""

    topics: frozenset[str] = frozenset()
    values: Mapping[str, str]
    on: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    @classmethod
    def of(cls, one: Subscription, topics: Sequence[Topic] = ()) -> Self:
        """As it is stored; `topics` are those that the form offers."""
        return cls(
            topics=frozenset(topic.slug for topic in topics if topic.id in one.topic_ids),
            values={
                "cadence": one.cadence.value,
                "weekday": str(one.weekday),
                "monthday": str(one.monthday),
                "at": f"{one.at:%H:%M}",
                "timezone": one.timezone,
                "empty": one.empty.value,
                "max_items": str(one.max_items),
                "paused_until": one.paused_until.isoformat() if one.paused_until else "",
            },
            on=frozenset(name for name in SWITCHES if getattr(one, name)),
        )

    @classmethod
    def sent(cls, form: FormData, before: Subscription) -> Self:
        """As somebody sent it; what the form does not ask for stays as it was, but a box that is not ticked is off."""
        kept = cls.of(before).values
        return cls(
            topics=frozenset(str(slug) for slug in form.getlist("topics")),
            values={name: str(form.get(name, value))[:64].strip() for name, value in kept.items()},
            on=frozenset(name for name in SWITCHES if form.get(name) == "yes"),
        )

    def subscription(self, before: Subscription, topics: Sequence[Topic]) -> Subscription:
        """`before` with these wishes. Of its topics, those that are not offered now (they are off) stay. Raises
        MonitorError that names the field.
        """
        offered = {topic.id for topic in topics}
        chosen = [topic.id for topic in topics if topic.slug in self.topics]
        if not chosen:
            raise MonitorError("choose at least one topic")
        try:
            zone = str(schedule.timezone(self["timezone"]))
        except ConfigError as error:
            raise MonitorError(f"time zone: {error}") from error
        return replace(
            before,
            topic_ids=(*chosen, *(number for number in before.topic_ids if number not in offered)),
            cadence=_one_of(Cadence, "how often", self["cadence"]),
            weekday=_number("weekday", self["weekday"], 0, 6),
            monthday=_number("day of the month", self["monthday"], 1, 31),
            at=_time(self["at"]),
            timezone=zone,
            empty=_one_of(EmptyRule, "when there is nothing new", self["empty"]),
            max_items=_number("articles at most", self["max_items"], 5, 200),
            paused_until=read_date(self["paused_until"]),
            near_misses="near_misses" in self.on,
            repeat="repeat" in self.on,
            safety_at_once="safety_at_once" in self.on,
        )


def _one_of(kind: type[Choice], field: str, text: str) -> Choice:
    try:
        return kind(text)
    except ValueError as error:
        raise MonitorError(f"{field}: {text!r} is none of {', '.join(kind)}") from error


def _number(field: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and least <= int(text) <= most):
        raise MonitorError(f"{field}: {text!r} is no number from {least} to {most}")
    return int(text)


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text).replace(second=0, microsecond=0, tzinfo=None)
    except ValueError as error:
        raise MonitorError(f"hour: {text!r} is no time: write it like 07:00") from error


def read_date(text: str) -> date | None:
    """Empty: none. Raises MonitorError."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise MonitorError(f"{text[:40]!r} is not a date: write it like 2026-12-24") from error
