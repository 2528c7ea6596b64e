"""Watches what was mailed: asks Crossref and PubMed for notices, preprint servers for papers, and takes in the
Retraction Watch list.

No digest waits for it; whoever of several processes has the lease does a round, and it is held until the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from secrets import token_hex

from monitor.errors import MonitorError, ParseError
from monitor.fetch import Fetcher
from monitor.model import Correction, Feed, Level
from monitor.parse.asking import Access
from monitor.parse.scholarly import crossref, pubmed
from monitor.parse.scholarly.updates import AT_ONCE, Updates, updates_request
from monitor.pipeline.harvest import Driver, Patience
from monitor.pipeline.preprints import Preprints
from monitor.sandbox import Sandbox
from monitor.story.corrections import from_retraction_watch
from storage import Storage

log = logging.getLogger(__name__)

BATCH = 2_000  # rows of the list in one transaction
RETRY = timedelta(hours=1)
ROUND = timedelta(minutes=10)
SUBJECT = "retractions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """`every`: so often a mailed paper is asked about. Of the places an empty one is not asked; `list_url` empty: the
    list comes by `import_list` only. `preprints`: what became of those that were mailed.
    """

    storage: Storage
    fetcher: Fetcher
    sandbox: Sandbox
    now: Callable[[], datetime]
    directory: Path
    access: Access = field(default_factory=Access)
    crossref_url: str = crossref.BASE
    pubmed_url: str = ""
    list_url: str = ""
    every: timedelta = timedelta(days=7)
    list_every: timedelta = timedelta(days=7)
    at_once: int = 500
    patience: Patience = field(default_factory=Patience)
    preprints: Preprints | None = None

    async def watch_due(self) -> int:
        """Ask about the mailed papers that are due and fetch the list if it is; the number of new notices."""
        new = 0
        for name, work, rest in self._rounds():
            lease = f"{SUBJECT}:{name}"
            if await self.storage.leases.acquire(lease, token_hex(8), self.now(), rest) is None:
                continue
            try:
                new += await work()
            except MonitorError as error:
                text = f"{_TROUBLES[name]}: {error}. It is tried again within the hour."
                await self.storage.notices.raise_once(SUBJECT, name, Level.WARNING, text, self.now())
                log.warning("watching failed place=%s reason=%s", name, error)
                await self._try_again(lease)
            else:
                await self.storage.notices.close(SUBJECT, name, self.now())
        return new

    def _rounds(self) -> Iterator[tuple[str, Callable[[], Awaitable[int]], timedelta]]:
        if self.crossref_url:
            yield "crossref", self.ask_crossref, ROUND
        if self.pubmed_url:
            yield "pubmed", self.ask_pubmed, ROUND
        if self.list_url:
            yield "retraction-watch", self.fetch_list, self.list_every
        if self.preprints is not None:
            yield "preprints", self.preprints.ask_servers, ROUND

    async def ask_crossref(self) -> int:
        """About up to `at_once` mailed papers that are due; how many notices are new. Raises FetchError, ParseError."""
        dois = await self.storage.corrections.to_watch("crossref", self.now(), self.every, self.at_once)
        new = 0
        for start in range(0, len(dois), AT_ONCE):
            some = dois[start : start + AT_ONCE]
            request = updates_request(some, self.access, self.crossref_url)
            told: Updates = await self._driver.ask(request)
            ours = set(some)
            new += await self.storage.corrections.add([one for one in told.corrections if one.doi in ours], self.now())
            if self.preprints is not None:
                for preprint, paper in told.published:
                    await self.preprints.became(preprint, paper)
            await self.storage.corrections.watched("crossref", some, self.now())
        return new

    async def ask_pubmed(self) -> int:
        """The same of PubMed, which knows papers without a DOI, and some retractions that Crossref does not."""
        pmids = await self.storage.corrections.to_watch("pubmed", self.now(), self.every, self.at_once)
        new = 0
        for start in range(0, len(pmids), pubmed.AT_ONCE):
            some = pmids[start : start + pubmed.AT_ONCE]
            told: Feed = await self._driver.ask(pubmed.record_request(some, self.access, self.pubmed_url))
            new += await self.storage.corrections.add(told.corrections, self.now())
            await self.storage.corrections.watched("pubmed", some, self.now())
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
        await self.storage.audit.note("imported a Retraction Watch list", "", f"{new} new notices")
        return new

    @property
    def _driver(self) -> Driver:
        return Driver(self.fetcher, self.sandbox, self.patience)

    async def _try_again(self, lease: str) -> None:
        """Let the lease end within the hour."""
        await self.storage.leases.shorten(lease, self.now() + RETRY)


_TROUBLES = {
    "crossref": "Retractions are not read from crossref",
    "pubmed": "Retractions are not read from pubmed",
    "retraction-watch": "Retractions are not read from retraction-watch",
    "preprints": "What became of mailed preprints is not known",
}


def _some(rows: Iterator[Correction]) -> list[Correction]:
    return list(islice(rows, BATCH))
