"""The composition root: settings in, a Monitor out. Only here do the parts meet, and only here are settings read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from config import Settings, load, load_sources, load_topics
from monitor import __version__
from monitor.deliver import Breaker, MaildirMailer, Mailer, SmtpMailer
from monitor.deliver.channels import Channels, Exchange, read_channels
from monitor.deliver.imap import ImapPoller
from monitor.digest import Letterhead, Links, News
from monitor.errors import ConfigError, FetchError, QueryError, RelayUnusable, StorageError
from monitor.fetch import Fetcher, Limits
from monitor.match import Matcher, parse_query
from monitor.meter import Meter
from monitor.model import Role as UserRole
from monitor.model import Source, Topic
from monitor.parse.asking import Access
from monitor.pipeline import Bounces, Ingest, Monitor, Publisher, Readers, Rules, Sender
from monitor.pipeline.alerts import Alerts
from monitor.pipeline.backups import Backups
from monitor.pipeline.dispatch import Dispatcher, Idle, InProcess
from monitor.pipeline.distribute import Distributed
from monitor.pipeline.enrich import Enrichment, Places
from monitor.pipeline.harvest import Patience
from monitor.pipeline.preprints import Preprints
from monitor.pipeline.safety import Safety
from monitor.pipeline.trace import Tracer
from monitor.pipeline.tuning import Tuning
from monitor.pipeline.users import Users
from monitor.sandbox import Sandbox
from monitor.schedule import Pacing
from monitor.spans import OFF, Spans, ToCollector, read_headers
from monitor.story.settle import Bounds
from storage import Storage, exclusive
from storage import migrate as migrate_storage
from storage.jobs import Queue, install

if TYPE_CHECKING:
    from monitor.pipeline.sign_on import SignOn

Clock = Callable[[], datetime]

__all__ = [
    "Clock",
    "Opened",
    "Role",
    "Settings",
    "backup_directory",
    "first_run",
    "healthy",
    "migrate",
    "open_monitor",
    "settings",
    "utc_now",
    "web_address",
]


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
    _make_data_dir(chosen.data_dir)
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


def storage_url(settings: Settings) -> str:
    url = settings.storage.url.get_secret_value()
    return url or f"sqlite:///{settings.data_dir.absolute() / 'monitor.db'}"


def backup_directory(settings: Settings) -> Path:
    return Path(settings.backup.directory) if settings.backup.directory else settings.data_dir / "backups"


async def healthy(chosen: Settings) -> bool:
    """Whether `monitor run` on this machine says that it is well."""
    web = chosen.web
    host = "127.0.0.1" if web.host in {"0.0.0.0", "::"} else web.host  # noqa: S104
    async with Fetcher(user_agent="monitor-healthcheck", allow=frozenset({f"{host}:{web.port}"}), timeout=4) as fetcher:
        try:
            return (await fetcher.get(f"http://{host}:{web.port}/healthz")).status == 200
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
    _make_data_dir(chosen.data_dir)
    url = storage_url(chosen)
    async with contextlib.AsyncExitStack() as stack:
        if exclusively:
            stack.enter_context(exclusive(url))
        await asyncio.to_thread(_migrate, chosen)
        storage = await stack.enter_async_context(Storage.open(url, _bounds(chosen)))
        if now is utc_now and not url.startswith("sqlite"):
            now = await stack.enter_async_context(_shared_clock(storage))
        await _first_run(chosen, storage, now(), first_sources)
        spans = _spans(chosen)
        stack.push_async_callback(asyncio.to_thread, spans.close)
        fetcher = await stack.enter_async_context(_fetcher(chosen, spans))
        sandbox = _sandbox(chosen, spans)
        stack.callback(sandbox.close)
        mailer = _mailer(chosen)
        stack.push_async_callback(mailer.aclose)
        links = Links(chosen.web.base_url, _secret(chosen))
        # a worker is given up a little before its leases end, so that its server's lock is free when they do
        worker = Queue(url, dead=chosen.run.lease_seconds * 2 / 3) if _distributed(chosen) else None
        queue = await stack.enter_async_context(worker) if worker else None
        monitor = _monitor(chosen, storage, fetcher, sandbox, mailer, links, now, spans)
        sign_on = await stack.enter_async_context(_sign_on(chosen, monitor.users, now))
        yield Opened(monitor, chosen, links, queue, sign_on)


@contextlib.asynccontextmanager
async def _sign_on(chosen: Settings, users: Users, now: Clock) -> AsyncIterator[SignOn | None]:
    """The identity provider, where one is set. Its fetcher is its own: what it may ask, feeds may not."""
    oidc = chosen.web.oidc
    if not oidc.issuer:
        yield None
        return
    try:
        from monitor.pipeline.sign_on import Admission, Client, SignOn, allowed_for
    except ImportError as error:
        raise ConfigError('single sign-on needs joserfc: pip install "medical-news-monitor[oidc]"') from error
    client = Client(
        issuer=oidc.issuer,
        client_id=oidc.client_id,
        client_secret=oidc.client_secret.get_secret_value(),
        redirect_uri=f"{web_address(chosen)}/login/oidc/callback",
        scopes=oidc.scopes,
    )
    admission = Admission(
        domains=frozenset(domain.lower() for domain in oidc.domains),
        trust_email=oidc.trust_email,
        create=oidc.create,
        groups_claim=oidc.groups_claim,
        groups=tuple(
            (group, role)
            for groups, role in (
                (oidc.admins, UserRole.ADMIN), (oidc.editors, UserRole.EDITOR), (oidc.viewers, UserRole.VIEWER)
            )
            for group in groups
        ),
        role=UserRole(oidc.role) if oidc.role else None,
    )  # fmt: skip
    allow = allowed_for(client, private=oidc.private)
    async with Fetcher(user_agent=_agent(chosen), allow=allow, host_delay=0, timeout=10) as fetcher:
        yield SignOn(
            client=client, admission=admission, label=oidc.label, only=oidc.only, fetcher=fetcher, users=users, now=now,
            secret=_secret(chosen),
        )  # fmt: skip


def web_address(chosen: Settings) -> str:
    """Where the pages are: the public address, else this machine."""
    web = chosen.web
    host = "127.0.0.1" if web.host in {"0.0.0.0", "::"} else web.host  # noqa: S104
    return web.base_url.strip().rstrip("/") or f"http://{host}:{web.port}"


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


def _monitor(
    chosen: Settings,
    storage: Storage,
    fetcher: Fetcher,
    sandbox: Sandbox,
    mailer: Mailer,
    links: Links,
    now: Clock,
    spans: Spans,
) -> Monitor:
    matcher = Matcher()
    meter = Meter()
    letterhead = _letterhead(chosen)
    lease = timedelta(seconds=chosen.run.lease_seconds)
    ingest = Ingest(
        storage=storage,
        fetcher=fetcher,
        sandbox=sandbox,
        matcher=matcher,
        now=now,
        lease=lease,
        max_entries=chosen.poll.max_entries,
        access=_access(chosen),
        pacing=_pacing(chosen),
        patience=_patience(chosen),
        meter=meter,
        spans=spans,
    )
    enrichment = _enrichment(chosen, storage, fetcher, sandbox, matcher, now)
    publisher = Publisher(
        storage=storage,
        letterhead=letterhead,
        links=links,
        now=now,
        horizon=timedelta(days=chosen.digest.horizon_days),
        news=News(late=timedelta(days=chosen.digest.late_days), first=timedelta(days=chosen.digest.first_visit_days)),
        meter=meter,
        spans=spans,
    )
    bounces = Bounces(
        storage=storage,
        now=now,
        secret=_secret(chosen).encode(),
        domain=letterhead.envelope_sender.rpartition("@")[2],
        meter=meter,
    )
    sender = Sender(
        storage=storage,
        mailer=mailer,
        now=now,
        lease=lease,
        breaker=Breaker(),
        bounces=bounces,
        bounces_to=chosen.digest.bounce_address,
        meter=meter,
        spans=spans,
    )
    return Monitor(
        storage=storage,
        ingest=ingest,
        publisher=publisher,
        sender=sender,
        readers=Readers(storage=storage, letterhead=letterhead, links=links, now=now, meter=meter),
        tuning=Tuning(storage=storage, now=now),
        users=Users(storage=storage, now=now),
        bounces=bounces,
        mailbox=_mailbox(chosen),
        safety=_safety(chosen, storage, fetcher, sandbox, enrichment, now),
        enrichment=enrichment,
        matcher=matcher,
        now=now,
        meter=meter,
        spans=spans,
        alerts=Alerts(
            storage=storage,
            mailer=mailer,
            letterhead=letterhead,
            links=links,
            now=now,
            to=chosen.run.admin,
            silence=timedelta(hours=chosen.run.silence_hours),
            data_dir=chosen.data_dir,
            backup_every=timedelta(hours=chosen.backup.every_hours),
        ),
        backups=Backups(
            storage=storage,
            url=storage_url(chosen),
            directory=backup_directory(chosen),
            every=timedelta(hours=chosen.backup.every_hours),
            keep=chosen.backup.keep,
            now=now,
        ),
        rules=Rules(
            tick=chosen.run.tick_seconds,
            drain=chosen.run.drain_seconds,
            lease=lease,
            resend_in_doubt=chosen.mail.in_doubt == "resend",
            retention_days=chosen.storage.retention_days,
            bodies_days=chosen.storage.bodies_days,
            polls_days=chosen.storage.polls_days,
            sources_at_once=chosen.poll.batch,
            pages_at_once=chosen.poll.page_batch,
            messages_at_once=chosen.smtp.connections,
            papers_at_once=chosen.scholarly.enrich_at_once,
        ),
    )


def _agent(chosen: Settings) -> str:
    return f"MedicalNewsMonitor/{__version__} ({chosen.fetch.contact or 'no contact given'})"


def _spans(chosen: Settings) -> Spans:
    otel = chosen.otel
    if not otel.url:
        return OFF
    headers = read_headers(otel.headers.get_secret_value())
    return ToCollector(otel.url, version=__version__, headers=headers, share=otel.share)


def _sandbox(chosen: Settings, spans: Spans) -> Sandbox:
    parse = chosen.parse
    return Sandbox(workers=parse.workers, timeout=parse.timeout, memory_mb=parse.memory_mb, spans=spans)


def _fetcher(chosen: Settings, spans: Spans) -> Fetcher:
    return Fetcher(
        user_agent=_agent(chosen),
        allow=frozenset(chosen.fetch.allow),
        in_flight=chosen.fetch.in_flight,
        host_delay=chosen.fetch.host_delay,
        timeout=chosen.fetch.timeout,
        limits=Limits(wire=chosen.fetch.max_bytes, unpacked=chosen.fetch.max_unpacked_bytes),
        spans=spans,
    )


def _access(chosen: Settings) -> Access:
    scholarly, contact = chosen.scholarly, chosen.fetch.contact.strip()
    return Access(
        contact=contact.removeprefix("mailto:") if "@" in contact and "://" not in contact else "",
        pubmed_key=scholarly.pubmed_key.get_secret_value(),
        pubmed_per_second=scholarly.pubmed_per_second,
        openalex_key=scholarly.openalex_key.get_secret_value(),
        first_days=scholarly.first_days,
        chunk=scholarly.chunk,
        max_results=scholarly.max_results,
        max_sitemaps=scholarly.max_sitemaps,
    )


def _bounds(chosen: Settings) -> Bounds:
    stories = chosen.stories
    return Bounds(
        title=timedelta(days=stories.title_days),
        text=timedelta(days=stories.text_days),
        share=stories.share,
        shared=stories.pieces,
    )


def _pacing(chosen: Settings) -> Pacing:
    poll = chosen.poll
    return Pacing(
        adapt=poll.adapt,
        least=timedelta(minutes=poll.least_minutes),
        most=timedelta(minutes=poll.most_minutes),
        full_feed=poll.full_feed,
        stale_after=timedelta(days=poll.stale_days),
        stale_gaps=poll.stale_gaps,
        gone=timedelta(days=poll.gone_days),
    )


def _patience(chosen: Settings) -> Patience:
    poll = chosen.poll
    return Patience(tries=poll.tries, first_wait=poll.first_wait, longest=poll.longest_wait)


def _enrichment(
    chosen: Settings, storage: Storage, fetcher: Fetcher, sandbox: Sandbox, matcher: Matcher, now: Clock
) -> Enrichment | None:
    scholarly = chosen.scholarly
    if not scholarly.enrich:
        return None
    again = timedelta(days=scholarly.again_days)
    tracer = Tracer(
        storage=storage,
        fetcher=fetcher,
        sandbox=sandbox,
        now=now,
        access=_access(chosen),
        crossref_url=scholarly.crossref_url,
        pubmed_url=scholarly.pubmed_url,
        patience=_patience(chosen),
        threshold=scholarly.trace_confidence,
        fresh=max(again, timedelta(days=1)),
    )
    return Enrichment(
        storage=storage,
        fetcher=fetcher,
        sandbox=sandbox,
        matcher=matcher,
        now=now,
        lease=timedelta(seconds=chosen.run.lease_seconds),
        access=_access(chosen),
        places=Places(
            pubmed=scholarly.pubmed_url,
            crossref=scholarly.crossref_url,
            unpaywall=scholarly.unpaywall_url,
            openalex=scholarly.openalex_url,
        ),
        patience=_patience(chosen),
        fresh=timedelta(days=scholarly.fresh_days),
        again=again,
        looks=scholarly.again_most,
        tracer=tracer if scholarly.trace else None,
    )


def _safety(
    chosen: Settings, storage: Storage, fetcher: Fetcher, sandbox: Sandbox, enrichment: Enrichment | None, now: Clock
) -> Safety:
    wanted, scholarly = chosen.retractions, chosen.scholarly
    watch = wanted.watch and scholarly.enrich
    preprints = (
        Preprints(
            storage=storage,
            enrichment=enrichment,
            now=now,
            base=scholarly.preprints_url,
            months=scholarly.preprint_months,
            every=timedelta(days=scholarly.preprint_days),
            patience=_patience(chosen),
        )
        if enrichment and scholarly.preprint_months
        else None
    )
    return Safety(
        storage=storage,
        fetcher=fetcher,
        sandbox=sandbox,
        now=now,
        directory=chosen.data_dir,
        access=_access(chosen),
        crossref_url=scholarly.crossref_url if watch else "",
        pubmed_url=scholarly.pubmed_url if watch else "",
        list_url=wanted.list_url,
        every=timedelta(days=wanted.every_days),
        list_every=timedelta(days=wanted.list_days),
        at_once=wanted.at_once,
        patience=_patience(chosen),
        preprints=preprints,
    )


def _mailbox(chosen: Settings) -> ImapPoller | None:
    imap = chosen.imap
    if not imap.host:
        return None
    return ImapPoller(
        host=imap.host,
        port=imap.port,
        username=imap.username,
        password=imap.password.get_secret_value(),
        folder=imap.folder,
    )


def _mailer(chosen: Settings) -> Mailer:
    return Exchange(_relay(chosen), Channels(read_channels(chosen.channels.urls.get_secret_value())))


def _relay(chosen: Settings) -> Mailer:
    smtp = chosen.smtp
    if not smtp.host:
        return MaildirMailer(chosen.data_dir / "maildir")
    return SmtpMailer(
        host=smtp.host,
        port=smtp.port,
        security=smtp.security,
        username=smtp.username,
        password=smtp.password.get_secret_value(),
        oauth_token=(lambda: _read_token(smtp.oauth_token_path)) if smtp.oauth_token_path else None,
        timeout=smtp.timeout,
        connections=smtp.connections,
        messages_per_connection=smtp.messages_per_connection,
        messages_per_minute=smtp.messages_per_minute or None,
        local_hostname=chosen.digest.list_domain,
    )


def _read_token(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RelayUnusable(f"the token file {path} cannot be read: {error}") from error


def _letterhead(chosen: Settings) -> Letterhead:
    digest = chosen.digest
    return Letterhead(
        sender=digest.sender,
        sender_name=digest.sender_name,
        reply_to=digest.reply_to,
        bounce_address=digest.bounce_address,
        list_domain=digest.list_domain,
        postal_address=digest.postal_address,
        contact=chosen.fetch.contact,
        version=__version__,
    )


async def _first_run(chosen: Settings, storage: Storage, now: datetime, own: Sequence[Source] | None) -> None:
    if await storage.sources.list() or await storage.topics.list():
        return
    sources, topics = first_run(chosen)
    await storage.sources.import_first_run(sources if own is None else own, topics, now)


def _make_data_dir(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise ConfigError(
            f"the data directory {path} cannot be made ({error.strerror}); set MONITOR_DATA_DIR"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"the data directory {path} is not writable for user {os.geteuid()}; set MONITOR_DATA_DIR")


def _secret(chosen: Settings) -> str:
    """The signing key: as set, or made once and kept where only we may read it."""
    if given := chosen.secret_key.get_secret_value():
        return given
    path = chosen.data_dir / "secret.key"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
        with contextlib.suppress(FileExistsError):  # another process was first: its key counts
            os.link(draft, path)
        draft.unlink()
    key = path.read_text(encoding="ascii").strip()
    if not key:
        raise ConfigError(f"{path} is empty; delete it (old links in mail will end) or set MONITOR_SECRET_KEY_FILE")
    return key
