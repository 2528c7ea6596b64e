"""Who a mail is from: the part of every message that an operator sets once."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.digest.excerpt import tidy


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """`sender_name` is also the name of the digest. `list_domain` stands in Message-ID and List-Id.

    `reply_to` is a mailbox that somebody reads, `bounce_address` one that the program reads; both default to `sender`.
    `contact` (an address or a web page) and `postal_address` stand in the footer where they are set.
    """

    sender: str
    list_domain: str
    sender_name: str = "Medical News Monitor"
    reply_to: str = ""
    bounce_address: str = ""
    postal_address: str = ""
    contact: str = ""
    version: str = ""

    @property
    def envelope_sender(self) -> str:
        return self.bounce_address or self.sender

    @property
    def imprint(self) -> tuple[str, ...]:
        """The last lines of every mail: postal address, product and version, contact; those that are set."""
        contact = f"Contact: {tidy(self.contact, 120)}" if self.contact else ""
        product = f"{tidy(self.sender_name, 80)} {tidy(self.version, 20)}".strip()
        return tuple(line for line in (tidy(self.postal_address, 200), product, contact) if line)
