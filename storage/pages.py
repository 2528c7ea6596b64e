"""Pages to fetch for articles of which only a feed's words are known yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from monitor.model import Article, Match
from storage import matches as topic_matches
from storage import papers, rows, search, stories
from storage import tables as t
from storage.engine import Repository, changed, writes
from storage.values import PageTask

_p = t.page.c
_a = t.article.c
_m = t.match.c


class Pages(Repository):
    @writes
    def claim_due_pages(
        self, db: sa.Connection, now: datetime, limit: int, lease: timedelta, server: str | None = None
    ) -> list[PageTask]:
        """Take up to `limit` pages that are due and held by nobody, longest due first; `server`: only those of one
        server (PostgreSQL).
        """
        free = sa.or_(_p.lease_until.is_(None), _p.lease_until <= now)
        here = sa.true() if server is None else sa.func.coalesce(sa.func.engine.server(_p.url), "") == server
        ready = sa.select(_p.article_id).where(_p.due_at <= now, free, here)
        due = ready.order_by(_p.due_at, _p.article_id).limit(limit)
        ids = db.scalars(due.with_for_update(skip_locked=True)).all()
        if not ids:
            return []
        step = {"epoch": _p.epoch + 1, "attempts": _p.attempts + 1, "lease_until": now + lease}
        db.execute(t.page.update().where(_p.article_id.in_(ids)).values(step))
        articles = {article.id: article for article in get_many(db, ids)}
        claimed = {row.article_id: row for row in db.execute(t.page.select().where(_p.article_id.in_(ids)))}
        return [_to_task(claimed[number], articles[number]) for number in ids]

    @writes
    def renew_page(self, db: sa.Connection, task: PageTask, lease_until: datetime) -> bool:
        """Keep a claim for longer. False: it is lost, stop."""
        return changed(db.execute(t.page.update().where(_held(task)).values(lease_until=lease_until)))

    @writes
    def release_page(self, db: sa.Connection, task: PageTask) -> bool:
        """Give a claim back undone; the page is still due."""
        return changed(db.execute(t.page.update().where(_held(task)).values(lease_until=None)))

    @writes
    def page_saved(
        self, db: sa.Connection, task: PageTask, article: Article, matches: Sequence[Match], now: datetime
    ) -> bool:
        """Replace the article's text and matches by its page's; False, and nothing changed, if the claim was lost.

        What the page leaves blank stays as the feed said it. A match that no longer holds is removed unless it was
        delivered; one that holds still keeps its `matched_at`.
        """
        if not changed(db.execute(t.page.delete().where(_held(task)))):
            return False
        number = task.article.id
        before = db.execute(t.article.select().where(_a.id == number)).one()
        put_text(db, before, _from_page(article) | ({"doi_evidence": ""} if article.doi else {}))
        if not (before.doi_key or before.pmid) and papers.to_look_up(article, matches):
            papers.put_due(db, [number], now)
        mine = [replace(match, article_id=number) for match in matches]
        topic_matches.replace(db, _m.article_id == number, mine, now=now, old_news=False)
        return True

    @writes
    def page_failed(self, db: sa.Connection, task: PageTask, error: str, next_try_at: datetime | None) -> bool:
        """Record why, and try again then, or (None) never. False if the claim was lost."""
        values = {"last_error": error, "due_at": next_try_at, "lease_until": None}
        if not changed(db.execute(t.page.update().where(_held(task)).values(values))):
            return False
        article = task.article
        if next_try_at is None and article.stored_at and not (article.doi or article.pmid):  # its teaser has to do
            matched = [rows.to_match(row) for row in db.execute(t.match.select().where(_m.article_id == article.id))]
            if papers.to_look_up(article, matched):
                papers.put_due(db, [article.id], article.stored_at)
        return True


def _held(task: PageTask) -> sa.ColumnElement[bool]:
    return sa.and_(_p.article_id == task.article.id, _p.epoch == task.epoch, _p.lease_until.is_not(None))


def _to_task(row: rows.Row, article: Article) -> PageTask:
    return PageTask(
        article=article, entry=rows.to_entry(row.entry), url=row.url, attempts=row.attempts, epoch=row.epoch
    )


_IDENTITY = ("key", "url")  # stay as they were: other entries are compared with them


def _from_page(article: Article) -> rows.Values:
    page = rows.of_article(article)
    return {
        name: value
        for name, value in page.items()
        if name not in _IDENTITY and (value not in (None, "", "[]") or name == "body")
    }


def put_text(db: sa.Connection, before: rows.Row, values: rows.Values) -> None:
    """Change columns of an article, and the index with them."""
    old = [(before.id, before.title, before.body or before.summary)]
    after = {**before._mapping, **values}
    new = [(before.id, after["title"], after["body"] or after["summary"])]
    if new != old:
        search.remove(db, old)
    db.execute(t.article.update().where(_a.id == before.id).values(values))
    stories.put_due(db, [before.id])
    if new != old:
        search.add(db, new)


def get_many(db: sa.Connection, article_ids: Sequence[int]) -> list[Article]:
    """In the order asked for; unknown ones are left out."""
    known = {row.id: rows.to_article(row) for row in db.execute(select_articles().where(_a.id.in_(article_ids)))}
    return [known[number] for number in article_ids if number in known]


def select_articles() -> sa.Select[tuple[object, ...]]:
    """Articles with the slug of the source that brought them first."""
    joined = t.article.outerjoin(t.source, t.source.c.id == _a.source_id)
    return sa.select(*t.article.c, t.source.c.slug.label("source_slug")).select_from(joined)
