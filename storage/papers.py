"""What the scholarly indexes said of papers, and the articles that still wait to be completed by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, cast

import sqlalchemy as sa

from monitor.identity import normal_doi
from monitor.model import Article, Entry, Match, Paper
from monitor.story.trace import questions
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
            EnrichTask(
                article=articles[number],
                attempts=claimed[number].attempts,
                epoch=claimed[number].epoch,
                looks=claimed[number].looks,
            )
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

        Only what is still blank is filled: a page that was read meanwhile keeps what it said; MeSH terms, types, trial
        numbers and versions grow. `matches` are of the text with its blanks filled, and are stored where that text is
        the one given. `again_at`: look once more then.
        """
        step = {"due_at": again_at, "attempts": 0, "looks": _n.looks + 1, "lease_until": None, "last_error": ""}
        later = t.enrichment.update().where(_held(task)).values(step)
        done = t.enrichment.delete().where(_held(task))
        if not changed(db.execute(done if again_at is None else later)):
            return False
        before = db.execute(t.article.select().where(_a.id == task.article.id)).one()
        values = rows.of_article(article)
        known = before._mapping
        filled = _FOUND if not (before.doi or before.pmid) else ()
        blank = {
            name: values[name] for name in (*_FILLED, *filled) if _is_blank(known[name]) and not _is_blank(values[name])
        }
        for name in _GROWING:
            together = (*rows.unpacked(known[name]), *getattr(article, name))
            if (grown := rows.packed(dict.fromkeys(together))) != known[name]:
                blank[name] = grown
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

    @reads
    def itself(self, db: sa.Connection, doi: str) -> Article | None:
        """The article that is this paper or preprint itself, not one about it."""
        joined = t.article.outerjoin(t.source, t.source.c.id == _a.source_id)
        query = sa.select(*t.article.c, t.source.c.slug.label("source_slug")).select_from(joined)
        row = db.execute(query.where(_a.key == f"doi:{normal_doi(doi)}")).first()
        return None if row is None else rows.to_article(cast(rows.Row, row))

    @reads
    def awaiting(self, db: sa.Connection, before: datetime, limit: int) -> list[str]:
        """PMIDs of papers without MeSH terms, due for another look before then: one question may ask for all."""
        due = sa.and_(_n.looks > 0, _n.due_at <= before, _a.pmid != "", _a.mesh == "[]")
        query = sa.select(_a.pmid).join(t.enrichment, _n.article_id == _a.id).where(due).distinct()
        return list(db.scalars(query.order_by(_a.pmid).limit(limit)))

    @writes
    def same_study(self, db: sa.Connection, one: str, other: str) -> int:
        """Two DOIs are a preprint and its paper: every article with either names the other from now on, and its story
        is told anew; how many articles learned something.
        """
        told = []
        for doi, version in ((normal_doi(one), normal_doi(other)), (normal_doi(other), normal_doi(one))):
            for row in db.execute(sa.select(_a.id, _a.versions).where(_a.doi_key == doi)).all():
                known = rows.unpacked(row.versions)
                if version not in known:
                    both = {"versions": rows.packed((*known, version))}
                    db.execute(t.article.update().where(_a.id == row.id).values(both))
                    told.append(row.id)
        stories.put_due(db, told)
        return len(told)

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
            _put(db, key, _of_paper(paper), now)

    @reads
    def searched(self, db: sa.Connection, question: str, fresh_after: datetime) -> list[Entry] | None:
        """What an index answered to this question after then; None: it was not asked."""
        row = db.execute(t.paper.select().where(_p.key == _search_key(question), _p.fetched_at > fresh_after)).first()
        return None if row is None else [rows.to_entry(entry) for entry in json.loads(row.data)]

    @writes
    def remember_search(self, db: sa.Connection, question: str, found: Sequence[Entry], now: datetime) -> None:
        _put(db, _search_key(question), json.dumps([rows.of_entry(entry) for entry in found]), now)

    @reads
    def waiting(self, db: sa.Connection) -> int:
        """How many articles wait to be completed."""
        return db.scalar(sa.select(sa.func.count()).select_from(t.enrichment).where(_n.due_at.is_not(None))) or 0

    @writes
    def prune(self, db: sa.Connection, before: datetime) -> int:
        """Forget what was said before then; how many."""
        return db.execute(t.paper.delete().where(_p.fetched_at < before)).rowcount


def to_look_up(article: Article, matches: Sequence[Match]) -> bool:
    """Is there a paper to look up: one that it names, or, where a topic wants it, one that it seems to mean?"""
    return bool(article.doi or article.pmid or (matches and questions(article)))


def put_due(db: sa.Connection, article_ids: Sequence[int], now: datetime) -> None:
    """In the transaction that stores these articles: their papers are to be looked up."""
    values = [
        {"article_id": number, "due_at": now, "attempts": 0, "epoch": 0, "lease_until": None, "last_error": ""}
        for number in sorted(article_ids)
    ]
    insert_many(db, t.enrichment, values)


def _put(db: sa.Connection, key: str, data: str, now: datetime) -> None:
    value = {"data": data, "fetched_at": now}
    new = insert_into(db, t.paper).values({"key": key, **value})
    db.execute(new.on_conflict_do_update(index_elements=["key"], set_=value))


def _search_key(question: str) -> str:
    return f"search:{sha256(question.encode('utf-8', 'replace')).hexdigest()}"


_FILLED = (
    "published_at",
    "language",
    "authors",
    "doi",
    "doi_key",
    "pmid",
    "journal",
    "summary",
    "open_access_url",
)
_GROWING = ("mesh", "publication_types", "trial_ids", "versions")  # an index says more of a paper as time goes by
_FOUND = ("doi_evidence",)


def _is_blank(value: object) -> bool:
    return value in (None, "", "[]")


def _held(task: EnrichTask) -> sa.ColumnElement[bool]:
    return sa.and_(_n.article_id == task.article.id, _n.epoch == task.epoch, _n.lease_until.is_not(None))


def _keys(doi: str, pmid: str) -> list[str]:
    normal = normal_doi(doi)
    return [*([f"doi:{normal}"] if normal else []), *([f"pmid:{pmid}"] if pmid else [])]


_TUPLES = ("authors", "mesh", "publication_types", "trial_ids", "versions", "asked")


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
        values[name] = tuple(values.get(name, ()))  # kept by a program that did not know it yet
    return Paper(**values)
