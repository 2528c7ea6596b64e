"""Message -> mailbox. The only part that opens a connection to a mail server."""

from __future__ import annotations

from typing import Protocol

from monitor.deliver.breaker import Breaker
from monitor.deliver.maildir import MaildirMailer
from monitor.deliver.replies import Class, classify
from monitor.deliver.smtp import SmtpMailer
from monitor.model import Message


class Mailer(Protocol):
    """What can take a message: a relay, or a directory."""

    async def send(self, message: Message) -> str:
        """Hand over one message; returns the final answer, for the record.

        Raises DeliveryError (certainly not accepted, may pass), DeliveryRefused (final; `code` 552 or `status` 5.3.4
        for a message that is too big), DeliveryInDoubt (it may have been accepted), RelayUnreachable (no relay for
        now: no message ages) or RelayUnusable (the relay refuses us: stop the run, blame no recipient).
        """

    async def aclose(self) -> None:
        """Let go of connections."""


__all__ = ["Breaker", "Class", "MaildirMailer", "Mailer", "SmtpMailer", "classify"]
