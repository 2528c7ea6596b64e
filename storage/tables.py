"""The tables, the same on SQLite and PostgreSQL, and the reasons for their keys.

Rows never leave this package: `storage.rows` turns them into the values of monitor.model. Enums are kept as their
values, tuples as JSON text: nothing is asked of the inside of either. Times are UTC (UTCDateTime refuses naive ones).
The full-text index is not here: it differs by database (storage.search).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    """An index of some rows only, on both."""
    return sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _later(default: str) -> Any:
    """A text column that came after the first schema: rows of before have this."""
    return Field(sa_column_kwargs={"server_default": sa.text(f"'{default}'")})


# --- sources and articles -------------------------------------------------------------------------------------


class SourceRow(SQLModel, table=True):
    __tablename__ = "source"
    __table_args__ = (sa.Index(None, "active", "next_poll_at"),)

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(unique=True)
    name: str
    url: str
    kind: str
    pages: bool
    active: bool
    interval_seconds: int
    weight: float
    etag: str
    last_modified: str
    body_hash: str
    next_poll_at: datetime | None  # NULL: at once
    failures: int
    last_success_at: datetime | None
    last_error: str
    moves: int
    epoch: int
    lease_until: datetime | None
    options: str = _later("{}")
    confidence: str = _later("")
    since: datetime | None
    gap_seconds: int | None
    pace_seconds: int | None
    last_new_at: datetime | None
    first_success_at: datetime | None


class PollRow(SQLModel, table=True):
    __tablename__ = "poll"
    __table_args__ = (sa.Index(None, "source_id", "at"), sa.Index(None, "at"))

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="source.id", ondelete="CASCADE")
    at: datetime
    outcome: str
    entries: int
    new: int
    seconds: float
    detail: str


class ArticleRow(SQLModel, table=True):
    """Ids rise in the order of arrival: the newest are found by id. The body stands last of the first schema's columns,
    so that those are read without it.
    """

    __tablename__ = "article"
    __table_args__ = (sa.Index(None, "stored_at", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    url: str
    canonical_url: str
    doi_key: str | None = Field(index=True)  # normal_doi; not unique: it may be the paper that a news story reports
    published_at: datetime | None
    stored_at: datetime
    source_id: int | None = Field(foreign_key="source.id", ondelete="SET NULL")
    text_from: str
    language: str
    title: str
    authors: str
    byline: str
    category: str
    doi: str
    pmid: str
    journal: str
    provider: str
    publisher: str
    citation: str
    copyright: str
    summary: str
    body: str
    mesh: str = _later("[]")
    publication_types: str = _later("[]")
    trial_ids: str = _later("[]")
    open_access_url: str = _later("")
    versions: str = _later("[]")
    doi_evidence: str = _later("")


class EntryRow(SQLModel, table=True):
    """What a source has shown before. It outlives its article, or a pruned one would come back with the next poll.

    Hashes, because ids in feeds may be of any length. `key_hash` is of the address; without one, of guid or title.
    """

    __tablename__ = "entry"
    __table_args__ = (
        sa.UniqueConstraint("source_id", "key_hash"),
        _partial("ix_entry_guid", "source_id", "guid_hash", "title_hash", where="guid_hash IS NOT NULL"),
        _partial("ix_entry_known", "seen_at", where="known"),
        sa.Index(None, "article_id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="source.id", ondelete="CASCADE")
    article_id: int | None = Field(foreign_key="article.id", ondelete="SET NULL")
    key_hash: bytes
    guid_hash: bytes | None
    title_hash: bytes
    known: bool  # its article had been stored already
    seen_at: datetime


class PageRow(SQLModel, table=True):
    """A page to fetch; the row goes when it was read or given up (then `due_at` is NULL and the error stays)."""

    __tablename__ = "page"
    __table_args__ = (sa.Index(None, "due_at"),)

    article_id: int = Field(primary_key=True, foreign_key="article.id", ondelete="CASCADE")
    url: str
    entry: str
    due_at: datetime | None
    attempts: int
    epoch: int
    lease_until: datetime | None
    last_error: str


class EnrichmentRow(SQLModel, table=True):
    """An article to be completed by what the indexes know of its paper; the row goes when that was done or given up
    (then `due_at` is NULL and the error stays).
    """

    __tablename__ = "enrichment"
    __table_args__ = (sa.Index(None, "due_at"),)

    article_id: int = Field(primary_key=True, foreign_key="article.id", ondelete="CASCADE")
    due_at: datetime | None
    attempts: int  # since the last look that went well
    epoch: int
    lease_until: datetime | None
    last_error: str
    looks: int = Field(sa_column_kwargs={"server_default": "0"})  # that went well


class PaperRow(SQLModel, table=True):
    """What the indexes said of a paper: ten news stories on it ask once. `key` is "doi:" and normal_doi, or "pmid:"."""

    __tablename__ = "paper"

    key: str = Field(primary_key=True)
    data: str
    fetched_at: datetime = Field(index=True)


# --- topics ---------------------------------------------------------------------------------------------------


class TopicRow(SQLModel, table=True):
    __tablename__ = "topic"

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(unique=True)
    revision: int  # the number of the current one
    active: bool


class RevisionRow(SQLModel, table=True):
    """Only ever inserted."""

    __tablename__ = "revision"
    __table_args__ = (sa.UniqueConstraint("topic_id", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    topic_id: int = Field(foreign_key="topic.id", ondelete="CASCADE")
    number: int
    name: str
    query: str
    weights: str
    threshold: float
    sources: str
    languages: str
    author: str
    note: str
    created_at: datetime


class MatchRow(SQLModel, table=True):
    """`stored_at` is the article's: a digest asks for a topic's articles of a time span, and one index has them."""

    __tablename__ = "topic_match"
    __table_args__ = (sa.Index(None, "topic_id", "stored_at"), sa.Index(None, "article_id"))

    topic_id: int = Field(primary_key=True, foreign_key="topic.id", ondelete="CASCADE")
    article_id: int = Field(primary_key=True, foreign_key="article.id", ondelete="CASCADE")
    revision_id: int = Field(foreign_key="revision.id")
    score: float
    spans: str
    matched_at: datetime
    stored_at: datetime
    old_news: bool  # found by a rematch


class RematchRow(SQLModel, table=True):
    __tablename__ = "rematch"

    topic_id: int = Field(primary_key=True, foreign_key="topic.id", ondelete="CASCADE")
    revision_id: int = Field(foreign_key="revision.id", ondelete="CASCADE")
    after_id: int
    upto_id: int
    matched: int
    started_at: datetime


class ExampleRow(SQLModel, table=True):
    __tablename__ = "example"

    id: int | None = Field(default=None, primary_key=True)
    topic_id: int = Field(foreign_key="topic.id", ondelete="CASCADE", index=True)
    must_match: bool
    title: str
    body: str
    note: str


class LabelRow(SQLModel, table=True):
    __tablename__ = "label"
    __table_args__ = (sa.Index(None, "article_id"),)

    topic_id: int = Field(primary_key=True, foreign_key="topic.id", ondelete="CASCADE")
    article_id: int = Field(primary_key=True, foreign_key="article.id", ondelete="CASCADE")
    by: str = Field(primary_key=True)
    verdict: str
    reason: str
    labelled_at: datetime


class ConceptRow(SQLModel, table=True):
    __tablename__ = "concept"
    __table_args__ = (sa.UniqueConstraint("source", "year", "code"),)

    id: int | None = Field(default=None, primary_key=True)
    source: str
    year: int
    code: str
    name: str


class ConceptTermRow(SQLModel, table=True):
    __tablename__ = "concept_term"

    concept_id: int = Field(primary_key=True, foreign_key="concept.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    term: str
    folded: str = Field(index=True)


# --- readers and their mail -----------------------------------------------------------------------------------


class SubscriberRow(SQLModel, table=True):
    __tablename__ = "subscriber"

    id: int | None = Field(default=None, primary_key=True)
    email: str
    email_key: str = Field(unique=True)  # the address to compare by
    name: str
    state: str
    state_reason: str
    token_epoch: int
    created_at: datetime


class SubscriptionRow(SQLModel, table=True):
    __tablename__ = "subscription"
    __table_args__ = (sa.Index(None, "active", "next_digest_at"),)

    id: int | None = Field(default=None, primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE", index=True)
    topic_ids: str
    cadence: str
    weekday: int
    monthday: int
    at: str
    timezone: str
    empty: str
    max_items: int
    near_misses: bool
    repeat: bool
    active: bool
    paused_until: date | None
    next_digest_at: datetime | None
    silent_periods: int
    safety_at_once: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    covers_from: datetime | None  # set when its first period is over: nothing older was ever asked for


class SuppressionRow(SQLModel, table=True):
    __tablename__ = "suppression"

    email_hash: bytes = Field(primary_key=True)
    reason: str
    since: datetime


class DeliveryRow(SQLModel, table=True):
    """Unique by (subscription, period): whoever plans a digest twice, it exists once."""

    __tablename__ = "delivery"
    __table_args__ = (
        sa.UniqueConstraint("subscription_id", "period_key"),
        sa.Index(None, "state", "not_before"),
    )

    id: int | None = Field(default=None, primary_key=True)
    subscription_id: int | None = Field(foreign_key="subscription.id", ondelete="CASCADE")
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE", index=True)
    period_key: str
    message_id: str = Field(unique=True)
    sender: str
    recipient: str
    subject: str
    state: str
    attempts: int
    resends: int
    first_tried_at: datetime | None
    not_before: datetime | None
    lease_until: datetime | None
    epoch: int
    last_error: str
    queued_at: datetime
    settled_at: datetime | None
    data: bytes
    compact: bytes
    html: str


class BounceRow(SQLModel, table=True):
    """A mail that came back for a delivery; the same one twice is one."""

    __tablename__ = "bounce"

    delivery_id: int = Field(primary_key=True, foreign_key="delivery.id", ondelete="CASCADE")
    kind: str = Field(primary_key=True)  # monitor.deliver.bounces.BounceKind
    at: datetime
    status: str
    diagnostic: str


class DigestItemRow(SQLModel, table=True):
    """What stood in a digest, in its order, for good."""

    __tablename__ = "digest_item"
    __table_args__ = (sa.Index(None, "article_id"),)

    delivery_id: int = Field(primary_key=True, foreign_key="delivery.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    article_id: int = Field(foreign_key="article.id")
    kinds: str = _later("new")  # what it entered into the ledger


class LedgerRow(SQLModel, table=True):
    """What a reader has been sent, or is about to be: no story stands in two mails to one reader as new.

    "update": the reader knows the story's published paper; a story sent before it came may come once more with it.
    `article_id` is the one that stood for the story.
    """

    __tablename__ = "ledger"
    __table_args__ = (sa.Index(None, "article_id"), sa.Index(None, "delivery_id"), sa.Index(None, "story_id"))

    subscriber_id: int = Field(primary_key=True, foreign_key="subscriber.id", ondelete="CASCADE")
    story_id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    kind: str = Field(primary_key=True)  # "new" or "update"
    article_id: int = Field(foreign_key="article.id")
    delivery_id: int = Field(foreign_key="delivery.id", ondelete="CASCADE")


# --- stories --------------------------------------------------------------------------------------------------


class StoryDueRow(SQLModel, table=True):
    """An article whose story is still to be told: it is new, or its text or DOI changed. No digest holds it before."""

    __tablename__ = "story_due"

    article_id: int = Field(primary_key=True, foreign_key="article.id", ondelete="CASCADE")


class StoryMemberRow(SQLModel, table=True):
    """A story bears the number of its first article. `step` and `share` say why an article joined it; `shingles` counts
    those that it brought into its story.
    """

    __tablename__ = "story_member"

    article_id: int = Field(primary_key=True, foreign_key="article.id", ondelete="CASCADE")
    story_id: int = Field(index=True)
    step: str
    share: float
    shingles: int
    joined_at: datetime


class StoryNameRow(SQLModel, table=True):
    """An address, DOI, PMID or title, as a number (monitor.story.evidence.name), and the article that bore it first, or
    of titles last. Its story is that of the article.
    """

    __tablename__ = "story_name"

    name: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    article_id: int = Field(foreign_key="article.id", ondelete="CASCADE", index=True)
    source_id: int
    at: datetime


class ShingleRow(SQLModel, table=True):
    """A piece of text of the last two weeks, and an article that brought it into its story. No foreign key: there are
    a hundred an article, and they are gone before it. `day` counts from 1970.
    """

    __tablename__ = "shingle"
    __table_args__ = {"sqlite_with_rowid": False}

    hash: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    article_id: int = Field(primary_key=True)
    day: int


class StoryApartRow(SQLModel, table=True):
    """Two articles that an admin has told apart: they never share a story again."""

    __tablename__ = "story_apart"

    low_id: int = Field(primary_key=True, foreign_key="article.id", ondelete="CASCADE")
    high_id: int = Field(primary_key=True, foreign_key="article.id", ondelete="CASCADE")


# --- notices about papers -------------------------------------------------------------------------------------


class CorrectionRow(SQLModel, table=True):
    """Unique by (paper, kind), whoever tells it. `target` is "doi:" and normal_doi, or "pmid:" where there is none."""

    __tablename__ = "correction"
    __table_args__ = (sa.UniqueConstraint("target", "kind"),)

    id: int | None = Field(default=None, primary_key=True)
    target: str
    kind: str
    doi: str = Field(index=True)
    pmid: str = Field(index=True)
    notice_doi: str
    notice_url: str
    title: str
    reason: str
    source: str
    noticed_at: datetime


class ToldRow(SQLModel, table=True):
    """Which notices a reader was sent, or is about to be: each comes once."""

    __tablename__ = "told"
    __table_args__ = (sa.Index(None, "delivery_id"),)

    subscriber_id: int = Field(primary_key=True, foreign_key="subscriber.id", ondelete="CASCADE")
    correction_id: int = Field(primary_key=True, foreign_key="correction.id", ondelete="CASCADE")
    delivery_id: int = Field(foreign_key="delivery.id", ondelete="CASCADE")


class SafetyItemRow(SQLModel, table=True):
    """What stood in a digest's safety box, for good."""

    __tablename__ = "safety_item"

    delivery_id: int = Field(primary_key=True, foreign_key="delivery.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    correction_id: int = Field(foreign_key="correction.id", ondelete="CASCADE")


class WatchedRow(SQLModel, table=True):
    """When a place (crossref, pubmed, preprints) was last asked about a paper that was mailed, by its DOI or PMID."""

    __tablename__ = "watched"

    place: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    checked_at: datetime = Field(index=True)


# --- people who run the place ---------------------------------------------------------------------------------


class UserRow(SQLModel, table=True):
    __tablename__ = "user_account"

    id: int | None = Field(default=None, primary_key=True)
    email: str
    email_key: str = Field(unique=True)
    name: str
    role: str
    active: bool
    password_hash: str  # empty: none yet, a link sets it
    created_at: datetime


class IdentityRow(SQLModel, table=True):
    """Under which name an identity provider knows a user; their address may change there."""

    __tablename__ = "user_identity"

    issuer: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    linked_at: datetime


class SessionRow(SQLModel, table=True):
    """Only the hash of what the browser holds: who reads this table cannot log in with it."""

    __tablename__ = "web_session"

    token_hash: bytes = Field(primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    agent: str
    address: str


class SetupLinkRow(SQLModel, table=True):
    """A link that works once: without a user it makes the first admin, else it sets that user's password."""

    __tablename__ = "setup_link"

    token_hash: bytes = Field(primary_key=True)
    user_id: int | None = Field(foreign_key="user_account.id", ondelete="CASCADE")
    expires_at: datetime


class ApiTokenRow(SQLModel, table=True):
    __tablename__ = "api_token"

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    name: str
    token_hash: bytes = Field(unique=True)
    scopes: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class LoginAttemptRow(SQLModel, table=True):
    """Failed logins in a row; `key` is a hash of account and address."""

    __tablename__ = "login_attempt"

    key: bytes = Field(primary_key=True)
    failures: int
    last_at: datetime = Field(index=True)


# --- the house ------------------------------------------------------------------------------------------------


class NoticeRow(SQLModel, table=True):
    __tablename__ = "notice"
    __table_args__ = (_partial("uq_notice_open", "subject", "code", unique=True, where="closed_at IS NULL"),)

    id: int | None = Field(default=None, primary_key=True)
    subject: str
    code: str
    level: str
    text: str
    raised_at: datetime
    closed_at: datetime | None


class AuditRow(SQLModel, table=True):
    __tablename__ = "audit"

    id: int | None = Field(default=None, primary_key=True)
    who: str
    what: str
    before: str
    after: str
    at: datetime


class LeaseRow(SQLModel, table=True):
    __tablename__ = "lease"

    name: str = Field(primary_key=True)
    holder: str
    epoch: int
    expires_at: datetime


class FactRow(SQLModel, table=True):
    """Facts about this database itself: first run done, version of the folding that its index is made with."""

    __tablename__ = "fact"

    name: str = Field(primary_key=True)
    value: str


def _table(row: type[SQLModel]) -> sa.Table:
    return cast(sa.Table, row.__table__)  # type: ignore[attr-defined]  # SQLAlchemy adds it


metadata = SQLModel.metadata
source = _table(SourceRow)
poll = _table(PollRow)
article = _table(ArticleRow)
entry = _table(EntryRow)
page = _table(PageRow)
enrichment = _table(EnrichmentRow)
paper = _table(PaperRow)
topic = _table(TopicRow)
revision = _table(RevisionRow)
match = _table(MatchRow)
rematch = _table(RematchRow)
example = _table(ExampleRow)
label = _table(LabelRow)
concept = _table(ConceptRow)
concept_term = _table(ConceptTermRow)
subscriber = _table(SubscriberRow)
subscription = _table(SubscriptionRow)
suppression = _table(SuppressionRow)
delivery = _table(DeliveryRow)
bounce = _table(BounceRow)
digest_item = _table(DigestItemRow)
ledger = _table(LedgerRow)
story_due = _table(StoryDueRow)
story_member = _table(StoryMemberRow)
story_name = _table(StoryNameRow)
shingle = _table(ShingleRow)
story_apart = _table(StoryApartRow)
correction = _table(CorrectionRow)
told = _table(ToldRow)
safety_item = _table(SafetyItemRow)
watched = _table(WatchedRow)
user = _table(UserRow)
identity = _table(IdentityRow)
session = _table(SessionRow)
setup_link = _table(SetupLinkRow)
api_token = _table(ApiTokenRow)
login_attempt = _table(LoginAttemptRow)
notice = _table(NoticeRow)
audit = _table(AuditRow)
lease = _table(LeaseRow)
fact = _table(FactRow)
