"""Dates in the number formats of East Asian programs are dates, whichever reader meets them."""

import struct
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.loader.xlsx_reader import XlsxParser
from bulkcast.model import Cell
from bulkcast.validator import check
from tests.sheets import RULES, SHANGHAI, changed, codes, loaded
from tests.workbook_files import converted, needs_office

DAY = datetime(2026, 3, 1)  # noqa: DTZ001  # a cell has no zone
STYLES = "xl/styles.xml"
FORMATS = (
    *(("", number) for number in (27, 30, 31, 36, 50, 54, 57, 58)),
    *(
        (code, 176)
        for code in (
            "[$-804]aaaa", "aaa", "e年", "e&quot;年&quot;m&quot;月&quot;", "[$-411]ggge",
            "[DBNum1][$-804]yyyy", "[=0]&quot;&quot;;yyyy/m/d",
        )
    ),
)  # fmt: skip


HEADERS = ("activityId", "customColumn", "recordState")


def workbook(
    path: Path,
    code: str,
    number: int,
    headers: Sequence[str] = HEADERS,
    cells: Sequence[float] = (46082, 46082, 1),
) -> Path:
    """A workbook with 46082 as an id and as a text, each in the format."""
    made = openpyxl.Workbook()
    tab = made.worksheets[0]
    tab.append(list(headers))
    tab.append(list(cells))
    for cell in tab[2]:
        # A switch and an id of this classroom are no dates.
        if cell.value not in {1, 25096094}:
            cell.number_format = "0.0000"
    made.save(path)
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    styles = parts[STYLES].decode()
    own = f'<numFmt numFmtId="{number}" formatCode="{code}"/>' if code else ""
    start, end = styles.index("<numFmts"), styles.index("</numFmts>")
    old_number = styles[start:end].partition('numFmtId="')[2].partition('"')[0]
    written = f"<numFmts>{own}" if own else "<numFmts>"
    rest = styles[end:].replace(f'numFmtId="{old_number}"', f'numFmtId="{number}"')
    parts[STYLES] = (styles[:start] + written + rest).encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, raw in parts.items():
            new.writestr(name, raw)
    return path


def scanned(path: Path) -> Cell:
    return loaded(path).rows[0].cells[0]


def referred(path: Path) -> Cell:
    with closing(XlsxParser(path)) as book:
        return list(book.lines("Sheet"))[1][0][1][0]


@pytest.mark.parametrize("reader", [scanned, referred])
@pytest.mark.parametrize(("code", "number"), FORMATS)
def test_they_are_dates(
    code: str, number: int, reader: Callable[[Path], Cell], tmp_path: Path
) -> None:
    assert reader(workbook(tmp_path / "a.xlsx", code, number)) == DAY


@pytest.mark.parametrize("reader", [scanned, referred])
@pytest.mark.parametrize("code", ["0", "General", "0.00E+00", "0&quot;年&quot;"])
def test_a_format_that_the_file_spells_out_counts_and_not_its_number(
    code: str, reader: Callable[[Path], Cell], tmp_path: Path
) -> None:
    assert reader(workbook(tmp_path / "a.xlsx", code, 31)) == 46082


def test_such_a_date_is_never_sent_as_an_id(tmp_path: Path) -> None:
    found = check(loaded(workbook(tmp_path / "a.xlsx", "", 58)), WEBCAST, RULES)

    assert "id.became_date" in codes(found)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("studentUids", "id.became_date"),
        ("customColumn", "cell.not_a_text"),
        ("watchPassword", "cell.not_a_text"),
    ],
)
@pytest.mark.parametrize(("code", "number"), FORMATS)
def test_such_a_date_is_never_sent_as_a_uid_or_a_text(
    header: str, problem: str, code: str, number: int, tmp_path: Path
) -> None:
    path = workbook(
        tmp_path / "a.xlsx", code, number, ("activityId", "recordState", header),
        (25096094, 1, 46082),
    )  # fmt: skip

    assert problem in codes(check(loaded(path), WEBCAST, RULES))


@pytest.mark.parametrize(("code", "number"), FORMATS)
def test_such_a_date_is_the_start_of_a_lesson(code: str, number: int, tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx", code, number, ("activityId", "recordState", "startTime"),
        (25096094, 1, 46447.375),
    )  # fmt: skip

    (row,) = check(loaded(path), WEBCAST, RULES).rows

    assert changed(row).starts_at == int(datetime(2027, 3, 1, 9, tzinfo=SHANGHAI).timestamp())


@pytest.mark.slow
@needs_office
def test_such_a_date_in_an_xls_is_one(tmp_path: Path) -> None:
    path = converted(workbook(tmp_path / "a.xlsx", "0.0000", 176), "xls")
    raw = path.read_bytes()
    # FORMAT and XF of MS-XLS: 2.4.126 and 2.4.353; the id behind the length, and behind the font.
    (own,) = {
        struct.unpack_from("<H", raw, at + 4)[0]
        for at in range(len(raw) - 16)
        if raw[at : at + 2] == b"\x1e\x04" and raw[at + 9 : at + 15] == b"0.0000"
    }
    for at in range(len(raw) - 24):
        if raw[at : at + 4] == b"\xe0\0\x14\0" and raw[at + 6 : at + 8] == struct.pack("<H", own):
            raw = raw[: at + 6] + struct.pack("<H", 58) + raw[at + 8 :]
    path.write_bytes(raw)

    sheet = loaded(path)

    assert sheet.rows[0].cells == (DAY, DAY, 1)
    assert "id.became_date" in codes(check(sheet, WEBCAST, RULES))
