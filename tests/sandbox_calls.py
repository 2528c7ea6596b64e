"""What the sandbox's tests run in its children."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from monitor.errors import MonitorError


def double(number: int) -> int:
    return 2 * number


def child_id() -> int:
    return os.getpid()


def busy(seconds: float, *, url: str = "") -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return url


def asleep(seconds: float) -> None:
    time.sleep(seconds)


def devour(megabytes: int, *, url: str = "") -> int:
    return len(bytearray(megabytes * 1024 * 1024))


def crash(*, url: str = "") -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(3)


def stumble(*, url: str = "") -> None:
    raise AssertionError("a parser's own bug")


def refuse(error: MonitorError) -> None:
    raise error


def nested(depth: int = 0) -> int:
    return nested(depth + 1)


def huge(megabytes: int) -> bytes:
    return bytes(megabytes * 1024 * 1024)


def unportable() -> object:
    return lambda: None


def noisy() -> str:
    print("x" * 1_000_000)
    print("x" * 1_000_000, file=sys.stderr)
    return sys.stdin.read()


def surroundings() -> dict[str, object]:
    return {
        "files": [str(entry.readlink()) for entry in list(Path("/proc/self/fd").iterdir()) if entry.exists()],
        "settings": [name for name in os.environ if name.startswith("MONITOR_")],
        "loaded": sorted({"lxml.html", "bs4", "trafilatura", "sqlalchemy", "httpx"} & set(sys.modules)),
    }
