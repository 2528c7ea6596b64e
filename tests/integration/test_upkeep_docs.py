"""docs/operations.md: every command in it is run here, in its order, on one scratch installation."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from pgtemp import TempPostgres
from running import prepare
from typer.testing import CliRunner

from monitor.cli.main import app

PAGE = Path(__file__).parent.parent.parent / "docs/operations.md"
RELAY_ELSEWHERE = "postgresql://monitor@db.example.org/monitor"
# What is found wrong or not there on a scratch machine: no contact, no network, no running instance.
MAY_FIND_SOMETHING = ("monitor doctor", "monitor healthcheck")


def commands() -> list[str]:
    """The `$ monitor …` lines of its console blocks."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Result]]:
    prepare(tmp_path / "data")
    (tmp_path / "somewhere").mkdir()
    monkeypatch.setenv("MONITOR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MONITOR_FETCH__TIMEOUT", "1")
    monkeypatch.setenv("MONITOR_WEB__PORT", "9")

    def run(line: str) -> Result:
        words = shlex.split(line.replace("/tmp/somewhere", str(tmp_path / "somewhere")))
        assert words[0] == "monitor", line
        return CliRunner().invoke(app, words[1:])

    return run


@pytest.mark.postgres
def test_every_command_on_the_page_does_what_it_should(
    call: Callable[[str], Result], postgres: TempPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = postgres.create("operations_page")
    assert call("monitor subscribers add ada@example.org --topics all").exit_code == 0
    ran = commands()

    for line in ran:
        result = call(line.replace(RELAY_ELSEWHERE, target))

        well = (0, 1) if line.startswith(MAY_FIND_SOMETHING) else (0,)
        assert result.exit_code in well, f"{line}\n{result.output}\n{result.exception!r}"

    with psycopg.connect(target) as db:
        assert db.execute("select count(*) from subscriber").fetchone() == (1,)  # moved before erased
    assert call("monitor subscribers list --json").output.count("ada@example.org") == 0
    assert len(ran) > 20
    assert {line.split()[1] for line in ran} >= {"backup", "restore", "move", "people", "doctor", "migrate", "outbox"}


def test_every_command_in_its_sentences_exists(call: Callable[[str], Result]) -> None:
    """Also what stands in prose: the words up to the first that is no command must answer --help."""
    told = set(re.findall(r"`monitor ((?:[a-z]+ ?)+)", PAGE.read_text(encoding="utf-8")))

    for words in told:
        line = " ".join(word for word in words.split() if word not in {"mail", "you", "ada", "monitor"})
        assert call(f"monitor {line} --help").exit_code == 0, words


def test_every_container_command_is_run_by_the_check_of_the_containers() -> None:
    """tests/containers/check.sh needs an engine; here is seen that it has each, but for options and file names."""
    script = (PAGE.parents[1] / "tests/containers/check.sh").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    told = {bare(line) for block in blocks for line in block.splitlines() if line}

    ran = {bare(line) for line in re.findall(r"docker compose (?:stop|run|up)[^;&>\n]*", script)}

    assert len(told) >= 4
    assert told <= ran | {"docker compose stop monitor"}, told - ran
    assert "docker compose stop" in ran  # of all, which is the one


def bare(line: str) -> str:
    words = [word for word in line.split() if not word.startswith(("-", "/", "<", '"')) and not word.isdigit()]
    return " ".join(words)


def test_every_setting_and_variable_it_names_exists() -> None:
    from config.settings import known_keys, variable

    text, keys = PAGE.read_text(encoding="utf-8"), set(known_keys())
    sections = {key.partition(".")[0] for key in keys if "." in key}

    for name in re.findall(r"MONITOR_[A-Z_]+", text):
        assert name.removesuffix("_FILE") in {variable(key) for key in keys}, name
    for name in re.findall(r"`([a-z]+\.[a-z_]+)", text):
        if name.partition(".")[0] in sections:
            assert name in keys, name


def test_doctor_tells_all_as_json_and_finds_a_damaged_index(
    call: Callable[[str], Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3
    from contextlib import closing

    monkeypatch.setenv("MONITOR_FETCH__CONTACT", "ops@example.org")
    call("monitor migrate")
    with closing(sqlite3.connect(tmp_path / "data" / "monitor.db")) as db:
        db.execute("insert into article_fts(rowid, title, body) values (5, 'lost', 'lost')")
        db.commit()

    broken = json.loads(call("monitor doctor --offline --json").output)
    call("monitor reindex")
    mended = json.loads(call("monitor doctor --offline --json").output)

    def wrong(found: dict[str, list[dict[str, object]]]) -> set[object]:
        return {one["name"] for one in found["findings"] if not one["well"]}

    assert "full-text index" in wrong(broken)
    assert wrong(mended) == wrong(broken) - {"full-text index"} == set()


def test_doctor_does_not_touch_a_database_of_another_version(call: Callable[[str], Result], tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "data" / "monitor.db")) as db:
        db.execute("update alembic_version set version_num = '0001'")
        db.commit()

    result = call("monitor doctor --offline")

    assert result.exit_code == 1
    assert "back up, then" in result.output
    with closing(sqlite3.connect(tmp_path / "data" / "monitor.db")) as db:
        assert db.execute("select version_num from alembic_version").fetchone() == ("0001",)
