"""The package of an xlsx workbook, as programs other than Excel put it together."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl
import pytest

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import ReadOptions, previous_results
from bulkcast.loader.workbook import _open
from bulkcast.loader.xlsx_reader import XlsxParser
from bulkcast.model import Layout, ResultRow, RowStatus
from bulkcast.reporter import write_results
from tests.sheets import loaded
from tests.workbook_files import repacked

SHEET = "xl/worksheets/sheet1.xml"
MAIN = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def workbook(path: Path, *more: str) -> Path:
    """A workbook of one row, and a worksheet of explanations for each further name."""
    made = openpyxl.Workbook()
    tab = made.worksheets[0]
    tab.title = "Classes"
    tab.append(["activityId", "customColumn", "recordState"])
    tab.append([25096094, "a", 1])
    for name in more:
        made.create_sheet(name).append(["How to fill in the page before"])
    made.save(path)
    return path


def prefixed(name: str, raw: bytes) -> tuple[str, bytes]:
    """A worksheet as ClosedXML and the Open XML SDK write it."""
    if not name.startswith("xl/worksheets/"):
        return name, raw
    body = raw.replace(b"</", b"\0").replace(b"<", b"<x:").replace(b"\0", b"</x:")
    return name, body.replace(b"xmlns=", b"xmlns:x=")


def with_slashes(name: str, raw: bytes) -> tuple[str, bytes]:
    return name.replace("/", "\\"), raw


def with_slashes_in_targets(name: str, raw: bytes) -> tuple[str, bytes]:
    targets = raw.replace(b"/xl/worksheets/sheet", b"worksheets\\sheet")
    return name.replace("/", "\\"), targets


def in_capitals(name: str, raw: bytes) -> tuple[str, bytes]:
    return ("XL/" + name[3:].upper() if name.startswith("xl/") else name), raw


def as_a_title(name: str, raw: bytes) -> tuple[str, bytes]:
    return name.replace("sheet1.xml", "Sheet1.xml").replace("shared", "Shared"), raw


NAMES = [with_slashes, with_slashes_in_targets, in_capitals, as_a_title]
Change = Callable[[str, bytes], tuple[str, bytes]]


@pytest.mark.parametrize("change", NAMES)
@pytest.mark.parametrize("make", [lambda name, raw: (name, raw), prefixed])
def test_parts_are_found_in_any_letter_case_and_with_either_slash(
    change: Change, make: Change, tmp_path: Path
) -> None:
    path = repacked(repacked(workbook(tmp_path / "a.xlsx"), make), change)

    assert loaded(path).rows[0].cells == (25096094, "a", 1)
    with closing(XlsxParser(path)) as book:
        assert [cells for (_, cells), _ in book.lines("Classes")][1] == (25096094, "a", 1)


@pytest.mark.parametrize("change", NAMES)
def test_a_result_goes_into_the_part_whatever_its_name(change: Change, tmp_path: Path) -> None:
    path = repacked(workbook(tmp_path / "a.xlsx"), change)
    result = ResultRow(2, RowStatus.APPLIED, "1", "", "", 1, "2027-03-01 08:00:00", "r1")
    sheet = loaded(path)

    write_results(
        path, tmp_path / "b.xlsx", Layout("xlsx", 1, "Classes"), sheet.headers, [result],
        existing="refuse",
    )  # fmt: skip

    with ZipFile(path) as old, ZipFile(tmp_path / "b.xlsx") as new:
        assert new.namelist() == old.namelist()
    written = loaded(tmp_path / "b.xlsx")
    assert written.rows[0].cells[:3] == (25096094, "a", 1)
    assert previous_results(written)[2]["status"] == "applied"


def test_two_parts_that_differ_only_in_letter_case_are_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx")
    with ZipFile(path, "a") as packed:
        packed.writestr("xl/worksheets/Sheet1.xml", packed.read(SHEET))

    with pytest.raises(UnreadableSheet, match="two parts of one name"):
        loaded(path)


# ------------------------------------------------------------------ two tables in a worksheet

SECOND = (
    b'<sheetData><row r="3"><c r="A3"><v>25096095</v></c><c r="C3"><v>1</v></c></row></sheetData>'
)


def behind(name: str, raw: bytes) -> tuple[str, bytes]:
    second = SECOND if b"<x:" not in raw else prefixed(name, SECOND)[1]
    end = b"</sheetData>" if b"<x:" not in raw else b"</x:sheetData>"
    return name, raw.replace(end, end + second) if name == SHEET else raw


def before(name: str, raw: bytes) -> tuple[str, bytes]:
    prefix = b"x:" if b"<x:" in raw else b""
    begin = b"<" + prefix + b"sheetData"
    return name, raw.replace(begin, begin + b"/>" + begin, 1) if name == SHEET else raw


@pytest.mark.parametrize("place", [behind, before])
@pytest.mark.parametrize("make", [lambda name, raw: (name, raw), prefixed])
def test_a_worksheet_with_two_tables_is_refused(
    place: Change, make: Change, tmp_path: Path
) -> None:
    path = repacked(repacked(workbook(tmp_path / "a.xlsx"), make), place)

    with pytest.raises(UnreadableSheet, match="its rows stand in two tables"):
        loaded(path)
    with (
        closing(XlsxParser(path)) as book,
        pytest.raises(UnreadableSheet, match="its rows stand in two tables"),
    ):
        list(book.lines("Classes"))


# ------------------------------------------------------------------ worksheets nobody asks for


def test_worksheets_of_an_unusual_make_share_one_reader(
    tmp_path: Path,
) -> None:
    path = repacked(workbook(tmp_path / "a.xlsx", *map(str, range(12))), prefixed)

    with ExitStack() as stack:
        book: Any = _open(path, stack)
        heads = [book.head(tab) for tab, _ in book.tabs]
        list(book.chunks("Classes", set()))

        assert [len(head) for head in heads] == [2, *(1,) * 12]
        assert book.complete() is book.complete()
    assert loaded(path).rows[0].cells == (25096094, "a", 1)


@pytest.mark.parametrize("make", [lambda name, raw: (name, raw), prefixed])
@pytest.mark.parametrize("content", [b"", b"<", b"<worksheet"])
def test_an_unreadable_worksheet_beside_a_sound_one_is_passed_over_with_a_word(
    content: bytes, make: Change, tmp_path: Path
) -> None:
    def emptied(name: str, raw: bytes) -> tuple[str, bytes]:
        return name, content if name == "xl/worksheets/sheet2.xml" else raw

    path = repacked(repacked(workbook(tmp_path / "a.xlsx", "Notes"), make), emptied)

    sheet = loaded(path)
    assert sheet.rows[0].cells == (25096094, "a", 1)
    assert [str(remark) for remark in sheet.remarks] == [
        "What cannot be read in the workbook was passed over: the worksheet 'Notes'."
    ]
    assert not loaded(path, ReadOptions(tab="Classes")).remarks
    with pytest.raises(UnreadableSheet, match="damaged"):
        loaded(path, ReadOptions(tab="Notes"))


def test_an_unreadable_worksheet_that_holds_rows_is_not_passed_over(tmp_path: Path) -> None:
    def cut(name: str, raw: bytes) -> tuple[str, bytes]:
        return name, raw.partition(b"</row>")[0] if name == "xl/worksheets/sheet2.xml" else raw

    path = repacked(workbook(tmp_path / "a.xlsx", "Notes"), cut)

    with pytest.raises(UnreadableSheet, match="'Notes' cannot be read and may hold the rows"):
        loaded(path)
    assert loaded(path, ReadOptions(tab="Classes")).rows[0].cells == (25096094, "a", 1)


def test_a_style_that_openpyxl_rejects_is_no_damage(tmp_path: Path) -> None:
    def odd(name: str, raw: bytes) -> tuple[str, bytes]:
        if name == "xl/styles.xml":
            raw = raw.replace(b"<fonts", b'<fonts odd="1"').replace(b"<b ", b"<b val='odd' ")
            raw = raw.replace(
                b'<patternFill patternType="gray125"', b'<patternFill patternType="?"'
            )
        return name, raw

    path = repacked(repacked(workbook(tmp_path / "a.xlsx"), prefixed), odd)

    with pytest.raises(ValueError, match=r"."):
        openpyxl.load_workbook(path)
    assert loaded(path).rows[0].cells == (25096094, "a", 1)
