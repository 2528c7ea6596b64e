"""docs/api.md: each of its examples is run, and what it says of scopes is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx
from web_programs import open_full_site, program

from monitor.pipeline.users import SCOPES

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
BASE = "https://news.example.org"


def commands() -> list[list[str]]:
    """The words of each curl command, as a shell would hand them over."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.replace("$MONITOR", BASE)) for line in lines]


async def curl(client: httpx.AsyncClient, words: list[str]) -> httpx.Response:
    """What curl would send, of the options that the page uses."""
    assert words[0] == "curl"
    method, headers, body, address = "", {}, None, ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest).encode()
        else:
            address = word
    assert headers.pop("Authorization") == "Bearer $TOKEN"
    return await client.request(method or ("POST" if body else "GET"), address, headers=headers, content=body)


async def test_every_example_does_what_it_says(tmp_path: Path) -> None:
    found = commands()
    async with open_full_site(tmp_path) as site, await program(site) as client:
        answers = [await curl(client, words) for words in found]

    assert len(found) > 25
    for example, answer in zip(found, answers, strict=True):
        assert answer.status_code < 300, (example, answer.text)


def test_the_table_of_scopes_is_whole() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in PAGE.splitlines() if line.startswith("| `")]
    told = set()
    for noun, read, write in rows:
        told |= {f"{noun[1:-1]}:{right}" for right, cell in (("read", read), ("write", write)) if cell}

    assert told == set(SCOPES)


def test_every_noun_has_an_example() -> None:
    shown = {
        re.sub(r"^.*/api/v1/(\w+).*$", r"\1", word) for words in commands() for word in words if "/api/v1/" in word
    }

    assert shown >= {
        "account", "topics", "articles", "stories", "sources", "readers", "people", "issues", "outbox", "bounces",
        "users", "overview", "audit", "corrections", "synonyms",
    }  # fmt: skip
