"""The seven result columns: names, positions, texts and conditional formats."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bulkcast.catalogue import RESULT_PREFIX, Label, is_result_column
from bulkcast.errors import CannotStart
from bulkcast.model import COLUMNS_MAX, Layout, ResultRow, RowStatus, column_letters

CELL_MAX: Final = 32_767
"""UTF-16 units one cell of a workbook holds (Microsoft, Excel specifications and limits)."""

WIDTHS: Final = {
    "status": 18, "code": 22, "message": 72, "fix": 56, "attempts": 20, "time": 20, "run": 22,
}  # fmt: skip
"""Column widths, in characters."""

FIELDS: Final = ("status", "code", "message", "fix", "attempts", "time", "run")
"""The columns in their order: attributes of a `ResultRow`."""

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


@dataclass(frozen=True, slots=True)
class Results:
    """Outcomes to write, and the sheet that they belong to."""

    layout: Layout
    headers: Sequence[str]
    """One for each column from A on, as the loader read them."""
    by_row: Mapping[int, ResultRow]

    @property
    def last_row(self) -> int:
        """The last row with a result; 0 if there is none."""
        return max(self.by_row, default=0)

    def cells(self, row: int, columns: Mapping[int, str]) -> dict[int, str]:
        """Column → text of the result cells of a row, headers included; none above the header."""
        if row < self.layout.header_row:
            return {}
        if row == self.layout.header_row:
            return {index: title(field) for index, field in columns.items()}
        said = texts(self.by_row.get(row))
        return {index: storable(said[field]) for index, field in columns.items()}


def texts(result: ResultRow | None) -> dict[str, str]:
    """Field → text of its cell; all empty for a row without a result."""
    return {f: "" if result is None else str(getattr(result, f)) for f in FIELDS}


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
class ColourRule:
    """One conditional format: cells, condition, and the meaning that gives the colour."""

    cells: str
    formula: str
    meaning: str


def rules(results: Results, columns: Mapping[int, str], last_row: int) -> Iterator[ColourRule]:
    """One rule for the cells that a message names, and one for each colour of a status.

    They cover the rows below the header, to `last_row`; `columns` are those of the results.  Rows
    that succeeded are not marked, though a warning may name a column.  Messages name columns by
    `i18n.short_header`: `[Web live] …`.
    """
    header_row = results.layout.header_row
    first = header_row + 1
    if last_row < first:
        return
    letters = {field: column_letters(index) for index, field in columns.items()}
    status = letters["status"]
    headers = enumerate(results.headers)
    users = [i for i, header in headers if header and not is_result_column(header)]
    if users:
        named = _names_column(f"A${header_row}", f"${letters['message']}{first}")
        formula = f"AND({MARK},{_means(f'${status}{first}', 'problem')},{named})"
        yield ColourRule(f"A{first}:{column_letters(users[-1])}{last_row}", formula, "problem")
    for meaning in _MEANINGS:
        formula = f"AND({MARK},{_means(f'${status}{first}', meaning)})"
        yield ColourRule(f"{status}{first}:{status}{last_row}", formula, meaning)


def _means(cell: str, meaning: str) -> str:
    """The condition that the status in `cell` is one of `meaning`."""
    is_one = ",".join(f'{cell}="{word.value}"' for word in _MEANINGS[meaning])
    return f"OR({is_one})"


def _names_column(header: str, message: str) -> str:
    """The condition that the message in a cell names the column of a header."""
    first_line = f"LEFT({header},FIND(CHAR(10),{header}&CHAR(10))-1)"
    without_cr = f'SUBSTITUTE({first_line},CHAR(13),"")'
    name = f'"["&TRIM(SUBSTITUTE({without_cr}," *",""))&"]"'
    # FIND, not SEARCH: to SEARCH a `?` or `*` in a header is a wildcard.
    return f'{header}<>"",ISNUMBER(FIND({name},{message}))'
