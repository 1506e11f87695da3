"""Sheets in workbooks: xlsx and xlsm.

openpyxl tells what the cells hold; `marks` tells from the same file what openpyxl's streaming
reader leaves out.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

import openpyxl
from openpyxl.utils.escape import unescape

from bulkcast.catalogue import Endpoint
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import archive, marks, table
from bulkcast.loader.marks import Marks
from bulkcast.loader.options import ReadOptions
from bulkcast.loader.table import HEADER_WITHIN, Header, Line
from bulkcast.model import Cell, FlaggedCell, Layout, Sheet, Text

_LAST_ROW: Final = 1_048_576
_EXACT_BELOW: Final = 2.0**53
_ZEROS_ONLY: Final = re.compile(r"0{2,}")
_SHOWN_WHOLE_BELOW: Final = 10**11
"""A cell in the General format shows a number of more digits as 1.23457E+11."""
_WIDEST: Final = 256
"""Columns up to which cells without a header are kept; a stray one may stand 16,384 columns off."""
_FEWEST_HEADERS: Final = 2
"""A page of explanations may name one setting a row; a header names the classroom and a setting."""


def read(path: Path, endpoint: Endpoint, options: ReadOptions) -> Sheet:
    """The sheet in an xlsx or xlsm workbook."""
    try:
        # One handle for both readers, so that it is closed whichever of them gives up.
        with path.open("rb") as file, ZipFile(file) as packed, warnings.catch_warnings():
            archive.require_harmless(packed, path)
            # openpyxl warns of drop-downs and headers it will not keep: nothing is saved here.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            return _read(path, book, packed, endpoint, options)
    except BadZipFile as exc:
        raise archive.no_zip(path) from exc


def _read(
    path: Path, book: Any, packed: ZipFile, endpoint: Endpoint, options: ReadOptions
) -> Sheet:
    tab = _choose(path.name, book, endpoint, options)
    found = marks.look(packed, tab.name)
    rest = islice(_lines(book[tab.name]), len(tab.head), None)
    below = (line for line in chain(tab.head, rest) if line[0] > tab.header.number)
    lines = list(_flagged(below, found, len(tab.header.names)))
    return _sheet(path, tab, found, lines, options)


# ------------------------------------------------------------------ which worksheet


@dataclass(frozen=True, slots=True)
class _Tab:
    name: str
    header: Header
    head: Sequence[Line]


def _choose(name: str, book: Any, endpoint: Endpoint, options: ReadOptions) -> _Tab:
    """The worksheet to read: the one asked for, or the only one with a header row."""
    names = [sheet.title for sheet in book.worksheets]
    if options.tab is not None and options.tab not in names:
        raise UnreadableSheet(
            "{name} has no worksheet {tab!r}; it has {known}.",
            name=name,
            tab=options.tab,
            known=", ".join(map(repr, names)),
        )
    visible = [s.title for s in book.worksheets if s.sheet_state == "visible"]
    wanted = visible if options.tab is None else [options.tab]
    tabs = [tab for title in wanted if (tab := _tab(book[title], endpoint, options)) is not None]
    likely = [tab for tab in tabs if tab.header.matches >= _FEWEST_HEADERS] or tabs
    if not likely:
        place = name if options.tab is None else f"The worksheet {options.tab!r} of {name}"
        raise table.no_header(place, endpoint)
    if len(likely) > 1:
        several = ", ".join(repr(tab.name) for tab in likely)
        raise UnreadableSheet(
            "{name} has more than one worksheet to read: {known}; choose one with --sheet.",
            name=name,
            known=several,
        )
    return likely[0]


def _tab(sheet: Any, endpoint: Endpoint, options: ReadOptions) -> _Tab | None:
    head = list(islice(_lines(sheet), HEADER_WITHIN))
    header = table.find_header(head, endpoint, options.mapping)
    return None if header is None else _Tab(sheet.title, header, head)


# ------------------------------------------------------------------ cells


def _lines(sheet: Any) -> Iterator[Line]:
    # The size a file states of itself is often wrong, and openpyxl would believe it.
    sheet.reset_dimensions()
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        if number > _LAST_ROW:
            raise UnreadableSheet(
                "The worksheet {tab!r} has rows beyond {last}.",
                tab=sheet.title,
                last=_LAST_ROW,
            )
        yield number, tuple(map(_cell, cells))


def _cell(cell: Any) -> Cell:
    """What an openpyxl cell holds, in the model's words."""
    match cell.value:
        case None | bool() | datetime() as value:
            return value
        case str() as value if cell.data_type == "e":
            return FlaggedCell("cell.formula_error", shown=value)
        case str() as value:
            return unescape(value)
        case int() | float() as value:
            return _number(value, cell.number_format)
        case date() as value:
            return datetime.combine(value, time())
        case value:
            return FlaggedCell("cell.only_a_time", shown=str(value))


def _number(value: float, number_format: str) -> Cell:
    """A number, as an integer where the file's float is exactly one."""
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= _EXACT_BELOW:
            return value
        value = int(value)
    if _ZEROS_ONLY.fullmatch(number_format):
        return _zero_padded(value, len(number_format))
    if number_format == "General" and abs(value) >= _SHOWN_WHOLE_BELOW:
        return FlaggedCell("id.display_shortened", f"{value:.5E}", value, {"read": str(value)})
    return value


def _zero_padded(value: int, digits: int) -> Cell:
    shown = f"{value:0{digits}d}"
    if shown == str(value):
        return value
    return FlaggedCell("id.display_differs", shown, value, {"stored": str(value)})


def _flagged(lines: Iterable[Line], found: Marks, width: int) -> Iterator[Line]:
    """The lines, with the cells flagged that are not simply their value."""
    for number, cells in lines:
        yield number, found.flag(number, cells, width=width)


# ------------------------------------------------------------------ the sheet


def _sheet(
    path: Path, tab: _Tab, found: Marks, lines: Sequence[Line], options: ReadOptions
) -> Sheet:
    names = _widened(tab.header.names, lines)
    tally = table.Tally()
    rows = tuple(
        table.rows(
            ((number, cells[: len(names)]) for number, cells in lines),
            width=len(names),
            own=table.own_columns(names),
            tally=tally,
            hidden=found.hidden,
            hide=options.hidden,
        )
    )
    layout = Layout(
        kind=path.suffix.lower().lstrip("."),
        header_row=tab.header.number,
        tab=tab.name,
        hidden_rows=tally.hidden,
    )
    return Sheet(path.name, layout, names, rows, tuple(_remarks(tab, tally, options)))


def _widened(names: tuple[str, ...], lines: Sequence[Line]) -> tuple[str, ...]:
    """The headers, up to the widest row: notes beside the table are common in workbooks.

    Unlike in a delimited file they cannot mean that a row is shifted.
    """
    widest = max((_extent(cells) for _, cells in lines), default=0)
    return names + ("",) * (min(widest, _WIDEST) - len(names))


def _extent(cells: Sequence[Cell]) -> int:
    width = len(cells)
    while width and cells[width - 1] in (None, ""):
        width -= 1
    return width


def _remarks(tab: _Tab, tally: table.Tally, options: ReadOptions) -> Iterator[Text]:
    if tab.header.number > 1:
        yield Text("The header was found in row {n}.", {"n": str(tab.header.number)})
    yield from table.remarks(tally, options.hidden)
