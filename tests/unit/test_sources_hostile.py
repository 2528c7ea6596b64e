"""Whatever an index, a site or somebody in between answers: a value or a ParseError, in bounded time."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from index_servers import article_set, record

from monitor.errors import ParseError
from monitor.parse.discover import find_feeds
from monitor.parse.listing import Selectors, read_listing
from monitor.parse.opml import read_opml
from monitor.parse.scholarly import crossref, europepmc, medrxiv, open_access, pubmed, trials
from monitor.parse.sitemap import MAX_ADDRESSES, Wanted, read_sitemap

NOW = datetime(2026, 11, 24, tzinfo=UTC)
URL = "https://x.example.org/a"
NASTY: list[Any] = [None, True, -1, 1e308, "", "\x00\ud800<b>&amp;", [], {}, [[]], [None], "9" * 5000, {"a": {"b": []}}]

WORK = {"DOI": "10.5555/x", "title": ["T"], "author": [{"given": "A"}], "created": {"date-parts": [[2026, 1, 1]]},
        "container-title": ["J"], "abstract": "<jats:p>x</jats:p>",
        "clinical-trial-number": [{"clinical-trial-number": "x"}]}  # fmt: skip
DOCUMENTS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    "search": (pubmed.read_search, {}, {"esearchresult": {"count": "1", "webenv": "x", "querykey": "1", "idlist": ["1"],
                                                         "errorlist": {"phrasesnotfound": ["x"]}}}),
    "europepmc": (europepmc.read_page, {}, {"hitCount": 1, "nextCursorMark": "x", "resultList": {"result": [
        {"id": "1", "source": "MED", "title": "T", "pmid": "1", "authorList": {"author": [{"fullName": "A"}]},
         "meshHeadingList": {"meshHeading": [{"descriptorName": "M"}]}, "pubTypeList": {"pubType": ["x"]},
         "fullTextUrlList": {"fullTextUrl": [{"availabilityCode": "OA", "url": "https://x.org"}]}}]}}),
    "crossref": (crossref.read_list, {}, {"status": "ok", "message": {"items": [WORK], "total-results": 1}}),
    "work": (crossref.read_work, {}, {"status": "ok", "message": WORK}),
    "medrxiv": (medrxiv.read_page, {"server": "medrxiv"}, {"messages": [{"status": "ok", "total": "1"}], "collection": [
        {"doi": "10.1101/x", "title": "T", "authors": "A; B", "version": "1", "date": "2026-01-01", "category": "c"}]}),
    "trials": (trials.read_page, {}, {"studies": [{"protocolSection": {"identificationModule": {
        "nctId": "NCT00000001", "briefTitle": "T"}, "designModule": {"phases": ["PHASE1"]}}}], "totalCount": 1}),
    "unpaywall": (open_access.read_unpaywall, {"doi": "10.5555/x"}, {"doi": "10.5555/x", "is_oa": True,
                                                                    "best_oa_location": {"url": "https://x.org"}}),
    "openalex": (open_access.read_openalex, {"doi": "10.5555/x"}, {"doi": "https://doi.org/10.5555/x",
                 "ids": {"pmid": "x/1"}, "open_access": {"is_oa": True},
                 "authorships": [{"author": {"display_name": "A"}}]}),
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from places(part, (*path, key))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


@pytest.mark.parametrize("name", DOCUMENTS)
def test_any_value_in_any_place_is_read_or_refused(name: str) -> None:
    read, arguments, document = DOCUMENTS[name]

    for path in places(document):
        for nasty in NASTY:
            with contextlib.suppress(ParseError):
                read(json.dumps(with_value(document, path, nasty)).encode(), url=URL, **arguments)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_answer_cut_or_changed_anywhere_is_read_or_refused(name: str) -> None:
    read, arguments, document = DOCUMENTS[name]
    whole = json.dumps(document).encode()
    dice = random.Random(name)

    for _ in range(200):
        data = bytearray(whole[: dice.randrange(len(whole) + 1)])
        for _ in range(dice.randrange(3)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        with contextlib.suppress(ParseError):
            read(bytes(data), url=URL, **arguments)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_depth_without_end_is_refused(name: str) -> None:
    read, arguments, _ = DOCUMENTS[name]

    with pytest.raises(ParseError):
        read(b'{"message":' + b"[" * 200_000, url=URL, **arguments)


XML: dict[str, tuple[Callable[..., Any], dict[str, Any], bytes]] = {
    "records": (pubmed.read_records, {}, article_set(record(1) + record(2)).encode()),
    "sitemap": (read_sitemap, {}, b"<urlset><url><loc>https://x.example.org/1</loc><lastmod>2026</lastmod></url></urlset>"),
    "opml": (read_opml, {}, b"<opml><body><outline text='a'><outline xmlUrl='https://x.org/f'/></outline></body></opml>"),
    "listing": (read_listing, {"selectors": Selectors(item="li"), "now": NOW}, b"<ul><li><a href='/x'>A</a></li></ul>"),
    "discover": (find_feeds, {}, b"<base href='//['><link rel=alternate type=application/rss+xml href='/f'>"),
}  # fmt: skip


@pytest.mark.parametrize("name", XML)
def test_markup_cut_or_changed_anywhere_is_read_or_refused(name: str) -> None:
    read, arguments, whole = XML[name]
    dice = random.Random(name)

    for _ in range(300):
        data = bytearray(whole[: dice.randrange(len(whole) + 1)] if dice.random() < 0.5 else whole)
        for _ in range(dice.randrange(4)):
            if data:
                data[dice.randrange(len(data))] = dice.choice(b"<>&;'\"\x00\xff /=")
        with contextlib.suppress(ParseError):
            read(bytes(data), url=URL, **arguments)


def test_a_sitemap_of_the_standards_size_costs_little_where_little_is_new() -> None:
    one = "<url><loc>https://x.example.org/{0}</loc><lastmod>{1}</lastmod></url>"
    body = "".join(
        one.format(n, "2026-11-20" if n < 100 else "2019-01-01T00:00:00Z") for n in range(MAX_ADDRESSES + 10)
    )
    started = time.process_time()

    wanted = Wanted(since=NOW - timedelta(days=30))
    sitemap = read_sitemap(gzip.compress(f"<urlset>{body}</urlset>".encode(), 1), url=URL, wanted=wanted)

    assert (len(sitemap.entries), sitemap.dropped) == (100, 10)
    assert time.process_time() - started < 6  # about 1 s on an idle machine


def test_a_packed_bomb_is_refused() -> None:
    bomb = gzip.compress(b"<urlset>" + b" " * 70_000_000, 1)

    with pytest.raises(ParseError, match="more than 60,000,000 bytes"):
        read_sitemap(bomb, url=URL)


def test_billions_of_laughs_stay_unsaid() -> None:
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    entities = "<!ENTITY a 'ha'>" + "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in pairs)
    xml = article_set(record(1, "&i;")).replace('.dtd">', f'.dtd" [{entities}]>', 1)

    try:
        (entry,) = pubmed.read_records(xml.encode(), url=URL).entries
    except ParseError:
        return
    assert len(entry.title) < 1_000
