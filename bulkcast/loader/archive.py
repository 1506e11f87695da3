"""The zip archive that a workbook is: whether it is one, and safe to unpack.

Looked at before any parser sees a byte: sizes and names from the archive's directory, then the
parts that will be parsed, streamed.  What no spreadsheet program writes is refused here.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import marks

_MOST_ENTRIES: Final = 10_000
_MOST_UNPACKED: Final = 4 * 2**30
_UNSUSPICIOUS: Final = 50 * 2**20
_MOST_RATIO: Final = 200
"""Real workbooks pack to about a tenth, repetitive ones to a fiftieth; bombs to a thousandth."""


def require_harmless(packed: ZipFile, path: Path) -> None:
    """Refuse an archive that would fill the memory, or that is encrypted.

    Raises:
        UnreadableSheet: it is one of these.

    """
    entries = packed.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if any(entry.flag_bits & 1 for entry in entries):
        raise UnreadableSheet(
            "{name} is an encrypted archive; save it without a password.", name=path.name
        )
    ratio = unpacked / max(1, path.stat().st_size)
    bomb = unpacked > _UNSUSPICIOUS and ratio > _MOST_RATIO
    if len({_compared(entry.filename) for entry in entries}) < len(entries):
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


def _compared(name: str) -> str:
    """The name of an entry as spreadsheet programs compare it; of a picture as it stands."""
    name = name.replace("\\", "/")
    return name.casefold() if name.lower().endswith((".xml", ".rels", ".bin")) else name


# ------------------------------------------------------------------ inside the parts

_AT_ONCE: Final = 1 << 20
_OVERLAP: Final = 64
_LARGEST_STRINGS: Final = 100 * 2**20
_MOST_STRINGS: Final = 2_000_000
_LONGEST_TAIL: Final = 32 * 2**20
_TABLE: Final = re.compile(rb"<(?:[\w.-]+:)?sheetData[\s/>]")
_UNIQUE: Final = re.compile(rb'<sst[^>]*\suniqueCount="(\d+)"')
_MERGED: Final = re.compile(
    rb'<mergeCell\s[^>]*?ref\s*=\s*["\']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})["\']'
)


def require_plain_parts(packed: ZipFile, names: Iterable[str], path: Path) -> None:
    """Refuse a document type in any of the parts that are read as one tree."""
    for name in names:
        for piece in _stream(packed, name):
            _refuse_dtd(piece, path)


def require_plain_strings(packed: ZipFile, name: str, path: Path) -> None:
    """Refuse shared strings that no sheet has, or that claim to be more than they can be."""
    size = packed.getinfo(name).file_size
    for place, piece in enumerate(_stream(packed, name)):
        _refuse_dtd(piece, path)
        claimed = _UNIQUE.search(piece) if place == 0 else None
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


def merged_ranges(packed: ZipFile, name: str, path: Path) -> list[str]:
    """The merged ranges of the worksheet in the part `name`, after a look at all of it."""
    tail = bytearray()
    for piece in _stream(packed, name):
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
    if _TABLE.search(tail):
        raise marks.two_tables()
    return [found.decode() for found in _MERGED.findall(bytes(tail))]


def _stream(packed: ZipFile, name: str) -> Iterator[bytes]:
    """The part in pieces, each led by the last few bytes of the one before it."""
    before = bytes(_OVERLAP)
    with packed.open(name) as part:
        while piece := part.read(_AT_ONCE):
            yield before + piece
            before = piece[-_OVERLAP:].rjust(_OVERLAP, b" ")


def _refuse_dtd(piece: bytes, path: Path) -> None:
    if b"<!DOCTYPE" in piece or b"<!ENTITY" in piece:
        raise UnreadableSheet(
            "{name} holds a document type, which no spreadsheet program writes; copy its "
            "rows into a new workbook.",
            name=path.name,
        )
