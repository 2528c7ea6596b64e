"""Mail that comes back: whose it is, what it says, and what follows for the reader."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from monitor.deliver.bounces import Bounce, BounceKind, Judgement, Outcome, judge, read_bounce
from monitor.errors import NotFound
from monitor.meter import Meter
from monitor.model import Delivery, Level, Subscriber, SubscriberState
from storage import Storage

log = logging.getLogger(__name__)

HARMLESS = frozenset({BounceKind.AUTO_REPLY, BounceKind.DELAY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounces:
    """Returned mail in, readers suspended only for what is their mailbox's fault."""

    storage: Storage
    now: Callable[[], datetime]
    secret: bytes
    domain: str  # of the envelope sender, where bounces arrive
    meter: Meter = field(default_factory=Meter)

    async def take(self, raw: bytes) -> str:
        """Act on one returned mail; what was done, in words. The same mail twice changes nothing more.

        It counts only for a delivery that its address proves (HMAC) or whose Message-ID it quotes.
        """
        bounce = read_bounce(raw, self.secret, self.domain)
        if bounce is None:
            return "no bounce"
        delivery = await self._delivery(bounce)
        if delivery is None:
            return f"{bounce.kind}, but of no delivery that we know"
        what = f"{bounce.kind} for delivery {delivery.id}"
        if bounce.kind in HARMLESS:
            return f"{what}: nothing to do"
        done = await self.note(delivery, bounce.kind, bounce.status, bounce.diagnostic)
        await self.storage.audit.note(f"took in a {what}", "", done)
        return f"{what}: {done}"

    async def note(self, delivery: Delivery, kind: BounceKind, status: str, diagnostic: str) -> str:
        """Record one bounce, at the relay's door or come back later, and do what follows; what was done, in words."""
        new = await self.storage.outbox.bounced(delivery.id, kind.value, status, diagnostic, self.now())
        if not new:
            return "known already"
        self.meter.bounces.add(kind.value)
        log.warning("bounce delivery=%d kind=%s status=%s", delivery.id, kind, status)
        if kind is BounceKind.POLICY:
            await self._tell_policy(delivery, diagnostic)
            return "an admin was told"
        return await self._judge(delivery, diagnostic or status)

    async def _delivery(self, bounce: Bounce) -> Delivery | None:
        which = bounce.delivery_id or bounce.message_id
        if not which:
            return None
        try:
            return await self.storage.outbox.get(which)
        except NotFound:
            return None

    async def _judge(self, delivery: Delivery, reason: str) -> str:
        reader = await self.storage.readers.get_by_id(delivery.subscriber_id)
        history = [
            Outcome(delivery_id=number, at=at, kind=BounceKind(kind) if kind else None)
            for number, at, kind in await self.storage.outbox.bounces(reader.id)
        ]
        match judge(history):
            case Judgement.UNSUBSCRIBE:
                return await self._end(reader, SubscriberState.UNSUBSCRIBED, "called our mail spam")
            case Judgement.SUSPEND:
                return await self._end(reader, SubscriberState.SUSPENDED, reason)
            case Judgement.IGNORE:
                return "noted"

    async def _end(self, reader: Subscriber, state: SubscriberState, reason: str) -> str:
        if reader.state is SubscriberState.ACTIVE:
            await self.storage.readers.update(replace(reader, state=state, state_reason=reason))
            if state is SubscriberState.UNSUBSCRIBED:
                self.meter.unsubscribes.add("complaint")
            text = f"{reader.email} is {state.value}: {reason}"
            await self.storage.notices.raise_once(f"reader:{reader.id}", "bounced", Level.WARNING, text, self.now())
        return f"reader {state.value}"

    async def _tell_policy(self, delivery: Delivery, reason: str) -> None:
        domain = delivery.message.recipient.rpartition("@")[2]
        text = f"Mail to {domain} is refused by its policy, not for the reader's fault: {reason}"
        await self.storage.notices.raise_once(f"domain:{domain}", "policy", Level.ERROR, text, self.now())
