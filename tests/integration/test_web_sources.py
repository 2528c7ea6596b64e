"""Adding a source by its site's address, and the other articles of one study, in the web pages."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hostile_http import HostileHttp, ok
from index_servers import IndexServer, as_json
from test_bad_input import feed
from web_site import open_site

from monitor.model import Role, SourceKind
from monitor.parse.harvesters import BASES, OPTIONS
from monitor.web.kinds import BY_KIND

HOME = b"""<!doctype html><title>A clinic</title>
<link rel="alternate" type="application/rss+xml" title="News" href="/news.xml">
<link rel="alternate" type="application/rss+xml" title="Papers" href="/papers.xml"><p>Welcome."""


async def test_the_address_of_a_site_shows_its_feeds_and_one_of_them_is_added(tmp_path: Path) -> None:
    web = HostileHttp()
    async with web.running():
        web.pages |= {
            "/": ok(HOME, Content_Type="text/html"),
            "/news.xml": ok(feed(web.place, "one")),
            "/papers.xml": ok(feed(web.place, "two", "three")),
        }
        async with open_site(tmp_path, allow=(web.place,)) as site, await site.logged_in(Role.ADMIN) as admin:
            several = await admin.post("/sources/preview", data={"url": web.url("/")})
            look = await admin.post("/sources/preview", data={"url": web.url("/papers.xml")})
            form = {"url": web.url("/papers.xml"), "name": "Papers", "kind": "feed", "looked": "yes"}
            added = await admin.post("/sources", data=form)
            stored = await site.opened.monitor.storage.sources.get("papers")
            namesake = await admin.post("/sources", data={**form, "url": web.url("/news.xml")})
            twice = await admin.post("/sources", data=form)

    assert web.url("/news.xml") in several.text
    assert web.url("/papers.xml") in several.text
    assert "2 entries" in look.text
    assert added.status_code == 303
    assert (stored.url, stored.kind, stored.pages) == (web.url("/papers.xml"), SourceKind.FEED, False)
    assert namesake.headers["location"] == "/sources/papers-2?done=added"
    assert twice.status_code == 422
    assert "there already" in twice.text


PRESS = b"""<!doctype html><title>Press room</title><ul class="news">
<li><span class="when">12 June 2026</span><a href="/press/1">A trial of rest</a><p>Rest helps.</p></li>
<li><span class="when">13 June 2026</span><a href="/press/2">A second trial</a><p>It does.</p></li></ul>"""


async def test_a_list_page_is_tried_by_selectors_before_it_is_added_and_changed_later(tmp_path: Path) -> None:
    web = HostileHttp()
    async with web.running():
        web.pages["/press/"] = ok(PRESS, Content_Type="text/html")
        async with open_site(tmp_path, allow=(web.place,)) as site, await site.logged_in(Role.ADMIN) as admin:
            form = {"kind": "page", "url": web.url("/press/"), "option-date": ".when", "option-summary": "p"}
            without = await admin.post("/sources/preview", data=form)
            nothing = await admin.post("/sources/preview", data={**form, "option-item": "div.card"})
            look = await admin.post("/sources/preview", data={**form, "option-item": "ul.news > li"})
            added = await admin.post(
                "/sources", data={**form, "option-item": "ul.news > li", "name": "Clinic", "minutes": "90"}
            )
            sources = site.opened.monitor.storage.sources
            stored = await sources.get("clinic")
            shown = await admin.get("/sources/clinic")
            change = {"looked": "yes", "option-item": ".news li", "minutes": "0"}
            refused = await admin.post("/sources/clinic", data=change)
            await admin.post("/sources/clinic", data={**change, "minutes": "45"})
            changed = await sources.get("clinic")

    assert (without.status_code, nothing.status_code, look.status_code) == (422, 422, 200)
    assert "div.card" in nothing.text
    assert "2 entries" in look.text
    assert "12 Jun 2026" in look.text
    assert "Rest helps." in look.text
    assert 'value="ul.news &gt; li"' in look.text
    assert added.status_code == 303
    assert dict(stored.options) == {"item": "ul.news > li", "date": ".when", "summary": "p"}
    assert (stored.kind, stored.pages, stored.interval) == (SourceKind.PAGE, True, timedelta(minutes=90))
    assert 'value="ul.news &gt; li"' in shown.text
    assert refused.status_code == 422
    assert 'value=".news li"' in refused.text
    assert (changed.option("item"), changed.option("date"), changed.pages) == (".news li", ".when", False)
    assert changed.interval == timedelta(minutes=45)


@pytest.mark.parametrize("kind", list(SourceKind))
def test_each_kind_has_its_form_with_all_of_its_options(kind: SourceKind) -> None:
    asked = {field.name for field in BY_KIND[kind].options}

    assert asked == OPTIONS[kind]
    assert set(BY_KIND[kind].needs) <= asked
    assert bool(BY_KIND[kind].address) is (kind not in BASES)


async def test_a_journal_is_looked_up_by_its_issn_and_kept_with_it(tmp_path: Path) -> None:
    work = {"DOI": "10.5555/a", "title": ["Rest and pain"], "issued": {"date-parts": [[2026, 11, 19]]}}
    crossref = IndexServer(
        lambda _: as_json({"status": "ok", "message": {"total-results": 1, "items": [work], "next-cursor": "x"}})
    )
    async with (
        crossref.running(),
        open_site(tmp_path, allow=(crossref.place,)) as site,
        await site.logged_in(Role.ADMIN) as admin,
    ):
        form = {"kind": "crossref", "url": crossref.url(), "option-issn": "0028-4793"}
        page = await admin.get("/sources/new?kind=crossref")
        none = await admin.post("/sources/preview", data={**form, "option-issn": ""})
        look = await admin.post("/sources/preview", data=form)
        added = await admin.post("/sources", data={**form, "name": "NEJM"})
        stored = await site.opened.monitor.storage.sources.get("nejm")

    assert 'name="option-issn"' in page.text
    assert (none.status_code, look.status_code, added.status_code) == (422, 200, 303)
    assert "issn" in none.text
    assert "Rest and pain" in look.text
    assert 'value="Journal by ISSN: 0028-4793"' in look.text
    assert (stored.kind, stored.option("issn"), stored.pages) == (SourceKind.CROSSREF, "0028-4793", False)
    assert crossref.asked[0].path == "/journals/0028-4793/works"


async def test_an_article_names_the_others_about_the_same_study(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, await site.logged_in(Role.EDITOR) as editor:
        stories = site.opened.monitor.storage.stories
        await stories.settle(site.now)
        first, second, *_ = sorted(site.articles, key=lambda one: one.id)
        await stories.merge(await stories.of(second.id), await stories.of(first.id), site.now)

        page = await editor.get(f"/articles/{first.id}")

    assert "The same study" in page.text
    assert f'href="/articles/{second.id}"' in page.text
