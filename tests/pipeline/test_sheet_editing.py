"""Edits: what is checked in memory is what the copy beside the file says."""

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from bulkcast import pipeline
from bulkcast.errors import CannotStart
from bulkcast.model import Change, FlaggedCell, Invalid
from bulkcast.pipeline import CheckedSheet, check_edited, edited_copy, prepare, repeated
from tests.sheets import write
from tests.source_files import ROOT

SAMPLES = ROOT / "samples"
HEAD = "activityId,recordState,customColumn\n"


def csv_sheet(folder: Path, *rows: str, encoding: str = "utf-8", name: str = "term.csv") -> Path:
    return write(folder / name, HEAD + "".join(f"{row}\r\n" for row in rows), encoding)


def bodies(prepared: CheckedSheet) -> list[object]:
    return [row.body if isinstance(row, Change) else None for row in prepared.checked.rows]


def cells(path: Path) -> list[list[object]]:
    tab = openpyxl.load_workbook(path).active
    assert tab is not None
    return [[cell.value for cell in row] for row in tab.iter_rows()]


# ------------------------------------------------------------------ in memory


def test_a_row_is_checked_with_its_new_text(tmp_path: Path) -> None:
    base = prepare(csv_sheet(tmp_path, "1001,maybe,a", "1002,on,b"))
    edited = check_edited(base, {2: {1: "on"}})
    assert (base.valid, edited.valid) == (1, 2)
    assert bodies(edited)[1] == bodies(base)[1]


def test_an_edit_takes_part_in_what_is_checked_across_rows(tmp_path: Path) -> None:
    base = prepare(csv_sheet(tmp_path, "1001,on,", "1002,off,"))
    edited = check_edited(base, {3: {0: "1001"}})
    assert [type(row) for row in edited.checked.rows] == [Invalid, Invalid]


def test_an_empty_text_leaves_the_setting_as_it_is(tmp_path: Path) -> None:
    base = prepare(csv_sheet(tmp_path, "1001,on,a"))
    (row,) = check_edited(base, {2: {2: ""}}).checked.rows
    assert isinstance(row, Change)
    assert dict(row.settings) == {"recordState": 1}


def test_cells_beyond_the_header_can_be_emptied(tmp_path: Path) -> None:
    base = prepare(csv_sheet(tmp_path, "1001,on,a,oops"))
    assert base.valid == 0
    assert check_edited(base, {2: {3: ""}}).valid == 1


def test_rows_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    base = prepare(csv_sheet(tmp_path, "1001,on,a"))
    assert bodies(check_edited(base, {99: {0: "7"}})) == bodies(base)


# ------------------------------------------------------------------ delimited copies


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_csv_copy_keeps_encoding_delimiter_and_every_other_line(
    tmp_path: Path, encoding: str
) -> None:
    text = 'activityId;recordState;customColumn\r\n1001;maybe;王芳\n1002;on;"a\n b"\r\n1003;on;x'
    source = write(tmp_path / "term.csv", text, encoding)
    options = pipeline.SheetOptions(pipeline.ReadOptions(encoding=encoding))
    base = prepare(source, options)
    copy = edited_copy(base, {2: {1: "on"}, 4: {2: "李; 娜"}}, tmp_path / "copy.csv")
    said = copy.path.read_bytes().decode(encoding)
    assert said == text.replace("maybe", "on").replace("1003;on;x", '1003;on;"李; 娜"')
    assert copy.valid == 3
    assert source.read_bytes() == text.encode(encoding)


def test_a_text_the_encoding_cannot_hold_makes_the_copy_utf_8(tmp_path: Path) -> None:
    source = write(tmp_path / "term.csv", HEAD + "1001,on,課鐘\n", "big5")
    options = pipeline.SheetOptions(pipeline.ReadOptions(encoding="big5"))
    copy = edited_copy(prepare(source, options), {2: {2: "简体字们 €"}}, tmp_path / "copy.csv")
    assert copy.sheet.rows[0].cells[2] == "简体字们 €"
    assert copy.sheet.layout.encoding == "utf-8-sig"


def test_excels_separator_line_stays(tmp_path: Path) -> None:
    source = write(tmp_path / "term.csv", "sep=;\nactivityId;recordState\n1001;maybe\n")
    copy = edited_copy(prepare(source), {2: {1: "on"}}, tmp_path / "copy.csv")
    assert copy.path.read_text() == "sep=;\nactivityId;recordState\n1001;on\n"


def test_what_looks_like_a_formula_survives_in_a_result_sheet(tmp_path: Path) -> None:
    source = write(
        tmp_path / "term.csv",
        "activityId,recordState,customColumn,bulkcast_status,bulkcast_run\n1001,on,'=1+1,,\n",
    )
    copy = edited_copy(prepare(source), {2: {2: "=2+2"}}, tmp_path / "copy.csv")
    assert copy.sheet.rows[0].cells[2] == "=2+2"
    with copy.path.open(newline="") as file:
        assert list(csv.reader(file))[1][2] == "'=2+2"


# ------------------------------------------------------------------ workbooks


@pytest.fixture
def book(tmp_path: Path) -> Path:
    made = openpyxl.Workbook()
    tab = made.active
    assert tab is not None
    tab.title = "Term"
    for row in (["activityId", "recordState", "customColumn"], [1001, "maybe", "a"],
                [1002, "on", "b"], [1003, "on", None]):  # fmt: skip
        tab.append(row)
    tab["B2"].font = openpyxl.styles.Font(bold=True)
    tab["E9"] = "=1+1"
    made.create_sheet("Notes")["A1"] = "kept"
    made.save(tmp_path / "term.xlsx")
    return tmp_path / "term.xlsx"


def test_a_workbook_keeps_formats_formulas_and_other_worksheets(book: Path, tmp_path: Path) -> None:
    base = prepare(book, pipeline.SheetOptions(pipeline.ReadOptions(tab="Term")))
    copy = edited_copy(base, {2: {1: "on"}, 4: {2: "<&> 王"}, 3: {2: ""}}, tmp_path / "copy.xlsx")
    assert copy.valid == 3
    changed = openpyxl.load_workbook(copy.path)
    tab = changed["Term"]
    assert tab["B2"].value == "on"
    assert tab["B2"].font.bold
    assert (tab["C4"].value, tab["C3"].value, tab["E9"].value) == ("<&> 王", None, "=1+1")
    assert changed["Notes"]["A1"].value == "kept"
    assert openpyxl.load_workbook(book)["Term"]["B2"].value == "maybe"


def test_a_formula_is_replaced_and_the_order_of_computing_forgotten(tmp_path: Path) -> None:
    source = SAMPLES / "formula-saved.xlsx"
    base = prepare(source)
    index = base.sheet.headers.index("recordState")
    copy = edited_copy(base, {base.sheet.rows[0].number: {index: "off"}}, tmp_path / "copy.xlsx")
    assert copy.sheet.rows[0].cells[index] == "off"
    with zipfile.ZipFile(copy.path) as packed:
        assert "xl/calcChain.xml" not in packed.namelist()
        assert b"calcChain" not in packed.read("[Content_Types].xml")


def test_merged_cells_are_given_their_value_and_unmerged(tmp_path: Path) -> None:
    base = prepare(SAMPLES / "merged-cells.xlsx")
    merged = [c for row in base.sheet.rows for c in row.cells if isinstance(c, FlaggedCell)]
    edits = repeated(base.sheet, merged[0])
    assert edits == {2: {1: "on"}, 3: {1: "on"}}
    copy = edited_copy(base, edits, tmp_path / "copy.xlsx")
    assert copy.valid == 2
    assert cells(copy.path)[1][1] == cells(copy.path)[2][1] == "on"


def test_a_cell_that_is_not_merged_has_nothing_to_repeat(tmp_path: Path) -> None:
    base = prepare(csv_sheet(tmp_path, "1001,on,a"))
    assert repeated(base.sheet, FlaggedCell("cell.formula_unsaved", "=A1")) == {}


@pytest.mark.parametrize("name", ["old-kind.xls", "binary.xlsb", "open-document.ods"])
def test_kinds_that_cannot_be_written_become_a_workbook(tmp_path: Path, name: str) -> None:
    base = prepare(SAMPLES / name)
    row, column = base.sheet.rows[0].number, base.checked.columns["recordState"]
    edits = {row: {column: "off"}}
    for flagged in [c for r in base.sheet.rows for c in r.cells if isinstance(c, FlaggedCell)]:
        edits |= repeated(base.sheet, flagged)  # a new workbook has no merged cells
    copy = edited_copy(base, edits, tmp_path / f"copy{Path(name).suffix}")
    assert copy.path.suffix == ".xlsx"
    assert bodies(copy) == bodies(check_edited(base, edits))


@pytest.mark.parametrize("name", ["saved-by-libreoffice.xlsx",
                                  "cells-without-a-place.xlsx", "rich-texts.xlsx"])  # fmt: skip
def test_workbooks_of_other_programs_are_edited(tmp_path: Path, name: str) -> None:
    base = prepare(SAMPLES / name)
    row = base.sheet.rows[0].number
    edits = {row: {next(iter(base.checked.columns.values())): "25099999"}}
    copy = edited_copy(base, edits, tmp_path / "copy.xlsx")
    assert bodies(copy) == bodies(check_edited(base, edits))


def test_a_new_workbook_in_which_a_wrong_cell_looks_right_is_refused(tmp_path: Path) -> None:
    base = prepare(SAMPLES / "open-document.ods")
    with pytest.raises(CannotStart, match="rows 6, 7 cannot be carried over"):
        edited_copy(base, {4: {1: "off"}}, tmp_path / "copy.ods")
    assert not list(tmp_path.iterdir())


def test_a_copy_that_would_send_something_else_is_refused(tmp_path: Path) -> None:
    base = prepare(csv_sheet(tmp_path, "1001,on,a", "1002,on,b"))
    with pytest.raises(CannotStart, match="row 3 cannot be carried over"):
        edited_copy(base, {2: {2: "x"}}, tmp_path / "copy.csv",
                    check_edited(base, {2: {2: "x"}, 3: {2: "c"}}))  # fmt: skip
    assert not (tmp_path / "copy.csv").exists()


@pytest.mark.parametrize("text", ["", " a ", "=1+1", "'=1", "_x0041_", "a\nb", "\u4e2d\U0001f600"])
@pytest.mark.parametrize("make", [lambda p: csv_sheet(p, "1001,on,a"), None])
def test_every_text_is_read_back_as_it_was_put(
    tmp_path: Path, book: Path, make: Callable[[Path], Path] | None, text: str
) -> None:
    source = make(tmp_path) if make else book
    base = prepare(source)
    copy = edited_copy(base, {2: {2: text}}, tmp_path / f"copy{source.suffix}")
    assert (copy.sheet.rows[0].cells[2] or "") == text


# ------------------------------------------------------------------ line ends

MANY_LINES = 'activityId,recordState,note,liveTitle{0}1001,on,"a\rb\nc",x{0}1002,off,"d\ne",y'


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("last", ["", "\n", "\r"])
def test_cells_with_line_breaks_stay_whole_beside_an_edit(
    tmp_path: Path, end: str, last: str
) -> None:
    source = tmp_path / "term.csv"
    source.write_bytes((MANY_LINES.format(end) + last).encode())
    base = prepare(source)
    copy = edited_copy(base, {2: {1: "off"}, 3: {3: "one\ntwo"}}, tmp_path / "copy.csv")
    assert [row.cells[1:] for row in copy.sheet.rows] == [
        ("off", "a\rb\nc", "x"), ("off", "d\ne", "one\ntwo"),
    ]  # fmt: skip


@pytest.mark.parametrize("first", ["sep=,\n", '"sep=,"\r\n', "sep=, \n", "sep=,\r"])
def test_an_edit_finds_its_row_below_a_line_for_excel(tmp_path: Path, first: str) -> None:
    source = tmp_path / "term.csv"
    end = first[-1]
    rows = ("activityId,recordState,note", "1001,on,a", "1002,on,b", "")
    source.write_bytes((first + end.join(rows)).encode())
    base = prepare(source)
    last = base.sheet.rows[-1].number
    copy = edited_copy(base, {last: {2: "c"}}, tmp_path / "copy.csv")
    assert [row.cells[2] for row in copy.sheet.rows] == ["a", "c"]
