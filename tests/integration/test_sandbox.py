"""Parsing in children that may be killed: what comes back, what is stopped, and that nobody is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from sandbox_calls import (
    asleep,
    busy,
    child_id,
    crash,
    devour,
    double,
    huge,
    leave,
    nested,
    noisy,
    refuse,
    stumble,
    surroundings,
    unportable,
)

from monitor.errors import (
    DeliveryRefused,
    FetchStatus,
    MonitorError,
    ParseError,
    Problem,
    QueryError,
)
from monitor.sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(workers=2, timeout=0.5, memory_mb=400, preload=("sandbox_calls",)) as sandbox:
        yield sandbox


# --- what comes back ------------------------------------------------------------------------------------------


async def test_a_result_comes_back(sandbox: Sandbox) -> None:
    assert await sandbox.run(double, 21) == 42
    assert await sandbox.run(busy, 0.0, url="http://example.org/") == "http://example.org/"


async def test_large_arguments_and_results_pass(sandbox: Sandbox) -> None:
    assert await sandbox.run(bytes, b"x" * 20_000_000) == b"x" * 20_000_000


ERRORS = [
    ParseError("http://example.org/", "no feed"),
    FetchStatus("http://example.org/", 503, "busy", 30.0),
    QueryError("a AND", [Problem(code="x", message="nothing after AND", hint="say what", start=2, end=5)]),
    DeliveryRefused("no such user", code=550, status="5.1.1"),
    MonitorError("plain"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_our_own_errors_come_back_unchanged(sandbox: Sandbox, error: MonitorError) -> None:
    with pytest.raises(type(error)) as raised:
        await sandbox.run(refuse, error)

    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    assert {**vars(raised.value), "__notes__": 0} == {**vars(error), "__notes__": 0}


async def test_any_other_exception_is_a_parse_error_with_its_traceback(sandbox: Sandbox) -> None:
    with pytest.raises(ParseError, match=r"http://example\.org/: AssertionError: a parser's own bug") as raised:
        await sandbox.run(stumble, url="http://example.org/")

    assert "in stumble" in raised.value.__notes__[0]
    assert await sandbox.run(double, 1) == 2


async def test_endless_recursion_and_unportable_results_are_parse_errors(sandbox: Sandbox) -> None:
    with pytest.raises(ParseError, match="nested too deeply"):
        await sandbox.run(nested)
    with pytest.raises(ParseError):
        await sandbox.run(unportable)

    assert await sandbox.run(double, 1) == 2


async def test_noise_goes_nowhere(sandbox: Sandbox) -> None:
    assert await sandbox.run(noisy) == ""


async def test_one_child_serves_many_calls(sandbox: Sandbox) -> None:
    assert len({await sandbox.run(child_id) for _ in range(20)}) == 1


async def test_calls_run_side_by_side_up_to_the_number_of_workers(sandbox: Sandbox) -> None:
    await asyncio.gather(sandbox.run(asleep, 0.0), sandbox.run(asleep, 0.0))
    started = time.monotonic()

    await asyncio.gather(*(sandbox.run(asleep, 0.2) for _ in range(4)))

    assert time.monotonic() - started >= 0.39
    assert len(children(os.getpid())) == 2


async def test_a_child_is_replaced_after_so_many_calls(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sandbox.MAX_CALLS", 2)

    assert len({await sandbox.run(child_id) for _ in range(6)}) == 3


async def test_loading_libraries_does_not_count_as_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_library.py").write_text("import time; time.sleep(0.6)")
    monkeypatch.syspath_prepend(tmp_path)

    async with Sandbox(timeout=0.5, preload=("slow_library", "sandbox_calls", "no_such_library")) as sandbox:
        assert await sandbox.run(double, 1) == 2


# --- what is stopped ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hang", [busy, asleep])
async def test_a_call_that_takes_too_long_is_stopped(sandbox: Sandbox, hang: object) -> None:
    await sandbox.run(double, 1)
    started = time.monotonic()

    with pytest.raises(ParseError, match=r"longer than 0\.5 s"):
        await sandbox.run(hang, 30)  # type: ignore[arg-type]

    assert time.monotonic() - started < 5
    assert await sandbox.run(double, 2) == 4


async def test_a_call_that_wants_too_much_memory_is_stopped(sandbox: Sandbox) -> None:
    with pytest.raises(ParseError, match=r"http://example\.org/: .*memory"):
        await sandbox.run(devour, 500, url="http://example.org/")

    assert await sandbox.run(devour, 10) == 10 * 1024 * 1024


async def test_a_result_beyond_all_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    monkeypatch.setattr("monitor.sandbox.MAX_RESULT", 1024)

    with pytest.raises(ParseError):
        await sandbox.run(huge, 1)

    assert await sandbox.run(double, 2) == 4


async def test_a_crash_costs_only_its_own_call(sandbox: Sandbox) -> None:
    results = await asyncio.gather(
        sandbox.run(crash, url="http://example.org/"),
        sandbox.run(leave),
        *(sandbox.run(double, number) for number in range(5)),
        return_exceptions=True,
    )

    assert results[2:] == [0, 2, 4, 6, 8]
    assert "http://example.org/: the parser process ended unexpectedly (SIGSEGV)" in str(results[0])
    assert "exit code 3" in str(results[1])


async def test_a_child_killed_while_idle_is_replaced(sandbox: Sandbox) -> None:
    os.kill(await sandbox.run(child_id), signal.SIGKILL)
    await asyncio.sleep(0.05)

    assert await sandbox.run(double, 2) == 4


async def test_a_cancelled_call_ends_its_child_and_frees_its_place(sandbox: Sandbox) -> None:
    await asyncio.gather(sandbox.run(asleep, 0.05), sandbox.run(asleep, 0.05))
    calls = [asyncio.create_task(sandbox.run(asleep, 0.4)) for _ in range(2)]
    await asyncio.sleep(0.05)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert await sandbox.run(double, 2) == 4
    assert len(children(os.getpid())) == 1


async def test_close_ends_every_child_and_every_call(sandbox: Sandbox) -> None:
    await sandbox.run(double, 1)
    call = asyncio.create_task(sandbox.run(asleep, 0.4))
    await asyncio.sleep(0.05)

    sandbox.close()

    with pytest.raises(ParseError):
        await call
    assert children(os.getpid()) == []


async def test_interrupts_and_terminations_are_the_parents_business(sandbox: Sandbox) -> None:
    child = await sandbox.run(child_id)
    os.kill(child, signal.SIGINT)
    os.kill(child, signal.SIGTERM)

    assert await sandbox.run(child_id) == child


# --- what a child has, and what becomes of it -----------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_child_has_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_SECRET_KEY", "secret")
    with (tmp_path / "monitor.db").open("wb") as database:
        os.set_inheritable(database.fileno(), True)
        async with Sandbox() as sandbox:
            found = await sandbox.run(surroundings)

    assert found["settings"] == []
    assert found["loaded"] == ["bs4", "lxml.html", "trafilatura"]
    files = found["files"]
    assert isinstance(files, list)
    assert not [name for name in files if "monitor.db" in name]
    assert len([name for name in files if name.startswith("socket:")]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
async def test_no_child_outlives_a_parent_killed_at_once() -> None:
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from sandbox_calls import busy, asleep
from monitor.sandbox import Sandbox
async def main():
    sandbox = Sandbox(workers=3, preload=("sandbox_calls",))
    await asyncio.gather(*(sandbox.run(asleep, 0.1) for _ in range(3)))
    calls = [asyncio.create_task(sandbox.run(busy, 60)), asyncio.create_task(sandbox.run(asleep, 60))]
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.gather(*calls)
asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert await asyncio.to_thread(parent.stdout.readline) == b"ready\n"
        orphans = children(parent.pid)
    finally:
        parent.kill()
        parent.communicate()

    assert len(orphans) == 3  # one computing, one asleep, one idle
    for _ in range(40):
        if not any(Path(f"/proc/{orphan}").exists() for orphan in orphans):
            return
        await asyncio.sleep(0.05)
    pytest.fail("children outlived their parent")


def children(parent: int) -> list[int]:
    """The sandbox's children of a process."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end while we look
            above = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if above == parent and b"monitor.sandbox" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found
