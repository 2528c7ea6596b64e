"""The API held to its own description by schemathesis: what fits it and what does not, and what comes back."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from web_programs import open_full_site, program
from web_site import Site

from monitor.errors import FetchRefused
from monitor.fetch import Fetcher

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
# Names of what is really there: a path made up from its pattern alone would find nothing.
REAL = {
    "slug": ("pain", "sample"),
    "number": (1, 2),
    "subscription": (1,),
    "token": (1,),
    "action": ("retry", "cancel"),
}


@schemathesis.serializer("message/rfc822", "text/x-opml", "text/csv")
def as_it_is(_context: schemathesis.SerializationContext, value: object) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async def no_network(self: Fetcher, url: str, *_: object, **__: object) -> None:
        raise FetchRefused(url, "nothing leaves this machine in tests")

    monkeypatch.setattr(Fetcher, "get", no_network)
    async with open_full_site(tmp_path) as opened:
        yield opened


def cases_of(description: dict[str, Any], examples: int, seed_of_run: int) -> list[Case]:
    """Some for each call: half of them fit the description, half do not."""
    schema = schemathesis.openapi.from_dict(description)
    found: list[Case] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:

            @seed(seed_of_run)
            @settings(
                max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(operation.as_strategy(generation_mode=mode))
            def draw(case: Case) -> None:
                found.append(case)

            draw()
    return found


async def ask(client: httpx.AsyncClient, case: Case, chance: random.Random) -> httpx.Response:
    for name, values in REAL.items():
        if name in case.path_parameters and chance.random() < 0.8:
            case.path_parameters[name] = chance.choice(values)
    sent = requests.Request(**case.as_transport_kwargs(base_url=str(client.base_url))).prepare()
    headers = {name: value for name, value in sent.headers.items() if name.lower() != "authorization"}
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    return await client.request(sent.method or "GET", str(sent.url), headers=headers, content=body)


async def check(site: Site, examples: int, seed_of_run: int) -> dict[int, int]:
    """How often each status came back."""
    chance = random.Random(seed_of_run)
    client = await program(site)
    cases = cases_of((await client.get("/api/v1/openapi.json")).json(), examples, seed_of_run)
    chance.shuffle(cases)  # a call must not depend on what was asked before it
    counts: dict[int, int] = {}
    for case in cases:
        answer = await ask(client, case, chance)
        if answer.status_code == 401:  # it revoked its own token
            await client.aclose()
            client = await program(site)
            answer = await ask(client, case, chance)
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", case
        counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
    await client.aclose()
    return counts


@pytest.mark.timeout(600)
async def test_the_api_keeps_its_description_whatever_is_sent(site: Site) -> None:
    counts = await check(site, examples=2, seed_of_run=1)

    assert counts[200] > 60, counts
    assert counts[422] > 30, counts
    assert {201, 204, 404} <= counts.keys(), counts


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_the_api_keeps_its_description_through_thousands_of_calls(site: Site) -> None:
    counts = await check(site, examples=60, seed_of_run=random.randrange(2**32))

    assert sum(counts.values()) > 5_000
