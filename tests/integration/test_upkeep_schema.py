"""A database of the first schema, as an installation of then left it, comes up to date with all that it said."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from pgtemp import TempPostgres
from storage_samples import DAY, LEASE, NOW, word

import storage as store
from monitor.model import DeliveryState
from storage import SchemaState, Storage
from storage.engine import checked_url
from storage.migrate import config

# One row a table, by the first schema's columns; texts as that program wrote them.
ROWS = """
insert into source (id, slug, name, url, kind, pages, active, interval_seconds, weight, etag, last_modified,
    body_hash,
  next_poll_at, failures, last_success_at, last_error, moves, epoch)
  values (3, 'news', 'The News', 'https://news.example.org/feed', 'feed', {true}, {true}, 3600, 1.5, 'W/"1"', '',
    'ab',
  '{now}', 2, '{now}', 'was down', 1, 9);
insert into poll (id, source_id, at, outcome, entries, new, seconds, detail)
  values (1, 3, '{now}', 'ok', 20, 1, 0.5, 'a remark');
insert into article (id, key, url, canonical_url, doi_key, published_at, stored_at, source_id, text_from,
    language, title,
  authors, byline, category, doi, pmid, journal, provider, publisher, citation, copyright, summary, body)
  values (7, 'k7', 'https://news.example.org/7', 'https://news.example.org/7', '10.1000/x', '{now}', '{now}', 3,
    'page', 'en',
  'Rapamycin and Ångström''s mice', '["Ada Lovelace"]', 'by Ada', 'Research', '10.1000/X', '', 'Cell', '', '',
    '', '', 'Short.',
  'A long body about mTOR.');
insert into entry (id, source_id, article_id, key_hash, title_hash, known, seen_at)
  values (1, 3, 7, {bytes}, {bytes}, {false}, '{now}');
insert into topic (id, slug, revision, active) values (2, 'mtor', 1, {true});
insert into revision (id, topic_id, number, name, query, weights, threshold, sources, languages, author, note,
    created_at)
  values (4, 2, 1, 'mTOR', 'mTOR OR rapamycin', '[]', 0, '[]', '[]', 'ada', 'first', '{now}');
insert into topic_match (topic_id, article_id, revision_id, score, spans, matched_at, stored_at, old_news)
  values (2, 7, 4, 1.5, '[["title", 0, 9, "rapamycin"]]', '{now}', '{now}', {false});
insert into label (topic_id, article_id, "by", verdict, reason, labelled_at)
  values (2, 7, 'admin', 'relevant', 'on topic', '{now}');
insert into subscriber (id, email, email_key, name, state, state_reason, token_epoch, created_at)
  values (5, 'Ada@Example.org', 'ada@example.org', 'Ada', 'active', '', 3, '{now}');
insert into subscription (id, subscriber_id, topic_ids, cadence, weekday, monthday, at, timezone, empty,
    max_items, near_misses,
  repeat, active, next_digest_at, silent_periods)
  values (6, 5, '[2]', 'weekly', 0, 1, '07:00:00', 'Europe/Berlin', 'skip', 60, {false}, {false}, {true},
    '{next}', 1);
insert into delivery (id, subscription_id, subscriber_id, period_key, message_id, sender, recipient, subject,
    state, attempts,
  resends, epoch, last_error, queued_at, data, compact, html)
  values (8, 6, 5, '2026-W47', '<w47@example.org>', 'digest@example.org', 'Ada@Example.org', 'Digest', 'queued',
    0, 0, 0, '',
  '{now}', {bytes}, {bytes}, '<p>hello</p>');
insert into digest_item (delivery_id, number, article_id) values (8, 1, 7);
insert into ledger (subscriber_id, article_id, kind, delivery_id) values (5, 7, 'new', 8);
insert into suppression (email_hash, reason, since) values ({bytes}, 'erased', '{now}');
insert into notice (id, subject, code, level, text, raised_at) values (1, 'relay', 'down', 'error',
    'It is down.', '{now}');
insert into audit (id, who, what, before, after, at) values (1, 'ada', 'topic:mtor', '', 'mTOR', '{now}');
insert into fact (name, value) values ('fold_version', '0');
insert into fact (name, value) values ('first_run', '{now}')
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'old.db'}"
    else:
        server: TempPostgres = request.getfixturevalue("postgres")
        url = server.create(f"old_{os.urandom(4).hex()}")
    with sa.create_engine(checked_url(url), poolclass=sa.NullPool).begin() as db:
        command.upgrade(config(db), "0001")
        is_sqlite = db.dialect.name == "sqlite"
        written = "%Y-%m-%d %H:%M:%S.%f" + ("" if is_sqlite else "+00:00")
        words = {"true": "1", "false": "0", "bytes": "x'c0ffee'"} if is_sqlite else {
            "true": "true", "false": "false", "bytes": "'\\xc0ffee'::bytea"
        }  # fmt: skip
        text = ROWS.format(now=NOW.strftime(written), next=(NOW + DAY).strftime(written), **words)
        for statement in text.split(";\n"):
            db.exec_driver_sql(statement)
        if not is_sqlite:  # as that program would have: numbers come from the sequences
            for table in ("source", "article", "topic", "revision", "subscriber", "subscription", "delivery", "notice"):
                db.exec_driver_sql(f"select setval('{table}_id_seq', 8)")
    return url


async def test_what_the_first_program_stored_is_there_after_the_upgrade(old_url: str) -> None:
    assert store.schema_state(old_url) is SchemaState.OLD

    store.migrate(old_url)

    async with Storage.open(old_url) as storage:
        (source,) = await storage.sources.list()
        (topic,) = await storage.topics.list()
        (article,) = await storage.articles.get_many([7])
        reader = await storage.readers.get("ada@example.org")
        (subscription,) = await storage.readers.subscriptions(reader.id)
        (label,) = await storage.topics.labels(topic.id)
        assert (source.slug, source.weight, source.failures, source.validators.etag) == ("news", 1.5, 2, 'W/"1"')
        assert (topic.slug, topic.query, topic.revision) == ("mtor", "mTOR OR rapamycin", 1)
        assert (article.title, article.authors, article.doi) == (
            "Rapamycin and Ångström's mice", ("Ada Lovelace",), "10.1000/X",
        )  # fmt: skip
        assert (reader.email, reader.token_epoch) == ("Ada@Example.org", 3)
        assert (subscription.topic_ids, subscription.timezone, subscription.next_digest_at) == (
            (topic.id,), "Europe/Berlin", NOW + DAY,
        )  # fmt: skip
        assert label.reason == "on topic"
        assert await storage.articles.hits(word("rapamycin")) == 1
        assert [notice.text for notice in await storage.notices.open()] == ["It is down."]
        assert [entry.after for entry in await storage.audit.recent()] == ["mTOR"]


async def test_after_the_upgrade_the_old_message_goes_out_and_work_goes_on(old_url: str) -> None:
    store.migrate(old_url)

    async with Storage.open(old_url) as storage:
        (claimed,) = await storage.outbox.claim_due(NOW, 10, LEASE)
        assert claimed.message.data == b"\xc0\xff\xee"
        assert await storage.outbox.accepted(claimed, NOW + timedelta(seconds=1))
        assert (await storage.outbox.get(8)).state is DeliveryState.ACCEPTED
        assert [source.slug for source in await storage.sources.claim_due(NOW + DAY, 5, LEASE)] == ["news"]
        assert await storage.upkeep.index_problem() == ""
        assert await storage.upkeep.schema() is SchemaState.CURRENT
