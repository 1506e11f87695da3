"""A sheet that is being read, and the options for reading it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Literal

from bulkcast.loader import table
from bulkcast.loader.table import WIDEST, Cells, Chunk, Line, Tally
from bulkcast.model import Block, Cell, Issue, Layout, Sheet, Text


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about the file; None lets the reader guess."""

    tab: str | None = None
    """The worksheet's name, for workbooks."""
    encoding: str | None = None
    delimiter: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Header as the user wrote it → key of the setting it holds."""
    hidden: Literal["include", "skip"] = "include"
    """Whether hidden rows are read."""
    header_row: int | None = None
    """The header's row, which must be within the first ten."""


@dataclass(frozen=True, slots=True)
class Head:
    """The first lines of a sheet, and how they were read."""

    lines: Sequence[Line]
    header_row: int | None
    """None if no line names a column."""
    tabs: Sequence[tuple[str, bool]] = ()
    """The worksheets of a workbook, and whether each is visible."""
    tab: str | None = None
    """The worksheet that the lines are of."""
    encoding: str = ""
    delimiter: str = ""


@dataclass(slots=True)
class Stream:
    """A sheet with only a few rows in memory at any time; it can be read once."""

    name: str
    layout: Layout
    headers: tuple[str, ...]
    chunks: Iterable[Chunk]
    hidden: set[int]
    """Numbers of the hidden rows read so far."""
    hide: Literal["include", "skip"]
    remarks: tuple[Text, ...]
    """Remarks known before the rows are read."""
    notes_beside: bool = False
    """Whether cells beyond the last header are notes; else they show that a row is shifted."""
    late_remarks: list[Text] = field(default_factory=list)
    """Remarks that the file's reader adds at the end of the file."""
    doubts: Callable[[], tuple[Issue, ...]] = tuple
    """Gives the issues of the file as a whole; complete once all rows were read."""
    _tally: Tally = field(default_factory=Tally)

    def blocks(self) -> Iterator[Block]:
        """The rows, some hundreds at a time; cells beyond the headers only if they are no notes."""
        width = len(self.headers)
        return table.blocks(
            self._pad_chunks(width) if self.notes_beside else self.chunks,
            width=width, own=table.own_columns(self.headers), tally=self._tally,
            hidden=self.hidden, hide=self.hide,
        )  # fmt: skip

    def _pad_chunks(self, width: int) -> Iterator[Chunk]:
        for numbers, rows in self.chunks:
            yield numbers, [_pad(row, width) for row in rows]

    def all_remarks(self) -> tuple[Text, ...]:
        """What the user should know about the file; complete once all rows were read."""
        counted = table.remarks(self._tally, self.hide)
        return (*self.remarks, *self.late_remarks, *counted)

    def sheet(self) -> Sheet:
        """The whole sheet."""
        *parts, last = self.parts()
        return replace(last, rows=tuple(row for part in parts for row in part.rows))

    def parts(self) -> Iterator[Sheet]:
        """The whole sheet, some hundreds of rows at a time.

        The last part has no rows; it has the remarks and issues of the sheet as a whole.
        """
        lines: Iterable[Line] = (line for chunk in self.chunks for line in zip(*chunk, strict=True))
        names = self.headers
        if self.notes_beside:
            kept = list(lines)
            names = self._names([cells for _, cells in kept])
            lines = ((number, _cut(cells, len(names))) for number, cells in kept)
        rows = table.rows(
            lines, width=len(names), own=table.own_columns(names), tally=self._tally,
            hidden=self.hidden, hide=self.hide,
        )  # fmt: skip
        while some := tuple(islice(rows, _AT_ONCE)):
            yield Sheet(self.name, self.layout, names, some)
        layout = replace(self.layout, hidden_rows=self._tally.hidden)
        yield Sheet(self.name, layout, names, (), self.all_remarks(), self.doubts())

    def _names(self, rows: Sequence[Cells]) -> tuple[str, ...]:
        """The headers, padded to the widest row, because notes beside the table are kept."""
        widest = max(map(_extent, rows), default=0)
        return self.headers + ("",) * (min(widest, WIDEST) - len(self.headers))


_AT_ONCE: Final = 1024
_NOTHING: Final[tuple[Cell, ...]] = (None, "")


def _pad(row: Cells, width: int) -> Cells:
    if len(row) == width:
        return row
    return row[:width] if len(row) > width else (*row, *(None,) * (width - len(row)))


def _cut(row: Cells, width: int) -> Cells:
    return row if len(row) <= width else row[:width]


def _extent(cells: Cells) -> int:
    width = len(cells)
    while width and cells[width - 1] in _NOTHING:
        width -= 1
    return width
