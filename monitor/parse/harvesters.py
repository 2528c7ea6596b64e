"""Which harvester reads which kind of source. A new kind is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from monitor.model import Source, SourceKind
from monitor.parse.asking import Access, Harvest
from monitor.parse.listing import harvest_page
from monitor.parse.scholarly import crossref, europepmc, medrxiv, pubmed, trials
from monitor.parse.sitemap import harvest_sitemap

HARVESTERS: Mapping[SourceKind, Callable[[Source, Access, datetime], Harvest]] = {
    SourceKind.PUBMED: pubmed.harvest_pubmed,
    SourceKind.EUROPEPMC: europepmc.harvest_europepmc,
    SourceKind.CROSSREF: crossref.harvest_crossref,
    SourceKind.MEDRXIV: medrxiv.harvest_medrxiv,
    SourceKind.TRIALS: trials.harvest_trials,
    SourceKind.SITEMAP: harvest_sitemap,
    SourceKind.PAGE: harvest_page,
}
# Where each index is asked, for a source that names no other address.
BASES: Mapping[SourceKind, str] = {
    SourceKind.PUBMED: pubmed.BASE,
    SourceKind.EUROPEPMC: europepmc.BASE,
    SourceKind.CROSSREF: crossref.BASE,
    SourceKind.MEDRXIV: medrxiv.BASE,
    SourceKind.TRIALS: trials.BASE,
}
OPTIONS: Mapping[SourceKind, frozenset[str]] = {
    SourceKind.FEED: frozenset(),
    SourceKind.PUBMED: frozenset({"query", "date", "overlap_days"}),
    SourceKind.EUROPEPMC: frozenset({"query", "date", "overlap_days"}),
    SourceKind.CROSSREF: frozenset({"issn", "query", "type", "overlap_days"}),
    SourceKind.MEDRXIV: frozenset({"server", "category", "overlap_days"}),
    SourceKind.TRIALS: frozenset({"query", "condition", "date", "overlap_days"}),
    SourceKind.SITEMAP: frozenset({"match", "undated", "overlap_days"}),
    SourceKind.PAGE: frozenset({"item", "link", "title", "date", "summary"}),
}
# Kinds whose list moves on: what is not read in time is gone. The others are asked from their watermark on.
WINDOWS = frozenset({SourceKind.FEED, SourceKind.PAGE})
# Of these one must be given.
NEEDS: Mapping[SourceKind, tuple[str, ...]] = {
    SourceKind.PUBMED: ("query",),
    SourceKind.EUROPEPMC: ("query",),
    SourceKind.CROSSREF: ("issn", "query"),
    SourceKind.TRIALS: ("query", "condition"),
    SourceKind.PAGE: ("item",),
}


def wrong_options(kind: SourceKind, options: Mapping[str, str]) -> str:
    """What is wrong with a source's options, in words; empty for nothing."""
    if unknown := sorted(options.keys() - OPTIONS[kind]):
        known = ", ".join(sorted(OPTIONS[kind])) or "none"
        return f"a source of kind {kind} has no option {unknown[0]!r}; its options are: {known}"
    needs = NEEDS.get(kind, ())
    if needs and not any(options.get(name, "").strip() for name in needs):
        return f"a source of kind {kind} needs the option {' or '.join(map(repr, needs))}"
    return ""
