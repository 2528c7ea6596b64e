"""A backtest says what changes, and by which term: against answers worked out one topic at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_match_oracle import articles as an_article
from test_match_oracle import units

from monitor.errors import QueryError
from monitor.match import Matcher, parse_query
from monitor.match.backtest import Comparison, candidates, compare, excerpt_of, index_topic
from monitor.match.effects import TermEffect
from monitor.model import (
    And,
    Article,
    AtLeast,
    Field,
    IndexQuery,
    Label,
    Near,
    Not,
    Or,
    Query,
    Span,
    Term,
    Topic,
    Verdict,
    WeightedTerm,
)
from monitor.text import tokens

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)


def article(number: int, body: str = "", title: str = "A story", **more: object) -> Article:
    values: dict[str, object] = {"stored_at": MONDAY + timedelta(hours=number)} | more
    url = f"https://news.example.org/{number}"
    return Article(id=number, url=url, canonical_url=url, key=str(number), title=title, body=body, **values)  # type: ignore[arg-type]


def topic(query: str = "", **more: object) -> Topic:
    return Topic(**({"id": 1, "slug": "t", "name": "T", "query": query} | more))  # type: ignore[arg-type]


ARCHIVE = [
    article(1, "Semaglutide helps."),
    article(2, "Semaglutide in obesity."),
    article(3, "Obesity in dogs, says a veterinary school."),
    article(4, "Semaglutide for dogs: veterinary news."),
    article(5, "Nothing of the kind."),
]


def effects(query: str, articles: list[Article] = ARCHIVE) -> dict[str, TermEffect]:
    return {effect.term: effect for effect in compare(None, topic(query), articles).terms}


def matched(one: Topic, articles: list[Article]) -> set[int]:
    matcher = Matcher()
    matcher.add(one)
    return {each.id for each in articles if matcher.match(each)}


# --- gained, lost, unchanged ----------------------------------------------------------------------------------


def test_articles_are_gained_lost_and_kept():
    backtest = compare(topic("semaglutide"), topic("(semaglutide OR obesity) NOT veterinary"), ARCHIVE)

    assert [hit.article_id for hit in backtest.gained] == []
    assert [hit.article_id for hit in backtest.lost] == [4]
    assert [hit.article_id for hit in backtest.unchanged] == [2, 1]
    assert (backtest.old_count, backtest.new_count) == (3, 2)


def test_new_topic_has_nothing_to_lose():
    backtest = compare(None, topic("obesity"), ARCHIVE)

    assert [hit.article_id for hit in backtest.gained] == [3, 2]
    assert backtest.lost == backtest.unchanged == ()


def test_lost_articles_that_people_called_relevant_stand_out():
    def label(article_id: int, verdict: Verdict, by: str, hour: int) -> Label:
        at = MONDAY + timedelta(hours=hour)
        return Label(topic_id=1, article_id=article_id, verdict=verdict, by=by, labelled_at=at)

    labels = [
        label(1, Verdict.RELEVANT, "ada", 1),
        label(1, Verdict.NOT_RELEVANT, "bob", 2),
        label(1, Verdict.RELEVANT, "cem", 0),
        label(4, Verdict.RELEVANT, "ada", 1),
        label(4, Verdict.NOT_RELEVANT, "bob", 2),
    ]

    backtest = compare(topic("semaglutide"), topic("obesity"), ARCHIVE, labels)

    assert {hit.article_id: hit.verdict for hit in backtest.lost} == {1: Verdict.RELEVANT, 4: Verdict.NOT_RELEVANT}
    assert [hit.article_id for hit in backtest.lost_relevant] == [1]
    assert len(backtest.lost_labelled) == 2


def test_scope_counts_and_a_wrong_query_is_told():
    there = [article(1, "opioid", source_slug="bmj"), article(2, "opioid", source_slug="stat")]

    backtest = compare(topic("opioid"), topic("opioid", sources=("bmj",)), there)

    assert [hit.article_id for hit in backtest.lost] == [2]
    with pytest.raises(QueryError):
        compare(None, topic("(opioid"), there)


def test_weeks_are_iso_weeks_in_utc():
    sunday = datetime(2027, 1, 3, 23, 30, tzinfo=UTC)
    there = [
        article(1, "opioid", stored_at=sunday),
        article(2, "opioid mTOR", stored_at=sunday + timedelta(hours=1)),
        article(3, "mTOR", stored_at=sunday + timedelta(hours=1)),
    ]

    backtest = compare(topic("opioid"), topic("mTOR"), there)

    assert [(week.week, week.old, week.new) for week in backtest.weeks] == [("2026-W53", 1, 0), ("2027-W01", 1, 2)]


def test_lost_articles_show_what_the_old_query_found_and_kept_ones_what_the_new_one_finds():
    there = [article(1, "An opioid and its tolerance"), article(2, "An opioid alone")]

    backtest = compare(topic("opioid"), topic("tolerance"), there)

    assert [span.term for span in backtest.unchanged[0].excerpt_spans] == ["tolerance"]
    assert [span.term for span in backtest.lost[0].excerpt_spans] == ["opioid"]


def test_highlights_of_an_excerpt_hold_their_terms():
    body = "Über die Grenze. " * 60 + "Then TNFα\u00ad and IL‑6 rose in Sjögren’s patients. " + "More of it. " * 60
    there = [article(1, body, title="IL-6 again")]

    hit = compare(None, topic('IL6 OR "TNF alpha" OR sjogren'), there).gained[0]

    found = {(span.term, tuple(tokens(hit.excerpt[span.start : span.end]))) for span in hit.excerpt_spans}
    assert found == {("TNF alpha", ("tnf", "alpha")), ("IL6", ("il", "6")), ("sjogren", ("sjogren",))}
    assert [hit.title[span.start : span.end] for span in hit.spans] == ["IL-6"]
    assert len(hit.excerpt) <= 260
    assert not hit.excerpt.startswith(("ber ", "er "))


def test_newest_hits_and_labelled_ones_are_highlighted_in_whatever_order_they_come():
    there = [article(number, "an opioid") for number in range(1, 151)]
    labels = [Label(topic_id=1, article_id=7, verdict=Verdict.RELEVANT, by="ada", labelled_at=MONDAY)]

    backtest = compare(None, topic("opioid"), there, labels)

    shown = {hit.article_id for hit in backtest.gained if hit.excerpt_spans}
    assert shown == {7, *range(51, 151)}
    assert backtest == compare(None, topic("opioid"), reversed(there), labels)
    assert [hit.article_id for hit in backtest.gained] == list(range(150, 0, -1))


def test_excerpt_of_a_text_without_blanks_still_holds_its_first_hit():
    text = "x" * 1000 + "hit" + "y" * 1000

    excerpt, spans = excerpt_of(text, [Span(Field.BODY, 1000, 1003, "hit")])

    assert [excerpt[span.start : span.end] for span in spans] == ["hit"]
    assert excerpt_of("", []) == ("", ())


# --- each term's own contribution -----------------------------------------------------------------------------


def test_each_term_is_credited_with_what_only_it_brings():
    found = effects("semaglutide OR obesity")

    assert (found["semaglutide"].found, found["semaglutide"].alone) == (3, 2)
    assert (found["obesity"].found, found["obesity"].alone) == (2, 1)


def test_exclusion_is_credited_with_what_only_it_keeps_out():
    found = effects("(semaglutide OR obesity) NOT (veterinary OR dog)")

    assert found["veterinary"].excludes
    assert (found["veterinary"].found, found["veterinary"].removed) == (2, 0)
    assert effects("(semaglutide OR obesity) NOT veterinary")["veterinary"].removed == 2


def test_term_within_near_is_judged_without_it():
    there = [article(1, "opioid tolerance"), article(2, "heroin tolerance"), article(3, "opioid heroin tolerance")]

    found = effects("(opioid OR heroin) NEAR/3 tolerance", there)

    assert {term: effect.alone for term, effect in found.items()} == {"opioid": 1, "heroin": 1, "tolerance": 3}


def test_term_of_atleast_is_judged_without_it():
    there = [article(1, "pain and pain"), article(2, "pain and ache")]

    found = effects("ATLEAST/2 (pain OR ache)", there)

    assert {term: effect.alone for term, effect in found.items()} == {"pain": 2, "ache": 1}


def test_term_that_stands_twice_is_taken_out_everywhere():
    there = [article(1, "opioid pain")]

    found = effects("opioid OR (opioid NEAR/2 pain)", there)

    assert (found["opioid"].found, found["opioid"].alone, found["pain"].alone) == (1, 1, 0)


def test_exclusion_within_an_exclusion_lets_in():
    there = [article(1, "opioid police"), article(2, "opioid police medicine")]

    found = effects("opioid NOT (police NOT medicine)", there)

    assert found["police"].removed == 1
    assert (found["medicine"].excludes, found["medicine"].alone) == (False, 1)


def test_weighted_terms_are_judged_by_the_threshold():
    weights = (
        WeightedTerm(term="opioid", weight=2),
        WeightedTerm(term="tolerance", weight=1),
        WeightedTerm(term="police", weight=-2),
    )
    there = [article(1, "opioid tolerance"), article(2, "opioid"), article(3, "opioid tolerance police")]

    backtest = compare(None, topic(weights=weights, threshold=2), there)

    found = {effect.term: effect for effect in backtest.terms}
    assert [hit.article_id for hit in backtest.gained] == [2, 1]
    assert (found["opioid"].alone, found["tolerance"].alone) == (2, 0)
    assert (found["police"].removed, found["police"].excludes) == (1, True)


def test_article_out_of_scope_is_nobodys_work():
    there = [article(1, "opioid police", source_slug="bmj"), article(2, "opioid police", source_slug="stat")]

    backtest = compare(None, topic("opioid NOT police", sources=("bmj",)), there)

    assert {effect.term: effect.removed for effect in backtest.terms} == {"opioid": 0, "police": 1}


def without(query: Query, gone: Query) -> Query | None:
    """The query's tree with a term cut out of it, written plainly; None where nothing could hold."""
    if query == gone:
        return None
    if isinstance(query, And):
        unwanted = [without(part.part, gone) for part in query.parts if isinstance(part, Not)]
        wanted = [without(part, gone) for part in query.parts if not isinstance(part, Not)]
        if None in wanted:
            return None
        return And(parts=(*[w for w in wanted if w], *[Not(part=part) for part in unwanted if part]))
    if isinstance(query, Or):
        left = tuple(part for part in (without(each, gone) for each in query.parts) if part is not None)
        return Or(parts=left) if left else None
    if isinstance(query, Near):
        parts = [without(part, gone) for part in query.parts]
        return None if None in parts else replace(query, parts=tuple(part for part in parts if part))
    if isinstance(query, AtLeast):
        part = without(query.part, gone)
        return replace(query, part=part) if part else None
    return query


def leaves(query: Query) -> set[Term]:
    if isinstance(query, Term):
        return {query}
    parts = query.parts if isinstance(query, And | Or | Near) else (query.part,)  # type: ignore[attr-defined]
    return set().union(*(leaves(part) for part in parts))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(units, st.lists(an_article, min_size=1, max_size=3))
def test_effect_is_the_answer_of_the_query_without_the_term(query, there):
    there = [replace(each, id=number) for number, each in enumerate(there, 1)]
    tree = parse_query(query)
    whole = matched(topic(query), there)
    backtest = compare(None, topic(query), there)

    for term in leaves(tree):
        rest = without(tree, term)
        left = matched(topic(str(rest)), there) if rest is not None and str(rest).strip() else set()
        told = [effect for effect in backtest.terms if effect.term == str(term)]
        sides = {effect.excludes for effect in told}
        if len(sides) == 2:
            continue  # wanted here and unwanted there: told one by one
        assert sum(effect.alone for effect in told) == len(whole - left)
        assert sum(effect.removed for effect in told if effect.excludes) == (len(left - whole) if True in sides else 0)


# --- the index ------------------------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(units, units, st.lists(an_article, min_size=1, max_size=4))
def test_any_superset_of_the_matches_gives_the_answer_of_a_scan(old, new, there):
    there = [replace(each, id=number) for number, each in enumerate(there, 1)]
    positive = [topic(str(_without_exclusions(parse_query(query)))) for query in (old, new)]
    narrowed = [each for each in there if any(matched(one, [each]) for one in positive)]

    assert compare(topic(old), topic(new), narrowed) == compare(topic(old), topic(new), there)


def _without_exclusions(query: Query) -> Query:
    if isinstance(query, And):
        return And(parts=tuple(_without_exclusions(part) for part in query.parts if not isinstance(part, Not)))
    return replace(query, parts=tuple(map(_without_exclusions, query.parts))) if isinstance(query, Or) else query


def test_batches_add_up():
    comparison = Comparison(topic("semaglutide"), topic("obesity"))
    for each in ARCHIVE:
        comparison.add([each])

    assert comparison.result() == compare(topic("semaglutide"), topic("obesity"), ARCHIVE)
    assert comparison.seen == len(ARCHIVE)


def test_candidates_are_those_of_both_forms():
    opioid, pain = (IndexQuery(op="phrase", tokens=(word,)) for word in ("opioid", "pain"))

    assert candidates(topic("opioid"), topic("pain")) == IndexQuery(op="any", parts=(opioid, pain))
    assert candidates(None, topic("pain")) == pain
    assert candidates(topic("opioid"), topic("opioid")) == opioid


def test_index_is_not_asked_where_it_cannot_narrow():
    weights = (WeightedTerm(term="opioid", weight=1), WeightedTerm(term="police", weight=-1))

    assert candidates(topic("source:bmj"), topic("pain")) is None
    assert index_topic(topic(weights=weights, threshold=0)) is None
    assert index_topic(topic(weights=weights, threshold=1)) == IndexQuery(op="phrase", tokens=("opioid",))


def test_longest_of_queries_is_no_trouble():
    query = " OR ".join(f"drug{number}" for number in range(1_400))
    there = [article(number, f"drug{number} and drug{number + 1}") for number in range(200)]

    backtest = compare(None, topic(query), there)

    assert len(backtest.gained) == 200
    assert all(effect.alone == 0 for effect in backtest.terms)
