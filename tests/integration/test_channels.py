"""Channels: a digest for Slack, Teams, a webhook …, by Apprise, from the same outbox as mail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from monitor.deliver.channels import Channels, Exchange, read_channels
from monitor.errors import ConfigError, DeliveryError, DeliveryRefused
from monitor.model import Message

MAIL = b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n12 new in 7 topics\r\n"


class Webhook:
    """A local service that takes JSON; `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Tests are quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    thread = threading.Thread(target=hook.server.serve_forever, args=(0.02,))
    thread.start()
    yield hook
    hook.server.shutdown()
    thread.join()
    hook.server.server_close()


def message(recipient: str) -> Message:
    return Message(message_id="<1@x>", sender="a@x", recipient=recipient, subject="12 new", data=MAIL)


async def test_a_channel_gets_the_text_and_a_mailbox_still_its_mail(webhook: Webhook) -> None:
    class Mailbox:
        sent: list[str] = []

        async def send(self, mail: Message) -> str:
            self.sent.append(mail.recipient)
            return "250 ok"

        async def aclose(self) -> None:
            """Nothing to close."""

    exchange = Exchange(Mailbox(), Channels({"lab": webhook.url}))

    await exchange.send(message("channel:lab"))
    await exchange.send(message("ada@example.org"))

    assert [(note["title"], note["message"].strip()) for note in webhook.got] == [("12 new", "12 new in 7 topics")]
    assert Mailbox.sent == ["ada@example.org"]


async def test_a_service_that_does_not_take_it_is_tried_again_and_an_unknown_channel_is_final(webhook: Webhook) -> None:
    channels = Channels({"lab": webhook.url, "odd": "nonsense://x"})
    webhook.status = 500

    with pytest.raises(DeliveryError, match="did not take"):
        await channels.send(message("channel:lab"))
    for name, words in {"nowhere": "no channel is called", "odd": "not one that Apprise understands"}.items():
        with pytest.raises(DeliveryRefused, match=words):
            await channels.send(message(f"channel:{name}"))


def test_channels_are_read_a_line_each_and_a_wrong_line_is_named_without_its_secret() -> None:
    assert read_channels("# ours\nlab slack://a/b/c\n\nteam json://host\n") == {
        "lab": "slack://a/b/c",
        "team": "json://host",
    }
    with pytest.raises(ConfigError, match="line 2") as raised:
        read_channels("lab slack://a\nteam s3cret\n")
    assert "s3cret" not in str(raised.value)
