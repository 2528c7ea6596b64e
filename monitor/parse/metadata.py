"""What a page says of itself in its head: JSON-LD, Highwire (`citation_…`), Dublin Core, PRISM, OpenGraph; then h1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.identity import doi_in_url, find_doi, normal_title, same_site
from monitor.parse.authors import author_names
from monitor.parse.dates import parse_date
from monitor.parse.entry import language_code, resolved
from monitor.parse.page import Page
from monitor.parse.plain import MAX_LINE, clean, plain_line

_ARTICLE_TYPES = frozenset(
    [
        "article",
        "newsarticle",
        "blogposting",
        "report",
        "scholarlyarticle",
        "medicalscholarlyarticle",
        "techarticle",
        "opinionnewsarticle",
        "analysisnewsarticle",
        "reportagenewsarticle",
        "backgroundnewsarticle",
        "reviewnewsarticle",
        "medicalwebpage",
        "socialmediaposting",
        "liveblogposting",
        "review",
    ]
)
_PAGE_TYPES = frozenset({"webpage", "itempage", "aboutpage", "faqpage"})
_OWN_DOI = re.compile(r"(?:doi:\s*|info:doi/|https?://(?:dx\.)?doi\.org/)?\s*10\.\d{4,9}/", re.IGNORECASE)
_SUFFIX = re.compile(r"\s+[|–—·•»-]\s+|\s+::\s+")
_HEADLINE = 5  # words: what is shorter may be the name of a section or of the site
_DATES = (
    "citation_online_date", "citation_publication_date", "citation_date", "prism.publicationdate", "dc.date",
    "dc.date.issued", "dcterms.date", "dcterms.issued", "dcterms.created", "article:published_time",
    "og:article:published_time", "article:published", "datepublished", "date", "pubdate", "publish_date",
    "publish-date", "publication_date", "parsely-pub-date", "sailthru.date",
)  # fmt: skip
_NOBODY = frozenset(
    {"admin", "administrator", "editor", "staff", "science x staff", "webmaster", "guest", "user", "root"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """`doi` is the page's own. `published` None where the page does not say; it is not guessed here."""

    title: str = ""
    published: datetime | None = None
    authors: tuple[str, ...] = ()
    summary: str = ""
    doi: str = ""
    pmid: str = ""
    journal: str = ""
    site: str = ""
    category: str = ""
    language: str = ""
    canonical: str = ""
    full_text: str = ""  # JSON-LD articleBody


def read_metadata(page: Page) -> Metadata:
    """Best place first for each value: JSON-LD, citation_*, Dublin Core and PRISM, OpenGraph, the visible page."""
    meta, thing = page.meta, _article_object(page)
    return Metadata(
        title=_title(page, thing),
        published=_published(page, thing),
        authors=_authors(page, thing),
        summary=plain_line(
            _first(meta, ("og:description", "description", "dc.description", "twitter:description")), 2_000
        ),
        doi=_doi(page, thing),
        pmid=_pmid(meta),
        journal=_first(
            meta, ("citation_journal_title", "prism.publicationname", "dc.source", "citation_journal_abbrev")
        )[:300]
        if "citation_journal_title" in meta or "prism.publicationname" in meta
        else "",
        site=_site(meta, thing),
        category=plain_line(_string(thing.get("articleSection")) or _first(meta, ("article:section",)), 200),
        language=_language(page, thing),
        canonical=_canonical(page),
        full_text=_string(thing.get("articleBody")),
    )


def _article_object(page: Page) -> dict[str, Any]:
    """The JSON-LD object that is this article; an empty one if none is."""
    for wanted in (_ARTICLE_TYPES, _PAGE_TYPES):
        for thing in page.json_ld:
            if any(name.lower() in wanted for name in _strings(thing.get("@type"))) and (
                "headline" in thing or "datePublished" in thing
            ):
                return thing
    return {}


def _title(page: Page, thing: dict[str, Any]) -> str:
    """What the page names itself to libraries and machines; else the headline that readers see, if it is one.

    OpenGraph's title is often one for social media or search engines, but vouches for an h1.
    """
    named = plain_line(_string(thing.get("headline")), MAX_LINE)
    named = named or plain_line(_first(page.meta, ("citation_title", "dc.title", "dcterms.title")), MAX_LINE)
    shared = plain_line(_first(page.meta, ("og:title", "twitter:title")) or page.text_of("//head/title"), MAX_LINE)
    h1, site = _headline(page), _site(page.meta, thing)
    if named or not h1 or (shared and not _is_vouched(h1, shared) and not _is_headline(page, h1, shared, site)):
        return _without_site(named or shared or h1, h1, site)
    found = list(_SUFFIX.finditer(shared))
    bare = shared[: found[-1].start()] if found else shared
    return bare if len(bare) > 20 and h1.startswith(bare) else h1  # some h1 end in the source and a count of comments


def _is_vouched(h1: str, shared: str) -> bool:
    """Are at least half of its words in the other title, and is it more than a section's name?"""
    words, others = set(normal_title(h1).split()), set(normal_title(shared).split())
    return len(words & others) * 2 >= len(words) > 2


def _is_headline(page: Page, h1: str, shared: str, site: str) -> bool:
    """Does the only h1, in the main part, name the page whatever the other title says?

    It is a headline by its length; or the page is no article, and the other title lengthens it for search engines.
    """
    if len(page.all("//h1")) != 1 or page.first("//main//h1 | //article//h1") is None:
        return False
    words, others = normal_title(h1).split(), normal_title(shared).split()
    if _first(page.meta, ("og:type",)) == "website" and others[: len(words)] == words:
        return True
    return len(words) >= _HEADLINE and normal_title(site).split() != words


def _headline(page: Page) -> str:
    """The first h1 inside of the main part or the article, else of the page."""
    paths = ("//main//h1", "//article//h1", "//h1")
    return next((line[:MAX_LINE] for path in paths if (line := page.text_of(path))), "")


def _without_site(title: str, h1: str, site: str) -> str:
    """A title without the site's name behind it: where the h1 is the same without it, or the site's name is known."""
    if len(h1) > 10 and title.startswith(h1) and _SUFFIX.match(title[len(h1) :]):
        return h1
    for found in reversed(list(_SUFFIX.finditer(title))):
        if site and clean(title[found.end() :]).casefold() == site.casefold():
            return title[: found.start()]
    return title


def _published(page: Page, thing: dict[str, Any]) -> datetime | None:
    said = [_string(thing.get("datePublished")), _string(thing.get("dateCreated"))]
    said += _all(page.meta, _DATES)
    times = page.all("(//article//time | //main//time)[@datetime][position() <= 3]")
    said += [time.get("datetime") or "" for time in times if _says_published(time)]
    return next((moment for text in said if text and (moment := parse_date(text))), None)


def _says_published(time: Any) -> bool:
    """A time element that is not inside of a teaser, a comment or a list."""
    for parent in time.iterancestors():
        if parent.tag in ("li", "aside", "footer", "nav") or "comment" in (parent.get("class") or ""):
            return False
    return True


def _authors(page: Page, thing: dict[str, Any]) -> tuple[str, ...]:
    for names in (
        [
            _string(person.get("name")) if isinstance(person, dict) else _string(person)
            for person in _list(thing.get("author"))
        ],
        _all(page.meta, ("citation_author",)) or _all(page.meta, ("citation_authors",)),
        _all(page.meta, ("dc.creator", "dcterms.creator", "dc.contributor")),
        [
            name
            for name in _all(page.meta, ("author", "article:author", "parsely-author", "sailthru.author", "byl"))
            if "://" not in name
        ],
    ):
        found = tuple(name for name in author_names(names) if name.lower() not in _NOBODY)
        if found:
            return found
    return ()


def _doi(page: Page, thing: dict[str, Any]) -> str:
    """The page's own DOI, from where publishers name it; never a link in the text: that is another paper."""
    said = _all(
        page.meta,
        (
            "citation_doi",
            "prism.doi",
            "doi",
            "dc.identifier",
            "dc.identifier.doi",
            "dcterms.identifier",
            "bepress_citation_doi",
        ),
    )
    said += _json_ids(thing)
    found = next((find_doi(text) for text in said if _OWN_DOI.match(text)), "")
    return found or doi_in_url(page.url) or doi_in_url(_canonical(page))


def _json_ids(thing: dict[str, Any]) -> Iterator[str]:
    for key in ("sameAs", "identifier", "@id", "doi"):
        for value in _list(thing.get(key)):
            yield _string(value.get("value") if isinstance(value, dict) else value)


def _pmid(meta: dict[str, list[str]]) -> str:
    value = _first(meta, ("citation_pmid", "ncbi_uid"))
    return value if value.isascii() and value.isdigit() and len(value) <= 9 else ""


def _site(meta: dict[str, list[str]], thing: dict[str, Any]) -> str:
    publisher = next((item for item in _list(thing.get("publisher")) if isinstance(item, dict)), {})
    return plain_line(
        _first(meta, ("og:site_name",))
        or _string(publisher.get("name"))
        or _first(meta, ("citation_publisher", "dc.publisher")),
        200,
    )


def _language(page: Page, thing: dict[str, Any]) -> str:
    said = (
        page.tree.get("lang") or "",
        _string(thing.get("inLanguage")),
        _first(page.meta, ("citation_language", "dc.language", "og:locale")),
    )
    return next((code for text in said if (code := language_code(text))), "")


def _canonical(page: Page) -> str:
    """The page's `rel=canonical`, where it is of the same site and names one article.

    Believed carelessly, it merges articles: on some sites every page names the home page, or itself without `?id=`.
    """
    link = page.first("//link[translate(@rel, 'CANOL', 'canol') = 'canonical']")
    url = resolved(clean(link.get("href") or ""), page.url) if link is not None else ""
    if not url or not same_site(url, page.url):
        return ""
    path = url.partition("://")[2].partition("/")[2].partition("?")[0].strip("/")
    last = path.rpartition("/")[2]
    names_one = "?" in url or "-" in last or any(char.isdigit() for char in last)
    given = page.url.partition("://")[2].partition("/")[2].partition("#")[0].strip("/")
    is_above = (given != path and given.startswith(path + "/")) or not path
    return url if names_one and not is_above else ""


def _first(meta: dict[str, list[str]], names: Iterable[str]) -> str:
    return next((meta[name][0] for name in names if name in meta), "")


def _all(meta: dict[str, list[str]], names: Iterable[str]) -> list[str]:
    return [value for name in names for value in meta.get(name, ())]


def _string(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


def _strings(value: Any) -> list[str]:
    return [item for item in _list(value) if isinstance(item, str)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
