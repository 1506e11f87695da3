"""Sheets for tests: written to disk, read, and checked, the way a user's are."""

from collections.abc import Sequence
from datetime import timedelta, timezone
from pathlib import Path

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.loader import ReadOptions, read
from bulkcast.model import Cell, Change, Checked, CheckedRow, Invalid, Layout, RawRow, Sheet
from bulkcast.validator import CheckRules, all_issues, check

SHANGHAI = timezone(timedelta(hours=8))
RULES = CheckRules(tz=SHANGHAI)


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
