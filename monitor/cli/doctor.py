"""`monitor doctor`: is everything here as it must be for the program to do its work?

The first look opens no Monitor, for that would migrate the database that is to be examined.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from monitor import app as composition
from monitor.app import Opened, Settings
from monitor.console import when
from monitor.deliver.channels import Exchange
from monitor.deliver.checks import check_domain, check_message
from monitor.digest.letters import delivery_test
from monitor.errors import AlreadyRunning, DeliveryError, FetchError, FetchRefused, MonitorError, StorageError
from monitor.model import Level, Source
from monitor.pipeline.backups import LATE
from storage import Gauges, SchemaState, exclusive, schema_state

SAFE_SQLITE = (3, 51, 3)  # earlier ones have the WAL-reset race between two writing processes
ENOUGH_DISK = 500_000_000  # bytes
CLOCK_MAY_DIFFER = timedelta(seconds=30)  # leases last so long
LOOKUP = 5.0  # seconds for a name
STUCK = timedelta(hours=2)  # as the alert MonitorMailStuck
OLD_BACKUP = timedelta(days=2)  # where another program makes them, as MonitorBackupOld has it
ADVICE = {
    SchemaState.EMPTY: "no tables yet: `monitor migrate` or `monitor run` makes them",
    SchemaState.OLD: "of an older version: back up, then `monitor migrate`",
    SchemaState.NEWER: "made by a newer version of this program: install that one",
    SchemaState.CURRENT: "the schema is this program's",
}


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    well: bool
    text: str


def examine_place(settings: Settings) -> list[Check]:
    """What can be seen from outside: data directory, database, schema. Changes nothing."""
    checks = [_disk(settings.data_dir)]
    try:
        state = schema_state(composition.storage_url(settings))
    except StorageError as error:
        return [*checks, Check("database", False, str(error))]
    fresh = state is SchemaState.EMPTY
    return [*checks, Check("migrations", state is SchemaState.CURRENT or fresh, ADVICE[state])]


async def examine(opened: Opened, *, offline: bool = False) -> list[Check]:
    """Every check, the well ones too: silence would not say that something was looked at."""
    checks = [*_settings(opened.settings)]
    gauges = await opened.monitor.storage.upkeep.gauges()
    checks += [check async for check in _database(opened, gauges)]
    sources = await opened.monitor.storage.sources.list(active=True)
    checks += _reading(opened, sources, gauges, await _at_work(opened))
    if not offline:
        checks += await _outside(opened, sources)
    checks.append(await _outbox(opened, gauges))
    checks += await _held(opened)
    notices = await opened.monitor.storage.notices.open()
    checks += [Check(notice.subject, notice.level is not Level.ERROR, notice.text) for notice in notices]
    return checks


async def examine_mail(opened: Opened, address: str) -> list[Check]:
    """Send a marked test through the relay, and look at what DNS says of our domain."""
    monitor, settings = opened.monitor, opened.settings
    message = delivery_test(address, monitor.publisher.letterhead, opened.links, now=monitor.now())
    try:
        answer = await monitor.sender.mailer.send(message)
        checks = [Check("test message", True, f"accepted: {answer}")]
    except MonitorError as error:
        checks = [Check("test message", False, str(error))]
    domain = settings.digest.sender.rpartition("@")[2]
    checks += [
        Check(finding.name, finding.level is not Level.ERROR, finding.text) for finding in await check_domain(domain)
    ]
    text = "the relay signs: save the arrived test as a file and give it to `monitor doctor mail --arrived FILE`"
    return [*checks, Check("DKIM of the test", True, text)]


def examine_arrived(path: Path) -> list[Check]:
    """The test as it arrived: are its signatures aligned, and do they cover both List headers (RFC 8058)?"""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise MonitorError(f"{path}: cannot be read ({error.strerror})") from error
    return [Check(one.name, one.level is not Level.ERROR, one.text) for one in check_message(raw)]


# --- here -----------------------------------------------------------------------------------------------------


def _disk(path: Path) -> Check:
    if not path.is_dir():
        return Check("data directory", False, f"{path} is not there; `monitor run` makes it, or set MONITOR_DATA_DIR")
    free = shutil.disk_usage(path).free
    writable = os.access(path, os.W_OK | os.X_OK)
    text = f"{path}: {free / 1e9:.1f} GB free" + ("" if writable else f", not writable for user {os.geteuid()}")
    if free <= ENOUGH_DISK:
        text += "; make room: old backups and `monitor.db.before-…` files first"
    return Check("data directory", writable and free > ENOUGH_DISK, text)


def _settings(settings: Settings) -> list[Check]:
    contact, base_url = settings.fetch.contact, settings.web.base_url
    return [
        Check("contact", bool(contact), contact or "set MONITOR_FETCH__CONTACT: publishers refuse anonymous robots"),
        Check("web address", True, base_url or "not set: mails carry no web links (MONITOR_WEB__BASE_URL)"),
        Check("alerts", True, ", ".join(settings.run.admin) or "nobody hears of errors (MONITOR_RUN__ADMIN)"),
    ]


async def _database(opened: Opened, gauges: Gauges) -> AsyncIterator[Check]:
    upkeep, monitor = opened.monitor.storage.upkeep, opened.monitor
    yield Check("database", True, f"answers; {await monitor.storage.articles.count()} articles{_sqlite_hint(opened)}")
    running = _is_running(opened.settings)  # then nobody may hold up its writes for a look at all of the index
    if problem := await (upkeep.index_gap() if running else upkeep.index_problem()):
        yield Check("full-text index", False, f"{problem}: `monitor reindex` makes it anew")
    else:
        yield Check("full-text index", True, "has every article" if running else "whole")
    if there := await upkeep.clock():
        yield _clock("the database's clock", there, composition.utc_now())
    yield _backup(opened.settings, gauges, monitor.now())


def _backup(settings: Settings, gauges: Gauges, now: datetime) -> Check:
    every = timedelta(hours=settings.backup.every_hours)
    kept = f"{settings.backup.keep} are kept in {composition.backup_directory(settings)}"
    plan = f"one every {every / timedelta(hours=1):g} hours, {kept}" if every else "another program's business"
    since = max((at for at in (gauges.backed_up_at, gauges.began_at) if at), default=None)
    fresh = since is not None and now - since <= (LATE * every or OLD_BACKUP)
    text = f"the last good one: {_utc(gauges.backed_up_at)} ({plan})"
    return Check("backup", fresh, text if fresh else f"{text}; `monitor backup` makes one, or says what is in the way")


def _is_running(settings: Settings) -> bool:
    try:
        with exclusive(composition.storage_url(settings)):
            return False
    except AlreadyRunning:
        return True


def _sqlite_hint(opened: Opened) -> str:
    if opened.settings.storage.url.get_secret_value().startswith("postgres"):
        return ""
    old = sqlite3.sqlite_version_info < SAFE_SQLITE
    hint = ", older than 3.51.3, so never let two processes write to one file for long" if old else ""
    return f"; SQLite {sqlite3.sqlite_version}{hint}"


async def _at_work(opened: Opened) -> str:
    """Who does the work at this moment, as far as the database shows it."""
    if opened.queue is not None:
        return f"{(await opened.monitor.storage.jobs.load()).workers} workers are up"
    if opened.settings.storage.url.get_secret_value().startswith("postgres"):
        return ""
    up = _is_running(opened.settings)
    return "`monitor run` is up" if up else "no `monitor run` is up: nothing is read or mailed"


def _reading(opened: Opened, sources: list[Source], gauges: Gauges, at_work: str) -> list[Check]:
    """A source that is new has its first visit before it, and so has a new installation."""
    now = opened.monitor.now()
    silence = timedelta(hours=opened.settings.run.silence_hours)
    began = gauges.began_at or now
    newest = max((s.last_success_at for s in sources if s.last_success_at), default=None)
    late = [s for s in sources if now - (s.last_success_at or began) > max(3 * s.interval, _DAY)]
    names = ", ".join(source.slug for source in late[:10]) + (" …" if len(late) > 10 else "")
    dead = bool(sources) and now - (newest or began) > silence
    hint = "; look at network and DNS" if dead else ""
    return [
        Check("last success", not dead, f"a source was last read: {_utc(newest)}{hint}; {at_work}".removesuffix("; ")),
        Check(
            "sources",
            not late,
            f"{len(late)} of {len(sources)} not read for long: {names}; `monitor sources list` says why of each"
            if late
            else f"{len(sources)} active, none overdue",
        ),
    ]


async def _outbox(opened: Opened, gauges: Gauges) -> Check:
    counts = await opened.monitor.storage.outbox.counts()
    text = ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "empty"
    since = gauges.waiting_since
    if since is None or opened.monitor.now() - since <= STUCK:
        return Check("outbox", True, text)
    return Check("outbox", False, f"{text}; one has waited since {_utc(since)}: `monitor outbox list` shows its error")


def _utc(at: datetime | None) -> str:
    return f"{when(at)} UTC" if at else "never"


_DAY = timedelta(days=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


async def _held(opened: Opened) -> list[Check]:
    reason = await opened.monitor.storage.outbox.held_because()
    return [Check("outbox held", False, f"{reason}; `monitor outbox release` lets all go")] if reason else []


def _clock(name: str, there: datetime, here: datetime) -> Check:
    ahead = (here - there).total_seconds()
    text = f"ours is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}"
    well = abs(ahead) <= CLOCK_MAY_DIFFER.total_seconds()
    return Check(name, well, text + ("" if well else ": set it by NTP, or digests come at wrong hours"))


# --- outside --------------------------------------------------------------------------------------------------


async def _outside(opened: Opened, sources: list[Source]) -> list[Check]:
    smtp = opened.settings.smtp
    hosts = [smtp.host] if smtp.host else []
    readable = sorted(sources, key=lambda source: source.last_success_at or _NEVER)[-1:]  # likeliest to answer now
    hosts += [str(urlsplit(source.url).hostname) for source in readable]
    names, relay, publishers = await asyncio.gather(
        asyncio.gather(*(_name(host) for host in hosts)),
        _relay(opened),
        asyncio.gather(*(_source(opened, source) for source in readable)),
    )
    return [*names, relay, *(check for found in publishers for check in found)]


async def _name(host: str) -> Check:
    try:
        async with asyncio.timeout(LOOKUP):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or f"no answer within {LOOKUP:g} s"
        return Check("DNS", False, f"{host} is not found: {reason}; is the name right, and does any other resolve?")
    return Check("DNS", True, f"{host} is {found[0][4][0]}")


async def _relay(opened: Opened) -> Check:
    mailer = opened.monitor.sender.mailer
    try:
        return Check("mail", True, await mailer.probe() if isinstance(mailer, Exchange) else "not asked")
    except DeliveryError as error:
        return Check("mail", False, error.reason)


async def _source(opened: Opened, source: Source) -> list[Check]:
    """One polite request, robots.txt included: does it let us in, and what time is it there?"""
    try:
        found = await opened.monitor.ingest.fetcher.get(source.url, validators=source.validators, robots=True)
    except FetchRefused as error:
        return [Check("robots", not source.pages, f"{source.slug}: {error.reason}")]
    except FetchError as error:
        return [
            Check("network", False, f"{source.slug}: {error.reason}"),
            Check("clock", True, "not compared with another's: no source answered"),
        ]
    checks = [Check("robots", True, f"{source.slug} lets us in"), Check("network", True, f"{source.slug} answers")]
    if found.date:
        checks.append(_clock(f"clock of {urlsplit(found.final_url).hostname}", found.date, composition.utc_now()))
    return checks
