"""Which addresses may be asked at all: none that is not public, whatever a feed, a page or a DNS server says.

Three checks, each enough for the case it sees: `check_url` reads the address as written, `Gate.resolve` sees what a
name stands for, `Gate.socket` sees the address a connection is really made to (redirects, rebinding and all).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

from monitor.errors import FetchRefused

MAX_URL = 8_000
MAX_ANSWERS = 64
LOOKUPS = 8
LOOKUP_SECONDS = 10.0
PORTS = {"http": 80, "https": 443}

# RFC 6890 and the IANA special-purpose registries, plus two addresses that clouds give a meaning of their own.
# `ipaddress.is_global` is no substitute: it differs between Python versions and lets multicast, 6to4 and NAT64 pass.
NOT_PUBLIC_V4 = tuple(
    (ipaddress.IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private network"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local, cloud metadata"),
        ("172.16.0.0/12", "private network"),
        ("192.0.0.0/24", "protocol assignments, cloud metadata"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private network"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, broadcast"),
    )
)
NOT_PUBLIC_V6 = tuple(
    (ipaddress.IPv6Network(network), what)
    for network, what in (
        ("::/128", "unspecified"),
        ("::1/128", "this machine"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard-only"),
        ("2001::/23", "protocol assignments, Teredo"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private network"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # outside it nothing is public but NAT64
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")

_BAD_CHARACTERS = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_AUTHORITY = re.compile(r"(?:\[[0-9a-fA-F:.]*\]|[^:\[\]]*)(?::[0-9]{0,5})?")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*\.?")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\.?")
_OTHER_DOTS = re.compile("[。．｡]")  # IDNA reads these as dots
HOW_TO_ALLOW = "if this is a server of your own, list {} in MONITOR_FETCH__ALLOW"


def why_not_public(address: str) -> str:
    """What keeps this IP address from being a public web server's ("private network"); "" where nothing does.

    An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) is judged as what it stands for.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "not an IP address"
    return _why_not_v4(ip) if isinstance(ip, ipaddress.IPv4Address) else _why_not_v6(ip)


def _why_not_v4(ip: ipaddress.IPv4Address) -> str:
    return next((what for network, what in NOT_PUBLIC_V4 if ip in network), "")


def _why_not_v6(ip: ipaddress.IPv6Address) -> str:
    if ip.scope_id is not None:
        return "link-local"
    if ip.ipv4_mapped is not None:
        return _why_not_v4(ip.ipv4_mapped)
    if ip in NAT64:
        return _why_not_v4(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF))
    if ip in SIX_TO_FOUR:
        return _why_not_v4(ipaddress.IPv4Address(int(ip) >> 80 & 0xFFFF_FFFF))
    for network, what in NOT_PUBLIC_V6:
        if ip in network:
            return what
    return "" if ip in GLOBAL_UNICAST else "not assigned to the public internet"


def shown(text: str, most: int = 300) -> str:
    """Foreign text for a message: one line, nothing in it that could command a terminal or not be stored."""
    cut = text[:most] + ("…" if len(text) > most else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)


@dataclass(frozen=True, slots=True)
class Target:
    """An address that passed: `url` in the one spelling that is sent, without its fragment."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """host:port, as the allow-list writes it (an IPv6 host in brackets)."""
        return authority(self.host, self.port)

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def server(self) -> str:
        """What politeness counts as one server: the host with its usual ports, or a host and an unusual port."""
        return self.host.rstrip(".") if self.port in PORTS.values() else self.authority


def authority(host: str, port: int) -> str:
    """`host:port`, an IPv6 host in brackets, no dot at the end."""
    return f"[{host}]:{port}" if ":" in host else f"{host.rstrip('.')}:{port}"


def check_url(url: str, allow: frozenset[str] = frozenset()) -> Target:
    """Read an address strictly, in one way only. Raises FetchRefused, with what is wrong and how to allow it."""
    told = shown(url)
    if len(url) > MAX_URL:
        raise FetchRefused(told, f"the address is longer than {MAX_URL:,} characters")
    scheme, parsed = _parse(url, told)
    host = parsed.raw_host.decode("ascii")
    port = PORTS[scheme] if parsed.port is None else parsed.port
    if not 0 < port < 65536:
        raise FetchRefused(told, f"port {port} does not exist")
    if ":" not in host:
        _check_name(told, host)
    target = Target(str(parsed.copy_with(fragment=None) if "#" in url else parsed), scheme, host, port)
    if target.authority in allow:
        return target
    if port not in PORTS.values():
        raise FetchRefused(told, f"port {port} is neither 80 nor 443; " + HOW_TO_ALLOW.format(target.authority))
    if (":" in host or host[-1:].isdigit()) and (what := why_not_public(host)):
        raise FetchRefused(told, f"{host} is not a public address ({what}); " + HOW_TO_ALLOW.format(target.authority))
    return target


def follow(target: Target, location: str, allow: frozenset[str] = frozenset()) -> Target:
    """Where a redirect leads, checked like any other address. Raises FetchRefused."""
    if _SCHEME.match(location) or "\\" in location or _CONTROLS.search(location):
        return check_url(location, allow)
    try:
        return check_url(str(httpx.URL(target.url).join(location)), allow)
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchRefused(target.url, f"redirected to something that is not an address: {error}") from error


def _parse(url: str, told: str) -> tuple[str, httpx.URL]:
    """The pieces of an http(s) address; whatever two parsers could read in two ways is refused."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in PORTS:
        raise FetchRefused(told, "only http:// and https:// addresses are fetched")
    head = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "\\" in url or _BAD_CHARACTERS.search(head) or _CONTROLS.search(url):
        raise FetchRefused(told, "the address holds a control character, a backslash or a blank where none may be")
    if "@" in head:
        raise FetchRefused(told, "the address holds a user name or password")
    if _OTHER_DOTS.search(head) or "%" in head:
        raise FetchRefused(told, "the host's name is disguised")
    if not _AUTHORITY.fullmatch(head):
        raise FetchRefused(told, "the host or its port is malformed")
    try:
        parsed = httpx.URL(url)
        str(parsed).encode("ascii")
    except (httpx.InvalidURL, ValueError) as error:  # UnicodeError is a ValueError
        raise FetchRefused(told, f"the address is not valid: {error}") from error
    if parsed.scheme != scheme or parsed.userinfo or not parsed.raw_host:
        raise FetchRefused(told, "the address names no host")
    return scheme, parsed


def _check_name(told: str, host: str) -> None:
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise FetchRefused(told, f"{host[:80]!r} is not a host's name")
    if not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return
    try:  # a name whose last part is a number is an IPv4 address to every resolver; only the plain spelling is read
        ipaddress.IPv4Address(host)
    except ValueError as error:
        raise FetchRefused(told, f"{host[:80]!r} is an unusual spelling of an IP address") from error


class AddressError(OSError):
    """Raised inside the connector, which tidies up after an OSError; the client makes a FetchRefused of it."""


class ResolveError(OSError):
    """The name stands for nothing, or the resolver did not say in time."""


Lookup = Callable[[str, int], Sequence[str]]


def system_lookup(host: str, port: int) -> list[str]:
    """What the system's resolver answers, each address once. Blocks; raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


class Gate(AbstractResolver):
    """Resolves names and opens sockets for the connector, and lets only public addresses (and the listed ones) through.

    Lookups have threads of their own and a deadline: a hostile DNS server holds up nobody else.
    """

    def __init__(self, allow: Iterable[str] = (), *, lookup: Lookup = system_lookup) -> None:
        self.allow = frozenset(allow)
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="resolve")
        self._listed: dict[str, frozenset[str]] = {}  # what the listed names stand for

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of `host`; one that is not public among them refuses the name."""
        addresses = await self._addresses(host, port)
        name = authority(host, port)
        if name in self.allow:
            self._listed[name] = frozenset(authority(address, port) for address in addresses)
        else:
            for address in addresses:
                self._check(host, address, port)
        return [_result(host, address, port) for address in addresses]

    def socket(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for the address a connection is about to be made to. Raises AddressError."""
        family, kind, protocol, _, place = address
        host, port = str(place[0]), int(place[1])
        if not any(authority(host, port) in listed for listed in self._listed.values()):
            self._check(host, host, port)
        return socket.socket(family, kind, protocol)

    def _check(self, host: str, address: str, port: int) -> None:
        if authority(address, port) in self.allow and host == address:
            return
        what = why_not_public(address)
        if not what and port not in PORTS.values():
            what = f"port {port}"
        if what:
            meaning = f"{host} is" if host == address else f"{host} stands for {address},"
            how = HOW_TO_ALLOW.format(authority(host, port))
            raise AddressError(f"{meaning} not a public address ({what}); {how}")

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                addresses = await loop.run_in_executor(self._threads, self._lookup, host, port)
        except TimeoutError as error:
            raise ResolveError(f"the name {host} could not be resolved within {LOOKUP_SECONDS:.0f} s") from error
        except socket.gaierror as error:
            raise ResolveError(f"the name {host} could not be resolved: {error.strerror}") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: labels that are empty or too long
            raise ResolveError(f"the name {host} could not be resolved: {error}") from error
        if not addresses or len(addresses) > MAX_ANSWERS:
            raise ResolveError(f"the name {host} stands for {len(addresses)} addresses")
        return addresses

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)
