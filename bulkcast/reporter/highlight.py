"""The rules by which a result workbook colours itself; conditions, so that mending clears them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from bulkcast.model import RowStatus
from bulkcast.reporter.columns import is_ours, letters

MARK: Final = 'N("bulkcast")=0'
"""Always true; stands in every rule of ours, so that the next result can take it out again."""

_MEANINGS: Final[Mapping[str, tuple[RowStatus, ...]]] = {
    "good": (RowStatus.APPLIED, RowStatus.UNCHANGED),
    "problem": (RowStatus.INVALID, RowStatus.TOO_LATE, RowStatus.REJECTED),
    "unsure": (RowStatus.UNCONFIRMED, RowStatus.NOT_SENT),
    "idle": (RowStatus.SUPERSEDED,),
}


@dataclass(frozen=True, slots=True)
class Area:
    """Where a result's rules reach: columns counted from 0, rows as a spreadsheet shows them."""

    header_row: int
    last_row: int
    user_columns: int
    status: int
    message: int

    @classmethod
    def of(
        cls, headers: Sequence[str], columns: Mapping[int, str], header_row: int, last_row: int
    ) -> Self:
        """Of a sheet with these `headers`, whose result columns are `columns`."""
        at = {field: index for index, field in columns.items()}
        users = (i for i, header in enumerate(headers) if header and not is_ours(header))
        return cls(
            header_row=header_row,
            last_row=last_row,
            user_columns=max(users, default=-1) + 1,
            status=at["status"],
            message=at["message"],
        )


@dataclass(frozen=True, slots=True)
class ColourRule:
    """One conditional format: the cells, the condition, and the colour by its meaning."""

    cells: str
    formula: str
    meaning: str


def rules(area: Area) -> Iterator[ColourRule]:
    """One rule that marks the cells a message names, and one for each colour of a status.

    In a row that succeeded a message may name a column too, in a warning: nothing is marked there.
    A message names a column as `naming.short_header` does: `[Web live] …`.
    """
    first = area.header_row + 1
    if area.last_row < first:
        return
    if area.user_columns:
        cells = f"A{first}:{letters(area.user_columns - 1)}{area.last_row}"
        yield ColourRule(cells, _names_column(area), "problem")
    status = letters(area.status)
    for meaning in _MEANINGS:
        formula = f"AND({MARK},{_means(area, meaning)})"
        yield ColourRule(f"{status}{first}:{status}{area.last_row}", formula, meaning)


def _means(area: Area, meaning: str) -> str:
    """The condition that a row's status is one of `meaning`."""
    cell = f"${letters(area.status)}{area.header_row + 1}"
    is_one = ",".join(f'{cell}="{word.value}"' for word in _MEANINGS[meaning])
    return f"OR({is_one})"


def _names_column(area: Area) -> str:
    header, message = f"A${area.header_row}", f"${letters(area.message)}{area.header_row + 1}"
    first_line = f"LEFT({header},FIND(CHAR(10),{header}&CHAR(10))-1)"
    without_cr = f'SUBSTITUTE({first_line},CHAR(13),"")'
    name = f'"["&TRIM(SUBSTITUTE({without_cr}," *",""))&"]"'
    # FIND, not SEARCH: to SEARCH a `?` or `*` in a header is a wildcard.
    needs_work = _means(area, "problem")
    return f'AND({MARK},{needs_work},{header}<>"",ISNUMBER(FIND({name},{message})))'
