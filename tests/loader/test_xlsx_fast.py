"""The fast reader of worksheets takes cells of every plain make, just as openpyxl takes them."""

from collections.abc import Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcast import ooxml
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import xlsx_fast, xlsx_reader
from bulkcast.loader.xlsx_fast import UnsupportedMarkup
from bulkcast.loader.xlsx_reader import StoredValues
from bulkcast.model import Cell
from tests.workbook_files import plain, repacked

SHEET = "xl/worksheets/sheet1.xml"
TEXT = st.sampled_from(["", "1", "25", "a b", ' t="inlineStr"', "&lt;c&gt;", "#N/A", "_x0041_"])


def _inline(text: str) -> str:
    return f'<is><t xml:space="preserve">{text}</t></is>'


CONTENT = st.one_of(
    TEXT.map(lambda text: f' t="inlineStr">{_inline(text)}</c>'),
    TEXT.map(lambda text: f' s="0" t="inlineStr"><is><t>{text}</t></is></c>'),
    TEXT.map(lambda text: f' t="str"><v>{text}</v></c>'),
    st.sampled_from(
        ["/>", "></c>", ' s="0"/>', " ><v/></c>", "><f>1+1</f><v>2</v></c>", ' t="b"><v>1</v></c>',
         ' t="e"><v>#REF!</v></c>', '><is><t>12</t></is></c>', "><v>3.5</v></c>"]
    ),
)  # fmt: skip
CELLS = st.lists(st.tuples(st.booleans(), st.integers(0, 2), CONTENT), max_size=6)


def _row(cells: list[tuple[bool, int, str]]) -> str:
    """A row whose cells say where they stand, or only stand there, some with a gap before them."""
    xml, column = "", 0
    for is_named, gap, rest in cells:
        column += 1 + (gap if is_named else 0)
        place = f' r="{chr(64 + column)}1"' if is_named else ""
        xml += f"<c{place}{rest}"
    return f"<row>{xml}</row>"


def _book(path: Path, rows: str) -> Path:
    def fill(name: str, raw: bytes) -> tuple[str, bytes]:
        head, _, rest = raw.partition(b"<sheetData>")
        body = b"<sheetData>" + rows.encode() + b"</sheetData>"
        return name, head + body + rest.partition(b"</sheetData>")[2] if name == SHEET else raw

    return repacked(plain(path, []), fill)


def _scanned(path: Path) -> list[list[Cell]]:
    with ZipFile(path) as packed, packed.open(SHEET) as part:
        found = xlsx_fast.chunks(
            part, StoredValues(ooxml.read_package(packed), ()), xlsx_fast.ScanState(set())
        )
        return [_trimmed(row) for row in chain.from_iterable(rows for _, rows in found)]


def _by_complete_reader(path: Path) -> list[list[Cell]]:
    with closing(xlsx_reader.XlsxParser(path)) as book:
        return [_trimmed(cells) for (_, cells), _ in book.lines("Classes")]


def _trimmed(row: Sequence[Cell]) -> list[Cell]:
    """The row without the blanks at its end; an empty text is a blank to everyone."""
    cells = [None if cell == "" else cell for cell in row]
    while cells and cells[-1] is None:
        cells.pop()
    return cells


@given(st.lists(CELLS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_cells_of_every_plain_make_are_read_as_the_complete_reader_reads_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[bool, int, str]]]
) -> None:
    path = _book(tmp_path_factory.mktemp("scan") / "a.xlsx", "".join(map(_row, rows)))

    scanned, complete = _scanned(path), _by_complete_reader(path)

    assert scanned == complete
    assert [list(map(type, row)) for row in scanned] == [list(map(type, row)) for row in complete]


@pytest.mark.parametrize(
    "row",
    [
        '<c r="A1" t="inlineStr"><is><t>a</v></c>',
        '<c r="A1"><v>1</t></is></c>',
        '<c s="0" r="C1"/><c><v>1</v></c>',
        '<c><v>1</v></c><c s="0" r="C1"><v>1</v></c>',
        '<c r="A1" t="inlineStr"><is><t>a</t><t>b</t></is></c>',
        '<c r="A1" t="inlineStr"><is><r><t>a</t></r></is></c>',
        '<c r="A1"><v>1</v></c><is></is><c r="B1" t="inlineStr"><is><t>b</t></is></c>',
        "<c/>" * 16_384 + "<c><v>1</v></c>",
    ],
)
def test_what_is_made_otherwise_is_left_to_a_full_parser(row: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMarkup):
        _scanned(_book(tmp_path / "a.xlsx", f"<row>{row}</row>"))


@pytest.mark.parametrize(
    "row",
    [
        '<c r="A1"><v>1</v></c><c r="B1"><v>1</v></c><c r="B1"><v>0</v></c>',
        '<c r="A1"><v>1</v></c><c r="A1"><v>1</v></c>',
        '<c r="A1"><v>1</v></c><c r="B1" t="str"><v></v></c><c r="A1"><v>2</v></c>',
    ],
)
def test_a_cell_that_stands_there_twice_is_never_chosen_from(row: str, tmp_path: Path) -> None:
    first = '<row r="1"><c r="A1"><v>1</v></c><c r="B1"><v>1</v></c></row>'
    path = _book(tmp_path / "a.xlsx", first + f'<row r="2">{row}</row>')

    with pytest.raises(UnreadableSheet, match=r"the cell [AB]2 stands in it twice"):
        _scanned(path)
