"""`make demo`: two weeks of the real program in a minute, against a sample newsroom and mail server on loopback."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as wall_time
from email import message_from_bytes, policy
from pathlib import Path

from monitor import app as composition
from monitor.app import Opened
from monitor.demo.newsroom import Newsroom
from monitor.demo.postbox import Postbox, Received
from monitor.model import Cadence, Delivery, Notice, Source, Subscriber, Subscription

DAYS = 15
HOURS = (0, 6, 12, 18)  # the hours of each sample day at which the clock stops and the program looks what is due
ACCEPTANCE = "Opioid tolerance and pain hypersensitivity associated with mTOR activation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the demo did, for its report and for its test."""

    directory: Path
    sources: list[Source]
    articles: int
    matches: dict[str, int]
    deliveries: list[Delivery]
    notices: list[Notice]
    merged: int  # stories of several articles
    retractions: int  # notices that reached a reader who was sent the paper
    arrived: list[Received]
    digest_eml: Path
    digest_html: Path
    subject: str
    seconds: float


Keep = Callable[[Opened, Outcome], Awaitable[None]]


class Clock:
    """The demo's time: it stands still until it is pushed."""

    def __init__(self, start: datetime) -> None:
        self.time = start
        self._since: float | None = None

    def __call__(self) -> datetime:
        return self.time if self._since is None else self.time + timedelta(seconds=time.monotonic() - self._since)

    def go_on(self) -> None:
        """From now on as fast as any clock."""
        self._since = time.monotonic()


async def run(directory: Path, room: Newsroom, box: Postbox, keep: Keep | None = None) -> Outcome:
    """Set the program up in `directory`, let two weeks pass, say what came of it; `keep` runs before all is closed."""
    started = time.monotonic()
    clock = Clock(room.start)
    settings = composition.settings(
        data_dir=directory / "data",
        fetch__allow=room.origins,
        fetch__host_delay=0.0,
        fetch__timeout=5.0,  # the slow server must not hold up a demo, nor a busy machine fail it
        fetch__contact="demo@example.org",
        poll__adapt=False,  # its two weeks pass in hours that are known beforehand
        scholarly__enrich=False,  # it is offline
        backup__every_hours=0,
        digest__late_days=36_500,  # its one real study is of 2014
        digest__sender="digest@example.org",
        digest__list_domain="example.org",
        web__base_url="http://127.0.0.1:8000",
        smtp__host=box.host,
        smtp__port=box.port,
        smtp__security="none",
        smtp__username="",
        smtp__messages_per_minute=0.0,
        storage__url="",
    )
    async with composition.open_monitor(settings, now=clock, first_sources=_sources(room)) as opened:
        await _add_readers(opened)
        for day in range(DAYS):
            for hour in HOURS:
                clock.time = room.now = room.start + timedelta(days=day, hours=hour)
                await opened.monitor.run_due()
        outcome = await _outcome(opened, directory, box, time.monotonic() - started)
        if keep is not None:
            clock.go_on()
            await keep(opened, outcome)
        return outcome


def prepare(directory: Path) -> None:
    """An empty directory; an older demo's files go."""
    if directory.exists():
        if not (directory / ".demo").exists() and any(directory.iterdir()):
            raise SystemExit(f"{directory} holds other files; name an empty directory with --out")
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / ".demo").touch()


def _sources(room: Newsroom) -> list[Source]:
    def source(slug: str, name: str, url: str, *, pages: bool = True, hours: int = 5) -> Source:
        return Source(slug=slug, name=name, url=url, pages=pages, interval=timedelta(hours=hours))

    broken = [
        source(f"bulletin-{name}", f"Sample Bulletin ({name})", room.feed("bulletin", name))
        for name in room.sites["bulletin"].feeds
    ]
    return [
        source("sample-xpress", "Sample Xpress", room.feed("xpress")),
        source("sample-daily", "Sample Daily", room.feed("daily")),
        source("sample-journal", "Journal of Sample Medicine", room.feed("journal"), pages=False),
        source("sample-busy", "Sample Busy Post", room.feed("busy")),
        source("sample-slow", "Sample Slow Herald", room.feed("slow"), hours=5 * 24),  # each visit costs a timeout
        *broken,
    ]


async def _add_readers(opened: Opened) -> None:
    topics = {topic.slug: topic.id for topic in await opened.monitor.storage.topics.list()}
    everything = tuple(topics.values())
    pain = (topics["opioid-tolerance"], topics["mtor"])
    wishes = [
        ("ada@example.org", "Dr Ada Lindqvist", everything, Cadence.WEEKLY, "Europe/Berlin", wall_time(7, 0)),
        ("ben@example.org", "Ben Okafor", pain, Cadence.DAILY, "America/New_York", wall_time(6, 30)),
        ("chen@example.org", "Chen Wei", pain, Cadence.WEEKLY, "Asia/Shanghai", wall_time(8, 0)),
    ]
    for email, name, chosen, cadence, zone, at in wishes:
        wanted = Subscription(subscriber_id=0, topic_ids=chosen, cadence=cadence, timezone=zone, at=at)
        await opened.monitor.readers.add(Subscriber(email=email, name=name), wanted)


async def _outcome(opened: Opened, directory: Path, box: Postbox, seconds: float) -> Outcome:
    storage = opened.monitor.storage
    best = next(
        (mail for mail in box.messages if mail.recipients == ("ada@example.org",) and _holds(mail)), box.messages[0]
    )
    eml, html = directory / "digest.eml", directory / "digest.html"
    eml.write_bytes(best.data)
    parsed = message_from_bytes(best.data, policy=policy.default)
    body = parsed.get_body(("html",))
    html.write_text(body.get_content() if body else "", encoding="utf-8")
    return Outcome(
        directory=directory,
        sources=await storage.sources.list(),
        articles=await storage.articles.count(),
        matches={
            topic.name: len(await storage.topics.matches(topic.id, limit=1000)) for topic in await storage.topics.list()
        },
        deliveries=await storage.outbox.list(limit=1000),
        notices=await storage.notices.open(),
        merged=len(await storage.stories.recent(1000)),
        retractions=await storage.corrections.told(),
        arrived=list(box.messages),
        digest_eml=eml,
        digest_html=html,
        subject=str(parsed["Subject"]),
        seconds=seconds,
    )


def _holds(mail: Received) -> bool:
    body = mail.parsed().get_body(("plain",))
    return body is not None and ACCEPTANCE in " ".join(body.get_content().split())


def demo(directory: Path, keep: Keep | None = None) -> Outcome:
    """The whole demo, from an empty directory to its outcome."""
    prepare(directory)
    with Newsroom() as room, Postbox(directory / "mail") as box:
        return asyncio.run(run(directory, room, box, keep))
