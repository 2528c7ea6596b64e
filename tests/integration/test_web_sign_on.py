"""Single sign-on against a real provider on this machine: who comes in, as what, and every way that must stay shut."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from identity_provider import CLIENT_ID, CLIENT_SECRET, EC, RSA, STRANGERS, Claims, IdentityProvider, encoded, signed
from index_servers import IndexServer, as_json
from joserfc.jwk import ECKey
from web_site import BASE, PASSWORD, Site, open_site

from monitor.errors import ConfigError, FetchRefused
from monitor.model import Role

BACK = "/login/oidc/callback"
COOKIE = "__Host-sign-on"
HOST = "news.example.org"


@dataclass
class House:
    site: Site
    provider: IdentityProvider

    async def begin(self, browser: httpx.AsyncClient, to: str = "/topics") -> dict[str, str]:
        """As far as the provider's answer, which the browser has yet to bring."""
        away = await browser.get("/login/oidc", params={"next": to})
        assert away.status_code == 303, away.text
        return self.provider.approve(away.headers["location"])

    async def log_in(self, browser: httpx.AsyncClient, to: str = "/topics") -> httpx.Response:
        return await browser.get(BACK, params=await self.begin(browser, to))

    async def users(self) -> dict[str, Role]:
        return {one.email: one.role for one in await self.site.opened.monitor.storage.users.list()}

    async def is_inside(self, browser: httpx.AsyncClient) -> bool:
        return (await browser.get("/account")).status_code == 200


@asynccontextmanager
async def house(tmp_path: Path, **settings: object) -> AsyncIterator[House]:
    """A site with Ada as its admin, whom the provider knows too."""
    provider = IdentityProvider()
    async with provider.running():
        client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        oidc = {"issuer": provider.issuer, "private": True, **client, **settings}
        async with open_site(tmp_path, **{f"web__oidc__{name}": value for name, value in oidc.items()}) as site:
            provider.now = lambda: site.now
            await site.user(Role.ADMIN, "ada@example.org")
            yield House(site, provider)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


# --- coming in ------------------------------------------------------------------------------------------------


async def test_the_button_leads_to_the_provider_and_back_inside(home: House) -> None:
    async with home.site.client() as browser:
        page = await browser.get("/login?next=/articles")
        away = await browser.get("/login/oidc?next=/articles")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(away.headers["location"]).query).items()}
        inside = await browser.get(BACK, params=home.provider.approve(away.headers["location"]))

        assert 'href="/login/oidc?next=/articles"' in page.text
        assert "Log in with single sign-on" in page.text
        assert away.headers["location"].startswith(home.provider.server.url("/authorize?"))
        assert asked["redirect_uri"] == f"{BASE}{BACK}"
        assert asked["scope"] == "openid email profile"
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["state"]) >= 32
        assert len(asked["nonce"]) >= 32
        assert (inside.status_code, inside.headers["location"]) == (303, "/articles")
        assert await home.is_inside(browser)
        assert browser.cookies.get(COOKIE, domain=HOST) is None


async def test_the_cookie_of_a_login_on_its_way_is_short_lived_and_for_this_host_alone(home: House) -> None:
    async with home.site.client() as browser:
        kept = (await browser.get("/login/oidc")).headers["set-cookie"].lower().split("; ")

    assert kept[0].startswith("__host-sign-on=")
    assert {"httponly", "secure", "samesite=lax", "path=/", "max-age=600"} <= set(kept)


async def test_a_session_of_before_ends_and_a_planted_one_does_not_become_ours(home: House) -> None:
    async with home.site.client() as browser:
        browser.cookies.set("__Host-sid", "planted", domain=HOST, path="/")
        await home.log_in(browser)
        first = str(browser.cookies.get("__Host-sid", domain=HOST))
        await home.log_in(browser)
        second = str(browser.cookies.get("__Host-sid", domain=HOST))

    door = home.site.opened.monitor.users
    assert len({"planted", first, second}) == 3
    assert await door.of_session(first) is None
    assert await door.of_session("planted") is None
    assert await door.of_session(second) is not None


async def test_an_elliptic_key_signs_as_well(home: House) -> None:
    home.provider.token = lambda claims: signed(claims, EC)
    async with home.site.client() as browser:
        await home.log_in(browser)

        assert await home.is_inside(browser)


@pytest.mark.parametrize(
    ("methods", "secret", "by_header"),
    [(None, CLIENT_SECRET, True), (["client_secret_post"], CLIENT_SECRET, False), (["none"], "", False)],
    ids=["basic", "post", "public"],
)
async def test_the_client_proves_itself_as_the_provider_wants(
    tmp_path: Path, methods: list[str] | None, secret: str, by_header: bool
) -> None:
    async with house(tmp_path, client_secret=secret) as home, home.site.client() as browser:
        home.provider.secret = secret
        home.provider.metadata = {"token_endpoint_auth_methods_supported": methods} if methods else {}
        await home.log_in(browser)

        assert await home.is_inside(browser)
        (asked,) = home.provider.asked("/token")
        assert ("authorization" in asked.headers) is by_header
        assert ("client_secret" in asked.form) is (bool(secret) and not by_header)


async def test_without_a_provider_there_is_no_button_and_no_way(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.client() as browser:
        assert "/login/oidc" not in (await browser.get("/login")).text
        assert (await browser.get("/login/oidc")).status_code == 404
        assert (await browser.get(BACK)).status_code == 404


async def test_nobody_is_sent_to_another_site_afterwards(home: House) -> None:
    async with home.site.client() as browser:
        for to in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
            assert (await home.log_in(browser, to)).headers["location"] == "/", to


# --- who, and as what -----------------------------------------------------------------------------------------


async def test_only_users_come_in_unless_newcomers_are_made_users(tmp_path: Path) -> None:
    for create in (False, True):
        async with house(tmp_path / str(create), create=create, role="editor") as home, home.site.client() as browser:
            home.provider.person |= {"sub": "bob", "email": "bob@example.org", "name": "Bob"}
            answer = await home.log_in(browser)

            assert answer.status_code == (303 if create else 401)
            assert (await home.users()).get("bob@example.org") is (Role.EDITOR if create else None)
            if create:
                lines = [(one.who, one.what) for one in await home.site.opened.monitor.storage.audit.recent()]
                assert ("single sign-on", "added the user bob@example.org") in lines


async def test_who_comes_by_single_sign_on_has_no_password(tmp_path: Path) -> None:
    async with house(tmp_path, create=True) as home, home.site.client() as browser:
        home.provider.person |= {"sub": "bob", "email": "bob@example.org"}
        await home.log_in(browser)
        account = (await browser.get("/account")).text
        for password in ("", PASSWORD):
            form = {"email": "bob@example.org", "password": password}
            assert (await browser.post("/login", data=form)).status_code == 401

    assert "You have none" in account


GROUPS = {"admins": ("ops", "heads"), "editors": ("library",), "viewers": ("staff",)}


async def test_groups_give_the_role_at_each_login(tmp_path: Path) -> None:
    async with house(tmp_path, create=True, role="", **GROUPS) as home, home.site.client() as browser:
        home.provider.person |= {"sub": "bob", "email": "bob@example.org"}
        for groups, role in ((["library", "ops"], Role.ADMIN), (["staff"], Role.VIEWER), (["library"], Role.EDITOR)):
            home.provider.person["groups"] = groups
            assert (await home.log_in(browser)).status_code == 303
            assert (await home.users())["bob@example.org"] is role
        home.provider.person["groups"] = ["elsewhere"]
        assert (await home.log_in(browser)).status_code == 401


async def test_without_groups_a_role_is_kept_as_an_admin_has_set_it(home: House) -> None:
    await home.site.user(Role.EDITOR, "bob@example.org")
    home.provider.person |= {"sub": "bob", "email": "bob@example.org"}
    async with home.site.client() as browser:
        await home.log_in(browser)

    assert (await home.users())["bob@example.org"] is Role.EDITOR


async def test_the_last_admin_is_not_locked_out_by_a_forgotten_group(tmp_path: Path) -> None:
    async with house(tmp_path, **GROUPS) as home, home.site.client() as browser:
        home.provider.person["groups"] = ["staff"]
        await home.log_in(browser)

        assert (await home.users())["ada@example.org"] is Role.ADMIN


async def test_what_the_token_lacks_userinfo_tells_of_the_same_person_only(tmp_path: Path) -> None:
    async with house(tmp_path, groups_claim="realm_access.roles", **GROUPS) as home, home.site.client() as browser:
        await home.site.user(Role.VIEWER, "bob@example.org")
        home.provider.person = {"sub": "bob"}
        told = {"email": "bob@example.org", "email_verified": True, "realm_access": {"roles": ["library"]}}
        home.provider.userinfo = {"sub": "somebody-else", **told}
        assert (await home.log_in(browser)).status_code == 401
        home.provider.userinfo = {"sub": "bob", **told}
        assert (await home.log_in(browser)).status_code == 303

        assert (await home.users())["bob@example.org"] is Role.EDITOR


async def test_somebody_is_known_by_their_subject_and_an_address_that_another_got_opens_nothing(
    home: House,
) -> None:
    async with home.site.client() as ada, home.site.client() as heir:
        await home.log_in(ada)
        home.provider.person["email"] = "ada.new@example.org"
        assert (await home.log_in(ada)).status_code == 303
        home.provider.person = {"sub": "heir", "email": "ada@example.org", "email_verified": True}
        answer = await home.log_in(heir)

        assert answer.status_code == 401
        assert not await home.is_inside(heir)
        assert list(await home.users()) == ["ada@example.org"]


async def test_who_is_switched_off_stays_out_and_who_is_erased_leaves_no_identity(home: House) -> None:
    storage = home.site.opened.monitor.storage
    bob = await home.site.user(Role.EDITOR, "bob@example.org")
    home.provider.person |= {"sub": "bob", "email": "bob@example.org"}
    async with home.site.client() as browser:
        await home.log_in(browser)
        assert (await storage.people.export("bob@example.org"))["identities"][0]["subject"] == "bob"
        await storage.users.change(replace(bob, active=False))
        assert (await home.log_in(browser)).status_code == 401
        assert not await home.is_inside(browser)
        await storage.people.erase("bob@example.org", home.site.now)

        refused = await home.log_in(browser)

    assert "Nobody here has the address" in refused.text


# --- without passwords ----------------------------------------------------------------------------------------


async def test_passwords_can_be_switched_off_and_a_link_still_opens_the_door(tmp_path: Path) -> None:
    async with house(tmp_path, only=True) as home, home.site.client() as browser:
        page = await browser.get("/login")
        refused = await browser.post("/login", data={"email": "ada@example.org", "password": PASSWORD})
        assert 'name="password"' not in page.text
        assert "/login/oidc" in page.text
        assert refused.status_code == 403
        assert not await home.is_inside(browser)

        users = home.site.opened.monitor.users
        link = await users.setup_link((await home.site.opened.monitor.storage.users.list())[0])
        await browser.post(f"/setup/{link}", data={"password": "another long password"})

        assert await home.is_inside(browser)


# --- attacks: the token ---------------------------------------------------------------------------------------


def without(name: str) -> Callable[[Claims], Claims]:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


def but(**changes: object) -> Callable[[Claims], Claims]:
    return lambda claims: {**claims, **changes}


def later(name: str, seconds: int) -> Callable[[Claims], Claims]:
    return lambda claims: {**claims, name: claims["iat"] + seconds}


LIES: dict[str, Callable[[Claims], Claims]] = {
    "another nonce": but(nonce="x" * 32), "no nonce": without("nonce"), "nonce is no text": but(nonce=None),
    "another issuer": but(iss="https://evil.example"), "issuer with a slash": lambda c: {**c, "iss": c["iss"] + "/"},
    "no issuer": without("iss"),
    "another audience": but(aud="other"), "no audience": without("aud"), "an empty audience": but(aud=[]),
    "several audiences, no party": but(aud=[CLIENT_ID, "other"]), "another party": but(azp="other"),
    "several audiences, another party": but(aud=[CLIENT_ID, "other"], azp="other"),
    "a part of the audience": but(aud=CLIENT_ID[:-1]),
    "expired": later("exp", -61), "never expires": without("exp"), "expires as text": but(exp="9999999999"),
    "expires true": but(exp=True), "expires NaN": but(exp=float("nan")), "expires in milliseconds": but(exp=1e14),
    "issued long ago": later("iat", -601), "issued in the future": later("iat", 61), "not issued": without("iat"),
    "not valid yet": later("nbf", 61), "nbf as text": but(nbf="now"),
    "nobody": without("sub"), "an empty subject": but(sub=""), "a number for a subject": but(sub=7),
    "a long subject": but(sub="x" * 256), "of another access token": but(at_hash=encoded(b"x" * 16)),
}  # fmt: skip


async def test_a_token_that_is_not_for_this_login_lets_nobody_in(home: House) -> None:
    async with home.site.client() as browser:
        for lie, twist in LIES.items():
            home.provider.twist = twist
            answer = await home.log_in(browser)

            assert answer.status_code == 401, lie
            assert "cannot be believed" in answer.text, lie
            assert "set-cookie" not in answer.headers or "sid=" not in answer.headers["set-cookie"], lie
        assert not await home.is_inside(browser)


RIGHT = {
    "list": but(aud=[CLIENT_ID]), "several": but(aud=[CLIENT_ID, "other"], azp=CLIENT_ID), "party": but(azp=CLIENT_ID),
    "just expired": later("exp", -59), "fast clock": later("iat", 59), "nbf": but(nbf=0),
    "at_hash": but(at_hash=encoded(hashlib.sha256(b"at-1").digest()[:16])),
    "at_hash 512": but(at_hash=encoded(hashlib.sha512(b"at-1").digest()[:32])), "more": but(address={"deep": [1, 2]}),
}  # fmt: skip


async def test_a_token_in_any_right_form_lets_in(home: House) -> None:
    """Else the refusals above would prove nothing."""
    async with home.site.client() as browser:
        for form, change in RIGHT.items():
            home.provider.twist = change
            assert (await home.log_in(browser)).status_code == 303, form


def unsigned(claims: Claims, algorithm: str = "none") -> str:
    return f"{encoded({'alg': algorithm, 'kid': RSA.kid})}.{encoded(claims)}."


def by_public_key(claims: Claims, secret: bytes, kid: str | None = "rsa-1") -> str:
    head = {"alg": "HS256"} | ({"kid": kid} if kid else {})
    text = f"{encoded(head)}.{encoded(claims)}"
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def forged(claims: Claims) -> str:
    """A genuine token whose claims were changed afterwards."""
    head, _, signature = signed(claims).split(".")
    return f"{head}.{encoded({**claims, 'email': 'root@example.org'})}.{signature}"


def its_own_key(claims: Claims) -> str:
    """Names the key that it wants to be checked with."""
    return signed(claims, STRANGERS, jwk=STRANGERS.as_dict(private=False), jku="http://evil.example/keys")  # type: ignore[arg-type]


PEM = RSA.as_pem(private=False)
SIGNATURES: dict[str, Callable[[Claims], str]] = {
    "none": unsigned,
    "None": lambda claims: unsigned(claims, "None"),
    "no algorithm": lambda claims: f"{encoded({'kid': 'rsa-1'})}.{encoded(claims)}.",
    "the public key as a secret (PEM)": lambda claims: by_public_key(claims, PEM),
    "the public key as a secret (DER)": lambda claims: by_public_key(claims, RSA.as_der(private=False)),
    "the public key as a secret (JWK)": lambda claims: by_public_key(claims, json.dumps(RSA.as_dict()).encode()),
    "the public key as a secret, unnamed": lambda claims: by_public_key(claims, PEM, None),
    "the client's secret": lambda claims: by_public_key(claims, CLIENT_SECRET.encode()),
    "a stranger's key of our name": lambda claims: signed(claims, STRANGERS),
    "a key that it brings itself": its_own_key,
    "changed afterwards": forged,
    "an RSA key for an elliptic signature": lambda claims: signed(claims, EC, kid="rsa-1"),
    "a critical header that nobody knows": lambda claims: (
        f"{encoded({'alg': 'RS256', 'kid': 'rsa-1', 'crit': ['x'], 'x': 1})}.{encoded(claims)}.{encoded(b'x' * 256)}"
    ),
    "encrypted": lambda claims: ".".join(["eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0", "", "AA", "AA", "AA"]),
    "no token": lambda claims: "nonsense",
    "other letters": lambda claims: "ü.ü.ü",
    "empty": lambda claims: "",
    "a list": lambda claims: f"{encoded(b'[]')}.{encoded(claims)}.AA",
    "huge": lambda claims: signed({**claims, "pad": "x" * 200_000}),
}


async def test_a_token_that_no_published_key_has_signed_lets_nobody_in(home: House) -> None:
    async with home.site.client() as browser:
        for kind, token in SIGNATURES.items():
            home.provider.token = token
            assert (await home.log_in(browser)).status_code == 401, kind
        assert not await home.is_inside(browser)


# --- attacks: the way there and back --------------------------------------------------------------------------


async def test_an_answer_counts_only_beside_the_cookie_that_asked_for_it(home: House) -> None:
    """Login CSRF: an attacker's code in the victim's browser, and the other way round."""
    async with home.site.client() as victim, home.site.client() as attacker:
        attackers_answer = await home.begin(attacker)
        without_cookie = await victim.get(BACK, params=attackers_answer)
        await victim.get("/login/oidc")
        beside_ones_own = await victim.get(BACK, params=attackers_answer)

        assert (without_cookie.status_code, beside_ones_own.status_code) == (401, 401)
        assert not await home.is_inside(victim)
        assert home.provider.asked("/token") == []


async def test_a_stolen_code_is_worth_nothing_in_another_login(home: House) -> None:
    """PKCE: the attacker puts the victim's code into a login of their own."""
    async with home.site.client() as victim, home.site.client() as attacker:
        stolen = await home.begin(victim)
        own = await home.begin(attacker)

        answer = await attacker.get(BACK, params={**own, "code": stolen["code"]})

        assert answer.status_code == 401
        assert not await home.is_inside(attacker)


SPOILT_COOKIES: dict[str, Callable[[str], str]] = {
    "signature": lambda kept: kept[:-1] + ("A" if kept[-1] != "A" else "B"),
    "text": lambda kept: "x" + kept,
    "nonsense": lambda kept: "nonsense",
    "made up": lambda kept: f"{encoded({'state': 's', 'to': '/', 'at': 9e9})}.AAAA",
}


async def test_a_cookie_that_was_tampered_with_is_none(home: House) -> None:
    async with home.site.client() as browser:
        for kind, spoil in SPOILT_COOKIES.items():
            answer = await home.begin(browser)
            kept = str(browser.cookies.get(COOKIE, domain=HOST))
            browser.cookies.set(COOKIE, spoil(kept), domain=HOST, path="/")

            assert (await browser.get(BACK, params=answer)).status_code == 401, kind
        assert home.provider.asked("/token") == []


async def test_a_login_that_takes_longer_than_ten_minutes_begins_anew(home: House) -> None:
    async with home.site.client() as browser:
        answer = await home.begin(browser)
        home.site.now += timedelta(minutes=10, seconds=1)

        assert (await browser.get(BACK, params=answer)).status_code == 401


async def test_an_answer_works_once(home: House) -> None:
    async with home.site.client() as browser, home.site.client() as thief:
        answer = await home.begin(browser)
        kept = str(browser.cookies.get(COOKIE, domain=HOST))
        assert (await browser.get(BACK, params=answer)).status_code == 303

        again = await browser.get(BACK, params=answer)
        thief.cookies.set(COOKIE, kept, domain=HOST, path="/")  # with all that the browser had
        replayed = await thief.get(BACK, params=answer)

        assert (again.status_code, replayed.status_code) == (401, 401)
        assert not await home.is_inside(thief)


@pytest.mark.parametrize(
    ("said", "promised", "comes_in"),
    [("https://evil.example", False, False), (None, True, False), ("own", True, True), ("own", False, True)],
    ids=["another", "missing", "promised and right", "right"],
)
async def test_an_answer_from_another_provider_is_not_taken(
    home: House, said: str | None, promised: bool, comes_in: bool
) -> None:
    """Mix-up (RFC 9207): a code goes to no token endpoint but that of whoever made it."""
    home.provider.metadata = {"authorization_response_iss_parameter_supported": promised}
    async with home.site.client() as browser:
        answer = await home.begin(browser)
        if said is not None:
            answer["iss"] = home.provider.issuer if said == "own" else said
        await browser.get(BACK, params=answer)

        assert await home.is_inside(browser) is comes_in
        assert len(home.provider.asked("/token")) == int(comes_in)


SPOILT_ANSWERS: dict[str, dict[str, str]] = {
    "no state": {"state": ""}, "odd state": {"state": "ü"}, "no code": {"code": ""}, "long code": {"code": "x" * 4001},
    "denied": {"error": "access_denied"}, "script": {"error": "<script>alert(1)</script>"},
}  # fmt: skip


async def test_a_spoilt_answer_is_an_error_in_words_and_asks_nobody(home: House) -> None:
    async with home.site.client() as browser:
        for kind, spoil in SPOILT_ANSWERS.items():
            answer = await browser.get(BACK, params={**await home.begin(browser), **spoil})

            assert answer.status_code == 401, kind
            assert 'role="alert"' in answer.text
            assert "<script>alert" not in answer.text
        assert home.provider.asked("/token") == []


async def test_what_an_answer_says_twice_does_not_count(home: House) -> None:
    async with home.site.client() as browser:
        answer = await home.begin(browser)
        twice = [*answer.items(), ("code", "another")]

        assert (await browser.get(BACK, params=twice)).status_code == 401


# --- the provider ---------------------------------------------------------------------------------------------


async def test_new_keys_are_read_when_a_token_names_one_but_not_for_every_invention(home: House) -> None:
    async with home.site.client() as browser:
        await home.log_in(browser)
        await home.log_in(browser)
        assert len(home.provider.asked("/keys")) == 1
        fresh = ECKey.generate_key("P-256", {"kid": "ec-2"})
        home.provider.keys = [fresh]
        home.provider.token = lambda claims: signed(claims, fresh)
        home.site.now += timedelta(seconds=31)

        assert (await home.log_in(browser)).status_code == 303
        assert len(home.provider.asked("/keys")) == 2
        home.provider.token = lambda claims: signed(claims, fresh, kid="invented")
        for _ in range(3):
            assert (await home.log_in(browser)).status_code == 401
        assert len(home.provider.asked("/keys")) == 2
        home.provider.token = signed  # by the key that the provider no longer lists
        home.site.now += timedelta(seconds=31)
        assert (await home.log_in(browser)).status_code == 401


WRONG_PROVIDERS: dict[str, Claims] = {
    "of the issuer 'https://evil.example'": {"issuer": "https://evil.example"},
    "token_endpoint is no": {"token_endpoint": "ftp://x.example/token"},
    "jwks_uri is no": {"jwks_uri": 7},
    "authorization_endpoint is no": {"authorization_endpoint": "javascript:alert(1)"},
}


async def test_a_provider_that_is_not_what_it_should_be_is_not_used(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with home.site.client() as browser:
        for why, metadata in WRONG_PROVIDERS.items():
            home.site.now += timedelta(seconds=6)
            home.provider.metadata = metadata
            with caplog.at_level(logging.WARNING):
                answer = await browser.get("/login/oidc")

            assert answer.status_code == 502
            assert "Try again later" in answer.text
            assert why in caplog.text


async def test_a_secret_or_code_stands_in_no_log_and_no_page(home: House, caplog: pytest.LogCaptureFixture) -> None:
    home.provider.answers["/token"] = (500, {}, b"broken")
    async with home.site.client() as browser:
        with caplog.at_level(logging.DEBUG):
            answer = await home.begin(browser)
            page = await browser.get(BACK, params=answer)

    assert page.status_code == 401
    for secret in (CLIENT_SECRET, answer["code"], base64.b64encode(CLIENT_SECRET.encode()).decode()):
        assert secret not in caplog.text.replace(f"code={answer['code']}", "")  # httpx, the test's own browser
        assert secret not in page.text


async def test_a_provider_that_is_down_is_not_asked_for_each_click(home: House) -> None:
    home.provider.answers["/realm/.well-known/openid-configuration"] = (503, {}, b"")
    async with home.site.client() as browser:
        answers = await asyncio.gather(*(browser.get("/login/oidc") for _ in range(8)))
        asked = len(home.provider.server.asked)
        home.provider.answers.clear()
        home.site.now += timedelta(seconds=6)

        assert {answer.status_code for answer in answers} == {502}
        assert asked == 1
        assert (await home.log_in(browser)).status_code == 303


async def test_a_key_that_is_taken_back_counts_an_hour_longer_at_most(home: House) -> None:
    async with home.site.client() as browser:
        await home.log_in(browser)
        home.provider.keys = [EC]
        assert (await home.log_in(browser)).status_code == 303
        home.site.now += timedelta(hours=1, seconds=1)

        assert (await home.log_in(browser)).status_code == 401


@pytest.mark.parametrize("path", ["/realm/.well-known/openid-configuration", "/keys", "/token"])
async def test_a_provider_may_lead_nowhere_else(home: House, path: str) -> None:
    elsewhere = IndexServer(lambda _: as_json({}))
    async with elsewhere.running(), home.site.client() as browser:
        home.provider.answers[path] = (302, {"Location": elsewhere.url()}, b"")
        began = await browser.get("/login/oidc")
        if began.status_code == 303:
            await browser.get(BACK, params=home.provider.approve(began.headers["location"]))

        assert not await home.is_inside(browser)
        assert elsewhere.asked == []


async def test_a_private_issuer_opens_its_own_host_and_port_and_no_other(home: House) -> None:
    elsewhere = IndexServer(lambda _: as_json({"keys": [RSA.as_dict(private=False)]}))
    async with elsewhere.running(), home.site.client() as browser:
        home.provider.metadata = {"jwks_uri": elsewhere.url("/keys")}

        assert (await home.log_in(browser)).status_code == 401
        assert elsewhere.asked == []


async def test_feeds_may_not_ask_where_the_provider_may_be_asked(home: House) -> None:
    with pytest.raises(FetchRefused):
        await home.site.opened.monitor.ingest.fetcher.get(home.provider.server.url("/keys"))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"private": False}, "MONITOR_WEB__OIDC__PRIVATE"),
        ({"issuer": "http://login.example.org", "private": False}, "must be an https address"),
        ({"issuer": "file:///etc/passwd"}, "only http:// and https://"),
        ({"issuer": "https://user:pw@login.example.org"}, "user name"),
        ({"issuer": "https://login.example.org:99999"}, "MONITOR_WEB__OIDC__ISSUER"),
        ({"client_id": ""}, "CLIENT_ID"),
    ],
    ids=["not said to be private", "no encryption", "scheme", "user info", "port", "no client"],
)
async def test_a_wrong_issuer_is_named_at_the_start(tmp_path: Path, settings: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        async with house(tmp_path, **settings):
            pass


async def test_without_the_extra_the_program_says_so_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("joserfc", "monitor.pipeline.sign_on"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "monitor.pipeline.id_token", raising=False)
    monkeypatch.setitem(sys.modules, "joserfc", None)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match=r"medical-news-monitor\[oidc\]"):
        async with house(tmp_path):
            pass
