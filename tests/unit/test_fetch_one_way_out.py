"""Only monitor.fetch opens a web page: nearly every hole of this kind was a second path that forgot the guard."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = (
    "httpx", "httpx_aiohttp", "httpcore", "aiohttp", "requests", "urllib3", "urllib.request", "http.client", "pycurl",
    "trafilatura.downloads", "trafilatura.fetch_url", "trafilatura.fetch_response",
)  # fmt: skip
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in ("monitor", "config", "storage")
    for path in (ROOT / folder).rglob("*.py")
    if "fetch" not in path.relative_to(ROOT).parts
)


def web_clients(source: str) -> list[str]:
    """The modules imported in `source` (anywhere in it, under any name) that can open a web page."""
    named: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            named += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if name in ("urlopen", "fetch_url", "fetch_response"):
                named.append(f"trafilatura.{name}" if name != "urlopen" else "urllib.request")
            if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
                named.append(str(node.args[0].value))
    return [name for name in named if any(name == client or name.startswith(client + ".") for client in CLIENTS)]


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_other_module_has_a_web_client(path: Path) -> None:
    assert web_clients((ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import httpx", "def f():\n import requests as r", "from urllib import request", "from http import client",
        "from urllib.request import urlopen", "import importlib\nimportlib.import_module('aiohttp')",
        "import httpx_aiohttp", "import trafilatura\ntrafilatura.fetch_url(x)", "from trafilatura import fetch_url",
    ],
)  # fmt: skip
def test_the_search_finds_a_web_client(source: str) -> None:
    assert web_clients(source)


def test_the_search_leaves_the_rest_alone() -> None:
    assert web_clients("from urllib.parse import urlsplit\nfrom fastapi import Request\nimport http.cookies") == []


def test_the_search_covers_the_program() -> None:
    assert Path("monitor/sandbox.py") in SOURCES
    assert len(SOURCES) > 20
