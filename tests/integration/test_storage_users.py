"""Users, sessions, links, tokens and failed logins, and what pages ask across nouns: on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.errors import NotFound, StorageError
from monitor.model import (
    ApiToken,
    Article,
    Entry,
    IndexQuery,
    Label,
    Match,
    Poll,
    Role,
    Session,
    Source,
    Topic,
    User,
    Verdict,
    Visitor,
)
from storage import Saved, SourceDay, Storage
from storage.audit import acting
from storage.users import FREE_FAILURES, FREE_FROM_ONE

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def session(user: User, at: datetime = NOW) -> Session:
    return Session(key="", user_id=user.id, created_at=at, seen_at=at, expires_at=at + 7 * 24 * HOUR)


async def admin(storage: Storage) -> User:
    return await storage.users.add(User(email="Ada@Example.org", role=Role.ADMIN), NOW)


async def test_an_address_has_one_user_in_whatever_case(storage: Storage) -> None:
    await admin(storage)

    assert (await storage.users.get("ada@example.ORG")).email == "Ada@Example.org"
    with pytest.raises(StorageError, match="already"):
        await storage.users.add(User(email="ada@example.org"), NOW)
    with pytest.raises(NotFound):
        await storage.users.get("eve@example.org")


async def test_a_session_is_its_users_until_it_is_idle_old_or_ended(storage: Storage) -> None:
    user = await admin(storage)
    await storage.users.open_session("token", session(user))

    found = await storage.users.session("token", NOW + HOUR, 12 * HOUR)
    assert found is not None
    assert found[0].email == user.email
    assert await storage.users.session("tokem", NOW, 12 * HOUR) is None
    assert await storage.users.session("token", NOW + 13 * HOUR, 12 * HOUR) is None
    await storage.users.touch_session(found[1], NOW + 10 * HOUR)
    assert await storage.users.session("token", NOW + 13 * HOUR, 12 * HOUR) is not None
    assert await storage.users.session("token", NOW + 8 * 24 * HOUR, 1000 * HOUR) is None
    assert await storage.users.end_session(user.id, found[1].key)
    assert await storage.users.session("token", NOW, 12 * HOUR) is None


async def test_the_last_admin_stays_and_nothing_is_half_changed(storage: Storage) -> None:
    user = await admin(storage)
    await storage.users.open_session("token", session(user))

    with pytest.raises(StorageError, match="admin"):
        await storage.users.change(replace(user, active=False))

    assert (await storage.users.get(user.email)).active
    assert await storage.users.session("token", NOW, HOUR) is not None


async def test_a_link_is_used_once_and_the_first_admin_is_made_once(storage: Storage) -> None:
    await storage.users.add_link("first", None, NOW + HOUR)
    made = await storage.users.use_link("first", "hash", NOW, User(email="ada@example.org"))
    await storage.users.add_link("reset", made.id, NOW + HOUR)
    await storage.users.open_session("token", session(made))

    await storage.users.use_link("reset", "other hash", NOW)

    assert made.role is Role.ADMIN
    for token in ("first", "reset", "never"):
        with pytest.raises(NotFound):
            await storage.users.use_link(token, "x", NOW, User(email="eve@example.org"))
    assert await storage.users.session("token", NOW, HOUR) is None
    known = await storage.users.password_hash("ADA@example.org")
    assert known is not None
    assert known[1] == "other hash"


async def test_tokens_keep_their_scopes_and_end(storage: Storage) -> None:
    user = await admin(storage)
    made = ApiToken(user_id=user.id, name="t", scopes=("topics:read",), created_at=NOW, expires_at=NOW + HOUR)
    stored = await storage.users.add_token("secret", made)

    found = await storage.users.token("secret", NOW)
    assert found is not None
    assert found[1] == stored
    assert await storage.users.token("secret", NOW + HOUR) is None
    assert not await storage.users.remove_token(user.id + 1, stored.id)
    assert await storage.users.remove_token(user.id, stored.id)
    assert await storage.users.token("secret", NOW) is None


async def test_failed_logins_wait_longer_each_time_and_are_forgiven(storage: Storage) -> None:
    for _ in range(FREE_FAILURES):
        assert await storage.users.attempt("ada@example.org", "192.0.2.1", NOW) == 0
    assert await storage.users.attempt("ADA@example.org", "192.0.2.1", NOW) == 1
    assert await storage.users.attempt("ada@example.org", "192.0.2.2", NOW) == 0
    later = NOW + timedelta(seconds=1)
    assert await storage.users.attempt("ada@example.org", "192.0.2.1", later) == 0
    assert await storage.users.attempt("ada@example.org", "192.0.2.1", later) == 2
    await storage.users.forgive("ada@example.org", "192.0.2.1")
    assert await storage.users.attempt("ada@example.org", "192.0.2.1", later) == 0


async def test_one_password_tried_on_many_accounts_is_slowed_for_its_address_alone(storage: Storage) -> None:
    await storage.users.attempt("ada@example.org", "198.20.0.1", NOW)
    await storage.users.forgive("ada@example.org", "198.20.0.1")  # she knew hers: that one is not counted
    waits = [await storage.users.attempt(f"{n}@example.org", "198.20.0.1", NOW) for n in range(FREE_FROM_ONE + 1)]

    assert waits == [0] * FREE_FROM_ONE + [1]
    assert await storage.users.attempt("0@example.org", "198.20.0.2", NOW) == 0
    assert not any([await storage.users.attempt(f"{n}@example.org", "10.0.0.5", NOW) for n in range(FREE_FROM_ONE + 1)])


# --- across nouns ---------------------------------------------------------------------------------------------


async def filled(storage: Storage) -> tuple[Source, Topic, list[Article]]:
    source = await storage.sources.add(Source(slug="s", name="S", url="https://s.example.org/"))
    topic = await storage.topics.add(Topic(slug="t", name="T", query="mtor"), "a", "", NOW)
    for number in range(6):
        url = f"https://s.example.org/{number}"
        match = Match(topic_id=topic.id, revision_id=topic.revision_id, score=1)
        article = Article(url=url, canonical_url=url, key=f"s/{number}", title=f"mTOR {number}")
        saved = Saved(entry=Entry(url=url, title=url), article=article, matches=(match,) if number % 2 else ())
        await storage.articles.save(source, [saved], NOW - (6 - number) * HOUR)
    return source, topic, await storage.articles.recent()


async def test_archive_pages_follow_one_another_under_every_filter(storage: Storage) -> None:
    _, topic, articles = await filled(storage)
    numbers = [article.id for article in articles]
    word = IndexQuery(op="phrase", tokens=("mtor",))
    browse = storage.browse

    async def ids(query: IndexQuery | None = None, **filters: object) -> list[int]:
        return [one.id for one in await browse.articles(query, **filters)]  # type: ignore[arg-type]

    assert await ids() == numbers
    assert await ids(word, limit=2) == numbers[:2]
    assert await ids(word, before_id=numbers[1]) == numbers[2:]
    assert await ids(topic_id=topic.id) == numbers[::2]
    assert await ids(source="nowhere") == []
    assert await ids(since=NOW - 2 * HOUR) == numbers[:2]
    assert await ids(until=NOW - 5 * HOUR) == numbers[5:]
    label = Label(topic_id=topic.id, article_id=numbers[3], verdict=Verdict.RELEVANT, by="ada", labelled_at=NOW)
    await storage.topics.label(label)
    assert await ids(verdict=Verdict.RELEVANT) == [numbers[3]]
    assert await ids(verdict=Verdict.RELEVANT, topic_id=topic.id + 1) == []
    assert await browse.labels_of(numbers[3]) == [(topic.id, "ada", Verdict.RELEVANT, "")]
    assert list((await browse.matches_of(numbers)).keys()) == sorted(numbers[::2])


async def test_a_sources_days_count_visits_failures_and_news(storage: Storage) -> None:
    source, _, _ = await filled(storage)
    for hours, outcome, new in ((1, "ok", 3), (2, "FetchError", 0), (25, "unchanged", 0), (24 * 20, "ok", 9)):
        held = await storage.sources.claim("s", NOW, HOUR)
        assert held is not None
        poll = Poll(source_id=source.id, at=NOW - hours * HOUR, outcome=outcome, new=new)
        await storage.sources.finish(held, poll, next_poll_at=NOW)

    days = await storage.browse.source_days(NOW, 14)
    await storage.stories.settle(NOW)
    funnel = await storage.browse.funnel(NOW - 7 * 24 * HOUR, NOW)

    assert sorted(days, key=lambda one: one.back) == [
        SourceDay(source_id=source.id, back=0, well=1, failed=1, new=3),
        SourceDay(source_id=source.id, back=1, well=1, failed=0, new=0),
    ]
    assert (funnel.sources, funnel.visits, funnel.failed_visits) == (1, 3, 1)
    assert (funnel.articles, funnel.matched, funnel.sent) == (6, 3, 0)
    assert 1 <= funnel.stories <= funnel.matched


# --- identities -----------------------------------------------------------------------------------------------


def a_visitor(subject: str = "ada-1", email: str = "ada@example.org", **changes: object) -> Visitor:
    return Visitor(issuer="https://login.example.org", subject=subject, email=email, **changes)  # type: ignore[arg-type]


async def test_a_visitor_is_linked_once_and_known_by_subject_from_then_on(storage: Storage) -> None:
    ada = await storage.users.add(User(email="Ada@example.org", role=Role.ADMIN), NOW)

    first = await storage.users.welcome(a_visitor(), NOW)
    moved = await storage.users.welcome(a_visitor(email="ada.new@example.org"), NOW)

    assert (first.id, moved.id, moved.email) == (ada.id, ada.id, "Ada@example.org")
    with pytest.raises(NotFound, match="another identity"):
        await storage.users.welcome(a_visitor("heir"), NOW)
    elsewhere = replace(a_visitor("heir"), issuer="https://other.example.org")
    assert (await storage.users.welcome(elsewhere, NOW)).id == ada.id


async def test_a_visitor_who_is_no_user_becomes_one_only_where_that_is_wished(storage: Storage) -> None:
    with pytest.raises(NotFound, match="Nobody here"):
        await storage.users.welcome(a_visitor(), NOW)
    with acting("single sign-on", lambda: NOW):
        made = await storage.users.welcome(a_visitor(role_when_new=Role.VIEWER, role=Role.EDITOR), NOW)

    assert (made.role, made.has_password) == (Role.EDITOR, False)
    assert await storage.users.password_hash("ada@example.org") is None
    lines = [(one.who, one.what) for one in await storage.audit.recent()]
    assert lines == [
        ("single sign-on", "linked ada@example.org to an identity"),
        ("single sign-on", "added the user ada@example.org"),
    ]


async def test_a_provider_changes_roles_but_somebody_stays_an_active_admin(storage: Storage) -> None:
    await storage.users.add(User(email="ada@example.org", role=Role.ADMIN), NOW)
    bob = await storage.users.add(User(email="bob@example.org", role=Role.ADMIN), NOW)

    assert (await storage.users.welcome(a_visitor(role=Role.VIEWER), NOW)).role is Role.VIEWER
    last = a_visitor("bob-1", "bob@example.org", role=Role.VIEWER)
    assert (await storage.users.welcome(last, NOW)).role is Role.ADMIN
    await storage.users.welcome(a_visitor(role=Role.ADMIN), NOW)
    assert (await storage.users.welcome(last, NOW)).role is Role.VIEWER
    await storage.users.change(replace(bob, role=Role.VIEWER, active=False))
    with pytest.raises(NotFound, match="switched off"):
        await storage.users.welcome(last, NOW)
