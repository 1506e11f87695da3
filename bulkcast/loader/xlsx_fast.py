"""The fast reader of xlsx workbooks: reads the XML most programs write with regular expressions."""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO, Final

from lxml import etree
from openpyxl.utils.cell import column_index_from_string

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import xlsx_reader
from bulkcast.loader.table import WIDEST, Chunk
from bulkcast.loader.xlsx_reader import MAIN, StoredValues, cell_text, row_number
from bulkcast.model import COLUMNS_MAX, Cell, column_letters

_LONGEST_ROW: Final = 1 << 24
_READ_AT_ONCE: Final = 1 << 18
_LONGEST_HEAD: Final = 1 << 20

_HEAD: Final = re.compile(
    rf'(?:<\?xml(?![^>]*encoding=["\'](?!utf-8))[^>]*\?>)?\s*'
    rf'<worksheet(?=[^>]*\sxmlns="{re.escape(MAIN)}")[^>]*>',
    re.IGNORECASE,
)


class UnsupportedMarkup(Exception):
    """The XML is not of the usual form; a full parser has to read it."""


def _unescape(text: str) -> str:
    """Resolve the character references in XML `text`, and line ends as XML does."""
    if "&" not in text and "\r" not in text:
        return text
    try:
        return etree.fromstring(f"<t>{text}</t>").text or ""
    except etree.XMLSyntaxError as exc:
        raise UnsupportedMarkup from exc


def _pieces(part: IO[bytes]) -> Iterator[list[str]]:
    """The XML between `<sheetData>` and its end, split after each row."""
    read = _texts_of(part)
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
        if len(rest) > _LONGEST_ROW:
            raise UnreadableSheet(
                "The worksheet has a row of unbelievable length; copy its rows into a new workbook."
            )
    raise UnreadableSheet("The worksheet is damaged: it ends in the middle of its rows.")


def _texts_of(part: IO[bytes]) -> Iterator[str]:
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


_STRING: Final = re.compile(r'<si><t(?:\s+xml:space="preserve")?>([^<]*)</t></si>')


def plain_strings(part: IO[bytes]) -> Iterator[str]:
    """The shared strings as cells show them; much faster than `xlsx_reader.shared_strings`.

    Raises:
        UnsupportedMarkup: a full parser has to read them.

    """
    texts = _texts_of(part)
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
        if len(rest) > _LONGEST_ROW:
            raise UnsupportedMarkup
    if rest.strip() not in {"</sst>", ""}:
        raise UnsupportedMarkup


def _whole_strings(xml: str) -> Iterator[str]:
    found = _STRING.findall(xml)
    if xml.count("<") != 4 * len(found):
        raise UnsupportedMarkup
    return (cell_text(_unescape(text)) for text in found)


_FORMULA: Final = "\0formula"
"""Appended to the attributes of a formula cell, so that it is cached separately."""
_CACHED: Final = 8192
"""Values cached for each style and type; most cells of a sheet repeat a few."""
_ATTRIBUTE: Final = re.compile(r'\s+([\w:]+)="([^"<>&]*)"')


class _Kind(dict[str, Cell]):
    """Stored text → cell, for the cells of one type and style."""

    def __init__(self, values: StoredValues, attributes: str) -> None:
        super().__init__()
        plain = attributes.removesuffix(_FORMULA)
        pairs = _ATTRIBUTE.findall(plain)
        known = dict(pairs)
        style = known.get("s", "0")
        is_usual = len(known) == len(pairs) and "r" not in known and style.isdecimal()
        if _ATTRIBUTE.sub("", plain).strip() or not is_usual:
            raise UnsupportedMarkup
        self._values = values
        self._kind, self._style = known.get("t", "n"), int(style)
        self._is_formula = plain != attributes
        self.is_inline = self._kind == "inlineStr"

    def __missing__(self, stored: str) -> Cell:
        try:
            cell = self._read(stored)
        except (ValueError, OverflowError, IndexError) as exc:
            raise UnsupportedMarkup from exc
        if len(self) < _CACHED:
            self[stored] = cell
        return cell

    def _read(self, stored: str) -> Cell:
        if self._is_formula:
            stored, _, formula = stored.partition("\0")
            unsaved = self._values.unsaved(self._kind, stored, _unescape(formula))
            if unsaved:
                return unsaved
        if not stored:
            return None
        return self._values.cell(self._kind, self._style, _unescape(stored))


class _Kinds(dict[str, _Kind]):
    """Attributes as the XML has them → reader of cells with these attributes."""

    def __init__(self, values: StoredValues) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, attributes: str) -> _Kind:
        if len(self) >= _CACHED:
            raise UnsupportedMarkup
        self[attributes] = kind = _Kind(self._values, attributes)
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


def chunks(part: IO[bytes], values: StoredValues, found: ScanState) -> Iterator[Chunk]:
    """The rows of a worksheet's XML, some hundreds at a time; updates `found` on the way.

    Raises:
        UnsupportedMarkup: a full parser has to read the rows after `found.last_row`.
        UnreadableSheet: the rows contradict each other.

    """
    rows = _Rows(values, found)
    for some in _pieces(part):
        chunk = rows.chunk(some)
        if chunk[0]:
            yield chunk
        if rows.is_unsupported:
            raise UnsupportedMarkup


class _Rows:
    def __init__(self, values: StoredValues, found: ScanState) -> None:
        self._kinds = _Kinds(values)
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
        row = row_number(number, self._found.last_row)
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
        before: set[str] = set()
        for letters, *_ in found:
            if letters in before:
                raise xlsx_reader.stored_twice(f"{letters}{self._found.last_row}")
            before.add(letters)

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
        return letters, attributes + _FORMULA, f"{value or inline}\0{formula}", ""
    if ' t="inlineStr"' in attributes:
        return letters, attributes, "", inline
    return letters, attributes, value, ""
