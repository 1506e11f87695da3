"""Sheets for tests: written, read and checked as a user's are, and read back with results."""

import csv
from collections.abc import Sequence
from datetime import timedelta, timezone
from pathlib import Path
from typing import Final

import openpyxl

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.loader import ReadOptions, read
from bulkcast.model import Cell, Change, Checked, CheckedRow, Invalid, Layout, RawRow, Sheet
from bulkcast.validator import CheckRules, all_issues, check

SHANGHAI = timezone(timedelta(hours=8))
RULES = CheckRules(tz=SHANGHAI)
FIRST_ID: Final = 25_096_000
"""The activityId of row n is n more."""
HEAD: Final = ("activityId", "recordState", "recordType", "liveState", "openState", "customColumn")


def sheet_of(headers: str, *rows: Sequence[Cell]) -> Sheet:
    """A sheet with these cells; headers are separated by commas."""
    names = tuple(headers.split(","))
    raw = tuple(RawRow(number, tuple(cells)) for number, cells in enumerate(rows, start=2))
    return Sheet("sheet.csv", Layout("csv", header_row=1), names, raw)


def checked(headers: str, *rows: Sequence[Cell], rules: CheckRules = RULES) -> Checked:
    return check(sheet_of(headers, *rows), WEBCAST, rules)


def one(headers: str, *cells: Cell, rules: CheckRules = RULES) -> CheckedRow:
    """The only row of a sheet of these cells, checked."""
    (row,) = checked(headers, cells, rules=rules).rows
    return row


def changed(row: CheckedRow) -> Change:
    assert isinstance(row, Change), row
    return row


def codes(row: CheckedRow | Checked) -> list[str]:
    """Its problems, but for the warning that four settings belong together."""
    issues = row.issues if isinstance(row, Change | Invalid) else all_issues(row)
    return [issue.code for issue in issues if issue.code != "rule.partial_group"]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def loaded(path: Path, options: ReadOptions | None = None) -> Sheet:
    return read(path, endpoint=WEBCAST, options=options)


# ------------------------------------------------------------------ by rows


def cells(row: int) -> tuple[object, ...]:
    """Row `row` of a plain sheet; its classroom follows its number."""
    return (FIRST_ID + row, 1, row % 3, row % 2, 1, f"row {row}")


def plain(path: Path, n: int, *, first: int = 2) -> Path:
    """A sheet of `n` rows, the first of them in line 2."""
    return write_rows(path, HEAD, [cells(row) for row in range(first, first + n)])


def write_rows(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """A sheet of these rows, as CSV or as a workbook, as the suffix says."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([head, *rows])
    else:
        book = openpyxl.Workbook()
        sheet = book.worksheets[0]
        for line in (head, *rows):
            sheet.append(list(line))
        book.save(path)
    return path


def read_rows(path: Path | None) -> list[dict[str, str]]:
    """The rows of a result sheet, as texts."""
    assert path is not None
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    book = openpyxl.load_workbook(path, read_only=True)
    lines = [["" if c is None else str(c) for c in line] for line in book.worksheets[0].values]
    book.close()
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def edited(path: Path, out: Path, **cells: str) -> Path:
    """A result sheet whose first row was given other cells."""
    rows = read_rows(path)
    rows[0].update(cells)
    return write_rows(out, list(rows[0]), [list(row.values()) for row in rows])
