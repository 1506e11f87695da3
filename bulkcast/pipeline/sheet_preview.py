"""The first lines of a file as they are read, so that a wrong encoding is seen by eye."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bulkcast import loader
from bulkcast.catalogue import Endpoint
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import UnreadableSheet
from bulkcast.model import Cell, FlaggedCell
from bulkcast.pipeline.validation import CheckedSheet
from bulkcast.reporter.csv_writer import shown

ENCODINGS: Final = (
    "utf-8", "gb18030", "big5", "utf-16", "cp949", "shift_jis", "cp1258", "cp1252",
)  # fmt: skip
"""Encodings to choose from."""
DELIMITERS: Final = (",", ";", "\t", "|", "，")
"""Delimiters to choose from."""
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Preview:
    """The first lines of a file, and how they were read."""

    kind: str
    """The file's suffix without its dot."""
    lines: Sequence[tuple[int, tuple[str, ...]]]
    """Line numbers, and the texts of their cells as a spreadsheet shows them."""
    header_row: int | None
    """None if no line names a column."""
    tabs: Sequence[tuple[str, bool]]
    """The worksheets of a workbook, and whether each is visible."""
    tab: str | None
    encoding: str
    """Empty for workbooks."""
    delimiter: str
    """Empty for workbooks."""


def preview(
    path: Path, options: loader.ReadOptions | None = None, endpoint: Endpoint = WEBCAST
) -> Preview:
    """Read the first lines of a file, also where no header is among them.

    An option that does not fit the file, such as the wrong encoding, counts as not given.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet, whatever the options.
        CannotStart: an option makes no sense by itself.

    """
    options = options or loader.ReadOptions()
    try:
        head = loader.first_lines(path, endpoint=endpoint, options=options)
    except UnreadableSheet:
        if options == loader.ReadOptions():
            raise
        plain = replace(options, encoding=None, delimiter=None, tab=None, header_row=None)
        head = loader.first_lines(path, endpoint=endpoint, options=plain)
    lines = [(number, tuple(map(_text, cells))) for number, cells in head.lines]
    return Preview(
        path.suffix.lower().lstrip("."), lines, head.header_row, head.tabs, head.tab,
        head.encoding, head.delimiter,
    )  # fmt: skip


def _text(cell: Cell) -> str:
    if isinstance(cell, FlaggedCell) and cell.code == "cell.merged":
        cell = cell.value
    said = shown(cell)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


_GUESSES: Final = frozenset({"file.encoding_guessed", "file.encoding_doubtful"})


def is_certain(sheet: CheckedSheet) -> bool:
    """Whether nothing about how the file was read had to be guessed."""
    return not any(issue.code in _GUESSES for issue in sheet.checked.issues)
