"""Pictures of the page to be looked at, and the one in README.

`python -m tests.make_screenshots FOLDER` takes each screen of the sample term's way through the
sandbox: in light and dark, in English and Chinese, on a laptop and on a phone.
`python -m tests.make_screenshots` draws README's picture anew.
"""

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import count, product
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import LANGUAGES, LAPTOP, PHONE, launch, screen, served, tab

PICTURE: Final = Path(__file__).parents[1] / "bulkcast/reference/page.png"
_LONG_MS: Final = 120_000


def take_all(folder: Path) -> None:
    """Take every screen in each look."""
    sizes: Mapping[str, Mapping[str, int]] = {"laptop": LAPTOP, "phone": PHONE}
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for lang, dark, size in product(LANGUAGES, (False, True), sizes):
            look = folder / f"{lang}-{'dark' if dark else 'light'}-{size}"
            look.mkdir(parents=True, exist_ok=True)
            numbers = count(1)
            for seen in _trip(browser, lang, dark=dark, size=sizes[size]):
                name = f"{next(numbers):02}-{screen(seen)}.png"
                seen.screenshot(path=look / name, full_page=True)


def _trip(browser: Browser, lang: str, *, dark: bool, size: Mapping[str, int]) -> Iterator[Page]:
    """The tab on each screen of the sample term's way."""
    with (
        tempfile.TemporaryDirectory() as home,
        served(Path(home)) as page,
        tab(browser, page.link, lang=lang, dark=dark, size=size) as seen,
    ):
        own = page.link.partition("?")[0]
        yield seen
        seen.goto(f"{own}upload")
        yield seen
        _press(seen, "form[action='/sample'] button")
        yield seen
        draft = "/".join(seen.url.split("/")[:5])
        for path in (draft, f"{draft}/columns", f"{draft}/check", f"{draft}/plan"):
            seen.goto(path)
            yield seen
        _press(seen, "main [data-next]:visible")
        expect(seen).to_have_title(re.compile("^[1-9]"))  # sending has begun
        yield seen
        seen.wait_for_url("**/results", timeout=_LONG_MS)
        yield seen
        _press(seen, "main [data-next]:visible")
        yield seen
        for path in ("", "settings", "settings/profile"):
            seen.goto(own + path)
            yield seen


def _press(seen: Page, selector: str) -> None:
    with seen.expect_navigation():
        seen.locator(selector).first.click()


def draw() -> None:
    """Draw README's picture: the check of the sample term."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for seen in _trip(browser, "en", dark=False, size={"width": 1180, "height": 640}):
            if screen(seen) == "check":
                seen.screenshot(path=PICTURE)
                return


if __name__ == "__main__":
    take_all(Path(sys.argv[1])) if sys.argv[1:] else draw()
