"""`monitor topics check, import, export`: topics in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from monitor.app import Opened
from monitor.cli.context import Json, author, run
from monitor.cli.tuning import Note
from monitor.console import note, say, say_json
from monitor.errors import ConfigError
from monitor.match import WARNINGS, check_query
from monitor.match.exchange import Change, Kind, Outcome, dump_csv, dump_yaml, load

app = typer.Typer()

_KINDS: dict[str, Kind] = {".yaml": "yaml", ".yml": "yaml", ".csv": "csv"}


@app.command()
def check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Topics (.yaml, .csv), or one query.")],
) -> None:
    """Check a file without storing anything: FILE:LINE:COLUMN: message, and exit 1, for each error."""
    text = _read(file)
    errors = 0
    if file.suffix.lower() in _KINDS:
        for change in load(text, _KINDS[file.suffix.lower()]):
            if change.outcome is Outcome.ERROR:
                errors += 1
                say(f"{file}:{change.line}:{change.column}: {change.message}")
    else:
        for problem in check_query(text.rstrip())[1]:
            before = text[: problem.start]
            kind = "warning: " if problem.code in WARNINGS else ""
            errors += not kind
            hint = f"; {problem.hint}" if problem.hint else ""
            place = f"{before.count(chr(10)) + 1}:{problem.start - before.rfind(chr(10))}"
            say(f"{file}:{place}: {kind}{problem.message}{hint}")
    if errors:
        raise typer.Exit(1)
    note("no errors")


@app.command("import")
def import_topics(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".yaml or .csv, as `export` writes it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    message: Note = "",
    as_json: Json = False,
) -> None:
    """Add and change topics by their slugs. With an error anywhere in the file nothing is stored."""
    kind = _KINDS.get(file.suffix.lower())
    if kind is None:
        raise ConfigError(f"{file}: the name should end in .yaml, .yml or .csv")

    async def body(opened: Opened) -> int:
        changes = load(_read(file), kind, await opened.monitor.storage.topics.list())
        wrong = [change for change in changes if change.outcome is Outcome.ERROR]
        if not wrong and not dry_run:
            await opened.monitor.tuning.apply(changes, author(), message or f"import of {file.name}")
        if as_json:
            say_json(stored=not wrong and not dry_run, changes=changes)
        else:
            _report(file, changes)
            note("nothing is stored" if wrong or dry_run else "stored")
        return 1 if wrong else 0

    raise typer.Exit(run(body))


def _report(file: Path, changes: Sequence[Change]) -> None:
    for change in changes:
        if change.outcome is Outcome.ERROR:
            say(f"{file}:{change.line}:{change.column}: {change.message}")
        else:
            say(f"{change.outcome.value:8} {change.slug}")
            for field, old, new in change.differences:
                say(f"         {field}: {old or '(none)'} -> {new or '(none)'}")


@app.command()
def export(
    kind: Annotated[str, typer.Option("--format", help="yaml or csv.")] = "yaml",
    slugs: Annotated[list[str] | None, typer.Argument(help="Only these topics.")] = None,
) -> None:
    """All topics on stdout, in the form that `import` reads."""
    if kind not in ("yaml", "csv"):
        raise typer.BadParameter("yaml or csv", param_hint="--format")

    async def body(opened: Opened) -> None:
        stored = opened.monitor.storage.topics
        topics = [await stored.get(slug) for slug in slugs] if slugs else await stored.list()
        typer.echo(dump_yaml(topics) if kind == "yaml" else dump_csv(topics), nl=False)

    run(body)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 (byte {error.start + 1})") from error
