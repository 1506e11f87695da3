"""The rows of a worksheet's XML, copied byte for byte but for the cells that are added.

A sheet of 100,000 rows is millions of elements; building them only to write them out again is what
makes other ways slow.  So rows are cut at their tags.  That is safe because in well-formed XML a
`<` never stands inside a text or an attribute; comments, CDATA and instructions, where it may, are
refused here, and the whole result is parsed once more before anyone gets it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from bulkcast.reporter.cells import Added
from bulkcast.reporter.columns import column_index, letters
from bulkcast.reporter.package import PART_MAX, Unpatchable

_CHUNK: Final = 1 << 20
_TAG_MAX: Final = 1 << 16
"""Bytes within which a row's tag ends; beyond them what stands there is no row."""

_ATTRIBUTES: Final = rb"""((?:\s+[^\s=<>"'/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(/?)>"""
_SPACE: Final = re.compile(rb"\s*")
_ROW_REF: Final = re.compile(rb"""\sr\s*=\s*["']([0-9]{1,7})["']""")
_CELL_REF: Final = re.compile(rb"""\sr\s*=\s*["']([A-Z]{1,3})[0-9]{1,7}["']""")
_SPANS: Final = re.compile(rb"""\sspans\s*=\s*(?:"[^"]*"|'[^']*')""")
_STYLE: Final = re.compile(rb"""\ss\s*=\s*["']([0-9]+)["']""")


class Row(NamedTuple):
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
        self.sheet_close = self.rows_close + b"></" + name + b"worksheet>"
        self.row_open = b"<" + name + b"row"
        self.row_close = b"</" + name + b"row>"
        self.row_tag = re.compile(rb"\s*" + self.row_open + _ATTRIBUTES)
        self._cell_open = b"<" + name + b"c"
        self._cell_close = b"</" + name + b"c>"
        self._cell_tag = re.compile(self._cell_open + _ATTRIBUTES)
        self._usual_cell = re.compile(self._cell_open + rb' r="([A-Z]{1,3})[0-9]{1,7}"')

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
        body = row.body
        start = body.rfind(self._cell_open + b" ")
        usual = self._usual_cell.match(body, start) if start >= 0 else None
        if usual is None or not body.endswith(self._cell_close):
            return next(reversed(self.cells(row)), None)
        return CellXml(column_index(usual[1].decode()), body[start:], len(body))

    def _cell_end(self, body: bytes, tag: re.Match[bytes]) -> int:
        if tag[2]:
            return tag.end()
        end = body.find(self._cell_close, tag.end())
        if end < 0:
            raise Unpatchable("a cell without an end")
        return end + len(self._cell_close)

    def render(self, row: Row, added: Added, last: CellXml | None) -> bytes:
        """The row, whose last cell is `last`, with the cells `added`.

        An empty one takes the old cell away.
        """
        if last is None or last.column < added.template.first:
            end = last.end if last else 0
            body = b"".join((row.body[:end], added.joined(), row.body[end:]))
        else:
            body = self._merged(row, added)
        attributes = _SPANS.sub(b"", row.attributes)
        return b"".join((self.row_open, attributes, b">", body, self.row_close))

    def _merged(self, row: Row, added: Added) -> bytes:
        old = self.cells(row)
        cells = {cell.column: cell.raw for cell in old} | added.by_column()
        return b"".join(cells[column] for column in sorted(cells)) + row.body[old[-1].end :]

    def untouched(self, row: Row) -> bytes:
        """The row as it was."""
        return b"".join((self.row_open, row.attributes, b">", row.body, self.row_close))


def _hides_tags(body: bytes) -> bool:
    """Whether there are comments, CDATA or instructions; single bytes are looked for far faster."""
    return (b"!" in body and b"<!" in body) or (b"?" in body and b"<?" in body)


def _space_end(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class Readable(Protocol):
    """What a sheet's XML comes from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        ...


class RowStream:
    """Reads one worksheet part: `head` up to its rows, then `rows()`, then `tail`.

    Raises:
        Unpatchable: from the constructor and `rows()`: the part is written in an unusual way.

    """

    def __init__(self, file: Readable) -> None:
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
        while (row := self._next_row(number + 1)) is not None:
            number = row.number
            yield row
        while self._more():
            pass
        self.tail = self._buffer[self._at :]

    def _next_row(self, following: int) -> Row | None:
        """The row that begins here; None at the rows' end."""
        grammar = self.grammar
        while (tag := grammar.row_tag.match(self._buffer, self._at)) is None:
            if self._ended():
                return None
        found = _ROW_REF.search(tag[1])
        number = int(found[1]) if found else following
        if tag[2]:
            self._at = tag.end()
            return Row(number, tag[1], b"")
        opened = tag.end() - self._at
        length = self._find(grammar.row_close, opened)
        body = self._buffer[self._at + opened : self._at + length]
        if _hides_tags(body) or grammar.row_open in body:
            raise Unpatchable("a row with more than cells in it")
        self._at += length + len(grammar.row_close)
        return Row(number, tag[1], body)

    def _ended(self) -> bool:
        """Whether the rows end here, where no whole tag of a row stands; if not, reads on."""
        at = _space_end(self._buffer, self._at)
        if self._buffer.startswith(self.grammar.rows_close, at):
            self._at = at
            return True
        if len(self._buffer) - at > _TAG_MAX or not self._more():
            raise Unpatchable("something else than rows between the rows")
        return False

    def _find(self, mark: bytes, offset: int) -> int:
        """How far from here the next `mark` begins, looked for from `offset` on."""
        while (found := self._buffer.find(mark, self._at + offset)) < 0:
            offset = max(offset, len(self._buffer) - self._at - len(mark))
            if not self._more():
                raise Unpatchable("a worksheet that ends within a row")
        return found - self._at
