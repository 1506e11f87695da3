"""Prepares the sample term for `demo`: moves its dates to the future, corrects wrong cells."""

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from openpyxl import load_workbook

from bulkcast.catalogue import Endpoint, MomentKind

_AHEAD: Final = timedelta(days=1)
_WEEK: Final = timedelta(weeks=1)


def lay_out(source: Path, target: Path, endpoint: Endpoint, *, now: datetime) -> int:
    """Copy the workbook `source` with its classes in the future; return the weeks they moved.

    Whole weeks, so that weekdays stay.  `now` is local to the sheet, without a zone.
    """
    book = load_workbook(source)
    moments = list(_start_times(book.active, endpoint))
    first = min((cell.value for cell in moments), default=now + _AHEAD)
    weeks = max(0, -((first - now - _AHEAD) // _WEEK))
    for cell in moments:
        cell.value += weeks * _WEEK
    book.save(target)
    return weeks


def _start_times(tab: Any, endpoint: Endpoint) -> Iterator[Any]:
    for column in tab.iter_cols():
        setting = endpoint.column_for(str(column[0].value or ""))
        if setting is not None and isinstance(setting.kind, MomentKind):
            yield from (cell for cell in column[1:] if isinstance(cell.value, datetime))


def mend(results: Path, table: Path, target: Path, endpoint: Endpoint, *, weeks: int) -> int:
    """Write the workbook `results` to `target` with the cells in `table` corrected.

    `table` is a csv of row, column (a key of the endpoint) and value; `weeks` is the result of
    `lay_out`.  Returns the number of corrected rows.
    """
    book = load_workbook(results)
    tab: Any = book.active
    columns = {
        setting.key: cell.column
        for cell in tab[1]
        if (setting := endpoint.column_for(str(cell.value or ""))) is not None
    }
    rows = set()
    with table.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            value = _value(line["value"], endpoint.by_key[line["column"]].kind, weeks)
            tab.cell(int(line["row"]), columns[line["column"]]).value = value
            rows.add(line["row"])
    book.save(target)
    return len(rows)


def _value(text: str, kind: object, weeks: int) -> str | datetime | None:
    """A cell's value; None for a blank cell."""
    if isinstance(kind, MomentKind):
        return datetime.fromisoformat(text) + weeks * _WEEK
    return text or None
