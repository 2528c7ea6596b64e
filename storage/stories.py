"""Stories: which articles are about the same study, told in batches, each batch one transaction.

What an article brings (names, shingles) is kept under the article; its story is looked up beside it. So a merge or a
split changes story_member alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

import sqlalchemy as sa

from monitor.errors import NotFound, StorageError
from monitor.identity import normal_doi, normal_title
from monitor.model import Article, Correction
from monitor.story.corrections import corrections_in
from monitor.story.evidence import Evidence, evidence, name, same_authors, stage, vouches
from monitor.story.settle import Bounds, Known, Placement, TitleSeen, settle
from storage import corrections, rows
from storage import tables as t
from storage.audit import record
from storage.engine import Database, Repository, chunks, insert_into, insert_many, reads, writes

BATCH = 200
_LOCK = 0x73746F7279  # "story": on PostgreSQL one process settles at a time, or two would each found the same story
_a = t.article.c
_m = t.story_member.c
_n = t.story_name.c
_g = t.ledger.c
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An article in its story, and why it is there."""

    article: Article
    source_name: str
    step: str
    share: float


class Stories(Repository):
    def __init__(self, database: Database, bounds: Bounds) -> None:
        super().__init__(database)
        self._bounds = bounds

    async def settle(self, now: datetime) -> int:
        """Give every article that waits for it its story; how many. Safe to call from any number of processes."""
        total = 0
        while await self.waiting():
            total += await self.settle_batch(now)
        return total

    @writes
    def settle_batch(self, db: sa.Connection, now: datetime, limit: int = BATCH) -> int:
        """Up to `limit` of them, first come first; 0: none waits."""
        _lock(db)
        due = sa.select(t.story_due.c.article_id).order_by(t.story_due.c.article_id).limit(limit)
        ids = list(db.scalars(due.with_for_update()))
        articles = {article.id: article for article in _articles(db, ids)}
        batch = [evidence(articles[number], articles[number].stored_at or now) for number in ids if number in articles]
        known = _known(db, batch, now, self._bounds)
        before = known.story_of.keys() & articles.keys()
        settled = settle(batch, known, _Vouch(db, articles))
        for gone, kept in settled.merged:
            _merge(db, gone, kept)
        _put_members(db, settled.placements, before, now)
        _put_names(db, batch)
        day = (now - _EPOCH).days
        insert_many(
            db, t.shingle, [{"hash": h, "article_id": one, "day": day} for one, some in settled.shingles for h in some]
        )
        db.execute(t.story_due.delete().where(t.story_due.c.article_id.in_(ids)))
        corrections.put(db, _noticed(db, articles.values()), now)
        return len(ids)

    @reads
    def waiting(self, db: sa.Connection) -> int:
        """How many articles have no story yet."""
        return db.scalar(sa.select(sa.func.count()).select_from(t.story_due)) or 0

    @reads
    def of(self, db: sa.Connection, article_id: int) -> int:
        """The story of an article. Raises NotFound."""
        return _story_of(db, article_id)

    @reads
    def members(self, db: sa.Connection, story_id: int) -> list[Member]:
        """In order of arrival. Raises NotFound where there are none."""
        return _members(db, story_id)

    @reads
    def recent(
        self, db: sa.Connection, limit: int = 50, after: tuple[datetime, int] | None = None
    ) -> list[tuple[int, int, datetime]]:
        """Stories of several articles, the one that grew last first: number, articles, when it grew. `after`: only what
        comes after the story that grew then and has that number.
        """
        grew = sa.func.max(_m.joined_at)
        below: sa.ColumnElement[bool] = sa.true()
        if after is not None:
            at = sa.literal(after[0], _m.joined_at.type)
            below = sa.or_(grew < at, sa.and_(grew == at, _m.story_id < after[1]))
        grown = (
            sa.select(_m.story_id, sa.func.count().label("number"), grew.label("at"))
            .group_by(_m.story_id)
            .having(sa.and_(sa.func.count() > 1, below))
            .order_by(sa.desc("at"), _m.story_id.desc())
            .limit(limit)
        )
        return [(row.story_id, row.number, row.at) for row in db.execute(grown)]

    @writes
    def split(self, db: sa.Connection, article_id: int, now: datetime) -> int:
        """Take an article out of its story, for good; the number of its new one.

        It and each of those that it leaves are told apart: no later evidence brings them together again. Who was sent
        this very article has been sent the new story. A paper that was found for it by a title is taken from it, and is
        not looked for again. Raises NotFound, or StorageError when it is alone.
        """
        _lock(db)
        story = _story_of(db, article_id)
        others = [one.article.id for one in _members(db, story) if one.article.id != article_id]
        if not others:
            raise StorageError(f"article {article_id} is alone in its story: there is nothing to split")
        pairs = [{"low_id": min(one, article_id), "high_id": max(one, article_id)} for one in sorted(others)]
        insert_many(db, t.story_apart, pairs)
        moving, new = ([article_id], article_id) if article_id != story else (others, min(others))
        db.execute(
            t.story_member.update().where(_m.article_id.in_(moving)).values(story_id=new, step="split", joined_at=now)
        )
        db.execute(t.ledger.update().where(_g.story_id == story, _g.article_id.in_(moving)).values(story_id=new))
        db.execute(t.article.update().where(_a.id == article_id, _a.doi_evidence != "").values(_UNTRACED))
        own = new if article_id != story else article_id
        record(db, f"split article {article_id} from its story", story, own)
        return own

    @writes
    def merge(self, db: sa.Connection, one_id: int, other_id: int, now: datetime) -> int:
        """Make one story of two, whatever was said before; its number. Takes stories' numbers."""
        _lock(db)
        kept, gone = sorted((one_id, other_id))
        mine, theirs = (_members(db, number) for number in (kept, gone))
        if kept == gone:
            raise StorageError(f"{kept} is one story already")
        low, high = t.story_apart.c.low_id, t.story_apart.c.high_id
        ours, others = ([member.article.id for member in some] for some in (mine, theirs))
        db.execute(
            t.story_apart.delete().where(
                sa.or_(sa.and_(low.in_(ours), high.in_(others)), sa.and_(low.in_(others), high.in_(ours)))
            )
        )
        db.execute(t.story_member.update().where(_m.story_id == gone).values(step="merged", joined_at=now))
        _merge(db, gone, kept)
        record(db, f"merged the stories {one_id} and {other_id}", f"{one_id}, {other_id}", kept)
        return kept

    @writes
    def prune(self, db: sa.Connection, now: datetime) -> int:
        """Forget the shingles of texts older than the window; how many."""
        oldest = (now - self._bounds.text - _EPOCH).days
        return db.execute(t.shingle.delete().where(t.shingle.c.day < oldest)).rowcount


_UNTRACED = {
    "doi": "", "doi_key": None, "pmid": "", "mesh": "[]", "publication_types": "[]", "versions": "[]",
    "open_access_url": "", "doi_evidence": "an admin has split it from that paper",
}  # fmt: skip


def put_due(db: sa.Connection, article_ids: Iterable[int]) -> None:
    """In the transaction that stores or changes these articles: their stories are to be told."""
    insert_many(db, t.story_due, [{"article_id": number} for number in sorted(article_ids)])


# --- what is known --------------------------------------------------------------------------------------------


def _known(db: sa.Connection, batch: Sequence[Evidence], now: datetime, bounds: Bounds) -> Known:
    known = Known(bounds=bounds)
    wanted = {number for one in batch for number in (*one.names, *one.quoted)}
    wanted |= {number for one in batch for number in (one.title, one.work) if number is not None}
    joined = t.story_name.join(t.story_member, _m.article_id == _n.article_id)
    for some in chunks(sorted(wanted)):
        query = sa.select(*t.story_name.c, _m.story_id).select_from(joined).where(_n.name.in_(some))
        for named in db.execute(query):
            known.names[named.name] = named.story_id
            known.titles[named.name] = TitleSeen(named.story_id, named.at, named.source_id)
            known.works[named.name] = named.article_id
            known.story_of[named.article_id] = named.story_id
    _know_shingles(db, batch, known, now)
    mine = {one.article_id for one in batch}
    apart = [(row.low_id, row.high_id) for row in db.execute(t.story_apart.select())]  # an admin's hand: there are few
    asked = mine | {number for pair in apart for number in pair}
    for some in chunks(sorted(asked)):
        for row in db.execute(sa.select(_m.article_id, _m.story_id).where(_m.article_id.in_(some))):
            known.story_of[row.article_id] = row.story_id
    for low, high in apart:
        known.apart.setdefault(low, set()).add(high)
        known.apart.setdefault(high, set()).add(low)
    _know_stories(db, known)
    return known


def _know_shingles(db: sa.Connection, batch: Sequence[Evidence], known: Known, now: datetime) -> None:
    hashes = sorted({shingle for one in batch for shingle in one.shingles})
    oldest = (now - known.bounds.text - _EPOCH).days
    sqlite = db.dialect.name == "sqlite"
    among = "(select value from json_each(?))" if sqlite else "(select unnest(%s::int[]))"
    place = "?" if sqlite else "%s"
    statement = (
        "select s.hash, m.story_id from shingle s join story_member m on m.article_id = s.article_id"  # noqa: S608
        f" where s.hash in {among} and s.day >= {place}"
    )
    for some in chunks(hashes, 20_000):
        values = json.dumps(some) if sqlite else list(some)
        for shingle, story in db.exec_driver_sql(statement, (values, oldest)).all():
            known.holders.add(shingle, story)


def _know_stories(db: sa.Connection, known: Known) -> None:
    """Of every story that may be joined: its members, their DOIs, how much text it holds."""
    stories = sorted({*known.story_of.values(), *known.holders.stories()})
    joined = t.story_member.join(t.article, _a.id == _m.article_id)
    for some in chunks(stories):
        query = (
            sa.select(_m.article_id, _m.story_id, _m.shingles, _a.doi_key)
            .select_from(joined)
            .where(_m.story_id.in_(some))
        )
        for row in db.execute(query):
            known.story_of[row.article_id] = row.story_id
            known.sizes[row.story_id] = known.sizes.get(row.story_id, 0) + row.shingles
            if row.doi_key:
                known.dois.setdefault(row.story_id, set()).add(row.doi_key)
    known.members.update(known.story_of.values())


class _Vouch:
    """Asked only for an article that names a stored work's title, so seldom."""

    def __init__(self, db: sa.Connection, articles: dict[int, Article]) -> None:
        self._db = db
        self._articles = articles

    def __call__(self, article_id: int, work_id: int) -> bool:
        article, work = self._get(article_id), self._get(work_id)
        if article is None or work is None:
            return False
        return same_authors(article, work) if stage(article) else vouches(article, work)

    def _get(self, number: int) -> Article | None:
        if number not in self._articles:
            for article in _articles(self._db, [number]):
                return article
        return self._articles.get(number)


# --- what is kept ---------------------------------------------------------------------------------------------


def _put_members(db: sa.Connection, placements: Sequence[Placement], before: Set[int], now: datetime) -> None:
    values = [
        {
            "article_id": one.article_id,
            "story_id": one.story_id,
            "step": one.step,
            "share": one.share,
            "shingles": one.shingles,
            "joined_at": now,
        }
        for one in sorted(placements, key=lambda one: one.article_id)
    ]
    insert_many(db, t.story_member, [one for one in values if one["article_id"] not in before])
    again = [one for one in values if one["article_id"] in before]
    if not again:
        return
    insert = insert_into(db, t.story_member)
    moved = insert.excluded.story_id != _m.story_id
    new = {
        "story_id": insert.excluded.story_id,
        "step": sa.case((moved, insert.excluded.step), else_=_m.step),
        "share": sa.case((moved, insert.excluded.share), else_=_m.share),
        "joined_at": sa.case((moved, insert.excluded.joined_at), else_=_m.joined_at),
        "shingles": _m.shingles + insert.excluded.shingles,
    }
    db.execute(insert.on_conflict_do_update(index_elements=[_m.article_id], set_=new), again)


def _put_names(db: sa.Connection, batch: Sequence[Evidence]) -> None:
    """Names belong to who bore them first; a title to who bore it last, for it holds for a week only."""
    first: dict[int, rows.Values] = {}
    last: dict[int, rows.Values] = {}
    for one in batch:
        row = {"article_id": one.article_id, "source_id": one.source_id, "at": one.at}
        for number in (*one.names, *([one.work] if one.work is not None else [])):
            first.setdefault(number, {"name": number, **row})
        if one.title is not None:
            last[one.title] = {"name": one.title, **row}
    insert_many(db, t.story_name, [first[number] for number in sorted(first)])
    if last:
        insert = insert_into(db, t.story_name)
        new = {column: insert.excluded[column] for column in ("article_id", "source_id", "at")}
        values = [last[number] for number in sorted(last)]
        if insert_many(db, t.story_name, values) < len(values):
            db.execute(insert.on_conflict_do_update(index_elements=[_n.name], set_=new), values)


def _merge(db: sa.Connection, gone: int, kept: int) -> None:
    """All of one story's articles, and what readers were sent of it, go to the other."""
    db.execute(t.story_member.update().where(_m.story_id == gone).values(story_id=kept))
    twin = t.ledger.alias("twin")
    known = sa.exists().where(twin.c.subscriber_id == _g.subscriber_id, twin.c.kind == _g.kind, twin.c.story_id == kept)
    db.execute(t.ledger.delete().where(_g.story_id == gone, known))
    db.execute(t.ledger.update().where(_g.story_id == gone).values(story_id=kept))


def _noticed(db: sa.Connection, articles: Iterable[Article]) -> list[Correction]:
    """What new articles say of papers, by titles or types; where one names no DOI, by its paper's title."""
    found: list[Correction] = []
    for article in articles:
        for one in corrections_in(article):
            if one.doi or one.pmid:
                found.append(one)
            elif one.title and (paper := _by_title(db, one.title)) is not None and paper.id != article.id:
                found.append(replace(one, doi=normal_doi(paper.doi), pmid=paper.pmid))
    return [one for one in found if one.doi or one.pmid]


def _by_title(db: sa.Connection, title: str) -> Article | None:
    number = db.scalar(sa.select(_n.article_id).where(_n.name == name("work", normal_title(title))))
    return next(iter(_articles(db, [number])), None) if number is not None else None


# --- rows -----------------------------------------------------------------------------------------------------


def _articles(db: sa.Connection, ids: Sequence[int]) -> list[Article]:
    joined = t.article.outerjoin(t.source, t.source.c.id == _a.source_id)
    query = sa.select(*t.article.c, t.source.c.slug.label("source_slug")).select_from(joined)
    return [rows.to_article(cast(rows.Row, row)) for row in db.execute(query.where(_a.id.in_(ids)).order_by(_a.id))]


def _members(db: sa.Connection, story_id: int) -> list[Member]:
    s = t.source.c
    joined = t.story_member.join(t.article, _a.id == _m.article_id).outerjoin(t.source, s.id == _a.source_id)
    columns = [*t.article.c, s.slug.label("source_slug"), s.name.label("source_name"), _m.step, _m.share, _m.story_id]
    query = sa.select(*columns).select_from(joined).where(_m.story_id == story_id).order_by(_a.id)
    found = [
        Member(article=rows.to_article(row), source_name=row.source_name or "", step=row.step, share=row.share)
        for row in db.execute(query)
    ]
    if not found:
        raise NotFound(f"no story {story_id}")
    return found


def _story_of(db: sa.Connection, article_id: int) -> int:
    number = db.scalar(sa.select(_m.story_id).where(_m.article_id == article_id))
    if number is None:
        raise NotFound(f"no article {article_id}, or its story is not told yet")
    return int(number)


def _lock(db: sa.Connection) -> None:
    if db.dialect.name == "postgresql":
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
