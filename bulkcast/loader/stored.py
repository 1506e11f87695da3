"""What a cell of a worksheet's XML holds, by its attributes and what stands in `<v>`."""

import re
from collections.abc import Sequence
from typing import Final

from openpyxl.styles.numbers import is_timedelta_format
from openpyxl.utils.datetime import from_excel, from_ISO8601

from bulkcast.loader import formats
from bulkcast.loader.cells import cell_of
from bulkcast.loader.package import Package
from bulkcast.loader.plainxml import Unusual, unescape
from bulkcast.model import Cell, FlaggedCell

FORMULA: Final = "\0formula"
"""Marks the attributes of a cell that holds a formula, so that it is remembered by itself."""
_REMEMBERED: Final = 8192
"""Values remembered for each style and type; most cells of a sheet repeat a few."""
_ATTRIBUTE: Final = re.compile(r'\s+([\w:]+)="([^"<>&]*)"')


class Cells:
    """The cells of one workbook, by their attributes and what stands in `<v>`."""

    def __init__(self, package: Package, strings: Sequence[str]) -> None:
        self._package, self._strings = package, strings
        self._dates = {i for i, f in enumerate(package.formats) if formats.is_date(f)}
        self._spans = {i for i, f in enumerate(package.formats) if is_timedelta_format(f)}

    def kind(self, attributes: str) -> "_Kind":
        """How cells with these attributes are read."""
        is_formula = attributes.endswith(FORMULA)
        plain = attributes.removesuffix(FORMULA)
        pairs = _ATTRIBUTE.findall(plain)
        known = dict(pairs)
        if _ATTRIBUTE.sub("", plain).strip() or len(known) != len(pairs):
            raise Unusual
        if "r" in known:
            raise Unusual
        style = _index(known.get("s", "0"), len(self._package.formats))
        return _Kind(self, known.get("t", "n"), style, is_formula=is_formula)

    def read(self, kind: str, style: int, stored: str) -> Cell:
        """The cell of type `kind` that stores this text, as the reference reader has it."""
        number_format = self._package.formats[style]
        match kind:
            case "s":
                return self._strings[_index(stored, len(self._strings))]
            case "str" | "inlineStr":
                return cell_of(unescape(stored), kind, number_format)
            case "n":
                return self._number(stored, style, number_format)
            case "b":
                return bool(int(stored))
            case "e":
                return cell_of(unescape(stored), kind, number_format)
            case "d":
                moment: object = from_ISO8601(stored)  # type: ignore[no-untyped-call]  # openpyxl's
                return cell_of(moment, kind, number_format)
            case _:
                raise Unusual

    def _number(self, stored: str, style: int, number_format: str) -> Cell:
        is_float = "." in stored or "E" in stored or "e" in stored
        number = float(stored) if is_float else int(stored)
        if style not in self._dates:
            return cell_of(number, "n", number_format)
        try:
            epoch = self._package.epoch
            moment = from_excel(number, epoch, timedelta=style in self._spans)
        except (OverflowError, ValueError):
            return FlaggedCell("cell.formula_error", shown="#VALUE!")
        return cell_of(moment, "d", number_format)

    def is_unsaved(self, kind: str, stored: str) -> bool:
        """Whether a formula's cell holds no value a spreadsheet program computed."""
        if not stored:
            return kind != "str"
        return stored == self._package.placeholder and kind == "n"


def _index(digits: str, end: int) -> int:
    if not (digits.isascii() and digits.isdigit() and int(digits) < end):
        raise Unusual
    return int(digits)


class _Kind(dict[str, Cell]):
    """The cells of one type and style, by what they store."""

    def __init__(self, cells: Cells, kind: str, style: int, *, is_formula: bool) -> None:
        super().__init__()
        self._cells, self._kind, self._style = cells, kind, style
        self._is_formula = is_formula
        self.is_inline = kind == "inlineStr"

    def __missing__(self, stored: str) -> Cell:
        cell = self._read(stored)
        if len(self) < _REMEMBERED:
            self[stored] = cell
        return cell

    def _read(self, stored: str) -> Cell:
        if self._is_formula:
            value, _, formula = stored.partition("\0")
            if self._cells.is_unsaved(self._kind, value):
                return FlaggedCell("cell.formula_unsaved", shown=f"={unescape(formula)}")
            stored = value
        if not stored:
            return None
        try:
            return self._cells.read(self._kind, self._style, stored)
        except (ValueError, OverflowError) as exc:
            raise Unusual from exc


class Kinds(dict[str, _Kind]):
    """How cells are read, by their attributes as the XML has them."""

    def __init__(self, cells: Cells) -> None:
        super().__init__()
        self._cells = cells

    def __missing__(self, attributes: str) -> _Kind:
        if len(self) >= _REMEMBERED:
            raise Unusual
        self[attributes] = kind = self._cells.kind(attributes)
        return kind
