"""Finds the header line and the data rows among lines of cells: a sheet that is being read."""

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Literal, cast

from bulkcast.arguments import Series
from bulkcast.catalogue import RESULT_PREFIX, Endpoint, Setting, is_result_column
from bulkcast.errors import UnreadableSheet
from bulkcast.headers import fold
from bulkcast.i18n import marked
from bulkcast.model import Block, Cell, FlaggedCell, Issue, Layout, RawRow, Sheet, Text

Cells = Sequence[Cell]
Line = tuple[int, Cells]
"""A line's number, as a spreadsheet shows it, and its cells from column A on."""

Chunk = tuple[Sequence[int], Sequence[Cells]]
"""Some consecutive lines: their numbers, and the cells of each."""

WIDEST: Final = 256
"""Columns to read at most; a stray cell may be in column 16,384."""
HEADER_WITHIN: Final = 10
"""Lines searched for the header; Chinese templates put a title and notes above it."""

# A first cell with one of these is broken data or too narrow for its value; it is no comment.
_ERROR_VALUE: Final = re.compile(r"#(#{3,}|N/A|REF!|VALUE!|NAME\?|DIV/0!|NULL!|NUM!|SPILL!|CALC!)")


@dataclass(frozen=True, slots=True)
class Header:
    """The header line."""

    number: int
    names: tuple[str, ...]
    """Up to the last name that is not empty."""
    matches: int
    """Number of different columns of the endpoint that it names."""


def is_results(names: Iterable[str]) -> bool:
    """Whether the header of these names is one that bulkcast wrote."""
    return any(name.strip().casefold() == f"{RESULT_PREFIX}status" for name in names)


def find_header(
    head: Iterable[Line], endpoint: Endpoint, mapping: Mapping[str, str], row: int | None = None
) -> Header | None:
    """The line of `head` that names the most columns, or None if no line names any.

    The first of equal lines wins.  `head` may be the whole sheet: lines after `HEADER_WITHIN` are
    ignored.  With `row` it is the line of this number, whatever it names.
    """
    known = frozenset(fold(header) for header in mapping)
    found = [
        Header(number, names, _matches(names, endpoint, known))
        for number, names in ((n, _names(cells)) for n, cells in head if n <= HEADER_WITHIN)
    ]
    if row is not None:
        return next((header for header in found if header.number == row and header.names), None)
    best = max(found, key=lambda header: header.matches, default=None)
    return best if best is not None and best.matches else None


def mapped_columns(
    headers: Iterable[str], endpoint: Endpoint, mapping: Mapping[str, str]
) -> list[Setting | None]:
    """The column that each header stands for, if any; what the user says of it comes first."""
    folded = {fold(header): key for header, key in mapping.items()}
    return [endpoint.mapped_column(header, folded) for header in headers]


def second_header_row(
    head: Iterable[Line], header: Header, endpoint: Endpoint, mapping: Mapping[str, str]
) -> tuple[int, str] | None:
    """The second row of a two-row header: its number and the first column that only it names.

    In a two-row header a cell of one row names a column that the other row leaves blank, or groups
    several columns.  None for a header of one row.
    """
    mapped = frozenset(fold(name) for name in mapping)
    columns = [endpoint.column_for(name) for name in header.names]
    held = {column.key for column in columns if column is not None}
    taken = {
        i for i, name in enumerate(header.names) if columns[i] is not None or fold(name) in mapped
    }
    named = {i for i, name in enumerate(header.names) if name.strip()}
    for number, cells in head:
        names = _names(cells)
        is_below = number == header.number + 1 and not any(
            name.strip() for i, name in enumerate(names) if i in taken
        )
        if number != header.number - 1 and not is_below:
            continue
        found = {i: c for i, n in enumerate(names) if (c := endpoint.column_for(n))}
        fresh = [i for i, column in found.items() if column.key not in held and i not in taken]
        # One such name below an unknown header may be a data value.
        if any(i not in named for i in fresh) or (is_below and len(fresh) > 1):
            first = next(i for i in fresh if i not in named or is_below)
            return number, names[first].strip()
    return None


def require_one_row_header(
    head: Iterable[Line], header: Header, endpoint: Endpoint, mapping: Mapping[str, str]
) -> None:
    """Refuse a two-row header: the columns that one of its rows names would be ignored.

    Raises:
        UnreadableSheet: the header has two rows.

    """
    if half := second_header_row(head, header, endpoint, mapping):
        raise UnreadableSheet(
            "The header stands in two rows, {row} and {other}: {column} is named in row {other}"
            " alone; write all names into row {row}, each above its column, and delete the other"
            " row.",
            row=header.number,
            other=half[0],
            column=half[1],
        )


def _names(cells: Cells) -> tuple[str, ...]:
    names = ["" if cell is None else str(cell) for cell in cells]
    while names and not names[-1].strip():
        names.pop()
    return tuple(names)


def _matches(names: Iterable[str], endpoint: Endpoint, known: Container[str]) -> int:
    matched = set()
    for name in names:
        column = endpoint.column_for(name)
        folded = fold(name)
        if column is not None:
            matched.add(column.key)
        elif folded and (folded in endpoint.ambiguous_headers or folded in known):
            matched.add(folded)
    return len(matched)


def no_header(
    place: str | Text, endpoint: Endpoint, head: Iterable[Line] = (), delimiters: str = ",;\t|，"
) -> UnreadableSheet:
    """The error for a sheet without a header; `head` are its first lines."""
    packed = [
        (number, cells[0])
        for number, cells in head
        if cells and isinstance(cells[0], str) and all(map(_is_empty, cells[1:]))
    ]
    for delimiter in delimiters:
        lines = [(number, cell.split(delimiter)) for number, cell in packed]
        header = find_header(lines, endpoint, {})
        if header is not None and header.matches > 1:
            return UnreadableSheet(
                "{place} holds each row in one cell, as in row {row}: {cell}; split that column at"
                " its separators (in Excel: Data > Text to Columns) and save it again.",
                place=place,
                row=header.number,
                cell=repr(delimiter.join(header.names[:3])),
            )
    examples = Series(tuple(f"{c.key} ({c.label.zh})" for c in endpoint.columns[:5]))
    return UnreadableSheet(
        "{place} has no header row within its first {n} rows: none of "
        "them names a column such as {examples}; `bulkcast template` writes a sheet "
        "that does.",
        place=place,
        n=HEADER_WITHIN,
        examples=examples,
    )


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
    issues: Callable[[], tuple[Issue, ...]] = tuple
    """Gives the issues of the file as a whole; complete once all rows were read."""
    _counts: Counter[str] = field(default_factory=Counter)
    """Comments, blank and hidden rows so far; `pending` are blank rows since the last data row."""

    def blocks(self) -> Iterator[Block]:
        """The rows, some hundreds at a time; cells beyond the headers only if they are no notes.

        The same rows as those of `parts`, but much faster if every line is a row.
        """
        width, own = len(self.headers), _own_columns(self.headers)
        for numbers, read in self.chunks:
            lines = [_pad(cells, width) for cells in read] if self.notes_beside else read
            columns = list(zip(*lines, strict=True)) if set(map(len, lines)) == {width} else []
            is_shown = not self.hidden or self.hide == "include"
            if columns and is_shown and _are_all_rows(columns, own):
                self._count_blanks()
                self._counts["hidden"] += sum(n in self.hidden for n in numbers if self.hidden)
                yield Block(numbers, columns)
            elif found := list(self._rows(zip(numbers, lines, strict=True), self.headers)):
                yield _block(found)

    def all_remarks(self) -> tuple[Text, ...]:
        """What the user should know about the file; complete once all rows were read."""
        said = {"blank": _BLANK, "comments": _COMMENTS, "hidden": _HIDDEN[self.hide]}
        counted = (
            Text(one if n == 1 else several, {"n": str(n)})
            for kind, (one, several) in said.items()
            if (n := self._counts[kind])
        )
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
            # Notes beside the table are kept: the headers are padded to the widest row.
            kept = list(lines)
            widest = max((_extent(cells) for _, cells in kept), default=0)
            names += ("",) * (min(widest, WIDEST) - len(names))
            lines = ((number, cells[: len(names)]) for number, cells in kept)
        rows = self._rows(lines, names)
        while some := tuple(islice(rows, _AT_ONCE)):
            yield Sheet(self.name, self.layout, names, some)
        layout = replace(self.layout, hidden_rows=self._counts["hidden"])
        yield Sheet(self.name, layout, names, (), self.all_remarks(), self.issues())

    def _rows(self, lines: Iterable[Line], names: Sequence[str]) -> Iterator[RawRow]:
        """The data rows among `lines`, each padded to the width of `names`; the others are counted.

        A row that holds only an earlier run's results is blank.
        """
        own, width = _own_columns(names), len(names)
        for number, cells in lines:
            if _is_blank(cells, own, width):
                self._counts["pending"] += 1
            elif is_comment(cells):
                self._counts["comments"] += 1
            else:
                is_hidden = number in self.hidden
                self._counts["hidden"] += is_hidden
                self._count_blanks()
                if not is_hidden or self.hide == "include":
                    extra = () if all(map(_is_empty, cells[width:])) else tuple(cells[width:])
                    yield RawRow(number, tuple(_pad(cells, width)), is_hidden, extra)

    def _count_blanks(self) -> None:
        """Count the pending blank rows; those below the last data row are never counted."""
        self._counts["blank"] += self._counts.pop("pending", 0)


_AT_ONCE: Final = 1024


def _pad(row: Cells, width: int) -> Cells:
    if len(row) == width:
        return row
    return row[:width] if len(row) > width else (*row, *(None,) * (width - len(row)))


def _extent(cells: Cells) -> int:
    width = len(cells)
    while width and cells[width - 1] in (None, ""):
        width -= 1
    return width


def _block(found: Sequence[RawRow]) -> Block:
    columns = list(zip(*(row.cells for row in found), strict=True))
    return Block(
        [row.number for row in found],
        columns,
        {row.number: row.extra for row in found if row.extra},
    )


def _are_all_rows(columns: Sequence[Sequence[Cell]], own: Container[int]) -> bool:
    """Whether every line is certainly a data row; False if the lines must be checked one by one."""
    if _may_hold_comments(columns[0]):
        return False
    return any(i in own and _is_full(column) for i, column in enumerate(columns))


def _is_full(column: Sequence[Cell]) -> bool:
    """Whether every cell of `column` holds something."""
    if None in column or "" in column:
        return False
    try:
        return not any(map(str.isspace, cast("Sequence[str]", column)))
    except TypeError:
        return not any(isinstance(cell, str) and cell.isspace() for cell in column)


def _may_hold_comments(column: Sequence[Cell]) -> bool:
    try:
        lines = "\n".join(cast("Sequence[str]", column))
    except TypeError:
        return any(map(_may_be_a_comment, column))
    return lines.startswith("#") or "\n#" in lines


def _may_be_a_comment(first: Cell) -> bool:
    return isinstance(first, FlaggedCell) or (isinstance(first, str) and first.startswith("#"))


def _is_blank(cells: Cells, own: Container[int], width: int) -> bool:
    return all(_is_empty(cell) or (i < width and i not in own) for i, cell in enumerate(cells))


def _is_empty(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def is_comment(cells: Cells) -> bool:
    """Whether the line is a comment: its first cell begins with `#`."""
    first = cells[0] if cells else None
    if isinstance(first, FlaggedCell) and first.code == "cell.merged":
        first = first.value
    if not isinstance(first, str) or not first.startswith("#"):
        return False
    return _ERROR_VALUE.fullmatch(first.strip()) is None


def _own_columns(names: Sequence[str]) -> frozenset[int]:
    """The indexes of the columns that are the user's, not an earlier run's results."""
    return frozenset(i for i, name in enumerate(names) if not is_result_column(name))


def header_remark(header: Header) -> Iterator[Text]:
    """The remark about a header that is not the first line."""
    if header.number > 1:
        yield Text("The header was found in row {n}.", {"n": str(header.number)})


_BLANK: Final = (
    marked("{n} blank row between the others was passed over."),
    marked("{n} blank rows between the others were passed over."),
)
_COMMENTS: Final = (
    marked("{n} row that begins with # was passed over as a comment."),
    marked("{n} rows that begin with # were passed over as comments."),
)
_HIDDEN: Final = {
    "include": (
        marked("{n} hidden row is included; leave it out with --hidden skip."),
        marked("{n} hidden rows are included; leave them out with --hidden skip."),
    ),
    "skip": (marked("{n} hidden row was left out."), marked("{n} hidden rows were left out.")),
}
