"""One tree of errors. Each is raised where its cause is known, carries plain values, and reads as a sentence.

MonitorError
├── ConfigError
├── FetchError(url)
│   ├── FetchRefused      we decided not to ask: address, scheme, robots.txt, redirect
│   ├── FetchTimeout      no complete answer within the deadline
│   ├── FetchStatus       the server answered, but not with what we asked for
│   └── FetchTooLarge     more bytes, headers or expansion than allowed
├── ParseError(url)       the bytes are not what they should be
│   └── NothingSelected   a list page's selectors find nothing any more
├── QueryError            a topic's query is wrong; carries every problem with its columns
├── TopicRefused          a topic would not do what it should; carries every reason, may be forced with a note
├── StorageError
│   ├── NotFound
│   ├── StorageDown       the database does not answer, or cannot now: what was asked may be right
│   └── AlreadyRunning
├── LinkError             a link from a mail cannot be honoured: forged, expired, revoked
├── MailError             a message would not arrive as it was meant; it is not sent
└── DeliveryError         the message was certainly not accepted; try again
    ├── DeliveryRefused   a final answer: this message will not be accepted
    ├── DeliveryInDoubt   sent, but the answer was lost: it may have been accepted
    ├── RelayUnreachable  the relay does not answer, or not now: try later, the message does not age
    └── RelayUnusable     the relay itself refuses us (login, TLS): stop the run, blame no recipient
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


class MonitorError(Exception):
    """Base of everything this program raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by state, for the sandbox: constructors here take more than the message."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[MonitorError], args: tuple[object, ...], state: dict[str, object]) -> MonitorError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


_KEYS = re.compile(r"(?i)([?&](?:api[-_]?key|access[-_]?token|token|apikey|password|secret)=)[^&#\s'\"]+")


def without_keys(text: str) -> str:
    """A text with an address in it, fit to be shown: the values of parameters such as api_key are gone."""
    return _KEYS.sub(r"\1…", text) if "=" in text else text


class ConfigError(MonitorError):
    """A setting is wrong; the message names it, where it stands, and what would be right."""


class FetchError(MonitorError):
    """An address could not be fetched. Neither it nor the reason shows a key."""

    def __init__(self, url: str, reason: str) -> None:
        url, reason = without_keys(url), without_keys(reason)
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class FetchRefused(FetchError):
    """We decided not to ask: the address, its scheme, robots.txt or a redirect is not allowed."""


class FetchTimeout(FetchError):
    """No complete answer within the deadline."""


class FetchTooLarge(FetchError):
    """The answer has more bytes, headers or expansion than allowed."""


class FetchStatus(FetchError):
    """The server answered with a status that is neither success nor "not modified".

    `retry_after` is in seconds, already capped; None where the server named none.
    """

    def __init__(self, url: str, status: int, reason: str, retry_after: float | None = None) -> None:
        super().__init__(url, reason)
        self.status = status
        self.retry_after = retry_after


class ParseError(MonitorError):
    """The bytes of an address are not what they should be."""

    def __init__(self, url: str, reason: str) -> None:
        url, reason = without_keys(url), without_keys(reason)
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class NothingSelected(ParseError):
    """The selectors of a list page find nothing any more: the page was rebuilt, or a selector is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong (or doubtful) in a query: `start` and `end` are code points into its text, `end` exclusive."""

    code: str
    message: str
    hint: str = ""
    start: int = 0
    end: int = 0


class QueryError(MonitorError):
    """A topic's query is wrong. `problems` holds every problem found, in the order of the text."""

    def __init__(self, text: str, problems: Sequence[Problem]) -> None:
        self.text = text
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(f"{first.message} (column {first.start + 1})" + (f"; {first.hint}" if first.hint else ""))

    @property
    def column(self) -> int:
        """Column of the first problem, counted from 1."""
        return self.problems[0].start + 1

    @property
    def hint(self) -> str:
        return self.problems[0].hint


class TopicRefused(MonitorError):
    """A topic that parses, but would not do what it should (monitor.match.guards). To save it, force it with a note."""

    def __init__(self, slug: str, problems: Sequence[Problem]) -> None:
        self.slug = slug
        self.problems = tuple(problems)
        super().__init__(f"{slug} is not saved: " + "; ".join(problem.message for problem in self.problems))


class StorageError(MonitorError):
    """The database cannot be used as asked."""


class NotFound(StorageError):
    """Nothing is stored under that name."""


class StorageDown(StorageError):
    """The database does not answer, or cannot do it now; asked again later, the same may succeed."""


class AlreadyRunning(StorageError):
    """Another process holds the database for itself."""


class LinkError(MonitorError):
    """A link from a mail cannot be honoured; the message says why in a reader's words."""


class MailError(MonitorError):
    """A finished message does not read back as it was meant (or cannot be written); it must not be sent."""


class DeliveryError(MonitorError):
    """A message was certainly not accepted, for a reason that may pass. `code` as RFC 5321, `status` as RFC 3463."""

    def __init__(self, reason: str, *, code: int | None = None, status: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.status = status


class DeliveryRefused(DeliveryError):
    """A final answer: this message will not be accepted for this recipient."""


class DeliveryInDoubt(DeliveryError):
    """The message was sent but the answer was lost: it may have been accepted."""


class RelayUnusable(DeliveryError):
    """The relay refuses us, not the message (login, TLS): stop the run and tell an admin."""


class RelayUnreachable(DeliveryError):
    """No relay to talk to, for now: nothing was said about any message, so none of them ages by it."""
