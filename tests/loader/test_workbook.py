"""Reading workbooks: what a cell really holds, and which worksheet is meant."""

import io
import random
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import BulkcastError, UnreadableSheet
from bulkcast.loader import ReadOptions
from bulkcast.model import Cell, FlaggedCell, Sheet
from bulkcast.validator import all_issues, check
from tests.make_samples import files
from tests.sheets import RULES, changed, codes, loaded

Fill = Callable[[Any], None]


@pytest.fixture
def book(tmp_path: Path) -> Callable[..., Path]:
    """Writes a workbook of a header, one row and whatever `fill` does to the worksheet."""

    def save(*cells: object, fill: Fill | None = None) -> Path:
        made = openpyxl.Workbook()
        sheet: Any = made.active
        sheet.append(["activityId", "customColumn", "recordState"])
        sheet.append(cells or (25096094, "a", 1))
        if fill is not None:
            fill(sheet)
        made.save(tmp_path / "book.xlsx")
        return tmp_path / "book.xlsx"

    return save


def rewritten(path: Path, part: str, old: str, new: str) -> Path:
    """The workbook with a text in one of its parts replaced."""
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    assert old.encode() in parts[part]
    parts[part] = parts[part].replace(old.encode(), new.encode())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return path


SHEET = "xl/worksheets/sheet1.xml"


def test_cells_come_as_they_are_stored(book: Callable[..., Path]) -> None:
    moment = datetime(2027, 3, 1, 8, 0)  # noqa: DTZ001  # a cell has no zone

    sheet = loaded(book(25096094, "0123", True, fill=lambda s: s.append([2.0, moment, 0.5])))

    assert [row.cells for row in sheet.rows] == [(25096094, "0123", True), (2, moment, 0.5)]
    assert type(sheet.rows[1].cells[0]) is int


def test_a_number_beyond_exactness_stays_what_it_is(book: Callable[..., Path]) -> None:
    assert isinstance(loaded(book(1e17)).rows[0].cells[0], float)


def formatted(sheet: Any, number_format: str) -> None:
    sheet["A2"].number_format = number_format


@pytest.mark.parametrize(
    ("number", "number_format", "cell"),
    [
        (96094, "00000000",
         FlaggedCell("id.display_differs", "00096094", 96094, {"stored": "96094"})),
        (25096094, "00000000", 25096094),
        (123456789012, "General",
         FlaggedCell("id.display_shortened", "1.23457E+11", 123456789012,
                     {"read": "123456789012"})),
        (123456789012, "0", 123456789012),
        (99999999999, "General", 99999999999),
    ],
)  # fmt: skip
def test_an_id_that_shows_differently_is_flagged(
    number: int, number_format: str, cell: Cell, book: Callable[..., Path]
) -> None:
    path = book(number, fill=lambda s: formatted(s, number_format))

    assert loaded(path).rows[0].cells[0] == cell


def test_a_formula_without_a_value_is_never_blank(book: Callable[..., Path]) -> None:
    cell = loaded(book("=1+1", "a", 1)).rows[0].cells[0]

    assert cell == FlaggedCell("cell.formula_unsaved", "=1+1")


def test_a_formula_with_a_saved_value_is_its_value(book: Callable[..., Path]) -> None:
    path = rewritten(book("=1+1", "a", 1), SHEET, "<f>1+1</f><v></v>", "<f>1+1</f><v>2</v>")

    assert loaded(path).rows[0].cells[0] == 2


def test_a_formula_saved_as_an_empty_text_is_blank(book: Callable[..., Path]) -> None:
    path = book(25096094, '=""', 1)
    rewritten(path, SHEET, '<c r="B2"><f>""</f><v></v>', '<c r="B2" t="str"><f>""</f><v></v>')

    row = loaded(path).rows[0]

    assert not isinstance(row.cells[1], FlaggedCell)


def test_cells_that_name_no_place_still_have_one(book: Callable[..., Path]) -> None:
    path = book(25096094, "=1+1", 1)
    rewritten(path, SHEET, '<c r="B2">', "<c>")

    assert loaded(path).rows[0].cells[1] == FlaggedCell("cell.formula_unsaved", "=1+1")


def test_a_time_without_a_date_is_flagged(book: Callable[..., Path]) -> None:
    cell = loaded(book(25096094, time(8, 30), 1)).rows[0].cells[1]

    assert cell == FlaggedCell("cell.only_a_time", "08:30:00")


def test_line_breaks_are_read_as_such(book: Callable[..., Path]) -> None:
    assert loaded(book(1, "a_x000D_\nb", 1)).rows[0].cells[1] == "a\r\nb"


def test_merged_cells_are_flagged_in_the_data_and_not_above_it(book: Callable[..., Path]) -> None:
    def merge(sheet: Any) -> None:
        sheet.insert_rows(1)
        sheet["A1"] = "Autumn term"
        sheet.merge_cells("A1:C1")
        sheet.append([25096095, None, 1])
        sheet.merge_cells("B3:B4")

    sheet = loaded(book(fill=merge))

    flagged = [row.cells[1] for row in sheet.rows]
    assert flagged == [
        FlaggedCell("cell.merged", "a", "a", {"range": "B3:B4"}),
        FlaggedCell("cell.merged", "", None, {"range": "B3:B4"}),
    ]
    assert sheet.rows[0].cells[0] == 25096094


def test_hidden_rows_are_announced_or_left_out(book: Callable[..., Path]) -> None:
    def hide(sheet: Any) -> None:
        sheet.append([25096095, "b", 0])
        sheet.row_dimensions[3].hidden = True

    path = book(fill=hide)

    included, skipped = loaded(path), loaded(path, ReadOptions(hidden="skip"))

    assert [row.hidden for row in included.rows] == [False, True]
    assert [row.number for row in skipped.rows] == [2]
    assert included.layout.hidden_rows == skipped.layout.hidden_rows == 1
    assert "1 hidden row is included" in str(included.remarks[0])
    assert "left out" in str(skipped.remarks[0])


def test_notes_beside_the_table_are_kept_and_mean_nothing(book: Callable[..., Path]) -> None:
    def note(sheet: Any) -> None:
        sheet["E2"] = "ask Li"
        sheet["XFD3"] = "stray"

    sheet = loaded(book(fill=note))

    assert sheet.headers[:5] == ("activityId", "customColumn", "recordState", "", "")
    assert sheet.rows[0].cells[4] == "ask Li"
    assert sheet.rows[0].extra == ()
    assert len(sheet.headers) == 5, "a stray cell 16,384 columns off is no part of the table"


# ------------------------------------------------------------------ which worksheet


def test_a_hidden_column_that_is_read_is_announced(book: Callable[..., Path]) -> None:
    def hide(sheet: Any) -> None:
        sheet["D1"], sheet["E1"] = "备注", "网页直播\nLive"
        for column in "CDE":
            sheet.column_dimensions[column].hidden = True

    sheet = loaded(book(fill=hide))

    (remark,) = sheet.remarks
    assert "recordState, 网页直播 Live are hidden and are read" in str(remark)
    assert loaded(book()).remarks == ()


def test_hidden_worksheets_are_passed_over(book: Callable[..., Path]) -> None:
    def add(sheet: Any) -> None:
        other = sheet.parent.copy_worksheet(sheet)
        other.title, other.sheet_state = "old", "hidden"

    path = book(fill=add)

    assert loaded(path).layout.tab == "Sheet"
    assert loaded(path, ReadOptions(tab="old")).layout.tab == "old"


def test_a_worksheet_that_is_not_there_is_refused_with_those_that_are(
    book: Callable[..., Path],
) -> None:
    with pytest.raises(UnreadableSheet, match="has no worksheet 'x'; it has 'Sheet'"):
        loaded(book(), ReadOptions(tab="x"))


# ------------------------------------------------------------------ hostile workbooks


@pytest.mark.parametrize(
    ("part", "old", "new", "sentence"),
    [
        (SHEET, '<row r="2"', '<row r="99999999"', "rows beyond"),
        (SHEET, '<row r="2"', '<row r="1"', "damaged"),
        (SHEET, "<worksheet", '<!DOCTYPE x [<!ENTITY a "b">]><worksheet', "document type"),
        ("xl/workbook.xml", "schemas.openxmlformats.org/spreadsheetml/2006/main",
         "purl.oclc.org/ooxml/spreadsheetml/main", "Strict Open XML"),
        ("xl/workbook.xml", "<sheets>", "<sheets", "damaged"),
        ("xl/_rels/workbook.xml.rels", "/xl/worksheets/sheet1.xml", "/xl/nowhere.xml",
         "nothing in it is its worksheet"),
    ],
)  # fmt: skip
def test_a_workbook_that_lies_is_refused(
    part: str, old: str, new: str, sentence: str, book: Callable[..., Path]
) -> None:
    with pytest.raises(UnreadableSheet, match=sentence):
        loaded(rewritten(book(), part, old, new))


def test_the_size_a_worksheet_states_is_not_believed(book: Callable[..., Path]) -> None:
    path = rewritten(book(), SHEET, '<dimension ref="A1:C2"/>', '<dimension ref="A1"/>')

    assert loaded(path).rows[0].cells == (25096094, "a", 1)


def test_a_merged_range_over_the_whole_worksheet_costs_nothing(book: Callable[..., Path]) -> None:
    everything = '</sheetData><mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'

    sheet = loaded(rewritten(book(), SHEET, "</sheetData>", everything))

    assert codes(check(sheet, WEBCAST, RULES)) == ["cell.merged"] * 3


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/sharedStrings.xml", bytes(60_000_000))

    with pytest.raises(UnreadableSheet, match="unpacks to 57 MB"):
        loaded(path)


@pytest.mark.slow
def test_damaged_workbooks_end_in_a_sentence_or_a_sheet(tmp_path: Path) -> None:
    chance = random.Random(20261123)  # the same damage every time
    whole = files()["merged-cells.xlsx"]
    outcomes = {type(_opened(_damaged(whole, chance), tmp_path)) for _ in range(80)}

    assert outcomes == {Sheet, str}


def _damaged(whole: bytes, chance: random.Random) -> bytes:
    """The workbook with a few characters changed inside one of its parts."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(made, "w") as packed:
        victim = chance.choice(sorted(n for n in source.namelist() if n.startswith("xl/")))
        for name in source.namelist():
            content = bytearray(source.read(name))
            for _ in range(3 if name == victim else 0):
                content[chance.randrange(len(content))] = chance.choice(b'<>"/0123456789abc&=')
            packed.writestr(name, bytes(content))
    return made.getvalue()


def _opened(content: bytes, folder: Path) -> Sheet | str:
    path = folder / "damaged.xlsx"
    path.write_bytes(content)
    try:
        return loaded(path)
    except BulkcastError as refusal:
        return str(refusal)


def test_a_header_merged_over_columns_hides_none_of_them(book: Callable[..., Path]) -> None:
    def fill(sheet: Any) -> None:
        sheet["C1"] = "recordState"
        sheet.merge_cells("C1:D1")
        sheet["D2"] = 1

    with pytest.raises(UnreadableSheet, match="The header recordState is merged over C1:D1"):
        loaded(book(fill=fill))


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has open is read from /proc")
def test_a_workbook_refused_half_read_is_closed(book: Callable[..., Path]) -> None:
    def fill(sheet: Any) -> None:
        sheet["C1"] = "recordState"
        sheet.merge_cells("C1:D1")

    path = book(fill=fill)

    with pytest.raises(UnreadableSheet) as refused:
        loaded(path)

    opened = {entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.exists()}
    assert path not in opened, f"still open after: {refused.value}"


def test_a_header_of_the_users_own_may_be_merged(book: Callable[..., Path]) -> None:
    def fill(sheet: Any) -> None:
        sheet["D1"] = "remarks"
        sheet.merge_cells("D1:E1")

    assert loaded(book(fill=fill)).rows[0].cells[:3] == (25096094, "a", 1)


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_table_in_a_hidden_worksheet_alone_is_named(
    book: Callable[..., Path], state: str
) -> None:
    def fill(sheet: Any) -> None:
        sheet.parent.create_sheet("Front").append(["see the other page"])
        sheet.sheet_state = state

    path = book(fill=fill)

    with pytest.raises(UnreadableSheet, match=r"'Sheet', which is hidden, has one; unhide it"):
        loaded(path)
    assert loaded(path, ReadOptions(tab="Sheet")).rows[0].cells == (25096094, "a", 1)


def two_rows(path: Path, *, merged: bool) -> Path:
    """A sheet under a title whose header takes up rows 2 and 3."""
    made = openpyxl.Workbook()
    sheet: Any = made.active
    for line in (
        ["2027 春季课表"],
        ["序号", "活动ID", "云端录课", "观看设置", None],
        [None, None, None, "登录观看", "观看密码"],
        [1, 25096094, "是", "否", "abc"],
    ):
        sheet.append(line)
    for area in ("A1:E1", "A2:A3", "B2:B3", "C2:C3", "D2:E2") if merged else ():
        sheet.merge_cells(area)
    made.save(path)
    return path


def test_a_header_of_two_rows_is_one_where_cells_reach_down(tmp_path: Path) -> None:
    sheet = loaded(two_rows(tmp_path / "a.xlsx", merged=True))

    assert sheet.layout.header_row == 3
    assert sheet.headers == ("序号", "活动ID", "云端录课", "登录观看", "观看密码")
    assert [row.number for row in sheet.rows] == [4]
    (row,) = check(sheet, WEBCAST, RULES).rows
    assert changed(row).settings == (
        ("recordState", 1), ("watchByLogin", 0), ("watchPassword", "abc"),
    )  # fmt: skip


def test_a_header_of_two_rows_that_nothing_joins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UnreadableSheet, match="two rows, 2 and 3: 登录观看 is named in row 3 alone"
    ):
        loaded(two_rows(tmp_path / "a.xlsx", merged=False))


def test_a_header_is_found_under_pictures_banners_and_blank_rows(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    sheet: Any = made.active
    sheet["A1"] = "XX 学校"
    sheet.merge_cells("A1:D3")
    sheet["A5"] = "说明：活动ID 从 ClassIn 复制"
    sheet.merge_cells("A5:D5")
    for column, name in zip(
        "BCD", ("活动ID\nActivity ID", "云端录课 Recording", "备注"), strict=True
    ):
        sheet[f"{column}8"] = name
    sheet["B10"], sheet["C10"] = 25096094, "maybe"
    made.save(tmp_path / "a.xlsx")

    sheet = loaded(tmp_path / "a.xlsx")
    found = check(sheet, WEBCAST, RULES)

    assert sheet.layout.header_row == 8
    assert [(issue.code, issue.cell) for issue in all_issues(found)] == [
        ("cell.not_a_choice", "C10")
    ]


def test_a_sheet_with_whole_rows_in_one_column_is_told_as_that(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    sheet: Any = made.active
    for line in ("春季课表", "活动ID,课程,云端录课", "25096094,数学,是"):
        sheet.append([line])
    made.save(tmp_path / "a.xlsx")

    with pytest.raises(
        UnreadableSheet, match="each row in one cell, as in row 2: '活动ID,课程,云端"
    ):
        loaded(tmp_path / "a.xlsx")
