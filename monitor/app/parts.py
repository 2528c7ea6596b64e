"""What one section of the settings says, as the value or service that it is about."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from config import Settings
from monitor import __version__
from monitor.deliver import MaildirMailer, Mailer, SmtpMailer
from monitor.deliver.channels import Channels, Exchange, read_channels
from monitor.deliver.imap import ImapPoller
from monitor.digest import Letterhead, News
from monitor.errors import RelayUnusable
from monitor.fetch import Fetcher, Limits
from monitor.parse.asking import Access
from monitor.pipeline import Rules
from monitor.pipeline.harvest import Patience
from monitor.sandbox import Sandbox
from monitor.schedule import Pacing
from monitor.spans import OFF, Spans, ToCollector, read_headers
from monitor.story.settle import Bounds


def agent(chosen: Settings) -> str:
    return f"MedicalNewsMonitor/{__version__} ({chosen.fetch.contact or 'no contact given'})"


def spans_of(chosen: Settings) -> Spans:
    otel = chosen.otel
    if not otel.url:
        return OFF
    headers = read_headers(otel.headers.get_secret_value())
    return ToCollector(otel.url, version=__version__, headers=headers, share=otel.share)


def sandbox_of(chosen: Settings, spans: Spans) -> Sandbox:
    parse = chosen.parse
    return Sandbox(workers=parse.workers, timeout=parse.timeout, memory_mb=parse.memory_mb, spans=spans)


def fetcher_of(chosen: Settings, spans: Spans) -> Fetcher:
    return Fetcher(
        user_agent=agent(chosen),
        allow=frozenset(chosen.fetch.allow),
        in_flight=chosen.fetch.in_flight,
        host_delay=chosen.fetch.host_delay,
        timeout=chosen.fetch.timeout,
        limits=Limits(wire=chosen.fetch.max_bytes, unpacked=chosen.fetch.max_unpacked_bytes),
        spans=spans,
    )


def access_of(chosen: Settings) -> Access:
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


def bounds_of(chosen: Settings) -> Bounds:
    stories = chosen.stories
    return Bounds(
        title=timedelta(days=stories.title_days),
        text=timedelta(days=stories.text_days),
        share=stories.share,
        shared=stories.pieces,
    )


def pacing_of(chosen: Settings) -> Pacing:
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


def patience_of(chosen: Settings) -> Patience:
    poll = chosen.poll
    return Patience(tries=poll.tries, first_wait=poll.first_wait, longest=poll.longest_wait)


def news_of(chosen: Settings) -> News:
    digest = chosen.digest
    return News(late=timedelta(days=digest.late_days), first=timedelta(days=digest.first_visit_days))


def rules_of(chosen: Settings) -> Rules:
    run, kept, poll = chosen.run, chosen.storage, chosen.poll
    return Rules(
        tick=run.tick_seconds,
        drain=run.drain_seconds,
        lease=timedelta(seconds=run.lease_seconds),
        resend_in_doubt=chosen.mail.in_doubt == "resend",
        retention_days=kept.retention_days,
        bodies_days=kept.bodies_days,
        polls_days=kept.polls_days,
        sources_at_once=poll.batch,
        pages_at_once=poll.page_batch,
        messages_at_once=chosen.smtp.connections,
        papers_at_once=chosen.scholarly.enrich_at_once,
    )


def mailbox_of(chosen: Settings) -> ImapPoller | None:
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


def mailer_of(chosen: Settings) -> Mailer:
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


def letterhead_of(chosen: Settings) -> Letterhead:
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
