"""Checking a sheet: every row becomes a `Change`, or an `Invalid` with all that is wrong with it.

Pure: the same sheet gives the same answer anywhere, so `validate` and `apply` cannot disagree.
What may stand in a cell is the endpoint's to say; how damage by spreadsheets is told from what was
meant is known here.
"""

from collections.abc import Iterator
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.model import Checked, Issue, Severity, Sheet
from bulkcast.validator.checking import Checking, CheckRules
from bulkcast.validator.sheet import SheetCheck
from bulkcast.validator.survey import Survey, Surveyed
from bulkcast.validator.timetable import Timetable, Turn

__all__ = [
    "CheckRules",
    "SheetCheck",
    "Survey",
    "Surveyed",
    "Timetable",
    "Turn",
    "all_issues",
    "check",
    "survey",
]

_AT_ONCE: Final = 2048


def check(sheet: Sheet, endpoint: Endpoint, rules: CheckRules) -> Checked:
    """Every row of `sheet`, checked, as `SheetCheck` does."""
    checking = SheetCheck(sheet.headers, sheet.layout.header_row, endpoint, rules)
    for start in range(0, len(sheet.rows), _AT_ONCE):
        checking.take(sheet.rows[start : start + _AT_ONCE])
    return checking.result(sheet.issues)


def survey(
    headers: tuple[str, ...], header_row: int, endpoint: Endpoint, rules: CheckRules
) -> Survey:
    """The check of a sheet whose rows come in blocks, and need not be held."""
    return Survey(Checking(headers, header_row, endpoint, rules), endpoint, rules.duplicates)


def all_issues(checked: Checked) -> Iterator[Issue]:
    """Each issue of a checked sheet once: the header's, then the rows' in sheet order."""
    yield from checked.issues
    is_wrong = any(issue.severity is Severity.ERROR for issue in checked.issues)
    for row in checked.rows:
        yield from row.issues[len(checked.issues) :] if is_wrong else row.issues
