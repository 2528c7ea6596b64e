"""The engine against a plain re-telling of its rules, on generated queries and texts."""

from __future__ import annotations

import match_oracle as oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.match import Matcher, index_query, parse_query
from monitor.model import Article, Field, Term, Topic
from monitor.text import index_text

WORDS = [
    "opioid", "Opioids", "tolerance", "IL-6", "IL6", "IL 6", "il", "6", "IL", "WHO", "who", "AIDS", "aids", "aid",
    "TNFα", "TNF-alpha", "tnf", "TNFalpha", "alpha", "Sjögren", "Sjo\u0308gren’s", "sjogren's", "diagnosis",
    "diagnoses", "NF-κB", "λ", "lambda",
    "mice", "mouse", "anti-inflammatory", "antiinflammatory", "inflammatory", "anti", "E. coli", "B", "12", "patients",
    "µg", "ﬁbrosis", "fibroses", "co\u00adop", "coop", "5-HT3", "5ht3", "Dr", "J", "B12", "Straße", "mTOR", "MTOR",
    "pain's", "bacteria", "bacterium", "series", "SSRIs", "SSRI", "m²", "x_y", "x",
]  # fmt: skip
GAPS = [
    " ",
    " ",
    " ",
    " ",
    "-",
    ", ",
    ". ",
    "\n\n",
    " \n",
    "! ",
    "? “",
    ".) ",
    "’ ",
    "—",
    " (",
    ") ",
    "/",
    "",
    "\n \n",
    "\x01",
]
PREFIXES = ["opio*", "tol*", "diagnosi*", "bacteria*", "mic*", "IL6*", "anti*", '"opioid tol*"', '"IL-6 diag*"']

texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), max_size=25).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
phrases = st.lists(st.sampled_from([w for w in WORDS if w != "x_y"]), min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([" ", "-", ", "]).map(lambda gap: f'"{gap.join(words)}"')
)
terms = st.one_of(
    phrases,
    phrases,
    st.sampled_from(PREFIXES),
    st.sampled_from(["WHO", '="IL-6"', '="SSRI"', '="mTOR"', '="Opioids"', '="aids"', "AIDS", "IL-6", "TNFα"]),
    st.builds("{}:{}".format, st.sampled_from(["title", "body", "tiab"]), phrases),
)
or_groups = st.lists(terms, min_size=2, max_size=4).map(lambda parts: f"({' OR '.join(parts)})")
near = st.builds("({} NEAR/{} {})".format, st.one_of(terms, or_groups), st.integers(1, 4), st.one_of(terms, or_groups))
near3 = st.builds("({0} NEAR/{3} {1} NEAR/{3} {2})".format, terms, or_groups, terms, st.integers(1, 4))
atleast = st.builds("ATLEAST/{} {}".format, st.integers(1, 3), st.one_of(terms, or_groups))
units = st.recursive(
    st.one_of(terms, terms, or_groups, near, near3, atleast),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' AND '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' OR '.join(parts)})"),
        st.builds("({} NOT {})".format, inner, inner),
    ),
    max_leaves=6,
)
articles = st.builds(
    lambda title, body: Article(url="", canonical_url="", key="", title=title, body=body), texts, texts
)
counts = st.one_of(
    st.none(), st.dictionaries(st.sampled_from(["opioid", "tolerance", "il", "6", "aid"]), st.integers(1, 90))
)


def check_answers(queries: list[str], article: Article, df: dict[str, int] | None) -> None:
    matcher = Matcher(df, 100)
    for number, query in enumerate(queries):
        matcher.add(Topic(id=number, slug="", name="", query="decoy OR opioid"))
        matcher.add(Topic(id=number, slug="", name="", query=query))
        if number % 2:
            matcher.match(article)  # so that later topics meet words that are already remembered
    matcher.add(Topic(id=99, slug="", name="", query="opioid OR IL6 OR diagnosi*"))
    matcher.remove(99)

    matched = {match.topic_id for match in matcher.match(article)}

    assert matched == {n for n, query in enumerate(queries) if oracle.holds(parse_query(query), article)}


def check_spans(query: str, article: Article) -> None:
    term = parse_query(query)
    matcher = Matcher()
    matcher.add(Topic(id=1, slug="", name="", query=query))

    spans = {(s.field, s.start, s.end) for match in matcher.match(article) for s in match.spans}

    assert isinstance(term, Term)
    assert spans == {
        (field, start, end)
        for field, text in ((Field.TITLE, article.title), (Field.BODY, article.body))
        if term.field in ("", field)
        for _, _, start, end in oracle.find(term, text)
    }


def check_index(query: str, article: Article) -> None:
    tree = parse_query(query)
    narrowed = index_query(tree)

    if narrowed is not None and oracle.holds(tree, article):
        tokens = [*index_text(article.title).split(), "|", *index_text(article.body).split()]
        assert oracle.index_holds(narrowed, tokens)


quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
long_run = settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(st.lists(units, min_size=1, max_size=4), articles, counts)
def test_engine_answers_as_the_plain_rules_do(queries, article, df):
    check_answers(queries, article, df)


@quick
@given(terms, articles)
def test_spans_are_exactly_the_places_of_the_plain_rules(query, article):
    check_spans(query, article)


@quick
@given(units, articles)
def test_index_finds_whatever_the_engine_matches(query, article):
    check_index(query, article)


@quick
@given(units)
def test_understood_form_parses_to_an_equal_query(query):
    tree = parse_query(query)

    assert parse_query(str(tree)) == tree


@pytest.mark.slow
@pytest.mark.timeout(1800)
@long_run
@given(st.lists(units, min_size=1, max_size=4), articles, counts)
def test_engine_answers_as_the_plain_rules_do_in_the_long_run(queries, article, df):
    check_answers(queries, article, df)
    for query in queries:
        check_index(query, article)
        tree = parse_query(query)
        assert parse_query(str(tree)) == tree


@pytest.mark.slow
@pytest.mark.timeout(1800)
@long_run
@given(terms, articles)
def test_spans_are_exactly_the_places_in_the_long_run(query, article):
    check_spans(query, article)
