"""What Crossref knows of retractions, other notices and published preprints, asked for many DOIs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.model import Correction
from monitor.parse.answers import list_at, read_json
from monitor.parse.asking import Access, Request, address
from monitor.parse.scholarly.crossref import BASE, DELAY, published_of
from monitor.story.corrections import from_crossref

AT_ONCE = 20  # whole records: a long list of references makes each one large


@dataclass(frozen=True, slots=True)
class Updates:
    """`published` are (preprint, paper) DOIs."""

    corrections: tuple[Correction, ...] = ()
    published: tuple[tuple[str, str], ...] = ()


def updates_request(dois: Sequence[str], access: Access, base: str = BASE) -> Request:
    """The records of up to AT_ONCE papers; filters of one name are alternatives."""
    chosen = ",".join(f"doi:{doi}" for doi in dois if "," not in doi)
    parameters = [("filter", chosen), ("rows", str(AT_ONCE))]
    return Request(
        url=address(base, "works", parameters), read=read_updates, keys=access.mailto, delay=DELAY, large=True
    )


def read_updates(body: bytes, *, url: str) -> Updates:
    """What a list of works tells. Raises ParseError."""
    document = read_json(body, url=url)
    works = [work for work in list_at(document, "message", "items") if isinstance(work, dict)]
    return Updates(
        corrections=tuple(one for work in works for one in from_crossref(work)),
        published=tuple(dict.fromkeys(pair for work in works for pair in published_of(work))),
    )
