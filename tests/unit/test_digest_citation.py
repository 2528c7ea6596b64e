"""References that other programs read back, and an Atom feed that is one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import bibtexparser
import pytest
import rispy
from digest_samples import ACCEPTANCE, week_of_news
from lxml import etree

from monitor.digest import atom_feed, cite_text, to_bibtex, to_csl_json, to_ris
from monitor.digest.citation import Kind, kind
from monitor.model import Article

ATOM = {"a": "http://www.w3.org/2005/Atom"}
NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
PAPER = week_of_news()[1].article
PREPRINT = Article(
    id=9,
    url="https://www.medrxiv.org/content/10.1101/2026.11.01.26300001v1",
    canonical_url="https://www.medrxiv.org/content/10.1101/2026.11.01.26300001v1",
    key="medrxiv",
    title="Rapamycin & 50% of {mice}: a \\study\\ of $5 #1_a ~ ^",
    published=datetime(2026, 11, 1, 23, 30, tzinfo=UTC),
    authors=("Anna van der Berg", "Li, Wei", "WHO", "Ministry of Food and Health"),
    doi="10.1101/2026.11.01.26300001",
    summary="Line one.\nTY  - JOUR\nER  - \nline two",
)
HOSTILE = replace(
    PAPER,
    title="End}\n}\n@article{evil,\r\nER  - \r\nTY  - BOOK <b>&amp;</b> \u202e\ud800",
    authors=("Evil}, @book{x", "and and and", "\r\nER  - "),
    journal="J & {K} \\",
)


@pytest.mark.parametrize(
    ("article", "expected"),
    [
        (PAPER, Kind.JOURNAL),
        (PREPRINT, Kind.PREPRINT),
        (ACCEPTANCE, Kind.NEWS),
        (replace(ACCEPTANCE, citation="", provider="", doi="", journal=""), Kind.NEWS),
        (
            replace(PAPER, pmid="", url="https://j.example/doi/10.5555/X", canonical_url="", doi="10.5555/x"),
            Kind.JOURNAL,
        ),
        (replace(PREPRINT, url="https://notbiorxiv.org/a", canonical_url="", doi=""), Kind.NEWS),
    ],
)
def test_what_an_article_is(article, expected):
    assert kind(article) is expected


def test_ris_reads_back():
    paper, preprint, news = rispy.loads(to_ris([PAPER, PREPRINT, ACCEPTANCE]))

    assert paper["type_of_reference"] == "JOUR"
    assert paper["title"] == PAPER.title
    assert paper["authors"] == ["Duarte, Ines", "Mori, Koji", "Sarr, Fatou", "Lindqvist, Peter"]
    assert (paper["doi"], paper["year"], paper["date"]) == (PAPER.doi, "2026", "2026/11/21")
    assert paper["secondary_title"] == "Annals of Ward Medicine"
    assert preprint["type_of_reference"] == "UNPB"
    assert preprint["authors"] == ["van der Berg, Anna", "Li, Wei", "WHO", "Ministry of Food and Health"]
    assert preprint["abstract"] == "Line one. TY - JOUR ER - line two"
    assert news["type_of_reference"] == "NEWS"


def test_a_news_story_is_not_cited_as_the_paper_it_reports_on():
    (ris,) = rispy.loads(to_ris([ACCEPTANCE]))
    (csl,) = json.loads(to_csl_json([ACCEPTANCE]))

    assert "doi" not in ris
    assert "DOI" not in csl
    assert ris["notes"] == ["Reports on J Clin Invest https://doi.org/10.1172/JCI70236."]
    assert csl["type"] == "article-newspaper"
    assert csl["container-title"] == "Medical Xpress"


def test_bibtex_reads_back():
    library = bibtexparser.parse_string(to_bibtex([PAPER, PREPRINT, ACCEPTANCE]))

    assert not library.failed_blocks
    paper, preprint, news = library.entries
    assert (paper.entry_type, paper.key) == ("article", "Duarte2026sublingual")
    assert paper["author"] == "Duarte, Ines and Mori, Koji and Sarr, Fatou and Lindqvist, Peter"
    assert paper["doi"] == PAPER.doi.replace("_", r"\_")
    assert (preprint.entry_type, preprint.key) == ("misc", "vanderBerg2026rapamycin")
    assert preprint["title"] == (
        r"{Rapamycin \& 50\% of \{mice\}: a \textbackslash{}study\textbackslash{} of \$5 \#1\_a "
        r"\textasciitilde{} \textasciicircum{}}"
    )
    assert preprint["author"].endswith("and WHO and {Ministry of Food and Health}")
    assert news["note"] == "Reports on J Clin Invest https://doi.org/10.1172/JCI70236."


def test_csl_json_reads_back():
    paper, preprint = json.loads(to_csl_json([PAPER, PREPRINT]))

    assert paper["type"] == "article-journal"
    assert paper["author"][0] == {"family": "Duarte", "given": "Ines"}
    assert paper["issued"] == {"date-parts": [[2026, 11, 21]]}
    assert preprint["type"] == "article"
    assert preprint["author"][2] == {"literal": "WHO"}


def test_hostile_articles_stay_one_record_each():
    assert len(rispy.loads(to_ris([HOSTILE, PAPER]))) == 2
    library = bibtexparser.parse_string(to_bibtex([HOSTILE, PAPER]))
    assert (len(library.entries), library.failed_blocks) == (2, [])
    assert len(json.loads(to_csl_json([HOSTILE, PAPER]))) == 2
    assert (
        len(etree.fromstring(atom_feed("t", "https://x.example/f", [HOSTILE], updated=NOW)).findall("a:entry", ATOM))
        == 1
    )


def test_keys_are_unique_and_ascii():
    accented = replace(PAPER, authors=("Zoë Nguyễn-Müller",), title="β and the heart")
    ids = [item["id"] for item in json.loads(to_csl_json([PAPER, PAPER, PAPER, accented, replace(PAPER, authors=())]))]

    assert ids == [
        "Duarte2026sublingual",
        "Duarte2026sublingualb",
        "Duarte2026sublingualc",
        "NguyenMuller2026heart",
        "Anon2026sublingual",
    ]


def test_nothing_known_is_nothing_said():
    bare = Article(url="x", canonical_url="", key="k", title="Only a title")

    (ris,) = rispy.loads(to_ris([bare]))
    assert ris["title"] == "Only a title"
    assert "year" not in ris
    assert bibtexparser.parse_string(to_bibtex([bare])).entries[0].key == "Anononly"
    assert to_ris([]) == to_bibtex([]) == ""
    assert json.loads(to_csl_json([])) == []


def test_one_line_to_paste():
    assert cite_text(PAPER) == (
        "Duarte I, Mori K, Sarr F, et al. Sublingual buprenorphine slows the rise of morphine dose in a year-long ward "
        "trial. Annals of Ward Medicine. 21 Nov 2026. https://doi.org/10.5555/awm.2026.0412"
    )
    assert cite_text(ACCEPTANCE) == (
        "Opioid tolerance and pain hypersensitivity associated with mTOR activation. Medical Xpress. 2 Jan 2014. "
        "https://medicalxpress.com/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor.html"
    )


# --- Atom ----------------------------------------------------------------------------------------------------------


def test_an_atom_feed_has_what_rfc_4287_asks_for():
    stored = replace(PAPER, stored_at=datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC))
    data = atom_feed(
        "mTOR & more",
        "https://news.example.org/feed/x",
        [stored, ACCEPTANCE],
        updated=NOW,
        page_url="https://news.example.org/",
    )
    root = etree.fromstring(data)

    def texts(path: str) -> list[str]:
        return [str(node) for node in root.xpath(path, namespaces=ATOM)]

    assert root.tag == "{http://www.w3.org/2005/Atom}feed"
    assert texts("a:title/text()") == ["mTOR & more"]
    assert texts("a:id/text()") == texts("a:link[@rel='self']/@href") == ["https://news.example.org/feed/x"]
    assert texts("a:updated/text()") == ["2026-11-23T01:02:03Z"]
    assert texts("a:author/a:name/text()")
    assert texts("a:entry/a:link[@rel='alternate']/@href") == [PAPER.url, ACCEPTANCE.url]
    assert texts("a:entry/a:link[@rel='related']/@href") == [
        "https://doi.org/10.5555/awm.2026.0412",
        "https://doi.org/10.1172/JCI70236",
    ]
    for entry in root.findall("a:entry", ATOM):
        assert [len(entry.findall(f"a:{name}", ATOM)) for name in ("id", "title", "updated")] == [1, 1, 1]
    assert len(set(texts("a:entry/a:id/text()"))) == 2


def test_entry_ids_do_not_change_with_the_articles_words():
    def entry_id(article: Article) -> str:
        root = etree.fromstring(atom_feed("t", "https://x.example/f", [article], updated=NOW))
        return str(root.findtext("a:entry/a:id", namespaces=ATOM))

    assert entry_id(PAPER) == entry_id(replace(PAPER, title="Corrected", url="https://elsewhere.example/", id=77))
    assert entry_id(PAPER) != entry_id(replace(PAPER, key="another"))


def test_an_empty_feed_is_still_a_feed_and_markup_is_text():
    empty = etree.fromstring(atom_feed("t", "https://x.example/f", [], updated=NOW))
    bad = replace(
        PAPER, title="<script>x</script> \x0b\ufffe", url="javascript:x", canonical_url="javascript:x", summary=""
    )
    feed = etree.fromstring(atom_feed("t", "https://x.example/f", [bad], updated=NOW))

    assert empty.findtext("a:updated", namespaces=ATOM) == "2026-11-24T08:00:00Z"
    assert feed.findtext("a:entry/a:title", namespaces=ATOM) == "<script>x</script>"
    assert feed.xpath("//a:link[@rel='alternate']", namespaces=ATOM) == []
