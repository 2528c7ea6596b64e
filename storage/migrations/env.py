"""Alembic's side of storage.migrate: the connection comes from there, open and in its transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from storage import tables

INDEX_TABLES = ("article_fts",)  # made by hand, by database (storage.search)
ENGINE_INDEXES = "_server_idx"  # made where the distributed engine is in use (storage.jobs)


def render_item(kind: str, item: Any, _autogen: Any) -> str | Literal[False]:
    """Plain SQLAlchemy types, so that a migration needs nothing of SQLModel."""
    if kind == "type":
        if type(item).__name__ == "UTCDateTime":
            return "sa.DateTime(timezone=True)"
        if type(item).__name__ == "AutoString":
            return "sa.String()"
    return False


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    if kind == "index":
        return not (name or "").endswith(ENGINE_INDEXES)
    return not (kind == "table" and (name or "").startswith((*INDEX_TABLES, "procrastinate_")))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    render_as_batch=True,
    compare_type=True,
    compare_server_default=True,
    render_item=render_item,
    include_name=include_name,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
