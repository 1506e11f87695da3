"""Converts a DataFrame to a sheet, and issues, requests and outcomes to DataFrames.

This is the only module that imports pandas.  Files are never read through pandas, which guesses the
types of cells; the loader reads them.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final

import pandas as pd
from pandas import DataFrame

from bulkcast.arguments import Series
from bulkcast.catalogue import (
    ChoiceKind,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    MomentKind,
    Setting,
)
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.headers import fold
from bulkcast.i18n import Translator
from bulkcast.loader import ReadOptions, Stream
from bulkcast.loader.table import Chunk, Line, find_header
from bulkcast.model import (
    Cell,
    FlaggedCell,
    Issue,
    Layout,
    Request,
    ResultRow,
    RowStatus,
    SettingValue,
    Sheet,
)
from bulkcast.ooxml import cell_of
from bulkcast.reporter import Crosstab
from bulkcast.safe_text import MASK

__all__ = [
    "KIND",
    "TAB",
    "DataFrame",
    "crosstab",
    "issues_frame",
    "lines_of",
    "outcomes_frame",
    "requests_frame",
    "sheet_of",
    "stream_of",
]

KIND: Final = "xlsx"
"""The kind of file a run stores a DataFrame as and returns."""
TAB: Final = "Sheet1"
"""The worksheet of that file."""
_FIRST_ROW: Final = 2
"""The labels count as row 1 of a sheet."""
_AT_ONCE: Final = 512
_NUMBERS_BELOW: Final = 10**15
"""Larger integers are taken as texts, since spreadsheets cannot store them exactly."""
_DIGITS_MOST: Final = 4_000
"""Python writes no integer of more than 4,300 digits as text."""
_DIGITS_BELOW: Final = 10**_DIGITS_MOST
_EXACT_BELOW: Final = {2: 2.0**11, 4: 2.0**24}
"""Bytes of a float → the first integers that it cannot store exactly."""

# ------------------------------------------------------------------ a frame as a sheet


def sheet_of(
    frame: DataFrame, *, name: str, endpoint: Endpoint, options: ReadOptions | None = None
) -> Sheet:
    """A DataFrame as a sheet whose header is in row 1: the row at position 0 is row 2.

    The index is ignored.  Cells are taken as they are: texts and integers exactly; a float, also
    of a column of integers that turned into floats for a missing one, as a number that a
    spreadsheet stores; a date without a time zone as a date cell, one with a zone as that moment;
    None, NaN, NaT and NA as a blank cell; categories by their values.

    Raises:
        UnreadableSheet: its columns are not labelled by one text each, none of them names a
            column of the endpoint, or a cell holds what no cell of a sheet can.

    """
    options = options or ReadOptions()
    lines = lines_of(frame, name=name, endpoint=endpoint, options=options)
    return stream_of(lines, name=name, options=options).sheet()


def stream_of(lines: Sequence[Line], *, name: str, options: ReadOptions) -> Stream:
    """The lines of `lines_of` as a `Stream`, like the loader's for a file."""
    header, *rows = lines
    labels = tuple(str(label) for label in header[1])
    layout = Layout(kind=KIND, header_row=1, tab=TAB)
    return Stream(
        name, layout, labels, _chunks(rows), hidden=set(), hide=options.hidden, remarks=()
    )


def _chunks(rows: Sequence[Line]) -> Iterator[Chunk]:
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        yield [number for number, _ in some], [cells for _, cells in some]


def lines_of(
    frame: DataFrame, *, name: str, endpoint: Endpoint, options: ReadOptions
) -> list[Line]:
    """The labels and all rows of a DataFrame, blank ones included, with their row numbers.

    Raises:
        UnreadableSheet: as in `sheet_of`.

    """
    labels = _labels(frame, name)
    if find_header([(1, labels)], endpoint, options.mapping) is None:
        raise UnreadableSheet(
            "No column of {name} names a setting or a classroom, such as {examples}.",
            name=name,
            examples=Series(tuple(column.key for column in endpoint.columns[:5])),
        )
    mapped = {fold(header): key for header, key in options.mapping.items()}
    columns = [
        _cells(frame.iloc[:, index], label, name, is_secret=_is_secret(label, mapped, endpoint))
        for index, label in enumerate(labels)
    ]
    rows = zip(*columns, strict=True)
    return [(1, labels), *enumerate(rows, start=_FIRST_ROW)]


def _labels(frame: DataFrame, name: str) -> tuple[str, ...]:
    columns = frame.columns
    if columns.nlevels > 1:
        raise UnreadableSheet(
            "The columns of {name} have labels on {n} levels; give each column one label, a text.",
            name=name,
            n=columns.nlevels,
        )
    seen: set[str] = set()
    for label in columns:
        if not isinstance(label, str):
            raise UnreadableSheet(
                "{name} has a column labelled {label}, which is no text; label columns with texts.",
                name=name,
                label=repr(label),
            )
        if label in seen:
            raise UnreadableSheet(
                "{name} has more than one column labelled {label}; give each a label of its own.",
                name=name,
                label=repr(label),
            )
        seen.add(label)
    return tuple(str.__str__(label) for label in columns)


def _is_secret(label: str, mapped: dict[str, str], endpoint: Endpoint) -> bool:
    column = endpoint.mapped_column(label, mapped)
    return column is not None and column.secret


# ------------------------------------------------------------------ cells


def _cells(column: "pd.Series[Any]", label: str, name: str, *, is_secret: bool) -> list[Cell]:
    read = _Reader(_exact_below(column.dtype), is_secret=is_secret)
    cells: list[Cell] = []
    for number, value in enumerate(column.tolist(), start=_FIRST_ROW):
        try:
            cells.append(value if type(value) is str else read(value))
        except TypeError as exc:
            raise UnreadableSheet(
                "Row {row} of {name} holds a {what} in {column}, which no cell of a sheet can"
                " hold; make it a text or a number.",
                row=number,
                name=name,
                what=type(value).__name__,
                column=repr(label),
            ) from exc
    return cells


def _exact_below(dtype: Any) -> float:
    """The first integers that a column's floats cannot store; infinite for other types."""
    inner = getattr(getattr(dtype, "categories", None), "dtype", dtype)
    inner = getattr(inner, "subtype", inner)
    inner = getattr(inner, "numpy_dtype", inner)
    is_float = getattr(inner, "kind", "") == "f"
    return _EXACT_BELOW.get(inner.itemsize, math.inf) if is_float else math.inf


class _Reader:
    """Converts the values of one column to cells; TypeError for a value no cell can hold.

    A numeric password stays a number at any length, so that the validator refuses it.
    """

    def __init__(self, exact_below: float, *, is_secret: bool) -> None:
        self._exact_below = exact_below
        self._is_secret = is_secret

    def __call__(self, value: object) -> Cell:  # noqa: PLR0911 - one line for each type
        if value is None or value is pd.NA or value is pd.NaT:
            return None
        match value:
            case str():
                return str.__str__(value)
            case int():
                return self._integer(value)
            case float():
                return _number(float(value), self._exact_below)
            case Decimal():
                return self._decimal(value)
            case date() | time() | timedelta():
                return _date_cell(value)
            case _:
                return self._numpy_scalar(value)

    def _integer(self, number: int) -> Cell:
        """An integer, exactly."""
        if isinstance(number, bool):
            return number
        if self._is_secret or abs(number) < _NUMBERS_BELOW:
            return int(number)
        return str(number) if abs(number) < _DIGITS_BELOW else math.copysign(math.inf, number)

    def _decimal(self, number: Decimal) -> Cell:
        is_whole = number.is_finite() and number == number.to_integral_value()
        if is_whole and number.adjusted() < _DIGITS_MOST:
            return self._integer(int(number))
        return _number(float(number), math.inf)

    def _numpy_scalar(self, value: Any) -> Cell:
        """Convert a NumPy scalar that is no instance of a Python type."""
        if getattr(value, "ndim", None) != 0:
            raise TypeError
        match value.dtype.kind:
            case "b" | "i" | "u":
                return self._integer(value.item())
            case "f":
                return _number(float(value), _EXACT_BELOW.get(value.dtype.itemsize, math.inf))
            case "M":
                return self(pd.Timestamp(value))
            case "m":
                return self(pd.Timedelta(value))
            case _:
                raise TypeError


def _date_cell(value: date | time | timedelta) -> Cell:
    """A date and time as a date cell; times of day and durations become flagged cells."""
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime(warn=False)
    return value if isinstance(value, datetime) else cell_of(value, "d", "General")


def _number(number: float, exact_below: float) -> Cell:
    """A float as the loader reads an unformatted number."""
    if math.isnan(number):
        return None
    if abs(number) >= exact_below:
        return FlaggedCell("id.precision_lost", f"{number:.7G}", number)
    return cell_of(number, "n", "General")


# ------------------------------------------------------------------ results as frames


def issues_frame(issues: Iterable[Issue], speaks: Translator) -> DataFrame:
    """A row for each issue, in the order and with the fields of `--json`.

    `row` is Int64, missing where an issue is about the sheet as a whole; all others are texts.
    """
    found = list(issues)
    texts: dict[str, list[Any]] = {
        "column": [i.column for i in found],
        "cell": [i.cell for i in found],
        "value": [i.value for i in found],
        "code": [i.code for i in found],
        "severity": [i.severity.value for i in found],
        "message": [speaks.say(i.message) for i in found],
        "fix": [speaks.say(i.fix) for i in found],
    }
    return DataFrame({"row": _whole_column([i.row for i in found]), **_text_columns(texts)})


def requests_frame(requests: Sequence[Request], endpoint: Endpoint, tz: tzinfo) -> DataFrame:
    """A row for each request, in sending order, and a column for each parameter that any sends."""
    texts: dict[str, list[Any]] = {
        "request": [str(r.key) for r in requests],
        "after": [r.after for r in requests],
        "target": [r.target.key for r in requests],
        "target_id": [str(r.target.id) for r in requests],
    }
    bodies = [dict(r.body) for r in requests]
    sent = [c for c in endpoint.parameters if any(c.key in body for body in bodies)]
    return DataFrame(
        {
            "row": pd.Series([r.rows[0] for r in requests], dtype="int64"),
            "rows": pd.Series([r.rows for r in requests], dtype="object"),
            **_text_columns(texts),
            "locks_at": _times([r.locks_at for r in requests], tz),
            **{c.key: _values(c, [body.get(c.key) for body in bodies]) for c in sent},
        }
    )


def _values(column: Setting, values: Sequence[SettingValue | None]) -> "pd.Series[Any]":
    """One parameter's values as integers or texts; ids are texts, since floats lose digits."""
    if isinstance(column.kind, ChoiceKind | IntegerKind | MomentKind):
        return _whole_column(values)
    if isinstance(column.kind, IdKind | IdListKind):
        return _texts([None if value is None else _ids(value) for value in values])
    if column.secret:
        return _texts([MASK if value else value for value in values])
    return _texts(values)


def _ids(value: SettingValue) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def outcomes_frame(rows: Sequence[ResultRow], tz: tzinfo) -> DataFrame:
    """A row for each row of the sheet: how it ended, in the words of the result sheet."""
    texts: dict[str, list[Any]] = {
        "code": [row.code for row in rows],
        "message": [row.message for row in rows],
        "fix": [row.fix for row in rows],
    }
    return DataFrame(
        {
            "row": pd.Series([row.row for row in rows], dtype="int64"),
            "status": _texts([row.status.value for row in rows]),
            **_text_columns(texts),
            "attempts": pd.Series([row.attempts for row in rows], dtype="int64"),
            "time": _times([_moment(row, tz) for row in rows], tz),
            "run": _texts([row.run for row in rows]),
        }
    )


def _moment(row: ResultRow, tz: tzinfo) -> float | None:
    """When a row ended, also from an earlier result sheet; None if unknown."""
    if row.at is not None or not row.time:
        return row.at
    try:
        told = datetime.fromisoformat(row.time)
        return (told if told.tzinfo else told.replace(tzinfo=tz)).timestamp()
    except (ValueError, OverflowError):
        return None


def _times(seconds: Sequence[float | None], tz: tzinfo) -> "pd.Series[Any]":
    """Unix seconds as moments in `tz`."""
    micros = pd.array([None if s is None else round(s * 1_000_000) for s in seconds], dtype="Int64")
    moments: pd.Series[Any] = pd.Series(pd.to_datetime(micros, unit="us", utc=True))
    told: pd.Series[Any] = moments.dt.tz_convert(tz).dt.as_unit("us")
    return told


def _text_columns(columns: dict[str, list[Any]]) -> dict[str, "pd.Series[Any]"]:
    return {name: _texts(values) for name, values in columns.items()}


def _texts(values: Sequence[Any]) -> "pd.Series[Any]":
    return pd.Series(list(values), dtype="string")


def _whole_column(values: Sequence[Any]) -> "pd.Series[Any]":
    return pd.Series(list(values), dtype="Int64")


# ------------------------------------------------------------------ crosstab


def crosstab(
    sheet: Sheet, results: Sequence[ResultRow], column: str, endpoint: Endpoint
) -> Crosstab:
    """Count `results` by status and by what the sheet has in `column`.

    Raises:
        CannotStart: there is no such column, or it holds a secret.

    """
    index = _column(sheet, column, endpoint)
    values = {row.number: _shown(row.cells[index]) for row in sheet.rows}
    frame = DataFrame({"value": values.get(r.row, ""), "status": r.status.value} for r in results)
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
        known = Series(tuple(header for header in sheet.headers if header))
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
