"""How the databases beside this file were made: run by the program of then, which left them as an installation would.

    git archive COMMIT | tar -x -C /tmp/then          the last commit whose newest migration was that one
    cd /tmp/then && python …/make.py OUT.sql.xz       PostgreSQL, dumped by pg_dump as plain SQL
    cd /tmp/then && python …/make.py OUT.db.xz        SQLite

schema-0001: the parent of 2c6d385; schema-0004: 111c1c9. The demo's two weeks first, then what the demo does not
leave: judgements, a vocabulary, an erased person, and a message in each state that a killed process can leave it in.
"""

from __future__ import annotations

import asyncio
import lzma
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

from monitor import app as composition
from monitor.demo.__main__ import main as demo
from monitor.errors import RelayUnreachable
from monitor.model import Concept, Delivery, Label, Level, Message, Subscriber, Verdict
from storage import Example, Storage

NOW = datetime(2026, 6, 14, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
STATES = ("accepted", "sending", "deferred", "failed", "in_doubt", "queued")  # queued last: the others are claimed


async def leave(url: str) -> None:
    async with Storage.open(url) as storage:
        topic = (await storage.topics.list())[0]
        articles = await storage.articles.recent(3)
        for article, verdict in zip(articles, (Verdict.RELEVANT, Verdict.NOT_RELEVANT), strict=False):
            label = Label(
                topic_id=topic.id, article_id=article.id, verdict=verdict, by="admin", reason="seen", labelled_at=NOW
            )
            await storage.topics.label(label)
        await storage.topics.add_example(Example(topic_id=topic.id, must_match=True, title="Kept", body="as it was"))
        changed = replace(topic, query=f"({topic.query}) NOT mice")
        await storage.topics.save(changed, author="ada", note="no mice", now=NOW, expected_revision=topic.revision)
        concept = Concept(source="mesh", year=2026, code="D058570", name="TOR", terms=("TOR", "mTOR"))
        await storage.concepts.replace("mesh", 2026, [concept])
        gone = await storage.readers.add_subscriber(Subscriber(email="gone@example.org"), NOW)
        await storage.readers.erase(gone.id, NOW)
        await storage.notices.raise_once("relay", "down", Level.ERROR, "The mail server is down — naïve «text»", NOW)
        await storage.audit.append("admin", "topic:first", "before", "after", NOW)
        await storage.leases.acquire("scheduler", "then", NOW, LEASE)
        reader = (await storage.readers.list())[0]
        for number, state in enumerate(STATES):
            await letter(storage, reader, state, NOW + timedelta(minutes=number))


async def letter(storage: Storage, reader: Subscriber, state: str, at: datetime) -> None:
    message = Message(
        message_id=f"<{state}@example.org>",
        sender="digest@example.org",
        recipient=reader.email,
        subject=f"left {state}",
        data=f"Subject: left {state}\r\n\r\nBody \\ with 'quotes'\tand a tab.\r\n".encode(),
    )
    outbox = storage.outbox
    letter = Delivery(subscription_id=None, subscriber_id=reader.id, period_key=state, message=message, queued_at=at)
    await outbox.enqueue_mail(letter)
    if state == "queued":
        return
    (mine,) = await outbox.claim_due(at, 10, LEASE)
    if state == "accepted":
        await outbox.accepted(mine, at)
        await outbox.bounced(mine.id, "soft", "4.2.2", "mailbox full", at)
    elif state == "deferred":
        await outbox.deferred(mine, str(RelayUnreachable("greylisted")), at + timedelta(hours=1), at)
    elif state == "failed":
        await outbox.failed(mine, "no such mailbox", at)
    elif state == "in_doubt":
        await outbox.in_doubt(mine, "the line was cut", at)


def make(directory: Path, url: str) -> None:
    true_settings = composition.settings
    composition.settings = lambda *given, **over: true_settings(*given, **{**over, "storage__url": url})
    demo(directory / "out")
    asyncio.run(leave(url))


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if target.name.endswith(".db.xz"):
            path = directory / "then.db"
            make(directory, f"sqlite:///{path}")
            target.write_bytes(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
            return
        sys.path.append(str(Path(__file__).parents[2]))
        from pgtemp import TempPostgres

        with TempPostgres() as server:
            make(directory, server.create("then"))
            words = ["--no-owner", "--no-privileges", "--schema=public", "--dbname", server.url("then")]
            dumped = subprocess.run([server._bin / "pg_dump", *words], cwd="/", check=True, capture_output=True)
        target.write_bytes(lzma.compress(dumped.stdout, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
