"""What the engine's short cuts take for granted."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.match import Matcher
from monitor.match.made import make_match, make_span, make_term
from monitor.model import Article, Field, Match, Span, Term, Topic
from monitor.text import _IRREGULAR, Folded, stem


def article(body: str) -> Article:
    return Article(url="", canonical_url="", key="", title="", body=body)


def found(query: str, body: str) -> list[Match]:
    matcher = Matcher()
    matcher.add(Topic(id=1, slug="", name="", query=query))
    return matcher.match(article(body))


@given(st.one_of(st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True), st.sampled_from(sorted(_IRREGULAR))))
def test_a_stem_begins_as_its_word_does(token):
    assert stem(token)[0] == token[0]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ('"zoster mouse"', "zoster mice"),
        ('"zosteric feet of"', "zosteric foot of"),
        ('"women zosteric"', "woman zosteric"),
        ('"zosteric opio*"', "zosteric opioids"),
        ('"zosteric α"', "zosteric alpha"),
        ('"6 zosteric"', "6 zosteric"),
    ],
)
def test_a_glance_at_the_first_letter_loses_no_phrase(query, body):
    assert found(query, body)


def test_a_value_made_quickly_is_the_value():
    span = make_span(Field.BODY, 1, 2, "a")
    match = make_match(1, 2, 3, 0.5, (span,))
    term = make_term(1, 2, "opioid", "title", True, False)

    assert span == Span(Field.BODY, 1, 2, "a")
    assert match == Match(topic_id=1, revision_id=2, article_id=3, score=0.5, spans=(span,))
    assert term == Term(text="opioid", field="title", prefix=True)
    assert [getattr(match, field.name) for field in fields(Match)] == [1, 2, 3, 0.5, (span,), None]


def test_an_alternative_named_twice_counts_once():
    once, twice = found("opioid OR pain", "opioid"), found("opioid OR opioid OR pain", "opioid")

    assert once == twice


@pytest.mark.parametrize("gap", [" ", "   ", ", ", "\n"])
@pytest.mark.parametrize("word", ["a", "word", "x" * 700, "é" * 90])
def test_places_are_right_far_into_a_text(gap, word):
    text = gap.join([word] * 500)

    places = [Folded(text).place(index) for index in (0, 47, 48, 95, 96, 499)]

    step = len(word) + len(gap)
    assert places == [(index * step, index * step + len(word)) for index in (0, 47, 48, 95, 96, 499)]


def test_a_word_met_before_is_looked_at_again_for_a_beginning_of_one_figure() -> None:
    matcher = Matcher()
    matcher.add(Topic(id=1, slug="a", name="A", query="opioid"))
    article = Article(url="", canonical_url="", key="", title="", body="IL-6opioid")
    matcher.match(article)

    matcher.add(Topic(id=2, slug="b", name="B", query="IL6*"))

    assert [match.topic_id for match in matcher.match(article)] == [2]
