"""Notices about papers, as Crossref, PubMed, feeds and Retraction Watch tell them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.model import Article, Correction, CorrectionKind
from monitor.story.corrections import (
    correction_kind,
    corrections_in,
    from_crossref,
    from_pubmed,
    from_retraction_watch,
    notice_title,
)

K = CorrectionKind


def pairs(found: tuple[Correction, ...] | list[Correction]) -> list[tuple[str, CorrectionKind]]:
    return [(one.doi or one.pmid, one.kind) for one in found]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("retraction", K.RETRACTION),
        ("expression-of-concern", K.EXPRESSION_OF_CONCERN),
        ("Expression of Concern", K.EXPRESSION_OF_CONCERN),
        ("partial_retraction", K.PARTIAL_RETRACTION),
        ("corrigendum", K.CORRECTION),
        ("erratum", K.CORRECTION),
        ("new_version", None),
        ("addendum", None),
        ("", None),
    ],
)
def test_a_kind_is_known_however_it_is_spelt(name: str, kind: CorrectionKind | None) -> None:
    assert correction_kind(name) is kind


# --- Crossref -------------------------------------------------------------------------------------------------


def test_a_record_says_by_which_notices_it_was_updated_each_once() -> None:
    work = {
        "DOI": "10.5555/JSM.26.0518",
        "title": ["Nocturnal gabapentin"],
        "updated-by": [
            {
                "DOI": "10.5555/ret",
                "type": "retraction",
                "source": "publisher",
                "updated": {"date-parts": [[2026, 6, 14]]},
            },
            {"DOI": "10.5555/ret", "type": "retraction", "source": "retraction-watch", "record-id": "37476"},
            {"DOI": "10.5555/v2", "type": "new_version", "source": "publisher"},
        ],
    }

    (found,) = from_crossref(work)

    assert (found.doi, found.kind, found.notice_doi) == ("10.5555/jsm.26.0518", K.RETRACTION, "10.5555/ret")
    assert found.noticed_at == datetime(2026, 6, 14, tzinfo=UTC)


def test_a_notice_that_names_dozens_names_each() -> None:
    updates = [{"DOI": f"10.5555/p.{number}", "type": "retraction"} for number in range(42)]

    found = from_crossref({"DOI": "10.5555/notice", "update-to": updates})

    assert len(found) == 42
    assert {one.notice_doi for one in found} == {"10.5555/notice"}


@pytest.mark.parametrize(
    "work",
    [
        {},
        {"DOI": None, "updated-by": [{"type": "retraction", "DOI": "10.5555/x"}]},
        {"DOI": "10.5555/a", "updated-by": "retraction"},
        {"DOI": "10.5555/a", "updated-by": [None, 4, {"type": ["retraction"]}]},
    ],
)
def test_a_record_that_is_not_as_it_should_be_says_nothing(work: dict[str, object]) -> None:
    assert from_crossref(work) == ()


@pytest.mark.parametrize(
    "updated", [None, {"date-parts": [[None]]}, {"date-parts": []}, {"date-parts": [[2026, 13, 40]]}]
)
def test_a_date_that_is_none_is_left_out(updated: object) -> None:
    (found,) = from_crossref(
        {"DOI": "10.5555/a", "updated-by": [{"DOI": "10.5555/n", "type": "removal", "updated": updated}]}
    )

    assert found.noticed_at is None


# --- PubMed ---------------------------------------------------------------------------------------------------


def test_either_of_pubmeds_signals_is_enough() -> None:
    assert pairs(from_pubmed("1", "", ["Retracted Publication"])) == [("1", K.RETRACTION)]
    assert pairs(from_pubmed("1", "", [], [("RetractionIn", "2")])) == [("1", K.RETRACTION)]
    assert pairs(from_pubmed("2", "", [], [("RetractionOf", "1"), ("ErratumFor", "3")])) == [
        ("1", K.RETRACTION),
        ("3", K.CORRECTION),
    ]


def test_both_signals_are_one_notice_with_its_address() -> None:
    (found,) = from_pubmed("1", "10.5555/a", ["Retracted Publication"], [("RetractionIn", "2")])

    assert found.notice_url == "https://pubmed.ncbi.nlm.nih.gov/2/"


# --- titles in feeds ------------------------------------------------------------------------------------------

TITLES = [
    ("Retraction: A study of pain", (K.RETRACTION, "A study of pain", False)),
    ("RETRACTED: A study of pain", (K.RETRACTION, "A study of pain", True)),
    ("[Retracted] A study of pain", (K.RETRACTION, "A study of pain", True)),
    ("RETRACTED ARTICLE: A study of pain", (K.RETRACTION, "A study of pain", True)),
    ("Retraction notice to: A study of pain", (K.RETRACTION, "A study of pain", False)),
    ("Retraction Notice: A study of pain", (K.RETRACTION, "A study of pain", False)),
    ("Notice of Retraction: A study of pain", (K.RETRACTION, "A study of pain", False)),
    ("WITHDRAWN: A study of pain", (K.WITHDRAWAL, "A study of pain", True)),
    ("Expression of Concern: A study of pain", (K.EXPRESSION_OF_CONCERN, "A study of pain", False)),
    ("Correction: A study of pain", (K.CORRECTION, "A study of pain", False)),
    ("Correction to: A study of pain", (K.CORRECTION, "A study of pain", False)),
    ("Author Correction: A study of pain", (K.CORRECTION, "A study of pain", False)),
    ("Erratum: A study of pain", (K.CORRECTION, "A study of pain", False)),
    ("Corrigendum to “A study of pain”", (K.CORRECTION, "A study of pain", False)),
    ("Retraction rates climb for the tenth year", None),
    ("Retraction of a famous study shakes the field", None),
    ("Withdrawal symptoms after opioids last for weeks", None),
    ("Opioid withdrawal: what helps", None),
    ("Removal of tonsils in children", None),
    ("Correction of scoliosis in adults", None),
    ("Corrections officers and stress", None),
    ("Lung retraction: a case", None),
    ("Retraction:", None),
]


@pytest.mark.parametrize(("title", "wanted"), TITLES, ids=[title for title, _ in TITLES])
def test_a_title_is_a_notice_only_where_it_heads_one(
    title: str, wanted: tuple[CorrectionKind, str, bool] | None
) -> None:
    assert notice_title(title) == wanted


def article(**values: object) -> Article:
    url = "https://journal.example.org/n"
    return Article(**({"url": url, "canonical_url": url, "key": url, "title": "A study of pain"} | values))  # type: ignore[arg-type]


def test_a_notice_names_the_doi_in_its_text_and_not_its_own() -> None:
    notice = article(
        title="Retraction: A study of pain",
        doi="10.5555/a.1.ret",
        body="This article retracts: Renner BQ. A study of pain. doi:10.5555/a.1.\n\nSee also doi:10.5555/other.",
    )

    (found,) = corrections_in(notice)

    assert (found.doi, found.kind, found.notice_doi) == ("10.5555/a.1", K.RETRACTION, "10.5555/a.1.ret")


def test_a_notice_without_a_doi_names_the_title() -> None:
    (found,) = corrections_in(article(title="Expression of concern: A study of pain", body="The editors look into it."))

    assert (found.doi, found.pmid, found.title) == ("", "", "A study of pain")


def test_a_paper_that_is_headed_retracted_says_so_of_itself() -> None:
    assert pairs(corrections_in(article(title="RETRACTED: A study of pain", doi="10.5555/a.1"))) == [
        ("10.5555/a.1", K.RETRACTION)
    ]


def test_an_article_like_any_other_says_nothing() -> None:
    assert corrections_in(article(doi="10.5555/a.1", body="Cites doi:10.5555/b.")) == ()


# --- Retraction Watch -----------------------------------------------------------------------------------------

HEAD = "Record ID,Title,Reason,RetractionDate,RetractionDOI,OriginalPaperDOI,OriginalPaperPubMedID,RetractionNature\n"


def test_the_list_gives_each_row_that_names_a_paper() -> None:
    rows = [
        "\ufeff" + HEAD,
        '1,"A study, of pain",+Duplication of Data;+Error in Text;,6/14/2026 0:00,10.5555/RET,10.5555/A.1,123,'
        "Retraction\n",
        "2,No paper,,6/14/2026 0:00,,unavailable,0,Retraction\n",
        "3,By PMID,,2026-06-14,,Unavailable,77,Expression of concern\n",
        "4,Harmless,,x,,10.5555/b,0,Something else\n",
        "5,NUL\x00,,x,,10.5555/c,,Reinstatement\n",
    ]

    found = list(from_retraction_watch(rows))

    assert pairs(found) == [
        ("10.5555/a.1", K.RETRACTION),
        ("77", K.EXPRESSION_OF_CONCERN),
        ("10.5555/c", K.REINSTATEMENT),
    ]
    assert found[0].reason == "Duplication of Data; Error in Text"
    assert found[0].noticed_at == datetime(2026, 6, 14, tzinfo=UTC)


def test_another_file_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="OriginalPaperDOI"):
        list(from_retraction_watch(["name,email\n", "a,b\n"]))
