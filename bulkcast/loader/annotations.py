"""Merged ranges and hidden rows: what a worksheet says of its cells apart from their values."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from openpyxl.utils.cell import range_boundaries

from bulkcast.errors import UnreadableSheet
from bulkcast.loader.table import WIDEST
from bulkcast.model import COLUMNS_MAX, ROWS_MAX, Cell, FlaggedCell, column_letters


class Range(NamedTuple):
    """A merged range."""

    first_column: int
    """Counted from 0."""
    first_row: int
    end_column: int
    """The column after the last one."""
    last_row: int

    @classmethod
    def parse(cls, name: str) -> Self:
        """The range with this name.

        >>> Range.parse("B2:C4")
        Range(first_column=1, first_row=2, end_column=3, last_row=4)
        """
        left, top, right, bottom = range_boundaries(name)
        return cls((left or 1) - 1, top or 1, right or COLUMNS_MAX, bottom or ROWS_MAX)

    @property
    def name(self) -> str:
        """The range as spreadsheets write it."""
        first = f"{column_letters(self.first_column)}{self.first_row}"
        return f"{first}:{column_letters(self.end_column - 1)}{self.last_row}"


@dataclass(frozen=True, slots=True)
class Annotations:
    """Hidden rows, special cells and merged ranges of one worksheet."""

    hidden: set[int] = field(default_factory=set)
    """The hidden rows."""
    special: defaultdict[int, dict[int, Cell]] = field(default_factory=lambda: defaultdict(dict))
    """Row → column, from 0 → the cell to use instead of the value."""
    merged: list[Range] = field(default_factory=list)


class Flagger:
    """Flags the merged and special cells of a worksheet, row by row from its first row on."""

    def __init__(self, found: Annotations) -> None:
        self._special = found.special
        # Cells to the right of `WIDEST` are not read.
        ranges = (merged for merged in found.merged if merged.first_column < WIDEST)
        self._later = sorted(ranges, key=lambda merged: merged.first_row, reverse=True)
        self._current: list[Range] = []
        self._width = 0

    def flag(self, row: int, cells: Sequence[Cell]) -> Sequence[Cell]:
        """The cells of `row`.

        A merged range may reach beyond the last cell of its row; it is followed as far as the
        widest row so far.

        Raises:
            UnreadableSheet: the row has more merged ranges than columns.

        """
        self._width = max(self._width, len(cells))
        merged, special = self._merged(row), self._special.get(row, {})
        if not special and (not merged or all(cell is None for cell in cells)):
            return cells
        flagged = [*cells, *(None,) * (self._width - len(cells))]
        for index, cell in special.items():
            if index < self._width:
                flagged[index] = cell
        for found in merged:
            for index in range(found.first_column, min(found.end_column, self._width)):
                flagged[index] = _merged(flagged[index], found.name)
        return flagged

    def _merged(self, row: int) -> Sequence[Range]:
        while self._later and self._later[-1].first_row <= row:
            self._current.append(self._later.pop())
        if self._current:
            self._current = [merged for merged in self._current if merged.last_row >= row]
        if len(self._current) > WIDEST:
            raise UnreadableSheet("The worksheet has too many merged cells; unmerge them.")
        return self._current


def merged_only(ranges: Iterable[Range]) -> Flagger:
    """Flag the cells of these ranges."""
    return Flagger(Annotations(merged=list(ranges)))


def _merged(cell: Cell, name: str) -> FlaggedCell:
    value = cell.value if isinstance(cell, FlaggedCell) else cell
    shown = "" if value is None else str(value)
    return FlaggedCell("cell.merged", shown=shown, value=value, args={"range": name})
