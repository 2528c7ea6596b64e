"""A reader's own pages: signed links, no login, no script; a GET never changes anything."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import httpx
import pytest

from monitor import app as composition
from monitor.app import Opened
from monitor.digest import Purpose
from monitor.model import (
    Article,
    Cadence,
    Delivery,
    Entry,
    Match,
    Source,
    Subscriber,
    SubscriberState,
    Subscription,
    Verdict,
)
from monitor.web import make_app
from storage import Saved

BASE = "https://news.example.org"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@dataclass
class Site:
    opened: Opened
    client: httpx.AsyncClient
    reader: Subscriber
    subscription: Subscription
    now: datetime

    async def reload(self) -> Subscriber:
        return await self.opened.monitor.storage.readers.get_by_id(self.reader.id)

    async def subscriptions(self) -> list[Subscription]:
        return await self.opened.monitor.storage.readers.subscriptions(self.reader.id)

    async def mails(self) -> list[Delivery]:
        outbox = self.opened.monitor.storage.outbox
        return [await outbox.get(delivery.id) for delivery in await outbox.list()]

    def path(self, url: str) -> str:
        return url.removeprefix(BASE)


@asynccontextmanager
async def open_site(tmp_path: Path) -> AsyncIterator[Site]:
    settings = composition.settings(data_dir=tmp_path / "data", web__base_url=BASE, storage__url="", smtp__host="")
    site: Site | None = None

    def clock() -> datetime:
        return site.now if site else NOW

    async with composition.open_monitor(settings, now=clock) as opened:
        topics = await opened.monitor.storage.topics.list()
        reader, subscription = await opened.monitor.readers.add(
            Subscriber(email="ada@example.org", name="Ada"),
            Subscription(subscriber_id=0, topic_ids=(topics[0].id, topics[1].id), timezone="Europe/Berlin"),
        )
        transport = httpx.ASGITransport(app=make_app(opened))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, follow_redirects=False) as client:
            site = Site(opened, client, reader, subscription, NOW)
            yield site


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    for name in [name for name in os.environ if name.startswith("MONITOR_")]:
        monkeypatch.delenv(name)
    async with open_site(tmp_path) as opened:
        yield opened


async def an_article(site: Site, **fields: object) -> Article:
    storage = site.opened.monitor.storage
    source = await storage.sources.get("medical-xpress")
    url = "https://medicalxpress.com/news/2026-11-one.html"
    article = Article(
        url=url, canonical_url=url, key="medicalxpress.com/news/2026-11-one.html", title="One", source_id=source.id
    )
    topic = site.subscription.topic_ids[0]
    revision = (await storage.topics.get_many([topic]))[0].revision_id
    match = Match(topic_id=topic, revision_id=revision, score=1.0)
    unclaimed = Source(id=source.id, slug=source.slug, name=source.name, url=source.url)
    await storage.articles.save(
        unclaimed, [Saved(entry=Entry(url=url, title="One"), article=article, matches=(match,))], site.now
    )
    found = await storage.articles.find(article.key)
    assert found is not None
    return found


def link_in(mail: Delivery, purpose: str) -> str:
    """The path of a link in the text part of a mail."""
    body = message_from_bytes(mail.message.data, policy=policy.default).get_body(("plain",))
    assert body is not None
    link = re.search(rf"/{purpose}/[A-Za-z0-9_.~%-]+", body.get_content())
    assert link is not None
    return link[0]


async def test_a_get_changes_nothing_whatever_link_it_follows(site: Site) -> None:
    links, reader = site.opened.links, site.reader
    article = await an_article(site)
    urls = [
        links.unsubscribe(reader, site.subscription),
        links.preferences(reader),
        links.pause(reader, site.subscription),
        links.confirm(reader, site.now),
        links.change_address(reader, "new@example.org", site.now),
        links.feedback(reader, site.subscription.topic_ids[0], article.id, Verdict.RELEVANT),
        links.cite(article.id),
        links.feed(reader),
    ]
    before = (await site.reload(), await site.subscriptions(), await site.mails())

    answers = [await site.client.get(site.path(url)) for url in urls]

    assert [answer.status_code for answer in answers] == [200] * len(urls)
    assert (await site.reload(), await site.subscriptions(), await site.mails()) == before
    assert await site.opened.monitor.storage.topics.labels(site.subscription.topic_ids[0]) == []


async def test_one_click_unsubscribes_without_redirect_cookie_or_session_and_twice_is_the_same(site: Site) -> None:
    path = site.path(site.opened.links.unsubscribe(site.reader, site.subscription))
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://mail.example.com"}

    for _ in range(2):
        answer = await site.client.post(
            path,
            content="List-Unsubscribe=One-Click",
            headers=headers | {"Content-Type": "application/x-www-form-urlencoded"},
        )

        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
    assert not (await site.subscriptions())[0].active
    assert (await site.reload()).state is SubscriberState.UNSUBSCRIBED


async def test_a_forged_changed_or_foreign_token_is_a_404_that_tells_nothing(site: Site) -> None:
    url = site.path(site.opened.links.unsubscribe(site.reader, site.subscription))
    as_preferences = url.replace("/u/", "/preferences/")

    answers = [await site.client.post(path) for path in (url[:-2] + "xx", "/u/" + "a" * 3000, "/u/x.y", as_preferences)]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert all("ada@example.org" not in answer.text for answer in answers)
    assert (await site.subscriptions())[0].active


async def test_a_form_from_another_site_is_refused(site: Site) -> None:
    path = site.path(site.opened.links.pause(site.reader, site.subscription))

    foreign = await site.client.post(path, data={"until": "2026-12-24"}, headers={"Sec-Fetch-Site": "cross-site"})
    older = await site.client.post(path, data={"until": "2026-12-24"}, headers={"Origin": "https://evil.example"})
    own = await site.client.post(path, data={"until": "2026-12-24"}, headers={"Sec-Fetch-Site": "same-origin"})

    assert [foreign.status_code, older.status_code, own.status_code] == [403, 403, 200]


async def test_sign_up_asks_for_confirmation_and_answers_the_same_for_known_and_unknown(site: Site) -> None:
    form = {"email": "new@example.org", "topics": ["mtor"], "timezone": "America/New_York", "cadence": "daily"}

    unknown = await site.client.post("/signup", data=form)
    again = await site.client.post("/signup", data=form)
    known = await site.client.post("/signup", data=form | {"email": "Ada@example.org"})

    assert unknown.text == known.text == again.text
    mails = await site.mails()
    assert [mail.message.recipient for mail in mails] == ["new@example.org"]
    reader = await site.opened.monitor.storage.readers.get("new@example.org")
    assert reader.state is SubscriberState.PENDING
    assert await site.opened.monitor.storage.readers.due(NOW + timedelta(days=30), 10) != [reader]

    answer = await site.client.post(link_in(mails[0], "confirm"))
    confirmed = await site.opened.monitor.storage.readers.get("new@example.org")
    assert (answer.status_code, confirmed.state) == (200, SubscriberState.ACTIVE)
    subscription = (await site.opened.monitor.storage.readers.subscriptions(confirmed.id))[0]
    assert (subscription.cadence, subscription.timezone) == (Cadence.DAILY, "America/New_York")
    assert subscription.next_digest_at is not None


async def test_a_confirmation_link_ends_after_two_days(site: Site) -> None:
    path = site.path(site.opened.links.confirm(site.reader, site.now))
    site.now += timedelta(hours=49)

    answer = await site.client.post(path)

    assert answer.status_code == 404
    assert "expired" in answer.text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"email": "no address", "topics": ["mtor"]}, "is not a mail address"),
        ({"email": "a@b.org", "topics": ["mtor"], "timezone": "Europe/Berlim"}, "did you mean Europe/Berlin"),
        ({"email": "a@b.org", "topics": ["nothing"]}, "choose at least one topic"),
    ],
    ids=["address", "zone", "topic"],
)
async def test_a_wrong_field_is_named(site: Site, form: dict[str, object], words: str) -> None:
    answer = await site.client.post("/signup", data=form)

    assert answer.status_code == 422
    assert words in answer.text
    assert f'value="{form["email"]}"' in answer.text


async def test_preferences_are_stored_and_move_the_next_digest(site: Site) -> None:
    path = site.path(site.opened.links.preferences(site.reader))
    number = site.subscription.topic_ids[0]
    topic = (await site.opened.monitor.storage.topics.get_many([number]))[0]
    form = {
        "subscription": str(site.subscription.id),
        "topics": [topic.slug],
        "cadence": "weekly",
        "weekday": "4",
        "at": "18:30",
        "timezone": "America/New_York",
        "empty": "always",
        "max_items": "10",
        "monthday": "1",
    }

    answer = await site.client.post(path, data=form)

    stored = (await site.subscriptions())[0]
    assert answer.status_code == 200
    assert (stored.topic_ids, stored.weekday, stored.max_items) == ((number,), 4, 10)
    assert stored.next_digest_at == datetime(2026, 11, 27, 23, 30, tzinfo=UTC)


async def test_wishes_that_cannot_be_stay_in_their_form_with_the_reason(site: Site) -> None:
    path = site.path(site.opened.links.preferences(site.reader))
    topic = (await site.opened.monitor.storage.topics.get_many([site.subscription.topic_ids[0]]))[0]
    sound = {"subscription": str(site.subscription.id), "topics": [topic.slug], "max_items": "33"}
    wrong = {"timezone": "Europe/Berlim", "at": "noon", "weekday": "9", "paused_until": "soon", "max_items": "9999"}

    for field, value in wrong.items():
        answer = await site.client.post(path, data={**sound, field: value})

        assert answer.status_code == 422, field
        assert f'value="{value}"' in answer.text or field == "weekday"
        assert 'role="alert"' in answer.text
    assert await site.subscriptions() == [site.subscription]


async def test_a_topic_that_is_off_now_is_not_lost_when_preferences_are_saved(site: Site) -> None:
    storage = site.opened.monitor.storage
    topics = await storage.topics.list()
    both = replace(site.subscription, topic_ids=(topics[0].id, topics[1].id))
    await site.opened.monitor.readers.change(both)
    await storage.topics.set_active(topics[0].slug, False)
    path = site.path(site.opened.links.preferences(site.reader))

    await site.client.post(path, data={"subscription": str(both.id), "topics": [topics[1].slug]})

    assert set((await site.subscriptions())[0].topic_ids) == {topics[0].id, topics[1].id}


async def test_a_subscription_of_somebody_else_cannot_be_changed(site: Site) -> None:
    other, theirs = await site.opened.monitor.readers.add(
        Subscriber(email="ben@example.org"), Subscription(subscriber_id=0, topic_ids=site.subscription.topic_ids)
    )
    path = site.path(site.opened.links.preferences(site.reader))

    answer = await site.client.post(path, data={"subscription": str(theirs.id), "topics": ["1"]})

    assert answer.status_code == 404
    assert await site.opened.monitor.storage.readers.subscriptions(other.id) == [theirs]


async def test_a_pause_moves_the_next_digest_and_can_end_early(site: Site) -> None:
    path = site.path(site.opened.links.pause(site.reader, site.subscription))

    await site.client.post(path, data={"until": "2026-12-24"})
    paused = (await site.subscriptions())[0]
    await site.client.post(path, data={})
    resumed = (await site.subscriptions())[0]

    assert paused.next_digest_at is not None
    assert paused.next_digest_at > datetime(2026, 12, 23, 23, tzinfo=UTC)
    assert resumed.next_digest_at == site.subscription.next_digest_at


async def test_a_new_address_must_be_confirmed_there_and_kills_the_old_links(site: Site) -> None:
    preferences = site.path(site.opened.links.preferences(site.reader))

    await site.client.post(preferences + "/address", data={"email": "ada@new.example"})
    assert (await site.reload()).email == "ada@example.org"
    mail = (await site.mails())[0]
    answer = await site.client.post(link_in(mail, "address"))

    assert (mail.message.recipient, answer.status_code) == ("ada@new.example", 200)
    assert (await site.reload()).email == "ada@new.example"
    assert (await site.client.get(preferences)).status_code == 404


async def test_feedback_is_recorded_by_post_with_a_reason_and_can_be_taken_back(site: Site) -> None:
    article = await an_article(site)
    topic = site.subscription.topic_ids[0]
    path = site.path(site.opened.links.feedback(site.reader, topic, article.id, Verdict.NOT_RELEVANT))
    labels = site.opened.monitor.storage.topics.labels

    recorded = await site.client.post(path)
    await site.client.post(path, data={"reason": "duplicate"})
    with_reason = await labels(topic)
    await site.client.post(path, data={"undo": "yes"})

    assert "Recorded: not relevant" in recorded.text
    assert [(label.verdict, label.reason) for label in with_reason] == [(Verdict.NOT_RELEVANT, "duplicate")]
    assert await labels(topic) == []


async def test_the_web_view_is_what_was_mailed_and_offers_its_citations(site: Site) -> None:
    await an_article(site)
    site.now += timedelta(days=8)
    await site.opened.monitor.plan_digests()
    sent = (await site.mails())[0]
    path = site.path(site.opened.links.web_view(site.reader, site.subscription, sent.period_key))

    page = await site.client.get(path)
    citations = await site.client.get(path, params={"style": "ris"})
    feed = await site.client.get(site.path(site.opened.links.feed(site.reader)))

    assert page.text == sent.message.html
    assert "script-src" not in page.headers["content-security-policy"]
    assert "sandbox" in page.headers["content-security-policy"]
    assert citations.text.startswith("TY  - ")
    assert "attachment" in citations.headers["content-disposition"]
    assert b"<title>One</title>" in feed.content


async def test_a_topic_has_a_feed_for_whoever_has_its_address(site: Site) -> None:
    await an_article(site)
    path = site.path(site.opened.links.topic_feed(site.subscription.topic_ids[0]))

    feed = await site.client.get(path)
    forged = await site.client.get(path[:-3] + "abc")

    assert b"<title>One</title>" in feed.content
    assert forged.status_code == 404


async def test_every_page_carries_the_security_headers_and_health_answers(site: Site) -> None:
    answers = await asyncio.gather(*(site.client.get(path) for path in ("/healthz", "/readyz", "/signup", "/nowhere")))

    assert [answer.status_code for answer in answers] == [200, 200, 200, 303]  # nowhere: to the login
    for answer in answers:
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert Purpose.UNSUBSCRIBE == "u"
