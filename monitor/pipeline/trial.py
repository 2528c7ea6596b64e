"""A test of somebody's digest, sent to whoever asks for it."""

from __future__ import annotations

from dataclasses import replace

from monitor.model import Message, Subscriber, Subscription, User
from monitor.pipeline.publish import Publisher
from monitor.pipeline.send import Sender

NOBODYS_EPOCH = -1  # the links of such a mail open nothing


async def send_trial(
    publisher: Publisher, sender: Sender, reader: Subscriber, subscription: Subscription, user: User
) -> Message:
    """Send `user` what this reader would get now, marked [TEST]. Only the audit tells. Raises DeliveryError."""
    to_user = replace(reader, email=user.email, name=user.name, token_epoch=NOBODYS_EPOCH)
    _, message = await publisher.preview(to_user, subscription)
    trial = as_test(message)
    await sender.mailer.send(trial)
    await publisher.storage.audit.note(f"sent a test of the digest of {reader.email}", "", user.email)
    return trial


def as_test(message: Message) -> Message:
    """The same message under another id, its subject marked."""
    marked = message.message_id.replace("<", "<test.", 1)
    data = message.data.replace(b"\r\nSubject: ", b"\r\nSubject: [TEST] ", 1)
    data = data.replace(message.message_id.encode(), marked.encode(), 1)
    return replace(message, message_id=marked, subject=f"[TEST] {message.subject}", data=data, compact=b"")
