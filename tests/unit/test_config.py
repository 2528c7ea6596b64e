"""Settings: one file, one environment, and errors that name the nearest right key."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from config import load, load_sources, load_topics
from config.settings import DEFAULT_FILE, Settings, known_keys, variable
from monitor.errors import ConfigError
from scripts.write_config import rendered


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("MONITOR_"):
            monkeypatch.delenv(name)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "monitor.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_says_every_setting_with_its_default_and_meaning() -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")

    assert text == rendered(), "run scripts/write_config.py"
    assert load() == Settings()
    for key in known_keys():
        assert f"[{variable(key)}]" in " ".join(text.replace("#", " ").split())


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, '[smtp]\nhost = "file.example"\nport = 25\n')
    monkeypatch.setenv("MONITOR_SMTP__HOST", "env.example")

    settings = load(path)

    assert (settings.smtp.host, settings.smtp.port) == ("env.example", 25)


def test_a_secret_may_stand_in_a_file_of_its_own_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n", encoding="utf-8")
    monkeypatch.setenv("MONITOR_SMTP__PASSWORD_FILE", str(secret))

    settings = load()

    assert settings.smtp.password.get_secret_value() == "hunter2"
    assert settings.redacted()["smtp"]["password"] == "(set)"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[smtp]\nhots = "x"\n', ":2: unknown setting 'smtp.hots'; did you mean 'smtp.host'?"),
        ('\n\n[smpt]\nhost = "x"\n', ":4: unknown setting 'smpt.host'; did you mean 'smtp.host'?"),
        ('datadir = "x"\n', ":1: unknown setting 'datadir'; did you mean 'data_dir'?"),
        ("[smtp\n", "not valid TOML"),
        ("[smtp]\nport = 99999\n", "setting smtp.port = 99999"),
        ('[run]\nlog_level = "loud"\n', "setting run.log_level = 'loud'"),
    ],
    ids=["key", "section", "top", "toml", "bound", "choice"],
)
def test_a_wrong_file_is_named_with_line_and_nearest_key(tmp_path: Path, text: str, expected: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError) as raised:
        load(path)

    assert expected in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MONITOR_SMPT__HOST", "x", "unknown variable MONITOR_SMPT__HOST; did you mean 'MONITOR_SMTP__HOST'?"),
        ("MONITOR_SMTP__PORT", "many", "setting smtp.port = 'many' (MONITOR_SMTP__PORT)"),
        (
            "MONITOR_SMTP__PASSWORD_FILE",
            "/nowhere/at/all",
            "MONITOR_SMTP__PASSWORD_FILE=/nowhere/at/all: cannot be read",
        ),
    ],
    ids=["misspelt", "type", "secret file"],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError) as raised:
        load()

    assert expected in str(raised.value)


def test_a_wrong_secret_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = written(tmp_path, "[smtp]\npassword = 5\n")

    with pytest.raises(ConfigError) as raised:
        load(path)

    assert "smtp.password" in str(raised.value)
    assert "= 5" not in str(raised.value)


def test_a_variable_and_its_file_are_not_both_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("x", encoding="utf-8")
    monkeypatch.setenv("MONITOR_SMTP__PASSWORD", "a")
    monkeypatch.setenv("MONITOR_SMTP__PASSWORD_FILE", str(tmp_path / "p"))

    with pytest.raises(ConfigError, match="both set"):
        load()


def test_a_list_may_be_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_FETCH__ALLOW", "10.0.0.5:8080, intranet.example:80")

    assert load().fetch.allow == ("10.0.0.5:8080", "intranet.example:80")


def test_overrides_win_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_SMTP__HOST", "real-relay.example")

    assert load(overrides={"smtp__host": "127.0.0.1"}).smtp.host == "127.0.0.1"


def test_first_run_files_load_and_their_entries_are_checked(tmp_path: Path) -> None:
    assert len(load_sources()) > 10
    assert {topic.slug for topic in load_topics()} >= {"opioid-tolerance", "mtor"}
    assert all(
        tomllib.loads(Path(DEFAULT_FILE.with_name(name)).read_text(encoding="utf-8")) for name in ("sources.toml",)
    )

    path = written(tmp_path, '[[source]]\nslug = "a b"\nname = "A"\nurl = "ftp://x"\n')
    with pytest.raises(ConfigError, match=r"number 1 \(a b\): slug: .*url: "):
        load_sources(path)
    twice = written(tmp_path, '[[topic]]\nslug = "a"\nname = "A"\nquery = "x"\n' * 2)
    with pytest.raises(ConfigError, match="used twice"):
        load_topics(twice)
