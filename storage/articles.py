"""Articles: each stored once, however many entries name it, and found again by words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from monitor.errors import NotFound, StorageError
from monitor.identity import normal_doi, url_key
from monitor.model import Article, IndexQuery, Match, Source
from monitor.text import index_text
from storage import matches as topic_matches
from storage import papers, rows, search, stories
from storage import tables as t
from storage.engine import chunks, clean, insert_many, reads, writes
from storage.entries import mark_of
from storage.pages import Pages, get_many, put_text, select_articles
from storage.sources import lock
from storage.values import Counts, Saved

_a = t.article.c
_IDS = sa.select(_a.key, _a.id).where(_a.key.in_(sa.bindparam("some", expanding=True)))
_LAST_ID = sa.select(sa.func.coalesce(sa.func.max(_a.id), 0))
_s = t.source.c


class Articles(Pages):
    @writes
    def save(self, db: sa.Connection, source: Source | None, found: Sequence[Saved], now: datetime) -> Counts:
        """Store entries, articles, matches, index and due pages in one transaction.

        An article whose key is known is not stored again: its entry is linked to it and its blank fields are filled;
        its text and matches stay, unless it had no text at all. Raises StorageError, with nothing changed, when the
        claim on `source` (its epoch) was lost. `source` may be None, or have epoch 0, for an article added by hand.
        """
        if source is not None and source.epoch:
            _check_claim(db, source)
        source_id = source.id if source is not None else None
        first = _by_key(found)
        values = {key: rows.of_article(saved.article) for key, saved in first.items()}
        known = _ids(db, list(values))
        new = _insert(db, [values[key] for key in sorted(values) if key not in known], source_id, now)
        known |= _ids(db, sorted(values.keys() - known.keys() - new.keys()))  # another process was first with these
        _fill_blanks(db, known, values, first, now)
        if source_id is not None:
            _link_entries(db, source_id, found, {**known, **new}, set(known), now)
        search.add_words(db, [(number, *_words(first[key], values[key])) for key, number in new.items()])
        _put_matches(db, {number: first[key].matches for key, number in new.items()}, now, new=True)
        _put_pages(db, {number: first[key] for key, number in new.items()})
        stories.put_due(db, new.values())
        wanted = {
            key
            for key, saved in first.items()
            if papers.to_look_up(saved.article, saved.matches if saved.page_due_at is None else ())
        }
        papers.put_due(db, [number for key, number in new.items() if key in wanted], now)
        return Counts(new=len(new), known=len(known))

    @reads
    def get(self, db: sa.Connection, article_id: int) -> Article:
        """Raises NotFound."""
        row = db.execute(select_articles().where(_a.id == article_id)).first()
        if row is None:
            raise NotFound(f"no article {article_id}")
        return rows.to_article(row)

    @reads
    def get_many(self, db: sa.Connection, article_ids: Sequence[int]) -> list[Article]:
        """In the order asked for; unknown ones are left out."""
        return get_many(db, article_ids)

    @reads
    def find(self, db: sa.Connection, text: str) -> Article | None:
        """By id, key, address or DOI (in any of its forms); of several with one DOI the newest."""
        text = text.strip()
        by: list[sa.ColumnElement[bool]] = [_a.key == text]
        by += [_a.id == int(text)] if text.isdecimal() and len(text) < 10 else []
        by += [_a.key == url_key(text)] if "/" in text else []
        by += [_a.doi_key == doi] if (doi := normal_doi(text)) else []
        for wanted in by:
            row = db.execute(select_articles().where(wanted).order_by(_a.id.desc()).limit(1)).first()
            if row is not None:
                return rows.to_article(row)
        return None

    @reads
    def search(
        self,
        db: sa.Connection,
        query: IndexQuery | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        source: str | None = None,
        limit: int = 50,
        ranked: bool = False,
    ) -> list[Article]:
        """Articles stored at or after `since` and before `until`, newest first; `ranked`: best first, of the newest
        2,000 hits.
        """
        articles = select_articles().where(*_stored(since, until))
        articles = articles.where(_s.slug == source) if source is not None else articles
        if query is None:
            found = articles.order_by(_a.id.desc())
        elif ranked:
            hits = search.ranked(db, query).subquery()
            found = articles.join(hits, hits.c.id == _a.id).order_by(hits.c.rank, _a.id.desc())
        else:
            hits = search.hits(db, query).subquery()
            found = articles.join(hits, hits.c.id == _a.id).order_by(hits.c.id.desc())
        return [rows.to_article(row) for row in db.execute(found.limit(limit))]

    @reads
    def candidates(
        self,
        db: sa.Connection,
        query: IndexQuery | None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        after_id: int = 0,
        limit: int = 500,
    ) -> list[Article]:
        """One batch, by rising id, of all articles that `query` may match (None: of all). Empty: there are no more."""
        articles = select_articles().where(_a.id > after_id, *_stored(since, until))
        if query is not None:
            hits = search.hits(db, query).subquery()
            articles = articles.join(hits, hits.c.id == _a.id).where(hits.c.id > after_id)
        return [rows.to_article(row) for row in db.execute(articles.order_by(_a.id).limit(limit))]

    @reads
    def hits(
        self,
        db: sa.Connection,
        query: IndexQuery | None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """How many articles `query` may match."""
        counted = sa.select(sa.func.count()).select_from(t.article).where(*_stored(since, until))
        if query is not None:
            counted = counted.where(_a.id.in_(search.hits(db, query)))
        return db.scalar(counted) or 0

    @reads
    def recent(self, db: sa.Connection, limit: int = 50) -> list[Article]:
        """Newest first."""
        return [rows.to_article(row) for row in db.execute(select_articles().order_by(_a.id.desc()).limit(limit))]

    @reads
    def count(self, db: sa.Connection) -> int:
        return db.scalar(sa.select(sa.func.count()).select_from(t.article)) or 0

    @writes
    def prune(self, db: sa.Connection, before: datetime) -> int:
        """Delete articles stored before then; how many. What was mailed or labelled is kept.

        Their entries stay known, so a feed that still lists them does not bring them back.
        """
        mailed = sa.exists().where(t.digest_item.c.article_id == _a.id)
        labelled = sa.exists().where(t.label.c.article_id == _a.id)
        query = sa.select(_a.id, _a.title, _a.body, _a.summary).where(_a.stored_at < before, ~mailed, ~labelled)
        old = db.execute(query.order_by(_a.id)).all()
        for some in chunks(old):
            search.remove(db, [(row.id, row.title, row.body or row.summary) for row in some])
            db.execute(t.article.delete().where(_a.id.in_([row.id for row in some])))
        return len(old)


def _stored(since: datetime | None, until: datetime | None) -> list[sa.ColumnElement[bool]]:
    wanted: list[sa.ColumnElement[bool]] = []
    wanted += [_a.stored_at >= since] if since is not None else []
    wanted += [_a.stored_at < until] if until is not None else []
    return wanted


# --- saving ---------------------------------------------------------------------------------------------------


def _check_claim(db: sa.Connection, source: Source) -> None:
    """Nobody can take the source over until the transaction ends."""
    if not lock(db, source):
        raise StorageError(f"the claim on source {source.slug} was lost: another process has taken over")


def _by_key(found: Sequence[Saved]) -> dict[str, Saved]:
    """The first of each key: one statement must not hold a key twice."""
    first: dict[str, Saved] = {}
    for saved in found:
        first.setdefault(clean(saved.article.key), saved)
    return first


def _text(article: rows.Values) -> str:
    text: str = article["body"] or article["summary"]
    return text


def _words(saved: Saved, stored: rows.Values) -> tuple[str, str]:
    """What the index gets: of the texts as they are stored, for they are taken out of it by those."""
    article, title, text = saved.article, stored["title"], _text(stored)
    if saved.words is not None and article.title == title and (article.body or article.summary) == text:
        return saved.words
    return index_text(title), index_text(text)


def _ids(db: sa.Connection, keys: Sequence[str]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for some in chunks(keys):
        ids.update((key, number) for key, number in db.execute(_IDS, {"some": some}))
    return ids


def _insert(db: sa.Connection, articles: list[rows.Values], source_id: int | None, now: datetime) -> dict[str, int]:
    """Insert what is not there, with ids reserved before: no RETURNING, which costs more than the insert itself.

    Returns the ids of those inserted. On PostgreSQL another process may have been first with some.
    """
    if not articles:
        return {}
    if db.dialect.name == "sqlite":  # the only writer, in its transaction
        start = db.scalar(_LAST_ID) or 0
        ids = list(range(start + 1, start + 1 + len(articles)))
    else:
        number = sa.func.nextval(sa.func.pg_get_serial_sequence("article", "id"))
        ids = sorted(db.scalars(sa.select(number).select_from(sa.func.generate_series(1, len(articles)))))
    values = [
        {**article, "id": number, "source_id": source_id, "stored_at": now}
        for article, number in zip(articles, ids, strict=True)
    ]
    inserted = insert_many(db, t.article, values)
    wanted = {article["key"]: number for article, number in zip(articles, ids, strict=True)}
    if inserted == len(articles):
        return wanted
    stored = _ids(db, list(wanted))
    return {key: number for key, number in wanted.items() if stored.get(key) == number}


def _fill_blanks(
    db: sa.Connection, known: dict[str, int], values: dict[str, rows.Values], first: dict[str, Saved], now: datetime
) -> None:
    for some in chunks(sorted(known.values())):
        for before in db.execute(t.article.select().where(_a.id.in_(some)).order_by(_a.id)).all():
            new = values[before.key]
            blank = {
                name: new[name] for name in _BLANKS if _is_blank(before._mapping[name]) and not _is_blank(new[name])
            }
            if not before.body and not before.summary and (new["body"] or new["summary"]):
                blank |= {name: new[name] for name in _TEXT}
                _put_matches(db, {before.id: first[before.key].matches}, now)
            if blank:
                put_text(db, before, blank)
            if blank.get("doi_key") and not before.pmid:
                papers.put_due(db, [before.id], now)


_TEXT = ("title", "summary", "body")
_BLANKS = (
    "published_at",
    "language",
    "authors",
    "byline",
    "category",
    "doi",
    "doi_key",
    "pmid",
    "journal",
    "provider",
    "publisher",
    "citation",
    "copyright",
    "mesh",
    "publication_types",
    "trial_ids",
    "open_access_url",
    "versions",
)


def _is_blank(value: object) -> bool:
    return value in (None, "", "[]")


def _link_entries(
    db: sa.Connection,
    source_id: int,
    found: Sequence[Saved],
    ids: dict[str, int],
    known: set[str],
    now: datetime,
) -> None:
    entries: dict[bytes, rows.Values] = {}
    for saved in found:
        mark = mark_of(saved.entry)
        key = clean(saved.article.key)
        entries.setdefault(
            mark.key,
            {
                "source_id": source_id,
                "article_id": ids[key],
                "key_hash": mark.key,
                "guid_hash": mark.guid,
                "title_hash": mark.title,
                "known": key in known,
                "seen_at": now,
            },
        )
    insert_many(db, t.entry, [entries[key] for key in sorted(entries)])


def _put_matches(db: sa.Connection, matches: dict[int, tuple[Match, ...]], now: datetime, *, new: bool = False) -> None:
    mine = [replace(match, article_id=number) for number, some in matches.items() for match in some]
    topic_matches.put(db, mine, now=now, old_news=False, new=new)


def _put_pages(db: sa.Connection, articles: dict[int, Saved]) -> None:
    values = [
        {
            "article_id": number,
            "url": clean(saved.entry.url or saved.article.url),
            "entry": rows.of_entry(saved.entry),
            "due_at": saved.page_due_at,
            "attempts": 0,
            "epoch": 0,
            "last_error": "",
        }
        for number, saved in sorted(articles.items())
        if saved.page_due_at is not None
    ]
    insert_many(db, t.page, values)
