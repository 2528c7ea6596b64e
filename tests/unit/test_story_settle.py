"""Which articles are about one study, and which only look like it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from monitor.model import Article
from monitor.story.evidence import Stage, evidence, family_name, quoted_titles, same_authors, stage, vouches
from monitor.story.holders import Holders
from monitor.story.settle import Bounds, Known, Settled, settle
from monitor.story.shingles import shingles

NOW = datetime(2026, 6, 1, 7, tzinfo=UTC)
DAY = timedelta(days=1)
dice = random.Random(4)
WORDS = ["".join(dice.choice("bdfgklmnprstv") + dice.choice("aeiou") for _ in range(3)) for _ in range(900)]


def prose(seed: int, sentences: int = 20) -> str:
    mine = random.Random(seed)
    return " ".join(" ".join(mine.choices(WORDS, k=14)).capitalize() + "." for _ in range(sentences))


def article(number: int, **changes: object) -> Article:
    url = f"https://site{number}.example.org/{number}"
    values: dict[str, object] = {
        "id": number,
        "url": url,
        "canonical_url": url,
        "key": url.removeprefix("https://"),
        "title": f"Headline {prose(number + 500, 1)}",
        "source_id": number,
    }
    values |= changes
    if doi := values.get("own_doi"):
        values |= {"doi": doi, "key": f"doi:{doi}"}
    values.pop("own_doi", None)
    return Article(**values)  # type: ignore[arg-type]


def stories(
    *articles: Article, at: Iterable[datetime] = (), known: Known | None = None, vouching: bool = False
) -> list[int]:
    """The story of each, all in one batch."""
    by_id = {one.id: one for one in articles}

    def vouch(one: int, work: int) -> bool:
        news, paper = by_id[one], by_id[work]
        return same_authors(news, paper) if stage(news) else vouches(news, paper)

    times = list(at) or [NOW] * len(articles)
    batch = [evidence(one, moment) for one, moment in zip(articles, times, strict=True)]
    settled: Settled = settle(batch, known or Known(), vouch if vouching else lambda _one, _work: False)
    return [placement.story_id for placement in settled.placements]


# --- the ladder -----------------------------------------------------------------------------------------------


def test_a_story_bears_the_number_of_its_first_article() -> None:
    assert stories(article(7, body=prose(1)), article(9, body=prose(2))) == [7, 9]


def test_a_paper_and_news_that_name_its_doi_are_one_story_however_far_apart() -> None:
    paper = article(1, own_doi="10.5555/a.1", body=prose(1))
    news = article(2, doi="10.5555/A.1", body=prose(2))

    assert stories(paper, news, at=(NOW, NOW + 300 * DAY)) == [1, 1]


def test_two_addresses_with_one_canonical_address_are_one_story() -> None:
    one = article(1, canonical_url="https://example.org/the-study?utm_source=x")
    other = article(2, canonical_url="http://www.example.org/the-study")

    assert stories(one, other) == [1, 1]


def test_one_title_within_a_week_is_one_story_and_later_another() -> None:
    title = "Opioid tolerance and pain hypersensitivity associated with mTOR activation"

    assert stories(article(1, title=title), article(2, title=title.upper()), at=(NOW, NOW + 6 * DAY)) == [1, 1]
    assert stories(article(1, title=title), article(2, title=title), at=(NOW, NOW + 8 * DAY)) == [1, 2]


@pytest.mark.parametrize(
    "title",
    [
        "Correction",
        "Research highlights",
        "In brief: the week in health",
        "Retraction: A study of everything that there is",
    ],
)
def test_a_title_that_names_no_study_joins_nothing(title: str) -> None:
    first, second = article(1, title=title, body=prose(1)), article(2, title=title, body=prose(2))

    assert stories(first, second) == [1, 2] or title.startswith("In brief")


def test_a_column_of_one_source_is_not_one_story_each_day() -> None:
    title = "Morning rounds: what is new in medicine today"

    assert stories(
        article(1, title=title, source_id=5, body=prose(1)), article(2, title=title, source_id=5, body=prose(2))
    ) == [1, 2]


def test_a_release_under_two_headlines_is_one_story() -> None:
    release = prose(1)

    assert stories(article(1, body=release), article(2, body=release)) == [1, 1]


def test_a_truncated_copy_joins_although_most_of_the_text_is_missing() -> None:
    release = prose(1, 30)

    assert stories(article(1, body=release), article(2, body=release[: len(release) * 2 // 5])) == [1, 1]


def test_a_copy_in_a_sites_furniture_joins() -> None:
    release = prose(1)

    assert stories(article(1, body=release), article(2, body=f"{prose(90, 8)}\n\n{release}\n\n{prose(91, 8)}")) == [
        1,
        1,
    ]


def test_an_edited_copy_joins() -> None:
    mine = random.Random(3)
    release = prose(1, 30)
    edited = " ".join(mine.choice(WORDS) if mine.random() < 0.1 else word for word in release.split())

    assert stories(article(1, body=release), article(2, body=edited)) == [1, 1]


def test_what_every_release_of_a_house_ends_with_joins_nothing() -> None:
    about = prose(77, 12)
    long = [article(number, body=f"{prose(number, 30)}\n\n{about}") for number in (1, 2, 3)]
    short = [article(number, body=f"{prose(number, 8)}\n\n{about}") for number in (4, 5)]

    # of each short one more than half is the house's own words, which three stories share by then
    assert stories(*long, *short) == [1, 2, 3, 4, 5]
    assert stories(long[0], *short) == [1, 1, 1]  # where nobody can know that, they look alike


def test_text_older_than_it_is_kept_is_simply_not_there() -> None:
    known = Known()

    stories(article(1, body=prose(1)), known=known)
    known.holders = Holders()  # what storage does after two weeks

    assert stories(article(2, body=prose(1)), known=known) == [2]


def test_a_short_text_joins_nothing() -> None:
    assert stories(article(1, body="The trial ended early."), article(2, body="The trial ended early.")) == [1, 2]


# --- what is never merged -------------------------------------------------------------------------------------


def test_two_papers_are_two_studies_however_alike() -> None:
    title = "Dietary fibre during immune checkpoint blockade for melanoma"
    one = article(1, own_doi="10.5555/a.1", title=title, body=prose(1))
    other = article(2, own_doi="10.5555/a.2", title=title, body=prose(1))

    assert stories(one, other) == [1, 2]


def test_news_of_two_papers_stays_two_stories() -> None:
    assert stories(article(1, doi="10.5555/a.1", body=prose(1)), article(2, doi="10.5555/a.2", body=prose(1))) == [1, 2]


def test_a_retraction_notice_does_not_join_what_it_retracts() -> None:
    paper = article(
        1, own_doi="10.5555/a.1", title="Nocturnal gabapentin prevents hyperalgesia after surgery", body=prose(1)
    )
    notice = article(2, own_doi="10.5555/a.1.ret", title=f"Retraction: {paper.title}", body=prose(1))

    assert stories(paper, notice) == [1, 2]


def test_what_an_admin_told_apart_stays_apart() -> None:
    known = Known(apart={1: {2}, 2: {1}})

    assert stories(article(1, body=prose(1)), article(2, body=prose(1)), known=known) == [1, 2]


def test_a_third_article_does_not_bring_together_what_is_apart() -> None:
    known = Known(apart={1: {2}, 2: {1}})
    stories(article(1, body=prose(1), doi="10.5555/a.1"), article(2, body=prose(1)), known=known)

    stories(article(2, body=prose(1), doi="10.5555/a.1"), known=known)

    assert known.story(1) != known.story(2)


# --- what is learned later ------------------------------------------------------------------------------------


def test_an_article_alone_follows_its_text_once_its_page_is_read() -> None:
    known = Known()
    stories(article(1, body=prose(1)), article(2, summary="A teaser."), known=known)

    assert stories(article(2, body=prose(1)), known=known) == [1]
    assert [known.story(number) for number in (1, 2)] == [1, 1]


def test_two_stories_that_share_a_doi_after_all_become_one_and_the_older_number_stays() -> None:
    known = Known()
    first = stories(
        article(1, body=prose(1)),
        article(2, body=prose(1)),
        article(3, own_doi="10.5555/a.1", body=prose(3)),
        known=known,
    )

    stories(article(2, body=prose(1), doi="10.5555/a.1"), known=known)

    assert first == [1, 1, 3]
    assert [known.story(number) for number in (1, 2, 3)] == [1, 1, 1]


def test_a_preprint_and_the_paper_of_the_same_title_and_authors_are_one_story_after_a_year() -> None:
    title = "Oral transfer of faecal microbiota for hepatic encephalopathy"
    preprint = article(
        1, own_doi="10.64898/2025.06.01.25328001", title=title, authors=("Xu, J-T", "Tao, Y"), body=prose(1)
    )
    paper = article(2, own_doi="10.5555/a.2", title=title, authors=("Ji-Tian Xu",), body=prose(2))
    stranger = article(3, own_doi="10.5555/a.3", title=title, authors=("Ada Weber",), body=prose(3))

    assert stories(preprint, paper, stranger, at=(NOW, NOW + 365 * DAY, NOW + 500 * DAY), vouching=True) == [1, 1, 3]


TITLE = "Weekly opioid holidays in cancer pain: the HOLD randomised trial"
PAPER = article(
    1,
    own_doi="10.5555/a.1",
    title=TITLE,
    authors=("Ines Carvalho-Roth",),
    journal="Journal of Sample Medicine",
    body=prose(1),
)


@pytest.mark.parametrize(
    "line",
    [
        f"More information: Ines Carvalho-Roth et al, {TITLE}, Journal of Sample Medicine (2026).",
        f"The study, “{TITLE}”, was led by Ines Carvalho-Roth.",
        f"Journal reference: {TITLE}. Journal of Sample Medicine, 2026.",
    ],
)
def test_news_without_a_doi_that_names_title_and_journal_or_author_joins_its_paper(line: str) -> None:
    news = article(2, body=f"{prose(2)}\n\n{line}")

    assert stories(PAPER, news, at=(NOW, NOW + 40 * DAY), vouching=True) == [1, 1]


def test_news_that_names_a_title_alone_is_not_sure_enough() -> None:
    news = article(2, body=f"{prose(2)}\n\nReference: {TITLE}. Somewhere else, 2019.")

    assert stories(PAPER, news, vouching=True) == [1, 2]


# --- the pieces -----------------------------------------------------------------------------------------------


def test_shingles_do_not_depend_on_accents_punctuation_or_what_stands_around() -> None:
    text = prose(1)

    assert shingles(text.upper().replace(".", " –\n\n")) == shingles(text)
    assert shingles(text) <= shingles(f"{prose(2)} {text} {prose(3)}")
    assert all(0 <= one < 1 << 30 for one in shingles(text))


def test_a_text_in_another_script_has_shingles_too() -> None:
    assert shingles(
        "врачи нашли новое средство от боли которое помогает дольше чем прежние лекарства и не вредит печени " * 3
    )


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"own_doi": "10.5555/a.1"}, Stage.PAPER),
        ({"own_doi": "10.1101/2023.12.16.571984"}, Stage.PREPRINT),
        ({"own_doi": "10.64898/2026.03.01.26347001"}, Stage.PREPRINT),
        ({"canonical_url": "https://www.medrxiv.org/content/x"}, Stage.PREPRINT),
        ({"canonical_url": "https://pubmed.ncbi.nlm.nih.gov/41230981/"}, Stage.PAPER),
        ({"canonical_url": "https://example.org/doi/10.5555/a.1", "doi": "10.5555/a.1"}, Stage.PAPER),
        ({"doi": "10.5555/a.1"}, Stage.NEWS),
        ({"own_doi": "10.1038/d41586-026-00001-1"}, Stage.NEWS),
    ],
)
def test_a_news_story_that_names_a_doi_is_not_the_paper(values: dict[str, str], wanted: Stage) -> None:
    assert stage(article(1, **values)) is wanted


@pytest.mark.parametrize(
    ("author", "family"),
    [("Xu, J-T", "xu"), ("Ji-Tian Xu", "xu"), ("Renner BQ", "renner"), ("Ana María Núñez", "nunez"), ("", "")],
)
def test_an_author_is_known_by_the_family_name(author: str, family: str) -> None:
    assert family_name(author) == family


def test_a_page_of_quotation_marks_is_read_in_no_time() -> None:
    started = datetime.now(UTC)

    assert len(quoted_titles(article(1, body='"' * 50_000 + "a, doi: " * 20_000))) <= 40
    assert datetime.now(UTC) - started < timedelta(seconds=2)


def test_how_near_two_articles_must_be_is_for_an_admin_to_say() -> None:
    title = "Blocking one enzyme keeps morphine working"
    some, times = (article(1, title=title), article(2, title=title)), (NOW, NOW + 9 * DAY)

    assert stories(*some, at=times) == [1, 2]
    assert stories(*some, at=times, known=Known(bounds=Bounds(title=10 * DAY))) == [1, 1]


def test_a_preprint_and_its_paper_are_one_story_by_the_doi_that_either_gives() -> None:
    preprint = article(1, own_doi="10.1101/2026.01.02.3", versions=("10.5555/jim.1",))
    paper = article(2, own_doi="10.5555/jim.1")

    assert stories(preprint, paper) == [1, 1]
    assert stories(paper, preprint) == [2, 2]
    assert stories(article(1, own_doi="10.1101/2026.01.02.3"), paper) == [1, 2]
