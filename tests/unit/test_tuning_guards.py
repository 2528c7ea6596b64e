"""Guard rails speak where they should, and keep silent where nothing is wrong."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_match_oracle import articles, atleast, near, or_groups, terms

from monitor.match import Matcher, parse_query
from monitor.match.guards import (
    ExampleText,
    Neighbour,
    Volume,
    broken_examples,
    deciding_terms,
    examine,
    guard,
    jaccard,
)
from monitor.match.implication import Wider, implies, normalised
from monitor.model import Article, Topic, WeightedTerm

WELL = Volume(articles=1_000, new=50, old=50)


def topic(query: str = "", **more: object) -> Topic:
    return Topic(**({"slug": "t", "name": "T", "query": query} | more))  # type: ignore[arg-type]


def codes(query: str) -> list[str]:
    return [found.code for found in examine(topic(query))]


def test_sound_topic_passes_in_silence():
    assert guard(topic('"opioid tolerance" OR mTOR NOT police'), volume=WELL) == ()


# --- branches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("opioid NOT opioid", "opioid"),
        ("opioid NOT opioids", "opioid"),
        ("(opioid OR pain) NOT opioid", "opioid"),
        ('("opioid tolerance" OR pain) NOT tolerance', '"opioid tolerance"'),
        ("(opioids OR pain) NOT opioi*", "opioids"),
        ("(title:opioid OR pain) NOT opioid", "title:opioid"),
        ("((opioid NEAR/5 pain) OR mTOR) NOT pain", "opioid NEAR/5 pain"),
        ("((opioid AND police) OR mTOR) NOT police", "opioid AND police"),
        ("opioid NOT (police OR opioid)", "opioid"),
        ('(="ALS" OR pain) NOT als', '="ALS"'),
        ("mTOR OR (pain NOT pain)", "pain"),
    ],
)
def test_branch_that_its_own_exclusion_takes_out_is_named(query, place):
    found = [one for one in examine(topic(query)) if one.code == "unreachable"]

    assert [query[one.start : one.end].strip("()") for one in found] == [place]
    assert found[0].blocks


@pytest.mark.parametrize(
    "query",
    [
        "opioid NOT title:opioid",
        'opioid NOT "opioid tolerance"',
        '(opioid OR pain) NOT ="Opioid"',
        "opioi* NOT opioids",
        "(IL-6 OR pain) NOT il",  # IL6 is found too, and holds no word "il"
        "title:pain NOT body:pain",
        "opioid NOT (opioid NEAR/3 police)",
        "ATLEAST/2 pain NOT ATLEAST/3 pain",
        "severe NOT several",
    ],
)
def test_branch_that_can_match_is_left_alone(query):
    assert codes(query) == []


def test_alternative_that_adds_nothing_is_told_but_stops_nobody():
    found = examine(topic('opioid OR "opioid tolerance" OR pain'))

    assert [(one.code, one.blocks) for one in found] == [("redundant", False)]
    assert '"opioid tolerance" adds nothing' in found[0].message


def test_of_two_equal_alternatives_one_is_told():
    assert codes("tumour OR tumours") == ["redundant"]


def test_threshold_that_no_text_reaches_is_told():
    weights = (WeightedTerm(term="opioid", weight=2), WeightedTerm(term="police", weight=-5))

    assert [one.code for one in examine(topic(weights=weights, threshold=3))] == ["unreachable"]
    assert examine(topic(weights=weights, threshold=2)) == []


def test_thousands_of_terms_are_looked_at_in_a_moment():
    many = " OR ".join(f"drug{number}" for number in range(1_200))
    few = " OR ".join(f"x{number}" for number in range(300))

    assert examine(topic(f"({many}) NOT ({few})")) == []


def holds(query: str, article: Article) -> bool:
    matcher = Matcher()
    matcher.add(topic(query))
    return bool(matcher.match(article))


sides = st.one_of(terms, terms, or_groups, near, atleast)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sides, sides, articles)
def test_what_is_said_to_follow_does_follow(narrow, wide, article):
    one, other = parse_query(narrow), parse_query(wide)

    if implies(one, other):
        assert not holds(narrow, article) or holds(wide, article)
        assert any(found is other for found in Wider([other]).of(one))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("opioids", "opioid"),
        ("IL-6", "IL6"),
        ('"the opioid crisis"', "opioid*"),
        ("AIDS", "aids"),
        ('="WHO report"', "report"),
        ("opioid NEAR/2 pain", "opioid NEAR/9 pain"),
        ("opioid NEAR/2 pain", "pain"),
        ("ATLEAST/3 pain", "ATLEAST/2 pain"),
        ("opioid AND pain", "pain OR mTOR"),
        ("opioid OR pain", "pain OR opioid OR mTOR"),
        ("source:bmj", "source:bmj"),
    ],
)
def test_what_follows_by_the_words_is_seen(narrow, wide):
    assert implies(parse_query(narrow), parse_query(wide))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sides, sides, articles)
def test_queries_of_one_normal_form_answer_alike(one, other, article):
    both = [parse_query(query) for query in (one, other, f"{other} OR {one}", f"{one} OR {other}")]
    assert normalised(both[2]) == normalised(both[3])
    for left, right in combinations(both, 2):
        if normalised(left) == normalised(right):
            assert holds(str(left), article) is holds(str(right), article)


# --- the archive ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        (Volume(articles=1_000, new=0), ["matches-nothing"]),
        (Volume(articles=99, new=0), []),
        (Volume(articles=1_000, new=51, old=10), ["volume"]),
        (Volume(articles=1_000, new=50, old=10), []),
        (Volume(articles=1_000, new=9, old=1), []),
        (Volume(articles=1_000, new=500, old=0), []),
        (Volume(articles=1_000, new=500), []),
    ],
    ids=["nothing", "young archive", "five times", "just not", "a handful", "nothing before", "new topic"],
)
def test_volume_is_told_where_it_says_something(volume, told):
    assert [found.code for found in guard(topic("opioid"), volume=volume)] == told


def test_common_term_that_decides_alone_is_told_with_its_place():
    query = '"opioid tolerance" OR patient'

    found = guard(topic(query), volume=WELL, shares={"patient": 0.61, '"opioid tolerance"': 0.2})

    assert [(one.code, query[one.start : one.end]) for one in found] == [("common-term", "patient")]
    assert "61%" in found[0].message


def test_only_terms_that_decide_alone_are_asked_for():
    query = "(opioid AND patient) OR mTOR OR (pain NOT (police OR drug)) OR (heroin NEAR/3 patient)"

    assert [str(term) for term in deciding_terms(parse_query(query))] == ["mTOR", "pain", "police", "drug"]


def test_topic_that_finds_what_another_finds_is_told():
    same = Neighbour(slug="pain", query="", matched=52, shared=49)
    other = Neighbour(slug="gout", query="", matched=52, shared=30)

    found = guard(topic("opioid"), volume=WELL, neighbours=[same, other])

    assert [one.code for one in found] == ["identical"]
    assert "pain" in found[0].message


def test_topic_that_asks_the_same_in_other_words_is_told_even_without_matches():
    neighbour = Neighbour(slug="pain", query=normalised(parse_query("mTOR OR (opioids NOT police)")))

    found = guard(topic("(opioid NOT police) OR mtor"), volume=Volume(articles=3, new=0), neighbours=[neighbour])

    assert [one.code for one in found] == ["identical"]


def test_likeness_of_nothing_is_nothing():
    assert jaccard(0, 0, 0) == 0.0
    assert jaccard(10, 10, 10) == 1.0
    assert jaccard(10, 30, 10) == pytest.approx(1 / 3)


# --- examples -------------------------------------------------------------------------------------------------


def test_broken_examples_block_and_come_first():
    examples = [
        ExampleText(must_match=True, title="Semaglutide and the heart", note="the trial of 2025"),
        ExampleText(must_match=False, title="Opioid lawsuit", body="A court, an opioid."),
        ExampleText(must_match=True, title="An opioid"),
    ]

    found = guard(topic('opioid OR "opioid tolerance"'), volume=WELL, examples=examples)

    assert [(one.code, one.blocks) for one in found] == [("example", True), ("example", True), ("redundant", False)]
    assert "Semaglutide and the heart" in found[0].message
    assert "the trial of 2025" in found[0].message
    assert "must not be" in found[1].message


def test_examples_are_texts_without_a_source():
    assert broken_examples(topic("opioid", sources=("bmj",)), [ExampleText(must_match=True, title="Opioid")]) == []
