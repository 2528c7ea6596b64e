"""Backups by the clock: one an interval whoever leads, checked, kept for so long; an admin hears if they end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from pgtemp import TempPostgres
from running import Clock, running

import storage as store
from monitor.errors import StorageError
from monitor.model import Level
from monitor.pipeline import Monitor, backups
from monitor.pipeline.backups import aside
from storage.backup import Backup

EVERY = {"backup__every_hours": 24, "backup__keep": 3}


async def told(monitor: Monitor) -> dict[str, str]:
    return {n.code: n.text for n in await monitor.storage.notices.open() if n.subject == "backup"}


async def test_one_is_made_an_interval_and_the_oldest_goes(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock, **EVERY) as monitor:
        made = []
        for _ in range(5):
            made.append([await monitor.back_up_due(), await monitor.back_up_due()])
            clock.advance(hours=24)
        last = (await monitor.storage.upkeep.gauges()).backed_up_at

    names = sorted(path.name for path in (tmp_path / "backups").iterdir())
    assert made == [[True, False]] * 5
    assert [name[8:16] for name in names] == ["20260603", "20260604", "20260605"]
    assert last == clock.advance(hours=-24)


@pytest.mark.postgres
async def test_on_postgresql_it_is_restored_for_a_trial_and_two_leaders_make_one(
    tmp_path: Path, postgres: TempPostgres
) -> None:
    url, clock = postgres.create(f"scheduled_{os.urandom(3).hex()}"), Clock()
    store.migrate(url)
    async with (
        running(tmp_path, clock, storage__url=url, **EVERY) as one,
        running(tmp_path, clock, storage__url=url, **EVERY) as other,
    ):
        assert other.backups is not None
        other.backups.holder = "another machine"

        made = await asyncio.gather(one.back_up_due(), other.back_up_due())

    (path,) = (tmp_path / "backups").iterdir()
    assert sorted(made) == [False, True]
    assert path.name.endswith(".rows.gz")


async def test_none_is_made_where_none_is_wished(tmp_path: Path) -> None:
    async with running(tmp_path, Clock()) as monitor:
        assert not await monitor.back_up_due()
    assert not (tmp_path / "backups").exists()


async def test_one_that_fails_is_told_tried_again_in_an_hour_and_told_to_be_over(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "backups").write_text("no directory")
    async with running(tmp_path, clock, **EVERY) as monitor:
        failed = await monitor.back_up_due()
        notice = await told(monitor)
        (tmp_path / "backups").unlink()
        too_soon = await monitor.back_up_due()
        clock.advance(hours=1, seconds=1)
        made = await monitor.back_up_due()
        over = await told(monitor)

    assert (failed, too_soon, made) == (False, False, True)
    assert "No backup could be made: " in notice["failed"]
    assert "tried again in an hour" in notice["failed"]
    assert over == {}


async def test_a_backup_made_by_hand_ends_the_notice_too(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock, **EVERY) as monitor:
        await monitor.storage.notices.raise_once("backup", "failed", Level.ERROR, "from before a restart", clock())
        await monitor.storage.upkeep.set_fact("backed_up_at", clock().isoformat())

        assert not await monitor.back_up_due()
        assert await told(monitor) == {}


async def test_an_admin_hears_when_the_last_good_one_is_twice_as_old_as_it_may_be(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock, **EVERY) as monitor:
        await monitor.back_up_due()
        await monitor.watch()
        clock.advance(hours=47)
        await monitor.watch()
        before = await told(monitor)
        clock.advance(hours=2)
        await monitor.watch()
        after = await told(monitor)
        await monitor.back_up_due()
        await monitor.watch()
        over = await told(monitor)

    assert before == {}
    assert after["old"].startswith("The last good backup is of 2026-06-01 12:00 UTC, and one is due every 24 hours")
    assert over == {}


async def test_a_program_that_was_off_for_a_week_is_not_told_off_before_it_could_make_one(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock, **EVERY) as monitor:
        await monitor.back_up_due()
    clock.advance(days=7)
    async with running(tmp_path, clock, **EVERY) as monitor:
        await monitor.watch()

        assert await told(monitor) == {}
        assert await monitor.back_up_due()


async def test_a_long_copy_keeps_its_lease_and_its_beat_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, begun, goes_on = Clock(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(*_: object, **__: object) -> tuple[Backup, list[Path]]:
        loop.call_soon_threadsafe(begun.set)
        assert goes_on.wait(20)
        return Backup(path=tmp_path, size=1, rows=1, checks=()), []

    monkeypatch.setattr(backups, "dated", slow)
    async with running(tmp_path, clock, **EVERY) as monitor:
        making = asyncio.create_task(monitor.back_up_due())
        await begun.wait()
        during = "backup" in monitor.at_work()
        taken = await monitor.storage.leases.acquire("backup", "other", clock(), backups.LEASE)
        goes_on.set()

        assert (during, taken) == (True, None)
        assert await making
        assert "backup" not in monitor.at_work()
        assert await monitor.storage.leases.acquire("backup", "other", clock(), backups.LEASE) is not None


async def test_what_is_raised_aside_arrives() -> None:
    def fail() -> None:
        raise StorageError("no room")

    assert await aside(lambda: 7) == 7
    with pytest.raises(StorageError, match="no room"):
        await aside(fail)


def test_a_copy_that_takes_long_does_not_hold_up_the_end_of_the_program() -> None:
    program = """
        import asyncio, time
        from monitor.pipeline.backups import aside

        async def main():
            task = asyncio.create_task(aside(lambda: time.sleep(600)))
            await asyncio.sleep(0.1)
            print("at it", flush=True)
            task.cancel()

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "at it\n"
