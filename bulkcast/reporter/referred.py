"""How far to the right a workbook's formulas, names and charts look at a sheet.

Results that were written into cells which `=AVERAGE(B5:J5)` looks at would change its value.
"""

import html
import re
from collections.abc import Iterator
from typing import Final
from zipfile import ZipFile

from bulkcast.reporter.columns import COLUMNS_MAX, FIELDS, column_index
from bulkcast.reporter.highlight import MARK

_CHUNK: Final = 1 << 20
_FORMULA_MAX: Final = 1 << 17
"""Bytes; a formula has at most 8,192 characters (Microsoft, Excel specifications and limits)."""

_MOST: Final = COLUMNS_MAX - len(FIELDS)
"""Behind what reaches further, such as `A:XFD`, nothing has room."""

_FORMULAS: Final = re.compile(
    rb"<(?:[\w.-]+:)?(f|formula[12]?|definedName|calculatedColumnFormula)"
    rb"(\s[^<>]*)?(?<!/)>([^<]+)</"
)
_OWN_NAME: Final = re.compile(rb'\sname\s*=\s*["\']_xlnm\.')
"""Names a program keeps for itself: filters, print areas; no value hangs on them."""
_SPREAD: Final = re.compile(rb'\sref\s*=\s*["\']([A-Z]{1,3})[0-9]+:([A-Z]{1,3})[0-9]+["\']')

# Lengths are bounded, so that no formula made for it takes long.
_TEXT: Final = re.compile('"[^"]*"')
_REFERENCE: Final = re.compile(
    r"(?<![\w.$!'\]])(?:(?P<tab>'(?:[^']|''){1,300}'|[^\s'!\"(),;:+*/^&=<>{}-][^\s'!\"(),;+*/^&=<>{}-]{0,300})!)?"
    r"(?:\$?(?P<first>[A-Z]{1,3})\$?[0-9]{1,7}(?::\$?(?P<last>[A-Z]{1,3})\$?[0-9]{1,7})?"
    r"|\$?[A-Z]{1,3}:\$?(?P<whole>[A-Z]{1,3}))(?![\w.(!])"
)


def columns_in(xml: bytes, tab: str, *, here: bool) -> int:
    """Columns, from A on, up to the last one of the sheet `tab` that a formula in `xml` looks at.

    `here` says that the formulas stand on that sheet, so that `B5` means a cell of it.

    >>> columns_in(b"<f>AVERAGE(B5:J5)</f>", "Classes", here=True)
    10
    >>> columns_in(b"<c:f>Classes!$B$5:$D$5</c:f><f>J5</f>", "Classes", here=False)
    4
    """
    return max((_reach(found, tab, here=here) for found in _FORMULAS.finditer(xml)), default=0)


def _reach(found: re.Match[bytes], tab: str, *, here: bool) -> int:
    attributes = found[2] or b""
    if found[1] == b"definedName" and _OWN_NAME.search(attributes):
        return 0
    formula = html.unescape(found[3].decode("utf-8", "replace"))
    reach = 0 if MARK in formula else columns_of(formula, tab, here=here)
    if reach and (spread := _SPREAD.search(attributes)):
        # A formula that is shared by cells side by side looks further right from the last of them.
        first, last = (column_index(letters.decode()) for letters in spread.groups())
        reach += last - first
    return reach if reach <= _MOST else 0


def columns_of(formula: str, tab: str, *, here: bool) -> int:
    """Columns up to the last one of the sheet `tab` that `formula` looks at.

    >>> columns_of("SUM('My ''tab'!B:J, LOG10(ZZ1))", "My 'tab", here=False)
    10
    >>> columns_of("SUM(A:XFD) + Other!AB7", "Classes", here=True)
    0
    """
    references = _REFERENCE.finditer(_TEXT.sub('""', formula))
    ends = (column_index(_end(r)) + 1 for r in references if _is_of(r["tab"], tab, here=here))
    return max((end for end in ends if end <= _MOST), default=0)


def _end(reference: re.Match[str]) -> str:
    return str(reference["whole"] or reference["last"] or reference["first"])


def _is_of(named: str | None, tab: str, *, here: bool) -> bool:
    if named is None:
        return here
    named = named.strip("'").replace("''", "'")
    # `First:Last!B5` looks at every sheet between the two; which ones, their order tells.
    return named.casefold() == tab.casefold() or (":" in named and "[" not in named)


def columns_elsewhere(book: ZipFile, sheet: str, tab: str) -> int:
    """The same for all of the workbook but the part `sheet`, which is that of `tab`."""
    parts = (i.filename for i in book.infolist() if i.filename.lower().endswith(".xml"))
    chunks = (chunk for part in parts if part != sheet for chunk in _chunks(book, part))
    return max((columns_in(chunk, tab, here=False) for chunk in chunks if b"!" in chunk), default=0)


def _chunks(book: ZipFile, part: str) -> Iterator[bytes]:
    """The part piece by piece; what begins at the end of one is whole in the next."""
    with book.open(part) as file:
        held = b""
        while read := file.read(_CHUNK):
            yield held + read
            held = (held + read)[-_FORMULA_MAX:]
