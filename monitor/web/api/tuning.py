"""What a topic finds, what a draft of it would, and why: nothing is stored but labels and examples."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from monitor.errors import NotFound, Problem
from monitor.match import WARNINGS, check_query
from monitor.match.backtest import Hit, Week
from monitor.match.effects import TermEffect
from monitor.match.explain import Explanation
from monitor.match.measure import Share, precision
from monitor.match.synonyms import Expansion, expansion
from monitor.model import Concept, Label, Topic, Verdict, WeightedTerm
from monitor.web.api.kit import (
    BUSY,
    CHANGING,
    LARGEST,
    Cursor,
    Limit,
    Number,
    Out,
    Page,
    Sent,
    Slug,
    after,
    cut,
    few,
    made,
    make_router,
    read_cursor,
    taken,
)
from monitor.web.api.topics import WeightIn
from monitor.web.pages import opened_of, user_of
from monitor.web.pasted import MAX_PASTED, article_of
from monitor.web.words import Offer, advice, synonyms
from storage import Example

router = make_router("tuning")

Days = Annotated[int, Field(ge=0, le=3_650, description="Of the archive; 0: all of it.")]


class QueryIn(Sent):
    query: str = Field(max_length=20_000)


class DraftIn(Sent):
    """What the topic might become; what is left out is as saved."""

    query: str | None = Field(None, max_length=20_000)
    weights: list[WeightIn] | None = Field(None, max_length=500)
    threshold: float | None = Field(None, ge=-10_000, le=10_000)
    sources: list[Annotated[str, Field(max_length=64)]] | None = Field(None, max_length=200)
    languages: list[Annotated[str, Field(max_length=35)]] | None = Field(None, max_length=50)

    def on(self, saved: Topic) -> Topic:
        weights = saved.weights
        if self.weights is not None:
            weights = tuple(WeightedTerm(term=one.term, weight=one.weight) for one in self.weights)
        return replace(
            saved,
            query=saved.query if self.query is None else self.query.strip(),
            weights=weights,
            threshold=saved.threshold if self.threshold is None else self.threshold,
            sources=saved.sources if self.sources is None else tuple(self.sources),
            languages=saved.languages if self.languages is None else tuple(self.languages),
        )


class TryIn(DraftIn):
    days: Days = 30


class WhyIn(Sent):
    what: str = Field(min_length=1, max_length=MAX_PASTED, description="An address, a DOI, a number or a text.")
    draft: DraftIn | None = None


class ExampleIn(Sent):
    what: str = Field(min_length=1, max_length=MAX_PASTED, description="An address, a DOI, a number or a text.")
    must_match: bool = True
    note: str = Field("", max_length=500)


class LabelIn(Sent):
    article: int = Field(ge=1, le=LARGEST)
    verdict: Verdict | None = Field(description="null takes the label back.")
    reason: str = Field("", max_length=200)


class CheckOut(Out):
    understood: str | None = Field(description="null: it cannot be read.")
    errors: list[Problem]
    warnings: list[Problem]


class TryOut(Out):
    gained_total: int
    lost_total: int
    unchanged_total: int
    gained: list[Hit]
    lost: list[Hit]
    unchanged: list[Hit]
    weeks: list[Week]
    terms: list[TermEffect]
    precision: Share | None


class WhyOut(Out):
    title: str
    explanation: Explanation


class WordsOut(Out):
    """Each offer is the whole query with it."""

    synonyms: list[Offer]
    advice: list[Offer]


class SynonymOut(Out):
    concept: Concept
    expansion: Expansion


class SynonymsOut(Out):
    items: list[SynonymOut]


class VocabularyOut(Out):
    source: str
    year: int
    concepts: int


class VocabulariesOut(Out):
    items: list[VocabularyOut]


class ExampleOut(Out):
    id: int
    must_match: bool
    title: str
    body: str
    note: str


class LabelOut(Out):
    article_id: int
    verdict: Verdict
    by: str = Field(description='Who: a user, or "reader:" and their number.')
    reason: str
    labelled_at: datetime


class JudgedOut(Out):
    article: int
    verdict: Verdict | None


# --- a draft --------------------------------------------------------------------------------------------------


@router.post("/topics/check", response_model=CheckOut, responses=CHANGING)
async def check(sent: QueryIn) -> CheckOut:
    """Read a query without storing anything: how it was understood, and every problem with its place."""
    query, problems = check_query(sent.query)
    return CheckOut(
        understood=str(query) if query is not None else None,
        errors=[one for one in problems if one.code not in WARNINGS],
        warnings=[one for one in problems if one.code in WARNINGS],
    )


async def _saved(request: Request, slug: str) -> Topic:
    return await opened_of(request).monitor.storage.topics.get(slug)


@router.post("/topics/{slug}/try", response_model=TryOut, responses={**CHANGING, **BUSY}, dependencies=[few])
async def try_draft(request: Request, slug: Slug, sent: TryIn, limit: Limit = 50) -> TryOut:
    """What this draft would gain and lose against the saved topic (none: all is gained); newest first, some of each."""
    try:
        saved = await _saved(request, slug)
    except NotFound:
        saved = Topic(slug=slug, name=slug, query="")
    found = await opened_of(request).monitor.tuning.backtest(slug, sent.on(saved), sent.days or None)
    return TryOut(
        gained_total=len(found.gained),
        lost_total=len(found.lost),
        unchanged_total=len(found.unchanged),
        gained=list(found.gained[:limit]),
        lost=list(found.lost[:limit]),
        unchanged=list(found.unchanged[:limit]),
        weeks=list(found.weeks),
        terms=list(found.terms),
        precision=precision(hit.verdict for hit in (*found.gained, *found.unchanged)),
    )


@router.post("/topics/{slug}/why", response_model=WhyOut, responses={**CHANGING, **BUSY}, dependencies=[few])
async def why(request: Request, slug: Slug, sent: WhyIn) -> WhyOut:
    """Why the topic, or a draft of it, matches an article, or what is missing."""
    opened, saved = opened_of(request), await _saved(request, slug)
    article = await article_of(opened, sent.what)
    draft = sent.draft.on(saved) if sent.draft else None
    return WhyOut(title=article.title, explanation=await opened.monitor.tuning.why(slug, article, draft))


@router.post("/topics/{slug}/words", response_model=WordsOut, responses={**CHANGING, **BUSY}, dependencies=[few])
async def words(request: Request, slug: Slug, sent: DraftIn) -> WordsOut:
    """Synonyms of the draft's terms, and terms that set its articles apart, each with its effect."""
    opened, draft = opened_of(request), sent.on(await _saved(request, slug))
    return WordsOut(synonyms=await synonyms(opened, draft.query), advice=await advice(opened, draft))


@router.get("/synonyms", response_model=SynonymsOut)
async def synonyms_of(
    request: Request,
    term: Annotated[str, Query(min_length=1, max_length=200)],
    vocabulary: Annotated[str, Query(max_length=40)] = "",
    limit: Limit = 60,
) -> SynonymsOut:
    """Every concept that has this term, with a query of at most `limit` of its terms."""
    found = await opened_of(request).monitor.tuning.concepts(term, vocabulary)
    return SynonymsOut(items=[SynonymOut(concept=one, expansion=expansion(one, limit=limit)) for one in found])


@router.get("/vocabularies", response_model=VocabulariesOut)
async def vocabularies(request: Request) -> VocabulariesOut:
    """What is imported, and the built-in set."""
    found = await opened_of(request).monitor.tuning.vocabularies()
    return VocabulariesOut(items=[VocabularyOut(source=s, year=y, concepts=n) for s, y, n in found])


# --- examples -------------------------------------------------------------------------------------------------


@router.get("/topics/{slug}/examples", response_model=Page[ExampleOut])
async def examples(
    request: Request, response: Response, slug: Slug, cursor: Cursor = "", limit: Limit = 50
) -> Page[Example]:
    """Texts that the topic must match, or must not, in the order in which they were added."""
    found = await opened_of(request).monitor.storage.topics.examples((await _saved(request, slug)).id)
    return cut(request, response, after(found, read_cursor(cursor, int), _number), limit, _number)


def _number(example: Example) -> tuple[int]:
    return (example.id,)


@router.post("/topics/{slug}/examples", response_model=ExampleOut, status_code=201, responses=CHANGING)
async def add_example(request: Request, response: Response, slug: Slug, sent: ExampleIn) -> Example:
    """Keep a text that every later revision is checked against; 409 where it is kept already."""
    opened, saved = opened_of(request), await _saved(request, slug)
    article = await article_of(opened, sent.what)
    known = await opened.monitor.tuning.example_of(saved, article)
    if known is not None:
        raise taken(f"this text is example {known.id} already", f"/topics/{slug}/examples/{known.id}")
    added = await opened.monitor.tuning.add_example(saved, article, must_match=sent.must_match, note=sent.note)
    made(response, f"/topics/{slug}/examples/{added.id}")
    return added


@router.get("/topics/{slug}/examples/{number}", response_model=ExampleOut)
async def example(request: Request, slug: Slug, number: Number) -> Example:
    return await opened_of(request).monitor.tuning.example(slug, number)


@router.delete("/topics/{slug}/examples/{number}", status_code=204, response_class=Response)
async def remove_example(request: Request, slug: Slug, number: Number) -> Response:
    tuning = opened_of(request).monitor.tuning
    await tuning.storage.topics.remove_example((await tuning.example(slug, number)).id)
    return Response(status_code=204)


# --- labels ---------------------------------------------------------------------------------------------------


@router.get("/topics/{slug}/labels", response_model=Page[LabelOut])
async def labels(
    request: Request,
    response: Response,
    slug: Slug,
    verdict: Verdict | None = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Page[Label]:
    """What readers (their feedback) and users said of this topic's articles, newest first."""
    found = await opened_of(request).monitor.storage.topics.labels((await _saved(request, slug)).id)
    found = [one for one in found if verdict in {None, one.verdict}]
    at = read_cursor(cursor, datetime, int, str)
    older = sorted((one for one in found if at is None or _said(one) < at), key=_said, reverse=True)
    return cut(request, response, older, limit, _said)


def _said(label: Label) -> tuple[datetime, int, str]:
    return (label.labelled_at, label.article_id, label.by)


@router.post("/topics/{slug}/labels", response_model=JudgedOut, responses=CHANGING)
async def label(request: Request, slug: Slug, sent: LabelIn) -> JudgedOut:
    """Your judgement of an article for this topic; a later one replaces it."""
    monitor, by = opened_of(request).monitor, user_of(request).email
    await monitor.tuning.judge(slug, sent.article, sent.verdict, by, sent.reason)
    return JudgedOut(article=sent.article, verdict=sent.verdict)
