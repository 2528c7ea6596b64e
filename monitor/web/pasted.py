"""What somebody pasted, as an article: an address, a DOI, a number or a text."""

from __future__ import annotations

from monitor.app import Opened
from monitor.errors import MonitorError, NotFound
from monitor.model import Article

MAX_PASTED = 100_000


async def article_of(opened: Opened, what: str) -> Article:
    """A stored article by address, DOI or number; a page that is fetched; else the text itself, its first line the
    title. Raises MonitorError.
    """
    what = what.strip()
    if not what:
        raise MonitorError("paste an address, a DOI or a text")
    one_line = "\n" not in what and len(what) < 2_000
    if one_line and (stored := await opened.monitor.storage.articles.find(what)) is not None:
        return stored
    if one_line and what.startswith(("http://", "https://")):
        return await opened.monitor.ingest.look_at_page(what)
    if one_line and what.startswith("10.") and " " not in what:
        raise NotFound("no stored article has this DOI; paste its address or its text")
    title, _, body = what.partition("\n")
    return Article(url="", canonical_url="", key="", title=title.strip(), body=body.strip())
