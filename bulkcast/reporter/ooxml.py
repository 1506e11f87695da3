"""Reads and changes the parts of a workbook: relationships, styles, ranges, formulas, frames."""

import html
import posixpath
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final, Self
from zipfile import ZipFile

from lxml import etree

from bulkcast.model import COLUMNS_MAX, column_letters
from bulkcast.reporter.result_columns import (
    FIELDS,
    MARK,
    WIDTHS,
    Area,
    column_index,
    rules,
    title,
)

PART_MAX: Final = 64 * 2**20
"""Bytes of a part that is parsed as a tree; larger parts are refused as hostile."""

_R: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_R_STRICT: Final = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"


class Unpatchable(ValueError):
    """The workbook cannot be patched; it has to be written anew."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a workbook that results affect, and the drawings on its sheet."""

    workbook: str
    sheet: str
    tab: str
    """The sheet's name."""
    index: int
    """Index of the sheet in the workbook, from 0."""
    styles: str
    drawings: tuple[str, ...]
    tables: tuple[str, ...]


def parse(raw: bytes) -> etree._Element:
    """Parse one part; no entities are resolved and nothing outside is read."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(raw, parser)


def read(book: ZipFile, part: str) -> bytes:
    """Read one small part.

    Raises:
        Unpatchable: there is no such part, or it is larger than `PART_MAX`.

    """
    name = _entry(book, part)
    if name is None:
        raise Unpatchable(f"no part {part}")
    if book.getinfo(name).file_size > PART_MAX:
        raise Unpatchable(f"{part} is too large")
    return book.read(name)


def _entry(book: ZipFile, part: str) -> str | None:
    """The part's name in the zip, which may differ in letter case and slashes."""
    if part in book.NameToInfo:
        return part
    wanted = _fold_name(part)
    return next((name for name in book.namelist() if _fold_name(name) == wanted), None)


def _fold_name(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").casefold()


def find_parts(book: ZipFile, tab: str | None) -> Parts:
    """The parts of the worksheet called `tab`, or of the first worksheet.

    Raises:
        Unpatchable: a part is missing.

    """
    main = _first(book, "", "/officeDocument")
    index, name, sheet_id = _sheet_id(parse(read(book, main)), tab)
    of_main = {r.id: r.part for r in _relations(book, main)}
    if sheet_id not in of_main:
        raise Unpatchable(f"no worksheet {tab}")
    sheet = of_main[sheet_id]
    beside = tuple(_relations(book, sheet))
    return Parts(
        workbook=main,
        sheet=sheet,
        tab=name,
        index=index,
        styles=_first(book, main, "/styles"),
        drawings=tuple(r.part for r in beside if r.kind.endswith("/drawing")),
        tables=tuple(r.part for r in beside if r.kind.endswith("/table")),
    )


@dataclass(frozen=True, slots=True)
class _Relation:
    id: str
    kind: str
    part: str


def _first(book: ZipFile, part: str, kind: str) -> str:
    for relation in _relations(book, part):
        if relation.kind.endswith(kind):
            return relation.part
    raise Unpatchable(f"no part of kind {kind}")


def _relations(book: ZipFile, part: str) -> Iterator[_Relation]:
    """The internal relations of a part; `""` is the package.  Targets may begin with a slash."""
    folder, name = posixpath.split(part.replace("\\", "/"))
    rels = posixpath.join(folder, "_rels", f"{name}.rels")
    if _entry(book, rels) is None:
        return
    for r in parse(read(book, rels)):
        target = r.get("Target", "").replace("\\", "/")
        if r.get("TargetMode") != "External":
            resolved = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            held = _entry(book, resolved) or resolved
            yield _Relation(r.get("Id", ""), r.get("Type", ""), held)


def _sheet_id(workbook: etree._Element, tab: str | None) -> tuple[int, str, str | None]:
    """The index of the sheet, its name, and the relation id of its part."""
    for index, sheet in enumerate(workbook.iter("{*}sheet")):
        if tab is None or sheet.get("name") == tab:
            return index, sheet.get("name", ""), sheet.get(_R) or sheet.get(_R_STRICT)
    return 0, "", None


def columns_under_drawings(book: ZipFile, parts: Parts) -> int:
    """Columns from A on that drawings cover; new column widths would stretch these."""
    roots = (parse(read(book, drawing)) for drawing in parts.drawings)
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


_AFTER_DXFS: Final = ("tableStyles", "colors", "extLst")
_TEXT_FORMAT: Final = "49"
"""Id of the built-in number format `@`, text."""

COLOURS: Final = {
    "problem": ("FFFFC7CE", "FF9C0006"),
    "good": ("FFC6EFCE", "FF006100"),
    "unsure": ("FFFFEB9C", "FF7F6000"),
    "idle": ("FFE7E6E6", "FF595959"),
}
"""Meaning → background and text colour, ARGB: Excel's bad, good and neutral, and grey."""


@dataclass(frozen=True, slots=True)
class Added:
    """Indices of the formats in the patched styles."""

    text: int
    """Index of the cell format for result cells."""
    colours: dict[str, int]
    """Meaning → index of the differential format for conditional formatting."""


def extend(root: etree._Element) -> Added:
    """Add missing formats to `root`, a parsed styles part; a second call adds nothing.

    Raises:
        Unpatchable: the part has no cell formats.

    """
    formats = root.find("{*}cellXfs")
    if formats is None or not len(formats):
        raise Unpatchable("styles without cell formats")
    text = _index(formats, _text_format(formats))
    dxfs = _dxfs(root)
    colours = {m: _index(dxfs, _dxf(root, *pair)) for m, pair in COLOURS.items()}
    return Added(text, colours)


def _text_format(formats: etree._Element) -> etree._Element:
    """The workbook's default format, as text at the top of its cell."""
    default = formats[0]
    xf = etree.Element(default.tag)
    for name in ("fontId", "fillId", "borderId", "xfId"):
        xf.set(name, default.get(name, "0"))
    xf.set("numFmtId", _TEXT_FORMAT)
    xf.set("applyNumberFormat", "1")
    return xf


def _dxfs(root: etree._Element) -> etree._Element:
    found = root.find("{*}dxfs")
    if found is not None:
        return found
    made = etree.Element(_tag(root, "dxfs"))
    later = [c for c in root if etree.QName(c).localname in _AFTER_DXFS]
    root.insert(root.index(later[0]) if later else len(root), made)
    return made


def _dxf(root: etree._Element, background: str, text: str) -> etree._Element:
    dxf = etree.Element(_tag(root, "dxf"))
    font = etree.SubElement(dxf, _tag(root, "font"))
    etree.SubElement(font, _tag(root, "color"), rgb=text)
    pattern = etree.SubElement(
        etree.SubElement(dxf, _tag(root, "fill")), _tag(root, "patternFill"), patternType="solid"
    )
    # Excel and LibreOffice take the background of a differential fill from bgColor.
    etree.SubElement(pattern, _tag(root, "fgColor"), rgb=background)
    etree.SubElement(pattern, _tag(root, "bgColor"), rgb=background)
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


def _tag(root: etree._Element, name: str) -> str:
    return f"{{{etree.QName(root).namespace}}}{name}"


_REF: Final = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?")


@dataclass(frozen=True, slots=True)
class Range:
    """A block of cells: columns counted from 0, rows as a spreadsheet shows them, ends included."""

    first_column: int
    first_row: int
    last_column: int
    last_row: int

    @classmethod
    def parse(cls, ref: str) -> Self | None:
        """Parse `ref`; None if it is no plain block, such as whole columns.

        >>> Range.parse("A1:C5")
        Range(first_column=0, first_row=1, last_column=2, last_row=5)
        """
        found = _REF.fullmatch(ref)
        if found is None:
            return None
        left, top, right, bottom = found.groups()
        return cls(column_index(left), int(top), column_index(right or left), int(bottom or top))

    def grown(self, header_row: int, columns: Collection[int]) -> Self:
        """The block extended over the `columns` that follow it without a gap.

        Unchanged if its first row is not the header.
        """
        last = self.last_column
        while self.first_row == header_row and last + 1 in columns:
            last += 1
        return type(self)(self.first_column, self.first_row, last, self.last_row)

    def ref(self, mark: str = "") -> str:
        """The reference as text; `mark` is `$` in defined names."""
        first = f"{mark}{column_letters(self.first_column)}{mark}{self.first_row}"
        return f"{first}:{mark}{column_letters(self.last_column)}{mark}{self.last_row}"


def grow(element: etree._Element | None, header_row: int, columns: Collection[int]) -> bool:
    """Extend the `ref` of `element` over `columns`; return whether it changed."""
    old = None if element is None else Range.parse(element.get("ref", ""))
    if element is None or old is None:
        return False
    new = old.grown(header_row, columns)
    if new != old:
        element.set("ref", new.ref())
    return new != old


def grow_filter_name(
    workbook: etree._Element, sheet: int, header_row: int, columns: Collection[int]
) -> bool:
    """Extend Excel's hidden name for the filter of sheet `sheet`; return whether it changed."""
    for name in workbook.iter("{*}definedName"):
        is_filter = name.get("name") == "_xlnm._FilterDatabase"
        if not is_filter or name.get("localSheetId") != str(sheet):
            continue
        tab, _, ref = (name.text or "").rpartition("!")
        old = Range.parse(ref)
        if old is not None and (new := old.grown(header_row, columns)) != old:
            name.text = f"{tab}!{new.ref('$')}"
            return True
    return False


def grow_table(table: etree._Element, header_row: int, columns: Mapping[int, str]) -> str | None:
    """Add adjacent result columns to `table`; return its name if it could not be extended.

    A query that fills a table would remove the columns; with totals each column needs one.
    """
    area = Range.parse(table.get("ref", ""))
    held = table.find("{*}tableColumns")
    if area is None or held is None:
        return None
    grown = area.grown(header_row, columns)
    added = [title(columns[i]) for i in range(area.last_column + 1, grown.last_column + 1)]
    if not added:
        return None
    if not _may_grow(table, held, added):
        return table.get("displayName", "")
    following = max((int(column.get("id", "0")) for column in held), default=0) + 1
    for number, name in enumerate(added, start=following):
        tag = f"{{{etree.QName(table).namespace}}}tableColumn"
        etree.SubElement(held, tag, id=str(number), name=name)
    held.set("count", str(len(held)))
    grow(table, header_row, columns)
    grow(table.find("{*}autoFilter"), header_row, columns)
    return None


def _may_grow(table: etree._Element, held: etree._Element, added: Collection[str]) -> bool:
    names = {column.get("name", "").casefold() for column in held} | set(added)
    return (
        table.get("tableType", "worksheet") == "worksheet"
        and table.get("headerRowCount", "1") == "1"
        and table.get("totalsRowCount", "0") == "0"
        and len(names) == len(held) + len(added)
    )


_PLACE: Final = b"bulkcast:rows:7e1f0c52"
"""Placeholder for the rows; no real worksheet contains it."""

_AFTER_FORMATS: Final = frozenset({
    "dataValidations", "hyperlinks", "printOptions", "pageMargins", "pageSetup", "headerFooter",
    "rowBreaks", "colBreaks", "customProperties", "cellWatches", "ignoredErrors", "smartTags",
    "drawing", "drawingHF", "legacyDrawing", "legacyDrawingHF", "picture", "oleObjects", "controls",
    "webPublishItems", "tableParts", "extLst", "AlternateContent",
})  # fmt: skip
"""Elements after conditional formats in a worksheet (ECMA-376, part 1, CT_Worksheet)."""


_MERGED_MOST: Final = COLUMNS_MAX - len(FIELDS)
"""Merged ranges that reach further leave no room for results and are ignored."""


class Frame:
    """A worksheet without its rows."""

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._root = parse(head + _PLACE + tail)
        if (self._root.getroottree().docinfo.encoding or "UTF-8").upper() not in {"UTF-8", "ASCII"}:
            raise Unpatchable("a worksheet that is not UTF-8")

    def halves(self) -> tuple[bytes, bytes]:
        """The XML before and after the rows."""
        raw = etree.tostring(self._root, xml_declaration=True, encoding="UTF-8", standalone=True)
        head, found, tail = raw.partition(_PLACE)
        if not found or _PLACE in tail:
            raise Unpatchable("a worksheet that says our own mark")
        return head, tail

    def _tag(self, name: str) -> str:
        return f"{{{etree.QName(self._root).namespace}}}{name}"

    def _rows(self) -> etree._Element:
        rows = self._root.find("{*}sheetData")
        if rows is None:
            raise Unpatchable("rows that are not in a worksheet")
        return rows

    def stretch(self, columns: Collection[int], last_row: int) -> None:
        """Extend the recorded dimension to `columns` and `last_row`, if there is one."""
        dimension = self._root.find("{*}dimension")
        if dimension is not None:
            recorded = re.search("[0-9]{1,7}$", dimension.get("ref", ""))
            last = max(last_row, int(recorded[0]) if recorded else 1)
            dimension.set("ref", f"A1:{column_letters(max(columns))}{last}")

    def widen(self, columns: Mapping[int, str]) -> None:
        """Set the widths of result columns; wider column definitions are split."""
        cols = self._root.find("{*}cols")
        if cols is None:
            cols = etree.Element(self._tag("cols"))
            self._rows().addprevious(cols)
        for index, field in columns.items():
            _cut_out(cols, index + 1)
            width = {"width": str(WIDTHS[field]), "customWidth": "1"}
            place = {"min": str(index + 1), "max": str(index + 1)}
            etree.SubElement(cols, self._tag("col"), place | width)
        cols[:] = sorted(cols, key=lambda col: int(col.get("min", "0")))

    def reach(self, rows: Sequence[int], width: int) -> int:
        """Columns up to the end of merged ranges that begin in the first `width` ones.

        No program shows cells inside a merged range.  Only ranges in `rows`, sorted, count.
        """
        reach = width
        for area in self._merged():
            at = bisect_left(rows, area.first_row)
            meets = at < len(rows) and rows[at] <= area.last_row
            if meets and area.first_column < width and area.last_column < _MERGED_MOST:
                reach = max(reach, area.last_column + 1)
        return reach

    def _merged(self) -> Iterator[Range]:
        for cell in self._root.iter("{*}mergeCell"):
            if area := Range.parse(cell.get("ref", "")):
                yield area

    def stretch_filter(self, header_row: int, columns: Collection[int]) -> None:
        """Extend the sheet's filter over adjacent result columns."""
        grow(self._root.find("{*}autoFilter"), header_row, columns)

    def colour(self, area: Area, formats: Mapping[str, int]) -> None:
        """Add our conditional formats after the user's own; remove those of an earlier run."""
        for old in self._root.findall("{*}conditionalFormatting"):
            # Spreadsheet programs group rules of the same cells, ours with the user's.
            for held in old.findall("{*}cfRule"):
                if MARK in "".join(map(str, held.itertext())):
                    old.remove(held)
            if old.find("{*}cfRule") is None:
                self._root.remove(old)
        priority = self._last_priority()
        behind = self._rows().itersiblings()
        following = next((c for c in behind if _name(c) in _AFTER_FORMATS), None)
        for number, rule in enumerate(rules(area), start=priority + 1):
            made = etree.Element(self._tag("conditionalFormatting"), sqref=rule.cells)
            attributes = {"type": "expression", "dxfId": str(formats[rule.meaning])}
            ours = etree.SubElement(
                made, self._tag("cfRule"), attributes | {"priority": str(number)}
            )
            etree.SubElement(ours, self._tag("formula")).text = rule.formula
            if following is None:
                self._root.append(made)
            else:
                following.addprevious(made)

    def _last_priority(self) -> int:
        """The highest priority number in use, including newer kinds of rules."""
        found = (rule.get("priority", "0") for rule in self._root.iter("{*}cfRule"))
        return max((int(p) for p in found), default=0)


def _name(element: etree._Element) -> str:
    """The element's name without its namespace; empty for a comment."""
    return str(element.tag).rpartition("}")[2]


def _cut_out(cols: etree._Element, number: int) -> None:
    """Remove column `number`, from 1, from every column definition that includes it."""
    for col in list(cols):
        low, high = int(col.get("min", "0")), int(col.get("max", "0"))
        if not low <= number <= high:
            continue
        for start, end in ((low, number - 1), (number + 1, high)):
            if start <= end:
                part = deepcopy(col)
                part.set("min", str(start))
                part.set("max", str(end))
                col.addprevious(part)
        cols.remove(col)


_CHUNK: Final = 1 << 20
_FORMULA_MAX: Final = 1 << 17
"""Bytes; a formula has at most 8,192 characters (Microsoft, Excel specifications and limits)."""

_MOST: Final = COLUMNS_MAX - len(FIELDS)
"""References that reach further, such as `A:XFD`, are ignored: no room is left after them."""

_FORMULAS: Final = re.compile(
    rb"<(?:[\w.-]+:)?(f|formula[12]?|definedName|calculatedColumnFormula)"
    rb"(\s[^<>]*)?(?<!/)>([^<]+)</"
)
_OWN_NAME: Final = re.compile(rb'\sname\s*=\s*["\']_xlnm\.')
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

    `here` says that the formulas are on that sheet, so that `B5` means a cell of it.

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
    if found[1] == b"definedName" and _OWN_NAME.search(attributes):
        return 0
    formula = html.unescape(found[3].decode("utf-8", "replace"))
    reach = 0 if MARK in formula else columns_of(formula, tab, here=here)
    if reach and (spread := _SPREAD.search(attributes)):
        # The last cell that shares a formula refers further to the right.
        first, last = (column_index(letters.decode()) for letters in spread.groups())
        reach += last - first
    return reach if reach <= _MOST else 0


def columns_of(formula: str, tab: str, *, here: bool) -> int:
    """Columns up to the last one of the sheet `tab` that `formula` refers to.

    >>> columns_of("SUM('My ''tab'!B:J, LOG10(ZZ1))", "My 'tab", here=False)
    10
    >>> columns_of("SUM(A:XFD) + Other!AB7", "Classes", here=True)
    0
    """
    references = _REFERENCE.finditer(_TEXT.sub('""', formula))
    ends = (column_index(_end(r)) + 1 for r in references if _is_of(r["tab"], tab, here=here))
    return max((end for end in ends if end <= _MOST), default=0)


def _end(reference: re.Match[str]) -> str:
    return str(reference["whole"] or reference["last"] or reference["first"])


def _is_of(named: str | None, tab: str, *, here: bool) -> bool:
    if named is None:
        return here
    named = named.strip("'").replace("''", "'")
    # `First:Last!B5` refers to all sheets between the two, so it may include this one.
    return named.casefold() == tab.casefold() or (":" in named and "[" not in named)


def columns_elsewhere(book: ZipFile, sheet: str, tab: str) -> int:
    """Like `columns_in` for all parts of the workbook except `sheet`, the part of `tab`."""
    parts = (i.filename for i in book.infolist() if i.filename.lower().endswith(".xml"))
    chunks = (chunk for part in parts if part != sheet for chunk in _chunks(book, part))
    return max((columns_in(chunk, tab, here=False) for chunk in chunks if b"!" in chunk), default=0)


def _chunks(book: ZipFile, part: str) -> Iterator[bytes]:
    """The part in overlapping pieces, so that every formula is complete in one of them."""
    with book.open(part) as file:
        held = b""
        while read := file.read(_CHUNK):
            yield held + read
            held = (held + read)[-_FORMULA_MAX:]
