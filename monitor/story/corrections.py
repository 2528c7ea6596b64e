"""Notices about published papers, however they are told: Crossref, PubMed, titles in feeds, Retraction Watch.

Each function gives Corrections that name the paper in question by DOI or PMID; one notice may name dozens.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from monitor.identity import find_doi, normal_doi
from monitor.model import Article, Correction, CorrectionKind

MAX_NAMED = 200  # papers in one notice
MAX_TEXT = 500
_KINDS = {
    "retraction": CorrectionKind.RETRACTION,
    "retracted": CorrectionKind.RETRACTION,
    "partial_retraction": CorrectionKind.PARTIAL_RETRACTION,
    "withdrawal": CorrectionKind.WITHDRAWAL,
    "withdrawn": CorrectionKind.WITHDRAWAL,
    "removal": CorrectionKind.REMOVAL,
    "removed": CorrectionKind.REMOVAL,
    "expression_of_concern": CorrectionKind.EXPRESSION_OF_CONCERN,
    "correction": CorrectionKind.CORRECTION,
    "corrections": CorrectionKind.CORRECTION,
    "corrigendum": CorrectionKind.CORRECTION,
    "erratum": CorrectionKind.CORRECTION,
    "author_correction": CorrectionKind.CORRECTION,
    "publisher_correction": CorrectionKind.CORRECTION,
    "reinstatement": CorrectionKind.REINSTATEMENT,
}


def correction_kind(name: str) -> CorrectionKind | None:
    """`expression-of-concern` and `Expression of Concern` alike. None for what is harmless (`new_version`)."""
    return _KINDS.get(re.sub(r"[\s_-]+", "_", name.strip().casefold()))


# --- Crossref -------------------------------------------------------------------------------------------------


def from_crossref(work: Mapping[str, Any]) -> tuple[Correction, ...]:
    """What a record of Crossref (`message`, or one of its `items`) says: of itself in `updated-by`, and, where it is a
    notice, of others in `update-to`. The same update told twice (publisher, Retraction Watch) is one.
    """
    own = normal_doi(_text(work.get("DOI")))
    found: dict[tuple[str, CorrectionKind], Correction] = {}
    for update in _maps(work.get("updated-by")):
        _add(found, update, doi=own, notice_doi=normal_doi(_text(update.get("DOI"))), title=_first(work.get("title")))
    for update in _maps(work.get("update-to"))[:MAX_NAMED]:
        _add(found, update, doi=normal_doi(_text(update.get("DOI"))), notice_doi=own, title="")
    return tuple(found.values())


def _add(
    found: dict[tuple[str, CorrectionKind], Correction],
    update: Mapping[str, Any],
    *,
    doi: str,
    notice_doi: str,
    title: str,
) -> None:
    kind = correction_kind(_text(update.get("type")))
    if kind is None or not doi or doi == notice_doi:
        return
    watch = _text(update.get("source")) == "retraction-watch"
    found.setdefault(
        (doi, kind),
        Correction(
            kind=kind,
            doi=doi,
            notice_doi=notice_doi,
            title=title[:MAX_TEXT],
            source="retraction-watch" if watch else "crossref",
            noticed_at=_moment(update.get("updated")),
        ),
    )


def _moment(value: object) -> datetime | None:
    """Of `{"date-parts": [[2012, 5, 8]]}`, where a part may be missing or null."""
    parts = value.get("date-parts") if isinstance(value, Mapping) else None
    first = parts[0] if isinstance(parts, list) and parts and isinstance(parts[0], list) else []
    numbers = [part for part in first if isinstance(part, int)]
    if not numbers:
        return None
    try:
        year, month, day = [*numbers, 1, 1][:3]
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _first(value: object) -> str:
    return next((one for one in value if isinstance(one, str)), "") if isinstance(value, list) else _text(value)


# --- PubMed ---------------------------------------------------------------------------------------------------

_RETRACTED_TYPES = {"Retracted Publication": CorrectionKind.RETRACTION}
_NOTICE_TYPES = {
    "Retraction of Publication": CorrectionKind.RETRACTION,
    "Retraction Notice": CorrectionKind.RETRACTION,
    "Expression of Concern": CorrectionKind.EXPRESSION_OF_CONCERN,
    "Published Erratum": CorrectionKind.CORRECTION,
}
_OF = {
    "RetractionOf": CorrectionKind.RETRACTION,
    "PartialRetractionOf": CorrectionKind.PARTIAL_RETRACTION,
    "ExpressionOfConcernFor": CorrectionKind.EXPRESSION_OF_CONCERN,
    "ErratumFor": CorrectionKind.CORRECTION,
}
_IN = {
    "RetractionIn": CorrectionKind.RETRACTION,
    "PartialRetractionIn": CorrectionKind.PARTIAL_RETRACTION,
    "ExpressionOfConcernIn": CorrectionKind.EXPRESSION_OF_CONCERN,
    "ErratumIn": CorrectionKind.CORRECTION,
}


def from_pubmed(
    pmid: str, doi: str, types: Sequence[str], references: Iterable[tuple[str, str]] = ()
) -> tuple[Correction, ...]:
    """From PublicationTypes and CommentsCorrections (`(RefType, PMID)`): either signal alone is enough."""
    found: dict[tuple[str, str, CorrectionKind], Correction] = {}

    def add(kind: CorrectionKind, doi: str, pmid: str, notice: str = "") -> None:
        url = f"https://pubmed.ncbi.nlm.nih.gov/{notice}/" if notice else ""
        if doi or pmid:
            before = found.get((doi, pmid, kind))
            if before is None or not before.notice_url:
                found[doi, pmid, kind] = Correction(kind=kind, doi=doi, pmid=pmid, notice_url=url, source="pubmed")

    own = normal_doi(doi)
    for kind in (_RETRACTED_TYPES[one] for one in types if one in _RETRACTED_TYPES):
        add(kind, own, pmid)
    for reference, other in references:
        if reference in _IN:
            add(_IN[reference], own, pmid, other)
        elif reference in _OF and other:
            add(_OF[reference], "", other, pmid)
    return tuple(found.values())[:MAX_NAMED]


# --- feeds ----------------------------------------------------------------------------------------------------

_HEAD = (
    r"retraction|retracted|partial retraction|withdrawal|withdrawn|removal|removed|expression of concern|erratum"
    r"|corrigendum|corrections?|author correction|publisher correction"
)
_PREFIXED = re.compile(
    rf"(?:notice of (?P<of>{_HEAD})|(?P<kind>{_HEAD})(?: notice| article)?)"
    r"(?P<mark>\s*[:\]–—]\s*|\s+-\s+| (?:to|for|of)[:\s]\s*)",
    re.IGNORECASE,
)
_DOI_PLACE = re.compile(r"10\.\d{4,9}/")
_ITSELF = frozenset({"retracted", "withdrawn", "removed"})  # RETRACTED: …, as publishers head the paper itself


def notice_title(title: str) -> tuple[CorrectionKind, str, bool] | None:
    """For "Retraction: T" the kind, T, and whether it heads the paper itself ("RETRACTED: T"); None otherwise.

    A headline about retractions ("Retraction rates climb") is no notice: one has a colon, a bracket, a dash or "to".
    """
    head = title.strip().lstrip("[(*").strip()
    found = _PREFIXED.match(head)
    if found is None:
        return None
    word = (found["of"] or found["kind"]).casefold()
    kind = correction_kind(word)
    rest = head[found.end() :].strip(" \"'“”‘’[]()*")
    if kind is None or not rest:
        return None
    spaced = found["mark"].strip().casefold() in {"to", "for", "of"}
    if spaced and word in {"retraction", "withdrawal", "removal", "correction", "corrections"} and _is_prose(head):
        return None
    return kind, rest, word in _ITSELF and not found["of"]


def _is_prose(head: str) -> bool:
    """Is this a headline about a notice, as "Retraction of flawed study shakes field"? "Correction to: T" is not."""
    return re.match(r"\w+\s+(?:to|for|of)\s*:|corrections? to\b", head, re.IGNORECASE) is None


def corrections_in(article: Article) -> tuple[Correction, ...]:
    """What an article says of papers by its title or its PubMed types. One without DOI and PMID names its `title`."""
    doi = normal_doi(article.doi)
    found = list(from_pubmed(article.pmid, doi, article.publication_types))
    said = notice_title(article.title)
    kinds = [_NOTICE_TYPES[one] for one in article.publication_types if one in _NOTICE_TYPES]
    if said is None and not kinds:
        return tuple(found)
    kind, title, itself = said if said is not None else (kinds[0], "", False)
    common: dict[str, Any] = {
        "kind": kind,
        "title": title[:MAX_TEXT],
        "source": "feed",
        "notice_url": article.canonical_url or article.url,
        "noticed_at": article.published,
    }
    if itself:
        return (*found, Correction(doi=doi, pmid=article.pmid, **common)) if doi or article.pmid else tuple(found)
    reason = _reason(article)
    named = _dois(f"{article.summary}\n{article.body}", doi)
    if len(named) > 1 and (cited := _dois(article.body.partition("\n\n")[0] + "\n" + article.summary, doi)):
        named = cited  # the first paragraph says what is retracted; what follows may cite others
    if not named:
        return (*found, Correction(notice_doi=doi, reason=reason, **common)) if title else tuple(found)
    return (*found, *(Correction(doi=one, notice_doi=doi, reason=reason, **common) for one in named))


def _dois(text: str, own: str) -> list[str]:
    dois: dict[str, None] = {}
    for place in _DOI_PLACE.finditer(text):
        one = normal_doi(find_doi(text[place.start() : place.start() + 300]))
        if one and one != own:
            dois[one] = None
        if len(dois) >= MAX_NAMED:
            break
    return list(dois)


def _reason(article: Article) -> str:
    return " ".join((article.summary or article.body.partition("\n\n")[0]).split())[:MAX_TEXT]


# --- Retraction Watch -----------------------------------------------------------------------------------------

_COLUMNS = {"OriginalPaperDOI", "OriginalPaperPubMedID", "RetractionNature"}
_DATES = ("%m/%d/%Y", "%Y-%m-%d", "%d/%m/%Y")


def from_retraction_watch(lines: Iterable[str]) -> Iterator[Correction]:
    """The rows of the Retraction Watch CSV that name a paper. Raises ValueError when its columns are missing."""
    reader = csv.DictReader(line.replace("\x00", "") for line in lines)
    missing = _COLUMNS - {(name or "").strip().lstrip("\ufeff") for name in reader.fieldnames or ()}
    if missing:
        raise ValueError(f"not the Retraction Watch CSV: no column {', '.join(sorted(missing))}")
    for raw in reader:
        row = {
            (name or "").lstrip("\ufeff").strip(): value.strip()
            for name, value in raw.items()
            if isinstance(value, str)
        }
        kind = correction_kind(row.get("RetractionNature", ""))
        doi, pmid = normal_doi(row.get("OriginalPaperDOI", "")), row.get("OriginalPaperPubMedID", "")
        pmid = pmid if pmid.isdecimal() and pmid != "0" else ""
        if kind is None or not (doi or pmid):
            continue
        yield Correction(
            kind=kind,
            doi=doi,
            pmid=pmid,
            notice_doi=normal_doi(row.get("RetractionDOI", "")),
            title=row.get("Title", "")[:MAX_TEXT],
            reason="; ".join(part.strip(" +") for part in row.get("Reason", "").split(";") if part.strip(" +"))[
                :MAX_TEXT
            ],
            source="retraction-watch",
            noticed_at=_day(row.get("RetractionDate", "")),
        )


def _day(text: str) -> datetime | None:
    first = text.split(" ")[0]
    for form in _DATES:
        try:
            day: date = datetime.strptime(first, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    return None
