"""Many cells of one column at once: which of them certainly have nothing to be said about them.

What is not certain is left to the readers, cell by cell: this only spares them the ordinary.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast

from bulkcast.catalogue import IdKind, IdListKind, TextKind
from bulkcast.model import Cell, FlaggedCell
from bulkcast.validator.readers import Readers
from bulkcast.validator.reading import EXACT_BELOW
from bulkcast.validator.rows import Column
from bulkcast.validator.texts import LONGEST_PASSWORD

Plain = str | int | float | datetime | None
"""A cell that two of which are equal say the same: neither a truth value (True equals 1) nor
flagged."""

_PLAIN_TYPES: Final = frozenset({str, int, float, datetime, type(None)})
_ID: Final = re.compile(r"[1-9][0-9]{0,17}")
_IDS: Final = re.compile(r"(?:[1-9][0-9]{0,17}\n)*[1-9][0-9]{0,17}")
_ID_LIST: Final = re.compile(r"[1-9][0-9]{0,17}(?:,[1-9][0-9]{0,17})*")
_UNSENDABLE: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
_LONGEST_SIMPLE: Final = 255
"""Characters that no encoding makes longer than what is signed alike everywhere."""
_REMEMBERED: Final = 16_384


def joined(column: Sequence[Cell]) -> str | None:
    """The cells as lines, where all of them are texts; None where any is not."""
    try:
        # `join` looks at the types many times as fast as anything else.
        return "\n".join(cast("Sequence[str]", column))
    except TypeError:
        return None


def plain_cells(column: Sequence[Cell]) -> tuple[Sequence[Plain], set[int]]:
    """The column with None for every cell that is not plain, and the places of those."""
    if joined(column) is not None or set(map(type, column)) <= _PLAIN_TYPES:
        # The line above says so in a way that the type checker cannot follow.
        return cast("Sequence[Plain]", column), set()
    odd = {place for place, cell in enumerate(column) if type(cell) not in _PLAIN_TYPES}
    return [_as_plain(cell) for cell in column], odd


def _as_plain(cell: Cell) -> Plain:
    return None if isinstance(cell, bool | FlaggedCell) else cell


def n_blank(column: Sequence[Plain]) -> int:
    """How many cells hold nothing at all."""
    return column.count(None) + column.count("")


def ids(column: Sequence[Plain]) -> list[int | None]:
    """The ids that stand there as they should; None for any other cell, blank or not."""
    lines = joined(column)
    if lines is not None and _IDS.fullmatch(lines) and lines.count("\n") == len(column) - 1:
        return list(map(int, lines.split("\n")))
    return [_id(cell) for cell in column]


def _id(cell: Plain) -> int | None:
    if isinstance(cell, str):
        return int(cell) if _ID.fullmatch(cell) else None
    if isinstance(cell, int):
        return cell if 0 < cell < EXACT_BELOW else None
    return None


@dataclass(slots=True)
class Sieve:
    """Sorts out the cells of one column that something may have to be said about."""

    column: Column
    _are_simple: Callable[[str], object] = field(init=False)
    _is_simple: Callable[[str], object] = field(init=False)
    _clean: set[Plain] = field(default_factory=lambda: {None, ""})
    """Cells known to be so; those that tests as quick as a look are not remembered."""

    def __post_init__(self) -> None:
        self._is_simple = _simple(self.column)
        self._are_simple = _all_simple(self.column)

    def doubtful(self, cells: Sequence[Plain]) -> set[int]:
        """The places of the cells that hold something which has to be looked at."""
        lines = None if self._are_simple is _never else joined(cells)
        if lines is not None and self._are_simple(lines) and lines.count("\n") == len(cells) - 1:
            return set()
        suspects = {cell for cell in set(cells) - self._clean if not self._is_clean(cell)}
        if not suspects:
            return set()
        return {place for place, cell in enumerate(cells) if cell in suspects}

    def _is_clean(self, cell: Plain) -> bool:
        if isinstance(cell, str) and self._is_simple(cell):
            return True
        is_clean = _reads_clean(self.column.readers, cell)
        if is_clean and len(self._clean) < _REMEMBERED:
            self._clean.add(cell)
        return is_clean


def _reads_clean(readers: Readers, cell: Plain) -> bool:
    reading = readers.read(cell)
    return reading.value is not None and not reading.findings


def _simple(column: Column) -> Callable[[str], object]:
    """A quick test which only cells pass that the column's reader takes as they stand."""
    match column.setting.kind:
        case IdKind():
            return _ID.fullmatch
        case IdListKind():
            return _is_simple_list
        case TextKind() as kind:
            return re.compile(_simple_text(kind, _UNSENDABLE)).fullmatch
        case _:
            return _never


def _all_simple(column: Column) -> Callable[[str], object]:
    """The same test for many cells as lines at once."""
    match column.setting.kind:
        case IdKind():
            return _IDS.fullmatch
        case TextKind() as kind:
            line = _simple_text(kind, rf"{_UNSENDABLE}\n")
            return re.compile(rf"(?:(?:{line})?\n)*(?:{line})?").fullmatch
        case _:
            return _never


def _simple_text(kind: TextKind, without: str) -> str:
    # What begins with a letter, a digit or a Chinese character other than that of 清空 is no word
    # for an error and none for clearing, however it is folded.
    most = min(kind.cut_at or _LONGEST_SIMPLE, _LONGEST_SIMPLE) - 1
    if kind.secret:
        most = LONGEST_PASSWORD - 1
        return rf"[0-9A-Za-z][!-~]{{0,{most}}}"
    return rf"[0-9A-Za-z\u4e00-\u6e04\u6e06-\u9fff][^{without}]{{0,{most}}}"


def _is_simple_list(cell: str) -> bool:
    if not _ID_LIST.fullmatch(cell):
        return False
    parts = cell.split(",")
    return len(set(parts)) == len(parts)


def _never(_: str) -> bool:
    return False
