"""New workbooks: results of kinds that cannot be written, and sheets that revert a run."""

import csv
import datetime as dt
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import xlsxwriter

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.model import (
    COLUMNS_MAX,
    ROWS_MAX,
    Cell,
    FlaggedCell,
    Grid,
    Layout,
    ResultRow,
    Scalar,
    Text,
    column_letters,
)
from bulkcast.reporter.files import Draft, Existing, Written, replacing
from bulkcast.reporter.ooxml import COLOURS
from bulkcast.reporter.result_columns import (
    CELL_MAX,
    FIELDS,
    MEANINGS,
    WIDTHS,
    Area,
    place,
    rules,
    storable,
    texts,
    title,
    writable,
)
from bulkcast.reporter.xlsx_patcher import n_told

_WIDTH: Final = 20
"""Of the user's own columns; the old ones are not known."""

_WRAPPED: Final = frozenset({"message", "fix"})
"""Fields that run to several sentences."""

_NOTE: Final = {"author": "bulkcast", "width": 90, "height": 24}
"""How a comment looks; in pixels."""

_LINE: Final = 15
"""Points; heights are given, since LibreOffice does not grow the rows of a workbook it opens."""

_LINES_MOST: Final = 12
_FILL: Final = 0.9
"""How much of a line words fill before it is broken."""

_FORMATS: Final = {
    "text": "@",
    "whole": "0",
    "date": "yyyy-mm-dd",
    "moment": "yyyy-mm-dd hh:mm:ss",
}

Cells = Mapping[int, Sequence[Cell]]


def write_workbook(
    draft: Draft,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
    grid: Grid,
    lang: str,
) -> None:
    """Write the draft: a new workbook with the cells of the sheet and its results.

    Where `lang` is not that of the result columns' headers, each has a comment with its meaning.

    Cells in error become texts, so that they are refused again and do not pass for blank ones.

    Raises:
        CannotStart: the sheet has no room for seven more columns, or more rows than a worksheet.
        UnreadableSheet: the source is no longer the file that was read.

    """
    cells = grid.cells
    end = max(cells, default=0)
    if (last := max(results, default=0)) > end:
        raise UnreadableSheet(
            "The sheet that was checked had a row {last}; this has none", last=last
        )
    if end > ROWS_MAX:
        raise CannotStart(
            "The sheet has {n} rows, more than the {most} of a worksheet; use .csv",
            n=end,
            most=ROWS_MAX,
        )
    table = (row for number, row in cells.items() if number >= layout.header_row)
    width = max(len(headers), *map(_extent, table), 0)
    if width > COLUMNS_MAX - len(FIELDS):
        raise CannotStart(
            "The sheet reaches to column {column}, which leaves no room for the {n} "
            "columns of results; delete what is far to the right",
            column=column_letters(width - 1),
            n=len(FIELDS),
        )
    columns = place(headers, width)
    options = {"constant_memory": True, "nan_inf_to_errors": False}
    with xlsxwriter.Workbook(draft.path, options) as book:
        tab = book.add_worksheet(_tab_name(layout.tab))
        _set_up(tab, layout.header_row, width, columns, lang)
        put = _Put(book, tab)
        for number, row in _filled(cells, layout.header_row, columns, results):
            height = _LINE * _lines(row, columns, layout.header_row, number)
            tab.set_row(number - 1, height, None, {"hidden": number in grid.hidden})
            for column, value in row.items():
                is_header = number == layout.header_row
                wrapped = columns.get(column) in _WRAPPED
                put.cell(number, column, value, is_header=is_header, wrapped=wrapped)
        last_row = max(end, layout.header_row)
        tab.autofilter(layout.header_row - 1, 0, last_row - 1, max(width - 1, *columns))
        _colour(book, tab, layout, headers, columns, end)
    if n_told(draft.path, "xl/worksheets/sheet1.xml", results) != len(results):
        raise UnreadableSheet("The sheet has other rows than when it was checked")
    if put.n_cut:
        words = {"n": str(put.n_cut), "most": f"{CELL_MAX:,}"}
        draft.remarks.append(Text(_CUT, words))


_CUT: Final = marked(
    "Cells with more than the {most} characters that a worksheet's cell holds: {n}. They end in …"
    " there; a .csv file has all of them."
)


def write_cells(path: Path, layout: Layout, cells: Cells) -> None:
    """Write `cells` to the file at `path`, which is there: a workbook from which they read alike.

    Only what a workbook cannot hold becomes a text, a moment with its offset from UTC.

    Raises:
        CannotStart: a worksheet has no room for them and seven columns of results.

    """
    last, width = max(cells, default=0), max(map(len, cells.values()), default=0)
    if last > ROWS_MAX or width > COLUMNS_MAX - len(FIELDS):
        raise CannotStart(
            "A worksheet has {rows} rows and {columns} columns, too few for {n} rows of {width}"
            " columns and their results; send them in parts",
            rows=f"{ROWS_MAX:,}",
            columns=f"{COLUMNS_MAX:,}",
            n=f"{last:,}",
            width=f"{width:,}",
        )
    options = {"constant_memory": True, "nan_inf_to_errors": False}
    with xlsxwriter.Workbook(path, options) as book:
        tab = book.add_worksheet(_tab_name(layout.tab))
        tab.set_column(0, max(width - 1, 0), _WIDTH)
        tab.freeze_panes(layout.header_row, 0)
        put = _Put(book, tab)
        for number, row in cells.items():
            for column, value in enumerate(row):
                is_header = number == layout.header_row
                put.cell(number, column, value, is_header=is_header, wrapped=False)


def _extent(cells: Sequence[Cell]) -> int:
    """Columns up to the last value."""
    return next((i for i in range(len(cells), 0, -1) if cells[i - 1] not in _NOTHING), 0)


_NOTHING: Final[tuple[Cell, ...]] = (None, "")


def _tab_name(name: str | None) -> str:
    """`name` as a workbook takes it; other kinds allow longer and stranger ones."""
    return re.sub(r"[\[\]:*?/\\\x00-\x1f]", "_", name or "")[:31].strip("' ") or "Sheet1"


def _filled(
    cells: Cells, header_row: int, columns: Mapping[int, str], results: Mapping[int, ResultRow]
) -> Iterator[tuple[int, dict[int, Cell]]]:
    """Each row's number and its cells by column, results among them."""
    for number in sorted({*cells, header_row}):
        own = dict(enumerate(cells.get(number, ())))
        if number < header_row:
            yield number, own
            continue
        said = texts(results.get(number))
        at_head = number == header_row
        added = {i: title(f) if at_head else _told(f, said[f]) for i, f in columns.items()}
        yield number, own | added


def _lines(row: Mapping[int, Cell], columns: Mapping[int, str], header_row: int, n: int) -> int:
    """How many lines row `n` takes: a header as it is broken, below it what is wrapped."""
    if n <= header_row:
        broken = (_broken(str(v)) for v in row.values() if n == header_row)
        return min(max(broken, default=1), _LINES_MOST)
    wrapped = (
        math.ceil(_cells(line) / (WIDTHS[field] * _FILL))
        for column, field in columns.items()
        if field in _WRAPPED
        for line in [str(row[column])]
    )
    return min(max(1, *wrapped), _LINES_MOST)


def _broken(header: str) -> int:
    """How many lines a header takes in a column of the user's."""
    return sum(max(1, math.ceil(_cells(line) / (_WIDTH * _FILL))) for line in header.split("\n"))


def _cells(text: str) -> int:
    """Columns of a fixed-width font; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _told(field: str, text: str) -> Cell:
    return int(text) if field == "attempts" and text else storable(text)


class _Put:
    """Writes cells, each as what it is; nothing becomes a formula or a link."""

    def __init__(self, book: Any, tab: Any) -> None:
        self.n_cut = 0
        """Texts that were longer than a cell of a worksheet."""
        self._book, self._tab = book, tab
        self._formats = {
            name: book.add_format({"num_format": code, "valign": "top"})
            for name, code in _FORMATS.items()
        }
        self._wrapped = book.add_format({"num_format": "@", "valign": "top", "text_wrap": True})
        self._head = book.add_format({"bold": True, "text_wrap": True, "bottom": 1})

    def cell(self, row: int, column: int, value: Cell, *, is_header: bool, wrapped: bool) -> None:
        """Write `value` to `row`, from 1, and `column`, from 0."""
        padding = _padding(value)
        value = _plain(value)
        if value in _NOTHING:
            return
        write, shown, format_ = self._way(value)
        if padding:
            format_ = self._padded(padding)
        if wrapped:
            format_ = self._wrapped
        write(row - 1, column, shown, self._head if is_header else format_)

    def _way(self, value: Scalar) -> tuple[Callable[..., object], object, object]:
        match value:
            case bool():
                return self._tab.write_boolean, value, None
            case int() | float() if math.isfinite(value):
                whole = float(value).is_integer()
                return self._tab.write_number, value, self._formats["whole"] if whole else None
            case dt.datetime() if value.tzinfo is not None:
                return self._tab.write_string, _with_offset(value), self._formats["text"]
            # A workbook's days begin in 1900; earlier ones are kept as they read.
            case dt.datetime() if value.year >= 1900:
                kind = "date" if value.time() == dt.time() else "moment"
                return self._tab.write_datetime, value, self._formats[kind]
            case _:
                text = writable(str(value))
                self.n_cut += len(text) < len(str(value))
                return self._tab.write_string, text, self._formats["text"]

    def _padded(self, zeros: str) -> object:
        """The format of numbers that are shown with so many digits."""
        if zeros not in self._formats:
            padded = {"num_format": zeros, "valign": "top"}
            self._formats[zeros] = self._book.add_format(padded)
        return self._formats[zeros]


def _padding(cell: Cell) -> str:
    """The format in which a number is shown with zeros before it; empty for any other cell."""
    match cell:
        case FlaggedCell(code="id.display_differs", shown=shown):
            return "0" * len(shown)
        case _:
            return ""


def _plain(cell: Cell) -> Scalar:
    """What is stored there; of what cannot be read as it is, what it shows."""
    if not isinstance(cell, FlaggedCell):
        return cell
    return cell.shown if cell.value is None else cell.value


def _with_offset(moment: dt.datetime) -> str:
    """As ISO 8601 has it, to the second: an offset of hours and minutes, or UTC."""
    offset = moment.utcoffset() or dt.timedelta()
    if offset % dt.timedelta(minutes=1):
        moment = moment.astimezone(dt.UTC)
    return moment.isoformat(timespec="seconds")


def _set_up(tab: Any, header_row: int, width: int, columns: Mapping[int, str], lang: str) -> None:
    """Widths, what stays in view, what headers mean; before the rows, which are written in turn."""
    for index in range(width):
        tab.set_column(index, index, _WIDTH)
    for index, field in columns.items():
        tab.set_column(index, index, WIDTHS[field])
        if lang != "en":
            tab.write_comment(header_row - 1, index, MEANINGS[field].say(lang), _NOTE)
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


_COLUMN_WIDTH: Final = 22
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}


def write_sheet(
    target: Path,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    comments: Sequence[str],
    *,
    existing: Existing,
) -> Written:
    """Write a sheet for its owner alone: it may hold passwords.

    `comments` follow the rows; each has a row to itself and is passed over when the sheet is read.

    Raises:
        CannotStart: `target` exists and may not be replaced, cannot be written, or is of a kind
            that cannot.

    """
    suffix = target.suffix.lower()
    if suffix not in {".xlsx", *_DELIMITERS}:
        raise CannotStart(
            "{name} is no sheet that can be written; use .xlsx, .csv or .tsv", name=target.name
        )
    lines = [list(headers), *rows, *([f"# {comment}"] for comment in comments)]
    with replacing(target, existing) as draft:
        draft.path.chmod(0o600)  # before anything is in it
        if suffix == ".xlsx":
            _write_workbook(draft.path, lines, len(headers), len(rows))
        else:
            _write_delimited(draft.path, lines, _DELIMITERS[suffix])
    return draft.result


def _write_workbook(path: Path, lines: Sequence[Sequence[str]], width: int, n_rows: int) -> None:
    with xlsxwriter.Workbook(path) as book:
        tab = book.add_worksheet()
        text = book.add_format({"num_format": "@"})
        bold = book.add_format({"bold": True, "num_format": "@"})
        tab.set_column(0, width - 1, _COLUMN_WIDTH, text)
        for number, line in enumerate(lines):
            for index, cell in enumerate(line):
                if cell:
                    tab.write_string(number, index, writable(cell), bold if not number else text)
        tab.freeze_panes(1, 0)
        tab.autofilter(0, 0, n_rows, width - 1)
        last = min(len(lines), _FLAGGED_MOST)
        tab.ignore_errors({"number_stored_as_text": f"A1:Z{last}"})


_FLAGGED_MOST: Final = int(math.pow(2, 20))
"""Rows a worksheet has."""


def _write_delimited(path: Path, lines: Sequence[Sequence[str]], delimiter: str) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(lines)
