"""Local servers that answer as the scholarly indexes do, with their errors and limits. Texts are invented."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit
from xml.sax.saxutils import escape

from monitor.errors import ParseError
from monitor.model import Feed
from monitor.parse.asking import Harvest, Harvested, Request

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]

    @property
    def said(self) -> dict[str, str]:
        return {**self.query, **self.form}


@dataclass
class IndexServer:
    """Serves one index on 127.0.0.1: `answer` is asked for every request, `asked` holds them all."""

    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"http://{self.place}{path}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[IndexServer]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                asked = asked_for(head[0].split(" ")[1], body.decode(), headers)
                self.asked.append(asked)
                status, more, content = self.answer(asked)
                lines = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode() + content)
                await writer.drain()
        writer.close()


def asked_for(target: str, body: str = "", headers: dict[str, str] | None = None) -> Asked:
    parts = urlsplit(target)
    return Asked(unquote(parts.path), dict(parse_qsl(parts.query)), dict(parse_qsl(body)), headers or {})


def as_json(value: object, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(value).encode()


def as_xml(text: str, status: int = 200) -> Answer:
    return status, {"Content-Type": "text/xml; charset=UTF-8"}, text.encode()


def driven(harvest: Harvest, answer: Callable[[Asked], Answer]) -> tuple[list[Feed], Harvested, list[Request]]:
    """A harvester driven without any network or waiting: what it brought, how it ended, what it asked."""
    feeds: list[Feed] = []
    requests: list[Request] = []
    try:
        step = next(harvest)
        while True:
            if isinstance(step, Feed):
                feeds.append(step)
                step = harvest.send(None)
                continue
            requests.append(step)
            form = urlencode(step.form)
            path = "/" + step.url.partition("://")[2].partition("/")[2]
            _, _, body = answer(asked_for(path, form))
            try:
                value = step.read(body, url=step.url, **step.arguments)
            except ParseError as error:
                step = harvest.throw(error)
            else:
                step = harvest.send(value)
    except StopIteration as end:
        return feeds, end.value, requests


# --- PubMed ---------------------------------------------------------------------------------------------------


@dataclass
class FakePubMed:
    """E-utilities with a history server. `days` maps a day to the PMIDs entered on it; `troubles` maps the number of an
    efetch (from 1) to what is answered in its place, once.
    """

    days: dict[date, list[int]]
    troubles: dict[int, Answer] = field(default_factory=dict)
    search_troubles: dict[int, Answer] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)
    histories: list[list[int]] = field(default_factory=list)
    fetches: int = 0
    searches: int = 0
    unknown: tuple[str, ...] = ()
    small: bool = False  # records that hold next to nothing
    papers: dict[int, str] = field(default_factory=dict)  # records other than the usual one
    by_words: dict[str, list[int]] = field(default_factory=dict)  # what a search for one paper finds

    def answer(self, asked: Asked) -> Answer:
        if asked.path.endswith("esearch.fcgi"):
            return self._search(asked.said)
        if asked.path.endswith("efetch.fcgi"):
            return self._fetch(asked.said)
        return 404, {}, b"no such utility"

    def _search(self, said: dict[str, str]) -> Answer:
        self.searches += 1
        if trouble := self.search_troubles.pop(self.searches, None):
            return trouble
        if "mindate" not in said:
            ids = next((ids for words, ids in self.by_words.items() if words in said["term"].lower()), [])
            return as_json({"esearchresult": {"count": str(len(ids)), "idlist": [str(pmid) for pmid in ids]}})
        first, last = (date(*map(int, said[name].split("/"))) for name in ("mindate", "maxdate"))
        found = [pmid for day in sorted(self.days, reverse=True) if first <= day <= last for pmid in self.days[day]]
        self.histories.append(found)
        result = {
            "count": str(len(found)),
            "retmax": "0",
            "retstart": "0",
            "querykey": "1",
            "webenv": f"MCID_{len(self.histories)}",
            "idlist": [],
            "translationset": [],
            "querytranslation": said["term"],
        }
        if self.unknown:
            result["errorlist"] = {"phrasesnotfound": list(self.unknown), "fieldsnotfound": []}
        return as_json({"header": {"type": "esearch", "version": "0.3"}, "esearchresult": result})

    def _fetch(self, said: dict[str, str]) -> Answer:
        self.fetches += 1
        if trouble := self.troubles.pop(self.fetches, None):
            return trouble
        if "id" in said:
            return as_xml(article_set("".join(self._record(int(pmid)) for pmid in said["id"].split(","))))
        known = said.get("WebEnv", "").removeprefix("MCID_")
        if not known.isdigit() or int(known) > len(self.histories):
            return as_xml("<?xml version='1.0'?><eFetchResult><ERROR>Unable to obtain query #1</ERROR></eFetchResult>")
        start = int(said["retstart"])
        if start + int(said["retmax"]) > 9_999:
            return as_xml(
                "<eFetchResult><ERROR>Search Backend failed: Exception: only the first 9,999</ERROR></eFetchResult>"
            )
        some = self.histories[int(known) - 1][start : start + int(said["retmax"])]
        return as_xml(article_set("".join(map(self._record, some))))

    def _record(self, pmid: int) -> str:
        if pmid in self.unreadable:
            return "<PubmedArticle><oh & no>"
        return self.papers.get(pmid) or (small_record if self.small else record)(pmid)


RATE_LIMITED = as_json({"error": "API rate limit exceeded", "api-key": "127.0.0.1", "count": "4", "limit": "3"}, 429,
                       Retry_After="0")  # fmt: skip


def article_set(records: str) -> str:
    return (
        '<?xml version="1.0" ?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2019//EN" '
        '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_190101.dtd">\n'
        f"<PubmedArticleSet>{records}</PubmedArticleSet>"
    )


def small_record(pmid: int) -> str:
    article = "<Article><ArticleTitle>T</ArticleTitle></Article>"
    return f"<PubmedArticle><MedlineCitation><PMID>{pmid}</PMID>{article}</MedlineCitation></PubmedArticle>"


def record(pmid: int, title: str = "", abstract: str = "", more: str = "", **parts: str) -> str:
    """A PubmedArticle in the real structure."""
    doi = parts.get("doi", f"10.5555/inv.{pmid}")
    dates = parts.get("pubdate", "<Year>2026</Year><Month>Nov</Month><Day>20</Day>")
    return f"""<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM"><PMID Version="1">{pmid}</PMID>
<Article PubModel="Print-Electronic"><Journal><ISSN IssnType="Electronic">1234-5678</ISSN>
<JournalIssue CitedMedium="Internet"><Volume>1</Volume><PubDate>{dates}</PubDate></JournalIssue>
<Title>Journal of invented medicine</Title>
<ISOAbbreviation>J Inv Med</ISOAbbreviation></Journal>
<ArticleTitle>{title or f"Invented finding number {pmid}."}</ArticleTitle>
{parts.get("elocation", "")}<Abstract>{abstract or "<AbstractText>Nothing was measured.</AbstractText>"}</Abstract>
{parts.get("authors", "")}<Language>eng</Language>{parts.get("types", "")}</Article>{more}</MedlineCitation>
<PubmedData><History><PubMedPubDate PubStatus="entrez"><Year>2026</Year><Month>11</Month><Day>21</Day></PubMedPubDate>
</History><ArticleIdList><ArticleId IdType="pubmed">{pmid}</ArticleId>
{f'<ArticleId IdType="doi">{escape(doi)}</ArticleId>' if doi else ""}
{parts.get("ids", "")}</ArticleIdList>{parts.get("references", "")}</PubmedData></PubmedArticle>"""
