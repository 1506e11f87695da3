"""Results of kinds that cannot be written back: a new xlsx with the cells and the outcome."""

import datetime as dt
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.utils.escape import unescape

from bulkcast import loader
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.model import FlaggedCell, Layout, ResultRow, RowStatus
from bulkcast.reporter import Written, default_name, write_results
from bulkcast.reporter.result_columns import FIELDS, title
from tests.workbook_files import converted, needs_office

HEADERS = ["", "活动ID", "Web live", "观看密码", "when"]
WHEN = dt.datetime.fromisoformat("2027-03-01 08:30")
ROWS: list[list[Any]] = [
    [None, "25096094", "On", "0123", WHEN],
    [None, 25096095, "Off", 123, "=1+1 is no formula"],
    [None, 1234567890123456789, "Off", "_x0041_", dt.date(2027, 3, 2)],
]


def result(row: int, status: RowStatus = RowStatus.APPLIED, message: str = "") -> ResultRow:
    return ResultRow(row, status, "1", message, "", 2, "2027-03-01 08:00:00", "r1")


@pytest.fixture(scope="module", params=["ods", "xls"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sheet that begins in B2, as LibreOffice saves it."""
    if shutil.which("soffice") is None:
        pytest.skip("soffice is not installed")
    path = tmp_path_factory.mktemp(str(request.param)) / "term.xlsx"
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Classes"
    lines: list[list[Any]] = [[], HEADERS, *ROWS]
    for number, row in enumerate(lines, start=1):
        for column, value in enumerate(row, start=1):
            cell = sheet.cell(number, column)
            cell.value = value
            if str(value).startswith("="):
                cell.data_type = "s"
    book.create_sheet("Other")
    book.save(path)
    return converted(path, str(request.param))


def write(source: Path, target: Path, *results: ResultRow) -> Written:
    layout = Layout(source.suffix[1:], 2, "Classes")
    cells = loader.grid(source, layout)
    return write_results(source, target, layout, HEADERS, results, existing="refuse", cells=cells)


@pytest.mark.slow
def test_cells_keep_their_places_and_kinds_and_seven_columns_follow(
    source: Path, tmp_path: Path
) -> None:
    messages = [result(3), result(4), result(5, RowStatus.INVALID, "[活动ID] =bad")]

    written = write(source, tmp_path / "o.xlsx", *messages)

    sheet = load_workbook(written.path)["Classes"]
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert rows[1] == [None, *HEADERS[1:], *(title(field) for field in FIELDS)]
    assert rows[2] == [
        None, "25096094", "On", "0123", WHEN,
        "applied", "1", None, None, 2, "2027-03-01 08:00:00", "r1",
    ]  # fmt: skip
    assert rows[3][1:5] == ROWS[1][1:]
    assert unescape(str(rows[4][3])) == "_x0041_"
    assert rows[4][5:8] == ["invalid", "1", "[活动ID] =bad"]
    assert sheet["E4"].data_type == "s"
    (remark,) = map(str, written.remarks)
    assert source.suffix in remark


def test_a_damaged_id_still_shows_when_the_result_is_handed_in_again(
    source: Path, tmp_path: Path
) -> None:
    written = write(source, tmp_path / "o.xlsx", result(3), result(4), result(5))

    again = loader.read(written.path, endpoint=WEBCAST)

    damaged = again.rows[2].cells[1]
    assert isinstance(damaged, float | FlaggedCell)
    assert again.rows[1].cells[3] == 123
    assert loader.previous_results(again)[4]["attempts"] == "2"


@pytest.mark.slow
@needs_office
def test_a_spreadsheet_program_finds_no_formula_in_it(source: Path, tmp_path: Path) -> None:
    messages = [result(n, RowStatus.REJECTED, "=HYPERLINK(1)") for n in (3, 4, 5)]
    written = write(source, tmp_path / "o.xlsx", *messages)

    seen = converted(written.path, "fods").read_text("utf-8")

    assert "=HYPERLINK(1)" in seen
    assert "table:formula" not in seen


def test_a_row_that_is_gone_since_the_check_is_one_sentence(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableSheet, match="row 9"):
        write(source, tmp_path / "o.xlsx", result(9))

    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "term.ods"
    source.write_bytes(b"PK\x03\x04 no spreadsheet")

    with pytest.raises(UnreadableSheet, match=r"term\.ods is cut off or damaged"):
        write(source, tmp_path / "o.xlsx", result(3))


def test_only_a_workbook_takes_the_results(tmp_path: Path) -> None:
    source = tmp_path / "term.ods"
    source.write_bytes(b"")

    with pytest.raises(CannotStart, match=r"use \.xlsx"):
        write_results(
            source, tmp_path / "o.ods", Layout("ods", 2, "Classes"), HEADERS, [], existing="refuse"
        )
    assert default_name(source, "r1").name == "term.results-r1.xlsx"


_HAND_BACK = """
import sys
from pathlib import Path
from bulkcast import loader, reporter
from bulkcast.model import Layout
source, target = map(Path, sys.argv[1:])
reporter.write_results(
    source, target, Layout(source.suffix[1:], 2, "Classes"), ("", "a"), [], existing="refuse",
    cells=loader.grid(source, Layout(source.suffix[1:], 2, "Classes")),
)
print(sorted({"python_calamine", "xlrd"} & set(sys.modules)))
"""


def test_no_parser_that_a_file_can_crash_is_loaded_to_hand_it_back(
    source: Path, tmp_path: Path
) -> None:
    argv = (sys.executable, "-c", _HAND_BACK, str(source), str(tmp_path / "o.xlsx"))

    done = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
    assert load_workbook(tmp_path / "o.xlsx")["Classes"]["D3"].value == "0123"


@pytest.mark.slow
@needs_office
def test_columns_far_to_the_right_come_back(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["activityId", "recordState"])
    sheet.append(["25096094", 1])
    sheet.cell(2, 400).value = "far off"
    sheet.cell(9, 2).value = None
    book.save(tmp_path / "term.xlsx")
    source = converted(tmp_path / "term.xlsx", "ods")

    cells = loader.grid(source, Layout("ods", 1, "Sheet"))
    written = write_results(
        source, tmp_path / "o.xlsx", Layout("ods", 1, "Sheet"), ("activityId", "recordState"),
        [result(2)], existing="refuse", cells=cells,
    )  # fmt: skip

    assert load_workbook(written.path)["Sheet"].cell(2, 400).value == "far off"


def test_a_new_workbook_has_a_filter_and_wraps_long_messages(source: Path, tmp_path: Path) -> None:
    long = "这一行没有写明课堂。" * 12
    told = [result(3), result(4, RowStatus.INVALID, long), result(5)]

    sheet = load_workbook(write(source, tmp_path / "o.xlsx", *told).path)["Classes"]

    assert sheet.auto_filter.ref == "A2:L5"
    assert sheet["H4"].alignment.wrap_text
    assert not sheet["D4"].alignment.wrap_text
    assert float(sheet.row_dimensions[4].height or 0) >= 4 * 15
    assert float(sheet.row_dimensions[5].height or 15) == 15


def test_the_headers_of_results_are_explained_in_chinese_and_stay_what_they_are(
    source: Path, tmp_path: Path
) -> None:
    layout = Layout(source.suffix[1:], 2, "Classes")
    cells = loader.grid(source, layout)
    told = [result(n) for n in (3, 4, 5)]

    written = {
        lang: write_results(
            source, tmp_path / f"{lang}.xlsx", layout, HEADERS, told,
            existing="refuse", cells=cells, lang=lang,
        )
        for lang in ("en", "zh")
    }  # fmt: skip

    chinese = load_workbook(written["zh"].path)["Classes"]
    assert [chinese.cell(2, n).value for n in range(6, 13)] == [title(field) for field in FIELDS]
    notes = [chinese.cell(2, n).comment for n in range(6, 13)]
    assert [note.text for note in notes if note] == [
        "状态", "代码", "说明", "处理办法", "发送次数", "时间", "批次",
    ]  # fmt: skip
    assert load_workbook(written["en"].path)["Classes"]["F2"].comment is None
    again = loader.previous_results(loader.read(written["zh"].path, endpoint=WEBCAST))
    assert again[4]["status"] == "applied"
