"""Places to watch, looked at before they are stored: only what can be read is added."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from monitor.errors import ConfigError, MonitorError, StorageError
from monitor.identity import url_key
from monitor.model import Feed, Source, SourceKind
from monitor.parse.harvesters import BASES, wrong_options
from monitor.parse.opml import Outline
from monitor.pipeline.discover import Candidate, Discovery, slugify
from monitor.pipeline.ingest import Ingest
from storage import Storage

MOST_NAMESAKES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What an address holds now. `feed` None: it is no source itself, but names the `candidates` (none: nothing)."""

    source: Source
    feed: Feed | None = None
    candidates: tuple[Candidate, ...] = ()


class KnownSource(StorageError):
    """What is to be added is there already, as `slug`."""

    def __init__(self, slug: str, text: str) -> None:
        self.slug = slug
        super().__init__(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """A `draft` is a Source whose slug and name may be empty, and its url where its kind has an index of its own."""

    storage: Storage
    discovery: Discovery
    ingest: Ingest

    async def look(self, draft: Source) -> Look:
        """Stores nothing. Of a site's address: its only feed, or the choice. Raises FetchError, ParseError, or
        ConfigError for options that its kind does not have.
        """
        draft = placed(draft)
        candidates: tuple[Candidate, ...] = ()
        if draft.kind is SourceKind.FEED:
            candidates = tuple(await self.discovery.find(draft.url))
            if len(candidates) != 1:
                return Look(source=draft, candidates=candidates)
            draft = replace(draft, url=candidates[0].url, kind=candidates[0].kind)
        feed = await self.ingest.look_at(draft)
        name = draft.name or (candidates[0].title if candidates else "") or feed.title or draft.url
        return Look(source=replace(draft, name=name[:200]), feed=feed, candidates=candidates)

    async def add(self, draft: Source) -> tuple[Source, Feed]:
        """Look at it, then store it; with what it holds now. Raises also KnownSource, and MonitorError that lists the
        choice where there is one.
        """
        look = await self.look(draft)
        if look.feed is None:
            raise MonitorError(_no_source(look))
        there = await self.storage.sources.list()
        wanted = replace(look.source, slug=draft.slug or free_slug(look.source.name, {one.slug for one in there}))
        _refuse_known(wanted, there)
        return await self.storage.sources.add(wanted), look.feed

    async def take(self, outlines: Iterable[Outline], *, active: bool) -> list[Source]:
        """Add every source of an OPML list that is not there yet; those that were added."""
        there = await self.storage.sources.list()
        known, slugs = {identity(one) for one in there}, {one.slug for one in there}
        added = []
        for outline in outlines:
            source = _of_outline(outline, slugs, active=active)
            if identity(source) in known:
                continue
            added.append(await self.storage.sources.add(source))
            known.add(identity(source))
            slugs.add(source.slug)
        return added

    async def change(self, source: Source) -> Source:
        """Store what an admin may set. Raises ConfigError for an address or options that its kind does not have."""
        return await self.storage.sources.update(placed(source))


def placed(draft: Source) -> Source:
    """With its index's own address where it names none. Raises ConfigError that names what is wrong."""
    if wrong := wrong_options(draft.kind, dict(draft.options)):
        raise ConfigError(wrong)
    place = draft.url.strip() or BASES.get(draft.kind, "")
    if not place:
        raise ConfigError(f"a source of kind {draft.kind} needs an address")
    if not place.startswith(("http://", "https://")):
        raise ConfigError("the address must begin with http:// or https://")
    return replace(draft, url=place)


def identity(source: Source) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Two sources that are the same place, asked the same."""
    return url_key(source.url), tuple(sorted(source.options))


def _refuse_known(wanted: Source, there: Iterable[Source]) -> None:
    """Raise KnownSource where `wanted` is not new: its slug is taken, or its address with its options."""
    for one in there:
        if one.slug == wanted.slug:
            raise KnownSource(one.slug, f"there is a source {one.slug!r} already: choose another slug")
        if identity(one) == identity(wanted):
            raise KnownSource(one.slug, f"this is the source {one.slug!r}, which is there already")


def reads_pages(kind: SourceKind) -> bool:
    """Where nobody says: an index tells all there is to know of an article, the others' pages tell more."""
    return kind not in BASES


def _no_source(look: Look) -> str:
    url = look.source.url
    if not look.candidates:
        return (
            f"{url} is no feed but an HTML page that names none, and its site lists no sitemap;"
            " a list page can be read by selectors: monitor sources test URL --item …"
        )
    listed = "\n".join(f"  {candidate.url}  {candidate.title}" for candidate in look.candidates)
    return f"{url} has several feeds; add one of them:\n{listed}"


def free_slug(name: str, taken: Collection[str]) -> str:
    """A short name made of `name` that no other source has. Raises StorageError for a thousandth namesake."""
    base = slugify(name)
    for slug in (base, *(f"{base[:60]}-{number}" for number in range(2, MOST_NAMESAKES))):
        if slug not in taken:
            return slug
    raise StorageError(f"too many sources are called {name}")


def _of_outline(outline: Outline, taken: Collection[str], *, active: bool) -> Source:
    return Source(
        slug=free_slug(outline.name, taken),
        name=outline.name[:200],
        url=outline.url,
        kind=outline.kind,
        options=outline.options,
        pages=reads_pages(outline.kind) if outline.pages is None else outline.pages,
        active=active and outline.active,
        weight=outline.weight,
        interval=timedelta(minutes=outline.minutes or 60),
    )
