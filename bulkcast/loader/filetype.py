"""Finds out the real type of a file; refuses harmful archives and document types."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bulkcast.errors import UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.model import Text

if TYPE_CHECKING:
    from zipfile import ZipFile

_MOST_ENTRIES: Final = 10_000
_MOST_UNPACKED: Final = 4 * 2**30
_RATIO_CHECKED_FROM: Final = 50 * 2**20
_MOST_RATIO: Final = 200
"""Real workbooks pack to about a tenth, repetitive ones to a fiftieth; bombs to a thousandth."""


def require_harmless(packed: "ZipFile", path: Path) -> None:
    """Refuse an archive that is encrypted, ambiguous or would fill the memory.

    Raises:
        UnreadableSheet: the archive is one of these.

    """
    entries = packed.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if any(entry.flag_bits & 1 for entry in entries):
        raise UnreadableSheet(
            "{name} is an encrypted archive; save it without a password.", name=path.name
        )
    ratio = unpacked / max(1, path.stat().st_size)
    bomb = unpacked > _RATIO_CHECKED_FROM and ratio > _MOST_RATIO
    if len({_comparison_name(entry.filename) for entry in entries}) < len(entries):
        raise UnreadableSheet(
            "{name} holds two parts of one name, so that no two programs would read the "
            "same; copy its rows into a new workbook.",
            name=path.name,
        )
    if bomb or unpacked > _MOST_UNPACKED or len(entries) > _MOST_ENTRIES:
        raise UnreadableSheet(
            "{name} unpacks to {size} MB in {n} parts, which is no sheet of settings; copy "
            "its rows into a new workbook.",
            name=path.name,
            size=unpacked // 2**20,
            n=len(entries),
        )


def _comparison_name(name: str) -> str:
    """An entry's name as spreadsheet programs compare it; names of pictures stay as they are."""
    name = name.replace("\\", "/")
    return name.casefold() if name.lower().endswith((".xml", ".rels", ".bin")) else name


_READ_SIZE: Final = 1 << 20
_OVERLAP: Final = 64
_LARGEST_STRINGS: Final = 100 * 2**20
_MOST_STRINGS: Final = 2_000_000
_LONGEST_TAIL: Final = 32 * 2**20
_ROWS_BEGIN: Final = re.compile(rb"<(?:[\w.-]+:)?sheetData[\s/>]")
_UNIQUE_COUNT: Final = re.compile(rb'<sst[^>]*\suniqueCount="(\d+)"')
_MERGED: Final = re.compile(
    rb'<mergeCell\s[^>]*?ref\s*=\s*["\']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})["\']'
)


def require_plain_parts(packed: "ZipFile", names: Iterable[str], path: Path) -> None:
    """Refuse a document type in any of the parts `names`."""
    for name in names:
        for piece in _pieces(packed, name):
            _refuse_dtd(piece, path)


def require_plain_strings(packed: "ZipFile", name: str, path: Path) -> None:
    """Refuse shared strings that are too large, or whose stated count is impossible."""
    size = packed.getinfo(name).file_size
    for place, piece in enumerate(_pieces(packed, name)):
        _refuse_dtd(piece, path)
        claimed = _UNIQUE_COUNT.search(piece) if place == 0 else None
        # `<si/>`, the shortest string there is, takes five bytes.
        if claimed and int(claimed[1]) > min(_MOST_STRINGS, size // 5 + 1):
            raise UnreadableSheet(
                "{name} claims to hold {n} different texts, which it cannot; copy its "
                "rows into a new workbook.",
                name=path.name,
                n=claimed[1].decode()[:20],
            )
    if size > _LARGEST_STRINGS:
        raise UnreadableSheet(
            "{name} holds {size} MB of texts, which is no sheet of settings; copy its rows "
            "into a new workbook.",
            name=path.name,
            size=size // 2**20,
        )


def merged_ranges(packed: "ZipFile", name: str, path: Path) -> list[str]:
    """The merged ranges of the worksheet in the part `name`; checks the whole part."""
    tail = bytearray()
    for piece in _pieces(packed, name):
        _refuse_dtd(piece, path)
        if tail:
            tail += piece[_OVERLAP:]
        elif (end := piece.find(b"</sheetData>")) >= 0:
            tail += piece[end:]
        if len(tail) > _LONGEST_TAIL:
            raise UnreadableSheet(
                "{name} has {size} MB of formats below its rows; copy its rows into a new "
                "workbook.",
                name=path.name,
                size=_LONGEST_TAIL // 2**20,
            )
    if _ROWS_BEGIN.search(tail):
        raise two_tables()
    return [found.decode() for found in _MERGED.findall(bytes(tail))]


def two_tables() -> UnreadableSheet:
    """The error for a worksheet with two `sheetData` elements."""
    return UnreadableSheet(
        "The worksheet is damaged: its rows stand in two tables, of which programs show one; copy"
        " its rows into a new workbook."
    )


def _pieces(packed: "ZipFile", name: str) -> Iterator[bytes]:
    """The part in pieces, each preceded by the last `_OVERLAP` bytes of the piece before it."""
    before = bytes(_OVERLAP)
    with packed.open(name) as part:
        while piece := part.read(_READ_SIZE):
            yield before + piece
            before = piece[-_OVERLAP:].rjust(_OVERLAP, b" ")


def _refuse_dtd(piece: bytes, path: Path) -> None:
    if b"<!DOCTYPE" in piece or b"<!ENTITY" in piece:
        raise UnreadableSheet(
            "{name} holds a document type, which no spreadsheet program writes; copy its "
            "rows into a new workbook.",
            name=path.name,
        )


def refuse_doctype(tree: Any) -> None:
    """Refuse an XML tree of lxml with a document type."""
    if tree.docinfo.doctype:
        raise UnreadableSheet("The workbook holds a document type, which no spreadsheet writes.")


_OLE: Final = b"\xd0\xcf\x11\xe0"
"""First bytes of an old .xls, and of any workbook with a password to open it."""
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
"""The name of the stream that holds an encrypted workbook: MS-OFFCRYPTO 2.3.4, read 2026-11-23."""
_SAMPLE_BYTES: Final = 1 << 20
_PARTS: Final = {
    ".xlsx": "xl/workbook.xml",
    ".xlsb": "xl/workbook.bin",
    ".ods": "content.xml",
}
_SAME_KIND: Final = {".xlsm": ".xlsx"}


def require_workbook(path: Path) -> None:
    """Refuse a file that is not the kind of workbook its name says.

    Raises:
        UnreadableSheet: it is something else, or a harmful archive.

    """
    from zipfile import is_zipfile

    with path.open("rb") as file:
        start = file.read(_SAMPLE_BYTES)
    if not start:
        raise UnreadableSheet("{name} is empty.", name=path.name)
    if start.startswith(_OLE):
        _require_old_workbook(path, start)
    elif is_zipfile(path):
        _require_package(path)
    else:
        require_no_other(start, path)
        raise UnreadableSheet(_why_no_workbook(start), name=path.name)


def _require_old_workbook(path: Path, start: bytes) -> None:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _SAMPLE_BYTES))
        end = file.read()
    if _ENCRYPTED in start or _ENCRYPTED in end:
        raise UnreadableSheet(
            "{name} has a password to open it; save it as .xlsx without a password.", name=path.name
        )
    if path.suffix.lower() != ".xls":
        raise UnreadableSheet(
            "{name} is an old .xls by another name; rename it to .xls, or save it as .xlsx.",
            name=path.name,
        )


def _require_package(path: Path) -> None:
    from zipfile import BadZipFile, ZipFile

    from bulkcast import ooxml

    suffix = path.suffix.lower()
    wanted = _SAME_KIND.get(suffix, suffix)
    try:
        with ZipFile(path) as packed:
            require_harmless(packed, path)
            names = ooxml.entries(packed)
    except BadZipFile as exc:
        raise UnreadableSheet(_CUT_OFF, name=path.name) from exc
    found = next((kind for kind, part in _PARTS.items() if part in names), None)
    if found and found != wanted:
        raise UnreadableSheet(
            "{name} is {what} by another name; rename it to {found}.",
            name=path.name,
            what=_KIND_NAMES[found],
            found=found,
        )
    if found is None and wanted == ".xls":
        raise UnreadableSheet(
            "{name} is a zip archive and no workbook; unpack it first.", name=path.name
        )


_KIND_NAMES: Final = {
    ".xlsx": Text("an .xlsx workbook"),
    ".xlsb": Text("a binary workbook"),
    ".ods": Text("an OpenDocument spreadsheet"),
}


def require_no_other(start: bytes, path: Path) -> None:
    """Refuse a file whose first bytes show a kind that is not a readable sheet.

    Raises:
        UnreadableSheet: the file is of such a kind; the sentence says which.

    """
    if _is_web_page(start):
        raise UnreadableSheet(
            "{name} is a web page by another name; open it and save it as .xlsx.", name=path.name
        )
    for beginning, what in _OTHER_KINDS:
        if beginning.match(start):
            raise UnreadableSheet(
                "{name} is {what}, whatever its name says; save its table as .xlsx and give that"
                " file.",
                name=path.name,
                what=what,
            )


_OTHER_KINDS: Final = tuple(
    (re.compile(pattern, re.DOTALL), what)
    for pattern, what in (
        (
            rb"(?:\xef\xbb\xbf)?\s*<\?xml.*urn:schemas-microsoft-com:office:spreadsheet",
            Text("a workbook saved as XML"),
        ),
        (rb"MIME-Version:", Text("a web archive")),
        (rb"ID;P(?:WXL|CALC)", Text("a SYLK file")),
        (rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*\"", Text("a JSON file")),
        (rb"\{\\rtf", Text("a text document")),
        (rb"\x1f\x8b|Rar!\x1a|7z\xbc\xaf", Text("a packed archive")),
        (rb"\x89PNG|\xff\xd8\xff|GIF8", Text("a picture")),
    )
)
"""First bytes of other kinds of files that users named like sheets, and what they are."""


def _why_no_workbook(start: bytes) -> str:
    if start.startswith(b"PK"):
        return _CUT_OFF
    if start.startswith(b"%PDF"):
        return marked("{name} is a PDF document; give the spreadsheet it was made from.")
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return marked("{name} is no workbook, or is damaged; save it as .xlsx again.")
    return marked("{name} is no workbook but text; name it .csv, or save it as .xlsx.")


_CUT_OFF: Final = marked("{name} is cut off or damaged; copy or download it again.")


def _is_web_page(start: bytes) -> bool:
    """Whether a file with these first bytes is HTML, which many programs export as "Excel"."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        start = start.decode("utf-16", errors="ignore").encode("utf-8", errors="ignore")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<!--"):
        text = text.partition(b"-->")[2].lstrip()
    return text.startswith((b"<html", b"<!doctype html", b"<table", b"<meta", b"<style"))
