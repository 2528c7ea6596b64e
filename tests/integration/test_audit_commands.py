"""Every command that changes something leaves its line in the audit: who, what, before and after. A new command belongs
into one of the two tables.
"""

from __future__ import annotations

import asyncio
import getpass
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from publisher import Publisher
from storage_samples import a_delivery, a_match, a_source, saved
from typer.main import get_command

from monitor import cli
from monitor.cli.main import app
from monitor.model import Level, Role, Subscriber, Subscription, Topic, User
from storage import AuditEntry, Storage

NOW = datetime.now(UTC)
BOUNCE = """\
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; rea@example.org
Action: failed
Status: 4.2.2
Diagnostic-Code: smtp; 452 mailbox full

--b
Content-Type: text/rfc822-headers

Message-ID: <letter-1.0.1@example.org>

--b--
"""
OBO = "format-version: 1.2\ndata-version: hp/releases/2026-02-16\nontology: hp\n\n[Term]\nid: HP:1\nname: Tachycardia\n"
CSV = (
    "Record ID,Title,Reason,RetractionDate,RetractionDOI,OriginalPaperDOI,OriginalPaperPubMedID,RetractionNature\n"
    "1,Old news,+Error;,1/2/2026 0:00,10.1000/notice,10.1000/paper,0,Retraction\n"
)
OPML = '<opml version="2.0"><body><outline text="Two" type="rss" xmlUrl="https://two.example.org/feed"/></body></opml>'

# In this order, on one database: the command, and its line. {port} is a publisher's.
CHANGES: tuple[tuple[str, str, str, str], ...] = (
    ("sources add http://127.0.0.1:{port}/one --slug one", "added the source one", "", "http://127.0.0.1:{port}/one"),
    ("sources import list.opml", "added the source two", "", "https://two.example.org/feed"),
    ("sources set two --minutes 30 --url https://two.example.org/f?api_key=SECRET", "changed the source two",
     "url: https://two.example.org/feed\nevery: 1:00:00", "url: https://two.example.org/f?api_key=…\nevery: 0:30:00"),
    ("sources disable two", "switched the source two", "on", "off"),
    ("sources enable two", "switched the source two", "off", "on"),
    ("poll one", "polled the source one", "", "ok"),
    ("topics add zoo lion", "added the topic zoo", "", "lion"),
    ("topics edit zoo zebra --force --note test", "saved the topic zoo, revision 2", "lion", "zebra"),
    ("topics edit zoo --name Animals --force --note test", "saved the topic zoo, revision 3", "name: Zoo",
     "name: Animals"),
    ("topics restore zoo 1", "saved the topic zoo, revision 4", "name: Animals\nquery: zebra",
     "name: Zoo\nquery: lion"),
    ("topics clone zoo den", "added the topic den", "", "lion"),
    ("topics disable den", "switched the topic den", "on", "off"),
    ("topics enable den", "switched the topic den", "off", "on"),
    ("topics import topics.yaml", "saved the topic den, revision 2", "lion", "zebra OR lion"),
    ("topics examples add animals 1 --match", "added example 1 to animals", "", "must match: News 0"),
    ("topics examples remove 1", "removed example 1 of animals", "must match: News 0", ""),
    ("topics label animals 1 relevant", "labelled article 1 for animals", "", "relevant"),
    ("topics label animals 1 none", "labelled article 1 for animals", "relevant", ""),
    ("topics rematch animals", "matches the archive anew for the topic animals", "", ""),
    ("synonyms import hp.obo", "imported the vocabulary hp 2026", "", "1 concepts"),
    ("subscribers add bob@example.org --topics animals,zoo", "added the reader bob@example.org", "",
     "topics: animals, zoo\ncadence: weekly\nweekday: 0\nat: 07:00:00\ntimezone: UTC\nempty: skip\npaused_until: None\n"
     "active: True\nsafety_at_once: False"),
    ("digest send rea@example.org", "sent a digest to rea@example.org before its day", "", ""),
    ("outbox retry 1", "retry of delivery 1", "held", "queued"),
    ("outbox release 2", "release of delivery 2", "", "1 released"),
    ("outbox cancel 3", "cancel of delivery 3", "held", "cancelled"),
    ("outbox release", "release of all held messages", "", "1 released"),
    ("bounces import bounce.eml", "took in a soft for delivery 1", "", "noted"),
    ("stories merge 1 2", "merged the stories 1 and 2", "1, 2", "1"),
    ("stories split 2", "split article 2 from its story", "1", "2"),
    ("retractions import list.csv", "imported a Retraction Watch list", "", "1 new notices"),
    ("notices --dismiss 1", "closed the notice test on source:news", "", ""),
    ("users setup-link", "made a password link for the first admin", "", ""),
    ("users create root@example.org --role admin", "added the user root@example.org", "", "admin"),
    ("users create ed@example.org --role editor", "added the user ed@example.org", "", "editor"),
    ("users change ed@example.org --role viewer --off", "changed the user ed@example.org", "editor, on", "viewer, off"),
    ("users reset ed@example.org", "made a password link for ed@example.org", "", ""),
    ("people erase ed@example.org --yes", "erased a person", "", ""),
    ("reindex", "made the full-text index anew", "", ""),
    ("backup copy.db", "made a backup", "", "copy.db"),
    ("restore copy.db --yes", "restored a backup", "", "copy.db"),
)  # fmt: skip
# These only look; or they are the program itself, whose own doing is in its other tables; or (move) see below.
LOOKS = """
articles search, articles show, config check, config show, digest preview, doctor, healthcheck, migrate, move,
outbox list, people export, retractions list, run, scheduler, sources export, sources find, sources list, sources
test, stories list, stories show, subscribers list, synonyms expand, synonyms list, synonyms show, topics check,
topics examples list, topics export, topics history, topics list, topics measure, topics show, topics suggest,
topics test, topics try, topics why, users list, web, worker
"""


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield " ".join(path)
        return
    for name, one in inner.items():
        yield from commands(one, (*path, name))


def test_every_command_is_in_one_of_the_tables() -> None:
    known = set(commands(get_command(app)))
    looks = {name.strip() for name in LOOKS.replace("\n", " ").split(",")}
    changes = {max((one for one in known if f"{words} ".startswith(f"{one} ")), key=len) for words, *_ in CHANGES}

    assert looks | changes == known
    assert looks & changes == set()


@pytest.fixture
def port() -> Iterator[int]:
    publisher = Publisher()
    threading.Thread(target=publisher.serve_forever, daemon=True).start()
    yield publisher.server_address[1]
    publisher.shutdown()
    publisher.server_close()


@pytest.fixture
def url(sqlite_template: Path, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(sqlite_template, data / "monitor.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MONITOR_DATA_DIR", str(data))
    monkeypatch.setenv("MONITOR_FETCH__ALLOW", f"127.0.0.1:{port}")
    monkeypatch.setenv("MONITOR_FETCH__HOST_DELAY", "0")
    for name, text in {
        "list.opml": OPML, "topics.yaml": "- slug: den\n  query: zebra OR lion\n", "hp.obo": OBO, "list.csv": CSV,
        "bounce.eml": BOUNCE,
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text, encoding="utf-8")
    url = f"sqlite:///{data / 'monitor.db'}"
    asyncio.run(fill(url))
    return url


async def fill(url: str) -> None:
    async with Storage.open(url) as storage:
        source = await storage.sources.add(a_source(active=False))
        topic = await storage.topics.add(Topic(slug="animals", name="Animals", query="zebra"), "ada", "begin", NOW)
        found = [
            saved(number, title=f"News {number}", body=body, summary="", matches=(a_match(topic),))
            for number, body in enumerate(["A zebra runs.", "The zebras of the zoo."])
        ]
        await storage.articles.save(source, found, NOW - timedelta(hours=3))
        reader = await storage.readers.add_subscriber(Subscriber(email="rea@example.org"), NOW)
        due = NOW + timedelta(days=3)
        await storage.readers.add_subscription(
            Subscription(subscriber_id=reader.id, topic_ids=(topic.id,), next_digest_at=due)
        )
        for number in (1, 2, 3):
            await storage.outbox.enqueue_mail(a_delivery(None, reader, f"letter-{number}"))
        await storage.outbox.hold_all("for the test", NOW)
        await storage.notices.raise_once("source:news", "test", Level.WARNING, "for the test", NOW)


def audit(url: str) -> list[AuditEntry]:
    """Newest first."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
        rows = db.execute("select id, who, what, before, after, at from audit order by id desc").fetchall()
    return [
        AuditEntry(id=number, who=who, what=what, before=before, after=after, at=datetime.fromisoformat(f"{at}+00:00"))
        for number, who, what, before, after, at in rows
    ]


def run(monkeypatch: pytest.MonkeyPatch, words: str) -> int:
    monkeypatch.setattr("sys.argv", ["monitor", *words.split()])
    try:
        cli.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def test_each_change_leaves_one_line_with_who_what_before_and_after(
    url: str, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: set[int] = set()
    for words, what, before, after in CHANGES:
        code = run(monkeypatch, words.format(port=port))
        told = capsys.readouterr()
        assert code == 0, (words, told.err)
        lines = audit(url)
        fresh = [one for one in lines if one.id not in seen]
        if words.startswith("restore"):  # the backup holds the lines of before it
            fresh = lines[:1]

        assert [(one.what, one.before, one.after) for one in fresh] == [(what, before, after.format(port=port))], words
        assert fresh[0].who == f"cli:{getpass.getuser()}"
        assert abs(fresh[0].at - datetime.now(UTC)) < timedelta(minutes=5)
        seen |= {one.id for one in fresh}
    everything = str(audit(url))
    assert "SECRET" not in everything
    assert "ed@example.org" not in everything  # erased


def test_a_change_that_fails_leaves_none(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ("topics restore animals 9", "sources disable nothing", "outbox retry 99", "stories merge 1 1"):
        assert run(monkeypatch, words) == 1, words

    assert audit(url) == []


async def test_a_line_and_its_change_are_one_transaction(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is there without the other, whichever of the two cannot be written."""
    from storage.audit import acting

    async with Storage.open(url) as storage:

        def broken() -> datetime:
            raise ZeroDivisionError

        with acting("ada", broken), pytest.raises(ZeroDivisionError):
            await storage.topics.set_active("animals", False)
        with acting("ada", broken), pytest.raises(ZeroDivisionError):
            await storage.users.add(User(email="x@example.org", role=Role.ADMIN), NOW)

        assert (await storage.topics.get("animals")).active
        assert await storage.users.list() == []
        assert await storage.audit.recent() == []


async def test_what_the_program_does_by_itself_has_no_line(url: str) -> None:
    async with Storage.open(url) as storage:
        await storage.topics.set_active("animals", False)
        await storage.audit.note("something")

        assert await storage.audit.recent() == []
