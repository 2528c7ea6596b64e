"""Asks Crossref, then PubMed, for the paper that a news story without a DOI means (monitor.story.trace judges)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from monitor.fetch import Fetcher
from monitor.model import Article, Entry, Feed
from monitor.parse.asking import Access, Page, Request
from monitor.parse.scholarly import crossref, pubmed
from monitor.pipeline.harvest import Driver, Patience
from monitor.sandbox import Sandbox
from monitor.story.trace import Traced, questions, titles, trace
from storage import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracer:
    """`threshold`: so sure it must be. An index's answer is kept for `fresh`: ten stories with one quote ask once."""

    storage: Storage
    fetcher: Fetcher
    sandbox: Sandbox
    now: Callable[[], datetime]
    access: Access
    crossref_url: str = crossref.BASE
    pubmed_url: str = pubmed.BASE
    patience: Patience = field(default_factory=Patience)
    threshold: float = 0.8
    fresh: timedelta = timedelta(days=5)

    async def find(self, article: Article) -> Traced | None:
        """The paper that this story means; None where no answer is sure enough. Raises FetchError or ParseError."""
        candidates: list[Entry] = []
        places = (("Crossref", questions, self._crossref), ("PubMed", titles, self._pubmed))
        for index, asked, ask in places:
            for question in asked(article):
                candidates += await self._kept(f"{index}:{question}", question, ask)
                traced = trace(article, candidates, self.threshold)
                if traced is not None:
                    log.info("traced article=%d doi=%s sure=%.2f", article.id, traced.paper.doi, traced.confidence)
                    return replace(traced, evidence=f"{index} has {traced.evidence}")
        return None

    async def _kept(self, key: str, question: str, ask: Callable[[str], Awaitable[tuple[Entry, ...]]]) -> list[Entry]:
        known = await self.storage.papers.searched(key, self.now() - self.fresh)
        if known is None:
            known = list(await ask(question))
            await self.storage.papers.remember_search(key, known, self.now())
        return known

    async def _crossref(self, question: str) -> tuple[Entry, ...]:
        page: Page = await self._ask(crossref.search_request(question, self.access, self.crossref_url))
        return page.feed.entries

    async def _pubmed(self, title: str) -> tuple[Entry, ...]:
        search: pubmed.Search = await self._ask(pubmed.title_request(title, self.access, self.pubmed_url))
        if not search.ids:
            return ()
        feed: Feed = await self._ask(pubmed.record_request(list(search.ids), self.access, self.pubmed_url))
        return feed.entries

    async def _ask(self, request: Request) -> Any:
        return await Driver(self.fetcher, self.sandbox, self.patience).ask(request)
