"""The shared strings of a workbook, whatever fonts and readings their characters have."""

from collections.abc import Iterator
from typing import IO, Any

from lxml import etree


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
