"""A reader's way out, second half: claimed delivery | mailer | settled, with what each answer means."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor import schedule
from monitor.deliver import Breaker, Class, Mailer, classify
from monitor.errors import DeliveryError, DeliveryInDoubt, DeliveryRefused, RelayUnusable
from monitor.model import Delivery, Level, SubscriberState
from monitor.pipeline.lane import kept
from storage import Storage

log = logging.getLogger(__name__)

RELAY = "relay"  # the subject of notices about the mail server itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Claimed deliveries in, settled ones out. A claim is committed before the first byte goes out, and every answer is
    committed before the connection is used again; so a crash leaves at most the message in hand in doubt.
    """

    storage: Storage
    mailer: Mailer
    breaker: Breaker
    now: Callable[[], datetime]
    lease: timedelta

    async def claim(self, limit: int) -> list[Delivery]:
        """What may be sent now. Nothing while the breaker is open."""
        if not self.breaker.closed(self.now()):
            return []
        return await self.storage.outbox.claim_due(self.now(), limit, self.lease)

    async def deliver(self, delivery: Delivery) -> None:
        """Send one claimed delivery and settle it. Raises nothing that the mail server can cause."""
        async with kept(
            lambda: self.storage.outbox.renew(delivery.id, delivery.epoch, self.now() + self.lease), self.lease
        ):
            try:
                await self._send(delivery)
            except DeliveryInDoubt as error:
                await self._in_doubt(delivery, error)
            except RelayUnusable as error:
                await self._relay_down(delivery, error)
            except DeliveryRefused as error:
                await self._refused(delivery, error)
            except DeliveryError as error:
                await self._deferred(delivery, error)
            else:
                await self.storage.outbox.accepted(delivery, self.now())
                await self.storage.notices.close(RELAY, "down", self.now())
                self.breaker.success()
                log.info("accepted delivery=%d", delivery.id)

    async def _send(self, delivery: Delivery) -> None:
        try:
            await self.mailer.send(delivery.message)
        except DeliveryRefused as error:
            if classify(error.code, error.status) is not Class.TOO_BIG or not delivery.message.compact:
                raise
            await self.mailer.send(replace(delivery.message, data=delivery.message.compact))

    async def _in_doubt(self, delivery: Delivery, error: DeliveryInDoubt) -> None:
        await self.storage.outbox.in_doubt(delivery, error.reason, self.now())
        log.warning("in doubt delivery=%d reason=%s", delivery.id, error.reason)

    async def _relay_down(self, delivery: Delivery, error: DeliveryError) -> None:
        """The relay's own trouble: nobody's message ages by it, and the rest waits until it works again."""
        now = self.now()
        self.breaker.trip(now)
        retry_at = schedule.relay_retry(now)
        await self.storage.outbox.deferred(delivery, error.reason, retry_at, now, ages=False)
        text = f"The mail server does not take our mail: {error.reason}. Nothing is lost; the outbox is tried again."
        await self.storage.notices.raise_once(RELAY, "down", Level.ERROR, text, now)
        log.error("relay unusable reason=%s", error.reason)

    async def _refused(self, delivery: Delivery, error: DeliveryRefused) -> None:
        now = self.now()
        kind = classify(error.code, error.status)
        await self.storage.outbox.failed(delivery, error.reason, now)
        self.breaker.failure(now, hard=kind is Class.HARD_BOUNCE)
        log.warning("refused delivery=%d class=%s reason=%s", delivery.id, kind.value, error.reason)
        if kind is Class.HARD_BOUNCE:
            await self.storage.readers.set_state(delivery.subscriber_id, SubscriberState.SUSPENDED, error.reason)
            text = f"A reader's address does not exist any more and was suspended: {error.reason}"
            await self.storage.notices.raise_once(f"reader:{delivery.subscriber_id}", "bounced", Level.WARNING, text, now)
        else:
            text = f"A message was refused for good, not for its reader's fault: {error.reason}. See `monitor outbox list`."
            await self.storage.notices.raise_once(f"delivery:{delivery.id}", "refused", Level.ERROR, text, now)

    async def _deferred(self, delivery: Delivery, error: DeliveryError) -> None:
        now = self.now()
        if error.code is None:  # never got an answer about this message: the relay cannot be reached
            await self._relay_down(delivery, error)
            return
        self.breaker.failure(now, hard=False)
        retry_at = schedule.next_send(delivery.attempts, delivery.first_tried_at or now, now)
        if retry_at is None:
            await self.storage.outbox.failed(delivery, f"given up after {delivery.attempts} tries: {error.reason}", now)
            text = f"A message was put off too often and given up: {error.reason}. See `monitor outbox list`."
            await self.storage.notices.raise_once(f"delivery:{delivery.id}", "given-up", Level.ERROR, text, now)
            return
        await self.storage.outbox.deferred(delivery, error.reason, retry_at, now)
        log.warning("deferred delivery=%d until=%s reason=%s", delivery.id, retry_at, error.reason)
