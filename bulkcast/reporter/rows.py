"""The rows of a worksheet's XML, copied byte for byte but for the cells that are added.

A sheet of 100,000 rows is millions of elements; building them only to write them out again is what
makes other ways slow.  So rows are cut at their tags.  That is safe because in well-formed XML a
`<` never stands inside a text or an attribute; comments, CDATA and instructions, where it may, are
refused here, and the whole result is parsed once more before anyone gets it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Final

from bulkcast.reporter.columns import column_index, letters
from bulkcast.reporter.package import PART_MAX, Unpatchable

_CHUNK: Final = 1 << 20
_LOOKAHEAD: Final = 256
"""Bytes that are enough to tell the rows' end tag from a row."""

_ATTRIBUTES: Final = rb"""((?:\s+[^\s=<>"'/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(/?)>"""
_SPACE: Final = re.compile(rb"\s*")
_ROW_REF: Final = re.compile(rb"""\sr\s*=\s*["']([0-9]{1,7})["']""")
_CELL_REF: Final = re.compile(rb"""\sr\s*=\s*["']([A-Z]{1,3}[0-9]{1,7})["']""")
_SPANS: Final = re.compile(rb"""\sspans\s*=\s*(?:"[^"]*"|'[^']*')""")
_STYLE: Final = re.compile(rb"""\ss\s*=\s*["']([0-9]+)["']""")


@dataclass(frozen=True, slots=True)
class Row:
    """One row element: its number, its attributes and what is between its tags, as stored."""

    number: int
    attributes: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class CellXml:
    """One cell element, and the column, from 0, it stands in."""

    column: int
    raw: bytes
    end: int
    """Where it ends in its row's body."""

    @property
    def valued(self) -> bool:
        """Whether anything but a format is stored in it."""
        return any(mark in self.raw for mark in (b"v>", b"is>", b"f>", b"<f "))

    @property
    def style(self) -> str | None:
        """The index of its format."""
        found = _STYLE.search(self.raw.partition(b">")[0])
        return found[1].decode() if found else None


class Grammar:
    """How rows and cells are spelled under one namespace prefix (`x:` or none)."""

    def __init__(self, prefix: str) -> None:
        name = prefix.encode()
        self.prefix = prefix
        self.rows_close = b"</" + name + b"sheetData"
        self.row_open = b"<" + name + b"row"
        self.row_close = b"</" + name + b"row>"
        self.row_tag = re.compile(self.row_open + _ATTRIBUTES)
        self._cell_open = b"<" + name + b"c"
        self._cell_close = b"</" + name + b"c>"
        self._cell_tag = re.compile(self._cell_open + _ATTRIBUTES)

    def cells(self, row: Row) -> list[CellXml]:
        """Every cell of the row, in order; one without an address gets the one it implies."""
        found: list[CellXml] = []
        at = column = 0
        while tag := self._cell_tag.match(row.body, _space_end(row.body, at)):
            at = self._cell_end(row.body, tag)
            raw = row.body[tag.start() : at]
            if ref := _CELL_REF.search(tag[1]):
                column = column_index(ref[1].decode())
            else:
                address = f' r="{letters(column)}{row.number}"'.encode()
                raw = self._cell_open + address + raw[len(self._cell_open) :]
            found.append(CellXml(column, raw, at))
            column += 1
        return found

    def last_cell(self, row: Row) -> CellXml | None:
        """The row's last cell, found from its end; the others are looked at only if need be."""
        start = row.body.rfind(self._cell_open + b" ")
        tag = self._cell_tag.match(row.body, start) if start >= 0 else None
        ref = _CELL_REF.search(tag[1]) if tag else None
        if tag is None or ref is None:
            return next(reversed(self.cells(row)), None)
        end = self._cell_end(row.body, tag)
        return CellXml(column_index(ref[1].decode()), row.body[start:end], end)

    def _cell_end(self, body: bytes, tag: re.Match[bytes]) -> int:
        if tag[2]:
            return tag.end()
        end = body.find(self._cell_close, tag.end())
        if end < 0:
            raise Unpatchable("a cell without an end")
        return end + len(self._cell_close)

    def render(self, row: Row, added: Mapping[int, bytes]) -> bytes:
        """The row with the cells `added`, by column; an empty one takes the old cell away."""
        last = self.last_cell(row)
        new = b"".join(added[column] for column in sorted(added))
        if last is None or last.column < min(added):
            end = last.end if last else 0
            body = row.body[:end] + new + row.body[end:]
        else:
            body = self._merged(row, added)
        attributes = _SPANS.sub(b"", row.attributes)
        return b"".join((self.row_open, attributes, b">", body, self.row_close))

    def _merged(self, row: Row, added: Mapping[int, bytes]) -> bytes:
        old = self.cells(row)
        cells = {cell.column: cell.raw for cell in old} | dict(added)
        return b"".join(cells[column] for column in sorted(cells)) + row.body[old[-1].end :]

    def untouched(self, row: Row) -> bytes:
        """The row as it was."""
        return b"".join((self.row_open, row.attributes, b">", row.body, self.row_close))


def _space_end(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class RowStream:
    """Reads one worksheet part: `head` up to its rows, then `rows()`, then `tail`.

    Raises:
        Unpatchable: from the constructor and `rows()`: the part is written in an unusual way.

    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._buffer = b""
        self._at = 0
        self.tail = b""
        """From the end tag of the rows on; there once `rows()` is exhausted."""
        self.head, prefix = self._read_head()
        self.grammar = Grammar(prefix)

    def _read_head(self) -> tuple[bytes, str]:
        opening = re.compile(rb"<((?:[^\s<>/!?:]+:)?)sheetData" + _ATTRIBUTES)
        while (found := opening.search(self._buffer)) is None:
            if not self._more():
                raise Unpatchable("a worksheet without rows")
        if found[3] or b"<!" in self._buffer[: found.end()]:
            raise Unpatchable("no rows, or declarations before them")
        self._at = found.end()
        return self._buffer[: found.end()], found[1].decode()

    def _more(self) -> bool:
        """Read on, dropping what has been passed; whether there was anything left."""
        chunk = self._file.read(_CHUNK)
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        if len(self._buffer) > PART_MAX:
            raise Unpatchable("a part too long to be honest")
        return bool(chunk)

    def rows(self) -> Iterator[Row]:
        """Every row element, in file order; a missing number is the one after the last."""
        number = 0
        while not self._ended():
            row = self._next_row(number + 1)
            number = row.number
            yield row
        while self._more():
            pass
        self.tail = self._buffer[self._at :]

    def _ended(self) -> bool:
        self._at = _space_end(self._buffer, self._at)
        while len(self._buffer) - self._at < _LOOKAHEAD and self._more():
            self._at = _space_end(self._buffer, self._at)
        return self._buffer.startswith(self.grammar.rows_close, self._at)

    def _next_row(self, following: int) -> Row:
        self._find(b">", 0)
        tag = self.grammar.row_tag.match(self._buffer, self._at)
        if tag is None:
            raise Unpatchable("something else than rows between the rows")
        found = _ROW_REF.search(tag[1])
        number = int(found[1]) if found else following
        opened = tag.end() - self._at
        if tag[2]:
            self._at += opened
            return Row(number, tag[1], b"")
        length = self._find(self.grammar.row_close, opened)
        body = self._buffer[self._at + opened : self._at + length - len(self.grammar.row_close)]
        if b"<!" in body or b"<?" in body or self.grammar.row_open in body:
            raise Unpatchable("a row with more than cells in it")
        self._at += length
        return Row(number, tag[1], body)

    def _find(self, mark: bytes, offset: int) -> int:
        """How far from here the next `mark` ends, looked for from `offset` on."""
        while (found := self._buffer.find(mark, self._at + offset)) < 0:
            offset = max(offset, len(self._buffer) - self._at - len(mark))
            if not self._more():
                raise Unpatchable("a worksheet that ends within a row")
        return found + len(mark) - self._at
