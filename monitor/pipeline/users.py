"""Who may come in: logins, passwords, set-up links, sessions and API tokens.

A password is hashed with argon2id in a thread: it takes tens of milliseconds by design. What a login answers, and how
long it takes, is the same for an address that is known and one that is not.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError

from monitor.errors import MonitorError, NotFound
from monitor.model import ApiToken, Role, Session, User, Visitor
from monitor.pipeline.readers import check_address
from storage import Storage
from storage.audit import acting
from storage.users import is_stale

IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)  # then one logs in again, used or not
LINK_LIVES = timedelta(hours=24)
TIME_TO_LOG_IN = timedelta(minutes=10)  # at an identity provider
SHORTEST, LONGEST_PASSWORD = 12, 200
PARALLEL = 2  # hashes at a time: each takes 64 MiB and a core
SCOPES = (
    *(f"{noun}:{right}" for noun in ("overview", "topics", "stories", "sources", "readers", "people", "outbox", "users",
                                     "account") for right in ("read", "write")),
    "articles:read", "issues:read", "audit:read",
)  # fmt: skip

_hasher = PasswordHash.recommended()


@cache
def _nobody() -> str:
    """What an unknown address's password is compared with."""
    return _hasher.hash(secrets.token_urlsafe())


class LoginRefused(MonitorError):
    """No entry; the message does not tell whether the address is known. `wait`: seconds until the next try counts."""

    def __init__(self, wait: float = 0.0) -> None:
        self.wait = wait
        text = "Too many tries. Wait a little, then try again." if wait else "Address or password is not right."
        super().__init__(text)


class SignOnRefused(MonitorError):
    """No entry by single sign-on; the text is for whoever tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    storage: Storage
    now: Callable[[], datetime]
    _at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL))

    # --- coming in --------------------------------------------------------------------------------------------

    async def log_in(self, email: str, password: str, *, address: str) -> User:
        """The user whose password this is. Raises LoginRefused."""
        users = self.storage.users
        if wait := await users.attempt(email, address, self.now()):
            raise LoginRefused(wait)
        known = await users.password_hash(email)
        fits, renewed = await self._verify(password, known[1] if known else _nobody())
        if known is None or not fits:
            raise LoginRefused
        user = known[0]
        if renewed:
            await users.set_password(user.id, renewed, anew=False)
        await users.forgive(email, address)
        return user

    async def open_session(self, user: User, *, address: str, agent: str, replaced: str = "") -> str:
        """A new session's token; the browser's session of before (`replaced`, its token) ends."""
        token, now = secrets.token_urlsafe(32), self.now()
        session = Session(
            key="", user_id=user.id, created_at=now, seen_at=now, expires_at=now + LONGEST, agent=agent[:200],
            address=address,
        )  # fmt: skip
        await self.storage.users.open_session(token, session, replaced)
        return token

    async def welcome(self, visitor: Visitor) -> User:
        """The user who this visitor of an identity provider is. Raises SignOnRefused for nobody who may come in."""
        with acting("single sign-on", self.now):
            try:
                return await self.storage.users.welcome(visitor, self.now())
            except NotFound as error:
                raise SignOnRefused(str(error)) from error

    async def of_session(self, token: str) -> tuple[User, Session] | None:
        """Who holds this session; its use is noted now and then."""
        found = await self.storage.users.session(token, self.now(), IDLE)
        if found is not None and is_stale(found[1].seen_at, self.now()):
            await self.storage.users.touch_session(found[1], self.now())
        return found

    # --- passwords --------------------------------------------------------------------------------------------

    async def setup_link(self, user: User | None = None) -> str:
        """A token that sets `user`'s password, or makes the first admin, once, within a day."""
        token = secrets.token_urlsafe(32)
        await self.storage.users.add_link(token, user.id if user else None, self.now() + LINK_LIVES)
        return token

    async def use_link(self, token: str, password: str, *, email: str = "", name: str = "") -> User:
        """Raises NotFound for a link that is no good, MonitorError for a password or address that is not."""
        owner = await self.storage.users.link(token, self.now())
        first = None if owner else User(email=check_address(email), name=name.strip()[:200])
        check_password(password, owner.email if owner else email)
        hashed = await self._hash(password)
        with acting(owner.email if owner else check_address(email), self.now):
            return await self.storage.users.use_link(token, hashed, self.now(), first)

    async def change_password(self, user: User, old: str, new: str, *, address: str) -> None:
        """Every session of the user ends. Raises LoginRefused if `old` is wrong."""
        if wait := await self.storage.users.attempt(user.email, address, self.now()):
            raise LoginRefused(wait)
        known = await self.storage.users.password_hash(user.email)
        fits, _ = await self._verify(old, known[1] if known else _nobody())
        if not fits:
            raise LoginRefused
        check_password(new, user.email)
        hashed = await self._hash(new)
        with acting(user.email, self.now):
            await self.storage.users.set_password(user.id, hashed)
        await self.storage.users.forgive(user.email, address)

    async def _verify(self, password: str, hashed: str) -> tuple[bool, str | None]:
        if len(password) > LONGEST_PASSWORD:
            return False, None
        async with self._at_once:
            try:
                return await asyncio.to_thread(_hasher.verify_and_update, password, hashed)
            except UnknownHashError:
                return False, None

    async def _hash(self, password: str) -> str:
        async with self._at_once:
            return await asyncio.to_thread(_hasher.hash, password)

    # --- users ------------------------------------------------------------------------------------------------

    async def add(self, email: str, name: str, role: Role) -> tuple[User, str]:
        """A new user, and the token of the link that sets their password."""
        wanted, token = User(email=check_address(email), name=name.strip()[:200], role=role), secrets.token_urlsafe(32)
        user = await self.storage.users.add(wanted, self.now(), link=token, link_expires_at=self.now() + LINK_LIVES)
        return user, token

    async def by_id(self, user_id: int) -> User:
        for user in await self.storage.users.list():
            if user.id == user_id:
                return user
        raise NotFound(f"no user {user_id}")

    # --- programs ---------------------------------------------------------------------------------------------

    async def add_token(self, user: User, name: str, scopes: Iterable[str], days: int = 0) -> tuple[ApiToken, str]:
        """A token for a program, shown once. `days` 0: until it is revoked. Raises MonitorError for unknown scopes."""
        wanted = tuple(dict.fromkeys(scopes))
        if not wanted or any(scope not in SCOPES for scope in wanted):
            raise MonitorError(f"choose scopes among {', '.join(SCOPES)}")
        now, token = self.now(), f"mnm_{secrets.token_urlsafe(32)}"
        stored = ApiToken(
            user_id=user.id, name=name.strip()[:100] or "token", scopes=wanted, created_at=now,
            expires_at=now + timedelta(days=days) if days else None,
        )  # fmt: skip
        return await self.storage.users.add_token(token, stored), token

    async def of_token(self, token: str) -> tuple[User, ApiToken] | None:
        """Who holds this token; its use is noted now and then."""
        found = await self.storage.users.token(token, self.now())
        if found is not None and is_stale(found[1].last_used_at, self.now()):
            await self.storage.users.touch_token(found[1], self.now())
        return found


def check_password(password: str, email: str) -> None:
    """Raises MonitorError that says what is wrong with it. Length is what counts; nothing else is asked."""
    if not SHORTEST <= len(password) <= LONGEST_PASSWORD:
        raise MonitorError(f"a password has {SHORTEST} to {LONGEST_PASSWORD} characters; a few random words do well")
    if password.casefold() in {email.casefold(), email.partition("@")[0].casefold()} or len(set(password)) < 5:
        raise MonitorError("this password is too easy to guess")


def as_role(user: User, role: str, *, active: bool) -> User:
    try:
        return replace(user, role=Role(role), active=active)
    except ValueError as error:
        raise MonitorError(f"{role!r} is no role: choose {', '.join(Role)}") from error
