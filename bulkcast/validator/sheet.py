"""The check of a sheet that is planned: its rows come in parts, and only what they say is kept."""

from collections.abc import Sequence
from dataclasses import replace

from bulkcast.catalogue import Endpoint
from bulkcast.model import Checked, Invalid, Issue, RawRow, Severity
from bulkcast.validator import bulk, duplicates
from bulkcast.validator.checking import Checking, CheckRules
from bulkcast.validator.rows import Judged
from bulkcast.validator.standing import Held, held_against


class SheetCheck:
    """Every row of a sheet, checked; the header first.

    Where the header is wrong every row is `Invalid` with the header's issues; cells are looked at
    where it is known what each column holds.  `all_issues` gives each issue once.
    """

    def __init__(
        self, headers: tuple[str, ...], header_row: int, endpoint: Endpoint, rules: CheckRules
    ) -> None:
        self._rules = rules
        self._checking = Checking(headers, header_row, endpoint, rules)
        self._lenient = Checking(headers, header_row, endpoint, replace(rules, strict=False))
        self._suspicions = self._checking.suspicions()
        self._judged: list[Judged] = []
        self._sent: list[Judged] = []

    def take(self, rows: Sequence[RawRow], sent: Sequence[RawRow] = ()) -> None:
        """Check the next rows of the sheet.

        `sent` are further ones, which an earlier run has sent: nothing is found in them, but no
        other row may contradict them unsaid.
        """
        if not self._checking.columns.can_be_read:
            self._judged += [Judged(Invalid(row.number, ())) for row in rows]
            return
        if rows:
            columns = zip(*(row.cells for row in rows), strict=True)
            plain: Sequence[Sequence[bulk.Plain]] = [bulk.plain_cells(c)[0] for c in columns]
            self._suspicions.see([row.number for row in rows], plain)
        self._judged += map(self._checking.check_row, rows)
        self._sent += map(self._lenient.check_row, sent)

    def result(self, of_file: Sequence[Issue]) -> Checked:
        """What was found, once all rows were taken; `of_file` are the issues of the file itself."""
        checking, treatment = self._checking, self._rules.duplicates
        columns = checking.columns
        suspected = self._suspicions.issues(checking.weigh) if columns.can_be_read else ()
        of_header = checking.weighed(columns.issues)
        of_sheet = (*checking.weighed(of_file), *of_header, *suspected, *checking.other_tables())
        rows = duplicates.settled(self._judged, treatment)
        if any(issue.severity is Severity.ERROR for issue in of_sheet):
            done = Held(tuple(Invalid(row.row, (*of_sheet, *row.issues)) for row in rows))
        else:
            done = held_against(rows, self._judged, self._sent, treatment)
        held = {column.setting.key: column.index for column in checking.read}
        return Checked(done.rows, of_sheet, columns.ignored, held, done.overtaken)
