"""Hands the sheet back: the user's own file, with the outcome of every row behind its cells.

The file is written whole, read again, and only then given its name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.model import Layout, ResultRow
from bulkcast.reporter import bare, delimited, fresh, workbook
from bulkcast.reporter.files import (
    Existing,
    Written,
    default_name,
    next_free,
    refuse_existing,
    refuse_unwritable,
    replacing,
)
from bulkcast.reporter.fresh import Cells, write_cells
from bulkcast.reporter.page import write_page
from bulkcast.reporter.restoring import write_sheet
from bulkcast.reporter.summary import Crosstab
from bulkcast.reporter.template import write_template

__all__ = [
    "ANEW",
    "Crosstab",
    "Existing",
    "Written",
    "default_name",
    "refuse_existing",
    "refuse_other_kind",
    "refuse_unwritable",
    "replacing",
    "write_bare",
    "write_cells",
    "write_page",
    "write_results",
    "write_sheet",
    "write_template",
]

ANEW: Final = fresh.KINDS
"""Kinds of which the result is a new workbook."""

_BOOKS: Final = frozenset({".xlsx", ".xlsm"})


def write_results(
    source: Path,
    target: Path,
    layout: Layout,
    headers: Sequence[str],
    results: Sequence[ResultRow],
    *,
    existing: Existing,
    cells: Cells | None = None,
    lang: str = "en",
) -> Written:
    """Write `source` with the seven columns of `results` behind its own to `target`.

    `headers` has one entry for each column from A on, as the loader read them.  Columns of an
    earlier result are replaced where they stand; rows without a result get blanks in them.
    `cells` are those of the source, needed for kinds that are written anew (`ANEW`): which of them
    are safe to read in this process only the loader knows.  `lang` is that of their comments.

    Raises:
        CannotStart: the target exists, cannot be written, or is of another kind than the source.
        UnreadableSheet: the source is no longer the file that was read.

    """
    refuse_other_kind(target, layout.kind)
    if not source.is_file():
        raise UnreadableSheet(
            "{source} is no longer there, so results cannot be put into it", source=source
        )
    by_row = {result.row: result for result in results}
    with replacing(target, existing) as draft:
        if layout.kind in {"xlsx", "xlsm"}:
            workbook.write(source, draft, layout, headers, by_row)
        elif layout.kind in ANEW:
            fresh.write(draft, layout, headers, by_row, cells or {}, lang)
        else:
            delimited.write(source, draft, layout, headers, by_row)
    return draft.result


def write_bare(
    target: Path,
    layout: Layout,
    headers: Sequence[str],
    results: Sequence[ResultRow],
    *,
    existing: Existing,
    lang: str = "en",
) -> Written:
    """Write `results` below `headers`, each in its row, without the cells of the sheet.

    A workbook becomes an xlsx file, whatever it was.  Nothing is replaced: what stands there may be
    all that has the cells, so the result takes the next free name.

    Raises:
        CannotStart: the target exists, cannot be written, or is of another kind than the sheet.

    """
    refuse_other_kind(target, layout.kind)
    is_book = layout.kind in {"xlsx", "xlsm"} or layout.kind in ANEW
    place = target.with_suffix(".xlsx") if is_book else target
    if existing == "replace" and place.exists():
        place = next_free(place)
    with replacing(place, "refuse") as draft:
        bare.write(draft, layout, headers, {result.row: result for result in results}, lang)
    return draft.result


def refuse_other_kind(target: Path, kind: str) -> None:
    """A workbook inside a file called .csv, or the other way round, is a file nobody can open."""
    suffix = target.suffix.lower()
    wanted = "xlsx" if kind in ANEW else kind
    is_book = wanted in {"xlsx", "xlsm"}
    if (suffix != f".{wanted}") if is_book else (suffix in _BOOKS):
        raise CannotStart(
            "Results of a .{kind} sheet cannot be written as {name}; use .{wanted}",
            kind=kind,
            name=target.name,
            wanted=wanted,
        )
