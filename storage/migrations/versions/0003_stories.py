"""Stories, the ledger by story, and notices about what was sent."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RESETTLED = 20_000  # newest articles that are compared with each other once; older ones stay stories of their own


def upgrade() -> None:
    _stories()
    _ledger()
    _corrections()
    op.add_column("subscription", sa.Column("safety_at_once", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("digest_item", sa.Column("kinds", sa.String(), nullable=False, server_default="new"))


def _article(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["article_id"], ["article.id"], name=op.f(f"fk_{table}_article_id"), ondelete="CASCADE"
    )


def _stories() -> None:
    op.create_table(
        "story_due",
        sa.Column("article_id", sa.Integer(), nullable=False),
        _article("story_due"),
        sa.PrimaryKeyConstraint("article_id", name=op.f("pk_story_due")),
    )
    op.create_table(
        "story_member",
        sa.Column("article_id", sa.Integer(), nullable=False),
        sa.Column("story_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("shingles", sa.Integer(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        _article("story_member"),
        sa.PrimaryKeyConstraint("article_id", name=op.f("pk_story_member")),
    )
    op.create_index(op.f("ix_story_member_story_id"), "story_member", ["story_id"], unique=False)
    op.create_table(
        "story_name",
        sa.Column("name", sa.BigInteger(), nullable=False),
        sa.Column("article_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _article("story_name"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_story_name")),
    )
    op.create_index(op.f("ix_story_name_article_id"), "story_name", ["article_id"], unique=False)
    op.create_table(
        "shingle",
        sa.Column("hash", sa.Integer(), nullable=False),
        sa.Column("article_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hash", "article_id", name=op.f("pk_shingle")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "story_apart",
        sa.Column("low_id", sa.Integer(), nullable=False),
        sa.Column("high_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["low_id"], ["article.id"], name=op.f("fk_story_apart_low_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["high_id"], ["article.id"], name=op.f("fk_story_apart_high_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("low_id", "high_id", name=op.f("pk_story_apart")),
    )
    op.execute(
        "insert into story_member (article_id, story_id, step, share, shingles, joined_at)"
        " select id, id, 'first', 0, 0, stored_at from article"
    )
    op.execute(f"insert into story_due (article_id) select id from article order by id desc limit {RESETTLED}")


def _ledger() -> None:
    """What was entered by article is entered by story: each article is its own. A paper that was sent is known."""
    op.execute("create table ledger_by_article as select subscriber_id, article_id, kind, delivery_id from ledger")
    op.drop_table("ledger")
    op.create_table(
        "ledger",
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("story_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("article_id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_ledger_subscriber_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["article_id"], ["article.id"], name=op.f("fk_ledger_article_id")),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_ledger_delivery_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subscriber_id", "story_id", "kind", name=op.f("pk_ledger")),
    )
    op.create_index(op.f("ix_ledger_article_id"), "ledger", ["article_id"], unique=False)
    op.create_index(op.f("ix_ledger_delivery_id"), "ledger", ["delivery_id"], unique=False)
    op.create_index(op.f("ix_ledger_story_id"), "ledger", ["story_id"], unique=False)
    columns = "insert into ledger (subscriber_id, story_id, kind, article_id, delivery_id)"
    op.execute(f"{columns} select subscriber_id, article_id, kind, article_id, delivery_id from ledger_by_article")
    op.execute(
        f"{columns} select b.subscriber_id, b.article_id, 'update', b.article_id, b.delivery_id"
        " from ledger_by_article b join article a on a.id = b.article_id"
        " where b.kind = 'new' and substr(a.key, 1, 4) = 'doi:'"
    )
    op.drop_table("ledger_by_article")


def _corrections() -> None:
    op.create_table(
        "correction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("doi", sa.String(), nullable=False),
        sa.Column("pmid", sa.String(), nullable=False),
        sa.Column("notice_doi", sa.String(), nullable=False),
        sa.Column("notice_url", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
        sa.UniqueConstraint("target", "kind", name=op.f("uq_correction_target_kind")),
    )
    op.create_index(op.f("ix_correction_doi"), "correction", ["doi"], unique=False)
    op.create_index(op.f("ix_correction_pmid"), "correction", ["pmid"], unique=False)
    op.create_table(
        "told",
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("correction_id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_told_subscriber_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["correction_id"], ["correction.id"], name=op.f("fk_told_correction_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_told_delivery_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("subscriber_id", "correction_id", name=op.f("pk_told")),
    )
    op.create_index(op.f("ix_told_delivery_id"), "told", ["delivery_id"], unique=False)
    op.create_table(
        "safety_item",
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("correction_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_safety_item_delivery_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["correction_id"], ["correction.id"], name=op.f("fk_safety_item_correction_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_safety_item")),
    )
    op.create_table(
        "watched",
        sa.Column("doi", sa.String(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("doi", name=op.f("pk_watched")),
    )
    op.create_index(op.f("ix_watched_checked_at"), "watched", ["checked_at"], unique=False)
