"""The seven result columns: names, positions, texts and conditional formats."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from bulkcast.catalogue import RESULT_PREFIX, Label, is_result_column
from bulkcast.errors import CannotStart
from bulkcast.model import COLUMNS_MAX, ResultRow, RowStatus, column_letters

CELL_MAX: Final = 32_767
"""UTF-16 units one cell of a workbook holds (Microsoft, Excel specifications and limits)."""

WIDTHS: Final = {
    "status": 18, "code": 22, "message": 72, "fix": 56, "attempts": 20, "time": 20, "run": 22,
}  # fmt: skip
"""Column widths, in characters."""

_TEXTS: Final[Mapping[str, Callable[[ResultRow], str]]] = {
    "status": lambda r: r.status.value,
    "code": lambda r: r.code,
    "message": lambda r: r.message,
    "fix": lambda r: r.fix,
    "attempts": lambda r: str(r.attempts),
    "time": lambda r: r.time,
    "run": lambda r: r.run,
}

FIELDS: Final = tuple(_TEXTS)
"""Status, code, message, fix, attempts, time, run: the columns in their order."""

USER_COLUMNS_MAX: Final = COLUMNS_MAX - len(FIELDS)
"""Columns of a worksheet that leave room for the results."""

MEANINGS: Final = {
    "status": Label("How the row ended", "状态"),
    "code": Label("Reply code or problem", "代码"),
    "message": Label("What happened", "说明"),
    "fix": Label("What to do", "处理办法"),
    "attempts": Label("Times it was sent", "发送次数"),
    "time": Label("When", "时间"),
    "run": Label("Run", "批次"),
}
"""Field → explanation of its header.  The header itself is the same in both languages, because
programs and the next run read it."""


def title(field: str) -> str:
    """The header of `field`'s column."""
    return RESULT_PREFIX + field


def place(headers: Sequence[str], first_free: int) -> dict[int, str]:
    """Column index → field: the columns of an earlier run, others from `first_free` on.

    A field with two columns is written twice, so that no stale value remains.

    >>> sorted(place(["id", "bulkcast_status"], 2).items())[:2]
    [(1, 'status'), (2, 'code')]
    """
    wanted = {title(field): field for field in FIELDS}
    seen = ((index, wanted.get(h.strip().casefold())) for index, h in enumerate(headers))
    kept = {index: field for index, field in seen if field is not None}
    missing = [field for field in FIELDS if field not in kept.values()]
    return kept | dict(enumerate(missing, start=first_free))


def refuse_too_wide(width: int) -> None:
    """Raise CannotStart if results have no room behind `width` columns of a worksheet."""
    if width > USER_COLUMNS_MAX:
        raise CannotStart(
            "The sheet reaches to column {column}, which leaves no room for the {n} "
            "columns of results; delete what is far to the right",
            column=column_letters(width - 1),
            n=len(FIELDS),
        )


def texts(result: ResultRow | None) -> dict[str, str]:
    """Field → text of its cell; all empty for a row without a result."""
    if result is None:
        return dict.fromkeys(FIELDS, "")
    return {field: text(result) for field, text in _TEXTS.items()}


def storable(text: str) -> str:
    r"""`text` as a workbook can store it: characters forbidden in XML made visible, length limited.

    openpyxl would write U+FFFE or a lone surrogate into a file that no program opens.  Source:
    XML 1.0, production 2 (Char).

    >>> storable("a\x00b\ud800\ufffe")
    'a␀b\\ud800\\ufffe'
    """
    return cut(_UNSTORABLE.sub(_visible, text))


def writable(text: str) -> str:
    r"""A user's `text` for XlsxWriter, which spells control characters as Excel does (`_x0007_`).

    Characters without such a spelling become U+001A (substitute), so that the loader still refuses
    the text.

    >>> writable("a\x07b\ud800")
    'a\x07b\x1a'
    """
    return cut(_UNWRITABLE.sub("\x1a", text))


_UNWRITABLE: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")
_UNSTORABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def _visible(match: re.Match[str]) -> str:
    point = ord(match[0])
    if point == 0x7F:
        return "\u2421"
    return chr(0x2400 + point) if point < 0x20 else f"\\u{point:04x}"


def cut(text: str) -> str:
    """`text`, shortened with an ellipsis if a cell cannot hold it."""
    if len(text) * 2 <= CELL_MAX or _units(text) <= CELL_MAX:
        return text
    kept = text.encode("utf-16-le")[: 2 * (CELL_MAX - 1)].decode("utf-16-le", "ignore")
    return kept + "…"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def text_width(text: str) -> int:
    """Width in characters of a fixed-width font; a Chinese character counts two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


MARK: Final = 'N("bulkcast")=0'
"""Always true; part of all our rules, so that the next result can find and remove them."""

_MEANINGS: Final[Mapping[str, tuple[RowStatus, ...]]] = {
    "good": (RowStatus.APPLIED, RowStatus.UNCHANGED),
    "problem": (RowStatus.INVALID, RowStatus.TOO_LATE, RowStatus.REJECTED),
    "unsure": (RowStatus.UNCONFIRMED, RowStatus.NOT_SENT),
    "idle": (RowStatus.SUPERSEDED,),
}


COLOURS: Final = {
    "problem": ("FFFFC7CE", "FF9C0006"),
    "good": ("FFC6EFCE", "FF006100"),
    "unsure": ("FFFFEB9C", "FF7F6000"),
    "idle": ("FFE7E6E6", "FF595959"),
}
"""Meaning → background and text colour, ARGB: Excel's bad, good and neutral, and grey."""


@dataclass(frozen=True, slots=True)
class Area:
    """The cells of a result's rules: columns from 0, rows as a spreadsheet shows them."""

    header_row: int
    last_row: int
    user_columns: int
    status: int
    message: int

    @classmethod
    def of(
        cls, headers: Sequence[str], columns: Mapping[int, str], header_row: int, last_row: int
    ) -> Self:
        """The area of a sheet with these `headers` and result `columns`."""
        at = {field: index for index, field in columns.items()}
        users = (i for i, header in enumerate(headers) if header and not is_result_column(header))
        return cls(
            header_row=header_row,
            last_row=last_row,
            user_columns=max(users, default=-1) + 1,
            status=at["status"],
            message=at["message"],
        )


@dataclass(frozen=True, slots=True)
class ColourRule:
    """One conditional format: cells, condition, and the meaning that gives the colour."""

    cells: str
    formula: str
    meaning: str


def rules(area: Area) -> Iterator[ColourRule]:
    """One rule for the cells that a message names, and one for each colour of a status.

    Rows that succeeded are not marked, though a warning may name a column.  Messages name columns
    by `i18n.short_header`: `[Web live] …`.
    """
    first = area.header_row + 1
    if area.last_row < first:
        return
    if area.user_columns:
        cells = f"A{first}:{column_letters(area.user_columns - 1)}{area.last_row}"
        yield ColourRule(cells, _names_column(area), "problem")
    status = column_letters(area.status)
    for meaning in _MEANINGS:
        formula = f"AND({MARK},{_means(area, meaning)})"
        yield ColourRule(f"{status}{first}:{status}{area.last_row}", formula, meaning)


def _means(area: Area, meaning: str) -> str:
    """The condition that a row's status is one of `meaning`."""
    cell = f"${column_letters(area.status)}{area.header_row + 1}"
    is_one = ",".join(f'{cell}="{word.value}"' for word in _MEANINGS[meaning])
    return f"OR({is_one})"


def _names_column(area: Area) -> str:
    header, message = (
        f"A${area.header_row}",
        f"${column_letters(area.message)}{area.header_row + 1}",
    )
    first_line = f"LEFT({header},FIND(CHAR(10),{header}&CHAR(10))-1)"
    without_cr = f'SUBSTITUTE({first_line},CHAR(13),"")'
    name = f'"["&TRIM(SUBSTITUTE({without_cr}," *",""))&"]"'
    # FIND, not SEARCH: to SEARCH a `?` or `*` in a header is a wildcard.
    needs_work = _means(area, "problem")
    return f'AND({MARK},{needs_work},{header}<>"",ISNUMBER(FIND({name},{message})))'
