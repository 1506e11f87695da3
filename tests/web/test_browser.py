"""The frame of every screen in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser

from tests.browser import PHONE, accessibility_problems, screen, served, tab

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_frame_is_accessible(browser: Browser, tmp_path: Path, lang: str, dark: bool) -> None:
    with (
        served(tmp_path) as page,
        tab(browser, page.link, lang=lang, dark=dark, may_fail=("404",)) as seen,
    ):
        assert screen(seen) == "home"
        assert not accessibility_problems(seen)
        seen.goto(f"{page.link.partition('?')[0]}nothing")
        assert not accessibility_problems(seen)


def test_the_token_leaves_the_address_and_the_history(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path) as page, tab(browser, page.link) as seen:
        assert "token" not in seen.url


def test_the_language_is_switched_where_one_is(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path) as page, tab(browser, page.link) as seen:
        assert seen.locator("html").get_attribute("lang") == "en"
        seen.get_by_role("button", name="中文").click()
        assert seen.locator("html").get_attribute("lang") == "zh-CN"
        seen.get_by_role("button", name="English").click()
        assert seen.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("width", [320, PHONE["width"]])
def test_nothing_is_wider_than_a_phone(browser: Browser, tmp_path: Path, width: int) -> None:
    # 320 px are a 1280 px window at 400 % (WCAG 2.2, 1.4.10).
    size = {"width": width, "height": 640}
    with served(tmp_path) as page, tab(browser, page.link, size=size) as seen:
        wide = seen.evaluate("document.documentElement.scrollWidth")
        assert wide <= width


def test_a_page_on_another_port_can_neither_read_nor_change(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        served(tmp_path) as page,
        tab(browser, page.link) as seen,
        _another_page() as other,
    ):
        own = page.link.partition("?")[0]
        stranger = seen.context.new_page()
        stranger.goto(other)
        read = """async (url) => {
            try { return await (await fetch(url, {credentials: "include"})).text(); }
            catch { return "refused"; }
        }"""
        assert stranger.evaluate(read, own) == "refused"
        # A form that it sends itself.
        post = """(url) => {
            const form = document.createElement("form");
            form.method = "post";
            form.action = url + "language";
            const field = document.createElement("input");
            [field.name, field.value] = ["lang", "zh"];
            form.append(field);
            document.body.append(form);
            form.submit();
        }"""
        with stranger.expect_navigation() as refused:
            stranger.evaluate(post, own)
        assert refused.value is not None
        assert refused.value.status == 403
        stranger.close()
        seen.reload()
        assert seen.locator("html").get_attribute("lang") == "en"


@contextmanager
def _another_page() -> Iterator[str]:
    """A page of somebody else on this computer: the same site, another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>x</title><body>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
