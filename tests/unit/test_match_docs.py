"""Every example of docs/query-language.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.errors import QueryError
from monitor.match import Matcher, parse_query
from monitor.model import Article, Topic

PAGE = (Path(__file__).parents[2] / "docs" / "query-language.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(.+?)` \| (?!looks)([^|`]+?) \| ([^|`]+?) \|$", PAGE, re.MULTILINE)
REFUSED = ["morphine OR codeine AND cough", "NOT policing"]
QUERIES = [
    code for code in re.findall(r"`([^`]+)`", PAGE.replace("\\|", "|"))
    if re.search(r"\w{4}|\w:\S", code) and code not in REFUSED
    and not code.startswith(("NEAR/n", "ATLEAST/n", "OR NOT")) and not code.endswith(":")
]  # fmt: skip


def matches(query: str, text: str) -> bool:
    matcher = Matcher()
    matcher.add(Topic(id=1, slug="", name="", query=query))
    return bool(matcher.match(Article(url="", canonical_url="", key="", title="Title", body=text)))


def test_page_has_its_tables():
    assert len(ROWS) >= 20
    assert len(QUERIES) >= 30


@pytest.mark.parametrize(("query", "found", "not_found"), ROWS, ids=[row[0] for row in ROWS])
def test_example_finds_what_the_page_says(query, found, not_found):
    assert matches(query, found)
    assert not matches(query, not_found)


@pytest.mark.parametrize("query", QUERIES)
def test_example_parses(query):
    tree = parse_query(query)

    assert parse_query(str(tree)) == tree


@pytest.mark.parametrize("query", REFUSED)
def test_what_the_page_calls_refused_is_refused(query):
    with pytest.raises(QueryError):
        parse_query(query)
