"""Who may log in, and what they hold that proves it. Only hashes of it are kept."""

from __future__ import annotations

import builtins
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address

import sqlalchemy as sa

from monitor.errors import NotFound, StorageError
from monitor.model import ApiToken, Role, Session, User, Visitor
from storage import rows
from storage import tables as t
from storage.audit import record
from storage.engine import Repository, changed, insert_into, reads, writes
from storage.readers import email_key

_u = t.user.c
_s = t.session.c
_k = t.api_token.c
_l = t.setup_link.c
_f = t.login_attempt.c
_i = t.identity.c

FREE_FAILURES = 5  # of one account from one address; after them each must wait, twice as long each time
FREE_FROM_ONE = 50  # from one address, whatever the accounts: a password tried on many of them
LONGEST_WAIT = timedelta(minutes=15)
_TOUCH = timedelta(minutes=5)  # the last use of a session or token is noted this coarsely
_FORGET = timedelta(days=1)  # failed logins


class Users(Repository):
    # --- users ------------------------------------------------------------------------------------------------

    @writes
    def add(
        self, db: sa.Connection, user: User, now: datetime, *, link: str = "", link_expires_at: datetime | None = None
    ) -> User:
        """With the token of a `link` that sets their password, where one is given. Raises StorageError if the address
        (in any case) has a user already.
        """
        added = _add(db, user, now)
        if link and link_expires_at:
            _add_link(db, link, added.id, link_expires_at)
        return added

    @reads
    def list(self, db: sa.Connection) -> builtins.list[User]:
        """By address."""
        return [_to_user(row) for row in db.execute(t.user.select().order_by(_u.email_key))]

    @reads
    def get(self, db: sa.Connection, email: str) -> User:
        """By address, in any case. Raises NotFound."""
        return _to_user(_by_email(db, email))

    @reads
    def password_hash(self, db: sa.Connection, email: str) -> tuple[User, str] | None:
        """An active user with the hash of their password; None for anybody else."""
        row = db.execute(t.user.select().where(_u.email_key == email_key(email), _u.active)).first()
        return (_to_user(row), row.password_hash) if row is not None and row.password_hash else None

    @writes
    def change(self, db: sa.Connection, user: User) -> User:
        """Store name, role and active. An inactive user's sessions and tokens end. Raises NotFound, or StorageError
        when nobody would be left who is an active admin.
        """
        before = _by_id(db, user.id)
        values = {"name": user.name, "role": user.role.value, "active": user.active}
        db.execute(t.user.update().where(_u.id == user.id).values(values))
        if not _any_admin(db):
            raise StorageError("somebody must stay an active admin")
        if not user.active:
            db.execute(t.session.delete().where(_s.user_id == user.id))
            db.execute(t.api_token.delete().where(_k.user_id == user.id))
        after = _by_id(db, user.id)
        record(db, f"changed the user {after.email}", _told(before), _told(after))
        return after

    @writes
    def welcome(self, db: sa.Connection, visitor: Visitor, now: datetime) -> User:
        """The user who this visitor is: whom their provider knows by that subject, else whoever has that address, else
        a new one; in the role that the provider gives, if it does. Raises NotFound, in words for the visitor, for
        nobody who may come in.
        """
        user = _of_identity(db, visitor) or _to_be_linked(db, visitor, now)
        if not user.active:
            raise NotFound("This account is switched off. Ask an admin.")
        if visitor.role in {None, user.role}:
            return user
        db.execute(t.user.update().where(_u.id == user.id).values(role=visitor.role.value if visitor.role else ""))
        if not _any_admin(db):  # nobody is locked out of running the place
            db.execute(t.user.update().where(_u.id == user.id).values(role=user.role.value))
            return user
        after = _by_id(db, user.id)
        record(db, f"changed the user {user.email}", _told(user), _told(after))
        return after

    @writes
    def set_password(self, db: sa.Connection, user_id: int, password_hash: str, *, anew: bool = True) -> None:
        """Store a hash. `anew`: it is another password, so every session and link of before ends."""
        db.execute(t.user.update().where(_u.id == user_id).values(password_hash=password_hash))
        if anew:
            db.execute(t.session.delete().where(_s.user_id == user_id))
            db.execute(t.setup_link.delete().where(_l.user_id == user_id))
            record(db, "changed their password")

    # --- set-up links -----------------------------------------------------------------------------------------

    @writes
    def add_link(self, db: sa.Connection, token: str, user_id: int | None, expires_at: datetime) -> None:
        """A link that is used once. One for the first admin replaces those before it. Raises StorageError when it is
        for the first admin and there is a user already.
        """
        if user_id is None:
            if _any_user(db):
                raise StorageError(
                    "there are users already: `monitor users reset ADDRESS` makes a link for one of them"
                )
            db.execute(t.setup_link.delete().where(_l.user_id.is_(None)))
        _add_link(db, token, user_id, expires_at)
        whom = _by_id(db, user_id).email if user_id is not None else "the first admin"
        record(db, f"made a password link for {whom}")

    @reads
    def link(self, db: sa.Connection, token: str, now: datetime) -> User | None:
        """Whose password this link sets; None: it makes the first admin. Raises NotFound for a link that is no good."""
        user_id = _link(db, token, now)
        return _by_id(db, user_id) if user_id is not None else None

    @writes
    def use_link(
        self, db: sa.Connection, token: str, password_hash: str, now: datetime, first: User | None = None
    ) -> User:
        """Set the password, once: the link, and every session of before, ends. `first` is the admin to be made.
        Raises NotFound for a link that is no good.
        """
        user_id = _link(db, token, now)
        if not changed(db.execute(t.setup_link.delete().where(_l.token_hash == _hash(token)))):
            raise NotFound("this link was used already")
        if user_id is None:
            if first is None or _any_user(db):
                raise NotFound("the first admin is there already")
            user_id = _add(db, replace(first, role=Role.ADMIN, active=True), now).id
        else:
            record(db, "set their password")
        db.execute(t.user.update().where(_u.id == user_id).values(password_hash=password_hash))
        db.execute(t.session.delete().where(_s.user_id == user_id))
        return _by_id(db, user_id)

    # --- sessions ---------------------------------------------------------------------------------------------

    @writes
    def open_session(self, db: sa.Connection, token: str, session: Session, replaced: str = "") -> None:
        """A login; the browser's session of before (`replaced`, its token) ends with it, and so do all that expired."""
        db.execute(t.session.delete().where(sa.or_(_s.token_hash == _hash(replaced), _s.expires_at <= session.seen_at)))
        values = {
            "token_hash": _hash(token),
            "user_id": session.user_id,
            "created_at": session.created_at,
            "seen_at": session.seen_at,
            "expires_at": session.expires_at,
            "agent": session.agent,
            "address": session.address,
        }
        db.execute(t.session.insert().values(values))

    @reads
    def session(self, db: sa.Connection, token: str, now: datetime, idle: timedelta) -> tuple[User, Session] | None:
        """Who is logged in with this token; None when it is unknown, too old, idle for too long, or its user is off."""
        live = (_s.token_hash == _hash(token), _s.expires_at > now, _s.seen_at > now - idle, _u.active)
        query = sa.select(t.session, *(column.label(f"u_{column.name}") for column in t.user.c))
        row = db.execute(query.select_from(t.session.join(t.user)).where(*live)).first()
        if row is None:
            return None
        user = User(
            id=row.u_id, email=row.u_email, name=row.u_name, role=Role(row.u_role), active=True,
            has_password=bool(row.u_password_hash), created_at=row.u_created_at,
        )  # fmt: skip
        return user, _to_session(row)

    @writes
    def touch_session(self, db: sa.Connection, session: Session, now: datetime) -> None:
        this = sa.and_(_s.token_hash == bytes.fromhex(session.key), _s.seen_at < now)
        db.execute(t.session.update().where(this).values(seen_at=now))

    @reads
    def sessions(self, db: sa.Connection, user_id: int, now: datetime) -> builtins.list[Session]:
        """A user's, newest use first."""
        query = t.session.select().where(_s.user_id == user_id, _s.expires_at > now).order_by(_s.seen_at.desc())
        return [_to_session(row) for row in db.execute(query)]

    @writes
    def end_session(self, db: sa.Connection, user_id: int, key: str) -> bool:
        """One of that user's; False if it is none."""
        try:
            hashed = bytes.fromhex(key)
        except ValueError:
            return False
        return changed(db.execute(t.session.delete().where(_s.user_id == user_id, _s.token_hash == hashed)))

    # --- tokens -----------------------------------------------------------------------------------------------

    @writes
    def add_token(self, db: sa.Connection, token: str, stored: ApiToken) -> ApiToken:
        values = {
            "user_id": stored.user_id,
            "name": stored.name,
            "token_hash": _hash(token),
            "scopes": rows.packed(stored.scopes),
            "created_at": stored.created_at,
            "expires_at": stored.expires_at,
        }
        number = db.scalar(t.api_token.insert().values(values).returning(_k.id))
        record(db, f"made the API token {stored.name}", "", ", ".join(stored.scopes))
        return replace(stored, id=number or 0)

    @reads
    def token(self, db: sa.Connection, token: str, now: datetime) -> tuple[User, ApiToken] | None:
        live = (_k.token_hash == _hash(token), sa.or_(_k.expires_at.is_(None), _k.expires_at > now), _u.active)
        query = sa.select(t.api_token).select_from(t.api_token.join(t.user)).where(*live)
        row = db.execute(query).first()
        return (_by_id(db, row.user_id), _to_token(row)) if row is not None else None

    @writes
    def touch_token(self, db: sa.Connection, token: ApiToken, now: datetime) -> None:
        this = sa.and_(_k.id == token.id, sa.or_(_k.last_used_at.is_(None), _k.last_used_at < now))
        db.execute(t.api_token.update().where(this).values(last_used_at=now))

    @reads
    def tokens(self, db: sa.Connection, user_id: int) -> builtins.list[ApiToken]:
        query = t.api_token.select().where(_k.user_id == user_id).order_by(_k.id)
        return [_to_token(row) for row in db.execute(query)]

    @writes
    def remove_token(self, db: sa.Connection, user_id: int, token_id: int) -> bool:
        """One of that user's; False if it is none."""
        name = db.scalar(t.api_token.delete().where(_k.user_id == user_id, _k.id == token_id).returning(_k.name))
        if name is None:
            return False
        record(db, f"revoked API token {token_id}", name)
        return True

    # --- throttling -------------------------------------------------------------------------------------------

    @writes
    def attempt(self, db: sa.Connection, email: str, address: str, now: datetime) -> float:
        """Count a login before its password is looked at, so that many at once do not slip through; 0, or the seconds
        to wait, and then it must not be looked at.
        """
        db.execute(t.login_attempt.delete().where(_f.last_at < now - _FORGET))
        free = {_pair(email, address): FREE_FAILURES}
        if _is_public(address):  # any other may be a proxy's, and everybody's
            free[_one(address)] = FREE_FROM_ONE
        known = db.execute(t.login_attempt.select().where(_f.key.in_(free)).order_by(_f.key).with_for_update()).all()
        wait = max((_wait(row.failures - free[row.key], row.last_at, now) for row in known), default=0.0)
        if wait > 0:
            return wait
        insert = insert_into(db, t.login_attempt).values([{"key": key, "failures": 1, "last_at": now} for key in free])
        more = {"failures": _f.failures + 1, "last_at": now}
        db.execute(insert.on_conflict_do_update(index_elements=[_f.key], set_=more))
        return 0.0

    @writes
    def forgive(self, db: sa.Connection, email: str, address: str) -> None:
        """The login was right: the account's failures are forgotten, those of its address on other accounts are not."""
        db.execute(t.login_attempt.delete().where(_f.key == _pair(email, address)))
        db.execute(t.login_attempt.update().where(_f.key == _one(address)).values(failures=_f.failures - 1))


def _wait(beyond: int, last_at: datetime, now: datetime) -> float:
    """Seconds until the next try counts, `beyond` the free ones."""
    if beyond < 0:
        return 0.0
    pause = min(LONGEST_WAIT, timedelta(seconds=1 << min(10, beyond)))
    return (last_at + pause - now).total_seconds()


def is_stale(noted_at: datetime | None, now: datetime) -> bool:
    """Was the last use noted so long ago that this one should be?"""
    return noted_at is None or now - noted_at > _TOUCH


def _hash(token: str) -> bytes:
    """Tokens are 256 random bits: a plain hash cannot be turned round."""
    return sha256(token.encode("utf-8", "replace")).digest()


def _pair(email: str, address: str) -> bytes:
    return sha256(f"{email_key(email)}\n{address}".encode("utf-8", "replace")).digest()


def _is_public(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False


def _one(address: str) -> bytes:
    return sha256(f"\n{address}".encode("utf-8", "replace")).digest()


def _any_user(db: sa.Connection) -> bool:
    return db.scalar(sa.select(_u.id).limit(1)) is not None


def _any_admin(db: sa.Connection) -> bool:
    return db.scalar(sa.select(_u.id).where(_u.role == Role.ADMIN.value, _u.active).limit(1)) is not None


def _told(user: User) -> str:
    return f"{user.role.value}, {'on' if user.active else 'off'}"


def _of_identity(db: sa.Connection, visitor: Visitor) -> User | None:
    this = sa.and_(_i.issuer == visitor.issuer, _i.subject == visitor.subject)
    user_id = db.scalar(sa.select(_i.user_id).where(this))
    return _by_id(db, user_id) if user_id is not None else None


def _to_be_linked(db: sa.Connection, visitor: Visitor, now: datetime) -> User:
    """Whoever has the visitor's address, or a new user, known by this identity from now on."""
    row = db.execute(t.user.select().where(_u.email_key == email_key(visitor.email))).first()
    if row is None and visitor.role_when_new is None:
        raise NotFound(f"Nobody here has the address {visitor.email}. Ask an admin to add you.")
    if row is None:
        role = visitor.role or visitor.role_when_new or Role.VIEWER
        user = _add(db, User(email=visitor.email, name=visitor.name, role=role), now)
    else:
        user = _to_user(row)
    other = db.scalar(sa.select(_i.subject).where(_i.issuer == visitor.issuer, _i.user_id == user.id))
    if other is not None:  # the address went to somebody else there; whose account it is here, an admin must say
        raise NotFound(f"The account {user.email} belongs to another identity of your provider. Ask an admin.")
    values = {"issuer": visitor.issuer, "subject": visitor.subject, "user_id": user.id, "linked_at": now}
    db.execute(t.identity.insert().values(values))
    record(db, f"linked {user.email} to an identity", "", visitor.issuer)
    return user


def _add_link(db: sa.Connection, token: str, user_id: int | None, expires_at: datetime) -> None:
    db.execute(t.setup_link.insert().values(token_hash=_hash(token), user_id=user_id, expires_at=expires_at))


def _add(db: sa.Connection, user: User, now: datetime) -> User:
    key = email_key(user.email)
    if not key or len(key) > 320:
        raise StorageError(f"not an address: {user.email[:80]!r}")
    values = {
        "email": user.email.strip(),
        "email_key": key,
        "name": user.name,
        "role": user.role.value,
        "active": user.active,
        "password_hash": "",
        "created_at": now,
    }
    if not changed(db.execute(insert_into(db, t.user).values(values).on_conflict_do_nothing())):
        raise StorageError(f"{user.email} is a user already")
    added = _to_user(_by_email(db, user.email))
    record(db, f"added the user {added.email}", "", added.role.value)
    return added


def _link(db: sa.Connection, token: str, now: datetime) -> int | None:
    row = db.execute(t.setup_link.select().where(_l.token_hash == _hash(token), _l.expires_at > now)).first()
    if row is None:
        raise NotFound("this link was used already, or is too old: ask for a new one")
    number: int | None = row.user_id
    return number


def _by_email(db: sa.Connection, email: str) -> rows.Row:
    row = db.execute(t.user.select().where(_u.email_key == email_key(email))).first()
    if row is None:
        raise rows.not_found("user", email, db.scalars(sa.select(_u.email)))
    return row


def _by_id(db: sa.Connection, user_id: int) -> User:
    row = db.execute(t.user.select().where(_u.id == user_id)).first()
    if row is None:
        raise NotFound(f"no user {user_id}")
    return _to_user(row)


def _to_user(row: rows.Row) -> User:
    return User(
        id=row.id,
        email=row.email,
        name=row.name,
        role=Role(row.role),
        active=row.active,
        has_password=bool(row.password_hash),
        created_at=row.created_at,
    )


def _to_session(row: rows.Row) -> Session:
    return Session(
        key=bytes(row.token_hash).hex(),
        user_id=row.user_id,
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        agent=row.agent,
        address=row.address,
    )


def _to_token(row: rows.Row) -> ApiToken:
    return ApiToken(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        scopes=rows.unpacked(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
