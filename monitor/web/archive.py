"""The archive: searched with the topics' own language, each article with the reasons that topics have for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from monitor.app import Opened
from monitor.digest import to_bibtex, to_csl_json, to_ris
from monitor.errors import MonitorError, NotFound, QueryError
from monitor.match import Explanation, Matcher, check_query, explain
from monitor.match.backtest import excerpt_of, index_topic
from monitor.model import Article, Field, Match, Span, Topic, Verdict
from monitor.web.pages import opened_of, view
from monitor.web.shapes import caret_line

router = APIRouter(prefix="/articles", default_response_class=Response)

PER_PAGE = 25
ROUNDS = 8  # looks into the index for one page: beyond, the rest is on the next one
EXPLAINED = 40  # topics whose reasons an article's page tells
EXPORTED = 500
WRITERS = {
    "ris": (to_ris, "application/x-research-info-systems"),
    "bib": (to_bibtex, "application/x-bibtex"),
    "json": (to_csl_json, "application/vnd.citationstyles.csl+json"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the search form says. `before`: only articles with a smaller number, for the next page."""

    q: str = ""
    source: str = ""
    topic: str = ""
    label: str = ""
    since: str = ""
    until: str = ""
    before: int | None = None

    def link(self, **changes: object) -> str:
        values = {"q": self.q, "source": self.source, "topic": self.topic, "label": self.label,
                  "since": self.since, "until": self.until, **changes}  # fmt: skip
        return "?" + urlencode({name: str(value) for name, value in values.items() if value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A found article, with what made it be found."""

    article: Article
    spans: tuple[Span, ...] = ()
    excerpt: str = ""
    excerpt_spans: tuple[Span, ...] = ()
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One page. `next_before`: where the next one begins; None: this is the last."""

    rows: tuple[Row, ...] = ()
    next_before: int | None = None
    articles: tuple[Article, ...] = field(default=(), repr=False)


async def find(opened: Opened, wanted: Wanted, limit: int = PER_PAGE) -> Results:
    """Raises QueryError for a query that is wrong, MonitorError that names another field."""
    storage = opened.monitor.storage
    matcher: Matcher | None = None
    index = None
    if wanted.q.strip():
        topic = Topic(slug="", name="", query=wanted.q)
        matcher = Matcher()
        matcher.add(topic)
        index = index_topic(topic)
    topic_id = (await storage.topics.get(wanted.topic)).id if wanted.topic else None
    verdict = Verdict(wanted.label) if wanted.label in set(Verdict) else None
    until = _day(wanted.until, days=1)
    before, found, rounds = wanted.before, list[tuple[Article, Match | None]](), 0
    while True:
        batch = await storage.browse.articles(
            index, source=wanted.source, topic_id=topic_id, verdict=verdict, since=_day(wanted.since),
            until=until, before_id=before, limit=limit + 1,
        )  # fmt: skip
        matches = await asyncio.to_thread(_matches, matcher, batch)
        found += [(one, match) for one, match in zip(batch, matches, strict=True) if matcher is None or match]
        rounds += 1
        if len(batch) <= limit or len(found) > limit or rounds >= ROUNDS:
            break
        before = batch[-1].id
    more = len(found) > limit
    shown = found[:limit]
    next_before = shown[-1][0].id if more else batch[-1].id if len(batch) > limit else None
    names = {one.id: one.name for one in await storage.topics.list()}
    stored = await storage.browse.matches_of([article.id for article, _ in shown])
    rows = tuple(_row(one, match, stored.get(one.id, ()), names) for one, match in shown)
    return Results(rows=rows, next_before=next_before, articles=tuple(one for one, _ in shown))


def _matches(matcher: Matcher | None, articles: Sequence[Article]) -> list[Match | None]:
    return [next(iter(matcher.match(one)), None) if matcher else None for one in articles]


def _row(article: Article, match: Match | None, stored: Sequence[Match], names: dict[int, str]) -> Row:
    spans = match.spans if match else tuple(span for one in stored for span in one.spans)
    excerpt, inside = excerpt_of(
        article.body or article.summary, [span for span in spans if span.field is not Field.TITLE]
    )
    return Row(
        article=article,
        spans=tuple(span for span in spans if span.field is Field.TITLE),
        excerpt=excerpt,
        excerpt_spans=inside,
        topics=tuple(names[one.topic_id] for one in stored if one.topic_id in names),
    )


def _day(text: str, days: int = 0) -> datetime | None:
    """The beginning of that day, or of the one so many days after it."""
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time(0), tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise MonitorError(f"{text[:40]!r} is not a date: write it like 2026-12-24") from error


def wanted_of(request: Request) -> Wanted:
    said = request.query_params
    before = said.get("before", "")
    return Wanted(
        q=said.get("q", "")[:20_000].strip(),
        source=said.get("source", "")[:100],
        topic=said.get("topic", "")[:100],
        label=said.get("label", "")[:20],
        since=said.get("since", "")[:10],
        until=said.get("until", "")[:10],
        before=int(before) if before.isascii() and before.isdecimal() and len(before) < 18 else None,
    )


@router.get("")
async def search(request: Request) -> Response:
    opened = opened_of(request)
    storage = opened.monitor.storage
    wanted = wanted_of(request)
    error, carets, results = "", ("", ""), Results()
    try:
        results = await find(opened, wanted)
    except QueryError as wrong:
        first = wrong.problems[0]
        error, carets = str(wrong), caret_line(wrong.text, first.start, first.end)
    except MonitorError as wrong:
        error = str(wrong)
    query, _ = check_query(wanted.q) if wanted.q and not error else (None, ())
    return view(
        request,
        "archive.html",
        status=422 if error else 200,
        wanted=wanted,
        results=results,
        error=error,
        carets=carets,
        understood=str(query) if query is not None else "",
        total=await storage.articles.count(),
        names=await storage.browse.source_names(),
        topics=await storage.topics.list(),
        verdicts=list(Verdict),
    )


@router.get("/export")
async def export(request: Request, style: str = "ris") -> Response:
    """What the search finds, newest first, as a file for a reference manager."""
    results = await find(opened_of(request), wanted_of(request), EXPORTED)
    return citations(results.articles, style, "articles")


def citations(articles: Sequence[Article], style: str, name: str) -> Response:
    """A file for a reference manager. Raises NotFound for a style that there is not."""
    if style not in WRITERS:
        raise NotFound(f"styles are {', '.join(WRITERS)}")
    write, media_type = WRITERS[style]
    headers = {"Content-Disposition": f'attachment; filename="{name}.{style}"'}
    return PlainTextResponse(write(articles), media_type=media_type, headers=headers)


@router.get("/{number}/export")
async def export_one(request: Request, number: int, style: str = "ris") -> Response:
    article = await opened_of(request).monitor.storage.articles.get(number)
    return citations([article], style, f"article-{article.id}")


@router.get("/{number}")
async def article_page(request: Request, number: int) -> Response:
    """One article, its fields, and why each topic did or did not take it."""
    storage = opened_of(request).monitor.storage
    article = await storage.articles.get(number)
    stored = {one.topic_id: one for one in (await storage.browse.matches_of([number])).get(number, [])}
    topics = await storage.topics.list(active=True)
    topics.sort(key=lambda one: (one.id not in stored, one.name.lower()))
    reasons = await asyncio.to_thread(explanations, topics[:EXPLAINED], article)
    labels: dict[int, list[tuple[str, Verdict, str]]] = {}
    for topic_id, by, verdict, reason in await storage.browse.labels_of(number):
        labels.setdefault(topic_id, []).append((by, verdict, reason))
    spans = sorted({span for one in stored.values() for span in one.spans})
    try:
        story = await storage.stories.members(await storage.stories.of(number))
    except NotFound:  # it was stored a moment ago, and waits for its story
        story = []
    return view(
        request,
        "article.html",
        article=article,
        source_name=(await storage.browse.source_names()).get(article.source_slug, article.source_slug),
        title_spans=[span for span in spans if span.field is Field.TITLE],
        text_spans=[span for span in spans if span.field is (Field.BODY if article.body else Field.SUMMARY)],
        reasons=[(topic, reasons[topic.id], topic.id in stored) for topic in topics if topic.id in reasons],
        unexplained=max(0, len(topics) - EXPLAINED),
        labels=labels,
        story=[one for one in story if one.article.id != number],
    )


def explanations(topics: Sequence[Topic], article: Article) -> Mapping[int, Explanation]:
    """By topic id, of those topics whose query is sound."""
    found = {}
    for topic in topics:
        try:
            found[topic.id] = explain(topic, article)
        except QueryError:
            continue
    return found
