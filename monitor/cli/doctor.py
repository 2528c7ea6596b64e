"""`monitor doctor`: is everything here as it must be for the program to do its work?"""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import timedelta

from monitor.app import Opened
from monitor.deliver.checks import check_domain
from monitor.digest.letters import delivery_test
from monitor.errors import MonitorError
from monitor.model import Level

SAFE_SQLITE = (3, 51, 3)  # earlier ones have the WAL-reset race between two writing processes
ENOUGH_DISK = 500_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    well: bool
    text: str


async def examine(opened: Opened) -> list[Check]:
    """Every check, the well ones too: silence would not say that something was looked at."""
    settings, monitor = opened.settings, opened.monitor
    now = monitor.now()
    checks = [
        Check("version", True, f"SQLite {sqlite3.sqlite_version}{_sqlite_hint()}"),
        _disk(str(settings.data_dir)),
        Check(
            "contact",
            bool(settings.fetch.contact),
            settings.fetch.contact or "set MONITOR_FETCH__CONTACT: publishers refuse anonymous robots",
        ),
        Check(
            "web address", True, settings.web.base_url or "not set: mails carry no web links (MONITOR_WEB__BASE_URL)"
        ),
        Check(
            "mail",
            True,
            f"relay {settings.smtp.host}:{settings.smtp.port}"
            if settings.smtp.host
            else "kept in a Maildir below the data directory (MONITOR_SMTP__HOST)",
        ),
    ]
    try:
        await monitor.storage.ping()
        checks.append(Check("database", True, f"answers; {await monitor.storage.articles.count()} articles"))
    except MonitorError as error:
        checks.append(Check("database", False, str(error)))
    sources = await monitor.storage.sources.list(active=True)
    late = [
        s
        for s in sources
        if s.last_success_at is None or now - s.last_success_at > max(timedelta(days=1), 3 * s.interval)
    ]
    names = ", ".join(source.slug for source in late[:10])
    checks.append(
        Check(
            "sources",
            not late,
            f"{len(sources)} active; not read for long: {names}" if late else f"{len(sources)} active, all read lately",
        )
    )
    counts = await monitor.storage.outbox.counts()
    checks.append(Check("outbox", True, ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "empty"))
    checks += [Check(notice.subject, False, notice.text) for notice in await monitor.storage.notices.open()]
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
    checks.append(
        Check(
            "DKIM of the test",
            True,
            "the relay signs: in the arrived message, h= must name List-Unsubscribe and List-Unsubscribe-Post",
        )
    )
    return checks


def _disk(path: str) -> Check:
    free = shutil.disk_usage(path).free
    writable = os.access(path, os.W_OK)
    text = f"{path}: {free / 1e9:.1f} GB free" + ("" if writable else ", not writable")
    return Check("data directory", writable and free > ENOUGH_DISK, text)


def _sqlite_hint() -> str:
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return ""
    return "; older than 3.51.3, so never let two processes write to one file for long"
