"""The reference reader of xlsx workbooks: openpyxl, and `marks` for what it leaves out.

Says what a cell holds wherever `scan` cannot, and what `scan` is compared with in the tests.
Runs in a process of its own (`apart`): it unpacks and builds whatever a file tells it to.
"""

import warnings
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import openpyxl

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import marks
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
        self._book = openpyxl.load_workbook(path, read_only=True, data_only=True)

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        return [(sheet.title, sheet.sheet_state == "visible") for sheet in self._book.worksheets]

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet, and whether it is hidden."""
        found = marks.look(self._packed, tab)
        for number, cells in self.head(tab):
            # A merged range may reach beyond the last cell that the row stores.
            reach = max((end for _, end, _ in found.merged.of(number)), default=0)
            width = max(len(cells), min(reach, WIDEST))
            yield (number, found.flag(number, cells, width=width)), number in found.hidden

    def head(self, tab: str) -> Iterator[Line]:
        """The lines as openpyxl alone has them."""
        sheet: Any = self._book[tab]
        # The size a file states of itself is often wrong, and openpyxl would believe it.
        sheet.reset_dimensions()
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            if number > _LAST_ROW:
                raise UnreadableSheet(
                    "The worksheet {tab!r} has rows beyond {last}.", tab=tab, last=_LAST_ROW
                )
            yield number, tuple(map(_cell, cells[:WIDEST]))


def _cell(cell: Any) -> Cell:
    """What an openpyxl cell holds, in the model's words."""
    number = isinstance(cell.value, int | float)
    return cell_of(cell.value, cell.data_type, cell.number_format if number else "")


class Calamine:
    """A workbook of another kind than xlsx, read by calamine.

    It tells values and nothing else: error cells come out blank, and hidden rows like any others.
    """

    def __init__(self, path: Path) -> None:
        # Not needed for xlsx, and a parser in a compiled library: only this process loads it.
        import python_calamine  # noqa: PLC0415

        try:
            self._book = python_calamine.load_workbook(path)
        except python_calamine.PasswordError as exc:
            raise UnreadableSheet(
                "The workbook has a password to open it; save it as .xlsx without a password."
            ) from exc
        self._visible = python_calamine.SheetVisibleEnum.Visible

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        return [(m.name, m.visible == self._visible) for m in self._book.sheets_metadata]

    def head(self, tab: str) -> Iterator[Line]:
        """The lines of a worksheet, those above and left of its first cell included."""
        sheet = self._book.get_sheet_by_name(tab)
        merged = marks.merged(
            (a[1], a[0] + 1, b[1] + 1, b[0] + 1) for a, b in sheet.merged_cell_ranges or ()
        )
        found = marks.Marks(merged=merged)
        first_row, first_column = sheet.start or (0, 0)
        lead: tuple[Cell, ...] = (None,) * first_column
        for number, row in enumerate(sheet.iter_rows(), start=first_row + 1):
            if number > first_row:
                cells = (*lead, *map(_foreign, row[:WIDEST]))
                yield number, found.flag(number, cells, width=len(cells))

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet; none is known to be hidden."""
        return ((line, False) for line in self.head(tab))


def _foreign(value: object) -> Cell:
    """What calamine gives for a cell, in the model's words; its numbers are all floats."""
    match value:
        case "":
            return None
        case bool() | str() | datetime():
            return cell_of(value, "", "")
        case int() | float() | date():
            return cell_of(value, "n", "")
        case _:
            return cell_of(value, "", "")
