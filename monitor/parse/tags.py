"""XML names without the many spellings of their namespaces: `{http://prismstandard.org/…/2.1/}doi` is `prism:doi`."""

from __future__ import annotations

from functools import lru_cache

_CORE = ("http://purl.org/rss/1.0/", "http://my.netscape.com/rdf/simple/0.9/", "http://channel.netscape.com/rdf/simple/0.9/",
         "http://backend.userland.com/", "http://blogs.law.harvard.edu/tech/rss")  # fmt: skip
_PREFIXES = (
    ("http://www.w3.org/2005/Atom", "atom:"),
    ("http://purl.org/atom/ns#", "atom:"),
    ("http://purl.org/dc/terms/", "dcterms:"),
    ("http://purl.org/dc/", "dc:"),
    ("http://purl.org/rss/1.0/modules/content/", "content:"),
    ("http://purl.org/rss/1.0/modules/syndication/", "sy:"),
    ("http://purl.org/rss/1.0/modules/prism/", "prism:"),
    ("http://www.w3.org/1999/02/22-rdf-syntax-ns#", "rdf:"),
    ("http://www.w3.org/1999/xhtml", "html:"),
    ("http://search.yahoo.com/mrss", "media:"),
    ("http://www.itunes.com/dtds/podcast-1.0.dtd", "itunes:"),
    ("http://rssnamespace.org/feedburner/ext/1.0", "feedburner:"),
)
# For prefixes that a feed uses but forgot to declare.
KNOWN_PREFIXES = {
    "atom": "http://www.w3.org/2005/Atom",
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "feedburner": "http://rssnamespace.org/feedburner/ext/1.0",
    "itunes": "http://www.itunes.com/dtds/podcast-1.0.dtd",
    "media": "http://search.yahoo.com/mrss/",
    "prism": "http://prismstandard.org/namespaces/basic/2.0/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "sy": "http://purl.org/rss/1.0/modules/syndication/",
    "xlink": "http://www.w3.org/1999/xlink",
}


@lru_cache(maxsize=2_048)
def short_tag(tag: object) -> str:
    """`prefix:name` in lower case, no prefix for RSS's own names; empty for comments and entities."""
    if not isinstance(tag, str):
        return ""
    namespace, _, name = tag.rpartition("}")
    namespace, name = namespace[1:], name.lower()
    if not namespace or (namespace.startswith(_CORE) and "/modules/" not in namespace):
        return name
    for uri, prefix in _PREFIXES:
        if namespace.lower().startswith(uri.lower()):
            return prefix + name
    if "prism" in namespace.lower():
        return f"prism:{name}"
    return f"other:{name}"
