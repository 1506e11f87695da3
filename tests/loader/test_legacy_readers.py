"""Workbooks of other kinds than xlsx: what LibreOffice and other programs write into them."""

from datetime import datetime
from pathlib import Path
from struct import pack
from typing import Any
from zipfile import ZipFile

import openpyxl
import pytest

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import ReadOptions
from bulkcast.model import Cell, FlaggedCell, Sheet
from bulkcast.validator import check
from tests.sheets import RULES, codes, loaded
from tests.workbook_files import converted, needs_office, ods, repacked, text_cell

HEADERS = ("activityId", "customColumn", "recordState")


def error(shown: str) -> FlaggedCell:
    return FlaggedCell("cell.formula_error", shown)


def rows(sheet: Sheet) -> dict[int, tuple[Cell, ...]]:
    return {row.number: row.cells for row in sheet.rows}


# ------------------------------------------------------------------ as LibreOffice writes them


def _fill(tab: Any) -> None:
    for cells in (
        HEADERS,
        (25096094, "a", "=NA()"),
        (25096095, "=1/0", 1),
        (25096096, '=""', 1),
        (25096097, "hidden", 1),
        (25096098, "shared", 1),
        (25096099, None, 1),
        (25096100, "#N/A as text", 1),
    ):
        tab.append(cells)
    tab.row_dimensions[5].hidden = True
    tab.merge_cells("B6:B7")


@pytest.fixture(scope="module", params=["xls", "ods"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    book = openpyxl.Workbook()
    notes = book.active
    assert notes is not None
    notes.append(["=NA()", "Notes of ours, on a page before"])
    _fill(book.create_sheet("Classes"))
    source = tmp_path_factory.mktemp("book") / "term.xlsx"
    book.save(source)
    return converted(source, request.param)


@pytest.mark.slow
@needs_office
def test_error_cells_are_told_from_blank_ones(saved: Path) -> None:
    sheet = loaded(saved)

    found = rows(sheet)
    assert found[2] == (25096094, "a", error("#N/A"))
    assert found[3] == (25096095, error("#DIV/0!"), 1)
    assert found[4] == (25096096, None, 1), "a formula that gives an empty text is blank"
    assert found[8][1] == "#N/A as text"
    assert codes(check(sheet, WEBCAST, RULES)).count("cell.formula_error") == 2


@needs_office
def test_hidden_rows_are_told_from_others(saved: Path) -> None:
    included, skipped = loaded(saved), loaded(saved, ReadOptions(hidden="skip"))

    assert [row.number for row in included.rows if row.hidden] == [5]
    assert 5 not in rows(skipped)
    assert [str(remark) for remark in skipped.remarks] == ["1 hidden row was left out."]


@needs_office
def test_merged_cells_are_flagged(saved: Path) -> None:
    found = rows(loaded(saved))

    where = {"range": "B6:B7"}
    assert found[6][1] == FlaggedCell("cell.merged", "shared", "shared", where)
    assert found[7][1] == FlaggedCell("cell.merged", "", None, where)


@pytest.mark.slow
@needs_office
def test_the_spelling_of_another_kind_is_no_spelling(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    tab = book.active
    assert tab is not None
    tab.append(["activityId", "customColumn"])
    tab.append([25096094, "_x005F_x0041_"])
    book.save(tmp_path / "term.xlsx")

    assert rows(loaded(converted(tmp_path / "term.xlsx", "ods")))[2][1] == "_x0041_"


@pytest.mark.slow
@needs_office
@pytest.mark.parametrize("kind", ["xls", "ods"])
def test_rows_of_a_table_that_begins_further_down_have_the_numbers_they_show(
    tmp_path: Path, kind: str
) -> None:
    book = openpyxl.Workbook()
    tab = book.active
    assert tab is not None
    tab["C5"], tab["D5"] = "activityId", "recordState"
    tab["C6"], tab["D6"] = 25096094, "=NA()"
    book.save(tmp_path / "term.xlsx")

    sheet = loaded(converted(tmp_path / "term.xlsx", kind))

    assert sheet.layout.header_row == 5
    assert rows(sheet) == {6: (None, None, 25096094, error("#N/A"))}


# ------------------------------------------------------------------ xls


@pytest.mark.slow
@needs_office
def test_an_id_that_an_xls_shows_differently_is_flagged(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    tab: Any = book.active
    tab.append(HEADERS)
    tab.append((96094, "a", 1))
    tab["A2"].number_format = "00000000"
    book.save(tmp_path / "term.xlsx")

    cell = rows(loaded(converted(tmp_path / "term.xlsx", "xls")))[2][0]

    assert cell == FlaggedCell("id.display_differs", "00096094", 96094, {"stored": "96094"})


# ------------------------------------------------------------------ ods


ID = (
    '<table:table-cell office:value-type="float" office:value="7">'
    "<text:p>7</text:p></table:table-cell>"
)


FORMULA = 'table:formula="of:=1/0"'


def _shown(text: str) -> str:
    return f"<text:p>{text}</text:p></table:table-cell>"


@pytest.mark.parametrize(
    ("cell", "flagged"),
    [
        ('table:formula="of:=[.X1]"/>', FlaggedCell("cell.formula_unsaved", "=[.X1]")),
        (f'{FORMULA} office:value-type="float" office:value="0">{_shown("#DIV/0!")}',
         error("#DIV/0!")),
        (f'{FORMULA} office:value-type="string" office:string-value="">{_shown("Err:508")}',
         error("Err:508")),
    ],
)  # fmt: skip
def test_what_other_programs_write_for_a_formula_without_value_is_flagged(
    cell: str, flagged: FlaggedCell, tmp_path: Path
) -> None:
    path = ods(
        tmp_path / "a.ods",
        HEADERS,
        '<table:table-row table:number-rows-repeated="2">'
        f"{ID}<table:table-cell {cell}{text_cell('1')}</table:table-row>"
        f"<table:table-row>{ID}{text_cell('b')}{text_cell('1')}</table:table-row>",
    )

    found = rows(loaded(path))

    assert [found[number][1] for number in (2, 3, 4)] == [flagged, flagged, "b"]


def test_rows_of_an_ods_below_the_last_one_cost_nothing(tmp_path: Path) -> None:
    path = ods(
        tmp_path / "a.ods",
        HEADERS,
        f'<table:table-row table:visibility="filter">{ID}{text_cell("a")}</table:table-row>'
        '<table:table-row table:visibility="collapse" table:number-rows-repeated="1048574">'
        '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>',
    )

    sheet = loaded(path)

    assert [(row.number, row.hidden) for row in sheet.rows] == [(2, True)]
    assert sheet.layout.hidden_rows == 1


# ------------------------------------------------------------------ xlsb


def record(kind: int, content: bytes = b"") -> bytes:
    """A record as MS-XLSB 2.1.4 has it."""
    head = bytes([kind]) if kind < 128 else bytes([kind & 127 | 128, kind >> 7])
    assert len(content) < 128
    return head + bytes([len(content)]) + content


def words(text: str) -> bytes:
    return pack("<I", len(text)) + text.encode("utf-16-le")


def row(number: int, *, hidden: bool = False) -> bytes:
    return record(0, pack("<IIHBBBI", number, 0, 300, 0, 0x10 if hidden else 0, 0, 0))


def cell(kind: int, column: int, content: bytes, style: int = 0) -> bytes:
    return record(kind, pack("<II", column, style) + content)


def xlsb(path: Path, *records: bytes, styles: bytes = b"", mac: bool = False) -> Path:
    sheet = [
        record(129), record(148, pack("<4I", 0, 3, 0, 2)), record(145),
        row(0), *(cell(6, i, words(name)) for i, name in enumerate(HEADERS)),
        *records, record(130),
    ]  # fmt: skip
    tab = pack("<II", 0, 1) + words("rId1") + words("Classes")
    made = "http://schemas.openxmlformats.org"
    with ZipFile(path, "w") as book:
        book.writestr(
            "xl/_rels/workbook.bin.rels",
            f'<Relationships xmlns="{made}/package/2006/relationships">'
            f'<Relationship Id="rId1" Type="{made}/officeDocument/2006/relationships/worksheet" '
            'Target="worksheets/sheet1.bin"/>'
            f'<Relationship Id="rId2" Type="{made}/officeDocument/2006/relationships/styles" '
            'Target="styles.bin"/></Relationships>',
        )
        if styles:
            book.writestr("xl/styles.bin", styles)
        properties = record(153, pack("<III", int(mac), 0, 0))
        parts = [record(131), properties, record(143), record(156, tab), record(144), record(132)]
        book.writestr("xl/workbook.bin", b"".join(parts))
        book.writestr("xl/worksheets/sheet1.bin", b"".join(sheet))
    return path


def number(column: int, value: float, style: int = 0) -> bytes:
    return cell(5, column, pack("<d", value), style)


def styled(number: int, code: str = "") -> bytes:
    """The styles of a workbook: General, and one with this number format."""
    own = record(615, pack("<I", 1)) + record(44, pack("<H", number) + words(code)) + record(616)

    def style(number: int) -> bytes:
        return record(47, pack("<HHHHHBBHBB", 0, number, 0, 0, 0, 0, 0, 0, 0, 0))

    return b"".join((
        record(278), own if code else b"",
        record(626, pack("<I", 1)), style(0), record(627),
        record(617, pack("<I", 2)), style(0), style(number), record(618), record(279),
    ))  # fmt: skip


DAY = datetime(2026, 3, 1)  # noqa: DTZ001  # a cell has no zone
NUMBERS = [
    pytest.param(number(0, 46082, 1), id="number"),
    pytest.param(cell(2, 0, pack("<i", 46082 << 2 | 2), 1), id="short"),
    pytest.param(cell(2, 0, pack("<i", 4608200 << 2 | 3), 1), id="hundredths"),
    pytest.param(cell(2, 0, pack("<d", 46082)[4:], 1), id="half"),
    pytest.param(cell(9, 0, pack("<dHII", 46082, 0, 0, 0), 1), id="computed"),
]


@pytest.mark.slow
@pytest.mark.parametrize("stored", NUMBERS)
@pytest.mark.parametrize(
    ("code", "id_"),
    [*(("", n) for n in (14, 22, 27, 31, 36, 50, 58)),
     *((code, 176) for code in ("[$-804]aaaa", "e年", "yyyy/m/d", "[$-411]ggge"))],
)  # fmt: skip
def test_a_date_in_an_xlsb_is_one_in_every_format(
    code: str, id_: int, stored: bytes, tmp_path: Path
) -> None:
    styles = styled(id_, code)
    path = xlsb(tmp_path / "a.xlsb", row(1), stored, number(2, 1), record(146), styles=styles)

    sheet = loaded(path)

    assert rows(sheet)[2] == (DAY, None, 1)
    assert "id.became_date" in codes(check(sheet, WEBCAST, RULES))


@pytest.mark.slow
@pytest.mark.parametrize("code", ["0", '0"日"', "0.00E+00", '0"d"'])
@pytest.mark.parametrize("stored", NUMBERS)
def test_a_number_in_an_xlsb_is_one_in_every_other_format(
    code: str, stored: bytes, tmp_path: Path
) -> None:
    path = xlsb(
        tmp_path / "a.xlsb", row(1), stored, number(2, 1), record(146), styles=styled(31, code)
    )

    assert rows(loaded(path))[2] == (46082, None, 1)


def test_dates_in_an_xlsb_count_from_the_day_that_it_says(tmp_path: Path) -> None:
    path = xlsb(
        tmp_path / "a.xlsb", row(1), number(0, 46082 - 1462, 1), number(2, 1), record(146),
        styles=styled(31), mac=True,
    )  # fmt: skip

    assert rows(loaded(path))[2] == (DAY, None, 1)


def test_errors_hidden_rows_and_merged_cells_of_an_xlsb_are_told(tmp_path: Path) -> None:
    merged = record(177, pack("<I", 1)) + record(176, pack("<4I", 2, 3, 2, 2)) + record(178)
    path = xlsb(
        tmp_path / "a.xlsb",
        row(1), number(0, 25096094), cell(3, 1, b"\x2a"), number(2, 1),
        row(2, hidden=True), number(0, 25096095),
        # A formula's own bytes follow its result; their contents do not matter here.
        cell(11, 1, b"\x17" + pack("<HII", 0, 0, 0)), number(2, 0),
        row(3), number(0, 25096096), cell(6, 1, words("#N/A")),
        record(146), merged,
    )  # fmt: skip

    sheet = loaded(path)

    where = {"range": "C3:C4"}
    assert rows(sheet) == {
        2: (25096094, error("#N/A"), 1),
        3: (25096095, error("#REF!"), FlaggedCell("cell.merged", "0", 0, where)),
        4: (25096096, "#N/A", FlaggedCell("cell.merged", "", None, where)),
    }
    assert [row.hidden for row in sheet.rows] == [False, True, False]


def test_formatted_rows_below_the_last_value_of_an_xlsb_hide_no_mark(tmp_path: Path) -> None:
    path = xlsb(
        tmp_path / "a.xlsb",
        row(1, hidden=True), number(0, 25096094), cell(3, 1, b"\x07"), number(2, 1), row(3),
        record(146),
    )  # fmt: skip

    sheet = loaded(path)

    assert rows(sheet) == {2: (25096094, error("#DIV/0!"), 1)}
    assert [row.hidden for row in sheet.rows] == [True]


# ------------------------------------------------------------------ what cannot be told


def _cut_off(name: str, raw: bytes) -> tuple[str, bytes]:
    # The record that calamine stops at is whole; what follows it is not.
    return name, raw + b"\x80" if name.endswith("sheet1.bin") else raw


def test_an_xlsb_that_cannot_be_looked_into_is_refused(tmp_path: Path) -> None:
    path = xlsb(
        tmp_path / "a.xlsb", row(1), number(0, 25096094), cell(3, 1, b"\x2a"), number(2, 1),
        record(146),
    )  # fmt: skip
    repacked(path, _cut_off)

    with pytest.raises(UnreadableSheet, match="dates or errors cannot be told"):
        loaded(path)
