"""The XML of a worksheet: its rows, read one at a time, and its other elements, as a tree."""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple, Protocol
from xml.parsers import expat
from zipfile import ZipFile

from lxml import etree
from openpyxl.utils import column_index_from_string

from bulkcast import ooxml
from bulkcast.model import ResultRow, column_letters
from bulkcast.reporter.result_columns import MARK, USER_COLUMNS_MAX, WIDTHS, ColourRule
from bulkcast.reporter.workbook_parts import PART_MAX, Unpatchable, block, extend, maker

_CHUNK: Final = 1 << 20
_TAG_MAX: Final = 1 << 16
"""Bytes within which a row's tag must end; otherwise it is no row."""

_ATTRIBUTES: Final = rb"""((?:\s+[^\s=<>"'/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(/?)>"""
_SPACE: Final = re.compile(rb"\s*")
_ROW_REF: Final = re.compile(rb"""\sr\s*=\s*["']([0-9]{1,7})["']""")
_CELL_REF: Final = re.compile(rb"""\sr\s*=\s*["']([A-Z]{1,3})[0-9]{1,7}["']""")
_SPANS: Final = re.compile(rb"""\sspans\s*=\s*(?:"[^"]*"|'[^']*')""")
_STYLE: Final = re.compile(rb"""\ss\s*=\s*["']([0-9]+)["']""")


class Row(NamedTuple):
    """One row element: its number, and its attributes and content as stored."""

    number: int
    attributes: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class CellXml:
    """One cell element and its column, from 0."""

    column: int
    raw: bytes
    end: int
    """Position of its end in the row's body."""

    @property
    def valued(self) -> bool:
        """Whether it stores more than a format."""
        return any(mark in self.raw for mark in (b"v>", b"is>", b"f>", b"<f "))

    @property
    def style(self) -> str | None:
        """The index of its format."""
        found = _STYLE.search(self.raw.partition(b">")[0])
        return found[1].decode() if found else None


class Grammar:
    """Reads and writes rows and cells with one namespace prefix (`x:` or none)."""

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
        """Every cell of the row, in order; cells without an address get one."""
        found: list[CellXml] = []
        at = column = 0
        while tag := self._cell_tag.match(row.body, _space_end(row.body, at)):
            at = self._cell_end(row.body, tag)
            raw = row.body[tag.start() : at]
            if ref := _CELL_REF.search(tag[1]):
                column = column_index_from_string(ref[1].decode()) - 1
            else:
                address = f' r="{column_letters(column)}{row.number}"'.encode()
                raw = self._cell_open + address + raw[len(self._cell_open) :]
            found.append(CellXml(column, raw, at))
            column += 1
        return found

    def last_cell(self, row: Row) -> CellXml | None:
        """The row's last cell; usually found from the end without parsing the others."""
        body = row.body
        start = body.rfind(self._cell_open + b" ")
        usual = self._usual_cell.match(body, start) if start >= 0 else None
        if usual is None or not body.endswith(self._cell_close):
            return next(reversed(self.cells(row)), None)
        return CellXml(column_index_from_string(usual[1].decode()) - 1, body[start:], len(body))

    def _cell_end(self, body: bytes, tag: re.Match[bytes]) -> int:
        if tag[2]:
            return tag.end()
        end = body.find(self._cell_close, tag.end())
        if end < 0:
            raise Unpatchable("a cell without an end")
        return end + len(self._cell_close)

    def with_cells(self, row: Row, added: dict[int, bytes], last: CellXml | None) -> bytes:
        """The row, whose last cell is `last`, with the cells `added`: column → cell.

        They are sorted by column; an empty one removes the row's own.
        """
        if last is None or last.column < min(added):
            end = last.end if last else 0
            body = b"".join((row.body[:end], *added.values(), row.body[end:]))
        else:
            old = self.cells(row)
            cells = {cell.column: cell.raw for cell in old} | added
            body = b"".join(cells[column] for column in sorted(cells)) + row.body[old[-1].end :]
        attributes = _SPANS.sub(b"", row.attributes)
        return b"".join((self.row_open, attributes, b">", body, self.row_close))

    def untouched(self, row: Row) -> bytes:
        """The row as stored."""
        return b"".join((self.row_open, row.attributes, b">", row.body, self.row_close))


def _hides_tags(body: bytes) -> bool:
    """Whether there are comments, CDATA or instructions; searching single bytes first is faster."""
    return (b"!" in body and b"<!" in body) or (b"?" in body and b"<?" in body)


def _space_end(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class Readable(Protocol):
    """A source of a sheet's XML."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; empty at the end."""
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
        """The XML from the end tag of the rows on; set once `rows()` is exhausted."""
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
        """Read more, dropping consumed bytes; return whether there was anything left."""
        chunk = self._file.read(_CHUNK)
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        if len(self._buffer) > PART_MAX:
            raise Unpatchable("a part too long to be honest")
        return bool(chunk)

    def rows(self) -> Iterator[Row]:
        """Every row element in file order; a missing number follows the previous one."""
        number = 0
        while (row := self._next_row(number + 1)) is not None:
            number = row.number
            yield row
        while self._more():
            pass
        self.tail = self._buffer[self._at :]

    def _next_row(self, following: int) -> Row | None:
        """The row that begins at the current position; None at the end of the rows."""
        grammar = self.grammar
        while (tag := grammar.row_tag.match(self._buffer, self._at)) is None:
            if self._at_end():
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

    def _at_end(self) -> bool:
        """Whether the rows end at the current position; if not, reads more."""
        at = _space_end(self._buffer, self._at)
        if self._buffer.startswith(self.grammar.rows_close, at):
            self._at = at
            return True
        if len(self._buffer) - at > _TAG_MAX or not self._more():
            raise Unpatchable("something else than rows between the rows")
        return False

    def _find(self, mark: bytes, offset: int) -> int:
        """The distance to the next `mark`, searched from `offset` on."""
        while (found := self._buffer.find(mark, self._at + offset)) < 0:
            offset = max(offset, len(self._buffer) - self._at - len(mark))
            if not self._more():
                raise Unpatchable("a worksheet that ends within a row")
        return found - self._at


def count_rows(path: Path, part: str, results: Mapping[int, ResultRow]) -> tuple[int, int]:
    """The rows in a workbook's `part`, and those of them that show their result's status.

    Raises:
        Unpatchable: the part is not a valid worksheet.

    """
    n_rows = n_with_status = 0
    with ZipFile(path) as book, book.open(part) as file:
        checked = _CheckedXml(file)
        for row in RowStream(checked).rows():
            result = results.get(row.number)
            n_rows += 1
            n_with_status += result is not None and f">{result.status.value}</".encode() in row.body
        checked.end()
    return n_rows, n_with_status


class _CheckedXml:
    """Checks with expat, which builds no tree, that the XML read is well-formed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._parser = expat.ParserCreate()

    def read(self, size: int, /) -> bytes:
        """The next bytes, checked."""
        chunk = self._file.read(size)
        self._parse(chunk, is_last=False)
        return chunk

    def end(self) -> None:
        """Raise Unpatchable if what was read is not a complete document."""
        self._parse(b"", is_last=True)

    def _parse(self, chunk: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(chunk, is_last)
        except expat.ExpatError as exc:
            raise Unpatchable(str(exc)) from exc


# ------------------------------------------------------------------ other elements

_PLACE: Final = b"bulkcast:rows:7e1f0c52"
"""Placeholder for the rows; no real worksheet contains it."""

_AFTER_RULES: Final = frozenset({
    "dataValidations", "hyperlinks", "printOptions", "pageMargins", "pageSetup", "headerFooter",
    "rowBreaks", "colBreaks", "customProperties", "cellWatches", "ignoredErrors", "smartTags",
    "drawing", "drawingHF", "legacyDrawing", "legacyDrawingHF", "picture", "oleObjects", "controls",
    "webPublishItems", "tableParts", "extLst", "AlternateContent",
})  # fmt: skip
"""Elements after conditional formats in a worksheet (ECMA-376, part 1, CT_Worksheet)."""


class Worksheet:
    """The elements of a worksheet other than its rows."""

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._root: etree._Element = ooxml.parse(head + _PLACE + tail)
        self._make = maker(self._root)
        if (self._root.getroottree().docinfo.encoding or "UTF-8").upper() not in {"UTF-8", "ASCII"}:
            raise Unpatchable("a worksheet that is not UTF-8")

    def split(self) -> tuple[bytes, bytes]:
        """The XML before and after the rows."""
        head, found, tail = ooxml.serialized(self._root).partition(_PLACE)
        if not found or _PLACE in tail:
            raise Unpatchable("a worksheet that says our own mark")
        return head, tail

    def _rows(self) -> etree._Element:
        rows = self._root.find("{*}sheetData")
        if rows is None:
            raise Unpatchable("rows that are not in a worksheet")
        return rows

    def set_dimension(self, columns: Collection[int], last_row: int) -> None:
        """Extend the recorded dimension to `columns` and `last_row`, if there is one."""
        dimension = self._root.find("{*}dimension")
        if dimension is not None:
            recorded = re.search("[0-9]{1,7}$", dimension.get("ref", ""))
            last = max(last_row, int(recorded[0]) if recorded else 1)
            dimension.set("ref", f"A1:{column_letters(max(columns))}{last}")

    def set_widths(self, columns: Mapping[int, str]) -> None:
        """Set the widths of result columns; wider column definitions are split."""
        cols = self._root.find("{*}cols")
        if cols is None:
            cols = self._make.cols()
            self._rows().addprevious(cols)
        for index, field in columns.items():
            _cut_out(cols, index + 1)
            number, width = str(index + 1), str(WIDTHS[field])
            cols.append(self._make.col(min=number, max=number, width=width, customWidth="1"))
        cols[:] = sorted(cols, key=lambda col: int(col.get("min", "0")))

    def merged_width(self, rows: Sequence[int], width: int) -> int:
        """Columns up to the end of merged ranges that begin in the first `width` ones.

        No program shows cells inside a merged range.  Only ranges in `rows`, sorted, count.
        """
        end = width
        for cell in self._root.iter("{*}mergeCell"):
            area = block(cell.get("ref", ""))
            if area and area.min_col <= width and area.max_col <= USER_COLUMNS_MAX:
                at = bisect_left(rows, area.min_row)
                if at < len(rows) and rows[at] <= area.max_row:
                    end = max(end, area.max_col)
        return end

    def extend_filter(self, header_row: int, columns: Collection[int]) -> None:
        """Extend the sheet's filter over adjacent result columns."""
        extend(self._root.find("{*}autoFilter"), header_row, columns)

    def add_rules(self, rules: Iterable[ColourRule], colours: Mapping[str, int]) -> None:
        """Add our conditional formats after the user's own; remove those of an earlier run."""
        for old in self._root.findall("{*}conditionalFormatting"):
            # Spreadsheet programs group rules of the same cells, ours with the user's.
            for held in old.findall("{*}cfRule"):
                if MARK in "".join(map(str, held.itertext())):
                    old.remove(held)
            if old.find("{*}cfRule") is None:
                self._root.remove(old)
        priority = self._last_priority()
        behind = self._rows().itersiblings("*")
        following = next((c for c in behind if etree.QName(c).localname in _AFTER_RULES), None)
        for number, rule in enumerate(rules, start=priority + 1):
            ours = self._make.cfRule(
                self._make.formula(rule.formula),
                type="expression", dxfId=str(colours[rule.meaning]), priority=str(number),
            )  # fmt: skip
            made = self._make.conditionalFormatting(ours, sqref=rule.cells)
            if following is None:
                self._root.append(made)
            else:
                following.addprevious(made)

    def _last_priority(self) -> int:
        """The highest priority number in use, including newer kinds of rules."""
        found = (rule.get("priority", "0") for rule in self._root.iter("{*}cfRule"))
        return max((int(p) for p in found), default=0)


def _cut_out(cols: etree._Element, number: int) -> None:
    """Remove column `number`, from 1, from every column definition that includes it."""
    for col in list(cols):
        low, high = int(col.get("min", "0")), int(col.get("max", "0"))
        if not low <= number <= high:
            continue
        for start, end in ((low, number - 1), (number + 1, high)):
            if start <= end:
                part = deepcopy(col)
                part.attrib.update({"min": str(start), "max": str(end)})
                col.addprevious(part)
        cols.remove(col)
