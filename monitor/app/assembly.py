"""Services and settings put together: the Monitor, and the identity provider beside it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from config import Settings
from monitor.app.parts import access_of, agent, letterhead_of, mailbox_of, news_of, pacing_of, patience_of, rules_of
from monitor.app.places import backup_directory, secret_key, storage_url, web_address
from monitor.deliver import Breaker, Mailer
from monitor.digest import Letterhead, Links
from monitor.errors import ConfigError
from monitor.fetch import Fetcher
from monitor.match import Matcher
from monitor.meter import Meter
from monitor.model import Role as UserRole
from monitor.pipeline import Bounces, Ingest, Monitor, Publisher, Readers, Sender
from monitor.pipeline.alerts import Alerts
from monitor.pipeline.backups import Backups
from monitor.pipeline.enrich import Enrichment, Places
from monitor.pipeline.preprints import Preprints
from monitor.pipeline.safety import Safety
from monitor.pipeline.trace import Tracer
from monitor.pipeline.tuning import Tuning
from monitor.pipeline.users import Users
from monitor.sandbox import Sandbox
from monitor.spans import Spans
from storage import Storage

if TYPE_CHECKING:
    from monitor.pipeline.sign_on import SignOn

Clock = Callable[[], datetime]


def monitor_of(
    chosen: Settings,
    storage: Storage,
    fetcher: Fetcher,
    sandbox: Sandbox,
    mailer: Mailer,
    links: Links,
    now: Clock,
    spans: Spans,
) -> Monitor:
    matcher, meter, letterhead = Matcher(), Meter(), letterhead_of(chosen)
    enrichment = _enrichment(chosen, storage, fetcher, sandbox, matcher, now)
    bounces = Bounces(
        storage=storage,
        now=now,
        secret=secret_key(chosen).encode(),
        domain=letterhead.envelope_sender.rpartition("@")[2],
        meter=meter,
    )
    return Monitor(
        storage=storage,
        ingest=Ingest(
            storage=storage,
            fetcher=fetcher,
            sandbox=sandbox,
            matcher=matcher,
            now=now,
            lease=timedelta(seconds=chosen.run.lease_seconds),
            max_entries=chosen.poll.max_entries,
            access=access_of(chosen),
            pacing=pacing_of(chosen),
            patience=patience_of(chosen),
            meter=meter,
            spans=spans,
        ),
        publisher=Publisher(
            storage=storage,
            letterhead=letterhead,
            links=links,
            now=now,
            horizon=timedelta(days=chosen.digest.horizon_days),
            news=news_of(chosen),
            meter=meter,
            spans=spans,
        ),
        sender=Sender(
            storage=storage,
            mailer=mailer,
            now=now,
            lease=timedelta(seconds=chosen.run.lease_seconds),
            breaker=Breaker(),
            bounces=bounces,
            bounces_to=chosen.digest.bounce_address,
            meter=meter,
            spans=spans,
        ),
        readers=Readers(storage=storage, letterhead=letterhead, links=links, now=now, meter=meter),
        tuning=Tuning(storage=storage, now=now),
        users=Users(storage=storage, now=now),
        bounces=bounces,
        mailbox=mailbox_of(chosen),
        safety=_safety(chosen, storage, fetcher, sandbox, enrichment, now),
        enrichment=enrichment,
        matcher=matcher,
        now=now,
        meter=meter,
        spans=spans,
        alerts=_alerts(chosen, storage, mailer, letterhead, links, now),
        backups=_backups(chosen, storage, now),
        rules=rules_of(chosen),
    )


def _alerts(
    chosen: Settings, storage: Storage, mailer: Mailer, letterhead: Letterhead, links: Links, now: Clock
) -> Alerts:
    return Alerts(
        storage=storage,
        mailer=mailer,
        letterhead=letterhead,
        links=links,
        now=now,
        to=chosen.run.admin,
        silence=timedelta(hours=chosen.run.silence_hours),
        data_dir=chosen.data_dir,
        backup_every=timedelta(hours=chosen.backup.every_hours),
    )


def _backups(chosen: Settings, storage: Storage, now: Clock) -> Backups:
    return Backups(
        storage=storage,
        url=storage_url(chosen),
        directory=backup_directory(chosen),
        every=timedelta(hours=chosen.backup.every_hours),
        keep=chosen.backup.keep,
        now=now,
    )


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
        access=access_of(chosen),
        crossref_url=scholarly.crossref_url,
        pubmed_url=scholarly.pubmed_url,
        patience=patience_of(chosen),
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
        access=access_of(chosen),
        places=Places(
            pubmed=scholarly.pubmed_url,
            crossref=scholarly.crossref_url,
            unpaywall=scholarly.unpaywall_url,
            openalex=scholarly.openalex_url,
        ),
        patience=patience_of(chosen),
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
            patience=patience_of(chosen),
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
        access=access_of(chosen),
        crossref_url=scholarly.crossref_url if watch else "",
        pubmed_url=scholarly.pubmed_url if watch else "",
        list_url=wanted.list_url,
        every=timedelta(days=wanted.every_days),
        list_every=timedelta(days=wanted.list_days),
        at_once=wanted.at_once,
        patience=patience_of(chosen),
        preprints=preprints,
    )


@contextlib.asynccontextmanager
async def sign_on_of(chosen: Settings, users: Users, now: Clock) -> AsyncIterator[SignOn | None]:
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
    async with Fetcher(user_agent=agent(chosen), allow=allow, host_delay=0, timeout=10) as fetcher:
        yield SignOn(
            client=client, admission=admission, label=oidc.label, only=oidc.only, fetcher=fetcher, users=users, now=now,
            secret=secret_key(chosen),
        )  # fmt: skip
