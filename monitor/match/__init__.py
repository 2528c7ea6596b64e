"""Articles x topics -> matches. `query` is the language, `matcher` asks all topics in one pass, `explain` says why."""

from monitor.match.explain import Explanation, Reason, WeightReason, explain
from monitor.match.highlight import highlight
from monitor.match.index import index_query
from monitor.match.matcher import Matcher
from monitor.match.query import WARNINGS, check_query, parenthesised, parse_query

__all__ = [
    "WARNINGS",
    "Explanation",
    "Matcher",
    "Reason",
    "WeightReason",
    "check_query",
    "explain",
    "highlight",
    "index_query",
    "parenthesised",
    "parse_query",
]
