"""Writes a copy of a sheet in which some cells have another text; the rest stays as it was."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Final
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from lxml import etree
from openpyxl.utils import range_boundaries

from bulkcast.csv_format import declared_delimiter, guard
from bulkcast.errors import UnreadableSheet
from bulkcast.model import COLUMNS_MAX, Grid, Layout, column_letters
from bulkcast.reporter import xlsx_writer
from bulkcast.reporter.files import replacing
from bulkcast.reporter.workbook_parts import Unpatchable, find_parts
from bulkcast.reporter.worksheet_xml import Grammar, Row, RowStream
from bulkcast.reporter.xlsx_patcher import copy_entry, escaped, in_blocks

Edits = Mapping[int, Mapping[int, str]]
"""Row → column, from 0 → the text that stands there instead; empty for a blank cell."""


def write_edited_text(
    source: Path, target: Path, layout: Layout, edits: Edits, *, guarded: bool
) -> Layout:
    """Copy a csv or tsv file with other texts in some cells; return how the copy is stored.

    Lines without an edit stay as they are, byte by byte.  A text that the file's encoding cannot
    hold makes the copy UTF-8.

    Args:
        source: the file.
        target: the copy; an existing file is replaced.
        layout: how the file was read.
        edits: the texts.
        guarded: whether the cells are guarded against being formulas, as in a result sheet.

    Raises:
        UnreadableSheet: the file is no longer the one that was read.
        CannotStart: the copy cannot be written.

    """
    with replacing(target, "replace") as draft:
        try:
            _copy_text(source, draft.path, layout, edits, layout.encoding, guarded=guarded)
        except UnicodeEncodeError:
            _copy_text(source, draft.path, layout, edits, _ANY_TEXT, guarded=guarded)
            layout = replace(layout, encoding=_ANY_TEXT)
        except (UnicodeDecodeError, csv.Error) as exc:
            raise _changed(source, exc) from exc
    return layout


_ANY_TEXT: Final = "utf-8-sig"
"""The encoding that holds every text; Excel knows it by its first bytes."""


def _copy_text(
    source: Path, target: Path, layout: Layout, edits: Edits, encoding: str, *, guarded: bool
) -> None:
    with (
        source.open(encoding=layout.encoding, newline="") as file,
        target.open("w", encoding=encoding, newline="") as copy,
    ):
        for number, raw, cells in _records(file, layout.delimiter):
            wanted = edits.get(number)
            copy.write(
                _record(raw, cells, wanted, layout.delimiter, guarded=guarded) if wanted else raw
            )


def _records(file: IO[str], delimiter: str) -> Iterator[tuple[int, str, list[str]]]:
    """Each record's number, its lines as they are stored, and its cells."""
    held: list[str] = []

    def seen() -> Iterator[str]:
        for line in file:
            held.append(line)
            yield line

    lines = seen()
    first = next(lines, "")
    before = ""
    if declared_delimiter(first):
        before, first = first, next(lines, "")
    held[:] = [first]

    def rest() -> Iterator[str]:
        yield first
        yield from lines

    for number, cells in enumerate(csv.reader(rest(), delimiter=delimiter, strict=True), start=1):
        yield number, before + "".join(held), cells
        before = ""
        held.clear()


def _record(
    raw: str, cells: list[str], wanted: Mapping[int, str], delimiter: str, *, guarded: bool
) -> str:
    width = max(len(cells), max(wanted) + 1)
    filled = cells + [""] * (width - len(cells))
    for column, text in wanted.items():
        filled[column] = guard(text) if guarded else text
    end = next((e for e in _ENDS if raw.endswith(e)), "")
    line = io.StringIO(newline="")
    # The csv module quotes only the line breaks of the end that it writes.
    csv.writer(line, delimiter=delimiter, lineterminator=_ENDS[0]).writerow(filled)
    return line.getvalue().removesuffix(_ENDS[0]) + end


_ENDS: Final = ("\r\n", "\n", "\r")
"""How a line may end; a lone carriage return is what old programs for the Mac write."""


# ------------------------------------------------------------------ workbooks

_CHAIN: Final = "xl/calcChain.xml"
"""The order in which formulas are computed.  Programs make a new one where there is none; one that
names a cell without a formula they call damage."""
_OF_CHAIN: Final = re.compile(rb"<(?:Override|Relationship)\s[^<>]*calcChain[^<>]*/>")
_NAMING_CHAIN: Final = frozenset({"[Content_Types].xml", "xl/_rels/workbook.xml.rels"})
_LEVEL: Final = 2
_MERGES: Final = re.compile(
    rb"<((?:[\w.-]+:)?)mergeCells(?:\s[^<>]*)?>(.*?)</\1mergeCells>", re.DOTALL
)
_MERGE: Final = re.compile(
    rb"""<(?:[\w.-]+:)?mergeCell\s[^<>]*?ref\s*=\s*["']([^"']+)["'][^<>]*/>"""
)
_SHARED: Final = re.compile(rb"""<(?:[\w.-]+:)?f\s[^<>]*(?:ref|t\s*=\s*["']array)""")


def write_edited_workbook(
    source: Path, target: Path, layout: Layout, edits: Edits, *, spare: Grid | None
) -> bool:
    """Copy an xlsx or xlsm workbook with other texts in some cells; True if it is the user's own.

    Formats, formulas of other cells and other worksheets stay; ranges of merged cells that hold an
    edited cell are no longer merged.  Of a workbook that cannot be patched a new one is made with
    the cells `spare`; without them it is refused.

    Raises:
        Unpatchable: it cannot be patched, and `spare` is None.
        UnreadableSheet: the file is no longer the one that was read.
        CannotStart: the copy cannot be written.

    """
    with replacing(target, "replace") as draft:
        if spare is not None:
            cells = {number: list(row) for number, row in spare.cells.items()}
            for number, wanted in edits.items():
                row = cells.setdefault(number, [])
                row += [None] * (max(wanted) + 1 - len(row))
                for column, text in wanted.items():
                    row[column] = text or None
            ordered = {number: cells[number] for number in sorted(cells)}
            xlsx_writer.write_cells(draft.path, layout, ordered)
            return False
        try:
            with ZipFile(source) as old:
                _copy_workbook(old, draft.path, layout, edits)
        # zipfile raises NotImplementedError for a compression that it does not know.
        except (etree.XMLSyntaxError, NotImplementedError) as exc:
            raise Unpatchable(str(exc)) from exc
        except (BadZipFile, EOFError, RuntimeError) as exc:
            raise _changed(source, exc) from exc
    return True


def _copy_workbook(old: ZipFile, path: Path, layout: Layout, edits: Edits) -> None:
    sheet = find_parts(old, layout.tab).sheet.part
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as new:
        for info in old.infolist():
            if info.filename == sheet:
                with old.open(info) as file, new.open(info.filename, "w", force_zip64=True) as out:
                    _copy_rows(RowStream(file), out, edits)
            elif info.filename in _NAMING_CHAIN:
                new.writestr(info.filename, _OF_CHAIN.sub(b"", old.read(info)))
            elif info.filename != _CHAIN:
                copy_entry(old, new, info)


def _copy_rows(stream: RowStream, out: IO[bytes], edits: Edits) -> None:
    editor = _RowEditor(stream.grammar, edits)
    out.write(stream.head)
    out.writelines(in_blocks(map(editor.render, stream.rows())))
    out.write(_unmerged(stream.tail, edits))
    if missing := edits.keys() - editor.done:
        raise Unpatchable(f"no row {min(missing)}")


class _RowEditor:
    """Puts texts into the cells of rows."""

    def __init__(self, grammar: Grammar, edits: Edits) -> None:
        self._grammar = grammar
        self._edits = edits
        self.done: set[int] = set()

    def render(self, row: Row) -> bytes:
        """The row with its edits."""
        wanted = self._edits.get(row.number)
        if wanted is None:
            return self._grammar.untouched(row)
        self.done.add(row.number)
        held = self._grammar.cells(row)
        by_column = {cell.column: cell for cell in held}
        cells: dict[int, bytes] = {}
        for column, text in sorted(wanted.items()):
            old = by_column.get(column)
            if old is not None and _SHARED.search(old.raw):
                raise Unpatchable("a formula that other cells share")
            cells[column] = self._cell(row.number, column, old.style if old else None, text)
        return self._grammar.with_cells(row, cells, held[-1] if held else None)

    def _cell(self, row: int, column: int, style: str | None, text: str) -> bytes:
        p = self._grammar.prefix
        opened = f'<{p}c r="{column_letters(column)}{row}"' + (f' s="{style}"' if style else "")
        if not text:
            return f"{opened}/>".encode()
        return (
            f'{opened} t="inlineStr"><{p}is><{p}t xml:space="preserve">{escaped(text)}</{p}t>'
            f"</{p}is></{p}c>"
        ).encode()


def _unmerged(tail: bytes, edits: Edits) -> bytes:
    """The XML after the rows, without merged ranges that hold an edited cell."""
    places = {(row, column) for row, wanted in edits.items() for column in wanted}
    rows = sorted(edits)

    def without(found: re.Match[bytes]) -> bytes:
        kept = [m[0] for m in _MERGE.finditer(found[2]) if not _holds(m[1].decode(), rows, places)]
        if not kept:
            return b""
        name = found[1] + b"mergeCells"
        return b'<%s count="%d">%s</%s>' % (name, len(kept), b"".join(kept), name)

    return _MERGES.sub(without, tail, count=1)


def _holds(ref: str, rows: Collection[int], places: Collection[tuple[int, int]]) -> bool:
    left, top, right, bottom = range_boundaries(ref)
    return any(
        (row, column) in places
        for row in rows
        if (top or 1) <= row <= (bottom or row)
        for column in range((left or 1) - 1, right or COLUMNS_MAX)
    )


def _changed(source: Path, exc: Exception) -> UnreadableSheet:
    return UnreadableSheet(
        "{name} is not the file that was checked: {exc}", name=source.name, exc=exc
    )
