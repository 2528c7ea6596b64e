"""Suggestions, their effects, and the measures by which a filter is judged."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from monitor.match import Matcher, parse_query
from monitor.match.advice import Trial, with_term, without_term
from monitor.match.measure import measure, verdicts, wilson
from monitor.match.suggest import Suggestion, contrast, suggest
from monitor.model import Article, Label, Topic, Verdict, WeightedTerm

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PARTS = ("dan", "fer", "gol", "hum", "nek", "pil")
FILLER = [first + second for first in ("ba", "ko", "mi", "tu") for second in PARTS]


def text(seed: int, *extra: str) -> str:
    rng = random.Random(seed)
    words = ["".join(rng.choices(FILLER, k=3)) for _ in range(40)]
    for place, one in enumerate(extra):
        words.insert(3 + 7 * place, one)
    return " ".join(words)


def found(wanted: list[str], others: list[str], query: str | None = None) -> dict[str, Suggestion]:
    return {one.term: one for one in suggest(wanted, others, parse_query(query) if query else None)}


# --- suggestions ----------------------------------------------------------------------------------------------


def test_telling_words_are_found_with_their_figures():
    wanted = [text(n, "adenomas" if n % 2 else "adenoma", "semaglutide") for n in range(8)]
    others = [text(100 + n, *(["adenoma"] if n < 2 else [])) for n in range(80)]

    terms = found(wanted, others)

    assert set(terms) == {"semaglutide", "adenoma"}
    best = terms["semaglutide"]
    assert (best.support, best.background, best.query_form) == (8, 0, "semaglutide")
    assert best.g2 == pytest.approx(contrast(8, 8, 0, 80)[0], abs=0.001)
    assert terms["adenoma"].background == 2
    assert terms["adenoma"].g2 < best.g2


def test_pair_of_words_is_suggested_as_a_phrase_in_place_of_its_parts():
    wanted = [text(n, "germline mutation") for n in range(6)]
    others = [text(100 + n, *(["germline"] if n < 9 else []), *(["mutation"] if n > 60 else [])) for n in range(80)]

    terms = found(wanted, others)

    assert list(terms) == ["germline mutation"]
    assert terms["germline mutation"].query_form == '"germline mutation"'


def test_pair_never_crosses_a_sentence_or_begins_with_a_stop_word():
    wanted = [f"{text(n)} of semaglutide. Obesity fell" for n in range(6)]
    others = [text(100 + n) for n in range(60)]

    assert not [term for term in found(wanted, others) if " " in term and term != "obesity fell"]


def test_what_the_query_has_already_is_not_suggested():
    wanted = [text(n, "germline mutation", "colectomy") for n in range(6)]
    others = [text(100 + n) for n in range(60)]

    assert set(found(wanted, others, '"germline mutations" OR pain')) == {"colectomy"}
    assert set(found(wanted, others, 'mutation OR "total colectomy"')) == {"germline"}


def test_what_is_common_everywhere_or_rare_here_is_not_suggested():
    wanted = [text(n, "semaglutide", *(["zebra"] if n < 2 else [])) for n in range(6)]
    others = [text(100 + n, "semaglutide") for n in range(60)]

    assert found(wanted, others) == {}


def test_numbers_and_short_words_are_not_suggested():
    wanted = [text(n, "2026", "pd") for n in range(6)]

    assert found(wanted, [text(100 + n) for n in range(60)]) == {}


def test_nothing_against_nothing_suggests_nothing():
    assert suggest([], []) == suggest([text(1)] * 5, []) == suggest([], [text(1)]) == []


def test_same_texts_give_the_same_suggestions_in_the_same_order():
    wanted = [text(n, "alpha one", "beta two", "gamma three") for n in range(5)]
    others = [text(100 + n) for n in range(50)]

    assert suggest(wanted, others) == suggest(wanted, list(reversed(others)))


def test_contrast_is_dunnings_g2():
    # the sides in other words: 2 * sum(O ln(O/E)) over the table 8, 2 / 5, 85
    assert contrast(8, 10, 5, 90)[0] == pytest.approx(28.65, abs=0.01)
    assert contrast(1, 10, 9, 90)[0] == pytest.approx(0, abs=1e-9)
    assert contrast(0, 10, 9, 90) == (0.0, 0.0)


# --- their effects --------------------------------------------------------------------------------------------


def suggestion(form: str) -> Suggestion:
    return Suggestion(term=form.strip('"'), query_form=form, g2=9, lift=9, support=3)


def topic(query: str = "", **more: object) -> Topic:
    return Topic(**({"id": 1, "slug": "t", "name": "T", "query": query} | more))  # type: ignore[arg-type]


def article(number: int, body: str) -> Article:
    return Article(id=number, url="", canonical_url="", key=str(number), title="T", body=body)


def label(article_id: int, verdict: Verdict, by: str = "ada", minutes: int = 0) -> Label:
    at = NOW + timedelta(minutes=minutes)
    return Label(topic_id=1, article_id=article_id, verdict=verdict, by=by, labelled_at=at)


@pytest.mark.parametrize(
    ("query", "wider", "narrower"),
    [
        ("pain", 'pain OR "the ache"', 'pain NOT "the ache"'),
        ("pain OR mTOR", 'pain OR mTOR OR "the ache"', '(pain OR mTOR) NOT "the ache"'),
        ("pain AND mTOR", '(pain AND mTOR) OR "the ache"', 'pain AND mTOR NOT "the ache"'),
        ("pain NOT police", '(pain OR "the ache") NOT police', 'pain NOT police NOT "the ache"'),
        (
            "(pain OR mTOR) NOT police",
            '(pain OR mTOR OR "the ache") NOT police',
            '(pain OR mTOR) NOT police NOT "the ache"',
        ),
        ("pain NEAR/3 mTOR", '(pain NEAR/3 mTOR) OR "the ache"', '(pain NEAR/3 mTOR) NOT "the ache"'),
    ],
)
def test_suggested_term_goes_where_it_belongs(query, wider, narrower):
    assert parse_query(with_term(topic(query), '"the ache"').query) == parse_query(wider)
    assert parse_query(without_term(topic(query), '"the ache"').query) == parse_query(narrower)


def test_weighted_topic_takes_a_suggestion_as_a_weight():
    weights = (WeightedTerm(term="pain", weight=2), WeightedTerm(term="ache", weight=1))
    matcher = Matcher()
    matcher.add(with_term(topic(weights=weights, threshold=3), "mTOR"))
    kept_out = Matcher()
    kept_out.add(without_term(topic(weights=weights, threshold=3), "mTOR"))

    assert matcher.match(article(1, "mTOR alone"))
    assert not kept_out.match(article(1, "mTOR and pain and ache"))
    assert kept_out.match(article(1, "pain and ache"))


def test_effects_are_exact_and_count_labels():
    archive = [article(n, "ache") for n in range(1, 13)] + [article(20, "pain police"), article(21, "pain")]
    labels = [label(n, Verdict.RELEVANT) for n in range(1, 10)] + [label(20, Verdict.NOT_RELEVANT)]
    trial = Trial(topic("pain"), [suggestion("ache"), suggestion("zebra")], [suggestion("police")], labels)
    trial.add(archive)

    add, exclude = trial.result()

    assert (add.topic.query, add.gained, add.lost, add.effect) == (
        "pain OR ache",
        12,
        0,
        "+12 articles, 9 labelled relevant",
    )
    assert exclude.effect == "-1 article, 0 labelled relevant, 1 labelled not relevant"
    assert trial.candidates is not None


# --- measures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        (5, 6, 0.4365, 0.9699),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval_is_the_published_one(part, whole, low, high):
    share = wilson(part, whole)

    assert share.low == pytest.approx(low, abs=1e-4)
    assert share.high == pytest.approx(high, abs=1e-4)


def test_wilson_refuses_more_than_the_whole():
    with pytest.raises(ValueError):
        wilson(3, 2)


def test_verdict_is_what_most_say_and_of_a_draw_what_was_said_last():
    labels = [
        label(1, Verdict.RELEVANT, "ada"),
        label(1, Verdict.NOT_RELEVANT, "bob", 1),
        label(1, Verdict.RELEVANT, "cem", 2),
        label(2, Verdict.NOT_RELEVANT, "ada", 5),
        label(2, Verdict.RELEVANT, "bob", 1),
        label(3, Verdict.NOT_RELEVANT, "ada", 1),
        label(3, Verdict.RELEVANT, "bob", 5),
    ]

    assert verdicts(labels) == {1: Verdict.RELEVANT, 2: Verdict.NOT_RELEVANT, 3: Verdict.RELEVANT}


def test_measure_counts_only_what_is_labelled():
    labelled = [
        (article(1, "pain"), Verdict.RELEVANT),
        (article(2, "pain"), Verdict.RELEVANT),
        (article(3, "pain police"), Verdict.NOT_RELEVANT),
        (article(4, "ache"), Verdict.RELEVANT),
        (article(5, "nothing"), Verdict.NOT_RELEVANT),
    ]

    wide = measure(topic("pain", revision=1), labelled)
    narrow = measure(topic("pain NOT police", revision=2), labelled)

    assert (wide.precision.part, wide.precision.whole, wide.recall.part, wide.recall.whole) == (2, 3, 2, 3)
    assert wide.read_per_hit == 1.5
    assert narrow.precision.value == 1.0
    assert measure(topic("zebra"), labelled).read_per_hit is None
