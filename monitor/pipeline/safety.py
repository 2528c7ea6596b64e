"""Watches what was mailed: asks Crossref for notices about it, and takes in the Retraction Watch list.

No digest waits for it; whoever of several processes has the lease does a round, and it is held until the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from secrets import token_hex

from monitor.errors import MonitorError, ParseError
from monitor.fetch import Fetcher
from monitor.model import Correction, Level
from monitor.parse.asking import Access
from monitor.parse.scholarly import crossref
from monitor.parse.scholarly.updates import AT_ONCE, updates_request
from monitor.pipeline.harvest import Driver, Patience
from monitor.sandbox import Sandbox
from monitor.story.corrections import from_retraction_watch
from storage import Storage

log = logging.getLogger(__name__)

BATCH = 2_000  # rows of the list in one transaction
RETRY = timedelta(hours=1)
SUBJECT = "retractions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """`every`: so often a mailed paper is asked about. `list_url` empty: the list comes by `import_list` only."""

    storage: Storage
    fetcher: Fetcher
    sandbox: Sandbox
    now: Callable[[], datetime]
    directory: Path
    access: Access = field(default_factory=Access)
    crossref_url: str = crossref.BASE
    list_url: str = ""
    every: timedelta = timedelta(days=7)
    list_every: timedelta = timedelta(days=7)
    at_once: int = 500
    patience: Patience = field(default_factory=Patience)

    async def watch_due(self) -> int:
        """Ask about the mailed papers that are due and fetch the list if it is; the number of new notices."""
        new = 0
        for name, wanted, work, rest in (
            ("crossref", self.crossref_url, self.ask_crossref, timedelta(minutes=10)),
            ("retraction-watch", self.list_url, self.fetch_list, self.list_every),
        ):
            lease = f"{SUBJECT}:{name}"
            if not wanted or await self.storage.leases.acquire(lease, token_hex(8), self.now(), rest) is None:
                continue
            try:
                new += await work()
            except MonitorError as error:
                text = f"Retractions are not read from {name}: {error}. It is tried again within the hour."
                await self.storage.notices.raise_once(SUBJECT, name, Level.WARNING, text, self.now())
                log.warning("retractions not read source=%s reason=%s", name, error)
                await self._try_again(lease)
            else:
                await self.storage.notices.close(SUBJECT, name, self.now())
        return new

    async def ask_crossref(self) -> int:
        """About up to `at_once` mailed papers that are due; how many notices are new. Raises FetchError, ParseError."""
        dois = await self.storage.corrections.to_watch(self.now(), self.every, self.at_once)
        new = 0
        for start in range(0, len(dois), AT_ONCE):
            some = dois[start : start + AT_ONCE]
            request = updates_request(some, self.access, self.crossref_url)
            found: tuple[Correction, ...] = await Driver(self.fetcher, self.sandbox, self.patience).ask(request)
            ours = set(some)
            new += await self.storage.corrections.add([one for one in found if one.doi in ours], self.now())
            await self.storage.corrections.watched(some, self.now())
        return new

    async def fetch_list(self) -> int:
        """Download the Retraction Watch list and take it in; the number of new notices. Raises MonitorError."""
        path = self.directory / "retraction-watch.csv"
        await self.fetcher.download(self.list_url, path)
        return await self.import_list(path)

    async def import_list(self, path: Path) -> int:
        """Take in a Retraction Watch CSV; the number of new notices. Raises ParseError for any other file."""
        new = 0
        try:
            with await asyncio.to_thread(path.open, encoding="utf-8", errors="replace", newline="") as lines:
                rows = from_retraction_watch(lines)
                while batch := await asyncio.to_thread(_some, rows):
                    new += await self.storage.corrections.add(batch, self.now())
        except OSError as error:
            raise ParseError(str(path), error.strerror or str(error)) from error
        except ValueError as error:
            raise ParseError(str(path), str(error)) from error
        log.info("took in retractions new=%d", new)
        return new

    async def _try_again(self, lease: str) -> None:
        """Let the lease end within the hour."""
        await self.storage.leases.shorten(lease, self.now() + RETRY)


def _some(rows: Iterator[Correction]) -> list[Correction]:
    return list(islice(rows, BATCH))
