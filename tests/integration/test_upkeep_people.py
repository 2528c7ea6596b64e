"""One person's data: all of it out, all of it gone, nobody else's touched. On SQLite and PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa
from storage_samples import NOW, a_delivery, a_match, a_topic, saved

from monitor.console import plain
from monitor.errors import NotFound, StorageError
from monitor.model import ApiToken, Label, Level, Role, Session, Subscriber, Subscription, User, Verdict
from storage import Storage, tables
from storage.audit import acting
from storage.engine import checked_url

ADA, BOB = "Ada.Lovelace@example.org", "bob@example.org"


async def fill(storage: Storage) -> None:
    """The same traces of two people."""
    topic = await storage.topics.add(a_topic(), author="admin", note="", now=NOW)
    await storage.articles.save(None, [saved(1, matches=(a_match(topic),))], NOW)
    (article,) = await storage.articles.recent()
    for email in (BOB, ADA):
        reader = await storage.readers.add_subscriber(Subscriber(email=email, name=f"name of {email}"), NOW)
        subscription = await storage.readers.add_subscription(
            Subscription(subscriber_id=reader.id, topic_ids=(topic.id,), next_digest_at=NOW)
        )
        delivery = a_delivery(subscription, reader)
        message = replace(delivery.message, message_id=f"<{email}>", recipient=email, data=b"SECRET BODY")
        await storage.outbox.enqueue(
            replace(delivery, message=message), [article.id], expected_next_at=NOW, next_at=NOW
        )
        await storage.topics.label(
            Label(topic_id=topic.id, article_id=article.id, verdict=Verdict.RELEVANT, by=f"reader:{reader.id}",
                  reason=f"said by {email}", labelled_at=NOW)
        )  # fmt: skip
        user = await storage.users.add(User(email=email, role=Role.ADMIN), NOW)
        await storage.users.set_password(user.id, "SECRET HASH")
        session = Session(
            key="", user_id=user.id, created_at=NOW, seen_at=NOW, expires_at=NOW, agent="Firefox", address="192.0.2.7"
        )
        await storage.users.open_session(f"SECRET {email}", session)
        await storage.users.add_token(
            f"SECRET token {email}", ApiToken(user_id=user.id, name="script", scopes=("topics:read",), created_at=NOW)
        )
        with acting(email.lower(), lambda: NOW):
            await storage.audit.note(f"invited {email}", "", f"added {email}")
        await storage.notices.raise_once(f"reader:{reader.id}", "x", Level.WARNING, f"{email} bounced", NOW)


def rows_naming(url: str, word: str) -> list[str]:
    """Tables in which a row holds this text, whatever its case."""
    engine = sa.create_engine(checked_url(url), poolclass=sa.NullPool)
    with engine.connect() as db:
        return [
            table.name
            for table in tables.metadata.sorted_tables
            for row in db.execute(table.select())
            if word.lower() in repr(tuple(row)).lower()
        ]


async def test_everything_about_a_person_and_nothing_secret_comes_out(storage: Storage) -> None:
    await fill(storage)

    found = await storage.people.export(ADA.upper())

    text = json.dumps(plain(found))
    assert found["reader"]["email"] == ADA
    assert found["subscriptions"][0]["topics"] == ["mtor"]
    assert [item["title"] for item in found["messages"][0]["articles"]] == ["Story number 1"]
    assert found["judgements"][0]["reason"] == f"said by {ADA}"
    assert (found["user"]["role"], found["sessions"][0]["address"]) == ("admin", "192.0.2.7")
    assert found["api_tokens"][0]["name"] == "script"
    assert found["actions"][0]["what"] == f"invited {ADA}"
    assert "SECRET" not in text
    assert "_hash" not in text
    assert BOB not in text


async def test_an_erased_person_is_in_no_row_and_the_other_in_as_many_as_before(
    storage: Storage, storage_url: str
) -> None:
    await fill(storage)
    before = rows_naming(storage_url, BOB)

    await storage.people.erase(ADA.upper(), NOW)

    assert rows_naming(storage_url, "ada.lovelace") == []
    assert rows_naming(storage_url, BOB) == before
    assert await storage.readers.suppressed(ADA) == "erased"
    assert [label.reason for label in await storage.topics.labels((await storage.topics.get("mtor")).id)] == [
        f"said by {BOB}"
    ]
    assert {entry.who for entry in await storage.audit.recent()} == {BOB, "(erased)"}
    with pytest.raises(NotFound):
        await storage.people.erase(ADA, NOW)
    assert (await storage.people.export(ADA))["suppressed"] == "erased"  # so much is known of the hash


async def test_the_last_admin_stays_whole(storage: Storage, storage_url: str) -> None:
    await fill(storage)
    await storage.people.erase(BOB, NOW)
    before = rows_naming(storage_url, ADA)

    with pytest.raises(StorageError, match="last active admin"):
        await storage.people.erase(ADA, NOW)

    assert rows_naming(storage_url, ADA) == before


async def test_nobody_is_found_under_an_address_that_was_never_there(storage: Storage) -> None:
    await fill(storage)

    with pytest.raises(NotFound):
        await storage.people.export("%@example.org")
    with pytest.raises(NotFound):
        await storage.people.erase("", NOW)
