"""The whole program around a clock that stands still, for tests that live through days in a second."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import storage as store
from monitor import app as composition
from monitor.model import Source
from monitor.pipeline import Monitor

T = TypeVar("T")
MONDAY = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def prose(seed: str, words: int) -> str:
    """Sentences of invented words, the same for the same seed: no two texts tell the same story."""
    rng = random.Random(seed)
    syllables = ("ba", "ke", "li", "mo", "nu", "ra", "si", "to", "vu", "ze")
    made = ["".join(rng.choices(syllables, k=3)) for _ in range(words)]
    return ". ".join(" ".join(made[i : i + 12]).capitalize() for i in range(0, words, 12)) + "."


class Clock:
    def __init__(self, start: datetime = MONDAY) -> None:
        self.time = start

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **parts: float) -> datetime:
        self.time += timedelta(**parts)
        return self.time


@functools.cache
def _empty_database() -> bytes:
    """Migrating costs more than most tests: it is done once."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "monitor.db"
        store.migrate(f"sqlite:///{path}")
        return path.read_bytes()


def prepare(directory: Path) -> None:
    """A data directory with an empty, migrated database; one that is there stays as it is."""
    directory.mkdir(parents=True, exist_ok=True)
    database = directory / "monitor.db"
    if not database.exists():
        database.write_bytes(_empty_database())


@contextlib.asynccontextmanager
async def running(
    directory: Path, clock: Clock, *, sources: Sequence[Source] = (), **overrides: object
) -> AsyncIterator[Monitor]:
    """A Monitor as `monitor run` has it, with the first run's topics and these sources."""
    values: dict[str, object] = {
        "data_dir": directory,
        "storage__url": "",
        "fetch__host_delay": 0.0,
        "parse__workers": 1,
        "smtp__security": "none",
        "smtp__messages_per_minute": 0.0,
        "backup__every_hours": 0,
        **overrides,
    }
    if not values["storage__url"]:
        prepare(directory)
    async with composition.open_monitor(
        composition.settings(**values), now=clock, first_sources=list(sources)
    ) as opened:
        yield opened.monitor


@contextlib.contextmanager
def in_thread(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """An asyncio server beside a test that has an event loop of its own, or none."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield started
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
