"""What kind of thing an article is: never without the sentence that says so, and never what it only speaks about."""

from __future__ import annotations

import time

import pytest

from monitor.model import Article
from monitor.story.labels import badges, said

T, M, R, O, C = "Randomised trial", "Meta-analysis", "Review", "Observational study", "Case report"  # noqa: E741
MICE, RATS, ANIMALS, VITRO = "In mice", "In rats", "In animals", "In vitro"

SENTENCES = (
    # it says so
    ("In a randomised trial of 204 volunteers, half a milligram a day raised antibody titres.", T),
    ("Weekly opioid holidays in cancer pain: the HOLD randomised trial", T),
    ("The double-blind, randomized, placebo-controlled study ran at nine hospitals.", T),
    ("Adults were randomly assigned to the drug or to a dummy pill.", T),
    ("Participants with stable pain were assigned at random to a weekly holiday.", T),
    ("The team randomised 412 patients to early surgery or to waiting.", T),
    ("Children were randomized to one of three diets.", T),
    ("A meta-analysis of 41 trials finds a small benefit for sleep.", M),
    ("The researchers meta-analysed data of 90,000 people.", M),
    ("Statins and muscle pain: a systematic review", R),
    ("Our scoping review maps what is known of night shifts.", R),
    ("In an observational study of 48,000 people, the drug went with slower loss of function.", O),
    ("The cohort study followed nurses for 20 years.", O),
    ("A registry-based cohort study of schoolchildren three years after infection", O),
    ("This cross-sectional analysis used records of 31 clinics.", O),
    ("Antibiotics in early infancy and the gut microbiome: a birth cohort", O),
    ("A case report describes a gardener with a rare mould in his lung.", C),
    ("The case series of nine divers points to the inner ear.", C),
    ("Prime editing restores hearing in mice with an inherited form of deafness", MICE),
    ("The mice were given morphine twice a day.", MICE),
    ("Researchers engineered a strain of mice that lack the channel.", MICE),
    ("In a mouse model of epilepsy, seizures stopped.", MICE),
    ("Mice that ate late gained more weight than those that ate early.", MICE),
    ("The work was done in rats.", RATS),
    ("Blocking the protein in the spinal cord of rats kept the drug working.", RATS),
    ("One infusion of a base editor halves cholesterol in monkeys for two years", ANIMALS),
    ("They tested the vaccine in ferrets.", ANIMALS),
    ("The compound killed the parasite in vitro within an hour.", VITRO),
    ("In brain organoids, the virus spread from cell to cell.", VITRO),
    ("Cultured human neurons fired less when the drug was added.", VITRO),
    # it says so, although another word could mislead
    ("It is not yet approved; in a randomised trial it lowered pressure.", T),
    ("No side effects were seen: the randomised trial lasted a year.", T),
    # it denies it
    ("This was not a randomised trial.", ""),
    ("Because it was not a randomised trial, other causes cannot be ruled out.", ""),
    ("The authors never ran a randomised trial.", ""),
    ("Without a randomised trial, nobody can tell cause from effect.", ""),
    ("There is no systematic review of the question.", ""),
    ("Rather than a meta-analysis, the team wrote an opinion.", ""),
    ("The drug was tested in people, not in mice.", ""),
    ("The effect cannot be studied in mice.", ""),
    ("Organoids are no brains, and no organoids were used here.", ""),
    ("Neither a cohort study nor a trial has settled it.", ""),
    # it is to come
    ("The finding needs to be tested in a randomised trial.", ""),
    ("A randomised trial is needed to confirm it.", ""),
    ("Randomised trials are urgently needed.", ""),
    ("The team will now start a randomised trial at nine hospitals.", ""),
    ("A larger randomised trial is due to begin in the autumn.", ""),
    ("They plan a systematic review of all such cases.", ""),
    ("The authors call for a randomised trial with infections as its end point.", ""),
    ("Next, the group hopes to repeat the test in mice.", ""),
    ("Whether the drug works in rats should be tested first.", ""),
    ("Only a randomised trial can show whether walking prevents diabetes.", ""),
    ("A randomised trial would be unethical.", ""),
    ("Until a randomised trial has been done, doctors should be careful.", ""),
    ("A cohort study of older nurses is planned.", ""),
    ("Could this be shown in a randomised trial?", ""),
    # it is others'
    ("Unlike earlier mouse studies, this one followed people for years.", ""),
    ("Unlike earlier studies in mice, the new one looks at people.", ""),
    ("Previous studies in mice had hinted at such an effect.", ""),
    ("An earlier meta-analysis had come to the opposite conclusion.", ""),
    ("Earlier work in rats led to the idea.", ""),
    ("The drug has previously been shown to work in mice.", ""),
    ("Several cohort studies have linked coffee to longer life.", ""),
    ("In contrast to other randomised trials, the doses were small.", ""),
    ("Most randomised trials leave older people out.", ""),
    ("A previous randomised trial found no benefit.", ""),
    ("Compared with mice, people sleep at night.", ""),
    ("So far the compound had been given only to rats.", ""),
    ("The search included randomised trials, observational studies and reviews.", ""),
    ("Observational studies link fibre to the response to therapy.", ""),
    ("Mice that were given the drug at dawn had more cells, earlier studies had shown.", ""),
    # it only sounds like it
    ("The hospital reviews its rules each year.", ""),
    ("In that case, reports should be sent to the ministry.", ""),
    ("The reviewer was randomly rude.", ""),
    ("A moderate dose separates the two.", ""),
    ("The clinic's cellphone line was busy.", ""),
)  # fmt: skip


def test_the_table_is_long_enough_to_trust() -> None:
    assert len({sentence for sentence, _ in SENTENCES}) >= 60
    assert sum(not label for _, label in SENTENCES) >= 30


@pytest.mark.parametrize(("sentence", "label"), SENTENCES, ids=[sentence[:50] for sentence, _ in SENTENCES])
def test_a_sentence_claims_a_kind_only_for_its_own_study(sentence: str, label: str) -> None:
    assert said(sentence) == ((label,) if label else ())


PAPER = {
    "url": "https://doi.org/10.5555/a",
    "canonical_url": "https://doi.org/10.5555/a",
    "key": "doi:10.5555/a",
    "doi": "10.5555/a",
}
NEWS = {"url": "https://news.example.org/1", "canonical_url": "https://news.example.org/1", "key": "news.example.org/1"}

MX = NEWS | {"canonical_url": "https://medicalxpress.com/news/2026-01-a.html"}


def an(article: dict[str, str], **values: object) -> Article:
    return Article(**({"title": "A title"} | article | values))  # type: ignore[arg-type]


def test_what_pubmed_says_comes_before_what_the_text_seems_to_say() -> None:
    article = an(
        PAPER,
        body="We followed them in a cohort study of mice.",
        publication_types=("Journal Article", "Randomized Controlled Trial"),
        mesh=("Humans", "Female", "Animals"),
    )

    (badge,) = badges(article)

    assert (badge.text, badge.quote, badge.by) == (T, "PubMed publication type: Randomized Controlled Trial", "PubMed")


def test_an_animal_study_is_named_by_its_strain() -> None:
    found = badges(an(PAPER, mesh=("Animals", "Mice, Inbred C57BL", "Male")))

    assert [(badge.text, badge.quote) for badge in found] == [(MICE, "MeSH heading: Mice, Inbred C57BL")]


def test_a_label_always_has_its_quote_out_of_the_article() -> None:
    body = "A team reports a randomised trial. It needs to be repeated in mice."

    (badge,) = badges(an(PAPER, body=body))

    assert (badge.text, badge.quote, badge.by) == (T, "A team reports a randomised trial.", "text")


@pytest.mark.parametrize(
    ("article", "wanted"),
    [
        (an(PAPER), []),
        (an(PAPER, doi="10.1101/2026.01.01", key="doi:10.1101/2026.01.01"), ["Preprint"]),
        (an(NEWS, canonical_url="https://www.eurekalert.org/news-releases/1", doi="10.5555/a"), ["Press release"]),
        (an(MX, provider="Institute of Invented Hearts", doi="10.5555/a"), ["Press release"]),
        (an(MX, provider="HealthDay", doi="10.5555/a"), []),
        (an(NEWS, provider="The Invented Ledger", doi="10.5555/a"), []),  # a site's own name
        (an(NEWS, body="FOR IMMEDIATE RELEASE", doi="10.5555/a"), ["Press release"]),
        (an(NEWS, body="A new study finds that walking helps."), ["No paper found"]),
        (an(NEWS, body="A new study finds that walking helps.", doi="10.5555/a"), []),
        (an(NEWS, body="A new study finds that walking helps.", journal="J Clin Invest"), []),
        (an(NEWS, body="The hospital opens a new wing."), []),
        (an(PAPER, publication_types=("Retracted Publication",)), ["Retracted"]),
        (an(PAPER, title="Retraction: A study of mice", doi="10.5555/a"), ["Notice"]),
    ],
)
def test_where_an_article_stands_says_what_it_is(article: Article, wanted: list[str]) -> None:
    found = badges(article)

    assert [badge.text for badge in found if badge.text != MICE] == wanted
    assert all(badge.quote for badge in found)


def test_a_hostile_text_is_read_in_no_time() -> None:
    started = time.monotonic()

    badges(
        an(NEWS, title="in " * 2_000 + "mice", summary="randomised " * 5_000, body="not a most of " * 20_000 + "mice.")
    )

    assert time.monotonic() - started < 2
