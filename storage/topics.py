"""Topics and their revisions, examples, labels and matches."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from monitor.model import Found, Label, Match, Revision, Topic
from storage.engine import Repository, reads, writes
from storage.values import Example, Rematch


class Topics(Repository):
    @writes
    def add(self, db: sa.Connection, topic: Topic, author: str, note: str, now: datetime) -> Topic:
        """Store a new topic as its revision 1. Raises StorageError if its slug is taken."""
        raise NotImplementedError

    @writes
    def save(
        self, db: sa.Connection, topic: Topic, author: str, note: str, now: datetime, expected_revision: int
    ) -> Topic:
        """Store a new revision. Raises StorageError when somebody else saved one after `expected_revision`."""
        raise NotImplementedError

    @reads
    def list(self, db: sa.Connection, active: bool | None = None) -> builtins.list[Topic]:
        """By slug; only the active or the inactive ones if asked."""
        raise NotImplementedError

    @reads
    def get(self, db: sa.Connection, slug: str) -> Topic:
        """Raises NotFound, naming the nearest slugs."""
        raise NotImplementedError

    @reads
    def get_many(self, db: sa.Connection, topic_ids: Sequence[int]) -> builtins.list[Topic]:
        """In the order asked for; unknown ones are left out."""
        raise NotImplementedError

    @reads
    def history(self, db: sa.Connection, slug: str) -> builtins.list[Revision]:
        """All revisions, newest first. Raises NotFound."""
        raise NotImplementedError

    @writes
    def set_active(self, db: sa.Connection, slug: str, active: bool) -> Topic:
        """Not a revision: the query stays. Raises NotFound."""
        raise NotImplementedError

    @writes
    def add_example(self, db: sa.Connection, example: Example) -> Example:
        raise NotImplementedError

    @reads
    def examples(self, db: sa.Connection, topic_id: int) -> builtins.list[Example]:
        raise NotImplementedError

    @writes
    def remove_example(self, db: sa.Connection, example_id: int) -> bool:
        raise NotImplementedError

    @writes
    def label(self, db: sa.Connection, label: Label) -> None:
        """Store a judgement; a later one by the same person on the same article replaces it."""
        raise NotImplementedError

    @writes
    def unlabel(self, db: sa.Connection, topic_id: int, article_id: int, by: str) -> bool:
        """Undo a judgement; False if there was none."""
        raise NotImplementedError

    @reads
    def labels(self, db: sa.Connection, topic_id: int) -> builtins.list[Label]:
        """Newest first."""
        raise NotImplementedError

    @reads
    def matches(
        self,
        db: sa.Connection,
        topic_id: int,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> builtins.list[Found]:
        """Articles stored in that time that the topic matched, newest first, each with this topic's match."""
        raise NotImplementedError

    @reads
    def weekly_counts(self, db: sa.Connection, topic_id: int, before: datetime, weeks: int = 8) -> tuple[int, ...]:
        """Matches among the articles stored in each of the weeks before, oldest first."""
        raise NotImplementedError

    @writes
    def rematch_start(self, db: sa.Connection, topic: Topic, now: datetime) -> Rematch:
        """Begin to apply the topic's current revision to the archive, or go on with it where it stopped."""
        raise NotImplementedError

    @writes
    def rematch_batch(
        self, db: sa.Connection, rematch: Rematch, through_id: int, matches: Sequence[Match], now: datetime
    ) -> Rematch:
        """Make `matches` the only ones of the topic among articles with after_id < id <= through_id; move the cursor.

        New ones are marked as found by a rematch: digests leave them out, for they are old news. Removed ones stay if
        they were delivered. Raises StorageError when another process moved the cursor, or a newer revision started.
        """
        raise NotImplementedError

    @reads
    def unfinished_rematches(self, db: sa.Connection) -> builtins.list[Rematch]:
        """What a restart should go on with."""
        raise NotImplementedError
