"""The mail that a reader gets: complete, within budget, in the reader's time, and the same bytes each time."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from typing import cast

import pytest
from digest_samples import (
    ACCEPTANCE,
    COVERAGE,
    LETTERHEAD,
    LINKS,
    NO_WEB,
    READER,
    TOPICS,
    WEEK,
    WEEKLY,
    many,
    week_of_news,
    weekly_digest,
)
from lxml import html as lxml_html

from monitor.digest import Links, Purpose, render, wording
from monitor.digest.render import FULL_CARDS_UNTIL
from monitor.errors import MailError
from monitor.model import Cadence, Coverage, Found, Match, Message, Period, Topic, Verdict

LIMIT = 95_000
HOSTILE = {
    "header": "Trial ends\r\nBcc: victim@example.net",
    "encoded word": "A =?UTF-8?Q?=0A?=Bcc: x@example.net",
    "nel and ls": "One\x85Two\u2028Three\u2029Four",
    "bidi": "safe\u202eexe.cod\u2066",
    "surrogate": "broken \ud800 pair \udfff",
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": "\" onmouseover=\"alert(1)' x='",
    "template": "{{7*7}}{% for x in y %}{{ config }}",
    "slots": "\x00N\x00 \x00R\x00 \x00S0\x00 \x00near\x00",
}


def mail(message: Message) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(message.data, policy=default))


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def hostile_digest(text: str):
    found = many(2)
    one = replace(
        found[0].article,
        title=text,
        authors=(text,),
        journal=text,
        body=text,
        summary=text,
        citation=text,
        provider=text,
    )
    topics = replace(TOPICS[0], name=text)
    digest = weekly_digest(found=(replace(found[0], article=one, source_name=text), found[1]))
    sections = (replace(digest.sections[0], topic=topics), *digest.sections[1:])
    return replace(digest, sections=sections, subscriber=replace(READER, name=text))


# --- the golden rules ----------------------------------------------------------------------------------------------


def test_the_same_digest_renders_to_the_same_bytes():
    first = render(weekly_digest(), LETTERHEAD, LINKS)
    again = render(weekly_digest(), LETTERHEAD, Links("https://news.example.org", "a key for tests only"))

    assert first == again


def test_the_message_parses_without_defects_into_two_texts():
    message = mail(render(weekly_digest(), LETTERHEAD, LINKS))

    assert [one.get_content_type() for one in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert [one.defects for one in message.walk()] == [[], [], []]
    for name, value in message.items():
        assert not getattr(value, "defects", ()), name


def test_lines_end_in_crlf_and_none_is_longer_than_76_in_a_body():
    data = render(weekly_digest(), LETTERHEAD, LINKS).data
    head, _, body = data.partition(b"\r\n\r\n")

    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert max(len(line) for line in head.split(b"\r\n")) <= 998
    assert max(len(line) for line in body.split(b"\r\n")) <= 76


def test_every_header_of_a_digest_is_there():
    message = mail(render(weekly_digest(), LETTERHEAD, LINKS))

    assert {name: str(message[name]) for name in message} | {"List-Unsubscribe": "", "Content-Type": ""} == {
        "From": "Medical News Monitor <digest@news.example.org>",
        "To": "Dr Ada Weber <ada.weber@example.org>",
        "Reply-To": "Medical News Monitor <library@example.org>",
        "Subject": "9 new: Opioid tolerance, GLP-1 and obesity (+2 topics), 17–23 Nov 2026",
        "Date": "Mon, 23 Nov 2026 07:00:12 +0000",
        "Message-ID": str(message["Message-ID"]),
        "List-Id": "<weekly.news.example.org>",
        "List-Unsubscribe": "",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
        "Precedence": "bulk",
        "X-Auto-Response-Suppress": "All",
        "Feedback-ID": "weekly:2026w47:digest:monitor",
        "Content-Language": "en",
        "X-Monitor-Topics": "opioid-tolerance, mtor, glp-1, antibiotic-resistance",
        "MIME-Version": "1.0",
        "Content-Type": "",
    }


def test_the_message_id_names_subscription_and_period_and_nobody_else_can_make_it():
    first = render(weekly_digest(), LETTERHEAD, LINKS).message_id
    later = weekly_digest(period=Period(key="2026-W48", start=WEEK.end, end=WEEK.end + timedelta(days=7)))

    assert re.fullmatch(r"<2026-W47\.31\.[0-9a-f]{12}@news\.example\.org>", first)
    assert render(later, LETTERHEAD, LINKS).message_id != first
    assert render(weekly_digest(), LETTERHEAD, Links("https://news.example.org", "another key")).message_id != first
    assert render(replace(weekly_digest(), composed_at=WEEK.end), LETTERHEAD, LINKS).message_id == first


def test_list_unsubscribe_with_an_address_of_120_characters_stays_literal():
    links = Links("https://news.example.org/" + "a-long-prefix-" * 5, "a key for tests only")
    uri = links.unsubscribe(READER, WEEKLY)
    assert len(uri) >= 120

    data = render(weekly_digest(), LETTERHEAD, links).data

    assert f"\r\nList-Unsubscribe: <{uri}>,\r\n <mailto:library@".encode() in data
    assert b"=?" not in data.partition(b"List-Unsubscribe:")[2].partition(b"Precedence")[0]


def test_one_click_is_offered_only_with_https():
    plain = render(weekly_digest(), LETTERHEAD, Links("http://localhost:8000", "k"))

    assert b"List-Unsubscribe-Post" not in plain.data
    assert b"List-Unsubscribe: <http://localhost:8000/u/" in plain.data


def test_without_a_web_address_no_link_needs_the_web():
    message = render(weekly_digest(), LETTERHEAD, NO_WEB)
    parsed = mail(message)

    assert str(parsed["List-Unsubscribe"]).startswith("<mailto:library@example.org?subject=unsubscribe%20")
    assert "List-Unsubscribe-Post" not in parsed
    hrefs = set(re.findall(r'href="([^"]+)"', message.html))
    assert not [href for href in hrefs if not href.startswith(("https://", "mailto:", "#"))]
    assert "Relevant" not in message.html
    assert "View in browser" not in message.html
    assert "Cite" not in message.html


def test_a_recipient_that_cannot_stand_in_a_header_is_refused():
    for email in ("no-at-sign", "two\r\nBcc: x@example.net", "@example.org", "ü@example.org"):
        with pytest.raises(MailError):
            render(weekly_digest(subscriber=replace(READER, email=email)), LETTERHEAD, LINKS)


def test_names_with_commas_quotes_and_accents_survive():
    reader = replace(READER, name='Dr Zoë "Z" Nguyễn-Müller, Department of β-Cells')

    data = render(weekly_digest(subscriber=reader), LETTERHEAD, LINKS).data

    shown, addr_spec = parseaddr(message_from_bytes(data)["To"])
    assert str(make_header(decode_header(shown))) == reader.name
    assert addr_spec == READER.email


# --- hostile words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_words_appear_as_text_and_nothing_else(text):
    clean = mail(render(weekly_digest(found=many(2)), LETTERHEAD, LINKS))

    message = mail(render(hostile_digest(text), LETTERHEAD, LINKS))

    assert message.keys() == clean.keys()
    assert [one.get_content_type() for one in message.walk()] == [one.get_content_type() for one in clean.walk()]
    page = lxml_html.document_fromstring(part(message, "html"))
    assert not page.xpath("//script|//img|//@onmouseover|//@onerror")
    assert "49" not in page.xpath("string(//h1)")
    assert "\x00" not in part(message, "html") + part(message, "plain")
    assert "\u202e" not in part(message, "html") + part(message, "plain") + str(message["Subject"])


def test_a_title_that_is_markup_or_a_template_can_be_read_as_such():
    for text in (HOSTILE["markup"], HOSTILE["template"]):
        page = lxml_html.document_fromstring(render(hostile_digest(text), LETTERHEAD, LINKS).html)

        assert text in [link.text_content() for link in page.xpath("//h3/a")]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "//example.org/no-scheme",
        "https://user:pass@example.org/",
        "https://",
        "https://[broken/",
        'https://example.org/"onclick="x',
        "https://example.org/\u202etxt",
        "https://example.org/" + "a" * 2000,
        "file:///etc/passwd",
    ],
)
def test_only_plain_web_addresses_become_links(url):
    found = many(1)[0]
    article = replace(found.article, url=url, canonical_url=url)

    message = render(weekly_digest(found=(replace(found, article=article),)), LETTERHEAD, LINKS)

    assert '<h3 dir="auto" style="margin:0;font:bold 18px/25px' in message.html
    assert not lxml_html.document_fromstring(message.html).xpath("//h3/a")
    assert f"{url.strip()}\n" not in part(mail(message), "plain")


def test_every_link_is_absolute_and_unsubscribe_stands_in_html_text_and_header():
    message = render(weekly_digest(), LETTERHEAD, LINKS)
    parsed = mail(message)
    unsubscribe = LINKS.unsubscribe(READER, WEEKLY)

    page = lxml_html.document_fromstring(part(parsed, "html"))
    anchors = {f"#{name}" for name in page.xpath("//a/@name")}
    for href in page.xpath("//a/@href"):
        assert href.startswith("https://") or href in anchors, href
    assert unsubscribe in page.xpath("//a[text()='Unsubscribe']/@href")
    assert unsubscribe in part(parsed, "plain").splitlines()
    assert f"<{unsubscribe}>" in str(parsed["List-Unsubscribe"])


# --- what a card says ----------------------------------------------------------------------------------------------


def test_the_acceptance_article_stands_there_with_doi_link_and_citation():
    message = render(weekly_digest(), LETTERHEAD, LINKS)
    page = lxml_html.document_fromstring(message.html)
    card = page.xpath(f"//td[h3/a[text()='{ACCEPTANCE.title}']]")[0]
    text = part(mail(message), "plain")

    assert card.xpath(".//a[@href='https://doi.org/10.1172/JCI70236']/text()") == ["https://doi.org/10.1172/JCI70236"]
    words = " ".join(card.text_content().split())
    assert ACCEPTANCE.citation in words
    assert "Medical Xpress · J Clin Invest · 2 Jan 2014" in words
    assert "Matched Opioid tolerance in title; morphine in text · also in mTOR" in words
    assert card.xpath(".//b[@class='k']/text()")[0] == "opioid tolerance"
    assert "https://doi.org/10.1172/JCI70236" in text
    assert ACCEPTANCE.citation in " ".join(text.split())


def test_a_card_has_feedback_pubmed_and_cite_and_three_authors():
    message = render(weekly_digest(), LETTERHEAD, LINKS)
    page = lxml_html.document_fromstring(message.html)
    card = page.xpath("//td[h3/a[starts-with(text(), 'Sublingual')]]")[0]
    claims = {
        link.text: LINKS.read(Purpose.FEEDBACK, link.get("href").rsplit("/", 1)[1])
        for link in card.xpath(".//a[contains(text(), 'elevant')]")
    }

    assert {text: (claim.article_id, claim.topic_id, claim.verdict) for text, claim in claims.items()} == {
        "Relevant": (200, 1, Verdict.RELEVANT),
        "Not relevant": (200, 1, Verdict.NOT_RELEVANT),
    }
    assert card.xpath(".//a[text()='PubMed']/@href") == ["https://pubmed.ncbi.nlm.nih.gov/41230981/"]
    assert LINKS.read(Purpose.CITE, card.xpath(".//a[text()='Cite']/@href")[0].rsplit("/", 1)[1]).article_id == 200
    assert "Ines Duarte, Koji Mori, Fatou Sarr et al." in card.text_content()


def test_cards_made_once_still_carry_each_readers_own_links():
    other = replace(READER, id=8, email="other@example.org")

    mine = render(weekly_digest(), LETTERHEAD, LINKS)
    theirs = render(weekly_digest(subscriber=other), LETTERHEAD, LINKS)

    for message, reader in ((mine, READER), (theirs, other)):
        tokens = re.findall(r"/f/([\w.~-]+)", message.html)
        assert len(tokens) == 18
        assert {LINKS.read(Purpose.FEEDBACK, token).subscriber_id for token in tokens} == {reader.id}


def test_a_card_in_another_language_says_so_to_screen_readers():
    found = many(2)
    german = replace(found[0], article=replace(found[0].article, language="de-AT", title="Neues zu Semaglutid"))
    odd = replace(found[1], article=replace(found[1].article, language='de" onload="x'))

    page = lxml_html.document_fromstring(render(weekly_digest(found=(german, odd)), LETTERHEAD, LINKS).html)

    assert page.xpath("//h3[@lang='de-AT']/a/text()") == ["Neues zu Semaglutid"]
    assert len(page.xpath("//h3[@lang]")) == 1


def test_scores_are_never_shown():
    found = many(1)[0]
    digest = weekly_digest(found=(replace(found, matches=(replace(found.matches[0], score=87.654321),)),))

    message = render(digest, LETTERHEAD, LINKS)

    assert "87.6" not in message.html + part(mail(message), "plain")


def test_text_and_html_list_the_same_articles_under_the_same_numbers():
    message = mail(render(weekly_digest(found=many(60)), LETTERHEAD, LINKS))
    page = lxml_html.document_fromstring(part(message, "html"))

    in_html = [int(cell.text) for cell in page.xpath("//td[@class='n']")]
    in_text = [int(number) for number in re.findall(r"^ ?(\d+)\. ", part(message, "plain"), re.MULTILINE)]

    assert in_html == in_text


def test_prose_of_the_text_part_keeps_to_72_columns_and_addresses_stay_whole():
    text = part(mail(render(weekly_digest(), LETTERHEAD, LINKS)), "plain")

    for line in text.splitlines():
        assert len(line) <= 72 or "://" in line, line
    assert "\n-- \n" in text
    assert "\n\n\n\n" not in text


# --- the frame -----------------------------------------------------------------------------------------------------


def test_coverage_says_what_was_not_checked():
    text = " ".join(part(mail(render(weekly_digest(), LETTERHEAD, LINKS)), "plain").split())

    assert (
        "Checked 42 sources; not checked: MedPage Daily for 3 days (the server answers 503), Journal of Slow Science "
        "for 7 hours (no answer within 20 s); 812 articles seen, 31 matched."
    ) in text
    assert "No news: Long COVID (last: 3 Nov 2026)." in text


@pytest.mark.parametrize(
    ("next_at", "timezone", "expected"),
    [
        (datetime(2027, 3, 22, 6, tzinfo=UTC), "Europe/Berlin", "Monday, 22 March 2027, 07:00 (Europe/Berlin)"),
        (datetime(2027, 3, 29, 5, tzinfo=UTC), "Europe/Berlin", "Monday, 29 March 2027, 07:00 (Europe/Berlin)"),
        (
            datetime(2026, 11, 2, 12, tzinfo=UTC),
            "America/New_York",
            "Monday, 2 November 2026, 07:00 (America/New_York)",
        ),
        (
            datetime(2026, 12, 31, 20, tzinfo=UTC),
            "Pacific/Auckland",
            "Friday, 1 January 2027, 09:00 (Pacific/Auckland)",
        ),
    ],
    ids=["before summer time", "after the clocks changed", "new york", "over new year"],
)
def test_the_next_date_is_what_the_readers_clock_will_show(next_at, timezone, expected):
    digest = weekly_digest(subscription=replace(WEEKLY, timezone=timezone), next_at=next_at)

    message = mail(render(digest, LETTERHEAD, LINKS))

    assert f"Next digest: <b>{expected}</b>" in part(message, "html")
    assert f"Next digest: {expected}" in " ".join(part(message, "plain").split())


def test_a_daily_digest_names_its_day_and_neighbours_share_none():
    day = Period(
        key="2026-11-24", start=datetime(2026, 11, 23, 6, tzinfo=UTC), end=datetime(2026, 11, 24, 6, tzinfo=UTC)
    )

    subject = render(
        weekly_digest(period=day, subscription=replace(WEEKLY, cadence=Cadence.DAILY)), LETTERHEAD, LINKS
    ).subject

    assert subject.endswith(", 24 Nov 2026")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (datetime(2026, 11, 29, 23, tzinfo=UTC), datetime(2026, 12, 6, 23, tzinfo=UTC), "30 Nov – 6 Dec 2026"),
        (datetime(2026, 12, 28, 6, tzinfo=UTC), datetime(2027, 1, 4, 6, tzinfo=UTC), "29 Dec 2026 – 4 Jan 2027"),
        (datetime(2026, 11, 24, 9, 58, tzinfo=UTC), datetime(2026, 11, 24, 9, 59, tzinfo=UTC), "24 Nov 2026"),
    ],
    ids=["from midnight to midnight", "over new year", "at once"],
)
def test_the_days_of_a_period(start, end, expected):
    digest = weekly_digest(period=Period(key="k", start=start, end=end))

    assert render(digest, LETTERHEAD, LINKS).subject.endswith(f", {expected}")


def test_an_empty_issue_says_so():
    digest = replace(weekly_digest(found=many(1)), sections=(), quiet=tuple((topic, None) for topic in TOPICS))

    message = render(digest, LETTERHEAD, LINKS)

    assert message.subject == "[No news] Opioid tolerance, mTOR (+3 topics), 17–23 Nov 2026"
    assert ">No news</h1>" in message.html
    assert "Checked 42 sources" in message.html


def test_near_misses_have_their_own_section():
    digest = weekly_digest(subscription=replace(WEEKLY, near_misses=True), near=many(3))

    message = render(digest, LETTERHEAD, LINKS)

    assert "Near misses</h2>" in message.html
    assert "Near misses\n===" in part(mail(message), "plain").replace("\r\n", "\n")
    assert message.html.count("Study 2: what semaglutide") == 1


@pytest.mark.parametrize(
    ("matched", "history", "expected"),
    [
        (21, (9, 12, 10, 8, 14, 11, 16, 13), "▲ 1.8×"),
        (4, (9, 12, 10, 8, 14, 11, 16, 13), "▼ 0.3×"),
        (12, (9, 12, 10, 8, 14, 11, 16, 13), ""),
        (4, (1, 1, 1, 1), ""),
        (50, (0, 0, 0, 0), ""),
        (50, (), ""),
    ],
    ids=["more", "less", "as usual", "too few to say", "new topic", "no history"],
)
def test_change_against_the_weeks_before(matched, history, expected):
    assert wording.change(matched, history) == expected


def test_only_a_weekly_digest_is_compared_with_weeks():
    news = many(100, topics=1)
    history = {1: (9, 12, 10, 8, 14, 11, 16, 13)}

    weekly = render(weekly_digest(found=news, history=history), LETTERHEAD, LINKS)
    daily = render(
        weekly_digest(found=news, history=history, subscription=replace(WEEKLY, cadence=Cadence.DAILY)),
        LETTERHEAD,
        LINKS,
    )

    assert "▲ 8.7×" in weekly.html
    assert "▲" not in daily.html
    assert "▅▆▅▅▇▆█▇" in weekly.html


def test_nothing_that_only_a_later_issue_knows_is_hinted_at():
    message = render(weekly_digest(), LETTERHEAD, LINKS)

    for word in ("Retract", "retract", "Open access", "also covered", "Also covered", "<img", "pixel"):
        assert word not in message.html + part(mail(message), "plain")


# --- the budget ----------------------------------------------------------------------------------------------------

WORST = {
    "60 ordinary": many(60),
    "300 ordinary": many(300),
    "titles of 5,000 ampersands": many(60, title="&" * 5000),
    "titles of quotes in 60 articles": many(60, title="\"'<>" * 100),
    "bodies of a megabyte": many(6, body="<&semaglutide rapamycin" * 40_000),
    "astral characters": many(100, title="𝔘𝔫𝔦𝔠𝔬𝔡𝔢 " * 60, body="𝔰𝔢𝔪 semaglutide " * 200),
}


@pytest.mark.parametrize("found", WORST.values(), ids=WORST.keys())
def test_html_stays_below_what_gmail_clips_and_the_footer_is_there(found: tuple[Found, ...]):
    digest = weekly_digest(found=found, subscription=replace(WEEKLY, max_items=1000))

    message = render(digest, LETTERHEAD, LINKS)

    html = part(mail(message), "html")
    assert len(html.encode()) <= LIMIT
    assert ">Unsubscribe</a>" in html
    assert len(part(mail(replace(message, data=message.compact)), "html").encode()) <= 45_000
    assert b">Unsubscribe</a>" in message.compact.replace(b"=\r\n", b"")


def test_120_topics_with_long_names_stay_within_the_budget_too():
    topics = [Topic(id=number, slug=f"t{number}", name=f"T{number} & " * 40, query="x") for number in range(1, 121)]
    news = many(600, topics=120)
    digest = weekly_digest(found=many(1))
    sections = tuple(
        replace(digest.sections[0], topic=topic, items=items, total=900, history=(1, 2, 3, 4, 5, 6, 7, 8))
        for topic, items in zip(topics, _dealt(news, topics), strict=True)
    )
    coverage = Coverage(
        sources_checked=1,
        unchecked=tuple(replace(COVERAGE.unchecked[0], name="N" * 500, reason="r" * 900) for _ in range(500)),
        articles_seen=1,
        articles_matched=1,
    )

    message = render(
        replace(digest, sections=sections, coverage=coverage, quiet=tuple((topic, None) for topic in topics)),
        LETTERHEAD,
        LINKS,
    )

    assert len(part(mail(message), "html").encode()) <= LIMIT
    assert message.html.count("<h3") == 600  # the web view holds all of it


def _dealt(news: tuple[Found, ...], topics: list[Topic]):
    per_topic = len(news) // len(topics)
    items = weekly_digest(found=many(5)).items
    for index in range(len(topics)):
        yield tuple(
            replace(items[0], number=index * per_topic + offset + 1, article=news[index * per_topic + offset].article)
            for offset in range(per_topic)
        )


def test_full_cards_come_first_then_rows_then_a_count_and_every_topic_has_its_share():
    digest = weekly_digest(found=many(300), subscription=replace(WEEKLY, max_items=300))

    message = render(digest, LETTERHEAD, LINKS)

    html = part(mail(message), "html")
    page = lxml_html.document_fromstring(html)
    sections = page.xpath("//table[.//h3 and not(.//table)]")
    full = [len(section.xpath(".//h3")) for section in sections]
    rows = [len(section.xpath(".//td[contains(@class,'m')]/a[@class='t']")) for section in sections]
    more = [int(number) for number in re.findall(r"and (\d+) more in the web view", html)]
    assert len(sections) == 5
    assert max(full) - min(full) <= 1
    assert max(rows) - min(rows) <= 1
    assert sum(full) + sum(rows) + sum(more) == 300
    assert html.rindex("<h3") < FULL_CARDS_UNTIL + 20_000
    assert message.html.count("<h3") == 300
    assert part(mail(message), "plain").count("more in the web view") == 5


def test_thirty_real_cards_all_stand_in_full():
    message = render(weekly_digest(found=many(30)), LETTERHEAD, LINKS)

    assert part(mail(message), "html").count("<h3") == 30


def test_the_web_view_is_the_mail_where_everything_fits():
    message = render(weekly_digest(found=week_of_news()), LETTERHEAD, LINKS)

    assert part(mail(message), "html").strip() == message.html.strip()


def test_two_matches_of_one_article_do_not_share_a_card():
    found = many(1)[0]
    other = Match(topic_id=2, revision_id=1, article_id=found.article.id, score=1.0)

    one = render(weekly_digest(found=(found,)), LETTERHEAD, LINKS)
    two = render(weekly_digest(found=(replace(found, matches=(other,)),)), LETTERHEAD, LINKS)

    assert "Matched" in one.html
    assert "Matched" not in two.html
