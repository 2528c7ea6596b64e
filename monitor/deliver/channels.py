"""Digests for channels (Slack, Teams, Matrix, ntfy, webhooks …) by Apprise, an optional extra."""

from __future__ import annotations

from collections.abc import Mapping
from email import message_from_bytes, policy
from typing import Protocol, runtime_checkable

from monitor.errors import ConfigError, DeliveryError, DeliveryRefused
from monitor.model import Message

CHANNEL = "channel:"  # a recipient "channel:lab" is the channel that the operator named lab


class _Sends(Protocol):
    async def send(self, message: Message) -> str: ...

    async def aclose(self) -> None: ...


@runtime_checkable
class _Probes(Protocol):
    async def probe(self) -> str: ...


class Channels:
    """Sends the text part of a message to the channel that its recipient names; `urls` are Apprise addresses."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(urls)

    async def send(self, message: Message) -> str:
        """Raises DeliveryRefused for a channel that is not set, DeliveryError when the service did not take it."""
        name = message.recipient.removeprefix(CHANNEL)
        url = self._urls.get(name)
        if url is None:
            raise DeliveryRefused(f"no channel is called {name!r}; see the setting channels.urls")
        try:
            import apprise
        except ModuleNotFoundError as error:
            raise ConfigError("channels need the extra: pip install 'medical-news-monitor[channels]'") from error
        service = apprise.Apprise()
        if not service.add(url):
            raise DeliveryRefused(f"the address of channel {name!r} is not one that Apprise understands")
        taken = await service.async_notify(title=message.subject, body=_text(message.data), body_format="text")
        if not taken:
            raise DeliveryError(f"channel {name!r} did not take the digest", code=451)
        return f"channel {name} took it"

    async def aclose(self) -> None:
        """Nothing is held open."""


class Exchange:
    """Mail to mailboxes, channel messages to channels."""

    def __init__(self, mail: _Sends, channels: _Sends) -> None:
        self._mail = mail
        self._channels = channels

    async def send(self, message: Message) -> str:
        return await (self._channels if message.recipient.startswith(CHANNEL) else self._mail).send(message)

    async def probe(self) -> str:
        """What is reached where mail goes; nothing is sent. Raises RelayUnreachable or RelayUnusable."""
        return await self._mail.probe() if isinstance(self._mail, _Probes) else "kept in a Maildir"

    async def aclose(self) -> None:
        await self._mail.aclose()
        await self._channels.aclose()


def read_channels(text: str) -> dict[str, str]:
    """One channel a line: NAME URL. Raises ConfigError that names the line, never the URL (it holds a secret)."""
    urls: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, url = line.strip().partition(" ")
        if "://" not in url:
            raise ConfigError(f"channels.urls, line {number}: expected NAME URL, e.g. lab slack://…")
        urls[name] = url.strip()
    return urls


def _text(data: bytes) -> str:
    mail = message_from_bytes(data, policy=policy.default)
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""
