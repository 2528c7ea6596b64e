"""PubMed's records and searches, read: each trap of the real XML once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from index_servers import RATE_LIMITED, FakePubMed, article_set, as_json, as_xml, driven, record

from monitor.errors import ParseError
from monitor.model import Entry, Source, SourceKind
from monitor.parse.asking import Access
from monitor.parse.scholarly.pubmed import harvest_pubmed, read_records, read_search

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
URL = "https://eutils.example.org/efetch.fcgi"
SOURCE = Source(
    slug="s", name="S", url="https://eutils.example.org/", kind=SourceKind.PUBMED, options=(("query", "itch"),)
)


def only(xml: str) -> Entry:
    (entry,) = read_records(article_set(xml).encode(), url=URL).entries
    return entry


def test_a_title_with_markup_and_formulas_is_read_whole() -> None:
    title = 'Role of <i>BRCA1</i> and CO<sub>2</sub> at <mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML">'
    title += "<mml:mi>p</mml:mi><mml:mo>&lt;</mml:mo><mml:mn>0.05</mml:mn></mml:math> in mice."

    assert only(record(7, title)).title == "Role of BRCA1 and CO2 at p<0.05 in mice"


def test_an_abstract_keeps_its_parts_labels_and_markup() -> None:
    parts = '<AbstractText Label="BACKGROUND">Itch <b>hurts</b>.</AbstractText>'
    parts += '<AbstractText Label="RESULTS">It did.</AbstractText>'

    assert only(record(7, abstract=parts)).summary == "BACKGROUND: Itch hurts.\n\nRESULTS: It did."


@pytest.mark.parametrize(
    ("doi", "elocation", "expected"),
    [
        ("10.5555/A.1", "", "10.5555/A.1"),
        ("", '<ELocationID EIdType="doi" ValidYN="Y">10.5555/b.2</ELocationID>', "10.5555/b.2"),
        ("10.5555/A.1", '<ELocationID EIdType="doi" ValidYN="Y">10.5555/a.1</ELocationID>', "10.5555/A.1"),
        ("", '<ELocationID EIdType="doi" ValidYN="N">10.5555/old</ELocationID>', ""),
        ("", '<ELocationID EIdType="pii" ValidYN="Y">S1473</ELocationID>', ""),
    ],
)
def test_the_doi_may_stand_in_either_place_or_in_none(doi: str, elocation: str, expected: str) -> None:
    assert only(record(7, doi=doi, elocation=elocation)).doi == expected


def test_a_doi_of_the_reference_list_is_not_the_papers() -> None:
    references = (
        '<ReferenceList><Reference><ArticleIdList><ArticleId IdType="doi">10.5555/other</ArticleId></ArticleIdList>'
    )
    references += "</Reference></ReferenceList>"

    assert only(record(7, doi="", references=references)).doi == ""


@pytest.mark.parametrize(
    ("pubdate", "day"),
    [
        ("<Year>2026</Year><Month>Apr</Month><Day>3</Day>", date(2026, 4, 3)),
        ("<Year>2026</Year><Month>04</Month>", date(2026, 4, 1)),
        ("<MedlineDate>2014 Jan-Feb</MedlineDate>", date(2014, 1, 1)),
        ("<MedlineDate>2026 Mar 9-15</MedlineDate>", date(2026, 3, 9)),
        ("<Year>2026</Year>", date(2026, 11, 21)),  # a year alone is no date: the day on which PubMed had it
        ("<Year>2027</Year><Month>Jan</Month>", date(2026, 11, 21)),  # an issue of next year is read today
    ],
)
def test_a_date_in_any_of_its_spellings(pubdate: str, day: date) -> None:
    published = only(record(7, pubdate=pubdate)).published

    assert published is not None
    assert published.date() == day


def test_what_only_pubmed_knows_is_kept() -> None:
    entry = only(
        record(
            7,
            abstract="<AbstractText>Registered as NCT01234567 and ISRCTN12345678.</AbstractText>",
            authors='<AuthorList CompleteYN="Y"><Author ValidYN="Y"><LastName>Xu</LastName><ForeName>Ji-Tian</ForeName>'
            '</Author><Author ValidYN="N"><LastName>Wrong</LastName></Author>'
            "<Author><CollectiveName>The Itch Group</CollectiveName></Author></AuthorList>",
            types="<PublicationTypeList><PublicationType UI='D016449'>Randomized Controlled Trial</PublicationType>"
            "</PublicationTypeList>",
            more="<MeshHeadingList><MeshHeading><DescriptorName UI='D051379'>Mice</DescriptorName><QualifierName>"
            "genetics</QualifierName></MeshHeading></MeshHeadingList><KeywordList><Keyword>itch</Keyword></KeywordList>",
            ids='<ArticleId IdType="pmc">PMC99</ArticleId>',
        )
    )

    assert entry.authors == ("Ji-Tian Xu", "The Itch Group")
    assert entry.publication_types == ("Randomized Controlled Trial",)
    assert (entry.mesh, entry.categories) == (("Mice",), ("itch",))
    assert entry.trial_ids == ("NCT01234567", "ISRCTN12345678")
    assert entry.open_access_url == "https://pmc.ncbi.nlm.nih.gov/articles/PMC99/"
    assert (entry.pmid, entry.journal, entry.language) == ("7", "Journal of invented medicine", "en")


def test_a_book_chapter_is_a_record_too() -> None:
    book = """<PubmedBookArticle><BookDocument><PMID>9</PMID><ArticleIdList>
    <ArticleId IdType="doi">10.5555/book</ArticleId></ArticleIdList><Book><BookTitle>Invented Reviews</BookTitle></Book>
    <ArticleTitle>On itch.</ArticleTitle>
    <Abstract><AbstractText>It itches.</AbstractText></Abstract><ContributionDate><Year>2026</Year><Month>11</Month>
    <Day>2</Day></ContributionDate></BookDocument></PubmedBookArticle>"""

    entries = read_records(article_set(record(7) + book).encode(), url=URL).entries

    assert [entry.pmid for entry in entries] == ["7", "9"]
    assert (entries[1].title, entries[1].journal, entries[1].doi) == ("On itch", "Invented Reviews", "10.5555/book")


def test_a_declared_entity_is_not_read() -> None:
    xml = article_set(record(7, "Secret &x; here")).replace(
        '.dtd">', '.dtd" [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y "&x;&x;">]>', 1
    )

    assert "root:" not in read_records(xml.encode(), url=URL).entries[0].title


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            as_xml("<?xml version='1.0'?><eFetchResult><ERROR>Empty result</ERROR></eFetchResult>"),
            "PubMed says: Empty result",
        ),
        (as_xml(article_set(record(1) + record(2))[:-200]), "cut off or broken after 1 complete"),
        (as_xml("<html><title>Maintenance</title><body>Later</body></html>"), "Maintenance"),
        (RATE_LIMITED, "neither XML|JSON"),
    ],
)
def test_an_error_that_comes_as_a_success_is_one(answer: tuple[int, dict[str, str], bytes], reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        read_records(answer[2], url=URL, expected=2)


def test_no_record_where_some_were_promised_is_an_error() -> None:
    with pytest.raises(ParseError, match="no record came where 200 were expected"):
        read_records(article_set("").encode(), url=URL, expected=200)


@pytest.mark.parametrize(
    "answer",
    [
        as_json({"esearchresult": {"ERROR": "Search Backend failed: \tunavailable"}}),
        as_json({"error": "API rate limit exceeded", "count": "11"}),
        as_xml("<eSearchResult><ERROR>Empty term</ERROR></eSearchResult>"),
        as_json({"esearchresult": {"count": "many"}}),
        as_json([]),
        (200, {}, b'{"esearchresult": {"count": "1'),
    ],
)
def test_a_search_that_failed_is_never_one_that_found_nothing(answer: tuple[int, dict[str, str], bytes]) -> None:
    with pytest.raises(ParseError):
        read_search(answer[2], url=URL)


# --- the harvester, without any network -------------------------------------------------------------------------


def test_a_search_beyond_ten_thousand_is_cut_into_days_and_arrives_whole() -> None:
    days = {date(2026, 11, day): list(range(day * 10_000, day * 10_000 + 600)) for day in range(1, 24)}
    server = FakePubMed(days, small=True)
    access = Access(chunk=1000, max_results=100_000)

    feeds, done, _ = driven(harvest_pubmed(SOURCE, access, NOW), server.answer)

    found = [entry.pmid for feed in feeds for entry in feed.entries]
    assert len(found) == len(set(found)) == 23 * 600
    assert done.since == NOW
    assert done.remarks == ()


def test_a_day_beyond_ten_thousand_says_what_is_missing() -> None:
    server = FakePubMed({date(2026, 11, 20): list(range(1, 10_500))}, small=True)

    feeds, done, _ = driven(harvest_pubmed(SOURCE, Access(chunk=1000, max_results=20_000), NOW), server.answer)

    assert sum(len(feed.entries) for feed in feeds) == 9_999
    assert done.remarks == ("500 records of 2026-11-20 are beyond what PubMed gives",)


def test_one_unreadable_record_costs_only_itself() -> None:
    server = FakePubMed({date(2026, 11, 20): list(range(1, 101))}, unreadable={37})

    feeds, done, _ = driven(harvest_pubmed(SOURCE, Access(chunk=50), NOW), server.answer)

    found = {int(entry.pmid) for feed in feeds for entry in feed.entries}
    assert found == set(range(1, 101)) - {37}
    assert [remark for remark in done.remarks if "37 of 100 is unreadable" in remark]


def test_a_server_whose_every_answer_is_broken_fails_the_visit() -> None:
    server = FakePubMed({date(2026, 11, 20): list(range(1, 101))}, unreadable=set(range(1, 101)))

    with pytest.raises(ParseError):
        driven(harvest_pubmed(SOURCE, Access(chunk=50), NOW), server.answer)


def test_the_next_visit_asks_from_the_watermark_and_two_days_more() -> None:
    server = FakePubMed({})
    visited = replace(SOURCE, since=NOW - timedelta(hours=6))

    _, _, (request,) = driven(harvest_pubmed(visited, Access(), NOW), server.answer)

    assert "mindate=2026%2F11%2F22" in request.url
    assert "maxdate=2026%2F11%2F25" in request.url


def test_a_query_that_finds_everything_is_refused_before_it_is_fetched() -> None:
    server = FakePubMed({date(2026, 11, 20): list(range(1, 2_000))})

    with pytest.raises(ParseError, match=r"finds 1,999 records since 2026-10-25: narrow its query"):
        driven(harvest_pubmed(SOURCE, Access(max_results=1000), NOW), server.answer)
    assert server.fetches == 0


def test_a_query_too_long_for_an_address_is_sent_as_a_form() -> None:
    server = FakePubMed({})
    long = replace(SOURCE, options=(("query", " OR ".join(f"word{n}" for n in range(400))),))

    _, _, (request,) = driven(harvest_pubmed(long, Access(), NOW), server.answer)

    assert len(request.url) < 200
    assert dict(request.form)["term"].endswith("word399")


def test_an_unknown_phrase_is_told_to_the_admin() -> None:
    server = FakePubMed({}, unknown=("quetzalitis",))

    _, done, _ = driven(harvest_pubmed(SOURCE, Access(), NOW), server.answer)

    assert done.remarks == ("PubMed does not know 'quetzalitis'",)


def test_the_key_is_no_part_of_any_address() -> None:
    server = FakePubMed({date(2026, 11, 20): [1]})
    access = Access(pubmed_key="SECRET", contact="a@example.org")

    _, _, requests = driven(harvest_pubmed(SOURCE, access, NOW), server.answer)

    assert all("SECRET" not in request.url and "SECRET" not in repr(request) for request in requests)
    assert all(("api_key", "SECRET") in request.keys for request in requests)
    assert [request.delay for request in requests] == [pytest.approx(0.11)] * 2
    assert Access().pubmed_delay == pytest.approx(0.3667, abs=0.001)


def test_an_error_that_pubmed_names_is_not_put_down_to_single_records() -> None:
    server = FakePubMed({date(2026, 11, 20): list(range(1, 101))})
    said = as_xml("<eFetchResult><ERROR>Search Backend failed</ERROR></eFetchResult>")
    server.troubles = dict.fromkeys(range(1, 500), said)

    with pytest.raises(ParseError, match="PubMed says: Search Backend failed"):
        driven(harvest_pubmed(SOURCE, Access(chunk=50), NOW), server.answer)
    assert server.fetches == 1
