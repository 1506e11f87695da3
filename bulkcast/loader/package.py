"""The package that an xlsx workbook is: its worksheets, its styles, where they stand."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zipfile import ZipFile

from lxml import etree
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import formats

_STRICT: Final = "http://purl.oclc.org/ooxml"
_LARGEST_PART: Final = 8 * 2**20
"""Bytes of a part that is read as one tree; of real workbooks they have some kilobytes."""
_TRUE: Final = frozenset({"1", "true"})


@dataclass(frozen=True, slots=True)
class Tab:
    """A worksheet, and the part that holds its cells."""

    name: str
    is_visible: bool
    part: str
    """Empty where the file does not hold it."""


@dataclass(frozen=True, slots=True)
class Package:
    """What the parts beside the worksheets say."""

    tabs: tuple[Tab, ...]
    epoch: datetime
    """The day from which dates are counted."""
    placeholder: str | None
    """The value that stands where a formula was never computed, where the file says there is one.

    Some libraries write 0 in place of a value they cannot compute, and ask the program that opens
    the file to compute all: such a 0 would switch settings off.
    """
    formats: tuple[str, ...]
    """The number format of each style."""
    strings: str | None
    """The part that holds the shared strings."""


def look(packed: ZipFile) -> Package:
    """The package's structure.

    Raises:
        UnreadableSheet: the workbook is of a make that cannot be read truthfully.

    """
    (workbook,) = filter(None, related(packed, "", "officeDocument").values())
    tree = _parse(packed, workbook)
    if tree.tag.startswith(f"{{{_STRICT}"):
        raise UnreadableSheet(
            "The workbook is saved as Strict Open XML; save it as an ordinary .xlsx workbook."
        )
    properties = tree.find("{*}workbookPr")
    mac = properties is not None and properties.get("date1904") in _TRUE
    recalculated = any(p.get("fullCalcOnLoad") in _TRUE for p in tree.iterfind("{*}calcPr"))
    return Package(
        tuple(_tabs(tree, related(packed, workbook, "worksheet"))),
        CALENDAR_MAC_1904 if mac else CALENDAR_WINDOWS_1900,
        "0" if recalculated else None,
        _formats(packed, _first(packed, workbook, "styles")),
        _first(packed, workbook, "sharedStrings"),
    )


def _first(packed: ZipFile, source: str, wanted: str) -> str | None:
    return next(filter(None, related(packed, source, wanted).values()), None)


def _tabs(tree: Any, parts: Mapping[str, str]) -> list[Tab]:
    tabs = []
    for sheet in tree.iterfind("{*}sheets/{*}sheet"):
        relation = next((value for name, value in sheet.items() if name.endswith("}id")), "")
        if relation in parts:
            visible = sheet.get("state", "visible") == "visible"
            tabs.append(Tab(sheet.get("name", ""), visible, parts[relation]))
    return tabs


def related(packed: ZipFile, source: str, wanted: str) -> dict[str, str]:
    """The parts that `source` relates to as `wanted`, by the id of the relation."""
    folder, name = posixpath.split(source.replace("\\", "/"))
    parts: dict[str, str] = {}
    for relation in _parse(packed, posixpath.join(folder, "_rels", f"{name}.rels")):
        if str(relation.get("Type", "")).endswith(f"/{wanted}"):
            named = str(relation.get("Target", "")).replace("\\", "/")
            target = posixpath.join("/", folder, named)
            parts[str(relation.get("Id", ""))] = posixpath.normpath(target).lstrip("/")
    held = entries(packed)
    return {key: held.get(folded(part), "") for key, part in parts.items()}


def entries(packed: ZipFile) -> Mapping[str, str]:
    """Folded name → name, of each part that the archive holds."""
    return {folded(name): name for name in packed.namelist()}


def folded(name: str) -> str:
    r"""A part's name as it is compared: in any letter case, and with either slash.

    >>> folded(r"xl\Worksheets\Sheet1.xml")
    'xl/worksheets/sheet1.xml'
    """
    return name.replace("\\", "/").lstrip("/").casefold()


def _formats(packed: ZipFile, styles: str | None) -> tuple[str, ...]:
    if styles is None:
        return ("General",)
    tree = _parse(packed, styles)
    own = {
        int(f.get("numFmtId")): f.get("formatCode", "")
        for f in tree.iterfind("{*}numFmts/{*}numFmt")
    }
    ids = [int(xf.get("numFmtId", "0")) for xf in tree.iterfind("{*}cellXfs/{*}xf")]
    return tuple(own.get(i) or formats.by_id(i) for i in ids) or ("General",)


def _parse(packed: ZipFile, name: str) -> Any:
    name = entries(packed).get(folded(name), name)
    if packed.getinfo(name).file_size > _LARGEST_PART:
        raise UnreadableSheet(
            "The workbook's part {name} is too large to be one of a sheet.", name=name
        )
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    with packed.open(name) as part:
        tree: Any = etree.parse(part, parser)
    if tree.docinfo.doctype:
        raise UnreadableSheet("The workbook holds a document type, which no spreadsheet writes.")
    return tree.getroot()
