"""What the libraries below raise, said once in an admin's words."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from monitor.errors import FetchError, FetchRefused, FetchStatus, FetchTimeout, FetchTooLarge
from monitor.fetch.guard import AddressError, ResolveError, shown
from monitor.fetch.inflate import InflateError


def explained(url: str, error: BaseException) -> FetchError:
    """The FetchError that tells what `error` means; to be raised `from` it."""
    causes = _causes(error)
    for told in (_ours, _theirs):
        for cause in causes:
            if (meaning := told(url, cause)) is not None:
                return meaning
    return FetchError(url, f"{type(error).__name__}: {_short(error)}")


def _ours(url: str, error: BaseException) -> FetchError | None:
    match error:
        case FetchError():
            return error
        case AddressError():
            return FetchRefused(url, str(error))
        case ResolveError() | InflateError():
            return FetchError(url, str(error))
    return None


def _theirs(url: str, error: BaseException) -> FetchError | None:
    match error:
        case LineTooLong():
            return FetchTooLarge(url, "a header of the answer is too long")
        case HttpProcessingError() | aiohttp.ClientResponseError() if "Too many headers" in str(error):
            return FetchTooLarge(url, "the answer has too many headers")
        case HttpProcessingError() if "Not enough data" in str(error):
            return FetchError(url, "the answer stopped in the middle")
        case HttpProcessingError() | aiohttp.ClientResponseError():
            return FetchError(url, f"the answer is not valid HTTP: {_short(error)}")
        case aiohttp.ServerDisconnectedError():
            return FetchError(url, "the server closed the connection without an answer")
        case aiohttp.ClientPayloadError():
            return FetchError(url, f"the answer stopped in the middle: {_short(error)}")
        case ssl.SSLCertVerificationError():
            return FetchError(url, f"the server's certificate is not valid: {error.verify_message}")
        case ssl.SSLError():
            return FetchError(url, f"TLS failed: {error.reason or error}")
        case TimeoutError():
            return FetchTimeout(url, "no connection in time")
        case OSError():
            return FetchError(url, f"no connection: {error.strerror or _short(error)}")
    return None


def redirected(url: str, hop: str, error: FetchError) -> FetchError:
    """The same failure, met at `hop`, told of the address that was asked for."""
    reason = f"redirected to {hop}: {error.reason}"
    if isinstance(error, FetchStatus):
        return FetchStatus(url, error.status, reason, error.retry_after)
    return type(error)(url, reason)


def _causes(error: BaseException) -> list[BaseException]:
    """The deepest first: it knows best (httpx-aiohttp calls every connection error a ConnectTimeout)."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and len(chain) < 10:
        chain.append(seen)
        seen = getattr(seen, "os_error", None) or seen.__cause__
    return chain[::-1]


def _short(error: BaseException) -> str:
    return shown(" ".join(str(error).split()), 200) or type(error).__name__
