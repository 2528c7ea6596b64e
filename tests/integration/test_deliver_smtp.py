"""Sending through a relay that does all a relay can do. Every outcome has its error, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

sys.path.insert(0, str(Path(__file__).parents[1]))

import hostile_smtp as hostile
from deliver_tls import make_certificate
from hostile_smtp import HostileSmtp

from monitor.deliver import Class, SmtpMailer, classify
from monitor.errors import ConfigError, DeliveryError, DeliveryInDoubt, DeliveryRefused, RelayUnreachable, RelayUnusable
from monitor.model import Message

HEADERS = b"From: digest@news.example.org\r\nTo: %s\r\nSubject: 3 new\r\nMessage-ID: <%d@news.example.org>\r\n\r\n"


def mail(to: str = "ann@example.org", number: int = 1, body: bytes = b"Hello.\r\n") -> Message:
    return Message(
        message_id=f"<{number}@news.example.org>",
        sender="bounces@news.example.org",
        recipient=to,
        subject="3 new",
        data=HEADERS % (to.encode(), number) + body,
    )


def mailer_for(server: HostileSmtp, **values: Any) -> SmtpMailer:
    return SmtpMailer(**{"host": "127.0.0.1", "port": server.port, "security": "none", "timeout": 3.0, **values})


@pytest.fixture
async def server() -> AsyncIterator[HostileSmtp]:
    async with HostileSmtp() as running:
        yield running


async def outcome(mailer: SmtpMailer, message: Message) -> str | DeliveryError:
    try:
        return await mailer.send(message)
    except DeliveryError as error:
        return error


async def test_the_servers_final_answer_is_returned_and_bytes_arrive_as_they_are(server: HostileSmtp) -> None:
    body = b".\r\n..\r\n.hidden\r\nplain\r\n.\r\nQUIT\r\n" + b"x" * 900 + b"\r\n"
    message = mail(body=body)
    mailer = mailer_for(server)

    answer = await mailer.send(message)
    await mailer.aclose()

    assert answer == "250 2.0.0 ok: queued as 1"
    assert server.stored[0].data == message.data
    assert (server.stored[0].sender, server.stored[0].recipient) == (message.sender, message.recipient)


async def test_a_message_that_begins_with_a_dot_is_stuffed_too(server: HostileSmtp) -> None:
    message = Message(message_id="<1@x>", sender="", recipient="a@b.org", subject="", data=b".odd: header\r\n\r\n.\r\n")
    mailer = mailer_for(server)

    await mailer.send(message)
    await mailer.aclose()

    assert server.stored[0].raw == b"..odd: header\r\n\r\n..\r\n"
    assert server.stored[0].data == message.data


async def test_a_large_message_is_sent_in_pieces_and_arrives_whole(server: HostileSmtp) -> None:
    message = mail(body=b"".join(b"%07d.line\r\n.dot\r\n" % n for n in range(300_000)))
    mailer = mailer_for(server, timeout=20.0)

    await mailer.send(message)
    await mailer.aclose()

    assert server.stored[0].data == message.data


async def test_a_friendly_server_reads_what_was_meant() -> None:
    seen: list[Any] = []

    class Keep(MessageHandler):
        def handle_message(self, message: Any) -> None:
            seen.append(message)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(Keep(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        mailer = SmtpMailer(host="127.0.0.1", port=port, security="none", timeout=5.0)
        await mailer.send(mail(body=b".dot\r\nend\r\n"))
        await mailer.aclose()
    finally:
        controller.stop()

    assert seen[0]["Subject"] == "3 new"
    assert seen[0].get_payload().replace("\r\n", "\n") == ".dot\nend\n"


# --- every outcome has its error ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "reply", "error", "kind"),
    [
        ("banner", "421 4.3.2 busy", RelayUnreachable, Class.RETRY),
        ("banner", "554 5.7.1 your address is listed", RelayUnusable, Class.POLICY),
        ("EHLO", "421 4.3.2 going down", RelayUnreachable, Class.RETRY),
        ("MAIL", "421 4.7.0 later", RelayUnreachable, Class.RETRY),
        ("MAIL", "451 4.3.0 later", DeliveryError, Class.RETRY),
        ("MAIL", "530 5.7.0 must log in", RelayUnusable, Class.RELAY),
        ("MAIL", "550 5.1.0 sender refused", RelayUnusable, Class.HARD_BOUNCE),  # of the sender: no reader's fault
        ("MAIL", "552 5.3.4 too big", DeliveryRefused, Class.TOO_BIG),
        ("RCPT", "421 4.7.0 slow down", DeliveryError, Class.RETRY),
        ("RCPT", "450 4.2.0 greylisted", DeliveryError, Class.RETRY),
        ("RCPT", "452 4.2.2 over quota", DeliveryError, Class.RETRY),
        ("RCPT", "550 5.1.1 no such user", DeliveryRefused, Class.HARD_BOUNCE),
        ("RCPT", "550 no such user", DeliveryRefused, Class.SOFT_BOUNCE),
        ("RCPT", "554 5.7.1 relay access denied", DeliveryRefused, Class.POLICY),
        ("DATA", "451 4.3.0 later", DeliveryError, Class.RETRY),
        ("DATA", "554 5.5.1 no valid recipients", DeliveryRefused, Class.POLICY),
        ("dot", "421 4.3.0 down", DeliveryError, Class.RETRY),
        ("dot", "451 4.7.1 later", DeliveryError, Class.RETRY),
        ("dot", "550 5.7.515 access denied", DeliveryRefused, Class.POLICY),
        ("dot", "552 5.3.4 too big", DeliveryRefused, Class.TOO_BIG),
        ("dot", "552 5.2.2 mailbox full", DeliveryRefused, Class.SOFT_BOUNCE),
        ("dot", "535 5.7.8 log in again", RelayUnusable, Class.RELAY),
    ],
)
async def test_a_reply_maps_to_its_error(
    server: HostileSmtp, stage: str, reply: str, error: type[DeliveryError], kind: Class
) -> None:
    server.script[stage] = reply
    mailer = mailer_for(server)

    result = await outcome(mailer, mail())
    await mailer.aclose()

    assert type(result) is error
    assert (result.code, result.status) == (int(reply[:3]), reply.split()[1] if reply[4:5].isdigit() else "")
    assert classify(result.code, result.status) is kind
    assert reply[4:] in result.reason
    assert server.stored == []


@pytest.mark.parametrize(
    ("stage", "act", "error"),
    [
        ("banner", hostile.silent, RelayUnreachable),
        ("banner", hostile.cut, RelayUnreachable),
        ("banner", hostile.junk, RelayUnreachable),
        ("banner", hostile.drip, RelayUnreachable),
        ("EHLO", hostile.endless, RelayUnreachable),
        ("EHLO", hostile.drip, RelayUnreachable),
        ("EHLO", hostile.junk, RelayUnreachable),
        ("MAIL", hostile.cut, DeliveryError),
        ("RCPT", hostile.silent, DeliveryError),
        ("RCPT", hostile.drip, DeliveryError),
        ("RCPT", hostile.junk, DeliveryError),
        ("RCPT", "150 what", DeliveryError),
        ("DATA", hostile.hang_up, DeliveryError),
        ("DATA", "250 no", DeliveryError),
        ("dot", hostile.silent, DeliveryInDoubt),
        ("dot", hostile.cut, DeliveryInDoubt),
        ("dot", hostile.junk, DeliveryInDoubt),
        ("dot", hostile.drip, DeliveryInDoubt),
        ("dot", "354 more", DeliveryInDoubt),
        ("dot", hostile.store_and_cut, DeliveryInDoubt),
        ("dot", hostile.store_and_stay_silent, DeliveryInDoubt),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_a_break_ends_in_time_and_is_in_doubt_only_after_the_final_dot(
    server: HostileSmtp, stage: str, act: Any, error: type[DeliveryError]
) -> None:
    server.script[stage] = act
    mailer = mailer_for(server, timeout=0.4)
    begun = time.monotonic()

    result = await outcome(mailer, mail())
    took = time.monotonic() - begun
    await mailer.aclose()

    assert type(result) is error
    assert took < 1.5


async def test_an_answer_just_in_time_is_an_answer(server: HostileSmtp) -> None:
    server.script["dot"] = hostile.after(0.3, "250 at last")
    mailer = mailer_for(server, timeout=2.0)

    assert await mailer.send(mail()) == "250 at last"

    await mailer.aclose()


async def test_a_cut_within_a_text_that_is_still_being_sent_is_not_in_doubt(server: HostileSmtp) -> None:
    server.script["text"] = hostile.cut_after(2000)
    mailer = mailer_for(server, timeout=5.0)

    result = await outcome(mailer, mail(body=b"0123456789abcdef\r\n" * 1_500_000))
    await mailer.aclose()

    assert type(result) is DeliveryError


async def test_a_refusal_before_the_end_of_the_text_is_heard(server: HostileSmtp) -> None:
    async def refuse_early(session: hostile.Session) -> None:
        await asyncio.sleep(0.05)
        await session.say("552 5.3.4 stop, too big")
        await hostile.silent(session)

    server.script["text"] = refuse_early
    mailer = mailer_for(server, timeout=5.0)

    result = await outcome(mailer, mail(body=b"0123456789abcdef\r\n" * 1_500_000))
    await mailer.aclose()

    assert type(result) is DeliveryRefused
    assert (result.code, result.status) == (552, "5.3.4")


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_an_answer_before_its_question_is_not_taken_for_acceptance(server: HostileSmtp, stage: str) -> None:
    ordinary = {"RCPT": "250 ok", "DATA": "354 go on"}[stage]
    server.script = {stage: f"{ordinary}\r\n250 2.0.0 ok: queued", "dot": "451 4.3.0 not stored"}
    mailer = mailer_for(server)

    result = await outcome(mailer, mail())
    await mailer.aclose()

    assert type(result) is DeliveryError


async def test_a_server_that_knows_no_ehlo_is_greeted_the_old_way(server: HostileSmtp) -> None:
    server.script["EHLO"] = "500 5.5.1 what?"
    mailer = mailer_for(server)

    assert (await mailer.send(mail())).startswith("250")
    await mailer.aclose()

    assert server.commands[:2] == ["EHLO localhost", "HELO localhost"]


async def test_no_server_at_all_is_unreachable() -> None:
    async with HostileSmtp() as server:
        mailer = mailer_for(server)

    result = await outcome(mailer, mail())

    assert type(result) is RelayUnreachable
    assert str(server.port) in result.reason


async def test_a_host_name_that_cannot_be_one_is_named(server: HostileSmtp) -> None:
    mailer = mailer_for(server, host="a" * 70 + ".example")

    assert type(await outcome(mailer, mail())) is RelayUnusable


async def test_what_a_server_says_cannot_break_our_logs(server: HostileSmtp) -> None:
    server.script["RCPT"] = "550 5.1.1 \x1b[31mred\x07 \u202eno " + "x" * 5000
    mailer = mailer_for(server)

    result = await outcome(mailer, mail())
    await mailer.aclose()

    assert isinstance(result, DeliveryRefused)
    assert result.reason.isprintable()
    assert len(result.reason) < 600


def test_a_name_of_ours_that_cannot_be_one_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigError, match="host name"):
        SmtpMailer(host="127.0.0.1", port=25, security="none", local_hostname="a..b")


# --- what this server cannot take -----------------------------------------------------------------------------


async def test_a_size_beyond_the_servers_limit_is_refused_before_it_is_sent() -> None:
    async with HostileSmtp(extensions=("SIZE 1000",)) as server:
        mailer = mailer_for(server)

        result = await outcome(mailer, mail(body=b"x" * 990 + b"\r\n" * 10))
        await mailer.aclose()

    assert isinstance(result, DeliveryRefused)
    assert classify(result.code, result.status) is Class.TOO_BIG
    assert not any(line.startswith("MAIL") for line in server.commands)


async def test_an_address_that_needs_smtputf8_is_refused_where_the_server_has_none(server: HostileSmtp) -> None:
    mailer = mailer_for(server)

    result = await outcome(mailer, mail("zoë@example.org".encode().decode()))
    await mailer.aclose()

    assert isinstance(result, DeliveryRefused)
    assert "SMTPUTF8" in result.reason
    assert classify(result.code, result.status) is Class.POLICY  # nothing is wrong with the reader's mailbox


async def test_an_address_that_needs_smtputf8_is_sent_where_the_server_has_it() -> None:
    async with HostileSmtp(extensions=("8BITMIME", "SMTPUTF8")) as server:
        mailer = mailer_for(server)

        await mailer.send(mail("zoë@bücher.example"))
        await mailer.aclose()

    assert server.recipients() == ["zoë@xn--bcher-kva.example"]
    assert any(line.endswith("BODY=8BITMIME SMTPUTF8") for line in server.commands)


async def test_a_domain_outside_ascii_needs_no_smtputf8(server: HostileSmtp) -> None:
    mailer = mailer_for(server)
    message = Message(message_id="<1@x>", sender="", recipient="info@bücher.example", subject="", data=b"A: b\r\n\r\n")

    await mailer.send(message)
    await mailer.aclose()

    assert server.recipients() == ["info@xn--bcher-kva.example"]


async def test_text_outside_ascii_is_refused_where_the_server_has_no_8bitmime() -> None:
    async with HostileSmtp(extensions=()) as server:
        mailer = mailer_for(server)

        result = await outcome(mailer, mail(body="β\r\n".encode()))
        await mailer.aclose()

    assert isinstance(result, DeliveryRefused)
    assert "8BITMIME" in result.reason


@pytest.mark.parametrize(
    "address",
    [
        "no-at-sign",
        "a@x)b@y",
        "a b@example.org",
        "a@example.org> SIZE=1",
        "a@example.org\r\nRCPT TO:<b@example.org>",
        "<a@example.org>",
        "@example.org",
        "a@",
        "a@b c",
        "a\x00@example.org",
        "a\u202e@example.org",
    ],
)
async def test_an_address_that_could_smuggle_a_command_never_reaches_the_server(
    server: HostileSmtp, address: str
) -> None:
    mailer = mailer_for(server)
    message = Message(message_id="<1@x>", sender="s@x.org", recipient=address, subject="", data=b"A: b\r\n\r\n")

    result = await outcome(mailer, message)
    await mailer.aclose()

    assert isinstance(result, DeliveryRefused)
    assert classify(result.code, result.status) is Class.HARD_BOUNCE
    assert not any(line.startswith(("MAIL", "RCPT")) for line in server.commands)


@pytest.mark.parametrize("body", [b"a\n.\nMAIL FROM:<x@y>\r\n", b"a\r.\rb\r\n", b"a\n\r\n"])
async def test_a_bare_line_end_is_refused_because_it_could_smuggle_a_second_message(
    server: HostileSmtp, body: bytes
) -> None:
    mailer = mailer_for(server)

    result = await outcome(mailer, mail(body=body))

    assert isinstance(result, DeliveryRefused)
    assert server.connections == 0


# --- many messages --------------------------------------------------------------------------------------------


async def test_one_connection_serves_many_messages_up_to_its_limit(server: HostileSmtp) -> None:
    mailer = mailer_for(server, connections=1, messages_per_connection=10)

    for number in range(35):
        await mailer.send(mail(number=number))
    await mailer.aclose()

    assert server.connections == 4
    assert Counter(stored.connection for stored in server.stored) == {1: 10, 2: 10, 3: 10, 4: 5}


async def test_no_more_connections_than_allowed_are_open_at_a_time(server: HostileSmtp) -> None:
    server.script["dot"] = hostile.after(0.02, "250 ok")
    mailer = mailer_for(server, connections=3)

    await asyncio.gather(*(mailer.send(mail(number=n)) for n in range(30)))
    await mailer.aclose()

    assert server.connections == server.most_open == 3


async def test_bad_recipients_delay_no_other_and_nothing_is_lost(server: HostileSmtp) -> None:
    server.for_recipient = {
        "gone@example.org": {"RCPT": "550 5.1.1 who?"},
        "grey@example.org": {"RCPT": "450 4.2.0 later"},
        "policy@example.org": {"dot": "550 5.7.515 no"},
        "big@example.org": {"dot": "552 5.3.4 too big"},
        "cut@example.org": {"RCPT": hostile.cut},
        "doubt@example.org": {"dot": hostile.store_and_cut},
        "slow@example.org": {"RCPT": hostile.silent},
        "drip@example.org": {"dot": hostile.drip},
    }
    good = [f"reader{n}@example.org" for n in range(60)]
    everyone = [*good, *server.for_recipient] * 1
    mailer = mailer_for(server, connections=4, timeout=1.0)
    begun = time.monotonic()

    results = await asyncio.gather(*(outcome(mailer, mail(to, n)) for n, to in enumerate(everyone)))
    took = time.monotonic() - begun
    await mailer.aclose()

    by_reader = dict(zip(everyone, results, strict=True))
    assert all(str(by_reader[reader]).startswith("250") for reader in good)
    assert Counter(server.recipients()) == Counter([*good, "doubt@example.org"])
    assert {reader: type(by_reader[reader]) for reader in server.for_recipient} == {
        "gone@example.org": DeliveryRefused,
        "grey@example.org": DeliveryError,
        "policy@example.org": DeliveryRefused,
        "big@example.org": DeliveryRefused,
        "cut@example.org": DeliveryError,
        "doubt@example.org": DeliveryInDoubt,
        "slow@example.org": DeliveryError,
        "drip@example.org": DeliveryInDoubt,
    }
    assert took < 4


async def test_after_a_refused_message_the_connection_is_used_again(server: HostileSmtp) -> None:
    server.for_recipient["gone@example.org"] = {"RCPT": "550 5.1.1 who?"}
    mailer = mailer_for(server, connections=1)

    for to in ("a@example.org", "gone@example.org", "b@example.org"):
        await outcome(mailer, mail(to))
    await mailer.aclose()

    assert server.connections == 1
    assert server.recipients() == ["a@example.org", "b@example.org"]


@pytest.mark.parametrize("act", [hostile.cut, "500 what?"], ids=["cut", "500"])
async def test_a_connection_that_cannot_be_reset_is_replaced(server: HostileSmtp, act: Any) -> None:
    server.for_recipient["gone@example.org"] = {"RCPT": "550 5.1.1 who?"}
    server.script["RSET"] = act
    mailer = mailer_for(server, connections=1)

    for to in ("gone@example.org", "b@example.org"):
        await outcome(mailer, mail(to))
    await mailer.aclose()

    assert server.connections == 2
    assert server.recipients() == ["b@example.org"]


async def test_a_connection_that_died_while_idle_is_replaced_and_nothing_is_in_doubt(server: HostileSmtp) -> None:
    mailer = mailer_for(server, connections=1)
    await mailer.send(mail(number=1))
    server.drop_all()

    answer = await mailer.send(mail(number=2))  # at once: the reset may not have been seen yet
    await mailer.aclose()

    assert answer.startswith("250")
    assert server.connections == 2
    assert len(server.stored) == 2


@pytest.mark.parametrize("act", ["421 4.4.2 idle too long", hostile.cut, hostile.hang_up], ids=["421", "cut", "close"])
async def test_a_server_that_ends_the_session_at_the_next_mail_gets_a_new_one(server: HostileSmtp, act: Any) -> None:
    server.script["MAIL"] = [None, act, None]
    mailer = mailer_for(server, connections=1)

    answers = [await mailer.send(mail(number=n)) for n in (1, 2)]
    await mailer.aclose()

    assert all(answer.startswith("250") for answer in answers)
    assert server.connections == 2
    assert len(server.stored) == 2


async def test_a_connection_idle_for_long_is_not_trusted(server: HostileSmtp) -> None:
    now = [0.0]
    mailer = mailer_for(server, connections=1, clock=lambda: now[0])
    await mailer.send(mail(number=1))
    now[0] = 31.0

    await mailer.send(mail(number=2))
    await mailer.aclose()

    assert server.connections == 2


async def test_a_good_bye_that_never_comes_does_not_hold_up_the_answer(server: HostileSmtp) -> None:
    server.script["QUIT"] = hostile.silent
    mailer = mailer_for(server, connections=1, messages_per_connection=1)
    begun = time.monotonic()

    await mailer.send(mail())

    assert time.monotonic() - begun < 1
    server.drop_all()
    await mailer.aclose()


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "dot"])
async def test_a_cancelled_send_leaves_no_late_answer_to_the_next(server: HostileSmtp, stage: str) -> None:
    server.script[stage] = [hostile.after(0.2, "250 late answer"), None]
    mailer = mailer_for(server, connections=1)
    task = asyncio.create_task(mailer.send(mail("slow@example.org")))
    await asyncio.sleep(0.1)
    task.cancel()

    answer = await mailer.send(mail("b@example.org"))
    await asyncio.sleep(0.2)
    await mailer.aclose()

    assert task.cancelled()
    assert answer.startswith("250 2.0.0 ok: queued")
    assert server.recipients() == ["b@example.org"]
    assert server.connections == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_each_message_arrives_or_is_refused_and_copies_come_from_doubt_alone(
    server: HostileSmtp, seed: int
) -> None:
    """Forty readers, each with a row of faults of their own; an outbox that tries again whatever may pass."""
    dice = random.Random(seed)
    passing = [
        ("RCPT", "450 4.2.0 later"),
        ("RCPT", "421 4.7.0 slow down"),
        ("RCPT", hostile.cut),
        ("RCPT", hostile.junk),
        ("DATA", "451 4.3.0 later"),
        ("DATA", hostile.hang_up),
        ("text", hostile.cut_after(50)),
        ("dot", "452 4.3.1 full"),
        ("dot", hostile.cut),
        ("dot", hostile.store_and_cut),
        ("dot", hostile.junk),
    ]
    faults = {f"r{n}@example.org": dice.choices(passing, k=dice.randint(0, 3)) for n in range(40)}
    final = {reader for reader in faults if dice.random() < 0.2}
    server.script["MAIL"] = [dice.choice([None, None, None, hostile.cut]) for _ in range(60)] + [None]
    mailer = mailer_for(server, connections=4, messages_per_connection=7, timeout=5.0)
    doubts: Counter[str] = Counter()
    refused: set[str] = set()

    async def outbox(reader: str, row: list[Any]) -> None:
        for attempt in range(20):
            stage, act = row[attempt] if attempt < len(row) else ("RCPT", "550 5.1.1 who?" if reader in final else None)
            server.for_recipient[reader] = {stage: act} if act else {}
            result = await outcome(mailer, mail(reader))
            if isinstance(result, str):
                return
            if isinstance(result, DeliveryRefused):
                refused.add(reader)
                return
            doubts[reader] += isinstance(result, DeliveryInDoubt)
        raise AssertionError(f"{reader} was never settled")

    await asyncio.gather(*(outbox(reader, row) for reader, row in faults.items()))
    await mailer.aclose()

    copies = Counter(server.recipients())
    assert refused == final
    assert [reader for reader in faults if reader not in final and not copies[reader]] == []
    assert {reader: copies[reader] for reader in copies if copies[reader] > 1 + doubts[reader]} == {}


async def test_the_rate_limit_spreads_messages_evenly_over_all_connections(server: HostileSmtp) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(round(seconds, 3))

    mailer = mailer_for(server, connections=4, messages_per_minute=30, clock=lambda: 100.0, sleep=sleep)

    await asyncio.gather(*(mailer.send(mail(number=n)) for n in range(5)))
    await mailer.aclose()

    assert waits == [2.0, 4.0, 6.0, 8.0]


async def test_waiting_for_the_rate_limit_is_not_the_servers_slowness(server: HostileSmtp) -> None:
    mailer = mailer_for(server, connections=1, messages_per_minute=100, timeout=0.5)

    answers = await asyncio.gather(*(mailer.send(mail(number=n)) for n in range(3)))  # the last waits 1.2 s
    await mailer.aclose()

    assert len(answers) == 3


# --- TLS and login --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_goes_encrypted(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, security: str) -> None:
    extensions = ("STARTTLS",) if security == "starttls" else ()
    async with HostileSmtp(tls=server_tls, wrapped=security == "tls", extensions=extensions) as server:
        mailer = mailer_for(server, security=security, tls_context=client_tls)

        for number in range(3):
            await mailer.send(mail(number=number, body=b"x" * 500_000 + b"\r\n"))
        await mailer.aclose()

    assert len(server.stored) == 3
    assert server.connections == 1
    if security == "starttls":
        assert server.commands[:3] == ["EHLO localhost", "STARTTLS", "EHLO localhost"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(server_tls: ssl.SSLContext, security: str) -> None:
    extensions = ("STARTTLS",) if security == "starttls" else ()
    async with HostileSmtp(tls=server_tls, wrapped=security == "tls", extensions=extensions) as server:
        mailer = mailer_for(server, security=security)

        result = await outcome(mailer, mail())

    assert type(result) is RelayUnusable
    assert "TLS" in result.reason
    assert server.stored == []


async def test_without_starttls_nothing_is_sent_in_the_clear(server: HostileSmtp, client_tls: ssl.SSLContext) -> None:
    mailer = mailer_for(server, security="starttls", tls_context=client_tls, username="u", password="secret")

    result = await outcome(mailer, mail())

    assert type(result) is RelayUnusable
    assert "smtp.security" in result.reason
    assert not any(line.startswith(("AUTH", "MAIL")) for line in server.commands)


async def test_a_server_without_tls_on_a_tls_port_is_unusable(server: HostileSmtp) -> None:
    assert type(await outcome(mailer_for(server, security="tls"), mail())) is RelayUnusable


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_connection_lost_within_the_handshake_may_pass(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, security: str
) -> None:
    async with HostileSmtp(extensions=("STARTTLS",)) as server:
        server.script["STARTTLS" if security == "starttls" else "banner"] = hostile.hang_up
        mailer = mailer_for(server, security=security, tls_context=client_tls)

        assert type(await outcome(mailer, mail())) is RelayUnreachable


@pytest.mark.parametrize(
    ("offered", "login", "error"),
    [
        ("AUTH PLAIN LOGIN", {"password": "right"}, None),
        ("AUTH PLAIN LOGIN", {"password": "wrong"}, RelayUnusable),
        ("AUTH XOAUTH2", {"oauth_token": lambda: "right"}, None),
        ("AUTH XOAUTH2", {"oauth_token": lambda: "wrong"}, RelayUnusable),
        ("AUTH PLAIN", {"oauth_token": lambda: "right"}, RelayUnusable),
        ("8BITMIME", {"password": "right"}, RelayUnusable),
    ],
)
async def test_login(offered: str, login: dict[str, Any], error: type[DeliveryError] | None) -> None:
    plain, bearer = "AHUAcmlnaHQ=", "dXNlcj11AWF1dGg9QmVhcmVyIHJpZ2h0AQE="  # base64 of the right ones
    async with HostileSmtp(extensions=(offered,), credentials=(plain, bearer)) as server:
        mailer = mailer_for(server, username="u", **login)

        result = await outcome(mailer, mail())
        await mailer.aclose()

    if error is None:
        assert isinstance(result, str)
    else:
        assert type(result) is error
        assert "right" not in str(result)
        assert "wrong" not in str(result).replace("535 5.7.8 wrong", "")


async def test_a_token_may_come_from_a_coroutine() -> None:
    async def token() -> str:
        return "right"

    async with HostileSmtp(
        extensions=("AUTH XOAUTH2",), credentials=("dXNlcj11AWF1dGg9QmVhcmVyIHJpZ2h0AQE=",)
    ) as server:
        mailer = mailer_for(server, username="u", oauth_token=token)

        assert (await mailer.send(mail())).startswith("250")
        await mailer.aclose()


async def test_a_login_that_fails_for_now_may_pass() -> None:
    async with HostileSmtp(extensions=("AUTH PLAIN",)) as server:
        server.script["AUTH"] = "454 4.7.0 temporary failure"

        result = await outcome(mailer_for(server, username="u", password="p"), mail())

    assert type(result) is RelayUnreachable
