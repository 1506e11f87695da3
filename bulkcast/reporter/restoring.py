"""Sheets that bulkcast itself makes, to be applied like any other: a header, rows, comments.

Every cell is a text, as a careful person would have typed it, so that nothing is rounded or run.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import xlsxwriter

from bulkcast.errors import CannotStart
from bulkcast.reporter.columns import writable
from bulkcast.reporter.files import Existing, Written, replacing

_WIDTH: Final = 22
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}


def write_sheet(
    target: Path,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    comments: Sequence[str],
    *,
    existing: Existing,
) -> Written:
    """Write a sheet for its owner alone: it may hold passwords.

    `comments` follow the rows; each has a row to itself and is passed over when the sheet is read.

    Raises:
        CannotStart: `target` exists and may not be replaced, cannot be written, or is of a kind
            that cannot.

    """
    suffix = target.suffix.lower()
    if suffix not in {".xlsx", *_DELIMITERS}:
        raise CannotStart(
            "{name} is no sheet that can be written; use .xlsx, .csv or .tsv", name=target.name
        )
    lines = [list(headers), *rows, *([f"# {comment}"] for comment in comments)]
    with replacing(target, existing) as draft:
        draft.path.chmod(0o600)  # before anything is in it
        if suffix == ".xlsx":
            _write_workbook(draft.path, lines, len(headers), len(rows))
        else:
            _write_delimited(draft.path, lines, _DELIMITERS[suffix])
    return draft.result


def _write_workbook(path: Path, lines: Sequence[Sequence[str]], width: int, n_rows: int) -> None:
    with xlsxwriter.Workbook(path) as book:
        tab = book.add_worksheet()
        text = book.add_format({"num_format": "@"})
        bold = book.add_format({"bold": True, "num_format": "@"})
        tab.set_column(0, width - 1, _WIDTH, text)
        for number, line in enumerate(lines):
            for index, cell in enumerate(line):
                if cell:
                    tab.write_string(number, index, writable(cell), bold if not number else text)
        tab.freeze_panes(1, 0)
        tab.autofilter(0, 0, n_rows, width - 1)
        last = min(len(lines), _FLAGGED_MOST)
        tab.ignore_errors({"number_stored_as_text": f"A1:Z{last}"})


_FLAGGED_MOST: Final = int(math.pow(2, 20))
"""Rows a worksheet has."""


def _write_delimited(path: Path, lines: Sequence[Sequence[str]], delimiter: str) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(lines)
