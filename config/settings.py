"""Every setting: type, bound, default, unit and meaning. monitor.toml says the same to an operator (a test compares).

Order: environment (`MONITOR_SMTP__HOST`, or `MONITOR_SMTP__PASSWORD_FILE` naming a file with it) > file > default.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from monitor.errors import ConfigError

PREFIX = "MONITOR_"
CONFIG_VARIABLE = "MONITOR_CONFIG"  # names the file itself, so it is no setting in it
DEFAULT_FILE = Path(__file__).with_name("monitor.toml")

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def setting(default: T, description: str, **bounds: Any) -> T:
    field: T = Field(default, description=description, **bounds)
    return field


def _commas(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _networks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        ip_network(name)
    return names


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_commas)]  # in a variable with commas between
Networks = Annotated[Names, AfterValidator(_networks)]  # addresses, or networks as 10.0.0.0/8


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class FetchSettings(Section):
    """How publishers' servers are asked."""

    contact: str = setting("", "Address or URL in our User-Agent, so that a publisher can reach you.")
    timeout: float = setting(60, "Seconds for one complete answer, redirects included.", gt=0, le=600)
    in_flight: int = setting(16, "Requests at the same time, over all hosts.", ge=1, le=200)
    host_delay: float = setting(1.0, "Seconds between two requests to one host.", ge=0, le=60)
    max_bytes: int = setting(5_000_000, "Bytes of one answer as sent.", ge=10_000)
    max_unpacked_bytes: int = setting(20_000_000, "Bytes of one answer once unpacked.", ge=10_000)
    allow: Names = setting(
        (), "host:port of internal servers that may be fetched although their address is not public."
    )


class ParseSettings(Section):
    """Foreign bytes are parsed in child processes that may be killed."""

    workers: int = setting(2, "Child processes.", ge=1, le=64)
    timeout: float = setting(20, "Seconds until a child that does not finish is killed.", gt=0, le=600)
    memory_mb: int = setting(1024, "Megabytes of address space a child may use.", ge=256)


class PollSettings(Section):
    """When sources and article pages are visited."""

    interval_minutes: int = setting(60, "Minutes between two polls of a source that names no interval.", ge=1)
    adapt: bool = setting(
        True, "Learn each feed's interval from its own rhythm. false: every source keeps the interval it was given."
    )
    least_minutes: int = setting(
        15, "Least minutes between two polls that are learned: no feed of medical news loses entries faster.", ge=1
    )
    most_minutes: int = setting(
        360,
        "Most minutes between two polls that are learned: a daily digest is never missing a morning's papers.",
        ge=1,
    )
    full_feed: int = setting(
        5, "So many entries without one known among them mean that some came and went between two polls.", ge=2
    )
    stale_days: int = setting(14, "Days without anything new until a source that answers is reported as stale.", ge=1)
    stale_gaps: float = setting(
        10, "And so many times its usual gap between two entries: a quarterly is not stale after two weeks.", ge=1
    )
    gone_days: int = setting(7, "Days until a source that says it is gone for good (410) is asked again.", ge=1)
    tries: int = setting(
        5,
        "Tries of one request to an index such as PubMed within a visit: its limit is counted by the second.",
        ge=1,
        le=20,
    )
    first_wait: float = setting(1.0, "Seconds before such a second try; each further wait is doubled.", ge=0, le=60)
    longest_wait: float = setting(
        120,
        "Seconds that such a server may ask us to wait within a visit; for more the next visit is waited for.",
        ge=0,
    )
    batch: int = setting(50, "Sources claimed at a time.", ge=1, le=1000)
    page_batch: int = setting(50, "Article pages claimed at a time.", ge=1, le=1000)
    max_entries: int = setting(1000, "Entries read from one feed; what is beyond is counted and shown.", ge=1)


class ScholarlySettings(Section):
    """PubMed, Crossref and the other indexes: saved searches, and what they know of each paper. fetch.contact should be
    a mail address: Crossref is faster and Unpaywall answers at all only to those who name one.
    """

    pubmed_key: SecretStr = setting(
        SecretStr(""), "NCBI API key: 10 requests a second, not 3. Better: MONITOR_SCHOLARLY__PUBMED_KEY_FILE."
    )
    pubmed_per_second: float = setting(
        0, "Requests a second to PubMed. 0: what it allows (3, or 10 with a key).", ge=0, le=100
    )
    openalex_key: SecretStr = setting(
        SecretStr(""), "OpenAlex API key; without one it is not asked. Better: MONITOR_SCHOLARLY__OPENALEX_KEY_FILE."
    )
    first_days: int = setting(
        14, "Days that the first visit to an index looks back: two weekly digests.", ge=1, le=3650
    )
    chunk: int = setting(
        200, "Records asked for at once: a broken answer costs one chunk. PubMed advises 200.", ge=1, le=1000
    )
    max_results: int = setting(
        20_000, "A search that finds more in one visit is refused: its query cannot be meant.", ge=100
    )
    max_sitemaps: int = setting(
        20, "Files of one sitemap index that are read in one visit, newest first.", ge=1, le=1000
    )
    enrich: bool = setting(
        True, "Look up each article's paper: abstract, MeSH terms, publication types, open access, trial numbers."
    )
    enrich_at_once: int = setting(2, "Papers looked up at the same time.", ge=1, le=20)
    fresh_days: int = setting(30, "Days that what an index said of a paper is not asked for again.", ge=1)
    again_days: int = setting(
        5,
        "Days until a paper without MeSH terms is looked up again; each further wait is twice as long. 0: never.",
        ge=0,
    )
    again_most: int = setting(
        5, "So many times: after five days the last comes in five months, when PubMed has indexed what it will.",
        ge=1, le=10,
    )  # fmt: skip
    trace: bool = setting(
        True, "Ask Crossref and PubMed for the paper that matched news means, where it names a title but no DOI."
    )
    trace_confidence: float = setting(
        0.8,
        "So sure it must be (0.5 to 1). At 0.8 the paper's title stands in the news, and its journal or an author, and"
        " its date fits; at 0.9 two of these. A wrong paper misleads; a missing one is only missing.",
        ge=0.5, le=1,
    )  # fmt: skip
    preprint_months: int = setting(
        24,
        "Months after it was mailed that bioRxiv and medRxiv are asked what became of a preprint: most that get"
        " published are so within a year, nearly all within two. 0: not asked.",
        ge=0, le=120,
    )  # fmt: skip
    preprint_days: int = setting(14, "Days until the same preprint is asked about again.", ge=1, le=365)
    pubmed_url: str = setting("https://eutils.ncbi.nlm.nih.gov/entrez/eutils/", "E-utilities, for looking papers up.")
    crossref_url: str = setting("https://api.crossref.org/", "Crossref, for looking papers up.")
    unpaywall_url: str = setting("https://api.unpaywall.org/v2/", "Unpaywall. Empty: not asked.")
    openalex_url: str = setting("https://api.openalex.org/", "OpenAlex.")
    preprints_url: str = setting("https://api.biorxiv.org/", "bioRxiv and medRxiv, for what became of preprints.")


class RetractionSettings(Section):
    """Notices about papers that were mailed: retractions, expressions of concern, corrections."""

    watch: bool = setting(True, "Ask Crossref and PubMed (scholarly.*_url) about every paper that was mailed.")
    every_days: int = setting(7, "Days until the same paper is asked about again.", ge=1, le=365)
    at_once: int = setting(
        500,
        "Papers asked about in one round of ten minutes; 20 share a request to Crossref, 200 to PubMed.",
        ge=20,
        le=10_000,
    )
    list_url: str = setting(
        "", "Address of the Retraction Watch CSV. Empty: it is not fetched, `monitor retractions import` takes a file."
    )
    list_days: int = setting(7, "Days until that list is fetched again.", ge=1, le=365)


class StorySettings(Section):
    """When two articles are about the same study (docs/stories.md), where no DOI or paper's title says so."""

    title_days: int = setting(
        7, "Days within which one title in two sources is one story; later it is a column, or another.", ge=1, le=365
    )
    text_days: int = setting(
        14, "Days within which texts are compared: releases are printed within two weeks.", ge=1, le=90
    )
    share: float = setting(
        0.4,
        "Part of the shorter text's three-word pieces that both must hold. Less joins more edited copies, and more of"
        " what is only alike: at 0.3 the measured precision falls from .995 to .96.",
        ge=0.1, le=1,
    )  # fmt: skip
    pieces: int = setting(4, "And so many of those pieces at the least: a teaser of two lines proves nothing.", ge=1)


class DigestSettings(Section):
    """What a digest holds."""

    horizon_days: int = setting(
        90, "What was stored longer ago than this many days and not sent is not news any more.", ge=1
    )
    late_days: int = setting(
        180,
        "What was older than this many days by its own date when it came is kept, but no news: an index may be months"
        " late with a paper, a site that lists its old articles anew is years late.",
        ge=1,
    )
    first_visit_days: int = setting(
        14, "The same for what a new feed or list page already showed at its first visit: two weekly digests.", ge=1
    )
    list_domain: str = setting("localhost", "Domain in Message-ID and List-Id; yours, and the one your DKIM signs.")
    sender: str = setting("digest@localhost", "From address.")
    sender_name: str = setting("Medical News Monitor", "From name, and the name of the digest.")
    reply_to: str = setting("", "A mailbox that somebody reads. Empty: the sender.")
    postal_address: str = setting("", "Shown in the footer of each digest, as some laws ask.")
    bounce_address: str = setting(
        "", "Mailbox for bounces, as local@domain; sub-addresses are added. Empty: the sender."
    )


class MailSettings(Section):
    """How messages leave."""

    in_doubt: Literal["resend", "hold"] = setting(
        "resend",
        "A message whose acceptance is unknown: send once more with the same Message-ID, or wait for an admin.",
    )


class SmtpSettings(Section):
    """The relay. Without a host, mail is kept in a Maildir below the data directory."""

    host: str = setting("", "Host name of the relay. Empty: Maildir.")
    port: int = setting(587, "Port.", ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = setting(
        "starttls", "starttls (587), tls (465) or none (25, inside)."
    )
    username: str = setting("", "Login, where the relay wants one.")
    password: SecretStr = setting(SecretStr(""), "Password. Better: MONITOR_SMTP__PASSWORD_FILE.")
    oauth_token_path: str = setting(
        "",
        "File with the current XOAUTH2 access token instead of a password; read at each login, kept fresh by others.",
    )
    timeout: float = setting(60, "Seconds for one message.", gt=0, le=600)
    connections: int = setting(4, "Connections at the same time.", ge=1, le=50)
    messages_per_connection: int = setting(50, "Messages before a connection is renewed.", ge=1)
    messages_per_minute: float = setting(25, "Messages a minute over all connections. 0: no limit.", ge=0)


class ImapSettings(Section):
    """The mailbox that bounces arrive in. Without a host it is not read."""

    host: str = setting("", "Host name. Empty: bounces are only read by `monitor bounces import`.")
    port: int = setting(993, "Port (TLS).", ge=1, le=65535)
    username: str = setting("", "Login.")
    password: SecretStr = setting(SecretStr(""), "Password. Better: MONITOR_IMAP__PASSWORD_FILE.")
    folder: str = setting("INBOX", "Folder.")


class ChannelSettings(Section):
    """Channels that get digests like a reader: `monitor subscribers add channel:NAME`. Needs the extra `channels`."""

    urls: SecretStr = setting(
        SecretStr(""), "One channel a line: NAME and its Apprise address. Better: MONITOR_CHANNELS__URLS_FILE."
    )


class OidcSettings(Section):
    """Single sign-on by OpenID Connect (docs/operations.md). Needs the extra `oidc`; no issuer: none."""

    issuer: str = setting(
        "", "Address of the identity provider, exactly as its discovery document names it. Empty: no single sign-on."
    )
    private: bool = setting(
        False, "The issuer's address is not public: ask that very host and port all the same. Allows http:// for it."
    )
    client_id: str = setting(
        "",
        "As the provider knows us. Redirect address: MONITOR_WEB__BASE_URL/login/oidc/callback.",
    )
    client_secret: SecretStr = setting(
        SecretStr(""), "Empty: a public client. Better: MONITOR_WEB__OIDC__CLIENT_SECRET_FILE."
    )
    scopes: Names = setting(("openid", "email", "profile"), "What the provider is asked to tell.")
    label: str = setting("Log in with single sign-on", "The button on the login page.", min_length=1, max_length=80)
    domains: Names = setting((), "Only addresses of these domains come in. Empty: all that the provider vouches for.")
    trust_email: bool = setting(
        False, "Take an address that the provider does not call verified: for one that checks all, and does not say so."
    )
    create: bool = setting(False, "Whoever comes is made a user. false: only those who are users already come in.")
    groups_claim: str = setting(
        "groups", "Claim that lists somebody's groups; a dot leads into an object.", min_length=1
    )
    admins: Names = setting((), "Groups whose members are admins.")
    editors: Names = setting((), "Groups whose members are editors.")
    viewers: Names = setting(
        (), "Groups whose members are viewers. With any group set, the provider decides each role."
    )
    role: Literal["", "viewer", "editor", "admin"] = setting(
        "viewer", "Role of new users, and of members of none of these groups. Empty: members of none do not come in."
    )
    only: bool = setting(
        False, "No login by password. Links of `monitor users` still open the door, should the provider fail."
    )


class WebSettings(Section):
    """The web server of `monitor run`."""

    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(8000, "Port.", ge=0, le=65535)
    base_url: str = setting(
        "", "Public https address of this server, for links in mail. Empty: mails carry no web links."
    )
    proxies: Networks = setting(
        (), "Addresses or networks of proxies before this server: whom they name in X-Forwarded-For is who asks."
    )
    oidc: OidcSettings = OidcSettings()


class RunSettings(Section):
    """The heartbeat of `monitor run`, or of scheduler and workers."""

    engine: Literal["inprocess", "procrastinate"] = setting(
        "inprocess", "procrastinate: `monitor scheduler` and `monitor worker`, any number, on one PostgreSQL."
    )
    concurrency: int = setting(20, "Servers that one worker visits at the same time (procrastinate).", ge=1, le=500)
    tick_seconds: float = setting(5, "Seconds between two looks for what is due.", gt=0, le=3600)
    lease_seconds: int = setting(20, "Seconds a source, page or message may stay claimed without a sign of life.", ge=5)
    drain_seconds: float = setting(25, "Seconds to finish what is running after SIGTERM.", gt=0, le=600)
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "Least level that is logged.")
    log_format: Literal["auto", "text", "json"] = setting(
        "auto", "auto: text on a terminal, else one JSON object a line."
    )
    admin: Names = setting(
        (), "Addresses, or channel:NAME, that hear of each error once, and once more when it is over. Empty: nobody."
    )
    silence_hours: float = setting(
        12, "Hours without one source read successfully until that is an error of its own.", gt=0, le=720
    )


class MetricsSettings(Section):
    """Figures for Prometheus: /metrics on the web server for who has the token, or on a port of its own."""

    token: SecretStr = setting(
        SecretStr(""), "Bearer token. Empty: the web server has no /metrics. Better: MONITOR_METRICS__TOKEN_FILE."
    )
    host: str = setting("127.0.0.1", "Address of the port of its own; other than loopback only with a token.")
    port: int = setting(0, "Port of its own, which also answers /healthz and /readyz. 0: none.", ge=0, le=65535)


class OtelSettings(Section):
    """Traces for an OpenTelemetry collector: each visit and message, step by step. Needs the extra `otel`."""

    url: str = setting("", "The collector's OTLP/HTTP address, such as http://collector:4318. Empty: no traces.")
    headers: SecretStr = setting(
        SecretStr(""), "Headers for it, NAME=VALUE with commas between. Better: MONITOR_OTEL__HEADERS_FILE."
    )
    share: float = setting(1.0, "Share of the visits and messages that is traced, 0 to 1.", ge=0, le=1)


class StorageSettings(Section):
    """What is kept, where, and for how long."""

    url: SecretStr = setting(
        SecretStr(""),
        "postgresql://user:password@host/name. Empty: SQLite in the data directory. Better: MONITOR_STORAGE__URL_FILE.",
    )
    retention_days: int = setting(
        0, "Articles older than this many days are deleted unless mailed or labelled. 0: keep all.", ge=0
    )
    bodies_days: int = setting(
        400, "Days that the text of a sent message is kept; that it was sent is kept for good. 0: keep all.", ge=0
    )
    polls_days: int = setting(400, "Days that visits to sources, and notices that are over, are kept.", ge=1)


class BackupSettings(Section):
    """Copies of the database, made by the running program (the leading scheduler) and checked by restoring."""

    every_hours: int = setting(
        24, "Hours between two backups. 0: none, when `monitor backup` is called by a timer of yours.", ge=0, le=720
    )
    keep: int = setting(7, "Backups kept in the directory: a week, when one is made a day.", ge=1, le=1000)
    directory: str = setting("", "Where they are put; another disk, at best. Empty: `backups` in the data directory.")


class Settings(BaseSettings):
    """All of it. Read once, by monitor.app, and by nobody else."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    data_dir: Path = setting(Path("data"), "Directory for the database, the Maildir and the signing key.")
    secret_key: SecretStr = setting(
        SecretStr(""),
        "Signs links in mail. Empty: made at first start, kept in the data directory. Better: MONITOR_SECRET_KEY_FILE.",
    )
    fetch: FetchSettings = FetchSettings()
    parse: ParseSettings = ParseSettings()
    poll: PollSettings = PollSettings()
    scholarly: ScholarlySettings = ScholarlySettings()
    retractions: RetractionSettings = RetractionSettings()
    stories: StorySettings = StorySettings()
    digest: DigestSettings = DigestSettings()
    mail: MailSettings = MailSettings()
    smtp: SmtpSettings = SmtpSettings()
    imap: ImapSettings = ImapSettings()
    channels: ChannelSettings = ChannelSettings()
    web: WebSettings = WebSettings()
    run: RunSettings = RunSettings()
    metrics: MetricsSettings = MetricsSettings()
    otel: OtelSettings = OtelSettings()
    storage: StorageSettings = StorageSettings()
    backup: BackupSettings = BackupSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return _Environment(settings_cls), init_settings

    def redacted(self) -> dict[str, Any]:
        """Every value as plain data, secrets as "(set)" or ""."""
        return _redact(self)


class _Environment(EnvSettingsSource):
    """The environment, with each `…_FILE` replaced by what its file holds."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return _with_files(
            {name.lower(): value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
        )


def load(path: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings in force; `overrides` (`smtp__host`) win over file and environment.

    Raises ConfigError that names the wrong key or value, its place, and the nearest right one.
    """
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else DEFAULT_FILE)
    values = _read_file(named)
    _check_variables(os.environ)
    try:
        settings = Settings(**values)
        return _overridden(settings, overrides or {})
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem, named) for problem in error.errors())) from error


def _overridden(settings: Settings, overrides: Mapping[str, object]) -> Settings:
    for key, value in overrides.items():
        settings = _with(settings, key.split("__"), value)
    return settings


def _with(section: M, path: Sequence[str], value: object) -> M:
    """A copy with one value replaced, and the section that holds it checked."""
    name, *further = path
    if further:
        value = _with(getattr(section, name), further, value)
    elif isinstance(section, Section):
        return type(section).model_validate({**section.model_dump(), name: value})
    return section.model_copy(update={name: value})


def known_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings: "data_dir", "smtp.host", …"""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def variable(key: str) -> str:
    """The environment variable of a setting: "smtp.host" is MONITOR_SMTP__HOST."""
    return PREFIX + key.replace(".", "__").upper()


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name another with {CONFIG_VARIABLE} or --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    known = set(known_keys())
    for key in _flat(values):
        if key not in known:
            raise ConfigError(f"{path}:{_line_of(text, key)}: unknown setting {key!r}{_nearest(key, known)}")
    return values


def _check_variables(environment: Mapping[str, str]) -> None:
    known = {variable(key) for key in known_keys()}
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or upper == CONFIG_VARIABLE:
            continue
        if upper.endswith("_FILE") and upper.removesuffix("_FILE") in known:
            continue
        raise ConfigError(f"environment: unknown variable {name}{_nearest(upper, known)}")


def _with_files(variables: dict[str, str]) -> dict[str, str | None]:
    known = {variable(key).lower() for key in known_keys()}
    values: dict[str, str | None] = {}
    for name, value in variables.items():
        target = name.removesuffix("_file")
        if name in known or target not in known:
            values[name] = value
            continue
        if target in variables:
            raise ConfigError(f"environment: {target.upper()} and {name.upper()} are both set; keep one")
        try:
            values[target] = Path(value).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"environment: {name.upper()}={value}: cannot be read ({error})") from error
    return values


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.") if value else iter([prefix + key])
        else:
            yield prefix + key


def _line_of(text: str, key: str) -> int:
    """The line that sets a dotted key; tomllib does not tell. 1 where it is written in some unusual way."""
    section, _, name = key.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            current = header[1]
        if (current == section and re.match(rf"\s*{re.escape(name)}\s*=", line)) or current == key:
            return number
        if current.startswith(key + "."):
            return number
    return 1


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else "; `monitor config show` lists them all"


def _explain(problem: Any, path: Path) -> str:
    key = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int))
    where = variable(key) if variable(key) in {name.upper() for name in os.environ} else f"in {path}"
    value = (
        ""
        if "password" in key
        or "secret" in key
        or "token" in key
        or key.endswith("_key")
        or key in {"storage.url", "channels.urls"}
        else f" = {problem['input']!r}"
    )
    return f"setting {key}{value} ({where}): {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _redact(model: BaseModel) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            shown[name] = _redact(value)
        elif isinstance(value, SecretStr):
            shown[name] = "(set)" if value.get_secret_value() else ""
        else:
            shown[name] = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    return shown
