"""The zip archive that a workbook is: whether it is one, and safe to unpack."""

from pathlib import Path
from typing import Final
from zipfile import ZipFile

from bulkcast.errors import UnreadableSheet
from bulkcast.wording import marked

_OLE: Final = b"\xd0\xcf\x11\xe0"
"""Begins both an old .xls and any workbook with a password to open it."""
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
    if bomb or unpacked > _MOST_UNPACKED or len(entries) > _MOST_ENTRIES:
        raise UnreadableSheet(
            "{name} unpacks to {size} MB in {n} parts, which is no sheet of settings; copy "
            "its rows into a new workbook.",
            name=path.name,
            size=unpacked // 2**20,
            n=len(entries),
        )


def no_zip(path: Path) -> UnreadableSheet:
    """What is wrong with a workbook that is no zip archive."""
    with path.open("rb") as file:
        start = file.read(512)
    return UnreadableSheet(_why(start), name=path.name)


def _why(start: bytes) -> str:
    if not start:
        return marked("{name} is empty.")
    if start.startswith(_OLE):
        return marked(
            "{name} has a password to open it, or is an old .xls by another name; "
            "save it as .xlsx without a password."
        )
    if start.startswith(b"PK"):
        return marked("{name} is cut off or damaged; copy or download it again.")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<html", b"<!doctype", b"<table")):
        return marked("{name} is a web page by another name; open it and save it as .xlsx.")
    return marked("{name} is no workbook; if it is text, name it .csv, or save it as .xlsx.")
