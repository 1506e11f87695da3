"""The workbooks among the samples, each with its damage; `make_samples` writes them."""

import io
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import xlsxwriter

_WRITTEN: Final = datetime(2026, 11, 23, tzinfo=UTC).replace(tzinfo=None)
_DAY: Final = datetime(2027, 3, 1)  # noqa: DTZ001  # a cell has no zone
_HEADER: Final = ("activityId", "recordState")

Fill = Callable[[Any, Any], None]


def _workbook(fill: Fill, **options: object) -> bytes:
    """A workbook, the same bytes every time."""
    packed = io.BytesIO()
    book = xlsxwriter.Workbook(packed, {"in_memory": True, "strings_to_formulas": False, **options})
    book.set_properties({"created": _WRITTEN})
    fill(book, book.add_worksheet("Classes"))
    book.close()
    return packed.getvalue()


def _edited(content: bytes, edits: Mapping[str, tuple[str, str]]) -> bytes:
    """The workbook with a text in some of its parts replaced: what XlsxWriter would not write."""
    made = io.BytesIO()
    with ZipFile(io.BytesIO(content)) as source, ZipFile(made, "w", ZIP_DEFLATED) as packed:
        for name in source.namelist():
            part = source.read(name)
            if name in edits:
                old, new = (text.encode() for text in edits[name])
                assert old in part, f"{old!r} is not in {name}"
                part = part.replace(old, new)
            packed.writestr(ZipInfo(name, (2026, 11, 23, 0, 0, 0)), part, ZIP_DEFLATED)
    return made.getvalue()


def _table(*rows: Iterable[object]) -> Fill:
    def fill(_: Any, sheet: Any) -> None:
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)

    return fill


# ------------------------------------------------------------------ ids and other values


def _password_as_number(book: Any, sheet: Any) -> None:
    _table(["activityId", "watchPassword"], [25096094, 123], ["25096095", "0123"])(book, sheet)


def _id_became_date(book: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, _HEADER)
    sheet.write_datetime(1, 0, _DAY, book.add_format({"num_format": "yyyy-mm-dd"}))
    sheet.write(1, 1, 1)


def _leading_zeros_shown(book: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, _HEADER)
    sheet.write_number(1, 0, 96094, book.add_format({"num_format": "00000000"}))
    sheet.write(1, 1, 1)


def _shown_as_something_else(book: Any, sheet: Any) -> None:
    """Percent, a currency, thousands, decimals: the id is what is stored, where it is whole."""
    sheet.write_row(0, 0, _HEADER)
    shown = ((0.5, "0%"), (25096094, '"¥"#,##0'), (25096095.4, "0"), (-25096096, "0;0"))
    for row, (number, number_format) in enumerate(shown, start=1):
        sheet.write_number(row, 0, number, book.add_format({"num_format": number_format}))
        sheet.write(row, 1, 1)


def _start_times(book: Any, sheet: Any) -> None:
    """A date and time, one as text, a day alone, and a time of day without a date."""
    sheet.write_row(0, 0, ["activityId", "上课时间", "云端录课"])
    day, hour = (book.add_format({"num_format": f}) for f in ("yyyy/m/d h:mm", "h:mm"))
    moments = ((46447.3333333333, day), ("2027-03-01 08:00", None), (46447, day), (0.34375, hour))
    for row, (moment, cell_format) in enumerate(moments, start=1):
        sheet.write_row(row, 0, [25096090 + row * 3, None, "开"])
        sheet.write(row, 1, moment, cell_format)


# ------------------------------------------------------------------ formulas


def _formula_never_saved(_: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, [*_HEADER, "note"])
    sheet.write(1, 0, 25096094)
    sheet.write_formula(1, 1, '=IF(C2="yes",1,0)')
    sheet.write(1, 2, "yes")


def _formula_errors(_: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, _HEADER)
    sheet.write_formula(1, 0, "=VLOOKUP(9,C:D,2,0)", value="#N/A")
    sheet.write(1, 1, 1)


_ERRORS: Final = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A")


def _error_cells(_: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, _HEADER)
    for row, error in enumerate(_ERRORS, start=1):
        sheet.write(row, 0, 25096094 + 3 * row)
        sheet.write_formula(row, 1, "=Z9", value=error)


def _formula_saved(_: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, _HEADER)
    sheet.write_formula(1, 0, "=25096000+94", value=25096094)
    sheet.write_formula(1, 1, '=IF(TRUE,"开","关")', value="开")


# ------------------------------------------------------------------ merged, hidden, elsewhere


def _merged_cells(book: Any, sheet: Any) -> None:
    _table(_HEADER, [25096094, "on"], [25096095])(book, sheet)
    sheet.merge_range("B2:B3", "on")


def _merged_title(book: Any, sheet: Any) -> None:
    """A title over the header and a remark among the rows, each merged over the table."""
    _table([], _HEADER, [25096094, "on"], [], [25096099, "off"])(book, sheet)
    sheet.merge_range("A1:B1", "# Autumn term")
    sheet.merge_range("A4:B4", "# from here on: grade 11")


def _hidden_rows(book: Any, sheet: Any) -> None:
    rows = [[25096094 + n, "on"] for n in range(4)]
    _table(["activityId", "cloud recording"], *rows)(book, sheet)
    for number in (2, 3):
        sheet.set_row(number, None, None, {"hidden": True})


def _filtered_rows(book: Any, sheet: Any) -> None:
    _table(["activityId", "录课", "grade"], [25096094, 1, "10"], [25096099, 1, "11"])(book, sheet)
    sheet.autofilter("A1:C3")
    sheet.filter_column("C", 'x == "10"')
    sheet.set_row(2, None, None, {"hidden": True})


def _hidden_columns(book: Any, sheet: Any) -> None:
    """A hidden column counts like any other."""
    _table([*_HEADER, "watchPassword"], [25096094, 1, 4711])(book, sheet)
    sheet.set_column("C:C", None, None, {"hidden": True})


def _two_sheets(book: Any, sheet: Any) -> None:
    for each in (sheet, book.add_worksheet("Classes (2)")):
        _table(_HEADER, [25096094, 1])(book, each)


def _hidden_sheets(book: Any, sheet: Any) -> None:
    _table(_HEADER, [25096094, 1])(book, sheet)
    for name in ("last term", "_lists"):
        other = book.add_worksheet(name)
        _table(_HEADER, [25096094, 0])(book, other)
        (other.hide if name == "last term" else other.very_hidden)()


def _instructions_first(book: Any, sheet: Any) -> None:
    _table(["How to fill in this workbook"], ["recordState", "录课 means recording"])(book, sheet)
    _table(["课堂ID *", "云端录课"], ["1152680", "开"])(book, book.add_worksheet("课节"))


def _rich_texts(book: Any, sheet: Any) -> None:
    """Texts of several fonts: the whole of each is read."""
    bold = book.add_format({"bold": True})
    sheet.write_row(0, 0, ["activityId", "直播介绍"])
    sheet.write(1, 0, 25096094)
    sheet.write_rich_string(1, 1, "高中", bold, "数学", " 第一课")


def _far_cell(book: Any, sheet: Any) -> None:
    """Somebody's stray key press, far off; and formats down to the last row."""
    _table(_HEADER, [25096094, 1])(book, sheet)
    sheet.write("XFD3", "x")
    sheet.write_blank(99_999, 0, None, book.add_format({"num_format": "@"}))


_FILLS: Final[Mapping[str, Fill]] = {
    "dates-and-times.xlsx": _start_times,
    "error-cells.xlsx": _error_cells,
    "filtered-rows.xlsx": _filtered_rows,
    "formula-errors.xlsx": _formula_errors,
    "formula-never-saved.xlsx": _formula_never_saved,
    "formula-saved.xlsx": _formula_saved,
    "header-in-row-3.xlsx": _table(
        ["2027 春季学期 网络直播设置"], ["请勿删除表头"], ["课堂ID", "云端录课"], ["1152680", "开"]
    ),
    "hidden-columns.xlsx": _hidden_columns,
    "hidden-rows.xlsx": _hidden_rows,
    "hidden-sheets.xlsx": _hidden_sheets,
    "id-became-date.xlsx": _id_became_date,
    "id-rounded-to-15-digits.xlsx": _table(_HEADER, [1234567890123456789, 1]),
    "id-shown-as-something-else.xlsx": _shown_as_something_else,
    "id-shown-shortened.xlsx": _table(_HEADER, [123456789012, 1], [123456789012345, 1]),
    "instructions-first.xlsx": _instructions_first,
    "leading-zeros-shown.xlsx": _leading_zeros_shown,
    "merged-cells.xlsx": _merged_cells,
    "merged-title.xlsx": _merged_title,
    "password-as-number.xlsx": _password_as_number,
    "rich-texts.xlsx": _rich_texts,
    "stray-cell-far-off.xlsx": _far_cell,
    "truth-values.xlsx": _table(
        [*_HEADER, "customColumn"], [True, True, "x"], [25096094, False, True]
    ),
    "two-sheets.xlsx": _two_sheets,
}

_SHEET: Final = "xl/worksheets/sheet1.xml"
_MAIN: Final = "schemas.openxmlformats.org/spreadsheetml/2006/main"


def books() -> dict[str, bytes]:
    """Name → bytes of every workbook."""
    made = {name: _workbook(fill) for name, fill in _FILLS.items()}
    return {
        **made,
        **_oddly_made(made),
        "cut-off.xlsx": made["two-sheets.xlsx"][:1500],
        "workbook-named-csv.csv": made["formula-saved.xlsx"],
    }


def _oddly_made(made: Mapping[str, bytes]) -> dict[str, bytes]:
    """Workbooks as other programs than Excel write them."""
    unsaved = _edited(
        made["formula-saved.xlsx"],
        {_SHEET: ("<v>25096094</v>", ""), "xl/workbook.xml": (' fullCalcOnLoad="1"', "")},
    )
    strict = _edited(
        made["formula-saved.xlsx"],
        {"xl/workbook.xml": (_MAIN, "purl.oclc.org/ooxml/spreadsheetml/main")},
    )
    bare = _edited(made["header-in-row-3.xlsx"], {_SHEET: ('<c r="B4"', "<c")})
    return {
        "dates-counted-from-1904.xlsx": _workbook(_start_times, date_1904=True),
        "formula-without-a-value.xlsx": unsaved,
        "strict-open-xml.xlsx": strict,
        "cells-without-a-place.xlsx": bare,
    }
