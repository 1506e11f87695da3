"""Finds the header line and the data rows among lines of cells."""

import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from bulkcast.arguments import Series
from bulkcast.catalogue import RESULT_PREFIX, Endpoint, fold, is_result_column
from bulkcast.errors import UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.model import Block, Cell, FlaggedCell, RawRow, Text

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

    @property
    def is_result_sheet(self) -> bool:
        """Whether the sheet has result columns of bulkcast."""
        return is_results(self.names)


def is_results(names: Iterable[str]) -> bool:
    """Whether the header of these names is one that bulkcast wrote."""
    return any(name.strip().casefold() == f"{RESULT_PREFIX}status" for name in names)


def find_header(
    head: Iterable[Line], endpoint: Endpoint, mapping: Mapping[str, str]
) -> Header | None:
    """The line of `head` that names the most columns, or None if no line names any.

    The first of equal lines wins.  `head` may be the whole sheet: lines after `HEADER_WITHIN` are
    ignored.
    """
    known = frozenset(fold(header) for header in mapping)
    found = [
        Header(number, names, _matches(names, endpoint, known))
        for number, names in ((n, _names(cells)) for n, cells in head if n <= HEADER_WITHIN)
    ]
    best = max(found, key=lambda header: header.matches, default=None)
    return best if best is not None and best.matches else None


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


@dataclass(slots=True)
class Tally:
    """Counts of the lines skipped so far, and of the hidden rows."""

    blank: int = 0
    comments: int = 0
    hidden: int = 0
    pending: int = 0
    """Blank rows since the last data row."""


def rows(
    lines: Iterable[Line],
    *,
    width: int,
    own: Container[int],
    tally: Tally,
    hidden: Container[int],
    hide: Literal["include", "skip"],
) -> Iterator[RawRow]:
    """The data rows among `lines`, each padded to `width`; `tally` counts the others.

    `own` are the user's columns: a row that holds only an earlier run's results is blank.  Blank
    lines below the last row are not counted.
    """
    for number, cells in lines:
        if _is_blank(cells, own, width):
            tally.pending += 1
            continue
        if is_comment(cells):
            tally.comments += 1
            continue
        is_hidden = number in hidden
        tally.hidden += is_hidden
        tally.blank, tally.pending = tally.blank + tally.pending, 0
        if not is_hidden or hide == "include":
            yield _row(number, cells, width=width, hidden=is_hidden)


def blocks(
    chunks: Iterable[Chunk],
    *,
    width: int,
    own: Container[int],
    tally: Tally,
    hidden: Collection[int],
    hide: Literal["include", "skip"],
) -> Iterator[Block]:
    """The same rows as `rows`, some hundreds at a time; much faster if every line is a row."""
    for numbers, lines in chunks:
        columns = list(zip(*lines, strict=True)) if set(map(len, lines)) == {width} else []
        if columns and _are_all_rows(columns, own) and (not hidden or hide == "include"):
            tally.blank, tally.pending = tally.blank + tally.pending, 0
            tally.hidden += len(hidden) and sum(number in hidden for number in numbers)
            yield Block(numbers, columns)
            continue
        found = list(
            rows(
                zip(numbers, lines, strict=True), width=width, own=own, tally=tally, hidden=hidden,
                hide=hide,
            )
        )  # fmt: skip
        if found:
            yield _block(found)


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


def _row(number: int, cells: Cells, *, width: int, hidden: bool) -> RawRow:
    if len(cells) == width:
        return RawRow(number, tuple(cells), hidden)
    if len(cells) < width:
        return RawRow(number, (*cells, *(None,) * (width - len(cells))), hidden)
    extra = tuple(cells[width:])
    return RawRow(number, tuple(cells[:width]), hidden, () if all(map(_is_empty, extra)) else extra)


def own_columns(names: Sequence[str]) -> frozenset[int]:
    """The indexes of the columns that are the user's, not an earlier run's results."""
    return frozenset(i for i, name in enumerate(names) if not is_result_column(name))


def header_remark(header: Header) -> Iterator[Text]:
    """The remark about a header that is not the first line."""
    if header.number > 1:
        yield Text("The header was found in row {n}.", {"n": str(header.number)})


def remarks(tally: Tally, hide: Literal["include", "skip"]) -> Iterator[Text]:
    """The counts of `tally` as sentences."""
    said = ((tally.blank, _BLANK), (tally.comments, _COMMENTS), (tally.hidden, _HIDDEN[hide]))
    for n, (one, several) in said:
        if n:
            yield Text(one if n == 1 else several, {"n": str(n)})


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
