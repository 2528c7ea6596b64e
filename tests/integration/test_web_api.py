"""The API for programs: what its description promises, and that nothing sent to it makes it fail."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web_site import Site, open_site

from monitor.model import Role
from monitor.pipeline.users import SCOPES

MAX_INT = 2**31 - 1


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


@pytest.fixture
async def api(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with await with_token(site) as client:
        yield client


async def with_token(site: Site) -> httpx.AsyncClient:
    user = await site.user(Role.ADMIN)
    _, token = await site.opened.monitor.users.add_token(user, "test", SCOPES)
    client = site.client()
    client.headers = httpx.Headers({"Authorization": f"Bearer {token}"})  # as a program: no Fetch Metadata, no Origin
    return client


async def test_a_program_tries_saves_and_reads_a_topic(site: Site, api: httpx.AsyncClient) -> None:
    tried = await api.post("/api/v1/topics/pain/try", json={"query": "statin OR mTOR", "days": 30})
    saved = await api.put(
        "/api/v1/topics/pain", json={"name": "Pain", "query": "statin OR mTOR", "note": "by a program", "force": True}
    )
    read = await api.get("/api/v1/topics/pain")

    assert (tried.json()["gained_total"], tried.json()["lost_total"]) == (1, 0)
    assert saved.json()["topic"]["revision"] == 2
    assert read.json()["topic"]["query"] == "statin OR mTOR"
    entry = (await site.opened.monitor.storage.audit.recent())[0]
    assert entry.what == "saved the topic pain, revision 2"


async def test_a_wrong_query_is_a_problem_with_each_place(api: httpx.AsyncClient) -> None:
    answer = await api.put("/api/v1/topics/pain", json={"name": "x", "query": "(mTOR OR"})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["instance"]) == (422, "/api/v1/topics/pain")
    assert problem["title"].startswith("Unprocessable")
    assert problem["problems"][0]["start"] >= 0


async def test_an_older_revision_is_a_conflict(api: httpx.AsyncClient) -> None:
    body = {"name": "Pain", "query": "mTOR", "note": "x", "force": True, "revision": 1}

    first = await api.put("/api/v1/topics/pain", json=body)
    second = await api.put("/api/v1/topics/pain", json=body | {"query": "statin"})

    assert (first.status_code, second.status_code) == (200, 409)


async def test_pages_follow_one_another_without_gap_or_repeat(site: Site, api: httpx.AsyncClient) -> None:
    seen: list[int] = []
    before = ""
    while True:
        page = (await api.get(f"/api/v1/articles?limit=2{before}")).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_before"] is None:
            break
        before = f"&before={page['next_before']}"

    assert seen == sorted((article.id for article in site.articles), reverse=True)
    assert "body" not in page["items"][0]


async def test_every_problem_looks_alike(api: httpx.AsyncClient) -> None:
    answers = [
        await api.get("/api/v1/topics/pain/nothing"),
        await api.get("/api/v1/topics/nothing"),
        await api.get("/api/v1/articles?limit=0"),
        await api.delete("/api/v1/topics/pain"),
        await api.post("/api/v1/topics/pain/try", content=b"{", headers={"Content-Type": "application/json"}),
        await api.post("/api/v1/topics/pain/labels", json={"article": 1, "verdict": "perhaps"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 422, 405, 422, 422]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "instance"} <= answer.json().keys()


async def test_an_error_does_not_repeat_what_was_sent(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/topics/pain/labels", json={"article": "<script>", "verdict": None})

    assert answer.status_code == 422
    assert "<script>" not in answer.text


async def test_a_label_a_switch_and_an_action_are_done_and_audited(site: Site, api: httpx.AsyncClient) -> None:
    storage = site.opened.monitor.storage
    number = site.articles[0].id
    await api.post("/api/v1/topics/pain/labels", json={"article": number, "verdict": "relevant", "reason": "yes"})
    await api.patch("/api/v1/topics/pain", json={"active": False})
    await api.patch("/api/v1/sources/sample", json={"active": False})

    topic = await storage.topics.get("pain")
    assert [label.by for label in await storage.topics.labels(topic.id)] == ["admin@example.org"]
    assert not topic.active
    assert not (await storage.sources.get("sample")).active
    assert len(await storage.audit.recent()) == 3


async def test_the_description_names_every_call_and_is_not_open_to_all(site: Site, api: httpx.AsyncClient) -> None:
    schema = (await api.get("/api/v1/openapi.json")).json()
    async with site.client() as nobody:
        closed = await nobody.get("/api/v1/openapi.json")

    assert schema["openapi"].startswith("3.1")
    assert len(schema["paths"]) >= 18
    assert closed.status_code == 401
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert "401" in operation["responses"], (method, path)


# --- nothing that is sent makes it fail -----------------------------------------------------------------------

TEXT = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["", "\x00", "\ud800", "a" * 30_000, "((((", "NOT", '"', "10.1000/x", "http://[", "💊" * 50,
                     "../..", "%00", "1e999", "-1", "9" * 40, "=cmd", "\u202e", "mTOR NEAR/3 pain", "ATLEAST/2 (x)"]),
)  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


def value_of(schema: dict[str, Any], schemas: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit a schema now and then, and often nearly."""
    if "$ref" in schema:
        return value_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return st.one_of(*(value_of(one, schemas) for one in schema["anyOf"]), JSON)
    if "enum" in schema:
        return st.one_of(st.sampled_from(schema["enum"]), JSON)
    kind = schema.get("type")
    if kind == "object":
        fields = {name: value_of(one, schemas) for name, one in schema.get("properties", {}).items()}
        return st.fixed_dictionaries({}, optional=fields)
    if kind == "array":
        return st.lists(value_of(schema["items"], schemas), max_size=4)
    if kind == "integer":
        return st.one_of(st.integers(0, 10), st.sampled_from([-1, MAX_INT, 2**63, 2**70]), JSON)
    if kind == "number":
        return st.one_of(st.floats(allow_nan=False, allow_infinity=False), JSON)
    return st.one_of(st.booleans(), JSON) if kind == "boolean" else TEXT


async def test_nothing_that_is_sent_makes_the_server_fail(site: Site, api: httpx.AsyncClient) -> None:
    """A walk over the description, as schemathesis does it: every call with fitting and with unfitting values."""
    schema = (await api.get("/api/v1/openapi.json")).json()
    schemas = schema["components"]["schemas"]
    state = {"calls": 0}
    calls = [(path, method, one) for path, some in schema["paths"].items() for method, one in some.items()]
    # polling leaves this machine: it has tests of its own
    calls = [call for call in calls if not call[0].endswith("/poll")]
    chosen = [
        (
            path,
            method,
            st.fixed_dictionaries({one["name"]: st.one_of(st.sampled_from(["pain", "1", "cancel", "retry"]), TEXT)
                                   for one in operation.get("parameters", [])}),
            value_of(operation["requestBody"]["content"]["application/json"]["schema"], schemas)
            if "requestBody" in operation else st.none(),
        )
        for path, method, operation in calls
    ]  # fmt: skip

    @st.composite
    def sent(draw: st.DrawFn) -> tuple[str, str, dict[str, Any], Any]:
        path, method, parameters, body = draw(st.sampled_from(chosen))
        return path, method, draw(parameters), draw(body)

    drawn: list[tuple[str, str, dict[str, Any], Any]] = []

    @settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(sent())
    def collect(one: tuple[str, str, dict[str, Any], Any]) -> None:
        drawn.append(one)

    collect()
    for path, method, parameters, body in drawn:
        answer = await call(api, path, method, parameters, body)
        state["calls"] += 1
        assert answer.status_code < 500, (method, path, parameters, body, answer.text[:300])
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", (method, path, parameters)

    assert state["calls"] > 100
    assert (await api.get("/api/v1/overview")).status_code == 200


async def call(api: httpx.AsyncClient, path: str, method: str, parameters: dict[str, Any], body: Any) -> httpx.Response:
    names = re.findall(r"\{(\w+)\}", path)
    for name in names:
        text = str(parameters[name]).encode("utf-8", "surrogatepass")[:500]
        path = path.replace("{" + name + "}", quote(text, safe="") or "x")
    query = {
        name: str(value).encode("utf-8", "replace").decode()[:9_000]
        for name, value in parameters.items()
        if name not in names
    }
    if body is None:
        return await api.request(method, path, params=query)
    content = json.dumps(body).encode()
    return await api.request(
        method, path, params=query, content=content, headers={"Content-Type": "application/json"}
    )  # fmt: skip
