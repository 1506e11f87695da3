"""Results counted by one of the user's own columns: which campus or teacher has the failures."""

from collections.abc import Sequence
from dataclasses import dataclass

from bulkcast.catalogue import Endpoint, fold
from bulkcast.errors import CannotStart
from bulkcast.model import Cell, FlaggedCell, ResultRow, RowStatus, Sheet


@dataclass(frozen=True, slots=True)
class Crosstab:
    """How many rows of each status there are for each value of a column."""

    column: str
    statuses: tuple[RowStatus, ...]
    """Those that occur, in their fixed order."""
    counts: tuple[tuple[str, tuple[int, ...]], ...]
    """Value → count for each of `statuses`; values in the order of their first row."""


def crosstab(
    sheet: Sheet, results: Sequence[ResultRow], column: str, endpoint: Endpoint
) -> Crosstab:
    """Count `results` by status and by what the sheet has in `column`.

    Raises:
        CannotStart: pandas is not installed, there is no such column, or it holds a secret.

    """
    try:
        import pandas as pd  # noqa: PLC0415 - an extra, and slow to load: only for who asks for it
    except ImportError as exc:
        raise CannotStart(
            "Counting by a column needs pandas; install it with: pip install 'bulkcast[summary]'"
        ) from exc
    index = _column(sheet, column, endpoint)
    values = {row.number: _shown(row.cells[index]) for row in sheet.rows}
    frame = pd.DataFrame(
        {"value": values.get(r.row, ""), "status": r.status.value} for r in results
    )
    if frame.empty:
        return Crosstab(sheet.headers[index], (), ())
    table = pd.crosstab(frame["value"], frame["status"]).reindex(frame["value"].unique())
    statuses = tuple(status for status in RowStatus if status.value in table.columns)
    ordered = table[[status.value for status in statuses]]
    counts = tuple((str(row[0]), tuple(int(n) for n in row[1:])) for row in ordered.itertuples())
    return Crosstab(sheet.headers[index], statuses, counts)


def _column(sheet: Sheet, column: str, endpoint: Endpoint) -> int:
    wanted = fold(column)
    index = next((i for i, h in enumerate(sheet.headers) if h and fold(h) == wanted), None)
    if index is None:
        known = ", ".join(header for header in sheet.headers if header)
        raise CannotStart(
            "{name} has no column {column}; it has {known}",
            name=sheet.name,
            column=column,
            known=known,
        )
    setting = endpoint.column_for(sheet.headers[index])
    if setting is not None and setting.secret:
        raise CannotStart("{column} is secret, so rows are not counted by it", column=column)
    return index


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case FlaggedCell():
            return cell.shown
        case float() if cell.is_integer():
            return str(int(cell))
        case _:
            return str(cell).strip()
