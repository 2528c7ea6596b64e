"""Which paper a news story without a DOI means: a small set made by hand, with what looks like the paper and is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from monitor.model import Article, Entry
from monitor.story.trace import questions, titles, trace

NOW = datetime(2026, 11, 20, tzinfo=UTC)
TITLE = "Spinal kinase activation contributes to morphine tolerance in rats"
THRESHOLD = 0.8  # the default


def news(body: str, title: str = "Blocking one enzyme keeps morphine working, a study says", **more: object) -> Article:
    url = "https://news.example.org/2026/morphine"
    values: dict[str, object] = {"url": url, "canonical_url": url, "key": "news.example.org/2026/morphine"}
    return Article(**values, title=title, body=body, published=NOW, **more)  # type: ignore[arg-type]


def paper(doi: str = "10.5555/jim.1", title: str = TITLE, **changes: object) -> Entry:
    values: dict[str, object] = {
        "url": f"https://doi.org/{doi}",
        "doi": doi,
        "title": title,
        "authors": ("Ji-Tian Xu", "Jian-Yuan Zhao", "Yuan-Xiang Tao"),
        "journal": "Journal of Invented Medicine",
        "published": NOW - timedelta(days=5),
        "publication_types": ("Journal Article",),
    }
    return Entry(**(values | changes))  # type: ignore[arg-type]


CITED = f"Researchers looked at rats.\n\nJ-T Xu et al. {TITLE}. Journal of Invented Medicine (2026)."
QUOTED = (
    f'In a study called "{TITLE}", published in the Journal of Invented Medicine, Yuan-Xiang Tao and colleagues say so.'
)


@dataclass(frozen=True)
class Case:
    story: Article
    found: tuple[Entry, ...]
    means: str  # the DOI, or nothing


MEANS = {
    "cited with journal and author": Case(news(CITED), (paper(),), "10.5555/jim.1"),
    "quoted with journal and author": Case(news(QUOTED), (paper(),), "10.5555/jim.1"),
    "quoted with its journal only": Case(
        news(f'The study "{TITLE}" was published in the Journal of Invented Medicine.'), (paper(),), "10.5555/jim.1"
    ),
    "quoted with one author only": Case(
        news(f'The study "{TITLE}" is by Dr. Zhao and others.'), (paper(),), "10.5555/jim.1"
    ),
    "the release bears the paper's title": Case(
        news("A study in the Journal of Invented Medicine says so.", TITLE), (paper(),), "10.5555/jim.1"
    ),
    "journal abbreviated": Case(news(f"Xu et al. {TITLE}. J Invent Med. 2026;4:1."), (paper(),), "10.5555/jim.1"),
    "journal by its short name": Case(
        news(f'The study "{TITLE}" appeared in NEJM.'),
        (paper(journal="New England Journal of Medicine"),),
        "10.5555/jim.1",
    ),
    "journal of one word where a journal stands": Case(
        news(f'The study "{TITLE}" was published in Pain.'), (paper(journal="Pain"),), "10.5555/jim.1"
    ),
    "journal of one word in a citation": Case(
        news(f"Study source: {TITLE}. Brain, 2026."), (paper(journal="Brain"),), "10.5555/jim.1"
    ),
    "title in other signs": Case(
        news(CITED),
        (paper(title="Spinal kinase activation contributes to morphine tolerance – in rats."),),
        "10.5555/jim.1",
    ),
    "title without its subtitle": Case(
        news(f'"{TITLE}" was published in the Journal of Invented Medicine by Xu and Tao.'),
        (paper(title=f"{TITLE}: a randomised experiment"),),
        "10.5555/jim.1",
    ),
    "among others by the same authors": Case(
        news(CITED),
        (paper("10.5555/jim.9", "Spinal kinase inhibition in neuropathic pain of mice and men"), paper()),
        "10.5555/jim.1",
    ),
    "beside the commentary on it": Case(
        news(QUOTED), (paper("10.5555/jim.2", f"Comment on {TITLE}"), paper()), "10.5555/jim.1"
    ),
    "beside an editorial of the same title": Case(
        news(QUOTED), (paper("10.5555/jim.3", authors=("Ed Itor",)), paper()), "10.5555/jim.1"
    ),
    "beside its erratum": Case(news(CITED), (paper("10.5555/jim.4", f"Erratum: {TITLE}"), paper()), "10.5555/jim.1"),
    "beside its preprint": Case(
        news(CITED), (paper("10.1101/2026.01.02.111111", journal="medRxiv"), paper()), "10.5555/jim.1"
    ),
    "only a preprint": Case(
        news(f'The preprint study "{TITLE}" on medRxiv by Xu and Tao is not reviewed yet.'),
        (paper("10.1101/2026.01.02.111111", journal="medRxiv"),),
        "10.1101/2026.01.02.111111",
    ),
    "authors with initials behind": Case(
        news(f'The study "{TITLE}" is by Zhao and Tao.'),
        (paper(authors=("Xu JT", "Zhao JY", "Tao YX")),),
        "10.5555/jim.1",
    ),
}
TRAPS = {
    "nothing but the title": Case(news(f'A study, "{TITLE}", says so.'), (paper(),), ""),
    "only a commentary was found": Case(news(QUOTED), (paper("10.5555/jim.2", f"Comment on: {TITLE}"),), ""),
    "only a reply was found": Case(news(QUOTED), (paper("10.5555/jim.2", f"Reply to {TITLE}"),), ""),
    "only the erratum was found": Case(news(CITED), (paper("10.5555/jim.4", f"Correction to: {TITLE}"),), ""),
    "only the retraction was found": Case(news(CITED), (paper("10.5555/jim.4", f"RETRACTED: {TITLE}"),), ""),
    "PubMed calls it an editorial": Case(news(QUOTED), (paper(publication_types=("Editorial",)),), ""),
    "PubMed calls it a comment": Case(news(QUOTED), (paper(publication_types=("Journal Article", "Comment")),), ""),
    "editorial and paper of one title, no author named": Case(
        news(f'"{TITLE}" was published in the Journal of Invented Medicine, a study.'),
        (paper(), paper("10.5555/jim.3", authors=("Ed Itor",))),
        "",
    ),
    "another paper by the same authors in the same journal": Case(
        news(CITED), (paper("10.5555/jim.9", "Spinal kinase inhibition in neuropathic pain of mice and men"),), ""
    ),
    "part one and part two": Case(
        news(f'"{TITLE}" was published in the Journal of Invented Medicine by Xu and Tao, a study.'),
        (paper("10.5555/jim.5", f"{TITLE}: part one"), paper("10.5555/jim.6", f"{TITLE}: part two")),
        "",
    ),
    "a generic title": Case(
        news("Editorial. Journal of Invented Medicine, 2026. Study by Xu and Tao."), (paper(title="Editorial"),), ""
    ),
    "a short title that any text holds": Case(
        news("A study of opioid tolerance, published in the Journal of Invented Medicine by Xu and Tao."),
        (paper(title="Opioid tolerance"),),
        "",
    ),
    "another journal is named": Case(
        news(f'The study "{TITLE}" was published in Annals of Other Things by Xu.'), (paper(),), ""
    ),
    "the journal's name is a word here": Case(
        news(f'A study of people in pain, "{TITLE}", gives hope to those in Pain Clinics.'),
        (paper(journal="Pain"),),
        "",
    ),
    "the author's name is a word here": Case(
        news(f'A study, "{TITLE}", of young and brown rats took long.'), (paper(authors=("Ann Young", "Bo Long")),), ""
    ),
    "a paper of ten years ago": Case(
        news(f'The study "{TITLE}" was published in the Journal of Invented Medicine.'),
        (paper(published=NOW - timedelta(days=3650)),),
        "",
    ),
    "a longer title that only begins alike": Case(
        news('The study "Spinal kinase activation contributes to morphine" by Xu and Tao.'), (paper(),), ""
    ),
}


def meant(case: Case, threshold: float = THRESHOLD) -> str:
    traced = trace(case.story, case.found, threshold)
    return traced.paper.doi if traced else ""


@pytest.mark.parametrize("case", MEANS.values(), ids=MEANS)
def test_the_paper_is_found(case: Case) -> None:
    assert meant(case) == case.means


@pytest.mark.parametrize("case", TRAPS.values(), ids=TRAPS)
def test_what_only_looks_like_the_paper_is_not_taken_for_it(case: Case) -> None:
    assert meant(case) == ""


def test_the_default_threshold_is_where_no_wrong_paper_comes_and_none_is_lost() -> None:
    def measured(threshold: float) -> tuple[int, int]:
        right = sum(meant(case, threshold) == case.means for case in MEANS.values())
        wrong = sum(meant(case, threshold) not in ("", case.means) for case in {**MEANS, **TRAPS}.values())
        return right, wrong

    by_threshold = {threshold: measured(threshold) for threshold in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)}

    assert by_threshold[0.8] == (len(MEANS), 0)
    assert by_threshold[0.6][1] >= 3  # lower ones are wrong
    assert by_threshold[0.9][0] <= len(MEANS) * 2 / 3  # higher ones miss


def test_why_is_said_in_words() -> None:
    traced = trace(news(QUOTED), (paper(),), THRESHOLD)

    assert traced is not None
    assert traced.confidence == 1.0  # more than that speaks for it
    assert traced.evidence == (
        f"“{TITLE}” (Journal of Invented Medicine, 2026-11-15): its title stands here; the journal Journal of Invented"
        " Medicine is named; its author Tao is named"
    )


@pytest.mark.parametrize(
    "story",
    [
        news(CITED, doi="10.5555/known"),
        news(CITED, pmid="1"),
        news(
            "Flu shots are offered again at all pharmacies from Monday on.", "Flu shots are offered again this autumn"
        ),
        news(CITED, "Correction: Blocking one enzyme keeps morphine working"),
        news(CITED, doi_evidence="an admin has split it from that paper"),
    ],
    ids=["names its DOI", "names its PMID", "no study", "a notice", "an admin said no"],
)
def test_what_needs_no_paper_asks_nobody(story: Article) -> None:
    assert questions(story) == ()
    assert titles(story) == ()


def test_the_line_that_cites_is_asked_for_first_then_quotations_then_the_own_title() -> None:
    own = "Morphine tolerance in rats is due to one kinase in the spine"
    story = news(f'A study, "{TITLE}", says so.\n\nMore information: Xu J-T, Pain and kinases, Journal of Pain', own)

    assert questions(story) == ("More information: Xu J-T, Pain and kinases, Journal of Pain", TITLE, own)
    assert titles(story) == (TITLE, own)
