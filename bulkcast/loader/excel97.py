"""Workbooks in the format of Excel 97 to 2003, read by xlrd.

Beside the values it tells error cells, number formats and hidden rows.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import xlrd
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900
from xlrd.biffh import error_text_from_code
from xlrd.sheet import Cell as Stored
from xlrd.sheet import Sheet

from bulkcast.loader import formats, marks
from bulkcast.loader.cells import number_of
from bulkcast.loader.table import WIDEST, Line
from bulkcast.model import Cell, FlaggedCell

_VISIBLE: Final = 0


class CannotTell(Exception):
    """Xlrd cannot read the workbook."""


class Excel97:
    """A workbook, all of its worksheets read."""

    def __init__(self, path: Path) -> None:
        # xlrd prints what it wonders at, and standard output belongs to the answers.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            try:
                self._book = xlrd.open_workbook(
                    str(path), logfile=nowhere, formatting_info=True, ragged_rows=True
                )
            except MemoryError:
                raise
            # xlrd trusts what a file says of itself and fails in any way on one that lies.
            except Exception as exc:
                raise CannotTell(str(exc)) from exc
        self._epoch = CALENDAR_MAC_1904 if self._book.datemode else CALENDAR_WINDOWS_1900
        self._formats = [self._format(xf.format_key) for xf in self._book.xf_list]

    def _format(self, key: int) -> str:
        found = self._book.format_map.get(key)
        return (found and found.format_str) or formats.by_id(key)

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        return [(sheet.name, sheet.visibility == _VISIBLE) for sheet in self._book.sheets()]

    def head(self, tab: str) -> Iterator[Line]:
        """The lines of a worksheet."""
        sheet = self._book.sheet_by_name(tab)
        for place in range(sheet.nrows):
            yield place + 1, tuple(map(self._cell, sheet.row(place)[:WIDEST]))

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet, and whether it is hidden."""
        sheet = self._book.sheet_by_name(tab)
        merged = marks.merged((a, top + 1, b, end) for top, end, a, b in sheet.merged_cells)
        found = marks.Marks(merged=merged)
        for number, cells in self.head(tab):
            # A merged range may reach beyond the last cell that the row stores.
            reach = max((end for _, end, _ in merged.of(number)), default=0)
            width = max(len(cells), min(reach, WIDEST))
            yield (number, found.flag(number, cells, width=width)), _is_hidden(sheet, number)

    def untold(self, tab: str) -> bool:  # noqa: ARG002  # of no worksheet
        """Whether error cells of a worksheet look blank: never."""
        return False

    def _cell(self, stored: Stored) -> Cell:
        value = stored.value
        if isinstance(value, str):
            return value or None
        match stored.ctype:
            case xlrd.XL_CELL_BOOLEAN:
                return bool(value)
            case xlrd.XL_CELL_ERROR:
                shown = error_text_from_code.get(int(value), "#N/A")
                return FlaggedCell("cell.formula_error", shown=shown)
            case _:
                return number_of(value, self._formats[stored.xf_index or 0], self._epoch)


def _is_hidden(sheet: Sheet, number: int) -> bool:
    row = sheet.rowinfo_map.get(number - 1)
    return row is not None and bool(row.hidden)
