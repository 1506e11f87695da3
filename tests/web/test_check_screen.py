"""Check: every problem in its cell, one fix for many, and a file that is never touched."""

from io import BytesIO
from pathlib import Path

import openpyxl
import pytest

from tests.page_client import Answer, page
from tests.page_sheets import (
    SAMPLES,
    banners,
    cell,
    chips,
    fields,
    next_step,
    path_of,
    upload,
)

SAMPLE_NAMES = sorted(file.name for file in SAMPLES.glob("*.*"))
HEAD = "activityId,recordState,liveState,customColumn\n"
TERM = (
    HEAD + '1001,maybe,on,a\n1002,on,on,b\n1003,maybe,on," c "\n1004,perhaps,off,d\nx5,on,off,e\n'
).encode()


def rows(answer: Answer) -> list[str]:
    return [row.get("data-row") for row in answer.tree.xpath("//tr[@data-row]")]


def uploaded(home: Path) -> bytes:
    """The only file that was uploaded, as it lies there now."""
    (file,) = home.rglob("sheet.csv")
    return file.read_bytes()


def headline(answer: Answer) -> str:
    return " ".join(answer.tree.xpath("string(//h1)").split())


def current(answer: Answer) -> str:
    return str(answer.tree.xpath("string(//td[@data-current]/@data-cell)"))


# ------------------------------------------------------------------ what is shown


async def test_the_headline_counts_and_the_next_step_carries_the_number(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", TERM)
    assert headline(answer) == "1 row ready, 4 rows to be fixed"
    assert next_step(answer) == "Continue with 1 row"


@pytest.mark.parametrize(
    ("content", "said", "step"),
    [
        (HEAD + "1,on,on,\n2,on,on,\n", "2 rows are ready", "Continue with 2 rows"),
        (HEAD + "1,?,on,\n", "1 row needs fixing", "Upload another file"),
        (HEAD + "1,?,on,\n2,?,on,\n", "2 rows need fixing", "Go to the next problem"),
        (HEAD, "There is nothing to send", "Upload another file"),
    ],
)
async def test_all_good_all_bad_and_nothing(
    tmp_path: Path, content: str, said: str, step: str
) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", content.encode())
    assert (headline(answer), next_step(answer)) == (said, step)


async def test_filters_have_counts_and_lead_to_the_rows(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", TERM)
        assert chips(answer, "problem")[:2] == ["Rows with problems 5", "All rows 5"]
        assert "Not one of the choices 3" in chips(answer, "problem")
        assert "B recordState 3" in chips(answer, "column")
        place = path_of(answer)
        assert rows(await client.get(f"{place}/check?problem=cell.not_a_choice")) == ["2", "4", "5"]
        assert rows(await client.get(f"{place}/check?column=A")) == ["6"]
        assert rows(await client.get(f"{place}/check?problem=id.not_a_number&column=B")) == []
        assert rows(await client.get(f"{place}/check?rows=all")) == ["2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    "query", ["problem=x", "column=1", "page=x", "page=99", "cell=ZZ9", "cell=A1", "cell=%00"]
)
async def test_an_address_without_sense_shows_the_sheet_all_the_same(
    tmp_path: Path, query: str
) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        answer = await client.get(f"{place}/check?{query}")
    assert (answer.status, answer.screen) == (200, "check")


async def test_a_bad_cell_is_marked_by_more_than_colour(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", TERM)
    bad = cell(answer, "B2")
    assert "bad" in bad.get("class")
    assert bad.get("aria-invalid") == "true"
    assert bad.xpath(".//*[local-name()='svg']")
    assert "maybe is not one of" in bad.get("title")


async def test_the_panel_says_what_is_wrong_and_how_often(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        answer = await client.get(f"{place}/check?cell=B4")
    panel = " ".join(answer.tree.xpath("string(//aside)").split())
    assert "B4 · recordState" in panel
    assert "the same in 2 rows" in panel
    assert "all with this problem in this column (3 rows)" in panel
    assert "maybe is not one of" in panel


async def test_problems_are_walked_through_one_by_one(tmp_path: Path) -> None:
    seen = []
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", TERM)
        while True:
            seen.append(current(answer))
            onward = answer.tree.xpath("//a[@data-following]/@href")
            if not onward:
                break
            answer = await client.get(onward[0])
        back = answer.tree.xpath("//a[@data-previous]/@href")
        assert current(await client.get(back[0])) == seen[-2]
    assert seen == sorted(set(seen), key=lambda a: (int(a[1:]), a[0]))
    assert {"B2", "B4", "B5", "A6"} <= set(seen)


async def test_many_rows_are_paged(tmp_path: Path) -> None:
    content = HEAD + "".join(f"{1000 + n},{'?' if n % 2 else 'on'},on,\n" for n in range(450))
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", content.encode()))
        first = await client.get(f"{place}/check?problem=cell.not_a_choice")
        assert len(rows(first)) == 100
        assert "Page 1 of 3" in first.words
        third = await client.get(f"{place}/check?problem=cell.not_a_choice&page=3")
        assert rows(third)[-1] == "451"
        assert current(third) == f"B{rows(third)[0]}"
        found = await client.get(f"{place}/check?problem=cell.not_a_choice&cell=B451")
        assert "451" in rows(found)


async def test_cells_are_only_ever_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    content = f'activityId,recordState,customColumn,{hostile}\n1,{hostile},"{hostile}",x\n'
    async with page(tmp_path) as client:
        place = path_of(await upload(client, f"{hostile}.csv", content.encode()))
        for screen in ("", "/columns", "/check?rows=all", "/check?cell=B2", "/plan"):
            answer = await client.get(f"{place}{screen}")
            assert answer.status == 200
            assert hostile not in answer.text


async def test_passwords_are_never_shown(tmp_path: Path) -> None:
    content = "activityId,recordState,watchPassword\n1,?,hidden-pw-77\n2,on,hidden-pw-78\n"
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", content.encode()))
        screens = ("", "/columns", "/check?rows=all", "/check?rows=all&cell=C2", "/plan")
        for screen in screens:
            assert "hidden-pw" not in (await client.get(f"{place}{screen}")).text
        await client.post(f"{place}/edits", {"cell": "C2", "text": "typed-pw-79"})
        for screen in screens:
            assert "typed-pw" not in (await client.get(f"{place}{screen}")).text


async def test_a_password_that_is_left_as_it_is_stays(tmp_path: Path) -> None:
    content = b"activityId,recordState,watchPassword\n1001,on,hidden-pw-77\n"
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", content))
        asked = fields(await client.get(f"{place}/check?rows=all&cell=C2"), "/fix")
        for action, changed in (("replace", False), ("blank", True)):
            answer = await client.post(f"{place}/fix", {**asked, "text": "", "action": action})
            assert ("1 cell is changed here" in answer.words) is changed


# ------------------------------------------------------------------ edits


async def test_a_cell_is_changed_in_an_overlay_and_the_file_stays(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        answer = await client.post(f"{place}/edits", {"cell": "B2", "text": "on"})
        assert headline(answer) == "2 rows ready, 3 rows to be fixed"
        assert current(answer) != "B2"
        shown = await client.get(f"{place}/check?rows=all")
        assert "edited" in cell(shown, "B2").get("class")
    assert uploaded(tmp_path) == TERM


async def test_one_fix_for_the_same_in_many_rows(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        asked = await client.get(f"{place}/check?cell=B2")
        same = {**fields(asked, "/fix"), "action": "replace", "text": "1", "scope": "same"}
        assert "3 rows ready" in headline(await client.post(f"{place}/fix", same))
        await client.post(f"{place}/edits", {"action": "undo"})
        every = {**same, "scope": "alike"}
        assert "4 rows ready" in headline(await client.post(f"{place}/fix", every))


@pytest.mark.parametrize(
    ("address", "action", "now"), [("D4", "trim", "c"), ("B5", "blank", ""), ("D4", "blank", "")]
)
async def test_ways_to_mend_a_cell(tmp_path: Path, address: str, action: str, now: str) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        told = {"cell": address, "code": "", "scope": "one", "action": action}
        await client.post(f"{place}/fix", told)
        shown = await client.get(f"{place}/check?rows=all")
    text = cell(shown, address).text_content().strip()
    assert text == (now or "(blank)")


async def test_merged_cells_are_unmerged_with_their_value(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "merged-cells.xlsx")
        place = path_of(answer)
        assert "Unmerge, with the value in every cell" in answer.words
        told = {**fields(answer, "/fix"), "action": "repeat", "scope": "one"}
        done = await client.post(f"{place}/fix", told)
        assert headline(done) == "2 rows are ready"
        assert (await client.get(f"{place}/plan")).status == 200


async def test_what_stands_behind_the_last_column_is_removed(tmp_path: Path) -> None:
    content = HEAD + "1001,on,on,a,oops\n1002,?,on,b\n"
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", content.encode())
        onward = answer.tree.xpath("//a[@data-following]/@href")[0]
        assert current(await client.get(onward)) != current(answer)
        told = {**fields(answer, "/fix"), "action": "beyond", "scope": "one"}
        done = await client.post(f"{path_of(answer)}/fix", told)
        assert headline(done) == "1 row ready, 1 row to be fixed"
        assert (await client.get(f"{path_of(answer)}/plan")).status == 200


async def test_edits_are_undone_one_by_one_and_all_at_once(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        for address, text in (("B2", "on"), ("B4", "on"), ("B5", "on")):
            await client.post(f"{place}/edits", {"cell": address, "text": text})
        answer = await client.post(f"{place}/edits", {"action": "undo"})
        assert "2 cells are changed here" in answer.words
        answer = await client.post(f"{place}/edits", {"action": "undo_all"})
        assert "changed here" not in answer.words
        assert headline(answer) == "1 row ready, 4 rows to be fixed"


async def test_two_tabs_lose_no_edit(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        await client.get(f"{place}/check?cell=B2")
        await client.post(f"{place}/edits", {"cell": "B4", "text": "on"})
        answer = await client.post(f"{place}/edits", {"cell": "B2", "text": "on"})
        assert "2 cells are changed here" in answer.words


@pytest.mark.parametrize("address", ["", "A1", "B99", "ZZZ2", "../x"])
async def test_a_cell_that_is_not_there_cannot_be_changed(tmp_path: Path, address: str) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        for path in ("edits", "fix"):
            told = {"cell": address, "text": "1", "action": "replace"}
            assert (await client.post(f"{place}/{path}", told)).status == 400


async def test_another_way_to_mend_is_refused(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        assert (await client.post(f"{place}/fix", {"cell": "B2", "action": "x"})).status == 400


# ------------------------------------------------------------------ mending elsewhere


async def test_the_marked_up_copy_has_the_edits_and_says_what_is_wrong(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "words-that-are-no-choice.csv"))
        await client.post(f"{place}/edits", {"cell": "B2", "text": "on"})
        copy = await client.get(f"{place}/marked")
        assert "attachment" in copy.headers["Content-Disposition"]
        lines = copy.body.decode("utf-8-sig").splitlines()
        assert lines[1].startswith(('"1","on"', "1,on"))
        assert "invalid" in lines[2]
        again = await upload(client, "copy.csv", copy.body)
        assert (again.screen, "result sheet" in again.words) == ("check", False)


async def test_a_mended_file_is_compared_with_the_one_before(tmp_path: Path) -> None:
    mended = TERM.replace(b"maybe", b"on").replace(b"1002,on", b"1002,what")
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", TERM))
        answer = await upload(client, "term2.csv", mended, replaces=place.split("/")[-1])
    (said,) = [banner for banner in banners(answer) if "Compared" in banner]
    assert "2 problems gone" in said
    assert "1 new" in said


@pytest.mark.parametrize("replaces", ["", "none", "../../x"])
async def test_a_sheet_before_that_is_gone_is_no_obstacle(tmp_path: Path, replaces: str) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", TERM, replaces=replaces)
    assert (answer.screen, "Compared" in answer.words) == ("check", False)


# ------------------------------------------------------------------ result sheets


def result_sheet(*rows: tuple[str, str, str]) -> bytes:
    """Of each row its id, its setting and how it ended in an earlier run."""
    book = openpyxl.Workbook()
    tab = book.active
    assert tab is not None
    names = ("status", "code", "message", "fix", "attempts", "time", "run")
    tab.append(["activityId", "recordState", *(f"bulkcast_{name}" for name in names)])
    for target, setting, status in rows:
        run = "20270301-080000-94df" if status else ""
        tab.append([target, setting, status, "", "", "", 1, "", run])
    made = BytesIO()
    book.save(made)
    return made.getvalue()


async def test_of_a_result_sheet_only_what_needs_it_is_sent_again(tmp_path: Path) -> None:
    content = result_sheet(("1", "on", "applied"), ("2", "on", "rejected"), ("3", "?", "invalid"))
    async with page(tmp_path) as client:
        answer = await upload(client, "term.results.xlsx", content)
        place = path_of(answer)
        assert headline(answer) == "1 row ready, 1 row to be fixed"
        assert any("sent again: 1 row" in banner for banner in banners(answer))
        assert any("Done and not sent again: 1 row" in banner for banner in banners(answer))
        assert any("20270301-080000-94df" in banner for banner in banners(answer))
        everything = await client.post(f"{place}/reading", {"send": "all", "back": "check"})
        assert headline(everything) == "2 rows ready, 1 row to be fixed"
        assert any("all of its rows are sent" in banner for banner in banners(everything))
        needed = await client.post(f"{place}/reading", {"send": "needed", "back": "check"})
        assert headline(needed) == "1 row ready, 1 row to be fixed"


async def test_a_done_row_is_shown_but_cannot_be_changed(tmp_path: Path) -> None:
    content = result_sheet(("1", "on", "applied"), ("2", "on", "rejected"))
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.results.xlsx", content))
        answer = await client.get(f"{place}/check?rows=all&cell=B2")
    assert "This row is done" in answer.words
    assert not answer.tree.xpath("//form[contains(@action, '/fix')]")


async def test_a_rehearsals_results_are_nothing_to_classin(tmp_path: Path) -> None:
    content = result_sheet(("1", "on", "applied"))
    book = openpyxl.load_workbook(BytesIO(content))
    book.active["I2"] = "sandbox-20270301-080000-94df"  # type: ignore[index] # a tab
    made = BytesIO()
    book.save(made)
    environ = {"BULKCAST_SID": "77", "BULKCAST_SECRET": "another"}
    async with page(tmp_path, environ) as client:
        answer = await upload(client, "term.results.xlsx", made.getvalue())
    assert headline(answer) == "1 row is ready"


@pytest.mark.slow
async def test_every_sample_has_a_screen_with_one_next_step(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        for name in SAMPLE_NAMES:
            answer = await upload(client, name)
            assert answer.status in {200, 400}, name
            assert next_step(answer), name
