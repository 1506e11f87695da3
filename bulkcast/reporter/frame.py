"""What surrounds the rows of a worksheet: its extent, column widths, conditional formats.

Small enough to be a tree.  The rows are left out of it and put back as bytes.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Final

from lxml import etree

from bulkcast.reporter.columns import COLUMNS_MAX, FIELDS, WIDTHS, letters
from bulkcast.reporter.highlight import MARK, Area, rules
from bulkcast.reporter.package import Unpatchable, parse
from bulkcast.reporter.ranges import Range, grow

_PLACE: Final = b"bulkcast:rows:7e1f0c52"
"""Stands for the rows while they are away; not a thing a worksheet says."""

_AFTER_FORMATS: Final = frozenset({
    "dataValidations", "hyperlinks", "printOptions", "pageMargins", "pageSetup", "headerFooter",
    "rowBreaks", "colBreaks", "customProperties", "cellWatches", "ignoredErrors", "smartTags",
    "drawing", "drawingHF", "legacyDrawing", "legacyDrawingHF", "picture", "oleObjects", "controls",
    "webPublishItems", "tableParts", "extLst", "AlternateContent",
})  # fmt: skip
"""What follows conditional formats in a worksheet (ECMA-376, part 1, CT_Worksheet)."""


_MERGED_MOST: Final = COLUMNS_MAX - len(FIELDS)
"""Of a row that is merged to its end nothing can be shown; the others have their results."""


class Frame:
    """A worksheet without its rows."""

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._root = parse(head + _PLACE + tail)
        if (self._root.getroottree().docinfo.encoding or "UTF-8").upper() not in {"UTF-8", "ASCII"}:
            raise Unpatchable("a worksheet that is not UTF-8")

    def halves(self) -> tuple[bytes, bytes]:
        """The XML before and behind the rows."""
        raw = etree.tostring(self._root, xml_declaration=True, encoding="UTF-8", standalone=True)
        head, found, tail = raw.partition(_PLACE)
        if not found or _PLACE in tail:
            raise Unpatchable("a worksheet that says our own mark")
        return head, tail

    def _tag(self, name: str) -> str:
        return f"{{{etree.QName(self._root).namespace}}}{name}"

    def _rows(self) -> etree._Element:
        rows = self._root.find("{*}sheetData")
        if rows is None:
            raise Unpatchable("rows that are not in a worksheet")
        return rows

    def stretch(self, columns: Collection[int], last_row: int) -> None:
        """Make the recorded extent hold `columns` down to `last_row` at least.

        Where no extent is recorded none is made.
        """
        dimension = self._root.find("{*}dimension")
        if dimension is not None:
            recorded = re.search("[0-9]{1,7}$", dimension.get("ref", ""))
            last = max(last_row, int(recorded[0]) if recorded else 1)
            dimension.set("ref", f"A1:{letters(max(columns))}{last}")

    def widen(self, columns: Mapping[int, str]) -> None:
        """Give result columns their widths, cutting them out of wider definitions."""
        cols = self._root.find("{*}cols")
        if cols is None:
            cols = etree.Element(self._tag("cols"))
            self._rows().addprevious(cols)
        for index, field in columns.items():
            _cut_out(cols, index + 1)
            width = {"width": str(WIDTHS[field]), "customWidth": "1"}
            place = {"min": str(index + 1), "max": str(index + 1)}
            etree.SubElement(cols, self._tag("col"), place | width)
        cols[:] = sorted(cols, key=lambda col: int(col.get("min", "0")))

    def reach(self, rows: Sequence[int], width: int) -> int:
        """Columns up to the end of what is merged out of the first `width` ones in any of `rows`.

        What stands in a merged cell beyond its corner no program shows.  `rows` are sorted.
        """
        reach = width
        for area in self._merged():
            at = bisect_left(rows, area.first_row)
            meets = at < len(rows) and rows[at] <= area.last_row
            if meets and area.first_column < width and area.last_column < _MERGED_MOST:
                reach = max(reach, area.last_column + 1)
        return reach

    def _merged(self) -> Iterator[Range]:
        for cell in self._root.iter("{*}mergeCell"):
            if area := Range.parse(cell.get("ref", "")):
                yield area

    def stretch_filter(self, header_row: int, columns: Collection[int]) -> None:
        """Let the sheet's filter reach over result columns that stand beside it."""
        grow(self._root.find("{*}autoFilter"), header_row, columns)

    def colour(self, area: Area, formats: Mapping[str, int]) -> None:
        """Put our conditional formats behind the user's own, in place of an earlier run's."""
        for old in self._root.findall("{*}conditionalFormatting"):
            # A spreadsheet program puts rules of the same cells together, the user's among them.
            for held in old.findall("{*}cfRule"):
                if MARK in "".join(map(str, held.itertext())):
                    old.remove(held)
            if old.find("{*}cfRule") is None:
                self._root.remove(old)
        priority = self._last_priority()
        behind = self._rows().itersiblings()
        following = next((c for c in behind if _name(c) in _AFTER_FORMATS), None)
        for number, rule in enumerate(rules(area), start=priority + 1):
            made = etree.Element(self._tag("conditionalFormatting"), sqref=rule.cells)
            attributes = {"type": "expression", "dxfId": str(formats[rule.meaning])}
            ours = etree.SubElement(
                made, self._tag("cfRule"), attributes | {"priority": str(number)}
            )
            etree.SubElement(ours, self._tag("formula")).text = rule.formula
            if following is None:
                self._root.append(made)
            else:
                following.addprevious(made)

    def _last_priority(self) -> int:
        """The weakest priority in use, those of newer kinds of rules included."""
        found = (rule.get("priority", "0") for rule in self._root.iter("{*}cfRule"))
        return max((int(p) for p in found), default=0)


def _name(element: etree._Element) -> str:
    """The element's name without its namespace; a comment has none."""
    return str(element.tag).rpartition("}")[2]


def _cut_out(cols: etree._Element, number: int) -> None:
    """Take column `number`, from 1, out of every definition that spans it."""
    for col in list(cols):
        low, high = int(col.get("min", "0")), int(col.get("max", "0"))
        if not low <= number <= high:
            continue
        for start, end in ((low, number - 1), (number + 1, high)):
            if start <= end:
                part = deepcopy(col)
                part.set("min", str(start))
                part.set("max", str(end))
                col.addprevious(part)
        cols.remove(col)
