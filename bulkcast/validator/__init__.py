"""Checks a sheet: every row becomes a `Change`, or an `Invalid` with all its errors.

Rows are taken block by block, in memory that hardly grows with them, unless they are kept.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from heapq import merge
from operator import itemgetter
from typing import Final, overload

from bulkcast.catalogue import Endpoint, Role, is_result_column
from bulkcast.model import (
    Block,
    Change,
    Checked,
    CheckedRow,
    Invalid,
    Issue,
    RawRow,
    Severity,
    Sheet,
)
from bulkcast.validator.cells import cell_cache, named
from bulkcast.validator.column_checks import ColumnChecks
from bulkcast.validator.columns import Columns, resolve
from bulkcast.validator.duplicates import (
    Claims,
    Name,
    Resolution,
    SentRows,
    Treatment,
    resolutions,
    resolve_with_sent,
)
from bulkcast.validator.rows import Column, RowCheck, RowChecker, at

__all__ = [
    "CheckRules",
    "Claims",
    "SheetCheck",
    "Validator",
    "all_issues",
    "check",
    "named",
]


class IssueLog(Sequence[Issue]):
    """The issues of a sheet: first those of the sheet as a whole, then in row order."""

    def __init__(self) -> None:
        self.of_sheet: tuple[Issue, ...] = ()
        self._kinds: list[Issue] = []
        self._known: dict[int, int] = {}
        """`id` of an issue → its index in `_kinds`, which keeps the issue alive."""
        self._rows, self._which = array("q"), array("q")
        self._late: list[tuple[int, int, Issue]] = []

    def add(self, row: int, issues: Sequence[Issue]) -> None:
        """Add a row's issues, which have no row number; rows must come in order."""
        for found in issues:
            which = self._known.setdefault(id(found), len(self._kinds))
            if which == len(self._kinds):
                self._kinds.append(found)
            self._rows.append(row)
            self._which.append(which)

    def add_late(self, row: int, found: Issue, *, is_first: bool) -> None:
        """Add an issue before or after the others of its row."""
        self._late.append((row, 0 if is_first else 2, found))

    def has_errors(self) -> bool:
        """Whether any of them is an error."""
        late = (found for _, _, found in self._late)
        every = (*self.of_sheet, *self._kinds, *late)
        return any(found.severity is Severity.ERROR for found in every)

    def __len__(self) -> int:
        return len(self.of_sheet) + len(self._rows) + len(self._late)

    def __iter__(self) -> Iterator[Issue]:
        yield from self.of_sheet
        kinds, by_row = self._kinds, itemgetter(0, 1)
        own = ((row, 1, kinds[i]) for row, i in zip(self._rows, self._which, strict=True))
        for row, _, found in merge(own, sorted(self._late, key=by_row), key=by_row):
            yield at(found, row)

    @overload
    def __getitem__(self, index: int) -> Issue: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Issue]: ...
    def __getitem__(self, index: int | slice) -> Issue | Sequence[Issue]:
        return tuple(self)[index]


@dataclass(frozen=True, slots=True)
class CheckRules:
    """The user's choices for a check."""

    tz: tzinfo
    """The time zone of times without an offset."""
    strict: bool = False
    """Whether a warning keeps a row from being sent."""
    duplicates: Treatment = "error"
    """How to treat rows that set the same classroom differently."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Header as the user wrote it → key of the setting it holds."""
    profiles: frozenset[str] | None = None
    """The names that a column of institutions may hold; None if nobody knows them."""


_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True)
class Validated:
    """The result of checking a whole sheet."""

    rows: int
    valid: int
    issues: Sequence[Issue]
    """Issues of the sheet as a whole, then those of its rows, unless rows were kept."""
    of_sheet: tuple[Issue, ...]
    kept: tuple[CheckedRow, ...]
    """Every row with its issues, if rows were kept."""
    ignored_columns: tuple[str, ...]
    has_errors: bool
    timetable: Claims | None
    """The valid rows with their lock times, if a column has start times."""


class Validator:
    """Checks one sheet: `take` every block of its rows, then call `result`.

    With `keep` all rows are kept with their issues; otherwise each takes only a few bytes.
    """

    def __init__(
        self,
        headers: tuple[str, ...],
        header_row: int,
        endpoint: Endpoint,
        rules: CheckRules,
        *,
        keep: bool = False,
    ) -> None:
        self._columns: Columns = resolve(headers, header_row, endpoint, rules.mapping)
        held = self._columns.held
        order = {setting.key: place for place, setting in enumerate(endpoint.columns)}
        self._read = [
            Column(
                index,
                headers[index],
                setting,
                cell_cache(setting, tz=rules.tz, profiles=rules.profiles),
            )
            for index, setting in sorted(held.items(), key=lambda each: order[each[1].key])
        ]
        names = [
            index
            for index, header in enumerate(headers)
            if index not in held and header.strip() and not is_result_column(header)
        ]
        self._strict = rules.strict
        self._treatment = rules.duplicates
        self._row_checker = RowChecker(self._read, endpoint, self._weigh)
        self._column_checks = ColumnChecks(self._read, names, self._weigh(Severity.WARNING))
        self._claims = Claims(self._row_checker.targets)
        self._has_institutions = any(c.setting.role is Role.INSTITUTION for c in self._read)
        self._has_times = any(c.setting.role is Role.SCHEDULE for c in self._read)
        self._log = IssueLog()
        self._kept: list[CheckedRow] | None = [] if keep else None
        self._rows = self._invalid = 0

    def _weigh(self, severity: Severity) -> Severity:
        is_raised = self._strict and severity is Severity.WARNING
        return Severity.ERROR if is_raised else severity

    def _with_severity(self, issues: Iterable[Issue]) -> Iterator[Issue]:
        return (replace(issue, severity=self._weigh(issue.severity)) for issue in issues)

    @property
    def columns(self) -> Mapping[str, int]:
        """Setting key → index of its column."""
        return {column.setting.key: column.index for column in self._read}

    @property
    def same(self) -> dict[Name, Name]:
        """Second name of a classroom → the name that is used, from rows that give both."""
        return self._claims.same

    def take(self, block: Block) -> None:
        """Check some consecutive rows."""
        self._rows += len(block.numbers)
        if not self._columns.can_be_read:
            if self._kept is not None:
                self._kept += (Invalid(number, ()) for number in block.numbers)
            return
        lines = self._row_checker.read(block)
        self._column_checks.see(lines)
        for checked in self._row_checker.check(lines):
            if self._kept is not None:
                self._kept.append(self._row_checker.row(checked))
            elif checked.issues:
                self._log.add(checked.number, checked.issues)
            if checked.target is None:
                self._invalid += 1
            else:
                self._claim(checked, checked.target)

    def take_rows(self, rows: Sequence[RawRow]) -> None:
        """Check rows that are in memory."""
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            columns = list(zip(*(row.cells for row in some), strict=True))
            extra = {row.number: row.extra for row in some if row.extra}
            self.take(Block([row.number for row in some], columns, extra))

    def _claim(self, checked: RowCheck, target: int) -> None:
        checker, values = self._row_checker, checked.values
        locks_at = checker.locks_at(checked) if self._has_times else None
        whose = checker.institution(checked) if self._has_institutions else ""
        self._claims.add(
            checked.number, target, values[target], checker.settings_hash(checked), locks_at, whose
        )
        if checked.also is not None:
            other = checker.targets[checked.also], values[checked.also], whose
            self._claims.same[other] = checker.targets[target], values[target], whose

    def result(self, of_file: Sequence[Issue] = ()) -> Validated:
        """The result once every block was taken; `of_file` are the issues of the file itself."""
        self._resolve_duplicates()
        self._log.of_sheet = (
            *self._with_severity((*of_file, *self._columns.issues)),
            *self._column_checks.issues(),
            *(found for _, found in sorted(self._row_checker.other_tables.items())),
        )
        if any(found.severity is Severity.ERROR for found in self._log.of_sheet):
            # No column can be trusted, so no row is sent.
            self._invalid = self._rows
        return Validated(
            self._rows,
            self._rows - self._invalid,
            self._log,
            self._log.of_sheet,
            tuple(self._kept or ()),
            self._columns.ignored,
            self._log.has_errors(),
            self._claims if self._has_times else None,
        )

    def _resolve_duplicates(self) -> None:
        resolved = list(resolutions(self._claims, self._treatment))
        if self._kept is not None and resolved:
            self._resolve_kept(self._kept, resolved)
        for place, found, instead in resolved:
            if instead is None:
                self._invalid += 1
                self._claims.drop(place)
            else:
                self._claims.follow(place, instead)
            if self._kept is None:
                self._log.add_late(self._claims.rows[place], found, is_first=instead is None)

    def _resolve_kept(self, kept: list[CheckedRow], resolved: Sequence[Resolution]) -> None:
        index = {row.row: i for i, row in enumerate(kept)}
        for place, found, instead in resolved:
            number = self._claims.rows[place]
            before, late = kept[index[number]], at(found, number)
            kept[index[number]] = Invalid(number, (late, *before.issues), before.institution)
            if instead is not None:
                other = kept[index[self._claims.rows[instead]]]
                if isinstance(other, Change):
                    issues = (*before.issues, late)
                    kept[index[number]] = replace(other, row=number, issues=issues)


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

    @property
    def columns(self) -> Mapping[str, int]:
        """Setting key → index of its column."""
        return self._rows.columns

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
            done = SentRows(
                tuple(
                    Invalid(row.row, (*of_sheet, *row.issues), row.institution)
                    for row in found.kept
                )
            )
        else:
            same = self._rows.same | self._sent.same
            done = resolve_with_sent(
                found.kept, self._sent.result().kept, same, self._rules.duplicates
            )
        return Checked(
            done.rows, of_sheet, found.ignored_columns, self._rows.columns, done.overtaken
        )


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
