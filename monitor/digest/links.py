"""Signed addresses for mail: who may do what, without a login. Fetching one never changes anything; a POST does.

The purpose is the salt, so a token for one thing opens nothing else. A subscriber's `token_epoch` stands in each token
that acts for them: raise it, and every link mailed before is dead.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode
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
    TOPIC = "topic-feed"


LIFETIMES = {Purpose.CONFIRM: timedelta(hours=48), Purpose.ADDRESS: timedelta(hours=48)}
_VERDICTS = {Verdict.RELEVANT: 1, Verdict.NOT_RELEVANT: 0}
_FROM_CODE = {code: verdict for verdict, code in _VERDICTS.items()}
MAX_TOKEN = 2048
_BASE_URL = re.compile(r"https?://[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]*(?:/[A-Za-z0-9._~/-]*)?")  # nothing to escape
FIELD = "~"  # needs no escape in an address


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
        return hmac.digest(key, value, "sha256")[:16]


class Links:
    """Makes and reads the signed addresses below `base_url` ("https://host" or "https://host/prefix").

    Without a `base_url` there are no web pages to link to: `web` is false and making an address raises MailError;
    tokens can still be made (for mailto) and read.
    """

    def __init__(self, base_url: str, secret: str) -> None:
        if not secret:
            raise MailError("links cannot be signed without a secret key")
        self.base_url = base_url.strip().rstrip("/")
        if self.base_url and not _BASE_URL.fullmatch(self.base_url):
            raise MailError(f"the web address {base_url!r} is not a plain http or https address")
        self._secret = secret
        self._signers = {purpose: self._signer(purpose) for purpose in Purpose}

    def _signer(self, purpose: Purpose) -> Signer:
        """The purpose's own key is derived here once; with itsdangerous's derivation it would be for each link."""
        key = hmac.new(self._secret.encode(), f"monitor.{purpose.name.lower()}".encode(), hashlib.sha256).digest()
        return Signer(key, key_derivation="none", algorithm=_ShortHMAC())

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
        return self._url(Purpose.CITE, self._sign(Purpose.CITE, article_id))

    def topic_feed(self, topic_id: int) -> str:
        """A topic's Atom feed, for whoever has its address: feed readers cannot log in."""
        return self._url(Purpose.TOPIC, self._sign(Purpose.TOPIC, topic_id))

    # --- reading ------------------------------------------------------------------------------------------------

    def read(
        self, purpose: Purpose, token: str, *, now: datetime | None = None, max_age: timedelta | None = None
    ) -> Claim:
        """What the token of a `purpose` link says, or LinkError. Ask `Claim.check` whether it was revoked.

        `now` is needed where the purpose expires; `max_age` overrides its lifetime.
        """
        try:
            if len(token) > MAX_TOKEN or not token.isascii():
                raise BadSignature("not one of ours")
            fields = self._signers[purpose].unsign(token).decode("ascii").split(FIELD)
        except BadSignature:
            raise LinkError("this link is damaged: copy it whole from the mail") from None
        claim = _claim(purpose, fields)
        lifetime = max_age or LIFETIMES.get(purpose)
        if lifetime is not None:
            if now is None:
                raise TypeError(f"{purpose.name.lower()} links expire: read() needs now")
            if now.timestamp() - claim.issued_at > lifetime.total_seconds():
                raise LinkError("this link has expired: ask for a new one")
        return claim

    def _token(self, purpose: Purpose, subscriber: Subscriber, *more: int | str) -> str:
        return self._sign(purpose, subscriber.id, subscriber.token_epoch, *more)

    def _sign(self, purpose: Purpose, *fields: int | str) -> str:
        """Numbers as they are, words in base64, so that a field never holds a separator: 7~2~1~200~1.signature"""
        payload = FIELD.join(str(field) if isinstance(field, int) else _packed(field) for field in fields)
        return self._signers[purpose].sign(payload).decode("ascii")

    def _url(self, purpose: Purpose, token: str) -> str:
        if not self.base_url:
            raise MailError("no web address is set, so there is no page to link to")
        return f"{self.base_url}/{purpose}/{token}"


def _packed(words: str) -> str:
    return base64_encode(words).decode("ascii")


# What stands in a token of each purpose, in order.
_ACTS_FOR = ("subscriber_id", "epoch")
_FIELDS: dict[Purpose, tuple[str, ...]] = {
    Purpose.UNSUBSCRIBE: (*_ACTS_FOR, "subscription_id"),
    Purpose.PREFERENCES: _ACTS_FOR,
    Purpose.PAUSE: (*_ACTS_FOR, "subscription_id"),
    Purpose.CONFIRM: (*_ACTS_FOR, "issued_at"),
    Purpose.ADDRESS: (*_ACTS_FOR, "issued_at", "email"),
    Purpose.FEEDBACK: (*_ACTS_FOR, "topic_id", "article_id", "verdict"),
    Purpose.VIEW: (*_ACTS_FOR, "subscription_id", "period_key"),
    Purpose.CITE: ("article_id",),
    Purpose.FEED: _ACTS_FOR,
    Purpose.TOPIC: ("topic_id",),
}


def _claim(purpose: Purpose, fields: list[str]) -> Claim:
    """Name the fields of a genuine token."""
    names = _FIELDS[purpose]
    if len(names) != len(fields):
        raise LinkError("this link is from another version of the program")
    values: dict[str, Any] = {}
    for name, field in zip(names, fields, strict=True):
        if name in {"email", "period_key"}:
            values[name] = base64_decode(field).decode()
        else:
            values[name] = _FROM_CODE[int(field)] if name == "verdict" else int(field)
    return Claim(purpose=purpose, **values)
