from __future__ import annotations

import pytest
from hypothesis import given, settings
from test_match_oracle import articles, units

from monitor.match import Matcher, explain
from monitor.model import Article, Topic, WeightedTerm

ARTICLE = Article(
    url="", canonical_url="", key="", title="Opioid tolerance", authors=("John Smith",), source_slug="bmj",
    language="en",
    body="The opioid study saw no policing. Pain of mice, at long last, was treated with a drug.",
)  # fmt: skip


def topic(query: str, **more: object) -> Topic:
    return Topic(id=1, slug="", name="", query=query, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "nearest"),
    [
        ("opioid AND wegovy", ["would match if `wegovy` were added"]),
        ("opioid NOT policing", ["would match without NOT `policing`"]),
        ("opioid NOT (policing OR x1)", ["would match without NOT `(policing OR x1)`"]),
        ("opioid AND (wegovy OR ozempic)", ["would match if one of `wegovy`, `ozempic` were added"]),
        ("title:mice", ["would match if `mice` were in its title"]),
        ("author:jones", ["would match if its author were `jones`"]),
        ("pain NEAR/2 drug", ["would match if `pain` and `drug` stood within 2 words"]),
        ("ATLEAST/5 opioid", ["would match if `opioid` were found 5 times, not 2"]),
        ("x1 AND x2 NOT mice", ["would match if `x1` were added and `x2` were added and without NOT `mice`"]),
        (
            "(x1 AND x2) OR (opioid AND x3)",
            ["would match if `x3` were added", "would match if `x1` were added and `x2` were added"],
        ),
    ],
)
def test_nearest_miss(query, nearest):
    found = explain(topic(query), ARTICLE)

    assert not found.held
    assert list(found.nearest) == nearest
    assert found.changes >= 1


def test_tree_says_what_held_and_where():
    found = explain(topic("opioid AND (wegovy OR pain) NOT policing"), ARTICLE)

    assert found.query is not None
    assert [(node.text, node.held) for node in found.query.children] == [
        ("opioid", True),
        ("wegovy OR pain", True),
        ("NOT policing", False),
    ]
    assert [(node.text, node.held) for node in found.query.children[1].children] == [("wegovy", False), ("pain", True)]
    assert [(span.field, span.start) for span in found.query.children[0].spans] == [("title", 0), ("body", 4)]


def test_match_needs_no_change():
    found = explain(topic("opioid"), ARTICLE)

    assert (found.held, found.nearest, found.changes) == (True, (), 0)


def test_weights_are_added_up():
    weights = (
        WeightedTerm(term="opioid", weight=1),
        WeightedTerm(term="policing", weight=-1),
        WeightedTerm(term="wegovy", weight=2),
    )

    found = explain(topic("", weights=weights, threshold=1), ARTICLE)

    assert [(weight.text, weight.held) for weight in found.weights] == [
        ("opioid", True),
        ("policing", True),
        ("wegovy", False),
    ]
    assert (found.total, found.threshold, found.held) == (0, 1, False)
    assert found.nearest == ("would match if `wegovy` (+2) were added", "would match without `policing` (-1)")


def test_topic_that_does_not_look_here_says_so():
    found = explain(topic("opioid", sources=("lancet",), languages=("de",)), ARTICLE)

    assert not found.held
    assert found.outside == ("its source bmj is not one of lancet", "its language en is not one of de")


@settings(max_examples=100, deadline=None)
@given(units, articles)
def test_explanation_agrees_with_the_matcher(query, article):
    matcher = Matcher()
    matcher.add(topic(query))

    found = explain(topic(query), article)

    matches = matcher.match(article)
    assert found.held is bool(matches)
    assert bool(found.nearest) is not found.held
    if matches:
        assert set(matches[0].spans) <= {span for node in walk(found.query) for span in node.spans}


def walk(node):
    yield node
    for child in node.children:
        yield from walk(child)
