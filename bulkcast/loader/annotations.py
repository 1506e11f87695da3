"""Merged cells, hidden rows and formulas without a saved value, from a worksheet's XML."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zipfile import ZipFile

from lxml import etree
from openpyxl.utils.cell import (
    column_index_from_string,
    coordinate_from_string,
    range_boundaries,
)

from bulkcast import ooxml
from bulkcast.errors import UnreadableSheet
from bulkcast.model import COLUMNS_MAX, ROWS_MAX, Cell, FlaggedCell, column_letters

_FORMULA_CELLS: Final = etree.XPath("*[local-name()='c'][*[local-name()='f']]")
_TALL: Final = 1000
"""Merged ranges with this many rows or more are stored as a whole, not row by row."""
_MOST_TALL: Final = 100
_MOST_MERGED_ROWS: Final = 300_000
"""Limit for the rows of all other merged ranges together; real sheets have a few thousand."""

Span = tuple[int, int, str]
"""A merged range's first column, from 0, its end column (exclusive) and its name."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged ranges of a worksheet."""

    short: Mapping[int, Sequence[Span]] = field(default_factory=dict)
    """Row number → the ranges that touch the row."""
    tall: Sequence[tuple[range, Span]] = ()
    """All rows of a range, and the range."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.short or self.tall)

    def of(self, row: int) -> Sequence[Span]:
        """The ranges that touch the row with this number."""
        found = self.short.get(row, ())
        if not self.tall:
            return found
        return (*found, *(span for rows, span in self.tall if row in rows))


@dataclass(frozen=True, slots=True)
class Annotations:
    """Hidden rows, special cells and merged ranges of one worksheet."""

    hidden: frozenset[int] = frozenset()
    """The hidden rows."""
    special: Mapping[int, Mapping[int, Cell]] = field(default_factory=dict)
    """Row → column, from 0 → the cell to use instead of the value."""
    merged: Merged = Merged()

    def flag(self, row: int, cells: Sequence[Cell], *, width: int) -> Sequence[Cell]:
        """The cells of `row`; up to column `width`, merged and special cells become flagged."""
        special, merged = self.special.get(row, {}), self.merged.of(row)
        if not special and (not merged or all(cell is None for cell in cells)):
            return cells
        flagged = [*cells, *(None,) * (width - len(cells))]
        for index, cell in special.items():
            if index < width:
                flagged[index] = cell
        for first, end, name in merged:
            for index in range(first, min(end, width)):
                flagged[index] = _merged(flagged[index], name)
        return flagged


def _merged(cell: Cell, name: str) -> FlaggedCell:
    value = cell.value if isinstance(cell, FlaggedCell) else cell
    shown = "" if value is None else str(value)
    return FlaggedCell("cell.merged", shown=shown, value=value, args={"range": name})


def merged(ranges: Iterable[tuple[int, int, int, int]]) -> Merged:
    """Index merged ranges, each given as first column from 0, first row, end column, last row.

    Raises:
        UnreadableSheet: there are more than any real table has.

    """
    short: defaultdict[int, list[Span]] = defaultdict(list)
    tall: list[tuple[range, Span]] = []
    room = _MOST_MERGED_ROWS
    for first_column, first_row, end_column, last_row in ranges:
        span = (
            first_column, end_column, _range_name(first_column, first_row, end_column, last_row)
        )  # fmt: skip
        rows = range(first_row, last_row + 1)
        if len(rows) >= _TALL:
            tall.append((rows, span))
            rows = range(0)
        room -= len(rows)
        if room < 0 or len(tall) > _MOST_TALL:
            raise UnreadableSheet("The worksheet has too many merged cells; unmerge them.")
        for row in rows:
            short[row].append(span)
    return Merged(short, tall)


def _range_name(first_column: int, first_row: int, end_column: int, last_row: int) -> str:
    first = f"{column_letters(first_column)}{first_row}"
    return f"{first}:{column_letters(end_column - 1)}{last_row}"


def bounds(name: str) -> tuple[int, int, int, int]:
    """A merged range's first column from 0, first row, end column and last row."""
    first_column, first_row, last_column, last_row = range_boundaries(name)
    return (first_column or 1) - 1, first_row or 1, last_column or COLUMNS_MAX, last_row or ROWS_MAX


# ------------------------------------------------------------------ reading the XML


def read_annotations(packed: ZipFile, tab: str) -> Annotations:
    """The annotations of the worksheet `tab`.

    Raises:
        UnreadableSheet: the workbook is damaged, or of a kind that cannot be read reliably.

    """
    structure = ooxml.read_package(packed)
    return _AnnotationReader(packed, part_of(structure, tab), structure.placeholder).annotations()


def part_of(structure: ooxml.Package, tab: str) -> str:
    """The part that holds the worksheet `tab`.

    Raises:
        UnreadableSheet: the workbook has no such part.

    """
    part = next((t.part for t in structure.tabs if t.name == tab), "")
    if not part:
        raise UnreadableSheet(
            "The workbook is damaged: nothing in it is its worksheet {tab!r}.", tab=tab
        )
    return part


def two_tables() -> UnreadableSheet:
    """The error for a worksheet with two `sheetData` elements."""
    return UnreadableSheet(
        "The worksheet is damaged: its rows stand in two tables, of which programs show one; copy"
        " its rows into a new workbook."
    )


def refuse_dtd(tree: Any) -> None:
    """Refuse an XML tree with a document type.

    Raises:
        UnreadableSheet: the tree has one.

    """
    if tree.docinfo.doctype:
        raise UnreadableSheet("The workbook holds a document type, which no spreadsheet writes.")


class _AnnotationReader:
    """Collects annotations in one pass over a worksheet's XML."""

    def __init__(self, packed: ZipFile, path: str, placeholder: str | None) -> None:
        self._packed, self._path = packed, path
        self._placeholder = placeholder
        self._row = 0
        self._hidden: set[int] = set()
        self._unsaved: dict[int, dict[int, FlaggedCell]] = {}
        self._ranges: list[str] = []
        self._has_table = False

    def annotations(self) -> Annotations:
        with self._packed.open(self._path) as part:
            events = etree.iterparse(
                part,
                events=("start", "end"),
                tag=("{*}row", "{*}mergeCell", "{*}sheetData"),
                resolve_entities=False,
                no_network=True,
            )
            for event, element in events:
                if element.tag.endswith("}sheetData"):
                    self._require_one_table(is_begun=event == "start")
                    continue
                if event == "start":
                    continue
                self._take(element)
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
            refuse_dtd(events.root.getroottree())
        return Annotations(
            frozenset(self._hidden), self._unsaved, merged(map(bounds, self._ranges))
        )

    def _require_one_table(self, *, is_begun: bool) -> None:
        if is_begun and self._has_table:
            raise two_tables()
        self._has_table = True

    def _take(self, element: Any) -> None:
        if element.tag.endswith("}mergeCell"):
            self._ranges.append(element.get("ref", ""))
        else:
            self._take_row(element)

    def _take_row(self, element: Any) -> None:
        number = int(element.get("r") or self._row + 1)
        if number <= self._row:
            raise UnreadableSheet(
                "The worksheet is damaged: row {number} comes after {before}.",
                number=number,
                before=self._row,
            )
        self._row = number
        if element.get("hidden") in {"1", "true"}:
            self._hidden.add(number)
        formulas: Any = _FORMULA_CELLS(element)
        unsaved = {
            _column(cell): FlaggedCell("cell.formula_unsaved", shown=f"={_text(cell, 'f')}")
            for cell in formulas
            if self._is_unsaved(cell)
        }
        if unsaved:
            self._unsaved[number] = unsaved

    def _is_unsaved(self, cell: Any) -> bool:
        """Whether a formula's cell has no value computed by a spreadsheet program.

        `Package.placeholder` explains the second case.
        """
        value, kind = _text(cell, "v"), cell.get("t")
        return (not value and kind != "str") or (value == self._placeholder and kind in {None, "n"})


def _text(cell: Any, name: str) -> str:
    return cell.findtext(f"{{*}}{name}") or ""


def _column(cell: Any) -> int:
    """The cell's column, from 0; a cell without an address follows the one before it."""
    before = 0
    while cell is not None:
        if cell.get("r"):
            return before + column_index_from_string(coordinate_from_string(cell.get("r"))[0]) - 1
        before += 1
        cell = cell.getprevious()
    return before - 1
