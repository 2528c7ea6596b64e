"""What a poll of 200 feeds costs: our whole path against a bare loop and against `reader`, in one run.

    python bench/ingest.py [--feeds 200] [--entries 50] [--python /path/of/bench/venv/bin/python]

Rounds: the first poll, a second one in which nothing has changed, a third with two new entries in each feed. The feeds
come over real HTTP, with ETags, from a server in a process of its own. Measured is the CPU of the whole process and its
children (parsers), without starting up, which has its own column; ratios are to the bare loop.

  ours     claim, fetch behind the address guard, parse in a sandbox, match 10 topics, full-text index, one durable
           transaction for each feed; no pages
  pages    the page of each article, fetched and parsed, on a tenth of the feeds: its own row
  bare     httpx + fastfeedparser + sqlite3: no guard, no sandbox, no topics, no index, and a commit is not durable
  reader   the library of that name, one worker (`--python` names an interpreter that has it and fastfeedparser)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

ORIGINS = 50
ROUNDS = ("first", "unchanged", "two new")
START = datetime(2026, 6, 1, tzinfo=UTC)
WORDS = """
patients study trial results cells protein receptor kinase inhibitor dose cohort risk outcome tumor mouse brain cortex
signal pathway expression gene mutation therapy placebo weeks months significant analysis data clinical hospital
infection immune response antibody vaccine blood pressure heart liver kidney lung diabetes obesity
""".split()  # noqa: SIM905
TOPICS = {
    "mtor": 'mTOR OR mTORC1 OR "mechanistic target of rapamycin"',
    "opioid": '"opioid tolerance" OR (opioid* NEAR/5 tolerance)',
    "glp": '"GLP-1" OR semaglutide',
    "alzheimer": '"Alzheimer\'s disease" OR lecanemab',
    "amr": '("antibiotic resistance" OR MRSA) NOT "job opening"',
    "covid": '"long covid" OR "post-covid condition"',
    "editing": 'CRISPR* OR "gene editing"',
    "kinase": '"kinase inhibitor" AND tumor',
    "vaccine": "vaccine NEAR/3 antibody",
    "lung": '"lung cancer" OR (lung AND mutation AND placebo)',
}
RARE = (
    "mTOR",
    "opioid tolerance",
    "semaglutide",
    "lecanemab",
    "MRSA",
    "long covid",
    "CRISPR screening",
    "gene editing",
)


# --- the feeds ------------------------------------------------------------------------------------------------


def entry(rng: random.Random, feed: int, number: int, base: str) -> str:
    words = [*rng.choices(WORDS, k=38), *([rng.choice(RARE)] if rng.random() < 0.05 else [])]
    rng.shuffle(words)
    text = " ".join(words)
    link = f"{base}/story/{feed}/{number}"
    return (
        f"<item><title>{text[:70].title()} {feed}-{number}</title><link>{link}</link><guid>{link}</guid>"
        f"<pubDate>Mon, 0{1 + number % 7} Jun 2026 {number % 24:02}:00:00 GMT</pubDate>"
        f"<dc:creator>A. Author {number % 9}</dc:creator><description>{text}.</description></item>"
    )


def rss(feed: int, entries: int, extra: int, base: str) -> bytes:
    rng = random.Random(feed)
    items = [entry(rng, feed, number, base) for number in range(entries + extra)]
    head = f'<?xml version="1.0"?><rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>F{feed}</title>'
    return (head + "".join(reversed(items[extra:])) + "</channel></rss>").encode()


def page(path: str) -> bytes:
    rng = random.Random(path)
    paragraphs = "".join(f"<p>{' '.join(rng.choices(WORDS, k=90))}.</p>" for _ in range(9))
    menu = "".join(f'<li><a href="/{word}">{word}</a></li>' for word in WORDS)
    return (
        f"<!doctype html><html><head><title>Story {path}</title><meta property='og:title' content='Story {path}'>"
        f"<script>{'var x = 1;' * 400}</script></head><body><nav><ul>{menu}</ul></nav><article><h1>Story {path}</h1>"
        f"{paragraphs}</article><footer>{menu}</footer></body></html>"
    ).encode()


def serve(pipe: Connection, feeds: int, entries: int) -> None:
    async def main() -> None:
        bodies: dict[str, bytes] = {}
        extra = 0
        ports: list[int] = []

        def fill() -> None:
            for feed in range(feeds):
                base = f"http://127.0.0.1:{ports[feed % ORIGINS]}"
                bodies[f"/feed/{feed}"] = rss(feed, entries, extra, base)

        def answer(path: str, head: bytes) -> bytes:
            nonlocal extra
            if path.startswith("/extra/"):
                extra = int(path.rpartition("/")[2])
                fill()
                return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            if path.startswith("/story/"):
                body = page(path)
                return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            if path not in bodies:
                return b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
            tag = b'"%d-%d"' % (extra, entries)
            if b"if-none-match: " + tag in head.lower():
                return b"HTTP/1.1 304 Not Modified\r\nETag: " + tag + b"\r\n\r\n"
            body = bodies[path]
            kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nETag: " + tag
            return kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body

        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    writer.write(answer(head.split(b" ", 2)[1].decode(), head))
                    await writer.drain()
            writer.close()

        for _ in range(ORIGINS):
            server = await asyncio.start_server(session, "127.0.0.1", 0)
            ports.append(server.sockets[0].getsockname()[1])
        fill()
        pipe.send(ports)
        await asyncio.Event().wait()

    asyncio.run(main())


@contextlib.contextmanager
def newsroom(feeds: int, entries: int) -> Iterator[list[int]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(theirs, feeds, entries), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def set_extra(port: int, extra: int) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/extra/{extra}").read()


# --- measuring ------------------------------------------------------------------------------------------------


def cpu() -> float:
    """CPU seconds of this process and all its children so far, the living ones included."""
    times = os.times()
    ticks = os.sysconf("SC_CLK_TCK")
    total = times.user + times.system + times.children_user + times.children_system
    for pid in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (pid / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                total += sum(map(int, fields[11:15])) / ticks
    return total


async def rounds(work: Callable[[], Awaitable[int]], port: int) -> None:
    """Run the three rounds and print what each cost, and that it did its work."""
    start_up = cpu()
    figures: dict[str, float] = {}
    counts: list[int] = []
    for name, extra in zip(ROUNDS, (0, 0, 2), strict=True):
        await asyncio.to_thread(set_extra, port, extra)
        before, began = cpu(), time.perf_counter()
        counts.append(await work())
        figures[name] = cpu() - before
        figures[f"{name} wall"] = time.perf_counter() - began
    print(json.dumps({"start": start_up, "counts": counts, **figures}))


# --- the contestants ------------------------------------------------------------------------------------------


async def ours(directory: Path, urls: list[str], ports: list[int], pages: bool) -> None:
    from monitor.app import open_monitor, settings
    from monitor.model import Source, Topic

    allow = tuple(f"127.0.0.1:{port}" for port in ports)
    chosen = settings(data_dir=directory, fetch__allow=allow, fetch__host_delay=0.0, storage__url="")
    now = START
    sources = [Source(slug=f"f{n}", name=f"F{n}", url=url, pages=pages) for n, url in enumerate(urls)]
    async with open_monitor(chosen, now=lambda: now, first_sources=sources) as opened:
        monitor = opened.monitor
        for topic in await monitor.storage.topics.list():
            await monitor.storage.topics.set_active(topic.slug, False)
        for slug, query in TOPICS.items():
            topic = Topic(slug=f"bench-{slug}", name=slug, query=query)
            await monitor.storage.topics.add(topic, author="bench", note="", now=now)

        await asyncio.gather(*(monitor.ingest.look(url) for url in urls[:4]))  # starting up: parsers are imported once

        async def poll() -> int:
            nonlocal now
            now += timedelta(days=1)
            await monitor.poll_due()
            return await monitor.storage.articles.count()

        async def read() -> int:
            nonlocal now
            if now == START:
                await poll()
            before, began = cpu(), time.perf_counter()
            done = await monitor.read_pages_due()
            print(json.dumps({"pages": done, "cpu": cpu() - before, "wall": time.perf_counter() - began}))
            return done

        if pages:
            await read()
        else:
            await rounds(poll, ports[0])


async def bare(directory: Path, urls: list[str], ports: list[int]) -> None:
    import sqlite3

    import fastfeedparser
    import httpx

    db = sqlite3.connect(directory / "bare.db", isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=normal")
    db.execute("create table feed(url text primary key, etag text)")
    db.execute("create table entry(link text primary key, title text, author text, published text, summary text)")
    limits = httpx.Limits(max_connections=16, max_keepalive_connections=16)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:

        async def one(url: str, gate: asyncio.Semaphore) -> None:
            known = db.execute("select etag from feed where url = ?", (url,)).fetchone()
            async with gate:
                answer = await client.get(url, headers={"If-None-Match": known[0]} if known else {})
            if answer.status_code == 304:
                return
            feed = fastfeedparser.parse(answer.content)
            rows = [(e.link, e.title, e.get("author", ""), e.published, e.description) for e in feed.entries]
            db.execute("begin")
            db.executemany("insert or ignore into entry values (?, ?, ?, ?, ?)", rows)
            db.execute("insert or replace into feed values (?, ?)", (url, answer.headers["etag"]))
            db.execute("commit")

        async def poll() -> int:
            gate = asyncio.Semaphore(16)
            await asyncio.gather(*(one(url, gate) for url in urls))
            count: int = db.execute("select count(*) from entry").fetchone()[0]
            return count

        await rounds(poll, ports[0])


async def their_reader(directory: Path, urls: list[str], ports: list[int]) -> None:
    from reader import make_reader

    library = make_reader(str(directory / "reader.db"))
    for url in urls:
        library.add_feed(url)

    async def poll() -> int:
        library.update_feeds(scheduled=False)  # now, not when it thinks it is time
        counts = library.get_entry_counts()
        assert counts.total is not None
        return int(counts.total)

    await rounds(poll, ports[0])


def contest(name: str, directory: Path, urls: list[str], ports: list[int]) -> None:
    contestants: dict[str, Callable[[], Awaitable[None]]] = {
        "ours": lambda: ours(directory, urls, ports, pages=False),
        "pages": lambda: ours(directory, urls[: len(urls) // 10], ports, pages=True),
        "bare": lambda: bare(directory, urls, ports),
        "reader": lambda: their_reader(directory, urls, ports),
    }

    async def main() -> None:
        await contestants[name]()

    asyncio.run(main())


# --- the report -----------------------------------------------------------------------------------------------


def run(name: str, python: str, urls: list[str], ports: list[int]) -> dict[str, float] | None:
    with tempfile.TemporaryDirectory() as directory:
        call = json.dumps({"name": name, "directory": directory, "urls": urls, "ports": ports})
        done = subprocess.run([python, __file__, "--contest", call], capture_output=True, text=True, timeout=600)
    if done.returncode:
        print(f"{name}: not run: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--feeds", type=int, default=200)
    options.add_argument("--entries", type=int, default=50)
    options.add_argument("--python", default=sys.executable, help="has reader and fastfeedparser")
    options.add_argument("--only", nargs="*", default=["bare", "ours", "reader", "pages"])
    options.add_argument("--contest", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.contest:
        call = json.loads(chosen.contest)
        contest(call["name"], Path(call["directory"]), call["urls"], call["ports"])
        return 0
    figures: dict[str, dict[str, float] | None] = {}
    for name in chosen.only:
        with newsroom(chosen.feeds, chosen.entries) as ports:
            urls = [f"http://127.0.0.1:{ports[feed % ORIGINS]}/feed/{feed}" for feed in range(chosen.feeds)]
            python = sys.executable if name in ("ours", "pages") else chosen.python
            figures[name] = run(name, python, urls, ports)
    report(figures, chosen.feeds, chosen.entries)
    return 0


def report(figures: dict[str, dict[str, float] | None], feeds: int, entries: int) -> None:
    print(f"{feeds} feeds of {entries} entries; CPU seconds, wall seconds in brackets, ratio to the bare loop\n")
    print(f"{'':8}{'start':>7}" + "".join(f"{name:>22}" for name in ROUNDS))
    base = figures.get("bare")
    for name, found in figures.items():
        if found is None or name == "pages":
            continue
        cells = []
        for column in ROUNDS:
            ratio = f" x{found[column] / base[column]:.2f}" if base else ""
            cells.append(f"{found[column]:.2f} ({found[f'{column} wall']:.1f}){ratio}")
        print(f"{name:8}{found['start']:>7.2f}" + "".join(f"{cell:>22}" for cell in cells) + f"   {found['counts']}")
    if pages := figures.get("pages"):
        each = 1000 * pages["cpu"] / max(pages["pages"], 1)
        print(f"\n{pages['pages']:.0f} article pages: {pages['cpu']:.2f} s CPU, {each:.1f} ms a page")


if __name__ == "__main__":
    raise SystemExit(main())
