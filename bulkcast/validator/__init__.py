"""Checks a sheet: every row becomes a `Change`, or an `Invalid` with all its errors."""

from collections.abc import Iterator

from bulkcast.catalogue import Endpoint
from bulkcast.model import Checked, Issue, Severity, Sheet
from bulkcast.validator.cells import named
from bulkcast.validator.duplicates import Claims
from bulkcast.validator.sheet_check import CheckRules, SheetCheck, Validator

__all__ = [
    "CheckRules",
    "Claims",
    "SheetCheck",
    "Validator",
    "all_issues",
    "check",
    "named",
]


def check(sheet: Sheet, endpoint: Endpoint, rules: CheckRules) -> Checked:
    """Check a whole sheet in memory."""
    checking = SheetCheck(sheet.headers, sheet.layout.header_row, endpoint, rules)
    checking.take(sheet.rows)
    return checking.result(sheet.issues)


def all_issues(checked: Checked) -> Iterator[Issue]:
    """Each issue of a checked sheet once: the header's, then the rows' in sheet order."""
    yield from checked.issues
    is_wrong = any(issue.severity is Severity.ERROR for issue in checked.issues)
    for row in checked.rows:
        yield from row.issues[len(checked.issues) :] if is_wrong else row.issues
