"""The three jobs from end to end in a real browser, by the one next step of each screen."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import Browser, Download, Page, expect

from tests.browser import accessibility_problems, screen, served, tab
from tests.sheets import HEAD, cells, write_rows

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_LONG_MS = 60_000
_WRONG_ROW = 5
_RECORDING = HEAD.index("recordState") + 1


@contextmanager
def page_in(browser: Browser, folder: Path, lang: str) -> Iterator[Page]:
    """A tab in the DEMO of a page of its own."""
    with served(folder / "home") as page, tab(browser, page.link, lang=lang) as seen:
        yield seen


def term(path: Path) -> Path:
    """Twelve classes, of which one is wrong."""
    lines = [list(cells(row)) for row in range(2, 14)]
    lines[_WRONG_ROW - 2][_RECORDING - 1] = "perhaps"
    return write_rows(path, HEAD, lines)


def upload(seen: Page, sheet: Path) -> None:
    """Give the file to the page, from whichever screen shows."""
    own = "/".join(seen.url.split("/")[:3])
    seen.goto(f"{own}/upload")
    seen.locator("input[type=file]").set_input_files(sheet)
    assert screen(seen) == "upload"  # choosing alone does not leave the screen
    follow(seen)


def follow(seen: Page) -> str:
    """Take the next step; the screen it leads to."""
    with seen.expect_navigation():
        seen.locator("main [data-next]:visible").click()
    return screen(seen)


def go_on_to(seen: Page, *wanted: str) -> None:
    """Take the next step until one of these screens shows; each one on the way is accessible."""
    for _ in range(6):
        if screen(seen) in wanted:
            return
        assert not accessibility_problems(seen)
        follow(seen)
    assert screen(seen) in wanted


def send(seen: Page) -> None:
    """From the check to the results."""
    go_on_to(seen, "apply", "results")  # a few rows are sent before one has looked
    seen.wait_for_url("**/results", timeout=_LONG_MS)
    assert screen(seen) == "results"
    assert not accessibility_problems(seen)


def saved(seen: Page, selector: str, folder: Path) -> Path:
    """Download what a link gives."""
    with seen.expect_download() as found:
        seen.locator(selector).first.click()
    got: Download = found.value
    path = folder / got.suggested_filename
    got.save_as(path)
    return path


def mended(path: Path, row: int, column: int, text: str) -> Path:
    """Change one cell as a spreadsheet program does."""
    book = openpyxl.load_workbook(path)
    tab_ = book.active
    assert tab_ is not None
    tab_.cell(row, column).value = text
    book.save(path)
    return path


def statuses(path: Path) -> list[object]:
    """The status column of a result workbook."""
    tab_ = openpyxl.load_workbook(path).active
    assert tab_ is not None
    header, *rows = tab_.iter_rows(values_only=True)
    place = header.index("bulkcast_status")
    return [row[place] for row in rows]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_term_is_uploaded_applied_mended_and_sent_again(
    browser: Browser, tmp_path: Path, lang: str
) -> None:
    with page_in(browser, tmp_path, lang) as seen:
        upload(seen, term(tmp_path / "学期 Term.xlsx"))
        go_on_to(seen, "check")
        expect(seen.locator("h1[data-ready='11'][data-bad='1']")).to_be_visible()
        send(seen)
        results = saved(seen, "a[data-download=results]", tmp_path)
        assert results.name.startswith("学期 Term.results-sandbox-")
        assert statuses(results).count("applied") == 11
        assert statuses(results)[_WRONG_ROW - 2] == "invalid"

        # The result sheet, mended in a spreadsheet program, is recognised.
        upload(seen, mended(results, _WRONG_ROW, _RECORDING, "1"))
        go_on_to(seen, "check")
        assert seen.locator("h1").get_attribute("data-ready") == "1"
        send(seen)
        again = saved(seen, "a[data-download=results]", tmp_path)
        assert statuses(again) == ["applied"] * 12


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_sheet_is_checked_mended_and_compared_and_nothing_is_sent(
    browser: Browser, tmp_path: Path, lang: str
) -> None:
    with page_in(browser, tmp_path, lang) as seen:
        upload(seen, term(tmp_path / "term.xlsx"))
        go_on_to(seen, "check")
        seen.locator("details:has([data-download=marked]) summary").click()
        marked = saved(seen, "[data-download=marked]", tmp_path)
        assert statuses(marked)[_WRONG_ROW - 2] == "invalid"
        seen.locator("input[type=file]").set_input_files(
            mended(marked, _WRONG_ROW, _RECORDING, "1")
        )
        with seen.expect_navigation():
            seen.locator("form:has(input[name=replaces]) button").click()
        go_on_to(seen, "check")
        expect(seen.locator("h1[data-ready='12'][data-bad='0']")).to_be_visible()
        follow(seen)
        assert screen(seen) == "plan"
        seen.goto("/".join(seen.url.split("/")[:3]))
        assert seen.locator("[data-run]").count() == 0
    assert not list((tmp_path / "home" / "sandbox").glob("runs/*"))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_failed_rows_are_fixed_on_the_page_and_sent_again(
    browser: Browser, tmp_path: Path, lang: str
) -> None:
    with page_in(browser, tmp_path, lang) as seen:
        upload(seen, term(tmp_path / "term.csv"))
        go_on_to(seen, "check")
        send(seen)
        follow(seen)  # fix and resubmit
        assert screen(seen) == "check"
        seen.locator("[data-panel] select").select_option("1")
        with seen.expect_navigation():
            seen.locator("[data-panel] button[value=replace]").click()
        expect(seen.locator("h1")).to_have_attribute("data-ready", "1")
        send(seen)
        assert set(statuses_of_csv(saved(seen, "a[data-download=results]", tmp_path))) == {
            "applied"
        }


def statuses_of_csv(path: Path) -> list[str]:
    """The status column of a csv result."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [line["bulkcast_status"] for line in csv.DictReader(file)]
