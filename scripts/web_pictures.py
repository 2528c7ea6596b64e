"""Make docs/pictures/topic-bench.png and overview.png from the demo's data.

    python scripts/web_pictures.py [FOLDER]

Needs a Chromium (`chromium`, `chromium-browser` or `google-chrome`) and the development tools; takes a minute.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from playwright.async_api import async_playwright

from monitor.app import Opened
from monitor.demo.run import Outcome, demo
from monitor.model import Label, Verdict
from monitor.web import make_app, serve

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
SIZE = {"width": 1280, "height": 860}
DRAFT = '(mTOR OR rapamycin OR "opioid tolerance") NOT veterinary'


def main() -> int:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("no Chromium found: install one to make the pictures", file=sys.stderr)
        return 1
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)

    async def keep(opened: Opened, _: Outcome) -> None:
        await take(opened, folder, chromium)

    with tempfile.TemporaryDirectory() as directory:
        demo(Path(directory), keep)
    return 0


async def take(opened: Opened, folder: Path, chromium: str) -> None:
    users, password = opened.monitor.users, secrets.token_urlsafe(16)
    await users.use_link(await users.setup_link(), password, email="ada@example.org", name="Ada Lindqvist")
    await _label(opened)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = asyncio.ensure_future(serve(make_app(opened), "127.0.0.1", port))
    await asyncio.sleep(1)
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            context = await browser.new_context(viewport=SIZE, device_scale_factor=1.5, reduced_motion="reduce")
            page = await context.new_page()
            await page.goto(f"http://127.0.0.1:{port}/login")
            await page.fill("#email", "ada@example.org")
            await page.fill("#password", password)
            await page.keyboard.press("Enter")
            await page.wait_for_selector(".funnel")
            await page.screenshot(path=folder / "overview.png")
            await page.goto(f"http://127.0.0.1:{port}/topics/mtor")
            await page.wait_for_selector("#save:not([disabled])")
            await page.fill("#query", DRAFT)
            await page.wait_for_selector(".hit.gained")
            await page.screenshot(path=folder / "topic-bench.png")
            await browser.close()
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
    for name in ("overview", "topic-bench"):
        print(folder / f"{name}.png")


async def _label(opened: Opened) -> None:
    """A few judgements, so that the picture shows a precision."""
    topics = opened.monitor.storage.topics
    topic = await topics.get("mtor")
    label = Label(
        topic_id=topic.id,
        article_id=0,
        verdict=Verdict.RELEVANT,
        by="ada@example.org",
        labelled_at=opened.monitor.now(),
    )
    for found in (await topics.matches(topic.id))[:3]:
        await topics.label(replace(label, article_id=found.article.id))


if __name__ == "__main__":
    sys.exit(main())
