"""The XML of a worksheet, as it is read for patching."""

import io
from html import escape

from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils import column_index_from_string

from bulkcast.model import column_letters
from bulkcast.reporter.worksheet_xml import RowStream


class Drip(io.BytesIO):
    """A file that gives a few bytes at a time."""

    step = 1

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.step)


@given(st.integers(1, 40), st.lists(st.text("<>&a课", max_size=9), min_size=1, max_size=4))
def test_rows_are_cut_alike_wherever_the_chunks_end(step: int, cells: list[str]) -> None:
    row = "".join(f"<c><is><t>{escape(text) * 60}</t></is></c>" for text in cells)
    head, tail = '<worksheet><sheetData a="1">', "</sheetData><pageMargins/></worksheet>"
    file = Drip(f"{head}\n<row r='3'>{row}</row> <row/><row >{row}</row>{tail}".encode())
    file.step = step

    stream = RowStream(file)
    rows = list(stream.rows())

    assert [(r.number, r.body.decode()) for r in rows] == [(3, row), (4, ""), (5, row)]
    assert (stream.head.decode(), stream.tail.decode()) == (head, tail)
    assert [c.column for c in stream.grammar.cells(rows[0])] == list(range(len(cells)))


@given(st.integers(0, 16_383))
def test_column_letters_and_indexes_are_inverse(index: int) -> None:
    assert column_index_from_string(column_letters(index)) == index + 1
