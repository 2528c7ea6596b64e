"""What the tests of whole processes share."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest
from pgtemp import TempPostgres, started
from publisher import Publisher

import storage as store
from storage import jobs


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    server = Publisher()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(scope="module")
def server() -> Iterator[TempPostgres]:
    """One of the module's own, that it may stop: the others' tests go on."""
    with started(synchronous_commit="on") as server:
        yield server


@pytest.fixture
def engine_url(postgres: TempPostgres) -> str:
    """A database of its own, with the queue."""
    url = postgres.create(f"roles_{uuid.uuid4().hex}")
    store.migrate(url)
    jobs.install(url)
    return url
