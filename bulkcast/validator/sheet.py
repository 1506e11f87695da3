"""Checks a sheet for planning, part by part, together with rows sent earlier."""

from collections.abc import Sequence
from dataclasses import replace

from bulkcast.catalogue import Endpoint
from bulkcast.model import Checked, Invalid, Issue, RawRow, Severity
from bulkcast.validator.duplicates import SentRows, resolve_with_sent
from bulkcast.validator.sheet_check import CheckRules, Validator


class SheetCheck:
    """Checks the header, then every row of a sheet.

    With an error in the header every row is `Invalid` with the header's issues; cells are checked
    only if it is known what each column holds.  `all_issues` gives each issue once.
    """

    def __init__(
        self, headers: tuple[str, ...], header_row: int, endpoint: Endpoint, rules: CheckRules
    ) -> None:
        lenient = replace(rules, strict=False, duplicates="in-order")
        self._rules = rules
        self._rows = Validator(headers, header_row, endpoint, rules, keep=True)
        self._sent = Validator(headers, header_row, endpoint, lenient, keep=True)

    def take(self, rows: Sequence[RawRow], sent: Sequence[RawRow] = ()) -> None:
        """Check the next rows of the sheet.

        `sent` are further rows, which an earlier run has sent: they get no issues, but rows that
        contradict them do.
        """
        self._rows.take_rows(rows)
        self._sent.take_rows(sent)

    def result(self, of_file: Sequence[Issue]) -> Checked:
        """The result once all rows were taken; `of_file` are the issues of the file itself."""
        found = self._rows.result(of_file)
        of_sheet = found.of_sheet
        if any(issue.severity is Severity.ERROR for issue in of_sheet):
            done = SentRows(tuple(Invalid(row.row, (*of_sheet, *row.issues)) for row in found.kept))
        else:
            same = self._rows.same | self._sent.same
            done = resolve_with_sent(
                found.kept, self._sent.result().kept, same, self._rules.duplicates
            )
        return Checked(
            done.rows, of_sheet, found.ignored_columns, self._rows.columns, done.overtaken
        )
