"""`monitor`: the commands that belong to no noun."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from monitor import __version__, logs
from monitor import app as composition
from monitor.app import Opened, Role
from monitor.cli import (
    articles,
    bounces,
    config,
    context,
    digest,
    outbox,
    people,
    retractions,
    sources,
    stories,
    subscribers,
    synonyms,
    topics,
    upkeep,
    users,
)
from monitor.cli.context import Json, progress, run
from monitor.console import note, say, say_json, table, when
from monitor.errors import NotFound

if TYPE_CHECKING:
    from monitor.cli.doctor import Check

app = typer.Typer(no_args_is_help=True, add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False)
for name, commands in {
    "sources": sources.app,
    "topics": topics.app,
    "synonyms": synonyms.app,
    "subscribers": subscribers.app,
    "digest": digest.app,
    "articles": articles.app,
    "stories": stories.app,
    "retractions": retractions.app,
    "outbox": outbox.app,
    "bounces": bounces.app,
    "users": users.app,
    "people": people.app,
    "config": config.app,
}.items():
    app.add_typer(commands, name=name)
upkeep.add_to(app)

log = logging.getLogger(__name__)

SOME_FAILED = 3


def _version(wanted: bool) -> None:
    if wanted:
        say(f"medical-news-monitor {__version__}")
        raise typer.Exit


@app.callback()
def options(
    config_file: Annotated[
        Path | None, typer.Option("--config", help="Settings file instead of config/monitor.toml.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Medical News Monitor: watches medical news and papers, and mails each researcher a digest."""
    context.config_file = config_file


@app.command("run")
def run_everything() -> None:
    """Everything in one process: poll, match, compose, mail, answer on the web address. Stops cleanly on SIGTERM."""
    _run_as(Role.ALL)


@app.command()
def web() -> None:
    """Only the web pages, beside `monitor scheduler` and `monitor worker`; any number."""
    _run_as(Role.WEB)


@app.command()
def scheduler() -> None:
    """See what is due and hand it to workers; any number, one leads (MONITOR_RUN__ENGINE=procrastinate)."""
    _run_as(Role.SCHEDULER)


@app.command()
def worker() -> None:
    """Poll, read, match and mail what a scheduler hands out; any number (MONITOR_RUN__ENGINE=procrastinate)."""
    _run_as(Role.WORKER)


def _run_as(role: Role) -> None:
    settings = composition.settings(context.config_file)
    logs.set_up(settings.run.log_level, settings.run.log_format)
    asyncio.run(_run(settings, role))


async def _run(settings: composition.Settings, role: Role) -> None:
    from monitor import worker
    from monitor.web import make_app, make_health_app, serve, serve_metrics

    make = make_app if role in {Role.ALL, Role.WEB} else make_health_app
    async with composition.open_monitor(settings, exclusively=role is Role.ALL) as opened:
        address = opened.settings.web
        if role in {Role.ALL, Role.WEB} and (link := await users.invite_first_admin(opened)):
            log.warning("nobody may log in yet: become the first admin at %s (works once, within a day)", link)

        async def answer(heart: worker.Heartbeat) -> None:
            app = make(opened, heart.silent)
            await asyncio.gather(
                serve(app, address.host, address.port, address.proxies), serve_metrics(opened, heart.silent)
            )  # not a TaskGroup: the first reason to stop is told as it is

        await worker.run(opened.monitor, answer, opened.dispatcher(role))


@app.command()
def poll(
    source: Annotated[str | None, typer.Argument(help="One source's slug; without it all that are due.")] = None,
    as_json: Json = False,
) -> None:
    """Poll sources now and read the pages of what is new."""

    async def body(opened: Opened) -> int:
        monitor, storage = opened.monitor, opened.monitor.storage
        started = monitor.now()
        async with progress("polling"):
            if source:
                visit = await monitor.refresh(source)
                if visit is None:
                    note(f"{source} is being polled by another process just now")
                    return 1
            else:
                await monitor.poll_due()
            await monitor.read_pages_due()
        names = {found.id: found.slug for found in await storage.sources.list()}
        polls = [poll for source_id in names for poll in await storage.sources.polls(source_id, started)]
        if as_json:
            say_json(polls=[{"source": names.get(visit.source_id, ""), "poll": visit} for visit in polls])
        else:
            rows = [
                (names.get(p.source_id, ""), p.outcome, p.entries, p.new, f"{p.seconds:.1f}", p.detail) for p in polls
            ]
            table(["source", "outcome", "entries", "new", "seconds", "remark"], rows)
        failed = sum(visit.outcome not in {"ok", "unchanged"} for visit in polls)
        return 0 if not failed else 1 if failed == len(polls) else SOME_FAILED

    raise typer.Exit(run(body))


@app.command()
def migrate() -> None:
    """Bring the database to this program's schema. `monitor run` does it too; any number may try at once."""
    say(
        "schema brought up to date"
        if composition.migrate(composition.settings(context.config_file))
        else "schema was up to date"
    )


@app.command()
def healthcheck() -> None:
    """For containers: 0 when `monitor run` on this machine answers that it is well."""
    raise typer.Exit(0 if asyncio.run(composition.healthy(composition.settings(context.config_file))) else 1)


@app.command()
def notices(
    dismiss: Annotated[int | None, typer.Option(help="Close the notice of this number: you have seen it.")] = None,
    as_json: Json = False,
) -> None:
    """What an admin should know now."""

    async def body(opened: Opened) -> None:
        monitor = opened.monitor
        if dismiss is not None:
            if not await monitor.storage.notices.dismiss(dismiss, monitor.now()):
                raise NotFound(f"no open notice has the number {dismiss}")
            say(f"{dismiss} is closed")
            return
        found = await monitor.storage.notices.open()
        if as_json:
            say_json(notices=found)
        elif found:
            rows = [(n.id, when(n.raised_at), n.level, n.subject, n.text) for n in found]
            table(["no.", "since", "level", "about", "what"], rows)
        else:
            say("nothing to tell")

    run(body)


@app.command()
def doctor(
    what: Annotated[str, typer.Argument(help="Empty for everything, or `mail`.")] = "",
    address: Annotated[str, typer.Argument(help="With `mail`: where to send a marked test.")] = "",
    offline: Annotated[bool, typer.Option(help="Ask nobody outside: no DNS, relay or publisher.")] = False,
    arrived: Annotated[Path | None, typer.Option(help="With `mail`: the test as it arrived, saved as a file.")] = None,
    as_json: Json = False,
) -> None:
    """Check settings, disk, database, clock, network, relay and sources; exit 1 when something is wrong."""
    from monitor.cli.doctor import examine, examine_arrived, examine_mail, examine_place

    if what not in {"", "mail"} or (what == "mail" and "@" not in address and arrived is None):
        note("usage: monitor doctor   or   monitor doctor mail ADDRESS   or   monitor doctor mail --arrived FILE")
        raise typer.Exit(2)
    if what and arrived is not None:
        _show_findings(examine_arrived(arrived), as_json=as_json)
    findings = [] if what else examine_place(composition.settings(context.config_file))
    if not any(f.name in {"database", "migrations"} and not f.well for f in findings):  # else neither open nor migrate
        findings += run(lambda opened: examine_mail(opened, address) if what else examine(opened, offline=offline))
    _show_findings(findings, as_json=as_json)


def _show_findings(findings: list[Check], *, as_json: bool) -> NoReturn:
    if as_json:
        say_json(findings=findings)
    else:
        table(["", "check", "finding"], [("ok" if f.well else "WRONG", f.name, f.text) for f in findings])
    sys.exit(0 if all(finding.well for finding in findings) else 1)
