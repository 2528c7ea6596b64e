"""One file a publisher. An adapter reads what the general extraction cannot know: the citation, the provider …

Each has `HOSTS` (sites), `recognises(page)` (its template, whatever the host: mirrors, tests, the demo's newsroom) and
`extract(page) -> Extract`. docs/how-to-add-a-publisher.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from monitor.parse.page import Extract, Page
from monitor.parse.publishers import eurekalert, science_x, sciencedaily


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A publisher's hosts (subdomains included), its template's marks, and its reader."""

    name: str
    hosts: frozenset[str]
    recognises: Callable[[Page], bool]
    extract: Callable[[Page], Extract]


ADAPTERS = (
    Adapter(name="science_x", hosts=science_x.HOSTS, recognises=science_x.recognises, extract=science_x.extract),
    Adapter(
        name="sciencedaily", hosts=sciencedaily.HOSTS, recognises=sciencedaily.recognises, extract=sciencedaily.extract
    ),
    Adapter(name="eurekalert", hosts=eurekalert.HOSTS, recognises=eurekalert.recognises, extract=eurekalert.extract),
)


def adapter_for(page: Page, adapters: Iterable[Adapter] = ADAPTERS) -> Adapter | None:
    """The publisher's adapter, by host or else by template; None for every other page."""
    adapters = tuple(adapters)
    for adapter in adapters:
        if page.host in adapter.hosts or any(page.host.endswith(f".{host}") for host in adapter.hosts):
            return adapter
    return next((adapter for adapter in adapters if adapter.recognises(page)), None)


def extract_by_adapter(page: Page, adapters: Iterable[Adapter] = ADAPTERS) -> Extract:
    """What the page's adapter finds; nothing where there is none, or where it trips over a new template."""
    adapter = adapter_for(page, adapters)
    if adapter is None:
        return Extract()
    try:
        return adapter.extract(page)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        return Extract()  # the publisher changed its pages: the general extraction still reads them
