"""Writes result sheets as xlsx and xlsm: adds cells to the user's own workbook."""

import html
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from lxml import etree

from bulkcast import ooxml
from bulkcast.catalogue import is_result_column
from bulkcast.errors import UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.model import ResultRow, Text, column_letters
from bulkcast.reporter import xlsx_resaver
from bulkcast.reporter.files import Draft
from bulkcast.reporter.result_columns import (
    FIELDS,
    USER_COLUMNS_MAX,
    Results,
    place,
    refuse_too_wide,
    rules,
    storable,
    title,
)
from bulkcast.reporter.workbook_parts import (
    Parts,
    Unpatchable,
    add_formats,
    columns_elsewhere,
    columns_in,
    columns_under_drawings,
    extend_filter_name,
    extend_table,
    find_parts,
    read,
)
from bulkcast.reporter.worksheet_xml import Grammar, Row, RowStream, Worksheet, count_rows

_ROW: Final = "\x00"
_TIME: Final = "\x01"
"""Placeholders in cached cells; XML forbids both characters, so no text has them."""

_DISTINCT_MAX: Final = 4096
"""Outcomes whose cells are cached; a term has a few dozen."""


class _ResultCells:
    """Makes the result cells of rows, column → cell; an empty cell is blank."""

    def __init__(self, prefix: str, columns: Mapping[int, str], text_style: int) -> None:
        self._prefix = prefix
        self._columns = dict(sorted(columns.items()))
        self._style = f' s="{text_style}"'
        self._cached = lru_cache(maxsize=_DISTINCT_MAX)(self._make)

    def titles(self, row: int, style: str | None) -> dict[int, bytes]:
        """The headers, in the format with index `style`."""
        held = f' s="{style}"' if style else ""
        cells = {i: self._text(i, held, escaped(title(f))) for i, f in self._columns.items()}
        return _filled(cells, row, "")

    def of(self, row: int, result: ResultRow | None) -> dict[int, bytes]:
        """The cells of row `row`; all blank without a result."""
        if (r := result) is None:
            return dict.fromkeys(self._columns, b"")
        timed = _TIME if r.time else ""
        # In the order of FIELDS.
        cells = self._cached((r.status, r.code, r.message, r.fix, r.attempts, timed, r.run))
        return _filled(cells, row, r.time)

    def _make(self, values: tuple[object, ...]) -> dict[int, bytes]:
        """The cells of an outcome, with placeholders for row and time."""
        said = {
            field: str(value) if field == "time" else escaped(str(value))
            for field, value in zip(FIELDS, values, strict=True)
        }
        return {
            index: self._number(index, said[field])
            if field == "attempts"
            else self._text(index, self._style, said[field])
            for index, field in self._columns.items()
        }

    def _number(self, column: int, number: str) -> bytes:
        p = self._prefix
        return f'<{p}c r="{column_letters(column)}{_ROW}"><{p}v>{number}</{p}v></{p}c>'.encode()

    def _text(self, column: int, style: str, escaped_text: str) -> bytes:
        """A text cell; empty bytes for an empty text."""
        if not escaped_text:
            return b""
        p = self._prefix
        return (
            f'<{p}c r="{column_letters(column)}{_ROW}"{style} t="inlineStr"><{p}is>'
            f'<{p}t xml:space="preserve">{escaped_text}</{p}t></{p}is></{p}c>'
        ).encode()


def _filled(cells: Mapping[int, bytes], row: int, time: str) -> dict[int, bytes]:
    number, at = b"%d" % row, escaped(time).encode()
    return {
        column: cell.replace(b"\x00", number).replace(b"\x01", at) for column, cell in cells.items()
    }


@lru_cache(maxsize=_DISTINCT_MAX)
def escaped(text: str) -> str:
    """Escape a text for XML; `_x0041_` would be read as an `A` (ECMA-376, part 1, ST_Xstring).

    >>> escaped("a<b _x0041_")
    'a&lt;b _x005F_x0041_'
    """
    return html.escape(_ESCAPE_LIKE.sub("_x005F_", storable(text)), quote=False)


_ESCAPE_LIKE: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")

# ------------------------------------------------------------------ the workbook

_TABLE_APART: Final = marked(
    "The table {name} has totals or is filled by a query, so the results stand beside it: sort the"
    " whole sheet, since sorting the table would leave them behind."
)
_BLOCK_ROWS: Final = 2_000
_CHUNK: Final = 1 << 20
_FAR: Final = 8
"""Columns between the table and its results from which a remark says where they are."""
_LEVEL: Final = 2
"""Compression level of the sheet: 0.64 s instead of 0.91 s at level 6, a fifth more bytes."""


def patch_workbook(source: Path, draft: Draft, results: Results) -> None:
    """Write `source` with its results to the draft.

    Raises:
        CannotStart: the sheet has no room for seven more columns.
        UnreadableSheet: the source is no longer a workbook.

    """
    try:
        with ZipFile(source) as old:
            _patch(old, draft, results)
    # zipfile raises NotImplementedError for a compression that it does not know.
    except (etree.XMLSyntaxError, KeyError, ValueError, NotImplementedError) as exc:
        draft.remarks[:] = [xlsx_resaver.resave_workbook(source, draft.path, results, why=str(exc))]
    except (BadZipFile, zlib.error, EOFError, RuntimeError) as exc:
        raise UnreadableSheet(
            "{source} is not the workbook that was checked: {exc}", source=source, exc=exc
        ) from exc


def _patch(old: ZipFile, draft: Draft, results: Results) -> None:
    parts = find_parts(old, results.layout.tab)
    patch = _Patch(old, parts, results)
    width = max(len(results.headers), columns_elsewhere(old, parts.sheet))
    # Values, or cells that formulas refer to, may be to the right of what was read.  This shows
    # only while the rows are copied; most sheets need one pass.
    while (found := patch.write(draft.path, width)) > width:
        width = found
    draft.remarks.extend(patch.remarks)
    draft.remarks.extend(_distance_remark(results.headers, patch.columns))
    _verify(draft.path, old, patch)
    if any(name.startswith("_xmlsignatures/") for name in old.namelist()):
        draft.remarks.append(Text("The workbook's digital signature is no longer valid."))


def _verify(path: Path, old: ZipFile, patch: "_Patch") -> None:
    """Raise Unpatchable if the draft of `old` lacks a part, a row or a status.

    That happens if the workbook has a form that the patcher does not know.
    """
    with ZipFile(path) as new:
        if new.namelist() != old.namelist():
            raise Unpatchable("a part was lost")
    results = patch.results.by_row
    n_rows, n_with_status = count_rows(path, patch.parts.sheet.part, results)
    if (n_rows, n_with_status) != (len(patch.numbers), len(results)):
        raise Unpatchable(f"{n_with_status} of {len(results)} rows are as written")


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

    def __init__(self, old: ZipFile, parts: Parts, results: Results) -> None:
        self._old = old
        self.parts = parts
        self.results = results
        self.header_row = results.layout.header_row
        self.headers = results.headers
        self.columns: Mapping[int, str] = {}
        self.numbers: set[int] = set()
        """Numbers of all rows in the file, once it was copied."""
        self.styles = read(old, parts.styles)
        self.formats = add_formats(self.styles)
        self._under_drawings = columns_under_drawings(old, parts)
        self.remarks: list[Text] = []

    def write(self, path: Path, width: int) -> int:
        """Write the result to `path`, assuming `width` columns; return the real width.

        If that is larger, the file must be written again.
        """
        first_free = _first_free(width, self._under_drawings, self.headers)
        self.columns = place(self.headers, first_free)
        changed = self._changed_parts()
        with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as new:
            for info in self._old.infolist():
                if info.filename == self.parts.sheet.part:
                    width = self._copy_sheet(new, info, width)
                elif info.filename in changed:
                    new.writestr(_same_entry(info), changed[info.filename])
                else:
                    copy_entry(self._old, new, info)
        if missing := self.results.by_row.keys() - self.numbers:
            raise UnreadableSheet(
                "The sheet that was checked had a row {row}; this has none", row=min(missing)
            )
        return width

    def _changed_parts(self) -> dict[str, bytes]:
        """Part → new content: styles, and tables and the filter's name over the new columns."""
        self.remarks.clear()
        book, tables = self.parts.workbook, self.parts.tables
        trees = {part: read(self._old, part) for part in (book, *tables)}
        before = {part: ooxml.serialized(tree) for part, tree in trees.items()}
        extend_filter_name(trees[book], self.parts.sheet.index, self.header_row, self.columns)
        for part in tables:
            if name := extend_table(trees[part], self.header_row, self.columns):
                self.remarks.append(Text(_TABLE_APART, {"name": name}))
        after = {part: ooxml.serialized(tree) for part, tree in trees.items()}
        changed = {part: raw for part, raw in after.items() if raw != before[part]}
        return changed | {self.parts.styles: ooxml.serialized(self.styles)}

    def _copy_sheet(self, new: ZipFile, info: ZipInfo, width: int) -> int:
        large = _is_large(info)
        # By name, not `_same_entry`: only then the zip's compression level applies.
        with self._old.open(info) as file, new.open(info.filename, "w", force_zip64=large) as out:
            stream = RowStream(file)
            out.write(self._head(stream))
            rows = _Rows(self, stream.grammar, width)
            out.writelines(in_blocks(map(rows.render, stream.rows())))
            sheet = Worksheet(stream.head, stream.tail)
            rows.width = max(
                sheet.merged_width(sorted({self.header_row, *self.results.by_row}), rows.width),
                columns_in(stream.head + stream.tail, self.parts.sheet.name, here=True),
            )
            out.write(self._tail(sheet, max(rows.numbers, default=self.header_row)))
        if rows.count != len(rows.numbers):
            raise Unpatchable("two rows of one number")
        self.numbers = rows.numbers
        return rows.width

    def _head(self, stream: RowStream) -> bytes:
        """The XML before the rows; the XML after them is not known yet."""
        sheet = Worksheet(stream.head, stream.grammar.sheet_close)
        sheet.set_dimension(self.columns, self.results.last_row or self.header_row)
        sheet.set_widths({i: f for i, f in self.columns.items() if i >= len(self.headers)})
        return sheet.split()[0]

    def _tail(self, sheet: Worksheet, last_row: int) -> bytes:
        """The XML after the rows; the last row is `last_row`."""
        sheet.extend_filter(self.header_row, self.columns)
        sheet.add_rules(rules(self.results, self.columns, last_row), self.formats.colours)
        return sheet.split()[1]


def _first_free(width: int, under_drawings: int, headers: Sequence[str]) -> int:
    """The first column for results: after all values, and after drawings if there is room."""
    if not any(is_result_column(header) for header in headers):
        refuse_too_wide(width)
    behind = max(width, under_drawings)
    return behind if behind <= USER_COLUMNS_MAX else width


class _Rows:
    """Converts rows to rows with results; counts rows and columns on the way."""

    def __init__(self, patch: _Patch, grammar: Grammar, width: int) -> None:
        self.numbers: set[int] = set()
        self.count = 0
        self.width = width
        """Columns up to the last one with a value, from the header row on, or referred to."""
        self._grammar = grammar
        self._cells = _ResultCells(grammar.prefix, patch.columns, patch.formats.text)
        self._header_row = patch.header_row
        self._tab = patch.parts.sheet.name
        self._users = {i for i, h in enumerate(patch.headers) if h and not is_result_column(h)}
        self._results = patch.results.by_row

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
        return self._grammar.with_cells(row, added, last)

    def _header_style(self, row: Row) -> str | None:
        """The format of the user's last header."""
        cells = reversed(self._grammar.cells(row))
        return next((c.style for c in cells if c.column in self._users), None)


def in_blocks(rows: Iterator[bytes]) -> Iterator[bytes]:
    """The rows in larger pieces, which a zip compresses faster."""
    while block := b"".join(islice(rows, _BLOCK_ROWS)):
        yield block


def copy_entry(old: ZipFile, new: ZipFile, info: ZipInfo) -> None:
    """Copy one part of a workbook."""
    if info.is_dir():
        new.writestr(_same_entry(info), b"")
        return
    with (
        old.open(info) as file,
        new.open(_same_entry(info), "w", force_zip64=_is_large(info)) as out,
    ):
        shutil.copyfileobj(file, out, _CHUNK)


def _is_large(info: ZipInfo) -> bool:
    """Whether the part may exceed 2 GiB, from which on a zip needs zip64."""
    return info.file_size > 2**30


def _same_entry(info: ZipInfo) -> ZipInfo:
    """A zip entry with the same name, date and compression; the writer sets sizes and flags."""
    made = ZipInfo(info.filename, info.date_time)
    made.compress_type = info.compress_type
    made.external_attr = info.external_attr
    return made
