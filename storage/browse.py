"""What pages ask across nouns: an archive page with its filters, a source's days, how much went through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from monitor.model import Article, DeliveryState, IndexQuery, Match, Verdict
from storage import rows, search
from storage import tables as t
from storage.engine import Repository, reads
from storage.pages import select_articles

_a = t.article.c
_s = t.source.c
_m = t.match.c
_p = t.poll.c
_d = t.delivery.c
_l = t.label.c
_SUCCESS = ("ok", "unchanged")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDay:
    """One source's visits of one day (`back` days before the last one)."""

    source_id: int
    back: int
    well: int
    failed: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """What went through since a time: from sources that were read to digests that were accepted. `stories`: of the
    articles that matched; `in_digests`: articles that stood for a story there.
    """

    sources: int
    visits: int
    failed_visits: int
    articles: int
    matched: int
    matches: int
    stories: int
    in_digests: int
    sent: int


class Browse(Repository):
    @reads
    def articles(
        self,
        db: sa.Connection,
        query: IndexQuery | None,
        *,
        source: str = "",
        topic_id: int | None = None,
        verdict: Verdict | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[Article]:
        """Newest first, below `before_id`. `verdict`: labelled so by anybody (for `topic_id`, where one is given);
        `topic_id` without it: matched by that topic.
        """
        wanted: list[sa.ColumnElement[bool]] = []
        wanted += [_s.slug == source] if source else []
        wanted += [_a.stored_at >= since] if since is not None else []
        wanted += [_a.stored_at < until] if until is not None else []
        wanted += [_a.id < before_id] if before_id is not None else []
        if verdict is not None:
            said = sa.select(_l.article_id).where(_l.verdict == verdict.value)
            wanted.append(_a.id.in_(said.where(_l.topic_id == topic_id) if topic_id is not None else said))
        elif topic_id is not None:
            wanted.append(_a.id.in_(sa.select(_m.article_id).where(_m.topic_id == topic_id)))
        found = select_articles().where(*wanted)
        order: sa.ColumnElement[int] = _a.id
        if query is not None:
            hits = search.hits(db, query).subquery()
            found = found.join(hits, hits.c.id == _a.id)
            order = hits.c.id
            if before_id is not None:
                found = found.where(hits.c.id < before_id)
        return [rows.to_article(row) for row in db.execute(found.order_by(order.desc()).limit(limit))]

    @reads
    def source_names(self, db: sa.Connection) -> dict[str, str]:
        """Names by slug, for what shows articles of many sources."""
        return {row.slug: row.name for row in db.execute(sa.select(_s.slug, _s.name))}

    @reads
    def matches_of(self, db: sa.Connection, article_ids: Sequence[int]) -> dict[int, list[Match]]:
        """Every topic's stored match of these articles."""
        found: dict[int, list[Match]] = {}
        query = t.match.select().where(_m.article_id.in_(article_ids)).order_by(_m.article_id, _m.topic_id)
        for row in db.execute(query):
            found.setdefault(row.article_id, []).append(rows.to_match(row))
        return found

    @reads
    def labels_of(self, db: sa.Connection, article_id: int) -> list[tuple[int, str, Verdict, str]]:
        """Of one article: (topic id, who, verdict, reason)."""
        query = t.label.select().where(_l.article_id == article_id).order_by(_l.topic_id, _l.by)
        return [(row.topic_id, row.by, Verdict(row.verdict), row.reason) for row in db.execute(query)]

    @reads
    def source_days(self, db: sa.Connection, end: datetime, days: int) -> list[SourceDay]:
        """Visits by source and day, the day that ends at `end` being 0 days back."""
        day = timedelta(days=1)
        back = sa.case(*((_p.at >= end - (number + 1) * day, number) for number in range(days)), else_=days)
        well = sa.case((_p.outcome.in_(_SUCCESS), 1), else_=0)
        query = (
            sa.select(
                _p.source_id,
                back.label("back"),
                sa.func.sum(well).label("well"),
                sa.func.count().label("all"),
                sa.func.sum(_p.new).label("new"),
            )
            .where(_p.at >= end - days * day, _p.at < end)
            .group_by(_p.source_id, back)
        )
        return [
            SourceDay(
                source_id=row.source_id, back=row.back, well=int(row.well), failed=row.all - int(row.well),
                new=int(row.new or 0),
            )
            for row in db.execute(query)
        ]  # fmt: skip

    @reads
    def funnel(self, db: sa.Connection, since: datetime, now: datetime) -> Funnel:
        def count(query: sa.Select[tuple[int]]) -> int:
            return db.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0

        visits = (_p.at >= since, _p.at <= now)
        accepted = (_d.state == DeliveryState.ACCEPTED.value, _d.settled_at >= since, _d.subscription_id.is_not(None))
        told = sa.select(t.story_member.c.story_id).join(t.match, _m.article_id == t.story_member.c.article_id)
        items = sa.select(t.digest_item.c.article_id).join(t.delivery, _d.id == t.digest_item.c.delivery_id)
        return Funnel(
            sources=count(sa.select(_p.source_id).where(*visits, _p.outcome.in_(_SUCCESS)).distinct()),
            visits=count(sa.select(_p.id).where(*visits)),
            failed_visits=count(sa.select(_p.id).where(*visits, _p.outcome.not_in(_SUCCESS))),
            articles=count(sa.select(_a.id).where(_a.stored_at >= since)),
            matched=count(sa.select(_m.article_id).where(_m.stored_at >= since).distinct()),
            matches=count(sa.select(_m.article_id).where(_m.stored_at >= since)),
            stories=count(told.where(_m.stored_at >= since).distinct()),
            in_digests=count(items.where(*accepted).distinct()),
            sent=count(sa.select(_d.id).where(*accepted)),
        )

    @reads
    def bounced(
        self, db: sa.Connection, limit: int = 50, after: tuple[datetime, int, str] | None = None
    ) -> list[tuple[int, str, str, datetime, str, str]]:
        """The newest mails that came back: (delivery, to whom, kind, when, status, what the server said). `after`: only
        those older than this (when, delivery, kind).
        """
        b = t.bounce.c
        query = (
            sa.select(b.delivery_id, _d.recipient, b.kind, b.at, b.status, b.diagnostic)
            .select_from(t.bounce.join(t.delivery))
            .where(_older(b, *after) if after is not None else sa.true())
            .order_by(b.at.desc(), b.delivery_id.desc(), b.kind.desc())
            .limit(limit)
        )
        return [tuple(row) for row in db.execute(query)]


def _older(b: Any, at: datetime, number: int, kind: str) -> sa.ColumnElement[bool]:
    same_mail = sa.and_(b.delivery_id == number, b.kind < kind)
    return sa.or_(b.at < at, sa.and_(b.at == at, sa.or_(b.delivery_id < number, same_mail)))
