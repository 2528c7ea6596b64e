"""The API for programs: what its page in the docs promises."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile_http import HostileHttp, ok
from test_bad_input import feed
from web_programs import open_full_site, program
from web_site import NOW, Site, open_site

from monitor.errors import StorageDown
from monitor.model import Article as StoredArticle
from monitor.model import Entry, Level, Poll, Role, Source
from monitor.pipeline.users import SCOPES
from storage import Saved
from storage.topics import Topics

PROBLEM = "application/problem+json"
V1 = "/api/v1"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_full_site(tmp_path) as opened:
        yield opened


@pytest.fixture
async def api(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with await program(site) as client:
        yield client


# --- topics ---------------------------------------------------------------------------------------------------

DRAFT = {"name": "Pain", "query": "statin OR mTOR", "note": "by a program", "force": True}


async def test_a_program_tries_saves_and_reads_a_topic(site: Site, api: httpx.AsyncClient) -> None:
    tried = await api.post(f"{V1}/topics/pain/try", json={"query": "statin OR mTOR", "days": 30})
    read = await api.get(f"{V1}/topics/pain")
    saved = await api.put(f"{V1}/topics/pain", json=DRAFT, headers={"If-Match": read.headers["etag"]})
    again = await api.get(f"{V1}/topics/pain")

    assert (tried.json()["gained_total"], tried.json()["lost_total"]) == (1, 0)
    assert (saved.json()["revision"], again.json()["query"]) == (2, "statin OR mTOR")
    assert saved.headers["etag"] == again.headers["etag"] != read.headers["etag"]
    entry = (await site.opened.monitor.storage.audit.recent())[0]
    assert (entry.who, "pain" in entry.what) == ("admin@example.org", True)


async def test_two_admins_do_not_overwrite_each_other(api: httpx.AsyncClient) -> None:
    read = (await api.get(f"{V1}/topics/pain")).headers["etag"]

    blind = await api.put(f"{V1}/topics/pain", json=DRAFT)
    first = await api.put(f"{V1}/topics/pain", json=DRAFT, headers={"If-Match": read})
    second = await api.put(f"{V1}/topics/pain", json=DRAFT | {"query": "statin"}, headers={"If-Match": read})
    by_number = await api.put(f"{V1}/topics/pain", json=DRAFT | {"query": "statin", "revision": 1})
    restored = await api.post(f"{V1}/topics/pain/restore", json={"revision": 1}, headers={"If-Match": read})
    anyway = await api.put(f"{V1}/topics/pain", json=DRAFT | {"query": "statin"}, headers={"If-Match": "*"})

    found = [one.status_code for one in (blind, first, second, by_number, restored, anyway)]
    assert found == [428, 200, 412, 409, 412, 200]
    assert second.headers["etag"] == first.headers["etag"]
    assert (await api.get(f"{V1}/topics/pain")).json()["revision"] == 3


async def test_a_save_between_look_and_save_is_found_too(site: Site, api: httpx.AsyncClient, monkeypatch: Any) -> None:
    """Two programs pass the check of If-Match at the same moment: the database lets one of them through."""
    read = (await api.get(f"{V1}/topics/pain")).headers["etag"]
    real = Topics.save

    async def late(self: Topics, topic: Any, *rest: Any) -> Any:
        monkeypatch.setattr(Topics, "save", real)
        other = await site.opened.monitor.storage.topics.get("pain")
        await site.opened.monitor.tuning.save(other, "somebody else", "meanwhile", force=True)
        return await real(self, topic, *rest)

    monkeypatch.setattr(Topics, "save", late)
    answer = await api.put(f"{V1}/topics/pain", json=DRAFT, headers={"If-Match": read})

    assert answer.status_code == 412
    assert (await api.get(f"{V1}/topics/pain")).json()["query"] != DRAFT["query"]


async def test_what_is_as_before_is_not_sent_again(api: httpx.AsyncClient) -> None:
    read = await api.get(f"{V1}/topics/pain")
    again = await api.get(f"{V1}/topics/pain", headers={"If-None-Match": read.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_only_if_there_is_none_yet(api: httpx.AsyncClient) -> None:
    new = await api.put(f"{V1}/topics/statins", json=DRAFT, headers={"If-None-Match": "*"})
    twice = await api.put(f"{V1}/topics/statins", json=DRAFT, headers={"If-None-Match": "*"})

    assert (new.status_code, twice.status_code) == (201, 412)
    assert new.headers["location"] == f"{V1}/topics/statins"


async def test_a_draft_is_asked_why_and_for_words(api: httpx.AsyncClient) -> None:
    what = {"what": "A new statin\nCholesterol falls."}
    saved = await api.post(f"{V1}/topics/pain/why", json=what)
    draft = await api.post(f"{V1}/topics/pain/why", json={**what, "draft": {"query": "statin"}})
    words = await api.post(f"{V1}/topics/pain/words", json={"query": "semaglutide"})

    assert (saved.json()["explanation"]["held"], draft.json()["explanation"]["held"]) == (False, True)
    assert any("wegovy" in one["query"].lower() for one in words.json()["synonyms"])


async def test_a_topic_is_copied_restored_matched_anew_and_exported(site: Site, api: httpx.AsyncClient) -> None:
    copy = await api.post(f"{V1}/topics/pain/clone", json={"slug": "pain-2"})
    etag = (await api.get(f"{V1}/topics/pain")).headers["etag"]
    restored = await api.post(f"{V1}/topics/pain/restore", json={"revision": 1}, headers={"If-Match": etag})
    running = await api.post(f"{V1}/topics/pain/rematch")
    exported = await api.get(f"{V1}/topics/export")
    tried = await api.post(
        f"{V1}/topics/import?dry_run=true", content=exported.content, headers={"Content-Type": "application/yaml"}
    )
    for task in list(site.app.state.tasks):  # type: ignore[attr-defined]
        await task

    assert [one.status_code for one in (copy, restored, running, exported, tried)] == [201, 200, 202, 200, 200]
    assert len((await api.get(f"{V1}/topics/pain-2/examples")).json()["items"]) == 1
    assert {one["outcome"] for one in tried.json()["changes"]} == {"same"}
    assert not (await api.get(f"{V1}/topics/pain/rematch")).json()["running"]


async def test_an_import_with_an_error_stores_nothing(api: httpx.AsyncClient) -> None:
    text = "topics:\n- slug: good\n  name: Good\n  query: statin\n- slug: bad\n  name: Bad\n  query: (statin OR\n"
    answer = await api.post(f"{V1}/topics/import", content=text, headers={"Content-Type": "application/yaml"})

    assert answer.status_code == 422
    assert "line" in answer.json()["problems"][0]["message"]
    assert (await api.get(f"{V1}/topics/good")).status_code == 404


# --- readers --------------------------------------------------------------------------------------------------

READER = {"email": "new@example.org", "name": "New", "subscription": {"topics": ["pain"], "timezone": "Europe/Berlin"}}


async def test_a_reader_is_invited_changed_paused_and_ended(site: Site, api: httpx.AsyncClient) -> None:
    made = await api.post(f"{V1}/readers", json=READER)
    here = made.headers["location"]
    sub = f"{here}/subscriptions/{made.json()['subscriptions'][0]['id']}"
    moved = await api.patch(sub, json={"cadence": "daily", "at": "18:30", "max_items": 20})
    paused = await api.patch(sub, json={"paused_until": "2026-12-24"})
    more = await api.post(f"{here}/subscriptions", json={"topics": ["pain"], "cadence": "monthly"})
    ended = await api.delete(sub)
    gone = await api.patch(here, json={"state": "unsubscribed"})

    assert (made.status_code, made.json()["state"]) == (201, "invited")
    assert (moved.json()["cadence"], moved.json()["at"], moved.json()["max_items"]) == ("daily", "18:30", 20)
    assert moved.json()["next_digest_at"] == "2026-11-23T17:30:00Z"
    assert (paused.json()["paused_until"], paused.json()["cadence"]) == ("2026-12-24", "daily")
    assert (more.status_code, ended.status_code) == (201, 204)
    assert gone.json()["state"] == "unsubscribed"
    invitations = [one for one in await site.opened.monitor.storage.outbox.list() if "invit" in one.period_key]
    assert {one.message.recipient for one in invitations} == {"new@example.org"}


async def test_consent_is_the_readers_own_to_give(api: httpx.AsyncClient) -> None:
    made = await api.post(f"{V1}/readers", json=READER)
    answer = await api.patch(made.headers["location"], json={"state": "active"})

    assert answer.status_code == 422
    assert (await api.get(made.headers["location"])).json()["state"] == "invited"


async def test_a_subscription_of_somebody_else_is_not_found(api: httpx.AsyncClient) -> None:
    made = await api.post(f"{V1}/readers", json=READER)

    assert (await api.get(f"{made.headers['location']}/subscriptions/1")).status_code == 404
    assert (await api.delete(f"{made.headers['location']}/subscriptions/1")).status_code == 404


async def test_one_persons_data_is_given_out_then_gone(api: httpx.AsyncClient) -> None:
    person = {"address": "reader@example.org"}
    out = await api.post(f"{V1}/people/export", json=person)
    erased = await api.post(f"{V1}/people/erase", json=person)
    again = await api.post(f"{V1}/people/erase", json=person)
    signed_up = await api.post(f"{V1}/readers", json=READER | {"email": "Reader@example.org"})

    assert out.json()["person"]["subscriptions"][0]["topics"] == ["pain"]
    assert (erased.status_code, again.status_code) == (204, 404)
    assert (await api.get(f"{V1}/readers")).json()["items"] == []
    assert signed_up.status_code == 422
    assert "must not be mailed" in signed_up.json()["detail"]


async def test_a_digest_is_previewed_and_sent_to_whoever_asks(site: Site, api: httpx.AsyncClient) -> None:
    at = f"{V1}/readers/1/subscriptions/1"
    preview, trial = await api.post(f"{at}/preview"), await api.post(f"{at}/test")

    assert "<html" in preview.json()["html"]
    assert trial.json()["sent_to"] == "admin@example.org"
    assert trial.json()["subject"].startswith("[TEST]")


# --- mail -----------------------------------------------------------------------------------------------------


async def test_an_issue_is_read_in_every_form(api: httpx.AsyncClient) -> None:
    listed = (await api.get(f"{V1}/issues")).json()["items"]
    here = f"{V1}/issues/{listed[0]['id']}"
    issue, html, text, ris = [await api.get(here + form) for form in ("", "/html", "/text", "/export?style=ris")]

    assert issue.json()["articles"][0]["title"] in html.text
    assert html.headers["content-type"].startswith("text/html")
    assert "sandbox" in html.headers["content-security-policy"]
    assert text.headers["content-type"].startswith("text/plain")
    assert issue.json()["articles"][0]["title"] in text.text
    assert ris.text.count("TY  - ") == len(issue.json()["articles"])


async def test_a_letter_is_no_issue(api: httpx.AsyncClient) -> None:
    await api.post(f"{V1}/readers", json=READER)
    letters = [one for one in (await api.get(f"{V1}/outbox")).json()["items"] if one["subscription"] is None]

    assert len(letters) == 1
    assert (await api.get(f"{V1}/issues/{letters[0]['id']}")).status_code == 404


async def test_a_message_is_cancelled_and_its_state_then_stands_in_the_way(api: httpx.AsyncClient) -> None:
    cancelled = await api.post(f"{V1}/outbox/1/cancel")
    retried = await api.post(f"{V1}/outbox/1/retry")
    box = (await api.get(f"{V1}/outbox?state=cancelled")).json()

    assert (cancelled.json()["state"], retried.status_code) == ("cancelled", 409)
    assert [one["id"] for one in box["items"]] == [1]
    assert box["counts"]["cancelled"] == 1


async def test_returned_mail_is_taken_in(api: httpx.AsyncClient) -> None:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "somebody@example.org", "Hello"
    mail.set_content("no bounce")
    taken = await api.post(f"{V1}/bounces", content=mail.as_bytes(), headers={"Content-Type": "message/rfc822"})

    assert taken.json() == {"done": "no bounce"}
    assert (await api.get(f"{V1}/bounces")).json()["items"] == []


# --- sources --------------------------------------------------------------------------------------------------


async def test_a_source_is_looked_at_added_changed_polled_and_listed(tmp_path: Path) -> None:
    web = HostileHttp()
    async with web.running():
        web.pages["/feed"] = ok(feed(web.place, "one", "two"))
        async with open_site(tmp_path, allow=(web.place,)) as site, await program(site) as api:
            look = await api.post(f"{V1}/sources/preview", json={"url": web.url("/feed")})
            made = await api.post(f"{V1}/sources", json={"url": web.url("/feed"), "slug": "pain-news", "pages": False})
            here = made.headers["location"]
            changed = await api.patch(here, json={"weight": 1.5, "minutes": 120})
            polled = await api.post(f"{here}/poll")
            off = await api.patch(here, json={"active": False})
            polls = await api.get(f"{here}/polls")
            health = await api.get(f"{V1}/sources/health")

    assert look.json()["found"]
    assert look.json()["entries"][0]["title"] == "Story one"
    assert (made.status_code, here) == (201, f"{V1}/sources/pain-news")
    assert (changed.json()["weight"], changed.json()["interval"], changed.json()["pages"]) == (1.5, 7200.0, False)
    assert polled.json()["poll"]["new"] == 2
    assert (off.json()["active"], len(polls.json()["items"])) == (False, 1)
    days = {one["source"]: one["days"] for one in health.json()["items"]}
    assert days["pain-news"][-1] == {"back": 0, "well": 1, "failed": 0, "new": 2}


IMPOSSIBLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"kind": "pubmed"}, "'query'"),
    ({"kind": "feed"}, "address"),
    ({"url": "file:///etc/passwd"}, "http://"),
    ({"url": "https://x.example", "kind": "page", "options": {"itme": "li"}}, "'itme'"),
)


async def test_a_source_that_cannot_be_is_told_why(api: httpx.AsyncClient) -> None:
    for body, told in IMPOSSIBLE:
        answer = await api.post(f"{V1}/sources", json=body)

        assert answer.status_code == 422, body
        assert told in answer.json()["detail"]


async def test_sources_leave_as_opml_and_come_back(site: Site, api: httpx.AsyncClient) -> None:
    await site.opened.monitor.storage.sources.add(
        Source(slug="trials", name="Trials", url="https://trials.example.org/x", options=(("match", "a"),))
    )
    opml = await api.get(f"{V1}/sources/opml")
    again = await api.post(f"{V1}/sources/opml", content=opml.content, headers={"Content-Type": "text/x-opml"})

    assert again.json() == {"added": [], "known": 2}


# --- stories --------------------------------------------------------------------------------------------------


async def test_a_wrong_story_is_split_and_a_right_one_joined(site: Site, api: httpx.AsyncClient) -> None:
    listed = (await api.get(f"{V1}/stories")).json()["items"]
    first, second = (one.id for one in site.articles[:2])
    split = await api.post(f"{V1}/stories/split", json={"article": first})
    alone = await api.post(f"{V1}/stories/split", json={"article": first})
    left = (await api.get(f"{V1}/articles/{second}")).json()["story"]
    joined = await api.post(f"{V1}/stories/merge", json={"story": split.json()["story"], "other": left})

    assert [one["articles"] for one in listed] == [2]
    assert [one["article"]["id"] for one in split.json()["members"]] == [first]
    assert alone.status_code == 409
    assert {one["article"]["id"] for one in joined.json()["members"]} == {first, second}


# --- pages of a list ------------------------------------------------------------------------------------------


async def whole(api: httpx.AsyncClient, path: str, limit: int) -> list[dict[str, Any]]:
    """All items, followed by Link as a program does that does not know this API."""
    found: list[dict[str, Any]] = []
    address = f"{V1}{path}{'&' if '?' in path else '?'}limit={limit}"
    for _ in range(50):
        answer = await api.get(address)
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            assert "link" not in answer.headers
            return found
        address = answer.links["next"]["url"]
    raise AssertionError("the list does not end")


LISTS = ("/topics", "/articles", "/articles?q=opioid OR mTOR", "/sources", "/sources/health", "/readers", "/outbox",
         "/issues", "/users", "/audit", "/stories", "/corrections", "/bounces", "/notices", "/account/tokens",
         "/topics/pain/history", "/topics/pain/examples", "/topics/pain/labels", "/sources/sample/polls")  # fmt: skip


async def test_pages_follow_one_another_without_gap_or_repeat(site: Site, api: httpx.AsyncClient) -> None:
    await fill(site, api)
    for path in LISTS:
        at_once = (await api.get(f"{V1}{path}{'&' if '?' in path else '?'}limit=200")).json()["items"]
        step_by_step = await whole(api, path, limit=1)

        assert step_by_step == at_once, path
        assert len(at_once) >= 2 or path in {"/corrections", "/bounces"}, path


async def fill(site: Site, api: httpx.AsyncClient) -> None:
    """At least two of everything that the API lists."""
    storage, now = site.opened.monitor.storage, site.opened.monitor.now()
    await storage.sources.add(Source(slug="other", name="Other", url="https://other.example.org/feed"))
    await api.post(f"{V1}/readers", json=READER)
    reader = (await storage.readers.list())[0]
    second = (await api.post(f"{V1}/readers/{reader.id}/subscriptions", json={"topics": ["pain"]})).json()["id"]
    await site.opened.monitor.publisher.send_now(reader, await storage.readers.subscription(second))
    await api.post(f"{V1}/users", json={"email": "more@example.org"})
    await api.post(f"{V1}/stories/merge", json={"story": site.articles[2].id, "other": site.articles[3].id})
    await api.post(f"{V1}/account/tokens", json={"name": "second", "scopes": ["topics:read"]})
    await api.put(f"{V1}/topics/pain", json=DRAFT, headers={"If-Match": "*"})
    await api.post(f"{V1}/topics/pain/examples", json={"what": "A new statin\nIt works.", "must_match": True})
    for article in site.articles[:2]:
        await api.post(f"{V1}/topics/pain/labels", json={"article": article.id, "verdict": "relevant"})
    for code in ("one", "two"):
        await storage.notices.raise_once("source:sample", code, Level.WARNING, "look", now)
    for minutes in (2, 1):
        source = await storage.sources.claim("sample", now, timedelta(seconds=30))
        assert source
        poll = Poll(source_id=source.id, at=now - timedelta(minutes=minutes), outcome="unchanged")
        await storage.sources.finish(source, poll, next_poll_at=now)


async def test_what_is_added_meanwhile_moves_nothing_from_page_to_page(site: Site, api: httpx.AsyncClient) -> None:
    first = (await api.get(f"{V1}/articles?limit=2")).json()
    source = (await site.opened.monitor.storage.sources.list())[0]
    for number in range(3):
        url = f"https://sample.example.org/new/{number}"
        article = StoredArticle(url=url, canonical_url=url, key=url[8:], title="New", source_slug="sample")
        await site.opened.monitor.storage.articles.save(
            source, [Saved(entry=Entry(url=url, title="New"), article=article)], NOW
        )
    second = (await api.get(f"{V1}/articles?limit=200&cursor={first['next']}")).json()

    assert [one["id"] for one in first["items"] + second["items"]] == [one.id for one in site.articles]


CURSORS = ("x", "W10", "WzFd.", "WyJhIl0", "WzEsMl0", "WzFlOTk5XQ", "W251bGxd", "W3RydWVd", "%FF")


async def test_a_cursor_of_another_list_is_refused(api: httpx.AsyncClient) -> None:
    for cursor in CURSORS:
        answer = await api.get(f"{V1}/articles?cursor={cursor}")

        assert answer.status_code == 422, cursor
        assert answer.json()["errors"][0]["field"] == "cursor"


# --- asking twice ---------------------------------------------------------------------------------------------

TWICE = {
    "topic": ("/topics", {"slug": "statins", "name": "Statins", "query": "statin", "note": "n", "force": True}),
    "copy": ("/topics/pain/clone", {"slug": "pain-2"}),
    "example": ("/topics/pain/examples", {"what": "A new statin\nIt works."}),
    "reader": ("/readers", READER),
    "subscription": ("/readers/1/subscriptions", {"topics": ["pain"], "cadence": "daily"}),
    "user": ("/users", {"email": "more@example.org", "role": "editor"}),
    "token": ("/account/tokens", {"name": "script", "scopes": ["topics:read"]}),
}


async def test_a_post_that_arrived_can_be_sent_again(api: httpx.AsyncClient) -> None:
    for what, (path, body) in TWICE.items():
        first = await api.post(V1 + path, json=body)
        second = await api.post(V1 + path, json=body)

        assert (first.status_code, second.status_code) == (201, 409), (what, first.text)
        assert second.json()["existing"] == second.headers["location"] == first.headers["location"], what
        assert what == "token" or (await api.get(second.json()["existing"])).status_code == 200, what


# --- errors ---------------------------------------------------------------------------------------------------


async def test_every_problem_looks_alike(site: Site, api: httpx.AsyncClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    plain = {"Content-Type": "application/json"}
    foreign = {**plain, "Origin": "https://evil.example"}

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    async with site.client() as nobody, await program(site, ["topics:read"]) as reader:
        answers = {
            400: await api.post(f"{V1}/topics/pain/try", content=b'{"query": "\xff"}', headers=plain),
            401: await nobody.get(f"{V1}/topics"),
            403: await reader.get(f"{V1}/readers"),
            404: await api.get(f"{V1}/topics/nothing"),
            405: await api.delete(f"{V1}/topics/pain"),
            409: await api.post(f"{V1}/topics/pain/clone", json={"slug": "pain"}),
            411: await api.post(f"{V1}/topics/pain/try", content=pieces(), headers=plain),
            412: await api.put(f"{V1}/topics/pain", json=DRAFT, headers={"If-Match": '"99-on"'}),
            413: await api.post(f"{V1}/topics/pain/try", content=b" " * 1_000_001, headers=plain),
            415: await api.post(f"{V1}/topics/pain/try", content=b"query=x", headers=form),
            422: await api.get(f"{V1}/articles?limit=0"),
            428: await api.put(f"{V1}/topics/pain", json=DRAFT),
        }
        cross_site = await api.post(f"{V1}/topics/pain/try", json={"query": "x"}, headers=foreign)

    for status, answer in [*answers.items(), (403, cross_site)]:
        told = answer.json()
        assert (answer.status_code, told["status"]) == (status, status), answer.text
        assert answer.headers["content-type"] == PROBLEM, status
        assert {"type", "title", "status", "detail", "instance"} <= told.keys()
    assert answers[401].headers["www-authenticate"] == "Bearer"
    assert "PUT" in answers[405].headers["allow"]


WRONG: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("/topics", {"slug": "x", "name": ""}, "name"),
    ("/topics", {"slug": "X Y", "name": "x"}, "slug"),
    ("/topics", {"slug": "x", "name": "x", "weights": [{"term": "a", "weight": 1e9}]}, "weights.0.weight"),
    ("/topics", {"slug": "x", "name": "x", "thrshold": 1}, "thrshold"),
    ("/readers", READER | {"subscription": {"topics": ["nothing"]}}, "topics"),
    ("/readers", READER | {"subscription": {"topics": ["pain"], "timezone": "Mars/Base"}}, "subscription.timezone"),
    ("/readers", READER | {"subscription": {"topics": ["pain"], "at": "7 am"}}, "subscription.at"),
    ("/account/tokens", {"name": "x", "scopes": ["everything"]}, "scopes"),
)


async def test_a_wrong_field_is_named(api: httpx.AsyncClient) -> None:
    for path, body, field in WRONG:
        answer = await api.post(V1 + path, json=body)

        assert answer.status_code == 422, (field, answer.text)
        assert (answer.json()["errors"][0]["in"], answer.json()["errors"][0]["field"]) == ("body", field)


async def test_a_wrong_query_is_told_with_each_place(api: httpx.AsyncClient) -> None:
    answer = await api.put(f"{V1}/topics/new", json={"name": "x", "query": "(mTOR OR"})

    assert answer.status_code == 422
    assert answer.json()["problems"][0]["start"] >= 0
    assert answer.json()["problems"][0]["message"]


async def test_an_error_does_not_repeat_what_was_sent(api: httpx.AsyncClient) -> None:
    answer = await api.post(f"{V1}/topics/pain/labels", json={"article": "<script>", "verdict": None})

    assert answer.status_code == 422
    assert "<script>" not in answer.text


async def test_a_mistake_of_ours_and_a_database_that_is_away_are_problems_too(
    site: Site, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret in a message")

    async def away(*_: object) -> None:
        raise StorageDown("database monitor.db: database is locked")

    monkeypatch.setattr(Topics, "get", broken)
    mistake = await api.get(f"{V1}/topics/pain")
    monkeypatch.setattr(Topics, "get", away)
    down = await api.get(f"{V1}/topics/pain")

    assert (mistake.status_code, down.status_code) == (500, 503)
    assert mistake.headers["content-type"] == down.headers["content-type"] == PROBLEM
    assert "secret" not in mistake.text
    assert "secret" in caplog.text
    assert int(down.headers["retry-after"]) > 0
    assert mistake.headers["x-content-type-options"] == "nosniff"


async def test_who_asks_too_much_at_once_waits(site: Site, api: httpx.AsyncClient) -> None:
    user = await site.opened.monitor.storage.users.get("admin@example.org")
    site.app.state.asking[user.id] = 4  # type: ignore[attr-defined]
    refused = await api.post(f"{V1}/topics/pain/try", json={"query": "mTOR"})
    cheap = await api.get(f"{V1}/topics")
    site.app.state.asking[user.id] = 3  # type: ignore[attr-defined]
    let_in = await api.post(f"{V1}/topics/pain/try", json={"query": "mTOR"})

    assert (refused.status_code, cheap.status_code, let_in.status_code) == (429, 200, 200)
    assert refused.headers["retry-after"] == "1"
    assert site.app.state.asking[user.id] == 3  # type: ignore[attr-defined]


# --- tokens and scopes ----------------------------------------------------------------------------------------


async def test_each_call_needs_the_scope_that_the_description_names(site: Site, api: httpx.AsyncClient) -> None:
    """Asked with every other scope, each call is refused; with its own alone, it is let in."""
    schema = (await api.get(f"{V1}/openapi.json")).json()
    async with await program(site) as client:
        token = client.headers["authorization"]
        users = site.opened.monitor.storage.users
        admin = await users.get("admin@example.org")
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                (scope,) = operation["security"][0]["token"]
                assert scope in SCOPES, (method, path)
                address = path
                for name in ("number", "subscription", "token"):
                    address = address.replace("{" + name + "}", "999999")
                address = address.replace("{slug}", "none").replace("{key}", "ab").replace("{action}", "cancel")
                for scopes, refused in ((set(SCOPES) - {scope}, True), ({scope}, False)):
                    set_scopes(site, admin.id, scopes)
                    answer = await client.request(method.upper(), address)
                    assert (answer.status_code == 403) is refused, (method, path, scopes, answer.text)
        assert client.headers["authorization"] == token


def set_scopes(site: Site, user_id: int, scopes: set[str]) -> None:
    with sqlite3.connect(site.opened.settings.data_dir / "monitor.db", timeout=30) as db:
        db.execute("update api_token set scopes = ? where user_id = ?", (json.dumps(sorted(scopes)), user_id))
    db.close()


async def test_a_token_is_shown_once_kept_as_a_hash_used_and_revoked(site: Site, api: httpx.AsyncClient) -> None:
    made = await api.post(f"{V1}/account/tokens", json={"name": "script", "scopes": ["topics:read"], "days": 30})
    token, number = made.json()["token"], made.json()["id"]
    async with site.client() as client:
        client.headers = httpx.Headers({"Authorization": f"Bearer {token}"})
        used = await client.get(f"{V1}/topics")
        site.now = NOW + timedelta(hours=1)
        await client.get(f"{V1}/topics")
        listed = next(one for one in (await api.get(f"{V1}/account/tokens")).json()["items"] if one["id"] == number)
        revoked = await api.delete(f"{V1}/account/tokens/{number}")
        after = await client.get(f"{V1}/topics")
    stored = (site.opened.settings.data_dir / "monitor.db").read_bytes()

    assert (used.status_code, revoked.status_code, after.status_code) == (200, 204, 401)
    assert listed["last_used_at"] == "2026-11-23T10:00:00Z"
    assert token not in str(listed)
    assert token.encode() not in stored
    assert not any(token in f"{one.what}{one.after}" for one in await site.opened.monitor.storage.audit.recent())


async def test_a_token_makes_none_that_may_more(site: Site) -> None:
    async with await program(site, ["account:read", "account:write", "topics:read"]) as client:
        more = await client.post(f"{V1}/account/tokens", json={"name": "x", "scopes": ["readers:read"]})
        less = await client.post(f"{V1}/account/tokens", json={"name": "y", "scopes": ["topics:read"]})

    assert (more.status_code, less.status_code) == (422, 201)
    assert more.json()["errors"][0]["field"] == "scopes"


async def test_a_scope_gives_no_more_than_the_role(site: Site) -> None:
    async with await program(site), await program(site, SCOPES, Role.EDITOR) as editor:
        topics = await editor.patch(f"{V1}/topics/pain", json={"active": False})
        readers = await editor.get(f"{V1}/readers")
        stories = await editor.post(f"{V1}/stories/split", json={"article": 1})

    assert (topics.status_code, readers.status_code, stories.status_code) == (200, 403, 403)


async def test_an_admin_makes_users_and_ends_their_tokens(site: Site, api: httpx.AsyncClient) -> None:
    made = await api.post(f"{V1}/users", json={"email": "ed@example.org", "role": "editor"})
    here = made.headers["location"]
    promoted = await api.patch(here, json={"role": "admin"})
    link = await api.post(f"{here}/link")
    user = await site.opened.monitor.storage.users.get("ed@example.org")
    stored, _ = await site.opened.monitor.users.add_token(user, "theirs", ["topics:read"])
    listed = await api.get(f"{here}/tokens")
    removed = await api.delete(f"{here}/tokens/{stored.id}")
    last = await api.patch(f"{V1}/users/1", json={"active": False})
    await api.patch(here, json={"active": False})
    nobody = await api.patch(f"{V1}/users/1", json={"role": "viewer"})

    assert "/setup/" in made.json()["link"] != link.json()["link"]
    assert promoted.json()["role"] == "admin"
    assert [one["name"] for one in listed.json()["items"]] == ["theirs"]
    assert removed.status_code == 204
    assert last.status_code == 200  # there is another admin: it ended its own token
    assert nobody.status_code == 401


async def test_every_change_is_in_the_log_with_who_made_it(site: Site, api: httpx.AsyncClient) -> None:
    changes = (
        ("POST", "/topics/pain/labels", {"article": 1, "verdict": "relevant"}),
        ("POST", "/topics/pain/examples", {"what": "A new statin\nIt works."}),
        ("POST", "/topics/pain/clone", {"slug": "pain-2"}),
        ("PATCH", "/sources/sample", {"active": False}),
        ("PATCH", "/sources/sample", {"weight": 1.5}),
        ("POST", "/readers", READER),
        ("PATCH", "/readers/1", {"name": "Other"}),
        ("PATCH", "/readers/1", {"revoke_links": True}),
        ("PATCH", "/readers/1/subscriptions/1", {"cadence": "daily"}),
        ("DELETE", "/readers/1/subscriptions/1", None),
        ("POST", "/outbox/1/cancel", None),
        ("POST", "/stories/split", {"article": site.articles[0].id}),
        ("POST", "/users", {"email": "more@example.org"}),
        ("POST", "/account/tokens", {"name": "script", "scopes": ["topics:read"]}),
        ("POST", "/people/erase", {"address": "new@example.org"}),
        ("PATCH", "/topics/pain", {"active": False}),
    )
    for method, path, body in changes:
        before = await site.opened.monitor.storage.audit.recent(500)
        answer = await api.request(method, V1 + path, json=body)
        after = await site.opened.monitor.storage.audit.recent(500)

        assert answer.status_code < 300, (method, path, answer.text)
        new = after[: len(after) - len(before)]
        assert new, (method, path)
        assert {one.who for one in new} == {"admin@example.org"}, (method, path)


async def test_the_description_names_every_call_and_is_not_open_to_all(site: Site, api: httpx.AsyncClient) -> None:
    schema = (await api.get(f"{V1}/openapi.json")).json()
    async with site.client() as nobody:
        closed = await nobody.get(f"{V1}/openapi.json")

    assert schema["openapi"].startswith("3.1")
    assert len(schema["paths"]) >= 60
    assert closed.status_code == 401
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert {"401", "403", "422"} <= operation["responses"].keys(), (method, path)
            assert PROBLEM in operation["responses"]["422"]["content"], (method, path)
