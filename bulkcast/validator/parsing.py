"""The result types of cell readers, and helpers that all cell readers share."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from bulkcast.catalogue import CLEAR_WORDS, Setting
from bulkcast.headers import fold
from bulkcast.model import Argument, Cell, FlaggedCell, SettingValue, Severity
from bulkcast.problems import PROBLEMS


class Finding(NamedTuple):
    """A problem or note about a cell, without its place."""

    code: str
    args: Mapping[str, Argument]
    severity: Severity


class Reading(NamedTuple):
    """What a reader found in a cell: a value, None (blank), or findings with an error."""

    value: SettingValue | None
    findings: tuple[Finding, ...] = ()

    @property
    def is_unread(self) -> bool:
        """Whether the cell holds something that cannot be read."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


Reader = Callable[[Cell], Reading]
Plain = Callable[[str], SettingValue | None]
"""A fast reader of texts in the usual form: gives the reader's value if that has no findings; None
for any other text."""

BLANK: Final = Reading(None)

EXACT_BELOW: Final = 10**15
"""Spreadsheet numbers keep 15 digits; further digits are not what was typed."""
_CLEARS: Final = frozenset(map(fold, CLEAR_WORDS))
_CLEAR_SIGN: Final = "("
"""Every clear word in ASCII contains this character, which folding keeps."""
_LONGEST_CLEAR: Final = 16
"""Characters a clear word has at most, with spaces and invisible marks; folding is slow."""
ERROR_WORDS: Final = frozenset(
    {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"}
)
"""What a broken formula shows; a delimited file has only this text."""
_REMEMBERED: Final = 1 << 20
"""Characters of one column's cells to cache, with `_ENTRY` more for each cell."""
_ENTRY: Final = 64
_EXACT_TYPES: Final = frozenset({str, int, datetime, type(None)})
"""Types whose equal cells mean the same; 1, 1.0 and True are equal keys but different cells."""


def never_plain(_: str, /) -> None:
    """The `Plain` for a column without a fast reader."""


class CellCache(dict[Cell, Any]):
    """A cache of the readings of one column's cells, limited in size.

    Maps a cell to its value, or to its whole reading if that has findings.
    """

    def __init__(self, read: Reader, plain: Plain = never_plain) -> None:
        """`plain` is a fast reader for cells that rarely repeat and are nearly always valid."""
        super().__init__()
        self._read, self._plain = read, plain
        self._room = _REMEMBERED
        self._is_clean = True
        """Whether no cell so far had findings."""

    def __missing__(self, cell: Cell) -> Any:
        value: Any = self._plain(cell) if isinstance(cell, str) else None
        if value is None:
            reading = self._read(cell)
            value = reading.value
            if reading.findings:
                value, self._is_clean = reading, False
        if self._room > 0 and cell.__class__ in _EXACT_TYPES:
            self._room -= _ENTRY + (len(cell) if isinstance(cell, str) else 0)
            self[cell] = value
        return value

    def read(self, cells: Sequence[Cell]) -> tuple[list[Any], dict[int, Reading]]:
        """The values of `cells`, None for blank ones; and place → reading with findings."""
        recall = self.__getitem__
        if _EXACT_TYPES.issuperset(map(type, cells)):
            values = list(map(recall, cells))
        else:
            values = [
                recall(cell) if cell.__class__ in _EXACT_TYPES else self.__missing__(cell)
                for cell in cells
            ]
        remarkable: dict[int, Reading] = {}
        if not self._is_clean and Reading in map(type, values):
            remarkable = {i: value for i, value in enumerate(values) if value.__class__ is Reading}
            for place, reading in remarkable.items():
                values[place] = reading.value
        return values, remarkable


def with_common_cells(read: Reader, column: Setting) -> Reader:
    """Wrap `read`: blank, broken, flagged and clearing cells are handled here."""
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
    """Whether a stripped cell text is a word for emptying the setting."""
    if word.isascii() and _CLEAR_SIGN not in word:
        return False
    return len(word) <= _LONGEST_CLEAR and fold(word) in _CLEARS


def _read_flagged(cell: FlaggedCell, read: Reader) -> Reading:
    finding = make_finding(cell.code, **cell.args)
    if finding.severity is Severity.ERROR:
        return Reading(None, (finding,))
    inner = read(cell.value)
    return Reading(inner.value, (finding, *inner.findings))


def make_finding(code: str, severity: Severity | None = None, /, **args: Argument) -> Finding:
    """The finding `code`, with the problem's severity unless one is given."""
    return Finding(code, args, severity or PROBLEMS[code].severity)


def refused(code: str, /, **args: Argument) -> Reading:
    """The reading of a cell that cannot be read."""
    return Reading(None, (make_finding(code, **args),))


def cleaned_finding(shown: str, read: object, severity: Severity = Severity.NOTE) -> Finding:
    """The finding that `shown` was read as `read`, which looks different."""
    return make_finding("read.cleaned", severity, shown=visible(shown), read=str(read))


def visible(text: str) -> str:
    r"""`text` with invisible characters replaced by their code points.

    >>> visible("12\u00a0\u200b")
    '12<U+00A0><U+200B>'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in text)


def is_digits(text: str) -> bool:
    """Whether `text` consists of ASCII digits, at least one."""
    return text.isascii() and text.isdigit()


def plain(cell: str) -> str:
    """`cell` after NFKC, stripped, without zero-width characters."""
    if cell.isascii():
        return cell.strip()
    text = unicodedata.normalize("NFKC", cell)
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip()
