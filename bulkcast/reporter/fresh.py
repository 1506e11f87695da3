"""Result sheets of kinds that nothing here writes (xls, xlsb, ods): a new workbook with the cells.

Texts stay texts.  Numbers and dates stay what they are too: as texts an id that was rounded, or a
password that lost its zeros, would look sound when the result is handed in again.
"""

import datetime as dt
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import python_calamine
import xlsxwriter

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.model import Layout, ResultRow, Text
from bulkcast.reporter.columns import (
    COLUMNS_MAX,
    FIELDS,
    WIDTHS,
    letters,
    place,
    storable,
    texts,
    title,
    writable,
)
from bulkcast.reporter.files import Draft
from bulkcast.reporter.highlight import Area, rules
from bulkcast.reporter.styles import COLOURS
from bulkcast.wording import marked

KINDS: Final = frozenset({"xls", "xlsb", "ods"})
"""What is written anew, as xlsx."""

_WIDTH: Final = 20
"""Of the user's own columns; the old ones are not known."""

_FORMATS: Final = {
    "text": "@",
    "whole": "0",
    "date": "yyyy-mm-dd",
    "moment": "yyyy-mm-dd hh:mm:ss",
}

_Value = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta
"""What calamine makes of a cell; `""` of an empty one, and of one in error."""

Errors = Mapping[int, Mapping[int, str]]
"""Row → column, from 0 → what a cell in error shows."""


def write(
    source: Path,
    draft: Draft,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
    errors: Errors,
) -> None:
    """Write the draft: a new workbook with the cells of `source` and its results.

    Cells in error become texts, so that they are refused again and do not pass for blank ones.

    Raises:
        CannotStart: the sheet has no room for seven more columns.
        UnreadableSheet: the source is no longer the file that was read.

    """
    rows = [
        _with(cells, errors.get(number, {}))
        for number, cells in enumerate(_rows(source, layout.tab), start=1)
    ]
    if (last := max(results, default=0)) > len(rows):
        raise UnreadableSheet(
            "The sheet that was checked had a row {last}; this has none", last=last
        )
    width = max(len(headers), *map(_extent, rows[layout.header_row - 1 :]), 0)
    if width > COLUMNS_MAX - len(FIELDS):
        raise CannotStart(
            "The sheet reaches to column {column}, which leaves no room for the {n} "
            "columns of results; delete what is far to the right",
            column=letters(width - 1),
            n=len(FIELDS),
        )
    columns = place(headers, width)
    options = {"constant_memory": True, "nan_inf_to_errors": False}
    with xlsxwriter.Workbook(draft.path, options) as book:
        tab = book.add_worksheet(_tab_name(layout.tab))
        _set_up(tab, layout.header_row, width, columns)
        put = _Put(book, tab)
        for number, cells in _filled(rows, layout.header_row, columns, results):
            for column, value in cells.items():
                put.cell(number, column, value, is_header=number == layout.header_row)
        _colour(book, tab, layout, headers, columns, len(rows))
    _verify(draft.path, columns, results)
    said = marked(
        "A .{kind} file cannot be written: {name} is new and has the cells, without formats."
    )
    draft.remarks.append(Text(said, {"kind": layout.kind, "name": draft.result.path.name}))


def _rows(source: Path, tab: str | None) -> list[list[_Value]]:
    """Every row from 1 on and every column from A on."""
    try:
        book = python_calamine.load_workbook(source)
        sheet = book.get_sheet_by_name(tab) if tab else book.get_sheet_by_index(0)
        return sheet.to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, OSError) as exc:
        raise UnreadableSheet(
            "{name} is not the file that was checked: {exc}", name=source.name, exc=exc
        ) from exc


def _with(cells: list[_Value], errors: Mapping[int, str]) -> list[_Value]:
    return [errors.get(column, cell) for column, cell in enumerate(cells)] if errors else cells


def _extent(cells: Sequence[_Value]) -> int:
    """Columns up to the last value."""
    return next((i for i in range(len(cells), 0, -1) if cells[i - 1] != ""), 0)


def _tab_name(name: str | None) -> str:
    """`name` as a workbook takes it; other kinds allow longer and stranger ones."""
    return re.sub(r"[\[\]:*?/\\\x00-\x1f]", "_", name or "")[:31].strip("' ") or "Sheet1"


def _filled(
    rows: Sequence[Sequence[_Value]],
    header_row: int,
    columns: Mapping[int, str],
    results: Mapping[int, ResultRow],
) -> Iterator[tuple[int, dict[int, _Value]]]:
    """Each row's number and its cells by column, results among them."""
    for number, cells in enumerate(rows, start=1):
        own = dict(enumerate(cells))
        if number < header_row:
            yield number, own
            continue
        said = texts(results.get(number))
        at_head = number == header_row
        added = {i: title(f) if at_head else _told(f, said[f]) for i, f in columns.items()}
        yield number, own | added


def _told(field: str, text: str) -> _Value:
    return int(text) if field == "attempts" and text else storable(text)


class _Put:
    """Writes cells, each as what it is; nothing becomes a formula or a link."""

    def __init__(self, book: Any, tab: Any) -> None:
        self._tab = tab
        self._formats = {
            name: book.add_format({"num_format": code, "valign": "top"})
            for name, code in _FORMATS.items()
        }
        self._head = book.add_format({"bold": True, "text_wrap": True, "bottom": 1})

    def cell(self, row: int, column: int, value: _Value, *, is_header: bool) -> None:
        """Write `value` to `row`, from 1, and `column`, from 0."""
        if value == "":
            return
        write, shown, format_ = self._way(value)
        write(row - 1, column, shown, self._head if is_header else format_)

    def _way(self, value: _Value) -> tuple[Callable[..., object], object, object]:
        match value:
            case bool():
                return self._tab.write_boolean, value, None
            case int() | float() if math.isfinite(value):
                whole = float(value).is_integer()
                return self._tab.write_number, value, self._formats["whole"] if whole else None
            # A workbook's days begin in 1900; earlier ones are kept as they read.
            case dt.datetime() if value.year >= 1900:
                return self._tab.write_datetime, value, self._formats["moment"]
            case dt.date() if value.year >= 1900:
                return self._tab.write_datetime, value, self._formats["date"]
            case _:
                return self._tab.write_string, writable(str(value)), self._formats["text"]


def _set_up(tab: Any, header_row: int, width: int, columns: Mapping[int, str]) -> None:
    """Widths and what stays in view; before the rows, which are written as they come."""
    for index in range(width):
        tab.set_column(index, index, _WIDTH)
    for index, field in columns.items():
        tab.set_column(index, index, WIDTHS[field])
    tab.freeze_panes(header_row, 0)


def _colour(
    book: Any,
    tab: Any,
    layout: Layout,
    headers: Sequence[str],
    columns: Mapping[int, str],
    last_row: int,
) -> None:
    for rule in rules(Area.of(headers, columns, layout.header_row, last_row)):
        background, text = (f"#{argb[2:]}" for argb in COLOURS[rule.meaning])
        colour = book.add_format({"bg_color": background, "font_color": text})
        options = {"type": "formula", "criteria": f"={rule.formula}", "format": colour}
        tab.conditional_format(rule.cells, options)


def _verify(path: Path, columns: Mapping[int, str], results: Mapping[int, ResultRow]) -> None:
    """Read the draft again: each status in its row."""
    status = next(index for index, field in columns.items() if field == "status")
    rows = _rows(path, None)
    told = {number: rows[number - 1][status] for number in results}
    if told != {number: result.status.value for number, result in results.items()}:
        raise UnreadableSheet("The sheet has other rows than when it was checked")
