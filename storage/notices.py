"""What an admin should see (notices), and what admins did (audit)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from monitor.model import Level, Notice
from storage.engine import Repository, reads, writes
from storage.values import AuditEntry


class Notices(Repository):
    @writes
    def raise_once(self, db: sa.Connection, subject: str, code: str, level: Level, text: str, now: datetime) -> bool:
        """True if this is news; an open notice of the same subject and code only gets the new text."""
        raise NotImplementedError

    @writes
    def close(self, db: sa.Connection, subject: str, code: str, now: datetime) -> bool:
        """False if none was open."""
        raise NotImplementedError

    @reads
    def open(self, db: sa.Connection) -> list[Notice]:
        """Worst first, then oldest."""
        raise NotImplementedError

    @reads
    def recent(self, db: sa.Connection, limit: int = 50) -> list[Notice]:
        """Open or closed, newest first."""
        raise NotImplementedError


class Audit(Repository):
    @writes
    def append(self, db: sa.Connection, who: str, what: str, before: str, after: str, now: datetime) -> None:
        """Record a change; `before` and `after` are empty where there was or is nothing."""
        raise NotImplementedError

    @reads
    def recent(self, db: sa.Connection, limit: int = 50) -> list[AuditEntry]:
        """Newest first."""
        raise NotImplementedError
