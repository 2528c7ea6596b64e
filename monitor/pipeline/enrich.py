"""Completes articles by what the indexes know of their papers: PubMed, Crossref, Unpaywall and, with a key, OpenAlex.

A lane of its own: a digest never waits for it. What an index said is kept, so that ten news stories on one paper ask
once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitor import schedule
from monitor.errors import FetchError, FetchStatus, MonitorError, ParseError
from monitor.fetch import Fetcher
from monitor.identity import normal_doi, trial_ids
from monitor.match import Matcher
from monitor.model import Article, Entry, Feed, Match, Paper
from monitor.parse.asking import Access, Request
from monitor.parse.scholarly import crossref, open_access, pubmed
from monitor.pipeline.harvest import Driver, Patience
from monitor.pipeline.lane import kept
from monitor.pipeline.trace import Tracer
from monitor.sandbox import Sandbox
from monitor.story.trace import NO_STUDY, questions
from storage import EnrichTask, Storage

log = logging.getLogger(__name__)

UNKNOWN = {404, 410, 422}  # the index answers: it does not know this paper
DAY = timedelta(days=1)
TRACES = 2  # further looks for a paper that was not found


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the indexes are asked; an empty one is not."""

    pubmed: str = pubmed.BASE
    crossref: str = crossref.BASE
    unpaywall: str = open_access.UNPAYWALL
    openalex: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    """`fresh`: so long an index's word is not asked for again. `again`: then a paper without MeSH terms is looked up
    once more, and after twice as long again, `looks` times in all, for PubMed has and indexes papers days to months
    after they came out. `tracer` finds the papers of news without a DOI.
    """

    storage: Storage
    fetcher: Fetcher
    sandbox: Sandbox
    matcher: Matcher
    now: Callable[[], datetime]
    lease: timedelta
    access: Access
    places: Places = field(default_factory=Places)
    patience: Patience = field(default_factory=Patience)
    fresh: timedelta = timedelta(days=30)
    again: timedelta = timedelta(days=5)
    looks: int = 5
    tracer: Tracer | None = None

    async def claim(self, limit: int) -> list[EnrichTask]:
        return await self.storage.papers.claim_due(self.now(), limit, self.lease)

    async def tidy(self) -> int:
        """Forget what is no longer fresh: it would be asked for again anyway."""
        return await self.storage.papers.prune(self.now() - self.fresh)

    async def complete(self, task: EnrichTask) -> None:
        """Look one article's paper up. Raises nothing; failures are recorded and tried again for half a day."""
        async with kept(lambda: self.storage.papers.renew(task, self.now() + self.lease), self.lease):
            try:
                article, paper = await self._found(task)
            except Exception as error:  # the boundary: the article stays as it is
                await self._failed(task, error)
                return
        matches = self._matches(task.article, article)
        now = self.now()
        again_at = now + self.again * 2**task.looks if self._worth_another_look(task, article) else None
        if await self.storage.papers.enriched(task, article, matches, now, again_at=again_at):
            log.info("enriched article=%d asked=%s found=%s", task.article.id, "+".join(paper.asked), paper.found)

    async def _found(self, task: EnrichTask) -> tuple[Article, Paper]:
        """The article with what is known of its paper, which may have to be found first."""
        article = task.article
        if not (article.doi or article.pmid):
            traced = await self.tracer.find(article) if self.tracer else None
            if traced is None:
                return article, Paper(found=False)
            article = replace(article, doi=traced.paper.doi, doi_evidence=traced.evidence)
            paper = await self.look_up(article)
            if NO_STUDY & {*paper.publication_types}:  # PubMed knows it for an editorial of that title
                return task.article, Paper(found=False)
            return completed(article, paper), paper
        paper = await self.look_up(article, again=task.looks > 0)
        return completed(article, paper), paper

    async def look_up(self, article: Article, *, again: bool = False) -> Paper:
        """What the indexes know of the paper that an article names; each answer is kept at once. `again`: ask PubMed
        once more where it had no MeSH terms.

        Raises FetchError or ParseError when one of them could not be asked; the next look asks only the others.
        """
        known = await self.storage.papers.known(article.doi, article.pmid, self.now() - self.fresh)
        if known and not known.found:  # what no index knew may be registered the next day
            known = await self.storage.papers.known(article.doi, article.pmid, self.now() - DAY)
        paper = known or Paper(doi=normal_doi(article.doi), pmid=article.pmid, found=False)
        if again:  # the others have said what they know
            paper = replace(paper, asked=tuple(dict.fromkeys((*paper.asked, "crossref", "unpaywall", "openalex"))))
            if await self._is_due_at_pubmed(article, paper):
                paper = replace(paper, asked=tuple(name for name in paper.asked if name != "pubmed"))
        else:
            paper = replace(paper, asked=tuple(dict.fromkeys((*paper.asked, *said_already(article)))))
        trouble: FetchError | ParseError | None = None
        for name, ask in self._indexes(paper):
            if name in paper.asked:
                continue
            try:
                said = await ask(paper)
            except (FetchError, ParseError) as error:
                log.info("index failed name=%s article=%d reason=%s", name, article.id, error.reason)
                trouble = trouble or error
                continue
            paper = replace(said or paper, found=paper.found or said is not None, asked=(*paper.asked, name))
            await self.storage.papers.remember(paper, self.now())
        if trouble is not None:
            raise trouble
        return paper

    async def _is_due_at_pubmed(self, article: Article, paper: Paper) -> bool:
        """Not what another's look has asked for within the day."""
        if paper.mesh or article.mesh or _is_open_preprint(article):
            return False
        return not await self.storage.papers.known(article.doi, article.pmid, self.now() - DAY)

    def _indexes(self, paper: Paper) -> list[tuple[str, Callable[[Paper], Awaitable[Paper | None]]]]:
        places, access = self.places, self.access
        wanted = (
            ("pubmed", self._pubmed, bool(places.pubmed)),
            ("crossref", self._crossref, bool(places.crossref and paper.doi)),
            ("unpaywall", self._unpaywall, bool(places.unpaywall and access.contact and paper.doi)),
            ("openalex", self._openalex, bool(places.openalex and access.openalex_key and paper.doi)),
        )
        return [(name, ask) for name, ask, wanted_now in wanted if wanted_now]

    async def _pubmed(self, paper: Paper) -> Paper | None:
        base = self.places.pubmed
        pmids = [paper.pmid] if paper.pmid else []
        if not pmids and paper.doi:
            search = await self._ask(pubmed.find_request(paper.doi, self.access, base))
            found = isinstance(search, pubmed.Search) and search.count <= 3  # a search gone astray finds many
            pmids = list(search.ids) if isinstance(search, pubmed.Search) and found else []
        if not pmids:
            return None
        others = await self.storage.papers.awaiting(self.now() + DAY, pubmed.AT_ONCE - len(pmids))
        feed = await self._ask(pubmed.record_request([*pmids, *others], self.access, base))
        if not isinstance(feed, Feed):
            return None
        if feed.corrections:
            await self.storage.corrections.add(feed.corrections, self.now())
        for entry in feed.entries:
            if entry.pmid in others and entry.pmid not in pmids:
                await self._remember(entry)
        ours = (one for one in feed.entries if one.pmid in pmids)
        for entry in ours:
            if paper.doi in ("", normal_doi(entry.doi)) or entry.pmid == paper.pmid:
                return _merged(paper, entry)
        return None

    async def _remember(self, entry: Entry) -> None:
        """What PubMed says of a paper whose turn has not come yet: then it need not be asked."""
        known = await self.storage.papers.known(entry.doi, entry.pmid, self.now() - self.fresh)
        paper = _merged(known or Paper(doi=normal_doi(entry.doi), pmid=entry.pmid), entry)
        asked = tuple(dict.fromkeys((*paper.asked, "pubmed")))
        await self.storage.papers.remember(replace(paper, found=True, asked=asked), self.now())

    async def _crossref(self, paper: Paper) -> Paper | None:
        entry = await self._ask(crossref.work_request(paper.doi, self.access, self.places.crossref))
        if not isinstance(entry, Entry) or normal_doi(entry.doi) != paper.doi:
            return None
        types = paper.publication_types or entry.publication_types  # PubMed's say more
        return replace(_merged(paper, entry), publication_types=types)

    async def _unpaywall(self, paper: Paper) -> Paper | None:
        request = open_access.unpaywall_request(paper.doi, self.access, self.places.unpaywall)
        return _opened(paper, await self._ask(request))

    async def _openalex(self, paper: Paper) -> Paper | None:
        request = open_access.openalex_request(paper.doi, self.access, self.places.openalex)
        return _opened(paper, await self._ask(request))

    async def _ask(self, request: Request) -> object:
        """None: the index does not know it."""
        try:
            return await Driver(self.fetcher, self.sandbox, self.patience).ask(request)
        except FetchStatus as error:
            if error.status in UNKNOWN:
                return None
            raise

    def _matches(self, before: Article, article: Article) -> list[Match] | None:
        """Made anew where the text has changed."""
        same = (before.summary, before.doi, before.journal, before.authors) == (
            article.summary,
            article.doi,
            article.journal,
            article.authors,
        )
        return None if same else self.matcher.match(article)

    def _worth_another_look(self, task: EnrichTask, article: Article) -> bool:
        if not (article.doi or article.pmid):  # its paper may be registered days after the news
            wanted, most = self.tracer is not None and bool(questions(article)), TRACES
        else:
            wanted, most = not (article.mesh or _is_open_preprint(article)), self.looks
        return bool(self.again) and wanted and task.looks < most

    async def _failed(self, task: EnrichTask, error: Exception) -> None:
        if not isinstance(error, MonitorError):
            log.exception("unexpected failure article=%d", task.article.id, exc_info=error)
        reason = error.reason if isinstance(error, FetchError | ParseError) else f"{type(error).__name__}: {error}"
        wait = error.retry_after if isinstance(error, FetchStatus) else None
        next_try = schedule.next_page_try(task.attempts, self.now(), wait)
        await self.storage.papers.failed(task, reason, next_try)
        log.warning("failed enrichment article=%d next=%s reason=%s", task.article.id, next_try, reason)


def completed(article: Article, paper: Paper) -> Article:
    """The article with its blanks filled. Authors, date and abstract are the paper's own: a news story on it keeps its
    own authors, and is never given the paper's words.
    """
    numbers = tuple(dict.fromkeys((*article.trial_ids, *paper.trial_ids, *trial_ids(_text(article)))))
    filled = replace(
        article,
        pmid=article.pmid or paper.pmid,
        journal=article.journal or paper.journal,
        mesh=_together(article.mesh, paper.mesh),
        publication_types=_together(article.publication_types, paper.publication_types),
        trial_ids=numbers[:50],
        versions=_together(article.versions, tuple(doi for doi in paper.versions if doi != normal_doi(article.doi))),
        open_access_url=article.open_access_url or paper.open_access_url,
    )
    if not is_the_paper(article):
        return filled
    return replace(
        filled,
        doi=article.doi or paper.doi,
        authors=article.authors or paper.authors,
        published=article.published or paper.published,
        summary=article.summary or paper.abstract,
    )


def _together(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*some, *more)))


def said_already(article: Article) -> tuple[str, ...]:
    """The indexes that could add nothing to what the article's own source said of it: its records come from there."""
    if _is_open_preprint(article):
        return ("pubmed", "crossref", "unpaywall", "openalex")
    if not article.publication_types:
        return ()
    whole = article.authors and article.journal and article.summary
    return (*(["pubmed"] if article.pmid else []), *(["crossref"] if whole else []))


def _is_open_preprint(article: Article) -> bool:
    return "Preprint" in article.publication_types and bool(article.open_access_url)


def is_the_paper(article: Article) -> bool:
    """Whether it is the paper itself, not a story about it: its key is its own DOI, or its address PubMed's."""
    own_doi = bool(article.doi) and article.key == f"doi:{normal_doi(article.doi)}"
    return own_doi or bool(article.pmid and f"pubmed.ncbi.nlm.nih.gov/{article.pmid}" in article.key)


def _text(article: Article) -> str:
    return f"{article.title}\n{article.summary}\n{article.body}"


def _merged(paper: Paper, entry: Entry) -> Paper:
    """What was known first stays: PubMed is asked before Crossref, and writes names and types with more care."""
    return replace(
        paper,
        doi=paper.doi or normal_doi(entry.doi),
        pmid=paper.pmid or entry.pmid,
        title=paper.title or entry.title,
        authors=paper.authors or entry.authors,
        journal=paper.journal or entry.journal,
        abstract=paper.abstract or entry.summary,
        published=paper.published or entry.published,
        mesh=_together(paper.mesh, entry.mesh),
        publication_types=_together(paper.publication_types, entry.publication_types),
        trial_ids=_together(paper.trial_ids, entry.trial_ids),
        versions=_together(paper.versions, entry.versions),
        open_access_url=paper.open_access_url or entry.open_access_url,
    )


def _opened(paper: Paper, said: object) -> Paper | None:
    if not isinstance(said, open_access.Open):
        return None
    return replace(
        paper,
        open_access_url=paper.open_access_url or said.url,
        pmid=paper.pmid or said.pmid,
        journal=paper.journal or said.journal,
        authors=paper.authors or said.authors,
    )
