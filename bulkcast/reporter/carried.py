"""The rows of a sheet as a fresh template takes them over.

A cell keeps what is wrong with it.  A whole id becomes a text, so that no program shortens it.
Whatever else is not a text stays what it is: as texts, an id that was rounded or a password that
lost its zeros would look sound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bulkcast.catalogue import ChoiceKind, Endpoint, IdKind, IdListKind, IntegerKind, Kind
from bulkcast.model import Cell, FlaggedCell, RawRow, Sheet, Text
from bulkcast.reporter.columns import is_ours, writable
from bulkcast.wording import marked

_TYPED_AS_TEXT: Final = (IdKind, IdListKind, ChoiceKind, IntegerKind)
"""Kinds whose numbers are only digits: no text of them hides what was wrong."""

Value = str | int | float | bool | datetime


@dataclass(frozen=True, slots=True)
class Carried:
    """What a template takes over from a sheet."""

    own_headers: tuple[str, ...] = ()
    """Of the columns that name no setting; they stand behind the template's own."""
    rows: tuple[tuple[Value | None, ...], ...] = ()
    """A value for each column of the template, then for each of `own_headers`."""
    remarks: tuple[Text, ...] = ()


def carry(sheet: Sheet, endpoint: Endpoint) -> Carried:
    """The rows of `sheet` under the columns of `endpoint`; columns of results are left out."""
    place = _places(sheet.headers, endpoint)
    rest = [i for i in _others(sheet) if i not in place.values()]
    kinds: list[tuple[int | None, Kind | None]] = [
        *((place.get(column.key), column.kind) for column in endpoint.columns),
        *((index, None) for index in rest),
    ]
    rows = tuple(
        tuple(None if index is None else value(row.cells[index], kind) for index, kind in kinds)
        for row in sheet.rows
    )
    names = tuple(writable(sheet.headers[index]) for index in rest)
    return Carried(names, rows, tuple(_remarks(sheet.rows)))


def _places(headers: Sequence[str], endpoint: Endpoint) -> dict[str, int]:
    """Key → the first column that names it; a second one is carried as a column of the user's."""
    places: dict[str, int] = {}
    for index, header in enumerate(headers):
        column = endpoint.column_for(header)
        if column is not None:
            places.setdefault(column.key, index)
    return places


def _others(sheet: Sheet) -> Iterator[int]:
    """The user's columns; those without a header only where they hold anything."""
    for index, header in enumerate(sheet.headers):
        filled = header.strip() or any(row.cells[index] not in (None, "") for row in sheet.rows)
        if filled and not is_ours(header):
            yield index


def value(cell: Cell, kind: Kind | None) -> Value | None:
    """The cell as it is written into a column of `kind`, or of the user's own for None.

    >>> from bulkcast.catalogue import TextKind
    >>> value(25096094, IdKind()), value(1.2345678901234568e17, IdKind()), value(123, TextKind())
    ('25096094', 1.2345678901234568e+17, 123)
    """
    if isinstance(cell, FlaggedCell):
        # A number too wide for its column is whole all the same; of others, what is seen counts.
        return value(cell.value if cell.code == "id.display_shortened" else cell.shown, kind)
    if isinstance(cell, str):
        return writable(cell) or None
    is_whole = isinstance(cell, int) and not isinstance(cell, bool)
    return str(cell) if is_whole and isinstance(kind, _TYPED_AS_TEXT) else cell


def _remarks(rows: Sequence[RawRow]) -> Iterator[Text]:
    if beyond := [row.number for row in rows if row.extra]:
        said = marked("Cells beyond the last header are left out in row {row}.")
        if len(beyond) > 1:
            said = marked(
                "Cells beyond the last header are left out, first in row {row}; {n} rows have such."
            )
        yield Text(said, {"row": str(beyond[0]), "n": str(len(beyond))})
