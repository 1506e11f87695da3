"""Writes result sheets: the user's own file with the outcome of every row in extra columns.

For another kind of file, or for some rows only, it writes a new file with the sheet's cells.  Each
file is written completely and verified before it gets its name.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkcast import lazy
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.model import Grid, Layout, ResultRow, Text
from bulkcast.reporter.files import (
    DELIMITERS,
    OWN,
    Draft,
    Existing,
    Written,
    default_name,
    kind_of,
    next_free,
    refuse_existing,
    refuse_other_kind,
    refuse_unwritable,
    replacing,
)
from bulkcast.reporter.run_summary import Crosstab

if TYPE_CHECKING:
    from bulkcast.reporter.html_report import write_page
    from bulkcast.reporter.result_columns import Results
    from bulkcast.reporter.template import write_template
    from bulkcast.reporter.xlsx_writer import write_cells, write_sheet

__all__ = [
    "CannotStart",
    "Crosstab",
    "Existing",
    "Written",
    "default_name",
    "is_anew",
    "next_free",
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

if not TYPE_CHECKING:  # what reads and writes workbooks is loaded by who writes one
    __getattr__ = lazy.attributes(
        __name__,
        {
            "bulkcast.reporter.html_report": ("write_page",),
            "bulkcast.reporter.template": ("write_template",),
            "bulkcast.reporter.xlsx_writer": ("write_cells", "write_sheet"),
        },
    )


def is_anew(target: Path, kind: str) -> bool:
    """Whether results of a sheet of this `kind` need a new file at `target`.

    Raises:
        CannotStart: a file of that kind cannot be written.

    """
    refuse_other_kind(target, kind)
    return kind_of(target) != kind


def write_results(
    source: Path,
    target: Path,
    layout: Layout,
    headers: Sequence[str],
    results: Sequence[ResultRow],
    *,
    existing: Existing,
    cells: Grid | None = None,
    lang: str = "en",
) -> Written:
    """Write `source` to `target`, with the seven columns of `results` after its own columns.

    `headers` has one entry for each column from A on, as the loader read them.  Columns of an
    earlier result are replaced in place; rows without a result get blanks in them.  With `cells`
    the result is a new file with these cells, and `lang` is the language of its comments; `is_anew`
    says when they are needed.

    Raises:
        CannotStart: the target exists, cannot be written, or is of a kind that cannot.
        UnreadableSheet: the source is no longer the file that was read.

    """
    grid = cells or (Grid({}) if is_anew(target, layout.kind) else None)
    if grid is not None:
        refuse_other_kind(target)
    if not source.is_file():
        raise UnreadableSheet(
            "{source} is no longer there, so results cannot be put into it", source=source
        )
    added = _by_row(layout, headers, results)
    with replacing(target, existing) as draft:
        if grid is not None:
            _write_anew(draft, kind_of(target), added, grid, lang)
            draft.remarks.extend(_loss_remarks(draft, layout, results, grid, kind_of(target)))
        elif layout.kind in DELIMITERS:
            from bulkcast.reporter import csv_writer

            csv_writer.write_csv(source, draft, added)
        else:
            from bulkcast.reporter import xlsx_patcher

            xlsx_patcher.patch_workbook(source, draft, added)
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
    """Write `headers` and `results`, each in its row, without the cells of the sheet.

    A workbook of any kind becomes an xlsx file.  An existing file is never replaced, since it may
    be the only copy of the cells: the result takes the next free name.

    Raises:
        CannotStart: the target exists, cannot be written, or is of a kind that cannot.

    """
    refuse_other_kind(target, layout.kind)
    place = target if kind_of(target) in DELIMITERS else target.with_suffix(".xlsx")
    if existing == "replace" and place.exists():
        place = next_free(place)
    added = _by_row(layout, headers, results)
    grid = Grid(
        dict.fromkeys(range(1, added.last_row + 1), ()) | {layout.header_row: tuple(headers)}
    )
    with replacing(place, "refuse") as draft:
        _write_anew(draft, kind_of(place), added, grid, lang)
    return draft.result


def _by_row(layout: Layout, headers: Sequence[str], results: Sequence[ResultRow]) -> "Results":
    from bulkcast.reporter.result_columns import Results

    return Results(layout, headers, {result.row: result for result in results})


def _write_anew(draft: Draft, kind: str, added: "Results", grid: Grid, lang: str) -> None:
    if kind in DELIMITERS:
        from bulkcast.reporter import csv_writer

        csv_writer.write_anew(draft, kind, added, grid)
    else:
        from bulkcast.reporter import xlsx_writer

        xlsx_writer.write_workbook(draft, added, grid, lang)


def _loss_remarks(
    draft: Draft, layout: Layout, results: Sequence[ResultRow], grid: Grid, kind: str
) -> Iterator[Text]:
    """Remarks about what a new file does not contain."""
    if layout.kind in DELIMITERS:
        from bulkcast.reporter import csv_writer

        if kind in DELIMITERS:
            yield from csv_writer.encoding_remark(layout)
        return
    words = {"kind": layout.kind, "name": draft.result.path.name}
    is_forced = layout.kind not in OWN and kind == "xlsx"
    yield Text(_UNWRITABLE_KIND if is_forced else _CELLS_ALONE, words)
    if grid.is_cut:
        yield Text(_COLUMNS_MISSING, words)
    unmarked = _WORKBOOK_PROBLEMS | (_TYPE_PROBLEMS if kind in DELIMITERS else frozenset())
    rows = [row.row for row in results if any(i.code in unmarked for i in row.issues)]
    if rows:
        yield Text(_NOW_SOUND, {**words, "n": str(len(rows)), "first": str(rows[0])})


_UNWRITABLE_KIND: Final = marked(
    "A .{kind} file cannot be written: {name} is new and has the cells, without formats."
)
_CELLS_ALONE: Final = marked(
    "{name} is new and has only the cells: the sheet's formats, formulas and other worksheets are"
    " not in it."
)
_COLUMNS_MISSING: Final = marked(
    "{name} has the columns up to IV; those further to the right are not in it."
)
_NOW_SOUND: Final = marked(
    "Rows with cells that were refused for being a number, merged, or a formula without a value,"
    " and that are plain texts in {name}: {n}, the first of them row {first}. Mend them before you"
    " resubmit it, since a text is taken as it stands."
)
_WORKBOOK_PROBLEMS: Final = frozenset({"cell.formula_unsaved", "cell.merged"})
"""Problems of a workbook's cell that a new file no longer has."""
_TYPE_PROBLEMS: Final = frozenset({"password.numeric", "cell.not_a_text"})
"""Problems of a cell's type; a delimited file has no types."""
