"""Checking a sheet too long to be held: block by block, in memory that its rows do not fill.

Finds exactly what `check` finds.  Columns are looked at as wholes first (`bulk`); only rows that
hold something unusual are checked as rows.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bulkcast.catalogue import Endpoint, IdListKind, Role, TextKind
from bulkcast.model import Block, Change, Invalid, Issue, SettingValue, Severity
from bulkcast.validator import bulk, duplicates
from bulkcast.validator.bulk import Plain, Sieve
from bulkcast.validator.checking import Checking
from bulkcast.validator.duplicates import Treatment
from bulkcast.validator.issues import IssueLog
from bulkcast.validator.rows import Column, Judged
from bulkcast.validator.rules import compiled, rule_keys
from bulkcast.validator.timetable import Timetable

_REMEMBERED: Final = 65_536
_BLANK: Final[tuple[Plain, ...]] = (None, "")


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A whole sheet, checked; of its rows only what there is to say about them."""

    rows: int
    valid: int
    issues: Sequence[Issue]
    ignored_columns: tuple[str, ...]
    has_errors: bool
    timetable: Timetable | None
    """When the valid rows lock, where a column says when classes begin."""


class Survey:
    """One sheet's check: `take` every block, then, if `is_doubled`, `look_again` at every block."""

    def __init__(self, checking: Checking, endpoint: Endpoint, treatment: Treatment) -> None:
        self._checking, self._treatment = checking, treatment
        self._sieves = [Sieve(column) for column in checking.read]
        self._rules = _RuleSieve(checking.read, endpoint)
        self._presence = _Presence(checking.read)
        self._suspicions = checking.suspicions()
        self._log = IssueLog()
        self._rows = self._invalid = 0
        self._names: dict[str, list[int]] = {}
        self._suspects: dict[str, set[int]] = {}
        self._again: list[Judged] = []
        has_times = any(c.setting.role is Role.SCHEDULE for c in checking.read)
        self._timetable = Timetable(checking.read, endpoint) if has_times else None

    def take(self, block: Block) -> None:
        """Check some consecutive rows."""
        self._rows += len(block.numbers)
        if not self._checking.columns.can_be_read:
            return
        columns, doubtful = _plain(block)
        for sieve in self._sieves:
            doubtful |= sieve.doubtful(columns[sieve.column.index])
        doubtful |= self._rules.doubtful(columns)
        doubtful |= self._presence.doubtful(columns, len(block.numbers))
        self._suspicions.see(block.numbers, columns)
        if self._timetable:
            self._timetable.see(block.numbers, columns, doubtful)
        for place in sorted(doubtful):
            self._judge(block, place, columns)

    def _judge(self, block: Block, place: int, columns: Sequence[Sequence[Plain]]) -> None:
        judged = self._checking.check_row(block.row(place))
        self._log.of_row(judged.row.row, judged.row.issues)
        if self._timetable:
            self._timetable.take(judged.row)
        if isinstance(judged.row, Invalid):
            self._invalid += 1
            return
        for key, value, index in self._named(judged):
            if bulk.ids([columns[index][place]]) == [None]:
                # The suspicions have not seen this id: it had to be cleaned first.
                self._names.setdefault(key, []).append(value)

    def _named(self, judged: Judged) -> Iterator[tuple[str, int, int]]:
        """What a judged row calls its classroom: key, id, and index of the column."""
        if isinstance(judged.row, Change):
            for target in filter(None, (judged.row.target, judged.also)):
                yield target.key, target.id, self._checking.index_of(target.key)

    # -------------------------------------------------------------- the same classroom twice

    def is_doubled(self) -> bool:
        """Whether some classroom may be set twice, so that all blocks have to be seen again."""
        if self._treatment == "in-order" or not self._checking.columns.can_be_read:
            return False
        for key, ids in self._suspicions.target_ids():
            ordered = sorted([*ids, *self._names.get(key, ())])
            self._suspects[key] = {a for a, b in pairwise(ordered) if a == b}
        return any(self._suspects.values())

    def look_again(self, block: Block) -> None:
        """Judge those of some consecutive rows that may set the same classroom as others."""
        columns, _ = _plain(block)
        places: set[int] = set()
        for key, suspects in self._suspects.items():
            index = self._checking.index_of(key)
            ids = bulk.ids(columns[index])
            places |= {
                place
                for place, value in enumerate(ids)
                if value in suspects
                or (value is None and block.columns[index][place] not in _BLANK)
            }
        self._again.extend(self._checking.check_row(block.row(place)) for place in sorted(places))

    def _settle(self) -> None:
        settled = duplicates.settled(self._again, self._treatment)
        again = zip(self._again, settled, strict=True)
        changed = {after.row: after for before, after in again if after is not before.row}
        self._invalid += sum(isinstance(after, Invalid) for after in changed.values())
        self._again = []
        self._log.instead({row: after.issues for row, after in changed.items()})
        if self._timetable:
            self._timetable.settle(changed)

    # -------------------------------------------------------------- the end

    def result(self, of_file: Sequence[Issue] = ()) -> Surveyed:
        """What was found, `of_file` included; every block was seen."""
        self._settle()
        of_sheet = (
            *self._checking.weighed(of_file),
            *self._checking.weighed(self._checking.columns.issues),
            *self._suspicions.issues(self._checking.weigh),
            *self._checking.other_tables(),
        )
        if any(i.severity is Severity.ERROR for i in of_sheet):
            # No column can be trusted: no row is sent, whatever it says.
            self._invalid = self._rows
        self._log.of_sheet(of_sheet)
        return Surveyed(
            self._rows,
            self._rows - self._invalid,
            self._log,
            self._checking.columns.ignored,
            self._log.has_errors(),
            self._timetable,
        )


def _plain(block: Block) -> tuple[list[Sequence[Plain]], set[int]]:
    """All columns with their plain cells, and the places of rows that hold others."""
    doubtful: set[int] = set()
    if block.extra:
        doubtful = {place for place, number in enumerate(block.numbers) if number in block.extra}
    columns: list[Sequence[Plain]] = []
    for column in block.columns:
        cells, odd = bulk.plain_cells(column)
        columns.append(cells)
        doubtful |= odd
    return columns, doubtful


class _Presence:
    """Whether rows name exactly one classroom and set something."""

    def __init__(self, read: Iterable[Column]) -> None:
        roles: dict[Role, list[int]] = {}
        for column in read:
            roles.setdefault(column.setting.role, []).append(column.index)
        self._targets = roles.get(Role.TARGET, [])
        self._settings = roles.get(Role.SETTING, [])

    def doubtful(self, columns: Sequence[Sequence[Plain]], n: int) -> set[int]:
        """The places of rows that name none or several, or set nothing."""
        doubtful: set[int] = set()
        blanks = [bulk.n_blank(columns[index]) for index in self._targets]
        if sorted(blanks) != [0, *[n] * (len(blanks) - 1)]:
            rows = zip(*(columns[index] for index in self._targets), strict=True)
            doubtful = {place for place, row in enumerate(rows) if _n_given(row) != 1}
        if all(bulk.n_blank(columns[index]) for index in self._settings):
            rows = zip(*(columns[index] for index in self._settings), strict=True)
            doubtful |= {
                place for place, row in enumerate(rows) if not any(row) and not _n_given(row)
            }
        return doubtful


def _n_given(row: Collection[Plain]) -> int:
    return sum(cell not in _BLANK for cell in row)


class _RuleSieve:
    """Sorts out the rows whose settings break a rule."""

    def __init__(self, read: Iterable[Column], endpoint: Endpoint) -> None:
        keys = {key for rule in endpoint.rules for key in rule_keys(rule)}
        self._columns = [column for column in read if column.setting.key in keys]
        self._breaches = compiled(endpoint.rules)
        self._known: dict[tuple[Plain, ...], bool] = {}

    def doubtful(self, columns: Sequence[Sequence[Plain]]) -> set[int]:
        """The places of rows that break a rule, or whose settings cannot be read."""
        if not self._columns:
            return set()
        wanted = [_shortened(columns[c.index], c) for c in self._columns]
        broken = {case for case in set(zip(*wanted, strict=True)) if self._is_broken(case)}
        if not broken:
            return set()
        return {place for place, case in enumerate(zip(*wanted, strict=True)) if case in broken}

    def _is_broken(self, case: tuple[Plain, ...]) -> bool:
        known = self._known.get(case)
        if known is None:
            known = bool(self._breaches(self._values(case)))
            if len(self._known) < _REMEMBERED:
                self._known[case] = known
        return known

    def _values(self, case: tuple[Plain, ...]) -> Mapping[str, SettingValue]:
        values: dict[str, SettingValue] = {}
        for column, cell in zip(self._columns, case, strict=True):
            value = column.readers.read(cell).value
            if value is not None:
                values[column.setting.key] = value
        return values


def _shortened(cells: Sequence[Plain], column: Column) -> Sequence[Plain]:
    """The column as far as rules can tell: of lists and texts, whether they hold something.

    Those hardly repeat, and no rule looks inside them.
    """
    if isinstance(column.setting.kind, IdListKind | TextKind):
        return ["1" if cell else None for cell in cells]
    return cells
