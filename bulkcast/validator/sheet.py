"""The check of a sheet that is planned: its rows come in parts, and only what they say is kept."""

from collections.abc import Sequence
from dataclasses import replace

from bulkcast.catalogue import Endpoint
from bulkcast.model import Checked, Invalid, Issue, RawRow, Severity
from bulkcast.validator.duplicates import SentRows, resolve_with_sent
from bulkcast.validator.sheet_check import CheckRules, Validator


class SheetCheck:
    """Every row of a sheet, checked; the header first.

    Where the header is wrong every row is `Invalid` with the header's issues; cells are looked at
    where it is known what each column holds.  `all_issues` gives each issue once.
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

        `sent` are further ones, which an earlier run has sent: nothing is found in them, but no
        other row may contradict them unsaid.
        """
        self._rows.take_rows(rows)
        self._sent.take_rows(sent)

    def result(self, of_file: Sequence[Issue]) -> Checked:
        """What was found, once all rows were taken; `of_file` are the issues of the file itself."""
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
