"""Make docs/pictures/: the sample digest as a browser shows it, light, dark and on a telephone.

    python scripts/digest_pictures.py [FOLDER]

Needs a Chromium (`chromium`, `chromium-browser` or `google-chrome`) and the development tools.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from digest_samples import LETTERHEAD, LINKS, weekly_digest  # noqa: E402

from monitor.digest import render  # noqa: E402

SHOTS = (("digest-light", 720, "light"), ("digest-dark", 720, "dark"), ("digest-375", 375, "light"))
HEIGHT = 1300
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]


def main() -> int:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("no Chromium found: install one to make the pictures", file=sys.stderr)
        return 1
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    html = render(weekly_digest(), LETTERHEAD, LINKS).html
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for name, width, scheme in SHOTS:
            page = browser.new_page(
                viewport={"width": width, "height": HEIGHT},
                color_scheme="dark" if scheme == "dark" else "light",
                device_scale_factor=1.5,
            )
            page.set_content(html)
            page.screenshot(path=folder / f"{name}.png")
            print(folder / f"{name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
