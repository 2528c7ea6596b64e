"""Single sign-on: the authorization code flow of OpenID Connect, with PKCE, towards one identity provider.

start:  discovery                    -> the provider's address, and a sealed cookie that binds its answer
finish: cookie, state, issuer        -> code -> token endpoint -> identity token, by the provider's published keys
        -> claims (and userinfo)     -> Visitor -> the user who may come in

Every request is made by a Fetcher, so what it says of addresses and limits holds here too. The provider's keys are read
again when a token names one that is not known.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from urllib.parse import quote_plus, urlencode, urlsplit

from itsdangerous import BadSignature, URLSafeSerializer

from monitor.errors import ConfigError, FetchError, MonitorError
from monitor.fetch import Fetcher, Limits
from monitor.fetch.guard import PORTS, authority, check_url
from monitor.model import Role, User, Visitor
from monitor.pipeline.id_token import (
    Claims,
    KeyUnknown,
    PublicKey,
    TokenRefused,
    check_claims,
    read_claims,
    read_json,
    read_keys,
)
from monitor.pipeline.readers import check_address
from monitor.pipeline.users import TIME_TO_LOG_IN, SignOnRefused, Users

log = logging.getLogger(__name__)

LIMITS = Limits(wire=500_000, unpacked=1_000_000, redirects=0)  # a provider does not send us elsewhere
KEPT = timedelta(hours=1)  # what the provider says of itself
BETWEEN_LOOKS = timedelta(seconds=30)  # at its keys, when somebody comes with an unknown one
AFTER_FAILURE = timedelta(seconds=5)  # it is not asked again for each click of whoever waits
LONGEST_CODE = 4_000
JSON = "application/json"

AGAIN = "This login took too long, or began in another window. Try again."
UNREACHABLE = "The identity provider does not answer as it should just now. Try again later, or tell an admin."
NOT_BELIEVED = "What the identity provider sent cannot be believed, so nobody is logged in. Tell an admin."


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who we are to the provider. `issuer` is compared exactly, as everywhere in OpenID Connect."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whom of those that the provider vouches for we let in, and as what."""

    domains: frozenset[str] = frozenset()
    trust_email: bool = False
    create: bool = False
    groups_claim: str = "groups"
    groups: tuple[tuple[str, Role], ...] = ()
    role: Role | None = Role.VIEWER

    def visitor(self, issuer: str, claims: Claims) -> Visitor:
        """Raises SignOnRefused, in words for the visitor."""
        email = claims.get("email")
        if not isinstance(email, str) or not email:
            raise SignOnRefused("The identity provider does not tell your mail address.")
        if not self.trust_email and claims.get("email_verified") not in (True, "true"):
            raise SignOnRefused("The identity provider has not verified your mail address.")
        try:
            email = check_address(email)
        except MonitorError as error:
            raise SignOnRefused("The identity provider tells a mail address that is none.") from error
        if self.domains and email.rpartition("@")[2].lower() not in self.domains:
            raise SignOnRefused("Addresses of your domain are not let in here.")
        role = self._role(claims)
        if role is None and (self.groups or self.create):
            raise SignOnRefused("You are in none of the groups that may come in here.")
        name = claims.get("name")
        return Visitor(
            issuer=issuer,
            subject=claims["sub"],
            email=email,
            name=name.strip()[:200] if isinstance(name, str) else "",
            role=role if self.groups else None,
            role_when_new=role if self.create else None,
        )

    def _role(self, claims: Claims) -> Role | None:
        """The highest that a group gives; that of members of none."""
        own = _groups(claims, self.groups_claim)
        given = [role for group, role in self.groups if group in own]
        return max(given, key=list(Role).index) if given else self.role


@dataclass(frozen=True, slots=True)
class _Provider:
    """What its discovery document says (OpenID Connect Discovery 1.0, section 3)."""

    authorize: str
    token: str
    jwks: str
    userinfo: str
    basic: bool  # takes the client's secret as HTTP basic authentication
    names_itself: bool  # in each answer (RFC 9207)
    read_at: datetime


@dataclass(frozen=True, slots=True)
class _Keys:
    keys: tuple[PublicKey, ...]
    read_at: datetime


@dataclass(frozen=True, slots=True)
class _Begun:
    """A login on its way, as the browser's cookie keeps it for us: sealed. Nonce and PKCE verifier are not in it, for
    they are made of its state and our secret.
    """

    state: str
    to: str
    at: float


class SignOn:
    """One provider. Raises SignOnRefused, whose text is for whoever logs in; why is in the log, for an admin."""

    def __init__(
        self,
        *,
        client: Client,
        admission: Admission,
        label: str,
        only: bool,
        fetcher: Fetcher,
        users: Users,
        now: Callable[[], datetime],
        secret: str,
    ) -> None:
        self.label = label
        self.only = only
        self._client = client
        self._admission = admission
        self._fetcher = fetcher
        self._users = users
        self._now = now
        self._secret = secret.encode()
        self._seal = URLSafeSerializer(secret, "monitor.sign-on", signer_kwargs={"digest_method": hashlib.sha256})
        self._known: _Provider | None = None
        self._keys: _Keys | None = None
        self._looking = asyncio.Lock()
        self._failed_at: datetime | None = None

    async def start(self, to: str) -> tuple[str, str]:
        """Where to send the browser, and the cookie that it must bring back; `to`: where it wants to go afterwards."""
        provider = await self._provider()
        begun = _Begun(state=secrets.token_urlsafe(24), to=to, at=self._now().timestamp())
        challenge = _encoded(hashlib.sha256(self._made_of(begun, "verifier").encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *self._client.scopes))),
            "state": begun.state,
            "nonce": self._made_of(begun, "nonce"),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(provider.authorize).query else "?"
        return f"{provider.authorize}{joint}{urlencode(asked)}", str(self._seal.dumps(asdict(begun)))

    async def finish(self, answer: Mapping[str, str], cookie: str) -> tuple[User, str]:
        """The user whom the provider's answer, brought by the browser with its cookie, lets in; and where to go."""
        begun = self._begun(cookie)
        if not hmac.compare_digest(answer.get("state", "").encode(), begun.state.encode()):
            raise self._refused(AGAIN, "the state is of another login")
        provider = await self._provider()
        said_issuer = answer.get("iss")
        if said_issuer not in {None, self._client.issuer} or (said_issuer is None and provider.names_itself):
            raise self._refused(NOT_BELIEVED, "the answer comes from another issuer")
        if reason := answer.get("error"):
            shown = reason if re.fullmatch(r"[a-z_]{1,60}", reason) else "an error"
            raise self._refused(f"The identity provider did not let you in ({shown}).", shown)
        code = answer.get("code", "")
        if not 0 < len(code) <= LONGEST_CODE:
            raise self._refused(NOT_BELIEVED, "the answer holds no code")
        try:
            claims = await self._redeem(provider, code, begun)
        except TokenRefused as error:
            raise self._refused(NOT_BELIEVED, str(error)) from error
        visitor = self._admission.visitor(self._client.issuer, claims)
        return await self._users.welcome(visitor), begun.to

    def _made_of(self, begun: _Begun, what: str) -> str:
        """43 characters that nobody without the secret can make."""
        return _encoded(hmac.digest(self._secret, f"monitor.sign-on.{what}:{begun.state}".encode(), "sha256"))

    def _begun(self, cookie: str) -> _Begun:
        try:
            begun = _Begun(**self._seal.loads(cookie))
        except (BadSignature, TypeError) as error:
            raise self._refused(AGAIN, "the browser brings no login that began here") from error
        if abs(self._now().timestamp() - begun.at) > TIME_TO_LOG_IN.total_seconds():
            raise self._refused(AGAIN, "it began too long ago")
        return begun

    def _refused(self, text: str, why: str) -> SignOnRefused:
        log.warning("sign-on refused issuer=%s why=%s", self._client.issuer, why)
        return SignOnRefused(text)

    # --- asking the provider ----------------------------------------------------------------------------------

    async def _ask(self, url: str, **more: object) -> bytes:
        try:
            return (await self._fetcher.get(url, accept=JSON, limits=LIMITS, **more)).body  # type: ignore[arg-type]
        except FetchError as error:
            raise self._refused(UNREACHABLE, str(error)) from error

    async def _provider(self) -> _Provider:
        async with self._looking:
            now = self._now()
            if self._known is not None and now - self._known.read_at <= KEPT:
                return self._known
            if self._failed_at is not None and now - self._failed_at < AFTER_FAILURE:
                raise self._refused(UNREACHABLE, "it failed just now")
            issuer, self._failed_at = self._client.issuer, now
            document = await self._ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            try:
                self._known = read_provider(document, issuer, now)
            except TokenRefused as error:
                raise self._refused(UNREACHABLE, str(error)) from error
            self._failed_at = None
            return self._known

    async def _redeem(self, provider: _Provider, code: str, begun: _Begun) -> Claims:
        """What the provider says of whoever has this code. Raises TokenRefused."""
        client = self._client
        form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", client.redirect_uri),
            ("code_verifier", self._made_of(begun, "verifier")),
        ]
        authorization = ""
        if client.client_secret and provider.basic:
            pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"  # RFC 6749, section 2.3.1
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form.append(("client_id", client.client_id))
            form += [("client_secret", client.client_secret)] if client.client_secret else []
        answer = read_json(await self._ask(provider.token, form=tuple(form), authorization=authorization))
        token, access_token = answer.get("id_token"), answer.get("access_token")
        access_token = access_token if isinstance(access_token, str) else ""
        if not isinstance(token, str):
            raise TokenRefused("the token endpoint sends no id_token")
        claims = await self._read(provider, token)
        check_claims(
            claims,
            issuer=client.issuer,
            client_id=client.client_id,
            nonce=self._made_of(begun, "nonce"),
            access_token=access_token,
            now=self._now(),
        )
        return await self._completed(provider, claims, access_token)

    async def _read(self, provider: _Provider, token: str) -> Claims:
        known = self._keys
        if known is None or self._now() - known.read_at > KEPT:  # a key that is taken back must not stay
            known = await self._read_keys(provider)
        try:
            return read_claims(token, known.keys)
        except KeyUnknown:
            if self._now() - known.read_at < BETWEEN_LOOKS:
                raise
        return read_claims(token, (await self._read_keys(provider)).keys)

    async def _read_keys(self, provider: _Provider) -> _Keys:
        self._keys = _Keys(read_keys(await self._ask(provider.jwks)), self._now())
        return self._keys

    async def _completed(self, provider: _Provider, claims: Claims, access_token: str) -> Claims:
        """With what only the userinfo endpoint tells, if it speaks of the same person (section 5.3.2)."""
        path = self._admission.groups_claim
        tells_groups = not self._admission.groups or not claims.keys().isdisjoint({path, path.partition(".")[0]})
        if (
            ("email" in claims and tells_groups)
            or not provider.userinfo
            or not re.fullmatch(r"[\x21-\x7e]{1,8000}", access_token)
        ):
            return claims
        more = read_json(await self._ask(provider.userinfo, authorization=f"Bearer {access_token}"))
        if more.get("sub") != claims["sub"]:
            raise TokenRefused("userinfo speaks of somebody else")
        told = claims if "email" in claims else {**claims, "email_verified": more.get("email_verified")}
        return {**more, **told}


def allowed_for(client: Client, *, private: bool) -> frozenset[str]:
    """What a fetcher for this client may ask beside public addresses: nothing, or the issuer's own host and port where
    that is `private`. Raises ConfigError for an issuer that cannot be asked, or that nothing protects on the way.
    """
    issuer = client.issuer
    try:
        place = urlsplit(issuer)
        port = place.port or PORTS.get(place.scheme, 0)
        allowed = frozenset({authority(place.hostname or "", port)} if private else ())
        check_url(issuer, allowed)
    except (FetchError, ValueError) as error:
        raise ConfigError(f"MONITOR_WEB__OIDC__ISSUER: {error} (or set MONITOR_WEB__OIDC__PRIVATE)") from error
    if place.scheme != "https" and not private:
        raise ConfigError("MONITOR_WEB__OIDC__ISSUER must be an https address, or MONITOR_WEB__OIDC__PRIVATE be set")
    if not client.client_id:
        raise ConfigError("MONITOR_WEB__OIDC__ISSUER needs MONITOR_WEB__OIDC__CLIENT_ID")
    return allowed


def read_provider(document: bytes, issuer: str, now: datetime) -> _Provider:
    """Raises TokenRefused for a document that is not this issuer's, or that leads where nothing is encrypted."""
    said = read_json(document)
    if said.get("issuer") != issuer:
        raise TokenRefused(f"the discovery document is of the issuer {str(said.get('issuer'))[:200]!r}")
    places = {
        name: said.get(name, "")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
    }
    schemes = {"https"} if issuer.startswith("https://") else {"https", "http"}
    for name, place in places.items():
        if name == "userinfo_endpoint" and place == "":
            continue
        if (
            not isinstance(place, str)
            or not re.fullmatch(r"[\x21-\x7e]+", place)
            or urlsplit(place).scheme not in schemes
        ):
            raise TokenRefused(f"the discovery document's {name} is no {' or '.join(sorted(schemes))} address")
    methods = said.get("token_endpoint_auth_methods_supported")
    return _Provider(
        authorize=places["authorization_endpoint"],
        token=places["token_endpoint"],
        jwks=places["jwks_uri"],
        userinfo=places["userinfo_endpoint"],
        basic=not isinstance(methods, list) or "client_secret_basic" in methods,
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        read_at=now,
    )


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _groups(claims: Claims, path: str) -> set[str]:
    """The groups at `path` ("groups", or "realm_access.roles"): a list, or one word."""
    value: object = claims.get(path)
    if value is None:
        value = claims
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    listed = value if isinstance(value, list) else [value]
    return {one for one in listed if isinstance(one, str)}
