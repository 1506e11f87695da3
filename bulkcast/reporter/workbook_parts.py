"""Workbook parts that a result changes or must leave room for: styles, tables, names, formulas."""

import html
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from zipfile import ZipFile

from lxml import etree
from lxml.builder import ElementMaker
from openpyxl.utils import absolute_coordinate, column_index_from_string
from openpyxl.worksheet.cell_range import CellRange

from bulkcast import ooxml
from bulkcast.errors import UnreadableSheet
from bulkcast.reporter.result_columns import COLOURS, MARK, USER_COLUMNS_MAX, title

PART_MAX: Final = 64 * 2**20
"""Bytes of a part that is parsed as a tree; larger parts are refused as hostile."""


class Unpatchable(ValueError):
    """The workbook cannot be patched; it has to be written anew."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a workbook that results affect, and the drawings on its sheet."""

    workbook: str
    styles: str
    sheet: ooxml.Tab
    drawings: tuple[str, ...]
    tables: tuple[str, ...]


def find_parts(book: ZipFile, tab: str | None) -> Parts:
    """The parts of the worksheet called `tab`, or of the first worksheet.

    Raises:
        KeyError, Unpatchable: a part is missing.

    """
    workbook = ooxml.workbook_part(book)
    sheets = ooxml.tabs(read(book, workbook), ooxml.related(book, workbook, "worksheet"))
    sheet = next((found for found in sheets if tab in {None, found.name}), None)
    styles = ooxml.first_related(book, workbook, "styles")
    if sheet is None or styles is None:
        raise Unpatchable(f"no worksheet {tab}, or no styles")
    beside: dict[str, tuple[str, ...]] = {"drawing": (), "table": ()}
    with suppress(KeyError):  # most worksheets have no relations
        for kind in beside:
            beside[kind] = tuple(ooxml.related(book, sheet.part, kind, PART_MAX).values())
    return Parts(workbook, styles, sheet, beside["drawing"], beside["table"])


def read(book: ZipFile, part: str) -> Any:
    """Parse one part.

    Raises:
        Unpatchable: there is no such part, or it is larger than `PART_MAX`.

    """
    try:
        return ooxml.parse_part(book, part, PART_MAX)
    except (KeyError, UnreadableSheet) as exc:
        raise Unpatchable(str(exc)) from exc


def columns_under_drawings(book: ZipFile, parts: Parts) -> int:
    """Columns from A on that drawings cover; new column widths would stretch these."""
    roots = (read(book, drawing) for drawing in parts.drawings)
    return max(
        (_anchor_reach(anchor) for root in roots for anchor in root.iter(*_ANCHORS)), default=0
    )


_ANCHORS: Final = ("{*}twoCellAnchor", "{*}oneCellAnchor", "{*}absoluteAnchor")
"""Searched at any depth: controls, slicers and newer charts are in an AlternateContent."""
_EMU_PER_COLUMN: Final = 609_600
"""Width of a default column, 64 pixels, in the unit of drawings."""


def _anchor_reach(anchor: etree._Element) -> int:
    columns = [int(c.text or "0") + 1 for c in anchor.iterfind("{*}*/{*}col")]
    at, extent = anchor.find("{*}pos"), anchor.find("{*}ext")
    left = 0 if at is None else int(at.get("x", "0"))
    over = 0 if extent is None else int(extent.get("cx", "0"))
    return max(columns, default=0) + (left + over) // _EMU_PER_COLUMN


# ------------------------------------------------------------------ styles

_AFTER_DXFS: Final = ("tableStyles", "colors", "extLst")
_TEXT_FORMAT: Final = "49"
"""Id of the built-in number format `@`, text."""


@dataclass(frozen=True, slots=True)
class Formats:
    """Indices of the formats of result cells in a workbook's styles."""

    text: int
    """Index of the cell format."""
    colours: Mapping[str, int]
    """Meaning → index of the differential format for conditional formatting."""


def add_formats(styles: etree._Element) -> Formats:
    """Add missing formats to `styles`, a parsed part; a second call adds nothing.

    Raises:
        Unpatchable: the part has no cell formats.

    """
    formats = styles.find("{*}cellXfs")
    if formats is None or not len(formats):
        raise Unpatchable("styles without cell formats")
    default, make = formats[0], maker(styles)
    looks = {name: default.get(name, "0") for name in ("fontId", "fillId", "borderId", "xfId")}
    text = make.xf(looks | {"numFmtId": _TEXT_FORMAT, "applyNumberFormat": "1"})
    dxfs = _dxfs(styles, make)
    colours = {m: _index(dxfs, _dxf(make, *pair)) for m, pair in COLOURS.items()}
    return Formats(_index(formats, text), colours)


def maker(root: etree._Element) -> ElementMaker:
    """Makes elements in the namespace of `root`."""
    return ElementMaker(namespace=etree.QName(root).namespace)


def _dxfs(styles: etree._Element, make: ElementMaker) -> etree._Element:
    found = styles.find("{*}dxfs")
    if found is not None:
        return found
    made: etree._Element = make.dxfs()
    later = [c for c in styles if etree.QName(c).localname in _AFTER_DXFS]
    styles.insert(styles.index(later[0]) if later else len(styles), made)
    return made


def _dxf(make: ElementMaker, background: str, text: str) -> etree._Element:
    # Excel and LibreOffice take the background of a differential fill from bgColor.
    colours = make.fgColor(rgb=background), make.bgColor(rgb=background)
    fill = make.fill(make.patternFill(*colours, patternType="solid"))
    dxf: etree._Element = make.dxf(make.font(make.color(rgb=text)), fill)
    return dxf


def _index(parent: etree._Element, child: etree._Element) -> int:
    """The index of `child` in `parent`; appends it unless there is an equal one."""
    wanted = _shape(child)
    for index, other in enumerate(parent):
        if _shape(other) == wanted:
            return index
    parent.append(child)
    parent.set("count", str(len(parent)))
    return len(parent) - 1


def _shape(element: etree._Element) -> object:
    return element.tag, sorted(element.attrib.items()), [_shape(child) for child in element]


# ------------------------------------------------------------------ filters and tables


def block(ref: str) -> CellRange | None:
    """The block of cells `ref`; None for anything else, such as whole columns."""
    try:
        return CellRange(ref)
    except (TypeError, ValueError):  # what openpyxl raises
        return None


def extended(ref: str, header_row: int, columns: Collection[int]) -> str | None:
    """The block `ref` with those of `columns`, from 0, that follow it without a gap.

    None if there are none, or if the block does not begin at the header.

    >>> extended("$A$5:$C$9", 5, {3, 4, 7})
    'A5:E9'
    """
    cells = block(ref)
    if cells is None or cells.min_row != header_row:
        return None
    end = cells.max_col
    while end in columns:
        end += 1
    if end == cells.max_col:
        return None
    cells.expand(right=end - cells.max_col)
    return cells.coord


def extend(element: etree._Element | None, header_row: int, columns: Collection[int]) -> None:
    """Extend the `ref` of `element`, if there is one, over `columns`."""
    if element is not None and (ref := extended(element.get("ref", ""), header_row, columns)):
        element.set("ref", ref)


def extend_filter_name(
    workbook: etree._Element, sheet: int, header_row: int, columns: Collection[int]
) -> None:
    """Extend Excel's hidden name for the filter of sheet `sheet`."""
    for name in workbook.iter("{*}definedName"):
        if (name.get("name"), name.get("localSheetId")) == ("_xlnm._FilterDatabase", str(sheet)):
            tab, _, ref = (name.text or "").rpartition("!")
            if new := extended(ref, header_row, columns):
                name.text = f"{tab}!{absolute_coordinate(new)}"


def extend_table(table: etree._Element, header_row: int, columns: Mapping[int, str]) -> str | None:
    """Add adjacent result columns to `table`; return its name if it could not be extended.

    A query that fills a table would remove the columns; with totals each column needs one.
    """
    ref, held = table.get("ref", ""), table.find("{*}tableColumns")
    new = extended(ref, header_row, columns)
    if held is None or new is None:
        return None
    added = [title(columns[i]) for i in range(CellRange(ref).max_col, CellRange(new).max_col)]
    if not _is_extensible(table, held, added):
        return table.get("displayName", "")
    following = max((int(column.get("id", "0")) for column in held), default=0) + 1
    for number, name in enumerate(added, start=following):
        held.append(maker(table).tableColumn(id=str(number), name=name))
    held.set("count", str(len(held)))
    extend(table, header_row, columns)
    extend(table.find("{*}autoFilter"), header_row, columns)
    return None


def _is_extensible(table: etree._Element, held: etree._Element, added: Collection[str]) -> bool:
    names = {column.get("name", "").casefold() for column in held} | set(added)
    return (
        table.get("tableType", "worksheet") == "worksheet"
        and table.get("headerRowCount", "1") == "1"
        and table.get("totalsRowCount", "0") == "0"
        and len(names) == len(held) + len(added)
    )


# ------------------------------------------------------------------ formulas

_CHUNK: Final = 1 << 20
_FORMULA_MAX: Final = 1 << 17
"""Bytes; a formula has at most 8,192 characters (Microsoft, Excel specifications and limits)."""

_FORMULAS: Final = re.compile(
    rb"<(?:[\w.-]+:)?(f|formula[12]?|definedName|calculatedColumnFormula)"
    rb"(\s[^<>]*)?(?<!/)>([^<]+)</"
)
_BUILTIN_NAME: Final = re.compile(rb'\sname\s*=\s*["\']_xlnm\.')
"""Built-in names such as filters and print areas; no value depends on them."""
_SPREAD: Final = re.compile(rb'\sref\s*=\s*["\']([A-Z]{1,3})[0-9]+:([A-Z]{1,3})[0-9]+["\']')

# Repetitions are bounded, so that no crafted formula takes long.
_TEXT: Final = re.compile('"[^"]*"')
_REFERENCE: Final = re.compile(
    r"(?<![\w.$!'\]])(?:(?P<tab>'(?:[^']|''){1,300}'|[^\s'!\"(),;:+*/^&=<>{}-][^\s'!\"(),;+*/^&=<>{}-]{0,300})!)?"
    r"(?:\$?(?P<first>[A-Z]{1,3})\$?[0-9]{1,7}(?::\$?(?P<last>[A-Z]{1,3})\$?[0-9]{1,7})?"
    r"|\$?[A-Z]{1,3}:\$?(?P<whole>[A-Z]{1,3}))(?![\w.(!])"
)


def columns_in(xml: bytes, tab: str, *, here: bool) -> int:
    """Columns up to the last one of the sheet `tab` that a formula in `xml` refers to.

    References such as `A:XFD`, which leave no room after them, are ignored.  `here` says that the
    formulas are on that sheet, so that `B5` means a cell of it.

    >>> columns_in(b"<f>AVERAGE(B5:J5)</f>", "Classes", here=True)
    10
    >>> columns_in(b"<c:f>Classes!$B$5:$D$5</c:f><f>J5</f>", "Classes", here=False)
    4
    """
    return max(
        (_formula_reach(found, tab, here=here) for found in _FORMULAS.finditer(xml)), default=0
    )


def _formula_reach(found: re.Match[bytes], tab: str, *, here: bool) -> int:
    attributes = found[2] or b""
    if found[1] == b"definedName" and _BUILTIN_NAME.search(attributes):
        return 0
    formula = html.unescape(found[3].decode("utf-8", "replace"))
    reach = 0 if MARK in formula else columns_of(formula, tab, here=here)
    if reach and (spread := _SPREAD.search(attributes)):
        # The last cell that shares a formula refers further to the right.
        first, last = (column_index_from_string(c.decode()) for c in spread.groups())
        reach += last - first
    return reach if reach <= USER_COLUMNS_MAX else 0


def columns_of(formula: str, tab: str, *, here: bool) -> int:
    """Columns up to the last one of the sheet `tab` that `formula` refers to.

    >>> columns_of("SUM('My ''tab'!B:J, LOG10(ZZ1))", "My 'tab", here=False)
    10
    >>> columns_of("SUM(A:XFD) + Other!AB7", "Classes", here=True)
    0
    """
    references = _REFERENCE.finditer(_TEXT.sub('""', formula))
    ends = (
        column_index_from_string(r["whole"] or r["last"] or r["first"])
        for r in references
        if _is_of(r["tab"], tab, here=here)
    )
    return max((end for end in ends if end <= USER_COLUMNS_MAX), default=0)


def _is_of(named: str | None, tab: str, *, here: bool) -> bool:
    if named is None:
        return here
    named = named.strip("'").replace("''", "'")
    # `First:Last!B5` refers to all sheets between the two, so it may include this one.
    return named.casefold() == tab.casefold() or (":" in named and "[" not in named)


def columns_elsewhere(book: ZipFile, sheet: ooxml.Tab) -> int:
    """Like `columns_in` for all parts of the workbook except `sheet` itself."""
    parts = (name for name in book.namelist() if name.lower().endswith(".xml"))
    chunks = (chunk for part in parts if part != sheet.part for chunk in _chunks(book, part))
    return max(
        (columns_in(chunk, sheet.name, here=False) for chunk in chunks if b"!" in chunk), default=0
    )


def _chunks(book: ZipFile, part: str) -> Iterator[bytes]:
    """The part in overlapping pieces, so that every formula is complete in one of them."""
    with book.open(part) as file:
        held = b""
        while read := file.read(_CHUNK):
            yield held + read
            held = (held + read)[-_FORMULA_MAX:]
