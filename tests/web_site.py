"""A site with an archive, readers and somebody of each role, for the tests of its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from running import prepare

from monitor import app as composition
from monitor.app import Opened
from monitor.model import Article, Entry, Role, Source, Subscriber, Subscription, Topic, User
from monitor.pipeline import users
from monitor.web import make_app
from storage import Saved

BASE = "https://news.example.org"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse battery staple"
SAME = {"Sec-Fetch-Site": "same-origin"}
QUERY = '("opioid tolerance" OR mTOR) NOT veterinary'
TEXTS = (
    (
        "Rapamycin eases opioid tolerance",
        "In mice, rapamycin blocks mTOR and so opioid tolerance. Morphine works again.",
    ),
    ("mTOR and pain", "The mTOR pathway changes how spinal neurons answer to pain."),
    ("A new statin", "Cholesterol falls by half in a trial of a new statin in adults."),
    ("Vaccines in winter", "An influenza vaccine protects four in ten adults this winter."),
    ("Opioid tolerance in dogs", "Veterinary surgeons describe opioid tolerance in dogs after surgery."),
)


@dataclass
class Site:
    opened: Opened
    app: object
    now: datetime = NOW
    base: str = BASE
    articles: list[Article] = field(default_factory=list)
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def client(self, base: str = "", address: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, client=(address, 1234))  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url=base or self.base, headers=SAME, follow_redirects=False)

    async def user(self, role: Role, email: str = "") -> User:
        """Somebody of that role, whose password is PASSWORD."""
        monitor = self.opened.monitor
        email = email or f"{role.value}@example.org"
        if role is Role.ADMIN and not await monitor.storage.users.list():
            return await monitor.users.use_link(await monitor.users.setup_link(), PASSWORD, email=email, name="Ada")
        _, token = await monitor.users.add(email, role.value.title(), role)
        return await monitor.users.use_link(token, PASSWORD)

    async def logged_in(self, role: Role = Role.ADMIN) -> httpx.AsyncClient:
        """A client with a session, made without the login page (that has tests of its own)."""
        email = f"{role.value}@example.org"
        user = await self.opened.monitor.storage.users.add(User(email=email, name=role.title(), role=role), self.now)
        token = await self.opened.monitor.users.open_session(user, address="127.0.0.1", agent="test")
        client = self.client()
        client.cookies.set("__Host-sid", token, domain="news.example.org", path="/")
        return client


def hash_cheaply() -> None:
    """Argon2 as it is meant to be costs half a second of a busy machine, for each login of each test."""
    users._hasher = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))
    users._nobody.cache_clear()


@asynccontextmanager
async def open_site(
    tmp_path: Path, *, base: str = BASE, allow: tuple[str, ...] = (), **more: object
) -> AsyncIterator[Site]:
    """Two topics, five articles of the last days, one reader; nobody may log in yet. `more`: other settings."""
    hash_cheaply()
    prepare(tmp_path / "data")
    settings = composition.settings(
        data_dir=tmp_path / "data",
        web__base_url=base,
        storage__url="",
        smtp__host="",
        parse__workers=1,
        fetch__allow=allow,
        fetch__host_delay=0.0,
        **more,
    )
    site: Site | None = None

    def clock() -> datetime:
        return site.now if site else NOW

    source = Source(slug="sample", name="Sample News", url="https://sample.example.org/feed", pages=False)
    async with composition.open_monitor(settings, now=clock, first_sources=[source]) as opened:
        site = Site(opened, make_app(opened), base=base)
        await fill(site)
        yield site


async def fill(site: Site) -> None:
    storage = site.opened.monitor.storage
    for topic in await storage.topics.list():
        await storage.topics.set_active(topic.slug, False)
    tuning = site.opened.monitor.tuning
    pain = await tuning.save(Topic(slug="pain", name="Opioids and pain", query=QUERY), "first", "for tests", force=True)
    await site.opened.monitor.sync_topics()
    await add_articles(site, [title for title, _ in TEXTS], [body for _, body in TEXTS])
    site.articles = await storage.articles.recent()
    await site.opened.monitor.readers.add(
        Subscriber(email="reader@example.org", name="Rea Der"),
        Subscription(subscriber_id=0, topic_ids=(pain.id,), timezone="Europe/Berlin"),
    )


async def add_articles(site: Site, titles: Sequence[str], bodies: Sequence[str] = ()) -> None:
    """Stored as if the one source had brought them, the first now and each other a day before its forerunner."""
    storage = site.opened.monitor.storage
    source = (await storage.sources.list())[0]
    known = await storage.articles.count()
    for number, title in reversed(list(enumerate(titles))):
        place = f"sample.example.org/{known + number}"
        url = f"https://{place}"
        article = Article(
            url=url, canonical_url=url, key=place, title=title, body=bodies[number] if bodies else "",
            source_slug=source.slug, published=NOW - timedelta(days=number),
        )  # fmt: skip
        saved = Saved(
            entry=Entry(url=url, title=title), article=article,
            matches=tuple(site.opened.monitor.matcher.match(article)),
        )  # fmt: skip
        await storage.articles.save(source, [saved], NOW - timedelta(days=number, hours=1))
