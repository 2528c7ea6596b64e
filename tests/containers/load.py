"""Load for containers that are killed, run inside our own image by check.sh.

serve                     many feeds, each article in one of them, and their pages
fill                      sources that are due now, and readers who hear of each article within minutes
again                     every source due once more, every digest due now
digests                   every digest due now
state                     how far it is, in one line
check DIRECTORY           what arrived against what was published: nothing lost, nothing twice
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from collections import Counter, defaultdict
from datetime import timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FEEDS, ARTICLES, READERS = 24, 4, 40  # so many articles that all fit into one mail
SERVERS = 12  # names of the one that serves; each has its turn and its pause
PORT = 8099


def words(feed: object, number: object, count: int) -> str:
    """Each article's own: similar ones would be taken for one story, and mailed as one."""
    rng = random.Random(f"{feed}/{number}/{count}")
    return " ".join("".join(rng.choices("abcdefghiklmnoprstuv", k=rng.randint(4, 9))) for _ in range(count))


def title_of(feed: object, number: object) -> str:
    return f"Marker-{feed}-{number} {words(feed, number, 7)} mTOR"


class Feeds(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    started = time.monotonic()

    def do_GET(self) -> None:
        time.sleep(0.05)
        host = self.headers["Host"]
        kind, feed, number = [*self.path.strip("/").split("/"), "", ""][:3]
        if kind == "feed":
            # two articles at first, one more each half minute
            out = min(ARTICLES, 2 + int((time.monotonic() - self.started) / 30))
            items = "".join(
                f"<item><title>{title_of(feed, n)}</title><link>http://{host}/page/{feed}/{n}</link>"
                f"<description>{words(feed, n, 30)}</description></item>"
                for n in range(out)
            )
            body = f'<rss version="2.0"><channel><title>Feed {feed}</title>{items}</channel></rss>'
            mime = "application/rss+xml"
        elif kind == "page":
            title = title_of(feed, number)
            text = words(feed, number, 200)
            article = f"<article><h1>{title}</h1><p>{text}</p></article>"
            body = f"<html><head><title>{title}</title></head><body>{article}</body></html>"
            mime = "text/html"
        else:
            body, mime = "", "text/plain"
        data = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


async def fill() -> None:
    from monitor import app
    from monitor.model import Cadence, Source, Subscriber, Subscription

    async with app.open_monitor(app.settings()) as opened:
        monitor = opened.monitor
        for source in await monitor.storage.sources.list():
            await monitor.storage.sources.set_active(source.slug, False)  # those of the first run: there is no internet
        for feed in range(FEEDS):
            slug = f"load-{feed}"
            url = f"http://feeds{feed % SERVERS}:{PORT}/feed/{feed}"
            await monitor.storage.sources.add(Source(slug=slug, name=slug, url=url, interval=timedelta(minutes=30)))
        topics = tuple(topic.id for topic in await monitor.storage.topics.list())
        for number in range(READERS):
            wanted = Subscription(subscriber_id=0, topic_ids=topics, cadence=Cadence.AT_ONCE, max_items=400)
            await monitor.readers.add(Subscriber(email=f"reader{number}@example.org"), wanted)
    print(f"{FEEDS} feeds, {READERS} readers")


def connect() -> Any:
    import psycopg

    from monitor import app

    return psycopg.connect(app.storage_url(app.settings()), autocommit=True)


def again() -> None:
    with connect() as db:
        db.execute("update source set next_poll_at = now() - interval '1 second' where active")
    digests()


def digests() -> None:
    with connect() as db:
        db.execute("update subscription set next_digest_at = now() - interval '1 second'")


def state() -> None:
    ask = {
        "articles": "select count(*) from article",
        "pages": "select count(*) from page where due_at is not null",
        "accepted": "select count(*) from delivery where state = 'accepted'",
        "waiting": "select count(*) from delivery where state in ('queued', 'sending', 'deferred')",
        "in_doubt": "select count(*) from delivery where state = 'in_doubt'",
        "resent": "select count(*) from delivery where resends > 0",
        "jobs": "select count(*) from engine.procrastinate_jobs where status in ('todo', 'doing')",
    }
    with connect() as db:
        print(" ".join(f"{name}={db.execute(query).fetchone()[0]}" for name, query in ask.items()))


def check(directory: Path) -> int:
    copies: Counter[str] = Counter()
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for path in directory.glob("*.eml"):
        mail = message_from_bytes(path.read_bytes(), policy=policy.default)
        copies[mail["Message-ID"]] += 1
        body = mail.get_body(("plain",))
        for marker in set(re.findall(r"Marker-\d+-\d+", body.get_content() if body else "")):
            found[str(mail["To"]), marker].add(mail["Message-ID"])
    readers = {reader for reader, _ in found}
    markers = {marker for _, marker in found}
    wanted = READERS * FEEDS * ARTICLES
    twice = [key for key, ids in found.items() if len(ids) > 1]
    second = sum(times - 1 for times in copies.values())
    print(f"mails={sum(copies.values())} readers={len(readers)} articles={len(markers)} found={len(found)} of {wanted}")
    print(f"in two different mails: {len(twice)} {twice[:3]}; second copies of a mail: {second}")
    return 0 if len(found) == wanted and not twice else 1


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        ThreadingHTTPServer(("0.0.0.0", PORT), Feeds).serve_forever()
    elif what == "fill":
        asyncio.run(fill())
    elif what == "check":
        sys.exit(check(Path(rest[0])))
    else:
        {"again": again, "digests": digests, "state": state}[what]()
