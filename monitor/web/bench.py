"""The topic bench: change a query with its effect before your eyes, ask why, and save it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from starlette.datastructures import FormData

from monitor.errors import MonitorError, QueryError, StorageError, TopicRefused
from monitor.model import Topic, Verdict
from monitor.web.drafts import Draft, Preview, draft_of, read_draft, try_draft
from monitor.web.pages import go, is_htmx, opened_of, user_of, view
from monitor.web.pasted import MAX_PASTED, article_of
from monitor.web.shapes import bars, weekly
from monitor.web.words import advice, synonyms

router = APIRouter(prefix="/topics", default_response_class=Response)

SHOWN = 20  # of gained, lost and unchanged each
CHARTED = 26  # weeks


async def bench_page(
    request: Request, saved: Topic, draft: Draft, *, status: int = 200, preview: Preview | None = None, **more: Any
) -> Response:
    """The whole page; with script the preview comes after it, so that it opens at once."""
    opened = opened_of(request)
    storage, now = opened.monitor.storage, opened.monitor.now()
    weeks = await storage.topics.weekly_counts(saved.id, now)
    measures = await opened.monitor.tuning.measure(saved.slug)
    values: dict[str, Any] = {
        "topic": saved,
        "draft": draft,
        "preview": preview,
        "guards": (),
        "error": "",
        "explanation": None,
        "asked": "",
        "why_error": "",
        "words": None,
        "example": "",
        "example_error": "",
        **await _shown(request, preview),
        **more,
    }
    return view(
        request,
        "bench.html",
        status=status,
        trend=bars(weeks, weekly(weeks)) if weeks else "",
        measure=measures[0] if measures else None,
        examples=await storage.topics.examples(saved.id),
        rematch=next((one for one in await storage.topics.unfinished_rematches() if one.topic_id == saved.id), None),
        **values,
    )


async def _shown(request: Request, preview: Preview | None) -> dict[str, Any]:
    """What the preview's fragment needs beside it."""
    backtest = preview.backtest if preview else None
    chart = ""
    if backtest is not None and backtest.weeks:
        shown = backtest.weeks[-CHARTED:]
        text = "; ".join(f"{week.week}: {week.old} saved, {week.new} now" for week in shown)
        new, old = [[getattr(week, name) for week in shown] for name in ("new", "old")]
        chart = bars(new, f"Matches a week, {text}", old=old, width=min(320, 28 * len(shown)), height=56)
    names = await opened_of(request).monitor.storage.browse.source_names() if backtest is not None else {}
    return {"chart": chart, "shown": SHOWN, "names": names}


async def _sent(request: Request, slug: str) -> tuple[Topic, FormData, Draft]:
    """The saved topic, the form, and the draft in it."""
    saved = await opened_of(request).monitor.storage.topics.get(slug)
    form = await request.form(max_files=0, max_fields=50)
    return saved, form, read_draft(form, saved)


def _asked(form: FormData) -> str:
    return str(form.get("what", ""))[:MAX_PASTED]


@router.get("/{slug}")
async def bench(request: Request, slug: str) -> Response:
    saved = await opened_of(request).monitor.storage.topics.get(slug)
    return await bench_page(request, saved, draft_of(saved))


@router.post("/{slug}/try")
async def try_topic(request: Request, slug: str) -> Response:
    """The draft on the archive: to script the preview alone, without script the whole page. Changes nothing."""
    saved, form, draft = await _sent(request, slug)
    preview = await try_draft(opened_of(request), saved, draft)
    if is_htmx(request):
        return view(request, "tried.html", topic=saved, draft=draft, preview=preview, **await _shown(request, preview))
    return await bench_page(request, saved, draft, preview=preview, asked=_asked(form))


@router.post("/{slug}/save")
async def save_topic(request: Request, slug: str) -> Response:
    """Store the draft as a new revision, unless a guard rail speaks against it that is not overruled with a note."""
    opened = opened_of(request)
    saved, form, draft = await _sent(request, slug)
    try:
        await opened.monitor.tuning.save(
            draft.topic(saved), user_of(request).email, draft.note, force=form.get("force") == "yes"
        )
    except TopicRefused as error:
        preview = await try_draft(opened, saved, draft)
        return await bench_page(request, saved, draft, status=422, preview=preview, guards=error.problems)
    except QueryError:
        preview = await try_draft(opened, saved, draft)
        return await bench_page(request, saved, draft, status=422, preview=preview, error="Not saved: see the query.")
    except StorageError as error:
        return await bench_page(request, saved, draft, status=409, error=str(error))
    except MonitorError as error:
        return await bench_page(request, saved, draft, status=422, error=str(error))
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
    found = await opened.monitor.storage.articles.get(article)
    said = Verdict(verdict) if verdict in set(Verdict) else None
    await opened.monitor.tuning.judge(slug, found.id, said, by)
    if is_htmx(request):
        return view(request, "label.html", slug=slug, article_id=found.id, title=found.title, verdict=said, back=back)
    return go(f"/articles/{found.id}?done=labelled" if back == "article" else f"/topics/{slug}?done=labelled")


@router.post("/{slug}/why")
async def why(request: Request, slug: str) -> Response:
    """Why the draft matches an article, or what is missing: of an address, a DOI, or a text pasted in."""
    opened = opened_of(request)
    saved, form, draft = await _sent(request, slug)
    values: dict[str, Any] = {"asked": _asked(form), "explanation": None, "why_error": ""}
    try:
        values["article"] = await article_of(opened, values["asked"])
        values["explanation"] = await opened.monitor.tuning.why(slug, values["article"], draft.topic(saved))
    except QueryError as error:
        values["why_error"] = f"The query has a mistake: {error.problems[0].message}."
    except MonitorError as error:
        values["why_error"] = str(error)
    if is_htmx(request):
        return view(request, "why.html", topic=saved, **values)
    return await bench_page(request, saved, draft, preview=await try_draft(opened, saved, draft), **values)


@router.post("/{slug}/words")
async def words(request: Request, slug: str) -> Response:
    """Synonyms of the draft's terms, and terms that set its articles apart, each with its effect."""
    opened = opened_of(request)
    saved, form, draft = await _sent(request, slug)
    try:
        wanted = draft.topic(saved)
    except MonitorError:  # the preview names the field
        wanted = saved
    offers = {"synonyms": await synonyms(opened, draft.query), "advice": await advice(opened, wanted)}
    if is_htmx(request):
        return view(request, "words.html", topic=saved, words=offers)
    preview = await try_draft(opened, saved, draft)
    return await bench_page(request, saved, draft, preview=preview, words=offers, asked=_asked(form))
