"""Result sheets as xlsx and xlsm: the user's own file, patched."""

import csv
import io
import re
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import python_calamine
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from openpyxl import load_workbook
from openpyxl.worksheet.worksheet import Worksheet

from bulkcast import loader
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.i18n import short_header
from bulkcast.model import Layout, ResultRow, RowStatus, column_letters
from bulkcast.ooxml import LARGEST_PART
from bulkcast.reporter import Written, write_results
from bulkcast.reporter.result_columns import (
    CELL_MAX,
    FIELDS,
    MARK,
    storable,
    title,
)
from tests.workbook_files import HEADERS, converted, needs_office, plain, repacked

pytestmark = pytest.mark.filterwarnings("ignore:.*extension is not supported:UserWarning")

TITLES = [title(field) for field in FIELDS]


def result(row: int, status: RowStatus = RowStatus.APPLIED, message: str = "") -> ResultRow:
    return ResultRow(row, status, "1", message, "", 1, "2027-03-01 08:00:00", "r1")


def write(
    source: Path,
    target: Path,
    *results: ResultRow,
    headers: Sequence[str] = HEADERS,
    header_row: int = 1,
    tab: str | None = "Classes",
) -> Written:
    layout = Layout(source.suffix[1:], header_row, tab)
    return write_results(source, target, layout, headers, results, existing="refuse")


def sheet_of(path: Path) -> Worksheet:
    sheet = load_workbook(path)["Classes"]
    assert isinstance(sheet, Worksheet)
    return sheet


def values(path: Path) -> list[list[Any]]:
    return [list(row) for row in sheet_of(path).iter_rows(values_only=True)]


def image() -> bytes:
    """A PNG of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    body = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def rich(path: Path, *, picture_at: str = "B8") -> Path:
    """A workbook with what a careless rewrite loses."""
    picture = path.with_suffix(".png")
    picture.write_bytes(image())
    with xlsxwriter.Workbook(path) as book:
        tab = book.add_worksheet("Classes")
        bold = book.add_format({"bold": True, "bg_color": "#1F3864", "font_color": "white"})
        tab.write_row(0, 0, HEADERS, bold)
        tab.write_row(1, 0, ["25096094", "On", "a"])
        tab.write_row(2, 0, ["25096095", "maybe", "b"])
        tab.write_formula("C4", "=1+1", None, 2)
        tab.write("A4", "25096096")
        tab.data_validation("B2:B100", {"validate": "list", "source": ["On", "Off"]})
        tab.conditional_format("A2:C100", {"type": "formula", "criteria": "=$B2=1", "format": bold})
        tab.write_comment("A1", "a note")
        tab.add_sparkline("C6", {"range": "A2:A4"})
        tab.insert_image(picture_at, str(picture))
        chart = book.add_chart({"type": "column"})
        chart.add_series({"values": "=Classes!$A$2:$A$4"})
        tab.insert_chart("A10", chart, {"x_scale": 0.3})
        tab.insert_textbox("A30", "a text box", {"width": 60})
        tab.set_column(0, 0, 20)
        tab.autofilter("A1:C4")
        tab.write_url("C7", "https://example.com")
        book.add_worksheet("Other").write(0, 0, "untouched")
    return path


def in_sheet(old: bytes, new: bytes) -> Callable[[str, bytes], tuple[str, bytes]]:
    """A change of the first worksheet; it must find what it replaces."""

    def change(name: str, raw: bytes) -> tuple[str, bytes]:
        if name != "xl/worksheets/sheet1.xml":
            return name, raw
        assert old in raw
        return name, raw.replace(old, new)

    return change


# ------------------------------------------------------------------ what stays


def test_our_colours_stand_behind_the_users_own_and_where_the_format_wants_them(
    tmp_path: Path,
) -> None:
    source = rich(tmp_path / "term.xlsx")

    written = write(source, tmp_path / "o.xlsx", result(2), result(3), result(4))

    with ZipFile(written.path) as book:
        sheet = book.read("xl/worksheets/sheet1.xml")
    rules = sheet.split(b"<cfRule ")[1:]
    priorities = [int(rule.partition(b'priority="')[2].partition(b'"')[0]) for rule in rules]
    assert b"$B2=1" in rules[0]
    assert priorities == [1, 2, 3, 4, 5, 6]
    assert b"FIND(" in rules[1]
    assert sheet.rindex(b"<conditionalFormatting") < sheet.index(b"<dataValidations")
    assert sheet.index(b"</sheetData>") < sheet.index(b"<conditionalFormatting")


X14_DROP_DOWN = (
    b'<ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}" xmlns:x14="http://schemas.microsoft.com/'
    b'office/spreadsheetml/2009/9/main"><x14:dataValidations xmlns:xm="http://schemas.microsoft.com'
    b'/office/excel/2006/main" count="1"><x14:dataValidation type="list" allowBlank="1"><x14:formul'
    b"a1><xm:f>Other!$A$1:$A$2</xm:f></x14:formula1><xm:sqref>B2:B100</xm:sqref></x14:dataValidatio"
    b"n></x14:dataValidations></ext></extLst>"
)


def richest(path: Path) -> Path:
    """`rich`, and by hand what XlsxWriter does not write."""
    repacked(rich(path), in_sheet(b"</extLst>", X14_DROP_DOWN))
    with ZipFile(path, "a") as book:
        book.writestr("customXml/item1.xml", b"<mine/>")
        book.writestr("xl/threadedComments/threadedComment1.xml", b"<ThreadedComments/>")
        book.writestr("xl/printerSettings/printerSettings1.bin", bytes(range(256)))
    return path


def canonical(part: bytes) -> bytes:
    return etree.tostring(etree.fromstring(part), method="c14n")


def around_rows(sheet: bytes) -> list[bytes]:
    """Everything in a worksheet but its rows, extent, widths and our own colours, canonically."""
    ours = {"dimension", "cols", "sheetData"}
    kept = (e for e in etree.fromstring(sheet) if etree.QName(e).localname not in ours)
    return [text for e in kept if MARK.encode() not in (text := etree.tostring(e, method="c14n"))]


def test_only_the_sheet_and_the_styles_differ_and_nothing_is_lost(tmp_path: Path) -> None:
    source = richest(tmp_path / "term.xlsx")

    written = write(source, tmp_path / "o.xlsx", result(2), result(3), result(4))

    with ZipFile(source) as old, ZipFile(written.path) as new:
        changed = [n for n in old.namelist() if old.read(n) != new.read(n)]
        assert new.namelist() == old.namelist()
        parts = ["xl/styles.xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"]
        assert sorted(changed) == parts
        grown = old.read("xl/workbook.xml").replace(b"$A$1:$C$4<", b"$A$1:$J$4<")
        assert canonical(new.read("xl/workbook.xml")) == canonical(grown)
        assert [i.date_time for i in old.infolist() if i.filename not in changed] == [
            i.date_time for i in new.infolist() if i.filename not in changed
        ]
        before, after = (book.read("xl/worksheets/sheet1.xml") for book in (old, new))
        styles, old_styles = new.read("xl/styles.xml"), old.read("xl/styles.xml")
    filter_grown = [text.replace(b'ref="A1:C4"', b'ref="A1:J4"') for text in around_rows(before)]
    assert around_rows(after) == filter_grown
    names = {b"sparklineGroup", b"x14:dataValidation ", b"<dataValidation ", b"<drawing ", b"$B2=1",
             b"<hyperlink ", b"<legacyDrawing ", b"<autoFilter "}  # fmt: skip
    assert {name for name in names if name in after} == names
    cells = re.findall(rb"<c .*?(?:/>|</c>)", before)
    assert len(cells) > 10
    assert [cell for cell in cells if cell not in after] == []
    assert b"<v>2</v>" in after
    assert styles.count(b"<xf ") == old_styles.count(b"<xf ") + 1
    assert written.remarks == ()


def test_a_strict_workbook_is_patched_like_any_other(tmp_path: Path) -> None:
    """As Excel saves a "Strict Open XML Spreadsheet": other namespaces, nothing else."""
    usual, strict = b"schemas.openxmlformats.org/", b"purl.oclc.org/ooxml/"

    def change(name: str, raw: bytes) -> tuple[str, bytes]:
        for old, new in (
            (b"spreadsheetml/2006/main", b"spreadsheetml/main"),
            (b"officeDocument/2006/", b"officeDocument/"),
        ):
            raw = raw.replace(usual + old, strict + new)
        return name, raw

    source = repacked(rich(tmp_path / "t.xlsx"), change)

    written = write(source, tmp_path / "o.xlsx", result(2), result(3), result(4))

    assert written.remarks == ()
    with ZipFile(written.path) as book:
        for part in ("xl/worksheets/sheet1.xml", "xl/styles.xml"):
            assert {etree.QName(e).namespace for e in etree.fromstring(book.read(part))} == {
                "http://purl.oclc.org/ooxml/spreadsheetml/main"
            }
    sheet = python_calamine.load_workbook(written.path).get_sheet_by_name("Classes")
    assert [row[:4] for row in sheet.to_python()][:2] == [
        [*HEADERS, TITLES[0]], ["25096094", "On", "a", "applied"],
    ]  # fmt: skip


def test_seven_columns_stand_behind_the_users_with_their_header_style(tmp_path: Path) -> None:
    source = rich(tmp_path / "term.xlsx")

    write(source, tmp_path / "o.xlsx", result(2), result(3, RowStatus.INVALID, "Bad."), result(4))

    rows = values(tmp_path / "o.xlsx")
    assert rows[0][:10] == [*HEADERS, *TITLES]
    assert rows[2][:10] == [
        "25096095", "maybe", "b", "invalid", "1", "Bad.", None, 1, "2027-03-01 08:00:00", "r1",
    ]  # fmt: skip
    sheet = sheet_of(tmp_path / "o.xlsx")
    assert sheet["D1"].font.b
    assert sheet["D1"].fill.fgColor.rgb == sheet["C1"].fill.fgColor.rgb
    assert sheet["F3"].number_format == "@"
    assert sheet.column_dimensions["F"].width == 72
    assert sheet.column_dimensions["A"].width == pytest.approx(20, abs=1)


def test_comment_rows_preamble_and_blank_rows_are_left_alone(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["note"], HEADERS, ["1", "On"], [], ["# x"], ["2", "On"]])

    write(source, tmp_path / "o.xlsx", result(4), result(7), header_row=3)

    rows = values(tmp_path / "o.xlsx")
    assert rows[1] == ["note"] + [None] * 9
    assert rows[2][3:] == TITLES
    assert [row[3] for row in rows[3:]] == ["applied", None, None, "applied"]


def test_columns_start_behind_a_picture_that_floats_at_the_right(tmp_path: Path) -> None:
    source = rich(tmp_path / "t.xlsx", picture_at="N2")

    write(source, tmp_path / "o.xlsx", result(2), result(3), result(4))

    assert values(tmp_path / "o.xlsx")[0][14:21] == TITLES


def test_columns_start_behind_what_floats_only_for_newer_programs(tmp_path: Path) -> None:
    """Controls, slicers and newer charts stand in an AlternateContent."""
    mc = b"http://schemas.openxmlformats.org/markup-compatibility/2006"
    opened = b'<mc:AlternateContent xmlns:mc="' + mc + b'"><mc:Choice Requires="a14">'

    def wrap(name: str, raw: bytes) -> tuple[str, bytes]:
        raw = raw.replace(b"<xdr:twoCellAnchor", opened + b"<xdr:twoCellAnchor")
        closed = b"</xdr:twoCellAnchor>"
        return name, raw.replace(closed, closed + b"</mc:Choice></mc:AlternateContent>")

    source = repacked(rich(tmp_path / "t.xlsx", picture_at="N2"), wrap)

    write(source, tmp_path / "o.xlsx", result(2), result(3), result(4))

    assert values(tmp_path / "o.xlsx")[0][14:21] == TITLES


@pytest.mark.parametrize(
    ("merged", "first"),
    [
        ("C1:F1", "G"),  # a header over several columns
        ("B3:H3", "I"),  # a row that is a title
        ("A9:H9", "D"),  # below all rows
        ("E3:H3", "D"),  # not the user's table
        ("A3:XFD3", "D"),  # to the very end, where no room is left
    ],
)
def test_no_result_hides_in_a_merged_cell(tmp_path: Path, merged: str, first: str) -> None:
    source = plain(tmp_path / "t.xlsx", [["1", "On"], ["2", ""]])
    book = load_workbook(source)
    book["Classes"].merge_cells(merged)
    book.save(source)

    written = write(source, tmp_path / "o.xlsx", result(2), result(3))

    with ZipFile(written.path) as packed:
        sheet = packed.read("xl/worksheets/sheet1.xml")
    assert f'<c r="{first}1" t="inlineStr"><is><t xml:space="preserve">bulkcast_status' in (
        sheet.decode()
    )


def with_table(path: Path, **options: Any) -> Path:
    with xlsxwriter.Workbook(path) as book:
        tab = book.add_worksheet("Classes")
        tab.add_table(
            "A1:C3",
            {
                "name": "Term",
                "columns": [{"header": header} for header in HEADERS],
                "data": [["25096094", "On", "a"], ["25096095", "maybe", "b"]],
            }
            | options,
        )
    return path


def test_a_table_reaches_over_the_results_so_that_sorting_takes_them_along(tmp_path: Path) -> None:
    source = with_table(tmp_path / "t.xlsx")

    first = write(source, tmp_path / "1.xlsx", result(2), result(3))
    second = write(
        tmp_path / "1.xlsx", tmp_path / "2.xlsx", result(2), result(3), headers=[*HEADERS, *TITLES]
    )

    assert first.remarks == second.remarks == ()
    for written in (first, second):
        table = sheet_of(written.path).tables["Term"]
        assert (table.ref, table.autoFilter.ref) == ("A1:J3", "A1:J3")
        assert [column.name for column in table.tableColumns][3:] == TITLES
        assert sorted(column.id for column in table.tableColumns) == list(range(1, 11))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"totalsRowShown=", b'tableType="queryTable" totalsRowShown='),
        (b'totalsRowShown="0"', b'totalsRowCount="1"'),
    ],
)
def test_a_table_with_columns_from_elsewhere_or_totals_is_left_alone_and_named(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    def change(name: str, raw: bytes) -> tuple[str, bytes]:
        if name != "xl/tables/table1.xml":
            return name, raw
        assert old in raw
        return name, raw.replace(old, new)

    source = repacked(with_table(tmp_path / "t.xlsx"), change)

    written = write(source, tmp_path / "o.xlsx", result(2), result(3))

    (remark,) = map(str, written.remarks)
    assert "The table Term" in remark
    with ZipFile(source) as before, ZipFile(written.path) as after:
        assert before.read("xl/tables/table1.xml") == after.read("xl/tables/table1.xml")


def test_a_table_without_a_header_stays_as_it_is(tmp_path: Path) -> None:
    source = with_table(tmp_path / "t.xlsx", header_row=False)

    written = write(source, tmp_path / "o.xlsx", result(2))

    with ZipFile(source) as before, ZipFile(written.path) as after:
        assert before.read("xl/tables/table1.xml") == after.read("xl/tables/table1.xml")


def test_values_right_of_the_header_are_not_overwritten(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["1", "On", "", "", "stray"], ["2", "On"]])

    write(source, tmp_path / "o.xlsx", result(2), result(3))

    assert values(tmp_path / "o.xlsx")[1][4:6] == ["stray", "applied"]


def test_results_that_stand_far_out_are_pointed_to(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["1", "On"]])
    book = load_workbook(source)
    book["Classes"]["AZ2"] = "stray"
    book.save(source)

    (remark,) = write(source, tmp_path / "o.xlsx", result(2)).remarks

    assert "column BA" in str(remark)


def test_cells_that_are_only_formatted_make_room(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["1", "On"]])
    book = load_workbook(source)
    for column in range(3, 30):
        book["Classes"].cell(2, column).number_format = "0.00"
    book.save(source)

    write(source, tmp_path / "o.xlsx", result(2))

    sheet = sheet_of(tmp_path / "o.xlsx")
    assert sheet["D2"].value == "applied"
    assert sheet["Z2"].number_format == "0.00"


def test_wider_column_definitions_are_cut_open_and_keep_their_rest(tmp_path: Path) -> None:
    """LibreOffice defines columns to the very end, and people hide what they do not use."""
    wide = b'<cols><col min="2" max="16384" width="9" hidden="1"/></cols><sheetData>'
    source = repacked(plain(tmp_path / "t.xlsx", [["1"]]), in_sheet(b"<sheetData>", wide))

    write(source, tmp_path / "o.xlsx", result(2))

    with ZipFile(tmp_path / "o.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml")
    assert b'min="2" max="3"' in sheet
    assert b'min="4" max="4" width="18"' in sheet
    assert b'min="11" max="16384"' in sheet


# ------------------------------------------------------------------ round trips


def test_a_second_result_replaces_the_first_and_adds_nothing(tmp_path: Path) -> None:
    source = rich(tmp_path / "term.xlsx")
    results = [result(2), result(3, RowStatus.INVALID, "[Web live] Bad."), result(4)]
    write(source, tmp_path / "1.xlsx", *results)

    write(tmp_path / "1.xlsx", tmp_path / "2.xlsx", *results, headers=[*HEADERS, *TITLES])

    with ZipFile(tmp_path / "1.xlsx") as one, ZipFile(tmp_path / "2.xlsx") as two:
        assert one.read("xl/styles.xml") == two.read("xl/styles.xml")
        assert [i.file_size for i in one.infolist()] == [i.file_size for i in two.infolist()]
    assert values(tmp_path / "1.xlsx") == values(tmp_path / "2.xlsx")


def test_what_no_longer_holds_is_cleared_from_an_earlier_result(tmp_path: Path) -> None:
    source = plain(
        tmp_path / "t.xlsx", [["invalid", "1", "old"], ["invalid", "#2", "old"]],
        ["bulkcast_status", "activityId", "bulkcast_message"],
    )  # fmt: skip

    write(
        source, tmp_path / "o.xlsx", result(2),
        headers=["bulkcast_status", "activityId", "bulkcast_message"],
    )  # fmt: skip

    rows = values(tmp_path / "o.xlsx")
    assert rows[1][:3] == ["applied", "1", None]
    assert rows[2][:3] == [None, "#2", None]
    assert len(rows[0]) == 8


def test_the_loader_reads_a_result_as_the_sheet_it_came_from(tmp_path: Path) -> None:
    rows = [["25096094", "On", "=x"], ["25096095", "Off", "_x0041_"]]
    source = plain(tmp_path / "t.xlsx", rows)
    sheet = loader.read(source, endpoint=WEBCAST)

    write_results(
        source, tmp_path / "o.xlsx", sheet.layout, sheet.headers, [result(2), result(3)],
        existing="refuse",
    )  # fmt: skip

    again = loader.read(tmp_path / "o.xlsx", endpoint=WEBCAST)
    assert again.headers == (*sheet.headers, *TITLES)
    assert [r.cells[:3] for r in again.rows] == [r.cells for r in sheet.rows]
    assert loader.previous_results(again)[2]["status"] == "applied"


# ------------------------------------------------------------------ hostile text


@pytest.mark.parametrize("text", ["=1+1", "+1", "@x", "-1", "<b>&\"'", "_x0041_", " a  b ", "a\nb"])
def test_a_text_stays_the_text_it_is(tmp_path: Path, text: str) -> None:
    source = plain(tmp_path / "t.xlsx", [["25096094", "On"]])

    write(source, tmp_path / "o.xlsx", result(2, RowStatus.REJECTED, text))

    assert sheet_of(tmp_path / "o.xlsx")["F2"].data_type in {"s", "inlineStr"}
    read = loader.previous_results(loader.read(tmp_path / "o.xlsx", endpoint=WEBCAST))
    assert read[2]["message"] == text


@settings(deadline=None, max_examples=40)
@given(st.text(st.characters(codec=None), max_size=40))
def test_any_text_gives_a_file_that_opens(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    source = plain(folder / "t.xlsx", [["25096094", "On"]])

    write(source, folder / "o.xlsx", result(2, RowStatus.REJECTED, text + "\ud800\ufffe\x00"))

    sheet = loader.read(folder / "o.xlsx", endpoint=WEBCAST)
    assert loader.previous_results(sheet)[2]["message"] == storable(text) + "\\ud800\\ufffe␀"


@given(st.text(st.sampled_from("a课🎬"), min_size=1, max_size=7), st.integers(4000, 20_000))
def test_a_text_is_cut_to_what_a_cell_holds(text: str, times: int) -> None:
    kept = storable(text * times)

    assert len(kept.encode("utf-16-le")) // 2 <= CELL_MAX
    assert kept == text * times or (kept.endswith("…") and len(kept) * 2 > CELL_MAX - 2)


# ------------------------------------------------------------------ unusual workbooks


def test_prefixed_elements_slashed_targets_and_missing_addresses_are_patched(
    tmp_path: Path,
) -> None:
    """As the Open XML SDK and some streaming writers put it."""
    sheet = (
        b'<?xml version="1.0" encoding="utf-8"?><x:worksheet xmlns:x="http://schemas.openxmlformats'
        b'.org/spreadsheetml/2006/main"><x:sheetData>'
        b'<x:row><x:c t="inlineStr"><x:is><x:t>activityId</x:t></x:is></x:c></x:row>'
        b'<x:row spans="1:1"><x:c><x:v>25096094</x:v></x:c></x:row>'
        b"</x:sheetData></x:worksheet>"
    )

    def change(name: str, raw: bytes) -> tuple[str, bytes]:
        if name == "xl/worksheets/sheet1.xml":
            return name, sheet
        return name, raw.replace(b'"worksheets/sheet1.xml', b'"/xl/worksheets/sheet1.xml')

    source = repacked(plain(tmp_path / "t.xlsx", []), change)

    written = write(source, tmp_path / "o.xlsx", result(2), headers=["activityId"])

    assert written.remarks == ()
    assert values(tmp_path / "o.xlsx")[1][:2] == [25096094, "applied"]
    with ZipFile(written.path) as book:
        assert b'<x:row><x:c><x:v>25096094</x:v></x:c><x:c r="B2"' in book.read(
            "xl/worksheets/sheet1.xml"
        )


def test_a_workbook_that_cannot_be_patched_is_written_anew_and_says_what_is_lost(
    tmp_path: Path,
) -> None:
    source = richest(tmp_path / "t.xlsx")
    repacked(source, in_sheet(b"<sheetData>", b"<sheetData><!-- made by hand -->"))

    written = write(source, tmp_path / "o.xlsx", result(2), result(3), result(4))

    assert values(tmp_path / "o.xlsx")[1][:4] == ["25096094", "On", "a", "applied"]
    sheet = sheet_of(tmp_path / "o.xlsx")
    assert sheet.auto_filter.ref == "A1:J4"
    assert sheet.column_dimensions["F"].width == 72
    coloured = [str(area.sqref) for area in sheet.conditional_formatting]
    assert coloured[0] == "A2:C100"
    assert coloured.count("A2:C7") == 1
    (remark,) = map(str, written.remarks)
    assert "written anew" in remark
    lost = remark.partition("Lost: ")[2]
    assert "text boxes and shapes (1); threaded comments (1); custom XML (1)" in lost
    assert "drop-downs from other sheets (1); sparklines (1)." in lost


def test_a_workbook_written_anew_with_nothing_to_lose_says_only_that(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["25096094", "On"]])
    repacked(source, in_sheet(b"<sheetData>", b"<sheetData><!-- made by hand -->"))

    (remark,) = map(str, write(source, tmp_path / "o.xlsx", result(2)).remarks)

    assert "written anew" in remark
    assert "Lost" not in remark


@pytest.mark.parametrize("size", [0, 100, 4000])
def test_a_damaged_workbook_is_one_sentence_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    source = rich(tmp_path / "t.xlsx")
    source.write_bytes(source.read_bytes()[:size])
    (tmp_path / "t.png").unlink()

    with pytest.raises((UnreadableSheet, CannotStart)):
        write(source, tmp_path / "o.xlsx", result(2))

    assert [p.name for p in tmp_path.iterdir()] == ["t.xlsx"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<row ", b'<row r="2" '),
        (b"</row>", b""),
        (b"<is>", b"<is></w>"),
        (b"<row ", b"<row x=y "),
        (b"</sheetData>", b"</sheetData><<"),
    ],
)
def test_broken_xml_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    source = repacked(plain(tmp_path / "t.xlsx", [["1", "On"]]), in_sheet(old, new))

    with pytest.raises((UnreadableSheet, CannotStart)):
        write(source, tmp_path / "o.xlsx", result(2))

    assert [p.name for p in tmp_path.iterdir()] == ["t.xlsx"]


def test_a_sheet_without_room_for_seven_columns_says_so(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["1", "On"]])
    book = load_workbook(source)
    book["Classes"]["XFA2"] = "far out"
    book.save(source)

    with pytest.raises(CannotStart, match="XFA"):
        write(source, tmp_path / "o.xlsx", result(2))


def test_macros_survive(tmp_path: Path) -> None:
    source = tmp_path / "t.xlsm"
    shutil.copy(rich(tmp_path / "t.xlsx"), source)
    with ZipFile(source, "a") as book:
        book.writestr("xl/vbaProject.bin", b"\xd0\xcf macros")

    write(source, tmp_path / "o.xlsm", result(2), result(3), result(4))

    with ZipFile(tmp_path / "o.xlsm") as book:
        assert book.read("xl/vbaProject.bin") == b"\xd0\xcf macros"


def test_a_row_larger_than_a_chunk_is_patched(tmp_path: Path) -> None:
    rows = [[str(n), "On", chr(0x4E00 + n) * 30_000] for n in range(60)]
    source = tmp_path / "t.xlsx"
    with xlsxwriter.Workbook(source, {"constant_memory": True}) as book:
        tab = book.add_worksheet("Classes")
        for number, row in enumerate([HEADERS, *rows]):
            tab.write_row(number, 0, row)

    written = write(source, tmp_path / "o.xlsx", *(result(n + 2) for n in range(60)))

    assert written.remarks == ()
    assert [row[:4] for row in values(written.path)[1:]] == [[*row, "applied"] for row in rows]


def test_a_row_that_is_gone_since_the_check_is_one_sentence(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["1", "On"]])

    with pytest.raises(UnreadableSheet, match="row 3"):
        write(source, tmp_path / "o.xlsx", result(2), result(3))


def test_a_worksheet_with_very_many_links_is_patched(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["1", "On"]])
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"
    links = "".join(
        f'<Relationship Id="l{n}" Type="{kind}" Target="urn:{n}" TargetMode="External"/>'
        for n in range(66_000)
    )
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    with ZipFile(source, "a", ZIP_DEFLATED) as book:
        raw = f'<Relationships xmlns="{space}">{links}</Relationships>'
        assert len(raw) > LARGEST_PART
        book.writestr("xl/worksheets/_rels/sheet1.xml.rels", raw)

    written = write(source, tmp_path / "o.xlsx", result(2))

    assert written.remarks == ()


# ------------------------------------------------------------------ LibreOffice as judge


@pytest.mark.slow
@needs_office
def test_a_spreadsheet_program_finds_no_formula_and_marks_the_named_cell(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["25096094", "maybe", "x"], ["25096095", "On", "y"]])
    message = "[Activity ID] =cmd() is not an id. [Web live] “maybe” is not one of Off, On."
    write(
        source, tmp_path / "o.xlsx",
        result(2, RowStatus.INVALID, message), result(3, RowStatus.REJECTED, "=HYPERLINK(1)"),
    )  # fmt: skip

    seen = converted(tmp_path / "o.xlsx", "fods").read_text("utf-8")

    assert "table:formula" not in seen
    assert "=HYPERLINK(1)" in seen
    assert "FIND(" in seen
    checks = load_workbook(tmp_path / "o.xlsx")
    sheet = checks["Classes"]
    formula = next(
        rule.formula[0]
        for area in sheet.conditional_formatting
        for rule in area.rules
        if "FIND(" in rule.formula[0]
    )
    for offset, column in enumerate("ABC"):
        here = formula.replace("A$1", f"{column}$1")
        sheet.cell(2, 20 + offset).value = "=" + here
    checks.save(tmp_path / "c.xlsx")
    evaluated = converted(tmp_path / "c.xlsx", "csv").read_text("utf-8", "replace")
    assert evaluated.count("TRUE") == 2
    assert short_header(HEADERS[0]) == "Activity ID"


@pytest.mark.slow
@needs_office
def test_a_message_marks_its_own_column_however_the_header_is_spelled(tmp_path: Path) -> None:
    names = [
        "Activity ID *\n活动ID", "Web live *\r\n直播", "two  blanks", " around ", "a?b*c~",
        'say "hi"', "no\u00a0break", "[x] *", "WEB LIVE", "live",
    ]  # fmt: skip
    source = tmp_path / "t.xlsx"
    with xlsxwriter.Workbook(source) as book:
        tab = book.add_worksheet("Classes")
        tab.write_row(0, 0, names)
        tab.write_column(1, 0, ["x"] * len(names))
    results = [
        result(row, RowStatus.INVALID, f"[{short_header(name)}] Bad.")
        for row, name in enumerate(names, start=2)
    ]
    write(source, tmp_path / "o.xlsx", *results, headers=names)

    book = load_workbook(tmp_path / "o.xlsx")
    sheet = book["Classes"]
    formula = next(
        rule.formula[0]
        for area in sheet.conditional_formatting
        for rule in area.rules
        if "FIND(" in rule.formula[0]
    )
    for row in range(2, len(names) + 2):
        for column in range(len(names)):
            here = re.sub(r"\bA\$1\b", f"{column_letters(column)}$1", formula).replace("$2", "2")
            here = re.sub(r"(\$[A-Z]+)2\b", rf"\g<1>{row}", here)
            sheet.cell(row, 40 + column).value = "=" + here
    book.save(tmp_path / "c.xlsx")
    shown = converted(tmp_path / "c.xlsx", "csv").read_text("utf-8", "replace")
    marks = [[cell == "TRUE" for cell in row[39:]] for row in list(csv.reader(io.StringIO(shown)))]
    assert marks[-len(names) :] == [
        [row == column for column in range(len(names))] for row in range(len(names))
    ]


# ------------------------------------------------------------------ what formulas look at


def looking(path: Path, place: str) -> Path:
    """A workbook in which something outside the table looks at the columns B to J of it."""
    with xlsxwriter.Workbook(path) as book:
        tab = book.add_worksheet("Classes")
        tab.write_row(2, 0, HEADERS)
        for row in range(3, 8):
            tab.write_row(row, 0, [str(25096094 + row), row, "a"])
        other = book.add_worksheet("Übersicht 1")
        match place:
            case "above":
                tab.write_formula("A1", "=COUNTA(B5:J5)", None, 2)
            case "shared columns":
                tab.write_formula("A1", "=COUNTA(B:J)", None, 13)
            case "other sheet":
                other.write_formula("A1", "=COUNTA(Classes!$B$5:$J5)", None, 2)
            case "name":
                book.define_name("Points", "=Classes!$B$5:$J$5")
                other.write_formula("A1", "=COUNTA(Points)", None, 2)
            case "chart":
                chart = book.add_chart({"type": "column"})
                chart.add_series({"values": "=Classes!$B$5:$J$5"})
                other.insert_chart("B2", chart)
            case "sparkline":
                tab.add_sparkline("A1", {"range": "Classes!B5:J5"})
            case _:
                tab.write_formula("A1", place, None, 2)
    return path


@pytest.mark.parametrize(
    "place",
    [
        "above",
        "shared columns",
        "other sheet",
        "name",
        "chart",
        "sparkline",
        "=SUM(1,'classes'!J5)",
    ],
)
def test_columns_that_something_looks_at_stay_free(tmp_path: Path, place: str) -> None:
    source = looking(tmp_path / "a.xlsx", place)
    target = tmp_path / "r.xlsx"
    write(source, target, *(result(n) for n in range(4, 9)), header_row=3)
    assert [cell.value for cell in sheet_of(target)[3]][3:] == [None] * 7 + TITLES


@pytest.mark.parametrize(
    "formula",
    ["=COUNTA(A:XFD)", "=SUM(5:5)", '=LEN("J5")', "=LOG10(8)", "=COUNTA('Übersicht 1'!B5:J5)"],
)
def test_what_looks_elsewhere_or_everywhere_takes_no_columns(tmp_path: Path, formula: str) -> None:
    source = looking(tmp_path / "a.xlsx", formula)
    target = tmp_path / "r.xlsx"
    write(source, target, *(result(n) for n in range(4, 9)), header_row=3)
    assert [cell.value for cell in sheet_of(target)[3]][3:] == TITLES


def test_a_workbook_written_anew_leaves_such_columns_free_too(tmp_path: Path) -> None:
    source = looking(tmp_path / "a.xlsx", "other sheet")
    repacked(source, in_sheet(b"<sheetData>", b"<!-- unusual --><sheetData>"))
    target = tmp_path / "r.xlsx"
    written = write(source, target, *(result(n) for n in range(4, 9)), header_row=3)
    assert "written anew" in str(written.remarks)
    assert [cell.value for cell in sheet_of(target)[3]][3:] == [None] * 7 + TITLES


@pytest.mark.slow
@needs_office
@pytest.mark.parametrize("place", ["above", "other sheet", "name"])
def test_what_a_formula_computes_stays(tmp_path: Path, place: str) -> None:
    source = looking(tmp_path / "a.xlsx", place)
    target = tmp_path / "r.xlsx"
    write(source, target, *(result(n) for n in range(4, 9)), header_row=3)
    # LibreOffice computes anew only what has no value; so take the values away.
    repacked(target, lambda name, raw: (name, re.sub(rb"(</f>)<v>[^<]*</v>", rb"\1", raw)))
    tab = "Classes" if place == "above" else "Übersicht 1"
    book = load_workbook(converted(target, "xlsx"), data_only=True)
    assert book[tab]["A1"].value == 2


# ------------------------------------------------------------------ what is coloured


def coloured(path: Path) -> list[list[str]]:
    """Row by row, the texts of the cells that LibreOffice shows in red or yellow."""
    page = converted(path, "html").read_text("utf-8")
    cell = re.compile('bgcolor="#(?:FFC7CE|FFEB9C)"[^>]*>(?:<font[^>]*>)?([^<]*)')
    return [cell.findall(row) for row in re.findall("<tr.*?</tr>", page, re.DOTALL)[1:]]


@pytest.mark.slow
@needs_office
def test_what_needs_work_is_coloured_until_it_is_mended(tmp_path: Path) -> None:
    ended = [
        (RowStatus.APPLIED, "Warning: [Web live] is odd."),
        (RowStatus.INVALID, "[Web live] is wrong."),
        (RowStatus.INVALID, "The row names no class."),
        (RowStatus.NOT_SENT, "The run ended first."),
        (RowStatus.UNCONFIRMED, "No answer."),
        (RowStatus.REJECTED, "No such class."),
        (RowStatus.TOO_LATE, "[Web live] is locked."),
    ]
    source = plain(tmp_path / "t.xlsx", [[str(25096090 + n), "On", "a"] for n in range(7)])
    told = [result(n, status, message) for n, (status, message) in enumerate(ended, start=2)]

    first = write(source, tmp_path / "first.xlsx", *told)
    saved = converted(first.path, "xlsx")  # as its owner does, who mends it
    mended = [result(n) for n in range(2, 9)]
    again = write(saved, tmp_path / "again.xlsx", *mended, headers=[*HEADERS, *TITLES])

    assert coloured(first.path) == [
        [],
        ["On", "invalid"],
        ["invalid"],
        ["not_sent"],
        ["unconfirmed"],
        ["rejected"],
        ["On", "too_late"],
    ]
    assert coloured(again.path) == [[]] * 7


def test_our_rules_go_from_among_the_users_own(tmp_path: Path) -> None:
    source = plain(tmp_path / "t.xlsx", [["25096094", "On", "a"]])
    first = write(source, tmp_path / "first.xlsx", result(2))
    ours = b'<conditionalFormatting sqref="A2:C2">'
    own = b'<cfRule type="expression" priority="9"><formula>$B2=1</formula></cfRule>'
    repacked(first.path, in_sheet(ours, ours + own))

    again = write(first.path, tmp_path / "again.xlsx", result(2), headers=[*HEADERS, *TITLES])

    with ZipFile(again.path) as book:
        sheet = book.read("xl/worksheets/sheet1.xml")
    assert sheet.count(own) == 1
    assert sheet.count(MARK.encode()) == 5
