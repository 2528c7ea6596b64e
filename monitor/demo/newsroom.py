"""A newsroom on loopback: six sites, each on a port of its own, with a clock that the caller moves.

    with Newsroom(start=monday) as room:
        room.feed("xpress")            # http://127.0.0.1:40001/rss-feed/
        room.now += timedelta(days=7)  # the sites publish what has come out since

The sites are `xpress`, `daily`, `journal`, `bulletin` (every feed broken), `busy` (429) and `slow`.
"""

from __future__ import annotations

import gzip
import hashlib
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from monitor.demo.content import load
from monitor.demo.sites.base import Answer, Site
from monitor.demo.sites.bulletin import Bulletin, Busy, Slow
from monitor.demo.sites.daily import Daily
from monitor.demo.sites.journal import Journal
from monitor.demo.sites.xpress import Xpress

START = datetime(2026, 6, 1, tzinfo=UTC)  # a Monday
_ROBOTS = b"User-agent: *\nDisallow: /private/\n"
_SITES = ("xpress", "daily", "journal", "bulletin", "busy", "slow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request, as the site logged it."""

    site: str
    method: str
    path: str  # with the query
    status: int
    if_none_match: str = ""
    if_modified_since: str = ""
    user_agent: str = ""


class Newsroom:
    """Serves the sample articles that are out at `now`, until closed.

    `port` 0 takes free ports; any other number is the first of six in a row. `pace`: seconds a byte of the slow site.
    `name`: the host in its addresses, where that is not the one it listens on.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        start: datetime = START,
        now: datetime | None = None,
        pace: float = 0.5,
        name: str = "",
    ) -> None:
        self.start = start
        self.now = now or start
        self.requests: list[Visit] = []
        self.closing = threading.Event()
        self._host, self._port, self._pace, self._name = host, port, pace, name
        self._servers: dict[str, _Server] = {}
        self._threads: list[threading.Thread] = []
        self.sites: dict[str, Site] = {}

    def __enter__(self) -> Self:
        self.closing.clear()
        for offset, slug in enumerate(_SITES):
            self._servers[slug] = _Server((self._host, self._port + offset if self._port else 0), self, slug)
        articles = load(self.start)
        self.sites = {
            "xpress": Xpress(self._root("xpress"), articles),
            "daily": Daily(self._root("daily"), articles),
            "journal": Journal(self._root("journal"), articles),
            "bulletin": Bulletin(self._root("bulletin"), articles),
            "busy": Busy(self._root("busy")),
            "slow": Slow(self._root("slow"), self._pace),
        }
        for slug, server in self._servers.items():
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), name=f"newsroom-{slug}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        for server in self._servers.values():
            server.shutdown()
            server.hang_up()
            server.server_close()
        for thread in self._threads:
            thread.join()
        self._servers.clear()
        self._threads.clear()

    @property
    def origins(self) -> tuple[str, ...]:
        """`host:port` of each site."""
        return tuple(urlsplit(self._root(slug)).netloc for slug in self._servers)

    def url(self, site: str, path: str = "/") -> str:
        return self._root(site) + path

    def feed(self, site: str, name: str = "") -> str:
        """The address of a site's feed: the named one, or its first."""
        feeds = self.sites[site].feeds
        return self.url(site, feeds[name] if name else next(iter(feeds.values())))

    def _root(self, slug: str) -> str:
        host, port = self._servers[slug].server_address[:2]
        return f"http://{self._name or host!s}:{port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for the handlers, which hang_up() has woken

    def __init__(self, address: tuple[str, int], room: Newsroom, slug: str) -> None:
        self.room, self.slug = room, slug
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up early is no news here; anything else is a fault of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "SampleNewsroom"
    timeout = 30

    def do_GET(self) -> None:
        room, slug = self.server.room, self.server.slug
        path = urlsplit(self.path).path
        if path == "/robots.txt":
            answer = Answer(content_type="text/plain", body=_ROBOTS)
        else:
            answer = room.sites[slug].answer(path, room.now)
        headers = {"Content-Type": answer.content_type, **answer.headers}
        if answer.last_modified is not None:
            headers["ETag"] = f'W/"{hashlib.sha256(answer.body).hexdigest()[:20]}"'
            headers["Last-Modified"] = format_datetime(answer.last_modified.astimezone(UTC), usegmt=True)
        if answer.last_modified is not None and self._is_known(headers["ETag"], answer.last_modified):
            self._log(304)
            self._send_head(304, {name: headers[name] for name in ("ETag", "Last-Modified")})
            return
        self._log(answer.status)
        self._send(answer, headers)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _is_known(self, etag: str, last_modified: datetime) -> bool:
        """RFC 9110, 13.1.3: a date counts only where no tag was sent."""
        if tags := self.headers.get("If-None-Match"):
            return etag.removeprefix("W/") in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        if since := self.headers.get("If-Modified-Since"):
            with suppress(ValueError):
                return last_modified.replace(microsecond=0) <= parsedate_to_datetime(since)
        return False

    def _send(self, answer: Answer, headers: dict[str, str]) -> None:
        body = answer.body
        if "gzip" in self.headers.get("Accept-Encoding", "") and not (answer.pace or answer.breaks_off):
            body = gzip.compress(body, mtime=0)
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        headers["Content-Length"] = str(len(body) * (2 if answer.breaks_off else 1))
        self._send_head(answer.status, headers)
        if self.command == "HEAD":
            return
        if answer.pace:
            self._drip(body, answer.pace)
        else:
            self.wfile.write(body)
        if answer.breaks_off:
            self.close_connection = True

    def _drip(self, body: bytes, pace: float) -> None:
        for index in range(len(body)):
            if self.server.room.closing.wait(pace):
                self.close_connection = True
                return
            self.wfile.write(body[index : index + 1])

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _log(self, status: int) -> None:
        self.server.room.requests.append(
            Visit(
                site=self.server.slug,
                method=self.command,
                path=self.path,
                status=status,
                if_none_match=self.headers.get("If-None-Match", ""),
                if_modified_since=self.headers.get("If-Modified-Since", ""),
                user_agent=self.headers.get("User-Agent", ""),
            )
        )

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header follows the newsroom's clock."""
        return format_datetime(self.server.room.now.astimezone(UTC), usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """The log is `Newsroom.requests`."""
