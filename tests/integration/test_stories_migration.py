"""The ledger of before goes by article; the migration makes it go by story, with what is in it. On both databases."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from pgtemp import TempPostgres

import storage as store
from storage.engine import checked_url
from storage.migrate import config

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def before(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database as version 0002 left it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'before.db'}"
    else:
        server: TempPostgres = request.getfixturevalue("postgres")
        url = server.create(f"before_{os.urandom(4).hex()}")
    engine = sa.create_engine(checked_url(url), poolclass=sa.NullPool)
    with engine.begin() as db:
        command.upgrade(config(db), "0002")
        _fill(db)
    return url


def _fill(db: sa.Connection) -> None:
    tables = sa.MetaData()
    tables.reflect(db)

    def put(table: str, **values: object) -> None:
        columns = tables.tables[table].c
        kinds: dict[type, object] = {str: "", int: 0, float: 0.0, bool: False, bytes: b"", datetime: NOW}
        blank = {
            column.name: kinds.get(column.type.python_type, "")
            for column in columns
            if not column.nullable and column.server_default is None and column.name not in values
        }
        db.execute(tables.tables[table].insert().values(**blank, **values))

    for number, key in ((1, "doi:10.5555/a.1"), (2, "news.example.org/2"), (3, "news.example.org/3")):
        doi = "10.5555/a.1" if number < 3 else ""
        put("article", id=number, key=key, authors="[]", text_from="feed", doi=doi, doi_key=doi or None)
    put("subscriber", id=5, email="ada@example.org", email_key="ada@example.org", state="active")
    put(
        "subscription",
        id=6,
        subscriber_id=5,
        topic_ids="[]",
        cadence="weekly",
        at="07:00:00",
        timezone="UTC",
        empty="skip",
        max_items=60,
    )
    put(
        "delivery",
        id=7,
        subscription_id=6,
        subscriber_id=5,
        period_key="2026-W47",
        message_id="<1@x>",
        state="accepted",
    )
    for place, number in enumerate((1, 3), 1):
        put("digest_item", delivery_id=7, number=place, article_id=number)
        put("ledger", subscriber_id=5, article_id=number, kind="new", delivery_id=7)


async def test_what_was_sent_stays_sent_and_later_finds_join_it(before: str) -> None:
    assert store.migrate(before)

    engine = sa.create_engine(checked_url(before), poolclass=sa.NullPool)
    rows = sa.text("select story_id, kind, article_id, delivery_id from ledger order by 1, 2")
    with engine.connect() as db:
        migrated = [tuple(row) for row in db.execute(rows)]
    async with store.Storage.open(before) as storage:
        waiting = await storage.stories.waiting()
        await storage.stories.settle(NOW)
        stories = [await storage.stories.of(number) for number in (1, 2, 3)]
        (digest,) = await storage.outbox.digests(5)
        again = await storage.readers.subscription(6)

    assert migrated == [(1, "new", 1, 7), (1, "update", 1, 7), (3, "new", 3, 7)]
    assert waiting == 3
    assert stories == [1, 1, 3]
    assert digest.article_ids == (1, 3)
    assert again.safety_at_once is False


def test_no_row_is_lost_or_points_nowhere(before: str) -> None:
    store.migrate(before)

    engine = sa.create_engine(checked_url(before), poolclass=sa.NullPool)
    with engine.connect() as db:
        counts = [
            db.scalar(sa.text(f"select count(*) from {table}")) for table in ("article", "ledger", "story_member")
        ]
        old = sa.inspect(db).has_table("ledger_by_article")

    assert counts == [3, 3, 3]
    assert not old
