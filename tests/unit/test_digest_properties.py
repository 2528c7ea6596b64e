"""What holds for any articles, however odd: nothing lost, nothing twice, nothing raised, nothing that is not text."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

from digest_samples import LETTERHEAD, LINKS, WEEK, WEEKLY, weekly_digest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from monitor.digest import render, to_bibtex, to_csl_json, to_ris
from monitor.digest.excerpt import reasons, snippet, tidy
from monitor.model import Article, Field, Found, Match, Span

TEXT = st.text(max_size=600)  # lone surrogates and controls included
SPANS = st.lists(
    st.builds(
        Span,
        st.sampled_from(Field),
        st.integers(-5, 700),
        st.integers(-5, 700),
        st.sampled_from(["mTOR", "opioid*", "", "a\r\nb"]),
    ),
    max_size=12,
)


@st.composite
def articles(draw: st.DrawFn, number: int = 0) -> Article:
    return Article(
        id=number,
        url=draw(st.one_of(st.just(f"https://example.org/{number}"), TEXT)),
        canonical_url=draw(st.one_of(st.just(f"https://example.org/{number}"), TEXT)),
        key=f"key {number}",
        title=draw(TEXT),
        published=draw(st.one_of(st.none(), st.just(WEEK.end - timedelta(hours=number)))),
        authors=tuple(draw(st.lists(TEXT, max_size=5))),
        summary=draw(TEXT),
        body=draw(TEXT),
        doi=draw(st.one_of(st.just("10.5555/a"), TEXT)),
        pmid=draw(st.one_of(st.just("123"), TEXT)),
        journal=draw(TEXT),
        citation=draw(TEXT),
    )


@st.composite
def news(draw: st.DrawFn) -> tuple[Found, ...]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        topic_ids = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True))
        matches = tuple(
            Match(topic_id=topic, revision_id=1, score=draw(st.floats(0, 50)), spans=tuple(draw(SPANS)))
            for topic in topic_ids
        )
        found.append(Found(article=draw(articles(number)), matches=matches, source_name=draw(TEXT)))
    return tuple(found)


@given(news(), st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_every_article_of_the_readers_topics_has_exactly_one_place(found, max_items):
    digest = weekly_digest(found=found, subscription=replace(WEEKLY, max_items=max_items))

    wanted = {one.article.key for one in found if any(match.topic_id in WEEKLY.topic_ids for match in one.matches)}
    shown = [item.article.key for item in digest.items]
    assert len(shown) == len(set(shown)) == min(max_items, len(wanted))
    assert set(shown) <= wanted
    assert sum(section.total for section in digest.sections) == len(wanted)
    assert [item.number for item in digest.items] == list(range(1, len(shown) + 1))
    places = [section.topic.id for section in digest.sections] + [topic.id for topic, _ in digest.quiet]
    assert sorted(places) == [1, 2, 3, 4, 5]


@given(news())
@settings(max_examples=20, deadline=None)
def test_any_digest_renders_to_a_sound_message(found):
    message = render(weekly_digest(found=found), LETTERHEAD, LINKS)

    parsed = cast(EmailMessage, message_from_bytes(message.data, policy=default))
    assert [part.defects for part in parsed.walk()] == [[], [], []]
    page = lxml_html.document_fromstring(message.html)
    assert not page.xpath("//script|//img|//iframe|//@onclick")
    assert all(href.startswith(("https://", "http://", "#")) for href in page.xpath("//@href"))
    assert "\x00" not in message.html


@given(articles(1), SPANS)
@settings(max_examples=120, deadline=None)
def test_a_snippet_is_clean_text_whose_hits_lie_where_the_match_says(article, spans):
    match = Match(topic_id=1, revision_id=1, spans=tuple(spans))

    pieces = snippet(article, match)

    hits = {tidy(article.body[span.start : span.end]) for span in spans if span.field is Field.BODY}
    assert all(text.strip() in hits for text, is_hit in pieces if is_hit)
    assert all(text == text.replace("\n", "").replace("\x00", "") and text for text, _ in pieces)
    assert len("".join(text for text, _ in pieces)) <= 310
    assert all(reason.count("*") % 2 == 0 for reason in reasons(article, match))


@given(st.lists(articles(), max_size=4))
@settings(max_examples=40, deadline=None)
def test_references_can_be_written_for_anything(some):
    for written in (to_ris(some), to_bibtex(some), to_csl_json(some)):
        written.encode()
    assert to_ris(some).count("\r\nER  - ") == len(some)
