"""The topic bench: change a query with its effect before your eyes, save it, and see what became of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from starlette.datastructures import FormData

from monitor.app import Opened
from monitor.errors import MonitorError, NotFound, Problem, QueryError, StorageError, TopicRefused
from monitor.match import WARNINGS, Explanation, check_query, explain
from monitor.match.backtest import Backtest
from monitor.match.guards import DAYS
from monitor.match.measure import Share, wilson
from monitor.match.synonyms import builtin_concepts, expansion, find_concepts
from monitor.model import (
    And,
    Article,
    Concept,
    Label,
    Or,
    Query,
    Term,
    Topic,
    Verdict,
    WeightedTerm,
)
from monitor.web.pages import audit, go, is_htmx, opened_of, user_of, view
from monitor.web.shapes import bars, caret_line, word_diff
from storage import Example

log = logging.getLogger(__name__)
router = APIRouter(prefix="/topics", default_response_class=Response)

MONTH = 30
SHOWN = 20  # of gained, lost and unchanged each
WORDS = 8  # terms whose synonyms are looked up
MAX_PASTED = 100_000


# --- a draft --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The form as it was sent: what does not make sense stays to be corrected."""

    name: str = ""
    query: str = ""
    weights: str = ""
    threshold: str = "0"
    sources: str = ""
    languages: str = ""
    days: int = MONTH
    note: str = ""
    revision: int = 0

    def topic(self, saved: Topic) -> Topic:
        """Raises MonitorError that names the field."""
        try:
            threshold = float(self.threshold or 0)
        except ValueError as error:
            raise MonitorError(f"threshold: {self.threshold[:40]!r} is no number") from error
        return replace(
            saved,
            name=self.name.strip()[:200] or saved.name,
            query=self.query.strip(),
            weights=_weights(self.weights),
            threshold=threshold,
            sources=_words(self.sources),
            languages=_words(self.languages),
            revision=self.revision or saved.revision,
        )


def draft_of(topic: Topic, days: int = MONTH) -> Draft:
    return Draft(
        name=topic.name,
        query=topic.query,
        weights="\n".join(f"{one.term} = {one.weight:g}" for one in topic.weights),
        threshold=f"{topic.threshold:g}",
        sources=", ".join(topic.sources),
        languages=", ".join(topic.languages),
        days=days,
        revision=topic.revision,
    )


def _read(form: FormData, saved: Topic) -> Draft:
    def text(name: str, otherwise: str = "", most: int = 1_000) -> str:
        return str(form.get(name, otherwise))[:most]

    days, revision = text("days", str(MONTH)), text("revision", "0")
    kept = draft_of(saved)
    return Draft(
        name=text("name", kept.name),
        query=text("query", kept.query, 25_000).replace("\r\n", "\n"),  # as the browser counts its columns
        weights=text("weights", kept.weights, 20_000),
        threshold=text("threshold", kept.threshold),
        sources=text("sources", kept.sources),
        languages=text("languages", kept.languages),
        days=int(days) if days in {"0", "30", "90", "365"} else MONTH,
        note=text("note"),
        revision=int(revision) if revision.isascii() and revision.isdecimal() and len(revision) < 10 else 0,
    )


def _weights(text: str) -> tuple[WeightedTerm, ...]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        term, equals, weight = line.rpartition("=")
        try:
            found.append(WeightedTerm(term=term.strip(), weight=float(weight if equals else "")))
        except ValueError as error:
            raise MonitorError(f"weights, line {number}: write it like  opioid tolerance = 2") from error
    return tuple(found)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A problem with its place shown. `found` false: only a warning."""

    problem: Problem
    line: str
    carets: str
    blocks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A draft, tried. Without a `backtest` it could not be."""

    understood: str = ""
    mistakes: tuple[Mistake, ...] = ()
    backtest: Backtest | None = None
    precision: Share | None = None

    @property
    def change(self) -> str:
        """For the button: (+12 −3)."""
        if self.backtest is None:
            return ""
        return f"(+{len(self.backtest.gained)} −{len(self.backtest.lost)})"


async def try_draft(opened: Opened, saved: Topic, draft: Draft) -> Preview:
    """Read the draft's query and run it on the archive. Nothing is stored."""
    query, problems = check_query(draft.query) if draft.query.strip() else (None, ())
    mistakes = tuple(_mistake(draft.query, one, blocks=one.code not in WARNINGS) for one in problems)
    understood = str(query) if query is not None else ""
    if any(one.blocks for one in mistakes):
        return Preview(mistakes=mistakes)
    try:
        topic = draft.topic(saved)
        backtest = await opened.monitor.tuning.backtest(saved.slug, topic, draft.days or None)
    except QueryError as error:  # in a weighted term
        wrong = tuple(_mistake(error.text, one, blocks=True) for one in error.problems)
        return Preview(understood=understood, mistakes=(*mistakes, *wrong))
    except MonitorError as error:
        wrong = (_mistake("", Problem(code="field", message=str(error)), blocks=True),)
        return Preview(understood=understood, mistakes=(*mistakes, *wrong))
    verdicts = [hit.verdict for hit in (*backtest.gained, *backtest.unchanged) if hit.verdict is not None]
    precision = wilson(sum(one is Verdict.RELEVANT for one in verdicts), len(verdicts)) if verdicts else None
    return Preview(understood=understood, mistakes=mistakes, backtest=backtest, precision=precision)


def _mistake(text: str, one: Problem, *, blocks: bool) -> Mistake:
    line, carets = caret_line(text, one.start, one.end) if text else ("", "")
    return Mistake(problem=one, line=line, carets=carets, blocks=blocks)


# --- pages ----------------------------------------------------------------------------------------------------


@router.get("")
async def topics_page(request: Request) -> Response:
    opened = opened_of(request)
    storage, now = opened.monitor.storage, opened.monitor.now()
    topics = await storage.topics.list()
    weeks = await storage.readers.weekly_history([topic.id for topic in topics], now)
    unfinished = {one.topic_id for one in await storage.topics.unfinished_rematches()}
    rows = [
        (topic, weeks[topic.id], bars(weeks[topic.id], _spoken(weeks[topic.id]), width=120, height=24))
        for topic in topics
    ]
    return view(request, "topics.html", rows=rows, unfinished=unfinished)


def _spoken(weeks: tuple[int, ...]) -> str:
    return f"Matches in the last {len(weeks)} weeks, oldest first: {', '.join(map(str, weeks))}"


async def _bench(
    request: Request, saved: Topic, draft: Draft, *, status: int = 200, preview: Preview | None = None, **more: Any
) -> Response:
    """The whole page; with script the preview comes after it, so that it opens at once."""
    opened = opened_of(request)
    storage, now = opened.monitor.storage, opened.monitor.now()
    weeks = await storage.topics.weekly_counts(saved.id, now) if saved.id else ()
    measures = await opened.monitor.tuning.measure(saved.slug) if saved.id else []
    values: dict[str, Any] = {
        "topic": saved,
        "draft": draft,
        "preview": preview,
        "guards": (),
        "error": "",
        "explanation": None,
        "asked": "",
        "words": None,
        **_shown(preview),
        **more,
    }
    return view(
        request,
        "bench.html",
        status=status,
        trend=bars(weeks, _spoken(weeks)) if weeks else "",
        measure=measures[0] if measures else None,
        examples=await storage.topics.examples(saved.id) if saved.id else [],
        rematch=next((one for one in await storage.topics.unfinished_rematches() if one.topic_id == saved.id), None),
        **values,
    )


def _shown(preview: Preview | None) -> dict[str, Any]:
    """What the preview's fragment needs beside it."""
    backtest = preview.backtest if preview else None
    chart = ""
    if backtest is not None and backtest.weeks:
        text = "; ".join(f"{week.week}: {week.old} saved, {week.new} now" for week in backtest.weeks[-26:])
        new, old = [[getattr(week, name) for week in backtest.weeks[-26:]] for name in ("new", "old")]
        chart = bars(new, f"Matches a week, {text}", old=old, width=320, height=56)
    return {"chart": chart, "shown": SHOWN}


@router.get("/new")
async def new_topic(request: Request, query: str = "") -> Response:
    return view(request, "topic_new.html", slug="", name="", query=query[:20_000], error="")


@router.post("")
async def add_topic(
    request: Request,
    slug: Annotated[str, Form(max_length=100)] = "",
    name: Annotated[str, Form(max_length=200)] = "",
    query: Annotated[str, Form(max_length=25_000)] = "",
) -> Response:
    """Store a new topic that parses; the bench then shows what it finds, before anybody reads of it."""
    monitor = opened_of(request).monitor
    slug = slug.strip().lower()
    topic = Topic(slug=slug, name=name.strip() or slug.replace("-", " ").capitalize(), query=query.strip())
    try:
        if any(one.slug == slug for one in await monitor.storage.topics.list()):
            raise MonitorError(f"there is a topic {slug!r} already")
        saved = await monitor.tuning.save(topic, user_of(request).email, "new", force=False)
    except MonitorError as error:
        return view(request, "topic_new.html", status=422, slug=slug, name=name, query=query, error=str(error))
    await audit(request, f"added the topic {saved.slug}", "", saved.query)
    return go(f"/topics/{saved.slug}?done=added")


@router.get("/{slug}")
async def bench(request: Request, slug: str) -> Response:
    saved = await opened_of(request).monitor.storage.topics.get(slug)
    return await _bench(request, saved, draft_of(saved))


@router.post("/{slug}/try")
async def try_topic(request: Request, slug: str) -> Response:
    """The draft on the archive: to script the preview alone, without script the whole page. Changes nothing."""
    opened = opened_of(request)
    saved = await opened.monitor.storage.topics.get(slug)
    draft = _read(await request.form(max_files=0, max_fields=50), saved)
    preview = await try_draft(opened, saved, draft)
    if is_htmx(request):
        return view(request, "preview.html", topic=saved, draft=draft, preview=preview, **_shown(preview))
    return await _bench(request, saved, draft, preview=preview)


@router.post("/{slug}/save")
async def save_topic(request: Request, slug: str) -> Response:
    """Store the draft as a new revision, unless a guard rail speaks against it that is not overruled with a note."""
    opened = opened_of(request)
    saved = await opened.monitor.storage.topics.get(slug)
    form = await request.form(max_files=0, max_fields=50)
    draft = _read(form, saved)
    try:
        stored = await opened.monitor.tuning.save(
            draft.topic(saved), user_of(request).email, draft.note, force=form.get("force") == "yes"
        )
    except TopicRefused as error:
        preview = await try_draft(opened, saved, draft)
        return await _bench(request, saved, draft, status=422, preview=preview, guards=error.problems)
    except QueryError:
        preview = await try_draft(opened, saved, draft)
        return await _bench(request, saved, draft, status=422, preview=preview, error="Not saved: see below.")
    except StorageError as error:
        return await _bench(request, saved, draft, status=409, error=str(error))
    except MonitorError as error:
        return await _bench(request, saved, draft, status=422, error=str(error))
    await audit(request, f"saved the topic {slug}, revision {stored.revision}", saved.query, stored.query)
    return go(f"/topics/{slug}?done=saved")


@router.post("/{slug}/label")
async def label(
    request: Request,
    slug: str,
    article: Annotated[int, Form()],
    verdict: Annotated[str, Form(max_length=20)],
    back: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """A judgement, or (verdict "none") its end."""
    opened, by = opened_of(request), user_of(request).email
    topics = opened.monitor.storage.topics
    topic = await topics.get(slug)
    found = await opened.monitor.storage.articles.get(article)
    said = Verdict(verdict) if verdict in set(Verdict) else None
    if said is None:
        await topics.unlabel(topic.id, found.id, by)
    else:
        judged = Label(
            topic_id=topic.id, article_id=found.id, verdict=said, by=by, labelled_at=opened.monitor.now()
        )  # fmt: skip
        await topics.label(judged)
    await audit(request, f"labelled article {found.id} for {slug}", "", verdict)
    if is_htmx(request):
        return view(request, "label.html", slug=slug, article_id=found.id, title=found.title, verdict=said, back=back)
    return go(f"/articles/{found.id}?done=labelled" if back == "article" else f"/topics/{slug}?done=labelled")


@router.post("/{slug}/why")
async def why(request: Request, slug: str, what: Annotated[str, Form(max_length=MAX_PASTED)] = "") -> Response:
    """Why the saved topic matches an article, or what is missing: of an address, a DOI, or a text pasted in."""
    opened = opened_of(request)
    saved = await opened.monitor.storage.topics.get(slug)
    article: Article | None = None
    explanation: Explanation | None = None
    error = ""
    try:
        article = await article_of(opened, what)
        explanation = await opened.monitor.tuning.why(slug, article)
    except MonitorError as problem:
        error = str(problem)
    values: dict[str, Any] = {"explanation": explanation, "asked": what, "article": article, "why_error": error}
    if is_htmx(request):
        return view(request, "why.html", topic=saved, **values)
    return await _bench(request, saved, draft_of(saved), **values)


async def article_of(opened: Opened, what: str) -> Article:
    """A stored article by address, DOI or number; a page that is fetched; else the text itself, its first line the
    title. Raises MonitorError.
    """
    what = what.strip()
    if not what:
        raise MonitorError("paste an address, a DOI or a text")
    one_line = "\n" not in what and len(what) < 2_000
    if one_line and (stored := await opened.monitor.storage.articles.find(what)) is not None:
        return stored
    if one_line and what.startswith(("http://", "https://")):
        return await opened.monitor.ingest.look_at_page(what)
    if one_line and what.startswith("10.") and " " not in what:
        raise NotFound("no stored article has this DOI; paste its address or its text")
    title, _, body = what.partition("\n")
    return Article(url="", canonical_url="", key="", title=title.strip(), body=body.strip())


# --- words ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One click: `query` is the whole query with it."""

    text: str
    note: str
    query: str


@router.post("/{slug}/words")
async def words(request: Request, slug: str) -> Response:
    """Synonyms of the draft's terms, and terms that set the saved topic's articles apart, each with its effect."""
    opened = opened_of(request)
    saved = await opened.monitor.storage.topics.get(slug)
    draft = _read(await request.form(max_files=0, max_fields=50), saved)
    offers = {"synonyms": await _synonyms(opened, draft.query), "advice": await _advice(opened, saved)}
    if is_htmx(request):
        return view(request, "words.html", topic=saved, words=offers)
    return await _bench(request, saved, draft, words=offers)


async def _synonyms(opened: Opened, text: str) -> list[Offer]:
    query, _ = check_query(text) if text.strip() else (None, ())
    if query is None:
        return []
    offers: list[Offer] = []
    builtin = builtin_concepts()
    for term in _terms(query)[:WORDS]:
        concepts: list[Concept] = await opened.monitor.storage.concepts.lookup(term.text)
        for concept in (*concepts, *find_concepts(term.text, builtin)):
            made = expansion(concept, limit=20)
            wider = f"({made.query})"
            changed = text[: term.start] + wider + text[term.end :]
            sound, _ = check_query(changed)
            if len(made.terms) > 1 and sound is not None and sound != query:
                note = f"{concept.name} ({concept.source} {concept.year})"
                offers.append(Offer(text=f"{term.text} → {made.query}", note=note, query=changed))
    return offers[:12]


def _terms(query: Query) -> list[Term]:
    """Positive terms that stand by themselves, in order."""
    if isinstance(query, Term):
        return [query] if not query.field and not query.prefix else []
    if isinstance(query, And | Or):
        return [term for part in query.parts for term in _terms(part)]
    return []


async def _advice(opened: Opened, saved: Topic) -> list[Offer]:
    try:
        found = await opened.monitor.tuning.suggestions(saved.slug, DAYS, 6)
    except QueryError:
        return []
    return [
        Offer(
            text=f"{'NOT' if one.excludes else 'OR'} {one.suggestion.query_form}",
            note=one.effect,
            query=one.topic.query,
        )
        for one in found
        if not one.topic.weights
    ]


# --- examples, history, switches ------------------------------------------------------------------------------


@router.post("/{slug}/examples")
async def add_example(
    request: Request,
    slug: str,
    what: Annotated[str, Form(max_length=MAX_PASTED)],
    must_match: Annotated[str, Form(max_length=5)] = "yes",
    note: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    opened = opened_of(request)
    saved = await opened.monitor.storage.topics.get(slug)
    article = await article_of(opened, what)
    example = Example(
        topic_id=saved.id,
        must_match=must_match == "yes",
        title=article.title[:1_000],
        body=article.body or article.summary,
        note=note,
    )
    added = await opened.monitor.storage.topics.add_example(example)
    kind = "must match" if added.must_match else "must not match"
    await audit(request, f"added example {added.id} to {slug}", "", f"{kind}: {added.title}")
    return go(f"/topics/{slug}?done=added#examples")


@router.post("/{slug}/examples/{number}/remove")
async def remove_example(request: Request, slug: str, number: int) -> Response:
    topics = opened_of(request).monitor.storage.topics
    saved = await topics.get(slug)
    mine = next((one for one in await topics.examples(saved.id) if one.id == number), None)
    if mine is None:
        raise NotFound(f"{slug} has no example {number}")
    await topics.remove_example(number)
    await audit(request, f"removed example {number} of {slug}", mine.title, "")
    return go(f"/topics/{slug}?done=removed#examples")


@router.get("/{slug}/history")
async def history(request: Request, slug: str) -> Response:
    monitor = opened_of(request).monitor
    revisions = await monitor.storage.topics.history(slug)
    measures = {one.revision: one for one in await monitor.tuning.measure(slug)}
    older = [*revisions[1:], None]
    rows = [
        (one, word_diff(before.topic.query if before else "", one.topic.query), measures.get(one.number))
        for one, before in zip(revisions, older, strict=True)
    ]
    return view(request, "history.html", topic=revisions[0].topic, rows=rows)


@router.post("/{slug}/restore")
async def restore(request: Request, slug: str, number: Annotated[int, Form(ge=1)]) -> Response:
    monitor = opened_of(request).monitor
    before = await monitor.storage.topics.get(slug)
    after = await monitor.tuning.restore(slug, number, user_of(request).email)
    await audit(request, f"restored revision {number} of the topic {slug}", before.query, after.query)
    return go(f"/topics/{slug}?done=restored")


@router.post("/{slug}/clone")
async def clone(request: Request, slug: str, new_slug: Annotated[str, Form(max_length=64)]) -> Response:
    from monitor.match.exchange import is_slug

    monitor = opened_of(request).monitor
    if not is_slug(new_slug):
        raise MonitorError("a short name is made of small letters, digits and hyphens")
    copy = await monitor.tuning.clone(slug, new_slug, user_of(request).email)
    await audit(request, f"copied the topic {slug} to {copy.slug}", "", copy.query)
    return go(f"/topics/{copy.slug}?done=added")


@router.post("/{slug}/active")
async def switch(request: Request, slug: str, on: Annotated[str, Form(max_length=5)] = "") -> Response:
    topics = opened_of(request).monitor.storage.topics
    before = await topics.get(slug)
    after = await topics.set_active(slug, on == "yes")
    await audit(request, f"switched the topic {slug}", _state(before), _state(after))
    return go(f"/topics/{slug}?done={_state(after)}")


def _state(topic: Topic) -> str:
    return "on" if topic.active else "off"


@router.post("/{slug}/rematch")
async def rematch(request: Request, slug: str) -> Response:
    """Apply the saved query to the whole archive, in the background; it goes on where it was interrupted."""
    tuning = opened_of(request).monitor.tuning
    await opened_of(request).monitor.storage.topics.get(slug)

    async def work() -> None:
        try:
            await tuning.rematch(slug)
        except MonitorError as error:
            log.warning("rematch ended topic=%s reason=%s", slug, error)

    tasks: set[asyncio.Task[None]] = request.app.state.tasks
    task = asyncio.create_task(work(), name=f"rematch {slug}")
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    await audit(request, f"matches the archive anew for the topic {slug}")
    return go(f"/topics/{slug}?done=rematching")


def explanations(topics: list[Topic], article: Article) -> Mapping[int, Explanation]:
    """Of those topics whose query is sound."""
    found = {}
    for topic in topics:
        try:
            found[topic.id] = explain(topic, article)
        except QueryError:
            continue
    return found
