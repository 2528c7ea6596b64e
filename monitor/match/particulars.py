"""What an article says of itself: source, authors, journal, provider, DOI, language."""

from __future__ import annotations

from monitor.model import Article, Term
from monitor.text import BARRIER, Folded, tokens, words_of


def particular_holds(term: Term, article: Article) -> bool:
    if term.field == "lang":
        return _language(article.language).split("-")[: len(term.text.split("-"))] == term.text.split("-")
    if term.field == "doi":
        doi = article.doi.lower()
        return doi.startswith(term.text) if term.prefix else doi == term.text
    if term.field == "author":
        return any(_is_author(term, name) for name in article.authors or (article.byline,))
    values = {
        "source": (article.source_slug,),
        "journal": (article.journal,),
        "provider": (article.provider, article.publisher),
    }[term.field]
    return any(_contains(value, term) for value in values)


def language_holds(languages: tuple[str, ...], article: Article) -> bool:
    """An article whose language is not known is not kept out."""
    if not languages or not article.language:
        return True
    primary = _language(article.language)
    return any(primary == wanted or primary.startswith(f"{wanted}-") for wanted in map(_language, languages))


def _language(code: str) -> str:
    return code.strip().lower().replace("_", "-")


def _contains(value: str, term: Term) -> bool:
    """`term`'s words stand in `value` side by side."""
    words, wanted = tokens(value), words_of(term.text)
    for start in range(len(words) - len(wanted) + 1):
        row = words[start : start + len(wanted)]
        if row == wanted or (term.prefix and row[:-1] == wanted[:-1] and row[-1].startswith(wanted[-1])):
            return True
    return False


def _is_author(term: Term, name: str) -> bool:
    """Every word is a part of the name or the first letter of one; "Smith JA" as PubMed writes it is John A. Smith."""
    parts = words_of(name)
    wanted = words_of(term.text)
    written = [token for token in Folded(term.text).cased if token != BARRIER]
    if len(wanted) > 1 and written[-1].isupper() and 2 <= len(written[-1]) <= 3:
        wanted = [*wanted[:-1], *wanted[-1]]  # initials
    left = list(parts)
    for index, word in enumerate(wanted):
        prefix = term.prefix and index == len(wanted) - 1
        found = next((p for p in left if p == word), None) or next(
            (p for p in left if (len(word) == 1 or prefix) and p.startswith(word)), None
        )
        if found is None:
            return False
        left.remove(found)
    return True
