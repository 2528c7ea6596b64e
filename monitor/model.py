"""The nouns. Plain frozen values: they know nothing of databases, networks or the clock.

All times are aware and in UTC. An `id` of 0 means "not stored yet".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Literal

# --- where articles come from ---------------------------------------------------------------------------------


class SourceKind(StrEnum):
    FEED = "feed"  # RSS, RDF, Atom or JSON Feed
    PUBMED = "pubmed"  # a saved search of PubMed
    EUROPEPMC = "europepmc"  # a saved search of Europe PMC
    CROSSREF = "crossref"  # a journal by its ISSN, or a search
    MEDRXIV = "medrxiv"  # the preprints of medRxiv or bioRxiv
    TRIALS = "trials"  # a saved search of ClinicalTrials.gov
    SITEMAP = "sitemap"  # a (news) sitemap, or an index of some
    PAGE = "page"  # a page that lists articles, read by CSS selectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a server gave us to ask "has it changed?" (RFC 9110, section 13), and the hash of what we saw last."""

    etag: str = ""
    last_modified: str = ""
    body_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A complete answer, unpacked. With status 304, or a body whose hash is known, `body` is empty, `unchanged` true.

    `moved_to` is the new address when every redirect on the way was permanent (301, 308); `max_age` is in seconds.
    """

    url: str
    final_url: str
    status: int
    body: bytes = b""
    content_type: str = ""
    validators: Validators = Validators()
    unchanged: bool = False
    moved_to: str = ""
    max_age: int | None = None
    date: datetime | None = None  # the server's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A place that is asked again and again. `slug` is its name on the command line, `name` its name on pages.

    `pages`: fetch each entry's page for its full text. `weight` multiplies the rank of its articles (0.5 to 2).
    `options` are what its kind needs (query, issn, selectors …: docs/sources.md). `confidence` says how sure the
    catalogue is of its address. `since`: everything that appeared before then was fetched completely.
    `gap` is the usual time between two of its articles, `pace` the interval that was learned from it.
    """

    id: int = 0
    slug: str
    name: str
    url: str
    kind: SourceKind = SourceKind.FEED
    pages: bool = True
    active: bool = True
    interval: timedelta = timedelta(hours=1)
    weight: float = 1.0
    options: tuple[tuple[str, str], ...] = ()
    confidence: Literal["", "high", "medium", "low"] = ""
    validators: Validators = Validators()
    since: datetime | None = None
    gap: timedelta | None = None
    pace: timedelta | None = None
    last_new_at: datetime | None = None
    first_success_at: datetime | None = None  # what it listed then is mostly older than it is news
    next_poll_at: datetime | None = None
    failures: int = 0
    last_success_at: datetime | None = None
    last_error: str = ""
    moves: int = 0
    epoch: int = 0  # fencing token of the current claim

    def option(self, name: str, default: str = "") -> str:
        return dict(self.options).get(name, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a feed says about one article (RFC 4287 calls it an entry).

    `summary` and `content` are plain text, never markup. `doi` only where the feed itself names it as the entry's own.
    `mesh` are MeSH headings, `publication_types` as PubMed names them, `trial_ids` as identity.trial_ids writes them.
    `versions` are DOIs (normal_doi) of the same study elsewhere: the paper that a preprint became, a paper's preprint.
    """

    url: str
    title: str
    guid: str = ""
    published: datetime | None = None
    updated: datetime | None = None
    authors: tuple[str, ...] = ()
    summary: str = ""
    content: str = ""
    doi: str = ""
    pmid: str = ""
    journal: str = ""
    categories: tuple[str, ...] = ()
    language: str = ""
    mesh: tuple[str, ...] = ()
    publication_types: tuple[str, ...] = ()
    trial_ids: tuple[str, ...] = ()
    open_access_url: str = ""
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A feed, read. `dropped` counts entries beyond the limit, `repaired` says that the bytes were not well formed.

    `ttl` is the time the feed asks us to wait between polls, where it says so. `corrections` are the notices that an
    index's records tell of, about themselves and about others.
    """

    title: str
    entries: tuple[Entry, ...]
    url: str = ""
    language: str = ""
    ttl: timedelta | None = None
    dropped: int = 0
    repaired: str = ""
    corrections: tuple[Correction, ...] = ()


# --- articles -------------------------------------------------------------------------------------------------


class TextFrom(StrEnum):
    FEED = "feed"  # only what the feed said
    PAGE = "page"  # the article's own page


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One article as its page (or, failing that, its feed) tells it.

    `url` as given, `canonical_url` to show, `key` to compare (monitor.identity). `doi` in its printed form: of a news
    story it names the paper it reports. `body` is text without furniture, paragraphs separated by a blank line.
    `citation` is the page's own citation line, `copyright` its notice. What is said of the paper (`pmid`, `journal`,
    `mesh`, `publication_types`, `trial_ids`, `open_access_url`) is of the one that `doi` names. `versions` as in Entry.
    `doi_evidence` says why, where the article names no DOI itself and an index was asked for the paper it means.
    """

    id: int = 0
    url: str
    canonical_url: str
    key: str
    title: str
    published: datetime | None = None
    authors: tuple[str, ...] = ()
    summary: str = ""
    body: str = ""
    byline: str = ""
    category: str = ""
    doi: str = ""
    pmid: str = ""
    journal: str = ""
    provider: str = ""
    publisher: str = ""
    citation: str = ""
    copyright: str = ""
    language: str = ""
    mesh: tuple[str, ...] = ()
    publication_types: tuple[str, ...] = ()
    trial_ids: tuple[str, ...] = ()
    open_access_url: str = ""
    versions: tuple[str, ...] = ()
    doi_evidence: str = ""
    text_from: TextFrom = TextFrom.FEED
    source_id: int = 0
    source_slug: str = ""
    stored_at: datetime | None = None
    story_id: int = 0  # 0: not told apart from the others yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """What kind of thing an article is, in words, and the `quote` that says so (from PubMed, or out of the article).

    Never without its quote. `by` names who says it: "PubMed", "title", "text", "address", "Crossref" …
    """

    text: str
    quote: str
    by: str


class CorrectionKind(StrEnum):
    RETRACTION = "retraction"
    PARTIAL_RETRACTION = "partial_retraction"
    WITHDRAWAL = "withdrawal"
    REMOVAL = "removal"
    EXPRESSION_OF_CONCERN = "expression_of_concern"
    CORRECTION = "correction"
    REINSTATEMENT = "reinstatement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A notice about a published paper, named by its DOI (normal_doi) or, where it has none, its PMID.

    `notice_doi` or `notice_url` is where it can be read; `source` says who told us ("crossref", "pubmed", "feed",
    "retraction-watch"); `reason` in the notice's own words, where it gives any.
    """

    id: int = 0
    kind: CorrectionKind
    doi: str = ""
    pmid: str = ""
    notice_doi: str = ""
    notice_url: str = ""
    title: str = ""
    reason: str = ""
    source: str
    noticed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What the scholarly indexes know of one paper, by its DOI or PMID. `found` false: none of them knows it.

    `asked` names who was asked and answered ("pubmed", "crossref", "unpaywall", "openalex").
    """

    doi: str = ""
    pmid: str = ""
    found: bool = True
    title: str = ""
    authors: tuple[str, ...] = ()
    journal: str = ""
    abstract: str = ""
    published: datetime | None = None
    mesh: tuple[str, ...] = ()
    publication_types: tuple[str, ...] = ()
    trial_ids: tuple[str, ...] = ()
    open_access_url: str = ""
    versions: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


# --- topics, queries and matches ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parsed query: one of the nodes below. `str` gives the understood form, and parsing that gives an equal query.

    `start` and `end` are code points into the text it came from; they take no part in equality.
    """

    start: int = field(default=0, compare=False, repr=False)
    end: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term(Query):
    """A word or a phrase. `field` is "" (title and text), title, body, or one of the article's particulars:
    source, author, journal, provider, doi, lang. `prefix`: the last word is a beginning. `exact`: case counts.
    """

    text: str
    field: str = ""
    prefix: bool = False
    exact: bool = False

    def __str__(self) -> str:
        name = f"{self.field}:" if self.field else ""
        star = "*" if self.prefix else ""
        if not self.exact and _BARE.fullmatch(self.text) and self.text.lower() not in _OPERATOR_WORDS:
            return f"{name}{self.text}{star}"
        return f'{name}{"=" if self.exact else ""}"{self.text}"{star}'


_BARE = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_OPERATOR_WORDS = frozenset({"and", "or", "not", "near", "adj", "atleast"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Not(Query):
    """Its part must not hold. Stands only among the parts of an And, after every other part."""

    part: Query

    def __str__(self) -> str:
        return f"NOT {_nested(self.part)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class And(Query):
    parts: tuple[Query, ...]

    def __str__(self) -> str:
        wanted = " AND ".join(_nested(part) for part in self.parts if not isinstance(part, Not))
        return " ".join((wanted, *(str(part) for part in self.parts if isinstance(part, Not))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Or(Query):
    parts: tuple[Query, ...]

    def __str__(self) -> str:
        return " OR ".join(map(_nested, self.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Near(Query):
    """Each part (a term or an Or of terms) has at most `distance` words between it and the next, in either order."""

    parts: tuple[Query, ...]
    distance: int

    def __str__(self) -> str:
        return f" NEAR/{self.distance} ".join(map(_nested, self.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLeast(Query):
    """Its part (a term or an Or of terms) is found at `count` places or more."""

    part: Query
    count: int

    def __str__(self) -> str:
        return f"ATLEAST/{self.count} {_nested(self.part)}"


def _nested(part: Query) -> str:
    return f"({part})" if isinstance(part, And | Or) else str(part)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedTerm:
    """`term` is a query without field mixing, e.g. `"opioid tolerance"`; a negative weight counts against."""

    term: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A named query, as its current revision says it.

    A topic matches where `query` matches and, if it has `weights`, the sum of the weights of the terms found reaches
    `threshold`. With `weights` the `query` may be empty. `sources` (slugs) and `languages` narrow it; empty means all.
    """

    id: int = 0
    slug: str
    name: str
    query: str
    weights: tuple[WeightedTerm, ...] = ()
    threshold: float = 0.0
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    revision_id: int = 0
    revision: int = 0
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One saved state of a topic; never overwritten. `topic` is the topic as it then stood."""

    id: int = 0
    topic: Topic
    number: int
    author: str = ""
    note: str = ""
    created_at: datetime


class Field(StrEnum):
    TITLE = "title"
    BODY = "body"
    SUMMARY = "summary"  # matched where the body is empty


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`article.title[start:end]` (or body, or summary) holds `term` (as the query writes it)."""

    field: Field
    start: int
    end: int
    term: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A topic's revision matched an article, and why. `score` orders matches within a topic; it is never shown."""

    topic_id: int
    revision_id: int
    article_id: int = 0
    score: float = 0.0
    spans: tuple[Span, ...] = ()
    matched_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexQuery:
    """A query boiled down to what a full-text index can answer: it finds at least every article that the query matches.

    `tokens` are index tokens (monitor.text), in order for "phrase"; for "prefix" the last one is a beginning.
    """

    op: Literal["all", "any", "phrase", "prefix"]
    parts: tuple[IndexQuery, ...] = ()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """One meaning and its terms, as a vocabulary of one year names it ("mesh", 2026, "D058570").

    `terms` holds its printed forms, `name` among them, in the vocabulary's order.
    """

    source: str
    year: int
    code: str
    name: str
    terms: tuple[str, ...]


class Verdict(StrEnum):
    RELEVANT = "relevant"
    NOT_RELEVANT = "not_relevant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Somebody's judgement of one article for one topic. `by` is a subscriber's or a user's name, or "admin"."""

    topic_id: int
    article_id: int
    verdict: Verdict
    by: str
    reason: str = ""
    labelled_at: datetime


# --- readers --------------------------------------------------------------------------------------------------


class SubscriberState(StrEnum):
    PENDING = "pending"  # signed up, not confirmed
    INVITED = "invited"  # invited by an admin, not confirmed
    ACTIVE = "active"
    SUSPENDED = "suspended"  # bounced
    UNSUBSCRIBED = "unsubscribed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A person who reads. `token_epoch` rises to revoke every link mailed before."""

    id: int = 0
    email: str
    name: str = ""
    state: SubscriberState = SubscriberState.ACTIVE
    state_reason: str = ""
    token_epoch: int = 0
    created_at: datetime | None = None


class Cadence(StrEnum):
    AT_ONCE = "at_once"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class EmptyRule(StrEnum):
    SKIP = "skip"  # no mail without news, but a sign of life after four silent periods
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What one subscriber wants, and when: at wall-clock `at` in `timezone`; `weekday` 0 is Monday, `monthday` 1 to 31
    (in a shorter month its last day). A weekly digest leaves out what the reader's daily one brought, unless `repeat`.
    """

    id: int = 0
    subscriber_id: int
    topic_ids: tuple[int, ...]
    cadence: Cadence = Cadence.WEEKLY
    weekday: int = 0
    monthday: int = 1
    at: time = time(7, 0)
    timezone: str = "UTC"
    empty: EmptyRule = EmptyRule.SKIP
    max_items: int = 60
    near_misses: bool = False
    repeat: bool = False
    safety_at_once: bool = False  # retractions of what was sent come at once, not with the next digest
    active: bool = True
    paused_until: date | None = None
    next_digest_at: datetime | None = None
    silent_periods: int = 0


# --- digests and their delivery -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What a digest covers: stored at or after `start` and before `end`. `key` names it in the reader's zone
    (2026-11-24, 2026-W48, 2026-11) and is unique within its subscription.
    """

    key: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An article with every match that a subscription's topics had on it: what `compose` chooses from."""

    article: Article
    matches: tuple[Match, ...]
    source_name: str = ""
    source_weight: float = 1.0
    covered_by: tuple[str, ...] = ()  # the sources of all articles of its story, in order of arrival
    known: bool = False  # the reader was sent its story before
    first_visit: bool = False  # its feed or page listed it already when we first came


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """A source that could not be read: since when, and why in an admin's words."""

    name: str
    since: datetime | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What stands behind a digest's silence or plenty, within its period."""

    sources_checked: int
    unchecked: tuple[Unchecked, ...]
    articles_seen: int
    articles_matched: int
    merged: int = 0
    old: int = 0  # matched this reader's topics, but were too old by their own date when they came


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestItem:
    """One card: the article under its best topic, with the reasons. `also_in` names the other topics it matched."""

    number: int
    article: Article
    match: Match
    reasons: tuple[str, ...] = ()
    also_in: tuple[str, ...] = ()
    badges: tuple[Badge, ...] = ()
    source_name: str = ""
    also_covered: tuple[str, ...] = ()  # who else wrote of the same study
    update: str = ""  # why a story that was sent before comes again: "Update: now published in …"
    shows_paper: bool = False  # the published paper is among what this card stands for


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyItem:
    """A notice about something that this reader was sent: `article` as it was sent, and when."""

    correction: Correction
    article: Article
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestSection:
    """One topic's part of a digest: `total` new articles, of which `items` are listed, best first."""

    topic: Topic
    items: tuple[DigestItem, ...]
    total: int
    history: tuple[int, ...] = ()  # matches in each of the 8 weeks before, oldest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What one subscriber gets for one period, in order. The same values render to the same bytes."""

    subscriber: Subscriber
    subscription: Subscription
    period: Period
    sections: tuple[DigestSection, ...]
    quiet: tuple[tuple[Topic, datetime | None], ...] = ()  # topics without news, and when they last had any
    safety: tuple[SafetyItem, ...] = ()  # retractions and other notices about what was sent earlier; first of all
    near_misses: tuple[DigestItem, ...] = ()  # just below a topic's threshold, for readers who asked
    coverage: Coverage
    next_at: datetime | None = None
    composed_at: datetime

    @property
    def items(self) -> tuple[DigestItem, ...]:
        return tuple(item for section in self.sections for item in section.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Finished mail: `data` is what goes over the wire after DATA (CRLF, not dot-stuffed), headers included.

    `compact` is a smaller form for a relay that finds `data` too big; empty where there is none.
    """

    message_id: str
    sender: str  # envelope MAIL FROM
    recipient: str
    subject: str
    data: bytes
    compact: bytes = b""
    html: str = ""  # the web view


class DeliveryState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    HELD = "held"  # waits for an admin (after a restore)
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one mailbox, and its state. `epoch` fences: only its holder may settle it."""

    id: int = 0
    subscription_id: int | None
    subscriber_id: int
    period_key: str
    message: Message
    state: DeliveryState = DeliveryState.QUEUED
    attempts: int = 0
    resends: int = 0  # copies sent, under the same Message-ID, because it was in doubt
    first_tried_at: datetime | None = None
    not_before: datetime | None = None
    lease_until: datetime | None = None
    epoch: int = 0
    last_error: str = ""
    queued_at: datetime
    settled_at: datetime | None = None


# --- what an admin should see ---------------------------------------------------------------------------------


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something an admin should know, raised once for (subject, code) and closed when it is over.

    `subject` is "source:medical-xpress", "delivery:12", "relay" …; `code` a constant such as "dead-host".
    """

    id: int = 0
    subject: str
    code: str
    level: Level
    text: str
    raised_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One visit to a source: what came of it."""

    source_id: int
    at: datetime
    outcome: str  # "ok", "unchanged" or the error's class
    entries: int = 0
    new: int = 0
    seconds: float = 0.0
    detail: str = ""


# --- who runs the place ---------------------------------------------------------------------------------------


class Role(StrEnum):
    """Each may do what those before it may."""

    VIEWER = "viewer"
    EDITOR = "editor"  # changes topics
    ADMIN = "admin"  # sources, readers, outbox, users

    def covers(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may log in. `has_password` is false until the link that they got was used."""

    id: int = 0
    email: str
    name: str = ""
    role: Role = Role.VIEWER
    active: bool = True
    has_password: bool = False
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody whom an identity provider vouches for. `issuer` and `subject` name them for good, an address does not.

    `role` is what the provider's groups give (None: it does not decide that); `role_when_new` what somebody becomes who
    is no user yet (None: they do not come in).
    """

    issuer: str
    subject: str
    email: str
    name: str = ""
    role: Role | None = None
    role_when_new: Role | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that is logged in; `key` names it without being what opens it."""

    key: str
    user_id: int
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    agent: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What a program logs in with, for its `scopes` ("topics:read" …) and never more than its user's role."""

    id: int = 0
    user_id: int
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
