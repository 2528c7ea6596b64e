from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import QueryError
from monitor.match import WARNINGS, check_query, parenthesised, parse_query
from monitor.model import And, Near, Not, Or, Term


def problems(text: str) -> list[tuple[str, str]]:
    """Code of each problem and the text under it."""
    return [(problem.code, text[problem.start : problem.end]) for problem in check_query(text)[1]]


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("opioid tolerance", "opioid AND tolerance"),
        ('"opioid  tolerance" OR mTOR NOT "job opening"', '("opioid tolerance" OR mTOR) NOT "job opening"'),
        ("opioid AND NOT police", "opioid NOT police"),
        ("opioid -police !crime", "opioid NOT police NOT crime"),
        ("opioid && pain", "opioid AND pain"),
        ("opioid || morphine | codeine", "opioid OR morphine OR codeine"),
        ("opioid NOT police AND pain", "opioid AND pain NOT police"),
        ("(opioid)", "opioid"),
        ("opioid AND (pain AND cough)", "opioid AND pain AND cough"),
        ("“opioid tolerance”", '"opioid tolerance"'),
        ("WHO", '="WHO"'),
        ("=ALS", '="ALS"'),
        ("title:(opioid OR body:x-ray)", None),
        ("title:(opioid OR morphine)", "title:opioid OR title:morphine"),
        ("ti:opioid", "title:opioid"),
        ('"opioid toler*"', '"opioid toler"*'),
        ("opioid NEAR/5 (pain OR cough)", "opioid NEAR/5 (pain OR cough)"),
        ("ATLEAST/3 opioid", "ATLEAST/3 opioid"),
        ("morphine[ti] AND Smith JA[au]", 'title:morphine AND author:"Smith JA"'),
        ('"opioid tolerance"[tiab:~5]', "opioid NEAR/5 tolerance"),
        ("opioid tolerance[Title/Abstract]", '"opioid tolerance"'),
        ("pain AND english[la]", "pain AND lang:en"),
        ("doi:https://doi.org/10.1136/BMJ.n71", 'doi:"10.1136/bmj.n71"'),
        ('"or" OR "and"', '"or" OR "and"'),
        ("diabetes, obesity", "diabetes AND obesity"),
    ],
)
def test_understood_form(text, understood):
    query = check_query(text)[0]

    assert (str(query) if query else None) == understood
    if understood:
        assert parse_query(understood) == query


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("empty", "")]),
        ("opioid OR pain AND cough", [("mixed-operators", "AND")]),
        ("opioid tolerance OR mTOR", [("mixed-operators", "OR")]),
        ("opioid NOT job opening", [("ambiguous-not", "opening")]),
        ("opioid NOT police OR pain", [("mixed-operators", "OR")]),
        ("titel:opioid", [("unknown-field", "titel:")]),
        ("opioid[tii]", [("unknown-tag", "[tii]")]),
        ("opioid AND 2020[dp]", [("unsupported-tag", "[dp]")]),
        ("opioid OR NOT pain", [("or-not", "OR NOT")]),
        ("NOT pain", [("only-not", "NOT pain")]),
        ("opioid AND (NOT pain)", [("only-not", "NOT pain")]),
        ("opioid AND", [("missing-term", "AND")]),
        ("OR opioid", [("missing-term", "OR")]),
        ("opioid AND OR pain", [("missing-term", "OR")]),
        ('"opioid', [("unclosed-quote", '"')]),
        ("(opioid", [("unclosed-parenthesis", "(")]),
        ("opioid)", [("unopened-parenthesis", ")")]),
        ("opioid AND ()", [("empty-group", "()")]),
        ("op*oid", [("wildcard", "op*oid")]),
        ("*oid", [("wildcard", "*oid")]),
        ("op*", [("short-prefix", "op*")]),
        ("opioid NEAR pain", [("bad-operator", "NEAR")]),
        ("opioid ADJ3 pain", [("bad-operator", "ADJ3")]),
        ("opioid NEAR/0 pain", [("bad-number", "NEAR/0")]),
        ("opioid NEAR/3 pain NEAR/5 cough", [("mixed-distances", "NEAR/5")]),
        ("opioid NEAR/3 (pain AND cough)", [("needs-terms", "(pain AND cough)")]),
        ("ATLEAST/3 author:smith", [("needs-terms", "author:smith")]),
        ("opioid or pain", [("lowercase-operator", "or")]),
        ("opioid AND +++", [("empty-term", "+++")]),
        ("title:(body:opioid)", [("field-in-field", "(body:opioid)")]),
        ("lang:klingonese1", [("bad-language", "lang:klingonese1")]),
        ("title:", [("missing-term", "title:")]),
        ("[ti]", [("tag-alone", "[ti]")]),
    ],
)
def test_mistake_is_told_with_its_columns(text, expected):
    assert [found for found in problems(text) if found[0] not in WARNINGS] == expected
    with pytest.raises(QueryError):
        parse_query(text)


def test_every_mistake_is_told_at_once_in_the_order_of_the_text():
    text = 'titel:opioid AND op* OR (pain AND "open'

    with pytest.raises(QueryError) as raised:
        parse_query(text)

    codes = [problem.code for problem in raised.value.problems]
    assert codes == ["unknown-field", "short-prefix", "unclosed-parenthesis", "unclosed-quote"]
    assert raised.value.column == 1


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("opioid OR pain AND cough", "(opioid OR pain) AND cough"),
        ("opioid OR pain AND cough", "opioid OR (pain AND cough)"),
        ("opioid tolerance OR mTOR", '"opioid tolerance" OR mTOR'),
        ("opioid NOT job opening", 'NOT "job opening"'),
        ("titel:opioid", "title:"),
        ("opioid[tiib]", "[tiab]"),
        ("opioid NEAR pain", "NEAR/5"),
    ],
)
def test_hint_shows_what_to_write(text, hint):
    assert any(hint in problem.hint for problem in check_query(text)[1])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("WHO AND ebola", "exact-case"), ("the", "stop-words"), ("tol*", "short-prefix-warning"),
        ("diabetes, obesity", "comma"), ('"Pain"[Mesh]', "heading-as-text"), ("doi:11.1/x", "odd-doi"),
        ("pain OR Pain", "duplicate-term"),
    ],
)  # fmt: skip
def test_doubt_is_a_warning_and_no_error(text, code):
    query, found = check_query(text)

    assert query is not None
    assert code in [problem.code for problem in found]


def test_pubmed_string_gets_visible_parentheses():
    pasted = '"opioid tolerance"[ti] OR morphine[tiab] AND pain[mh] NOT review[ti]'

    assert parenthesised(pasted) == '(title:"opioid tolerance" OR morphine) AND pain NOT title:review'
    assert parse_query(parenthesised(pasted))


def test_not_belongs_to_its_whole_group():
    query = parse_query("opioid OR pain NOT police")

    wanted = Or(parts=(Term(text="opioid"), Term(text="pain")))
    assert query == And(parts=(wanted, Not(part=Term(text="police"))))


def test_nodes_know_their_columns():
    query = parse_query("opioid NEAR/3 title:pain")

    assert isinstance(query, Near)
    assert [(part.start, part.end) for part in query.parts] == [(0, 6), (14, 24)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("(" * 1000 + "a1" + ")" * 1000, "too-deep"),
        ("x" * 20_001, "too-long"),
        (" OR ".join(["x1"] * 3333) + " OR y " * 1, None),
        ('"' + "word " * 60 + '"', "long-phrase"),
    ],
    ids=["deep", "long", "many", "phrase"],
)
def test_size_is_capped(text, code):
    query, found = check_query(text)

    assert [problem.code for problem in found if problem.code not in WARNINGS] == ([code] if code else [])
    assert (query is None) is (code is not None)


def test_number_of_terms_is_capped():
    codes = {problem.code for problem in check_query("x|" * 5001 + "x")[1]}

    assert "too-many-terms" in codes


@pytest.mark.parametrize(
    "text", ["abx:c " * 3000, "x[t] " * 4000, "( " * 9999, ") " * 9999, '"' * 19_999, "NOT " * 4999]
)
def test_nonsense_is_answered_soon_and_without_end_of_problems(text):
    started = time.process_time()

    query, found = check_query(text)

    assert query is None
    assert len(found) >= 1
    assert time.process_time() - started < 2


@settings(max_examples=300)
@given(st.text(alphabet='aop *()"“=-!|&[]:/5~,.?ORANDTNE', max_size=60))
def test_any_text_is_answered_with_a_tree_or_with_problems_inside_it(text):
    query, found = check_query(text)

    errors = [problem for problem in found if problem.code not in WARNINGS]
    assert (query is None) == bool(errors)
    assert all(0 <= problem.start <= problem.end <= max(len(text), 1) and problem.message for problem in found)
    if query is not None:
        assert parse_query(str(query)) == query
