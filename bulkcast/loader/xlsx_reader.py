"""The reference reader of xlsx workbooks: rows by openpyxl, with their annotations."""

import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from lxml.etree import iterparse
from openpyxl.styles.numbers import is_timedelta_format
from openpyxl.worksheet._reader import ROW_TAG, WorkSheetParser

from bulkcast import ooxml
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import annotations, xlsx_fast
from bulkcast.loader.table import WIDEST, Line
from bulkcast.model import ROWS_MAX, Cell
from bulkcast.ooxml import cell_of


class Reference:
    """A workbook whose rows openpyxl's worksheet parser reads.

    `load_workbook` is not used: it refuses a whole workbook because of one style.
    """

    def __init__(self, path: Path) -> None:
        # openpyxl warns of drop-downs and headers it will not keep; nothing is saved here.
        warnings.simplefilter("ignore")
        self._packed = ZipFile(path)
        self._package = ooxml.read_package(self._packed)
        self._strings = self._read_strings(self._package.strings)
        self._dates = {i for i, f in enumerate(self._package.formats) if ooxml.is_date(f)}
        self._spans = {i for i, f in enumerate(self._package.formats) if is_timedelta_format(f)}

    def close(self) -> None:
        """Close the file."""
        self._packed.close()

    def _read_strings(self, name: str | None) -> list[str]:
        if name is None:
            return []
        with self._packed.open(name) as part:
            return list(xlsx_fast.shared_strings(part))

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        return [(tab.name, tab.is_visible) for tab in self._package.tabs]

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet, and whether it is hidden."""
        found = annotations.read_annotations(self._packed, tab)
        width = 0
        for number, cells in self.head(tab):
            # A merged range may reach beyond the last cell of a row.
            width = max(width, len(cells))
            flagged = found.flag(number, cells, width=width)
            yield (number, flagged), number in found.hidden

    def is_incomplete(self, tab: str) -> bool:  # noqa: ARG002  # part of the protocol
        """Whether error cells of a worksheet look blank: never with openpyxl."""
        return False

    def head(self, tab: str) -> Iterator[Line]:
        """The lines as openpyxl reads them, without annotations."""
        with self._packed.open(annotations.part_of(self._package, tab)) as source:
            parser = _RowsOnly(
                source,
                self._strings,
                data_only=True,
                epoch=self._package.epoch,
                date_formats=self._dates,
                timedelta_formats=self._spans,
            )
            for number, row in parser.parse():
                if number > ROWS_MAX:
                    raise UnreadableSheet(
                        "The worksheet {tab!r} has rows beyond {last}.", tab=tab, last=ROWS_MAX
                    )
                yield number, self._cells(row)

    def _cells(self, row: Sequence[Mapping[str, Any]]) -> Sequence[Cell]:
        """The cells in their columns, with None where the row has no cell."""
        width = min(max((cell["column"] for cell in row), default=0), WIDEST)
        cells: list[Cell] = [None] * width
        for cell in row:
            if cell["column"] <= width:
                # openpyxl takes an XML comment between cells for a cell without a style.
                number_format = self._package.formats[cell["style_id"] or 0]
                cells[cell["column"] - 1] = cell_of(cell["value"], cell["data_type"], number_format)
        return tuple(cells)


class _RowsOnly(WorkSheetParser):
    """openpyxl's worksheet parser, limited to the rows.

    The complete parser refuses a sheet with a drop-down over all columns, as LibreOffice writes it.
    """

    def parse(self) -> Generator[Any, None, None]:
        """Each row's number and cells."""
        for _, element in iterparse(self.source, tag=ROW_TAG):
            yield self.parse_row(element)
            element.clear()
