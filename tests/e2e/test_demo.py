"""`make demo` is a promise: two weeks of the whole program, and what comes out is what a careful reader would file."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import storage as store
from monitor.demo.content import load
from monitor.demo.newsroom import START
from monitor.model import Article, Cadence, Delivery, DeliveryState, Notice, Source, Subscription, TextFrom

ACCEPTANCE = "Opioid tolerance and pain hypersensitivity associated with mTOR activation"
SOUND = {"sample-xpress", "sample-daily", "sample-journal"}
BROKEN = {  # what an admin must read beside each
    "bulletin-html": "challenge page",
    "bulletin-missing": "404",
    "bulletin-gone": "410",
    "bulletin-error": "500",
    "bulletin-dropped": "stopped in the middle",
    "sample-busy": "429",
    "sample-slow": "no complete answer",
}


@dataclass(frozen=True)
class Ran:
    """The demo's own words, what it stored, and what its mail server got."""

    said: dict[str, Any]
    sources: dict[str, Source]
    articles: list[Article]
    topics_of: dict[str, set[str]]  # slugs, by the article's title
    deliveries: list[Delivery]
    items: dict[int, tuple[int, ...]]  # article ids, by delivery
    subscriptions: dict[str, Subscription]
    notices: list[Notice]
    story_of: dict[int, int]  # by article
    mails: list[EmailMessage]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """It takes a minute of a processor, so one test process runs it for all: the first to hold the lock."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    out, printed = shared / "demo", shared / "demo.json"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            command = [sys.executable, "-m", "monitor.demo", "--out", str(out), "--json"]
            root = Path(__file__).parents[2]
            finished = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=110)
            assert finished.returncode == 0, finished.stderr
            printed.write_text(finished.stdout)
    said = json.loads(printed.read_text())
    mails = [
        message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted((out / "mail").glob("*.eml"))
    ]
    return asyncio.run(_look(said, f"sqlite:///{out}/data/monitor.db", mails))


async def _look(said: dict[str, Any], url: str, mails: list[EmailMessage]) -> Ran:
    async with store.Storage.open(url) as storage:
        topics_of: dict[str, set[str]] = {}
        for topic in await storage.topics.list():
            for found in await storage.topics.matches(topic.id, limit=1000):
                topics_of.setdefault(found.article.title, set()).add(topic.slug)
        deliveries = await storage.outbox.list(limit=1000)
        subscriptions = {
            reader.email: (await storage.readers.subscriptions(reader.id))[0] for reader in await storage.readers.list()
        }
        return Ran(
            said=said,
            sources={source.slug: source for source in await storage.sources.list()},
            articles=await storage.articles.recent(limit=1000),
            topics_of=topics_of,
            deliveries=deliveries,
            items={one.id: (await storage.outbox.digest(one.id)).article_ids for one in deliveries},
            subscriptions=subscriptions,
            notices=await storage.notices.open(),
            story_of={one.id: await storage.stories.of(one.id) for one in await storage.articles.recent(limit=1000)},
            mails=mails,
        )


def _plain(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return " ".join(part.get_content().split())


def _html(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return " ".join(part.get_content().split())


def test_the_acceptance_article_is_read_whole_and_stored_once(ran: Ran) -> None:
    found = [article for article in ran.articles if article.title == ACCEPTANCE]

    assert len(found) == 1
    article = found[0]
    assert article.doi == "10.1172/JCI70236"
    assert article.text_from is TextFrom.PAGE
    assert article.provider == "Journal of Clinical Investigation"
    assert article.published is not None
    assert article.published.date().isoformat() == "2014-01-02"
    assert "(2014, January 2)" in article.citation
    assert article.citation.endswith(".html")
    assert article.copyright
    assert {"opioid-tolerance", "mtor"} <= ran.topics_of[ACCEPTANCE]


def test_the_acceptance_article_stands_in_the_weekly_digest_with_its_doi_and_citation(ran: Ran) -> None:
    ada = [mail for mail in ran.mails if mail["To"].addresses[0].addr_spec == "ada@example.org"]
    holding = [mail for mail in ada if ACCEPTANCE in _plain(mail)]

    assert len(holding) == 1
    assert "https://doi.org/10.1172/JCI70236" in _plain(holding[0])
    assert 'href="https://doi.org/10.1172/JCI70236"' in _html(holding[0])
    assert "(2014, January 2)" in _plain(holding[0])
    assert "(2014, January 2)" in _html(holding[0])
    assert ran.subscriptions["ada@example.org"].cadence is Cadence.WEEKLY


def test_every_article_is_under_the_topics_that_a_careful_reader_would_file_it_under(ran: Ran) -> None:
    truth = {article.title: set(article.topics) for article in load(START)}
    stored = {article.title for article in ran.articles}

    wrong = {title: (ran.topics_of.get(title, set()), truth[title]) for title in stored & truth.keys()}

    assert {title: pair for title, pair in wrong.items() if pair[0] != pair[1]} == {}
    assert stored <= truth.keys()


def test_every_article_of_a_sound_feed_is_stored_once(ran: Ran) -> None:
    last_visit = START + timedelta(days=14, hours=18)
    sites = {slug.removeprefix("sample-") for slug in SOUND}
    wanted = Counter(a.title for a in load(START) if a.site in sites and a.appears_at <= last_visit)

    stored = Counter(article.title for article in ran.articles if article.source_slug in SOUND)

    assert stored == wanted
    assert ran.said["articles"] == len(ran.articles)


def test_every_broken_source_is_named_with_its_reason_and_hurts_no_other(ran: Ran) -> None:
    for slug in SOUND:
        assert (ran.sources[slug].failures, ran.sources[slug].last_error) == (0, "")
    for slug, words in BROKEN.items():
        assert words in ran.sources[slug].last_error, slug
    gone = ran.sources["bulletin-gone"]
    assert gone.active
    assert gone.failures <= 3  # asked once a week, and not given up
    told = {notice.subject.removeprefix("source:") for notice in ran.notices}
    assert told >= BROKEN.keys()


def test_each_reader_got_every_digest_that_their_calendar_asks_for(ran: Ran) -> None:
    sent = Counter(str(delivery.message.recipient) for delivery in ran.deliveries)
    arrived = Counter(mail["To"].addresses[0].addr_spec for mail in ran.mails)

    assert {delivery.state for delivery in ran.deliveries} == {DeliveryState.ACCEPTED}
    assert arrived == sent
    # three Mondays come in fifteen days from Monday to Monday; in Shanghai the first one's morning was over
    assert (sent["ada@example.org"], sent["chen@example.org"]) == (3, 2)
    assert 2 <= sent["ben@example.org"] <= 14  # daily, but never without news
    assert Counter(ran.said["mails"]) == arrived


def test_each_subscription_and_period_has_one_digest_and_each_message_its_own_id(ran: Ran) -> None:
    periods = Counter((delivery.subscription_id, delivery.period_key) for delivery in ran.deliveries)
    ids = Counter(mail["Message-ID"] for mail in ran.mails)

    assert set(periods.values()) == {1}
    assert set(ids.values()) == {1}
    assert set(ids) == {delivery.message.message_id for delivery in ran.deliveries}


def test_every_matched_story_reached_each_of_its_readers_exactly_once(ran: Ran) -> None:
    slugs_by_topic = {  # topics were imported in their file's order
        "ada@example.org": set().union(*ran.topics_of.values()),
        "ben@example.org": {"opioid-tolerance", "mtor"},
        "chen@example.org": {"opioid-tolerance", "mtor"},
    }
    for email, topics in slugs_by_topic.items():
        sent = Counter(
            ran.story_of[number]
            for delivery in ran.deliveries
            if delivery.message.recipient == email
            for number in ran.items[delivery.id]
        )
        twice = {story for story, count in sent.items() if count > 1}
        wanted = [a for a in ran.articles if ran.topics_of.get(a.title, set()) & topics]

        assert twice == set(), email
        assert sent.keys() <= {ran.story_of[a.id] for a in wanted}, email
        last = max(d.queued_at for d in ran.deliveries if d.message.recipient == email)
        before_last = {ran.story_of[a.id] for a in wanted if a.stored_at is not None and a.stored_at < last}
        assert before_last <= sent.keys(), email


def test_one_release_under_two_titles_is_one_card(ran: Ran) -> None:
    titles = (
        "Copper sink traps cut MRSA infections on hospital wards by a third",
        "How a bend of copper pipe keeps resistant bacteria at bay",
    )
    one, other = (next(article for article in ran.articles if article.title == title) for title in titles)

    assert ran.story_of[one.id] == ran.story_of[other.id]
    assert sum(title in _plain(mail) for mail in ran.mails for title in titles) == 1
    assert sum("Also covered by: Sample" in _plain(mail) for mail in ran.mails) >= 1


def test_a_paper_and_its_news_are_one_card_that_names_who_else_covered_it(ran: Ran) -> None:
    titles = (
        "Weekly opioid holidays in cancer pain: the HOLD randomised trial",
        "Short drug holidays slow morphine tolerance in people with cancer pain",
    )
    for email in ("ada@example.org", "ben@example.org", "chen@example.org"):
        mails = [_plain(mail) for mail in ran.mails if email in str(mail["To"])]
        holding = [text for text in mails if any(title in text for title in titles)]

        assert len(holding) == 1, email
        assert sum(f" {title} " in holding[0] for title in titles) == 1, email
        assert "Also covered by:" in holding[0], email


def test_a_retraction_stands_first_in_the_next_digest_of_whoever_was_sent_the_paper(ran: Ran) -> None:
    retracted = "Nocturnal gabapentin prevents opioid-induced hyperalgesia after spinal surgery"
    for email in ("ada@example.org", "ben@example.org", "chen@example.org"):
        mails = [mail for mail in ran.mails if email in str(mail["To"])]
        warned = [mail for mail in mails if "1 retraction" in mail["Subject"]]

        assert len(warned) == 1, email
        text = _plain(warned[0])
        box = text[text.index("Safety: notices about what you were sent") :]
        assert box.index(f"Retracted: {retracted}") < box.index("1. "), email
        assert "https://doi.org/10.5555/jsm.26.0518.ret" in box
        assert "Retracted:</b> <a" in _html(warned[0])
    assert ran.said["retractions_told"] == 3
