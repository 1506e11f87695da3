"""Checking a sheet: every row becomes a `Change`, or an `Invalid` with all that is wrong with it.

Pure: the same sheet gives the same answer anywhere, so `validate` and `apply` cannot disagree.
What may stand in a cell is the endpoint's to say; how damage by spreadsheets is told from what was
meant is known here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.model import Checked, Invalid, Issue, RawRow, Severity, Sheet
from bulkcast.validator import bulk, duplicates
from bulkcast.validator.checking import Checking, CheckRules
from bulkcast.validator.standing import Held, held_against
from bulkcast.validator.survey import Survey, Surveyed
from bulkcast.validator.timetable import Timetable, Turn

__all__ = ["CheckRules", "Survey", "Surveyed", "Timetable", "Turn", "all_issues", "check", "survey"]

_AT_ONCE: Final = 2048


def check(
    sheet: Sheet, endpoint: Endpoint, rules: CheckRules, *, sent: Sequence[RawRow] = ()
) -> Checked:
    """Every row of `sheet`, checked; the header first.

    Where the header is wrong every row is `Invalid` with the header's issues; cells are looked at
    where it is known what each column holds.  `all_issues` gives each issue once.

    `sent` are further rows of the same sheet, which an earlier run has sent: nothing is found in
    them, but no other row may contradict them unsaid.
    """
    checking = Checking(sheet.headers, sheet.layout.header_row, endpoint, rules)
    held = {column.setting.key: column.index for column in checking.read}
    of_file = checking.weighed(sheet.issues)
    can_be_read = checking.columns.can_be_read
    of_header = checking.weighed(checking.columns.issues)
    of_sheet = (*of_file, *of_header, *(_suspicions(sheet, checking) if can_be_read else ()))
    judged = [checking.check_row(row) for row in sheet.rows] if can_be_read else []
    of_sheet += checking.other_tables()
    is_wrong = any(issue.severity is Severity.ERROR for issue in of_sheet)
    if is_wrong and can_be_read:
        rows = duplicates.settled(judged, rules.duplicates)
        done = Held(tuple(Invalid(row.row, (*of_sheet, *row.issues)) for row in rows))
    elif is_wrong:
        done = Held(tuple(Invalid(row.number, of_sheet) for row in sheet.rows))
    else:
        settled = duplicates.settled(judged, rules.duplicates)
        lenient = Checking(
            sheet.headers, sheet.layout.header_row, endpoint, replace(rules, strict=False)
        )
        done = held_against(settled, judged, list(map(lenient.check_row, sent)), rules.duplicates)
    return Checked(done.rows, of_sheet, checking.columns.ignored, held, done.overtaken)


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


def _suspicions(sheet: Sheet, checking: Checking) -> tuple[Issue, ...]:
    found = checking.suspicions()
    for start in range(0, len(sheet.rows), _AT_ONCE):
        some = sheet.rows[start : start + _AT_ONCE]
        columns = zip(*(row.cells for row in some), strict=True)
        plain: Sequence[Sequence[bulk.Plain]] = [bulk.plain_cells(c)[0] for c in columns]
        found.see([row.number for row in some], plain)
    return found.issues(checking.weigh)
