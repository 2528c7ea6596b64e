"""One client for the process's life. Its promise of each answer: complete, bounded, in time, from a public address."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import urlencode

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from monitor.errors import FetchError, FetchRefused, FetchStatus, FetchTimeout, FetchTooLarge
from monitor.fetch import answer
from monitor.fetch.explain import explained, redirected
from monitor.fetch.guard import Gate, Lookup, Target, check_url, follow, shown, system_lookup
from monitor.fetch.inflate import Inflater
from monitor.fetch.polite import Servers
from monitor.fetch.robots import MAX_BYTES as ROBOTS_BYTES
from monitor.fetch.robots import Robots
from monitor.model import Fetched, Validators
from monitor.spans import OFF, Spans

REDIRECTS = (301, 302, 303, 307, 308)
PERMANENT = (301, 308)
OK = 200
NOT_MODIFIED = 304
TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503
DEFAULT_REST = 60.0  # seconds, after a 429 that names none
SHORT_REST = 3.0  # the same, of a server whose pace is counted by the second
CONNECT_TIMEOUT = {"connect": 15.0}
ROBOTS_SECONDS = 30.0
ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, text/html;q=0.9, */*;q=0.8"
NO_VALIDATORS = Validators()


Write = Callable[[bytes], object]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of one answer is taken, in bytes: `wire` as sent, `unpacked` after its Content-Encoding is undone,
    `header_line` one header (there may be `headers` of them). `redirects` is the number of hops followed.
    """

    wire: int = 5_000_000
    unpacked: int = 20_000_000
    header_line: int = 16_000
    headers: int = 128
    redirects: int = 5


LARGE = Limits(wire=20_000_000, unpacked=80_000_000)  # sitemaps: 50 MB by their standard
BULK = Limits(wire=2_000_000_000, unpacked=8_000_000_000)  # files that are streamed to disk


class _NoCookies(aiohttp.DummyCookieJar):
    """Remembers nothing, and does not even read what it is sent."""

    def update_cookies_from_headers(self, headers: object, response_url: object) -> None: ...


class Fetcher:
    """Fetches addresses, politely. Raises only FetchError (and CancelledError), whatever address or answer comes.

    `allow` lists `host:port` of servers that may be asked though their address or port is not public: compared exactly.
    `host_delay` is in seconds between the starts of two requests to one server; `timeout` the total for one answer,
    redirects included, time spent waiting for a turn not. `lookup` stands in for the system's resolver.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        allow: Iterable[str] = frozenset(),
        in_flight: int = 16,
        host_delay: float = 1.0,
        timeout: float = 60,
        limits: Limits = Limits(),
        lookup: Lookup = system_lookup,
        spans: Spans = OFF,
    ) -> None:
        if not re.fullmatch(r"[\x20-\x7e]+", user_agent):
            raise ValueError("a user agent is one line of ASCII")
        self._user_agent = user_agent
        self._allow = frozenset(entry.strip().lower() for entry in allow)
        self._timeout = timeout
        self._limits = limits
        self._gate = Gate(self._allow, lookup=lookup)
        self._servers = Servers(host_delay, in_flight)
        self._robots = Robots(re.split(r"[/\s]", user_agent, maxsplit=1)[0], self._read_robots)
        self._transport: AiohttpTransport | None = None
        self._spans = spans

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None
        await self._gate.close()

    async def get(
        self,
        url: str,
        *,
        validators: Validators = NO_VALIDATORS,
        robots: bool = False,
        accept: str = ACCEPT,
        form: Pairs = (),
        keys: Pairs = (),
        authorization: str = "",
        delay: float | None = None,
        limits: Limits | None = None,
    ) -> Fetched:
        """The whole content of an address, or word that it has not changed since `validators` were given.

        `robots`: respect robots.txt (for pages; a feed is there to be read by robots). `form` is sent by POST, which no
        redirect is followed for. `keys` are parameters that only the server itself sees: they stand in no error, log or
        result, and go to no other server. `authorization` is the header of that name, likewise. `delay` is what this
        server allows, in seconds between two requests.
        """
        body = bytearray()
        wanted = limits or self._limits
        ask = _Ask(url, validators, accept, robots, wanted, self._timeout, form, keys, delay, authorization)
        fetched = await self._fetch(ask, body.extend)
        if fetched.unchanged:
            return fetched
        content = bytes(body)
        if answer.is_challenge(content):
            raise FetchStatus(url, fetched.status, f"HTTP {fetched.status}, but {answer.CHALLENGE}")
        return replace(fetched, body=content)

    async def download(
        self,
        url: str,
        to: Path,
        *,
        validators: Validators = NO_VALIDATORS,
        limits: Limits = BULK,
        timeout: float = 1800,  # noqa: ASYNC109 - for the whole answer, as in the constructor
    ) -> Fetched:
        """Stream a bulk file to `to`, which appears only when complete; unchanged leaves it. `body` stays empty."""
        part = to.with_name(to.name + ".part")
        try:
            with await asyncio.to_thread(part.open, "wb", 1 << 20) as file:
                fetched = await self._fetch(_Ask(url, validators, "*/*", False, limits, timeout), _writer(url, file))
            if not fetched.unchanged:
                await asyncio.to_thread(part.replace, to)
        except OSError as error:  # the disk's, not the network's: that is a FetchError by now
            raise _unwritable(url, error) from error
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)
        return fetched

    async def _read_robots(self, url: str) -> bytes:
        body = bytearray()
        limits = replace(self._limits, unpacked=min(self._limits.unpacked, 4 * ROBOTS_BYTES))
        await self._fetch(
            _Ask(url, NO_VALIDATORS, "text/plain", False, limits, min(self._timeout, ROBOTS_SECONDS)), body.extend
        )
        return bytes(body)

    async def _fetch(self, ask: _Ask, write: Write) -> Fetched:
        target = check_url(ask.url, self._allow)
        with self._spans.span("fetch", host=target.server) as span:
            fetched = await self._through(ask, target, write)
            span.tell(status=fetched.status, unchanged=fetched.unchanged)
            return fetched

    async def _through(self, ask: _Ask, target: Target, write: Write) -> Fetched:
        """Follow the redirects by hand, each checked as if it were new; what a redirect's body holds is never read."""
        left = ask.timeout
        permanent = True
        asked_for, origin = target.server, target.origin
        if ask.delay is not None:
            self._servers.allow_at_first(asked_for, ask.delay)
        for hop in range(ask.limits.redirects + 1):
            try:
                if target.server != asked_for:
                    ask = replace(ask, keys=())
                if target.origin != origin:  # also where only the encryption is gone
                    ask = replace(ask, authorization="")
                if ask.robots:
                    self._servers.slow_down(target.server, await self._robots.check(target))
                async with self._servers.turn(target.server, target.url):
                    started = time.monotonic()
                    got = await self._hop(ask, target, left, write)
                    left -= time.monotonic() - started
                if isinstance(got, Fetched):
                    return replace(got, moved_to=target.url if hop and permanent else "")
                status, location = got
                if ask.form:
                    raise FetchRefused(ask.url, f"HTTP {status}: a form is not sent on to another address")
                permanent = permanent and status in PERMANENT
                following = self._follow(ask, target, location)
            except FetchError as error:
                if hop == 0:
                    raise
                raise redirected(ask.url, target.url, error) from error
            target = following
        raise FetchRefused(ask.url, f"more than {ask.limits.redirects} redirects, the last to {target.url}")

    def _follow(self, ask: _Ask, target: Target, location: str) -> Target:
        try:
            return follow(target, location, self._allow)
        except FetchRefused as error:
            raise redirected(ask.url, shown(location), error) from error

    async def _hop(self, ask: _Ask, target: Target, seconds: float, write: Write) -> Fetched | tuple[int, str]:
        """One request within its time: its content, or the status and Location of a redirect."""
        url = target.url
        try:
            async with asyncio.timeout(seconds):
                async with self._send(ask, target) as response:
                    location = response.headers.get("location", "").strip()
                    if response.status_code in REDIRECTS and location:
                        return response.status_code, location
                    return await self._content(ask, target, response, write)
        except TimeoutError as error:
            raise FetchTimeout(url, f"no complete answer within {ask.timeout:g} s") from error
        except FetchError:
            raise
        except Exception as error:  # five libraries read foreign bytes here: what they raise is this address's trouble
            raise explained(url, error) from error

    async def _content(self, ask: _Ask, target: Target, response: httpx.Response, write: Write) -> Fetched:
        status, headers, known = response.status_code, response.headers, ask.validators
        if (pace := answer.pace(headers)) is not None:
            self._servers.allow(target.server, pace)
        asked = bool(answer.sendable(known.etag) or answer.sendable(known.last_modified))
        if status == NOT_MODIFIED and asked:
            fresh = answer.validators(headers, known.body_hash)
            kept = replace(
                fresh, etag=fresh.etag or known.etag, last_modified=fresh.last_modified or known.last_modified
            )
            return self._fetched(ask, target, response, kept, unchanged=True)
        if status != OK or answer.is_challenge_by_header(headers):
            raise self._failure(target, status, headers, SHORT_REST if ask.delay is not None else DEFAULT_REST)
        digest = await _receive(target.url, response, ask.limits, write)
        return self._fetched(
            ask, target, response, answer.validators(headers, digest), unchanged=digest == known.body_hash
        )

    def _fetched(
        self, ask: _Ask, target: Target, response: httpx.Response, validators: Validators, *, unchanged: bool
    ) -> Fetched:
        return Fetched(
            url=ask.url,
            final_url=target.url,
            status=response.status_code,
            content_type=response.headers.get("content-type", "")[:200],
            validators=validators,
            unchanged=unchanged,
            max_age=answer.max_age(response.headers),
            date=answer.date(response.headers),
        )

    def _failure(self, target: Target, status: int, headers: httpx.Headers, short: float) -> FetchStatus:
        reason = answer.status_reason(status, headers)
        seconds = answer.retry_after(headers, datetime.now(UTC))
        rest = short if status == TOO_MANY_REQUESTS and seconds is None else seconds
        if rest and status in (TOO_MANY_REQUESTS, UNAVAILABLE):
            self._servers.rest(target.server, rest, status, reason)
        return FetchStatus(target.url, status, reason, seconds)

    @asynccontextmanager
    async def _send(self, ask: _Ask, target: Target) -> AsyncIterator[httpx.Response]:
        """One request by httpx's transport, without its client: that would read redirects and cookies on its own."""
        request = httpx.Request(
            "POST" if ask.form else "GET",
            _with(target.url, ask.keys),
            headers=self._headers(ask),
            content=urlencode(ask.form).encode() if ask.form else None,
            extensions={"timeout": CONNECT_TIMEOUT},
        )
        response = await self._open().handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()

    def _headers(self, ask: _Ask) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"User-Agent", self._user_agent.encode()),
            (b"Accept", ask.accept.encode("ascii", "replace")),
            (b"Accept-Encoding", b"gzip, deflate"),
        ]
        if ask.form:
            headers.append((b"Content-Type", b"application/x-www-form-urlencoded"))
        if ask.authorization:
            headers.append((b"Authorization", ask.authorization.encode("ascii")))
        if etag := answer.sendable(ask.validators.etag):
            headers.append((b"If-None-Match", etag.encode()))
        if last_modified := answer.sendable(ask.validators.last_modified):
            headers.append((b"If-Modified-Since", last_modified.encode()))
        return headers

    def _open(self) -> AiohttpTransport:
        """The one transport, made at its first use: it belongs to the running loop."""
        if self._transport is None:
            context = _tls()
            connector = aiohttp.TCPConnector(
                ssl=context, resolver=self._gate, socket_factory=self._gate.socket, limit=0, ttl_dns_cache=60
            )
            session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=_NoCookies(),
                trust_env=False,
                max_line_size=self._limits.header_line,
                max_field_size=self._limits.header_line,
                max_headers=self._limits.headers,
            )
            self._transport = AiohttpTransport(verify=context, client=session)
        return self._transport


@cache
def _tls() -> ssl.SSLContext:
    """Trusts certifi's roots, or those that SSL_CERT_FILE or SSL_CERT_DIR name. Reading them takes 30 ms."""
    return httpx.create_ssl_context()


@dataclass(frozen=True, slots=True)
class _Ask:
    """One call's wishes, the same at every hop."""

    url: str
    validators: Validators
    accept: str
    robots: bool
    limits: Limits
    timeout: float
    form: Pairs = field(default=(), repr=False)
    keys: Pairs = field(default=(), repr=False)
    delay: float | None = None
    authorization: str = field(default="", repr=False)


def _with(url: str, keys: Pairs) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(keys)}" if keys else url


def _writer(url: str, file: BinaryIO) -> Write:
    """`file.write`, with the disk's failures told apart from the network's."""

    def write(piece: bytes) -> None:
        try:
            file.write(piece)
        except OSError as error:
            raise _unwritable(url, error) from error

    return write


def _unwritable(url: str, error: OSError) -> FetchError:
    return FetchError(url, f"the file cannot be written: {error.strerror}")


async def _receive(url: str, response: httpx.Response, limits: Limits, write: Write) -> str:
    """Unpack the body into `write`, within the limits; the hash of what was written."""
    length = response.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > limits.wire):
        raise FetchTooLarge(url, f"more than {limits.wire:,} bytes are announced")
    inflater = Inflater(response.headers.get("content-encoding", "").strip().lower())
    digest = hashlib.sha256()
    wire = unpacked = 0
    async for chunk in response.aiter_raw():
        wire += len(chunk)
        if wire > limits.wire:
            raise FetchTooLarge(url, f"more than {limits.wire:,} bytes")
        for piece in inflater.feed(chunk):
            unpacked += len(piece)
            if unpacked > limits.unpacked:
                raise FetchTooLarge(url, f"more than {limits.unpacked:,} bytes once unpacked")
            digest.update(piece)
            write(piece)
    inflater.finish()
    return digest.hexdigest()
