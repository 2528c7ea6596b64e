"""A page, a feed's entry, or both to an Article.

Of each value the best place wins: the feed's date (a page's may be guessed), then the publisher's adapter, JSON-LD,
citation_*, OpenGraph, the visible page.
"""

from __future__ import annotations

from datetime import UTC, datetime

from monitor.errors import ParseError
from monitor.identity import article_key, canonical_url, host_of
from monitor.model import Article, Entry, Feed, Source, TextFrom
from monitor.parse.body import SHORT, page_text
from monitor.parse.entry import language_code
from monitor.parse.metadata import Metadata, read_metadata
from monitor.parse.page import Extract, Page, inner_text, pruned, read_page
from monitor.parse.plain import MAX_TEXT, clean, plain_paragraphs
from monitor.parse.publishers import extract_by_adapter
from monitor.parse.wrong import blocking_page

_WHOLE = 2  # times as long: the other text was only the beginning
_CUT = ("…", "...", "[…]", "[...]")


def parse_article(body: bytes, *, url: str, content_type: str = "", entry: Entry | None = None) -> Article:
    """The article on the page at `url`, completed by what its feed said; text from the feed where the page has none.

    `citation` holds the page's own "retrieved" date, which changes with every visit: hash `title` and `body`, never it.
    Raises ParseError, and nothing else: no text anywhere, or a challenge, login or consent page in the article's place.
    """
    page = read_page(body, url=url, content_type=content_type)
    found = extract_by_adapter(page)
    meta = read_metadata(page)
    text = found.body or _page_text(page, meta)
    if blocked := _blocked(page, text):
        raise ParseError(url, blocked)
    entry = entry or Entry(url=url, title="")
    text, text_from = _best_text(text, entry)
    if not text:
        raise ParseError(url, "no text on the page, and none in its feed")
    return _merged(page, found, meta, entry, text, text_from)


def article_from_entry(entry: Entry, *, feed: Feed | None = None, source: Source | None = None) -> Article:
    """What the feed alone says: a teaser as a rule, the whole text for some feeds. `source` is where it came from."""
    provider = feed.title if feed else ""
    return Article(
        url=entry.url,
        canonical_url=canonical_url(entry.url),
        key=article_key(
            url=entry.url,
            guid=entry.guid,
            doi=entry.doi,
            title=entry.title,
            provider=provider,
            published=entry.published,
        ),
        title=entry.title or _beginning(entry.summary or entry.content),
        published=entry.published or entry.updated,
        authors=entry.authors,
        summary=entry.summary,
        body=_feed_text(entry),
        category=entry.categories[0] if entry.categories else "",
        doi=entry.doi,
        pmid=entry.pmid,
        journal=entry.journal,
        provider=provider,
        publisher=host_of(entry.url),
        language=entry.language or (feed.language if feed else ""),
        mesh=entry.mesh,
        publication_types=entry.publication_types,
        trial_ids=entry.trial_ids,
        open_access_url=entry.open_access_url,
        versions=entry.versions,
        text_from=TextFrom.FEED,
        source_id=source.id if source else 0,
        source_slug=source.slug if source else "",
    )


def _merged(page: Page, found: Extract, meta: Metadata, entry: Entry, text: str, text_from: TextFrom) -> Article:
    address = meta.canonical or page.url
    own_doi = entry.doi or meta.doi
    provider = found.provider or meta.site
    title = _best_title(found.title, entry.title, meta.title) or _beginning(text)
    published = entry.published or found.published or meta.published or entry.updated or _guessed_date(page)
    return Article(
        url=entry.url or page.url,
        canonical_url=canonical_url(address),
        key=article_key(url=address, guid=entry.guid, doi=own_doi, title=title, provider=provider, published=published),
        title=title,
        published=published,
        authors=found.authors if found.authors is not None else entry.authors or meta.authors,
        summary=found.summary or entry.summary or meta.summary,
        body=text,
        byline=found.byline,
        category=found.category or meta.category or (entry.categories[0] if entry.categories else ""),
        doi=found.doi or own_doi,
        pmid=entry.pmid or meta.pmid,
        journal=found.journal or entry.journal or meta.journal,
        provider=provider,
        publisher=host_of(address),
        citation=found.citation,
        copyright=found.copyright,
        language=meta.language or language_code(entry.language),
        mesh=entry.mesh,
        publication_types=entry.publication_types,
        trial_ids=entry.trial_ids,
        open_access_url=entry.open_access_url,
        versions=entry.versions,
        text_from=text_from,
    )


def _page_text(page: Page, meta: Metadata) -> str:
    """The text that readers see, or the one in the JSON-LD where that is the whole and the page only its beginning."""
    visible, whole = page_text(page), plain_paragraphs(meta.full_text)
    return whole if len(whole) > _WHOLE * len(visible) else visible


def _best_text(text: str, entry: Entry) -> tuple[str, TextFrom]:
    """The page's text, or the feed's where that is the whole and the page only its beginning (a paywall, a script)."""
    from_feed = _feed_text(entry)
    if len(text) < SHORT and len(from_feed) > len(text):
        return from_feed, TextFrom.FEED
    if len(entry.content) > _WHOLE * len(text):
        return from_feed, TextFrom.FEED
    return text[:MAX_TEXT], TextFrom.PAGE


def _feed_text(entry: Entry) -> str:
    return entry.content if len(entry.content) >= len(entry.summary) else entry.summary


def _best_title(adapters: str, feeds: str, pages: str) -> str:
    """The adapter's, else the feed's unless it was cut, else the page's."""
    if adapters:
        return adapters
    cut = feeds.endswith(_CUT)
    return pages if pages and (cut or not feeds) else feeds


def _beginning(text: str) -> str:
    line = clean(text[:400])
    return line if len(line) <= 120 else line[:120].rpartition(" ")[0] + " …"


def _guessed_date(page: Page) -> datetime | None:
    """htmldate's guess at a page that does not say: a day, from the address or the visible text."""
    from htmldate import find_date

    try:
        tree = pruned(page.tree, ("ol",))  # a list of references
        day = find_date(tree, url=page.url, extensive_search=False, original_date=True, max_date="2050-12-31")
        return datetime.fromisoformat(day).replace(tzinfo=UTC) if day else None
    except Exception:  # third-party heuristics on a stranger's page; no date is a good answer
        return None


def _blocked(page: Page, text: str) -> str:
    visible = text if len(text) > SHORT else inner_text(page.pruned)[:10_000]
    return blocking_page(page.text[:100_000].lower(), page.text_of("//title"), visible)
