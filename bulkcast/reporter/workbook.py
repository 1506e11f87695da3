"""Result sheets as xlsx and xlsm: the user's own file with cells added inside its zip.

Loading and saving a workbook loses what the library does not know (newer drop-downs, pictures,
saved formula values).  Patching loses nothing: two parts change, every other one is copied.
"""

import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from lxml import etree

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.model import Layout, ResultRow, Text
from bulkcast.reporter import resave
from bulkcast.reporter.cells import ResultCells
from bulkcast.reporter.columns import COLUMNS_MAX, FIELDS, is_ours, letters, place
from bulkcast.reporter.files import Draft
from bulkcast.reporter.frame import Frame
from bulkcast.reporter.highlight import Area
from bulkcast.reporter.package import (
    Parts,
    Unpatchable,
    columns_under_drawings,
    find_parts,
    parse,
    read,
)
from bulkcast.reporter.rows import Grammar, Row, RowStream
from bulkcast.reporter.styles import extend

_FLUSH: Final = 1 << 20
_LEVEL: Final = 2
"""Of compression for the sheet: 0.64 s where the usual 6 took 0.91 s, for a fifth more bytes."""


def write(
    source: Path,
    draft: Draft,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
) -> None:
    """Write the draft: `source` and its results.

    Raises:
        CannotStart: the sheet has no room for seven more columns.
        UnreadableSheet: the source is no workbook any more.

    """
    try:
        with ZipFile(source) as old:
            _patch(old, draft, layout, headers, results)
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
    draft.remarks.append(resave.write(source, draft.path, layout, headers, results, why=str(why)))


def _patch(
    old: ZipFile,
    draft: Draft,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
) -> None:
    parts = find_parts(old, layout.tab)
    patch = _Patch(old, parts, layout, headers, results)
    width = len(headers)
    # Values may stand right of what was read.  That shows while the rows are copied, so a sheet
    # without any, nearly every one, is gone through once.
    while (found := patch.into(draft.path, width)) > width:
        width = found
    _verify(draft.path, old, parts.sheet, patch)
    if any(name.startswith("_xmlsignatures/") for name in old.namelist()):
        draft.remarks.append(Text("The workbook's digital signature is no longer valid."))


class _Patch:
    """One workbook on its way into its result."""

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
        self._headers = headers
        self.results = results
        self.columns: Mapping[int, str] = {}
        self.numbers: set[int] = set()
        """Of every row the file holds, once it has been gone through."""
        self._styles = parse(read(old, parts.styles))
        self._formats = extend(self._styles)
        self._under_drawings = columns_under_drawings(old, parts)

    def into(self, path: Path, width: int) -> int:
        """Write the result to `path`, taking the sheet to be `width` columns wide; how wide it is.

        Where it is wider than that the file is of no use.
        """
        first_free = _first_free(width, self._under_drawings, self._headers)
        self.columns = place(self._headers, first_free)
        with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as new:
            for info in self._old.infolist():
                if info.filename == self._parts.sheet:
                    width = self._copy_sheet(new, info, width)
                elif info.filename == self._parts.styles:
                    new.writestr(_like(info), _xml(self._styles))
                else:
                    _copy(self._old, new, info)
        if missing := self.results.keys() - self.numbers:
            raise UnreadableSheet(
                "The sheet that was checked had a row {row}; this has none", row=min(missing)
            )
        return width

    def _copy_sheet(self, new: ZipFile, info: ZipInfo, width: int) -> int:
        large = _is_large(info)
        # By its name, not `_like`: only so does the zip's own level of compression hold.
        with self._old.open(info) as file, new.open(info.filename, "w", force_zip64=large) as out:
            stream = RowStream(file)
            out.write(self._head(stream))
            rows = _Rows(self, stream.grammar, width)
            _write_in_blocks(out, map(rows.render, stream.rows()))
            out.write(self._tail(stream, max(rows.numbers, default=self.header_row)))
        if rows.count != len(rows.numbers):
            raise Unpatchable("two rows of one number")
        self.numbers = rows.numbers
        return rows.width

    def _head(self, stream: RowStream) -> bytes:
        """What stands before the rows; what follows them is not known yet and is left out."""
        frame = Frame(stream.head, stream.grammar.sheet_close)
        frame.stretch(self.columns, max(self.results, default=self.header_row))
        frame.widen({i: f for i, f in self.columns.items() if i >= len(self._headers)})
        return frame.halves()[0]

    def _tail(self, stream: RowStream, last_row: int) -> bytes:
        """What follows the rows, the last of which is `last_row`."""
        at = {field: index for index, field in self.columns.items()}
        frame = Frame(stream.head, stream.tail)
        area = Area(
            header_row=self.header_row,
            last_row=last_row,
            user_columns=max(self.users_columns(), default=-1) + 1,
            status=at["status"],
            message=at["message"],
        )
        frame.colour(area, self._formats.colours)
        return frame.halves()[1]

    def users_columns(self) -> frozenset[int]:
        """The columns that have a header of the user's."""
        return frozenset(i for i, h in enumerate(self._headers) if h and not is_ours(h))

    def cells(self, grammar: Grammar) -> ResultCells:
        """What the rows get."""
        return ResultCells(grammar.prefix, self.columns, self._formats.text)


def _first_free(width: int, under_drawings: int, headers: Sequence[str]) -> int:
    """Where new columns may begin: behind all values, and behind pictures if there is room."""
    most = COLUMNS_MAX - len(FIELDS)
    if width > most and not any(is_ours(header) for header in headers):
        raise CannotStart(
            "The sheet reaches to column {column}, which leaves no room for the {n} "
            "columns of results; delete what is far to the right",
            column=letters(width - 1),
            n=len(FIELDS),
        )
    behind = max(width, under_drawings)
    return behind if behind <= most else width


# ------------------------------------------------------------------ writing


class _Rows:
    """What becomes of each row, and what was seen of them on the way."""

    def __init__(self, patch: _Patch, grammar: Grammar, width: int) -> None:
        self.numbers: set[int] = set()
        self.count = 0
        self.width = width
        """Columns up to the last one that holds a value, from the header on."""
        self._grammar = grammar
        self._cells = patch.cells(grammar)
        self._header_row = patch.header_row
        self._users = patch.users_columns()
        self._results = patch.results

    def render(self, row: Row) -> bytes:
        """The row as it goes into the result."""
        self.count += 1
        self.numbers.add(row.number)
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


def _write_in_blocks(out: IO[bytes], rows: Iterable[bytes]) -> None:
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


def _copy(old: ZipFile, new: ZipFile, info: ZipInfo) -> None:
    if info.is_dir():
        new.writestr(_like(info), b"")
        return
    with old.open(info) as file, new.open(_like(info), "w", force_zip64=_is_large(info)) as out:
        shutil.copyfileobj(file, out, _FLUSH)


def _is_large(info: ZipInfo) -> bool:
    """Whether the part could pass 2 GiB, from where on a zip needs its newer form."""
    return info.file_size > 2**30


def _like(info: ZipInfo) -> ZipInfo:
    """An entry of the same name, date and compression; sizes and flags are the writer's."""
    made = ZipInfo(info.filename, info.date_time)
    made.compress_type = info.compress_type
    made.external_attr = info.external_attr
    return made


def _xml(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)


# ------------------------------------------------------------------ looking again


def _verify(path: Path, old: ZipFile, part: str, patch: _Patch) -> None:
    """Read the draft again: same parts, XML throughout, as many rows, each status in its row.

    Raises:
        Unpatchable: something is missing; the cause is a file unlike any the patch was made for.

    """
    with ZipFile(path) as new:
        if new.namelist() != old.namelist():
            raise Unpatchable("a part was lost")
        with new.open(part) as file:
            checked = _Checked(file)
            stream = RowStream(checked)
            n_rows = sum(_is_told(row, patch.results.get(row.number)) for row in stream.rows())
            checked.end()
    if n_rows != len(patch.numbers):
        raise Unpatchable(f"{n_rows} of {len(patch.numbers)} rows are as written")


def _is_told(row: Row, result: ResultRow | None) -> bool:
    """Whether the row says its result's status."""
    return result is None or f">{result.status.value}</".encode() in row.body


class _Checked:
    """A file of XML that a real parser reads along with: expat, since it builds nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._parser = expat.ParserCreate()

    def read(self, size: int, /) -> bytes:
        """The next bytes, which were XML so far."""
        chunk = self._file.read(size)
        self._parse(chunk, is_last=False)
        return chunk

    def end(self) -> None:
        """Whether what was read is a whole document."""
        self._parse(b"", is_last=True)

    def _parse(self, chunk: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(chunk, is_last)
        except expat.ExpatError as exc:
            raise Unpatchable(str(exc)) from exc
