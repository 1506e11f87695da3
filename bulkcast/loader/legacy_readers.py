"""Reads xls (xlrd), xlsb and ods (calamine, with annotations from the file itself)."""

import os
import re
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from pathlib import Path
from struct import pack, unpack, unpack_from
from typing import IO, Any, Final
from zipfile import ZipFile

import python_calamine
import xlrd
from lxml import etree
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900
from xlrd.biffh import error_text_from_code
from xlrd.sheet import Cell as Stored
from xlrd.sheet import Sheet

from bulkcast import ooxml
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import filetype
from bulkcast.loader.annotations import Annotations, Flagger, Range, merged_only
from bulkcast.loader.table import WIDEST, Line
from bulkcast.model import Cell, FlaggedCell
from bulkcast.ooxml import cell_of, number_of

_TABLE: Final = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
_OFFICE: Final = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
_TEXT: Final = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_CALC: Final = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"
_TAB: Final = f"{{{_TABLE}}}table"
_ROW: Final = f"{{{_TABLE}}}table-row"
_SPECIAL_CELLS: Final = etree.XPath(
    "*[@t:formula or @c:value-type='error' or @t:number-columns-spanned or @t:number-rows-spanned]",
    namespaces={"t": _TABLE, "c": _CALC},
)
_ERROR: Final = re.compile(r"#[A-Z/0]+[!?A]|Err:\d{3}")


def ods_annotations(path: Path, tab: str, last_row: int) -> Annotations:
    """The annotations of an ods worksheet up to `last_row`.

    Raises:
        ValueError, lxml.etree.LxmlError: the file cannot be parsed.
        UnreadableSheet: it has a document type.

    """
    found = Annotations()
    row = 0
    with ZipFile(path) as packed, packed.open("content.xml") as part:
        events: Any = etree.iterparse(
            part, events=("start", "end"), tag=(_TAB, _ROW), resolve_entities=False,
            no_network=True,
        )  # fmt: skip
        for element in _rows(events, tab):
            # One element may stand for several rows.
            first, row = row + 1, row + _repeat_count(element, "rows")
            same = range(first, min(row, last_row) + 1)
            if element.get(f"{{{_TABLE}}}visibility", "visible") != "visible":
                found.hidden.update(same)
            if _SPECIAL_CELLS(element):
                if cells := dict(_special(element)):
                    found.special.update((number, cells) for number in same)
                found.merged.extend(_merged(element, first))
        filetype.refuse_doctype(events.root.getroottree())
    return found


def _rows(events: Any, tab: str) -> Iterator[Any]:
    """The row elements of a worksheet, without tables inside its cells or drawings."""
    depth, is_wanted = 0, False
    for event, element in events:
        if element.tag == _TAB:
            depth += 1 if event == "start" else -1
            if depth == 1 and event == "start":
                is_wanted = element.get(f"{{{_TABLE}}}name") == tab
        elif event == "end" and depth == 1:
            if is_wanted:
                yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]


def _special(row: Any) -> Iterator[tuple[int, Cell]]:
    for column, cell in _cells_with_columns(row):
        flagged = _flag(cell)
        if flagged is not None:
            end = min(column + _repeat_count(cell, "columns"), WIDEST)
            yield from ((index, flagged) for index in range(column, end))


def _merged(row: Any, number: int) -> Iterator[Range]:
    """The merged ranges that begin in a row."""
    for column, cell in _cells_with_columns(row):
        wide, tall = _number(cell, "number-columns-spanned"), _number(cell, "number-rows-spanned")
        if wide > 1 or tall > 1:
            yield Range(column, number, column + wide, number + tall - 1)


def _cells_with_columns(row: Any) -> Iterator[tuple[int, Any]]:
    """The cells of a row, each with its column, from 0."""
    column = 0
    for cell in row:
        yield column, cell
        column += _repeat_count(cell, "columns")


def _flag(cell: Any) -> FlaggedCell | None:
    formula, kind = cell.get(f"{{{_TABLE}}}formula"), cell.get(f"{{{_OFFICE}}}value-type")
    lines = cell.findall(f"{{{_TEXT}}}p")
    shown = "".join(text for line in lines for text in line.itertext())
    if cell.get(f"{{{_CALC}}}value-type") == "error" or (formula and _ERROR.fullmatch(shown)):
        return FlaggedCell("cell.formula_error", shown=shown)
    if formula and kind is None and not lines:
        # A formula whose result is an empty text has an empty line.
        return FlaggedCell("cell.formula_unsaved", shown=f"={formula.partition('=')[2]}")
    return None


def _repeat_count(element: Any, what: str) -> int:
    return _number(element, f"number-{what}-repeated")


def _number(element: Any, name: str) -> int:
    return max(1, int(element.get(f"{{{_TABLE}}}{name}", "1")))


_VISIBLE: Final = 0


class XlsParser:
    """An xls workbook read by xlrd."""

    def __init__(self, path: Path) -> None:
        # xlrd prints warnings, and standard output carries the answers to the parent.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            self._book = xlrd.open_workbook(
                str(path), logfile=nowhere, formatting_info=True, ragged_rows=True
            )
        self._epoch = CALENDAR_MAC_1904 if self._book.datemode else CALENDAR_WINDOWS_1900
        self._formats = [self._format(xf.format_key) for xf in self._book.xf_list]

    def _format(self, key: int) -> str:
        found = self._book.format_map.get(key)
        return (found and found.format_str) or ooxml.by_id(key)

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        return [(sheet.name, sheet.visibility == _VISIBLE) for sheet in self._book.sheets()]

    def head(self, tab: str) -> Iterator[Line]:
        """The lines of a worksheet."""
        sheet = self._book.sheet_by_name(tab)
        for place in range(sheet.nrows):
            yield place + 1, tuple(map(self._cell, sheet.row(place)[:WIDEST]))

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet, and whether it is hidden."""
        sheet = self._book.sheet_by_name(tab)
        merged = (Range(a, top + 1, b, end) for top, end, a, b in sheet.merged_cells)
        flagger = merged_only(merged)
        for number, cells in self.head(tab):
            yield (number, flagger.flag(number, cells)), _is_hidden(sheet, number)

    def is_incomplete(self, tab: str) -> bool:  # noqa: ARG002  # part of the protocol
        """Whether error cells of a worksheet look blank: never with xlrd."""
        return False

    def _cell(self, stored: Stored) -> Cell:
        value = stored.value
        if isinstance(value, str):
            return value or None
        match stored.ctype:
            case xlrd.XL_CELL_BOOLEAN:
                return bool(value)
            case xlrd.XL_CELL_ERROR:
                shown = error_text_from_code.get(int(value), "#N/A")
                return FlaggedCell("cell.formula_error", shown=shown)
            case _:
                return number_of(value, self._formats[stored.xf_index or 0], self._epoch)


def _is_hidden(sheet: Sheet, number: int) -> bool:
    row = sheet.rowinfo_map.get(number - 1)
    return row is not None and bool(row.hidden)


_WORKBOOK: Final = "xl/workbook.bin"


class _Kind(IntEnum):
    """Record types of an xlsb part that are read (MS-XLSB 2.3)."""

    ROW = 0
    SHORT_NUMBER = 2
    ERROR = 3
    NUMBER = 5
    COMPUTED_NUMBER = 9
    COMPUTED_ERROR = 11
    FORMAT = 44
    STYLE = 47
    PROPERTIES = 153
    TAB = 156
    MERGED = 176
    STYLES_OF_CELLS = 617
    END_OF_STYLES = 618


_NUMBERS: Final = frozenset({_Kind.SHORT_NUMBER, _Kind.NUMBER, _Kind.COMPUTED_NUMBER})
_WITHOUT_PLACE: Final = frozenset(range(12, 19))
"""Cell records without a column, which no reader supports."""
_OF_CELLS: Final = frozenset(
    {_Kind.ROW, _Kind.ERROR, _Kind.COMPUTED_ERROR, _Kind.MERGED, *_NUMBERS, *_WITHOUT_PLACE}
)
_OF_STYLES: Final = frozenset(
    {_Kind.FORMAT, _Kind.STYLE, _Kind.STYLES_OF_CELLS, _Kind.END_OF_STYLES}
)
_HIDDEN: Final = 0x10
_ERRORS: Final = {**error_text_from_code, 0x2B: "#GETTING_DATA"}
"""MS-XLSB 2.5.98.2, BErr; all but the last one are those of xls."""


def xlsb_annotations(path: Path, tab: str, last_row: int) -> Annotations:
    """The annotations of an xlsb worksheet up to `last_row`.

    Raises:
        ValueError, KeyError, struct.error: the file cannot be parsed.

    """
    with ZipFile(path) as packed:
        reader = _XlsbAnnotations(*_formats(packed), _epoch(packed))
        with packed.open(_part(packed, tab)) as part:
            for kind, content in _records(part, _OF_CELLS):
                reader.take(kind, content)
    # Formatted rows may follow the last value, but no cells.
    if max(reader.found.special, default=0) > last_row:
        raise ValueError("The worksheet has more rows than were read.")
    return reader.found


@dataclass(slots=True)
class _XlsbAnnotations:
    """Collects annotations in one pass over a worksheet's records."""

    formats: Sequence[str]
    """The number format of each style."""
    may_pass_for_dates: Container[int]
    """The styles that calamine may take for dates though they are none."""
    epoch: datetime
    row: int = 0
    found: Annotations = field(default_factory=Annotations)

    def take(self, kind: int, content: bytes) -> None:
        """Take in one record."""
        match kind:
            case _Kind.ROW:
                self.row = unpack_from("<I", content)[0] + 1
                if content[11] & _HIDDEN:
                    self.found.hidden.add(self.row)
            case _Kind.MERGED:
                top, bottom, left, right = unpack_from("<4I", content)
                self.found.merged.append(Range(left, top + 1, right + 1, bottom + 1))
            case _ if kind in _NUMBERS:
                self._take_number(kind, content)
            case _ if kind in _WITHOUT_PLACE:
                raise ValueError("The worksheet has a cell that does not say its column.")
            case _:
                column, shown = unpack_from("<I", content)[0], _ERRORS.get(content[8], "#N/A")
                self.found.special[self.row][column] = FlaggedCell("cell.formula_error", shown)

    def _take_number(self, kind: int, content: bytes) -> None:
        column, style = unpack_from("<II", content)
        number_format = self.formats[style & 0xFFFFFF]
        number = (
            _rk_number(content) if kind == _Kind.SHORT_NUMBER else unpack_from("<d", content, 8)[0]
        )
        cell = number_of(number, number_format, self.epoch)
        if not isinstance(cell, int | float) or style & 0xFFFFFF in self.may_pass_for_dates:
            self.found.special[self.row][column] = cell


_OWN_FORMATS: Final = 164
"""Ids from here on are custom formats."""
_LETTER: Final = re.compile(r"(?!General$)[A-Za-z]")


def _rk_number(content: bytes) -> float:
    """A number in four bytes: MS-XLSB 2.5.123, RkNumber."""
    (packed,) = unpack_from("<i", content, 8)
    whole = packed >> 2
    number = whole if packed & 2 else unpack("<d", pack("<q", whole << 34))[0]
    return float(number) / 100 if packed & 1 else float(number)


def _formats(packed: ZipFile) -> tuple[Sequence[str], Container[int]]:
    """The number format of each style, and the styles that may be mistaken for dates."""
    styles = ooxml.first_related(packed, _WORKBOOK, "styles")
    if styles is None:
        return ("General",), ()
    own: dict[int, str] = {}
    ids: list[int] = []
    of_cells = False
    with packed.open(styles) as part:
        for kind, content in _records(part, _OF_STYLES):
            if kind == _Kind.FORMAT:
                own[unpack_from("<H", content)[0]] = _text(content, 2)[0]
            elif kind == _Kind.STYLE and of_cells:
                ids.append(unpack_from("<H", content, 2)[0])
            elif kind != _Kind.STYLE:
                of_cells = kind == _Kind.STYLES_OF_CELLS
    found = tuple(own.get(i) or ooxml.by_id(i) for i in ids) or ("General",)
    may_pass_for_dates = {
        style
        for style, (i, number_format) in enumerate(zip(ids, found, strict=False))
        if (i in own and i < _OWN_FORMATS) or _LETTER.search(number_format)
    }
    return found, may_pass_for_dates


def _epoch(packed: ZipFile) -> datetime:
    """The day from which dates are counted."""
    with packed.open(_workbook(packed)) as part:
        for _, content in _records(part, {_Kind.PROPERTIES}):
            if content[0] & 1:
                return CALENDAR_MAC_1904
    return CALENDAR_WINDOWS_1900


def _workbook(packed: ZipFile) -> str:
    return ooxml.entries(packed).get(_WORKBOOK, _WORKBOOK)


def _part(packed: ZipFile, tab: str) -> str:
    """The part that holds a worksheet's cells."""
    related = ooxml.related(packed, _WORKBOOK, "worksheet")
    with packed.open(_workbook(packed)) as part:
        for _, content in _records(part, {_Kind.TAB}):
            relation, end = _text(content, 8)
            if _text(content, end)[0] == tab:
                return related[relation]
    raise ValueError("The workbook does not say where its worksheet stands.")


def _text(content: bytes, start: int) -> tuple[str, int]:
    """The text that begins at `start`, and where it ends."""
    begin = start + 4
    end = begin + 2 * int(unpack_from("<I", content, start)[0])
    return content[begin:end].decode("utf-16-le"), end


def _records(part: IO[bytes], wanted: Container[int]) -> Iterator[tuple[int, bytes]]:
    while head := part.read(1):
        kind = _variable_length(head, part, 2)
        content = part.read(_variable_length(part.read(1), part, 4))
        if kind in wanted:
            yield kind, content


def _variable_length(head: bytes, part: IO[bytes], most: int) -> int:
    """A number that begins with the byte `head` and has up to `most` bytes of seven bits."""
    (byte,) = head
    number = byte & 0x7F
    for place in range(1, most):
        if byte < 0x80:
            break
        (byte,) = part.read(1)
        number |= (byte & 0x7F) << 7 * place
    return number


def open_workbook(path: Path, *, widest: int = WIDEST) -> "XlsParser | CalamineParser":
    """Open the workbook with the reader that recognises most, up to column `widest`.

    Raises:
        UnreadableSheet: no reader can read it.

    """
    if path.suffix.lower() != ".xls":
        return CalamineParser(path, widest)
    try:
        return XlsParser(path)
    except MemoryError:
        raise
    # Calamine may read what xlrd cannot; if neither can, calamine raises the error.
    except Exception:  # noqa: BLE001  # xlrd trusts the file: a malformed one raises anything
        return CalamineParser(path, widest)


class CalamineParser:
    """A workbook read by calamine; a second pass over the file finds what calamine leaves out."""

    def __init__(self, path: Path, widest: int = WIDEST) -> None:
        try:
            with _explain_size_error():
                self._book = python_calamine.load_workbook(path)
        except python_calamine.PasswordError as exc:
            raise UnreadableSheet(
                "The workbook has a password to open it; save it as .xlsx without a password."
            ) from exc
        self._path, self._widest = path, widest
        self._annotations_by_tab: dict[str, Annotations | None] = {}

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""
        visible = python_calamine.SheetVisibleEnum.Visible
        return [(m.name, m.visible == visible) for m in self._book.sheets_metadata]

    def head(self, tab: str) -> Iterator[Line]:
        """The lines of a worksheet, including empty columns left of its first cell."""
        with _explain_size_error():
            sheet = self._book.get_sheet_by_name(tab)
        first_row, first_column = sheet.start or (0, 0)
        lead: tuple[Cell, ...] = (None,) * first_column
        # Calamine leaves out the columns before the first cell, but not the rows above it.
        for number, row in enumerate(sheet.iter_rows(), start=1):
            if number > first_row:
                yield number, (*lead, *map(_cell, row[: self._widest]))[: self._widest]

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet that is not blank, and whether it is hidden, if known.

        One cell in a far corner makes a million blank lines, which would take minutes to send.
        """
        found = self._annotations(tab) or self._merged(tab)
        flagger = Flagger(found)
        for number, cells in self.head(tab):
            line = flagger.flag(number, cells)
            end = len(line)
            while end and line[end - 1] is None:
                end -= 1
            if end:
                yield (number, line[:end]), number in found.hidden

    def _merged(self, tab: str) -> Annotations:
        """The merged ranges, which calamine itself reports."""
        ranges = self._book.get_sheet_by_name(tab).merged_cell_ranges or ()
        return Annotations(merged=[Range(a[1], a[0] + 1, b[1] + 1, b[0] + 1) for a, b in ranges])

    def is_incomplete(self, tab: str) -> bool:
        """Whether the annotations could not be read."""
        return self._annotations(tab) is None

    def _annotations(self, tab: str) -> Annotations | None:
        if tab not in self._annotations_by_tab:
            self._annotations_by_tab[tab] = self._read_annotations(tab)
        return self._annotations_by_tab[tab]

    def _read_annotations(self, tab: str) -> Annotations | None:
        suffix = self._path.suffix.lower()
        if suffix not in {".ods", ".xlsb"}:
            return None
        read = ods_annotations if suffix == ".ods" else xlsb_annotations
        end = self._book.get_sheet_by_name(tab).end
        try:
            return read(self._path, tab, end[0] + 1 if end else 0)
        except (UnreadableSheet, MemoryError):
            raise
        # lxml, zipfile and struct raise anything on a malformed file.  Calamine could read it, and
        # a remark says what is missing; but an xlsb date read as a number would pass for an id.
        except Exception as exc:
            if suffix == ".xlsb":
                raise UnreadableSheet(
                    "Which cells of the worksheet {tab!r} are dates or errors cannot be told; save"
                    " the workbook as .xlsx.",
                    tab=tab,
                ) from exc
            return None


@contextmanager
def _explain_size_error() -> Iterator[None]:
    """Explain a file that is too large; calamine's error differs from others in its text only."""
    try:
        yield
    except Exception as exc:
        if "limit exceeded" not in str(exc).lower():
            raise
        raise UnreadableSheet(
            "The workbook is far larger than it looks; copy its rows into a new workbook."
        ) from exc


def _cell(value: object) -> Cell:
    """Convert calamine's value to a `model.Cell`; its numbers are all floats."""
    match value:
        case str():
            # Not unescaped: only xlsx uses the spelling `_x0041_`.
            return value or None
        case bool() | datetime():
            return value
        case int() | float() | date():
            return cell_of(value, "n", "")
        case _:
            return cell_of(value, "", "")
