"""Office Open XML: the parts of a package, the worksheets of a workbook, cell values by format."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Final
from zipfile import ZipFile

from lxml import etree
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_timedelta_format
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel
from openpyxl.utils.escape import unescape

from bulkcast.errors import UnreadableSheet
from bulkcast.model import Cell, FlaggedCell

# ------------------------------------------------------------------ the package

_STRICT: Final = "http://purl.oclc.org/ooxml"
LARGEST_PART: Final = 8 * 2**20
"""Bytes of a part that is parsed as one tree; in real workbooks it has some kilobytes."""
_TRUE: Final = frozenset({"1", "true"})


@dataclass(frozen=True, slots=True)
class Tab:
    """A worksheet, and the part that holds its cells."""

    name: str
    is_visible: bool
    part: str
    """Empty if the file does not contain it."""
    index: int
    """Its place among all sheets, from 0."""


@dataclass(frozen=True, slots=True)
class Package:
    """The structure of a workbook: everything but the cells."""

    tabs: tuple[Tab, ...]
    epoch: datetime
    """The day from which dates are counted."""
    placeholder: str | None
    """The value stored for formulas that were never computed; None if there is none.

    Some libraries write 0 for a value they cannot compute, and ask the program that opens the file
    to recompute everything: such a 0 would switch settings off.
    """
    formats: tuple[str, ...]
    """The number format of each style."""
    strings: str | None
    """The part that holds the shared strings."""


def read_package(packed: ZipFile) -> Package:
    """The package's structure.

    Raises:
        UnreadableSheet: the workbook is of a kind that cannot be read reliably.

    """
    workbook = workbook_part(packed)
    tree = parse_part(packed, workbook)
    if tree.tag.startswith(f"{{{_STRICT}"):
        raise UnreadableSheet(
            "The workbook is saved as Strict Open XML; save it as an ordinary .xlsx workbook."
        )
    properties = tree.find("{*}workbookPr")
    mac = properties is not None and properties.get("date1904") in _TRUE
    recalculated = any(p.get("fullCalcOnLoad") in _TRUE for p in tree.iterfind("{*}calcPr"))
    return Package(
        tuple(tabs(tree, related(packed, workbook, "worksheet"))),
        CALENDAR_MAC_1904 if mac else CALENDAR_WINDOWS_1900,
        "0" if recalculated else None,
        _formats(packed, first_related(packed, workbook, "styles")),
        first_related(packed, workbook, "sharedStrings"),
    )


def workbook_part(packed: ZipFile) -> str:
    """The part with the structure of the workbook.

    Raises:
        ValueError: there is none, or there are several.

    """
    (part,) = filter(None, related(packed, "", "officeDocument").values())
    return part


def tabs(workbook: Any, parts: Mapping[str, str]) -> Iterator[Tab]:
    """The worksheets that `workbook`, a parsed part, names; `parts` are those related to it."""
    for index, sheet in enumerate(workbook.iterfind("{*}sheets/{*}sheet")):
        relation = next((value for name, value in sheet.items() if name.endswith("}id")), "")
        if relation in parts:
            visible = sheet.get("state", "visible") == "visible"
            yield Tab(sheet.get("name", ""), visible, parts[relation], index)


def first_related(packed: ZipFile, source: str, wanted: str) -> str | None:
    """The first part that `related` finds; None if there is none."""
    return next(filter(None, related(packed, source, wanted).values()), None)


def related(
    packed: ZipFile, source: str, wanted: str, largest: int = LARGEST_PART
) -> dict[str, str]:
    """Relation id → part, for the relations of `source` whose type ends in `wanted`.

    `source` is `""` for the package itself.  A part that the file does not contain is `""`.

    Raises:
        KeyError: `source` has no relations.
        UnreadableSheet: they are longer than `largest` bytes.

    """
    folder, name = posixpath.split(source.replace("\\", "/"))
    held = entries(packed)
    parts: dict[str, str] = {}
    for relation in parse_part(packed, posixpath.join(folder, "_rels", f"{name}.rels"), largest):
        if str(relation.get("Type", "")).endswith(f"/{wanted}"):
            named = str(relation.get("Target", "")).replace("\\", "/")
            target = posixpath.normpath(posixpath.join("/", folder, named))
            parts[str(relation.get("Id", ""))] = held.get(folded(target), "")
    return parts


def entries(packed: ZipFile) -> Mapping[str, str]:
    """Folded name → name, for each part in the archive."""
    return {folded(name): name for name in packed.namelist()}


def folded(name: str) -> str:
    r"""A part's name for comparison: letter case and kind of slash do not matter.

    >>> folded(r"xl\Worksheets\Sheet1.xml")
    'xl/worksheets/sheet1.xml'
    """
    return name.replace("\\", "/").lstrip("/").casefold()


def _formats(packed: ZipFile, styles: str | None) -> tuple[str, ...]:
    if styles is None:
        return ("General",)
    tree = parse_part(packed, styles)
    own = {
        int(f.get("numFmtId")): f.get("formatCode", "")
        for f in tree.iterfind("{*}numFmts/{*}numFmt")
    }
    ids = [int(xf.get("numFmtId", "0")) for xf in tree.iterfind("{*}cellXfs/{*}xf")]
    return tuple(own.get(i) or by_id(i) for i in ids) or ("General",)


def parse_part(packed: ZipFile, name: str, largest: int = LARGEST_PART) -> Any:
    """Parse the part `name` as a tree; nothing outside the part is read.

    Raises:
        KeyError: there is no such part.
        UnreadableSheet: it is longer than `largest` bytes, or has a document type.

    """
    name = entries(packed).get(folded(name), name)
    if packed.getinfo(name).file_size > largest:
        raise UnreadableSheet(
            "The workbook's part {name} is too large to be one of a sheet.", name=name
        )
    root = parse(packed.read(name))
    if root.getroottree().docinfo.doctype:
        raise UnreadableSheet("The workbook holds a document type, which no spreadsheet writes.")
    return root


def parse(raw: bytes) -> Any:
    """Parse XML as a tree, without resolving entities or reading anything outside."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(raw, parser)


def serialized(root: Any) -> bytes:
    """The XML of a part."""
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)


# ------------------------------------------------------------------ cell values

_DATES_BY_ID: Final = (*range(27, 37), *range(50, 59), *range(71, 82))
_BUILTIN: Final[Mapping[int, str]] = {
    **dict.fromkeys(_DATES_BY_ID, "yyyy-mm-dd"),
    **BUILTIN_FORMATS,
}
"""Number formats by id.  East Asian and Thai programs use different texts for some ids, but all of
these are dates (ECMA-376, part 1, 18.8.30); a file gives the id only."""

_NOT_A_CODE: Final = re.compile(
    r'"[^"]*"|[\\_*].|\[(?!(?:h+|m+|s+)\])[^\]]*\]|general|e[+-]|G/[^;]*',
    re.IGNORECASE | re.DOTALL,
)
"""Parts of a format that are no date codes: texts, padding, colours, conditions, exponents."""
_DATE_CODE: Final = re.compile(r"[dmhyse]|aaa|g{1,3}(?=e)|bb|上午|下午|午前|午後", re.IGNORECASE)
"""`e` is the year of an era or, in Chinese, of the calendar; `aaa` is the day of the week."""


def by_id(number: int) -> str:
    """The built-in number format with this id."""
    return _BUILTIN.get(number, "General")


@lru_cache(maxsize=1024)
def is_date(number_format: str) -> bool:
    """Whether a number format shows a date or a time.

    >>> [is_date(f) for f in ("[$-804]aaaa", "e年", "0.00E+00", "General", '0"年"')]
    [True, True, False, False, False]
    """
    return _DATE_CODE.search(_NOT_A_CODE.sub("", number_format)) is not None


_EXACT_BELOW: Final = 2.0**53
_ZEROS_ONLY: Final = re.compile(r"0{2,}")
_SHOWN_WHOLE_BELOW: Final = 10**11
"""A cell in the General format shows a number of more digits as 1.23457E+11."""


def cell_of(value: object, data_type: str, number_format: str) -> Cell:
    """Convert a value to a `model.Cell`; of the file's `data_type` only `e` (error) matters."""
    match value:
        case None | bool() | datetime():
            return value
        case str() if data_type == "e":
            return FlaggedCell("cell.formula_error", shown=value)
        case str():
            return unescape(value) if "_x" in value else value
        case int() | float():
            return _number(value, number_format)
        case date():
            return datetime.combine(value, time())
        case _:
            return FlaggedCell("cell.only_a_time", shown=str(value))


def number_of(number: float, number_format: str, epoch: datetime) -> Cell:
    """Convert a number to a `model.Cell`: a date if its format shows one."""
    if not is_date(number_format):
        return cell_of(number, "n", number_format)
    is_span = is_timedelta_format(number_format)
    try:
        moment: object = from_excel(number, epoch, timedelta=is_span)
    except (OverflowError, ValueError):
        return FlaggedCell("cell.formula_error", shown="#VALUE!")
    return cell_of(moment, "d", number_format)


def _number(value: float, number_format: str) -> Cell:
    """The number, as an int if the float is exactly whole; flagged if shown shortened."""
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= _EXACT_BELOW:
            return value
        value = int(value)
    if _ZEROS_ONLY.fullmatch(number_format):
        return _zero_padded(value, len(number_format))
    if number_format == "General" and abs(value) >= _SHOWN_WHOLE_BELOW:
        return FlaggedCell("id.display_shortened", f"{value:.5E}", value, {"read": str(value)})
    return value


def _zero_padded(value: int, digits: int) -> Cell:
    shown = f"{value:0{digits}d}"
    if shown == str(value):
        return value
    return FlaggedCell("id.display_differs", shown, value, {"stored": str(value)})
