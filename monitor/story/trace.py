"""From a news story without a DOI to the paper it means: what to ask an index, and whether an answer is that paper.

A wrong paper is worse than none: its title must stand in the story, and its journal, its authors or its date must speak
for it as well. Two papers that fit alike are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.identity import normal_doi, normal_title
from monitor.model import Article, Entry
from monitor.story.evidence import (
    Stage,
    citing,
    family_name,
    is_notice,
    is_preprint,
    is_work,
    quotes,
    same_authors_of,
    stage,
)
from monitor.story.shingles import MAX_CHARS

MOST_QUESTIONS = 3
MAX_QUESTION = 300
BEFORE, AFTER = timedelta(days=400), timedelta(days=60)  # a paper's date, seen from its news
CLEAR = 0.1  # so much more must speak for one paper than for any other
# What speaks for a paper; with the default threshold (0.8) its whole title needs the journal or an author, and a date.
WHOLE_TITLE, MAIN_TITLE = 0.5, 0.35
JOURNAL, AUTHORS, AUTHOR, DATE = 0.25, 0.3, 0.2, 0.1
OTHER_JOURNAL, OTHER_TIME = -0.25, -0.3

_STUDY = re.compile(r"\b(?:stud(?:y|ies)|trial|paper|journal|published|researchers|findings)\b", re.IGNORECASE)
_COMMENTARY = re.compile(
    r"\W{0,3}(?:re|reply|replies|response|comment(?:ary|s)?|letter|editorial|correspondence|in reply|authors?'? reply"
    r"|invited commentary|peer review|decision letter|review for|preface|index|table of contents|news|perspective)"
    r"\s*(?::|to\b|on\b|from\b|of\b|–|—|-\s)",
    re.IGNORECASE,
)
NO_STUDY = frozenset(
    {
        "Comment", "Editorial", "Letter", "News", "Newspaper Article", "Published Erratum", "Retraction of Publication",
        "Retraction Notice", "Expression of Concern", "Biography", "Interview", "Portrait", "Personal Narrative",
    }
)  # fmt: skip
_ALIASES = {
    "new england journal of medicine": ("nejm",),
    "proceedings of the national academy of sciences": ("pnas",),
    "journal of clinical investigation": ("jci",),
    "bmj": ("british medical journal",),
    "journal of the american medical association": ("jama",),
}
_PUBLISHED_IN = re.compile(
    r"\b(?:published|appears?|appeared|reported|described|writing)\s+(?:\w+\s+){0,2}?(?:in|by)\s+(?:the\s+)?(?:journal\s+)?"
    r"[\"'“‘*_]?([A-Z][\w&'’-]*(?:[ :]+(?:of|and|the|for|in|[A-Z&][\w&'’-]*)){0,8})"
)
_MONTH_OR_SO = re.compile(
    r"(?:jan|feb|mar|apr|may|june|july|aug|sept|oct|nov|dec|english|spanish|german|french|journal$|\w+day$)"
)
_SMALL = frozenset({"of", "the", "and", "for", "in", "on", "a", "an"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """The paper that a story means. `evidence` says why, in words for a reader."""

    paper: Entry
    confidence: float
    evidence: str


def questions(article: Article) -> tuple[str, ...]:
    """What to ask an index for, best first; nothing for what is no news of a study, or names its paper itself."""
    return _each_once((*citing(article), *_titles(article))) if _seeks_paper(article) else ()


def titles(article: Article) -> tuple[str, ...]:
    """Of these what may be a paper's title: what stands between quotation marks, and the story's own."""
    return _each_once(_titles(article)) if _seeks_paper(article) else ()


def _titles(article: Article) -> list[str]:
    own = [article.title] if is_work(normal_title(article.title)) else []  # releases often bear their paper's title
    return [*(quote for quote in quotes(article) if is_work(normal_title(quote))), *own]


def _seeks_paper(article: Article) -> bool:
    if article.doi or article.pmid or article.doi_evidence or stage(article) is not Stage.NEWS:
        return False
    text = f"{article.title}\n{article.summary}\n{article.body[:MAX_CHARS]}"
    return not is_notice(article.title) and _STUDY.search(text) is not None


def _each_once(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(" ".join(line.split())[:MAX_QUESTION] for line in lines))[:MOST_QUESTIONS]


def trace(article: Article, candidates: Sequence[Entry], threshold: float) -> Traced | None:
    """The candidate that this story means, if one reaches `threshold` and no other study comes near it."""
    text = _Text(article)
    unlike = {normal_doi(one.doi): one for one in reversed(candidates) if one.doi}
    judged = [judge(text, one) for one in unlike.values()]
    best = sorted(
        (one for one in judged if one is not None), key=lambda one: (-one.confidence, is_preprint(one.paper.doi))
    )
    if not best or best[0].confidence < threshold:
        return None
    first = best[0]
    for other in best[1:]:
        if first.confidence - other.confidence >= CLEAR:
            break
        if not _one_study(first.paper, other.paper):
            return None
        if is_preprint(first.paper.doi) and not is_preprint(other.paper.doi) and other.confidence >= threshold:
            first = other
    return first


def judge(text: _Text, paper: Entry) -> Traced | None:
    """How much speaks for this paper, from 0 to 1; None where its title does not stand in the story."""
    if is_notice(paper.title) or _COMMENTARY.match(paper.title) or NO_STUDY & {*paper.publication_types}:
        return None
    said = [_title(text, paper.title)]
    if not said[0][0]:
        return None
    said += [_journal(text, paper.journal), _authors(text, paper.authors), _date(text.at, paper.published)]
    sure = min(max(sum(points for points, _ in said), 0.0), 1.0)
    where = ", ".join(
        part for part in (paper.journal, f"{paper.published:%Y-%m-%d}" if paper.published else "") if part
    )
    why = "; ".join(words for _, words in said if words)
    return Traced(paper=paper, confidence=round(sure, 2), evidence=f"“{paper.title}” ({where}): {why}"[:500])


class _Text:
    """A story as it is asked again and again."""

    def __init__(self, article: Article) -> None:
        self.plain = (
            f"{article.title}\n{article.summary}\n{article.body[:MAX_CHARS]}\n{article.citation}\n{article.journal}"
        )
        self.normal = f" {normal_title(self.plain)} "
        self.words = self.normal.split()
        self.at = article.published or article.stored_at
        named = (normal_title(found[1]) for found in _PUBLISHED_IN.finditer(self.plain))
        self.journals = [name for name in named if name and not _MONTH_OR_SO.match(name)]

    def __contains__(self, words: str) -> bool:
        return bool(words) and f" {words} " in self.normal


def _title(text: _Text, title: str) -> tuple[float, str]:
    whole = normal_title(title)
    if is_work(whole) and whole in text:
        return WHOLE_TITLE, "its title stands here"
    main = normal_title(re.split(r"[:?] | [-–—] ", title, maxsplit=1)[0])
    if is_work(main) and main in text:
        return MAIN_TITLE, "its title stands here without the subtitle"
    return 0.0, ""


def _journal(text: _Text, journal: str) -> tuple[float, str]:
    name = normal_title(journal).removeprefix("the ")
    if not name:
        return 0.0, ""
    if _names_journal(text, journal, name):
        return JOURNAL, f"the journal {journal} is named"
    return (OTHER_JOURNAL, "another journal is named") if text.journals else (0.0, "")


def _names_journal(text: _Text, journal: str, name: str) -> bool:
    if any(alias in text for alias in _ALIASES.get(name, ())):
        return True
    words = [word for word in name.split() if word not in _SMALL]
    if len(words) > 1:
        return name in text or _abbreviated(text.words, words)
    # "Pain", "Brain", "Gut" and "Nature" are words, too: only where a journal would stand
    bare = re.escape(re.sub(r"^[Tt]he ", "", " ".join(journal.split())))
    told = rf"\b(?:in|[Jj]ournal|by)\s+(?:[Tt]he\s+)?[\"'“‘*_]?{bare}\b(?![-\s]+[A-Z])"
    cited = rf"[.,;]\s+{bare}[.,]?\s+\(?(?:19|20)\d\d\b"
    return re.search(f"{told}|{cited}", text.plain) is not None


def _abbreviated(text: Sequence[str], name: Sequence[str]) -> bool:
    """`J Clin Invest` for Journal of Clinical Investigation: each word a beginning of the name's, in order."""
    least = 1 if len(name) > 2 else 3
    for start in range(len(text) - len(name) + 1):
        if text[start][0] != name[0][0]:
            continue
        some = text[start : start + len(name)]
        if all(
            len(part) >= min(least, len(word)) and word.startswith(part) for part, word in zip(some, name, strict=True)
        ):
            return True
    return False


def _authors(text: _Text, authors: Sequence[str]) -> tuple[float, str]:
    """Family names as they are written: "young" and "long" are no authors."""
    known = dict.fromkeys(name.split(",")[0] if "," in name else _family(name) for name in authors)
    named = [name for name in known if _names(text, name)]
    if len(named) > 1:
        return AUTHORS, f"its authors {', '.join(named[:3])} are named"
    return (AUTHOR, f"its author {named[0]} is named") if named else (0.0, "")


def _names(text: _Text, family: str) -> bool:
    """A name of two letters only beside initials or "et al": "He" and "An" are words."""
    after = "" if len(family) > 2 else r"(?:,? (?:[A-Z]-?){1,3}(?![a-z])|,? et al)"
    return len(family) > 1 and re.search(rf"(?<!\w){re.escape(family)}(?!\w){after}", text.plain) is not None


def _family(author: str) -> str:
    """As printed: the last word that is not initials."""
    wanted = family_name(author)
    return next((word for word in reversed(author.split()) if normal_title(word).split(" ")[-1:] == [wanted]), "")


def _date(at: datetime | None, published: datetime | None) -> tuple[float, str]:
    if at is None or published is None:
        return 0.0, ""
    if at - BEFORE <= published <= at + AFTER:
        return DATE, ""
    return OTHER_TIME, "it is of another time"


def _one_study(one: Entry, other: Entry) -> bool:
    """A preprint and its paper, or two records of one."""
    if is_preprint(one.doi) == is_preprint(other.doi):
        return False
    return normal_title(one.title) == normal_title(other.title) and same_authors_of(one.authors, other.authors)
