"""Checking a sheet: every row becomes a `Change`, or an `Invalid` with all that is wrong with it.

Pure: the same sheet gives the same answer anywhere, so `validate` and `apply` cannot disagree.
What may stand in a cell is the endpoint's to say; how damage by spreadsheets is told from what was
meant is known here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from bulkcast.catalogue import Endpoint
from bulkcast.model import Checked, CheckedRow, Invalid, Issue, Severity, Sheet
from bulkcast.validator import duplicates
from bulkcast.validator.columns import Columns, resolve
from bulkcast.validator.duplicates import Treatment
from bulkcast.validator.readers import readers_for
from bulkcast.validator.rows import Column, row_checker

__all__ = ["CheckRules", "all_issues", "check"]


@dataclass(frozen=True, slots=True)
class CheckRules:
    """What the user decides about a check."""

    tz: tzinfo
    """Where times that name no offset are meant."""
    strict: bool = False
    """Whether a warning keeps a row from being sent."""
    duplicates: Treatment = "error"
    """What becomes of rows that set the same classroom differently."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Header as the user wrote it → key of the setting it holds."""


def check(sheet: Sheet, endpoint: Endpoint, rules: CheckRules) -> Checked:
    """Every row of `sheet`, checked; the header first.

    Where the header is wrong no column can be trusted: then every row is `Invalid` with the
    header's issues and no cell is looked at.  `all_issues` gives each issue once.
    """
    columns = resolve(sheet.headers, sheet.layout.header_row, endpoint, rules.mapping)
    held = {column.key: index for index, column in columns.held.items()}
    rows = _headless(sheet, columns) if columns.issues else _rows(sheet, columns, endpoint, rules)
    return Checked(rows, columns.issues, columns.ignored, held)


def all_issues(checked: Checked) -> Iterator[Issue]:
    """Each issue of a checked sheet once: the header's, then the rows' in sheet order."""
    yield from checked.issues
    if not checked.issues:
        for row in checked.rows:
            yield from row.issues


def _headless(sheet: Sheet, columns: Columns) -> tuple[CheckedRow, ...]:
    return tuple(Invalid(row.number, columns.issues) for row in sheet.rows)


def _rows(
    sheet: Sheet, columns: Columns, endpoint: Endpoint, rules: CheckRules
) -> tuple[CheckedRow, ...]:
    order = {column.key: place for place, column in enumerate(endpoint.columns)}
    read = [
        Column(index, sheet.headers[index], setting, readers_for(setting, tz=rules.tz))
        for index, setting in sorted(columns.held.items(), key=lambda held: order[held[1].key])
    ]
    weigh = _strictly if rules.strict else _as_declared
    check_row = row_checker(read, endpoint, weigh)
    return duplicates.settled([check_row(row) for row in sheet.rows], rules.duplicates)


def _as_declared(severity: Severity) -> Severity:
    return severity


def _strictly(severity: Severity) -> Severity:
    return Severity.ERROR if severity is Severity.WARNING else severity
