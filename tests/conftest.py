"""What every test may use. Its folder is on the path, so shared samples and fakes are imported by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from pgtemp import TempPostgres, empty, started

import storage as store

hypothesis.settings.register_profile("ours", deadline=None)  # a busy machine is no finding
hypothesis.settings.load_profile("ours")

MASSES = ("test_match_oracle", "test_tuning_backtest")  # of made-up cases
NIGHTLY = os.environ.get("NIGHTLY") == "1"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: many tests wait for servers, browsers and killed programs."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for real servers, processes and browsers, or measures its CPU time, gets one second try on a busy
    machine; the summary says so. Other unit tests get none: they depend on nothing but their arguments.

    Counting lines doubles a test's time, so `make test` counts them in unit tests, and `make nightly` in all; where CPU
    time is measured, or in masses of cases, neither does.
    """
    for item in items:
        unit, measures = item.path.parent.name == "unit", _measures(item)
        if not unit or measures:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if measures or item.path.stem in MASSES or not (unit or NIGHTLY):
            item.add_marker(pytest.mark.no_cover)


def _measures(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "process_time" in item.function.__code__.co_names


@pytest.fixture(scope="session")
def postgres() -> Iterator[TempPostgres]:
    with started() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: TempPostgres) -> str:
    """A migrated database, shared by the tests of a session: making one for each costs more than the tests."""
    url = postgres.create("monitor")
    store.migrate(url)
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    store.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database: each test that asks runs on both."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "monitor.db")
        yield f"sqlite:///{tmp_path / 'monitor.db'}"
        return
    url: str = request.getfixturevalue("postgres_url")
    yield url
    empty(url)


@pytest.fixture
async def storage(storage_url: str) -> AsyncIterator[store.Storage]:
    async with store.Storage.open(storage_url) as opened:
        yield opened
