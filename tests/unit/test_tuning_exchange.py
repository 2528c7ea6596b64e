"""Topics go out and come back the same; a wrong file is told by line and column; a hostile one does no harm."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.match.exchange import Outcome, dump_csv, dump_yaml, guarded, is_slug, load, unguarded
from monitor.model import Topic, WeightedTerm

TOPICS = [
    Topic(slug="als", name="=1+1, they said", query='="ALS" OR\n  "motor neuron disease"', sources=("bmj", "stat")),
    Topic(slug="no", name="null", query="yes", languages=("en",), active=False),
    Topic(
        slug="opioids.2",
        name="Opioide – «Toleranz»",
        query="",
        weights=(WeightedTerm(term='"opioid tolerance"', weight=2.5), WeightedTerm(term="=“Police”", weight=-3)),
        threshold=-0.5,
    ),
]

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda text: text == " ".join(text.split()) != ""
)
QUERIES = ['="ALS"', "opioid OR\npain", '"# not" OR yes', "1e3", "=x OR 'y'", "+opioid", "a OR\n\n  b", '"a: [b], {c}"']
topics = st.lists(
    st.builds(
        Topic,
        slug=st.from_regex(r"[a-z0-9]{1,5}(-[a-z0-9]{1,5})?", fullmatch=True),
        name=names,
        query=st.sampled_from(QUERIES),
        weights=st.lists(
            st.builds(
                WeightedTerm, term=st.sampled_from(['"a b"', '="ALS"', "xyz*"]).filter(len), weight=st.floats(-9, 9)
            ),
            max_size=2,
        ).map(tuple),
        threshold=st.just(0.0),
        sources=st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), max_size=2).map(tuple),
        active=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda topic: topic.slug,
)


def outcomes(text: str, kind: str = "yaml", existing: list[Topic] | None = None) -> list[tuple[str, str]]:
    return [(change.outcome.value, change.slug) for change in load(text, kind, existing or [])]  # type: ignore[arg-type]


def errors(text: str, kind: str = "yaml") -> list[tuple[int, int, str]]:
    found = load(text, kind)  # type: ignore[arg-type]
    return [(one.line, one.column, one.message) for one in found if one.outcome is Outcome.ERROR]


# --- round trip -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dump", "kind"), [(dump_yaml, "yaml"), (dump_csv, "csv")])
def test_what_goes_out_comes_back(dump, kind):
    assert [change.topic for change in load(dump(TOPICS), kind)] == TOPICS


@pytest.mark.parametrize(("dump", "kind"), [(dump_yaml, "yaml"), (dump_csv, "csv")])
def test_loading_twice_changes_nothing_the_second_time(dump, kind):
    text = dump(TOPICS)
    first = load(text, kind)

    assert {change.outcome for change in first} == {Outcome.NEW}
    assert {change.outcome for change in load(text, kind, TOPICS)} == {Outcome.SAME}


@pytest.mark.parametrize(("dump", "kind"), [(dump_yaml, "yaml"), (dump_csv, "csv")])
@settings(max_examples=100, deadline=None)
@given(topics)
def test_any_sound_topic_makes_the_round_trip(dump, kind, given_topics):
    back = load(dump(given_topics), kind)

    assert [(one.outcome, one.message) for one in back if one.outcome is Outcome.ERROR] == []
    assert [one.topic for one in back] == given_topics


def test_query_of_several_lines_stays_readable_in_yaml():
    assert '  query: |-\n    ="ALS" OR\n      "motor neuron disease"\n' in dump_yaml(TOPICS[:1])


# --- formulas -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", "'=1", "''=1"])
def test_no_cell_begins_as_a_formula_and_each_is_itself_again(cell):
    shown = guarded(cell)

    assert shown == f"'{cell}"
    assert unguarded(shown) == cell


@pytest.mark.parametrize("cell", ["", "opioid", "'opioid'", "a=1", " =1"])
def test_harmless_cell_stays_as_it_is(cell):
    assert guarded(cell) == cell == unguarded(cell)


def test_exported_table_holds_no_formula():
    rows = list(csv.reader(io.StringIO(dump_csv(TOPICS))))

    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


# --- what a file would change ---------------------------------------------------------------------------------


def test_report_names_each_changed_field():
    before = Topic(id=7, slug="pain", name="Pain", query="pain", revision=3, revision_id=9, sources=("bmj",))

    change = load("- slug: pain\n  query: pain OR ache\n  sources: []\n", "yaml", [before])[0]

    assert change.outcome is Outcome.CHANGED
    assert change.differences == (("query", "pain", "pain OR ache"), ("sources", "bmj", ""))
    assert change.topic is not None
    assert (change.topic.id, change.topic.name, change.topic.revision) == (7, "Pain", 3)


def test_query_that_reads_the_same_is_no_change():
    before = Topic(slug="pain", name="Pain", query="pain OR ache")

    change = load('- slug: pain\n  query: |\n    "pain"\n    OR (ache)\n', "yaml", [before])[0]

    assert (change.outcome, change.topic) == (Outcome.SAME, before)


def test_field_left_out_stays_and_a_blank_one_is_emptied():
    before = Topic(slug="pain", name="Pain", query="pain", sources=("bmj",), languages=("en",), active=False)

    kept = load("slug,query\npain,pain\n", "csv", [before])[0]
    emptied = load("slug,sources,active\npain,,\n", "csv", [before])[0]

    assert kept.outcome is Outcome.SAME
    assert emptied.differences == (("sources", "bmj", ""),)


def test_pubmed_string_gets_visible_parentheses():
    text = "topics:\n- slug: pain\n  pubmed: opioid[tiab] OR pain[ti] AND tolerance NOT police\n"

    change = load(text, "yaml")[0]

    assert change.topic is not None
    assert change.topic.query == "(opioid OR title:pain) AND tolerance NOT police"


def test_table_of_a_german_spreadsheet_is_read():
    text = "\ufeffslug;name;query\r\npain;Schmerz;pain OR ache\r\n\r\n"

    assert [change.topic for change in load(text, "csv")] == [Topic(slug="pain", name="Schmerz", query="pain OR ache")]


# --- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("topics:\n- slug: a\n  query: x OR y AND z\n", 3, 17, "AND and OR are mixed"),
        ("topics:\n- slug: a\n  query: 'x OR y AND z'\n", 3, 18, "AND and OR are mixed"),
        ("- slug: a\n  query: |\n\n    x OR\n    y AND z\n", 5, 7, "AND and OR are mixed"),
        ('- slug: a\n  query: "x OR\\ty AND z"\n', 2, 10, "AND and OR are mixed"),
        ("- slug: a\n  qeury: x\n", 2, 3, 'unknown field "qeury"'),
        ("- name: a\n  query: x\n", 1, 9, "without slug"),
        ("- slug: Big Slug\n  query: x\n", 1, 9, "is no slug"),
        ("- slug: a\n  query: x\n- slug: a\n  query: y\n", 3, 9, "line 1 already"),
        ("- slug: a\n  slug: b\n", 2, 3, "given twice"),
        ("- slug: a\n", 1, 9, "looks for nothing"),
        ("- slug: a\n  query: [x, y]\n", 2, 10, "a text should stand here"),
        ("- slug: a\n  query: x\n  active: maybe\n", 3, 11, "neither yes nor no"),
        ("- slug: a\n  query: x\n  threshold: much\n", 3, 14, "is no number"),
        ("- slug: a\n  weights:\n  - term: x OR y AND z\n    weight: 1\n", 3, 3, "the weighted term"),
        ("- slug: a\n  weights:\n  - term: x\n    weight: .nan\n", 3, 3, "is no number"),
        ("- slug: a\n  query: x\n  pubmed: y\n", 3, 3, "not both"),
        ("topics:\n- a\n", 2, 3, "a topic with slug"),
        ("topics: 3\n", 1, 9, "a list of topics"),
        ("things: []\n", 1, 1, "one field, topics"),
        ("- slug: a\n query: x\n", 2, 2, "not YAML"),
        ("- slug: &a a\n  query: *a\n", 2, 10, "aliases"),
        ("a: \x00", 1, 4, "not YAML"),
    ],
)
def test_error_in_yaml_is_told_by_line_and_column(text, line, column, part):
    assert [(at, place) for at, place, message in errors(text) if part in message] == [(line, column)]


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("slug,query\na,x OR y AND z\n", 2, 10, "AND and OR are mixed"),
        ('slug,query\na,"x OR\ny AND z"\nb,x\n', 3, 3, "AND and OR are mixed"),
        ("slug,query\na,'=x OR y AND z\n", 2, 12, "AND and OR are mixed"),
        ('slug,query\na,"x', 2, 3, "never closed"),
        ('slug,query\na,"x" y\n', 2, 6, "behind a closing quotation mark"),
        ("slug,query\na,x,y\n", 2, 5, "more cells"),
        ("name,query\na,x\n", 1, 1, "one of them is slug"),
        ("slug,slug\na,b\n", 1, 1, "stands twice"),
        ("slug,colour\na,x\n", 2, 3, 'unknown field "colour"'),
        ('slug,weights\na,"[[1, 2]]"\n', 2, 4, "a term and a weight"),
        ("slug,weights\na,[[[[\n", 2, 3, "JSON pairs"),
    ],
)
def test_error_in_csv_is_told_by_line_and_column(text, line, column, part):
    assert [(at, place) for at, place, message in errors(text, "csv") if part in message] == [(line, column)]


def test_one_wrong_entry_does_not_hide_the_others():
    text = "- slug: a\n  query: x OR\n- slug: b\n  query: pain\n"

    assert outcomes(text) == [("error", "a"), ("new", "b")]


@pytest.mark.parametrize("text", ["", "\n", "topics:\n", "topics: []\n", "# nothing\n"])
def test_empty_file_changes_nothing(text):
    assert outcomes(text) == []


def test_empty_table_changes_nothing():
    assert outcomes("", "csv") == outcomes("slug,query\n", "csv") == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[" * 200_000, "yaml"),
        ("{a: " * 200_000, "yaml"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "yaml"),
        ("- !!python/object/apply:os.system ['true']\n", "yaml"),
        ("slug,weights\na," + "[" * 90_000 + "\n", "csv"),
        ("slug,query\n" + "a," * 500_000, "csv"),
        ('slug,query\na,"' + '""' * 500_000, "csv"),
        ("slug,query\na," + "x" * 200_000, "csv"),
        ("slug,query\n" + "a,x\n" * 25_000, "csv"),
    ],
    ids=["brackets", "braces", "aliases", "tags", "json", "cells", "quotes", "long cell", "rows"],
)
def test_hostile_file_is_refused_in_a_moment(text, kind):
    started = time.process_time()

    found = load(text, kind)

    assert Outcome.ERROR in {change.outcome for change in found}
    assert time.process_time() - started < 3


def test_thousands_of_topics_are_read_in_linear_time():
    text = dump_csv(Topic(slug=f"t{number}", name="T", query=f"drug{number}") for number in range(4_000))
    started = time.process_time()

    assert len(load(text, "csv")) == 4_000
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("text", "well"),
    [("a", True), ("a-b_2.c", True), ("-a", False), ("a/b", False), ("A", False), ("a" * 65, False), ("", False)],
)
def test_slugs_are_plain(text, well):
    assert is_slug(text) is well
