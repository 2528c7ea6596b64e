"""Identity tokens (OpenID Connect Core 1.0, sections 2 and 3.1.3.7): whether one is genuine, for us, and of now.

Only signatures by a public key count: a token that says "none", or that is "signed" with a public key as if that were a
shared secret, is refused before its signature is looked at.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from monitor.errors import MonitorError

ALGORITHMS = {
    **{f"{kind}{bits}": "RSA" for kind in ("RS", "PS") for bits in (256, 384, 512)},
    **{f"ES{bits}": "EC" for bits in (256, 384, 512)},
}
LEAST_BITS = 2048  # of an RSA key
MOST_KEYS = 50
CLOCKS_DIFFER = timedelta(seconds=60)
OLDEST = timedelta(minutes=10)  # since it was issued: we ask for it at once
_REGISTRY = jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)

Claims = dict[str, Any]


class TokenRefused(MonitorError):
    """The identity token is not to be believed; the text says why, for an admin."""


class KeyUnknown(TokenRefused):
    """Signed by a key that is not among those known: the provider may have changed its keys."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    kid: str
    kind: str  # "RSA" or "EC"
    algorithm: str  # empty: any of its kind
    key: RSAKey | ECKey


def read_json(data: bytes | str) -> Claims:
    """A JSON object from outside. Raises TokenRefused for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TokenRefused("what should be JSON is none") from error
    if not isinstance(value, dict):
        raise TokenRefused("what should be a JSON object is another value")
    return value


def read_keys(document: bytes) -> tuple[PublicKey, ...]:
    """The public keys for signatures of a JWK set (RFC 7517); whatever else is in it is left out."""
    listed = read_json(document).get("keys")
    found = (_key(one) for one in listed[:MOST_KEYS]) if isinstance(listed, list) else ()
    return tuple(key for key in found if key is not None)


def _key(one: object) -> PublicKey | None:
    if not isinstance(one, dict) or one.get("kty") not in {"RSA", "EC"} or one.get("use", "sig") != "sig":
        return None
    names = ("kty", "n", "e") if one["kty"] == "RSA" else ("kty", "crv", "x", "y")
    public: dict[str, str | list[str]] = {name: str(one.get(name, "")) for name in names}
    try:
        key: RSAKey | ECKey = RSAKey.import_key(public) if one["kty"] == "RSA" else ECKey.import_key(public)
        if isinstance(key, RSAKey) and key.public_key.key_size < LEAST_BITS:
            return None
    except (JoseError, ValueError, TypeError, KeyError):  # cryptography's own words for numbers that are no key
        return None
    algorithm, kid = one.get("alg"), one.get("kid")
    return PublicKey(
        kid if isinstance(kid, str) else "", one["kty"], algorithm if isinstance(algorithm, str) else "", key
    )


def read_claims(token: str, keys: Sequence[PublicKey]) -> Claims:
    """What a token says whose signature is by one of `keys`. Raises KeyUnknown, or TokenRefused."""
    try:
        header = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY).protected
    except (JoseError, ValueError, RecursionError) as error:  # UnicodeError is a ValueError
        raise TokenRefused("this is no signed token") from error
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused(f"signed by {str(algorithm)[:20]!r}, which does not count here")
    fitting = [
        one for one in keys
        if one.kind == ALGORITHMS[algorithm] and one.algorithm in {"", algorithm} and kid in {None, one.kid}
    ]  # fmt: skip
    if not fitting:
        raise KeyUnknown("signed by a key that the provider does not list")
    for one in fitting:
        try:
            return read_json(jws.deserialize_compact(token, one.key, registry=_REGISTRY).payload)
        except JoseError:
            continue
        except ValueError:  # a curve that does not go with the algorithm
            continue
    raise TokenRefused("the signature is wrong") if kid is not None else KeyUnknown("no listed key has signed this")


def check_claims(claims: Claims, *, issuer: str, client_id: str, nonce: str, access_token: str, now: datetime) -> None:
    """Raise TokenRefused unless the token is by `issuer`, for `client_id`, of now, and answers our own request."""
    if claims.get("iss") != issuer:
        raise TokenRefused("made by another issuer")
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences or (len(audiences) > 1 and party is None) or party not in {None, client_id}:
        raise TokenRefused("made for another program")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise TokenRefused("made for another login")
    _check_times(claims, now)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise TokenRefused("it names nobody")
    if "at_hash" in claims and not _is_hash(claims["at_hash"], access_token):
        raise TokenRefused("made for another access token")


def _check_times(claims: Claims, now: datetime) -> None:
    at = now.timestamp()
    expires, issued, begins = (_seconds(claims.get(name)) for name in ("exp", "iat", "nbf"))
    slack = CLOCKS_DIFFER.total_seconds()
    if expires is None or expires <= at - slack:
        raise TokenRefused("it has expired")
    if issued is None or not at - OLDEST.total_seconds() <= issued <= at + slack:
        raise TokenRefused("not issued just now: do both clocks agree?")
    if "nbf" in claims and (begins is None or begins > at + slack):
        raise TokenRefused("not valid yet")


def _seconds(value: object) -> float | None:
    """Seconds since 1970; None for what is no number, or none that is a time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        return None
    return float(value)


def _is_hash(said: object, access_token: str) -> bool:
    """Whether `said` is the left half of the access token's hash (section 3.1.3.6), by any of the three lengths."""
    if not isinstance(said, str):
        return False
    digests = (hash_of(access_token.encode()).digest() for hash_of in (hashlib.sha256, hashlib.sha384, hashlib.sha512))
    halves = (base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode() for digest in digests)
    return any(hmac.compare_digest(said.encode(), half.encode()) for half in halves)
