"""Writes config/monitor.toml from the settings' own defaults and descriptions: `python scripts/write_config.py`."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from pydantic import BaseModel, SecretStr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config.settings import DEFAULT_FILE, Settings, variable

HEAD = """\
# Medical News Monitor: every setting with its default, unit and meaning.
# A value here is overruled by its environment variable, e.g. smtp.host by MONITOR_SMTP__HOST; a secret is best given
# as a file, e.g. MONITOR_SMTP__PASSWORD_FILE=/run/secrets/smtp. `monitor config check` tells what is wrong.
# This file is made from config/settings.py by scripts/write_config.py; a test compares the two.
"""


def literal(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:_}" if isinstance(value, int) and value >= 10_000 else repr(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(literal(part) for part in value) + "]"
    return '"' + str(value) + '"'


def lines(model: type[BaseModel], prefix: str = "") -> list[str]:
    out: list[str] = []
    sections: list[str] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            doc = " ".join((field.annotation.__doc__ or "").split())
            sections += ["", f"[{prefix}{name}]", f"# {doc}", *lines(field.annotation, f"{prefix}{name}.")]
            continue
        meaning = f"{field.description} [{variable(prefix + name)}]"
        out += ["", *textwrap.wrap(meaning, 118, initial_indent="# ", subsequent_indent="# ")]
        out.append(f"{name} = {literal(field.default)}")
    return out + sections


def rendered() -> str:
    return HEAD + "\n".join(lines(Settings)) + "\n"


if __name__ == "__main__":
    DEFAULT_FILE.write_text(rendered(), encoding="utf-8")
