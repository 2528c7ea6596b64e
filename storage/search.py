"""The full-text index: FTS5 on SQLite, tsvector with GIN on PostgreSQL, over the same folded tokens.

The index holds `monitor.text.index_text` of title and text, not the text itself: it finds at least what the matching
engine finds, and the engine decides. Ids rise with arrival, so "newest first" walks the index backwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from monitor.errors import StorageError
from monitor.model import IndexQuery
from monitor.text import FOLD_VERSION, index_text
from storage import tables as t
from storage.engine import CLEAN

RANKED = 2_000  # hits that are ranked, newest first: ranking all of a common word's takes seconds
_BATCH = 1_000
# A tsvector keeps positions up to 16,383, 255 of a word; phrases beyond these are not found by position.
_POSITIONS = 16_383
_REPEATS = 255
_VECTOR_BYTES = 900_000  # of its words; PostgreSQL refuses 1 MiB. More is a book: its end is not indexed
_FOLD_FACT = "fold_version"

Texts = tuple[int, str, str]  # article id, title, body or summary


def add(db: sa.Connection, articles: Sequence[Texts]) -> None:
    """Index new articles. Title and text must be as stored: `remove` folds them again."""
    add_words(db, [(number, index_text(title), index_text(text)) for number, title, text in articles])


def add_words(db: sa.Connection, articles: Sequence[Texts]) -> None:
    """As `add`, of articles whose title and text went through `index_text` already."""
    if not articles:
        return
    if db.dialect.name == "sqlite":
        sql = "insert into article_fts(rowid, title, body) values (?, ?, ?)"
        db.exec_driver_sql(sql, list(articles), execution_options=CLEAN)
        return
    postgres = [_vector(number, title, text) for number, title, text in articles]
    db.exec_driver_sql(
        "insert into article_fts(article_id, tsv, partial) values (%(id)s, %(tsv)s::text::tsvector, %(partial)s)"
        " on conflict (article_id) do update set tsv = excluded.tsv, partial = excluded.partial",
        postgres,
        execution_options=CLEAN,
    )


def remove(db: sa.Connection, articles: Sequence[Texts]) -> None:
    """Take articles out of the index, with title and text as they were when added."""
    if not articles:
        return
    if db.dialect.name == "sqlite":  # a contentless index forgets only what it is told once more
        rows = [(number, index_text(title), index_text(text)) for number, title, text in articles]
        db.exec_driver_sql("insert into article_fts(article_fts, rowid, title, body) values ('delete', ?, ?, ?)", rows)
        return
    db.exec_driver_sql("delete from article_fts where article_id = %s", [(number,) for number, _, _ in articles])


def refold(db: sa.Connection) -> bool:
    """Make the index anew when the folding has changed since it was made; True if it had."""
    version = db.scalar(sa.select(t.fact.c.value).where(t.fact.c.name == _FOLD_FACT))
    if version == str(FOLD_VERSION):
        return False
    rebuild(db)
    db.execute(t.fact.delete().where(t.fact.c.name == _FOLD_FACT))
    db.execute(t.fact.insert().values(name=_FOLD_FACT, value=str(FOLD_VERSION)))
    return True


def rebuild(db: sa.Connection) -> None:
    """Make the index anew from the articles."""
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("insert into article_fts(article_fts) values ('delete-all')")
    else:
        db.exec_driver_sql("delete from article_fts")
    after = 0
    a = t.article.c
    while rows := db.execute(
        sa.select(a.id, a.title, a.body, a.summary).where(a.id > after).order_by(a.id).limit(_BATCH)
    ).all():
        add(db, [(row.id, row.title, row.body or row.summary) for row in rows])
        after = rows[-1].id


def hits(db: sa.Connection, query: IndexQuery) -> sa.Select[int]:
    """A select of the ids (`id`) of every article that `query` may match."""
    if db.dialect.name == "sqlite":
        return _fts5().where(sa.text("article_fts match :match").bindparams(match=fts5(query)))
    found = sa.text("(tsv @@ cast(:match as tsquery) or (partial and tsv @@ cast(:words as tsquery)))")
    return _gin().where(found.bindparams(match=tsquery(query), words=tsquery(query, phrases=False)))


def ranked(db: sa.Connection, query: IndexQuery) -> sa.Select[int]:
    """As `hits`, of the newest 2,000 only, with their `rank` (smaller is better)."""
    newest = hits(db, query)
    if db.dialect.name == "sqlite":
        rank: sa.ColumnElement[float] = sa.literal_column("bm25(article_fts, 5.0, 1.0)")
    else:
        weights: sa.ColumnElement[Any] = sa.literal_column("cast('{0.1,0.1,0.2,1.0}' as float4[])")
        words = sa.cast(sa.literal(tsquery(query, phrases=False)), postgresql.TSQUERY)
        rank = -sa.func.ts_rank_cd(weights, sa.literal_column("tsv"), words)
    order: sa.ColumnElement[int] = sa.literal_column("rowid" if db.dialect.name == "sqlite" else "article_id").desc()
    return newest.add_columns(rank.label("rank")).order_by(order).limit(RANKED)


def _fts5() -> sa.Select[int]:
    return sa.select(sa.literal_column("rowid", sa.Integer()).label("id")).select_from(sa.text("article_fts"))


def _gin() -> sa.Select[int]:
    return sa.select(sa.literal_column("article_id", sa.Integer()).label("id")).select_from(sa.text("article_fts"))


# --- queries --------------------------------------------------------------------------------------------------


def fts5(query: IndexQuery) -> str:
    """An FTS5 MATCH expression; every token quoted, so that none is an operator."""
    if query.op in ("all", "any"):
        parts = [fts5(part) for part in _parts(query)]
        return "(" + (" AND " if query.op == "all" else " OR ").join(parts) + ")"
    tokens = _tokens(query)
    phrase = '"' + " ".join(tokens) + '"'
    return phrase + (" *" if query.op == "prefix" else "")


def tsquery(query: IndexQuery, *, phrases: bool = True) -> str:
    """A tsquery literal; without `phrases` their words may stand anywhere."""
    if query.op in ("all", "any"):
        parts = [tsquery(part, phrases=phrases) for part in _parts(query)]
        return "(" + (" & " if query.op == "all" else " | ").join(parts) + ")"
    words = [f"'{token}'" for token in _tokens(query)]
    if query.op == "prefix":
        words[-1] += ":*"
    return "(" + (" <-> " if phrases else " & ").join(words) + ")"


def _parts(query: IndexQuery) -> tuple[IndexQuery, ...]:
    parts = query.parts + tuple(IndexQuery(op="phrase", tokens=(token,)) for token in query.tokens)
    if not parts:
        raise StorageError("an index query without words finds nothing")
    return parts


def _tokens(query: IndexQuery) -> tuple[str, ...]:
    for token in query.tokens:
        if not (token.isascii() and token.isalnum()):
            raise StorageError(f"not an index token: {token!r}")
    if not query.tokens:
        raise StorageError("an index query without words finds nothing")
    return query.tokens


# --- vectors --------------------------------------------------------------------------------------------------


def _vector(number: int, title: str, text: str) -> dict[str, object]:
    """A tsvector literal of words, made here: PostgreSQL's own parser would cut some tokens in other places."""
    places: dict[str, list[str]] = {}
    partial, size = False, 0
    for position, weight, token in _positions(title, text):
        known = places.get(token)
        if known is None:
            size += len(token) + 8
            if size > _VECTOR_BYTES:
                break
            known = places[token] = []
        if position > _POSITIONS or len(known) >= _REPEATS:
            partial = True
        else:
            known.append(f"{position}{weight}")
    vector = " ".join(f"{token}:{','.join(known)}" if known else token for token, known in places.items())
    return {"id": number, "tsv": vector, "partial": partial}


def _positions(title: str, text: str) -> Iterator[tuple[int, str, str]]:
    position = 0
    for token in title.split():
        position += 1
        yield position, "A", token
    position += 1  # no phrase crosses from the title into the text
    for token in text.split():
        position += 1
        yield position, "", token
