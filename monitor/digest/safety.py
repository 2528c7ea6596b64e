"""The safety box: what became of articles that this reader was sent, in words, before everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from monitor.digest.cards import doi_address, web_address
from monitor.digest.excerpt import tidy
from monitor.digest.wording import count, day
from monitor.model import Article, Correction, CorrectionKind, SafetyItem

MAX_NOTES = 20
TITLE_CHARS = 240
REASON_CHARS = 240
_WORDS = {
    CorrectionKind.RETRACTION: ("Retracted", "retraction"),
    CorrectionKind.PARTIAL_RETRACTION: ("Partly retracted", "partial retraction"),
    CorrectionKind.WITHDRAWAL: ("Withdrawn", "withdrawal"),
    CorrectionKind.REMOVAL: ("Removed", "removal"),
    CorrectionKind.EXPRESSION_OF_CONCERN: ("Expression of concern", "expression of concern"),
    CorrectionKind.CORRECTION: ("Corrected", "correction"),
    CorrectionKind.REINSTATEMENT: ("Reinstated", "reinstatement"),
}
_MANY = {"expression of concern": "expressions of concern"}
_WORST = {kind: place for place, kind in enumerate(_WORDS)}
_TELLERS = {
    "crossref": "Crossref",
    "pubmed": "PubMed",
    "retraction-watch": "Retraction Watch",
    "feed": "the publisher's feed",
}


def summary(items: Sequence[SafetyItem]) -> str:
    """1 retraction, 2 corrections; empty where there is nothing to warn of."""
    counts = Counter(item.correction.kind for item in items)
    return ", ".join(count(counts[kind], one, _MANY.get(one, "")) for kind, (_, one) in _WORDS.items() if counts[kind])


def notes(items: Sequence[SafetyItem], timezone: str) -> list[dict[str, str]]:
    """What the templates say of each, the gravest first; of very many the rest by number."""
    ordered = sorted(items, key=lambda item: (_WORST[item.correction.kind], item.correction.id))
    made = [_note(item, timezone) for item in ordered[:MAX_NOTES]]
    if len(ordered) > MAX_NOTES:
        more = f"{len(ordered) - MAX_NOTES} more"
        made.append({"kind": "And", "title": more, "url": "", "about": "", "reason": "", "notice": ""})
    return made


def _note(item: SafetyItem, timezone: str) -> dict[str, str]:
    article, notice = item.article, item.correction
    return {
        "kind": _WORDS[notice.kind][0],
        "title": tidy(article.title, TITLE_CHARS) or "(untitled)",
        "url": web_address(article.canonical_url) or web_address(article.url),
        "about": _about(item, timezone),
        "reason": tidy(notice.reason, REASON_CHARS),
        "notice": doi_address(notice.notice_doi) or web_address(notice.notice_url),
    }


def _about(item: SafetyItem, timezone: str) -> str:
    parts = []
    if item.sent_at is not None:
        parts.append(f"Sent to you on {_local_day(item.sent_at, timezone)}.")
    notice = item.correction
    paper = f"The paper {notice.doi}" if _of_another(item.article, notice) else "It"
    dated = f", {day(notice.noticed_at)}" if notice.noticed_at else ""
    parts.append(f"{paper} {_VERBS[notice.kind]} ({_TELLERS.get(notice.source, tidy(notice.source, 40))}{dated}).")
    return " ".join(parts)


_VERBS = {
    CorrectionKind.RETRACTION: "has been retracted",
    CorrectionKind.PARTIAL_RETRACTION: "has been retracted in part",
    CorrectionKind.WITHDRAWAL: "has been withdrawn",
    CorrectionKind.REMOVAL: "has been removed",
    CorrectionKind.EXPRESSION_OF_CONCERN: "is under an expression of concern",
    CorrectionKind.CORRECTION: "has been corrected",
    CorrectionKind.REINSTATEMENT: "has been reinstated",
}


def _of_another(article: Article, notice: Correction) -> bool:
    """A reader who was sent news of a paper must not take the news for what was retracted."""
    return bool(notice.doi) and article.key != f"doi:{notice.doi}"


def _local_day(moment: datetime, timezone: str) -> str:
    return day(moment.astimezone(ZoneInfo(timezone)).date())
