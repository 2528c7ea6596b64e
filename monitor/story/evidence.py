"""What an article shows of the study behind it: its names (addresses, DOI, PMID, titles) and its text's shingles."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from hashlib import blake2b

from monitor.identity import doi_in_url, host_of, normal_doi, normal_title, url_key
from monitor.model import Article
from monitor.story.shingles import MAX_CHARS, shingles

MIN_TITLE_WORDS = 4  # "Correction", "Research highlights" and "In brief" name nothing
MIN_TITLE_CHARS = 25
MIN_WORK_WORDS = 5  # a title that others quote, over any distance in time
MIN_WORK_CHARS = 35
MAX_QUOTED = 40
_PREPRINT_DOI = re.compile(r"10\.(?:1101|64898|21203|48550|20944|2139|31219|31234|36227)/")
_PREPRINT_HOSTS = frozenset({"medrxiv.org", "biorxiv.org", "arxiv.org", "researchsquare.com", "preprints.org"})
_NEWS_DOI = re.compile(r"10\.1038/d41586-")  # Nature's news items have a DOI of their own
_NOTICE = re.compile(
    r"\W{0,3}(?:notice of )?(?:partial )?(?:retract(?:ion|ed)|withdraw(?:al|n)|removed|expression of concern|erratum"
    r"|corrigendum|corrections?|author correction|publisher correction)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile('[“"]([^“”"\n]{35,300})[”"]')
_CITED = ("doi", "journal", "publi", "reference", "information", "source:", "citation", "et al")
TAIL = 1_500  # of a text: where sources stand
_PIECES = re.compile(r"[.?!;:]\s+|,\s+|\s+[|–—]\s+|\n")


class Stage(IntEnum):
    """How far a study has come in this article."""

    NEWS = 0
    PREPRINT = 1
    PAPER = 2


def stage(article: Article) -> Stage:
    """Is it the paper itself, its preprint, or somebody's words about it? A news story names another's DOI."""
    doi = normal_doi(article.doi)
    own = bool(doi) and (article.key == f"doi:{doi}" or normal_doi(doi_in_url(article.canonical_url)) == doi)
    host = host_of(article.canonical_url or article.url)
    if "Preprint" in article.publication_types and own:
        return Stage.PREPRINT
    if host in _PREPRINT_HOSTS or (own and _PREPRINT_DOI.match(doi)):
        return Stage.PREPRINT
    if host == "pubmed.ncbi.nlm.nih.gov" or (own and not _NEWS_DOI.match(doi)):
        return Stage.PAPER
    return Stage.NEWS


def is_preprint(doi: str) -> bool:
    """Is this normal DOI one of a preprint server's?"""
    return _PREPRINT_DOI.match(doi) is not None


def is_notice(title: str) -> bool:
    """Does the title say that this is a notice about a paper, not the paper?"""
    return _NOTICE.match(title) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`names` are those that no other study has (keys of `name`). `title` holds for a week, `work` for ever: the title
    of a paper or a preprint. `quoted` are titles of works that a news story seems to name.
    """

    article_id: int
    stage: Stage
    source_id: int
    at: datetime
    doi: str
    names: tuple[int, ...]
    title: int | None
    work: int | None
    quoted: tuple[int, ...]
    shingles: frozenset[int]


def evidence(article: Article, at: datetime) -> Evidence:
    """`at` is when it was stored: weeks count from then, for a page may bear any date."""
    doi = normal_doi(article.doi)
    kind = stage(article)
    notice = is_notice(article.title)
    names = [name("url", url_key(article.canonical_url or article.url))] if article.canonical_url or article.url else []
    names += [name("doi", one) for one in (doi, *article.versions) if one and not _NEWS_DOI.match(one)]
    names += [name("pmid", article.pmid)] if article.pmid else []
    title = normal_title(article.title)
    words = title.count(" ") + 1
    plain = words >= MIN_TITLE_WORDS and len(title) >= MIN_TITLE_CHARS and not notice
    return Evidence(
        article_id=article.id,
        stage=kind,
        source_id=article.source_id,
        at=at,
        doi=doi,
        names=tuple(names),
        title=name("title", title) if plain else None,
        work=name("work", title) if kind and is_work(title) and not notice else None,
        quoted=tuple(name("work", one) for one in quoted_titles(article)) if kind is Stage.NEWS and not doi else (),
        shingles=frozenset() if notice else shingles(article.body or article.summary),
    )


def is_work(title: str) -> bool:
    """Is this normal title long enough to be known by it?"""
    return title.count(" ") + 1 >= MIN_WORK_WORDS and len(title) >= MIN_WORK_CHARS


def quoted_titles(article: Article) -> tuple[str, ...]:
    """Normal titles of works that a news story names: between quotation marks, or in a line that cites."""
    found = dict.fromkeys(normal_title(quote) for quote in quotes(article))
    for line in citing(article):
        pieces = _PIECES.split(line)
        for start in range(len(pieces)):  # a title may hold a colon or a comma itself
            for stop in range(start + 1, min(start + 4, len(pieces)) + 1):
                found[normal_title(" ".join(pieces[start:stop]))] = None
    if not found:
        return ()
    own = normal_title(article.title)
    return tuple(title for title in found if is_work(title) and title != own)[:MAX_QUOTED]


def quotes(article: Article) -> list[str]:
    """What stands between quotation marks and is as long as a title may be."""
    texts = (article.summary, article.body[:MAX_CHARS])
    return [quote[1] for text in texts if "“" in text or '"' in text for quote in _QUOTED.finditer(text)]


def citing(article: Article) -> list[str]:
    """Lines at the end of a text, or its citation, that seem to name a source."""
    ends = f"{article.summary[-TAIL:]}\n{article.body[-TAIL:]}\n{article.citation[-TAIL:]}"
    lines = (line for line in ends.split("\n") if MIN_WORK_CHARS <= len(line) <= 1_000)
    return [line for line in lines if (lowered := line.lower()) and any(sign in lowered for sign in _CITED)]


def vouches(news: Article, work: Article) -> bool:
    """Does a news story that names a work's title name its journal, too, or one of its authors?"""
    text = f" {normal_title(f'{news.title} {news.summary} {news.body} {news.journal} {news.citation}')} "
    journal = normal_title(work.journal)
    if len(journal) > 3 and f" {journal} " in text:
        return True
    return any(len(family) > 2 and f" {family} " in text for family in map(family_name, work.authors))


def same_authors(one: Article, other: Article) -> bool:
    """Have two works an author in common? Without authors on one side nobody can say."""
    return same_authors_of(one.authors, other.authors)


def same_authors_of(some: Iterable[str], others: Iterable[str]) -> bool:
    mine, theirs = ({family_name(name) for name in names} - {""} for names in (some, others))
    return bool(mine & theirs)


def family_name(author: str) -> str:
    """`Xu, J-T` and `Ji-Tian Xu` both give `xu`; `Renner BQ` gives `renner`."""
    before, comma, _ = author.partition(",")
    if comma:
        return normal_title(before)
    words = author.split()
    while len(words) > 1 and words[-1].isupper() and len(words[-1]) <= 3:
        words.pop()  # initials behind the name
    return normal_title(words[-1]).split(" ")[-1] if words and normal_title(words[-1]) else ""


def name(kind: str, text: str) -> int:
    """A number of 63 bits that stands for one name of one kind."""
    digest = blake2b(f"{kind}:{text}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
