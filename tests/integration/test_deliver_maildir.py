"""Mail into a Maildir: whole or not at all, and never twice."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path

import pytest

from monitor.deliver import MaildirMailer
from monitor.errors import RelayUnreachable
from monitor.model import Message


def mail(number: int = 1, data: bytes = b"Subject: 3 new\r\n\r\nHello\r\n") -> Message:
    return Message(
        message_id=f"<{number}/../../x@news.example.org>", sender="", recipient="a@b.org", subject="3 new", data=data
    )


async def test_a_mail_reader_finds_the_message(tmp_path: Path) -> None:
    answer = await MaildirMailer(tmp_path / "mail").send(mail())

    [found] = list(mailbox.Maildir(str(tmp_path / "mail")))
    assert found["Subject"] == "3 new"
    assert Path(answer).read_bytes() == b"Subject: 3 new\n\nHello\n"
    assert Path(answer).parent == tmp_path / "mail" / "new"


async def test_sending_again_after_a_crash_makes_no_second_file(tmp_path: Path) -> None:
    for _ in range(3):
        await MaildirMailer(tmp_path).send(mail())

    assert len(list((tmp_path / "new").iterdir())) == 1


async def test_a_message_that_was_read_meanwhile_is_not_delivered_again(tmp_path: Path) -> None:
    mailer = MaildirMailer(tmp_path)
    name = Path(await mailer.send(mail())).name
    (tmp_path / "new" / name).rename(tmp_path / "cur" / f"{name}:2,S")

    answer = await mailer.send(mail())

    assert list((tmp_path / "new").iterdir()) == []
    assert answer.endswith(":2,S")


async def test_different_messages_are_different_files(tmp_path: Path) -> None:
    mailer = MaildirMailer(tmp_path)

    for number in range(5):
        await mailer.send(mail(number))
    await mailer.aclose()

    assert len(list((tmp_path / "new").iterdir())) == 5


async def test_a_crash_while_writing_leaves_nothing_that_looks_like_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)

    with pytest.raises(RelayUnreachable, match="No space left"):
        await MaildirMailer(tmp_path).send(mail())

    assert [list((tmp_path / part).iterdir()) for part in ("tmp", "new", "cur")] == [[], [], []]


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")

    with pytest.raises(RelayUnreachable, match="mail"):
        await MaildirMailer(tmp_path / "mail").send(mail())


async def test_no_other_user_may_read_it(tmp_path: Path) -> None:
    await MaildirMailer(tmp_path / "mail").send(mail())

    assert (tmp_path / "mail" / "new").stat().st_mode & 0o077 == 0
