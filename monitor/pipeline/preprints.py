"""What became of preprints that were mailed: their papers join their stories, and readers get an update."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitor.errors import FetchStatus
from monitor.model import Article, Entry, Feed, Match, Paper
from monitor.parse import article_from_entry
from monitor.parse.scholarly import medrxiv
from monitor.pipeline.enrich import UNKNOWN, Enrichment
from monitor.pipeline.harvest import Driver, Patience
from storage import Saved, Storage

log = logging.getLogger(__name__)

MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprints:
    """Asks about preprints that were mailed in the last `months`, each once in `every`; `enrichment` finds papers."""

    storage: Storage
    enrichment: Enrichment
    now: Callable[[], datetime]
    base: str = medrxiv.BASE
    months: int = 24
    every: timedelta = timedelta(days=14)
    at_once: int = 100
    patience: Patience = field(default_factory=Patience)

    async def ask_servers(self) -> int:
        """Ask bioRxiv and medRxiv about those that are due. No notices come of it: 0. Raises FetchError, ParseError."""
        now = self.now()
        due = await self.storage.corrections.preprints_to_watch(
            now, mailed_after=now - self.months * MONTH, every=self.every, limit=self.at_once
        )
        for doi in due:
            for paper in await self._ask(doi):
                await self.became(doi, paper)
            await self.storage.corrections.watched("preprints", [doi], self.now())
        return 0

    async def became(self, preprint: str, paper: str) -> bool:
        """Bring the paper, unless it is there or no index knows it yet, and let both be one story; whether that is new.

        Raises FetchError or ParseError when the indexes cannot be asked.
        """
        there = bool(await self.storage.papers.itself(paper)) or await self._bring(preprint, paper)
        new = there and await self.storage.papers.same_study(preprint, paper) > 0
        if new:
            log.info("preprint published preprint=%s paper=%s", preprint, paper)
        return new

    async def _ask(self, doi: str) -> tuple[str, ...]:
        """The DOI alone does not tell on which of the two servers it stands."""
        for server in medrxiv.SERVERS:
            try:
                driver = Driver(self.enrichment.fetcher, self.enrichment.sandbox, self.patience)
                papers: tuple[str, ...] | None = await driver.ask(medrxiv.preprint_request(doi, server, self.base))
            except FetchStatus as error:
                if error.status not in UNKNOWN:
                    raise
                continue
            if papers is not None:
                return papers
        return ()

    async def _bring(self, preprint: str, doi: str) -> bool:
        """Store the paper as the indexes know it, as if the preprint's source had brought it; False: none knows it yet.

        It matches the topics that its preprint matched: who was sent that wants to hear of it, whatever words it uses.
        """
        itself = await self.storage.papers.itself(preprint)
        if itself is None:
            return False
        place = f"https://doi.org/{doi}"
        said = await self.enrichment.look_up(
            Article(url=place, canonical_url=place, key=f"doi:{doi}", title="", doi=doi)
        )
        if not (said.found and said.title):
            return False
        source = await self.storage.sources.get(itself.source_slug) if itself.source_slug else None
        source = replace(source, epoch=0) if source else None
        entry = _entry(said, place)
        article = article_from_entry(entry, feed=Feed(title=said.journal, entries=()), source=source)
        article = replace(article, versions=(preprint,))
        own = self.enrichment.matcher.match(article)
        before = (await self.storage.browse.matches_of([itself.id])).get(itself.id, [])
        matches = (*own, *_carried(before, {match.topic_id for match in own}))
        saved = Saved(entry=entry, article=article, matches=matches)
        await self.storage.articles.save(source, [saved], self.now())
        return True


def _carried(matches: list[Match], own: set[int]) -> list[Match]:
    """Without their spans, which point into the preprint's text."""
    return [replace(match, spans=(), matched_at=None) for match in matches if match.topic_id not in own]


def _entry(paper: Paper, place: str) -> Entry:
    return Entry(
        url=place,
        guid=f"doi:{paper.doi}",
        title=paper.title,
        published=paper.published,
        authors=paper.authors,
        summary=paper.abstract,
        doi=paper.doi,
        pmid=paper.pmid,
        journal=paper.journal,
        mesh=paper.mesh,
        publication_types=paper.publication_types,
        trial_ids=paper.trial_ids,
        open_access_url=paper.open_access_url,
    )
