"""The topic bench and the pages around it, as plain forms: what a browser without script sends."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from web_site import QUERY, Site, add_articles, open_site

from monitor.model import DeliveryState, Label, Role, SubscriberState, Verdict
from monitor.web.shapes import bars, caret_line, word_diff

HTMX = {"HX-Request": "true"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


@pytest.fixture
async def admin(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with await site.logged_in(Role.ADMIN) as client:
        yield client


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


async def audited(site: Site) -> list[str]:
    return [entry.what for entry in await site.opened.monitor.storage.audit.recent()]


# --- trying ---------------------------------------------------------------------------------------------------


async def test_a_draft_shows_what_it_would_gain_and_lose_and_stores_nothing(
    site: Site, admin: httpx.AsyncClient
) -> None:
    answer = await admin.post("/topics/pain/try", data={"query": "statin OR mTOR"}, headers=HTMX)

    text = text_of(answer.text)
    assert "<html" not in answer.text
    assert "Save (+1 −0)" in text
    assert "1 gained, 0 lost, 2 unchanged" in text
    assert "Understood as statin OR mTOR" in text
    assert "<mark>statin</mark>" in answer.text
    assert (await site.opened.monitor.storage.topics.get("pain")).revision == 1


async def test_without_script_the_same_form_gives_the_whole_page(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/topics/pain/try", data={"query": "statin"})

    assert answer.status_code == 200
    assert "<html" in answer.text
    assert "Save (+1 −2)" in text_of(answer.text)
    assert ">statin</textarea>" in answer.text
    assert answer.headers["vary"] == "HX-Request"


async def test_a_mistake_is_shown_at_its_column_in_the_line_that_holds_it(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/topics/pain/try", data={"query": "mTOR OR\r\n(statin OR 💊"}, headers=HTMX)

    assert "column 9" in answer.text
    assert "(statin OR 💊\n^" in answer.text
    assert 'data-start="8"' in answer.text
    assert 'id="save"' in answer.text
    assert " disabled>Save<" in answer.text


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("threshold", "many", "is no number"),
        ("weights", "opioid tolerance", "weights, line 1"),
        ("weights", "(a = 2", "never closed"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_breaks(
    admin: httpx.AsyncClient, field: str, value: str, told: str
) -> None:
    for path in ("/topics/pain/try", "/topics/pain/save"):
        answer = await admin.post(path, data={"query": "mTOR", field: value})

        assert answer.status_code in (200, 422)
        assert told in answer.text, path


async def test_lost_articles_that_somebody_found_relevant_are_told(site: Site, admin: httpx.AsyncClient) -> None:
    storage = site.opened.monitor.storage
    topic = await storage.topics.get("pain")
    number = next(one.id for one in site.articles if one.title.startswith("mTOR"))
    await storage.topics.label(
        Label(topic_id=topic.id, article_id=number, verdict=Verdict.RELEVANT, by="ada", labelled_at=site.now)
    )

    answer = await admin.post("/topics/pain/try", data={"query": "rapamycin"}, headers=HTMX)

    assert "1 of the lost was labelled relevant" in text_of(answer.text)


# --- saving ---------------------------------------------------------------------------------------------------


async def test_saving_makes_a_revision_with_its_author_and_an_audit_entry(site: Site, admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/topics/pain/save", data={"query": "mTOR OR statin", "note": "statins too"})

    assert answer.headers["location"] == "/topics/pain?done=saved"
    newest = (await site.opened.monitor.storage.topics.history("pain"))[0]
    assert (newest.number, newest.author, newest.note) == (2, "admin@example.org", "statins too")
    entry = (await site.opened.monitor.storage.audit.recent())[0]
    assert (entry.who, entry.before, entry.after) == ("admin@example.org", QUERY, "mTOR OR statin")


async def test_a_guard_rail_stops_the_save_until_it_is_overruled_with_a_note(
    site: Site, admin: httpx.AsyncClient
) -> None:
    storage = site.opened.monitor.storage
    await admin.post("/topics/pain/examples", data={"what": "Rapamycin\nand opioid tolerance", "must_match": "yes"})

    refused = await admin.post("/topics/pain/save", data={"query": "statin"})
    without_note = await admin.post("/topics/pain/save", data={"query": "statin", "force": "yes"})
    after_refusals = (await storage.topics.get("pain")).revision
    forced = await admin.post("/topics/pain/save", data={"query": "statin", "force": "yes", "note": "on purpose"})

    assert refused.status_code == without_note.status_code == 422
    assert "Not saved" in refused.text
    assert "note that says why" in without_note.text
    assert ">statin</textarea>" in refused.text
    assert after_refusals == 1
    assert forced.status_code == 303
    assert (await storage.topics.get("pain")).query == "statin"


async def test_two_who_edit_at_once_do_not_overwrite_each_other(site: Site, admin: httpx.AsyncClient) -> None:
    await admin.post("/topics/pain/save", data={"query": "mTOR", "revision": "1", "force": "yes", "note": "a"})

    late = await admin.post("/topics/pain/save", data={"query": "statin", "revision": "1", "force": "yes", "note": "b"})

    assert late.status_code == 409
    assert "somebody saved it meanwhile" in late.text
    assert ">statin</textarea>" in late.text
    assert (await site.opened.monitor.storage.topics.get("pain")).query == "mTOR"


async def test_history_shows_the_difference_word_by_word_and_restores(site: Site, admin: httpx.AsyncClient) -> None:
    await admin.post("/topics/pain/save", data={"query": "mTOR OR statin", "force": "yes", "note": "x"})

    page = await admin.get("/topics/pain/history")
    answer = await admin.post("/topics/pain/restore", data={"number": "1"})

    assert "<ins>statin</ins>" in page.text
    assert "<del>" in page.text
    assert answer.status_code == 303
    topic = await site.opened.monitor.storage.topics.get("pain")
    assert (topic.query, topic.revision) == (QUERY, 3)
    assert "saved the topic pain, revision 3" in await audited(site)


async def test_a_topic_is_made_copied_and_switched(site: Site, admin: httpx.AsyncClient) -> None:
    made = await admin.post("/topics", data={"slug": "hearts", "name": "Hearts", "query": "statin OR cholesterol"})
    taken = await admin.post("/topics", data={"slug": "hearts", "name": "Hearts", "query": "statin"})
    wrong = await admin.post("/topics", data={"slug": "lungs", "name": "Lungs", "query": "(asthma"})
    copied = await admin.post("/topics/hearts/clone", data={"new_slug": "hearts-2"})
    await admin.post("/topics/hearts/active", data={"on": ""})

    topics = {topic.slug: topic for topic in await site.opened.monitor.storage.topics.list()}
    assert made.status_code == copied.status_code == 303
    assert taken.status_code == wrong.status_code == 422
    assert "(asthma" in wrong.text
    assert not topics["hearts"].active
    assert topics["hearts-2"].query == "statin OR cholesterol"
    assert "lungs" not in topics


# --- why, words, labels ---------------------------------------------------------------------------------------


async def test_why_tells_of_a_pasted_text_what_holds_in_words_and_the_nearest_miss(admin: httpx.AsyncClient) -> None:
    hit = await admin.post("/topics/pain/why", data={"what": "About mTOR\nand nothing else"}, headers=HTMX)
    miss = await admin.post("/topics/pain/why", data={"what": "About statins"}, headers=HTMX)

    assert "✓ holds" in hit.text
    assert "matches" in text_of(hit.text)
    assert "✗ does not hold" in miss.text
    assert "would match if one of" in text_of(miss.text)


async def test_why_finds_a_stored_article_by_its_address(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/topics/pain/why", data={"what": "https://sample.example.org/4"}, headers=HTMX)

    assert "Opioid tolerance in dogs" in answer.text
    assert "without NOT" in answer.text


async def test_why_says_what_it_cannot_look_at(admin: httpx.AsyncClient) -> None:
    for what in ("", "10.1234/unknown", "http://127.0.0.1:1/x", "http://[::1", "https://" + "a" * 1500):
        answer = await admin.post("/topics/pain/why", data={"what": what}, headers=HTMX)

        assert answer.status_code == 200
        assert 'role="alert"' in answer.text, what[:40]


async def test_a_synonym_is_one_click_that_loads_the_wider_query(admin: httpx.AsyncClient) -> None:
    offered = await admin.post("/topics/pain/words", data={"query": "mTOR AND pain"}, headers=HTMX)
    query = re.search(r'name="take" value="([^"]*rapamycin[^"]*)"', offered.text)
    assert query is not None

    form = {"query": "mTOR AND pain", "take": query[1].replace("&#34;", '"')}
    taken = await admin.post("/topics/pain/try", data=form, headers=HTMX)

    assert "mechanistic target of rapamycin" in taken.text
    assert 'id="save"' in taken.text


async def test_why_asks_the_draft_in_the_editor_not_the_saved_query(site: Site, admin: httpx.AsyncClient) -> None:
    text = {"what": "About statins"}
    saved = await admin.post("/topics/pain/why", data=text, headers=HTMX)
    draft = await admin.post("/topics/pain/why", data={**text, "query": "statins"}, headers=HTMX)
    whole = await admin.post("/topics/pain/why", data={**text, "query": "statins"})
    wrong = await admin.post("/topics/pain/why", data={**text, "query": "(statins"}, headers=HTMX)

    assert text_of(saved.text).startswith("does not match")
    assert text_of(draft.text).startswith("matches")
    assert ">statins</textarea>" in whole.text
    assert "never closed" in wrong.text
    assert (await site.opened.monitor.storage.topics.get("pain")).query == QUERY


async def test_suggestions_are_counted_on_the_draft(site: Site, admin: httpx.AsyncClient) -> None:
    titles = [f"A statin lowers cholesterol, part {number}" for number in range(8)]
    titles += ["Cholesterol in the liver", *(f"Rain in valley {number}, sun at the coast" for number in range(40))]
    await add_articles(site, titles)

    offered = await admin.post("/topics/pain/words", data={"query": "statin"}, headers=HTMX)
    for_saved = await admin.post("/topics/pain/words", data={}, headers=HTMX)

    assert "OR cholesterol +1 article" in text_of(offered.text)
    assert "cholesterol" not in for_saved.text


async def test_a_label_is_set_changed_and_taken_back(site: Site, admin: httpx.AsyncClient) -> None:
    topics = site.opened.monitor.storage.topics
    topic = await topics.get("pain")
    number = site.articles[0].id
    said = []
    for verdict in ("relevant", "not_relevant", "none"):
        answer = await admin.post("/topics/pain/label", data={"article": number, "verdict": verdict}, headers=HTMX)
        assert answer.status_code == 200
        said.append([label.verdict for label in await topics.labels(topic.id)])

    assert said == [[Verdict.RELEVANT], [Verdict.NOT_RELEVANT], []]


async def test_rematch_applies_the_saved_query_to_the_archive(site: Site, admin: httpx.AsyncClient) -> None:
    await admin.post("/topics/pain/save", data={"query": "statin", "force": "yes", "note": "x"})

    answer = await admin.post("/topics/pain/rematch")
    for task in list(site.app.state.tasks):  # type: ignore[attr-defined]
        await task

    assert answer.status_code == 303
    topic = await site.opened.monitor.storage.topics.get("pain")
    found = await site.opened.monitor.storage.topics.matches(topic.id)
    assert [one.article.title for one in found] == ["A new statin"]


# --- the archive ----------------------------------------------------------------------------------------------


async def test_the_archive_is_searched_in_the_topics_language_with_filters(
    site: Site, admin: httpx.AsyncClient
) -> None:
    async def titles(query: str) -> list[str]:
        page = (await admin.get("/articles" + query)).text
        return [text_of("<a" + found) for found in re.findall(r"<h2><a(.*?)</h2>", page)]

    assert await titles("?q=(mTOR") == []  # the mistake is told instead
    assert await titles('?q="opioid tolerance" NOT veterinary') == ["Rapamycin eases opioid tolerance"]
    assert await titles("?topic=pain") == ["Rapamycin eases opioid tolerance", "mTOR and pain"]
    assert await titles("?source=nowhere") == []
    assert await titles("?since=2026-11-22&until=2026-11-22") == ["mTOR and pain"]
    assert await titles("?label=relevant") == []
    assert (await admin.get("/articles?q=(mTOR")).status_code == 422
    assert (await admin.get("/articles?since=yesterday")).status_code == 422


async def test_pages_of_a_search_hold_each_article_once(site: Site, admin: httpx.AsyncClient) -> None:
    from monitor.web.archive import Wanted, find

    seen: list[int] = []
    before = None
    while True:
        page = await find(site.opened, Wanted(q="a OR mTOR OR opioid OR vaccine", before=before), limit=2)
        seen += [row.article.id for row in page.rows]
        before = page.next_before
        if before is None:
            break

    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) >= 4


async def test_an_article_tells_why_each_topic_took_it_or_not_and_exports(site: Site, admin: httpx.AsyncClient) -> None:
    number = next(one.id for one in site.articles if one.title.startswith("A new statin"))

    page = await admin.get(f"/articles/{number}")
    ris = await admin.get(f"/articles/{number}/export?style=ris")
    none = await admin.get(f"/articles/{number}/export?style=exe")

    assert "does not match" in page.text
    assert "would match if" in page.text
    assert "TI  - A new statin" in ris.text
    assert "attachment" in ris.headers["content-disposition"]
    assert none.status_code == 404


# --- sources, readers, mail -----------------------------------------------------------------------------------


async def test_a_source_that_cannot_be_read_is_not_added_and_the_reason_is_told(
    site: Site, admin: httpx.AsyncClient
) -> None:
    for path in ("/sources/preview", "/sources"):
        answer = await admin.post(path, data={"url": "http://127.0.0.1:1/feed"})
        assert answer.status_code == 422
        assert "neither 80 nor 443" in answer.text, text_of(answer.text)
    assert [source.slug for source in await site.opened.monitor.storage.sources.list()] == ["sample"]


async def test_poll_now_records_the_visit_and_the_grid_shows_the_failure(site: Site, admin: httpx.AsyncClient) -> None:
    source = await site.opened.monitor.storage.sources.get("sample")
    changed = await admin.post(
        "/sources/sample", data={"name": source.name, "url": "http://127.0.0.1:1/feed", "minutes": "60"}
    )
    await admin.post("/sources/sample/poll")

    grid, page = await admin.get("/sources"), await admin.get("/sources/sample")

    assert changed.status_code == 303
    assert "✗" in grid.text
    assert "FetchRefused" in page.text
    assert "polled the source sample" in await audited(site)


async def test_sources_leave_and_come_back_as_opml_switched_off(site: Site, admin: httpx.AsyncClient) -> None:
    exported = await admin.get("/sources/opml")
    more = exported.text.replace("https://sample.example.org/feed", "https://other.example.org/feed")

    answer = await admin.post("/sources/opml", files={"file": ("list.opml", more)})
    again = await admin.post("/sources/opml", files={"file": ("list.opml", more)})
    bad = await admin.post("/sources/opml", files={"file": ("list.opml", "<html></html>")})

    assert answer.status_code == again.status_code == 200
    assert bad.status_code == 422
    found = {one.url: one.active for one in await site.opened.monitor.storage.sources.list()}
    assert found == {"https://sample.example.org/feed": True, "https://other.example.org/feed": False}


async def test_an_invited_reader_gets_a_mail_and_the_outbox_shows_and_cancels_it(
    site: Site, admin: httpx.AsyncClient
) -> None:
    storage = site.opened.monitor.storage
    made = await admin.post("/readers", data={"email": "new@example.org", "topics": "pain", "invite": "yes"})
    wrong = await admin.post("/readers", data={"email": "no address", "topics": "pain"})
    delivery = (await storage.outbox.list())[0]

    listed = await admin.get("/outbox?state=queued")
    cancelled = await admin.post(f"/outbox/{delivery.id}/cancel")
    once_more = await admin.post(f"/outbox/{delivery.id}/cancel")

    assert made.status_code == cancelled.status_code == 303
    assert wrong.status_code == 422
    assert (await storage.readers.get("new@example.org")).state is SubscriberState.INVITED
    assert "new@example.org" in listed.text
    assert (await storage.outbox.get(delivery.id)).state is DeliveryState.CANCELLED
    assert once_more.status_code in (303, 409)


async def test_a_test_digest_comes_to_me_marked_and_opens_nothing_of_the_readers(
    site: Site, admin: httpx.AsyncClient
) -> None:
    storage = site.opened.monitor.storage
    reader = await storage.readers.get("reader@example.org")
    subscription = (await storage.readers.subscriptions(reader.id))[0]
    before = await storage.readers.subscription(subscription.id)

    answer = await admin.post(f"/readers/{reader.id}/test", data={"subscription": subscription.id})

    assert answer.status_code == 303
    mails = [path for path in (site.opened.settings.data_dir / "maildir").rglob("*") if path.is_file()]
    assert len(mails) == 1
    raw = mails[0].read_bytes()
    assert b"[TEST]" in raw
    assert b"\nTo: Admin <admin@example.org>" in raw
    token = re.search(rb"/preferences/([A-Za-z0-9_.~%-]+)", raw.replace(b"=\r\n", b"").replace(b"=\n", b""))
    assert token is not None
    assert (await admin.get(f"/preferences/{token[1].decode()}")).status_code == 404
    assert await storage.readers.subscription(subscription.id) == before
    assert await storage.outbox.list() == []


async def test_another_readers_subscription_is_not_reached_through_this_one(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/readers/1/test", data={"subscription": "999"})

    assert answer.status_code == 404


# --- shapes ---------------------------------------------------------------------------------------------------


def test_a_trend_is_a_picture_that_says_its_numbers() -> None:
    svg = bars([1, 0, 3], 'Matches "a week": 1, 0, 3')

    assert 'role="img"' in svg
    assert 'aria-label="Matches &#34;a week&#34;: 1, 0, 3"' in svg
    assert svg.count("<rect") == 3
    assert "style=" not in svg


def test_a_word_diff_gives_both_texts_back() -> None:
    old, new = '"opioid tolerance" OR mTOR', 'opioid* OR (mTOR OR "rapamycin")'
    pieces = word_diff(old, new)

    assert "".join(piece.text for piece in pieces if piece.kind != "added") == old
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == new
    assert [piece.kind for piece in word_diff("same", "same")] == ["same"]


@pytest.mark.parametrize(
    ("text", "start", "end", "line", "carets"),
    [
        ("a (b", 2, 3, "a (b", "  ^"),
        ("first\nsecond (", 13, 14, "second (", "       ^"),
        ("", 0, 0, "", "^"),
        ("x" * 300 + "(", 300, 301, "…" + "x" * 60 + "(", " " * 61 + "^"),
    ],
)
def test_carets_stand_under_their_place(text: str, start: int, end: int, line: str, carets: str) -> None:
    assert caret_line(text, start, end) == (line, carets)


async def test_what_is_not_there_is_a_404(admin: httpx.AsyncClient) -> None:
    places = ("topics/nope", "articles/999", "sources/nope", "readers/999", "outbox/999", f"articles/{10**30}", "nope")
    for place in places:
        assert (await admin.get(f"/{place}")).status_code == 404, place
