"""Whole-column checks: ids that are valid one by one but suspicious together."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from operator import eq, sub
from typing import Final, cast

from bulkcast.catalogue import IdKind, Role
from bulkcast.model import Cell, FlaggedCell, Issue, Severity
from bulkcast.problems import issue
from bulkcast.validator.columns import address
from bulkcast.validator.rows import Column, Lines

_LONG_ENOUGH: Final = 10**15
"""From 16 digits on spreadsheets replace the last digits of a number by zeros."""
_TOO_LONG: Final = 10**18
"""Ids of 19 digits are not checked."""
_MOST_ZEROS: Final = 0.01
"""Share of ids ending in 000 above which a column looks rounded; by chance it is 0.001."""
_FEWEST_TO_COMPARE: Final = 10
_FEWEST_IN_A_RUN: Final = 5

_ALIKE: Final = frozenset({bool, FlaggedCell})
"""Types whose cells compare equal to cells with another content."""

Cells = Sequence[Cell]
Names = tuple[Cell, ...]


@dataclass(slots=True)
class _Ids:
    """The ids of one column so far."""

    column: Column
    values: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: Counter[int] = field(default_factory=Counter)
    first_of_length: dict[int, int] = field(default_factory=dict)
    rounded: int = 0
    first_rounded: int = 0
    run: list[tuple[int, int, Names]] = field(default_factory=list)
    """Row, id and names of consecutive rows whose ids count up by one and whose names are equal."""
    longest_run: tuple[int, int] = (0, 0)
    """Number of rows in the longest run, and its first row."""

    def see(self, numbers: Sequence[int], ids: Sequence[int | None]) -> None:
        rows, found = numbers, [i for i in ids if i is not None]
        if not found:
            return
        if len(found) < len(ids):
            rows = [n for n, i in zip(numbers, ids, strict=True) if i is not None]
        self.values.extend(found)
        self._see_lengths(rows, found)
        if max(found) >= _LONG_ENOUGH:
            self._see_zeros(rows, found)

    def _see_lengths(self, rows: Sequence[int], found: Sequence[int]) -> None:
        length = len(str(min(found)))
        if length == len(str(max(found))):
            self.lengths[length] += len(found)
            self.first_of_length.setdefault(length, rows[0])
            return
        for number, value in zip(rows, found, strict=True):
            self.lengths[len(str(value))] += 1
            self.first_of_length.setdefault(len(str(value)), number)

    def _see_zeros(self, rows: Sequence[int], found: Sequence[int]) -> None:
        given = zip(rows, found, strict=True)
        rounded = [n for n, value in given if value >= _LONG_ENOUGH and value % 1000 == 0]
        if rounded and not self.rounded:
            self.first_rounded = rounded[0]
        self.rounded += len(rounded)

    def see_run(
        self, numbers: Sequence[int], ids: Sequence[int | None], named: Sequence[Cells]
    ) -> None:
        """Follow runs of ids that count up; `named` has the columns that identify a class."""
        last = len(ids) - 1
        if last < 1 or _has_pairs(ids, named):
            for place, value in enumerate(ids):
                self._extend_run(numbers[place], value, tuple([column[place] for column in named]))
            return
        # No run within this block: only its first and last row can belong to one.
        self._extend_run(numbers[0], ids[0], tuple([column[0] for column in named]))
        self.run = []
        self._extend_run(numbers[last], ids[last], tuple([column[last] for column in named]))

    def _extend_run(self, number: int, value: int | None, names: Names) -> None:
        if value is None:
            self.run = []
            return
        here = (number, value, names)
        if not self.run or (self.run[-1][1] + 1, self.run[-1][2]) != here[1:]:
            self.run = [here] if any(names) else []
            return
        self.run.append(here)
        if len(self.run) > self.longest_run[0]:
            self.longest_run = (len(self.run), self.run[0][0])

    def n_distinct(self) -> int:
        ordered = sorted(self.values)
        return bool(ordered) + sum(a != b for a, b in pairwise(ordered))


def _plain_ids(lines: Lines, key: str) -> list[int | None]:
    """The ids of a column that were read without findings; None for any other cell."""
    ids: list[int | None] = lines.values[key][:]
    for place, found in lines.remarkable.items():
        if any(key == other for other, _ in found):
            ids[place] = None
    if max(filter(None, ids), default=0) >= _TOO_LONG:
        return [None if id_ is None or id_ >= _TOO_LONG else id_ for id_ in ids]
    return ids


def _comparable(cells: Cells) -> Cells:
    """The cells, with None for those that compare equal to different cells: True equals 1."""
    if _ALIKE.isdisjoint(map(type, cells)):
        return cells
    return [None if cell.__class__ in _ALIKE else cell for cell in cells]


def _has_pairs(ids: Sequence[int | None], named: Sequence[Cells]) -> bool:
    """Whether some row has the previous row's id plus one, and the same names."""
    if None in ids:
        return True
    whole = cast("Sequence[int]", ids)
    steps = map((1).__eq__, map(sub, islice(whole, 1, None), whole))
    same = (map(eq, islice(column, 1, None), column) for column in named)
    return any(map(all, zip(steps, *same, strict=True)))


class ColumnChecks:
    """Checks the ids of a sheet, block by block."""

    def __init__(
        self, read: Sequence[Column], names: Sequence[int], severity: Severity = Severity.WARNING
    ) -> None:
        """`names` are columns that identify a class; `severity` is that of every issue."""
        self._severity = severity
        targets = [c for c in read if c.setting.role is Role.TARGET]
        contexts = [
            c for c in read if c.setting.role is Role.CONTEXT and isinstance(c.setting.kind, IdKind)
        ]
        schedule = [c.index for c in read if c.setting.role is Role.SCHEDULE]
        self._targets = [_Ids(column) for column in targets]
        self._contexts = [_Ids(column) for column in contexts]
        self._names = (*names, *schedule)
        self._equal: Counter[tuple[int, int]] = Counter()
        self._first_equal: dict[tuple[int, int], int] = {}

    def see(self, lines: Lines) -> None:
        """Examine some consecutive rows."""
        numbers, columns = lines.block.numbers, lines.block.columns
        read = {ids.column.index: _plain_ids(lines, ids.column.setting.key) for ids in self._all()}
        named = [_comparable(columns[index]) for index in self._names]
        for ids in self._all():
            ids.see(numbers, read[ids.column.index])
        for ids in self._targets:
            if named:
                ids.see_run(numbers, read[ids.column.index], named)
            for other in self._contexts:
                pair = (ids.column.index, other.column.index)
                self._see_equal_ids(pair, numbers, read[pair[0]], read[pair[1]])

    def _all(self) -> Sequence[_Ids]:
        return (*self._targets, *self._contexts)

    def _see_equal_ids(
        self,
        pair: tuple[int, int],
        numbers: Sequence[int],
        a: Sequence[int | None],
        b: Sequence[int | None],
    ) -> None:
        if not any(map(eq, a, b)):
            return
        alike = [n for n, x, y in zip(numbers, a, b, strict=True) if x is not None and x == y]
        if alike:
            self._first_equal.setdefault(pair, alike[0])
            self._equal[pair] += len(alike)

    def issues(self) -> tuple[Issue, ...]:
        """The issues of the columns; complete once all rows were seen."""
        of_ids = (found for ids in self._all() for found in self._id_issues(ids))
        return (*of_ids, *self._pair_issues())

    def _id_issues(self, ids: _Ids) -> Iterator[Issue]:
        n, total = ids.rounded, len(ids.values)
        if n > 1 and n > _MOST_ZEROS * total:
            yield self._issue("column.rounded", ids.column, ids.first_rounded, n=str(n))
        rare = [length for length, count in ids.lengths.items() if count == 1]
        if len(ids.lengths) == 2 and len(rare) == 1 and total > _FEWEST_TO_COMPARE:
            (usual,) = ids.lengths.keys() - set(rare)
            row, n_digits = ids.first_of_length[rare[0]], str(rare[0])
            yield self._issue("column.odd_length", ids.column, row, n=n_digits, usual=str(usual))
        length, first = ids.longest_run
        if length >= _FEWEST_IN_A_RUN:
            yield self._issue("column.counts_up", ids.column, first, n=str(length))

    def _pair_issues(self) -> Iterator[Issue]:
        """Issues for swapped columns, then for rows with one id in two columns."""
        pairs = [(target, context) for target in self._targets for context in self._contexts]
        for target, context in pairs:
            # Course ids repeat, class ids do not.
            n = len(target.values)
            if n < _FEWEST_TO_COMPARE or len(context.values) < n:
                continue
            if context.n_distinct() == len(context.values) and target.n_distinct() <= n // 2:
                yield self._issue("column.swapped", target.column, other=context.column.header)
        for target, context in pairs:
            place = (target.column.index, context.column.index)
            if n := self._equal[place]:
                row, other = self._first_equal[place], context.column.header
                yield self._issue("column.same_id", target.column, row, n=str(n), other=other)

    def _issue(self, code: str, column: Column, row: int | None = None, **args: str) -> Issue:
        cell = None if row is None else address(column.index, row)
        severity = self._severity
        return issue(code, row=row, column=column.header, cell=cell, severity=severity, **args)
