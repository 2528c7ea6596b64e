"""An OpenID Connect provider on 127.0.0.1: codes that work once, PKCE checked, keys that change, and lies on demand."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from index_servers import Answer, Asked, IndexServer, as_json
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

CLIENT_ID, CLIENT_SECRET = "monitor/at work", "s3cret: of: the client"
RSA, EC, STRANGERS = (
    RSAKey.generate_key(2048, {"kid": "rsa-1"}),
    ECKey.generate_key("P-256", {"kid": "ec-1"}),
    RSAKey.generate_key(2048, {"kid": "rsa-1"}),  # names itself as ours does
)
Claims = dict[str, Any]


def encoded(part: bytes | dict[str, Any]) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims: Claims, key: RSAKey | ECKey = RSA, **header: str) -> str:
    algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
    return jws.serialize_compact({"alg": algorithm, "kid": key.kid, **header}, json.dumps(claims).encode(), key)


@dataclass
class IdentityProvider:
    """`person` is who logs in next; `twist` what becomes of their claims, `token` how these are signed."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    person: Claims = field(
        default_factory=lambda: {
            "sub": "ada-0001", "email": "ada@example.org", "email_verified": True, "name": "Ada Lovelace",
        }
    )  # fmt: skip
    twist: Callable[[Claims], Claims] = lambda claims: claims
    token: Callable[[Claims], str] = signed
    keys: list[RSAKey | ECKey] = field(default_factory=lambda: [RSA, EC])
    metadata: Claims = field(default_factory=dict)
    userinfo: Claims = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)  # by path, instead of ours
    secret: str = CLIENT_SECRET
    server: IndexServer = field(init=False)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = IndexServer(self._answer)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[IdentityProvider]:
        async with self.server.running():
            yield self

    @property
    def issuer(self) -> str:
        return self.server.url("/realm")

    def asked(self, path: str) -> list[Asked]:
        return [one for one in self.server.asked if one.path == path]

    def approve(self, address: str) -> dict[str, str]:
        """What the browser brings back from `address`, where somebody has agreed to log in."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def _answer(self, asked: Asked) -> Answer:
        if asked.path in self.answers:
            return self.answers[asked.path]
        return {
            "/realm/.well-known/openid-configuration": self._discovery,
            "/keys": lambda _: as_json({"keys": [key.as_dict(private=False) for key in self.keys]}),
            "/token": self._redeemed,
            "/userinfo": lambda one: as_json(
                self.userinfo, 200 if one.headers.get("authorization") == "Bearer at-1" else 401
            ),
            "/authorize": self._form,
            "/favicon.ico": lambda _: (204, {}, b""),
        }.get(asked.path, lambda _: (404, {}, b""))(asked)

    def _discovery(self, _: Asked) -> Answer:
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": self.server.url("/authorize"),
            "token_endpoint": self.server.url("/token"),
            "jwks_uri": self.server.url("/keys"),
            "userinfo_endpoint": self.server.url("/userinfo"),
        }
        return as_json({**said, **self.metadata})

    def _redeemed(self, asked: Asked) -> Answer:
        login = self._codes.pop(asked.form.get("code", ""), None)  # once
        if not self._is_client(asked) or login is None:
            return as_json({"error": "invalid_grant"}, 400)
        hashed = encoded(hashlib.sha256(asked.form["code_verifier"].encode()).digest())
        if hashed != login["code_challenge"] or asked.form["redirect_uri"] != login["redirect_uri"]:
            return as_json({"error": "invalid_grant"}, 400)
        at = int(self.now().timestamp())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "exp": at + 300, "iat": at, "nonce": login["nonce"]}
        token = self.token(self.twist({**claims, **self.person}))
        return as_json({"access_token": "at-1", "token_type": "Bearer", "id_token": token})

    def _is_client(self, asked: Asked) -> bool:
        kind, _, pair = asked.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(pair).decode().partition(":")
            return (unquote_plus(name), unquote_plus(secret)) == (CLIENT_ID, self.secret)
        return (asked.form.get("client_id"), asked.form.get("client_secret", "")) == (CLIENT_ID, self.secret)

    def _form(self, asked: Asked) -> Answer:
        """A page with one link: "Continue as …"."""
        brought = self.approve(f"?{urlencode(asked.query)}")
        link = f"{asked.query['redirect_uri']}?{urlencode(brought)}".replace("&", "&amp;")
        page = f"<!doctype html><title>Provider</title><a href='{link}'>Continue as {self.person['name']}</a>"
        return 200, {"Content-Type": "text/html"}, page.encode()
