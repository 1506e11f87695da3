"""Workbooks of other kinds than xlsx: .xls by xlrd; .xlsb and .ods by calamine and a look beside.

Calamine gives values and nothing else: an error cell comes out blank, which would leave a setting
unchanged, and a hidden row like any other.  The look beside finds both in the file's own words.
Runs in a process of its own (`apart`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Final, Protocol

import python_calamine

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import binary, excel97, marks, opendocument
from bulkcast.loader.cells import cell_of
from bulkcast.loader.marks import Marks
from bulkcast.loader.table import WIDEST, Line
from bulkcast.model import Cell

_Look = Callable[[Path, str, int], Marks]
"""Marks of the worksheet of this name in a file, up to the row with this number."""
_LOOKS: Final[Mapping[str, _Look]] = {".ods": opendocument.look, ".xlsb": binary.look}


class Book(Protocol):
    """A workbook, open."""

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""

    def head(self, tab: str) -> Iterator[Line]:
        """The lines of a worksheet, of which only the first few are taken."""

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet, and whether it is hidden."""

    def untold(self, tab: str) -> bool:
        """Whether error cells of a worksheet look blank, and hidden rows like others."""


def opened(path: Path, *, widest: int = WIDEST) -> Book:
    """The workbook by the reader that can tell the most of it, up to column `widest`.

    Raises:
        UnreadableSheet: no reader can read it.

    """
    if path.suffix.lower() == ".xls":
        # Whatever xlrd cannot make out calamine may; what neither can is said by calamine.
        with suppress(excel97.CannotTell):
            return excel97.Excel97(path)
    return Calamine(path, widest)


class Calamine:
    """A workbook read by calamine, with what it leaves out found beside it."""

    def __init__(self, path: Path, widest: int = WIDEST) -> None:
        try:
            with _size_told():
                self._book = python_calamine.load_workbook(path)
        except python_calamine.PasswordError as exc:
            raise UnreadableSheet(
                "The workbook has a password to open it; save it as .xlsx without a password."
            ) from exc
        self._path, self._widest = path, widest
        self._marks: dict[str, Marks | None] = {}

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        visible = python_calamine.SheetVisibleEnum.Visible
        return [(m.name, m.visible == visible) for m in self._book.sheets_metadata]

    def head(self, tab: str) -> Iterator[Line]:
        """The lines of a worksheet, those above and left of its first cell included."""
        with _size_told():
            sheet = self._book.get_sheet_by_name(tab)
        first_row, first_column = sheet.start or (0, 0)
        lead: tuple[Cell, ...] = (None,) * first_column
        # Calamine leaves out the columns before the first cell, but not the rows above it.
        for number, row in enumerate(sheet.iter_rows(), start=1):
            if number > first_row:
                yield number, (*lead, *map(_cell, row[: self._widest]))[: self._widest]

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet that is not blank, and whether it is hidden, where told.

        A cell in a far corner makes a million blank ones, which would take minutes to hand over.
        """
        found = self._look(tab) or self._merged(tab)
        for number, cells in self.head(tab):
            line = found.flag(number, cells, width=len(cells))
            end = len(line)
            while end and line[end - 1] is None:
                end -= 1
            if end:
                yield (number, line[:end]), number in found.hidden

    def _merged(self, tab: str) -> Marks:
        """The marks that calamine knows of."""
        ranges = self._book.get_sheet_by_name(tab).merged_cell_ranges or ()
        return Marks(merged=marks.merged((a[1], a[0] + 1, b[1] + 1, b[0] + 1) for a, b in ranges))

    def untold(self, tab: str) -> bool:
        """Whether the look beside failed."""
        return self._look(tab) is None

    def _look(self, tab: str) -> Marks | None:
        if tab not in self._marks:
            self._marks[tab] = self._looked(tab)
        return self._marks[tab]

    def _looked(self, tab: str) -> Marks | None:
        look = _LOOKS.get(self._path.suffix.lower())
        if look is None:
            return None
        end = self._book.get_sheet_by_name(tab).end
        try:
            return look(self._path, tab, end[0] + 1 if end else 0)
        except (UnreadableSheet, MemoryError):
            raise
        # lxml, zipfile and struct raise what the file makes them.  Calamine could read the file,
        # and what it leaves out is said; but a date it takes for a number would pass for an id.
        except Exception as exc:
            if self._path.suffix.lower() == ".xlsb":
                raise UnreadableSheet(
                    "Which cells of the worksheet {tab!r} are dates or errors cannot be told; save"
                    " the workbook as .xlsx.",
                    tab=tab,
                ) from exc
            return None


@contextmanager
def _size_told() -> Iterator[None]:
    """Calamine raises one kind for all; only its text tells what is huge from what is damaged."""
    try:
        yield
    except Exception as exc:
        if "limit exceeded" not in str(exc).lower():
            raise
        raise UnreadableSheet(
            "The workbook is far larger than it looks; copy its rows into a new workbook."
        ) from exc


def _cell(value: object) -> Cell:
    """What calamine gives for a cell, in the model's words; its numbers are all floats."""
    match value:
        case str():
            # As it stands: `_x0041_` is a spelling of XLSX, and of no other kind.
            return value or None
        case bool() | datetime():
            return value
        case int() | float() | date():
            return cell_of(value, "n", "")
        case _:
            return cell_of(value, "", "")
