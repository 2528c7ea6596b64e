"""A reader's way out, second half: claimed delivery | mailer | settled, with what each answer means."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from monitor import schedule
from monitor.deliver import Breaker, Class, Mailer, classify
from monitor.deliver.bounces import BounceKind, bounce_address
from monitor.errors import (
    DeliveryError,
    DeliveryInDoubt,
    DeliveryRefused,
    NotFound,
    RelayUnreachable,
    RelayUnusable,
    StorageError,
)
from monitor.meter import Meter
from monitor.model import Cadence, Delivery, Level
from monitor.pipeline.bounces import Bounces
from monitor.pipeline.lane import kept
from monitor.spans import OFF, Spans
from storage import Storage

log = logging.getLogger(__name__)
T = TypeVar("T")

BOUNCES = {
    Class.HARD_BOUNCE: BounceKind.HARD,
    Class.SOFT_BOUNCE: BounceKind.SOFT,
    Class.POLICY: BounceKind.POLICY,
}
AGAIN = 0.5  # seconds between two tries to write an answer down
RELAY = "relay"  # the subject of notices about the mail server itself


class Sender:
    """Claimed deliveries in, settled ones out. A claim is committed before the first byte goes out, and every answer is
    committed before the next message; so a crash leaves at most the messages in hand in doubt.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        mailer: Mailer,
        now: Callable[[], datetime],
        lease: timedelta,
        breaker: Breaker,
        bounces: Bounces,
        bounces_to: str = "",
        meter: Meter | None = None,
        spans: Spans = OFF,
    ) -> None:
        self.breaker = breaker
        self._told = {"down", "paused"}  # notices that may be open (from before a restart, too)
        self._storage = storage
        self.mailer = mailer
        self._bounces = bounces
        self._bounces_to = bounces_to
        self._now = now
        self._lease = lease
        self._meter = meter or Meter()
        self._spans = spans

    async def claim(self, limit: int) -> list[Delivery]:
        """What may be sent now: nothing while the breaker is open."""
        now = self._now()
        if not self.breaker.closed(now):
            return []
        return await self._storage.outbox.claim_due(now, limit, self._lease)

    async def deliver(self, delivery: Delivery) -> None:
        """Send one claimed delivery and settle it. Raises nothing that a mail server can cause."""
        outbox = self._storage.outbox
        async with kept(lambda: outbox.renew(delivery, self._now() + self._lease), self._lease):
            try:
                await self._send(delivery)
            except DeliveryInDoubt as error:
                reason = error.reason
                await self._surely(lambda: outbox.in_doubt(delivery, reason, self._now()))
                self._meter.messages.add("in_doubt")
                log.warning("in doubt delivery=%d reason=%s", delivery.id, error.reason)
            except (RelayUnreachable, RelayUnusable) as error:
                await self._relay_down(delivery, error)
            except DeliveryRefused as error:
                await self._refused(delivery, error)
            except DeliveryError as error:
                await self._deferred(delivery, error)
            else:
                await self._surely(lambda: outbox.accepted(delivery, self._now()))
                self._meter.messages.add("accepted")
                await self._count(Class.OK)
                log.info("accepted delivery=%d", delivery.id)

    async def _surely(self, settle: Callable[[], Awaitable[T]]) -> T:
        """Only we know what the relay said: it is written down when the database is back, unless that takes longer than
        a lease. Asking once more after a lost answer changes nothing.
        """
        last = time.monotonic() + self._lease.total_seconds()
        while True:
            try:
                return await settle()
            except StorageError as error:
                if time.monotonic() > last:
                    raise
                log.warning("not settled yet reason=%s", error)
                await asyncio.sleep(AGAIN)

    async def _send(self, delivery: Delivery) -> None:
        """The message, or its compact form where the server finds it too big. Not without the claim."""
        with self._spans.span("send", delivery=delivery.id, attempt=delivery.attempts):
            await self._hand_over(delivery)

    async def _hand_over(self, delivery: Delivery) -> None:
        message = delivery.message
        if self._bounces_to:
            message = replace(message, sender=bounce_address(self._bounces_to, delivery.id, self._bounces.secret))
        try:
            await self.mailer.send(message)
        except DeliveryRefused as error:
            if classify(error.code, error.status) is not Class.TOO_BIG or not message.compact:
                raise
            await self.mailer.send(replace(message, data=message.compact))

    async def _relay_down(self, delivery: Delivery, error: DeliveryError) -> None:
        """The relay's own trouble: nobody's message ages by it, and the rest waits until it works again."""
        now = self._now()
        self.breaker.trip(now)
        retry_at = self.breaker.open_until or now
        await self._storage.outbox.deferred(delivery, error.reason, retry_at, now, counts=False)
        self._meter.messages.add("deferred")
        text = (
            f"The mail server does not take our mail: {error.reason}. Nothing is lost; it is tried every few minutes."
        )
        await self._tell_of_relay("down", text)
        log.error("relay down reason=%s", error.reason)

    async def _refused(self, delivery: Delivery, error: DeliveryRefused) -> None:
        kind = classify(error.code, error.status)
        if not await self._surely(lambda: self._storage.outbox.failed(delivery, error.reason, self._now())):
            return  # another took over while we waited for the answer: what it hears counts
        await self._count(kind)
        self._meter.messages.add("failed")
        log.warning("refused delivery=%d class=%s reason=%s", delivery.id, kind.value, error.reason)
        if kind in BOUNCES:
            await self._surely(lambda: self._bounces.note(delivery, BOUNCES[kind], error.status, error.reason))
        else:
            text = f"A message was refused, not for its reader's fault: {error.reason}. See `monitor outbox list`."
            await self._tell(delivery, "refused", text)

    async def _deferred(self, delivery: Delivery, error: DeliveryError) -> None:
        now = self._now()
        await self._count(Class.RETRY)
        retry_at = schedule.next_send(
            delivery.attempts,
            delivery.first_tried_at,
            now,
            give_up_after=schedule.give_up_after(await self._cadence(delivery)),
        )
        if retry_at is None:
            reason = f"given up after {delivery.attempts} tries: {error.reason}"
            await self._storage.outbox.failed(delivery, reason, now)
            self._meter.messages.add("failed")
            await self._tell(delivery, "given-up", f"A message was {reason}. See `monitor outbox list`.")
            return
        await self._storage.outbox.deferred(delivery, error.reason, retry_at, now)
        self._meter.messages.add("deferred")
        log.warning("deferred delivery=%d until=%s reason=%s", delivery.id, retry_at, error.reason)

    async def _count(self, outcome: Class) -> None:
        """Let the breaker know, and the admin if it opens; an answer at all says that the relay is there."""
        now = self._now()
        if outcome is Class.OK:
            self.breaker.success()
        else:
            self.breaker.failure(now, hard=outcome is Class.HARD_BOUNCE)
        if not self.breaker.closed(now):
            text = f"Sending is paused until {self.breaker.open_until:%H:%M} UTC: {self.breaker.reason}."
            await self._tell_of_relay("paused", text)
        elif outcome is Class.OK and self._told:
            told, self._told = self._told, set()  # at once: other messages are settled while we wait for the database
            for code in sorted(told):
                await self._storage.notices.close(RELAY, code, now)

    async def _tell_of_relay(self, code: str, text: str) -> None:
        self._told.add(code)
        await self._storage.notices.raise_once(RELAY, code, Level.ERROR, text, self._now())

    async def _tell(self, delivery: Delivery, code: str, text: str) -> None:
        await self._storage.notices.raise_once(f"delivery:{delivery.id}", code, Level.ERROR, text, self._now())

    async def _cadence(self, delivery: Delivery) -> Cadence:
        if delivery.subscription_id is None:
            return Cadence.DAILY  # a confirmation is of no use after a day
        try:
            return (await self._storage.readers.subscription(delivery.subscription_id)).cadence
        except NotFound:
            return Cadence.DAILY
