"""Reading a sheet: one file in, one `model.Sheet` out, or one sentence why not.

The only part that opens spreadsheets to read them.  A file is whatever a user hands over, so
nothing it holds may end in a traceback, and nothing in it is dropped or repaired in silence: what
had to be guessed or passed over is a remark, what is more than its value is a `FlaggedCell`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bulkcast.catalogue import RESULT_PREFIX, Endpoint
from bulkcast.errors import BulkcastError, UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.loader import csv_reader, table
from bulkcast.loader.stream import ReadOptions, Stream
from bulkcast.loader.table import Chunk
from bulkcast.model import Grid, Layout, Sheet
from bulkcast.planner import plan_file

__all__ = ["ReadOptions", "Stream", "chosen", "grid", "previous_results", "read", "stream"]

_Opener = Callable[[Path, Endpoint, ReadOptions], AbstractContextManager[Stream]]


def _workbook(
    path: Path, endpoint: Endpoint, options: ReadOptions
) -> AbstractContextManager[Stream]:
    from bulkcast.loader import workbook

    return workbook.opened(path, endpoint, options)


_OPENERS: Final[Mapping[str, _Opener]] = {
    ".csv": csv_reader.opened,
    ".tsv": csv_reader.opened,
    ".xlsx": _workbook,
    ".xlsm": _workbook,
    ".xls": _workbook,
    ".xlsb": _workbook,
    ".ods": _workbook,
}
_TO_BE_SAVED_AGAIN: Final = {
    ".numbers": marked("a Numbers spreadsheet"),
    ".et": marked("a WPS spreadsheet"),
    ".gsheet": marked("only a link to a Google sheet"),
}


@contextmanager
def stream(
    path: Path, *, endpoint: Endpoint, options: ReadOptions | None = None
) -> Iterator[Stream]:
    """The sheet in the file at `path`, open, in memory that does not grow with its rows.

    Raises:
        UnreadableSheet: it cannot be read as a sheet, found out at once or on the way; the
            sentence names the file and the remedy.
        CannotStart: an option makes no sense by itself.

    """
    opener = _opener_for(path)
    with ExitStack() as stack:
        with _told(path):
            opened = stack.enter_context(opener(path, endpoint, options or ReadOptions()))
        # Only what reads the file: a defect of the caller's is no damage of the file's.
        opened.chunks = _read(opened.chunks, path)
        try:
            yield opened
        except MemoryError as exc:
            raise _too_large(path) from exc


def _read(chunks: Iterable[Chunk], path: Path) -> Iterator[Chunk]:
    with _told(path):
        yield from chunks


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Reading the file at `path`: whatever goes wrong becomes a sentence that names it."""
    try:
        yield
    except BulkcastError as exc:
        raise _named(exc, path) from exc
    except OSError as exc:
        raise UnreadableSheet(
            "{name} cannot be read: {why}.", name=path.name, why=exc.strerror or exc
        ) from exc
    except MemoryError as exc:
        raise _too_large(path) from exc
    # The parsers beneath raise whatever a damaged file leads them to (KeyError, struct.error,
    # zlib.error ...); a file is never worth a traceback.
    except Exception as exc:
        raise UnreadableSheet(
            "{name} is damaged and cannot be read; "
            "open it in a spreadsheet program and save it again.",
            name=path.name,
        ) from exc


def _too_large(path: Path) -> UnreadableSheet:
    return UnreadableSheet("{name} is too large for this computer's memory.", name=path.name)


def read(path: Path, *, endpoint: Endpoint, options: ReadOptions | None = None) -> Sheet:
    """The sheet in the file at `path`, all of it; the file is not changed.

    Raises:
        UnreadableSheet: it cannot be read as a sheet; the sentence names the file and the remedy.
        CannotStart: an option makes no sense by itself.

    """
    with stream(path, endpoint=endpoint, options=options) as opened:
        return opened.sheet()


def _named(refusal: BulkcastError, path: Path) -> BulkcastError:
    """The refusal, naming the file: what is found deep inside one does not know its name."""
    said = str(refusal)
    if path.name in said or not isinstance(refusal, UnreadableSheet):
        return refusal
    return UnreadableSheet("{name}: {sentence}", name=path.name, sentence=refusal)


def _opener_for(path: Path) -> _Opener:
    suffix = path.suffix.lower()
    if path.name.startswith("~$"):
        raise UnreadableSheet(
            "{name} is the mark Excel leaves beside an open workbook; give {book} itself.",
            name=path.name,
            book=path.name.removeprefix("~$"),
        )
    _require_file(path)
    _refuse_plan(path)
    if suffix in _TO_BE_SAVED_AGAIN:
        kind = _TO_BE_SAVED_AGAIN[suffix]
        raise UnreadableSheet(
            "{name} is {what}; save it as .xlsx and give that file.", name=path.name, what=kind
        )
    if suffix not in _OPENERS:
        known = " ".join(_OPENERS)
        raise UnreadableSheet(
            "{name} is not a kind of sheet that can be read: {known}.", name=path.name, known=known
        )
    return _OPENERS[suffix]


def _refuse_plan(path: Path) -> None:
    with _told(path), path.open("rb") as file:
        is_plan = plan_file.is_one(file.read(4096))
    if is_plan or path.suffix.lower() == plan_file.SUFFIX:
        raise UnreadableSheet(
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
    """All cells of a sheet that was read before, those above its header and its comments included.

    Raises:
        UnreadableSheet: the file cannot be read as it was before.

    """
    with _told(path):
        if layout.kind in _DELIMITED:
            return Grid(csv_reader.lines(path, layout))
        if layout.kind in _NEWER:
            from bulkcast.loader import workbook

            return workbook.grid(path, layout.tab or "")
        from bulkcast.loader.isolation import IsolatedReader

        with IsolatedReader(path, "whole") as child:
            child.choose(layout.tab or "")
            lines = list(child.lines())
    hidden = frozenset(number for (number, _), is_hidden in lines if is_hidden)
    return Grid({number: row for (number, row), _ in lines}, hidden)


_DELIMITED: Final = frozenset({"csv", "tsv"})
_NEWER: Final = frozenset({"xlsx", "xlsm"})


def chosen(whole: Grid, header_row: int, rows: Collection[int]) -> tuple[Grid, Mapping[int, int]]:
    """Only `rows` below the header and what is above it, with all comments; old row → new one.

    What is hidden among them is shown.
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
    """What an earlier run wrote beside each row: row number → {"status": …, "run": …}.

    The keys are the result columns without their prefix; rows with nothing written are left out.
    """
    columns = {
        index: header.strip().casefold().removeprefix(RESULT_PREFIX)
        for index, header in enumerate(sheet.headers)
        if header.strip().casefold().startswith(RESULT_PREFIX)
    }
    written = (
        (row.number, {name: str(row.cells[index] or "") for index, name in columns.items()})
        for row in sheet.rows
    )
    return {number: results for number, results in written if any(results.values())}
