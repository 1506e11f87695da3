"""Reads workbooks of any kind: chooses the worksheet and gives its rows."""

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, Final
from zipfile import BadZipFile, ZipFile

from bulkcast import ooxml
from bulkcast.arguments import Series
from bulkcast.catalogue import Endpoint
from bulkcast.errors import UnreadableSheet
from bulkcast.headers import fold
from bulkcast.i18n import marked
from bulkcast.loader import filetype, table, xlsx_fast, xlsx_reader
from bulkcast.loader.annotations import Range, merged_only
from bulkcast.loader.isolation import IsolatedReader
from bulkcast.loader.table import HEADER_WITHIN, Chunk, Head, Header, Line, ReadOptions, Stream
from bulkcast.loader.xlsx_fast import ScanState, UnsupportedMarkup
from bulkcast.loader.xlsx_reader import StoredValues
from bulkcast.model import FlaggedCell, Grid, Layout, Text

_FEWEST_HEADERS: Final = 2
"""A header names at least the classroom and one setting; a help page may name one per row."""
_MOST_TABS: Final = 300
"""Worksheets searched for a header row; the workbook of a school year has some dozens."""
_MOST_NAMED: Final = 5
_LINES_AT_ONCE: Final = 512
_ROW: Final = re.compile(rb"<(?:[\w.-]{1,64}:)?row[\s/>]")
_LONGEST_NAME: Final = 80
_LONGEST_HEAD: Final = 1 << 18
"""Bytes at the start of a worksheet that are searched for its `<cols>`."""
_COLUMN: Final = re.compile(rb"<(?:[\w.-]{1,64}:)?col\s([^<>]*)>")
_ATTRIBUTE: Final = re.compile(rb"(\w+)\s*=\s*[\"']([^\"']*)[\"']")
_READ_SIZE: Final = 1 << 16
_OOXML: Final = frozenset({".xlsx", ".xlsm"})


class _Workbook(ABC):
    """A workbook, open."""

    def __init__(self, tabs: Iterable[tuple[str, bool]]) -> None:
        self.tabs = tuple(tabs)
        """The worksheets, and whether each is visible."""
        self.remarks: list[Text] = []
        """Remarks about the reading; complete when all lines were read."""
        self.is_wide = False
        """Whether a worksheet has cells beyond the columns that are read."""

    @abstractmethod
    def head(self, tab: str) -> Sequence[Line]:
        """The first lines of a worksheet."""

    @abstractmethod
    def chunks(self, tab: str, hidden: set[int]) -> Generator[Chunk, None, None]:
        """All lines of a worksheet; adds the numbers of hidden lines to `hidden` on the way."""

    def unmerged(self, tab: str, head: Sequence[Line]) -> Sequence[Line]:  # noqa: ARG002  # not known
        """The first lines; cells merged downwards, if known, stand in each line they cover."""
        return head

    def hidden_columns(self, tab: str) -> Container[int]:  # noqa: ARG002  # not known
        """The hidden columns, from 0, if known."""
        return ()

    def may_hold_rows(self, tab: str) -> bool:  # noqa: ARG002  # not known
        """Whether a worksheet that cannot be read may contain rows."""
        return True


@contextmanager
def open_sheet(path: Path, endpoint: Endpoint, options: ReadOptions) -> Iterator[Stream]:
    """The sheet in a workbook."""
    with ExitStack() as stack:
        book = _open(path, stack)
        tab = _choose(path.name, book, endpoint, options)
        hidden: set[int] = set()
        layout = Layout(
            kind=path.suffix.lower().lstrip("."), header_row=tab.header.number, tab=tab.name
        )
        # Closed here: after a refusal the generator would keep the file open.
        rows = stack.enter_context(closing(book.chunks(tab.name, hidden)))
        chunks = _below(rows, tab.header.number, endpoint)
        yield Stream(
            path.name, layout, tab.header.names, chunks, hidden=hidden, hide=options.hidden,
            remarks=(*_remarks(tab), *_hidden_columns(book, tab, endpoint, options)),
            late_remarks=book.remarks, notes_beside=True,
        )  # fmt: skip


def first_lines(path: Path, endpoint: Endpoint, options: ReadOptions) -> Head:
    """The first lines of the worksheet asked for, else of the only likely or first visible one."""
    with ExitStack() as stack:
        book = _open(path, stack)
        names = [name for name, visible in book.tabs if visible] or [n for n, _ in book.tabs]
        chosen = options.tab if options.tab in {name for name, _ in book.tabs} else None
        if chosen is None and not names:
            raise UnreadableSheet("The workbook has no worksheet.")
        if chosen is None:
            found, _ = _tabs_with_header(names[:_MOST_TABS], book, endpoint, options)
            best = max(found, key=lambda tab: tab.header.matches, default=None)
            chosen = best.name if best else names[0]
        tab = _tab(book, chosen, endpoint, options)
        lines = tab.head if tab else book.head(chosen)
        return Head(lines, tab.header.number if tab else None, tuple(book.tabs), chosen)


def grid(path: Path, tab: str) -> Grid:
    """All cells of a worksheet of a workbook read before."""
    hidden: set[int] = set()
    with ExitStack() as stack:
        book = _open(path, stack, legacy="whole")
        chunks = book.chunks(tab, hidden)
        cells = {number: row for chunk in chunks for number, row in zip(*chunk, strict=True)}
        return Grid(cells, frozenset(hidden), is_cut=book.is_wide)


def _open(path: Path, stack: ExitStack, *, legacy: str = "legacy") -> _Workbook:
    filetype.require_workbook(path)
    suffix = path.suffix.lower()
    if suffix not in _OOXML:
        return _LegacyWorkbook(stack.enter_context(IsolatedReader(path, legacy)), suffix)
    return _Xlsx(path, stack)


def _below(chunks: Iterable[Chunk], header: int, endpoint: Endpoint) -> Iterator[Chunk]:
    for numbers, rows in chunks:
        above = sum(number <= header for number in numbers[:HEADER_WITHIN])
        if above and numbers[above - 1] == header:
            _require_own_names(rows[above - 1], endpoint)
        yield (numbers[above:], rows[above:]) if above else (numbers, rows)


def _require_own_names(header: table.Cells, endpoint: Endpoint) -> None:
    """Refuse a header cell merged over several columns: all but the first would be ignored.

    Raises:
        UnreadableSheet: the header has such a cell.

    """
    for cell in header:
        if not isinstance(cell, FlaggedCell) or cell.code != "cell.merged":
            continue
        place, name = cell.args["range"], str(cell.value)
        merged = Range.parse(place)
        # Ranges of several rows are found in the rows.
        if merged.first_row == merged.last_row and endpoint.column_for(name):
            raise UnreadableSheet(
                "The header {column} is merged over {range}; unmerge it, and give each column"
                " a name of its own.",
                column=name,
                range=place,
            )


def _remarks(tab: "_Tab") -> Iterator[Text]:
    yield from table.header_remark(tab.header)
    if tab.passed_over:
        said = "What cannot be read in the workbook was passed over: the worksheet {known}."
        yield Text(said, {"known": _name_list(tab.passed_over)})


def _hidden_columns(
    book: _Workbook, tab: "_Tab", endpoint: Endpoint, options: ReadOptions
) -> Iterator[Text]:
    """The remark that hidden columns are read, too."""
    hidden, mapped = book.hidden_columns(tab.name), set(map(fold, options.mapping))
    names = [
        " ".join(name.split())
        for index, name in enumerate(tab.header.names)
        if index in hidden and (endpoint.column_for(name) or fold(name) in mapped)
    ]
    if names:
        said = _HIDDEN_COLUMN if len(names) == 1 else _HIDDEN_COLUMNS
        yield Text(said, {"known": Series(tuple(names))})


_HIDDEN_COLUMN: Final = marked(
    "The column {known} is hidden and is read like the others; delete it if it is not meant."
)
_HIDDEN_COLUMNS: Final = marked(
    "The columns {known} are hidden and are read like the others; delete those that are not meant."
)


# ------------------------------------------------------------------ which worksheet


@dataclass(frozen=True, slots=True)
class _Tab:
    name: str
    header: Header
    head: Sequence[Line] = ()
    passed_over: Sequence[str] = ()
    """Names of the worksheets that cannot be read."""


def _choose(name: str, book: _Workbook, endpoint: Endpoint, options: ReadOptions) -> _Tab:
    """The worksheet to read: the one asked for, or the only one with a header row."""
    names = [tab for tab, _ in book.tabs]
    if options.tab is not None and options.tab not in names:
        raise UnreadableSheet(
            "{name} has no worksheet {tab!r}; it has {known}.",
            name=name,
            tab=options.tab,
            known=_name_list(names),
        )
    wanted = [t for t, visible in book.tabs if visible] if options.tab is None else [options.tab]
    if len(wanted) > _MOST_TABS:
        raise UnreadableSheet(
            "{name} has {n} worksheets; choose one with --sheet.", name=name, n=len(wanted)
        )
    tabs, unreadable = _tabs_with_header(wanted, book, endpoint, options)
    likely = [tab for tab in tabs if tab.header.matches >= _FEWEST_HEADERS] or tabs
    if not likely and unreadable:
        raise next(iter(unreadable.values()))
    if holding := [title for title in unreadable if book.may_hold_rows(title)]:
        raise UnreadableSheet(
            "{name}: the worksheet {tab!r} cannot be read and may hold the rows that are meant;"
            " remove it, or choose the worksheet to read with --sheet.",
            name=name,
            tab=holding[0],
        )
    if not likely and options.tab is None:
        _refuse_hidden(name, book, endpoint, options)
    if not likely:
        head = book.head(wanted[0]) if len(wanted) == 1 else ()
        raise table.no_header(_place(name, options.tab), endpoint, head)
    if len(likely) > 1:
        raise UnreadableSheet(
            "{name} has more than one worksheet to read: {known}; choose one with --sheet.",
            name=name,
            known=_name_list([tab.name for tab in likely]),
        )
    (tab,) = likely
    table.require_one_row_header(tab.head, tab.header, endpoint, options.mapping)
    return replace(tab, passed_over=tuple(unreadable))


def _tabs_with_header(
    titles: Sequence[str], book: _Workbook, endpoint: Endpoint, options: ReadOptions
) -> tuple[list[_Tab], dict[str, UnreadableSheet]]:
    """The worksheets with a header row, and the errors of those that cannot be read."""
    tabs: list[_Tab] = []
    unreadable: dict[str, UnreadableSheet] = {}
    for title in titles:
        try:
            tab = _tab(book, title, endpoint, options)
        except UnreadableSheet as exc:
            unreadable[title] = exc
        else:
            tabs += () if tab is None else (tab,)
    return tabs, unreadable


def _refuse_hidden(name: str, book: _Workbook, endpoint: Endpoint, options: ReadOptions) -> None:
    """Raise UnreadableSheet if only a hidden worksheet has a header row."""
    hidden = [title for title, visible in book.tabs if not visible]
    for title in hidden[:_MOST_TABS]:
        found = _tab(book, title, endpoint, options)
        if found is not None and found.header.matches >= _FEWEST_HEADERS:
            raise UnreadableSheet(
                "{name} has no header row in a worksheet that is shown, but {tab!r}, which is"
                " hidden, has one; unhide it, or choose it with --sheet.",
                name=name,
                tab=title,
            )


def _place(name: str, tab: str | None) -> str | Text:
    if tab is None:
        return name
    return Text("The worksheet {tab} of {name}", {"tab": repr(tab), "name": name})


def _name_list(names: Sequence[str]) -> Series | Text:
    """The names as one text; of many only the first `_MOST_NAMED`."""
    shown = Series(tuple(map(repr, names[:_MOST_NAMED])))
    more = len(names) - _MOST_NAMED
    return Text("{names}, {n} more", {"names": shown, "n": str(more)}) if more > 0 else shown


def _tab(book: _Workbook, title: str, endpoint: Endpoint, options: ReadOptions) -> _Tab | None:
    head = book.head(title)
    header = table.find_header(head, endpoint, options.mapping, options.header_row)
    if header is not None and table.second_header_row(head, header, endpoint, options.mapping):
        head = book.unmerged(title, head)
        header = table.find_header(head, endpoint, options.mapping, options.header_row)
    return None if header is None else _Tab(title, header, head)


# ------------------------------------------------------------------ xlsx


class _Xlsx(_Workbook):
    """An xlsx workbook; the complete reader takes over at markup `xlsx_fast` does not support."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        self._packed = packed = stack.enter_context(ZipFile(path))
        structural = [n for n in packed.namelist() if n.lower().endswith((".rels", "workbook.xml"))]
        filetype.require_plain_parts(packed, structural, path)
        self._structure = ooxml.read_package(packed)
        super().__init__((tab.name, tab.is_visible) for tab in self._structure.tabs)
        self._values = StoredValues(self._structure, self._strings())

        @cache
        def complete() -> IsolatedReader:
            return stack.enter_context(IsolatedReader(path, "xlsx"))

        self.complete = complete

    def _strings(self) -> Sequence[str]:
        if (name := self._structure.strings) is None:
            return ()
        filetype.require_plain_strings(self._packed, name, self._path)
        with self._packed.open(name) as part:
            try:
                return list(xlsx_fast.plain_strings(part))
            except UnsupportedMarkup:
                part.seek(0)
                return list(xlsx_reader.shared_strings(part))

    def head(self, tab: str) -> Sequence[Line]:
        found = ScanState(set())
        lines: list[Line] = []
        try:
            with self._open(tab) as part:
                for numbers, rows in xlsx_fast.chunks(part, self._values, found):
                    lines += zip(numbers, rows, strict=True)
                    if len(lines) >= HEADER_WITHIN:
                        break
        except UnsupportedMarkup:
            filetype.require_plain_parts(self._packed, [self._part(tab)], self._path)
            lines += [line for line in self.complete().head(tab) if line[0] > found.last_row]
        except (BadZipFile, zlib.error, EOFError) as exc:
            raise UnreadableSheet(
                "The worksheet {tab!r} is damaged; open the workbook in a spreadsheet program and"
                " save it again.",
                tab=tab,
            ) from exc
        return lines[:HEADER_WITHIN]

    def unmerged(self, tab: str, head: Sequence[Line]) -> Sequence[Line]:
        lines = {number: list(cells) for number, cells in head}
        for column, top, end, last in self._merged(tab):
            above = lines.get(top, [])
            if end != column + 1 or column >= len(above):
                continue
            for number in lines.keys() & range(top + 1, min(last, HEADER_WITHIN) + 1):
                line = lines[number]
                line += [None] * (column + 1 - len(line))
                line[column] = above[column]
        return list(lines.items())

    def hidden_columns(self, tab: str) -> Container[int]:
        with self._open(tab) as part:
            head = part.read(_LONGEST_HEAD).partition(b"sheetData")[0]
        hidden: set[int] = set()
        for attributes in _COLUMN.findall(head):
            said = dict(_ATTRIBUTE.findall(attributes))
            first, last = (said.get(name, b"") for name in (b"min", b"max"))
            if said.get(b"hidden") in {b"1", b"true"} and first.isdigit() and last.isdigit():
                hidden.update(range(int(first) - 1, min(int(last), table.WIDEST)))
        return hidden

    def may_hold_rows(self, tab: str) -> bool:
        """Whether a row tag is found in the worksheet's bytes."""
        tail = b""
        try:
            with self._open(tab) as part:
                while piece := part.read(_READ_SIZE):
                    if _ROW.search(tail + piece):
                        return True
                    tail = piece[-_LONGEST_NAME:]
        except UnreadableSheet:  # the file does not contain that worksheet
            return False
        except (BadZipFile, zlib.error, EOFError):
            return True
        return False

    def chunks(self, tab: str, hidden: set[int]) -> Generator[Chunk, None, None]:
        merged = self._merged(tab)
        flagger = merged_only(merged)
        found = ScanState(hidden)
        with self._open(tab) as part:
            try:
                for numbers, rows in xlsx_fast.chunks(part, self._values, found):
                    yield numbers, list(map(flagger.flag, numbers, rows)) if merged else rows
            except UnsupportedMarkup:
                yield from self._remaining(tab, found)
        self.is_wide |= found.is_wide

    def _part(self, tab: str) -> str:
        return xlsx_reader.part_of(self._structure, tab)

    def _open(self, tab: str) -> IO[bytes]:
        return self._packed.open(self._part(tab))

    def _merged(self, tab: str) -> list[Range]:
        return list(
            map(Range.parse, filetype.merged_ranges(self._packed, self._part(tab), self._path))
        )

    def _remaining(self, tab: str, found: ScanState) -> Iterator[Chunk]:
        """The lines after the last one that the fast reader could read."""
        # Checked here, because the child's answer would depend on the parsers installed.
        filetype.require_plain_parts(self._packed, [self._part(tab)], self._path)
        child = self.complete()
        child.choose(tab)
        later = (line for line in child.lines() if line[0][0] > found.last_row)
        yield from _in_chunks(later, found.hidden)


# ------------------------------------------------------------------ xls, xlsb and ods


class _LegacyWorkbook(_Workbook):
    """A workbook that is read in a child process only, which reports little but the lines."""

    def __init__(self, child: IsolatedReader, kind: str) -> None:
        super().__init__(child.tabs())
        self._child, self._kind = child, kind

    def head(self, tab: str) -> Sequence[Line]:
        return self._child.head(tab)

    def chunks(self, tab: str, hidden: set[int]) -> Generator[Chunk, None, None]:
        if self._child.choose(tab):
            said = (
                "Of this {kind} file error cells look blank and hidden rows like others; save it "
                "as .xlsx to have them told."
            )
            self.remarks.append(Text(said, {"kind": self._kind}))
        yield from _in_chunks(self._child.lines(), hidden)


def _in_chunks(lines: Iterator[tuple[Line, bool]], hidden: set[int]) -> Iterator[Chunk]:
    """The lines, some hundreds at a time."""
    for first in lines:
        some = [first, *islice(lines, _LINES_AT_ONCE - 1)]
        hidden.update(number for (number, _), is_hidden in some if is_hidden)
        yield [number for (number, _), _ in some], [cells for (_, cells), _ in some]
