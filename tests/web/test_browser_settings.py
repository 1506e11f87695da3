"""The settings screen in a real browser: by mouse and keyboard, in both languages."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bulkcast.model import Secret
from bulkcast.sandbox import SANDBOX_SID, Sandbox, World
from tests.browser import PHONE, accessibility_problems, next_step, screen, served, tab
from tests.cli_runner import serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SECRET = "school-secret-77"  # noqa: S105 - a word to look for
REFUSED = ("400",)


def go(page: Page, link: str, path: str) -> None:
    page.goto(link.partition("?")[0] + path)


def fill(page: Page, root_url: str, name: str, secret: str) -> None:
    page.locator("#name").fill(name)
    page.locator("#sid").fill(SANDBOX_SID)
    page.locator("#secret").fill(secret)
    if not page.locator("#root_url").is_visible():
        page.locator("summary").click()
    page.locator("#root_url").fill(root_url)


@pytest.mark.parametrize(("lang", "live"), [("en", "North campus"), ("zh", "北校区")])
def test_a_wrong_secret_is_mended_and_saved_in_the_browser(
    browser: Browser, tmp_path: Path, lang: str, live: str
) -> None:
    classin = Sandbox(World(limit=None), secret=Secret(SECRET))
    with (
        serving(classin) as root_url,
        served(tmp_path) as page,
        tab(browser, page.link, lang=lang, may_fail=REFUSED) as seen,
    ):
        seen.locator("header [data-account]").click()
        assert screen(seen) == "settings"
        assert seen.locator("header .badge-demo").is_visible()
        assert not accessibility_problems(seen)
        seen.locator("main a[href='/settings/profile']").click()
        assert not accessibility_problems(seen)

        fill(seen, root_url, live, "mistyped")
        seen.locator("#sid").fill("abc")
        seen.locator("[data-next]").click()
        expect(seen.locator("#sid-error")).to_be_visible()
        assert not accessibility_problems(seen)
        fill(seen, root_url, live, "mistyped")
        seen.locator("[data-next]").click()
        expect(seen.locator("[data-findings] .state-rejected")).to_have_count(1)
        assert not accessibility_problems(seen)

        seen.locator("main a[href*='tried=']").click()
        seen.locator("#secret").fill(SECRET)
        seen.keyboard.press("Enter")
        expect(seen.locator("header .badge-live")).to_contain_text(live)
        assert next_step(seen) == {"en": "Back to the runs", "zh": "返回批次列表"}[lang]
        assert not accessibility_problems(seen)
        assert SECRET not in seen.content() + seen.url
        expect(seen.locator("header .badge-live")).to_contain_text(root_url)

        seen.locator("summary").click()
        seen.locator(".button-danger").click()
        expect(seen.locator("header .badge-demo")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_live_on_a_phone_is_accessible_and_not_wider_than_it(
    browser: Browser, tmp_path: Path, dark: bool
) -> None:
    environ = {"BULKCAST_SID": "1000082", "BULKCAST_SECRET": SECRET}
    other = {"BULKCAST_ROOT_URL": "https://a-rather-long-name.of-another-host.example"}
    with (
        served(tmp_path, **environ, **other) as page,
        tab(browser, page.link, dark=dark, size=PHONE) as seen,
    ):
        for path in ("settings", "settings/profile"):
            go(seen, page.link, path)
            assert not accessibility_problems(seen)
            assert seen.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_two_tabs_see_the_same_account(browser: Browser, tmp_path: Path) -> None:
    environ = {"BULKCAST_SID": "1000082", "BULKCAST_SECRET": SECRET}
    with served(tmp_path, **environ) as page, tab(browser, page.link) as seen:
        other = seen.context.new_page()
        go(other, page.link, "settings")
        expect(other.locator("header .badge-live")).to_contain_text("SID 1000082")
        go(seen, page.link, "settings")
        seen.locator("[data-choice='demo'] button").click()
        other.reload()
        expect(other.locator("header .badge-demo")).to_be_visible()
        other.close()


def test_the_browser_is_asked_for_notifications_by_a_button_only(
    browser: Browser, tmp_path: Path
) -> None:
    watch = """
        window.asked = 0;
        window.shown = [];
        class Told extends EventTarget {
            static permission = "default";
            static async requestPermission() {
                window.asked += 1;
                return (Told.permission = "granted");
            }
            constructor(title, options) { super(); window.shown.push([title, options.body]); }
            close() {}
        }
        window.Notification = Told;
    """
    with served(tmp_path) as page, tab(browser, page.link) as seen:
        seen.add_init_script(watch)
        go(seen, page.link, "settings")
        assert seen.evaluate("window.asked") == 0
        seen.locator("[data-notifications-ask]").click()
        expect(seen.locator("[data-notifications-state]")).to_have_text(
            "This browser tells you when a run ends."
        )
        expect(seen.locator("[data-notifications-ask]")).to_be_hidden()
        assert seen.evaluate("window.asked") == 1

        show = """async (isSeen) => {
            const { show } = await import("/static/notification.js");
            Object.defineProperty(document, "visibilityState",
                { value: isSeen ? "visible" : "hidden", configurable: true });
            document.hasFocus = () => isSeen;
            return show("A run has ended", "<b>3</b> rows", "/");
        }"""
        assert seen.evaluate(show, True) is False
        assert seen.evaluate(show, False) is True
        assert seen.evaluate("window.shown") == [["A run has ended", "<b>3</b> rows"]]
