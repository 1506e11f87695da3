"""Runs in a real browser: live, reloaded, in two tabs, over restarts of `bulkcast serve`."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bulkcast.sandbox import SANDBOX_SECRET, Classroom, Sandbox, World
from tests.browser import (
    PHONE,
    Served,
    accessibility_problems,
    next_step,
    screen,
    served,
    tab,
)
from tests.dispatcher_harness import classroom
from tests.page_runs import environ_of
from tests.sheets import FIRST_ID, HEAD, cells, plain, write_rows

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOT_OURS = "code:121601031*"
_LONG_MS = 60_000


@dataclass(frozen=True)
class ClassIn:
    """A sandbox that outlives `bulkcast serve`."""

    url: str
    sandbox: Sandbox

    def until(self, n: int) -> None:
        """Wait until it has had so many requests."""
        _until(lambda: len(self.sandbox.log) >= n)


def _until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends, "it never became true"
        time.sleep(0.05)


@contextmanager
def classin(*rooms: Classroom) -> Iterator[ClassIn]:
    """A sandbox in a thread of its own."""
    sandbox = Sandbox(
        World(first_whole=False, limit=None, latency_s=0.1, classrooms=rooms),
        secret=SANDBOX_SECRET,
    )
    began, ends = threading.Event(), asyncio.Event()
    found: list[tuple[str, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with sandbox.serving() as url:
            found.append((url, asyncio.get_running_loop()))
            began.set()
            await ends.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert began.wait(30)
    url, loop = found[0]
    try:
        yield ClassIn(url, sandbox)
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join()


def begin(seen: Page, sheet: Path) -> str:
    """Upload a sheet and go on from one next step to the other until it is sent; the run's name."""
    own = seen.url.partition("/")[0] + "//" + seen.url.split("/")[2]
    seen.goto(f"{own}/upload")
    seen.locator("input[type=file]").set_input_files(sheet)
    for _ in range(6):
        seen.locator("main [data-next]:visible").click()
        seen.wait_for_load_state()
        if screen(seen) == "apply":
            break
    assert screen(seen) == "apply"
    return seen.url.rpartition("/")[2]


@contextmanager
def sending(
    browser: Browser, folder: Path, rows: int, *rooms: Classroom, **more: object
) -> Iterator[tuple[Page, Served, ClassIn, str]]:
    """A tab that looks at a run under way."""
    with (
        classin(*rooms) as there,
        served(folder / "home", **environ_of(folder / "home", there.url)) as page,
        tab(browser, page.link, **more) as seen,  # type: ignore[arg-type] # of `tab`
    ):
        run = begin(seen, plain(folder / "Term 1.xlsx", rows))
        yield seen, page, there, run


def test_progress_is_live_and_leads_to_the_results(browser: Browser, tmp_path: Path) -> None:
    with sending(browser, tmp_path, 60, classroom(5, NOT_OURS)) as (seen, _, _, run):
        assert next_step(seen) == "Pause"
        expect(seen).to_have_title(re.compile(r"^[1-9]\d? % · Sending · Term 1\.xlsx"))
        expect(seen.locator("[data-failures] tbody tr")).to_have_count(1)
        assert seen.locator("[data-failures] tbody td").first.inner_text() == "5"
        seen.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
        assert screen(seen) == "results"
        assert seen.locator("h1").inner_text() == "59 of 60 rows are done, 1 needs fixing"
        assert next_step(seen) == "Fix and resubmit 1 row"


def test_a_pause_a_reload_and_a_second_tab(browser: Browser, tmp_path: Path) -> None:
    with sending(browser, tmp_path, 90) as (seen, _, there, run):
        there.until(5)
        seen.locator("[data-next]:visible").click()
        expect(seen.locator("h1")).to_have_text("Paused")
        sent = len(there.sandbox.log)
        seen.reload()
        assert next_step(seen) == "Continue"
        other = seen.context.new_page()
        other.goto(seen.url)
        expect(other.locator("h1")).to_have_text("Paused")
        assert len(there.sandbox.log) == sent

        other.locator("[data-next]:visible").click()
        expect(seen.locator("h1")).to_have_text("Sending")  # without a reload
        assert next_step(seen) == "Pause"
        for each in (seen, other):
            each.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
            assert each.locator("h1").inner_text() == "All 90 rows are done"
        other.close()


def test_a_dropped_event_stream_is_taken_up_again(browser: Browser, tmp_path: Path) -> None:
    failing = ("ERR_", "net::", "Failed to load")
    with sending(browser, tmp_path, 120, may_fail=failing) as (seen, _, there, run):
        there.until(5)
        seen.context.set_offline(True)
        seen.evaluate("dispatchEvent(new Event('offline'))")
        sent = len(there.sandbox.log)
        there.until(sent + 10)  # the run itself goes on
        seen.context.set_offline(False)
        seen.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
        assert seen.locator("h1").inner_text() == "All 120 rows are done"
    assert len(there.sandbox.log) == 120


def test_stop_and_continue(browser: Browser, tmp_path: Path) -> None:
    with sending(browser, tmp_path, 80) as (seen, _, there, run):
        there.until(5)
        seen.get_by_role("button", name="Stop after what is under way").click()
        seen.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
        assert "Stopped before the end" in seen.locator("h1").inner_text()
        assert next_step(seen) == "Continue"
        seen.locator("[data-next]:visible").click()
        assert screen(seen) == "apply"
        seen.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
        assert seen.locator("h1").inner_text() == "All 80 rows are done"
    assert len(there.sandbox.log) == 80


def test_serve_is_killed_amid_a_run_and_the_open_tab_continues_it(
    browser: Browser, tmp_path: Path
) -> None:
    failing = ("ERR_", "net::", "Failed to load")
    with sending(browser, tmp_path, 120, may_fail=failing) as (seen, page, there, run):
        there.until(10)
        page.kill()
        expect(seen.locator("[data-lost]")).to_be_visible(timeout=_LONG_MS)
        page.start()  # on the same port; the tab is still signed in
        expect(seen.locator("h1")).to_have_text("Interrupted", timeout=_LONG_MS)
        expect(seen.locator("[data-lost]")).to_be_hidden()
        assert next_step(seen) == "Continue"
        seen.locator("[data-next]:visible").click()
        assert next_step(seen) == "Pause"
        seen.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
        assert seen.locator("h1").inner_text() == "All 120 rows are done"


def test_serve_ends_amid_a_run_with_a_complete_ledger(browser: Browser, tmp_path: Path) -> None:
    failing = ("ERR_", "net::", "Failed to load")
    with sending(browser, tmp_path, 120, may_fail=failing) as (seen, page, there, run):
        there.until(10)
        assert page.stop() in {0, 143}
        page.start()
        seen.goto(seen.url)
        assert screen(seen) == "results"
        assert "unconfirmed" not in seen.locator("main").inner_text()
        assert next_step(seen) == "Continue"
        assert run in seen.url


def test_two_thousand_rows_a_second_are_no_work_for_a_tab(browser: Browser, tmp_path: Path) -> None:
    """Snapshots as large as the server sends them, one after another through the tab's script."""
    with sending(browser, tmp_path, 300) as (seen, _, there, run):
        there.until(3)
        seen.locator("[data-next]:visible").click()
        expect(seen.locator("h1")).to_have_text("Paused")
        now = json.loads(
            seen.evaluate(f"fetch('/runs/{run}/events?once=1').then((got) => got.text())")
        )
        now["failures"] = [
            {"row": str(n), "classroom": str(FIRST_ID + n), "status": "rejected",
             "word": "rejected", "message": "The classroom has been deleted.", "time": "08:00:00"}
            for n in range(20)
        ]  # fmt: skip
        took = seen.evaluate(_HUNDRED_SNAPSHOTS, now)
    assert took / 100 < 25  # ms of each quarter of a second


_HUNDRED_SNAPSHOTS = """async (now) => {
    const { show } = await import("/static/run.js");
    const begun = performance.now();
    for (let n = 0; n < 100; n += 1) {
        for (const failure of now.failures) failure.row = String(n);
        show({ ...now, done: String(n * 500), percent: n });
        document.body.getBoundingClientRect();
    }
    return performance.now() - begun;
}"""


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_screen_of_a_run_is_accessible(
    browser: Browser, tmp_path: Path, lang: str, dark: bool
) -> None:
    rooms = (classroom(5, NOT_OURS), classroom(6, "hang:60*"))
    more = {"lang": lang, "dark": dark}
    with sending(browser, tmp_path, 60, *rooms, **more) as (seen, _, there, run):
        there.until(10)
        own = seen.url.partition("/runs/")[0]
        assert not accessibility_problems(seen)
        seen.locator("[data-next]:visible").click()
        seen.wait_for_selector("[data-phase=paused], [data-phase=pausing]")
        assert not accessibility_problems(seen)
        seen.locator(".button-danger").click()
        seen.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
        assert not accessibility_problems(seen)
        for path in (f"/runs/{run}/undo", "/"):
            seen.goto(own + path)
            assert not accessibility_problems(seen)


@pytest.mark.parametrize("width", [320, PHONE["width"]])
def test_no_screen_of_a_run_is_wider_than_a_phone(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    size = {"width": width, "height": 640}
    with sending(browser, tmp_path, 40, classroom(5, NOT_OURS), size=size) as (seen, _, there, run):
        there.until(10)
        own = seen.url.partition("/runs/")[0]
        assert seen.evaluate("document.documentElement.scrollWidth") <= width
        seen.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
        for path in (f"/runs/{run}/results", f"/runs/{run}/undo", "/"):
            seen.goto(own + path)
            assert seen.evaluate("document.documentElement.scrollWidth") <= width, path


def test_hostile_cells_do_nothing(browser: Browser, tmp_path: Path) -> None:
    """What a tab does with hostile text is checked at its end: no dialog, no report, no request."""
    hostile = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    lines = [(*cells(row)[:-1], hostile) for row in range(2, 10)]
    lines[2] = (FIRST_ID + 4, hostile, 1, 1, 1, hostile)
    with (
        classin(classroom(5, NOT_OURS)) as there,
        served(tmp_path / "home", **environ_of(tmp_path / "home", there.url)) as page,
        tab(browser, page.link) as seen,
    ):
        sheet = write_rows(tmp_path / "<img src=x onerror=alert(3)>.xlsx", HEAD, lines)
        run = begin(seen, sheet)
        seen.wait_for_url(f"**/runs/{run}/results", timeout=_LONG_MS)
        assert "onerror" in seen.locator("main").inner_text()
        seen.goto(seen.url.partition("/runs/")[0])
        assert "onerror" in seen.locator("main").inner_text()
