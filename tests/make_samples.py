"""The small faulty sheets of `samples/`, each named by what is wrong with it.

`python tests/make_samples.py` writes them anew; `test_samples.py` says what must come of each.
"""

import io
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xlsxwriter

SAMPLES = Path(__file__).parent.parent / "samples"
_WRITTEN = datetime(2026, 11, 23, tzinfo=UTC).replace(tzinfo=None)

Fill = Callable[[Any, Any], None]


def _workbook(fill: Fill) -> bytes:
    """A workbook, the same bytes every time."""
    packed = io.BytesIO()
    book = xlsxwriter.Workbook(packed, {"in_memory": True, "strings_to_formulas": False})
    book.set_properties({"created": _WRITTEN})
    fill(book, book.add_worksheet("Classes"))
    book.close()
    return packed.getvalue()


def _table(*rows: Iterable[object]) -> Fill:
    def fill(_: Any, sheet: Any) -> None:
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)

    return fill


def _password_as_number(book: Any, sheet: Any) -> None:
    _table(["activityId", "watchPassword"], [25096094, 123], ["25096095", "0123"])(book, sheet)


def _id_became_date(book: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, ["activityId", "recordState"])
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_datetime(1, 0, datetime(2027, 3, 1), day)  # noqa: DTZ001  # a cell has no zone
    sheet.write(1, 1, 1)


def _leading_zeros_shown(book: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, ["activityId", "recordState"])
    sheet.write_number(1, 0, 96094, book.add_format({"num_format": "00000000"}))
    sheet.write(1, 1, 1)


def _formula_never_saved(_: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, ["activityId", "recordState", "note"])
    sheet.write(1, 0, 25096094)
    sheet.write_formula(1, 1, '=IF(C2="yes",1,0)')
    sheet.write(1, 2, "yes")


def _formula_errors(_: Any, sheet: Any) -> None:
    sheet.write_row(0, 0, ["activityId", "recordState"])
    sheet.write_formula(1, 0, "=VLOOKUP(9,C:D,2,0)", value="#N/A")
    sheet.write(1, 1, 1)


def _merged_cells(book: Any, sheet: Any) -> None:
    _table(["activityId", "recordState"], [25096094, "on"], [25096095])(book, sheet)
    sheet.merge_range("B2:B3", "on")


def _hidden_rows(book: Any, sheet: Any) -> None:
    rows = [[25096094 + n, "on"] for n in range(4)]
    _table(["activityId", "cloud recording"], *rows)(book, sheet)
    for number in (2, 3):
        sheet.set_row(number, None, None, {"hidden": True})


def _two_sheets(book: Any, sheet: Any) -> None:
    for each in (sheet, book.add_worksheet("Classes (2)")):
        _table(["activityId", "recordState"], [25096094, 1])(book, each)


def _instructions_first(book: Any, sheet: Any) -> None:
    _table(["How to fill in this workbook"], ["recordState", "录课 means recording"])(book, sheet)
    _table(["课堂ID *", "云端录课"], ["1152680", "开"])(book, book.add_worksheet("课节"))


_WORKBOOKS: dict[str, Fill] = {
    "password-as-number.xlsx": _password_as_number,
    "id-rounded-to-15-digits.xlsx": _table(["activityId", "recordState"], [1234567890123456789, 1]),
    "id-became-date.xlsx": _id_became_date,
    "leading-zeros-shown.xlsx": _leading_zeros_shown,
    "formula-never-saved.xlsx": _formula_never_saved,
    "formula-errors.xlsx": _formula_errors,
    "merged-cells.xlsx": _merged_cells,
    "hidden-rows.xlsx": _hidden_rows,
    "two-sheets.xlsx": _two_sheets,
    "instructions-first.xlsx": _instructions_first,
}

_FOUR = "recordState,recordType,liveState,openState"
_TEXTS: dict[str, str] = {
    "id-in-scientific-notation.csv": "activityId,recordState\n2.50961E+07,1\n1.2e8,1\n",
    "ids-dressed-up.csv": (
        "activityId,recordState\n"
        '１２３,1\n120034567.0,1\n"120,034,568",1\n\'120034569,1\n\u00a0120034570\u200b,1\n'
        '"=""120034571""",1\nID:120034572,1\n00120034573,1\n'
    ),
    "two-columns-for-one-setting.csv": "activityId,recordState,云端录课\n25096094,1,0\n",
    "near-miss-header.csv": "activityId,recrodState\n25096094,1\n",
    "ambiguous-class-id.csv": "Class ID,recordState\n1152680,1\n",
    "no-header.csv": "25096094,1\n25096095,0\n",
    "no-classroom-column.csv": "teacher,recordState\nLi,1\n",
    "no-setting-column.csv": "activityId,teacher\n25096094,Li\n",
    "semicolons.csv": "activityId;recordState\n25096094;1\n",
    "unclosed-quote.csv": 'activityId,customColumn\n1,a\n2,"b\n3,c\n4,d\n',
    "quote-in-the-middle.csv": 'activityId,customColumn\n1,"a"b\n',
    "unquoted-comma.csv": "activityId,customColumn\n25096094,a,b\n",
    "duplicate-classrooms.csv": (
        "activityId,classId,recordState\n25096094,,1\n25096094,,0\n25096095,,1\n25096095,,1\n"
        "25096096,1152680,1\n,1152680,0\n"
    ),
    "live-without-recording.csv": (
        f"activityId,{_FOUR},useCoMainRecord\n1,0,0,1,0,\n2,0,0,0,1,\n3,0,1,0,0,\n4,1,0,0,0,1\n"
        "5,1,,,,\n"
    ),
    "restricted-without-login.csv": (
        "activityId,watchByLogin,liveAndPlaybackUserState\n25096094,0,1\n25096095,1,1\n"
    ),
    "nothing-to-set.csv": "activityId,recordState\n25096094,\n25096095,1\n",
    "no-id-in-a-row.csv": "activityId,recordState\n25096094,1\n,1\n",
    "both-ids.csv": "activityId,classId,recordState\n25096094,1152680,1\n",
    "words-that-are-no-choice.csv": "activityId,recordState\n1,maybe\n2,2\n",
    "clear-a-switch.csv": "activityId,recordState,webcastIntroduce\n1,(clear),清空\n",
    "texts-too-long.csv": (
        f"activityId,webcastIntroduce,customColumn\n1,{'课' * 1001},{'x' * 51}\n2,{'课' * 341},\n"
    ),
    "invisible-characters-in-password.csv": "activityId,watchPassword\n1,ab\x07cd\n",
    "student-ids.csv": (
        'activityId,watchByLogin,学生UID\n1,1,"1001001，1001002；1001001"\n2,1,1001001 Li\n'
        "3,1,1.00E+06\n"
    ),
    "start-time-without-a-date.csv": "activityId,上课时间,recordState\n1,08:00,1\n2,3/1/2027,1\n",
    "error-words.csv": "activityId,recordState\n#N/A,1\n25096094,#REF!\n",
    "title-and-remarks.csv": (
        "Autumn term\n\n课堂ID,录课,teacher\n# an example,,\n1152680,开,Li\n\n1152681,关,Wang\n"
    ),
    "not-a-workbook.xlsx": "activityId,recordState\n25096094,1\n",
}

_BYTES: dict[str, bytes] = {
    "gb18030.csv": "课堂ID,云端录课,直播介绍\n1152680,开,高中数学\n".encode("gb18030"),
    "utf-16.tsv": "课堂ID\t云端录课\t直播介绍\n1152680\t开\t高中数学\n".encode("utf-16"),
    "with-a-mark.csv": "activityId,直播介绍\n25096094,高中数学\n".encode("utf-8-sig"),
    "with-a-password.xlsx": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le")
    ),
    "old-kind.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
    "empty.csv": b"",
}


def files() -> dict[str, bytes]:
    """Name → bytes of every sample."""
    made = {name: _workbook(fill) for name, fill in _WORKBOOKS.items()}
    texts = {name: text.encode() for name, text in _TEXTS.items()}
    cut_off = {"cut-off.xlsx": made["two-sheets.xlsx"][:1500]}
    return {**made, **texts, **_BYTES, **cut_off}


if __name__ == "__main__":
    for sample, content in files().items():
        (SAMPLES / sample).write_bytes(content)
