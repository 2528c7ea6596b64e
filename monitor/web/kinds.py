"""The kinds of sources as forms show them: what each is, and the fields that it asks for (docs/sources.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self

from starlette.datastructures import FormData

from monitor.errors import MonitorError
from monitor.model import Source, SourceKind
from monitor.parse.harvesters import BASES, NEEDS, OPTIONS
from monitor.pipeline.sources import reads_pages


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionField:
    """One option of a kind. `choices`: (value, words), the first being the default."""

    name: str
    label: str
    example: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    long: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`address` is the label of its URL; an index has one of its own, and shows none."""

    kind: SourceKind
    name: str
    text: str
    address: str = ""
    options: tuple[OptionField, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """Options of which one must be given."""
        return NEEDS.get(self.kind, ())


_OVERLAP = OptionField(name="overlap_days", label="Days asked again", example="as set for all")
_SELECTORS = (
    OptionField(name="item", label="Each article's box", example="ul.news > li", code=True),
    OptionField(name="link", label="Its link", example="the first", code=True),
    OptionField(name="title", label="Its title", example="the heading, or the link", code=True),
    OptionField(name="date", label="Its date", example="<time>", code=True),
    OptionField(name="summary", label="Its teaser", example="none", code=True),
)
_TRIAL_DATES = (
    ("", "first posted"),
    ("LastUpdatePostDate", "last updated"),
    ("ResultsFirstPostDate", "results first posted"),
)
KINDS: tuple[Kind, ...] = (
    Kind(
        kind=SourceKind.FEED,
        name="Feed or site",
        text="RSS, Atom or JSON Feed. The address of a site shows its feeds, or without any its sitemaps.",
        address="Address of a feed or a site",
    ),
    Kind(
        kind=SourceKind.PAGE,
        name="List page",
        text="A page that lists articles, of a site without a feed, read by CSS selectors.",
        address="Address of the page",
        options=_SELECTORS,
    ),
    Kind(
        kind=SourceKind.SITEMAP,
        name="Sitemap",
        text="A sitemap, a news sitemap or an index of them, packed or not.",
        address="Address of the sitemap",
        options=(
            OptionField(name="match", label="Only addresses that hold one of these words", example="news press"),
            OptionField(name="undated", label="Addresses without a date", choices=(("", "left out"), ("yes", "taken"))),
            _OVERLAP,
        ),
    ),
    Kind(
        kind=SourceKind.PUBMED,
        name="PubMed search",
        text="A saved search, in PubMed's own words.",
        options=(
            OptionField(name="query", label="Search", example="opioid[tiab] AND tolerance[tiab]", long=True, code=True),
            OptionField(
                name="date",
                label="New by the date",
                choices=(("", "entered in PubMed"), ("pdat", "published"), ("mdat", "changed")),
            ),
            _OVERLAP,
        ),
    ),
    Kind(
        kind=SourceKind.EUROPEPMC,
        name="Europe PMC search",
        text="A saved search, in Europe PMC's own words; preprints are included.",
        options=(
            OptionField(name="query", label="Search", example='TITLE_ABS:"opioid tolerance"', long=True, code=True),
            OptionField(name="date", label="New by the date field", example="FIRST_PDATE", code=True),
            _OVERLAP,
        ),
    ),
    Kind(
        kind=SourceKind.CROSSREF,
        name="Journal by ISSN",
        text="A journal's new papers from Crossref, also where its feed refuses programs.",
        options=(
            OptionField(name="issn", label="ISSN", example="0028-4793", code=True),
            OptionField(name="query", label="or words to search for", example="better: PubMed"),
            OptionField(name="type", label="Type", example="journal-article", code=True),
            _OVERLAP,
        ),
    ),
    Kind(
        kind=SourceKind.MEDRXIV,
        name="medRxiv or bioRxiv",
        text="All new preprints, or those of some categories.",
        options=(
            OptionField(name="server", label="Server", choices=(("medrxiv", "medRxiv"), ("biorxiv", "bioRxiv"))),
            OptionField(name="category", label="Only these categories", example="oncology; neurology"),
            _OVERLAP,
        ),
    ),
    Kind(
        kind=SourceKind.TRIALS,
        name="ClinicalTrials.gov",
        text="Trials that a search finds.",
        options=(
            OptionField(name="query", label="Words", example="semaglutide"),
            OptionField(name="condition", label="Condition", example="chronic pain"),
            OptionField(name="date", label="New by the date", choices=_TRIAL_DATES),
            _OVERLAP,
        ),
    ),
)
BY_KIND: Mapping[SourceKind, Kind] = {one.kind: one for one in KINDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A source as its form holds it: text, that may be wrong."""

    kind: SourceKind = SourceKind.FEED
    url: str = ""
    name: str = ""
    slug: str = ""
    minutes: str = "60"
    weight: str = "1"
    pages: bool = True
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source) -> Self:
        return cls(
            kind=source.kind,
            url=source.url,
            name=source.name,
            slug=source.slug,
            minutes=str(round(source.interval.total_seconds() / 60)),
            weight=f"{source.weight:g}",
            pages=source.pages,
            options=dict(source.options),
        )

    @classmethod
    def blank(cls, kind: SourceKind) -> Self:
        """An index loses nothing between two visits, so it need not be asked each hour."""
        return cls(kind=kind, minutes="360" if kind in BASES else "60", pages=reads_pages(kind))

    @classmethod
    def sent(cls, form: FormData, otherwise: Self) -> Self:
        """As somebody sent it; what the form does not ask for is as in `otherwise`, but a box not ticked is off."""

        def text(name: str, kept: str, most: int = 2_000) -> str:
            return str(form.get(name, kept))[:most].strip()

        kind = text("kind", otherwise.kind)
        found = SourceKind(kind) if kind in set(SourceKind) else otherwise.kind
        options = {
            name: text(f"option-{name}", otherwise.options.get(name, ""), 20_000) for name in sorted(OPTIONS[found])
        }
        return cls(
            kind=found,
            url=text("url", otherwise.url),
            name=text("name", otherwise.name, 200),
            slug=text("slug", otherwise.slug, 64),
            minutes=text("minutes", otherwise.minutes, 10),
            weight=text("weight", otherwise.weight, 10),
            pages=form.get("pages") == "yes" if "looked" in form else otherwise.pages,
            options={name: value for name, value in options.items() if value},
        )

    def source(self, before: Source) -> Source:
        """`before` changed so. Raises MonitorError that names the field."""
        minutes = int(self.minutes) if self.minutes.isascii() and self.minutes.isdecimal() else 0
        if not 1 <= minutes <= 40_000:
            raise MonitorError(f"minutes between polls: {self.minutes!r} is no number from 1 to 40,000")
        try:
            weight = float(self.weight)
        except ValueError as error:
            raise MonitorError(f"weight: {self.weight!r} is no number") from error
        if not 0.1 <= weight <= 10:
            raise MonitorError("weight: from 0.1 to 10")
        return replace(
            before,
            slug=self.slug or before.slug,
            name=self.name or before.name,
            url=self.url,
            kind=self.kind,
            options=tuple(self.options.items()),
            interval=timedelta(minutes=minutes),
            weight=weight,
            pages=self.pages,
        )
