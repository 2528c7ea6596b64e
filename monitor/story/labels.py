"""What kind of thing an article is, in words, each with the sentence that says so.

PubMed's publication types and MeSH headings come first. Else the text is asked, and it must claim the kind for itself:
not what others did, what was not done, or what should be done next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from monitor.identity import host_of, normal_doi
from monitor.model import Article, Badge
from monitor.story.evidence import Stage, is_notice, stage

MAX_QUOTE = 240
MAX_SENTENCES = 60
LEAD = 14  # sentences in which a text says what it is about; what comes later is about the world

PREPRINT, PRESS_RELEASE, NOTICE, RETRACTED = "Preprint", "Press release", "Notice", "Retracted"
META, REVIEW, TRIAL = "Meta-analysis", "Review", "Randomised trial"
OBSERVATIONAL, CASE = "Observational study", "Case report"
MICE, RATS, ANIMALS, VITRO = "In mice", "In rats", "In animals", "In vitro"
NO_PAPER, TRACED = "No paper found", "Paper found by its title"

_TYPES = {
    "Retracted Publication": RETRACTED,
    "Preprint": PREPRINT,
    "Meta-Analysis": META,
    "Network Meta-Analysis": META,
    "Systematic Review": REVIEW,
    "Review": REVIEW,
    "Scoping Review": REVIEW,
    "Randomized Controlled Trial": TRIAL,
    "Randomized Controlled Trial, Veterinary": TRIAL,
    "Pragmatic Clinical Trial": TRIAL,
    "Equivalence Trial": TRIAL,
    "Observational Study": OBSERVATIONAL,
    "Case Reports": CASE,
}
_MESH = {
    "Mice": MICE,
    "Rats": RATS,
    "Animals": ANIMALS,
    "In Vitro Techniques": VITRO,
    "Cohort Studies": OBSERVATIONAL,
    "Case-Control Studies": OBSERVATIONAL,
    "Cross-Sectional Studies": OBSERVATIONAL,
}
_STRAIN = re.compile(r"(Mice|Rats), ")  # "Mice, Inbred C57BL", "Rats, Sprague-Dawley"

# --- what a text says -----------------------------------------------------------------------------------------

_RANDOM = r"randomi[sz]ed"
_CREATURE = r"rabbits|pigs|piglets|macaques|marmosets|monkeys|dogs|sheep|zebrafish|ferrets|hamsters|fruit flies"
_WITH = r"\b(?:in|of|from|with|on|to|gave|fed|injected|treated|bred|engineered|studied|used|using) (?:\w+[\s-]){0,4}"
_THE = r"\b(?:the|these|both|all) "
_LIVED = r" (?:were|had|that|which|lost|gained|showed|lived|recovered)\b"
_PEOPLE = r"(?:patients|people|adults|children|participants|women|men|volunteers|infants|smokers)"
_SAYS = tuple(
    (label, re.compile(pattern, re.IGNORECASE))
    for label, pattern in (
        (META, r"\bmeta-?\s?analys[ei]s\b|\bmeta-?analy[sz]ed\b"),
        (REVIEW, r"\b(?:systematic|scoping|umbrella|narrative|cochrane|literature) reviews?\b"),
        (
            TRIAL,
            rf"\b{_RANDOM}[\w\s,-]{{0,40}}\b(?:trial|study|experiment)\b"
            rf"|\b(?:were|was|are) (?:randomly (?:assigned|allocated)|{_RANDOM} to|assigned (?:at random|randomly))\b"
            rf"|\b{_RANDOM} \d[\d, ]* (?:\w+ ){{0,2}}{_PEOPLE}\b|\bassigned at random\b",
        ),
        (
            OBSERVATIONAL,
            r"\b(?:observational|cohort|case-control|cross-sectional|registry-based|register-based|longitudinal)"
            r"[\w\s,-]{0,25}\b(?:study|analysis)\b|\b(?:birth|prospective|retrospective) cohort\b",
        ),
        (CASE, r"\bcase (?:report|series)\b"),
        (MICE, rf"{_WITH}(?:mice\b|mouse models?\b)|^mice\b|{_THE}mice{_LIVED}"),
        (RATS, rf"{_WITH}rats\b|\ba rat model\b|^rats\b|{_THE}rats{_LIVED}"),
        (ANIMALS, rf"{_WITH}(?:{_CREATURE}\b|an animal model)|^(?:{_CREATURE})\b|{_THE}(?:{_CREATURE}){_LIVED}"),
        (VITRO, r"\bin vitro\b|\bcultured (?:\w+ ){0,3}(?:cells|neurons|tissue)\b|\bcell lines?\b|\borganoids?\b"),
    )
)
_GATE = re.compile(
    r"meta|review|random|observ|cohort|case|cross|regist|longitud|mice|mouse|rat|animal|vitro|cultur|cell|organoid|"
    + _CREATURE,
    re.IGNORECASE,
)

# What sets a sentence's subject apart from its kind: others did it, it was not done, it is to come.
_WORK = r"stud(?:y|ies)|trials?|reviews?|meta-?analys[ei]s|experiments?|work|research|reports?|results|findings|data"
_OTHERS = re.compile(
    rf"\b(?:earlier|previous|prior|past|other|another|older|recent|existing|animal|most|some|many|several"
    rf"|numerous) (?:[\w-]+ ){{0,4}}(?:{_WORK})\b"
    r"|\b(?:has|have|had) (?:previously|already|long|only|so far|until now)\b"
    r"|\b(?:previously|earlier|formerly|so far|until now|in the past|years ago|others|elsewhere|a rival)\b",
    re.IGNORECASE,
)
_TO_COME = re.compile(
    r"\b(?:needs?|needed|requires?|required|awaits?|plans?|planned|planning|will|would|should|could|might|must|may"
    r"|calls? for|called for|calling for|begins? (?:in|with)|beginning|next|upcoming|future|further|until"
    r"|hopes?|hoping"
    r"|wants?|intends?|propose[sd]?|whether|if|only a|recruit\w*|preparing|prepares|designing|before)\b[^;:.]{0,60}$",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:not|no|never|nor|neither|without|isn't|wasn't|aren't|weren't|didn't|lack(?:s|ed|ing)?|absence of|rather than"
    r"|instead of|cannot|excluded|excluding|hardly|far from|short of|beyond|outside|unlike|contrary to|in contrast to"
    r"|compared (?:with|to)|apart from|yet to|free of|replac\w+|alternatives? to|avoid\w*)\b[^;:.]{0,60}$",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"[^;:.]{0,60}\b(?:is|are|was|were|be|being) (?:(?:still|now|also|therefore|clearly|urgently|being|already) ){0,3}"
    r"(?:needed|required|planned|necessary|under way|underway|missing|lacking|warranted|awaited|recruiting|due"
    r"|excluded|impossible|unethical|expected|scheduled|set to|not (?:done|possible|included|needed|yet))\b"
    r"|[^;:.]{0,40}\b(?:has|have) (?:not|yet to|never)\b"
    r"|[^;:,.]{0,30}\b(?:could|might|should|would|may|will|must) "
    r"|[^;:.]{0,20}\b(?:do(?:es)? not|cannot|begins? (?:in|next)|starts? (?:in|next))\b"
    r"|(?:s|es)? (?:are|is|remain|remains) (?:often|usually|the|a|an) (?:gold|highest|best|most|standard)"
    r"|[^;:,.]{0,12}\b(?:are|is|were|was) (?:no|not|hardly)\b",
    re.IGNORECASE,
)
_PRESS = re.compile(
    r"\b(?:for immediate release|media contacts?:|press contacts?:)|^(?:news release|press release)\b", re.IGNORECASE
)
_PRESS_HOSTS = frozenset(
    {"eurekalert.org", "prnewswire.com", "businesswire.com", "globenewswire.com", "newswise.com", "alphagalileo.org"}
)
_SENTENCE = re.compile(r"(?<=[.!?][\s\"”'’)])\s*(?=[\"“'‘(]?[A-Z0-9])|\n+")


@lru_cache(maxsize=2048)  # the same article stands in many readers' digests
def badges(article: Article) -> tuple[Badge, ...]:
    """What the article is, most telling first; never without the words that say so."""
    found: dict[str, Badge] = {}
    for badge in (*_by_index(article), *_by_place(article), *_by_text(article)):
        found.setdefault(badge.text, badge)
    if META in found:
        found.pop(REVIEW, None)
    if found.keys() & {MICE, RATS}:
        found.pop(ANIMALS, None)
    if (none := _no_paper(article, found)) is not None:
        found[none.text] = none
    if article.doi and article.doi_evidence:
        by = article.doi_evidence.partition(" ")[0]  # "Crossref has “Title” …"
        found[TRACED] = Badge(text=TRACED, quote=_cut(article.doi_evidence), by=by)
    return tuple(sorted(found.values(), key=lambda badge: _ORDER.index(badge.text)))


_ORDER = (
    RETRACTED, NOTICE, PREPRINT, META, REVIEW, TRIAL, OBSERVATIONAL, CASE, MICE, RATS, ANIMALS, VITRO, PRESS_RELEASE,
    NO_PAPER, TRACED,
)  # fmt: skip
_DESIGNS = frozenset({META, REVIEW, TRIAL, OBSERVATIONAL, CASE})
_CREATURES = frozenset({MICE, RATS, ANIMALS, VITRO})


def _by_index(article: Article) -> Iterator[Badge]:
    for name in article.publication_types:
        if name in _TYPES:
            yield Badge(text=_TYPES[name], quote=f"PubMed publication type: {name}", by="PubMed")
    human = "Humans" in article.mesh
    for heading in article.mesh:
        plain = heading.partition("/")[0].lstrip("*")
        strain = _STRAIN.match(plain)
        text = _MESH.get(strain[1] if strain else plain)
        if text == ANIMALS and human:
            continue
        if text is not None:
            yield Badge(text=text, quote=f"MeSH heading: {plain}", by="PubMed")


def _by_place(article: Article) -> Iterator[Badge]:
    address = article.canonical_url or article.url
    host = host_of(address)
    if is_notice(article.title):
        yield Badge(text=NOTICE, quote=_cut(article.title), by="title")
    if stage(article) is Stage.PREPRINT:
        doi = normal_doi(article.doi)
        yield Badge(text=PREPRINT, quote=f"On a preprint server: {doi or host}", by="address")
    if any(host == site or host.endswith(f".{site}") for site in _PRESS_HOSTS):
        yield Badge(text=PRESS_RELEASE, quote=f"On a site for press releases: {host}", by="address")
    elif stage(article) is Stage.NEWS:
        for line in article.body.split("\n"):
            if len(line) <= MAX_QUOTE and _PRESS.search(line):
                yield Badge(text=PRESS_RELEASE, quote=_cut(line), by="text")
                break
        else:
            if host in _REPUBLISHERS and article.provider and article.provider.casefold() not in _AGENCIES:
                yield Badge(text=PRESS_RELEASE, quote=f"Provided by {_cut(article.provider)}", by="text")


# Sites that print an institution's release under "Provided by …"; elsewhere a provider is only the site's own name.
_REPUBLISHERS = frozenset({"medicalxpress.com", "phys.org", "techxplore.com", "sciencedaily.com"})
_AGENCIES = frozenset({"afp", "healthday", "associated press", "the conversation", "kff health news", "reuters"})


def _by_text(article: Article) -> Iterator[Badge]:
    """Only what the index did not say: it has read the whole paper, we its words."""
    indexed = {badge.text for badge in _by_index(article)}
    skip = (_DESIGNS if indexed & _DESIGNS else frozenset()) | (_CREATURES if indexed & _CREATURES else frozenset())
    if article.mesh and "Humans" in article.mesh:
        skip |= _CREATURES
    for by, text in (("title", article.title), ("text", article.summary), ("text", article.body)):
        for sentence in sentences(text)[:LEAD]:
            for label in said(sentence):
                if label not in skip:
                    yield Badge(text=label, quote=_cut(sentence), by=by)


def said(sentence: str) -> tuple[str, ...]:
    """The kinds that one sentence claims for the study that it tells of."""
    if not _GATE.search(sentence) or len(sentence) > 1_500 or sentence.rstrip().endswith("?"):
        return ()
    claimed = []
    for label, pattern in _SAYS:
        for found in pattern.finditer(sentence):
            if _claims(sentence, label, found.start(), found.end()):
                claimed.append(label)
                break
    return tuple(claimed)


_NEW_CLAUSE = (";", ": ", " but ", " – ", " — ")


def _claims(sentence: str, label: str, start: int, end: int) -> bool:
    """Does the sentence say it of this study: not denied, not of others, not for later?"""
    clause = max(
        (place + len(sign) for sign in _NEW_CLAUSE if (place := sentence.rfind(sign, 0, start)) >= 0), default=0
    )
    before, after = sentence[clause:start], sentence[end:]
    if label in _CREATURES:  # its own "with" may be that of "compared with"
        before = sentence[clause:end].rpartition(" ")[0]
    if _NOT.search(before) or _TO_COME.search(before) or _AFTER.match(after):
        return False
    about = (start, end + 10) if label in (META, REVIEW) else (0, len(sentence))  # those are about other studies
    return not any(found.start() < about[1] and found.end() > about[0] for found in _OTHERS.finditer(sentence))


def sentences(text: str) -> list[str]:
    return [one.strip() for one in _SENTENCE.split(text[:20_000])[:MAX_SENTENCES] if one and one.strip()]


def _no_paper(article: Article, found: dict[str, Badge]) -> Badge | None:
    """A news story about "a study" that names none: no DOI, no PMID, no journal."""
    if stage(article) is not Stage.NEWS or article.doi or article.pmid or article.journal or NOTICE in found:
        return None
    for sentence in (*sentences(article.title), *sentences(article.summary), *sentences(article.body)[:LEAD]):
        if _STUDY.search(sentence):
            return Badge(text=NO_PAPER, quote=_cut(sentence), by="text")
    return None


_STUDY = re.compile(
    r"\b(?:new|the|a|this|their|our|latest) (?:\w+ ){0,2}(?:study|trial|research|analysis) (?:\w+ )?"
    r"(?:finds?|found|shows?|showed|suggests?|suggested|reports?|reported|reveals?|revealed|of \d)",
    re.IGNORECASE,
)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_QUOTE else line[: MAX_QUOTE - 1].rsplit(" ", 1)[0] + "…"
