"""What a worksheet of a binary workbook (.xlsb) says of its cells beyond their values.

A part is a run of records: kind and length, each in groups of seven bits, then the content
(MS-XLSB 2.1.4).  Only few kinds matter: rows (2.4.751), merged ranges (2.4.702), and cells that
hold an error, stored (2.4.311) or computed (2.4.667).
"""

import posixpath
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from struct import unpack_from
from typing import IO, Final
from zipfile import ZipFile

from openpyxl.packaging.relationship import get_dependents

from bulkcast.loader import marks
from bulkcast.loader.marks import Marks
from bulkcast.model import FlaggedCell

_WORKBOOK: Final = "xl/workbook.bin"


class _Kind(IntEnum):
    """The kinds of records that matter."""

    ROW = 0
    ERROR = 3
    COMPUTED_ERROR = 11
    TAB = 156
    MERGED = 176


_OF_CELLS: Final = frozenset({_Kind.ROW, _Kind.ERROR, _Kind.COMPUTED_ERROR, _Kind.MERGED})
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
    found = _Look()
    with ZipFile(path) as packed, packed.open(_part(packed, tab)) as part:
        for kind, content in _records(part, _OF_CELLS):
            found.take(kind, content)
            # Formatted rows may follow the last value; cells may not.
            if max(found.special, default=0) > last_row:
                raise ValueError("The worksheet has more rows than were read.")
    return Marks(frozenset(found.hidden), found.special, marks.merged(found.ranges))


@dataclass(slots=True)
class _Look:
    """One pass over one worksheet's records."""

    row: int = 0
    hidden: set[int] = field(default_factory=set)
    special: dict[int, dict[int, FlaggedCell]] = field(default_factory=dict)
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
            case _:
                column, shown = unpack_from("<I", content)[0], _ERRORS.get(content[8], "#N/A")
                self.special.setdefault(self.row, {})[column] = FlaggedCell(
                    "cell.formula_error", shown
                )


def _part(packed: ZipFile, tab: str) -> str:
    """The part that holds a worksheet's cells."""
    folder, name = posixpath.split(_WORKBOOK)
    related = get_dependents(packed, posixpath.join(folder, "_rels", f"{name}.rels"))
    with packed.open(_WORKBOOK) as part:
        for _, content in _records(part, {_Kind.TAB}):
            relation, end = _text(content, 8)
            if _text(content, end)[0] == tab:
                return str(related.get(relation).target)
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
