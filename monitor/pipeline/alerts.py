"""Errors told to admins: by mail or channel, each once, and once more when it is over.

They do not pass through the outbox: it may be what is broken. What could not be told is kept and told when it can be.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from monitor.deliver import Mailer
from monitor.digest import Letterhead, Links
from monitor.digest.letters import alert
from monitor.errors import ConfigError, DeliveryError
from monitor.model import Level
from monitor.pipeline.backups import LATE
from storage import Gauges, News, Storage

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=3)  # of the one process that tells
BETWEEN = timedelta(minutes=5)  # two alerts: a storm of errors comes in a few mails, not in hundreds
AGAIN = timedelta(minutes=2)  # after a try that reached nobody
ENOUGH_DISK = 500_000_000  # bytes; with less, a backup or a write-ahead log may fill the disk
PATIENCE = 60.0  # seconds for one recipient


@dataclass(slots=True, kw_only=True)
class Alerts:
    """Watches what no single part can see, and tells `to` (mail addresses or channel:NAME) of every open error."""

    storage: Storage
    mailer: Mailer
    letterhead: Letterhead
    links: Links
    now: Callable[[], datetime]
    to: tuple[str, ...]
    silence: timedelta
    data_dir: Path
    backup_every: timedelta = timedelta()  # zero: backups are another's business
    holder: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    _started: datetime | None = None
    _not_before: datetime | None = None
    _silent: bool = True  # a notice of ours may be open, from before a restart, too

    async def look(self, silent: Sequence[str] = ()) -> int:
        """Raise and close what only a look at the whole shows, then tell; the number of errors told, those over too.

        `silent` are the beats of this process that have not gone well for too long.
        """
        now = self.now()
        self._started = self._started or now
        gauges = await self.storage.upkeep.gauges()
        await self._watch_reading(gauges, now)
        await self._watch_backup(gauges, now)
        await self._watch_disk(now)
        await self._watch_beats(silent, now)
        return await self._tell(now) if self.to else 0

    async def _watch_reading(self, gauges: Gauges, now: datetime) -> None:
        """The dead man's switch: whatever the reason is, that nothing at all was read is noticed here."""
        last = gauges.newest_success
        since = max(last, self._started or now) if last else self._started or now  # what was off could not read
        text = (
            f"Not one of {gauges.sources} sources was read successfully since {_clock(last)}."
            " Look at the network, at DNS and at `monitor doctor`."
        )
        await self._set("reading", "nothing-read", gauges.sources > 0 and now - since > self.silence, text, now)

    async def _watch_backup(self, gauges: Gauges, now: datetime) -> None:
        last = gauges.backed_up_at
        since = max(last, self._started or now) if last else self._started or now  # what was off could make none
        text = (
            f"The last good backup is of {_clock(last, never='never')}, and one is due every"
            f" {self.backup_every / timedelta(hours=1):g} hours. `monitor backup` says what is in the way."
        )
        is_old = bool(self.backup_every) and now - since > LATE * self.backup_every
        await self._set("backup", "old", is_old, text, now)

    async def _watch_disk(self, now: datetime) -> None:
        free = shutil.disk_usage(self.data_dir).free
        text = f"Only {free / 1e6:.0f} MB are free in {self.data_dir}: make room, or nothing more can be stored."
        await self._set("disk", "full", free < ENOUGH_DISK, text, now)

    async def _watch_beats(self, silent: Sequence[str], now: datetime) -> None:
        if not silent and not self._silent:
            return  # another process's notice is not ours to close
        self._silent = bool(silent)
        text = f"{', '.join(silent)}: did not go well for minutes on {self.holder}; its log says why."
        await self._set("heartbeat", "silent", bool(silent), text, now)

    async def _set(self, subject: str, code: str, is_wrong: bool, text: str, now: datetime) -> None:
        if is_wrong:
            await self.storage.notices.raise_once(subject, code, Level.ERROR, text, now)
        else:
            await self.storage.notices.close(subject, code, now)

    async def _tell(self, now: datetime) -> int:
        if self._not_before and now < self._not_before:
            return 0
        if await self.storage.leases.acquire("alerts", self.holder, now, LEASE) is None:
            return 0
        news = await self.storage.upkeep.news()
        if not news.opened and not news.over:
            return 0
        if not await self._send(news, now):
            self._not_before = now + AGAIN
            await self.storage.upkeep.untold(news)
            return 0
        self._not_before = now + BETWEEN
        await self.storage.upkeep.told(news, now)
        return len(news.opened) + len(news.over)

    async def _send(self, news: News, now: datetime) -> bool:
        """Whether at least one heard of it."""
        reached = 0
        for recipient in self.to:
            message = alert(recipient, news.opened, news.over, self.letterhead, self.links, now=now)
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.mailer.send(message)
            except (DeliveryError, ConfigError, TimeoutError) as error:
                log.error("alert not delivered to=%s reason=%s", recipient, error)
            else:
                reached += 1
        log.info("alert opened=%d over=%d reached=%d", len(news.opened), len(news.over), reached)
        return reached > 0


def _clock(at: datetime | None, never: str = "the start") -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else never
