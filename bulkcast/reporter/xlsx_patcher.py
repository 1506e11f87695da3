"""Writes result sheets as xlsx and xlsm: adds cells to the user's own workbook."""

import html
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, NamedTuple, Protocol
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from lxml import etree

from bulkcast.catalogue import is_result_column
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.model import COLUMNS_MAX, Layout, ResultRow, Text, column_letters
from bulkcast.reporter import xlsx_resaver
from bulkcast.reporter.files import Draft
from bulkcast.reporter.ooxml import (
    PART_MAX,
    Frame,
    Parts,
    Unpatchable,
    columns_elsewhere,
    columns_in,
    columns_under_drawings,
    extend,
    find_parts,
    grow_filter_name,
    grow_table,
    parse,
    read,
)
from bulkcast.reporter.result_columns import (
    FIELDS,
    Area,
    column_index,
    place,
    storable,
    texts,
    title,
)

_ROW: Final = "\x00"
_TIME: Final = "\x01"
"""Placeholders in templates of cells; XML forbids both characters, so no text has them."""

_DISTINCT_MAX: Final = 4096
"""Outcomes whose cells are cached; a term has a few dozen."""


@dataclass(frozen=True, slots=True)
class Template:
    """The cells of one outcome, with placeholders for row and time."""

    by_column: Mapping[int, bytes]
    """Column, from 0 → its cell; empty bytes for a blank one."""
    first: int
    """The leftmost of the columns."""
    joined: bytes
    """All cells in order."""


class Added(NamedTuple):
    """The cells of one row."""

    template: Template
    row: bytes
    time: bytes

    def joined(self) -> bytes:
        """All cells in order."""
        return self._fill(self.template.joined)

    def by_column(self) -> dict[int, bytes]:
        """Column → cell; `b""` for a blank one."""
        return {i: self._fill(cell) for i, cell in self.template.by_column.items()}

    def _fill(self, cell: bytes) -> bytes:
        return cell.replace(b"\x00", self.row).replace(b"\x01", self.time)


class ResultCells:
    """Makes the result cells of rows; `prefix` is the sheet's namespace prefix."""

    def __init__(self, prefix: str, columns: Mapping[int, str], text_style: int) -> None:
        self._prefix = prefix
        self._columns = columns
        self._style = f' s="{text_style}"'
        self._template = lru_cache(maxsize=_DISTINCT_MAX)(self._make_template)

    def titles(self, row: int, style: str | None) -> Added:
        """The headers, in the format with index `style`."""
        held = f' s="{style}"' if style else ""
        cells = {i: self._text(i, held, escaped(title(f))) for i, f in self._columns.items()}
        return Added(_join_cells(cells), b"%d" % row, b"")

    def of(self, row: int, result: ResultRow | None) -> Added:
        """The cells of row `row`; all blank without a result."""
        if result is None:
            return Added(self._template(None), b"%d" % row, b"")
        r = result
        alike = (r.status, r.code, r.message, r.fix, r.attempts, r.run, bool(r.time))
        return Added(self._template(alike), b"%d" % row, escaped(r.time).encode())

    def _make_template(self, alike: tuple[object, ...] | None) -> Template:
        said = texts(None)
        if alike is not None:
            *fields, timed = alike
            keys = ("status", "code", "message", "fix", "attempts", "run")
            said |= {key: escaped(str(f)) for key, f in zip(keys, fields, strict=True)}
            said["time"] = _TIME if timed else ""
        return _join_cells({i: self._cell(i, f, said[f]) for i, f in self._columns.items()})

    def _cell(self, column: int, field: str, escaped_text: str) -> bytes:
        if field != "attempts" or not escaped_text:
            return self._text(column, self._style, escaped_text)
        p = self._prefix
        return (
            f'<{p}c r="{column_letters(column)}{_ROW}"><{p}v>{escaped_text}</{p}v></{p}c>'.encode()
        )

    def _text(self, column: int, style: str, escaped_text: str) -> bytes:
        """A text cell; empty bytes for an empty text."""
        if not escaped_text:
            return b""
        p = self._prefix
        return (
            f'<{p}c r="{column_letters(column)}{_ROW}"{style} t="inlineStr"><{p}is>'
            f'<{p}t xml:space="preserve">{escaped_text}</{p}t></{p}is></{p}c>'
        ).encode()


def _join_cells(cells: Mapping[int, bytes]) -> Template:
    return Template(cells, min(cells), b"".join(cells[column] for column in sorted(cells)))


@lru_cache(maxsize=_DISTINCT_MAX)
def escaped(text: str) -> str:
    """Escape a text for XML; `_x0041_` would be read as an `A` (ECMA-376, part 1, ST_Xstring).

    >>> escaped("a<b _x0041_")
    'a&lt;b _x005F_x0041_'
    """
    return html.escape(_ESCAPE_LIKE.sub("_x005F_", storable(text)), quote=False)


_ESCAPE_LIKE: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")


_CHUNK: Final = 1 << 20
_TAG_MAX: Final = 1 << 16
"""Bytes within which a row's tag must end; otherwise it is no row."""

_ATTRIBUTES: Final = rb"""((?:\s+[^\s=<>"'/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(/?)>"""
_SPACE: Final = re.compile(rb"\s*")
_ROW_REF: Final = re.compile(rb"""\sr\s*=\s*["']([0-9]{1,7})["']""")
_CELL_REF: Final = re.compile(rb"""\sr\s*=\s*["']([A-Z]{1,3})[0-9]{1,7}["']""")
SPANS: Final = re.compile(rb"""\sspans\s*=\s*(?:"[^"]*"|'[^']*')""")
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
                column = column_index(ref[1].decode())
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

        A blank one removes the old cell.
        """
        if last is None or last.column < added.template.first:
            end = last.end if last else 0
            body = b"".join((row.body[:end], added.joined(), row.body[end:]))
        else:
            body = self._merged(row, added)
        attributes = SPANS.sub(b"", row.attributes)
        return b"".join((self.row_open, attributes, b">", body, self.row_close))

    def _merged(self, row: Row, added: Added) -> bytes:
        old = self.cells(row)
        cells = {cell.column: cell.raw for cell in old} | added.by_column()
        return b"".join(cells[column] for column in sorted(cells)) + row.body[old[-1].end :]

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


def verify(
    path: Path, old: ZipFile, part: str, results: Mapping[int, ResultRow], n_rows: int
) -> None:
    """Verify the draft of `old`: same parts, valid XML in `part`, `n_rows` rows with their status.

    Raises:
        Unpatchable: something is missing, because the file has a form the patcher does not know.

    """
    with ZipFile(path) as new:
        if new.namelist() != old.namelist():
            raise Unpatchable("a part was lost")
        with new.open(part) as file:
            checked = _CheckedXml(file)
            stream = RowStream(checked)
            n_with_status = sum(
                _shows_status(row, results.get(row.number)) for row in stream.rows()
            )
            checked.end()
    if n_with_status != n_rows:
        raise Unpatchable(f"{n_with_status} of {n_rows} rows are as written")


def n_with_status(path: Path, part: str, results: Mapping[int, ResultRow]) -> int:
    """Number of rows in a workbook's `part` that have a result and show its status.

    Raises:
        Unpatchable: the part is not a valid worksheet.

    """
    with ZipFile(path) as new, new.open(part) as file:
        checked = _CheckedXml(file)
        rows = RowStream(checked).rows()
        n = sum(row.number in results and _shows_status(row, results[row.number]) for row in rows)
        checked.end()
    return n


def _shows_status(row: Row, result: ResultRow | None) -> bool:
    """Whether the row shows its result's status."""
    return result is None or f">{result.status.value}</".encode() in row.body


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


_TABLE_APART: Final = marked(
    "The table {name} has totals or is filled by a query, so the results stand beside it: sort the"
    " whole sheet, since sorting the table would leave them behind."
)
_FLUSH: Final = 1 << 20
_FAR: Final = 8
"""Columns between the table and its results from which a remark says where they are."""
_LEVEL: Final = 2
"""Compression level of the sheet: 0.64 s instead of 0.91 s at level 6, a fifth more bytes."""


def patch_workbook(
    source: Path,
    draft: Draft,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
) -> None:
    """Write `source` with its results to the draft.

    Raises:
        CannotStart: the sheet has no room for seven more columns.
        UnreadableSheet: the source is no longer a workbook.

    """
    try:
        with ZipFile(source) as old:
            _patch(old, draft, layout, headers, results)
    # zipfile raises NotImplementedError for a compression that it does not know.
    except (Unpatchable, etree.XMLSyntaxError, ValueError, NotImplementedError) as exc:
        _write_anew(source, draft, layout, headers, results, why=exc)
    except (BadZipFile, zlib.error, EOFError, RuntimeError) as exc:
        raise UnreadableSheet(
            "{source} is not the workbook that was checked: {exc}", source=source, exc=exc
        ) from exc


def _write_anew(
    source: Path,
    draft: Draft,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
    *,
    why: Exception,
) -> None:
    draft.remarks.clear()
    draft.remarks.append(
        xlsx_resaver.resave_workbook(source, draft.path, layout, headers, results, why=str(why))
    )


def _patch(
    old: ZipFile,
    draft: Draft,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
) -> None:
    parts = find_parts(old, layout.tab)
    patch = _Patch(old, parts, layout, headers, results)
    width = max(len(headers), columns_elsewhere(old, parts.sheet, parts.tab))
    # Values, or cells that formulas refer to, may be to the right of what was read.  This shows
    # only while the rows are copied; most sheets need one pass.
    while (found := patch.into(draft.path, width)) > width:
        width = found
    draft.remarks.extend(patch.remarks)
    draft.remarks.extend(_distance_remark(headers, patch.columns))
    verify(draft.path, old, parts.sheet, results, len(patch.numbers))
    if any(name.startswith("_xmlsignatures/") for name in old.namelist()):
        draft.remarks.append(Text("The workbook's digital signature is no longer valid."))


def _distance_remark(headers: Sequence[str], columns: Mapping[int, str]) -> Iterator[Text]:
    """The remark about results far from the user's columns."""
    users = max((i for i, header in enumerate(headers) if header), default=-1)
    first = min(columns)
    if first - users > _FAR:
        said = (
            "The results begin in column {column}, behind what stands to the right of the table and"
            " what formulas look at."
        )
        yield Text(said, {"column": column_letters(first)})


class _Patch:
    """Writes one workbook with its results."""

    def __init__(
        self,
        old: ZipFile,
        parts: Parts,
        layout: Layout,
        headers: Sequence[str],
        results: Mapping[int, ResultRow],
    ) -> None:
        self._old = old
        self._parts = parts
        self.header_row = layout.header_row
        self.tab = parts.tab
        self._headers = headers
        self.results = results
        self.columns: Mapping[int, str] = {}
        self.numbers: set[int] = set()
        """Numbers of all rows in the file, once it was copied."""
        self._styles = parse(read(old, parts.styles))
        self._formats = extend(self._styles)
        self._under_drawings = columns_under_drawings(old, parts)
        self._result_rows = sorted({layout.header_row, *results})
        self.remarks: list[Text] = []

    def into(self, path: Path, width: int) -> int:
        """Write the result to `path`, assuming `width` columns; return the real width.

        If that is larger, the file must be written again.
        """
        first_free = _first_free(width, self._under_drawings, self._headers)
        self.columns = place(self._headers, first_free)
        changed = {self._parts.styles: _xml(self._styles), **self._extended_parts()}
        with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as new:
            for info in self._old.infolist():
                if info.filename == self._parts.sheet:
                    width = self._copy_sheet(new, info, width)
                elif info.filename in changed:
                    new.writestr(_same_entry(info), changed[info.filename])
                else:
                    copy_entry(self._old, new, info)
        if missing := self.results.keys() - self.numbers:
            raise UnreadableSheet(
                "The sheet that was checked had a row {row}; this has none", row=min(missing)
            )
        return width

    def _extended_parts(self) -> dict[str, bytes]:
        """Part → new content, for tables and the filter's name that extend over new columns."""
        self.remarks.clear()
        changed: dict[str, bytes] = {}
        workbook = parse(read(self._old, self._parts.workbook))
        if grow_filter_name(workbook, self._parts.index, self.header_row, self.columns):
            changed[self._parts.workbook] = _xml(workbook)
        for part in self._parts.tables:
            table = parse(raw := read(self._old, part))
            before = _xml(table)
            if name := grow_table(table, self.header_row, self.columns):
                self.remarks.append(Text(_TABLE_APART, {"name": name}))
            changed[part] = raw if _xml(table) == before else _xml(table)
        return changed

    def _copy_sheet(self, new: ZipFile, info: ZipInfo, width: int) -> int:
        large = _is_large(info)
        # By name, not `_same_entry`: only then the zip's compression level applies.
        with self._old.open(info) as file, new.open(info.filename, "w", force_zip64=large) as out:
            stream = RowStream(file)
            out.write(self._head(stream))
            rows = _Rows(self, stream.grammar, width)
            write_in_blocks(out, map(rows.render, stream.rows()))
            frame = Frame(stream.head, stream.tail)
            rows.width = max(
                frame.reach(self._result_rows, rows.width),
                columns_in(stream.head + stream.tail, self._parts.tab, here=True),
            )
            out.write(self._tail(frame, max(rows.numbers, default=self.header_row)))
        if rows.count != len(rows.numbers):
            raise Unpatchable("two rows of one number")
        self.numbers = rows.numbers
        return rows.width

    def _head(self, stream: RowStream) -> bytes:
        """The XML before the rows; the XML after them is not known yet."""
        frame = Frame(stream.head, stream.grammar.sheet_close)
        frame.stretch(self.columns, max(self.results, default=self.header_row))
        frame.widen({i: f for i, f in self.columns.items() if i >= len(self._headers)})
        return frame.halves()[0]

    def _tail(self, frame: Frame, last_row: int) -> bytes:
        """The XML after the rows; the last row is `last_row`."""
        area = Area.of(self._headers, self.columns, self.header_row, last_row)
        frame.stretch_filter(self.header_row, self.columns)
        frame.colour(area, self._formats.colours)
        return frame.halves()[1]

    def users_columns(self) -> frozenset[int]:
        """The columns with a header of the user's own."""
        return frozenset(i for i, h in enumerate(self._headers) if h and not is_result_column(h))

    def cells(self, grammar: Grammar) -> ResultCells:
        """The maker of the rows' result cells."""
        return ResultCells(grammar.prefix, self.columns, self._formats.text)


def _first_free(width: int, under_drawings: int, headers: Sequence[str]) -> int:
    """The first column for results: after all values, and after drawings if there is room."""
    most = COLUMNS_MAX - len(FIELDS)
    if width > most and not any(is_result_column(header) for header in headers):
        raise CannotStart(
            "The sheet reaches to column {column}, which leaves no room for the {n} "
            "columns of results; delete what is far to the right",
            column=column_letters(width - 1),
            n=len(FIELDS),
        )
    behind = max(width, under_drawings)
    return behind if behind <= most else width


class _Rows:
    """Converts rows to rows with results; counts rows and columns on the way."""

    def __init__(self, patch: _Patch, grammar: Grammar, width: int) -> None:
        self.numbers: set[int] = set()
        self.count = 0
        self.width = width
        """Columns up to the last one with a value, from the header row on, or referred to."""
        self._grammar = grammar
        self._cells = patch.cells(grammar)
        self._header_row = patch.header_row
        self._tab = patch.tab
        self._users = patch.users_columns()
        self._results = patch.results

    def render(self, row: Row) -> bytes:
        """The row with its results."""
        self.count += 1
        self.numbers.add(row.number)
        if b"f>" in row.body:
            self.width = max(self.width, columns_in(row.body, self._tab, here=True))
        if row.number < self._header_row:
            return self._grammar.untouched(row)
        last = self._grammar.last_cell(row)
        if last is not None and last.column >= self.width:
            valued = (c.column + 1 for c in self._grammar.cells(row) if c.valued)
            self.width = max(self.width, *valued, 0)
        if row.number == self._header_row:
            added = self._cells.titles(row.number, self._header_style(row))
        else:
            added = self._cells.of(row.number, self._results.get(row.number))
        return self._grammar.render(row, added, last)

    def _header_style(self, row: Row) -> str | None:
        """The format of the user's last header."""
        cells = reversed(self._grammar.cells(row))
        return next((c.style for c in cells if c.column in self._users), None)


def write_in_blocks(out: IO[bytes], rows: Iterable[bytes]) -> None:
    """Write rows, about a megabyte at a time."""
    held: list[bytes] = []
    n_bytes = 0
    for row in rows:
        held.append(row)
        n_bytes += len(row)
        if n_bytes > _FLUSH:
            out.write(b"".join(held))
            held.clear()
            n_bytes = 0
    out.write(b"".join(held))


def copy_entry(old: ZipFile, new: ZipFile, info: ZipInfo) -> None:
    """Copy one part of a workbook."""
    if info.is_dir():
        new.writestr(_same_entry(info), b"")
        return
    with (
        old.open(info) as file,
        new.open(_same_entry(info), "w", force_zip64=_is_large(info)) as out,
    ):
        shutil.copyfileobj(file, out, _FLUSH)


def _is_large(info: ZipInfo) -> bool:
    """Whether the part may exceed 2 GiB, from which on a zip needs zip64."""
    return info.file_size > 2**30


def _same_entry(info: ZipInfo) -> ZipInfo:
    """A zip entry with the same name, date and compression; the writer sets sizes and flags."""
    made = ZipInfo(info.filename, info.date_time)
    made.compress_type = info.compress_type
    made.external_attr = info.external_attr
    return made


def _xml(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)
