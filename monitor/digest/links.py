"""Signed addresses for mail: who may do what, without a login. Fetching one never changes anything; a POST does.

The purpose is the salt, so a token for one thing opens nothing else. A subscriber's `token_epoch` stands in each token
that acts for them: raise it, and every link mailed before is dead.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.signer import HMACAlgorithm

from monitor.errors import LinkError, MailError
from monitor.model import Subscriber, Subscription, Verdict


class Purpose(StrEnum):
    """What a link is for; the value is the first part of its path."""

    UNSUBSCRIBE = "u"
    PREFERENCES = "preferences"
    PAUSE = "pause"
    CONFIRM = "confirm"
    ADDRESS = "address"
    FEEDBACK = "f"
    VIEW = "view"
    CITE = "cite"
    FEED = "feed"


LIFETIMES = {Purpose.CONFIRM: timedelta(hours=48), Purpose.ADDRESS: timedelta(hours=48)}
_VERDICTS = {Verdict.RELEVANT: 1, Verdict.NOT_RELEVANT: 0}
_FROM_CODE = {code: verdict for verdict, code in _VERDICTS.items()}
MAX_TOKEN = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a genuine token says. Fields that its purpose does not use are empty."""

    purpose: Purpose
    subscriber_id: int = 0
    epoch: int = 0
    subscription_id: int = 0
    period_key: str = ""
    topic_id: int = 0
    article_id: int = 0
    verdict: Verdict | None = None
    email: str = ""
    issued_at: int = 0  # seconds since 1970; 0 where the link never expires

    def check(self, subscriber: Subscriber) -> None:
        """Raise LinkError unless this claim still speaks for `subscriber`."""
        if self.subscriber_id != subscriber.id or self.epoch != subscriber.token_epoch:
            raise LinkError("this link is no longer valid: newer mail carries a newer one")


class _ShortHMAC(HMACAlgorithm):
    """HMAC-SHA-256 cut to 128 bits (RFC 2104, section 5): 22 characters instead of 43 in each of a mail's 100 links."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return super().get_signature(key, value)[:16]


class Links:
    """Makes and reads the signed addresses below `base_url` ("https://host" or "https://host/prefix").

    Without a `base_url` there are no web pages to link to: `web` is false and making an address raises MailError;
    tokens can still be made (for mailto) and read.
    """

    def __init__(self, base_url: str, secret: str) -> None:
        if not secret:
            raise MailError("links cannot be signed without a secret key")
        self.base_url = base_url.strip().rstrip("/")
        if self.base_url and urlsplit(self.base_url).scheme not in {"http", "https"}:
            raise MailError(f"the web address {base_url!r} is neither http nor https")
        self._secret = secret
        self._signers = {
            purpose: URLSafeSerializer(
                secret,
                salt=f"monitor.{purpose.name.lower()}",
                signer_kwargs={"key_derivation": "hmac", "algorithm": _ShortHMAC(hashlib.sha256)},
            )
            for purpose in Purpose
        }

    @property
    def web(self) -> bool:
        return bool(self.base_url)

    def seal(self, text: str) -> str:
        """12 hex digits that nobody without the secret can make for `text`: for Message-ID and the like."""
        return hmac.new(self._secret.encode(), b"monitor.seal:" + text.encode(), hashlib.sha256).hexdigest()[:12]

    # --- links that act for a subscriber ------------------------------------------------------------------------

    def unsubscribe(self, subscriber: Subscriber, subscription: Subscription) -> str:
        """Ends one subscription; never expires (RFC 8058: everything stands in the address)."""
        return self._url(Purpose.UNSUBSCRIBE, self.unsubscribe_token(subscriber, subscription))

    def unsubscribe_token(self, subscriber: Subscriber, subscription: Subscription) -> str:
        return self._token(Purpose.UNSUBSCRIBE, subscriber, subscription.id)

    def preferences(self, subscriber: Subscriber) -> str:
        return self._url(Purpose.PREFERENCES, self._token(Purpose.PREFERENCES, subscriber))

    def pause(self, subscriber: Subscriber, subscription: Subscription) -> str:
        return self._url(Purpose.PAUSE, self._token(Purpose.PAUSE, subscriber, subscription.id))

    def confirm(self, subscriber: Subscriber, now: datetime) -> str:
        """The second half of double opt-in; good for 48 hours."""
        return self._url(Purpose.CONFIRM, self._token(Purpose.CONFIRM, subscriber, int(now.timestamp())))

    def change_address(self, subscriber: Subscriber, email: str, now: datetime) -> str:
        """Mailed to the new address to prove it; good for 48 hours."""
        return self._url(Purpose.ADDRESS, self._token(Purpose.ADDRESS, subscriber, int(now.timestamp()), email))

    def feedback(self, subscriber: Subscriber, topic_id: int, article_id: int, verdict: Verdict) -> str:
        return self._url(
            Purpose.FEEDBACK, self._token(Purpose.FEEDBACK, subscriber, topic_id, article_id, _VERDICTS[verdict])
        )

    def web_view(self, subscriber: Subscriber, subscription: Subscription, period_key: str) -> str:
        return self._url(Purpose.VIEW, self._token(Purpose.VIEW, subscriber, subscription.id, period_key))

    def feed(self, subscriber: Subscriber) -> str:
        return self._url(Purpose.FEED, self._token(Purpose.FEED, subscriber))

    # --- links that act for nobody ------------------------------------------------------------------------------

    def cite(self, article_id: int) -> str:
        """The citation page of one article: the same for every reader, so a forwarded mail gives nothing away."""
        return self._url(Purpose.CITE, self._sign(Purpose.CITE, [article_id]))

    # --- reading ------------------------------------------------------------------------------------------------

    def read(
        self, purpose: Purpose, token: str, *, now: datetime | None = None, max_age: timedelta | None = None
    ) -> Claim:
        """What the token of a `purpose` link says, or LinkError. Ask `Claim.check` whether it was revoked.

        `now` is needed where the purpose expires; `max_age` overrides its lifetime.
        """
        try:
            fields: Any = self._signers[purpose].loads(token) if len(token) <= MAX_TOKEN and token.isascii() else None
        except BadData:
            fields = None
        if not isinstance(fields, list):
            raise LinkError("this link is damaged: copy it whole from the mail")
        claim = _claim(purpose, fields)
        lifetime = max_age or LIFETIMES.get(purpose)
        if lifetime is not None:
            if now is None:
                raise TypeError(f"{purpose.name.lower()} links expire: read() needs now")
            if now.timestamp() - claim.issued_at > lifetime.total_seconds():
                raise LinkError("this link has expired: ask for a new one")
        return claim

    def _token(self, purpose: Purpose, subscriber: Subscriber, *more: int | str) -> str:
        return self._sign(purpose, [subscriber.id, subscriber.token_epoch, *more])

    def _sign(self, purpose: Purpose, fields: list[int | str]) -> str:
        return str(self._signers[purpose].dumps(fields))

    def _url(self, purpose: Purpose, token: str) -> str:
        if not self.base_url:
            raise MailError("no web address is set, so there is no page to link to")
        return f"{self.base_url}/{purpose}/{token}"


def _claim(purpose: Purpose, fields: list[Any]) -> Claim:
    """Name the fields of a genuine token, in the order in which its maker wrote them."""
    match purpose, fields:
        case Purpose.CITE, [article_id]:
            return Claim(purpose=purpose, article_id=article_id)
        case ((Purpose.UNSUBSCRIBE | Purpose.PAUSE), [subscriber_id, epoch, subscription_id]):
            return Claim(purpose=purpose, subscriber_id=subscriber_id, epoch=epoch, subscription_id=subscription_id)
        case ((Purpose.PREFERENCES | Purpose.FEED), [subscriber_id, epoch]):
            return Claim(purpose=purpose, subscriber_id=subscriber_id, epoch=epoch)
        case Purpose.CONFIRM, [subscriber_id, epoch, issued_at]:
            return Claim(purpose=purpose, subscriber_id=subscriber_id, epoch=epoch, issued_at=issued_at)
        case Purpose.ADDRESS, [subscriber_id, epoch, issued_at, email]:
            return Claim(purpose=purpose, subscriber_id=subscriber_id, epoch=epoch, issued_at=issued_at, email=email)
        case Purpose.FEEDBACK, [subscriber_id, epoch, topic_id, article_id, code]:
            return Claim(
                purpose=purpose,
                subscriber_id=subscriber_id,
                epoch=epoch,
                topic_id=topic_id,
                article_id=article_id,
                verdict=_FROM_CODE[code],
            )
        case Purpose.VIEW, [subscriber_id, epoch, subscription_id, period_key]:
            return Claim(
                purpose=purpose,
                subscriber_id=subscriber_id,
                epoch=epoch,
                subscription_id=subscription_id,
                period_key=period_key,
            )
    raise LinkError("this link is from another version of the program")
