"""A sheet while it is read, and the options for reading it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Literal

from bulkcast.loader import table
from bulkcast.loader.table import WIDEST, Cells, Chunk, Line, Tally
from bulkcast.model import Block, Cell, Issue, Layout, Sheet, Text


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Answers to what would otherwise be guessed; None leaves the guess to the reader."""

    tab: str | None = None
    """The worksheet's name, for workbooks."""
    encoding: str | None = None
    delimiter: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Header as the user wrote it → key of the setting it holds."""
    hidden: Literal["include", "skip"] = "include"
    """What becomes of hidden rows."""


@dataclass(slots=True)
class Stream:
    """A sheet of which only a few rows are in memory at any time; it can be read once."""

    name: str
    layout: Layout
    headers: tuple[str, ...]
    chunks: Iterable[Chunk]
    hidden: set[int]
    """The numbers of the hidden rows met so far."""
    hide: Literal["include", "skip"]
    remarks: tuple[Text, ...]
    """What is known before the rows are read."""
    notes_beside: bool = False
    """Whether cells beyond the last header are notes; else they show that a row is shifted."""
    late_remarks: list[Text] = field(default_factory=list)
    """What the reader of the file has to say at the end of it."""
    doubts: Callable[[], tuple[Issue, ...]] = tuple
    """What is doubtful about the file as a whole; complete once all rows were read."""
    _tally: Tally = field(default_factory=Tally)

    def blocks(self) -> Iterator[Block]:
        """The rows, some hundreds at a time; cells beyond the headers only where they matter."""
        width = len(self.headers)
        return table.blocks(
            self._fitted(width) if self.notes_beside else self.chunks,
            width=width, own=table.own_columns(self.headers), tally=self._tally,
            hidden=self.hidden, hide=self.hide,
        )  # fmt: skip

    def _fitted(self, width: int) -> Iterator[Chunk]:
        for numbers, rows in self.chunks:
            yield numbers, [_fit(row, width) for row in rows]

    def all_remarks(self) -> tuple[Text, ...]:
        """What the user should know of the reading; complete once all rows were read."""
        counted = table.remarks(self._tally, self.hide)
        return (*self.remarks, *self.late_remarks, *counted)

    def sheet(self) -> Sheet:
        """All of it."""
        *parts, last = self.parts()
        return replace(last, rows=tuple(row for part in parts for row in part.rows))

    def parts(self) -> Iterator[Sheet]:
        """All of it, some hundreds of rows at a time.

        The last part has no rows, and all that is to be said of the sheet as a whole.
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
        """The headers, up to the widest row, since notes beside the table are kept."""
        widest = max(map(_extent, rows), default=0)
        return self.headers + ("",) * (min(widest, WIDEST) - len(self.headers))


_AT_ONCE: Final = 1024
_NOTHING: Final[tuple[Cell, ...]] = (None, "")


def _fit(row: Cells, width: int) -> Cells:
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
