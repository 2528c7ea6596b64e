"""What is news: not what was old already when it came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from monitor.model import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """How old by its own date an article may be when it comes. An index is months late with some papers (`late`);
    what a feed already listed at our first visit (`first`) had its time. Without a date it is as new as it came.
    """

    late: timedelta = timedelta(days=180)
    first: timedelta = timedelta(days=14)

    def __contains__(self, found: Found) -> bool:
        """A story that the reader knows may go on at any time: its paper is an update however late we hear of it."""
        article = found.article
        if found.known or article.published is None or article.stored_at is None:
            return True
        return article.stored_at - article.published <= (self.first if found.first_visit else self.late)
