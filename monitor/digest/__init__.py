"""Matches -> Digest -> mail: what a reader gets, in which order, and how it looks."""

from monitor.digest.citation import cite_text, to_bibtex, to_csl_json, to_ris
from monitor.digest.compose import compose
from monitor.digest.feeds import atom_feed
from monitor.digest.letterhead import Letterhead
from monitor.digest.links import Claim, Links, Purpose
from monitor.digest.news import News
from monitor.digest.rank import TopicFeedback, learn
from monitor.digest.render import listed, render

__all__ = [
    "Claim",
    "Letterhead",
    "Links",
    "News",
    "Purpose",
    "TopicFeedback",
    "atom_feed",
    "cite_text",
    "compose",
    "learn",
    "listed",
    "render",
    "to_bibtex",
    "to_csl_json",
    "to_ris",
]
