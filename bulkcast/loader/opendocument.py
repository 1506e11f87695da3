"""What a worksheet of an OpenDocument spreadsheet says of its cells beyond their values.

Programs write an error as a formula whose value is an empty text or 0 and whose shown text is the
error's word; LibreOffice also says so by `calcext:value-type` (seen in its files, 24.2).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from lxml import etree

from bulkcast.loader import marks
from bulkcast.loader.marks import Marks
from bulkcast.loader.table import WIDEST
from bulkcast.model import FlaggedCell

_TABLE: Final = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
_OFFICE: Final = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
_TEXT: Final = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_CALC: Final = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"
_TAB: Final = f"{{{_TABLE}}}table"
_ROW: Final = f"{{{_TABLE}}}table-row"
_SUSPECTS: Final = etree.XPath(
    "*[@t:formula or @c:value-type='error' or @t:number-columns-spanned or @t:number-rows-spanned]",
    namespaces={"t": _TABLE, "c": _CALC},
)
_ERROR: Final = re.compile(r"#[A-Z/0]+[!?A]|Err:\d{3}")


@dataclass(slots=True)
class _Look:
    """One pass over one worksheet's rows."""

    last_row: int
    row: int = 0
    hidden: set[int] = field(default_factory=set)
    special: dict[int, dict[int, FlaggedCell]] = field(default_factory=dict)
    ranges: list[tuple[int, int, int, int]] = field(default_factory=list)

    def take(self, element: Any) -> None:
        """Look at a row, which may stand for several."""
        first, self.row = self.row + 1, self.row + _repeated(element, "rows")
        same = range(first, min(self.row, self.last_row) + 1)
        if element.get(f"{{{_TABLE}}}visibility", "visible") != "visible":
            self.hidden.update(same)
        if not _SUSPECTS(element):
            return
        if found := dict(_special(element)):
            self.special.update(dict.fromkeys(same, found))
        self.ranges.extend(_merged(element, first))


def look(path: Path, tab: str, last_row: int) -> Marks:
    """The marks of a worksheet up to `last_row`.

    Raises:
        ValueError, lxml.etree.LxmlError: the file is of no make that can be told.
        UnreadableSheet: it holds a document type.

    """
    found = _Look(last_row)
    with ZipFile(path) as packed, packed.open("content.xml") as part:
        events: Any = etree.iterparse(
            part, events=("start", "end"), tag=(_TAB, _ROW), resolve_entities=False,
            no_network=True,
        )  # fmt: skip
        for element in _rows(events, tab):
            found.take(element)
        marks.refuse_dtd(events.root.getroottree())
    return Marks(frozenset(found.hidden), found.special, marks.merged(found.ranges))


def _rows(events: Any, tab: str) -> Iterator[Any]:
    """The rows of a worksheet, not those of tables inside its cells or drawings."""
    depth, is_wanted = 0, False
    for event, element in events:
        if element.tag == _TAB:
            depth += 1 if event == "start" else -1
            if depth == 1 and event == "start":
                is_wanted = element.get(f"{{{_TABLE}}}name") == tab
        elif event == "end" and depth == 1:
            if is_wanted:
                yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]


def _special(row: Any) -> Iterator[tuple[int, FlaggedCell]]:
    for column, cell in _placed(row):
        flagged = _flagged(cell)
        if flagged is not None:
            end = min(column + _repeated(cell, "columns"), WIDEST)
            yield from ((index, flagged) for index in range(column, end))


def _merged(row: Any, number: int) -> Iterator[tuple[int, int, int, int]]:
    """The merged ranges that begin in a row: first column from 0, row, end column, last row."""
    for column, cell in _placed(row):
        wide, tall = _number(cell, "number-columns-spanned"), _number(cell, "number-rows-spanned")
        if wide > 1 or tall > 1:
            yield column, number, column + wide, number + tall - 1


def _placed(row: Any) -> Iterator[tuple[int, Any]]:
    """The cells of a row, each with its column, from 0."""
    column = 0
    for cell in row:
        yield column, cell
        column += _repeated(cell, "columns")


def _flagged(cell: Any) -> FlaggedCell | None:
    formula, kind = cell.get(f"{{{_TABLE}}}formula"), cell.get(f"{{{_OFFICE}}}value-type")
    lines = cell.findall(f"{{{_TEXT}}}p")
    shown = "".join(text for line in lines for text in line.itertext())
    if cell.get(f"{{{_CALC}}}value-type") == "error" or (formula and _ERROR.fullmatch(shown)):
        return FlaggedCell("cell.formula_error", shown=shown)
    if formula and kind is None and not lines:
        # An empty text that a formula gave has an empty line to show.
        return FlaggedCell("cell.formula_unsaved", shown=f"={formula.partition('=')[2]}")
    return None


def _repeated(element: Any, what: str) -> int:
    return _number(element, f"number-{what}-repeated")


def _number(element: Any, name: str) -> int:
    return max(1, int(element.get(f"{{{_TABLE}}}{name}", "1")))
