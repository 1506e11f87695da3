"""Edited copies, part by part; whole trips are in tests/pipeline/test_sheet_editing.py."""

import zipfile
from pathlib import Path

import openpyxl
import pytest

from bulkcast.model import Grid, Layout
from bulkcast.reporter.edited_sheet import write_edited_text, write_edited_workbook
from bulkcast.reporter.workbook_parts import Unpatchable
from tests.sheets import write

LAYOUT = Layout("xlsx", header_row=1, tab="Sheet")


def book(path: Path, *, merged: tuple[str, ...] = ()) -> Path:
    made = openpyxl.Workbook()
    tab = made.active
    assert tab is not None
    for row in (["a", "b"], [1, 2], [3, 4], [5, 6]):
        tab.append(row)
    for area in merged:
        tab.merge_cells(area)
    made.save(path)
    return path


def sheet_xml(path: Path) -> str:
    with zipfile.ZipFile(path) as packed:
        return packed.read("xl/worksheets/sheet1.xml").decode()


def test_only_ranges_that_hold_an_edited_cell_are_unmerged(tmp_path: Path) -> None:
    source = book(tmp_path / "a.xlsx", merged=("A2:A3", "B2:B3"))
    write_edited_workbook(source, tmp_path / "b.xlsx", LAYOUT, {2: {0: "x"}}, spare=None)
    found = sheet_xml(tmp_path / "b.xlsx")
    assert "A2:A3" not in found
    assert 'count="1"' in found
    assert "B2:B3" in found


def test_no_empty_list_of_ranges_is_left(tmp_path: Path) -> None:
    source = book(tmp_path / "a.xlsx", merged=("A2:A3",))
    write_edited_workbook(source, tmp_path / "b.xlsx", LAYOUT, {3: {0: "x"}}, spare=None)
    assert "mergeCell" not in sheet_xml(tmp_path / "b.xlsx")


def test_a_cell_is_added_in_its_place(tmp_path: Path) -> None:
    source = book(tmp_path / "a.xlsx")
    write_edited_workbook(source, tmp_path / "b.xlsx", LAYOUT, {2: {3: "d", 2: "c"}}, spare=None)
    tab = openpyxl.load_workbook(tmp_path / "b.xlsx").active
    assert tab is not None
    assert [cell.value for cell in tab[2]] == [1, 2, "c", "d"]


def test_a_row_that_is_not_there_is_no_row_to_edit(tmp_path: Path) -> None:
    source = book(tmp_path / "a.xlsx")
    with pytest.raises(Unpatchable):
        write_edited_workbook(source, tmp_path / "b.xlsx", LAYOUT, {99: {0: "x"}}, spare=None)
    assert not (tmp_path / "b.xlsx").exists()


def test_a_formula_that_others_share_is_not_cut_off(tmp_path: Path) -> None:
    source = book(tmp_path / "a.xlsx")
    shared = sheet_xml(source).replace(
        '<c r="B2" t="n"><v>2</v></c>',
        '<c r="B2"><f t="shared" ref="B2:B3" si="0">A2+1</f><v>2</v></c>',
    )
    assert "shared" in shared
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "s.xlsx", "w") as new:
        for info in old.infolist():
            is_sheet = info.filename == "xl/worksheets/sheet1.xml"
            new.writestr(info.filename, shared if is_sheet else old.read(info))
    with pytest.raises(Unpatchable):
        write_edited_workbook(
            tmp_path / "s.xlsx", tmp_path / "b.xlsx", LAYOUT, {2: {1: "x"}}, spare=None
        )


def test_a_new_workbook_has_the_edits_among_the_other_cells(tmp_path: Path) -> None:
    spare = Grid({1: ("a", "b"), 3: (1, 2)})
    write_edited_workbook(
        tmp_path / "none.xls", tmp_path / "b.xlsx", LAYOUT, {2: {1: "x"}, 3: {0: ""}}, spare=spare
    )
    tab = openpyxl.load_workbook(tmp_path / "b.xlsx").active
    assert tab is not None
    assert [[c.value for c in row] for row in tab.iter_rows()] == [
        ["a", "b"], [None, "x"], [None, 2],
    ]  # fmt: skip


def test_a_record_over_several_lines_is_one(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", 'a,b\r\n"1\n1",2\r\n3,"x\r\ny"\r\n4,5')
    layout = Layout("csv", header_row=1, encoding="utf-8")
    write_edited_text(source, tmp_path / "b.csv", layout, {2: {1: "z"}, 4: {3: "w"}}, guarded=False)
    said = (tmp_path / "b.csv").read_bytes().decode()
    assert said == 'a,b\r\n"1\n1",z\r\n3,"x\r\ny"\r\n4,5,,w'
