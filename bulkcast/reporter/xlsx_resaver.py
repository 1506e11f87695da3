"""Fallback: loads a workbook with openpyxl, adds the results, saves it, reports what is lost."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile, ZipFile, ZipInfo

from openpyxl import Workbook, load_workbook
from openpyxl.cell import Cell
from openpyxl.formatting.formatting import ConditionalFormattingList
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Font, PatternFill
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.worksheet.worksheet import Worksheet

from bulkcast.arguments import Counts
from bulkcast.errors import CannotStart
from bulkcast.i18n import marked
from bulkcast.model import Text, column_letters
from bulkcast.reporter.result_columns import (
    COLOURS,
    MARK,
    WIDTHS,
    ColourRule,
    Results,
    place,
    rules,
)
from bulkcast.reporter.workbook_parts import columns_of, extended


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of content of a workbook, and how to find it in the package."""

    name: str
    folder: str
    """Prefix of the names of its parts."""
    mark: bytes = b""
    """Bytes that occur once for each in a part; empty if each is its own part."""


_LOSABLE: Final = (
    _Kind("pictures", "xl/media/"),
    _Kind("charts", "xl/charts/chart"),
    _Kind("text boxes and shapes", "xl/drawings/drawing", b"</xdr:sp>"),
    _Kind("form controls", "xl/ctrlProps/"),
    _Kind("ActiveX controls", "xl/activeX/activeX"),
    _Kind("embedded objects", "xl/embeddings/"),
    _Kind("threaded comments", "xl/threadedComments/"),
    _Kind("pivot tables", "xl/pivotTables/pivotTable"),
    _Kind("slicers", "xl/slicers/"),
    _Kind("timelines", "xl/timelines/"),
    _Kind("queries and connections", "xl/connections"),
    _Kind("macros", "xl/vbaProject.bin"),
    _Kind("custom XML", "customXml/item"),
    _Kind("printer settings", "xl/printerSettings/"),
    _Kind("digital signatures", "_xmlsignatures/"),
    _Kind("drop-downs from other sheets", "xl/worksheets/", b"<x14:dataValidation "),
    _Kind("sparklines", "xl/worksheets/", b"<x14:sparkline>"),
    _Kind("newer conditional formats", "xl/worksheets/", b"<x14:conditionalFormatting "),
)
"""Content that openpyxl loses, or may lose, when it saves a workbook."""


def resave_workbook(source: Path, draft: Path, results: Results, *, why: str) -> Text:
    """Write `draft`; return the remark about what is lost.

    Raises:
        CannotStart: openpyxl cannot write this workbook either.

    """
    try:
        with warnings.catch_warnings(), source.open("rb") as file:
            # openpyxl warns of some losses; `_lost` reports all that are known.
            warnings.simplefilter("ignore")
            book = load_workbook(file, keep_vba=results.layout.kind == "xlsm")
            name = results.layout.tab
            _fill(book[name] if name else book.worksheets[0], results)
            book.save(draft)
        lost = _lost(source, draft)
    except _UNWRITABLE as exc:
        raise CannotStart(
            "{name} cannot be written back ({why}; {exc}); save it as a new .xlsx first",
            name=source.name,
            why=why,
            exc=exc,
        ) from exc
    return Text(_RESAVED_WITH_LOSSES if lost else _RESAVED, {"parts": Counts(tuple(lost))})


_RESAVED: Final = marked(
    "The workbook had to be written anew: what formulas had computed is gone until it is opened "
    "and saved in a spreadsheet program."
)
_RESAVED_WITH_LOSSES: Final = marked(
    "The workbook had to be written anew: what formulas had computed is gone until it is opened "
    "and saved in a spreadsheet program.  Lost: {parts}."
)

_UNWRITABLE: Final = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, BadZipFile, EOFError, RuntimeError,
    SyntaxError,
)  # fmt: skip
"""What openpyxl raises for files it does not understand; XML errors are SyntaxErrors."""


def _fill(tab: Worksheet, results: Results) -> None:
    header_row, headers = results.layout.header_row, results.headers
    if results.last_row > tab.max_row:
        raise ValueError(f"the sheet that was checked had a row {results.last_row}")
    merged = max((area.max_col for area in tab.merged_cells.ranges), default=0)
    width = max(len(headers), tab.max_column, merged, _referenced_columns(tab.parent, tab))
    columns = place(headers, width)
    for index, field in columns.items():
        if index >= len(headers):
            tab.column_dimensions[column_letters(index)].width = WIDTHS[field]
    for number in range(header_row, tab.max_row + 1):
        for index, text in results.cells(number, columns).items():
            cell = tab.cell(number, index + 1)
            if isinstance(cell, Cell):
                cell.value = text or None
                cell.data_type = "s"
    own = tab.auto_filter.ref or ""
    tab.auto_filter.ref = extended(own, header_row, columns) or own or None
    _colour(tab, rules(results, columns, tab.max_row))


def _referenced_columns(book: Workbook | None, tab: Worksheet) -> int:
    """Columns up to the last one that a formula or a name of the workbook refers to."""
    if book is None:
        return 0
    names = (name.attr_text or "" for name in book.defined_names.values())
    cells = (
        (str(getattr(cell.value, "text", cell.value)), sheet is tab)
        for sheet in book.worksheets
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f"
    )
    formulas = [*cells, *((name, False) for name in names)]
    return max((columns_of(formula, tab.title, here=here) for formula, here in formulas), default=0)


def _colour(tab: Worksheet, made: Iterable[ColourRule]) -> None:
    """Add our conditional formats after the user's own; remove those of an earlier run."""
    kept = [
        (str(held.sqref), rule)
        for held in tab.conditional_formatting
        for rule in held.rules
        if MARK not in "".join(rule.formula)
    ]
    tab.conditional_formatting = ConditionalFormattingList()
    for cells, rule in kept:
        tab.conditional_formatting.add(cells, rule)
    for ours in made:
        background, text = COLOURS[ours.meaning]
        look = DifferentialStyle(fill=PatternFill(bgColor=background), font=Font(color=text))
        rule = Rule(type="expression", dxf=look, formula=[ours.formula])
        tab.conditional_formatting.add(ours.cells, rule)


def _lost(source: Path, draft: Path) -> list[tuple[str, int]]:
    """Kinds of content of which `source` has more than `draft`, with the difference."""
    with ZipFile(source) as old, ZipFile(draft) as new:
        before, after = _counts(old), _counts(new)
    return [(name, n - after[name]) for name, n in before.items() if n > after[name]]


def _counts(book: ZipFile) -> dict[str, int]:
    """Kind of content → its number in the workbook."""
    counts = {kind.name: 0 for kind in _LOSABLE}
    for info in book.infolist():
        kinds = [kind for kind in _LOSABLE if info.filename.startswith(kind.folder)]
        marks = {kind.name: kind.mark for kind in kinds if kind.mark}
        counts |= {kind.name: counts[kind.name] + 1 for kind in kinds if not kind.mark}
        for name, n in _occurrences(book, info, marks).items():
            counts[name] += n
    return counts


def _occurrences(book: ZipFile, info: ZipInfo, marks: Mapping[str, bytes]) -> dict[str, int]:
    """How often each mark occurs in a part, which is read in pieces."""
    found = dict.fromkeys(marks, 0)
    if not marks:
        return found
    with book.open(info) as file:
        seen = b""
        while chunk := file.read(_PIECE):
            for name, mark in marks.items():
                # A mark may begin in one piece and end in the next.
                found[name] += (seen[len(seen) - len(mark) + 1 :] + chunk).count(mark)
            seen = chunk[-_MARK_MAX:]
    return found


_PIECE: Final = 1 << 20
_MARK_MAX: Final = 64
"""Bytes; more than any mark has."""
