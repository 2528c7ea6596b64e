"""The pages in a real browser: tuning with a mouse, with a keyboard, without script; and texts that stay texts.

axe-core is looked for in node_modules (npm install axe-core) or in the file that AXE_JS names; it is not shipped.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from running import in_thread
from web_hostile import fill_with_them
from web_site import NOW, PASSWORD, Site, open_site

from monitor.model import Role, Subscription, Verdict
from monitor.web import serve

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
AXE = Path(os.environ.get("AXE_JS") or ROOT / "node_modules" / "axe-core" / "axe.min.js")
PAGES = (
    "/", "/topics", "/topics/new", "/topics/pain", "/topics/pain/history", "/articles", "/articles?q=mTOR",
    "/articles?q=(mTOR", "/articles/1", "/sources", "/sources/sample", "/sources/new", "/sources/new?kind=page",
    "/sources/new?kind=pubmed", "/readers", "/readers/1", "/outbox", "/outbox/1", "/audit", "/users", "/account",
    "/nothing", "/topics/nothing",
)  # fmt: skip

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


class Address(str):
    """Where the site is, and the paths of pages that need no login but a link."""

    __slots__ = ("gates",)
    gates: tuple[str, ...]


async def gates_of(site: Site) -> tuple[str, ...]:
    """A page of each kind that is reached without a login, and one that refuses."""
    links, monitor = site.opened.links, site.opened.monitor
    reader = await monitor.storage.readers.get("reader@example.org")
    subscription = (await monitor.storage.readers.subscriptions(reader.id))[0]
    topic, article = subscription.topic_ids[0], site.articles[0].id
    _, invited = await monitor.users.add("eve@example.org", "Eve", Role.VIEWER)
    made = (
        links.preferences(reader),
        links.unsubscribe(reader, subscription),
        links.pause(reader, subscription),
        links.confirm(reader, site.now),
        links.change_address(reader, "rea@example.org", site.now),
        links.cite(article),
        *(links.feedback(reader, topic, article, verdict) for verdict in Verdict),
    )
    return ("/login", "/signup", f"/setup/{invited}", "/preferences/broken", *(urlsplit(link).path for link in made))


@asynccontextmanager
async def served(directory: Path, *, hostile: bool = False, **settings: object) -> AsyncIterator[Address]:
    """The whole site on a port of this machine; its address. A letter waits in its outbox."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with open_site(directory, base=f"http://127.0.0.1:{port}", **settings) as site:
        await site.user(Role.ADMIN)
        await site.opened.monitor.readers.sign_up(
            "new@example.org", "New", Subscription(subscriber_id=0, topic_ids=(1,))
        )
        address = Address(site.base)
        address.gates = await gates_of(site)
        if hostile:
            await fill_with_them(site)
        server = asyncio.ensure_future(serve(site.app, "127.0.0.1", port))  # type: ignore[arg-type]
        await _up(port)
        try:
            yield address
        finally:
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)


@asynccontextmanager
async def served_beside_a_provider(directory: Path) -> AsyncIterator[str]:
    """Likewise, with an identity provider who knows the admin."""
    provider = IdentityProvider(now=lambda: NOW)
    provider.person["email"] = "admin@example.org"
    async with provider.running():
        oidc = {
            "issuer": provider.issuer, "private": True, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
            "label": "Log in with the university",
        }  # fmt: skip
        async with served(directory, **{f"web__oidc__{name}": value for name, value in oidc.items()}) as address:
            yield address


async def _up(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise AssertionError("the server does not come up")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Address]:
    with in_thread(served(tmp_path)) as address:
        yield address


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with in_thread(served(tmp_path_factory.mktemp("hostile"), hostile=True)) as address:
        yield address


@dataclass
class Watched:
    """What a page must not do while it is looked at."""

    wrong: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> Page:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.wrong.append(request.url) if "pwned" in request.url else None)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        expected = "422" in message.text or "404" in message.text  # the browser tells every answer that refuses
        if message.type in ("error", "warning") and not expected:
            self.wrong.append(f"{message.type}: {message.text}")


@pytest.fixture
def watched() -> Iterator[Watched]:
    one = Watched()
    yield one
    assert one.wrong == []


def log_in(page: Page, base: str) -> Page:
    page.goto(f"{base}/login")
    page.fill("#email", "admin@example.org")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Overview")
    return page


def context_of(browser: Browser, **options: object) -> BrowserContext:
    return browser.new_context(reduced_motion="reduce", **options)  # type: ignore[arg-type]


@pytest.fixture
def page(browser: Browser, base: str, watched: Watched) -> Iterator[Page]:
    context = context_of(browser)
    yield log_in(watched.watch(context.new_page()), base)
    context.close()


# --- coming in ------------------------------------------------------------------------------------------------


def test_the_button_leads_through_the_provider_to_the_page_that_was_asked_for(
    browser: Browser, tmp_path: Path, watched: Watched
) -> None:
    with in_thread(served_beside_a_provider(tmp_path)) as base:
        context = context_of(browser, bypass_csp=False)
        page = watched.watch(context.new_page())
        page.goto(f"{base}/topics")
        expect(page).to_have_url(f"{base}/login?next=/topics")

        page.get_by_role("button", name="Log in with the university").press("Enter")
        page.get_by_role("link", name="Continue as Ada Lovelace").click()

        expect(page).to_have_url(f"{base}/topics")
        expect(page.locator("h1")).to_have_text("Topics")
        assert [cookie["name"] for cookie in context.cookies()] == ["sid"]
        page.go_back()  # the code is used and the cookie gone: nothing breaks, and nobody is logged out
        page.goto(f"{base}/account")
        expect(page.locator("h1")).to_have_text("Your account")
        context.close()


# --- tuning ---------------------------------------------------------------------------------------------------


def test_a_filter_is_tuned_with_its_effect_before_your_eyes(page: Page, base: str) -> None:
    page.goto(f"{base}/topics/pain")
    expect(page.locator("#save")).to_have_text("Save (+0 −0)")

    page.locator("#query").fill("statin OR (mTOR")
    expect(page.locator(".mistake")).to_contain_text("column 11")
    page.locator(".mistake a").click()
    assert page.evaluate("[query.selectionStart, query.selectionEnd]") == [10, 11]
    page.locator("#query").fill("statin OR mTOR")
    expect(page.locator("#save")).to_have_text("Save (+1 −0)")
    expect(page.locator(".hit.gained mark").first).to_have_text("statin")
    expect(page.get_by_role("status").first).to_contain_text("1 gained, 0 lost, 2 unchanged")
    assert page.evaluate("document.activeElement.id") == "query"
    page.get_by_role("button", name="Relevant: A new statin", exact=False).first.click()
    expect(page.get_by_role("button", name="Relevant: A new statin").first).to_have_attribute("aria-pressed", "true")
    page.locator("#note").fill("statins too")
    page.locator("#save").click()

    expect(page.locator("[role=status]").first).to_have_text("Saved.")
    expect(page.locator(".head")).to_contain_text("revision 2")


def test_why_and_an_offered_word_work_on_the_draft_without_a_new_page(page: Page, base: str) -> None:
    page.goto(f"{base}/topics/pain")
    expect(page.locator("#save")).to_be_enabled()
    page.locator("#query").fill("mTOR AND statin")
    page.locator("#note").fill("because")
    page.evaluate("window.here = true")

    page.fill("#what", "mTOR and a statin")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#because .word").first).to_have_text("matches")
    page.get_by_role("button", name="Synonyms and suggestions").click()
    page.get_by_role("button", name="Use mTOR").first.click()

    expect(page.locator("#query")).to_have_value(re.compile("rapamycin.* AND statin"))
    expect(page.locator("#said")).to_contain_text("rapamycin")
    assert page.evaluate("window.here") is True


def test_the_chosen_tab_stays_while_the_query_changes(page: Page, base: str) -> None:
    page.goto(f"{base}/topics/pain")
    expect(page.locator("#save")).to_be_enabled()
    page.locator("label.for-t").click()

    page.locator("#query").fill("statin")
    expect(page.locator("#save")).to_have_text("Save (+1 −2)")

    expect(page.locator(".body-t")).to_be_visible()
    expect(page.locator(".body-t")).to_contain_text("statin")


def test_every_step_can_be_taken_with_the_keyboard(page: Page, base: str) -> None:
    page.goto(f"{base}/topics/pain")
    expect(page.locator("#save")).to_be_enabled()

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(40):
        if page.evaluate("document.activeElement.id") == "query":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("vaccine OR mTOR")
    expect(page.locator("#save")).to_have_text("Save (+1 −0)")
    for _ in range(40):
        if page.evaluate("document.activeElement.name") == "tab":
            break
        page.keyboard.press("Tab")
    expect(page.locator(".body-g")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".body-l")).to_be_visible()
    expect(page.locator(".body-g")).to_be_hidden()
    page.locator("#query").focus()
    page.keyboard.press("Control+Enter")

    expect(page.locator("[role=status]").first).to_have_text("Saved.")


def test_all_of_it_works_without_script(browser: Browser, base: str) -> None:
    context = context_of(browser, java_script_enabled=False)
    page = log_in(context.new_page(), base)
    page.goto(f"{base}/topics/pain")

    page.fill("#query", "statin OR mTOR")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#save")).to_have_text("Save (+1 −0)")
    page.locator("label.for-u").click()
    expect(page.locator(".body-u")).to_be_visible()
    page.fill("#what", "https://sample.example.org/2")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#because .word")).to_have_text("matches")  # the draft does; what is saved does not
    expect(page.locator("#query")).to_have_value("statin OR mTOR")
    page.locator("#save").click()

    expect(page.locator("[role=status]").first).to_have_text("Saved.")
    context.close()


def test_a_draft_is_not_lost_by_a_click_on_something_else(browser: Browser, base: str) -> None:
    context = context_of(browser)
    page = log_in(context.new_page(), base)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.goto(f"{base}/topics/pain")
    expect(page.locator("#save")).to_be_enabled()
    page.locator("#query").click()
    page.keyboard.type("statin ")

    page.get_by_role("link", name="Archive").click(no_wait_after=True)

    expect(page.locator("#query")).to_be_visible()
    assert asked == ["beforeunload"]
    context.close()


# --- for everybody --------------------------------------------------------------------------------------------


def judged(page: Page) -> list[object]:
    """What axe finds wrong with the page as it stands, and with its colours in the dark, where nothing else differs;
    nothing where there is no axe.
    """
    if not AXE.exists():
        return []
    page.add_script_tag(path=AXE)
    found: list[object] = page.evaluate(RUN_AXE, {})
    page.emulate_media(color_scheme="dark")
    found += page.evaluate(RUN_AXE, {"runOnly": ["color-contrast"]})
    page.emulate_media(color_scheme="light")
    return found


RUN_AXE = "rules => axe.run(rules).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"


def test_no_page_has_an_accessibility_violation_an_error_or_a_sideways_scroll(
    browser: Browser, base: str, watched: Watched
) -> None:
    context = context_of(browser, color_scheme="light", bypass_csp=AXE.exists())
    page = log_in(watched.watch(context.new_page()), base)
    violations = {}
    for path in PAGES:
        page.set_viewport_size({"width": 375, "height": 800})
        page.goto(base + path)
        if path == "/topics/pain":
            expect(page.locator("#save")).to_be_enabled()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
        page.set_viewport_size({"width": 1280, "height": 800})
        if found := judged(page):
            violations[path] = found
    context.close()

    assert violations == {}


def test_readers_pages_and_gates_are_accessible_fit_a_phone_and_look_alike(
    browser: Browser, base: Address, watched: Watched
) -> None:
    context = context_of(browser, color_scheme="light", bypass_csp=AXE.exists())
    page = watched.watch(context.new_page())
    violations = {}
    for path in base.gates:
        page.set_viewport_size({"width": 375, "height": 800})
        page.goto(base + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
        assert page.locator("header.bar .brand").inner_text() == "Medical News Monitor", path
        assert page.locator("h1").count() == 1, path
        if found := judged(page):
            violations[path] = found
    context.close()

    assert violations == {}


def test_who_signs_up_begins_with_the_browsers_time_zone_and_sees_only_what_fits(
    browser: Browser, base: Address, watched: Watched
) -> None:
    context = context_of(browser, timezone_id="America/New_York")
    page = watched.watch(context.new_page())
    page.goto(f"{base}/signup")

    expect(page.locator("#zone-new")).to_have_value("America/New_York")
    expect(page.locator("#weekday-new")).to_be_visible()
    page.select_option("#cadence-new", "daily")
    expect(page.locator("#weekday-new")).to_be_hidden()
    expect(page.locator("#at-new")).to_be_visible()
    page.fill("#email", "me@example.org")
    page.check("[name=topics]")
    page.get_by_role("button", name="Subscribe").click()

    expect(page.locator("h1")).to_have_text("Look into your mailbox")
    context.close()


def test_no_page_breaks_the_content_security_policy(browser: Browser, base: str, watched: Watched) -> None:
    context = context_of(browser)
    page = log_in(watched.watch(context.new_page()), base)
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
    )
    for path in PAGES:
        page.goto(base + path)
        if path == "/topics/pain":
            expect(page.locator("#save")).to_be_enabled()
    context.close()


def test_the_first_page_weighs_little(browser: Browser, base: str) -> None:
    context = context_of(browser)
    page = context.new_page()
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    log_in(page, base)
    sizes.clear()
    fresh = context_of(browser, storage_state=context.storage_state())
    page = fresh.new_page()
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))

    page.goto(f"{base}/topics/pain")
    expect(page.locator("#save")).to_be_enabled()

    assert len(sizes) >= 5
    assert sum(sizes) < 120_000
    fresh.close()
    context.close()


def test_texts_from_outside_stay_texts_on_every_page(browser: Browser, hostile: str, watched: Watched) -> None:
    context = context_of(browser)
    page = log_in(watched.watch(context.new_page()), hostile)
    places = [*PAGES, *(f"/articles/{number}" for number in range(6, 60, 4)), "/articles?q=mTOR&before=60"]
    for path in places:
        page.goto(hostile + path)
        if path == "/topics/pain":
            expect(page.locator("#save")).to_be_enabled()
        _is_clean(page, path)
    page.goto(f"{hostile}/topics/pain")
    page.locator("#query").fill('mTOR OR "<img src=x onerror=window.pwned=1>"')
    expect(page.locator(".hit").first).to_be_visible()
    page.fill("#what", "<script>window.pwned=1</script>\n<img src=/pwned> mTOR")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#because")).to_contain_text("<script>")
    _is_clean(page, "why")
    context.close()


def _is_clean(page: Page, where: str) -> None:
    assert page.evaluate("window.pwned") is None, where
    strange = (
        "script:not([src]), iframe, object, embed, base, main img, main style, main svg script, [onerror], [onload]"
    )
    assert page.locator(strange).count() == 0, where
    assert page.locator("main a[href^='javascript' i]").count() == 0, where


def test_hostile_texts_are_really_there(browser: Browser, hostile: str) -> None:
    context = context_of(browser)
    page = log_in(context.new_page(), hostile)
    page.goto(f"{hostile}/articles?q=mTOR")

    assert "<" in page.locator(".hit h2").all_inner_texts()[0]
    context.close()
