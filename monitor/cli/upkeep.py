"""Looking after it: backup, restore, move, reindex."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor import app as composition
from monitor.app import Opened, Settings
from monitor.cli import context
from monitor.cli.context import Json, run
from monitor.console import note, say, say_json, table
from monitor.errors import ConfigError
from storage import backup as backups
from storage.audit import acting
from storage.moving import move as move_rows

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    """These commands belong to no noun."""
    for command in (backup, restore, move, reindex):
        app.command()(command)


def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to; without it a dated file in backup.directory.")] = None,
    quick: Annotated[bool, typer.Option(help="PostgreSQL: no trial restore into a scratch database.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the whole database while the program runs, and check the copy before it counts."""
    settings = _settings()
    url, now = composition.storage_url(settings), composition.utc_now()
    gone: list[Path] = []
    with acting(context.actor(), composition.utc_now):
        if file:
            done = backups.backup(url, file, now=now, quick=quick)
        else:
            directory = composition.backup_directory(settings)
            done, gone = backups.dated(url, directory, now=now, keep=settings.backup.keep, quick=quick)
    if as_json:
        say_json(backup={"path": str(done.path), "bytes": done.size, "rows": done.rows, "checks": done.checks})
    else:
        say(f"{done.path}: {done.rows} rows, {done.size / 1e6:.1f} MB; checked: {', '.join(done.checks)}")
    for path in gone:
        note(f"deleted {path}, older than the {settings.backup.keep} that are kept")
    if not settings.secret_key.get_secret_value():
        note(f"not in it: {settings.data_dir / 'secret.key'}, which signs links in mail; keep a copy of it elsewhere")


def restore(file: Path, yes: Yes = False) -> None:
    """Put a backup in the place of the database. Every message then waits for `monitor outbox release`."""
    settings = _settings()
    if not yes:
        typer.confirm(f"Replace the database by {file}?", abort=True)
    now = composition.utc_now()
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    reason = f"restored from a backup on {now:%Y-%m-%d %H:%M} UTC: it may have been sent after the backup was made"
    url = composition.storage_url(settings)
    with acting(context.actor(), composition.utc_now):
        done = backups.restore(url, file, reason=reason, now=now)
    say(f"{done.rows} rows restored; {done.held} messages are held, and so is every new digest")
    if done.aside:
        note(f"the database of before is {done.aside}: delete it when all is well")
    note("look at `monitor outbox list`, cancel what arrived already, then `monitor outbox release`")


def move(
    to: Annotated[str, typer.Option("--to", help="postgresql://user@host/name, or a file that holds it.")],
    as_json: Json = False,
) -> None:
    """Copy everything from SQLite into an empty PostgreSQL database. The old file mails no more afterwards."""
    target = to if "://" in to else _from_file(Path(to))
    with acting(context.actor(), composition.utc_now):
        moved = move_rows(composition.storage_url(_settings()), target)
    if as_json:
        say_json(rows=moved)
        return
    table(["table", "rows"], [(name, number) for name, number in moved.items() if number])
    say("all counts agree; now set MONITOR_STORAGE__URL, and start the program there")


def reindex() -> None:
    """Make the full-text index anew from the articles."""

    async def body(opened: Opened) -> None:
        await opened.monitor.storage.upkeep.rebuild_index()
        say("the index is whole again")

    run(body)


def _settings() -> Settings:
    return composition.settings(context.config_file)


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"--to {path}: neither a database URL nor a file with one ({error.strerror})") from error
