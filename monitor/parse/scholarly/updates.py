"""What Crossref knows of retractions, corrections and other notices about papers, asked for many DOIs at once."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.model import Correction
from monitor.parse.asking import Access, Request, address, list_at, read_json
from monitor.parse.scholarly.crossref import BASE, DELAY
from monitor.story.corrections import from_crossref

AT_ONCE = 20  # whole records: a long list of references makes each one large


def updates_request(dois: Sequence[str], access: Access, base: str = BASE) -> Request:
    """The records of up to AT_ONCE papers; filters of one name are alternatives."""
    chosen = ",".join(f"doi:{doi}" for doi in dois if "," not in doi)
    parameters = [("filter", chosen), ("rows", str(AT_ONCE))]
    return Request(
        url=address(base, "works", parameters), read=read_updates, keys=access.mailto, delay=DELAY, large=True
    )


def read_updates(body: bytes, *, url: str) -> tuple[Correction, ...]:
    """Every notice in a list of works. Raises ParseError."""
    document = read_json(body, url=url)
    works = list_at(document, "message", "items")
    return tuple(one for work in works if isinstance(work, dict) for one in from_crossref(work))
