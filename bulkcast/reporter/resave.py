"""The second-best way to annotate a workbook: load it with openpyxl and save it again."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from zipfile import BadZipFile, ZipFile

from openpyxl import load_workbook
from openpyxl.cell import Cell
from openpyxl.worksheet.worksheet import Worksheet

from bulkcast.errors import CannotStart
from bulkcast.model import Layout, ResultRow, Text
from bulkcast.reporter.columns import place, storable, texts, title

_REBUILT: Final = (
    "xl/sharedStrings.xml",
    "xl/calcChain.xml",
    "xl/worksheets/",
    "docProps/",
    "xl/comments",
    "xl/drawings/vmlDrawing",
    "xl/theme/",
)
"""Parts that openpyxl writes anew or under other names, so that their absence is no loss."""


def write(
    source: Path,
    draft: Path,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
    *,
    why: str,
) -> Text:
    """Write `draft`; what the user should know was lost on the way.

    Raises:
        CannotStart: openpyxl cannot write this workbook either.

    """
    try:
        with warnings.catch_warnings(record=True) as said, source.open("rb") as file:
            warnings.simplefilter("always")
            book = load_workbook(file, keep_vba=layout.kind == "xlsm")
            tab = book[layout.tab] if layout.tab else book.worksheets[0]
            _fill(tab, layout, headers, results)
            book.save(draft)
        lost = [*dict.fromkeys(str(w.message) for w in said), *_lost_parts(source, draft)]
    except _UNWRITABLE as exc:
        raise CannotStart(
            f"{source.name} cannot be written back ({why}; {exc}); save it as a new .xlsx first"
        ) from exc
    return Text(_SAID_WITH_PARTS if lost else _SAID, {"parts": "; ".join(lost)})


_SAID: Final = (
    "The workbook had to be written anew: what formulas had computed is gone until it is opened "
    "and saved in a spreadsheet program."
)
_SAID_WITH_PARTS: Final = _SAID + "  Lost: {parts}."

_UNWRITABLE: Final = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, BadZipFile, EOFError, RuntimeError,
    SyntaxError,
)  # fmt: skip
"""What openpyxl raises for files it does not understand; XML errors are SyntaxErrors."""


def _fill(
    tab: Worksheet, layout: Layout, headers: Sequence[str], results: Mapping[int, ResultRow]
) -> None:
    if (last := max(results, default=0)) > tab.max_row:
        raise ValueError(f"the sheet that was checked had a row {last}")
    columns = place(headers, max(len(headers), tab.max_column))
    for index, field in columns.items():
        _put(tab, layout.header_row, index, title(field))
    for number in range(layout.header_row + 1, tab.max_row + 1):
        said = texts(results.get(number))
        for index, field in columns.items():
            _put(tab, number, index, storable(said[field]))


def _put(tab: Worksheet, row: int, index: int, text: str) -> None:
    cell = tab.cell(row, index + 1)
    if isinstance(cell, Cell):
        cell.value = text or None
        cell.data_type = "s"


def _lost_parts(source: Path, draft: Path) -> list[str]:
    """The parts of `source` that have no counterpart in `draft`."""
    with ZipFile(source) as old, ZipFile(draft) as new:
        gone = set(old.namelist()) - set(new.namelist())
    return sorted(name for name in gone if not name.startswith(_REBUILT) and name[-1] != "/")
