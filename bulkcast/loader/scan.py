"""A worksheet's cells straight from its XML, at the speed of a search for text.

Reads only XML of the plain make that spreadsheet programs write, and proves for every row that
nothing was passed over: each `<` of it must belong to a cell that was understood.  Whatever is
made otherwise raises `Unusual`, and the reference reader takes over.  So there is one pass for
what the fast parsers give (values) and what they leave out (error cells, number formats, formulas
never saved, hidden rows, exact digits); it takes half the time of the fastest of them, and it can
neither crash nor fill the memory, whatever the file holds.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from openpyxl.utils.cell import column_index_from_string, get_column_letter

from bulkcast.errors import UnreadableSheet
from bulkcast.loader.plainxml import Unusual, pieces
from bulkcast.loader.stored import FORMULA, Cells, Kinds
from bulkcast.loader.table import WIDEST, Chunk
from bulkcast.model import Cell

_LAST_ROW: Final = 1_048_576
_LAST_COLUMN: Final = 16_384

_ATTRIBUTES: Final = r'(?:\s+[\w:.]+="[^"<]*")*\s*'
_ROW: Final = re.compile(rf'\s*<row(?:\s+r="(\d{{1,9}})")?({_ATTRIBUTES})(/?)>')
_CELL: Final = re.compile(
    r'<c r="([A-Z]{1,3})\d{1,7}"([^<>]*)>'
    r'<(?:v>([^<]*)</v|is><t(?: xml:space="preserve")?>([^<]*)</t></is)></c>'
)
"""A cell as nearly all are: its letters, attributes, and value or inline text."""
_BARE: Final = re.compile(r'<c(?=[\s/>])(?! r="[A-Z]{1,3}\d{1,7}")')
"""Begins a cell that does not say where it stands."""
_BEGIN: Final = re.compile(r'<c(?=[\s/>])(?: r="([A-Z]{1,3})\d{1,7}")?(?![^<>]*\sr=)')
_EMPTY: Final = re.compile(
    r'<c r="[A-Z]{1,3}\d{1,7}"(?: [\w:]+="[^"<>]*")*\s*(?:/>|></c>|><v\s*/></c>)'
)
_ANY: Final = re.compile(
    r'<c r="([A-Z]{1,3})\d{1,7}"([^<>]*)>'
    r"(?:(<f(?:\s[^<>]*)?)(?:/>|>([^<]*)</f>))?"
    r'(?:<v(?:\s+xml:space="preserve")?>([^<]*)</v>|<v\s*/>|'
    r'<is><t(?:\s+xml:space="preserve")?>([^<]*)</t></is>)?</c>'
)

_Stored = tuple[str, str, str, str]
"""A cell's letters, attributes, what stands in `<v>`, and its inline text."""


@dataclass(slots=True)
class Found:
    """What a scan has met so far, beyond the cells."""

    hidden: set[int]
    last_row: int = 0
    is_wide: bool = False
    """Whether there are cells beyond the columns that are read."""


class _Places(dict[str, int]):
    """A column's letters → its index; those no sheet of settings has share one beyond the last."""

    def __missing__(self, letters: str) -> int:
        self[letters] = place = min(column_index_from_string(letters) - 1, WIDEST)
        return place


def chunks(part: IO[bytes], cells: Cells, found: Found) -> Iterator[Chunk]:
    """The rows of a worksheet's XML, some hundreds at a time; `found` is filled as they come.

    Raises:
        Unusual: a full parser has to read the rest: what lies behind `found.last_row`.
        UnreadableSheet: the rows contradict each other.

    """
    rows = _Rows(cells, found)
    for some in pieces(part):
        chunk = rows.chunk(some)
        if chunk[0]:
            yield chunk
        if rows.unusual:
            raise Unusual


class _Rows:
    def __init__(self, cells: Cells, found: Found) -> None:
        self._kinds = Kinds(cells)
        self._places = _Places()
        self._found = found
        self._width = 1
        self.unusual = False

    def chunk(self, some: Sequence[str]) -> Chunk:
        """The rows of some pieces of XML, each of which ends where a row does."""
        numbers: list[int] = []
        rows: list[list[Cell]] = []
        try:
            for piece in some:
                body = self._begin(piece)
                if body is not None:
                    rows.append(self._row(body))
                    numbers.append(self._found.last_row)
        except Unusual:
            # The row that was begun is left to the full parser, with all that follow.
            self._found.last_row = numbers[-1] if numbers else self._found.last_row - 1
            self.unusual = True
        return numbers, rows

    def _begin(self, piece: str) -> str | None:
        """The XML of the cells of the row in `piece`; None where there is none."""
        start = 0
        while head := _ROW.match(piece, start):
            self._enter(head[1], head[2])
            start = head.end()
            if not head[3]:
                return piece[start:]
        if piece[start:].strip():
            raise Unusual
        return None

    def _enter(self, number: str | None, attributes: str) -> None:
        last = self._found.last_row
        row = int(number) if number else last + 1
        if row <= last:
            raise UnreadableSheet(
                "The worksheet is damaged: row {number} comes after {before}.",
                number=row,
                before=last,
            )
        if row > _LAST_ROW:
            raise UnreadableSheet("The worksheet has rows beyond {last}.", last=_LAST_ROW)
        if " r=" in attributes:
            raise Unusual
        self._found.last_row = row
        if ' hidden="1"' in attributes or ' hidden="true"' in attributes:
            self._found.hidden.add(row)

    def _row(self, body: str) -> list[Cell]:
        found = self._all_cells(body)
        row: list[Cell] = [None] * self._width
        places, kinds = self._places, self._kinds
        try:
            for letters, attributes, stored, inline in found:
                row[places[letters]] = kinds[attributes][stored or inline]
        except IndexError:
            return self._wider(found)
        if len(found) + row.count(None) != self._width:
            self._require_once(found)
        return row

    def _require_once(self, found: Sequence[_Stored]) -> None:
        """Refuse a row that has a cell twice: nobody can tell which of the two is meant."""
        seen: set[str] = set()
        for letters, *_ in found:
            if letters in seen:
                raise UnreadableSheet(
                    "The worksheet is damaged: the cell {cell} stands in it twice.",
                    cell=f"{letters}{self._found.last_row}",
                )
            seen.add(letters)

    def _all_cells(self, body: str) -> Sequence[_Stored]:
        """The cells of a row that hold something, after proof that there are no others."""
        found = _CELL.findall(body)
        if self._are_all(found, body):
            return found
        if _BARE.search(body):
            body = _BEGIN.sub(_Counter(), body)
        if "/" in body:
            body = _EMPTY.sub("", body)
        found = _CELL.findall(body)
        if self._are_all(found, body):
            return found
        cells = _ANY.findall(body)
        if "<" in _ANY.sub("", body):
            raise Unusual
        return [_general(*cell) for cell in cells]

    def _are_all(self, found: Sequence[_Stored], body: str) -> bool:
        """Whether each `<` of the row belongs to one of these cells, and each inline text counts.

        A cell with a value has four of them, one with an inline text six.
        """
        if (n := body.count("<")) == 4 * len(found):
            return True
        inline = [attributes for _, attributes, _, text in found if text]
        if n != 4 * len(found) + 2 * len(inline):
            return False
        return all(self._kinds[attributes].is_inline for attributes in set(inline))

    def _wider(self, found: Sequence[_Stored]) -> list[Cell]:
        self._require_once(found)
        places = [self._places[letters] for letters, *_ in found]
        self._width = max(self._width, min(max(places) + 1, WIDEST))
        row: list[Cell] = [None] * self._width
        for place, (_, attributes, stored, inline) in zip(places, found, strict=True):
            if place < self._width:
                row[place] = self._kinds[attributes][stored or inline]
            else:
                self._far(place)
        return row

    def _far(self, place: int) -> None:
        """Cells in a corner that far off come from no person; parsers have died of them."""
        self._found.is_wide |= place >= WIDEST
        if place >= WIDEST and self._found.last_row > _FAR_ROW:
            raise UnreadableSheet(
                "The worksheet has a cell in row {row}, far beyond column {widest}, "
                "which is no part of a table; copy its rows into a new workbook.",
                row=self._found.last_row,
                widest=WIDEST,
            )


_FAR_ROW: Final = 200_000


class _Counter:
    """Writes into the beginnings of a row's cells where they stand, first to last.

    A cell that does not say so stands behind the one before it.
    """

    def __init__(self) -> None:
        self._column = 0

    def __call__(self, found: re.Match[str]) -> str:
        if found[1]:
            self._column = column_index_from_string(found[1])
            return found[0]
        self._column += 1
        if self._column > _LAST_COLUMN:
            raise Unusual
        return f'<c r="{get_column_letter(self._column)}1"'


def _general(
    letters: str, attributes: str, f: str, formula: str, value: str, inline: str
) -> _Stored:
    if f:
        return letters, attributes + FORMULA, f"{value or inline}\0{formula}", ""
    if ' t="inlineStr"' in attributes:
        return letters, attributes, "", inline
    return letters, attributes, value, ""
