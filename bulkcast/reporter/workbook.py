"""Result sheets as xlsx and xlsm: the user's own file with cells added inside its zip.

Loading and saving a workbook loses what the library does not know (newer drop-downs, pictures,
saved formula values).  Patching loses nothing: two parts change, every other one is copied.
"""

import html
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Final
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from lxml import etree

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.model import Layout, ResultRow, Text
from bulkcast.reporter import resave
from bulkcast.reporter.columns import (
    COLUMNS_MAX,
    FIELDS,
    is_ours,
    letters,
    place,
    storable,
    texts,
    title,
)
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
from bulkcast.reporter.rows import CellXml, Grammar, Row, RowStream
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
        raise UnreadableSheet(f"{source} is not the workbook that was checked: {exc}") from exc


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
    survey = _survey(old, parts.sheet, layout, headers)
    if missing := results.keys() - survey.numbers:
        raise UnreadableSheet(f"The sheet that was checked had a row {min(missing)}; this has none")
    columns = place(headers, _first_free(old, parts, survey.width, headers))
    styles = parse(read(old, parts.styles))
    added = extend(styles)
    frame = _frame(survey, layout, headers, columns, added.colours)
    rows = _Rows(survey, columns, added.text, layout.header_row, results)
    with ZipFile(draft.path, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as new:
        for info in old.infolist():
            if info.filename == parts.sheet:
                _copy_sheet(old, new, info, frame, rows)
            elif info.filename == parts.styles:
                new.writestr(_like(info), _xml(styles))
            else:
                _copy(old, new, info)
    _verify(draft.path, old, parts.sheet, len(survey.numbers), rows)
    if any(name.startswith("_xmlsignatures/") for name in old.namelist()):
        draft.remarks.append(Text("The workbook's digital signature is no longer valid."))


# ------------------------------------------------------------------ looking first


@dataclass(frozen=True, slots=True)
class _Survey:
    """What one pass over the rows tells."""

    head: bytes
    tail: bytes
    grammar: Grammar
    numbers: frozenset[int]
    """Of every row the file holds."""
    width: int
    """Columns up to the last one that holds a value, from the header on."""
    header_style: str | None
    """The format of the user's last header."""


def _survey(old: ZipFile, part: str, layout: Layout, headers: Sequence[str]) -> _Survey:
    numbers: list[int] = []
    width, header_style = len(headers), None
    with old.open(part) as file:
        stream = RowStream(file)
        for row in stream.rows():
            numbers.append(row.number)
            if row.number >= layout.header_row:
                width = max(width, _width(stream.grammar, row, width))
            if row.number == layout.header_row:
                header_style = _header_style(stream.grammar.cells(row), headers)
    if len(set(numbers)) != len(numbers):
        raise Unpatchable("two rows of one number")
    return _Survey(
        stream.head, stream.tail, stream.grammar, frozenset(numbers), width, header_style
    )


def _width(grammar: Grammar, row: Row, known: int) -> int:
    """Columns up to the row's last value; only looked for where the row is wider than `known`."""
    last = grammar.last_cell(row)
    if last is None or last.column < known:
        return known
    return max((c.column + 1 for c in grammar.cells(row) if c.valued), default=known)


def _header_style(cells: Sequence[CellXml], headers: Sequence[str]) -> str | None:
    users = {i for i, header in enumerate(headers) if header and not is_ours(header)}
    return next((c.style for c in reversed(cells) if c.column in users), None)


def _first_free(old: ZipFile, parts: Parts, width: int, headers: Sequence[str]) -> int:
    """Where new columns may begin: behind all values, and behind pictures if there is room."""
    most = COLUMNS_MAX - len(FIELDS)
    if width > most and not any(is_ours(header) for header in headers):
        raise CannotStart(
            f"The sheet reaches to column {letters(width - 1)}, which leaves no room for the "
            f"{len(FIELDS)} columns of results; delete what is far to the right"
        )
    behind = max(width, columns_under_drawings(old, parts))
    return behind if behind <= most else width


def _frame(
    survey: _Survey,
    layout: Layout,
    headers: Sequence[str],
    columns: Mapping[int, str],
    colours: Mapping[str, int],
) -> Frame:
    at = {field: index for index, field in columns.items()}
    last_row = max(survey.numbers, default=layout.header_row)
    users = [i for i, header in enumerate(headers) if header and not is_ours(header)]
    frame = Frame(survey.head, survey.tail)
    frame.stretch(columns, last_row)
    frame.widen({i: field for i, field in columns.items() if i >= len(headers)})
    frame.colour(
        Area(
            header_row=layout.header_row,
            last_row=last_row,
            user_columns=max(users, default=-1) + 1,
            status=at["status"],
            message=at["message"],
        ),
        colours,
    )
    return frame


# ------------------------------------------------------------------ writing


class _Rows:
    """What becomes of each row."""

    def __init__(
        self,
        survey: _Survey,
        columns: Mapping[int, str],
        text_style: int,
        header_row: int,
        results: Mapping[int, ResultRow],
    ) -> None:
        self.grammar = survey.grammar
        self._header_row = header_row
        self._results = results
        p = survey.grammar.prefix
        self._titles = {i: (title(f), _Tags(p, i, survey.header_style)) for i, f in columns.items()}
        self._cells = {i: (f, _tags(p, i, f, str(text_style))) for i, f in columns.items()}

    def added(self, number: int) -> dict[int, bytes]:
        """Column → the cell that row `number` gets there, `b""` for none; {} above the header."""
        if number < self._header_row:
            return {}
        if number == self._header_row:
            return {i: tags.cell(number, text) for i, (text, tags) in self._titles.items()}
        said = texts(self._results.get(number))
        return {i: tags.cell(number, said[field]) for i, (field, tags) in self._cells.items()}

    def render(self, row: Row) -> bytes:
        """The row as it goes into the result."""
        added = self.added(row.number)
        return self.grammar.render(row, added) if added else self.grammar.untouched(row)


class _Tags:
    """The XML around the text of one column's cells: a text, whatever it looks like."""

    def __init__(self, prefix: str, column: int, style: str | None) -> None:
        p = prefix
        held = f' s="{style}"' if style else ""
        self.address = f'<{p}c r="{letters(column)}'
        self.open = f'"{held} t="inlineStr"><{p}is><{p}t xml:space="preserve">'
        self.close = f"</{p}t></{p}is></{p}c>"

    def cell(self, row: int, text: str) -> bytes:
        """The cell in row `row`; nothing for an empty text."""
        if not text:
            return b""
        return f"{self.address}{row}{self.open}{_escaped(text)}{self.close}".encode()


class _NumberTags(_Tags):
    """The same for a column of whole numbers."""

    def __init__(self, prefix: str, column: int, style: str | None) -> None:
        super().__init__(prefix, column, style)
        self.open = f'"><{prefix}v>'
        self.close = f"</{prefix}v></{prefix}c>"


def _tags(prefix: str, column: int, field: str, style: str) -> _Tags:
    kind = _NumberTags if field == "attempts" else _Tags
    return kind(prefix, column, style)


@lru_cache(maxsize=4096)
def _escaped(text: str) -> str:
    """For a text node; `_x0041_` would be read as an `A` (ECMA-376, part 1, ST_Xstring)."""
    return html.escape(_LOOKS_ESCAPED.sub("_x005F_", storable(text)), quote=False)


_LOOKS_ESCAPED: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")


def _copy_sheet(old: ZipFile, new: ZipFile, info: ZipInfo, frame: Frame, rows: _Rows) -> None:
    head, tail = frame.halves()
    # By its name, not `_like`: only so does the zip's own level of compression hold.
    with old.open(info) as file, new.open(info.filename, "w", force_zip64=_is_large(info)) as out:
        stream = RowStream(file)
        out.write(head)
        held: list[bytes] = []
        n_bytes = 0
        for row in stream.rows():
            held.append(rows.render(row))
            n_bytes += len(held[-1])
            if n_bytes > _FLUSH:
                out.write(b"".join(held))
                held.clear()
                n_bytes = 0
        out.write(b"".join(held))
        out.write(tail)


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


def _verify(path: Path, old: ZipFile, part: str, n_rows: int, rows: _Rows) -> None:
    """Read the draft again: same parts, XML throughout, as many rows, each result in its row.

    Raises:
        Unpatchable: something is missing; the cause is a file unlike any the patch was made for.

    """
    with ZipFile(path) as new:
        if new.namelist() != old.namelist():
            raise Unpatchable("a part was lost")
        with new.open(part) as file:
            _parse_through(file)
        with new.open(part) as file:
            found = 0
            for row in RowStream(file).rows():
                found += 1
                if not all(cell in row.body for cell in rows.added(row.number).values()):
                    raise Unpatchable(f"row {row.number} is not as written")
    if found != n_rows:
        raise Unpatchable(f"{found} of {n_rows} rows")


def _parse_through(file: IO[bytes]) -> None:
    """Whether it is XML is for a real parser to say; expat, since it builds nothing."""
    try:
        expat.ParserCreate().ParseFile(file)
    except expat.ExpatError as exc:
        raise Unpatchable(str(exc)) from exc
