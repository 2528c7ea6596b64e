"""Bytes of strangers to Feeds and Articles. Values in, values out: no network, no clock, no error but ParseError."""

from monitor.parse.article import article_from_entry, parse_article
from monitor.parse.feed import parse_feed

__all__ = ["article_from_entry", "parse_article", "parse_feed"]
