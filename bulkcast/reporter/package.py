"""Parts of a workbook's zip and how they find each other (ECMA-376, part 2: relationships)."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from zipfile import ZipFile

from lxml import etree

PART_MAX: Final = 64 * 2**20
"""Bytes of a part that is held in memory as a tree; more is refused as hostile."""

_R: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_R_STRICT: Final = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"


class Unpatchable(ValueError):
    """The workbook is put together in a way that is not patched; it has to be written anew."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a workbook that a result touches, and those that float over its sheet."""

    workbook: str
    sheet: str
    tab: str
    """The sheet's name."""
    index: int
    """Of the sheet among all of the workbook's, from 0."""
    styles: str
    drawings: tuple[str, ...]
    tables: tuple[str, ...]


def parse(raw: bytes) -> etree._Element:
    """The root of one part; no entity is resolved, nothing outside it is read."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(raw, parser)


def read(book: ZipFile, part: str) -> bytes:
    """One small part, whole.

    Raises:
        Unpatchable: there is no such part, or it is larger than any honest one.

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
    wanted = _folded(part)
    return next((name for name in book.namelist() if _folded(name) == wanted), None)


def _folded(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").casefold()


def find_parts(book: ZipFile, tab: str | None) -> Parts:
    """The parts of the worksheet called `tab`, or of the first one.

    Raises:
        Unpatchable: they are not where they should be.

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
    """The inner relations of a part; `""` is the package.  A target may begin with a slash."""
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
    """Where the sheet stands among all, its name, and the id of its part."""
    for index, sheet in enumerate(workbook.iter("{*}sheet")):
        if tab is None or sheet.get("name") == tab:
            return index, sheet.get("name", ""), sheet.get(_R) or sheet.get(_R_STRICT)
    return 0, "", None


def columns_under_drawings(book: ZipFile, parts: Parts) -> int:
    """How many columns, from A on, pictures reach over; new widths below would stretch them."""
    roots = (parse(read(book, drawing)) for drawing in parts.drawings)
    return max((_reach(anchor) for root in roots for anchor in root.iter(*_ANCHORS)), default=0)


_ANCHORS: Final = ("{*}twoCellAnchor", "{*}oneCellAnchor", "{*}absoluteAnchor")
"""Looked for at any depth: controls, slicers and newer charts stand in an AlternateContent."""


_EMU_PER_COLUMN: Final = 609_600
"""A column of the default width, 64 pixels, in the unit of drawings."""


def _reach(anchor: etree._Element) -> int:
    columns = [int(c.text or "0") + 1 for c in anchor.iterfind("{*}*/{*}col")]
    at, extent = anchor.find("{*}pos"), anchor.find("{*}ext")
    left = 0 if at is None else int(at.get("x", "0"))
    over = 0 if extent is None else int(extent.get("cx", "0"))
    return max(columns, default=0) + (left + over) // _EMU_PER_COLUMN
