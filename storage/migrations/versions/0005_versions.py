"""Preprints and their papers, papers found by title, whom else we ask about what was mailed, a source's first visit."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, default in (("versions", "[]"), ("doi_evidence", "")):
        op.add_column("article", sa.Column(name, sa.String(), nullable=False, server_default=default))
    op.add_column("enrichment", sa.Column("looks", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("source", sa.Column("first_success_at", sa.DateTime(timezone=True), nullable=True))
    # a source that was read before has had its first visit: what it brings from now on is measured as that of any other
    op.execute(
        "update source set first_success_at ="
        " (select min(poll.at) from poll where poll.source_id = source.id and poll.outcome in ('ok', 'unchanged'))"
        " where last_success_at is not null"
    )
    op.execute("create table watched_dois as select doi, checked_at from watched")
    op.drop_table("watched")
    op.create_table(
        "watched",
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("place", "name", name=op.f("pk_watched")),
    )
    op.create_index(op.f("ix_watched_checked_at"), "watched", ["checked_at"], unique=False)
    op.execute(
        "insert into watched (place, name, checked_at) select 'crossref', doi, checked_at from watched_dois"
    )
    op.drop_table("watched_dois")
