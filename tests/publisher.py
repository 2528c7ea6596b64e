"""A publisher on loopback whose feeds count their visits."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Publisher(ThreadingHTTPServer):
    """Feeds that count their visits. Each visit takes `pause` seconds."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.visits: Counter[str] = Counter()
        self.pause = 0.02
        self.lock = threading.Lock()

    @property
    def origin(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        with server.lock:
            server.visits[self.path] += 1
        threading.Event().wait(server.pause)
        item = f"<item><title>News of {self.path}</title><link>https://news.example{self.path}/1</link></item>"
        body = f'<rss version="2.0"><channel><title>F</title>{item}</channel></rss>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/rss+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
