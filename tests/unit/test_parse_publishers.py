"""Each saved page with the values that it must give beside it, and the flaws that other ways of reading trip over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from monitor.parse import parse_article
from monitor.parse.page import Extract, read_page
from monitor.parse.publishers import ADAPTERS, Adapter, adapter_for, extract_by_adapter

PAGES = Path(__file__).parents[1] / "data" / "parse" / "pages"
NAMES = sorted(path.stem for path in PAGES.glob("*.json"))
OPIOID = "https://medicalxpress.com/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor.html"


def saved(name: str) -> bytes:
    return (PAGES / f"{name}.html").read_bytes()


def expected(name: str) -> dict[str, Any]:
    return dict(json.loads((PAGES / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_page_gives_the_values_beside_it(name: str) -> None:
    wanted = expected(name)

    article = parse_article(saved(name), url=wanted["url"], content_type="text/html; charset=utf-8")

    assert article.body.split("\n\n") == wanted.pop("paragraphs")
    assert article.published is not None
    assert article.published.date().isoformat() == wanted.pop("published")
    assert {field: getattr(article, field) for field in wanted} == wanted | {"authors": tuple(wanted["authors"])}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_recognised_on_any_host(name: str) -> None:
    wanted = expected(name)

    article = parse_article(saved(name), url="http://127.0.0.1:8025/news/a-1.html")

    assert article.body.split("\n\n") == wanted["paragraphs"]
    assert article.doi == wanted["doi"]
    assert article.provider == wanted["provider"]


def test_html_parser_would_lose_the_citation_that_we_keep() -> None:
    page = saved("science_x_2014").decode()

    naive = BeautifulSoup(page, "html.parser").select_one("article.news-article")

    assert naive is not None
    assert naive.select_one(".d-print-block") is None
    assert "retrieved 4 May 2024" in parse_article(page.encode(), url=OPIOID).citation


def test_the_sidebar_is_no_part_of_the_article() -> None:
    article = parse_article(saved("science_x_2014"), url=OPIOID)

    assert b"fentanyl" in saved("science_x_2014")
    assert "fentanyl" not in f"{article.title} {article.summary} {article.body}"


def test_another_days_visit_changes_the_citation_alone() -> None:
    first = parse_article(saved("science_x_2014"), url=OPIOID)
    later = parse_article(saved("science_x_2014").replace(b"4 May 2024", b"9 June 2025"), url=OPIOID)

    assert "9 June 2025" in later.citation
    assert replace(later, citation="") == replace(first, citation="")


def test_the_reported_papers_doi_is_not_the_storys_own() -> None:
    article = parse_article(saved("science_x_2014"), url=OPIOID)

    assert article.doi == "10.1172/JCI70236"
    assert article.key == "medicalxpress.com/news/2014-01-opioid-tolerance-pain-hypersensitivity-mtor.html"


def test_a_captions_doi_counts_only_where_there_is_no_other() -> None:
    page = saved("science_x_2014")
    without = page.replace(
        b'<a data-doi="1" href="http://dx.doi.org/10.1172/JCI70236" target="_blank">DOI: 10.1172/JCI70236</a>', b""
    )

    assert page.index(b"10.5555/CAPTION.1") < page.index(b"10.1172/JCI70236")
    assert parse_article(page, url=OPIOID).doi == "10.1172/JCI70236"
    assert parse_article(without, url=OPIOID).doi == ""


@pytest.mark.parametrize("label", ["More information:", "Publication details"])
def test_both_labels_of_the_papers_box_are_read(label: str) -> None:
    page = saved("science_x_2026").replace(b"Publication details", label.encode())

    assert parse_article(page, url="https://phys.org/news/2026-10-a-b.html").doi == "10.5555/jis.2026.77"


def test_press_contacts_are_not_stored() -> None:
    article = parse_article(saved("eurekalert"), url="https://www.eurekalert.org/news-releases/1000001")

    assert "jo.press@hearts.example" not in repr(article)
    assert "Jo Press" not in repr(article)


@pytest.mark.parametrize(
    "url",
    [
        "https://phys.org/x",
        "https://m.phys.org/x",
        "https://lofi.phys.org/x",
        "https://techxplore.com/x.amp",
        "http://www.medicalxpress.com/",
    ],
)
def test_science_x_is_known_by_its_hosts(url: str) -> None:
    adapter = adapter_for(read_page(b"<p>x", url=url))

    assert adapter is not None
    assert adapter.name == "science_x"


@pytest.mark.parametrize(
    "url", ["https://notphys.org/x", "https://phys.org.evil.example/x", "https://example.org/phys.org"]
)
def test_a_host_that_only_looks_like_a_publisher_is_none(url: str) -> None:
    assert adapter_for(read_page(b"<p>x", url=url)) is None


def test_an_adapter_that_trips_over_a_new_template_leaves_the_page_to_the_general_extraction() -> None:
    def broken(page: object) -> Extract:
        raise AttributeError("no such box")

    adapter = Adapter(name="broken", hosts=frozenset({"example.org"}), recognises=lambda page: False, extract=broken)

    assert extract_by_adapter(read_page(b"<p>x", url="https://example.org/"), [adapter]) == Extract()


def test_a_redesigned_page_still_gives_its_text() -> None:
    words = " ".join(f"Sentence {number} tells of an invented trial in adults." for number in range(30))
    page = f"<html><body><main><h1>New look</h1><p>{words}</p></main></body></html>".encode()

    article = parse_article(page, url="https://medicalxpress.com/news/2030-01-new-look.html")

    assert "Sentence 29" in article.body
    assert article.title == "New look"


def test_each_adapter_has_a_saved_page() -> None:
    assert {adapter.name for adapter in ADAPTERS} <= {
        name.removesuffix("_2014").removesuffix("_2026") for name in NAMES
    }
