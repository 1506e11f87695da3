"""Writes new workbooks: results of kinds that cannot be patched, and sheets that revert a run."""

import csv
import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import xlsxwriter

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.i18n import marked, text_width
from bulkcast.model import (
    COLUMNS_MAX,
    ROWS_MAX,
    Cell,
    FlaggedCell,
    Grid,
    Layout,
    Scalar,
    Text,
)
from bulkcast.reporter.files import (
    DELIMITERS,
    Draft,
    Existing,
    Written,
    kind_of,
    refuse_other_kind,
    replacing,
)
from bulkcast.reporter.result_columns import (
    CELL_MAX,
    COLOURS,
    MEANINGS,
    USER_COLUMNS_MAX,
    WIDTHS,
    ColourRule,
    Results,
    place,
    refuse_too_wide,
    rules,
    writable,
)
from bulkcast.reporter.worksheet_xml import count_rows

_WIDTH: Final = 20
"""Width of the user's own columns; the original widths are not known."""

_WRAPPED: Final = frozenset({"message", "fix"})
"""Fields with long texts, which are wrapped."""

_NOTE: Final = {"author": "bulkcast", "width": 90, "height": 24}
"""Options of a comment; sizes in pixels."""

_LINE_HEIGHT: Final = 15
"""Height of a line in points; heights are set because LibreOffice does not adjust them."""

_LINES_MOST: Final = 12
_LINE_FILL: Final = 0.9
"""Share of a line that words fill on average before it is wrapped."""

_FORMATS: Final = {
    "text": "@",
    "whole": "0",
    "date": "yyyy-mm-dd",
    "moment": "yyyy-mm-dd hh:mm:ss",
}

Cells = Mapping[int, Sequence[Cell]]


def write_workbook(draft: Draft, results: Results, grid: Grid, lang: str) -> None:
    """Write a new workbook to the draft: the sheet's cells and its results.

    If `lang` is not English, each result header has a comment with its meaning.  Error cells become
    texts, so that they are refused again and are not taken for blank ones.

    Raises:
        CannotStart: the sheet has no room for seven more columns, or more rows than a worksheet.
        UnreadableSheet: the source is no longer the file that was read.

    """
    header_row, end = results.layout.header_row, max(grid.cells, default=0)
    if (last := results.last_row) > end:
        raise UnreadableSheet(
            "The sheet that was checked had a row {last}; this has none", last=last
        )
    if end > ROWS_MAX:
        raise CannotStart(
            "The sheet has {n} rows, more than the {most} of a worksheet; use .csv",
            n=end,
            most=ROWS_MAX,
        )
    table = (row for number, row in grid.cells.items() if number >= header_row)
    width = max(len(results.headers), *map(_extent, table), 0)
    refuse_too_wide(width)
    columns = place(results.headers, width)
    with xlsxwriter.Workbook(draft.path, _OPTIONS) as book:
        tab = book.add_worksheet(_tab_name(results.layout.tab))
        _set_up(tab, header_row, width, columns, lang)
        put = _CellWriter(book, tab)
        for number in sorted({*grid.cells, header_row}):
            row = dict(enumerate(grid.cells.get(number, ()))) | _added(results, number, columns)
            height = _LINE_HEIGHT * _lines(row, columns, header_row, number)
            tab.set_row(number - 1, height, None, {"hidden": number in grid.hidden})
            for column, value in row.items():
                wrapped = columns.get(column) in _WRAPPED
                put.cell(number, column, value, is_header=number == header_row, wrapped=wrapped)
        last_row = max(end, header_row)
        tab.autofilter(header_row - 1, 0, last_row - 1, max(width - 1, *columns))
        _colour(book, tab, rules(results, columns, end))
    _, n_with_status = count_rows(draft.path, "xl/worksheets/sheet1.xml", results.by_row)
    if n_with_status != len(results.by_row):
        raise UnreadableSheet("The sheet has other rows than when it was checked")
    if put.n_cut:
        words = {"n": str(put.n_cut), "most": f"{CELL_MAX:,}"}
        draft.remarks.append(Text(_CUT, words))


_OPTIONS: Final = {"constant_memory": True, "nan_inf_to_errors": False}
_CUT: Final = marked(
    "Cells with more than the {most} characters that a worksheet's cell holds: {n}. They end in …"
    " there; a .csv file has all of them."
)


def write_cells(path: Path, layout: Layout, cells: Cells) -> None:
    """Write `cells` to a workbook at the existing file `path`; reading it gives equal cells.

    Values that a workbook cannot hold become texts; times keep their offset from UTC.

    Raises:
        CannotStart: a worksheet has no room for the cells and seven columns of results.

    """
    last, width = max(cells, default=0), max(map(len, cells.values()), default=0)
    if last > ROWS_MAX or width > USER_COLUMNS_MAX:
        raise CannotStart(
            "A worksheet has {rows} rows and {columns} columns, too few for {n} rows of {width}"
            " columns and their results; send them in parts",
            rows=f"{ROWS_MAX:,}",
            columns=f"{COLUMNS_MAX:,}",
            n=f"{last:,}",
            width=f"{width:,}",
        )
    with xlsxwriter.Workbook(path, _OPTIONS) as book:
        tab = book.add_worksheet(_tab_name(layout.tab))
        tab.set_column(0, max(width - 1, 0), _WIDTH)
        tab.freeze_panes(layout.header_row, 0)
        put = _CellWriter(book, tab)
        for number, row in cells.items():
            for column, value in enumerate(row):
                is_header = number == layout.header_row
                put.cell(number, column, value, is_header=is_header, wrapped=False)


def _extent(cells: Sequence[Cell]) -> int:
    """Columns up to the last value."""
    return next((i for i in range(len(cells), 0, -1) if cells[i - 1] not in _NOTHING), 0)


_NOTHING: Final[tuple[Cell, ...]] = (None, "")


def _tab_name(name: str | None) -> str:
    """`name` made valid for a workbook; other kinds of files allow more names."""
    return re.sub(r"[\[\]:*?/\\\x00-\x1f]", "_", name or "")[:31].strip("' ") or "Sheet1"


def _added(results: Results, row: int, columns: Mapping[int, str]) -> dict[int, Cell]:
    """The result cells of a row."""
    texts = results.cells(row, columns)
    return {
        index: int(text) if columns[index] == "attempts" and text.isdigit() else text
        for index, text in texts.items()
    }


def _lines(row: Mapping[int, Cell], columns: Mapping[int, str], header_row: int, n: int) -> int:
    """Lines that row `n` needs: of a header its line breaks, below it wrapped texts."""
    if n <= header_row:
        broken = (_header_lines(str(v)) for v in row.values() if n == header_row)
        return min(max(broken, default=1), _LINES_MOST)
    wrapped = (
        math.ceil(text_width(line) / (WIDTHS[field] * _LINE_FILL))
        for column, field in columns.items()
        if field in _WRAPPED
        for line in [str(row[column])]
    )
    return min(max(1, *wrapped), _LINES_MOST)


def _header_lines(header: str) -> int:
    """Lines that a header needs in a column of the user's."""
    return sum(
        max(1, math.ceil(text_width(line) / (_WIDTH * _LINE_FILL))) for line in header.split("\n")
    )


class _CellWriter:
    """Writes cells by their types; nothing becomes a formula or a link."""

    def __init__(self, book: Any, tab: Any) -> None:
        self.n_cut = 0
        """Number of texts that were too long for a cell."""
        self._book, self._tab = book, tab
        self._formats = {
            name: book.add_format({"num_format": code, "valign": "top"})
            for name, code in _FORMATS.items()
        }
        self._wrapped = book.add_format({"num_format": "@", "valign": "top", "text_wrap": True})
        self._head = book.add_format({"bold": True, "text_wrap": True, "bottom": 1})

    def cell(self, row: int, column: int, value: Cell, *, is_header: bool, wrapped: bool) -> None:
        """Write `value` to `row`, from 1, and `column`, from 0."""
        padding = ""
        if isinstance(value, FlaggedCell):
            if value.code == "id.display_differs":
                padding = "0" * len(value.shown)
            value = value.shown if value.value is None else value.value
        if value in _NOTHING:
            return
        write, shown, format_ = self._writer_for(value)
        if padding:
            format_ = self._padded_format(padding)
        if wrapped:
            format_ = self._wrapped
        write(row - 1, column, shown, self._head if is_header else format_)

    def _writer_for(self, value: Scalar) -> tuple[Callable[..., object], object, object]:
        match value:
            case bool():
                return self._tab.write_boolean, value, None
            case int() | float() if math.isfinite(value):
                whole = float(value).is_integer()
                return self._tab.write_number, value, self._formats["whole"] if whole else None
            case dt.datetime() if value.tzinfo is not None:
                return self._tab.write_string, _with_offset(value), self._formats["text"]
            # A workbook's dates begin in 1900; earlier ones become texts.
            case dt.datetime() if value.year >= 1900:
                kind = "date" if value.time() == dt.time() else "moment"
                return self._tab.write_datetime, value, self._formats[kind]
            case _:
                text = writable(str(value))
                self.n_cut += len(text) < len(str(value))
                return self._tab.write_string, text, self._formats["text"]

    def _padded_format(self, zeros: str) -> object:
        """The format of numbers that are shown with so many digits, such as `0000`."""
        if zeros not in self._formats:
            padded = {"num_format": zeros, "valign": "top"}
            self._formats[zeros] = self._book.add_format(padded)
        return self._formats[zeros]


def _with_offset(moment: dt.datetime) -> str:
    """ISO 8601 to the second; in UTC if the offset is not whole minutes."""
    offset = moment.utcoffset() or dt.timedelta()
    if offset % dt.timedelta(minutes=1):
        moment = moment.astimezone(dt.UTC)
    return moment.isoformat(timespec="seconds")


def _set_up(tab: Any, header_row: int, width: int, columns: Mapping[int, str], lang: str) -> None:
    """Set widths, frozen panes and header comments; must come before the rows."""
    for index in range(width):
        tab.set_column(index, index, _WIDTH)
    for index, field in columns.items():
        tab.set_column(index, index, WIDTHS[field])
        if lang != "en":
            tab.write_comment(header_row - 1, index, MEANINGS[field].say(lang), _NOTE)
    tab.freeze_panes(header_row, 0)


def _colour(book: Any, tab: Any, made: Iterable[ColourRule]) -> None:
    for rule in made:
        background, text = (f"#{argb[2:]}" for argb in COLOURS[rule.meaning])
        look = book.add_format({"bg_color": background, "font_color": text})
        options = {"type": "formula", "criteria": f"={rule.formula}", "format": look}
        tab.conditional_format(rule.cells, options)


_COLUMN_WIDTH: Final = 22


def write_sheet(
    target: Path,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    comments: Sequence[str],
    *,
    existing: Existing,
) -> Written:
    """Write a sheet that only its owner can read, since it may hold passwords.

    `comments` follow the rows, one comment row each.

    Raises:
        CannotStart: `target` exists and may not be replaced, cannot be written, or is of a kind
            that cannot.

    """
    refuse_other_kind(target)
    lines = [list(headers), *rows, *([f"# {comment}"] for comment in comments)]
    with replacing(target, existing) as draft:
        draft.path.chmod(0o600)  # before it has content
        if delimiter := DELIMITERS.get(kind_of(target)):
            with draft.path.open("w", encoding="utf-8-sig", newline="") as file:
                csv.writer(file, delimiter=delimiter).writerows(lines)
        else:
            _write_workbook(draft.path, lines, len(headers), len(rows))
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
        last = min(len(lines), ROWS_MAX)
        tab.ignore_errors({"number_stored_as_text": f"A1:Z{last}"})
