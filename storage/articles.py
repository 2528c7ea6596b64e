"""Articles: each stored once, however many entries name it; its page fetched later; found again by words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from monitor.model import Article, IndexQuery, Match, Source
from storage.engine import Repository, reads, writes
from storage.values import Counts, PageTask, Saved


class Articles(Repository):
    @writes
    def save(self, db: sa.Connection, source: Source | None, found: Sequence[Saved], now: datetime) -> Counts:
        """Store entries, articles, matches, index and due pages in one transaction.

        An article whose key is known is not stored again: its entry is linked to it and its blank fields are filled; its
        text and matches stay, unless it had no text at all. Raises StorageError, with nothing changed, when the claim on
        `source` (its epoch) was lost. `source` may be None, or have epoch 0, for an article added by hand.
        """
        raise NotImplementedError

    @writes
    def claim_due_pages(self, db: sa.Connection, now: datetime, limit: int, lease: timedelta) -> list[PageTask]:
        """Take up to `limit` pages that are due and held by nobody, longest due first."""
        raise NotImplementedError

    @writes
    def renew_page(self, db: sa.Connection, task: PageTask, lease_until: datetime) -> bool:
        """Keep a claim for longer. False: it is lost, stop."""
        raise NotImplementedError

    @writes
    def page_saved(
        self, db: sa.Connection, task: PageTask, article: Article, matches: Sequence[Match], now: datetime
    ) -> bool:
        """Replace the article's text and matches by those of its page; False, and nothing changed, if the claim was lost.

        A match that no longer holds is removed unless it was delivered. One that holds still keeps its `matched_at`.
        """
        raise NotImplementedError

    @writes
    def page_failed(self, db: sa.Connection, task: PageTask, error: str, next_try_at: datetime | None) -> bool:
        """Record why, and try again then, or (None) never. False if the claim was lost."""
        raise NotImplementedError

    @reads
    def get(self, db: sa.Connection, article_id: int) -> Article:
        """Raises NotFound."""
        raise NotImplementedError

    @reads
    def get_many(self, db: sa.Connection, article_ids: Sequence[int]) -> list[Article]:
        """In the order asked for; unknown ones are left out."""
        raise NotImplementedError

    @reads
    def find(self, db: sa.Connection, text: str) -> Article | None:
        """By id, key, address or DOI (in any of its forms); of several with one DOI the newest."""
        raise NotImplementedError

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
        """Articles stored at or after `since` and before `until`, newest first; or best first among the newest 2,000 hits."""
        raise NotImplementedError

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
        """One batch, by rising id, of every article that `query` may match (all for None). Empty when there are no more."""
        raise NotImplementedError

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
        raise NotImplementedError

    @reads
    def recent(self, db: sa.Connection, limit: int = 50) -> list[Article]:
        """Newest first."""
        raise NotImplementedError

    @reads
    def count(self, db: sa.Connection) -> int:
        raise NotImplementedError

    @writes
    def prune(self, db: sa.Connection, before: datetime) -> int:
        """Delete articles stored before then; how many. What was mailed or labelled is kept.

        Their entries stay known, so a feed that still lists them does not bring them back.
        """
        raise NotImplementedError
