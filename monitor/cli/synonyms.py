"""`monitor synonyms`: the terms that vocabularies give for one meaning."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import IO, Annotated, cast

import typer

from monitor.app import Opened
from monitor.cli.context import Json, progress, run
from monitor.console import note, say, say_json, table
from monitor.errors import ConfigError, ParseError
from monitor.match.synonyms import SCOPES, expansion, read_vocabulary

app = typer.Typer(no_args_is_help=True, help="Vocabularies, and the terms they give for one meaning.")

Vocabulary = Annotated[str, typer.Option("--vocabulary", help="Only this one: mesh, hp, mondo, chebi, builtin …")]


@app.command("import")
def import_vocabulary(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="MeSH desc20xx.xml or an OBO file (.gz too).")
    ],
    year: Annotated[int, typer.Option(min=0, help="Its year, where neither name nor header tells.")] = 0,
    scope: Annotated[list[str] | None, typer.Option(help=f"Only EXACT, or of {', '.join(SCOPES)}.")] = None,
) -> None:
    """Read a vocabulary and keep it under its year; one imported before in that year is replaced."""
    wanted = tuple(one.upper() for one in scope or ("EXACT",))
    if not set(wanted) <= set(SCOPES):
        raise typer.BadParameter(", ".join(SCOPES), param_hint="--scope")

    async def body(opened: Opened) -> None:
        with _opened(file) as stream:
            concepts = read_vocabulary(stream, str(file), scopes=wanted)
            first = next(concepts, None)
            if first is None:
                raise ParseError(str(file), "no concept in it")
            of_year = year or first.year
            if not of_year:
                raise ConfigError(f"{file} does not tell its year; give --year")
            async with progress(f"importing {first.source} {of_year}"):
                count = await opened.monitor.storage.concepts.replace(
                    first.source, of_year, itertools.chain([first], concepts)
                )
        say(f"imported {count} concepts of {first.source} {of_year}")

    run(body)


def _opened(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file, "rb")) if file.suffix == ".gz" else file.open("rb")


@app.command("list")
def list_vocabularies(as_json: Json = False) -> None:
    """What is imported."""

    async def body(opened: Opened) -> None:
        rows = await opened.monitor.tuning.vocabularies()
        if as_json:
            say_json(vocabularies=[{"source": s, "year": y, "concepts": n} for s, y, n in rows])
        else:
            table(["vocabulary", "year", "concepts"], rows)

    run(body)


@app.command()
def show(term: str, vocabulary: Vocabulary = "", as_json: Json = False) -> None:
    """Every concept that has this term, with all of its terms."""

    async def body(opened: Opened) -> None:
        concepts = await opened.monitor.tuning.concepts(term, vocabulary)
        if as_json:
            say_json(concepts=concepts)
            return
        for concept in concepts:
            say(f"{concept.name}  ({concept.source} {concept.year}, {concept.code})")
            for one in concept.terms:
                say(f"  {one}")

    run(body)


@app.command()
def expand(
    term: str,
    vocabulary: Vocabulary = "",
    ambiguous: Annotated[bool, typer.Option(help="Take in short and everyday words too, exact in case.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many terms.")] = 60,
    as_json: Json = False,
) -> None:
    """The term's synonyms as a query to paste into a topic."""

    async def body(opened: Opened) -> None:
        concepts = await opened.monitor.tuning.concepts(term, vocabulary)
        expansions = [expansion(one, limit=limit, ambiguous=ambiguous) for one in concepts]
        if as_json:
            say_json(
                expansions=[
                    {"concept": concept, "expansion": made} for concept, made in zip(concepts, expansions, strict=True)
                ]
            )
            return
        for concept, made in zip(concepts, expansions, strict=True):
            note(f"{concept.name} ({concept.source} {concept.year}, {concept.code})")
            say(f"({made.query})" if len(made.terms) > 1 else made.query)
            if made.ambiguous:
                note(f"left out, for they mean other things too: {', '.join(made.ambiguous)}")
            if made.dropped:
                note(f"{made.dropped} more terms; --limit takes them in")

    run(body)
