"""Open a Monitor: its database migrated, its services started, and all closed again at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from config import Settings, load, load_sources, load_topics
from monitor.app.assembly import Clock, monitor_of, sign_on_of
from monitor.app.parts import bounds_of, fetcher_of, mailer_of, sandbox_of, spans_of
from monitor.app.places import local_server, make_data_dir, secret_key, storage_url
from monitor.digest import Links
from monitor.errors import ConfigError, FetchError, QueryError, StorageError
from monitor.fetch import Fetcher
from monitor.match import parse_query
from monitor.model import Source, Topic
from monitor.pipeline import Monitor
from monitor.pipeline.dispatch import Dispatcher, Idle, InProcess
from monitor.pipeline.distribute import Distributed
from storage import Storage, exclusive
from storage import migrate as migrate_storage
from storage.jobs import Queue, install

if TYPE_CHECKING:
    from monitor.pipeline.sign_on import SignOn

CLOCK_LOOK = 60.0  # seconds between two looks at the database's clock


class Role(StrEnum):
    """Which part of the work a process does; with the engine "inprocess" there is ALL and WEB."""

    ALL = "run"
    WEB = "web"
    SCHEDULER = "scheduler"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Opened:
    """A Monitor with what an entrance needs beside it."""

    monitor: Monitor
    settings: Settings
    links: Links
    queue: Queue | None = None
    sign_on: SignOn | None = None

    def dispatcher(self, role: Role) -> Dispatcher:
        """Who does this process's due work. Raises ConfigError for a role that the engine does not have."""
        if role is Role.WEB:
            return Idle(self.monitor)
        if self.queue is None:
            if role is not Role.ALL:
                raise ConfigError(
                    f"`monitor {role}` needs MONITOR_RUN__ENGINE=procrastinate; without it use `monitor run`"
                )
            return InProcess(self.monitor)
        return Distributed(
            self.monitor,
            self.queue,
            leads=role is not Role.WORKER,
            works=role is not Role.SCHEDULER,
            concurrency=self.settings.run.concurrency,
        )


def utc_now() -> datetime:
    return datetime.now(UTC)


def settings(path: Path | None = None, **overrides: object) -> Settings:
    """The settings in force; an override, such as `smtp__host="…"`, wins over everything. Raises ConfigError."""
    return load(path, overrides)


def first_run(settings: Settings) -> tuple[list[Source], list[Topic]]:
    """What a new installation starts with. Raises ConfigError, also for a topic whose query is wrong."""
    topics = load_topics()
    for topic in topics:
        try:
            parse_query(topic.query)
        except QueryError as error:
            raise ConfigError(f"config/topics.toml: topic {topic.slug}: {error}") from error
    return load_sources(interval=timedelta(minutes=settings.poll.interval_minutes)), topics


def migrate(chosen: Settings) -> bool:
    """Bring the database to this program's schema; whether that changed anything."""
    make_data_dir(chosen.data_dir)
    return _migrate(chosen)


def _migrate(chosen: Settings) -> bool:
    url = storage_url(chosen)
    if not _distributed(chosen):
        return migrate_storage(url)
    if url.startswith("sqlite"):
        raise ConfigError("MONITOR_RUN__ENGINE=procrastinate needs PostgreSQL; set MONITOR_STORAGE__URL")
    if not chosen.secret_key.get_secret_value():
        raise ConfigError("MONITOR_RUN__ENGINE=procrastinate needs MONITOR_SECRET_KEY_FILE: all processes sign alike")
    changed = migrate_storage(url)
    return install(url) or changed


def _distributed(chosen: Settings) -> bool:
    return chosen.run.engine == "procrastinate"


async def healthy(chosen: Settings) -> bool:
    """Whether `monitor run` on this machine says that it is well."""
    here = local_server(chosen)
    async with Fetcher(user_agent="monitor-healthcheck", allow=frozenset({here}), timeout=4) as fetcher:
        try:
            return (await fetcher.get(f"http://{here}/healthz")).status == 200
        except FetchError:
            return False


@contextlib.asynccontextmanager
async def open_monitor(
    chosen: Settings, *, exclusively: bool = False, now: Clock = utc_now, first_sources: Sequence[Source] | None = None
) -> AsyncIterator[Opened]:
    """Everything put together, migrated and ready. `exclusively`: be the only `monitor run` on this SQLite file.

    `first_sources` are those of a first run, instead of config/sources.toml.

    Raises ConfigError for a data directory, StorageError for a database that cannot be used.
    """
    make_data_dir(chosen.data_dir)
    url = storage_url(chosen)
    async with contextlib.AsyncExitStack() as stack:
        if exclusively:
            stack.enter_context(exclusive(url))
        await asyncio.to_thread(_migrate, chosen)
        storage = await stack.enter_async_context(Storage.open(url, bounds_of(chosen)))
        if now is utc_now and not url.startswith("sqlite"):
            now = await stack.enter_async_context(_shared_clock(storage))
        await _first_run(chosen, storage, now(), first_sources)
        spans = spans_of(chosen)
        stack.push_async_callback(asyncio.to_thread, spans.close)
        fetcher = await stack.enter_async_context(fetcher_of(chosen, spans))
        sandbox = sandbox_of(chosen, spans)
        stack.callback(sandbox.close)
        mailer = mailer_of(chosen)
        stack.push_async_callback(mailer.aclose)
        links = Links(chosen.web.base_url, secret_key(chosen))
        # a worker is given up a little before its leases end, so that its server's lock is free when they do
        worker = Queue(url, dead=chosen.run.lease_seconds * 2 / 3) if _distributed(chosen) else None
        queue = await stack.enter_async_context(worker) if worker else None
        monitor = monitor_of(chosen, storage, fetcher, sandbox, mailer, links, now, spans)
        sign_on = await stack.enter_async_context(sign_on_of(chosen, monitor.users, now))
        yield Opened(monitor, chosen, links, queue, sign_on)


@contextlib.asynccontextmanager
async def _shared_clock(storage: Storage) -> AsyncIterator[Clock]:
    """PostgreSQL's clock for all who use it, so that no machine's own clock, fast, slow or set, takes part."""
    await storage.clock.look()

    async def look_now_and_then() -> None:
        while await asyncio.sleep(CLOCK_LOOK, result=True):
            with contextlib.suppress(StorageError):  # the time runs on; the beats say what is wrong
                await storage.clock.look()

    looking = asyncio.create_task(look_now_and_then())
    try:
        yield storage.clock
    finally:
        looking.cancel()


async def _first_run(chosen: Settings, storage: Storage, now: datetime, own: Sequence[Source] | None) -> None:
    if await storage.sources.list() or await storage.topics.list():
        return
    sources, topics = first_run(chosen)
    await storage.sources.import_first_run(sources if own is None else own, topics, now)
