"""Adding a source by its site's address, and the other articles of one study, in the web pages."""

from __future__ import annotations

from pathlib import Path

from hostile_http import HostileHttp, ok
from test_bad_input import feed
from web_site import open_site

from monitor.model import Role, SourceKind

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
            added = await admin.post("/sources", data={"url": web.url("/papers.xml"), "name": "Papers", "kind": "feed"})
            stored = await site.opened.monitor.storage.sources.get("papers")

    assert web.url("/news.xml") in several.text
    assert web.url("/papers.xml") in several.text
    assert "2 entries" in look.text
    assert added.status_code == 303
    assert (stored.url, stored.kind) == (web.url("/papers.xml"), SourceKind.FEED)


async def test_an_article_names_the_others_about_the_same_study(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, await site.logged_in(Role.EDITOR) as editor:
        stories = site.opened.monitor.storage.stories
        await stories.settle(site.now)
        first, second, *_ = sorted(site.articles, key=lambda one: one.id)
        await stories.merge(await stories.of(second.id), await stories.of(first.id), site.now)

        page = await editor.get(f"/articles/{first.id}")

    assert "The same study" in page.text
    assert f'href="/articles/{second.id}"' in page.text
