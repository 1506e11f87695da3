"""What a result adds to a workbook's styles: always at the end, so that every index stays valid."""

from dataclasses import dataclass
from typing import Final

from lxml import etree

from bulkcast.reporter.package import Unpatchable

_AFTER_DXFS: Final = ("tableStyles", "colors", "extLst")
_TEXT_FORMAT: Final = "49"
"""The built-in number format `@`: what is typed into the cell stays a text."""

COLOURS: Final = {
    "problem": ("FFFFC7CE", "FF9C0006"),
    "good": ("FFC6EFCE", "FF006100"),
    "unsure": ("FFFFEB9C", "FF7F6000"),
    "idle": ("FFE7E6E6", "FF595959"),
}
"""Meaning → background and text, as ARGB; the pairs Excel calls bad, good and neutral, and grey."""


@dataclass(frozen=True, slots=True)
class Added:
    """Indices into the patched styles."""

    text: int
    """Of the cell format for result cells."""
    colours: dict[str, int]
    """Meaning → differential format for conditional formatting."""


def extend(root: etree._Element) -> Added:
    """Add what is missing to `root`, a parsed styles part; a second time it adds nothing.

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
    # Excel takes the background of a differential fill from bgColor, LibreOffice too.
    etree.SubElement(pattern, _tag(root, "fgColor"), rgb=background)
    etree.SubElement(pattern, _tag(root, "bgColor"), rgb=background)
    return dxf


def _index(parent: etree._Element, child: etree._Element) -> int:
    """Where `child` stands in `parent`, appended unless an equal one is there."""
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
