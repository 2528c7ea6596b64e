"""Everything that reads sources, on a real SQLite file and a real fetcher, with parsers in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.fetch import Fetcher
from monitor.match import Matcher
from monitor.model import Poll, Source
from monitor.parse.asking import Access
from monitor.pipeline.harvest import Patience
from monitor.pipeline.ingest import Ingest
from monitor.schedule import Pacing
from storage import Storage

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)
QUICK = Patience(tries=4, first_wait=0.001)
ACCESS = Access(contact="admin@example.org", pubmed_per_second=10_000)


class SameProcess:
    """Runs what the sandbox would, here."""

    async def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)


@dataclass
class Room:
    storage: Storage
    fetcher: Fetcher
    ingest: Ingest
    time: list[datetime] = field(default_factory=lambda: [NOW])

    def later(self, **span: float) -> datetime:
        self.time[0] += timedelta(**span)
        return self.time[0]

    async def add(self, source: Source) -> Source:
        return await self.storage.sources.add(source)

    async def poll(self, slug: str = "s") -> Poll:
        source = await self.storage.sources.claim(slug, self.time[0], LEASE)
        assert source is not None
        return await self.ingest.refresh(source)

    async def source(self, slug: str = "s") -> Source:
        return await self.storage.sources.get(slug)

    async def notices(self) -> dict[str, str]:
        return {notice.code: notice.text for notice in await self.storage.notices.open()}


@asynccontextmanager
async def room_of(url: str, *places: str, access: Access = ACCESS, **changes: Any) -> AsyncIterator[Room]:
    """`places` are the local servers that may be asked."""
    time = [NOW]
    async with (
        Storage.open(url) as storage,
        Fetcher(user_agent="Test/1", allow=frozenset(places), host_delay=0.0, timeout=5) as fetcher,
    ):
        ingest = Ingest(
            storage=storage,
            fetcher=fetcher,
            sandbox=changes.pop("sandbox", None) or SameProcess(),
            matcher=Matcher(),
            now=lambda: time[0],
            lease=LEASE,
            access=access,
            patience=QUICK,
            pacing=changes.pop("pacing", Pacing()),
        )
        yield Room(storage, fetcher, replace(ingest, **changes), time)
