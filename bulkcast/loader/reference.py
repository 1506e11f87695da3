"""The reference reader of xlsx workbooks: openpyxl, and `marks` for what it leaves out.

Says what a cell holds wherever `scan` cannot, and what `scan` is compared with in the tests.
Runs in a process of its own (`apart`): it unpacks and builds whatever a file tells it to.
"""

import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import openpyxl
from lxml.etree import iterparse
from openpyxl.worksheet._reader import ROW_TAG, WorkSheetParser

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import formats, marks, package, texts
from bulkcast.loader.cells import cell_of
from bulkcast.loader.table import WIDEST, Line
from bulkcast.model import Cell

_LAST_ROW: Final = 1_048_576


class Reference:
    """A workbook, read by openpyxl."""

    def __init__(self, path: Path) -> None:
        # openpyxl warns of drop-downs and headers it will not keep: nothing is saved here.
        warnings.simplefilter("ignore")
        self._packed = ZipFile(path)
        structure = package.look(self._packed)
        self._strings = self._shared(structure.strings)
        self._dates = {i for i, f in enumerate(structure.formats) if formats.is_date(f)}
        self._book: Any = openpyxl.load_workbook(path, read_only=True, data_only=True)

    def close(self) -> None:
        """Let go of the file."""
        self._book.close()
        self._packed.close()

    def _shared(self, name: str | None) -> list[str]:
        if name is None:
            return []
        with self._packed.open(name) as part:
            return list(texts.shared(part))

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        return [(sheet.title, sheet.sheet_state == "visible") for sheet in self._book.worksheets]

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet, and whether it is hidden."""
        found = marks.look(self._packed, tab)
        width = 0
        for number, cells in self.head(tab):
            # A row may end before the table does: a merged range goes on where no cells are.
            width = max(width, len(cells))
            flagged = found.flag(number, cells, width=width)
            yield (number, flagged), number in found.hidden

    def untold(self, tab: str) -> bool:  # noqa: ARG002  # of no worksheet
        """Whether error cells of a worksheet look blank: never."""
        return False

    def head(self, tab: str) -> Iterator[Line]:
        """The lines as openpyxl alone has them."""
        sheet: Any = self._book[tab]
        # The streaming worksheet's own parser, and none that checks more than its rows.
        with sheet._get_source() as source:  # noqa: SLF001
            parser = _RowsOnly(
                source,
                self._strings,
                data_only=True,
                epoch=self._book.epoch,
                date_formats=self._dates,
                timedelta_formats=self._book._timedelta_formats,  # noqa: SLF001
            )
            for number, row in parser.parse():
                if number > _LAST_ROW:
                    raise UnreadableSheet(
                        "The worksheet {tab!r} has rows beyond {last}.", tab=tab, last=_LAST_ROW
                    )
                width = min(max((cell["column"] for cell in row), default=0), WIDEST)
                cells = sheet._get_row(row, max_col=width) if width else ()  # noqa: SLF001
                yield number, tuple(map(_cell, cells))


class _RowsOnly(WorkSheetParser):
    """openpyxl's parser of a worksheet, kept to the rows.

    The whole of it refuses a sheet for a drop-down over all columns, as LibreOffice writes them.
    """

    def parse(self) -> Generator[Any, None, None]:
        """Each row's number and cells."""
        for _, element in iterparse(self.source, tag=ROW_TAG):
            yield self.parse_row(element)
            element.clear()


def _cell(cell: Any) -> Cell:
    """What an openpyxl cell holds, in the model's words."""
    number = isinstance(cell.value, int | float)
    return cell_of(cell.value, cell.data_type, cell.number_format if number else "")
