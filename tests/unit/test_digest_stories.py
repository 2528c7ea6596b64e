"""One card a story, badges in words with their quotes, updates, and the safety box; in HTML and in text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from digest_samples import ACCEPTANCE, LETTERHEAD, LINKS, NOW, many, match, week_of_news, weekly_digest

from monitor.digest import render
from monitor.digest.safety import notes, summary
from monitor.model import Correction, CorrectionKind, Digest, Found, SafetyItem

PAPER = replace(
    week_of_news()[1].article, id=901, key="doi:10.5555/one", doi="10.5555/one", journal="Journal of One", story_id=900
)
NEWS = replace(ACCEPTANCE, id=900, key="news.example.org/one", doi="10.5555/one", story_id=900)


def found(article: object, score: float, topic: int = 1, **changes: object) -> Found:
    values = {"article": article, "matches": (match(article, topic, score),), "source_name": "Medical Xpress"} | changes  # type: ignore[arg-type]
    return Found(**values)  # type: ignore[arg-type]


def bodies(digest: Digest) -> tuple[str, str, str]:
    """Subject, text and HTML as a mail program shows them."""
    letter = message_from_bytes(render(digest, LETTERHEAD, LINKS).data, policy=policy.default)
    text, html = letter.get_body(("plain",)), letter.get_body(("html",))
    assert text is not None
    assert html is not None
    return str(letter["Subject"]), " ".join(text.get_content().split()), html.get_content()


# --- one card a story -----------------------------------------------------------------------------------------


def test_the_best_match_stands_for_its_story_and_names_who_else_covered_it() -> None:
    covered = ("Medical Xpress", "STAT", "Reuters", "The Ledger", "Journal of One")
    digest = weekly_digest(
        found=(
            found(NEWS, 9.0, covered_by=covered),
            found(PAPER, 3.0, source_name="Journal of One", covered_by=covered),
        )
    )

    (item,) = digest.items
    _, text, html = bodies(digest)

    assert item.article.id == NEWS.id
    assert item.also_covered == ("STAT", "Reuters", "The Ledger", "Journal of One")
    assert "Also covered by: STAT, Reuters (+2)" in text
    assert "Also covered by: STAT, Reuters (+2)" in html


def test_of_equal_matches_the_paper_stands_for_the_story() -> None:
    digest = weekly_digest(found=(found(NEWS, 5.0), found(PAPER, 5.0)))

    assert [item.article.id for item in digest.items] == [PAPER.id]
    assert digest.items[0].shows_paper


def test_no_topic_loses_a_story_that_only_its_other_article_matched() -> None:
    digest = weekly_digest(found=(found(NEWS, 5.0, topic=1), found(PAPER, 4.0, topic=2)))

    (item,) = digest.items

    assert item.also_in == ("mTOR",)
    assert {topic.id for topic, _ in digest.quiet} == {3, 4, 5}


def test_articles_without_a_story_have_a_card_each() -> None:
    digest = weekly_digest(found=many(12))

    assert len(digest.items) == 12


def test_of_a_story_that_was_sent_only_the_paper_comes_again_as_an_update() -> None:
    more_news = replace(NEWS, id=902, key="news.example.org/two")

    assert weekly_digest(found=(found(more_news, 9.0, known=True),)).items == ()

    (item,) = weekly_digest(found=(found(more_news, 9.0, known=True), found(PAPER, 3.0, known=True))).items
    assert (item.article.id, item.update) == (PAPER.id, "Update: now published in Journal of One")
    _, text, html = bodies(weekly_digest(found=(found(PAPER, 3.0, known=True),)))
    assert "Update: now published in Journal of One" in text
    assert "Update: now published in Journal of One" in html


# --- badges ---------------------------------------------------------------------------------------------------


def test_a_badge_is_a_word_with_the_sentence_that_says_so() -> None:
    _, text, html = bodies(weekly_digest(found=(found(ACCEPTANCE, 9.0),)))

    assert 'title="The work was done in rats; whether it holds for patients has to be tested.' in html
    assert ">In rats</b>" in html
    assert "In rats: “The work was done in rats; whether it holds for patients has to be tested.”" in text


def test_a_quote_out_of_a_hostile_page_stays_a_quote() -> None:
    evil = replace(ACCEPTANCE, id=7, title='In mice with an "><script>alert(1)</script> inherited form of deafness')

    _, _, html = bodies(weekly_digest(found=(found(evil, 9.0),)))

    assert "<script>" not in html
    assert ">In mice</b>" in html


# --- the safety box -------------------------------------------------------------------------------------------


def notice(kind: CorrectionKind = CorrectionKind.RETRACTION, **changes: object) -> SafetyItem:
    values: dict[str, object] = {
        "kind": kind,
        "doi": "10.1172/jci70236",
        "notice_doi": "10.1172/notice",
        "reason": "The data could not be verified.",
        "source": "retraction-watch",
        "noticed_at": datetime(2026, 11, 20, tzinfo=UTC),
    }
    return SafetyItem(
        correction=Correction(**(values | changes)),  # type: ignore[arg-type]
        article=ACCEPTANCE,
        sent_at=datetime(2026, 11, 9, 6, tzinfo=UTC),
    )


def test_the_safety_box_comes_before_everything_and_the_subject_names_it() -> None:
    subject, text, html = bodies(weekly_digest(safety=(notice(),)))

    assert subject.startswith("1 retraction; ")
    for body in (text, html):
        assert body.index("Safety: notices about what you were sent") < body.index("Opioid tolerance and pain hypers")
        assert body.index("The data could not be verified.") < body.index("Tirzepatide withdrawal")
    assert "Retracted: Opioid tolerance and pain hypersensitivity" in text
    assert (
        "Sent to you on 9 Nov 2026. The paper 10.1172/jci70236 has been retracted (Retraction Watch, 20 Nov 2026)."
        in text
    )
    assert "https://doi.org/10.1172/notice" in text
    assert "<b" in html[: html.index("Retracted:</b>")]


def test_a_digest_of_nothing_but_a_notice_is_not_called_no_news() -> None:
    subject, text, _ = bodies(weekly_digest(found=(), safety=(notice(CorrectionKind.EXPRESSION_OF_CONCERN),)))

    assert subject.startswith("1 expression of concern of what you were sent")
    assert "Expression of concern: Opioid tolerance" in text


def test_a_digest_without_notices_has_no_safety_box() -> None:
    _, text, html = bodies(weekly_digest())

    assert "Safety" not in text
    assert "Safety" not in html


def test_the_gravest_notice_comes_first_and_very_many_are_counted() -> None:
    items = [notice(CorrectionKind.CORRECTION, id=1), notice(CorrectionKind.RETRACTION, id=2)]

    assert [note["kind"] for note in notes(items, "UTC")] == ["Retracted", "Corrected"]
    assert summary(items) == "1 retraction, 1 correction"
    assert notes(items * 15, "UTC")[-1]["title"] == "10 more"


@pytest.mark.parametrize("reason", ["<script>alert(1)</script>", "x" * 5_000, "\u202eevil\x00\x1b[31m"])
def test_a_hostile_notice_changes_neither_markup_nor_size(reason: str) -> None:
    hostile = tuple(
        notice(id=number, reason=reason, notice_url="javascript:alert(1)", notice_doi="") for number in range(40)
    )

    message = render(weekly_digest(found=many(300), safety=hostile, now=NOW), LETTERHEAD, LINKS)
    letter = message_from_bytes(message.data, policy=policy.default)
    html = letter.get_body(("html",))

    assert html is not None
    assert "<script>" not in html.get_content()
    assert "javascript:" not in html.get_content()
    assert len(html.get_content().encode()) <= 102_000
