"""The ways in which matching usually goes wrong, one test each; a naive matcher fails them."""

from __future__ import annotations

import sys

import pytest

from monitor.errors import QueryError
from monitor.match import Matcher, highlight, parse_query
from monitor.model import Article, Field, Match, Topic


def article(body: str = "", title: str = "", **more: object) -> Article:
    return Article(url="", canonical_url="", key="", title=title, body=body, **more)  # type: ignore[arg-type]


def topic(query: str, number: int = 1, **more: object) -> Topic:
    return Topic(id=number, slug="", name="", query=query, **more)  # type: ignore[arg-type]


def match(query: str, body: str, title: str = "") -> Match | None:
    matcher = Matcher()
    matcher.add(topic(query))
    found = matcher.match(article(body, title))
    return found[0] if found else None


def shown(query: str, body: str) -> list[str]:
    found = match(query, body)
    return [body[span.start : span.end] for span in found.spans] if found else []


@pytest.mark.parametrize(
    ("query", "body"), [("spect", "respectively"), ("child", "childless"), ("opioid", "opioidergic")]
)
def test_1_a_term_is_a_word_and_not_a_part_of_one(query, body):
    assert match(query, body) is None


def test_2_a_term_inside_a_longer_one_is_found_too():
    assert shown('opioid OR tolerance OR "opioid tolerance"', "opioid tolerance") == [
        "opioid",
        "opioid tolerance",
        "tolerance",
    ]


def test_2_overlapping_phrases_are_both_found():
    assert shown('"chronic pain" OR "pain relief"', "chronic pain relief") == ["chronic pain", "pain relief"]


@pytest.mark.parametrize("body", ["Sjögren", "Sjo\u0308gren", "SJÖGREN", "Sjogren"])
def test_3_accents_are_equal_however_they_are_composed(body):
    assert shown("Sjögren", f"x {body}!") == [body]


@pytest.mark.parametrize("letters", ["ß", "ﬁ", "α", "½", "\u00ad", "e\u0301", "癌", "😀", "™", "İ"])
def test_4_highlights_stand_right_behind_letters_that_fold_to_another_length(letters):
    assert shown('"opioid tolerance"', f"{letters} {letters * 3}. A {letters} opioid tolerance {letters}") == [
        "opioid tolerance"
    ]


def test_4_highlight_takes_in_the_marks_of_its_last_letter():
    assert shown("café", "a cafe\u0301, b") == ["cafe\u0301"]


def test_5_terms_and_texts_are_folded_alike():
    for word in ("Ærø", "µg", "TNFα", "Straße", "β-Blocker’s", "co\u00adop", "CO₂", "5-HT₃", "癌症"):
        assert match(f'"{word}"', f"An {word} here"), word
        assert match(f'"{word.upper()}"', f"An {word} here") or "ß" in word or "₂" in word or "₃" in word, word


def test_6_not_covers_its_whole_group():
    assert match('"opioid tolerance" OR mTOR NOT "job opening"', "Opioid tolerance lab: job opening") is None


@pytest.mark.parametrize("query", ["opioid OR pain AND x1", "NOT pain", "pain OR NOT opioid", "opioid AND (NOT pain)"])
def test_6_doubtful_or_endless_queries_are_refused(query):
    with pytest.raises(QueryError):
        parse_query(query)


@pytest.mark.parametrize(
    ("query", "hit", "miss"),
    [
        ("WHO", "The WHO says", "those who say"),
        ("AIDS", "AIDS is", "hearing aids"),
        ("ACT", "ACT trial", "to act"),
        ('"AIDS patients"', "AIDS patient", "aid patients"),
        ('="ALS"', "ALS", "als"),
        ('="SSRI"', "SSRI", "SSRIs"),
    ],
)
def test_7_capitals_are_no_plurals_and_no_everyday_words(query, hit, miss):
    assert match(query, hit)
    assert match(query, miss) is None


def test_7_plural_of_an_acronym_is_the_acronym():
    assert shown("SSRI OR CABG OR PPI", "SSRIs, CABGs and PPIs") == ["SSRIs", "CABGs", "PPIs"]


@pytest.mark.parametrize("body", ["group B, 12 patients", "group B (12 patients", "B. 12", "B: 12", "B/12"])
def test_8_letters_and_digits_meet_only_over_nothing_a_space_or_a_hyphen(body):
    assert match("B12", body) is None


@pytest.mark.parametrize("query", ["IL-6", "IL6", '"IL 6"'])
def test_8_all_ways_of_writing_letters_and_digits_are_one(query):
    assert shown(query, "IL-6, IL6; IL 6 or IL–6") == ["IL-6", "IL6", "IL 6", "IL–6"]


@pytest.mark.parametrize("gap", [". ", "!\n", ".” ", "\n\n", "? ("])
def test_9_phrase_does_not_cross_an_end(gap):
    assert match('"severe pain"', f"It was severe{gap}Pain came") is None
    assert match('"severe pain"', "It was severe\npain")


def test_9_phrase_does_not_cross_from_title_to_text():
    assert match('"severe pain"', "pain", title="Severe") is None
    assert match("severe NEAR/9 pain", "pain", title="Severe") is None


def test_9_points_within_names_are_no_ends():
    assert match('"E. coli"', "Growth of E. coli. And more")
    assert match('"St. Louis"', "St. Louis encephalitis")


@pytest.mark.parametrize(
    "body", ["Parkinson's disease", "Parkinson’s disease", "Parkinson disease", "PARKINSON'S DISEASE"]
)
@pytest.mark.parametrize("query", ['"Parkinson\'s disease"', '"Parkinson disease"'])
def test_10_possessive_makes_no_difference(query, body):
    assert match(query, body)


def test_11_exclusion_can_be_kept_to_the_title():
    boilerplate = article("Opioids. Related: policing news", title="Opioids")
    matcher = Matcher()
    matcher.add(topic("opioid NOT policing", 1))
    matcher.add(topic("opioid NOT title:policing", 2))

    assert [found.topic_id for found in matcher.match(boilerplate)] == [2]


def test_12_match_names_the_revision_that_made_it():
    matcher = Matcher()
    matcher.add(topic("opioid", revision_id=7))
    matcher.add(topic("opioid OR pain", revision_id=8))

    assert [found.revision_id for found in matcher.match(article("opioid"))] == [8]


def test_12_summary_is_matched_until_the_text_arrives():
    matcher = Matcher()
    matcher.add(topic("opioid"))

    teaser = matcher.match(article("", summary="An opioid"))
    full = matcher.match(article("Something else", summary="An opioid"))

    assert [span.field for span in teaser[0].spans] == [Field.SUMMARY]
    assert full == []


def test_13_phrases_hang_on_their_rarest_word():
    common, rare = {"pain": 9000, "of": 9999, "zoster": 3}, "pain of zoster"
    matcher = Matcher(common, 10_000)
    for number in range(500):
        matcher.add(topic(f'"{rare} x{number}"', number))

    reading = matcher.read(article("pain of " * 2000))

    assert not any(matcher._engine._words.carriers(reading.tokens))


def test_14_no_text_reaches_python_code_and_depth_is_capped():
    with pytest.raises(QueryError):
        parse_query("(" * 1000 + "a1" + ")" * 1000)
    deep = "(" * 45 + "opioid" + " OR x1)" * 45

    assert match(deep, "opioid")
    assert match('"__import__" OR "os.system"', "Use of os system") is not None


def test_15_nothing_native_is_needed():
    assert not {"hyperscan", "ahocorasick", "re2"} & sys.modules.keys()


def test_16_writing_without_spaces_matches_by_character():
    assert shown("癌症", "肺癌症患者") == ["癌症"]


def test_highlight_joins_overlaps_and_loses_nothing():
    found = match('opioid OR "opioid tolerance" OR drug', "The opioid tolerance, drug.")
    assert found is not None

    pieces = highlight("The opioid tolerance, drug.", found.spans)

    assert pieces == [("The ", False), ("opioid tolerance", True), (", ", False), ("drug", True), (".", False)]
