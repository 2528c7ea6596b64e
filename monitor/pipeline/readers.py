"""What a reader, or an admin for them, may ask for: sign up, confirm, change, pause, leave, judge."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from monitor import schedule
from monitor.digest import Letterhead, Links
from monitor.digest.letters import address_change, confirmation, invitation
from monitor.errors import LinkError, MonitorError, NotFound
from monitor.meter import Meter
from monitor.model import Delivery, Label, Message, Subscriber, SubscriberState, Subscription, Verdict
from storage import Storage

BETWEEN_CONFIRMATIONS = timedelta(minutes=10)  # one address is not mailed more often, whoever types it into the form


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Every change of a reader or a subscription passes here, so that due times and states stay right."""

    storage: Storage
    letterhead: Letterhead
    links: Links
    now: Callable[[], datetime]
    meter: Meter = field(default_factory=Meter)

    async def add(self, subscriber: Subscriber, subscription: Subscription) -> tuple[Subscriber, Subscription]:
        """An admin adds a reader (or one more subscription to one). An INVITED one is mailed and must confirm first.

        Raises MonitorError for a wrong or suppressed address.
        """
        email = check_address(subscriber.email)
        if reason := await self.storage.readers.suppressed(email):
            raise MonitorError(f"{email} must not be mailed: {reason}")
        wanted = replace(subscriber, email=email)
        known, added = await self.storage.readers.enrol(wanted, self._timed(subscription), self.now())
        if known.state is SubscriberState.INVITED:
            topics = await self.topics_of([added])
            letter = invitation(
                known,
                self.letterhead,
                self.links,
                now=self.now(),
                invited_by=self.letterhead.sender_name,
                topics=list(topics.values()),
            )
            await self._mail(known, letter, "invitation")
        return known, added

    async def sign_up(self, email: str, name: str, subscription: Subscription) -> None:
        """The first half of double opt-in. Its outside is the same for every address, known or not: no oracle."""
        email = check_address(email)
        if await self.storage.readers.suppressed(email):
            return
        try:
            reader = await self.storage.readers.get(email)
        except NotFound:
            wanted = Subscriber(email=email, name=name, state=SubscriberState.PENDING)
            reader = await self.storage.readers.add_subscriber(wanted, self.now())
        if reader.state is SubscriberState.ACTIVE:
            return
        if not await self.storage.readers.subscriptions(reader.id):
            await self.storage.readers.add_subscription(self._timed(replace(subscription, subscriber_id=reader.id)))
        await self._mail(reader, confirmation(reader, self.letterhead, self.links, now=self.now()), "confirmation")

    async def confirm(self, reader: Subscriber) -> Subscriber:
        """The second half: from now on digests are sent, beginning with the next due time."""
        active = replace(reader, state=SubscriberState.ACTIVE, state_reason="")
        await self.storage.readers.update(active)
        for subscription in await self.storage.readers.subscriptions(reader.id):
            await self.storage.readers.update_subscription(self._timed(replace(subscription, active=True)))
        return active

    async def change(self, subscription: Subscription) -> Subscription:
        """Store new preferences and move the due time with them. Raises ConfigError for an unknown time zone."""
        return await self.storage.readers.update_subscription(self._timed(subscription))

    async def pause(self, subscription: Subscription, until: date | None) -> Subscription:
        """No digest before the local date `until`; None ends a pause. What was found meanwhile comes after it."""
        return await self.change(replace(subscription, paused_until=until))

    async def unsubscribe(self, reader: Subscriber, subscription_id: int | None = None, *, via: str = "link") -> None:
        """End one subscription, or (None) all. Doing it twice is the same as once."""
        subscriptions = await self.storage.readers.subscriptions(reader.id)
        for subscription in subscriptions:
            if subscription.active and subscription_id in (None, subscription.id):
                await self.storage.readers.update_subscription(replace(subscription, active=False, next_digest_at=None))
        left = [s for s in subscriptions if s.active and subscription_id is not None and s.id != subscription_id]
        if not left and reader.state is not SubscriberState.UNSUBSCRIBED:
            gone = replace(reader, state=SubscriberState.UNSUBSCRIBED, state_reason="asked for it")
            await self.storage.readers.update(gone)
            self.meter.unsubscribes.add(via)

    async def put_state(self, reader: Subscriber, to: str) -> Subscriber:
        """An admin lets a reader who bounced have mail again, or ends it all for one who asks by phone. Consent is the
        reader's own to give: no other change is made for them. Raises MonitorError.
        """
        if to == SubscriberState.UNSUBSCRIBED:
            await self.unsubscribe(reader, via="admin")
        elif to == SubscriberState.ACTIVE and reader.state is SubscriberState.SUSPENDED:
            await self.storage.readers.update(replace(reader, state=SubscriberState.ACTIVE, state_reason=""))
        elif to != reader.state:
            raise MonitorError(f"a reader who is {reader.state.value} cannot be made {to}")
        return await self.storage.readers.get_by_id(reader.id)

    async def twin(self, reader: Subscriber, wanted: Subscription) -> Subscription | None:
        """The reader's active subscription to the same topics at the same times, if there is one."""

        def what(one: Subscription) -> tuple[object, ...]:
            return frozenset(one.topic_ids), one.cadence, one.weekday, one.monthday, one.at, one.timezone

        theirs = await self.storage.readers.subscriptions(reader.id)
        return next((one for one in theirs if one.active and what(one) == what(wanted)), None)

    async def ask_new_address(self, reader: Subscriber, email: str) -> None:
        """Mail a link to the new address; nothing changes until it is opened and confirmed there."""
        email = check_address(email)
        if await self.storage.readers.suppressed(email):
            return
        message = address_change(reader, email, self.letterhead, self.links, now=self.now())
        await self._mail(replace(reader, email=email), message, "address")

    async def take_new_address(self, reader: Subscriber, email: str) -> Subscriber:
        """Raises MonitorError when somebody else has that address meanwhile. Every older link is dead from then on."""
        moved = replace(reader, email=email, token_epoch=reader.token_epoch + 1)
        return await self.storage.readers.update(moved)

    async def revoke_links(self, reader: Subscriber) -> Subscriber:
        """Every link mailed before is dead; the next mail carries new ones."""
        return await self.storage.readers.update(replace(reader, token_epoch=reader.token_epoch + 1))

    async def judge(self, reader: Subscriber, topic_id: int, article_id: int, verdict: Verdict, reason: str) -> None:
        """A reader's relevant / not relevant; the latest one counts."""
        label = Label(
            topic_id=topic_id,
            article_id=article_id,
            verdict=verdict,
            by=f"reader:{reader.id}",
            reason=reason[:200],
            labelled_at=self.now(),
        )
        await self.storage.topics.label(label)

    async def unjudge(self, reader: Subscriber, topic_id: int, article_id: int) -> bool:
        return await self.storage.topics.unlabel(topic_id, article_id, f"reader:{reader.id}")

    async def topics_of(self, subscriptions: Sequence[Subscription]) -> dict[int, str]:
        """Names of the topics of these subscriptions."""
        ids = sorted({topic_id for subscription in subscriptions for topic_id in subscription.topic_ids})
        return {topic.id: topic.name for topic in await self.storage.topics.get_many(ids)}

    def _timed(self, subscription: Subscription) -> Subscription:
        return replace(subscription, next_digest_at=schedule.next_digest(subscription, self.now()))

    async def _mail(self, reader: Subscriber, message: Message, kind: str) -> None:
        """Queue a letter; its key is its ten minutes, so a form filled in again and again sends one."""
        now = self.now()
        slot = int(now.timestamp() // BETWEEN_CONFIRMATIONS.total_seconds())
        delivery = Delivery(
            subscription_id=None, subscriber_id=reader.id, period_key=f"{kind}-{slot}", message=message, queued_at=now
        )
        await self.storage.outbox.enqueue_mail(delivery)


def check_address(text: str) -> str:
    """An address we can send to. Raises MonitorError that says what is wrong with it."""
    address = text.strip()
    if re.fullmatch(r"channel:[a-z0-9-]{1,64}", address):
        return address
    local, at, domain = address.rpartition("@")
    well = at and local and "@" not in local and len(address) <= 254 and len(local) <= 64
    if not well or not re.fullmatch(r"[^\s<>(),;:\\\"\[\]@\x00-\x1f]+", local):
        raise MonitorError(f"{text[:80]!r} is not a mail address: expected name@domain")
    labels = domain.split(".")
    if any(not re.fullmatch(r"[^\W_](?:[\w-]{0,61}[^\W_])?", label) for label in labels):
        raise MonitorError(f"{text[:80]!r} is not a mail address: {domain!r} is not a domain")
    return address


def own(claimed_id: int, subscriptions: Sequence[Subscription]) -> Subscription:
    """The reader's own subscription of that number. Raises LinkError for anybody else's."""
    for subscription in subscriptions:
        if subscription.id == claimed_id:
            return subscription
    raise LinkError("this subscription does not exist any more")
