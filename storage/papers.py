"""What the scholarly indexes said of papers, and the articles that still wait to be completed by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from monitor.identity import normal_doi
from monitor.model import Article, Match, Paper
from storage import matches as topic_matches
from storage import rows, search, stories
from storage import tables as t
from storage.engine import Repository, changed, clean, insert_into, insert_many, reads, writes
from storage.values import EnrichTask

_n = t.enrichment.c
_a = t.article.c
_m = t.match.c
_p = t.paper.c


class Papers(Repository):
    @writes
    def claim_due(self, db: sa.Connection, now: datetime, limit: int, lease: timedelta) -> list[EnrichTask]:
        """Take up to `limit` articles that are due and held by nobody; those stored last come first, for they are in
        the next digest.
        """
        free = sa.or_(_n.lease_until.is_(None), _n.lease_until <= now)
        due = sa.select(_n.article_id).where(_n.due_at <= now, free).order_by(_n.article_id.desc()).limit(limit)
        ids = db.scalars(due.with_for_update(skip_locked=True)).all()
        if not ids:
            return []
        step = {"epoch": _n.epoch + 1, "attempts": _n.attempts + 1, "lease_until": now + lease}
        db.execute(t.enrichment.update().where(_n.article_id.in_(ids)).values(step))
        joined = t.article.outerjoin(t.source, t.source.c.id == _a.source_id)
        columns = sa.select(*t.article.c, t.source.c.slug.label("source_slug")).select_from(joined)
        articles: dict[int, Article] = {
            row.id: rows.to_article(cast(rows.Row, row)) for row in db.execute(columns.where(_a.id.in_(ids)))
        }
        claimed = {row.article_id: row for row in db.execute(t.enrichment.select().where(_n.article_id.in_(ids)))}
        return [
            EnrichTask(article=articles[number], attempts=claimed[number].attempts, epoch=claimed[number].epoch)
            for number in ids
        ]

    @writes
    def renew(self, db: sa.Connection, task: EnrichTask, lease_until: datetime) -> bool:
        """Keep a claim for longer. False: it is lost, stop."""
        return changed(db.execute(t.enrichment.update().where(_held(task)).values(lease_until=lease_until)))

    @writes
    def enriched(
        self,
        db: sa.Connection,
        task: EnrichTask,
        article: Article,
        matches: Sequence[Match] | None,
        now: datetime,
        *,
        again_at: datetime | None = None,
    ) -> bool:
        """Fill the article's blanks from `article`; False, and nothing changed, if the claim was lost.

        Only what is still blank is filled: a page that was read meanwhile keeps what it said. `matches` are of the
        text with its blanks filled, and are stored where that text is the one given. `again_at`: look once more then.
        """
        later = t.enrichment.update().where(_held(task)).values(due_at=again_at, lease_until=None, last_error="")
        done = t.enrichment.delete().where(_held(task))
        if not changed(db.execute(done if again_at is None else later)):
            return False
        before = db.execute(t.article.select().where(_a.id == task.article.id)).one()
        values = rows.of_article(article)
        blank = {
            name: values[name] for name in _FILLED if _is_blank(before._mapping[name]) and not _is_blank(values[name])
        }
        if not blank:
            return True
        old = [(before.id, before.title, before.body or before.summary)]
        new = [(before.id, before.title, before.body or blank.get("summary") or before.summary)]
        if new != old:
            search.remove(db, old)
        db.execute(t.article.update().where(_a.id == before.id).values(blank))
        stories.put_due(db, [before.id])
        if new != old:
            search.add(db, new)
        if matches is not None and (before.title, before.body) == (values["title"], values["body"]):
            mine = [replace(match, article_id=before.id) for match in matches]
            topic_matches.replace(db, _m.article_id == before.id, mine, now=now, old_news=False)
        return True

    @writes
    def failed(self, db: sa.Connection, task: EnrichTask, error: str, next_try_at: datetime | None) -> bool:
        """Record why, and try again then, or (None) never. False if the claim was lost."""
        values = {"last_error": error, "due_at": next_try_at, "lease_until": None}
        return changed(db.execute(t.enrichment.update().where(_held(task)).values(values)))

    @reads
    def known(self, db: sa.Connection, doi: str, pmid: str, fresh_after: datetime) -> Paper | None:
        """What was said of this paper after then; by its DOI first."""
        for key in _keys(doi, pmid):
            row = db.execute(t.paper.select().where(_p.key == key, _p.fetched_at > fresh_after)).first()
            if row is not None:
                return _to_paper(row.data)
        return None

    @writes
    def remember(self, db: sa.Connection, paper: Paper, now: datetime) -> None:
        """Under its DOI and its PMID; what was known before is replaced."""
        for key in _keys(paper.doi, paper.pmid):
            value = {"data": _of_paper(paper), "fetched_at": now}
            new = insert_into(db, t.paper).values({"key": key, **value})
            db.execute(new.on_conflict_do_update(index_elements=["key"], set_=value))

    @reads
    def waiting(self, db: sa.Connection) -> int:
        """How many articles wait to be completed."""
        return db.scalar(sa.select(sa.func.count()).select_from(t.enrichment).where(_n.due_at.is_not(None))) or 0

    @writes
    def prune(self, db: sa.Connection, before: datetime) -> int:
        """Forget what was said before then; how many."""
        return db.execute(t.paper.delete().where(_p.fetched_at < before)).rowcount


def put_due(db: sa.Connection, article_ids: Sequence[int], now: datetime) -> None:
    """In the transaction that stores these articles: their papers are to be looked up."""
    values = [
        {"article_id": number, "due_at": now, "attempts": 0, "epoch": 0, "lease_until": None, "last_error": ""}
        for number in sorted(article_ids)
    ]
    insert_many(db, t.enrichment, values)


_FILLED = (
    "published_at",
    "language",
    "authors",
    "doi",
    "doi_key",
    "pmid",
    "journal",
    "summary",
    "mesh",
    "publication_types",
    "trial_ids",
    "open_access_url",
)


def _is_blank(value: object) -> bool:
    return value in (None, "", "[]")


def _held(task: EnrichTask) -> sa.ColumnElement[bool]:
    return sa.and_(_n.article_id == task.article.id, _n.epoch == task.epoch, _n.lease_until.is_not(None))


def _keys(doi: str, pmid: str) -> list[str]:
    normal = normal_doi(doi)
    return [*([f"doi:{normal}"] if normal else []), *([f"pmid:{pmid}"] if pmid else [])]


_TUPLES = ("authors", "mesh", "publication_types", "trial_ids", "asked")


def _of_paper(paper: Paper) -> str:
    values: dict[str, Any] = {field.name: getattr(paper, field.name) for field in fields(paper)}
    values["published"] = paper.published.isoformat() if paper.published else ""
    for name, value in values.items():
        values[name] = (
            [clean(part) for part in value] if name in _TUPLES else clean(value) if isinstance(value, str) else value
        )
    return json.dumps(values, ensure_ascii=False)


def _to_paper(text: str) -> Paper:
    values: dict[str, Any] = json.loads(text)
    values["published"] = datetime.fromisoformat(values["published"]) if values["published"] else None
    for name in _TUPLES:
        values[name] = tuple(values[name])
    return Paper(**values)
