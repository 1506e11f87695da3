"""What a worksheet's XML says of its cells beyond their values.

Hidden rows, merged ranges, and formulas whose value was never saved: openpyxl's streaming reader
tells none of them, and each would turn into a wrong value in silence.
"""

import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zipfile import ZipFile

from lxml import etree
from openpyxl.utils.cell import column_index_from_string, coordinate_from_string, range_boundaries

from bulkcast.errors import UnreadableSheet
from bulkcast.model import Cell, FlaggedCell

_STRICT: Final = "http://purl.oclc.org/ooxml"
_FORMULA_CELLS: Final = etree.XPath("*[local-name()='c'][*[local-name()='f']]")
_MOST_MERGED_ROWS: Final = 5_000_000
"""Heights of all merged ranges together; a sheet people made has a few thousand."""

Span = tuple[int, int, str]
"""The columns a merged range takes up, from 0, the last one excluded; and its name."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is special about the cells of one worksheet, by the row's number."""

    hidden: frozenset[int] = frozenset()
    """The rows that are not shown."""
    unsaved: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    """Column, from 0 → the formula that has no value."""
    merged: Mapping[int, Sequence[Span]] = field(default_factory=dict)

    def flag(self, row: int, cells: Sequence[Cell], *, width: int) -> Sequence[Cell]:
        """The cells of `row`, those up to `width` that are not just their value flagged."""
        unsaved, merged = self.unsaved.get(row, {}), self.merged.get(row, ())
        if not unsaved and (not merged or all(cell is None for cell in cells)):
            return cells
        flagged = [*cells, *(None,) * (width - len(cells))]
        for index, formula in unsaved.items():
            if index < width:
                flagged[index] = FlaggedCell("cell.formula_unsaved", shown=formula)
        for first, end, name in merged:
            for index in range(first, min(end, width)):
                flagged[index] = _merged(flagged[index], name)
        return flagged


def _merged(cell: Cell, name: str) -> FlaggedCell:
    value = cell.value if isinstance(cell, FlaggedCell) else cell
    shown = "" if value is None else str(value)
    return FlaggedCell("cell.merged", shown=shown, value=value, args={"range": name})


# ------------------------------------------------------------------ reading the XML


def look(packed: ZipFile, tab: str) -> Marks:
    """The marks of the worksheet `tab` of an unpacked workbook.

    Raises:
        UnreadableSheet: the workbook is of a make that cannot be read truthfully.

    """
    workbook = _part(packed, "", "officeDocument")
    tree = _parse(packed, workbook)
    if tree.tag.startswith(f"{{{_STRICT}"):
        raise UnreadableSheet(
            "The workbook is saved as Strict Open XML; save it as an ordinary .xlsx workbook."
        )
    recalculated = any(
        part.get("fullCalcOnLoad") in {"1", "true"} for part in tree.iterfind("{*}calcPr")
    )
    sheet = next(part for part in tree.iterfind("{*}sheets/{*}sheet") if part.get("name") == tab)
    relation = next(value for name, value in sheet.items() if name.endswith("}id"))
    path = _part(packed, workbook, f"#{relation}")
    return _Look(packed, path, "0" if recalculated else None).marks()


def _part(packed: ZipFile, source: str, wanted: str) -> str:
    """The name of the part that `source` relates to as `wanted`: `#id`, or the end of a type."""
    folder, name = posixpath.split(source)
    for relation in _parse(packed, posixpath.join(folder, "_rels", f"{name}.rels")):
        kind, key = str(relation.get("Type", "")), str(relation.get("Id", ""))
        if kind.endswith(f"/{wanted}") or f"#{key}" == wanted:
            return posixpath.normpath(posixpath.join("/", folder, relation.get("Target"))).lstrip(
                "/"
            )
    raise UnreadableSheet("The workbook is damaged: nothing in it is its {wanted}.", wanted=wanted)


def _parse(packed: ZipFile, name: str) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    with packed.open(name) as part:
        tree = etree.parse(part, parser)
    _refuse_dtd(tree)
    return tree.getroot()


def _refuse_dtd(tree: Any) -> None:
    if tree.docinfo.doctype:
        raise UnreadableSheet("The workbook holds a document type, which no spreadsheet writes.")


class _Look:
    """One pass over a worksheet's XML."""

    def __init__(self, packed: ZipFile, path: str, placeholder: str | None) -> None:
        self._packed, self._path = packed, path
        self._placeholder = placeholder
        self._row = 0
        self._hidden: set[int] = set()
        self._unsaved: dict[int, dict[int, str]] = {}
        self._ranges: list[str] = []

    def marks(self) -> Marks:
        with self._packed.open(self._path) as part:
            events = etree.iterparse(
                part, tag=("{*}row", "{*}mergeCell"), resolve_entities=False, no_network=True
            )
            for _, element in events:
                self._take(element)
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
            _refuse_dtd(events.root.getroottree())
        return Marks(frozenset(self._hidden), self._unsaved, self._merged())

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
            _column(cell): f"={_text(cell, 'f')}" for cell in formulas if self._is_unsaved(cell)
        }
        if unsaved:
            self._unsaved[number] = unsaved

    def _is_unsaved(self, cell: Any) -> bool:
        """Whether a formula's cell holds no value a spreadsheet program computed.

        Some libraries write 0 in place of a value they cannot compute, and ask the program that
        opens the file to compute all: such a 0 would switch settings off.
        """
        value, kind = _text(cell, "v"), cell.get("t")
        return (not value and kind != "str") or (value == self._placeholder and kind in {None, "n"})

    def _merged(self) -> Mapping[int, Sequence[Span]]:
        rows: defaultdict[int, list[Span]] = defaultdict(list)
        room = _MOST_MERGED_ROWS
        for name in self._ranges:
            first_column, first_row, last_column, last_row = range_boundaries(name)
            last_row = min(last_row or self._row, self._row)
            room -= last_row - (first_row or 1)
            if room < 0:
                raise UnreadableSheet("The worksheet has too many merged cells; unmerge them.")
            for row in range(first_row or 1, last_row + 1):
                rows[row].append(((first_column or 1) - 1, last_column or 16384, name))
        return rows


def _text(cell: Any, name: str) -> str:
    return cell.findtext(f"{{*}}{name}") or ""


def _column(cell: Any) -> int:
    """The cell's column, from 0; a cell that does not say follows the one before it."""
    before = 0
    while cell is not None:
        if cell.get("r"):
            return before + column_index_from_string(coordinate_from_string(cell.get("r"))[0]) - 1
        before += 1
        cell = cell.getprevious()
    return before - 1
