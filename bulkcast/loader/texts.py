"""The shared strings of a workbook, whatever fonts and readings their characters have."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any, Final

from lxml import etree

from bulkcast.loader import plainxml
from bulkcast.loader.cells import cell_of
from bulkcast.loader.plainxml import LONGEST_ROW, MAIN, Unusual, unescape


def shared(part: IO[bytes]) -> Iterator[str]:
    """The texts of a table of shared strings, as they are stored.

    openpyxl's own reader of them takes every `x005F_` out, which is part of some texts.
    """
    items = etree.iterparse(part, tag="{*}si", resolve_entities=False, no_network=True)
    for _, item in items:
        yield _text(item)
        item.clear()
        while item.getprevious() is not None:
            del item.getparent()[0]


def _text(item: Any) -> str:
    # Not those of `rPh`: how characters are pronounced is shown above them, and no part of them.
    pieces = (*item.iterfind("{*}t"), *item.iterfind("{*}r/{*}t"))
    return "".join(piece.text or "" for piece in pieces)


# ------------------------------------------------------------------ of the plain make

_STRING: Final = re.compile(r'<si><t(?:\s+xml:space="preserve")?>([^<]*)</t></si>')


def quickly(part: IO[bytes]) -> Iterator[str]:
    """The same as cells have them, at the speed of a search for text.

    Raises:
        Unusual: a full parser has to read them.

    """
    texts = plainxml.texts(part)
    rest = next(texts, "")
    opening = re.match(r"(?:<\?xml[^>]*\?>)?\s*<sst(?:\s[^>]*)?>", rest)
    if opening is None or MAIN not in opening[0]:
        raise Unusual
    rest = rest[opening.end() :]
    for text in chain([""], texts):
        rest += text
        end = rest.rfind("</si>") + len("</si>")
        if end >= len("</si>"):
            yield from _whole_strings(rest[:end])
            rest = rest[end:]
        if len(rest) > LONGEST_ROW:
            raise Unusual
    if rest.strip() not in {"</sst>", ""}:
        raise Unusual


def _whole_strings(xml: str) -> Iterator[str]:
    found = _STRING.findall(xml)
    if xml.count("<") != 4 * len(found):
        raise Unusual
    return (cell_text(unescape(text)) for text in found)


def cell_text(text: str) -> str:
    """A shared string without the marks for characters that XML cannot hold."""
    cell = cell_of(text, "s", "General")
    return cell if isinstance(cell, str) else text
