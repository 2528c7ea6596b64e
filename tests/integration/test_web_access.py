"""Who gets in, and what they may do there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from pwdlib import PasswordHash
from web_site import PASSWORD, Site, open_site

from monitor.digest import Purpose
from monitor.errors import MonitorError, NotFound, StorageError
from monitor.model import Role
from monitor.pipeline import users
from monitor.pipeline.users import SCOPES
from monitor.web.auth import PUBLIC
from monitor.web.sessions import local

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


def routes(site: Site) -> Iterator[tuple[str, str]]:
    """(method, path) of every route, with something in each place."""
    places = {"number": "1", "slug": "pain", "key": "ab", "subscription": "1", "action": "cancel", "token": "x"}
    schema_paths: list[tuple[str, str]] = []

    def walk(found: list[Any]) -> None:
        for route in found:
            inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
            if inner:
                walk(list(inner))
            elif getattr(route, "methods", None):
                path = route.path
                for name, value in places.items():
                    path = path.replace("{" + name + "}", value)
                assert "{" not in path, path
                schema_paths.extend((method, path) for method in sorted(route.methods - {"HEAD"}))

    walk(list(site.app.routes))  # type: ignore[attr-defined]
    return iter(schema_paths)


def dump(site: Site) -> dict[str, list[Any]]:
    """Everything that is stored, by table."""
    path = site.opened.settings.data_dir / "monitor.db"
    with sqlite3.connect(path) as db:
        names = [row[0] for row in db.execute("select name from sqlite_master where type='table'")]
        return {name: db.execute(f'select * from "{name}"').fetchall() for name in names if "fts" not in name}


# --- the gate -------------------------------------------------------------------------------------------------


async def test_every_route_is_closed_without_a_login_unless_it_is_listed(site: Site) -> None:
    await site.user(Role.ADMIN)
    found = list(routes(site))
    open_to_all = ("/healthz", "/readyz", "/login", "/signup", "/setup/x", *(f"/{purpose}/x" for purpose in Purpose))
    async with site.client() as client:
        answers = {(method, path): await client.request(method, path) for method, path in found}

    assert len(found) > 80
    for (method, path), answer in answers.items():
        if path.startswith(tuple(open_to_all)):
            continue
        where = f"{method} {path}"
        if path.startswith("/api/"):
            assert answer.status_code == 401, where
            assert answer.headers["content-type"] == "application/problem+json", where
        elif method == "GET":
            assert answer.status_code == 303, where
            assert answer.headers["location"].startswith("/login"), where
        else:
            assert answer.status_code == 401, where
        assert "Opioids and pain" not in answer.text, where


def test_the_list_of_open_places_grows_only_on_purpose() -> None:
    signed = tuple(f"/{purpose}/" for purpose in Purpose)
    sign_on = {"/login/oidc", "/login/oidc/callback"}
    known = {"/healthz", "/readyz", "/metrics", "/login", *sign_on, "/signup", "/static/", "/setup/", *signed}

    assert set(PUBLIC) == known


async def test_a_path_that_only_begins_like_an_open_one_is_closed(site: Site) -> None:
    async with site.client() as client:
        for path in ("/loginx", "/login/", "/healthz/../topics", "//topics", "/STATIC/x", "/signup/1", "/static", "/u"):
            answer = await client.get(path)

            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/login"), path


ALLOWED = (  # method, path, and the answer to a viewer, an editor, an admin
    ("GET", "/", 200, 200, 200),
    ("GET", "/topics", 200, 200, 200),
    ("GET", "/topics/pain", 200, 200, 200),
    ("POST", "/topics/pain/try", 403, 200, 200),
    ("POST", "/topics/pain/active", 403, 303, 303),
    ("POST", "/topics/pain/rematch", 403, 303, 303),
    ("GET", "/articles/1", 200, 200, 200),
    ("GET", "/sources", 200, 200, 200),
    ("POST", "/sources/sample/active", 403, 403, 303),
    ("GET", "/readers", 403, 403, 200),
    ("GET", "/readers/1", 403, 403, 200),
    ("POST", "/readers/1/state", 403, 403, 422),
    ("GET", "/outbox", 403, 403, 200),
    ("POST", "/outbox/release", 403, 403, 303),
    ("GET", "/users", 403, 403, 200),
    ("POST", "/users/1", 403, 403, 422),
    ("GET", "/audit", 403, 403, 200),
    ("GET", "/account", 200, 200, 200),
    ("GET", "/api/v1/topics", 200, 200, 200),
    ("PATCH", "/api/v1/topics/pain", 403, 422, 422),
    ("GET", "/api/v1/readers", 403, 403, 200),
    ("PATCH", "/api/v1/sources/sample", 403, 403, 422),
    ("GET", "/api/v1/audit", 403, 403, 200),
)


async def test_each_role_may_do_its_part_and_no_more(site: Site) -> None:
    clients = [await site.logged_in(role) for role in (Role.ADMIN, Role.EDITOR, Role.VIEWER)]
    for method, path, viewer, editor, admin in ALLOWED:
        answers = [(await client.request(method, path)).status_code for client in clients]

        assert answers == [admin, editor, viewer], (method, path)


async def test_a_get_changes_nothing_wherever_it_goes(site: Site) -> None:
    async with await site.logged_in() as client:
        before = dump(site)
        for method, path in routes(site):
            if method == "GET":
                assert (await client.get(path)).status_code < 500, path

        assert dump(site) == before


# --- logging in -----------------------------------------------------------------------------------------------


async def log_in(client: httpx.AsyncClient, password: str = PASSWORD, email: str = "admin@example.org") -> Any:
    return await client.post("/login", data={"email": email, "password": password, "next": "/topics"})


async def test_a_login_gives_a_new_session_whatever_cookie_the_browser_came_with(site: Site) -> None:
    await site.user(Role.ADMIN)
    async with site.client() as client:
        client.cookies.set("__Host-sid", "planted-by-somebody-else", domain="news.example.org", path="/")

        answer = await log_in(client)

        assert answer.status_code == 303
        assert answer.headers["location"] == "/topics"
        first = client.cookies.get("__Host-sid", domain="news.example.org")
        assert first not in (None, "planted-by-somebody-else")
        await log_in(client)
        second = client.cookies.get("__Host-sid", domain="news.example.org")
        assert second != first
        assert (await client.get("/topics")).status_code == 200
    door = site.opened.monitor.users
    assert await door.of_session("planted-by-somebody-else") is None
    assert await door.of_session(str(first)) is None
    assert await door.of_session(str(second)) is not None


async def test_the_cookie_is_for_https_and_this_host_alone_and_scripts_cannot_read_it(site: Site) -> None:
    await site.user(Role.ADMIN)
    async with site.client() as client, site.client("http://127.0.0.1:8000") as here:
        public = (await log_in(client)).headers["set-cookie"].lower()
        loopback = (await log_in(here)).headers["set-cookie"].lower()

    assert public.startswith("__host-sid=")
    assert "domain" not in public
    for part in ("secure", "httponly", "samesite=lax", "path=/"):
        assert part in public.split("; ")
    assert loopback.startswith("sid=")
    assert "secure" not in loopback.split("; ")
    assert "httponly" in loopback.split("; ")


async def test_only_a_hash_of_the_session_is_stored(site: Site) -> None:
    user = await site.user(Role.ADMIN)
    token = await site.opened.monitor.users.open_session(user, address="", agent="")

    stored = str(dump(site)["web_session"])

    assert token not in stored
    assert sha256(token.encode()).digest().hex() in [row[0].hex() for row in dump(site)["web_session"]]


async def test_a_session_ends_after_twelve_idle_hours_and_after_a_week_anyhow(site: Site) -> None:
    start = site.now
    await site.user(Role.ADMIN)
    async with site.client() as client:
        await log_in(client)
        site.now = start + timedelta(hours=11)
        assert (await client.get("/topics")).status_code == 200
        site.now = start + timedelta(hours=22)
        assert (await client.get("/topics")).status_code == 200
        site.now = start + timedelta(hours=22 + 12, minutes=1)
        assert (await client.get("/topics")).status_code == 303
    async with site.client() as client:
        await log_in(client)
        for hours in range(0, 7 * 24, 10):
            site.now = start + timedelta(hours=35 + hours)
            assert (await client.get("/topics")).status_code == 200
        site.now += timedelta(hours=9)
        assert (await client.get("/topics")).status_code == 303


async def test_a_changed_password_ends_every_session(site: Site) -> None:
    await site.user(Role.ADMIN)
    async with site.client() as client, site.client() as other:
        await log_in(client)
        await log_in(other)
        wrong = await client.post("/account/password", data={"old": "no", "new": "a long new password"})
        assert wrong.status_code == 422
        assert (await other.get("/topics")).status_code == 200

        answer = await client.post("/account/password", data={"old": PASSWORD, "new": "a long new password"})

        assert answer.status_code == 303
        assert [(await one.get("/topics")).status_code for one in (client, other)] == [303, 303]
        assert (await log_in(other)).status_code == 401
        assert (await log_in(other, "a long new password")).status_code == 303


async def test_sessions_are_listed_and_one_can_be_ended_but_only_ones_own(site: Site) -> None:
    admin = await site.user(Role.ADMIN)
    editor = await site.user(Role.EDITOR)
    door, storage = site.opened.monitor.users, site.opened.monitor.storage
    for _ in range(2):
        await door.open_session(admin, address="192.0.2.1", agent="Firefox")
    await door.open_session(editor, address="192.0.2.2", agent="Chrome")
    mine = await storage.users.sessions(admin.id, site.now)
    theirs = (await storage.users.sessions(editor.id, site.now))[0]

    async with site.client() as client:
        await log_in(client)
        page = await client.get("/account")
        ended = await client.post(f"/account/sessions/{mine[0].key}/end")
        foreign = await client.post(f"/account/sessions/{theirs.key}/end")
        nonsense = await client.post("/account/sessions/zz/end")

    assert "192.0.2.1" in page.text
    assert "192.0.2.2" not in page.text
    assert (ended.status_code, foreign.status_code, nonsense.status_code) == (303, 404, 404)
    assert len(await storage.users.sessions(admin.id, site.now)) == 2
    assert len(await storage.users.sessions(editor.id, site.now)) == 1


async def test_logging_out_ends_the_session_on_the_server_too(site: Site) -> None:
    async with await site.logged_in() as client:
        token = str(client.cookies.get("__Host-sid", domain="news.example.org"))

        answer = await client.post("/logout")

    assert answer.status_code == 303
    assert await site.opened.monitor.users.of_session(token) is None


async def test_wrong_logins_are_slowed_for_account_and_address_together(site: Site) -> None:
    await site.user(Role.ADMIN)
    async with site.client(address="192.0.2.7") as attacker, site.client(address="192.0.2.8") as owner:
        statuses = [(await log_in(attacker, "wrong")).status_code for _ in range(7)]
        right_but_late = await log_in(attacker)
        elsewhere = await log_in(owner)
        site.now += timedelta(seconds=1025)
        later = await log_in(attacker)

    assert statuses == [401] * 5 + [401, 429] or statuses == [401] * 5 + [429, 429]
    assert right_but_late.status_code == 429
    assert int(right_but_late.headers["retry-after"]) >= 1
    assert "set-cookie" not in right_but_late.headers
    assert elsewhere.status_code == 303
    assert later.status_code == 303


async def test_many_guesses_at_once_do_not_slip_through(site: Site) -> None:
    await site.user(Role.ADMIN)
    async with site.client(address="192.0.2.7") as client:
        answers = await asyncio.gather(*(log_in(client, f"guess {number}") for number in range(12)))

    assert sum(answer.status_code == 401 for answer in answers) <= 6
    assert sum(answer.status_code == 429 for answer in answers) >= 6


async def test_an_unknown_address_is_answered_like_a_known_one(site: Site) -> None:
    await site.user(Role.ADMIN)
    async with site.client() as client:
        known = await log_in(client, "wrong")
        unknown = await log_in(client, "wrong", "nobody@example.org")

    assert known.status_code == unknown.status_code == 401
    assert known.text.replace("admin@example.org", "") == unknown.text.replace("nobody@example.org", "")


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: x=1",
     "", "topics", "/\t/evil.example", "/ /evil.example", "///evil.example"],
)  # fmt: skip
def test_after_login_nobody_is_sent_to_another_site(path: str) -> None:
    assert local(path) == "/"


def test_after_login_one_comes_where_one_wanted_to() -> None:
    assert local("/articles?q=mTOR%20AND%20pain&topic=pain") == "/articles?q=mTOR%20AND%20pain&topic=pain"


# --- forms from elsewhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://news.example.org"},
    ],
)
async def test_a_form_on_another_site_changes_nothing(site: Site, headers: dict[str, str]) -> None:
    async with await site.logged_in() as client:
        before = dump(site)

        answer = await client.post("/topics/pain/active", data={"on": ""}, headers=headers)

        assert answer.status_code == 403
        assert dump(site) == before


@pytest.mark.parametrize("base", ["", "https://news.example.org"])
async def test_an_origin_that_is_hidden_is_foreign_even_without_a_public_address(tmp_path: Path, base: str) -> None:
    async with open_site(tmp_path, base=base) as site, site.client("https://news.example.org") as client:
        del client.headers["Sec-Fetch-Site"]

        answer = await client.post("/login", data={"email": "a", "password": "b"}, headers={"Origin": "null"})

    assert answer.status_code == 403


async def test_a_body_of_unknown_length_is_refused(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"query=" + b"x" * 2_000_000

    async with await site.logged_in() as client:
        answer = await client.post("/topics/pain/try", content=endless())

    assert answer.status_code == 411


# --- the first admin, and links -------------------------------------------------------------------------------


async def test_the_first_admin_comes_by_a_link_that_works_once(site: Site) -> None:
    door = site.opened.monitor.users
    token = await door.setup_link()
    sent = {"email": "ada@example.org", "name": "Ada", "password": "short"}
    async with site.client() as client:
        form = await client.get(f"/setup/{token}")
        too_short = await client.post(f"/setup/{token}", data=sent)
        made = await client.post(f"/setup/{token}", data=sent | {"password": PASSWORD})
        inside = await client.get("/users")
        again = await client.post(f"/setup/{token}", data=sent | {"password": PASSWORD, "email": "eve@example.org"})

    assert (form.status_code, too_short.status_code, made.status_code, again.status_code) == (200, 422, 303, 404)
    assert inside.status_code == 200
    assert [user.email for user in await site.opened.monitor.storage.users.list()] == ["ada@example.org"]
    with pytest.raises(StorageError, match="users already"):
        await door.setup_link()


async def test_a_link_ends_after_a_day_and_by_a_newer_one(site: Site) -> None:
    door = site.opened.monitor.users
    old = await door.setup_link()
    new = await door.setup_link()
    async with site.client() as client:
        replaced = await client.get(f"/setup/{old}")
        site.now += timedelta(hours=24, seconds=1)
        late = await client.get(f"/setup/{new}")

    assert (replaced.status_code, late.status_code) == (404, 404)


async def test_a_reset_link_ends_every_session_of_its_user(site: Site) -> None:
    async with await site.logged_in() as client:
        user = (await site.opened.monitor.storage.users.list())[0]
        token = await site.opened.monitor.users.setup_link(user)
        async with site.client() as other:
            await other.post(f"/setup/{token}", data={"password": "another long password"})

        assert (await client.get("/topics")).status_code == 303


async def test_somebody_stays_admin_and_whoever_is_switched_off_is_out_at_once(site: Site) -> None:
    async with await site.logged_in(Role.ADMIN) as admin, await site.logged_in(Role.EDITOR) as editor:
        storage = site.opened.monitor.storage
        ids = {user.role: user.id for user in await storage.users.list()}
        last = await admin.post(f"/users/{ids[Role.ADMIN]}", data={"role": "viewer", "active": "yes"})
        off = await admin.post(f"/users/{ids[Role.EDITOR]}", data={"role": "editor"})

        assert (last.status_code, off.status_code) == (422, 303)
        assert (await storage.users.get("admin@example.org")).role is Role.ADMIN
        assert (await editor.get("/topics")).status_code == 303
        assert (await admin.get("/users")).status_code == 200


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaaaaaa", "ada.lovelace@example.org", "x" * 201])
async def test_an_easy_password_is_refused(site: Site, password: str) -> None:
    token = await site.opened.monitor.users.setup_link()

    with pytest.raises(MonitorError):
        await site.opened.monitor.users.use_link(token, password, email="ada.lovelace@example.org")


async def test_a_password_is_kept_as_argon2id_and_hashed_anew_at_login_when_that_became_cheap(site: Site) -> None:
    await site.user(Role.ADMIN)
    (cheap,) = [row[6] for row in dump(site)["user_account"]]
    users._hasher = PasswordHash.recommended()

    async with site.client() as client:
        assert (await log_in(client)).status_code == 303

    (dear,) = [row[6] for row in dump(site)["user_account"]]
    assert cheap.startswith("$argon2id$v=19$m=64,t=1")
    assert dear.startswith("$argon2id$v=19$m=65536,t=3")


# --- tokens ---------------------------------------------------------------------------------------------------


async def test_a_token_opens_only_what_its_scopes_and_its_owners_role_do(site: Site) -> None:
    door = site.opened.monitor.users
    editor = await site.user(Role.EDITOR, "ed@example.org")
    _, reads = await door.add_token(editor, "reads", ["topics:read"])
    _, all_scopes = await door.add_token(editor, "all", SCOPES)
    wanted = [
        ("GET", "/api/v1/topics", 200, 200),
        ("GET", "/api/v1/articles", 403, 200),
        ("PATCH", "/api/v1/topics/pain", 403, 422),
        ("GET", "/api/v1/readers", 403, 403),
    ]
    async with site.client() as client:
        for method, path, narrow, wide in wanted:
            for token, expected in ((reads, narrow), (all_scopes, wide)):
                answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == expected, (method, path)
        page = await client.get("/topics", headers={"Authorization": f"Bearer {all_scopes}"})
    assert page.status_code == 303  # tokens open the API, not the pages


@pytest.mark.parametrize("header", ["Bearer x", "Bearer", "Basic YTpi", "bearer  ", "Token x", "Bearer \xff"])
async def test_a_token_that_is_none_is_401_even_beside_a_good_session(site: Site, header: str) -> None:
    async with await site.logged_in() as client:
        answer = await client.get("/api/v1/topics", headers={"Authorization": header.encode("latin-1")})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_ends_with_its_date_its_removal_and_its_owner(site: Site) -> None:
    door, storage = site.opened.monitor.users, site.opened.monitor.storage
    await site.user(Role.ADMIN)
    editor = await site.user(Role.EDITOR)
    _, dated = await door.add_token(editor, "dated", ["topics:read"], days=1)
    removed, removed_token = await door.add_token(editor, "removed", ["topics:read"])
    _, orphan = await door.add_token(editor, "orphan", ["topics:read"])
    await storage.users.remove_token(editor.id, removed.id)
    assert await door.of_token(dated) is not None
    assert await door.of_token(removed_token) is None

    site.now += timedelta(days=1, seconds=1)
    await storage.users.change(replace(editor, active=False))

    assert await door.of_token(dated) is None
    assert await door.of_token(orphan) is None


# --- what is served -------------------------------------------------------------------------------------------


async def test_a_page_forbids_scripts_from_elsewhere_and_inline(site: Site) -> None:
    async with await site.logged_in() as client:
        for path in ("/", "/topics/pain", "/articles/1", "/login"):
            answer = await client.get(path)
            csp = answer.headers["content-security-policy"]

            assert "script-src 'self'" in csp
            assert "unsafe" not in csp
            assert "frame-ancestors 'none'" in csp
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert " style=" not in answer.text
            assert "onclick" not in answer.text


async def test_static_files_are_kept_for_ever_only_by_their_hash(site: Site) -> None:
    async with site.client() as client:
        page = (await client.get("/login")).text
        address = page.split('href="')[2].split('"')[0]
        hashed, plain = await client.get(address), await client.get(address.split("?")[0])

    assert "?v=" in address
    assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["cache-control"] == "no-store"


def test_vendored_files_are_those_of_the_manifest() -> None:
    folder = ROOT / "monitor/web/static/vendor"
    listed = dict(reversed(line.split(maxsplit=1)) for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "SHA256SUMS"}

    assert there == listed
    assert {name.split(".")[-1] for name in there} == {"js", "css", "LICENSE"}


async def test_a_link_that_is_no_good_says_so_and_no_more(site: Site) -> None:
    with pytest.raises(NotFound):
        await site.opened.monitor.users.use_link("x" * 5000, PASSWORD, email="a@example.org")
