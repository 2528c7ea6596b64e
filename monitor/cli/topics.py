"""`monitor topics`: what is looked for. To try and judge topics see tuning.py, for files of them topic_files.py."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Annotated, Any

import typer

from monitor.app import Opened
from monitor.cli import examples, topic_files, tuning
from monitor.cli.context import Json, author, run
from monitor.cli.tuning import Note
from monitor.console import err, note, say, say_json, table, when
from monitor.errors import Problem, TopicRefused
from monitor.match import check_query, parenthesised
from monitor.model import Topic, WeightedTerm

app = typer.Typer(no_args_is_help=True, help="What is looked for: queries, their revisions, and what they find.")
app.add_typer(tuning.app)
app.add_typer(topic_files.app)
app.add_typer(examples.app, name="examples")

Force = Annotated[bool, typer.Option("--force", help="Save although a guard rail speaks against it; needs --note.")]
Sources = Annotated[list[str] | None, typer.Option("--source", help="Only from this source; may be repeated.")]
Languages = Annotated[list[str] | None, typer.Option("--language", help="Only in this language; may be repeated.")]
Weights = Annotated[list[str] | None, typer.Option("--weight", help="A term and its weight: 'opioid tolerance=2'.")]
Threshold = Annotated[float | None, typer.Option("--threshold", help="Sum of weights from which it matches.")]
Pubmed = Annotated[bool, typer.Option("--pubmed", help="Read the query as PubMed does, from left to right.")]


@app.command("list")
def list_topics(as_json: Json = False) -> None:
    """Every topic with its current query."""

    async def body(opened: Opened) -> None:
        topics = await opened.monitor.storage.topics.list()
        if as_json:
            say_json(topics=topics)
            return
        table(
            ["topic", "", "rev.", "name", "query"],
            [(t.slug, "on" if t.active else "off", t.revision, t.name, _one_line(t.query)) for t in topics],
        )

    run(body)


@app.command()
def show(slug: str, as_json: Json = False) -> None:
    """One topic: its query as it is understood, its labels and its last weeks."""

    async def body(opened: Opened) -> None:
        storage = opened.monitor.storage
        topic = await storage.topics.get(slug)
        query, problems = check_query(topic.query) if topic.query else (None, ())
        weeks = await storage.topics.weekly_counts(topic.id, opened.monitor.now())
        measures = await opened.monitor.tuning.measure(slug)
        understood = str(query) if query is not None else ""
        if as_json:
            say_json(topic=topic, understood=understood, problems=problems, weeks=weeks, measure=measures[:1])
            return
        say(f"{topic.name} ({topic.slug}), revision {topic.revision}, {'on' if topic.active else 'off'}")
        say(topic.query)
        if understood and understood != topic.query:
            say(f"understood as  {understood}")
        for problem in problems:
            note(f"{problem.message} (column {problem.start + 1})" + (f"; {problem.hint}" if problem.hint else ""))
        for one in topic.weights:
            say(f"{one.weight:+g}  {one.term}")
        if topic.weights:
            say(f"threshold {topic.threshold:g}")
        if scope := [*topic.sources, *topic.languages]:
            say(f"only {', '.join(scope)}")
        say(f"matches a week: {' '.join(map(str, weeks))}")
        for one_measure in measures[:1]:
            say(tuning.measured(one_measure))

    run(body)


@app.command()
def add(
    slug: Annotated[str, typer.Argument(help="Short name: small letters, digits, hyphens.")],
    query: Annotated[str, typer.Argument(help="See docs/query-language.md.")] = "",
    name: Annotated[str, typer.Option(help="Name on pages and in digests.")] = "",
    source: Sources = None,
    language: Languages = None,
    weight: Weights = None,
    threshold: Threshold = None,
    pubmed: Pubmed = False,
    message: Note = "",
    force: Force = False,
) -> None:
    """Add a topic, if no guard rail speaks against it."""
    topic = Topic(
        slug=slug,
        name=name or slug.replace("-", " ").capitalize(),
        query=parenthesised(query) if pubmed else query,
        weights=_weights(weight),
        threshold=threshold or 0.0,
        sources=tuple(source or ()),
        languages=tuple(language or ()),
    )

    async def body(opened: Opened) -> None:
        await _save(opened, topic, message, force, new=True)

    run(body)


@app.command()
def edit(
    slug: str,
    query: Annotated[str, typer.Argument(help="The new query; left out, the old one stays.")] = "",
    name: Annotated[str, typer.Option(help="New name.")] = "",
    source: Sources = None,
    language: Languages = None,
    weight: Weights = None,
    threshold: Threshold = None,
    pubmed: Pubmed = False,
    message: Note = "",
    force: Force = False,
) -> None:
    """Save a new revision. `monitor topics try` shows beforehand what it would change."""

    if not query and all(option in (None, "") for option in (name, source, language, weight, threshold)):
        raise typer.BadParameter("give a new query, or an option to change")

    async def body(opened: Opened) -> None:
        topic = await opened.monitor.storage.topics.get(slug)
        changed = parenthesised(query) if pubmed and query else query
        await _save(
            opened,
            replace(
                topic,
                query=changed or topic.query,
                name=name or topic.name,
                sources=topic.sources if source is None else tuple(filter(None, source)),
                languages=topic.languages if language is None else tuple(filter(None, language)),
                weights=topic.weights if weight is None else _weights(weight),
                threshold=topic.threshold if threshold is None else threshold,
            ),
            message,
            force,
        )

    run(body)


async def _save(opened: Opened, topic: Topic, message: str, force: bool, *, new: bool = False) -> None:
    bench = opened.monitor.tuning
    if new and any(one.slug == topic.slug for one in await opened.monitor.storage.topics.list()):
        taken = Problem(code="taken", message="there is one already", hint=f"`monitor topics edit {topic.slug}`")
        raise TopicRefused(topic.slug, [taken])
    guards = await bench.check(topic)
    for guard in guards:
        if not guard.blocks:
            note(f"note: {guard.message}" + (f"; {guard.hint}" if guard.hint else ""))
    saved = await refusable(bench.save(topic, author(), message, force=force))
    say(f"saved {saved.slug}, revision {saved.revision}")
    if not new:
        note(f"`monitor topics rematch {saved.slug}` applies it to the archive")


async def refusable(work: Coroutine[Any, Any, Topic]) -> Topic:
    """Await `work`; a refusal is told reason by reason, and ends the command."""
    try:
        return await work
    except TopicRefused as error:
        for problem in error.problems:
            err.print(problem.message, markup=False, style="red")
            if problem.hint:
                err.print(f"  hint: {problem.hint}", markup=False)
        note(f'{error.slug} is not saved; `--force --note "why"` saves it all the same')
        raise typer.Exit(1) from error


@app.command()
def history(slug: str, as_json: Json = False) -> None:
    """Every revision, newest first, with what was found relevant of it."""

    async def body(opened: Opened) -> None:
        revisions = await opened.monitor.storage.topics.history(slug)
        measures = {one.revision: one for one in await opened.monitor.tuning.measure(slug)}
        if as_json:
            say_json(revisions=revisions, measures=list(measures.values()))
            return
        rows = [
            (
                r.number,
                when(r.created_at),
                r.author,
                tuning.share(measures[r.number].precision) if r.number in measures else "",
                tuning.share(measures[r.number].recall) if r.number in measures else "",
                r.note,
                _one_line(r.topic.query),
            )
            for r in revisions
        ]
        table(["rev.", "saved", "by", "precision", "recall", "note", "query"], rows)

    run(body)


@app.command()
def restore(slug: str, number: Annotated[int, typer.Argument(min=1, help="As `history` numbers it.")]) -> None:
    """Save an earlier revision once more, as the newest."""

    async def body(opened: Opened) -> None:
        saved = await opened.monitor.tuning.restore(slug, number, author())
        say(f"saved {saved.slug}, revision {saved.revision}, as revision {number} was")

    run(body)


@app.command()
def clone(slug: str, new_slug: str, name: Annotated[str, typer.Option(help="Name of the copy.")] = "") -> None:
    """A new topic that begins as this one, with its examples."""

    async def body(opened: Opened) -> None:
        copy = await opened.monitor.tuning.clone(slug, new_slug, author(), name)
        say(f"added {copy.slug}: {copy.name}")

    run(body)


@app.command()
def enable(slug: str) -> None:
    """Match a topic again."""
    _switch(slug, on=True)


@app.command()
def disable(slug: str) -> None:
    """Stop matching a topic; what it found stays."""
    _switch(slug, on=False)


def _switch(slug: str, *, on: bool) -> None:
    async def body(opened: Opened) -> None:
        await opened.monitor.storage.topics.set_active(slug, on)
        say(f"{slug} is {'on' if on else 'off'}")

    run(body)


# --- small helps ----------------------------------------------------------------------------------------------


def _weights(given: list[str] | None) -> tuple[WeightedTerm, ...]:
    weights = []
    for one in filter(None, given or ()):
        term, equals, weight = one.rpartition("=")
        try:
            weights.append(WeightedTerm(term=_quoted(term.strip()), weight=float(weight if equals else "")))
        except ValueError as error:
            raise typer.BadParameter(f"{one!r} is no term=weight", param_hint="--weight") from error
    return tuple(weights)


def _quoted(term: str) -> str:
    """Words side by side are meant as a phrase here."""
    return f'"{term}"' if " " in term and term.replace(" ", "").isalnum() else term


def _one_line(query: str) -> str:
    line = " ".join(query.split())
    return line if len(line) <= 100 else line[:97] + "…"
