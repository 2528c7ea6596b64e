"""What distributing costs, and how the archive's size tells.

    python bench/scale.py [--feeds 5000] [--hosts 100] [--entries 5] [--workers 1,2] [--share 0.25]
    python bench/scale.py --feeds 0 --archive 10000,100000,1000000 [--postgres] [--directory /tmp]

Part one: feeds on `--hosts` servers of their own (ports) through PostgreSQL with fsync, first by `monitor run` in one
process, then by a scheduler and each number of workers. Every feed is new: fetched, parsed in a sandbox, matched
against the first run's topics, indexed. Time is from the first poll's end to the last one's, so starting up is not in
it; CPU is that of our processes with their parsers' children, and that of the server, over the same feeds. Where there
are fewer cores than processes `--share` (as root) gives each `monitor run` and each worker that part of one core, so
that what a second worker is worth can be seen: keep `share` times workers, and as much for all others, below the cores.
Part two (bench/archive.py): the same work on archives of growing size; SQLite, with `--postgres` both.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import archive  # noqa: E402
import pgtemp  # noqa: E402
import psycopg  # noqa: E402
from roles import Role, Roles, until  # noqa: E402

import storage as store  # noqa: E402
from monitor.model import Source  # noqa: E402
from storage import jobs  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
PERIOD = 20_000  # microseconds
WORDS = [
    f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in ("ron", "sel", "tin", "mod", "kar", "vil", "nas")
]


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


# --- part one: the way in ------------------------------------------------------------------------------------------


async def _serve(hosts: int, entries: int, ready: Connection) -> None:
    rng = random.Random(1)
    teasers = [text(rng, 30) for _ in range(200)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                feed = head.split(b" ", 2)[1].decode().strip("/")
                number = int(feed.rpartition("-")[2] or 0) if feed.startswith("feed-") else 0
                items = "".join(
                    f"<item><title>{teasers[(number + n) % 200][:60]} {number}-{n}</title>"
                    f"<link>https://news.example/{number}/{n}</link>"
                    f"<description>{teasers[(number * 7 + n) % 200]}</description></item>"
                    for n in range(entries)
                )
                body = f'<rss version="2.0"><channel><title>Feed {number}</title>{items}</channel></rss>'.encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range(hosts)]
    ready.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()


def _serving(hosts: int, entries: int, ready: Connection) -> None:
    asyncio.run(_serve(hosts, entries, ready))


@contextmanager
def publishers(hosts: int, entries: int) -> Iterator[list[int]]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serving, args=(hosts, entries, there), daemon=True)
    process.start()
    yield here.recv()
    process.kill()
    process.join()


def family(pid: int) -> dict[int, float]:
    """A process and all that came of it, with the seconds of each, the dead ones it waited for included."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        seconds[int(stat.parent.name)] = sum(map(int, fields[11:15])) / TICK
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return {one: seconds.get(one, 0.0) for one in found}


def cpu(pid: int) -> float:
    return sum(family(pid).values())


@contextmanager
def shares(share: float) -> Iterator[Callable[[int], None]]:
    """Holds a process, and all that came or comes of it, to `share` of one core: a control group, version 1 or 2."""
    root = Path("/sys/fs/cgroup")
    old = (root / "cpu").is_dir()
    made: list[Path] = []

    def hold(pid: int) -> None:
        group = (root / "cpu" if old else root) / f"monitor-bench-{pid}"
        group.mkdir()
        made.append(group)
        quota = str(int(share * PERIOD))
        if old:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(quota)
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        for one in family(pid):
            (group / "cgroup.procs").write_text(str(one))

    try:
        yield hold if share else lambda pid: None
    finally:
        for group in made:
            until(lambda group=group: not (group / "cgroup.procs").read_text(), 60, "the processes' end")
            group.rmdir()


async def fill(url: str, ports: list[int], feeds: int) -> None:
    now = datetime.now(UTC)
    async with store.Storage.open(url) as storage:
        from monitor import app

        sources = [
            Source(
                slug=f"f{n}",
                name=f"f{n}",
                url=f"http://127.0.0.1:{ports[n % len(ports)]}/feed-{n}",
                pages=False,
                interval=timedelta(days=1),
                next_poll_at=now + timedelta(days=1),
            )
            for n in range(feeds)
        ]
        _, topics = app.first_run(app.settings())
        await storage.sources.import_first_run(sources, topics, now)


def ways(server: pgtemp.TempPostgres, feeds: int, hosts: int, entries: int, workers: list[int], share: float) -> None:
    held = f", {share:g} of one for each process that polls" if share else ""
    print(f"{feeds} feeds of {entries} entries on {hosts} servers; {os.cpu_count()} cores{held}")
    print(
        f"{'way':22} {'round':10} {'feeds/s':>8} {'jobs':>6} {'jobs/s':>7} {'CPU ms/feed':>12} {'database CPU':>13}"
        f" {'ratio':>6}"
    )
    alone: dict[str, float] = {}
    with publishers(hosts, entries) as ports:
        for number in (0, *workers):
            one_way(server, ports, feeds, number, share, alone)


def one_way(
    server: pgtemp.TempPostgres, ports: list[int], feeds: int, workers: int, share: float, alone: dict[str, float]
) -> None:
    url = server.create(f"bench_{workers}")
    store.migrate(url)
    jobs.install(url)
    asyncio.run(fill(url, ports, feeds))
    with (
        tempfile.TemporaryDirectory() as directory,
        shares(share) as hold,
        Roles(Path(directory)) as roles,
        psycopg.connect(url, autocommit=True) as db,
    ):
        common = {
            "MONITOR_STORAGE__URL": url,
            "MONITOR_FETCH__ALLOW": ",".join(f"127.0.0.1:{port}" for port in ports),
            "MONITOR_FETCH__HOST_DELAY": 0,
            "MONITOR_SCHOLARLY__ENRICH": "false",
            "MONITOR_RUN__TICK_SECONDS": 2,
            "MONITOR_RUN__LOG_LEVEL": "error",
        }
        ours: list[Role] = []
        if workers:
            common |= {"MONITOR_RUN__ENGINE": "procrastinate", "MONITOR_SECRET_KEY": "bench"}
            ours = [roles.start("scheduler", **common), *(roles.start("worker", **common) for _ in range(workers))]
            until(lambda: count(db, "engine.procrastinate_workers") == workers, 60, "the workers' start")
        else:
            ours = [roles.start("run", **common)]
        for role in ours:
            if role.name != "scheduler":
                hold(role.pid)
        time.sleep(4)  # they have started, and nothing is due yet
        name = f"scheduler, {workers} worker{'s' * (workers > 1)}" if workers else "monitor run"
        speed = 0.0
        for done, round_ in enumerate(("new", "unchanged")):
            until(lambda: count(db, "story_due") == 0, 3600, "the stories of the round before")
            before, database = sum(cpu(role.pid) for role in ours), cpu(server.pid)
            first_job = last_job(db)
            db.execute("update source set next_poll_at = null")
            until(lambda polls=(done + 1) * feeds: count(db, "poll") >= polls, 3600, "all polls")
            after, database_after = sum(cpu(role.pid) for role in ours), cpu(server.pid)
            seconds, wrong = db.execute(ROUND, {"skip": done * feeds}).fetchone() or (0.0, 0)
            assert not wrong, f"{wrong} polls went wrong"
            assert count(db, "poll") == (done + 1) * feeds, "a feed was polled twice"
            number = last_job(db) - first_job
            speed = feeds / seconds
            alone.setdefault(round_, speed)
            print(
                f"{name:22} {round_:10} {speed:8.1f} {number:6} {number / seconds:7.1f}"
                f" {1000 * (after - before) / feeds:12.1f} {1000 * (database_after - database) / feeds:13.1f}"
                f" {speed / alone[round_]:6.2f}",
                flush=True,
            )
        for role in ours:
            role.send(signal.SIGTERM)
        for role in ours:
            role.wait(60)


ROUND = """
    select extract(epoch from max(at) - min(at))::float, count(*) filter (where outcome not in ('ok', 'unchanged'))
      from (select at, outcome from poll order by id offset %(skip)s) polls
"""


def last_job(db: psycopg.Connection[tuple[int, ...]]) -> int:
    found = db.execute("select case when is_called then last_value else 0 end from engine.procrastinate_jobs_id_seq")
    return (found.fetchone() or (0,))[0]


def count(db: psycopg.Connection[tuple[int, ...]], table: str) -> int:
    return (db.execute(f"select count(*) from {table}").fetchone() or (0,))[0]  # type: ignore[call-overload]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeds", type=int, default=5000)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--entries", type=int, default=5)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--share", type=float, default=0, help="of one core, for each process that polls; as root")
    parser.add_argument("--archive", default="10000,100000", help="1000000: an hour, and 4 GB")
    parser.add_argument("--directory", type=Path, help="where the archive's file grows")
    parser.add_argument("--postgres", action="store_true", help="the archive on PostgreSQL, too")
    asked = parser.parse_args()
    numbers = [int(part) for part in asked.workers.split(",") if part]
    sizes = [int(part) for part in asked.archive.split(",") if part]
    pgtemp.SETTINGS |= {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}
    with pgtemp.TempPostgres() as server:
        if asked.feeds:
            ways(server, asked.feeds, asked.hosts, asked.entries, numbers, asked.share)
        if sizes:
            with tempfile.TemporaryDirectory(dir=asked.directory) as directory:
                asyncio.run(archive.grow(f"sqlite:///{directory}/monitor.db", sizes))
            if asked.postgres:
                asyncio.run(archive.grow(server.create("archive"), sizes))


if __name__ == "__main__":
    main()
