"""Sources of many kinds that learn their pace, and what the scholarly indexes know of papers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, default in (("options", "{}"), ("confidence", "")):
        op.add_column("source", sa.Column(name, sa.String(), nullable=False, server_default=default))
    for name in ("since", "last_new_at"):
        op.add_column("source", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in ("gap_seconds", "pace_seconds"):
        op.add_column("source", sa.Column(name, sa.Integer(), nullable=True))
    for name, default in (("mesh", "[]"), ("publication_types", "[]"), ("trial_ids", "[]"), ("open_access_url", "")):
        op.add_column("article", sa.Column(name, sa.String(), nullable=False, server_default=default))
    op.create_table(
        "paper",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("data", sa.String(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_paper")),
    )
    op.create_index(op.f("ix_paper_fetched_at"), "paper", ["fetched_at"], unique=False)
    op.create_table(
        "enrichment",
        sa.Column("article_id", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["article.id"], name=op.f("fk_enrichment_article_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", name=op.f("pk_enrichment")),
    )
    op.create_index(op.f("ix_enrichment_due_at"), "enrichment", ["due_at"], unique=False)
    # what is stored already is completed too, as slowly as the indexes' limits want it
    op.execute(
        "insert into enrichment (article_id, due_at, attempts, epoch, last_error)"
        " select id, stored_at, 0, 0, '' from article where doi_key is not null or pmid <> ''"
    )
