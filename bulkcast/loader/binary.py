"""What a worksheet of a binary workbook (.xlsb) says of its cells beyond their values.

A part is a run of records: kind and length, each in groups of seven bits, then the content
(MS-XLSB 2.1.4).  Only few kinds matter: rows (2.4.751), merged ranges (2.4.702), cells that hold
an error, stored (2.4.311) or computed (2.4.667), and cells that hold a number (2.4.315, 2.4.316,
2.4.668): whether it is a date is said by the styles (2.4.658, 2.4.858).
"""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from struct import pack, unpack, unpack_from
from typing import IO, Final
from zipfile import ZipFile

from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from bulkcast.loader import formats, marks, package
from bulkcast.loader.cells import number_of
from bulkcast.loader.marks import Marks
from bulkcast.model import Cell, FlaggedCell

_WORKBOOK: Final = "xl/workbook.bin"


class _Kind(IntEnum):
    """The kinds of records that matter."""

    ROW = 0
    SHORT_NUMBER = 2
    ERROR = 3
    NUMBER = 5
    COMPUTED_NUMBER = 9
    COMPUTED_ERROR = 11
    FORMAT = 44
    STYLE = 47
    PROPERTIES = 153
    TAB = 156
    MERGED = 176
    STYLES_OF_CELLS = 617
    END_OF_STYLES = 618


_NUMBERS: Final = frozenset({_Kind.SHORT_NUMBER, _Kind.NUMBER, _Kind.COMPUTED_NUMBER})
_WITHOUT_PLACE: Final = frozenset(range(12, 19))
"""Cells that do not say their column, which no reader reads."""
_OF_CELLS: Final = frozenset(
    {_Kind.ROW, _Kind.ERROR, _Kind.COMPUTED_ERROR, _Kind.MERGED, *_NUMBERS, *_WITHOUT_PLACE}
)
_OF_STYLES: Final = frozenset(
    {_Kind.FORMAT, _Kind.STYLE, _Kind.STYLES_OF_CELLS, _Kind.END_OF_STYLES}
)
_HIDDEN: Final = 0x10
_ERRORS: Final = {
    0x00: "#NULL!", 0x07: "#DIV/0!", 0x0F: "#VALUE!", 0x17: "#REF!", 0x1D: "#NAME?",
    0x24: "#NUM!", 0x2A: "#N/A", 0x2B: "#GETTING_DATA",
}  # fmt: skip
"""MS-XLSB 2.5.98.2, BErr."""
_LONGEST: Final = 1 << 24


def look(path: Path, tab: str, last_row: int) -> Marks:
    """The marks of a worksheet up to `last_row`.

    Raises:
        ValueError, KeyError, struct.error: the file is of no make that can be told.

    """
    with ZipFile(path) as packed:
        found = _Look(*_formats(packed), _epoch(packed))
        with packed.open(_part(packed, tab)) as part:
            for kind, content in _records(part, _OF_CELLS):
                found.take(kind, content)
    # Formatted rows may follow the last value; cells may not.
    if max(found.special, default=0) > last_row:
        raise ValueError("The worksheet has more rows than were read.")
    return Marks(frozenset(found.hidden), found.special, marks.merged(found.ranges))


@dataclass(slots=True)
class _Look:
    """One pass over one worksheet's records."""

    formats: Sequence[str]
    """The number format of each style."""
    mistakable: Container[int]
    """The styles that calamine may take for dates though they are none."""
    epoch: datetime
    row: int = 0
    hidden: set[int] = field(default_factory=set)
    special: dict[int, dict[int, Cell]] = field(default_factory=dict)
    ranges: list[tuple[int, int, int, int]] = field(default_factory=list)

    def take(self, kind: int, content: bytes) -> None:
        """Look at one record of a kind that matters."""
        match kind:
            case _Kind.ROW:
                self.row = unpack_from("<I", content)[0] + 1
                if content[11] & _HIDDEN:
                    self.hidden.add(self.row)
            case _Kind.MERGED:
                top, bottom, left, right = unpack_from("<4I", content)
                self.ranges.append((left, top + 1, right + 1, bottom + 1))
            case _ if kind in _NUMBERS:
                self._take_number(kind, content)
            case _ if kind in _WITHOUT_PLACE:
                raise ValueError("The worksheet has a cell that does not say its column.")
            case _:
                column, shown = unpack_from("<I", content)[0], _ERRORS.get(content[8], "#N/A")
                self.special.setdefault(self.row, {})[column] = FlaggedCell(
                    "cell.formula_error", shown
                )

    def _take_number(self, kind: int, content: bytes) -> None:
        column, style = unpack_from("<II", content)
        number_format = self.formats[style & 0xFFFFFF]
        number = _short(content) if kind == _Kind.SHORT_NUMBER else unpack_from("<d", content, 8)[0]
        cell = number_of(number, number_format, self.epoch)
        if not isinstance(cell, int | float) or style & 0xFFFFFF in self.mistakable:
            self.special.setdefault(self.row, {})[column] = cell


_OWN_FORMATS: Final = 164
"""From here on the ids of formats have no meaning of their own."""
_LETTER: Final = re.compile(r"(?!General$)[A-Za-z]")


def _short(content: bytes) -> float:
    """A number in four bytes: MS-XLSB 2.5.123, RkNumber."""
    (packed,) = unpack_from("<i", content, 8)
    whole = packed >> 2
    number = whole if packed & 2 else unpack("<d", pack("<q", whole << 34))[0]
    return float(number) / 100 if packed & 1 else float(number)


def _formats(packed: ZipFile) -> tuple[Sequence[str], Container[int]]:
    """The number format of each style, and the styles that may be mistaken for dates."""
    styles = next(filter(None, package.related(packed, _WORKBOOK, "styles").values()), None)
    if styles is None:
        return ("General",), ()
    own: dict[int, str] = {}
    ids: list[int] = []
    of_cells = False
    with packed.open(styles) as part:
        for kind, content in _records(part, _OF_STYLES):
            if kind == _Kind.FORMAT:
                own[unpack_from("<H", content)[0]] = _text(content, 2)[0]
            elif kind == _Kind.STYLE and of_cells:
                ids.append(unpack_from("<H", content, 2)[0])
            elif kind != _Kind.STYLE:
                of_cells = kind == _Kind.STYLES_OF_CELLS
    found = tuple(own.get(i) or formats.by_id(i) for i in ids) or ("General",)
    mistakable = {
        style
        for style, (i, number_format) in enumerate(zip(ids, found, strict=False))
        if (i in own and i < _OWN_FORMATS) or _LETTER.search(number_format)
    }
    return found, mistakable


def _epoch(packed: ZipFile) -> datetime:
    """The day from which dates are counted."""
    with packed.open(_workbook(packed)) as part:
        for _, content in _records(part, {_Kind.PROPERTIES}):
            if content[0] & 1:
                return CALENDAR_MAC_1904
    return CALENDAR_WINDOWS_1900


def _workbook(packed: ZipFile) -> str:
    return package.entries(packed).get(_WORKBOOK, _WORKBOOK)


def _part(packed: ZipFile, tab: str) -> str:
    """The part that holds a worksheet's cells."""
    related = package.related(packed, _WORKBOOK, "worksheet")
    with packed.open(_workbook(packed)) as part:
        for _, content in _records(part, {_Kind.TAB}):
            relation, end = _text(content, 8)
            if _text(content, end)[0] == tab:
                return related[relation]
    raise ValueError("The workbook does not say where its worksheet stands.")


def _text(content: bytes, start: int) -> tuple[str, int]:
    """The text that begins at `start`, and where it ends."""
    begin = start + 4
    end = begin + 2 * int(unpack_from("<I", content, start)[0])
    return content[begin:end].decode("utf-16-le"), end


def _records(part: IO[bytes], wanted: Container[int]) -> Iterator[tuple[int, bytes]]:
    while first := part.read(1):
        kind = first[0]
        if kind & 0x80:
            kind = kind & 0x7F | _byte(part) << 7
        length = _length(part)
        if length > _LONGEST:
            raise ValueError("A record of the worksheet is longer than any can be.")
        content = part.read(length)
        if kind in wanted:
            yield kind, content


def _length(part: IO[bytes]) -> int:
    length = 0
    for place in range(4):
        byte = _byte(part)
        length |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            break
    return length


def _byte(part: IO[bytes]) -> int:
    byte = part.read(1)
    if not byte:
        raise ValueError("The worksheet ends in the middle of a record.")
    return byte[0]
