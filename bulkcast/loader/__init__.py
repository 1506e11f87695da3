"""Reads a file into a `model.Sheet`, or raises one sentence that says why it cannot.

This is the only package that opens spreadsheets to read them.  Users give any kind of file, so no
content may end in a traceback, and nothing is dropped or repaired silently: guesses and skipped
rows become remarks, and a cell whose value does not tell everything becomes a `FlaggedCell`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bulkcast.catalogue import RESULT_PREFIX, Endpoint, is_result_column
from bulkcast.errors import BulkcastError, UnreadableSheet, system_reason
from bulkcast.loader import csv_reader, table
from bulkcast.loader.table import Chunk, Head, ReadOptions, Stream
from bulkcast.model import Grid, Layout, Sheet, Text
from bulkcast.planner import plan_file

__all__ = [
    "Head",
    "ReadOptions",
    "Stream",
    "chosen",
    "first_lines",
    "grid",
    "previous_results",
    "read",
    "require_kind",
    "stream",
]

_DELIMITED: Final = frozenset({".csv", ".tsv"})
_READABLE: Final = (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
_UNSUPPORTED_KINDS: Final = {
    ".numbers": Text("a Numbers spreadsheet"),
    ".et": Text("a WPS spreadsheet"),
    ".gsheet": Text("only a link to a Google sheet"),
}


@contextmanager
def stream(
    path: Path, *, endpoint: Endpoint, options: ReadOptions | None = None
) -> Iterator[Stream]:
    """Open the sheet in the file at `path`; the memory used does not grow with its rows.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet, which may show on opening or while its
            rows are read; the sentence names the file and the remedy.
        CannotStart: an option makes no sense by itself.

    """
    _require_sheet(path)
    with ExitStack() as stack:
        with _name_errors(path):
            opened = stack.enter_context(_open_sheet(path, endpoint, options or ReadOptions()))
        # Only the reading is wrapped: an exception of the caller does not mean a damaged file.
        opened.chunks = _chunks_with_errors_named(opened.chunks, path)
        try:
            yield opened
        except MemoryError as exc:
            raise _too_large(path) from exc


def _open_sheet(
    path: Path, endpoint: Endpoint, options: ReadOptions
) -> AbstractContextManager[Stream]:
    if path.suffix.lower() in _DELIMITED:
        return csv_reader.open_sheet(path, endpoint, options)
    from bulkcast.loader import workbook

    return workbook.open_sheet(path, endpoint, options)


def _chunks_with_errors_named(chunks: Iterable[Chunk], path: Path) -> Iterator[Chunk]:
    with _name_errors(path):
        yield from chunks


@contextmanager
def _name_errors(path: Path) -> Iterator[None]:
    """Turn every exception into a `BulkcastError` that names the file at `path`."""
    try:
        yield
    except BulkcastError as exc:
        raise _with_name(exc, path) from exc
    except OSError as exc:
        raise UnreadableSheet(
            "{name} cannot be read: {why}.",
            name=path.name,
            why=system_reason(exc),
        ) from exc
    except MemoryError as exc:
        raise _too_large(path) from exc
    # The parsers raise whatever a damaged file leads them to (KeyError, struct.error,
    # zlib.error ...); the user gets a sentence, not a traceback.
    except Exception as exc:
        raise UnreadableSheet(
            "{name} is damaged and cannot be read; "
            "open it in a spreadsheet program and save it again.",
            name=path.name,
        ) from exc


def _too_large(path: Path) -> UnreadableSheet:
    return UnreadableSheet("{name} is too large for this computer's memory.", name=path.name)


def read(path: Path, *, endpoint: Endpoint, options: ReadOptions | None = None) -> Sheet:
    """Read the whole sheet in the file at `path`; the file is not changed.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet; the sentence names the file and the
            remedy.
        CannotStart: an option makes no sense by itself.

    """
    with stream(path, endpoint=endpoint, options=options) as opened:
        return opened.sheet()


def _with_name(refusal: BulkcastError, path: Path) -> BulkcastError:
    """Put the file's name before a refusal raised by a parser that does not know the name."""
    said = str(refusal)
    if path.name in said or not isinstance(refusal, UnreadableSheet):
        return refusal
    return UnreadableSheet("{name}: {sentence}", name=path.name, sentence=refusal)


def first_lines(path: Path, *, endpoint: Endpoint, options: ReadOptions) -> Head:
    """The first lines of the file at `path`, also where no header is among them.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet, whatever the options.
        CannotStart: an option makes no sense by itself.

    """
    _require_sheet(path)
    with _name_errors(path):
        if path.suffix.lower() in _DELIMITED:
            return csv_reader.first_lines(path, endpoint, options)
        from bulkcast.loader import workbook

        return workbook.first_lines(path, endpoint, options)


def require_kind(name: str) -> None:
    """Refuse a file by its name alone.

    Raises:
        UnreadableSheet: no file of that name is a sheet that can be read.

    """
    path = Path(name)
    _refuse_mark(path)
    if path.suffix.lower() == plan_file.SUFFIX:
        raise _plan(path)
    _require_suffix(path)


def _require_sheet(path: Path) -> None:
    """Refuse what is no sheet of a kind that can be read, as far as its name shows."""
    _refuse_mark(path)
    _require_file(path)
    _refuse_plan(path)
    _require_suffix(path)


def _refuse_mark(path: Path) -> None:
    if path.name.startswith("~$"):
        raise UnreadableSheet(
            "{name} is the mark Excel leaves beside an open workbook; give {book} itself.",
            name=path.name,
            book=path.name.removeprefix("~$"),
        )


def _require_suffix(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in _UNSUPPORTED_KINDS:
        raise UnreadableSheet(
            "{name} is {what}; save it as .xlsx and give that file.",
            name=path.name,
            what=_UNSUPPORTED_KINDS[suffix],
        )
    if suffix not in _READABLE:
        raise UnreadableSheet(
            "{name} is not a kind of sheet that can be read: {known}.",
            name=path.name,
            known=" ".join(_READABLE),
        )


def _refuse_plan(path: Path) -> None:
    with _name_errors(path), path.open("rb") as file:
        is_plan = plan_file.is_one(file.read(4096))
    if is_plan or path.suffix.lower() == plan_file.SUFFIX:
        raise _plan(path)


def _plan(path: Path) -> UnreadableSheet:
    return UnreadableSheet(
        "{name} is a plan and no sheet; `bulkcast apply` sends it as it is.", name=path.name
    )


def _require_file(path: Path) -> None:
    try:
        missing, is_folder, is_file = not path.exists(), path.is_dir(), path.is_file()
    except (OSError, ValueError) as exc:
        raise UnreadableSheet(
            "{name!r} cannot be looked at: {exc}.", name=path.name, exc=exc
        ) from exc
    if missing:
        raise UnreadableSheet("There is no file {path}.", path=path)
    if is_folder:
        raise UnreadableSheet("{path} is a folder; name the sheet in it.", path=path)
    if not is_file:
        raise UnreadableSheet(
            "{path} is a device or a pipe; save the sheet as a file first.", path=path
        )


def grid(path: Path, layout: Layout) -> Grid:
    """All cells of a sheet read before, including comments and the lines above the header.

    Raises:
        UnreadableSheet: the file cannot be read as it was before.

    """
    with _name_errors(path):
        if f".{layout.kind}" in _DELIMITED:
            return Grid(csv_reader.lines(path, layout))
        from bulkcast.loader import workbook

        return workbook.grid(path, layout.tab or "")


def chosen(whole: Grid, header_row: int, rows: Collection[int]) -> tuple[Grid, Mapping[int, int]]:
    """Keep only `rows`, the comments and the lines up to the header; also return old row → new row.

    Hidden rows among them are shown in the new grid.
    """
    kept = [
        number
        for number, cells in sorted(whole.cells.items())
        if number > header_row and (number in rows or table.is_comment(cells))
    ]
    places = {number: place for place, number in enumerate(kept, start=header_row + 1)}
    head = {number: cells for number, cells in whole.cells.items() if number <= header_row}
    moved = {place: whole.cells[number] for number, place in places.items()}
    return Grid({**head, **moved}, is_cut=whole.is_cut), places


def previous_results(sheet: Sheet) -> Mapping[int, Mapping[str, str]]:
    """The result columns an earlier run wrote: row number → {"status": …, "run": …}.

    The keys are the result columns without their prefix; rows without results are left out.
    """
    columns = {
        index: header.strip().casefold().removeprefix(RESULT_PREFIX)
        for index, header in enumerate(sheet.headers)
        if is_result_column(header)
    }
    written = (
        (row.number, {name: str(row.cells[index] or "") for index, name in columns.items()})
        for row in sheet.rows
    )
    return {number: results for number, results in written if any(results.values())}
