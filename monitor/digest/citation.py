"""Articles -> references for a reader's own library: RIS, BibTeX, CSL-JSON, and one plain line.

A news story that reports on a paper is cited as the news story it is: the paper's DOI goes into the note, not into the
DOI field, or a reference manager would take the one for the other.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, date
from enum import StrEnum
from urllib.parse import urlsplit

from monitor.digest.cards import doi_address, web_address
from monitor.digest.excerpt import tidy
from monitor.digest.wording import day
from monitor.model import Article


class Kind(StrEnum):
    JOURNAL = "journal"
    PREPRINT = "preprint"
    NEWS = "news"


PREPRINT_HOSTS = (
    "biorxiv.org",
    "medrxiv.org",
    "arxiv.org",
    "researchsquare.com",
    "preprints.org",
    "ssrn.com",
    "osf.io",
    "authorea.com",
    "chemrxiv.org",
    "psyarxiv.com",
)
_RIS_TYPES = {Kind.JOURNAL: "JOUR", Kind.PREPRINT: "UNPB", Kind.NEWS: "NEWS"}
_BIBTEX_TYPES = {Kind.JOURNAL: "article", Kind.PREPRINT: "misc", Kind.NEWS: "misc"}
_CSL_TYPES = {Kind.JOURNAL: "article-journal", Kind.PREPRINT: "article", Kind.NEWS: "article-newspaper"}
_BIBTEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "%": r"\%",
        "&": r"\&",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)
_SMALL_WORDS = frozenset(
    re.findall(r"\w+", "a an and are as at by for from how in is it of on or that the to what when with")
)
ABSTRACT_CHARS = 3000
_INSTITUTION = re.compile(r"\b(?:and|of|for|the)\b|&", re.IGNORECASE)


def kind(article: Article) -> Kind:
    """What it is, from what its page says: a preprint server's page, a paper's own page, else news."""
    address = article.canonical_url or article.url
    host = _host(address)
    if any(host == name or host.endswith("." + name) for name in PREPRINT_HOSTS):
        return Kind.PREPRINT
    if article.pmid or (article.doi and article.doi.casefold() in address.casefold()):
        return Kind.JOURNAL
    retold = article.provider or article.citation or article.byline  # what only news pages carry
    return Kind.JOURNAL if article.doi and article.journal and not retold else Kind.NEWS


def to_ris(articles: Iterable[Article]) -> str:
    """RIS, lines ending in CRLF; one record from TY to ER for each article."""
    return "\r\n".join(line for article in articles for line in [*_ris(article), ""])


def to_bibtex(articles: Sequence[Article]) -> str:
    """BibTeX with unique keys such as Duarte2026sublingual, everything escaped."""
    used: dict[str, int] = {}
    return "\n".join(_bibtex(article, _unique(_key(article), used)) for article in articles)


def to_csl_json(articles: Sequence[Article]) -> str:
    """CSL-JSON, a list of items with unique ids."""
    used: dict[str, int] = {}
    items = [_csl(article, _unique(_key(article), used)) for article in articles]
    return json.dumps(items, ensure_ascii=False, indent=1) + "\n"


def cite_text(article: Article) -> str:
    """Duarte I, Mori K, Sarr F, et al. Title. Journal. 21 Nov 2026. https://doi.org/…"""
    names = [_name_text(*_split_name(author)) for author in article.authors[:3]]
    who = ", ".join(name for name in names if name) + (", et al" if len(article.authors) > 3 else "")
    parts = [who, tidy(article.title, 500).rstrip("."), _container(article)]
    if article.published:
        parts.append(day(article.published))
    line = ". ".join(part for part in parts if part)
    return f"{line}. {_own_doi_address(article) or _address(article)}".strip()


# --- one record of each ---------------------------------------------------------------------------------------


def _ris(article: Article) -> list[str]:
    what = kind(article)
    fields: list[tuple[str, str]] = [("TY", _RIS_TYPES[what]), ("TI", tidy(article.title, 500))]
    fields += [("AU", ", ".join(filter(None, _split_name(author)))) for author in article.authors]
    fields.append(("T2", _container(article)))
    if article.published:
        when = _date(article)
        fields += [("PY", str(when.year)), ("DA", f"{when:%Y/%m/%d}")]
    fields += [
        ("DO", article.doi if what is not Kind.NEWS else ""),
        ("AN", article.pmid),
        ("UR", _address(article)),
        ("LA", tidy(article.language, 20)),
        ("AB", tidy(article.summary, ABSTRACT_CHARS)),
        ("N1", _note(article)),
    ]
    return [f"{tag}  - {tidy(value)}" for tag, value in fields if value] + ["ER  - "]


def _bibtex(article: Article, key: str) -> str:
    what = kind(article)
    fields = {
        "title": f"{{{_bib(article.title)}}}" if article.title else "",  # braces keep mTOR from becoming mtor
        "author": " and ".join(_bibtex_name(author) for author in article.authors),
        "journal" if what is Kind.JOURNAL else "howpublished": _bib(_container(article)),
        "year": str(_date(article).year) if article.published else "",
        "month": f"{_date(article):%m}".lstrip("0") if article.published else "",
        "doi": _bib(article.doi) if what is not Kind.NEWS else "",
        "pmid": _bib(article.pmid),
        "url": _bib_url(_address(article)),
        "note": _bib(_note(article)),
    }
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@{_BIBTEX_TYPES[what]}{{{key},\n{lines}}}\n"


def _csl(article: Article, key: str) -> dict[str, object]:
    what = kind(article)
    item: dict[str, object] = {"id": key, "type": _CSL_TYPES[what], "title": tidy(article.title, 500)}
    if article.authors:
        item["author"] = [_csl_name(author) for author in article.authors]
    if article.published:
        when = _date(article)
        item["issued"] = {"date-parts": [[when.year, when.month, when.day]]}
    texts = {
        "publisher" if what is Kind.PREPRINT else "container-title": _container(article),
        "DOI": article.doi if what is not Kind.NEWS else "",
        "PMID": article.pmid,
        "URL": _address(article),
        "language": article.language,
        "abstract": tidy(article.summary, ABSTRACT_CHARS),
        "note": _note(article),
    }
    return item | {name: tidy(value) for name, value in texts.items() if value}


# --- their parts ----------------------------------------------------------------------------------------------


def _container(article: Article) -> str:
    """Of a paper its journal; of a news story the place that printed it, not the journal that it reports on."""
    if kind(article) is Kind.NEWS:
        return tidy(article.publisher or article.source_slug.replace("-", " ").title() or _host(article.url), 200)
    return tidy(article.journal or article.publisher or article.provider, 200)


def _note(article: Article) -> str:
    """Of a news story, the paper behind it."""
    if kind(article) is not Kind.NEWS or not (article.doi or article.journal):
        return ""
    return " ".join(filter(None, ("Reports on", tidy(article.journal, 200), doi_address(article.doi)))) + "."


def _address(article: Article) -> str:
    return web_address(article.canonical_url) or web_address(article.url)


def _own_doi_address(article: Article) -> str:
    return doi_address(article.doi) if kind(article) is not Kind.NEWS else ""


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def _date(article: Article) -> date:
    if article.published is None:
        raise ValueError("the article has no date")
    return article.published.astimezone(UTC).date()


def _split_name(author: str) -> tuple[str, str]:
    """(family, given). "Li, Wei" says it itself; "J. P. van der Berg" keeps its particle.

    One word, and an institution ("Ministry of Food and Health"), is a family name without a given one.
    """
    name = tidy(author, 120)
    if _INSTITUTION.search(name):
        return name, ""
    if "," in name:
        family, _, given = name.partition(",")
        return family.strip(), given.strip()
    words = name.split()
    if len(words) < 2:
        return name, ""
    cut = len(words) - 1
    while cut > 1 and words[cut - 1][:1].islower():
        cut -= 1
    return " ".join(words[cut:]), " ".join(words[:cut])


def _name_text(family: str, given: str) -> str:
    initials = "".join(word[0] for word in re.split(r"[\s.-]+", given) if word)
    return f"{family} {initials}".strip()


def _bibtex_name(author: str) -> str:
    family, given = _split_name(author)
    if not given:
        return f"{{{_bib(family)}}}" if " " in family else _bib(family)  # braces: one author, whatever " and " it holds
    return ", ".join(_bib(part) for part in (family, given) if part)


def _csl_name(author: str) -> dict[str, str]:
    family, given = _split_name(author)
    return {"family": family, "given": given} if given else {"literal": family}


def _bib(text: str) -> str:
    return tidy(text).translate(_BIBTEX_ESCAPES)


def _bib_url(url: str) -> str:
    """An address may hold % and _, which url fields take verbatim; braces and backslashes would break the record."""
    return url.replace("\\", "%5C").replace("{", "%7B").replace("}", "%7D")


def _key(article: Article) -> str:
    """Duarte2026sublingual: first family name, year, first telling word of the title, in ASCII."""
    family = _ascii(_split_name(article.authors[0])[0]) if article.authors else "Anon"
    year = str(_date(article).year) if article.published else ""
    words = [word for word in map(_ascii, tidy(article.title, 200).lower().split()) if word not in _SMALL_WORDS]
    return f"{family or 'Anon'}{year}{next(filter(None, words), '')}"[:60]


def _ascii(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", unicodedata.normalize("NFKD", text))


def _unique(key: str, used: dict[str, int]) -> str:
    """`key`, or with b, c, … z, 27 … behind it where it is taken."""
    used[key] = number = used.get(key, 0) + 1
    if number == 1:
        return key
    return f"{key}{chr(ord('a') + number - 1) if number <= 26 else number}"
