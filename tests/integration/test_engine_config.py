"""What the choice of an engine asks for, said before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor import app
from monitor.app import Role
from monitor.errors import ConfigError
from monitor.pipeline.dispatch import Idle, InProcess

POSTGRES = "postgresql://u:p@nowhere.invalid/monitor"


def test_the_distributed_engine_needs_postgresql(tmp_path: Path) -> None:
    chosen = app.settings(data_dir=tmp_path, run__engine="procrastinate", storage__url="")

    with pytest.raises(ConfigError, match="MONITOR_STORAGE__URL"):
        app.migrate(chosen)


def test_the_distributed_engine_needs_one_key_for_all_processes(tmp_path: Path) -> None:
    chosen = app.settings(data_dir=tmp_path, run__engine="procrastinate", storage__url=POSTGRES)

    with pytest.raises(ConfigError, match="MONITOR_SECRET_KEY_FILE"):
        app.migrate(chosen)


async def test_without_it_one_process_does_all_or_only_the_web(tmp_path: Path) -> None:
    async with app.open_monitor(app.settings(data_dir=tmp_path, storage__url=""), first_sources=[]) as opened:
        assert isinstance(opened.dispatcher(Role.ALL), InProcess)
        assert isinstance(opened.dispatcher(Role.WEB), Idle)
        for role in (Role.SCHEDULER, Role.WORKER):
            with pytest.raises(ConfigError, match="MONITOR_RUN__ENGINE"):
                opened.dispatcher(role)
