"""What storage takes and gives besides the nouns of monitor.model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from monitor.model import Article, Delivery, Entry, Match
from monitor.model import Concept as Concept


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """An entry, the article made of it and its matches. `page_due_at`: when to fetch its page, if ever.

    `words`: index_text of the article's title and text, where whoever matched it has folded them already.
    """

    entry: Entry
    article: Article
    matches: tuple[Match, ...] = ()
    page_due_at: datetime | None = None
    words: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of the articles given: how many are new, and how many were known already."""

    new: int = 0
    known: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTask:
    """A claimed page: fetch `url`, parse it with `entry`, and hand the result to `page_saved` or `page_failed`.

    `attempts` counts this one. `epoch` fences: after the lease ran out and another took over, nothing is changed.
    """

    article: Article
    entry: Entry
    url: str
    attempts: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichTask:
    """A claimed article whose paper is to be looked up. `attempts` counts this one, `looks` those before it that went
    well; `epoch` fences as in PageTask.
    """

    article: Article
    attempts: int
    epoch: int
    looks: int = 0

    @property
    def id(self) -> int:
        return self.article.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text that a topic must match, or must not; checked before a changed query is saved."""

    id: int = 0
    topic_id: int
    must_match: bool
    title: str
    body: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rematch:
    """A topic's new revision on its way through the archive: articles up to `after_id` are done, `upto_id` is the last.

    `matched` counts the matches made so far.
    """

    topic_id: int
    revision_id: int
    after_id: int
    upto_id: int
    matched: int = 0

    @property
    def done(self) -> bool:
        return self.after_id >= self.upto_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SentDigest:
    """A digest as it was enqueued, and its articles in their order. Kept for the web view and for corrections."""

    delivery: Delivery
    article_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who changed what, and how it was before and after."""

    id: int = 0
    who: str
    what: str
    before: str
    after: str
    at: datetime
