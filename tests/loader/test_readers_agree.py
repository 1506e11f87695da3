"""The fast and the complete reader of xlsx agree on every cell, and with openpyxl on ordinary ones.

So does the check of a sheet whether its rows are held, as by `apply`, or not, as by `validate`.
"""

import csv
import io
import re
import string
import warnings
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

import bulkcast
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import stream, workbook
from bulkcast.loader.xlsx_reader import XlsxParser
from bulkcast.model import Cell, FlaggedCell
from bulkcast.ooxml import cell_of
from bulkcast.validator import Validator, all_issues, check
from tests.make_samples import SAMPLES
from tests.sheets import RULES, loaded
from tests.workbook_files import converted, needs_office

Lines = dict[int, list[tuple[type, Cell]]]
"""By row, the cells with their types, for 1, 1.0 and True are equal; none that are blank."""

FAST: Final = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def trimmed(cells: Any) -> list[tuple[type, Cell]]:
    kept = [(type(cell), cell) for cell in ("" if _is_blank(c) else c for c in cells)]
    while kept and kept[-1][1] == "":
        kept.pop()
    return kept


def _is_blank(cell: Cell) -> bool:
    """How far a merged range is followed beyond a table's last cell is a reader's own affair."""
    if isinstance(cell, FlaggedCell) and cell.code == "cell.merged":
        cell = cell.value
    return cell is None


def by_complete_reader(path: Path, tab: str) -> tuple[Lines, set[int]]:
    lines, hidden = {}, set()
    with closing(XlsxParser(path)) as book:
        found = list(book.lines(tab))
    for (number, cells), is_hidden in found:
        if kept := trimmed(cells):
            lines[number] = kept
        if is_hidden:
            hidden.add(number)
    return lines, hidden


def by_fast_reader(path: Path, tab: str, *, alone: bool = True) -> tuple[Lines, set[int]]:
    """What the fast reader finds; `alone` says that the complete one may not help."""
    hidden: set[int] = set()
    with ExitStack() as stack:
        book: Any = workbook._open(path, stack)
        if alone:
            book.complete = _never
        chunks = list(book.chunks(tab, hidden))
    rows = [line for numbers, rows in chunks for line in zip(numbers, rows, strict=True)]
    return {number: kept for number, cells in rows if (kept := trimmed(cells))}, hidden


def _never() -> NoReturn:
    raise AssertionError("the fast reader gave up")


def tabs(path: Path) -> list[str]:
    with closing(XlsxParser(path)) as book:
        return [name for name, _ in book.tabs()]


def agree(path: Path, *, alone: bool = True) -> None:
    for tab in tabs(path):
        assert by_fast_reader(path, tab, alone=alone) == by_complete_reader(path, tab)


def agree_with_openpyxl(path: Path) -> None:
    """Compare with openpyxl, which nothing of ours reads with, but for what it has no word for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a number that is no date
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), data_only=True)
    for sheet in book.worksheets:
        lines, _ = by_complete_reader(path, sheet.title)
        for number, row in lines.items():
            for column, (kind, cell) in enumerate(row, start=1):
                theirs = sheet.cell(number, column)
                is_flagged = theirs.coordinate in sheet.merged_cells or (
                    isinstance(cell, FlaggedCell) and cell.code == "cell.formula_unsaved"
                )
                # openpyxl removes every `x005F_`, though it is part of some texts.
                if not is_flagged and not (isinstance(cell, str) and "x" in cell):
                    value = cell_of(theirs.value, theirs.data_type, theirs.number_format)
                    value = "" if value is None else value
                    assert (kind, cell) == (type(value), value)


def test_only_public_modules_of_openpyxl_are_relied_upon() -> None:
    """Others change their form without notice."""
    for module in Path(bulkcast.__file__).parent.rglob("*.py"):
        assert not re.search(
            r"\bopenpyxl[\w.]*\._|\bfrom openpyxl\S* import .*\b_", module.read_text("utf-8")
        ), module


# ------------------------------------------------------------------ the samples

READABLE: Final = sorted(
    {path.name for path in SAMPLES.glob("*.xlsx")}
    - {"cut-off.xlsx", "empty.xlsx", "not-a-workbook.xlsx", "old-kind-renamed.xlsx"}
    - {"strict-open-xml.xlsx", "with-a-password.xlsx"}
)


@pytest.mark.parametrize("name", READABLE)
def test_both_readers_find_the_same_in_a_sample(name: str) -> None:
    agree(SAMPLES / name)


@pytest.mark.parametrize("name", ["term/term.xlsx", "../templates/bulkcast-zh.xlsx"])
def test_both_readers_find_the_same_in_our_own_workbooks(name: str) -> None:
    agree(SAMPLES / name)


# ------------------------------------------------------------------ generated workbooks

TEXT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8),
    st.text(string.printable, max_size=6).map(
        lambda text: "".join(c for c in text if c >= " " or c in "\t\n")
    ),
    st.sampled_from(
        ["_x0041_", "_x005F_x0041_", "_x000D_", "a_x000d_b", " lead", "trail ", "\n", "<&>\"'",
         "]]>", "=1+1", "#N/A", "TRUE", "1E5", "\u202ex", "𝒳", "\u00a0"]
    ),
)  # fmt: skip
NUMBER = st.one_of(
    st.integers(-(10**18), 10**18),
    st.integers(10**10, 10**17),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 60_000),
)
MOMENT = st.datetimes(datetime(1904, 1, 2), datetime(2099, 1, 1))  # noqa: DTZ001  # a cell has no zone
VALUE = st.one_of(st.none(), st.booleans(), NUMBER, TEXT, MOMENT)
FORMAT = st.sampled_from(
    ["General", "0", "00000000", "0.00%", "@", "yyyy-mm-dd hh:mm", "[h]:mm", "h:mm AM/PM",
     '"ID "0', "#,##0.00", "0.00E+00", "[$-804]yyyy年m月d日", "d", '[Red]0;"y"0']
)  # fmt: skip
FORMULA = st.sampled_from(["=1+1", '=IF(A1="x",1,0)', '=""', "=A1&B1"])
ERROR = st.sampled_from(["#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"])
CELL = st.tuples(st.one_of(VALUE, FORMULA, ERROR), FORMAT)
ROWS = st.lists(st.lists(CELL, max_size=5), min_size=1, max_size=6)
HIDDEN = st.sets(st.integers(1, 7), max_size=3)
MERGED = st.sampled_from([None, "A2:B3", "C1:E1", "B2:B9", "A3:F3"])


def _is_writable(value: object) -> bool:
    return (
        not isinstance(value, str) or openpyxl.cell.cell.ILLEGAL_CHARACTERS_RE.search(value) is None
    )


@pytest.mark.slow
@FAST
@given(rows=ROWS, hidden=HIDDEN, merged=MERGED, mac=st.booleans())
def test_both_readers_agree_on_what_openpyxl_writes(
    rows: list[list[tuple[Any, str]]], hidden: set[int], merged: str | None, mac: bool,
    tmp_path: Path,
) -> None:  # fmt: skip
    book = openpyxl.Workbook()
    if mac:
        book.epoch = CALENDAR_MAC_1904
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    for number, row in enumerate(rows, start=1):
        for column, (value, number_format) in enumerate(row, start=1):
            if _is_writable(value):
                cell = sheet.cell(number, column, value)
                cell.number_format = number_format
    for number in hidden:
        sheet.row_dimensions[number].hidden = True
    if merged:
        sheet.merge_cells(merged)
    book.save(tmp_path / "a.xlsx")

    agree(tmp_path / "a.xlsx")
    agree_with_openpyxl(tmp_path / "a.xlsx")


@FAST
@given(rows=ROWS, hidden=HIDDEN, merged=MERGED, mac=st.booleans(), inline=st.booleans())
def test_both_readers_agree_on_what_xlsxwriter_writes(
    rows: list[list[tuple[Any, str]]], hidden: set[int], merged: str | None, mac: bool,
    inline: bool, tmp_path: Path,
) -> None:  # fmt: skip
    options = {"date_1904": mac, "constant_memory": inline, "strings_to_urls": False}
    book = xlsxwriter.Workbook(str(tmp_path / "a.xlsx"), options)
    sheet = book.add_worksheet()
    for number, row in enumerate(rows):
        for column, (value, number_format) in enumerate(row):
            sheet.write(number, column, value, book.add_format({"num_format": number_format}))
        if number + 1 in hidden:
            sheet.set_row(number, None, None, {"hidden": True})
    if merged and not inline:
        sheet.merge_range(merged, "merged")
    book.close()

    agree(tmp_path / "a.xlsx")
    agree_with_openpyxl(tmp_path / "a.xlsx")


@pytest.mark.slow
@needs_office
def test_both_readers_agree_on_what_libreoffice_writes(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.append(["activityId", "录课", "=1+1", "=1/0", True, datetime(2027, 3, 1, 8)])  # noqa: DTZ001 - cells have no zone
    sheet.append([1234567890123456, 0.1, time(8, 30), timedelta(hours=30), "_x0041_", " a\nb "])
    sheet.append(["００１", "=NA()", '=""', None, "x", "<&>"])
    sheet["A1"].number_format = "00000000"
    sheet.row_dimensions[2].hidden = True
    sheet.merge_cells("A4:B5")
    sheet["D9"] = CellRichText("a ", TextBlock(InlineFont(b=True), "b"), " c")
    book.save(tmp_path / "a.xlsx")

    path = converted(tmp_path / "a.xlsx", "xlsx")

    agree(path)
    agree_with_openpyxl(path)


# ------------------------------------------------------------------ XML of every make

MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
HEAD: Final = f'<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="{MAIN}">'


def xml_book(path: Path, sheet: str | bytes, strings: str = "") -> Path:
    """A workbook around a worksheet's XML (its rows, or the whole of it) and shared strings."""
    rows = (
        sheet
        if isinstance(sheet, bytes) or sheet.startswith("<?xml")
        else (f"{HEAD}<sheetData>{sheet}</sheetData></worksheet>")
    )
    table = f'<?xml version="1.0"?><sst xmlns="{MAIN}">{strings}</sst>'
    book = xlsxwriter.Workbook(str(path))
    book.add_worksheet("Sheet").write(0, 0, "x")
    book.close()
    with ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    parts["xl/worksheets/sheet1.xml"] = rows if isinstance(rows, bytes) else rows.encode()
    if strings:
        parts["xl/sharedStrings.xml"] = table.encode()
    with ZipFile(path, "w", ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return path


CELL_XML: Final = '<c r="A1"><v>1</v></c>'
ROWS_XML: Final = [
    '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>',
    '<row r="1"><c r="A1" t="inlineStr"><is><t xml:space="preserve"> a </t></is></c></row>',
    '<row r="1"><c r="A1" t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r></is></c></row>',
    '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t><rPh sb="0" eb="1"/></is></c></row>',
    '<row r="1"><c r="A1" t="inlineStr"><is><t><![CDATA[<b>&amp;]]></t></is></c></row>',
    '<row r="1"><c r="A1" t="str"><v>_x0041__x000D_&#10;</v></c></row>',
    '<row r="1"><c r="A1" t="str"><v>a\r\nb\rc&#13;</v></c></row>',
    '<row r="1"><c r="A1" t="str"><v>&#x1F600;&quot;&apos;&lt;</v></c></row>',
    '<row r="1"><c r="A1" t="str"><f>A2</f><v></v></c></row>',
    '<row r="1"><c r="A1" t="str"><f>A2</f></c></row>',
    '<row r="1"><c r="A1"><f>A2</f></c><c r="B1"><f>A2</f><v/></c></row>',
    '<row r="1"><c r="A1"><f t="shared" ref="A1:B1" si="0">B1</f></c></row>',
    '<row r="1"><c r="A1"><f t="shared" si="0"/><v>2</v></c></row>',
    '<row r="1"><c r="A1"><f t="array" ref="A1:B1">C1:D1</f><v>1</v></c></row>',
    '<row r="1"><c r="A1" t="e"><v>#N/A</v></c><c r="B1" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>',
    '<row r="1"><c r="A1" t="b"><v>1</v></c><c r="B1" t="b"><v>0</v></c></row>',
    '<row r="1"><c r="A1" t="d"><v>2027-03-01T08:00:00</v></c></row>',
    '<row r="1"><c r="A1" t="n"><v>12345678901234567</v></c><c r="B1"><v>1E5</v></c></row>',
    '<row r="1"><c r="A1"><v>12345678901234567.0</v></c><c r="B1"><v>-0</v></c></row>',
    '<row r="1"><c r="A1"><v>0.1</v></c><c r="B1"><v>1.0</v></c><c r="C1"><v>1e-7</v></c></row>',
    '<row r="1"><c r="A1"><v> 7 </v></c></row>',
    '<row r="1"><c r="A1"/><c r="B1" s="0"></c><c r="C1"><v></v></c><c r="D1"><v>1</v></c></row>',
    f'<row r="1">{CELL_XML}</row><row r="2"/><row r="3" hidden="1"/><row r="4"><c r="A4"/></row>',
    f'<row>{CELL_XML}</row><row><c><v>2</v></c><c><v>3</v></c></row>',
    '<row r="3"><c r="A3"><v>1</v></c></row><row hidden="true"><c r="A4"><v>2</v></c></row>',
    '<row r="1"><c><v>1</v></c><c r="C1"><v>2</v></c><c><v>3</v></c></row>',
    '<row r="1"><c r="C1"><v>1</v></c><c r="A1"><v>2</v></c></row>',
    f'<!-- a remark --><row r="1">{CELL_XML}<!-- <c r="B1"><v>2</v></c> --></row>',
    f'<row r="1">{CELL_XML}<extLst><ext uri="x"><c r="B1"><v>2</v></c></ext></extLst></row>',
    "<row r='1'><c r='A1'><v>1</v></c></row>",
    '<row\n r="1"\n hidden="1" ><c\tr="A1" ><v>1</v></c ></row >',
    f'<row spans="1:2" r="1" ht="20" hidden="0">{CELL_XML}</row>',
    f'<row r="1" collapsed="1" hidden="1">{CELL_XML}</row>',
    '<row r="1"><c r="A1" cm="1" vm="2" s="0"><v>1</v></c></row>',
    '<row r="1"><c r="IV1"><v>1</v></c><c r="IW1"><v>2</v></c><c r="XFD1"><v>3</v></c></row>',
    '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>',
    '<row r="1"><c r="A1" t="str"><v>１２</v></c></row><row r="1048576"><c r="A1048576"/></row>',
    "",
]  # fmt: skip
STRINGS_XML: Final[dict[str, list[str]]] = {
    "<si><t>a</t></si><si><t>b</t></si>": ["a", "b"],
    '<si><t xml:space="preserve"> a\n</t></si><si><t/></si>': [" a\n"],
    "<si><r><t>a</t></r><r><rPr><b/></rPr><t>b</t></r></si><si><t>c</t></si>": ["ab", "c"],
    '<si><t>漢</t><rPh sb="0" eb="1"><t>かん</t></rPh></si><si><t>_x0042_</t></si>': ["漢", "B"],
    "<si><t>&lt;&amp;&#65;</t></si><si><t><![CDATA[<x>]]></t></si>": ["<&A", "<x>"],
    "<!-- a --><si><t>_x005F_x0041_</t></si>\n<si><t>x005F_</t></si>": ["_x0041_", "x005F_"],
}


@pytest.mark.parametrize("xml", ROWS_XML)
def test_both_readers_agree_on_rows_of_every_make(xml: str, tmp_path: Path) -> None:
    agree(xml_book(tmp_path / "a.xlsx", xml, "<si><t>p</t></si><si><t>q</t></si>"), alone=False)


@pytest.mark.parametrize("strings", STRINGS_XML)
def test_both_readers_agree_on_shared_strings_of_every_make(strings: str, tmp_path: Path) -> None:
    rows = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>'
    path = xml_book(tmp_path / "a.xlsx", rows, strings)

    lines, _ = by_fast_reader(path, "Sheet", alone=False)

    assert [cell for _, cell in lines[1]] == STRINGS_XML[strings]
    agree(path, alone=False)


PLAIN_ROW: Final = '<row r="1"><c r="A1"><v>1</v></c><c r="B1" t="str"><v>课</v></c></row>'
WHOLE: Final = [
    f"{HEAD}<sheetData>{PLAIN_ROW}</sheetData></worksheet>".encode("utf-8-sig"),
    f"{HEAD}<sheetData>{PLAIN_ROW}</sheetData></worksheet>".replace("UTF-8", "UTF-16").encode(
        "utf-16"
    ),
    f'<?xml version="1.0"?><x:worksheet xmlns:x="{MAIN}"><x:sheetData><x:row r="1" hidden="1">'
    '<x:c r="A1"><x:v>1</x:v></x:c></x:row></x:sheetData></x:worksheet>'.encode(),
    f"{HEAD}<sheetData/></worksheet>".encode(),
    f'{HEAD}<sheetData >{PLAIN_ROW}</sheetData ></worksheet>'.encode(),
    f"{HEAD}<sheetData>{PLAIN_ROW}</sheetData><dataValidations><dataValidation type='list' "
    "sqref='1:1005'><formula1>x</formula1></dataValidation></dataValidations>"
    "</worksheet>".encode(),
    f"{HEAD}<!-- <sheetData> --><sheetData>{PLAIN_ROW}</sheetData></worksheet>".encode(),
    f"{HEAD}<sheetData>{PLAIN_ROW}</sheetData><mergeCells count='1'><mergeCell\nref = 'A1:B2' />"
    "</mergeCells></worksheet>".encode(),
]  # fmt: skip


@pytest.mark.parametrize("sheet", WHOLE)
def test_both_readers_agree_on_worksheets_of_every_make(sheet: bytes, tmp_path: Path) -> None:
    path = xml_book(tmp_path / "a.xlsx", sheet)

    agree(path, alone=False)


def test_the_complete_reader_is_not_put_off_by_drop_downs_over_whole_rows(tmp_path: Path) -> None:
    odd = WHOLE[5].replace(b'<c r="A1">', b"<c>")

    assert by_complete_reader(xml_book(tmp_path / "a.xlsx", odd), "Sheet")[0] == {
        1: [(int, 1), (str, "课")]
    }


# ------------------------------------------------------------------ rows held or not

HEADERS: Final = [
    *("activityId", "classId", "courseId", "recordState", "recordType", "liveState", "openState"),
    *("webcastIntroduce", "watchPassword", "学生UID", "上课时间", "课节名称", "useCoMainRecord"),
]
TYPICAL: Final = st.sampled_from(
    ["", " ", "1", "0", "2", "on", "关", "yes", "25096094", "25096095", "25096096", "1152680",
     "88001", "２５０９６０９４", "25096094.0", "2.5E+07", "'25096094", "(clear)", "清空", "#N/A",
     "#REF!", "# remark", "maybe", "高中数学", "x" * 1001, "a\nb", "\u200b", "1,2;3", "1 2 x",
     "TRUE", "2027-03-01 08:00", "08:00", "1234567890123456000", "=1+1", "ab\x07", "00123",
     "ab\u200b", "ab ", "上午8:00", "2027年3月1日 下午8:00"]
)  # fmt: skip
SHEET: Final = st.tuples(
    st.lists(st.sampled_from(HEADERS), min_size=2, max_size=7, unique=True),
    st.lists(st.lists(TYPICAL, max_size=8), max_size=25),
)


def both_ways(path: Path, rules: Any) -> tuple[list[Any], list[Any]]:
    """What is found where all rows are held, and where they are seen block by block."""
    checked = check(loaded(path), WEBCAST, rules)
    with stream(path, endpoint=WEBCAST) as opened:
        validator = Validator(opened.headers, opened.layout.header_row, WEBCAST, rules)
        for block in opened.blocks():
            validator.take(block)
        found = validator.result(opened.issues())
    valid = sum(type(row).__name__ == "Change" for row in checked.rows)
    return (
        [len(checked.rows), valid, list(all_issues(checked))],
        [found.rows, found.valid, list(found.issues)],
    )


RULE: Final = st.builds(
    replace,
    st.just(RULES),
    strict=st.booleans(),
    duplicates=st.sampled_from(["error", "in-order", "last"]),
)


@pytest.mark.slow
@settings(FAST, max_examples=100)
@given(sheet=SHEET, rules=RULE)
def test_validate_and_apply_find_the_same_in_text(
    sheet: tuple[list[str], list[list[str]]], rules: Any, tmp_path: Path
) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([sheet[0], *sheet[1]])
    path = tmp_path / "a.csv"
    path.write_bytes(written.getvalue().encode("utf-8-sig"))

    _agree_if_readable(path, rules)


@FAST
@given(
    headers=st.lists(st.sampled_from(HEADERS), min_size=2, max_size=7, unique=True),
    rows=st.lists(
        st.lists(
            st.one_of(
                TYPICAL.filter(_is_writable),
                st.sampled_from([25096094, 25096095, 1, 0, 0.5, True, False, 10**15, 123456789012]),
                MOMENT, ERROR, FORMULA,
            ),
            max_size=8,
        ),
        max_size=12,
    ),
    hidden=HIDDEN,
    merged=MERGED,
    rules=RULE,
)  # fmt: skip
def test_validate_and_apply_find_the_same_in_workbooks(
    headers: list[str], rows: list[list[Any]], hidden: set[int], merged: str | None, rules: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    book = openpyxl.Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    for row in [headers, *rows]:
        sheet.append(row)
    for number in hidden:
        sheet.row_dimensions[number].hidden = True
    if merged and merged[1] != "1":
        sheet.merge_cells(merged)
    book.save(tmp_path / "a.xlsx")

    _agree_if_readable(tmp_path / "a.xlsx", rules)


def _agree_if_readable(path: Path, rules: Any) -> None:
    try:
        held, seen = both_ways(path, rules)
    except UnreadableSheet as refusal:
        held, seen = [str(refusal)], [_refusal(path)]
    assert held == seen


def _refusal(path: Path) -> str:
    with pytest.raises(UnreadableSheet) as refusal, stream(path, endpoint=WEBCAST) as opened:
        list(opened.blocks())
    return str(refusal.value)


def test_the_complete_reader_knows_of_merged_cells_where_a_row_holds_none() -> None:
    with closing(XlsxParser(SAMPLES / "merged-cells.xlsx")) as book:
        lines = dict(line for line, _ in book.lines("Classes"))

    assert lines[3][1] == FlaggedCell("cell.merged", "", None, {"range": "B2:B3"})
