"""Rows that two stray quotes have put into one cell.

Between them everything is one cell to csv, delimiters and line breaks too; where it ends in the
column it began in, the row has as many cells as its header, and nothing else looks wrong.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from bulkcast.catalogue import Endpoint, IdKind, fold
from bulkcast.loader.table import Cells
from bulkcast.model import Issue
from bulkcast.problems import issue

_ID: Final = re.compile(r"\s*\"?[0-9]{4,19}\"?\s*")
_MOST_TOLD: Final = 20


class Swallowed:
    """Looks for cells that hold lines shaped like the rows round them."""

    def __init__(
        self, headers: Sequence[str], endpoint: Endpoint, mapping: Mapping[str, str], delimiter: str
    ) -> None:
        self._delimiter = delimiter
        mapped = {fold(header): key for header, key in mapping.items()}
        columns = [
            endpoint.by_key.get(mapped.get(fold(h), "")) or endpoint.column_for(h) for h in headers
        ]
        self._ids = [i for i, c in enumerate(columns) if c and isinstance(c.kind, IdKind)]
        self._found: list[Issue] = []

    def see(self, numbers: Sequence[int], rows: Sequence[Cells]) -> None:
        """Look at some rows."""
        for number, row in zip(numbers, rows, strict=True):
            if len("".join(cast("Sequence[str]", row)).splitlines()) < 2:
                continue  # nearly every row
            for index, cell in enumerate(row):
                if isinstance(cell, str) and self._delimiter in cell:
                    self._see(number, index, cell)

    def _see(self, number: int, index: int, cell: str) -> None:
        _, *lines = cell.splitlines()
        ids = [found for line in lines if (found := self._id(line))]
        if ids and len(self._found) < _MOST_TOLD:
            place = f"{_letters(index)}{number}"
            self._found.append(
                issue(
                    "cell.holds_rows",
                    cell=place,
                    place=place,
                    row_number=str(number),
                    n=str(len(ids)),
                    ids=", ".join(ids[:3]) + ("…" if len(ids) > 3 else ""),
                )
            )

    def _id(self, line: str) -> str | None:
        """The id in a line that is shaped like a row."""
        cells = line.split(self._delimiter)
        places = (i for i in self._ids if i < len(cells) - (i == 0))
        found = (cells[i].strip(' "\t') for i in places if _ID.fullmatch(cells[i]))
        return next(found, None)

    def issues(self) -> tuple[Issue, ...]:
        """What was found."""
        return tuple(self._found)


def _letters(index: int) -> str:
    """A column as a spreadsheet names it."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
