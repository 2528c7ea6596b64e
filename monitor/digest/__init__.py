"""Matches -> Digest -> mail: what a reader gets, in which order, and how it looks."""

from monitor.digest.compose import compose
from monitor.digest.letterhead import Letterhead
from monitor.digest.links import Claim, Links, Purpose
from monitor.digest.rank import TopicFeedback, learn
from monitor.digest.render import render

__all__ = ["Claim", "Letterhead", "Links", "Purpose", "TopicFeedback", "compose", "learn", "render"]
