"""The digest and the letters in a real browser: no sideways scroll, no accessibility violation, light and dark.

axe-core is looked for in node_modules (npm install axe-core) or in the file that AXE_JS names; it is not shipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from digest_samples import LETTERHEAD, LINKS, NO_WEB, READER, WEEKLY, many, weekly_digest
from playwright.sync_api import Browser, Page, sync_playwright

from monitor.digest import letters, render

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
AXE = Path(os.environ.get("AXE_JS") or ROOT / "node_modules" / "axe-core" / "axe.min.js")
NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]

LONG = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 4
PAGES = {
    "digest": lambda: render(weekly_digest(), LETTERHEAD, LINKS).html,
    "60 cards": lambda: render(weekly_digest(found=many(60)), LETTERHEAD, LINKS).html,
    "near misses": lambda: (
        render(weekly_digest(subscription=replace(WEEKLY, near_misses=True), near=many(3)), LETTERHEAD, LINKS).html
    ),
    "no news": lambda: render(replace(weekly_digest(), sections=()), LETTERHEAD, NO_WEB).html,
    "confirmation": lambda: letters.confirmation(READER, LETTERHEAD, LINKS, now=NOW).html,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 375, "height": 800}, reduced_motion="reduce")
    yield page
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_nothing_scrolls_sideways_on_a_telephone(page: Page, name: str):
    page.set_content(PAGES[name]())

    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_words_and_addresses_without_end_do_not_push_the_page_wide(page: Page):
    found = many(1)[0]
    article = replace(found.article, title=LONG, journal=LONG, citation=LONG, body=LONG, doi=f"10.5555/{LONG}")
    page.set_content(render(weekly_digest(found=(replace(found, article=article),)), LETTERHEAD, LINKS).html)

    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_the_column_is_640_wide_on_a_desk(browser: Browser):
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.set_content(PAGES["digest"]())

    assert page.locator("table.p").bounding_box()["width"] == 640  # type: ignore[index]
    page.close()


def test_headings_lead_a_screen_reader_through_the_issue(page: Page):
    page.set_content(PAGES["digest"]())

    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName).join(' ')")
    assert levels == "H1 H2 H3 H3 H3 H2 H3 H3 H2 H3 H3 H3 H2 H3 H2"
    assert page.evaluate("document.documentElement.lang") == "en"
    layout = page.evaluate("[...document.querySelectorAll('table:not([role=presentation])')].length")
    assert layout == 1, "only the topic table is data"


def test_dark_mode_changes_every_surface_and_keeps_hits_visible(page: Page):
    page.emulate_media(color_scheme="dark")
    page.set_content(PAGES["digest"]())

    def colour(selector: str, what: str) -> str:
        return str(page.locator(selector).first.evaluate(f"node => getComputedStyle(node).{what}"))

    assert colour("body", "backgroundColor") == "rgb(16, 20, 24)"
    assert colour("table.p", "backgroundColor") == "rgb(24, 29, 35)"
    assert colour("h1", "color") == "rgb(236, 234, 228)"
    assert colour("b.k", "backgroundColor") == "rgb(75, 65, 24)"
    assert colour("td.c", "borderBottomColor") == "rgb(46, 53, 62)"


def test_the_preheader_is_not_seen(page: Page):
    page.set_content(PAGES["digest"]())

    assert page.locator("body > div").first.is_hidden()
    assert "9 new in 4 topics. Top: Sublingual" in (page.locator("body > div").first.text_content() or "")


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core not installed (npm install axe-core, or set AXE_JS)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["digest", "near misses", "no news", "confirmation"])
def test_axe_finds_no_violation(page: Page, name: str, scheme: str):
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page.set_content(PAGES[name]())
    page.add_script_tag(path=AXE)

    # A mail is shown inside the landmarks of a mail client's page; it must not bring a second "main".
    rules = "{rules: {'landmark-one-main': {enabled: false}, region: {enabled: false}}}"
    found = page.evaluate(f"axe.run({rules}).then(found => found.violations.map(v => [v.id, v.nodes[0].html]))")
    assert found == []
