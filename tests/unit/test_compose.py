"""docker-compose.yml, Dockerfile and .env.example, read as an operator's and an attacker's eyes would."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings, known_keys, variable

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("medical-news-monitor")]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
KNOWN = {variable(key) for key in known_keys()} | {f"{variable(key)}_FILE" for key in known_keys()}
SECRET = re.compile(r"(?i)password|secret|token|_key|url$")
NO_SECRETS = {"MONITOR_WEB__BASE_URL", "MONITOR_OTEL__URL"}
COMPOSES_OWN = {"COMPOSE_PROFILES"}

every = pytest.mark.parametrize("name", SERVICES)


def used_variables() -> dict[str, str]:
    """Those that the file reads from .env, and what stands in for each."""
    text = "\n".join(
        line.partition(" #")[0]
        for line in (ROOT / "docker-compose.yml").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    return dict(re.findall(r"\$\{([A-Z_0-9]+):-([^}]*)\}", text))


def example() -> dict[str, str]:
    return dict(re.findall(r"(?m)^([A-Z_0-9]+)=(.*)$", EXAMPLE))


@every
def test_a_service_gains_no_right_and_writes_nowhere_but_where_it_must(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(not str(volume).startswith(("/", "./", "..")) for volume in service.get("volumes", []))


@every
def test_a_service_has_limits_and_its_log_is_rotated(name: str) -> None:
    service = SERVICES[name]

    assert service["mem_limit"]
    assert service["cpus"]
    assert service["pids_limit"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@every
def test_a_service_runs_as_somebody_else_than_root(name: str) -> None:
    user = SERVICES[name].get("user")

    if name in OURS:
        assert user is None  # the image's own, a number
        assert re.search(r"(?m)^USER 10001:10001$", DOCKERFILE)
    else:
        assert user not in (None, "root", "0", 0)


@every
def test_a_service_that_stays_has_a_health_check_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    check = service.get("healthcheck", {})

    if service.get("command") == ["migrate"]:
        assert service["restart"] == "no"
        assert check == {"disable": True}
        return
    assert service["restart"] == "unless-stopped"
    assert check.get("test") or (name in OURS and "HEALTHCHECK" in DOCKERFILE)
    assert "disable" not in check


@pytest.mark.parametrize("name", OURS)
def test_our_processes_have_an_init_and_time_to_drain(name: str) -> None:
    assert SERVICES[name]["init"] is True
    assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) > Settings().run.drain_seconds


@every
def test_ports_are_open_on_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@every
def test_no_secret_is_a_variable(name: str) -> None:
    environment = SERVICES[name].get("environment", {})

    given = {key: value for key, value in environment.items() if SECRET.search(key) and key not in NO_SECRETS}
    assert all(key.endswith("_FILE") and value.startswith("/run/secrets/") for key, value in given.items())
    assert {value.removeprefix("/run/secrets/") for value in given.values()} <= set(SERVICES[name].get("secrets", []))


@every
def test_each_variable_of_ours_is_a_setting(name: str) -> None:
    ours = {key for key in SERVICES[name].get("environment", {}) if key.startswith("MONITOR_")}

    assert ours <= KNOWN


def test_what_starts_by_default_is_one_container_on_sqlite() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["monitor"]
    assert not any("STORAGE__URL" in key for key in SERVICES["monitor"]["environment"])


def test_what_shares_the_database_waits_for_its_migration() -> None:
    for name in ("web", "scheduler", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert SERVICES[name]["profiles"] == ["scale"]


def test_each_secret_is_a_file_that_make_secrets_makes_or_the_empty_one() -> None:
    script = (ROOT / "scripts/make-secrets").read_text(encoding="utf-8")

    for name, secret in COMPOSE["secrets"].items():
        assert set(secret) == {"file"}
        assert f"put {name} " in script or secret["file"].endswith(":-/dev/null}")


def test_the_example_names_each_variable_that_compose_reads_with_the_value_it_has_without() -> None:
    said = example()

    assert set(said) == set(used_variables()) | COMPOSES_OWN
    assert {key: said[key] for key in used_variables()} == used_variables()


def test_the_example_says_what_each_variable_is() -> None:
    lines = EXAMPLE.splitlines()
    grouped = {
        "MONITOR_SMTP__PORT", "MONITOR_SMTP__USERNAME", "SCHEDULERS", "MONITOR_DIGEST__LIST_DOMAIN",
        "MONITOR_BACKUP__KEEP",
    }  # fmt: skip

    for number, line in enumerate(lines):
        name = line.partition("=")[0]
        if re.match(r"[A-Z_]+=", line) and name not in grouped:
            assert lines[number - 1].startswith("# "), f"{name} has no sentence"


def test_settings_in_the_example_exist_and_have_the_programs_own_defaults_where_they_have_one() -> None:
    defaults = {variable(key): key for key in known_keys()}
    differ = {
        "MONITOR_DIGEST__SENDER",  # set in the file for a first start without any mail
        "MONITOR_DIGEST__LIST_DOMAIN",
    }

    for name, value in example().items():
        if not name.startswith("MONITOR_"):
            continue
        assert name in defaults, name
        current: Any = Settings.model_construct()
        section, _, key = defaults[name].rpartition(".")
        current = getattr(type(getattr(current, section))(), key)
        if name not in differ:
            assert value == ("" if current in ("", ()) else str(current)), name


def test_the_image_is_of_the_version_that_it_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert re.search(rf"(?m)^ARG VERSION={re.escape(project['version'])}$", DOCKERFILE)
    for label in ("title", "description", "version", "licenses"):
        assert f"org.opencontainers.image.{label}=" in DOCKERFILE


def test_the_image_is_built_apart_from_what_runs() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]

    assert DOCKERFILE.count("\nFROM ") == 2
    assert "pip install" not in last
    assert "apt-get" not in last
    assert "--mount" not in DOCKERFILE  # builds without BuildKit, too
    for line in re.findall(r"(?m)^COPY .*", DOCKERFILE):
        assert not re.search(r"COPY \. |\.env|secrets", line)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".env", "secrets", "data"} <= set(ignored)
