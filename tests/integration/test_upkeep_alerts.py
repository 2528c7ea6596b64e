"""Admins hear of each error once, and once more when it is over, whatever is broken; on the whole program."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from running import Clock, running

from monitor.errors import RelayUnreachable
from monitor.model import Level, Message, Poll, Source
from monitor.pipeline import Monitor
from monitor.pipeline.alerts import AGAIN, BETWEEN

ADMIN = "ops@example.org"
SOURCE = Source(slug="news", name="News", url="https://news.example.org/feed")


class Site:
    def __init__(self, monitor: Monitor, clock: Clock, directory: Path) -> None:
        self.monitor, self.clock, self._mails = monitor, clock, directory / "maildir" / "new"
        self._read: set[str] = set()

    async def look(self, minutes: float = 10, silent: tuple[str, ...] = ()) -> list[str]:
        """Some time later: subject and text of each alert that came of it."""
        self.clock.advance(minutes=minutes)
        await self.monitor.watch(silent)
        new = sorted({path.name for path in self._mails.glob("*")} - self._read)
        self._read |= set(new)
        return [self._text(self._mails / name) for name in new]

    def _text(self, path: Path) -> str:
        mail = message_from_bytes(path.read_bytes(), policy=policy.default)
        body = mail.get_body(("plain",))
        assert body is not None
        return f"{mail['To']} {mail['Subject']}\n{body.get_content()}"

    async def wrong(self, text: str = "It is down.", level: Level = Level.ERROR, subject: str = "relay") -> None:
        await self.monitor.storage.notices.raise_once(subject, "down", level, text, self.clock())

    async def right(self, subject: str = "relay") -> None:
        await self.monitor.storage.notices.close(subject, "down", self.clock())


@contextlib.asynccontextmanager
async def site(directory: Path, **overrides: object) -> AsyncIterator[Site]:
    clock = Clock()
    values: dict[str, object] = {"run__admin": (ADMIN,), "smtp__host": "", **overrides}
    async with running(directory, clock, sources=[SOURCE], **values) as monitor:
        yield Site(monitor, clock, directory)


async def test_an_error_is_told_once_and_once_more_when_it_is_over(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        await it.wrong()

        (told,) = await it.look()
        again = await it.look()
        await it.right()
        (over,) = await it.look()
        at_last = await it.look()

    assert told.startswith(f"{ADMIN} [alert] 1 error: It is down.")
    assert "relay (since 2026-06-01 12:00 UTC): It is down." in " ".join(told.split())
    assert (again, at_last) == ([], [])
    assert over.startswith(f"{ADMIN} [alert] 1 error over: It is down.")


async def test_warnings_are_not_told_until_they_become_errors(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        await it.wrong(level=Level.WARNING)
        before = await it.look()
        await it.wrong("Worse.")

        (told,) = await it.look()

    assert before == []
    assert "Worse." in told


async def test_a_storm_of_errors_is_one_mail_and_the_rest_another(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        for number in range(30):
            await it.wrong(f"Error number {number}.", subject=f"s{number}")

        (first,) = await it.look()
        await it.wrong("One more.", subject="x")
        at_once = await it.look(minutes=1)
        (second,) = await it.look(BETWEEN.total_seconds() / 60)

    assert "[alert] 30 errors" in first
    assert "And 10 more" in first
    assert at_once == []
    assert "One more." in second


async def test_a_restart_tells_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        await it.wrong()
        assert len(await it.look()) == 1
    async with site(tmp_path) as later:
        later.clock.advance(hours=1)
        later._read |= {path.name for path in later._mails.glob("*")}
        nothing = await later.look()
        await later.right()

        (over,) = await later.look()

    assert nothing == []
    assert "over" in over


async def test_two_processes_tell_it_once(tmp_path: Path) -> None:
    async with site(tmp_path) as one, site(tmp_path) as two:
        assert one.monitor.alerts is not None
        one.monitor.alerts.holder = "another"
        await one.wrong()

        await one.look()
        await two.look()

    assert len(list((tmp_path / "maildir" / "new").iterdir())) == 1


async def test_what_could_not_be_told_is_told_later_even_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that is down cannot carry the news that it is down."""
    async with site(tmp_path) as it:
        mailer = it.monitor.sender.mailer
        right_send = mailer.send
        tries: list[Message] = []

        async def down(message: Message) -> str:
            tries.append(message)
            raise RelayUnreachable("connection refused")

        monkeypatch.setattr(mailer, "send", down)
        await it.wrong()
        assert await it.look() == []
        assert await it.look(minutes=0.5) == []
        assert len(tries) == 1  # not hammered
        await it.right()
        monkeypatch.setattr(mailer, "send", right_send)

        (told,) = await it.look(AGAIN.total_seconds() / 60)
        again = await it.look()

    assert "[alert] 1 error over: It is down." in told
    assert again == []


async def test_nothing_read_for_long_is_an_error_of_its_own_and_ends_with_the_next_success(tmp_path: Path) -> None:
    async with site(tmp_path, run__silence_hours=6.0) as it:
        storage = it.monitor.storage
        assert await it.look() == []
        early = await it.look(minutes=5 * 60)

        (dead,) = await it.look(minutes=70)
        still = await it.look(minutes=60)
        source = await storage.sources.claim("news", it.clock(), timedelta(seconds=30))
        assert source
        poll = Poll(source_id=source.id, at=it.clock(), outcome="ok")
        await storage.sources.finish(source, poll, next_poll_at=it.clock() + timedelta(days=9))
        (over,) = await it.look()
        quiet = await it.look(minutes=5 * 60)

    assert (early, still, quiet) == ([], [], [])
    assert "Not one of 1 sources was read successfully" in " ".join(dead.split())
    assert "over" in over


async def test_a_machine_that_was_off_for_days_is_not_alarmed_before_it_could_read(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        source = await it.monitor.storage.sources.claim("news", it.clock(), timedelta(seconds=30))
        assert source
        poll = Poll(source_id=source.id, at=it.clock(), outcome="ok")
        await it.monitor.storage.sources.finish(source, poll, next_poll_at=it.clock())
    async with site(tmp_path) as later:
        at_start = await later.look(minutes=3 * 24 * 60)

        (dead,) = await later.look(minutes=13 * 60)

    assert at_start == []
    assert "Not one of 1" in dead


async def test_a_beat_that_does_not_go_well_is_told_by_its_name(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        (silent,) = await it.look(silent=("digests", "outbox"))
        (over,) = await it.look()

    assert "digests, outbox" in silent
    assert "over" in over


async def test_without_admins_errors_are_noticed_but_nobody_is_mailed(tmp_path: Path) -> None:
    async with site(tmp_path, run__admin=()) as it:
        told = await it.look(silent=("digests",))
        notices = await it.monitor.storage.notices.open()

    assert told == []
    assert [notice.subject for notice in notices] == ["heartbeat"]


async def test_a_channel_hears_what_the_relay_cannot_carry(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with site(tmp_path, run__admin=(ADMIN, "channel:ops"), smtp__host="127.0.0.1", smtp__port=port) as it:
        heard: list[Message] = []

        class Channels:
            async def send(self, message: Message) -> str:
                heard.append(message)
                return "taken"

            async def aclose(self) -> None:
                """Nothing is open."""

        it.monitor.sender.mailer._channels = Channels()  # type: ignore[attr-defined]
        await it.wrong()

        await it.look()
        await it.look()

    assert [message.recipient for message in heard] == ["channel:ops"]


# --- retention ------------------------------------------------------------------------------------------------


async def test_old_texts_polls_and_notices_go_and_what_was_sent_stays_known(tmp_path: Path) -> None:
    from storage_samples import a_delivery

    from monitor.model import Subscriber

    async with site(tmp_path, storage__bodies_days=30, storage__polls_days=60, run__admin=()) as it:
        storage = it.monitor.storage
        reader = await storage.readers.add_subscriber(Subscriber(email="ada@example.org"), it.clock())
        numbers = []
        for day in range(2):
            mail = await storage.outbox.enqueue_mail(a_delivery(None, reader, f"letter-{day}", queued_at=it.clock()))
            (claimed,) = await storage.outbox.claim_due(it.clock(), 5, timedelta(seconds=30))
            await storage.outbox.accepted(claimed, it.clock())
            numbers.append(mail.id)
            it.clock.advance(days=20)
        waiting = await storage.outbox.enqueue_mail(a_delivery(None, reader, "letter-9", queued_at=it.clock()))
        await it.wrong()
        await it.right()

        await it.monitor.housekeep()
        bodies = [bool((await storage.outbox.get(number)).message.data) for number in (*numbers, waiting.id)]
        kept = len(await storage.notices.recent())
        it.clock.advance(days=61)
        await it.monitor.housekeep()
        left = await storage.outbox.list()

        assert bodies == [False, True, True]
        assert (kept, len(await storage.notices.recent())) == (1, 0)
        assert len(left) == 3
        assert (await storage.outbox.get(waiting.id)).message.data
