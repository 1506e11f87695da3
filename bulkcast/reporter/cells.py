"""The cells a result adds to a workbook's rows, as XML.

Rows that ended alike differ in nothing but their number and time, so the XML of an outcome is made
once and filled in for each of them.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from bulkcast.model import ResultRow
from bulkcast.reporter.columns import letters, storable, texts, title

_ROW: Final = "\x00"
_TIME: Final = "\x01"
"""Stand for what is filled in; no XML may hold either, so no text does."""

_DISTINCT_MAX: Final = 4096
"""Outcomes kept ready; a term has a few dozen."""


@dataclass(frozen=True, slots=True)
class Template:
    """The cells of one outcome, not yet of a row."""

    by_column: Mapping[int, bytes]
    """Column, from 0 → its cell; empty where nothing is said."""
    first: int
    """The leftmost of the columns."""
    joined: bytes
    """All of them in order."""


class Added(NamedTuple):
    """The cells of one row."""

    template: Template
    row: bytes
    time: bytes

    def joined(self) -> bytes:
        """All of them in order."""
        return self._filled(self.template.joined)

    def by_column(self) -> dict[int, bytes]:
        """Column → cell, `b""` for none."""
        return {i: self._filled(cell) for i, cell in self.template.by_column.items()}

    def _filled(self, cell: bytes) -> bytes:
        return cell.replace(b"\x00", self.row).replace(b"\x01", self.time)


class ResultCells:
    """What every row of one result gets; `prefix` is how the sheet spells the namespace."""

    def __init__(self, prefix: str, columns: Mapping[int, str], text_style: int) -> None:
        self._prefix = prefix
        self._columns = columns
        self._style = f' s="{text_style}"'
        self._template = lru_cache(maxsize=_DISTINCT_MAX)(self._made)

    def titles(self, row: int, style: str | None) -> Added:
        """The headers, in the format of index `style`."""
        held = f' s="{style}"' if style else ""
        cells = {i: self._text(i, held, escaped(title(f))) for i, f in self._columns.items()}
        return Added(_together(cells), b"%d" % row, b"")

    def of(self, row: int, result: ResultRow | None) -> Added:
        """The cells of row `row`; all empty without a result."""
        if result is None:
            return Added(self._template(None), b"%d" % row, b"")
        r = result
        alike = (r.status, r.code, r.message, r.fix, r.attempts, r.run, bool(r.time))
        return Added(self._template(alike), b"%d" % row, escaped(r.time).encode())

    def _made(self, alike: tuple[object, ...] | None) -> Template:
        said = texts(None)
        if alike is not None:
            *fields, timed = alike
            keys = ("status", "code", "message", "fix", "attempts", "run")
            said |= {key: escaped(str(f)) for key, f in zip(keys, fields, strict=True)}
            said["time"] = _TIME if timed else ""
        return _together({i: self._cell(i, f, said[f]) for i, f in self._columns.items()})

    def _cell(self, column: int, field: str, escaped_text: str) -> bytes:
        if field != "attempts" or not escaped_text:
            return self._text(column, self._style, escaped_text)
        p = self._prefix
        return f'<{p}c r="{letters(column)}{_ROW}"><{p}v>{escaped_text}</{p}v></{p}c>'.encode()

    def _text(self, column: int, style: str, escaped_text: str) -> bytes:
        """A text, whatever it looks like; nothing for an empty one."""
        if not escaped_text:
            return b""
        p = self._prefix
        return (
            f'<{p}c r="{letters(column)}{_ROW}"{style} t="inlineStr"><{p}is>'
            f'<{p}t xml:space="preserve">{escaped_text}</{p}t></{p}is></{p}c>'
        ).encode()


def _together(cells: Mapping[int, bytes]) -> Template:
    return Template(cells, min(cells), b"".join(cells[column] for column in sorted(cells)))


@lru_cache(maxsize=_DISTINCT_MAX)
def escaped(text: str) -> str:
    """For a text node; `_x0041_` would be read as an `A` (ECMA-376, part 1, ST_Xstring).

    >>> escaped("a<b _x0041_")
    'a&lt;b _x005F_x0041_'
    """
    return html.escape(_LOOKS_ESCAPED.sub("_x005F_", storable(text)), quote=False)


_LOOKS_ESCAPED: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
