"""Links that nobody can forge, that say what they are for, and that can be taken back."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from digest_samples import LINKS, READER, WEEKLY

from monitor.digest import Claim, Links, Purpose
from monitor.errors import LinkError, MailError, MonitorError
from monitor.model import Verdict

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
ISSUED = int(NOW.timestamp())
ACTS = {"subscriber_id": 7, "epoch": 2}

EVERY = {
    Purpose.UNSUBSCRIBE: (LINKS.unsubscribe(READER, WEEKLY), {**ACTS, "subscription_id": 31}),
    Purpose.PREFERENCES: (LINKS.preferences(READER), ACTS),
    Purpose.PAUSE: (LINKS.pause(READER, WEEKLY), {**ACTS, "subscription_id": 31}),
    Purpose.CONFIRM: (LINKS.confirm(READER, NOW), {**ACTS, "issued_at": ISSUED}),
    Purpose.ADDRESS: (
        LINKS.change_address(READER, "zoë+x~y@exämple.org", NOW),
        {**ACTS, "issued_at": ISSUED, "email": "zoë+x~y@exämple.org"},
    ),
    Purpose.FEEDBACK: (
        LINKS.feedback(READER, 3, 4567, Verdict.NOT_RELEVANT),
        {**ACTS, "topic_id": 3, "article_id": 4567, "verdict": Verdict.NOT_RELEVANT},
    ),
    Purpose.VIEW: (
        LINKS.web_view(READER, WEEKLY, "2026-W47"),
        {**ACTS, "subscription_id": 31, "period_key": "2026-W47"},
    ),
    Purpose.CITE: (LINKS.cite(4567), {"article_id": 4567}),
    Purpose.TOPIC: (LINKS.topic_feed(77), {"topic_id": 77}),
    Purpose.FEED: (LINKS.feed(READER), ACTS),
}


def token(url: str) -> str:
    return url.rsplit("/", 1)[1]


def test_every_purpose_is_covered_here():
    assert set(EVERY) == set(Purpose)


@pytest.mark.parametrize("purpose", Purpose)
def test_a_link_says_what_it_is_for_and_reads_back(purpose):
    url, fields = EVERY[purpose]

    assert url.startswith(f"https://news.example.org/{purpose}/")
    assert re.fullmatch(r"[A-Za-z0-9._~/-]+", urlsplit(url).path), "nothing in it needs an escape"
    assert LINKS.read(purpose, token(url), now=NOW) == Claim(purpose=purpose, **fields)


@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_opens_nothing_but_its_own_purpose(purpose):
    for other in set(Purpose) - {purpose}:
        with pytest.raises(LinkError):
            LINKS.read(other, token(EVERY[purpose][0]), now=NOW)


@pytest.mark.parametrize("purpose", Purpose)
def test_no_change_of_a_single_character_survives(purpose):
    good = token(EVERY[purpose][0])
    payload = good.rsplit(".", 1)[0]

    for index in range(len(payload)):
        forged = good[:index] + ("1" if good[index] != "1" else "2") + good[index + 1 :]
        with pytest.raises(LinkError):
            LINKS.read(purpose, forged, now=NOW)


@pytest.mark.parametrize("bad", ["", ".", "7~2~31", "7~2~31.", "x" * 5000, "ü.ü", "\ud800.a", "7~2~31\n.sig", "%00"])
def test_a_damaged_token_is_a_link_error_with_a_sentence(bad):
    with pytest.raises(LinkError, match="copy it whole"):
        LINKS.read(Purpose.UNSUBSCRIBE, bad)
    assert issubclass(LinkError, MonitorError)


def test_another_secret_makes_other_tokens():
    with pytest.raises(LinkError):
        Links("https://news.example.org", "another").read(Purpose.FEED, token(LINKS.feed(READER)))


def test_unsubscribe_never_expires():
    far = NOW + timedelta(days=365 * 30)

    assert LINKS.read(Purpose.UNSUBSCRIBE, token(EVERY[Purpose.UNSUBSCRIBE][0]), now=far).subscription_id == 31


@pytest.mark.parametrize("purpose", [Purpose.CONFIRM, Purpose.ADDRESS])
def test_confirmations_are_good_for_48_hours(purpose):
    mailed = token(EVERY[purpose][0])

    assert LINKS.read(purpose, mailed, now=NOW + timedelta(hours=48)).subscriber_id == 7
    with pytest.raises(LinkError, match="expired"):
        LINKS.read(purpose, mailed, now=NOW + timedelta(hours=48, seconds=1))
    with pytest.raises(LinkError, match="expired"):
        LINKS.read(purpose, mailed, now=NOW + timedelta(hours=2), max_age=timedelta(hours=1))
    with pytest.raises(TypeError):
        LINKS.read(purpose, mailed)


def test_raising_the_epoch_revokes_every_link_mailed_before():
    claim = LINKS.read(Purpose.PREFERENCES, token(LINKS.preferences(READER)))

    claim.check(READER)
    with pytest.raises(LinkError, match="no longer valid"):
        claim.check(replace(READER, token_epoch=3))
    with pytest.raises(LinkError):
        claim.check(replace(READER, id=8))


def test_a_forwarded_cite_link_names_no_reader():
    assert LINKS.read(Purpose.CITE, token(LINKS.cite(5))).subscriber_id == 0


def test_without_a_web_address_tokens_can_be_made_but_addresses_not():
    links = Links("", "k")

    assert not links.web
    assert links.read(Purpose.UNSUBSCRIBE, links.unsubscribe_token(READER, WEEKLY)).subscription_id == 31
    with pytest.raises(MailError, match="no web address"):
        links.unsubscribe(READER, WEEKLY)


@pytest.mark.parametrize("base", ["ftp://x.example", "javascript:x", 'https://x/"y', "https://a b", "example.org"])
def test_a_base_url_that_is_no_plain_web_address_is_refused(base):
    with pytest.raises(MailError):
        Links(base, "k")


@pytest.mark.parametrize(
    "base", ["https://news.example.org", "http://127.0.0.1:8000/", "http://[::1]:8000", "https://h/sub/"]
)
def test_a_base_url_may_have_port_and_path(base):
    assert Links(base, "k").cite(1).startswith(base.rstrip("/") + "/cite/")


def test_an_empty_secret_is_refused():
    with pytest.raises(MailError):
        Links("https://news.example.org", "")
