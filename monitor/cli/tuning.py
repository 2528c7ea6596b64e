"""`monitor topics try, why, suggest …`: what a topic finds, what a change would change, and how good it is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from monitor.app import Opened
from monitor.cli.context import Json, progress, run
from monitor.console import err, note, out, say, say_json, table, when
from monitor.errors import ConfigError, NotFound
from monitor.match import Explanation, Reason, highlight
from monitor.match.backtest import Backtest, Hit, excerpt_of
from monitor.match.measure import Measure, Share
from monitor.model import Article, Field, Match, Span, Verdict
from monitor.parse import parse_article
from storage import Rematch

app = typer.Typer()

MAX_FILE = 20_000_000
Which = Annotated[str, typer.Argument(help="An address, a file, a number from `search`, a DOI, or - for stdin.")]
Note = Annotated[str, typer.Option("--note", help="Why: kept with the revision.")]
Days = Annotated[int, typer.Option(min=0, help="Stored within this many days; 0 for ever.")]
Limit = Annotated[int, typer.Option(min=1, help="How many of each to list.")]


@app.command()
def test(slug: str, which: Which, as_json: Json = False) -> None:
    """Does the topic match this article? Exit 1 if not."""

    async def body(opened: Opened) -> int:
        article = await article_of(opened, which)
        match = await opened.monitor.tuning.match(slug, article)
        if as_json:
            say_json(matches=match is not None, match=match, title=article.title)
        else:
            say("matches" if match else "does not match")
            _show_article(article, match)
        return 0 if match else 1

    raise typer.Exit(run(body))


@app.command()
def why(slug: str, which: Which, as_json: Json = False) -> None:
    """The query's tree with what held and what did not, and for a miss the nearest change."""

    async def body(opened: Opened) -> None:
        article = await article_of(opened, which)
        explanation = await opened.monitor.tuning.why(slug, article)
        if as_json:
            say_json(title=article.title, explanation=explanation)
            return
        say(article.title)
        _show_explanation(explanation, article)

    run(body)


@app.command("try")
def try_query(
    slug: str,
    query: Annotated[str, typer.Argument(help="The query that might replace the topic's.")],
    days: Days = 90,
    limit: Limit = 10,
    as_json: Json = False,
) -> None:
    """What a new query would gain and lose on the archive. Nothing is stored."""

    async def body(opened: Opened) -> None:
        async with progress("trying"):
            backtest = await opened.monitor.tuning.backtest(slug, query, days or None)
        if as_json:
            say_json(topic=slug, query=query, days=days, backtest=backtest)
        else:
            _show_backtest(backtest, limit)

    run(body)


@app.command()
def suggest(slug: str, days: Days = 90, limit: Limit = 10, as_json: Json = False) -> None:
    """Terms to add, and to exclude, each with its exact effect."""

    async def body(opened: Opened) -> None:
        async with progress("counting"):
            advice = await opened.monitor.tuning.suggestions(slug, days or None, limit)
        if as_json:
            say_json(topic=slug, suggestions=[{"effect": one.effect, "advice": one} for one in advice])
            return
        rows = [
            (
                "NOT" if one.excludes else "OR",
                one.suggestion.query_form,
                one.effect,
                f"{one.suggestion.support} of them, {one.suggestion.lift:.1f} times as often",
            )
            for one in advice
        ]
        table(["", "term", "effect", "found in"], rows)
        if not advice:
            note("nothing stands out; labels (`monitor topics label`) help")

    run(body)


@app.command()
def label(
    slug: str,
    which: Annotated[str, typer.Argument(help="A number from `articles search`, an address, or a DOI.")],
    verdict: Annotated[str, typer.Argument(help="relevant, not_relevant, or none to take it back.")],
    reason: Annotated[str, typer.Option(help="In your words.")] = "",
    by: Annotated[str, typer.Option(help="Whose judgement it is.")] = "admin",
) -> None:
    """Say whether an article is what the topic is about: it measures every revision, and guides suggestions."""
    if verdict not in (*Verdict, "none"):
        raise typer.BadParameter("relevant, not_relevant or none", param_hint="VERDICT")

    async def body(opened: Opened) -> None:
        storage = opened.monitor.storage
        topic = await storage.topics.get(slug)
        article = await storage.articles.find(which)
        if article is None:
            raise NotFound(f"no stored article is {which}")
        said = Verdict(verdict) if verdict != "none" else None
        done = await opened.monitor.tuning.judge(slug, article.id, said, by, reason)
        if said is None:
            say(f"took the label back: {article.title}" if done else "there was no label")
            return
        say(f"{verdict.replace('_', ' ')} for {topic.name}: {article.title}")

    run(body)


@app.command()
def measure(slug: str, as_json: Json = False) -> None:
    """Each revision on the labelled articles: precision, recall, articles read for one that is relevant."""

    async def body(opened: Opened) -> None:
        measures = await opened.monitor.tuning.measure(slug)
        if as_json:
            say_json(measures=measures)
            return
        rows = [
            (
                one.revision,
                share(one.precision),
                share(one.recall),
                f"{one.read_per_hit:.1f}" if one.read_per_hit else "",
            )
            for one in measures
        ]
        table(["rev.", "precision (95 %)", "recall (95 %)", "read per hit"], rows)

    run(body)


@app.command()
def rematch(slug: str, as_json: Json = False) -> None:
    """Apply the current revision to the whole archive. Interrupted, it goes on from there; nothing is mailed."""

    async def body(opened: Opened) -> None:
        def tell(state: Rematch) -> None:
            if err.is_terminal:
                done = state.after_id / state.upto_id if state.upto_id else 1.0
                err.print(f"{done:4.0%}, {state.matched} matches", end="\r")

        state = await opened.monitor.tuning.rematch(slug, progress=tell)
        if as_json:
            say_json(topic=slug, matched=state.matched, through=state.upto_id)
        else:
            say(f"{slug} matches {state.matched} articles of the archive")

    run(body)


# --- what several commands need -------------------------------------------------------------------------------


async def article_of(opened: Opened, which: str) -> Article:
    """A stored article, a page that is fetched, or a local text (its first line is the title)."""
    stored = opened.monitor.storage.articles
    if which == "-":
        return _from_text(await asyncio.to_thread(sys.stdin.read, MAX_FILE))
    if "://" in which:
        return await stored.find(which) or await opened.monitor.ingest.look_at_page(which)
    path = Path(which)
    if await asyncio.to_thread(path.is_file):
        data = await asyncio.to_thread(_read, path)
        if path.suffix.lower() in (".html", ".htm", ".xhtml"):
            return await opened.monitor.ingest.sandbox.run(parse_article, data, url=which, content_type="text/html")
        return _from_text(data.decode("utf-8", "replace"))
    found = await stored.find(which)
    if found is None:
        raise NotFound(f"{which} is no file, no address, and no stored article")
    return found


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE:
        raise ConfigError(f"{path}: more than {MAX_FILE} bytes")
    return path.read_bytes()


def _from_text(text: str) -> Article:
    title, _, body = text.strip().partition("\n")
    return Article(url="", canonical_url="", key="", title=title.strip(), body=body.strip())


def share(of: Share) -> str:
    """ "83 % (44 to 97 %) of 6"."""
    return f"{of.value:.0%} ({of.low:.0%} to {of.high:.0%}) of {of.whole}" if of.value is not None else "no labels"


def measured(one: Measure) -> str:
    return f"precision {share(one.precision)}, recall {share(one.recall)}"


# --- showing --------------------------------------------------------------------------------------------------


def marked(text: str, spans: Iterable[Span]) -> Text:
    """`text` with its highlights: in reverse on a terminal, between » « elsewhere."""
    shown = Text()
    for piece, hit in highlight(text, spans):
        if hit and out.is_terminal:
            shown.append(piece, style="reverse")
        else:
            shown.append(f"»{piece}«" if hit else piece)
    return shown


def _show_article(article: Article, match: Match | None) -> None:
    spans = match.spans if match else ()
    out.print(marked(article.title, [span for span in spans if span.field is Field.TITLE]))
    excerpt, inside = excerpt_of(article.body or article.summary, [s for s in spans if s.field is not Field.TITLE])
    out.print(marked(excerpt, inside))


def _show_explanation(found: Explanation, article: Article) -> None:
    say("matches" if found.held else "does not match")
    for line in found.outside:
        say(f"  {line}")
    if found.query is not None:
        _show_reason(found.query, article, 1)
    for weight in found.weights:
        say(f"  {'✓' if weight.held else '·'} {weight.weight:+g}  {weight.text}")
    if found.weights:
        say(f"  sum {found.total:g}, threshold {found.threshold:g}")
    for line in found.nearest:
        say(line)


def _show_reason(reason: Reason, article: Article, depth: int) -> None:
    places = ""
    if reason.spans and not reason.children:
        first = reason.spans[0]
        where = {Field.TITLE: article.title, Field.BODY: article.body}.get(first.field, article.summary)
        found = " ".join(where[first.start : first.end].split())
        places = f"   “{found}” in the {'title' if first.field is Field.TITLE else 'text'}"
        places += f", {len(reason.spans)} times" if len(reason.spans) > 1 else ""
    say(f"{'  ' * depth}{'✓' if reason.held else '✗'} {reason.text}{places}")
    for child in reason.children:
        _show_reason(child, article, depth + 1)


def _show_backtest(backtest: Backtest, limit: int) -> None:
    counts = f"gains {len(backtest.gained)}, loses {len(backtest.lost)}, keeps {len(backtest.unchanged)}"
    say(f"{counts}; {backtest.old_count} matches before, {backtest.new_count} after")
    if backtest.lost_relevant:
        err.print(f"{len(backtest.lost_relevant)} of the lost are labelled relevant", style="red", markup=False)
    for name in ("gained", "lost", "unchanged"):
        hits: tuple[Hit, ...] = getattr(backtest, name)
        if not hits:
            continue
        say(f"\n{name} ({len(hits)})")
        labelled_first = sorted(hits, key=lambda hit: hit.verdict is None) if name == "lost" else hits
        for hit in labelled_first[:limit]:
            _show_hit(hit)
        if len(hits) > limit:
            say(f"  and {len(hits) - limit} more")
    if backtest.weeks:
        say("")
        table(["week", "before", "after"], [(week.week, week.old, week.new) for week in backtest.weeks[-13:]])
    say("")
    rows = [
        (
            f"NOT {term.term}" if term.excludes else term.term,
            term.found,
            "" if term.excludes else term.alone,
            term.removed if term.excludes else "",
        )
        for term in sorted(backtest.terms, key=lambda term: -(term.alone + term.removed))[: max(limit, 20)]
    ]
    table(["term", "found in", "only by it", "kept out by it"], rows)


def _show_hit(hit: Hit) -> None:
    verdict = f" [{hit.verdict.value.replace('_', ' ')}]" if hit.verdict else ""
    head = Text(f"  {hit.article_id}  {when(hit.stored_at)}  ")
    head.append_text(marked(hit.title, hit.spans))
    head.append(verdict, style="bold")
    out.print(head)
    if hit.excerpt_spans:
        line = marked(" ".join(hit.excerpt.split("\n")), hit.excerpt_spans)
        out.print(Text("      ").append_text(line), style="dim")
