"""A real browser before the real `bulkcast serve`, and what must never happen in it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Playwright,
    Request,
    expect,
)

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome")
     for folder in os.environ.get("PATH", "").split(os.pathsep)
     if (path := Path(folder) / name).is_file()), None,
)  # fmt: skip
"""The system's browser: none is downloaded."""

_PATIENCE_MS = 30_000
"""A busy machine is no defect; Playwright's own 5 s are for idle ones."""
expect.set_options(timeout=_PATIENCE_MS)

LANGUAGES: Mapping[str, str] = {"en": "en-GB", "zh": "zh-CN"}
LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}

_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
});
"""


def launch(playwright: Playwright) -> Browser:
    """The browser; without its own sandbox, which the root user of a test machine cannot have."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@dataclass
class Served:
    """`bulkcast serve` as a program of its own."""

    home: Path
    port: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[str] | None" = None
    link: str = ""

    def start(self) -> str:
        """Start it; returns the link."""
        own = {k: v for k, v in os.environ.items() if not k.startswith("BULKCAST_S")}
        environ = {**own, "BULKCAST_HOME": str(self.home), **self.environ}
        command = [sys.executable, "-m", "bulkcast", "serve", "--no-open", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.link = self.process.stdout.readline().strip()
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=\S+", self.link)
        assert found, f"no link but {self.link!r}"
        self.port = int(found[1])
        return self.link

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.kill()
        self._wait()

    def stop(self) -> int:
        """End it as a user does; returns the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self._wait()

    def _wait(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        with self.process.stdout:
            return self.process.wait(timeout=30)


@contextmanager
def served(home: Path, **environ: str) -> Iterator[Served]:
    """The page for the block."""
    page = Served(home, environ=environ)
    page.start()
    try:
        yield page
    finally:
        if page.process is not None and page.process.poll() is None:
            page.stop()


@contextmanager
def tab(
    browser: Browser,
    link: str,
    *,
    lang: str = "en",
    dark: bool = False,
    size: Mapping[str, int] = LAPTOP,
    may_fail: tuple[str, ...] = (),
    **more: Any,
) -> Iterator[Page]:
    """A tab that has opened the link.

    At its end: no dialog was opened, the policy was never violated, no script failed, nothing was
    asked of another host.  `may_fail` are parts of messages that the test brings about.
    """
    context = browser.new_context(
        locale=LANGUAGES[lang],
        color_scheme="dark" if dark else "light",
        viewport={"width": size["width"], "height": size["height"]},
        reduced_motion="reduce",
        **more,
    )
    with watched(context, link, may_fail) as page:
        page.goto(link)
        yield page
    context.close()


@contextmanager
def watched(context: BrowserContext, link: str, may_fail: tuple[str, ...] = ()) -> Iterator[Page]:
    """A new tab of the context that is watched as `tab` says."""
    context.add_init_script(_WATCH)
    page = context.new_page()
    wrong: list[str] = []
    own = link.partition("?")[0]

    def on_dialog(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_console(said: ConsoleMessage) -> None:
        if said.type == "error":
            wrong.append(f"console: {said.text}")

    def on_request(asked: Request) -> None:
        if not asked.url.startswith((own, f"blob:{own}")):
            wrong.append(f"request: {asked.url}")

    page.on("dialog", on_dialog)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("console", on_console)
    page.on("request", on_request)
    yield page
    if not page.is_closed():
        wrong += [f"policy: {said}" for said in page.evaluate("window.violations || []")]
    left = [said for said in wrong if not any(part in said for part in may_fail)]
    assert not left, left


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def accessibility_problems(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and its own best practices on the screen."""
    page.evaluate(_axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:160]} — {json.dumps(node['any'][:1])[:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def next_step(page: Page) -> str:
    """The text of the one next step on the screen."""
    steps = page.locator("main [data-next]:visible")
    assert steps.count() == 1, steps.all_inner_texts()
    return steps.inner_text()


def screen(page: Page) -> str:
    """Which screen is shown."""
    return page.locator("main").get_attribute("data-screen") or ""
