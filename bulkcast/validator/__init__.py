"""Checking a sheet: every row becomes a `Change`, or an `Invalid` with all that is wrong with it.

Pure: the same sheet gives the same answer anywhere, so `validate` and `apply` cannot disagree.
What may stand in a cell is the endpoint's to say; how damage by spreadsheets is told from what was
meant is known here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bulkcast.catalogue import Endpoint
from bulkcast.model import Checked, Invalid, Issue, RawRow, Severity, Sheet
from bulkcast.validator.checking import CheckRules
from bulkcast.validator.claims import Claims, Turn
from bulkcast.validator.standing import Held, held_against
from bulkcast.validator.validating import Validated, Validator

__all__ = ["CheckRules", "Claims", "Turn", "Validated", "Validator", "all_issues", "check"]


def check(
    sheet: Sheet, endpoint: Endpoint, rules: CheckRules, *, sent: Sequence[RawRow] = ()
) -> Checked:
    """Every row of `sheet`, checked; the header first.

    Where the header is wrong every row is `Invalid` with the header's issues; cells are looked at
    where it is known what each column holds.  `all_issues` gives each issue once.

    `sent` are further rows of the same sheet, which an earlier run has sent: nothing is found in
    them, but no other row may contradict them unsaid.
    """
    headers, header_row = sheet.headers, sheet.layout.header_row
    validator = Validator(headers, header_row, endpoint, rules, keep=True)
    validator.take_rows(sheet.rows)
    found = validator.result(sheet.issues)
    done = Held(found.kept)
    if any(issue.severity is Severity.ERROR for issue in found.of_sheet):
        done = Held(tuple(Invalid(r.row, (*found.of_sheet, *r.issues)) for r in found.kept))
    elif sent:
        lenient = replace(rules, strict=False, duplicates="in-order")
        before = Validator(headers, header_row, endpoint, lenient, keep=True)
        before.take_rows(sent)
        kept = before.result().kept
        done = held_against(done.rows, kept, validator.same | before.same, rules.duplicates)
    return Checked(
        done.rows, found.of_sheet, found.ignored_columns, validator.columns, done.overtaken
    )


def all_issues(checked: Checked) -> Iterator[Issue]:
    """Each issue of a checked sheet once: the header's, then the rows' in sheet order."""
    yield from checked.issues
    is_wrong = any(issue.severity is Severity.ERROR for issue in checked.issues)
    for row in checked.rows:
        yield from row.issues[len(checked.issues) :] if is_wrong else row.issues
