"""PubMed by E-utilities: esearch puts a search on NCBI's history server, efetch brings its records chunk by chunk.

Errors come as 200 with an ERROR in XML or JSON; counts are strings; of one search only the first 9,999 records can be
fetched, so a broad one is cut into slices of days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, cast

from lxml import etree

from monitor.errors import ParseError
from monitor.identity import find_doi, normal_title, trial_ids
from monitor.model import Correction, Entry, Feed, Source
from monitor.parse.answers import dig, each, list_at, number_at, read_json, text_at
from monitor.parse.asking import (
    XML,
    Access,
    Harvest,
    Harvested,
    Request,
    Step,
    address,
    check_breadth,
    needed,
    overlap_of,
    start_of,
)
from monitor.parse.charset import decode
from monitor.parse.dates import parse_date
from monitor.parse.entry import language_code
from monitor.parse.plain import MAX_LINE, MAX_TEXT, clean, plain_line
from monitor.parse.wrong import why_no_feed
from monitor.story.corrections import from_pubmed

BASE = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/"
MOST = 9_999
LATE_DAYS = 2  # PubMed dates by the day, and by its own clock
LONG_URL = 2_000
TITLE_WORDS = 12  # by which a paper is looked for
AT_ONCE = 200  # records asked for by their PMIDs; more of them need a form
SAYS = "PubMed says"
MOST_UNREADABLE = 10  # records of one visit; more is no flaw of single records
_DAY = timedelta(days=1)
_LANGUAGES = {"eng": "en", "ger": "de", "fre": "fr", "spa": "es", "ita": "it", "por": "pt", "dut": "nl", "chi": "zh",
              "jpn": "ja", "rus": "ru", "pol": "pl", "kor": "ko", "tur": "tr", "und": ""}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Search:
    """A search as the history server keeps it."""

    count: int
    environment: str
    key: str
    unknown: tuple[str, ...] = ()  # phrases that PubMed does not know
    ids: tuple[str, ...] = ()


class _Visit:
    """One visit to one saved search."""

    def __init__(self, source: Source, access: Access, now: datetime) -> None:
        self.source = source
        self.access = access
        self.now = now
        self.base = source.url or BASE
        self.start = start_of(source, access, now, overlap_of(source, LATE_DAYS))
        self.remarks: dict[str, None] = {}
        self.unreadable = 0
        self.checked = False

    def slice(self, first: date, last: date) -> Step:
        """Everything that was entered from `first` to `last`."""
        search: Search = yield self.search(first, last)
        if not self.checked:
            check_breadth(self.source, search.count, self.access, self.start)
            self.checked = True
            self.remarks |= {f"PubMed does not know {phrase!r}": None for phrase in search.unknown}
        if search.count > MOST and first < last:
            middle = first + (last - first) // 2
            yield from self.slice(middle + _DAY, last)
            yield from self.slice(first, middle)
            return
        if search.count > MOST:
            self.remarks[f"{search.count - MOST:,} records of {first} are beyond what PubMed gives"] = None
        reachable = min(search.count, MOST)
        for begin in range(0, reachable, self.access.chunk):
            yield from self.chunk(search, begin, min(self.access.chunk, reachable - begin))

    def chunk(self, search: Search, begin: int, size: int) -> Step:
        """Some records; where the answer stays unreadable, its halves, so that one bad record costs only itself."""
        try:
            feed: Feed = yield self.fetch(search, begin, size)
        except ParseError as error:
            if error.reason.startswith(SAYS):  # it is no record's fault
                raise
            if size == 1:
                self.unreadable += 1
                if self.unreadable > MOST_UNREADABLE:
                    raise
                self.remarks[f"record {begin + 1} of {search.count} is unreadable ({error.reason})"] = None
                return
            half = size // 2
            yield from self.chunk(search, begin, half)
            yield from self.chunk(search, begin + half, size - half)
            return
        if len(feed.entries) < size:
            self.remarks[f"{size - len(feed.entries)} of {size} records were not given"] = None
        yield feed

    def search(self, first: date, last: date) -> Request:
        asked = (
            ("db", "pubmed"), ("term", needed(self.source, "query")), ("retmode", "json"), ("retmax", "0"),
            ("usehistory", "y"), ("datetype", self.source.option("date", "edat")), ("mindate", f"{first:%Y/%m/%d}"),
            ("maxdate", f"{last:%Y/%m/%d}"),
        )  # fmt: skip
        url = address(self.base, "esearch.fcgi", asked)
        if len(url) <= LONG_URL:
            return self._request(url, read_search)
        return self._request(address(self.base, "esearch.fcgi"), read_search, form=asked)

    def fetch(self, search: Search, begin: int, size: int) -> Request:
        asked = (
            ("db", "pubmed"), ("retmode", "xml"), ("WebEnv", search.environment), ("query_key", search.key),
            ("retstart", str(begin)), ("retmax", str(size)),
        )  # fmt: skip
        url = address(self.base, "efetch.fcgi", asked)
        return self._request(url, read_records, accept=XML, arguments={"expected": size})

    def _request(self, url: str, read: Any, **more: Any) -> Request:
        return Request(url=url, read=read, keys=self.access.pubmed_keys, delay=self.access.pubmed_delay, **more)


def harvest_pubmed(source: Source, access: Access, now: datetime) -> Harvest:
    """What a saved search (option `query`) finds that was entered since the last complete visit."""
    visit = _Visit(source, access, now)
    yield from visit.slice(visit.start.date(), (now + _DAY).date())  # in Tokyo it is tomorrow
    return Harvested(since=now, remarks=tuple(visit.remarks))


# --- asking for single papers -----------------------------------------------------------------------------------


def find_request(doi: str, access: Access, base: str = BASE) -> Request:
    """Which records carry this DOI."""
    url = address(
        base, "esearch.fcgi", (("db", "pubmed"), ("term", f'"{doi}"[AID]'), ("retmode", "json"), ("retmax", "3"))
    )
    return Request(url=url, read=read_search, keys=access.pubmed_keys, delay=access.pubmed_delay)


def title_request(title: str, access: Access, base: str = BASE) -> Request:
    """Which records have these words in their titles."""
    words = [f"{word}[ti]" for word in normal_title(title).split() if len(word) > 3][:TITLE_WORDS]
    asked = (("db", "pubmed"), ("term", " AND ".join(words)), ("retmode", "json"), ("retmax", "5"))
    url = address(base, "esearch.fcgi", asked)
    return Request(url=url, read=read_search, keys=access.pubmed_keys, delay=access.pubmed_delay)


def record_request(pmids: list[str], access: Access, base: str = BASE) -> Request:
    """The records of these PMIDs."""
    asked = (("db", "pubmed"), ("retmode", "xml"), ("id", ",".join(pmids)))
    many = len(pmids) > AT_ONCE
    url = address(base, "efetch.fcgi", () if many else asked)
    return Request(
        url=url,
        read=read_records,
        accept=XML,
        form=asked if many else (),
        keys=access.pubmed_keys,
        delay=access.pubmed_delay,
    )


# --- reading the answers ----------------------------------------------------------------------------------------


def read_search(body: bytes, *, url: str) -> Search:
    """Raises ParseError, also for an error that comes as a success."""
    if (text := decode(body[:4_000]).lstrip("\ufeff \t\r\n"))[:1] == "<":
        raise ParseError(url, _xml_error(text) or why_no_feed(text).replace("a feed was", "JSON was"))
    answer = read_json(body, url=url)
    result = dig(answer, "esearchresult")
    error = text_at(result, "ERROR") or text_at(answer, "error") or text_at(answer, "ERROR")
    if error or not isinstance(result, dict) or not text_at(result, "count").isdigit():
        raise ParseError(url, f"{SAYS}: {clean(error)[:200]}" if error else "not the answer of a search")
    return Search(
        count=number_at(result, "count"),
        environment=text_at(result, "webenv")[:500],
        key=text_at(result, "querykey")[:20],
        unknown=each(p for p in list_at(result, "errorlist", "phrasesnotfound") if isinstance(p, str)),
        ids=tuple(number for number in list_at(result, "idlist") if isinstance(number, str) and number.isdecimal()),
    )


def read_records(body: bytes, *, url: str, expected: int = 0) -> Feed:
    """The records of a PubmedArticleSet. Raises ParseError for anything incomplete, so that it is asked for again."""
    text = decode(body).lstrip("\ufeff \t\r\n")
    parser = etree.XMLPullParser(
        ("end",), tag=("PubmedArticle", "PubmedBookArticle"), resolve_entities=False, load_dtd=False, no_network=True,
        huge_tree=False, remove_comments=True, remove_pis=True, collect_ids=False,
    )  # fmt: skip
    entries: list[Entry] = []
    corrections: list[Correction] = []
    data = _without_declaration(text).encode("utf-8", "replace")
    try:
        for start in range(0, len(data), 65_536):
            parser.feed(data[start : start + 65_536])
            for _, event in parser.read_events():
                record = cast("etree._Element", event)
                if entry := read_record(record):
                    entries.append(entry)
                    corrections += _corrections(record, entry)
                record.clear()
        root = parser.close()
    except etree.XMLSyntaxError as error:
        reason = _xml_error(text[:4_000]) or (
            f"cut off or broken after {len(entries)} complete records"
            if "<Pubmed" in text[:4_000]
            else why_no_feed(text)
        )
        raise ParseError(url, reason) from error
    if root.tag != "PubmedArticleSet":
        raise ParseError(url, _xml_error(text[:4_000]) or why_no_feed(text).replace("a feed was", "records were"))
    if expected and not entries:
        raise ParseError(url, _xml_error(text[:4_000]) or f"no record came where {expected} were expected")
    return Feed(title="PubMed", entries=tuple(entries), url=url, corrections=tuple(corrections))


def _corrections(record: etree._Element, entry: Entry) -> tuple[Correction, ...]:
    """What a record says of itself (RetractionIn) and, where it is a notice, of others (RetractionOf)."""
    told = record.iterfind("MedlineCitation/CommentsCorrectionsList/CommentsCorrections")
    references = [(one.get("RefType", ""), _pmid(_text(one, "PMID"))) for one in told]
    found = from_pubmed(entry.pmid, entry.doi, entry.publication_types, references)
    return tuple(replace(one, title=entry.title[:MAX_LINE]) if one.pmid == entry.pmid else one for one in found)


def _pmid(text: str) -> str:
    """Some references name no PMID, but where they were printed only."""
    return text if text.isdecimal() else ""


def read_record(record: etree._Element) -> Entry | None:
    """One PubmedArticle or PubmedBookArticle; None without a PMID."""
    if record.tag == "PubmedBookArticle":
        return _book(record)
    citation = record.find("MedlineCitation")
    article = record.find("MedlineCitation/Article")
    pmid = _text(record, "MedlineCitation/PMID")
    if citation is None or article is None or not pmid.isdecimal():
        return None
    title = _text(article, "ArticleTitle").rstrip()
    title = title if title and title != "[Not Available]." else _text(article, "VernacularTitle") or title
    abstract = _abstract(article.find("Abstract"))
    data = record.find("PubmedData")
    numbers = [
        _all_text(e) for e in citation.iterfind("Article/DataBankList/DataBank/AccessionNumberList/AccessionNumber")
    ]
    return Entry(
        url=f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/",
        guid=f"pmid:{pmid}",
        title=_title(title),
        published=_published(article, data),
        authors=_authors(article.find("AuthorList")),
        summary=abstract,
        doi=_doi(article, data),
        pmid=pmid,
        journal=_text(article, "Journal/Title") or _text(article, "Journal/ISOAbbreviation"),
        categories=each((_all_text(e) for e in citation.iterfind("KeywordList/Keyword")), 50),
        language=_language(_text(article, "Language")),
        mesh=each(_all_text(e) for e in citation.iterfind("MeshHeadingList/MeshHeading/DescriptorName")),
        publication_types=each(_all_text(e) for e in article.iterfind("PublicationTypeList/PublicationType")),
        trial_ids=each((*trial_ids(" ".join(numbers)), *trial_ids(abstract))),
        open_access_url=_pmc(data),
    )


def _book(record: etree._Element) -> Entry | None:
    document = record.find("BookDocument")
    pmid = "" if document is None else _text(document, "PMID")
    if document is None or not pmid.isdecimal():
        return None
    chapter, book = _text(document, "ArticleTitle"), _text(document, "Book/BookTitle")
    date = next(
        (_date(e) for path in ("ContributionDate", "Book/PubDate") if (e := document.find(path)) is not None), None
    )
    ids = [_all_text(e) for e in document.iterfind("ArticleIdList/ArticleId") if e.get("IdType") == "doi"]
    return Entry(
        url=f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/",
        guid=f"pmid:{pmid}",
        title=_title(chapter or book),
        published=date,
        authors=_authors(document.find("AuthorList")),
        summary=_abstract(document.find("Abstract")),
        doi=next(filter(None, map(find_doi, ids)), ""),
        pmid=pmid,
        journal=book if chapter else "",
        language=_language(_text(document, "Language")),
        publication_types=each(_all_text(e) for e in document.iterfind("PublicationType")),
    )


def _title(text: str) -> str:
    return text[:-1] if text.endswith(".") and not text.endswith("..") else text


def _abstract(abstract: etree._Element | None) -> str:
    paragraphs = []
    for part in abstract.iterfind("AbstractText") if abstract is not None else ():
        label, text = clean(part.get("Label", "")), _all_text(part)
        if text:
            paragraphs.append(f"{label}: {text}" if label and label.upper() != "UNLABELLED" else text)
    return "\n\n".join(paragraphs)[:MAX_TEXT]


def _authors(authors: etree._Element | None) -> tuple[str, ...]:
    names = []
    for author in authors.iterfind("Author") if authors is not None else ():
        if author.get("ValidYN") == "N":
            continue
        own = (
            _text(author, "ForeName") or _text(author, "Initials"),
            _text(author, "LastName"),
            _text(author, "Suffix"),
        )
        names.append(" ".join(part for part in own if part) or _text(author, "CollectiveName"))
    return each(names)


def _published(article: etree._Element, data: etree._Element | None) -> datetime | None:
    """The day it appeared. An issue's date may lie months ahead: then the day on which PubMed had it."""
    dates = [_date(e) for e in article.iterfind("ArticleDate")]
    issue = article.find("Journal/JournalIssue/PubDate")
    appeared = next((day for day in (*dates, _date(issue) if issue is not None else None) if day), None)
    history = data.iterfind("History/PubMedPubDate") if data is not None else ()
    entered = {e.get("PubStatus", ""): _date(e) for e in history}
    known = entered.get("entrez") or entered.get("pubmed")
    return min(appeared, known) if appeared and known else appeared or known


def _date(element: etree._Element) -> datetime | None:
    """Month may be "Apr", "04" or missing; MedlineDate "2014 Jan-Feb" is its first month. A year alone is no date."""
    if loose := _text(element, "MedlineDate"):
        return parse_date(loose.partition("-")[0]) or parse_date(loose)
    year, month, day = (_text(element, name) for name in ("Year", "Month", "Day"))
    return parse_date(f"{year}-{month}-{day or 1}" if month.isdigit() else f"{year} {month} {day}".strip())


def _doi(article: etree._Element, data: etree._Element | None) -> str:
    """From either place. Only the record's own list of ids: others stand in its references."""
    own = [e for e in data.iterfind("ArticleIdList/ArticleId") if e.get("IdType") == "doi"] if data is not None else []
    own += [e for e in article.iterfind("ELocationID") if e.get("EIdType") == "doi" and e.get("ValidYN") != "N"]
    return next((doi for element in own if (doi := find_doi(_all_text(element)))), "")


def _pmc(data: etree._Element | None) -> str:
    ids = data.iterfind("ArticleIdList/ArticleId") if data is not None else ()
    number = next((_all_text(e) for e in ids if e.get("IdType") == "pmc"), "").removeprefix("PMC")
    return f"https://pmc.ncbi.nlm.nih.gov/articles/PMC{number}/" if number.isdecimal() else ""


def _language(name: str) -> str:
    return _LANGUAGES.get(name.lower(), language_code(name))


def _text(element: etree._Element, path: str) -> str:
    found = element.find(path)
    return "" if found is None else _all_text(found)


def _all_text(element: etree._Element) -> str:
    """Mixed content: titles hold <i>, <sub> and whole formulas."""
    return clean("".join(cast("Iterator[str]", element.itertext())))[:MAX_TEXT]


def _xml_error(text: str) -> str:
    """What an <ERROR> in an answer says."""
    lowered = text.lower()
    start = lowered.find("<error>")
    if start < 0:
        return ""
    end = lowered.find("</error>", start)
    said = plain_line(text[start + 7 : end if end > 0 else start + 300], MAX_LINE)
    return f"{SAYS}: {said[:200]}"


def _without_declaration(text: str) -> str:
    """Without <?xml … encoding?>: the text is ours by now, and encoded anew."""
    return text.partition("?>")[2].lstrip() if text.startswith("<?xml") else text
