"""Reads every form of an xlsx worksheet's XML with lxml; `xlsx_fast` reads the usual form.

openpyxl's own reader is not used: it refuses a whole workbook because of one style or drop-down.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final
from zipfile import ZipFile

from lxml import etree
from openpyxl.utils.cell import column_index_from_string, coordinate_from_string
from openpyxl.utils.datetime import from_ISO8601

from bulkcast import ooxml
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import filetype
from bulkcast.loader.annotations import Range, merged_only
from bulkcast.loader.table import WIDEST, Line
from bulkcast.model import ROWS_MAX, Cell, FlaggedCell, column_letters
from bulkcast.ooxml import Package, cell_of, number_of

MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DATA, _ROW, _CELL, _VALUE, _FORMULA, _INLINE, _MERGED = (
    f"{{{MAIN}}}{name}" for name in ("sheetData", "row", "c", "v", "f", "is", "mergeCell")
)
_TRUE: Final = frozenset({"1", "true"})


class StoredValues:
    """Converts the stored values of one workbook to cells."""

    def __init__(self, package: Package, strings: Sequence[str]) -> None:
        self._package, self._strings = package, strings

    def cell(self, kind: str, style: int, stored: str) -> Cell:
        """The cell of type `kind` that stores this text.

        Raises:
            ValueError, OverflowError, IndexError: the text is none of that type.

        """
        number_format = self._package.formats[style]
        match kind:
            case "s":
                return self._strings[_index(stored)]
            case "str" | "inlineStr":
                return cell_of(stored, kind, number_format)
            case "n":
                is_float = "." in stored or "E" in stored or "e" in stored
                number = float(stored) if is_float else int(stored)
                return number_of(number, number_format, self._package.epoch)
            case "b":
                return bool(int(stored))
            case "d":
                moment: object = from_ISO8601(stored)  # type: ignore[no-untyped-call]  # openpyxl's
                return cell_of(moment, kind, number_format)
            case _:
                return cell_of(stored, kind, number_format)

    def unsaved(self, kind: str, stored: str, formula: str) -> FlaggedCell | None:
        """The cell of a formula whose value no spreadsheet program computed; else None."""
        is_placeholder = stored == self._package.placeholder and kind == "n"
        if is_placeholder or (not stored and kind != "str"):
            return FlaggedCell("cell.formula_unsaved", shown=f"={formula}")
        return None


def _index(digits: str) -> int:
    if (number := int(digits)) < 0:
        raise ValueError(digits)
    return number


def row_number(stored: str | None, before: int) -> int:
    """The number of a row that follows row `before`; a row without a number is the next one.

    Raises:
        UnreadableSheet: the number cannot be that of such a row.

    """
    number = int(stored) if stored else before + 1
    if number <= before:
        raise UnreadableSheet(
            "The worksheet is damaged: row {number} comes after {before}.",
            number=number,
            before=before,
        )
    if number > ROWS_MAX:
        raise UnreadableSheet("The worksheet has rows beyond {last}.", last=ROWS_MAX)
    return number


def stored_twice(cell: str) -> UnreadableSheet:
    """The error for a cell that a worksheet has twice: it is unclear which one is meant."""
    return UnreadableSheet(
        "The worksheet is damaged: the cell {cell} stands in it twice.", cell=cell
    )


def shared_strings(part: IO[bytes]) -> Iterator[str]:
    """The shared strings as cells show them.

    openpyxl's own reader removes every `x005F_`, which is part of some texts.
    """
    for _, item in etree.iterparse(part, tag="{*}si", resolve_entities=False, no_network=True):
        yield cell_text(_text(item))
        _release(item)


def cell_text(text: str) -> str:
    """A shared string with the escapes for characters that XML cannot hold resolved."""
    cell = cell_of(text, "s", "General")
    return cell if isinstance(cell, str) else text


def _text(item: Any) -> str:
    # Without `rPh`: pronunciation is shown above the text and is not part of it.
    pieces = (*item.iterfind("{*}t"), *item.iterfind("{*}r/{*}t"))
    return "".join(piece.text or "" for piece in pieces)


def _release(element: Any) -> None:
    """Free the memory of an element that was read, and of those before it."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


def part_of(package: Package, tab: str) -> str:
    """The part that holds the worksheet `tab`.

    Raises:
        UnreadableSheet: the workbook has no such part.

    """
    part = next((t.part for t in package.tabs if t.name == tab), "")
    if not part:
        raise UnreadableSheet(
            "The workbook is damaged: nothing in it is its worksheet {tab!r}.", tab=tab
        )
    return part


class XlsxParser:
    """An xlsx workbook, open."""

    def __init__(self, path: Path) -> None:
        self._packed = ZipFile(path)
        self._package = ooxml.read_package(self._packed)
        self._values = StoredValues(self._package, self._strings())

    def _strings(self) -> Sequence[str]:
        if self._package.strings is None:
            return ()
        with self._packed.open(self._package.strings) as part:
            return list(shared_strings(part))

    def close(self) -> None:
        """Close the file."""
        self._packed.close()

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        return [(tab.name, tab.is_visible) for tab in self._package.tabs]

    def is_incomplete(self, tab: str) -> bool:  # noqa: ARG002  # part of the protocol
        """Whether error cells of a worksheet look blank: never in xlsx."""
        return False

    def head(self, tab: str) -> Iterator[Line]:
        """The lines of a worksheet; the caller takes only the first few."""
        return (line for line, _ in self._rows(tab))

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet, and whether it is hidden."""
        flagger = merged_only(self._merged(tab))
        for (number, cells), is_hidden in self._rows(tab):
            yield (number, flagger.flag(number, cells)), is_hidden

    def _parse(self, tab: str, *tags: str) -> Iterator[tuple[str, Any]]:
        """The starts of all elements with these tags and, before it is released, the end of each.

        Raises:
            UnreadableSheet: the worksheet has a document type.

        """
        with self._packed.open(part_of(self._package, tab)) as part:
            events = etree.iterparse(
                part, events=("start", "end"), tag=tags, resolve_entities=False, no_network=True
            )
            for event, element in events:
                yield event, element
                if event == "end":
                    _release(element)
            filetype.refuse_doctype(events.root.getroottree())

    def _merged(self, tab: str) -> Iterator[Range]:
        """The merged ranges, which follow the rows.

        Raises:
            UnreadableSheet: the worksheet has two tables.

        """
        has_table = False
        for event, element in self._parse(tab, _DATA, _ROW, _MERGED):
            if event == "end" and element.tag == _MERGED:
                yield Range.parse(element.get("ref", ""))
            if event == "start" and element.tag == _DATA:
                if has_table:
                    raise filetype.two_tables()
                has_table = True

    def _rows(self, tab: str) -> Iterator[tuple[Line, bool]]:
        number = 0
        for event, row in self._parse(tab, _ROW):
            if event == "end":
                number = row_number(row.get("r"), number)
                yield (number, self._cells(row, number)), row.get("hidden") in _TRUE

    def _cells(self, row: Any, number: int) -> Sequence[Cell]:
        """The cells of a row, with None where it has none."""
        cells: dict[int, Cell] = {}
        column = 0
        for element in row.iterchildren(_CELL):
            if place := element.get("r"):
                column = column_index_from_string(coordinate_from_string(place)[0]) - 1
            if column in cells:
                raise stored_twice(f"{column_letters(column)}{number}")
            if column < WIDEST:
                cells[column] = self._cell(element)
            column += 1
        return tuple(map(cells.get, range(max(cells, default=-1) + 1)))

    def _cell(self, element: Any) -> Cell:
        kind, style = element.get("t", "n"), _index(element.get("s", "0"))
        inline = element.find(_INLINE) if kind == "inlineStr" else None
        stored = element.findtext(_VALUE, "") if inline is None else _text(inline)
        if (formula := element.find(_FORMULA)) is not None:
            unsaved = self._values.unsaved(kind, stored, formula.text or "")
            if unsaved:
                return unsaved
        return self._values.cell(kind, style, stored) if stored else None
