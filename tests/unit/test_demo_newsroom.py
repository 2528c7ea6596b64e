"""The sample newsroom and postbox: what they serve is what the demonstration and the end-to-end tests stand on."""

from __future__ import annotations

import gzip
import http.client
import json
import smtplib
import socket
import threading
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import feedparser
import pytest
from bs4 import BeautifulSoup
from lxml import etree

from monitor.demo.content import SampleArticle, load
from monitor.demo.newsroom import START, Newsroom
from monitor.demo.postbox import Postbox
from monitor.errors import ConfigError
from monitor.model import Article, Topic

ACCEPTANCE = "/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor.html"
NEWS_SITES = ("xpress", "daily", "journal")
DC = "{http://purl.org/dc/elements/1.1/}"
RSS1 = "{http://purl.org/rss/1.0/}"


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode()


def get(url: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> Reply:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers or {})
        return Reply(connection.getresponse())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def late() -> Iterator[Newsroom]:
    """The newsroom after everything has come out; tests only read it."""
    with Newsroom(now=START + timedelta(days=17), pace=0.05) as room:
        yield room


@pytest.fixture
def room() -> Iterator[Newsroom]:
    with Newsroom() as fresh:
        yield fresh


def articles(site: str = "") -> list[SampleArticle]:
    return [article for article in load(START) if site in ("", article.site)]


def soup(room: Newsroom, site: str, path: str, parser: str = "lxml") -> BeautifulSoup:
    return BeautifulSoup(get(room.url(site, path)).text, parser)


def path_of(room: Newsroom, site: str, slug: str) -> str:
    [article] = [article for article in articles(site) if article.slug == slug]
    return room.sites[site].path(article)  # type: ignore[attr-defined]


# --- what the articles are ------------------------------------------------------------------------------------


def test_about_forty_articles_of_realistic_length_come_out_over_sixteen_days():
    all_of_them = articles()
    news = [a for a in all_of_them if a.site in ("xpress", "daily") and a.page == "full"]
    days = {(a.appears_at - START).days for a in all_of_them}

    assert 38 <= len(all_of_them) <= 60
    assert all(sum(len(block.split()) for block in a.body) >= 240 for a in news)
    assert set(range(-1, 16)) >= days >= set(range(16))


def test_every_article_has_its_own_address_and_the_papers_their_own_doi(late):
    paths = [(site, late.sites[site].path(a)) for site in NEWS_SITES for a in articles(site)]
    papers = [a.doi for a in articles("journal")]

    assert len(set(paths)) == len(paths)
    assert len(set(papers)) == len(papers)
    assert all(papers)


def first_run_topics() -> list[Topic]:
    rows = tomllib.loads((resources.files("config") / "topics.toml").read_text(encoding="utf-8"))["topic"]
    return [
        Topic(id=number, slug=row["slug"], name=row["name"], query=row["query"]) for number, row in enumerate(rows, 1)
    ]


def test_both_weeks_bring_news_for_every_topic_of_the_first_run():
    weeks = [START + timedelta(days=day, hours=7) for day in (0, 7, 14)]

    for topic in first_run_topics():
        hits = [a.appears_at for a in articles() if topic.slug in a.topics and a.site != "bulletin"]
        assert any(hit < weeks[1] for hit in hits), topic.slug
        assert any(weeks[1] <= hit < weeks[2] for hit in hits), topic.slug


def test_the_topics_find_what_a_careful_reader_would_and_nothing_else():
    matcher = pytest.importorskip("monitor.match.matcher").Matcher()
    topics = {topic.id: topic for topic in first_run_topics()}
    for topic in topics.values():
        matcher.add(topic)

    for article in articles():
        text = "\n\n".join(article.body or (article.summary,)).translate(str.maketrans("", "", "[]*"))
        found = matcher.match(Article(url="x", canonical_url="x", key="x", title=article.title, body=text))
        assert sorted(topics[match.topic_id].slug for match in found) == sorted(article.topics), article.slug


def shingles(article: SampleArticle) -> set[tuple[str, ...]]:
    words = " ".join(article.body).replace("[", "").replace("]", "").lower().split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_a_press_release_runs_on_both_news_sites_under_two_titles_a_day_apart():
    [first] = [a for a in articles("xpress") if a.slug == "hospital-sinks-mrsa-copper-traps"]
    [second] = [a for a in articles("daily") if a.slug == "copper-pipes-resistant-bacteria"]
    ours, theirs = shingles(first), shingles(second)

    assert first.title != second.title
    assert (first.doi, second.doi) == ("10.5555/ijhh.2026.45", "")
    assert len(ours & theirs) / len(ours | theirs) > 0.7
    assert timedelta(hours=20) < second.appears_at - first.appears_at < timedelta(hours=28)


def test_the_retraction_names_an_earlier_paper_of_the_journal():
    [notice] = [a for a in articles("journal") if a.title.startswith("Retraction:")]
    [paper] = [a for a in articles("journal") if a.doi == "10.5555/jsm.26.0518"]

    assert paper.doi in notice.body[0]
    assert paper.title in notice.title
    assert notice.doi != paper.doi
    assert paper.appears_at < notice.appears_at


def test_hard_cases_are_there():
    by_slug = {a.slug: a for a in articles()}

    assert by_slug["script-alert-quotes-drug-names"].title.startswith('<script>alert(1)</script> & "quotes"')
    assert "α" in by_slug["akkermansia-il-10-tnf"].title
    assert "Ångströmsund" in by_slug["menieres-attacks-low-salt"].title
    assert len("".join(by_slug["congress-programme-three-days"].body)) > 25_000
    assert by_slug["why-patients-stop-weight-loss-injections"].page == "stub"
    assert by_slug["prime-editing-deafness-mice"].page == "missing"


def test_every_content_file_is_valid_toml_for_one_known_site():
    files = [f for f in (resources.files("monitor.demo") / "articles").iterdir() if f.name.endswith(".toml")]

    sites = {tomllib.loads(f.read_text(encoding="utf-8"))["site"] for f in files}

    assert sites == {"xpress", "daily", "journal", "bulletin"}


# --- feeds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "version", "content_type"),
    [("xpress", "rss20", "application/rss+xml"), ("daily", "rss20", "application/rss+xml"),
     ("journal", "rss10", "application/rdf+xml")],
)  # fmt: skip
def test_a_good_feed_is_well_formed_and_lists_its_articles(late, site, version, content_type):
    reply = get(late.feed(site))
    feed = feedparser.parse(reply.body)

    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith(content_type)
    assert not feed.bozo
    assert feed.version == version
    repeats = sum(a.again_at is not None for a in articles(site))
    assert len(feed.entries) == min(30, len(articles(site)) + repeats)


@pytest.mark.parametrize("site", NEWS_SITES)
def test_every_listed_page_is_served_with_its_title(late, site):
    for article in articles(site):
        reply = get(late.url(site, late.sites[site].path(article)))
        if article.page == "missing":
            assert reply.status == 404
            continue
        page = BeautifulSoup(reply.body, "lxml")
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.h1.get_text() == article.title
        assert not page.find("script", string="alert(1)")


def test_the_xpress_feed_has_the_real_form(late):
    root = etree.fromstring(get(late.feed("xpress")).body)
    items = root.findall("channel/item")

    for item in items:
        tags = [etree.QName(child).localname for child in item]
        assert tags == ["title", "description", "link", "category", "pubDate", "guid", "thumbnail"]
        assert item.findtext("category") == ""
        assert item.find("guid").get("isPermaLink") == "false"
        assert item.findtext("guid").startswith("news")
    zones = {item.findtext("pubDate")[-3:] for item in items}
    assert zones == {"EDT", "EST"}
    assert "doi" not in get(late.feed("xpress")).text.lower()


def test_guids_do_not_follow_the_order_of_publication(late):
    numbers = [int(item.id.removeprefix("news")) for item in feedparser.parse(get(late.feed("xpress")).body).entries]

    assert numbers != sorted(numbers, reverse=True)


def test_the_acceptance_article_repeats_and_comes_back_under_a_tracking_parameter(room):
    def listed() -> list[tuple[str, str]]:
        entries = feedparser.parse(get(room.feed("xpress")).body).entries
        return [(entry.link, entry.id) for entry in entries if ACCEPTANCE in entry.link]

    room.now = START + timedelta(days=2)
    early = listed()
    room.now = START + timedelta(days=10)
    later = listed()

    assert early == [(room.url("xpress", ACCEPTANCE), "news307980001")]
    assert len(later) == 2
    assert early[0] in later
    [(link, guid)] = set(later) - set(early)
    assert "utm_source=" in link
    assert guid != "news307980001"


def test_the_journal_feed_has_two_identifiers_one_creator_and_newlines_in_its_links(late):
    root = etree.fromstring(get(late.feed("journal")).body)
    for item in root.findall(f"{RSS1}item"):
        identifiers = [element.text for element in item.findall(f"{DC}identifier")]
        assert identifiers[0].startswith("info:doi/10.5555/")
        assert identifiers[1].startswith("hwp:resource-id:")
        assert len(item.findall(f"{DC}creator")) == 1
        assert item.findtext(f"{RSS1}link").startswith("\n")
        assert item.findtext(f"{RSS1}title") != item.findtext(f"{RSS1}title").strip()
        assert item.findtext(f"{DC}date").endswith("-07:00")
    entry = feedparser.parse(get(late.feed("journal")).body).entries[0]
    assert "doi" not in entry.dc_identifier  # feedparser keeps only the last: the trap is set
    assert "published" not in entry


def test_the_journal_feed_writes_all_authors_in_one_element(late):
    text = get(late.feed("journal")).text

    assert "<dc:creator><![CDATA[Renner, B. Q., Stavrou, I., Lisle, T.]]></dc:creator>" in text
    assert "<sec><st>Background</st>" in text


# --- the clock ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", NEWS_SITES)
def test_nothing_is_served_before_it_is_published(room, site):
    for day in (0, 3, 7, 14, 16):
        room.now = START + timedelta(days=day, hours=7)
        out = [a for a in articles(site) if a.appears_at <= room.now]
        listed = {entry.link.split("?")[0] for entry in feedparser.parse(get(room.feed(site)).body).entries}

        assert listed == {room.url(site, room.sites[site].path(a)) for a in out}
        for article in articles(site):
            if article.page == "full" and article not in out:
                assert get(room.url(site, room.sites[site].path(article))).status == 404


def test_the_first_poll_finds_something_and_each_week_brings_more(room):
    counts = []
    for day in (0, 7, 14, 16):
        room.now = START + timedelta(days=day)
        counts.append(sum(len(feedparser.parse(get(room.feed(s)).body).entries) for s in NEWS_SITES))

    assert counts[0] >= 3
    assert counts[1] >= counts[0] + 15
    assert counts[2] >= counts[1] + 15
    assert counts[3] > counts[2]


def test_dates_follow_the_start():
    start = datetime(2027, 1, 4, tzinfo=UTC)
    with Newsroom(start=start, now=start + timedelta(days=3)) as room:
        entries = feedparser.parse(get(room.feed("xpress")).body).entries
        retrieved = get(room.url("xpress", ACCEPTANCE)).text

    years = sorted({entry.published_parsed.tm_year for entry in entries})
    assert years == [2014, 2027]
    assert "retrieved 7 January 2027" in retrieved


# --- conditional requests, robots, the log --------------------------------------------------------------------


@pytest.mark.parametrize("site", NEWS_SITES)
def test_an_unchanged_feed_answers_304_to_its_own_validators(room, site):
    room.now = START + timedelta(days=4)
    first = get(room.feed(site))

    by_tag = get(room.feed(site), {"If-None-Match": f'"other", {first.headers["ETag"]}'})
    by_date = get(room.feed(site), {"If-Modified-Since": first.headers["Last-Modified"]})
    tag_wins = get(room.feed(site), {"If-None-Match": '"x"', "If-Modified-Since": first.headers["Last-Modified"]})
    room.now += timedelta(days=5)
    later = get(room.feed(site), {"If-None-Match": first.headers["ETag"]})

    assert (by_tag.status, by_tag.body) == (304, b"")
    assert by_date.status == 304
    assert tag_wins.status == 200
    assert later.status == 200
    assert later.headers["ETag"] != first.headers["ETag"]


def test_a_malformed_date_in_a_condition_is_ignored(late):
    assert get(late.feed("daily"), {"If-Modified-Since": "yesterday"}).status == 200


def test_answers_are_compressed_for_those_who_ask(late):
    plain = get(late.feed("daily"))
    packed = get(late.feed("daily"), {"Accept-Encoding": "gzip, deflate"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2


def test_robots_allow_all_but_the_private_part(late):
    for site in ("xpress", "daily", "journal", "bulletin", "slow"):
        reply = get(late.url(site, "/robots.txt"))
        assert (reply.status, reply.text) == (200, "User-agent: *\nDisallow: /private/\n")


def test_every_request_is_logged_with_its_conditions(room):
    get(room.feed("daily"), {"If-None-Match": '"a"', "User-Agent": "MedicalNewsMonitor/1"})
    get(room.url("xpress", "/nowhere?x=1"), method="HEAD")

    first, second = room.requests
    assert (first.site, first.status, first.if_none_match) == ("daily", 200, '"a"')
    assert first.user_agent == "MedicalNewsMonitor/1"
    assert (second.method, second.path, second.status) == ("HEAD", "/nowhere?x=1", 404)


def test_head_has_the_headers_and_no_body(late):
    head, full = get(late.feed("journal"), method="HEAD"), get(late.feed("journal"))

    assert head.body == b""
    assert head.headers["Content-Length"] == str(len(full.body))


def test_each_site_is_an_origin_of_its_own(late):
    assert len(set(late.origins)) == 6
    assert all(origin.startswith("127.0.0.1:") for origin in late.origins)
    assert urlsplit(late.feed("xpress")).netloc == late.origins[0]


# --- pages ----------------------------------------------------------------------------------------------------


def test_the_acceptance_page_states_its_facts(room):
    room.now = datetime(2026, 6, 4, 12, tzinfo=UTC)
    page = soup(room, "xpress", ACCEPTANCE)
    article = page.select_one("article.news-article")
    citation = " ".join(article.select_one(".d-print-block").get_text().split())
    more = " ".join(article.select_one(".article-main__more").get_text().split())
    data = json.loads(page.select_one('script[type="application/ld+json"]').string)

    assert page.h1.get_text() == "Opioid tolerance and pain hypersensitivity associated with mTOR activation"
    assert article.select_one(".article__info p").get_text().strip() == "January 2, 2014"
    assert more.startswith("More information: J Clin Invest. DOI: 10.1172/JCI70236")
    assert article.select_one('a[data-doi="1"]')["href"] == "https://dx.doi.org/10.1172/JCI70236"
    assert "Provided by Journal of Clinical Investigation" in " ".join(article.get_text().split())
    assert (
        "Opioid tolerance and pain hypersensitivity associated with mTOR activation (2014, January 2) retrieved 4 June "
        "2026 from https://medicalxpress.com/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor.html"
    ) in citation
    assert "This document is subject to copyright." in citation
    assert data["datePublished"] == "2014-01-02T12:00:01-05:00"
    assert page.select_one('link[rel="canonical"]')["href"] == room.url("xpress", ACCEPTANCE)


def test_the_naive_parser_loses_the_citation_that_a_real_one_keeps(late):
    naive = soup(late, "xpress", ACCEPTANCE, "html.parser").select_one("article.news-article")
    right = soup(late, "xpress", ACCEPTANCE, "lxml").select_one("article.news-article")

    assert naive.select_one(".d-print-block") is None
    assert right.select_one(".d-print-block") is not None
    assert len(right.select(".article-main > p")) == len(naive.select(".article-main > p")) + 5


def test_the_sidebar_would_fool_a_reader_of_the_whole_page(late):
    page = soup(late, "xpress", path_of(late, "xpress", "sprinters-hamstring-eccentric-training"))
    body = " ".join(p.get_text() for p in page.select(".article-main > p"))

    for word in ("opioid tolerance", "mTORC1", "Semaglutide", "CRISPR", "Alzheimer's disease", "MRSA"):
        assert word in page.get_text()
        assert word not in body


def test_a_page_changes_with_every_fetch_and_its_retrieved_date_with_the_day(room):
    room.now = START + timedelta(days=2)
    first, second = (get(room.url("xpress", ACCEPTANCE)).text for _ in range(2))
    room.now += timedelta(days=1)
    third = get(room.url("xpress", ACCEPTANCE)).text

    assert first != second
    assert "retrieved 3 June 2026" in second
    assert "retrieved 4 June 2026" in third


def test_the_paywall_page_has_no_paragraph_of_text(late):
    page = soup(late, "xpress", path_of(late, "xpress", "why-patients-stop-weight-loss-injections"))

    assert page.select_one(".paywall-offer") is not None
    assert page.select(".article-main > p:not(.article-main__note)") == []


def test_the_daily_page_has_its_landmarks(late):
    page = soup(late, "daily", path_of(late, "daily", "river-antibiotic-resistance-genes"))

    assert page.select_one("dd#date_posted").get_text() == "June 14, 2026"
    assert page.select_one("dd#source").get_text() == "Harrow Vale University"
    assert page.select_one("dd#abstract").get_text().startswith("Resistance in river bacteria")
    assert page.select_one("p#first").get_text().startswith("Waste water")
    assert len(page.select("div#text > p")) == 6
    assert page.select_one("#journal_references a")["href"] == "http://dx.doi.org/10.5555/swr.2026.0613"
    assert all(page.select_one(f"#citations #citation_{style}") for style in ("mla", "apa", "chicago"))


def test_the_landing_page_carries_citation_tags(late):
    page = soup(late, "journal", path_of(late, "journal", "opioid-holidays-hold-trial"))
    tags = {tag["name"]: tag["content"] for tag in page.select("meta[name]")}
    authors = [tag["content"] for tag in page.select('meta[name="citation_author"]')]

    assert tags["citation_doi"] == "10.5555/jsm.26.0731"
    assert tags["citation_publication_date"] == "2026/06/13"
    assert authors == ["Ines Carvalho-Roth", "Matthias Okello-Brun", "Hedda V. Lindauer"]
    assert "Tolerance to opioids" in page.select_one(".abstract").get_text()


# --- what is broken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "status"), [("missing", 404), ("gone", 410), ("error", 500), ("html", 200)])
def test_a_broken_feed_answers_as_it_should(late, name, status):
    reply = get(late.feed("bulletin", name))

    assert reply.status == status
    assert reply.headers["Content-Type"].startswith("text/html")


def test_the_cut_feed_ends_inside_its_last_entry(late):
    body = get(late.feed("bulletin", "cut")).body

    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(body)
    assert body.count(b"</item>") == 3
    assert body.count(b"<item>") == 4


def test_the_dropped_feed_hangs_up_before_the_promised_length(late):
    with pytest.raises(http.client.IncompleteRead):
        get(late.feed("bulletin", "dropped"))


def test_the_pages_of_the_cut_feed_can_be_read(late):
    for entry in feedparser.parse(get(late.feed("bulletin", "cut")).body).entries[:3]:
        assert get(entry.link).status == 200


def test_the_slow_site_drips(late):
    with socket.create_connection(late.origins[-1].split(":"), timeout=5) as connection:
        connection.sendall(b"GET /feed.xml HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
        received = b""
        while b"<?xml" not in received:
            received += connection.recv(1000)

    assert time.monotonic() - began >= 0.2  # five bytes at 0.05 s
    assert b"</rss>" not in received


def test_closing_does_not_wait_for_slow_or_idle_clients():
    others = set(threading.enumerate())

    with Newsroom(pace=60) as room:
        idle = http.client.HTTPConnection(room.origins[0])
        idle.request("GET", "/robots.txt")
        idle.getresponse().read()
        waiting = socket.create_connection(room.origins[-1].split(":"))
        waiting.sendall(b"GET /feed.xml HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting.recv(100)
        began = time.monotonic()

    idle.close()
    waiting.close()
    assert time.monotonic() - began < 3
    assert set(threading.enumerate()) <= others


# --- the postbox ----------------------------------------------------------------------------------------------


def send(box: Postbox, text: str, to: str = "reader@example.org") -> None:
    with smtplib.SMTP("127.0.0.1", box.port, timeout=5) as client:
        client.sendmail("monitor@example.org", [to], text.encode())


def test_the_postbox_keeps_what_arrives_in_memory_and_on_disk(tmp_path):
    with Postbox(tmp_path / "mail") as box:
        send(box, "Subject: Your week\r\n\r\n.dot first\r\nZweite Zeile: über\r\n")

        [received] = box.messages
    assert (received.sender, received.recipients) == ("monitor@example.org", ("reader@example.org",))
    assert received.data == "Subject: Your week\r\n\r\n.dot first\r\nZweite Zeile: über\r\n".encode()
    assert received.path.read_bytes() == received.data
    assert received.path.suffix == ".eml"
    assert received.parsed()["Subject"] == "Your week"


def test_the_postbox_fails_as_often_as_told(tmp_path):
    with Postbox(tmp_path) as box:
        box.fail_next(2, "451 4.3.0 Try later")
        codes = []
        for _ in range(3):
            try:
                send(box, "Subject: x\r\n\r\ny\r\n")
                codes.append(250)
            except smtplib.SMTPDataError as error:
                codes.append(error.smtp_code)

    assert codes == [451, 451, 250]
    assert len(box.messages) == 1
    assert box.refused == ["reader@example.org", "reader@example.org"]


def test_a_recipient_cannot_choose_where_a_message_is_written(tmp_path):
    with Postbox(tmp_path / "mail") as box:
        send(box, "Subject: x\r\n\r\ny\r\n", to="<../../evil@example.org>")

    assert [path.parent for path in tmp_path.rglob("*.eml")] == [tmp_path / "mail"]


def test_many_postboxes_open_at_once_on_ports_of_their_own(tmp_path):
    with Postbox(tmp_path / "a") as one, Postbox(tmp_path / "b") as two:
        send(two, "Subject: x\r\n\r\ny\r\n")

        assert one.port != two.port
        assert (len(one.messages), len(two.messages)) == (0, 1)


def test_waiting_for_mail_ends_when_it_arrives_or_in_time(tmp_path):
    with Postbox(tmp_path) as box:
        sender = threading.Timer(0.1, send, (box, "Subject: x\r\n\r\ny\r\n"))
        sender.start()

        assert box.wait_for(1, timeout=5)
        assert not box.wait_for(2, timeout=0.05)
        sender.join()


def test_without_aiosmtpd_the_postbox_says_what_to_install(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "aiosmtpd.controller", None)

    with pytest.raises(ConfigError, match=r"medical-news-monitor\[demo\]"):
        Postbox(tmp_path).__enter__()


def test_the_busy_site_asks_for_two_minutes_of_rest(room: Newsroom) -> None:
    reply = get(room.feed("busy"))

    assert reply.status == 429
    assert reply.headers["Retry-After"] == "120"
