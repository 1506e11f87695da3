"""Ranges that grow over the result columns: the sheet's filter, and tables.

Excel sorts a filtered range or a table, and nothing beside it.  Result columns that stood outside
would stay where they are while the rows before them move, and each row would wear another's status.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Self

from lxml import etree

from bulkcast.reporter.columns import column_index, letters, title

_REF: Final = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?")


@dataclass(frozen=True, slots=True)
class Range:
    """A block of cells: columns counted from 0, rows as a spreadsheet shows them, ends included."""

    first_column: int
    first_row: int
    last_column: int
    last_row: int

    @classmethod
    def parse(cls, ref: str) -> Self | None:
        """The block called `ref`; None for what is no plain block, such as whole columns.

        >>> Range.parse("A1:C5")
        Range(first_column=0, first_row=1, last_column=2, last_row=5)
        """
        found = _REF.fullmatch(ref)
        if found is None:
            return None
        left, top, right, bottom = found.groups()
        return cls(column_index(left), int(top), column_index(right or left), int(bottom or top))

    def grown(self, header_row: int, columns: Collection[int]) -> Self:
        """The block up to the last of the `columns` that follow it without a gap.

        Itself where its first row is not the header.
        """
        last = self.last_column
        while self.first_row == header_row and last + 1 in columns:
            last += 1
        return type(self)(self.first_column, self.first_row, last, self.last_row)

    def ref(self, mark: str = "") -> str:
        """How a workbook spells it; `mark` is `$` within names."""
        first = f"{mark}{letters(self.first_column)}{mark}{self.first_row}"
        return f"{first}:{mark}{letters(self.last_column)}{mark}{self.last_row}"


def grow(element: etree._Element | None, header_row: int, columns: Collection[int]) -> bool:
    """Let the `ref` of `element` reach over `columns`; whether that changed it."""
    old = None if element is None else Range.parse(element.get("ref", ""))
    if element is None or old is None:
        return False
    new = old.grown(header_row, columns)
    if new != old:
        element.set("ref", new.ref())
    return new != old


def grow_filter_name(
    workbook: etree._Element, sheet: int, header_row: int, columns: Collection[int]
) -> bool:
    """The hidden name under which Excel keeps the filter of the sheet at index `sheet`, grown."""
    for name in workbook.iter("{*}definedName"):
        is_filter = name.get("name") == "_xlnm._FilterDatabase"
        if not is_filter or name.get("localSheetId") != str(sheet):
            continue
        tab, _, ref = (name.text or "").rpartition("!")
        old = Range.parse(ref)
        if old is not None and (new := old.grown(header_row, columns)) != old:
            name.text = f"{tab}!{new.ref('$')}"
            return True
    return False


def grow_table(table: etree._Element, header_row: int, columns: Mapping[int, str]) -> str | None:
    """Add the result columns beside `table` to it; its name where it had to be left as it is.

    A query that fills a table would take the columns out again; below, totals belong to them.
    """
    area = Range.parse(table.get("ref", ""))
    held = table.find("{*}tableColumns")
    if area is None or held is None:
        return None
    grown = area.grown(header_row, columns)
    added = [title(columns[i]) for i in range(area.last_column + 1, grown.last_column + 1)]
    if not added:
        return None
    if not _may_grow(table, held, added):
        return table.get("displayName", "")
    following = max((int(column.get("id", "0")) for column in held), default=0) + 1
    for number, name in enumerate(added, start=following):
        tag = f"{{{etree.QName(table).namespace}}}tableColumn"
        etree.SubElement(held, tag, id=str(number), name=name)
    held.set("count", str(len(held)))
    grow(table, header_row, columns)
    grow(table.find("{*}autoFilter"), header_row, columns)
    return None


def _may_grow(table: etree._Element, held: etree._Element, added: Collection[str]) -> bool:
    names = {column.get("name", "").casefold() for column in held} | set(added)
    return (
        table.get("tableType", "worksheet") == "worksheet"
        and table.get("headerRowCount", "1") == "1"
        and table.get("totalsRowCount", "0") == "0"
        and len(names) == len(held) + len(added)
    )
