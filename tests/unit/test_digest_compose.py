"""Which articles a digest holds, where, in which order, and why."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from digest_samples import (
    ACCEPTANCE,
    NOW,
    TOPICS,
    WEEK,
    WEEKLY,
    many,
    match,
    spans_of,
    week_of_news,
    weekly_digest,
)

from monitor.digest import learn
from monitor.digest.excerpt import reasons, snippet, tidy
from monitor.digest.rank import OLDEST, best_first, recency, shares
from monitor.match import Matcher
from monitor.model import Article, Cadence, Digest, Field, Found, Label, Match, Span, Topic, Verdict


def article(number: int, **changes: object) -> Article:
    values: dict[str, object] = {
        "id": number,
        "url": f"https://example.org/{number}",
        "canonical_url": f"https://example.org/{number}",
        "key": f"example.org/{number:04}",
        "title": f"Title {number}",
        "published": WEEK.end - timedelta(days=1),
        "body": "Some text.",
    }
    return Article(**(values | changes))  # type: ignore[arg-type]


def found(number: int, *scores: tuple[int, float], weight: float = 1.0, **changes: object) -> Found:
    matches = tuple(Match(topic_id=topic, revision_id=1, score=score) for topic, score in scores)
    return Found(article=article(number, **changes), matches=matches, source_name="S", source_weight=weight)


def ids(digest: Digest) -> dict[str, list[int]]:
    return {section.topic.slug: [item.article.id for item in section.items] for section in digest.sections}


def test_an_article_of_two_topics_has_one_card_in_its_best_topic_and_names_the_other():
    digest = weekly_digest()

    cards = [item for item in digest.items if item.article.id == ACCEPTANCE.id]
    assert [(card.match.topic_id, card.also_in) for card in cards] == [(1, ("mTOR",))]


def test_of_equal_scores_the_readers_first_topic_wins():
    subscription = replace(WEEKLY, topic_ids=(2, 1))

    digest = weekly_digest(subscription=subscription, found=(found(1, (1, 5.0), (2, 5.0)),))

    assert ids(digest) == {"mtor": [1], "opioid-tolerance": []}


def test_a_topic_whose_articles_stand_elsewhere_is_not_called_quiet():
    digest = weekly_digest(found=(found(1, (1, 5.0), (2, 4.0)),))

    assert {topic.slug for topic, _ in digest.quiet} == {"glp-1", "antibiotic-resistance", "long-covid"}
    assert [(section.topic.slug, section.total) for section in digest.sections] == [
        ("opioid-tolerance", 1),
        ("mtor", 0),
    ]


def test_quiet_topics_say_when_they_last_had_news():
    digest = weekly_digest()

    assert digest.quiet == ((TOPICS[4], datetime(2026, 11, 3, 9, tzinfo=UTC)),)


def test_matches_of_topics_that_the_reader_does_not_follow_are_left_out():
    digest = weekly_digest(found=(found(1, (99, 5.0)), found(2, (99, 9.0), (3, 1.0))))

    assert ids(digest) == {"glp-1": [2]}
    assert digest.items[0].also_in == ()


def test_the_same_article_twice_is_one_card():
    digest = weekly_digest(found=(found(1, (1, 5.0)), found(1, (1, 5.0))))

    assert ids(digest) == {"opioid-tolerance": [1]}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param({"scores": ((1, 6.0),)}, {"scores": ((1, 5.0),)}, id="higher score"),
        pytest.param({"scores": ((1, 5.0),), "weight": 2.0}, {"scores": ((1, 6.0),)}, id="source weight doubles"),
        pytest.param(
            {"scores": ((1, 5.0),), "published": WEEK.end},
            {"scores": ((1, 9.0),), "published": WEEK.end - timedelta(days=3)},
            id="three days halve",
        ),
        pytest.param(
            {"scores": ((1, 5.0),), "published": WEEK.end},
            {"scores": ((1, 5.0),), "published": WEEK.end - timedelta(minutes=1)},
            id="newer of equals",
        ),
    ],
)
def test_rank_is_score_times_source_weight_times_recency(better, worse):
    digest = weekly_digest(found=(found(1, *worse.pop("scores"), **worse), found(2, *better.pop("scores"), **better)))

    assert ids(digest) == {"opioid-tolerance": [2, 1]}


def test_in_a_daily_digest_the_hour_only_breaks_ties():
    early = {"published": WEEK.end - timedelta(hours=20)}
    subscription = replace(WEEKLY, cadence=Cadence.DAILY)

    digest = weekly_digest(
        subscription=subscription, found=(found(1, (1, 5.0)), found(2, (1, 5.1), **early), found(3, (1, 5.0), **early))
    )

    assert ids(digest) == {"opioid-tolerance": [2, 3, 1]}


def test_what_an_index_brings_weeks_late_keeps_a_tenth():
    old = article(1, published=WEEK.end - timedelta(days=80))

    assert recency(old, Cadence.WEEKLY, WEEK.end) == OLDEST


def test_a_date_in_the_future_gains_nothing():
    future = article(1, published=WEEK.end + timedelta(days=400))

    assert recency(future, Cadence.WEEKLY, WEEK.end) == 1.0


def test_order_does_not_depend_on_the_order_of_the_input():
    candidates = [found(number, (1, 5.0)) for number in range(30)]
    expected = ids(weekly_digest(found=tuple(candidates)))

    for seed in range(5):
        random.Random(seed).shuffle(candidates)
        assert ids(weekly_digest(found=tuple(candidates))) == expected


def test_the_budget_of_items_is_dealt_round_robin_so_that_no_topic_starves():
    subscription = replace(WEEKLY, max_items=5)
    news = [found(number, (1, 90.0)) for number in range(10)] + [found(20, (2, 1.0)), found(30, (3, 1.0))]

    digest = weekly_digest(subscription=subscription, found=tuple(news))

    assert [(len(section.items), section.total) for section in digest.sections] == [(3, 10), (1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("sizes", "budget", "expected"),
    [
        ([10, 1, 4], 6, [3, 1, 2]),
        ([3, 3, 3], 2, [1, 1, 0]),
        ([1, 0, 2], 60, [1, 0, 2]),
        ([5], 0, [0]),
        ([], 5, []),
    ],
)
def test_shares(sizes, budget, expected):
    assert shares(sizes, budget) == expected


def test_numbers_run_through_the_whole_digest():
    assert [item.number for item in weekly_digest(found=many(23)).items] == list(range(1, 24))


def test_near_misses_are_shown_only_to_who_asked():
    near = (found(9, (1, 1.0)),)

    asked = weekly_digest(subscription=replace(WEEKLY, near_misses=True), near=near)
    did_not = weekly_digest(near=near)

    assert [item.article.id for item in asked.near_misses] == [9]
    assert did_not.near_misses == ()


# --- what readers say ----------------------------------------------------------------------------------------------


def judged(yes: int, no: int) -> list[tuple[Article, Verdict]]:
    return [
        (article(number, title=f"Rapamycin in patients, trial {number}"), Verdict.RELEVANT) for number in range(yes)
    ] + [
        (article(500 + number, title=f"Rapamycin in veterinary care, case {number}"), Verdict.NOT_RELEVANT)
        for number in range(no)
    ]


@pytest.mark.parametrize(("yes", "no"), [(19, 0), (10, 9), (40, 0), (0, 40)])
def test_few_or_one_sided_judgements_teach_nothing(yes, no):
    assert learn(judged(yes, no)) is None


def test_from_twenty_judgements_on_readers_change_the_order_and_the_card_says_so():
    feedback = learn(judged(12, 8))
    assert feedback is not None
    assert feedback.weight == pytest.approx(20 / 70)
    vet = found(1, (2, 5.1), title="Rapamycin in veterinary care")
    human = found(2, (2, 5.0), title="Rapamycin in patients, a trial")

    before = weekly_digest(found=(vet, human))
    after = weekly_digest(found=(vet, human), feedback={2: feedback})

    assert ids(before) == {"mtor": [1, 2]}
    assert ids(after) == {"mtor": [2, 1]}
    assert "like articles marked relevant: *patients*" in after.items[0].reasons[-1]
    assert after.items[1].reasons == ()


def test_feedback_does_not_lift_a_poor_match_over_a_very_good_one():
    feedback = learn(judged(12, 8))

    order = best_first(
        [
            (poor := found(1, (2, 1.0), title="Rapamycin in patients, a trial"), poor.matches[0]),
            (good := found(2, (2, 50.0), title="mTOR in a dish"), good.matches[0]),
        ],
        Cadence.WEEKLY,
        WEEK.end,
        feedback=feedback,
    )

    assert [one.article.id for one, _ in order] == [2, 1]


def test_an_article_called_not_relevant_stands_last_unless_the_judgement_was_taken_back():
    def label(verdict: Verdict, hour: int) -> Label:
        return Label(topic_id=1, article_id=1, verdict=verdict, by="admin", labelled_at=NOW + timedelta(hours=hour))

    news = (found(1, (1, 9.0)), found(2, (1, 1.0)))

    assert ids(weekly_digest(found=news, labels=[label(Verdict.NOT_RELEVANT, 1)])) == {"opioid-tolerance": [2, 1]}
    assert ids(weekly_digest(found=news, labels=[label(Verdict.RELEVANT, 2), label(Verdict.NOT_RELEVANT, 1)])) == {
        "opioid-tolerance": [1, 2]
    }


# --- the reason in words -------------------------------------------------------------------------------------------


def test_the_reason_names_terms_in_the_articles_own_words_and_a_title_term_once():
    assert reasons(ACCEPTANCE, match(ACCEPTANCE, 2, 1.0)) == ("*mTOR* in title",)
    assert reasons(ACCEPTANCE, match(ACCEPTANCE, 1, 1.0)) == ("*Opioid tolerance* in title", "*morphine* in text")


def test_what_the_real_matcher_finds_thrice_is_named_and_marked_once():
    topic = Topic(
        id=1, slug="o", name="O", query='"opioid tolerance" OR (opioid* NEAR/5 (tolerance OR hyperalgesia)) OR morphine'
    )
    matcher = Matcher()
    matcher.add(topic)

    (hit,) = matcher.match(ACCEPTANCE)

    assert reasons(ACCEPTANCE, hit) == ("*Opioid tolerance* in title", "*morphine* in text")
    assert [text for text, is_hit in snippet(ACCEPTANCE, hit) if is_hit] == ["opioid tolerance", "morphine"]


def test_the_reason_shows_what_a_wildcard_found():
    one = article(1, title="Opioids and sleep")
    hit = Match(topic_id=1, revision_id=1, spans=(Span(Field.TITLE, 0, 7, "opioid*"),))

    assert reasons(one, hit) == ("*Opioids* in title",)


def test_many_terms_are_counted_not_listed():
    one = article(1, body="alpha beta gamma delta epsilon zeta")
    hit = Match(topic_id=1, revision_id=1, spans=spans_of(one, *one.body.split()))

    assert reasons(one, hit) == ("*alpha*, *beta*, *gamma*, *delta* (+2) in text",)


def test_a_number_never_stands_in_a_reason():
    digest = weekly_digest()

    assert not any(
        char.isdigit() for item in digest.items for reason in item.reasons for char in reason.replace("C1", "")
    )


def test_spans_that_lie_outside_the_text_are_ignored():
    one = article(1, title="Short", body="Tiny.")
    wild = (Span(Field.TITLE, 3, 900, "x"), Span(Field.BODY, -4, 2, "x"), Span(Field.BODY, 3, 3, "x"))

    hit = Match(topic_id=1, revision_id=1, spans=wild)

    assert reasons(one, hit) == ()
    assert snippet(one, hit) == (("Tiny.", False),)


# --- the snippet ---------------------------------------------------------------------------------------------------


def test_the_snippet_is_cut_around_the_place_with_most_terms_and_begins_at_a_sentence():
    body = "Filler without end. " * 60 + "First mTOR alone. " + "Filler without end. " * 60
    body += "Here mTOR meets rapamycin in one sentence. " + "Filler without end. " * 60
    one = article(1, body=body)
    hit = Match(topic_id=2, revision_id=1, spans=spans_of(one, "mTOR", "rapamycin"))

    pieces = snippet(one, hit)

    assert pieces[:4] == (("Here ", False), ("mTOR", True), (" meets ", False), ("rapamycin", True))
    assert pieces[-1][0].endswith("Filler without end.")
    assert len("".join(text for text, _ in pieces)) <= 310


def test_a_sentence_without_end_is_cut_at_words_and_says_so():
    one = article(1, body="word " * 400 + "mTOR " + "word " * 400)
    hit = Match(topic_id=2, revision_id=1, spans=spans_of(one, "mTOR"))

    text = "".join(piece for piece, _ in snippet(one, hit))

    assert text.startswith("… word")
    assert text.endswith("word …")
    assert "mTOR" in text


def test_overlapping_hits_are_marked_once_the_longer_first():
    one = article(1, body="The kinase mTORC1 grows.")
    hit = Match(topic_id=2, revision_id=1, spans=spans_of(one, "mTOR", "mTORC1"))

    assert snippet(one, hit) == (("The kinase ", False), ("mTORC1", True), (" grows.", False))


def test_without_a_hit_in_the_body_the_summary_is_shown():
    one = article(1, summary="In short.", body="At length.")

    assert snippet(one, Match(topic_id=1, revision_id=1)) == (("In short.", False),)


def test_no_word_is_lost_or_glued_inside_a_snippet():
    for item in weekly_digest(found=week_of_news()).items:
        text = "".join(piece for piece, _ in snippet(item.article, item.match)).strip("… ")
        assert text in tidy(item.article.body)


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("a\r\nBcc: b", "a Bcc: b"),
        ("a\x85b\u2028c\u2029d", "a b c d"),
        ("a\u00a0\u3000 b", "a b"),
        ("a\x00b\x07c", "abc"),
        ("a\ud800b", "ab"),
        ("a\u202eb\u2066c\u200fd\ufeff", "abcd"),
        ("Zoë 中文 β 👩‍⚕️ क्ष", "Zoë 中文 β 👩‍⚕️ क्ष"),
    ],
)
def test_tidy(dirty, clean):
    assert tidy(dirty) == clean


def test_tidy_cuts_at_a_word_and_is_quick_on_a_megabyte():
    assert tidy("one two three four", 12) == "one two…"
    assert len(tidy("x\x00" * 1_000_000, 100)) == 100
