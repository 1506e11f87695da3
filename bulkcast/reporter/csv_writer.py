"""Writes result sheets as csv and tsv: the user's cells unchanged, and seven columns after them."""

import csv
import datetime as dt
import math
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

from bulkcast.csv_format import declared_delimiter, guard, unguard
from bulkcast.errors import UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.model import Cell, FlaggedCell, Grid, Layout, Text
from bulkcast.reporter.files import DELIMITERS, Draft
from bulkcast.reporter.result_columns import Results, place, title

_EXACT_BELOW: Final = 2.0**53
_AS_STORED: Final = frozenset({"id.display_shortened", "cell.merged"})
"""Flagged cells that store the whole value and show less."""

_DIGITS: Final = 15
"""Digits a spreadsheet program keeps of a number (Microsoft, Excel specifications)."""


def shown(cell: Cell) -> str:
    """What a spreadsheet program would show in `cell` in a wide column.

    A number that has lost digits is shown in scientific notation, so that the loss stays visible.

    >>> shown(True), shown(25096094), shown(0.5), shown(1234567890123456800.0)
    ('TRUE', '25096094', '0.5', '1.23457E+18')
    """
    if isinstance(cell, FlaggedCell):
        return shown(cell.value) if cell.code in _AS_STORED else cell.shown
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).upper()
        case float():
            return _number(cell)
        case dt.datetime():
            return _moment(cell)
        case _:
            return str(cell)


def _number(number: float) -> str:
    if abs(number) >= _EXACT_BELOW and math.isfinite(number):
        return f"{number:.5E}"
    return f"{number:.{_DIGITS}g}"


def _moment(moment: dt.datetime) -> str:
    """A date and time as text, without a midnight or zero seconds.

    >>> _moment(dt.datetime(2027, 3, 1)), _moment(dt.datetime(2027, 3, 1, 8, 29, 59, 999_999))
    ('2027-03-01', '2027-03-01 08:30')
    """
    if moment.microsecond and moment.year < dt.MAXYEAR:
        moment += dt.timedelta(seconds=0.5)
    moment = moment.replace(microsecond=0)
    if moment.time() == dt.time():
        return moment.date().isoformat()
    return moment.isoformat(" ", "seconds" if moment.second else "minutes")


_PLAIN_NUMBER: Final = re.compile(r"-[0-9]+(?:[.,][0-9]+)?")
"""A negative number begins like a formula but is none."""


def write_csv(source: Path, draft: Draft, results: Results) -> None:
    """Write `source` with its results to the draft.

    Raises:
        UnreadableSheet: the source is no longer the file that was read.

    """
    layout, headers = results.layout, [header.strip().casefold() for header in results.headers]
    # The loader removes the guards of the cells of a result sheet.
    sheet = _Renderer(results, layout.delimiter, is_guarded=title("status") in headers)
    try:
        ending = _line_ending(source, layout.encoding)
        with _open(source, layout.encoding) as (sep_line, lines):
            n_rows = _write(draft.path, sheet, sheet.records(lines), sep_line, ending)
        _verify(draft.path, sheet, n_rows)
    except (UnicodeError, csv.Error, LookupError) as exc:
        raise UnreadableSheet(
            "{name} is not the file that was checked: {exc}", name=source.name, exc=exc
        ) from exc
    draft.remarks.extend(encoding_remark(layout))


def write_anew(draft: Draft, kind: str, results: Results, grid: Grid) -> None:
    """Write a new file to the draft: the sheet's cells as they are shown, and its results.

    Hidden rows without a result, which the run left out, become blank lines: a delimited file
    cannot hide them, so they would look like rows to send.

    Raises:
        UnreadableSheet: the source is no longer the file that was read.

    """
    layout = results.layout
    delimiter = layout.delimiter if layout.kind == kind else DELIMITERS[kind]
    sheet = _Renderer(results, delimiter)
    left_out = {n for n in grid.hidden - results.by_row.keys() if n > layout.header_row}
    records = _shown_records(grid, results.by_row, left_out)
    n_rows = _write(draft.path, sheet, records, "", "\r\n")
    _verify(draft.path, sheet, n_rows)
    if left_out:
        words = {"n": str(len(left_out)), "name": draft.result.path.name}
        draft.remarks.append(Text(_LEFT_OUT, words))


_LEFT_OUT: Final = marked(
    "Hidden rows that were left out: {n}. They are blank in {name}, where no row can be hidden."
)


def _shown_records(
    grid: Grid, results: Container[int], left_out: Container[int]
) -> Iterator[tuple[int, list[str]]]:
    for number in range(1, max(grid.cells, default=0) + 1):
        row = [] if number in left_out else [shown(cell) for cell in grid.cells.get(number, ())]
        yield number, row or ([""] if number in results else [])


def encoding_remark(layout: Layout) -> Iterator[Text]:
    """The remark that the result has another encoding than the sheet, if so."""
    if layout.encoding.lower().replace("_", "-") not in _UTF_8:
        yield Text("Written as UTF-8; the sheet was {encoding}.", {"encoding": layout.encoding})


_UTF_8: Final = frozenset({"utf-8", "utf-8-sig", "ascii"})


class _Renderer:
    """Converts each record of a sheet to one of the result."""

    def __init__(self, results: Results, delimiter: str, *, is_guarded: bool = False) -> None:
        self.results = results
        self.delimiter = delimiter
        self.columns = place(results.headers, len(results.headers))
        self._width = len(results.headers)
        self._is_guarded = is_guarded

    def render(self, number: int, row: Sequence[str]) -> list[str]:
        """Record `number` of the result."""
        own = [unguard(cell) for cell in row] if self._is_guarded else list(row)
        added = self.results.cells(number, self.columns) if row else {}
        if not added:
            return [_guard_cell(cell) for cell in own]
        # Cells beyond the header stay beyond it: below a result header, or within the table, they
        # would look like regular cells.
        held, beyond = own[: self._width], own[self._width :]
        filled = held + [""] * (max(self._width, *(i + 1 for i in added)) - len(held))
        for index, text in added.items():
            filled[index] = text
        return [_guard_cell(cell) for cell in filled + beyond]

    def records(self, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """The numbered records of `file`."""
        reader = csv.reader(file, delimiter=self.delimiter, strict=True)
        return enumerate(reader, start=1)


@contextmanager
def _open(path: Path, encoding: str) -> Iterator[tuple[str, Iterable[str]]]:
    """A first line such as `sep=;`, which Excel obeys but does not count, and the other lines."""
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline().removeprefix("\ufeff")
        if declared_delimiter(first):
            yield first, file
        else:
            yield "", chain([first] if first else [], file)


def _line_ending(source: Path, encoding: str) -> str:
    """The line ending of the source."""
    found = False
    with _open(source, encoding) as (_, lines):
        for line in lines:
            if line.endswith("\r\n"):
                return "\r\n"
            found |= line.endswith("\n")
    return "\n" if found else "\r\n"


def _write(
    path: Path,
    sheet: _Renderer,
    records: Iterable[tuple[int, list[str]]],
    sep_line: str,
    ending: str,
) -> int:
    """Write `sep_line`, which may be empty, and the numbered `records`; return their number."""
    n_rows = 0
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        file.write(sep_line)
        out = csv.writer(file, delimiter=sheet.delimiter, lineterminator=ending)
        for n_rows, row in records:
            out.writerow(sheet.render(n_rows, row))
    return n_rows


def _guard_cell(cell: str) -> str:
    """The cell, guarded unless it is a plain number; lone surrogates are escaped."""
    if not cell or cell.isalnum():  # most cells: neither a formula's sign nor a surrogate
        return cell
    if _PLAIN_NUMBER.fullmatch(cell):
        return cell
    return guard(cell.encode("utf-8", "backslashreplace").decode())


def _verify(path: Path, sheet: _Renderer, n_rows: int) -> None:
    """Read the draft again: check the number of records, and each status in its row."""
    status = next(index for index, field in sheet.columns.items() if field == "status")
    found = right = 0
    with _open(path, "utf-8-sig") as (_, lines):
        for found, row in sheet.records(lines):
            result = sheet.results.by_row.get(found)
            right += bool(result and row[status : status + 1] == [result.status.value])
    if found != n_rows or right != len(sheet.results.by_row):
        raise UnreadableSheet("The sheet has other rows than when it was checked")
