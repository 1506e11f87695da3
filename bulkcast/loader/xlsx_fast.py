"""The fast reader of xlsx workbooks: reads the XML most programs write with regular expressions."""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, Final

from lxml import etree
from openpyxl.utils.cell import column_index_from_string
from openpyxl.utils.datetime import from_ISO8601

from bulkcast.errors import UnreadableSheet
from bulkcast.loader.table import WIDEST, Chunk
from bulkcast.model import COLUMNS_MAX, ROWS_MAX, Cell, FlaggedCell, column_letters
from bulkcast.ooxml import Package, cell_of, number_of

MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LONGEST_ROW: Final = 1 << 24
_READ_AT_ONCE: Final = 1 << 18
_LONGEST_HEAD: Final = 1 << 20

_HEAD: Final = re.compile(
    rf'(?:<\?xml(?![^>]*encoding=["\'](?!utf-8))[^>]*\?>)?\s*'
    rf'<worksheet(?=[^>]*\sxmlns="{re.escape(MAIN)}")[^>]*>',
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));")
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class UnsupportedMarkup(Exception):
    """The XML is not of the usual form; a full parser has to read it."""


def unescape(text: str) -> str:
    """Resolve the character references in XML `text`.

    Raises:
        UnsupportedMarkup: a reference does not stand for a character.

    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "&" not in text:
        return text
    if text.count("&") != len(_REFERENCE.findall(text)):
        raise UnsupportedMarkup
    return _REFERENCE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    name, decimal, hexadecimal = found.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000 or (code < 32 and code not in {9, 10, 13}):
        raise UnsupportedMarkup
    return chr(code)


def pieces(part: IO[bytes]) -> Iterator[list[str]]:
    """The XML between `<sheetData>` and its end, split after each row."""
    read = texts_of(part)
    rest = _after_head(read)
    if rest is None:
        return
    for text in chain([""], read):
        rest += text
        rest, ended, _ = rest.partition("</sheetData>")
        *pieces, rest = rest.split("</row>")
        if len(rest) > _READ_AT_ONCE and not ended:
            # Rows without cells have no end tag: all before the last one are complete.
            last = max(rest.rfind("<row "), 0)
            pieces.append(rest[:last])
            rest = rest[last:]
        yield pieces
        if ended:
            yield [rest]
            return
        if len(rest) > LONGEST_ROW:
            raise UnreadableSheet(
                "The worksheet has a row of unbelievable length; copy its rows into a new workbook."
            )
    raise UnreadableSheet("The worksheet is damaged: it ends in the middle of its rows.")


def texts_of(part: IO[bytes]) -> Iterator[str]:
    """The text of a part, piece by piece.

    Raises:
        UnsupportedMarkup: the part is not UTF-8, or has a character that XML forbids.

    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    while raw := part.read(_READ_AT_ONCE):
        try:
            text = decoder.decode(raw)
        except UnicodeDecodeError as exc:
            raise UnsupportedMarkup from exc
        if "\0" in text:
            raise UnsupportedMarkup
        yield text


def _after_head(read: Iterator[str]) -> str | None:
    """The text after `<sheetData>` as far as it was read; None if the worksheet has no rows."""
    head = ""
    for text in read:
        head += text
        before, found, after = head.partition("<sheetData>")
        if found:
            if "<!DOCTYPE" in before:
                raise UnreadableSheet(
                    "The worksheet holds a document type, which no spreadsheet program writes; "
                    "copy its rows into a new workbook."
                )
            if not _HEAD.match(before) or "<!" in before or "<sheetData/" in before:
                raise UnsupportedMarkup
            return after
        if "<sheetData/>" in head:
            return None
        if len(head) > _LONGEST_HEAD:
            break
    raise UnsupportedMarkup


def shared_strings(part: IO[bytes]) -> Iterator[str]:
    """The shared strings as they are stored.

    openpyxl's own reader removes every `x005F_`, which is part of some texts.
    """
    items = etree.iterparse(part, tag="{*}si", resolve_entities=False, no_network=True)
    for _, item in items:
        yield _text(item)
        item.clear()
        while item.getprevious() is not None:
            del item.getparent()[0]


def _text(item: Any) -> str:
    # Without `rPh`: pronunciation is shown above the text and is not part of it.
    pieces = (*item.iterfind("{*}t"), *item.iterfind("{*}r/{*}t"))
    return "".join(piece.text or "" for piece in pieces)


_STRING: Final = re.compile(r'<si><t(?:\s+xml:space="preserve")?>([^<]*)</t></si>')


def plain_strings(part: IO[bytes]) -> Iterator[str]:
    """The shared strings as cells show them; much faster than `shared_strings`.

    Raises:
        UnsupportedMarkup: a full parser has to read them.

    """
    texts = texts_of(part)
    rest = next(texts, "")
    opening = re.match(r"(?:<\?xml[^>]*\?>)?\s*<sst(?:\s[^>]*)?>", rest)
    if opening is None or MAIN not in opening[0]:
        raise UnsupportedMarkup
    rest = rest[opening.end() :]
    for text in chain([""], texts):
        rest += text
        end = rest.rfind("</si>") + len("</si>")
        if end >= len("</si>"):
            yield from _whole_strings(rest[:end])
            rest = rest[end:]
        if len(rest) > LONGEST_ROW:
            raise UnsupportedMarkup
    if rest.strip() not in {"</sst>", ""}:
        raise UnsupportedMarkup


def _whole_strings(xml: str) -> Iterator[str]:
    found = _STRING.findall(xml)
    if xml.count("<") != 4 * len(found):
        raise UnsupportedMarkup
    return (cell_text(unescape(text)) for text in found)


def cell_text(text: str) -> str:
    """A shared string with the escapes for characters that XML cannot hold resolved."""
    cell = cell_of(text, "s", "General")
    return cell if isinstance(cell, str) else text


FORMULA: Final = "\0formula"
"""Appended to the attributes of a formula cell, so that it is cached separately."""
_CACHED: Final = 8192
"""Values cached for each style and type; most cells of a sheet repeat a few."""
_ATTRIBUTE: Final = re.compile(r'\s+([\w:]+)="([^"<>&]*)"')


class Cells:
    """Converts stored values of one workbook to cells."""

    def __init__(self, package: Package, strings: Sequence[str]) -> None:
        self._package, self._strings = package, strings

    def kind(self, attributes: str) -> "_Kind":
        """The reader of cells with these attributes."""
        is_formula = attributes.endswith(FORMULA)
        plain = attributes.removesuffix(FORMULA)
        pairs = _ATTRIBUTE.findall(plain)
        known = dict(pairs)
        if _ATTRIBUTE.sub("", plain).strip() or len(known) != len(pairs):
            raise UnsupportedMarkup
        if "r" in known:
            raise UnsupportedMarkup
        style = _index(known.get("s", "0"), len(self._package.formats))
        return _Kind(self, known.get("t", "n"), style, is_formula=is_formula)

    def read(self, kind: str, style: int, stored: str) -> Cell:
        """The cell of type `kind` that stores this text; the same as from the reference reader."""
        number_format = self._package.formats[style]
        match kind:
            case "s":
                return self._strings[_index(stored, len(self._strings))]
            case "str" | "inlineStr":
                return cell_of(unescape(stored), kind, number_format)
            case "n":
                is_float = "." in stored or "E" in stored or "e" in stored
                number = float(stored) if is_float else int(stored)
                return number_of(number, number_format, self._package.epoch)
            case "b":
                return bool(int(stored))
            case "e":
                return cell_of(unescape(stored), kind, number_format)
            case "d":
                moment: object = from_ISO8601(stored)  # type: ignore[no-untyped-call]  # openpyxl's
                return cell_of(moment, kind, number_format)
            case _:
                raise UnsupportedMarkup

    def is_unsaved(self, kind: str, stored: str) -> bool:
        """Whether a formula's cell has no value computed by a spreadsheet program."""
        if not stored:
            return kind != "str"
        return stored == self._package.placeholder and kind == "n"


def _index(digits: str, end: int) -> int:
    if not (digits.isascii() and digits.isdigit() and int(digits) < end):
        raise UnsupportedMarkup
    return int(digits)


class _Kind(dict[str, Cell]):
    """Stored text → cell, for the cells of one type and style."""

    def __init__(self, cells: Cells, kind: str, style: int, *, is_formula: bool) -> None:
        super().__init__()
        self._cells, self._kind, self._style = cells, kind, style
        self._is_formula = is_formula
        self.is_inline = kind == "inlineStr"

    def __missing__(self, stored: str) -> Cell:
        cell = self._read(stored)
        if len(self) < _CACHED:
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
            raise UnsupportedMarkup from exc


class Kinds(dict[str, _Kind]):
    """Attributes as the XML has them → reader of cells with these attributes."""

    def __init__(self, cells: Cells) -> None:
        super().__init__()
        self._cells = cells

    def __missing__(self, attributes: str) -> _Kind:
        if len(self) >= _CACHED:
            raise UnsupportedMarkup
        self[attributes] = kind = self._cells.kind(attributes)
        return kind


_ATTRIBUTES: Final = r'(?:\s+[\w:.]+="[^"<]*")*\s*'
_ROW: Final = re.compile(rf'\s*<row(?:\s+r="(\d{{1,9}})")?({_ATTRIBUTES})(/?)>')
_CELL: Final = re.compile(
    r'<c r="([A-Z]{1,3})\d{1,7}"([^<>]*)>'
    r'<(?:v>([^<]*)</v|is><t(?: xml:space="preserve")?>([^<]*)</t></is)></c>'
)
"""The usual form of a cell: its letters, attributes, and value or inline text."""
_CELL_WITHOUT_ADDRESS: Final = re.compile(r'<c(?=[\s/>])(?! r="[A-Z]{1,3}\d{1,7}")')
"""The start of a cell without an address."""
_CELL_START: Final = re.compile(r'<c(?=[\s/>])(?: r="([A-Z]{1,3})\d{1,7}")?(?![^<>]*\sr=)')
_EMPTY_CELL: Final = re.compile(
    r'<c r="[A-Z]{1,3}\d{1,7}"(?: [\w:]+="[^"<>]*")*\s*(?:/>|></c>|><v\s*/></c>)'
)
_ANY_CELL: Final = re.compile(
    r'<c r="([A-Z]{1,3})\d{1,7}"([^<>]*)>'
    r"(?:(<f(?:\s[^<>]*)?)(?:/>|>([^<]*)</f>))?"
    r'(?:<v(?:\s+xml:space="preserve")?>([^<]*)</v>|<v\s*/>|'
    r'<is><t(?:\s+xml:space="preserve")?>([^<]*)</t></is>)?</c>'
)

_Stored = tuple[str, str, str, str]
"""A cell's letters, attributes, text of `<v>`, and inline text."""


@dataclass(slots=True)
class ScanState:
    """What a scan has found so far apart from the cells."""

    hidden: set[int]
    last_row: int = 0
    is_wide: bool = False
    """Whether there are cells beyond the columns that are read."""


class _ColumnIndexes(dict[str, int]):
    """A column's letters → its index; all columns from `WIDEST` on share one index."""

    def __missing__(self, letters: str) -> int:
        self[letters] = place = min(column_index_from_string(letters) - 1, WIDEST)
        return place


def chunks(part: IO[bytes], cells: Cells, found: ScanState) -> Iterator[Chunk]:
    """The rows of a worksheet's XML, some hundreds at a time; updates `found` on the way.

    Raises:
        UnsupportedMarkup: a full parser has to read the rows after `found.last_row`.
        UnreadableSheet: the rows contradict each other.

    """
    rows = _Rows(cells, found)
    for some in pieces(part):
        chunk = rows.chunk(some)
        if chunk[0]:
            yield chunk
        if rows.is_unsupported:
            raise UnsupportedMarkup


class _Rows:
    def __init__(self, cells: Cells, found: ScanState) -> None:
        self._kinds = Kinds(cells)
        self._places = _ColumnIndexes()
        self._found = found
        self._width = 1
        self.is_unsupported = False

    def chunk(self, some: Sequence[str]) -> Chunk:
        """The rows of some pieces of XML; each piece ends with a row."""
        numbers: list[int] = []
        rows: list[list[Cell]] = []
        try:
            for piece in some:
                body = self._begin(piece)
                if body is not None:
                    rows.append(self._row(body))
                    numbers.append(self._found.last_row)
        except UnsupportedMarkup:
            # The full parser reads the current row and all that follow.
            self._found.last_row = numbers[-1] if numbers else self._found.last_row - 1
            self.is_unsupported = True
        return numbers, rows

    def _begin(self, piece: str) -> str | None:
        """The XML of the cells of the row in `piece`; None if it has no cells."""
        start = 0
        while head := _ROW.match(piece, start):
            self._enter(head[1], head[2])
            start = head.end()
            if not head[3]:
                return piece[start:]
        if piece[start:].strip():
            raise UnsupportedMarkup
        return None

    def _enter(self, number: str | None, attributes: str) -> None:
        last = self._found.last_row
        row = int(number) if number else last + 1
        if row <= last:
            raise UnreadableSheet(
                "The worksheet is damaged: row {number} comes after {before}.",
                number=row,
                before=last,
            )
        if row > ROWS_MAX:
            raise UnreadableSheet("The worksheet has rows beyond {last}.", last=ROWS_MAX)
        if " r=" in attributes:
            raise UnsupportedMarkup
        self._found.last_row = row
        if ' hidden="1"' in attributes or ' hidden="true"' in attributes:
            self._found.hidden.add(row)

    def _row(self, body: str) -> list[Cell]:
        found = self._all_cells(body)
        row: list[Cell] = [None] * self._width
        places, kinds = self._places, self._kinds
        try:
            for letters, attributes, stored, inline in found:
                row[places[letters]] = kinds[attributes][stored or inline]
        except IndexError:
            return self._widened_row(found)
        if len(found) + row.count(None) != self._width:
            self._require_once(found)
        return row

    def _require_once(self, found: Sequence[_Stored]) -> None:
        """Refuse a row that has a cell twice: it is unclear which one is meant."""
        seen: set[str] = set()
        for letters, *_ in found:
            if letters in seen:
                raise UnreadableSheet(
                    "The worksheet is damaged: the cell {cell} stands in it twice.",
                    cell=f"{letters}{self._found.last_row}",
                )
            seen.add(letters)

    def _all_cells(self, body: str) -> Sequence[_Stored]:
        """The non-empty cells of a row; proves that no other cell was missed."""
        found = _CELL.findall(body)
        if self._are_all(found, body):
            return found
        if _CELL_WITHOUT_ADDRESS.search(body):
            body = _CELL_START.sub(_AddressWriter(), body)
        if "/" in body:
            body = _EMPTY_CELL.sub("", body)
        found = _CELL.findall(body)
        if self._are_all(found, body):
            return found
        cells = _ANY_CELL.findall(body)
        if "<" in _ANY_CELL.sub("", body):
            raise UnsupportedMarkup
        return [_stored(*cell) for cell in cells]

    def _are_all(self, found: Sequence[_Stored], body: str) -> bool:
        """Whether every `<` of the row belongs to one of these cells.

        A cell with a value has four of them, one with an inline text six; inline texts count only
        in cells of that type.
        """
        if (n := body.count("<")) == 4 * len(found):
            return True
        inline = [attributes for _, attributes, _, text in found if text]
        if n != 4 * len(found) + 2 * len(inline):
            return False
        return all(self._kinds[attributes].is_inline for attributes in set(inline))

    def _widened_row(self, found: Sequence[_Stored]) -> list[Cell]:
        self._require_once(found)
        places = [self._places[letters] for letters, *_ in found]
        self._width = max(self._width, min(max(places) + 1, WIDEST))
        row: list[Cell] = [None] * self._width
        for place, (_, attributes, stored, inline) in zip(places, found, strict=True):
            if place < self._width:
                row[place] = self._kinds[attributes][stored or inline]
            else:
                self._note_distant(place)
        return row

    def _note_distant(self, place: int) -> None:
        """Note a cell beyond `WIDEST`; refuse one far down there, which has crashed parsers."""
        self._found.is_wide |= place >= WIDEST
        if place >= WIDEST and self._found.last_row > _DISTANT_ROW:
            raise UnreadableSheet(
                "The worksheet has a cell in row {row}, far beyond column {widest}, "
                "which is no part of a table; copy its rows into a new workbook.",
                row=self._found.last_row,
                widest=WIDEST,
            )


_DISTANT_ROW: Final = 200_000


class _AddressWriter:
    """Adds addresses to cells of a row that have none, in order.

    A cell without an address follows the one before it.
    """

    def __init__(self) -> None:
        self._column = 0

    def __call__(self, found: re.Match[str]) -> str:
        if found[1]:
            self._column = column_index_from_string(found[1])
            return found[0]
        self._column += 1
        if self._column > COLUMNS_MAX:
            raise UnsupportedMarkup
        return f'<c r="{column_letters(self._column - 1)}1"'


def _stored(
    letters: str, attributes: str, f: str, formula: str, value: str, inline: str
) -> _Stored:
    if f:
        return letters, attributes + FORMULA, f"{value or inline}\0{formula}", ""
    if ' t="inlineStr"' in attributes:
        return letters, attributes, "", inline
    return letters, attributes, value, ""
