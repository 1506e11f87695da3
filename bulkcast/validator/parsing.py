"""What reading a cell gives, and what the readers of all kinds of cells share."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from bulkcast.catalogue import CLEAR_WORDS, Setting, fold
from bulkcast.messages import PROBLEMS
from bulkcast.model import Cell, FlaggedCell, SettingValue, Severity


class Finding(NamedTuple):
    """Something about a cell, wherever it stands."""

    code: str
    args: Mapping[str, str]
    severity: Severity


class Reading(NamedTuple):
    """What a cell says: a value, nothing (blank), or findings of which one is an error."""

    value: SettingValue | None
    findings: tuple[Finding, ...] = ()

    @property
    def is_unread(self) -> bool:
        """Whether something stands there that cannot be read."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


Reader = Callable[[Cell], Reading]
Plain = Callable[[str], SettingValue | None]
"""Gives the value that a reader gives, without a finding, of texts of the commonest make; None for
any other."""

BLANK: Final = Reading(None)

EXACT_BELOW: Final = 10**15
"""A spreadsheet number keeps 15 digits; what stands behind them is not what was typed."""
_CLEARS: Final = frozenset(map(fold, CLEAR_WORDS))
_CLEAR_SIGN: Final = "("
"""In every clear word of ASCII characters, of which folding changes none but letters."""
_LONGEST_CLEAR: Final = 16
"""Characters of a clear word with spaces and invisible marks in it; folding a text is slow."""
ERROR_WORDS: Final = frozenset(
    {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"}
)
"""What a broken formula shows; in a delimited file that is all that is left of it."""
_REMEMBERED: Final = 1 << 20
"""Characters of one column's cells that are remembered; each cell counts for some more."""
_ENTRY: Final = 64
_TOLD_APART: Final = frozenset({str, int, datetime, type(None)})
"""Types of which equal cells say the same; 1, 1.0 and True are one key to a dict, not one cell."""


def nothing_plain(_: str, /) -> None:
    """`Plain` of a column whose cells repeat."""


class Memory(dict[Cell, Any]):
    """What the cells of one column say, read once for each that repeats, as long as there is room.

    Holds the value of a cell, or its whole reading where that has findings.
    """

    def __init__(self, read: Reader, plain: Plain = nothing_plain) -> None:
        """`plain` spares `read` what hardly ever repeats and nearly always is as it should be."""
        super().__init__()
        self._read, self._plain = read, plain
        self._room = _REMEMBERED
        self._is_clean = True
        """Whether no cell was read so far of which something is to be said."""

    def __missing__(self, cell: Cell) -> Any:
        said: Any = self._plain(cell) if isinstance(cell, str) else None
        if said is None:
            reading = self._read(cell)
            said = reading.value
            if reading.findings:
                said, self._is_clean = reading, False
        if self._room > 0 and cell.__class__ in _TOLD_APART:
            self._room -= _ENTRY + (len(cell) if isinstance(cell, str) else 0)
            self[cell] = said
        return said

    def look(self, cells: Sequence[Cell]) -> tuple[list[Any], dict[int, Reading]]:
        """The values of `cells`, None where there is none; the readings with findings, by place."""
        recall = self.__getitem__
        if _TOLD_APART.issuperset(map(type, cells)):
            values = list(map(recall, cells))
        else:
            values = [
                recall(cell) if cell.__class__ in _TOLD_APART else self.__missing__(cell)
                for cell in cells
            ]
        remarkable: dict[int, Reading] = {}
        if not self._is_clean and Reading in map(type, values):
            remarkable = {i: said for i, said in enumerate(values) if said.__class__ is Reading}
            for place, reading in remarkable.items():
                values[place] = reading.value
        return values, remarkable


def guarding(read: Reader, column: Setting) -> Reader:
    """`read`, spared the cells that no kind but a text reads: blank, broken, flagged, clearing."""
    cleared = Reading((), ()) if column.clearable else refused("cell.not_clearable")

    def guarded(cell: Cell) -> Reading:
        if isinstance(cell, FlaggedCell):
            return _read_flagged(cell, read)
        if not isinstance(cell, str):
            return BLANK if cell is None else read(cell)
        if cell.isdigit():
            return read(cell)
        word = cell.strip()
        if not word:
            return BLANK
        if word in ERROR_WORDS:
            return refused("cell.formula_error")
        return cleared if is_clear(word) else read(cell)

    return guarded


def is_clear(word: str) -> bool:
    """Whether a stripped cell text asks to empty its setting."""
    if word.isascii() and _CLEAR_SIGN not in word:
        return False
    return len(word) <= _LONGEST_CLEAR and fold(word) in _CLEARS


def _read_flagged(cell: FlaggedCell, read: Reader) -> Reading:
    finding = make_finding(cell.code, **cell.args)
    if finding.severity is Severity.ERROR:
        return Reading(None, (finding,))
    inner = read(cell.value)
    return Reading(inner.value, (finding, *inner.findings))


def make_finding(code: str, severity: Severity | None = None, /, **args: str) -> Finding:
    """The finding `code`; it weighs what the problem does unless `severity` says otherwise."""
    return Finding(code, args, severity or PROBLEMS[code].severity)


def refused(code: str, /, **args: str) -> Reading:
    """The reading of a cell that cannot be read."""
    return Reading(None, (make_finding(code, **args),))


def cleaned(shown: str, read: object, severity: Severity = Severity.NOTE) -> Finding:
    """The finding that `shown` was read as something that looks different."""
    return make_finding("read.cleaned", severity, shown=visible(shown), read=str(read))


def visible(text: str) -> str:
    r"""`text` with every character that cannot be seen spelled out.

    >>> visible("12\u00a0\u200b")
    '12<U+00A0><U+200B>'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in text)


def are_digits(text: str) -> bool:
    """Whether `text` is ASCII digits and nothing else, at least one."""
    return text.isascii() and text.isdigit()


def plain(cell: str) -> str:
    """`cell` after NFKC, without white space around it and without marks that have no width."""
    if cell.isascii():
        return cell.strip()
    text = unicodedata.normalize("NFKC", cell)
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip()
