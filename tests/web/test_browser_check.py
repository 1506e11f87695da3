"""Upload and check in a real browser: dropping, pasting, keys, a cell edited where it stands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import (
    LAPTOP,
    PHONE,
    Served,
    accessibility_problems,
    next_step,
    screen,
    served,
    tab,
)
from tests.source_files import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SAMPLES = ROOT / "samples"
TERM = (
    "activityId,recordState,recordType,liveState,openState,customColumn\n"
    "1001,maybe,0,on,on,a\n1002,on,0,on,on,b\n1003,maybe,0,on,on,c\n1004,on,0,?,on,d\n"
)


@pytest.fixture(scope="module")
def page_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def page(browser: Browser, page_served: Served) -> Iterator[Page]:
    with tab(browser, page_served.link) as found:
        yield found


def go(page: Page, path: str) -> None:
    """Open a path of the page."""
    page.goto("/".join(page.url.split("/")[:3]) + path)


def send(page: Page, folder: Path, text: str = TERM, name: str = "term.csv") -> None:
    """Choose a file, and send it."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    go(page, "/upload")
    page.set_input_files("input[type=file]", file)
    page.locator("main [data-next]").click()
    page.wait_for_selector("main[data-screen=check]")


def current(page: Page) -> str:
    return page.locator("td[data-current]").get_attribute("data-cell") or ""


def test_problems_are_walked_through_by_key(page: Page, tmp_path: Path) -> None:
    send(page, tmp_path)
    assert current(page) == "B2"
    for key, cell in (("n", "B4"), ("n", "D5"), ("p", "B4"), ("p", "B2")):
        expect(page.locator("[data-keys]")).to_be_visible()  # from when on keys are heard
        page.keyboard.press(key)
        expect(page.locator("td[data-current]")).to_have_attribute("data-cell", cell)


def test_a_cell_is_edited_where_it_stands(page: Page, tmp_path: Path) -> None:
    send(page, tmp_path)
    page.goto(page.url.split("?")[0] + "?rows=all&cell=F3")
    expect(page.locator("td[data-current]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("td[data-current] input")).to_be_focused()
    page.keyboard.type("new")
    page.keyboard.press("Enter")
    expect(page.locator("td[data-cell=F3]")).to_contain_text("new")
    assert "edited" in (page.locator("td[data-cell=F3]").get_attribute("class") or "")


def test_escape_leaves_a_cell_as_it_was(page: Page, tmp_path: Path) -> None:
    send(page, tmp_path)
    page.goto(page.url.split("?")[0] + "?rows=all&cell=F3")
    expect(page.locator("td[data-current]")).to_be_focused()
    page.keyboard.press("F2")
    page.keyboard.type("new")
    page.keyboard.press("Escape")
    expect(page.locator("td[data-cell=F3]")).to_have_text("b")
    expect(page.locator("td[data-cell=F3]")).to_be_focused()


def test_the_grid_is_walked_with_arrows(page: Page, tmp_path: Path) -> None:
    send(page, tmp_path)
    page.locator("td[data-current]").focus()
    for key, cell in (("ArrowRight", "C2"), ("ArrowDown", "C4"), ("End", "F4"), ("Home", "A4")):
        page.keyboard.press(key)
        expect(page.locator(f"td[data-cell={cell}]")).to_be_focused()
    assert page.locator("td[tabindex='0']").count() == 1


def test_one_fix_for_the_same_in_many_rows(page: Page, tmp_path: Path) -> None:
    send(page, tmp_path)
    page.select_option("select[name=text]", "1")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("h1")).to_have_text("3 rows ready, 1 row to be fixed")
    page.get_by_role("button", name="Undo the last change").click()
    expect(page.locator("h1")).to_have_text("1 row ready, 3 rows to be fixed")


def test_typing_in_a_field_is_no_key(page: Page, tmp_path: Path) -> None:
    send(page, tmp_path)
    page.goto(page.url.split("?")[0] + "?rows=all&cell=F3")
    page.locator("input[name=text]").fill("")
    page.locator("input[name=text]").press("n")
    assert current(page) == "F3"


def test_the_letter_keys_can_be_turned_off(page: Page, tmp_path: Path) -> None:
    send(page, tmp_path)
    page.locator("[data-keys-on]").uncheck()
    page.keyboard.press("n")
    page.reload()
    page.keyboard.press("n")
    assert current(page) == "B2"
    page.locator("[data-keys-on]").check()
    page.keyboard.press("n")
    expect(page.locator("td[data-current]")).to_have_attribute("data-cell", "B4")


def test_the_grid_is_one_stop_of_the_tab_key(page: Page, tmp_path: Path) -> None:
    send(page, tmp_path, TERM + ",on,0,on,on,e\n")
    stops = page.locator("[data-grid] :is(a, button, input, td):not([tabindex='-1'])")
    assert stops.count() == 1


@pytest.mark.parametrize("width", [320, 341])
def test_at_four_hundred_percent_nothing_is_cut_off(page: Page, tmp_path: Path, width: int) -> None:
    send(page, tmp_path)
    place = page.url.split("/check")[0]
    page.set_viewport_size({"width": width, "height": 256})
    for where in ("/check", "", "/columns", "/plan"):
        page.goto(place + where)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), where
    page.set_viewport_size({"width": LAPTOP["width"], "height": LAPTOP["height"]})


def test_a_file_is_dropped_anywhere_on_the_screen(page: Page) -> None:
    go(page, "/upload")
    page.evaluate(
        """(text) => {
          const held = new DataTransfer();
          held.items.add(new File([text], "dropped.csv"));
          for (const type of ["dragenter", "dragover", "drop"]) {
            document.body.dispatchEvent(
              new DragEvent(type, {dataTransfer: held, bubbles: true, cancelable: true}));
          }
        }""",
        TERM,
    )
    page.wait_for_selector("main[data-screen=check]")
    expect(page.locator(".lead")).to_contain_text("dropped.csv")


def test_cells_are_pasted_from_a_spreadsheet(page: Page) -> None:
    go(page, "/upload")
    page.evaluate(
        """(text) => {
          const held = new DataTransfer();
          held.setData("text/plain", text);
          document.body.dispatchEvent(
            new ClipboardEvent("paste", {clipboardData: held, bubbles: true, cancelable: true}));
        }""",
        TERM.replace(",", "\t"),
    )
    expect(page.locator("textarea")).to_have_value(TERM.replace(",", "\t"))
    page.get_by_role("button", name="Use the pasted rows").click()
    page.wait_for_selector("main[data-screen=check]")


def test_a_file_that_is_too_large_is_not_even_sent(page: Page, tmp_path: Path) -> None:
    go(page, "/upload")
    page.evaluate("document.querySelector('[data-drop]').dataset.workbookMost = 10")
    file = tmp_path / "large.xlsx"
    file.write_bytes(b"x" * 100)
    page.set_input_files("input[type=file]", file)
    expect(page.locator("#file-error")).to_be_visible()
    assert screen(page) == "upload"


def test_another_encoding_shows_at_once(page: Page) -> None:
    go(page, "/upload")
    page.set_input_files("input[type=file]", SAMPLES / "gb18030.csv")
    page.locator("main [data-next]").click()
    page.wait_for_selector("select#encoding")
    page.select_option("select#encoding", "big5")
    expect(page.locator("table")).not_to_contain_text("课堂ID")
    page.select_option("select#encoding", "gb18030")
    expect(page.locator("table")).to_contain_text("课堂ID")
    page.locator("main [data-next]").click()
    page.wait_for_selector("main[data-screen=check]")


def test_hostile_cells_run_nothing(page: Page, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    text = f'activityId,recordState,{hostile}\n1,{hostile},"javascript:alert(1)"\n'
    send(page, tmp_path, text, "a.csv")
    for where in ("", "/columns", "/check?rows=all&cell=C2", "/plan"):
        go(page, "/drafts/" + page.url.split("/drafts/")[1].split("/")[0] + where)
        assert page.locator("main img").count() == 0


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_every_screen_is_accessible_and_has_one_next_step(
    browser: Browser, page_served: Served, lang: str, dark: bool, size: dict[str, int]
) -> None:
    page_served.stop()
    with tab(browser, page_served.start(), lang=lang, dark=dark, size=size) as page:
        go(page, "/upload")
        assert accessibility_problems(page) == []
        page.locator("form[action='/sample'] button").click()
        page.wait_for_selector("main[data-screen=check]")
        place = page.url.split("/check")[0]
        for where in ("/check", "/check?rows=all&cell=N10", "/check?problem=cell.not_a_choice",
                      "", "/columns", "/plan"):  # fmt: skip
            page.goto(place + where)
            assert accessibility_problems(page) == [], where
            assert next_step(page), where
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not wide, where
