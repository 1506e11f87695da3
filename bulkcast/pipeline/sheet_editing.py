"""Edits to a sheet's cells: checked in memory, and written to a copy beside the file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from bulkcast import loader
from bulkcast.errors import CannotStart
from bulkcast.model import Cell, FlaggedCell, Layout, RawRow, Sheet
from bulkcast.pipeline.options import Selection
from bulkcast.pipeline.validation import (
    CheckedSheet,
    Source,
    check_source,
    compared_rows,
    read_sheet,
    rows_named,
)
from bulkcast.reporter.result_columns import storable

Edits = Mapping[int, Mapping[int, str]]
"""Row → column, from 0 → the text that stands there instead; empty for a blank cell."""


def written(text: str) -> str:
    r"""A text as a cell can hold it.

    >>> written("a\r\nb")
    'a\nb'
    """
    return storable(text.replace("\r\n", "\n").replace("\r", "\n"))


def with_edits(sheet: Sheet, edits: Edits) -> Sheet:
    """The sheet with other texts in some cells; rows that it does not have are passed over."""
    if not edits:
        return sheet
    rows = tuple(
        _edited(row, edits[row.number]) if row.number in edits else row for row in sheet.rows
    )
    return replace(sheet, rows=rows)


def _edited(row: RawRow, wanted: Mapping[int, str]) -> RawRow:
    width = len(row.cells)
    cells: list[Cell] = [*row.cells, *row.extra]
    cells += [None] * (max(wanted) + 1 - len(cells))
    for column, text in wanted.items():
        cells[column] = text or None
    extra = tuple(cells[width:])
    return replace(row, cells=tuple(cells[:width]), extra=extra if any(map(_holds, extra)) else ())


def _holds(cell: Cell) -> bool:
    return cell is not None and not (isinstance(cell, str) and not cell.strip())


def check_edited(
    base: CheckedSheet, edits: Edits, selection: Selection | None = None
) -> CheckedSheet:
    """Check a sheet that was read before, with other texts in some cells.

    With edits it is to look at, not to be sent: `edited_copy` makes the file that can be.

    Raises:
        CannotStart: none of the rows that `selection` names is there.

    """
    stream = _Reread(with_edits(base.sheet, edits))
    make = cast("Callable[[], AbstractContextManager[loader.Stream]]", lambda: nullcontext(stream))
    given = Source(base.path, make)
    wanted = selection or Selection()
    return check_source(given, base.sha256, base.options, wanted, base.endpoint)


class _Reread:
    """A sheet in memory, which is read like one in a file."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def parts(self) -> Iterator[Sheet]:
        """All rows, and then what is said of the sheet as a whole."""
        whole = self._sheet
        yield replace(whole, remarks=(), issues=())
        yield replace(whole, rows=())


def edited_copy(
    base: CheckedSheet, edits: Edits, target: Path, checked: CheckedSheet | None = None
) -> CheckedSheet:
    """Write a copy of the sheet in which the edited cells have their new texts, and read it.

    csv and tsv files keep their delimiter and encoding, workbooks their formats and other
    worksheets; kinds of files that cannot be written, and workbooks that cannot be patched, become
    a new workbook.  What is read of the copy is compared with what was checked.

    Args:
        base: the sheet as it was read, without the edits.
        edits: the texts.
        target: the copy's path; its suffix is replaced where another kind of file is written.
        checked: what `check_edited` gives for all rows, if that is known already.

    Raises:
        UnreadableSheet: the file is no longer the one that was read.
        CannotStart: the copy cannot be written, or would not say the same.

    """
    layout, read = base.sheet.layout, base.options.read
    own = {number: dict(wanted) for number, wanted in edits.items() if wanted}
    if layout.kind in _DELIMITED:
        from bulkcast.reporter.edited_sheet import write_edited_text

        target = target.with_suffix(base.path.suffix)
        layout = write_edited_text(base.path, target, layout, own, guarded=base.is_results)
        read = replace(read, encoding=layout.encoding, delimiter=layout.delimiter)
    else:
        target, tab = _copy_of_workbook(base, own, target, layout)
        read = replace(read, tab=tab)
    options = replace(base.options, read=replace(read, header_row=layout.header_row))
    made = read_sheet(target, options, endpoint=base.endpoint)
    _require_same(checked or check_edited(base, edits), made)
    return made


_DELIMITED: Final = frozenset({"csv", "tsv"})
_PATCHED: Final = frozenset({"xlsx", "xlsm"})


def _copy_of_workbook(
    base: CheckedSheet, edits: Edits, target: Path, layout: Layout
) -> tuple[Path, str | None]:
    """The copy of a workbook, and the worksheet to read."""
    from bulkcast.reporter.edited_sheet import write_edited_workbook
    from bulkcast.reporter.workbook_parts import Unpatchable

    if layout.kind in _PATCHED:
        own = target.with_suffix(base.path.suffix)
        try:
            write_edited_workbook(base.path, own, layout, edits, spare=None)
        except Unpatchable:
            pass
        else:
            return own, layout.tab
    new = target.with_suffix(".xlsx")
    write_edited_workbook(base.path, new, layout, edits, spare=loader.grid(base.path, layout))
    return new, None


def _require_same(checked: CheckedSheet, copy: CheckedSheet) -> None:
    """Refuse a copy of which other rows would be sent than were checked."""
    other = compared_rows(checked.checked, copy.checked)
    if other:
        copy.path.unlink(missing_ok=True)
        raise CannotStart(
            "{rows} cannot be carried over into a copy of this sheet; change what is wrong there"
            " in a spreadsheet program, save the sheet as .xlsx, and upload that file instead",
            rows=rows_named(other),
        )


# ------------------------------------------------------------------ one change for many cells


def repeated(sheet: Sheet, cell: FlaggedCell) -> dict[int, dict[int, str]]:
    """The edits that give every cell of a merged range the value it shows; none for another cell.

    Rows of the range that are no data rows are left alone.
    """
    if cell.code != "cell.merged":
        return {}
    area = _area(cell.args["range"])
    rows = {row.number: row for row in sheet.rows if row.number in area.rows}
    first = rows.get(area.rows[0])
    shown = first.cells[area.columns[0]] if first else None
    text = written(shown.shown) if isinstance(shown, FlaggedCell) else ""
    if not text:
        return {}
    return {
        number: {column: text for column in area.columns if column < len(row.cells)}
        for number, row in rows.items()
    }


@dataclass(frozen=True, slots=True)
class _Area:
    rows: range
    columns: range


def _area(name: str) -> _Area:
    from bulkcast.loader.annotations import Range

    found = Range.parse(name)
    return _Area(
        range(found.first_row, found.last_row + 1), range(found.first_column, found.end_column)
    )
