"""XML of the plain make that spreadsheet programs write, read as text.

Whatever is made otherwise raises `Unusual`: a full parser has to read it.
"""

import codecs
import re
from collections.abc import Iterator
from itertools import chain
from typing import IO, Final

from bulkcast.errors import UnreadableSheet

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


class Unusual(Exception):
    """The XML is not of the plain make; a full parser has to read it."""


def unescape(text: str) -> str:
    """The characters that XML `text` stands for.

    Raises:
        Unusual: it refers to something that is no character.

    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "&" not in text:
        return text
    if text.count("&") != len(_REFERENCE.findall(text)):
        raise Unusual
    return _REFERENCE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    name, decimal, hexadecimal = found.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000 or (code < 32 and code not in {9, 10, 13}):
        raise Unusual
    return chr(code)


def pieces(part: IO[bytes]) -> Iterator[list[str]]:
    """The XML between `<sheetData>` and its end, cut behind each row."""
    read = texts(part)
    rest = _after_head(read)
    if rest is None:
        return
    for text in chain([""], read):
        rest += text
        rest, ended, _ = rest.partition("</sheetData>")
        *pieces, rest = rest.split("</row>")
        if len(rest) > _READ_AT_ONCE and not ended:
            # Rows without cells have no end of their own: all before the last one are whole.
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


def texts(part: IO[bytes]) -> Iterator[str]:
    """The text of a part, piece by piece.

    Raises:
        Unusual: it is not in UTF-8, or holds what no XML may.

    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    while raw := part.read(_READ_AT_ONCE):
        try:
            text = decoder.decode(raw)
        except UnicodeDecodeError as exc:
            raise Unusual from exc
        if "\0" in text:
            raise Unusual
        yield text


def _after_head(read: Iterator[str]) -> str | None:
    """What follows `<sheetData>` in the texts read so far; None where it holds no rows."""
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
                raise Unusual
            return after
        if "<sheetData/>" in head:
            return None
        if len(head) > _LONGEST_HEAD:
            break
    raise Unusual
